"""Means over zones: which share of a cell counts, people, errors from draws, bad input."""

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from typer.testing import CliRunner

import aqreanalysis as aqr
from aqreanalysis.cli.application import app
from aqreanalysis.datasets.sensors import Sensors
from aqreanalysis.derived import aggregate, zone_means
from aqreanalysis.derived.zones.overlaps import Cells, areas
from aqreanalysis.exports import export
from aqreanalysis.foreign.polygons import read_polygons
from aqreanalysis.grid import Grid, GridOnAxes
from aqreanalysis.network import EARTH_RADIUS_KM
from aqreanalysis.product import ProductError, build_product


def table(*shapes, names=None, crs="EPSG:4326"):
    """Return zones of shapes, called A, B, ... by default."""
    names = names or [chr(ord("A") + number) for number in range(len(shapes))]
    return geopandas.GeoDataFrame({"code": names}, geometry=list(shapes), crs=crs)


def star(corners=41, x=0.0, y=0.0, size=1.0):
    """Return a polygon with many corners and a hole, around a place."""
    angle = np.linspace(0, 2 * np.pi, 8 * corners, endpoint=False)
    radius = size * (1 + 0.3 * np.sin(corners * angle))
    outer = shapely.Polygon(
        np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])
    )
    return outer.difference(shapely.Point(x + 0.2 * size, y).buffer(0.3 * size))


def field(grid, values, hours=2, **layers):
    """Return a product on a grid from values (time, y, x), or of one map for all hours."""
    values = np.broadcast_to(np.asarray(values, np.float32), (hours, *grid.shape))
    time = pd.date_range("2020-01-01", periods=hours, freq="h")
    obs = aqr.synthetic_network(hours=hours, seed=0).observations.assign_coords(
        time=("time", time, {"step_hours": 1.0, "time_label": "start"})
    )
    dims = ("time", *grid.dims)
    made = xr.Dataset(
        {
            "pm25": (dims, values, {"statistic": "mean"}),
            "pm25_uncertainty": (dims, np.ones_like(values)),
        },
        coords=grid.coordinates() | {"time": time},
    )
    return build_product(
        made.assign(layers),
        variable="pm25",
        grid=grid,
        observations=obs,
        method="test",
        settings={},
    )


GRID = Grid((10.0, 13.0, 49.0, 51.0), 0.25)


def columns_of(grid):
    """Return a field of which each column has a value of its own."""
    return np.broadcast_to(np.arange(grid.shape[1], dtype=float), grid.shape)


@pytest.mark.parametrize("in_degrees", [True, False])
def test_shares_of_cells_are_those_of_areas(in_degrees):
    """Cell by cell, what intersection gives; and together the area of the polygon."""
    shape = star(x=11.5, y=50.0, size=0.9)
    grid = Grid((10.0, 13.0, 48.5, 51.5), 0.1)
    cells = Cells.of(grid)
    if not in_degrees:
        grid = Grid((0.0, 3e5, 0.0, 3e5), 1e4, "EPSG:32633")
        cells = Cells.of(grid)
        shape = shapely.transform(shape, lambda xy: (xy - [10.0, 48.5]) * 1e5)
    part = cells.overlaps(shape)
    x, y = np.meshgrid(grid.x_bounds[:, 0], grid.y_bounds[:, 0])
    side_x, side_y = grid.width, grid.height
    boxes = shapely.box(x, y, x + side_x, y + side_y)
    expected = np.zeros(grid.shape)
    expected[part.row, part.column] = part.share
    pieces, whole = (
        areas(each.ravel(), in_degrees=in_degrees).reshape(grid.shape)
        for each in (shapely.intersection(shape, boxes), boxes)
    )
    np.testing.assert_allclose(expected, pieces / whole, atol=1e-9)
    assert np.sum(whole * expected) == pytest.approx(
        areas(np.array([shape]), in_degrees=in_degrees)[0], rel=1e-9
    )


def test_shares_of_cells_are_those_of_a_fine_raster():
    rasterio = pytest.importorskip("rasterio.features")
    from rasterio import Affine

    shape, fine = star(x=11.5, y=50.0, size=0.9), 50
    grid = Grid((10.0, 13.0, 48.5, 51.5), 0.1)
    part = Cells.of(grid).overlaps(shape)
    size = [side * fine for side in grid.shape]
    step = 0.1 / fine
    drawn = rasterio.rasterize([shape], size, transform=Affine(step, 0, 10.0, 0, step, 48.5))
    counted = drawn.reshape(grid.shape[0], fine, grid.shape[1], fine).mean(axis=(1, 3))
    exact = np.zeros(grid.shape)
    exact[part.row, part.column] = part.share
    assert abs(counted - exact).max() < 0.02
    assert counted.sum() == pytest.approx(exact.sum(), rel=1e-3)


def test_areas_are_those_of_the_sphere():
    box = shapely.box(10.1, 49.05, 12.3, 50.95)
    sphere = np.radians(2.2) * (np.sin(np.radians(50.95)) - np.sin(np.radians(49.05)))
    made = zone_means(field(GRID, 1.0), table(box))
    assert made.area_km2.item() == pytest.approx(EARTH_RADIUS_KM**2 * sphere)
    assert made.covered.item() == 1.0
    half = zone_means(field(GRID, 1.0), table(shapely.box(9, 49, 11, 50)), coverage=0.4)
    assert half.covered.item() == pytest.approx(0.5)
    assert half.area_km2.item() == pytest.approx(
        EARTH_RADIUS_KM**2 * np.radians(2) * (np.sin(np.radians(50)) - np.sin(np.radians(49)))
    )


def test_a_cell_counts_with_its_share():
    """Of columns 0 and 1, a quarter and the whole: (0 * .25 + 1 * 1) / 1.25."""
    box = shapely.box(10.1875, 49.0, 10.5, 49.25)
    made = zone_means(field(GRID, columns_of(GRID)), table(box))
    np.testing.assert_allclose(made.pm25, [[0.8, 0.8]], rtol=1e-6)


def test_a_constant_field_stays_constant():
    made = zone_means(field(GRID, 7.0), table(star(x=11.5, y=50, size=0.7)))
    np.testing.assert_allclose(made.pm25, 7.0, rtol=1e-6)


def test_zones_that_tile_the_grid_have_its_mean():
    values = np.random.default_rng(0).uniform(0, 90, GRID.shape)
    ragged = shapely.LineString([(10, 49.7), (10.7, 50.43), (11.33, 49.21), (13, 50.3)])
    parts = shapely.get_parts(shapely.ops.split(shapely.box(10, 49, 13, 51), ragged))
    made = zone_means(field(GRID, values), table(*parts))
    together = np.average(made.pm25[:, 0], weights=made.area_km2)
    assert together == pytest.approx(np.average(values, weights=GRID.cell_area_km2()), rel=1e-6)
    assert made.area_km2.sum() == pytest.approx(GRID.cell_area_km2().sum(), rel=1e-9)


def test_zones_lie_wherever_longitudes_begin():
    """The same zone across the date line, of grids that begin elsewhere and go north or south."""
    across = table(shapely.box(179.3, -1.5, 181.2, 0.8))
    wrapped = table(
        shapely.MultiPolygon(
            [shapely.box(179.3, -1.5, 180, 0.8), shapely.box(-180, -1.5, -178.8, 0.8)]
        )
    )
    east = Grid((170.0, 190.0, -10.0, 10.0), 0.5)
    values = np.random.default_rng(1).uniform(0, 90, east.shape)
    expected = zone_means(field(east, values), across).pm25.values
    west = Grid((-190.0, -170.0, -10.0, 10.0), 0.5)
    for zones in (across, wrapped):
        for grid in (east, west):
            made = zone_means(field(grid, values), zones).pm25
            np.testing.assert_allclose(made, expected, rtol=1e-6)
    falling = GridOnAxes.of(
        (east.y[::-1], east.x), (east.y_bounds[::-1, ::-1], east.x_bounds), "EPSG:4326"
    )
    made = zone_means(field(falling, values[::-1]), across).pm25
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_a_column_that_closes_the_globe_counts_once():
    globe = Grid((0.0, 360.0, -90.0, 90.0), 10.0)
    values = np.random.default_rng(2).uniform(0, 90, globe.shape)
    product = field(globe, values)
    closed = xr.concat([product, product.isel(lon=[0])], "lon", data_vars="minimal")
    closed = closed.assign_coords(lon=np.append(globe.x, globe.x[0] + 360)).drop_vars("lon_bnds")
    zone = table(shapely.box(-30, -20, 40, 35))
    expected = zone_means(product, zone).pm25
    np.testing.assert_allclose(zone_means(closed, zone).pm25, expected, rtol=1e-6)


def test_zones_in_a_projection_and_in_degrees_are_the_same():
    """A field that changes evenly to the east, on both kinds of grid."""
    shape = star(x=14.5, y=50.0, size=0.5)
    utm = Grid((400_000, 600_000, 5_440_000, 5_640_000), 2000.0, "EPSG:32633")
    east, _ = utm.longitude_latitude()
    degrees = Grid((13.5, 15.5, 49.0, 51.0), 0.02)
    utm_zone = zone_means(field(utm, 50 * (east - 13), hours=1), table(shape))
    others = np.broadcast_to(50 * (degrees.x - 13), degrees.shape)
    other = zone_means(field(degrees, others, hours=1), table(shape))
    assert utm_zone.pm25.item() == pytest.approx(other.pm25.item(), rel=3e-5)
    assert utm_zone.area_km2.item() == pytest.approx(other.area_km2.item(), rel=4e-3)  # ellipsoid
    moved = table(shape).segmentize(0.01).to_crs("EPSG:3035")
    again = zone_means(field(degrees, others, hours=1), moved)
    assert again.pm25.item() == pytest.approx(other.pm25.item(), rel=1e-5)


@pytest.fixture(scope="module")
def drawn():
    """Return three days of a field with draws of the air, with an estimate at every hour."""
    obs = aqr.synthetic_network(hours=72, seed=0, sensors=Sensors(missing=0.0)).observations
    made = obs.aqnet.reanalyse(
        "pm25", grid=0.25, method="kriging", draws=25, draws_of="air", quality="ignore"
    )
    return made.compute()


DISTRICTS = table(
    shapely.box(116.1, 39.1, 116.9, 40.4), star(x=116.6, y=39.8, size=0.3), names=["box", "star"]
)


def draws_of_zone(product, shape):
    """Return the mean of each draw over a zone, (draw, hour), cell by cell."""
    grid = Grid((0, 1, 0, 1), 1) if product is None else aqr.Grid
    bounds = product.lat_bnds.values, product.lon_bnds.values
    grid = GridOnAxes.of((product.lat.values, product.lon.values), bounds)
    part = Cells.of(grid).overlaps(shape)
    weights = np.zeros(grid.shape)
    weights[part.row, part.column] = part.share * grid.cell_area_km2()[part.row, part.column]
    return np.einsum("dtyx,yx->dt", product.pm25_draws.values, weights) / weights.sum()


def test_hours_have_the_mean_spread_and_quantiles_of_the_draws(drawn):
    made = zone_means(drawn, DISTRICTS).sel(zone="star")
    each = draws_of_zone(drawn, DISTRICTS.geometry[1])
    np.testing.assert_allclose(made.pm25, each.mean(0), rtol=1e-5)
    np.testing.assert_allclose(made.pm25_uncertainty, each.std(0, ddof=1), rtol=1e-4)
    low, middle, high = np.quantile(each, [0.05, 0.5, 0.95], axis=0, method="weibull")
    np.testing.assert_allclose(made.pm25_q05, low, rtol=1e-4)
    np.testing.assert_allclose(made.pm25_q50, middle, rtol=1e-4)
    np.testing.assert_allclose(made.pm25_q95, high, rtol=1e-4)
    assert made.pm25.attrs["comment"] == "mean over 25 draws of air"
    assert made.pm25.attrs["cell_methods"] == "area: mean time: mean"
    assert "draw" not in made.variables


def test_errors_of_places_average_out_in_part(drawn):
    """A district errs less than its cells, and much more than if these were independent."""
    made = zone_means(drawn, DISTRICTS).sel(zone="box")
    cells = drawn.pm25_draws.sel(lat=slice(39.1, 40.4), lon=slice(116.1, 116.9)).std("draw")
    error = float(made.pm25_uncertainty.mean())
    count = cells.sizes["lat"] * cells.sizes["lon"]
    assert 1.5 * float(cells.mean()) / np.sqrt(count) < error < 0.8 * float(cells.mean())


@pytest.mark.parametrize(
    ("options", "layer", "of_days"),
    [
        ({"period": "day"}, "pm25", lambda days: days.mean(-1)),
        ({"period": "day", "statistic": "max"}, "pm25", lambda days: days.max(-1)),
        (
            {"period": "day", "statistic": "hours_above", "limit": 60.0},
            "pm25_hours_above_60",
            lambda days: (days > 60).sum(-1),
        ),
    ],
)
def test_periods_are_those_of_the_means_of_each_draw(options, layer, of_days, drawn):
    made = zone_means(drawn, DISTRICTS, **options).sel(zone="box")
    each = of_days(draws_of_zone(drawn, DISTRICTS.geometry[0]).reshape(25, 3, 24))
    np.testing.assert_allclose(made[layer], each.mean(0), rtol=1e-5)
    np.testing.assert_allclose(made[f"{layer}_uncertainty"], each.std(0, ddof=1), rtol=1e-4)
    assert made[layer].attrs["long_name"].endswith("of the zone")


def test_days_above_a_limit_are_counted_by_zone(drawn):
    options = {"period": "week", "statistic": "days_above", "limit": 60.0, "capture": 0.1}
    made = zone_means(drawn, DISTRICTS, **options)
    daily = draws_of_zone(drawn, DISTRICTS.geometry[0]).reshape(25, 3, 24).mean(-1)[:, 1:]
    counted = (daily > 60).sum(-1)  # 1 November 2020 is a Sunday, the end of a week
    layer = made.pm25_days_above_60.sel(zone="box")
    assert layer.values[1] == pytest.approx(counted.mean())
    assert layer.attrs["units"] == "d"


@pytest.mark.parametrize("options", [{}, {"period": "day"}])
def test_zones_are_lazy_and_the_same_for_any_blocks(options, drawn):
    chunked = drawn.chunk(time=29, lat=3, lon=8, draw=9)
    blocks = zone_means(chunked, DISTRICTS, **options)
    assert all(layer.chunks for layer in blocks.data_vars.values())
    blocks = blocks.compute()
    whole = zone_means(drawn, DISTRICTS, **options)
    for name in whole.data_vars:
        np.testing.assert_allclose(blocks[name], whole[name], rtol=1e-5, err_msg=str(name))


def test_without_draws_there_are_values_and_a_word_why_no_error(drawn, caplog):
    bare = drawn.drop_vars("pm25_draws")
    made = zone_means(bare, DISTRICTS)
    assert list(made.data_vars) == ["pm25", "pm25_flag"]
    assert "have no error: how the errors of places go together is in draws" in caplog.text
    assert "draws=50" in made.pm25.attrs["comment"]
    few = zone_means(drawn, DISTRICTS)
    apart = abs(few.pm25 - made.pm25) / few.pm25_uncertainty
    assert float(apart.mean()) < 4 / np.sqrt(25)  # the mean of the distributions, not of medians
    daily = zone_means(bare, DISTRICTS, period="day")
    expected = made.pm25.values.reshape(2, 3, 24).mean(-1)
    np.testing.assert_allclose(daily.pm25, expected, rtol=1e-5)
    assert "pm25_uncertainty" not in daily


def test_missing_cells_count_nothing_and_zones_need_their_share():
    """Columns 0 to 3, of which 3 is missing at the first hour, and 1 to 3 at the second."""
    values = np.stack([columns_of(GRID)] * 2)
    values[0, :, 3] = np.nan
    values[1, :, 1:4] = np.nan
    zone = table(shapely.box(10.0, 49.0, 11.0, 49.5))
    made = zone_means(field(GRID, values), zone)
    assert made.pm25[0].values.tolist()[0] == 1.0
    assert np.isnan(made.pm25[0].values[1])
    assert zone_means(field(GRID, values), zone, coverage=0.25).pm25[0].values.tolist() == [1, 0]


def test_the_flag_is_that_of_most_of_the_zone():
    flags = np.zeros((2, *GRID.shape), np.int8)
    flags[0, :, 1:3] = 1
    layer = {"pm25_flag": (("time", "lat", "lon"), flags)}
    values = np.stack([columns_of(GRID)] * 2)
    values[1] = np.nan
    made = zone_means(field(GRID, values, **layer), table(shapely.box(10.1, 49.0, 10.6, 49.5)))
    assert made.pm25_flag.values.tolist() == [[1, 3]]


def people(grid, counts, **attributes):
    """Return people on a grid as a DataArray."""
    layer = xr.DataArray(counts, grid.coordinates(), grid.dims, name="population", attrs=attributes)
    if grid.is_geographic:
        return layer
    import pyproj

    layer.attrs["grid_mapping"] = "crs"
    layer["x"].attrs["standard_name"] = "projection_x_coordinate"
    layer["y"].attrs["standard_name"] = "projection_y_coordinate"
    return layer.assign_coords(crs=((), 0, pyproj.CRS(grid.crs).to_cf())).drop_vars(["lat", "lon"])


FINE = Grid((9.5, 13.5, 48.5, 51.5), 0.05)


def counts_on(grid):
    """Return people who live in the west."""
    east, north = grid.longitude_latitude()
    return np.exp(-(((east - 10.5) / 0.4) ** 2) - ((north - 50) / 0.5) ** 2) * 1e4


TILES = table(shapely.box(10, 49, 10.613, 51), shapely.box(10.613, 49, 13, 51))


def test_people_are_weighed_and_none_is_lost():
    counts = counts_on(FINE)
    product = field(GRID, columns_of(GRID))
    made = zone_means(product, TILES, weights=people(FINE, counts))
    inside = counts[10:50, 10:70]
    assert made.population.sum().item() == pytest.approx(inside.sum(), rel=1e-9)
    rows = FINE.x[10:70] < 10.6
    share = 0.013 / 0.05  # of the column across the border, 10.6 to 10.65
    west = inside[:, rows].sum() + share * inside[:, rows.sum()].sum()
    assert made.population.values[0] == pytest.approx(west, rel=1e-9)
    column = np.minimum((FINE.x - 10) / 0.25, 11).astype(int)[10:70]
    by_column = np.array([inside[:, column == n].sum() for n in range(12)])
    everyone = np.average(made.pm25[:, 0], weights=made.population)
    assert everyone == pytest.approx(np.average(np.arange(12), weights=by_column), rel=1e-6)
    area = zone_means(product, TILES)
    assert made.pm25.values[1, 0] < area.pm25.values[1, 0] - 2  # people live in the west
    assert made.covered.values == pytest.approx(1.0)
    assert "weighted by people" in made.pm25.attrs["cell_methods"]


@pytest.mark.parametrize("size", [2_000.0, 10_000.0, 60_000.0])
def test_people_of_another_crs_are_conserved(size):
    """On cells from finer to coarser than those of the product."""
    grid = Grid.over((9.0, 14.0, 48.0, 52.0), size, crs="EPSG:3035")
    counts = counts_on(grid)
    made = zone_means(field(GRID, columns_of(GRID)), TILES, weights=people(grid, counts))
    joined = table(shapely.box(10, 49, 13, 51))
    one = zone_means(field(GRID, columns_of(GRID)), joined, weights=people(grid, counts))
    assert made.population.sum().item() == pytest.approx(one.population.item(), rel=1e-7)
    assert made.covered.values == pytest.approx(1.0, abs=0.02)
    together = np.average(made.pm25[:, 0], weights=made.population)
    assert together == pytest.approx(one.pm25.values[0, 0], rel=0.01)


def test_a_density_becomes_people_by_the_area_of_cells():
    counts = counts_on(FINE)
    density = people(FINE, counts / FINE.cell_area_km2(), units="km-2")
    product = field(GRID, columns_of(GRID))
    by_density = zone_means(product, TILES, weights=density)
    by_counts = zone_means(product, TILES, weights=people(FINE, counts))
    np.testing.assert_allclose(by_density.population, by_counts.population)
    np.testing.assert_allclose(by_density.pm25, by_counts.pm25, rtol=1e-6)


def test_people_are_read_from_files(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    counts = counts_on(FINE)
    counts[:, -5:] = np.nan  # the sea
    product = field(GRID, columns_of(GRID))
    expected = zone_means(product, TILES, weights=people(FINE, counts))
    people(FINE, counts).to_netcdf(tmp_path / "people.nc")
    transform = rasterio.Affine(0.05, 0, 9.5, 0, -0.05, 51.5)
    with rasterio.open(
        tmp_path / "people.tif",
        "w",
        driver="GTiff",
        count=1,
        dtype="float64",
        nodata=-99.0,
        crs="EPSG:4326",
        transform=transform,
        width=counts.shape[1],
        height=counts.shape[0],
    ) as raster:
        raster.write(np.nan_to_num(counts[::-1], nan=-99.0), 1)
    for name in ("people.nc", "people.tif"):
        made = zone_means(product, TILES, weights=tmp_path / name)
        np.testing.assert_allclose(made.population, expected.population, rtol=1e-6)
        np.testing.assert_allclose(made.pm25, expected.pm25, rtol=1e-6)
        assert name in made.population.attrs["long_name"]
    far = field(Grid((40.0, 43.0, 49.0, 51.0), 0.25), 1.0)
    zone = table(shapely.box(40, 49, 41, 50))
    with pytest.raises(ValueError, match=r"the population: people\.tif reaches over .* nothing of"):
        zone_means(far, zone, weights=tmp_path / "people.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ValueError, match=r"text\.tif is no GeoTIFF"):
        zone_means(product, TILES, weights=tmp_path / "text.tif")


def test_the_field_that_comes_with_the_package_is_a_proxy(drawn, caplog):
    caplog.set_level("INFO")
    made = zone_means(drawn, DISTRICTS, weights="population")
    assert "which smooths towns: a proxy" in caplog.text
    # Beijing has 22 million people, most of them within these 0.8 x 1.3 degrees.
    assert 1e7 < made.population.sel(zone="box").item() < 3e7


def test_zones_without_people_are_missing(caplog):
    counts = np.where(FINE.longitude_latitude()[0] < 10.6, 5.0, 0.0)
    made = zone_means(field(GRID, 3.0), TILES, weights=people(FINE, counts))
    assert made.pm25[0].notnull().all()
    assert made.pm25[1].isnull().all()
    assert "no people live in B, of which there is no mean" in caplog.text


def bowtie():
    """Return a polygon that crosses itself."""
    return shapely.Polygon([(10.5, 49.5), (11.5, 50.5), (11.5, 49.5), (10.5, 50.5)])


def test_polygons_that_cross_themselves_are_mended(caplog):
    made = zone_means(field(GRID, columns_of(GRID)), table(bowtie()))
    assert "1 of 1 polygons cross themselves and are mended" in caplog.text
    assert made.pm25.values[0, 0] == pytest.approx(3.5, rel=1e-3)  # the middle, at 11 degrees


def test_zones_that_overlap_count_twice_and_the_log_says_so(caplog):
    zones = table(shapely.box(10, 49, 11, 50), shapely.box(10.5, 49.5, 12, 51), star(x=12.5, y=50))
    zones.loc[2, "geometry"] = shapely.box(12, 49, 13, 51)
    zone_means(field(GRID, 1.0), zones)
    assert "A, B overlap: what lies in several zones counts in each of them" in caplog.text
    caplog.clear()
    zone_means(field(GRID, 1.0), TILES)
    assert "overlap" not in caplog.text


def test_zones_beyond_the_grid_are_named(caplog):
    made = zone_means(field(GRID, 1.0), table(shapely.box(9, 49, 10.2, 50), GRID_BOX))
    assert "A reach beyond the grid" in caplog.text
    assert made.pm25.isnull().values[:, 0].tolist() == [True, False]


GRID_BOX = shapely.box(10, 49, 13, 51)
PART = {"weights": people(FINE, counts_on(FINE))}


@pytest.mark.parametrize(
    ("zones", "options", "message"),
    [
        (
            table(GRID_BOX, shapely.box(0, 0, 1, 1)),
            {},
            r"the zones: 1 of 2 zones lie outside of the grid, such as B\. It reaches from 10 to "
            r"13 and from 49 to 51 .*zones\.cx\[10:13, 49:51\] or ogr2ogr -spat 10 49 13 51",
        ),
        (table(GRID_BOX, crs=None), {}, r"state no CRS, .* zones\.set_crs\('EPSG:4326'\)"),
        (
            table(GRID_BOX, GRID_BOX, names=["x", "x"]),
            {"name": "code"},
            r"'code' has x more than once: .* zones\.dissolve\('code'\)",
        ),
        (
            table(GRID_BOX, GRID_BOX, names=["x", None]),
            {"name": "code"},
            r"1 of them have no 'code'",
        ),
        (table(GRID_BOX), {"name": "id"}, r"they have no column 'id' of names; they have code"),
        (table(shapely.Point(11, 50)), {}, r"expected polygons; found Point"),
        ("there_is_none.gpkg", {}, r"there is no file there_is_none\.gpkg"),
        (table(GRID_BOX), {"coverage": 0}, r"coverage is a share of the zone, above 0 .*found 0"),
        (table(GRID_BOX), {"variable": "no2"}, r"the product has no no2; it has pm25"),
        (
            table(GRID_BOX),
            {"statistic": "max"},
            r"statistic='max' is said of periods: name one, as",
        ),
        (table(GRID_BOX), {"limit": 35.0}, r"limit=35\.0 is said of periods"),
        (table(GRID_BOX), {"capture": 2}, r"capture=2 is said of periods"),
        (table(GRID_BOX), {"time_zone": "Prague"}, r"time_zone='Prague' is said of periods"),
        (table(GRID_BOX), {"period": "hour"}, r"period must be one of day, week"),
        (table(GRID_BOX), {"period": "day", "capture": 0}, r"capture is a share of the hours"),
        (table(GRID_BOX), {"period": "day", "capture": 1.1}, r"at most 1; found 1\.1"),
        (table(GRID_BOX), {"period": "day", "time_zone": "Prague"}, r"no time zone 'Prague'"),
        (table(GRID_BOX), {"period": "day"}, r"no day has 75% of its hours"),
        (
            table(GRID_BOX),
            {"weights": people(FINE, counts_on(FINE) - 5)},
            r"the population: population is negative in \d+ cells, such as -\d.* population\.where",
        ),
        (
            table(GRID_BOX),
            {"weights": people(FINE, np.zeros(FINE.shape))},
            r"there are no people in any zone",
        ),
        (
            table(GRID_BOX),
            {"weights": people(Grid((60.0, 61.0, 0.0, 1.0), 0.1), np.ones((10, 10)))},
            r"it has nothing of the zones",
        ),
        (
            table(GRID_BOX),
            {"weights": PART["weights"].expand_dims(year=[2000, 2020])},
            r"population has the dimension year \(2\): select one, .*isel\(year=0\)",
        ),
        (
            table(GRID_BOX),
            {"weights": xr.Dataset({n: PART["weights"] for n in ("men", "women")})},
            r"expected one layer of counts of people; found men, women",
        ),
        (table(GRID_BOX), {"weights": 5}, r"expected 'population', a DataArray, .* found int"),
        (table(GRID_BOX), {"weights": "people.nc"}, r"there is no file people\.nc"),
    ],
)
def test_what_cannot_be_is_refused(zones, options, message):
    with pytest.raises(ValueError, match=message):
        zone_means(field(GRID, 1.0), zones, **options)


def test_products_that_have_no_cells_are_refused(drawn):
    obs = aqr.synthetic_network(hours=24, seed=0).observations
    with pytest.raises(ValueError, match=r"this product is of stations: reanalyse on a grid"):
        zone_means(obs, DISTRICTS)
    with pytest.raises(ValueError, match=r"this product is of zones"):
        zone_means(zone_means(drawn, DISTRICTS), DISTRICTS)
    with pytest.raises(ValueError, match=r"no dimension 'time': select hours as product\.isel\(ti"):
        zone_means(drawn.isel(time=5), DISTRICTS)
    other = drawn.assign(pm25=drawn.pm25.assign_attrs(units="mg m-3"))
    options = {"period": "day", "statistic": "hours_above", "limit": 35.0}
    with pytest.raises(ValueError, match=r"pm25 must be in 'ug m-3'; its units are 'mg m-3'"):
        zone_means(other, DISTRICTS, **options)


def test_names_are_the_first_column_that_tells_zones_apart():
    zones = TILES.assign(country="CZ", code=["1", "2"], number=[7, 8])
    made = zone_means(field(GRID, 1.0), zones)
    assert made.zone.values.tolist() == ["1", "2"]
    assert made.country.values.tolist() == ["CZ", "CZ"]
    assert zone_means(field(GRID, 1.0), zones, name="number").zone.values.tolist() == ["7", "8"]
    unnamed = zone_means(field(GRID, 1.0), TILES.geometry)
    assert unnamed.zone.values.tolist() == ["0", "1"]


def test_columns_of_the_name_of_a_coordinate_get_another(drawn):
    zones = DISTRICTS.assign(time=["a", "b"], area_km2=[1.0, np.nan], **{"nom é": ["x", None]})
    made = zone_means(drawn, zones)
    assert made.zone_time.values.tolist() == ["a", "b"]
    assert made["nom_é"].values.tolist() == ["x", ""]
    assert np.isnan(made.zone_area_km2.values[1])


def test_a_file_of_zones_is_cf_and_has_its_polygons(drawn, tmp_path):
    made = zone_means(drawn, DISTRICTS, period="day", weights="population")
    path = made.aqnet.to_netcdf(tmp_path / "zones.nc", progress=False)
    with aqr.open_product(path) as opened:
        assert opened.pm25.dims == ("zone", "time")
        np.testing.assert_allclose(opened.pm25, made.pm25, rtol=5e-3)
        assert opened.zone.values.tolist() == ["box", "star"]
        for written, shape in zip(opened.geometry.values, DISTRICTS.geometry, strict=True):
            assert shapely.equals(written, shape)
        again = opened.aqnet.to_netcdf(tmp_path / "again.nc", progress=False)
        weekly = aggregate(opened, "week", capture=0.1)
        assert weekly.pm25.dims == ("zone", "time")
    with aqr.open_product(again) as opened:
        assert shapely.equals(opened.geometry.values[1], DISTRICTS.geometry[1])
    with xr.open_dataset(path) as plain:
        assert plain.attrs["featureType"] == "timeSeries"
        assert plain.pm25.attrs["geometry"] == "geometry_container"
        assert plain.geometry_container.attrs["geometry_type"] == "polygon"


def test_zones_are_written_as_zarr(drawn, tmp_path):
    pytest.importorskip("zarr")
    made = zone_means(drawn, DISTRICTS, period="day")
    made.aqnet.to_zarr(tmp_path / "zones.zarr")
    with aqr.open_product(tmp_path / "zones.zarr") as opened:
        assert shapely.equals(opened.geometry.values[1], DISTRICTS.geometry[1])


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_tables_have_a_polygon_for_each_zone_and_period(suffix, drawn, tmp_path):
    made = zone_means(drawn, DISTRICTS, period="day")
    path = tmp_path / f"zones{suffix}"
    made.aqnet.to_geopackage(path) if suffix == ".gpkg" else made.aqnet.to_geoparquet(path)
    read = geopandas.read_file(path) if suffix == ".gpkg" else geopandas.read_parquet(path)
    assert len(read) == 6
    assert set(read.geom_type) == {"MultiPolygon"}
    second = read[(read.zone == "star")].iloc[1]
    assert second.pm25 == pytest.approx(made.pm25.values[1, 1])
    assert second.pm25_flag_meaning == "supported"
    assert str(second.time_begin)[:10] == "2020-11-02"
    assert shapely.equals(second.geometry, DISTRICTS.geometry[1])


def test_a_table_without_polygons(drawn, tmp_path):
    made = zone_means(drawn, DISTRICTS)
    read = pd.read_csv(made.aqnet.to_table(tmp_path / "zones.csv"))
    assert len(read) == 2 * 72
    assert read.columns.tolist()[:3] == ["zone", "longitude", "latitude"]
    row = read[(read.zone == "box")].iloc[5]
    assert row.pm25_q95 == pytest.approx(made.pm25_q95.values[0, 5], rel=1e-6)
    with pytest.raises(ProductError, match="a table of values is of zones"):
        export(drawn, tmp_path / "grid.csv")


def test_the_command_writes_zones(drawn, tmp_path):
    source = drawn.aqnet.to_netcdf(tmp_path / "p.nc", progress=False)
    DISTRICTS.to_file(tmp_path / "districts.gpkg")
    arguments = ["zones", str(source), str(tmp_path / "districts.gpkg"), "--name", "code"]
    for name, further in (
        ("hours.csv", []),
        ("days.gpkg", ["--period", "day", "--time-zone", "Asia/Shanghai", "--capture", "0.2"]),
        (
            "above.parquet",
            [
                "--period",
                "day",
                "--statistic",
                "hours_above",
                "--limit",
                "60",
                "--weights",
                "population",
            ],
        ),
        ("days.nc", ["--period", "day"]),
    ):
        result = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / name), *further])
        assert result.exit_code == 0, result.output
        assert "2 zone" in result.output
    above = geopandas.read_parquet(tmp_path / "above.parquet")
    assert "pm25_hours_above_60_uncertainty" in above
    assert "population" in above
    wrong = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "zones.tif")])
    assert "zones are written as .gpkg, .parquet, .csv, .nc or .zarr" in str(wrong.exception)


def test_rows_without_a_polygon_are_left_out(caplog):
    zones = table(GRID_BOX, shapely.Polygon(), None)
    assert len(read_polygons(zones)) == 1
    assert "2 rows have no polygon and are left out" in caplog.text
