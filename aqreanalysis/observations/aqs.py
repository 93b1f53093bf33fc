"""Hourly files of the US EPA Air Quality System (AQS).

Both spellings of the columns are read: the official one of the files that EPA ships ("State
Code", "Site Num", "Date GMT", "Sample Measurement") and the lower-case one of extracts and of the
programming interface ("state_code", "site", "date_gmt", "value"). Hours are those of the GMT
columns, and a stamp is the start of its hour.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.observations.assembly import Rows, finish, on_axis, time_label
from aqreanalysis.observations.axis import regular_axis
from aqreanalysis.observations.columns import folded, listed
from aqreanalysis.observations.files import CSV_SUFFIXES, existing, header_of, read_csv
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.measurements import (
    Values,
    by_parameter,
    converted,
    converted_by_row,
)
from aqreanalysis.observations.numbers import numbers
from aqreanalysis.observations.options import Reading
from aqreanalysis.observations.positions import Positions, station_positions, to_wgs84
from aqreanalysis.observations.times import Describe

#: Spellings of each column, without case and separators.
_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "state": ("statecode",),
        "county": ("countycode",),
        "site": ("sitenum", "sitenumber", "siteid", "site"),
        "monitor": ("poc",),
        "latitude": ("latitude", "lat"),
        "longitude": ("longitude", "lon"),
        "date": ("dategmt",),
        "clock": ("timegmt",),
        "value": ("samplemeasurement", "value"),
        "units": ("unitsofmeasure", "units"),
        "datum": ("datum",),
        "parameter": ("parametercode",),
    }
)

_NEEDED = ("state", "county", "site", "latitude", "longitude", "date", "clock", "value")

#: Columns with few different words, read as such: nearly all of the time is in these.
_WORDS = ("state", "county", "site", "monitor", "date", "clock", "units", "datum", "parameter")

#: EPA parameter codes of the pollutants; 88502 is PM2.5 by a method that is not FRM or FEM.
_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "88101": "pm25",
        "88502": "pm25",
        "81102": "pm10",
        "44201": "o3",
        "42602": "no2",
        "42601": "no",
        "42401": "so2",
        "42101": "co",
    }
)


def looks_like_aqs(names: Sequence[str]) -> bool:
    """Return whether a table's columns are those of an AQS file.

    Examples
    --------
    >>> looks_like_aqs("state_code county_code site lat lon date_gmt time_gmt value".split())
    True
    """
    found = _columns(names)
    return all(role in found for role in _NEEDED)


def read_aqs(source: Path | pd.DataFrame, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of an AQS file, one station a site.

    A site is state, county and site number: ``"06-037-1103"``. Where several monitors (POC) of a
    site report at the same hour, their mean is taken: all of them measure the same air, and the
    number of the monitor is no rank of quality. Negative values stay.

    Parameters
    ----------
    source : path or DataFrame
        CSV, CSV compressed, the zip as EPA ships it, or the table.
    reading : Reading
        ``columns`` may name ``variable`` where the file has no parameter code.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ObservationError
        With all faults of the file.
    """
    table = source if isinstance(source, pd.DataFrame) else _table(source)
    found = _columns([str(name) for name in table.columns])
    absent = [_SPELLINGS[role][0] for role in _NEEDED if role not in found]
    if absent:
        raise ObservationError(
            f"an AQS file needs the columns {listed(absent)}; it has {listed(list(table.columns))}",
            source=journal.source,
        )
    if len(table) == 0:
        raise ObservationError("the file has columns but no rows", source=journal.source)
    # What is not needed goes first: a file may call the name of a state `state` as well.
    needed = table[list(found.values())].set_axis(list(found), axis="columns")
    return _dataset(needed, reading, journal)


def _dataset(table: pd.DataFrame, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of a table whose columns have the names of `_SPELLINGS`."""
    parts = ["state", "county", "site"]
    incomplete = table[parts].isna().any(axis=1).to_numpy()
    if incomplete.any():
        raise ObservationError(
            f"row {int(np.argmax(incomplete)) + 1} has no state, county or site "
            f"({int(incomplete.sum())} such rows)"
        )
    monitor, monitors, site_of_monitor, sites = _identifiers(table)
    site = site_of_monitor[monitor]

    def describe(row: int) -> str:
        stamp = f"{table['date'].iloc[row]} {table['clock'].iloc[row]} GMT"
        return f"row {row + 1} (station {monitors[monitor[row]]}, {stamp})"

    time = _times(table, describe, journal)
    degrees = [
        numbers(table[name], name=name, describe=describe, journal=journal)
        for name in ("longitude", "latitude")
    ]
    positions = station_positions(site, *degrees, identifiers=sites, journal=journal)
    values = _values(table, describe, reading, journal)
    journal.stop_if_faulty()
    if "datum" in table:
        first = np.unique(site, return_index=True)[1]
        datum = table["datum"].iloc[first].astype(str).to_numpy(dtype=str)
        positions = to_wgs84(positions, datum, identifiers=sites, journal=journal)
    rows = Rows(monitor, monitors, time, values, dict.fromkeys(values))
    return _merged(rows, site_of_monitor, sites, positions, reading, journal)


def _merged(
    rows: Rows,
    site_of_monitor: NDArray[np.intp],
    sites: NDArray[np.str_],
    positions: Positions,
    reading: Reading,
    journal: Journal,
) -> xr.Dataset:
    """Return the Dataset of sites from the rows of their monitors."""
    label = time_label(reading.time_label or "start", journal=journal)
    axis = regular_axis(rows.time, rows.station, identifiers=rows.identifiers, journal=journal)
    journal.stop_if_faulty()
    variables = {}
    for name in rows.values:
        of_monitors = on_axis(name, rows, axis, duplicates=reading.duplicates, journal=journal)
        variables[name] = _mean_of_monitors(
            of_monitors, site_of_monitor, sites, name=name, journal=journal
        )
    journal.stop_if_faulty()
    return finish(
        variables, axis, positions, identifiers=sites, units=rows.units, label=label,
        journal=journal,
    )  # fmt: skip


def _mean_of_monitors(
    values: NDArray[np.float32],
    site_of_monitor: NDArray[np.intp],
    sites: NDArray[np.str_],
    *,
    name: str,
    journal: Journal,
) -> NDArray[np.float32]:
    """Return one row a site: the mean, hour by hour, of its monitors that report."""
    merged = np.full((sites.size, values.shape[1]), np.nan, dtype=np.float32)
    extra, example = 0, ""
    for site in range(sites.size):
        own = values[site_of_monitor == site]
        if len(own) == 1:
            merged[site] = own[0]
            continue
        count = np.isfinite(own).sum(axis=0)
        total = np.nansum(own, axis=0, dtype=np.float64)
        merged[site, count > 0] = (total / np.maximum(count, 1))[count > 0]
        several = int(np.maximum(count - 1, 0).sum())
        extra += several
        example = example or (str(sites[site]) if several else "")
    if extra:
        journal.decide(
            f"{extra} values of {name} come from a further monitor at the same site and hour: the "
            f"mean is taken; for example station {example}"
        )
    return merged


def _identifiers(
    table: pd.DataFrame,
) -> tuple[NDArray[np.intp], NDArray[np.str_], NDArray[np.intp], NDArray[np.str_]]:
    """Return each row's monitor, the monitors' names, each monitor's site, the sites' names."""
    code = np.zeros(len(table), dtype=np.int64)
    words: list[NDArray[np.object_]] = []
    parts = ["state", "county", "site", "monitor", "parameter"]
    for part in parts:
        column = table[part] if part in table else pd.Series("1", index=table.index)
        codes, uniques = pd.factorize(column, use_na_sentinel=False)
        words.append(np.asarray(uniques, dtype=object))
        code = code * len(uniques) + codes
    monitor, combined = pd.factorize(code)
    names = []
    for number in combined:
        found, rest = [], int(number)
        for own in reversed(words):
            rest, place = divmod(rest, len(own))
            found.append(own[place])
        names.append(found[::-1])
    sites = [
        "-".join(_padded(word, width) for word, width in zip(n, (2, 3, 4), strict=False))
        for n in names
    ]
    identifiers, site_of_monitor = np.unique(np.array(sites, dtype=str), return_inverse=True)
    monitors = [f"{site} POC {n[3]}" for site, n in zip(sites, names, strict=True)]
    return monitor, np.array(monitors, dtype=str), site_of_monitor, identifiers


def _padded(word: object, width: int) -> str:
    """Return a code of EPA with its leading zeros: 6 is "06", and "CC" stays."""
    text = str(int(word)) if isinstance(word, (float, np.floating)) else str(word).strip()
    return text.zfill(width)


def _times(table: pd.DataFrame, describe: Describe, journal: Journal) -> NDArray[np.datetime64]:
    """Return the stamps of the rows, from the different dates and clocks."""
    date, dates = pd.factorize(table["date"])
    days = pd.to_datetime(
        pd.Index([str(word)[:10] for word in dates], dtype=object),
        format="ISO8601",
        errors="coerce",
    )
    clock, clocks = pd.factorize(table["clock"])
    since_midnight = pd.to_timedelta([f"{str(word)[:5]}:00" for word in clocks], errors="coerce")
    times = (
        np.append(days.to_numpy().astype("datetime64[ns]"), np.datetime64("NaT", "ns"))[date]
        + np.append(
            since_midnight.to_numpy().astype("timedelta64[ns]"), np.timedelta64("NaT", "ns")
        )[clock]
    )
    bad = np.isnat(times)
    if bad.any():
        journal.fault(
            f"{describe(int(np.argmax(bad)))} has no stamp such as 2011-01-01 09:00 "
            f"({int(bad.sum())} such rows)"
        )
    return times


def _values(table: pd.DataFrame, describe: Describe, reading: Reading, journal: Journal) -> Values:
    """Return the measured values of each pollutant, in ug m-3."""
    raw = numbers(table["value"], name="value", describe=describe, journal=journal)
    parameter = None
    if "parameter" in table:
        words = table["parameter"].map(lambda word: _PARAMETERS.get(str(word), str(word)))
        parameter = words.astype("category")
    by_name = by_parameter(raw, parameter, reading=reading, journal=journal)
    values: Values = {}
    for name, column in by_name.items():
        stated = reading.units_of(name)
        if stated is None and "units" in table:
            values[name] = converted_by_row(name, column, table["units"], journal=journal)
        else:
            values[name] = converted(name, column, stated, journal=journal)[0]
    return values


def _columns(names: Sequence[str]) -> dict[str, str]:
    """Return the column of each role that is there."""
    by_key = {folded(name): name for name in reversed(names)}
    return {
        role: next(by_key[spelling] for spelling in spellings if spelling in by_key)
        for role, spellings in _SPELLINGS.items()
        if any(spelling in by_key for spelling in spellings)
    }


def _table(path: Path) -> pd.DataFrame:
    """Return the columns of an AQS file that are used."""
    path = existing(path)
    if path.suffix.lower() != ".zip":
        return _read(path)
    tables = []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.lower().endswith(CSV_SUFFIXES):
                    tables.append(_read(io.BytesIO(archive.read(member))))
    except zipfile.BadZipFile as error:
        raise ObservationError(f"it is no zip file: {error}") from error
    if not tables:
        raise ObservationError("the zip holds no CSV file", source=path.name)
    return pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]


def _read(source: Path | BinaryIO) -> pd.DataFrame:
    """Return the columns of one CSV that are used; the row's words as categories."""
    found = _columns(header_of(source))
    return read_csv(
        source,
        only=found.values(),
        categories=[column for role, column in found.items() if role in _WORDS],
    )
