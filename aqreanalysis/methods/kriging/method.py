"""What ordinary and space-time kriging share: their settings, and learning from observations."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.fields.memory import Cost
from aqreanalysis.grid import Grid
from aqreanalysis.methods.contract import Fitted, configuration
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.variogram import Variogram, VariogramModel
from aqreanalysis.methods.series import PAIR_BYTES, StationSeries
from aqreanalysis.methods.transform import Transform, check_suits, interpolation_faults

LOGGER = logging.getLogger(__name__)


class Kriging(Fitted):
    """A method that learns a variogram, or is given one."""

    name: ClassVar[str]
    takes_background: ClassVar[bool] = False

    neighbours: int
    transform: Transform | None
    model: VariogramModel
    variogram: Variogram | SpaceTimeVariogram | None
    variogram_: Any

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise ValueError("; ".join(faults))

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return this method with the variogram of the observations.

        Raises
        ------
        ValueError
            If fewer than two stations have values, or never two at once, or the transform does not
            suit the variable.
        """
        series = StationSeries.from_dataset(observations, variable)
        check_suits(self.transform, variable, never_negative=series.never_negative)
        self._variable = variable
        self.variogram_ = self.variogram or self._fitted_variogram(series)
        LOGGER.info("%s of %s: %s", self.name, variable, self.variogram_)
        return self

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration and what was learned, as plain values."""
        variable = self.variable  # before `fit` an error that says so
        return {"variable": variable, **configuration(self), "variogram": asdict(self.variogram_)}

    def cost(self, observations: xr.Dataset, variable: str, at: Grid | xr.Dataset) -> Cost:
        """Return the memory of the covariance among all stations."""
        return Cost(fixed_bytes=observations.sizes[STATION] ** 2 * PAIR_BYTES)

    def _faults(self) -> list[str]:
        """Return what is wrong with the configuration."""
        return interpolation_faults(self.neighbours, self.transform)

    def _fitted_variogram(self, series: StationSeries) -> Variogram | SpaceTimeVariogram:
        """Return the variogram of series on the scale of interpolation."""
        raise NotImplementedError
