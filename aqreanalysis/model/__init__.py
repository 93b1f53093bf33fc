"""The network, torch alone: learned covariance, temporal encoder and neural kNN."""

from aqreanalysis.model.bands import BandCovariance, split_bands
from aqreanalysis.model.completion import complete, estimate_gaps
from aqreanalysis.model.configuration import Configuration
from aqreanalysis.model.covariance import SpaceTimeCovariance, ordinary_weights
from aqreanalysis.model.encoder import Encoding, TemporalEncoder
from aqreanalysis.model.mixing import (
    StationTables,
    TargetMatrices,
    estimate,
    station_tables,
    target_matrices,
)
from aqreanalysis.model.neural_knn import CYCLES, Neighbourhood, NeuralKNN, StationSeries, fade
from aqreanalysis.model.threads import single_thread

__all__ = [
    "CYCLES",
    "BandCovariance",
    "Configuration",
    "Encoding",
    "Neighbourhood",
    "NeuralKNN",
    "SpaceTimeCovariance",
    "StationSeries",
    "StationTables",
    "TargetMatrices",
    "TemporalEncoder",
    "complete",
    "estimate",
    "estimate_gaps",
    "fade",
    "ordinary_weights",
    "single_thread",
    "split_bands",
    "station_tables",
    "target_matrices",
]
