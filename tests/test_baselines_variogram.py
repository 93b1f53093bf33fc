"""Variograms: formulas, what a fit finds in simulated fields, and that systems stay solvable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqreanalysis.methods.kriging.space_time_variogram import (
    SpaceTimeVariogram,
    fit_space_time_variogram,
)
from aqreanalysis.methods.kriging.variogram import Variogram, empirical_variogram, fit_variogram
from aqreanalysis.network import EARTH_RADIUS_KM, great_circle_km

MODELS = ("exponential", "spherical", "matern32")


def simulated(variogram, count=60, hours=2000, seed=0):
    """Return independent hours of a field on a plane, and the distances between its stations."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 300, (count, 2))
    distance = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    covariance = variogram.covariance(distance) + variogram.nugget * np.eye(count)
    return np.linalg.cholesky(covariance) @ rng.normal(size=(count, hours)), distance


@pytest.mark.parametrize("model", MODELS)
def test_semivariance_rises_from_the_nugget_to_the_sill(model):
    variogram = Variogram(model, partial_sill=3.0, range_km=50.0, nugget=1.0)
    assert float(variogram(0.0)) == 0
    assert float(variogram(1e-9)) == pytest.approx(1.0)
    assert float(variogram(5000.0)) == pytest.approx(4.0)
    assert (np.diff(variogram(np.linspace(1, 49, 20))) > 0).all()
    assert variogram.sill == 4.0


def test_spherical_and_matern_are_their_formulas():
    spherical = Variogram("spherical", 2.0, 100.0, 0.0)
    assert float(spherical.covariance(50.0)) == pytest.approx(2 * (1 - 0.75 + 0.0625))
    assert float(spherical.covariance(120.0)) == 0
    matern = Variogram("matern32", 2.0, 100.0, 0.0)
    chord = 2 * EARTH_RADIUS_KM * np.sin(3000 / 2 / EARTH_RADIUS_KM)
    expected = 2 * (1 + chord / 100) * np.exp(-chord / 100)
    assert float(matern.covariance(3000.0)) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(MODELS), st.integers(0, 10**6), st.floats(1, 20000))
def test_covariances_are_valid_on_the_whole_sphere(model, seed, range_km):
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(-180, 180, 40), np.degrees(np.arcsin(rng.uniform(-1, 1, 40)))
    distance = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    eigenvalues = np.linalg.eigvalsh(Variogram(model, 1.0, range_km, 0.0).covariance(distance))
    # Rounding of 40 eigenvalues of a matrix with trace 40.
    assert eigenvalues.min() > -1e-12


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(MODELS), st.integers(0, 10**6), st.floats(0.2, 500))
def test_space_time_covariances_are_valid(model, seed, range_hours):
    rng = np.random.default_rng(seed)
    place, hour = rng.integers(0, 8, 40), rng.integers(0, 30, 40)
    longitude, latitude = rng.uniform(0, 30, 8)[place], rng.uniform(30, 60, 8)[place]
    distance = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    variogram = SpaceTimeVariogram(model, 1.0, 300.0, range_hours, 0.3, 2.0, 0.0)
    lag = np.abs(hour[:, None] - hour)
    covariance = variogram.covariance(distance, lag)
    covariance += (place[:, None] == place) * variogram.own(lag)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12


@pytest.mark.parametrize("model", MODELS)
def test_a_fit_finds_what_a_field_was_made_of(model):
    truth = Variogram(model, partial_sill=9.0, range_km=60.0, nugget=1.0)
    fitted = fit_variogram(*simulated(truth), model=model)
    at = np.array([10.0, 50.0, 100.0])
    # The sampling error of 2000 hours is about 2 %; a bin, inside of which the curve bends, is
    # about 15 km wide, so that the nugget is known to a tenth of the sill's 10 at best.
    np.testing.assert_allclose(fitted(at), truth(at), rtol=0.08)
    assert fitted.nugget == pytest.approx(1.0, abs=0.5)


def test_missing_values_do_not_bend_the_fit():
    truth = Variogram("exponential", partial_sill=9.0, range_km=60.0, nugget=1.0)
    values, distance = simulated(truth)
    gappy = np.where(np.random.default_rng(1).random(values.shape) < 0.5, np.nan, values)
    at = np.array([10.0, 50.0, 100.0])
    np.testing.assert_allclose(
        fit_variogram(gappy, distance)(at), fit_variogram(values, distance)(at), rtol=0.05
    )


def test_a_large_mean_costs_no_digits():
    values, distance = simulated(Variogram("exponential", 1.0, 60.0, 0.1), count=20, hours=200)
    plain = empirical_variogram(values, distance)
    lifted = empirical_variogram(values + 1e6, distance)
    np.testing.assert_allclose(plain.semivariance, lifted.semivariance, rtol=1e-7)


def test_empirical_variogram_is_the_mean_over_pairs_and_hours():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(5, 12))
    values[rng.random(values.shape) < 0.3] = np.nan
    distance = np.abs(np.arange(5)[:, None] - np.arange(5)) * 10.0
    variogram = empirical_variogram(values, distance, lags=(0, 2), bins=50, cutoff_km=1e3)
    assert variogram.distance_km.tolist() == [0, 10, 20, 30, 40]
    for lag_row, lag in enumerate((0, 2)):
        for step in range(5):
            squares = [
                (values[a, hour] - values[b, hour + lag]) ** 2
                for a in range(5)
                for b in range(5)
                if abs(a - b) == step and (lag or a <= b)
                for hour in range(12 - lag)
            ]
            known = np.array(squares)[np.isfinite(squares)]
            assert variogram.pairs[lag_row, step] == known.size
            expected = known.mean() / 2
            assert variogram.semivariance[lag_row, step] == pytest.approx(expected, abs=1e-12)


def test_a_space_time_fit_finds_what_a_field_was_made_of():
    truth = SpaceTimeVariogram("exponential", 8.0, 60.0, 4.0, 1.0, 2.0, 0.5)
    rng = np.random.default_rng(6)
    places, hours = rng.uniform(0, 200, (25, 2)), np.arange(40)
    distance = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    lag = np.abs(hours[:, None] - hours).astype(float)
    space = np.exp(-distance / 60)
    regional = np.kron(space, (1 + lag / 4) * np.exp(-lag / 4)) * 8
    local = np.kron(np.eye(25), np.exp(-lag / 2))
    root = np.linalg.cholesky(regional + local + 0.5 * np.eye(1000))
    # Many independent stretches of 40 hours, apart by a gap that no lag bridges.
    stretches = (root @ rng.normal(size=(1000, 150))).reshape(25, 40, 150)
    series = np.concatenate([stretches, np.full((25, 5, 150), np.nan)], axis=1)
    values = series.transpose(0, 2, 1).reshape(25, -1)
    fitted = fit_space_time_variogram(values, distance)
    assert fitted.local_sill + fitted.nugget == pytest.approx(1.5, abs=0.4)
    for at_km, at_hours in ((10.0, 0.0), (10.0, 2.0), (60.0, 1.0)):
        expected = truth.sill - float(truth.covariance(at_km, at_hours))
        value = fitted.sill - float(fitted.covariance(at_km, at_hours))
        assert value == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("fit", [fit_variogram, fit_space_time_variogram])
def test_two_stations_or_a_constant_field_have_a_variogram(fit):
    distance = np.array([[0.0, 30.0], [30.0, 0.0]])
    two = fit(np.array([[1.0, 4.0, 2.0, 5.0, 4.0, 1.0], [2.0, 5.0, 1.0, 4.0, 6.0, 2.0]]), distance)
    assert two.sill > 0
    constant = fit(np.full((2, 6), 7.0), distance)
    assert 0 < constant.sill < 1e-100


@pytest.mark.parametrize("fit", [fit_variogram, fit_space_time_variogram])
def test_stations_that_never_meet_are_refused(fit):
    values = np.array([[1.0, np.nan, 3.0, np.nan], [np.nan, 2.0, np.nan, 4.0]])
    with pytest.raises(ValueError, match="found 2 of 2 stations with values, never two at once"):
        fit(values, np.array([[0.0, 30.0], [30.0, 0.0]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Variogram("gaussian", -1.0, 0.0, -2.0),
            r"found 'gaussian'; partial_sill .* -1.0; range_km .* 0.0; nugget .* -2.0",
        ),
        (
            lambda: SpaceTimeVariogram("cubic", 0.0, 1.0, np.nan, -1.0, 1.0, 0.0),
            r"found 'cubic'; partial_sill .* 0.0; range_hours .* nan; local_sill .* -1.0",
        ),
    ],
)
def test_faults_of_a_variogram_are_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()
