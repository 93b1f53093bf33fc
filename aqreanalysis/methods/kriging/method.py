"""What ordinary and space-time kriging share: their settings, and learning from observations."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self, get_args

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.fields.memory import Cost
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import Fitted, configuration
from aqreanalysis.methods.kriging.calibration import (
    USUAL,
    Calibration,
    LeftOut,
    Part,
    SpreadLaw,
    best_model,
    best_neighbours,
    parts_of,
)
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.variogram import MODELS, Variogram, VariogramModel
from aqreanalysis.methods.proven_types import proven_types
from aqreanalysis.methods.series import PAIR_BYTES, StationSeries
from aqreanalysis.methods.transform import Transform, check_suits, interpolation_faults
from aqreanalysis.observations import validate
from aqreanalysis.predictive import DEGREES_OF_FREEDOM, stated_freedom

LOGGER = logging.getLogger(__name__)


class Kriging(Fitted):
    """A method that learns a variogram, or is given one."""

    name: ClassVar[str]
    takes_background: ClassVar[bool] = False
    _score: float | None = None  # at left-out stations, if there were any
    #: Neighbours from which `fit` chooses.
    CHOICES: ClassVar[tuple[int, ...]]
    #: Parts in which stations are left out, at most, and hours of a window that is estimated.
    PARTS: ClassVar[int]
    CORE: ClassVar[int]

    neighbours: int | None
    transform: Transform | None
    model: VariogramModel | None
    variogram: Variogram | SpaceTimeVariogram | None
    calibrate: Calibration | None
    variogram_: Any
    neighbours_: int
    spread_: SpreadLaw

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise ValueError("; ".join(faults))

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return this method with what it learns from the observations.

        The variogram is that of the values without absurd ones. Stations are then left out in
        turn, which tells the form of the variogram, how many neighbours to take and how far the
        estimates err.

        Raises
        ------
        ObservationError
            If the observations are not valid.
        ValueError
            If fewer than two stations have values, or never two at once, or the transform does not
            suit the variable.
        """
        return self._learn(self._series_of(observations, variable), variable)

    def _series_of(self, observations: xr.Dataset, variable: str) -> StationSeries:
        """Return the series to learn from, on the scale of interpolation."""
        validate(observations, variable)
        self._station_types = proven_types(observations, variable)
        return self._measured(observations, variable).to_learn_from(self.transform)

    def _measured(self, observations: xr.Dataset, variable: str) -> StationSeries:
        """Return the series of valid observations that suit the transform."""
        series = self._of_usual_type(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        return series

    def _learn(self, learned: StationSeries, variable: str) -> Self:
        """Return this method with what it learns from series on the scale of interpolation."""
        self._variable = variable
        models = MODELS if self.model is None else (self.model,)
        fitted = [self.variogram] if self.variogram else self._fitted_variograms(learned, models)
        self._learn_from_left_out(learned, fitted)
        LOGGER.info(
            "%s of %s: %s, %d neighbours, %s",
            self.name,
            variable,
            self.variogram_,
            self.neighbours_,
            self.spread_,
        )
        return self

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration and what was learned, as plain values."""
        variable = self.variable  # before `fit` an error that says so
        spread = asdict(self.spread_)
        freedom = stated_freedom(spread.pop("freedom"))
        return {
            "variable": variable,
            **configuration(self),
            "neighbours": self.neighbours_,
            "neighbours_chosen": self.neighbours is None,
            "model": self.variogram_.model,
            "model_chosen": self.model is None and not self.variogram,
            "calibrate": self._calibrate,
            "variogram": asdict(self.variogram_),
            "spread": spread,
            "station_types": self.station_types.facts(),
            DEGREES_OF_FREEDOM: freedom,
        }

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return the memory of the covariance among all stations."""
        return Cost(fixed_bytes=observations.sizes[STATION] ** 2 * PAIR_BYTES)

    @property
    def _calibrate(self) -> Calibration:
        """What is fitted to the errors at left-out stations: nothing to a variogram as given."""
        if self.calibrate is None:
            return False if self.variogram else "factor"
        return self.calibrate

    def _faults(self) -> list[str]:
        """Return what is wrong with the configuration."""
        faults = interpolation_faults(
            1 if self.neighbours is None else self.neighbours, self.transform
        )
        if self.model is not None and self.model not in MODELS:
            faults.append(f"model must be one of {', '.join(MODELS)}; found {self.model!r}")
        if self.calibrate is not None and self.calibrate not in get_args(Calibration):
            value = repr(self.calibrate)
            faults.append(f"calibrate must be 'factor', 'law' or False; found {value}")
        return faults

    def _learn_from_left_out(
        self, series: StationSeries, fitted: Sequence[Variogram | SpaceTimeVariogram]
    ) -> None:
        """Choose one of the variograms and the neighbours, and fit the spread."""
        self.variogram_, chosen = fitted[0], self.neighbours
        if chosen is None:
            enough = np.searchsorted(self.CHOICES, series.network.size) + 1
            choices = self.CHOICES[:enough]
        else:
            choices = (chosen,)
        usual = choices[-1] if USUAL not in choices else USUAL
        cases = [(fitted[0], k) for k in choices]
        others = [(variogram, usual) for variogram in fitted[1:]]
        left_out = []
        if len(cases) > 1 or others or self._calibrate:
            left_out = self._left_out(series, [*cases, *others])
        if left_out and others:
            scores = [left_out[choices.index(usual)], *left_out[len(cases) :]]
            best = best_model([each.by_station() for each in scores])
            if best > 0:
                self.variogram_ = fitted[best]
                left_out = self._left_out(series, [(self.variogram_, k) for k in choices])
        known = dict(zip(choices, left_out, strict=False))
        if chosen is None:
            scores_of = {k: float(each.crps().mean()) for k, each in known.items()}
            chosen = best_neighbours(scores_of) if scores_of else USUAL
        self.neighbours_ = chosen
        self._score = float(known[chosen].crps().mean()) if known else None
        self.spread_ = known[chosen].fitted(self._calibrate) if known else SpreadLaw()

    def _left_out(
        self,
        series: StationSeries,
        cases: Sequence[tuple[Variogram | SpaceTimeVariogram, int]],
    ) -> list[LeftOut]:
        """Return estimates at stations left out in turn, by variogram and number of neighbours.

        None of too few values. Series are completed with the variogram in use.
        """
        most = max(k for _, k in cases)
        parts = parts_of(
            series, parts=self.PARTS, near=2 * most, core=self.CORE, margin=self._margin
        )
        estimates: list[list[np.ndarray]] = [[] for _ in cases]
        for part in parts:
            if not np.isfinite(part.truth).any():
                continue
            field = self._field_of_part(series, part, most)
            at = series.network.longitude[part.left_out], series.network.latitude[part.left_out]
            every = slice(0, part.truth.shape[1])
            station = np.broadcast_to(part.left_out[:, None], part.truth.shape)
            for (variogram, k), of_case in zip(cases, estimates, strict=True):
                kriged = replace(field.with_variogram(variogram), neighbours=k).kriged(
                    *at, every, disagreement=self._calibrate == "law"
                )
                columns = np.stack([station, part.truth, *(c for c in kriged if c is not None)])
                known = np.isfinite(columns).all(axis=0) & (columns[3] > 0)
                of_case.append(columns[:, known].astype(np.float64))
        left_out = [LeftOut.of(np.concatenate(each, axis=1)) for each in estimates if each]
        return left_out if all(each.enough for each in left_out) else []

    def _field_of_part(self, series: StationSeries, part: Part, neighbours: int) -> Any:
        """Return the engine of the stations around those that are left out."""
        return self._field(part.series, None, neighbours, SpreadLaw())

    @property
    def _margin(self) -> int:
        """Hours around an estimate of which the values are used."""
        return 0

    def _field(
        self,
        series: StationSeries,
        transform: Transform | None,
        neighbours: int,
        law: SpreadLaw,
    ) -> Any:
        """Return the engine of series, of which the values are yet to be transformed."""
        raise NotImplementedError

    def _fitted_variograms(
        self, series: StationSeries, models: Sequence[VariogramModel]
    ) -> Sequence[Variogram | SpaceTimeVariogram]:
        """Return the variogram of each form, of series on the scale of interpolation."""
        raise NotImplementedError
