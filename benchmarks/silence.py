"""``python -m benchmarks silence``: errors stated and made while a whole network is silent."""

from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis import Reanalyser
from aqreanalysis.observations import values_of
from aqreanalysis.predictive import RootNormal
from benchmarks.measuring import learned_covariance
from benchmarks.protocols import PROTOCOLS, Split
from benchmarks.tables import markdown

#: Hours of silence at the end of a window, hours of a window, and windows.
SILENT, WINDOW, WINDOWS = (3, 6, 12, 24), 72, 40


def table(folder: Path, protocol: str = "p3") -> str:
    """Return the table: what the learned covariance says of hidden stations in silent hours.

    Nothing reports in the last hours of each window, as in an outage that still lasts.
    """
    split = next(iter(PROTOCOLS[protocol].splits(folder)))
    model = learned_covariance()
    model.fit(split.training, split.variable)
    rows = [["silent hours", "RMSE", "stated", "50 % holds", "90 % holds", "99 % holds"]]
    for silent in SILENT:
        truth, estimates = _silent_hours(model, split, silent)
        below = estimates.below(truth)
        shares = [np.mean(abs(below - 0.5) <= share / 2) for share in (0.5, 0.9, 0.99)]
        errors = estimates.median - truth, estimates.standard_error
        sizes = [f"{np.sqrt(np.mean(error**2)):.1f}" for error in errors]
        rows.append([str(silent), *sizes, *(f"{share:.3f}" for share in shares)])
    return markdown(rows)


def _silent_hours(model: Reanalyser, split: Split, silent: int) -> tuple[np.ndarray, RootNormal]:
    """Return the truth and the estimates at hidden stations in the silent hours of all windows."""
    observations, variable = split.observations, split.variable
    known = observations.drop_isel(station=split.fold.hidden)
    hidden = observations.isel(station=split.fold.hidden)
    truths, roots, spreads = [], [], []
    steps = observations.sizes["time"]
    for end in np.linspace(steps // 2, steps, WINDOWS).astype(int):
        window = slice(end - WINDOW, end)
        part, at = known.isel(time=window), hidden.isel(time=window)
        reported = xr.DataArray(np.arange(WINDOW) < WINDOW - silent, dims="time")
        values = part[variable]
        if not (values.notnull() & reported).any():
            continue
        part = part.assign({variable: values.where(reported).assign_attrs(values.attrs)})
        places = at["longitude"].values, at["latitude"].values
        hours = slice(WINDOW - silent, WINDOW)
        estimates = model.field(part, at, slice(0, WINDOW))(*places, hours)
        truths.append(np.maximum(values_of(at, variable)[:, hours], 0).ravel())
        roots.append(estimates.root.ravel())
        spreads.append(estimates.spread.ravel())
    truth, root, spread = (np.concatenate(parts) for parts in (truths, roots, spreads))
    scored = np.isfinite(truth) & np.isfinite(root)
    return truth[scored], RootNormal(root[scored], spread[scored], freedom=estimates.freedom)
