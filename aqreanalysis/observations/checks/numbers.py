"""Columns of numbers as networks write them: words for missing, sentinels, compass points."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks import Floats
from aqreanalysis.observations.journal import Describe, Journal

#: Words that stand for a missing value, in lower case.
MISSING_WORDS = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "nil", "-", "--", "missing", "nd", "<na>", "nat")
)

#: Numbers that stand for a missing value, the last as float32 holds it; none is a possible
#: concentration or weather.
SENTINELS = (-999.0, -9999.0, -99999.0, -999.9, float(np.float32(-999.9)))

_POINTS = "n nne ne ene e ese se sse s ssw sw wsw w wnw nw nnw"
_COMPASS: Mapping[str, float] = MappingProxyType(
    {point: 22.5 * number for number, point in enumerate(_POINTS.split(" "))}
)


def numbers(column: pd.Series, *, name: str, describe: Describe, journal: Journal) -> Floats:
    """Return a column of numbers or text as float64, (row,), NaN where missing.

    Words such as "NA" and sentinels such as -999 are missing; the latter are logged. Compass
    points of a wind direction become degrees. Any other text is a fault. Negative and
    implausible values stay: `aqreanalysis.observations.flag` flags them. The result shares the
    memory of the column where nothing has to be changed.

    Examples
    --------
    >>> journal = Journal("table")
    >>> column = pd.Series(["NW", "-", "90", "-999"])
    >>> numbers(column, name="wind_direction", describe=str, journal=journal)
    array([315.,  nan,  90.,  nan])
    >>> journal.decisions
    ['1 values of wind_direction are sentinels such as -999 and read as missing; ...
    """
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind not in "iufb":
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
    codes, uniques = pd.factorize(column)
    text = [str(word).strip() for word in uniques]
    compass = _COMPASS if name == "wind_direction" else {}
    parsed = np.array([_number(word, compass) for word in text] + [np.nan], dtype=object)
    bad = np.array([number is None for number in parsed])
    if bad.any():
        rows = np.flatnonzero(bad[codes])
        journal.fault(
            f"{describe(int(rows[0]))}: {name} must be a number or missing; found "
            f"{text[codes[rows[0]]]!r} ({rows.size} such values)",
            share=rows.size / codes.size,
        )
        parsed[bad] = np.nan
    return parsed.astype(np.float64)[codes]


def _number(word: str, compass: Mapping[str, float]) -> float | None:
    """Return the number of a word, NaN for missing, None for what is no number."""
    if word.lower() in MISSING_WORDS:
        return np.nan
    if word.lower() in compass:
        return compass[word.lower()]
    try:
        return float(word.replace("_", "?"))  # Python would take 1_000 for a number
    except ValueError:
        return None
