"""Draws of whole fields: of the product's spread, coherent, and alike for any blocks."""

import dask
import numpy as np
import pytest
import xarray as xr
from product_cases import checked
from test_reanalysis import fitted, observations

import aqreanalysis as aqr
from aqreanalysis.derived import aggregate, air_quality_index
from aqreanalysis.fields.draws import WINDOW, ErrorSeries
from aqreanalysis.geography.likeness import Coordinates, Unlikeness
from aqreanalysis.grid import Grid
from aqreanalysis.methods.kriging.error_patterns import KrigingPatterns
from aqreanalysis.methods.kriging.variogram import MODELS, Variogram
from aqreanalysis.methods.kriging.waves import Waves
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.predictive import ErrorCorrelation, RootNormal
from aqreanalysis.product import open_product, write_netcdf, write_zarr
from aqreanalysis.reanalysis import reanalyse

GRID = Grid((115.5, 118.5, 38.0, 40.5), 0.25)
MEMORY = ErrorCorrelation((0.0, 2.0, 12.0, 200.0, 1e6), (0.1, 0.4, 0.2, 0.15, 0.15))


@pytest.fixture(scope="module")
def obs():
    """Return four days of a network with gaps."""
    return aqr.synthetic_network(hours=96, seed=0).observations


@pytest.fixture(scope="module")
def kriging(obs):
    """Return kriging that is fitted to it."""
    return aqr.OrdinaryKriging().fit(obs, "pm25")


@pytest.fixture(scope="module")
def product(obs, kriging):
    """Return 40 draws on a grid."""
    return reanalyse(obs, method=kriging, grid=GRID, draws=40).compute()


def scores(product):
    """Return draws as departures in units of the spread, (draw, time, lat, lon)."""
    freedom = product.pm25_uncertainty.attrs["degrees_of_freedom"]
    law = RootNormal.from_median(
        product.pm25.values, product.pm25_uncertainty.values, freedom=freedom
    )
    departures = (np.sqrt(product.pm25_draws.values) - law.root) / law.spread
    return np.where(law.root > 4 * law.spread, departures, np.nan)  # no root below 0


def test_draws_have_the_mean_and_the_spread_of_the_product(obs, kriging):
    at = obs.isel(station=slice(0, 40, 10)).assign_coords(
        longitude=lambda each: each.longitude + 0.1
    )
    made = reanalyse(
        obs, method=kriging, at=at, draws=200, time=slice("2020-11-02T03", "2020-11-02T06")
    )
    made = made.compute()
    draws = made.pm25_draws.transpose("draw", *made.pm25.dims).values
    freedom = made.pm25_uncertainty.attrs["degrees_of_freedom"]
    law = RootNormal.from_median(made.pm25.values, made.pm25_uncertainty.values, freedom=freedom)
    certain = law.standard_error / np.sqrt(len(draws))
    assert (abs(draws.mean(axis=0) - law.mean) < 5 * certain).all()
    drawn = np.quantile(draws, 0.95, axis=0) - np.quantile(draws, 0.05, axis=0)
    expected = law.quantile(0.95) - law.quantile(0.05)  # a spread that a few extremes do not decide
    np.testing.assert_allclose(drawn, expected, rtol=0.4)
    assert drawn.mean() == pytest.approx(expected.mean(), rel=0.12)
    for probability in (0.05, 0.5, 0.95):
        below = (draws <= law.quantile(probability)).mean(axis=0)
        np.testing.assert_allclose(below, probability, atol=0.1)


#: Around the Alps, where valleys and ridges are far from each other for what they are.
UNLIKE = Unlikeness(Coordinates(np.empty(0, complex), np.empty(0)), (80.0, 40.0, 10.0, 60.0, 40.0))
#: Of another pollutant, whose waves are shared.
OTHER = Variogram("exponential", 1.0, 250.0, 0.2)


@pytest.mark.parametrize(
    ("model", "unlike", "chosen_by"),
    [
        *((model, Unlikeness(), None) for model in MODELS),
        ("exponential", UNLIKE, None),
        ("exponential", UNLIKE, OTHER),
        ("matern32", UNLIKE, OTHER),
    ],
)
def test_waves_have_the_variogram(model, unlike, chosen_by):
    variogram = Variogram(model, 4.0, 150.0, 0.5)
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(5, 15, 300), rng.uniform(45, 55, 300)
    stations = StationNetwork(longitude[:60], latitude[:60])
    shared = chosen_by and Waves(chosen_by, stations.spacing_km, len(unlike.length_km))
    patterns = KrigingPatterns(stations, variogram, unlike=unlike, shared=shared)
    waves = patterns.of_field(longitude, latitude)
    apart = unlike.stretched_km(StationNetwork(longitude, latitude))
    semivariance = ((waves[:, None] - waves) ** 2).sum(axis=-1) / 2 + variogram.nugget
    for low, high in ((2, 20), (20, 50), (50, 100), (100, 200), (200, 400)):
        pairs = (apart > low) & (apart < high)
        if pairs.sum() > 20:
            expected = variogram(apart[pairs]).mean()
            assert semivariance[pairs].mean() == pytest.approx(expected, rel=0.1)


def test_a_spherical_variogram_is_not_one_of_more_dimensions():
    with pytest.raises(ValueError, match="take 'exponential' or 'matern32'"):
        Waves(Variogram("spherical", 4.0, 150.0, 0.5), 20.0, dimensions=1)


def test_draws_are_coherent_in_space_as_errors_of_kriging_are(product, obs):
    patterns = KrigingPatterns.learned(obs, "pm25", "measurements")
    network, variogram = patterns.network, patterns.variogram
    longitude, latitude = (each.ravel() for each in GRID.longitude_latitude())
    apart = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    # Ordinary kriging from all stations, and the covariance of its errors, in full.
    n, k = (
        network.size,
        variogram.covariance(
            great_circle_km(
                longitude[:, None], latitude[:, None], network.longitude, network.latitude
            )
        ),
    )
    system = np.ones((n + 1, n + 1))
    system[n, n] = 0
    system[:n, :n] = variogram.covariance(network.distance_matrix_km())
    system[:n, :n] += variogram.noise * np.eye(n)
    weight = np.linalg.solve(system, np.column_stack([k, np.ones(len(k))]).T)[:n].T
    covariance = (
        variogram.covariance(apart)
        - weight @ k.T
        - k @ weight.T
        + weight @ system[:n, :n] @ weight.T
        + variogram.noise * np.eye(len(k))
    )
    spread = np.sqrt(np.diag(covariance))
    drawn = scores(product).reshape(-1, len(k))
    present = np.isfinite(drawn)
    together = present.T.astype(float) @ present
    drawn = np.where(present, drawn, 0.0)
    square = (drawn**2).T @ present
    difference = (square + square.T - 2 * drawn.T @ drawn) / np.maximum(together, 1) / 2
    expected = 1 - covariance / np.outer(spread, spread)
    for low, high in ((1, 30), (30, 60), (60, 120), (120, 300)):
        pairs = (apart > low) & (apart < high) & (together > 500)
        assert pairs.sum() > 50
        assert difference[pairs].mean() == pytest.approx(expected[pairs].mean(), rel=0.1)


def test_draws_are_coherent_in_time_as_errors_of_the_product_are(obs, kriging):
    made = reanalyse(obs, method=kriging, at=obs, draws=150).compute()
    stated = ErrorCorrelation.from_attributes(made.pm25_draws.attrs)
    made = made.transpose("draw", "time", ...)
    drawn = scores(made)
    for lag in (1, 3, 6, 12, 24):
        product = np.nanmean(drawn[:, lag:] * drawn[:, :-lag]) / np.nanmean(drawn**2)
        assert product == pytest.approx(float(stated(np.array(lag))), abs=0.04, rel=0.1)


def test_series_have_their_correlation_over_windows():
    series = ErrorSeries(MEMORY, step_hours=1.0, count=3000, seed=3)
    drawn = series(0, slice(WINDOW - 40, 2 * WINDOW + 40)).astype(np.float64)
    np.testing.assert_allclose((drawn**2).mean(axis=1), 1.0, atol=0.12)
    for lag in (1, 2, 6, 24, 100):
        product = (drawn[lag:] * drawn[:-lag]).mean(axis=1)
        assert product.mean() == pytest.approx(float(MEMORY(np.array(lag))), abs=0.03)
        assert product.std() < 0.04  # also from one window to the next


def test_series_are_the_same_from_wherever_they_begin():
    series = ErrorSeries(MEMORY, step_hours=1.0, count=5, seed=3)
    whole = series(4, slice(0, 3 * WINDOW))
    np.testing.assert_array_equal(series(4, slice(150, 300)), whole[150:300])
    assert not np.allclose(series(5, slice(0, 50)), whole[:50])
    other = ErrorSeries(MEMORY, step_hours=1.0, count=5, seed=4)
    assert not np.allclose(other(4, slice(0, 50)), whole[:50])


def test_a_draw_is_the_same_in_any_blocks_of_any_number_and_order(obs, kriging, product):
    turned = obs.isel(station=slice(None, None, -1))
    part = reanalyse(
        turned,
        method=kriging,
        grid=GRID,
        draws=3,
        chunks={"time": 37, "lat": 3, "lon": 5},
        time=slice("2020-11-02", "2020-11-03"),
    )
    expected = product.pm25_draws.isel(draw=slice(3)).sel(time=part.time)
    np.testing.assert_allclose(part.pm25_draws, expected, rtol=1e-5, atol=2e-3)
    patterns = KrigingPatterns.learned(obs, "pm25", "measurements")
    at, west = obs.longitude.values[:5] + 0.1, obs.longitude.values[:5] + 0.1 - 360
    vectors, _ = patterns(at, obs.latitude.values[:5])
    np.testing.assert_allclose(patterns(west, obs.latitude.values[:5])[0], vectors, atol=1e-6)


def test_draws_of_the_air_are_those_of_measurements_without_noise(obs, kriging, product):
    air = reanalyse(obs, method=kriging, grid=GRID, draws=40, draws_of="air").compute()
    assert (air.pm25_draws.attrs["draws_of"], product.pm25_draws.attrs["draws_of"]) == (
        "air",
        "measurements",
    )
    spread, wider = (one.pm25_draws.std("draw", skipna=False).mean() for one in (air, product))
    assert bool(spread < wider)
    at = [
        one.pm25_draws.stack(place=("time", "lat", "lon")).dropna("place") for one in (air, product)
    ]
    both = xr.corr(*at, "draw").mean()
    assert 0.6 < float(both) < 0.999


def test_draws_of_the_air_agree_with_a_station_as_the_covariance_says(obs):
    near = Variogram("exponential", 4.0, 120.0, 0.04)
    method = aqr.OrdinaryKriging(variogram=near).fit(obs, "pm25")
    patterns = KrigingPatterns(StationNetwork.from_dataset(obs), near, of="air")
    network = patterns.network
    vectors, share = patterns(network.longitude, network.latitude)
    errors = patterns.of_air(network.longitude, network.latitude)
    # At a station, the air is known to within the noise of its monitor, less what others say.
    assert (np.sqrt((errors**2).sum(axis=1)) < 1.05 * np.sqrt(near.nugget)).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    assert (share < 0.75).all()
    reporting = obs.pm25.notnull()
    made = reanalyse(obs, method=method, at=obs, draws=60, draws_of="air").compute()
    departure = np.sqrt(made.pm25_draws) - np.sqrt(obs.pm25)
    by_station = np.sqrt((departure.where(reporting) ** 2).mean(("draw", "time")))
    everywhere = np.sqrt(obs.pm25).to_pandas().std().mean()
    assert float(by_station.median()) < 0.25 * float(everywhere)


@pytest.mark.parametrize("method", ["neural", "idw"])
def test_other_methods_have_draws(method):
    method = fitted(heads=True) if method == "neural" else method
    few = observations()
    at = few.isel(station=[3, 4]).assign_coords(longitude=lambda each: each.longitude + 0.1)
    made = reanalyse(few, method=method, at=at, draws=30).compute()
    spread = made.pm25_draws.std("draw") / made.pm25_uncertainty
    assert made.pm25_draws.dims == ("draw", "station", "time")
    assert float(spread.median()) == pytest.approx(1.0, abs=0.3)


def test_nothing_is_computed_before_it_is_asked_for(obs, kriging):
    made = reanalyse(obs, method=kriging, grid=Grid((110, 125, 30, 45), 0.02), draws=50)
    assert made.pm25_draws.shape[0] == 50
    assert dask.is_dask_collection(made.pm25_draws)
    assert np.prod([max(sizes) for sizes in made.pm25_draws.data.chunks]) * 4 < 2**28


def test_draws_are_written_and_read(product, tmp_path):
    path = write_netcdf(product.chunk(time=30), tmp_path / "draws.nc", progress=False)
    with open_product(path) as opened:
        assert opened.pm25_draws.dims == ("draw", "time", "lat", "lon")
        assert opened.draw.attrs["standard_name"] == "realization"
        assert opened.pm25_draws.attrs["draws_of"] == "measurements"
        np.testing.assert_allclose(opened.pm25_draws, product.pm25_draws, rtol=6e-3)
    write_zarr(product.chunk(time=30), tmp_path / "draws.zarr")
    stored = xr.open_zarr(tmp_path / "draws.zarr")
    np.testing.assert_allclose(stored.pm25_draws, product.pm25_draws, rtol=6e-3)


def test_the_checker_of_cf_has_nothing_to_say(product, tmp_path):
    made = {
        "draws": product,
        "counts": aggregate(product, statistic="hours_above", limit=75.0),
        "highest": aggregate(product, statistic="mda8"),
        "percentile": aggregate(product, statistic="p98"),
        "index": air_quality_index(product),
    }
    for name, each in made.items():
        path = write_netcdf(each, tmp_path / f"{name}.nc", progress=False)
        assert checked(path, "cf:1.11") == []


def test_an_hour_without_estimate_has_no_draw(obs, kriging):
    silent = obs.assign(pm25=obs.pm25.where(obs.time != obs.time[50]))
    made = reanalyse(silent, method=kriging, at=obs, draws=2).compute()
    missing = made.pm25.isnull()
    assert bool(missing.isel(time=50).all())
    assert bool((made.pm25_draws.isnull() == missing).all())


@pytest.mark.parametrize("draws", [0, -3, 2.0, True, "many", [5]])
def test_what_is_no_number_of_draws_is_refused(obs, draws):
    with pytest.raises(ValueError, match="draws is a whole number from 1 on"):
        reanalyse(obs, draws=draws)


def test_draws_of_something_else_are_refused(obs):
    with pytest.raises(ValueError, match="draws_of must be one of measurements, air; found 'sea'"):
        reanalyse(obs, draws=3, draws_of="sea")
    with pytest.raises(ValueError, match="seed of draws is a whole number from 0 on; found -1"):
        reanalyse(obs, draws=3, seed=-1)


def test_draws_need_places_from_which_to_learn(obs):
    few = obs.isel(station=slice(0, 18, 3))
    with pytest.raises(ValueError, match="ten places or more with pm25"):
        reanalyse(few, method="kriging", draws=3)


def test_the_command_writes_draws_and_what_is_made_of_them(obs, run, tmp_path):
    source, output = tmp_path / "obs.nc", tmp_path / "out.nc"
    obs.isel(station=slice(20)).to_netcdf(source)
    common = [source, "-o", output, "--method", "idw", "--grid", "0.5"]
    status, _, error = run("reanalyse", *common, "--draws", "5", "--draws-of", "air", "--seed", "3")
    assert status == 0, error
    with open_product(output) as made:
        assert made.sizes["draw"] == 5
        assert made.pm25_draws.attrs["draws_of"] == "air"
        assert made.pm25_draws.attrs["draws_seed"] == 3
        assert '"draws": 5' in made.attrs["method_settings"]
    daily = tmp_path / "daily.nc"
    status, _, error = run("aggregate", output, "-o", daily, "--statistic", "max")
    assert status == 0, error
    with open_product(daily) as made:
        assert "pm25_q95" in made
    status, _, error = run("reanalyse", *common, "--draws", "0")
    assert status != 0
    assert "draws is a whole number from 1 on" in error
    assert run("reanalyse", *common, "--draws", "2.5")[0] != 0


def test_many_draws_do_not_fit_into_little_memory(obs, kriging):
    with pytest.raises(ValueError, match="does not hold this request"):
        reanalyse(obs, method=kriging, grid=GRID, draws=100_000, memory="1GB")
