"""The public sets of the protocols, as observations."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.datasets import describe, fetch
from aqreanalysis.observations import open_observations

DATA_DIR_VARIABLE = "AQREANALYSIS_DATA_DIR"
#: West, east, south, north of the contiguous United States, degrees.
CONTIGUOUS_US = (-125.5, -66.0, 24.0, 50.0)
#: Values outside, and sites that report less often, are left out of the US set.
US_RANGE, US_LEAST_SHARE = (-5.0, 900.0), 0.75


class MissingDataError(RuntimeError):
    """Data that a benchmark needs and does not find."""


def data_folder(named: str | Path | None = None) -> Path:
    """Return the folder of data that is named, or that of the environment.

    Raises
    ------
    MissingDataError
        If neither names a folder.
    """
    folder = named or os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        raise MissingDataError(
            f"benchmarks need the public data: set {DATA_DIR_VARIABLE}, or pass --data FOLDER"
        )
    if not Path(folder).is_dir():
        raise MissingDataError(f"benchmarks need the public data, and {folder} is no folder")
    return Path(folder)


def data_file(name: str, folder: Path) -> Path:
    """Return the path of a public set, checked against its known contents; nothing is downloaded.

    Raises
    ------
    MissingDataError
        If the file is not in the folder.
    aqreanalysis.datasets.DatasetError
        If it has other contents than the set.
    """
    path = folder / describe(name).file
    if not path.is_file():
        raise MissingDataError(
            f"{path} is missing. Get it with aqreanalysis.datasets.fetch({name!r}, "
            f"folder={str(folder)!r}), or by hand: {describe(name).obtain}"
        )
    return fetch(name, folder=folder)


def beijing36(folder: Path) -> xr.Dataset:
    """Return a year of hourly PM2.5 at 36 stations; the file cuts values at 500 ug m-3."""
    return open_observations(data_file("beijing36", folder), format="grin")


def beijing30(folder: Path) -> xr.Dataset:
    """Return hourly PM2.5 of March 2015 at 30 stations, gaps filled by its authors.

    The coordinate ``fold`` is the published fold of a station. Stamps are local and begin their
    hour: the same values stand in the 36-station file one hour later, which labels the end.
    """
    table = pd.read_csv(data_file("beijing30_march2015", folder))
    weather = ["temperature", "humidity", "wind_speed"]
    columns = ["time", "station_id", "longitude", "latitude", "PM25_Concentration", *weather]
    observations = open_observations(
        table[columns],
        columns={"station": "station_id"},
        time_zone="UTC+8",
        time_label="start",
        units="ug m-3",
    )
    fold = table.groupby(table["station_id"].astype(str))["fold"].first()
    fold = fold.loc[observations["station"].values.astype(str)]
    return observations.assign_coords(fold=("station", fold.to_numpy()))


def usepa(folder: Path) -> xr.Dataset:
    """Return hourly PM2.5 at 158 sites of the contiguous US, from the first stamp to the last.

    As in the reference figures: values outside of (-5, 900) are missing, the first monitor of a
    site and hour counts, negative values become 0, and the hours are those of all sites in the
    file, 2011-01-01 05:00 to 2012-01-01 09:00 GMT.
    """
    hour = ["state_code", "county_code", "site", "date_gmt", "time_gmt"]
    table = pd.read_csv(
        data_file("usepa_2011", folder), usecols=[*hour, "poc", "lat", "lon", "datum", "value"]
    )
    inside = (table["value"] > US_RANGE[0]) & (table["value"] < US_RANGE[1])
    observations = open_observations(
        table[inside].drop_duplicates(hour), format="aqs", units="ug m-3"
    )
    west, east, south, north = CONTIGUOUS_US
    longitude, latitude = observations["longitude"].values, observations["latitude"].values
    selected = (longitude > west) & (longitude < east) & (latitude > south) & (latitude < north)
    selected &= observations["pm25"].notnull().mean("time").values >= US_LEAST_SHARE
    observations = observations.isel(station=selected).sortby("station")
    values = observations["pm25"].clip(min=0, keep_attrs=True)
    return observations.assign(pm25=values)


def germany(folder: Path) -> xr.Dataset:
    """Return daily PM10 of 2005 at 69 rural stations in Germany."""
    return _at_altitude(_germany(folder))


def german_altitude(folder: Path) -> xr.Dataset:
    """Return the altitude of the stations of `germany`, m."""
    return _altitude(_germany(folder))


def europe(folder: Path) -> xr.Dataset:
    """Return daily PM10 of 2005 at 194 rural instruments in Europe.

    Eleven identifiers stand for two instruments a few metres apart; the second of each is named
    by its identifier and ``/2``.
    """
    return _at_altitude(_europe(folder))


def european_altitude(folder: Path) -> xr.Dataset:
    """Return the altitude of the stations of `europe`, m."""
    return _altitude(_europe(folder))


def emep(folder: Path) -> xr.Dataset:
    """Return PM10 of the EMEP model at the places of `europe`: a model's, at hidden ones too."""
    return _daily(_europe(folder).drop(columns="PM10").rename(columns={"EMEP": "PM10"}))


def _germany(folder: Path) -> pd.DataFrame:
    """Return the table of the German set."""
    return pd.read_csv(data_file("germany_rural_pm10_2005", folder))


def _europe(folder: Path) -> pd.DataFrame:
    """Return the table of the European set, each instrument with a name of its own."""
    table = pd.read_csv(data_file("europe_rural_pm10_2005", folder))
    second = table.groupby(["station", "time"]).cumcount().to_numpy() > 0
    table["station"] += np.where(second, "/2", "")
    return table


def _at_altitude(table: pd.DataFrame) -> xr.Dataset:
    """Return the observations of a table, with the altitude that each station states."""
    observations = _daily(table)
    stated = table.groupby("station").station_altitude.first()
    altitude = stated.reindex(observations["station"].values.astype(str)).to_numpy(np.float64)
    return observations.assign_coords(altitude=("station", altitude, {"units": "m"}))


def _altitude(table: pd.DataFrame) -> xr.Dataset:
    """Return the altitudes of a table's stations as a background."""
    first = table.groupby("station")[["longitude", "latitude", "station_altitude"]].first()
    places = xr.Dataset.from_dataframe(first).rename(station_altitude="altitude")
    return places.set_coords(["longitude", "latitude"])


def _daily(table: pd.DataFrame) -> xr.Dataset:
    """Return the observations of a table of daily PM10."""
    columns = ["station", "time", "longitude", "latitude", "PM10"]
    return open_observations(
        table[columns], time_zone="UTC", time_label="start", units={"pm10": "ug m-3"}
    )


def beijing12(folder: Path) -> xr.Dataset:
    """Return four years of hourly air quality and weather at 12 stations in Beijing."""
    archive = data_file("beijing12", folder)
    return open_observations(archive, format="uci", stations=archive.parent / "stations.csv")
