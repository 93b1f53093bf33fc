"""Time stamps of any spelling and zone to UTC."""

import re
from datetime import timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks import Codes, Times
from aqreanalysis.observations.journal import Describe, Journal, ObservationError

_ZONE_AT_END = re.compile(r"\d:\d{2}.*(?:Z|[+-]\d{2}(?::?\d{2})?)$|(?:Z|UTC|GMT)$")
_DAY_OR_MONTH_FIRST = re.compile(r"^\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_NUMBERS = re.compile(r"\d[./-]\d")
_MIDNIGHT_AS_24 = re.compile(r"(?<=[ T])24:00(?::00)?")


def zone(name: str) -> tzinfo:
    """Return the time zone of an offset east of Greenwich or of a name of the IANA database.

    Raises
    ------
    ObservationError
        If there is no such zone.

    Examples
    --------
    >>> print(zone("UTC+8"), zone("GMT"), zone("-0330"), zone("Asia/Shanghai"))
    UTC+08:00 UTC UTC-03:30 Asia/Shanghai
    """
    match = re.fullmatch(r"(?:UTC|GMT)?\s*(?:([+-])(\d{1,2})(?::?(\d{2}))?)?", str(name).strip())
    if match and str(name).strip():
        offset = timedelta(hours=int(match[2] or 0), minutes=int(match[3] or 0))
        if offset < timedelta(hours=24):
            return timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError) as error:
        raise ObservationError(
            f"unknown time zone {name!r}; expected 'UTC', an offset such as 'UTC+8', "
            "or a name such as 'Asia/Shanghai'"
        ) from error


def to_utc(
    stamps: pd.Series, *, time_zone: str | None, describe: Describe, journal: Journal
) -> Times:
    """Return stamps, text or datetimes, as datetime64[ns] in UTC; NaT where there is a fault.

    A zone in the stamps takes precedence. Stamps without one are in ``time_zone`` (see `zone`);
    where that is None they are read as UTC, with a warning in the log.
    """
    if stamps.dtype.kind in "iuf" and not isinstance(stamps.dtype, pd.CategoricalDtype):
        journal.fault(
            f"time must be stamps such as 2015-03-01T00:00Z; {describe(0)} has the number "
            f"{stamps.iloc[0]}"
        )
        return np.full(len(stamps), np.datetime64("NaT"), "datetime64[ns]")
    codes, uniques = pd.factorize(stamps)

    def describe_code(code: int) -> str:
        return describe(int(np.argmax(codes == code)))

    if (codes < 0).any():
        missing = int(np.argmax(codes < 0))
        count = int((codes < 0).sum())
        journal.fault(
            f"{describe(missing)} has no time ({count} such rows)", share=count / codes.size
        )
    index = _parsed(pd.Index(uniques), codes, describe_code, journal)
    if index.tz is not None and time_zone is not None:
        journal.decide(f"stamps state their zone, so time_zone={time_zone!r} is not used")
    if index.tz is None:
        index = _localised(index, time_zone, describe_code, journal)
    far = np.flatnonzero((index.year < 1700) | (index.year > 2200))
    if far.size:
        journal.fault(f"{describe_code(far[0])} has the time {index[far[0]]}: a wrong date")
        index = pd.DatetimeIndex(index.where(np.abs(index.year - 1950) <= 250))
    times = index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
    return np.append(times, np.datetime64("NaT", "ns"))[codes]


def _parsed(
    uniques: pd.Index, codes: Codes, describe: Describe, journal: Journal
) -> pd.DatetimeIndex:
    """Return different stamps as datetimes, with a zone if they state one."""
    if isinstance(uniques, pd.DatetimeIndex):
        return uniques
    text = pd.Series([str(stamp).strip() for stamp in uniques], dtype=object)
    has_zone = text.str.contains(_ZONE_AT_END)
    bare = ~has_zone & text.str.contains(_NUMBERS)
    if has_zone.any() and bare.any():
        journal.fault(
            f"some stamps state a zone and others do not: {text[has_zone].iloc[0]!r}, "
            f"{text[bare].iloc[0]!r} ({describe(int(np.flatnonzero(bare)[0]))})"
        )
        return pd.DatetimeIndex([pd.NaT] * len(text), tz="UTC")
    next_day = text.str.contains(_MIDNIGHT_AS_24)
    clean = text.str.replace(_MIDNIGHT_AS_24, "00:00", regex=True)
    clean = clean.str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
    times = _from_text(clean, has_zone=bool(has_zone.any()), journal=journal)
    dated = text.str.contains(r"\d").to_numpy()  # pandas knows "now" and "today" too
    times = pd.DatetimeIndex(times.where(dated))
    bad = np.flatnonzero(times.isna())
    if bad.size:
        journal.fault(
            f"{describe(int(bad[0]))} has the time {text[bad[0]]!r}, which is no stamp such as "
            f"2015-03-01T00:00Z ({bad.size} such stamps)",
            share=float(np.isin(codes, bad).mean()),
        )
    return pd.DatetimeIndex(times + pd.to_timedelta(next_day.astype(int).to_numpy(), unit="D"))


def _from_text(text: pd.Series, *, has_zone: bool, journal: Journal) -> pd.DatetimeIndex:
    """Return text as datetimes, NaT where it is none; day or month first by what fits them all."""
    options: dict = {"errors": "coerce", "utc": has_zone}
    if len(text) and text.str.contains(_DAY_OR_MONTH_FIRST).all():
        return _day_or_month_first(text, options, journal)
    times = pd.Series(pd.to_datetime(text, format="ISO8601", **options))
    other = times.isna() & text.str.contains(r"^\d{4}|[A-Za-z]{3}")
    if other.any():
        times[other] = pd.to_datetime(text[other], format="mixed", **options)
    return pd.DatetimeIndex(times)


def _day_or_month_first(text: pd.Series, options: dict, journal: Journal) -> pd.DatetimeIndex:
    """Return stamps such as 13/01/2020 as datetimes; a fault if both orders fit all of them."""
    parts = text.str.extract(r"^(\d{1,2})[./-](\d{1,2})").astype(int)
    month_first, day_first = (parts[1] > 12).any(), (parts[0] > 12).any()
    if month_first == day_first:
        journal.fault(
            f"the order of day and month is not clear from stamps such as {text.iloc[0]!r}; "
            "say date_order='day' or 'month', or write them as 2015-03-01T00:00Z"
        )
    return pd.DatetimeIndex(
        pd.to_datetime(text, format="mixed", dayfirst=bool(day_first), **options)
    )


def _localised(
    index: pd.DatetimeIndex, time_zone: str | None, describe: Describe, journal: Journal
) -> pd.DatetimeIndex:
    """Return stamps without a zone as stamps of a zone; hours of a clock change are faults."""
    if time_zone is None:
        journal.warn("time has no zone: read as UTC; pass time_zone=... if it is local time")
        return index.tz_localize("UTC")
    journal.decide(f"time without a zone is read as {time_zone}")
    place = zone(time_zone)
    if isinstance(place, timezone):
        return index.tz_localize(place)
    winter = np.zeros(len(index), dtype=bool)
    existing = index.tz_localize(place, ambiguous=winter, nonexistent="NaT")
    unique = index.tz_localize(place, ambiguous="NaT", nonexistent="NaT")
    absent = np.asarray(index.notna()) & np.asarray(existing.isna())
    double = np.asarray(existing.notna()) & np.asarray(unique.isna())
    remedy = (
        "If the network keeps standard time all year, pass a fixed offset such as "
        f"time_zone='{_standard_offset(place)}'; if not, write the offset into the stamps"
    )
    for wrong, words in ((absent, "does not exist"), (double, "is there twice")):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            journal.fault(
                f"{describe(first)}: the local time {index[first]} {words} in {time_zone}, where "
                f"the clocks change ({int(wrong.sum())} such hours). {remedy}",
                share=wrong.mean(),
            )
    return unique


def _standard_offset(place: tzinfo) -> str:
    """Return the offset of a zone without daylight saving, as "UTC+01:00"."""
    offsets = [
        pd.Timestamp(f"2024-{month:02}-01", tz=place).utcoffset() or timedelta()
        for month in range(1, 13)
    ]
    minutes = round(min(offsets).total_seconds() / 60)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
