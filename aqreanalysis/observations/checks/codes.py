"""Probable missing codes: one exact number, repeated often, that is no measurement.

Amid measurements it is known by what is beside it (`repeated_codes`). Outside of them a code is
looked for at the two ends of what a network, then each station, measured; numbers that are usual
for it also behind a few values that are farther out. The lower end is settled by a property of
measurements: their density falls from the middle towards the ends. Where a number occurs n times
and the m steps of resolution between it and the rest are empty, chance would leave them empty with
a probability near exp(-n m). Zero, a detection limit and the steps of a coarse instrument have
neighbours and are never taken; nor is a saturation, below which there are the values on the way to
it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.observations.checks import Floats, Mask
from aqreanalysis.observations.checks.repeats import repeated_codes
from aqreanalysis.observations.checks.units import usual_factors

#: Numbers that instruments and agencies write for "no value"; 985 and 995 are full scales.
_USUAL = re.compile(r"-1|-?(9+|8{3,}|7{3,})(\.9+)?|9?985|995")
_USUAL_NUMBERS = np.array(
    [-1.0, 985.0, 9985.0, 995.0]
    + [
        sign * float(digit * length + rest)
        for sign in (1, -1)
        for digit in "987"
        for length in range(1, 13)
        for rest in ("", ".9", ".99", ".999")
    ]
)
#: n m above which a gap is no chance: exp(-6) is 0.25 %; 20 where the rest has negative values.
_SURE, _SURE_AMONG_NEGATIVE = 6.0, 20.0
#: Meteorology that cannot be negative.
_NOT_NEGATIVE = ("pressure", "relative_humidity", "wind_speed", "wind_direction", "rain")
#: Values of which the resolution is read.
_SAMPLE = 100_000


@dataclass(frozen=True)
class Code:
    """A number that is probably no measurement, and where it occurs, (station, time).

    ``written`` is the number as it is probably written in the file, in other units; ``why`` says
    what gives it away.
    """

    value: float
    written: str
    where: Mask
    why: str = "far from the rest"


def missing_codes(values: Floats, variable: str) -> list[Code]:
    """Return the probable missing codes among the values of a variable, (station, time).

    Values are in the units of this package, NaN where missing; there is no code among measurements.

    Examples
    --------
    >>> series = np.array([[12.0, -99.0, 11.0, 14.0, -99.0, 985.0, 13.5]])
    >>> [(code.written, int(code.where.sum())) for code in missing_codes(series, "pm25")]
    [('-99', 2)]
    """
    left = np.array(values)
    codes: dict[float, Code] = {}
    for value in _ends(left, variable):
        codes[value] = Code(value, _written(value, variable), code_places(values, value))
        left[codes[value].where] = np.nan
    # Beside a northerly wind of 0 degrees stand 350 and 10: level tells nothing of directions.
    amid = {} if variable == "wind_direction" else repeated_codes(left, variable)
    for value, where in amid.items():
        why = "stand beside values of any level"
        codes.setdefault(value, Code(value, _written(value, variable), where, why))
    return [code for code in codes.values() if code.where.any()]


def code_places(values: Floats, value: float) -> Mask:
    """Return where a code stands, (station, time), and is no saturation."""
    where = np.asarray(values == value)
    return where & ~_is_approached(values, value) if value > 0 else where


def is_possible(value: float, variable: str) -> bool:
    """Return whether a number may be a measurement of a variable."""
    low, high = _limits(variable)
    return low <= value <= high


def _ends(left: Floats, variable: str) -> Iterator[float]:
    """Yield codes at the ends of all values together, then of each station, until none is left.

    The values of a code are missing in ``left`` when the next one is asked for.
    """
    for rows in (left.reshape(1, -1), left):
        tried: set[tuple[int, float]] = set()
        while True:
            code = _next(rows, variable, tried)
            if code is None:
                break
            yield code


def _next(rows: Floats, variable: str, tried: set[tuple[int, float]]) -> float | None:
    """Return the first value of a row that is a code and was not tried before."""
    for row, value in _candidates(rows, variable):
        if (row, value) not in tried:
            tried.add((row, value))
            if _is_code(rows[row], value, variable, alone=rows.shape[0] == 1):
                return value
    return None


def _candidates(rows: Floats, variable: str) -> Iterator[tuple[int, float]]:
    """Yield rows and values that may be codes: the extremes, and usual codes anywhere."""
    lowest, highest = np.fmin.reduce(rows, axis=1), np.fmax.reduce(rows, axis=1)
    for end, where in ((lowest, lowest < 0), (highest, highest > 0)):
        for row in np.flatnonzero(where):
            yield int(row), float(end[row])
    outer = np.unique(rows[(rows < 0) | (rows >= 99)])
    for value in (float(v) for v in _near_usual(outer, variable) if _is_usual(float(v), variable)):
        for row in np.flatnonzero((rows == value).any(axis=1)):
            yield int(row), value


def _near_usual(values: Floats, variable: str) -> Floats:
    """Return the values that differ by 1e-4 of themselves at most from a number of `_USUAL`."""
    usual = np.outer(_USUAL_NUMBERS, usual_factors(variable)).ravel()
    ends = np.sort(np.stack([usual * (1 - 1e-4), usual * (1 + 1e-4)]), axis=0)  # (end, number)
    first, last = (np.searchsorted(values, end) for end in ends)
    return values[
        np.unique(np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)]))
    ]


def _is_usual(value: float, variable: str) -> bool:
    """Whether a number is one that is written for "no value"."""
    return bool(_USUAL.fullmatch(_written(value, variable)))


def _is_code(series: Floats, value: float, variable: str, *, alone: bool) -> bool:
    """Whether a low or high value of a series, all there is if alone, is no measurement."""
    low, high = _limits(variable)
    at = series == value
    count = int(at.sum())
    rest = series[~at & ~np.isnan(series)]
    inner = rest[rest > value] if value < 0 else rest[rest < value]
    usual, possible = _is_usual(value, variable), low <= value <= high
    if inner.size < max(rest.size - count, 1):  # it is among the rest, or there is no other value
        return usual and not possible and not inner.size
    nearest, middle = float(inner.min() if value < 0 else inner.max()), float(np.median(rest))
    gap, reach = abs(value - nearest), abs(middle - nearest)
    if value < 0 and np.isfinite(low):
        if not possible:
            return usual or (count >= 2 and gap >= abs(low))
        chance = count * (gap / _resolution(inner) - 1)
        if alone and nearest >= 0:
            return count >= 2 and chance >= _SURE
        return usual and value <= -9 and count >= 3 and chance >= _SURE_AMONG_NEGATIVE
    scale = high if np.isfinite(high) else 0.0
    if gap < max(reach, 0.01 * scale):
        return False
    if not possible:
        return usual or count >= 2
    if usual:
        return count >= 3
    visits = int((at[1:] & ~at[:-1]).sum()) + int(at[0])
    return (
        visits >= 10
        and inner.size >= 100
        and gap >= max(3 * reach, 0.05 * scale)
        and np.unique(inner[:_SAMPLE]).size >= 10
    )


def _is_approached(values: Floats, value: float) -> Mask:
    """Return where a high value is a saturation: the hour before or after it is half of it."""
    approached = np.zeros(values.shape, dtype=bool)
    for row in np.flatnonzero((values == value).any(axis=1)):
        others = pd.Series(values[row]).where(values[row] != value)
        approached[row] = (others.ffill() >= value / 2) | (others.bfill() >= value / 2)
    return approached


def _limits(variable: str) -> tuple[float, float]:
    """Return what a measurement can be, with room for noise about zero."""
    if variable in POLLUTANTS:
        return POLLUTANTS[variable].limits
    return (-0.5 if variable in _NOT_NEGATIVE else -np.inf), np.inf


def _resolution(rest: Floats) -> float:
    """Return the smallest step between values."""
    different = np.unique(rest[:: max(rest.size // _SAMPLE, 1)])
    steps = np.diff(different)
    return float(steps.min()) if steps.size else max(abs(float(different[0])), 1.0)


def _written(value: float, variable: str) -> str:
    """Return a number as written in the file: of those that convert to it, the usual code."""
    texts = [f"{value / factor:.5g}" for factor in usual_factors(variable)]
    return next((text for text in texts if _USUAL.fullmatch(text)), f"{value:.6g}")
