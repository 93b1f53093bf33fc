"""The demonstration: the whole workflow on a synthetic network with a known truth."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.datasets import SyntheticNetwork, synthetic_network
from aqreanalysis.maps import save_map
from aqreanalysis.methods import METHODS, Method, predict
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import open_observations
from aqreanalysis.predictive import freedom_of
from aqreanalysis.product import open_product
from aqreanalysis.reanalysis import reanalyse
from aqreanalysis.report import write_report
from aqreanalysis.verification import build_pairs, score_table, statistics
from aqreanalysis.viewer import write_viewer

logger = logging.getLogger(__name__)

VARIABLE = "pm25"
#: Hours that are written and scored; the model learns from the whole month.
SCORED_HOURS = 120
#: A shorter training than by default, so that the demonstration ends within two minutes.
SCHEDULE = Schedule(updates=150, windows=4)


def run(folder: Path, *, seed: int = 0, progress: bool = True) -> str:
    """Write stations, model, product, maps and report to a folder, and return the scores as text.

    The folder, created if needed, then holds ``stations.csv``, ``hidden.csv``, ``model/``,
    ``pm25.nc``, ``pm25.png``, ``uncertainty.png``, ``truth.png``, ``scores.csv``,
    ``report.html`` and ``viewer.html``. The seed is that of the synthetic sky and of the training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = _timed_log()
    log("Making a synthetic network: towns, wind, plumes, sensors with errors and gaps")
    synthetic = synthetic_network(seed=seed)
    synthetic.observations.aqnet.to_table(folder / "stations.csv")
    synthetic.hidden[[VARIABLE]].aqnet.to_table(folder / "hidden.csv")
    obs = open_observations(folder / "stations.csv")
    log(f"Training on {obs.aqnet.network!r}")
    model = Reanalyser(schedule=SCHEDULE, seed=seed, progress=progress).fit(obs, VARIABLE)
    model.save(folder / "model")
    scored = slice(*obs.time.values[[-SCORED_HOURS, -1]])
    log("Writing pm25.nc with the trained model")
    product = reanalyse(obs, VARIABLE, grid=synthetic.grid, method=model, time=scored)
    product.aqnet.to_netcdf(folder / "pm25.nc", progress=progress)
    log("Scoring every method on the truth grid and at hidden stations")
    fitted: dict[str, Method] = {
        name: model if name == model.name else known.make().fit(obs, VARIABLE)
        for name, known in METHODS.items()
    }
    pairs = _pairs(obs, synthetic, fitted, scored)
    summed = statistics(pairs)
    scores = score_table(summed).join(_on_truth_grid(obs, synthetic, fitted, scored))
    scores.to_csv(folder / "scores.csv", float_format="%.4g")
    write_report(pairs, folder / "report.html", statistics=summed)
    log("Drawing maps")
    _draw(folder, product, obs, synthetic)
    with open_product(folder / "pm25.nc") as written:
        write_viewer(written, folder / "viewer.html", observations=obs, progress=progress)
    return _report(folder, scores)


def _timed_log() -> Callable[[str], None]:
    """Return a function that logs a message with the seconds since the start."""
    begin = time.perf_counter()
    return lambda text: logger.info("[%3.0f s] %s", time.perf_counter() - begin, text)


def _pairs(
    observations: xr.Dataset,
    synthetic: SyntheticNetwork,
    fitted: Mapping[str, Method],
    scored: slice,
) -> xr.Dataset:
    """Return the hidden stations' measurements beside what each method estimates there."""
    hidden = synthetic.hidden.sel(time=scored)
    at = StationNetwork.from_dataset(hidden)
    network = StationNetwork.from_dataset(observations)
    positions = hidden.coords.to_dataset()  # of the hidden stations, without what they measured
    fields = [
        predict(model, observations, positions, time=scored).compute() for model in fitted.values()
    ]
    nearest = network.neighbours(at.longitude, at.latitude, k=1).distance_km[:, 0]
    return build_pairs(
        hidden,
        VARIABLE,
        truth=hidden[VARIABLE].values,
        estimate=np.stack([field[VARIABLE].values for field in fields]),
        standard_error=np.stack([field[f"{VARIABLE}_uncertainty"].values for field in fields]),
        freedom=np.stack([np.full(at.size, freedom_of(m.settings)) for m in fitted.values()]),
        methods=list(fitted),
        stations={"distance_km": nearest, "place": at.colocated_groups()},
        attributes={
            "by": "station",
            "design": f"{at.size} synthetic stations were hidden; every method was fitted to the "
            f"other {network.size} over the month, and the last {SCORED_HOURS} hours are scored.",
            "failures": [],
            "remarks": ["The sky, the sensors and their faults are synthetic."],
        },
    )


def _on_truth_grid(
    observations: xr.Dataset,
    synthetic: SyntheticNetwork,
    fitted: Mapping[str, Method],
    scored: slice,
) -> pd.Series:
    """Return the RMSE of each method against the truth in all cells, ug m-3.

    Hours at which nothing reports are left out for all methods; kriging has no estimate there.
    """
    reports = observations[VARIABLE].notnull().any("station").sel(time=scored)
    truth = synthetic.truth[VARIABLE].sel(time=scored).where(reports)
    rmse = {}
    for name, model in fitted.items():
        field = predict(model, observations, synthetic.grid, time=scored)[VARIABLE]
        rmse[name] = float(np.sqrt(((field - truth) ** 2).mean()))
    return pd.Series(rmse, name="truth_grid_rmse")


def _draw(
    folder: Path, product: xr.Dataset, observations: xr.Dataset, synthetic: SyntheticNetwork
) -> None:
    """Draw the hour with the highest mean: the field, its uncertainty and the truth."""
    truth = synthetic.truth[[VARIABLE]].sel(time=product.time)
    peak = str(truth[VARIABLE].mean(("lat", "lon")).idxmax("time").values)[:16]
    limits = (0.0, float(np.ceil(truth[VARIABLE].sel(time=peak).quantile(0.995) / 10) * 10))
    stations = {"observations": observations, "hidden": synthetic.hidden}
    field = product.aqnet.map(time=peak, limits=limits, **stations)
    save_map(field, folder / "pm25.png")
    uncertainty = product.aqnet.map(time=peak, what="uncertainty", **stations)
    save_map(uncertainty, folder / "uncertainty.png")
    known = truth.assign_attrs(method="truth of the synthetic sky")
    drawn = known.aqnet.map(time=peak, limits=limits, title="The truth", **stations)
    save_map(drawn, folder / "truth.png")


def _report(folder: Path, scores: pd.DataFrame) -> str:
    """Return the scores as a table, and where everything lies."""
    lines = [
        f"{'ug m-3':<20}{'truth grid':>12}{'hidden stations':>26}{'90 % interval':>16}",
        f"{'method':<20}{'RMSE':>12}{'RMSE':>16}{'MAE':>10}{'covers':>16}",
    ]
    lines += [
        f"{name:<20}{row.truth_grid_rmse:>12.2f}{row.rmse:>16.2f}{row.mae:>10.2f}"
        f"{row.coverage_90:>16.1%}"
        for name, row in scores.iterrows()
    ]
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    return "\n".join([*lines, f"Written to {folder}: {', '.join(names)}"])
