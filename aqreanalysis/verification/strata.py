"""Strata of scores: distance, level, hour, month and silence."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME, pollutant
from aqreanalysis.observations import step_hours

#: Edges, the upper one excluded: km to the nearest station that was not hidden.
DISTANCE_KM = (0.0, 3.0, 5.0, 10.0, 20.0, 50.0, np.inf)
#: Edges of the true concentration of particles, ug m-3, the upper one excluded.
PARTICLE_LEVELS = (0.0, 5.0, 10.0, 20.0, 35.0, 75.0, 150.0, 250.0, np.inf)
#: Edges, the upper one excluded: hours since the nearest station that was not hidden reported.
SILENCE_HOURS = (0.0, 1.0, 3.0, 6.0, 12.0, 24.0, np.inf)

HOURS_PER_DAY = 24
MONTHS = 12


def levels_of(variable: str) -> tuple[float, ...]:
    """Return the edges of the levels of a pollutant: of particles, or around its events."""
    if variable in ("pm25", "pm10"):
        return PARTICLE_LEVELS
    events = pollutant(variable).events
    return (0.0, events[0] / 4, events[0] / 2, *events, np.inf)


def interval_labels(edges: Sequence[float]) -> list[str]:
    """Return the names of the parts between edges.

    Examples
    --------
    >>> interval_labels((0.0, 3.0, 5.0, np.inf))
    ['<3', '3-5', '>5']
    """
    return [
        f"<{high:g}" if index == 0 else f">{low:g}" if np.isinf(high) else f"{low:g}-{high:g}"
        for index, (low, high) in enumerate(pairwise(edges))
    ]


def part_of(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Return the number of the part that each value lies in; values below all are in the first.

    Examples
    --------
    >>> part_of(np.array([-1.0, 2.9, 3.0, 99.0]), (0.0, 3.0, 5.0, np.inf))
    array([0, 0, 1, 2])
    """
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def strata_of(levels: Sequence[float]) -> list[tuple[str, str]]:
    """Return kind and label along ``stratum``: all values, then the parts of each kind."""
    return [
        ("all", "all"),
        *(("level", label) for label in interval_labels(levels)),
        *(("hour", str(hour)) for hour in range(HOURS_PER_DAY)),
        *(("month", str(month + 1)) for month in range(MONTHS)),
        *(("silence", label) for label in interval_labels(SILENCE_HOURS)),
    ]


def hours_silent(reported: np.ndarray, step_hours: float) -> np.ndarray:
    """Return the hours since each series (..., time) last reported, inf before its first report.

    Examples
    --------
    >>> hours_silent(np.array([False, True, False, False, True]), 1.0)
    array([inf,  0.,  1.,  2.,  0.])
    """
    position = np.arange(reported.shape[-1], dtype=np.float64)
    last = np.maximum.accumulate(np.where(reported, position, -np.inf), axis=-1)
    return (position - last) * step_hours


def local_offset_hours(longitude: np.ndarray) -> np.ndarray:
    """Return the whole hours from UTC to local time, by the sun.

    Examples
    --------
    >>> local_offset_hours(np.array([116.4, -118.2, 0.0, 190.0]))
    array([  8,  -8,   0, -11])
    """
    east = (np.asarray(longitude) + 180) % 360 - 180
    return np.rint(east / 15).astype(np.int64)


def period_hours(dataset: xr.Dataset) -> float:
    """Return the length of an averaging period, hours, also of a selection of steps."""
    return float(dataset[TIME].attrs.get("step_hours", step_hours(dataset)))


def local_middles(dataset: xr.Dataset, longitude: np.ndarray) -> np.ndarray:
    """Return the local middle of each averaging period, (..., time) hours since 1970.

    Daily values are not shifted to local time: half the globe away they would change their date.
    """
    hours = period_hours(dataset)
    sign = -1 if dataset[TIME].attrs.get("time_label") == "end" else 1
    stamps = dataset[TIME].values.astype("datetime64[s]").astype(np.int64) / 3600
    offset = local_offset_hours(longitude) * (hours < HOURS_PER_DAY)
    return stamps + sign * hours / 2 + offset[..., None]


def hour_of_day(hours: np.ndarray) -> np.ndarray:
    """Return the hour of the day, 0 to 23, of hours since 1970."""
    return np.floor(hours % HOURS_PER_DAY).astype(np.int64)


def month_of_year(hours: np.ndarray) -> np.ndarray:
    """Return the month, 0 to 11, of hours since 1970.

    Examples
    --------
    >>> month_of_year(np.array([0.5, 31 * 24 + 0.5]))
    array([0, 1])
    """
    return months_of(hours).astype(np.int64) % MONTHS


def months_of(hours: np.ndarray) -> np.ndarray:
    """Return the calendar month, datetime64[M], of hours since 1970."""
    return np.floor(hours).astype("datetime64[h]").astype("datetime64[M]")
