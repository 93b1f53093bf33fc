"""Flags find what was put in, leave clean data alone, and never delete."""

import numpy as np
import pytest
import xarray as xr

from aqreanalysis.observations import (
    FLAGS,
    ObservationError,
    QualityLimits,
    find_faults,
    flag,
    mask,
    open_observations,
)

HOURS = 400


@pytest.fixture(scope="module")
def clean() -> xr.Dataset:
    """A smooth field that ten stations share, with a diurnal cycle and small noise."""
    rng = np.random.default_rng(0)
    time = np.datetime64("2020-01-01", "ns") + np.arange(HOURS) * np.timedelta64(1, "h")
    shared = 40 + 15 * np.sin(2 * np.pi * np.arange(HOURS) / 24)
    values = shared + rng.normal(0, 1.5, (10, HOURS))
    dataset = xr.Dataset(
        {"pm25": (("station", "time"), values.astype("f4"), {"units": "ug m-3"})},
        coords={
            "station": [f"s{number}" for number in range(10)],
            "time": time,
            "longitude": ("station", 10 + 0.1 * np.arange(10)),
            "latitude": ("station", 50 + 0.05 * np.arange(10) ** 1.1),
        },
    )
    return open_observations(dataset)


def _spoiled(dataset: xr.Dataset, station: int, hours: slice | int, value: float) -> xr.Dataset:
    values = dataset.pm25.values.copy()
    values[station, hours] = value
    return dataset.assign(pm25=dataset.pm25.copy(data=values))


def _flags(dataset: xr.Dataset) -> np.ndarray:
    return flag(dataset, "pm25").pm25_flag.values


def test_clean_data_are_good(clean):
    assert (_flags(clean) == FLAGS["good"]).all()


@pytest.mark.parametrize(
    ("hours", "value", "meaning"),
    [
        (100, np.nan, "missing"),
        (100, 2500.0, "out_of_range"),
        (100, -11.0, "out_of_range"),
        (slice(100, 112), 47.0, "flat_line"),
        (100, 600.0, "spike"),
        (slice(100, 104), [400.0, 410.0, 405.0, 402.0], "neighbour_outlier"),
    ],
)
def test_what_is_wrong_is_flagged_and_nothing_else(clean, hours, value, meaning):
    flags = _flags(_spoiled(clean, 3, hours, value))
    expected = np.zeros_like(flags)
    expected[3, hours] = FLAGS[meaning]
    np.testing.assert_array_equal(flags, expected)


def test_noise_about_zero_and_short_runs_are_good(clean):
    low = clean.assign(pm25=clean.pm25 - clean.pm25.mean())
    assert (_flags(low.assign(pm25=low.pm25.clip(-9))) != FLAGS["out_of_range"]).all()
    assert not (_flags(_spoiled(clean, 3, slice(100, 107), 47.0)) == FLAGS["flat_line"]).any()


def test_coarse_steps_may_repeat_for_long(clean):
    """Values in steps of 20 repeat in runs of eight and more, and no instrument is stuck."""
    coarse = clean.assign(pm25=(clean.pm25 / 20).round() * 20)
    flags = _flags(coarse)
    assert (flags == FLAGS["flat_line"]).mean() < 0.01


def test_a_rise_of_all_stations_is_no_outlier_and_no_spike(clean):
    values = clean.pm25.values.copy()
    values[:, 200:] *= 4
    flags = _flags(clean.assign(pm25=clean.pm25.copy(data=values)))
    assert (flags == FLAGS["good"]).all()


def test_a_station_with_an_offset_of_its_own_is_no_outlier(clean):
    values = clean.pm25.values.copy()
    values[3] *= 3
    assert (_flags(clean.assign(pm25=clean.pm25.copy(data=values))) == FLAGS["good"]).all()


def test_one_bad_station_does_not_flag_its_neighbours(clean):
    spoiled = _spoiled(clean, 3, slice(100, 150), np.random.default_rng(1).uniform(600, 900, 50))
    flags = _flags(spoiled)
    assert (np.delete(flags, 3, axis=0) == FLAGS["good"]).all()
    assert (flags[3, 101:149] != FLAGS["good"]).all()


def test_the_order_of_stations_does_not_matter(clean):
    spoiled = _spoiled(clean, 3, slice(100, 104), 400.0)
    order = np.random.default_rng(2).permutation(10)
    turned = flag(spoiled.isel(station=order), "pm25").pm25_flag
    np.testing.assert_array_equal(turned.values, _flags(spoiled)[order])


def test_few_stations_and_stations_without_a_value(clean):
    for count in (1, 2, 5):
        assert (_flags(clean.isel(station=slice(count))) == FLAGS["good"]).all()
    flags = _flags(_spoiled(clean, 3, slice(None), np.nan))
    assert (flags[3] == FLAGS["missing"]).all()
    assert (np.delete(flags, 3, axis=0) == FLAGS["good"]).all()


def test_values_are_never_changed_and_the_argument_neither(clean):
    before = clean.copy(deep=True)
    flagged = flag(_spoiled(clean, 3, 100, 600.0), "pm25")
    assert float(flagged.pm25[3, 100]) == 600.0
    xr.testing.assert_identical(clean, before)
    assert find_faults(flagged) == []


def test_flags_are_cf(clean):
    flagged = flag(clean, "pm25")
    attributes = flagged.pm25_flag.attrs
    assert flagged.pm25_flag.dtype == np.int8
    assert attributes["flag_values"].dtype == np.int8
    assert attributes["flag_meanings"].split() == list(FLAGS)
    assert attributes["flag_values"].tolist() == list(FLAGS.values())
    assert attributes["standard_name"] == "quality_flag"
    assert flagged.pm25.attrs["ancillary_variables"] == "pm25_flag"


def test_mask_rejects_what_is_named_and_keeps_the_rest(clean):
    spoiled = _spoiled(_spoiled(clean, 3, 100, 600.0), 4, slice(200, 204), 400.0)
    flagged = flag(spoiled, "pm25")
    masked = mask(flagged, "pm25")
    assert int(masked.pm25.isnull().sum()) == 1
    assert np.isnan(float(masked.pm25[3, 100]))
    strict = mask(flagged, "pm25", reject=("spike", "neighbour_outlier"))
    assert int(strict.pm25.isnull().sum()) >= 3
    assert strict.pm25.attrs == flagged.pm25.attrs
    assert int(flagged.pm25.isnull().sum()) == 0


def test_mask_needs_flags_and_known_names(clean):
    with pytest.raises(
        ObservationError, match=r"pm25_flag must be there; use obs.aqnet.flag\(\) first"
    ):
        mask(clean, "pm25")
    with pytest.raises(ObservationError, match="no such flags: odd; there are good, missing"):
        mask(flag(clean, "pm25"), "pm25", reject=("odd",))
    with pytest.raises(ObservationError, match="no variable 'o3'"):
        flag(clean, "o3")


def test_limits_are_checked_all_at_once():
    with pytest.raises(ValueError, match=r"flat_steps must be .*; .*neighbours must be .*; flat_c"):
        QualityLimits(flat_steps=1, neighbours=2, flat_chance=0.0)


def test_real_networks_are_mostly_good_and_a_stuck_monitor_is_found(data_dir):
    """Station 26-163-0039 of the US reports 0.0 for 4117 hours of 2011."""
    us = open_observations(data_dir / "usepa_2011" / "pm25_frm_fem_hourly_2011.csv.gz")
    flags = flag(us, "pm25").pm25_flag
    present = flags != FLAGS["missing"]
    assert float((flags == FLAGS["good"]).sum() / present.sum()) > 0.995
    stuck = us.pm25.where(flags == FLAGS["flat_line"]).sel(station="26-163-0039")
    assert int(stuck.notnull().sum()) == 4117
    assert float(stuck.max()) == 0.0
