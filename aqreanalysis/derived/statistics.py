"""What is said of the hours of a period: a mean, a maximum, a percentile, a count above a limit."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np

from aqreanalysis.conventions import CONCENTRATION_UNITS, TIME
from aqreanalysis.derived.layers import running_means

#: Rounding of the hours of a period.
ROUNDING = 1e-9
#: Hours of the running means of which a day has a maximum.
_RUNNING_H = 8
#: Statistics by name, beside the percentiles.
NAMES = ("mean", "max", "mda8", "hours_above", "days_above")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


@dataclass(frozen=True, eq=False)
class Span:
    """Subsequent values, and the periods and days that they belong to.

    Attributes
    ----------
    cuts, days : list of slice
        The values of each period, and of each day.
    needed, days_needed : float64 arrays
        Hours that each needs.
    stamps, lengths : (t,) float64
        When values begin and how long they last, hours.
    """

    cuts: list[slice]
    needed: np.ndarray
    days: list[slice]
    days_needed: np.ndarray
    stamps: np.ndarray
    lengths: np.ndarray

    def enough(self, values: np.ndarray) -> np.ndarray:
        """Return whether each period has the values that it needs, (..., period)."""
        return sums(np.where(np.isfinite(values), self.lengths, 0.0), self.cuts) >= self.needed


@dataclass(frozen=True)
class PeriodStatistic:
    """A statistic of the values of a period.

    Attributes
    ----------
    name, words : str
        As it is asked for, and for a title.
    of : callable
        From values (..., t) and a `Span` to the statistic (..., period), float64.
    cell_method : str
        What CF calls it.
    limit : float or None
        Above which is counted.
    units : str
    """

    name: str
    words: str
    of: Callable[[np.ndarray, Span], np.ndarray]
    cell_method: str = f"{TIME}: mean"
    limit: float | None = None
    units: str = field(default=CONCENTRATION_UNITS)

    @property
    def counts(self) -> bool:
        """Whether it is a number of hours or days, in a layer of its own."""
        return self.limit is not None

    def layer(self, variable: str) -> str:
        """Return the name of its layer.

        Examples
        --------
        >>> statistic_of("hours_above", 35.5, "month").layer("pm25")
        'pm25_hours_above_35p5'
        """
        return limit_name(f"{variable}_{self.name}", self.limit) if self.limit else variable


def sums(values: np.ndarray, cuts: list[slice]) -> np.ndarray:
    """Return the sum of values (..., t) in each part of the last axis, (..., part)."""
    return np.stack([values[..., cut].sum(axis=-1) for cut in cuts], axis=-1)


def limit_name(name: str, limit: float) -> str:
    """Return a name with a limit.

    Examples
    --------
    >>> limit_name("pm25_above", 35.0), limit_name("pm25_above", 7.5)
    ('pm25_above_35', 'pm25_above_7p5')
    """
    return f"{name}_{np.format_float_positional(limit, trim='-')}".replace(".", "p")


def checked_limit(limit: object) -> float:
    """Return a limit; refuse what is none.

    Raises
    ------
    ValueError
        If it is no number above 0.
    """
    number = isinstance(limit, int | float | np.number) and not isinstance(limit, bool)
    if not (number and np.isfinite(limit) and limit > 0):  # type: ignore[operator, call-overload]
        raise ValueError(f"a limit is a number above 0, in {CONCENTRATION_UNITS}; found {limit!r}")
    return float(limit)  # type: ignore[arg-type]


def statistic_of(name: str, limit: float | None, period: str) -> PeriodStatistic:
    """Return a statistic by its name.

    Raises
    ------
    ValueError
        If it is unknown or does not suit the period, or a limit is lacking, needless or none.

    Examples
    --------
    >>> statistic_of("p98", None, "year").words
    '98 % quantile'
    """
    counted = name in ("hours_above", "days_above")
    if counted and limit is None:
        raise ValueError(f"{name} needs a limit: limit=35.0, in {CONCENTRATION_UNITS}")
    if limit is not None and not counted:
        raise ValueError(f"a limit is of hours_above and days_above; found statistic={name!r}")
    if name == "mda8" and period != "day":
        raise ValueError(f"mda8 is the maximum of a day; found period={period!r}")
    if name == "days_above" and period == "day":
        raise ValueError("days_above counts the days of a week or longer; found period='day'")
    if counted:
        above, of_days = checked_limit(limit), name == "days_above"
        count = partial(_days_above if of_days else _hours_above, limit=above)
        what = "days of which the mean is" if of_days else "hours"
        unit = "d" if of_days else "h"
        words = f"number of {what} above {above:g} {CONCENTRATION_UNITS}"
        return PeriodStatistic(name, words, count, limit=above, units=unit)
    if name == "mean":
        return PeriodStatistic(name, "mean", means)
    if name == "max":
        return PeriodStatistic(name, "maximum", _largest, f"{TIME}: maximum")
    if name == "mda8":
        words = f"maximum of running means over {_RUNNING_H} h"
        return PeriodStatistic(name, words, _largest_running, f"{TIME}: maximum ({words})")
    matched = _PERCENTILE.fullmatch(name) if isinstance(name, str) else None
    if matched is None or not 0 < float(matched[1]) < 100:
        raise ValueError(
            f"statistic must be one of {', '.join(NAMES)} or a percentile such as 'p98'; found "
            f"{name!r}"
        )
    words = f"{float(matched[1]):g} % quantile"
    of = partial(_quantile, probability=float(matched[1]) / 100)
    return PeriodStatistic(name, words, of, f"{TIME}: mean ({words} of the means)")


def means(values: np.ndarray, span: Span) -> np.ndarray:
    """Return means of the values of each period, NaN where too few are present."""
    return _means(values, span.lengths, span.cuts, span.needed)


def _means(
    values: np.ndarray, lengths: np.ndarray, cuts: list[slice], needed: np.ndarray
) -> np.ndarray:
    """Return means of the values of each part, weighted by how long they last."""
    present = np.isfinite(values)
    covered = sums(np.where(present, lengths, 0.0), cuts)
    total = sums(np.where(present, values * lengths, 0.0), cuts)
    enough = (covered >= needed) & (covered > 0)
    return np.divide(total, covered, out=np.full(covered.shape, np.nan), where=enough)


def _largest(values: np.ndarray, span: Span) -> np.ndarray:
    """Return the maximum of each period."""
    largest = [np.fmax.reduce(values[..., cut], axis=-1) for cut in span.cuts]
    return np.where(span.enough(values), np.stack(largest, axis=-1), np.nan)


def _largest_running(values: np.ndarray, span: Span) -> np.ndarray:
    """Return the largest mean over 8 hours that lie within each period."""
    size = round(_RUNNING_H / float(np.median(span.lengths)))
    if size < 2 or not np.allclose(span.lengths * size, _RUNNING_H):
        raise ValueError(
            f"mda8 needs values of which {_RUNNING_H} h are made up; found values of "
            f"{np.median(span.lengths):g} h"
        )
    largest = []
    for cut in span.cuts:
        running = running_means(values[..., cut], size)[..., size - 1 :]
        short = running.shape[-1] == 0
        largest.append(
            np.full(values.shape[:-1], np.nan) if short else np.fmax.reduce(running, axis=-1)
        )
    return np.where(span.enough(values), np.stack(largest, axis=-1), np.nan)


def _quantile(values: np.ndarray, span: Span, *, probability: float) -> np.ndarray:
    """Return a quantile of the values of each period, between the two nearest in rank."""
    quantiles = []
    for cut in span.cuts:
        ordered = np.sort(values[..., cut], axis=-1)  # NaN comes last
        rank = probability * np.maximum(np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1, 0)
        below = np.floor(rank).astype(np.int64)
        above = np.minimum(below + 1, np.ceil(rank).astype(np.int64))
        low, high = (np.take_along_axis(ordered, at, axis=-1) for at in (below, above))
        quantiles.append((low + (rank - below) * (high - low))[..., 0])
    return np.where(span.enough(values), np.stack(quantiles, axis=-1), np.nan)


def _hours_above(values: np.ndarray, span: Span, *, limit: float) -> np.ndarray:
    """Return how many hours of each period are above a limit."""
    above = np.where(values > limit, span.lengths, 0.0)
    return np.where(span.enough(values), sums(above, span.cuts), np.nan)


def _days_above(values: np.ndarray, span: Span, *, limit: float) -> np.ndarray:
    """Return of how many days of each period the mean is above a limit."""
    daily = _means(values, span.lengths, span.days, span.days_needed)
    first = np.searchsorted([day.start for day in span.days], [cut.start for cut in span.cuts])
    days = [slice(*pair) for pair in pairwise([*first.tolist(), len(span.days)])]
    return np.where(span.enough(values), sums((daily > limit).astype(float), days), np.nan)
