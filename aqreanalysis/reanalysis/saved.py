"""A saved model: a folder of plain files, written aside and renamed; loading executes nothing."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr

from aqreanalysis.model import Configuration, NeuralKNN
from aqreanalysis.samples import Standardisation

#: Number of the layout of the folder; another one is refused with the version that can read it.
FORMAT = 1
DESCRIPTION, WEIGHTS, NETWORK = "reanalyser.json", "weights.safetensors", "network.nc"


class SavedModelError(ValueError):
    """A folder that is no saved model, or one that was changed after saving."""


@dataclass(frozen=True)
class State:
    """All that a fitted `Reanalyser` is."""

    model: NeuralKNN
    standardisation: Standardisation
    facts: Mapping[str, Any]
    network: xr.Dataset


def save_state(state: State, folder: Path) -> Path:
    """Return the folder that now holds the state; an earlier model there is replaced whole.

    Raises
    ------
    SavedModelError
        If the name is taken by something that is no saved model.
    OSError
        If the folder cannot be written.
    """
    from safetensors.torch import save_file

    if folder.exists() and not (folder / DESCRIPTION).is_file():
        raise SavedModelError(
            f"{folder} exists and is no saved model; choose another name, or remove it"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        save_file({k: v.contiguous() for k, v in state.model.state_dict().items()}, aside / WEIGHTS)
        state.network.to_netcdf(aside / NETWORK, engine="netcdf4")
        description = {
            "format": FORMAT,
            "package": version("aqreanalysis"),
            "configuration": asdict(state.model.configuration),
            "standardisation": asdict(state.standardisation),
            **state.facts,
            "sha256": {name: _digest(aside / name) for name in (WEIGHTS, NETWORK)},
        }
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def load_state(folder: Path) -> State:
    """Return the state of a saved model.

    Raises
    ------
    SavedModelError
        If a file is missing, of another format, or not the one that was saved.
    """
    from safetensors.torch import load_file

    description = _description(folder)
    for name, expected in description["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise SavedModelError(f"{folder} lacks {name}; copy the whole folder of the model")
        if _digest(path) != expected:
            raise SavedModelError(
                f"{path} is not the file that was saved (its sha256 differs); "
                "copy the folder again, or fit the model anew"
            )
    try:
        configuration = Configuration(**description.pop("configuration"))
        standardisation = Standardisation(**description.pop("standardisation"))
        model = NeuralKNN(configuration, spacing_km=1.0)
        model.load_state_dict(load_file(folder / WEIGHTS))
        model.covariance.requires_grad_(False)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SavedModelError(
            f"{folder / DESCRIPTION} does not fit its weights: {error}"
        ) from error
    with xr.open_dataset(folder / NETWORK, engine="netcdf4") as opened:
        network = opened.load()
    facts = {k: v for k, v in description.items() if k not in ("format", "package", "sha256")}
    return State(model.eval(), standardisation, facts, network)


def _description(folder: Path) -> dict[str, Any]:
    """Return the description of a saved model, once it is known to be one."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SavedModelError(
            f"{folder} is no saved model: it has no {DESCRIPTION}. "
            "Save one with Reanalyser.save(folder)."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise SavedModelError(f"{path} cannot be read as a saved model: {error}") from error
    expected = {"format", "configuration", "standardisation", "sha256", "variable", "scores"}
    if not isinstance(description, dict) or not expected <= description.keys():
        raise SavedModelError(f"{path} is not the description of a saved model")
    if description["format"] != FORMAT:
        raise SavedModelError(
            f"{path} has format {description['format']!r} (aqreanalysis "
            f"{description.get('package', 'unknown')}); this version reads format {FORMAT}"
        )
    if set(description["sha256"]) != {WEIGHTS, NETWORK}:
        raise SavedModelError(f"{path} must list exactly {WEIGHTS} and {NETWORK}")
    return description


def _digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
