"""Stations that hold the same numbers, also some hours apart: one monitor under two names."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aqreanalysis.observations.checks import Codes, Floats

#: Values in a row that are compared at once; with three different ones they are a fingerprint.
_LENGTH, _FEWEST_DIFFERENT = 6, 3
#: Fingerprints compared per series, chosen by their own hash, so that equal ones are chosen alike.
_FINGERPRINTS = 500
#: A fingerprint shared by more series is common to instruments and no sign of a copy.
_MOST_SHARED = 6
#: Fewest hours that two stations have in common, and the share of them that must be equal.
_FEWEST_HOURS, _EQUAL_SHARE = 24, 0.9
#: No known cause makes a lag beyond a day.
_LONGEST_LAG = 24
#: Values of which fingerprints are made at once.
_AT_ONCE = 2**20


@dataclass(frozen=True)
class Copy:
    """Two stations by row, of which the second has the numbers of the first, ``lag`` steps later.

    At that lag ``equal`` of the ``common`` values are the same.
    """

    first: int
    second: int
    lag: int
    equal: int
    common: int


def copies(values: Floats) -> list[Copy]:
    """Return the pairs of stations, in order, that hold the same values at nine hours in ten.

    Values are (station, time).

    Examples
    --------
    >>> series = np.random.default_rng(0).gamma(2.0, 10.0, 49)
    >>> found = copies(np.stack([series[1:], series[:-1]]))
    >>> [(one.first, one.second, one.lag, one.equal) for one in found]
    [(0, 1, 1, 47)]
    """
    series: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
    some = max(_AT_ONCE // max(series.shape[1], 1), 1)
    prints = [_fingerprints(series[at : at + some], at) for at in range(0, len(series), some)]
    row, place, keys = (np.concatenate(part) for part in zip(*prints, strict=True))
    ordered = np.sort(keys)
    shared = np.isin(keys, ordered[1:][ordered[1:] == ordered[:-1]])  # a few of very many
    row, place, keys = row[shared], place[shared], keys[shared]
    order = np.argsort(keys, kind="stable")  # rows ascend within equal keys
    new = keys[order][1:] != keys[order][:-1]
    starts: Codes = np.flatnonzero(np.concatenate([[True], new, [True]]))
    votes: Counter[tuple[int, int, int]] = Counter()
    sizes = np.diff(starts)
    for at in np.flatnonzero((sizes >= 2) & (sizes <= _MOST_SHARED)):
        members = order[starts[at] : starts[at + 1]]
        for rank, one in enumerate(members):
            for other in members[rank + 1 :]:
                lag = int(place[other] - place[one])
                if row[one] != row[other] and abs(lag) <= _LONGEST_LAG:
                    votes[int(row[one]), int(row[other]), lag] += 1
    best: dict[tuple[int, int], int] = {}
    for (one, other, lag), count in sorted(votes.items(), key=lambda vote: -vote[1]):
        if count >= 2:
            best.setdefault((one, other), lag)
    compared = [_compared(values, one, other, lag) for (one, other), lag in sorted(best.items())]
    return [copy for copy in compared if copy is not None]


def _fingerprints(
    series: NDArray[np.float32], first: int
) -> tuple[Codes, Codes, NDArray[np.uint64]]:
    """Return rows, places and keys of runs of values (series, time); gaps and flat ones have none.

    ``first`` is the row of the first series.
    """
    count = max(series.shape[1] - _LENGTH + 1, 0)
    weights = np.random.default_rng(0).integers(1, 2**63, _LENGTH, dtype=np.uint64) | np.uint64(1)
    bits, missing = np.ascontiguousarray(series).view(np.uint32), np.isnan(series)
    change = series[:, 1:] != series[:, :-1]
    keys = np.zeros((len(series), count), np.uint64)
    usable, changes = np.ones(keys.shape, bool), np.zeros(keys.shape, np.int8)
    for step, weight in enumerate(weights):
        keys += bits[:, step : step + count] * weight
        usable &= ~missing[:, step : step + count]
        if step < _LENGTH - 1:
            changes += change[:, step : step + count]
    keys ^= keys >> np.uint64(29)
    every = max(series.shape[1] // _FINGERPRINTS, 1)
    usable &= (changes >= _FEWEST_DIFFERENT) & (keys % np.uint64(every) == 0)
    row, place = np.nonzero(usable)
    return row + first, place, keys[usable]


def _compared(values: Floats, first: int, second: int, lag: int) -> Copy | None:
    """Return the two as a copy if they are the same at nine common hours in ten."""
    one, other = np.asarray(values[first]), np.asarray(values[second])
    earlier = one[max(-lag, 0) : one.size - max(lag, 0)]
    later = other[max(lag, 0) : other.size - max(-lag, 0)]
    common = ~(np.isnan(earlier) | np.isnan(later))
    equal = common & (earlier == later)
    counts = int(equal.sum()), int(common.sum())
    if counts[1] < _FEWEST_HOURS or counts[0] < _EQUAL_SHARE * counts[1]:
        return None
    return Copy(first, second, lag, *counts)
