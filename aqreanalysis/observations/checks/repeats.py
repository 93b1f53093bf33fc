"""Missing codes amid measurements: a number that repeats, and does not follow from what is beside.

Concentrations change little from hour to hour: before and after a measured value stand values like
it. A code for missing stands between values of any level. So the distances of the values beside a
number are ranked among those of all values of the station: measurements have low ranks, a code
those of chance, 0.5 on average. Zeros of clean air, a detection limit, a full scale and the steps
of a coarse instrument have values like them beside them and are never taken.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aqreanalysis.observations.checks import Codes, Floats, Mask
from aqreanalysis.observations.checks.units import usual_factors

#: Numbers that are written for "no value" and may be measurements.
_NUMBERS = (0.0, -1.0, *(s * n for s in (1, -1) for n in (9, 99, 999, 9999, 99.9, 999.9)))
_NUMBERS += (777.0, 7777.0, 888.0, 8888.0, 985.0, 995.0, 9985.0)

#: How often a number stands at a station that is looked at: at least, as a multiple of the numbers
#: next to it, and how many of these to each side; of usual codes, and of any other number.
_USUAL, _ANY = (5, 1.5, 2), (10, 4.0, 12)
#: Mean rank of a code; the share of the way from that of measurements of its level to that of
#: chance; in standard errors. Of four million values of the US, China and Europe none has 0.4.
_RANK, _CHANCE, _SHARE, _SIGMAS = 0.4, 0.5, 0.6, 4.0
#: Steps within which a value beside tells something.
_REACH = 6
#: In noise all ranks are those of chance: there a usual code, among higher and lower values, must
#: stand out from more of them.
_AMONG_NOISE = (15, 4.0, 12)
#: A station with fewer other values is not judged.
_FEWEST = 50


def repeated_codes(values: Floats, variable: str) -> dict[float, Mask]:
    """Return the probable missing codes amid the values of a variable, and where they stand.

    A code is looked for at each station, then at the others that have its number together.

    Examples
    --------
    >>> hours = np.arange(400)
    >>> series = 30 + 20 * np.sin(hours / 20) + np.sin(hours)
    >>> series[::40] = 0.0
    >>> {code: int(where.sum()) for code, where in repeated_codes(series[None], "pm25").items()}
    {0.0: 10}
    """
    usual = np.unique([n * f for n in _NUMBERS for f in usual_factors(variable)]).astype(np.float32)
    codes: dict[float, Mask] = {}
    rest: dict[float, list[tuple[int, Floats, Floats]]] = {}

    def add(value: float, rows: list[int]) -> None:
        where = codes.setdefault(value, np.zeros(values.shape, dtype=bool))
        where[rows] = values[rows] == value

    for row, series in enumerate(values):
        for value, is_usual, is_frequent, is_heap in _candidates(series, usual):
            ranks = _ranks(series, value)
            if is_frequent and (_is_code(*ranks) or (is_heap and ranks[0].mean() >= _RANK)):
                add(value, [row])
            elif is_usual:
                rest.setdefault(value, []).append((row, *ranks))
    for value, parts in rest.items():
        rows, beside, others = zip(*parts, strict=True)
        if _is_code(np.concatenate(beside), np.concatenate(others)):
            add(value, list(rows))
    return codes


def _candidates(
    series: Floats, usual: NDArray[np.float32]
) -> Iterator[tuple[float, bool, bool, bool]]:
    """Yield numbers to be looked at: if they are usual codes, frequent, and a heap in noise."""
    numbers, counts = np.unique(series[~np.isnan(series)], return_counts=True)
    total = counts.sum()
    as_usual = usual.searchsorted(rounded := numbers.astype(np.float32))
    is_usual = usual[np.minimum(as_usual, usual.size - 1)] == rounded
    padded = np.pad(counts, 1)
    is_peak = counts >= np.maximum(_ANY[0], _ANY[1] * np.maximum(padded[:-2], padded[2:]))
    for at in np.flatnonzero((is_usual | is_peak) & (total - counts >= _FEWEST)).tolist():
        rule = _USUAL if is_usual[at] else _ANY
        is_frequent = _stands_out(numbers, counts, at, *rule)
        if is_frequent or (is_usual[at] and _stands_out(numbers, counts, at, 1, 1.0, _USUAL[2])):
            is_amid = counts[:at].sum() >= 0.01 * total
            is_heap = is_amid and is_usual[at] and _stands_out(numbers, counts, at, *_AMONG_NOISE)
            yield float(numbers[at]), bool(is_usual[at]), is_frequent, bool(is_heap)


def _stands_out(
    numbers: Floats, counts: Codes, at: int, least: int, times: float, next_to: int
) -> bool:
    """Return whether a number is more frequent than those next to it, and one more or less."""
    near = [*counts[max(at - next_to, 0) : at], *counts[at + 1 : at + 1 + next_to]]
    near += counts[np.isin(numbers, numbers[at] + np.array([-1.0, 1.0]))].tolist()
    return bool(counts[at] >= max(least, times * max(near, default=0)))


def _ranks(series: Floats, value: float) -> tuple[Floats, Floats]:
    """Return the ranks of the values beside a number, and of those beside measurements like it."""
    is_other = ~np.isnan(series) & (series != value)
    place = np.flatnonzero(is_other)
    distance = np.abs(series[place] - value)
    ordered = np.sort(distance)
    places = [np.searchsorted(ordered, distance, side) for side in ("left", "right")]  # of ties
    rank = np.add(*places) / (2.0 * ordered.size)

    def beside(steps: np.ndarray) -> Floats:
        before = np.searchsorted(place, steps, "left") - 1
        after = np.searchsorted(place, steps, "right")
        chosen = [
            own[inside][np.abs(place[own[inside]] - steps[inside]) <= _REACH]
            for own in (before, after)
            for inside in [(own >= 0) & (own < place.size)]
        ]
        return np.concatenate([rank[np.unique(own)] for own in chosen])

    nearest = distance <= ordered[min(max(ordered.size // 20, 20), ordered.size - 1)]
    return beside(np.flatnonzero(series == value)), beside(place[nearest])


def _is_code(beside: Floats, others: Floats) -> bool:
    """Return whether what stands beside a number is of any level, and beside others of theirs."""
    if beside.size < _USUAL[0] or not others.size:
        return False
    more = float(beside.mean() - others.mean())
    error = max(float(beside.std()), 0.1) / np.sqrt(beside.size)
    return bool(
        beside.mean() >= _RANK
        and more >= _SHARE * (_CHANCE - others.mean())
        and more >= _SIGMAS * error
    )
