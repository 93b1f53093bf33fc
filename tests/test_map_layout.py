"""Every text of a map lies within the figure, and none covers another, at full and at half size."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from test_map_style import as_correlated, as_outlook
from test_maps import BEIJING, product_on, stations_at

from aqreanalysis.maps import map_field, map_panels, map_stations

HOUR = "2014-11-03T08"
EUROPE, PACIFIC = (-11.0, 31.0, 36.0, 60.0), (165.0, 200.0, -25.0, 5.0)
#: Boxes of neighbouring lines may touch, by pixels.
TOUCH = 1.0


def drawn_texts(figure, dpi, monkeypatch):
    """Return the words that are drawn at a resolution, each with its box in pixels."""
    drawn = []
    usual = Text.draw

    def noted(self, renderer):
        if self.get_visible() and self.get_text().strip() and self not in drawn:
            drawn.append(self)
        return usual(self, renderer)

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", noted)
        canvas.draw()
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in drawn]


def covered(first, second):
    """Return by how many pixels, of the smaller side, two boxes cover each other."""
    across = min(first.x1, second.x1) - max(first.x0, second.x0)
    up = min(first.y1, second.y1) - max(first.y0, second.y0)
    return min(across, up)


def network_on(region, count=30):
    west, east, south, north = region
    rng = np.random.default_rng(0)
    margin = 0.05 * (east - west)
    longitude = rng.uniform(west + margin, east - margin, count)
    latitude = rng.uniform(south + margin, north - margin, count)
    names = [chr(ord("a") + i) for i in range(count)]
    stations = stations_at(longitude, latitude).assign_coords(station=names)
    stations.pm25[::7] = np.nan
    return stations


def field_on(region, resolution=None):
    product = product_on(region, resolution or (region[1] - region[0]) / 12)
    product["pm25_flag"][8, :2] = 1
    product["pm25_flag"][8, -2:] = 2
    return product


def an_hour(region):
    network = network_on(region)
    return map_field(
        field_on(region), time=HOUR, observations=network, hidden=["b", "c"],
        local_time="America/Argentina/Buenos_Aires",
    )  # fmt: skip


def an_outlook():
    return map_field(as_outlook(field_on(BEIJING)), time=HOUR, title="An outlook " * 6)


def with_insets():
    network = network_on(EUROPE)
    inset = ["Paris", (10.0, 14.0, 47.0, 50.0)]
    return map_field(
        field_on(EUROPE), time=HOUR, observations=network, inset=inset, contours=[15, 20],
        uncertain="hatch",
    )  # fmt: skip


def a_period_error(stated):
    product = field_on(BEIJING)
    product = as_correlated(product) if stated else product
    return map_field(
        product, time="2014-11-03", what="uncertainty", observations=network_on(BEIJING)
    )


def sized_stations():
    return map_stations(network_on(BEIJING), "pm25", time=HOUR, size_by_value=True, hidden=["b"])


def classes():
    return map_field(field_on(BEIJING), variable="pm25_flag", time=HOUR)


def two_panels():
    network = network_on(BEIJING)
    return map_panels(
        field_on(BEIJING), ["value", "uncertainty"], time=HOUR, observations=network, hidden=["b"]
    )


def hours_beside_each_other():
    hours = [f"2014-11-03T{hour:02}" for hour in (2, 8, 14, 20)]
    return map_panels(field_on(EUROPE), hours, observations=network_on(EUROPE))


FIGURES = {
    "an hour of a city": lambda: an_hour(BEIJING),
    "an hour of Europe": lambda: an_hour(EUROPE),
    "an hour over the date line": lambda: an_hour(PACIFIC),
    "an outlook with a long title": an_outlook,
    "two insets": with_insets,
    "the error of a mean": lambda: a_period_error(stated=True),
    "the mean of hourly errors": lambda: a_period_error(stated=False),
    "stations by size": sized_stations,
    "classes": classes,
    "value and error": two_panels,
    "four hours": hours_beside_each_other,
}


@pytest.mark.parametrize("name", FIGURES)
def test_all_words_lie_within_the_figure_and_cover_no_others(name, monkeypatch):
    figure = FIGURES[name]()
    for dpi in (150, 75):
        texts = drawn_texts(figure, dpi, monkeypatch)
        assert len(texts) > 5
        width, height = figure.get_size_inches() * dpi
        outside = [
            words
            for words, box in texts
            if box.x0 < -TOUCH
            or box.y0 < -TOUCH
            or box.x1 > width + TOUCH
            or box.y1 > height + TOUCH
        ]
        assert outside == [], f"outside at {dpi} dpi"
        overlapping = [
            (first[0], second[0])
            for first, second in itertools.combinations(texts, 2)
            if covered(first[1], second[1]) > TOUCH
        ]
        assert overlapping == [], f"overlapping at {dpi} dpi"
