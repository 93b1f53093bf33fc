"""Maps say what their values are, and are drawn as asked: colours, insets, panels, errors."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import BoundaryNorm
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from test_maps import (
    BEIJING,
    HOURS,
    colour_label,
    legend_of,
    marks_of,
    mesh_of,
    product_on,
    stations_at,
    words_on,
)

from aqreanalysis.maps import MapError, map_field, map_panels, map_scores, map_stations
from aqreanalysis.maps.basemap import CONTOUR_NUMBER
from aqreanalysis.maps.frame import project

HOUR = "2014-11-03T08"


@pytest.fixture
def beijing():
    return product_on(BEIJING)


@pytest.fixture
def network():
    return stations_at([116.0, 116.4, 116.8, 117.0], [39.6, 39.9, 40.2, 40.4])


def as_outlook(dataset, begins="2014-11-03T00"):
    return dataset.assign_coords(forecast_reference_time=np.datetime64(begins, "ns"))


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int), canvas.get_renderer()


# What values are


def test_an_outlook_is_called_so_with_its_beginning_and_how_far_ahead_it_is(beijing, network):
    figure = map_field(as_outlook(beijing), time=HOUR, observations=as_outlook(network))
    assert "PM$_{2.5}$ concentration: outlook" in words_on(figure)
    assert "+8 h of the outlook from 2014-11-03 00:00 UTC" in words_on(figure)
    assert legend_of(figure) == ["station, outlook"]
    assert "4 stations with an outlook" in words_on(figure)
    assert "observed" not in words_on(figure)


def test_a_set_of_outlooks_is_drawn_by_start():
    one = as_outlook(product_on(BEIJING).isel(time=slice(6)))
    leads = np.arange(6.0)
    starts = np.array(["2014-11-03T00", "2014-11-04T00"], "datetime64[ns]")
    both = xr.concat([one, one + 100], "forecast_reference_time").drop_vars("time")
    both = both.rename(time="lead_time").assign_coords(
        forecast_reference_time=starts,
        lead_time=leads,
        time=(
            ("lead_time", "forecast_reference_time"),
            starts + (leads * 3600e9).astype("timedelta64[ns]")[:, None],
        ),
    )
    figure = map_field(both, start="2014-11-04", time="2014-11-04T03")
    assert mesh_of(figure).get_array().min() == pytest.approx(110 + 3)
    assert "+3 h of the outlook from 2014-11-04 00:00 UTC" in words_on(figure)
    with pytest.raises(MapError, match=r"name the outlook of the set: start='2014-11-03 00:00'"):
        map_field(both, time="2014-11-04T03")
    with pytest.raises(MapError, match=r"no outlook 2014-11-03 12:00 UTC.*nearest are"):
        map_field(both, start="2014-11-03T12")
    with pytest.raises(MapError, match="this is none"):
        map_field(one, start="2014-11-03T12")


def test_filled_gaps_and_estimates_at_stations_are_no_observations(network):
    origin = np.zeros(network.pm25.shape, np.int8)
    origin[1, 8] = 1
    filled = network.assign(pm25_origin=(network.pm25.dims, origin))
    figure = map_stations(filled, "pm25", time=HOUR)
    assert legend_of(figure) == ["observed station", "station, gap filled"]
    assert [len(mark.get_offsets()) for mark in marks_of(figure)] == [3, 1]
    assert "3 observed stations, 1 station with filled gaps" in words_on(figure)
    earlier = map_stations(filled, "pm25", time="2014-11-03T07")
    assert legend_of(earlier) == ["observed station"]
    estimated = network.assign(pm25_uncertainty=network.pm25 / 10)
    assert legend_of(map_stations(estimated, "pm25", time=HOUR)) == ["station, estimated"]


def test_one_of_several_draws_is_drawn_and_called_so(beijing):
    draws = xr.concat([beijing.pm25, beijing.pm25 + 50], "draw")
    product = beijing.assign(pm25_draws=draws)
    figure = map_field(product, variable="pm25", time=HOUR, draw=1)
    assert "PM$_{2.5}$ concentration: draw 1" in words_on(figure)
    assert mesh_of(figure).get_array().min() == pytest.approx(10 + 8 + 50)
    with pytest.raises(MapError, match="draws 0 to 1; found draw=2"):
        map_field(product, variable="pm25", draw=2)
    with pytest.raises(MapError, match="'pm25_draws' holds 2 draws; name one"):
        map_field(product, variable="pm25_draws")
    with pytest.raises(MapError, match="no draws of 'pm25'"):
        map_field(beijing, draw=0)


def test_the_error_of_a_period_is_called_the_mean_of_the_hourly_ones(beijing):
    figure = map_field(beijing, time="2014-11-03", what="uncertainty")
    assert "mean hourly standard error" in figure.texts[0].get_text()
    assert "mean hourly standard error" in colour_label(figure)
    assert "The error of the mean itself is smaller" in words_on(figure)
    hour = map_field(beijing, time=HOUR, what="uncertainty")
    assert "mean" not in words_on(hour)


def as_correlated(dataset, scales=(0.0, 1e9), shares=(0.5, 0.5)):
    """Return a dataset whose error states that half of its variance never goes away."""
    error = dataset.pm25_uncertainty
    stated = {"error_time_scales_h": list(scales), "error_shares": list(shares)}
    return dataset.assign(pm25_uncertainty=error.assign_attrs(stated))


def test_the_error_of_a_period_is_that_of_its_mean_where_errors_are_known_to_be_correlated(beijing):
    two_hours = slice("2014-11-03T00", "2014-11-03T01")
    figure = map_field(as_correlated(beijing), time=two_hours, what="uncertainty")
    first, second = beijing.pm25_uncertainty.values[:2]
    # Half of the variance is of each hour, half is the same in both.
    expected = np.sqrt(first**2 + second**2 + first * second) / 2
    np.testing.assert_allclose(
        np.sort(mesh_of(figure).get_array().ravel()), np.sort(expected.ravel())
    )
    assert "standard error of the mean" in figure.texts[0].get_text()
    assert "standard error of the mean" in colour_label(figure)
    assert "Errors of hours are correlated as at stations left out" in words_on(figure)
    assert "hourly" not in words_on(figure)
    hour = map_field(as_correlated(beijing), time=HOUR, what="uncertainty")
    np.testing.assert_array_equal(
        np.sort(mesh_of(hour).get_array().ravel()),
        np.sort(beijing.pm25_uncertainty.sel(time=HOUR).values.ravel()),
    )
    assert "mean" not in words_on(hour)


def test_the_error_of_a_day_is_that_of_its_aggregate_also_in_blocks_and_with_hours_missing(beijing):
    day = as_correlated(beijing, (0.0, 6.0, 1e6), (0.3, 0.5, 0.2)).isel(time=slice(24))
    day = day.where(day.time != np.datetime64("2014-11-03T05"))
    daily = day.aqnet.aggregate("day").pm25_uncertainty.isel(time=0)
    for product in (day, day.chunk(time=7, lat=5)):
        figure = map_field(product, what="uncertainty")
        drawn = np.sort(mesh_of(figure).get_array().ravel())
        np.testing.assert_allclose(drawn, np.sort(daily.values.ravel()), rtol=1e-6)
    west = day.lon < 116.5
    few = day.where(~west | (day.time < np.datetime64("2014-11-03T17")))
    drawn = mesh_of(map_field(as_correlated(few), what="uncertainty")).get_array()
    assert np.ma.masked_invalid(drawn).mask.sum() == west.sum() * day.sizes["lat"]


def test_the_error_of_a_mean_at_stations_is_that_of_the_mean_too(network):
    estimated = as_correlated(network.assign(pm25_uncertainty=network.pm25 / 10))
    figure = map_stations(estimated, "pm25", time=slice(HOURS[0], HOURS[1]), what="uncertainty")
    expected = np.sqrt(1.0**2 + 1.1**2 + 1.0 * 1.1) / 2
    drawn = np.concatenate([mark.get_array() for mark in marks_of(figure)])
    np.testing.assert_allclose(drawn, np.full(4, expected))
    assert "standard error of the mean" in colour_label(figure)


def test_panels_call_the_error_of_a_mean_so(beijing):
    figure = map_panels(as_correlated(beijing), ["value", "uncertainty"], time="2014-11-03")
    assert "Standard error of the mean" in [axes.get_title(loc="left") for axes in figure.axes]


def test_a_caption_counts_the_stations_that_are_on_the_map(beijing, network):
    figure = map_field(beijing, time=HOUR, observations=network, region=(116.2, 117.2, 39.7, 40.3))
    inside = "2 observed stations"
    assert inside in words_on(figure)


def test_a_difference_diverges_from_zero_and_is_called_so(beijing):
    difference = (beijing[["pm25"]] - 23.0).rename(pm25="change")
    difference.change.attrs = {"long_name": "PM2.5 mass concentration", "units": "ug m-3"}
    figure = map_field(difference, variable="change", time=HOUR)
    norm = mesh_of(figure).norm
    assert norm.vmin == -norm.vmax
    white = mesh_of(figure).cmap(norm(0.0))
    assert min(white[:3]) > 0.85
    assert "Difference of" in words_on(
        map_field(difference.rename(change="x"), variable="x", time=HOUR)
    )
    # Slightly negative noise is no difference.
    noise = beijing.assign(pm25=beijing.pm25 - 10.2)
    assert "ifference" not in words_on(map_field(noise, time=HOURS[0]))


def test_stations_that_measure_are_white_over_a_difference_and_do_not_decide_what_it_is(
    beijing, network
):
    difference = beijing[["pm25"]] - 12.0 - HOURS.get_loc(HOUR)  # about -2 to -1 at that hour
    difference.pm25.attrs = beijing.pm25.attrs
    figure = map_field(difference, time=HOUR, observations=network)
    assert words_on(figure).startswith("Difference of")
    assert mesh_of(figure).norm.vmin == -mesh_of(figure).norm.vmax > -5
    assert (marks_of(figure)[-1].get_facecolor() == 1).all()
    errors = network.assign(pm25=(network.pm25 - 20).assign_attrs(units="ug m-3"))
    coloured = map_field(difference, time=HOUR, observations=errors)
    assert not (marks_of(coloured)[-1].get_facecolor() == 1).all()


def test_zero_everywhere_has_no_negative_numbers_on_its_bar(beijing, network):
    nothing = beijing.assign(pm25=beijing.pm25 * 0), network.assign(pm25=network.pm25 * 0)
    figure = map_field(nothing[0], time=HOUR, observations=nothing[1])
    assert (mesh_of(figure).norm.vmin, mesh_of(figure).norm.vmax) == (0, 1)


@pytest.mark.parametrize("limits", [(-0.001, 0.001), (0, 123456)])
@pytest.mark.parametrize("panels", [False, True])
def test_the_label_of_a_bar_is_on_the_picture_whatever_its_numbers(beijing, limits, panels):
    parts = {"panels": ["value", "uncertainty"]} if panels else {}
    figure = beijing.aqnet.map("pm25", time=HOUR, limits=limits, **parts)
    _, renderer = pixels(figure)
    bars = [axes for axes in figure.axes if "PM$_" in axes.get_ylabel()]
    assert bars
    for axes in bars:
        assert axes.yaxis.label.get_window_extent(renderer).x1 <= figure.bbox.x1


def test_each_boundary_of_colours_is_written_as_it_is(beijing):
    figure = map_field(beijing, time=HOUR, levels=[-0.5, 0, 0.00025, 0.5, 100])
    pixels(figure)
    labels = [text.get_text() for text in figure.axes[-1].get_yticklabels()]
    assert labels == ["\N{MINUS SIGN}0.5", "0", "0.00025", "0.5", "100"]


def test_the_legend_has_the_stations_that_are_on_the_map(beijing, network):
    figure = map_field(beijing, time=HOUR, observations=network, region=(116.1, 116.3, 39.5, 39.7))
    assert "0 observed stations" in words_on(figure)
    assert not figure.legends


def test_scores_of_both_signs_diverge_from_zero():
    bias = xr.Dataset(
        {"bias": ("station", [-3.0, 1.0], {"long_name": "bias", "units": "ug m-3"})},
        coords={
            "station": ["a", "b"],
            "longitude": ("station", [116.0, 117.0]),
            "latitude": ("station", [39.0, 40.0]),
        },
    )
    norm = marks_of(map_scores(bias, "bias"))[-1].norm
    assert (norm.vmin, norm.vmax) == (-3, 3)


def test_a_probability_has_limits_of_0_and_1(beijing):
    shares = beijing.pm25 / 100
    shares.attrs = {
        "long_name": "probability of PM2.5 mass concentration above 35 ug m-3",
        "units": "1",
    }
    figure = map_field(beijing.assign(pm25_above_35=shares), variable="pm25_above_35", time=HOUR)
    assert (mesh_of(figure).norm.vmin, mesh_of(figure).norm.vmax) == (0, 1)
    assert figure.texts[0].get_text() == "Probability of PM$_{2.5}$ above 35 μg m⁻³"


def test_bits_of_quality_control_are_classes(network):
    bits = np.zeros(network.pm25.shape, np.int8)
    bits[0], bits[1] = 2, 6
    attributes = {"flag_masks": np.array([1, 2, 4], np.int8), "flag_meanings": "gap spike step"}
    flagged = network.assign(pm25_qc=(network.pm25.dims, bits, attributes))
    assert legend_of(map_stations(flagged, "pm25_qc", time=HOUR)) == [
        "no flag",
        "spike",
        "observed station",
    ]


def test_local_time_is_beside_utc_with_the_day_where_it_is_another(beijing):
    assert "08:00 UTC (hour starting), 16:00 in Asia/Shanghai" in words_on(
        map_field(beijing, time=HOUR, local_time="Asia/Shanghai")
    )
    assert "2014-11-04 07:00 in Asia/Shanghai" in words_on(
        map_field(beijing, time="2014-11-03T23", local_time="Asia/Shanghai")
    )


# How it is drawn


def test_levels_are_the_boundaries_of_colours(beijing):
    figure = map_field(beijing, time=HOUR, levels=[0, 18.5, 19, 35])
    norm = mesh_of(figure).norm
    assert isinstance(norm, BoundaryNorm)
    shown = {tuple(colour) for colour in mesh_of(figure).cmap(norm(mesh_of(figure).get_array()))
             .reshape(-1, 4)}  # fmt: skip
    assert len(shown) == 3  # values from 18 to 19.2


def test_a_colour_map_of_any_name_is_taken(beijing):
    figure = map_field(beijing, time=HOUR, cmap="viridis")
    np.testing.assert_allclose(mesh_of(figure).cmap(0.0)[:3], (0.267, 0.005, 0.329), atol=0.01)
    map_field(beijing, time=HOUR, cmap="batlow")


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"limits": ("low", "high")}, "limits need two ascending numbers"),
        ({"limits": (0, np.nan)}, "limits need two ascending numbers"),
        ({"limits": (0, np.inf)}, "limits need two ascending numbers"),
        ({"limits": (5, 1)}, "limits need two ascending numbers"),
        ({"limits": ("10", "5")}, "limits need two ascending numbers"),
        ({"inset": (0, np.nan, 2, 3)}, r"inset needs four numbers .* found \(0, nan, 2, 3\)"),
        ({"levels": [35, 10]}, "levels need 2 or more ascending numbers"),
        ({"levels": [35]}, "levels need 2 or more ascending numbers"),
        ({"levels": 5}, "levels need 2 or more ascending numbers; found 5"),
        ({"levels": [[0, 1], [2, 3]]}, "levels need 2 or more ascending numbers"),
        ({"contours": 35}, "contours need 1 or more ascending numbers"),
        ({"levels": [0, 1], "limits": (0, 1)}, "leave out limits, or levels"),
        ({"contours": "many"}, "contours need 1 or more ascending numbers"),
        ({"cmap": "virids"}, "no colour map 'virids'; near are viridis"),
        ({"centre": 9, "limits": (0, 1)}, "centre=9 must lie between"),
        ({"uncertain": "blur"}, "'fade' or 'hatch'"),
        ({"size_by_value": "yes", "bar": 5}, "size_by_value='yes', bar=5"),
        ({"error_above": 3}, "needs uncertain="),
        ({"local_time": "Asia/Peking"}, "no time zone 'Asia/Peking'"),
        ({"local_time": "../etc"}, r"no time zone '\.\./etc'"),
        ({"inset": "Bejing"}, "found 'Bejing', near are Beijing"),
        ({"inset": (0, 1, 2)}, "inset needs four numbers"),
        ({"inset": (0, 1, 50, 51)}, "lies outside of the map"),
        ({"inset": 5}, "inset needs four numbers"),
        ({"inset": ["Beijing"] * 4}, "room for three"),
    ],
)
def test_a_style_that_is_none_is_refused_with_what_would_do(beijing, style, message):
    with pytest.raises(MapError, match=message):
        map_field(beijing, time=HOUR, **style)


def test_an_option_that_is_unknown_and_a_region_as_a_word_are_refused(beijing):
    with pytest.raises(TypeError, match=r"no option colour; it has limits, levels"):
        map_field(beijing, time=HOUR, colour="red")
    with pytest.raises(MapError, match="region needs west, east, south, north"):
        map_field(beijing, time=HOUR, region="everywhere")
    west, east, south, north = map_field(beijing, time=HOUR, region="Beijing").axes[0].get_extent()
    assert west < east
    assert south < north


def test_a_mean_of_days_needs_days(beijing):
    days = beijing.isel(time=slice(3)).assign_coords(
        time=HOURS[0] + pd.to_timedelta([0, 1, 2], "D")
    )
    days.time.attrs = {"time_label": "start", "step_hours": 24.0}
    assert "A mean needs 75 % of its days." in words_on(map_field(days))
    assert "A mean needs 75 % of its hours." in words_on(map_field(beijing))


def test_a_list_of_one_inset_is_one_inset(beijing):
    part = (116.0, 116.4, 39.8, 40.2)
    boxes = [map_field(beijing, time=HOUR, inset=i).axes[-1].get_extent() for i in (part, [part])]
    assert boxes[0] == boxes[1]


@pytest.mark.parametrize(
    "attributes",
    [
        {"long_name": "x$_{a$"},
        {"units": "x$_{a$"},
        {"flag_values": [18, 19], "flag_meanings": "x$_{a$ other"},
    ],
)
@pytest.mark.parametrize("panels", [None, ["value", "thing"]])
def test_words_of_a_file_are_no_formula(beijing, attributes, panels):
    product = beijing.assign(thing=beijing.pm25.assign_attrs(attributes), pm25=beijing.pm25 + 0)
    product.attrs["method"] = "x$_{b$"
    variable = {"variable": "thing"} if panels is None else {}
    figure = product.aqnet.map(time=HOUR, panels=panels, **variable)
    pixels(figure)
    entries = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    words = " ".join([words_on(figure), *(a.get_ylabel() for a in figure.axes), *entries])
    assert panels or r"x\$" in words.lower()
    assert r"Method: x\$_{b\$" in words


@pytest.mark.parametrize("layer", ["pm25_flag", "pm25_above_35", "index"])
def test_stations_lie_over_layers_that_are_made_from_what_they_measure(
    beijing, network, layer, tmp_path
):
    product = beijing.assign({layer: beijing.pm25 / 100})
    figure = map_field(product, variable=layer, time=HOUR, observations=network)
    assert legend_of(figure) == ["observed station"]
    assert marks_of(figure)[0].get_array() is None  # they have no value on its scale
    film = tmp_path / "film.gif"
    product.aqnet.animate(
        film, variable=layer, time=slice(HOURS[0], HOURS[1]), observations=network, progress=False
    )
    assert film.exists()
    if layer == "index":
        product[layer] = product[layer].isel(time=0, drop=True)  # as the distance to stations
        figure = map_field(product, variable=layer, observations=network)
        assert legend_of(figure) == ["observed station"]
    with pytest.raises(MapError, match="have no variable 'pm10'"):
        map_field(
            beijing.assign(pm10=beijing.pm25), variable="pm10", time=HOUR, observations=network
        )


def test_what_a_map_cannot_draw_is_said_with_the_remedy(beijing, network):
    several = beijing.assign(chance=beijing.pm25.expand_dims(category=3))
    with pytest.raises(MapError, match=r"also the dimension 'category'; .*isel\(category=0\)"):
        map_field(several, variable="chance", time=HOUR)
    with pytest.raises(MapError, match="also the dimension 'height'"):
        map_stations(network.expand_dims(height=2), "pm25", time=HOUR)
    with pytest.raises(MapError, match="observations must be a Dataset; found list"):
        map_field(beijing, time=HOUR, observations=[1])
    with pytest.raises(MapError, match="observations are drawn over the field of a grid"):
        network.aqnet.map(time=HOUR, observations=network)
    daily = network.isel(time=[0])
    daily.time.attrs["step_hours"] = 24.0
    with pytest.raises(MapError, match=r"observations\.aqnet\.aggregate\('day'\)"):
        map_field(beijing, time=HOUR, observations=daily)
    zones = network.rename(station="zone")
    with pytest.raises(MapError, match=r"values of zones: draw their series"):
        zones.aqnet.map("pm25", time=HOUR)
    with pytest.raises(MapError, match="time=5 is no time"):
        map_field(beijing, time=5)
    named = map_field(
        beijing, time=HOUR, observations=network, hidden=str(network.station[0].item())
    )
    assert "hidden station" in legend_of(named)


def test_names_of_cities_leave_the_numbers_of_contours_free():
    product = product_on((112, 120, 36, 42), 0.5)
    product["pm25"] = 10 + 0 * product.pm25 + 5 * np.sin(3 * product.lon) * np.cos(3 * product.lat)
    figure = map_field(product, time=HOUR, contours=True)
    _, renderer = pixels(figure)
    texts = figure.axes[0].texts
    cities = [t.get_window_extent(renderer) for t in texts if t.get_style() == "italic"]
    numbers = [t.get_window_extent(renderer) for t in texts if t.get_gid() == CONTOUR_NUMBER]
    assert len(cities) > 3
    assert len(numbers) > 3
    assert not any(name.overlaps(number) for name in cities for number in numbers)


def test_contours_pass_where_the_field_has_their_value(beijing):
    figure = map_field(beijing, time=HOURS[0], contours=[10.55])
    (lines,) = (c for c in figure.axes[0].collections if isinstance(c, QuadContourSet))
    x = np.concatenate([path.vertices[:, 0] for path in lines.get_paths()])
    # The value is 10 plus the degrees east of the first cell's centre, 115.95.
    expected, _ = project(figure.axes[0].projection, np.array([116.5]), np.array([40.0]))
    np.testing.assert_allclose(x, expected[0], rtol=1e-6)


def test_marks_grow_with_their_values(beijing, network):
    network["pm25"][:, 8] = [10.0, 20.0, 30.0, 40.0]
    figure = map_field(beijing, time=HOUR, observations=network, size_by_value=True)
    sizes = marks_of(figure)[0].get_sizes()
    assert (np.diff(sizes) > 0).all()
    assert legend_of(figure)[1:] == ["0 μg m⁻³", "20 μg m⁻³", "40 μg m⁻³"]


@pytest.mark.parametrize(("how", "word"), [("fade", "paler"), ("hatch", "standard error above")])
def test_cells_with_large_errors_are_pale_or_hatched(beijing, how, word):
    plain, _ = pixels(map_field(beijing, time=HOUR, legend=False, caption=False, cities=False))
    figure = map_field(
        beijing, time=HOUR, uncertain=how, error_above=1.86, legend=False, caption=False,
        cities=False,
    )  # fmt: skip
    shown, _ = pixels(figure)
    changed = (shown != plain).any(axis=-1)
    columns = np.flatnonzero(changed.any(axis=0))
    # Errors are a tenth of the values, 18 to 19.2: the eastern half has larger ones.
    box = figure.axes[0].get_position()
    middle = (box.x0 + box.width * 6 / 13) * shown.shape[1]
    assert columns.min() > middle - 5
    assert changed.sum() > 1000
    if how == "fade":
        assert (shown[changed] >= plain[changed]).mean() > 0.99
    legend = legend_of(map_field(beijing, time=HOUR, uncertain=how, error_above=1.86))
    assert legend[0].startswith(word)
    assert "1.86 μg m⁻³" in legend[0]


def test_what_is_around_a_map_can_be_left_out(beijing, network):
    figure = map_field(
        beijing, time=HOUR, observations=network, title=False, bar=False, legend=False,
        caption=False, cities=False,
    )  # fmt: skip
    assert len(figure.axes) == 1
    assert not figure.legends
    assert words_on(figure).strip(" |") == ""
    assert not any("Beijing" in text.get_text() for text in figure.axes[0].texts)
    assert any("Beijing" in t.get_text() for t in map_field(beijing, time=HOUR).axes[0].texts)


def test_a_caption_counts_the_stations_that_an_inset_covers(beijing):
    corners = stations_at([116.0, 117.1, 116.0, 117.1, 116.5], [39.5, 39.5, 40.5, 40.5, 40.0])
    inset = (116.4, 116.6, 39.9, 40.1)
    said = words_on(map_field(beijing, time=HOUR, observations=corners, inset=inset))
    assert "5 observed stations. 1 of these lies under an inset." in said
    middle = corners.isel(station=[4])
    assert "under" not in words_on(map_field(beijing, time=HOUR, observations=middle, inset=inset))


def test_panels_of_several_hours_say_what_their_labels_mean(beijing):
    hours = ["2014-11-03T02", "2014-11-03T08"]
    assert "Labels: hour starting" in words_on(map_panels(beijing, hours))
    ending = beijing.assign_coords(time=beijing.time.assign_attrs(time_label="end"))
    assert "Labels: hour ending" in words_on(map_panels(ending, hours))


def test_names_of_cities_overlap_neither_each_other_nor_what_covers_the_map():
    figure = map_field(product_on((112, 120, 36, 42), 0.5), time=HOUR, inset="Beijing")
    _, renderer = pixels(figure)
    names = [text for text in figure.axes[0].texts if text.get_style() == "italic"]
    boxes = [text.get_window_extent(renderer) for text in names]
    inset = figure.axes[-1].get_window_extent(renderer)
    assert {"Tianjin", "Taiyuan", "Jinan"} <= {text.get_text() for text in names}
    dots = [line.get_window_extent(renderer) for line in figure.axes[0].lines]
    for i, box in enumerate(boxes):
        assert not box.overlaps(inset)
        assert not any(box.overlaps(dot.padded(-1)) for dot in dots)
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_an_inset_shows_its_part_in_the_same_colours_without_words_of_its_own(beijing, network):
    region = (116.2, 116.6, 39.8, 40.1)
    figure = map_field(beijing, time=HOUR, observations=network, inset=region)
    main, inset = figure.axes[0], figure.axes[2]
    (small,) = (c for c in inset.collections if isinstance(c, QuadMesh))
    assert small.norm is mesh_of(figure).norm
    assert inset.get_title() == ""
    assert inset.get_legend() is None
    assert len(figure.legends) == 1
    x, y = project(main.projection, np.array(region[:2]), np.array(region[2:]))
    np.testing.assert_allclose([*inset.get_xlim(), *inset.get_ylim()], [*x, *y], rtol=1e-6)
    # It lies within the map, and is larger there than its part.
    outer, inner = main.get_position(), inset.get_position()
    assert outer.x0 < inner.x0 < inner.x1 < outer.x1
    assert outer.y0 < inner.y0 < inner.y1 < outer.y1
    assert inner.width > outer.width * np.ptp(x) / np.ptp(main.get_xlim())


def test_insets_of_several_cities_lie_in_corners_of_their_own():
    product = product_on((112, 120, 36, 42), 0.5)
    figure = map_field(product, time=HOUR, inset=["Beijing", "Jinan", (112.2, 113, 37.5, 38.2)])
    boxes = [axes.get_position() for axes in figure.axes[2:]]
    assert len(boxes) == 3
    assert not any(boxes[i].overlaps(boxes[j]) for i in range(3) for j in range(i))


def test_an_inset_of_a_city_is_larger_than_its_part_on_a_map_of_that_city_alone():
    product = product_on((115.9, 116.9, 39.5, 40.5), 0.05)
    figure = map_field(product, time=HOUR, inset="Beijing")
    main, inset = figure.axes[0], figure.axes[2]
    scale = inset.get_position().width / main.get_position().width
    scale *= np.ptp(main.get_xlim()) / np.ptp(inset.get_xlim())
    assert scale == pytest.approx(2, rel=0.01)
    middle = project(main.projection, np.array([116.39]), np.array([39.93]))
    assert np.mean(inset.get_xlim()) == pytest.approx(middle[0][0], abs=1000)
    assert np.mean(inset.get_ylim()) == pytest.approx(middle[1][0], abs=1000)
    with pytest.raises(
        MapError, match=r"0\.48 times as large .* an inset enlarges. Take less than"
    ):
        map_field(product, time=HOUR, inset=(116.0, 116.8, 39.6, 40.4))


def test_a_missing_class_is_not_drawn_as_a_class(beijing, network):
    flags = beijing.pm25_flag.copy()
    flags[:, :4] = 127  # not asked for, such as the sea
    flags.attrs.update(flag_values=[0, 1, 2, 3], flag_meanings="supported far few no_estimate")
    figure = map_field(beijing.assign(pm25_flag=flags), variable="pm25_flag", time=HOUR)
    assert np.ma.getmaskarray(mesh_of(figure).get_array()).sum() == 4 * beijing.sizes["lon"]
    assert legend_of(figure) == ["supported", "no estimate"]
    flags[:, 5] = 3
    figure = map_field(beijing.assign(pm25_flag=flags), variable="pm25_flag", time=HOUR)
    assert legend_of(figure) == ["supported", "no estimate", "not asked for"]


@pytest.mark.parametrize("draw", [map_field, map_stations])
def test_hidden_stations_are_known_by_their_identifiers(beijing, network, draw):
    def counted(observations, hidden):
        drawn = {"observations": observations} if draw is map_field else {}
        source = beijing if draw is map_field else observations
        return words_on(draw(source, time=HOUR, hidden=hidden, **drawn))

    hidden = network.isel(station=[2, 3])
    known = network.isel(station=[0, 1])
    assert "2 observed stations, 2 hidden" in counted(known, hidden)
    plain = [
        one.assign_coords(station_id=("station", one.station.values)).drop_vars("station")
        for one in (known, hidden)
    ]
    assert "2 observed stations, 2 hidden" in counted(*plain)
    with pytest.raises(MapError, match="without identifiers cannot be compared"):
        counted(*(one.drop_vars("station_id") for one in plain))
    with pytest.raises(MapError, match="hidden needs a Dataset of stations or identifiers"):
        counted(known, 5)


@pytest.mark.parametrize("name", ["lat", "lon"])
@pytest.mark.parametrize("projected", [False, True])
def test_a_position_that_is_not_a_number_is_named(beijing, name, projected):
    if projected:
        lon, lat = np.meshgrid(beijing.lon, beijing.lat)
        beijing = beijing.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
        beijing = beijing.assign_coords(lat=(("y", "x"), lat), lon=(("y", "x"), lon))
    lost = beijing.assign_coords({name: beijing[name].where(beijing[name] < beijing[name].max())})
    with pytest.raises(MapError, match=rf"{name} is not a number at \d+ of \d+ (places|cells)"):
        map_field(lost, time=HOUR)


def test_a_map_of_stations_needs_one_in_its_region(network):
    with pytest.raises(MapError, match=r"the region holds no station; they lie within 115.* to 11"):
        map_stations(network, "pm25", time=HOUR, region="Paris")


def test_a_cell_alone_is_as_large_as_its_bounds_say(beijing):
    one = beijing.isel(lat=[3], lon=[4])
    ends = [[float(one.lat[0]) - 0.02, float(one.lat[0]) + 0.02]]
    one = one.assign(lat_bnds=(("lat", "bnds"), ends))
    one = one.assign(lon_bnds=(("lon", "bnds"), np.add(ends, float(one.lon[0] - one.lat[0]))))
    figure = map_field(one, time=HOUR)
    assert "a cell of 0.04°" in words_on(figure)
    assert np.ptp(mesh_of(figure).get_coordinates()[..., 0]) < 4000


def test_signs_that_no_font_has_are_drawn_without_a_warning(network, recwarn):
    figure = map_stations(network, "pm25", time=HOUR, title="\U000e0041 only")
    pixels(figure)
    assert not [one for one in recwarn if "Glyph" in str(one.message)]


# Panels


def test_hours_side_by_side_share_colours_and_one_bar(beijing, network):
    figure = map_panels(
        beijing, ["2014-11-03T00", "2014-11-03T20"], observations=network, hidden=["b"]
    )
    first, second, bar = figure.axes
    assert first.get_title(loc="left") == "2014-11-03 00:00 UTC"
    assert second.get_title(loc="left") == "2014-11-03 20:00 UTC"
    norms = [c.norm for axes in (first, second) for c in axes.collections if hasattr(c, "norm")
             and isinstance(c, QuadMesh)]  # fmt: skip
    assert norms[0] is norms[1]
    assert norms[0].vmax >= 10 + 20
    assert bar.get_ylabel().replace("\xa0", " ") == "PM$_{2.5}$ (μg m⁻³)"
    assert legend_of(figure) == ["observed station", "hidden station"]


def test_estimate_error_draws_and_layers_side_by_side_are_named(beijing):
    product = beijing.assign(pm25_draws=xr.concat([beijing.pm25, beijing.pm25 + 50], "draw"))
    figure = map_panels(
        product, ["value", "uncertainty", 1, "distance_to_nearest_station"], variable="pm25",
        time=HOUR,
    )  # fmt: skip
    titles = [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert [title.split(",")[0] for title in titles] == [
        "Estimate",
        "Standard error",
        "Draw 1",
        "Distance_to_nearest_station",
    ]
    assert len(figure.axes) == 4 + 3  # a bar for values, one for errors, one for distances


def test_limits_are_those_of_the_first_map_and_of_others_of_its_kind(beijing):
    flag = {"flag_values": [0, 1], "flag_meanings": "supported far"}
    beijing["pm25_flag"].attrs = flag
    figure = map_panels(
        beijing, ["value", "uncertainty", "pm25_flag"], variable="pm25", time=HOUR,
        limits=(0, 99), contours=True,
    )  # fmt: skip
    value, error, classes = (
        next(c for c in axes.collections if isinstance(c, QuadMesh)) for axes in figure.axes[:3]
    )
    assert (value.norm.vmin, value.norm.vmax) == (0, 99)
    assert error.norm.vmax < 5
    assert "supported" in legend_of(figure)
    assert isinstance(classes.norm, BoundaryNorm)
    with pytest.raises(MapError, match="columns needs a number"):
        map_panels(beijing, ["value"], time=HOUR, columns="2")


def test_the_title_of_panels_has_all_pollutants_and_of_which_periods_they_are(beijing):
    monthly = beijing.isel(time=[0])
    monthly.pm25.attrs["long_name"] = "monthly mean of PM2.5 mass concentration"
    figure = map_panels(monthly, ["value", "uncertainty"])
    assert figure.texts[0].get_text() == "PM$_{2.5}$ concentration: monthly mean"
    both = beijing.assign(no2=beijing.pm25 * 2)
    figure = map_panels(both, ["pm25", "no2"], time=HOUR)
    assert figure.texts[0].get_text() == "PM$_{2.5}$ concentration; NO$_2$ concentration"


def test_pollutants_side_by_side_are_named(beijing, network):
    error = beijing.pm25_uncertainty
    both = beijing.assign(no2=beijing.pm25 * 2, no2_uncertainty=error)
    figure = map_panels(both, ["pm25", "no2", "pm25_flag"], time=HOUR)
    titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
    assert [title.split(",")[0] for title in titles[:2]] == ["PM$_{2.5}$", "NO$_2$"]
    errors = [{"variable": name, "what": "uncertainty"} for name in ("pm25", "no2")]
    figure = map_panels(both, ["pm25", errors[0], "no2", errors[1]], time=HOUR)
    assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == [
        "PM$_{2.5}$, estimate",
        "PM$_{2.5}$, standard error",
        "NO$_2$, estimate",
        "NO$_2$, standard error",
    ]
    figure = map_panels(beijing, [beijing, network], variable="pm25", time=HOUR)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [
        "Ordinary kriging, estimate",
        "Measured",
    ]


def test_numbers_of_arrays_name_draws_and_columns(beijing):
    product = beijing.assign(pm25_draws=xr.concat([beijing.pm25, beijing.pm25 + 50], "draw"))
    figure = map_field(product, variable="pm25", time=HOUR, draw=np.int64(1))
    assert "draw 1" in words_on(figure)
    assert map_panels(beijing, ["value"], time=HOUR, columns=np.int64(1)).axes


def test_methods_side_by_side_are_called_by_their_keys_or_names(beijing):
    other = beijing.assign(pm25=beijing.pm25 + 1).assign_attrs(method="inverse distance")
    named = map_panels(beijing, {"one": beijing, "other": other}, time=HOUR)
    assert [axes.get_title(loc="left") for axes in named.axes[:2]] == ["one", "other"]
    unnamed = map_panels(beijing, [beijing, other], time=HOUR)
    assert [axes.get_title(loc="left") for axes in unnamed.axes[:2]] == [
        "Ordinary kriging",
        "Inverse distance",
    ]
    assert "Methods: ordinary kriging, inverse distance" in words_on(unnamed)


def test_nothing_of_several_panels_overlaps_or_is_cut_off(beijing, network):
    figure = map_panels(
        beijing, ["2014-11-03T00", "2014-11-03T08", {"what": "uncertainty", "time": HOUR}],
        observations=network,
    )  # fmt: skip
    picture, renderer = pixels(figure)
    assert picture.shape[1] == 1600
    for edge in (picture[:4], picture[-4:], picture[:, :4], picture[:, -4:]):
        assert (edge == 255).all()
    titles = [axes._left_title.get_window_extent(renderer) for axes in figure.axes[:3]]
    for axes, box in zip(figure.axes[:3], titles, strict=True):
        assert box.x1 <= axes.get_window_extent(renderer).x1 + 1


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "1 to 12 maps; found 0"),
        ("value", "needs a list of 1 to 12 maps; found 'value'"),
        ([{"colour": 3}], "a panel has no option colour; it has variable, time"),
        ([None], "a panel is a time"),
        (["2020-01-01"], "no hour 2020-01-01"),
        (["valeu"], "a panel is a time, .* a layer.*found 'valeu'"),
        ([7], "no draws of 'pm25'"),
    ],
)
def test_panels_that_cannot_be_drawn_are_refused(beijing, panels, message):
    with pytest.raises(MapError, match=message):
        map_panels(beijing, panels, time=HOUR)


# Odd networks


def test_one_station_one_value_and_names_of_any_script_are_drawn(tmp_path):
    one = stations_at([116.4], [39.9]).assign_coords(station=["北京 محطة"])
    one["pm25"][:] = np.nan
    one["pm25"][0, 8] = 35.0
    figure = map_stations(one, "pm25", time=HOUR, inset="Beijing", size_by_value=True)
    assert isinstance(figure, Figure)
    (mark,) = (c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    assert mark.get_array().tolist() == [35.0]
    norm = mark.norm
    assert norm.vmin < 35.0 <= norm.vmax
    empty = map_stations(one, "pm25", time="2014-11-03T09", contours=True)
    assert "no station has a value" in " ".join(t.get_text() for t in empty.axes[0].texts)


def test_a_product_without_any_value_is_drawn_whatever_is_asked(beijing, network):
    nothing = beijing.assign(pm25=beijing.pm25 * np.nan)
    figure = map_field(
        nothing, time=HOUR, inset="Beijing", contours=True, uncertain="fade",
        observations=network.assign(pm25=network.pm25 * np.nan), size_by_value=True,
    )  # fmt: skip
    assert "no estimate anywhere" in " ".join(t.get_text() for t in figure.axes[0].texts)
    map_panels(nothing, ["value", "uncertainty"], time=HOUR)
