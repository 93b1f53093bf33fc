"""Ordinary kriging: the best linear unbiased estimate from the nearest stations that report."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.grid import Grid
from aqreanalysis.methods.kriging.reporting import Reporting, members, nearest_reporting
from aqreanalysis.methods.kriging.systems import (
    SYSTEM_VALUES,
    label_rows,
    solve_cases,
    tiles,
    weighted_sum,
)
from aqreanalysis.methods.kriging.variogram import Variogram, VariogramModel, fit_variogram
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.methods.transform import (
    Transform,
    check_suits,
    from_scale,
    to_scale,
    transform_faults,
)
from aqreanalysis.network import StationNetwork

LOGGER = logging.getLogger(__name__)


@dataclass
class OrdinaryKriging:
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
    name: str = field(default="kriging", init=False)
    variogram_: Variogram = field(init=False, repr=False, compare=False)
    variable_: str = field(init=False, repr=False, compare=False)

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
        self.variable_ = variable
        self.variogram_ = self.variogram or fit_variogram(
            to_scale(series.values, self.transform),
            series.network.distance_matrix_km(),
            model=self.model,
        )
        LOGGER.info("%s of %s: %s", self.name, variable, self.variogram_)
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
            As of `predict_blocks`; NaN at hours at which no station reports.

        Raises
        ------
        AttributeError
            Before `fit`.
        ValueError
            If fewer than two stations have values.
        """
        if not hasattr(self, "variogram_"):
            raise AttributeError("this kriging has no variogram yet: call fit(observations, name)")
        series = StationSeries.from_dataset(observations, self.variable_)
        values = to_scale(series.values, self.transform)
        engine = _OrdinaryField(
            series.network,
            np.nan_to_num(values),
            ~np.isnan(values),
            self.variogram_,
            self.variogram_.covariance(series.network.distance_matrix_km())
            + self.variogram_.noise * np.eye(series.network.size),
            self.neighbours,
            self.transform,
            series.never_negative,
        )
        return series.predict(engine, at, time=time, chunks=chunks)


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

    def __call__(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error, (n, hours) float32."""
        values, reports = self.values[:, hours], self.reports[:, hours]
        mean = np.empty((longitude.size, values.shape[1]), dtype=np.float32)
        error = np.empty_like(mean)
        # Blocks of a grid are wide: cut across, they are compact, and what is close shares systems.
        order = np.argsort(longitude, kind="stable")
        for tile in tiles(order.size, values.shape[1], values=SYSTEM_VALUES):
            rows = order[tile]
            mean[rows], error[rows] = self._tile(longitude[rows], latitude[rows], values, reports)
        nothing = ~reports.any(axis=0)
        mean[:, nothing] = error[:, nothing] = np.nan
        return mean, error

    def _tile(
        self, longitude: np.ndarray, latitude: np.ndarray, values: np.ndarray, reports: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error of some targets, (n, hours) float64."""
        near = nearest_reporting(self.network, reports, longitude, latitude, k=self.neighbours)
        case, weights, reduction = self._weights(near)
        mean = np.empty((longitude.size, values.shape[1]))
        for part in tiles(*mean.shape):
            mean[part] = weighted_sum(
                (weight[case[part]] for weight in weights),
                (values[station] for station in near.index[part].T),
                mean[part].shape,
            )
        variance = np.maximum(self.variogram.sill - reduction, 0.0)[case]
        return from_scale(
            mean,
            variance,
            self.transform,
            noise=self.variogram.noise,
            never_negative=self.never_negative,
        )

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
