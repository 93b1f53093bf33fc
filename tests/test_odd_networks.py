"""Networks of any shape: what holds of every method whatever the stations and their series."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from aqreanalysis.methods import METHODS
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser

LAYOUTS = {
    "anywhere": lambda rng, n: (rng.uniform(0, 5, n), rng.uniform(40, 44, n)),
    "a crowd": lambda rng, n: (10 + rng.normal(0, 0.01, n), 50 + rng.normal(0, 0.01, n)),
    "a line": lambda rng, n: (np.linspace(0, 3, n), np.full(n, 45.0)),
    "a lattice": lambda rng, n: tuple(np.divmod(np.arange(n), 4) * np.full((2, 1), 0.25)),
    "few places": lambda rng, n: rng.uniform(40, 44, (2, 3))[:, np.arange(n) % 3],
    "one place": lambda rng, n: (np.full(n, 7.0), np.full(n, 50.0)),
    "the pole": lambda rng, n: (rng.uniform(-180, 180, n), 90 - rng.uniform(0, 3, n)),
    "the date line": lambda rng, n: (rng.uniform(178, 182, n) % 360 - 360, rng.uniform(-2, 2, n)),
    "the globe": lambda rng, n: (rng.uniform(-180, 180, n), rng.uniform(-80, 80, n)),
    "two crowds": lambda rng, n: (100.0 * (np.arange(n) % 2) + rng.normal(0, 0.05, n), np.zeros(n)),
}
SERIES = {
    "whole": lambda rng, values: values,
    "gaps": lambda rng, values: np.where(rng.random(values.shape) < 0.3, np.nan, values),
    "nobody for hours": lambda rng, values: np.where(np.arange(24) // 4 == 2, np.nan, values),
    "noughts": lambda rng, values: np.where(rng.random(values.shape) < 0.7, 0.0, values),
    "long gaps": lambda rng, values: np.where(
        np.arange(24) // 8 == rng.integers(3, size=(len(values), 1)), values, np.nan
    ),
    "constant stations": lambda rng, values: np.repeat(values[:, :1], 24, axis=1),
    "one that is stuck": lambda rng, values: np.r_[values[:1] * 0 + 7.0, values[1:]],
}


def network_of(layout, series, *, count, seed):
    """Return observations of a day."""
    rng = np.random.default_rng(seed)
    longitude, latitude = LAYOUTS[layout](rng, count)
    values = 20 * np.exp(rng.normal(0, 0.3, (count, 1)) + rng.normal(0, 0.3, (count, 24)))
    time = np.datetime64("2024-01-01", "ns") + np.arange(24) * np.timedelta64(1, "h")
    return xr.Dataset(
        {"pm25": (("station", "time"), SERIES[series](rng, values), {"units": "ug m-3"})},
        coords={
            "station": [f"s{number}" for number in range(count)],
            "longitude": ("station", (longitude + 180) % 360 - 180),
            "latitude": ("station", latitude),
            "time": ("time", time, {"time_label": "start", "step_hours": 1.0}),
        },
    )


def around(observations):
    """Return targets at two stations and beside others."""
    shift = xr.DataArray([0.0, 0.0, 0.02, -0.3], dims="station")
    some = observations[["longitude", "latitude"]].isel(station=[0, 1, 2, 3])
    latitude = (some.latitude + shift.values).clip(-90, 90)
    return some.assign_coords(latitude=latitude, station=["a", "b", "c", "d"])


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["idw", "kriging", "space_time_kriging"])
def test_estimates_and_errors_are_sound(name, layout, series):
    observations = network_of(layout, series, count=9, seed=3)
    method, at = METHODS[name].make().fit(observations, "pm25"), around(observations)
    product = method.predict(observations, at).compute()

    reported = observations.pm25.notnull().any("station").values
    estimate, error = product.pm25.values[:, reported], product.pm25_uncertainty.values[:, reported]
    assert np.isfinite(estimate).all()
    assert (estimate >= 0).all()
    assert (error > 0).all()
    assert estimate.max() < 3 * observations.pm25.max()
    assert error.max() < 3 * observations.pm25.max()
    turned = at.assign_coords(longitude=at.longitude + 360)
    other_order = observations.isel(station=np.arange(9)[::-1])
    for again in (method.predict(observations, turned), method.predict(other_order, at)):
        np.testing.assert_allclose(again.pm25, product.pm25, rtol=1e-4, atol=1e-4)


def test_stations_that_never_report_together_have_the_error_of_their_values():
    observations = network_of("anywhere", "whole", count=4, seed=0)
    turn = np.arange(24) % 4 == np.arange(4)[:, None]
    alone = observations.assign(pm25=observations.pm25.where(turn))
    product = METHODS["idw"].make().fit(alone, "pm25").predict(alone, around(alone))
    np.testing.assert_allclose(product.pm25_uncertainty.mean() / alone.pm25.std(), 1.0, rtol=0.3)


# --- any network, whatever its stations, values and gaps

WEEK = np.timedelta64(7, "D")
SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)
#: Those that learn from each network in no time; the neural method learns once.
FITTED_EACH = ["idw", "kriging", "space_time_kriging"]
#: A network is said by its seed: smaller ones tell no more.
ANY = settings(deadline=None, max_examples=6, phases=[Phase.explicit, Phase.generate])
NETWORKS = st.builds(
    lambda layout, series, count, seed, level: scaled(
        network_of(layout, series, count=count, seed=seed), level
    ),
    st.sampled_from(list(LAYOUTS)),
    st.sampled_from(list(SERIES)),
    st.integers(4, 30),
    st.integers(0, 10**6),
    st.sampled_from([5e-8, 1e-3, 1.0, 5e3]),  # values from 1e-6 to 1e5 ug m-3
)


def scaled(observations, factor):
    """Return observations with all concentrations times a factor."""
    values = (observations.pm25 * factor).assign_attrs(observations.pm25.attrs)
    return observations.assign(pm25=values)


def later(dataset):
    """Return the same a week later."""
    labels = dataset.time + WEEK
    return dataset.assign_coords(time=labels.assign_attrs(dataset.time.attrs))


@pytest.fixture(scope="module")
def neural():
    """Return a neural method that was fitted once, its network switched on."""
    learned = network_of("anywhere", "gaps", count=9, seed=1)
    model = Reanalyser(SMALL, schedule=QUICK, progress=False).fit(learned, "pm25")
    model._state.facts["heads"] = True
    return model


def fitted(name, neural, observations):
    """Return a method for a network."""
    return neural if name == "neural" else METHODS[name].make().fit(observations, "pm25")


@pytest.mark.parametrize("name", [*FITTED_EACH, "neural"])
@ANY
@example(  # of a variogram without a nugget, of which the error at a station is rounding alone
    observations=scaled(network_of("the pole", "constant stations", count=7, seed=1980), 5e3)
)
@given(observations=NETWORKS)
def test_estimates_are_sound_and_do_not_depend_on_how_a_network_is_written_down(
    name, neural, observations
):
    at, method = around(observations), fitted(name, neural, observations)
    product = method.predict(observations, at).compute()
    estimate, error = product.pm25.values, product.pm25_uncertainty.values
    reported = observations.pm25.notnull().any("station").values
    assert np.isfinite(estimate[:, reported]).all()
    assert np.isfinite(error[:, reported]).all()
    assert not (estimate < 0).any()
    assert not (error <= 0).any()
    assert (np.isnan(estimate) == (product.pm25_flag == 3).values).all()

    order = np.random.default_rng(0).permutation(observations.sizes["station"])
    same = {
        "order": (observations.isel(station=order), at),
        "longitude": (observations, at.assign_coords(longitude=at.longitude + 360)),
        "a week later": (later(observations), at),
    }
    level = float(observations.pm25.max())
    for change, (other, places) in same.items():
        again = fitted(name, neural, other).predict(other, places).compute()
        for layer in ("pm25", "pm25_uncertainty"):
            np.testing.assert_allclose(
                again[layer], product[layer], rtol=1e-3, atol=1e-4 * level, err_msg=change
            )


@pytest.mark.parametrize("name", FITTED_EACH)
@settings(ANY, max_examples=5)
@given(observations=NETWORKS, factor=st.sampled_from([1e-3, 0.5, 40.0]))
def test_concentrations_in_another_unit_give_the_same_fields_in_it(name, observations, factor):
    at, other = around(observations), scaled(observations, factor)
    one, two = (
        METHODS[name].make().fit(measured, "pm25").predict(measured, at).compute()
        for measured in (observations, other)
    )
    level = factor * float(observations.pm25.max())
    # A fit of a variogram ends where another step changes little, which depends on the unit.
    most = 0.1 if name == "space_time_kriging" else 0.02
    for layer in ("pm25", "pm25_uncertainty"):
        np.testing.assert_allclose(
            two[layer], factor * one[layer], rtol=most, atol=most / 10 * level
        )


@pytest.mark.parametrize("name", ["idw", "kriging"])
@pytest.mark.parametrize(("layout", "count"), [("anywhere", 2), ("one place", 2), ("the pole", 3)])
def test_two_stations_are_a_network(name, layout, count):
    observations = network_of(layout, "whole", count=count, seed=0)
    at = observations[["longitude", "latitude"]]
    product = METHODS[name].make().fit(observations, "pm25").predict(observations, at).compute()
    assert np.isfinite(product.pm25).all()
    assert (product.pm25 >= 0).all()
    assert (product.pm25_uncertainty > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layout"),
    [("idw", "the globe"), ("idw", "a crowd"), ("kriging", "the date line")],  # of few seconds
)
def test_five_thousand_stations_are_a_network(name, layout):
    observations = network_of(layout, "gaps", count=5000, seed=0).isel(time=slice(2))
    at = around(observations)
    method = METHODS[name].make().fit(observations, "pm25")
    product = method.predict(observations, at).compute()
    assert np.isfinite(product.pm25).all()
    assert (product.pm25 >= 0).all()
    assert (product.pm25_uncertainty > 0).all()
    order = np.random.default_rng(0).permutation(5000)
    other = observations.isel(station=order)
    again = method.predict(other, at).compute()
    np.testing.assert_allclose(again.pm25, product.pm25, rtol=1e-3)
