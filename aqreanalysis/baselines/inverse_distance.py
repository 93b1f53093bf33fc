"""Inverse distance weighting: the nearest stations that report, the nearer the heavier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from aqreanalysis.baselines.reporting import nearest_reporting
from aqreanalysis.baselines.series import StationSeries
from aqreanalysis.baselines.systems import tiles
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork

#: Distance below which a target is at the station: a station's value then outweighs all others by
#: more than float32 can show.
AT_STATION_KM = 1e-4


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
        for tile in tiles(network.size, values.shape[1]):
            left_out = np.arange(network.size)[tile]
            mean, distance = weighting(
                network.longitude[tile],
                network.latitude[tile],
                slice(0, values.shape[1]),
                exclude=left_out,
            )
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
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return means and distances to the nearest reporting station, (n, hours) float64."""
        values, reports = self.values[:, hours], self.reports[:, hours]
        near = nearest_reporting(
            self.network, reports, longitude, latitude, k=self.neighbours, exclude=exclude
        )
        weights = np.maximum(near.distance_km, AT_STATION_KM) ** -self.power
        shape = (longitude.size, near.used.shape[2])
        mean, total = np.zeros((longitude.size, values.shape[1])), np.zeros(shape)
        nearest = np.full(shape, np.inf)
        # Station after station, so that the order of the sum is the same for any block.
        for used, station, weight, distance in zip(
            near.used, near.index.T, weights.T, near.distance_km.T, strict=True
        ):
            share = used * weight[:, None]
            mean += share * values[station]
            first = used & (total == 0)  # the nearest that reports
            np.copyto(nearest, distance[:, None], where=first)
            total += share
        mean /= np.where(total > 0, total, np.nan)
        return mean, np.broadcast_to(nearest, mean.shape)


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
        for tile in tiles(*mean.shape):
            found, distance = self.weighting(longitude[tile], latitude[tile], hours)
            mean[tile] = np.maximum(found, 0.0) if self.never_negative else found
            distance = np.where(np.isnan(found), np.nan, distance)
            squared = np.minimum(beside + growth * distance, max(self.variance, beside))
            error[tile] = np.sqrt(squared)
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
