"""Clocks that are wrong by whole hours: series that fit their neighbours' better when shifted.

A station's root, less its running mean over half a day, is compared with the mean of its
neighbours at each lag. The station that gains most by a shift is shifted first and its neighbours
are compared anew, so that one right clock among several wrong ones is recognised as such. In the
end each is compared once more with the stations whose clocks are right.
"""

from dataclasses import dataclass

import numpy as np

from aqreanalysis.network import StationNetwork
from aqreanalysis.observations.checks import Codes, Floats

#: Hours within which a shift is looked for: any time zone against another.
_WIDEST_HOURS = 14
#: Hours of the running mean: what is left changes faster than weather drifts over a network.
_MEAN_HOURS = 13
_NEIGHBOURS = 8
#: The latest steps, which are enough, and the fewest of a quarter of them that a lag is read from.
_MOST_HOURS, _FEWEST_STEPS = 8760, 60
#: Hours over which departures are correlated, and standard errors that a gain must exceed.
_ALIKE_HOURS, _ERRORS = 6, 0.75
#: Quarters of the time, of which three must agree.
_PARTS, _AGREE = 4, 3


@dataclass(frozen=True)
class Evidence:
    """What a shift must show: a correlation, a gain over none, hours, and how far quarters differ.

    Weather that drifts past a station at the edge of a network makes it late by an hour or two,
    by gains of up to 0.06 in the contiguous US: short shifts need near neighbours.
    """

    correlation: float
    gain: float
    hours: int
    tolerance_hours: int


_ENOUGH = (Evidence(0.5, 0.04, 1, 0), Evidence(0.35, 0.15, 3, 1))


@dataclass(frozen=True)
class Shift:
    """A station, by row, whose values are stamped ``hours`` later than those of the network.

    Both correlations are with the mean of its neighbours: when put right, and as it is.
    """

    row: int
    hours: int
    correlation: float
    unshifted: float


def clock_shifts(values: Floats, network: StationNetwork, *, step_hours: float) -> list[Shift]:
    """Return the stations that are shifted by whole hours against their neighbours.

    Values are (station, time); steps longer than an hour give no shifts.

    Examples
    --------
    >>> weather = np.cumsum(np.random.default_rng(0).normal(size=410)) ** 2
    >>> series = np.stack([weather[10:], weather[10:], weather[10:], weather[7:-3]])
    >>> network = StationNetwork(10 + 0.1 * np.arange(4), np.full(4, 50.0))
    >>> [(shift.row, shift.hours) for shift in clock_shifts(series, network, step_hours=1.0)]
    [(3, 3)]
    """
    per_hour = round(1 / step_hours) if step_hours <= 1 else 0
    if per_hour == 0 or network.size < 3 or values.shape[1] < _PARTS * _FEWEST_STEPS:
        return []
    departures = _departures(values[:, -_MOST_HOURS * per_hour :], _MEAN_HOURS * per_hour)
    lags = per_hour * np.arange(-_WIDEST_HOURS, _WIDEST_HOURS + 1)
    right = _likely_right(departures, network, lags)
    suspects = np.setdiff1d(np.arange(network.size), right)
    shifts: list[Shift] = []
    for _ in range(2):  # a suspect that is cleared is a witness in the second round
        shifts = []
        for row in suspects:
            witnesses = right[right != row]
            trusted = network.part(witnesses)
            near = trusted.neighbours(
                network.longitude[[row]],
                network.latitude[[row]],
                k=min(_NEIGHBOURS, witnesses.size),
            ).index[0]
            correlations = _compared(departures, row, witnesses[near], lags)
            gain, steps = _gain(correlations, lags, departures.shape[1])
            if gain > 0:
                at_none, at_best = (float(correlations[0, lags == lag][0]) for lag in (0, steps))
                shifts.append(Shift(int(row), steps // per_hour, at_best, at_none))
        right = np.setdiff1d(np.arange(network.size), [shift.row for shift in shifts])
    return shifts


def _likely_right(departures: Floats, network: StationNetwork, lags: Codes) -> Codes:
    """Return the stations with the most common clock, each shifted as it correlates best."""
    near = network.station_neighbours(k=min(_NEIGHBOURS, network.size - 1)).index
    shifted = departures.copy()
    shifts = np.zeros(network.size, dtype=np.intp)
    gains: dict[int, tuple[float, int]] = {}
    again = set(range(network.size))
    for _ in range(2 * network.size):
        for row in again:
            gains[row] = _gain(_compared(shifted, row, near[row], lags), lags, shifted.shape[1])
        row = max(gains, key=lambda row: gains[row][0])
        gain, steps = gains[row]
        if gain <= 0:
            break
        shifts[row] += steps
        shifted[row] = _later(shifted[row], -steps)
        again = {row, *np.flatnonzero((near == row).any(axis=1)).tolist()}
    values, counts = np.unique(shifts, return_counts=True)
    return np.flatnonzero(shifts == values[np.argmax(counts)])


def _departures(values: Floats, steps: int) -> Floats:
    """Return the roots less their running mean, in units of each station's scatter, clipped."""
    root = np.sqrt(np.maximum(values, 0.0))
    known = ~np.isnan(root)
    # Ones before the first step make the difference of two sums a sum of `steps` of them.
    before = ((0, 0), (steps // 2 + 1, steps // 2))
    total, count = (
        np.cumsum(np.pad(np.where(known, part, 0.0), before), axis=1) for part in (root, 1.0)
    )
    mean = (total[:, steps:] - total[:, :-steps]) / np.maximum(
        count[:, steps:] - count[:, :-steps], 1
    )
    departures = np.where(known, root - mean, np.nan)
    size = np.where(known, np.abs(departures), 0.0)
    usual = size.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.clip(departures / np.maximum(usual, 1e-9), -4, 4)  # an outlier is no evidence


def _compared(departures: Floats, row: int, near: Codes, lags: Codes) -> Floats:
    """Return correlations of a station with its neighbours, of all and by part, (1 + part, lag).

    NaN where there are too few steps.
    """
    others = departures[near[near >= 0]]
    known = ~np.isnan(others)
    count = known.sum(axis=0)
    mean = np.where(known, others, 0.0).sum(axis=0) / np.maximum(count, 1)
    starts = np.arange(_PARTS) * (departures.shape[1] // _PARTS)
    sums = np.empty((4, _PARTS, lags.size))
    for at, lag in enumerate(lags):
        own = _later(departures[row], -lag)
        both = ~np.isnan(own) & (count > 0)
        x, y = np.where(both, own, 0.0), np.where(both, mean, 0.0)
        for number, product in enumerate((x * y, x * x, y * y, both.astype(float))):
            sums[number, :, at] = np.add.reduceat(product, starts)
    sums = np.concatenate([sums.sum(axis=1, keepdims=True), sums], axis=1)
    norm = np.sqrt(sums[1] * sums[2])
    enough = (sums[3] >= _FEWEST_STEPS) & (norm > 0)
    return np.where(enough, sums[0] / np.where(enough, norm, 1.0), np.nan)


def _gain(correlations: Floats, lags: Codes, steps: int) -> tuple[float, int]:
    """Return the gain in correlation at a station's best lag, 0 if not certain, and the lag."""
    per_hour = int(lags[1] - lags[0])
    least = _ERRORS * np.sqrt(_ALIKE_HOURS * per_hour / steps)
    zero = int(np.flatnonzero(lags == 0)[0])
    whole, parts = correlations[0], correlations[1:]
    if np.isnan(whole[zero]):
        return 0.0, 0
    best = int(np.nanargmax(whole))
    known = ~np.isnan(parts).all(axis=1)
    differ = np.abs(lags[np.where(np.isnan(parts), -np.inf, parts).argmax(axis=1)] - lags[best])
    gain = float(whole[best] - whole[zero])
    for need in _ENOUGH:
        agree = int((known & (differ <= need.tolerance_hours * per_hour)).sum())
        if (
            whole[best] >= need.correlation
            and gain >= max(need.gain, least)
            and abs(lags[best]) >= need.hours * per_hour
            and agree >= _AGREE
        ):
            return gain, int(lags[best])
    return 0.0, 0


def _later(series: Floats, steps: int) -> Floats:
    """Return a series moved some steps later, NaN where it has no values."""
    moved = np.full(series.shape, np.nan)
    if abs(steps) < series.size:
        moved[max(steps, 0) : series.size + min(steps, 0)] = series[
            max(-steps, 0) : series.size - max(steps, 0)
        ]
    return moved
