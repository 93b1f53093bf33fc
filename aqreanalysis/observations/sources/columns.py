"""The columns of a table: which is the station, the time, a pollutant, the weather."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks.positions import first_rows
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.options import ColumnNames
from aqreanalysis.observations.variables import folded, known_variable, listed

#: Spellings of each role, the likeliest first, in lower case and without separators. A monitor,
#: one of several instruments of a station, is only what the caller or a format names so.
ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        role: tuple(spellings.split())
        for role, spellings in {
            "station": """station stationid stationcode site siteid sitecode sitenumber aqsid
                locationid sensor sensorid monitor monitorid stationname sitename location name""",
            "monitor": "",
            "name": "name stationname sitename localsitename location",
            "time": """time datetime timestamp timeutc datetimeutc utc utctime utcdatetime timegmt
                datetimegmt gmt validtime localtime datetimelocal timelocal""",
            "date": "date day dateutc dategmt datelocal",
            "longitude": "longitude lon long lng",
            "latitude": "latitude lat",
            "altitude": "altitude alt elevation elev stationaltitude heightabovesealevel",
            "units": "units unit unitsofmeasure",
            "parameter": "parameter pollutant species variable parametername",
            "value": "value measurement samplemeasurement concentration result",
            "datum": "datum",
            "time_label": "timelabel",
            "year": "year",
            "month": "month",
            "hour": "hour",
        }.items()
    }
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table: of each role, of each variable, and the units in their names."""

    roles: Mapping[str, str]
    variables: Mapping[str, str]
    units: Mapping[str, str]


def recognise(names: Sequence[str], given: ColumnNames, *, journal: Journal) -> Columns:
    """Return the roles of columns, as the caller states them or else by their usual names.

    A given name that is neither role nor variable becomes a variable of that name. Given columns
    that do not exist and two columns for one variable are faults; unused columns are logged.

    Examples
    --------
    >>> names = ["site", "lat", "lon", "date", "O3 [ppb]"]
    >>> columns = recognise(names, {}, journal=Journal("table"))
    >>> columns.roles["time"], columns.variables, columns.units
    ('date', {'o3': 'O3 [ppb]'}, {'o3': 'ppb'})
    """
    roles: dict[str, str] = {}
    variables: dict[str, str] = {}
    for name, column in given.items():
        if name == "variable" or not isinstance(column, str):
            continue
        if column not in names:
            journal.fault(f"columns names {column!r} for {name}; the columns are {listed(names)}")
        (roles if name in ROLES else variables)[name] = column
    free = [name for name in names if name not in {*roles.values(), *variables.values()}]
    _add_roles(roles, free)
    free = [name for name in free if name not in roles.values()]
    units = _add_variables(variables, free, journal)
    unused = [name for name in free if name not in variables.values()]
    if unused:
        journal.decide(f"columns not used: {listed(unused, 100)}")
    return Columns(roles, variables, units)


def guess(names: Sequence[str], given: ColumnNames | None = None) -> Columns:
    """Return the roles of columns as `recognise` does, without log and faults."""
    return recognise(names, given or {}, journal=Journal("", silent=True))


def joined(columns: Sequence[pd.Series], text: Callable[..., str]) -> pd.Series:
    """Return a text for every row, made once for each combination of the columns' values.

    Examples
    --------
    >>> parts = [pd.Series([6, 6]), pd.Series([37, 1])]
    >>> joined(parts, lambda state, county: f"{state:02}-{county:03}").tolist()
    ['06-037', '06-001']
    """
    codes, size = np.zeros(len(columns[0]), dtype=np.int64), 1
    for column in columns:
        own, uniques = pd.factorize(column, use_na_sentinel=False)
        if size * len(uniques) > 2**62:
            codes, combinations = pd.factorize(codes)
            size = len(combinations)
        codes, size = codes * len(uniques) + own, size * len(uniques)
    codes, combinations = pd.factorize(codes)
    rows = first_rows(codes, len(combinations))
    texts = [text(*words) for words in zip(*(c.iloc[rows] for c in columns), strict=True)]
    words, place = np.unique(np.array(texts, dtype=str), return_inverse=True)
    return pd.Series(
        pd.Categorical.from_codes(place[codes], pd.Index(words)), index=columns[0].index
    )


def _add_roles(roles: dict[str, str], free: Sequence[str]) -> None:
    """Fill the roles that are not given, each by its likeliest spelling."""
    by_key = {folded(name): name for name in reversed(free)}
    for role, spellings in ROLES.items():
        taken = {column for other, column in roles.items() if other != role}
        likely = [by_key[s] for s in spellings if s in by_key and by_key[s] not in taken]
        if role not in roles and likely:
            roles[role] = likely[0]
    if "time" not in roles and "date" in roles and not {"year", "hour"} & set(roles):
        roles["time"] = roles.pop("date")


def _add_variables(
    variables: dict[str, str], free: Sequence[str], journal: Journal
) -> dict[str, str]:
    """Fill the variables that are not given, and return the units in the columns' names."""
    given = set(variables)
    for column in free:
        bare = _split_units(column)[0]
        if bare == "No":
            journal.decide("column 'No' is taken for a row number; columns={'no': 'No'} reads it")
            continue
        variable = known_variable(bare)
        if variable is None or variable in given:
            continue
        if variable in variables:
            journal.fault(
                f"columns {variables[variable]!r} and {column!r} both look like {variable}; "
                f"choose with columns={{{variable!r}: ...}}"
            )
            continue
        variables[variable] = column
    units = {variable: _split_units(column)[1] for variable, column in variables.items()}
    return {variable: unit for variable, unit in units.items() if unit}


def _split_units(column: str) -> tuple[str, str | None]:
    """Return a column's name without the units in its brackets, and those units."""
    text = str(column).strip()
    start = max(text.rfind("("), text.rfind("["))
    units = text[start + 1 : -1].strip()
    if start < 0 or not units or not text.endswith((")", "]")):
        return str(column), None
    return text[:start].strip(), units
