"""What is derived from hourly fields: probabilities of exceedance and air-quality indices."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from product_cases import quick_model
from typer.testing import CliRunner

import aqreanalysis as aqr
from aqreanalysis.cli.application import app
from aqreanalysis.derived import INDICES, aggregate, air_quality_index, exceedance
from aqreanalysis.methods.persistence import persistence
from aqreanalysis.observations import values_of
from aqreanalysis.predictive import ErrorCorrelation, RootNormal


def series(values, variable="pm25", *, step=1):
    """Return the series of one place, in ug m-3."""
    values = np.atleast_2d(np.asarray(values, np.float64))
    time = pd.date_range("2020-01-01", periods=values.shape[1], freq=f"{step}h")
    return xr.Dataset(
        {variable: (("station", "time"), values, {"units": "ug m-3"})},
        coords={"time": ("time", time, {"step_hours": float(step), "time_label": "start"})},
    )


def constant(value, variable, hours=24):
    """Return a series that never changes."""
    return series(np.full(hours, value), variable)


def parts(variable, amount, unit):
    """Return ug m-3 of an amount in ppb or ppm at 25 degrees Celsius."""
    mass = {"no2": 46.006, "o3": 47.997, "so2": 64.064, "co": 28.010}[variable]
    return amount * mass / 24.45 * (1000 if unit == "ppm" else 1)


@pytest.fixture(scope="module")
def product():
    """Return a small field with its standard error."""
    obs = aqr.synthetic_network(hours=30, seed=0).observations
    return obs.aqnet.reanalyse("pm25", grid=0.5, method="idw")


# Indices as aqi-hub 0.3.3 gives them, which cuts off what is behind the point; for ozone at
# 0.06 ppm it has 69, since its piece begins at 0.054 where the table has 0.055.
US_EPA = {
    "pm25": {5: 27, 9.04: 50, 20: 71, 35.45: 100, 40: 112, 100: 182, 180: 255, 300: 449, 900: 500},
    "pm10": {30: 27, 54.9: 50, 100: 73, 200: 123, 300: 173, 400: 265, 500: 384},
    "no2 ppb": {30: 28, 80: 78, 200: 119, 500: 174, 1000: 258},
    "co ppm": {3: 34, 6: 66, 11: 126, 14: 176, 20: 230, 40: 396},
    "o3 ppm": {0.03: 27, 0.06: 67, 0.09: 161, 0.3: 300, 0.5: 396},
    "so2 ppb": {20: 28, 50: 68, 100: 111, 200: 156, 400: 232, 800: 398},
}
CHINA = {
    "pm25": {20: 29, 130: 172, 200: 250, 300: 350, 400: 434, 600: 500},
    "pm10": {30: 30, 300: 175, 400: 272, 450: 338, 550: 450},
    "no2": {60: 30, 150: 75, 500: 130, 1000: 180, 2000: 271, 3000: 388},
    "so2": {100: 34, 300: 72, 600: 134, 700: 167},
    "co": {3e3: 30, 8e3: 80, 20e3: 120, 50e3: 180, 80e3: 267},
    "o3": {80: 40, 130: 75, 200: 137, 240: 175, 500: 244, 900: 350},
}
CASES = [
    (index, name, amount, expected)
    for index, table in (("us_epa", US_EPA), ("china", CHINA))
    for name, pairs in table.items()
    for amount, expected in pairs.items()
]


@pytest.mark.parametrize(("index", "name", "amount", "expected"), CASES)
def test_steady_air_has_the_index_of_the_table(index, name, amount, expected):
    variable, _, unit = name.partition(" ")
    value = parts(variable, amount, unit) if unit else amount
    number = air_quality_index(constant(value, variable), index).index[0, -1]
    slack = 1 if index == "us_epa" else 0  # there to the nearest number, not cut off
    assert expected <= float(number) <= expected + slack


def test_ozone_of_one_hour_counts_where_it_is_worse():
    hours = np.full(24, parts("o3", 0.05, "ppm"))
    hours[-1] = parts("o3", 0.18, "ppm")
    assert 169 <= float(air_quality_index(series(hours, "o3")).index[0, -1]) <= 170


def test_the_nowcast_follows_the_last_hours():
    newest_first = [13, 16, 10, 21, 74, 64, 53, 82, 90, 75, 80, 50]  # of US EPA's page: 17.4
    number = air_quality_index(series(newest_first[::-1])).index[0, -1]
    assert float(number) == round(51 + 49 * (17.4 - 9.1) / (35.4 - 9.1))
    gone = series(newest_first[::-1])
    gone.pm25[0, -2:] = np.nan
    assert np.isnan(air_quality_index(gone).index[0, -1])
    gone.pm25[0, -1] = 13.0
    assert np.isfinite(air_quality_index(gone).index[0, -1])


@pytest.mark.parametrize(
    ("index", "variable", "value", "category"),
    [
        ("europe", "pm25", 10.0, "good"),
        ("europe", "pm25", 10.1, "fair"),
        ("europe", "pm10", 151.0, "extremely_poor"),
        ("europe", "no2", 90.5, "moderate"),
        ("europe", "o3", 0.0, "good"),
        ("germany", "pm25", 5.4, "very_good"),
        ("germany", "pm25", 5.6, "good"),
        ("germany", "o3", 241.0, "very_poor"),
        ("us_epa", "pm25", 9.09, "good"),
        ("us_epa", "pm25", 9.1, "moderate"),
        ("china", "pm25", 35.0, "excellent"),
        ("china", "pm25", 35.1, "good"),
        ("china", "pm25", -3.0, "excellent"),
    ],
)
def test_limits_of_categories(index, variable, value, category):
    layer = air_quality_index(constant(value, variable), index).index_category
    meanings = dict(zip(layer.flag_values.tolist(), layer.flag_meanings.split(), strict=True))
    assert meanings[int(layer[0, -1])] == category
    assert len(layer.flag_colors.split()) == len(meanings)


def test_the_worst_pollutant_decides_and_is_named():
    both = xr.merge([constant(5.0, "pm25"), constant(180.0, "no2")])
    layers = air_quality_index(both, "europe")
    assert layers.index_pollutant.flag_meanings == "no_index pm25 no2"
    assert int(layers.index_pollutant[0, -1]) == 2
    assert int(layers.index_category[0, -1]) == int(layers.no2_category[0, -1]) == 4
    assert int(layers.index_category[0, 0]) == 4  # no mean of 24 h yet, but an hour of NO2
    assert int(layers.pm25_category[0, 0]) == 0


def test_means_need_three_quarters_of_their_hours():
    hours = np.full(48, 50.0)
    hours[24:30] = np.nan
    steady = air_quality_index(series(hours), "china").index[0]
    assert np.isnan(steady[:17]).all()
    assert (steady[17:] == 69).all()  # 50 + 50 * 15 / 40, rounded up


def test_daily_values_are_means_of_a_day():
    daily = series([5.0, 40.0], step=24)
    assert air_quality_index(daily).index[0].values.tolist() == [28.0, 112.0]
    with pytest.raises(ValueError, match=r"'europe' of no2 is of averages over 1 h; .* of 24 h"):
        air_quality_index(series([5.0], "no2", step=24), "europe")


@pytest.mark.parametrize("index", INDICES)
def test_fields_are_lazy_and_the_same_for_any_blocks(index, product):
    blocks = air_quality_index(product.chunk(time=7, lat=2), index)
    whole = air_quality_index(product.compute(), index)
    assert all(blocks[name].chunks for name in set(blocks) - set(product))
    xr.testing.assert_equal(blocks.compute(), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": "aqi"}, "index must be one of us_epa, china, europe, germany; found 'aqi'"),
        ({"index": "europe", "variables": ["co"]}, "'europe' has no co; it is of pm25, pm10"),
        ({"variables": ["no2"]}, "the dataset has no no2; it has pm25"),
    ],
)
def test_an_index_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        air_quality_index(constant(5.0, "pm25"), **options)


def test_holes_in_time_are_refused():
    with pytest.raises(ValueError, match="time must be regular for running means"):
        air_quality_index(constant(5.0, "pm25").isel(time=[0, 1, 3, 4]))


def test_probabilities_are_those_of_the_distribution(product):
    above = exceedance(product, [35.0, 75.5]).compute()
    law = RootNormal.from_median(
        product.pm25.values,
        product.pm25_uncertainty.values,
        freedom=product.pm25_uncertainty.attrs.get("degrees_of_freedom", np.inf),
    )
    np.testing.assert_allclose(above.pm25_above_35, law.above(35.0), atol=1e-6)
    np.testing.assert_allclose(above.pm25_above_75p5, law.above(75.5), atol=1e-6)
    assert "above 75.5 ug m-3" in above.pm25_above_75p5.long_name
    assert above.history.splitlines()[-1].endswith("pm25_above_35, pm25_above_75p5")


def test_a_mean_is_no_median():
    obs = aqr.synthetic_network(hours=24, seed=0).observations
    options = {"grid": 0.5, "method": "idw"}
    mean = obs.aqnet.reanalyse("pm25", statistic="mean", **options)
    expected = obs.aqnet.reanalyse("pm25", **options).aqnet.exceedance(50.0).pm25_above_50
    np.testing.assert_allclose(mean.aqnet.exceedance(50.0).pm25_above_50, expected, atol=1e-5)
    with pytest.raises(ValueError, match="pm25 of the product is a mean, and pm25_q50 is not"):
        exceedance(mean.drop_vars("pm25_q50"), 50.0)


@pytest.mark.parametrize("limit", [0, -5.0, np.nan, "35", [], [35.0, np.inf], True])
def test_a_limit_is_a_number_above_zero(limit, product):
    with pytest.raises(ValueError, match="a limit is a number above 0, in ug m-3"):
        exceedance(product, limit)


def test_observations_have_no_probabilities():
    with pytest.raises(ValueError, match=r"no 'pm25_uncertainty'.* observations have none"):
        exceedance(constant(5.0, "pm25"), 35.0)


def test_commands_derive_layers_from_a_file(days, tmp_path):
    source, runner = days.aqnet.to_netcdf(tmp_path / "p.nc", progress=False), CliRunner()
    for command, options, layer in (
        ("index", ["--index", "china"], "index_category"),
        ("exceedance", ["--limit", "35"], "pm25_above_35"),
        ("aggregate", ["--time-zone", "Asia/Shanghai", "--capture", "0.2"], "pm25_q95"),
        ("aggregate", ["--statistic", "hours_above", "--limit", "35"], "pm25_hours_above_35"),
    ):
        output = tmp_path / f"{command}.nc"
        result = runner.invoke(app, [command, str(source), "-o", str(output), *options])
        assert result.exit_code == 0, result.output
        assert layer in result.output
        with aqr.open_product(output) as opened:
            assert layer in opened
            assert "pm25" in opened


ERRORS = ErrorCorrelation((0.0, 5.0, 1e6), (0.2, 0.5, 0.3))


def test_the_error_of_a_mean_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    errors = rng.uniform(5, 20, (3, 100))
    errors[0, 10:30] = np.nan
    hours = np.arange(0, 300, 3.0)
    correlation = ERRORS(hours[:, None] - hours)
    for mine, own in zip(ERRORS.of_mean(errors, hours), errors, strict=True):
        present = np.isfinite(own)
        pairs = own[present] @ correlation[np.ix_(present, present)] @ own[present]
        assert mine == pytest.approx(np.sqrt(pairs) / present.sum())
    assert np.isnan(ERRORS.of_mean(np.full(4, np.nan), np.arange(4)))


def test_the_correlation_of_errors_is_read_from_a_product():
    assert ErrorCorrelation.from_attributes(ERRORS.attributes()) == ERRORS
    assert ErrorCorrelation.from_attributes({}) is None
    broken = ERRORS.attributes() | {"error_shares": [0.5, 0.5]}
    assert ErrorCorrelation.from_attributes(broken) is None


class Alike:
    """A method whose errors are known: the truth plus a departure with a memory of its own."""

    name, takes_background, references, variable = "alike", False, "", "pm25"

    def __init__(self, errors):
        self.errors, self.settings = errors, {}

    def fit(self, observations, variable):
        return self

    def field(self, observations, at, hours):
        rows = [int(name[1:]) for name in at.station.values]
        root = 5.0 + self.errors[rows][:, hours]
        return lambda lon, lat, part: RootNormal(
            root[:, part.start - hours.start : part.stop - hours.start].astype(np.float32),
            np.full((len(lon), part.stop - part.start), 0.1, np.float32),
        )

    def cost(self, observations, variable, at):
        from aqreanalysis.fields.memory import Cost

        return Cost()


def test_what_is_learned_of_errors_is_how_they_are_correlated():
    """Errors made of hourly noise, of a memory of five hours, and of a lasting part."""
    rng = np.random.default_rng(1)
    stations, hours = 60, 2000
    decay = np.exp(-1 / 5)
    slow = np.empty((stations, hours))
    slow[:, 0] = rng.normal(size=stations)
    for hour in range(1, hours):
        noise = rng.normal(size=stations) * np.sqrt(1 - decay**2)
        slow[:, hour] = decay * slow[:, hour - 1] + noise
    parts = 0.2, 0.5, 0.3
    own, lasting = rng.normal(size=(stations, hours)), rng.normal(size=(stations, 1))
    lasting /= np.sqrt((lasting**2).mean())
    errors = 0.1 * sum(np.sqrt(p) * e for p, e in zip(parts, (own, slow, lasting), strict=True))
    truth = constant(25.0, "pm25", hours).isel(station=np.zeros(stations, int))
    truth = truth.assign_coords(
        station=[f"s{number:02d}" for number in range(stations)],
        longitude=("station", rng.uniform(0, 5, stations)),
        latitude=("station", rng.uniform(45, 50, stations)),
    )
    learned = persistence(Alike(errors), truth)
    lags = np.array([1.0, 3.0, 6.0, 24.0, 168.0, 700.0])
    expected = ErrorCorrelation((0.0, 5.0, 1e6), parts)
    np.testing.assert_allclose(learned.errors(lags), expected(lags), atol=0.04)
    np.testing.assert_allclose(learned.scores(lags), expected(lags), atol=0.04)


def test_a_few_large_jumps_do_not_make_all_hours_jump():
    """Errors that hardly change from hour to hour but for one in fifty, which is far off."""
    rng = np.random.default_rng(2)
    stations, hours = 30, 1000
    errors = 0.1 * np.repeat(rng.normal(size=(stations, hours // 50)), 50, axis=1)
    errors += np.where(rng.random(errors.shape) < 0.02, rng.normal(0, 0.5, errors.shape), 0.0)
    truth = constant(25.0, "pm25", hours).isel(station=np.zeros(stations, int))
    truth = truth.assign_coords(
        station=[f"s{number:02d}" for number in range(stations)],
        longitude=("station", rng.uniform(0, 5, stations)),
        latitude=("station", rng.uniform(45, 50, stations)),
    )
    learned = persistence(Alike(errors), truth)
    assert float(learned.scores(np.array(1.0))) > 0.9 > 0.8 > float(learned.errors(np.array(1.0)))


def test_few_places_tell_nothing_of_correlations():
    obs = aqr.synthetic_network(hours=72, seed=0).observations.isel(station=slice(0, 9))
    assert persistence(aqr.InverseDistance().fit(obs, "pm25"), obs) is None


@pytest.fixture(scope="module")
def days():
    """Return three days of a field that states how its errors are correlated."""
    obs = aqr.synthetic_network(hours=72, seed=0).observations
    return obs.aqnet.reanalyse("pm25", grid=0.5, method="idw").compute()


def test_means_of_days_have_the_error_of_their_hours(days):
    daily = aggregate(days)
    assert daily.sizes["time"] == 3
    errors = ErrorCorrelation.from_attributes(days.pm25_uncertainty.attrs)
    hourly = days.pm25_uncertainty.isel(time=slice(24, 48)).transpose("lat", "lon", "time")
    expected = errors.of_mean(hourly.values, np.arange(24))
    np.testing.assert_allclose(daily.pm25_uncertainty[1], expected, rtol=1e-5)
    law = RootNormal.from_median(
        days.pm25.values, days.pm25_uncertainty.values, freedom=freedom(days)
    )
    np.testing.assert_allclose(daily.pm25[1], law.mean[24:48].mean(axis=0), rtol=1e-5)
    independent = np.sqrt((hourly**2).sum("time")) / 24
    assert bool((daily.pm25_uncertainty[1] > 1.5 * independent).all())
    assert bool((daily.pm25_uncertainty[1] < hourly.mean("time")).all())
    assert bool((daily.pm25_q05 < daily.pm25_q50).all() & (daily.pm25_q50 < daily.pm25).all())


def freedom(product):
    """Return the degrees of freedom that a product states."""
    return product.pm25_uncertainty.attrs.get("degrees_of_freedom", np.inf)


@pytest.mark.parametrize("period", ["day", "month"])
def test_means_are_lazy_and_the_same_for_any_blocks(period, days):
    blocks = aggregate(days.chunk(time=7, lat=2), period, capture=0.05)
    assert blocks.pm25.chunks
    xr.testing.assert_allclose(blocks.compute(), aggregate(days, period, capture=0.05), rtol=1e-6)


def test_days_are_those_of_the_time_zone_and_the_clock_changes():
    hours = pd.date_range("2020-10-23", "2020-10-27", freq="h", inclusive="left")
    berlin = series(np.arange(hours.size))
    berlin = berlin.assign_coords(time=("time", hours, berlin.time.attrs))
    daily = aggregate(berlin, time_zone="Europe/Berlin")
    length = (daily.time_bnds[:, 1] - daily.time_bnds[:, 0]) / np.timedelta64(1, "h")
    assert length.values.tolist() == [24, 24, 25, 24, 24]  # the clocks go back on the 25th
    assert str(daily.time.values[2])[:16] == "2020-10-24T22:00"
    assert daily.pm25[0].values[2] == np.arange(hours.size)[46:71].mean()
    ends = berlin.assign_coords(time=berlin.time + np.timedelta64(1, "h"))
    ends.time.attrs = berlin.time.attrs | {"time_label": "end"}
    xr.testing.assert_equal(aggregate(ends, time_zone="Europe/Berlin"), daily)


def test_the_share_of_hours_is_that_of_the_calendar():
    values = np.full(24 * 40, 10.0)
    month = aggregate(series(values), "month")  # January and nine days of February
    assert np.isfinite(month.pm25[0]).values.tolist() == [True, False]
    assert np.isfinite(aggregate(series(values), "month", capture=0.3).pm25).all()
    values[:7] = np.nan
    assert np.isfinite(aggregate(series(values)).pm25[0]).values.tolist() == [False] + [True] * 39
    assert aggregate(series(values), "year", capture=0.1).time.values[0] == np.datetime64(
        "2020-01-01"
    )
    seasons = aggregate(series(values), "season", capture=0.4)
    assert str(seasons.time_bnds.values[0, 0])[:10] == "2019-12-01"


def test_means_of_a_product_without_correlations_have_no_error(days, caplog):
    bare = days.copy()
    bare["pm25_uncertainty"] = bare.pm25_uncertainty.drop_attrs()
    daily = aggregate(bare)
    assert list(daily.data_vars) == ["pm25", "pm25_flag", "distance_to_nearest_station"]
    assert "does not say how its errors are correlated over time" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": "hour"}, "period must be one of day, week, month, season, year; found 'hour'"),
        ({"capture": 0}, "capture is a share of the hours, above 0 and at most 1; found 0"),
        ({"capture": 1.5}, "above 0 and at most 1; found 1.5"),
        ({"time_zone": "Beijing"}, "there is no time zone 'Beijing'; write one as 'Asia/Shanghai'"),
        ({"time_zone": "../etc"}, "there is no time zone"),
    ],
)
def test_means_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        aggregate(constant(5.0, "pm25"), **options)


@pytest.fixture(scope="module")
def drawn():
    """Return three days of 25 draws at places, on an axis that begins in the night."""
    obs = aqr.synthetic_network(hours=72, seed=0).observations
    at = obs.isel(station=slice(0, 9, 3))
    return obs.aqnet.reanalyse("pm25", at=at, method="kriging", draws=25).compute()


def of_day(product, day):
    """Return the draws of a day, (draw, station, hour)."""
    return product.pm25_draws.isel(time=slice(24 * day, 24 * day + 24)).values.astype(np.float64)


@pytest.mark.parametrize(
    ("statistic", "of_hours", "words"),
    [
        ("mean", lambda v: v.mean(-1), "daily mean of"),
        ("max", lambda v: v.max(-1), "daily maximum of"),
        ("p90", lambda v: np.quantile(v, 0.9, axis=-1), "daily 90 % quantile of"),
        (
            "mda8",
            lambda v: np.lib.stride_tricks.sliding_window_view(v, 8, axis=-1).mean(-1).max(-1),
            "daily maximum of running means over 8 h of",
        ),
    ],
)
def test_statistics_of_draws_have_their_mean_spread_and_quantiles(
    statistic, of_hours, words, drawn
):
    daily = aggregate(drawn, statistic=statistic)
    each = of_hours(of_day(drawn, 1))
    made = daily.isel(time=1)
    np.testing.assert_allclose(made.pm25, each.mean(0), rtol=1e-5)
    np.testing.assert_allclose(made.pm25_uncertainty, each.std(0, ddof=1), rtol=1e-4)
    low, middle, high = np.quantile(each, [0.05, 0.5, 0.95], axis=0, method="weibull")
    np.testing.assert_allclose(made.pm25_q05, low, rtol=1e-5)
    np.testing.assert_allclose(made.pm25_q50, middle, rtol=1e-5)
    np.testing.assert_allclose(made.pm25_q95, high, rtol=1e-5)
    assert daily.pm25.attrs["long_name"].startswith(words)
    assert daily.pm25.attrs["comment"] == "mean over 25 draws of measurements"
    assert "draw" not in daily.variables
    assert daily.pm25.dims == drawn.pm25.dims


def test_hours_above_a_limit_are_counted_in_each_draw(drawn):
    name = "pm25_hours_above_62p5"
    daily = aggregate(drawn, statistic="hours_above", limit=62.5)
    each = (of_day(drawn, 0) > 62.5).sum(-1)
    np.testing.assert_allclose(daily[name][:, 0], each.mean(0), rtol=1e-6)
    np.testing.assert_allclose(daily[f"{name}_uncertainty"][:, 0], each.std(0, ddof=1), rtol=1e-5)
    assert daily[name].attrs["units"] == daily[f"{name}_q95"].attrs["units"] == "h"
    assert "standard_name" not in daily[name].attrs
    np.testing.assert_allclose(daily.pm25[:, 0], of_day(drawn, 0).mean((0, -1)), rtol=1e-5)


def test_days_above_a_limit_are_those_whose_mean_is(drawn):
    weekly = aggregate(drawn, "week", statistic="days_above", limit=62.5, capture=0.1)
    first = weekly.isel(time=0).pm25_days_above_62p5
    daily = drawn.pm25_draws.isel(time=slice(0, 24)).mean("time")  # 1 November 2020 is a Sunday
    np.testing.assert_allclose(first, (daily > 62.5).mean("draw"), rtol=1e-6)
    assert first.attrs["units"] == "d"
    two = np.nanmean(drawn.pm25_draws[..., 24:].values.reshape(25, 3, 2, 24), axis=-1) > 62.5
    np.testing.assert_allclose(weekly.pm25_days_above_62p5[:, 1], two.sum(-1).mean(0), rtol=1e-6)


def test_the_mean_over_draws_is_that_of_the_distributions(drawn):
    bare = drawn.drop_vars("pm25_draws")
    daily, analytic = aggregate(drawn), aggregate(bare)
    few = analytic.pm25_uncertainty / 5  # of 25 draws
    assert bool((abs(daily.pm25 - analytic.pm25) < 4 * few).all())
    ratio = daily.pm25_uncertainty / analytic.pm25_uncertainty
    assert 0.7 < float(ratio.mean()) < 1.3


def test_without_draws_counts_are_expected_and_have_no_error(drawn, caplog):
    bare = drawn.drop_vars("pm25_draws")
    daily = aggregate(bare, statistic="hours_above", limit=50.0)
    probability = exceedance(bare, 50.0).pm25_above_50.isel(time=slice(0, 24)).sum("time")
    np.testing.assert_allclose(daily.pm25_hours_above_50[:, 0], probability, rtol=1e-5)
    assert "pm25_hours_above_50_uncertainty" not in daily
    assert "has no error, and is that expected hour by hour" in caplog.text
    highest = aggregate(bare, statistic="max")
    np.testing.assert_allclose(highest.pm25[:, 0], bare.pm25[:, :24].max("time"), rtol=1e-6)
    assert "is that of the estimates" in caplog.text
    assert "pm25_uncertainty" not in highest


def test_statistics_of_observations_are_those_of_their_values(caplog):
    values = np.arange(48.0)
    values[30:34] = np.nan
    obs = series(values)
    assert aggregate(obs, statistic="max").pm25.values.tolist() == [[23.0, 47.0]]
    assert aggregate(obs, statistic="mda8").pm25.values.tolist() == [[19.5, 43.5]]
    assert aggregate(obs, statistic="p50").pm25.values.tolist() == [[11.5, 37.5]]
    counted = aggregate(obs, statistic="hours_above", limit=20.0)
    assert counted.pm25_hours_above_20.values.tolist() == [[3.0, 20.0]]
    assert np.isnan(aggregate(obs, statistic="max", capture=0.9).pm25[0, 1])
    assert not caplog.text


@pytest.mark.parametrize("statistic", ["max", "hours_above"])
def test_statistics_of_draws_are_lazy_and_the_same_for_any_blocks(statistic, drawn):
    options = {"limit": 60.0} if statistic == "hours_above" else {}
    blocks = aggregate(drawn.chunk(time=7, station=2, draw=4), statistic=statistic, **options)
    assert blocks.pm25.chunks
    whole = aggregate(drawn, statistic=statistic, **options)
    xr.testing.assert_allclose(blocks.compute(), whole, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "median"}, "statistic must be one of mean, max, mda8, hours_above, days_a"),
        ({"statistic": "p0"}, "or a percentile such as 'p98'; found 'p0'"),
        ({"statistic": "p100"}, "a percentile such as 'p98'; found 'p100'"),
        ({"statistic": "hours_above"}, "hours_above needs a limit: limit=35.0, in ug m-3"),
        ({"statistic": "hours_above", "limit": -1}, "a limit is a number above 0, in ug m-3; fo"),
        ({"statistic": "hours_above", "limit": "35"}, "a limit is a number above 0.* found '35'"),
        ({"limit": 35.0}, "a limit is of hours_above and days_above; found statistic='mean'"),
        ({"statistic": "days_above", "limit": 5}, "days_above counts the days of a week or longer"),
        ({"statistic": "mda8", "period": "month"}, "mda8 is the maximum of a day; found period="),
    ],
)
def test_statistics_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        aggregate(constant(5.0, "pm25"), **options)


def test_a_limit_in_other_units_is_refused():
    obs = constant(5.0, "pm25")
    obs.pm25.attrs["units"] = "mg m-3"
    with pytest.raises(ValueError, match="pm25 must be in 'ug m-3'; its units are 'mg m-3'"):
        aggregate(obs, statistic="hours_above", limit=35.0)


def test_an_index_of_draws_has_probabilities_of_its_categories(drawn):
    drawn = drawn.isel(time=slice(48))  # every hour of which has an estimate
    layers = air_quality_index(drawn, "germany")
    numbers = air_quality_index(drawn.pm25_draws.rename("pm25").to_dataset(), "germany")
    probability = layers.index_category_probability
    expected = (numbers.index_category == probability.category).mean("draw")
    np.testing.assert_allclose(probability.transpose(*expected.dims), expected, atol=1e-6)
    np.testing.assert_allclose(probability.sum("category"), 1.0, atol=1e-5)
    np.testing.assert_array_equal(layers.index_category, numbers.index_category.median("draw"))
    assert "draw" not in layers.index_category.dims


@cache
def outlook_from(*starts):
    """Return two days from each start. What is learned is from the hours before the first."""
    obs = aqr.synthetic_network(hours=240, seed=0).observations
    start = list(starts) if len(starts) > 1 else starts[0]
    return obs.aqnet.outlook("48h", start=start, method="persistence", progress=False).load()


@pytest.mark.parametrize("index", INDICES)
def test_each_start_of_a_set_of_outlooks_has_an_index_of_its_own(index, tmp_path):
    starts = ["2020-11-08", "2020-11-08T12:00"]
    several = outlook_from(*starts).aqnet.index(index)
    path = several.aqnet.to_netcdf(tmp_path / "index.nc")
    with aqr.open_product(path) as opened:
        assert opened.index_category.attrs["flag_meanings"].startswith("no_index ")
        for number, start in enumerate(starts):
            alone = outlook_from(start).aqnet.index(index)
            ours = opened.index_category.isel(forecast_reference_time=number)
            ours = ours.sel(station=alone.station).transpose("station", "lead_time")
            np.testing.assert_array_equal(ours, alone.index_category.transpose("station", "time"))
    assert several.attrs["references"].endswith(INDICES[index].source)


@pytest.mark.parametrize(
    ("statistic", "layer"), [("max", "pm25"), ("hours_above", "pm25_hours_above_35")]
)
def test_each_start_of_a_set_of_outlooks_has_statistics_of_its_own(statistic, layer):
    asked = {"statistic": statistic, "limit": 35.0 if statistic == "hours_above" else None}
    starts = ["2020-11-08", "2020-11-09"]
    several = outlook_from(*starts).aqnet.aggregate("day", **asked)
    # Both learn what was before the first start.
    first = outlook_from(starts[0]).aqnet.aggregate("day", **asked)
    ours = several[layer].isel(forecast_reference_time=0).sel(station=first.station)
    ours = ours.transpose("station", "lead_time")
    np.testing.assert_allclose(ours, first[layer].transpose("station", "time"), rtol=1e-5)


def test_daily_values_have_no_daily_means():
    with pytest.raises(ValueError, match="values of 24 h have no means over a day"):
        aggregate(series([5.0, 6.0], step=24))


def test_daily_means_of_a_file_are_verified(days, tmp_path):
    obs = aqr.synthetic_network(hours=72, seed=0).observations
    at = obs.aqnet.reanalyse("pm25", at=obs, method="idw")
    path = at.aqnet.aggregate().aqnet.to_netcdf(tmp_path / "daily.nc", progress=False)
    daily = obs.aqnet.aggregate("day")
    daily.aqnet.validate()
    with aqr.open_product(path) as opened:
        assert opened.pm25.attrs["long_name"] == "daily mean of PM2.5 mass concentration"
        assert opened.time.attrs["step_hours"] == 24
        scores = aqr.verify_product(opened, daily)
    assert scores is not None
    assert np.isfinite(values_of(daily, "pm25")).sum() > 50


def test_means_of_filled_observations_are_complete():
    obs = aqr.synthetic_network(hours=72, seed=0).observations
    daily = obs.aqnet.fill("pm25", method=quick_model(obs), quality="ignore").aqnet.aggregate("day")
    assert float(daily.pm25.notnull().mean()) > 0.99
    measured = obs.aqnet.aggregate("day", capture=1).pm25
    np.testing.assert_allclose(daily.pm25.where(measured.notnull()), measured, rtol=1e-5)


def test_a_projected_product_keeps_its_coordinates(tmp_path):
    obs = aqr.synthetic_network(hours=48, seed=0).observations
    grid = aqr.Grid((350000, 750000, 4170000, 4570000), 100000, crs="EPSG:32650")
    daily = obs.aqnet.reanalyse("pm25", grid=grid, method="idw").aqnet.aggregate("day")
    assert daily.crs.attrs["grid_mapping_name"] == "transverse_mercator"
    assert daily.x.attrs["units"] == "m"
    assert {layer.attrs["grid_mapping"] for layer in (daily.pm25, daily.pm25_q95)} == {"crs"}
    path = daily.aqnet.to_netcdf(tmp_path / "daily.nc", progress=False)
    with aqr.open_product(path) as opened:
        assert opened.pm25.dims == ("time", "y", "x")
        assert opened.aqnet.aggregate("week", capture=0.1).pm25.dims == ("time", "y", "x")


def test_holes_in_time_change_no_other_day(days):
    whole = aggregate(days)
    holed = aggregate(days.drop_isel(time=[1, 2, 3, 4, 5, 6, 7, 8]))
    assert holed.pm25[0].isnull().all()
    xr.testing.assert_allclose(holed.isel(time=slice(1, 3)), whole.isel(time=slice(1, 3)))


def test_means_of_means_count_by_their_hours():
    hours = pd.date_range("2021-01-01", "2022-01-01", freq="h", inclusive="left")
    year = series(np.arange(hours.size, dtype=float))
    year = year.assign_coords(time=("time", hours, year.time.attrs))
    utc = aggregate(year, "month", capture=1)
    np.testing.assert_allclose(
        aggregate(utc, "year", capture=1).pm25, aggregate(year, "year", capture=1).pm25, rtol=1e-6
    )
    berlin = aggregate(year, "day", time_zone="Europe/Berlin").isel(time=slice(1, -1))
    assert np.isfinite(
        aggregate(berlin, "month", capture=1, time_zone="Europe/Berlin").pm25[0, 1:-1]
    ).all()
    assert float(berlin.aqnet.index("us_epa").index_category.min()) >= 1


def test_other_units_are_refused(product):
    other = product.assign(pm25=product.pm25.assign_attrs(units="mg m-3"))
    with pytest.raises(ValueError, match=r"pm25 must be in 'ug m-3'; its units are 'mg m-3'"):
        exceedance(other, 35.0)
    with pytest.raises(ValueError, match=r"pm25 must be in 'ug m-3'; its units are 'mg m-3'"):
        air_quality_index(other)


def test_a_probability_is_no_concentration(product):
    layer = exceedance(product, [35.0, 35.0000001]).pm25_above_35
    assert {"standard_name", "cell_methods", "statistic"}.isdisjoint(layer.attrs)
    assert layer.attrs["units"] == "1"
    assert layer.attrs["grid_mapping"] == "crs"


def test_an_index_of_a_large_field_has_small_blocks():
    chunked = product_of_zeros().chunk(time=24, lat=500, lon=500)
    blocks = air_quality_index(chunked, "us_epa").pm25_index.data.chunksize
    assert np.prod(blocks) <= 2**26


def product_of_zeros():
    """Return a year of a large field that takes no memory."""
    import dask.array

    hours = pd.date_range("2020-01-01", periods=8760, freq="h")
    values = dask.array.zeros((8760, 1000, 1000), chunks=(24, 500, 500), dtype="f4")
    return xr.Dataset({"pm25": (("time", "lat", "lon"), values)}, coords={"time": hours})


def test_nothing_is_overwritten_by_what_is_derived_from_it(days, tmp_path):
    source = days.aqnet.to_netcdf(tmp_path / "p.nc", progress=False)
    result = CliRunner().invoke(app, ["aggregate", str(source), "-o", str(source)])
    assert result.exit_code == 1
    assert "is the product itself" in str(result.exception)
    short = days.isel(time=slice(0, 6))
    with pytest.raises(ValueError, match=r"no day has 75% of its hours: .* has 6 of 24"):
        aggregate(short)


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "derived.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert {path.name for path in tmp_path.iterdir()} >= {"districts.gpkg", "districts.nc"}
