"""Stamps of the columns that hold them: a date and an hour, numbers, day or month first."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.columns import joined
from aqreanalysis.observations.sources.options import DateOrder

#: 3/4/2020 or 03.04.20, and what follows it.
_DAY_AND_MONTH = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)(.*)", re.DOTALL)
_CLOCK = re.compile(r"\d{1,2}(:\d{2}){0,2}(?:\.\d+)?(\s*[AaPp]\.?[Mm]\.?)?")

#: Days since 1899-12-30 by which spreadsheets count: of 1982 to 2064.
_SERIAL_DAYS = (30_000.0, 60_000.0)
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")

#: Share of the steps that are equal in a regular series, a few gaps beside.
_EVEN = 0.9

#: No network measures more rarely.
_LONGEST_STEP = np.timedelta64(12, "D")


def stamps_of(
    table: pd.DataFrame, roles: Mapping[str, str], *, time_format: str | None, journal: Journal
) -> pd.Series | None:
    """Return the stamp of every row, text or datetimes, of one column or of several.

    These are a time; a date and a clock or an hour; a year, month, day and hour. None is a table
    without any of them. Days as spreadsheets count them become stamps.
    """
    if time_format is None and "year" not in roles:
        whole = [roles[role] for role in ("date", "time") if role in roles]
        table = table.assign(**{name: _from_serial(table[name], journal) for name in whole[:1]})
    if time_format is not None and "date" in roles:
        days = _formatted(table[roles["date"]], time_format).astype(str).str[:10]
        table = table.assign(**{roles["date"]: days})
    elif time_format is not None and "time" in roles:
        return _formatted(table[roles["time"]], time_format)
    if "date" in roles and "time" in roles and table[roles["time"]].isna().all():
        return table[roles["date"]]
    if "date" in roles and "time" in roles and len(table):
        clock = table[roles["time"]]
        if _CLOCK.fullmatch(str(clock.iloc[0]).strip("' ")):
            return _present(joined([table[roles["date"]], clock], _dated))
    if "time" in roles:
        return table[roles["time"]]
    if {"year", "month", "date"} <= set(roles):
        parts = [table[roles[part]] for part in ("year", "month", "date")]
        if "hour" in roles:
            return joined([*parts, table[roles["hour"]]], _of_parts)
        return joined(parts, _of_parts)
    if {"date", "hour"} <= set(roles):
        return _present(joined([table[roles["date"]], table[roles["hour"]]], _dated))
    return table[roles["date"]] if "date" in roles else None


def _present(stamps: pd.Series) -> pd.Series:
    """Return stamps with those missing that lack a part."""
    return stamps.where(stamps != "")


def _from_serial(stamps: pd.Series, journal: Journal) -> pd.Series:
    """Return days since 1899-12-30, where all stamps that are no datetimes are such, as stamps."""
    present = stamps.notna().to_numpy()
    example = stamps.iloc[int(np.argmax(present))] if present.any() else None
    if not (_serial_days(example) or isinstance(example, date)):
        return stamps
    codes, uniques = pd.factorize(stamps)
    days = [_serial_days(word) for word in uniques]
    is_stamp = [isinstance(word, (date, pd.Timestamp)) for word in uniques]
    if not any(days) or not all(map(any, zip(days, is_stamp, strict=True))):
        return stamps
    example = next(word for word, number in zip(uniques, days, strict=True) if number)
    journal.warn(
        f"times such as {example} are read as days since 1899-12-30, as spreadsheets count them; "
        "time_format=... tells another form"
    )
    origin = pd.Timestamp("1899-12-30")
    words = [
        f"{(origin + pd.Timedelta(days=number)).round('s') if number else word}"
        for word, number in zip(uniques, days, strict=True)
    ]
    return pd.Series(np.array([*words, None], dtype=object)[codes], index=stamps.index)


def _serial_days(word: object) -> float:
    """Return the number of days that a spreadsheet writes for a stamp, 0 for anything else."""
    text = str(word).strip()
    if isinstance(word, (bool, date)) or not _SERIAL.fullmatch(text):
        return 0.0
    number = float(text.replace(",", "."))
    return number if _SERIAL_DAYS[0] <= number <= _SERIAL_DAYS[1] else 0.0


def ends_at_24(stamps: pd.Series) -> bool:
    """Return whether the hours are 1 to 24: there is 24:00, and never 00:00."""
    if stamps.dtype.kind in "iufM":
        return False
    words = pd.Series(pd.unique(stamps)).dropna().astype(str)
    return bool(words.str.contains(r"[ T]24:00").any()) and not bool(
        words.str.contains(r"[ T]0?0:00").any()
    )


def in_order(stamps: pd.Series, order: DateOrder | None, *, journal: Journal) -> pd.Series:
    """Return stamps with the year first, where they are text that begins with day and month.

    The order is the one stated; else the one that fits all stamps; else the one that alone gives an
    even step. Where none is clear the stamps stay as they are.

    Examples
    --------
    >>> days = pd.Series(["01/02/2020", "02/02/2020", "03/02/2020", "04/02/2020"])
    >>> in_order(days, None, journal=Journal("table")).iloc[-1]
    '2020-02-04'
    """
    codes, uniques = pd.factorize(stamps)
    matches = [
        _DAY_AND_MONTH.fullmatch(word.strip("' ")) if isinstance(word, str) else None
        for word in uniques
    ]
    dates = [match for match in matches if match is not None]
    if not dates or len(dates) < 0.9 * len(matches):
        return stamps
    if order is None and _begins_with_year(dates):
        journal.fault(
            f"dates such as {dates[0].group().strip()} may begin with the year, of two digits: say "
            "time_format='%y/%m/%d %H:%M' or the like, or write the year with four"
        )
    if order is None and all(match[2] == "." for match in dates):
        order = "day"  # 13.01.2020 is written so, 01.13.2020 is not
    numbers = np.array([(int(m[1]), int(m[3])) for m in dates])
    if (numbers[:, 0] == numbers[:, 1]).all():
        order = order or "day"  # 01/01/2020 is the same either way
    day_first, month_first = (numbers[:, 0] > 12).any(), (numbers[:, 1] > 12).any()
    if order is None and day_first != month_first:
        order = "day" if day_first else "month"
    if order is None and not day_first:
        order = _even_order(dates)
        if order is not None:
            journal.decide(
                f"dates such as {dates[0].group().strip()} are read with the {order} first, which "
                "alone gives an even step; date_order=... tells"
            )
    if order is None:
        return stamps
    clear = order
    words = [
        word if match is None else _year_first(match, clear)
        for word, match in zip(uniques, matches, strict=True)
    ]
    return pd.Series(pd.Categorical.from_codes(*_distinct(codes, words)), index=stamps.index)


def _begins_with_year(dates: Sequence[re.Match]) -> bool:
    """Return whether years of two digits give a shorter span in the first place than in the last.

    Examples
    --------
    >>> days = [_DAY_AND_MONTH.fullmatch(f"21/03/{day:02}") for day in (5, 6, 7)]
    >>> _begins_with_year(days)
    True
    """
    if any(len(match[4]) != 2 for match in dates):
        return False
    numbers = np.array([(int(m[1]), int(m[3]), int(m[4])) for m in dates])
    first, middle, last = numbers.T
    return bool(
        ((middle >= 1) & (middle <= 12) & (last >= 1) & (last <= 31)).all()
        and np.ptp(first) < np.ptp(last)
        and np.ptp(first) <= 1
    )


def _distinct(codes: np.ndarray, words: list) -> tuple[np.ndarray, pd.Index]:
    """Return codes and categories, each once, of words that may repeat."""
    place, distinct = pd.factorize(np.array(words, dtype=object))
    return np.append(place, -1)[codes], pd.Index(distinct)


def _year_first(match: re.Match, order: DateOrder) -> str:
    """Return a stamp with year, month and day in that order."""
    day, month = (match[1], match[3]) if order == "day" else (match[3], match[1])
    year = match[4] if len(match[4]) == 4 else f"20{match[4]}"
    rest = re.sub(r"^[,\s]*[ T][,\s]*", " ", match[5])
    return f"{year}-{month.zfill(2)}-{day.zfill(2)}{re.sub(r'^ (?=[0-9]:)', ' 0', rest)}"


def _even_order(dates: list[re.Match]) -> DateOrder | None:
    """Return the order that gives an even step, where the other has twice as many odd ones."""
    uneven: dict[DateOrder, float] = {}
    orders: tuple[DateOrder, ...] = ("day", "month")
    for order in orders:
        texts = [re.sub(r" 24(?=:)", " 00", _year_first(match, order)) for match in dates]
        times = pd.Series(pd.to_datetime(texts, format="mixed", errors="coerce")).dropna()
        steps = np.diff(np.unique(times.to_numpy()))
        if _are_months(times):
            uneven[order] = 0.0
            continue
        if steps.size == 0 or len(times) < len(texts):
            return None
        lengths, counts = np.unique(steps, return_counts=True)
        usual = lengths[np.argmax(counts)]
        uneven[order] = 1.0 - counts.max() / counts.sum() if usual <= _LONGEST_STEP else 1.0
    best = min(orders, key=lambda order: uneven[order])
    other = next(order for order in orders if order != best)
    is_clear = uneven[best] <= 1 - _EVEN and uneven[best] < 0.5 * uneven[other]
    return best if is_clear else None


def _are_months(times: pd.Series) -> bool:
    """Return whether stamps are the beginnings of subsequent months."""
    if not ((times.dt.day == 1) & (times.dt.normalize() == times)).all():
        return False
    months = np.unique(12 * times.dt.year + times.dt.month)
    return bool(months.size > 2 and (np.diff(months) == 1).all())


def _dated(day: object, clock: object) -> str:
    """Return the stamp of a date and a clock or an hour, "" where either is missing."""
    if pd.isna(day) or pd.isna(clock):  # type: ignore[call-overload]
        return ""
    if isinstance(day, (date, datetime)):
        day = f"{day:%Y-%m-%d}"
    text = re.split(r"[T ]", str(day).strip("' "))[0]
    if re.fullmatch(r"\d{8}", text):
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return f"{text} {_clock(clock)}"


def _of_parts(year: object, month: object, day: object, clock: object = 0) -> str:
    """Return the stamp of year, month, day and hour."""
    try:
        numbers = [int(float(str(part))) for part in (year, month, day)]
    except ValueError:
        return f"{year}-{month}-{day} {clock}"
    year, month, day = numbers
    return f"{year:04}-{month:02}-{day:02} {_clock(clock)}"


def _clock(clock: object) -> str:
    """Return a clock or an hour as 05:00: of "5", 5.0, "05h", "5-6", "0500", "5:00", "5:00 AM"."""
    text = str(clock).strip("' ")
    hours = re.fullmatch(r"(\d{1,2})\s*(?:[hH]|[-–]\s*(\d{1,2}))", text)
    if hours and (hours[2] is None or int(hours[2]) == int(hours[1]) + 1):
        text = hours[1]
    text = re.sub(r"(?<=\d)\.0+$", "", text)
    if re.fullmatch(r"\d{1,2}", text):
        return f"{text.zfill(2)}:00"
    if re.fullmatch(r"\d{3,4}", text):
        return f"{text.zfill(4)[:2]}:{text[-2:]}"
    if re.fullmatch(r"\d:.*", text):
        text = f"0{text}"
    return text


def _formatted(stamps: pd.Series, time_format: str) -> pd.Series:
    """Return stamps of a stated format as datetimes, where they are of it; 24 is midnight."""
    codes, uniques = pd.factorize(stamps)
    convert: Callable[[object], object] = _unix if time_format == "unix" else _strptime(time_format)
    words = [convert(word) for word in uniques]
    return pd.Series(np.array([*words, None], dtype=object)[codes], index=stamps.index)


def _unix(word: object) -> str:
    """Return seconds, or milliseconds, since 1970 as a stamp in UTC."""
    try:
        number = float(str(word))
        seconds = number / 1000.0 if abs(number) > 1e11 else number
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):  # a stamp, or a fault that is reported later
        return str(word)


def _strptime(time_format: str) -> Callable[[object], object]:
    """Return what reads a stamp of a format; a stamp of another is left as text."""
    try:
        datetime(2000, 1, 1).strftime(time_format)
    except ValueError as error:
        raise ObservationError(f"time_format={time_format!r} is no format: {error}") from error
    of_hour = time_format.endswith("%H")

    def convert(word: object) -> object:
        text = re.sub(r"(?<=\d)\.0$", "", str(word).strip())
        late = of_hour and text.endswith("24")
        try:
            time = datetime.strptime(f"{text[:-2]}00" if late else text, time_format)
        except ValueError:
            return f"{word} (not {time_format})"
        return f"{pd.Timestamp(time) + pd.Timedelta(days=int(late)):%Y-%m-%d %H:%M:%S}"

    return convert
