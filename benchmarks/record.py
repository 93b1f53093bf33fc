"""The record of measurements: one CSV row for each split, stratum and run."""

import csv
import datetime
import functools
import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aqreanalysis
from benchmarks.comparing import station_rows
from benchmarks.measuring import Measured, stratified
from benchmarks.scores import Scores

PACKAGES = ("aqreanalysis", "numpy", "scipy", "xarray", "torch")


@functools.cache
def source_digest() -> str:
    """Return eight digits of the SHA-256 of the package's source: the state that is measured.

    It is taken once; call it before a long run, so that it is the state that was imported.
    """
    root = Path(aqreanalysis.__file__).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()[:8]


def rows(result: Measured, by: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the record of a result: all values first, then each stratum."""
    head = {
        "date": _now(),
        "protocol": result.protocol.key,
        "split": result.split,
        "method": result.method,
        "seed": "" if result.seed is None else result.seed,
        "statistic": result.statistic,
    }
    tail = {
        "fit_seconds": round(result.fit_seconds, 2),
        "predict_seconds": round(result.predict_seconds, 2),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "source": source_digest(),
        "note": result.note,
    }
    yield head | {"by": "", "stratum": "all"} | _rounded(result.scores) | tail
    for kind in by:
        for name, scores in stratified([result], kind):
            yield head | {"by": kind, "stratum": name} | _rounded(scores) | tail


def stations(result: Measured) -> list[dict[str, Any]]:
    """Return the record of a result's hidden stations."""
    head, tail = {"date": _now()}, {"source": source_digest()}
    return [head | row | tail for row in station_rows(result)]


def append(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add records to a CSV file, which is made if it is not there.

    Raises
    ------
    ValueError
        If the file holds other columns.
    """
    columns = list(records[0])
    fresh = not path.is_file() or path.stat().st_size == 0
    if not fresh:
        with path.open(newline="") as stream:
            header = next(csv.reader(stream))
        if header != columns:
            raise ValueError(
                f"{path} has other columns than this record: expected {','.join(columns)}; found "
                f"{','.join(header)}. Name another file."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerows(records)


def _now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rounded(scores: Scores) -> dict[str, Any]:
    """Return scores to four decimals; what does not apply is empty."""
    return {
        name: value if isinstance(value, int) else ("" if value != value else round(value, 4))
        for name, value in asdict(scores).items()
    }
