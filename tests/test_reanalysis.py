"""The neural method behind the estimator's contract, and the call that makes products."""

import logging
import pickle
import tracemalloc
from dataclasses import replace

import dask
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aqreanalysis.conventions import PRODUCT_FLAGS, UnknownPollutantError
from aqreanalysis.filling import fill
from aqreanalysis.grid import Grid
from aqreanalysis.methods import METHODS, method_of
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.methods.neural import reanalyser
from aqreanalysis.methods.neural import targets as targets_module
from aqreanalysis.methods.neural.batches import Example, Samples, assemble
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.neural.saved import known_noise, network_record
from aqreanalysis.methods.neural.validation import network_outputs
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import ObservationError
from aqreanalysis.reanalysis import reanalyse

SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)
GRID = Grid((115.0, 117.0, 39.2, 40.8), 0.4)
HOURS = 40


def observations(count=10, hours=HOURS, *, seed=0, first="2014-11-01T05", freq="1h"):
    """Return a smooth day and a gradient over random places, with noise and gaps."""
    rng = np.random.default_rng(seed)
    lon, lat = 116 + rng.uniform(-1, 1, count), 40 + rng.uniform(-0.8, 0.8, count)
    hour = np.arange(hours)
    values = 40 + 10 * (lon[:, None] - 116) + 15 * np.sin(hour / 4 + lat[:, None])
    values += rng.normal(0, 2, values.shape)
    values[rng.random(values.shape) < 0.1] = np.nan
    return dataset_of(values, lon, lat, first=first, freq=freq)


def dataset_of(values, longitude, latitude, *, first="2014-11-01T05", freq="1h"):
    """Return observations of series at places."""
    time = pd.date_range(first, periods=values.shape[1], freq=freq)
    step = pd.Timedelta(freq) / pd.Timedelta("1h")
    return xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number:02d}" for number in range(len(values))],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "time": ("time", time, {"time_label": "start", "step_hours": step}),
        },
    )


def places(longitude, latitude):
    """Return targets at stations."""
    return xr.Dataset(
        coords={"longitude": ("station", longitude), "latitude": ("station", latitude)}
    )


def fitted(dataset=None, *, heads=False, schedule=QUICK, seed=0):
    """Return a quickly fitted model; ``heads`` forces the network on, its last layers random."""
    dataset = observations() if dataset is None else dataset
    model = Reanalyser(SMALL, schedule=schedule, seed=seed, progress=False).fit(dataset, "pm25")
    if heads:
        with_heads(model, dataset)
    return model


def with_heads(model, dataset):
    """Switch the network on, far from kriging, of a model that was fitted to a dataset."""
    state = model.state_for(dataset)
    state.facts["heads"] = True
    generator = torch.Generator().manual_seed(5)
    for layer in (state.model.leave, state.model.encoder.correct):
        layer.weight.data = 0.3 * torch.randn(layer.weight.shape, generator=generator)
    return model


def test_a_large_network_is_estimated_from_more_neighbours(monkeypatch):
    monkeypatch.setattr("aqreanalysis.methods.neural.configuration.SHARE_OF_STATIONS", 5)
    model = Reanalyser(schedule=QUICK, progress=False).fit(observations(), "pm25")
    assert model.settings["configuration"]["neighbours"] == 50
    assert fitted().settings["configuration"]["neighbours"] == SMALL.neighbours


@pytest.mark.parametrize(
    ("further", "updates"),
    [("", 0), ("temperature", 300), ("constant", 0), ("background", 300), ("noise", 0)],
)
def test_by_default_the_network_is_trained_where_neighbours_have_more_to_say(
    monkeypatch, further, updates
):
    monkeypatch.setattr("aqreanalysis.methods.neural.training._Learner.run", lambda *_: None)
    asked = []
    updates_for = Schedule.updates_for
    monkeypatch.setattr(
        Schedule, "updates_for", lambda self, n: asked.append(updates_for(self, n)) or asked[-1]
    )
    dataset, rng, background = observations(16), np.random.default_rng(0), None
    if further in ("temperature", "constant"):
        series = rng.normal(10, 3, dataset.pm25.shape) if further == "temperature" else 10.0
        dataset["temperature"] = dataset.pm25 * 0 + series
        dataset["temperature"].attrs["units"] = "degC"
    elif further:
        lon, lat = np.linspace(114, 118, 41), np.linspace(38, 42, 41)
        height = 100 * (lon - 116) + 0 * lat[:, None]
        if further == "noise":
            height = rng.normal(size=height.shape)
        background = xr.DataArray(
            height, coords={"lat": lat, "lon": lon}, dims=("lat", "lon"), name="height"
        )
    model = Reanalyser(SMALL, schedule=replace(QUICK, updates=None), progress=False)
    model.fit(dataset, "pm25", background=background)
    assert {*asked} == {updates}


@pytest.fixture(scope="module")
def plain():
    """Return a fitted model that is kriging with a learned covariance."""
    model = fitted()
    model.state_for(observations()).facts["heads"] = False
    return model


@pytest.fixture(scope="module")
def deep():
    """Return a fitted model with the network on."""
    return fitted(heads=True)


def identical(one, other):
    """Assert that two fields are the same to the last bit."""
    xr.testing.assert_identical(one.compute(), other.compute())


def alike(one, other, rtol=1e-5):
    """Assert that two fields are the same but for rounding."""
    one, other = one.compute(), other.compute()
    xr.testing.assert_allclose(one, other, rtol=rtol, atol=0)
    np.testing.assert_array_equal(one.pm25_flag, other.pm25_flag)


# --- the contract


def test_every_method_is_an_estimator():
    for known in METHODS.values():
        made = known.make()
        assert method_of(made) == (made, True)


def test_nothing_is_known_before_fitting():
    model = Reanalyser()

    with pytest.raises(ValueError, match=r"not fitted; call fit\(observations, variable\)"):
        model.predict(observations(), GRID)
    assert repr(model) == "<Reanalyser (neural): not fitted, seed 0>"


def test_the_field_has_an_estimate_an_error_and_a_flag_everywhere(deep):
    field = deep.predict(observations(), GRID).compute()

    assert field.pm25.dims == ("time", "lat", "lon")
    assert (field.pm25 >= 0).all()
    assert (field.pm25_uncertainty > 0).all()
    assert np.isfinite(field.pm25_uncertainty).all()
    assert set(np.unique(field.pm25_flag)) <= set(PRODUCT_FLAGS.values())
    assert field.pm25.dtype == np.float32


def test_the_same_seed_gives_the_same_field():
    identical(fitted().predict(observations(), GRID), fitted().predict(observations(), GRID))


def test_fitting_and_predicting_leave_the_observations_as_they_were():
    dataset = observations()
    before = dataset.copy(deep=True)

    fitted(dataset).predict(dataset, GRID, time=slice("2014-11-02", None)).compute()

    xr.testing.assert_identical(dataset, before)


def test_the_repr_and_settings_tell_what_was_learned(plain):
    assert repr(plain).startswith(
        "<Reanalyser pm25 (neural): 10 stations, 2014-11-01T05:00 to 2014-11-02T20:00"
    )
    assert plain.variable == "pm25"
    assert plain.settings["stations"] == 10
    assert plain.settings["seed"] == 0
    assert set(plain.scores) == {"kept", "kriging"}


def test_the_learned_covariance_beats_the_mean_of_the_stations():
    everything = observations(24)
    hidden, seen = everything.isel(station=slice(0, 6)), everything.isel(station=slice(6, None))
    schedule = Schedule(covariance_updates=15, updates=0, windows=3, validation_windows=6)

    field = fitted(seen, schedule=schedule).predict(seen, hidden).compute()

    error = float(np.sqrt(((field.pm25 - hidden.pm25) ** 2).mean()))
    of_mean = float(np.sqrt(((seen.pm25.mean("station") - hidden.pm25) ** 2).mean()))
    assert error < 0.6 * of_mean


def test_an_event_is_at_its_hour(plain):
    dataset = observations()
    dataset["pm25"].values[:] = 10.0
    dataset["pm25"].values[:, 17] = 90.0

    field = plain.predict(dataset, GRID).compute()

    assert (field.pm25.argmax("time") == 17).all()


def test_a_field_is_what_the_network_says_in_training(deep):
    # Two ways to one number: hidden stations in a training batch, and targets of a field.
    dataset = observations(hours=60)
    dataset["pm25"].values[:] = np.nan_to_num(dataset.pm25.values, nan=40.0)
    hidden, seen = dataset.isel(station=[2, 7]), dataset.drop_isel(station=[2, 7])
    state = deep.state_for(observations())
    samples = Samples.of(
        dataset,
        "pm25",
        standardisation=state.standardisation,
        configuration=SMALL,
        seasons=state.facts["seasons"],
        log_noise=state.network.log_noise.values,
    )
    start = 24  # the second whole window after the one in which the observations begin
    example = Example(start, np.setdiff1d(np.arange(10), [2, 7]), np.array([2, 7]))
    with torch.no_grad():
        batch = assemble(samples, [example], covariance=state.model.covariance, configuration=SMALL)
        weights = state.model.weights(batch.neighbourhood)
        mean, log_variance = network_outputs(state.model, batch, weights)
        expected = state.standardisation.distribution(mean, log_variance.exp())

    first = samples.first + start + SMALL.margin_steps  # hours since 1970
    hours = slice(*(np.datetime64(hour, "h") for hour in (first, first + 11)))
    field = deep.predict(seen, hidden, time=hours).compute()

    np.testing.assert_allclose(field.pm25, expected.median, rtol=1e-4)
    np.testing.assert_allclose(field.pm25_uncertainty, expected.standard_error, rtol=1e-4)


# --- what else the observations hold


def with_covariates(dataset):
    """Return the observations with a co-pollutant and a temperature that has gaps."""
    rng = np.random.default_rng(3)
    no2 = np.abs(dataset.pm25.values / 2 + rng.normal(0, 2, dataset.pm25.shape))
    temperature = np.where(rng.random(no2.shape) < 0.4, np.nan, rng.normal(5, 3, no2.shape))
    return dataset.assign(
        no2=(("station", "time"), no2, {"units": "ug m-3"}),
        temperature=(("station", "time"), temperature, {"units": "degC"}),
    )


def test_covariates_are_used_without_being_asked_for_and_may_be_absent_later():
    dataset = with_covariates(observations())
    model = fitted(dataset, heads=True)
    field = model.predict(dataset, GRID).compute()
    names = [channel["name"] for channel in model.state_for(observations()).facts["scaling"]]
    assert names == ["pm25", "no2", "temperature"]

    warmer = dataset.assign(temperature=dataset.temperature + 3)
    assert not np.array_equal(model.predict(warmer, GRID).pm25, field.pm25)
    without = model.predict(dataset[["pm25"]], GRID).compute()
    assert np.isfinite(without.pm25).all()

    missing = dataset.assign({name: dataset[name].where(False) for name in ("temperature", "no2")})
    identical(model.predict(missing, GRID), without)


def test_covariates_can_be_left_out():
    less = Configuration(
        bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, without=("covariates",)
    )
    model = Reanalyser(less, schedule=QUICK, progress=False)
    model.fit(with_covariates(observations()), "pm25")
    assert [channel["name"] for channel in model.state_for(observations()).facts["scaling"]] == [
        "pm25"
    ]


def test_the_noise_of_a_station_is_known_where_it_was_learned_and_nowhere_else():
    noisy = observations(hours=120)
    values = noisy.pm25.values
    values[4] += np.random.default_rng(1).normal(0, 30, values.shape[1]).clip(-35)
    model = fitted(noisy, schedule=Schedule(covariance_updates=40, updates=0))
    assert model.state_for(observations()).network.log_noise.values.argmax() == 4

    beside = places(noisy.longitude.values[4:5] + 0.02, noisy.latitude.values[4:5])
    renamed = noisy.assign_coords(station=[f"new {name}" for name in noisy.station.values])
    known, unknown = (model.predict(these, beside).compute() for these in (noisy, renamed))
    # A station known to be noisy moves the field beside it less.
    assert float(known.pm25.std()) < float(unknown.pm25.std())
    order = noisy.isel(station=slice(None, None, -1))
    np.testing.assert_allclose(model.predict(order, beside).pm25, known.pm25, rtol=1e-4)


# --- any chunking, any selection, any process


@pytest.mark.parametrize("which", ["plain", "deep"])
@pytest.mark.parametrize(
    "chunks",
    [
        {"time": 7, "lat": 3, "lon": 2},
        {"time": 1},
        {"time": 25, "lat": 1, "lon": 4},
    ],
)
def test_any_chunking_equals_none(request, which, chunks):
    model = request.getfixturevalue(which)
    whole = model.predict(observations(), GRID, chunks={"time": HOURS, "lat": 99, "lon": 99})

    alike(model.predict(observations(), GRID, chunks=chunks), whole)


def test_many_threads_give_the_same(deep):
    chunks = {"time": 5, "lat": 2, "lon": 2}
    whole = deep.predict(observations(), GRID).compute(scheduler="synchronous")

    with dask.config.set(scheduler="threads", num_workers=6):
        split = deep.predict(observations(), GRID, chunks=chunks).compute()

    alike(split, whole)


def test_a_target_alone_is_as_in_company(deep):
    rng = np.random.default_rng(4)
    lon, lat = rng.uniform(115, 117, 300), rng.uniform(39.2, 40.8, 300)  # three tiles of targets
    together = deep.predict(observations(), places(lon, lat)).pm25.values

    for row in (0, 130, 299):
        alone = deep.predict(observations(), places(lon[[row]], lat[[row]])).pm25.values
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5)


@pytest.mark.parametrize(
    "time",
    [
        slice("2014-11-02T00", "2014-11-02T05"),
        slice("2014-11-03T10", None),
        slice(None, "2014-11-01T05"),
        slice(np.datetime64("2014-11-02T03"), np.datetime64("2014-11-02T03")),
        slice("2013", "2014-11-01T10"),
    ],
)
def test_selected_hours_equal_those_of_the_whole(deep, time):
    dataset = observations(hours=200, seed=3)
    for number in range(10):  # gaps of 20 hours reach far beyond the windows of a selection
        for first in range(3 * number, 200, 37):
            dataset["pm25"].values[number, first : first + 20] = np.nan
    whole = deep.predict(dataset, GRID).sel(time=time)

    selected = deep.predict(dataset, GRID, time=time)

    alike(selected, whole)


def test_an_earlier_beginning_moves_no_window(deep):
    # Windows lie on an absolute axis. What differs is only how far gaps see past the beginning.
    dataset = observations(hours=200, seed=3)
    later = dataset.isel(time=slice(50, None))
    inner = slice("2014-11-06T00", "2014-11-07T00")

    alike(
        deep.predict(later, GRID, time=inner),
        deep.predict(dataset, GRID).sel(time=inner),
    )


def test_a_field_can_be_sent_to_another_process(deep):
    lazy = deep.predict(observations(), GRID)

    identical(pickle.loads(pickle.dumps(lazy)), lazy)


def test_fields_of_two_models_are_not_mixed(plain, deep):
    one, other = (model.predict(observations(), GRID).pm25 for model in (plain, deep))

    together = dask.compute(one, other)

    np.testing.assert_array_equal(together[0], one.compute())
    np.testing.assert_array_equal(together[1], other.compute())
    assert not np.array_equal(*together)


# --- what may not matter, and what must not


def test_the_order_of_stations_does_not_matter(deep):
    dataset = observations()
    shuffled = dataset.isel(station=np.random.default_rng(0).permutation(10))

    one, other = (deep.predict(d, GRID).compute() for d in (dataset, shuffled))

    for name in ("pm25", "pm25_uncertainty"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4)
    np.testing.assert_array_equal(one.pm25_flag, other.pm25_flag)


def test_a_turn_of_longitude_does_not_matter(deep):
    dataset = observations()
    here = dataset.assign_coords(longitude=dataset.longitude + 64)  # around 180 degrees
    within = here.assign_coords(longitude=(here.longitude + 180) % 360 - 180)
    lon, lat = np.array([179.2, 180.3, 180.9]), np.array([40.0, 40.1, 39.7])

    field = deep.predict(within, places(lon, lat)).compute()
    turned = deep.predict(within, places(lon - 360, lat)).compute()
    grid = deep.predict(within, Grid((179.0, 181.0, 39.6, 40.4), 0.4)).compute()

    np.testing.assert_allclose(field.pm25, turned.pm25, rtol=1e-4)
    assert np.isfinite(grid.pm25).all()
    assert (grid.lon.values > 180).any()
    # No seam: neighbouring columns differ no more across the date line than elsewhere.
    steps = np.abs(np.diff(grid.pm25.values, axis=2)).max(axis=(0, 1))
    assert steps.max() < 3 * np.median(steps)


def test_the_date_line_is_no_different_from_elsewhere(plain):
    # The covariance head knows distances alone: turning network and targets changes nothing, but
    # for what it knows of the noise of single stations.
    dataset = observations()
    dataset = dataset.assign_coords(station=[f"other {name}" for name in dataset.station.values])
    lon, lat = np.array([115.5, 116.2]), np.array([40.0, 40.1])
    turned = dataset.assign_coords(longitude=(dataset.longitude + 64 + 180) % 360 - 180)

    here = plain.predict(dataset, places(lon, lat)).compute()
    moved = plain.predict(turned, places(lon + 64, lat)).compute()

    np.testing.assert_allclose(here.pm25, moved.pm25, rtol=1e-4)


def test_values_of_a_target_station_that_is_left_out_never_reach_it(deep):
    dataset = observations()
    seen, hidden = dataset.isel(station=slice(1, None)), dataset.isel(station=[0])
    changed = hidden.assign(pm25=hidden.pm25 * 0 + 1e6)

    identical(deep.predict(seen, hidden), deep.predict(seen, changed))


def test_a_constant_field_stays_constant(plain):
    dataset = observations()
    constant = dataset.assign(pm25=(dataset.pm25 * 0 + 36.0).assign_attrs(dataset.pm25.attrs))

    field = plain.predict(constant, GRID).compute()

    # Before the first hour nobody reports: what is filled there goes back to the mean.
    np.testing.assert_allclose(field.pm25, 36.0, rtol=1e-3)


def test_negative_values_are_read_as_nought_and_never_given(plain):
    dataset = observations()
    low = dataset.assign(pm25=(dataset.pm25 - 60).assign_attrs(dataset.pm25.attrs))
    clipped = low.assign(pm25=low.pm25.clip(min=0).assign_attrs(low.pm25.attrs))

    field = plain.predict(low, GRID)

    assert float(field.pm25.min()) >= 0
    identical(field, plain.predict(clipped, GRID))


# --- gaps


def test_an_outage_of_all_stations_has_no_estimate_and_says_so(plain):
    dataset = observations(hours=120)
    dataset["pm25"].values[:, 10:110] = np.nan

    field = plain.predict(dataset, GRID).compute()

    middle = field.isel(time=slice(40, 80))
    assert np.isnan(middle.pm25).all()
    assert np.isnan(middle.pm25_uncertainty).all()
    assert (middle.pm25_flag == PRODUCT_FLAGS["no_estimate"]).all()
    ends = field.isel(time=[*range(10), *range(110, 120)])
    assert np.isfinite(ends.pm25).all()


def test_hours_with_few_stations_are_flagged_but_estimated(plain):
    dataset = observations()
    dataset["pm25"].values[1:, 30] = np.nan

    field = plain.predict(dataset, GRID).isel(time=30).compute()

    assert np.isfinite(field.pm25).all()
    assert (field.pm25_flag == PRODUCT_FLAGS["few_stations_reporting"]).all()


def test_a_gap_makes_its_surroundings_less_certain(plain):
    dataset = observations()
    dataset["pm25"].values[:, 30] = 40.0
    gap = dataset.copy(deep=True)
    gap["pm25"].values[3, 28:33] = np.nan
    at = places(dataset.longitude.values[[3]] + 0.01, dataset.latitude.values[[3]])

    certain, less = (plain.predict(d, at).compute().isel(time=30) for d in (dataset, gap))

    assert float(less.pm25_uncertainty[0]) > 1.05 * float(certain.pm25_uncertainty[0])


def test_a_silent_station_is_left_out_and_named(plain, caplog):
    dataset = observations()
    dataset["pm25"].values[4] = np.nan
    without = dataset.drop_isel(station=[4])

    with caplog.at_level(logging.WARNING, logger="aqreanalysis"):
        field = plain.predict(dataset, GRID)

    assert "s04" in caplog.text
    assert "pm25" in caplog.text
    identical(field, plain.predict(without, GRID))
    assert fitted(dataset).settings["stations"] == 9


# --- other networks and steps


def test_fewer_stations_than_neighbours_work(deep):
    field = deep.predict(observations(3), GRID).compute()

    assert np.isfinite(field.pm25).all()
    assert (field.pm25_uncertainty > 0).all()


def test_three_stations_can_be_fitted():
    dataset = observations(3)

    assert np.isfinite(fitted(dataset).predict(dataset, GRID).pm25).all()


def test_another_network_and_period_can_be_predicted(deep):
    elsewhere = observations(7, 30, seed=9, first="2020-02-28T20")

    field = deep.predict(elsewhere, GRID).compute()

    np.testing.assert_array_equal(field.time, elsewhere.time)
    assert np.isfinite(field.pm25).all()


def test_daily_steps_work():
    dataset = observations(9, 50, freq="24h", first="2014-11-01")
    model = fitted(dataset, heads=True)

    field = model.predict(dataset, GRID, time=slice("2014-12-01", "2014-12-05")).compute()

    assert field.sizes["time"] == 5
    assert np.isfinite(field.pm25).all()
    with pytest.raises(ValueError, match=r"learned steps of 24 h; found observations every 1 h"):
        model.predict(observations(), GRID)


def test_stations_on_one_roof_work(deep):
    dataset = observations()
    dataset["longitude"].values[1] = dataset.longitude.values[0]
    dataset["latitude"].values[1] = dataset.latitude.values[0]
    at = places(dataset.longitude.values[:1], dataset.latitude.values[:1])

    for model in (deep, fitted(dataset)):
        assert np.isfinite(model.predict(dataset, at).pm25).all()


# --- bad input


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_stations_are_refused(count):
    with pytest.raises(ValueError, match=f"at least 3 stations .*'pm25'; found {count} of {count}"):
        fitted(observations(count))


def test_one_station_is_too_few_to_predict_from(plain):
    with pytest.raises(ValueError, match="at least 2 stations with values of 'pm25'; found 1 of 1"):
        plain.predict(observations(1), GRID)


def test_stations_without_values_do_not_count():
    dataset = observations(4)
    dataset["pm25"].values[2:] = np.nan

    with pytest.raises(ValueError, match="found 2 of 4"):
        fitted(dataset)


def test_all_missing_is_refused():
    dataset = observations()
    dataset["pm25"].values[:] = np.nan

    with pytest.raises(ObservationError, match="pm25 is missing at every station and hour"):
        fitted(dataset)


def test_another_pollutant_that_is_missing_everywhere_stops_nothing():
    network = observations()
    silent = network.assign(no2=network.pm25.where(False))
    expected = reanalyse(network, "PM2.5", method="idw", grid=GRID).pm25
    np.testing.assert_array_equal(reanalyse(silent, method="idw", grid=GRID).pm25, expected)
    with pytest.raises(ObservationError, match="no2 is missing at every station and hour"):
        reanalyse(silent, "no2", method="idw", grid=GRID)


@pytest.mark.parametrize("value", [0.0, 0.3, 12.34567])
def test_constant_values_are_refused(value):
    dataset = observations()
    dataset["pm25"].values[:] = value

    with pytest.raises(ValueError, match=f"at least two different values .* all {value:g}"):
        fitted(dataset)


def test_one_place_is_refused():
    dataset = observations()
    dataset["longitude"].values[:] = 116.0
    dataset["latitude"].values[:] = 40.0

    with pytest.raises(ValueError, match="all stations at one place"):
        fitted(dataset)


def test_a_time_without_hours_is_refused(plain):
    with pytest.raises(ValueError, match=r"no hour lies within .* span 2014-11-01 05:00:00 to"):
        plain.predict(observations(), GRID, time=slice("2019", "2020"))


def test_an_unknown_variable_is_refused(plain):
    dataset = observations().rename(pm25="o3")
    with pytest.raises(
        ObservationError, match=r"no variable 'pm25'; they have o3\. neural was fitted"
    ):
        plain.predict(dataset, GRID)
    with pytest.raises(ObservationError, match="no variable 'pm25'"):
        fitted(dataset)


# --- reanalyse


def product(dataset=None, variable=None, **options):
    """Return the product of inverse distance, unless told."""
    dataset = observations() if dataset is None else dataset
    return reanalyse(dataset, variable, **{"method": "idw", "progress": False} | options)


def test_no_argument_is_needed():
    made = product()

    grid = Grid.around(_network(observations()))
    np.testing.assert_array_equal(made.lon, grid.x)
    np.testing.assert_array_equal(made.lat, grid.y)
    assert made.pm25.chunks is not None
    assert made.pm25.attrs["standard_name"].startswith("mass_concentration_of_pm2p5")


def _network(dataset):
    """Return the network of a Dataset."""
    from aqreanalysis.network import StationNetwork

    return StationNetwork.from_dataset(dataset)


def test_grid_region_and_targets_say_where():
    assert product(grid=0.5).sizes["lon"] == Grid.around(_network(observations()), 0.5).shape[1]
    both = product(grid=0.5, region=(115.0, 117.0, 39.0, 41.0))
    assert both.lon.values.tolist() == [115.25, 115.75, 116.25, 116.75]
    assert product(region=(115.0, 117.0, 39.0, 41.0)).lon.values[0] > 115
    np.testing.assert_array_equal(product(grid=GRID).lat, GRID.y)
    assert product(at=places([116.0, 116.1], [40.0, 40.0])).sizes["station"] == 2


def test_hours_can_be_selected():
    made = product(time=slice("2014-11-02T00", "2014-11-02T03"))

    assert made.sizes["time"] == 4


def test_a_pollutant_is_found_by_its_aliases_and_by_default():
    dataset = observations().rename(pm25="o3")

    assert "o3" in product(dataset)
    assert "o3" in product(dataset, "Ozone")


@pytest.mark.parametrize("method", ["kriging", "space_time_kriging", "idw"])
def test_each_method_makes_a_product(method):
    made = product(method=method, grid=GRID, time=slice("2014-11-02T00", "2014-11-02T03"))

    assert np.isfinite(made.pm25).all()


def test_a_fitted_model_is_used_as_it_is(deep):
    made = product(method=deep, grid=GRID)

    np.testing.assert_array_equal(made.pm25, deep.predict(observations(), GRID).pm25)
    assert made.pm25.attrs["units"] == "ug m-3"


def test_a_fitted_baseline_is_used_as_it_is():
    baseline = InverseDistance(neighbours=3).fit(observations(), "pm25")

    made = product(method=baseline, grid=GRID)

    np.testing.assert_array_equal(made.pm25, baseline.predict(observations(), GRID).pm25)


def test_the_cost_is_told_before_the_work(caplog):
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        product(grid=GRID)

    assert f"20 cells x {HOURS} hours from 10 stations: about " in caplog.text
    assert "MB for blocks of" in caplog.text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"method": "magic"},
            "one of neural, pretrained, kriging, space_time_kriging, idw; found 'magic'",
        ),
        ({"method": 7}, "or a method with name, .*; found int, which lacks name, takes_background"),
        ({"method": Reanalyser()}, "not fitted"),
        ({"at": places([116.0], [40.0]), "grid": 0.1}, "either at=stations, or grid=, not both"),
        (
            {"at": places([116.0], [40.0]), "region": (115.0, 116.0, 39.0, 40.0)},
            "either at=stations",
        ),
        ({"at": xr.Dataset(coords={"station": ["a"]})}, "no longitude and no latitude"),
        ({"grid": GRID, "region": (115.0, 116.0, 39.0, 40.0)}, "a Grid has its own region"),
        ({"grid": 0.0}, "resolution must be positive; found 0"),
        ({"grid": 0.0, "region": (115.0, 116.0, 39.0, 40.0)}, "resolution must be positive"),
        ({"grid": -0.1}, "resolution must be positive"),
        ({"grid": (0.1, 0.1, 0.1)}, "one number, or height and width"),
        ({"crs": "EPSG:3857"}, "CF has no grid mapping for 'WGS 84 / Pseudo-Mercator'"),
        ({"crs": "EPSG:2154", "grid": 5000}, r"EPSG:2154 is made for France.*lies over \(11"),
        ({"crs": "EPSG:32650", "grid": GRID}, "a Grid has its own region and CRS"),
        ({"like": "cams.nc", "grid": 0.1}, "either like=, or grid=, not both"),
        ({"at": places([116.0], [40.0]), "land": True}, "land=True is for grids"),
        ({"region": (116.0, 115.0, 39.0, 40.0)}, r"east \(115\) must exceed west \(116\)"),
        ({"region": (39.0, 41.0, 115.0, 117.0)}, "latitudes must lie within -90..90"),
        ({"time": slice("2019", "2020")}, "no hour lies within"),
    ],
)
def test_bad_requests_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        product(**options)


def test_a_region_out_of_reach_names_the_nearest_station_and_the_extent():
    with pytest.raises(ValueError, match="holds no station and none is in reach") as caught:
        product(region=(10.0, 12.0, 48.0, 50.0), grid=0.5)

    message = str(caught.value)
    assert any(f"s{number:02d}" in message for number in range(10))
    assert "km away" in message
    west, east, *_ = _network(observations()).extent()
    assert f"{west:.2f}" in message
    assert f"{east:.2f}" in message


def test_a_model_of_another_pollutant_is_refused(deep):
    dataset = observations()
    dataset["o3"] = dataset.pm25

    with pytest.raises(ValueError, match=r"knows 'pm25'; asked for 'o3'\. Pass variable='pm25'"):
        product(dataset, "o3", method=deep)


def test_unknown_pollutants_and_bad_observations_are_refused():
    with pytest.raises(UnknownPollutantError, match="unknown pollutant 'dust'"):
        product(variable="dust")
    with pytest.raises(ObservationError, match="need dimensions"):
        product(observations().rename(station="site"))
    with pytest.raises(ObservationError, match="no variable 'no2'"):
        product(variable="no2")


def test_a_seed_is_handed_on():
    estimator, already = method_of("neural", seed=7, progress=False)

    assert (estimator.seed, estimator.progress, already) == (7, False, False)


def test_what_a_field_is_made_of_tells_it_from_others(deep):
    dataset = with_covariates(observations())
    model = fitted(dataset, heads=True)

    def name_of(these):
        return model.predict(these, GRID).pm25.data.name

    name = name_of(dataset)
    warmer = dataset.assign(temperature=dataset.temperature + 3)
    assert model.predict(warmer, GRID).pm25.data.name != name
    model.state_for(observations()).network["log_noise"] += 1.0
    assert model.predict(dataset, GRID).pm25.data.name != name


def test_the_noise_of_stations_at_one_place_is_known_of_each():
    learned = network_record(observations(4), np.array([0.1, 0.2, 0.3, 0.4]))
    learned.longitude[:], learned.latitude[:] = 116.0, 40.0
    asked = StationNetwork(
        [116.0, 116.0, 117.0], [40.0, 40.0, 40.0], identifiers=["s02", "s01", "s00"]
    )
    assert known_noise(learned, asked).tolist() == [0.3, 0.2, 0.0]


class _Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves(made) if isinstance(t, torch.Tensor)]
        self.numbers = max([self.numbers, *(tensor.numel() for tensor in tensors)])
        return made


def test_nothing_of_stations_by_stations_is_made(deep, monkeypatch):
    def refused(self):
        raise AssertionError("all distances are asked for")

    count = 2500
    monkeypatch.setattr(StationNetwork, "distance_matrix_km", refused)
    many = observations(count, 12, seed=2)
    with _Largest() as largest:
        tracemalloc.start()
        deep.predict(many, GRID).compute(scheduler="synchronous")
        peak = tracemalloc.get_traced_memory()[1]  # of numpy's arrays; torch has its own
        tracemalloc.stop()
        fill(many, method=deep)

    assert 0 < largest.numbers < count**2 / 2
    assert peak < 8 * count**2


def test_a_large_grid_is_not_searched_for_one_cell_in_reach(searched):
    obs = observations()
    made = product(obs, grid=Grid((80.0, 130.0, 15.0, 55.0), 0.02))
    assert made.pm25[0].size == 5_000_000
    assert sum(searched) < 200_000


def test_stations_at_one_place_reach_any_grid():
    one = observations(4)
    one.longitude[:], one.latitude[:] = 116.0, 40.0

    made = product(one, grid=Grid((10.0, 11.0, 50.0, 51.0), 0.5))

    assert made.pm25.sizes["lat"] == 2


@pytest.mark.parametrize(
    "at",
    [
        Grid((115.5, 115.8, 39.5, 39.8), 0.02),
        places(np.linspace(115.5, 115.8, 150), np.linspace(39.5, 39.8, 150)),
    ],
)
def test_stations_out_of_reach_of_the_targets_change_nothing(deep, monkeypatch, at):
    made, sizes = reanalyser.NeuralField, []

    def noted(model, standardisation, samples, **options):
        sizes.append(samples.network.size)
        return made(model, standardisation, samples, **options)

    monkeypatch.setattr(reanalyser, "NeuralField", noted)
    many = observations(900, 30, seed=3)
    restricted = deep.predict(many, at).compute()
    monkeypatch.setattr(targets_module, "FEWEST_STATIONS", 10**9)

    alike(deep.predict(many, at), restricted)
    assert sizes[0] < 200
    assert sizes[1] == 900
