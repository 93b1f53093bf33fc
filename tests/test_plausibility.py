"""What cannot be true is found, named with its remedy and left out; what is true stays."""

import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis.observations import ObservationError, open_observations, suspicions
from aqreanalysis.observations.checks.codes import missing_codes
from aqreanalysis.observations.checks.plausibility import sift
from aqreanalysis.observations.journal import Journal
from benchmarks import sources

HOURS = 240


@pytest.fixture(scope="module")
def true() -> xr.Dataset:
    """Ten stations with weather in common, noise of their own and a decimal of resolution."""
    return _observations()


def _observations(variable: str = "pm25", level: float = 30.0, decimals: int = 1) -> xr.Dataset:
    rng = np.random.default_rng(0)
    weather = np.cumsum(rng.normal(0, 0.15, HOURS))
    values = level * np.exp(weather - weather.mean() + rng.normal(0, 0.2, (10, HOURS)))
    time = pd.date_range("2020-01-01", periods=HOURS, freq="h")
    dataset = xr.Dataset(
        {variable: (("station", "time"), values.round(decimals), {"units": "ug m-3"})},
        coords={
            "station": [f"S{number}" for number in range(10)],
            "time": time,
            "longitude": ("station", 10 + rng.uniform(0, 1, 10)),
            "latitude": ("station", 50 + rng.uniform(0, 1, 10)),
        },
    )
    return open_observations(dataset)


def _with(dataset: xr.Dataset, station: int, hours, values, variable: str = "pm25") -> xr.Dataset:
    """Return the observations with other values at a station."""
    changed = dataset[variable].values.copy()
    changed[station, hours] = values
    return dataset.assign({variable: dataset[variable].copy(data=changed)})


def _moved(dataset: xr.Dataset, station: int, longitude: float, latitude: float) -> xr.Dataset:
    moved = {}
    for name, degrees in (("longitude", longitude), ("latitude", latitude)):
        values = dataset[name].values.copy()
        values[station] = degrees
        moved[name] = ("station", values)
    return dataset.assign_coords(moved)


def test_nothing_is_wrong_with_what_is_true(true):
    assert suspicions(true) == []
    assert sift(true, journal=Journal("x")) is true


@pytest.mark.parametrize("variable", ["pm25", "o3"])
@pytest.mark.parametrize("code", [-99.0, -1.0, -9.0, -8888.0, 9999.0, 99999.0, 999.0])
def test_a_code_is_named_and_read_as_missing(code, variable, caplog):
    wrong = _with(_observations(variable), 3, slice(20, 60, 5), code, variable)
    obs = open_observations(wrong)
    assert int(obs[variable].isnull().sum()) == 8
    (message,) = [m for m in caplog.messages if "missing code" in m]
    example = "8 values (at 1 station; for example station S3, 2020-01-01T20:00 UTC)"
    assert message.startswith(f"Dataset: {example} of {variable} are exactly {code:.6g}")
    assert f"missing={code:.6g} (--missing {code:.6g})" in message
    assert message.removeprefix("Dataset: ") in obs.attrs["history"]


def test_a_full_scale_that_nothing_leads_up_to_is_a_code(true):
    (one,) = suspicions(_with(true, 2, [5, 80, 81, 190], 985.0))
    assert (one.kind, one.cost, int(one.where.sum())) == ("missing_code", "values", 4)


def test_several_codes_are_found_one_after_the_other(true):
    wrong = _with(true, 0, [1, 2, 3], -99.0)
    wrong = _with(_with(wrong, 1, [7, 8, 9, 60], -1.0), 2, [50, 90], 9999.0)
    assert {one.remedy for one in suspicions(wrong)} == {
        f"Say so with missing={code} (--missing {code})" for code in (-99, -1, 9999)
    }


def test_a_code_is_found_behind_a_value_farther_out(true):
    wrong = _with(_with(true, 2, [5, 80, 81, 190], 985.0), 2, 33, 1400.0)
    wrong = _with(_with(wrong, 2, [6, 7, 8], -99.0), 2, 44, -120.3)
    assert [one.remedy for one in suspicions(wrong)] == [
        "Say so with missing=-99 (--missing -99)",
        "Say so with missing=985 (--missing 985)",
    ]


def test_a_code_in_ppb_is_named_as_it_is_written(caplog):
    table = pd.DataFrame(
        {
            "station": "A",
            "time": pd.date_range("2020-01-01", periods=40, freq="h", tz="UTC"),
            "lon": 10.0,
            "lat": 50.0,
            "o3": np.where(np.arange(40) % 8 == 0, -99.0, 20 + np.arange(40) % 7),
        }
    )
    assert int(open_observations(table, units="ppb").o3.count()) == 35
    assert "exactly -194.2" in caplog.text
    assert "missing=-99 (--missing -99)" in caplog.text


def _noisy(decimals: int = 1) -> xr.Dataset:
    """Return observations of an instrument whose noise reaches below -1 around clean air."""
    clean = _observations(level=8.0)
    noise = np.random.default_rng(1).normal(0, 2, clean.pm25.shape)
    return _changed(clean, lambda values: np.round(values + noise, decimals))


@pytest.mark.parametrize("code", [-1.0, 0.0])
def test_a_code_amid_noise_is_found(code):
    noisy = _noisy()
    assert suspicions(noisy) == []
    assert float(noisy.pm25.min()) < -1.5
    hours = np.random.default_rng(2).choice(HOURS, 24, replace=False)
    (one,) = suspicions(_with(noisy, 3, hours, code))
    assert one.remedy == f"Say so with missing={code:g} (--missing {code:g})"
    assert "stand beside values of any level" in one.what
    assert one.where is not None
    assert one.where[3, hours].all()
    assert one.stations.tolist() == [3]


def test_zeros_between_high_values_are_a_code_and_those_of_clean_air_are_not(true):
    hours = [20, 60, 61, 90, 130, 131, 132, 180, 200, 220]
    (one,) = suspicions(_with(true, 4, hours, 0.0))
    assert (one.kind, int(one.where.sum())) == ("missing_code", 10)
    low = np.sort(np.argsort(true.pm25.values[4])[:30])
    assert suspicions(_with(true, 4, low, 0.0)) == []
    clamped = _changed(_noisy(), lambda values: np.maximum(values, 0))
    assert suspicions(clamped) == []


def test_a_code_of_few_hours_is_found_where_many_stations_have_it(true):
    wrong = _changed(true, lambda values: values.copy())
    for station in range(10):
        wrong = _with(wrong, station, [30 + station, 150 - station], 0.0)
    (one,) = suspicions(wrong)
    assert (one.stations.size, int(one.where.sum())) == (10, 20)


@pytest.mark.parametrize("code", [9999.0, 985.0])
def test_a_code_among_values_as_large_is_found(code):
    large = _observations("pm10", level=2500.0)
    assert float(large.pm10.max()) > 9999
    (one,) = suspicions(_with(large, 2, slice(5, 240, 16), code, "pm10"))
    assert f"exactly {code:g}" in one.what


def test_public_data_that_are_right_hold_no_code(data_dir):
    for read in (sources.beijing36, sources.usepa, sources.germany, sources.europe):
        suspect = suspicions(read(data_dir))
        assert [one for one in suspect if one.kind == "missing_code"] == []


def _strictly(dataset: xr.Dataset) -> xr.Dataset:
    return sift(dataset, journal=Journal("file", silent=True), strict=True)


def _changed(dataset: xr.Dataset, change) -> xr.Dataset:
    """Return the observations with all values changed by a function."""
    return dataset.assign(pm25=dataset.pm25.copy(data=change(dataset.pm25.values)))


@pytest.mark.parametrize(
    "real",
    [
        lambda d: _with(d, 3, slice(20, 60), 0.0),  # stuck, but no code
        lambda d: _changed(d, lambda v: (v / 5).round() * 5),  # coarse steps
        lambda d: _changed(d, lambda v: v.clip(max=60)),  # a full scale
        lambda d: _changed(d, lambda v: v.clip(min=12)),  # a detection limit
        lambda d: _changed(d, lambda v: (v - 30).clip(min=-5)),  # noise about zero, cut
        lambda d: _with(d, 3, 50, 900.0),  # once
        lambda d: _with(d, 3, slice(48, 54), [300, 700, 985, 985, 985, 500]),  # a saturation
    ],
)
def test_zeros_limits_steps_and_saturations_are_measurements(true, real):
    assert [one for one in suspicions(real(true)) if one.kind == "missing_code"] == []


@pytest.mark.parametrize(
    ("longitude", "latitude", "words"),
    [
        (0.0, 0.0, "is at 0, 0 and"),
        (50.4, 10.6, "with latitude and longitude swapped"),
        (-10.6, 50.4, "with the sign of its longitude turned"),
        (10.6, -50.4, "with the sign of its latitude turned"),
    ],
)
def test_a_misplaced_station_is_left_out(true, longitude, latitude, words, caplog):
    wrong = _moved(true, 4, longitude, latitude)
    obs = open_observations(wrong)
    assert "S4" not in obs.station.values
    assert obs.sizes["station"] == 9
    assert words in caplog.text
    assert "station S4" in obs.attrs["history"]
    with pytest.raises(ObservationError, match=r"station S4 is .*stations=\.\.\. \(--stations\)"):
        _strictly(wrong)


def test_an_altitude_of_no_place_is_read_as_missing_and_the_station_stays(true, caplog):
    altitude = np.full(10, 310.0)
    altitude[[2, 7]] = -999.0
    stated = true.assign_coords(altitude=("station", altitude, {"units": "m"}))
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        sifted = sift(stated, journal=Journal("x"))
    assert "the altitude of station S2 (2 such stations) is -999 m, of no place on land; read" in (
        caplog.text
    )
    assert np.isnan(sifted.altitude.values).nonzero()[0].tolist() == [2, 7]
    assert sifted.altitude.attrs["units"] == "m"
    xr.testing.assert_equal(sifted.pm25.drop_vars("altitude"), true.pm25)
    with pytest.raises(ObservationError, match="altitude of station S2"):
        sift(stated, journal=Journal("x"), strict=True)
    np.testing.assert_array_equal(stated.altitude, altitude)  # what was given is not changed


def test_several_swapped_stations_are_no_network_of_their_own(true):
    x, y = true.longitude.values.copy(), true.latitude.values.copy()
    x[:3], y[:3] = y[:3].copy(), x[:3].copy()
    wrong = true.assign_coords(longitude=("station", x), latitude=("station", y))
    assert open_observations(wrong).station.values.tolist() == true.station.values[3:].tolist()


def test_of_two_stations_none_is_certain(true, caplog):
    wrong = _moved(true.isel(station=[0, 1]), 0, 50.4, 10.6)
    assert open_observations(wrong).sizes["station"] == 2
    assert "with latitude and longitude swapped" in caplog.text


def test_a_remote_station_is_named_and_stays(true, caplog):
    caplog.set_level(logging.INFO)
    obs = open_observations(_moved(true, 4, -61.5, 16.2))
    assert obs.sizes["station"] == 10
    assert "station S4 is" in caplog.text
    assert "km from all others" in caplog.text
    assert _strictly(_moved(true, 4, -61.5, 16.2)).sizes["station"] == 10


def test_networks_at_and_around_zero_stay():
    around = _observations()
    around = around.assign_coords(
        longitude=around.longitude - 10.5, latitude=around.latitude - 50.5
    )
    assert open_observations(_moved(around, 4, 0.0, 0.0)).sizes["station"] == 10
    assert open_observations(_moved(around, 4, 0.0, 0.0).isel(station=[4])).sizes["station"] == 1


def test_signs_are_not_turned_where_stations_lie_on_both_sides(true):
    """The Azores lie where Turkey would with another sign; both have stations."""
    both = true.assign_coords(longitude=("station", np.linspace(-9, 29, 10)))
    assert [one.kind for one in suspicions(_moved(both, 0, -28.6, 38.5))] in ([], ["remote"])


@pytest.mark.parametrize("lag", [0, 1, -3])
def test_two_stations_with_the_same_numbers(true, lag, caplog):
    shifted = true.pm25[0].shift(time=lag).values
    obs = open_observations(_with(true, 1, slice(None), shifted))
    assert obs.sizes["station"] == 10  # nothing is left out, it is said
    assert "stations S0 and S1 hold the same numbers of pm25" in caplog.text
    assert {0: "Leave one", 1: "1 h later", -3: "3 h earlier"}[lag] in caplog.text


def test_daily_values_among_hourly_ones_are_no_hourly_values(true, caplog):
    daily = np.where(np.arange(HOURS) % 24 == 0, 21.5, np.nan)
    obs = open_observations(_with(true, 5, slice(None), daily + np.arange(HOURS) / 7))
    assert bool(obs.pm25[5].isnull().all())
    assert "10 values (at 1 station; for example station S5, 2020-01-01T00:00 UTC)" in caplog.text


def test_daily_and_three_hourly_networks_are_no_mixtures(true):
    for step in (24, 6, 3):
        assert suspicions(open_observations(true.isel(time=slice(None, None, step)))) == []


def test_a_table_with_both_averaging_times_says_so():
    hours = pd.date_range("2020-01-01", periods=48, freq="h", tz="UTC")
    table = pd.DataFrame({"station": "A", "time": hours, "lon": 10.0, "lat": 50.0})
    table["pm10"] = 10 + np.arange(48) % 5
    daily = table.iloc[[0, 24]].assign(pm10=21.5)
    with pytest.raises(ObservationError, match="all stand at 00:00 UTC: daily values among hourly"):
        open_observations(pd.concat([table, daily]))


@pytest.mark.parametrize(
    ("variable", "level", "units"),
    [
        ("co", 0.8, "mg/m3 or ppm"),
        ("pm25", 0.03, "mg/m3"),
        ("o3", 0.04, "mg/m3 or ppm"),
    ],
)
def test_units_that_make_a_pollutant_implausible(variable, level, units, caplog):
    wrong = _observations(variable, level, decimals=4)
    assert f"the values of {variable} at 10 stations" in caplog.text
    assert f"were they in {units}?" in caplog.text
    first = units.partition(" or ")[0]
    assert f"units={{'{variable}': '{first}'}} (--units {variable}={first})" in caplog.text
    assert int(wrong[variable].count()) == 10 * HOURS  # said, not corrected
    with pytest.raises(ObservationError, match=f"--units {variable}="):
        _strictly(wrong)


def test_units_that_were_assumed_are_not_suggested(caplog):
    hours = pd.date_range("2020-01-01", periods=48, freq="h", tz="UTC")
    table = pd.DataFrame({"station": "A", "time": hours, "lon": 10.0, "lat": 50.0, "so2": 12.0})
    table["so2"] += np.arange(48) % 5 / 10
    open_observations(table, units="ppm")
    assert "were they in ug/m3 or ppb? State them with units={'so2': 'ug/m3'}" in caplog.text
    caplog.clear()
    table["so2"] *= 2600
    open_observations(table)
    assert "were they in" not in caplog.text
    assert "too high in ug m-3 (median 31720). Check its values and units" in caplog.text


def test_one_station_in_other_units_is_named():
    wrong = _observations("co", 600.0)
    wrong = _with(wrong, 7, slice(None), wrong.co[7].values / 1000, "co")
    (one,) = suspicions(wrong)
    assert one.what.startswith("the values of co at station S7 (1 such stations) are too low")


def test_all_is_said_at_once_if_strict(true):
    wrong = _moved(_with(true, 3, slice(20, 60, 5), -99.0), 4, 0.0, 0.0)
    with pytest.raises(ObservationError, match="2 faults") as caught:
        _strictly(wrong)
    assert len(caught.value.faults) == 2


def test_nothing_but_codes_is_an_error(true):
    wrong = true.assign(pm25=xr.full_like(true.pm25, -99.0))
    with pytest.raises(ObservationError, match="no value of pm25 is left"):
        open_observations(wrong)


def test_types_attributes_and_the_argument_stay(true):
    wrong = _with(true, 3, slice(20, 60, 5), -99.0)
    before = wrong.copy(deep=True)
    obs = open_observations(wrong)
    assert obs.pm25.dtype == wrong.pm25.dtype
    assert obs.pm25.attrs == wrong.pm25.attrs
    xr.testing.assert_identical(wrong, before)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("beijing36", []),
        ("beijing30", []),
        ("germany", []),
        ("europe", ["copy"]),  # AT10002 and AT11002 hold the same 357 numbers indeed
        pytest.param("beijing12", [], marks=pytest.mark.slow),
        pytest.param("usepa", [], marks=pytest.mark.slow),
    ],
)
def test_no_false_alarm_on_public_networks(name, kinds, data_dir):
    observations = getattr(sources, name)(data_dir)
    assert [one.kind for one in suspicions(observations)] == kinds


def test_north_is_no_code_of_wind_directions():
    rng = np.random.default_rng(0)
    turning = np.round(rng.normal(0, 1.5, (3, 2000)).cumsum(axis=1)) * 22.5 % 360
    turning[:, ::9] = 0.0  # gusts from the north, whatever is before and after
    assert missing_codes(turning, "wind_direction") == []
