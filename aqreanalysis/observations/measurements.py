"""The measured values of a long table, in the units of this package."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.conventions import POLLUTANTS, UnknownPollutantError, pollutant
from aqreanalysis.observations.columns import METEOROLOGY, Columns, known_variable, listed
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.numbers import numbers
from aqreanalysis.observations.options import Reading
from aqreanalysis.observations.times import Describe
from aqreanalysis.observations.units import concentration_factor, linear_conversion

Values = dict[str, NDArray[np.float64]]
Units = dict[str, str | None]


def measured_values(
    table: pd.DataFrame,
    columns: Columns,
    *,
    describe: Describe,
    reading: Reading,
    journal: Journal,
) -> tuple[Values, Units]:
    """Return every variable's values, one a row of the table, and the variables' units.

    Units are those that the caller states, or those in the column's name, or those in a column
    of units, row by row.

    Parameters
    ----------
    table : pandas.DataFrame
        A column for each variable, or a column of values and perhaps one of their parameter.
    columns : Columns
        Which column is what.
    describe : callable
        From row to words, for messages.
    reading : Reading
        Gives the units that the caller states.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    values : dict from variable to ndarray of float64, (row,)
    units : dict from variable to str or None
    """
    roles = columns.roles
    row_units = table[roles["units"]] if "units" in roles else None
    if "value" in roles and not any(name in POLLUTANTS for name in columns.variables):
        column = numbers(table[roles["value"]], name="value", describe=describe, journal=journal)
        parameter = table[roles["parameter"]] if "parameter" in roles else None
        raw = by_parameter(column, parameter, reading=reading, journal=journal)
    else:
        raw = {
            name: numbers(table[column], name=name, describe=describe, journal=journal)
            for name, column in columns.variables.items()
        }
    if not isinstance(reading.units, str):
        strangers = [name for name in reading.units or {} if name not in raw]
        if strangers:
            journal.fault(f"units names {listed(strangers)}; the variables are {listed(list(raw))}")
    values: Values = {}
    units: Units = {}
    for name, column in raw.items():
        stated = reading.units_of(name, is_pollutant=name in POLLUTANTS) or columns.units.get(name)
        if stated is None and row_units is not None and name in POLLUTANTS:
            values[name] = converted_by_row(name, column, row_units, journal=journal)
            units[name] = None
        else:
            values[name], units[name] = converted(name, column, stated, journal=journal)
    return values, units


def by_parameter(
    values: NDArray[np.float64],
    parameter: pd.Series | None,
    *,
    reading: Reading,
    journal: Journal,
) -> Values:
    """Return values split by the word that says what each of them is; NaN on the other rows."""
    if parameter is None:
        return {single_variable(reading, journal=journal): values}
    codes, uniques = pd.factorize(parameter)
    found = {word: known_variable(str(word)) for word in uniques}
    unknown = [str(word) for word, name in found.items() if name is None]
    if unknown:
        journal.decide(f"parameters not used: {listed(unknown)}")
    names = sorted({name for name in found.values() if name is not None})
    if not any(name in POLLUTANTS for name in names):
        journal.fault(
            f"no parameter is a pollutant ({', '.join(POLLUTANTS)}); they are {listed(unknown)}"
        )
    of_code = np.array([found[word] or "" for word in uniques] + [""], dtype=object)
    return {name: np.where(of_code[codes] == name, values, np.nan) for name in names}


def converted_by_row(
    variable: str, values: NDArray[np.float64], units: pd.Series, *, journal: Journal
) -> NDArray[np.float64]:
    """Return values of a pollutant in ug m-3, each from the units of its own row."""
    codes, uniques = pd.factorize(units)
    measured = ~np.isnan(values)
    factors = np.ones(len(uniques) + 1)
    if (codes[measured] < 0).any():
        lost = int((codes[measured] < 0).sum())
        journal.decide(f"{lost} rows of {variable} state no units and are taken for ug m-3")
    for code in np.unique(codes[measured & (codes >= 0)]):
        with journal.collecting():
            factors[code] = concentration_factor(str(uniques[code]), variable)
        if factors[code] != 1.0:
            rows = int((codes[measured] == code).sum())
            journal.decide(
                f"{rows} rows of {variable} converted from {uniques[code]} to ug m-3 "
                f"(times {factors[code]:.6g})"
            )
    return values if (factors == 1.0).all() else values * factors[codes]


def single_variable(reading: Reading, *, journal: Journal) -> str:
    """Return the pollutant of a table that does not name it: the caller's word, or PM2.5."""
    given = reading.columns.get("variable")
    if given is None:
        journal.decide("the pollutant is not named and taken for pm25; "
                       "columns={'variable': 'pm10'} names another")  # fmt: skip
        return "pm25"
    try:
        return pollutant(str(given)).name
    except UnknownPollutantError as error:
        raise ObservationError(f"columns names the variable {given!r}: {error}") from error


def converted(
    variable: str, values: NDArray[np.float64], stated: str | None, *, journal: Journal
) -> tuple[NDArray[np.float64], str | None]:
    """Return values in the units of this package, and those units where they are known.

    Pollutants without stated units are taken for ug m-3, and that is logged; other variables
    without stated units keep their numbers and get no units.
    """
    with journal.collecting():
        if variable in POLLUTANTS:
            if stated is None:
                journal.decide(f"{variable} states no units and is taken for ug m-3")
                return values, "ug m-3"
            factor = concentration_factor(stated, variable)
            if factor != 1.0:
                journal.decide(f"{variable} converted from {stated} to ug m-3 (times {factor:.6g})")
            return (values if factor == 1.0 else values * factor), "ug m-3"
        if variable in METEOROLOGY and stated is not None:
            target = METEOROLOGY[variable].units
            factor, offset = linear_conversion(stated, target, variable)
            same = (factor, offset) == (1.0, 0.0)
            return (values if same else values * factor + offset), target
    return values, stated
