"""``python -m benchmarks soak``: simulated days of hourly runs, with all that happens to them.

A store is updated every hour from a feed of values that are late, missing, wrong at first and
doubled; a station appears, one moves, a day has no data. Runs are killed at random moments and run
out of disk; some read files by the command line. In the end the store equals the one that is
computed at once. Hourly runs share one process, whose memory is watched; POSIX only.
"""

import argparse
import ctypes
import gc
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.cli import main
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.operation import update
from benchmarks.feed import DAY, Feed
from benchmarks.forks import ended, started

#: Hours of the first run.
BEGIN = 2 * DAY
#: Share of the hours in which a run is killed, runs out of disk, or reads a file.
KILLED, FULL, BY_FILE = 0.06, 0.03, 0.05
#: A cell in degrees: a small grid, since what is tried are runs.
GRID = 0.5
TOLERANCE = 1e-5
PICTURE = Path(__file__).with_name("pictures") / "soak.png"


class Run(NamedTuple):
    """One hourly run: what it did, how long it took, and what its process holds."""

    hour: int
    state: str
    added: int
    revised: int
    too_late: int
    seconds: float  # by the clock
    cpu_seconds: float
    memory_mb: float
    files: int


@dataclass
class Soak:
    """What came of all runs."""

    runs: list[Run] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    difference: float = np.nan
    difference_reanalysis: float = np.nan
    store_mb: float = np.nan
    left_over: int = 0


def prepared(folder: Path, feed: Feed) -> None:
    """Save a model of the first days."""
    model = Reanalyser(schedule=Schedule(covariance_updates=60, updates=0), progress=False)
    learned = feed.final.isel(time=slice(0, 7 * DAY))
    learned = learned.isel(station=learned.pm25.notnull().any("time").values)
    model.fit(learned, "pm25").save(folder / "model")


def updated(folder: Path, given: xr.Dataset, **options: Any) -> Any:
    """Update the store from a delivery."""
    label = given.time.values[-1].astype("datetime64[us]").item()
    options = {"now": label, "significant_digits": None, "grid": GRID} | options
    return update(folder / "store.zarr", given, model=folder / "model", **options)


def worker(folder: Path, feed: Feed, pipe: Connection) -> None:
    """Update the store for each hour that is asked for, in this one process."""
    while (hour := pipe.recv()) is not None:
        given, begin = feed.at(hour), (time.perf_counter(), time.process_time())
        result = updated(folder, given)
        seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
        run = Run(
            hour,
            result.state,
            result.added,
            result.revised,
            result.too_late,
            *seconds,
            _memory_mb(),
            len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0,
        )
        pipe.send(run)


def by_command(folder: Path, feed: Feed, hour: int, seed: int) -> None:
    """Update the store from a file, as the command line does."""
    file = folder / "stations.csv"
    feed.table(hour, seed).to_csv(file, index=False)
    sys.argv = ["aqreanalysis", "update", str(folder / "store.zarr"), str(file)]
    sys.argv += ["--model", str(folder / "model"), "--duplicates", "last", "--time-label", "start"]
    main()


def soaked(days: int, seed: int, folder: Path, most: int | None = None) -> Iterator[str | Soak]:
    """Yield lines about what happens, then what came of it.

    After so many hourly runs, if they are limited, the rest of the days comes at once.
    """
    feed, rng, soak = Feed.of(days, seed), np.random.default_rng(seed), Soak()
    if ended(started(lambda: prepared(folder, feed))):
        raise RuntimeError("no model can be fitted")
    own, others = Pipe()
    child = started(lambda: worker(folder, feed, others), seconds=0)
    typical, hours = 1.0, range(BEGIN - 1, days * DAY)

    def work(hour: int) -> None:
        updated(folder, feed.at(hour))

    for hour in hours[:most]:
        chance = rng.random()
        if hour >= BEGIN and chance < KILLED:
            victim = started(partial(work, hour))
            time.sleep(float(rng.uniform(0, 1.3) * typical))
            os.kill(victim, signal.SIGKILL)
            soak.outcomes["killed" if ended(victim) < 0 else "killed after the end"] += 1
            soak.killed.append(hour)
        elif hour >= BEGIN and chance < KILLED + FULL:
            limit = int(rng.uniform(0, 12_000))
            status = ended(started(partial(work, hour), limit))
            soak.outcomes["full disk" if status else "disk enough"] += 1
        elif hour >= BEGIN and chance < KILLED + FULL + BY_FILE:
            status = ended(started(partial(by_command, folder, feed, hour, seed)))
            soak.outcomes[f"command, status {status}"] += 1
        own.send(hour)
        run = own.recv()
        soak.runs.append(run)
        soak.outcomes[run.state] += 1
        typical = float(np.median([one.seconds for one in soak.runs[-20:]]))
        if (hour + 1) % DAY == 0:
            yield f"day {(hour + 1) // DAY}: {typical:.2f} s a run, {run.memory_mb:.0f} MB"
    own.send(None)
    ended(child)
    last = [folder / name for name in ("differences.npy",)]
    if ended(started(lambda: compared(folder, feed, last[0]), seconds=600)):
        raise RuntimeError("the store cannot be compared")
    soak.difference, soak.difference_reanalysis = np.load(last[0]).tolist()
    store = folder / "store.zarr"
    soak.store_mb = sum(p.stat().st_size for p in store.rglob("*") if p.is_file()) / 1e6
    usual = {"model", "store.zarr", "once.zarr", ".store.zarr.lock", ".once.zarr.lock"}
    usual |= {"stations.csv", "differences.npy", ".store.zarr.earlier", ".once.zarr.earlier"}
    soak.left_over = len(set(os.listdir(folder)) - usual)
    yield soak


def compared(folder: Path, feed: Feed, path: Path) -> None:
    """Compare the store, when everything has come, with those that are computed at once."""
    final = feed.final
    updated(folder, final)
    once = folder / "once.zarr"
    label = final.time.values[-1].astype("datetime64[us]").item()
    options = {"now": label, "grid": GRID, "significant_digits": None}
    update(once, final, model=folder / "model", **options)
    with aqr.open_product(folder / "store.zarr") as store, aqr.open_product(once) as other:
        difference = _difference(store, other)
        # One reanalysis, of the hours in which the stations stay the same.
        appears = int(np.flatnonzero(np.isfinite(final.pm25.values[0]))[0])
        first = final.isel(time=slice(0, appears))
        first = first.isel(station=first.pm25.notnull().any("time").values)
        model = Reanalyser.load(folder / "model")
        settled = slice(0, max(appears - sum(model.reach), 0))
        whole = first.aqnet.reanalyse(method=model, like=once, progress=False)
        reanalysis = _difference(store.isel(time=settled), whole.isel(time=settled))
    np.save(path, [difference, reanalysis])


def _difference(one: xr.Dataset, other: xr.Dataset) -> float:
    """Return the largest relative difference of all layers over time; infinite if masks differ."""
    largest = 0.0
    if not np.array_equal(one.time.values, other.time.values):
        return np.inf
    for name in one.data_vars:
        if "time" not in one[name].dims:
            continue
        first, second = (part[name].values.astype(np.float64) for part in (one, other))
        if not np.array_equal(np.isnan(first), np.isnan(second)):
            return np.inf
        scale = np.maximum(np.abs(second), 1e-6)
        largest = max(largest, float(np.nanmax(np.abs(first - second) / scale, initial=0)))
    return largest


def _memory_mb() -> float:
    """Return the memory of this process now, MB, without what the allocator has set free."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # not with musl
            ctypes.CDLL(None).malloc_trim(0)
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def drawn(soak: Soak, path: Path) -> Path:
    """Draw what each run took and did."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    days = np.array([run.hour for run in soak.runs]) / DAY
    figure, axes = plt.subplots(3, 1, figsize=(8, 7), sharex=True, layout="constrained")
    rows = (
        ("cpu_seconds", "s", "Processor time of a run"),
        ("memory_mb", "MB", "Memory of the process of all runs"),
        ("revised", "hours", "Hours estimated again in a run"),
    )
    for axis, (name, unit, title) in zip(axes, rows, strict=True):
        values = [getattr(run, name) for run in soak.runs[1:]]
        axis.plot(days[1:], values, ".", markersize=3, color="#1f5f8b")
        axis.set(title=title, ylabel=unit, ylim=(0, 1.15 * max(values)))
        axis.grid(alpha=0.3)
        for number, hour in enumerate(soak.killed):
            axis.axvline(
                hour / DAY, color="#c0392b", alpha=0.35, lw=0.8,
                label="a run was killed just before" if not number else None,
            )  # fmt: skip
    axes[0].legend(loc="upper right", fontsize=8)
    axes[-1].set_xlabel("days")
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path


def summary(soak: Soak) -> list[str]:
    """Return the lines of a table."""
    seconds = np.array([(run.cpu_seconds, run.seconds) for run in soak.runs[1:]])
    memory = np.array([run.memory_mb for run in soak.runs])
    half = memory.size // 2
    outcomes = ", ".join(f"{name} {count}" for name, count in sorted(soak.outcomes.items()))
    rows = {
        "hourly runs": f"{len(soak.runs)}",
        "outcomes": outcomes,
        "seconds of the processor a run, median / 95 % / most": _shown(seconds[:, 0]),
        "seconds by the clock, median / 95 % / most": _shown(seconds[:, 1]),
        "memory, MB, after a tenth / half / all of the runs": " / ".join(
            f"{memory[at]:.0f}" for at in (memory.size // 10, half, -1)
        ),
        "open files, first / last run": f"{soak.runs[0].files} / {soak.runs[-1].files}",
        "store, MB": f"{soak.store_mb:.1f}",
        "measurements too late for the window, hours": f"{sum(r.too_late for r in soak.runs)}",
        "largest relative difference from the store made at once": f"{soak.difference:.1e}",
        "... from one reanalysis, until a station appears": f"{soak.difference_reanalysis:.1e}",
        "left over beside the store": f"{soak.left_over}",
    }
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _shown(values: np.ndarray) -> str:
    """Return median, 95th percentile and maximum."""
    return " / ".join(f"{v:.2f}" for v in (*np.quantile(values, [0.5, 0.95]), values.max()))


def add_soak(commands: Any) -> None:
    """Add the command to the parser of ``python -m benchmarks``."""
    soak = commands.add_parser(
        "soak", help="simulated days of hourly runs that are killed", description=__doc__
    )
    soak.add_argument("--days", type=int, default=30, help="simulated (default: 30)")
    soak.add_argument("--runs", type=int, help="hourly runs at most (default: of all days)")
    soak.add_argument("--seed", type=int, default=0, help="other days (default: 0)")
    soak.add_argument("--picture", type=Path, help=f"to draw, such as {PICTURE}")
    soak.set_defaults(run=_soak)


def _soak(options: argparse.Namespace) -> None:
    """Print what happens, and the table; fail if the store is not what it must be."""
    with tempfile.TemporaryDirectory() as folder:
        for said in soaked(options.days, options.seed, Path(folder), options.runs):
            if isinstance(said, str):
                print(said, file=sys.stderr, flush=True)
                continue
            print("\n".join(summary(said)))
            if options.picture:
                print(drawn(said, options.picture))
            wrong = max(said.difference, said.difference_reanalysis)
            if not wrong <= TOLERANCE or said.left_over:
                raise SystemExit(f"the store differs by {wrong:g}, {said.left_over} left over")
