"""Exports: what GDAL, geopandas and rasterio find in them, and what is refused."""

import json
import sqlite3
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import xarray as xr
from product_cases import GRIDS, leftovers, make_product

import aqreanalysis as aqr
import aqreanalysis.product.regions as regions_module
from aqreanalysis.exports import (
    check_export,
    export,
    write_geopackage,
    write_geoparquet,
    write_geotiff,
)
from aqreanalysis.exports.maps import Maps
from aqreanalysis.grid import Grid
from aqreanalysis.product import ProductError, open_product, write_netcdf, write_zarr
from aqreanalysis.verification import metrics

rasterio = pytest.importorskip("rasterio", reason="GeoTIFF needs aqreanalysis[gis]")


def opened(path: Path) -> tuple[np.ndarray, SimpleNamespace]:
    """Return the values of a raster and what it says of itself."""
    names = "bounds", "count", "crs", "descriptions", "dtypes", "nodata", "transform", "units"
    with rasterio.open(path) as raster:
        return raster.read(), SimpleNamespace(**{name: getattr(raster, name) for name in names})


def place(raster: Any, what: str, level: int | None) -> int:
    """Return where in a file something of the maps or of an overview is."""
    return int(raster.get_tag_item(what, "TIFF", bidx=1, ovr=level))


def on_grid(grid: Grid, **options: Any) -> xr.Dataset:
    """Return a product of two hours on a grid, whose values tell the place of each cell."""
    product = make_product(chunks={"time": 1}).isel(time=slice(0, 2))
    rows, columns = np.meshgrid(np.arange(grid.y.size), np.arange(grid.x.size), indexing="ij")
    values = np.stack([100 * rows + columns, 100 * rows + columns + 0.5]).astype(np.float32)
    return xr.Dataset(
        {"pm25": (("time", *grid.dims), values)},
        coords={
            grid.dims[0]: grid.y,
            grid.dims[1]: grid.x,
            "time": product.time,
            "time_bnds": product.time_bnds,
        },
        attrs=product.attrs,
    ).assign(**options)


# GeoTIFF


@pytest.mark.parametrize("case", GRIDS)
def test_maps_are_north_up_at_their_place_in_gdal(case: str, tmp_path: Path) -> None:
    product, grid = make_product(case), GRIDS[case]
    values, raster = opened(write_geotiff(product, tmp_path / "pm25.tif"))
    west, _, _, north = grid.region
    assert raster.transform[:6] == (grid.resolution, 0, west, 0, -grid.resolution, north)
    assert raster.crs == rasterio.CRS.from_string(grid.crs)
    assert raster.count == 30
    truth = product.pm25.values[:, ::-1]
    unit = 10.0 ** (np.floor(np.log10(truth)) - 2)
    assert np.nanmax(np.abs(values - truth) / unit) <= 0.5
    np.testing.assert_array_equal(np.isnan(values), np.isnan(truth))
    assert leftovers(tmp_path) == ["pm25.tif"]  # no file beside it that could get lost


def test_a_band_says_its_hour_layer_and_unit(tmp_path: Path) -> None:
    product = make_product(label="end", licence="CC BY 4.0", creator="A. Person")
    _, raster = opened(write_geotiff(product, tmp_path / "pm25.tif"))
    assert raster.descriptions[1] == "2014-11-01T00:00Z to 2014-11-01T01:00Z, pm25, ug m-3"
    assert raster.units[1] == "ug m-3"
    assert np.isnan(raster.nodata)
    with rasterio.open(tmp_path / "pm25.tif") as raster:
        assert raster.tags(2)["time_begin"] == "2014-11-01T00:00Z"
        assert raster.tags(2)["cell_methods"] == "time: mean"
        assert raster.tags()["TIFFTAG_COPYRIGHT"] == raster.tags()["license"] == "CC BY 4.0"
        assert raster.tags()["TIFFTAG_ARTIST"] == "A. Person"


def test_files_are_cloud_optimised(tmp_path: Path) -> None:
    grid = Grid((0.0, 120.0, -40.0, 60.0), 0.1)  # 1000 x 1200 cells: two overviews
    product = on_grid(grid)
    write_geotiff(product, tmp_path / "large.tif", significant_digits=None)
    with rasterio.open(tmp_path / "large.tif") as raster:
        assert [place(raster, "IFD_OFFSET", level) for level in (None, 0, 1)] == sorted(
            place(raster, "IFD_OFFSET", level) for level in (None, 0, 1)
        )
        first = [place(raster, "BLOCK_OFFSET_0_0", level) for level in (1, 0, None)]
        assert place(raster, "IFD_OFFSET", 1) < first[0] < first[1] < first[2]
        assert raster.tags(ns="IMAGE_STRUCTURE")["INTERLEAVE"] == "BAND"
        assert raster.overviews(1) == [2, 4]
        assert raster.block_shapes == [(512, 512)] * 2
        coarse = raster.read(2, out_shape=(500, 600))
        fine = raster.read(2)
    np.testing.assert_array_equal(fine, product.pm25.values[1, ::-1])
    np.testing.assert_allclose(coarse, fine.reshape(500, 2, 600, 2).mean((1, 3)), atol=0.01)


@pytest.mark.parametrize("chunks", [{"time": 30}, {"time": 7, "lat": 3, "lon": 4}])
def test_any_blocks_give_the_same_files_and_each_is_computed_once(
    chunks: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []

    def block(values: np.ndarray, block_info: Any = None) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"])
        return values

    product = make_product(chunks=chunks)
    counted = product.pm25.data.map_blocks(block, dtype=np.float32, meta=np.empty((0, 0, 0)))
    lazy = product.assign(pm25=(product.pm25.dims, counted, product.pm25.attrs))
    monkeypatch.setattr(regions_module, "REGION_BYTES", 500)
    write_geotiff(lazy, tmp_path / "hours")
    assert len(computed) == len(set(computed)) == np.prod(product.pm25.data.numblocks)
    assert len(leftovers(tmp_path / "hours")) == 30
    whole, _ = opened(write_geotiff(product, tmp_path / "whole.tif"))
    for hour, name in enumerate(leftovers(tmp_path / "hours")):
        np.testing.assert_array_equal(opened(tmp_path / "hours" / name)[0][0], whole[hour])


def test_memory_stays_far_below_the_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions_module, "REGION_BYTES", 2**20)
    product = on_grid(Grid((0.0, 60.0, 0.0, 40.0), 0.05))  # 1.2 million cells of 2 hours
    lazy = da.ones((2, 800, 1200), dtype=np.float32, chunks=(1, 100, 1200)) * np.float32(40)
    product["pm25"] = (product.pm25.dims, lazy)
    write_geotiff(make_product(), tmp_path / "first.tif")  # imports take memory, too
    tracemalloc.start()
    try:
        write_geotiff(product, tmp_path / "pm25.tif", significant_digits=None, progress=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 7.3 MiB of maps; one region of 0.9 MiB and some copies at a time, then a map of 3.7 MiB.
    assert peak < 6 * 2**20 < lazy.nbytes


def test_a_folder_has_the_hours_of_a_day_in_a_file_of_each_layer(tmp_path: Path) -> None:
    layers = ["pm25", "pm25_flag", "distance_to_nearest_station"]
    product = make_product()
    folder = write_geotiff(product, tmp_path / "days", per="day", variable=layers)
    assert leftovers(folder) == [
        "distance_to_nearest_station.tif",
        "pm25_20141101.tif",
        "pm25_20141102.tif",
        "pm25_flag_20141101.tif",
        "pm25_flag_20141102.tif",
    ]
    values, raster = opened(folder / "pm25_20141102.tif")
    assert raster.count == 6
    assert raster.descriptions[0].startswith("2014-11-02T00:00Z to 2014-11-02T01:00Z")
    np.testing.assert_allclose(values, product.pm25.values[24:, ::-1], rtol=0.006)
    distance, raster = opened(folder / "distance_to_nearest_station.tif")
    assert raster.descriptions == ("distance_to_nearest_station, km",)
    assert distance.shape == (1, 10, 20)


def test_classes_have_numbers_nodata_and_colours(tmp_path: Path) -> None:
    product = make_product().compute()
    flag = product.pm25_flag.astype(np.float32).where(product.lat > 39.5)
    clipped = product.assign(pm25_flag=flag.assign_attrs(product.pm25_flag.attrs))
    folder = write_geotiff(clipped, tmp_path / "flags", variable="pm25_flag")
    values, raster = opened(folder / "pm25_flag_20141101T0000Z.tif")
    assert (raster.dtypes[0], raster.nodata) == ("uint8", 255)
    assert (values[0, 5:] == 255).all()  # south of 39.5: not "supported"
    np.testing.assert_array_equal(values[0, :5], product.pm25_flag.values[0, ::-1][:5])
    with rasterio.open(folder / "pm25_flag_20141101T0000Z.tif") as raster:
        assert raster.colormap(1)[1] == (128, 177, 211, 255)
        assert raster.tags(1)["flag_meanings"].startswith("supported, far from stations")


def test_whole_numbers_are_not_rounded(tmp_path: Path) -> None:
    product = make_product().compute()
    bits = np.full(product.pm25.shape, 2**12 + 1)
    product["pm25_qc"] = (product.pm25.dims, bits, {"flag_masks": [1, 2**12]})
    values, _ = opened(write_geotiff(product, tmp_path / "qc.tif", variable="pm25_qc"))
    assert (values == 2**12 + 1).all()
    product["count"] = (product.pm25.dims, np.full(product.pm25.shape, 2**24))
    values, _ = opened(write_geotiff(product, tmp_path / "count.tif", variable="count"))
    assert (values == 2**24).all()
    product["count"] += 1
    with pytest.raises(ProductError, match="count has the whole number 16777217, for which float"):
        write_geotiff(product, tmp_path / "more.tif", variable="count")
    assert leftovers(tmp_path) == ["count.tif", "qc.tif"]


@pytest.mark.parametrize("turn", ["descending", "reversed longitudes"])
def test_axes_may_go_either_way(turn: str, tmp_path: Path) -> None:
    product = make_product()
    axis = "lat" if turn == "descending" else "lon"
    turned = product.isel({axis: slice(None, None, -1)})
    values, first = opened(write_geotiff(product, tmp_path / "usual.tif"))
    again, second = opened(write_geotiff(turned, tmp_path / "turned.tif"))
    np.testing.assert_array_equal(values, again)
    assert first.transform == second.transform


def test_a_globe_from_0_to_360_begins_at_the_date_line(tmp_path: Path) -> None:
    product = on_grid(Grid((0.0, 360.0, -90.0, 90.0), 10.0))
    values, raster = opened(write_geotiff(product, tmp_path / "globe.tif", significant_digits=None))
    assert raster.bounds == (-180, -90, 180, 90)
    assert values[0, 0, :2].tolist() == [1718, 1719]  # row 17 of 175 to 195 E
    np.testing.assert_array_equal(values[0, 0], [*range(1718, 1736), *range(1700, 1718)])


def test_longitudes_beyond_180_are_those_of_the_west(tmp_path: Path) -> None:
    product = on_grid(Grid((230.0, 290.0, 20.0, 50.0), 5.0))
    _, raster = opened(write_geotiff(product, tmp_path / "us.tif"))
    assert raster.bounds == (-130, 20, -70, 50)
    western = on_grid(Grid((-15.0, -5.0, 0.0, 5.0), 1.0))
    western = western.assign_coords(lon=western.lon - 185)
    assert opened(write_geotiff(western, tmp_path / "west.tif"))[1].bounds == (160, 0, 170, 5)
    _, raster = opened(write_geotiff(make_product("date line"), tmp_path / "fiji.tif"))
    assert raster.bounds == (179, -18, 181, -17)  # across the line as one map


def test_axes_in_km_are_at_their_place_in_metres(tmp_path: Path) -> None:
    product = make_product("projected")
    bounds = {name: product[name] / 1000 for name in ("x_bnds", "y_bnds")}
    axes = {name: (product[name] / 1000).assign_attrs(units="km") for name in ("x", "y")}
    _, raster = opened(write_geotiff(product.assign_coords(axes | bounds), tmp_path / "km.tif"))
    assert raster.bounds == (400_000, 4_350_000, 500_000, 4_450_000)
    wrong = {name: axis.assign_attrs(units="kg") for name, axis in axes.items()}
    with pytest.raises(ProductError, match="the axes of the grid: y cannot be in 'kg'"):
        write_geotiff(product.assign_coords(wrong), tmp_path / "kg.tif")


def test_what_gis_wrote_beside_an_earlier_map_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    moved = "<PAMDataset><GeoTransform>0, 1, 0, 0, 0, -1</GeoTransform></PAMDataset>"
    product = make_product().isel(time=slice(0, 2))
    target = write_geotiff(product, tmp_path / "pm25.tif")
    Path(f"{target}.aux.xml").write_text(moved)
    assert opened(write_geotiff(product, target))[1].bounds == (115, 39, 117, 40)
    folder = write_geotiff(product, tmp_path / "maps")
    before = leftovers(folder)
    (folder / f"{before[0]}.aux.xml").write_text(moved)
    assert leftovers(write_geotiff(product, folder)) == before
    assert leftovers(tmp_path) == ["maps", "pm25.tif"]


def test_metadata_that_no_format_can_hold_take_no_others_with_them(tmp_path: Path) -> None:
    product = make_product("stations").assign_attrs(comment="a\x01b\ud800")
    metadata = pyogrio.read_info(write_geopackage(product, tmp_path / "s.gpkg"))["layer_metadata"]
    assert (metadata["comment"], metadata["history"]) == ("ab", product.attrs["history"])
    product = make_product().assign_attrs(comment="a\x01b\ud800")
    with rasterio.open(write_geotiff(product, tmp_path / "pm25.tif")) as raster:
        assert raster.tags()["comment"] == "ab"
        assert "history" in raster.tags()


def test_one_row_one_column_and_one_cell_have_a_place(tmp_path: Path) -> None:
    product = make_product()
    for name, part in (
        ("row", product.isel(lat=[3])),
        ("column", product.isel(lon=[4])),
        ("cell", product.isel(lat=[3], lon=[4])),
    ):
        values, raster = opened(write_geotiff(part, tmp_path / f"{name}.tif"))
        expected = part.pm25.values[:, ::-1]
        np.testing.assert_allclose(values, expected, rtol=0.006)
        assert raster.transform[0] == -raster.transform[4] == 0.1
    assert raster.bounds == pytest.approx((115.4, 39.3, 115.5, 39.4))


def test_an_hour_that_is_all_missing_is_nodata(tmp_path: Path) -> None:
    product = make_product()
    product["pm25"] = product.pm25.where(product.time != product.time[3])
    values, _ = opened(write_geotiff(product, tmp_path / "pm25.tif"))
    assert np.isnan(values[3]).all()
    assert np.isfinite(values[4]).all()
    table = geopandas.read_file(write_geopackage(product, tmp_path / "a.gpkg", levels=[40]))
    assert table.time_begin.nunique() == 29


def test_steps_of_a_day_are_files_and_days_of_them_are_not(tmp_path: Path) -> None:
    daily = make_product().aqnet.aggregate("day")
    folder = write_geotiff(daily, tmp_path / "days")
    assert leftovers(folder) == ["pm25_20141101T0000Z.tif", "pm25_20141102T0000Z.tif"]
    assert opened(folder / leftovers(folder)[0])[1].descriptions == (
        "2014-11-01T00:00Z to 2014-11-02T00:00Z, pm25, ug m-3",
    )
    with pytest.raises(ProductError, match=r"steps of 24 h. Use per='hour'"):
        write_geotiff(daily, tmp_path / "other", per="day")
    assert leftovers(tmp_path) == ["days"]


# Zarr


@pytest.mark.parametrize("case", GRIDS)
def test_gdal_finds_the_crs_of_a_store_by_either_way(case: str, tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="Zarr needs aqreanalysis[zarr]")
    product = make_product(case)
    store = write_zarr(product, tmp_path / "pm25.zarr")
    crs = rasterio.CRS.from_string(GRIDS[case].crs)
    attributes = json.loads((store / "pm25" / ".zattrs").read_text())
    assert rasterio.CRS.from_wkt(attributes["_CRS"]["wkt"]) == crs  # before GDAL 3.9
    with xr.open_zarr(store, decode_coords="all") as again:
        write_netcdf(again, tmp_path / "again.nc")
    with open_product(tmp_path / "again.nc") as again:
        assert "_CRS" not in again.pm25.attrs
    try:
        with rasterio.open(f'ZARR:"{store}":/pm25:0') as raster:
            assert raster.crs == crs
    except rasterio.RasterioIOError as error:
        if "blosc not handled" not in str(error):
            raise
        pytest.skip("this build of GDAL reads no blosc, as that of rasterio before 1.4.4")


def test_a_product_from_a_file_becomes_a_store(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="Zarr needs aqreanalysis[zarr]")
    grid = Grid((0.0, 60.0, 0.0, 40.0), 0.1)
    product = on_grid(grid)
    product["distance_to_nearest_station"] = product.pm25[0].drop_vars("time")
    with open_product(write_netcdf(product, tmp_path / "pm25.nc")) as again:
        sizes = {again[name].chunksizes["lon"][0] for name in again.data_vars}
        assert len(sizes) == 2  # layers without time have larger chunks
        store = write_zarr(again, tmp_path / "pm25.zarr", significant_digits=None)
    with xr.open_zarr(store) as stored:
        np.testing.assert_allclose(stored.pm25, product.pm25, rtol=0.006)


# Stations


def test_stations_have_every_hour_with_its_period_and_flag(tmp_path: Path) -> None:
    product = make_product("stations", label="end").compute()
    table = geopandas.read_file(write_geopackage(product, tmp_path / "s.gpkg"))
    assert pyogrio.list_layers(tmp_path / "s.gpkg").tolist() == [["stations", "Point"]]
    assert table.crs.to_epsg() == 4326
    assert len(table) == 3 * 30
    metadata = pyogrio.read_info(tmp_path / "s.gpkg")["layer_metadata"]
    assert metadata["history"] == product.attrs["history"]
    row = table[(table.station == "ç") & (table.time_end == "2014-11-01T05:00Z")].iloc[0]
    truth = product.sel(station="ç", time="2014-11-01T05:00")
    assert row.time_begin == pd.Timestamp("2014-11-01T04:00Z")
    assert (row["name"], row.altitude) == ("Olympic", 43)
    assert (row.geometry.x, row.geometry.y) == (116.9, 39.5)
    assert row.pm25 == pytest.approx(float(truth.pm25))
    assert row.pm25_uncertainty == pytest.approx(float(truth.pm25_uncertainty))
    assert row.pm25_flag == int(truth.pm25_flag)
    meanings = truth.pm25_flag.attrs["flag_meanings"].replace("_", " ")
    assert row.pm25_flag_meaning in meanings
    assert table.pm25.isna().sum() == 1
    product["pm25_flag"] = product.pm25_flag.where(product.station != "a", 127)
    table = geopandas.read_file(write_geopackage(product, tmp_path / "s.gpkg"))
    unknown = table[table.station == "a"]
    assert unknown.pm25_flag.isna().all()
    assert unknown.pm25_flag_meaning.isna().all()
    assert set(table.pm25_flag.dropna()) == {0, 1, 2}


def test_geoparquet_grows_by_blocks_and_is_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = make_product("stations", chunks={"time": 7, "station": 2})
    whole = geopandas.read_parquet(write_geoparquet(product, tmp_path / "whole.parquet"))
    monkeypatch.setattr(regions_module, "REGION_BYTES", 300)
    path = write_geoparquet(product, tmp_path / "blocks.parquet")
    assert pq.ParquetFile(path).num_row_groups >= 4
    blocks = geopandas.read_parquet(path)
    by = ["station", "time_begin"]
    in_order = (table.sort_values(by, ignore_index=True) for table in (whole, blocks))
    pd.testing.assert_frame_equal(*in_order)
    assert blocks.crs.to_epsg() == 4326
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert geo["columns"]["geometry"]["bbox"] == [116.0, 39.2, 116.9, 39.9]


def test_observations_are_exported_as_they_are(tmp_path: Path) -> None:
    obs = aqr.synthetic_network(hours=24, seed=0).observations
    table = geopandas.read_parquet(obs.aqnet.to_geoparquet(tmp_path / "obs.parquet"))
    first = table[table.station == obs.station.values[0]].sort_values("time_begin")
    np.testing.assert_array_equal(first.pm25, obs.pm25.isel(station=0))


def test_scores_have_a_row_for_each_method_and_a_column_for_each_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    obs = aqr.synthetic_network(hours=24, seed=0).observations
    sums = obs.aqnet.verify(methods=["kriging", "idw"], folds=3, progress=False)
    scores = metrics(sums, by="station")
    monkeypatch.setattr(regions_module, "REGION_BYTES", 5_000)
    table = geopandas.read_file(scores.aqnet.to_geopackage(tmp_path / "scores.gpkg"))
    assert len(table) == 2 * scores.sizes["station"]
    assert set(table.estimator) == {"kriging", "idw"}
    station = str(scores.station.values[4])
    row = table[(table.station == station) & (table.estimator == "idw")].iloc[0]
    truth = scores.sel(station=station, estimator="idw")
    assert row.rmse == pytest.approx(float(truth.rmse))
    assert row.hit_rate_35 == pytest.approx(float(truth.hit_rate.sel(event=35.0)), nan_ok=True)
    assert row.period_begin == pd.Timestamp("2020-11-01T00:00Z")
    assert row.variable == "pm25"


def test_a_part_does_not_state_the_extent_of_the_whole(tmp_path: Path) -> None:
    part = make_product("stations").isel(time=slice(3, 5), station=[1])
    metadata = pyogrio.read_info(write_geopackage(part, tmp_path / "s.gpkg"))["layer_metadata"]
    assert "history" in metadata
    assert not [name for name in metadata if name.startswith(("time_coverage", "geospatial"))]


def test_changes_of_an_earlier_geopackage_do_not_get_into_the_new_one(tmp_path: Path) -> None:
    product = make_product("stations")
    target = write_geopackage(product, tmp_path / "s.gpkg")
    connection = sqlite3.connect(target)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE of_a_user (note)")
    connection.commit()
    before = target.read_bytes()
    for name in ("s.gpkg", "other.gpkg"):
        Path(f"{tmp_path / name}-wal").write_bytes(Path(f"{target}-wal").read_bytes())
        with pytest.raises(ProductError, match=rf"{name}-wal holds changes of an earlier {name}"):
            export(product, tmp_path / name, overwrite=True)
    assert target.read_bytes() == before
    connection.close()
    Path(f"{target}-wal").unlink(missing_ok=True)
    write_geopackage(product, target)


def test_large_classes_are_those_of_the_layer(tmp_path: Path) -> None:
    product = make_product("stations").compute()
    meaning = {"flag_values": [1, 40_000], "flag_meanings": "low high"}
    values = np.where(product.pm25 > 40, 40_000, 1)
    product["class"] = (product.pm25.dims, values, meaning)
    table = geopandas.read_parquet(write_geoparquet(product, tmp_path / "s.parquet"))
    assert (table["class"] == table.class_meaning.map({"low": 1, "high": 40_000})).all()
    assert set(table["class"]) == {1, 40_000}


def test_stations_east_of_180_are_in_the_west(tmp_path: Path) -> None:
    product = make_product("stations")
    product = product.assign_coords(longitude=product.longitude + 70)
    table = geopandas.read_parquet(write_geoparquet(product, tmp_path / "s.parquet"))
    assert sorted(set(table.geometry.x.round(6))) == [-174.0, -173.5, -173.1]


# Contours


def test_ranges_cover_the_grid_and_hold_their_cells(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(20), np.arange(10))
    product = make_product().isel(time=[0, 1]).compute()
    plane = np.broadcast_to(2.0 * x + 3.0 * y, (2, 10, 20)).astype(np.float32)
    product["pm25"] = product.pm25.copy(data=plane)
    path = write_geopackage(product, tmp_path / "c.gpkg", levels=[20, 40])
    assert pyogrio.list_layers(path).tolist() == [["contours", "MultiPolygon"]]
    table = geopandas.read_file(path)
    assert table.geometry.is_valid.all()
    first = table[table.time_begin == "2014-11-01T00:00Z"]
    assert first[["lower", "upper"]].fillna(-1).values.tolist() == [[-1, 20], [20, 40], [40, -1]]
    union = first.geometry.union_all()
    assert union.symmetric_difference(shapely.box(115, 39, 117, 40)).area < 1e-12
    assert shapely.area(first.geometry.values).sum() == pytest.approx(2.0)
    centres = shapely.points(*np.meshgrid(product.lon, product.lat))
    for row in first.itertuples():
        low, high = np.nan_to_num(row.lower, nan=-1), np.nan_to_num(row.upper, nan=1e9)
        inside = shapely.covers(row.geometry, centres)
        assert inside[(plane[0] > low) & (plane[0] < high)].all()
        assert not inside[(plane[0] < low) | (plane[0] > high)].any()
    assert set(table.units) == {"ug m-3"}


def test_contours_leave_out_what_is_missing_and_have_holes(tmp_path: Path) -> None:
    product = make_product().isel(time=[0]).compute()
    values = np.full((1, 10, 20), 10, np.float32)
    values[0, 4:6, 4:6] = 90  # a hill in the plane
    values[0, 2, 15] = np.nan
    product["pm25"] = product.pm25.copy(data=values)
    low, high = geopandas.read_parquet(
        write_geoparquet(product, tmp_path / "c.parquet", levels=[50])
    ).geometry
    hill, gap = shapely.Point(115.5, 39.5), shapely.Point(116.55, 39.25)
    assert high.covers(hill)
    assert not low.covers(hill)
    assert not low.intersects(gap)
    assert not high.intersects(gap)


@pytest.mark.parametrize("level", [1e30, 1e308])
def test_levels_far_above_all_values_bound_the_range_below(level: float, tmp_path: Path) -> None:
    path = write_geoparquet(
        make_product().isel(time=[1]), tmp_path / "c.parquet", levels=[40, level]
    )
    assert geopandas.read_parquet(path)[["lower", "upper"]].fillna(-1).values.tolist() == [
        [-1, 40],
        [40, level],
    ]


def test_classes_become_areas_of_their_cells_with_name_and_colour(tmp_path: Path) -> None:
    obs = aqr.synthetic_network(hours=30, seed=0).observations
    product = obs.aqnet.reanalyse(grid=0.2, method="idw").aqnet.index("china", "pm25")
    path = product.aqnet.to_geopackage(tmp_path / "index.gpkg", variable="index_category")
    table = geopandas.read_file(path)
    hour = product.index_category.isel(time=26)
    polygons = table[table.time_begin == pd.Timestamp(hour.time.values, tz="UTC")]
    for row in polygons.itertuples():
        assert row.geometry.area == pytest.approx(0.04 * int((hour == row.category).sum()))
    assert shapely.area(polygons.geometry.values).sum() == pytest.approx(0.04 * hour.size)
    assert {"excellent", "good"} & set(table.meaning)
    colours = dict(zip(table.meaning, table.colour, strict=True))
    assert colours["no index"] == "#ffffff"


def test_contours_of_a_projected_grid_are_in_its_crs(tmp_path: Path) -> None:
    table = geopandas.read_file(
        write_geopackage(make_product("projected"), tmp_path / "c.gpkg", levels=[40])
    )
    assert table.crs.to_epsg() == 32650
    expected = [400_000, 4_350_000, 500_000, 4_450_000]
    np.testing.assert_allclose(table.total_bounds, expected, rtol=1e-12)


# What is refused, before anything is written


def draws() -> xr.Dataset:
    """Return a product of which every value has five draws."""
    product = make_product().isel(time=slice(0, 2))
    return product.assign(pm25=product.pm25.expand_dims(draw=5, axis=0))


def classed(values: list[float], case: str = "geographic") -> xr.Dataset:
    """Return a product with a layer ``class`` of these classes."""
    product = make_product(case).compute()
    meaning = {"flag_values": values, "flag_meanings": " ".join("abc"[: len(values)])}
    layer = np.resize(values, product.pm25.shape)
    return product.assign({"class": (product.pm25.dims, layer, meaning)})


def lost_station() -> xr.Dataset:
    """Return a product of which a station has no place."""
    product = make_product("stations")
    return product.assign_coords(longitude=product.longitude.where(product.station != "b"))


@pytest.mark.parametrize(
    ("product", "name", "options", "words"),
    [
        (make_product, "pm25.jpg", {}, r"found '.*pm25\.jpg'. End the name so"),
        (make_product, "none/pm25.tif", {}, "there is no folder"),
        (make_product, "pm25.tif", {"levels": [35]}, "levels is of GeoPackage and GeoParquet"),
        (make_product, "a.gpkg", {"per": "day"}, "per is of GeoTIFF"),
        (make_product, "pm25.zarr", {"per": "day"}, "per is of GeoTIFF"),
        (make_product, "pm25.tif", {"per": "day"}, "makes a folder of files; name one"),
        (make_product, "maps", {"per": "bands"}, r"end its name in \.tif: maps\.tif"),
        (make_product, "maps", {"per": "week"}, "must be 'bands', 'hour' or 'day'; found 'week'"),
        (make_product, "pm25.tif", {"variable": "o3"}, "no layer 'o3'; it has pm25"),
        (
            make_product,
            "pm25.tif",
            {"variable": ["pm25", "pm25_flag"]},
            "room for the hours of one layer, and 2 are asked for",
        ),
        (
            make_product,
            "a.gpkg",
            {"variable": ["pm25", "pm25_flag"], "levels": [5]},
            "of one layer",
        ),
        (make_product, "a.gpkg", {}, r"need levels, as levels=\[35, 75\] or --level 35"),
        (make_product, "a.gpkg", {"levels": [75, 35]}, "must be finite and increase; found 75, 35"),
        (make_product, "a.gpkg", {"levels": [35, 35]}, "must be finite and increase"),
        (make_product, "a.gpkg", {"levels": [np.nan]}, "must be finite and increase"),
        (make_product, "a.gpkg", {"levels": ["low"]}, r"levels are numbers; found \['low'\]"),
        (make_product, "a.gpkg", {"levels": [500]}, r"from 5\.04 to 80\.98 ug m-3; found 500"),
        (
            make_product,
            "a.parquet",
            {"variable": "pm25_flag", "levels": [1]},
            "pm25_flag has classes",
        ),
        (lambda: make_product("stations"), "pm25.tif", {}, r"of stations: export it as GeoPackage"),
        (lambda: make_product("stations"), "a.gpkg", {"levels": [35]}, "levels are of grids"),
        (draws, "pm25.tif", {}, r"dimension draw \(5\), for which GeoTIFF has no room.*draw=0"),
        (draws, "a.gpkg", {"levels": [35]}, r"draw \(5\), for which GeoPackage has no room"),
        (draws, "a.parquet", {"levels": [35]}, r"draw \(5\), for which GeoParquet has no room"),
        (
            lambda: make_product().assign(o3=lambda p: p.pm25),
            "pm25.tif",
            {},
            "name the layer to export.*has pm25, pm25_uncertainty.*o3",
        ),
        (
            lambda: make_product().isel(lon=[0, 1, 3]),
            "pm25.tif",
            {},
            "needs equal cells, and lon is irregular: 115.15 should be 115.2",
        ),
        (
            lambda: make_product().isel(lon=[0, 0]).drop_vars("lon_bnds"),
            "pm25.tif",
            {},
            "lon neither increases nor decreases from cell to cell: sort them",
        ),
        (
            lambda: make_product()[["pm25"]].isel(time=0).drop_vars("time").drop_attrs(),
            "maps",
            {},
            "per='hour' needs a time, and the product has none",
        ),
        (
            lambda: make_product("stations").drop_vars("longitude"),
            "a.gpkg",
            {},
            "found no longitude",
        ),
        (
            lambda: make_product("stations").assign(pm25=lambda p: p.pm25.expand_dims(draw=2)),
            "a.gpkg",
            {},
            r"draw \(2\), for which GeoPackage has no room",
        ),
        (
            lambda: make_product().where(False).assign_attrs(make_product().attrs),
            "a.gpkg",
            {"levels": [35], "variable": "pm25"},
            "no value at any step",
        ),
        (
            lambda: classed([-1, 0]),
            "a.tif",
            {"variable": "class"},
            "from 0 to 254, and class .* -1",
        ),
        (lambda: classed([1, 300]), "a.gpkg", {"variable": "class"}, "has the class 300"),
        (lambda: classed([0, 0.5], "stations"), "a.gpkg", {}, "tables have room .* the class 0.5"),
        (
            lambda: make_product().isel(time=[26, 0, 1, 25]),
            "maps",
            {"per": "day"},
            r"2014-11-01T00:00Z follows 2014-11-02T02:00Z.*drop_duplicates",
        ),
        (lambda: make_product().isel(time=[0, 0]), "maps", {}, "a time of its own, in order"),
        (
            lambda: make_product().assign({"../pm25": lambda p: p.pm25}),
            "maps",
            {"variable": ["pm25", "../pm25"]},
            "'../pm25' cannot be the name of a file",
        ),
        (
            lambda: make_product().assign(
                issued=(("lat", "lon"), np.full((10, 20), np.datetime64("2024", "ns")))
            ),
            "a.tif",
            {"variable": "issued"},
            "issued is datetime64",
        ),
        (lambda: make_product().isel(time=slice(0)), "a.tif", {}, "product has no time"),
        (lambda: make_product().isel(lat=slice(0)), "a.tif", {}, "product has no lat"),
        (lambda: make_product("stations").isel(station=[]), "a.gpkg", {}, "product has no station"),
        (lambda: make_product("stations").isel(time=[]), "a.parquet", {}, "product has no time"),
        (lost_station, "a.gpkg", {}, "1 of 3 stations have no place, such as b"),
        (
            lambda: make_product("stations").rename(pm25_flag="geometry"),
            "a.parquet",
            {},
            "has a column 'geometry' already",
        ),
        (
            lambda: make_product("stations").assign(PM25=lambda p: p.pm25),
            "a.gpkg",
            {},
            "has a column 'pm25' already",
        ),
        (lambda: make_product("stations"), "a.gpkg", {"levels": 35}, "levels are of grids"),
    ],
)
def test_what_there_is_no_room_for_is_refused_with_the_remedy(
    product: Any, name: str, options: dict, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ProductError, match=words):
        export(product(), tmp_path / name, progress=False, **options)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["pm25.tif", "maps", "a.gpkg", "a.parquet", "p.zarr", "p.nc"])
def test_what_is_there_is_replaced_only_if_that_is_said(name: str, tmp_path: Path) -> None:
    options = {"levels": [40]} if name.startswith("a.") else {}
    product = make_product().isel(time=slice(0, 2))
    target = export(product, tmp_path / name, **options)
    with pytest.raises(ProductError, match=r"exists\. Name another, or replace it with --overwr"):
        check_export(target, **options)
    assert export(product, target, overwrite=True, **options) == target
    assert leftovers(tmp_path) == [name]


def test_a_folder_with_something_else_is_never_replaced(tmp_path: Path) -> None:
    folder = write_geotiff(make_product(), tmp_path / "maps")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ProductError, match=r"holds more than GeoTIFF, such as notes\.txt"):
        write_geotiff(make_product(), folder)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    (folder / "mine.tif").mkdir()
    with pytest.raises(ProductError, match=r"holds more than GeoTIFF, such as mine\.tif"):
        write_geotiff(make_product(), folder)


def test_links_of_any_name_and_empty_folders_are_filled(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.tif", "a.parquet", "a.gpkg"):
        (tmp_path / name).symlink_to(tmp_path / "data" / f"{name}.bin")
        export(make_product(), tmp_path / name, **({} if name == "a.tif" else {"levels": [40]}))
        assert (tmp_path / "data" / f"{name}.bin").stat().st_size
    (tmp_path / "maps").mkdir()
    assert len(leftovers(export(make_product(), tmp_path / "maps"))) == 30


def test_long_and_odd_names_can_be_exported(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 251}.tif"
    assert opened(export(make_product(), path))[1].count == 30
    for name in ("a b?c|d.gpkg", f"{'x' * 250}.gpkg", "a b?c|d.parquet"):
        assert export(make_product(), tmp_path / name, levels=[40]).is_file()


@pytest.mark.parametrize("name", ["LICENSE", "x.zarr"])
def test_no_folder_replaces_a_file(name: str, tmp_path: Path) -> None:
    if name.endswith(".zarr"):
        pytest.importorskip("zarr", reason="Zarr needs aqreanalysis[zarr]")
    (tmp_path / name).write_text("mine")
    with pytest.raises(ProductError, match=rf"{name} is a file, which no"):
        export(make_product(), tmp_path / name, overwrite=True)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["pm25.tif", "maps", "a.gpkg", "a.parquet"])
def test_an_interruption_leaves_the_earlier_export_and_no_other(name: str, tmp_path: Path) -> None:
    options = {"levels": [40]} if name.startswith("a.") else {}
    target = export(make_product(), tmp_path / name, **options)
    first = target if target.is_file() else next(iter(sorted(target.iterdir())))
    before = first.read_bytes()

    def stop(values: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info[0]["chunk-location"][0] == 3:
            raise KeyboardInterrupt
        return values

    product = make_product(chunks={"time": 7})
    lazy = product.pm25.data.map_blocks(stop, dtype=np.float32, meta=np.empty((0, 0, 0)))
    with pytest.raises(KeyboardInterrupt):
        export(product.assign(pm25=(product.pm25.dims, lazy)), target, overwrite=True, **options)
    assert first.read_bytes() == before
    assert leftovers(tmp_path) == [name]


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(ProductError, match=r"not enough space: 0 MB of maps"):
        write_geotiff(make_product(), tmp_path / "pm25.tif")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["pm25.tif", "maps", "a.gpkg", "stations.parquet"])
def test_refused_bytes_are_one_clear_error(name: str, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no limits of files")
    product = make_product("stations" if name.startswith("stations") else "geographic").compute()
    options = {"levels": [40]} if name == "a.gpkg" else {}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(ProductError, match=f"cannot write .*{name}: .*nothing was left behind"):
            export(product, tmp_path / name, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["pm25.tif", "maps"])
@pytest.mark.parametrize("fault", ["cut off", "with noughts", "said"])
def test_a_geotiff_that_gdal_closed_on_a_full_disk_gets_no_name(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL closes a file that did not fit without a word, or with an error of its own."""
    from rasterio import shutil
    from rasterio._err import CPLE_FileIOError

    copy = shutil.copy

    def full(raw: Path, path: Path, **options: Any) -> None:
        if fault == "said":
            raise CPLE_FileIOError(3, 3, "Write error: No space left on device")
        copy(raw, path, **options)
        whole = path.read_bytes()
        path.write_bytes(whole[:-60] + bytes(60) * (fault == "with noughts"))

    monkeypatch.setattr(shutil, "copy", full)
    with pytest.raises(ProductError, match=rf"cannot write .*{name}: .*nothing was left behind"):
        export(make_product(), tmp_path / name)
    assert leftovers(tmp_path) == []


def test_a_failing_computation_is_not_taken_for_a_failing_disk(tmp_path: Path) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such weather")

    product = make_product()
    lazy = product.pm25.data.map_blocks(fail, dtype=np.float32, meta=np.empty((0, 0, 0)))
    for name, options in (("a.tif", {}), ("maps", {}), ("a.gpkg", {"levels": [40]})):
        with pytest.raises(RuntimeError, match=r"^no such weather$"):
            export(product.assign(pm25=(product.pm25.dims, lazy)), tmp_path / name, **options)
    assert leftovers(tmp_path) == []


def test_without_rasterio_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqreanalysis.exports.choice.find_spec", lambda name: None)
    with pytest.raises(ProductError, match=r"pip install 'aqreanalysis\[gis\]'"):
        export(make_product(), tmp_path / "pm25.tif")
    export(make_product(), tmp_path / "a.gpkg", levels=[40])  # needs none


def test_layers_for_which_there_is_no_room_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    product = make_product("stations")
    product["attention"] = (("station", "predicted_day"), np.ones((3, 7)))
    caplog.set_level("INFO")
    table = geopandas.read_parquet(write_geoparquet(product, tmp_path / "s.parquet"))
    assert "attention" not in table
    assert "left out, as GeoParquet has no room for them: attention" in caplog.text


def test_maps_stay_lazy_until_they_are_written() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    product = make_product()
    lazy = product.pm25.data.map_blocks(fail, dtype=np.float32, meta=np.empty((0, 0, 0)))
    maps = Maps.of(product.assign(pm25=(product.pm25.dims, lazy)), ["pm25"], "GeoTIFF")
    assert maps.shape == (10, 20)
    assert maps.corner == (115, 40)


# The command


@pytest.fixture
def product_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_netcdf(make_product(), tmp_path / "pm25.nc")


def test_the_command_exports_by_the_ending(product_file: Path, run: Any) -> None:
    day = ("--time", "2014-11-02", "2014-11-02")
    status, out, _ = run("export", "pm25.nc", "-o", "maps/", *day)
    assert status == 0
    assert out.startswith("maps: 6 files, ")
    assert leftovers(product_file.parent / "maps")[0] == "pm25_20141102T0000Z.tif"
    assert run("export", "pm25.nc", "-o", "a.parquet", "--level", 40, "--level", 60)[0] == 0
    assert set(geopandas.read_parquet("a.parquet").lower.dropna()) == {40, 60}
    stated = ("--attribute", "license=CC BY 4.0", "--variable", "pm25")
    assert run("export", "pm25.nc", "-o", "again.nc", *stated)[0] == 0
    with open_product("again.nc") as again:
        assert again.attrs["license"] == "CC BY 4.0"
        assert list(again.data_vars) == ["pm25"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "pm25.png"), "a product is exported as GeoTIFF"),
        (("-o", "pm25.nc", "--overwrite"), "is the product itself, which would be lost"),
        (("-o", "pm25.tif", "--time", "2020-01-01", "2020-01-02"), "no hour lies within"),
        (("-o", "pm25.nc"), "exists. Name another, or replace it with --overwrite"),
        (("-o", "x.nc", "--dimension-order", "time_station"), "is of series at stations"),
        (("-o", "x.nc", "--attribute", "license"), "--attribute takes NAME=VALUE"),
        (("-o", "x.nc", "--metadata", "."), "--metadata: there is no file ."),
        (("-o", "x.nc", "--metadata", "none.toml"), "--metadata: there is no file none.toml"),
    ],
)
def test_the_command_refuses_in_one_message(
    product_file: Path, run: Any, arguments: tuple, words: str
) -> None:
    status, _, error = run("export", "pm25.nc", *arguments)
    assert status == 1
    assert words in error
    assert len(error.splitlines()) == 1
    assert leftovers(product_file.parent) == ["pm25.nc"]
