"""Kriging from the nearest stations that report: ordinary, or universal with a background."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from aqreanalysis.fields.blocks import Field
from aqreanalysis.foreign.background import Background
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import BackgroundField
from aqreanalysis.methods.kriging.calibration import Calibration, Part, SpreadLaw
from aqreanalysis.methods.kriging.drift import PRIOR, Covariates, CovariatesAt, Drift
from aqreanalysis.methods.kriging.method import LOGGER, Kriging
from aqreanalysis.methods.kriging.ordinary_field import OrdinaryField, covariance_among
from aqreanalysis.methods.kriging.variogram import (
    Variogram,
    VariogramModel,
    empirical_variogram,
    variogram_of,
)
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.methods.transform import Transform
from aqreanalysis.methods.trend import Trend, background_of

CRESSIE = "Cressie 1993, Statistics for Spatial Data, https://doi.org/10.1002/9781119115151"
OMRE = "Omre 1987, Mathematical Geology 19, 25, https://doi.org/10.1007/BF01275432"


@dataclass
class OrdinaryKriging(Kriging):
    """Ordinary kriging, hour by hour, from the nearest stations that report at that hour.

    The mean is unknown and constant around each target; the covariance depends on great-circle
    distance alone and is the same at all hours. The nugget is taken as noise of a station: the
    estimate at a station is that of a new instrument next to it, and equals the measurement only
    where the nugget is zero. The standard error is that of a new measurement, nugget included, and
    is scaled by the sill of the variogram: it is one for all hours without a transform, and grows
    with the concentration with the square root. `fit` leaves stations out in turn and corrects it
    by what it finds there.

    With a background it is universal kriging (kriging with external drift): the mean follows the
    background's covariates, such as the altitude, with coefficients around each target and hour
    that the neighbours tell. Where they do not, those of all stations and hours hold (see
    `aqreanalysis.methods.kriging.drift`). The variogram is then that of the departures. No
    covariate, the first or all are used, whichever has the lowest CRPS at left-out stations.

    Parameters
    ----------
    neighbours : int, optional
        Reporting stations in an estimate; all of them where there are fewer. By default 24,
        or another of 8, 12, 16 and 40 if its CRPS at left-out stations is lower by more than 0.5 %.
    transform : {None, "sqrt"}
        Scale of interpolation. The square root suits concentrations, whose spread grows with
        their level.
    model : {"exponential", "spherical", "matern32"}, optional
        Form of the variogram that `fit` finds. By default exponential, or another if its CRPS at
        left-out stations is lower by more than 0.5 %, and at 99 % of confidence over the stations.
    variogram : Variogram, optional
        A variogram on the scale of interpolation, which `fit` then keeps instead of fitting one.
    calibrate : {"factor", "law", False}, optional
        What is fitted to the errors at left-out stations: a factor of the standard error, with
        which 90 % of them lie within the 90 % interval; a `SpreadLaw`, by which it also follows
        the disagreement of the neighbours and the level, at the price of speed; or nothing. By
        default a factor, and nothing where a variogram is given.

    Attributes
    ----------
    variogram_, neighbours_, spread_ : Variogram, int, SpreadLaw
        Those in use, after `fit`.
    trend_ : Trend or None
        The coefficients of a background's covariates for all stations and hours.

    Raises
    ------
    ValueError
        All faults of the configuration at once.

    Examples
    --------
    Half-way between two stations, the estimate is their mean:

    >>> hour = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), [[10.0], [30.0]], {"units": "ug m-3"})},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [10.0, 11.0]),
    ...         "latitude": ("station", [50.0, 50.0]),
    ...         "time": ("time", hour, {"time_label": "start", "step_hours": 1.0}),
    ...     },
    ... )
    >>> between = Grid((10.4, 10.6, 49.9, 50.1), 0.2)
    >>> kriging = OrdinaryKriging(
    ...     transform=None, variogram=Variogram("exponential", 90.0, 100.0, 10.0)
    ... )
    >>> field = kriging.fit(observations, "pm25").predict(observations, between)
    >>> field.pm25.values.round(3).tolist()
    [[[20.0]]]
    """

    neighbours: int | None = None
    transform: Transform | None = "sqrt"
    model: VariogramModel | None = None
    variogram: Variogram | None = None
    calibrate: Calibration | None = None
    variogram_: Variogram = field(init=False, repr=False, compare=False)
    neighbours_: int = field(init=False, repr=False, compare=False)
    spread_: SpreadLaw = field(init=False, repr=False, compare=False)
    trend_: Trend | None = field(default=None, init=False, repr=False, compare=False)

    takes_background: ClassVar[bool] = True
    CHOICES: ClassVar[tuple[int, ...]] = (8, 12, 16, 24, 40)
    PARTS: ClassVar[int] = 32
    CORE: ClassVar[int] = 1

    name: ClassVar[str] = "kriging"

    @property
    def references(self) -> str:
        """Where kriging is described, and its prior where there is a background."""
        universal = self.trend_ is not None and self.trend_.attributes
        return f"{CRESSIE}; {OMRE}" if universal else CRESSIE

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration and what was learned, as plain values."""
        trend = self.trend_
        return {**super().settings, "trend": None if trend is None else trend.facts()}

    def fit(
        self,
        observations: xr.Dataset,
        variable: str,
        *,
        background: BackgroundField | None = None,
    ) -> Self:
        """Return this method with what it learns from the observations.

        The variogram is that of the values without absurd ones. Stations are then left out in
        turn, which tells the form of the variogram, how many neighbours to take and how far the
        estimates err.

        Parameters
        ----------
        observations : Dataset
        variable : str
        background : DataArray, Dataset or sequence of these, optional
            Fields known at stations and targets alike, such as elevation or that of a model: see
            `aqreanalysis.foreign.background.Background`. `predict` then needs the same.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        BackgroundError
            If the background covers no measurement.
        ValueError
            If fewer than two stations have values, or never two at once, or the transform does not
            suit the variable.
        """
        series = self._series_of(observations, variable)
        self.trend_ = None
        if background is None:
            return self._learn(series, variable)
        known = Background(background)
        times = series.time[:1] if known.constant else series.time
        columns = known.at(series.network.longitude, series.network.latitude, times)
        tried = []
        for names in _nested(known.names):
            each = copy(self)
            each.trend_ = _trend_of(known, columns, series.values, names)
            covariates = each.trend_.of_attributes(columns)
            tried.append(each._learn(replace(series, covariates=covariates), variable))
        if all(each._score is not None for each in tried):
            tried.sort(key=lambda each: each._score or 0.0)
        else:  # nothing was left out
            tried.reverse()
        used = tried[0].trend_
        for name in known.names:
            if used is not None and name not in used.attributes:
                LOGGER.info("the background %r does not help at left-out stations: not used", name)
        vars(self).update(vars(tried[0]))
        return self

    def _fitted_variograms(
        self, series: StationSeries, models: Sequence[VariogramModel]
    ) -> list[Variogram]:
        """Return the variograms of series, or of their departures from the trend."""
        values = series.values
        if self.trend_ is not None:
            values = values - series.covariates @ np.array(self.trend_.coefficient)
        empirical = empirical_variogram(values, series.network.distance_matrix_km())
        return [variogram_of(empirical, model) for model in models]

    def field(
        self,
        observations: xr.Dataset,
        at: Grid | xr.Dataset,
        hours: slice,
        *,
        background: BackgroundField | None = None,
    ) -> Field:
        """Return the field of observations, which need not be those of `fit`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        BackgroundError
            If it was fitted with a background and none is given, or the reverse.
        ValueError
            If fewer than two stations have values.
        """
        series = self._of_usual_type(observations, self.variable)
        settings = self.transform, self.neighbours_, self.spread_
        known = background_of(self.trend_, background)
        if self.trend_ is None or known is None:
            return self._field(series, *settings)
        covariates = Covariates(self.trend_, known, series.time)
        network = series.network
        at_stations = covariates(network.longitude, network.latitude, slice(None))
        return self._field(replace(series, covariates=at_stations), *settings, at=covariates)

    def _field_of_part(self, series: StationSeries, part: Part, neighbours: int) -> Any:
        """Return the engine of the stations around those that are left out."""
        if series.covariates is None:
            return super()._field_of_part(series, part, neighbours)
        hours = np.flatnonzero(np.isin(series.time.values, part.series.time.values))
        covariates = series.part(part.left_out, hours).covariates

        def at(*_: Any) -> Any:
            return covariates  # of the stations that are left out, in the hours of the part

        return self._field(part.series, None, neighbours, SpreadLaw(), at=at)

    def _field(
        self,
        series: StationSeries,
        transform: Transform | None,
        neighbours: int,
        law: SpreadLaw,
        at: CovariatesAt | None = None,
    ) -> OrdinaryField:
        """Return the engine of series, of which the values are yet to be transformed."""
        values, reported = series.on_scale(transform)
        drift = None
        if self.trend_ is not None and series.covariates is not None and at is not None:
            coefficient = np.array(self.trend_.coefficient)
            drift = Drift(series.covariates, coefficient, PRIOR * self.variogram_.sill, at)
            values = np.where(reported, values - series.covariates @ coefficient, 0.0)
        return OrdinaryField(
            series.network,
            values,
            reported,
            self.variogram_,
            covariance_among(series.network.distance_matrix_km(), self.variogram_),
            neighbours,
            law,
            transform,
            series.never_negative,
            drift,
        )


def _nested(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the covariates that are tried: none, the first, and all."""
    return list(dict.fromkeys([(), names[:1], names]))


def _trend_of(
    known: Background, columns: np.ndarray, values: np.ndarray, names: tuple[str, ...]
) -> Trend:
    """Return the trend of standardised values (n, t) on some of the covariates."""
    used = np.isin(known.names, names)
    every = np.broadcast_to(np.where(used, columns, 0.0), (*values.shape, columns.shape[-1]))
    return replace(Trend.of(known, every, values), attributes=names)
