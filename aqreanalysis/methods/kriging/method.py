"""What ordinary and space-time kriging share: their settings, and learning from observations."""

import logging
from collections.abc import Mapping
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
    Kriged,
    LeftOut,
    Part,
    SpreadLaw,
    best_neighbours,
    parts_of,
)
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.spread import FEWEST
from aqreanalysis.methods.kriging.variogram import Variogram, VariogramModel
from aqreanalysis.methods.series import PAIR_BYTES, StationSeries
from aqreanalysis.methods.transform import Transform, check_suits, interpolation_faults
from aqreanalysis.observations import validate
from aqreanalysis.predictive import DEGREES_OF_FREEDOM, stated_freedom

LOGGER = logging.getLogger(__name__)


class Kriging(Fitted):
    """A method that learns a variogram, or is given one."""

    name: ClassVar[str]
    takes_background: ClassVar[bool] = False
    #: Neighbours from which `fit` chooses.
    CHOICES: ClassVar[tuple[int, ...]]
    #: Parts in which stations are left out, at most, and hours of a window that is estimated.
    PARTS: ClassVar[int]
    CORE: ClassVar[int]

    neighbours: int | None
    transform: Transform | None
    model: VariogramModel
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
        turn, which tells how many neighbours to take and how far the estimates err.

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
        series = StationSeries.from_dataset(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        return series.to_learn_from(self.transform)

    def _learn(self, learned: StationSeries, variable: str) -> Self:
        """Return this method with what it learns from series on the scale of interpolation."""
        self._variable = variable
        self.variogram_ = self.variogram or self._fitted_variogram(learned)
        self._learn_from_left_out(learned)
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
            "calibrate": self._calibrate,
            "variogram": asdict(self.variogram_),
            "spread": spread,
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
        if self.calibrate is not None and self.calibrate not in get_args(Calibration):
            value = repr(self.calibrate)
            faults.append(f"calibrate must be 'factor', 'law' or False; found {value}")
        return faults

    def _learn_from_left_out(self, series: StationSeries) -> None:
        """Choose the neighbours and fit the spread, of series on the scale of interpolation."""
        chosen = self.neighbours
        if chosen is None:
            enough = np.searchsorted(self.CHOICES, series.network.size) + 1
            choices = self.CHOICES[:enough]
        else:
            choices = (chosen,)
        left_out = {}
        if len(choices) > 1 or self._calibrate:
            left_out = self._left_out(series, choices)
        if chosen is None:
            scores = {k: each.score() for k, each in left_out.items()}
            chosen = best_neighbours(scores) if scores else USUAL
        self.neighbours_ = chosen
        known = left_out.get(chosen)
        self.spread_ = known.fitted(self._calibrate) if known else SpreadLaw()

    def _left_out(self, series: StationSeries, choices: tuple[int, ...]) -> dict[int, LeftOut]:
        """Return estimates at stations left out in turn, by neighbours; none of too few values."""
        parts = parts_of(
            series, parts=self.PARTS, near=2 * max(choices), core=self.CORE, margin=self._margin
        )
        estimates: dict[int, list[np.ndarray]] = {k: [] for k in choices}
        for part in parts:
            if not np.isfinite(part.truth).any():
                continue
            field = self._field_of_part(series, part, choices[-1])
            at = series.network.longitude[part.left_out], series.network.latitude[part.left_out]
            every = slice(0, part.truth.shape[1])
            for k in choices:
                kriged = replace(field, neighbours=k).kriged(
                    *at, every, disagreement=self._calibrate == "law"
                )
                columns = np.stack([part.truth, *(c for c in kriged if c is not None)])
                known = np.isfinite(columns).all(axis=0) & (columns[2] > 0)
                estimates[k].append(columns[:, known].astype(np.float64))
        return {
            k: LeftOut(Kriged(mean, spread, rest[0] if rest else None), truth)
            for k, each in estimates.items()
            if each
            for truth, mean, spread, *rest in [np.concatenate(each, axis=1)]
            if truth.size >= FEWEST and truth.std() > 0
        }

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

    def _fitted_variogram(self, series: StationSeries) -> Variogram | SpaceTimeVariogram:
        """Return the variogram of series on the scale of interpolation."""
        raise NotImplementedError
