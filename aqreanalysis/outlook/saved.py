"""A saved `Outlook`: the contents of its folder, and the model between stations inside it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.saved_model import FileWriter, ModelFolder
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule
from aqreanalysis.outlook.methods import OUTLOOK_METHODS

#: Folder of the model that takes an outlook between stations.
BETWEEN = "between"
#: Facts of a description of a fitted outlook.
FACTS = (
    "method",
    "variable",
    "stations",
    "period",
    "validation",
    "step_hours",
    "history_hours",
    "horizon_hours",
    "seasons",
    "asked",
    "covariates",
    "seed",
    "data_hash",
    "scores",
)
#: Name of the calibration among the tensors.
FACTOR = "log_factor"
_FOLDER = ModelFolder(
    kind="outlook",
    owner="Outlook",
    description="outlook.json",
    format=3,
    earlier=(2,),
    facts=("configuration", "channels", BETWEEN, *FACTS),
    folders=(BETWEEN,),
)


@dataclass(frozen=True)
class OutlookState:
    """All that a fitted `Outlook` is, but for what takes it between stations."""

    configuration: OutlookConfiguration
    model: OutlookModule
    log_factor: Tensor
    scaling: Scaling
    facts: Mapping[str, Any]


def save_outlook(state: OutlookState, between: Any, folder: Path) -> Path:
    """Return the folder that now holds the outlook; an earlier one there is replaced whole.

    Raises
    ------
    SavedModelError
        If the name is taken by something that is no saved outlook.
    ValueError
        If what takes outlooks between stations cannot be saved.
    """
    if between is not None and not isinstance(between, Reanalyser):
        raise ValueError(
            f"only a Reanalyser is saved with an outlook; found {between!r}. "
            "Fit the outlook without between="
        )
    facts = {
        "configuration": asdict(state.configuration),
        "channels": state.scaling.facts(),
        BETWEEN: between is not None,
        **state.facts,
    }
    weights = {**state.model.state_dict(), FACTOR: state.log_factor}
    further: dict[str, FileWriter] = {} if between is None else {BETWEEN: between.save}
    return _FOLDER.save(folder, facts, weights, further)


def load_outlook(folder: Path) -> tuple[OutlookState, Reanalyser | None]:
    """Return the state of a saved outlook, and what takes it between stations.

    Raises
    ------
    SavedModelError
        If a file is missing, of another format, or not the one that was saved.
    """
    return _FOLDER.whole(folder, _loaded)


def _loaded(folder: Path) -> tuple[OutlookState, Reanalyser | None]:
    """Return what `load_outlook` does of a folder that no other process is replacing."""
    facts = _FOLDER.facts_of(folder)
    with _FOLDER.weights_of(folder) as weights:
        configuration = OutlookConfiguration(**facts.pop("configuration"))
        scaling = Scaling.from_facts(facts.pop("channels"))
        with torch.random.fork_rng(devices=[]):
            network = OUTLOOK_METHODS[facts["method"]].network
            # The mean of the other stations is a channel too.
            model = network(configuration, len(scaling.channels) + 1)
        factor = weights.pop(FACTOR)
        model.load_state_dict(weights)
    between = Reanalyser.load(folder / BETWEEN) if facts.pop(BETWEEN) else None
    return OutlookState(configuration, model.eval(), factor, scaling, facts), between
