"""Regular grids: edges, centres and areas; the poles, the date line and projected coordinates."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aqreanalysis.grid import Grid
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork, great_circle_km

GLOBE_KM2 = 4 * np.pi * EARTH_RADIUS_KM**2
universal = settings(deadline=None, max_examples=60)


# --- edges and centres


def test_centres_lie_half_a_cell_inside_the_edges():
    grid = Grid((116.0, 117.0, 39.0, 39.5), 0.25)

    assert grid.x.tolist() == [116.125, 116.375, 116.625, 116.875]
    assert grid.y.tolist() == [39.125, 39.375]
    assert grid.x_bounds[[0, -1]].tolist() == [[116.0, 116.25], [116.75, 117.0]]
    assert grid.y_bounds.tolist() == [[39.0, 39.25], [39.25, 39.5]]
    assert grid.shape == (2, 4)
    assert grid.dims == ("lat", "lon")


def test_numbers_in_the_file_have_no_rounding_dust():
    grid = Grid((-125.0, -66.0, 24.0, 50.0), 0.1)

    assert grid.x.size == 590
    assert [repr(float(x)) for x in grid.x[[0, 1, 137, -1]]] == [
        "-124.95",
        "-124.85",
        "-111.25",
        "-66.05",
    ]
    assert [repr(float(y)) for y in grid.y_bounds[:3, 1]] == ["24.1", "24.2", "24.3"]


@universal
@given(
    west=st.floats(-180, 170),
    south=st.floats(-80, 60),
    resolution=st.sampled_from([0.02, 0.1, 0.25, 1 / 3, 0.7, 1.0]),
    cells=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    past=st.floats(0.0, 0.99),
)
def test_whole_cells_cover_the_region_from_west_and_south(west, south, resolution, cells, past):
    # Up to a cell more than a whole number of them: the last cell reaches over the edge.
    east, north = west + (cells[0] + past) * resolution, south + (cells[1] + past) * resolution
    grid = Grid((west, east, south, north), resolution)

    dust = 1e-8 * resolution  # centres are rounded to 1e-9 of a cell
    for bounds, low, high in ((grid.x_bounds, west, east), (grid.y_bounds, south, north)):
        assert bounds[0, 0] == pytest.approx(low, abs=dust)
        assert high - dust <= bounds[-1, 1] < high + resolution
        np.testing.assert_array_equal(bounds[1:, 0], bounds[:-1, 1])  # contiguous, bit for bit
    np.testing.assert_allclose(grid.x_bounds.mean(axis=1), grid.x, rtol=0, atol=dust)
    np.testing.assert_allclose(grid.y_bounds.mean(axis=1), grid.y, rtol=0, atol=dust)


def test_a_region_across_the_date_line_goes_on_past_180():
    grid = Grid((178.0, 182.0, -18.0, -16.0), 1.0)

    assert grid.x.tolist() == [178.5, 179.5, 180.5, 181.5]
    longitude, latitude = grid.longitude_latitude()
    assert great_circle_km(longitude[0, 3], latitude[0, 3], -178.5, -17.5) < 1e-9


# --- areas


@pytest.mark.parametrize("resolution", [0.5, 10.0, 90.0])
def test_the_cells_of_the_globe_have_the_area_of_the_sphere(resolution):
    area = Grid((-180.0, 180.0, -90.0, 90.0), resolution).cell_area_km2()

    assert area.sum() == pytest.approx(GLOBE_KM2, rel=1e-12)


def test_the_area_of_a_cell_is_that_between_two_parallels():
    area = Grid((0.0, 1.0, 30.0, 90.0), 1.0).cell_area_km2()

    # A zone has 2 pi R^2 (sin north - sin south); sin 30 is a half.
    assert area.sum() == pytest.approx(GLOBE_KM2 / 2 / 360 * (1 - 0.5))
    assert area[0, 0] > area[-1, 0] > 0


def test_the_area_of_a_projected_cell_is_its_square():
    metres = Grid((400_000.0, 401_000.0, 4_350_000.0, 4_350_500.0), 500.0, "EPSG:32650")
    assert metres.cell_area_km2().tolist() == [[0.25, 0.25]]
    # New York Long Island is in US survey feet of 1200 / 3937 m.
    feet = Grid((980_000.0, 990_000.0, 190_000.0, 200_000.0), 10_000.0, "EPSG:2263")
    assert feet.cell_area_km2()[0, 0] == pytest.approx((12_000 / 3937) ** 2)


# --- projected grids


def test_a_projected_grid_lies_where_its_projection_says():
    # UTM zone 50 has its central meridian, x = 500 km, at 117 degrees east; y is 0 at the equator.
    grid = Grid((499_500.0, 500_500.0, -500.0, 500.0), 1000.0, "EPSG:32650")

    assert grid.dims == ("y", "x")
    assert not grid.is_geographic
    longitude, latitude = grid.longitude_latitude()
    assert longitude.item() == pytest.approx(117.0, abs=1e-9)
    assert latitude.item() == pytest.approx(0.0, abs=1e-9)


def test_cells_that_the_projection_does_not_reach_are_refused():
    outside = Grid((0.0, 2e8, 0.0, 1e8), 1e7, "EPSG:3035")

    with pytest.raises(ValueError, match=r"of 200 cells lie outside .* EPSG:3035"):
        outside.longitude_latitude()


def test_another_geographic_crs_is_geographic():
    assert Grid((5.0, 6.0, 50.0, 51.0), 0.5, "EPSG:4258").dims == ("lat", "lon")


# --- around a network


@universal
@given(
    centre=st.tuples(
        st.floats(-180, 180), st.one_of(st.floats(-90, 90), st.sampled_from([-89.5, 89.0]))
    ),
    spread=st.floats(0.01, 20),
    seed=st.integers(0, 99),
    resolution=st.sampled_from([None, 0.07, 0.5, 3.0]),
)
def test_a_grid_around_holds_every_station_and_stays_on_the_globe(centre, spread, seed, resolution):
    rng = np.random.default_rng(seed)
    latitude = centre[1] + rng.uniform(-spread, spread, 6)
    latitude = np.where(np.abs(latitude) > 90, np.sign(latitude) * 180 - latitude, latitude)
    network = StationNetwork(centre[0] + rng.uniform(-spread, spread, 6), latitude)
    # A grid of a million cells shows no more, and one roof has no spacing.
    assume(resolution is None or spread / resolution < 100)
    assume(np.isfinite(network.spacing_km))

    grid = Grid.around(network, resolution)

    west, east, south, north = grid.region
    assert grid.y_bounds.min() >= -90
    assert grid.y_bounds.max() <= 90
    assert grid.x_bounds[-1, 1] - grid.x_bounds[0, 0] <= 360 + 1e-9
    # Towards a pole that is no whole number of cells away, less than a cell stays uncovered.
    short = grid.resolution if network.latitude.max() > north else 0
    assert network.latitude.max() <= north + short
    assert south <= network.latitude.min()
    if east - west < 360 - grid.resolution:
        assert ((network.longitude - west + 1e-9) % 360 <= east - west + 2e-9).all()


def test_the_margin_is_one_spacing_and_the_cell_a_quarter_of_it():
    # One degree apart along the equator: a spacing of 1 degree, cells of a quarter, rounded up to
    # 0.5 of the series 1, 2, 5.
    network = StationNetwork([10.0, 11.0, 12.0], [0.0, 0.0, 0.0])

    assert Grid.around(network) == Grid((9.0, 13.0, -1.0, 1.0), 0.5)
    assert Grid.around(network, 0.25) == Grid((9.0, 13.0, -1.0, 1.0), 0.25)


def test_a_wide_network_gets_no_more_than_250_cells_on_a_side():
    # Two stations a kilometre apart in each of two cities 60 degrees apart.
    network = StationNetwork([10.0, 10.01, 70.0, 70.01], [50.0, 50.0, 50.0, 50.0])

    assert max(Grid.around(network).shape) <= 250


def test_a_grid_around_crosses_the_date_line():
    grid = Grid.around(StationNetwork([179.0, -179.0], [0.0, 0.0]), 1.0)

    assert grid.region == (177.0, 183.0, -2.0, 2.0)


def test_a_projected_grid_around_has_the_spacing_in_its_units():
    network = StationNetwork([116.9, 117.0, 117.1], [40.0, 40.0, 40.0])
    step = 0.1 * np.cos(np.radians(40)) * np.radians(1) * EARTH_RADIUS_KM  # 8.52 km

    metres = Grid.around(network, crs="EPSG:32650")
    feet = Grid.around(network, crs="+proj=utm +zone=50 +units=us-ft")

    assert metres.resolution == 5000.0  # 2.1 km rounded up
    assert feet.resolution == 10_000.0  # 7000 feet rounded up
    assert metres.region[1] - metres.region[0] == pytest.approx(4 * step * 1000, abs=10_000)
    assert feet.region[1] - feet.region[0] == pytest.approx(4 * step * 3281, abs=20_000)


# --- bad input


def test_all_faults_are_told_at_once():
    with pytest.raises(ValueError, match="resolution must be positive") as caught:
        Grid((10.0, 0.0, 2.0, 1.0), -1.0, "EPSG:nonsense")
    message = str(caught.value)
    assert "east (0) must exceed west (10); across the date line write 10 to 360" in message
    assert "north (1) must exceed south (2)" in message
    assert "'EPSG:nonsense'" in message


@pytest.mark.parametrize(
    ("region", "resolution", "match"),
    [
        ((0.0, 1.0, 2.0), 1.0, r"four finite numbers .* found \(0.0, 1.0, 2.0\)"),
        ((0.0, 1.0, 0.0, np.nan), 1.0, "four finite numbers"),
        ((0.0, 1.0, 0.0, 1.0), np.inf, "a finite resolution"),
        ((0.0, 1.0, 0.0, 1.0), 0.0, "resolution must be positive; found 0"),
        ((0.0, 10.0, 80.0, 91.0), 1.0, "latitudes must lie within -90..90; found 80 to 91"),
        ((39.0, 40.0, 116.0, 117.0), 0.1, "latitudes must lie within -90..90; found 116 to 117"),
        ((-10.0, 360.0, 0.0, 1.0), 0.5, "may span at most 360 degrees; found -10 to 360"),
        ((500.0, 600.0, 0.0, 1.0), 0.5, "longitudes"),
        # Whole cells would reach over the pole, and more than once around.
        ((0.0, 10.0, 80.6, 90.0), 1.0, "from south 80.6 end at 90.6, past 90"),
        ((-180.0, 180.0, -70.0, 70.0), 0.7, "from west -180 end at 180.5, past 180"),
    ],
)
def test_bad_regions_are_refused(region, resolution, match):
    with pytest.raises(ValueError, match=match):
        Grid(region, resolution)


def test_a_crs_that_is_no_map_is_refused():
    with pytest.raises(ValueError, match="geographic or projected; found 'EPSG:4978'"):
        Grid((0.0, 1.0, 0.0, 1.0), 1.0, "EPSG:4978")


@pytest.mark.parametrize("resolution", [0.0, -0.1, np.nan])
def test_a_grid_around_needs_a_positive_resolution(resolution):
    with pytest.raises(ValueError, match="resolution must be positive; found"):
        Grid.around(StationNetwork([10.0, 11.0], [0.0, 0.0]), resolution)


def test_one_place_alone_gives_no_grid():
    with pytest.raises(ValueError, match=r"one place alone .* pass Grid\(\(west, east"):
        Grid.around(StationNetwork([10.0, 10.0], [50.0, 50.0]))
