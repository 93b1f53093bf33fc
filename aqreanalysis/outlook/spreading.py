"""From the stations' outlooks to places without a station: as if the outlooks were observations."""

from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME
from aqreanalysis.grid import Grid
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.predictive import RootNormal


def spread_outlooks(
    known: xr.Dataset,
    at: Grid | xr.Dataset,
    variable: str,
    *,
    method: Any,
    begin: np.datetime64,
) -> xr.Dataset:
    """Return root and spread of the roots at targets, with flag and distance, lazy.

    The medians of the stations' outlooks go through a fitted estimator as observations would. Its
    variance, of what stations cannot tell about a place, is added to that of the outlooks, which is
    weighed by inverse distance.

    Parameters
    ----------
    known : Dataset
        Observations ``(station, time)`` of the last day and, from ``begin`` on, the medians of the
        outlooks, complete; ``spread`` is the standard deviation of their roots, 0 before.
    at : Grid or Dataset
        Targets.
    variable : str
    method : Estimator
        Fitted.
    begin : datetime64
        First label to give.

    Returns
    -------
    Dataset
        ``root`` and ``spread`` in the root of the variable's unit, ``<variable>_flag`` and
        ``distance_to_nearest_station``.
    """
    period = slice(begin, None)
    field = method.predict(known.drop_vars("spread"), at, time=period)
    between = RootNormal.from_median(field[variable], field[f"{variable}_uncertainty"])
    ahead = known.sel({TIME: period})
    spreads = ahead["spread"].rename(variable).to_dataset()
    weighed = InverseDistance(transform=None).fit(spreads, variable).predict(spreads, at)[variable]
    return field[[f"{variable}_flag", "distance_to_nearest_station"]].assign(
        root=between.root, spread=np.sqrt(between.spread**2 + weighed.astype(np.float64) ** 2)
    )


def own_outlooks(known: xr.Dataset, variable: str, *, begin: np.datetime64) -> xr.Dataset:
    """Return root and spread at the stations themselves, with flag and distance 0."""
    ahead = known.sel({TIME: slice(begin, None)})
    nothing = xr.zeros_like(ahead[variable], dtype=np.int8)
    distance = xr.zeros_like(ahead["longitude"], dtype=np.float32).drop_attrs()
    return xr.Dataset(
        {
            "root": np.sqrt(ahead[variable]),
            "spread": ahead["spread"],
            f"{variable}_flag": nothing,
            "distance_to_nearest_station": distance,
        }
    )
