"""The hours of an outlook: horizons, starts, periods of training and validation."""

import logging
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import CENTURY_HOURS, STATION, TIME, counted
from aqreanalysis.observations import selected_hours, step_hours, time_bounds, values_of

logger = logging.getLogger(__name__)

#: Fewest hours between the starts of a set: less is a slip.
MINUTE_HOURS = 1 / 60
#: Least hours of history before a start.
LEAST_HISTORY_HOURS = 24
#: Share of the hours, at the end, that a model is validated on, where no period is named.
VALIDATION_SHARE = 1 / 6
#: A time as text, numpy's or pandas', or a sequence of them for a set of outlooks.
Starts = (
    str
    | datetime
    | np.datetime64
    | np.ndarray
    | pd.DatetimeIndex
    | xr.DataArray
    | Sequence[str | datetime | np.datetime64]
)


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
    begins, step = step_begins(observations), step_hours(observations)
    first = begins[0] + np.timedelta64(round(LEAST_HISTORY_HOURS * 3.6e12), "ns")
    if first > begins[-1]:
        raise ValueError(
            f"an outlook needs at least {LEAST_HISTORY_HOURS} h of history; found "
            f"{observations.sizes[TIME] * step:g} h of observations"
        )
    if start is None:
        return np.array([begins.size - 1])
    starts = _instants(start)
    outside = starts[(starts < first) | (starts > begins[-1])]
    if outside.size:
        raise ValueError(
            f"an outlook starts from {_text(first)} to {_text(begins[-1])} here, at least "
            f"{LEAST_HISTORY_HOURS} h after the first observation begins; found "
            f"{_text(outside[0])} ({outside.size} such)"
        )
    columns = np.searchsorted(begins, starts)
    within = starts[begins[columns] != starts]
    if within.size:
        raise ValueError(
            f"an outlook starts where a step of {step:g} h begins, such as "
            f"{_text(begins[np.searchsorted(begins, within[0])])}; found {_text(within[0])}"
        )
    return columns


def step_begins(observations: xr.Dataset) -> np.ndarray:
    """Return when each step begins, and the end of the last, (time + 1,) datetime64."""
    bounds = time_bounds(observations)
    return np.append(bounds[:, 0], bounds[-1, 1])


def starts_between(first: str, last: str, every_hours: float) -> pd.DatetimeIndex:
    """Return starts from the first to the last, UTC.

    Raises
    ------
    ValueError
        If a time is none, the last comes before the first, or the hours are less than a minute or
        more than a century.

    Examples
    --------
    >>> starts_between("2017-01-01", "2017-01-02", 12).strftime("%d %H").tolist()
    ['01 00', '01 12', '02 00']
    """
    if not MINUTE_HOURS <= every_hours <= CENTURY_HOURS:
        raise ValueError(
            f"starts are a minute to a hundred years apart ({CENTURY_HOURS:.0f} h); found every "
            f"{every_hours:g} h"
        )
    try:
        starts = pd.date_range(first, last, freq=pd.Timedelta(hours=every_hours))
    except (TypeError, ValueError) as error:
        raise ValueError(f"starts go from a time to a time; found {first!r}, {last!r}") from error
    if starts.empty:
        raise ValueError(f"the last start, {last}, comes before the first, {first}")
    return starts


class Periods(NamedTuple):
    """Observations of the stations that report in the training period, its first hours.

    They go up to the end of the validation period.
    """

    observations: xr.Dataset
    training: int

    @classmethod
    def of(
        cls, observations: xr.Dataset, variable: str, validation: slice | None, *, leads: int
    ) -> "Periods":
        """Return the periods; by default the last sixth is validated on, a day at least.

        Raises
        ------
        ValueError
            If the training is shorter than a day and a horizon, or the validation than a day, or
            either is without any value.
        """
        hours, step = observations.sizes[TIME], step_hours(observations)
        day = round(LEAST_HISTORY_HOURS / step) or 1
        first, last = hours - max(day, round(VALIDATION_SHARE * hours)), hours
        if validation is not None:
            selected = selected_hours(observations[TIME], validation)
            first, last = selected.start, selected.stop
        if first < day + leads or last - first < day:
            raise ValueError(
                f"an outlook of {leads * step:g} h learns from at least {(day + leads) * step:g} "
                f"h, and a day more to validate on; found {max(first, 0) * step:g} h and "
                f"{(last - first) * step:g} h. Ask for a shorter horizon, or give more hours"
            )
        reporting = _reporting(observations.isel({TIME: slice(0, first)}), variable)
        used = observations.isel({TIME: slice(0, last), STATION: reporting})
        validated = used.isel({TIME: slice(first, None)})
        if not np.isfinite(values_of(validated, variable)).any():
            begin, end = np.datetime_as_string(validated[TIME].values[[0, -1]], unit="m")
            raise ValueError(
                f"no station has a value of {variable!r} in the validation period, {begin} to "
                f"{end} UTC; end the observations where measurements end, or give "
                "validation=slice(...)"
            )
        return cls(used, first)


def _reporting(observations: xr.Dataset, variable: str) -> np.ndarray:
    """Return which stations report at all, which one must, (station,) bool."""
    reporting = np.asarray(np.isfinite(values_of(observations, variable)).any(axis=1))
    if not reporting.any():
        raise ValueError(f"no station has a value of {variable!r} in the hours to learn from")
    if not reporting.all():
        logger.warning(
            "%s that never report %s left out, for example %s",
            counted((~reporting).sum(), "station"),
            variable,
            observations[STATION].values[~reporting][0],
        )
    return reporting


def _hours(horizon: int | float | str) -> float:
    """Return a span of time in hours."""
    try:
        if re.fullmatch(r"\s*\d+(\.\d*)?\s*", str(horizon)):  # pandas reads it as nanoseconds
            return float(horizon)
        hours = pd.Timedelta(horizon) / pd.Timedelta(hours=1)
        if not np.isfinite(hours):
            raise ValueError("no span of time")
        return hours
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a horizon is a number of hours or a span such as '7D'; found {horizon!r}"
        ) from error


def _instants(start: Starts) -> np.ndarray:
    """Return instants in UTC, (start,) datetime64[ns], each once and in order."""
    one = isinstance(start, str | datetime | np.datetime64)
    instants: Any = [start] if one else np.asarray(start).ravel()
    try:
        stamps = [pd.Timestamp(str(each) if isinstance(each, str) else each) for each in instants]
        if any(stamp is pd.NaT for stamp in stamps) or not stamps:
            raise ValueError("no time")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"a start is a time such as '2017-01-15T00', in UTC unless it states a zone; found "
            f"{start!r}"
        ) from error
    utc = [s if s.tzinfo is None else s.tz_convert("UTC").tz_localize(None) for s in stamps]
    return np.unique(np.array(utc, "datetime64[ns]"))


def _text(instant: np.datetime64) -> str:
    """Return an instant for a message, to the minute."""
    return f"{np.datetime_as_string(instant, unit='m')} UTC"
