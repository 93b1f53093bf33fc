"""Observations to long tables, and their stations to points."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.atomic import atomic_file
from aqreanalysis.conventions import POLLUTANTS, STATION, STATION_TYPES, TIME
from aqreanalysis.observations.contract import DIMENSIONS, validate
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.sources.files import CSV_SUFFIXES, PARQUET_SUFFIXES, suffix_of


def long_table(dataset: xr.Dataset) -> pd.DataFrame:
    """Return observations as a long table, which `open_observations` reads without options.

    Parameters
    ----------
    dataset : xarray.Dataset
        Valid observations.

    Returns
    -------
    pandas.DataFrame
        One row a station and hour, the missing ones too: station, time (UTC, with its zone),
        longitude, latitude, altitude, name and types if known, and the variables. Units other than
        those of a pollutant are in brackets behind the name. Stamps that end their period
        have a further column ``time_label``.

    Raises
    ------
    ObservationError
        If the Dataset is not valid.
    """
    validate(dataset)
    stations, hours = dataset.sizes[STATION], dataset.sizes[TIME]
    times = pd.DatetimeIndex(dataset[TIME].values.astype("datetime64[ns]")).tz_localize("UTC")
    columns: dict = {
        "station": np.repeat(dataset[STATION].values.astype(str), hours),
        "time": times[np.tile(np.arange(hours), stations)],
    }
    for name in ("longitude", "latitude", "altitude", "name", *STATION_TYPES):
        if name in dataset.coords:
            columns[name] = np.repeat(dataset[name].values, hours)
    if dataset[TIME].attrs.get("time_label") == "end":
        columns["time_label"] = "end"
    for variable, array in dataset.data_vars.items():
        if set(array.dims) == set(DIMENSIONS):
            units = array.attrs.get("units")
            head = (
                f"{variable} [{units}]" if units and variable not in POLLUTANTS else str(variable)
            )
            columns[head] = array.transpose(*DIMENSIONS).values.ravel()
    return pd.DataFrame(columns)


def write_table(dataset: xr.Dataset, path: str | PathLike[str]) -> Path:
    """Return the path to which the observations were written.

    The file appears under its name when it is whole, so that an interruption leaves no half of it.

    Parameters
    ----------
    dataset : xarray.Dataset
        Valid observations.
    path : path
        ``.csv``, ``.csv.gz``, ``.parquet``: the long table. ``.gpkg``: the stations as points,
        with the share of hours at which each variable is there and its mean.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ObservationError
        If the suffix is another, or the path cannot be written.
    """
    target = Path(path)
    suffix = suffix_of(target)
    write: Callable[[Path], None]
    if suffix in CSV_SUFFIXES:
        write = _csv_writer(long_table(dataset), compressed=target.suffix.lower() == ".gz")
    elif suffix in PARQUET_SUFFIXES:
        table = long_table(dataset)
        write = lambda partial: table.to_parquet(partial, index=False)  # noqa: E731
    elif suffix == ".gpkg":
        write = _points_writer(dataset)
    else:
        raise ObservationError(
            f"{target.name} has the suffix {suffix!r}; expected .csv, .csv.gz, .parquet or .gpkg"
        )
    try:
        with atomic_file(target) as partial:
            write(partial)
    except Exception as error:  # every library has its own kinds
        raise ObservationError(f"{target} cannot be written: {error}") from error
    return target


def _csv_writer(table: pd.DataFrame, *, compressed: bool) -> Callable[[Path], None]:
    """Return what writes the table as CSV."""

    def write(partial: Path) -> None:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        codes, stamps = pd.factorize(table["time"])
        words = pd.DatetimeIndex(stamps).strftime("%Y-%m-%dT%H:%M:%SZ").to_numpy(dtype=str)
        content = pa.Table.from_pandas(table.assign(time=words[codes]), preserve_index=False)
        compression = "gzip" if compressed else None
        options = arrow_csv.WriteOptions(quoting_style="needed")
        with pa.output_stream(str(partial), compression=compression) as stream:
            arrow_csv.write_csv(content, stream, options)

    return write


def _points_writer(dataset: xr.Dataset) -> Callable[[Path], None]:
    """Return what writes the stations as points."""
    validate(dataset)
    columns = {
        str(name): dataset[name].values
        for name in (STATION, "name", "altitude", *STATION_TYPES)
        if name in dataset.coords
    }
    for name, array in dataset.data_vars.items():
        if set(array.dims) == set(DIMENSIONS) and array.dtype.kind == "f":
            columns[f"{name}_share"] = array.notnull().mean(TIME).values
            columns[f"{name}_mean"] = array.mean(TIME).values

    def write(partial: Path) -> None:
        import geopandas

        points = geopandas.points_from_xy(dataset["longitude"].values, dataset["latitude"].values)
        geopandas.GeoDataFrame(columns, geometry=points, crs="EPSG:4326").to_file(
            partial, driver="GPKG", layer="stations"
        )

    return write
