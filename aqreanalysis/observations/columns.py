"""The names that columns go by: which column is the station, the time, a pollutant, the weather."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, find_pollutant
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.options import ColumnNames

#: Spellings of each role, the likeliest first, in lower case and without separators.
ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        role: tuple(spellings.split())
        for role, spellings in {
            "station": """station stationid stationcode site siteid sitecode sitenumber aqsid
                locationid sensor sensorid monitor monitorid stationname sitename location name""",
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
class Meteorology:
    """One meteorological variable: its units here, its CF name and its other spellings."""

    units: str
    standard_name: str
    spellings: tuple[str, ...]


METEOROLOGY: Mapping[str, Meteorology] = MappingProxyType(
    {
        "temperature": Meteorology(
            "degC", "air_temperature", ("temperature", "temp", "airtemperature", "t2m")
        ),
        "pressure": Meteorology(
            "hPa", "air_pressure", ("pressure", "pres", "airpressure", "surfacepressure")
        ),
        "dew_point": Meteorology(
            "degC", "dew_point_temperature", ("dewpoint", "dewp", "dewpointtemperature")
        ),
        "relative_humidity": Meteorology(
            "%", "relative_humidity", ("relativehumidity", "humidity", "rh")
        ),
        "wind_speed": Meteorology("m s-1", "wind_speed", ("windspeed", "wspm", "ws")),
        "wind_direction": Meteorology(
            "degree", "wind_from_direction", ("winddirection", "wd", "winddir")
        ),
        "rain": Meteorology(
            "mm", "lwe_thickness_of_precipitation_amount", ("rain", "precipitation", "rainfall")
        ),
    }
)


@dataclass(frozen=True)
class Columns:
    """The columns of a table, told apart.

    Parameters
    ----------
    roles : mapping
        From role (``"station"``, ``"time"``, ...) to column.
    variables : mapping
        From variable (``"pm25"``, ``"temperature"``, ...) to column.
    units : mapping
        From variable to the units in the column's own name: ``"o3 [ppb]"``.
    """

    roles: Mapping[str, str]
    variables: Mapping[str, str]
    units: Mapping[str, str]


def recognise(names: Sequence[str], given: ColumnNames, *, journal: Journal) -> Columns:
    """Return which column is what, by the caller's word first and by usual names second.

    Parameters
    ----------
    names : sequence of str
        The columns of the table.
    given : mapping
        From role or variable to column. A name that is neither becomes a variable of that name.
    journal : Journal
        Takes the faults (a given column that is not there; two columns for one variable) and
        the columns that are not used.

    Returns
    -------
    Columns

    Examples
    --------
    >>> found = recognise(["site", "lat", "lon", "date", "O3 [ppb]"], {}, journal=Journal("table"))
    >>> found.roles["time"], found.variables, found.units
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
        journal.decide(f"columns not used: {', '.join(unused)}")
    return Columns(roles, variables, units)


def attributes_of(variable: str, units: str | None) -> dict[str, str]:
    """Return the CF attributes of a variable.

    Parameters
    ----------
    variable : str
        A pollutant, a meteorological variable, or any other.
    units : str or None
        Units of the latter two; None where they are not known, and then none are stated.

    Returns
    -------
    dict

    Examples
    --------
    >>> attributes_of("rain", None)
    {'standard_name': 'lwe_thickness_of_precipitation_amount', 'long_name': 'rain'}
    """
    if variable in POLLUTANTS:
        found = POLLUTANTS[variable]
        return {
            "units": CONCENTRATION_UNITS,
            "standard_name": found.standard_name,
            "long_name": found.long_name,
        }
    attributes = {"units": units} if units else {}
    if variable in METEOROLOGY:
        attributes["standard_name"] = METEOROLOGY[variable].standard_name
    return {**attributes, "long_name": variable.replace("_", " ")}


def folded(name: str) -> str:
    """Return a column's name in lower case and without separators: ``"Site Num"``, "sitenum"."""
    return "".join(c for c in str(name).lower() if c.isalnum())


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names for a message, the first few of many."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest if names else "none"


def known_variable(name: str) -> str | None:
    """Return the pollutant or meteorological variable that goes by a name, or None."""
    found = find_pollutant(name)
    if found is not None:
        return found.name
    key = folded(name)
    return next((n for n, m in METEOROLOGY.items() if key == folded(n) or key in m.spellings), None)


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
    units: dict[str, str] = {}
    given = set(variables)
    for column in free:
        bare, unit = _split_units(column)
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
        if unit:
            units[variable] = unit
    for variable in given:
        unit = _split_units(variables[variable])[1]
        if unit:
            units[variable] = unit
    return units


def _split_units(column: str) -> tuple[str, str | None]:
    """Return a column's name without the units in its brackets, and those units."""
    match = re.fullmatch(r"\s*(.*?)\s*[\[(]\s*([^\])]+?)\s*[\])]\s*", str(column))
    return (match[1], match[2]) if match else (str(column), None)
