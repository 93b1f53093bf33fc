"""Rows of measurements to Datasets: stations and their places, monitors and hours."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.observations.checks import Codes, Mask, Names, Times
from aqreanalysis.observations.checks.numbers import numbers
from aqreanalysis.observations.checks.positions import Positions, first_rows
from aqreanalysis.observations.checks.times import to_utc
from aqreanalysis.observations.checks.zones import offset_of
from aqreanalysis.observations.journal import Describe, Journal
from aqreanalysis.observations.sources.assembly import Rows, assemble, time_label
from aqreanalysis.observations.sources.columns import joined
from aqreanalysis.observations.sources.moves import left_out, split
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.sources.resampling import period_of, resampled
from aqreanalysis.observations.sources.stamps import (
    are_at_half_past,
    ends_at_24,
    in_order,
    stamps_of,
)
from aqreanalysis.observations.sources.stations import (
    listed_among,
    listed_positions,
    merged_stations,
    positions_in_rows,
    station_codes,
    types_in_rows,
)
from aqreanalysis.observations.sources.values import Measurements, measured_values, no_column
from aqreanalysis.observations.variables import listed


def to_dataset(data: Measurements, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of rows, one a station, hour and, it may be, parameter or monitor.

    Raises
    ------
    ObservationError
        With all faults of the rows.
    """
    table, roles = data.table, data.roles
    needed = ["station"] if reading.stations is not None else ["station", "longitude", "latitude"]
    for role in needed:
        if role not in roles:
            journal.fault(no_column(role, None if journal.faults else data.names))
    if "value" not in roles and not any(name in POLLUTANTS for name in data.variables):
        journal.fault(
            f"no column of a pollutant ({', '.join(POLLUTANTS)}); the columns are "
            f"{listed(data.names)}. Name one with columns={{'pm25': ...}}"
        )
    stamps = stamps_of(table, roles, time_format=data.time_format, journal=journal)
    if stamps is None:
        journal.fault(no_column("time", data.names))
    if len(table) == 0:
        journal.fault("the table has columns but no rows")
    journal.stop_if_faulty()
    assert stamps is not None
    station, identifiers = station_codes(table["station"], journal=journal)
    station_of_monitor = station, identifiers
    if reading.stations is not None:
        station, identifiers = _merged(data, station, identifiers, reading, journal)
        columns = reading.station_columns
        if "id" in columns and "station" in columns:  # they are called by the latter now
            columns = {role: name for role, name in columns.items() if role != "id"}
            reading = replace(reading, station_columns=columns)
    written = stamps
    if reading.time_label is None and "time_label" not in roles and ends_at_24(stamps):
        journal.decide("hours run from 1 to 24, and are taken for ends of hours")
        reading = replace(reading, time_label="end")

    def describe(row: int) -> str:
        stamp = f", {written.iloc[row]}" if str(written.iloc[row]) else ""
        return f"{data.row(row)} (station {identifiers[station[row]]}{stamp})"

    if are_at_half_past(stamps):
        journal.warn(
            "all times are at half past an hour and taken for an end of their period: if they are "
            "its middle, shift them by half an hour"
        )
    stamps, reading = _with_own_zone(stamps, table, reading, journal)
    ordered = in_order(stamps, reading.date_order, journal=journal)
    time = to_utc(ordered, time_zone=reading.time_zone, describe=describe, journal=journal)
    if reading.time_label is None and "time_label" not in roles and _are_last_minutes(time):
        journal.decide("times such as 00:59 are taken for the end of their hour")
        reading = replace(reading, time_label="end")
        time = (time + np.timedelta64(1, "m")).astype("datetime64[m]").astype(time.dtype)
    step = None
    usable, single_step = _of_usual_period(data, time, reading, journal)
    usable &= ~np.isnat(time)
    if single_step is not None and reading.time_label is None:
        reading = replace(reading, time_label="start")  # the end is in its own column
    values, units = measured_values(data, describe, reading, journal)
    reading = _with_own_label(data, reading, journal)
    with journal.collecting():
        station, identifiers, positions, placed = _placed(
            data, station, identifiers, describe, reading, journal
        )
        usable &= placed
    journal.stop_if_faulty()
    rows = Rows(station, identifiers, time, values, units)
    if "monitor" in roles or len(station_of_monitor[1]) > len(identifiers):
        rows = _by_monitor(rows, data, station_of_monitor)
    if not usable.all():
        rows = _only(rows, usable)
    if reading.monitor == "keep" and rows.station is not None:
        rows, positions = _a_station_each(rows, rows.station, positions)
        identifiers = rows.names
    if reading.resample is not None:
        label = time_label(reading.time_label, journal=journal)
        period = period_of(reading.resample)
        reading = replace(reading, time_label=label)
        rows = resampled(rows, period, capture=reading.capture, label=label, journal=journal)
        step = period / 3.6e12
    return assemble(
        rows,
        identifiers,
        positions,
        reading=reading,
        journal=journal,
        step_hours=step,
        single_step_hours=single_step,
    )


def _with_own_zone(
    stamps: pd.Series, table: pd.DataFrame, reading: Reading, journal: Journal
) -> tuple[pd.Series, Reading]:
    """Return stamps, and options, with the zone that a column of the table states."""
    if "zone" not in table.columns or reading.time_zone is not None:
        return stamps, reading
    codes, words = pd.factorize(table["zone"])
    if len(words) == 1 and (codes >= 0).all():
        return stamps, replace(reading, time_zone=offset_of(words[0]) or str(words[0]))
    offsets = [offset_of(word) for word in words]
    if None in offsets or (codes < 0).any():
        journal.fault(
            f"the column of zones has {listed(words)}, and rows without any, which are not all "
            "offsets such as UTC+2: say time_zone=..., or write the offset into the stamps"
        )
        return stamps, reading
    journal.decide(f"the zone of each row is that of its column: {listed(words)}")
    return joined([stamps, pd.Series(np.array(offsets)[codes], stamps.index)], _zoned), reading


def _zoned(stamp: object, offset: str) -> str:
    """Return a stamp with its offset, unless it states one."""
    text = str(stamp).strip()
    return (
        text if re.search(r"(?i)(?:z|utc|gmt|[ T]\d{2}.*[+-]\d.*)$", text) else f"{text} {offset}"
    )


def _are_last_minutes(time: Times) -> bool:
    """Return whether all stamps are in the last minute of an hour."""
    minutes = time[~np.isnat(time)].astype("datetime64[m]").astype(np.int64) % 60
    return bool(minutes.size and (minutes == 59).all())


def _merged(
    data: Measurements, station: Codes, identifiers: Names, reading: Reading, journal: Journal
) -> tuple[Codes, Names]:
    """Return stations under the identifiers of the table of stations.

    Sampling points of a station become one; stations of which it has the names alone are called
    by them.
    """
    assert reading.stations is not None
    if "name" in data.roles:
        first = first_rows(station, len(identifiers))
        names = data.table["name"].iloc[first].astype(str).str.strip().to_numpy(dtype=str)
        known, by_name = (
            listed_among(reading.stations, words, reading.station_columns)
            for words in (identifiers, names)
        )
        if by_name > known:
            journal.decide("stations are called by their name, as in the table of stations")
            identifiers, place = np.unique(names, return_inverse=True)
            station = place[station]
    with journal.collecting():
        home = merged_stations(
            reading.stations, identifiers.tolist(), reading.station_columns, journal=journal
        )
        if home:
            words = np.array([home.get(name, name) for name in identifiers.tolist()], dtype=str)
            identifiers, place = np.unique(words, return_inverse=True)
            station = place[station]
    return station, identifiers


def _placed(
    data: Measurements,
    station: Codes,
    identifiers: Names,
    describe: Describe,
    reading: Reading,
    journal: Journal,
) -> tuple[Codes, Names, Positions, Mask]:
    """Return stations with positions, renumbered, and the rows that are of one of them."""
    if reading.stations is not None:
        positions, present = listed_positions(
            reading.stations, identifiers, reading=reading, journal=journal
        )
        stated = types_in_rows(data.table, data.roles, station, identifiers, journal=journal)
        own_types: dict[str, Any] = {
            role: words[present]
            for role, words in stated.items()
            if role not in positions.coordinates()
        }
        positions = replace(positions, **own_types)
    else:
        longitude, latitude = (
            numbers(data.table[role], name=role, describe=describe, journal=journal)
            for role in ("longitude", "latitude")
        )
        if reading.split_moved:
            station, identifiers = split(station, identifiers, longitude, latitude, journal)
        out = left_out(station, identifiers, longitude, latitude, reading=reading, journal=journal)
        present = ~out
    rows = present[station]
    if present.all() and reading.stations is not None:
        return station, identifiers, positions, rows
    rank = np.cumsum(present) - 1
    renumbered, ordered = np.where(rows, rank[station], 0), identifiers[present]
    if reading.stations is not None:
        return renumbered, ordered, positions, rows
    table = data.table if rows.all() else data.table[rows]
    own = renumbered if rows.all() else renumbered[rows]
    at = np.flatnonzero(rows)
    positions = positions_in_rows(
        table, dict(data.roles), own, ordered,
        describe=lambda row: describe(int(at[row])), journal=journal,
    )  # fmt: skip
    return renumbered, ordered, positions, rows


def _by_monitor(rows: Rows, data: Measurements, own: tuple[Codes, Names]) -> Rows:
    """Return the rows as series of monitors, or of sampling points, instead of stations."""
    codes, uniques = (
        pd.factorize(data.table["monitor"], use_na_sentinel=False)
        if "monitor" in data.roles
        else (own[0], own[1])
    )
    words = [f"{data.monitor_word} {word}".strip() for word in uniques]
    series, combined = pd.factorize(rows.series * len(words) + codes)
    station, monitor = np.divmod(combined, len(words))
    names = [f"{rows.names[at]} {words[code]}" for at, code in zip(station, monitor, strict=True)]
    return replace(rows, series=series, names=np.array(names, dtype=str), station=station)


def _a_station_each(rows: Rows, station: Codes, positions: Positions) -> tuple[Rows, Positions]:
    """Return the rows with each monitor as a station, and the positions of these."""
    order = np.argsort(rows.names)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    apart = replace(rows, series=rank[rows.series], names=rows.names[order], station=None)
    return apart, positions.at(station[order])


def _only(rows: Rows, chosen: Mask) -> Rows:
    """Return some of the rows, with the series that are left."""
    values = {name: column[chosen] for name, column in rows.values.items()}
    return replace(rows, series=rows.series[chosen], time=rows.time[chosen], values=values)


def _of_usual_period(
    data: Measurements, time: Times, reading: Reading, journal: Journal
) -> tuple[Mask, float | None]:
    """Return the rows whose period is of the usual length, where the table has its end too."""
    every = np.ones(len(data.table), dtype=bool)
    if "end" not in data.roles:
        return every, None
    silent = Journal("", silent=True)
    ends = stamps_of(data.table.assign(time=data.table["end"]), {"time": "time"},
                     time_format=data.time_format, journal=silent)  # fmt: skip
    assert ends is not None
    ordered = in_order(ends, reading.date_order, journal=silent)
    end = to_utc(ordered, time_zone=reading.time_zone, describe=str, journal=silent)
    hours = (end - time) / np.timedelta64(1, "h")
    lengths, counts = np.unique(hours[np.isfinite(hours)].round(3), return_counts=True)
    if silent.faults or not lengths.size or lengths[np.argmax(counts)] <= 0:
        return every, None
    usual = float(lengths[np.argmax(counts)])
    other = np.isfinite(hours) & (np.abs(hours - usual) > 0.1 * usual)
    if other.any():
        journal.warn(
            f"{int(other.sum())} rows are of other periods than {usual:g} h and are left out; for "
            f"example {data.row(int(np.argmax(other)))}, of {hours[np.argmax(other)]:g} h"
        )
    return every & ~other, usual


def _with_own_label(data: Measurements, reading: Reading, journal: Journal) -> Reading:
    """Return the options with the time label that the table states, if the caller states none."""
    if reading.time_label is not None or "time_label" not in data.roles:
        return reading
    words = data.table["time_label"].unique().tolist()
    if len(words) != 1 or words[0] not in ("start", "end"):
        journal.fault(f"time_label must be 'start' in all rows or 'end' in all; found {words[:3]}")
        return reading
    return replace(reading, time_label=words[0])
