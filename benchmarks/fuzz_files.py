"""Good files of every kind that is read, for `benchmarks.fuzz` to spoil."""

import csv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"


@dataclass(frozen=True)
class Source:
    """A good file, and the options with which it is read."""

    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    is_product: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it is a table of text."""
        return self.path.suffix in (".csv", ".txt", ".tsv", ".dat")

    @property
    def separator(self) -> str:
        """What stands between its columns."""
        return max(",;\t", key=self.path.read_text("utf-8").splitlines()[0].count)


def sources(folder: Path) -> list[Source]:
    """Write a good file of each kind, and add those of the tests that are read without options."""
    import geopandas

    hours = pd.date_range("2020-11-01", periods=48, freq="h")
    names = ["Anlage", "Brück", "Cöln"]
    rng = np.random.default_rng(0)
    long = pd.DataFrame(
        {
            "station": np.repeat(names, hours.size),
            "time": np.tile(hours.strftime("%Y-%m-%dT%H:%MZ"), 3),
            "longitude": np.repeat([10.25, 11.5, 12.75], hours.size),
            "latitude": np.repeat([50.5, 51.25, 52.125], hours.size),
            "pm25": rng.gamma(3.0, 6.0, 3 * hours.size).round(1),
            "no2": rng.gamma(3.0, 9.0, 3 * hours.size).round(1),
        }
    )
    places = long.drop_duplicates("station")[["station", "longitude", "latitude"]]
    places.to_csv(folder / "stations.csv", index=False)
    with_places = {"stations": folder / "stations.csv"}
    long.to_csv(folder / "long.csv", index=False)
    long.to_csv(folder / "semicolons.csv", index=False, sep=";")
    for suffix in ("gz", "bz2", "zst"):
        _packed(folder / "long.csv", folder / f"long.csv.{suffix}", suffix)
    long.to_parquet(folder / "long.parquet")
    long.pivot(index="time", columns="station", values="pm25").to_csv(folder / "wide.csv")
    points = geopandas.GeoDataFrame(
        long.drop(columns=["longitude", "latitude"]),
        geometry=geopandas.points_from_xy(long.longitude, long.latitude, crs="EPSG:4326"),
    )
    points.to_parquet(folder / "points.parquet")
    for name in ("points.gpkg", "points.geojson", "points.shp"):
        points.to_file(folder / name, engine="pyogrio")
    _aqs(long).to_csv(folder / "hourly_88101_2020.csv", index=False, quoting=csv.QUOTE_ALL)
    with zipfile.ZipFile(folder / "hourly_88101_2020.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "hourly_88101_2020.csv", "hourly_88101_2020.csv")
    with zipfile.ZipFile(folder / "PRSA_Data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            text = _uci(long[long.station == name]).to_csv(index=False)
            archive.writestr(f"PRSA_Data_{name}.csv", text)
    data = _series(long)
    data.to_netcdf(folder / "series.nc", engine="netcdf4")
    packed = {"pm25": {"dtype": "i2", "scale_factor": 0.1, "_FillValue": -1, "zlib": True}}
    data.to_netcdf(folder / "packed.nc", engine="netcdf4", encoding=packed)
    data.to_netcdf(folder / "classic.nc", format="NETCDF3_CLASSIC", engine="netcdf4")
    _grin(folder / "small36.h5", long)
    good = [
        Source(folder / name, with_places if name in ("wide.csv", "PRSA_Data.zip") else {})
        for name in sorted(path.name for path in folder.iterdir())
        if not name.endswith((".dbf", ".shx", ".prj", ".cpg")) and name != "stations.csv"
    ]
    return [*good, Source(FIXTURES / "product.nc", is_product=True), *_of_tests()]


def _of_tests() -> list[Source]:
    """Return the tables among the files of the tests that need no options."""
    from aqreanalysis.observations import ObservationError, open_observations

    readable = []
    for path in sorted(FIXTURES.rglob("*")):
        if path.suffix not in (".csv", ".txt", ".tsv", ".dat", ".xlsx", ".json", ".zip"):
            continue
        try:
            open_observations(path)
        except ObservationError:
            continue
        readable.append(Source(path))
    return readable


def _packed(source: Path, target: Path, suffix: str) -> None:
    import pyarrow as pa

    codec = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}[suffix]
    with pa.output_stream(str(target), compression=codec) as stream:
        stream.write(source.read_bytes())


def _aqs(long: pd.DataFrame) -> pd.DataFrame:
    codes = pd.factorize(long.station)[0] + 1
    return pd.DataFrame(
        {
            "State Code": "06", "County Code": "037", "Site Num": [f"{c:04}" for c in codes],
            "Parameter Code": 88101, "POC": 1, "Latitude": long.latitude,
            "Longitude": -long.longitude, "Datum": "WGS84", "Date GMT": long.time.str[:10],
            "Time GMT": long.time.str[11:16], "Sample Measurement": long.pm25,
            "Units of Measure": "Micrograms/cubic meter (LC)",
        }
    )  # fmt: skip


def _uci(long: pd.DataFrame) -> pd.DataFrame:
    stamps = pd.to_datetime(long.time)
    table = pd.DataFrame(
        {
            "No": np.arange(len(long)) + 1, "year": stamps.dt.year, "month": stamps.dt.month,
            "day": stamps.dt.day, "hour": stamps.dt.hour,
        }
    )  # fmt: skip
    for name in ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3"):
        table[name] = long.pm25
    weather: dict[str, float | str] = {
        "TEMP": 1.5,
        "PRES": 1013.0,
        "DEWP": -2.0,
        "RAIN": 0.0,
        "wd": "NW",
        "WSPM": 2.5,
    }
    for name, value in weather.items():
        table[name] = value
    return table.assign(station=long.station)


def _series(long: pd.DataFrame) -> xr.Dataset:
    from aqreanalysis.observations import open_observations

    data = open_observations(long)
    for item in data.variables.values():
        item.encoding = {}
    return data


def _grin(path: Path, long: pd.DataFrame) -> None:
    import h5py

    wide = long.pivot(index="time", columns="station", values="pm25")
    places = long.drop_duplicates("station")
    stamps = pd.to_datetime(wide.index).tz_localize(None).to_numpy().astype("datetime64[ns]")
    with h5py.File(path, "w") as file:
        values = file.create_group("pm25")
        values["block0_items"] = np.arange(1001, 1004)
        values["axis1"] = stamps.astype(np.int64)
        values["block0_values"] = wide.to_numpy()
        stations = file.create_group("stations")
        stations["block0_items"] = np.array([b"latitude", b"longitude"])
        stations["axis1"] = np.arange(1001, 1004)
        stations["block0_values"] = places[["latitude", "longitude"]].to_numpy()
