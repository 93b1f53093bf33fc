"""Some weeks of all stations: joined from the parts, judged, and written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.observations.archive.joining import Whole
from aqreanalysis.observations.checks.codes import code_places, is_possible
from aqreanalysis.observations.checks.plausibility import Suspicion, suspicions, without
from aqreanalysis.observations.combining import Conflicts, conflict_words, joined
from aqreanalysis.observations.contract import DIMENSIONS
from aqreanalysis.observations.sources.options import Duplicates


@dataclass(frozen=True)
class Written:
    """What was found in a block: how many values are left of each variable, and what was said.

    ``conflicts`` are (variable, count, words); ``codes`` gives for a variable and its missing code
    the rows of the stations that have it: all, where no air can hold it.
    """

    start: int
    counts: Mapping[str, int]
    ranges: Mapping[str, tuple[float, float]]
    repeated: Mapping[str, int]
    conflicts: Sequence[tuple[str, int, str]]
    suspicions: Sequence[Suspicion]
    codes: Mapping[tuple[str, float], frozenset[int]]


def write_block(store: Path, whole: Whole, rule: Duplicates, start: int, stop: int) -> Written:
    """Write the hours from one to before another of all parts, and say what was found in them."""
    dataset, repeated, conflicts = _joined(whole, rule, start, stop)
    suspect = suspicions(dataset, factors=whole.factors)
    suspect = [one for one in suspect if one.variable is not None]
    codes = {}
    for one in suspect:
        if one.kind == "missing_code" and one.variable is not None:
            value = float(dataset[one.variable].values[one.where][0])
            rows = one.stations if is_possible(value, one.variable) else range(whole.stations.size)
            codes[one.variable, value] = frozenset(map(int, rows))
    left = without(dataset, suspect)
    _write(left, store, start, stop)
    without_places = [
        Suspicion(o.kind, o.variable, o.stations[:0], o.what, o.remedy, o.cost) for o in suspect
    ]
    return Written(
        start,
        {str(name): int(array.count()) for name, array in left.data_vars.items()},
        {str(name): _ends(array.values) for name, array in left.data_vars.items()},
        repeated,
        conflicts,
        without_places,
        codes,
    )


def mask_codes(
    store: Path, codes: Mapping[tuple[str, float], Collection[int]], start: int, stop: int
) -> dict[str, int]:
    """Make missing what is a code of stations in other blocks; return the values lost of each."""
    masked: dict[str, int] = {}
    with xr.open_zarr(store, chunks=None, consolidated=False) as stored:
        block = stored[sorted({name for name, _ in codes})].isel({TIME: slice(start, stop)}).load()
    for (name, code), rows in codes.items():
        where = code_places(block[name].values, code)
        where[np.setdiff1d(np.arange(len(where)), list(rows))] = False
        if where.any():
            block[name] = block[name].where(~where)
            masked[name] = masked.get(name, 0) + int(where.sum())
    if masked:
        _write(block, store, start, stop)
    return masked


def _joined(
    whole: Whole, rule: Duplicates, start: int, stop: int
) -> tuple[xr.Dataset, dict[str, int], list[tuple[str, int, str]]]:
    """Return the values of all parts within some hours, and what stands in several of them."""
    pieces: dict[str, list] = {name: [] for name in whole.attributes}
    for span in whole.spans:
        first, last = span.within(start, stop)
        columns = span.first - start + np.arange(first, last) * span.stride
        present = span.rows >= 0
        values = span.part.read(first, last)
        for name, own in zip(span.part.attributes, values, strict=True):
            pieces[name].append((span.rows[present], columns, own[present]))
    shape = whole.stations.size, stop - start
    times = whole.times[start:stop]
    conflicts: Conflicts = "first" if rule == "error" else rule
    variables, repeated, differing = {}, {}, []
    for name, parts in pieces.items():
        values, count, differ = joined(parts, shape, np.dtype(np.float32), conflicts)
        again = int(np.count_nonzero((count > 1) & ~differ))
        if again:
            repeated[name] = again
        if differ.any():
            words = conflict_words(name, differ, whole.stations, times)
            differing.append((name, int(differ.sum()), words))
            values = np.where(differ, np.nan, values) if rule == "error" else values
        variables[name] = (DIMENSIONS, values, dict(whole.attributes[name]))
    places = {n: (STATION, whole.places[n]) for n in ("longitude", "latitude")}
    label = {"time_label": whole.label, "step_hours": whole.step_hours}
    coordinates = {STATION: whole.stations, TIME: (TIME, times, label), **places}
    return xr.Dataset(variables, coordinates), repeated, differing


def _ends(values: NDArray) -> tuple[float, float]:
    """Return the lowest and the highest value, NaN where there is none."""
    return tuple(float(end.reduce(values, axis=None)) for end in (np.fmin, np.fmax))  # type: ignore[return-value]


def _write(block: xr.Dataset, store: Path, start: int, stop: int) -> None:
    """Write the values of some hours, which are whole blocks of the store."""
    bare = block.drop_vars(list(block.coords)).drop_attrs(deep=False).drop_encoding()
    bare.to_zarr(store, region={TIME: slice(start, stop)}, consolidated=False, zarr_format=2)
