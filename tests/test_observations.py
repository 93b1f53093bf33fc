"""What a valid Dataset is: every fault is found and named, all at once; what is taken from one."""

import hashlib
import pickle
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from aqreanalysis.observations import (
    ObservationError,
    default_variable,
    find_faults,
    input_digest,
    step_hours,
    stored_values,
    time_bounds,
    validate,
    value_range,
    values_of,
)


@pytest.fixture
def valid() -> xr.Dataset:
    """Two stations, three hours, one value missing."""
    time = np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"], "datetime64[ns]")
    dataset = xr.Dataset(
        {"pm25": (("station", "time"), np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]], "f4"))},
        coords={
            "station": ["A", "B"],
            "time": time,
            "longitude": ("station", [10.0, 11.0]),
            "latitude": ("station", [50.0, 51.0]),
        },
    )
    dataset["pm25"].attrs["units"] = "ug m-3"
    dataset["time"].attrs.update(time_label="start", step_hours=1.0)
    return dataset


def test_a_valid_dataset_has_no_fault(valid):
    assert find_faults(valid) == []
    validate(valid)


def test_identifiers_may_be_objects_and_order_of_dimensions_is_free(valid):
    objects = valid.assign_coords(station=np.array(["A", "B"], dtype=object))
    assert find_faults(objects.transpose("time", "station")) == []


def test_one_station_and_one_hour_are_no_fault(valid):
    assert find_faults(valid.isel(station=[0], time=[0])) == []


def _without_attribute(dataset, name, attribute):
    dataset = dataset.copy()
    dataset[name].attrs.pop(attribute)
    return dataset


def _with_time(dataset, *stamps):
    time = xr.DataArray(np.array(stamps, "datetime64[ns]"), dims="time", attrs=dataset.time.attrs)
    return dataset.assign_coords(time=time)


FAULTS = {
    "dimensions": (
        lambda d: d.rename(station="site"),
        r"need dimensions \('station', 'time'\); found \('site', 'time'\)",
    ),
    "no station": (lambda d: d.isel(station=[]), "no station"),
    "numbers as identifiers": (
        lambda d: d.assign_coords(station=[1, 2]),
        r"identifiers must be text.*found 1 \(2 such\)",
    ),
    "station twice": (
        lambda d: d.assign_coords(station=["A", "A"]),
        "identifiers must be unique; 'A' is there 2 times",
    ),
    "no longitude": (lambda d: d.drop_vars("longitude"), "coordinate 'longitude' on 'station'"),
    "latitude 95": (
        lambda d: d.assign_coords(latitude=("station", [50.0, 95.0])),
        "latitude of station B is outside -90 to 90: 95",
    ),
    "altitude in feet": (
        lambda d: d.assign_coords(altitude=("station", [30.0, 60.0], {"units": "ft"})),
        r"the altitude must be in 'm'; its units are 'ft'\. Convert it: of feet .*0\.3048",
    ),
    "altitude as text": (
        lambda d: d.assign_coords(altitude=("station", ["30 m", "60 m"])),
        "the altitude must be numbers on 'station', in m",
    ),
    "longitude missing": (
        lambda d: d.assign_coords(longitude=("station", [np.nan, 11.0])),
        "longitude of station A is missing",
    ),
    "no time": (lambda d: d.drop_vars("time"), "observations have no time"),
    "time as numbers": (
        lambda d: d.assign_coords(time=[0.0, 1.0, 2.0]),
        "time must be datetime64 in UTC.*found float64",
    ),
    "time not regular": (
        lambda d: _with_time(d, "2020-01-01T00", "2020-01-01T01", "2020-01-01T04"),
        "regular; the first step is 1 h, but from 2020-01-01T01:00 UTC to 2020-01-01T04:00 UTC",
    ),
    "time backwards": (
        lambda d: _with_time(d, "2020-01-01T01", "2020-01-01T00", "2020-01-01T02"),
        "must increase; 2020-01-01T00:00 UTC comes after 2020-01-01T01:00 UTC",
    ),
    "no label": (
        lambda d: _without_attribute(d, "time", "time_label"),
        "'start' or the 'end'.*found None",
    ),
    "wrong step": (
        lambda d: d.assign_coords(time=d.time.assign_attrs(step_hours=24.0)),
        r"step_hours'\] must be 1; found 24.0",
    ),
    "no pollutant": (lambda d: d.rename(pm25="humidity"), "no pollutant.*variables are humidity"),
    "no units": (
        lambda d: _without_attribute(d, "pm25", "units"),
        "pm25 must be in 'ug m-3'; its units are None",
    ),
    "infinite": (
        lambda d: d.assign(pm25=d.pm25.where(d.pm25 != 5.0, np.inf)),
        "pm25 is infinite at station B, 2020-01-01T01:00 UTC",
    ),
    "all missing": (
        lambda d: d.assign(pm25=d.pm25 * np.nan),
        "pm25 is missing at every station and hour",
    ),
    "text": (lambda d: d.assign(pm25=d.pm25.astype(str)), "pm25 must hold numbers"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_named(valid, case):
    spoil, words = FAULTS[case]
    with xr.set_options(keep_attrs=True):
        spoiled = spoil(valid)
    with pytest.raises(ObservationError, match=words) as caught:
        validate(spoiled)
    assert len(caught.value.faults) == 1


def test_all_faults_are_listed_at_once(valid):
    spoiled = valid.assign_coords(latitude=("station", [95.0, 50.0]), station=["A", "A"])
    spoiled["pm25"].attrs["units"] = "ppb"
    with pytest.raises(ObservationError, match="observations: 3 faults\n- station") as caught:
        validate(spoiled)
    assert [words in str(caught.value) for words in ("unique", "95", "ppb")] == [True] * 3


def test_the_error_crosses_a_process_boundary():
    error = ObservationError(["a", "b"], source="file.csv")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.faults) == (str(error), ("a", "b"))


def test_the_default_variable_is_pm25_or_the_first_pollutant(valid):
    assert default_variable(valid.assign(o3=valid.pm25)[["o3", "pm25"]]) == "pm25"
    assert default_variable(valid.rename(pm25="no2")) == "no2"
    with pytest.raises(ObservationError, match="no pollutant; variables are rain"):
        default_variable(valid.rename(pm25="rain"))


def test_values_are_a_copy_station_by_time_also_of_lazy_data(valid):
    lazy = valid.transpose("time", "station").chunk(time=1)
    values = values_of(lazy, "pm25")
    np.testing.assert_array_equal(values, valid["pm25"].values.astype(float))
    values[:] = 0.0
    assert float(valid["pm25"][0, 0]) == 1.0


def test_stored_values_are_a_view_that_cannot_be_written_to(valid):
    values = stored_values(valid, "pm25")
    assert values.dtype == np.float32
    assert np.shares_memory(values, valid["pm25"].values)
    with pytest.raises(ValueError, match="read-only"):
        values[:] = 0.0
    turned = stored_values(valid.transpose("time", "station"), "pm25")
    np.testing.assert_array_equal(turned, values)
    assert value_range(valid, "pm25") == (1.0, 6.0)
    assert np.isnan(value_range(valid * np.nan, "pm25")).all()


def test_validation_copies_no_values(valid):
    """One pass over 40 MB, in memory that does not grow with the number of the values."""
    time = valid.time.values[0] + np.arange(100_000) * np.timedelta64(1, "h")
    values = np.ones((100, time.size), np.float32)
    values[:, ::7] = np.nan
    long = xr.Dataset(
        {"pm25": (("station", "time"), values, valid.pm25.attrs)},
        coords={
            "station": [f"s{number}" for number in range(100)],
            "time": ("time", time, valid.time.attrs),
            "longitude": ("station", np.linspace(0, 10, 100)),
            "latitude": ("station", np.linspace(40, 50, 100)),
        },
    )
    validate(long)
    tracemalloc.start()
    validate(long)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 10


def test_the_digest_is_that_of_the_values_whatever_their_type_order_and_missing_bits(valid):
    digest = input_digest(valid, "pm25")
    other_bits = valid.pm25.values.astype(np.float64)
    other_bits[0, 2] = np.uint64(0xFFF8000000000001).view(np.float64)  # another NaN
    same = valid.assign(pm25=valid.pm25.copy(data=other_bits)).isel(station=[1, 0])
    assert input_digest(same.transpose("time", "station"), "pm25") == digest
    parts = [valid.time.values.astype("<i8").tobytes()]
    for name, longitude, latitude, row in (("A", 10.0, 50.0, 0), ("B", 11.0, 51.0, 1)):
        series = valid.pm25.values[row].astype("<f8")
        parts += [name.encode(), np.array([longitude, latitude]).tobytes(), series.tobytes()]
    assert digest == hashlib.sha256(b"".join(parts)).hexdigest()


def test_values_of_an_unknown_variable_name_what_is_there(valid):
    with pytest.raises(ObservationError, match="no variable 'pm10'; they have pm25"):
        values_of(valid, "pm10")
    with pytest.raises(ObservationError, match="x needs dimensions"):
        values_of(valid.assign(x=("station", [1.0, 2.0])), "x")


def test_step_and_bounds_follow_the_label(valid):
    assert step_hours(valid) == 1.0
    daily = valid.isel(time=[0])
    daily["time"].attrs.update(step_hours=24.0, time_label="end")
    assert step_hours(daily) == 24.0
    expected = np.array([["2019-12-31T00", "2020-01-01T00"]], "datetime64[ns]")
    np.testing.assert_array_equal(time_bounds(daily), expected)
    starts = time_bounds(valid)
    np.testing.assert_array_equal(starts[:, 0], valid.time.values)
    np.testing.assert_array_equal(starts[1:, 0], starts[:-1, 1])
