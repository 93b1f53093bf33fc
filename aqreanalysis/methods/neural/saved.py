"""A saved `Reanalyser`: the files of its folder, and the stations that it learned from."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.noise_of_types import type_means
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.saved_model import ModelFolder
from aqreanalysis.methods.station_types import labels_of
from aqreanalysis.network import MOVED_KM, StationNetwork, great_circle_km

NETWORK = "network.nc"
#: The kind of label that says what measures.
INSTRUMENT = "sensor_type"
#: Facts of a description of a fitted model, beside its configuration and standardisation.
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
_FOLDER = ModelFolder(
    kind="model",
    owner="Reanalyser",
    description="reanalyser.json",
    format=8,
    earlier=(3, 4, 5, 6, 7),
    facts=("configuration", "standardisation", *FACTS),
    optional=("station_types",),
    files=(NETWORK,),
)


@dataclass(frozen=True)
class State:
    """All that a fitted `Reanalyser` is."""

    model: NeuralKNN
    standardisation: Standardisation
    facts: Mapping[str, Any]
    network: xr.Dataset

    @property
    def digest(self) -> str:
        """Sha256 of all weights: what was learned, whatever the schedule was."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            if tensor.numel():
                digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        return digest.hexdigest()


def save_state(state: State, folder: Path) -> Path:
    """Return the folder that now holds the state; an earlier model there is replaced whole.

    Raises
    ------
    SavedModelError
        If the name is taken by something that is no saved model, or by one with other files.
    OSError
        If the folder cannot be written.
    """
    facts = {
        "configuration": asdict(state.model.configuration),
        "standardisation": asdict(state.standardisation),
        **state.facts,
    }
    further = {NETWORK: lambda path: state.network.to_netcdf(path, engine="netcdf4")}
    return _FOLDER.save(folder, facts, state.model.state_dict(), further)


def load_state(folder: Path) -> State:
    """Return the state of a saved model.

    Raises
    ------
    SavedModelError
        If a file is missing, of another format, or not the one that was saved.
    """
    return _FOLDER.whole(folder, _loaded)


def _loaded(folder: Path) -> State:
    """Return the state of a saved model that no other process is replacing."""
    facts = _FOLDER.facts_of(folder)
    with _FOLDER.weights_of(folder) as weights:
        configuration = Configuration(**facts.pop("configuration"))
        standardisation = Standardisation(**facts.pop("standardisation"))
        with torch.random.fork_rng(devices=[]):
            count = len(facts["scaling"]) - 1
            attributes = len((facts["trend"] or {}).get("attributes", ()))
            model = NeuralKNN(
                configuration,
                spacing_km=1.0,
                covariates=count,
                attributes=attributes,
                coordinate_km=weights.get("bands.coordinate_km", torch.zeros(0)).tolist(),
            )
        # Format 3 knew neither how bands are correlated, nor what all stations share, nor a largest
        # value: none. Up to format 4 there are no attributes of places, up to 6 no coordinates,
        # up to 7 no trend of their altitude.
        model.load_state_dict({**model.state_dict(), **weights})
        model.covariance.requires_grad_(False)
        model.bands.requires_grad_(False)
        with xr.open_dataset(folder / NETWORK, engine="netcdf4") as opened:
            network = opened.load()
    return State(model.eval(), standardisation, facts, network)


def network_record(observations: xr.Dataset, log_noise: np.ndarray) -> xr.Dataset:
    """Return identifiers, positions and noise of the stations, for the record beside weights."""
    layers: dict[str, Any] = {
        name: (STATION, observations[name].values.astype(np.float64), {"units": units})
        for name, units in (("longitude", "degrees_east"), ("latitude", "degrees_north"))
    }
    noise = {"long_name": "logarithm of the factor of the station's noise", "units": "1"}
    if INSTRUMENT in observations.variables:
        layers[INSTRUMENT] = (STATION, labels_of(observations, INSTRUMENT))
    return xr.Dataset(
        {**layers, "log_noise": (STATION, log_noise, noise)},
        coords={STATION: observations[STATION].values.astype(str)},
    )


def known_noise(
    learned: xr.Dataset, network: StationNetwork, instruments: np.ndarray | None = None
) -> np.ndarray:
    """Return the learned noise of stations, (n,).

    One that is not where it was learned has the mean of its type of ``instruments`` (n,), and 0
    where there is none, or types do not differ.
    """
    known = StationNetwork.from_dataset(learned)
    rows = {name: row for row, name in enumerate(known.identifiers)}
    row = np.array([rows.get(name, -1) for name in network.identifiers])
    away_km = great_circle_km(
        known.longitude[row], known.latitude[row], network.longitude, network.latitude
    )
    same_place = (row >= 0) & (away_km <= MOVED_KM)
    noise = learned["log_noise"].values
    usual = np.zeros(network.size)
    if instruments is not None and INSTRUMENT in learned:
        means = type_means(noise, learned[INSTRUMENT].values.astype(str))
        usual += [means.get(label, 0.0) for label in instruments]
    return np.where(same_place, noise[row], usual)
