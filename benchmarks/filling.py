"""Gaps at the stations: the evaluation mask of Beijing-36, months 3, 6, 9 and 12."""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis import Reanalyser
from aqreanalysis.filling import fill
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.predictive import RootNormal
from aqreanalysis.verification.strata import hours_silent, interval_labels, part_of
from benchmarks.measuring import learned_covariance
from benchmarks.protocols import scored_months
from benchmarks.sources import beijing36, data_file
from benchmarks.tables import markdown

#: Mean absolute errors that their authors print for this mask, ug m-3.
PUBLISHED = {"PriSTI": 9.03, "CSDI": 9.51}
VARIABLE = "pm25"
#: Edges, the upper one excluded: hours to the nearest value of the station.
TO_NEAREST_HOURS = (0.0, 3.0, 6.0, 12.0, 24.0, np.inf)


def filling_table(folder: Path) -> str:
    """Return the table of errors at masked values, which no method sees.

    Methods learn from the months that are not scored, where the mask is taken out too.
    """
    masked, training, values, scored = _masked(folder)
    silent = masked[VARIABLE].isnull().all("station").values
    lines = ["| method | MAE | RMSE | without estimate | MAE while any station reports | s |",
             "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    lines += [f"| {name} (published) | {mae} | | | | |" for name, mae in PUBLISHED.items()]
    for name, method in METHODS.items():
        began = perf_counter()
        error = np.abs(method(masked, training) - values)
        taken = perf_counter() - began
        errors, reporting = error[scored], error[scored & ~silent]
        lines.append(
            f"| {name} | {np.nanmean(errors):.2f} | {np.sqrt(np.nanmean(errors**2)):.2f} | "
            f"{np.isnan(errors).sum()} of {errors.size} | {np.nanmean(reporting):.2f} | "
            f"{taken:.0f} |"
        )
    return "\n".join(lines)


def coverage_table(folder: Path) -> str:
    """Return how much the 90 % interval of `fill` holds of the masked values.

    By hours to the nearest value of the station, before or after, while any station reports and
    while none does.
    """
    masked, training, values, scored = _masked(folder)
    covered = _covered(masked, training, values)
    silent = masked[VARIABLE].isnull().all("station").values
    reported = masked[VARIABLE].notnull().transpose("station", "time").values
    hours = np.minimum(hours_silent(reported, 1.0), hours_silent(reported[:, ::-1], 1.0)[:, ::-1])
    part = part_of(hours, TO_NEAREST_HOURS)
    rows = [["hours to the nearest value", "while any station reports", "while none does"]]
    for number, label in enumerate(["all", *interval_labels(TO_NEAREST_HOURS)]):
        inside = scored if label == "all" else scored & (part == number - 1)
        cells = [covered[inside & (silent == none)] for none in (False, True)]
        rows.append([label, *(f"{c.mean():.3f} of {c.size}" if c.size else "-" for c in cells)])
    return markdown(rows)


def _covered(masked: xr.Dataset, training: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Return whether the 90 % interval of `fill` holds each value, (station, time)."""
    filled = fill(masked, method=_model(training))
    error = filled[f"{VARIABLE}_uncertainty"].values
    distribution = RootNormal.from_median(filled[VARIABLE].values, error)
    low, high = distribution.interval_90()
    covered: np.ndarray = (values >= low) & (values <= high)
    return covered


def _masked(folder: Path) -> tuple[xr.Dataset, xr.Dataset, np.ndarray, np.ndarray]:
    """Return the masked year, the part to learn from, all values, and which of them are scored."""
    whole = beijing36(folder)
    with h5py.File(data_file("beijing36", folder), "r") as file:
        mask = file["eval_mask/block0_values"][()].astype(bool).T
    values = whole[VARIABLE].values.astype(np.float64)
    months = scored_months(whole)
    scored = mask & np.isfinite(values) & months
    return _only(whole, ~mask), _only(whole, ~mask & ~months), values, scored


def _only(observations: xr.Dataset, mask: np.ndarray) -> xr.Dataset:
    """Return the observations with all other values missing."""
    values = observations[VARIABLE]
    return observations.assign({VARIABLE: values.where(mask).assign_attrs(values.attrs)})


def _linear(masked: xr.Dataset, _: xr.Dataset) -> np.ndarray:
    """Return series filled along straight lines in time."""
    table = pd.DataFrame(masked[VARIABLE].values.T.astype(np.float64))
    return table.interpolate(limit_direction="both").to_numpy().T


def _space_time_kriging(masked: xr.Dataset, training: xr.Dataset) -> np.ndarray:
    """Return each station's series as kriged from the others."""
    kriging = SpaceTimeKriging().fit(training, VARIABLE)
    rows = []
    for row in range(masked.sizes["station"]):
        others = masked.drop_isel(station=row)
        field = kriging.predict(others, masked.isel(station=[row]))
        rows.append(field[VARIABLE].values[0])
    return np.stack(rows)


def _fill(masked: xr.Dataset, training: xr.Dataset) -> np.ndarray:
    """Return series filled by a model that learned from the other months."""
    return fill(masked, method=_model(training))[VARIABLE].values


def _model(training: xr.Dataset) -> Reanalyser:
    """Return a model that learned from the months that are not scored."""
    return learned_covariance().fit(training, VARIABLE)


METHODS: Mapping[str, Callable[[xr.Dataset, xr.Dataset], np.ndarray]] = {
    "linear in time": _linear,
    "space-time kriging from the other stations": _space_time_kriging,
    "fill": _fill,
}
