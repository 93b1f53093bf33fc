"""Reanalysis: a trained model, its fields on grids and at stations, its folder of plain files."""

from aqreanalysis.reanalysis.estimators import (
    METHODS,
    Estimator,
    Method,
    estimator_of,
    reanalyse,
    utc_period,
)
from aqreanalysis.reanalysis.filling import fill
from aqreanalysis.reanalysis.reanalyser import Reanalyser
from aqreanalysis.reanalysis.saved import SavedModelError

__all__ = [
    "METHODS",
    "Estimator",
    "Method",
    "Reanalyser",
    "SavedModelError",
    "estimator_of",
    "fill",
    "reanalyse",
    "utc_period",
]
