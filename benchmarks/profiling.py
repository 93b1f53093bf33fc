"""``python -m benchmarks profile``: where the time of the neural method goes, on one core."""

import cProfile
import pstats
from copy import deepcopy
from typing import Any

import dask

from aqreanalysis import Grid
from benchmarks.invented import REGION, network_of, stations_of
from benchmarks.speed import CELL, HOURS, STATIONS

#: Functions that are reported.
MOST = 14


def profile(hours: int = HOURS, *, heads: bool = True) -> str:
    """Return the functions that take most of the time themselves, as a table in Markdown."""
    observations = stations_of(STATIONS, hours)
    model, grid = network_of(observations, heads=heads), Grid(REGION, CELL)
    profiler = cProfile.Profile()
    with dask.config.set(scheduler="synchronous"):
        deepcopy(model).predict(observations, grid).compute()  # what is imported once
        profiler.runcall(lambda: model.predict(observations, grid).compute())
    stats: Any = pstats.Stats(profiler)
    lines = [f"| of {stats.total_tt:.2f} s | calls | own, s | share |", "|---|---:|---:|---:|"]
    for function in stats.sort_stats("tottime").fcn_list[:MOST]:
        _, calls, own, _, _ = stats.stats[function]
        lines.append(f"| {_name(function)} | {calls:,} | {own:.2f} | {own / stats.total_tt:.0%} |")
    return "\n".join(lines)


def _name(function: tuple[str, int, str]) -> str:
    """Return the name of a profiled function, with its module if it is written in Python."""
    path, _, name = function
    if path == "~":
        return name.strip("<>").removeprefix("built-in method ")
    return f"{path.rpartition('/')[2].removesuffix('.py')}.{name}"
