"""``python -m benchmarks faults``: commands that write are killed, run out of disk, and meet.

Each command has an earlier result under its name. Afterwards that one is intact or the new one is
complete; the next run succeeds, and nothing else is left in the folder. Commands run in forks of
one warm process; POSIX only.
"""

import argparse
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.cli import main
from aqreanalysis.cli.statuses import NOTHING_NEW
from aqreanalysis.datasets import synthetic_network
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser

GRID = ("--grid", "0.5")
#: Of a command; longer is a hang.
LONGEST_SECONDS = 120
#: A model is small and quick to learn here, since saving is what is tried.
SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)
#: Texts of a result that differ from run to run.
_DATED = (".zattrs", ".zmetadata", ".update.json")
#: What a store is updated from.
_UPDATE = ("stations-#.csv", "--model", "known", "--quality", "ignore", *GRID)
KINDS = ("kill", "full", "two")


@dataclass(frozen=True)
class Case:
    """A command that writes to a name."""

    name: str
    target: str
    run: Callable[[int], None]  # of a version of the data: 0 is the earlier, 1 the new one


@dataclass
class Outcome:
    """What came of a case and a kind of fault."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Return the numbers as cells of a table."""
        names = ("earlier", "new", "lost", "failed next", "left over")
        counts = " | ".join(str(self.outcomes[name]) for name in names)
        recovery = f"{np.median(self.seconds):.1f}" if self.seconds else "-"
        return f"{self.tried} | {counts} | {recovery}"


def cases() -> list[Case]:
    """Return the commands; stations-0.csv, stations-1.csv, field-0.nc and so on are there."""

    def command(*arguments: str) -> Callable[[int], None]:
        def run(version: int) -> None:
            sys.argv = ["aqreanalysis", "-q", *(a.replace("#", str(version)) for a in arguments)]
            main()

        return run

    kriging = ("--method", "kriging", *GRID)
    return [
        Case("reanalyse", "a.nc", command("reanalyse", "stations-#.csv", "-o", "a.nc", *kriging)),
        Case(
            "reanalyse --resume",
            "r.nc",
            command("reanalyse", "stations-#.csv", "-o", "r.nc", "--resume", *kriging),
        ),
        Case("Zarr", "a.zarr", command("reanalyse", "stations-#.csv", "-o", "a.zarr", *kriging)),
        Case("fit", "model", _saved),
        Case("update", "u.zarr", partial(_updated, command("update", "u.zarr", *_UPDATE))),
        Case(
            "verify",
            "v.html",
            command(
                "verify", "stations-#.csv", "-o", "v.html", "--csv", "v.csv", "--methods", "idw"
            ),
        ),
        Case("aggregate", "d.nc", command("aggregate", "field-#.nc", "-o", "d.nc")),
        Case("convert", "t.parquet", command("convert", "stations-#.csv", "-o", "t.parquet")),
        Case("archive", "t.zarr", command("convert", "stations-#.csv", "-o", "t.zarr")),
        Case("map", "m.png", command("map", "field-#.nc", "-o", "m.png")),
        Case("qc", "q.html", command("qc", "stations-#.csv", "-o", "q.html")),
    ]


def _updated(run: Callable[[int], None], version: int) -> None:
    """Update a store; that there is nothing new is as good as done."""
    try:
        run(version)
    except SystemExit as ended:
        if ended.code != NOTHING_NEW.number:
            raise


def _saved(version: int) -> None:
    """Fit a small model and save it, as ``aqreanalysis fit`` does."""
    from aqreanalysis.observations import open_observations

    observed = open_observations(f"stations-{version}.csv")
    try:
        _model(observed).save("model")
    except OSError as error:  # of which the command line makes one message
        raise SystemExit(1) from error


def _model(observed: xr.Dataset) -> Reanalyser:
    """Return a small model of some stations."""
    return Reanalyser(SMALL, schedule=QUICK, progress=False).fit(observed, "pm25")


def prepared(folder: Path) -> None:
    """Write what the commands read."""
    for version in (0, 1):
        observed = synthetic_network(hours=48, seed=version).observations.isel(station=slice(12))
        observed.aqnet.to_table(folder / f"stations-{version}.csv")
        if not version:
            _model(observed).save(folder / "known")
        product = observed.aqnet.reanalyse(method="idw", grid=0.5, progress=False)
        product.aqnet.to_netcdf(folder / f"field-{version}.nc", progress=False)


def digest(target: Path) -> str | None:
    """Return what tells one result from another, whenever it was made; None if there is none.

    Of NetCDF and pages that are the values, since the file has the date.
    """
    if not target.exists():
        return None
    if target.suffix == ".nc":
        import netCDF4

        with netCDF4.Dataset(target) as opened:
            opened.set_auto_mask(False)
            parts = [np.asarray(opened[name][:]).tobytes() for name in sorted(opened.variables)]
        return hashlib.sha256(b"".join(parts)).hexdigest()
    if target.suffix == ".html":
        page = target.read_bytes()
        return hashlib.sha256(page).hexdigest() if page.rstrip().endswith(b"</html>") else "half"
    files = sorted(target.rglob("*")) if target.is_dir() else [target]
    parts = [
        str(path.relative_to(target.parent)).encode() + path.read_bytes()
        for path in files
        if path.is_file() and path.name not in _DATED
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def started(
    work: Callable[[], object], most_bytes: int | None = None, *, seconds: int = LONGEST_SECONDS
) -> int:
    """Start some work in a fork; with a limit, writing beyond so many bytes of a file fails.

    It is ended after some seconds, unless these are 0. This process itself computes nothing:
    threads do not survive a fork.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        signal.alarm(seconds)
        work()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        status = 70  # not one message of the command line
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """Wait for a command, and return its status."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Trial:
    """A folder in which a case is tried again and again."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.target = case, folder, folder / case.target
        self.known: dict[str | None, str] = {}
        for version, name in ((1, "new"), (0, "earlier")):
            begin = time.perf_counter()
            if ended(started(partial(case.run, version))):
                raise RuntimeError(f"{case.name} fails as it is")
            self.duration = time.perf_counter() - begin
            self.known[digest(self.target)] = name
        if len(self.known) < 2:
            raise RuntimeError(f"{case.name}: both versions are the same")
        self.usual = set(os.listdir(folder))

    def judged(self, outcome: Outcome) -> None:
        """Count what is under the name now, and what the next run makes of it."""
        outcome.tried += 1
        outcome.outcomes[self.known.get(digest(self.target), "lost")] += 1
        begin = time.perf_counter()
        status = ended(started(partial(self.case.run, 1)))
        outcome.seconds.append(time.perf_counter() - begin)
        complete = status == 0 and self.known.get(digest(self.target)) == "new"
        outcome.outcomes["failed next"] += not complete
        outcome.outcomes["left over"] += bool(set(os.listdir(self.folder)) - self.usual)
        ended(started(partial(self.case.run, 0)))

    def kill(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Kill a run at a random moment; half of them in its last third."""
        share = rng.uniform(0.66, 1.02) if rng.random() < 0.5 else rng.uniform(0, 1)
        child = started(partial(self.case.run, 1))
        time.sleep(self.duration * share)
        os.kill(child, signal.SIGKILL)
        ended(child)
        self.judged(outcome)

    def full(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Let writing fail after some bytes of a file, as on a full disk."""
        size = max(path.stat().st_size for path in (self.target, *self.target.rglob("*")))
        status = ended(started(partial(self.case.run, 1), int(rng.uniform(0, size))))
        outcome.outcomes["no message"] += status not in (0, 1)
        self.judged(outcome)

    def two(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Let two runs write the same name at nearly the same time."""
        children = [started(partial(self.case.run, 1))]
        time.sleep(rng.uniform(0, self.duration / 4))
        children.append(started(partial(self.case.run, 1)))
        statuses = {ended(child) for child in children}
        outcome.outcomes["no message"] += not statuses <= {0, 4}
        outcome.outcomes["lost"] += self.known.get(digest(self.target)) != "new"
        self.judged(outcome)


def tried(times: int, seed: int, only: list[str]) -> Iterator[str]:
    """Yield the lines of the table, as they come."""
    yield (
        "| command | fault | times | earlier intact | new complete | lost | next run fails | "
        "left over | next run, s | without a message |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch, "inputs")
        inputs.mkdir()
        if ended(started(partial(prepared, inputs))):
            raise RuntimeError("the inputs cannot be made")
        for case in cases():
            if only and case.name not in only:
                continue
            folder = Path(scratch, case.target + ".d")
            shutil.copytree(inputs, folder)
            os.chdir(folder)
            trial = Trial(case, folder)
            for kind in KINDS:
                rng, outcome = np.random.default_rng(seed), Outcome()
                for _ in range(times):
                    getattr(trial, kind)(rng, outcome)
                unsaid = outcome.outcomes["no message"]
                yield f"| {case.name} | {kind} | {outcome.row()} | {unsaid} |"
        os.chdir("/")


def add_faults(commands: Any) -> None:
    """Add the command to the parser of ``python -m benchmarks``."""
    faults = commands.add_parser(
        "faults", help="commands that are killed, run out of disk, and meet", description=__doc__
    )
    faults.add_argument("--times", type=int, default=20, help="of each fault (default: 20)")
    faults.add_argument("--seed", type=int, default=0, help="other moments (default: 0)")
    faults.add_argument("--only", nargs="+", default=[], help="names of commands")
    faults.set_defaults(run=_faults)


def _faults(options: argparse.Namespace) -> None:
    """Print the table."""
    for line in tried(options.times, options.seed, options.only):
        print(line, flush=True)
