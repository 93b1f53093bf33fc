"""One regular time axis for the stamps of all stations."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.observations.journal import Journal

_MINUTE = 60_000_000_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

#: Steps that networks report at, in ns; an unsteady clock is taken for the nearest of them.
_USUAL_STEPS = np.array(
    [m * _MINUTE for m in (1, 2, 5, 10, 15, 20, 30)]
    + [h * _HOUR for h in (1, 2, 3, 4, 6, 8, 12)]
    + [d * _DAY for d in (1, 2, 3, 6, 7)]
)

#: Fewest of the differences that must be the step; fewer are stray stamps.
_SHARE = 0.1

#: A stamp may lie this share of a step off the axis; it is moved and the move is logged.
_TOLERANCE = 0.1

#: Cells of one variable, (station, time), above which a date must be wrong: 8 GB of float32.
_MOST_CELLS = 2**31

Stamps = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """A regular time axis and the place of every row on it.

    Parameters
    ----------
    times : ndarray of datetime64[ns], (time,)
        Regular and increasing, in UTC.
    position : ndarray of int64, (row,)
        Where on the axis each row is.
    step_hours : float
        Hours from one stamp to the next.
    """

    times: NDArray[np.datetime64]
    position: NDArray[np.int64]
    step_hours: float


def regular_axis(
    time: NDArray[np.datetime64],
    station: NDArray[np.intp],
    *,
    identifiers: NDArray[np.str_],
    journal: Journal,
) -> Axis:
    """Return the regular axis that holds the stamps of all stations.

    The step is the one between the stamps of single stations, so that two stations on different
    half hours do not look like a half-hourly network. A stamp within a tenth of a step of the
    axis is moved onto it, and the move is logged; one farther off is a fault.

    Parameters
    ----------
    time : ndarray of datetime64[ns], (row,)
        Stamps in UTC, in any order; none is missing.
    station : ndarray of int, (row,)
        The row's station, as an index of ``identifiers``.
    identifiers : ndarray of str, (station,)
        For messages.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    Axis

    Examples
    --------
    >>> time = np.array(["2020-01-01T03", "2020-01-01T00", "2020-01-01T01"], "datetime64[ns]")
    >>> axis = regular_axis(
    ...     time, np.zeros(3, int), identifiers=np.array(["A"]), journal=Journal("table")
    ... )
    >>> axis.step_hours, axis.times.size, axis.position
    (1.0, 4, array([3, 0, 1]))
    """
    stamps = np.asarray(time, dtype="datetime64[ns]").astype(np.int64)
    codes, uniques = pd.factorize(stamps)
    step = _step(codes, uniques, station, journal)
    phase = _phase(uniques, step)
    place = (uniques - phase + step // 2) // step
    shift = uniques - phase - place * step
    _check_shifts(shift, codes, uniques, station, identifiers, step=step, journal=journal)
    first, last = int(place.min()), int(place.max())
    if (last - first + 1) * len(identifiers) > _MOST_CELLS:
        journal.fault(
            f"time runs from {_words(uniques.min())} to {_words(uniques.max())} in steps of "
            f"{step / _HOUR:g} h, too long for {len(identifiers)} stations: is a date wrong?"
        )
        last = first
    _warn_of_gap(np.unique(place), step, phase, journal)
    times = (np.arange(first, last + 1, dtype=np.int64) * step + phase).astype("datetime64[ns]")
    return Axis(times, (place - first)[codes], step / _HOUR)


def _step(
    codes: NDArray[np.intp], uniques: Stamps, station: NDArray[np.intp], journal: Journal
) -> int:
    """Return the step of the axis, in ns."""
    steps = _steps_within_stations(codes, uniques, station)
    if steps.size == 0:
        journal.decide("every station has a single stamp: the step is taken as 1 h")
        return _HOUR
    lengths, counts = np.unique(steps, return_counts=True)
    usual = int(lengths[np.argmax(counts)])
    divisor = int(np.gcd.reduce(lengths))
    if divisor == lengths[0] and counts[0] >= _SHARE * counts.sum():
        return divisor
    if divisor == _DAY or (divisor == _HOUR and usual < _DAY):
        return divisor
    settled = counts.max() >= 0.5 * counts.sum()
    typical = usual if settled else float(np.median(steps))
    nearest = int(_USUAL_STEPS[np.argmin(np.abs(np.log(_USUAL_STEPS / typical)))])
    far = abs(nearest - typical) > _TOLERANCE * nearest
    return usual if settled and far else nearest


def _steps_within_stations(
    codes: NDArray[np.intp], uniques: Stamps, station: NDArray[np.intp]
) -> Stamps:
    """Return the differences of subsequent stamps of each station, all stations together."""
    order = np.argsort(uniques)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    keys = np.sort(pd.unique(np.asarray(station, np.int64) * uniques.size + rank[codes]))
    stamps = uniques[order][keys % uniques.size]
    same = np.diff(keys // uniques.size) == 0
    return np.diff(stamps)[same]


def _phase(uniques: Stamps, step: int) -> int:
    """Return where in a step the stamps lie, in ns."""
    phases, counts = np.unique(uniques % step, return_counts=True)
    if counts.max() >= 0.5 * counts.sum():
        return int(phases[np.argmax(counts)])
    angle = np.angle(np.exp(2j * np.pi * (uniques % step) / step).mean()) / (2 * np.pi)
    return int(round(angle * 12) % 12 * step // 12)


def _check_shifts(
    shift: Stamps,
    codes: NDArray[np.intp],
    uniques: Stamps,
    station: NDArray[np.intp],
    identifiers: NDArray[np.str_],
    *,
    step: int,
    journal: Journal,
) -> None:
    """Log the stamps that are moved, and keep a fault for those too far off."""
    for wrong, is_fault in (
        (np.abs(shift) > _TOLERANCE * step, True),
        ((shift != 0) & (np.abs(shift) <= _TOLERANCE * step), False),
    ):
        if not wrong.any():
            continue
        rows = np.flatnonzero(wrong[codes])
        first = int(rows[np.argmin(uniques[codes[rows]])])
        where = f"station {identifiers[station[first]]}, {_words(uniques[codes[first]])}"
        minutes = f"{abs(shift[codes[first]]) / _MINUTE:.3g} min"
        if is_fault:
            journal.fault(
                f"stamps are irregular: {where} is {minutes} off the step of {step / _HOUR:g} h "
                f"({rows.size} such rows). Average or round the stamps first"
            )
        else:
            journal.warn(
                f"{rows.size} stamps moved to the regular step of {step / _HOUR:g} h; "
                f"for example {where}, by {minutes}"
            )


def _warn_of_gap(place: Stamps, step: int, phase: int, journal: Journal) -> None:
    """Warn where no station reports for most of the axis and more than a year."""
    if place.size < 2:
        return
    gaps = np.diff(place)
    at = int(np.argmax(gaps))
    if gaps[at] * step > 366 * _DAY and gaps[at] > 0.5 * (place[-1] - place[0]):
        start, end = (_words(place[i] * step + phase) for i in (at, at + 1))
        journal.warn(f"no station reports from {start} to {end}: is a date wrong?")


def _words(stamp: int) -> str:
    """Return a stamp for a message."""
    return f"{np.datetime_as_string(np.datetime64(int(stamp), 'ns'), unit='s')[:16]} UTC"
