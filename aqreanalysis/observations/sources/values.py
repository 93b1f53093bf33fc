"""The measured values in rows: missing codes, parameters and units."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from aqreanalysis.conventions import POLLUTANTS, UnknownPollutantError, pollutant
from aqreanalysis.observations.checks import Floats
from aqreanalysis.observations.checks.numbers import numbers
from aqreanalysis.observations.checks.units import concentration_factor, conversion
from aqreanalysis.observations.journal import Describe, Journal, ObservationError
from aqreanalysis.observations.sources.columns import ROLES, split_units
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.variables import known_variable, listed

Values = dict[str, Floats]
Units = dict[str, str | None]


@dataclass(frozen=True)
class Measurements:
    """Rows as a source has them, under the names of this package, and what is known of them.

    Columns are roles (`ROLES`) and variables. ``column_units`` are those in the columns' names, row
    by row where they differ between files, ``source_units`` the default of the source; ``names``
    are those of the source's columns.
    """

    table: pd.DataFrame
    names: Sequence[str] = ()
    column_units: Mapping[str, str | pd.Series] = field(default_factory=dict)
    source_units: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[tuple[str, int]] = ()
    monitor_word: str = ""
    time_format: str | None = None
    roles: Mapping[str, str] = field(init=False)
    variables: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        """Separate roles and variables among the columns."""
        columns = [str(name) for name in self.table.columns]
        object.__setattr__(self, "roles", {name: name for name in columns if name in ROLES})
        object.__setattr__(self, "variables", [name for name in columns if name not in ROLES])

    def row(self, position: int) -> str:
        """Return a row for a message: its number, and its file if there are several."""
        number = f"row {self.table.index[position] + 1}"
        if len(self.files) < 2:
            return number
        starts = [start for _, start in self.files]
        return f"{self.files[int(np.searchsorted(starts, position, 'right')) - 1][0]} {number}"


def measured_values(
    data: Measurements, describe: Describe, reading: Reading, journal: Journal
) -> tuple[Values, Units]:
    """Return every variable's values, one a row of the table, and the variables' units.

    Units are those that the caller states, or those in the column's name, or those in a column
    of units, row by row, or those that the source's description knows.
    """
    table, roles = data.table, data.roles
    row_units = table["units"] if "units" in roles else _units_in_parameters(table)
    if "value" in roles and not any(name in POLLUTANTS for name in data.variables):
        column = _numbers(table["value"], "value", data, describe, reading, journal)
        raw = _by_parameter(column, data, reading, journal)
    else:
        raw = {
            name: _numbers(table[name], name, data, describe, reading, journal)
            for name in data.variables
        }
    if not isinstance(reading.units, str):
        strangers = [name for name in reading.units or {} if name not in raw]
        if strangers:
            journal.fault(f"units names {listed(strangers)}; the variables are {listed(raw)}")
    values: Values = {}
    units: Units = {}
    for name, column in raw.items():
        stated = reading.units_of(name, is_pollutant=name in POLLUTANTS)
        in_names = data.column_units.get(name if name in data.variables else "value")
        by_row = in_names if isinstance(in_names, pd.Series) else row_units
        if stated is None and isinstance(in_names, str):
            stated = in_names
        factor: float | Floats
        if stated is None and by_row is not None and name in POLLUTANTS:
            factor, offset = _factors_by_row(name, column, by_row, journal), 0.0
            units[name] = None
        elif stated is None and isinstance(in_names, pd.Series):
            journal.fault(
                f"{name} has other units in other files ({listed(in_names.cat.categories)}); say "
                f"which with units={{{name!r}: ...}}, or open the files one by one"
            )
            continue
        else:
            stated = stated or data.source_units.get(name)
            factor, offset, units[name] = conversion(name, stated, journal=journal)
        unchanged = offset == 0.0 and np.ndim(factor) == 0 and factor == 1.0
        values[name] = column if unchanged else column * factor + offset
    return values, units


def no_column(role: str, names: Sequence[object] | None) -> str:
    """Return the fault of a role without a column; the columns are listed if they are given."""
    columns = "" if names is None else f"; the columns are {listed(names)}"
    remedy = {
        "station": ", or the one station with station='...'",
        "longitude": ", or pass stations=..., a table of positions",
    }.get(role, "")
    return f"no column of {role}{columns}. Name it with columns={{{role!r}: ...}}{remedy}"


def single_variable(reading: Reading, *, journal: Journal) -> str:
    """Return the pollutant of a table that does not name it: the caller's word, or PM2.5."""
    given = reading.columns.get("variable")
    if given is None:
        journal.decide(
            "the pollutant is not named and taken for pm25; "
            "columns={'variable': 'pm10'} names another"
        )
        return "pm25"
    try:
        return pollutant(str(given)).name
    except UnknownPollutantError as error:
        raise ObservationError(f"columns names the variable {given!r}: {error}") from error


def _numbers(
    column: pd.Series,
    name: str,
    data: Measurements,
    describe: Describe,
    reading: Reading,
    journal: Journal,
) -> Floats:
    """Return a column as numbers, NaN where it is a missing code of the source or the caller."""
    is_text = isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind not in "iufb"
    patterns = [code for code in reading.missing if isinstance(code, str)]
    if is_text and (patterns or data.words or reading.decimal is not None):
        codes, uniques = pd.factorize(column)
        words = [
            _word(str(word).strip(), patterns, data.words, reading.decimal) for word in uniques
        ]
        column = pd.Series(np.array([*words, None], dtype=object)[codes], index=column.index)
    values = numbers(column, name=name, describe=describe, journal=journal)
    missing = np.isin(values, [code for code in reading.missing if not isinstance(code, str)])
    if not missing.any():
        return values
    listing = ", ".join(f"{code:g}" for code in np.unique(values[missing]))
    journal.decide(
        f"{int(missing.sum())} values of {name} are {listing} and read as missing; for example "
        f"{describe(int(np.argmax(missing)))}"
    )
    return np.where(missing, np.nan, values)


def _word(
    word: str, patterns: Sequence[str], words: Mapping[str, str], decimal: str | None
) -> str | None:
    """Return a text for a number as it is meant; None is missing."""
    if any(fnmatchcase(word.lower(), pattern.lower()) for pattern in patterns):
        return None
    word = words.get(word, word)
    thousands = {",": ".", ".": ","}.get(decimal or "", "")
    if thousands and re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+", word):
        return word.replace(thousands, "")
    return word.replace(".", "").replace(",", ".") if decimal == "," and "," in word else word


def _units_in_parameters(table: pd.DataFrame) -> pd.Series | None:
    """Return the units that stand behind the names of parameters, row by row, if any do."""
    if "parameter" not in table.columns:
        return None
    codes, words = pd.factorize(table["parameter"])
    units = [split_units(_bare(word))[1] for word in words]
    if not any(units):
        return None
    return pd.Series(np.array([*units, None], dtype=object)[codes], index=table.index)


def _by_parameter(values: Floats, data: Measurements, reading: Reading, journal: Journal) -> Values:
    """Return values by parameter, one array each; NaN on the rows of other parameters."""
    if "parameter" not in data.roles:
        return {single_variable(reading, journal=journal): values}
    codes, uniques = pd.factorize(data.table["parameter"])
    words = [_bare(word) for word in uniques]
    variables = np.array(
        [data.parameters.get(word, known_variable(split_units(word)[0]) or "") for word in words]
        + [""],
        dtype=object,
    )
    counts = np.bincount(codes[~np.isnan(values)] + 1, minlength=len(words) + 1)[1:]
    unknown = [
        (word, count)
        for word, name, count in zip(words, variables, counts, strict=False)
        if not name
    ]
    names = sorted(set(variables) - {""})
    if not any(name in POLLUTANTS for name in names):
        journal.fault(
            f"no parameter is a pollutant ({', '.join(POLLUTANTS)}); they are "
            f"{listed(word for word, _ in unknown)}"
        )
    elif unknown:
        unused = listed(f"{word} ({count} values)" for word, count in unknown)
        if reading.strict:
            journal.fault(f"parameters that are not known: {unused}")
        journal.decide(f"parameters not used: {unused}")
    if (codes < 0).any() and names:
        count = int((codes < 0).sum())
        nameless = f"{count} rows name no parameter; the first is "
        nameless += data.row(int(np.argmax(codes < 0)))
        if reading.strict:
            journal.fault(f"{nameless}: name it, or drop them")
        journal.warn(f"{nameless}. They are not used")
    return {name: np.where((variables == name)[codes], values, np.nan) for name in names}


def _bare(word: object) -> str:
    """Return the word or the code of a parameter as text: 88101.0 is "88101"."""
    if isinstance(word, (float, np.floating)) and float(word).is_integer():
        return str(int(word))
    return re.sub(r"^https?://.*/", "", str(word).strip())


def _factors_by_row(
    variable: str, values: Floats, units: pd.Series, journal: Journal
) -> float | Floats:
    """Return the factors of a pollutant to ug m-3 from the units of each row; 1.0 if all are 1.

    Rows in units that are unknown, or none of the pollutant, are missing where they are few.
    """
    codes, uniques = pd.factorize(units)
    measured = codes[~np.isnan(values)]
    counts = np.bincount(measured + 1, minlength=len(uniques) + 1)  # the first is without units
    factors = np.ones(len(uniques) + 1)
    if counts[0]:
        journal.decide(f"{counts[0]} rows of {variable} state no units and are taken for ug m-3")
    for code in np.flatnonzero(counts[1:]):
        word = str(uniques[int(code)])
        try:
            factors[code] = concentration_factor(word, variable)
        except ObservationError as error:
            count = counts[code + 1]
            share = count / max(measured.size, 1)
            if not journal.fault(f"{error} ({count} rows)", share=share):
                factors[code] = np.nan
            continue
        if factors[code] != 1.0:
            journal.decide(
                f"{counts[code + 1]} rows of {variable} converted from {word} to ug m-3 "
                f"(times {factors[code]:.6g})"
            )
    used = factors[np.unique(codes[~np.isnan(values)])] if measured.size else factors
    journal.factors[variable] = float(np.nanmax(used))
    return 1.0 if (factors == 1.0).all() else factors[codes]
