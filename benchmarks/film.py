"""How long an animation takes: 48 hours of 100 x 230 cells with 300 stations, by default."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.speed import Timed, timed

CELLS, STATIONS, HOURS = (100, 230), 300, 48


def animated(path: Path, hours: int = HOURS) -> Timed:
    """Return how long it takes to write an animation of invented hours over the United States."""
    product, observations = _invented(hours)
    return timed(
        f"{hours} hours to {path.suffix}",
        hours * CELLS[0] * CELLS[1],
        lambda: product.aqnet.animate(path, observations=observations, progress=False),
        repeats=1,
    )


def _invented(hours: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Return waves on a grid, some of them flagged, and stations, a seventh with gaps."""
    time = pd.date_range("2017-01-01", periods=hours, freq="h")
    lat, lon = np.linspace(25, 49.75, CELLS[0]), np.linspace(-124.5, -67.25, CELLS[1])
    phase = np.arange(hours)[:, None, None] / 5
    values = 40 + 30 * np.sin(lat[:, None] / 4 + phase) * np.cos(lon / 6)
    flag = np.zeros(values.shape, np.int8)
    flag[..., :30], flag[::3, 40:60, 100:140] = 1, 2
    dims = ("time", "lat", "lon")
    product = xr.Dataset(
        {"pm25": (dims, values, {"units": "ug m-3"}), "pm25_flag": (dims, flag)},
        coords={"time": time, "lat": lat, "lon": lon},
    )
    product.time.attrs = {"time_label": "start", "step_hours": 1.0}
    rng = np.random.default_rng(0)
    measured = rng.gamma(3, 12, (STATIONS, hours))
    measured[::7, ::2] = np.nan
    observations = xr.Dataset(
        {"pm25": (("station", "time"), measured, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number}" for number in range(STATIONS)],
            "time": product.time,
            "longitude": ("station", rng.uniform(-122, -70, STATIONS)),
            "latitude": ("station", rng.uniform(28, 48, STATIONS)),
        },
    )
    return product, observations
