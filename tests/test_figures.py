"""Figures draw what is in the data, say what it is, and go into axes of the caller's."""

import cartopy.crs as ccrs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from make_fixtures import FIXTURES
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from PIL import Image
from test_maps import BEIJING, product_on

import aqreanalysis as aqr
from aqreanalysis.figures import (
    FigureError,
    animate_time_encoding,
    plot_attention,
    plot_bands,
    plot_calendar,
    plot_cycle,
    plot_neighbours,
    plot_rose,
    plot_series,
    plot_time_encoding,
    plot_variogram,
)
from aqreanalysis.maps import MapError
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.predictive import RootNormal


def network(hours=96, stations=2, begin="2024-01-01"):
    """Return stations a, b, ... whose value is the hour of the day, plus 100 for each further."""
    times = pd.date_range(begin, periods=hours, freq="h")
    values = np.arange(stations)[:, None] * 100.0 + times.hour.to_numpy()
    dataset = xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [chr(ord("a") + i) for i in range(stations)],
            "time": times,
            "longitude": ("station", 116.0 + 0.3 * np.arange(stations)),
            "latitude": ("station", 40.0 + 0.1 * np.arange(stations)),
        },
    )
    dataset.time.attrs = {"time_label": "start", "step_hours": 1.0}
    return dataset


@pytest.fixture(scope="module")
def synthetic():
    return aqr.synthetic_network(hours=72, seed=0).observations


def lines_of(figure):
    return {line.get_label(): np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines()}


def legend_of(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def assert_nothing_cut(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3]
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge > 250).all()


# Series


def test_a_series_has_measurements_estimates_and_the_interval_of_their_distribution():
    obs = network()
    error = obs.pm25 * 0 + 5.0
    product = obs.assign(pm25=obs.pm25 + 3, pm25_uncertainty=error).assign_attrs(method="kriging")
    figure = plot_series(product, "b", observations=obs)
    drawn = lines_of(figure)
    np.testing.assert_allclose(drawn["measured"], obs.pm25[1])
    np.testing.assert_allclose(drawn["estimate"], obs.pm25[1] + 3)
    (band,) = figure.axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    low, high = RootNormal.from_median(np.array(103.0), np.array(5.0)).interval_90()
    assert heights.min() == pytest.approx(low)
    assert low < heights.max()
    assert heights.max() >= high
    assert legend_of(figure) == ["90 % interval", "estimate", "measured"]
    assert figure.axes[0].get_title(loc="left") == "b"
    assert "PM$_{2.5}$ (μg m⁻³)" in figure.axes[0].get_ylabel()
    assert_nothing_cut(figure)


def test_quantiles_of_a_product_are_its_interval():
    obs = network()
    layers = {"pm25_q05": obs.pm25 - 1, "pm25_q95": obs.pm25 + 2, "pm25_uncertainty": obs.pm25}
    figure = plot_series(obs.assign(layers), "b")
    heights = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (99, 125)


def test_filled_gaps_are_dots_and_an_outlook_is_called_so():
    obs = network()
    origin = np.zeros(obs.pm25.shape, np.int8)
    origin[0, 3:6] = 1
    filled = obs.assign(pm25_origin=(obs.pm25.dims, origin), pm25_uncertainty=obs.pm25 * 0 + 1)
    figure = plot_series(filled, "a")
    assert legend_of(figure) == ["measured", "gap filled, 90 % interval"]
    assert np.flatnonzero(np.isnan(lines_of(figure)["measured"])).tolist() == [3, 4, 5]
    ahead = obs.assign(pm25_uncertainty=obs.pm25 * 0 + 1).assign_coords(
        forecast_reference_time=obs.time.values[0]
    )
    assert legend_of(plot_series(ahead, "a")) == ["90 % interval", "outlook"]


def test_a_series_of_a_cell_is_that_of_the_nearest_one():
    product = product_on(BEIJING)
    figure = plot_series(product.drop_vars("pm25_uncertainty"), (116.44, 39.86))
    # The value of a cell is its distance from the first in longitude, and the hour.
    np.testing.assert_allclose(lines_of(figure)["estimate"][0], 10 + 116.45 - 115.95)
    with pytest.raises(FigureError, match="outside of the grid, of which the nearest cell is at"):
        plot_series(product, (118.0, 39.9))
    with pytest.raises(FigureError, match="longitude and latitude"):
        plot_series(product, "Beijing")


def test_hours_are_local_where_that_is_asked_for():
    figure = plot_series(network(), "a", local_time="Asia/Shanghai")
    assert figure.axes[0].get_xlabel() == "local time, Asia/Shanghai"
    with pytest.raises(MapError, match="no time zone"):
        plot_series(network(), "a", local_time="Asia/Peking")


def test_places_hours_and_variables_that_are_not_there_are_named():
    obs = network()
    with pytest.raises(FigureError, match=r"no station 'x' among 2; for example a, b"):
        plot_series(obs, "x")
    with pytest.raises(FigureError, match="name one of the 2 stations"):
        plot_series(obs)
    with pytest.raises(MapError, match="nearest is"):
        plot_series(obs, "a", time="2025-01-01")
    with pytest.raises(FigureError, match="axes must be those of matplotlib"):
        plot_series(obs, "a", axes="here")


def test_one_value_none_and_names_of_any_script_are_drawn(tmp_path):
    obs = network(hours=24, stations=1).assign_coords(station=["Пекин"])
    obs["pm25"][0, 1:] = np.nan
    figure = plot_series(obs)
    assert figure.axes[0].get_lines()[0].get_marker() == "o"
    silent = obs.assign(pm25=obs.pm25 * np.nan)
    assert "no values" in [text.get_text() for text in plot_series(silent).axes[0].texts]
    plot_cycle(silent)
    plot_calendar(silent)
    assert plot_series(obs).axes[0].get_title(loc="left") == "Пекин"


@pytest.mark.parametrize(
    "draw",
    [
        lambda obs, name: plot_series(obs, name),
        lambda obs, name: plot_series(obs, name, title=name),
        lambda obs, name: plot_series(obs, (116.0, 40.0), observations=obs),
        lambda obs, name: plot_cycle(obs, "day", name),
        lambda obs, name: plot_calendar(obs, name),
        lambda obs, name: plot_rose(obs, name),
    ],
)
def test_names_of_stations_are_no_formulae(draw):
    name = "x$_{a$"
    obs = network().assign_coords(station=[name, "b"])
    obs = obs.assign(wind_direction=obs.pm25 * 3, wind_speed=obs.pm25 + 1)
    figure = draw(obs, name)
    FigureCanvasAgg(figure).draw()
    assert figure.axes[0].get_title(loc="left").startswith(r"x\$_{a\$")


def test_a_name_that_could_be_a_formula_is_a_name():
    obs = network().assign_coords(station=["S$3$", "b"])
    assert plot_series(obs, "S$3$").axes[0].get_title(loc="left") == r"S\$3\$"
    labels = obs.aqnet.completeness().axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == [r"S\$3\$", "b"]


def test_the_units_of_a_rose_have_a_line_of_their_own(caplog):
    obs = network().assign(wind_direction=network().pm25 * 3)
    figure = plot_rose(obs, "a")
    FigureCanvasAgg(figure).draw()
    assert figure.axes[0].get_legend().get_title().get_text() == "PM$_{2.5}$\n(μg m⁻³)"
    assert not caplog.records


def test_an_axis_without_units_has_no_empty_brackets():
    obs = network().assign(share=network().pm25.drop_attrs())
    assert plot_series(obs, "a", "share").axes[0].get_ylabel() == "share"


@pytest.mark.parametrize(
    "draw",
    [
        lambda axes: plot_series(network(), "a", axes=axes),
        lambda axes: plot_cycle(network(), "day", axes=axes),
        lambda axes: plot_calendar(network(), axes=axes),
        lambda axes: plot_attention(attention(), axes=axes),
        lambda axes: network().aqnet.completeness(axes=axes),
    ],
)
def test_figures_go_into_axes_of_the_callers(draw):
    figure = Figure()
    axes = figure.add_subplot()
    assert draw(axes) is figure
    assert axes.has_data()


# Cycles and calendars


def test_a_cycle_of_the_day_is_that_of_its_time_zone_and_of_the_beginnings_of_hours():
    obs = network()
    drawn = lines_of(plot_cycle(obs, "day", "a"))
    np.testing.assert_allclose(drawn["mean"], np.arange(24))
    eight = lines_of(plot_cycle(obs, "day", "a", local_time="Asia/Shanghai"))
    np.testing.assert_allclose(eight["mean"], (np.arange(24) - 8) % 24)
    ending = obs.assign_coords(time=obs.time + np.timedelta64(1, "h"))
    ending.time.attrs = {"time_label": "end", "step_hours": 1.0}
    np.testing.assert_allclose(lines_of(plot_cycle(ending, "day", "a"))["median"], np.arange(24))
    both = lines_of(plot_cycle(obs, "day"))
    np.testing.assert_allclose(both["mean"], np.arange(24) + 50)


def test_weeks_and_years_have_their_days_and_months():
    week = plot_cycle(network(hours=24 * 14), "week", "a")
    assert week.axes[0].get_xticklabels()[0].get_text() == "Mon"
    obs = network(hours=24 * 40)
    obs["pm25"][:] = obs.time.dt.month
    year = lines_of(plot_cycle(obs, "year", "a"))["median"]
    np.testing.assert_allclose(year, [1, 2, *[np.nan] * 10])
    with pytest.raises(FigureError, match="cycle is one of day, week, year; found 'month'"):
        plot_cycle(network(), "month")


def test_a_calendar_has_each_day_at_its_week_and_weekday_and_grey_ones_without_enough():
    obs = network(hours=24 * 20, stations=1)  # 1 January 2024 is a Monday
    obs["pm25"][0] = obs.time.dt.day
    obs["pm25"][0, 24:31] = np.nan  # 17 of 24 hours of the second day are left
    figure = plot_calendar(obs, "a", limits=(0, 40))
    empty, days = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    cells = days.get_array().reshape(7, 54)
    assert cells[0, 0] == 1
    assert cells[0, 1] == 8
    assert cells[6, 1] == 14
    assert cells.mask[1, 0]
    assert not empty.get_array().reshape(7, 54).mask[1, 0]
    assert (days.norm.vmin, days.norm.vmax) == (0, 40)
    assert_nothing_cut(figure)


# Roses


@pytest.mark.parametrize(
    ("step", "refused", "drawn"),
    [
        (3.0, (), ("day", "week", "year")),
        (24.0, ("day",), ("week", "year")),
        (744.0, ("day", "week"), ("year",)),
        (8784.0, ("day", "week", "year"), ()),
    ],
)
def test_values_of_longer_periods_have_no_cycle_within_them(step, refused, drawn):
    obs = network(hours=40)
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta(step * np.arange(40), "h")
    obs = obs.assign_coords(time=times)
    obs.time.attrs = {"time_label": "start", "step_hours": step}
    for cycle in refused:
        with pytest.raises(FigureError, match=f"values of .* or less; .* of {step:g} hours"):
            plot_cycle(obs, cycle)
    for cycle in drawn:
        assert plot_cycle(obs, cycle).axes
    if step > 24:
        with pytest.raises(FigureError, match="a calendar needs values of a day or less"):
            plot_calendar(obs, "a")
    else:
        assert plot_calendar(obs, "a").axes


def test_estimates_are_called_so_also_without_their_error():
    grid = product_on(BEIJING)[["pm25"]]
    at_stations = network().assign_attrs(method="kriging")
    assert legend_of(plot_series(grid, (116.4, 39.9))) == ["estimate"]
    assert legend_of(plot_series(at_stations, "a")) == ["estimate"]
    assert legend_of(plot_series(network(), "a")) == ["measured"]


def test_zones_have_series_by_identifier_or_name():
    zones = network().rename(station="zone").assign_coords(name=("zone", ["North", "$outh"]))
    for place in ("b", "$outh"):
        figure = plot_series(zones, place)
        np.testing.assert_array_equal(lines_of(figure)["estimate"], zones.pm25[1])
        assert figure.axes[0].get_title(loc="left") == r"b (\$outh)"
    with pytest.raises(FigureError, match="no zone 'c' among 2; for example a, b"):
        plot_series(zones, "c")
    assert plot_cycle(zones, "day").axes[0].get_title(loc="left").startswith("all zones")
    assert "all zones" in plot_calendar(zones).axes[0].get_title(loc="left")


def test_a_rose_points_to_where_the_wind_comes_from():
    obs = network(hours=40, stations=1)
    wind = np.where(np.arange(40) < 30, 90.0, 359.0)
    speed = np.full(40, 3.0)
    speed[:4] = 0.1
    obs["wind_direction"] = (("station", "time"), wind[None])
    obs["wind_speed"] = (("station", "time"), speed[None], {"units": "m s-1"})
    figure = plot_rose(obs, "a", "wind_speed")
    (axes,) = figure.axes
    heights = {}
    for bar in axes.patches:
        sector = round(np.degrees(bar.get_x() + bar.get_width() / 2) / 22.5) % 16
        heights[sector] = heights.get(sector, 0) + bar.get_height()
    # 26 of 40 hours are from the east, 10 from the north, 4 are calm.
    assert {k: v for k, v in heights.items() if v} == pytest.approx({4: 65.0, 0: 25.0})
    assert axes.get_title(loc="left") == "a: 40 hours, 10 % calm"
    with pytest.raises(FigureError, match="needs polar axes"):
        plot_rose(obs, "a", axes=Figure().add_subplot())
    with pytest.raises(FigureError, match=r"needs 'wind_direction'.*the dataset has pm25"):
        plot_rose(network())
    with pytest.raises(FigureError, match="no hour has both"):
        plot_rose(obs.assign(pm25=obs.pm25 * np.nan), "a")


# What methods have learned


def test_a_variogram_is_the_methods_over_the_pairs_of_stations(synthetic):
    method = aqr.OrdinaryKriging(variogram=Variogram("exponential", 4.0, 50.0, 1.0))
    method = method.fit(synthetic, "pm25")
    figure = plot_variogram(method, synthetic)
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), 5 - 4 * np.exp(-line.get_xdata() / 50))
    assert "range 50 km" in legend_of(figure)[1]
    with pytest.raises(FigureError, match="has no variogram of distance"):
        plot_variogram(aqr.InverseDistance().fit(synthetic, "pm25"), synthetic)


def test_kriging_weights_sum_to_one_and_the_nearest_has_most(synthetic):
    method = aqr.OrdinaryKriging().fit(synthetic, "pm25")
    station = synthetic.isel(station=7)
    place = float(station.longitude) + 0.01, float(station.latitude)
    figure = plot_neighbours(method, synthetic, place)
    (weights,) = (
        c
        for c in figure.axes[0].collections
        if isinstance(c, PathCollection) and c.get_array() is not None
    )
    assert weights.get_array().sum() == pytest.approx(1.0)
    numbers = [t.get_text() for t in figure.axes[0].texts if t.get_text().startswith("0.")]
    assert max(numbers) == f"{weights.get_array().max():.2f}"
    with pytest.raises(FigureError, match="place needs longitude and latitude"):
        plot_neighbours(method, synthetic, "Beijing")
    with pytest.raises(FigureError, match="fitted Reanalyser or OrdinaryKriging; found 'idw'"):
        plot_neighbours(aqr.InverseDistance().fit(synthetic, "pm25"), synthetic, place)


def test_bands_of_a_reanalyser_have_correlations_and_weights_of_their_own(synthetic):
    model = aqr.Reanalyser.load(FIXTURES / "model")
    figure = plot_bands(model)
    fast, _, slow = (np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines())
    assert (np.diff(slow) <= 1e-9).all()
    assert fast[0] < slow[0] < 1
    labels = legend_of(figure)
    assert labels[0].startswith("under ")
    shares = [float(label.split(", ")[1].split(" ")[0]) for label in labels]
    assert sum(shares) == pytest.approx(100, abs=2)
    with pytest.raises(FigureError, match="found OrdinaryKriging"):
        plot_bands(aqr.OrdinaryKriging())
    maps = plot_neighbours(model, synthetic, (116.5, 39.7))
    for axes in maps.axes[:3]:
        (weights,) = (
            c
            for c in axes.collections
            if isinstance(c, PathCollection) and c.get_array() is not None
        )
        assert weights.get_array().sum() == pytest.approx(1.0, abs=1e-5)
    one = Figure().add_subplot(projection=ccrs.PlateCarree())
    with pytest.raises(FigureError, match="axes needs 3 maps"):
        plot_neighbours(model, synthetic, (116.5, 39.7), axes=one)


# The outlook's attention, and time


def attention():
    days = ("station", "predicted_day", "past_day")
    shares = np.array([[[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], [[0.3, 0.2, 0.5], [0.5, 0.3, 0.2]]])
    return xr.Dataset({"attention": (days, shares)}, coords={"station": ["a", "b"]})


def test_attention_runs_from_the_oldest_day_to_the_last():
    figure = plot_attention(attention(), "a")
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "10",
        "20",
        "70",
        "20",
        "30",
        "50",
    ]
    mean = plot_attention(attention())
    assert [text.get_text() for text in mean.axes[0].texts][:3] == ["30", "20", "50"]
    with pytest.raises(FigureError, match="attention=True"):
        plot_attention(network())


def test_the_encoding_is_a_circle_on_which_the_ends_of_a_day_are_neighbours(tmp_path):
    figure = plot_time_encoding()
    x, y = figure.axes[1].get_lines()[0].get_data()
    steps = np.hypot(np.diff(np.append(x, x[0])), np.diff(np.append(y, y[0])))
    np.testing.assert_allclose(steps, steps[0])
    with pytest.raises(FigureError, match="number above 0"):
        plot_time_encoding(0)
    with pytest.raises(FigureError, match="axes needs two"):
        plot_time_encoding(axes=Figure().add_subplot())
    with pytest.raises(MapError, match=r"\.mp4 or \.gif"):
        animate_time_encoding(tmp_path / "day.avi")
    with Image.open(animate_time_encoding(tmp_path / "day.gif", progress=False)) as gif:
        assert gif.n_frames == 48


def test_hours_without_values_are_on_the_axis_and_a_place_without_position_is_refused():
    observations = network(hours=24)
    observations["pm25"][:] = np.nan
    figure = plot_series(observations, str(observations.station.values[0]))
    first, last = (num2date(day) for day in figure.axes[0].get_xlim())
    assert (f"{first:%Y-%m-%d %H}", f"{last:%Y-%m-%d %H}") == ("2024-01-01 00", "2024-01-01 23")
    observations["pm25"][0, 5] = 3.0
    figure = plot_series(observations, str(observations.station.values[0]))
    assert np.ptp(figure.axes[0].get_xlim()) == pytest.approx(23 / 24)
    product = product_on(BEIJING)
    with pytest.raises(FigureError, match=r"a longitude and a latitude within -90\.\.90"):
        plot_series(product, (np.nan, 40.0))
    lost = product.assign_coords(lat=product.lat.where(product.lat < 40))
    with pytest.raises(FigureError, match=r"lon or lat is not a number at \d+ of 156 cells"):
        plot_series(lost, (116.4, 39.9))


def test_days_before_and_after_all_values_are_no_days_without_values():
    figure = plot_calendar(network(hours=72), local_time=None)
    (empty, known) = (c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    assert empty.get_array().count() == 0
    assert known.get_array().count() == 3
