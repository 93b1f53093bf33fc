"""Reanalysis: a trained model, its fields on grids and at stations, its folder of plain files."""

from aqreanalysis.reanalysis.estimators import METHODS, Estimator, estimator_of, reanalyse
from aqreanalysis.reanalysis.reanalyser import Reanalyser
from aqreanalysis.reanalysis.saved import SavedModelError

__all__ = [
    "METHODS",
    "Estimator",
    "Reanalyser",
    "SavedModelError",
    "estimator_of",
    "reanalyse",
]
