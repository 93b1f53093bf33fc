r"""A covariance learned on many networks: from statistics of a network to its parameters.

Few stations and days do not determine a covariance; many other networks help. A small neural
network, trained on thousands of them, reads the ranges, amplitudes and noise of each band off a few
statistics that need no fit (amortised inference: Zammit-Mangion, Sainsbury-Dale & Huser 2025,
https://arxiv.org/abs/2404.12484). ``tools/make_pretrained.py`` makes its
weights; ``docs/pretrained.md`` says from what, and how good they are.
"""

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("pretrained.safetensors")
#: Regions of the networks; the weights of each name have seen all but that one.
REGIONS = ("beijing", "europe", "us")
NAMES = ("all", *(f"without_{region}" for region in REGIONS))
#: Widths of the bands of which the parameters are learned, steps.
WIDTHS = (1.5, 6.0)
#: Steps of which the parameters of filling are learned, hours; in between they are interpolated.
STEPS_HOURS = (1.0, 24.0)
#: Parameters of a band: logarithms of two amplitudes, of two ranges in units of the median spacing
#: of the stations, and of the noise.
PARAMETERS = 5
#: Units of the hidden layer.
UNITS = 16
#: Parts of each band that `statistics` has, and ratios of distances beside these.
OF_A_BAND, OF_DISTANCES = 4, 2
#: Times the distance to the nearest station at which a station's second partner stands.
FARTHER = 3.0
#: Shortest distance that counts, km, and least variance of a standardised root.
SHORTEST_KM, LEAST = 0.5, 1e-6
#: Standard deviations over the networks of training at which a statistic is clipped.
FARTHEST = 3.0


def statistics(distance_km: Tensor, split: Tensor, measured: Tensor) -> Tensor:
    r"""Return what the values of a network say of its covariance before any fit.

    With :math:`\gamma` the mean squared difference of a band at two stations, of each band

    .. math::

        \log\frac{\gamma}{\sum_b \gamma_b}, \quad \log\frac{\gamma_1}{\gamma}, \quad
        \log\frac{\gamma_3}{\gamma}, \quad \log\frac{v}{\gamma}

    over all pairs of stations, over those of nearest ones, over those about three times as far, and
    the variance over stations and steps; then the mean logarithms of the distance of the second and
    of all pairs in units of that of the first. None has a unit.

    Parameters
    ----------
    distance_km : (station, station) float64
    split : (station, time, band) float64
        Standardised.
    measured : (station, time) bool
        Steps with values; others do not count.

    Returns
    -------
    Tensor, (4 bands + 2,) float64

    Examples
    --------
    Stations on a line, each step 1 km and a unit of the only band:

    >>> line = torch.arange(4.0, dtype=torch.float64)
    >>> split = line[:, None, None].expand(-1, 5, 1)
    >>> distance_km = (line[:, None] - line).abs()
    >>> statistics(distance_km, split, torch.ones(4, 5, dtype=torch.bool)).exp().round(decimals=2)
    tensor([1.0000, 0.3000, 1.9500, 0.3800, 2.4500, 1.6700], dtype=torch.float64)
    """
    size = len(distance_km)
    others = distance_km.clamp_min(SHORTEST_KM) + torch.diag(
        distance_km.new_full((size,), torch.inf)
    )
    nearest_km, nearest = others.min(1)
    farther = (others / (FARTHER * nearest_km)[:, None]).log().abs().argmin(1)
    counts = measured[..., None].to(split.dtype)

    def between(partner: Tensor) -> Tensor:
        """Return the mean squared difference (band,) to the partner of each station."""
        both = counts * counts[partner]
        return (both * (split - split[partner]).square()).sum((0, 1)) / both.sum().clamp_min(1)

    reporting = counts.sum(0).clamp_min(1)  # (time, 1)
    departure = counts * (split - (counts * split).sum(0) / reporting)
    several = (reporting > 1).to(split.dtype)
    of_steps = several * departure.square().sum(0) / (reporting - 1).clamp_min(1)
    of_pairs = 2 * of_steps.sum(0) / several.sum().clamp_min(1)
    mean = (counts * split).sum((0, 1)) / counts.sum()
    variance = (counts * (split - mean).square()).sum((0, 1)) / counts.sum()
    whole = (of_pairs + LEAST).log()
    parts = [
        whole - (of_pairs.sum() + LEAST).log(),
        *((each + LEAST).log() - whole for each in (between(nearest), between(farther), variance)),
    ]
    farther_km = others.gather(1, farther[:, None])[:, 0]
    all_km = distance_km.sum() / max(size * (size - 1), 1)
    logarithm = nearest_km.log().mean()
    distances = [
        farther_km.log().mean() - logarithm,
        all_km.clamp_min(SHORTEST_KM).log() - logarithm,
    ]
    return torch.cat([*parts, torch.stack(distances)])


class AmortisedCovariance(nn.Module):
    """Parameters of the bands' covariance from the `statistics` of a network.

    Constants that suit most networks, and a correction of them by a network of one hidden layer,
    which begins at none.

    Parameters
    ----------
    bands : int

    Attributes
    ----------
    usual : (band, 5) float64
        The constants.
    mean, spread : (statistic,) float64
        Of the statistics over the networks of training.

    Examples
    --------
    >>> AmortisedCovariance()(torch.zeros(7, 14).double()).shape
    torch.Size([7, 3, 5])
    """

    def __init__(self, bands: int = len(WIDTHS) + 1) -> None:
        super().__init__()
        count = OF_A_BAND * bands + OF_DISTANCES
        self.usual = nn.Parameter(torch.zeros(bands, PARAMETERS, dtype=torch.float64))
        self.read = nn.Linear(count, UNITS, dtype=torch.float64)
        self.correct = nn.Linear(UNITS, bands * PARAMETERS, dtype=torch.float64)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)
        self.register_buffer("mean", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(count, dtype=torch.float64))

    mean: Tensor
    spread: Tensor

    def forward(self, of_network: Tensor) -> Tensor:
        """Return the parameters (..., band, 5) of networks with statistics (..., statistic)."""
        standardised = ((of_network - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)
        correction = self.correct(torch.tanh(self.read(standardised)))
        return self.usual + correction.unflatten(-1, self.usual.shape)


class Pretrained(NamedTuple):
    """What many networks have taught.

    Attributes
    ----------
    bands : AmortisedCovariance
    filling : (step, parameter) float64
        Parameters of the covariance that fills gaps, of the `STEPS_HOURS`, with ranges in units of
        the stations' spacing; in the order of its ``parameters()``.
    """

    bands: AmortisedCovariance
    filling: Tensor

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the shipped weights of a name.

        Raises
        ------
        ValueError
            If it is not one of `NAMES`.

        Examples
        --------
        >>> Pretrained.of("all").filling.shape
        torch.Size([2, 14])
        """
        if name not in NAMES:
            raise ValueError(f"weights must be one of {', '.join(NAMES)}; found {name!r}")
        own = {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in _shipped().items()
            if key.startswith(f"{name}.")
        }
        filling = own.pop("filling")
        bands = AmortisedCovariance()
        bands.load_state_dict(own)
        return cls(bands.requires_grad_(False), filling)

    def filling_of(self, step_hours: float, spacing_km: float) -> Tensor:
        """Return the parameters (14,) of filling at a step; beyond a day those of days."""
        first, last = map(math.log, STEPS_HOURS)
        share = min(max((math.log(step_hours) - first) / (last - first), 0.0), 1.0)
        hours, days = self.filling
        values = torch.lerp(hours, days, share)
        values[3:6] += math.log(spacing_km)
        return values


@cache
def _shipped() -> dict[str, Tensor]:
    """Return all tensors of the shipped file."""
    from safetensors.torch import load_file

    return load_file(WEIGHTS)
