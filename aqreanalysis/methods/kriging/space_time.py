"""Space-time kriging: ordinary kriging from the neighbours' values before, at and after an hour."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.fields.blocks import Field
from aqreanalysis.fields.memory import Cost
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import Fitted, configuration
from aqreanalysis.methods.kriging.completed_series import CompletedSeries
from aqreanalysis.methods.kriging.space_time_variogram import (
    SpaceTimeVariogram,
    fit_space_time_variogram,
)
from aqreanalysis.methods.kriging.systems import solve_cases, tiles, weighted_sum
from aqreanalysis.methods.kriging.variogram import VariogramModel
from aqreanalysis.methods.series import PAIR_BYTES, StationSeries
from aqreanalysis.methods.transform import (
    Transform,
    check_suits,
    on_scale,
    to_scale,
    transform_faults,
)
from aqreanalysis.predictive import RootNormal

LOGGER = logging.getLogger(__name__)


@dataclass
class SpaceTimeKriging(Fitted):
    """Ordinary kriging in space and time, from the nearest stations at several hours.

    Each estimate takes the values of the nearest stations at the hour and some hours before and
    after, with an unknown mean that is constant in that neighbourhood. Stations that are silent are
    first completed by kriging from what reports around them, in space and time, so that the weights
    of a target are the same at all hours (`CompletedSeries`). The
    nugget and the local variance are taken as noise of a station, as in `OrdinaryKriging`. The
    standard error is that of a new measurement; it takes the errors of completed values as fully
    correlated, so that gaps never make it too small.

    Parameters
    ----------
    neighbours : int
        Stations in an estimate; all of them where there are fewer.
    lags : tuple of int
        Hours from which values are taken, in steps of the time axis relative to the hour that is
        estimated. ``(0,)`` is ordinary kriging of completed series: faster than
        `OrdinaryKriging` where values are missing, and nearly the same.
    transform : {None, "sqrt"}
        Scale of interpolation, as in `OrdinaryKriging`.
    model : {"exponential", "spherical", "matern32"}
        Form of the variogram in space that `fit` finds.
    variogram : SpaceTimeVariogram, optional
        A variogram on the scale of interpolation, which `fit` then keeps instead of fitting one.

    Attributes
    ----------
    variogram_ : SpaceTimeVariogram
        The variogram in use, after `fit`.

    Raises
    ------
    ValueError
        All faults of the configuration at once.

    Examples
    --------
    Two stations that always agree are followed in between, also while one of them is silent:

    >>> series = [[10.0, 20.0, 30.0], [10.0, np.nan, 30.0]]
    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), series)},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [10.0, 10.2]),
    ...         "latitude": ("station", [50.0, 50.0]),
    ...         "time": np.arange("2024-01-01T00", "2024-01-01T03", dtype="datetime64[h]").astype(
    ...             "datetime64[ns]"
    ...         ),
    ...     },
    ... )
    >>> between = Grid((10.0, 10.2, 49.9, 50.1), 0.2)
    >>> variogram = SpaceTimeVariogram("exponential", 90.0, 500.0, 5.0, 0.0, 1.0, 0.0)
    >>> kriging = SpaceTimeKriging(transform=None, variogram=variogram)
    >>> found = kriging.fit(observations, "pm25").predict(observations, between)
    >>> found.pm25.values.ravel().round().tolist()
    [10.0, 20.0, 30.0]
    """

    neighbours: int = 12
    lags: tuple[int, ...] = (-2, -1, 0, 1, 2)
    transform: Transform | None = "sqrt"
    model: VariogramModel = "exponential"
    variogram: SpaceTimeVariogram | None = None
    variogram_: SpaceTimeVariogram = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "space_time_kriging"
    takes_background: ClassVar[bool] = False
    references: ClassVar[str] = (
        "Graeler, Pebesma and Heuvelink 2016, R Journal, https://doi.org/10.32614/RJ-2016-014"
    )

    def __post_init__(self) -> None:
        faults = transform_faults(self.transform)
        if self.neighbours < 1:
            faults.append(f"neighbours must be at least 1; found {self.neighbours}")
        self.lags = tuple(sorted(self.lags))
        if 0 not in self.lags or len(set(self.lags)) != len(self.lags):
            faults.append(f"lags must be distinct and hold 0; found {self.lags}")
        if faults:
            raise ValueError("; ".join(faults))

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return this estimator with the space-time variogram of the observations.

        Raises
        ------
        ValueError
            If fewer than two stations have values, or never two at once, or the transform does not
            suit the variable.
        """
        series = StationSeries.from_dataset(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        self._variable = variable
        self.variogram_ = self.variogram or fit_space_time_variogram(
            to_scale(series.values, self.transform),
            series.network.distance_matrix_km(),
            step_hours=series.step_hours,
            lags=max(self.lags) - min(self.lags),
            model=self.model,
        )
        LOGGER.info("%s of %s: %s", self.name, variable, self.variogram_)
        return self

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration and what was learned, as plain values."""
        return {**configuration(self), "variogram": asdict(self.variogram_)}

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
        values, reports = series.on_scale(self.transform)
        completed = CompletedSeries(
            series.network,
            values,
            reports,
            self.variogram_,
            self.lags,
            series.step_hours,
            self.neighbours,
        )
        return _SpaceTimeField(completed, self.neighbours, self.transform, series.never_negative)

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return the memory of the covariance among all stations."""
        return Cost(fixed_bytes=observations.sizes[STATION] ** 2 * PAIR_BYTES)


@dataclass(frozen=True, eq=False)
class _SpaceTimeField:
    """The engine: weights of each target once, then weighted sums over completed series."""

    completed: CompletedSeries
    neighbours: int
    transform: Transform | None
    never_negative: bool

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32."""
        series, count = self.completed, hours.stop - hours.start
        margin = max(map(abs, series.lags))
        values, errors = series(hours.start - margin, hours.stop + margin)
        station, weights, variance = self._weights(longitude, latitude)
        mean = np.empty((longitude.size, count), dtype=np.float32)
        spread = np.empty_like(mean)
        for tile in tiles(longitude.size, count):
            shape = (tile.stop - tile.start, count)
            weight = weights[:, tile, None]
            mean[tile] = weighted_sum(weight, self._at_lags(values, station[tile], count), shape)
            added = weighted_sum(np.abs(weight), self._at_lags(errors, station[tile], count), shape)
            spread[tile] = np.sqrt(variance[tile, None] + added**2)
        nothing = ~series.reports[:, hours].any(axis=0)
        mean[:, nothing] = spread[:, nothing] = np.nan
        return on_scale(
            mean,
            spread,
            self.transform,
            noise=float(np.sqrt(series.variogram.own(np.zeros(())))),
            signed=not self.never_negative,
        )

    def _at_lags(self, series: np.ndarray, station: np.ndarray, count: int) -> Iterator[np.ndarray]:
        """Yield the values of each neighbour, (n, hours), lag after lag."""
        lags = self.completed.lags
        margin = max(map(abs, lags))
        for lag in lags:
            window = series[:, margin + lag : margin + lag + count]
            for column in station.T:
                yield window[column]

    def _weights(
        self, longitude: np.ndarray, latitude: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return neighbours (n, k), weights (lags · k, n) and kriging variance (n,) of targets."""
        network, variogram = self.completed.network, self.completed.variogram
        near = network.neighbours(longitude, latitude, k=min(self.neighbours, network.size))
        # One order of stations for all targets of a set: they then share one system.
        order = np.argsort(near.index, axis=1, kind="stable")
        station = np.take_along_axis(near.index, order, axis=1)
        distance = np.take_along_axis(near.distance_km, order, axis=1)
        hours = np.abs(self.completed.lags) * self.completed.step_hours
        cross = variogram.covariance(distance[:, None, :], hours[:, None]).reshape(len(station), -1)
        slots = np.tile(station, len(hours))
        lag = np.repeat(self.completed.lags, station.shape[1])
        weights, reduction = solve_cases(
            slots,
            np.ones(slots.shape, dtype=bool),
            cross,
            lambda sets: self.completed.among(sets, lag),
        )
        return station, weights.T.copy(), np.maximum(variogram.sill - reduction, 0.0)
