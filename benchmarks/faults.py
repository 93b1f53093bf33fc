"""``python -m benchmarks faults``: what happens to commands that write.

They are killed, run out of disk, may not write, find other things under the name, read half a file,
and meet others. Each has an earlier result under its name. Afterwards that one is intact or the new
one is complete; the next run succeeds, and nothing else is left in the folder. POSIX only; full and
read-only disks are those of Linux where the user may mount them.
"""

import argparse
import os
import shutil
import signal
import stat
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

from aqreanalysis.observations.archive.version import ReplacedError
from benchmarks.faults_cluster import workers_killed
from benchmarks.faults_commands import Case, cases, digest, prepared, read
from benchmarks.forks import (
    Disk,
    as_nobody,
    at_changes,
    disk_at,
    ended,
    killed_at,
    started,
    warmed,
)

#: What happens, by the name in the table.
KINDS = {
    "kill": "SIGKILL at a random moment, or just before a random change of a name or file",
    "full": "a disk with room for a random part",
    "read-only": "a disk, or folder, that cannot be written",
    "target": "a folder, link, pipe or device under the name",
    "two": "two runs of one name at nearly the same time",
    "reader": "reads in a loop meanwhile",
    "cut input": "a file to read that is cut off",
    "worker": "SIGKILL of a worker of a cluster",
}
#: Kinds for which there must be a small disk.
ON_DISK = ("full", "read-only")
#: Statuses of a run that says why it did not do all.
SAID = (1, 4)


@dataclass
class Outcome:
    """What came of tries."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.tried + other.tried,
            self.outcomes + other.outcomes,
            self.seconds + other.seconds,
        )

    def row(self) -> str:
        """Return the numbers as cells of a table."""
        counts = " | ".join(str(self.outcomes[name]) for name in COLUMNS)
        recovery = f"{np.median(self.seconds):.1f} | {max(self.seconds):.1f}" * bool(self.seconds)
        return f"{self.tried} | {counts} | {recovery or '- | -'}"

    @property
    def losses(self) -> int:
        """How often anything was wrong."""
        return sum(self.outcomes[name] for name in COLUMNS[2:])


COLUMNS = ("earlier", "new", "lost", "failed next", "left over", "no message")
HEAD = (
    "times | earlier intact | new complete | lost | next run fails | left over | no message | "
    "next run, s, median | most"
)


class Trial:
    """A folder in which a case is tried again and again."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.said, self.stored = folder.with_suffix(".said"), folder.with_suffix(".earlier")
        os.chdir(folder)
        warmed(partial(case.run, 1), folder.parent)
        self.known: dict[tuple[str | None, ...], str] = {}
        self.reads: set[str] = set()
        self._clear()
        for version, name in enumerate(("earlier", "new")):
            begin = time.perf_counter()
            self.changes = self._counted(version)
            self.duration = time.perf_counter() - begin
            self.known[self._state()] = name
            self.reads.add(self._read())
            if not version:
                self.stored.mkdir()
                for target in case.targets:
                    _copy(folder / target, self.stored / target)
        if len(self.known) < 2:
            raise RuntimeError(f"{case.name}: both versions are the same")
        self.usual = set(os.listdir(folder))
        self._restore()

    def _counted(self, version: int) -> int:
        """Run the command, and return how often it changes the folder."""
        counted = self.folder.parent / "changes"
        with counted.open("wb") as file:

            def run() -> None:
                at_changes(self.folder, lambda _: os.write(file.fileno(), b"."))
                self.case.run(version)

            if ended(started(run, said=self.said)):
                raise RuntimeError(f"{self.case.name} fails as it is: {self.said.read_text()}")
        return counted.stat().st_size

    def _read(self) -> str:
        """Return what a reader has of the first target, in a fork: libraries start threads."""
        written = self.folder.parent / "read"
        target = self.folder / self.case.targets[0]
        if ended(started(lambda: written.write_text(read(target)), said=self.said)):
            raise RuntimeError(f"{self.case.name} cannot be read: {self.said.read_text()}")
        return written.read_text()

    def _state(self) -> tuple[str | None, ...]:
        """Return the digests of all targets."""
        return tuple(digest(self.folder / target) for target in self.case.targets)

    def _clear(self) -> None:
        """Remove all results."""
        for target in self.case.targets:
            _remove(self.folder / target)

    def _restore(self) -> None:
        """Put the earlier results back."""
        self._clear()
        for target in self.case.targets:
            _copy(self.stored / target, self.folder / target)

    def judged(self, outcome: Outcome, *, may_be: tuple[str, ...] = ("earlier", "new")) -> None:
        """Count what is under the names now, and what the next run makes of it."""
        outcome.tried += 1
        names = {self._name_of(number, now) for number, now in enumerate(self._state())}
        # Of several files each is replaced by itself.
        lost = bool(names - {*may_be})
        outcome.outcomes["lost" if lost else "new" if "new" in names else "earlier"] += 1
        if lost:
            self._complain("lost", names)
        begin = time.perf_counter()
        status = ended(started(partial(self.case.run, 1), said=self.said))
        outcome.seconds.append(time.perf_counter() - begin)
        if status or self.known.get(self._state()) != "new":
            outcome.outcomes["failed next"] += 1
            self._complain("next run", status)
        if left := set(os.listdir(self.folder)) - self.usual:
            outcome.outcomes["left over"] += 1
            self._complain("left over", left)
            for name in left:
                _remove(self.folder / name)
        self._restore()

    def _name_of(self, number: int, now: str | None) -> str:
        """Return the name of the version of one of the targets."""
        return next((name for state, name in self.known.items() if state[number] == now), "lost")

    def check_said(self, status: int, outcome: Outcome, statuses: tuple[int, ...] = SAID) -> None:
        """Count a run that failed without one message of the command line."""
        said = self.said.read_text(errors="replace")
        if status not in (0, *statuses) or (status and not _is_message(said)):
            outcome.outcomes["no message"] += 1
            self._complain(f"status {status}", said)

    def _complain(self, what: str, about: object) -> None:
        """Say on standard error what is wrong."""
        print(f"{self.case.name}: {what}: {str(about)[-600:]}", file=sys.stderr, flush=True)

    def kill(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Kill a run at a random moment, or just before a random change."""
        run: Callable[[], None] = partial(self.case.run, 1)
        if rng.random() < 0.5:
            child = started(partial(killed_at, self.folder, int(rng.integers(self.changes)), run))
        else:
            child = started(run)
            time.sleep(self.duration * rng.uniform(0, 1.02))
            os.kill(child, signal.SIGKILL)
        ended(child)
        self.judged(outcome)

    def two(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Let two runs write the same name at nearly the same time."""
        children = [started(partial(self.case.run, 1))]
        time.sleep(rng.uniform(0, self.duration / 4))
        children.append(started(partial(self.case.run, 1), said=self.said))
        first, second = (ended(child) for child in children)
        outcome.outcomes["no message"] += first not in (0, 4)
        self.check_said(second, outcome, (4,))
        self.judged(outcome, may_be=("new",))

    def reader(self, _: np.random.Generator, outcome: Outcome) -> None:
        """Read in a loop beside a run: the earlier result or the new one, and never an error."""
        stop, counted = self.folder.parent / "stop", self.folder.parent / "read"
        target = self.folder / self.case.targets[0]

        def watch() -> None:
            times = 0
            while not stop.exists():
                try:
                    seen = read(target)
                except ReplacedError:  # of a store that is written anew: it says so
                    continue
                if seen not in self.reads:
                    raise ValueError(f"neither of the versions: {seen}")
                times += 1
            counted.write_text(str(times))

        reading = started(watch, said=self.said)
        status = ended(started(partial(self.case.run, 1)))
        stop.touch()
        if failed := ended(reading):
            outcome.outcomes["lost"] += 1
            self._complain(f"reader {failed}", self.said.read_text())
        else:
            outcome.outcomes["reads"] += int(counted.read_text())
        stop.unlink()
        outcome.outcomes["no message"] += status != 0
        self.judged(outcome, may_be=("new",))

    def cut_input(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Cut off what the command reads; a table that ends early is a shorter one."""
        path = self.folder / self.case.reads.replace("#", "1")
        whole = path.read_bytes()
        path.write_bytes(whole[: int(rng.uniform(0, 1) * len(whole))])
        status = ended(started(partial(self.case.run, 1), said=self.said))
        path.write_bytes(whole)
        self.check_said(status, outcome)
        if status == 0 and path.suffix == ".csv":
            states = self._state()
            outcome.outcomes["lost"] += None in states or "half" in states
            self._restore()
        self.judged(outcome, may_be=("earlier",))

    def target(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Put something else under a name: it stays what it is, and links are followed."""
        name = str(rng.choice(self.case.targets))
        kind = str(rng.choice(["folder", "pipe", "device", "link", "link to nothing"]))
        target, other = self.folder / name, self.folder / f"other-{name}"
        _remove(target)
        if kind == "folder":
            target.mkdir()
            (target / "note.txt").write_text("of somebody else")
        elif kind == "pipe":
            os.mkfifo(target)
        elif kind == "device":
            _device(other)
            target.symlink_to(other)
        else:
            target.symlink_to(other)
            if kind == "link":
                _copy(self.stored / name, other)
        before = _what(target), _what(other)
        status = ended(started(partial(self.case.run, 1), said=self.said))
        self.check_said(status, outcome)
        after = _what(target), _what(other)
        followed = kind in ("link", "link to nothing") and after[0] == before[0]
        if status == 0 and followed:
            right = self._name_of(self.case.targets.index(name), digest(other)) == "new"
        else:
            right = status != 0 and after == before
        if not right:
            outcome.outcomes["lost"] += 1
            self._complain(f"{kind} under {name}, status {status}", (before, after))
        _remove(other)
        self._restore()
        self.judged(outcome)


class DiskTrial(Trial):
    """The same on a small disk."""

    def __init__(self, trial: Trial, disk: Disk) -> None:
        self.__dict__.update(trial.__dict__)
        self.disk, self.folder = disk, disk.folder
        shutil.copytree(trial.folder, self.folder, dirs_exist_ok=True, symlinks=True)
        os.chdir(self.folder)
        self.needed = self._needed()
        self._restore()

    def _needed(self) -> int:
        """Return how many bytes a run takes at most, beyond those that are taken before."""
        before = most = self.disk.used()
        child = started(partial(self.case.run, 1))
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            most = max(most, self.disk.used())
            time.sleep(0.002)
        return max(most - before, 4096)

    def full(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Leave room for a random part of what is written."""
        self.disk.fill(int(rng.uniform(0, 1.1 * self.needed)))
        status = ended(started(partial(self.case.run, 1), said=self.said))
        left = set(os.listdir(self.folder)) - self.usual - {".ballast"}
        if "--resume" in self.case.name:  # its finished regions stay, and the message says so
            left -= {f".{target}.finished" for target in self.case.targets}
        if "--checkpoint" in self.case.name:  # from which the next run goes on, all learned
            left -= {"c.ckpt"}
        self.disk.clear()
        self.check_said(status, outcome)
        if left:
            outcome.outcomes["left over"] += 1
            self._complain("left on a full disk", left)
        self.judged(outcome)

    def read_only(self, rng: np.random.Generator, outcome: Outcome) -> None:
        """Run on a disk that is read-only, or as a user who may not write."""
        run: Callable[[], None] = partial(self.case.run, 1)
        if rng.random() < 0.5:
            self.disk.allow("ro")
            status = ended(started(run, said=self.said))
            self.disk.allow("rw")
        else:
            self.folder.chmod(0o555)
            status = ended(started(partial(as_nobody, run), said=self.said))
            self.folder.chmod(0o755)
        self.check_said(status, outcome)
        outcome.outcomes["no message"] += status == 0
        self.judged(outcome, may_be=("earlier",))


def _is_message(said: str) -> bool:
    """Return whether what was said has one message of the command line, and no traceback."""
    lines = [line for line in said.splitlines() if line.startswith("aqreanalysis: ")]
    return len(lines) == 1 and "Traceback" not in said


def _device(path: Path) -> None:
    """Make a device that takes everything, or link to it where this user may make none."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        path.symlink_to(os.devnull)


def _what(path: Path) -> tuple[Any, ...]:
    """Return what a name stands for, itself and not what a link leads to."""
    if not os.path.lexists(path):
        return ()
    facts = path.lstat()
    if path.is_symlink():
        return "link", os.readlink(path)
    inside = sorted(os.listdir(path)) if path.is_dir() else ()
    return stat.S_IFMT(facts.st_mode), facts.st_ino, facts.st_mtime_ns, *inside


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    """Remove whatever has a name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def tried(options: argparse.Namespace) -> Iterator[tuple[str, str, Outcome]]:
    """Yield each command, what happened to it, and what came of that."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)  # noqa: S103 (another user reads what is in it)
        inputs = Path(scratch, "inputs")
        inputs.mkdir()
        if ended(started(partial(prepared, inputs))):
            raise RuntimeError("the inputs cannot be made")
        for number, case in enumerate(cases()):
            if (options.only and case.name not in options.only) or options.kinds == ["worker"]:
                continue
            folder = Path(shutil.copytree(inputs, Path(scratch, f"{number}")))
            trial = Trial(case, folder)
            with disk_at(folder.with_suffix(".disk")) as disk:
                places = {False: trial, True: DiskTrial(trial, disk) if disk else None}
                for kind in options.kinds:
                    place = places[kind in ON_DISK]
                    if place is None or kind == "worker":
                        continue
                    os.chdir(place.folder)
                    rng, outcome = np.random.default_rng([options.seed, number]), Outcome()
                    for _ in range(options.kills if kind == "kill" else options.times):
                        getattr(place, kind.replace("-", "_").replace(" ", "_"))(rng, outcome)
                    yield case.name, kind, outcome
                os.chdir(scratch)
        if "worker" in options.kinds and not options.only:
            outcome = Outcome()
            for lost, seconds in workers_killed(inputs, options.times, options.seed):
                outcome.tried += 1
                outcome.outcomes["lost" if lost else "new"] += 1
                outcome.seconds.append(seconds)
            yield "reanalyse --scheduler", "worker", outcome
        os.chdir("/")


def tables(results: list[tuple[str, str, Outcome]]) -> Iterator[str]:
    """Yield the lines of two tables: by what happened, and by command."""
    for title, place in (("fault", 1), ("command", 0)):
        yield f"| {title} | {HEAD} |"
        yield "|---|" + "---:|" * 9
        for name in dict.fromkeys(result[place] for result in results):
            total = sum((r[2] for r in results if r[place] == name), Outcome())
            yield f"| {name} | {total.row()} |"
        if place:
            total = sum((result[2] for result in results), Outcome())
            yield f"| all | {total.row()} |"
            reads = sum(result[2].outcomes["reads"] for result in results)
            yield f"\n{reads} reads beside runs that write.\n"


def add_faults(commands: Any) -> None:
    """Add the command to the parser of ``python -m benchmarks``."""
    faults = commands.add_parser(
        "faults", help="commands that are killed, run out of disk, and meet", description=__doc__
    )
    faults.add_argument("--kills", type=int, default=10, help="of each command (default: 10)")
    faults.add_argument("--times", type=int, default=4, help="of other faults (default: 4)")
    faults.add_argument("--seed", type=int, default=0, help="other moments (default: 0)")
    faults.add_argument("--only", nargs="+", default=[], help="names of commands")
    faults.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=[*KINDS], help="of faults (default: all)"
    )
    faults.set_defaults(run=_faults)


def _faults(options: argparse.Namespace) -> None:
    """Print the tables, and end with a status of 1 if anything was lost."""
    results = []
    for result in tried(options):
        results.append(result)
        print(f"{result[0]}, {result[1]}: {result[2].row()}", file=sys.stderr, flush=True)
    print("\n".join(tables(results)))
    if sum(result[2].losses for result in results):
        raise SystemExit(1)
