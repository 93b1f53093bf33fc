"""The methods of an outlook by name, and what each of them looks at."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.methods.covariates import covariates_of
from aqreanalysis.methods.neural.reanalyser import AQ_NET
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule, OutlookNetwork
from aqreanalysis.outlook.baselines import Climatology, LSTMOutlook, Persistence, Ridge
from aqreanalysis.outlook.paper import PaperNetwork
from aqreanalysis.outlook.patchtst import PatchTST
from aqreanalysis.outlook.training import OutlookSchedule


class _Method(NamedTuple):
    """How a method is made, and how it learns by default."""

    network: Callable[[OutlookConfiguration, int], OutlookModule]
    references: str
    schedule: OutlookSchedule = OutlookSchedule()


#: Rates and batches of the released code; there it is 50 epochs at most.
_RELEASED = OutlookSchedule(
    updates=2000, batch=16, rate=1e-3, decay=0.01, check_every=200, patience=10
)

#: Of the two reference forecasts.
WILKS = "Wilks 2019, Statistical Methods in the Atmospheric Sciences, chapter 9"

OUTLOOK_METHODS: Mapping[str, _Method] = {
    "aqnet": _Method(OutlookNetwork, AQ_NET),
    "paper": _Method(PaperNetwork, AQ_NET, _RELEASED),
    "lstm": _Method(
        LSTMOutlook, "Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735"
    ),
    "patchtst": _Method(PatchTST, "Nie et al. 2023, PatchTST, https://arxiv.org/abs/2211.14730"),
    "ridge": _Method(Ridge, "Hoerl and Kennard 1970, https://doi.org/10.2307/1267351"),
    "climatology": _Method(Climatology, WILKS),
    "persistence": _Method(Persistence, WILKS),
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
