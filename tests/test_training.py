"""Training by hiding stations: repeatable, better than before on stations it never saw, careful."""

import logging
import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging import fitting
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.descent import Adam
from aqreanalysis.methods.neural.batches import Example, Samples, assemble
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.covariances import FEWEST_FOR_HEADS
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.training import train
from aqreanalysis.methods.neural.validation import (
    Errors,
    Scores,
    Validated,
    fit_spread_law,
    kriging_outputs,
    network_outputs,
)
from aqreanalysis.network import StationNetwork, great_circle_km

SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)


def dataset_of(values, longitude, latitude):
    """Return observations of series at places."""
    time = pd.date_range("2014-11-01", periods=values.shape[1], freq="h")
    return xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number:02d}" for number in range(len(values))],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "time": ("time", time, {"time_label": "start", "step_hours": 1.0}),
        },
    )


def smooth_field(count, *, hours=96, seed=0, noise=0.2, gaps=0.1):
    """Return observations of roots that are normal, with ranges of 150 km and 12 hours."""
    rng = np.random.default_rng(seed)
    lon, lat = 116 + rng.uniform(-1.5, 1.5, count), 40 + rng.uniform(-1, 1, count)
    apart = great_circle_km(lon[:, None], lat[:, None], lon, lat)
    root = np.linalg.cholesky(np.exp(-apart / 150) + 1e-9 * np.eye(count))
    keep = np.exp(-1 / 12)
    state = root @ rng.standard_normal(count)
    columns = []
    for _ in range(hours):
        state = keep * state + np.sqrt(1 - keep**2) * (root @ rng.standard_normal(count))
        columns.append(state)
    roots = 7 + 2 * (np.stack(columns, 1) + noise * rng.standard_normal((count, hours)))
    values = np.clip(roots, 0, None) ** 2
    values[rng.random(values.shape) < gaps] = np.nan
    return dataset_of(values, lon, lat)


def samples_of(dataset, standardisation=None, *, configuration=SMALL):
    """Return samples of a Dataset and their standardisation."""
    standardisation = standardisation or Standardisation.of(dataset.pm25.values)
    samples = Samples.of(
        dataset,
        "pm25",
        standardisation=standardisation,
        configuration=configuration,
        seasons=False,
    )
    return samples, standardisation


def trained(dataset, *, schedule=QUICK, seed=0, configuration=SMALL):
    """Return a quickly trained model."""
    samples, standardisation = samples_of(dataset, configuration=configuration)
    return train(
        samples,
        standardisation,
        configuration=configuration,
        schedule=schedule,
        seed=seed,
        progress=False,
    )


def learned_finite_numbers(model):
    """Return whether all numbers of a model are finite, but for the bound that training leaves."""
    numbers = model.state_dict()
    assert numbers.pop("largest") == torch.inf  # until a `Reanalyser` has seen the values
    return all(torch.isfinite(each).all() for each in numbers.values())


@torch.no_grad()
def outputs_of(model, batch, *, heads):
    """Return mean and log-variance of a model at a batch's targets."""
    weights = model.weights(batch.neighbourhood)
    return (network_outputs if heads else kriging_outputs)(model, batch, weights)


def crps_at(model, samples, hidden, *, heads):
    """Return the mean score of normal forecasts at hidden stations (Gneiting & Raftery 2007)."""
    configuration = model.configuration
    visible = np.setdiff1d(np.arange(samples.network.size), hidden)
    last = samples.value.shape[1] - configuration.window_steps
    windows = [Example(s, visible, hidden) for s in range(0, last + 1, configuration.core_steps)]
    batch = assemble(samples, windows, covariance=model.covariance, configuration=configuration)
    mean, log_variance = outputs_of(model, batch, heads=heads)
    measured = torch.isfinite(batch.truth)
    truth, mean, spread = (
        t[measured].double() for t in (batch.truth, mean, log_variance.exp().sqrt())
    )
    z = (truth - mean) / spread
    normal = torch.distributions.Normal(0.0, 1.0)
    score = spread * (
        z * (2 * normal.cdf(z) - 1) + 2 * normal.log_prob(z).exp() - 1 / math.sqrt(math.pi)
    )
    return float(score.mean())


# --- repeatable


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    dataset = smooth_field(12, hours=60)

    one = trained(dataset, seed=3)
    torch.manual_seed(77)  # what the caller does with torch's own generator does not matter
    np.random.seed(77)
    other = trained(dataset, seed=3)

    weights, again = one.model.state_dict(), other.model.state_dict()
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert one.history == other.history


def test_another_seed_gives_other_weights():
    dataset = smooth_field(12, hours=60)

    one, other = (trained(dataset, seed=seed).model.state_dict() for seed in (0, 1))

    assert not torch.equal(one["covariance.log_range"], other["covariance.log_range"])


def test_training_leaves_the_callers_generators_and_threads_alone():
    dataset = smooth_field(9, hours=40)
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    trained(dataset)

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


# --- it learns


def test_the_covariance_gets_better_at_stations_that_it_never_saw():
    everything = smooth_field(40, hours=120, noise=0.8)  # four times the noise assumed at first
    learned_from = everything.isel(station=slice(0, 28))
    hidden = np.arange(28, 40)
    schedule = Schedule(covariance_updates=25, updates=0, windows=3, validation_windows=6)
    result = trained(learned_from, schedule=schedule)
    samples, _ = samples_of(everything, Standardisation.of(learned_from.pm25.values))
    untrained = NeuralKNN(
        SMALL, spacing_km=StationNetwork.from_dataset(learned_from).spacing_km
    ).eval()

    before = crps_at(untrained, samples, hidden, heads=False)
    after = crps_at(result.model, samples, hidden, heads=False)

    assert not result.heads
    assert after < 0.97 * before


def test_the_spread_is_calibrated_to_the_stations_hidden_for_validation():
    result = trained(smooth_field(16, hours=120), schedule=Schedule(5, 0, validation_windows=8))

    # The 90 % quantile of some hundred values that go together in time.
    assert result.chosen.coverage == pytest.approx(0.90, abs=0.01)


@pytest.fixture
def batches(monkeypatch):
    """Return a list that fills with the windows and the batch of every assembly in training."""
    seen = []

    def recorded(samples, windows, **options):
        batch = assemble(samples, windows, **options)
        seen.append((windows, batch))
        return batch

    monkeypatch.setattr("aqreanalysis.methods.neural.training.assemble", recorded)
    monkeypatch.setattr("aqreanalysis.methods.neural.validation.assemble", recorded)
    return seen


def share_within(mean, log_variance, truth):
    """Return the share of the truth in 90 % intervals."""
    return float(((truth - mean).abs() <= 1.6449 * (log_variance / 2).exp()).float().mean())


def test_a_network_that_is_kept_holds_its_calibration(batches):
    # Calibration looks at five parts of the network twice, in eight windows, six at a time; then
    # come the three shifts of the validation stations in as many.
    calibration, validation = 5 * 2 * 2, 4
    schedule = Schedule(
        3, 24, windows=24, check_every=6, validation_windows=8, rate=2e-2, average=0.5, patience=9
    )
    result = trained(smooth_field(40, hours=120, noise=1.0), schedule=schedule)

    assert result.heads
    looked_at = [batch for _, batch in batches[calibration : calibration + validation]]
    outputs = [outputs_of(result.model, batch, heads=True) for batch in looked_at]
    mean, log_variance = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    truth = torch.cat([batch.truth for batch in looked_at])
    measured = torch.isfinite(truth)
    share = share_within(mean[measured], log_variance[measured], truth[measured])
    assert share == pytest.approx(0.90, abs=0.01)
    assert share == pytest.approx(result.chosen.coverage, abs=1e-3)


def test_kriging_is_calibrated_while_parts_of_the_network_are_hidden(batches):
    result = trained(smooth_field(16, hours=120), schedule=Schedule(3, 0, validation_windows=4))

    shares = []
    for windows, batch in batches:
        if windows[0].hidden.size < 3 or windows[0].silent:  # of validation, which hides fewer
            continue
        mean, log_variance = outputs_of(result.model, batch, heads=False)
        measured = torch.isfinite(batch.truth)
        shares.append((mean[measured], log_variance[measured], batch.truth[measured]))
    mean, log_variance, truth = (torch.cat(parts) for parts in zip(*shares, strict=True))
    assert share_within(mean, log_variance, truth) == pytest.approx(0.90, abs=0.005)


@pytest.mark.parametrize("powers", [(0.5, 0.1, 1.2), (0.0, 0.0, 0.7)])
def test_the_spread_law_comes_back_from_errors_that_follow_it(powers):
    draw = np.random.default_rng(3)
    features = torch.from_numpy(draw.standard_normal((20_000, 3)))
    log_variance = features @ torch.tensor(powers, dtype=torch.float64) - 1.0
    truth = torch.from_numpy(draw.standard_normal(20_000)) * (log_variance / 2).exp()
    model = NeuralKNN(SMALL, spacing_km=10.0)

    nothing = torch.zeros(20_000).double()
    fitted = fit_spread_law(model, Errors(truth, nothing, nothing, features.unbind(-1)))

    # The score's slope in a power is known to about 1/sqrt(20 000); the ridge pulls less.
    np.testing.assert_allclose(model.spread_law, powers, atol=0.05)
    np.testing.assert_allclose(fitted, log_variance, atol=0.3)


def test_few_values_leave_the_spread_to_kriging():
    model = NeuralKNN(SMALL, spacing_km=10.0)
    few = torch.ones(5).double()
    fit_spread_law(model, Errors(9 * few, few, few, (few, few, few)))
    assert model.spread_law.tolist() == [0.0, 0.0, 1.0]


def test_validation_stations_are_never_a_training_target(batches):
    schedule = Schedule(3, 6, windows=8, check_every=3, validation_windows=8)
    result = trained(smooth_field(16, hours=120), schedule=schedule)

    # Five parts twice, then three shifts, of eight windows, six at a time.
    calibration, validations = 5 * 2 * 2, 4
    batches = batches[calibration:]
    shifts = [window.hidden.tolist() for windows, _ in batches[:validations] for window in windows]
    validation = {station for hidden in shifts for station in hidden}
    assert len(validation) == 4  # a quarter of 16 places
    assert max(map(len, shifts)) == 2  # not all at once
    assert len(batches) == validations + 6
    assert len(result.history) == 3
    for number, (windows, _) in enumerate(batches):
        for window in windows:
            hidden = set(window.hidden.tolist())
            assert hidden
            assert window.visible.size
            assert not hidden & set(window.visible.tolist())
            assert hidden <= validation if number < validations else not hidden & validation


def test_what_is_kept_is_a_look_with_a_gain_or_kriging():
    schedule = Schedule(3, 12, windows=2, check_every=3, patience=9, rate=2e-2)
    result = trained(smooth_field(14, hours=96), schedule=schedule)

    assert result.history[0] == result.kriging
    assert [look.update for look in result.history] == [0, 3, 6, 9, 12]
    assert result.chosen in result.history
    assert result.heads == (result.chosen.update > 0) == (result.gain > 0)


def test_kriging_is_kept_where_the_network_does_not_beat_it():
    # At this rate the network can but get worse, and its numbers overflow.
    schedule = Schedule(3, 6, windows=2, check_every=2, rate=30.0, average=0.0)

    result = trained(smooth_field(14, hours=60), schedule=schedule)

    assert result.gain == 0
    assert not result.heads
    assert result.chosen == pytest.approx(result.kriging, rel=1e-6)
    assert result.chosen.update == 0
    assert learned_finite_numbers(result.model)


def test_training_stops_after_looks_without_gain():
    schedule = Schedule(1, 40, windows=1, check_every=2, patience=2, rate=30.0, average=0.0)

    result = trained(smooth_field(14, hours=60), schedule=schedule)

    assert len(result.history) - 1 == 2


def validated(by_station):
    scores = Scores(0, rmse=10.0, mae=4.0, crps=1.0, coverage=0.9)
    return Validated(scores, np.asarray(by_station))


def test_a_gain_counts_as_far_as_its_stations_prove_it():
    kriging = validated([[4.0, 1.0]] * 4)
    # Gains of 0.1, 0.1, 0.1, 0.14: mean 0.11, standard deviation 0.02, so 0.01 of error, of which
    # 4.541 count with three degrees of freedom.
    better = validated([[3.6, 0.9]] * 3 + [[3.44, 0.86]])
    even = validated([[3.6, 0.9]] * 4)
    by_luck = validated([[3.0, 0.75], [4.4, 1.1], [4.4, 1.1], [3.9, 1.0]])
    at_a_price = validated([[3.6, 1.01]] * 4)

    assert better.proven_gain(kriging) == pytest.approx(0.11 - 4.541 * 0.01, abs=1e-4)
    assert even.proven_gain(kriging) == pytest.approx(0.10)
    assert by_luck.proven_gain(kriging) == -np.inf
    assert at_a_price.proven_gain(kriging) == -np.inf  # one score gains, the other loses
    too_little = validated([[3.984, 0.996]] * 4)
    assert too_little.proven_gain(kriging) == -np.inf
    assert validated([[3.976, 0.994]] * 4).proven_gain(kriging) == pytest.approx(0.006)
    assert validated([[np.nan, np.nan]] * 4).proven_gain(kriging) == -np.inf
    assert kriging.proven_gain(kriging) == 0


# --- small and odd networks


@pytest.mark.parametrize("count", [3, FEWEST_FOR_HEADS - 1])
def test_few_places_train_the_covariance_alone(count):
    result = trained(smooth_field(count, hours=60))

    assert not result.heads
    assert result.history == (result.kriging,)
    fresh = NeuralKNN(SMALL, spacing_km=1.0)
    assert (result.model.leave.weight == 0).all()
    assert not torch.equal(result.model.covariance.log_time, fresh.covariance.log_time)


def test_co_located_stations_are_one_place():
    # Eight stations on four roofs prove no more than four do.
    dataset = smooth_field(4, hours=60)
    twice = xr.concat([dataset, dataset], dim="station")
    twice = twice.assign_coords(station=[f"s{number}" for number in range(8)])

    result = trained(twice)

    assert result.history == (result.kriging,)


def test_three_stations_at_two_places_can_be_learned_from():
    dataset = smooth_field(3, hours=60)
    dataset["longitude"].values[1] = dataset.longitude.values[0]
    dataset["latitude"].values[1] = dataset.latitude.values[0]

    assert np.isfinite(trained(dataset).chosen.rmse)


def test_stations_at_one_place_are_refused():
    dataset = smooth_field(3, hours=30)
    dataset["longitude"].values[:] = 116.0
    dataset["latitude"].values[:] = 40.0

    with pytest.raises(ValueError, match="all stations at one place"):
        trained(dataset)


@pytest.mark.parametrize("updates", [1, 2, 10])
def test_any_number_of_updates_can_be_asked_for(updates):
    schedule = Schedule(1, updates, windows=1, check_every=updates, validation_windows=1)
    dataset = smooth_field(9, hours=24)

    assert len(trained(dataset, schedule=schedule).history) == 2


@pytest.mark.parametrize("hours", [1, 30])
def test_a_short_period_can_be_learned_from(hours):
    result = trained(smooth_field(9, hours=hours, gaps=0.0))

    assert learned_finite_numbers(result.model)
    assert np.isfinite(result.chosen.rmse)


def test_a_few_values_in_a_long_period_are_found():
    # Values in six of 2000 hours, far from every evenly spread window.
    dataset = smooth_field(9, hours=6)
    sparse = np.full((9, 2000), np.nan)
    sparse[:, 613:619] = dataset.pm25.values

    result = trained(dataset_of(sparse, dataset.longitude.values, dataset.latitude.values))

    assert np.isfinite(result.chosen.rmse)
    assert learned_finite_numbers(result.model)


def test_one_value_a_station_is_enough():
    dataset = smooth_field(9, hours=40)
    values = np.full((9, 40), np.nan)
    values[np.arange(9), 4 * np.arange(9)] = np.arange(9) + 1.0

    result = trained(dataset_of(values, dataset.longitude.values, dataset.latitude.values))

    assert np.isfinite(result.chosen.rmse)
    assert learned_finite_numbers(result.model)


def test_stations_that_all_report_the_same_can_be_learned_from():
    dataset = smooth_field(9, hours=40, gaps=0.0)
    same = np.repeat(dataset.pm25.values[:1], 9, axis=0)

    result = trained(dataset_of(same, dataset.longitude.values, dataset.latitude.values))

    assert np.isfinite(result.chosen.rmse)
    assert np.isfinite(result.chosen.crps)


# --- what is said


def test_the_scores_are_logged(caplog):
    with caplog.at_level(logging.INFO, logger="aqreanalysis.methods.neural"):
        result = trained(smooth_field(9, hours=40))

    assert f"RMSE {result.chosen.rmse:.2f}" in caplog.text
    assert f"{result.kriging.rmse:.2f}" in caplog.text


def test_no_progress_bar_is_drawn_unless_asked_for(capfd):
    trained(smooth_field(9, hours=24), schedule=Schedule(1, 0, windows=1))

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("loud", [1, 3])
def test_a_network_of_noughts_with_a_few_loud_stations_can_be_learned_from(loud):
    # As of a gas below its limit of detection: errors of exactly nought must divide nothing.
    dataset = smooth_field(12, hours=60, gaps=0.0)
    values = dataset.pm25.values.copy()
    values[loud:] = 0.0
    noughts = dataset_of(values, dataset.longitude.values, dataset.latitude.values)

    for seed in range(2):
        result = trained(noughts, seed=seed)

        assert all(np.isfinite(result.chosen)), result.chosen
        assert learned_finite_numbers(result.model)


def test_a_large_network_is_fitted_without_the_distances_of_all(monkeypatch):
    rng = np.random.default_rng(0)
    network = StationNetwork(rng.uniform(10, 12, 30), rng.uniform(48, 50, 30))
    covariance = SpaceTimeCovariance(20.0).requires_grad_(False)
    value = torch.from_numpy(rng.normal(size=(30, 100)))

    def left_out():
        series = fitting.BandSeries.of(value, network, covariance, (1.5, 6.0))
        bands, noise = BandCovariance(3, 20.0), torch.zeros(30, dtype=torch.float64)
        return series.left_out(bands, noise, np.random.default_rng(1), steps=10, together=8)

    of_pairs = left_out()
    monkeypatch.setattr(fitting, "MOST_PAIRED", 29)
    monkeypatch.setattr(fitting.BandSeries, "_pairs", None)
    torch.testing.assert_close(left_out().weight, of_pairs.weight)
    torch.testing.assert_close(
        of_pairs.error_of_sum(), of_pairs.error.sum(-1) * of_pairs.known, rtol=1e-9, atol=1e-12
    )


def test_steps_of_adam_are_those_of_torch_to_the_bit():
    def parameters():
        of = torch.Generator().manual_seed(0)
        kinds = ((3, 4), torch.float64), ((5,), torch.float32)
        return [
            torch.randn(shape, dtype=kind, generator=of).requires_grad_() for shape, kind in kinds
        ]

    def loss(first, second):
        return (first**2).sum() + first.sin().sum() + 30 * (second - 1).square().sum()

    ours, theirs = parameters(), parameters()
    descent, optimiser = Adam(ours, 0.01), torch.optim.Adam(theirs, lr=0.01)
    for step in range(12):
        descent.rate = optimiser.param_groups[0]["lr"] = 0.01 / (1 + step)
        descent.step(loss(*ours), longest=1.0)
        optimiser.zero_grad()
        loss(*theirs).backward()
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        optimiser.step()
    assert all(map(torch.equal, ours, theirs))
    assert not torch.equal(ours[0], parameters()[0])
