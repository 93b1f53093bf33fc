"""The kriging solver, nearest reporting stations, and labels of rows, against plain loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.methods.kriging import solver
from aqreanalysis.methods.kriging.neighbours import first_columns, label_rows, nearest_reporting
from aqreanalysis.methods.kriging.solver import (
    LeavingOut,
    leave_one_out,
    ordinary_weights,
    solved_sets,
    weights_of_sets,
)
from aqreanalysis.methods.series import tiles
from aqreanalysis.network import StationNetwork, great_circle_km

seeds = st.integers(0, 2**32 - 1)


def covariance_of_places(rng, count, noise):
    """Return the covariance among random places, with noise, and with one more place."""
    places = rng.uniform(0, 100, (count + 1, 2))
    distance = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    covariance = 10 * np.exp(-distance / 40)
    return covariance[:-1, :-1] + noise * np.eye(count), covariance[:-1, -1]


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(1, 12), st.floats(0.001, 10))
def test_weights_sum_to_one_and_leave_out_what_is_absent(seed, count, noise):
    rng = np.random.default_rng(seed)
    covariance, cross = covariance_of_places(rng, count, noise)
    present = rng.random((1, count)) < 0.7
    present[0, rng.integers(count)] = True
    cross, sill = cross * present[0], 10 + noise
    weights, variance = ordinary_weights(covariance[None], cross[None], present, sill)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert (weights[~present] == 0).all()
    tensors = (torch.from_numpy(array) for array in (covariance[None], cross[None], present))
    for ours, theirs in zip((weights, variance), ordinary_weights(*tensors, sill), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)

    # The textbook system of the present ones, bordered by the condition on the sum.
    keep = np.flatnonzero(present[0])
    bordered = np.ones((keep.size + 1, keep.size + 1))
    bordered[:-1, :-1] = covariance[np.ix_(keep, keep)]
    bordered[-1, -1] = 0
    right = np.append(cross[keep], 1.0)
    solution = np.linalg.solve(bordered, right)
    np.testing.assert_allclose(weights[0, keep], solution[:-1], atol=1e-7)
    assert variance[0] == pytest.approx(max(sill - solution @ right, 0.0), abs=1e-6)


def test_without_any_measurement_there_are_no_weights():
    nothing = np.zeros((2, 3), bool)
    for weights, variance in (
        ordinary_weights(np.ones((2, 3, 3)), np.ones((2, 3)), nothing, 4.0),
        weights_of_sets(
            np.zeros((2, 3), int), nothing, np.ones((2, 3)), 4.0, lambda sets: np.ones((1, 3, 3))
        ),
    ):
        np.testing.assert_array_equal(weights, 0)
        np.testing.assert_array_equal(variance, 4.0)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 8))
def test_gradients_are_those_of_finite_differences(seed, count):
    covariance, cross = covariance_of_places(np.random.default_rng(seed), count, 1.0)
    valid = torch.arange(count) != 1

    def solved(matrix, vector):
        return ordinary_weights((matrix + matrix.mT) / 2, vector, valid, 11.0)

    arguments = (torch.from_numpy(array).requires_grad_() for array in (covariance, cross))
    assert torch.autograd.gradcheck(solved, tuple(arguments))


@pytest.mark.parametrize("few", [2, 1000])  # an inverse of each set, or each target by itself
def test_many_targets_are_solved_as_each_by_itself(few, monkeypatch):
    monkeypatch.setattr(solver, "FEW_OF_SET", few)
    rng = np.random.default_rng(3)
    covariance, _ = covariance_of_places(rng, 30, 1.0)
    station = rng.integers(0, 9, (200, 1)) * 3 + np.arange(4)  # nine sets
    valid = station % 5 > 0
    station %= 30
    cross = rng.uniform(0, 9, (200, 4))

    def among(sets):
        return covariance[sets[:, :, None], sets[:, None, :]]

    def solved():
        return weights_of_sets(station, valid, cross, 11.0, among)

    whole = solved()
    monkeypatch.setattr(solver, "BATCH_NUMBERS", 48)  # three sets at a time
    monkeypatch.setattr(solver, "GROUPS_AT_ONCE", 5)
    for first, second in zip(whole, solved(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-12)
    each = ordinary_weights(among(station), cross, valid, 11.0)
    for first, second in zip(whole, each, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 12), st.sampled_from([0.01, 1.0]), st.data())
def test_leaving_data_out_of_a_solved_system_is_solving_without_them(seed, count, noise, data):
    rng = np.random.default_rng(seed)
    covariance, _ = covariance_of_places(rng, 2 * count, noise)
    station = np.array([range(count), range(count, 2 * count)])[[0, 1, 1, 0, 1]]  # two sets
    cross, every = rng.uniform(0, 9, station.shape), np.ones(station.shape, bool)

    def among(sets):
        return covariance[sets[:, :, None], sets[:, None, :]]

    (solved,) = solved_sets(station, every, cross, 1e3, among)
    missing = data.draw(st.integers(0, count - 1))
    number = np.array([0, 1, 1])  # two cases of the second set
    place = np.array([rng.permutation(count)[:missing] for _ in number])
    values = rng.uniform(0, 9, (3, count))
    np.put_along_axis(values, place, 0.0, axis=1)
    leaving = LeavingOut.of(solved.bordered(), number, place.T)
    row, case, product = solved.products(number, leaving.factors(values))
    target = solved.target[row]
    assert list(zip(target, case, strict=True)) == [
        *((0, 0), (3, 0), (1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2))
    ]
    valid = every[target]
    np.put_along_axis(valid, place[case], False, axis=1)
    expected = ordinary_weights(among(station[target]), cross[target], valid, 1e3)
    lost = product[:, 1:]
    weight = leaving.weights(solved.weights.weight[row], lost, case)
    variance = solved.weights.variance[row] + (lost**2).sum(axis=1)
    np.testing.assert_allclose(weight, expected.weight, atol=1e-8)
    np.testing.assert_allclose(variance, expected.variance, atol=1e-7)
    np.testing.assert_allclose(product[:, 0], (weight * values[case]).sum(axis=1), atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 9))
def test_leaving_one_out_is_solving_without_it(seed, count):
    covariance, _ = covariance_of_places(np.random.default_rng(seed), count, 1.0)
    weights, variances = (each.numpy() for each in leave_one_out(torch.from_numpy(covariance)))
    for row in range(count):
        others = np.arange(count) != row
        alone, variance = ordinary_weights(
            covariance[np.ix_(others, others)],
            covariance[row, others],
            others[others],
            covariance[row, row],
        )
        np.testing.assert_allclose(weights[row, others], alone, atol=1e-9)
        np.testing.assert_allclose(variances[row], variance, rtol=1e-9)
        assert weights[row, row] == 0


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(1, 5))
def test_rows_are_equal_where_their_labels_are(seed, count, width):
    rows = np.random.default_rng(seed).integers(0, 3, (count, width)) * (2**32 - 1) // 2
    label, first = label_rows(rows.T)
    same = (rows[:, None] == rows).all(axis=2)
    np.testing.assert_array_equal(label[:, None] == label, same)
    np.testing.assert_array_equal(rows[first[label]], rows)
    np.testing.assert_array_equal(first, [same[row].argmax() for row in first])


def test_labels_need_a_column():
    with pytest.raises(ValueError, match="at least one column"):
        label_rows([])


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 9), st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_nearest_reporting_stations_are_those_of_a_plain_search(seed, k, silent):
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(-180, 180, 20), rng.uniform(-85, 85, 20)
    reported = rng.random((20, 6)) >= silent
    network = StationNetwork(longitude, latitude)
    near = nearest_reporting(network, reported, longitude[[3, 9]], latitude[[3, 9]], k=k)
    assert near.complete == bool(reported.all())
    near = near.at_each(6)
    for target, place in enumerate((3, 9)):
        distance = great_circle_km(longitude, latitude, longitude[place], latitude[place])
        np.testing.assert_allclose(
            near.distance_km[target], distance[near.index[target]], atol=0.01
        )
        for hour in range(6):
            reporting = np.flatnonzero(reported[:, hour])
            expected = reporting[np.argsort(distance[reporting])][:k]
            nearest = near.index[target, : near.reach[target, hour]]
            np.testing.assert_array_equal(nearest[reported[nearest, hour]], expected)
            assert near.missing[target, hour] == nearest.size - expected.size


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 5))
def test_first_columns_are_those_of_a_plain_search(seed, count):
    mask = np.random.default_rng(seed).random((9, 7)) < 0.4
    column, valid = first_columns(mask, count)
    for row in range(9):
        np.testing.assert_array_equal(column[row, valid[row]], np.flatnonzero(mask[row])[:count])
        assert valid[row].sum() == min(mask[row].sum(), count)
        assert (column[row, ~valid[row]] == 0).all()


def test_tiles_cover_every_target_once():
    parts = list(tiles(10, 3, values=12))
    assert [(part.start, part.stop) for part in parts] == [(0, 4), (4, 8), (8, 10)]
    assert [(part.start, part.stop) for part in tiles(2, 10**9, values=1)] == [(0, 1), (1, 2)]
