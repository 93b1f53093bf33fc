"""What quality control is worth: hidden stations scored with and without it, and planted faults.

``python -m benchmarks quality`` hides the stations of P3 and of fold 0 of P6, and estimates them
from known ones as they are, and with faults of every kind planted in about a third of them. The
hidden stations' values stay as they were measured.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import Reanalyser, Schedule
from aqreanalysis.methods import Method, fit, predict
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.observations.quality_control import Quality, usable
from benchmarks.protocols import PROTOCOLS, Split

#: Methods that are quick to fit: kriging, and the default method's covariance alone.
METHODS: dict[str, Callable[[], Method]] = {
    "kriging": OrdinaryKriging,
    "neural, covariance alone": lambda: Reanalyser(
        schedule=Schedule(updates=0), seed=0, progress=False
    ),
}
QUALITIES: tuple[Quality, ...] = ("ignore", "mask")
_FAULTS = ("stuck", "spikes", "code", "full scale", "clock", "position")


def planted(observations: xr.Dataset, hidden: np.ndarray, *, seed: int = 0) -> xr.Dataset:
    """Return observations with faults in a third of the stations that are not hidden."""
    rng = np.random.default_rng(seed)
    values = observations["pm25"].values.copy()
    longitude, latitude = (observations[n].values.copy() for n in ("longitude", "latitude"))
    known = np.flatnonzero(~hidden)
    hours = values.shape[1]
    for number, row in enumerate(rng.permutation(known)[: known.size // 3]):
        fault = _FAULTS[number % len(_FAULTS)]
        chosen = rng.random(hours)
        if fault == "stuck":
            for start in rng.integers(0, hours - 240, 6):
                values[row, start : start + 240] = values[row, start]
        elif fault == "spikes":
            values[row, chosen < 0.005] *= 15
        elif fault == "code":
            values[row, chosen < 0.03] = -99.0
        elif fault == "full scale":
            values[row, chosen < 0.02] = 985.0
        elif fault == "clock":
            values[row] = np.roll(values[row], 8)
        elif abs(longitude[row]) < 90:
            longitude[row], latitude[row] = latitude[row], longitude[row]
        else:
            longitude[row] *= -1
    result = observations.assign(pm25=observations["pm25"].copy(data=values))
    return result.assign_coords(longitude=("station", longitude), latitude=("station", latitude))


def rows(folder: Path) -> Iterator[dict[str, object]]:
    """Yield the scores of each protocol, method and quality, with and without planted faults."""
    for key in ("p3", "p6"):
        split = PROTOCOLS[key].splits(folder)[0]
        faulty = planted(split.observations, split.fold.hidden)
        for state, observations in (("as measured", split.observations), ("planted", faulty)):
            for name, make in METHODS.items():
                for quality in QUALITIES:
                    rmse, mae = _scores(split, observations, make(), quality)
                    yield {"protocol": key, "values": state, "method": name, "quality": quality,
                           "rmse": rmse, "mae": mae}  # fmt: skip


def _scores(
    split: Split, observations: xr.Dataset, method: Method, quality: Quality
) -> tuple[float, float]:
    """Return RMSE and MAE at the hidden stations."""
    fold, variable = split.fold, split.variable
    fit(method, usable(fold.training(observations), variable, quality), variable, None)
    inputs = usable(fold.inputs(observations), variable, quality)
    labels = inputs["time"].values[fold.scored]
    product = predict(
        method, inputs, split.hidden, time=slice(labels[0], labels[-1]), statistic="median"
    )
    estimate = product[variable].transpose("station", "time").values
    error = (estimate - split.truth[:, fold.scored])[np.isfinite(split.truth[:, fold.scored])]
    return float(np.sqrt(np.nanmean(error**2))), float(np.nanmean(np.abs(error)))


def table(folder: Path) -> str:
    """Return the table of RMSE / MAE, in ug m-3: a row a protocol, state and method."""
    scores = pd.DataFrame(rows(folder))
    scores["score"] = [f"{r:.2f} / {m:.2f}" for r, m in scores[["rmse", "mae"]].to_numpy()]
    wide = scores.set_index(["protocol", "values", "method", "quality"])["score"].unstack()
    lines = ["| | values | method | ignore | mask |", "|---|---|---|---|---|"]
    for row in wide.sort_index().reset_index().itertuples(index=False):
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)
