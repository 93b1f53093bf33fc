"""Products: what is in the file is what was computed, and any CF client finds where and when."""

import socket
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from product_cases import (
    CASES,
    GRIDS,
    assert_same_metadata,
    checked,
    make_field,
    make_observations,
    make_product,
)

from aqreanalysis import synthetic_network
from aqreanalysis.grid import Grid
from aqreanalysis.observations import input_digest
from aqreanalysis.product import (
    ProductError,
    build_product,
    open_product,
    restore_metadata,
    write_netcdf,
)
from aqreanalysis.product.rounding import rounded


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError(f"tried to connect to {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


# What other programs make of the file


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("case", CASES)
def test_checker_finds_no_error_and_no_warning_against_cf(case: str, tmp_path: Path) -> None:
    path = write_netcdf(make_product(case), tmp_path / "product.nc")
    assert checked(path, "cf:1.11") == []


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("case", CASES)
def test_catalogues_find_all_that_is_highly_recommended(case: str, tmp_path: Path) -> None:
    creator = {"name": "A", "email": "a@example.org", "url": "https://example.org"}
    product = make_product(case, creator=creator, licence="CC BY 4.0")
    opened = checked(write_netcdf(product, tmp_path / "product.nc"), "acdd:1.3")
    # CF has no standard name for a distance to a station.
    nameless = "distance_to_nearest_station has no standard_name"
    assert [text for weight, text in opened if weight == 3] == [nameless]
    asked = ("creator_name", "creator_email", "license", "geospatial", "time_coverage", "id not")
    recommended = [text for weight, text in opened if weight == 2 and text.startswith(asked)]
    assert recommended == []


@pytest.mark.parametrize("case", GRIDS)
def test_gdal_finds_crs_and_transform(case: str, tmp_path: Path) -> None:
    grid = GRIDS[case]
    path = write_netcdf(make_product(case), tmp_path / "product.nc")
    west, _, _, north = grid.region
    for layer in ("pm25", "pm25_uncertainty", "pm25_flag", "distance_to_nearest_station"):
        with rasterio.open(f'NETCDF:"{path}":{layer}') as raster:
            assert raster.crs == rasterio.CRS.from_string(grid.crs)
            transform = raster.transform
    assert np.allclose(
        transform[:6], (grid.resolution, 0, west, 0, -grid.resolution, north), rtol=1e-9
    )


def test_gdal_finds_crs_after_arithmetic_and_reopening(tmp_path: Path) -> None:
    path = write_netcdf(make_product("projected"), tmp_path / "product.nc")
    with open_product(path) as product:
        again = write_netcdf(product * 1, tmp_path / "again.nc")
    with rasterio.open(f'NETCDF:"{again}":pm25') as raster:
        assert raster.crs.to_epsg() == 32650
        assert raster.units[0] == "ug m-3"


# What is in the file


@pytest.mark.parametrize("case", CASES)
def test_file_holds_the_product_to_three_digits(case: str, tmp_path: Path) -> None:
    product = make_product(case)
    with open_product(write_netcdf(product, tmp_path / "product.nc")) as opened:
        assert_same_metadata(opened, product)
        for name in product.data_vars:
            truth, value = product[name].values, opened[name].values
            assert value.dtype == truth.dtype
            if name.endswith("flag"):
                np.testing.assert_array_equal(value, truth)
            else:
                np.testing.assert_array_equal(np.isnan(value), np.isnan(truth))
                unit = 10.0 ** (np.floor(np.log10(truth)) - 2)
                assert np.nanmax(np.abs(value - truth) / unit) <= 0.5


def test_all_bits_stay_when_no_digits_are_asked_for(tmp_path: Path) -> None:
    product = make_product()
    path = write_netcdf(product, tmp_path / "p.nc", significant_digits=None, compress=False)
    with open_product(path) as opened:
        xr.testing.assert_identical(opened.compute(), product.compute())


def test_rounding_makes_files_smaller(tmp_path: Path) -> None:
    product = make_product()
    exact = write_netcdf(product, tmp_path / "exact.nc", significant_digits=None)
    assert (
        write_netcdf(product, tmp_path / "rounded.nc").stat().st_size < 0.9 * exact.stat().st_size
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@settings(deadline=None)
@given(
    values=st.lists(
        st.floats(2.0**-20, 2.0**24, width=32) | st.sampled_from([99.99999, 999.9999, 1e3, 1e4]),
        min_size=1,
        max_size=20,
    ),
    digits=st.integers(1, 5),
)
def test_rounding_is_off_by_half_a_unit_of_the_last_digit(
    kind: type, values: list[float], digits: int
) -> None:
    truth = np.array([*values, *np.negative(values)], kind)
    exact = truth.astype(np.float64)
    unit = 10.0 ** (np.floor(np.log10(np.abs(exact))) + 1 - digits)
    error = np.abs(rounded(truth, digits).astype(np.float64) - exact)
    assert np.all(error <= 0.5 * unit * (1 + 1e-9))


def test_rounding_keeps_what_has_no_digits() -> None:
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(rounded(special, 3), special)


def test_file_has_types_filters_and_no_fill_value_on_coordinates(tmp_path: Path) -> None:
    path = write_netcdf(make_product(), tmp_path / "product.nc")
    with netCDF4.Dataset(path) as file:
        for name in ("time", "lat", "lon", "time_bnds", "lat_bnds", "lon_bnds"):
            assert file[name].dtype == np.float64
            assert "_FillValue" not in file[name].ncattrs()
        assert file["time"].units == "hours since 1970-01-01 00:00:00"
        assert file.dimensions["time"].isunlimited()  # NCO joins along it
        assert file["pm25_flag"].dtype == np.int8
        assert file["pm25"].filters()["complevel"] == 2
        assert file["pm25"].filters()["shuffle"]


@pytest.mark.parametrize(("label", "first"), [("start", 0), ("end", -1)])
def test_bounds_follow_from_the_label(label: str, first: int, tmp_path: Path) -> None:
    product = make_product(label=label)
    path = write_netcdf(product, tmp_path / "product.nc")
    with netCDF4.Dataset(path) as file:
        time, bounds = file["time"][:], file["time_bnds"][:]
        coverage = file.time_coverage_start, file.time_coverage_end
    np.testing.assert_array_equal(bounds - time[:, None], np.tile([first, first + 1], (30, 1)))
    hour = pd.Timestamp("2014-11-01") + pd.Timedelta(hours=first)
    stamps = [(hour + pd.Timedelta(hours=h)).isoformat() + "Z" for h in (0, 30)]
    assert list(coverage) == stamps


def test_labels_off_the_quarter_hour_come_back_exactly(tmp_path: Path) -> None:
    product = make_product()
    shift = np.timedelta64(10, "m")
    time = product["time"].copy(data=product["time"].values + shift)
    shifted = product.drop_vars("time_bnds").assign_coords(time=time)
    with open_product(write_netcdf(shifted, tmp_path / "product.nc")) as opened:
        np.testing.assert_array_equal(opened["time"], time)


def test_neighbouring_cells_share_their_edges() -> None:
    bounds = make_product("date line")["lon_bnds"].values
    np.testing.assert_array_equal(bounds[1:, 0], bounds[:-1, 1])
    assert (bounds[0, 0], bounds[-1, 1]) == (179, 181)


def test_stations_are_named_and_can_be_turned_for_cdo(tmp_path: Path) -> None:
    product = make_product("stations")
    path = write_netcdf(product, tmp_path / "product.nc", dimension_order="time_station")
    with netCDF4.Dataset(path) as file:
        assert file["pm25"].dimensions == ("time", "station")
        assert file["station_id"].cf_role == "timeseries_id"
        assert "station" not in file.variables
        assert file["pm25"].coordinates == "altitude height latitude longitude name station_id"
        assert file.featureType == "timeSeries"
    with open_product(path) as opened:
        assert_same_metadata(opened, product)
        assert opened.sel(station="ç").altitude == 43


def test_provenance_is_in_the_file(tmp_path: Path) -> None:
    product = make_product(creator="A. Person", title="A title", licence="CC0")
    with open_product(write_netcdf(product, tmp_path / "product.nc")) as opened:
        attributes = opened.attrs
    assert attributes["input_sha256"] == input_digest(make_observations(), "pm25")
    assert attributes["input_stations"] == 3
    assert attributes["input_period"] == "2014-11-01T00:00:00Z/2014-11-02T05:00:00Z"
    assert attributes["method_settings"] == '{"k": 16, "range_km": 160.0}'
    assert "kriging" in attributes["history"]
    assert "StationNetwork: 3 stations" in attributes["history"]
    assert (attributes["title"], attributes["license"]) == ("A title", "CC0")
    assert attributes["creator_name"] == "A. Person"


def test_digest_tells_any_change_of_the_input() -> None:
    observations = make_observations()
    moved = observations.assign_coords(longitude=observations["longitude"] + 0.01)
    later = observations.assign_coords(time=observations["time"] + np.timedelta64(1, "h"))
    gap = observations.where(observations["time"] > observations["time"][0])
    digests = {input_digest(each, "pm25") for each in (observations, moved, later, gap)}
    assert len(digests) == 4


# Metadata that were lost


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_arithmetic_loses_nothing(case: str, keep: bool) -> None:
    product = make_product(case)
    with xr.set_options(keep_attrs=keep):
        changed = product * 1
    changed.attrs = product.attrs  # provenance is nowhere else
    assert_same_metadata(restore_metadata(changed), product)


@pytest.mark.parametrize(
    ("case", "decode"), [*((case, "all") for case in CASES), ("projected", True)]
)
def test_files_opened_by_xarray_can_be_written(case: str, decode: Any, tmp_path: Path) -> None:
    product = make_product(case)
    path = write_netcdf(product, tmp_path / "product.nc")
    with xr.open_dataset(path, decode_coords=decode) as opened:
        again = write_netcdf(opened, tmp_path / "again.nc")
    with open_product(again) as reopened:
        assert_same_metadata(reopened, product)


def test_building_is_complete() -> None:
    product = make_product("projected")
    xr.testing.assert_identical(restore_metadata(product), product)


def test_restoring_keeps_the_argument_and_stays_lazy() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    product = make_product()
    lazy = product["pm25"].data.map_blocks(fail, dtype=np.float32, meta=np.empty((0, 0, 0)))
    product["pm25"] = (("time", "lat", "lon"), lazy)
    product.attrs.clear()
    before = product.copy()
    restore_metadata(product)
    assert product.attrs == {}
    assert product["pm25"].attrs == before["pm25"].attrs == {}


def test_own_names_and_units_stay() -> None:
    product = make_product()
    product["pm25"] = product["pm25"] / 1000
    product["pm25"].attrs |= {"units": "mg m-3", "long_name": "fine dust", "grid_mapping": "x"}
    restored = restore_metadata(product)
    assert restored["pm25"].attrs["units"] == restored["pm25_uncertainty"].attrs["units"]
    assert restored["pm25"].attrs["long_name"] == "fine dust"
    assert restored["pm25"].attrs["grid_mapping"] == "crs"


def test_lost_provenance_is_said_in_file_and_log(caplog: pytest.LogCaptureFixture) -> None:
    restored = restore_metadata(make_product().drop_attrs(deep=False))
    assert "was lost" in restored.attrs["history"]
    assert "lost its provenance" in caplog.text


def test_measurements_without_a_history_have_lost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    measured = synthetic_network(hours=3, seed=0).observations.drop_attrs(deep=False)
    assert "as they were given" in restore_metadata(measured).attrs["history"]
    assert not caplog.text


def test_one_hour_and_one_cell_can_be_written(tmp_path: Path) -> None:
    product = make_product()
    part = product.isel(time=5, lat=[3], lon=[4])
    with open_product(write_netcdf(part, tmp_path / "part.nc")) as opened:
        assert dict(opened.sizes) == {"time": 1, "lat": 1, "lon": 1, "bnds": 2}
        assert opened["time_bnds"].values.tolist() == [product["time_bnds"].values[5].tolist()]
        assert opened["lat_bnds"].values.tolist() == [product["lat_bnds"].values[3].tolist()]
    assert checked(tmp_path / "part.nc", "cf:1.11") == []


def test_meaning_that_cannot_be_restored_is_asked_for() -> None:
    product = make_product()
    daily = product[["pm25"]].resample(time="1D").mean()
    with pytest.raises(ProductError, match=r"24 h apart, but step_hours is 1.*attrs\.update"):
        restore_metadata(daily)
    daily["time"].attrs.update(step_hours=24.0)
    with pytest.raises(
        ProductError, match=r"over 1 h, and its periods last 24 h now.*attrs\.update"
    ):
        restore_metadata(daily)
    daily["pm25"].attrs.update(cell_methods="time: mean", averaging_hours=24.0)
    assert restore_metadata(daily).attrs["time_coverage_resolution"] == "PT24H"
    with pytest.raises(ProductError, match="lost time_label and step_hours"):
        restore_metadata(product.drop_vars("time_bnds").drop_attrs())
    with pytest.raises(ProductError, match="lost their CRS"):
        restore_metadata(make_product("projected").drop_vars("crs"))
    with pytest.raises(ProductError, match="found \\('time', 'latitude', 'lon'"):
        restore_metadata(product.rename(lat="latitude"))
    with pytest.raises(ProductError, match="found dust, pm25_uncertainty"):
        restore_metadata(product.rename(pm25="dust"))


# What is no product


def test_what_is_no_product_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"there is no file .*none\.nc"):
        open_product(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("station,time,pm25\n")
    with pytest.raises(ProductError, match=r"text\.nc cannot be read as NetCDF"):
        open_product(tmp_path / "text.nc")
    xr.Dataset({"height": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ProductError, match=r"other\.nc holds no product"):
        open_product(tmp_path / "other.nc")


def test_fields_that_fit_nothing_are_refused_with_all_faults() -> None:
    observations = make_observations()
    field = make_field(GRIDS["geographic"], observations)
    options: dict[str, Any] = {"observations": observations, "method": "idw", "settings": {}}
    with pytest.raises(ProductError, match=r"no 'no2'.*along 'lat' expected.*creator has"):
        build_product(
            field, variable="no2", grid=GRIDS["date line"], creator={"nom": "A"}, **options
        )
    with pytest.raises(ProductError, match="a field without a grid needs 'station'"):
        build_product(field, variable="pm25", grid=None, **options)
    with pytest.raises(ProductError, match=r"the variable is called 'pm25', not 'PM2\.5'"):
        build_product(field, variable="PM2.5", grid=GRIDS["geographic"], **options)
    unlabelled = observations.copy()
    unlabelled["time"].attrs.clear()
    bare = field.assign_coords(time=field["time"].drop_attrs())
    with pytest.raises(ProductError, match="no time_label and no step_hours"):
        build_product(
            bare,
            variable="pm25",
            grid=GRIDS["geographic"],
            **{**options, "observations": unlabelled},
        )


def test_web_mercator_is_refused() -> None:
    observations = make_observations()
    grid = Grid((12_000_000.0, 12_100_000.0, 4_000_000.0, 4_100_000.0), 10_000.0, "EPSG:3857")
    with pytest.raises(ProductError, match="CF has no grid mapping for 'WGS 84 / Pseudo-Mercator'"):
        build_product(
            make_field(grid, observations),
            variable="pm25",
            grid=grid,
            observations=observations,
            method="idw",
            settings={},
        )


@pytest.mark.parametrize("case", GRIDS)
def test_axes_of_float32_are_the_same_cells_and_their_flags_stay(case):
    product = make_product(case)
    dims = product.pm25.dims[1:]
    axes = {name: product[name].astype(np.float32) for name in dims}
    rounded = product.assign_coords(axes).drop_vars([f"{name}_bnds" for name in dims])
    assert "pm25_flag" in restore_metadata(rounded)
    assert "pm25_flag" not in restore_metadata(rounded.isel({dims[0]: slice(None, None, 2)}))
