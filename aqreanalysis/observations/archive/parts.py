"""One file of many, read: its values on the disk, the rest in a few arrays."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.observations.checks import Names
from aqreanalysis.observations.contract import DIMENSIONS, stored_values
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.reading import read_part, tolerance_of
from aqreanalysis.observations.sources.options import Reading

#: Version of the stored parts: raise it with any change of what is read or how it is stored.
FORMAT = 1


@dataclass(frozen=True)
class Part:
    """What one file holds: stations, a regular axis, variables, and where their values are.

    ``values`` is a file of float32 (variable, station, time); ``places`` are coordinates on the
    station; ``step`` is 0 where there is one stamp. Sentences are what the reading decided, those
    to be warned of also in ``warnings``.
    """

    name: str
    values: str
    stations: Names
    places: Mapping[str, np.ndarray]
    start: int
    step: int
    steps: int
    label: str
    attributes: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, int]
    decisions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def end(self) -> int:
        """The last stamp, in ns."""
        return self.start + (self.steps - 1) * self.step

    def save(self, target: Path) -> None:
        """Write all but the values, whole or not at all."""
        facts = asdict(self) | {"stations": None, "places": None}
        arrays = {"stations": self.stations, **{f"at_{n}": a for n, a in self.places.items()}}
        partial = target.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as file:
            np.savez(file, facts=json.dumps(facts, default=lambda v: v.tolist()), **arrays)  # type: ignore[arg-type]
        os.replace(partial, target)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            places = {n[3:]: stored[n] for n in stored.files if n.startswith("at_")}
            facts |= {"stations": stored["stations"], "places": places}
        return cls(**facts | {name: tuple(facts[name]) for name in ("decisions", "warnings")})

    def read(self, first: int, last: int) -> np.ndarray:
        """Return the values from one step to before another, (variable, station, time)."""
        return np.array(np.load(self.values, mmap_mode="r")[:, :, first:last])


def part_path(folder: Path, file: Path, kind: str | None, reading: Reading) -> Path:
    """Return where the part of a file is, or will be: another one when file or options change."""
    facts = file.stat()
    listing = b"" if reading.stations is None else reading.stations.to_csv().encode()
    key = [FORMAT, str(file.resolve()), facts.st_size, facts.st_mtime_ns, kind, repr(reading)]
    return folder / f"{hashlib.sha256(repr(key).encode() + listing).hexdigest()[:32]}.npz"


def read_to_part(file: Path, name: str, target: Path, kind: str | None, reading: Reading) -> Part:
    """Read a file and store what is in it.

    Raises
    ------
    ObservationError
        With all faults of the file.
    """
    journal = Journal(name, silent=True, tolerance=tolerance_of(reading))
    dataset = read_part(file, kind, reading, journal)
    part = _part_of(dataset, name, target, journal)
    part.save(target)
    return part


def _part_of(dataset: xr.Dataset, name: str, target: Path, journal: Journal) -> Part:
    """Return the part that a Dataset is, its values stored."""
    series = [
        str(name)
        for name, array in dataset.data_vars.items()
        if set(array.dims) == set(DIMENSIONS) and array.dtype.kind in "fiu"
    ]
    values = target.with_suffix(".npy")
    stored = np.empty((len(series), *(dataset.sizes[name] for name in DIMENSIONS)), np.float32)
    for at, variable in enumerate(series):
        stored[at] = stored_values(dataset, variable)
    np.save(values, stored)
    counts = np.count_nonzero(~np.isnan(stored), axis=(1, 2)).tolist()
    times = dataset[TIME].values.astype("datetime64[ns]").astype(np.int64)
    return Part(
        name=name,
        values=str(values),
        stations=dataset[STATION].values.astype(str),
        places={
            str(n): array.values.astype(str) if array.dtype.kind == "O" else array.values
            for n, array in dataset.coords.items()
            if array.dims == (STATION,) and n != STATION
        },
        start=int(times[0]),
        step=int(times[1] - times[0]) if times.size > 1 else 0,
        steps=times.size,
        label=str(dataset[TIME].attrs["time_label"]),
        attributes={variable: dict(dataset[variable].attrs) for variable in series},
        counts=dict(zip(series, counts, strict=True)),
        decisions=tuple(journal.decisions),
        warnings=tuple(journal.warnings),
    )
