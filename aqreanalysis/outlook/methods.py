"""The methods of an outlook by name, and what each of them looks at."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.methods.covariates import covariates_of
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, OutlookNetwork
from aqreanalysis.outlook.baselines import Climatology, LSTMOutlook, Persistence, Ridge
from aqreanalysis.outlook.paper import PaperNetwork
from aqreanalysis.outlook.patchtst import PatchTST
from aqreanalysis.outlook.training import OutlookSchedule


class _Method(NamedTuple):
    """How a method is made, and how it learns by default."""

    network: Callable[[OutlookConfiguration, int], OutlookModule]
    schedule: OutlookSchedule = OutlookSchedule()


#: Rates and batches of the released code; there it is 50 epochs at most.
_RELEASED = OutlookSchedule(
    updates=2000, batch=16, rate=1e-3, decay=0.01, check_every=200, patience=10
)

OUTLOOK_METHODS: Mapping[str, _Method] = {
    "aqnet": _Method(OutlookNetwork),
    "paper": _Method(PaperNetwork, _RELEASED),
    "lstm": _Method(LSTMOutlook),
    "patchtst": _Method(PatchTST),
    "ridge": _Method(Ridge),
    "climatology": _Method(Climatology),
    "persistence": _Method(Persistence),
}


def covariates_for(
    method: str, observations: xr.Dataset, variable: str, asked: Sequence[str] | None
) -> list[str]:
    """Return the covariates that a method takes.

    By default all that the observations have; AQ-Net as released takes the pollutants among
    them; persistence, climatology and PatchTST look at the variable alone.
    """
    if method in ("persistence", "climatology", "patchtst"):
        return []
    if asked is not None:
        return list(asked)
    there = covariates_of(observations, variable)
    return [name for name in there if method != "paper" or name in POLLUTANTS]
