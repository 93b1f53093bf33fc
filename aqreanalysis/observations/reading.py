"""`open_observations`: any source of measurements to a valid Dataset."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from glob import glob
from inspect import signature
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from aqreanalysis.conventions import STATION_TYPES, TIME
from aqreanalysis.observations.archive.opening import is_archive, open_archive
from aqreanalysis.observations.checks.plausibility import sift
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources import engine, files, recognition, registry
from aqreanalysis.observations.sources.columns import ROLES
from aqreanalysis.observations.sources.description import Source
from aqreanalysis.observations.sources.opening import TABLE_SUFFIXES
from aqreanalysis.observations.sources.options import (
    ColumnNames,
    DateOrder,
    Duplicates,
    Monitor,
    Reading,
    Statistic,
    TimeLabel,
    codes_of,
    conditions,
)
from aqreanalysis.observations.sources.pyaro import is_reader, rows_of
from aqreanalysis.observations.sources.recognition import Input
from aqreanalysis.observations.sources.stations import list_in_degrees, station_table
from aqreanalysis.observations.sources.timeseries import from_dataset, read_netcdf
from aqreanalysis.observations.time_axis import selected_hours, utc_period
from aqreanalysis.observations.variables import known_variable, listed

Path_ = str | PathLike[str]
Given = Path_ | pd.DataFrame | xr.Dataset | Sequence[Path_ | pd.DataFrame]

#: Share of the rows or stations that a harmless fault may cost before it is an error.
TOLERANCE = 0.01


def open_observations(
    path_or_table: Given,
    *,
    source: str | None = None,
    format: str | None = None,
    station: str | None = None,
    stations: Path_ | pd.DataFrame | None = None,
    station_columns: Mapping[str, str] | None = None,
    columns: ColumnNames | None = None,
    time_zone: str | None = None,
    time_label: TimeLabel | None = None,
    time_format: str | None = None,
    date_order: DateOrder | None = None,
    units: str | Mapping[str, str] | None = None,
    missing: Any = None,
    valid: Any = None,
    duplicates: Duplicates = "error",
    monitor: Monitor | None = None,
    resample: str | None = None,
    capture: float = 0.75,
    statistic: Statistic | Mapping[str, str] | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    header: int | str | None = None,
    crs: str | None = None,
    skip_unplaced: bool = False,
    split_moved: bool = False,
    strict: bool = False,
    period: slice | None = None,
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Return the measurements of a network as a valid Dataset ``(station, time)``.

    A long table (``station,time,longitude,latitude,<pollutant>...``) needs no options; usual
    spellings of these names are recognised. What the source does not say is decided, logged
    and kept in the ``history`` of the Dataset: time without a zone is UTC, a stamp is the start
    of its hour, a pollutant without units is in ug m-3. Repeated rows are dropped, rows come in
    any order, absent hours are missing. Values are never corrected: negative and implausible
    ones stay, and `qc` flags them. What cannot be true, such as a code for missing or a position
    at 0, 0, is left out, counted in the log and in the history; see `suspicions`.

    Parameters
    ----------
    path_or_table : path, DataFrame, GeoDataFrame, xarray.Dataset, pyaro.Reader, or several
        CSV (also compressed), Excel, JSON, Parquet, GeoPackage points, CF timeSeries NetCDF, a
        zip or folder of them, a pattern such as ``"2019/*.csv"``, a list of files, or a table in
        memory, which is not changed. Several files become one Dataset. An archive of
        `write_archive` is opened lazily: values are read when they are used.
    source : str, optional
        One of `aqreanalysis.sources`: whose file it is. None: a file whose columns are those of
        one source is recognised, and the log says so; else columns are recognised by usual names.
    format : str, optional
        Layout of a file of no known source: ``"long"`` (a row a station and hour), ``"wide"``
        (a column a station), ``"hours"`` (a row a day, a column an hour), ``"netcdf"``. A name of
        a source is taken for that.
    station : str, optional
        Identifier of the one station of a file that does not name it.
    stations : path or DataFrame, optional
        Table with the columns station, longitude, latitude; altitude and name if known. It holds
        over positions in the source. Identifiers are matched with the column that has most of them.
    station_columns : mapping, optional
        Columns of ``stations``: ``{"id": "EoI Code"}`` is what the file calls a station,
        ``"station"`` what the Dataset shall, beside longitude and latitude.
    columns : mapping, optional
        From a role or variable to the column of the source: ``{"pm25": "mean", "station":
        "code"}``. Several columns make one identifier: ``{"station": ["country", "code"]}``.
        Any other name becomes a variable of that name. ``{"variable": "pm10"}`` says what a wide
        table holds.
    time_zone : str, optional
        Zone of stamps that state none: ``"UTC+8"``, ``"Asia/Shanghai"``. Hours of a change of
        clocks are refused, since they are ambiguous.
    time_label : {"start", "end"}, optional
        Which end of its averaging period a stamp is. The stamps stay as they are; the label is
        kept in ``time.attrs``.
    time_format : str, optional
        Of stamps that are numbers: ``"%Y%m%d%H"``, or ``"unix"``.
    date_order : {"day", "month"}, optional
        Which comes first in 03/04/2020. None: what fits all stamps, or alone gives an even step.
    units : str or mapping, optional
        Units of all pollutants, or a mapping from variable to units; they hold over those that
        the source states. Gases in ppb or ppm become ug m-3 at 298.15 K and 1013.25 hPa
        (US EPA); for other conditions use `to_concentration` beforehand.
    missing : number, text or several, optional
        Codes of missing values, beside words such as NA and -999: ``-99``.
    valid : str, several, or mapping, optional
        What a row must hold to be used: ``"QC Code=0"``, ``"Validity>=1"``, ``{"flag": ["A"]}``.
    duplicates : {"error", "mean", "first", "last"}
        What to do with different values of one station and hour; of a feed that sends corrected
        rows after the wrong ones, the last is right.
    monitor : {"mean", "first", "best", "keep"}, optional
        Of several monitors a station: their mean (the default), the first or the one with most
        values that reports at the hour, or each as a station of its own.
    resample : str, optional
        ``"1h"``: means of whole periods of UTC, of finer or uneven stamps, or of hours of a zone
        of half hours.
    capture : float
        Share of its period that such a mean needs.
    statistic : {"mean", "maximum", "minimum"} or mapping, optional
        What a value is of its period; kept in ``cell_methods``.
    encoding : str, optional
        Of a text: ``"latin-1"``, ``"big5"``. None: UTF-8, or UTF-16 or Western European where it is
        that, which the log says.
    decimal : {".", ","}, optional
        Sign of decimals. None: a comma where columns are not separated by it and no number has a
        point.
    header : int or "none", optional
        Lines above that of the column names, or "none" where the file has no such line and its
        columns are called 1, 2, 3. None: detected.
    crs : str, optional
        Of positions that are not degrees: ``"EPSG:3857"``.
    skip_unplaced : bool
        Leave out stations without a position, as is always done for files of a known source.
    split_moved : bool
        Give each place of a station that moved an identifier of its own.
    strict : bool
        Whether harmless faults are errors. Else those of up to a hundredth of the rows or
        stations cost these alone, and are counted in the log and in ``history``.
    period : slice of labels, optional
        Hours to return, in UTC unless a label states its zone: ``slice("2019-03", "2019-03")``.
    chunks : mapping, optional
        Sizes of the lazy blocks of an archive; by default those in which it is stored.

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
    options = {name: value for name, value in locals().items() if name in OPTIONS}
    if isinstance(path_or_table, (str, PathLike)) and is_archive(Path(path_or_table).expanduser()):
        _refuse_for_archive(options)
        dataset = open_archive(Path(path_or_table).expanduser(), chunks)
    elif chunks is not None:
        raise ObservationError("chunks are those of an archive, as write_archive makes one")
    else:
        dataset = _in_memory(path_or_table, options)
    return dataset.isel({TIME: selected_hours(dataset[TIME], utc_period(dataset[TIME], period))})


#: Options of how files are read.
OPTIONS = {
    name: parameter.default
    for name, parameter in signature(open_observations).parameters.items()
    if name not in ("path_or_table", "period", "chunks")
}


def _in_memory(path_or_table: Given, options: Mapping[str, Any]) -> xr.Dataset:
    """Return what files or a table hold, without what cannot be true."""
    kind, reading = reading_of(options)
    given, journal = _source(path_or_table)
    journal.tolerance = tolerance_of(reading)
    with _one_error(given, journal):
        reading = with_stations(reading, options["stations"])
        dataset = _read(given, kind, candidates_of(kind), reading, journal)
        return sift(dataset, journal=journal, strict=reading.strict)


def reading_of(options: Mapping[str, Any]) -> tuple[str | None, Reading]:
    """Return the kind of the files, and how they are read; their table of stations comes later.

    Raises
    ------
    ObservationError
        If an option is outside its choices, or there is no such source.
    """
    kind, option = (options["source"], "source") if options["source"] else (options["format"], "")
    if kind not in (None, "netcdf"):
        registry.named(str(kind), option or "format")
    own = {name: v for name, v in options.items() if name not in ("source", "format", "stations")}
    for name in ("units", "columns", "statistic"):
        own[name] = _named(own[name]) if isinstance(own[name], Mapping) else own[name]
    own["columns"] = own["columns"] or {}
    own["station_columns"] = dict(own["station_columns"] or {})
    own["missing"], own["valid"] = codes_of(own["missing"]), conditions(own["valid"])
    own["header"] = -1 if own["header"] == "none" else own["header"]
    return kind, Reading(**own)


def with_stations(reading: Reading, stations: Path_ | pd.DataFrame | None) -> Reading:
    """Return how files are read, with the table of stations that the caller gives."""
    if stations is None:
        return reading
    table = _station_frame(stations, reading)
    if reading.crs is not None:
        table = list_in_degrees(table, reading.crs, reading.station_columns)
    return replace(reading, stations=table)


def tolerance_of(reading: Reading) -> float:
    """Return the share of rows, stations or values that a harmless fault may cost."""
    return 0.0 if reading.strict else TOLERANCE


def candidates_of(kind: str | None) -> tuple[Source, ...]:
    """Return the sources that a file of a kind may be of."""
    return () if kind in (None, "netcdf") else registry.named(str(kind), "source")


def read_part(path: Path, kind: str | None, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return one of several files as it is: what cannot be true is for all of them to tell."""
    with _one_error([path], journal):
        return _read([path], kind, candidates_of(kind), reading, journal, is_part=True)


def _refuse_for_archive(options: Mapping[str, Any]) -> None:
    """Refuse options of reading that come too late."""
    late = [n for n, v in options.items() if repr(v) not in (repr(OPTIONS[n]), "{}", "[]", "None")]
    if late:
        raise ObservationError(
            f"{listed(late)}: of no effect on an archive, which holds what was read; say so when "
            "it is written (aqreanalysis convert)"
        )


def open_stations(path_or_table: Path_ | pd.DataFrame) -> xr.Dataset:
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
    given, journal = _source(path_or_table)
    with _one_error(given, journal):
        frame = _station_frame(path_or_table, Reading())
        identifiers, positions = station_table(frame, journal=journal)
    places = {name: ("station", array) for name, array in positions.coordinates().items()}
    return xr.Dataset(coords={"station": identifiers, **places})


@contextmanager
def _one_error(given: list[Any], journal: Journal) -> Iterator[None]:
    """Name the source in errors, and raise those of libraries over a file as ObservationError."""
    try:
        yield
    except ObservationError as error:
        if error.source:
            raise
        raise ObservationError(error.faults, source=journal.source) from error
    except Exception as error:
        if not any(isinstance(item, Path) for item in given):  # tables cannot be damaged
            raise
        raise ObservationError(files.unreadable(journal.source, error)) from error


def _read(
    given: list[Any], kind: str | None, candidates: Sequence[Source], reading: Reading,
    journal: Journal, *, is_part: bool = False,
) -> xr.Dataset:  # fmt: skip
    """Return the Dataset of what was given: tables by the engine, others by their reader."""
    if len(given) == 1 and isinstance(given[0], xr.Dataset):
        return from_dataset(given[0], reading=reading, journal=journal)
    inputs: list[Input] = []
    for item in given:
        if isinstance(item, Path):
            members = _files(item, candidates)
            readable = [len(members) == 1 or recognition.is_table(one) for one in members]
            tables = [one for one, is_table in zip(members, readable, strict=True) if is_table]
            others = [
                one.name for one, is_table in zip(members, readable, strict=True) if not is_table
            ]
            if others:
                journal.decide(f"not read, since they are no tables: {listed(others)}")
            if not tables:
                raise ObservationError(f"there is no table in {item.name}; it has {listed(others)}")
            inputs.extend(tables)
        elif isinstance(item, pd.DataFrame):
            _check_takes_tables(candidates, kind)
            inputs.append(Input("table", item))
        else:
            raise ObservationError(
                f"several Datasets are joined with combine; found {type(item).__name__}"
            )
    netcdf = [
        i for i in inputs
        if kind == "netcdf" or files.suffix_of(Path(i.name)) in registry.NETCDF_SUFFIXES
    ]  # fmt: skip
    if netcdf:
        if len(inputs) > 1 or not isinstance(inputs[0].content, Path):
            raise ObservationError(
                f"{len(netcdf)} of {len(inputs)} files are NetCDF: open them one by one and join "
                "them with combine"
            )
        return read_netcdf(inputs[0].content, reading, journal)
    if reading.stations is None and len(inputs) > 1:
        inputs, reading = without_list(inputs, reading, journal)
    return engine.read(
        inputs, candidates, reading=reading, journal=journal, is_part=is_part or len(inputs) > 1
    )


def table_files(path: Path, kind: str | None, journal: Journal) -> list[Path]:
    """Return the files of a path that are read one by one, zips whole, those in it that are tables.

    Raises
    ------
    ObservationError
        If there is none.
    """
    if _is_pattern(path):
        return [file for one in _matching(path) for file in table_files(one, kind, journal)]
    if not path.is_dir():
        return [files.existing(path)]
    if is_archive(path):
        raise ObservationError(f"{path} is an archive already: open_observations opens it")
    inside = files.names_in(path)
    patterns, suffixes = _sought(inside, candidates_of(kind))
    likely = sorted({f for pattern in patterns for f in files.files_in(path, pattern, suffixes)})
    tables = [
        file
        for file in likely
        if file.suffix.lower() == ".zip" or recognition.is_table(Input(file.name, file))
    ]
    if len(tables) < len(likely):
        others = listed(file.name for file in likely if file not in tables)
        journal.decide(f"not read, since they are no tables: {others}")
    if not tables:
        raise ObservationError(f"there is no table in {path}; it has {listed(inside, 5)}")
    return tables


def _is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern of several."""
    return any(sign in str(path) for sign in "*?[") and not path.exists()


def _matching(path: Path) -> list[Path]:
    """Return what fits a pattern."""
    paths = [Path(name) for name in sorted(glob(str(path), recursive=True))]
    if not paths:
        raise ObservationError(f"no file fits {path} (from {Path.cwd()})")
    return paths


def _sought(
    inside: Sequence[str], candidates: Sequence[Source]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the patterns of names and the suffixes that files in a folder or zip must have."""
    likely = list(candidates) or [s for name in inside for s in registry.recognised_name(name)][:1]
    suffixes: tuple[str, ...] = (*TABLE_SUFFIXES, *registry.NETCDF_SUFFIXES)
    if any(source.names for source in likely):
        suffixes = ()
    return sorted({source.files for source in likely} or {"*"}), suffixes


def _files(path: Path, candidates: Sequence[Source]) -> list[Input]:
    """Return the files of a path: one, those of a folder or a zip, or those of a pattern."""
    if _is_pattern(path):
        return [item for one in _matching(path) for item in _files(one, candidates)]
    if not path.is_dir() and files.suffix_of(path) != ".zip":
        return [Input(path.name, path)]
    inside = files.names_in(path)
    patterns, suffixes = _sought(inside, candidates)
    members = [
        Input(name, content)
        for pattern in patterns
        for name, content in files.members(path, pattern, suffixes)
    ]
    if not members:
        raise ObservationError(f"there is no table in {path.name}; it has {listed(inside, 5)}")
    return members


def without_list(
    inputs: list[Input], reading: Reading, journal: Journal
) -> tuple[list[Input], Reading]:
    """Return the files of measurements, and the one among them that lists the stations."""
    for item in inputs:
        names = recognition.names_of(item, reading)
        if names is not None and recognition.is_station_list(names):
            journal.decide(f"{item.name} is taken for the table of stations")
            table = recognition.table_of(item, reading=reading)
            return [i for i in inputs if i is not item], replace(reading, stations=table)
    return inputs, reading


def _check_takes_tables(candidates: Sequence[Source], kind: str | None) -> None:
    """Refuse a table in memory for a format of files only."""
    if kind == "netcdf" or any(source.suffixes for source in candidates):
        raise ObservationError(f"format={kind!r} needs a path; found a table")


def _source(path_or_table: Any) -> tuple[list[Any], Journal]:
    """Return what is to be read, one or several, and a journal under its name."""
    if isinstance(path_or_table, (list, tuple)):
        if not path_or_table:
            raise ObservationError("the list of files is empty")
        parts = [_source(part) for part in path_or_table]
        names = [journal.source for _, journal in parts]
        name = names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} to {names[-1]}"
        return [item for items, _ in parts for item in items], Journal(name)
    if is_reader(path_or_table):
        return [rows_of(path_or_table)], Journal(type(path_or_table).__name__)
    if isinstance(path_or_table, xr.DataArray):
        name = str(path_or_table.name or "pm25")
        return [path_or_table.to_dataset(name=name)], Journal("DataArray")
    if isinstance(path_or_table, (pd.DataFrame, xr.Dataset)):
        name = "table" if isinstance(path_or_table, pd.DataFrame) else "Dataset"
        return [path_or_table], Journal(name)
    if isinstance(path_or_table, (str, PathLike)):
        path = Path(path_or_table).expanduser()
        return [path], Journal(path.name)
    raise ObservationError(
        "open_observations needs a path, a pandas or geopandas table, or an xarray Dataset; "
        f"found {type(path_or_table).__name__}"
    )


def _station_frame(stations: Any, reading: Reading) -> pd.DataFrame:
    """Return the table of stations from a path or from memory."""
    if isinstance(stations, (xr.Dataset, xr.DataArray)):
        names = ["station", "longitude", "latitude", "altitude", "name", *STATION_TYPES]
        return pd.DataFrame({n: stations[n].values for n in names if n in stations.coords})
    if not isinstance(stations, (pd.DataFrame, str, PathLike)):
        raise ObservationError(
            f"stations must be a path or a table; found {type(stations).__name__}"
        )
    if isinstance(stations, pd.DataFrame):
        return recognition.table_of(Input("table", stations), reading=reading)
    path = Path(stations).expanduser()
    if files.suffix_of(path) != ".zip":
        files.existing(path)
    return recognition.table_of(_files(path, ())[0], reading=reading)


def _named(mapping: Mapping) -> dict:
    """Return a mapping whose keys are this package's names: "PM2.5" becomes "pm25"."""
    return {
        name if name in ROLES else (known_variable(str(name)) or name): value
        for name, value in mapping.items()
    }
