"""What kriging learns by leaving stations out: a variogram's form, neighbours, how far it errs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self

import numpy as np

from aqreanalysis.methods.kriging.spread import (
    AGREEMENT,
    FEWEST,
    fit_freedom,
    fit_log_variance,
    interval_factor,
    normal_crps,
)
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.methods.transform import Transform, on_scale
from aqreanalysis.predictive import RootNormal

#: What is fitted to the errors at left-out stations; False keeps the kriging variance.
Calibration = Literal["factor", "law", False]

#: Places of left-out stations below which nothing is learned from them.
FEWEST_PLACES = 3
#: Values at left-out stations, at most; and such stations.
VALUES, STATIONS = 1 << 14, 256
#: Neighbours that are taken unless another number is better by more than a share of the score:
#: below that it is chance which is best.
USUAL, GAIN = 24, 5e-3
#: Standard errors over stations by which a form of the variogram has to be better too: 99 %.
CLEARLY = 2.58
#: Standardised estimate beyond which the spread does not follow the level.
FARTHEST = 6.0


class Kriged(NamedTuple):
    """Kriging on the scale of interpolation, arrays of one shape.

    ``disagreement`` is the mean squared difference of the neighbours from the estimate, each with
    the share of its weight; None where it was not asked for.
    """

    mean: np.ndarray
    spread: np.ndarray
    disagreement: np.ndarray | None


@dataclass(frozen=True)
class SpreadLaw:
    """The standard error of a new measurement, from what kriging says of it.

    In units of the values' spread, with m the standardised estimate, D the `Kriged` disagreement
    and V the kriging variance, the variance is
    ``factor**2 * (D + AGREEMENT)**disagreement * exp(level * m) * V**variance``. By default it is
    that of kriging.

    Parameters
    ----------
    factor : float
        Of the standard error.
    disagreement, level, variance : float
        Powers of the disagreement, of the exponential of the estimate and of the kriging variance.
    centre, unit : float
        Mean and standard deviation of the values on the scale of interpolation.
    freedom : float
        Degrees of freedom of the error; infinite for a normal one.

    Examples
    --------
    >>> kriged = Kriged(np.array([3.0]), np.array([0.5]), None)
    >>> SpreadLaw(factor=1.2)(kriged)
    array([0.6])
    """

    factor: float = 1.0
    disagreement: float = 0.0
    level: float = 0.0
    variance: float = 1.0
    centre: float = 0.0
    unit: float = 1.0
    freedom: float = math.inf

    @property
    def constant(self) -> bool:
        """Whether the standard error is that of kriging times a factor."""
        return (self.disagreement, self.level, self.variance) == (0.0, 0.0, 1.0)

    def __call__(self, kriged: Kriged) -> np.ndarray:
        """Return the standard error on the scale of interpolation."""
        if self.constant:
            return kriged.spread * self.factor
        powers = np.array([self.disagreement, self.level, self.variance])
        log_variance = _features(kriged, self.centre, self.unit) @ powers
        return self.factor * self.unit * np.exp(log_variance / 2)


class CalibratedField:
    """What ordinary and space-time kriging share: kriging somewhere becomes a distribution."""

    law: SpreadLaw
    transform: Transform | None
    never_negative: bool

    @property
    def noise(self) -> float:
        """Standard deviation of a monitor's noise on the scale of interpolation."""
        raise NotImplementedError

    def kriged(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice, *, disagreement: bool
    ) -> Kriged:
        """Return kriging on the scale of interpolation, (n, hours) float32."""
        raise NotImplementedError

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32: the noise keeps its share of the spread."""
        law = self.law
        kriged = self.kriged(longitude, latitude, hours, disagreement=not law.constant)
        spread = law(kriged).astype(np.float32)
        own: np.ndarray | float = self.noise * law.factor
        if not law.constant:
            share = np.divide(spread, kriged.spread, out=np.zeros_like(spread), where=spread > 0)
            own = np.float32(self.noise) * share
        signed = not self.never_negative
        return on_scale(
            kriged.mean, spread, self.transform, noise=own, signed=signed, freedom=law.freedom
        )


def _features(kriged: Kriged, centre: float, unit: float) -> np.ndarray:
    """Return what the law has powers of, as logarithms, (..., 3)."""
    assert kriged.disagreement is not None
    return np.stack(
        [
            np.log(kriged.disagreement.astype(np.float64) / unit**2 + AGREEMENT),
            np.clip((kriged.mean - centre) / unit, -FARTHEST, FARTHEST),
            2 * np.log(np.maximum(kriged.spread.astype(np.float64), 1e-9 * unit) / unit),
        ],
        axis=-1,
    )


class Part(NamedTuple):
    """Stations that are left out together, and what they are estimated from."""

    left_out: np.ndarray  # rows of the whole series
    series: StationSeries  # of the others around them, in some of the hours
    truth: np.ndarray  # (left out, hours), NaN where not scored


def parts_of(
    series: StationSeries, *, parts: int, near: int, core: int, margin: int
) -> Iterator[Part]:
    """Yield parts of a network to leave out in turn: all, or a sample of a large one.

    Parameters
    ----------
    series : StationSeries
    parts : int
        How many there are at most; co-located stations are in one.
    near : int
        Stations around each of those left out that the series of the others hold.
    core, margin : int
        Hours are taken in windows of ``core``, with ``margin`` around them that is not scored.
    """
    network = series.network
    places = int(network.colocated_groups().max()) + 1
    if places < FEWEST_PLACES:
        return
    together = -(-STATIONS // parts)
    number = network.folds(min(places, max(parts, -(-places // together))), seed=0)
    hours, scored = _windows(series.values, core, margin)
    for part in range(min(parts, number.max() + 1)):
        left_out = np.flatnonzero(number == part)
        at = network.longitude[left_out], network.latitude[left_out]
        around = network.neighbours(*at, k=min(near + left_out.size, network.size)).index
        others = np.setdiff1d(around, left_out)
        truth = np.where(scored, series.values[np.ix_(left_out, hours)], np.nan)
        yield Part(left_out, series.part(others, hours), truth)


def _windows(values: np.ndarray, core: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of hours, evenly spread, and whether each is scored rather than margin."""
    length = values.shape[1]
    windows = max(VALUES // (core * min(len(values), STATIONS)), 1)
    if windows * (core + 2 * margin) >= length:
        return np.arange(length), np.ones(length, dtype=bool)
    start = np.linspace(0, length - core, windows).astype(np.int64)
    offset = np.arange(-margin, core + margin)
    hours = start[:, None] + offset
    inside = (hours >= 0) & (hours < length)
    scored = np.broadcast_to((offset >= 0) & (offset < core), hours.shape)
    return hours[inside], scored[inside]


@dataclass(frozen=True)
class LeftOut:
    """Estimates at left-out stations where there is truth, (n,) float64 on the scale."""

    kriged: Kriged
    truth: np.ndarray
    #: Rows of the series, (n,) int64; none where stations are not compared.
    station: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, columns: np.ndarray) -> Self:
        """Return estimates of columns: station, truth, mean, spread and perhaps disagreement."""
        station, truth, mean, spread, *rest = columns
        return cls(Kriged(mean, spread, rest[0] if rest else None), truth, station.astype(np.int64))

    @property
    def enough(self) -> bool:
        """Whether anything can be learned from them."""
        return self.truth.size >= FEWEST and self.truth.std() > 0

    def factor(self, spread: np.ndarray, freedom: float = math.inf) -> float:
        """Return the factor of a spread with which the 90 % interval holds 90 % of the truth."""
        return interval_factor(self.truth - self.kriged.mean, spread, freedom)

    def crps(self) -> np.ndarray:
        """Return the CRPS, (n,), with the spread that a factor makes right."""
        spread = self.kriged.spread * self.factor(self.kriged.spread)
        return normal_crps(self.truth - self.kriged.mean, spread)[0]

    def by_station(self) -> np.ndarray:
        """Return the mean CRPS at each station, NaN where there is no truth."""
        count = np.bincount(self.station)
        total = np.bincount(self.station, self.crps())
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def fitted(self, calibrate: Calibration) -> SpreadLaw:
        """Return the law of the spread that the errors show."""
        law = SpreadLaw()
        if not calibrate:
            return law
        if calibrate == "law":
            centre, unit = float(self.truth.mean()), float(self.truth.std())
            law = SpreadLaw(1.0, *self._powers(centre, unit), centre, unit)
        spread = law(self.kriged)
        freedom = fit_freedom(self.truth - self.kriged.mean, spread)
        return replace(law, factor=self.factor(spread, freedom), freedom=freedom)

    def _powers(self, centre: float, unit: float) -> tuple[float, float, float]:
        """Return the powers with the least mean CRPS."""
        features = _features(self.kriged, centre, unit)
        error = (self.truth - self.kriged.mean) / unit
        disagreement, level, variance = map(float, fit_log_variance(features, error)[:-1])
        return disagreement, level, variance


def best_neighbours(scores: Mapping[int, float]) -> int:
    """Return the number of neighbours with the best score, if it is better than that of `USUAL`.

    Examples
    --------
    >>> best_neighbours({8: 1.02, 16: 1.0, 24: 1.004}), best_neighbours({8: 1.0, 24: 1.02})
    (24, 8)
    """
    usual, best = min(USUAL, max(scores)), min(scores, key=lambda k: scores[k])
    return best if scores[best] * (1 + GAIN) < scores[usual] else usual


def best_model(scores: Sequence[np.ndarray]) -> int:
    """Return which form of the variogram to take: the first, unless another is clearly better.

    Parameters
    ----------
    scores : sequence of (station,) float64
        Mean scores at left-out stations, the same ones for each form; the less, the better.

    Examples
    --------
    Better by a tenth at each station; and on average, but by one station alone:

    >>> usual = np.array([1.0, 2.0, 1.5, 1.2])
    >>> best_model([usual, 0.9 * usual]), best_model([usual, usual - [1, 0, 0, 0]])
    (1, 0)
    """
    gains = [scores[0] - other for other in scores]
    clear = [
        np.nanmean(gain) > GAIN * np.nanmean(scores[0])
        and np.nanmean(gain) > CLEARLY * np.nanstd(gain) / np.sqrt(np.isfinite(gain).sum())
        for gain in gains
    ]
    better = [number for number, is_clear in enumerate(clear) if is_clear]
    return max(better, key=lambda number: float(np.nanmean(gains[number])), default=0)
