"""The stations and hours of all parts together, and where each part stands among them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION
from aqreanalysis.observations.archive.parts import Part
from aqreanalysis.observations.checks import Codes, Names, Times
from aqreanalysis.observations.checks.axis import CELLS_A_ROW, FREE_CELLS, TOLERANCE
from aqreanalysis.observations.checks.plausibility import sift
from aqreanalysis.observations.checks.positions import station_positions
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.moves import left_out, split
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.variables import listed

_HOUR = 3_600_000_000_000


@dataclass(frozen=True)
class Span:
    """Where a part stands: its stations' rows, -1 for those left out, and its first hour."""

    part: Part
    rows: Codes
    first: int
    stride: int

    def within(self, start: int, stop: int) -> tuple[int, int]:
        """Return its steps that lie on some hours of the axis: from one to before another."""
        ends = (-(-(at - self.first) // self.stride) for at in (start, stop))
        first, last = (min(max(end, 0), self.part.steps) for end in ends)
        return first, last


@dataclass(frozen=True)
class Whole:
    """All parts together: stations with their places, the axis, variables, and the parts on it."""

    stations: Names
    places: Mapping[str, np.ndarray]
    times: Times
    step_hours: float
    label: str
    attributes: Mapping[str, Mapping[str, Any]]
    count: int
    spans: Sequence[Span]

    def within(self, start: int, stop: int) -> Self:
        """Return the whole with those parts alone that have steps within some hours."""
        spans = [s for s in self.spans if np.diff(s.within(start, stop))[0] > 0]
        return replace(self, spans=spans)

    def count_of(self, name: str) -> int:
        """Return how many values of a variable all parts have."""
        return sum(span.part.counts.get(name, 0) for span in self.spans)


def whole_of(parts: Sequence[Part], *, reading: Reading, journal: Journal) -> Whole:
    """Return what parts are together; what does not fit together is a fault.

    Raises
    ------
    ObservationError
        If steps, labels, units or positions of a station differ, or a date is wrong.
    """
    label = _agreed(parts, lambda part: part.label, "time labels", "time_label=", journal)
    attributes: dict[str, Mapping[str, Any]] = {}
    for part in parts:
        attributes |= {n: facts for n, facts in part.attributes.items() if n not in attributes}
    for name in attributes:
        having = [part for part in parts if name in part.attributes]
        for key, remedy in (("units", "units="), ("cell_methods", "statistic=")):
            words = f"{key.replace('_', ' ')} of {name}"
            _agreed(having, lambda p, n=name, k=key: str(p.attributes[n].get(k)), words, remedy,
                    journal)  # fmt: skip
    step, firsts = _axis(parts, journal)
    journal.stop_if_faulty()
    stations, places, rows = _stations(parts, reading, journal)
    lasts = [
        at + (p.steps - 1) * max(p.step // step, 1) for at, p in zip(firsts, parts, strict=True)
    ]
    start, steps = min(firsts), max(lasts) - min(firsts) + 1
    count = sum(sum(part.counts.values()) for part in parts)
    cells = stations.size * steps * len(attributes)
    if cells > max(FREE_CELLS, CELLS_A_ROW * count):
        ends = sorted(zip(firsts, parts, strict=True), key=lambda pair: pair[0])
        journal.fault(
            f"time runs from {stamp(ends[0][1].start)} ({ends[0][1].name}) to "
            f"{stamp(max(p.end for p in parts))} ({parts[int(np.argmax(lasts))].name}), too long "
            f"for {stations.size} stations with {count} values: is a date wrong? Correct it, or "
            "leave the file out"
        )
        journal.stop_if_faulty()
    axis = (start + np.arange(steps, dtype=np.int64)) * step + _phase(parts, step)
    times = axis.astype("datetime64[ns]")
    spans = [
        Span(part, own, at - start, max(part.step // step, 1))
        for part, own, at in zip(parts, rows, firsts, strict=True)
    ]
    _warn_of_gaps(spans, times, step, journal)
    return Whole(stations, places, times, step / _HOUR, label, attributes, count, spans)


def stamp(time: int | np.datetime64 | NDArray) -> str:
    """Return a time for a message."""
    moment = np.asarray(time).astype("datetime64[ns]")
    return f"{np.datetime_as_string(moment, unit='m')} UTC"


def _agreed(parts: Sequence[Part], fact: Any, words: str, remedy: str, journal: Journal) -> str:
    """Return what all parts say; a fault, with a file of each kind, if they differ."""
    names: dict[str, str] = {}
    for part in parts:
        names.setdefault(fact(part), part.name)
    if len(names) > 1:
        several = listed(f"{value} in {name}" for value, name in names.items())
        journal.fault(f"{words} differ: {several}. Say {remedy}, or convert them apart")
    return next(iter(names), "")


def _axis(parts: Sequence[Part], journal: Journal) -> tuple[int, list[int]]:
    """Return the step of all parts, in ns, and the place of each part's first stamp."""
    steps = {part.step for part in parts if part.step}
    step = min(steps, default=_HOUR)
    odd = [part for part in parts if part.step % step]
    if odd:
        other = next(part for part in parts if part.step == step)
        journal.fault(
            f"steps differ: {step / _HOUR:g} h in {other.name}, {odd[0].step / _HOUR:g} h in "
            f"{odd[0].name} ({len(odd)} such files). Pass resample='1h' for means"
        )
    elif len(steps) > 1:
        journal.warn(
            f"steps are {listed(f'{s / _HOUR:g} h' for s in sorted(steps))}; all are put on the "
            "axis of the shortest"
        )
    phase = _phase(parts, step)
    places = [(part.start - phase + step // 2) // step for part in parts]
    shifts = [part.start - phase - at * step for part, at in zip(parts, places, strict=True)]
    moved = [part for part, shift in zip(parts, shifts, strict=True) if shift]
    if any(abs(shift) > TOLERANCE * step for shift in shifts):
        far = parts[int(np.argmax(np.abs(shifts)))]
        journal.fault(
            f"stamps lie between each other: those of {far.name}, {stamp(far.start)}, are off the "
            f"step of {step / _HOUR:g} h. Pass resample='1h' for means, or round the stamps"
        )
    elif moved:
        journal.warn(
            f"the stamps of {len(moved)} files are moved to the step of {step / _HOUR:g} h; for "
            f"example {moved[0].name}, from {stamp(moved[0].start)}"
        )
    return step, places


def _phase(parts: Sequence[Part], step: int) -> int:
    """Return where in a step most stamps lie, in ns."""
    phases: Counter[int] = Counter()
    for part in parts:
        phases[part.start % step] += part.steps
    return phases.most_common(1)[0][0]


def _stations(
    parts: Sequence[Part], reading: Reading, journal: Journal
) -> tuple[Names, dict[str, np.ndarray], list[Codes]]:
    """Return all stations, their coordinates, and the row of each station of each part.

    A station of many files is one that has many rows of a table: the same rules hold.
    """
    names = np.concatenate([part.stations for part in parts])
    longitude, latitude = (
        np.concatenate([part.places[role] for part in parts]).astype(np.float64)
        for role in ("longitude", "latitude")
    )
    identifiers, station = np.unique(names, return_inverse=True)
    if reading.split_moved:
        station, identifiers = split(station, identifiers, longitude, latitude, journal)
    out = left_out(station, identifiers, longitude, latitude, reading=reading, journal=journal)
    usable = ~out[station]
    rank = np.where(out, -1, np.cumsum(~out) - 1)
    own, identifiers = rank[station[usable]], identifiers[~out]
    positions = station_positions(
        own, longitude[usable], latitude[usable], identifiers=identifiers, journal=journal
    )
    journal.stop_if_faulty()
    places = dict(positions.coordinates())
    for name in dict.fromkeys(name for part in parts for name in part.places):
        if name not in places:
            places[name] = _first_known(name, parts, rank[station], identifiers.size)
    here = xr.Dataset(coords={STATION: identifiers, **{n: (STATION, a) for n, a in places.items()}})
    placed = sift(here, journal=journal, strict=reading.strict)
    final = np.searchsorted(placed[STATION].values, identifiers)
    final = np.where(np.isin(identifiers, placed[STATION].values), final, -1)
    rows = np.where(rank[station] < 0, -1, final[rank[station]])
    ends = np.cumsum([part.stations.size for part in parts])[:-1]
    coordinates = {name: placed[name].values for name in places}
    return placed[STATION].values, coordinates, list(np.split(rows, ends))


def _first_known(name: str, parts: Sequence[Part], rows: Codes, size: int) -> np.ndarray:
    """Return a coordinate of all stations, of the first part that has it."""
    known = [part.places[name] for part in parts if name in part.places]
    kind = np.result_type(*known)
    values = np.full(size, np.nan if kind.kind == "f" else np.zeros(1, kind)[0], kind)
    at = rows.size
    for part in reversed(parts):  # of repeated rows the first part's holds
        at -= part.stations.size
        own = rows[at : at + part.stations.size]
        if name in part.places:
            values[own[own >= 0]] = part.places[name][own >= 0]
    return values


def _warn_of_gaps(spans: Sequence[Span], times: Times, step: int, journal: Journal) -> None:
    """Say which hours no part covers."""
    gaps = list(_gaps(spans, times.size))
    if gaps:
        words = listed(
            (f"{stamp(times[a])} to {stamp(times[b - 1])} ({b - a} steps)" for a, b in gaps), 5
        )
        hours = sum(b - a for a, b in gaps) * step / _HOUR
        longest = max(b - a for a, b in gaps)
        hint = " Is a date wrong?" if longest > max(times.size / 2, 366 * 24 * _HOUR / step) else ""
        journal.warn(f"no file has {hours:.10g} of the hours, which are missing: {words}{hint}")


def _gaps(spans: Sequence[Span], size: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of steps that no part covers."""
    end = 0
    for span in sorted(spans, key=lambda span: span.first):
        if span.first > end:
            yield end, span.first
        end = max(end, span.first + (span.part.steps - 1) * span.stride + 1)
