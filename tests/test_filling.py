"""Filling gaps at the stations: what was measured stays, what is estimated is said to be."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from product_cases import quick_model

import aqreanalysis as aqr
from aqreanalysis.filling import ORIGINS, fill
from aqreanalysis.methods.kriging.calibration import SpreadLaw
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import NearbyStations, complete, last_and_next
from aqreanalysis.methods.kriging.made_gaps import KNOTS, _Errors, made_gaps
from aqreanalysis.observations import validate
from aqreanalysis.predictive import RootNormal, freedom_of


@pytest.fixture(scope="module")
def observations():
    return aqr.synthetic_network(hours=96, seed=4).observations


@pytest.fixture(scope="module")
def model(observations):
    return quick_model(observations)


def without(observations, station, hours):
    """Return the observations with a gap at one station."""
    gappy = observations.copy(deep=True)
    gappy.pm25[{"station": station, "time": hours}] = np.nan
    return gappy


def test_what_was_measured_stays_bit_for_bit(observations, model):
    filled = fill(observations, method=model)
    present = observations.pm25.notnull().values
    assert filled.pm25.dtype == observations.pm25.dtype
    np.testing.assert_array_equal(filled.pm25.values[present], observations.pm25.values[present])
    assert (filled.pm25_origin.values[present] == ORIGINS["measured"]).all()
    assert np.isnan(filled.pm25_uncertainty.values[present]).all()
    gaps = ~present
    assert gaps.any()
    assert (filled.pm25_origin.values[gaps] == ORIGINS["estimated"]).all()
    assert (filled.pm25_uncertainty.values[gaps] > 0).all()
    assert (filled.pm25.values[gaps] >= 0).all()


def test_the_result_is_valid_observations_with_all_else_as_it_was(observations, model):
    before = observations.copy(deep=True)
    filled = observations.aqnet.fill(method=model)
    xr.testing.assert_identical(observations, before)
    validate(filled)
    others = [name for name in observations.data_vars if name != "pm25"]
    xr.testing.assert_identical(
        filled[others].assign_attrs(observations.attrs).drop_attrs(deep=False),
        observations[others].drop_attrs(deep=False),
    )
    assert "gaps of pm25 filled" in filled.attrs["history"]
    assert filled.pm25.attrs["ancillary_variables"] == "pm25_uncertainty pm25_origin"
    assert filled.pm25_origin.attrs["flag_meanings"] == "measured estimated no_estimate"
    assert filled.pm25_uncertainty.attrs["units"] == "ug m-3"


def test_a_gap_is_found_from_neighbours_and_from_the_hours_around_it(observations, model):
    hours = slice(40, 46)
    truth = observations.pm25.isel(station=slice(0, 12), time=hours)
    result = [
        fill(without(observations, station, hours), method=model).pm25.isel(
            station=station, time=hours
        )
        for station in range(12)
    ]
    error = np.concatenate([f.values for f in result]) - truth.values.ravel()
    from_the_mean = observations.pm25.mean("time").isel(station=slice(0, 12)) - truth
    assert np.sqrt(np.nanmean(error**2)) < 0.6 * np.sqrt(float((from_the_mean**2).mean()))


def test_the_longer_the_gap_the_less_is_known_in_its_middle(observations, model):
    # Without neighbours that report, only the hours before and after are left.
    def uncertainty(width):
        hours = slice(48 - width, 48 + width + 1)
        gappy = observations.copy(deep=True)
        gappy.pm25[{"time": hours}] = np.nan
        # In units of the square root, so that the level of the estimate plays no part.
        filled = fill(gappy, method=model).isel(station=0, time=48)
        return float(filled.pm25_uncertainty / np.sqrt(filled.pm25))

    assert uncertainty(1) < uncertainty(4) < uncertainty(12)


def test_an_outage_of_all_stations_beyond_a_day_stays_missing(observations, model):
    gappy = observations.copy(deep=True)
    gappy.pm25[{"time": slice(10, 70)}] = np.nan  # 60 hours
    filled = fill(gappy, method=model)
    inside = filled.isel(time=slice(36, 44))  # more than 24 hours from either end
    assert inside.pm25.isnull().all()
    assert (inside.pm25_origin == ORIGINS["no_estimate"]).all()
    assert inside.pm25_uncertainty.isnull().all()
    reported = observations.pm25.isel(time=slice(0, 10)).notnull().any("time")
    assert filled.pm25.isel(time=12)[reported.values].notnull().all()


def test_a_station_that_never_reports_is_estimated_from_the_others(observations, model):
    silent = without(observations, 7, slice(None))
    filled = fill(silent, method=model).isel(station=7)
    reports = silent.pm25.notnull().any("station")
    expected = xr.where(reports, ORIGINS["estimated"], ORIGINS["no_estimate"])
    np.testing.assert_array_equal(filled.pm25_origin, expected)
    others = observations.pm25.isel(station=7)
    assert float(xr.corr(filled.pm25, others)) > 0.6


def test_the_order_of_stations_does_not_matter(observations, model):
    order = np.random.default_rng(0).permutation(observations.sizes["station"])
    turned = fill(observations.isel(station=order), method=model)
    straight = fill(observations, method=model).isel(station=order)
    # Sums over neighbours in another order: rounding of float64 solves, then of float32.
    np.testing.assert_allclose(turned.pm25, straight.pm25, rtol=1e-5)


def test_a_model_of_something_else_is_refused(observations, model):
    with pytest.raises(ValueError, match="the fitted model knows 'pm25'; asked for 'pm10'"):
        fill(observations, "pm10", method=model)
    daily = observations.isel(time=slice(None, None, 24))
    time = daily.time.assign_attrs(step_hours=24.0)
    with pytest.raises(ValueError, match=r"this model learned steps of 1 h; found .* every 24 h"):
        fill(daily.assign_coords(time=time), method=model)


@pytest.mark.parametrize(("everyone", "within"), [(False, 0.04), (True, 0.1)])
def test_intervals_hold_at_every_distance_to_the_nearest_value(everyone, within, model):
    """Whatever the covariance: this one has hardly learned. There are some 25 outages of all."""
    observations = aqr.synthetic_network(hours=720, seed=4).observations
    values = observations.pm25.values.astype(float)
    gaps = made_gaps(values.shape, everyone=everyone, seed=1) & np.isfinite(values)
    gappy = observations.assign(pm25=observations.pm25.copy(data=np.where(gaps, np.nan, values)))
    filled = fill(gappy, method=model)
    error = filled.pm25_uncertainty
    low, high = RootNormal.from_median(
        filled.pm25.values, error.values, freedom=freedom_of(error.attrs)
    ).interval_90()
    last, following = last_and_next(gappy.pm25.notnull().values)
    steps = np.arange(gaps.shape[1])
    nearest = np.minimum(steps - last, following - steps)
    for least, most in ((1, 2), (3, 5), (6, 11), (12, 24)):
        part = gaps & np.isfinite(low) & (nearest >= least) & (nearest <= most)
        inside = (low <= values)[part] & (values <= high)[part]
        assert abs(inside.mean() - 0.9) < within, (least, inside.mean())


def test_many_gaps_tell_how_the_error_grows_with_the_steps_and_few_do_not():
    """Errors are twice as large as the law says where the nearest value is 8 steps away."""
    steps = np.repeat(KNOTS, 2000)
    error = np.random.default_rng(0).standard_normal(steps.size) * np.where(steps == 8, 2.0, 1.0)
    many, few = (
        _Errors(SpreadLaw(), error, steps, np.arange(steps.size) % count) for count in (2000, 1)
    )
    np.testing.assert_allclose(many.factor(np.inf), np.where(KNOTS == 8, 2, 1), rtol=0.1)
    np.testing.assert_allclose(few.factor(np.inf), few.factor(np.inf)[0], rtol=0.05)


def test_the_error_is_larger_where_stations_disagree(model):
    """Stations agree for ten days, and do not for the next ten."""
    observations = aqr.synthetic_network(hours=480, seed=4).observations.isel(station=slice(9))
    hours = np.arange(480)
    own = np.random.default_rng(0).standard_normal(observations.pm25.shape)
    root = 7 + np.sin(hours / 40) + np.where(hours < 240, 0.2, 2.0) * own
    whole = observations.assign(pm25=observations.pm25.copy(data=np.maximum(root, 0) ** 2))
    filled = fill(without(whole, 4, slice(None, None, 7)), method=model)
    spread = (filled.pm25_uncertainty / np.sqrt(filled.pm25)).isel(station=4)
    assert spread[240:].mean() > 3 * spread[:240].mean()


@pytest.mark.slow
@pytest.mark.benchmark
def test_gaps_of_the_benchmark_are_filled_better_than_along_time(data_dir):
    from benchmarks import sources

    year = sources.beijing36(data_dir)
    with h5py.File(data_dir / "beijing36" / "small36.h5") as file:
        mask = file["eval_mask/block0_values"][()].astype(bool).T
    quarter = slice(0, 24 * 92)  # May to July, of which June is scored
    values = year.pm25.values[:, quarter].astype(float)
    gap = mask[:, quarter]
    local = year.time[quarter] + np.timedelta64(8, "h")
    scored = gap & np.isfinite(values) & (local.dt.month == 6).values
    masked = year.isel(time=quarter)
    masked = masked.assign(pm25=masked.pm25.where(~gap).assign_attrs(masked.pm25.attrs))
    # A third of what is usual, and few windows to learn the error from, which plays no part here.
    schedule = aqr.Schedule(covariance_updates=60, updates=0, validation_windows=10)
    model = aqr.Reanalyser(schedule=schedule, progress=False).fit(masked, "pm25")
    filled = fill(masked, method=model).pm25.values
    linear = pd.DataFrame(masked.pm25.values.T).interpolate(limit_direction="both").values.T
    ours, theirs = (np.nanmean(np.abs(x - values)[scored]) for x in (filled, linear))
    assert ours < 0.9 * theirs


def test_the_values_beside_tell_how_a_station_differs_from_its_neighbour():
    """A station that always reads 0.8 more than its neighbour does so in its gap too."""
    covariance = SpaceTimeCovariance(1.0)
    with torch.no_grad():
        covariance.log_amplitude[:] = torch.tensor([0.0, -8.0, -8.0])
        covariance.log_range[:] = np.log(100.0)
        covariance.log_time[:] = np.log(2.0)
        covariance.log_station[:] = torch.tensor([0.0, -8.0])  # persistent, without noise
        covariance.log_station_time[:] = np.log(1e5)
    neighbour = torch.from_numpy(np.random.default_rng(0).standard_normal(30).cumsum() / 3)
    value = torch.stack([neighbour + 0.8, neighbour])
    gap = slice(10, 16)
    value[0, gap] = torch.nan
    around = NearbyStations.among(torch.tensor([[0.0, 0.1], [0.1, 0.0]], dtype=torch.float64))
    off = [
        (
            complete(covariance, value, around, at_own_steps=beside)[0][0, gap]
            - neighbour[gap]
            - 0.8
        ).abs()
        for beside in (0, 1)
    ]
    # The field between the two differs over 100 m by 1 - exp(-0.001) of its variance of 1.
    assert off[1].max() < 0.1
    assert off[0].max() > 0.3
