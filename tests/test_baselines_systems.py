"""Small kriging systems, nearest reporting stations, and grouping, against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.methods.kriging import systems
from aqreanalysis.methods.kriging.reporting import members, nearest_reporting
from aqreanalysis.methods.kriging.systems import Systems, label_rows, solve_cases, tiles
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
    found = Systems.of(covariance[None], present)
    weights, reduction = found.weights(np.zeros(1, int), cross[None] * present)
    assert weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert (weights[~present] == 0).all()

    # The textbook system of the present ones, bordered by the condition on the sum.
    keep = np.flatnonzero(present[0])
    bordered = np.ones((keep.size + 1, keep.size + 1))
    bordered[:-1, :-1] = covariance[np.ix_(keep, keep)]
    bordered[-1, -1] = 0
    right = np.append(cross[keep], 1.0)
    solution = np.linalg.solve(bordered, right)
    np.testing.assert_allclose(weights[0, keep], solution[:-1], atol=1e-7)
    assert reduction[0] == pytest.approx(solution @ right, abs=1e-6)


def test_a_set_without_any_measurement_has_no_weights():
    found = Systems.of(np.eye(3)[None], np.zeros((1, 3), bool))
    weights, reduction = found.weights(np.zeros(2, int), np.zeros((2, 3)))
    np.testing.assert_array_equal(weights, 0)
    np.testing.assert_array_equal(reduction, 0)


def test_many_cases_are_solved_as_each_alone(monkeypatch):
    rng = np.random.default_rng(3)
    covariance, _ = covariance_of_places(rng, 30, 1.0)
    station = rng.integers(0, 9, (200, 1)) * 3 + np.arange(4)  # nine sets
    station %= 30
    cross = rng.uniform(0, 9, (200, 4))
    present = np.ones(station.shape, bool)

    def among(sets):
        return covariance[sets[:, :, None], sets[:, None, :]]

    def solved():
        return solve_cases(station, present, cross, among)

    whole = solved()
    monkeypatch.setattr(systems, "BATCH_NUMBERS", 48)  # three sets at a time
    monkeypatch.setattr(systems, "CACHED_TARGETS", 5)
    for first, second in zip(whole, solved(), strict=True):
        np.testing.assert_array_equal(first, second)
    for row in (0, 57, 199):
        alone = solve_cases(station[[row]], present[[row]], cross[[row]], among)
        np.testing.assert_array_equal(alone[0][0], whole[0][row])
        assert alone[1][0] == whole[1][row]


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
@given(seeds, st.integers(1, 9), st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.booleans())
def test_nearest_reporting_stations_are_those_of_a_plain_search(seed, k, silent, excluding):
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(-180, 180, 20), rng.uniform(-85, 85, 20)
    reports = rng.random((20, 6)) >= silent
    exclude = np.array([3, 0]) if excluding else None
    found = nearest_reporting(
        StationNetwork(longitude, latitude),
        reports,
        longitude[[3, 9]],
        latitude[[3, 9]],
        k=k,
        exclude=exclude,
    )
    used = np.broadcast_to(found.used, (*found.used.shape[:2], 6))
    for target, place in enumerate((3, 9)):
        distance = great_circle_km(longitude, latitude, longitude[place], latitude[place])
        for hour in range(6):
            there = np.flatnonzero(reports[:, hour])
            if excluding:
                there = there[there != exclude[target]]
            expected = there[np.argsort(distance[there])][:k]
            candidates = np.flatnonzero(used[:, target, hour])
            np.testing.assert_array_equal(found.index[target, candidates], expected)


def test_members_come_in_one_order_for_all_targets():
    network = StationNetwork([0.0, 1.0, 2.0, 3.0], np.zeros(4))
    reports = np.array([[True], [False], [True], [True]])
    near = nearest_reporting(network, reports, np.array([-1.0, 4.0]), np.zeros(2), k=2)
    target, hour = np.array([0, 1]), np.zeros(2, int)
    station, slot = members(near, target, hour, 2, network.size)
    assert station.tolist() == [[0, 2], [2, 3]]
    np.testing.assert_array_equal(near.index[target[:, None], slot], station)
    # Three report; the fourth slot is absent, at the end.
    near = nearest_reporting(network, reports, np.array([-1.0, 4.0]), np.zeros(2), k=4)
    station, slot = members(near, target, hour, 4, network.size)
    assert station.tolist() == [[0, 2, 3, 4], [0, 2, 3, 4]]
    assert slot[:, 3].tolist() == [4, 4]  # no number of a candidate


def test_tiles_cover_every_target_once():
    parts = list(tiles(10, 3, values=12))
    assert [(part.start, part.stop) for part in parts] == [(0, 4), (4, 8), (8, 10)]
    assert [(part.start, part.stop) for part in tiles(2, 10**9)] == [(0, 1), (1, 2)]
