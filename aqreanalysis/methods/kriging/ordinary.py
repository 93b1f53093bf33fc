"""Ordinary kriging: the best linear unbiased estimate from the nearest stations that report."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.fields.blocks import Field
from aqreanalysis.fields.memory import Cost
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import Fitted, configuration
from aqreanalysis.methods.kriging.reporting import Reporting, members, nearest_reporting
from aqreanalysis.methods.kriging.systems import (
    SYSTEM_VALUES,
    label_rows,
    solve_cases,
    tiles,
    weighted_sum,
)
from aqreanalysis.methods.kriging.variogram import Variogram, VariogramModel, fit_variogram
from aqreanalysis.methods.series import PAIR_BYTES, StationSeries
from aqreanalysis.methods.transform import (
    Transform,
    check_suits,
    on_scale,
    to_scale,
    transform_faults,
)
from aqreanalysis.network import StationNetwork
from aqreanalysis.predictive import RootNormal

LOGGER = logging.getLogger(__name__)


@dataclass
class OrdinaryKriging(Fitted):
    """Ordinary kriging, hour by hour, from the nearest stations that report at that hour.

    The mean is unknown and constant around each target; the covariance depends on great-circle
    distance alone and is the same at all hours. The nugget is taken as noise of a station: the
    estimate at a station is that of a new instrument beside it, and equals the measurement only
    where the nugget is zero. The standard error is that of a new measurement, nugget included, and
    is scaled by the sill of the variogram: it is one for all hours without a transform, and grows
    with the concentration with the square root.

    Parameters
    ----------
    neighbours : int
        Reporting stations in an estimate; all of them where there are fewer.
    transform : {None, "sqrt"}
        Scale of interpolation. The square root suits concentrations, whose spread grows with
        their level.
    model : {"exponential", "spherical", "matern32"}
        Form of the variogram that `fit` finds.
    variogram : Variogram, optional
        A variogram on the scale of interpolation, which `fit` then keeps instead of fitting one.

    Attributes
    ----------
    variogram_ : Variogram
        The variogram in use, after `fit`.

    Raises
    ------
    ValueError
        All faults of the configuration at once.

    Examples
    --------
    Half-way between two stations, the estimate is their mean:

    >>> time = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), [[10.0], [30.0]])},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [10.0, 11.0]),
    ...         "latitude": ("station", [50.0, 50.0]),
    ...         "time": time,
    ...     },
    ... )
    >>> between = Grid((10.4, 10.6, 49.9, 50.1), 0.2)
    >>> kriging = OrdinaryKriging(
    ...     transform=None, variogram=Variogram("exponential", 90.0, 100.0, 10.0)
    ... )
    >>> found = kriging.fit(observations, "pm25").predict(observations, between)
    >>> found.pm25.values.round(3).tolist()
    [[[20.0]]]
    """

    neighbours: int = 16
    transform: Transform | None = "sqrt"
    model: VariogramModel = "exponential"
    variogram: Variogram | None = None
    variogram_: Variogram = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "kriging"
    takes_background: ClassVar[bool] = False
    references: ClassVar[str] = (
        "Cressie 1993, Statistics for Spatial Data, https://doi.org/10.1002/9781119115151"
    )

    def __post_init__(self) -> None:
        faults = transform_faults(self.transform)
        if self.neighbours < 1:
            faults.append(f"neighbours must be at least 1; found {self.neighbours}")
        if faults:
            raise ValueError("; ".join(faults))

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return this estimator with the variogram of the observations.

        Raises
        ------
        ValueError
            If fewer than two stations have values, or never two at once, or the transform does not
            suit the variable.
        """
        series = StationSeries.from_dataset(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        self._variable = variable
        self.variogram_ = self.variogram or fit_variogram(
            to_scale(series.values, self.transform),
            series.network.distance_matrix_km(),
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
        return _OrdinaryField(
            series.network,
            values,
            reports,
            self.variogram_,
            self.variogram_.covariance(series.network.distance_matrix_km())
            + self.variogram_.noise * np.eye(series.network.size),
            self.neighbours,
            self.transform,
            series.never_negative,
        )

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return the memory of the covariance among all stations."""
        return Cost(fixed_bytes=observations.sizes[STATION] ** 2 * PAIR_BYTES)


@dataclass(frozen=True, eq=False)
class _OrdinaryField:
    """The engine: estimates anywhere, each from its own target and hour alone."""

    network: StationNetwork
    values: np.ndarray  # (stations, time) on the scale of interpolation, zero where missing
    reports: np.ndarray  # (stations, time) bool
    variogram: Variogram
    covariance: np.ndarray  # (stations, stations), with noise
    neighbours: int
    transform: Transform | None
    never_negative: bool

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32."""
        values, reports = self.values[:, hours], self.reports[:, hours]
        mean = np.empty((longitude.size, values.shape[1]), dtype=np.float32)
        spread = np.empty_like(mean)
        # Blocks of a grid are wide: cut across, they are compact, and what is close shares systems.
        order = np.argsort(longitude, kind="stable")
        for tile in tiles(order.size, values.shape[1], values=SYSTEM_VALUES):
            rows = order[tile]
            mean[rows], spread[rows] = self._tile(longitude[rows], latitude[rows], values, reports)
        nothing = ~reports.any(axis=0)
        mean[:, nothing] = spread[:, nothing] = np.nan
        return on_scale(
            mean,
            spread,
            self.transform,
            noise=np.sqrt(self.variogram.noise),
            signed=not self.never_negative,
        )

    def _tile(
        self, longitude: np.ndarray, latitude: np.ndarray, values: np.ndarray, reports: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and spread of some targets on the scale of interpolation, (n, hours)."""
        near = nearest_reporting(self.network, reports, longitude, latitude, k=self.neighbours)
        case, weights, reduction = self._weights(near)
        mean = np.empty((longitude.size, values.shape[1]))
        for part in tiles(*mean.shape):
            mean[part] = weighted_sum(
                (weight[case[part]] for weight in weights),
                (values[station] for station in near.index[part].T),
                mean[part].shape,
            )
        spread = np.sqrt(np.maximum(self.variogram.sill - reduction, 0.0))
        return mean, spread[case]

    def _weights(self, near: Reporting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the case of each target-hour, and the weights and variance reduction of each case.

        A case is a target with a set of reporting neighbours. Cases of many hours are one, and
        cases of adjacent targets share one inverted matrix.
        """
        case, first = label_rows(_case_columns(near.used))
        target, hour = np.unravel_index(first, near.used.shape[1:])
        station, slot = members(near, target, hour, self.neighbours, self.network.size)
        # Of one number more than there are candidates, for absent slots.
        covariance = np.pad(self.variogram.covariance(near.distance_km), ((0, 0), (0, 1)))
        cross = covariance[target[:, None], slot]
        found, reduction = solve_cases(station, station < self.network.size, cross, self._among)
        weights = np.zeros((len(near.used) + 1, first.size))
        weights[slot, np.arange(first.size)[:, None]] = found
        return case.reshape(near.used.shape[1:]), weights[:-1], reduction

    def _among(self, station: np.ndarray) -> np.ndarray:
        """Return the covariance among the stations of each set, (sets, k, k)."""
        row = np.minimum(station, self.network.size - 1)  # absent slots count for nothing
        return self.covariance.take(row[:, :, None] * self.network.size + row[:, None, :])


def _case_columns(used: np.ndarray) -> list[np.ndarray]:
    """Return columns that tell cases apart: the target, and its neighbours in words of 32 bits."""
    candidates, targets, hours = used.shape
    columns = [np.repeat(np.arange(targets, dtype=np.int64), hours)]
    for start in range(0, candidates, 32):
        word = np.zeros((targets, hours), dtype=np.int64)
        for bit, column in enumerate(used[start : start + 32]):
            word |= column.astype(np.int64) << bit
        columns.append(word.ravel())
    return columns
