"""What kriging learns from stations left out in turn: neighbours, and a spread that holds."""

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.special import ndtr

from aqreanalysis.methods.kriging import calibration
from aqreanalysis.methods.kriging.calibration import (
    Kriged,
    LeftOut,
    SpreadLaw,
    best_model,
    parts_of,
)
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.spread import fit_freedom, normal_crps
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.methods.series import StationSeries
from aqreanalysis.network import great_circle_km

SPACE = Variogram("exponential", partial_sill=1.0, range_km=120.0, nugget=0.1)
SPACE_TIME = SpaceTimeVariogram("exponential", 1.0, 120.0, 0.2, 0.0, 1.0, 0.1)


def network(stations=50, hours=160, *, variogram=SPACE, noise=1.0, seed=0, level=6.0):
    """Return drawn roots squared, hour by hour; noise multiplies each hour's spread."""
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(5, 9, stations), rng.uniform(48, 51, stations)
    time = np.datetime64("2024-01-01", "ns") + np.arange(hours) * np.timedelta64(1, "h")
    coords = {
        "station": [f"s{number:03d}" for number in range(stations)],
        "longitude": ("station", longitude),
        "latitude": ("station", latitude),
        "time": ("time", time, {"time_label": "start", "step_hours": 1.0}),
    }
    distance = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    covariance = variogram.covariance(distance) + variogram.nugget * np.eye(stations)
    root = np.linalg.cholesky(covariance) @ rng.normal(size=(stations, hours))
    values = np.maximum(level + root * noise, 0) ** 2
    return xr.Dataset({"pm25": (("station", "time"), values, {"units": "ug m-3"})}, coords)


def at_hidden(method, observations, every=5):
    """Return the truth and the product at each fifth station, fitted to the others."""
    hidden = np.arange(observations.sizes["station"]) % every == 0
    known, at = observations.isel(station=~hidden), observations.isel(station=hidden)
    places = at[["longitude", "latitude"]]
    product = method.fit(known, "pm25").predict(known, places, quantiles=(0.05, 0.95)).compute()
    return at.pm25.values, product


def coverage(truth, product):
    """Return the share of the truth within the 90 % interval."""
    inside = (truth >= product["pm25_q05"].values) & (truth <= product["pm25_q95"].values)
    return float(inside.mean())


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging])
@pytest.mark.parametrize("calibrate", ["factor", "law"])
def test_a_wrong_sill_does_not_reach_the_published_error(make, calibrate):
    """Weights do not see the scale of a variogram: left-out stations give it back."""
    observations = network()
    given = SPACE if make is OrdinaryKriging else SPACE_TIME
    sills = {name: 25 * v for name, v in vars(given).items() if name.endswith(("sill", "nugget"))}
    wrong = type(given)(**(vars(given) | sills))
    truth, right = at_hidden(make(12, variogram=given, calibrate=calibrate), observations)
    _, same = at_hidden(make(12, variogram=wrong, calibrate=calibrate), observations)
    _, plain = at_hidden(make(12, variogram=wrong, calibrate=False), observations)
    np.testing.assert_allclose(right.pm25, same.pm25, rtol=1e-5)
    np.testing.assert_allclose(right.pm25_uncertainty, same.pm25_uncertainty, rtol=0.01)
    assert coverage(truth, right) == pytest.approx(0.9, abs=0.03)
    assert coverage(truth, plain) > 0.99


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging])
def test_the_law_follows_what_the_neighbours_disagree_about(make):
    """Every other day the whole field varies three times as much."""
    noise = np.where(np.arange(160) // 24 % 2, 0.9, 0.3)
    observations = network(noise=noise)
    errors = {}
    for calibrate in ("factor", "law"):
        method = make(12, calibrate=calibrate)
        truth, product = at_hidden(method, observations)
        assert coverage(truth, product) == pytest.approx(0.9, abs=0.03)
        error = product.pm25_uncertainty.values
        errors[calibrate] = error[:, noise > 0.5].mean() / error[:, noise < 0.5].mean()
    assert errors["factor"] < 1.2
    assert errors["law"] > 2
    assert method.settings["spread"]["disagreement"] > 0.4


def test_neighbours_are_as_many_as_left_out_stations_show():
    noisy = Variogram("exponential", partial_sill=1.0, range_km=3000.0, nugget=12.0)
    clear = Variogram("exponential", partial_sill=1.0, range_km=900.0, nugget=1e-3)
    result = {}
    for name, variogram in (("noisy", noisy), ("clear", clear)):
        observations = network(variogram=variogram, level=15.0)
        settings = OrdinaryKriging().fit(observations, "pm25").settings
        assert settings["neighbours_chosen"]
        result[name] = settings["neighbours"]
    assert result == {"noisy": 40, "clear": calibration.USUAL}
    fixed = OrdinaryKriging(5).fit(observations, "pm25")
    assert fixed.settings["neighbours"] == fixed.neighbours_ == 5
    assert not fixed.settings["neighbours_chosen"]


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging])
def test_the_form_of_the_variogram_is_the_one_that_left_out_stations_show(make):
    smooth = Variogram("matern32", partial_sill=1.0, range_km=120.0, nugget=0.01)
    for variogram in (smooth, SPACE):
        observations = network(variogram=variogram, hours=200)
        method = make(12, transform=None).fit(observations, "pm25")
        assert method.variogram_.model == method.settings["model"] == variogram.model
        assert method.settings["model_chosen"]
    given = make(12, model="spherical").fit(observations, "pm25")
    assert given.variogram_.model == given.settings["model"] == "spherical"
    assert not given.settings["model_chosen"]


def test_chance_does_not_choose_the_form_of_the_variogram():
    """Scores that differ by noise alone never clearly favour one of two other forms."""
    rng = np.random.default_rng(0)
    usual = rng.uniform(1, 2, (2000, 40))
    noise = rng.normal(0, 0.2, (2, 2000, 40))
    chosen = [best_model([one, one + a, one + b]) for one, a, b in zip(usual, *noise, strict=True)]
    assert np.mean(np.array(chosen) > 0) < 0.02
    assert best_model([usual[0], usual[0] - 0.004 * usual[0]]) == 0  # sure, and not worth it


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging])
def test_too_few_values_teach_nothing(make):
    few = make().fit(network(hours=3), "pm25")
    assert (few.neighbours_, few.spread_) == (calibration.USUAL, SpreadLaw())
    pair = make().fit(network(stations=2), "pm25")
    assert (pair.neighbours_, pair.spread_) == (calibration.USUAL, SpreadLaw())


def test_a_variogram_as_given_keeps_its_variance_unless_asked():
    observations = network()
    assert OrdinaryKriging(8, variogram=SPACE).fit(observations, "pm25").spread_ == SpreadLaw()
    asked = OrdinaryKriging(8, variogram=SPACE, calibrate="factor").fit(observations, "pm25")
    assert asked.spread_.factor == pytest.approx(1.0, abs=0.1)  # the truth's own variogram
    assert asked.spread_.factor != 1.0


def test_colocated_stations_are_left_out_together_and_large_networks_are_sampled():
    twins = network(stations=12)
    twins = twins.assign_coords(
        longitude=twins.longitude.where(twins.station != "s003", twins.longitude[4]),
        latitude=twins.latitude.where(twins.station != "s003", twins.latitude[4]),
    )
    series = StationSeries.from_dataset(twins, "pm25")
    parts = list(parts_of(series, parts=32, near=20, core=1, margin=0))
    assert sorted(np.concatenate([part.left_out for part in parts])) == list(range(12))
    assert any({3, 4} <= set(part.left_out) for part in parts)
    assert all(not np.isin(part.series.network.identifiers, twins.station[part.left_out]).any()
               for part in parts)  # fmt: skip
    rng = np.random.default_rng(0)
    places = {"longitude": rng.uniform(0, 40, 3000), "latitude": rng.uniform(30, 60, 3000)}
    large = xr.Dataset(
        {"pm25": (("station", "time"), rng.uniform(1, 9, (3000, 5)), {"units": "ug m-3"})},
        {name: ("station", values) for name, values in places.items()}
        | {"station": [f"{i:05d}" for i in range(3000)], "time": twins.time[:5]},
    )
    parts = list(parts_of(StationSeries.from_dataset(large, "pm25"), parts=32, near=80, core=1,
                          margin=0))  # fmt: skip
    assert sum(part.left_out.size for part in parts) <= 1.2 * calibration.STATIONS
    assert max(part.series.network.size for part in parts) < 1200


def test_windows_are_scored_in_their_core_only():
    series = StationSeries.from_dataset(network(stations=40, hours=3000), "pm25")
    part = next(parts_of(series, parts=10, near=50, core=12, margin=4))
    scored = np.isfinite(part.truth).any(axis=0)
    assert scored.sum() % 12 == 0
    assert scored.sum() * 40 <= calibration.VALUES
    assert part.truth.shape[1] <= scored.sum() * 20 / 12
    hours = np.searchsorted(series.time.values, part.series.time.values)
    np.testing.assert_array_equal(
        part.truth[:, scored], series.values[part.left_out][:, hours[scored]]
    )


def test_the_score_is_the_integral_of_squared_probabilities_and_its_slope_a_slope():
    error, spread = np.array([0.7, -2.0, 0.1]), np.array([1.3, 0.4, 0.05])
    score, slope = normal_crps(error, spread)
    for e, s, result in zip(error, spread, score, strict=True):
        below = quad(lambda x, s=s: ndtr(x / s) ** 2, -20, e, points=[0.0] if e > 0 else None)[0]
        above = quad(lambda x, s=s: ndtr(-x / s) ** 2, e, 20, points=[0.0] if e < 0 else None)[0]
        assert result == pytest.approx(below + above, rel=1e-6)
    step = 1e-6
    risen = normal_crps(error, spread + step)[0]
    np.testing.assert_allclose((risen - score) / step, slope, atol=1e-4)


def test_the_factor_is_not_moved_by_a_few_wild_errors():
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 2.0, 4000)
    wild = truth.copy()
    wild[:4] = 1e4
    factors = [
        LeftOut(Kriged(np.zeros(4000), np.ones(4000), None), each).fitted("factor").factor
        for each in (truth, wild)
    ]
    assert factors[0] == pytest.approx(2.0, rel=0.05)
    assert factors[1] == pytest.approx(factors[0], rel=0.01)


def test_degrees_of_freedom_are_those_of_the_errors_whatever_their_scale():
    rng = np.random.default_rng(3)
    errors, spread = rng.standard_t(7, 20_000), rng.uniform(0.5, 2, 20_000)
    fitted = fit_freedom(errors * spread, spread)
    assert fitted == pytest.approx(7, rel=0.1)
    assert fit_freedom(1e3 * errors * spread, spread) == pytest.approx(fitted, rel=1e-3)
    errors[:20] = 1e6  # absurd ones
    assert fit_freedom(errors * spread, spread) == pytest.approx(fitted, rel=0.05)
    # The error of a concentration stays finite, and a normal one is normal.
    assert fit_freedom(rng.standard_cauchy(20_000), np.ones(20_000)) == pytest.approx(5, rel=1e-3)
    assert fit_freedom(rng.standard_normal(20_000), np.ones(20_000)) == np.inf
    for nothing in (np.zeros(300), np.full(300, np.nan)):
        assert fit_freedom(nothing, np.ones(300)) == np.inf


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging])
def test_an_unknown_calibration_is_refused(make):
    with pytest.raises(ValueError, match="calibrate must be 'factor', 'law' or False; found 'all'"):
        make(calibrate="all")


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging])
def test_an_unknown_form_of_the_variogram_is_refused(make):
    known = "exponential, spherical, matern32"
    with pytest.raises(ValueError, match=f"model must be one of {known}; found 'gaussian'"):
        make(model="gaussian")
