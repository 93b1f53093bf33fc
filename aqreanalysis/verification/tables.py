"""The scores as one table, a row for each method."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis.verification.bootstrap import differences, intervals
from aqreanalysis.verification.pairs import ESTIMATOR
from aqreanalysis.verification.scoring import metrics

if TYPE_CHECKING:
    import pandas as pd

_WITH_INTERVAL = ("rmse", "mae", "bias", "crps", "coverage_90")
_COMPARED = ("relative_rmse", "relative_mae", "relative_crps")


def score_table(
    statistics: xr.Dataset, *, to: str = "kriging", resolution: str | None = None
) -> "pd.DataFrame":
    """Return all scores, a row for each method, with 95 % intervals and the difference to one.

    Parameters
    ----------
    statistics : Dataset
        Of `statistics` or `verify`.
    to : str
        Method to compare with; where it was not verified, those columns are left out.
    resolution : str, optional
        As of `metrics`.

    Returns
    -------
    pandas.DataFrame
        Index ``method``. Columns are the names of `metrics`, ``rmse_low`` and ``rmse_high`` and
        so on, ``hit_rate_35`` and so on for each event, and ``relative_rmse_to_kriging``.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
    >>> table = score_table(obs.aqnet.verify(methods=["idw", "kriging"], folds=3, progress=False))
    >>> bool(table.rmse_low["idw"] < table.rmse["idw"] < table.rmse_high["idw"])
    True
    """
    table = metrics(statistics, resolution=resolution)
    columns = {
        str(name): scores.values for name, scores in table.items() if scores.dims == (ESTIMATOR,)
    }
    bounds = intervals(statistics, resolution=resolution)
    for name in _WITH_INTERVAL:
        columns |= {f"{name}_{end}": bounds[name].sel(bound=end).values for end in ("low", "high")}
    for label, scores in table.items():
        if "event" in scores.dims:
            for event in scores["event"].values:
                columns[f"{label}_{event:g}"] = scores.sel(event=event).values
    names = statistics[ESTIMATOR].values
    if to in names and names.size > 1:
        compared = differences(statistics, to=to, resolution=resolution)
        for name in _COMPARED:
            for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                columns[f"{name}_to_{to}{suffix}"] = compared[name].sel(bound=end).values
    rows = xr.Dataset({name: (ESTIMATOR, np.asarray(values)) for name, values in columns.items()})
    return rows.assign_coords({ESTIMATOR: names}).to_dataframe().rename_axis("method")
