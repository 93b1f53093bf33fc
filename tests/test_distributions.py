"""The distribution of an estimate and an error: its definition, integrated and drawn."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from aqreanalysis.predictive import below, crps, interval_90, quantile

CASES = [(25.0, 10.0), (0.5, 3.0), (0.0, 2.0), (9.0, 20.0), (150.0, 1.0)]


def array(*values):
    return np.array(values)


@pytest.mark.parametrize(("estimate", "error"), CASES)
def test_the_error_is_the_standard_deviation_of_the_squared_root(estimate, error):
    upper = quantile(0.8413447460685429, array(estimate), array(error))[0]  # one s above
    s = np.sqrt(upper) - np.sqrt(estimate)
    assert 4 * estimate * s**2 + 2 * s**4 == pytest.approx(error**2)


@pytest.mark.parametrize(("estimate", "error"), CASES)
@pytest.mark.parametrize("truth", [0.0, 5.0, 30.0, 400.0, -1.5])
def test_crps_is_the_integral_that_defines_it(estimate, error, truth):
    def squared(x):
        return (below(x, array(estimate), array(error))[0] - (x >= truth)) ** 2

    at = max(truth, 0.0)
    far = float(quantile(1 - 1e-12, array(estimate), array(error))[0]) + at
    edges = sorted({0.0, at, estimate, estimate + error, far})
    pieces = [quad(squared, a, b, limit=200)[0] for a, b in pairwise(edges)]
    expected = sum(pieces) + max(-truth, 0.0)
    found = crps(array(truth), array(estimate), array(error))[0]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_draws_fall_into_quantiles_and_intervals_as_often_as_said():
    rng = np.random.default_rng(0)
    draws = np.maximum(4.0 + 1.5 * rng.standard_normal(200_000), 0) ** 2
    error = np.sqrt(4 * 16 * 1.5**2 + 2 * 1.5**4)
    for probability in (0.01, 0.25, 0.5, 0.9):
        at = quantile(probability, array(16.0), array(error))[0]
        assert (draws < at).mean() == pytest.approx(probability, abs=0.004)
        assert below(at, array(16.0), array(error))[0] == pytest.approx(probability)
    low, high = interval_90(array(16.0), array(error))
    assert ((draws >= low) & (draws <= high)).mean() == pytest.approx(0.9, abs=0.004)


def test_a_score_is_least_on_average_for_the_distribution_that_is_true():
    rng = np.random.default_rng(1)
    draws = (5.0 + rng.standard_normal(50_000)) ** 2
    right = np.sqrt(4 * 25 + 2)
    score = {
        (estimate, error): crps(draws, array(estimate), array(error)).mean()
        for estimate in (20.0, 25.0, 30.0)
        for error in (0.5 * right, right, 2 * right)
    }  # fmt: skip
    assert min(score, key=score.get) == (25.0, right)


def test_without_an_error_there_is_one_value():
    none = array(0.0)
    assert crps(array(4.5), array(3.0), none) == 1.5
    assert below(3.0, array(3.0), none) == 0.5
    assert below(2.9, array(3.0), none) == 0
    assert interval_90(array(3.0), none) == pytest.approx((3.0, 3.0))


def test_what_is_missing_stays_missing_and_an_estimate_below_zero_counts_as_zero():
    gap = array(np.nan)
    for found in (crps(array(1.0), gap, gap), quantile(0.3, gap, gap)):
        assert np.isnan(found).all()
    assert np.isnan(quantile(0.3, array(1.0), gap)).all()
    np.testing.assert_array_equal(
        quantile(0.9, array(-3.0), array(2.0)), quantile(0.9, array(0.0), array(2.0))
    )


@pytest.mark.parametrize("probability", [0, 1, -0.1, np.nan])
def test_a_probability_that_is_none_is_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1, both excluded"):
        quantile(probability, array(1.0), array(1.0))
