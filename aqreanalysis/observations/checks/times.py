"""Time stamps of any spelling and zone to UTC."""

import re
from datetime import timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.observations.checks import Codes, Times
from aqreanalysis.observations.checks.zones import ABBREVIATIONS, LOCAL, offset_of
from aqreanalysis.observations.journal import Describe, Journal, ObservationError

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*\.?"
_CLOCK = r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d{1,9})?))?)?"
_PACKED = r"(?P<hour2>\d{2})(?P<minute2>\d{2})(?P<second2>\d{2})?"

#: A stamp has a year of four digits, a month and a day; a clock and a zone are optional.
_STAMP = re.compile(
    rf"""(?ix)
    (?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?
    (?:
        (?P<year>\d{{4}}) (?P<sign>[-/.]) (?P<month>\d{{1,2}}) (?P=sign) (?P<day>\d{{1,2}})
      | (?P<year2>\d{{4}}) (?P<month2>\d{{2}}) (?P<day2>\d{{2}})
      | (?P<first>\d{{1,2}}) (?P<sign2>[-/.]) (?P<next>\d{{1,2}}) (?P=sign2) (?P<year3>\d{{4}})
      | (?P<day4>\d{{1,2}})(?:st|nd|rd|th)? [\s-]* (?P<name4>{_MONTH}) [\s,-]* (?P<year4>\d{{4}})
      | (?P<name5>{_MONTH}) \s* (?P<day5>\d{{1,2}})(?:st|nd|rd|th)? ,?\s+ (?P<year5>\d{{4}})
      | (?P<year6>\d{{4}}) [\s/-] (?P<name6>{_MONTH}) [\s/-] (?P<day6>\d{{1,2}})
    )
    (?: (?:t|,?\s+) (?:{_PACKED}|{_CLOCK}) (?:\s*(?P<half>[ap])\.?m\.?)? )?
    \s* (?P<zone>z|(?:utc|gmt)?\s*[+-]\d{{1,2}}(?::?\d{{2}})?|utc|gmt|{"|".join(ABBREVIATIONS)})?"""
)

#: The stamps of most files, in ISO 8601 already.
_PLAIN = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[ T](?:[01]\d|2[0-3]):\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
    r"(?P<zone>Z|[+-](?:0\d|1[0-4]):\d{2})?)?",
    re.ASCII,
)
_LONGEST = 64


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
        size = abs(float(stamps.iloc[0]))
        seconds = 5e8 < size < 5e9 or 5e11 < size < 5e12
        form = "unix" if seconds else "%Y%m%d%H"
        journal.fault(
            f"time must be stamps such as 2015-03-01T00:00Z; {describe(0)} has the number "
            f"{stamps.iloc[0]}. Write year, month, day and hour, or say time_format={form!r}"
        )
        return np.full(len(stamps), np.datetime64("NaT"), "datetime64[ns]")
    try:
        codes, uniques = pd.factorize(stamps)
    except TypeError:  # lists or mappings
        codes, uniques = pd.factorize(stamps.astype(str))

    def describe_code(code: int) -> str:
        return describe(int(np.argmax(codes == code)))

    if (codes < 0).any():
        missing = int(np.argmax(codes < 0))
        count = int((codes < 0).sum())
        journal.fault(
            f"{describe(missing)} has no time ({count} such rows); write it, or drop them",
            share=count / codes.size,
        )
    index = _parsed(pd.Index(uniques), codes, describe_code, journal)
    if index.tz is not None and time_zone not in (None, LOCAL):
        journal.decide(f"stamps state their zone, so time_zone={time_zone!r} is not used")
    if index.tz is None:
        index = _localised(index, time_zone, describe_code, journal)
    far = np.flatnonzero((index.year < 1700) | (index.year > 2200))
    if far.size:
        journal.fault(
            f"{describe_code(far[0])} has the time {index[far[0]]}: a wrong date; correct it",
            share=float(np.isin(codes, far).mean()),
        )
        index = pd.DatetimeIndex(index.where(np.abs(index.year - 1950) <= 250))
    times = index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
    return np.append(times, np.datetime64("NaT", "ns"))[codes]


def _parsed(
    uniques: pd.Index, codes: Codes, describe: Describe, journal: Journal
) -> pd.DatetimeIndex:
    """Return different stamps as datetimes, with a zone if they state one."""
    if isinstance(uniques, pd.DatetimeIndex):
        return uniques
    text = pd.Series(
        [str(stamp).strip("' \t\n")[: _LONGEST + 1] for stamp in uniques], dtype=object
    )
    clean, next_day, has_zone = _cleaned(text, journal)
    bare = clean.notna() & ~has_zone
    if has_zone.any() and bare.any():
        journal.fault(
            f"some stamps state a zone and others do not: {text[has_zone].iloc[0]!r}, "
            f"{text[bare].iloc[0]!r} ({describe(int(np.flatnonzero(bare)[0]))}); "
            "write it into all of them, or none"
        )
        return pd.DatetimeIndex([pd.NaT] * len(text), tz="UTC")
    is_utc = bool(has_zone.any())
    times = pd.DatetimeIndex(pd.to_datetime(clean, format="ISO8601", errors="coerce", utc=is_utc))
    bad = np.flatnonzero(times.isna())
    if bad.size:
        journal.fault(
            f"{describe(int(bad[0]))} has the time {text[bad[0]]!r}, which is no stamp with year, "
            f"month, day and hour such as 2015-03-01T00:00Z ({bad.size} such stamps): correct it",
            share=float(np.isin(codes, bad).mean()),
        )
    return pd.DatetimeIndex(times + pd.to_timedelta(next_day, unit="D"))


def _cleaned(text: pd.Series, journal: Journal) -> tuple[pd.Series, NDArray, pd.Series]:
    """Return stamps in the form of ISO 8601, None for no stamp; the days to add; if with zone."""
    plain = [_PLAIN.fullmatch(stamp) for stamp in text]
    if all(plain):
        has_zone = pd.Series([bool(m and m["zone"]) for m in plain], dtype=bool)
        return text, np.zeros(len(text), dtype=np.int64), has_zone
    matches = [_STAMP.fullmatch(stamp) if len(stamp) <= _LONGEST else None for stamp in text]
    day_first = _day_first([m for m in matches if m and m["first"]], journal)
    parts = [_iso(match, day_first) if match else (None, 0, False) for match in matches]
    return (
        pd.Series([clean for clean, _, _ in parts], dtype=object),
        np.array([days for _, days, _ in parts], dtype=np.int64),
        pd.Series([zoned for _, _, zoned in parts], dtype=bool),
    )


def _iso(match: re.Match[str], day_first: bool) -> tuple[str | None, int, bool]:
    """Return a stamp as ISO 8601, the days to add for 24:00, and whether it has a zone."""
    groups = match.groupdict().items()
    parts = {key.rstrip("23456"): value for key, value in groups if value is not None}
    if "first" in parts:
        order = ("day", "month") if day_first else ("month", "day")
        parts |= dict(zip(order, (parts["first"], parts["next"]), strict=True))
    elif "name" in parts:
        parts["month"] = str(_MONTHS.index(parts["name"][:3].lower()) + 1)
    hour, minute = int(parts.get("hour", 0)), parts.get("minute", "00")
    second = parts.get("second", "00").replace(",", ".")
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None, 0, False
        hour = hour % 12 + (12 if half.lower() == "p" else 0)
    if "zone" in parts and offset_of(parts["zone"]) is None:
        return None, 0, False
    is_next_day = hour == 24 and not int(minute) and not float(second)
    date = f"{parts['year']}-{parts['month']:0>2}-{parts['day']:0>2}"
    clock = f"{0 if is_next_day else hour:02}:{minute}:{second}"
    return f"{date}T{clock}{_offset(parts.get('zone'))}", int(is_next_day), "zone" in parts


def _offset(zone: str | None) -> str:
    """Return a zone as ISO 8601 writes it: UTC+8 as +08:00."""
    if zone is None:
        return ""
    match = re.search(r"([+-])(\d{1,2}):?(\d{2})?$", offset_of(zone) or zone)
    return f"{match[1]}{match[2]:0>2}:{match[3] or '00'}" if match else "Z"


def _day_first(matches: list[re.Match[str]], journal: Journal) -> bool:
    """Return whether 13/01/2020 is the order of all stamps; a fault if both orders fit them."""
    if not matches:
        return False
    month_first = any(int(match["next"]) > 12 for match in matches)
    day_first = any(int(match["first"]) > 12 for match in matches)
    if month_first == day_first:
        journal.fault(
            f"the order of day and month is not clear from stamps such as {matches[0].string!r}; "
            "say date_order='day' or 'month', or write them as 2015-03-01T00:00Z"
        )
    return day_first


def _localised(
    index: pd.DatetimeIndex, time_zone: str | None, describe: Describe, journal: Journal
) -> pd.DatetimeIndex:
    """Return stamps without a zone as stamps of a zone; hours of a clock change are faults."""
    if time_zone is None:
        journal.warn("time has no zone: read as UTC; pass time_zone=... if it is local time")
        return index.tz_localize("UTC")
    if time_zone == LOCAL:
        journal.fault(
            "the column of times says that they are local, in no zone of its own: pass "
            "time_zone=..., such as 'UTC+8' or 'America/Chicago'"
        )
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
