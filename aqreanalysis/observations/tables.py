"""Long and wide tables to Datasets."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.observations.assembly import Rows, assemble
from aqreanalysis.observations.columns import Columns, listed, recognise
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.measurements import measured_values, single_variable
from aqreanalysis.observations.numbers import numbers
from aqreanalysis.observations.options import Reading
from aqreanalysis.observations.positions import Positions, station_positions
from aqreanalysis.observations.stations import (
    identifier,
    positions_from_table,
    station_codes,
    station_table,
)
from aqreanalysis.observations.times import Describe, to_utc


def from_long(table: pd.DataFrame, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of a table with one row a station and hour.

    A column of its own for each pollutant, or one column with the pollutant's name and one with
    its value.

    Parameters
    ----------
    table : pandas.DataFrame
        See `aqreanalysis.observations.columns` for the names that are recognised.
    reading : Reading
        Options; ``reading.stations`` is a DataFrame here, or None.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ObservationError
        With all faults of the table.
    """
    table, given = _joined_stations(table, reading, journal)
    names = [str(name) for name in table.columns]
    found = recognise(names, given, journal=journal)
    needed = ["station", *(("longitude", "latitude") if reading.stations is None else ())]
    for role in needed:
        if role not in found.roles:
            journal.fault(f"no column of {role}; the columns are {listed(names)}. "
                          f"Name it with columns={{{role!r}: ...}}")  # fmt: skip
    _check_variables(found, names, journal)
    stamps = _stamps(table, found, journal)
    if len(table) == 0:
        journal.fault("the table has columns but no rows")
    journal.stop_if_faulty()
    station, identifiers = station_codes(table[found.roles["station"]], journal=journal)
    describe = _describer(identifiers, station, stamps)
    time = to_utc(stamps, time_zone=_zone_of(found, reading), describe=describe, journal=journal)
    with journal.collecting():
        positions = _positions(table, found, station, identifiers, describe, reading, journal)
    values, units = measured_values(
        table, found, describe=describe, reading=reading, journal=journal
    )
    reading = _with_own_label(table, found, reading, journal)
    journal.stop_if_faulty()
    rows = Rows(station, identifiers, time, values, units)
    return assemble(rows, positions, reading=reading, journal=journal)


def from_wide(table: pd.DataFrame, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of a table with one row an hour and one column a station.

    Parameters
    ----------
    table : pandas.DataFrame
        A column of time, and columns named after the stations.
    reading : Reading
        ``reading.stations`` is the table of the stations, a DataFrame;
        ``reading.columns["variable"]`` is the pollutant, PM2.5 if there is none.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    xarray.Dataset

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
    known = station_table(reading.stations, journal=journal).index
    time = _time_column(names, reading, journal)
    journal.stop_if_faulty()
    columns = [name for name in names if name != time]
    strangers = [name for name in columns if identifier(name) not in known]
    if strangers:
        journal.fault(
            f"columns that are no station of the station table: {listed(strangers)}. "
            "Add them there, or drop them"
        )
    if len(table) == 0 or not columns:
        journal.fault("the table has no rows" if columns else "the table has no station columns")
    journal.stop_if_faulty()
    variable = single_variable(reading, journal=journal)
    long = table.set_axis(names, axis=1).melt(
        id_vars=[time], value_vars=columns, var_name="station ", value_name="value "
    )
    columns_of_long = {"station": "station ", "time": time, variable: "value "}
    return from_long(
        long,
        reading=replace(reading, columns=columns_of_long),
        journal=journal,
    )


def _time_column(names: Sequence[str], reading: Reading, journal: Journal) -> str:
    """Return the column of time of a wide table."""
    given = {"time": reading.columns["time"]} if "time" in reading.columns else {}
    roles = recognise(names, given, journal=Journal("", silent=True)).roles
    if "time" not in roles:
        journal.fault(f"no column of time; the columns are {listed(names)}. "
                      "Name it with columns={'time': ...}")  # fmt: skip
    return roles.get("time", "")


def _with_own_label(
    table: pd.DataFrame, found: Columns, reading: Reading, journal: Journal
) -> Reading:
    """Return the options with the time label that the table states, if the caller states none."""
    if reading.time_label is not None or "time_label" not in found.roles:
        return reading
    words = table[found.roles["time_label"]].unique().tolist()
    if len(words) != 1 or words[0] not in ("start", "end"):
        journal.fault(f"time_label must be 'start' in all rows or 'end' in all; found {words[:3]}")
        return reading
    return replace(reading, time_label=words[0])


def looks_wide(names: Sequence[str], stations: pd.DataFrame | None) -> bool:
    """Return whether a table's columns are stations: none says which station a row is."""
    found = recognise(names, {}, journal=Journal("", silent=True))
    if "station" in found.roles or "time" not in found.roles:
        return False
    return stations is not None or not found.variables


def _joined_stations(
    table: pd.DataFrame, reading: Reading, journal: Journal
) -> tuple[pd.DataFrame, dict]:
    """Return the table with one station column where the caller makes it of several."""
    given = dict(reading.columns)
    parts = given.get("station")
    if parts is None or isinstance(parts, str):
        return table, given
    absent = [part for part in parts if part not in table.columns]
    if absent:
        journal.fault(f"columns names {listed(absent)} for station; the columns are "
                      f"{listed([str(name) for name in table.columns])}")  # fmt: skip
        return table, {**given, "station": str(table.columns[0])}
    texts = [table[part].map(identifier) for part in parts]
    joined = ["-".join(words) for words in zip(*texts, strict=True)]
    return table.assign(**{"station ": joined}), {**given, "station": "station "}


def _check_variables(found: Columns, names: Sequence[str], journal: Journal) -> None:
    """Keep a fault if no pollutant can be read from the columns."""
    if "value" in found.roles or any(name in POLLUTANTS for name in found.variables):
        return
    journal.fault(
        f"no column of a pollutant ({', '.join(POLLUTANTS)}); the columns are {listed(names)}. "
        "Name one with columns={'pm25': ...}"
    )


def _describer(
    identifiers: NDArray[np.str_], station: NDArray[np.intp], stamps: pd.Series
) -> Describe:
    """Return what names a row in a message: its number, station and stamp as they were read."""

    def describe(row: int) -> str:
        stamp = f", {stamps.iloc[row]}" if str(stamps.iloc[row]) else ""
        return f"row {row + 1} (station {identifiers[station[row]]}{stamp})"

    return describe


def _stamps(table: pd.DataFrame, found: Columns, journal: Journal) -> pd.Series:
    """Return the column of time, or the one made of a date and an hour."""
    roles = found.roles
    if "date" in roles and "time" in roles and len(table):
        clock = table[roles["time"]]
        if re.fullmatch(r"\d{1,2}(:\d{2}){0,2}", str(clock.iloc[0]).strip()):
            return table[roles["date"]].astype(str) + " " + clock.astype(str)
    if "time" in roles:
        return table[roles["time"]]
    if {"year", "month", "date", "hour"} <= set(roles):
        parts = {"year": "year", "month": "month", "day": "date", "hour": "hour"}
        frame = pd.DataFrame({part: table[roles[role]] for part, role in parts.items()})
        return pd.Series(pd.to_datetime(frame, errors="coerce"))
    if {"date", "hour"} <= set(roles):
        hours = table[roles["hour"]].astype(str).str.zfill(2)
        return table[roles["date"]].astype(str) + " " + hours + ":00"
    journal.fault(
        f"no column of time; the columns are {listed([str(name) for name in table.columns])}. "
        "Name it with columns={'time': ...}"
    )
    return pd.Series([""] * len(table))


def _zone_of(found: Columns, reading: Reading) -> str | None:
    """Return the zone of the caller, or UTC where the column's name says so."""
    name = found.roles.get("time", found.roles.get("date", "")).lower()
    if reading.time_zone is None and ("utc" in name or "gmt" in name):
        return "UTC"
    return reading.time_zone


def _positions(
    table: pd.DataFrame,
    found: Columns,
    station: NDArray[np.intp],
    identifiers: NDArray[np.str_],
    describe: Describe,
    reading: Reading,
    journal: Journal,
) -> Positions:
    """Return the stations' positions, from the table of stations or from the rows."""
    if reading.stations is not None:
        return positions_from_table(reading.stations, identifiers, journal=journal)
    degrees = [
        numbers(table[found.roles[role]], name=role, describe=describe, journal=journal)
        for role in ("longitude", "latitude")
    ]
    places = station_positions(station, *degrees, identifiers=identifiers, journal=journal)
    first = np.unique(station, return_index=True)[1]
    altitude = name = None
    if "altitude" in found.roles:
        column = table[found.roles["altitude"]]
        heights = numbers(column, name="altitude", describe=describe, journal=journal)
        altitude = heights[first]
    if "name" in found.roles:
        name = table[found.roles["name"]].iloc[first].astype(str).to_numpy(dtype=str)
    return Positions(places.longitude, places.latitude, altitude, name)
