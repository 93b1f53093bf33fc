"""Every baseline keeps the estimator's contract, and each has the properties that define it."""

import logging
import pickle

import numpy as np
import pytest
import xarray as xr

from aqreanalysis.conventions import PRODUCT_FLAGS
from aqreanalysis.grid import Grid
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.methods.kriging import ordinary_field
from aqreanalysis.methods.kriging.completed_series import CompletedSeries
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.solver import LeavingOut
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.observations import ObservationError

REGION = (115.0, 118.0, 39.0, 41.0)
GRID = Grid(REGION, 0.25)
NOISELESS = Variogram("exponential", partial_sill=50.0, range_km=80.0, nugget=0.0)
NOISELESS_IN_TIME = SpaceTimeVariogram("exponential", 50.0, 80.0, 4.0, 0.0, 1.0, 0.0)

ESTIMATORS = {
    "inverse distance": lambda: InverseDistance(neighbours=5),
    "kriging": lambda: OrdinaryKriging(neighbours=5),
    "kriging without transform": lambda: OrdinaryKriging(neighbours=5, transform=None),
    "space-time kriging": lambda: SpaceTimeKriging(neighbours=4),
    "completed kriging": lambda: SpaceTimeKriging(neighbours=6, lags=(0,), transform=None),
}
every_estimator = pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS.keys())


def observations_of(values, longitude, latitude, *, variable="pm25", step_hours=1):
    """Return valid observations of series at places."""
    values = np.asarray(values, dtype=np.float64)
    time = np.datetime64("2014-11-01", "ns") + np.arange(values.shape[1]) * np.timedelta64(
        step_hours, "h"
    )
    return xr.Dataset(
        {variable: (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number:02d}" for number in range(len(values))],
            "longitude": ("station", np.asarray(longitude, dtype=np.float64)),
            "latitude": ("station", np.asarray(latitude, dtype=np.float64)),
            "time": ("time", time, {"time_label": "start", "step_hours": float(step_hours)}),
        },
    )


def places(longitude, latitude):
    """Return targets at places."""
    return xr.Dataset(
        coords={
            "station": [f"t{number}" for number in range(len(longitude))],
            "longitude": ("station", np.asarray(longitude, dtype=np.float64)),
            "latitude": ("station", np.asarray(latitude, dtype=np.float64)),
        }
    )


@pytest.fixture(autouse=True)
def _short_spans(monkeypatch):
    """Complete series in short spans of hours, so that the 62 hours below cross two borders."""
    monkeypatch.setattr("aqreanalysis.methods.kriging.completed_series.HOURS_AT_ONCE", 24)


@pytest.fixture(scope="module")
def network():
    """Return 14 stations, two of them at one place, with gaps, for 62 hours."""
    rng = np.random.default_rng(7)
    longitude, latitude = rng.uniform(115.2, 117.8, 14), rng.uniform(39.2, 40.8, 14)
    longitude[1], latitude[1] = longitude[0], latitude[0]
    hours = 62
    level = 40 + 25 * np.sin(np.arange(hours) / 9)[None, :]
    values = level * np.exp(0.4 * np.sin(longitude * 2)[:, None] + rng.normal(0, 0.2, (14, hours)))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[3, 20:60] = np.nan
    values[:, 17] = np.nan  # nobody reports
    values[0, 40], values[1:, 40] = 33.0, np.nan  # a single station reports
    return observations_of(values, longitude, latitude)


@every_estimator
def test_constant_field_stays_constant_with_missing_values(make, network):
    constant = network.where(network.pm25.isnull(), 7.0)
    product = make().fit(network, "pm25").predict(constant, GRID).compute()
    np.testing.assert_allclose(product.pm25.isel(time=17), np.nan)
    np.testing.assert_allclose(product.pm25.drop_isel(time=17), 7.0, rtol=1e-6)
    assert float(product.pm25_uncertainty.min()) > 0


@every_estimator
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_nothing_is_learned_from_one_value(make, value, network):
    constant = network.where(network.pm25.isnull(), value)
    with pytest.raises(ValueError, match=f"two different values of pm25; found .* all {value:g}"):
        make().fit(constant, "pm25")


@every_estimator
def test_missing_values_spread_nowhere(make, network):
    estimates = make().fit(network, "pm25").predict(network, GRID).compute()
    silent = network.pm25.isnull().all("station").values
    for name in ("pm25", "pm25_uncertainty"):
        nothing = np.isnan(estimates[name]).values
        assert nothing[silent].all(), name
        assert not nothing[~silent].any(), name
    no_estimate = estimates.pm25_flag.values == PRODUCT_FLAGS["no_estimate"]
    np.testing.assert_array_equal(no_estimate, np.isnan(estimates.pm25))


@every_estimator
def test_no_estimate_is_negative(make, network):
    near_zero = network.copy(deep=True)
    near_zero.pm25[:] -= 35.0  # a third of the values below zero
    estimates = make().fit(near_zero, "pm25").predict(near_zero, GRID).compute()
    assert float(estimates.pm25.min()) >= 0
    assert float(estimates.pm25_uncertainty.min()) > 0


@every_estimator
@pytest.mark.parametrize(
    "chunks",
    [
        {"time": 1},
        {"time": 23, "lat": 3, "lon": 5},
        {"lat": 1, "lon": 1},
    ],
    ids=str,
)
def test_any_chunking_gives_the_same_bits(make, chunks, network):
    estimator = make().fit(network, "pm25")
    grid = Grid((115.0, 117.0, 39.5, 40.5), 0.25)
    some = slice("2014-11-01T18", "2014-11-03T09")
    whole = estimator.predict(network, grid, time=some).compute()
    parts = estimator.predict(network, grid, time=some, chunks=chunks)
    xr.testing.assert_identical(parts.compute(scheduler="threads", num_workers=2), whole)


@every_estimator
def test_selected_hours_are_those_of_the_whole_period(make, network):
    estimator = make().fit(network, "pm25")
    whole = estimator.predict(network, GRID).compute()
    some = slice("2014-11-02T03", "2014-11-02T07")
    part = estimator.predict(network, GRID, time=some).compute()
    xr.testing.assert_identical(part, whole.sel(time=some))


@every_estimator
def test_hours_at_which_all_report_do_not_depend_on_those_with_gaps(make, network):
    gaps = network.fillna(network.mean("station").fillna(20.0))
    gaps.pm25[2:5, 30:] = np.nan
    estimator = make().fit(gaps, "pm25")
    early = slice("2014-11-01T00", "2014-11-01T20")
    alone = estimator.predict(gaps, GRID, time=early, chunks={"time": 3}).compute()
    xr.testing.assert_identical(alone, estimator.predict(gaps, GRID).compute().sel(time=early))


@every_estimator
def test_order_of_stations_does_not_matter(make, network):
    shuffled = network.isel(station=np.random.default_rng(0).permutation(network.sizes["station"]))
    first = make().fit(network, "pm25").predict(network, GRID).compute()
    second = make().fit(shuffled, "pm25").predict(shuffled, GRID).compute()
    xr.testing.assert_identical(first, second)


LEARNING = {
    "inverse distance": InverseDistance,
    "kriging": OrdinaryKriging,
    "kriging with a law": lambda: OrdinaryKriging(calibrate="law"),
    "kriging without transform": lambda: OrdinaryKriging(transform=None),
    "space-time kriging": SpaceTimeKriging,
    "space-time kriging with a law": lambda: SpaceTimeKriging(calibrate="law"),
}
every_learner = pytest.mark.parametrize("make", LEARNING.values(), ids=LEARNING.keys())


@every_learner
@pytest.mark.parametrize("absurd", [9999.0, 1e6])
def test_an_absurd_value_moves_no_other_hour(make, absurd, network):
    """It is as good as missing to all that is learned, and to hours that do not take it in."""
    at, hour = 6, 30
    clean, wrong, missing = network, network.copy(deep=True), network.copy(deep=True)
    wrong.pm25[at, hour], missing.pm25[at, hour] = absurd, np.nan
    of_clean, of_wrong, of_missing = (make().fit(each, "pm25") for each in (clean, wrong, missing))
    assert dict(of_wrong.settings) == dict(of_missing.settings)
    before, estimates = (
        of_clean.predict(clean, GRID).compute(),
        of_wrong.predict(wrong, GRID).compute(),
    )
    # Space-time kriging takes values of two hours around, completed from two more.
    others = np.abs(np.arange(network.sizes["time"]) - hour) > 4
    for name in ("pm25", "pm25_uncertainty"):
        np.testing.assert_allclose(
            estimates[name].values[others], before[name].values[others], rtol=0.01, err_msg=name
        )


@every_learner
def test_an_absurd_value_past_quality_control_is_missing_to_other_hours(make, network):
    """A fitted method is given it: its own hour is as measured, all others as without it."""
    at, hour = 6, 30
    wrong, missing = network.copy(deep=True), network.copy(deep=True)
    wrong.pm25[at, hour], missing.pm25[at, hour] = 9999.0, np.nan
    method = make().fit(network, "pm25")
    estimates, expected = (method.predict(each, GRID).compute() for each in (wrong, missing))
    others = estimates.time.values != estimates.time.values[hour]
    xr.testing.assert_allclose(estimates.isel(time=others), expected.isel(time=others), rtol=1e-6)
    assert float(estimates.pm25[hour].max()) > 3 * float(expected.pm25[hour].max())


@pytest.mark.parametrize("variable", ["pm25", "temperature"])
def test_absurd_values_on_either_side_bend_no_variogram(variable, network):
    weather = network.rename(pm25=variable)
    clean = OrdinaryKriging(transform=None).fit(weather, variable)
    wrong = weather.copy(deep=True)
    wrong[variable][4, 8], wrong[variable][8, 40] = -9999.0, 99999.0
    fitted = OrdinaryKriging(transform=None).fit(wrong, variable)
    distance = np.array([20.0, 100.0])
    np.testing.assert_allclose(fitted.variogram_(distance), clean.variogram_(distance), rtol=0.02)


@every_learner
def test_what_is_learned_does_not_depend_on_the_order_of_stations(make, network):
    shuffled = network.isel(station=np.random.default_rng(3).permutation(network.sizes["station"]))
    first, second = make().fit(network, "pm25"), make().fit(shuffled, "pm25")
    assert dict(first.settings) == dict(second.settings)
    xr.testing.assert_identical(
        first.predict(network, GRID).compute(), second.predict(shuffled, GRID).compute()
    )


@every_estimator
def test_longitude_plus_360_does_not_matter(make, network):
    grid = Grid((115.0 - 360, 118.0 - 360, 39.0, 41.0), 0.25)
    estimator = make().fit(network, "pm25")
    first, second = (estimator.predict(network, cells).compute() for cells in (GRID, grid))
    for name in ("pm25", "pm25_uncertainty"):
        # Positions agree to rounding, and the fit to its own tolerance.
        np.testing.assert_allclose(first[name], second[name], rtol=2e-4)


@every_estimator
def test_values_of_a_hidden_station_never_matter(make, network):
    known, hidden = network.isel(station=slice(2, None)), network.isel(station=slice(0, 2))
    estimator = make().fit(known, "pm25")
    estimates = estimator.predict(known, hidden).compute()
    changed = estimator.predict(known, hidden.assign(pm25=hidden.pm25 * 10 + 99)).compute()
    xr.testing.assert_identical(estimates, changed)


@every_estimator
def test_observations_are_not_modified(make, network):
    before = network.copy(deep=True)
    make().fit(network, "pm25").predict(network, GRID, time=slice("2014-11-02", "2014-11-02"))
    xr.testing.assert_identical(network, before)


@every_estimator
def test_two_stations_suffice(make):
    two = observations_of([[10.0, 12.0, np.nan], [20.0, 18.0, 30.0]], [10.0, 11.0], [50.0, 50.0])
    estimates = make().fit(two, "pm25").predict(two, places([10.5], [50.0])).pm25.values[0]
    assert np.isfinite(estimates).all()
    # A single station that reports is all that there is to say.
    assert estimates[2] == pytest.approx(30.0, rel=0.35)


@pytest.mark.parametrize(
    "estimator",
    [
        InverseDistance(neighbours=5),
        OrdinaryKriging(neighbours=5, variogram=NOISELESS),
        OrdinaryKriging(neighbours=5, variogram=NOISELESS, transform=None),
        SpaceTimeKriging(neighbours=4, variogram=NOISELESS_IN_TIME),
        SpaceTimeKriging(neighbours=4, variogram=NOISELESS_IN_TIME, transform=None),
    ],
    ids=lambda estimator: f"{estimator.name} {getattr(estimator, 'transform', '')}",
)
def test_exact_at_a_station_without_nugget(estimator, network):
    apart = network.isel(station=slice(1, None))  # no two at one place
    estimates = estimator.fit(apart, "pm25").predict(apart, apart.drop_vars("pm25")).pm25.values
    known = apart.pm25.notnull().values
    # The least noise on the diagonal is 1e-9 of the sill; float32 holds 1e-7.
    np.testing.assert_allclose(estimates[known], apart.pm25.values[known], rtol=1e-5)


@pytest.mark.parametrize(
    "estimator",
    [
        InverseDistance(transform=None),
        OrdinaryKriging(variogram=NOISELESS, transform=None),
        SpaceTimeKriging(variogram=NOISELESS_IN_TIME, transform=None, lags=(0,)),
    ],
    ids=lambda estimator: estimator.name,
)
def test_two_stations_at_one_place_share_their_weight(estimator):
    values = [[10.0], [20.0], [90.0], [80.0]]
    pair = observations_of(values, [10.0, 10.0, 12.0, 8.0], [50.0, 50.0, 50.0, 51.0])
    estimates = estimator.fit(pair, "pm25").predict(pair, places([10.0], [50.0])).pm25.values
    np.testing.assert_allclose(estimates, 15.0, rtol=1e-4)


def test_noise_is_filtered_at_a_station_with_a_nugget():
    """At a station of an equal pair, the estimate lies between both, on the station's side."""
    pair = observations_of([[10.0], [20.0]], [10.0, 10.1], [50.0, 50.0])
    noisy = OrdinaryKriging(transform=None, variogram=Variogram("exponential", 50.0, 80.0, 25.0))
    estimates = noisy.fit(pair, "pm25").predict(pair, places([10.0], [50.0])).pm25.values
    assert 10.5 < estimates < 15.0


def test_weights_follow_the_formula_of_two_stations():
    """With c between stations, c1 and c2 to the target: w1 = (1 + (c1 - c2) / (sill - c)) / 2."""
    pair = observations_of([[10.0], [20.0]], [10.0, 10.6], [50.0, 50.0])
    variogram = Variogram("exponential", 50.0, 80.0, 5.0)
    kriging = OrdinaryKriging(transform=None, variogram=variogram).fit(pair, "pm25")
    estimates = kriging.predict(pair, places([10.2], [50.0])).compute()
    near = great_circle_km(10.0, 50.0, 10.2, 50.0)
    far = great_circle_km(10.6, 50.0, 10.2, 50.0)
    apart = great_circle_km(10.0, 50.0, 10.6, 50.0)
    c1, c2, c = variogram.covariance(np.array([near, far, apart]))
    first = (1 + (c1 - c2) / (variogram.sill - c)) / 2
    np.testing.assert_allclose(estimates.pm25.values, 10 * first + 20 * (1 - first), rtol=1e-6)
    both = first**2 + (1 - first) ** 2
    variance = (
        variogram.sill * (1 + both)
        + 2 * first * (1 - first) * c
        - 2 * (first * c1 + (1 - first) * c2)
    )
    np.testing.assert_allclose(estimates.pm25_uncertainty.values, np.sqrt(variance), rtol=1e-6)


@pytest.mark.parametrize("make", [OrdinaryKriging, SpaceTimeKriging, InverseDistance])
def test_uncertainty_grows_with_distance_from_the_stations(make, network):
    method = make(transform=None).fit(network, "pm25")
    eastwards = places(118.0 + np.arange(8) * 0.2, np.full(8, 40.0))
    error = method.predict(network, eastwards).pm25_uncertainty.isel(time=5).values
    # That of inverse distance grows until it is that of a guess.
    assert (np.diff(error) > 0).all() or (make is InverseDistance and (np.diff(error) >= 0).all())


@pytest.mark.parametrize("neighbours", [1, 5, 300])
@pytest.mark.parametrize("power", [2.0, 3.0, 6.0])
def test_inverse_distance_is_shepards_formula(neighbours, power, network):
    """At every hour, also at one at which a single station reports, far beyond the nearest."""
    fitted = InverseDistance(neighbours, power, transform=None).fit(network, "pm25")
    fitted = fitted.predict(network, places([116.3], [40.1])).pm25.values[0]
    distance = great_circle_km(network.longitude.values, network.latitude.values, 116.3, 40.1)
    for hour in np.flatnonzero(network.pm25.notnull().any("station")):
        values = network.pm25.values[:, hour]
        nearest = [row for row in np.argsort(distance) if np.isfinite(values[row])][:neighbours]
        weights = distance[nearest] ** -power
        expected = (weights * values[nearest]).sum() / weights.sum()
        assert fitted[hour] == pytest.approx(expected, rel=1e-6)


def test_inverse_distance_is_exact_beside_a_silent_station(network):
    """Weights at a station outweigh all others by 16 digits: silent, it must leave them whole."""
    at = network.isel(station=[3]).drop_vars("pm25")
    assert network.pm25[3, 20:60].isnull().all()
    alone = network.drop_isel(station=3)
    for power in (2.0, 4.0, 8.0):
        estimator = InverseDistance(power=power).fit(network, "pm25")
        beside = estimator.predict(network, at).pm25[:, 20:60]
        without = estimator.predict(alone, at).pm25[:, 20:60]
        np.testing.assert_allclose(beside, without, rtol=1e-6)


def test_kriging_takes_only_stations_that_report(network):
    """A silent station is as good as none at all."""
    hour = network.isel(time=[25])
    reporting = hour.isel(station=np.flatnonzero(hour.pm25.notnull().values[:, 0]))
    assert reporting.sizes["station"] < hour.sizes["station"] - 1
    kriging = OrdinaryKriging(variogram=NOISELESS).fit(network, "pm25")
    label = hour.time.values[0]
    period = kriging.predict(network, GRID, time=slice(label, label)).compute()
    alone = kriging.predict(reporting, GRID).compute()
    np.testing.assert_allclose(period.pm25, alone.pm25, rtol=1e-6)
    np.testing.assert_allclose(period.pm25_uncertainty, alone.pm25_uncertainty, rtol=1e-6)


@pytest.mark.parametrize("calibrate", [False, "law"])
@pytest.mark.parametrize("neighbours", [4, 9, 20])
def test_missing_stations_are_left_out_as_if_each_hour_were_solved_by_itself(
    calibrate, neighbours, network, monkeypatch
):
    """Also where one station reports, where nobody does, and with two stations at one place."""
    kriging = OrdinaryKriging(neighbours, calibrate=calibrate).fit(network, "pm25")
    monkeypatch.setattr(ordinary_field, "MOST_MISSING", 13)
    products = []
    for fewest in (1, 1 << 30):
        monkeypatch.setattr(ordinary_field, "FEWEST_HOURS", fewest)
        products.append(kriging.predict(network, GRID).compute())
    xr.testing.assert_allclose(*products, rtol=1e-6)


def test_what_is_missing_is_left_out_once_for_all_cells_with_the_same_stations(
    network, monkeypatch
):
    """On a fine grid most cells share their stations with others, and an hour's gaps with them."""
    cases, leave_out = [], LeavingOut.of

    def counted(bordered, number, place):
        cases.append(number.size)
        return leave_out(bordered, number, place)

    monkeypatch.setattr(LeavingOut, "of", counted)
    kriging = OrdinaryKriging(5, variogram=NOISELESS).fit(network, "pm25")
    field = kriging.predict(network, Grid(REGION, 0.02)).compute()
    assert 0 < sum(cases) < field.pm25.notnull().sum() / 100


def test_completed_series_give_kriging_from_those_that_report(network):
    """Best linear estimates of best linear estimates, when all stations are neighbours."""
    space = Variogram("exponential", 50.0, 80.0, 6.0)
    in_time = SpaceTimeVariogram("exponential", 50.0, 80.0, 4.0, 0.0, 1.0, 6.0)
    direct = OrdinaryKriging(20, transform=None, variogram=space).fit(network, "pm25")
    completed = SpaceTimeKriging(20, lags=(0,), transform=None, variogram=in_time)
    first = direct.predict(network, GRID).compute()
    second = completed.fit(network, "pm25").predict(network, GRID).compute()
    np.testing.assert_allclose(first.pm25, second.pm25, rtol=1e-5)
    # Errors of several completed values are taken as correlated: never below, at times above.
    ratio = (second.pm25_uncertainty / first.pm25_uncertainty).values
    assert np.nanmin(ratio) > 1 - 1e-5
    assert np.nanmedian(ratio) < 1.05


def test_space_time_kriging_solves_the_system_of_all_lags():
    """Against one dense ordinary kriging system, where nothing is missing."""
    rng = np.random.default_rng(2)
    longitude, latitude = rng.uniform(10, 11, 5), rng.uniform(50, 51, 5)
    observations = observations_of(rng.gamma(4, 5, (5, 9)), longitude, latitude)
    variogram = SpaceTimeVariogram("exponential", 40.0, 60.0, 3.0, 8.0, 2.0, 4.0)
    kriging = SpaceTimeKriging(5, transform=None, variogram=variogram).fit(observations, "pm25")
    estimates = (
        kriging.predict(observations, places([10.4], [50.5])).isel(time=4, station=0).compute()
    )

    station, hour = np.repeat(np.arange(5), 5), np.tile(np.arange(2, 7), 5)
    apart = great_circle_km(
        longitude[station, None], latitude[station, None], longitude[station], latitude[station]
    )
    lag = np.abs(hour[:, None] - hour)
    decay = (1 + lag / 3.0) * np.exp(-lag / 3.0)
    same = station[:, None] == station
    matrix = np.ones((26, 26))
    matrix[:25, :25] = (
        40 * np.exp(-apart / 60) * decay + same * 8 * np.exp(-lag / 2) + 4 * np.eye(25)
    )
    matrix[25, 25] = 0
    away, shift = great_circle_km(longitude[station], latitude[station], 10.4, 50.5), abs(hour - 4)
    right = np.append(40 * np.exp(-away / 60) * (1 + shift / 3) * np.exp(-shift / 3), 1.0)
    solution = np.linalg.solve(matrix, right)
    expected = solution[:25] @ observations.pm25.values[station, hour]
    assert float(estimates.pm25) == pytest.approx(expected, rel=1e-5)
    assert float(estimates.pm25_uncertainty) == pytest.approx(
        np.sqrt(52 - solution @ right), rel=1e-5
    )


def test_space_time_kriging_fills_a_gap_from_the_hours_around_it():
    """Where one station alone is silent for an hour, its own hours before and after tell more."""
    rng = np.random.default_rng(5)
    wave = 50 + 20 * np.sin(np.arange(40) / 6)
    values = wave + rng.normal(0, 8, (6, 1)) + rng.normal(0, 0.5, (6, 40))
    truth = values[0, 20]
    values[0, 20] = np.nan
    longitude, latitude = rng.uniform(10, 12, 6), rng.uniform(50, 52, 6)
    observations = observations_of(values, longitude, latitude)
    kriging = SpaceTimeKriging(5, transform=None).fit(observations, "pm25")
    series = CompletedSeries(
        StationNetwork(longitude, latitude),
        np.nan_to_num(values),
        np.isfinite(values),
        kriging.variogram_,
        kriging.lags,
        1.0,
        5,
    )
    completed, error = series(20, 21)
    assert completed[0, 0] == pytest.approx(truth, abs=2.0)
    assert 0 < error[0, 0] < 4.0
    assert (error[1:, 0] == 0).all()


def test_correlations_in_time_are_computed_once_for_each_lag(network, monkeypatch):
    sizes, in_time = [], SpaceTimeVariogram.in_time

    def counted(variogram, lag_hours):
        sizes.append(lag_hours.size)
        return in_time(variogram, lag_hours)

    monkeypatch.setattr(SpaceTimeVariogram, "in_time", counted)
    reported = network.pm25.notnull().values
    values = network.pm25.fillna(0.0).values
    parts = values, reported, NOISELESS_IN_TIME, (-2, 0, 1), 1.0, 6
    CompletedSeries(StationNetwork.from_dataset(network), *parts)(0, 62)
    assert max(sizes) == 4  # of 0 to 3 hours


def test_completed_series_survive_a_pickle(network):
    values = network.pm25.values
    series = CompletedSeries(
        StationNetwork.from_dataset(network),
        np.nan_to_num(values),
        np.isfinite(values),
        NOISELESS_IN_TIME,
        (-1, 0, 1),
        1.0,
        4,
    )
    copy = pickle.loads(pickle.dumps(series))
    for first, second in zip(series(-2, 64), copy(-2, 64), strict=True):
        np.testing.assert_array_equal(first, second)


def test_completed_series_forget_what_is_long_ago(network, monkeypatch):
    monkeypatch.setattr("aqreanalysis.methods.kriging.completed_series.CACHED_SPANS", 1)
    values = network.pm25.values
    parts = (np.nan_to_num(values), np.isfinite(values), NOISELESS_IN_TIME, (0,), 1.0, 4)
    series = CompletedSeries(StationNetwork.from_dataset(network), *parts)
    first = series(0, 62)
    assert series._spans.nbytes == 2 * 8 * values.shape[0] * 24  # values and errors of one span
    np.testing.assert_array_equal(series(0, 62)[0], first[0])


def test_stations_that_never_report_are_left_out(network, caplog):
    silent = network.where(network.station != "s05")
    with caplog.at_level(logging.INFO, logger="aqreanalysis.methods"):
        estimates = OrdinaryKriging().fit(silent, "pm25").predict(silent, GRID)
    assert "left out, without any value of pm25: stations s05" in caplog.text
    without = network.isel(station=np.arange(14) != 5)
    expected = OrdinaryKriging().fit(without, "pm25").predict(without, GRID)
    xr.testing.assert_identical(estimates.compute(), expected.compute())


@every_estimator
def test_one_station_is_refused_by_name(make, network):
    one = network.where(network.station == "s04")
    with pytest.raises(ValueError, match=r"at least 2 stations with values; found 1 \(s04\) of 14"):
        make().fit(one, "pm25")
    with pytest.raises(ValueError, match=r"found 1 \(s04\)"):
        make().fit(network, "pm25").predict(one, GRID)


@every_estimator
def test_unknown_variable_and_infinities_are_refused(make, network):
    with pytest.raises(ObservationError, match="no variable 'no2'; they have pm25"):
        make().fit(network, "no2")
    infinite = network.copy(deep=True)
    infinite.pm25[2, 3] = np.inf
    with pytest.raises(ObservationError, match=r"infinite at station s02, 2014-11-01T03:00 UTC"):
        make().fit(infinite, "pm25")
    with pytest.raises(ObservationError, match=r"infinite at station s02, 2014-11-01T03:00 UTC"):
        make().fit(network, "pm25").predict(infinite, GRID)


@every_estimator
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda network: network.isel(time=slice(None, None, -1)), "time must increase"),
        (lambda network: network.isel(time=[0, 1, 3]), "time must be regular"),
        (lambda network: network.isel(station=[0, 0, 1, 2]), "'s00' is there 2 times"),
        (lambda network: network.assign(pm25=network.pm25.assign_attrs(units="ppb")), "ug m-3"),
    ],
)
def test_no_estimator_takes_invalid_observations(make, spoil, message, network):
    wrong = spoil(network)
    with pytest.raises(ObservationError, match=message):
        make().fit(wrong, "pm25")
    with pytest.raises(ObservationError, match=message):
        make().fit(network, "pm25").predict(wrong, GRID)


@every_estimator
def test_predict_before_fit_is_refused(make, network):
    with pytest.raises(AttributeError, match=r"not fitted; call fit\(observations, variable\)"):
        make().predict(network, GRID)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InverseDistance(0, -1.0), "neighbours must be at least 1; found 0; power must be"),
        (lambda: OrdinaryKriging(0), "neighbours must be at least 1; found 0"),
        (lambda: OrdinaryKriging(transform="log"), "transform must be None or 'sqrt'; found 'log'"),
        (
            lambda: SpaceTimeKriging(0, (1, 2)),
            r"at least 1; found 0; lags .* hold 0; found \(1, 2\)",
        ),
        (lambda: SpaceTimeKriging(lags=(0, 0)), "lags must be distinct"),
        (lambda: SpaceTimeKriging(transform="log"), "transform must be None or 'sqrt'"),
    ],
)
def test_faults_of_the_configuration_are_said_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_square_root_needs_a_concentration(network):
    weather = network.rename(pm25="temperature") - 40.0
    with pytest.raises(ValueError, match="'temperature' is no known pollutant"):
        OrdinaryKriging().fit(weather, "temperature")
    cold = OrdinaryKriging(transform=None).fit(weather, "temperature").predict(weather, GRID)
    assert float(cold.temperature.min()) < 0


def test_names_tell_the_methods_apart():
    names = [estimator().name for estimator in (InverseDistance, OrdinaryKriging, SpaceTimeKriging)]
    assert names == ["idw", "kriging", "space_time_kriging"]


def test_daily_data_count_lags_in_days(network):
    """The time scale of the variogram is in hours, whatever the step of the series."""
    hourly, daily = (
        network,
        observations_of(network.pm25.values, network.longitude, network.latitude, step_hours=24),
    )
    first, second = SpaceTimeKriging(4).fit(hourly, "pm25"), SpaceTimeKriging(4).fit(daily, "pm25")
    assert second.variogram_.range_hours == pytest.approx(
        24 * first.variogram_.range_hours, rel=0.01
    )
    one, other = first.predict(hourly, GRID).pm25.values, second.predict(daily, GRID).pm25.values
    np.testing.assert_allclose(one, other, rtol=1e-3)
