"""The hours that a map shows: selected by label, text or slice, and described in words."""

from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import LEAD, REFERENCE, TIME
from aqreanalysis.observations.time_axis import period_words

Time = str | pd.Timestamp | np.datetime64 | datetime | slice


class MapError(ValueError):
    """Something that cannot be drawn as asked; the message says what can."""


@dataclass(frozen=True)
class Period:
    """The hours that a map shows: their labels (n,) in UTC, none for a Dataset without time.

    Label and step are None where the Dataset does not say.
    """

    labels: np.ndarray
    time_label: str | None
    step_hours: float | None

    def __str__(self) -> str:
        return self.words("mean")

    def words(self, summary: str, zone: str | None = None) -> str:
        """Return the period in words, how its hours are summed up, and its local time."""
        if not self.labels.size:
            return ""
        texts = [clock(label) for label in self.labels[[0, -1]]]
        local = self._local(zone) if zone else ""
        if self.labels.size == 1:
            return f"{texts[0]} UTC{self._convention(1)}{local}"
        return (
            f"{summary} of {self.labels.size} {self.unit(self.labels.size)}, "
            f"{texts[0]} to {texts[1]} UTC{self._convention(self.labels.size)}{local}"
        )

    @property
    def adverb(self) -> str:
        """How often a value comes: hourly or daily; nothing for other steps."""
        return {1.0: "hourly", 24.0: "daily"}.get(self.step_hours or 1.0, "")

    def _local(self, zone: str) -> str:
        """Return the ends of the period in a time zone, with the days where UTC has others."""
        texts = []
        for label in self.labels[[0, -1]]:
            utc = pd.Timestamp(label).tz_localize("UTC")
            local = utc.tz_convert(zone)
            same_day = local.date() == utc.date()
            texts.append(local.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M"))
        ends = texts[0] if self.labels.size == 1 else " to ".join(texts)
        return f", {ends} in {zone.replace('_', ' ')}"

    def unit(self, count: int) -> str:
        """Return the word for the averaging period."""
        word = {1.0: "hour", 24.0: "day"}.get(self.step_hours or 1.0, "period")
        return word if count == 1 else f"{word}s"

    @property
    def meaning(self) -> str:
        """What a label means: "hour starting", "day ending"; nothing where it is not stated."""
        if self.time_label is None:
            return ""
        return f"{self.unit(1)} {'starting' if self.time_label == 'start' else 'ending'}"

    def _convention(self, count: int) -> str:
        """Return what the label of a period means, in brackets."""
        if not self.meaning:
            return ""
        return f" ({self.meaning})" if count == 1 else f" (labels: {self.meaning})"


def select_start(dataset: xr.Dataset, start: Time | None) -> xr.Dataset:
    """Return one outlook of a set, on a ``time`` dimension; any other Dataset as it is.

    Raises
    ------
    MapError
        If none of several is named, or one that is not there; the message says which are.
    """
    if REFERENCE not in dataset.dims:
        if start is not None:
            raise MapError(f"start={start!r} is for a set of outlooks; this is none. Leave it out")
        return dataset
    starts = pd.DatetimeIndex(dataset[REFERENCE].values)
    if start is None and starts.size > 1:
        raise MapError(
            f"name the outlook of the set: start={clock(starts.values[0])!r}; there are "
            f"{_span(starts)}"
        )
    wanted = starts[0] if start is None else pd.Timestamp(str(_utc(start)))
    if wanted not in starts:
        raise MapError(_missing_hour(starts, wanted, "outlook"))
    one = dataset.isel({REFERENCE: starts.tolist().index(wanted)})
    times = xr.Variable(LEAD, one[TIME].values, dict(dataset[TIME].attrs))
    return one.drop_vars(TIME).assign_coords({TIME: times}).swap_dims({LEAD: TIME})


def select_period(dataset: xr.Dataset, time: Time | None) -> tuple[xr.Dataset, Period]:
    """Select hours of a Dataset, on a ``time`` dimension, and describe them.

    A label is in UTC unless it carries a zone. A text that names a longer time than one step
    ("2014-11", or "2014-11-03" in an hourly product) and a slice mean all hours in it; None all
    hours that there are.

    Raises
    ------
    MapError
        If no hour is selected; the nearest ones are named.
    """
    if TIME not in dataset.coords:
        if time is not None:
            raise MapError(f"time={time!r} was asked for, but there is no coordinate 'time'")
        return dataset.expand_dims(TIME), Period(np.array([], "datetime64[ns]"), None, None)
    dataset = dataset if TIME in dataset.dims else dataset.expand_dims(TIME)
    index = pd.DatetimeIndex(dataset[TIME].values)
    attributes = dataset[TIME].attrs
    chosen = _positions(index, time)
    period = Period(index.values[chosen], attributes.get("time_label"), _step(index, attributes))
    return dataset.isel({TIME: chosen}), period


def clock(label: np.datetime64) -> str:
    """Return a time label as 2014-11-03 08:00."""
    return pd.Timestamp(label).strftime("%Y-%m-%d %H:%M")


def _step(index: pd.DatetimeIndex, attributes: dict[Any, Any]) -> float | None:
    """Return the length of an averaging period in hours, if it is known."""
    if "step_hours" in attributes:
        return float(attributes["step_hours"])
    return float((index[1] - index[0]) / pd.Timedelta(hours=1)) if index.size > 1 else None


def _positions(index: pd.DatetimeIndex, time: Time | None) -> list[int]:
    """Return the positions of the selected hours on the time axis."""
    if isinstance(time, slice):
        wanted: Any = slice(_utc(time.start), _utc(time.stop))
        inside = index.slice_indexer(wanted.start, wanted.stop)
        positions = list(range(index.size))[inside]
    elif time is None:
        positions = list(range(index.size))
    else:
        wanted = _utc(time)
        try:
            location = index.get_loc(wanted)
        except KeyError:
            raise MapError(_missing_hour(index, wanted)) from None
        every = list(range(index.size))
        positions = every[location] if isinstance(location, slice) else [int(location)]
    if not index.size:
        raise MapError("the time axis is empty: there is no hour to draw")
    if not positions:
        asked = period_words(time) if isinstance(time, slice) else repr(time)
        raise MapError(f"no hour within {asked}; there are {_span(index)}")
    return positions


def _utc(time: Any) -> str | pd.Timestamp | None:
    """Return a time in UTC: the text itself where it has no zone, since it may name a period."""
    if time is None:
        return None
    try:
        if isinstance(time, Real):
            raise TypeError("a number is no time")
        stamp = pd.Timestamp(time)
    except (ValueError, TypeError) as error:
        raise MapError(
            f"time={time!r} is no time; write it as 2014-11-03T08, in UTC unless it has a zone"
        ) from error
    if stamp is pd.NaT:
        raise MapError(f"time={time!r} names no hour; write it as 2014-11-03T08")
    if stamp.tzinfo is not None:
        return stamp.tz_convert("UTC").tz_localize(None)
    return time if isinstance(time, str) else stamp


def _missing_hour(index: pd.DatetimeIndex, wanted: str | pd.Timestamp, what: str = "hour") -> str:
    """Return the message for an hour that is not on the time axis."""
    stamp = pd.Timestamp(wanted)
    after = int(index.searchsorted(stamp))
    near = [clock(label) for label in index.values[max(after - 1, 0) : after + 1]]
    return (
        f"no {what} {clock(stamp.to_datetime64())} UTC on the time axis; "
        f"nearest {'are' if len(near) > 1 else 'is'} {' and '.join(near)} UTC, and there are "
        f"{_span(index)}"
    )


def _span(index: pd.DatetimeIndex) -> str:
    """Return how many hours there are, from when to when."""
    return f"{index.size} from {clock(index.values[0])} to {clock(index.values[-1])} UTC"
