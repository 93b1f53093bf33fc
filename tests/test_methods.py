"""What every method keeps, also one of somebody else: one suite over all of them."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_reanalysis import GRID, SMALL, fitted, observations, places

import aqreanalysis as aqr
from aqreanalysis.fields.memory import Cost
from aqreanalysis.methods import METHODS, NotFittedError, method_of, predict
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.pretrained import PretrainedReanalyser
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.observations import ObservationError
from aqreanalysis.predictive import RootNormal, freedom_of
from aqreanalysis.reanalysis import reanalyse
from aqreanalysis.verification import (
    VerificationError,
    combine,
    cross_validate,
    metrics,
    statistics,
)


class NearestStation:
    """A method of somebody else: the nearest station's value, with one spread for all."""

    name, references, takes_background = "nearest", "Thiessen 1911", False

    def fit(self, observations, variable):
        self.variable = variable
        self.settings = {"spread": float(np.sqrt(observations[variable]).std("station").mean())}
        return self

    def field(self, observations, at, hours):
        root = np.sqrt(observations[self.variable].transpose("station", "time").values)
        network, spread = StationNetwork.from_dataset(observations), self.settings["spread"]

        def nearest(longitude, latitude, hours):
            row = network.neighbours(longitude, latitude, k=1).index[:, 0]
            return RootNormal(
                root[row, hours], np.where(np.isnan(root[row, hours]), np.nan, spread)
            )

        return nearest

    def cost(self, observations, variable, at):
        return Cost()


MAKERS = {
    "neural": lambda: Reanalyser(SMALL, schedule=Schedule(covariance_updates=2, updates=0)),
    "neural with its network": lambda: Reanalyser(SMALL),
    "pretrained": PretrainedReanalyser,
    "kriging": OrdinaryKriging,
    "space_time_kriging": SpaceTimeKriging,
    "idw": InverseDistance,
    "a foreign one": NearestStation,
}
AT = places([116.05, 116.4], [39.9, 40.2])


@pytest.fixture(scope="module")
def obs():
    """Return observations that every hour has some of."""
    return observations()


@pytest.fixture(scope="module")
def methods(obs):
    """Return every method, fitted."""
    made = {name: make() for name, make in MAKERS.items() if "network" not in name}
    for method in made.values():
        if isinstance(method, Reanalyser):
            method.progress = False
        method.fit(obs, "pm25")
    return made | {"neural with its network": fitted(obs, heads=True)}


@pytest.fixture(params=list(MAKERS))
def method(request, methods):
    """Return one method, fitted."""
    return methods[request.param]


def test_every_name_has_a_maker_here():
    assert set(METHODS) < set(MAKERS)


def test_a_method_goes_wherever_a_name_goes(method, obs):
    assert method_of(method) == (method, True)
    product = reanalyse(obs, grid=GRID, method=method, quantiles=(0.5,))
    assert product.attrs["method"] == method.name
    assert np.isfinite(product.pm25.isel(time=5)).any()
    pairs = cross_validate(obs, methods=[method, "idw"] if method.name != "idw" else ["idw"],
                           folds=2, progress=False)  # fmt: skip
    assert pairs.attrs["failures"] == []
    assert np.isfinite(metrics(statistics(pairs)).crps.sel(estimator=method.name))


def test_a_pickled_method_gives_the_same(method, obs):
    again = pickle.loads(pickle.dumps(method))
    xr.testing.assert_allclose(predict(again, obs, AT), predict(method, obs, AT), rtol=1e-6)


def test_its_repr_is_one_line_that_names_it(method):
    assert type(method).__name__ in repr(method)
    assert "\n" not in repr(method)


@pytest.mark.parametrize("name", list(MAKERS))
def test_nothing_is_known_before_fitting(name, obs):
    method = MAKERS[name]()
    with pytest.raises(NotFittedError, match=r"this \w+ is not fitted; call fit\(observations"):
        predict(method, obs, AT)
    with pytest.raises(ValueError, match="is not fitted"):
        reanalyse(obs, grid=GRID, method=method)


def test_another_pollutant_than_that_learned_is_refused_by_name(method, obs):
    both = obs.assign(no2=obs.pm25)
    with pytest.raises(ValueError, match="the fitted model knows 'pm25'; asked for 'no2'"):
        reanalyse(both, "no2", grid=GRID, method=method)
    with pytest.raises(ObservationError, match="no variable 'pm25'; they have no2") as refused:
        predict(method, obs.rename(pm25="no2"), AT)
    assert method.name in str(refused.value)


def test_a_background_is_taken_or_refused_by_name(method, obs):
    elevation = xr.DataArray(
        np.arange(16.0).reshape(4, 4),
        dims=("lat", "lon"),
        coords={"lat": np.linspace(39, 41, 4), "lon": np.linspace(115, 117, 4)},
        name="elevation",
    )
    words = "learned without a background" if method.takes_background else f"{method.name!r}"
    with pytest.raises(ValueError, match=words):
        reanalyse(obs, grid=GRID, method=method, background=elevation).compute()


def test_memory_is_a_budget_that_is_kept_or_refused(method, obs):
    assert isinstance(method.cost(obs, "pm25", GRID), Cost)
    reanalyse(obs, grid=GRID, method=method, memory="1GB")
    with pytest.raises(ValueError, match=r"does not hold this request; .* Give memory='\d+MB'"):
        reanalyse(obs, grid=GRID, method=method, memory="1kB")


@pytest.mark.parametrize("chunks", [{"time": 7}, {"time": 13, "lat": 1}, {"lat": 3, "lon": 2}])
def test_any_chunking_gives_the_same(method, obs, chunks):
    whole = predict(method, obs, GRID, quantiles=(0.9,)).compute()
    split = predict(method, obs, GRID, quantiles=(0.9,), chunks=chunks).compute()
    xr.testing.assert_allclose(split, whole, rtol=1e-5)
    np.testing.assert_array_equal(split.pm25_flag, whole.pm25_flag)


def test_the_estimate_is_the_median_and_the_mean_one_keyword_away(method, obs):
    median = reanalyse(obs, grid=GRID, method=method, quantiles=(0.5,)).compute()
    mean = reanalyse(obs, grid=GRID, method=method, quantiles=(0.5,), statistic="mean").compute()
    np.testing.assert_allclose(median.pm25, median.pm25_q50, rtol=1e-6)
    np.testing.assert_allclose(mean.pm25_q50, median.pm25_q50, rtol=1e-6)
    np.testing.assert_array_equal(mean.pm25_uncertainty, median.pm25_uncertainty)
    assert not (mean.pm25 < median.pm25 * (1 - 1e-6)).any()
    assert (mean.pm25 > median.pm25).any()
    assert "pm25_q50" in reanalyse(obs, grid=GRID, method=method, statistic="mean")
    for product, statistic in ((median, "median"), (mean, "mean")):
        assert product.pm25.attrs["statistic"] == statistic
        assert f": {statistic} of pm25 by {method.name}" in product.attrs["history"]
    with pytest.raises(ValueError, match="'median' or 'mean'; found 'mode'"):
        reanalyse(obs, grid=GRID, method=method, statistic="mode")


def test_a_product_of_means_is_verified_by_its_own_distribution(obs):
    known, hidden = obs.isel(station=slice(2, None)), obs.isel(station=slice(0, 2))
    sums = {
        statistic: aqr.verify_product(
            reanalyse(known, at=hidden, method="idw", statistic=statistic).compute(), hidden
        )
        for statistic in ("median", "mean")
    }
    median, mean = (metrics(summed).squeeze() for summed in sums.values())
    assert float(mean.bias) > float(median.bias)
    assert float(mean.crps) == pytest.approx(float(median.crps), rel=1e-5)
    with pytest.raises(VerificationError, match=r"they differ in .*statistic"):
        combine(*sums.values())


def test_a_product_says_how_it_was_made(method, obs):
    product = reanalyse(obs, grid=GRID, method=method)
    settings = json.loads(product.attrs["method_settings"])
    assert settings
    assert settings == json.loads(json.dumps(dict(method.settings)))
    assert product.attrs["references"] == method.references
    assert product.attrs["method_settings"] in product.attrs["history"]


def test_what_was_fitted_is_in_the_settings(methods):
    variogram = methods["kriging"].settings["variogram"]
    assert (
        OrdinaryKriging(variogram=Variogram(**variogram)).fit(observations(), "pm25").variogram_
        == methods["kriging"].variogram_
    )
    assert methods["space_time_kriging"].settings["lags"] == (-2, -1, 0, 1, 2)
    assert methods["idw"].settings["power"] == 2.0


def test_aq_net_is_cited_only_where_its_network_is_used(methods, obs):
    for name, cited in (("neural", False), ("neural with its network", True)):
        product = reanalyse(obs, grid=GRID, method=methods[name])
        assert ("2502.11941" in product.attrs["references"]) is cited
        settings = json.loads(product.attrs["method_settings"])
        assert settings["network_used"] is cited
        assert ("network is not used" in repr(methods[name])) is not cited


def test_what_is_no_method_is_refused_with_what_it_lacks(obs):
    class Bare:
        name = "bare"

        def fit(self, observations, variable):
            return self

    with pytest.raises(ValueError, match="found Bare, which lacks takes_background, references"):
        reanalyse(obs, grid=GRID, method=Bare())
    with pytest.raises(ValueError, match="found the class OrdinaryKriging"):
        reanalyse(obs, grid=GRID, method=OrdinaryKriging)


# --- fields drawn from each method's own model: what is said of hidden stations is true


def drawn(covariance, own, *, stations=40, hours=400, seed=0, level=6.0, squared=True):
    """Return observations of a normal root with these covariances, and the rows that are hidden.

    ``covariance`` is that of two stations at a distance, for all hours; ``own`` that of a station
    with itself beyond it, (hours, hours) or its variance; both may depend on the lag in hours.
    """
    rng = np.random.default_rng(seed)
    lon, lat = 116 + rng.uniform(-1.5, 1.5, stations), 40 + rng.uniform(-1.2, 1.2, stations)
    distance = great_circle_km(lon[:, None], lat[:, None], lon, lat)
    lag = np.abs(np.subtract.outer(np.arange(hours), np.arange(hours)))
    space, time = covariance(distance, lag)
    shared = root_of(space) @ rng.standard_normal((stations, hours)) @ root_of(time).T
    root = level + shared + rng.standard_normal((stations, hours)) @ root_of(own(lag)).T
    values = np.maximum(root, 0) ** 2 if squared else root
    dataset = xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number:02d}" for number in range(stations)],
            "longitude": ("station", lon),
            "latitude": ("station", lat),
            "time": (
                "time",
                pd.date_range("2020-01-01", periods=hours, freq="h"),
                {"time_label": "start", "step_hours": 1.0},
            ),
        },
    )
    return dataset, np.arange(stations) % 4 == 0


def root_of(matrix):
    """Return a square root of a covariance matrix."""
    return np.linalg.cholesky(matrix + 1e-9 * np.eye(len(matrix)))


SPACE = Variogram("exponential", 1.5, 120.0, 0.3)
SPACE_TIME = SpaceTimeVariogram("exponential", 1.5, 120.0, 6.0, 0.2, 3.0, 0.2)


def hourly(distance, lag):
    """Return covariances of `SPACE`, each hour on its own."""
    return SPACE.covariance(distance), np.eye(len(lag))


def lasting(distance, lag):
    """Return covariances of `SPACE_TIME`."""
    zero = np.zeros(())
    whole = SPACE_TIME.covariance(distance, zero)
    return whole, SPACE_TIME.covariance(zero, lag) / SPACE_TIME.partial_sill


def noise(lag):
    """Return the covariance of the noise of `SPACE`."""
    return 0.3 * np.eye(len(lag))


OWN_MODELS = {
    "kriging": (
        lambda: OrdinaryKriging(variogram=SPACE),
        hourly,
        noise,
    ),
    "space_time_kriging": (lambda: SpaceTimeKriging(variogram=SPACE_TIME), lasting, SPACE_TIME.own),
    "idw": (InverseDistance, hourly, noise),
    "neural": (
        lambda: Reanalyser(schedule=Schedule(covariance_updates=60, updates=0), progress=False),
        lasting,
        SPACE_TIME.own,
    ),
}


@pytest.mark.parametrize("name", list(OWN_MODELS))
def test_truths_fall_where_the_distribution_says(name):
    make, covariance, own = OWN_MODELS[name]
    dataset, hidden = drawn(covariance, own)
    known = dataset.isel(station=~hidden)
    at = dataset.isel(station=hidden)[["longitude", "latitude"]]
    probabilities = (0.05, 0.25, 0.5, 0.75, 0.95)
    product = make().fit(known, "pm25").predict(known, at, quantiles=probabilities).compute()
    truth = dataset.pm25.isel(station=hidden).values
    below = {
        p: float((truth < product[aqr.conventions.quantile_name("pm25", p)].values).mean())
        for p in probabilities
    }
    # Ten stations with several hundred hours each: a share is known to about 2 %.
    for probability, share in below.items():
        assert share == pytest.approx(probability, abs=0.03), below
    median, error = product.pm25.values, product.pm25_uncertainty.values
    freedom = freedom_of(product.pm25_uncertainty.attrs)
    pit = RootNormal.from_median(median, error, freedom=freedom).below(truth)
    counts = np.histogram(pit, bins=5, range=(0, 1))[0] / pit.size
    np.testing.assert_allclose(counts, 0.2, atol=0.04)


@pytest.mark.parametrize("name", ["kriging", "space_time_kriging", "neural"])
def test_heavy_tails_are_found_stated_and_verified(name):
    """Roots with the tails of Student's t distribution: what normal ones say would not hold."""
    _, covariance, own = OWN_MODELS[name]
    dataset, hidden = drawn(covariance, own)
    rng = np.random.default_rng(5)
    # Each hour's departures widened by a factor of its own: those of 5 degrees of freedom.
    widened = np.sqrt(3 / (rng.standard_normal((5, dataset.sizes["time"])) ** 2).sum(0))
    dataset["pm25"] = (6 + (np.sqrt(dataset.pm25) - 6) * widened).clip(0) ** 2
    dataset["pm25"].attrs["units"] = "ug m-3"
    known, at = dataset.isel(station=~hidden), dataset.isel(station=hidden)
    places, shares = at[["longitude", "latitude"]], (0.005, 0.25, 0.75, 0.995)
    made = {**OWN_MODELS, "kriging": (OrdinaryKriging,), "space_time_kriging": (SpaceTimeKriging,)}
    method = made[name][0]().fit(known, "pm25")
    product = reanalyse(
        known, at=places, method=method, quantiles=shares, quality="ignore"
    ).compute()
    freedom = product.pm25_uncertainty.attrs["degrees_of_freedom"]
    assert 5 <= freedom < 20
    layers = [product[aqr.conventions.quantile_name("pm25", p)].values for p in shares]
    truth = at.pm25.values
    assert np.mean((truth > layers[1]) & (truth < layers[2])) == pytest.approx(0.5, abs=0.05)
    assert np.mean((truth > layers[0]) & (truth < layers[3])) == pytest.approx(0.99, abs=0.008)
    # A product is verified by the tails that it states.
    median, error = product.pm25.values, product.pm25_uncertainty.values
    crps = RootNormal.from_median(median, error, freedom=freedom).crps(truth).mean()
    verified = metrics(aqr.verify_product(product, at)).squeeze()
    assert float(verified.crps) == pytest.approx(crps, rel=1e-4)


def test_the_mean_of_kriging_is_that_of_the_air():
    dataset, hidden = drawn(*OWN_MODELS["kriging"][1:], stations=60)
    known, at = dataset.isel(station=~hidden), dataset.isel(station=hidden)
    method = OrdinaryKriging(variogram=SPACE).fit(known, "pm25")
    places_only = at[["longitude", "latitude"]]
    mean = method.predict(known, places_only, statistic="mean").pm25.values
    # The noise of a monitor adds its variance to the mean of what it measures.
    assert (at.pm25.values - 0.3).mean() == pytest.approx(mean.mean(), rel=0.02)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda shape: (np.ones(shape), np.ones(shape)), "returns RootNormal.*; found tuple"),
        (lambda shape: RootNormal(np.ones(shape), 1.0), "the spread of a field is a NumPy array"),
        (lambda shape: RootNormal(np.ones(shape, int), np.ones(shape)), "real numbers; found int"),
        (lambda shape: RootNormal(np.ones(shape), np.ones(3)), r"found a spread of \(3,\)"),
        (lambda shape: RootNormal(np.ones(shape), -np.ones(shape)), "a root of 1 with .* -1"),
        (lambda shape: RootNormal(np.full(shape, np.inf), np.ones(shape)), "a root of inf"),
        (
            lambda shape: RootNormal(np.ones(shape), np.ones(shape), freedom=5.0),
            "with 5 degrees of freedom, and its method states inf: name them in settings",
        ),
        (lambda shape: RootNormal(np.ones(shape), np.full(shape, np.nan)), "a spread of nan"),
    ],
)
def test_what_is_no_distribution_is_refused_with_what_was_found(obs, given, words):
    class Wrong(NearestStation):
        def field(self, observations, at, hours):
            return lambda lon, lat, hours: given((lon.size, hours.stop - hours.start))

    product = reanalyse(obs, grid=GRID, method=Wrong().fit(obs, "pm25"))
    with pytest.raises(ValueError, match=words):
        product.compute()


@pytest.mark.parametrize("name", ["neural", "pretrained", "kriging", "space_time_kriging", "idw"])
def test_settings_of_a_method_that_is_not_fitted_say_so(name):
    with pytest.raises(NotFittedError, match="is not fitted"):
        dict(MAKERS[name]().settings)


def test_a_product_tells_from_which_model_it_is(methods, obs):
    other = fitted(obs, seed=3)
    products = [
        reanalyse(obs, grid=GRID, method=method, statistic=statistic)
        for method, statistic in (
            (methods["neural"], "median"),
            (methods["neural"], "mean"),
            (other, "median"),
        )
    ]
    assert len({product.attrs["id"] for product in products}) == 3


def test_what_was_decided_in_reading_is_in_the_history_of_a_product(obs):
    read = obs.assign_attrs(history="stamps were taken for the start of their hour")
    product = reanalyse(read, grid=GRID, method="idw")
    decided, made = product.attrs["history"].split("\n")
    assert decided == read.attrs["history"]
    assert ": median of pm25 by idw" in made
