"""``python -m benchmarks fuzz``: good files are spoiled, read, and the outcomes counted.

Every input is read in a process of its own, with limits of time and memory. What is read is
compared with what the good file holds, or, where bytes of a table were changed, with what Python's
own ``csv`` and ``float`` make of it.
"""

import argparse
import csv
import gc
import json
import logging
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.observations import (
    ObservationError,
    concentration_factor,
    open_observations,
)
from aqreanalysis.product import ProductError, open_product
from aqreanalysis.untrusted import inspection
from benchmarks.fuzz_files import Source, sources
from benchmarks.fuzz_inputs import (
    ANY,
    ARCHIVES,
    BINARY,
    FEWER,
    HOSTILE,
    OFTEN,
    SAME,
    TEXT,
    archive_of,
    hostile,
)

#: Of work and of memory; five times as many seconds may pass, since machines are busy.
SECONDS, MEMORY, WAITING = 20, 2**30, 5
OUTCOMES = ("right", "refused", "bare", "hang", "memory", "crash", "wrong")

#: A refusal has to say what to do, or what was expected.
_REMEDY = re.compile(
    r"(?i)\b(expected|must|pass|write|save|name|fetch|correct|drop|rename|choose|read a part|"
    r"unpack|convert|copy|leave|repair|turn|use|add|needs?|average|missing values are|"
    r"is a date wrong|a quote is not closed|of another format|it has|they are|"
    r"the columns are|has no|but no rows)\b"
)


@dataclass(frozen=True)
class Case:
    """One spoiled file: which of the good ones, and what happened to it."""

    number: int
    source: Source
    what: str
    effect: str


@dataclass(frozen=True)
class Result:
    """What came of a case."""

    case: Case
    outcome: str
    words: str
    seconds: float


def cases(good: list[Source], count: int, seed: int) -> Iterator[Case]:
    """Yield cases, the same ones for a seed; a third as many of files that take a second each."""
    slow = np.array([source.path.suffix in (".nc", ".h5", ".shp") for source in good])
    weights = np.where(slow, 1.0, 3.0)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        source = good[int(rng.choice(len(good), p=weights / weights.sum()))]
        table = TEXT if source.is_text else BINARY
        kinds = [(what, effect) for what, (effect, _) in table.items()]
        suffix = source.path.suffix
        if not source.is_product:
            kinds += [
                (what, ANY if "attribute" in what else FEWER) for what in HOSTILE.get(suffix, ())
            ]
        if suffix == ".nc" and not source.is_product and source.path.stem == "classic":
            kinds = [kind for kind in kinds if not kind[0].startswith("h5")]
        if suffix == ".zip":
            kinds += [(f"archive: {kind}", FEWER) for kind in ARCHIVES]
        often = np.array([OFTEN.get(what, 1.0) for what, _ in kinds])
        what, effect = kinds[int(rng.choice(len(kinds), p=often / often.sum()))]
        yield Case(number, source, what, effect)


def spoiled(case: Case, folder: Path, seed: int) -> Path | None:
    """Write the file of a case and return it; None where the case cannot be."""
    rng = np.random.default_rng([seed, case.number, 1])
    source = case.source.path
    path = folder / source.name
    if case.what.startswith("archive: "):
        path.write_bytes(archive_of(case.what.removeprefix("archive: "), rng))
    elif case.what in (TEXT if case.source.is_text else BINARY):
        mutate = (TEXT if case.source.is_text else BINARY)[case.what][1]
        content = mutate(source.read_bytes(), rng, case.source)
        if content is None or content == source.read_bytes():
            return None
        path.write_bytes(content)
        if source.suffix == ".shp":
            for suffix in (".shx", ".prj", ".dbf", ".cpg"):
                shutil.copy(source.with_suffix(suffix), path.with_suffix(suffix))
    else:
        hostile(path, case.what, source, rng)
    return path


def read(path: Path, source: Source) -> tuple[xr.Dataset, set[str]]:
    """Return what is read of a file, and what was said meanwhile."""
    said: set[str] = set()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.add(re.sub(r"\d+", "#", record.getMessage()))

    listener = Listener()
    logger = logging.getLogger("aqreanalysis")
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        if source.is_product:
            with dask.config.set(scheduler="synchronous"):  # threads do not survive a fork
                return open_product(path).load(), said
        return open_observations(path, **source.options), said
    finally:
        logger.removeHandler(listener)


def difference(observations: xr.Dataset, truth: pd.Series) -> str:
    """Return a value that the truth does not have, or nothing."""
    values = series(observations)
    expected = truth.reindex(values.index)
    wrong = np.flatnonzero(~np.isclose(values, expected, rtol=1e-5, atol=1e-4))
    if wrong.size == 0:
        return ""
    first = wrong[0]
    return f"{values.index[first]}: {values.iloc[first]} for {expected.iloc[first]} ({wrong.size})"


def series(data: xr.Dataset) -> pd.Series:
    """Return the values of pollutants by variable, station and stamp, without the missing ones."""
    parts = {
        str(name): layer.to_series().dropna()
        for name, layer in data.data_vars.items()
        if set(layer.dims) == {"station", "time"}
    }
    return pd.concat(
        {k: v.swaplevel() if v.index.names[0] == "time" else v for k, v in parts.items()}
    )


def independent(path: Path) -> pd.Series:
    """Return the values of a long table as Python's own csv and float read them."""
    values: dict[tuple[str, str, pd.Timestamp], float] = {}
    text = path.read_text("utf-8-sig", errors="replace")
    delimiter = max(",;\t", key=text.split("\n")[0].count)
    for fields in csv.DictReader(text.splitlines(), delimiter=delimiter):
        row = {re.split(r"[\s(\[]", str(name))[0]: field for name, field in fields.items()}
        stamp = str(row.get("time") or "").strip()
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", stamp, re.ASCII):
            continue
        for name in ("pm25", "no2"):
            word = str(row.get(name) or "").strip()
            if re.fullmatch(r"[+-]?\d*\.?\d*([eE][+-]?\d+)?", word, re.ASCII) and word:
                try:
                    key = (name, str(row["station"]).strip(), pd.Timestamp(stamp[:-1]))
                    values[key] = float(word)
                except ValueError:
                    continue
    index = pd.MultiIndex.from_tuples(values, names=[None, "station", "time"])
    return pd.Series(list(values.values()), index=index, dtype=float)


def judge(case: Case, path: Path, truth: pd.Series, usual: set[str]) -> dict[str, str]:
    """Read one file and return its outcome; called in the process of its own."""
    try:
        observations, said = read(path, case.source)
    except (ObservationError, ForeignError, ProductError) as error:
        message: str = str(error)
        cause: BaseException | None = error.__cause__
        while cause is not None:
            if isinstance(cause, MemoryError):
                return {"outcome": "memory", "words": message}
            cause = cause.__cause__
        outcome = "refused" if _REMEDY.search(message) else "bare"
        return {"outcome": outcome, "words": message}
    except MemoryError as error:
        return {"outcome": "memory", "words": repr(error)}
    except Exception as error:
        return {"outcome": "bare", "words": f"{type(error).__name__}: {error}"}
    if said - usual or case.source.is_product:
        return {"outcome": "right", "words": "; ".join(sorted(said - usual))}
    if case.effect == ANY:
        if case.source.path.name not in ("long.csv", "semicolons.csv"):
            return {"outcome": "right", "words": ""}
        truth = independent(path)
    wrong = difference(observations, truth)
    if not wrong and case.effect == SAME and len(series(observations)) < len(truth):
        wrong = f"{len(truth) - len(series(observations))} values are gone"
    return {"outcome": "wrong" if wrong else "right", "words": wrong}


def outcome_of(case: Case, path: Path, truth: pd.Series, usual: set[str]) -> Result:
    """Return the outcome of one file, read in a fork with limits."""
    start = time.monotonic()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            if sys.platform == "linux":
                used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MEMORY, -1))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, -1))
            answer = judge(case, path, truth, usual)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if peak > MEMORY:
                answer = {"outcome": "memory", "words": f"{peak / 1e6:.0f} MB; {answer}"}
            os.write(writer, json.dumps(answer)[:60_000].encode())
        finally:
            if inspection._inspector is not None:
                inspection._inspector.close()
            os._exit(0)
    os.close(writer)
    content = b""
    end = start + WAITING * SECONDS
    while select.select([reader], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        content += part
        if not part:
            break
    else:
        os.kill(child, signal.SIGKILL)
        content = json.dumps({"outcome": "hang", "words": ""}).encode()
    os.close(reader)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGXCPU:
        content = json.dumps({"outcome": "hang", "words": ""}).encode()
    answer = json.loads(content or b'{"outcome": "crash", "words": ""}')
    return Result(case, answer["outcome"], answer["words"], time.monotonic() - start)


def run(
    count: int, seed: int = 0, *, only: Iterable[int] = (), keep: Path | None = None
) -> Iterator[Result]:
    """Yield the outcome of each case; files whose outcome is bad are kept in a folder."""
    chosen = set(only)
    with tempfile.TemporaryDirectory() as name:
        concentration_factor("lb / ft^3", "pm25")  # what is imported now no fork has to import
        gc.freeze()
        good = Path(name, "good")
        good.mkdir()
        files = sources(good)
        truths = {source.path: _truth(source) for source in files}
        for case in cases(files, count, seed):
            if chosen and case.number not in chosen:
                continue
            folder = Path(tempfile.mkdtemp(dir=name))
            path = spoiled(case, folder, seed)
            if path is not None:
                result = outcome_of(case, path, *truths[case.source.path])
                if keep is not None and result.outcome not in ("right", "refused"):
                    keep.mkdir(exist_ok=True, parents=True)
                    shutil.copy(path, keep / f"{case.number}-{path.name}")
                yield result
            shutil.rmtree(folder)


def _truth(source: Source) -> tuple[pd.Series, set[str]]:
    """Return the values of a good file, and what is said when it is read."""
    data, said = read(source.path, source)
    return (pd.Series(dtype=float) if source.is_product else series(data)), said


def table(results: Iterable[Result]) -> str:
    """Return the outcomes by kind of file, as Markdown."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        name = result.case.source.path.name
        suffix = name[name.index(".") :] if not result.case.source.is_product else "product .nc"
        counts.setdefault(suffix, Counter())[result.outcome] += 1
    lines = [f"| | inputs | {' | '.join(OUTCOMES)} |", "|---|" + "---:|" * (len(OUTCOMES) + 1)]
    for name, own in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        cells = [f"{own.total():,}", *(f"{own[outcome]:,}" for outcome in OUTCOMES)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def add_fuzz(commands: Any) -> None:
    """Add the command to the parser of ``python -m benchmarks``."""
    fuzz = commands.add_parser(
        "fuzz", help="spoiled files, read within limits", description=__doc__
    )
    fuzz.add_argument("--inputs", type=int, default=1000, help="how many (default: 1000)")
    fuzz.add_argument("--seed", type=int, default=0, help="other files (default: 0)")
    fuzz.add_argument("--only", type=int, nargs="+", default=[], help="numbers of single inputs")
    fuzz.add_argument("--keep", type=Path, help="folder for the files that are not dealt with")
    fuzz.add_argument("--verbose", action="store_true", help="say what came of every input")
    fuzz.set_defaults(run=_fuzz)


def _fuzz(options: argparse.Namespace) -> None:
    """Print the table, and every outcome that must not be."""
    start, results = time.monotonic(), []
    with suppress(KeyboardInterrupt):  # then the table is of those so far
        for result in run(options.inputs, options.seed, only=options.only, keep=options.keep):
            results.append(result)
            if options.verbose or result.outcome not in ("right", "refused"):
                case = result.case
                print(
                    f"{case.number} {case.source.path.name} {case.what}: {result.outcome} in "
                    f"{result.seconds:.1f} s: {result.words[:400]!r}",
                    file=sys.stderr,
                    flush=True,
                )
    slowest = max((result.seconds for result in results), default=0.0)
    print(table(results))
    print(
        f"\nSeed {options.seed}; {time.monotonic() - start:.0f} s in all, {slowest:.1f} s at most; "
        f"limits {SECONDS} s of work and {MEMORY / 2**30:g} GiB."
    )
