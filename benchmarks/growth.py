"""``python -m benchmarks growth``: time by stations, cells and hours, with a picture."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis import Grid, OrdinaryKriging
from aqreanalysis.methods import METHODS
from aqreanalysis.methods.kriging.variogram import Variogram
from benchmarks.invented import REGION, network_of, stations_of

#: The case from which one size at a time departs.
STATIONS, HOURS, SIDE = 316, 144, 64
SIZES = {
    "stations": (100, 316, 1000, 3162, 10_000),
    "cells": (1024, 4096, 16_384, 65_536),
    "hours": (72, 144, 288, 576, 1152),
}
VARIOGRAM = Variogram("exponential", 900.0, 600.0, 40.0)


class Grown(NamedTuple):
    """What one method took at one size."""

    method: str
    axis: str
    size: int
    ready_seconds: float  # until the lazy field is there: distances, gaps completed
    few_seconds: float  # CPU of 8 x 8 of the cells: mostly what belongs to the stations in sight
    field_seconds: float  # CPU of all cells, encodings included

    @property
    def cell_seconds(self) -> float:
        """CPU of the cells, without what belongs to stations."""
        return max(self.field_seconds - self.few_seconds, 1e-3)


def measured(methods: tuple[str, ...] = ("neural", "kriging", "idw")) -> Iterator[Grown]:
    """Yield the time of each method at each size."""
    for axis, sizes in SIZES.items():
        for size in sizes:
            stations = size if axis == "stations" else STATIONS
            hours = size if axis == "hours" else HOURS
            side = round(np.sqrt(size)) if axis == "cells" else SIDE
            for method in methods:
                yield _measured(method, axis, size, stations, hours, side)


def _measured(method: str, axis: str, size: int, stations: int, hours: int, side: int) -> Grown:
    """Return the time of one method at one size."""
    observations = stations_of(stations, hours)
    west, _, south, _ = REGION
    # The cells stay where the stations are, the same share of them in each.
    grid = Grid((west + 5, west + 11.4, south + 2, south + 8.4), 6.4 / side)
    estimator: Any = network_of(observations) if method == "neural" else _baseline(method)
    if method != "neural":
        estimator.fit(observations.isel(station=slice(0, 1000)), "pm25")
    began = perf_counter()
    field = estimator.predict(observations, grid)
    ready = perf_counter() - began
    corner = dict.fromkeys(("lat", "lon"), slice(0, 8))
    few = estimator.predict(observations, grid, chunks={"lat": 8, "lon": 8}).isel(corner)
    return Grown(method, axis, size, ready, _cpu(few), _cpu(field))


def _cpu(field: xr.Dataset) -> float:
    """Return the CPU seconds of computing a field."""
    began = process_time()
    field.compute(scheduler="synchronous")
    return process_time() - began


def _baseline(method: str) -> Any:
    """Return a baseline that need not look for a variogram."""
    return (
        OrdinaryKriging(16, variogram=VARIOGRAM) if method == "kriging" else METHODS[method].make()
    )


def picture(results: list[Grown], path: Path) -> Path:
    """Return the path of a log-log picture of all results, with the slope of each line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(SIZES), sharey=True)
    for axis, drawn in zip(SIZES, axes, strict=True):
        for method in dict.fromkeys(result.method for result in results):
            own = [r for r in results if (r.method, r.axis) == (method, axis)]
            size, seconds = np.array([(r.size, r.cell_seconds) for r in own]).T
            slope = np.polyfit(np.log(size), np.log(seconds), 1)[0]
            drawn.loglog(size, seconds, "o-", label=f"{method}, slope {slope:.2f}")
        drawn.set_xlabel(axis)
        drawn.grid(which="both", alpha=0.3)
        drawn.legend(fontsize="small")
    axes[0].set_ylabel("CPU of the cells, s")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def table(results: list[Grown]) -> str:
    """Return the table of all results, in Markdown."""
    lines = ["| method | grows | size | until ready, s | stations, CPU s | cells, CPU s |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        f"| {r.method} | {r.axis} | {r.size:,} | {r.ready_seconds:.2f} | {r.few_seconds:.2f} | "
        f"{r.cell_seconds:.2f} |"
        for r in results
    ]
    return "\n".join(lines)
