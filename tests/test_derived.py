"""What is derived from hourly fields: probabilities of exceedance and air-quality indices."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import aqreanalysis as aqr
from aqreanalysis.cli.application import app
from aqreanalysis.derived import INDICES, air_quality_index, exceedance
from aqreanalysis.predictive import RootNormal


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


def test_commands_add_layers_to_a_file(product, tmp_path):
    source, runner = product.aqnet.to_netcdf(tmp_path / "p.nc", progress=False), CliRunner()
    for command, options, layer in (
        ("index", ["--index", "china"], "index_category"),
        ("exceedance", ["--limit", "35"], "pm25_above_35"),
    ):
        output = tmp_path / f"{command}.nc"
        result = runner.invoke(app, [command, str(source), "-o", str(output), *options])
        assert result.exit_code == 0, result.output
        assert layer in result.output
        with aqr.open_product(output) as opened:
            assert layer in opened
            assert "pm25" in opened
