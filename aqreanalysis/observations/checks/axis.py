"""The regular time axis of the stamps of all stations."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.observations.checks import Codes, Mask, Names, Times
from aqreanalysis.observations.journal import Journal

_MINUTE = 60_000_000_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

#: Steps that networks report at, in ns; an unsteady clock is rounded to the nearest of them.
_USUAL_STEPS = np.array(
    [m * _MINUTE for m in (1, 2, 5, 10, 15, 20, 30)]
    + [h * _HOUR for h in (1, 2, 3, 4, 6, 8, 12)]
    + [d * _DAY for d in (1, 2, 3, 6, 7)]
)

#: Smallest share of the differences that must equal the step; fewer are stray stamps.
_SHARE = 0.1

#: A stamp may lie this share of a step off the axis; it is moved and the move is logged.
TOLERANCE = 0.1

#: Cells (station, time) that any table may spread over: 256 MB of float32 a variable.
FREE_CELLS = 2**26

#: Above that, cells per row: with fewer values than this, a date is wrong; no network is so sparse.
CELLS_A_ROW = 250

#: A gap of more than a year and half of the axis beyond which so small a share of the rows lies, or
#: one row beside so many others, is a wrong date.
_YEAR, _FEW, _ONE_OF = 366 * _DAY, 0.01, 24

Stamps = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """A regular time axis, (time,) in UTC, the position on it of every row, and its step.

    The position is -1 where a row is left out, since its stamp is off the axis or years away.
    """

    times: Times
    position: NDArray[np.int64]
    step_hours: float


def regular_axis(
    time: Times,
    station: Codes,
    *,
    identifiers: Names,
    journal: Journal,
    width: int = 1,
    step_hours: float | None = None,
) -> Axis:
    """Return the regular axis that holds the stamps of all rows, in any order and none missing.

    The step is the one between the stamps of single stations, so that two stations on different
    half hours do not look like a half-hourly network. A stamp within a tenth of a step of the
    axis is moved onto it, and the move is logged; one farther off is a fault, and so is one that
    is years from all others. ``station`` is the
    row's station as an index of ``identifiers``; ``width`` is the number of values of a row, and
    ``step_hours`` the step where it is known. An axis that would take far more memory than there
    are rows is a fault.

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
    known = round(step_hours * _HOUR) if step_hours else 0
    step = known or _step(codes, uniques, station, journal)
    phase = _phase(uniques, step)
    place = (uniques - phase + step // 2) // step
    shift = uniques - phase - place * step
    stray = _check_shifts(shift, codes, uniques, station, identifiers, step=step, journal=journal)
    stray |= _years_away(place, codes, uniques, station, identifiers, step, journal)
    within = place[~stray] if not stray.all() else place
    first, last = int(within.min()), int(within.max())
    cells = (last - first + 1) * len(identifiers) * width
    if cells > max(FREE_CELLS, CELLS_A_ROW * codes.size * width):
        lone = _lone_row(place, codes)
        journal.fault(
            f"time runs from {_text(uniques.min())} to {_text(uniques.max())} in steps of "
            f"{step / _HOUR:.6g} h, too long for {len(identifiers) * width} stations with "
            f"{codes.size} rows: is a date wrong? The stamp farthest from others is of station "
            f"{identifiers[station[lone]]}, {_text(uniques[codes[lone]])}. Correct it, or read a "
            "part of the table"
        )
        last = first
    _warn_of_gap(np.unique(within), step, phase, journal)
    times = (np.arange(first, last + 1, dtype=np.int64) * step + phase).astype("datetime64[ns]")
    position = np.where(stray, -1, place - first)
    return Axis(times, position[codes], step / _HOUR)


def _step(codes: Codes, uniques: Stamps, station: Codes, journal: Journal) -> int:
    """Return the step of the axis, in ns, from the differences within stations.

    ============================================  =====================================
    differences                                   step
    ============================================  =====================================
    none: single stamps                           1 h
    their divisor is the shortest, 10 % of all    the divisor (a network with gaps)
    their divisor is a day                        a day (samples every third or sixth day)
    their divisor is an hour, the mode below 24   an hour (3-hourly with a few odd hours)
    half or more equal, no usual step in reach    the mode (say 50 minutes)
    half or more equal, near a usual step         that usual step (a few stray stamps)
    all different                                 the usual step nearest to their median
    ============================================  =====================================
    """
    steps = _steps_within_stations(codes, uniques, station)
    if steps.size == 0:
        journal.decide("every station has a single stamp: the step is taken as 1 h")
        return _HOUR
    lengths, counts = np.unique(steps, return_counts=True)
    mode = int(lengths[np.argmax(counts)])
    divisor = int(np.gcd.reduce(lengths))
    if divisor == lengths[0] and counts[0] >= _SHARE * counts.sum():
        return divisor
    if divisor == _DAY or (divisor == _HOUR and mode < _DAY):
        return divisor
    has_mode = counts.max() >= 0.5 * counts.sum()
    typical = mode if has_mode else float(np.median(steps))
    nearest = int(_USUAL_STEPS[np.argmin(np.abs(np.log(_USUAL_STEPS / typical)))])
    usual = abs(nearest - typical) <= TOLERANCE * nearest
    return mode if has_mode and not usual else nearest


def _steps_within_stations(codes: Codes, uniques: Stamps, station: Codes) -> Stamps:
    """Return the differences of subsequent stamps of each station, all stations together."""
    order = np.argsort(uniques)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    # Files are mostly in the order of stations and stamps, which a stable sort takes advantage of.
    keys = np.sort(np.asarray(station, np.int64) * uniques.size + rank[codes], kind="stable")
    at, place = np.divmod(keys, uniques.size)
    steps = np.diff(uniques[order][place])
    return steps[(np.diff(at) == 0) & (steps > 0)]


def _phase(uniques: Stamps, step: int) -> int:
    """Return where in a step the stamps lie, in ns."""
    phases, counts = np.unique(uniques % step, return_counts=True)
    if counts.max() >= 0.5 * counts.sum():
        return int(phases[np.argmax(counts)])
    angle = np.angle(np.exp(2j * np.pi * (uniques % step) / step).mean()) / (2 * np.pi)
    return int(round(angle * 12) % 12 * step // 12)


def _check_shifts(
    shift: Stamps,
    codes: Codes,
    uniques: Stamps,
    station: Codes,
    identifiers: Names,
    *,
    step: int,
    journal: Journal,
) -> Mask:
    """Log the stamps that are moved, and collect a fault for those too far off; return these."""
    far = np.abs(shift) > TOLERANCE * step
    for wrong, is_fault in ((far, True), ((shift != 0) & ~far, False)):
        if not wrong.any():
            continue
        rows = np.flatnonzero(wrong[codes])
        first = int(rows[np.argmin(uniques[codes[rows]])])
        where = f"station {identifiers[station[first]]}, {_text(uniques[codes[first]])}"
        minutes = f"{abs(shift[codes[first]]) / _MINUTE:.3g} min"
        if is_fault:
            journal.fault(
                f"stamps are irregular: {where} is {minutes} off the step of {step / _HOUR:g} h "
                f"({rows.size} such rows). Pass resample='1h' for means, or round the stamps",
                share=rows.size / codes.size,
            )
        else:
            journal.warn(
                f"{rows.size} stamps moved to the regular step of {step / _HOUR:g} h; "
                f"for example {where}, by {minutes}"
            )
    return far


def _years_away(
    place: Stamps,
    codes: Codes,
    uniques: Stamps,
    station: Codes,
    identifiers: Names,
    step: int,
    journal: Journal,
) -> Mask:
    """Return the stamps of few rows that are years from all others; each side is a fault."""
    away = np.zeros(place.size, dtype=bool)
    rows = np.bincount(codes, minlength=place.size)
    while True:
        left = np.flatnonzero(~away)
        order = left[np.argsort(place[left])]
        gaps = np.diff(place[order])
        if not gaps.size or gaps.max() * step <= max(_YEAR, 0.5 * np.ptp(place[order]) * step):
            return away
        cut = int(np.argmax(gaps)) + 1
        few = min(order[:cut], order[cut:], key=lambda stamps: rows[stamps].sum())
        count, total = int(rows[few].sum()), int(rows[left].sum())
        if count > _FEW * total and not (count == 1 and total > _ONE_OF):
            return away
        row = int(np.argmax(np.isin(codes, few)))
        away[few] = True
        journal.fault(
            f"station {identifiers[station[row]]} has the time {_text(uniques[codes[row]])}, years "
            f"from all others ({count} such rows): a wrong date; correct it, or drop the row",
            share=min(count / total, _FEW),
        )


def _warn_of_gap(place: Stamps, step: int, phase: int, journal: Journal) -> None:
    """Warn where no station reports for most of the axis and more than a year."""
    if place.size < 2:
        return
    gaps = np.diff(place)
    at = int(np.argmax(gaps))
    if gaps[at] * step > _YEAR and gaps[at] > 0.5 * (place[-1] - place[0]):
        start, end = (_text(place[i] * step + phase) for i in (at, at + 1))
        journal.warn(f"no station reports from {start} to {end}: is a date wrong?")


def _lone_row(place: Stamps, codes: Codes) -> int:
    """Return a row whose stamp lies beyond the longest gap, on the side with fewer rows."""
    order = np.argsort(place)
    gap = int(np.argmax(np.diff(place[order]))) if place.size > 1 else 0
    is_before = np.isin(codes, order[: gap + 1])
    return int(np.argmax(is_before if is_before.sum() * 2 <= codes.size else ~is_before))


def _text(stamp: int) -> str:
    """Return a stamp for a message."""
    return f"{np.datetime_as_string(np.datetime64(int(stamp), 'ns'), unit='s')[:16]} UTC"
