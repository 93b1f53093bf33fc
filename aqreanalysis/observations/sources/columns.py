"""The columns of a table: which is the station, the time, a pollutant, the weather."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks.positions import first_rows
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.options import ColumnNames
from aqreanalysis.observations.variables import folded, is_remark, known_variable, listed

#: Spellings of each role, the likeliest first, in lower case and without separators. A monitor,
#: one of several instruments of a station, has no usual spelling: the caller or a format names it.
ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        role: tuple(spellings.split())
        for role, spellings in {
            "station": """station stationid stationcode site siteid sitecode sitenumber aqsid
                locationid sensor sensorid monitor monitorid stationeoicode airqualitystationeoicode
                airqualitystation samplingpoint samplingpointid siteaqs fullaqsid ukairid cveestac
                codigoserial estacion estación codestation idstation codesite messstelle
                stationname sitename location name""",
            "monitor": "",
            "name": """name stationname sitename localsitename location airqualitystationname
                nomestac nombre nom""",
            "time": """time datetime timestamp timeutc datetimeutc utc utctime utcdatetime timegmt
                datetimegmt gmt validtime localtime datetimelocal timelocal start starttime begin
                begintime datetimebegin datetimestart timestart timebegin from fromdate
                readingdatetime dateandtime datehour fechahora fechayhora zeitpunkt zeit uhrzeit
                datumzeit datumuhrzeit dateheure datededébut datededebut begindatumtijd inicio
                beginn""",
            "end": """end endtime datetimeend timeend dateend todate datedefin einddatumtijd fin
                ende""",
            "date": "date day dateutc dategmt datelocal fecha dia día",
            "longitude": """longitude lon long lng longitud longitudine längengrad laengengrad
                länge laenge sitelongitude stationlongitude londd 经度""",
            "latitude": """latitude lat latitud latitudine breitengrad breite sitelatitude
                stationlatitude latdd 纬度""",
            "altitude": """altitude alt elevation elev stationaltitude heightabovesealevel altitud
                elevationm altitudem""",
            "sensor_type": "sensortype instrumenttype",
            "station_type": """stationtype airqualitystationtype stationclassification sitetype
                environmenttype typeofstation""",
            "area_type": """areatype airqualitystationarea areaclassification stationtypeofarea
                typeofarea""",
            "units": """units unit unitsofmeasure unitofmeasure unitofmeasurement concunit
                reportingunits unidad unidades unité unitédemesure unitedemesure
                einheit eenheid""",
            "parameter": """parameter pollutant species variable parametername airpollutant
                component substance pollutantname idparameter param parametro parámetro contaminante
                polluant komponente""",
            "value": """value measurement samplemeasurement concentration result valor valeur
                wert messwert valuenumeric rawconc conc""",
            "datum": "datum",
            "zone": """timezone tz utcoffset gmtoffset offsetutc offsetgmt timezoneoffset zeitzone
                zonahoraria fuseauhoraire""",
            "time_label": "timelabel",
            "year": "year año ano annee année jahr",
            "month": "month mes mois monat",
            "hour": "hour hora heure stunde hr",
        }.items()
    }
)


#: Names of a time column; beside one of them "Datum" is a date, not a geodetic datum.
_GERMAN_TIMES = ("zeit", "uhrzeit", "stunde")

#: Characters of a name that may end in units.
_LONGEST = 100

#: Units without brackets behind a name: "PM10_ug_m3", "no2 ppb".
_UNITS_AT_END = re.compile(
    r"(?i)\s*(.+?)[\s_.-]+((?:[uµμmn]g[ /_.]?m(?:\^?-?3|³)|pp[bmt]v?))(?:\s+LC)?\s*"
)

#: Spellings of a column of time that say that a stamp is the start, or the end, of its period.
LABELLED: Mapping[str, str] = MappingProxyType(
    {
        spelling: label
        for label, spellings in {
            "start": "start starttime begin begintime datetimebegin datetimestart timestart "
            "timebegin from fromdate datededébut datededebut begindatumtijd inicio beginn",
            "end": "end endtime datetimeend timeend dateend todate datedefin "
            "einddatumtijd fin ende",
        }.items()
        for spelling in spellings.split()
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
    by_key = {folded(split_units(name)[0]): name for name in reversed(free)}
    by_key |= {folded(name): name for name in reversed(free)}
    for role, spellings in ROLES.items():
        taken = {column for other, column in roles.items() if other != role}
        likely = [by_key[s] for s in spellings if s in by_key and by_key[s] not in taken]
        if role not in roles and likely:
            roles[role] = likely[0]
    day = next((by_key[word] for word in ("day", "dia", "día", "tag") if word in by_key), None)
    if day is not None and {"year", "month"} <= set(roles) and day not in roles.values():
        roles["date"] = day  # a column of whole dates may be present too
    time = folded(roles.get("time", roles.get("hour", "stunde")))
    if "datum" in roles and not {"date", "end"} & set(roles) and time in _GERMAN_TIMES:
        roles["date"] = roles.pop("datum")
    if "time" not in roles and "date" in roles and not {"year", "hour"} & set(roles):
        roles["time"] = roles.pop("date")
    elif "time" not in roles and "end" in roles and "date" not in roles:
        roles["time"] = roles.pop("end")


def _add_variables(
    variables: dict[str, str], free: Sequence[str], journal: Journal
) -> dict[str, str]:
    """Fill the variables that are not given, and return the units in the columns' names."""
    given = set(variables)
    for column in free:
        bare = split_units(column)[0]
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
    units = {variable: split_units(column)[1] for variable, column in variables.items()}
    return {variable: unit for variable, unit in units.items() if unit}


def split_units(column: str) -> tuple[str, str | None]:
    """Return a column's name without the units in its brackets or at its end, and those units."""
    text = str(column).strip()
    start = max(text.rfind("("), text.rfind("["))
    units = text[start + 1 : -1].strip()
    is_units = bool(units) and not is_remark(units) and known_variable(units) is None
    if start >= 0 and is_units and text.endswith((")", "]")):
        return text[:start].strip(), units
    at_end = _UNITS_AT_END.fullmatch(text) if len(text) < _LONGEST else None
    if at_end is None:
        return str(column), None
    return at_end[1], at_end[2].replace("_", "/") if "_m3" in at_end[2] else at_end[2]


def is_known(name: str) -> bool:
    """Return whether a column has a usual name of a role or a variable."""
    return folded(name) in _SPELLINGS or known_variable(split_units(name)[0]) is not None


_SPELLINGS = frozenset(spelling for words in ROLES.values() for spelling in words)
