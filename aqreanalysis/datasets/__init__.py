"""Data to work with: a synthetic network with known truth, and the registry of public sets."""

from aqreanalysis.datasets.registry import (
    DatasetError,
    PublicDataset,
    cite,
    describe,
    fetch,
    list_datasets,
    present,
)
from aqreanalysis.datasets.sensors import Sensors
from aqreanalysis.datasets.synthetic import SyntheticNetwork, synthetic_network
from aqreanalysis.datasets.weather import Atmosphere

__all__ = [
    "Atmosphere",
    "DatasetError",
    "PublicDataset",
    "Sensors",
    "SyntheticNetwork",
    "cite",
    "describe",
    "fetch",
    "list_datasets",
    "present",
    "synthetic_network",
]
