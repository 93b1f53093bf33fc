"""A saved outlook: a folder of plain files; loading executes nothing."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.neural.saved import SavedModelError, check_place, digest_of
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookModule
from aqreanalysis.outlook.methods import OUTLOOK_METHODS
from aqreanalysis.product import put_in_place

#: Number of the layout of the folder.
FORMAT = 1
DESCRIPTION, WEIGHTS, BETWEEN = "outlook.json", "weights.safetensors", "between"
#: What a description tells of a fitted outlook.
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
    from safetensors.torch import save_file

    if between is not None and not isinstance(between, Reanalyser):
        raise ValueError(
            f"only a Reanalyser is saved with an outlook; found {between!r}. "
            "Fit the outlook without between="
        )
    check_place(folder, DESCRIPTION, {WEIGHTS, BETWEEN})
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        tensors = {**state.model.state_dict(), FACTOR: state.log_factor}
        save_file({name: t.clone().contiguous() for name, t in tensors.items()}, aside / WEIGHTS)
        if between is not None:
            between.save(aside / BETWEEN)
        description = {
            "format": FORMAT,
            "package": version("aqreanalysis"),
            "configuration": asdict(state.configuration),
            "channels": state.scaling.facts(),
            "facts": dict(state.facts),
            "between": between is not None,
            "sha256": digest_of(aside / WEIGHTS),
        }
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        aside.chmod(0o755)
        put_in_place(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def load_outlook(folder: Path) -> tuple[OutlookState, Reanalyser | None]:
    """Return the state of a saved outlook, and what takes it between stations.

    Raises
    ------
    SavedModelError
        If a file is missing, of another format, or not the one that was saved.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = _description(folder)
    weights = folder / WEIGHTS
    if not weights.is_file() or digest_of(weights) != description["sha256"]:
        raise SavedModelError(
            f"{weights} is missing or not the file that was saved; copy the folder again"
        )
    try:
        configuration = OutlookConfiguration(**description["configuration"])
        scaling, facts = Scaling.from_facts(description["channels"]), description["facts"]
        with torch.random.fork_rng(devices=[]):
            made = OUTLOOK_METHODS[facts["method"]].network
            # The mean of the other stations is a channel too.
            model = made(configuration, len(scaling.channels) + 1)
        tensors = load_file(weights)
        factor = tensors.pop(FACTOR)
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise SavedModelError(
            f"{folder / DESCRIPTION} does not fit its weights: {error}"
        ) from error
    between = Reanalyser.load(folder / BETWEEN) if description["between"] else None
    return OutlookState(configuration, model.eval(), factor, scaling, facts), between


def _description(folder: Path) -> dict[str, Any]:
    """Return the description of a saved outlook, once it is known to be one."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SavedModelError(
            f"{folder} is no saved outlook ({error}). Save one with Outlook.save(folder)."
        ) from error
    names = {"format", "configuration", "channels", "facts", "between", "sha256"}
    if not isinstance(description, dict) or names - description.keys():
        raise SavedModelError(f"{path} is not the description of a saved outlook")
    if description["format"] != FORMAT:
        raise SavedModelError(
            f"{path} has format {description['format']!r}; this version reads format {FORMAT}"
        )
    lacking = set(FACTS) - set(description["facts"])
    if lacking:
        raise SavedModelError(f"{path} lacks {', '.join(sorted(lacking))}; fit the outlook anew")
    return description
