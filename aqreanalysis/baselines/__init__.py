"""Baselines behind the estimator's contract: inverse distance, ordinary and space-time kriging."""

from aqreanalysis.baselines.inverse_distance import InverseDistance
from aqreanalysis.baselines.kriging import OrdinaryKriging
from aqreanalysis.baselines.space_time import SpaceTimeKriging
from aqreanalysis.baselines.space_time_variogram import (
    SpaceTimeVariogram,
    fit_space_time_variogram,
)
from aqreanalysis.baselines.variogram import (
    EmpiricalVariogram,
    Variogram,
    empirical_variogram,
    fit_variogram,
)

__all__ = [
    "EmpiricalVariogram",
    "InverseDistance",
    "OrdinaryKriging",
    "SpaceTimeKriging",
    "SpaceTimeVariogram",
    "Variogram",
    "empirical_variogram",
    "fit_space_time_variogram",
    "fit_variogram",
]
