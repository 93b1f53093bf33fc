"""Bands of the series, and the kriging weights of each, against systems solved by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

import aqreanalysis as aqr
from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.amortised import Pretrained
from aqreanalysis.methods.kriging.bands import SMOOTHING_KM2, BandCovariance, reach_of, split_bands
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.fitting import (
    BandSeries,
    crps,
    fit_bands,
    fit_filling,
    prior_weight,
)
from aqreanalysis.methods.kriging.solver import JITTER
from aqreanalysis.methods.neural.batches import (
    Samples,
    neighbourhood_of,
)
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of

universal = settings(deadline=None, max_examples=30)


def double(values):
    """Return a float64 tensor."""
    return torch.as_tensor(values, dtype=torch.float64)


def random_bands(seed, *, bands=3, spacing_km=20.0, stretch=0.3):
    """Return a covariance whose every parameter is off its start, as after training."""
    generator = torch.Generator().manual_seed(seed)
    covariance = BandCovariance(bands, spacing_km)
    for name, parameter in covariance.named_parameters():
        size = stretch if name == "stretch" else 0.5
        parameter.data += size * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
    return covariance.requires_grad_(False)


def by_hand(covariance, apart, band):
    """Return the documented sum at distances that are already stretched, without noise."""
    amplitude = covariance.log_amplitude[band].exp().numpy()
    reach = covariance.log_range[band].exp().numpy()
    return sum(a * np.exp(-np.asarray(apart) / r) for a, r in zip(amplitude, reach, strict=True))


def stretched(covariance, east, north):
    """Return places in the stretched plane, (n, 2)."""
    along, across = covariance.stretch.numpy()
    values, vectors = np.linalg.eigh([[along, across], [across, -along]])
    return np.stack([east, north], -1) @ (vectors * np.exp(values)) @ vectors.T


def kriged_by_hand(covariance, place, band):
    """Return weights and variance of the plane's origin from the bordered system."""
    noise = float(covariance.log_noise[band].exp())
    away = lambda d: np.sqrt((d**2).sum(-1) + SMOOTHING_KM2)  # noqa: E731
    size = len(place)
    sill = by_hand(covariance, 0.0, band) + noise
    matrix = by_hand(covariance, away(place[:, None] - place), band) + noise * np.eye(size)
    matrix += JITTER * sill * np.eye(size)
    vector = by_hand(covariance, away(place), band)
    bordered = np.block([[matrix, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
    solved = np.linalg.solve(bordered, np.append(vector, 1.0))
    return solved[:size], sill - solved @ np.append(vector, 1.0)


def polar(east, north):
    """Return distance and bearing from the origin, (1, n) each."""
    return double(np.hypot(east, north))[None], double(np.arctan2(east, north))[None]


@universal
@given(k=st.integers(1, 7), seed=st.integers(0, 200))
def test_weights_agree_with_bordered_systems_solved_by_hand(k, seed):
    rng = np.random.default_rng(seed)
    east, north = rng.uniform(-60, 60, (2, k))
    covariance = random_bands(seed)
    weights = covariance.weights(*polar(east, north), *torch.zeros(2, 1, k).double())
    place = stretched(covariance, east, north)
    total = 0.0
    for band in range(3):
        weight, variance = kriged_by_hand(covariance, place, band)
        np.testing.assert_allclose(weights.weight[0, :, band], weight, atol=1e-8)
        total += variance
    assert float(weights.variance[0]) == pytest.approx(total, rel=1e-5)
    np.testing.assert_allclose(weights.weight.sum(1), 1, atol=1e-9)


def test_without_a_stretch_directions_do_not_matter():
    covariance = random_bands(3, stretch=0.0)
    rng = np.random.default_rng(0)
    east, north = rng.uniform(-60, 60, (2, 6))
    distance, bearing = polar(east, north)
    none = torch.zeros(2, 1, 6).double()
    weights, turned = (covariance.weights(distance, bearing + t, *none) for t in (0.0, 1.0))
    np.testing.assert_allclose(weights.weight, turned.weight, atol=1e-9)
    stretched = random_bands(3).weights(distance, bearing + 1.0, *none)
    assert not np.allclose(
        random_bands(3).weights(distance, bearing, *none).weight, stretched.weight
    )


def test_a_stretch_along_an_axis_makes_it_count_as_longer():
    covariance = BandCovariance(1, 10.0).requires_grad_(False)
    covariance.stretch[:] = double([0.5, 0.0])  # east is stretched, north is shrunk
    weights = covariance.weights(*polar(np.array([10.0, 0.0]), np.array([0.0, 10.0])),
                               *torch.zeros(2, 1, 2).double())  # fmt: skip
    assert float(weights.weight[0, 1, 0]) > 1.2 * float(weights.weight[0, 0, 0])


def test_missing_neighbours_get_no_weight_and_change_nothing():
    covariance = random_bands(0)
    east, north = np.random.default_rng(0).uniform(-60, 60, (2, 3))
    distance, bearing = polar(east, north)
    few = covariance.weights(distance, bearing, *torch.zeros(2, 1, 3).double())
    distance = torch.cat([distance, torch.full((1, 2), torch.inf)], 1).double()
    bearing = torch.cat([bearing, torch.zeros(1, 2)], 1).double()
    many = covariance.weights(distance, bearing, *torch.zeros(2, 1, 5).double())
    np.testing.assert_allclose(many.weight[:, :3], few.weight, atol=1e-12)
    assert (many.weight[:, 3:] == 0).all()
    assert float(many.variance) == pytest.approx(float(few.variance))


def test_a_cluster_does_not_count_as_many():
    covariance = BandCovariance(1, 10.0).requires_grad_(False)
    covariance.log_noise[:] = -20.0  # no noise: but for jitter the system is singular
    weights = covariance.weights(
        *polar(np.array([10.0, 10.0, 10.0, -10.0]), np.zeros(4)), *torch.zeros(2, 1, 4).double()
    )
    assert torch.isfinite(weights.variance).all()
    weight = weights.weight[0, :, 0]
    np.testing.assert_allclose(weight, [1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=1e-3)


def krige_along(covariance, network, values, longitudes):
    """Return kriged values and variances along a parallel, from the four nearest stations."""
    lon = np.asarray(longitudes)
    even = torch.zeros(network.size).double()
    near = neighbourhood_of(network, lon, np.full(lon.size, 40.0), even, neighbours=4)
    weight, variance = covariance.weights(
        near.distance_km, near.bearing, near.fading, near.log_noise
    )
    return (weight.mean(-1) * values[near.index]).sum(1).numpy(), variance.numpy()


def test_the_field_has_no_jump_where_the_neighbours_change():
    rng = np.random.default_rng(3)
    network = StationNetwork(116 + rng.uniform(-1, 1, 25), 40 + rng.uniform(-1, 1, 25))
    covariance = random_bands(2)
    values = double(np.random.default_rng(1).standard_normal(25))
    steps = np.linspace(115.2, 116.8, 2001)
    fine = krige_along(covariance, network, values, steps)
    coarse = krige_along(covariance, network, values, steps[::2])
    # Between two steps a smooth field moves by its slope times the step; a jump would stay.
    for one, other in zip(fine, coarse, strict=True):
        assert np.abs(np.diff(one)).max() < 0.75 * np.abs(np.diff(other)).max()


def test_fading_changes_the_weights_and_is_no_error_of_the_stations():
    covariance = random_bands(4)
    distance, bearing = polar(*np.random.default_rng(2).uniform(-60, 60, (2, 4)))
    even = torch.zeros(1, 4).double()
    plain = covariance.weights(distance, bearing, even, even)
    faded = covariance.weights(distance, bearing, double([[0.0, 0.0, 0.0, 1e9]]), even)
    assert faded.weight[0, 3].abs().max() < 1e-6
    few = covariance.weights(distance[:, :3], bearing[:, :3], even[:, :3], even[:, :3])
    assert float(faded.variance) == pytest.approx(float(few.variance), rel=1e-4)
    assert float(faded.variance) >= float(plain.variance)


def test_a_noisier_station_counts_for_less_and_makes_less_certain():
    covariance = random_bands(4)
    distance, bearing = polar(*np.random.default_rng(2).uniform(-60, 60, (2, 4)))
    even = torch.zeros(1, 4).double()
    plain = covariance.weights(distance, bearing, even, even)
    noisy = covariance.weights(distance, bearing, even, double([[0.0, 3.0, 0.0, 0.0]]))
    assert (noisy.weight[0, 1] < plain.weight[0, 1]).all()
    np.testing.assert_allclose(noisy.weight[0].sum(0), 1.0, atol=1e-9)
    assert float(noisy.variance) > float(plain.variance)


@universal
@given(n=st.integers(2, 7), seed=st.integers(0, 100))
def test_leaving_one_out_is_solving_each_system_without_the_station(n, seed):
    rng = np.random.default_rng(seed)
    place = rng.uniform(-60, 60, (n, 2))
    covariance = random_bands(seed, stretch=0.2)
    east, north = (place[None] - place[:, None]).transpose(2, 0, 1)
    distance, bearing = double(np.hypot(east, north)), double(np.arctan2(east, north))
    log_noise = double(rng.uniform(-1, 1, n))
    result, _ = covariance.leave_one_out(distance, bearing, log_noise)
    for left_out in range(n):
        others = np.delete(np.arange(n), left_out)
        weights = covariance.weights(
            distance[left_out, others][None],
            bearing[left_out, others][None],
            torch.zeros(1, n - 1).double(),
            log_noise[others][None],
        )
        np.testing.assert_allclose(result[left_out, others], weights.weight[0], atol=1e-4)
    assert (result[np.arange(n), np.arange(n)] == 0).all()


# --- bands of series


def test_bands_add_up_and_agree_with_gaussian_smoothing():
    widths = (1.5, 6.0)
    reach = reach_of(widths)
    value = np.random.default_rng(0).standard_normal((2, 100)).cumsum(1)
    bands = split_bands(double(value), torch.ones(2, 100).double(), widths)
    inner = slice(reach, 100 - reach)
    np.testing.assert_allclose(bands.sum(-1), value[:, inner], atol=1e-12)
    smooth = [gaussian_filter1d(value, width, axis=1, truncate=3.01) for width in widths]
    np.testing.assert_allclose(bands[..., 0], (value - smooth[0])[:, inner], atol=1e-9)
    np.testing.assert_allclose(bands[..., 2], smooth[1][:, inner], atol=1e-9)


def test_what_is_not_known_is_in_no_smoothing():
    known = torch.ones(1, 60).double()
    known[0, 28:30] = 0
    value = torch.full((1, 60), 2.0).double()
    wrong = torch.where(known > 0, value, 99.0)
    bands = split_bands(wrong, known, (1.0, 4.0))
    present = known[0, 12:48] > 0
    np.testing.assert_allclose(
        bands[0, present], [[0.0, 0.0, 2.0]] * int(present.sum()), atol=1e-12
    )


# --- fitting


WIDTHS = Configuration().bands


@pytest.fixture(scope="module")
def samples():
    """A synthetic network's series as tensors."""
    obs = aqr.synthetic_network(hours=240, seed=5).observations
    scale = Standardisation.of(values_of(obs, "pm25"))
    return Samples.of(
        obs, "pm25", standardisation=scale, configuration=Configuration(), seasons=False
    )


def fitted(samples, *, updates, seed=0, prior=0.0, amortised=None):
    """Return both covariances, fitted."""
    spacing = samples.network.spacing_km
    covariance, bands = SpaceTimeCovariance(spacing), BandCovariance(3, spacing)
    rng = np.random.default_rng(seed)
    everyone = np.arange(samples.network.size)
    for _ in fit_filling(
        covariance,
        samples.value,
        samples.network,
        updates=updates,
        rate=0.05,
        rng=rng,
        crop=lambda: everyone,
    ):
        pass
    log_noise = torch.zeros_like(samples.log_noise, requires_grad=True)
    for _ in fit_bands(
        bands,
        BandSeries.of(samples.value, samples.network, covariance, WIDTHS),
        log_noise=log_noise,
        updates=updates,
        rate=0.05,
        rng=rng,
        prior=prior,
        amortised=amortised,
    ):
        pass
    return covariance, bands, log_noise.detach()


def left_out_error(samples, covariance, bands, log_noise):
    """Return the mean squared error of each station found from the others."""
    value = torch.nan_to_num(samples.value)
    padded = torch.nn.functional.pad(value, (reach_of(WIDTHS),) * 2)
    split = split_bands(padded, torch.ones_like(padded), WIDTHS)
    everyone = np.arange(samples.network.size)
    apart = samples.distance_km(everyone, everyone)
    weight, _ = bands.leave_one_out(apart, samples.bearing(everyone, everyone), log_noise)
    error = torch.einsum("ijb,jtb->it", weight, split) - samples.value
    return float(error[torch.isfinite(error)].square().mean())


def test_fitted_bands_find_left_out_stations_better(samples):
    before = left_out_error(samples, *fitted(samples, updates=0))
    assert left_out_error(samples, *fitted(samples, updates=60)) < 0.97 * before


@pytest.mark.parametrize("amortised", [None, Pretrained.of("all").bands])
def test_few_values_leave_a_covariance_near_the_one_at_which_it_begins(samples, amortised):
    def departure(prior):
        _, bands, _ = fitted(samples, updates=20, prior=prior, amortised=amortised)
        return float((bands.log_range - bands.usual[:, 2:4]).square().sum())

    none, some, much = (departure(prior) for prior in (0.0, 0.1, 1.0))
    assert none > 1.2 * some > 1.2 * much > 0


def test_few_days_or_stations_give_weight_to_what_other_networks_teach():
    values = torch.ones(20, 400)
    sizes = (20, 15), (20, 3), (8, 400), (4, 400)
    enough, short, small, smaller = (prior_weight(values[:n, :t], 24.0) for n, t in sizes)
    assert enough == 0 < short
    assert 0 < small < smaller
    assert prior_weight(values[:, :72], 1.0) == prior_weight(values[:, :3], 24.0)


def test_fitting_is_the_same_for_the_same_seed(samples):
    one, other = (fitted(samples, updates=3)[1].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    different = fitted(samples, updates=3, seed=1)[1].state_dict()
    assert not torch.equal(one["log_range"], different["log_range"])


def test_a_station_that_reports_noise_is_learned_as_noisy(samples):
    noisy = samples.value.clone()
    noisy[7] += 2 * torch.from_numpy(np.random.default_rng(0).standard_normal(noisy.shape[1]))
    *_, log_noise = fitted(replace(samples, value=noisy), updates=60)
    assert log_noise.argmax() == 7
    assert log_noise[7] > 1


def test_what_is_fitted_fills_gaps_with_a_spread_that_fits(samples):
    from aqreanalysis.methods.kriging.gaps import NearbyStations, estimate_gaps

    rng = np.random.default_rng(9)
    measured = torch.isfinite(samples.value).nonzero()
    gaps = measured[rng.choice(len(measured), 300, replace=False)]
    value = samples.value.clone()
    truth = value[tuple(gaps.T)]
    value[tuple(gaps.T)] = torch.nan
    scores = []
    around = NearbyStations.of(samples.network)
    for updates in (0, 40):
        covariance, *_ = fitted(samples, updates=updates)
        mean, variance = estimate_gaps(covariance, value, around, gaps)
        scores.append(float(crps(mean, variance.log(), truth).mean()))
    assert scores[1] < scores[0]
