"""The network: a covariance that krige agrees with by hand, completion, encoder and neural kNN."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import (
    FILLING_STATIONS,
    OWN_REACH_STEPS,
    NearbyStations,
    complete,
    nearest_others,
)
from aqreanalysis.methods.kriging.neighbourhood import FADING_FROM, fade
from aqreanalysis.methods.kriging.solver import JITTER, ordinary_weights
from aqreanalysis.methods.neural.batches import neighbourhood_of, station_series
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.devices import single_thread
from aqreanalysis.methods.neural.encoder import TemporalEncoder
from aqreanalysis.methods.neural.neural_knn import CYCLES, NeuralKNN, StationSeries
from aqreanalysis.network import StationNetwork

SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
universal = settings(deadline=None, max_examples=30)


def double(values):
    """Return a float64 tensor."""
    return torch.as_tensor(values, dtype=torch.float64)


def network_of(count, *, seed=0, spread=1.0):
    """Return stations around Beijing."""
    rng = np.random.default_rng(seed)
    return StationNetwork(
        116 + rng.uniform(-spread, spread, count), 40 + rng.uniform(-spread, spread, count)
    )


def pair_km(network):
    """Return the distances among stations."""
    return torch.from_numpy(network.distance_matrix_km())


def around(network):
    """Return what completing needs of a network."""
    return NearbyStations.among(pair_km(network))


def by_hand(covariance, apart, lag, same):
    """Return the documented formula in NumPy, from the parameters alone."""
    value = {name: p.detach().numpy() for name, p in covariance.named_parameters()}
    amplitude, station = np.exp(value["log_amplitude"]), np.exp(value["log_station"])
    total = np.zeros(np.broadcast(apart, lag, same).shape)
    for a, reach, time in zip(
        amplitude, np.exp(value["log_range"]), np.exp(value["log_time"]), strict=True
    ):
        total += a**2 * np.exp(-np.asarray(apart) / reach - np.abs(lag) / time)
    own = station[0] ** 2 * np.exp(-np.abs(lag) / np.exp(value["log_station_time"]))
    return total + same * (own + station[1] ** 2 * (np.asarray(lag) == 0))


def kriged_by_hand(matrix, vector, sill):
    """Return ordinary kriging weights and variance from the bordered system, in NumPy."""
    size = len(vector)
    bordered = np.block([[matrix, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
    solved = np.linalg.solve(bordered, np.append(vector, 1.0))
    return solved[:size], sill - solved @ np.append(vector, 1.0)


def random_covariance(seed, *, spacing_km=20.0):
    """Return a covariance whose every parameter is off its start, as after training."""
    generator = torch.Generator().manual_seed(seed)
    covariance = SpaceTimeCovariance(spacing_km)
    for parameter in covariance.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2
    return covariance.requires_grad_(False)


def with_network(covariance):
    """Return the covariance with a part that all stations share."""
    covariance.log_network.copy_(double([0.8, 30.0]).log())
    return covariance


# --- configuration


def test_a_window_is_its_core_and_two_margins():
    assert SMALL.window_steps == 20
    assert Configuration(bands=[0.5, 1.5], margin_steps=5).reach == 5


def test_all_faults_of_a_configuration_are_told_at_once():
    with pytest.raises(
        ValueError, match="neighbours must be a whole number from 1 to 4096, found 0"
    ) as caught:
        Configuration(neighbours=0, context=-1, heads=2.5, encoder_width="8", bands=(2, 1))
    assert "context must be a whole number from 1 to 4096, found -1" in str(caught.value)
    assert "heads must be a whole number from 1 to 4096, found 2.5" in str(caught.value)
    assert "encoder_width must be a whole number from 1 to 4096, found '8'" in str(caught.value)
    assert "bands must be positive and ascend, found (2, 1)" in str(caught.value)


@pytest.mark.parametrize("bands", [(), (1, 1), (2, 1), (0, 1)])
def test_bands_must_be_positive_and_ascend(bands):
    with pytest.raises(ValueError, match="bands must be positive and ascend"):
        Configuration(bands=bands)


def test_margins_must_reach_as_far_as_the_widest_band():
    with pytest.raises(ValueError, match=r"margin_steps \(4\) must reach .* widest band \(6\)"):
        Configuration(bands=(1, 2), margin_steps=4)


def test_only_known_parts_can_be_left_out():
    with pytest.raises(ValueError, match=r"without names recurrence, .*; found decoder"):
        Configuration(without=("attention", "decoder"))


# --- covariance


def test_the_covariance_is_the_documented_sum():
    covariance = random_covariance(1)
    apart, lag = np.array([0.0, 3.0, 50.0, 700.0])[:, None], np.array([0.0, 1.0, 30.0])

    for same in (False, True):
        result = covariance(double(apart), double(lag), torch.tensor(same))
        np.testing.assert_allclose(result, by_hand(covariance, apart, lag, same), rtol=1e-12)
    assert float(covariance.sill()) == pytest.approx(by_hand(covariance, 0.0, 0.0, True))


@universal
@given(
    count=st.integers(2, 7),
    steps=st.integers(1, 4),
    seed=st.integers(0, 200),
    spread=st.sampled_from([1e-4, 1.0, 20.0, 90.0]),
)
def test_the_covariance_is_positive_definite_on_the_sphere(count, steps, seed, spread):
    rng = np.random.default_rng(seed)
    latitude = np.clip(rng.uniform(-spread, spread, count), -90, 90)
    network = StationNetwork(rng.uniform(-spread, spread, count) * 2, latitude)
    station, step = (grid.ravel() for grid in np.mgrid[:count, :steps])
    apart = pair_km(network)[station][:, station]
    lag = double(np.abs(step[:, None] - step))
    covariance = random_covariance(seed)

    matrix = covariance(apart, lag, torch.from_numpy(station[:, None] == station))

    smallest = float(torch.linalg.eigvalsh(matrix).min())
    assert smallest > -1e-12 * matrix.shape[0] * float(covariance.sill())


# --- kriging weights


def test_no_datum_gets_no_weight():
    nothing = torch.tensor([[False, False]])
    weight, variance = ordinary_weights(
        torch.eye(2).double()[None], torch.zeros(1, 2).double(), nothing, double(1.0)
    )

    assert weight.tolist() == [[0.0, 0.0]]
    assert torch.isfinite(variance).all()


# --- fading: no jumps where a neighbour enters or leaves


def test_fading_takes_a_neighbour_out_before_it_leaves():
    halfway = 5 * (1 + FADING_FROM)  # where the way gone equals the way left, the noise is the sill
    begin = 10 * FADING_FROM
    distance = double([[1.0, begin - 0.01, halfway, 9.999999, 10.0, torch.inf]])

    noise = fade(distance, double([10.0]))[0]

    assert noise[:2].tolist() == [0.0, 0.0]
    assert float(noise[2]) == pytest.approx(1.0)
    assert float(noise[4]) >= float(noise[3]) > 1e10
    assert float(noise[5]) == 0.0  # there is no such neighbour: it has no weight anyway


def test_nothing_fades_where_no_station_is_left_out():
    assert fade(double([[1.0, 50.0]]), double([torch.inf])).tolist() == [[0.0, 0.0]]


# --- completion


def test_measured_values_stay_as_they_are():
    rng = np.random.default_rng(0)
    value = double(np.where(rng.random((9, 40)) < 0.4, np.nan, rng.standard_normal((9, 40))))
    before = value.clone()

    filled, variance = complete(random_covariance(0), value, around(network_of(9)))

    present = torch.isfinite(before)
    assert torch.equal(filled[present], before[present])
    assert (variance[present] == 0).all()
    assert torch.isfinite(filled).all()
    assert (variance[~present] > 0).all()
    assert torch.equal(torch.isnan(value), torch.isnan(before))


def test_a_gap_is_ordinary_kriging_of_its_neighbours_and_its_own_last_and_next_value():
    network, covariance = network_of(4, seed=5), random_covariance(3)
    value = double(np.random.default_rng(2).standard_normal((4, 10)))
    value[1, 3:6] = torch.nan  # the gap at step 4 has its own values at steps 2 and 6
    value[3, 4] = torch.nan  # and this station does not report then

    filled, variance = complete(covariance, value, around(network))

    data = [(0, 4), (2, 4), (1, 2), (1, 6)]
    station, step = (np.array(column) for column in zip(*data, strict=True))
    apart = network.distance_matrix_km()
    matrix = by_hand(
        covariance,
        apart[station][:, station],
        np.abs(step[:, None] - step),
        station[:, None] == station,
    )
    sill = float(covariance.sill())
    matrix += JITTER * sill * np.eye(4)
    vector = by_hand(covariance, apart[1, station], np.abs(step - 4), station == 1)
    weight, expected = kriged_by_hand(matrix, vector, sill)
    assert float(filled[1, 4]) == pytest.approx(weight @ value[station, step].numpy(), abs=1e-9)
    assert float(variance[1, 4]) == pytest.approx(expected, abs=1e-9)


def test_only_the_nearest_reporting_stations_fill_a_gap():
    network, covariance = network_of(30, seed=6), random_covariance(1)
    value = double(np.random.default_rng(3).standard_normal((30, 1)))
    value[0] = torch.nan
    nearest = network.distance_matrix_km()[0].argsort()[1:]
    value[nearest[:3]] = torch.nan
    used, unused = nearest[3 : 3 + FILLING_STATIONS], nearest[3 + FILLING_STATIONS :]
    filled = complete(covariance, value, around(network))[0][0, 0]

    far = value.clone()
    far[unused] += 100
    assert complete(covariance, far, around(network))[0][0, 0] == filled
    near = value.clone()
    near[used[-1]] += 100
    assert complete(covariance, near, around(network))[0][0, 0] != filled


def test_nothing_in_reach_gives_the_mean_and_the_sill():
    covariance = with_network(random_covariance(0))
    value = torch.full((3, 2 * OWN_REACH_STEPS), torch.nan, dtype=torch.float64)
    value[1, 0] = 1.7

    filled, variance = complete(covariance, value, around(network_of(3)))

    # The station's own value reaches a day; the others have the same hour alone.
    reached = torch.zeros_like(value, dtype=torch.bool)
    reached[1, : OWN_REACH_STEPS + 1] = True
    reached[:, 0] = True
    assert (filled[~reached] == 0).all()
    assert (variance[~reached] == covariance.whole_sill()).all()
    np.testing.assert_allclose(filled[:, 0], 1.7)  # one datum at that hour: its weight is 1
    # While nobody reports, the memory of it fades, towards the mean and the whole variance.
    assert (filled[1, 1 : OWN_REACH_STEPS + 1].diff() < 0).all()
    assert (variance[1, 1 : OWN_REACH_STEPS + 1].diff() > 0).all()
    assert (variance[1] < (1 + 1e-12) * covariance.whole_sill()).all()


def test_a_lone_station_is_completed_from_itself():
    value, covariance = double([[1.0, torch.nan, 1.0]]), with_network(random_covariance(0))

    filled, variance = complete(covariance, value, NearbyStations.among(torch.zeros(1, 1).double()))

    # Nobody else reports: simple kriging, with all that its series shares with itself.
    def at(lag):
        share = 0.8**2 * np.exp(-lag / 30)
        return by_hand(covariance, 0.0, float(lag), True).item() + share

    matrix = np.array([[at(0), at(2)], [at(2), at(0)]])
    weight = np.linalg.solve(matrix, [at(1), at(1)])
    assert float(filled[0, 1]) == pytest.approx(weight.sum(), rel=1e-5)
    assert float(variance[0, 1]) == pytest.approx(at(0) - weight.sum() * at(1), rel=1e-4)


def krige_all(covariance, network, value, target):
    """Return mean and variance of one hour at a target, from the stations with a value."""
    present = np.flatnonzero(np.isfinite(value))
    both = StationNetwork(
        np.append(network.longitude[present], target[0]),
        np.append(network.latitude[present], target[1]),
    )
    apart = both.distance_matrix_km()
    sill = float(covariance.sill())
    matrix = by_hand(covariance, apart[:-1, :-1], 0.0, np.eye(len(present), dtype=bool))
    matrix += JITTER * sill * np.eye(len(present))
    vector = by_hand(covariance, apart[-1, :-1], 0.0, False)
    weight, variance = kriged_by_hand(matrix, vector, sill)
    return weight @ value[present], variance, weight


@pytest.mark.parametrize("missing", [1, 3, 5])
def test_kriging_with_completed_values_is_kriging_without_the_missing(missing):
    # Nine stations, all of them neighbours, one hour: what is filled is a linear estimate from
    # the same data, and the estimate of an estimate is itself. The jitter is a noise of each
    # station like its sensor's, so the identity holds to rounding.
    network, covariance = network_of(9, seed=8), random_covariance(4)
    value = np.random.default_rng(5).standard_normal(9)
    value[np.random.default_rng(missing).permutation(9)[:missing]] = np.nan
    filled, added = complete(covariance, double(value)[:, None], around(network))

    for target in [(116.0, 40.0), (117.5, 40.9), (115.9, 39.2)]:
        exact, spread, _ = krige_all(covariance, network, value, target)
        result, least, weight = krige_all(covariance, network, filled[:, 0].numpy(), target)

        assert result == pytest.approx(exact, abs=1e-9)
        with_gaps = least + weight**2 @ added[:, 0].numpy()
        if missing == 1:
            # One gap: its error is independent of that of the kriging from all.
            assert with_gaps == pytest.approx(spread, rel=1e-5)
        else:
            # The errors of several go together, which the sum of their terms does not know. In
            # 240 random cases it was short by up to 23 %, and never 0.1 % too much.
            assert least * (1 - 1e-6) <= with_gaps < 1.01 * spread
            assert with_gaps > 0.7 * spread


# --- encoder


def test_the_encoder_sees_both_ways_and_no_other_station():
    torch.manual_seed(0)
    encoder = TemporalEncoder(3, SMALL)
    inputs = torch.randn(2, 20, 3)
    changed = inputs.clone()
    changed[0, 10] += 1

    first, second = encoder(inputs), encoder(changed)

    assert not torch.equal(first.score[0, 0], second.score[0, 0])  # ten steps before
    assert not torch.equal(first.score[0, -1], second.score[0, -1])  # and nine after
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one[1].detach(), other[1].detach(), atol=1e-6)


def test_the_encoder_starts_without_a_correction():
    assert (TemporalEncoder(3, SMALL)(torch.randn(6, 20, 3)).correction == 0).all()


# --- neural kNN


def scene(network, *, configuration=SMALL, targets=5, longitudes=None, seed=0, gaps=0.2):
    """Return series, neighbourhood and cycles of one window, from random values."""
    rng = np.random.default_rng(seed)
    steps = configuration.window_steps
    value = rng.standard_normal((network.size, steps))
    value[rng.random(value.shape) < gaps] = np.nan
    covariance = SpaceTimeCovariance(network.spacing_km)
    filled, variance = complete(covariance, double(value), around(network))
    cycles = torch.sin(torch.arange(steps * CYCLES).reshape(1, steps, CYCLES) / 7).float()
    at_stations = cycles.expand(network.size, -1, -1)
    nothing = torch.zeros(network.size, steps, 0)
    others = filled[nearest_others(pair_km(network), 4)]
    series = station_series(filled, variance, others, at_stations, nothing)
    lon, lat = 116 + rng.uniform(-1, 1, targets), 40 + rng.uniform(-1, 1, targets)
    if longitudes is not None:
        targets, lon, lat = len(longitudes), longitudes, np.full(len(longitudes), 40.0)
    even = torch.zeros(network.size).double()
    neighbourhood = neighbourhood_of(
        network, np.asarray(lon), np.asarray(lat), even, neighbours=configuration.neighbours
    )
    margin, core = configuration.margin_steps, configuration.core_steps
    at_targets = cycles[:, margin : margin + core].expand(targets, -1, -1).permute(2, 0, 1)
    return series, neighbourhood, at_targets


def model_of(network, *, configuration=SMALL, trained=False, seed=0, attributes=0):
    """Return a network; ``trained`` moves its last layers off zero, as training would."""
    torch.manual_seed(seed)
    model = NeuralKNN(configuration, spacing_km=network.spacing_km, attributes=attributes)
    if trained:
        for layer in (model.leave, model.encoder.correct):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return model.eval().requires_grad_(False)


def outputs_of(model, series, neighbourhood, cycles):
    """Return mean and log-variance of the whole network."""
    tables = model.station_tables(series, model.encode(series))
    return model(tables, matrices_of(model, series, neighbourhood, heads=True), cycles)


def kriging_of(model, series, neighbourhood, weights=None):
    """Return mean and log-variance of the covariance head alone."""
    matrices = matrices_of(model, series, neighbourhood, weights)
    return model(model.station_tables(series, None), matrices, None)


def matrices_of(model, series, neighbourhood, weights=None, *, heads=False):
    """Return the matrices of targets over the stations of series."""
    weights = weights or model.weights(neighbourhood)
    count = len(series.value)
    return model.target_matrices(neighbourhood, weights, stations=count, heads=heads)


@pytest.mark.parametrize("stations", [2, 3, 12])
def test_the_untrained_network_is_kriging_to_the_last_bit(stations):
    network = network_of(stations)
    model = model_of(network)
    series, neighbourhood, cycles = scene(network)

    outputs = outputs_of(model, series, neighbourhood, cycles)

    kriged = kriging_of(model, series, neighbourhood)
    assert torch.equal(outputs[0], kriged[0])
    assert torch.equal(outputs[1], kriged[1])


def test_kriging_over_the_window_is_the_weights_times_the_bands():
    network = network_of(12)
    model = model_of(network)
    series, neighbourhood, _ = scene(network)
    weights = model.weights(neighbourhood)

    mean, log_variance = kriging_of(model, series, neighbourhood)

    value, variance = series.value.numpy(), series.variance.numpy()
    smooth = [value, *(gaussian_filter1d(value, w, truncate=3.01) for w in SMALL.bands)]
    bands = np.stack([*(-np.diff(smooth, axis=0)), smooth[-1]], -1)  # (station, time, band)
    weight, index = weights.weight.numpy(), neighbourhood.index.numpy()
    for target, step in [(0, 0), (2, 7), (4, 11)]:
        at = SMALL.margin_steps + step
        expected = (weight[target] * bands[index[target], at]).sum()
        assert float(mean[target, step]) == pytest.approx(expected, abs=1e-5)
        # Errors of filled values go together.
        share = abs(weight[target].mean(1)) / abs(weight[target].mean(1)).sum()
        filled = (share @ np.sqrt(variance[index[target], at])) ** 2
        spread = float(weights.variance[target]) + filled
        assert float(log_variance[target, step]) == pytest.approx(np.log(spread), abs=1e-5)


@pytest.mark.parametrize("part", ["recurrence", "attention", "cycles", "covariance"])
def test_a_part_that_is_left_out_changes_the_answer(part):
    network = network_of(12)
    whole = model_of(network, trained=True)
    less = model_of(network, configuration=replace(SMALL, without=(part,)), trained=True)
    less.load_state_dict(whole.state_dict())
    outputs = scene(network)
    mean, log_variance = outputs_of(less, *outputs)
    assert torch.isfinite(mean).all()
    assert torch.isfinite(log_variance).all()
    assert not torch.allclose(mean, outputs_of(whole, *outputs)[0])


def test_without_the_covariance_the_prior_is_inverse_squared_distance():
    network = network_of(4)  # as many as neighbours, so that none fades
    model = model_of(network, configuration=replace(SMALL, without=("covariance",)))
    _, neighbourhood, _ = scene(network)
    near = neighbourhood.distance_km.numpy() ** -2
    for band in range(3):
        weights = model.weights(neighbourhood).weight[..., band]
        np.testing.assert_allclose(weights, near / near.sum(1, keepdims=True), rtol=1e-9)


def test_with_no_departure_the_mean_is_kriging_and_the_spread_is_learned():
    network = network_of(12)
    model = model_of(network, trained=True)
    model.departure.fill_(0.0)
    series, neighbourhood, cycles = scene(network)
    mean, log_variance = outputs_of(model, series, neighbourhood, cycles)
    kriged, spread = kriging_of(model, series, neighbourhood)
    assert torch.equal(mean, kriged)
    assert not torch.allclose(log_variance, spread)


def test_a_field_without_differences_stays_as_it_is_under_kriging():
    network = network_of(12)
    model = model_of(network)
    series, neighbourhood, _ = scene(network, gaps=0.0)
    constant = series._replace(value=torch.full_like(series.value, 1.25))

    mean, _ = kriging_of(model, constant, neighbourhood)

    np.testing.assert_allclose(mean, 1.25, atol=1e-5)


def test_the_order_of_stations_does_not_matter():
    network = network_of(12)
    model = model_of(network, trained=True)
    order = np.random.default_rng(1).permutation(12)
    shuffled = StationNetwork(network.longitude[order], network.latitude[order])
    rng = np.random.default_rng(7)
    value = rng.standard_normal((12, SMALL.window_steps))
    value[rng.random(value.shape) < 0.3] = np.nan
    directions = rng.uniform(0, 6, 12)

    result = []
    for stations, rows in ((network, np.arange(12)), (shuffled, order)):
        series, neighbourhood, cycles = scene(stations, targets=3)
        filled, variance = complete(model.covariance, double(value[rows]), around(stations))
        series = station_series(
            filled,
            variance,
            filled[nearest_others(pair_km(stations), 4)],
            series.cycles,
            series.covariates,
        )
        bearing = double(directions[rows])[neighbourhood.index]
        place = replace(neighbourhood, bearing=bearing)
        result.append(outputs_of(model, series, place, cycles))

    for one, other in zip(*result, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_stations_that_are_no_neighbours_change_nothing():
    network = network_of(6)
    model = model_of(network, trained=True)
    series, neighbourhood, cycles = scene(network)
    padded = StationSeries(*(torch.cat([t, t[:1] * 0 + 9]) for t in series))

    for one, other in zip(
        outputs_of(model, series, neighbourhood, cycles),
        outputs_of(model, padded, neighbourhood, cycles),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_missing_neighbour_is_heard_by_no_head():
    network = network_of(3)  # of four neighbours that are asked for, one is not there
    model = model_of(network, trained=True)
    series, neighbourhood, cycles = scene(network)
    elsewhere = torch.where(torch.isinf(neighbourhood.distance_km), 2, neighbourhood.index)
    moved = replace(neighbourhood, index=elsewhere)

    assert not torch.equal(elsewhere, neighbourhood.index)
    for one, other in zip(
        outputs_of(model, series, neighbourhood, cycles),
        outputs_of(model, series, moved, cycles),
        strict=True,
    ):
        assert torch.isfinite(one).all()
        assert torch.equal(one, other)


def test_the_network_has_no_jump_where_the_neighbours_change():
    network = network_of(25, seed=3)
    model = model_of(network, trained=True)

    moves = []
    for steps in (201, 801):
        series, place, cycles = scene(network, longitudes=np.linspace(116.2, 116.35, steps))
        assert len({tuple(sorted(row)) for row in place.index.tolist()}) >= 4
        outputs = outputs_of(model, series, place, cycles)
        moves.append([float(output.diff(dim=0).abs().max()) for output in outputs])

    for coarse, fine in zip(*moves, strict=True):
        # A quarter of the step moves about a quarter as far, where a jump would stay as it is.
        assert fine < 0.5 * coarse


def test_every_learned_number_has_a_finite_gradient():
    network = network_of(7)
    model = model_of(network, trained=True, attributes=2).requires_grad_(True)
    series, neighbourhood, cycles = scene(network)
    contrast = np.random.default_rng(0).normal(size=(*neighbourhood.index.shape, 2))
    neighbourhood = replace(neighbourhood, contrast=double(contrast))

    mean, log_variance = outputs_of(model, series, neighbourhood, cycles)
    (mean.square().sum() + log_variance.sum()).backward()

    idle = []
    for name, parameter in model.named_parameters():
        if name.startswith("covariance."):  # fills gaps, and is fitted before
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not parameter.grad.any():
            idle.append(name)
    assert idle == []


def test_wider_margins_change_no_kriging():
    network = network_of(6)
    model = model_of(network)
    series, neighbourhood, _ = scene(network)
    wide = StationSeries(*(torch.cat([t[:, :2], t, t[:, :2]], 1) for t in series))
    wider = model_of(network, configuration=replace(SMALL, margin_steps=6))
    wider.load_state_dict(model.state_dict())
    for one, other in zip(
        kriging_of(model, series, neighbourhood),
        kriging_of(wider, wide, neighbourhood),
        strict=True,
    ):
        assert torch.equal(one, other)


# --- threads


def test_the_number_of_threads_comes_back_also_after_an_error():
    before = torch.get_num_threads()

    def fail():
        with single_thread():
            assert torch.get_num_threads() == 1
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert torch.get_num_threads() == before


def test_threads_side_by_side_leave_the_number_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    together = threading.Barrier(4)

    def work():
        with single_thread():
            together.wait()
            assert torch.get_num_threads() == 1

    try:
        for _ in range(3):
            with ThreadPoolExecutor(4) as pool:
                for done in [pool.submit(work) for _ in range(4)]:
                    done.result()
            with ThreadPoolExecutor(1) as pool:  # a thread that never was inside
                assert pool.submit(torch.get_num_threads).result() == 3
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_spread_grows_with_distance_and_with_disagreement():
    network = network_of(12)
    model = model_of(network)
    model.spread_law.copy_(torch.tensor([0.5, 0.1, 1.0]))
    series, neighbourhood, _ = scene(network)
    weights = model.weights(neighbourhood)

    _, spread = kriging_of(model, series, neighbourhood)
    further = weights._replace(variance=weights.variance * 2)
    _, far = kriging_of(model, series, neighbourhood, further)
    # Twice as far from their mean at every station and hour: four times the disagreement.
    apart = series._replace(value=2 * series.value)
    mean, wide = kriging_of(model, apart, neighbourhood)
    level = 0.1 * mean / 2

    assert (far > spread).all()
    grown = (wide - level - spread).detach()
    assert (grown >= -1e-5).all()
    assert float(grown.max()) == pytest.approx(0.5 * np.log(4), abs=0.02)


def test_covariates_reach_the_encoding_and_missing_ones_do_not():
    network = network_of(5)
    torch.manual_seed(0)
    model = NeuralKNN(SMALL, spacing_km=20.0, covariates=1).eval().requires_grad_(False)
    series, *_ = scene(network)
    shape = (*series.value.shape, 1)
    present, missing = torch.ones(shape), torch.zeros(shape)

    def encoded(values, known):
        return model.encode(series._replace(covariates=torch.cat([values, known], -1))).context

    assert not torch.equal(encoded(present, present), encoded(-present, present))
    assert not torch.equal(encoded(missing, present), encoded(missing, missing))


@pytest.mark.parametrize("targets", [1, 768, 769, 2000])
def test_decoding_part_by_part_is_decoding_at_once(targets):
    torch.manual_seed(1)
    model = NeuralKNN(SMALL, spacing_km=20.0).requires_grad_(False)
    model.leave.reset_parameters()  # zero otherwise: the untrained network is kriging
    features = torch.randn(model.decoder[0].in_features, targets, SMALL.core_steps)
    place = torch.randn(1, targets, 1).expand(1, targets, SMALL.core_steps)
    whole = [features[:-3], place, features[-2:]]
    torch.testing.assert_close(model._decoded_in_parts(whole), model._decoded(whole))
