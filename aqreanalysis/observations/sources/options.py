"""The options of `open_observations` in one place, checked together."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks import Mask
from aqreanalysis.observations.journal import ObservationError

TimeLabel = Literal["start", "end"]
Duplicates = Literal["error", "mean", "first", "last"]
DateOrder = Literal["day", "month"]
Monitor = Literal["mean", "first", "best", "keep"]
Statistic = Literal["mean", "maximum", "minimum"]

#: From the package's name of a role or variable to the column, or columns, of the source.
ColumnNames = Mapping[str, str | Sequence[str]]

NOTHING: Mapping[str, Any] = MappingProxyType({})

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "time_label": get_args(TimeLabel),
    "duplicates": get_args(Duplicates),
    "date_order": get_args(DateOrder),
    "monitor": get_args(Monitor),
    "statistic": get_args(Statistic),
    "decimal": (".", ","),
}


@dataclass(frozen=True)
class Condition:
    """What a column must hold in a row that is to be used: ``QC Code=0``, ``Validity>=1``.

    Examples
    --------
    >>> Condition.of("QC Name=Valid,OK").holds(pd.Series(["Valid", "Invalid", "OK"])).tolist()
    [True, False, True]
    """

    column: str
    comparison: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Condition":
        """Return the condition written in a text; refuse a text without one."""
        match = re.fullmatch(r"\s*(.+?)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*", str(text))
        if match is None:
            raise ObservationError(
                f"valid takes COLUMN=VALUE, such as 'QC Code=0' or 'Validity>=1'; found {text!r}"
            )
        condition = cls(match[1], match[2], tuple(re.split(r"\s*[,|]\s*", match[3])))
        if match[2] not in ("=", "!="):
            _number(condition.words[0], text)
        return condition

    def holds(self, values: pd.Series) -> Mask:
        """Return where the values of the column meet the condition, False where missing."""
        codes, uniques = pd.factorize(values)
        met = [self._met(word) for word in uniques]
        return np.array([*met, False], dtype=bool)[codes]

    def _met(self, value: object) -> bool:
        text = str(value).strip()
        if self.comparison in ("=", "!="):
            same = any(_same(text, word) for word in self.words)
            return same == (self.comparison == "=")
        try:
            number, limit = float(text), float(self.words[0])
        except ValueError:
            return False
        compare: dict[str, Callable[[float, float], bool]] = {
            "<": float.__lt__,
            "<=": float.__le__,
            ">": float.__gt__,
            ">=": float.__ge__,
        }
        return bool(compare[self.comparison](number, limit))

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{','.join(self.words)}"


def conditions(valid: Any) -> tuple[Condition, ...]:
    """Return the conditions of an option: a text, several, or a mapping from column to values.

    Examples
    --------
    >>> [str(c) for c in conditions({"QC Code": 0, "flag": ["A", "B"]})]
    ['QC Code=0', 'flag=A,B']
    """
    if valid is None:
        return ()
    if isinstance(valid, Mapping):
        return tuple(
            Condition(str(column), "=", tuple(map(str, _several(words))))
            for column, words in valid.items()
        )
    return tuple(Condition.of(text) for text in _several(valid))


@dataclass(frozen=True)
class Reading:
    """The options of `open_observations`, which documents them; stations are read already."""

    time_zone: str | None = None
    time_label: TimeLabel | None = None
    time_format: str | None = None
    date_order: DateOrder | None = None
    units: str | Mapping[str, str] | None = None
    columns: ColumnNames = field(default_factory=dict)
    stations: pd.DataFrame | None = None
    station_columns: Mapping[str, str] = field(default_factory=dict)
    station: str | None = None
    duplicates: Duplicates = "error"
    monitor: Monitor | None = None
    missing: tuple[str | float, ...] = ()
    valid: tuple[Condition, ...] = ()
    crs: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    header: int | None = None
    resample: str | None = None
    capture: float = 0.75
    statistic: Statistic | Mapping[str, str] | None = None
    skip_unplaced: bool = False
    split_moved: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse options outside their choices, all of them at once."""
        faults = []
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping) and value not in choices:
                words = [repr(choice) for choice in choices]
                faults.append(
                    f"{name} must be {', '.join(words[:-1])} or {words[-1]}; found {value!r}"
                )
        if not isinstance(self.columns, Mapping):
            faults.append(
                "columns must be a mapping such as {'pm25': 'PM2.5 mean'}; "
                f"found {self.columns!r}"
            )
        if not 0.0 < self.capture <= 1.0:
            faults.append(f"capture must be a share above 0 and up to 1; found {self.capture!r}")
        if self.header is not None and self.header < -1:
            faults.append(
                "header must be the number of lines above that of the column names, or 'none'; "
                f"found {self.header!r}"
            )
        if faults:
            raise ObservationError(faults, source="open_observations")

    def units_of(self, variable: str, *, is_pollutant: bool) -> str | None:
        """Return the units that the caller states for a variable, or None."""
        if self.units is None:
            return None
        if isinstance(self.units, str):
            return self.units if is_pollutant else None
        return self.units.get(variable)

    def statistic_of(self, variable: str) -> str:
        """Return the statistic of a variable over its averaging period."""
        if isinstance(self.statistic, Mapping):
            return self.statistic.get(variable, "mean")
        return self.statistic or "mean"


def codes_of(missing: Any) -> tuple[str | float, ...]:
    """Return missing codes as given in Python or on the command line, numbers as numbers.

    Examples
    --------
    >>> codes_of(["-99", "NoData"]), codes_of(-1)
    ((-99.0, 'NoData'), (-1.0,))
    """
    if missing is None:
        return ()
    codes: list[str | float] = []
    for code in _several(missing):
        try:
            codes.append(float(code))
        except ValueError:
            codes.append(str(code))
    return tuple(codes)


def _several(value: Any) -> list:
    """Return several values, or the one, as a list."""
    alone = isinstance(value, str) or not isinstance(value, (Sequence, set, frozenset, np.ndarray))
    return [value] if alone else list(value)


def _same(text: str, word: str) -> bool:
    """Return whether a field holds a word, as text or as a number: 0.0 is 0."""
    if text.lower() == word.lower():
        return True
    try:
        return float(text) == float(word)
    except ValueError:
        return False


def _number(word: str, text: object) -> float:
    try:
        return float(word)
    except ValueError as error:
        raise ObservationError(f"valid compares with a number; found {text!r}") from error
