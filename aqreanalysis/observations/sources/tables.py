"""Long and wide tables to Datasets: the measured values, their units, stations and hours."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, UnknownPollutantError, pollutant
from aqreanalysis.observations.checks import Floats
from aqreanalysis.observations.checks.numbers import numbers
from aqreanalysis.observations.checks.times import to_utc
from aqreanalysis.observations.checks.units import concentration_factor, conversion
from aqreanalysis.observations.journal import Describe, Journal, ObservationError
from aqreanalysis.observations.sources.assembly import Rows, assemble
from aqreanalysis.observations.sources.columns import Columns, guess, joined, recognise
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.sources.stations import (
    identifier,
    positions_from_table,
    positions_in_rows,
    station_codes,
    station_table,
)
from aqreanalysis.observations.variables import known_variable, listed

Values = dict[str, Floats]
Units = dict[str, str | None]


def from_long(table: pd.DataFrame, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of a table with one row a station and hour.

    The table has a column for each pollutant, or one with the pollutant's name and one with its
    value. Several monitors of a station, if the table tells them apart, are averaged.

    Raises
    ------
    ObservationError
        With all faults of the table.
    """
    names = [str(name) for name in table.columns]
    parts = _station_parts(names, reading, journal)
    given = {role: column for role, column in reading.columns.items() if column is not parts}
    free = [name for name in names if name not in (parts or ()) or name in given.values()]
    columns = recognise(free, given, journal=journal)
    roles = columns.roles
    needed = [] if parts else ["station"]
    needed += ["longitude", "latitude"] if reading.stations is None else []
    for role in needed:
        if role not in roles:
            journal.fault(_no_column(role, names))
    if "value" not in roles and not any(name in POLLUTANTS for name in columns.variables):
        journal.fault(
            f"no column of a pollutant ({', '.join(POLLUTANTS)}); the columns are "
            f"{listed(names)}. Name one with columns={{'pm25': ...}}"
        )
    stamps = _stamps(table, roles, journal)
    if len(table) == 0:
        journal.fault("the table has columns but no rows")
    journal.stop_if_faulty()
    column = joined([table[p] for p in parts], _dashed) if parts else table[roles["station"]]
    station, identifiers = station_codes(column, journal=journal)

    def describe(row: int) -> str:
        stamp = f", {stamps.iloc[row]}" if str(stamps.iloc[row]) else ""
        return f"row {row + 1} (station {identifiers[station[row]]}{stamp})"

    time = to_utc(stamps, time_zone=_zone_of(roles, reading), describe=describe, journal=journal)
    with journal.collecting():
        if reading.stations is not None:
            positions = positions_from_table(reading.stations, identifiers, journal=journal)
        else:
            positions = positions_in_rows(
                table, dict(roles), station, identifiers, describe=describe, journal=journal
            )
    values, units = _measured_values(table, columns, describe, reading, journal)
    reading = _with_own_label(table, roles, reading, journal)
    journal.stop_if_faulty()
    rows = Rows(station, identifiers, time, values, units)
    if "monitor" in roles:
        rows = _by_monitor(rows, table[roles["monitor"]])
    return assemble(rows, identifiers, positions, reading=reading, journal=journal)


def from_wide(table: pd.DataFrame, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of a table with one row an hour and one column a station.

    ``reading.stations`` is the table of the stations; ``reading.columns["variable"]`` is the
    pollutant, PM2.5 if there is none.

    Raises
    ------
    ObservationError
        With all faults of the table.
    """
    if reading.stations is None:
        raise ObservationError(
            "a wide table (time, and one column a station) has no coordinates: pass "
            "stations=..., a table with the columns station, longitude, latitude",
            source=journal.source,
        )
    names = [str(name) for name in table.columns]
    identifiers = set(station_table(reading.stations, journal=journal)[0].tolist())
    given = {"time": reading.columns["time"]} if "time" in reading.columns else {}
    time = guess(names, given).roles.get("time")
    if time not in names:
        raise ObservationError(_no_column("time", names), source=journal.source)
    series = [name for name in names if name != time]
    strangers = [name for name in series if identifier(name) not in identifiers]
    if strangers:
        journal.fault(
            f"columns that are no station of the station table: {listed(strangers)}. "
            "Add them there, or drop them"
        )
    if len(table) == 0 or not series:
        journal.fault("the table has no rows" if series else "the table has no station columns")
    journal.stop_if_faulty()
    variable = _single_variable(reading, journal=journal)
    table = table.set_axis(names, axis=1)
    hours, stations = np.arange(len(table)), np.arange(len(series))
    long = pd.DataFrame(
        {
            "station": pd.Categorical.from_codes(np.repeat(stations, hours.size), pd.Index(series)),
            "time": table[time].iloc[np.tile(hours, stations.size)].reset_index(drop=True),
            variable: table[series].to_numpy().ravel(order="F"),
        }
    )
    columns = {name: name for name in long.columns}
    return from_long(long, reading=replace(reading, columns=columns), journal=journal)


def is_wide(names: Sequence[str], reading: Reading) -> bool:
    """Return whether a table's columns are stations: none says which station a row is."""
    if "station" in reading.columns:
        return False
    columns = guess(names)
    if "station" in columns.roles or "time" not in columns.roles:
        return False
    return reading.stations is not None or not columns.variables


def _no_column(role: str, names: Iterable[object]) -> str:
    """Return the fault of a role without a column."""
    return (
        f"no column of {role}; the columns are {listed(names)}. "
        f"Name it with columns={{{role!r}: ...}}"
    )


def _single_variable(reading: Reading, *, journal: Journal) -> str:
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


def _station_parts(
    names: Sequence[str], reading: Reading, journal: Journal
) -> Sequence[str] | None:
    """Return the columns that make the identifier together, where the caller names several."""
    parts = reading.columns.get("station")
    if parts is None or isinstance(parts, str):
        return None
    absent = [part for part in parts if part not in names]
    if absent:
        journal.fault(
            f"columns names {listed(absent)} for station; the columns are {listed(names)}"
        )
    return parts


def _dashed(*parts: object) -> str:
    """Return an identifier from its parts."""
    return "-".join(map(identifier, parts))


def _by_monitor(rows: Rows, monitor: pd.Series) -> Rows:
    """Return the rows as series of monitors instead of stations."""
    codes, uniques = pd.factorize(monitor, use_na_sentinel=False)
    series, combined = pd.factorize(rows.series * len(uniques) + codes)
    station, own = np.divmod(combined, len(uniques))
    names = [f"{rows.names[at]} {uniques[code]}" for at, code in zip(station, own, strict=True)]
    return replace(rows, series=series, names=np.array(names, dtype=str), station=station)


def _stamps(table: pd.DataFrame, roles: Mapping[str, str], journal: Journal) -> pd.Series:
    """Return the column of time, or the one made of a date and an hour."""
    if "date" in roles and "time" in roles and len(table):
        clock = table[roles["time"]]
        if re.fullmatch(r"\d{1,2}(:\d{2}){0,2}", str(clock.iloc[0]).strip()):
            return joined([table[roles["date"]], clock], "{} {}".format)
    if "time" in roles:
        return table[roles["time"]]
    if {"year", "month", "date", "hour"} <= set(roles):
        parts = {"year": "year", "month": "month", "day": "date", "hour": "hour"}
        frame = pd.DataFrame({part: table[roles[role]] for part, role in parts.items()})
        return pd.Series(pd.to_datetime(frame, errors="coerce"))
    if {"date", "hour"} <= set(roles):
        return joined(
            [table[roles["date"]], table[roles["hour"]]],
            lambda date, hour: f"{date} {str(hour).zfill(2)}:00",
        )
    journal.fault(_no_column("time", table.columns))
    return pd.Series([""] * len(table))


def _zone_of(roles: Mapping[str, str], reading: Reading) -> str | None:
    """Return the zone of the caller, or UTC where the column's name says so."""
    name = roles.get("time", roles.get("date", "")).lower()
    if reading.time_zone is None and ("utc" in name or "gmt" in name):
        return "UTC"
    return reading.time_zone


def _with_own_label(
    table: pd.DataFrame, roles: Mapping[str, str], reading: Reading, journal: Journal
) -> Reading:
    """Return the options with the time label that the table states, if the caller states none."""
    if reading.time_label is not None or "time_label" not in roles:
        return reading
    words = table[roles["time_label"]].unique().tolist()
    if len(words) != 1 or words[0] not in ("start", "end"):
        journal.fault(f"time_label must be 'start' in all rows or 'end' in all; found {words[:3]}")
        return reading
    return replace(reading, time_label=words[0])


def _measured_values(
    table: pd.DataFrame, columns: Columns, describe: Describe, reading: Reading, journal: Journal
) -> tuple[Values, Units]:
    """Return every variable's values, one a row of the table, and the variables' units.

    Units are those that the caller states, or those in the column's name, or those in a column
    of units, row by row.
    """
    roles = columns.roles
    row_units = table[roles["units"]] if "units" in roles else None
    if "value" in roles and not any(name in POLLUTANTS for name in columns.variables):
        column = numbers(table[roles["value"]], name="value", describe=describe, journal=journal)
        parameter = table[roles["parameter"]] if "parameter" in roles else None
        raw = _by_parameter(column, parameter, reading, journal)
    else:
        raw = {
            name: numbers(table[column], name=name, describe=describe, journal=journal)
            for name, column in columns.variables.items()
        }
    if not isinstance(reading.units, str):
        strangers = [name for name in reading.units or {} if name not in raw]
        if strangers:
            journal.fault(f"units names {listed(strangers)}; the variables are {listed(raw)}")
    values: Values = {}
    units: Units = {}
    for name, column in raw.items():
        stated = reading.units_of(name, is_pollutant=name in POLLUTANTS) or columns.units.get(name)
        factor: float | Floats
        if stated is None and row_units is not None and name in POLLUTANTS:
            factor, offset = _factors_by_row(name, column, row_units, journal), 0.0
            units[name] = None
        else:
            factor, offset, units[name] = conversion(name, stated, journal=journal)
        unchanged = offset == 0.0 and np.ndim(factor) == 0 and factor == 1.0
        values[name] = column if unchanged else column * factor + offset
    return values, units


def _by_parameter(
    values: Floats, parameter: pd.Series | None, reading: Reading, journal: Journal
) -> Values:
    """Return values split by the word that says what each of them is; NaN on the other rows."""
    if parameter is None:
        return {_single_variable(reading, journal=journal): values}
    codes, uniques = pd.factorize(parameter)
    variables = np.array([known_variable(str(word)) or "" for word in uniques] + [""], dtype=object)
    unknown = [str(word) for word, name in zip(uniques, variables, strict=False) if not name]
    if unknown:
        journal.decide(f"parameters not used: {listed(unknown)}")
    names = sorted(set(variables) - {""})
    if not any(name in POLLUTANTS for name in names):
        journal.fault(
            f"no parameter is a pollutant ({', '.join(POLLUTANTS)}); they are {listed(unknown)}"
        )
    return {name: np.where((variables == name)[codes], values, np.nan) for name in names}


def _factors_by_row(
    variable: str, values: Floats, units: pd.Series, journal: Journal
) -> float | Floats:
    """Return the factors of a pollutant to ug m-3 from the units of each row; 1.0 if all are 1."""
    codes, uniques = pd.factorize(units)
    measured = codes[~np.isnan(values)]
    counts = np.bincount(measured + 1, minlength=len(uniques) + 1)  # the first is without units
    factors = np.ones(len(uniques) + 1)
    if counts[0]:
        journal.decide(f"{counts[0]} rows of {variable} state no units and are taken for ug m-3")
    for code in np.flatnonzero(counts[1:]):
        word = str(uniques[int(code)])
        with journal.collecting():
            factors[code] = concentration_factor(word, variable)
        if factors[code] != 1.0:
            journal.decide(
                f"{counts[code + 1]} rows of {variable} converted from {word} to ug m-3 "
                f"(times {factors[code]:.6g})"
            )
    return 1.0 if (factors == 1.0).all() else factors[codes]
