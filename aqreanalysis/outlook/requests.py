"""What an outlook is asked for: starts and a horizon, and why some cannot be given."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import TIME
from aqreanalysis.observations import step_hours, time_bounds

#: Hours of history without which nothing is said of the next.
LEAST_HISTORY_HOURS = 24
#: A time as text, numpy's or pandas', or a sequence of them for a set of outlooks.
Starts = Any


def horizon_steps(horizon: int | float | str, step: float, longest: int) -> int:
    """Return the steps of a horizon: a number of hours, or a text such as "7D".

    Raises
    ------
    ValueError
        If it is no span of time, no whole number of steps, below one, or longer than was learned.

    Examples
    --------
    >>> horizon_steps("7D", 1.0, 168), horizon_steps(12, 3.0, 56)
    (168, 4)
    """
    hours = _hours(horizon)
    steps = hours / step
    if steps < 1 or steps > longest or steps != round(steps):
        raise ValueError(
            f"a horizon is {step:g} to {longest * step:g} h here, in steps of {step:g} h; found "
            f"{horizon!r}" + (". Fit an outlook with more leads" if steps > longest else "")
        )
    return round(steps)


def _hours(horizon: int | float | str) -> float:
    """Return a span of time in hours."""
    number = isinstance(horizon, str) and re.fullmatch(r"\s*\d+(\.\d*)?\s*", horizon)
    try:
        if isinstance(horizon, np.timedelta64) or not (
            number or isinstance(horizon, int | float | np.number)
        ):
            hours = pd.Timedelta(horizon) / pd.Timedelta(hours=1)
        else:
            hours = float(horizon)
        if not np.isfinite(hours):
            raise ValueError("no span of time")
        return hours
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a horizon is a number of hours or a span such as '7D'; found {horizon!r}"
        ) from error


def start_columns(observations: xr.Dataset, start: Starts | None) -> np.ndarray:
    """Return the columns of the first predicted steps, (start,) int64.

    A start is the instant at which the first predicted averaging period begins; by default the
    end of the observations. One beyond a day of history and up to that end can be given.

    Raises
    ------
    ValueError
        If a start is no time, is not the beginning of a step, or has less than a day of
        observations before it.
    """
    bounds, step = time_bounds(observations), step_hours(observations)
    begins = np.append(bounds[:, 0], bounds[-1, 1])
    first = begins[0] + np.timedelta64(round(LEAST_HISTORY_HOURS * 3.6e12), "ns")
    if first > begins[-1]:
        raise ValueError(
            f"an outlook needs at least {LEAST_HISTORY_HOURS} h of history; found "
            f"{observations.sizes[TIME] * step:g} h of observations"
        )
    if start is None:
        return np.array([begins.size - 1])
    asked = _instants(start)
    wrong = asked[(asked < first) | (asked > begins[-1])]
    if wrong.size:
        raise ValueError(
            f"an outlook starts from {_text(first)} to {_text(begins[-1])} here, at least "
            f"{LEAST_HISTORY_HOURS} h after the first observation begins; found {_text(wrong[0])} "
            f"({wrong.size} such)"
        )
    columns = np.searchsorted(begins, asked)
    off = asked[begins[columns] != asked]
    if off.size:
        raise ValueError(
            f"an outlook starts where a step of {step:g} h begins, such as "
            f"{_text(begins[np.searchsorted(begins, off[0])])}; found {_text(off[0])}"
        )
    return columns


def _instants(start: Starts) -> np.ndarray:
    """Return instants in UTC, (start,) datetime64[ns], each once and in order."""
    several = isinstance(start, Sequence | np.ndarray | pd.DatetimeIndex | xr.DataArray)
    given = list(np.asarray(start).ravel()) if several and not isinstance(start, str) else [start]
    try:
        stamps = [pd.Timestamp(each) for each in given]
        if any(stamp is pd.NaT for stamp in stamps) or not stamps:
            raise ValueError("no time")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a start is a time such as '2017-01-15T00', in UTC unless it states a zone; found "
            f"{start!r}"
        ) from error
    plain = [s if s.tzinfo is None else s.tz_convert("UTC").tz_localize(None) for s in stamps]
    return np.unique(np.array(plain, "datetime64[ns]"))


def _text(instant: np.datetime64) -> str:
    """Return an instant for a message, to the minute."""
    return f"{np.datetime_as_string(instant, unit='m')} UTC"
