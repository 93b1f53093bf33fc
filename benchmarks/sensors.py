"""``python -m benchmarks sensors``: types of instruments, detected and taken off where planted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import OrdinaryKriging
from aqreanalysis.methods.proven_types import proven_types
from aqreanalysis.methods.station_types import TypeFactors
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of
from aqreanalysis.verification import Fold, estimate_hidden
from benchmarks.protocols import PROTOCOLS
from benchmarks.tables import markdown

#: Protocols whose networks are used if none are named.
DEFAULT = ("p3", "p6", "p7", "p8")
#: Stations of a cut, cuts, and the factor that half of its stations measure too much.
STATIONS, CUTS, FACTOR = 40, 100, 1.2
#: Steps of a network at most.
STEPS = 1500
#: Share of the stations that become sensors, their factor, its spread and that of each hour.
SENSORS, TOO_MUCH, OF_EACH, OF_AN_HOUR = 0.6, 1.4, 0.15, 0.25
#: Labels.
SENSOR, REFERENCE = "sensor", "reference"
SEED = 3


def table(folder: Path, keys: Sequence[str] = DEFAULT, *, cuts: int = CUTS) -> str:
    """Return the table: how often labels are used, and errors at hidden reference stations.

    The last columns are the RMSE of kriging from the network as it was measured, and from one of
    which most stations became sensors, with their types and without.
    """
    rows = [
        ["", "no meaning, used", "a fifth, used", "factor", "as measured", "sensors, types", "none"]
    ]
    for key in keys:
        protocol = PROTOCOLS[key]
        observations = protocol.open(folder)[[protocol.variable]]
        observations = observations.isel(time=slice(0, STEPS)).load()
        false, true = _used(observations, protocol.variable, cuts)
        factors = [one.factors["sensor_type"][SENSOR] for one in true if one]
        counts = [f"{np.mean([bool(one) for one in each]):.2f}" for each in (false, true)]
        errors = [f"{error:.2f}" for error in _errors(observations, protocol.variable)]
        rows.append([key, *counts, f"{np.exp(np.mean(np.log(factors))):.2f}", *errors])
    return markdown(rows)


def _used(
    observations: xr.Dataset, variable: str, cuts: int
) -> tuple[list[TypeFactors], list[TypeFactors]]:
    """Return what is proven in cuts of labels by chance: that mean nothing, and that do."""
    network, rng = StationNetwork.from_dataset(observations), np.random.default_rng(SEED)
    without, planted = [], []
    for _ in range(cuts):
        centre = int(rng.integers(network.size))
        cut = observations.isel(station=network.nearest_to(centre, count=STATIONS))
        half = rng.permutation(cut.sizes["station"]) < cut.sizes["station"] // 2
        cut = _labelled(cut, half)
        without.append(proven_types(cut, variable))
        factor = np.where(half, FACTOR, 1.0)[:, None]
        planted.append(proven_types(_times(cut, variable, factor), variable))
    return without, planted


def _errors(observations: xr.Dataset, variable: str) -> list[float]:
    """Return the RMSE at hidden reference stations of the network, with sensors and labels."""
    rng, count = np.random.default_rng(SEED), observations.sizes["station"]
    sensor = rng.permutation(count) < int(SENSORS * count)
    values = values_of(observations, variable)
    of_each = rng.normal(size=(count, 1)) * OF_EACH
    logarithm = np.log(TOO_MUCH) + of_each + rng.normal(size=values.shape) * OF_AN_HOUR
    spoiled = _times(observations, variable, np.exp(np.where(sensor[:, None], logarithm, 0.0)))
    hidden = (rng.random(count) < 0.5) & ~sensor
    every = np.ones(values.shape[1], bool)
    fold = Fold("half of the references", hidden, ~hidden, every, every)
    errors = []
    for given in (observations, _labelled(spoiled, sensor), spoiled):
        method = OrdinaryKriging().fit(fold.training(given), variable)
        median = estimate_hidden(method, given, variable, fold).median
        errors.append(float(np.sqrt(np.nanmean((median - values[hidden]) ** 2))))
    return errors


def _labelled(observations: xr.Dataset, sensor: np.ndarray) -> xr.Dataset:
    """Return observations that state which stations are sensors."""
    labels = np.where(sensor, SENSOR, REFERENCE)
    return observations.assign_coords(sensor_type=("station", labels))


def _times(observations: xr.Dataset, variable: str, factor: np.ndarray) -> xr.Dataset:
    """Return observations of which a variable is multiplied."""
    array = observations[variable].transpose("station", "time")
    return observations.assign({variable: array.copy(data=array.values * factor)})
