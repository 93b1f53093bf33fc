"""Inverse distance weighting: the nearest stations that report, the nearer the heavier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from aqreanalysis.fields.blocks import Field
from aqreanalysis.fields.memory import Cost
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import Fitted, configuration
from aqreanalysis.methods.proven_types import proven_types
from aqreanalysis.methods.series import StationSeries, tiles, weight_matrix
from aqreanalysis.methods.transform import (
    Transform,
    check_suits,
    interpolation_faults,
    on_scale,
)
from aqreanalysis.network import Neighbours, StationNetwork
from aqreanalysis.observations import validate
from aqreanalysis.predictive import RootNormal

#: Distance below which a target is at the station: at a power of 2 or more a station's value then
#: outweighs all others by more than float32 can show.
AT_STATION_KM = 1e-4
#: Least squared error next to a station, as a share of the mean squared one: equal distances do not
#: tell it, and a monitor is never exact.
LEAST_SQUARE = 0.01
#: Values that are summed at once: 2 MB in float32, so that sums stay in the cache, in few calls.
TILE_VALUES = 1 << 19
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
        Square of the standard error next to a station, and its growth per km, after `fit`.
    variance_ : float
        Variance of the data of `fit`, the most that the square of the error may be.

    Raises
    ------
    ValueError
        All faults of the configuration at once.

    Examples
    --------
    Twice as far is a quarter of the weight:

    >>> hour = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), [[10.0], [60.0]], {"units": "ug m-3"})},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [0.0, 3.0]),
    ...         "latitude": ("station", [0.0, 0.0]),
    ...         "time": ("time", hour, {"time_label": "start", "step_hours": 1.0}),
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
        faults = interpolation_faults(self.neighbours, self.transform)
        if not (np.isfinite(self.power) and self.power > 0):
            faults.append(f"power must be positive; found {self.power}")
        if faults:
            raise ValueError("; ".join(faults))

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return this estimator with the error that it makes at stations left out in turn.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If fewer than two stations have values.
        """
        validate(observations, variable)
        self._station_types = proven_types(observations, variable)
        series = self._of_usual_type(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        series = series.to_learn_from(self.transform)
        values = series.values
        self.variance_ = float(np.nanvar(values))
        weighting, network = self._weighting(series, None), series.network
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
            valid = np.isfinite(square)
            squares.append(square[valid])
            distances.append(np.broadcast_to(distance, square.shape)[valid])
        known = np.concatenate(squares)
        # Stations that never report together tell no more than how the values vary.
        nothing = np.array([self.variance_, 0.0])
        self.squared_error_ = _growth(known, np.concatenate(distances)) if known.size else nothing
        self._variable = variable
        return self

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration and what was learned, as plain values."""
        return {
            "variable": self.variable,  # before `fit` an error that says so
            **configuration(self),
            "squared_error": self.squared_error_.tolist(),
            "variance": self.variance_,
            "station_types": self.station_types.facts(),
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
        series = self._of_usual_type(observations, self.variable)
        return _InverseDistanceField(
            self._weighting(series, self.transform),
            self.squared_error_,
            self.variance_,
            self.transform,
            series.never_negative,
        )

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return no memory: the blocks are all that a field takes."""
        return Cost()

    def _weighting(self, series: StationSeries, transform: Transform | None) -> "_Weighting":
        """Return the weighting of series, of which the values are yet to be transformed."""
        values, reported = series.on_scale(transform)
        values = values.astype(np.float32)
        return _Weighting(series.network, values, reported, self.neighbours, self.power)


@dataclass(frozen=True, eq=False)
class _Weighting:
    """Weighted means of the nearest stations that report."""

    network: StationNetwork
    values: np.ndarray  # (stations, time), zero where missing
    reported: np.ndarray  # (stations, time) bool
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
        """Return means (n, hours), and the distance to the nearest reporting station in km.

        The distance is (n, hours), or (n, 1) where it is the same at all hours. Both are NaN where
        no station reports.
        """
        values, reported = self.values[:, hours], self.reported[:, hours]
        others = self.network.size - (exclude is not None)
        count = reported.sum(axis=0) - (0 if exclude is None else reported[exclude])
        wanted = np.minimum(count, self.neighbours).astype(np.min_scalar_type(self.neighbours))
        wanted = np.broadcast_to(wanted, (longitude.size, values.shape[1]))
        spare = 0 if reported.all() else max(4, self.neighbours // 2)
        candidates = min(self.neighbours + spare, others)
        near = self.network.neighbours(longitude, latitude, k=candidates, exclude=exclude)
        mean, nearest_km, short = self._means(near, values, reported, wanted)
        while candidates < others and short.any():  # farther out, where too few of these report
            candidates = min(2 * candidates, others)
            row, hour = (np.flatnonzero(short.any(axis=axis)) for axis in (1, 0))
            excluded = None if exclude is None else exclude[row]
            near = self.network.neighbours(
                longitude[row], latitude[row], k=candidates, exclude=excluded
            )
            part = np.ix_(row, hour)
            mean[part], nearest_km[part], short[part] = self._means(
                near, values[:, hour], reported[:, hour], wanted[part]
            )
        return mean, nearest_km

    def _means(
        self, near: Neighbours, values: np.ndarray, reported: np.ndarray, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `__call__` does, and where fewer of the candidates report than wanted."""
        number = np.float32 if self.power <= FLOAT32_POWER else np.float64
        weights = np.maximum(near.distance_km, AT_STATION_KM).astype(number) ** -self.power
        k, stations = self.neighbours, self.network.size
        first = weight_matrix(near.index[:, :k], weights[:, :k], stations)
        mean = first @ values
        if reported.all():
            mean /= first @ np.ones((stations, 1), number)  # in the order of the sum below
            return mean, near.distance_km[:, :1], np.zeros((1, 1), dtype=bool)
        total = first @ reported.astype(number)
        count = first.astype(bool).astype(wanted.dtype) @ reported.astype(wanted.dtype)
        short = count < wanted
        for station, weight in zip(near.index.T[k:], weights.T[k:], strict=True):
            if not short.any():
                break
            used = short & reported[station]
            added = used * weight[:, None]
            total += added
            added *= values[station]
            mean += added
            count += used
            np.less(count, wanted, out=short)
        with np.errstate(invalid="ignore"):  # no station: 0 / 0 is NaN, as it should be
            mean /= total
        return mean, _nearest_km(near, reported), short


def _nearest_km(near: Neighbours, reported: np.ndarray) -> np.ndarray:
    """Return the distance (n, hours) to the nearest candidate that reports, NaN without any."""
    hours, table = reported.shape[1], near.distance_km.astype(np.float32)
    distance = np.repeat(table[:, :1], hours, axis=1)
    silent = np.flatnonzero(~reported[near.index[:, 0]])
    for column in range(1, table.shape[1]):
        target, hour = np.divmod(silent, hours)
        distance.flat[silent] = table[target, column]
        silent = silent[~reported[near.index[target, column], hour]]
    distance.flat[silent] = np.nan
    return distance


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
        at_station, growth = self.squared_error.astype(np.float32)
        most = np.float32(max(self.variance, at_station))
        for tile in tiles(*mean.shape, values=TILE_VALUES):
            mean[tile], nearest_km = self.weighting(longitude[tile], latitude[tile], hours)
            variance = np.multiply(growth, nearest_km, dtype=np.float32)
            variance += at_station
            np.minimum(variance, most, out=variance)
            spread[tile] = np.sqrt(variance, out=variance)
        # What is left next to a station is its own noise.
        noise = np.sqrt(self.squared_error[0])
        return on_scale(mean, spread, self.transform, noise=noise, signed=not self.never_negative)


def _growth(squares: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Return the line of squared error over distance that fits best, and starts above 0."""
    # Normal equations of the line, scaled by the longest distance: two numbers from any sample.
    longest = max(float(distances.max()), AT_STATION_KM)
    share = distances / longest
    matrix = np.array([[share.size, share.sum()], [share.sum(), (share**2).sum()]])
    root = np.linalg.cholesky(matrix + 1e-9 * matrix[0, 0] * np.eye(2))
    line = nnls(root.T, np.linalg.solve(root, [squares.sum(), (squares * share).sum()]))[0]
    at_station, growth = line
    return np.array([max(at_station, LEAST_SQUARE * squares.mean()), growth / longest])
