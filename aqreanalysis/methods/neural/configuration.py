"""Sizes of the network, all faults of a choice reported at once, and how long it learns."""

from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Self

from aqreanalysis.geography.likeness import LENGTHS, Learned
from aqreanalysis.methods.kriging.amortised import NAMES, WIDTHS
from aqreanalysis.methods.kriging.bands import reach_of

#: Stations up to which a network is small, and how many times its updates a larger one may take.
SMALL_NETWORK, MOST_TIMES = 40, 2
#: Updates of a small network that learns, by default.
UPDATES = 300
#: Largest size of anything: beyond any use, and a file of a stranger cannot ask for more.
LARGEST_SIZE = 4096
#: What is not a size.
NO_SIZES = ("bands", "without", "lengths", "pretrained")
#: Neighbours of a target; of more than 200 stations a fifth are, up to so many.
USUAL_NEIGHBOURS, SHARE_OF_STATIONS, MOST_NEIGHBOURS = 40, 0.2, 60
#: Parts of the network that can be left out.
PARTS = ("recurrence", "attention", "cycles", "covariance", "covariates", "geography")


@dataclass(frozen=True)
class Configuration:
    """Sizes of the network; time is counted in steps of the observations (hours, mostly).

    Parameters
    ----------
    neighbours : int
        Nearest stations from which a target is estimated. The usual 40 become a fifth of the
        stations of a large network, 60 at most (`of_network`); any other number stays.
    bands : tuple of float
        Widths, in steps, of the Gaussians that split the series into bands for kriging.
    heads : int
        Attention heads of the neural kNN.
    context : int
        Outputs of the encoder at each station and step that are inputs of the decoder.
    encoder_width, decoder_width : int
        Width of the recurrent and of the pointwise layers.
    without : tuple of {"recurrence", "attention", "cycles", "covariance", "covariates", \
"geography"}
        Parts that are left out, to learn what each is worth. Without the covariance the prior is
        inverse squared distance, in which a cluster of neighbours counts as many.
    lengths : {"all", "without_beijing", "without_europe", "without_us"}
        Networks of which the lengths of `aqreanalysis.geography.likeness` are; a score in a region
        is made with those of others.
    core_steps, margin_steps : int
        A window yields ``core_steps`` and takes ``margin_steps`` more on either side as input.
        Windows lie on an absolute axis, at multiples of ``core_steps`` since 1970.
    pretrained : str
        Name of the weights that make the covariance, which is then not fitted: one of
        `aqreanalysis.methods.kriging.amortised.NAMES`. By default none, and it is fitted.

    Examples
    --------
    >>> Configuration().window_steps
    72
    >>> Configuration(heads=0, margin_steps=1)
    Traceback (most recent call last):
        ...
    ValueError: heads must be a whole number from 1 to 4096, found 0;
    margin_steps (1) must reach as far as the widest band (18)
    """

    neighbours: int = USUAL_NEIGHBOURS
    bands: tuple[float, ...] = (1.5, 6.0)
    heads: int = 4
    context: int = 8
    encoder_width: int = 24
    decoder_width: int = 48
    core_steps: int = 36
    margin_steps: int = 18
    without: tuple[str, ...] = ()
    lengths: Learned = "all"
    pretrained: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "without", tuple(self.without))
        faults = [
            f"{field.name} must be a whole number from 1 to {LARGEST_SIZE}, "
            f"found {getattr(self, field.name)!r}"
            for field in fields(self)
            if field.name not in NO_SIZES and not is_size(getattr(self, field.name))
        ]
        if unknown := set(self.without) - set(PARTS):
            faults.append(f"without names {', '.join(PARTS)}; found {', '.join(sorted(unknown))}")
        if self.lengths not in LENGTHS:
            faults.append(f"lengths is one of {', '.join(LENGTHS)}; found {self.lengths!r}")
        if self.pretrained not in ("", *NAMES):
            faults.append(f"pretrained names {', '.join(NAMES)}; found {self.pretrained!r}")
        elif self.pretrained and self.bands != WIDTHS:
            faults.append(f"what is pretrained has the bands {WIDTHS}, found {self.bands}")
        if not self.bands or sorted(set(self.bands)) != list(self.bands) or self.bands[0] <= 0:
            faults.append(f"bands must be positive and ascend, found {self.bands}")
        elif is_size(self.margin_steps) and self.margin_steps < self.reach:
            faults.append(
                f"margin_steps ({self.margin_steps}) must reach as far as the widest band "
                f"({self.reach})"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def of_network(self, stations: int) -> Self:
        """Return the configuration for a network of so many stations.

        Of many stations that are near each other, each tells little beside its noise.

        Examples
        --------
        >>> [Configuration().of_network(stations).neighbours for stations in (60, 250, 2000)]
        [40, 50, 60]
        """
        if self.neighbours != USUAL_NEIGHBOURS:
            return self
        share = min(round(SHARE_OF_STATIONS * stations), MOST_NEIGHBOURS)
        return replace(self, neighbours=max(USUAL_NEIGHBOURS, share))

    @property
    def reach(self) -> int:
        """Steps to either side that the bands of a step need."""
        return reach_of(self.bands)

    @property
    def window_steps(self) -> int:
        """Length of a window with its margins, in steps."""
        return self.core_steps + 2 * self.margin_steps


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Parameters
    ----------
    covariance_updates : int
        Steps of the optimiser for each covariance.
    updates : int, optional
        Steps for everything else. By default `UPDATES` where there are covariates, such as weather
        or other pollutants, or a background that is proven; and none where neighbours have nothing
        but the variable itself, of which the covariance makes all that there is to be had. It is
        meant for up to `SMALL_NETWORK` stations; more have more to learn from and take more in
        proportion, up to twice as many.
    windows : int
        Windows in a batch.
    crop : int
        Stations nearest to a random one that make a window's network; all of a smaller network.
    covariance_rate, rate : float
        Learning rates; the second rises for a tenth of the updates, then falls along a cosine.
    hidden : tuple of float
        Smallest and largest share of the crop's stations that are hidden.
    check_every, patience : int
        Updates between validations, and validations without gain before stopping.
    concentration_share : float
        Weight of the error in concentration beside the continuous ranked probability score.
    average : float
        Decay of the running mean of the weights, which is what is validated and kept.
    validation_windows : int
        Windows on which stations are hidden for validation, spread over the training period.
    prior : str
        Weights towards whose covariance that of few stations or days is shrunk: one of
        `aqreanalysis.methods.kriging.amortised.NAMES`, or "" for that of no network.
    """

    covariance_updates: int = 200
    updates: int | None = None
    windows: int = 6
    crop: int = 48
    covariance_rate: float = 0.05
    rate: float = 4e-3
    hidden: tuple[float, float] = (0.05, 0.4)
    check_every: int = 75
    patience: int = 2
    concentration_share: float = 0.5
    average: float = 0.98
    validation_windows: int = 40
    prior: str = "all"

    def updates_for(self, stations: int) -> int:
        """Return the steps for a network of so many stations.

        Examples
        --------
        >>> [Schedule(updates=300).updates_for(stations) for stations in (5, 60, 5000)]
        [300, 450, 600]
        """
        updates = UPDATES if self.updates is None else self.updates
        return round(updates * min(max(stations / SMALL_NETWORK, 1), MOST_TIMES))


def is_size(value: object) -> bool:
    """Return whether a value is a whole number from 1 to `LARGEST_SIZE`."""
    return isinstance(value, Integral) and 1 <= int(value) <= LARGEST_SIZE
