"""Central pictures are those that were judged: each beside a small one in ``tests/pictures``.

Words are left out, since fonts differ; `test_map_layout` judges these. After a change that was
meant, ``python tests/test_pictures.py`` draws them anew: open each before it is committed.
"""

from pathlib import Path
from unittest import mock

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from packaging.version import Version
from PIL import Image
from test_maps import BEIJING, HOURS, product_on, stations_at

from aqreanalysis.figures import plot_calendar, plot_series, plot_time_encoding
from aqreanalysis.maps import map_field, map_panels, map_stations

PICTURES = Path(__file__).with_name("pictures")
HOUR = "2014-11-03T08"
DPI = 40
#: Root of the mean square of differences, of 255: other builds draw edges a little differently;
#: three stations less are 1.2, no contours 1.6, other limits 8.
TOLERANCE = 1.0


def field(**layers):
    """Return a front across Beijing, with its error, flags and a cell without an estimate."""
    product = product_on(BEIJING)
    along = product.pm25 * 0 + (product.lon - 116.4) + 0.5 * (product.lat - 40.0)
    units = {"units": "ug m-3"}
    product["pm25"] = (150 + 120 * np.tanh(4 * along)).assign_attrs(units)
    product["pm25_uncertainty"] = (20 + 60 * abs(along)).assign_attrs(units)
    flag = product.pm25_flag.copy()
    flag[:, :3] = 1
    flag[:, 8:, 9:] = 2
    flag.attrs.update(flag_values=[0, 1, 2, 3], flag_meanings="supported far few no_estimate")
    product["pm25_flag"] = flag
    product["pm25"][:, 10, 1] = np.nan
    return product.assign(**layers)


def network():
    """Return six stations, one of them without a value."""
    stations = stations_at(
        [115.9, 116.2, 116.4, 116.45, 116.8, 116.9], [39.6, 40.2, 39.9, 39.95, 40.3, 39.7]
    )
    stations["pm25"] = stations.pm25 + np.array([[50.0, 120, 180, 240, 200, np.nan]]).T
    stations.pm25.attrs["units"] = "ug m-3"
    return stations


def november():
    """Return forty days of a station, each with higher values."""
    hours = xr.date_range("2014-11-01", periods=960, freq="h")
    return stations_at([116.4], [39.9], hours=hours)


def difference():
    product = field()
    less = (product.pm25 - 150).assign_attrs(long_name="difference of PM2.5", units="ug m-3")
    return product.assign(pm25=less)


def probability():
    product = field()
    chance = (product.pm25 / 300).assign_attrs(long_name="probability of PM2.5 above 75", units="1")
    return product.assign(pm25_above_75=chance)


def index():
    product = field()
    attributes = {
        "flag_values": [0, 1, 2], "flag_meanings": "good moderate unhealthy",
        "flag_colors": "#00e400 #ffff00 #ff7e00",
    }  # fmt: skip
    classes = (product.pm25.fillna(300) // 100).clip(0, 2).astype(np.int8)
    return product.assign(index_category=classes.assign_attrs(attributes))


def outlook():
    return network().assign_coords(forecast_reference_time=np.datetime64("2014-11-03", "ns"))


def filled():
    stations = network()
    origin = xr.zeros_like(stations.pm25, np.int8)
    origin[:, 4:7] = 1
    return stations.assign(pm25_origin=origin, pm25_uncertainty=stations.pm25 * 0 + 4)


FIGURES = {
    "value": lambda: map_field(field(), time=HOUR, observations=network(), hidden=["b"]),
    "error": lambda: map_field(
        field(), time=HOUR, observations=network(), hidden=["b"], what="uncertainty"
    ),
    "flag": lambda: map_field(field(), variable="pm25_flag", time=HOUR),
    "index": lambda: map_field(index(), variable="index_category", time=HOUR),
    "probability": lambda: map_field(probability(), variable="pm25_above_75", time=HOUR),
    "difference": lambda: map_field(difference(), time=HOUR),
    "levels": lambda: map_field(
        field(), time=HOUR, levels=[0, 35, 75, 150, 250], uncertain="hatch", contours=[100, 200]
    ),
    "inset": lambda: map_field(field(), time=HOUR, observations=network(), inset="Beijing"),
    "panels": lambda: map_panels(
        field(), ["value", "uncertainty"], time=HOUR, observations=network()
    ),
    "outlook": lambda: map_stations(outlook(), "pm25", time=HOUR, size_by_value=True),
    "filled": lambda: map_stations(filled(), "pm25", time=HOURS[5]),
    "series": lambda: plot_series(filled(), "c"),
    "calendar": lambda: plot_calendar(november(), "a", levels=[0, 200, 500, 800]),
    "time_encoding": plot_time_encoding,
}


def drawn(name):
    """Return a figure without its words, (height, width, 3) uint8."""
    figure = FIGURES[name]()
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    with mock.patch.object(Text, "draw", return_value=None):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@pytest.mark.skipif(
    Version(matplotlib.__version__) < Version("3.10"), reason="edges are those of matplotlib 3.10"
)
@pytest.mark.parametrize("name", FIGURES)
def test_a_picture_is_the_one_that_was_judged(name, tmp_path):
    picture = drawn(name)
    judged = np.asarray(Image.open(PICTURES / f"{name}.png").convert("RGB"))
    assert picture.shape == judged.shape
    away = float(np.sqrt(np.mean((picture.astype(float) - judged) ** 2)))
    Image.fromarray(picture).save(tmp_path / f"{name}.png")
    assert away < TOLERANCE, f"compare {tmp_path / name}.png with {PICTURES / name}.png"


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for each in FIGURES:
        Image.fromarray(drawn(each)).save(PICTURES / f"{each}.png", optimize=True)
