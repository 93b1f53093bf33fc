"""The outlook as users call it: starts, horizons, places, products, saved models, bad input."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from product_cases import checked
from typer.testing import CliRunner

import aqreanalysis as aqr
from aqreanalysis.cli import app
from aqreanalysis.methods import NotFittedError
from aqreanalysis.methods.saved_model import SavedModelError
from aqreanalysis.outlook import OUTLOOK_METHODS, Outlook, starts_between
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.outlook.periods import horizon_steps
from aqreanalysis.outlook.training import OutlookSchedule
from aqreanalysis.predictive import RootNormal

SIZES = OutlookConfiguration(history=48, leads=24, width=16)
QUICK = OutlookSchedule(updates=4, check_every=2, batch=16)


@pytest.fixture(scope="module")
def network():
    return aqr.synthetic_network(hours=240, seed=1)


@pytest.fixture(scope="module")
def observations(network):
    obs = network.observations
    # Some stations of the synthetic network fall silent for days, which is another test's subject.
    silent = obs.pm25.isnull().rolling(time=SIZES.history).sum().max("time") == SIZES.history
    return obs.isel(station=np.flatnonzero(~silent)[:12])


def fitted(observations, method="aqnet", between=None):
    options = {"configuration": SIZES, "schedule": QUICK, "between": between}
    return Outlook(method, progress=False, **options).fit(observations, "pm25")


@pytest.fixture(scope="module")
def aqnet(observations):
    return fitted(observations)


@pytest.fixture(scope="module")
def persistence(observations, aqnet):
    return fitted(observations, "persistence", aqnet.between)


def test_an_outlook_begins_where_the_observations_end(aqnet, observations):
    ahead = aqnet.predict(observations, quantiles=(0.05, 0.95))
    end = observations.time.values[-1] + np.timedelta64(1, "h")
    assert ahead.forecast_reference_time.values == end
    assert ahead.time.values[0] == end
    np.testing.assert_array_equal(ahead.lead_time, np.arange(24))
    assert ahead.lead_time.attrs["standard_name"] == "forecast_period"
    assert ahead.forecast_reference_time.attrs["standard_name"] == "forecast_reference_time"
    assert bool((ahead.pm25_q05 <= ahead.pm25).all() and (ahead.pm25 <= ahead.pm25_q95).all())
    assert bool((ahead.pm25_uncertainty > 0).all())


def test_a_hindcast_is_the_outlook_of_that_day(aqnet, observations):
    column = 150
    then = observations.isel(time=slice(0, column))
    hindcast = aqnet.predict(observations, start=observations.time.values[column])
    outlook = aqnet.predict(then)
    np.testing.assert_array_equal(hindcast.pm25, outlook.pm25)
    assert hindcast.attrs["input_sha256"] == outlook.attrs["input_sha256"]


def test_a_set_holds_the_same_numbers_as_its_outlooks(aqnet, observations):
    starts = observations.time.values[[100, 112, 124]]
    several = aqnet.predict(observations, start=starts)
    assert several.pm25.dims == ("station", "lead_time", "forecast_reference_time")
    alone = aqnet.predict(observations, start=starts[1])
    one = several.sel(forecast_reference_time=starts[1])
    np.testing.assert_array_equal(one.time, alone.time)
    # A batch of another size may round otherwise.
    np.testing.assert_allclose(one.pm25, alone.pm25, rtol=1e-4)


def test_persistence_is_the_last_value(persistence, observations):
    ahead = persistence.predict(observations, horizon=6)
    last = observations.pm25.transpose("time", ...).to_pandas().ffill().iloc[-1]
    np.testing.assert_allclose(ahead.pm25, np.tile(last, (6, 1)).T, rtol=1e-4)


def test_a_label_at_the_end_of_its_hour_leads_by_an_hour(persistence, observations):
    ending = observations.assign_coords(
        time=observations.time.assign_attrs(time_label="end", step_hours=1.0)
    )
    ahead = persistence.predict(ending, horizon=2)
    assert ahead.forecast_reference_time.values == ending.time.values[-1]
    np.testing.assert_array_equal(ahead.lead_time, [1, 2])


def test_attention_by_day_sums_to_one(aqnet, observations):
    attention = aqnet.predict(observations, attention=True).attention
    assert attention.dims == ("station", "predicted_day", "past_day")
    assert dict(attention.sizes) == {"station": 12, "predicted_day": 1, "past_day": 2}
    np.testing.assert_allclose(attention.sum("past_day"), 1, rtol=1e-6)


def test_hidden_stations_are_estimated_and_their_values_never_used(aqnet, network, observations):
    hidden = network.hidden
    ahead = aqnet.predict(observations, hidden, horizon=12)
    emptied = hidden.assign(pm25=hidden.pm25 * np.nan)
    xr.testing.assert_equal(
        ahead.pm25.compute(), aqnet.predict(observations, emptied, horizon=12).pm25.compute()
    )
    assert list(ahead.station.values) == list(hidden.station.values)
    own = aqnet.predict(observations, horizon=12).pm25
    assert float(ahead.pm25.max()) < 1.5 * float(own.max())


def test_a_hidden_place_is_less_certain_than_the_stations_around_it(aqnet, network, observations):
    # Root spread: error ** 2 is 4 m^2 s^2 + 2 s^4, and the medians are alike.
    ahead = aqnet.predict(observations, network.hidden, horizon=12)
    own = aqnet.predict(observations, horizon=12)
    relative = [
        float((each.pm25_uncertainty / each.pm25**0.5).compute().median()) for each in (ahead, own)
    ]
    assert relative[0] > relative[1]


def test_a_station_without_history_is_estimated_like_a_hidden_one(aqnet, observations, caplog):
    silent = observations.copy(deep=True)
    silent["pm25"][{"station": 3, "time": slice(180, None)}] = np.nan
    name = str(observations.station.values[3])
    with caplog.at_level("WARNING"):
        ahead = aqnet.predict(silent, horizon=6)
    assert "1 station without a value in the history, estimated from the others" in (caplog.text)
    assert name in caplog.text
    assert list(ahead.station.values) == list(observations.station.values)
    others = silent.isel(station=np.arange(12) != 3)
    hidden = observations[["pm25"]].isel(station=[3]).drop_vars("pm25")
    expected = aqnet.predict(others, hidden, horizon=6)
    np.testing.assert_allclose(ahead.pm25.sel(station=name), expected.pm25[0], rtol=1e-5)
    assert float(ahead.distance_to_nearest_station.sel(station=name)) > 0


@pytest.mark.parametrize("kind", ["stations", "grid", "set", "set of grids"])
def test_products_of_outlooks_pass_the_checker_and_come_back(
    kind, persistence, aqnet, observations, tmp_path
):
    starts = observations.time.values[[100, 124]] if "set" in kind else None
    where = aqr.Grid.around(observations.aqnet.network, 0.5) if "grid" in kind else None
    model = persistence if where else aqnet
    options = {} if where else {"attention": True, "quantiles": (0.05,)}
    product = model.predict(observations, where, start=starts, horizon=6, **options)
    path = product.aqnet.to_netcdf(tmp_path / "ahead.nc", progress=False)
    assert checked(path, "cf:1.11") == []
    with aqr.open_product(path) as again:
        assert again.pm25.dims == product.pm25.dims
        for name in ("time", "forecast_reference_time", "lead_time"):
            xr.testing.assert_identical(again[name].variable.load(), product[name].variable.load())
        # Three digits are kept.
        np.testing.assert_allclose(again.pm25, product.pm25, rtol=5e-3)


def test_a_saved_outlook_predicts_the_same(aqnet, observations, tmp_path, network):
    folder = aqnet.save(tmp_path / "model")
    loaded = Outlook.load(folder)
    assert repr(loaded) == repr(aqnet)
    for at in (None, network.hidden):
        before, after = (m.predict(observations, at, horizon=6) for m in (aqnet, loaded))
        xr.testing.assert_equal(before.pm25.compute(), after.pm25.compute())
    aqnet.save(folder)  # replaces it
    (folder / "weights.safetensors").write_bytes(b"changed")
    with pytest.raises(SavedModelError, match="not the file that was saved"):
        Outlook.load(folder)


SOURCES = {
    "aqnet": "2502.11941",
    "paper": "2502.11941",
    "lstm": "Hochreiter and Schmidhuber 1997",
    "patchtst": "2211.14730",
    "ridge": "Hoerl and Kennard 1970",
    "climatology": "Wilks",
    "persistence": "Wilks",
}


@pytest.fixture(scope="module", params=list(OUTLOOK_METHODS))
def method(request):
    return request.param


@pytest.fixture(scope="module")
def with_pollutants(observations):
    half = observations.pm25.copy(data=observations.pm25.values / 2)  # units stay with any xarray
    return observations.assign(no2=half)


@pytest.fixture(scope="module")
def each(method, with_pollutants, aqnet):
    return fitted(with_pollutants, method, aqnet.between)


def test_every_method_comes_back_from_its_folder_and_is_calibrated(
    each, method, with_pollutants, tmp_path
):
    ahead = Outlook.load(each.save(tmp_path / method)).predict(with_pollutants, horizon="12h")
    assert each.name == method
    assert bool(np.isfinite(ahead.pm25).all() and (ahead.pm25 >= 0).all())
    assert 0.8 < each.scores["coverage"] <= 1


def test_every_method_can_be_pickled(each, with_pollutants):
    again = pickle.loads(pickle.dumps(each))
    expected = each.predict(with_pollutants, horizon=3)
    xr.testing.assert_equal(again.predict(with_pollutants, horizon=3), expected)
    assert repr(again) == repr(each)


def test_every_method_says_what_it_is(each, method):
    assert repr(Outlook(method, seed=3)) == f"<Outlook ({method}): not fitted, seed 3>"
    assert repr(each).startswith(f"<Outlook pm25 ({method}): 48 h to the next 24 h, 12 stations")


def test_every_method_says_that_it_is_not_fitted(method, observations, tmp_path):
    model = Outlook(method)
    for use in (
        lambda: model.predict(observations),
        lambda: model.issue(observations, np.array([100])),
        lambda: model.save(tmp_path / "model"),
        lambda: model.variable,
        lambda: model.settings,
        lambda: model.scores,
    ):
        with pytest.raises(NotFittedError, match=r"not fitted; call fit\(observations, variable\)"):
            use()
    assert issubclass(NotFittedError, ValueError)


def test_every_method_refuses_another_pollutant(each, observations):
    other = observations[["pm25"]].rename(pm25="pm10")
    with pytest.raises(ValueError, match="this outlook learned 'pm25'; the observations have pm10"):
        each.predict(other)


def test_every_product_says_where_its_numbers_come_from(each, method, network, with_pollutants):
    own = each.predict(with_pollutants, horizon=3)
    settings = json.loads(own.attrs["method_settings"])
    assert settings["seed"] == 0
    assert settings["stations"] == 12
    assert (settings["history_hours"], settings["horizon_hours"]) == (48, 3)
    assert len(settings["data_hash"]) == 64
    assert SOURCES[method] in own.attrs["references"]
    assert own.attrs["method"] == f"{method} outlook"
    between = each.predict(with_pollutants, network.hidden, horizon=3)
    assert json.loads(between.attrs["method_settings"])["between"] == "neural"
    assert between.attrs["references"] == (f"{own.attrs['references']}; {each.between.references}")


@pytest.mark.parametrize("places", ["stations", "between"])
def test_every_product_is_the_statistic_that_it_names(each, network, with_pollutants, places):
    at = network.hidden if places == "between" else None
    products = {
        kind: each.predict(with_pollutants, at, horizon=6, statistic=kind, quantiles=(0.5,)).load()
        for kind in ("median", "mean")
    }
    for kind, product in products.items():
        assert product.pm25.attrs["statistic"] == kind
        assert f": {kind} of pm25 by" in product.attrs["history"]
    median, mean = products.values()
    xr.testing.assert_equal(each.predict(with_pollutants, at, horizon=6).pm25, median.pm25)
    xr.testing.assert_equal(median.pm25_uncertainty, mean.pm25_uncertainty)
    np.testing.assert_allclose(median.pm25, median.pm25_q50, rtol=1e-5)
    estimates = OUTLOOK_METHODS[each.name].network.estimates
    if estimates == "value":
        np.testing.assert_allclose(mean.pm25, median.pm25, rtol=1e-5)
    elif estimates == "mean":
        # The median lies below the mean by the variance of the root, and not below 0.
        spread = RootNormal.from_median(median.pm25.values, median.pm25_uncertainty.values).spread
        expected = np.maximum(mean.pm25 - spread**2, 0)
        np.testing.assert_allclose(median.pm25, expected, rtol=2e-3, atol=1e-3)
    else:
        # With median m^2 and squared error 4 m^2 s^2 + 2 s^4 the mean is m^2 + s^2.
        square = RootNormal.from_median(median.pm25.values, median.pm25_uncertainty.values).spread
        np.testing.assert_allclose(mean.pm25 - median.pm25, square**2, rtol=2e-3, atol=1e-3)


def test_no_other_statistic_is_given(persistence, observations):
    with pytest.raises(ValueError, match="statistic must be 'median' or 'mean'; found 'mode'"):
        persistence.predict(observations, statistic="mode")


def test_a_reanalysis_loads_no_forecasting_code():
    script = """
import sys
import aqreanalysis as aqr
observations = aqr.synthetic_network(hours=48, seed=0).observations
observations.aqnet.reanalyse(grid=1.0, method="idw").compute()
import aqreanalysis.methods.neural.reanalyser, aqreanalysis.verification
print([name for name in sys.modules if "outlook" in name])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_model_is_saved_over_something_else(aqnet, tmp_path):
    with pytest.raises(SavedModelError, match="so it is no saved model of this kind"):
        aqnet.save(tmp_path)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"horizon": 0}, "a horizon is 1 to 24 h here, in steps of 1 h; found 0"),
        ({"horizon": 10_000}, "found 10000. Fit an outlook with more leads"),
        ({"horizon": "soon"}, "a number of hours or a span such as '7D'; found 'soon'"),
        ({"start": "2031-01-01"}, "an outlook starts from 2020-11-02T00:00 UTC to .* found 2031"),
        ({"start": "2020-11-01T12"}, "at least 24 h after the first observation begins"),
        ({"start": "2020-11-05T12:30"}, "where a step of 1 h begins, such as 2020-11-05T13:00"),
        ({"start": "tomorrow morning"}, "a start is a time such as"),
        ({"start": []}, "a start is a time such as"),
        ({"quantiles": (1.5,)}, "1.5"),
    ],
)
def test_requests_that_cannot_be_are_refused(persistence, observations, request_, message):
    with pytest.raises(ValueError, match=message):
        persistence.predict(observations, **request_)


def test_observations_that_do_not_fit_are_refused(persistence, observations):
    with pytest.raises(ValueError, match="at least 24 h of history; found 12 h"):
        persistence.predict(observations.isel(time=slice(0, 12)))
    other = observations[["pm25"]].rename(pm25="no2")
    with pytest.raises(ValueError, match="this outlook learned 'pm25'; the observations have no2"):
        persistence.predict(other)
    coarse = observations.isel(time=slice(0, None, 3))
    coarse.time.attrs["step_hours"] = 3.0
    with pytest.raises(ValueError, match="learned steps of 1 h; found observations every 3 h"):
        persistence.predict(coarse)
    silent = observations.copy(deep=True)
    silent["pm25"][{"time": slice(100, 220)}] = np.nan
    with pytest.raises(ValueError, match="no station has a value of 'pm25' in the history"):
        persistence.predict(silent, start=silent.time.values[200])
    with pytest.raises(ValueError, match="gives no attention by day"):
        persistence.predict(observations, attention=True)
    with pytest.raises(ValueError, match="attention is that of the stations"):
        fitted(observations).predict(observations, observations, attention=True)
    with pytest.raises(ValueError, match="learns from at least 48 h, and a day more"):
        fitted(observations.isel(time=slice(0, 60)))
    with pytest.raises(ValueError, match="method is one of aqnet"):
        Outlook("prophet")


def test_two_stations_have_an_outlook_and_nothing_between_them(observations, network):
    model = fitted(observations.isel(station=slice(0, 2)), "ridge")
    two = observations.isel(station=slice(0, 2))
    assert bool(np.isfinite(model.predict(two).pm25).all())
    with pytest.raises(ValueError, match="fewer than three stations"):
        model.predict(two, network.hidden)


def test_learning_sees_nothing_from_the_start_on(observations):
    start = observations.time.values[200]
    later = observations.copy(deep=True)
    later["pm25"][{"time": slice(200, None)}] = 500.0
    first, again = (
        each.aqnet.outlook("12h", start=start, method="ridge", progress=False)
        for each in (observations, later)
    )
    xr.testing.assert_equal(first.pm25, again.pm25)


def test_the_accessor_refuses_two_places_and_another_pollutant(persistence, observations):
    with pytest.raises(ValueError, match="give either at=stations, or grid=, not both"):
        observations.aqnet.outlook(6, grid=0.5, at=observations, method=persistence)
    with pytest.raises(ValueError, match="knows 'pm25'; asked for 'no2'"):
        observations.aqnet.outlook(6, "no2", method=persistence)


def test_the_command_writes_a_hindcast_and_keeps_its_model(observations, tmp_path):
    table = observations.aqnet.to_table(tmp_path / "stations.csv")
    out, model = tmp_path / "ahead.nc", tmp_path / "model"
    call = ["outlook", str(table), "-o", str(out), "--start", "2020-11-08", "--horizon", "12"]
    call += ["--time-label", "start", "--time-zone", "UTC"]
    done = CliRunner().invoke(app, [*call, "--method", "ridge", "--save", str(model)])
    assert done.exit_code == 0, done.output
    with aqr.open_product(out) as written:
        assert written.sizes["time"] == 12
        assert pd.Timestamp(written.forecast_reference_time.values) == pd.Timestamp("2020-11-08")
    again = [*call, "--model", str(model), "--until", "2020-11-09", "--every", "12"]
    done = CliRunner().invoke(app, [*again, "--grid", "1.0", "--statistic", "mean"])
    assert done.exit_code == 0, done.output
    with aqr.open_product(out) as written:
        assert written.pm25.attrs["statistic"] == "mean"
        assert written.pm25.dims == ("lead_time", "forecast_reference_time", "lat", "lon")
        assert written.sizes["forecast_reference_time"] == 3


def test_starts_that_go_backwards_are_refused():
    with pytest.raises(ValueError, match="comes before the first"):
        starts_between("2020-01-02", "2020-01-01", 24)
    with pytest.raises(ValueError, match="found every 0 h"):
        starts_between("2020-01-02", "2020-01-03", 0)
    for hours in (1e-9, 1e-300, 1e9, 1e300, np.nan, np.inf):
        with pytest.raises(ValueError, match="starts are a minute to a hundred years apart"):
            starts_between("2020-01-02", "2020-01-03", hours)


def test_a_validation_period_without_values_is_refused():
    silent = aqr.synthetic_network(hours=240, seed=0).observations
    silent.pm25.values[:, -100:] = np.nan
    with pytest.raises(ValueError, match=r"in the validation period.*give validation"):
        silent.aqnet.outlook("6h", method="ridge", progress=False)


@pytest.mark.parametrize("horizon", ["", "NaT", float("nan"), "soon"])
def test_what_is_no_span_of_time_is_refused(horizon):
    with pytest.raises(ValueError, match="a horizon is a number of hours or a span"):
        horizon_steps(horizon, 1.0, 168)


def test_a_span_may_be_that_of_numpy():
    assert horizon_steps(np.timedelta64(6, "h"), 1.0, 168) == 6
