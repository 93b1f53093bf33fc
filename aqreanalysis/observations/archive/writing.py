"""Writing an archive: files are read in parallel, joined by blocks of weeks, and put in place.

1. Each file becomes a part: read by the engine in a process of its own, its values stored aside.
2. Of all parts: the stations and their places, the axis, the variables; what does not fit is said.
3. Block by block of some weeks, all parts are joined, judged for what cannot be true, and written.
4. Codes for missing that some blocks reveal are made missing in the others; the store is renamed.

No process holds more than a file or a block, however many years there are.
"""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.atomic import atomic_folder, check_target, explained, scratch_folder
from aqreanalysis.conventions import POLLUTANTS, STATION, TIME, counted
from aqreanalysis.memory import in_words, memory_bytes
from aqreanalysis.observations.archive.blocks import Written, mask_codes, write_block
from aqreanalysis.observations.archive.joining import Whole, whole_of
from aqreanalysis.observations.archive.opening import check_zarr, is_archive
from aqreanalysis.observations.archive.parts import Part, part_path, read_to_part
from aqreanalysis.observations.archive.tally import Tally
from aqreanalysis.observations.contract import DIMENSIONS
from aqreanalysis.observations.journal import Journal, ObservationError, dated
from aqreanalysis.observations.reading import (
    OPTIONS,
    reading_of,
    table_files,
    tolerance_of,
    with_stations,
    without_list,
)
from aqreanalysis.observations.sources.assembly import COORDINATE_ATTRIBUTES
from aqreanalysis.observations.sources.opening import TEXT_SUFFIXES
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.sources.recognition import Input
from aqreanalysis.observations.variables import listed

logger = logging.getLogger("aqreanalysis.observations")

#: Bytes of a process with its libraries, and bytes of memory a byte of a file: of a text, of one
#: that is compressed or Parquet; measured.
_PROCESS, _TEXT, _PACKED = 200 * 2**20, 5, 40
#: Values of a block of the store, and the steps of it, the fewest and the most.
_VALUES, _FEWEST, _MOST = 2**18, 168, 744
#: Steps that are judged at once, about a month, and the bytes that this takes a value.
_JUDGED, _JUDGING_BYTES = 672, 120
#: Broken files that an error names.
_SHOWN = 20


def write_archive(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    memory: str | float | None = None,
    workers: int | None = None,
    progress: bool = True,
    overwrite: bool = True,
    resume: bool = False,
    skip_broken: bool = False,
    **options: Any,
) -> Path:
    """Return the path of the Zarr store that now holds the measurements of many files.

    The files are read in parallel, each once; memory does not grow with their number. The values
    are those of `open_observations` of all files together, which opens the store again, lazily.
    What cannot be true is judged for all stations of about four weeks at a time. The store appears
    under its name when it is complete.

    Parameters
    ----------
    files : path or sequence of path
        A folder, a quoted pattern or several files, as of `open_observations`; each file is read
        whole.
    path : path
        Ends in ``.zarr``; its folder must exist.
    memory : str or number, optional
        What all processes together may take, such as ``"2GB"``; by default half of what is free.
    workers : int, optional
        Processes, at most; by default one a processor. In a script, more than one need the guard
        ``if __name__ == "__main__":``.
    progress : bool
        Whether bars show how far it is.
    overwrite : bool
        Whether an earlier store of that name is replaced; anything else never is.
    resume : bool
        Whether files that were read stay beside the target if the run is cut off, so that the next
        one with ``resume=True`` goes on from there.
    skip_broken : bool
        Leave out files that cannot be read, and say so; else they are an error, all of them at
        once, before anything is written.
    **options
        How the files are read: those of `open_observations`. ``duplicates`` also says what is
        taken of different values in two files.

    Raises
    ------
    ObservationError
        With all faults of the files.
    WriteError
        If the store cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for day, part in obs.groupby("time.day"):
    ...         _ = part.aqnet.to_table(f"{folder}/{day}.csv")
    ...     store = write_archive(f"{folder}/*.csv", f"{folder}/a.zarr", workers=1, progress=False)
    ...     bool(aqr.open_observations(store).compute().equals(obs))
    True
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    check_archive_target(target, overwrite=overwrite)
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ObservationError(f"no option of reading: {listed(unknown)}")
    given = OPTIONS | options
    kind, reading = reading_of(given)
    paths, journal = _inputs(files, kind, target)
    journal.tolerance = tolerance_of(reading)
    reading = with_stations(reading, given["stations"])
    if reading.stations is None and len(paths) > 1:
        inputs = [Input(own, file) for own, file in paths.items()]
        inputs, reading = without_list(inputs, reading, journal)
        paths = {item.name: paths[item.name] for item in inputs}
    budget = _Budget(memory_bytes(memory), workers or _processors(), progress)
    with explained(target), _parts_folder(target, resume) as folder:
        parts = _read_all(paths, folder, kind, reading, budget, journal, skip_broken)
        whole = whole_of(parts, reading=reading, journal=journal)
        with atomic_folder(target) as store:
            written = _write_all(store, whole, reading, budget, journal)
            _finish(store, whole, written, journal)
    return Path(path)


def check_archive_target(target: Path, *, overwrite: bool = True) -> None:
    """Refuse a path that no archive can be written to.

    Raises
    ------
    ObservationError
        If zarr is not installed, the name is not one of a store, or something else has it.
    WriteError
        If there is no such folder, or no permission.
    """
    check_zarr()
    if target.suffix.lower() != ".zarr":
        raise ObservationError(f"an archive is Zarr: end its name in .zarr; found {target.name!r}")
    if target.is_dir() and not (overwrite and is_archive(target)):
        why = "is no Zarr store" if overwrite else "overwrite is False"
        raise ObservationError(f"{target} exists, and {why}. Name another")
    if not target.is_dir():
        check_target(target, overwrite=False)


@dataclass(frozen=True)
class _Budget:
    """Bytes in all and processes at most that the work may take, and whether bars are shown."""

    bytes: int
    processes: int
    progress: bool

    def processes_for(self, each: float, jobs: int) -> int:
        """Return how many processes of some bytes fit, one at least."""
        return int(np.clip(min(self.bytes // max(each, 1), jobs), 1, self.processes))


def _inputs(given: Any, kind: str | None, target: Path) -> tuple[dict[str, Path], Journal]:
    """Return the files by their names for messages, and a journal under the name of them all."""
    several = [given] if isinstance(given, (str, os.PathLike)) else list(given)
    paths = [Path(item).expanduser() for item in several]
    journal = Journal(paths[0].name if len(paths) == 1 else f"{len(paths)} files")
    name_of = {
        file.resolve(): str(file.relative_to(path)) if path.is_dir() else file.name
        for path in paths
        for file in table_files(path, kind, journal)
    }
    if not name_of:
        raise ObservationError("the list of files is empty")
    several_of_a_name = Counter(name_of.values())
    by_name = {
        str(file) if several_of_a_name[name] > 1 else name: file for file, name in name_of.items()
    }
    return by_name, journal


@contextmanager
def _parts_folder(target: Path, resume: bool) -> Iterator[Path]:
    """Yield the folder of parts: a passing one, or one that stays until the archive is whole."""
    if not resume:
        with scratch_folder(target) as own:
            yield own
        return
    folder = target.with_name(f".{target.name}.parts")
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


def _read_all(
    paths: Mapping[str, Path],
    folder: Path,
    kind: str | None,
    reading: Reading,
    budget: _Budget,
    journal: Journal,
    skip_broken: bool,
) -> list[Part]:
    """Return the parts of all files, in their order; say what reading them decided."""
    jobs = {
        name: partial(
            read_to_part, file, name, part_path(folder, file, kind, reading), kind, reading
        )
        for name, file in paths.items()
    }
    waiting = [job for job in jobs.values() if not job.args[2].is_file()]
    if len(waiting) < len(jobs):
        logger.info("%d of %d files are read already", len(jobs) - len(waiting), len(jobs))
    each = _PROCESS + max(_bytes_to_read(file) for file in paths.values())
    processes = budget.processes_for(each, len(waiting))
    logger.info(
        "%d files, read by %d processes of up to %s, of %s allowed",
        len(waiting), processes, in_words(each), in_words(budget.bytes),
    )  # fmt: skip
    broken: dict[str, str] = {}
    for job, result in _run(waiting, processes, "reading files", budget.progress):
        if isinstance(result, ObservationError):
            broken[job.args[1]] = f"{job.args[1]}: {'; '.join(result.faults[:3])}"
    if broken and (len(broken) == len(jobs) or not skip_broken):
        faults = [broken[name] for name in jobs if name in broken]
        more = f" The first {_SHOWN} are named." if len(faults) > _SHOWN else ""
        raise ObservationError(
            [
                *faults[:_SHOWN],
                f"{len(faults)} of {len(jobs)} files cannot be read.{more} Correct them, or leave "
                "such files out with skip_broken=True (--skip-broken)",
            ],
            source=journal.source,
        )
    for name in (name for name in jobs if name in broken):
        journal.warn(f"left out, since it cannot be read: {broken[name]}")
    parts = [Part.load(job.args[2]) for name, job in jobs.items() if name not in broken]
    tally = Tally("files", len(parts))
    for part in parts:
        for sentence in part.decisions:
            tally.add(sentence, part.name, is_warning=sentence in part.warnings)
    tally.into(journal)
    return parts


def _bytes_to_read(file: Path) -> int:
    """Return how much memory the reading of a file takes."""
    is_text = file.suffix.lower() in TEXT_SUFFIXES
    return file.stat().st_size * (_TEXT if is_text else _PACKED)


def _write_all(
    store: Path, whole: Whole, reading: Reading, budget: _Budget, journal: Journal
) -> list[Written]:
    """Write all blocks; say what was found in them, and stop where it is a fault."""
    chunk = _chunk_steps(whole.stations.size)
    each = whole.stations.size * (8 * len(whole.attributes) + _JUDGING_BYTES)
    affordable = (budget.bytes - _PROCESS) // (each * chunk)
    steps = chunk * int(np.clip(affordable, 1, -(-_JUDGED // chunk)))
    _create(store, whole, chunk)
    starts = range(0, whole.times.size, steps)
    ends = [(start, min(start + steps, whole.times.size)) for start in starts]
    jobs = [
        partial(write_block, store, whole.within(*end), reading.duplicates, *end) for end in ends
    ]
    processes = budget.processes_for(_PROCESS + each * steps, len(jobs))
    written = _results(_run(jobs, processes, "writing weeks", budget.progress))
    written.sort(key=lambda one: one.start)
    again = [
        partial(mask_codes, store, unseen, *end)
        for end, one in zip(ends, written, strict=True)
        if (unseen := _unseen_codes(one, written))
    ]
    masked = _results(_run(again, processes, "missing codes", budget.progress))
    _say(written, masked, whole, reading, journal)
    return written


def _unseen_codes(
    one: Written, written: Sequence[Written]
) -> dict[tuple[str, float], frozenset[int]]:
    """Return the codes of other blocks that a block may hold, at the stations that have them."""
    unseen: dict[tuple[str, float], frozenset[int]] = {}
    for (name, value), rows in (item for other in written for item in other.codes.items()):
        low, high = one.ranges[name]
        if low <= value <= high:
            unseen[name, value] = unseen.get((name, value), frozenset()) | rows
    rest = {code: rows - one.codes.get(code, frozenset()) for code, rows in unseen.items()}
    return {code: rows for code, rows in rest.items() if rows}


def _say(
    written: Sequence[Written],
    masked: Sequence[dict[str, int]],
    whole: Whole,
    reading: Reading,
    journal: Journal,
) -> None:
    """Make decisions, or faults, of what the blocks hold twice and what cannot be true."""
    tally = Tally("parts of the period", len(written))
    for one in written:
        day = str(whole.times[one.start])[:10]
        for name, count in one.repeated.items():
            tally.add(f"{count} values of {name} stand in several files and are the same", day)
        for each in one.suspicions:
            done = {"values": "; read as missing", "station": "; left out"}.get(each.cost, "")
            key = f"{each.kind} {each.variable} {each.remedy}" if each.cost == "values" else ""
            sentence = f"{each.what}{done}. {each.remedy}"
            tally.add(sentence, day, key=key, is_warning=True)
    for counts in masked:
        for name, count in counts.items():
            words = f"{count} values of {name} are codes that stand out at other times"
            tally.add(f"{words}; read as missing", "", is_warning=True)
    for sentence, is_warning in tally.sentences():
        if is_warning and reading.strict:
            journal.fault(sentence)
        else:
            (journal.warn if is_warning else journal.decide)(sentence)
    for name in whole.attributes:
        several = [c for one in written for c in one.conflicts if c[0] == name]
        if several:
            total = sum(count for _, count, _ in several)
            words = f"{total} {several[0][2].partition(' ')[2]}"
            if reading.duplicates == "error":
                journal.fault(
                    f"{words}. Pass duplicates='mean', 'first' or 'last' to choose",
                    share=total / max(whole.count_of(name), 1),
                )
            else:
                journal.decide(f"{words}; the {reading.duplicates} is taken")
    journal.stop_if_faulty()


def _chunk_steps(stations: int) -> int:
    """Return the steps of a block of the store: a week of a large network, a month of a small one.

    Examples
    --------
    >>> _chunk_steps(1500), _chunk_steps(50)
    (168, 744)
    """
    return int(np.clip(_VALUES // stations // 24 * 24, _FEWEST, _MOST))


def _create(store: Path, whole: Whole, chunk: int) -> None:
    """Make the store with its coordinates and attributes; all values are missing."""
    import dask.array

    shape = whole.stations.size, whole.times.size
    nothing = dask.array.full(shape, np.float32(np.nan), dtype=np.float32, chunks=(-1, chunk))
    places = {name: (STATION, array) for name, array in whole.places.items()}
    template = xr.Dataset(
        {name: (DIMENSIONS, nothing, dict(facts)) for name, facts in whole.attributes.items()},
        {STATION: whole.stations, TIME: whole.times, **places},
    )
    for name, attributes in COORDINATE_ATTRIBUTES.items():
        if name in template.coords:
            template[name].attrs = dict(attributes)
    template[TIME].attrs.update(time_label=whole.label, step_hours=whole.step_hours)
    packed = {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1}
    encoding: dict[str, dict[str, Any]] = {
        name: {
            "chunks": (shape[0], min(chunk, shape[1])),
            "compressors": (packed,),
            "_FillValue": np.nan,
        }
        for name in whole.attributes
    }
    encoding[TIME] = {"units": "seconds since 1970-01-01", "dtype": "int64", "chunks": (shape[1],)}
    template.to_zarr(
        store, mode="w", compute=False, zarr_format=2, consolidated=False, encoding=encoding
    )


def _finish(store: Path, whole: Whole, written: Sequence[Written], journal: Journal) -> None:
    """Leave out variables of which nothing is left, and write history and consolidated metadata."""
    empty = [n for n in whole.attributes if not any(one.counts[n] for one in written)]
    if set(empty) >= set(whole.attributes) & POLLUTANTS.keys():
        journal.fault(f"no value of {listed(empty)} is left")
        journal.stop_if_faulty()
    for variable in empty:
        journal.warn(f"left out, since no value is left: {variable}")
        shutil.rmtree(store / variable)
    line = f"read {journal.source} ({counted(len(whole.spans), 'file')}), "
    line += f"{counted(whole.stations.size, 'station')}, {counted(whole.times.size, 'stamp')}"
    history = dated("; ".join([line, *journal.decisions]))
    attributes = xr.Dataset(attrs={"source": journal.source, "history": history})
    attributes.to_zarr(store, mode="a", zarr_format=2, consolidated=True)


def _run(
    jobs: Sequence[partial], processes: int, title: str, progress: bool
) -> list[tuple[partial, Any]]:
    """Return each job with its result, or its `ObservationError`, in the order of their ends."""
    from tqdm import tqdm

    with tqdm(total=len(jobs), desc=title, disable=not progress, leave=False) as bar:
        results = []
        if processes == 1 or len(jobs) < 2:
            for job in jobs:
                results.append((job, _attempted(job)))
                bar.update()
            return results
        with _pool(processes) as pool:
            waiting = {pool.submit(_attempted, job): job for job in jobs}
            for future in as_completed(waiting):
                results.append((waiting[future], future.result()))
                bar.update()
        return results


def _results(done: Sequence[tuple[partial, Any]]) -> list[Any]:
    """Return the results of jobs; raise the first fault of any."""
    for _, result in done:
        if isinstance(result, ObservationError):
            raise result
    return [result for _, result in done]


def _attempted(job: Callable[[], Any]) -> Any:
    """Return what a job returns, or its fault."""
    try:
        return job()
    except ObservationError as error:
        return error


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of new processes, which end at once with the work, also when it is cut off."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_ignore_interrupts)
    try:
        yield pool
    except BrokenExecutor as error:
        raise ObservationError(
            "a process was ended while it was at work: for want of memory (say memory='1GB' or "
            "workers=1), or since a script lacks the guard if __name__ == '__main__':"
        ) from error
    except BaseException:
        for process in list((pool._processes or {}).values()):  # terminate_workers from 3.14 on
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the main process, and messages to its journal."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("aqreanalysis").addHandler(logging.NullHandler())


def _processors() -> int:
    """Return the processors that this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)
