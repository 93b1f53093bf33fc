"""Space-time kriging: ordinary kriging from the neighbours' values before, at and after an hour."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Self

import numpy as np
import xarray as xr

from aqreanalysis.fields.blocks import Field
from aqreanalysis.grid import Grid
from aqreanalysis.methods.kriging.calibration import (
    CalibratedField,
    Calibration,
    Kriged,
    SpreadLaw,
)
from aqreanalysis.methods.kriging.completed_series import CompletedSeries
from aqreanalysis.methods.kriging.method import Kriging
from aqreanalysis.methods.kriging.solver import Weights, weights_of_sets
from aqreanalysis.methods.kriging.space_time_variogram import (
    SpaceTimeVariogram,
    space_time_variogram_of,
)
from aqreanalysis.methods.kriging.variogram import VariogramModel, empirical_variogram
from aqreanalysis.methods.series import StationSeries, weight_matrix
from aqreanalysis.methods.transform import Transform

#: Stations, at most, from which a silent one is completed at each lag if no number is given.
COMPLETED_FROM = 12


@dataclass
class SpaceTimeKriging(Kriging):
    """Ordinary kriging in space and time, from the nearest stations at several hours.

    Each estimate takes the values of the nearest stations at the hour and some hours before and
    after, with an unknown mean that is constant in that neighbourhood. Stations that are silent are
    first completed by kriging from what reports near them, in space and time, so that the weights
    of a target are the same at all hours (`CompletedSeries`). The
    nugget and the local variance are taken as noise of a station, as in `OrdinaryKriging`. The
    standard error is that of a new measurement; it takes the errors of completed values as fully
    correlated, so that gaps never make it too small.

    Parameters
    ----------
    neighbours : int, optional
        Stations in an estimate; all of them where there are fewer. By default 24, or
        another of 8, 12 and 16 if its CRPS at left-out stations is lower by more than 0.5 %.
    lags : tuple of int
        Hours from which values are taken, in steps of the time axis relative to the hour that is
        estimated. ``(0,)`` is ordinary kriging of completed series: faster than
        `OrdinaryKriging` where values are missing, and nearly the same.
    transform : {None, "sqrt"}
        Scale of interpolation, as in `OrdinaryKriging`.
    model : {"exponential", "spherical", "matern32"}, optional
        Form of the variogram in space that `fit` finds, by default chosen as in `OrdinaryKriging`.
    variogram : SpaceTimeVariogram, optional
        A variogram on the scale of interpolation, which `fit` then keeps instead of fitting one.
    calibrate : {"factor", "law", False}, optional
        As in `OrdinaryKriging`.

    Attributes
    ----------
    variogram_, neighbours_, spread_ : SpaceTimeVariogram, int, SpreadLaw
        Those in use, after `fit`.
    plausible_ : tuple of float
        Range of the scale of interpolation beyond which a value, such as 9999, is used at its own
        hour alone: see `aqreanalysis.methods.series.StationSeries.plausible`.

    Raises
    ------
    ValueError
        All faults of the configuration at once.

    Examples
    --------
    Two stations that always agree are followed in between, also while one of them is silent:

    >>> hours = np.arange("2024-01-01T00", "2024-01-01T03", dtype="datetime64[h]")
    >>> hours = hours.astype("datetime64[ns]")
    >>> series = [[10.0, 20.0, 30.0], [10.0, np.nan, 30.0]]
    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), series, {"units": "ug m-3"})},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [10.0, 10.2]),
    ...         "latitude": ("station", [50.0, 50.0]),
    ...         "time": ("time", hours, {"time_label": "start", "step_hours": 1.0}),
    ...     },
    ... )
    >>> between = Grid((10.0, 10.2, 49.9, 50.1), 0.2)
    >>> variogram = SpaceTimeVariogram("exponential", 90.0, 500.0, 5.0, 0.0, 1.0, 0.0)
    >>> kriging = SpaceTimeKriging(transform=None, variogram=variogram)
    >>> field = kriging.fit(observations, "pm25").predict(observations, between)
    >>> field.pm25.values.ravel().round().tolist()
    [10.0, 20.0, 30.0]
    """

    neighbours: int | None = None
    lags: tuple[int, ...] = (-2, -1, 0, 1, 2)
    transform: Transform | None = "sqrt"
    model: VariogramModel | None = None
    variogram: SpaceTimeVariogram | None = None
    calibrate: Calibration | None = None
    variogram_: SpaceTimeVariogram = field(init=False, repr=False, compare=False)
    neighbours_: int = field(init=False, repr=False, compare=False)
    spread_: SpreadLaw = field(init=False, repr=False, compare=False)
    plausible_: tuple[float, float] = field(
        default=(-np.inf, np.inf), init=False, repr=False, compare=False
    )

    CHOICES: ClassVar[tuple[int, ...]] = (8, 12, 16, 24)
    PARTS: ClassVar[int] = 10
    CORE: ClassVar[int] = 12

    name: ClassVar[str] = "space_time_kriging"
    references: ClassVar[str] = (
        "Graeler, Pebesma and Heuvelink 2016, R Journal, https://doi.org/10.32614/RJ-2016-014"
    )

    def _faults(self) -> list[str]:
        """Return what is wrong with the configuration."""
        self.lags = tuple(sorted(self.lags))
        if 0 in self.lags and len(set(self.lags)) == len(self.lags):
            return super()._faults()
        return [*super()._faults(), f"lags must be distinct and hold 0; found {self.lags}"]

    def _fitted_variograms(
        self, series: StationSeries, models: Sequence[VariogramModel]
    ) -> list[SpaceTimeVariogram]:
        """Return the variograms of series on the scale of interpolation."""
        longest = min(max(self.lags) - min(self.lags), series.values.shape[1] - 1)
        empirical = empirical_variogram(
            series.values, series.network.distance_matrix_km(), lags=tuple(range(longest + 1))
        )
        return [space_time_variogram_of(empirical, series.step_hours, model) for model in models]

    def _measured(self, observations: xr.Dataset, variable: str) -> StationSeries:
        """Return the series, which tell what is plausible."""
        series = super()._measured(observations, variable)
        self.plausible_ = series.plausible(self.transform)
        return series

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
        return self._field(series, self.transform, self.neighbours_, self.spread_)

    @property
    def _margin(self) -> int:
        """Hours around an estimate: those of its lags, and those that complete these."""
        return 2 * max(map(abs, self.lags))

    def _field(
        self,
        series: StationSeries,
        transform: Transform | None,
        neighbours: int,
        law: SpreadLaw,
    ) -> "_SpaceTimeField":
        """Return the engine of series, of which the values are yet to be transformed."""
        values, reported = series.on_scale(transform)
        low, high = self.plausible_
        absurd = reported & ((values < low) | (values > high))
        completed = CompletedSeries(
            series.network,
            np.where(absurd, 0.0, values) if absurd.any() else values,
            reported & ~absurd,
            self.variogram_,
            self.lags,
            series.step_hours,
            self.neighbours or min(neighbours, COMPLETED_FROM),
        )
        return _SpaceTimeField(
            completed,
            self.variogram_,
            np.where(absurd, values, np.nan) if absurd.any() else None,
            neighbours,
            law,
            transform,
            series.never_negative,
        )


@dataclass(frozen=True, eq=False)
class _SpaceTimeField(CalibratedField):
    """The engine: weights of each target once, then weighted sums over completed series."""

    completed: CompletedSeries
    variogram: SpaceTimeVariogram
    # Absurd values, NaN elsewhere: completed from the others for all hours but their own.
    absurd: np.ndarray | None  # (stations, time)
    neighbours: int
    law: SpreadLaw
    transform: Transform | None
    never_negative: bool

    def with_variogram(self, variogram: SpaceTimeVariogram) -> Self:
        """Return this engine with another variogram, from the same completed series."""
        return replace(self, variogram=variogram)

    @property
    def noise(self) -> float:
        """Standard deviation of a monitor's noise on the scale of interpolation."""
        return float(np.sqrt(self.variogram.own(np.zeros(()))))

    def kriged(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice, *, disagreement: bool
    ) -> Kriged:
        """Return kriging on the scale of interpolation, (n, hours) float32."""
        series, count = self.completed, hours.stop - hours.start
        margin = max(map(abs, series.lags))
        values, errors = series(hours.start - margin, hours.stop + margin)
        values, errors = self._at_lags(values, count), self._at_lags(errors, count)
        reported = np.logical_or.reduce(series.reported[:, hours])
        if self.absurd is not None:
            now = series.lags.index(0) * series.network.size
            station, hour = np.nonzero(np.isfinite(self.absurd[:, hours]))
            values[now + station, hour] = self.absurd[:, hours][station, hour]
            errors[now + station, hour] = 0.0
            reported[hour] = True
        station, (weight, variance) = self._weights(longitude, latitude)
        # A row of the products' right side for each lag and station.
        column = station[:, None, :] + series.network.size * np.arange(len(series.lags))[:, None]
        rows = series.network.size * len(series.lags)
        matrix = weight_matrix(column.reshape(weight.shape), weight, rows)
        mean = matrix @ values
        added = abs(matrix) @ errors
        layers = [mean, np.sqrt(variance[:, None] + added**2)]
        if disagreement:
            total = np.abs(weight).sum(axis=1)[:, None]
            first, second = (abs(matrix) @ of / total for of in (values, values**2))
            layers.append(np.maximum(second - 2 * mean * first + mean**2, 0))
        for each in layers:
            each[:, ~reported] = np.nan
        mean, spread, *rest = (each.astype(np.float32) for each in layers)
        return Kriged(mean, spread, rest[0] if rest else None)

    def _at_lags(self, series: np.ndarray, count: int) -> np.ndarray:
        """Return series at each lag, (lags * station, count), of those with margins."""
        margin = max(map(abs, self.completed.lags))
        starts = [margin + lag for lag in self.completed.lags]
        return np.concatenate([series[:, start : start + count] for start in starts])

    def _weights(
        self, longitude: np.ndarray, latitude: np.ndarray
    ) -> tuple[np.ndarray, Weights[np.ndarray]]:
        """Return the neighbours (n, k) of targets and their weights (n, lags * k)."""
        series, variogram = self.completed, self.variogram
        near = series.network.neighbours(
            longitude, latitude, k=min(self.neighbours, series.network.size)
        )
        # One order of stations for all targets of a set, which share a system.
        order = np.argsort(near.index, axis=1, kind="stable")
        station = np.take_along_axis(near.index, order, axis=1)
        distance = np.take_along_axis(near.distance_km, order, axis=1)
        hours = np.abs(series.lags) * series.step_hours
        vector = variogram.covariance(distance[:, None, :], hours[:, None])
        vector = vector.reshape(len(station), -1)
        every = np.ones(vector.shape, dtype=bool)
        among = partial(series.among, variogram=variogram)
        return station, weights_of_sets(station, every, vector, variogram.sill, among)
