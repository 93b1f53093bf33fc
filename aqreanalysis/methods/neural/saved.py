"""A saved model: a folder of plain files, written aside and renamed; loading executes nothing."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.methods.neural.batches import Standardisation
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.product import put_in_place

#: Number of the layout of the folder; another one is refused with the version that can read it.
FORMAT = 3
#: A station of one name is the same within this distance.
SAME_PLACE_KM = 0.1
DESCRIPTION, WEIGHTS, NETWORK = "reanalyser.json", "weights.safetensors", "network.nc"
#: What a description tells of a fitted model, beside its configuration and standardisation.
FACTS = (
    "variable",
    "units",
    "stations",
    "period",
    "step_hours",
    "seasons",
    "seed",
    "heads",
    "trend",
    "scaling",
    "data_hash",
    "scores",
)


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
        If the name is taken by something that is no saved model, or by one with other files.
    OSError
        If the folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    check_place(folder, DESCRIPTION, {WEIGHTS, NETWORK})
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
            "sha256": {name: digest_of(aside / name) for name in (WEIGHTS, NETWORK)},
        }
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        aside.chmod(0o755)
        put_in_place(aside, folder)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, SafetensorError):
            raise OSError(f"the model cannot be written to {folder}: {error}") from error
        raise
    return folder


def load_state(folder: Path) -> State:
    """Return the state of a saved model.

    Raises
    ------
    SavedModelError
        If a file is missing, of another format, or not the one that was saved.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = _description(folder)
    for name, expected in description["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise SavedModelError(f"{folder} lacks {name}; copy the whole folder of the model")
        if digest_of(path) != expected:
            raise SavedModelError(
                f"{path} is not the file that was saved (its sha256 differs); "
                "copy the folder again, or fit the model anew"
            )
    try:
        configuration = Configuration(**description.pop("configuration"))
        standardisation = Standardisation(**description.pop("standardisation"))
        with torch.random.fork_rng(devices=[]):
            count = len(description["scaling"]) - 1
            model = NeuralKNN(configuration, spacing_km=1.0, covariates=count)
        model.load_state_dict(load_file(folder / WEIGHTS))
        model.covariance.requires_grad_(False)
        model.bands.requires_grad_(False)
        with xr.open_dataset(folder / NETWORK, engine="netcdf4") as opened:
            network = opened.load()
    except (OSError, SafetensorError) as error:
        raise SavedModelError(f"{folder} holds a file that cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SavedModelError(
            f"{folder / DESCRIPTION} does not fit its weights: {error}"
        ) from error
    facts = {name: description[name] for name in FACTS}
    return State(model.eval(), standardisation, facts, network)


def network_record(observations: xr.Dataset, log_noise: np.ndarray) -> xr.Dataset:
    """Return identifiers, positions and noise of the stations, for the record beside weights."""
    layers = {
        name: (STATION, observations[name].values.astype(np.float64), {"units": units})
        for name, units in (("longitude", "degrees_east"), ("latitude", "degrees_north"))
    }
    noise = {"long_name": "logarithm of the factor of the station's noise", "units": "1"}
    return xr.Dataset(
        {**layers, "log_noise": (STATION, log_noise, noise)},
        coords={STATION: observations[STATION].values.astype(str)},
    )


def known_noise(learned: xr.Dataset, network: StationNetwork) -> np.ndarray:
    """Return the learned noise of stations, (n,); 0 for one that is not where it was learned."""
    known = StationNetwork.from_dataset(learned)
    rows = {name: row for row, name in enumerate(known.identifiers)}
    row = np.array([rows.get(name, -1) for name in network.identifiers])
    away_km = great_circle_km(
        known.longitude[row], known.latitude[row], network.longitude, network.latitude
    )
    there = (row >= 0) & (away_km <= SAME_PLACE_KM)
    return np.where(there, learned["log_noise"].values[row], 0.0)


def check_place(folder: Path, description: str, others: set[str]) -> None:
    """Refuse a name that is taken by anything but a saved model, of which nothing would be left.

    Parameters
    ----------
    folder : Path
    description : str
        Name of the file that tells a saved model.
    others : set of str
        Names of what lies beside it.
    """
    if not folder.exists():
        return
    if not (folder / description).is_file():
        raise SavedModelError(
            f"{folder} exists and holds no {description}, so it is no saved model of this kind; "
            "choose another name, or remove it"
        )
    foreign = {path.name for path in folder.iterdir()} - {description, *others}
    if foreign:
        raise SavedModelError(
            f"{folder} holds other files ({', '.join(sorted(foreign))}), which replacing the model "
            "would delete; choose another name, or move them"
        )


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
    except (OSError, ValueError, RecursionError) as error:
        raise SavedModelError(f"{path} cannot be read as a saved model: {error}") from error
    if not isinstance(description, dict) or "format" not in description:
        raise SavedModelError(f"{path} is not the description of a saved model")
    if description["format"] != FORMAT:
        raise SavedModelError(
            f"{path} has format {description['format']!r} (aqreanalysis "
            f"{description.get('package', 'unknown')}); this version reads format {FORMAT}"
        )
    lacking = {"configuration", "standardisation", "sha256", *FACTS} - description.keys()
    if lacking:
        raise SavedModelError(
            f"{path} is not the description of a saved model: it lacks {', '.join(sorted(lacking))}"
        )
    sums = description["sha256"]
    if not isinstance(sums, dict) or set(sums) != {WEIGHTS, NETWORK}:
        raise SavedModelError(f"{path} must list exactly {WEIGHTS} and {NETWORK}")
    return description


def digest_of(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
