"""From air-quality stations to complete fields: at hidden stations, on grids, with an uncertainty.

>>> import aqreanalysis as aqr
>>> obs = aqr.synthetic_network(hours=48, seed=0).observations
>>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
>>> list(product.data_vars)
['pm25', 'pm25_uncertainty', 'pm25_flag', 'distance_to_nearest_station']
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from aqreanalysis.accessor import AqnetAccessor
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork

__version__ = version("aqreanalysis")

# Names that need torch, pandas' readers or netCDF4 are imported when they are first used.
_HOMES = {
    "Configuration": "aqreanalysis.methods.neural.configuration",
    "InverseDistance": "aqreanalysis.methods.inverse_distance",
    "ObservationError": "aqreanalysis.observations",
    "OrdinaryKriging": "aqreanalysis.methods.kriging.ordinary",
    "Outlook": "aqreanalysis.outlook",
    "PretrainedReanalyser": "aqreanalysis.methods.neural.pretrained",
    "Reanalyser": "aqreanalysis.methods.neural.reanalyser",
    "Schedule": "aqreanalysis.methods.neural.configuration",
    "SpaceTimeKriging": "aqreanalysis.methods.kriging.space_time",
    "combine": "aqreanalysis.observations",
    "open_observations": "aqreanalysis.observations",
    "open_product": "aqreanalysis.product",
    "sources": "aqreanalysis.observations.sources.registry",
    "synthetic_network": "aqreanalysis.datasets",
    "update": "aqreanalysis.operation",
    "verify_product": "aqreanalysis.verification",
    "write_archive": "aqreanalysis.observations",
}

__all__ = ["AqnetAccessor", "Grid", "StationNetwork", "__version__", "datasets", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Return a public name from its module, imported now."""
    if name == "datasets":
        return import_module("aqreanalysis.datasets")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
