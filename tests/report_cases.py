"""Pairs for tests of the report: a truth that varies, and methods that err by what is asked."""

import numpy as np
import pandas as pd
import xarray as xr


def pairs_of(
    errors,
    *,
    stations=6,
    steps=96,
    step_hours=1.0,
    constant=False,
    stated=True,
    distance_km=None,
    names=None,
    **attributes,
):
    """Return pairs; ``errors`` is the standard deviation of each method's errors, ug m-3.

    The standard errors are those deviations, so that intervals are right.
    """
    draw = np.random.default_rng(0)
    shape = (stations, steps)
    truth = np.full(shape, 20.0)
    if not constant:
        cycle = 40 + 30 * np.sin(np.arange(steps) * 2 * np.pi * step_hours / 96)
        truth = np.maximum(cycle + draw.normal(0, 10, shape), 1.0)
        truth[draw.random(shape) < 0.03] = np.nan
    spread = np.array(list(errors.values()), float)[:, None, None]
    estimate = truth + spread * draw.normal(size=(len(errors), *shape))
    time = pd.date_range("2014-11-20", periods=steps, freq=pd.Timedelta(hours=step_hours))
    distance = np.linspace(1, 60, stations) if distance_km is None else distance_km
    pairs = xr.Dataset(
        {
            "truth": (("station", "time"), truth),
            "estimate": (("estimator", "station", "time"), estimate.astype(np.float32)),
            "standard_error": (
                ("estimator", "station", "time"),
                np.broadcast_to(spread if stated else np.nan, estimate.shape).astype(np.float32),
            ),
        },
        coords={
            "estimator": list(errors),
            "station": [f"S{i:03d}" for i in range(stations)] if names is None else names,
            "time": time,
            "longitude": ("station", 116 + np.linspace(0, 1, stations)),
            "latitude": ("station", 39.5 + np.linspace(0, 1, stations) ** 2),
            "distance_km": ("station", np.broadcast_to(distance, stations).astype(float)),
            "place": ("station", np.arange(stations)),
            "fold": ("station", np.full(stations, "1")),
        },
        attrs={
            "variable": "pm25",
            "units": "ug m-3",
            "by": "station",
            "design": "Stations were hidden in 3 folds.",
            "failures": [],
            "remarks": [],
            **attributes,
        },
    )
    pairs.time.attrs = {"time_label": "start", "step_hours": step_hours}
    return pairs


#: Names that a page must neither run nor be torn by.
HOSTILE = (
    "<script>document.title = 'run'</script>",
    "\"><img src='https://example.org/x.png'>",
    "long" * 60,
    "a name with many words " * 8,
    "北京奥体中心 $x_{1$ \u202emirrored",
    "{{ 7 * 7 }} &amp; %s \\frac{",
)
