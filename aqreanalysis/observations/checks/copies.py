"""Stations that hold the same numbers, also some hours apart: one monitor under two names."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

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
    prints = [_fingerprints(series) for series in np.asarray(values, dtype=np.float32)]
    keys = np.concatenate([own[0] for own in prints] or [np.empty(0, np.uint64)])
    place = np.concatenate([own[1] for own in prints] or [np.empty(0, np.int64)])
    row = np.repeat(np.arange(len(prints)), [own[0].size for own in prints])
    order = np.argsort(keys, kind="stable")  # rows ascend within equal keys
    new = keys[order][1:] != keys[order][:-1]
    starts: Codes = np.flatnonzero(np.concatenate([[True], new, [True]]))
    votes: Counter[tuple[int, int, int]] = Counter()
    for begin, end in pairwise(starts):
        if not 2 <= end - begin <= _MOST_SHARED:
            continue
        members = order[begin:end]
        for at, one in enumerate(members):
            for other in members[at + 1 :]:
                lag = int(place[other] - place[one])
                if row[one] != row[other] and abs(lag) <= _LONGEST_LAG:
                    votes[int(row[one]), int(row[other]), lag] += 1
    best: dict[tuple[int, int], int] = {}
    for (one, other, lag), count in sorted(votes.items(), key=lambda vote: -vote[1]):
        if count >= 2:
            best.setdefault((one, other), lag)
    compared = [_compared(values, one, other, lag) for (one, other), lag in sorted(best.items())]
    return [copy for copy in compared if copy is not None]


def _fingerprints(series: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Return keys of runs of values, and where they begin; gaps and flat runs have none."""
    nothing = np.empty(0, np.uint64), np.empty(0, np.int64)
    if series.size < _LENGTH:
        return nothing
    windows = np.lib.stride_tricks.sliding_window_view(series, _LENGTH)  # (time, value)
    changes = (windows[:, 1:] != windows[:, :-1]).sum(axis=1)
    usable = np.flatnonzero(~np.isnan(windows).any(axis=1) & (changes >= _FEWEST_DIFFERENT))
    if not usable.size:
        return nothing
    weights = np.random.default_rng(0).integers(1, 2**63, _LENGTH, dtype=np.uint64) | np.uint64(1)
    bits = np.ascontiguousarray(windows[usable]).view(np.uint32).astype(np.uint64)
    keys = (bits * weights).sum(axis=1, dtype=np.uint64)
    keys ^= keys >> np.uint64(29)
    every = max(series.size // _FINGERPRINTS, 1)
    chosen = keys % np.uint64(every) == 0
    return keys[chosen], usable[chosen]


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
