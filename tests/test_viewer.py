"""The viewer shows the product's numbers, in a real browser, and asks nothing of a network."""

import base64
import hashlib
import itertools
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from product_cases import make_observations, make_product
from report_cases import HOSTILE
from scipy.ndimage import gaussian_filter

from aqreanalysis.predictive import RootNormal
from aqreanalysis.product import ProductError
from aqreanalysis.viewer import ViewerError, contents, write_viewer
from aqreanalysis.viewer.clock import Clock
from aqreanalysis.viewer.contents import view_of
from aqreanalysis.viewer.packing import Quantised, packed
from aqreanalysis.viewer.places import raster_of

LAPTOP, PHONE = (1366, 768), (390, 844)
VENDOR = Path(contents.__file__).parent / "vendor"
#: SHA-256 of the files of the published packages leaflet 1.9.4 and uplot 1.6.32.
PUBLISHED = {
    "leaflet.js": "db49d009c841f5ca34a888c96511ae936fd9f5533e90d8b2c4d57596f4e5641a",
    "leaflet.css": "a7837102824184820dfa198d1ebcd109ff6d0ff9a2672a074b9a1b4d147d04c6",
    "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def unpacked(parcel):
    """Return the integers of a parcel, as the page does it."""
    size = int(parcel["bytes"])
    planes = np.frombuffer(zlib.decompress(base64.b64decode(parcel["text"])), np.uint8)
    folded = planes.reshape(size, -1).T.copy().view(f"<u{size}").ravel()
    signed = (folded >> 1).astype(f"i{size}") ^ -(folded & 1).astype(f"i{size}")
    values = signed.astype(f"u{size}").reshape(parcel["shape"])
    for axis in parcel["axes"]:
        values = np.cumsum(values, axis=axis, dtype=values.dtype)
    return values


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.uint32]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    ),
    st.permutations([0, 1, 2]),
    st.integers(1, 3),
)
def test_what_is_packed_comes_back_bit_for_bit(values, axes, count):
    np.testing.assert_array_equal(unpacked(packed(values, axes[:count])), values)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(max_side=6),
        elements=st.floats(0, 2000, width=32) | st.just(np.nan),
    ),
    st.booleans(),
)
def test_a_step_is_off_by_the_stated_rounding_at_most(values, root):
    steps = Quantised.of(values, root=root)
    scaled = steps.low + steps.steps * (steps.high - steps.low) / steps.levels
    numbers = scaled**2 if root else scaled
    missing = steps.steps == steps.levels + 1
    np.testing.assert_array_equal(missing, np.isnan(values))
    off = np.abs(numbers - values)[~missing]
    assert (off <= steps.rounding * (1 + 1e-6) + 1e-6 * steps.high**2).all()


def test_local_time_is_that_of_the_zone_or_of_the_longitude():
    product = make_product(chunks={"time": -1})
    beijing = Clock.of(product, (115.0, 117.0), None)
    assert (beijing.zone, set(beijing.offset)) == ("UTC+8, at 116° E", {480})
    assert Clock.of(product, (242.0, 246.0), None).zone == "UTC\u22128, at 116° W"
    assert Clock.of(product, (-180.0, 180.0), None).zone == ""
    time = pd.date_range("2014-11-02T04", periods=4, freq="h")  # summer time ends at 06 UTC
    autumn = xr.Dataset(coords={"time": time}).assign_coords(
        time_bnds=(("time", "bnds"), np.stack([time, time + pd.Timedelta("1h")], axis=1))
    )
    assert Clock.of(autumn, (0.0, 1.0), "America/New_York").offset.tolist() == [
        -240,
        -240,
        -300,
        -300,
    ]
    with pytest.raises(ValueError, match="such as Asia/Shanghai; found 'Peking'"):
        Clock.of(product, (115.0, 117.0), "Peking")


def polar_product(case):
    """Return hours around a pole: in degrees, in a polar projection, or with centres alone."""
    if case == "polar degrees":
        lat, lon = np.arange(62.5, 90, 5.0), np.arange(-180, 180, 15.0)
        coords = {"lat": lat, "lon": lon}
        dims = ("time", "lat", "lon")
    else:
        side = (np.arange(8) - 3.5) * 500_000.0
        longitude, latitude = POLAR.transform(*np.meshgrid(side, side), direction="INVERSE")
        coords = {"lat": (("y", "x"), latitude), "lon": (("y", "x"), longitude)}
        dims = ("time", "y", "x")
        if case == "polar projection":
            coords |= {"y": side, "x": side, "crs": ((), 0, pyproj.CRS("EPSG:3413").to_cf())}
    hours = xr.date_range("2014-11-01", periods=3, freq="h")
    shape = tuple(np.shape(coords["lat"][-1])) if len(dims) == 3 and "y" in dims else (6, 24)
    values = np.arange(3 * np.prod(shape), dtype=float).reshape(3, *shape) / 10
    product = xr.Dataset(
        {"pm25": (dims, values, {"units": "ug m-3"})}, coords={"time": hours, **coords}
    )
    product.time.attrs.update(time_label="start", step_hours=1.0)
    return product


POLAR = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3413", always_xy=True)
CASES = ["geographic", "projected", "date line"]
POLAR_CASES = ["polar degrees", "polar projection", "polar centres"]


@pytest.mark.parametrize("case", [*CASES, *POLAR_CASES])
def test_every_cell_is_in_the_picture_where_it_lies(case):
    product = make_product(case) if case in CASES else view_of(polar_product(case), None).product
    raster = raster_of(product, product)
    assert raster.shape == tuple(product.pm25.shape[1:])
    shown = np.unique(raster.cell)
    cells = np.prod(raster.shape)
    np.testing.assert_array_equal(shown[shown < cells], np.arange(cells))
    west, east, south, north = raster.region
    assert south < north
    rows, columns = raster.cell.shape
    longitude, latitude = (product[name].values for name in ("lon", "lat"))
    if longitude.ndim == 1:
        longitude, latitude = np.meshgrid(longitude, latitude)
    if raster.plane is None:
        assert west < east <= west + 360
        across = (longitude - west) % 360 / (east - west)
        top, bottom, height = (np.arcsinh(np.tan(np.radians(y))) for y in (north, south, latitude))
    else:
        x, height = raster.plane.place(longitude, latitude)
        across, top, bottom = (x - west) / (east - west), north, south
    column = (across * columns).astype(int)
    row = ((top - height) / (top - bottom) * rows).astype(int)
    np.testing.assert_array_equal(raster.cell[row, column].ravel(), np.arange(cells))
    assert (raster.plane is None) == (case in ("geographic", "date line"))
    if raster.plane is not None:  # a metre is a metre in both directions
        assert (east - west) / columns == pytest.approx((north - south) / rows, rel=0.05)


def test_cells_of_which_centres_alone_are_known_are_drawn_too():
    product = make_product("projected").load()
    bare = product.drop_vars(["x", "y", "x_bnds", "y_bnds", "crs"])
    raster = raster_of(bare, bare)
    shown = np.unique(raster.cell)
    np.testing.assert_array_equal(shown[shown < 100], np.arange(100))


def smooth_product(hours, rows, columns):
    """Return a product whose field is about as smooth as one of stations, with its error."""
    draw = np.random.default_rng(0)
    rough = draw.normal(size=(hours, rows, columns)).astype(np.float32)
    field = gaussian_filter(rough, (1.5, 4, 4))
    mean = 40 * np.exp(0.7 * field / field.std()).astype(np.float32)
    time = pd.date_range("2014-11-01", periods=hours, freq="h")
    layers = {"pm25": mean, "pm25_uncertainty": 0.3 * mean**0.8 + 0.2 * np.roll(mean, 3, 2) ** 0.7}
    product = xr.Dataset(
        {name: (("time", "lat", "lon"), values) for name, values in layers.items()},
        coords={
            "time": ("time", time, {"time_label": "start", "step_hours": 1.0}),
            "lat": 24.625 + 0.25 * np.arange(rows),
            "lon": -124.875 + 0.25 * np.arange(columns),
        },
        attrs={"history": "made for a test"},
    )
    flag = ("time", "lat", "lon"), (mean > 90).astype(np.int8)
    meanings = {"flag_values": [0, 1, 2, 3], "flag_meanings": "supported far few none"}
    return product.assign(pm25_flag=(*flag, meanings))


def test_a_week_of_a_continent_takes_less_than_ten_megabytes(tmp_path):
    path = write_viewer(smooth_product(168, 100, 230), tmp_path / "week.html", progress=False)
    assert path.stat().st_size < 10e6


def test_a_larger_product_is_thinned_and_says_so(monkeypatch):
    monkeypatch.setattr(contents, "MOST_VALUES", 20_000)
    product = smooth_product(24, 30, 45)
    view = contents.view_of(product, ["pm25"])
    # 24 hours of 1350 cells in two layers, the error for the interval: 1.8 times the room.
    assert view.every == 2
    expected = product.pm25.isel(lat=slice(0, None, 2), lon=slice(0, None, 2))
    values = contents.computed(view, progress=False)
    np.testing.assert_array_equal(values["pm25"], expected.values.reshape(24, -1))
    options = {"observations": None, "hidden": None, "limits": None, "time_zone": None}
    content = contents.contents_of(view, **options, progress=False)
    assert any("one cell of 2 × 2 is shown" in note for note in content["notes"])
    whole = contents.view_of(product.isel(time=[0]), ["pm25"])
    assert (
        raster_of(view.product, view.whole).region == raster_of(whole.product, whole.whole).region
    )


def forbidden(layer):
    """Return a lazy layer that fails when it is computed."""

    def fail(values):
        raise AssertionError("it was computed")

    return layer.copy(data=layer.data.map_blocks(fail, dtype=layer.dtype, meta=layer.data._meta))


def shown_stations(product, **options):
    """Return what the page holds of stations."""
    options = {"observations": None, "hidden": None, "limits": None, "time_zone": None} | options
    return contents.contents_of(contents.view_of(product, None), progress=False, **options)


def test_measurements_stand_at_their_own_stations_whatever_the_order():
    product, observations = make_product("stations").load(), make_observations()
    turned = observations.isel(station=[2, 0])
    page = shown_stations(product, observations=turned, hidden=["b"])
    assert page["measured"]["id"] == page["stations"]["id"] == ["a", "b", "ç"]
    assert page["measured"]["hidden"] == [False, True, False]
    rows = np.array(page["measured"]["values"]["pm25"], float)
    np.testing.assert_allclose(rows[:, [0, 2]], observations.pm25.T[:, [0, 2]], atol=0.005)
    assert np.isnan(rows[:, 1]).all()


def test_hidden_stations_stand_beside_the_others_with_what_they_measured():
    product, observations = make_product().load(), make_observations()
    hidden = observations.isel(station=[1]).assign_coords(station=["h"])
    page = shown_stations(product, observations=observations, hidden=hidden)["measured"]
    assert (page["id"], page["hidden"]) == (["a", "b", "ç", "h"], [False] * 3 + [True])
    rows = np.array(page["values"]["pm25"], float)
    np.testing.assert_array_equal(rows[:, 3], rows[:, 1])
    twice = shown_stations(
        product, observations=observations, hidden=observations.isel(station=[1])
    )
    assert twice["measured"]["id"] == ["a", "ç", "b"]
    places = shown_stations(product, hidden=hidden.drop_vars("pm25"))["measured"]
    assert (places["id"], places["hidden"], places["values"]) == (["h"], [True], {})


def test_what_cannot_be_viewed_is_refused_with_the_remedy(tmp_path, monkeypatch):
    target = tmp_path / "viewer.html"
    computed = make_product(chunks={"time": -1})
    product = computed.map(forbidden, keep_attrs=True)  # whatever is wrong is said before the work

    def refused(match, product=product, error=ViewerError, **options):
        with pytest.raises(error, match=match):
            write_viewer(product, target, progress=False, **options)

    refused("there is nothing to view: pm25 has no value", computed.where(computed.pm25 < 0))
    refused("has no time", product.isel(time=slice(0)))
    refused("layers must be among pm25, .*; found 'pm26'", layers=["pm26"])
    refused("layers must be among", layers=[])
    refused("Select it|needs dimensions", product.isel(lat=0), error=ProductError)
    refused(
        "no pollutant to show: .*product.isel",
        product.expand_dims(draw=3).drop_vars("draw", errors="ignore"),
    )
    several = product.expand_dims(forecast_reference_time=3)
    refused(r"select one, product.isel\(forecast_reference_time=0\)", several)
    refused("such as Asia/Shanghai; found 'Mars/Base'", error=ValueError, time_zone="Mars/Base")
    one = product.isel(lat=[0], lon=[0]).drop_vars(["lat_bnds", "lon_bnds"], errors="ignore")
    refused("give the product lat_bnds and lon_bnds, or draw its series", one)
    refused("ascending numbers", error=ValueError, limits=(5.0, 5.0))
    observations = make_observations(label="end")
    refused("time_label='end', the product has 'start'", observations=observations)
    refused("have no pm25; they have pm10", observations=observations.rename(pm25="pm10"))
    refused("not among those shown: x, y; give them", hidden=["y", "x"])
    at_stations = make_product("stations")
    others = make_observations().assign_coords(station=["x", "y", "z"])
    refused("none of the product's stations, such as a, b, ç", at_stations, observations=others)
    monkeypatch.setattr(contents, "MOST_VALUES", 20)
    refused(r"too large for one page: 30 steps of 10 × 20 cells .*product.sel\(time=")
    refused("steps of 3 stations", make_observations(hours=300).assign_attrs(history="a file"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"a viewer is written as .html; found 'viewer.pdf'"):
        write_viewer(product, tmp_path / "viewer.pdf")


def test_the_libraries_are_those_that_were_published_with_their_licences():
    digests = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in PUBLISHED}
    assert digests == PUBLISHED
    assert "BSD 2-Clause" in (VENDOR / "leaflet.LICENSE.txt").read_text()
    assert "The MIT License" in (VENDOR / "uplot.LICENSE.txt").read_text()


class Opened:
    """A page in a window, with all that it asked for and complained of."""

    def __init__(self, browser, path, size):
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        self.asked, self.wrong = [], []
        self.page.on("request", lambda one: self.asked.append(one.url))
        self.page.on("console", lambda one: self.wrong.append(one.text))
        self.page.on("pageerror", lambda one: self.wrong.append(str(one)))
        self.page.on("dialog", lambda one: self.wrong.append(one.message))
        self.page.context.set_offline(True)  # whatever it asked for, it would not get
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]", timeout=20_000)
        self.uri = path.as_uri()

    def click_at(self, longitude, latitude, plane=None):
        if plane is not None:
            longitude, latitude = (float(metres) for metres in plane.place(longitude, latitude))
        x, y = self._settled(
            "([x, y]) => { viewer.map.panInside([y, x], { padding: [40, 40], animate: false });"
            "const at = viewer.map.latLngToContainerPoint([y, x]);"
            "const box = document.getElementById('map').getBoundingClientRect();"
            "return [box.left + at.x, box.top + at.y]; }",
            [longitude, latitude],
        )
        self.page.mouse.click(x, y)

    def _settled(self, expression, argument):
        """Return the value of an expression once the layout, which follows its texts, rests."""
        value = self.page.evaluate(expression, argument)
        for _ in range(100):
            self.page.wait_for_timeout(50)
            before, value = value, self.page.evaluate(expression, argument)
            if value == before:
                return value
        raise AssertionError("the page does not come to rest within five seconds")

    def text(self, selector):
        return self.page.text_content(selector)

    def frame(self):
        return self.page.evaluate("viewer.state.frame")

    def wait_for(self, condition):
        """Wait until a condition holds; the page's policy lets no script be made of a text."""
        for _ in range(100):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not within five seconds: {condition}")

    def close(self):
        assert self.wrong == []
        assert [url for url in self.asked if not url.startswith("data:")] == [self.uri]
        self.page.close()


on_laptop_and_phone = pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])


@pytest.fixture
def open_page(browser, tmp_path):
    """Return what writes a product and opens its page, which must end without a complaint."""
    opened = []

    def write_and_open(product, *, size=LAPTOP, **options):
        path = write_viewer(product, tmp_path / "viewer.html", progress=False, **options)
        opened.append(Opened(browser, path, size))
        return opened[-1]

    yield write_and_open
    for each in opened:
        each.close()


def hostile_observations():
    """Return stations with the names of an enemy, one of them no text at all."""
    observations = make_observations()
    names = [HOSTILE[0], HOSTILE[1], HOSTILE[4] + "\ud800"]
    return observations.assign_coords(name=("station", names))


@pytest.mark.parametrize(
    ("case", "size"), [("geographic", PHONE), ("projected", LAPTOP), ("date line", LAPTOP)]
)
def test_a_clicked_cell_has_the_value_and_interval_of_the_product(open_page, case, size):
    product = make_product(case).load()
    product.pm25_uncertainty.attrs["degrees_of_freedom"] = 6.0
    opened = open_page(product, size=size)
    row, column, hour = 4, 6, 7
    longitude, latitude = (product[name] for name in ("lon", "lat"))
    if longitude.ndim == 1:
        place = float(longitude[column]), float(latitude[row])
    else:
        place = float(longitude[row, column]), float(latitude[row, column])
    plane = raster_of(product, product).plane
    west = opened.page.evaluate("viewer.page.region[0]")
    opened.click_at(place[0] if plane else west + (place[0] - west) % 360, place[1], plane)
    for _ in range(hour):
        opened.page.keyboard.press("ArrowRight")
    cell = opened.page.evaluate("viewer.state.place.cell")
    assert cell == row * product.pm25.shape[2] + column
    layer = "viewer.page.layers.pm25"
    value = opened.page.evaluate(f"viewer.valueOf({layer}, viewer.state.frame, {cell})")
    estimate, error = (
        float(product[name][hour, row, column]) for name in ("pm25", "pm25_uncertainty")
    )
    assert value == pytest.approx(estimate, abs=opened.page.evaluate(f"{layer}.rounding"))
    ends = opened.page.evaluate(f"viewer.intervalOf('pm25', viewer.state.frame, {cell})")
    distribution = RootNormal.from_median(np.array(estimate), np.array(error), freedom=6.0)
    assert ends == pytest.approx([float(distribution.quantile(p)) for p in (0.05, 0.95)], rel=0.02)
    assert f"{ends[0]:.1f} to" in opened.text("#readout")
    assert opened.text("#utc") == "2014-11-01 07:00–08:00 UTC"
    assert opened.page.is_visible("#series canvas")
    assert opened.page.evaluate("viewer.state.plot.data.map((row) => row.length)") == [30] * 4


@on_laptop_and_phone
def test_names_are_text_whatever_they_hold(open_page, size):
    observations, product = hostile_observations(), make_product().load()
    opened = open_page(product, size=size, observations=observations, title=HOSTILE[0])
    for at, name in enumerate(observations["name"].values):
        station = observations.isel(station=at)
        opened.click_at(float(station.longitude), float(station.latitude))
        shown = opened.text("#name")
        assert shown.startswith(str(name).replace("\ud800", "\ufffd")) or shown.startswith(name)
        assert shown.endswith(f" ({station.station.item()})")
        assert "measured: " in opened.text("#readout")
    assert opened.page.evaluate("viewer.state.plot.data.length") == 5  # one row is measured
    assert opened.page.title() == HOSTILE[0]
    assert opened.text("h1") == HOSTILE[0]
    assert opened.page.evaluate("document.images.length") == 0


def test_a_product_at_stations_is_clicked_and_played(open_page):
    product = make_product("stations").load()
    opened = open_page(product.assign_coords(name=hostile_observations()["name"]))
    second = product.isel(station=1)
    opened.click_at(float(second.longitude), float(second.latitude))
    assert opened.text("#name") == f"{HOSTILE[1]} (b)"
    series = opened.page.evaluate("viewer.state.plot.data[3]")
    rounding = opened.page.evaluate("viewer.page.layers.pm25.rounding")
    np.testing.assert_allclose(series, second.pm25.values, atol=rounding)
    opened.page.click("#play")
    opened.wait_for("viewer.state.frame >= 3")
    assert opened.page.get_attribute("#play", "aria-label") == "pause"
    opened.page.click("#play")
    stopped = opened.frame()
    opened.page.wait_for_timeout(450)
    assert opened.frame() == stopped


def test_a_hidden_station_is_a_diamond_and_called_so(open_page):
    observations = make_observations()
    opened = open_page(make_product().load(), observations=observations, hidden=["b"])
    assert "station hidden from the method" in opened.text("#legend")
    for at, station in enumerate(observations.station.values):
        one = observations.isel(station=at)
        opened.click_at(float(one.longitude), float(one.latitude))
        assert ("hidden from the method" in opened.text("#readout")) == (station == "b")
        assert "measured: " in opened.text("#readout")


def test_keys_and_slider_choose_the_hour(open_page):
    opened = open_page(make_product().load())
    press = opened.page.keyboard.press
    for key, frame in (
        ("ArrowRight", 1), ("Shift+ArrowRight", 25), ("End", 29), ("ArrowRight", 29),
        ("Shift+ArrowLeft", 5), ("ArrowLeft", 4), ("Home", 0), ("ArrowLeft", 0),
    ):  # fmt: skip
        press(key)
        assert opened.frame() == frame, key
    opened.page.focus("#slider")
    press("ArrowRight")
    assert opened.frame() == 1  # once, though the slider knows the key too
    opened.page.fill("#slider", "12")
    assert opened.text("#utc") == "2014-11-01 12:00–13:00 UTC"
    assert opened.text("#local").strip() == "Sat 20:00–21:00 (UTC+8, at 116° E)"
    press("Space")
    opened.wait_for("viewer.state.frame > 13")
    press("Space")


@on_laptop_and_phone
def test_each_layer_has_its_legend_and_nothing_lies_outside_the_window(open_page, size):
    product = make_product().load().aqnet.exceedance(75.0).aqnet.index("china")
    opened = open_page(product, size=size)
    expected = {
        "pm25": "PM2.5 mass concentration (μg m⁻³)",
        "pm25_uncertainty": "Standard error of PM2.5 mass concentration (μg m⁻³)",
        "pm25_flag": "far from stations",
        "distance_to_nearest_station": "(km)",
        "pm25_above_75": "100 %",
        "index": "air quality index",
        "index_category": "excellent",
    }
    assert opened.page.evaluate("viewer.page.shown") == list(expected)
    for name, words in expected.items():
        opened.page.select_option("#layer", name)
        opened.wait_for(f"viewer.state.layer.name === '{name}'")
        assert words.lower() in opened.text("#legend").lower(), name
    opened.click_at(116.0, 39.5)
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    outside = """() => [...document.querySelectorAll("button, select, input, #legend, #readout")]
      .map((one) => one.getBoundingClientRect()).filter((box) => box.width
        && (box.left < 0 || box.right > innerWidth || box.top < 0 || box.bottom > innerHeight))"""
    assert opened.page.evaluate(outside) == []
    opened.page.click("#about")
    assert "nine of ten new measurements" in opened.text("#notes")
    opened.page.click("#notes form button")


@on_laptop_and_phone
def test_numbers_of_the_scale_cover_none_of_each_other(open_page, size):
    product = make_product().load()
    product["pm25"][:] *= 10  # beyond the limits, so that the last number is "≥ 120"
    opened = open_page(product, size=size, limits=(0.0, 120.0))
    shown = opened.page.evaluate(
        """() => [...document.querySelectorAll("#legend .ticks span")]
          .filter((mark) => mark.style.visibility !== "hidden")
          .map((mark) => [mark.textContent, mark.getBoundingClientRect().left,
            mark.getBoundingClientRect().right])"""
    )
    assert shown[-1][0] == "≥ 120"
    assert len(shown) > 4
    assert all(first[2] < second[1] for first, second in itertools.pairwise(shown))


def test_one_hour_needs_no_slider_and_no_hours_no_clock(open_page):
    product = make_product().load()
    opened = open_page(product.isel(time=3))
    assert not opened.page.is_visible("#slider")
    opened.click_at(116.05, 39.45)
    assert "μg m⁻³" in opened.text("#readout")
    assert not opened.page.is_visible("#panel")
    dropped = product.isel(time=3, drop=True)  # as a mean over time would be
    with pytest.raises(ProductError, match=r"time is gone.*Select hours as product.isel\(time="):
        open_page(dropped)
    for layer in dropped.data_vars.values():
        layer.attrs.pop("averaging_hours", None)
    del dropped.attrs["time_coverage_resolution"]
    assert not open_page(dropped.drop_vars("time_bnds")).page.is_visible("#clock")


def test_means_of_days_have_the_interval_of_their_quantiles(open_page):
    product = make_product().load().drop_vars("pm25_flag")
    daily = product.isel(time=slice(0, 24)).resample(time="D").mean(keep_attrs=True)
    daily = daily.assign(pm25_q05=daily.pm25 * 0.8, pm25_q95=daily.pm25 * 1.3)
    daily.time.attrs.update(time_label="start", step_hours=24.0)
    for layer in daily.data_vars.values():
        layer.attrs = {"units": "ug m-3", "averaging_hours": 24.0}
    opened = open_page(daily.drop_vars("time_bnds", errors="ignore"))
    assert "pm25_q05" not in opened.page.evaluate("viewer.page.shown")
    ends = opened.page.evaluate("viewer.intervalOf('pm25', 0, 27)")
    value = float(daily.pm25[0].values.ravel()[27])
    assert ends == pytest.approx([0.8 * value, 1.3 * value], rel=0.02)
    assert opened.text("#utc") == "2014-11-01 UTC"


def test_what_is_below_zero_has_no_interval_of_roots(open_page):
    product = make_product().load()
    below = product.assign(pm25=(product.pm25 - 1000.0).assign_attrs(product.pm25.attrs))
    opened = open_page(below)
    assert opened.page.evaluate("viewer.intervalOf('pm25', 0, 27)") is None
    opened.page.keyboard.press("Enter")
    assert "NaN" not in opened.text("#readout") + opened.text("#panel")


def test_places_are_chosen_without_a_pointer(open_page):
    product, observations = make_product().load(), make_observations()
    opened = open_page(product, observations=observations)
    for key, name in (
        ("Down", "Gate (a)"),
        ("Down", "Lake (b)"),
        ("Up", "Gate (a)"),
        ("Up", "Olympic (ç)"),
    ):
        opened.page.keyboard.press(f"Arrow{key}")
        assert opened.text("#name") == name
        assert "measured: " in opened.text("#readout")
    opened.page.keyboard.press("Escape")
    cells = open_page(product)
    cells.page.keyboard.press("ArrowDown")
    assert not cells.page.is_visible("#panel")  # there is no station
    cells.page.keyboard.press("Enter")
    assert cells.text("#name").startswith("Cell at 39.5")
    assert cells.page.is_visible("#series canvas")


def test_filled_gaps_are_not_called_measured(open_page):
    filled = make_observations().assign(pm25_origin=make_observations().pm25.astype(np.int8) * 0)
    filled["pm25"].attrs = {"units": "ug m-3", "coverage_content_type": "physicalMeasurement"}
    assert open_page(filled).text("h1").endswith("measured at stations, gaps filled")


def test_the_command_writes_a_page_and_refuses_before_it_reads(run, tmp_path):
    product, page = tmp_path / "pm25.nc", tmp_path / "viewer.html"
    make_product().aqnet.to_netcdf(product, progress=False)
    observations = make_observations()
    observations.pm25.attrs["units"] = "ug m-3"
    stations = observations.aqnet.to_table(tmp_path / "stations.csv")
    options = ["--observations", stations, "--time-zone", "Asia/Shanghai", "--layer", "pm25"]
    period = ["--time", "2014-11-01T03", "2014-11-01T08", "--limits", 0, 90]
    status, out, err = run("view", product, "-o", page, *options, *period)
    assert (status, err.count("Traceback")) == (0, 0), err
    assert out.startswith(f"{page}: 0.")
    assert page.read_text().count('"zone": "Asia/Shanghai"') == 1
    status, _, err = run("view", tmp_path / "none.nc", "-o", tmp_path / "viewer.pdf")
    assert status == 1
    assert "a viewer is written as .html" in err
    status, _, err = run("view", tmp_path / "none.nc", "-o", page)
    assert status == 1
    assert "none.nc" in err


def test_draws_are_layers_to_be_chosen_and_otherwise_said_not_to_be_shown(tmp_path):
    product = make_product().load()
    halves = np.stack([0.5 * product.pm25.values, 1.5 * product.pm25.values])
    words = {"long_name": "draws of PM2.5", "units": "ug m-3", "averaging_hours": 1.0}
    product["pm25_draws"] = (("draw", *product.pm25.dims), halves, words)
    options = {"observations": None, "hidden": None, "limits": None, "time_zone": None}
    page = contents.contents_of(view_of(product, None), progress=False, **options)
    assert page["shown"] == [
        "pm25", "pm25_uncertainty", "pm25_flag", "distance_to_nearest_station",
    ]  # fmt: skip
    assert page["facts"][-1] == "2 draws not shown"
    assert "layers=['pm25', 'pm25_draw_0'] shows one" in " ".join(page["notes"])
    page = contents.contents_of(
        view_of(product, ["pm25", "pm25_draw_1"]), progress=False, **options
    )
    drawn, owner = (page["layers"][name] for name in ("pm25_draw_1", "pm25"))
    assert drawn["title"] == "PM2.5, draw 1"
    assert (drawn["limits"], drawn["palette"]) == (owner["limits"], owner["palette"])
    assert drawn["variable"] == "pm25"
    with pytest.raises(ViewerError, match="pm25_draw_0 to pm25_draw_1; found 'pm10'"):
        view_of(product, ["pm10"])


def test_zones_are_no_page():
    zones = xr.Dataset({"pm25": (("zone", "time"), np.ones((2, 3)))})
    with pytest.raises(ViewerError, match="values of zones: draw their series"):
        view_of(zones, None)


@pytest.mark.parametrize("case", POLAR_CASES)
def test_a_clicked_cell_around_a_pole_is_the_one_that_lies_there(open_page, case):
    product = polar_product(case)
    view = view_of(product, None)
    raster = raster_of(view.product, view.product)
    opened = open_page(product)
    longitude, latitude = (view.product[name].values for name in ("lon", "lat"))
    if longitude.ndim == 1:
        longitude, latitude = np.meshgrid(longitude, latitude)
    cell = longitude.size // 2 + 2
    place = (longitude.ravel()[cell] + 180) % 360 - 180, latitude.ravel()[cell]
    opened.click_at(*place, raster.plane)
    assert opened.page.evaluate("viewer.state.place.cell") == cell
    side = "W" if place[0] < 0 else "E"
    assert opened.text("#name") == f"Cell at {place[1]:.2f}° N, {abs(place[0]):.2f}° {side}"
    cities = opened.page.evaluate("viewer.page.surroundings.cities.length")
    assert cities > 20
    assert opened.page.evaluate("document.querySelector('.leaflet-control-scale-line').textContent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observations": "stations.csv"}, "observations must be a Dataset; found str"),
        ({"hidden": 5}, "hidden needs a Dataset of stations or identifiers"),
        ({"limits": (0, np.inf)}, "limits need two ascending numbers"),
        ({"layers": "pm10"}, "found 'pm10'"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_is_computed(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_viewer(make_product(), tmp_path / "viewer.html", **options)
    assert list(tmp_path.iterdir()) == []
