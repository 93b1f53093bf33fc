"""Kriging with a background: the mean follows covariates as far as the stations tell."""

import logging
import pickle

import numpy as np
import pytest
import xarray as xr
from test_baselines import GRID, observations_of, places

from aqreanalysis.foreign.background import BackgroundError
from aqreanalysis.methods import fit, predict
from aqreanalysis.methods.kriging import ordinary
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.network import great_circle_km
from aqreanalysis.verification import Fold, estimate_hidden

STATIONS, HOURS = 24, 30
VARIOGRAM = Variogram("exponential", partial_sill=4.0, range_km=60.0, nugget=0.5)
AT = places([115.9, 116.6], [39.8, 40.3])


def altitude_at(longitude, latitude):
    """Return an invented height in m."""
    return 400 + 300 * np.sin(5 * longitude) + 200 * np.cos(7 * latitude)


def elevation(where, values=None):
    """Return the heights of places as a background, the invented ones if none are given."""
    if values is None:
        values = altitude_at(where.longitude, where.latitude)
    return xr.Dataset(coords=where[["longitude", "latitude"]].coords).assign(
        elevation=("station", np.asarray(values, float))
    )


def joined(one, other):
    """Return the backgrounds of two sets of places."""
    return xr.concat([one.drop_vars("time", errors="ignore"), other], "station")


@pytest.fixture(scope="module")
def network():
    """Return positions of stations, and a smooth field of four km and more."""
    rng = np.random.default_rng(3)
    longitude, latitude = rng.uniform(115.5, 117, STATIONS), rng.uniform(39.4, 40.6, STATIONS)
    distance = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    factor = np.linalg.cholesky(VARIOGRAM.covariance(distance) + 0.5 * np.eye(STATIONS))
    return longitude, latitude, factor @ rng.normal(size=(STATIONS, HOURS))


def observed(network, slope, *, missing=True):
    """Return observations that follow the altitude by a slope of each hour, in ug m-3 a metre."""
    longitude, latitude, residual = network
    values = 30 + residual + slope * altitude_at(longitude, latitude)[:, None]
    if missing:
        values = np.where(np.random.default_rng(1).random(values.shape) < 0.1, np.nan, values)
    return observations_of(values, longitude, latitude)


def test_it_solves_the_bordered_system_with_the_prior_of_the_coefficients(network):
    """Estimate and error follow from the covariance with the prior, solved in one dense system."""
    obs = observed(network, -0.01 * np.ones(HOURS), missing=False)
    background = joined(elevation(obs), elevation(AT))
    kriging = OrdinaryKriging(99, transform=None, variogram=VARIOGRAM)
    field = fit(kriging, obs, "pm25", background).field(
        obs, AT, slice(0, HOURS), background=background
    )
    lon, lat = obs.longitude.values, obs.latitude.values
    kriged = field.kriged(AT.longitude.values, AT.latitude.values, slice(0, 1), disagreement=False)

    heights = background.elevation.values
    mean, scale = heights[:STATIONS].mean(), heights[:STATIONS].std()
    x = (heights - mean) / scale
    design = np.column_stack(
        [np.tile(x[:STATIONS, None], HOURS).ravel(), np.ones(lon.size * HOURS)]
    )
    slope = np.linalg.lstsq(design, obs.pm25.values.ravel(), rcond=None)[0][0]
    assert kriging.trend_.coefficient[0] == pytest.approx(slope)
    every = np.r_[lon, AT.longitude], np.r_[lat, AT.latitude]
    distance = great_circle_km(every[0][:, None], every[1][:, None], *every)
    covariance = VARIOGRAM.covariance(distance) + VARIOGRAM.sill * np.outer(x, x)
    system = np.ones((STATIONS + 1, STATIONS + 1))
    system[-1, -1] = 0
    system[:-1, :-1] = covariance[:STATIONS, :STATIONS] + VARIOGRAM.nugget * np.eye(STATIONS)
    right = np.vstack([covariance[:STATIONS, STATIONS:], np.ones(2)])
    solution = np.linalg.solve(system, right)
    departures = obs.pm25.values[:, 0] - slope * x[:STATIONS]
    expected = solution[:-1].T @ departures + slope * x[STATIONS:]
    variance = covariance.diagonal()[STATIONS:] + VARIOGRAM.nugget - (right * solution).sum(axis=0)
    np.testing.assert_allclose(kriged.mean[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(kriged.spread[:, 0], np.sqrt(variance), rtol=1e-5)


def test_without_a_bound_on_the_coefficients_it_is_kriging_with_external_drift(
    network, monkeypatch
):
    """A vague prior leaves the conditions that weights sum to 1 and give the target's altitude."""
    monkeypatch.setattr(ordinary, "PRIOR", 1e6)
    slope = np.random.default_rng(0).normal(0, 0.02, HOURS)
    obs = observed(network, slope, missing=False)
    background = joined(elevation(obs), elevation(AT))
    kriging = OrdinaryKriging(99, transform=None, variogram=VARIOGRAM)
    product = fit(kriging, obs, "pm25", background).predict(obs, AT, background=background)

    lon, lat = obs.longitude.values, obs.latitude.values
    distance = great_circle_km(lon[:, None], lat[:, None], lon, lat)
    to = great_circle_km(lon[:, None], lat[:, None], AT.longitude.values, AT.latitude.values)
    heights = background.elevation.values / 100
    drift = np.column_stack([np.ones(STATIONS), heights[:STATIONS]])
    system = np.block([
        [VARIOGRAM.covariance(distance) + VARIOGRAM.nugget * np.eye(STATIONS), drift],
        [drift.T, np.zeros((2, 2))],
    ])  # fmt: skip
    right = np.vstack([VARIOGRAM.covariance(to), np.ones(2), heights[STATIONS:]])
    weights = np.linalg.solve(system, right)[:STATIONS]
    np.testing.assert_allclose(product.pm25, weights.T @ obs.pm25.values, rtol=1e-3)


@pytest.mark.parametrize("calibrate", [None, "law"])
def test_a_drift_helps_at_hidden_stations_also_where_its_slope_changes(network, calibrate):
    slope = -0.02 + np.random.default_rng(0).normal(0, 0.01, HOURS)
    obs = observed(network, slope)
    hidden = np.arange(STATIONS) % 4 == 0
    every = np.ones(HOURS, bool)
    fold = Fold("one", hidden, ~hidden, every, every)
    truth, errors = obs.pm25.values[hidden], []
    for background in (None, elevation(obs)):
        method = OrdinaryKriging(transform=None, calibrate=calibrate)
        fit(method, fold.training(obs), "pm25", background)
        hidden_at = estimate_hidden(method, obs, "pm25", fold, background=background)
        errors.append(np.sqrt(np.nanmean((hidden_at.estimate - truth) ** 2)))
    # What is left is the residual, of which the sill is 4.5.
    assert errors[1] < 2.2 < 4 < errors[0]
    known = np.isfinite(truth)
    within = np.abs(hidden_at.estimate - truth) < 1.645 * hidden_at.standard_error
    assert 0.8 < within[known].mean() < 0.98


def test_a_constant_background_is_ordinary_kriging(network):
    obs = observed(network, np.zeros(HOURS))
    flat = xr.DataArray(
        np.full((2, 2), 7.3), coords={"lat": [30.0, 50.0], "lon": [110.0, 120.0]},
        dims=("lat", "lon"), name="elevation",
    )  # fmt: skip
    with_it, without = (
        predict(fit(OrdinaryKriging(), obs, "pm25", background), obs, GRID, background=background)
        for background in (flat, None)
    )
    xr.testing.assert_allclose(with_it, without, rtol=1e-5)


def test_neighbours_of_one_altitude_leave_the_slope_of_all_and_a_larger_error(network):
    longitude, latitude, residual = network
    heights = np.where(np.arange(STATIONS) < STATIONS - 6, 100.0, altitude_at(longitude, latitude))
    heights[-6:] += np.arange(6) * 200
    # Those of other heights lie far away: the nearest six of the target are all as high.
    longitude = longitude + np.where(np.arange(STATIONS) < STATIONS - 6, 0, 3.0)
    values = 60 + residual - 0.02 * heights[:, None]
    obs = observations_of(values, longitude, latitude)
    kriging = OrdinaryKriging(6, transform=None, variogram=VARIOGRAM)
    at = places([116.2, 116.2], [40.0, 40.0])
    fit(kriging, obs, "pm25", elevation(obs, heights))
    low, high = (
        predict(kriging, obs, at.isel(station=[0]),
                background=joined(elevation(obs, heights), elevation(at.isel(station=[0]), [of])))
        for of in (100.0, 900.0)
    )  # fmt: skip
    slope = kriging.trend_.coefficient[0] / kriging.trend_.scale[0]
    np.testing.assert_allclose(high.pm25 - low.pm25, 800 * slope, rtol=1e-4)
    assert (high.pm25_uncertainty > 1.5 * low.pm25_uncertainty).all()


def test_where_the_covariate_is_missing_it_counts_as_its_mean_and_is_said(network, caplog):
    obs = observed(network, -0.01 * np.ones(HOURS))
    heights = elevation(obs)
    heights.elevation[3] = np.nan
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        kriging = fit(OrdinaryKriging(transform=None), obs, "pm25", heights)
    assert "'elevation' is missing at" in caplog.text
    product = predict(kriging, obs, GRID, background=heights)
    assert np.isfinite(product.pm25).all()


def changing(obs):
    """Return a background on a grid of which the values change hour by hour."""
    lat, lon = np.linspace(38, 42, 9), np.linspace(114, 119, 11)
    hour = np.arange(HOURS)[:, None, None]
    return xr.DataArray(
        20 + 5 * np.sin(lon * 3 + hour) + 3 * np.cos(lat[:, None] * 2),
        coords={"time": obs.time, "lat": lat, "lon": lon},
        dims=("time", "lat", "lon"),
        name="pm25",
        attrs={"units": "ug m-3"},
    )


@pytest.mark.parametrize("missing", [False, True])
def test_any_chunking_gives_the_same_also_with_a_field_that_changes(network, missing):
    obs = observed(network, np.zeros(HOURS), missing=missing)
    field = changing(obs)
    added = field.interp(lat=obs.latitude, lon=obs.longitude).drop_vars(["lat", "lon"])
    values = obs.pm25 + 0.5 * added.transpose("station", "time")
    obs = obs.assign(pm25=values.assign_attrs(obs.pm25.attrs))
    kriging = fit(OrdinaryKriging(transform=None), obs, "pm25", field)
    assert kriging.trend_.coefficient[0] > 0
    whole = predict(kriging, obs, GRID, background=field).compute()
    cut = predict(
        kriging, obs, GRID, background=field, chunks={"time": 7, "lat": 3, "lon": 5}
    ).compute()
    xr.testing.assert_allclose(cut, whole, rtol=1e-5)
    assert np.isfinite(whole.pm25).all()


def test_what_was_learned_is_in_the_settings_and_goes_with_the_method(network):
    obs = observed(network, -0.01 * np.ones(HOURS))
    background = joined(elevation(obs), elevation(AT))
    kriging = fit(OrdinaryKriging(), obs, "pm25", background)
    assert kriging.settings["trend"]["names"] == ["elevation"]
    assert kriging.settings["trend"]["coefficient"][0] < 0
    assert "Omre 1987" in kriging.references
    again = pickle.loads(pickle.dumps(kriging))
    xr.testing.assert_identical(
        predict(again, obs, AT, background=background).compute(),
        predict(kriging, obs, AT, background=background).compute(),
    )
    with pytest.raises(BackgroundError, match="learned with the background elevation; pass it"):
        predict(kriging, obs, AT)
    with pytest.raises(BackgroundError, match="learned with the background elevation; found hill"):
        predict(kriging, obs, AT, background=background.rename(elevation="hill"))
    alone = fit(kriging, obs, "pm25", None)
    assert alone.settings["trend"] is None
    assert "Omre" not in alone.references
    with pytest.raises(BackgroundError, match="learned without a background; leave it out"):
        predict(alone, obs, AT, background=background)


def smooth(seed):
    """Return three days of 24 stations without anything that follows the altitude."""
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(115.5, 117, STATIONS), rng.uniform(39.4, 40.6, STATIONS)
    distance = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    factor = np.linalg.cholesky(VARIOGRAM.covariance(distance) + 0.5 * np.eye(STATIONS))
    values = 30 + 3 * factor @ rng.normal(size=(STATIONS, 72))
    return observations_of(values, longitude, latitude)


def test_covariates_that_do_not_help_at_left_out_stations_are_not_used(caplog):
    network = smooth(5)
    rng = np.random.default_rng(9)
    noise = xr.concat(
        [elevation(network, rng.normal(size=STATIONS)).elevation for _ in range(6)], "each"
    )
    fields = xr.Dataset({f"noise{number}": one for number, one in enumerate(noise)})
    plain = OrdinaryKriging().fit(network, "pm25")
    with caplog.at_level(logging.INFO, "aqreanalysis"):
        fitted = OrdinaryKriging().fit(network, "pm25", background=fields)
    assert fitted.trend_.attributes == ()
    assert "the background 'noise0' does not help at left-out stations: not used" in caplog.text
    expected = plain.predict(network, GRID).pm25
    given = fitted.predict(network, GRID, background=fields).pm25
    np.testing.assert_allclose(given, expected, rtol=1e-6)
    assert "Omre" not in fitted.references


def test_the_first_covariate_is_used_alone_where_the_others_are_noise():
    base = smooth(6)
    follows = base.pm25 + 0.03 * altitude_at(base.longitude, base.latitude)
    network = base.assign(pm25=follows.transpose(*base.pm25.dims).assign_attrs(base.pm25.attrs))
    rng = np.random.default_rng(3)
    noise = {
        f"noise{number}": elevation(network, rng.normal(size=STATIONS)).elevation
        for number in range(8)
    }
    fields = xr.Dataset({"elevation": elevation(network).elevation, **noise})
    fitted = OrdinaryKriging().fit(network, "pm25", background=fields)
    assert fitted.trend_.attributes == ("elevation",)
    alone = OrdinaryKriging().fit(network, "pm25", background=elevation(network))
    assert alone.trend_.attributes == ("elevation",)
    np.testing.assert_allclose(fitted.variogram_.sill, alone.variogram_.sill, rtol=1e-6)
