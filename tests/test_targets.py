"""Where to estimate: grids of any kind, the cells of others, and what is cut out of them."""

import logging
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from product_cases import checked, quick_model

from aqreanalysis import Grid, open_product, synthetic_network
from aqreanalysis.conventions import missing_class
from aqreanalysis.foreign.grids import grid_like
from aqreanalysis.grid import CurvilinearCells, GridOnAxes
from aqreanalysis.maps.natural_earth import on_land
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork
from aqreanalysis.outlook import Outlook
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.product.targets import target_of

BEIJING = (116.0, 117.0, 39.5, 40.5)


@pytest.fixture(scope="module")
def observations() -> xr.Dataset:
    return synthetic_network(hours=24, seed=0).observations


def product(observations: xr.Dataset, **places: Any) -> xr.Dataset:
    """Return three hours by inverse distance at some places."""
    hours = slice("2020-11-01T00", "2020-11-01T02")
    return observations.aqnet.reanalyse(method="idw", time=hours, progress=False, **places)


def file_like(
    latitude: Any, longitude: Any, names: tuple[str, str] = ("lat", "lon"), **attrs: Any
) -> xr.Dataset:
    """Return a Dataset of a layer on two axes."""
    values = np.zeros((len(latitude), len(longitude)), np.float32)
    axes = dict(zip(names, (latitude, longitude), strict=True))
    return xr.Dataset({"pm2p5": (names, values, attrs)}, axes)


# Cells that are not square


def test_a_cell_has_a_height_and_a_width() -> None:
    grid = Grid((-180.0, 180.0, -90.0, 90.0), (0.5, 0.625))
    assert grid.shape == (360, 576)
    assert grid.y[1] - grid.y[0] == 0.5
    assert grid.x[1] - grid.x[0] == 0.625
    assert grid.cell_area_km2().sum() == pytest.approx(4 * np.pi * EARTH_RADIUS_KM**2)
    utm = Grid((400_000.0, 410_000.0, 4_300_000.0, 4_304_000.0), (1000.0, 2500.0), "EPSG:32650")
    assert utm.shape == (4, 4)
    assert (utm.cell_area_km2() == 2.5).all()
    around = Grid.around(StationNetwork([10.0, 11.0], [50.0, 50.5]), (0.1, 0.2))
    np.testing.assert_allclose(np.diff(around.x), 0.2)
    np.testing.assert_allclose(np.diff(around.y), 0.1)
    with pytest.raises(ValueError, match=r"resolution must be positive; found -0\.5 x 0\.625"):
        Grid((0.0, 10.0, 0.0, 10.0), (-0.5, 0.625))


@pytest.mark.parametrize("region", [(-180.0, 180.0, -90.0, 90.0), (0.0, 360.0, -90.0, 90.0)])
def test_the_globe_has_either_convention_of_longitude(
    observations: xr.Dataset, region: tuple[float, float, float, float]
) -> None:
    made = product(observations, grid=(5.0, 6.0), region=region)
    assert made.sizes["lon"] == 60
    assert float(made["lon"].min()) == region[0] + 3


def test_a_region_in_degrees_is_covered_by_a_projected_grid() -> None:
    grid = Grid.over(BEIJING, 5000.0, crs="EPSG:32650")
    longitude, latitude = grid.longitude_latitude()
    half = 2500 / 85_000  # a degree of longitude is 85 km wide here, and one of latitude wider
    assert longitude.min() < 116.0 + half
    assert longitude.max() > 117.0 - half
    assert latitude.min() < 39.5 + half
    assert latitude.max() > 40.5 - half
    assert (np.mod(grid.region, 5000) == 0).all()
    with pytest.raises(ValueError, match="region needs four numbers"):
        Grid.over(("a", 1, 2, 3), 5000.0, crs="EPSG:32650")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"east \(115\) must exceed west"):
        Grid.over((116.0, 115.0, 39.0, 40.0), 5000.0, crs="EPSG:32650")


def test_polar_grids_of_arctic_stations_are_written(tmp_path: Path) -> None:
    arctic = synthetic_network(hours=24, seed=0).observations
    arctic["latitude"] = arctic["latitude"] + 35
    made = product(arctic, grid=100_000.0, crs="EPSG:3413")
    path = made.aqnet.to_netcdf(tmp_path / "polar.nc", progress=False)
    assert checked(path, "cf:1.11") == []


# The cells of another file


def test_the_very_cells_of_another_file_are_taken() -> None:
    merra = grid_like(file_like(np.arange(-90, 90.1, 0.5), np.arange(-180, 180, 0.625)))
    assert merra.shape == (361, 576)
    assert merra.region == (-180.3125, 179.6875, -90.0, 90.0)
    assert merra.y_bounds[0].tolist() == [-90.0, -89.75]  # half a cell at the pole
    assert merra.cell_area_km2().sum() == pytest.approx(4 * np.pi * EARTH_RADIUS_KM**2)

    latitude = np.arange(71.95, 29.9, -0.1).astype(np.float32)
    longitude = (np.arange(-24.95, 45, 0.1) % 360).astype(np.float32)
    cams = grid_like(file_like(latitude, longitude, ("latitude", "longitude")))
    np.testing.assert_array_equal(cams.y, latitude)  # upside down, as in the file
    np.testing.assert_array_equal(cams.x % 360, longitude)
    assert (np.diff(cams.x) > 0).all()
    assert (cams.y_bounds[:, 0] > cams.y_bounds[:, 1]).all()

    gaussian = np.array([88.57, 86.72, 84.86, 83.0])
    assert grid_like(file_like(gaussian, [0.0, 1.0])).y.tolist() == gaussian.tolist()


def test_wrapped_longitudes_go_on_and_a_closing_column_is_left_out() -> None:
    wrapped = grid_like(file_like([0.0, 1.0], [178.0, 179.0, -180.0, -179.0]))
    assert wrapped.x.tolist() == [178.0, 179.0, 180.0, 181.0]
    assert wrapped.region[:2] == (177.5, 181.5)
    closing = grid_like(file_like([0.0, 1.0], np.arange(0.0, 361.0)))
    assert closing.shape == (2, 360)
    assert closing.region[:2] == (-0.5, 359.5)


def test_a_curvilinear_grid_is_estimated_and_written(
    observations: xr.Dataset, tmp_path: Path
) -> None:
    longitude, latitude = np.meshgrid(np.arange(116, 117.1, 0.25), np.arange(39.5, 40.6, 0.25))
    longitude, latitude = longitude + 0.1 * (latitude - 40), latitude - 0.1 * (longitude - 116)
    model = xr.Dataset(
        {"pm2p5": (("south_north", "west_east"), np.zeros(longitude.shape))},
        {
            "XLONG": (("south_north", "west_east"), longitude, {"units": "degrees_east"}),
            "XLAT": (("south_north", "west_east"), latitude, {"units": "degrees_north"}),
        },
    )
    assert isinstance(grid_like(model), CurvilinearCells)
    made = product(observations, like=model)
    np.testing.assert_array_equal(made["lon"], longitude)
    places = xr.Dataset(
        coords={
            "station": np.arange(longitude.size).astype(str),
            "longitude": ("station", longitude.ravel()),
            "latitude": ("station", latitude.ravel()),
        }
    )
    at = product(observations, at=places)
    np.testing.assert_allclose(
        made["pm25"].values.reshape(3, -1), at["pm25"].transpose("time", "station"), rtol=1e-5
    )
    path = made.aqnet.to_netcdf(tmp_path / "curvilinear.nc", progress=False)
    assert checked(path, "cf:1.11") == []
    with open_product(path) as opened:
        np.testing.assert_array_equal(opened["lat"], latitude)
        assert opened.aqnet.map(time="2020-11-01T00").texts


def test_the_cells_of_our_own_products_come_back(observations: xr.Dataset, tmp_path: Path) -> None:
    for places in ({"grid": 20_000.0, "crs": "EPSG:32650"}, {"grid": (0.25, 0.5)}):
        first = product(observations, **places)
        path = first.aqnet.to_netcdf(tmp_path / "first.nc", progress=False)
        second = product(observations, like=path)
        for name in ("lat", "lon", "lat_bnds", "lon_bnds", "x", "y", "x_bnds", "y_bnds"):
            if name in first.coords:
                np.testing.assert_array_equal(second[name], first[name])
        np.testing.assert_array_equal(second["pm25"], first["pm25"])
    difference = first["pm25"] - second["pm25"]
    assert difference.shape == first["pm25"].shape


@pytest.mark.parametrize(
    ("dataset", "match"),
    [
        (xr.Dataset({"pm25": (("a", "b"), np.zeros((2, 2)))}), "no layer has longitude and lat"),
        (file_like([0.0, 1.0, 2.0, 9.0], [0.0, 1.0]), "has a gap: 1, 2, 9"),
        (file_like([0.0, 2.0, 1.0], [0.0, 1.0]), "'lat' neither increases nor decreases.*2, 1"),
        (file_like([0.0, np.nan, 1.0], [0.0, 1.0]), "none be missing"),
        (file_like([10.0], [20.0]), "a single cell and does not say its size"),
        (
            file_like([85.0, 90.0, 95.0], [0.0, 1.0]),
            "latitudes lie within -90 and 90; 'lat' has 95",
        ),
        (
            xr.Dataset(
                {"pm25": ("station", [1.0, 2.0])},
                {"lat": ("station", [1.0, 2.0]), "lon": ("station", [1.0, 2.0])},
            ),
            "no layer has longitude|lies at points",
        ),
    ],
)
def test_a_file_without_a_grid_is_refused(dataset: xr.Dataset, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        grid_like(dataset)


def test_a_file_that_is_not_there_is_refused(observations: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"the grid: there is no file none\.nc"):
        product(observations, like="none.nc")


# What is cut out


def polygons(path: Path, *shapes: Any, crs: str | None = "EPSG:4326") -> Path:
    """Write shapes to a file."""
    gpd.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path)
    return path


def test_outside_of_polygons_all_is_missing(observations: xr.Dataset, tmp_path: Path) -> None:
    triangle = shapely.Polygon([(115.6, 39.0), (117.4, 39.0), (116.5, 40.4)])
    path = polygons(tmp_path / "triangle.gpkg", triangle)
    for crs, size in (("EPSG:4326", 0.2), ("EPSG:32650", 20_000.0)):
        made = product(observations, clip=path, grid=size, crs=crs)
        longitude, latitude = made["lon"].values, made["lat"].values
        if crs == "EPSG:4326":
            longitude, latitude = np.meshgrid(longitude, latitude)
            assert made["lon_bnds"].values[[0, -1], [0, 1]].tolist() == [115.6, 117.4]
        inside = shapely.contains_xy(triangle, longitude, latitude)
        assert 0 < inside.sum() < inside.size
        written = made.aqnet.to_netcdf(tmp_path / "clipped.nc", progress=False)
        with open_product(written) as opened:
            for name, layer in opened.data_vars.items():
                values = layer.values if layer.ndim == 3 else layer.values[None]
                missing = (
                    values == missing_class("int8") if name == "pm25_flag" else np.isnan(values)
                )
                assert missing[:, ~inside].all(), name
                assert not missing[:, inside].any(), name
            assert f"clipped to {path}: {inside.sum()} of {inside.size} cells" in opened.history
            uncut = product(observations, like=written)
        np.testing.assert_array_equal(
            made["pm25"].values[:, inside], uncut["pm25"].values[:, inside]
        )


def test_polygons_on_both_sides_of_the_date_line_hold_cells_of_any_convention() -> None:
    fiji = shapely.MultiPolygon(
        [shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -178, -16)]
    )
    network = StationNetwork([178.0, 179.0, 181.0], [-18.0, -17.0, -17.5])
    target = target_of(network, grid=0.5, region=(176.0, 184.0, -20.0, -15.0), clip=fiji)
    assert target.inside is not None
    assert target.inside[5].tolist() == [False] * 2 + [True] * 10 + [False] * 4


def test_self_crossing_polygons_are_mended_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bow = shapely.Polygon([(116, 39.5), (117, 40.5), (117, 39.5), (116, 40.5)])
    path = polygons(tmp_path / "bow.geojson", bow)
    network = StationNetwork([116.2, 116.8], [40.0, 40.1])
    with caplog.at_level(logging.WARNING):
        target = target_of(network, grid=0.1, region=BEIJING, clip=path)
    assert "1 of 1 polygons cross themselves and are mended" in caplog.text
    assert target.inside is not None
    assert target.inside.mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
def test_what_cannot_clip_is_refused(tmp_path: Path) -> None:
    network = StationNetwork([116.2, 116.8], [40.0, 40.1])
    box = shapely.box(*np.array(BEIJING)[[0, 2, 1, 3]])
    text = tmp_path / "list.gpkg"
    text.write_text("longitude,latitude\n")
    several = polygons(tmp_path / "several.gpkg", box)
    gpd.GeoDataFrame(geometry=[box], crs="EPSG:4326").to_file(several, layer="second")
    for clip, match in (
        (polygons(tmp_path / "far.gpkg", shapely.box(0, 0, 1, 1)), "no cell has its centre within"),
        (polygons(tmp_path / "bare.shp", box, crs=None), "they state no CRS"),
        (polygons(tmp_path / "points.gpkg", shapely.Point(116, 40)), "expected polygons; found P"),
        (text, "list.gpkg is none of its suffix, since it begins with b'longitude"),
        (several, "has the layers several, second; write the one that is meant"),
        (tmp_path / "city.kml", r"files ending in \.gpkg"),
        (tmp_path / "none.gpkg", "there is no file"),
        (gpd.GeoSeries([box]), "they state no CRS"),
    ):
        with pytest.raises(ValueError, match=match):
            target_of(network, grid=0.1, region=BEIJING, clip=clip)


def test_land_ends_at_the_coast_and_goes_around_the_globe() -> None:
    places = {
        "Beijing": (116.4, 39.9, True),
        "Bohai Sea": (119.5, 38.5, False),
        "Chukotka": (-175.0, 67.0, True),
        "Chukotka, counted eastwards": (185.0, 67.0, True),
        "Caspian Sea": (50.5, 42.0, False),
        "Lake Superior": (-87.5, 47.8, True),
        "Antarctica": (0.0, -80.0, True),
        "South Pole": (10.0, -90.0, True),
        "North Pole": (10.0, 90.0, False),
    }
    longitude, latitude, expected = zip(*places.values(), strict=True)
    assert on_land(np.array(longitude), np.array(latitude)).tolist() == list(expected)


def test_the_sea_is_missing(observations: xr.Dataset) -> None:
    made = product(observations, grid=0.5, land=True)
    flag = made["pm25_flag"].isel(time=0)
    assert int(flag.sel(lon=118.75, lat=38.75)) == missing_class("int8")
    assert int(flag.sel(lon=116.25, lat=39.75)) == 0
    with pytest.raises(ValueError, match="no cell has its centre within land of a grid"):
        target_of(StationNetwork([180.0, 181.0], [0.0, 1.0]), grid=0.5, land=True)


# Requests


def test_a_crs_that_is_partly_outside_of_its_area_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = StationNetwork([116.2, 121.8], [40.0, 40.1])
    with caplog.at_level(logging.WARNING):
        target_of(network, grid=20_000.0, crs="EPSG:32650")
    assert "cells lie outside of the area that EPSG:32650 is made for" in caplog.text


def test_a_pole_of_its_own_is_no_longitude_and_latitude() -> None:
    rotated = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18"
    with pytest.raises(ValueError, match=r"has a pole of its own.*like="):
        Grid((0.0, 1.0, 0.0, 1.0), 0.5, rotated)


def test_outlooks_have_the_same_places(observations: xr.Dataset) -> None:
    longer = synthetic_network(hours=240, seed=1, stations=12).observations
    sizes = OutlookConfiguration(history=72, leads=3)
    model = Outlook(
        "persistence", configuration=sizes, progress=False, between=quick_model(longer)
    ).fit(longer, "pm25")
    ahead = longer.aqnet.outlook(
        "3h", method=model, grid=50_000.0, crs="EPSG:32650", land=True, progress=False
    )
    assert ahead["pm25"].dims == ("time", "y", "x")
    assert (ahead["pm25_flag"] == missing_class("int8")).any()
    assert "clipped to land" in ahead.attrs["history"]


def test_cells_on_axes_know_their_edges() -> None:
    rows, columns = np.array([1.0, 0.0]), np.array([10.0, 11.0])
    edges = np.array([[1.5, 0.5], [0.5, -0.5]]), np.array([[9.5, 10.5], [10.5, 11.5]])
    grid = GridOnAxes.of((rows, columns), edges)
    assert grid.bounds()["lat"].tolist() == edges[0].tolist()
    upwards = Grid((9.5, 11.5, -0.5, 1.5), 1.0).cell_area_km2()
    np.testing.assert_allclose(grid.cell_area_km2(), upwards[::-1])
