"""The time axis of observations: its step, its averaging periods, and parts of it by label."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import TIME


def selected_hours(time: xr.DataArray, period: slice | None) -> slice:
    """Return the positions of the hours of a period, which are one at least, as numbers.

    A period is a slice of labels, both included, as pandas reads them; None is all hours.

    Raises
    ------
    ValueError
        If no hour lies within the period; it says what the axis spans.

    Examples
    --------
    >>> hours = np.arange("2020-01-01", "2020-01-03", dtype="datetime64[h]").astype("M8[ns]")
    >>> selected_hours(xr.DataArray(hours, dims="time"), slice("2020-01-02", None))
    slice(24, 48, None)
    """
    index = time.to_index()
    first, last = (period.start, period.stop) if period else (None, None)
    start, stop, _ = index.slice_indexer(first, last).indices(index.size)
    if stop <= start:
        raise ValueError(
            f"no hour lies within {period_words(period)}; the hours span {index[0]} to "
            f"{index[-1]} UTC"
        )
    return slice(start, stop)


def period_words(period: slice | None) -> str:
    """Return a period of labels in words.

    Examples
    --------
    >>> period_words(slice("2024-01-01", "2024-01-07")), period_words(slice("2024", None))
    ('2024-01-01 to 2024-01-07', '2024 to the last')
    """
    first, last = (period.start, period.stop) if period else (None, None)
    return f"{'the first' if first is None else first} to {'the last' if last is None else last}"


def utc_period(time: xr.DataArray, period: Any) -> slice | None:
    """Return a period as a slice of labels in UTC, which `selected_hours` takes; None is all hours.

    A period is a slice of labels or a label, in UTC unless it states its zone.

    Raises
    ------
    ValueError
        If a label is no time, the labels cannot be compared, or no hour lies within the period.

    Examples
    --------
    >>> hours = np.arange("2020-01-01", "2020-01-03", dtype="datetime64[h]").astype("M8[ns]")
    >>> utc_period(xr.DataArray(hours, dims="time"), slice("2020-01-01T02+01:00", "2020-01-02"))
    slice(Timestamp('2020-01-01 01:00:00'), '2020-01-02', None)
    """
    if period is None:
        return None
    ends = (period.start, period.stop) if isinstance(period, slice) else (period, period)
    labels = slice(*(_utc_label(end) for end in ends))
    try:
        selected_hours(time, labels)
    except TypeError as error:
        raise ValueError(f"no period: {labels.start} to {labels.stop} ({error})") from error
    return labels


def step_hours(dataset: xr.Dataset) -> float:
    """Return the hours between two stamps of the time axis of valid observations.

    A single stamp has no step of its own: then the attribute ``step_hours`` of the time is taken,
    or 1.

    Examples
    --------
    >>> time = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    >>> step_hours(xr.Dataset(coords={"time": time}))
    24.0
    """
    time = dataset[TIME]
    if time.size > 1:
        return float((time.values[1] - time.values[0]) / np.timedelta64(1, "h"))
    return float(time.attrs.get("step_hours", 1.0))


def time_bounds(dataset: xr.Dataset) -> NDArray[np.datetime64]:
    """Return the beginning and the end of every averaging period, (time, 2) datetime64[ns] UTC.

    The label of the time says which end a stamp is.

    Examples
    --------
    >>> stamp = xr.DataArray(
    ...     np.array(["2020-01-01T05"], "datetime64[ns]"), dims="time", attrs={"time_label": "end"}
    ... )
    >>> time_bounds(xr.Dataset(coords={"time": stamp})).astype("datetime64[h]")
    array([['2020-01-01T04', '2020-01-01T05']], dtype='datetime64[h]')
    """
    label = "end" if dataset[TIME].attrs.get("time_label") == "end" else "start"
    return period_bounds(dataset[TIME].values, time_label=label, step_hours=step_hours(dataset))


def period_bounds(
    stamps: NDArray[np.datetime64], *, time_label: str, step_hours: float
) -> NDArray[np.datetime64]:
    """Return the beginning and the end of the averaging period of each stamp, (time, 2).

    With the label "start" a stamp t means t to t + step, with "end" t - step to t.

    Examples
    --------
    >>> stamps = np.array(["2024-01-01T08"], "datetime64[ns]")
    >>> period_bounds(stamps, time_label="end", step_hours=1).astype("datetime64[h]")
    array([['2024-01-01T07', '2024-01-01T08']], dtype='datetime64[h]')
    """
    step = np.timedelta64(round(step_hours * 3.6e12), "ns")
    stamps = stamps.astype("datetime64[ns]")
    start = stamps - step if time_label == "end" else stamps
    return np.stack([start, start + step], axis=1)


def _utc_label(label: Any) -> Any:
    """Return a label in UTC; a text without a zone stays, since it may name a day or a month."""
    if label is None:
        return None
    try:
        if isinstance(label, (int, float)):
            raise TypeError("a number")
        stamp = pd.Timestamp(label)
        if stamp is pd.NaT or (isinstance(label, str) and not any(map(str.isdigit, label))):
            raise ValueError("it names no hour")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{label!r} is no time ({error}); write slice('2014-11-01', '2014-11-07T23'), "
            "in UTC unless the labels state a zone"
        ) from error
    if stamp.tzinfo is not None:
        return stamp.tz_convert("UTC").tz_localize(None)
    return label if isinstance(label, str) else stamp
