"""Fitting the covariances: the one that fills gaps, and those of the bands of the day."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.amortised import AmortisedCovariance, statistics
from aqreanalysis.methods.kriging.bands import BandCovariance, reach_of, split_bands
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.descent import Adam
from aqreanalysis.methods.kriging.gaps import NearbyStations, complete, estimate_gaps
from aqreanalysis.network import StationNetwork, bearing_deg

#: Longest outage that is made to learn from, and steps of a stretch in which they are made.
LONGEST_OUTAGE, STRETCH = 24, 144
#: Amplitude of what all stations share, where it begins to learn.
NETWORK_AMPLITUDE = 0.5
#: Stations that are left out in turn in an update, and steps at which they are estimated.
STATIONS_OF_UPDATE, STEPS_OF_UPDATE = 128, 600
#: Stations of a network of which all distances are made once; of a larger one, those in use.
MOST_PAIRED = 512
#: Steps from whose errors the scale of the bands is estimated.
STEPS_OF_SCALE = 3000
#: Weight of the squared logarithm of a station's noise in the loss.
SHRINKAGE = 0.01
#: Weights in the loss of how far a covariance departs from the usual one, over the days of values
#: at all stations and over the stations; and days and stations that determine a covariance, from
#: which on there is no weight. Few stations do not determine it, however many the days.
PRIOR, ENOUGH_DAYS = 3.0, 300
PRIOR_OF_STATIONS, ENOUGH_STATIONS = 6.0, 12


def fit_filling(
    covariance: SpaceTimeCovariance,
    value: Tensor,
    network: StationNetwork,
    *,
    updates: int,
    rate: float,
    rng: np.random.Generator,
    crop: Callable[[], np.ndarray],
    everyone: bool = False,
) -> Iterator[None]:
    """Fit the covariance that fills gaps to values that are taken out, an update at a time.

    Parameters
    ----------
    covariance : SpaceTimeCovariance
        Fitted in place.
    value : (station, time) float64
        Standardised; NaN is missing.
    network : StationNetwork
    updates : int
    rate : float
        Of learning.
    rng : Generator
    crop : callable
        Gives the rows of a random part of the network.
    everyone : bool
        Whether all stations are silent at once, which shows only what they share;
        otherwise only some are.
    """
    parameters = [each for each in covariance.parameters() if each is not covariance.log_network]
    if everyone:
        parameters = [covariance.log_network]
        covariance.log_network.requires_grad_()
        covariance.log_network.data[0] = math.log(NETWORK_AMPLITUDE)
    descent = Adam(parameters, rate)
    for _ in range(updates):
        rows = crop()
        stretch, gaps = _with_outages(value[rows], rng, everyone=everyone)
        truth = stretch[tuple(gaps.T)]
        stretch[tuple(gaps.T)] = torch.nan
        nearby = NearbyStations.among(network.distance_km(rows[:, None], rows))
        mean, variance = estimate_gaps(covariance, stretch, nearby, gaps)
        if len(gaps):
            descent.step(crps(mean, variance.log(), truth).mean(), longest=1.0)
        yield
    covariance.requires_grad_(False)


def _with_outages(
    value: Tensor, rng: np.random.Generator, *, everyone: bool
) -> tuple[Tensor, Tensor]:
    """Return a stretch of series, and the measured values in it that are to be taken out.

    Those of some stations, or of everyone: for some hours, or until the end of the stretch.
    """
    start = int(rng.integers(0, max(value.shape[1] - STRETCH, 0) + 1))
    value = value[:, start : start + STRETCH].clone()
    out = torch.zeros(value.shape, dtype=torch.bool)
    if everyone:
        begin = int(rng.integers(0, value.shape[1]))
        hours = int(rng.integers(1, LONGEST_OUTAGE + 1)) if rng.random() < 0.5 else STRETCH
        out[:, begin : begin + hours] = True
        return value, (out & torch.isfinite(value)).nonzero()
    for row in rng.permutation(len(value))[: max(len(value) // 4, 1)]:
        first, length = rng.integers(0, value.shape[1]), rng.integers(1, LONGEST_OUTAGE + 1)
        out[row, first : first + length] = True
    return value, (out & torch.isfinite(value)).nonzero()


def days_of(values: int, step_hours: float) -> float:
    """Return how many days of values so many are: hours of a day repeat each other.

    Examples
    --------
    >>> days_of(48, 1.0), days_of(48, 24.0), days_of(48, 720.0)
    (2.0, 48.0, 48)
    """
    return values * min(step_hours / 24, 1)


def prior_weight(value: Tensor, step_hours: float) -> float:
    """Return how much a departure from the usual covariance counts in the fit to a network.

    Parameters
    ----------
    value : (station, time)
        NaN where missing.
    step_hours : float
        Length of a step.

    Examples
    --------
    >>> days = torch.ones(12, 25)
    >>> cases = (days, 24.0), (days, 1.0), (days[:6], 24.0)
    >>> [round(prior_weight(*case), 2) for case in cases]
    [0.0, 0.23, 0.51]
    """
    days = max(days_of(int(torch.isfinite(value).sum()), step_hours), 1)
    of_days = PRIOR * max(1 / days - 1 / ENOUGH_DAYS, 0)
    return of_days + PRIOR_OF_STATIONS * max(1 / len(value) - 1 / ENOUGH_STATIONS, 0)


def fit_bands(
    bands: BandCovariance,
    series: "BandSeries",
    *,
    log_noise: Tensor,
    updates: int,
    rate: float,
    rng: np.random.Generator,
    together: int = STATIONS_OF_UPDATE,
    prior: float = 0.0,
    amortised: AmortisedCovariance | None = None,
) -> Iterator[None]:
    """Fit the bands to stations estimated from the others, each at its measured hours.

    Nothing is drawn but hours and, of a large network, its parts: the leave-one-out estimates of
    all stations follow from one inverse, so this takes seconds. The loss is the sum of mean
    absolute and mean squared error of the standardised root, for a field good by both. The
    factors of the stations' noise, whose logarithm is ``log_noise`` (station,), are fitted with the
    bands and shrunk towards 1. Estimates do not depend on a band's scale, which is that of their
    errors in the end. A station's own values enter the gaps of the others a little. ``together``
    stations are left out in turn in an update; all else is as of `fit_filling`.

    Parameters are shrunk by the weight ``prior`` towards those at which they begin: the usual ones,
    or what an ``amortised`` covariance makes of the statistics of the series.
    """
    if amortised is not None:
        bands.begin_at(amortised(series.statistics()))
    descent = Adam([*bands.parameters(), log_noise], rate)
    for update in range(updates):
        left_out = series.left_out(bands, log_noise, rng, steps=STEPS_OF_UPDATE, together=together)
        error = left_out.error_of_sum()
        total = error.abs().sum() + error.square().sum()
        loss = total / left_out.known.sum() + SHRINKAGE * log_noise.square().mean()
        if prior:
            loss = loss + prior * bands.departure()
        descent.rate = rate * (1 + math.cos(math.pi * update / updates)) / 2
        descent.step(loss)
        yield
    bands.requires_grad_(False)
    with torch.no_grad():
        bands.scale_to(
            torch.cat(
                [
                    (part.error / part.variance.sqrt()[:, None])[part.known]
                    for part in series.everywhere(bands, log_noise, rng, together=together)
                ]
            )
        )


class LeftOut(NamedTuple):
    """Stations that are estimated from the others, each in its turn.

    Attributes
    ----------
    rows, steps : (n,) and (t,) int64
        Stations of the network, and steps of the series.
    weight : (n, n, band) float64
    variance : (n, band) float64
    split : (n, t, band) float64
        The bands of the stations.
    known : (n, t) bool
        Where there is a measurement.
    """

    rows: np.ndarray
    steps: Tensor
    weight: Tensor
    variance: Tensor
    split: Tensor
    known: Tensor

    @property
    def error(self) -> Tensor:
        """Estimate less truth of each band, (n, t, band) float64."""
        return departures(self.weight, self.split)

    def error_of_sum(self) -> Tensor:
        """Return estimate less truth of all bands together, (n, t) float64, 0 where not known."""
        bands = self.split.permute(2, 0, 1).contiguous()  # (band, n, t)
        estimate = self.weight.mT.flatten(1) @ bands.flatten(0, 1)
        return (estimate - bands.sum(0)) * self.known


@dataclass(frozen=True, eq=False)
class BandSeries:
    """Completed series of a network, split into bands.

    Attributes
    ----------
    split : (station, time, band) float64
    measured : (station, time) bool
    reporting : (n,) int64
        Steps at which any station reports.
    network : StationNetwork
    attributes : (station, attribute) float64
    """

    split: Tensor
    measured: Tensor
    reporting: np.ndarray
    network: StationNetwork
    attributes: Tensor

    @classmethod
    def of(
        cls,
        value: Tensor,
        network: StationNetwork,
        covariance: SpaceTimeCovariance,
        widths: tuple[float, ...],
        attributes: Tensor | None = None,
    ) -> Self:
        """Return the bands of series (station, time), NaN where missing."""
        measured = torch.isfinite(value)
        reporting = measured.any(dim=0).nonzero()[:, 0].numpy()
        value, _ = complete(covariance, value, NearbyStations.of(network))
        if attributes is None:
            attributes = value.new_zeros(network.size, 0)
        return cls(bands_of(value, widths), measured, reporting, network, attributes)

    def _apart(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return distances (n, n), km, and bearings in radians, of some stations to each other."""
        if self.network.size > MOST_PAIRED:
            return _distances_and_bearings(self.network.part(rows))
        distance_km, bearing = (each[rows[:, None], rows] for each in self._pairs)
        return distance_km, bearing

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        """Those of all stations."""
        return _distances_and_bearings(self.network)

    def statistics(self) -> Tensor:
        """Return the `statistics` of the network; of a large one, their mean over its parts."""
        chosen = self.reporting[:: len(self.reporting) // STEPS_OF_SCALE + 1]
        return torch.stack(
            [
                statistics(
                    torch.from_numpy(self.network.distance_km(rows[:, None], rows)),
                    self.split[rows][:, chosen],
                    self.measured[rows][:, chosen],
                )
                for centre in range(0, self.network.size, STATIONS_OF_UPDATE)
                for rows in [self.network.nearest_to(centre, count=STATIONS_OF_UPDATE)]
            ]
        ).mean(0)

    def everywhere(
        self,
        bands: BandCovariance,
        log_noise: Tensor,
        rng: np.random.Generator,
        *,
        together: int = STATIONS_OF_UPDATE,
    ) -> Iterator[LeftOut]:
        """Yield as many parts of the network as would hold all stations, at many steps."""
        for _ in range(-(-self.network.size // together)):
            yield self.left_out(bands, log_noise, rng, steps=STEPS_OF_SCALE, together=together)

    def left_out(
        self,
        bands: BandCovariance,
        log_noise: Tensor,
        rng: np.random.Generator,
        *,
        steps: int,
        together: int,
    ) -> LeftOut:
        """Return the errors at the stations of a random part of the network and random steps."""
        network = self.network
        rows = network.nearest_to(int(rng.integers(network.size)), count=together)
        chosen = torch.from_numpy(rng.choice(self.reporting, steps))
        weight, variance = bands.leave_one_out(
            *self._apart(rows), log_noise[rows], self.attributes[rows]
        )
        split, known = (_some_of(each, rows, chosen) for each in (self.split, self.measured))
        return LeftOut(rows, chosen, weight, variance, split, known)


def _distances_and_bearings(network: StationNetwork) -> tuple[Tensor, Tensor]:
    """Return distances (n, n), km, and bearings in radians, of all stations to each other."""
    lon, lat = network.longitude, network.latitude
    bearing = np.radians(bearing_deg(lon[:, None], lat[:, None], lon, lat))
    return torch.from_numpy(network.distance_matrix_km()), torch.from_numpy(bearing)


def _some_of(series: Tensor, rows: np.ndarray, steps: Tensor) -> Tensor:
    """Return series (station, time, ...) at some rows and steps; by one index, which is fast."""
    number = torch.from_numpy(rows)[:, None] * series.shape[1] + steps
    return series.flatten(0, 1).index_select(0, number.flatten()).unflatten(0, number.shape)


def bands_of(value: Tensor, widths: tuple[float, ...]) -> Tensor:
    """Return the bands (station, time, band) of complete series, which stay as at their ends."""
    padded = torch.nn.functional.pad(value, (reach_of(widths),) * 2, mode="replicate")
    return split_bands(padded, torch.ones_like(padded[:1]), widths)


def departures(weight: Tensor, split: Tensor) -> Tensor:
    """Return what the weights of the others make of each station, less its own, (n, t, band).

    Parameters
    ----------
    weight : (n, n, band) float64
    split : (n, t, band) float64
    """
    return torch.einsum("ijb,jtb->itb", weight, split) - split


def crps(mean: Tensor, log_variance: Tensor, truth: Tensor) -> Tensor:
    """Return the continuous ranked probability score of a normal (Gneiting & Raftery 2007)."""
    spread = (log_variance / 2).exp()
    standard = (truth - mean) / spread
    density = torch.exp(-(standard**2) / 2) / math.sqrt(2 * math.pi)
    return spread * (
        standard * torch.erf(standard / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi)
    )
