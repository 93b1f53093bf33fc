"""The network, torch alone: learned covariance, temporal encoder and neural kNN."""

from aqreanalysis.model.completion import complete
from aqreanalysis.model.configuration import Configuration
from aqreanalysis.model.covariance import SpaceTimeCovariance, ordinary_weights
from aqreanalysis.model.encoder import Encoding, TemporalEncoder
from aqreanalysis.model.neural_knn import CYCLES, Neighbourhood, NeuralKNN, StationSeries, fade
from aqreanalysis.model.threads import single_thread

__all__ = [
    "CYCLES",
    "Configuration",
    "Encoding",
    "Neighbourhood",
    "NeuralKNN",
    "SpaceTimeCovariance",
    "StationSeries",
    "TemporalEncoder",
    "complete",
    "fade",
    "ordinary_weights",
    "single_thread",
]
