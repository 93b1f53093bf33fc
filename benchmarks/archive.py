"""``python -m benchmarks archive``: years of monthly files to one Zarr store, and a month of it."""

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic, perf_counter
from typing import NamedTuple

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import csv, parquet
from scipy.signal import lfilter

import aqreanalysis as aqr

#: Usual levels, ug m-3.
LEVELS = {"pm25": 14.0, "pm10": 24.0, "no2": 20.0, "o3": 55.0, "so2": 4.0, "co": 350.0}
#: Share of single hours that are missing, and of days without a station.
MISSING, SILENT = 0.04, 0.03
#: What others do with the same files: parse each of them, and nothing else.
PEERS = {
    "csv": ("pandas.read_csv", "import pandas, sys\nfor f in sys.argv[1:]: pandas.read_csv(f)"),
    "parquet": (
        "pyarrow.parquet.read_table",
        "from pyarrow import parquet\nimport sys\nfor f in sys.argv[1:]: parquet.read_table(f)",
    ),
}
CONVERT = "from aqreanalysis.cli import main; main()"


class Taken(NamedTuple):
    """What a program took with its processes: seconds, of processors too, and the most bytes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def generate(folder: Path, years: int, stations: int, suffix: str, first: int = 2011) -> list[Path]:
    """Return the monthly files of an invented network, written to a folder unless they are there.

    A row a station and hour, as agencies publish them: values follow day, season and weather,
    and are rounded; hours and days are missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = np.array([f"S{number:05d}" for number in range(stations)])
    longitude, latitude = rng.uniform(-9, 29, stations), rng.uniform(36, 60, stations)
    places = np.round([longitude, latitude], 4)
    files = []
    for month in np.arange(f"{first}-01", f"{first + years}-01", dtype="datetime64[M]"):
        file = folder / f"{month}.{suffix}"
        files.append(file)
        if not file.is_file():
            table = _month(month, names, places, np.random.default_rng(int(month.astype(int))))
            partial = file.with_suffix(".partial")
            if suffix == "csv":
                csv.write_csv(table, partial)
            else:
                parquet.write_table(table, partial)
            partial.rename(file)
    return files


def _month(
    month: np.datetime64, names: np.ndarray, places: np.ndarray, rng: np.random.Generator
) -> pa.Table:
    """Return one month of all stations."""
    hours = np.arange(month, month + 1, dtype="datetime64[h]")
    shape = hours.size, names.size
    silent = np.repeat(rng.random((-(-hours.size // 24), names.size)) < SILENT, 24, axis=0)
    cycle = 0.3 * np.sin(2 * np.pi * (np.arange(hours.size)[:, None] % 24 + places[0] / 15) / 24)
    season = 0.3 * np.cos(2 * np.pi * int(month.astype(int) % 12) / 12)
    codes = pa.array(np.tile(np.arange(names.size, dtype=np.int32), hours.size))
    columns = {
        "station": pa.DictionaryArray.from_arrays(codes, pa.array(names)).cast(pa.string()),
        "time": np.repeat(np.char.add(np.datetime_as_string(hours, unit="m"), "Z"), names.size),
        "longitude": np.tile(places[0], hours.size),
        "latitude": np.tile(places[1], hours.size),
    }
    for name, level in LEVELS.items():
        weather = lfilter([0.14], [1, -0.96], rng.standard_normal(shape, np.float32), axis=0)
        values = np.round(level * np.exp(weather + cycle + season), 1)
        missing = silent[: hours.size] | (rng.random(shape, np.float32) < MISSING)
        columns[name] = pa.array(values.ravel(), mask=missing.ravel())
    return pa.table(columns)


def taken(program: str, arguments: Sequence[str]) -> Taken:
    """Return what a Python program takes, its child processes included.

    Memory that processes share counts once (Pss of Linux; elsewhere in each of them).
    """
    began, before, peak = perf_counter(), _children_seconds(), 0
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as process:
        while process.poll() is None:
            peak = max(peak, sum(_bytes(psutil.Process(process.pid))))
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
    if process.returncode:
        raise ValueError(f"the program ended with status {process.returncode}")
    return Taken(perf_counter() - began, _children_seconds() - before, peak)


def _children_seconds() -> float:
    """Return the seconds of processors that all ended processes of this one took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bytes(process: psutil.Process) -> Iterator[int]:
    """Yield the bytes of a process and of those that it started."""
    for one in [process, *process.children(recursive=True)]:
        try:
            memory = one.memory_full_info()
        except psutil.Error:  # it has ended
            continue
        yield getattr(memory, "pss", memory.rss)


def lines(folder: Path, years: int, stations: int, suffix: str, peer: bool) -> Iterator[str]:
    """Yield the rows of the table of one case."""
    files = generate(folder / f"{suffix}-{stations}", years, stations, suffix)
    files = files[: 12 * years]
    size = sum(file.stat().st_size for file in files)
    rows = stations * _hours(files)
    store = folder / f"{suffix}-{stations}-{years}.zarr"
    what = (
        f"{years} years x {stations} stations, {len(files)} {suffix} files of {size / 1e9:.2f} GB"
    )
    also = [word for file in files[1:] for word in ("--also", str(file))]
    own = taken(CONVERT, ["-q", "convert", str(files[0]), *also, "-o", str(store)])
    written = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    yield _row(f"{what} to {written / 1e9:.2f} GB of Zarr", own, rows)
    began = monotonic()
    archive = aqr.open_observations(store)
    month = archive["pm25"].sel(time=str(archive["time"].values[-1])[:7]).load()
    seconds = monotonic() - began
    yield f"| ... open it, one month of one pollutant | {seconds:.2f} | | {month.size:,} | | |"
    if peer:
        name, program = PEERS[suffix]
        yield _row(f"... {name} of each file", taken(program, list(map(str, files))), rows)


def _hours(files: Sequence[Path]) -> int:
    """Return the hours of monthly files."""
    months = [np.datetime64(file.stem, "M") for file in files]
    spans = [(m + 1).astype("datetime64[h]") - m.astype("datetime64[h]") for m in months]
    return int(np.sum(spans).astype(int))


def _row(what: str, own: Taken, rows: int) -> str:
    """Return a row of the table."""
    return (
        f"| {what} | {own.seconds:.1f} | {own.cpu_seconds:.1f} | {rows:,} | "
        f"{rows / own.seconds:,.0f} | {own.peak_bytes / 1e6:,.0f} |"
    )


HEAD = """| what | seconds | CPU s | rows | rows a second | peak, MB |
|---|---:|---:|---:|---:|---:|"""
