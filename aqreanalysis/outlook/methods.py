"""The methods of an outlook by name, with their covariates, schedules and sources."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.methods.covariates import covariates_of
from aqreanalysis.methods.neural.reanalyser import AQ_NET
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, OutlookNetwork
from aqreanalysis.outlook.baselines import Climatology, LSTMOutlook, Persistence, Ridge
from aqreanalysis.outlook.paper import PaperNetwork
from aqreanalysis.outlook.patchtst import PatchTST
from aqreanalysis.outlook.training import OutlookSchedule

OutlookMethod = Literal["aqnet", "paper", "lstm", "patchtst", "ridge", "climatology", "persistence"]


#: Which variables a method takes beside the predicted one.
Covariates = Literal["all", "pollutants", "none"]


class MethodDescription(NamedTuple):
    """How a method is made, where it is described, what it uses and how it is trained."""

    network: Callable[[OutlookConfiguration, int], OutlookModule]
    references: str
    covariates: Covariates = "all"
    schedule: OutlookSchedule = OutlookSchedule()


#: Rates and batches of the released code, which trains for 50 epochs at most.
_RELEASED = OutlookSchedule(
    updates=2000, batch=16, rate=1e-3, decay=0.01, constant=True, check_every=200, patience=10
)
#: Of a network that starts from nothing; the dropout is that of the configuration.
_FROM_NOTHING = OutlookSchedule(updates=4000, rate=1e-3, decay=0.01, check_every=100, patience=8)
_LSTM = "Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735"
_PATCHTST = "PatchTST, https://arxiv.org/abs/2211.14730"
_RIDGE = "Hoerl and Kennard 1970, https://doi.org/10.1080/00401706.1970.10488634"
#: Reference forecasts.
_WILKS = "Wilks 2019, Statistical Methods in the Atmospheric Sciences, chapter 9"

OUTLOOK_METHODS: Mapping[OutlookMethod, MethodDescription] = {
    "aqnet": MethodDescription(OutlookNetwork, AQ_NET),
    "paper": MethodDescription(PaperNetwork, AQ_NET, "pollutants", _RELEASED),
    "lstm": MethodDescription(LSTMOutlook, _LSTM, schedule=_FROM_NOTHING),
    "patchtst": MethodDescription(PatchTST, _PATCHTST, "none"),
    "ridge": MethodDescription(Ridge, _RIDGE),
    "climatology": MethodDescription(Climatology, _WILKS, "none"),
    "persistence": MethodDescription(Persistence, _WILKS, "none"),
}


def covariates_for(
    kind: Covariates, observations: xr.Dataset, variable: str, requested: Sequence[str] | None
) -> list[str]:
    """Return the covariates that a method of a kind takes.

    By default all that the observations have; AQ-Net as released takes the pollutants among
    them; persistence, climatology and PatchTST use the variable alone.
    """
    if kind == "none":
        return []
    if requested is not None:
        return list(requested)
    available = covariates_of(observations, variable)
    return [name for name in available if kind == "all" or name in POLLUTANTS]
