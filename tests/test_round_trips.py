"""Round trips: what other programs make of a product is opened, and called what it is."""

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from product_cases import GRIDS, checked, make_field, make_observations, make_product

from aqreanalysis import Grid, synthetic_network
from aqreanalysis.conventions import missing_class
from aqreanalysis.fields.blocks import predict_blocks
from aqreanalysis.filling import ORIGINS
from aqreanalysis.network import FARTHEST_SUPPORT_KM, StationNetwork
from aqreanalysis.predictive import RootNormal
from aqreanalysis.product import (
    ProductError,
    build_product,
    open_product,
    restore_metadata,
    write_netcdf,
    write_zarr,
)

DAILY = "daily {} of PM2.5 mass concentration"


def run(*command: str | Path) -> None:
    """Run a program of others, or skip where this machine lacks it."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"needs the program {command[0]}")
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def two_days() -> xr.Dataset:
    """Return a product of 48 hours."""
    field = make_product()
    time = pd.date_range("2014-11-01", periods=48, freq="h")
    product = field.drop_vars("time_bnds").isel(time=np.arange(48) % 30).assign_coords(time=time)
    product["time"].attrs.update(time_label="start", step_hours=1.0)
    return restore_metadata(product)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of a product of 48 hours."""
    return write_netcdf(two_days(), tmp_path / "hourly.nc")


def like_cdo(path: Path, method: str) -> Path:
    """Write what CDO 2.1 makes of a product in daymean or daymax, as far as attributes tell."""
    with xr.open_dataset(path) as file:
        hourly = file.load()
    days = hourly.drop_vars("time_bnds").resample(time="1D")
    daily = days.mean() if method == "mean" else days.max()
    begin = daily.time.values
    bounds = np.stack([begin, begin + np.timedelta64(1, "D")], axis=1)
    attributes = {
        k: v for k, v in hourly.time.attrs.items() if "_label" not in k and "step" not in k
    }
    daily = daily.assign_coords(time=("time", begin + np.timedelta64(690, "m"), attributes))
    daily["time"].encoding |= {"units": "hours since 1970-01-01", "dtype": "float64"}
    daily["time_bnds"] = (("time", "bnds"), bounds)
    for layer in daily.data_vars.values():
        if str(layer.name).startswith("pm25"):
            layer.attrs = hourly[layer.name].attrs.copy()
            layer.attrs.setdefault("cell_methods", f"time: {method}")
    operator = {"mean": "daymean", "maximum": "daymax"}[method]
    daily.attrs = hourly.attrs | {
        "history": f"Sat Nov 01 2014: cdo -s {operator} in.nc out.nc\n{hourly.attrs['history']}"
    }
    result = path.with_name(f"{method}.nc")
    daily.to_netcdf(result)
    return result


# What CDO makes


@pytest.mark.parametrize(
    ("method", "cell_methods"),
    [("mean", "time: mean"), ("maximum", "time: mean time: maximum (interval: 1 hour)")],
)
def test_daily_values_of_cdo_are_called_so(
    path: Path, method: str, cell_methods: str, caplog: pytest.LogCaptureFixture
) -> None:
    for daily in (like_cdo(path, method), path.with_name("cdo.nc")):
        if daily.name == "cdo.nc":
            run("cdo", "-s", {"mean": "daymean", "maximum": "daymax"}[method], path, daily)
        with open_product(daily) as opened:
            assert opened["pm25"].attrs["cell_methods"] == cell_methods
            assert opened["pm25"].attrs["long_name"] == DAILY.format(method)
            assert opened["time"].attrs["time_label"] == "start"
            assert opened["time"].attrs["step_hours"] == 24
            np.testing.assert_array_equal(opened["time"], opened["time_bnds"][:, 0])
            # A mean of standard errors is none, and a mean of flags neither.
            assert list(opened.data_vars) == ["pm25", "distance_to_nearest_station"]
            assert "are left out" in caplog.text
            first, *_ = opened.attrs["history"].splitlines()
            assert f"pm25 is the {DAILY.format(method)}; pm25_uncertainty" in first
            again = write_netcdf(opened, path.with_name("again.nc"))
        assert checked(again, "cf:1.11") == []
        with open_product(again) as reopened:
            assert reopened["pm25"].attrs["long_name"] == DAILY.format(method)


def test_cdo_of_one_layer_is_known_by_its_history(path: Path) -> None:
    daily = path.with_name("daily.nc")
    run("cdo", "-s", "daymax", "-selname,pm25", path, daily)
    with open_product(daily) as opened:
        assert opened["pm25"].attrs["long_name"] == DAILY.format("maximum")


def test_operators_of_cdo_add_up(path: Path) -> None:
    for name, operators in {"at-once": ("monmean", "-daymax"), "one-by-one": ()}.items():
        daily, monthly = path.with_name("daily.nc"), path.with_name(f"{name}.nc")
        if operators:
            run("cdo", "-s", *operators, path, monthly)
        else:
            run("cdo", "-s", "daymax", path, daily)
            run("cdo", "-s", "monmean", daily, monthly)
        with open_product(monthly) as opened:
            assert opened["pm25"].attrs["long_name"] == (
                "mean over 48 h of daily maximum of PM2.5 mass concentration"
            )
            methods = opened["pm25"].attrs["cell_methods"]
            assert methods == "time: mean time: maximum (interval: 1 hour) time: mean"
    with open_product(daily) as opened:
        again = write_netcdf(opened, path.with_name("again.nc"))
    run("cdo", "-s", "monmean", again, monthly)
    with open_product(monthly) as opened:
        assert opened["pm25"].attrs["long_name"].startswith("mean over 48 h of daily maximum of")
    run("cdo", "-s", "timstd", path, monthly)
    with pytest.raises(ProductError, match="standard deviation over tim, which is no conc"):
        open_product(monthly)


def test_what_cdo_did_to_measurements_is_no_matter_of_their_products(tmp_path: Path) -> None:
    observations = make_observations()
    observations.attrs["history"] = "Sat Nov 01 2014: cdo sub a.nc b.nc\nSat: cdo hourmax a.nc b.nc"
    grid = GRIDS["geographic"]
    product = build_product(
        make_field(grid, observations),
        variable="pm25",
        grid=grid,
        observations=observations,
        method="kriging",
        settings={},
    )
    for _ in range(2):
        product = restore_metadata(product)
        assert product["pm25"].attrs["cell_methods"] == "time: mean"
        assert "pm25_uncertainty" in product
    with open_product(write_netcdf(product, tmp_path / "product.nc")) as opened:
        assert opened.attrs["history"] == product.attrs["history"]
        assert "pm25_uncertainty" in opened


def went_through(path: Path, line: str) -> Path:
    """Return a file of which the history has a line of another program on top."""
    changed = path.with_name("changed.nc")
    with xr.open_dataset(path) as file:
        history = f"Sat Nov 01 12:00:00 2014: {line}\n{file.attrs['history']}"
        file.assign_attrs(history=history).to_netcdf(changed)
    return changed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cdo -s sub a.nc b.nc c.nc", "cdo sub"),
        ("cdo -O -f nc4 -z zip mulc,1.8 a.nc b.nc", "cdo mulc"),
        ("cdo -P 2 -sqrt -selname,pm25 a.nc b.nc", "cdo sqrt"),
        ("cdo expr,pm25=pm25*2 a.nc b.nc", "cdo expr"),
        ("cdo selmon,11 -ymonsub a.nc -copy b.nc c.nc", "cdo ymonsub"),
        ("cdo gtc,35 a.nc b.nc", "cdo gtc"),
        ("cdo max a.nc b.nc c.nc", "cdo max"),
        ("cdo ensmean a.nc b.nc c.nc", "cdo ensmean"),
        ("cdo fldmean a.nc b.nc", "cdo fldmean"),
        ("cdo -zonmax [ -mergetime a.nc b.nc ] c.nc", "cdo zonmax"),
        ("cdo detrend a.nc b.nc", "cdo detrend"),
        ("cdo timcumsum a.nc b.nc", "cdo timcumsum"),
        ("cdo inttime,2014-11-01,00:00:00,3hour a.nc b.nc", "cdo inttime"),
        ("cdo intntime,2 a.nc b.nc", "cdo intntime"),
        ("cdo mul -ifthen -gtc,0 a.nc b.nc c.nc d.nc", "cdo mul"),
        ("ncdiff a.nc b.nc c.nc", "ncdiff"),
        ("nces -y max a.nc b.nc c.nc", "nces"),
        ("ncap2 -s pm25*=2 a.nc b.nc", "ncap2"),
        ("ncap2 -s pm25=pm25*1.8 a.nc b.nc", "ncap2"),
        ("ncap2 -s pm25_uncertainty=0*pm25_uncertainty a.nc b.nc", "ncap2"),
        ("ncap2 -s lat=lat+1 a.nc b.nc", "ncap2"),
        ("ncap2 -O -S script.nco a.nc b.nc", "ncap2"),
        ("/usr/bin/ncdiff a.nc b.nc c.nc", "ncdiff"),
        ("cdo aexpr,pm25=pm25*2 a.nc b.nc", "cdo aexpr"),
        ("cdo ifthenc,1 a.nc b.nc", "cdo ifthenc"),
        ("cdo setmisstoc,0 a.nc b.nc", "cdo setmisstoc"),
        ("cdo setrtoc,0,35,0 a.nc b.nc", "cdo setrtoc"),
        ("cdo -mergetime -apply,-invertlatdata [ a.nc b.nc ] c.nc", "cdo invertlatdata"),
        ("cdo shiftx,1,cyclic a.nc b.nc", "cdo shiftx"),
        ("cdo -selname,pm25 -invented,3 a.nc b.nc", "cdo invented"),
    ],
)
def test_what_is_no_estimate_is_refused(path: Path, line: str, words: str) -> None:
    with pytest.raises(ProductError, match=f"went through {words}, so that its layers may not be"):
        open_product(went_through(path, line))


@pytest.mark.parametrize(
    "line",
    [
        "cdo mergetime sub max.nc c.nc",
        "cdo -s -f nc4 -z zip copy exp abs",
        "cdo sellonlatbox,115,116,39,40 a.nc sqrt",
        "cdo setattribute,pm25@note=max a.nc b.nc",
        "cdo aexpr,high=pm25>75 a.nc b.nc",
        "cdo ifthen -gtc,0 mask.nc a.nc b.nc",
        "cdo -s ifnotthen -lec,0 -selname,sea mask.nc a.nc b.nc",
        "ncap2 -s time@note=1 a.nc b.nc",
        "ncap2 -s high=pm25>=75 a.nc b.nc",
        "cdo -mergetime -apply,-selname,pm25,pm25_flag [ a.nc b.nc ] c.nc",
        "cdo -P 2 -z zip_6 -setreftime,1900-01-01,00:00:00,1day -sortname a.nc b.nc",
        "ncks -d lat,2,5 a.nc b.nc",
    ],
)
def test_what_selects_and_joins_is_none_the_less_an_estimate(path: Path, line: str) -> None:
    with open_product(went_through(path, line)) as opened:
        assert opened["pm25"].attrs["cell_methods"] == "time: mean"
        assert "pm25_flag" in opened


@pytest.mark.parametrize("operator", ["ydaymean", "ymonmax", "yhourmean"])
def test_climatologies_are_called_so(path: Path, operator: str) -> None:
    climatology = path.with_name("climatology.nc")
    run("cdo", "-s", operator, path, climatology)
    with pytest.raises(ProductError, match=r"over y\w+, which is no concentration"):
        open_product(climatology)


def test_local_times_of_cdo_are_refused(path: Path) -> None:
    with pytest.raises(ProductError, match=r"times were shifted.*time_zone="):
        open_product(went_through(path, "cdo shifttime,8hours a.nc b.nc"))


def test_a_pollutant_is_not_called_another(path: Path) -> None:
    product = two_days()
    with pytest.raises(ProductError, match=r"o3 says that it is PM2\.5 mass.*Call it pm25 again"):
        restore_metadata(product[["pm25"]].rename(pm25="o3"))


def test_differences_of_cdo_are_refused(path: Path) -> None:
    mean, difference = path.with_name("mean.nc"), path.with_name("difference.nc")
    run("cdo", "-s", "timmean", path, mean)
    run("cdo", "-s", "sub", path, mean, difference)
    with pytest.raises(ProductError, match="went through cdo sub"):
        open_product(difference)


def test_without_history_what_was_done_is_asked_for_and_can_be_stated(path: Path) -> None:
    daily, again = path.with_name("daily.nc"), path.with_name("again.nc")
    run("cdo", "-s", "--no_history", "daymax", "-selname,pm25", path, daily)
    with pytest.raises(ProductError, match=r"periods last 24 h now.*with xarray\.open_dataset"):
        open_product(daily)
    with xr.open_dataset(daily) as file:
        stated = file.load()
    stated["pm25"].attrs |= {"cell_methods": "time: mean time: maximum", "averaging_hours": 24.0}
    stated["pm25"].attrs["long_name"] = DAILY.format("maximum")
    write_netcdf(stated, again)
    with open_product(again) as opened:
        assert opened["pm25"].attrs["long_name"] == DAILY.format("maximum")
        assert opened["pm25"].attrs["cell_methods"] == "time: mean time: maximum"
    assert checked(again, "cf:1.11") == []


@pytest.mark.parametrize(
    "operators",
    [
        ("sellonlatbox,115.5,116.5,39.2,39.8",),
        ("seltimestep,3/9",),
        ("--no_history", "selname,pm25,pm25_flag"),
        ("invertlat",),
        ("remapnn,lon=116.03/lat=39.53",),
        ("-f", "nc4", "-z", "zip", "copy"),
    ],
)
def test_cuts_of_cdo_are_products_and_maps(path: Path, operators: tuple[str, ...]) -> None:
    cut, again = path.with_name("cut.nc"), path.with_name("again.nc")
    run("cdo", "-s", *operators, path, cut)
    with open_product(path) as whole, open_product(cut) as opened:
        assert opened["pm25"].attrs["long_name"] == "PM2.5 mass concentration"
        assert opened["height"].item() == 3.0
        same = whole.sel({name: opened[name] for name in ("time", "lat", "lon")}, method="nearest")
        np.testing.assert_array_equal(opened["pm25"], same["pm25"])
        np.testing.assert_array_equal(opened["pm25_flag"], same["pm25_flag"])
        opened.aqnet.map(time=opened["time"].values[0])
        write_netcdf(opened, again)
    assert checked(again, "cf:1.11") == []


def test_flags_that_were_regridded_are_left_out(path: Path) -> None:
    coarse = path.with_name("coarse.nc")
    run("cdo", "-s", "remapbil,r180x90", path, coarse)
    with open_product(coarse) as opened:
        assert "pm25_flag" not in opened
        assert "pm25" in opened
        write_netcdf(opened, path.with_name("again.nc"))


@pytest.mark.parametrize(
    ("operator", "stays"),
    [
        ("gridboxmean,2,2", False),
        ("smooth9", False),
        ("remapbil,{}", False),
        ("remapnn,{}", True),
        ("selindexbox,2,4,2,4", True),
    ],
)
@pytest.mark.parametrize("case", ["geographic", "curvilinear"])
def test_flags_of_several_cells_are_left_out(
    path: Path, case: str, operator: str, *, stays: bool
) -> None:
    product = two_days()
    shifted = path.with_name("shifted.nc")  # cells of the same size
    write_netcdf(product.assign_coords(lon=product["lon"] + 0.03).drop_vars("lon_bnds"), shifted)
    if case == "curvilinear":
        cells = xr.broadcast(product["lat"], product["lon"])
        plane = product.drop_vars(["lat", "lon", "lat_bnds", "lon_bnds"]).rename(lat="y", lon="x")
        named = zip(("lat", "lon"), cells, strict=True)
        path.unlink()
        write_netcdf(plane.assign_coords({n: (("y", "x"), c.values) for n, c in named}), path)
    run("cdo", "-s", operator.format(shifted), path, path.with_name("other.nc"))
    with open_product(path.with_name("other.nc")) as opened:
        other_kind = case == "curvilinear" and "lat" in opened.dims
        assert ("pm25_flag" in opened) is (stays and not other_kind)


def test_an_index_is_that_of_its_own_hours_and_cells(path: Path) -> None:
    with open_product(path) as product:
        indexed = write_netcdf(product.aqnet.index("us_epa"), path.with_name("index.nc"))
    daily, coarse = path.with_name("daily.nc"), path.with_name("coarse.nc")
    run("cdo", "-s", "daymean", indexed, daily)
    run("cdo", "-s", "remapbil,r720x360", indexed, coarse)
    with open_product(daily) as opened:
        assert list(opened.data_vars) == ["pm25", "distance_to_nearest_station"]
    with open_product(coarse) as opened:
        assert {*opened.data_vars} == {"pm25", "pm25_uncertainty", "distance_to_nearest_station"}
        assert list(opened.aqnet.index("us_epa").index_category.dims) == ["time", "lat", "lon"]


def test_what_cdo_writes_for_coordinates_is_none_of_the_layers(path: Path) -> None:
    product, several = two_days(), path.with_name("draws.nc")
    product["pm25_draws"] = product["pm25"].drop_attrs().expand_dims(draw=3)
    write_netcdf(product.assign_coords(height=4.0), several)
    run("cdo", "-s", "seltimestep,1/3", several, path.with_name("cut.nc"))
    with open_product(path.with_name("cut.nc")) as opened:
        assert {*opened.data_vars} == {*product.data_vars} - {"pm25_draws"}
        assert opened["height"].item() == opened.attrs["geospatial_vertical_min"] == 4.0
        assert "comment" not in opened["height"].attrs


# What NCO makes


def test_files_are_joined_by_nco_and_by_us(path: Path) -> None:
    product = two_days()
    parts = [
        write_netcdf(product.isel(time=half), path.with_name(f"part-{name}.nc"))
        for name, half in (("a", slice(24, 48)), ("b", slice(0, 24)))
    ]
    with netCDF4.Dataset(parts[0]) as file:
        assert file.dimensions["time"].isunlimited()
        assert file["time_bnds"].chunking() == [24, 2]
    run("ncrcat", "-O", "-d", "time,,,3", path, path.with_name("every-third.nc"))
    with open_product(path.with_name("every-third.nc")) as third:
        np.testing.assert_array_equal(third["time"], product["time"][::3])
        assert third["pm25"].attrs["long_name"] == "PM2.5 mass concentration"
    for source in (path.with_name("part-*.nc"), parts):
        with open_product(source) as joined:
            xr.testing.assert_identical(joined["time_bnds"], product["time_bnds"])
            np.testing.assert_allclose(joined["pm25"], product["pm25"], rtol=0.01)
            assert joined["distance_to_nearest_station"].dims == ("lat", "lon")
    with pytest.raises(ProductError, match="time has 2014-11-02T00:00 more than once"):
        open_product([parts[0], parts[0]])
    with pytest.raises(ProductError, match=r"there is no file .*none\.nc"):
        open_product([parts[0], path.with_name("none.nc")])
    run("ncrcat", "-O", parts[1], parts[0], path.with_name("joined.nc"))
    with open_product(path.with_name("joined.nc")) as joined:
        np.testing.assert_array_equal(joined["time"], product["time"])
        # Its "time: mean" of joined flags is none.
        np.testing.assert_array_equal(joined["pm25_flag"], product["pm25_flag"])
        assert "cell_methods" not in joined["pm25_flag"].attrs


def test_files_of_other_values_are_not_joined(path: Path) -> None:
    with pytest.raises(ProductError, match=r"cell_methods of .* is time: mean and time: mean"):
        open_product([path, like_cdo(path, "maximum")])


def halves(product: xr.Dataset, folder: Path, change: Callable[[xr.Dataset], Any]) -> list[Path]:
    """Write a product in two files, of which the second is changed."""
    parts = product.isel(time=slice(0, 24)), change(product.isel(time=slice(24, 48)))
    return [write_netcdf(part, folder / f"half-{n}.nc") for n, part in enumerate(parts)]


def of_stations() -> xr.Dataset:
    """Return a product of 48 hours at stations."""
    field = make_product("stations").drop_vars("time_bnds").isel(time=np.arange(48) % 30)
    product = field.assign_coords(time=pd.date_range("2014-11-01", periods=48, freq="h"))
    product["time"].attrs.update(time_label="start", step_hours=1.0)
    return restore_metadata(product)


@pytest.mark.parametrize(
    ("make", "change", "words"),
    [
        (two_days, lambda p: p.assign_coords(height=10.0), r"height is 10\.0 and 3\.0"),
        (two_days, lambda p: p.isel(lat=slice(None, None, -1)), "lat differs"),
        (two_days, lambda p: p.aqnet.aggregate("day"), "statistic of pm25 is median and mean"),
        (two_days, lambda p: p.assign(pm25=p.pm25.assign_attrs(statistic="mean")), "statistic of"),
        (of_stations, lambda p: p.isel(station=[2, 1, 0]), "station differs.*in one order"),
        (of_stations, lambda p: p.assign_coords(longitude=p.longitude + 1), "longitude differs"),
    ],
)
def test_files_of_other_places_heights_and_statistics_are_not_joined(
    make: Callable, change: Callable, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ProductError, match=f"do not fit together: {words}"):
        open_product(halves(make(), tmp_path, change))


def test_what_each_of_joined_files_went_through_is_seen(path: Path, tmp_path: Path) -> None:
    parts = halves(two_days(), tmp_path, lambda later: later)
    with pytest.raises(ProductError, match=r"changed\.nc holds no .*it went through cdo sub"):
        open_product([parts[0], went_through(parts[1], "cdo sub a.nc b.nc c.nc")])


def test_joined_files_state_what_is_true_of_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def later(product: xr.Dataset) -> xr.Dataset:
        changed = product.assign_attrs(method="idw", history="aqreanalysis 0.1.0: by idw")
        changed["distance_to_nearest_station"] = product["distance_to_nearest_station"] + 1
        changed["pm25_uncertainty"].attrs |= {"degrees_of_freedom": 4.0, "error_shares": [1.0]}
        return changed

    parts = halves(two_days(), tmp_path, later)
    with open_product(parts[::-1]) as opened:
        assert opened.attrs["method"] == "idw; kriging"
        line, *others = opened.attrs["history"].splitlines()
        assert line.endswith(
            "joined of 2 files along time; the least degrees_of_freedom of pm25_uncertainty, 4, is "
            "stated; the files differ in how errors of pm25_uncertainty are correlated; "
            "distance_to_nearest_station differed and is left out"
        )
        assert "aqreanalysis 0.1.0: by idw" in others
        assert "kriging" in others[-1]
        assert opened["pm25_uncertainty"].attrs["degrees_of_freedom"] == 4.0
        assert "error_shares" not in opened["pm25_uncertainty"].attrs
        assert "distance_to_nearest_station" not in opened
    assert "the files differ in distance_to_nearest_station" in caplog.text


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who owns nothing, where the tests are run by one who may read anything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are others on Windows")
@pytest.mark.parametrize("name", ["closed/pm25.nc", "closed/pm25-*.nc", "closed"])
def test_a_closed_folder_is_named(tmp_path: Path, name: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o000)
    try:
        with (
            as_nobody(),
            pytest.raises(ProductError, match=r"no permission to read .*closed"),
        ):
            open_product(tmp_path / name)
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize(
    ("command", "method"),
    [(("ncra",), "mean"), (("ncra", "-y", "max"), "maximum"), (("ncwa", "-a", "time"), "mean")],
)
def test_averaged_bounds_of_nco_become_the_period_again(
    path: Path, command: tuple[str, ...], method: str
) -> None:
    mean = path.with_name("mean.nc")
    run(*command, path, mean)
    with open_product(mean) as opened:
        assert opened["pm25"].attrs["long_name"].startswith(f"{method} over 48 h")
        assert opened["time_bnds"].values[0].astype("datetime64[h]").astype(str).tolist() == [
            "2014-11-01T00",
            "2014-11-03T00",
        ]


def test_averaged_bounds_that_do_not_fit_the_coverage_are_refused(path: Path) -> None:
    product = two_days().isel(time=[7])
    product["time"].attrs["cell_methods"] = "time: mean"
    product.attrs |= {
        "time_coverage_start": "2014-11-01T00:00:00Z",
        "time_coverage_end": "2014-11-03T00:00:00Z",
    }
    with pytest.raises(ProductError, match=r"time_bnds was averaged.*state both ends"):
        restore_metadata(product)


def test_longitudes_that_jump_go_on(tmp_path: Path) -> None:
    globe = Grid((0.0, 360.0, -90.0, 90.0), 10.0)
    observations = make_observations(hours=2)
    product = build_product(
        make_field(globe, observations),
        variable="pm25",
        grid=globe,
        observations=observations,
        method="idw",
        settings={},
    )
    path, cut = write_netcdf(product, tmp_path / "globe.nc"), tmp_path / "cut.nc"
    across = product.isel(lon=[34, 35, 0, 1])
    jumping = [restore_metadata(across)]
    if shutil.which("ncks"):
        run("ncks", "-d", "lon,340.,20.", path, cut)
        jumping.append(open_product(cut))
    for each in jumping:
        assert each["lon"].values.tolist() == [345, 355, 365, 375]
        assert each["lon_bnds"].values[1:3].tolist() == [[350, 360], [360, 370]]
        assert each.attrs["geospatial_lon_max"] == 375
        np.testing.assert_allclose(each["pm25"], across["pm25"], rtol=0.01)
        each.close()
    with pytest.raises(ProductError, match=r"lon neither increases.*sortby\('lon'\)"):
        restore_metadata(product.isel(lon=[3, 1, 2]))
    with pytest.raises(ProductError, match="lat neither increases"):
        restore_metadata(product.isel(lat=[3, 3, 2]))


def test_packing_that_lost_what_is_missing_is_refused(path: Path) -> None:
    packed = path.with_name("packed.nc")
    with xr.open_dataset(path, mask_and_scale=False) as file:
        short = file["pm25"].copy(data=np.zeros(file["pm25"].shape, np.int16))
        short.attrs |= {"scale_factor": 0.01, "add_offset": 50.0}
        file.assign(pm25=short.assign_attrs(_FillValue=np.int16(-1))).to_netcdf(packed)
    with open_product(packed) as opened:
        assert float(opened["pm25"][0, 0, 0]) == 50.0
    run("ncpdq", "-O", path, packed)
    with pytest.raises(ProductError, match=r"pm25.* is packed as int16.*ncatted -a _Fill"):
        open_product(packed)


# What xarray makes


def test_what_was_made_of_hours_must_be_said(path: Path) -> None:
    product = two_days()
    daily = product.resample(time="1D").max()
    daily["time"].attrs |= {"time_label": "start", "step_hours": 24.0}
    with pytest.raises(
        ProductError, match=r"says 'time: mean' over 1 h, and its periods last 24 h"
    ):
        restore_metadata(daily)
    daily["pm25"].attrs |= {"cell_methods": "time: mean time: maximum", "averaging_hours": 24.0}
    restored = restore_metadata(daily)
    assert restored["pm25"].attrs["cell_methods"] == "time: mean time: maximum"
    assert "pm25_uncertainty" not in restored  # the largest error is not that of the maximum
    with pytest.raises(ProductError, match="pm25 was of periods of 1 h, and time is gone"):
        restore_metadata(product.max("time", keep_attrs=True))


def test_time_that_was_averaged_away_is_asked_for(path: Path) -> None:
    with xr.open_dataset(path) as file:
        for made in (file.mean("time", keep_attrs=True), file.groupby("time.hour").mean()):
            with pytest.raises(ProductError, match=r"pm25 was of periods of 1 h, and time is gone"):
                write_netcdf(made, path.with_name("mean.nc"))


def test_what_was_made_of_draws_is_none(caplog: pytest.LogCaptureFixture) -> None:
    product = two_days()
    draws = xr.concat([product["pm25"]] * 3, "draw").drop_attrs()
    drawn = restore_metadata(product.assign(pm25_draws=draws))
    assert "pm25_draws" in restore_metadata(drawn.isel(draw=1))  # one of them
    for made in (drawn.max("draw", keep_attrs=True), drawn.quantile(0.9, "draw", keep_attrs=True)):
        caplog.clear()
        restored = restore_metadata(made)
        assert {*restored.data_vars} == {*product.data_vars}
        assert "pm25_draws has lost its draws and is left out" in caplog.text
        assert "pm25_draws has lost" in restored.attrs["history"].splitlines()[0]


def test_differences_and_comparisons_are_no_concentrations(path: Path, tmp_path: Path) -> None:
    product = two_days()
    for write, name in ((write_netcdf, "difference.nc"), (write_zarr, "difference.zarr")):
        with pytest.raises(ProductError, match=r"pm25 holds -\d.*difference"):
            write(product[["pm25"]] - product[["pm25"]].mean(), tmp_path / name)
    with pytest.raises(ProductError, match=r"true and false.*exceedance"):
        restore_metadata(product > 75)


def test_local_labels_are_not_called_utc() -> None:
    product = two_days()
    local = product.assign_coords(time=product["time"] + np.timedelta64(8, "h"))
    with pytest.raises(ProductError, match=r"2014-11-01T08:00 lies outside of its period.*in UTC"):
        restore_metadata(local)
    daily = product.isel(time=slice(0, 48)).aqnet.aggregate("day", time_zone="Asia/Shanghai")
    assert daily["time"].attrs["long_name"] == "time (UTC), days of Asia/Shanghai"
    assert restore_metadata(daily)["time"].attrs["long_name"].endswith("Asia/Shanghai")


def test_months_have_their_own_lengths() -> None:
    product = two_days().isel(time=[0, 1])
    months = np.array(["2014-11-01", "2014-12-01"], "datetime64[ns]")
    product = product.drop_vars("time_bnds").assign_coords(time=months)
    product["time"].attrs |= {"time_label": "start", "step_hours": 720.0}
    for layer in product.data_vars.values():
        layer.attrs.pop("averaging_hours", None)
    del product.attrs["time_coverage_resolution"]
    assert str(restore_metadata(product)["time_bnds"].values[1, 1])[:10] == "2015-01-01"


# Flags


def test_missing_values_that_were_filled_are_no_estimates(path: Path, tmp_path: Path) -> None:
    product = two_days()
    filled = product.assign(pm25=product["pm25"].fillna(0))
    for write, name in ((write_netcdf, "filled.nc"), (write_zarr, "filled.zarr")):
        with pytest.raises(ProductError, match=r"pm25 has \d values where pm25_flag says"):
            write(filled, tmp_path / name)
    write_netcdf(filled.drop_vars("pm25_flag"), tmp_path / "said.nc")
    run("cdo", "-s", "--no_history", "setmisstoc,0", path, tmp_path / "cdo.nc")
    with open_product(tmp_path / "cdo.nc") as opened:
        with pytest.raises(ProductError, match="missing values were filled"):
            write_netcdf(opened, tmp_path / "again.nc")
        masked = opened.where(opened["pm25_flag"] != 3)
        with open_product(write_netcdf(masked, tmp_path / "again.nc")) as again:
            np.testing.assert_array_equal(again["pm25"].isnull(), product["pm25"].isnull())


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_outside_of_a_warp_no_flag_says_supported(path: Path) -> None:
    with rasterio.open(f'NETCDF:"{path}":pm25_flag') as flags:
        assert flags.nodata == missing_class("int8") == 127
        polar = rasterio.warp.calculate_default_transform(
            flags.crs, "EPSG:3413", flags.width, flags.height, *flags.bounds
        )
        warped = np.zeros((polar[2], polar[1]), np.int8)
        rasterio.warp.reproject(
            rasterio.band(flags, 1), warped, dst_transform=polar[0], dst_crs="EPSG:3413"
        )
    corners = warped[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert 127 in corners
    assert set(np.unique(warped)) <= {0, 1, 2, 3, 127}


def test_flags_that_were_masked_are_missing_and_come_back_whole(tmp_path: Path) -> None:
    product = make_product()
    west = product["lon"] < 116
    masked = product.where(west)
    for write, name in ((write_netcdf, "masked.nc"), (write_zarr, "masked.zarr")):
        with open_product(write(masked, tmp_path / name)) as opened:
            flag = opened["pm25_flag"]
            assert flag.dtype == np.int8
            assert (flag.where(~west, 127) == 127).all()
            np.testing.assert_array_equal(
                flag.where(west, 127), product["pm25_flag"].where(west, 127)
            )
    daily = restore_metadata(masked).isel(time=slice(0, 24)).aqnet.aggregate("day")
    assert (daily["pm25_flag"].where(~west, 127) == 127).all()


def test_support_ends_somewhere_however_sparse_the_network() -> None:
    def nine(longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        root = np.full((longitude.size, hours.stop - hours.start), 3, np.float32)
        return RootNormal(root, root / 10)

    network = StationNetwork(np.arange(9) * 40.0, np.zeros(9))
    field = predict_blocks(
        nine,
        at=Grid((-180.0, 180.0, -90.0, 90.0), 2.0),
        network=network,
        observed=np.ones((9, 1), bool),
        time=xr.DataArray(pd.date_range("2024-01-01", periods=1), dims="time"),
        variable="pm25",
    )
    distance = field["distance_to_nearest_station"].values
    supported = field["pm25_flag"].values[0] == 0
    assert network.reach_km > 4000
    np.testing.assert_array_equal(supported, distance <= FARTHEST_SUPPORT_KM)
    assert StationNetwork([0.0], [0.0]).support_km == FARTHEST_SUPPORT_KM


# What R writes


def test_axes_of_other_names_are_those_of_a_grid(path: Path) -> None:
    renamed = path.with_name("terra.nc")
    with xr.open_dataset(path) as file:
        north_up = file.drop_vars(["lat_bnds", "lon_bnds"]).isel(lat=slice(None, None, -1))
        north_up.rename(lat="latitude", lon="longitude").to_netcdf(renamed)
    with open_product(renamed) as opened, open_product(path) as product:
        np.testing.assert_array_equal(opened["pm25"][:, ::-1], product["pm25"])
        assert opened.attrs["geospatial_lat_resolution"] == "0.1 degree"


# Files of our own


def test_files_have_types_that_the_classic_format_has(tmp_path: Path) -> None:
    observations: Any = synthetic_network(stations=12, hours=72, seed=0).observations
    product = observations.aqnet.reanalyse(grid=1.0, method="kriging", draws=2, progress=False)
    path, classic = write_netcdf(product, tmp_path / "draws.nc"), tmp_path / "classic.nc"
    with netCDF4.Dataset(path) as file:
        assert {file[name].dtype.str for name in file.variables} <= {"<f8", "<f4", "<i4", "|i1"}
        for holder in (file, *file.variables.values()):
            for name in holder.ncattrs():
                value = holder.getncattr(name)
                assert (
                    isinstance(value, str)
                    or np.asarray(value).dtype.itemsize <= 4
                    or (np.asarray(value).dtype.kind == "f")
                ), name
    run("nccopy", "-k", "classic", path, classic)
    with open_product(classic) as opened, open_product(path) as expected:
        xr.testing.assert_identical(opened, expected)


def test_a_file_with_few_values_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if another program has compressed it as much as can be."""
    monkeypatch.setattr("aqreanalysis.product.netcdf_file.COMPRESSION", 9)
    grid = Grid((-180.0, 180.0, -90.0, 90.0), 0.5)
    observations = make_observations(hours=48)
    field = make_field(grid, observations)[["pm25", "pm25_uncertainty"]]
    field = field.where((abs(field.lon - 116) < 1) & (abs(field.lat - 39) < 1))
    product = build_product(
        field, variable="pm25", grid=grid, observations=observations, method="idw", settings={}
    )
    path = write_netcdf(product, tmp_path / "few.nc")
    assert product["pm25"].size * 16 > 1000 * path.stat().st_size
    with open_product(path) as opened:
        assert int(opened["pm25"].notnull().sum()) == int(product["pm25"].notnull().sum())


def test_sets_of_outlooks_go_through_zarr(outlooks: xr.Dataset, tmp_path: Path) -> None:
    assert outlooks.attrs["time_coverage_end"] == "2020-11-10T00:00:00Z"
    assert outlooks.attrs["time_coverage_duration"] == "PT48H"
    from_file = open_product(write_netcdf(outlooks, tmp_path / "set.nc"))
    from_store = open_product(write_zarr(from_file, tmp_path / "set.zarr"))
    xr.testing.assert_identical(from_store, from_file)


def test_zarr_is_opened_as_netcdf_is(tmp_path: Path) -> None:
    for case in (*GRIDS, "stations"):
        product = make_product(case)
        store = write_zarr(product, tmp_path / f"{case}.zarr")
        file = write_netcdf(product, tmp_path / f"{case}.nc")
        with open_product(store) as from_store, open_product(file) as from_file:
            assert from_store.attrs == from_file.attrs
            for name in product.variables:
                np.testing.assert_array_equal(from_store[name].values, from_file[name].values)
    (tmp_path / "other").mkdir()
    with pytest.raises(ProductError, match="other"):
        open_product(tmp_path / "other")


def test_each_file_has_its_own_identifier() -> None:
    product, later = make_product(), make_product()
    assert product.attrs["id"] == later.attrs["id"]  # of the same input, on another day
    others = [
        make_product("date line"),
        restore_metadata(product.isel(time=slice(0, 5))),
        restore_metadata(product[["pm25"]]),
        restore_metadata(product.isel(time=slice(0, 24)).aqnet.aggregate("day")),
    ]
    assert len({product.attrs["id"], *(other.attrs["id"] for other in others)}) == 5
    assert restore_metadata(others[1]).attrs["id"] == others[1].attrs["id"]


def test_what_was_measured_stays_bit_for_bit_in_files(tmp_path: Path) -> None:
    observations = make_observations()
    measured = observations["pm25"].astype(np.float32)
    gaps = np.zeros(measured.shape, bool)
    gaps[1, 3:9] = True
    filled = observations.assign(
        pm25=measured.where(~gaps, 41.23456),
        pm25_uncertainty=measured.where(gaps) * 0 + 7.654321,
        pm25_origin=(
            measured.dims,
            gaps.astype(np.int8),
            {"flag_values": np.int8([0, 1, 2]), "flag_meanings": " ".join(ORIGINS)},
        ),
    )
    for write, name in ((write_netcdf, "filled.nc"), (write_zarr, "filled.zarr")):
        with open_product(write(filled, tmp_path / name)) as opened:
            np.testing.assert_array_equal(opened["pm25"], filled["pm25"])
            assert opened["pm25"].attrs["coverage_content_type"] == "physicalMeasurement"
            assert opened["pm25"].attrs["ancillary_variables"] == "pm25_uncertainty pm25_origin"
            assert float(opened["pm25_uncertainty"][1, 3]) == pytest.approx(7.65, abs=0.01)
            assert float(opened["pm25_uncertainty"][1, 3]) != np.float32(7.654321)
            assert opened["pm25_origin"].dtype == np.int8


def test_polar_grids_state_their_pole(tmp_path: Path) -> None:
    grid = Grid((-200_000.0, 200_000.0, -2_400_000.0, -2_000_000.0), 50_000.0, "EPSG:3413")
    GRIDS["polar"] = grid
    try:
        path = write_netcdf(make_product("polar"), tmp_path / "polar.nc")
    finally:
        del GRIDS["polar"]
    assert checked(path, "cf:1.11") == []
    with open_product(path) as opened:
        assert opened["crs"].attrs["latitude_of_projection_origin"] == 90.0


def test_rounding_is_described_as_the_later_version_of_cf_does(tmp_path: Path) -> None:
    product = make_product()
    path = write_netcdf(product, tmp_path / "later.nc", cf_version="1.12")
    with netCDF4.Dataset(path) as file:
        assert file.Conventions == "CF-1.12, ACDD-1.3"
        described = file[file["pm25"].getncattr("quantization")]
        assert described.algorithm == "granular_bitround"
        assert file["pm25"].quantization_nsd == 3
        assert "quantization" not in file["pm25_flag"].ncattrs()
    assert [text for _, text in checked(path, "cf:1.11")] == [
        '§2.6.1 Conventions global attribute does not contain "CF-1.11"'
    ]
    with open_product(path) as opened:
        assert opened.attrs["Conventions"] == product.attrs["Conventions"]
        assert list(opened.data_vars) == list(product.data_vars)
    with pytest.raises(ProductError, match=r"cf_version must be 1\.11 or 1\.12"):
        write_netcdf(product, tmp_path / "later.nc", cf_version="1.13")


def test_sets_of_outlooks_are_averaged_by_start(tmp_path: Path) -> None:
    observations = synthetic_network(hours=360, seed=0).observations
    several: Any = observations.aqnet.outlook(
        "48h", method="persistence", start=["2020-11-12", "2020-11-13"], progress=False
    )
    daily = several.aqnet.aggregate("day")
    assert daily["lead_time"].values.tolist() == [0.0, 24.0]
    assert str(daily["time"].values[1, 1])[:10] == "2020-11-14"
    first = several.isel(forecast_reference_time=0, lead_time=slice(24, 48))
    median, spread = first["pm25"], first["pm25_uncertainty"]
    law = RootNormal.from_median(
        median.values.astype(float), spread.values.astype(float), freedom=np.inf
    )
    np.testing.assert_allclose(
        daily["pm25"].isel(forecast_reference_time=0, lead_time=1),
        (median + law.spread**2).mean("lead_time"),
        rtol=1e-3,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write_netcdf(daily, tmp_path / "daily.nc")
    with open_product(path) as opened:
        assert opened["pm25"].attrs["long_name"] == DAILY.format("mean")


@pytest.fixture(scope="module")
def outlooks() -> xr.Dataset:
    """Return outlooks of two starts."""
    observations: Any = synthetic_network(hours=240, seed=0).observations
    options: Any = {"method": "persistence", "progress": False}
    return observations.aqnet.outlook("24h", start=["2020-11-08", "2020-11-09"], **options)


def test_one_lead_time_of_a_set_is_a_set(outlooks: xr.Dataset, tmp_path: Path) -> None:
    path = write_netcdf(outlooks.isel(lead_time=3), tmp_path / "lead.nc")
    with open_product(path) as opened:
        assert opened["lead_time"].values.tolist() == [3.0]
        np.testing.assert_array_equal(opened["time"], outlooks["time"][3:4])
        expected = outlooks["pm25"].isel(lead_time=[3])
        np.testing.assert_allclose(opened["pm25"], expected.transpose(*opened["pm25"].dims), 0.01)
    with pytest.raises(ProductError, match=r"isel\(lead_time=\[3\]\).*reference_time=0"):
        restore_metadata(outlooks.isel(lead_time=3, drop=True))


def test_arithmetic_of_sets_is_refused(outlooks: xr.Dataset, tmp_path: Path) -> None:
    path = went_through(write_netcdf(outlooks, tmp_path / "set.nc"), "ncdiff a.nc b.nc c.nc")
    with pytest.raises(ProductError, match="went through ncdiff"):
        open_product(path)


def test_one_start_of_a_set_is_an_outlook_of_its_own(outlooks: xr.Dataset, tmp_path: Path) -> None:
    second = outlooks.isel(forecast_reference_time=1)
    with open_product(write_netcdf(second, tmp_path / "second.nc")) as opened:
        assert opened["pm25"].dims == ("station", "time")
        assert str(opened["time_bnds"].values[-1, 1])[:13] == "2020-11-10T00"
        assert opened["pm25"].attrs["cell_methods"] == "time: mean"
        np.testing.assert_array_equal(opened["lead_time"], outlooks["lead_time"])
