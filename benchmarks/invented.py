"""Stations of any number under invented waves: input for measurements of speed, not of accuracy."""

import numpy as np
import pandas as pd
import torch
import xarray as xr

from aqreanalysis import Reanalyser, Schedule
from aqreanalysis.geography.likeness import LENGTHS
from aqreanalysis.methods.kriging.likeness import USUAL

#: West, east, south, north of the stations and of the grid, degrees.
REGION = (100.0, 123.0, 30.0, 40.0)
#: Share of the values that is missing, as in the US EPA's records.
MISSING = 0.07


def stations_of(
    count: int,
    hours: int,
    *,
    missing: float = MISSING,
    region: tuple[float, float, float, float] = REGION,
) -> xr.Dataset:
    """Return observations at random places: travelling waves, noise, and values that are missing.

    Examples
    --------
    >>> made = stations_of(5, 24)
    >>> dict(made.sizes), bool((made.pm25 > 0).any())
    ({'station': 5, 'time': 24}, True)
    """
    rng = np.random.default_rng(count)
    west, east, south, north = region
    longitude, latitude = rng.uniform(west, east, count), rng.uniform(south, north, count)
    hour = np.arange(hours)
    waves = 30 * np.sin(longitude[:, None] / 3 + hour / 20)
    waves += 20 * np.cos(latitude[:, None] / 2 - hour / 7)
    values = np.maximum(55 + waves + rng.normal(0, 6, waves.shape), 1)
    values[rng.random(values.shape) < missing] = np.nan
    return xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number:05d}" for number in range(count)],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "time": (
                "time",
                pd.date_range("2020-11-01", periods=hours, freq="h"),
                {"time_label": "start", "step_hours": 1.0},
            ),
        },
    )


def network_of(observations: xr.Dataset, *, heads: bool = True) -> Reanalyser:
    """Return a neural kNN, hardly trained, with all of its layers in use or the covariance alone.

    What a network costs does not depend on what it has learned, so that places are as unlike as
    they usually are, whatever invented waves ask for.
    """
    few = observations.isel(station=slice(0, 100))
    brief = Schedule(covariance_updates=2, updates=0)
    model = Reanalyser(schedule=brief, progress=False).fit(few, "pm25")
    state = model.state_for(observations)
    state.facts["heads"] = heads
    usual_km = USUAL * few.aqnet.network.spacing_km * torch.tensor(LENGTHS["all"])
    state.model.bands = state.model.bands.with_coordinates(usual_km).requires_grad_(False)
    return model
