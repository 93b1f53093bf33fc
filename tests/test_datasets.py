"""Properties of the synthetic network and of the registry of public data."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import aqreanalysis
from aqreanalysis.cli import app
from aqreanalysis.datasets import (
    Atmosphere,
    DatasetError,
    PublicDataset,
    Sensors,
    SyntheticNetwork,
    describe,
    fetch,
    list_datasets,
    present,
    registry,
    synthetic_network,
)
from aqreanalysis.datasets.plumes import PUFF_HOURS, Puffs, Towns, emission_profile, plume_field
from aqreanalysis.datasets.sensors import measured, missing_mask, with_faults
from aqreanalysis.datasets.sites import on_land
from aqreanalysis.datasets.weather import (
    SPIN_UP_HOURS,
    Weather,
    drifting_field,
    make_weather,
    red_noise,
    solar_hour,
)
from aqreanalysis.network import great_circle_km
from aqreanalysis.observations.contract import find_faults

SMALL = {"stations": 30, "hidden": 10, "hours": 240, "resolution": 0.1, "seed": 3}
LATTICE = (np.arange(-400.0, 500.0, 4.0), np.arange(-400.0, 500.0, 4.0))
STILL = Atmosphere(lifetime_hours=1e12, no2_lifetime_hours=1e12, day_layer_m=300.0)


@pytest.fixture(scope="module")
def network() -> SyntheticNetwork:
    return synthetic_network(**SMALL)


def one_town(emission_t_per_hour: float = 2.0) -> Towns:
    value = np.zeros(1)
    return Towns(value, value, value, value, value + 8.0, value + emission_t_per_hour)


def steady(wind_km_h: tuple[float, float], hours: int) -> Weather:
    count = hours + SPIN_UP_HOURS
    return Weather(
        hours=np.arange(count) + 0.5,
        wind_km_h=np.tile(wind_km_h, (count, 1)).astype(float),
        stagnation=np.zeros(count),
        eddies=np.array([[0.01], [0.02], [0.0], [0.1]]),
        eddy_share=0.0,
    )


def moments(field: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Integral over the lattice (per km2), mean place and variance along both axes."""
    east, north = LATTICE
    weight = field / field.sum()
    mean = np.array([(weight.sum(0) * east).sum(), (weight.sum(1) * north).sum()])
    variance = [
        (weight.sum(0) * (east - mean[0]) ** 2).sum(),
        (weight.sum(1) * (north - mean[1]) ** 2).sum(),
    ]
    return float(field.sum() * 16.0), mean, np.array(variance)


# The scheme: a puff is a Gaussian whose moments are known.


@settings(max_examples=15, deadline=None)
@given(east=st.floats(-20, 20), north=st.floats(-20, 20), hours=st.integers(1, 6))
def test_a_puff_keeps_its_mass_moves_with_the_wind_and_spreads_as_said(
    east: float, north: float, hours: int
) -> None:
    puffs, weather = Puffs.none(one_town()), steady((east, north), hours)
    wind = np.array([east, north])
    puffs.release(0, one_town(), np.array([[5.0], [3.0]]), wind)
    puffs.mix(np.array([300.0]))
    for hour in range(hours):
        puffs.advance(weather, hour, STILL)
    field = puffs.concentration(*LATTICE, wind_km_h=wind, newest=1)
    integral, mean, variance = moments(field[0])
    # 5 t in a layer of 300 m: 5e12 ug / (300 m * 1e6 m2/km2).
    np.testing.assert_allclose(integral, 5e12 / 300 / 1e6, rtol=1e-6)
    np.testing.assert_allclose(mean, wind * hours, atol=1e-4)
    # sigma = 8 km + 1.8 km/h; release and mean over the hour add the way squared over 12 each.
    np.testing.assert_allclose(variance, (8 + 1.8 * hours) ** 2 + wind**2 / 6, rtol=1e-4)
    np.testing.assert_allclose(field[1], 0.6 * field[0], atol=1e-9)


def test_the_field_holds_what_was_emitted() -> None:
    hours = 5
    # Nothing is lost within the lattice, so the air holds the last 36 h of emission.
    weather, town = steady((3.0, 4.0), hours), one_town()
    field = plume_field(town, weather, STILL, LATTICE)
    emitted = 2.0 * emission_profile(solar_hour(weather.hours, 0.0))
    # Of the newest hour's emission one half is there in the mean of that hour.
    expected = [
        emitted[last - PUFF_HOURS + 1 : last].sum() + emitted[last] / 2
        for last in range(SPIN_UP_HOURS, SPIN_UP_HOURS + hours)
    ]
    integral = [moments(hour)[0] for hour in field[:, 0]]
    np.testing.assert_allclose(integral, np.array(expected) * 1e12 / 300 / 1e6, rtol=3e-3)


def test_loss_takes_one_e_th_in_a_lifetime() -> None:
    puffs, weather = Puffs.none(one_town()), steady((0.0, 0.0), 6)
    puffs.release(0, one_town(), np.ones((2, 1)), np.zeros(2))
    losing = replace(STILL, lifetime_hours=6.0, no2_lifetime_hours=3.0)
    for hour in range(6):
        puffs.advance(weather, hour, losing)
    np.testing.assert_allclose(puffs.mass_t[:, 0, 0], np.exp([-1.0, -2.0]))


def test_a_shallow_evening_layer_does_not_concentrate_old_smoke() -> None:
    puffs = Puffs.none(one_town())
    puffs.release(0, one_town(), np.ones((2, 1)), np.zeros(2))
    fields = []
    for layer_m in (300.0, 1200.0, 300.0):
        puffs.mix(np.array([layer_m]))
        fields.append(puffs.concentration(*LATTICE, wind_km_h=np.zeros(2), newest=1)[0].max())
    np.testing.assert_allclose(np.array(fields) / fields[0], [1.0, 0.25, 0.25])


def test_hourly_puffs_join_into_a_plume_without_beads() -> None:
    weather = steady((30.0, 0.0), 1)  # 8 m/s
    quiet = replace(STILL, spread_m_s=1e-9)
    axis = (np.arange(30.0, 300.0, 1.0), np.array([0.0, 1.0]))
    along = plume_field(one_town(), weather, quiet, axis)[0, 0, 0]
    hour = np.arange(30.0, 300.0) / 30
    # What is on the axis follows the emission of the hour in which it left the town.
    left = emission_profile(solar_hour(weather.hours[-1] - hour, 0.0))
    ratio = along / left
    assert ratio.std() / ratio.mean() < 0.03


def test_eddies_have_their_share_and_no_divergence() -> None:
    weather = make_weather(Atmosphere(eddy_share=0.4), hours=4, first_hour=0.0, seed=1)
    east, north = np.meshgrid(np.arange(0, 8000.0, 10), np.arange(0, 8000.0, 10))
    u, v = weather.wind_at(7, east, north)
    uneven = np.array([u, v]) - weather.wind_km_h[7][:, None, None]
    speed = np.hypot(*weather.wind_km_h[7])
    np.testing.assert_allclose(np.sqrt((uneven**2).sum(0).mean()) / speed, 0.4, rtol=0.05)
    divergence = np.gradient(u, 10, axis=1) + np.gradient(v, 10, axis=0)
    shear = np.gradient(u, 10, axis=0) - np.gradient(v, 10, axis=1)
    assert np.abs(divergence).max() < 0.03 * np.abs(shear).max()


def test_the_background_pattern_drifts_with_the_wind() -> None:
    weather = steady((10.0, -20.0), 30)
    lattice = np.arange(0, 2000.0, 10.0)
    field = drifting_field(weather, lattice, lattice, length_km=60.0, seed=2)
    # One hour takes the pattern one cell east and two cells south; it ages a little meanwhile.
    downwind = field[1:, :-2, 1:].ravel()
    assert np.corrcoef(downwind, field[:-1, 2:, :-1].ravel())[0, 1] > 0.985
    assert np.corrcoef(downwind, field[:-1, :-2, 1:].ravel())[0, 1] < 0.95
    np.testing.assert_allclose(field.std(), 1.0, atol=0.1)


def test_red_noise_is_standard_normal_and_smooth() -> None:
    noise = red_noise(np.random.default_rng(0), 200_000, 10.0)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 1.0], atol=0.03)
    # Roots a = exp(-1/10), b = exp(-1/2): the first autocorrelation is (a + b) / (1 + a b).
    a, b = np.exp(-0.1), np.exp(-0.5)
    np.testing.assert_allclose(
        np.corrcoef(noise[1:], noise[:-1])[0, 1], (a + b) / (1 + a * b), atol=0.005
    )


def test_without_towns_and_contrast_the_sky_is_the_same_everywhere_at_every_midnight() -> None:
    flat = Atmosphere(emission_t_per_hour=0, background_swing=0, background_contrast=0)
    truth = synthetic_network(**(SMALL | {"hours": 60}), atmosphere=flat).truth
    midnight = truth.pm25.isel(time=[16, 40])  # 16 UTC is midnight at 120 E
    np.testing.assert_allclose(midnight.std(["time", "lon"]), 0.0, atol=2e-3)
    assert (midnight.mean(["time", "lon"]).diff("lat") < 0).all()  # cleaner in the north


# The day: local solar time.


@pytest.mark.parametrize(("longitude", "utc"), [(0.0, 14.0), (120.0, 6.0), (-90.0, 20.0)])
def test_the_layer_is_deepest_at_14_h_solar_time(longitude: float, utc: float) -> None:
    hours = np.arange(0, 24, 0.25)
    depth = Atmosphere().layer_m(solar_hour(hours, longitude))
    assert hours[depth.argmax()] == utc


def test_traffic_rests_at_weekends_and_peaks_in_the_rush_hours() -> None:
    hours = np.arange(0, 24, 0.25)
    weekday, weekend = emission_profile(hours), emission_profile(hours, weekend=True)
    morning = (hours > 5) & (hours < 12)
    assert hours[morning][weekday[morning].argmax()] == pytest.approx(8.0, abs=0.5)
    assert 18 <= hours[weekday.argmax()] <= 19.5
    assert hours[weekday.argmin()] == pytest.approx(3.5, abs=1.0)
    np.testing.assert_allclose(weekday.mean() - weekend.mean(), 0.1, atol=1e-6)


def test_air_is_cleanest_in_the_solar_afternoon(network: SyntheticNetwork) -> None:
    truth = network.truth.pm25
    east, west = truth.sel(lon=slice(118.8, None)), truth.sel(lon=slice(None, 115.6))
    for part in (truth, east, west):
        cycle = part.mean(["lat", "lon"]).groupby(part.time.dt.hour).mean()
        lowest = int(cycle.values.argmin())
        assert 13 <= solar_hour(lowest + 0.5, float(part.lon.mean())) <= 16.5


# The network.


def test_a_seed_gives_the_same_bits_and_another_seed_another_sky(
    network: SyntheticNetwork,
) -> None:
    again = synthetic_network(**SMALL)
    for name in ("observations", "hidden", "truth", "faults"):
        xr.testing.assert_identical(getattr(again, name), getattr(network, name))
    other = synthetic_network(**(SMALL | {"seed": 4, "hours": 24}))
    difference = other.truth.pm25 - network.truth.pm25.isel(time=slice(0, 24))
    assert float(abs(difference).mean()) > 1


def test_the_truth_does_not_depend_on_who_looks(network: SyntheticNetwork) -> None:
    other = synthetic_network(
        **(SMALL | {"stations": 12, "hidden": 3}), sensors=Sensors(missing=0.5)
    )
    xr.testing.assert_identical(other.truth, network.truth)


def test_the_truth_at_a_place_does_not_depend_on_the_resolution() -> None:
    arguments = {"stations": 3, "hidden": 0, "hours": 12, "seed": 5}
    coarse = synthetic_network(**arguments, resolution=0.2).truth
    fine = synthetic_network(**arguments, resolution=0.04).truth
    # Every fifth centre of the fine grid is a centre of the coarse one; 0.001 is the rounding.
    same = fine.isel(lat=slice(2, None, 5), lon=slice(2, None, 5))
    for name in coarse:
        np.testing.assert_allclose(same[name], coarse[name], rtol=1e-5, atol=1.1e-3)


def test_observations_are_valid_and_hidden_stations_are_other_places(
    network: SyntheticNetwork,
) -> None:
    seen, hidden = network.observations, network.hidden
    assert find_faults(seen) == []
    assert find_faults(hidden) == []
    assert not set(seen.station.values) & set(hidden.station.values)
    distance = great_circle_km(
        *(seen[c].values[:, None] for c in ("longitude", "latitude")),
        *(hidden[c].values for c in ("longitude", "latitude")),
    )
    assert distance.min() > 0.5
    for stations in (seen, hidden):
        assert on_land(stations.longitude.values, stations.latitude.values).all()
        assert {str(name)[:4] for name in stations.name.values} == {"Town", "Rura"}


def test_perfect_sensors_report_the_truth_interpolated() -> None:
    network = synthetic_network(**(SMALL | {"hours": 48}), sensors=Sensors.perfect())
    assert not network.faults.to_dataarray().any()
    for stations in (network.observations, network.hidden):
        exact = network.truth.interp(lon=stations.longitude, lat=stations.latitude)
        for name in ("pm25", "pm10", "no2"):
            # float32 holds 1000 to 6e-5.
            np.testing.assert_allclose(
                stations[name], exact[name].transpose("station", "time"), rtol=1e-5, atol=1e-3
            )
    np.testing.assert_array_equal(network.hidden.pm25, network.hidden.pm25_truth)


def test_hidden_truth_has_no_gaps_and_measurements_scatter_around_it(
    network: SyntheticNetwork,
) -> None:
    hidden = network.hidden
    assert hidden.pm25.isnull().any()
    assert not hidden.pm25_truth.isnull().any()
    ratio = float(hidden.pm25.mean() / hidden.pm25_truth.where(hidden.pm25.notnull()).mean())
    assert ratio == pytest.approx(1.0, abs=0.06)


def test_the_field_is_of_the_order_of_a_real_one(network: SyntheticNetwork) -> None:
    seen = network.observations.pm25.where(~network.faults.spike)
    assert 25 < float(seen.mean()) < 90
    logarithm = np.log(seen.where(seen > 1))
    assert 0.5 < float(logarithm.std()) < 1.2
    # Beijing: 0.967 after an hour.
    now, next_hour = seen.values[:, :-1], seen.values[:, 1:]
    both = np.isfinite(now) & np.isfinite(next_hour)
    assert np.corrcoef(now[both], next_hour[both])[0, 1] > 0.9


def test_neighbours_agree_more_than_distant_stations(network: SyntheticNetwork) -> None:
    seen = network.observations
    distance = great_circle_km(
        *(seen[c].values[:, None] for c in ("longitude", "latitude")),
        *(seen[c].values for c in ("longitude", "latitude")),
    )
    root = np.sqrt(seen.pm25.values)
    half_square = 0.5 * np.nanmean((root[:, None] - root) ** 2, axis=2)
    bins = [(0.1, 15), (25, 50), (80, 150)]
    gamma = [half_square[(distance > low) & (distance < high)].mean() for low, high in bins]
    assert gamma[0] < 0.75 * gamma[1]
    assert gamma[1] < gamma[2]


# The monitors.


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0, 0.6), seed=st.integers(0, 1000))
def test_gaps_have_the_share_asked_for(share: float, seed: int) -> None:
    mask = missing_mask((2, 30, 500), Sensors(missing=share), np.random.default_rng(seed))
    np.testing.assert_allclose(mask.mean(axis=(1, 2)), share, atol=0.02)


def test_gaps_are_hours_days_and_the_whole_network() -> None:
    mask = missing_mask((2, 40, 2000), Sensors(missing=0.15), np.random.default_rng(0))
    together = mask.all(axis=(0, 1))
    assert 0.003 < together.mean() < 0.05
    both = (mask[0] & mask[1])[:, ~together]
    lasting = both[:, 6:] & np.all([both[:, i : i - 6] for i in range(6)], axis=0)
    assert lasting.any()  # an outage takes all variables for hours
    assert (mask[0] ^ mask[1]).mean() > 0.05  # single hours do not


def test_errors_have_the_size_asked_for() -> None:
    truth = np.full((400, 300), 100.0)
    sensors = Sensors(bias=0.05, drift=0.12, noise=0.06, noise_ug_m3=3.0)
    values = measured(truth, sensors, np.random.default_rng(0))
    np.testing.assert_allclose(values.mean(), 100.0, rtol=0.01)
    # Relative 0.05, 0.12 and 0.06 of 100, and 3: root of the sum of squares, 14.6.
    np.testing.assert_allclose(values.std(), np.sqrt(25 + 144 + 36 + 9), rtol=0.03)
    assert measured(np.zeros((3, 50)), sensors, np.random.default_rng(0)).min() >= 0


def test_faults_are_where_they_are_said_to_be() -> None:
    values = np.arange(1.0, 9.0)[None, :]
    spikes, stuck = np.zeros((1, 8), bool), np.zeros((1, 8), bool)
    spikes[0, 1], stuck[0, 4:7] = True, True
    spoilt = with_faults(values, spikes, stuck, np.random.default_rng(0))[0]
    assert spoilt[1] > 50
    np.testing.assert_array_equal(spoilt[[0, 2, 3, 4, 5, 6, 7]], [1, 3, 4, 4, 4, 4, 8])


def test_faults_of_the_network_are_present_values(network: SyntheticNetwork) -> None:
    faults, pm25 = network.faults, network.observations.pm25
    assert faults.stuck.any()
    assert pm25.where(faults.stuck).count() == faults.stuck.sum()
    stuck = pm25.where(faults.stuck)
    assert float((stuck.max("time") - stuck.min("time")).max()) == 0.0
    assert not (faults.spike & faults.stuck).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stations": 0, "hours": 0}, "stations must be at least 1; found 0; hours must be"),
        ({"hidden": -1}, "hidden must be at least 0; found -1"),
        ({"resolution": 1.0}, r"resolution must be 0.01 to 0.2 degrees; found 1.0"),
    ],
)
def test_numbers_out_of_range_are_all_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic_network(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sensors(missing=0.95), "missing is a share, at most 0.9; found 0.95"),
        (lambda: Sensors(noise=-1.0, bias=np.nan), "bias must be finite.*noise must be finite"),
        (lambda: Sensors(drift_hours=0), "drift_hours must be positive"),
        (lambda: Atmosphere(wind_speed_m_s=0), "wind_speed_m_s must be finite and positive"),
        (lambda: Atmosphere(eddy_share=-1), "eddy_share must be finite and zero or positive"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# The registry.


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no folder of data in the environment."""
    cache = tmp_path / "cache"
    monkeypatch.delenv(registry.DATA_DIR_VARIABLE, raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda _: cache)
    return cache


class Home(HTTPServer):
    """A public home on this machine, which serves one file as it is told to."""

    content = b""
    stops_after: int | None = None  # bytes, then the connection is cut
    takes_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file"


class Reply(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        home = self.server
        assert isinstance(home, Home)
        asked = self.headers.get("Range", "")
        home.asked.append(asked)
        start = int(asked[6:-1]) if asked and home.takes_ranges else 0
        if start >= len(home.content):
            self.send_error(416)
            return
        rest = home.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest if home.stops_after is None else rest[: home.stops_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def register(monkeypatch: pytest.MonkeyPatch, home: Home, **changes: object) -> PublicDataset:
    dataset = replace(describe("beijing36"), name="invented", **{"url": home.url} | changes)
    monkeypatch.setattr(registry, "_REGISTRY", {"invented": dataset})
    return dataset


def pack(path: Path, tables: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in tables.items():
            packed.writestr(name, content)
    return path.read_bytes()


def test_every_set_says_how_to_get_it_and_how_to_cite_it() -> None:
    for name in list_datasets():
        text = str(describe(name))
        assert text.startswith(f"{name}: ")
        for word in ("licence:", "citation:", "by hand:"):
            assert word in text


def test_unknown_sets_are_refused_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match="no data set 'beijing99'; there are beijing36, "):
        fetch("beijing99")


def test_the_folder_of_data_holds_the_sets_of_the_registry(
    data_dir: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.DATA_DIR_VARIABLE, str(data_dir))
    for name in list_datasets():
        if describe(name).sha256 is not None:
            assert fetch(name) == data_dir / describe(name).file


def test_a_file_with_other_contents_is_refused(alone: Path) -> None:
    path = alone / describe("beijing36").file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"truncated")
    with pytest.raises(DatasetError, match=r"small36.h5 is not the beijing36.*SHA-256"):
        fetch("beijing36")


def test_a_download_is_unpacked_checked_and_kept(
    alone: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = register(monkeypatch, home, sha256=hashlib.sha256(b"measured").hexdigest())
    home.content = pack(tmp_path / "a.zip", {"deep/small36.h5": b"measured", "b": b"x"})
    path = fetch("invented", folder=tmp_path / "mine")
    assert path == tmp_path / "mine" / dataset.file
    assert path.read_bytes() == b"measured"
    assert fetch("invented", folder=tmp_path / "mine") == path
    assert home.asked == [""]
    assert sorted(p.name for p in path.parent.iterdir()) == ["small36.h5"]


def test_a_download_goes_to_the_folder_of_the_environment(
    alone: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, home, sha256=hashlib.sha256(b"measured").hexdigest(), member=None)
    home.content = b"measured"
    monkeypatch.setenv(registry.DATA_DIR_VARIABLE, str(tmp_path / "data"))
    assert fetch("invented") == tmp_path / "data" / "beijing36" / "small36.h5"
    assert present("invented") == tmp_path / "data" / "beijing36" / "small36.h5"
    assert not alone.exists()


@pytest.mark.parametrize("takes_ranges", [True, False])
def test_a_stopped_download_is_gone_on_with(
    takes_ranges: bool, alone: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    dataset = register(monkeypatch, home, sha256=hashlib.sha256(content).hexdigest(), member=None)
    home.content, home.takes_ranges, home.stops_after = content, takes_ranges, 2_000_000
    with pytest.raises(DatasetError, match=r"could not download .* came; the next fetch goes on"):
        fetch("invented")
    assert not (alone / dataset.file).exists()
    home.stops_after = None
    assert fetch("invented").read_bytes() == content
    start = home.asked[1]
    assert 1_000_000 < int(start[6:-1]) <= 2_000_000
    # A home that sends the whole again is asked once more, from the beginning.
    assert home.asked == (["", start] if takes_ranges else ["", start, ""])
    assert [p.name for p in (alone / "beijing36").iterdir()] == ["small36.h5"]


@pytest.mark.parametrize("left", [b"of another file", b"measured", b"meas"])
def test_what_is_left_of_another_download_does_no_harm(
    left: bytes, alone: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, home, sha256=hashlib.sha256(b"measured").hexdigest(), member=None)
    home.content = b"measured"
    (alone / "beijing36").mkdir(parents=True)
    (alone / "beijing36" / ".small36.h5.download").write_bytes(left)
    assert fetch("invented").read_bytes() == b"measured"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>sign in</html>", "could not download invented from .*not a zip file"),
        (None, "is not the invented of the registry"),
    ],
)
def test_a_wrong_download_leaves_no_file(
    content: bytes | None,
    message: str,
    alone: Path,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, home)
    home.content = content or pack(tmp_path / "a.zip", {"small36.h5": b"other"})
    with pytest.raises(DatasetError, match=message):
        fetch("invented")
    assert [p for p in alone.rglob("*") if p.is_file()] == []


def test_without_a_network_the_message_says_which_file_to_put_where(
    alone: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = register(monkeypatch, home, url="http://127.0.0.1:9/file")  # nobody is there
    with pytest.raises(DatasetError, match="could not download invented") as refused:
        fetch("invented")
    for words in (
        str(alone / "beijing36" / "small36.h5"),
        "1.7 MB",
        f"SHA-256 {dataset.sha256}",
        "http://127.0.0.1:9/file, where it is small36.h5 in an archive",
        "AQREANALYSIS_DATA_DIR",
    ):
        assert words in str(refused.value)
    (alone / "beijing36" / "small36.h5").write_bytes(b"brought by hand, and wrong")
    with pytest.raises(DatasetError, match="is not the invented of the registry"):
        fetch("invented")


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(
    alone: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, home)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(registry.DATA_DIR_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(DatasetError, match=r"cannot write into .*file/beijing36 .*--folder"):
        fetch("invented")
    monkeypatch.setenv(registry.DATA_DIR_VARIABLE, str(tmp_path / "data"))
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DatasetError, match=r"no permission to write into .*data/beijing36"):
        fetch("invented")
    assert home.asked == []


def test_a_set_without_a_public_home_says_how_to_make_it(alone: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"AQREANALYSIS_DATA_DIR is not set.*DE_RB_2005 of the R package gstat"
    ):
        fetch("germany_rural_pm10_2005")


def test_a_zip_packed_anew_is_the_same_set(
    alone: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"one/a.csv": b"1,2", "one/b.csv": b"3"}
    total = hashlib.sha256()
    for content in tables.values():
        total.update(hashlib.sha256(content).digest())
    register(monkeypatch, home, file="x/tables.zip", sha256=total.hexdigest(), member=None)
    pack(tmp_path / "tables.zip", {"b.csv": b"3", "note.txt": b"", "a.csv": b"1,2"})
    assert fetch("invented", folder=tmp_path) == tmp_path / "tables.zip"


def test_a_file_that_its_publisher_renews_is_taken_with_a_warning(
    alone: Path, home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register(monkeypatch, home, sha256=None, member=None, size=None)
    home.content = b"today's"
    (alone / "beijing36").mkdir(parents=True)
    (alone / "beijing36" / ".small36.h5.download").write_bytes(b"yester")
    assert fetch("invented").read_bytes() == b"today's"
    assert "the publisher makes this file anew" in caplog.text


def test_the_command_lists_cites_and_fetches(
    alone: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, home, sha256=hashlib.sha256(b"measured").hexdigest(), member=None)
    home.content = b"measured"
    run = CliRunner().invoke
    path = str(alone / "beijing36" / "small36.h5")
    assert path not in run(app, ["datasets", "list"]).output
    assert path in run(app, ["datasets", "fetch", "invented"]).output
    assert f"1.7 MB ({path})" in run(app, ["datasets", "list"]).output
    cited = run(app, ["datasets", "cite", "invented"]).output
    assert cited.strip() == aqreanalysis.datasets.cite("invented")
    assert "KDD 2015, doi:10.1145/2783258.2788573" in cited
    refused = run(app, ["datasets", "cite", "other"])
    assert "no data set 'other'; there are invented" in str(refused.exception)


def test_nothing_is_asked_of_a_network_when_the_package_is_imported() -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "import aqreanalysis as aqr\n"
        "aqr.datasets.list_datasets()\n"
        "assert 'pooch' not in sys.modules and 'requests' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
