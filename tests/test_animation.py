"""Animations: a frame an hour, what stays is the same in all, files are whole or not there."""

import stat
import sys
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from test_maps import BEIJING, product_on, stations_at

from aqreanalysis.atomic import WriteError
from aqreanalysis.maps import MapError, animate, animation, map_field, video

STYLE = {"cities": False, "caption": False, "progress": False}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Draw small pictures, which are made quickly."""
    monkeypatch.setattr(animation, "_DPI", 40)


@pytest.fixture
def beijing():
    product = product_on(BEIJING)
    product["pm25_flag"][2:, :3] = 1
    return product


@pytest.fixture
def network():
    stations = stations_at([116.0, 116.4, 116.8], [39.6, 39.9, 40.2])
    stations["pm25"][2, 1] = np.nan
    return stations


def frames_of(path):
    pictures = []
    with Image.open(path) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            pictures.append(np.asarray(gif.convert("RGB")).astype(int))
    return pictures


def test_a_frame_an_hour_with_the_same_limits_and_all_that_stays_in_its_place(
    beijing, network, tmp_path
):
    path = animate(
        beijing, tmp_path / "hours.gif", time=slice("2014-11-03T00", "2014-11-03T03"),
        observations=network, hidden=["b"], frames_per_second=4, **STYLE,
    )  # fmt: skip
    pictures = frames_of(path)
    assert len(pictures) == 4
    with Image.open(path) as gif:
        assert gif.info["duration"] == 250
    width = pictures[0].shape[1]
    assert width == int(1600 / 150 * 40)
    # Right of the map, the colour bar and its numbers stay; on the map, the field changes.
    bar = slice(round(0.88 * width), None)
    for one, other in pairwise(pictures):
        assert (one[:, bar] == other[:, bar]).all()
        assert (one != other).any(axis=-1).mean() > 0.2


def test_a_frame_is_the_map_of_its_hour(beijing, network, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "_VALUE_COLOURS", 100)
    figure = map_field(
        beijing, time="2014-11-03T02", observations=network, limits=(10, 14), cities=False,
        caption=False,
    )  # fmt: skip
    hours = slice("2014-11-03T02", "2014-11-03T03")
    path = animate(
        beijing, tmp_path / "hours.gif", time=hours, observations=network, limits=(10, 14), **STYLE
    )
    figure.set_dpi(animation._DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    expected = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    shown = frames_of(path)[0]
    assert shown.shape == expected.shape
    # But for colours that 255 cannot hold, and outlines, which are drawn otherwise.
    assert np.percentile(abs(shown - expected).max(axis=-1), 95) <= 12


def test_the_clock_runs_and_the_legend_has_what_any_hour_has(beijing, network):
    scenes = animation._scenes(beijing, animation.Request(), network, None)
    film = animation._Film.of(scenes, None, True, animation.Style(local_time="Asia/Shanghai"))
    legend = [text.get_text() for text in film._frame.figure.legends[0].get_texts()]
    assert sorted(legend) == ["far from stations", "observed station", "observed station, no value"]
    film.picture(scenes[3])
    assert film._clock.get_text() == "2014-11-03 03:00 UTC (hour starting), 11:00 in Asia/Shanghai"
    film.picture(scenes[20])
    assert "2014-11-04 04:00 in Asia/Shanghai" in film._clock.get_text()
    assert len(film._frame.axes.collections) == len(set(film._frame.axes.collections))


def test_classes_are_animated_in_their_colours_on_pure_white(beijing, tmp_path):
    attributes = {"flag_values": [0, 1], "flag_meanings": "good bad", "flag_colors": "#00ff00 #f00"}
    classes = (np.arange(30)[:, None, None] % 2 + np.zeros(beijing.pm25.shape[1:])).astype(np.int8)
    product = beijing.assign(quality=(beijing.pm25.dims, classes, attributes))
    hours = slice("2014-11-03T00", "2014-11-03T01")
    path = animate(product, tmp_path / "q.gif", variable="quality", time=hours, **STYLE)
    first, second = frames_of(path)
    assert (first[0, 0] == 255).all()
    middle = first.shape[0] // 2, first.shape[1] // 3
    assert first[middle].tolist() == [0, 255, 0]
    assert second[middle].tolist() == [255, 0, 0]
    scenes = animation._scenes(product, animation.Request("quality"), None, None)
    film = animation._Film.of(scenes, None, True, animation.Style())
    legend = [text.get_text() for text in film._frame.figure.legends[0].get_texts()]
    assert legend == ["good", "bad"]


def test_lazy_products_draws_errors_and_stations_are_animated(beijing, network, tmp_path):
    hours = slice("2014-11-03T00", "2014-11-03T01")
    lazy = beijing.chunk(time=16).assign(pm25_draws=xr.concat([beijing.pm25] * 2, "draw"))
    for name, options in {
        "draw": {"variable": "pm25", "draw": 1},
        "error": {"variable": "pm25", "what": "uncertainty"},
    }.items():
        path = animate(lazy, tmp_path / f"{name}.gif", time=hours, **options, **STYLE)
        assert len(frames_of(path)) == 2
    assert len(frames_of(animate(network, tmp_path / "s.gif", time=hours, **STYLE))) == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("film.avi", {}, r"\.mp4 or \.gif; found 'film\.avi'"),
        ("film.gif", {"frames_per_second": 0}, "from 0.1 to 60"),
        ("film.gif", {"inset": "Beijing", "contours": True}, "no inset, contours"),
        ("film.gif", {"time": "2014-11-03T05"}, "two hours or more"),
        ("film.gif", {"time": "2020"}, "no hour"),
        ("film.gif", {"variable": "distance_to_nearest_station"}, "no hours to animate"),
        ("film.gif", {"limits": (3, "x")}, "limits need two"),
    ],
)
def test_what_is_no_animation_is_refused_and_nothing_is_written(
    beijing, tmp_path, name, options, message
):
    with pytest.raises(MapError, match=message):
        animate(beijing, tmp_path / name, **STYLE | options)
    assert not list(tmp_path.iterdir())
    with pytest.raises(WriteError, match="there is no folder"):
        animate(beijing, tmp_path / "nowhere" / "film.gif", **STYLE)


def test_stations_are_not_drawn_over_stations(network, tmp_path):
    with pytest.raises(MapError, match="observations are drawn over the field of a grid"):
        animate(network, tmp_path / "film.gif", observations=network, **STYLE)


def test_stations_over_a_difference_are_white_in_all_hours_or_none(beijing, network):
    # The first hour departs to one side alone slightly, as noise does; the last clearly.
    request = animation.Request("pm25", None, "value")
    difference = beijing[["pm25"]] - 10.2
    difference["pm25"] = difference.pm25.where(difference.time < difference.time[2], -5.0)
    difference.pm25.attrs = beijing.pm25.attrs
    scenes = animation._scenes(difference.isel(time=slice(4)), request, network, None)
    assert not any(scene.coloured for scene in scenes)


def test_without_ffmpeg_the_message_says_what_would_do(beijing, tmp_path, monkeypatch):
    monkeypatch.setattr(video.shutil, "which", lambda program: None)
    with pytest.raises(MapError, match=r"needs the program ffmpeg.*or end the name in \.gif"):
        animate(beijing, tmp_path / "film.mp4", **STYLE)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return what makes a program that stands for ffmpeg, from the body of a Python script."""

    def make(body):
        path = tmp_path / "bin" / "ffmpeg"
        path.parent.mkdir()
        path.write_text(f"#!{sys.executable}\nimport sys\n{body}")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setattr(video.shutil, "which", lambda name: str(path))

    return make


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_ffmpeg_gets_every_frame_whole_with_its_size_and_rate(beijing, tmp_path, program):
    program(
        "data = sys.stdin.buffer.read()\n"
        "a = sys.argv\n"
        "text = f\"{a[a.index('-s') + 1]} {a[a.index('-r') + 1]} {len(data)}\"\n"
        "open(a[-1], 'w').write(text)\n"
    )
    path = animate(
        beijing, tmp_path / "film.mp4", time=slice("2014-11-03T00", "2014-11-03T02"),
        frames_per_second=5, **STYLE,
    )  # fmt: skip
    size, rate, count = path.read_text().split()
    width, height = map(int, size.split("x"))
    assert (rate, int(count)) == ("5", 3 * width * height * 3)


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_a_fault_of_ffmpeg_is_said_and_nothing_is_written(beijing, tmp_path, program):
    program("sys.stderr.write('no such encoder\\n'); sys.exit(3)")
    with pytest.raises(WriteError, match=r"ffmpeg made no video \(no such encoder\); try a \.gif"):
        animate(beijing, tmp_path / "film.mp4", **STYLE)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_an_interruption_leaves_the_earlier_file(beijing, tmp_path, monkeypatch):
    path = tmp_path / "film.gif"
    path.write_text("the earlier one")

    def interrupted(self, scene):
        raise KeyboardInterrupt

    monkeypatch.setattr(animation._Film, "picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        animate(beijing, path, **STYLE)
    assert path.read_text() == "the earlier one"
    assert [one.name for one in tmp_path.iterdir()] == ["film.gif"]
