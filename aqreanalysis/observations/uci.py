"""The Beijing multi-site archive of UCI (set 501): the zip as it is shipped."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import xarray as xr

from aqreanalysis.observations.columns import folded, listed
from aqreanalysis.observations.files import existing, read_csv
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.options import Reading
from aqreanalysis.observations.tables import from_long

#: The hours are local, and hour 0 is the hour that begins at midnight.
TIME_ZONE = "UTC+8"

#: From the package's names to the columns of the archive, and the units of its documentation.
COLUMNS = {
    "station": "station",
    "time": "time ",
    "pm25": "PM2.5",
    "pm10": "PM10",
    "so2": "SO2",
    "no2": "NO2",
    "co": "CO",
    "o3": "O3",
    "temperature": "TEMP",
    "pressure": "PRES",
    "dew_point": "DEWP",
    "rain": "RAIN",
    "wind_direction": "wd",
    "wind_speed": "WSPM",
}
UNITS = {
    **dict.fromkeys(("pm25", "pm10", "so2", "no2", "co", "o3"), "ug m-3"),
    "temperature": "degC",
    "pressure": "hPa",
    "dew_point": "degC",
    "rain": "mm",
    "wind_direction": "degree",
    "wind_speed": "m s-1",
}


def looks_like_uci(names: Sequence[str]) -> bool:
    """Return whether a table's columns are those of the archive.

    Examples
    --------
    >>> looks_like_uci(["No", "year", "month", "day", "hour", "PM2.5", "WSPM", "station"])
    True
    """
    return {"year", "month", "day", "hour", "wspm", "station"} <= {folded(n) for n in names}


def read_uci(source: Path | pd.DataFrame, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of the archive, with its meteorology.

    The archive has no coordinates: ``reading.stations`` gives them. Its stamps are local time,
    the start of the hour, unless the caller says otherwise.

    Parameters
    ----------
    source : path or DataFrame
        The zip (or the zip that holds it), one of its CSV files, a folder of them, or a table.
    reading : Reading
        ``stations`` is a DataFrame.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ObservationError
        Without a table of stations, and with all faults of the archive.
    """
    if reading.stations is None:
        raise ObservationError(
            "the UCI archive has no coordinates: pass stations=..., a table with the columns "
            "station, longitude, latitude",
            source=journal.source,
        )
    tables = [source] if isinstance(source, pd.DataFrame) else list(_tables(source))
    if not tables:
        raise ObservationError("there is no CSV file of the archive", source=journal.source)
    absent = [name for table in tables for name in _absent(table)]
    if absent:
        raise ObservationError(
            f"a file of the archive lacks the columns {listed(sorted(set(absent)))}",
            source=journal.source,
        )
    table = pd.concat([_with_time(table) for table in tables], ignore_index=True)
    units = reading.units if reading.units is not None else UNITS
    own = replace(
        reading,
        columns={**COLUMNS, **reading.columns},
        units=units,
        time_zone=reading.time_zone or TIME_ZONE,
        time_label=reading.time_label or "start",
    )
    return from_long(table, reading=own, journal=journal)


def _absent(table: pd.DataFrame) -> list[str]:
    """Return the columns that a file of the archive must have and that are not there."""
    needed = [*COLUMNS.values(), "year", "month", "day", "hour"]
    return [name for name in needed if name not in table.columns and name != COLUMNS["time"]]


def _with_time(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one column of time instead of four, without its row number."""
    parts = table[["year", "month", "day", "hour"]]
    time = pd.to_datetime(parts, errors="coerce")
    used = [name for name in COLUMNS.values() if name in table.columns]
    return table[used].assign(**{COLUMNS["time"]: time})


def _tables(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the CSV files of a zip, also of one inside another, of a folder, or the one file."""
    if path.is_dir():
        for file in sorted(path.glob("**/PRSA_Data_*.csv")):
            yield read_csv(file)
    elif path.suffix.lower() == ".zip":
        with existing(path).open("rb") as stream:
            yield from _members(stream, path.name)
    else:
        yield read_csv(existing(path))


def _members(stream: BinaryIO, name: str) -> Iterator[pd.DataFrame]:
    """Yield the station files of a zip."""
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in sorted(archive.namelist()):
                if member.lower().endswith(".zip"):
                    yield from _members(io.BytesIO(archive.read(member)), member)
                elif "prsa_data" in member.lower() and member.lower().endswith(".csv"):
                    yield read_csv(io.BytesIO(archive.read(member)))
    except zipfile.BadZipFile as error:
        raise ObservationError(f"{name} is no zip file: {error}") from error
