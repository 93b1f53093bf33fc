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
from aqreanalysis.methods.kriging.made_gaps import made_gaps
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.predictive import RootNormal, freedom_of
from aqreanalysis.verification.strata import hours_silent, interval_labels, part_of
from benchmarks.coverage import WEEK, share_inside
from benchmarks.measuring import learned_covariance
from benchmarks.protocols import scored_months
from benchmarks.sources import beijing36, data_file
from benchmarks.tables import markdown

#: Mean absolute errors that their authors print for this mask, ug m-3.
PUBLISHED = {"PriSTI": 9.03, "CSDI": 9.51}
VARIABLE = "pm25"
#: Edges, the upper one excluded: hours to the nearest value of the station.
TO_NEAREST_HOURS = (0.0, 3.0, 6.0, 12.0, 24.0, np.inf)
#: Draws of gaps beside those of the mask, which has few outages of all stations.
DRAWS = 3


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
    """Return how much the 90 % interval of `fill` holds of values that are taken out.

    By hours to the nearest value of the station, before or after, while any station reports and
    while none does: of the mask, and of `DRAWS` of gaps of all lengths beside it. In brackets is
    the 95 % interval by a bootstrap over weeks.
    """
    masked, training, values, scored = _masked(folder)
    model = _model(training)
    columns = {
        "while any station reports": (False, [(masked, scored)]),
        "while none does": (True, [(masked, scored)]),
        "made gaps, any": (False, _made(masked, everyone=False)),
        "made gaps, none": (True, _made(masked, everyone=True)),
    }
    rows = [["all"], *([label] for label in interval_labels(TO_NEAREST_HOURS))]
    for none, gappy in columns.values():
        parts = [_covered(*each, values, model, none=none) for each in gappy]
        covered, part, week = (np.concatenate(each) for each in zip(*parts, strict=True))
        for number, row in enumerate(rows, -1):
            here = (part == number) | (number < 0)
            share = share_inside(covered[here], week[here]) if here.any() else ""
            row.append(f"{share} of {here.sum()}" if share else "-")
    return markdown([["hours to the nearest value", *columns], *rows])


def _made(masked: xr.Dataset, *, everyone: bool) -> list[tuple[xr.Dataset, np.ndarray]]:
    """Return the year with further gaps in the scored months, and where these are."""
    known = masked[VARIABLE].notnull().transpose("station", "time").values & scored_months(masked)
    draws = range(1, 1 + DRAWS)
    made = [known & made_gaps(known.shape, everyone=everyone, seed=draw) for draw in draws]
    return [(_only(masked, ~gaps), gaps) for gaps in made]


def _covered(
    gappy: xr.Dataset, scored: np.ndarray, values: np.ndarray, model: Reanalyser, *, none: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whether the 90 % interval of `fill` holds each value, its part of distance, its week.

    Of values with an estimate, (n,), while no station reports or any does.
    """
    filled = fill(gappy, method=model)
    error = filled[f"{VARIABLE}_uncertainty"]
    distribution = RootNormal.from_median(
        filled[VARIABLE].values, error.values, freedom=freedom_of(error.attrs)
    )
    low, high = distribution.interval_90()
    reported = gappy[VARIABLE].notnull().transpose("station", "time").values
    hours = np.minimum(hours_silent(reported, 1.0), hours_silent(reported[:, ::-1], 1.0)[:, ::-1])
    counted = scored & np.isfinite(distribution.spread) & (reported.any(axis=0) != none)
    within = (values >= low) & (values <= high)
    return (
        within[counted],
        part_of(hours, TO_NEAREST_HOURS)[counted],
        np.nonzero(counted)[1] // WEEK,
    )


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
