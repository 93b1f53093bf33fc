"""Tables whose columns are stations, or hours of the day."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.columns import Columns, guess, split_units
from aqreanalysis.observations.sources.description import Source
from aqreanalysis.observations.sources.headers import BESIDE
from aqreanalysis.observations.sources.options import Condition, Reading
from aqreanalysis.observations.sources.stations import identifier, station_table
from aqreanalysis.observations.sources.values import no_column, single_variable
from aqreanalysis.observations.variables import folded, known_variable, listed


def from_wide(
    table: pd.DataFrame,
    source: Source,
    columns: Columns,
    constants: dict[str, str],
    units: dict[str, str],
    stated: Mapping[str, str],
    reading: Reading,
    journal: Journal,
) -> pd.DataFrame:
    """Return a row a station and time of a table with a column a station, or one of each variable.

    ``stated`` are the units in a line below the names. A pollutant from the file's name is
    removed from ``constants``; units in the names of columns are added to ``units``.
    """
    names = list(table.columns)
    roles = dict(columns.roles)
    if not {"time", "date", "year"} & set(roles):
        raise ObservationError(no_column("time", names), source=journal.source)
    series = [n for n in names if n and n not in roles.values()]
    if source.series:
        odd = [name for name in series if not source.is_series(name)]
        if odd:
            journal.decide(f"columns not used: {listed(odd)}")
        series = [name for name in series if name not in odd]
    elif reading.stations is not None:
        pairs = [name for name in series if folded(name.split()[-1]) not in BESIDE]
        both = _stations_and_variables(pairs, reading.stations, reading.station_columns)
        if both and len(table):
            _add_units(units, both, table, stated, journal)
            return _by_variable(table, roles, both)
        series = _of_stations(series, reading, journal)
    else:
        series = [n for n in series if not n.startswith("Unnamed:")]  # an index of pandas
    if len(table) == 0 or not series:
        journal.fault("the table has no rows" if series else "the table has no station columns")
    journal.stop_if_faulty()
    if "parameter" in roles:
        return stations_to_rows(table, roles, series, "value")
    word = constants.pop("parameter", None)
    if word is None or "variable" in reading.columns:
        variable = single_variable(reading, journal=journal)
    else:
        variable = source.parameters.get(word, known_variable(word) or "")
        if not variable:
            raise ObservationError(
                f"the file's name says {word!r}, which is no known pollutant; say it with "
                "columns={'variable': 'pm10'}",
                source=journal.source,
            )
        journal.decide(f"the pollutant is {variable}, by the file's name")
    _add_units(units, {name: (name, variable, None) for name in series}, table, stated, journal)
    return stations_to_rows(table, roles, series, variable)


def _add_units(
    units: dict[str, str],
    columns: Mapping[str, tuple[str, str, str | None]],
    table: pd.DataFrame,
    stated: Mapping[str, str],
    journal: Journal,
) -> None:
    """Add the units of each variable; refuse those that differ between its stations."""
    for name, (_, variable, in_name) in columns.items():
        own = in_name or stated.get(name) or units_beside(table, name)
        if own and units.setdefault(variable, own) != own:
            journal.fault(
                f"{variable} is in {units[variable]} at some stations and in {own} in the column "
                f"{name}: write it in the same units"
            )
    journal.stop_if_faulty()


def units_beside(table: pd.DataFrame, column: str) -> str | None:
    """Return the units in a column of their own behind that of a variable: "Ozone unit"."""
    beside = next((n for n in table if n in (f"{column} unit", f"{column} units")), None)
    words = table[beside].dropna().unique().tolist() if beside is not None else []
    return str(words[0]) if len(words) == 1 else None


def _stations_and_variables(
    names: list[str], stations: pd.DataFrame, given: Mapping[str, str]
) -> dict[str, tuple[str, str, str | None]]:
    """Return station, variable and units of columns such as "Hill PM2.5 [ug/m3]", if all are so."""
    usable = {role: name for role, name in given.items() if name in stations}
    roles = guess([str(name) for name in stations.columns], usable).roles
    column = usable.get("id", roles.get("station"))
    if column is None:
        return {}
    listing = sorted({identifier(word) for word in stations[column].dropna()}, key=len)[::-1]
    parts: dict[str, tuple[str, str, str | None]] = {}
    for name in names:
        bare, units = split_units(name)
        for station in listing:
            rest = re.fullmatch(
                rf"{re.escape(station)}[\s_.:/-]+(.+)|(.+)[\s_.:/-]+{re.escape(station)}", bare
            )
            variable = known_variable(rest[1] or rest[2]) if rest else None
            if variable is not None:
                parts[name] = station, variable, units
                break
        else:
            return {}
    return parts


def _by_variable(
    table: pd.DataFrame,
    roles: Mapping[str, str],
    columns: Mapping[str, tuple[str, str, str | None]],
) -> pd.DataFrame:
    """Return a row a station and time, a column a variable, from one column of each pair."""
    parts = []
    for variable in dict.fromkeys(variable for _, variable, _ in columns.values()):
        own = {name: station for name, (station, v, _) in columns.items() if v == variable}
        series = table.rename(columns=own)
        parts.append(stations_to_rows(series, roles, list(own.values()), variable))
    return pd.concat([part.astype({"station": str}) for part in parts], ignore_index=True)


def _of_stations(series: list[str], reading: Reading, journal: Journal) -> list[str]:
    """Return the columns that are stations of the table of stations."""
    assert reading.stations is not None
    listing, _ = station_table(
        reading.stations,
        journal=Journal("", silent=True),
        columns=reading.station_columns,
        wanted=[identifier(name) for name in series],
    )
    known = set(listing.tolist())
    strangers = [name for name in series if identifier(name) not in known]
    few = len(strangers) <= journal.tolerance * len(series)
    if strangers and (few or reading.skip_unplaced) and len(strangers) < len(series):
        journal.warn(
            f"{len(strangers)} columns are no station of the table of stations and are left out: "
            f"{listed(strangers)}"
        )
        return [name for name in series if name not in strangers]
    if strangers:
        journal.fault(
            f"columns that are no station of the station table: {listed(strangers)}. "
            "Add them there, drop them, or leave them out with skip_unplaced=True"
        )
    return series


def _good_flag(
    table: pd.DataFrame, source: Source, flags: list[str], reading: Reading
) -> Condition | None:
    """Return the condition for a good flag: the caller's, the documented one, or by usual codes."""
    stated = [condition for condition in reading.valid if condition.column == "flag"]
    if stated or source.good:
        return stated[0] if stated else Condition.of(f"flag{source.good}")
    words = {str(flag).strip() for flag in pd.unique(table[flags].to_numpy().ravel())}
    words -= {"None", "nan", ""}
    if words and words <= {"V", "N"}:
        return Condition.of("flag=V")
    return Condition.of("flag>=1") if words and words <= {"-99", "-1", "1", "2", "3"} else None


def from_hours(
    table: pd.DataFrame, source: Source, columns: Columns, reading: Reading, journal: Journal
) -> pd.DataFrame:
    """Return a row an hour of a table with a column an hour."""
    names = list(table.columns)
    hours, flags = {}, {}
    for name in names:
        if name in columns.roles.values():
            continue
        match = re.fullmatch(source.series, name.strip())
        flag = source.hour_of_flag(name)
        if match:
            hours[name] = match[1]
        elif flag is not None:
            flags[name] = flag
    if not hours:
        raise ObservationError(f"no columns of hours; the columns are {listed(names)}")
    roles = dict(columns.roles)
    if "time" in roles and "date" not in roles:
        roles["date"] = roles.pop("time")
    good = _good_flag(table, source, list(flags), reading)
    if flags and good is None:
        journal.warn(
            f"columns of flags are not used: {listed(flags)}; say which are good with "
            "valid='flag=V'"
        )
    roles.pop("hour", None)
    return hours_to_rows(table, roles, hours, flags, good, journal=journal)


def stations_to_rows(
    table: pd.DataFrame, columns: Mapping[str, str], series: Sequence[str], value: str
) -> pd.DataFrame:
    """Return a table with a row a station and time from one with a column a station.

    ``columns`` are those that stay, by their new name; ``value`` is that of the values.

    Examples
    --------
    >>> table = pd.DataFrame({"t": [1, 2], "A": [3.0, 4.0], "B": [5.0, 6.0]})
    >>> stations_to_rows(table, {"time": "t"}, ["A", "B"], "pm25").values.tolist()
    [[1, 'A', 3.0], [2, 'A', 4.0], [1, 'B', 5.0], [2, 'B', 6.0]]
    """
    rows = np.tile(np.arange(len(table)), len(series))
    long = table[list(columns.values())].iloc[rows].set_axis(list(columns), axis=1)
    codes = np.repeat(np.arange(len(series)), len(table))
    return long.reset_index(drop=True).assign(
        station=pd.Categorical.from_codes(codes, pd.Index(series)),
        **{value: table[list(series)].to_numpy().ravel(order="F")},
    )


def hours_to_rows(
    table: pd.DataFrame,
    columns: Mapping[str, str],
    hours: Mapping[str, str],
    flags: Mapping[str, str],
    good: Condition | None,
    *,
    journal: Journal,
) -> pd.DataFrame:
    """Return a table with a row an hour from one with a row a day and a column an hour.

    ``hours`` and ``flags`` map columns to the hour; a value whose flag is not ``good`` is missing.

    Examples
    --------
    >>> table = pd.DataFrame({"d": ["2020-01-01"], "H01": [3.0], "H02": [4.0]})
    >>> hours = {"H01": "01", "H02": "02"}
    >>> hours_to_rows(table, {"date": "d"}, hours, {}, None, journal=Journal("t")).values.tolist()
    [['2020-01-01', '01', 3.0], ['2020-01-01', '02', 4.0]]
    """
    values = table[list(hours)].to_numpy(dtype=object)
    if flags and good is not None:
        by_hour = {hour: column for column, hour in flags.items()}
        refused = np.zeros(values.shape, dtype=bool)
        for place, hour in enumerate(hours.values()):
            if hour in by_hour:
                flag = table[by_hour[hour]]
                refused[:, place] = ~good.holds(flag) & table[list(hours)[place]].notna().to_numpy()
        if refused.any():
            journal.decide(f"{int(refused.sum())} values whose flag is not {good} are not used")
            values[refused] = None
    rows = np.repeat(np.arange(len(table)), len(hours))
    long = table[list(columns.values())].iloc[rows].set_axis(list(columns), axis=1)
    return long.reset_index(drop=True).assign(
        hour=np.tile(np.array(list(hours.values()), dtype=object), len(table)),
        value=pd.Series(values.ravel()).infer_objects(),
    )
