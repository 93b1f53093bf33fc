"""Errors that are stated and errors that are made: silent networks, one absurd value, any start."""

import numpy as np
import pytest
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.filling import fill
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.predictive import RootNormal, freedom_of

QUICK = Schedule(covariance_updates=12, updates=0, validation_windows=6)
HOUR = 100


def fitted(observations, schedule=QUICK):
    """Return a model of which only the covariance is learned."""
    return Reanalyser(schedule=schedule, progress=False).fit(observations, "pm25")


def product_of(model, observations):
    """Return ten hours at a few places."""
    grid = aqr.Grid.around(observations.aqnet.network, 0.5)
    hours = observations.time.values[[HOUR, HOUR + 9]]
    return model.predict(observations, grid, time=slice(*hours)).compute()


def changed(observations, values):
    """Return the observations with other values of PM2.5."""
    return observations.assign(pm25=observations.pm25.copy(data=values))


@pytest.fixture(scope="module")
def network():
    """A synthetic network with hidden stations, 20 days."""
    return aqr.synthetic_network(hours=480, seed=4)


@pytest.fixture(scope="module")
def observations(network):
    """Return six days of some of its stations."""
    return network.observations.isel(station=slice(24), time=slice(144))


@pytest.fixture(scope="module")
def model(observations):
    return fitted(observations)


@pytest.fixture(scope="module")
def learned(network):
    """A model whose covariance learned nearly as long as by default."""
    known = network.observations.isel(time=slice(240))
    return fitted(known, Schedule(covariance_updates=80, updates=0))


def test_the_published_error_does_not_depend_on_where_the_fit_began(
    observations, model, monkeypatch
):
    begin = BandCovariance.__init__

    def elsewhere(self, *arguments):
        begin(self, *arguments)
        self.log_amplitude.data += 2
        self.log_noise.data += 2

    monkeypatch.setattr(BandCovariance, "__init__", elsewhere)
    other = product_of(fitted(observations), observations)
    expected = product_of(model, observations)
    np.testing.assert_allclose(other.pm25, expected.pm25, rtol=1e-3)
    np.testing.assert_allclose(other.pm25_uncertainty, expected.pm25_uncertainty, rtol=0.01)


def test_the_published_error_scales_with_the_concentrations(observations, model):
    more = changed(observations, 4 * observations.pm25.values)
    product, expected = product_of(fitted(more), more), product_of(model, observations)
    np.testing.assert_allclose(product.pm25, 4 * expected.pm25, rtol=1e-3)
    np.testing.assert_allclose(product.pm25_uncertainty, 4 * expected.pm25_uncertainty, rtol=0.01)


def test_the_order_of_stations_does_not_change_the_model(observations, model):
    order = np.random.default_rng(0).permutation(observations.sizes["station"])
    product = product_of(fitted(observations.isel(station=order)), observations)
    expected = product_of(model, observations)
    np.testing.assert_allclose(product.pm25, expected.pm25, rtol=1e-5)
    np.testing.assert_allclose(product.pm25_uncertainty, expected.pm25_uncertainty, rtol=1e-5)


def test_one_absurd_value_is_not_learned_from(observations):
    values = observations.pm25.values.copy()
    expected, *products = (
        product_of(fitted(changed(observations, values)), observations)
        for values[3, 7] in (np.nan, 9999.0, 1e6)
    )
    for product in products:
        np.testing.assert_allclose(product.pm25, expected.pm25, rtol=1e-6)
        np.testing.assert_allclose(product.pm25_uncertainty, expected.pm25_uncertainty, rtol=1e-6)


@pytest.mark.parametrize("absurd", [9999.0, 1e6])
def test_one_absurd_value_is_missing_to_all_hours_but_its_own(observations, model, absurd):
    """At its own hour it counts as the largest value that is not absurd."""
    missing, wrong = observations.pm25.values.copy(), observations.pm25.values.copy()
    missing[3, HOUR + 4], wrong[3, HOUR + 4] = np.nan, absurd
    expected, product = (
        product_of(model, changed(observations, each)) for each in (missing, wrong)
    )
    others = np.arange(10) != 4
    xr.testing.assert_allclose(product.isel(time=others), expected.isel(time=others), rtol=1e-6)
    moved = abs(product.pm25 - expected.pm25).isel(time=4) / expected.pm25_uncertainty.isel(time=4)
    assert 0.5 < float(moved.max()) < 10
    filled, same = (
        fill(changed(observations, each), method=model, quality="ignore")
        for each in (missing, wrong)
    )
    gaps = same.pm25_origin == 1
    xr.testing.assert_allclose(same.pm25.where(gaps), filled.pm25.where(gaps), rtol=1e-6)


def test_hours_of_absurd_values_count_as_the_largest_that_is_not(observations, model):
    """They may be a fire: the values around stay as they are."""
    state = model.state_for(observations)
    largest = float(state.standardisation.concentration(state.model.largest))
    assert observations.pm25.max() <= largest < 4000
    products = []
    for value in (9999.0, largest):
        values = observations.pm25.values.copy()
        values[3, HOUR - 2 : HOUR] = value
        products.append(product_of(model, changed(observations, values)))
    xr.testing.assert_allclose(*products, rtol=1e-5)


@pytest.mark.slow
def test_the_error_grows_while_the_network_is_silent(network, learned):
    hidden = network.hidden
    shares, stated = {}, {}
    for silent in (3, 12, 24):
        inside, errors = [], []
        for end in range(300, 480, 36):
            window = network.observations.isel(time=slice(end - 96, end))
            values = window.pm25.values.copy()
            values[:, -silent:] = np.nan
            at = xr.Dataset(coords={n: hidden[n] for n in ("longitude", "latitude")})
            product = learned.predict(
                changed(window, values),
                at,
                quantiles=(0.05, 0.95),
                time=slice(*window.time.values[[-silent, -1]]),
            )
            truth = hidden.pm25.isel(time=slice(end - silent, end))
            known = (truth.notnull() & product.pm25.notnull()).values
            between = (product.pm25_q05 <= truth) & (truth <= product.pm25_q95)
            inside.append(between.values[known])
            errors.append(product.pm25_uncertainty.values[:, -1])
        shares[silent] = np.concatenate(inside).mean()
        stated[silent] = np.nanmean(np.concatenate(errors))
    assert stated[3] < stated[12] < stated[24]
    assert all(0.8 < share < 0.97 for share in shares.values()), shares


@pytest.mark.slow
def test_errors_of_filled_gaps_hold_what_they_say(network, learned):
    observations = network.observations.isel(time=slice(240, 480))
    values = observations.pm25.values.copy()
    gaps = np.zeros(values.shape, bool)
    gaps[:, 60:66] = gaps[:, 130:139] = gaps[:, 200:204] = True  # of the whole network
    gaps[::3, 20:44] = gaps[1::3, 90:102] = True  # of some stations
    gaps &= np.isfinite(values)
    filled = fill(changed(observations, np.where(gaps, np.nan, values)), method=learned)
    distribution = RootNormal.from_median(
        filled.pm25.values[gaps].astype(float),
        filled.pm25_uncertainty.values[gaps].astype(float),
        freedom=freedom_of(filled.pm25_uncertainty.attrs),
    )
    low, high = distribution.interval_90()
    share = np.mean((low <= values[gaps]) & (values[gaps] <= high))
    assert 0.82 < share < 0.97
