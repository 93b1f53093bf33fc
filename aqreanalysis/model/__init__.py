"""The network, torch alone: learned covariance, temporal encoder and neural kNN."""

from aqreanalysis.model.bands import BandCovariance, split_bands
from aqreanalysis.model.completion import (
    CANDIDATES,
    Surroundings,
    complete,
    estimate_gaps,
    nearest_others,
)
from aqreanalysis.model.configuration import Configuration
from aqreanalysis.model.covariance import SpaceTimeCovariance, Weights, ordinary_weights
from aqreanalysis.model.encoder import Encoding, TemporalEncoder
from aqreanalysis.model.mixing import (
    StationTables,
    TargetMatrices,
    estimate,
    station_tables,
    target_matrices,
)
from aqreanalysis.model.neighbourhood import Neighbourhood, fade
from aqreanalysis.model.neural_knn import CYCLES, NeuralKNN, StationSeries
from aqreanalysis.model.outlook import (
    History,
    OutlookConfiguration,
    OutlookModule,
    OutlookNetwork,
    Prediction,
    design,
    design_size,
)
from aqreanalysis.model.outlook_baselines import Climatology, LSTMOutlook, Persistence, Ridge
from aqreanalysis.model.paper import PaperNetwork
from aqreanalysis.model.patchtst import PatchTST
from aqreanalysis.model.threads import single_thread

__all__ = [
    "CANDIDATES",
    "CYCLES",
    "BandCovariance",
    "Climatology",
    "Configuration",
    "Encoding",
    "History",
    "LSTMOutlook",
    "Neighbourhood",
    "NeuralKNN",
    "OutlookConfiguration",
    "OutlookModule",
    "OutlookNetwork",
    "PaperNetwork",
    "PatchTST",
    "Persistence",
    "Prediction",
    "Ridge",
    "SpaceTimeCovariance",
    "StationSeries",
    "StationTables",
    "Surroundings",
    "TargetMatrices",
    "TemporalEncoder",
    "Weights",
    "complete",
    "design",
    "design_size",
    "estimate",
    "estimate_gaps",
    "fade",
    "nearest_others",
    "ordinary_weights",
    "single_thread",
    "split_bands",
    "station_tables",
    "target_matrices",
]
