"""The covariance that other networks have taught: its weights, and the method that uses them."""

import hashlib
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tools and benchmarks stay behind

import aqreanalysis as aqr
from aqreanalysis.datasets import synthetic_network
from aqreanalysis.methods.kriging.amortised import (
    NAMES,
    WEIGHTS,
    AmortisedCovariance,
    Pretrained,
    statistics,
)
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.pretrained import PretrainedReanalyser
from aqreanalysis.network import StationNetwork
from benchmarks import measuring, protocols, small
from tools import make_pretrained

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def obs():
    """Return three days of nine stations."""
    return synthetic_network(hours=72, seed=4).observations[["pm25"]].isel(station=slice(9))


def fitted(observations, **settings):
    """Return the method, fitted."""
    return PretrainedReanalyser(progress=False, **settings).fit(observations, "pm25")


def estimate(model, observations):
    """Return the product of a model at places between stations."""
    at = observations.isel(station=slice(2)).coords.to_dataset()
    at = at.assign_coords(longitude=at.longitude + 0.02, latitude=at.latitude + 0.01)
    return observations.aqnet.reanalyse("pm25", at=at, method=model).compute()


def network(seed, stations=6, steps=40, bands=3):
    """Return distances, bands and masks of a random network."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, 50, size=(stations, 2))
    distance_km = torch.from_numpy(np.linalg.norm(place[:, None] - place, axis=-1))
    split = torch.from_numpy(rng.normal(size=(stations, steps, bands)))
    return distance_km, split, torch.from_numpy(rng.random((stations, steps)) < 0.8)


def test_the_shipped_file_is_the_one_that_the_model_card_describes():
    card = (ROOT / "docs" / "pretrained.md").read_text()
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert re.search("sha256 `([0-9a-f]+)`", card)[1] == digest
    assert WEIGHTS.stat().st_size < 2e6
    with safe_open(WEIGHTS, "pt") as file:
        assert file.metadata() == make_pretrained.ATTRIBUTES
    for name, count in make_pretrained.CASES.items():
        assert f"| {name} | {count[0]} | {count[1]} |" in card


def test_the_script_makes_tensors_of_the_names_and_shapes_that_are_shipped(tmp_path, monkeypatch):
    series = make_pretrained.Series(
        StationNetwork(np.linspace(0, 1, 12), np.linspace(50, 50.6, 12)),
        torch.from_numpy(np.random.default_rng(0).normal(size=(12, 60))),
        torch.ones(12, 60, dtype=torch.bool),
        torch.zeros(14, dtype=torch.float64),
    )
    monkeypatch.setattr(make_pretrained, "_series", lambda *_: iter((series, series)))
    monkeypatch.setattr(make_pretrained, "EPOCHS", 1)
    monkeypatch.setattr(make_pretrained, "STEPS", (24, 48))
    made = make_pretrained.weights(tmp_path, share=0.002)
    shipped = load_file(WEIGHTS)
    assert {name: tensor.shape for name, tensor in made.items()} == {
        name: tensor.shape for name, tensor in shipped.items()
    }
    again = make_pretrained.weights(tmp_path, share=0.002)
    assert all(torch.equal(made[name], again[name]) for name in made)


def test_training_krigs_as_the_package_does():
    rng, parameters = np.random.default_rng(3), Pretrained.of("all").bands(torch.zeros(14).double())
    place = rng.uniform(0, 60, size=(11, 2))
    distance_km = np.linalg.norm(place[:, None] - place, axis=-1)
    root = torch.from_numpy(rng.normal(size=(11, 30)))
    case = make_pretrained.Case.of(distance_km, root, torch.ones(11, 30, dtype=torch.bool), rng)
    small_case = make_pretrained.Case.of(
        distance_km[:4, :4], root[:4], torch.ones(4, 30, dtype=torch.bool), rng
    )
    batch = make_pretrained.Batch.of([small_case, case])
    weight = batch.weights(parameters.expand(2, -1, -1))[1]  # (band, known, hidden)
    bands = BandCovariance(3, case.spacing_km)
    bands.begin_at(parameters)
    between = torch.from_numpy(place[8:, None] - place[None, :8])
    nothing = torch.zeros(3, 8, dtype=torch.float64)
    bearing = torch.atan2(between[..., 0], between[..., 1])
    own = bands.weights(torch.from_numpy(distance_km[8:, :8]), bearing, nothing, nothing).weight
    torch.testing.assert_close(own.permute(2, 1, 0), weight, rtol=0, atol=1e-4)


def test_statistics_have_no_unit_and_no_order():
    distance_km, split, measured = network(0)
    expected = statistics(distance_km, split, measured)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = distance_km[order][:, order], split[order], measured[order]
    torch.testing.assert_close(statistics(*shuffled), expected)
    torch.testing.assert_close(statistics(7 * distance_km, split + 2, measured), expected)


def test_what_is_not_measured_does_not_count():
    distance_km, split, measured = network(1)
    other = torch.where(measured[..., None], split, 99.0)
    expected = statistics(distance_km, split, measured)
    torch.testing.assert_close(statistics(distance_km, other, measured), expected)


@pytest.mark.parametrize("stations", [2, 3])
def test_statistics_of_few_or_silent_stations_are_numbers(stations):
    distance_km, split, measured = network(2, stations)
    assert torch.isfinite(statistics(distance_km, split, measured)).all()
    assert torch.isfinite(statistics(0 * distance_km, 0 * split, measured)).all()


def test_networks_that_differ_get_covariances_that_differ():
    covariance = Pretrained.of("all").bands
    quiet, noisy = torch.zeros(2, 14, dtype=torch.float64)
    noisy[3:6] = 1.5 * covariance.spread[3:6]  # near stations differ as much as far ones
    noisy, quiet = (covariance(each * 1 + covariance.mean) for each in (noisy, quiet))
    share = [each[0, 4] - torch.logsumexp(each[0, :2], 0) for each in (noisy, quiet)]
    assert share[0] > share[1]


def test_a_network_that_has_learned_nothing_is_its_constants():
    covariance = AmortisedCovariance()
    covariance.usual.data.normal_()
    of_any = covariance(torch.randn(5, 14, dtype=torch.float64))
    torch.testing.assert_close(of_any, covariance.usual.expand(5, -1, -1))


def test_filling_lies_between_hours_and_days():
    pretrained = Pretrained.of("all")
    hours, days, between, week = (pretrained.filling_of(h, 10.0) for h in (1, 24, 24**0.5, 168))
    torch.testing.assert_close(between, (hours + days) / 2)
    assert torch.equal(days, week)
    covariance = SpaceTimeCovariance(99.0)
    covariance.begin_at(hours)
    torch.testing.assert_close(
        covariance.log_range.detach(), pretrained.filling[0, 3:6] + np.log(10.0)
    )


@pytest.mark.parametrize(("stations", "hours"), [(3, 6), (9, 72)])
def test_few_stations_and_hours_suffice(obs, stations, hours):
    few = obs.isel(station=slice(stations), time=slice(hours))
    product = estimate(fitted(few), few)
    assert np.isfinite(product.pm25).all()
    assert (product.pm25_uncertainty > 0).all()
    assert product.attrs["method"] == "pretrained"
    assert "learned on other networks" in str(product.attrs)


def test_days_and_gaps_are_taken(obs):
    values = obs.pm25.where(np.random.default_rng(0).random(obs.pm25.shape) < 0.6)
    days = obs.assign(pm25=values.assign_attrs(obs.pm25.attrs))
    stamps = obs.time.values[0] + np.arange(72) * np.timedelta64(1, "D")
    days = days.assign_coords(time=("time", stamps, obs.time.attrs | {"step_hours": 24.0}))
    assert np.isfinite(estimate(fitted(days), days).pm25).all()


def test_what_cannot_be_fitted_is_refused(obs):
    with pytest.raises(ValueError, match="at least 3 stations"):
        fitted(obs.isel(station=slice(2)))
    one_place = obs.assign_coords(longitude=obs.longitude * 0, latitude=obs.latitude * 0)
    with pytest.raises(ValueError, match="all stations at one place"):
        fitted(one_place)
    with pytest.raises(ValueError, match=r"pretrained names all, .*; found 'none'"):
        PretrainedReanalyser(weights="none")
    with pytest.raises(ValueError, match=re.escape("has the bands (1.5, 6.0), found (2.0,)")):
        Configuration(pretrained="all", bands=(2.0,))
    with pytest.raises(ValueError, match=r"weights must be one of .*; found 'europe'"):
        Pretrained.of("europe")


def test_a_saved_model_says_what_it_is(obs, tmp_path):
    model = fitted(obs, weights="without_us")
    loaded = aqr.Reanalyser.load(model.save(tmp_path / "model"))
    assert (loaded.name, loaded.settings) == ("pretrained", model.settings)
    assert loaded.settings["configuration"]["pretrained"] == "without_us"
    assert "amortized" in loaded.references
    np.testing.assert_array_equal(estimate(loaded, obs).pm25, estimate(model, obs).pm25)


def test_weights_of_other_regions_are_others():
    names = [tuple(Pretrained.of(name).bands.usual.flatten().tolist()) for name in NAMES]
    assert len(set(names)) == len(NAMES)
    regions = {protocol.region for protocol in protocols.PROTOCOLS.values()}
    assert {f"without_{region}" for region in regions} == set(NAMES) - {"all"}


def test_a_large_network_is_pointed_to_the_method_that_learns(obs, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        fitted(obs)
        assert "method='neural'" not in caplog.text
        monkeypatch.setattr("aqreanalysis.methods.neural.pretrained.ENOUGH_DAYS", 20)
        fitted(obs)
    assert "24 days of values of pm25 are enough to learn from: method='neural' does" in caplog.text


def test_scores_come_from_weights_that_never_saw_the_region(data_dir, monkeypatch):
    made = {key: measuring.pretrained(protocols.PROTOCOLS[key]) for key in ("p3", "p6", "p8")}
    seen = {key: model.configuration.pretrained for key, model in made.items()}
    assert seen == {"p3": "without_beijing", "p6": "without_us", "p8": "without_europe"}
    monkeypatch.setattr(small, "MADE", {"pretrained": small.MADE["pretrained"]})
    split = next(small.cuts_of("p3", data_dir, 1))
    ((rmse, mae, _),) = small._scores(split, protocols.PROTOCOLS["p3"])
    assert (round(rmse, 1), round(mae, 1)) == (9.8, 6.7)


def test_any_configuration_takes_the_weights():
    made = PretrainedReanalyser(Configuration(neighbours=12), weights="without_us")
    assert (made.name, made.configuration.neighbours) == ("pretrained", 12)
    assert made.configuration.pretrained == made.configuration.lengths == "without_us"


def test_the_progress_bar_counts_what_there_is_to_do(obs, capsys):
    PretrainedReanalyser(progress=True).fit(obs, "pm25")
    shown = capsys.readouterr().err
    assert "learning the spread" in shown
    assert "0/0" not in shown
