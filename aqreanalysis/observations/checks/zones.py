"""Zones of time that columns and stamps state: offsets, and abbreviations that mean one zone."""

import re
from collections.abc import Mapping
from types import MappingProxyType

#: Hours east of Greenwich. CST, IST, BST, AST and AMT mean several zones, and are none here.
_HOURS = """EST -5 EDT -4 CDT -5 MST -7 MDT -6 PST -8 PDT -7 AKST -9 AKDT -8 HST -10 BRT -3 ART -3
    WET 0 WEST 1 CET 1 CEST 2 MEZ 1 MESZ 2 EET 2 EEST 3 MSK 3 SAST 2 PKT 5 ICT 7 WIB 7 HKT 8 SGT 8
    AWST 8 JST 9 KST 9 ACST 9.5 AEST 10 AEDT 11 NZST 12 NZDT 13"""
ABBREVIATIONS: Mapping[str, float] = MappingProxyType(
    {word: float(hours) for word, hours in re.findall(r"([A-Z]+) (\S+)", _HOURS)}
)
_OF_SEVERAL = frozenset(("CST", "IST", "BST", "AST", "AMT"))

#: What a column says of its stamps that are local, in a zone that is not named.
LOCAL = "local"

#: Farther from Greenwich is no zone, but the end of a span: 14:00-15:00.
FARTHEST_HOURS = 14.0

_OFFSET = re.compile(r"(?i)(?<![a-z])(?:utc|gmt)?\s*([+-]?)\s*(\d{1,2})(?::?(\d{2})|\.(5)|\.0+)?h?")


def stated_zone(name: str) -> str | None:
    """Return the zone that the name of a column of times states, `LOCAL`, or None.

    Examples
    --------
    >>> stated_zone("Time (UTC+8)"), stated_zone("date_GMT-03:30"), stated_zone("Hour [EST]")
    ('UTC+08:00', 'UTC-03:30', 'UTC-05:00')
    >>> stated_zone("timeUTC"), stated_zone("Local time"), stated_zone("CST"), stated_zone("date")
    ('UTC', 'local', 'local', None)
    """
    match = re.search(r"(?i)(?:utc|gmt)\s*([+-]\s*\d{1,2}(?::?\d{2})?)", name)
    if match:
        return offset_of(match[1])
    if re.search("(?i)utc|gmt", name):
        return "UTC"
    words = re.findall(r"[A-Z]{3,4}", name)
    known = [word for word in words if word in ABBREVIATIONS]
    if known:
        return offset_of(known[0])
    is_local = _OF_SEVERAL & set(words) or re.search("(?i)local", name)
    return LOCAL if is_local else None


def offset_of(word: object) -> str | None:
    """Return an offset as UTC+08:00: of "UTC+8", -5, "-05:00", "CET"; None for another word.

    Examples
    --------
    >>> [offset_of(word) for word in ("UTC+8", -5.0, "+5.5", "CET", "Asia/Tokyo", 99)]
    ['UTC+08:00', 'UTC-05:00', 'UTC+05:30', 'UTC+01:00', None, None]
    """
    text = str(word).strip()
    hours = ABBREVIATIONS.get(text.upper())
    if hours is None:
        match = _OFFSET.fullmatch(text)
        if match is None:
            return "UTC+00:00" if text.upper() in ("UTC", "GMT", "Z") else None
        sign, whole, minutes, half = match.groups()
        hours = int(whole) + int(minutes or (30 if half else 0)) / 60
        hours = -hours if sign == "-" else hours
    if abs(hours) > FARTHEST_HOURS:
        return None
    size = round(abs(hours) * 60)
    return f"UTC{'-' if hours < 0 else '+'}{size // 60:02}:{size % 60:02}"
