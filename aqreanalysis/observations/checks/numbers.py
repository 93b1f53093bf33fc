"""Columns of numbers as networks write them: words for missing, sentinels, compass points."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.observations.checks import Floats
from aqreanalysis.observations.journal import Describe, Journal

#: Words that stand for a missing value, in lower case.
_MISSING = """na n/a nan null none nil - -- --- *** missing nd n.d. <na> nat nodata no_data s/d
    k.a. invalid invld calib offscan #n/a #div/0! #value! #ref! #num! #name?"""
MISSING_WORDS = frozenset({"", "no data", *re.findall(r"\S+", _MISSING)})

#: Characters of a number.
_LONGEST = 40

#: A number as people write it, in decimal digits; neither 0x10 nor 1_000, "inf" nor "true".
#: An exponent without a point before it and a sign is a number with a flag: 20E1.
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d{1,3})?|\d+(?:[eE][+-]\d{1,3})?)", re.ASCII
)

#: Thousands that nothing else can be, since decimals follow them.
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3})+\.\d+|(?:\.\d{3})+,\d+)", re.ASCII)

#: Degrees with minutes and seconds, or with the side of the equator or of Greenwich.
_DEGREES = re.compile(
    r"(-?)(\d{1,3}(?:\.\d+)?)\s*(?:[°º]\s*)?(?:(\d{1,2}(?:\.\d+)?)\s*['′’]\s*)?"
    r"(?:(\d{1,2}(?:\.\d+)?)\s*(?:[\"″”]|''|′′)\s*)?([NSEW]?)"
)

#: What a word that is no number may be, and what to do about it.
_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        r"\s*[<>].*": "a limit of detection: write the value that you use for it, or nothing",
        r"[+-]?\d{1,3}(?:,\d{3})+": "say decimal='.' if its comma is one of thousands",
        r"[+-]?[\d.]+ ?[^\W\d]+[/ ].*": "write units in the column's name",
        r"[+-]?[\d.]+ ?[*]+": "a mark: missing='*[*]' leaves such values out",
        r"[+-]?[\d.]+ ?([^\w\s.,*]{1,2}|[A-Za-z]\d?)": "a mark: missing='*{}' leaves such values "
        "out",
        r"[+-]?\d+,\d+": "write decimals with a point",
        r"\d{1,3}\.\d{1,2}\.\d{1,2}(?:\.\d+)?": "write degrees as 10.175, or as 10°10'30\"E",
        r"(?i)true|false": "truth is no number",
        r"(?i)0x[0-9a-f]+": "write it in decimal digits",
        r"(?i)[+-]?inf(?:inity)?": "it is not finite: leave it empty if it is missing",
    }
)

#: Numbers that stand for a missing value, the last as float32 holds it; none is a possible
#: concentration or weather.
SENTINELS = (-999.0, -9999.0, -99999.0, -999.9, float(np.float32(-999.9)))

_POINTS = "n nne ne ene e ese se sse s ssw sw wsw w wnw nw nnw"
_COMPASS: Mapping[str, float] = MappingProxyType(
    {point: 22.5 * number for number, point in enumerate(_POINTS.split(" "))}
)


def parse(
    words: Iterable[object], *, compass: Mapping[str, float] | None = None
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return words as numbers, NaN where missing, and which of them are no numbers.

    ``compass`` are further words, in lower case, and their numbers.

    Examples
    --------
    >>> parse(["1.5", "NA", "0x10", True, "<0.2", 3])
    (array([1.5, nan, nan, nan, nan, 3. ]), array([False, False,  True,  True,  True, False]))
    """
    values, wrong = [], []
    for word in words:
        text = str(word).strip().replace("\u2212", "-")  # the sign of minus
        known = np.nan if text.lower() in MISSING_WORDS else (compass or {}).get(text.lower())
        if _GROUPED.fullmatch(text):
            thousands, decimal = (",", ".") if text.rfind(".") > text.rfind(",") else (".", ",")
            text = text.replace(thousands, "").replace(decimal, ".")
        if known is None and len(text) <= _LONGEST and _NUMBER.fullmatch(text):
            known = float(text)
        values.append(np.nan if known is None else known)
        wrong.append(known is None)
    return np.array(values, dtype=np.float64), np.array(wrong, dtype=bool)


def numbers(column: pd.Series, *, name: str, describe: Describe, journal: Journal) -> Floats:
    """Return a column of numbers or text as float64, (row,), NaN where missing.

    Words such as "NA" and sentinels such as -999 are missing; the latter are logged. Compass
    points of a wind direction become degrees. Any other text is a fault, and so is truth.
    Negative and implausible values stay: `aqreanalysis.observations.qc` flags them. The
    result shares the memory of the column where nothing has to be changed.

    Examples
    --------
    >>> journal = Journal("table")
    >>> column = pd.Series(["NW", "-", "90", "-999"])
    >>> numbers(column, name="wind_direction", describe=str, journal=journal)
    array([315.,  nan,  90.,  nan])
    >>> journal.decisions
    ['1 values of wind_direction are sentinels such as -999 and read as missing; ...
    """
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind not in "iuf":
        values = _from_text(column, name, describe, journal)
    else:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    sentinel = np.isin(values, SENTINELS)
    if not sentinel.any():
        return values
    row = int(np.argmax(sentinel))
    journal.decide(
        f"{int(sentinel.sum())} values of {name} are sentinels such as {values[row]:g} and "
        f"read as missing; for example {describe(row)}"
    )
    return np.where(sentinel, np.nan, values)


def _from_text(column: pd.Series, name: str, describe: Describe, journal: Journal) -> Floats:
    """Return text as numbers, parsing each different text once."""
    try:
        codes, uniques = pd.factorize(column)
    except TypeError:  # lists or mappings
        codes, uniques = pd.factorize(column.astype(str))
    grouped = next((word for word in uniques if _GROUPED.fullmatch(str(word).strip())), None)
    if grouped is not None:
        journal.decide(f"{name} such as {grouped} are read with signs between thousands")
    is_place = name in ("longitude", "latitude")
    values, wrong = parse(
        (_degrees(word) if is_place else word for word in uniques),
        compass=_COMPASS if name == "wind_direction" else None,
    )
    values, wrong = np.append(values, np.nan), np.append(wrong, False)  # of code -1, missing
    if wrong.any():
        rows = np.flatnonzero(wrong[codes])
        word = str(uniques[codes[rows[0]]]).strip()
        fits = ((re.fullmatch(pattern, word[:80]), text) for pattern, text in _REMEDIES.items())
        remedies = (text.format(*match.groups()) for match, text in fits if match)
        remedy = next(remedies, "correct it, or leave it empty if it is missing")
        journal.fault(
            f"{describe(int(rows[0]))}: {name} must be a number or missing; found "
            f"{word[:60]!r} ({rows.size} such values): {remedy}",
            share=rows.size / codes.size,
        )
    return values[codes]


def _degrees(word: object) -> object:
    r"""Return degrees, minutes and seconds as a number; any other word as it is.

    Examples
    --------
    >>> _degrees("10°30'36\"W"), _degrees("48,55"), _degrees("446,275")
    (-10.51, 48.55, '446,275')
    """
    text = re.sub(r"(\d),(\d{1,2}|\d{4,})$", r"\1.\2", str(word).strip()[:_LONGEST])
    match = _DEGREES.fullmatch(text)
    if match is None:
        return word
    sign, degrees, minutes, seconds, side = match.groups()
    if float(minutes or 0) >= 60.0 or float(seconds or 0) >= 60.0 or (sign and side):
        return word
    size = float(degrees) + float(minutes or 0) / 60.0 + float(seconds or 0) / 3600.0
    return round(-size if sign or side in ("S", "W") else size, 9)
