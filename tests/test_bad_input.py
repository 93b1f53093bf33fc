"""What is in a file is read as what it is, or refused: no wrong value, no other file, no bomb."""

import bz2
import gzip
import io
import json
import re
import sqlite3
import subprocess
import sys
import time
import zipfile

import geopandas
import numpy as np
import pandas as pd
import pytest

from aqreanalysis.observations import ObservationError, concentration_factor, open_observations
from aqreanalysis.untrusted import budget


@pytest.fixture
def table() -> pd.DataFrame:
    """Stations A and B, three hours; the value is 10 x station + hour."""
    return pd.DataFrame(
        {
            "station": ["A"] * 3 + ["B"] * 3,
            "time": [f"2020-11-01T0{hour}:00Z" for hour in range(3)] * 2,
            "longitude": [10.0] * 3 + [11.0] * 3,
            "latitude": [50.0] * 3 + [51.0] * 3,
            "pm25": [10.0, 11.0, 12.0, 20.0, 21.0, 22.0],
        }
    )


def _with(table, column, row, value):
    changed = table.astype({column: object})
    changed.loc[row, column] = value
    return changed


def _refused(source, words, **options):
    with pytest.raises(ObservationError, match=words):
        open_observations(source, **options)


# Numbers


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("<LOD", "limit of detection"),
        ("1,234", "say decimal='.' if its comma is one of thousands"),
        ("1,5", "decimals with a point"),
        ("true", "truth is no number"),
        ("True", "truth is no number"),
        ("0x10", "decimal digits"),
        ("inf", "not finite"),
        ("1_000", "correct it"),
        ("١٢", "correct it"),
        ("12 ug", "correct it"),
        ("9" * 5000, "correct it"),
    ],
)
@pytest.mark.parametrize("rows", [[4], range(6)])
def test_what_is_no_number_is_refused_with_what_to_do(table, tmp_path, word, remedy, rows):
    path = tmp_path / "a.csv"
    _with(table, "pm25", list(rows), word).to_csv(path, index=False)
    words = rf"row {rows[0] + 1} \(station .*pm25 must be a number or missing.*{remedy}"
    _refused(path, f"{words}|pm25 is infinite at station [AB], 2020-11-01T0[01]:00 UTC")


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg", ".geojson"])
@pytest.mark.parametrize("values", [[True, False] * 3, [[1.0]] * 6, [{"a": 1}] * 6])
def test_truth_and_nested_values_are_no_numbers(table, tmp_path, suffix, values):
    path = tmp_path / f"a{suffix}"
    odd = table.assign(pm25=values)
    if suffix == ".parquet":
        odd.to_parquet(path)
    elif suffix == ".gpkg" and isinstance(values[0], bool):
        _points(odd).to_file(path)
    else:
        path = tmp_path / "a.geojson"
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [row.longitude, row.latitude]},
                "properties": {"station": row.station, "time": row.time, "pm25": row.pm25},
            }
            for row in odd.itertuples()
        ]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    _refused(path, "pm25 must be a number or missing")


def _points(table):
    plain = table.drop(columns=["longitude", "latitude"])
    places = geopandas.points_from_xy(table.longitude, table.latitude, crs="EPSG:4326")
    return geopandas.GeoDataFrame(plain, geometry=places)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_points_of_each_format_are_read(table, tmp_path, suffix, crs):
    path = tmp_path / f"points{suffix}"
    _points(_with(table, "pm25", 1, np.nan).astype({"pm25": float})).to_crs(crs).to_file(path)
    obs = open_observations(path)
    np.testing.assert_array_equal(obs.pm25, [[10, np.nan, 12], [20, 21, 22]])
    np.testing.assert_allclose(obs.longitude, [10, 11], atol=1e-9)
    np.testing.assert_allclose(obs.latitude, [50, 51], atol=1e-9)


@pytest.mark.parametrize("word", ["NA", "", "abc", "<LOD", b"\1\2"])
def test_text_in_a_column_of_numbers_of_a_geopackage_is_no_zero(table, tmp_path, word):
    path = tmp_path / "a.gpkg"
    _points(table).to_file(path, layer="a")
    with sqlite3.connect(path) as base:
        for (trigger,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            base.execute(f'DROP TRIGGER "{trigger}"')
        base.execute("UPDATE a SET pm25 = ? WHERE pm25 = 21", (word,))
    if word in ("NA", ""):
        np.testing.assert_array_equal(open_observations(path).pm25[1], [20, np.nan, 22])
    else:
        _refused(path, r"row 5 \(station B, .*pm25 must be a number or missing")


def test_text_in_a_column_of_numbers_of_a_shapefile_is_no_zero(table, tmp_path):
    _points(table).to_file(tmp_path / "a.shp")
    dbf = tmp_path / "a.dbf"
    content = dbf.read_bytes()
    assert content[-25:-1].strip().startswith(b"22.0")
    dbf.write_bytes(content[:-25] + b"NA".rjust(24) + content[-1:])
    _refused(tmp_path / "a.shp", "row 6 of a.dbf: pm25 must be a number or missing; found 'NA'")


# Stamps


@pytest.mark.parametrize(
    "stamp",
    ["2020", "2020-11", "2020-11T04:00:00Z", "Nov 2020", "4:00", "now", "2020-306", "2020-W45-1",
     "2020-13-01T00:00Z", "2020-11-31T00:00Z", "2020-11-01T25:00Z", "2020-11-01T24:30Z",
     "2020/13/01 00:00Z", "1:001:001:00" * 9000, "2020-11-01T00:00 XST", "13:00 PM 2020-11-01"],
)  # fmt: skip
@pytest.mark.parametrize("rows", [[4], range(6)])
def test_a_stamp_without_day_or_hour_or_sense_is_refused(table, stamp, rows):
    start = time.monotonic()
    _refused(_with(table, "time", list(rows), stamp), "|".join(
        [rf"row {rows[0] + 1} \(station .* has the time .*, which is no stamp", "state a zone"]
    ))  # fmt: skip
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "stamp",
    ["2020-11-01T08:00 UTC+8", "2020-11-01 08:00:00 GMT+08:00", "2020-11-01T00:00:00,0Z",
     "2020-11-01 00:00 UTC", "20201101T0000Z", "2020-11-01T00Z", "1 November 2020 00:00Z",
     "Sun, 01 Nov 2020 00:00:00 GMT", "Nov 1, 2020 12:00 am UTC", "2020/11/1 0:00Z",
     "2020-10-31T24:00Z", "2020-10-31T19:00-0500"],
)  # fmt: skip
def test_a_stamp_may_be_spelled_in_many_ways(table, stamp):
    obs = open_observations(_with(table, "time", [0, 3], stamp))
    assert obs.equals(open_observations(table))


def test_one_wrong_date_does_not_fill_the_memory():
    hours = np.tile(pd.date_range("2020-01-01", periods=3, freq="h").strftime("%FT%RZ"), 1000)
    table = pd.DataFrame(
        {
            "station": np.repeat(np.arange(1000), 3),
            "time": hours,
            "lon": 1.0,
            "lat": 2.0,
            "no2": 3.0,
        }
    )
    words = r"(a wrong date; |no stamp .*)correct it"  # from pandas 3, and before it of 1650
    for wrong in ("1900-01-01T00:00Z", "2099-01-01T00:00Z", "1650-01-01T00:00Z"):
        table.loc[1500, "time"] = wrong
        obs = open_observations(table)
        assert obs.sizes["time"] == 3
        assert int(obs.no2.count()) == 2999
        assert re.search(words, obs.attrs["history"])
        assert "station 500" in obs.attrs["history"]
        with pytest.raises(ObservationError, match=words):
            open_observations(table, strict=True)
    table["time"] = np.where(table.index % 30 == 0, "1900-01-01T00:00Z", table["time"])
    _refused(table, "too long for 1000 stations with 3000 rows")


def test_rows_a_millisecond_apart_do_not_fill_the_memory(table):
    stamps = [f"2020-11-01T00:00:00.00{i}Z" for i in range(5)] + ["2020-11-20T00:00Z"]
    _refused(table.assign(time=stamps, station="A", longitude=1.0, latitude=1.0), "is a date wrong")


def test_one_wrong_date_of_a_small_table_costs_its_row(table):
    hours = pd.date_range("2022-01-01", periods=48, freq="h").strftime("%FT%RZ").tolist()
    small = pd.DataFrame({"station": "A", "time": hours, "lon": 1.0, "lat": 2.0, "no2": 3.0})
    small.loc[7, "time"] = "1900-01-01T00:00Z"
    obs = open_observations(small)
    assert (obs.sizes["time"], int(obs.no2.count())) == (48, 47)


def test_a_sparse_network_of_decades_is_read(table):
    years = [f"{year}-01-01T00:00Z" for year in (1990, 2000, 2020)] * 2
    obs = open_observations(table.assign(time=years))
    assert int(obs.pm25.notnull().sum()) == 6


# Names and units


def test_units_stand_in_the_last_brackets_of_a_name(table):
    name = "PM2.5 (LC) [mg/m3]"
    obs = open_observations(table.rename(columns={"pm25": name}), columns={"pm25": name})
    assert float(obs.pm25.max()) == 22_000
    assert "converted from mg/m3" in obs.attrs["history"]


@pytest.mark.parametrize("inner", ["(" * 30_000, "[" + " " * 30_000, "(" + " x" * 20_000 + ")"])
def test_brackets_in_a_name_take_no_time(table, tmp_path, inner):
    path = tmp_path / "a.csv"
    table.rename(columns={"pm25": f"pm25 {inner}"}).to_csv(path, index=False)
    start = time.monotonic()
    if " x" in inner:
        _refused(path, "(?s)^.{,500}unknown units '(x ?)+' of pm25")
    else:  # nothing is in the brackets
        assert open_observations(path).equals(open_observations(table))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "units", ["9⁹⁹⁹⁹⁹⁹⁹⁹⁹ g", "9**9**9**9 g", "9^999999999 g", "km999999999", "9" * 40_000,
              "1e999 g m-3", "(" * 1000, "0 g m-3"]
)  # fmt: skip
def test_units_are_not_computed(units):
    start = time.monotonic()
    with pytest.raises(ObservationError, match="expected units that convert to"):
        concentration_factor(units, "pm25")
    assert time.monotonic() - start < 5


def test_too_many_columns_are_said_as_what_they_are(table, tmp_path):
    path = tmp_path / "a.csv"
    text = table.to_csv(index=False).splitlines()
    text[0] += "".join(f",c{i}" for i in range(100_000))
    path.write_text("\n".join(text))
    _refused(path, "100005 columns or more, expected 20000 at most")


# Archives


@pytest.fixture
def small_budget(monkeypatch):
    monkeypatch.setattr(budget, "FREE_BYTES", 2**20)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "zip"])
def test_a_bomb_is_not_unpacked(table, tmp_path, small_budget, suffix):
    path = tmp_path / f"a.csv.{suffix}"
    text = table.to_csv(index=False).encode() + b"\n" * 2**24
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", text)
    else:
        path.write_bytes({"gz": gzip, "bz2": bz2}[suffix].compress(text))
    _refused(path, r"expands from .* to .* MB: a damaged file, or one made to fill the memory")


def test_a_parquet_of_few_bytes_and_many_rows_is_not_read(tmp_path, small_budget):
    pd.DataFrame({"time": np.zeros(10**6)}).to_parquet(tmp_path / "a.parquet")
    _refused(tmp_path / "a.parquet", "expands from")


def _zip(path, members, **attributes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(member, key, value)
            archive.writestr(member, content)
    return path


def test_archives_that_are_odd_are_refused_or_read_in_place(table, tmp_path):
    text = table.to_csv(index=False)
    link = _zip(tmp_path / "link.zip", {"a.csv": "/etc/passwd"}, external_attr=0o120777 << 16)
    _refused(link, "holds links, which are not followed: a.csv")
    path = _zip(tmp_path / "path.zip", {"../../escaped.csv": text})
    assert open_observations(path).equals(open_observations(table))
    assert not (tmp_path.parents[1] / "escaped.csv").exists()
    nest = b""
    for depth in range(4):
        target = io.BytesIO()
        _zip(target, {f"prsa{depth}.zip": nest} if depth else {"prsa_data.csv": text})
        nest = target.getvalue()
    (tmp_path / "nest.zip").write_bytes(nest)
    _refused(tmp_path / "nest.zip", "archives in archives: unpack it", format="aqs")
    content = bytearray(_zip(tmp_path / "a.zip", {"a.csv": text}).read_bytes())
    for name, at, value, words in (
        ("password", 8, 1, "cannot be unpacked here: .*password"),
        ("method", 10, 99, "cannot be unpacked here: .*compression"),
        ("checksum", 16, 7, "damaged one: Bad CRC-32"),
    ):
        spoiled = bytearray(content)
        spoiled[spoiled.rindex(b"PK\1\2") + at] = value
        (tmp_path / f"{name}.zip").write_bytes(spoiled)
        _refused(tmp_path / f"{name}.zip", words)


# Other files


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp"])
def test_a_virtual_data_set_is_not_followed(table, tmp_path, suffix):
    _points(table).to_file(tmp_path / "secret.geojson")
    path = tmp_path / f"a.{suffix}"
    path.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>'
        f"{tmp_path / 'secret.geojson'}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    _refused(path, "Virtual data sets and links to other files are not followed")
    _refused(table, "Virtual data sets and links to other files are not followed", stations=path)


def test_an_endless_view_of_a_geopackage_comes_to_an_end(table, tmp_path, monkeypatch):
    monkeypatch.setattr("aqreanalysis.observations.sources.points._SECONDS", 0.3)
    path = tmp_path / "a.gpkg"
    _points(table).to_file(path, layer="a")
    with sqlite3.connect(path) as base:
        base.execute("UPDATE gpkg_contents SET table_name = 'v'")
        base.execute("UPDATE gpkg_geometry_columns SET table_name = 'v'")
        base.execute(
            "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT a.* FROM a, n WHERE i < 0"
        )
    _refused(path, "cannot be read as a GeoPackage: interrupted")


def test_the_folders_above_a_parquet_are_no_columns(table, tmp_path):
    folder = tmp_path / "pm10=7" / "station=Z"
    folder.mkdir(parents=True)
    for name, data in (("a.parquet", table), ("b.parquet", _points(table))):
        data.to_parquet(folder / name)
        assert open_observations(folder / name).equals(open_observations(table))


def test_an_unexpected_failure_of_a_library_is_one_clear_error(table, tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    table.to_csv(path, index=False)

    def fails(*_, **__):
        raise RecursionError("too deep")

    monkeypatch.setattr("aqreanalysis.observations.sources.engine.to_dataset", fails)
    _refused(path, r"a.csv cannot be read \(too deep\): it is damaged, or of another format")


def test_a_file_that_may_be_cut_off_is_said(table, tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text(table.to_csv(index=False)[:-1])
    with caplog.at_level("INFO", logger="aqreanalysis"):
        open_observations(path)
    assert "a.csv: the last line has no end" in caplog.text


def test_no_damage_of_a_parquet_file_ends_python(tmp_path):
    """At some, Arrow ends the process in which it reads what the file says of its columns."""
    path = tmp_path / "stations.parquet"
    table = pd.DataFrame(
        {
            "station": ["A", "B"],
            "time": pd.to_datetime(["2024-01-01T00:00", "2024-01-01T00:00"]),
            "longitude": [1.0, 2.0],
            "latitude": [50.0, 51.0],
            "pm25": [1.0, 2.0],
        }
    )
    table.to_parquet(path)
    program = """
import sys
from pathlib import Path
import aqreanalysis as aqr
path = Path(sys.argv[1])
whole = path.read_bytes()
begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
for place in range(begin, begin + 24):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
    try:
        aqr.open_observations(path, time_zone="UTC")
    except aqr.ObservationError:
        pass
print("done")
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "done", run.stderr
