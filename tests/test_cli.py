"""The command: ordinary paths end in files, bad input ends in one message and no file at all."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis import open_observations
from aqreanalysis.grid import MOST_CELLS, Grid
from aqreanalysis.observations import ObservationError, open_stations
from aqreanalysis.product import open_product


def table(stations=6, hours=6):
    """A small network whose values rise from west to east."""
    stamps = pd.date_range("2024-01-01", periods=hours, freq="h").strftime("%Y-%m-%dT%H:%MZ")
    rows = [
        (f"00{i}", stamp, 116 + 0.1 * i, 39.5 + 0.07 * (i % 3), 20.0 + i)
        for i in range(stations)
        for stamp in stamps
    ]
    return pd.DataFrame(rows, columns=["station", "time", "longitude", "latitude", "pm25"])


def changed(column, value, row=3):
    """The small network with one value changed."""
    frame = table().astype({column: object})
    frame.loc[row, column] = value
    return frame


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("obs.csv", index=False)
    return tmp_path


def reanalyse(run, *arguments, source="obs.csv", method="idw"):
    return run("reanalyse", source, "-o", "out.nc", "--method", method, *arguments)


# The ordinary path


@pytest.mark.parametrize("method", ["idw", "kriging"])
def test_stations_become_a_product(folder, run, method):
    status, out, _ = reanalyse(run, "--grid", "0.1", "--region", 116, 117, 39, 40, method=method)
    assert (status, out) == (0, "out.nc: 6 time, 10 lat, 10 lon\n")
    with open_product("out.nc") as product:
        west, east = product.pm25.isel(time=0).sel(lat=39.55, lon=[116.05, 116.45])
        assert 19 <= west < east <= 26


def test_a_product_becomes_a_map_with_its_stations(folder, run):
    reanalyse(run, "--grid", "0.1")
    status, out, _ = run(
        "map", "out.nc", "-o", "map.png", "--time", "2024-01-01T02", "--observations", "obs.csv"
    )
    assert (status, out) == (0, "map.png\n")
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir(folder)) == ["map.png", "obs.csv", "out.nc"]


def test_a_map_is_drawn_as_asked_and_its_hours_are_animated(folder, run):
    reanalyse(run, "--grid", "0.2")
    reanalyse(run, "--grid", "0.2", "-o", "other.nc", method="kriging")
    for arguments in (
        ("--panel", "value", "--panel", "uncertainty", "--panel", "other.nc", "--limits", 0, 40),
        ("--panel", "2024-01-01T02", "--panel", "time=2024-01-01T03,title=later",
         "--maps-per-row", 1),
        ("--inset", "Langfang", "--inset", "116.1,116.3,39.5,39.6", "--levels", "0,21,24",
         "--cmap", "batlow", "--local-time", "Asia/Shanghai", "--no-caption"),
        ("--contours", "auto", "--uncertain", "hatch", "--error-above", 2, "--no-title",
         "--no-legend", "--no-bar", "--no-cities", "--observations", "obs.csv", "--hidden", "001"),
    ):  # fmt: skip
        status, out, err = run("map", "out.nc", "-o", "map.png", *arguments)
        assert (status, out) == (0, "map.png\n"), err
    for arguments, words in (
        (("--levels", "0,many"), "--levels takes numbers, as 0,35,75,150; found '0,many'"),
        (("--city", "Beijing", "--region", 116, 117, 39, 40), "leave one of them out"),
        (("--panel", "draw=first"), "--panel takes the number of a draw"),
        (("--panel", "2025-01-01"), "no hour 2025-01-01"),
        (("--inset", "Beijing"), "lies outside of the map"),
        (("--uncertain", "blur", "--cmap", "red"), "'fade' or 'hatch'"),
    ):
        status, _, err = run("map", "out.nc", "-o", "none.png", *arguments)
        assert status == 1
        assert words in err
    period = ("--time", "2024-01-01T00", "2024-01-01T01")
    status, out, err = run("animate", "out.nc", "-o", "hours.gif", *period, "--city", "Langfang")
    assert (status, out[:11]) == (0, "hours.gif: "), err
    assert "found 'hours.avi'" in run("animate", "out.nc", "-o", "hours.avi")[2]
    assert sorted(os.listdir(folder)) == ["hours.gif", "map.png", "obs.csv", "other.nc", "out.nc"]


def test_places_keep_their_zeros_and_their_map(folder, run):
    (folder / "places.csv").write_text("site;lon;lat\n007;116.2;39.6\n012;116.0;39.5\n")
    status, out, _ = reanalyse(run, "--at", "places.csv")
    assert (status, out) == (0, "out.nc: 2 station, 6 time\n")
    with open_product("out.nc") as product:
        assert product.station.values.tolist() == ["007", "012"]
        # The second place is at station 000, whose value is 20.
        assert product.pm25.sel(station="012").values == pytest.approx(20.0)
    assert run("map", "out.nc", "-o", "error.png", "--uncertainty")[0] == 0


def test_hours_are_selected_in_any_zone(folder, run):
    period = ("--time", "2024-01-01T09:00+08:00", "2024-01-01T10:00+08:00")
    assert reanalyse(run, "--grid", "0.2", *period)[0] == 0
    with open_product("out.nc") as product:
        hours = product.time.values.astype("datetime64[h]")
        assert hours.astype(str).tolist() == ["2024-01-01T01", "2024-01-01T02"]


def test_grids_are_projected_oblong_like_others_and_clipped(folder, run):
    import geopandas
    import shapely

    square = shapely.box(116.0, 39.4, 116.3, 39.7)
    geopandas.GeoDataFrame(geometry=[square], crs="EPSG:4326").to_file("city.gpkg")
    for arguments, sizes in (
        (("--grid", "0.05x0.1", "--clip", "city.gpkg"), "6 lat, 3 lon"),
        (("--grid", "5000", "--crs", "EPSG:32650", "--clip", "city.gpkg"), "7 y, 6 x"),
        (("--like", "out.nc", "--land"), "7 y, 6 x"),
    ):
        status, out, err = reanalyse(run, *arguments)
        assert (status, out) == (0, f"out.nc: 6 time, {sizes}\n"), err
    for arguments, words in (
        (("--grid", "0.1by0.2"), "--grid takes the size of a cell, 0.1, or its height and width"),
        (("--crs", "EPSG:3857", "--grid", "5000"), "CF has no grid mapping"),
        (("--crs", "EPSG:2154", "--grid", "5000"), "EPSG:2154 is made for France"),
        (("--like", "obs.csv"), "cannot be read as NetCDF"),
        (("--like", "out.nc", "--grid", "0.1"), "either like=, or grid=, not both"),
        (("--clip", "none.gpkg"), "there is no file none.gpkg"),
    ):
        status, _, err = reanalyse(run, *arguments, method="neural")  # before any training
        assert (status, words in err) == (1, True), err


def test_several_files_are_one_product(folder, run):
    for name, hours in (("a", ("00", "02")), ("b", ("03", "05"))):
        period = ("--time", *(f"2024-01-01T{hour}" for hour in hours))
        assert (
            run("reanalyse", "obs.csv", "-o", f"part-{name}.nc", "--method", "idw", *period)[0] == 0
        )
    status, out, err = run("exceedance", "part-*.nc", "-o", "above.nc", "--limit", "21")
    assert status == 0, err
    assert "6 time" in out


def test_validate_tells_what_is_there(folder, run):
    status, out, _ = run("validate", "obs.csv")
    assert status == 0
    assert "6 stations" in out
    assert "2024-01-01T00:00 to 2024-01-01T05:00 UTC" in out
    assert "pm25: ug m-3, 0.0% missing" in out


def test_columns_and_duplicates_are_chosen_by_options(folder, run):
    twice = pd.concat([table(), table().iloc[[3]].assign(pm25=90.0)])
    twice.rename(columns={"pm25": "dust"}).to_csv("twice.csv", index=False)
    assert "no column of a pollutant" in run("validate", "twice.csv")[2]
    status, _, err = run("validate", "twice.csv", "--column", "pm25=dust")
    assert status == 1
    assert "station 000, 2024-01-01T03:00 UTC: 20, 90" in err
    both = ("--column", "pm25=dust", "--duplicates", "mean")
    assert run("validate", "twice.csv", *both)[0] == 0
    assert "takes ROLE=NAME" in run("validate", "twice.csv", "--column", "pm25")[2]


def test_data_sets_are_listed(run):
    status, out, _ = run("datasets", "list")
    assert status == 0
    assert "beijing36: " in out


@pytest.mark.parametrize(
    "command", ["reanalyse", "fit", "map", "animate", "validate", "demo", "datasets"]
)
def test_every_command_has_help(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"aqreanalysis {command}" in out
    assert command in run("--help")[1]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="windows"),
        pytest.param(lambda text: b"\xef\xbb\xbf" + text.encode(), id="byte order mark"),
        pytest.param(lambda text: text.replace(",", ";").encode(), id="semicolons"),
        pytest.param(lambda text: text.replace("000", "北京").encode(), id="names"),
    ],
)
def test_usual_spellings_of_a_table_read_the_same(folder, content):
    (folder / "other.csv").write_bytes(content(table().to_csv(index=False)))
    read = [open_observations(name).sortby("longitude") for name in ("obs.csv", "other.csv")]
    np.testing.assert_array_equal(read[1].pm25.values, read[0].pm25.values)


# Bad input


def assert_refused(answer, folder, words):
    """One message, status 1, nothing written."""
    status, out, err = answer
    assert status == 1
    assert out == ""
    assert words in err.replace("\n", " ")
    assert err.count("aqreanalysis: ") == 1
    left = [name for name in os.listdir(folder) if name.startswith((".", "out", "map", "model"))]
    assert left == []


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (table().drop(columns=["longitude"]), "no column of longitude"),
        (changed("latitude", 95.0), "station 000 has 95"),
        (table().rename(columns={"latitude": "lon", "longitude": "lat"}), "look swapped"),
        (changed("longitude", 117.5), "station 000 moves"),
        (table().rename(columns={"pm25": "pm3"}), "no column of a pollutant"),
        (table().rename(columns={"pm25": "pm25 [furlong]"}), "pm25 cannot be in 'furlong'"),
        (changed("time", "2024-13-01T00:00Z"), "'2024-13-01T00:00Z', which is no stamp"),
        (pd.concat([table(), changed("pm25", 90.0)]), "000, 2024-01-01T03:00 UTC: 20, 90"),
        (table().assign(pm25=np.nan), "pm25 is missing at every station and hour"),
        (changed("pm25", "inf"), "pm25 is infinite at station 000, 2024-01-01T03:00 UTC"),
        (changed("pm25", "1e+300"), "station 000, 2024-01-01T03:00 UTC: pm25 is 1e+300"),
        (table(stations=1), "all stations (1: 000) are at one place, longitude 116"),
        (table().assign(longitude=116.0, latitude=40.0), "(6: 000, 001, 002, 003, 004)"),
        (table(hours=0), "columns but no rows"),
    ],
)
def test_bad_observations_end_in_one_message(folder, run, frame, words):
    frame.to_csv("bad.csv", index=False)
    assert_refused(reanalyse(run, source="bad.csv"), folder, words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bad.csv", b"", "is empty"),
        ("bad.csv", b"\x00\xff\x81" * 99, "no text in UTF-8, but in another encoding or a binary"),
        ("bad.csv", b"station,time,longitude,latitude,pm25", "columns but no rows"),
        ("bad.csv", table().to_csv(index=False).replace("000,", '"000,').encode(), "a quote"),
        ("bad.csv", table().to_csv(index=False).replace("000", "Ł").encode("cp1250"), "UTF-8"),
        ("bad.nc", b"junk" * 99, "cannot be read as NetCDF"),
        ("bad.parquet", b"junk" * 99, "bad.parquet cannot be read"),
        ("bad.zip", b"junk" * 99, "no zip file"),
        ("bad.xyz", b"junk" * 99, "suffix '.xyz'"),
    ],
)
def test_broken_files_end_in_one_message(folder, run, name, content, words):
    (folder / name).write_bytes(content)
    assert_refused(reanalyse(run, source=name), folder, words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grid", "0"), "must be positive; found 0"),
        (("--grid", "0", "--region", 116, 117, 39, 40), "must be positive; found 0"),
        (("--grid", "nan"), "must be positive; found nan"),
        (("--grid", "inf"), "must be finite"),
        (("--grid", "1e-6"), "50,000,000 are the most; take"),
        (("--grid", "100"), "a cell of 100 degrees is too large for the globe"),
        (("--region", 117, 116, 39, 40), "east (116) must exceed west (117)"),
        (("--region", 0, 1, 0, 1), "holds no station and none is in reach: the nearest, 000"),
        (("--time", "abc", "def"), "'abc' is no time"),
        (("--time", "2025-01-01", "2025-01-02"), "span 2024-01-01 00:00:00 to 2024-01-01 05:00:00"),
        (("--time", "2024-01-01T04", "2024-01-01T01"), "no hour lies within"),
        (("--variable", "o3"), "no variable 'o3'; they have pm25"),
        (("--variable", "xyz"), "unknown pollutant 'xyz'"),
        (("--at", "nowhere.csv"), "no file nowhere.csv"),
        (("--at", "obs.csv", "--grid", "1"), "not both"),
        (("--model", "nowhere"), "leave out --method idw, or --model"),
        (("--format", "xyz"), "format must be one of long"),
        (("--stations", "nowhere.csv"), "no file nowhere.csv"),
    ],
)
def test_bad_requests_end_in_one_message(folder, run, arguments, words):
    assert_refused(reanalyse(run, *arguments), folder, words)


def test_an_unknown_method_is_named(folder, run):
    assert_refused(reanalyse(run, method="magic"), folder, "method must be one of neural")
    answer = run("reanalyse", "obs.csv", "-o", "out.nc", "--model", "nowhere")
    assert_refused(answer, folder, "nowhere is no saved model")


@pytest.mark.parametrize(
    ("command", "output", "words"),
    [
        ("reanalyse", "nowhere/out.nc", "there is no folder"),
        ("reanalyse", "out.tif", "end its name in .nc or .zarr; found 'out.tif'"),
        ("fit", "obs.csv", "obs.csv exists and is no saved model"),
        ("fit", "obs.csv/model", "obs.csv is no folder to write into"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_training(
    folder, run, monkeypatch, command, output, words
):
    trained = []
    monkeypatch.setattr(
        "aqreanalysis.methods.neural.reanalyser.Reanalyser.fit", lambda *_: trained.append(1)
    )
    assert_refused(run(command, "obs.csv", "-o", output), folder, words)
    assert trained == []


def test_a_map_of_no_product_or_no_hour_is_refused(folder, run):
    assert_refused(run("map", "obs.csv", "-o", "map.png"), folder, "cannot be read as NetCDF")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf("foreign.nc")
    assert_refused(run("map", "foreign.nc", "-o", "map.png"), folder, "holds no product")
    reanalyse(run, "--grid", "0.2")
    for arguments, words in (
        (("--time", "2025-01-01T00"), "nearest is 2024-01-01 05:00 UTC"),
        (("--time", ""), "names no hour"),
        (("--variable", "o3"), "no variable 'o3'"),
    ):
        status, _, err = run("map", "out.nc", "-o", "map.png", *arguments)
        assert status == 1
        assert words in err
    assert "a map is written as .png" in run("map", "out.nc", "-o", "map.tif")[2]
    assert sorted(os.listdir(folder)) == ["foreign.nc", "obs.csv", "out.nc"]


def test_implausible_values_are_used_and_said_to_be(folder, caplog):
    obs = open_observations(changed("pm25", -5.0))
    obs.aqnet.reanalyse(grid=0.2, method="idw")
    assert "1 value of pm25 outside the plausible 0 to 2000 ug m-3" in caplog.text
    assert "station 000, 2024-01-01T03:00 UTC: -5" in caplog.text


def test_requests_of_a_wrong_kind_are_refused_in_python():
    obs = open_observations(table())
    for request, words in (
        ({"time": ("2024-01-01", "2024-01-02")}, "is no time"),
        ({"time": slice(0, 3)}, "0 is no time"),
        ({"grid": [0.1]}, "one number, or height and width; found"),
        ({"region": (None,) * 4}, "four finite numbers"),
        ({"at": pd.DataFrame()}, "at must be a Dataset .* found DataFrame"),
        ({"method": object}, "found the class object"),
    ):
        with pytest.raises(ValueError, match=words):
            obs.aqnet.reanalyse(**{"method": "idw", **request})
    one_hour = obs.aqnet.reanalyse(method="idw", grid=0.2, time="2024-01-01T02")
    assert one_hour.sizes["time"] == 1


def test_a_grid_has_no_more_cells_than_fit():
    side = float(np.sqrt(1 / MOST_CELLS))
    assert Grid((0, 1, 0, 1), side * 1.01).resolution == side * 1.01
    with pytest.raises(ValueError, match="50,000,000 are the most"):
        Grid((0, 1, 0, 1), side * 0.99)


def test_places_of_a_table_are_checked():
    with pytest.raises(ObservationError, match="station a has 95"):
        open_stations(pd.DataFrame({"site": ["a", "b"], "lon": [1.0, 2.0], "lat": [95.0, 50.0]}))


SLOW_COMMAND = """
import time
from pathlib import Path
from aqreanalysis.cli import application
from aqreanalysis.atomic import atomic_file

def app():
    with atomic_file(Path("out.nc")) as partial:
        partial.write_text("half")
        time.sleep(60)

application.app = app
application.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_leaves_the_earlier_file_and_no_other(folder, name):
    (folder / "out.nc").write_text("earlier")
    number = getattr(signal, name)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_COMMAND],
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:
        limit = time.monotonic() + 60
        while not list(folder.glob(".out.nc.partial*")) and time.monotonic() < limit:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, name)
    assert err == "aqreanalysis: interrupted; nothing was written under the final name\n"
    assert sorted(os.listdir(folder)) == ["obs.csv", "out.nc"]
    assert (folder / "out.nc").read_text() == "earlier"
