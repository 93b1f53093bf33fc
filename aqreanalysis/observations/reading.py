"""`open_observations`: any source of measurements to a valid Dataset."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from aqreanalysis.observations.checks.plausibility import sift
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources import FORMATS, format_of_path, format_of_table
from aqreanalysis.observations.sources.columns import ROLES
from aqreanalysis.observations.sources.files import read_table, unreadable
from aqreanalysis.observations.sources.options import ColumnNames, Duplicates, Reading, TimeLabel
from aqreanalysis.observations.sources.stations import station_table
from aqreanalysis.observations.sources.timeseries import from_dataset
from aqreanalysis.observations.variables import known_variable

Source = str | PathLike[str] | pd.DataFrame | xr.Dataset


def open_observations(
    path_or_table: Source,
    *,
    format: str | None = None,
    time_zone: str | None = None,
    time_label: TimeLabel | None = None,
    units: str | Mapping[str, str] | None = None,
    columns: ColumnNames | None = None,
    stations: str | PathLike[str] | pd.DataFrame | None = None,
    duplicates: Duplicates = "error",
) -> xr.Dataset:
    """Return the measurements of a network as a valid Dataset ``(station, time)``.

    A long table (``station,time,longitude,latitude,<pollutant>...``) needs no options; usual
    spellings of these names are recognised. What the source does not say is decided, logged
    and kept in the ``history`` of the Dataset: time without a zone is UTC, a stamp is the start
    of its hour, a pollutant without units is in ug m-3. Repeated rows are dropped, rows come in
    any order, absent hours are missing. Values are never corrected: negative and implausible
    ones stay, and `flag` flags them. What cannot be true, such as a code for missing or a position
    at 0, 0, is left out, counted in the log and in the history; see `suspicions`.

    Parameters
    ----------
    path_or_table : path, DataFrame, GeoDataFrame or xarray.Dataset
        CSV (also compressed), Parquet, GeoPackage points, CF timeSeries NetCDF, or a table in
        memory, which is not changed.
    format : {"long", "wide", "netcdf", "uci", "aqs", "grin"}, optional
        Guessed from the suffix and the columns if None. ``"uci"``: the Beijing multi-site zip,
        with ``stations``. ``"aqs"``: hourly files of US EPA; several monitors of a site are
        averaged. ``"grin"``: ``small36.h5``.
    time_zone : str, optional
        Zone of stamps that state none: ``"UTC+8"``, ``"Asia/Shanghai"``. Hours of a change of
        clocks are refused, since they are ambiguous.
    time_label : {"start", "end"}, optional
        Which end of its averaging period a stamp is. The stamps stay as they are; the label is
        kept in ``time.attrs``.
    units : str or mapping, optional
        Units of all pollutants, or a mapping from variable to units; they hold over those that
        the source states. Gases in ppb or ppm become ug m-3 at 298.15 K and 1013.25 hPa
        (US EPA); for other conditions use `to_concentration` beforehand.
    columns : mapping, optional
        From a role or variable to the column of the source: ``{"pm25": "mean", "station":
        "code"}``. Several columns make one identifier: ``{"station": ["country", "code"]}``.
        Any other name becomes a variable of that name. ``{"variable": "pm10"}`` says what a wide
        table holds.
    stations : path or DataFrame, optional
        Table with the columns station, longitude, latitude; altitude and name if known. It holds
        over positions in the source.
    duplicates : {"error", "mean", "first"}
        What to do with different values of one station and hour.

    Returns
    -------
    xarray.Dataset
        See `aqreanalysis.observations.contract`; stations in the order of their identifiers,
        values float32.

    Raises
    ------
    ObservationError
        With all faults of the source, each naming station, stamp or column.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "station": ["B", "A", "A"],
    ...         "time": ["2020-01-01T01:00Z", "2020-01-01T00:00Z", "2020-01-01T01:00Z"],
    ...         "lon": [11.0, 10.0, 10.0],
    ...         "lat": [50.0, 50.5, 50.5],
    ...         "PM2.5": [7.0, 12.0, 14.0],
    ...     }
    ... )
    >>> open_observations(table)["pm25"].values
    array([[12., 14.], [nan,  7.]], dtype=float32)
    """
    reading = Reading(
        time_zone=time_zone,
        time_label=time_label,
        units=_named(units) if isinstance(units, Mapping) else units,
        columns=_named(columns) if isinstance(columns, Mapping) else (columns or {}),
        stations=None if stations is None else _station_frame(stations),
        duplicates=duplicates,
    )
    if format is not None and format not in FORMATS:
        raise ObservationError(f"format must be one of {', '.join(FORMATS)}; found {format!r}")
    source, journal = _source(path_or_table)
    with _one_error(source, journal):
        return sift(_read(source, format, reading, journal), journal=journal)


def open_stations(path_or_table: str | PathLike[str] | pd.DataFrame) -> xr.Dataset:
    """Return the places in a table of stations, to be estimated with ``reanalyse(at=...)``.

    Parameters
    ----------
    path_or_table : path or DataFrame
        Columns station, longitude, latitude, in any of their usual spellings; altitude and name
        if known.

    Returns
    -------
    xarray.Dataset
        No variable; the coordinates station, longitude in [-180, 180) and latitude, on
        ``station``, in the order of the identifiers.

    Raises
    ------
    ObservationError
        With all faults of the table.

    Examples
    --------
    >>> places = open_stations(pd.DataFrame({"site": ["A"], "lon": [350.0], "lat": [50.0]}))
    >>> places.longitude.values, places.station.values
    (array([-10.]), array(['A'], dtype='<U1'))
    """
    source, journal = _source(path_or_table)
    with _one_error(source, journal):
        identifiers, positions = station_table(_station_frame(path_or_table), journal=journal)
    places = {name: ("station", array) for name, array in positions.coordinates().items()}
    return xr.Dataset(coords={"station": identifiers, **places})


@contextmanager
def _one_error(source: object, journal: Journal) -> Iterator[None]:
    """Name the source in errors, and make one of whatever a library raises over a file."""
    try:
        yield
    except ObservationError as error:
        if error.source:
            raise
        raise ObservationError(error.faults, source=journal.source) from error
    except Exception as error:
        if not isinstance(source, Path):  # a table in memory cannot be damaged
            raise
        raise ObservationError(unreadable(journal.source, error)) from error


def _read(
    source: Path | pd.DataFrame | xr.Dataset, format: str | None, reading: Reading, journal: Journal
) -> xr.Dataset:
    """Return the Dataset of a source, by the reader of its format."""
    if isinstance(source, xr.Dataset):
        return from_dataset(source, reading=reading, journal=journal)
    if format is None and isinstance(source, Path):
        format = format_of_path(source, reading)
    if format is None:
        source = read_table(source, reading.columns)
        format = format_of_table(list(source.columns), reading) or "long"
    if isinstance(source, pd.DataFrame) and not FORMATS[format].takes_tables:
        raise ObservationError(f"format={format!r} needs a path; found a table")
    return FORMATS[format].read(source, reading, journal)


def _source(path_or_table: Any) -> tuple[Path | pd.DataFrame | xr.Dataset, Journal]:
    """Return the source and a journal under its name."""
    if isinstance(path_or_table, xr.DataArray):
        return path_or_table.to_dataset(name=path_or_table.name or "pm25"), Journal("DataArray")
    if isinstance(path_or_table, (pd.DataFrame, xr.Dataset)):
        name = "table" if isinstance(path_or_table, pd.DataFrame) else "Dataset"
        return path_or_table, Journal(name)
    if isinstance(path_or_table, (str, PathLike)):
        path = Path(path_or_table).expanduser()
        return path, Journal(path.name)
    raise ObservationError(
        "open_observations needs a path, a pandas or geopandas table, or an xarray Dataset; "
        f"found {type(path_or_table).__name__}"
    )


def _station_frame(stations: Any) -> pd.DataFrame:
    """Return the table of stations from a path or from memory."""
    if isinstance(stations, (xr.Dataset, xr.DataArray)):
        names = ["station", "longitude", "latitude", "altitude", "name"]
        return pd.DataFrame({n: stations[n].values for n in names if n in stations.coords})
    if not isinstance(stations, (pd.DataFrame, str, PathLike)):
        raise ObservationError(
            f"stations must be a path or a table; found {type(stations).__name__}"
        )
    table = stations if isinstance(stations, pd.DataFrame) else Path(stations).expanduser()
    return read_table(table, {})


def _named(mapping: Mapping) -> dict:
    """Return a mapping whose keys are this package's names: "PM2.5" becomes "pm25"."""
    return {
        name if name in ROLES else (known_variable(str(name)) or name): value
        for name, value in mapping.items()
    }
