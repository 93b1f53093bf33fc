"""Inverse distance weighting: the nearest stations that report, the nearer the heavier."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from scipy import sparse
from scipy.optimize import nnls

from aqreanalysis.fields.blocks import Field
from aqreanalysis.fields.memory import Cost
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import Fitted, configuration
from aqreanalysis.methods.kriging.systems import tiles
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.methods.transform import (
    Transform,
    check_suits,
    on_scale,
    to_scale,
    transform_faults,
)
from aqreanalysis.network import Neighbours, StationNetwork
from aqreanalysis.predictive import RootNormal

#: Distance below which a target is at the station: at a power of 2 or more a station's value then
#: outweighs all others by more than float32 can show.
AT_STATION_KM = 1e-4
#: Values that are summed at once: 1 MB in float32, so that a sum stays in the cache.
TILE_VALUES = 1 << 18
#: Exponent up to which weights on the globe, times values, are numbers of float32.
FLOAT32_POWER = 4.0


@dataclass
class InverseDistance(Fitted):
    """Inverse distance weighting, hour by hour, of the nearest stations that report at that hour.

    The root's mean is ``sum(w z) / sum(w)`` of the neighbours' square roots z, with
    ``w = 1 / distance ** power`` (Shepard 1968, ACM National Conference, 517). At a power of 2 or
    more the estimate equals the measurement at a station that reports. The spread is the error of
    leaving out each station in turn of the data of `fit`; its square grows linearly with the
    distance to the nearest station that reports, up to the variance of the data.

    Parameters
    ----------
    neighbours : int
        Reporting stations in an estimate; all of them where there are fewer.
    power : float
        Exponent of the distance.
    transform : {None, "sqrt"}
        Scale of interpolation, as in `OrdinaryKriging`. Without a transform this is Shepard's
        weighted mean of concentrations, which is then taken for the median.

    Attributes
    ----------
    squared_error_ : (2,) ndarray
        Square of the standard error beside a station, and its growth per km, after `fit`.
    variance_ : float
        Variance of the data of `fit`, the most that the square of the error may be.

    Raises
    ------
    ValueError
        All faults of the configuration at once.

    Examples
    --------
    Twice as far is a quarter of the weight:

    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), [[10.0], [60.0]])},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [0.0, 3.0]),
    ...         "latitude": ("station", [0.0, 0.0]),
    ...         "time": np.array(["2024-01-01T00"], "datetime64[ns]"),
    ...     },
    ... )
    >>> at = xr.Dataset(coords={"longitude": ("station", [1.0]), "latitude": ("station", [0.0])})
    >>> shepard = InverseDistance(transform=None).fit(observations, "pm25")
    >>> shepard.predict(observations, at).pm25.values.round(3)
    array([[20.]], dtype=float32)
    """

    neighbours: int = 12
    power: float = 2.0
    transform: Transform | None = "sqrt"
    squared_error_: np.ndarray = field(init=False, repr=False, compare=False)
    variance_: float = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "idw"
    takes_background: ClassVar[bool] = False
    references: ClassVar[str] = "Shepard 1968, https://doi.org/10.1145/800186.810616"

    def __post_init__(self) -> None:
        faults = transform_faults(self.transform)
        if self.neighbours < 1:
            faults.append(f"neighbours must be at least 1; found {self.neighbours}")
        if not (np.isfinite(self.power) and self.power > 0):
            faults.append(f"power must be positive; found {self.power}")
        if faults:
            raise ValueError("; ".join(faults))

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return this estimator with the error that it makes at stations left out in turn.

        Raises
        ------
        ValueError
            If fewer than two stations have values.
        """
        series = StationSeries.from_dataset(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        values = to_scale(series.values, self.transform)
        self.variance_ = float(np.nanvar(values))
        weighting, network = self._weighting(series), series.network
        every = slice(0, values.shape[1])
        squares, distances = [], []
        for tile in tiles(network.size, values.shape[1], values=TILE_VALUES):
            mean, distance = weighting(
                network.longitude[tile],
                network.latitude[tile],
                every,
                exclude=np.arange(network.size)[tile],
            )
            square = (mean - values[tile]) ** 2
            known = np.isfinite(square)
            squares.append(square[known])
            distances.append(distance[known])
        self.squared_error_ = _growth(np.concatenate(squares), np.concatenate(distances))
        self._variable = variable
        return self

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration and what was learned, as plain values."""
        return {
            **configuration(self),
            "squared_error": self.squared_error_.tolist(),
            "variance": self.variance_,
        }

    def field(self, observations: xr.Dataset, at: Grid | xr.Dataset, hours: slice) -> Field:
        """Return the field of observations, which need not be those of `fit`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If fewer than two stations have values.
        """
        series = StationSeries.from_dataset(observations, self.variable)
        return _InverseDistanceField(
            self._weighting(series),
            self.squared_error_,
            self.variance_,
            self.transform,
            series.never_negative,
        )

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return nothing beside the blocks."""
        return Cost()

    def _weighting(self, series: StationSeries) -> "_Weighting":
        """Return the weighting of the series' stations."""
        values, reports = series.on_scale(self.transform)
        return _Weighting(
            series.network,
            values.astype(np.float32),
            reports,
            self.neighbours,
            self.power,
        )


@dataclass(frozen=True, eq=False)
class _Weighting:
    """Weighted means of the nearest stations that report."""

    network: StationNetwork
    values: np.ndarray  # (stations, time), zero where missing
    reports: np.ndarray  # (stations, time) bool
    neighbours: int
    power: float

    def __call__(
        self,
        longitude: np.ndarray,
        latitude: np.ndarray,
        hours: slice | np.ndarray,
        *,
        measure: Callable[[np.ndarray], np.ndarray] = np.asarray,
        exclude: np.ndarray | None = None,
        candidates: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return means, and a measure of the distance to the nearest reporting station.

        Both (n, hours), NaN where no station reports.
        """
        values, reports = self.values[:, hours], self.reports[:, hours]
        others = self.network.size - (exclude is not None)
        spare = 0 if reports.all() else max(4, self.neighbours // 2)
        candidates = min(candidates or self.neighbours + spare, others)
        near = self.network.neighbours(longitude, latitude, k=candidates, exclude=exclude)
        mean, wanted = self._means(near, values, reports, exclude)
        nearest = _of_first_reporting(measure(near.distance_km), near.index, reports)
        row, hour = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
        if row.size and candidates < others:  # farther out, where that is wanted
            part = np.ix_(row, hour)
            mean[part], nearest[part] = self(
                longitude[row],
                latitude[row],
                np.arange(self.values.shape[1])[hours][hour],
                measure=measure,
                exclude=None if exclude is None else exclude[row],
                candidates=2 * candidates,
            )
        return mean, nearest

    def _means(
        self,
        near: Neighbours,
        values: np.ndarray,
        reports: np.ndarray,
        exclude: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return weighted means, and where farther stations are wanted, (n, hours) each."""
        # Station after station, so that the order of the sum is the same for any block: a sparse
        # product sums so, a dense one does not.
        weights = self._weights(near.distance_km)
        first = _sparse(near.index[:, : self.neighbours], weights, self.network.size)
        mean = first @ values
        if reports.all():
            mean /= first @ np.ones((self.network.size, 1), weights.dtype)  # summed as it is below
            return mean, np.zeros(mean.shape, bool)
        total = first @ reports.astype(weights.dtype)
        small = np.min_scalar_type(self.neighbours)  # four times as many to a register
        count = first.astype(bool).astype(small) @ reports.astype(small)
        there = reports.sum(axis=0) if exclude is None else reports.sum(axis=0) - reports[exclude]
        most = np.minimum(there, self.neighbours).astype(small)
        wanted = count < most
        for station, weight in zip(
            near.index.T[self.neighbours :], weights.T[self.neighbours :], strict=True
        ):
            if not wanted.any():
                break
            steps_in = wanted & reports[station]
            weighted = steps_in * weight[:, None]
            total += weighted
            weighted *= values[station]
            mean += weighted
            count += steps_in
            np.less(count, most, out=wanted)
        with np.errstate(invalid="ignore"):  # no station: 0 / 0 is NaN, as it should be
            mean /= total
        return mean, wanted

    def _weights(self, distance_km: np.ndarray) -> np.ndarray:
        """Return the weights (n, candidates) of stations at these distances."""
        number = np.float32 if self.power <= FLOAT32_POWER else np.float64
        return np.maximum(distance_km, AT_STATION_KM).astype(number) ** -self.power


def _sparse(index: np.ndarray, weights: np.ndarray, stations: int) -> sparse.csr_array:
    """Return the matrix (n, station) of the weights of each target's stations, in their order."""
    rows = np.arange(len(index) + 1, dtype=np.int32) * index.shape[1]
    entries = weights[:, : index.shape[1]].ravel()
    return sparse.csr_array(
        (entries, index.ravel().astype(np.int32), rows), shape=(len(index), stations)
    )


def _of_first_reporting(table: np.ndarray, index: np.ndarray, reports: np.ndarray) -> np.ndarray:
    """Return, of a table (n, candidates), what belongs to the nearest station that reports.

    (n, hours), NaN where none of the candidates reports.
    """
    if reports.all():
        return np.broadcast_to(table[:, :1], (len(table), reports.shape[1]))
    found = np.repeat(table[:, :1], reports.shape[1], axis=1)
    silent = np.flatnonzero(~reports[index[:, 0]])
    for column in range(1, index.shape[1]):
        if not silent.size:
            return found
        target, hour = np.divmod(silent, reports.shape[1])
        found.flat[silent] = table[target, column]
        silent = silent[~reports[index[target, column], hour]]
    found.flat[silent] = np.nan
    return found


@dataclass(frozen=True, eq=False)
class _InverseDistanceField:
    """The engine: weighted means, with an error by the distance to the nearest station."""

    weighting: _Weighting
    squared_error: np.ndarray
    variance: float
    transform: Transform | None
    never_negative: bool

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32, hour by hour in memory."""
        shape = (hours.stop - hours.start, longitude.size)
        mean, spread = np.empty(shape, np.float32).T, np.empty(shape, np.float32).T
        for tile in tiles(*mean.shape, values=TILE_VALUES):
            mean[tile], spread[tile] = self.weighting(
                longitude[tile], latitude[tile], hours, measure=self._spread
            )
        # What is left beside a station is its own noise.
        noise = np.sqrt(self.squared_error[0])
        return on_scale(mean, spread, self.transform, noise=noise, signed=not self.never_negative)

    def _spread(self, distance_km: np.ndarray) -> np.ndarray:
        """Return the spread at such a distance from a station that reports."""
        beside, growth = self.squared_error
        square = np.minimum(beside + growth * distance_km, max(self.variance, beside))
        return np.sqrt(square).astype(np.float32)


def _growth(squares: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return the non-negative line of squared error over distance that fits best."""
    if not squares.size:
        return np.zeros(2)
    # Normal equations of the line, scaled by the longest distance: two numbers from any sample.
    longest = max(float(distances.max()), AT_STATION_KM)
    share = distances / longest
    matrix = np.array([[share.size, share.sum()], [share.sum(), (share**2).sum()]])
    root = np.linalg.cholesky(matrix + 1e-9 * matrix[0, 0] * np.eye(2))
    line = nnls(root.T, np.linalg.solve(root, [squares.sum(), (squares * share).sum()]))[0]
    return line / [1.0, longest]
