"""Networks of any shape: what holds of every baseline whatever the stations and their series."""

import numpy as np
import pytest
import xarray as xr

from aqreanalysis.methods import METHODS

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
