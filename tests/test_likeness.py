"""Places that are unlike: their coordinates, how much these count, and what comes of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from aqreanalysis import Reanalyser, Schedule, geography
from aqreanalysis.cli.outputs import geography_of
from aqreanalysis.geography.likeness import LENGTHS, Coordinates, coordinates
from aqreanalysis.grid import Grid
from aqreanalysis.methods import method_of
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.likeness import STRENGTHS, chosen_strength
from aqreanalysis.methods.neural import covariances
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.reanalysis import fitted_models
from tools import learn_likeness

QUICK = Schedule(covariance_updates=40, updates=0, validation_windows=4)
SMALL = Configuration(neighbours=12)


def alps(count=40, hours=96, seed=0, *, by_altitude=2.0):
    """Return hourly PM2.5 around the Alps, of which valleys have more than heights."""
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(6, 14, count), rng.uniform(45.5, 48.5, count)
    altitude = geography.at(longitude, latitude).altitude.values
    time = np.arange(hours) / 24
    weather = 2 * np.sin(2 * np.pi * (time / 3 + longitude[:, None] / 20))
    valley = by_altitude * np.exp(-altitude / 700)[:, None] * (1.5 + np.cos(2 * np.pi * time / 2))
    noise = 0.2 * rng.normal(size=(count, hours))
    return xr.Dataset(
        {"pm25": (("station", "time"), (4 + weather + valley + noise).clip(0) ** 2)},
        coords={
            "station": [f"s{row:02}" for row in range(count)],
            "time": (
                "time",
                pd.date_range("2024-01-01", periods=hours, freq="h"),
                {"time_label": "start", "step_hours": 1},
            ),
            "longitude": ("station", longitude, {"units": "degrees_east"}),
            "latitude": ("station", latitude, {"units": "degrees_north"}),
        },
    ).assign(pm25=lambda ds: ds.pm25.assign_attrs(units="ug m-3"))


def fitted(observations, **settings):
    """Return a small model that was fitted quickly."""
    model = Reanalyser(SMALL, schedule=QUICK, progress=False, **settings)
    return model.fit(observations, "pm25")


def rmse(model, known, hidden):
    """Return the error at hidden stations."""
    estimate = model.predict(known, hidden.drop_vars("pm25")).pm25.compute()
    return float(np.sqrt(((estimate - hidden.pm25.values) ** 2).mean()))


@pytest.fixture(scope="module")
def network():
    return alps()


@pytest.fixture(scope="module")
def model(network):
    return fitted(network.isel(station=slice(0, 30)))


def test_coordinates_are_those_of_the_shipped_field():
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(-180, 360, 400), rng.uniform(-89.9, 89.9, 400)
    field = geography.at(longitude, latitude)
    standard = coordinates(longitude, latitude)

    assert standard.shape == (400, len(LENGTHS["all"]))
    assert np.isfinite(standard).all()
    populated = field.population_80km.values  # the one that is used as it is
    np.testing.assert_allclose(standard[:, 3], ((populated - 3.4) / 0.6).clip(-3, 3), atol=1e-6)
    high = np.sqrt(field.altitude.values.clip(0))
    expected = np.nan_to_num(((high - 15) / 10).clip(-3, 3))
    np.testing.assert_allclose(standard[:, 0], expected, atol=1e-6)


def test_a_longitude_has_one_place_in_either_convention():
    latitude = np.array([47.0, -20.0, 65.0])
    west, east = (
        coordinates(np.array([-10.0, -70.0, -180.0]) + turn, latitude) for turn in (0, 360)
    )
    np.testing.assert_allclose(west, east, atol=1e-9)


def test_what_a_place_states_of_its_altitude_counts_there_and_nowhere_else(network):
    stated = np.full(network.sizes["station"], np.nan)
    stated[3] = geography.at(network.longitude[3], network.latitude[3]).altitude + 900.0
    places = Coordinates.of([network.assign_coords(altitude=("station", stated))])
    longitude, latitude = network.longitude.values, network.latitude.values

    of_field, own = coordinates(longitude, latitude), places(longitude, latitude)
    assert own[3, 0] > of_field[3, 0] + 0.5
    others = np.arange(len(stated)) != 3
    np.testing.assert_array_equal(own[others], of_field[others])
    np.testing.assert_array_equal(own[:, 1:], of_field[:, 1:])
    beside = longitude + 1e-6, latitude
    np.testing.assert_array_equal(places(*beside), coordinates(*beside))


def test_an_altitude_that_cannot_be_true_is_named_and_not_used(network, caplog):
    stated = np.full(network.sizes["station"], np.nan)
    stated[5] = 9999.0
    places = Coordinates.of([network.assign_coords(altitude=("station", stated))])
    assert not places.position.size
    assert "s05" in caplog.text


@pytest.mark.parametrize("strength", STRENGTHS)
def test_any_strength_gives_a_covariance(network, strength):
    places = torch.from_numpy(coordinates(network.longitude.values, network.latitude.values))
    lengths = torch.tensor(LENGTHS["all"], dtype=torch.float64) * 60.0 * strength
    bands = BandCovariance(3, 60.0).with_coordinates(lengths)
    longitude = torch.from_numpy(network.longitude.values * 76.0)
    latitude = torch.from_numpy(network.latitude.values * 111.0)
    at = torch.cat([torch.stack([longitude, latitude], 1), places], 1)
    with torch.no_grad():
        smallest = torch.linalg.eigvalsh(bands.between(at, at)).min()
    assert smallest > 0


def test_unlike_places_have_less_in_common():
    bands = BandCovariance(1, 10.0).with_coordinates(torch.tensor([30.0]))
    here, unlike = torch.zeros(1, 3).double(), torch.tensor([[5.0, 0.0, 1.0]]).double()
    alike = torch.tensor([[5.0, 0.0, 0.0]]).double()
    far = torch.tensor([[np.hypot(5.0, 30.0), 0.0, 0.0]]).double()
    with torch.no_grad():
        values = [float(bands.between(here, each)) for each in (alike, unlike, far)]
    assert values[0] > values[1]
    assert values[1] == pytest.approx(values[2], rel=1e-6)


def test_stations_that_prove_more_get_more_and_those_that_lose_get_less():
    rng = np.random.default_rng(0)
    base = 1 + 0.1 * rng.random((30, 2))

    def errors(slope, noise):
        return lambda s: base * (1 + slope * s) + noise * s * rng.normal(size=base.shape)

    assert chosen_strength(errors(-0.1, 0.0)) == max(STRENGTHS)
    assert chosen_strength(errors(+0.1, 0.0)) == 0.0
    assert chosen_strength(errors(0.0, 0.0)) == pytest.approx(2 / 3)
    one = base[:1]  # proves nothing
    assert chosen_strength(lambda s: one * (1 + s)) == pytest.approx(2 / 3)


def test_valleys_are_told_from_heights_at_hidden_stations(network, model):
    known, hidden = network.isel(station=slice(0, 30)), network.isel(station=slice(30, None))
    plain = fitted(known, geography=False)

    assert model.settings["geography_km"]["altitude"] > 0
    assert plain.settings["geography_km"] == {}
    assert rmse(model, known, hidden) < 0.9 * rmse(plain, known, hidden)


def test_a_grid_has_at_a_cell_what_a_target_there_has(network, model):
    known = network.isel(station=slice(0, 30))
    grid = Grid((9.0, 11.0, 46.0, 47.5), 0.25)
    field = model.predict(known, grid, time=slice("2024-01-02", "2024-01-02T05")).pm25.compute()
    longitude, latitude = (each.ravel() for each in grid.longitude_latitude())
    targets = xr.Dataset(
        coords={
            "station": [f"c{row}" for row in range(longitude.size)],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
        }
    )
    hours = slice("2024-01-02", "2024-01-02T05")
    alone = model.predict(known, targets, time=hours).pm25.compute()
    np.testing.assert_allclose(
        field.transpose("lat", "lon", "time").values.reshape(alone.shape), alone, rtol=1e-3
    )


def test_a_saved_model_estimates_as_it_did(network, model, tmp_path):
    known, hidden = network.isel(station=slice(0, 30)), network.isel(station=slice(30, None))
    model.save(tmp_path / "model")
    again = Reanalyser.load(tmp_path / "model")
    assert again.settings["geography_km"] == model.settings["geography_km"]
    assert rmse(again, known, hidden) == rmse(model, known, hidden)


def test_without_any_strength_all_is_as_without_geography(monkeypatch):
    known = alps(count=12, hours=48, by_altitude=0.0)
    plain = fitted(known, geography=False)
    monkeypatch.setattr(covariances, "chosen_strength", lambda errors: errors(2 / 3) is None or 0.0)
    tried = fitted(known)
    assert tried._fitted().digest == plain._fitted().digest


def test_geography_false_leaves_it_out(network):
    known = network.isel(station=slice(0, 10), time=slice(0, 24))
    quick = {"configuration": SMALL, "schedule": QUICK, "progress": False}
    for chosen in (None, False):
        (model,) = fitted_models(known, "pm25", geography=chosen, **quick).values()
        used = {**model.settings["geography_km"], **model.settings["altitude_used"]}
        assert bool(used) == (chosen is None)
        made, _ = method_of("neural", geography=chosen is not False)
        assert made.configuration.without == model.configuration.without
    assert geography_of("none") is False
    assert geography_of(None) is None


def test_lengths_are_those_of_networks_that_are_named():
    with pytest.raises(ValueError, match="lengths is one of all, without_beijing"):
        replace(Configuration(), lengths="mars")


def test_the_script_that_learns_lengths_finds_what_sets_places_apart():
    altitude, *others = learn_likeness.learned(alps(), "pm25", QUICK)
    by_chance, *_ = learn_likeness.learned(alps(by_altitude=0.0), "pm25", QUICK)
    assert altitude > max(others)
    assert altitude > 3 * by_chance
