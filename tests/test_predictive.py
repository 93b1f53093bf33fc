"""The predictive distribution: its definition, integrated and drawn."""

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from aqreanalysis.predictive import RootNormal, check_statistic

CASES = [(25.0, 10.0), (0.5, 3.0), (0.0, 2.0), (9.0, 20.0), (150.0, 1.0)]
NORMAL = math.inf
#: Degrees of freedom: of tails as heavy as measured, nearly none, and of a normal root.
FREEDOMS = [5.0, 30.0, NORMAL]


def known(estimate, error, freedom=NORMAL):
    """Return the distribution of a median and a standard error."""
    return RootNormal.from_median(np.array([estimate]), np.array([error]), freedom=freedom)


def drawn(rng, size, freedom):
    """Return draws of mean 0 and variance 1, of Student's t distribution by its definition."""
    normal = rng.standard_normal(size)
    if freedom == NORMAL:
        return normal
    return normal * np.sqrt((freedom - 2) / (rng.standard_normal((8, size)) ** 2).sum(0))


@pytest.mark.parametrize(("estimate", "error"), CASES)
def test_the_error_is_the_standard_deviation_of_the_squared_root(estimate, error):
    upper = known(estimate, error).quantile(0.8413447460685429)[0]  # one s above
    s = np.sqrt(upper) - np.sqrt(estimate)
    assert 4 * estimate * s**2 + 2 * s**4 == pytest.approx(error**2)


@pytest.mark.parametrize(("estimate", "error"), CASES)
@pytest.mark.parametrize("truth", [0.0, 5.0, 30.0, 400.0, -1.5])
@pytest.mark.parametrize("freedom", FREEDOMS)
def test_crps_is_the_integral_that_defines_it(estimate, error, truth, freedom):
    distribution = known(estimate, error, freedom)

    def squared(x):
        return (distribution.below(x)[0] - (x >= truth)) ** 2

    at = max(truth, 0.0)
    far = float(distribution.quantile(1 - 1e-12)[0]) + at
    steps = [float(distribution.quantile(p)[0]) for p in (0.1, 0.9, 0.999, 1 - 1e-6)]
    edges = sorted({0.0, at, estimate, *steps, far})
    pieces = [quad(squared, a, b, limit=200)[0] for a, b in pairwise(edges)]
    expected = sum(pieces) + max(-truth, 0.0)
    assert distribution.crps(truth)[0] == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_heavy_tails_are_those_of_students_t():
    rng = np.random.default_rng(4)
    draws = np.maximum(5.0 + drawn(rng, 400_000, 8.0), 0) ** 2
    heavy = RootNormal(np.array(5.0), np.array(1.0), freedom=8.0)
    assert draws.std() == pytest.approx(float(heavy.standard_error), rel=0.01)
    assert draws.mean() == pytest.approx(float(heavy.mean), rel=2e-3)
    for probability in (0.005, 0.05, 0.5, 0.9, 0.995):
        assert np.mean(draws < heavy.quantile(probability)) == pytest.approx(probability, abs=2e-3)
        assert heavy.below(heavy.quantile(probability)) == pytest.approx(probability)
    assert heavy.crps(draws).mean() < RootNormal(heavy.root, heavy.spread).crps(draws).mean()
    assert heavy[()].freedom == 8.0


def test_many_degrees_of_freedom_are_a_normal_root():
    nearly, normal = (known(9.0, 20.0, freedom) for freedom in (1e6, NORMAL))
    for of in (nearly, normal):
        assert of.quantile(0.99) == pytest.approx(normal.quantile(0.99), rel=1e-4)
        assert of.crps(30.0) == pytest.approx(normal.crps(30.0), rel=1e-4)


@pytest.mark.parametrize("freedom", [4.0, 0.0, -1.0, math.nan])
def test_degrees_of_freedom_without_a_standard_error_are_refused(freedom):
    with pytest.raises(ValueError, match="degrees of freedom are above 4; found"):
        RootNormal(np.ones(2), np.ones(2), freedom=freedom)


def test_draws_fall_into_quantiles_and_intervals_as_often_as_said():
    rng = np.random.default_rng(0)
    draws = np.maximum(4.0 + 1.5 * rng.standard_normal(200_000), 0) ** 2
    error = np.sqrt(4 * 16 * 1.5**2 + 2 * 1.5**4)
    for probability in (0.01, 0.25, 0.5, 0.9):
        at = known(16.0, error).quantile(probability)[0]
        assert (draws < at).mean() == pytest.approx(probability, abs=0.004)
        assert known(16.0, error).below(at)[0] == pytest.approx(probability)
    low, high = known(16.0, error).interval_90()
    assert ((draws >= low) & (draws <= high)).mean() == pytest.approx(0.9, abs=0.004)


def test_a_score_is_least_on_average_for_the_distribution_that_is_true():
    rng = np.random.default_rng(1)
    draws = (5.0 + rng.standard_normal(50_000)) ** 2
    right = np.sqrt(4 * 25 + 2)
    score = {
        (estimate, error): known(estimate, error).crps(draws).mean()
        for estimate in (20.0, 25.0, 30.0)
        for error in (0.5 * right, right, 2 * right)
    }  # fmt: skip
    assert min(score, key=score.get) == (25.0, right)


def test_without_an_error_there_is_one_value():
    certain = known(3.0, 0.0)
    assert certain.crps(4.5)[0] == pytest.approx(1.5)
    assert certain.below(3.0)[0] == 0.5
    assert certain.below(2.9)[0] == 0
    assert certain.interval_90() == pytest.approx((3.0, 3.0))


def test_what_is_missing_stays_missing_and_an_estimate_below_zero_counts_as_zero():
    for value in (known(np.nan, np.nan).crps(1.0), known(1.0, np.nan).quantile(0.3)):
        assert np.isnan(value).all()
    assert known(-3.0, 2.0).quantile(0.9) == known(0.0, 2.0).quantile(0.9)


@pytest.mark.parametrize("probability", [0, 1, -0.1, np.nan])
def test_a_probability_that_is_none_is_refused(probability):
    with pytest.raises(ValueError, match="between 0 and 1, both excluded"):
        known(1.0, 1.0).quantile(probability)


def test_draws_have_the_mean_and_the_median_that_are_said():
    rng = np.random.default_rng(2)
    draws = (6.0 + 1.5 * rng.standard_normal(400_000)) ** 2
    drawn = RootNormal(np.array(6.0), np.array(1.5))
    assert draws.mean() == pytest.approx(float(drawn.mean), rel=4e-3)
    assert np.median(draws) == pytest.approx(float(drawn.median), rel=4e-3)
    assert draws.std() == pytest.approx(float(drawn.standard_error), rel=5e-3)
    assert (draws > 50).mean() == pytest.approx(float(drawn.above(50.0)), abs=2e-3)


def test_the_mean_of_the_air_leaves_a_monitors_noise_out():
    # 0.9 of the variance of the root is the monitor's own.
    rng = np.random.default_rng(3)
    air = 6.0 + np.sqrt(0.1) * rng.standard_normal(400_000)
    measured = RootNormal(np.array(6.0), np.array(1.0), noise=np.sqrt(0.9))
    assert (air**2).mean() == pytest.approx(float(measured.mean), rel=1e-3)


@pytest.mark.parametrize("statistic", ["median", "mean"])
def test_an_estimate_and_its_error_bring_the_distribution_back(statistic):
    once = RootNormal(np.array([0.5, 3.0, 9.0]), np.array([0.2, 1.0, 0.0]))
    bring_back = {"median": RootNormal.from_median, "mean": RootNormal.from_mean}[statistic]
    if statistic == "median":
        once = replace(once, freedom=5.0)
        bring_back = partial(bring_back, freedom=5.0)
    again = bring_back(once.estimate(statistic), once.standard_error)
    np.testing.assert_allclose(again.root, once.root, rtol=1e-9)
    np.testing.assert_allclose(again.spread, once.spread, rtol=1e-9, atol=1e-9)


def test_an_unknown_statistic_is_refused():
    with pytest.raises(ValueError, match="'median' or 'mean'; found 'mode'"):
        check_statistic("mode")


def test_single_precision_stays_single():
    fields = RootNormal(np.ones(2, np.float32), np.ones(2, np.float32))
    for layer in (fields.median, fields.mean, fields.standard_error, fields.quantile(0.9)):
        assert layer.dtype == np.float32


def test_a_variable_that_may_be_negative_has_its_own_probabilities():
    cold = RootNormal.from_median(np.array([-4.0]), np.array([1.0]), signed=True)
    assert cold.median == pytest.approx(-4.0)
    assert cold.below(-4.0) == pytest.approx(0.5)
    assert cold.below(0.0) > 0.99
    with pytest.raises(ValueError, match="the CRPS is that of concentrations"):
        cold.crps(-4.0)
