"""Inverse distance weighting: the nearest stations that report, the nearer the heavier."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import xarray as xr
from scipy import sparse
from scipy.optimize import nnls

from aqreanalysis.baselines.series import StationSeries
from aqreanalysis.baselines.systems import tiles
from aqreanalysis.grid import Grid
from aqreanalysis.network import Neighbours, StationNetwork

#: Distance below which a target is at the station: a station's value then outweighs all others by
#: more than float32 can show.
AT_STATION_KM = 1e-4
#: Values that are summed at once: 256 kB in float64, so that a sum stays in the cache.
TILE_VALUES = 1 << 15


@dataclass
class InverseDistance:
    """Inverse distance weighting, hour by hour, of the nearest stations that report at that hour.

    The estimate is ``sum(w z) / sum(w)`` with ``w = 1 / distance ** power`` (Shepard 1968, ACM
    National Conference, 517). It equals the measurement at a station that reports. The standard
    error is that of leaving out each station in turn of the data of `fit`; its square grows
    linearly with the distance to the nearest station that reports, up to the variance of the data.

    Parameters
    ----------
    neighbours : int
        Reporting stations in an estimate; all of them where there are fewer.
    power : float
        Exponent of the distance.

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
    >>> InverseDistance().fit(observations, "pm25").predict(observations, at).pm25.values.round(3)
    array([[20.]], dtype=float32)
    """

    neighbours: int = 12
    power: float = 2.0
    name: str = field(default="idw", init=False)
    squared_error_: np.ndarray = field(init=False, repr=False, compare=False)
    variance_: float = field(init=False, repr=False, compare=False)
    variable_: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        faults = []
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
        self.variable_ = variable
        self.variance_ = float(np.nanvar(series.values))
        weighting = self._weighting(series)
        network, values = series.network, series.values
        squares, distances = [], []
        for tile, mean, distance in weighting(
            network.longitude,
            network.latitude,
            slice(0, values.shape[1]),
            exclude=np.arange(network.size),
        ):
            square = (mean - values[tile]) ** 2
            known = np.isfinite(square)
            squares.append(square[known])
            distances.append(distance[known])
        self.squared_error_ = _growth(np.concatenate(squares), np.concatenate(distances))
        return self

    def predict(
        self,
        observations: xr.Dataset,
        at: Grid | xr.Dataset,
        *,
        time: slice | None = None,
        chunks: Mapping[str, int] | None = None,
    ) -> xr.Dataset:
        """Return estimate and standard error on a grid or at stations, lazily.

        Parameters
        ----------
        observations : Dataset
            Stations and values from which to estimate; need not be those of `fit`.
        at : Grid or Dataset
            Where: a grid, or any Dataset with longitude and latitude on ``station``.
        time : slice of labels, optional
            Hours to estimate; all by default.
        chunks : mapping, optional
            Size of the blocks along the dimensions of the result.

        Returns
        -------
        Dataset
            As of `aqreanalysis.blocks.predict_blocks`; NaN at hours at which no station reports.

        Raises
        ------
        AttributeError
            Before `fit`.
        ValueError
            If fewer than two stations have values.
        """
        if not hasattr(self, "squared_error_"):
            raise AttributeError("inverse distance has no error yet: call fit(observations, name)")
        series = StationSeries.from_dataset(observations, self.variable_)
        engine = _InverseDistanceField(
            self._weighting(series), self.squared_error_, self.variance_, series.never_negative
        )
        return series.predict(engine, at, time=time, chunks=chunks)

    def _weighting(self, series: StationSeries) -> "_Weighting":
        """Return the weighting of the series' stations."""
        return _Weighting(
            series.network,
            np.nan_to_num(series.values),
            ~np.isnan(series.values),
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
        hours: slice,
        *,
        exclude: np.ndarray | None = None,
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield targets, their means and distances to the nearest reporting station, (n, hours)."""
        values, reports = self.values[:, hours], self.reports[:, hours]
        others = self.network.size - (exclude is not None)
        # Looked at are as many as it takes for enough of them to report at every hour.
        reach = min(self.neighbours + int((~reports).sum(axis=0).max()), others)
        count = min(self.neighbours + max(4, self.neighbours // 2), reach)
        near = self.network.neighbours(longitude, latitude, k=count, exclude=exclude)
        while count < reach and self._lacking(near, reports).any():
            count = min(2 * count, reach)
            near = self.network.neighbours(longitude, latitude, k=count, exclude=exclude)
        for tile in tiles(longitude.size, values.shape[1], values=TILE_VALUES):
            nearest = Neighbours(near.index[tile], near.distance_km[tile])
            yield tile, self._means(nearest, values, reports), _distances(nearest, reports)

    def _lacking(self, near: Neighbours, reports: np.ndarray) -> np.ndarray:
        """Return at which sets of stations, by hour, fewer report than are wanted."""
        sets = np.unique(np.sort(near.index, axis=1), axis=0)
        return reports[sets].sum(axis=1) < self.neighbours

    def _means(self, near: Neighbours, values: np.ndarray, reports: np.ndarray) -> np.ndarray:
        """Return weighted means (n, hours), NaN where no station reports."""
        # Station after station, so that the order of the sum is the same for any block: a sparse
        # product sums so, a dense one does not.
        weights = np.maximum(near.distance_km, AT_STATION_KM) ** -self.power
        first = _sparse(near.index[:, : self.neighbours], weights, self.network.size)
        mean = first @ values
        if reports.all():
            return mean / (first @ np.ones((self.network.size, 1)))  # summed as it is below
        reporting = reports.astype(np.float64)
        total = first @ reporting
        count = (
            _sparse(near.index[:, : self.neighbours], np.ones_like(weights), self.network.size)
            @ reporting
        )
        for station, weight in zip(
            near.index.T[self.neighbours :], weights.T[self.neighbours :], strict=True
        ):
            wanted = count < self.neighbours
            if not wanted.any():
                break
            steps_in = wanted * reporting[station]
            count += steps_in
            steps_in *= weight[:, None]
            total += steps_in
            mean += steps_in * values[station]
        with np.errstate(invalid="ignore"):  # no station: 0 / 0 is NaN, as it should be
            return mean / total


def _sparse(index: np.ndarray, weights: np.ndarray, stations: int) -> sparse.csr_array:
    """Return the matrix (n, station) of the weights of each target's stations, in their order."""
    rows = np.arange(len(index) + 1) * index.shape[1]
    entries = weights[:, : index.shape[1]].ravel()
    return sparse.csr_array((entries, index.ravel(), rows), shape=(len(index), stations))


def _distances(near: Neighbours, reports: np.ndarray) -> np.ndarray:
    """Return distances (n, hours) to the nearest station that reports, NaN where none does."""
    distance = np.repeat(near.distance_km[:, :1], reports.shape[1], axis=1)
    target, hour = np.nonzero(~reports[near.index[:, 0]])
    for station, farther in zip(near.index.T[1:], near.distance_km.T[1:], strict=True):
        if not target.size:
            return distance
        distance[target, hour] = farther[target]
        silent = ~reports[station[target], hour]
        target, hour = target[silent], hour[silent]
    distance[target, hour] = np.nan
    return distance


@dataclass(frozen=True, eq=False)
class _InverseDistanceField:
    """The engine: weighted means, with an error by the distance to the nearest station."""

    weighting: _Weighting
    squared_error: np.ndarray
    variance: float
    never_negative: bool

    def __call__(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error, (n, hours) float32."""
        mean = np.empty((longitude.size, hours.stop - hours.start), dtype=np.float32)
        error = np.empty_like(mean)
        beside, growth = self.squared_error
        for tile, found, distance in self.weighting(longitude, latitude, hours):
            mean[tile] = np.maximum(found, 0.0) if self.never_negative else found
            distance *= growth
            distance += beside
            np.minimum(distance, max(self.variance, beside), out=distance)
            np.sqrt(distance, out=error[tile])
        return mean, error


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
