"""The border to tensors: roots and back, local solar time, whole windows, nothing of the hidden."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import NearbyStations, complete, nearest_others
from aqreanalysis.methods.neural.batches import (
    Clock,
    Example,
    Samples,
    assemble,
    clock_of,
    station_series,
)
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.neural_knn import CYCLES, NeuralKNN
from aqreanalysis.methods.neural.validation import network_outputs
from aqreanalysis.network import StationNetwork

SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
universal = settings(deadline=None, max_examples=40)


def observations(count=9, hours=40, *, seed=0, first="2014-11-01T05", freq="1h", label="start"):
    """Return random observations with gaps."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(4, 10, (count, hours))
    values[rng.random(values.shape) < 0.1] = np.nan
    step = pd.Timedelta(freq) / pd.Timedelta("1h")
    time = pd.date_range(first, periods=hours, freq=freq)
    return xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number}" for number in range(count)],
            "longitude": ("station", 116 + rng.uniform(-1, 1, count)),
            "latitude": ("station", 40 + rng.uniform(-1, 1, count)),
            "time": ("time", time, {"time_label": label, "step_hours": step}),
        },
    )


def samples_of(dataset, *, configuration=SMALL, seasons=False):
    """Return samples and standardisation of a Dataset."""
    standardisation = Standardisation.of(dataset.pm25.values)
    return Samples.of(
        dataset,
        "pm25",
        standardisation=standardisation,
        configuration=configuration,
        seasons=seasons,
    )


# --- standardisation


def test_training_values_have_mean_nought_and_spread_one_after_it():
    values = observations().pm25.values
    standardisation = Standardisation.of(values)

    forward = standardisation.forward(values)

    assert np.nanmean(forward) == pytest.approx(0, abs=1e-12)
    assert np.nanstd(forward) == pytest.approx(1)
    np.testing.assert_array_equal(np.isnan(forward), np.isnan(values))


@universal
@given(
    centre=st.floats(0, 20),
    scale=st.floats(0.1, 10),
    value=st.floats(0, 5000),
)
def test_there_and_back_is_the_value(centre, scale, value):
    standardisation = Standardisation(centre, scale)

    forward = torch.from_numpy(standardisation.forward(np.array([value])))
    back = standardisation.distribution(forward, torch.zeros(1).double())

    assert back.median.item() == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert back.standard_error.item() == 0


def test_negative_values_count_as_nought():
    standardisation = Standardisation(centre=5.0, scale=2.0)

    assert standardisation.forward(np.array([-4.0, 0.0])).tolist() == [-2.5, -2.5]
    below = Standardisation.of(np.array([-9.0, 0.0, 4.0]))
    assert below == Standardisation.of(np.array([0.0, 0.0, 4.0]))


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 0.3), (1.5, 1.0), (-0.8, 0.5)])
def test_moments_of_the_concentration_agree_with_draws(mean, variance):
    standardisation = Standardisation(centre=6.0, scale=2.0)
    draws = np.random.default_rng(0).normal(mean, np.sqrt(variance), 400_000)
    concentration = (6.0 + 2.0 * draws) ** 2

    known = standardisation.distribution(torch.tensor(mean), torch.tensor(variance))

    # 400 000 draws: the median is known to 0.3 % of a standard deviation.
    assert float(known.median) == pytest.approx(np.median(concentration), rel=0.01)
    assert float(known.mean) == pytest.approx(concentration.mean(), rel=0.01)
    assert float(known.standard_error) == pytest.approx(concentration.std(), rel=0.01)


@universal
@given(
    mean=st.floats(-50, 50),
    variance=st.floats(0, 100),
)
def test_an_estimate_is_never_negative(mean, variance):
    standardisation = Standardisation(centre=3.0, scale=2.0)

    known = standardisation.distribution(torch.tensor(mean), torch.tensor(variance))

    assert known.median >= 0
    assert known.standard_error >= 0


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 7.7, 12.34567])
@pytest.mark.parametrize("shape", [(7,), (3, 111)])
def test_a_constant_is_refused_whatever_rounding_says(value, shape):
    with pytest.raises(ValueError, match=f"all {value:g}"):
        Standardisation.of(np.full(shape, value))


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match=r"at least two different values .* found 0 values"):
        Standardisation.of(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="found 1 values, all 4"):
        Standardisation.of(np.array([np.nan, 4.0]))


# --- time


def angle(cycles, number):
    """Return the phase of one cycle in degrees, 0 to 360, from its sine and cosine."""
    sine, cosine = cycles[..., 2 * number].double(), cycles[..., 2 * number + 1].double()
    return torch.rad2deg(torch.atan2(sine, cosine)).numpy() % 360


DAY, HALF_DAY, WEEK, YEAR = range(4)


def test_the_day_is_that_of_the_local_sun():
    # 04:00 to 05:00 UTC has its middle at 04:30: 12:30 solar time at 120 degrees east, and 20:30 of
    # the day before at 120 west. A day is 360 degrees, an hour 15.
    clock, begin = clock_of(observations(first="2014-11-01T04"))

    cycles = clock.cycles(np.array([0.0, 120.0, -120.0, 7.5]), begin, begin + 2)

    expected = np.array([4.5, 12.5, 20.5, 5.0])[:, None] + [0, 1]
    np.testing.assert_allclose(angle(cycles, DAY), expected * 15 % 360, atol=1e-3)
    np.testing.assert_allclose(angle(cycles, HALF_DAY), expected * 30 % 360, atol=1e-3)


def test_the_label_says_where_the_middle_of_a_period_is():
    starts, begin = clock_of(observations(first="2014-11-01T04", label="start"))
    ends, later = clock_of(observations(first="2014-11-01T05", label="end"))

    # One and the same period under its two labels.
    same = starts.cycles(np.zeros(1), begin, begin + 3), ends.cycles(np.zeros(1), later, later + 3)
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)


def test_the_week_comes_again_after_seven_days_and_not_before():
    clock, begin = clock_of(observations())

    days = clock.cycles(np.zeros(1), begin, begin + 8 * 24)[0, ::24]

    np.testing.assert_allclose(np.diff(angle(days, WEEK)) % 360, 360 / 7, atol=1e-3)
    np.testing.assert_allclose(days[7], days[0], atol=1e-5)


def test_the_year_is_a_cycle_only_for_a_model_that_knows_seasons():
    clock = Clock(0.5, 1.0, seasons=True)
    march, september = 59 * 24, 59 * 24 + 4383  # half a year of 8766 hours later
    cycles = clock.cycles(np.zeros(1), march, september + 1)

    turned = angle(cycles[:, -1:], YEAR) - angle(cycles[:, :1], YEAR)
    assert turned.item() % 360 == pytest.approx(180, abs=1e-3)
    without = Clock(0.5, 1.0, seasons=False).cycles(np.zeros(1), march, march + 5)
    assert (without[..., -2:] == 0).all()
    assert torch.equal(without[..., :-2], cycles[:, :5, :-2])


def test_seasons_need_two_years():
    short = observations(1, 730, freq="24h")
    long = observations(1, 731, freq="24h")

    assert not clock_of(short)[0].seasons
    assert clock_of(long)[0].seasons
    assert not clock_of(long, seasons=False)[0].seasons


@universal
@given(longitude=st.floats(-180, 180), turns=st.integers(-1, 2))
def test_a_turn_of_longitude_changes_no_cycle(longitude, turns):
    clock = Clock(0.5, 1.0, seasons=True)

    once = clock.cycles(np.array([longitude]), 400_000, 400_003)
    again = clock.cycles(np.array([longitude + 360 * turns]), 400_000, 400_003)

    if abs(longitude) < 179.999:  # there, a rounding decides on which side of the line it is
        np.testing.assert_allclose(again, once, atol=1e-5)


def test_the_cycles_are_eight_and_within_one():
    cycles = Clock(0.5, 24.0, seasons=True).cycles(np.array([10.0]), 0, 1000)

    assert cycles.shape == (1, 1000, CYCLES)
    radius = cycles.reshape(1, 1000, 4, 2).square().sum(-1)
    np.testing.assert_allclose(radius, 1, atol=1e-5)


# --- samples


@universal
@given(
    hours=st.integers(1, 60),
    offset=st.integers(0, 100),
    freq=st.sampled_from(["1h", "24h", "3h"]),
)
def test_windows_lie_on_an_absolute_axis_and_hold_every_value(hours, offset, freq):
    step = pd.Timedelta(freq)
    first = pd.Timestamp("2014-11-01") + offset * step
    dataset = observations(3, hours, first=first, freq=freq, seed=offset)
    if np.isfinite(dataset.pm25.values).sum() < 2:
        return
    samples = samples_of(dataset)

    margin, core = SMALL.margin_steps, SMALL.core_steps
    inner = samples.value.shape[1] - 2 * margin
    assert inner % core == 0
    assert (samples.first + margin) % core == 0
    column = (first - pd.Timestamp(0)) // step - samples.first
    assert column >= margin
    standardisation = Standardisation.of(dataset.pm25.values)
    here = samples.value[:, column : column + hours].numpy()
    np.testing.assert_array_equal(here, standardisation.forward(dataset.pm25.values))
    outside = torch.cat([samples.value[:, :column], samples.value[:, column + hours :]], 1)
    assert torch.isnan(outside).all()
    assert outside.shape[1] < 2 * (core + margin)


def test_samples_know_how_stations_lie_to_each_other():
    dataset = observations(2)
    dataset["longitude"].values[:] = [10.0, 11.0]
    dataset["latitude"].values[:] = 0.0

    samples = samples_of(dataset)

    # From the first the second lies in the east, 90 degrees; from the second the first in the west.
    both = np.arange(2)
    assert float(samples.bearing(both, both)[0, 1]) == pytest.approx(np.pi / 2)
    assert float(samples.bearing(both, both)[1, 0]) == pytest.approx(3 * np.pi / 2)
    assert float(samples.distance_km(both, both)[0, 1]) == pytest.approx(111.195, abs=1e-3)


@pytest.mark.parametrize("count", [1, 2, 9, 700])
def test_the_surroundings_of_a_network_are_those_of_all_its_distances(count):
    rng = np.random.default_rng(count)
    # Every tenth of a degree: some stations are equally far, and some are at one place.
    network = StationNetwork(rng.integers(0, 40, count) / 10, rng.integers(0, 30, count) / 10)

    rows, distance_km = NearbyStations.of(network)

    every = network.distance_matrix_km()
    expected = NearbyStations.among(torch.from_numpy(every))
    assert rows.shape == expected.rows.shape
    assert all(len(set(row)) == len(row) for row in rows.tolist())
    # Of stations at equal distance, rounding may put either one first.
    own = np.arange(count)[:, None]
    np.testing.assert_allclose(every[own, rows], every[own, expected.rows], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(distance_km, every[rows[:, :, None], rows[:, None, :]])


def test_the_surroundings_of_a_station_are_its_nearest_others():
    value = torch.tensor([[1.0], [2.0], [4.0], [100.0]]).double()
    apart = (
        torch.tensor([[0.0], [1.0], [2.0], [50.0]]).double() - torch.tensor([0, 1, 2, 50])
    ).abs()

    others = value[nearest_others(apart, 2)]
    series = station_series(
        value, value * 0, others, torch.zeros(4, 1, CYCLES), torch.zeros(4, 1, 0)
    )

    # Of the first: stations 2 and 4, mean 3, spread 1. Of the last: 2 and 4 again.
    assert series.mean[[0, 3], 0].tolist() == [3.0, 3.0]
    assert series.spread[[0, 3], 0].tolist() == [1.0, 1.0]
    assert series.mean[1, 0] == 2.5


# --- nothing of the hidden


def windows_of(samples, *, hidden, start=0):
    """Return one window with some stations hidden."""
    everyone = np.arange(samples.network.size)
    return [Example(start, np.setdiff1d(everyone, hidden), np.asarray(hidden))]


def trained_model(spacing_km):
    """Return a network with no layer at zero."""
    torch.manual_seed(0)
    model = NeuralKNN(SMALL, spacing_km=spacing_km)
    torch.nn.init.normal_(model.leave.weight, std=0.3)
    torch.nn.init.normal_(model.encoder.correct.weight, std=0.3)
    return model.eval()


def outputs_of(model, batch):
    """Return mean and log-variance of the whole network at a batch's targets."""
    return network_outputs(model, batch, model.weights(batch.neighbourhood))


@universal
@given(
    hidden=st.sets(st.integers(0, 8), min_size=1, max_size=7),
    start=st.sampled_from([0, 5, 24]),
    seed=st.integers(0, 20),
)
def test_values_of_hidden_stations_never_reach_a_prediction(hidden, start, seed):
    samples = samples_of(observations(9, 40, seed=seed))
    other = samples.value.clone()
    other[sorted(hidden)] = torch.randn(len(hidden), other.shape[1]).double() * 1000
    changed = replace(samples, value=other)
    model = trained_model(20.0)

    result = []
    with torch.no_grad():
        for these in (samples, changed):
            windows = windows_of(these, hidden=sorted(hidden), start=start)
            batch = assemble(these, windows, covariance=model.covariance, configuration=SMALL)
            result.append((*outputs_of(model, batch), batch.truth))

    assert torch.equal(result[0][0], result[1][0])
    assert torch.equal(result[0][1], result[1][1])
    assert not torch.equal(result[0][2].nan_to_num(), result[1][2].nan_to_num())


def test_values_of_visible_stations_do_reach_it():
    samples = samples_of(observations(9, 40))
    changed = samples.value.clone()
    changed[1] += 1
    other = replace(samples, value=changed)
    model = trained_model(20.0)

    with torch.no_grad():
        means = [
            outputs_of(
                model,
                assemble(
                    these,
                    windows_of(these, hidden=[0, 2]),
                    covariance=model.covariance,
                    configuration=SMALL,
                ),
            )[0]
            for these in (samples, other)
        ]

    assert not torch.equal(*means)


def test_the_truth_of_a_batch_is_the_core_of_the_hidden_series():
    samples = samples_of(observations(9, 40))
    windows = windows_of(samples, hidden=[3, 5], start=7)

    batch = assemble(samples, windows, covariance=SpaceTimeCovariance(20.0), configuration=SMALL)

    expected = samples.value[[3, 5], 11:23].float()
    np.testing.assert_array_equal(batch.truth, expected)
    cycles = samples.clock.cycles(
        samples.network.longitude[[3, 5]], samples.first + 11, samples.first + 23
    )
    assert torch.equal(batch.cycles, cycles.permute(2, 0, 1))


def test_windows_side_by_side_are_as_alone():
    # Windows with few and with many visible stations follow each other.
    samples = samples_of(observations(9, 60))
    model = trained_model(20.0)
    windows = [
        Example(0, np.array([0, 1, 2]), np.array([3, 4])),
        Example(30, np.array([1, 2, 3, 5, 6, 7, 8]), np.array([0])),
    ]

    def predict(some):
        batch = assemble(samples, some, covariance=model.covariance, configuration=SMALL)
        with torch.no_grad():
            return torch.stack(outputs_of(model, batch), -1)

    together = predict(windows)
    alone = torch.cat([predict(windows[:1]), predict(windows[1:])])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_neighbours_of_a_hidden_station_are_the_nearest_visible():
    samples = samples_of(observations(9, 40))
    hidden = [0, 4]
    batch = assemble(
        samples,
        windows_of(samples, hidden=hidden),
        covariance=SpaceTimeCovariance(20.0),
        configuration=SMALL,
    )

    place = batch.neighbourhood
    visible = np.setdiff1d(np.arange(9), hidden)
    distance, bearing = (
        way(np.array(hidden), visible) for way in (samples.distance_km, samples.bearing)
    )
    for row in range(2):
        order = np.argsort(distance[row].numpy())[:4]
        np.testing.assert_array_equal(visible[place.index[row]], visible[order])
        np.testing.assert_allclose(place.distance_km[row], distance[row, order], rtol=1e-9)
        np.testing.assert_array_equal(place.bearing[row], bearing[row, order])


def test_gaps_of_a_window_are_filled_from_visible_stations_of_that_window():
    samples = samples_of(observations(9, 60))
    covariance = SpaceTimeCovariance(20.0)
    visible = np.arange(1, 9)
    batch = assemble(
        samples, [Example(10, visible, np.array([0]))], covariance=covariance, configuration=SMALL
    )

    around = NearbyStations.among(samples.distance_km(visible, visible))
    value, variance = complete(covariance, samples.value[1:, 10:30], around)
    assert torch.equal(batch.series.value, value.float())
    assert torch.equal(batch.series.variance, variance.float())
