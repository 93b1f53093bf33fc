"""Kriging against published scores on real data, and against another implementation."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.network import EARTH_RADIUS_KM


@pytest.fixture(scope="module")
def rural_germany(data_dir):
    """Return daily PM10 of 2005 at 69 rural stations."""
    table = pd.read_csv(data_dir / "germany_rural_pm10_2005" / "de_rb_2005.csv.gz")
    series = table.pivot_table(index="station", columns="time", values="PM10")
    where = table.groupby("station")[["longitude", "latitude"]].first().loc[series.index]
    time = pd.to_datetime(series.columns).values.astype("datetime64[ns]")
    return xr.Dataset(
        {"pm10": (("station", "time"), series.to_numpy(), {"units": "ug m-3"})},
        coords={
            "station": series.index.to_numpy(dtype=str),
            "longitude": ("station", where.longitude.to_numpy()),
            "latitude": ("station", where.latitude.to_numpy()),
            "time": ("time", time, {"time_label": "start", "step_hours": 24.0}),
        },
    )


@pytest.mark.parametrize(("neighbours", "rmse", "mae"), [(50, 6.10, 4.07), (10, 6.15, 4.09)])
def test_leave_one_out_scores_of_rural_germany(rural_germany, neighbours, rmse, mae):
    """Gräler, Pebesma and Heuvelink 2016, The R Journal 8(1), 204: purely spatial kriging."""
    variogram = Variogram("exponential", partial_sill=66.5, range_km=224.0, nugget=13.5)
    kriging = OrdinaryKriging(neighbours, transform=None, variogram=variogram)
    kriging.fit(rural_germany, "pm10")
    everywhere = np.arange(rural_germany.sizes["station"])
    result = np.stack(
        [
            kriging.predict(
                rural_germany.isel(station=everywhere != left_out),
                rural_germany.isel(station=[left_out]).drop_vars("pm10"),
            ).pm10.values[0]
            for left_out in everywhere
        ]
    )
    difference = result - rural_germany.pm10.values
    assert np.isfinite(difference).sum() == 23230  # the values of the published study
    assert round(float(np.sqrt(np.nanmean(difference**2))), 2) == rmse
    assert round(float(np.nanmean(np.abs(difference))), 2) == mae


@pytest.mark.parametrize("model", ["exponential", "spherical"])
def test_values_and_variances_agree_with_pykrige(rural_germany, model):
    from pykrige.ok import OrdinaryKriging as PyKrige

    day = rural_germany.isel(time=[40])
    day = day.isel(station=np.flatnonzero(day.pm10.notnull().values[:, 0]))
    at = xr.Dataset(
        coords={
            "longitude": ("station", np.linspace(7, 14, 15)),
            "latitude": ("station", np.linspace(48, 54, 15)),
        }
    )
    variogram = Variogram(model, partial_sill=66.5, range_km=224.0, nugget=13.5)
    ours = OrdinaryKriging(100, transform=None, variogram=variogram).fit(day, "pm10")
    estimates = ours.predict(day, at)
    # PyKrige measures in degrees of arc, and takes three times our range for the exponential.
    range_deg = np.degrees(224.0 / EARTH_RADIUS_KM) * (3 if model == "exponential" else 1)
    theirs = PyKrige(
        day.longitude.values,
        day.latitude.values,
        day.pm10.values[:, 0],
        variogram_model=model,
        variogram_parameters={"psill": 66.5, "range": range_deg, "nugget": 13.5},
        coordinates_type="geographic",
    )
    values, variances = theirs.execute("points", at.longitude.values, at.latitude.values)
    # Our estimates are stored in float32: seven digits.
    np.testing.assert_allclose(estimates.pm10.values[:, 0], values, rtol=1e-6)
    np.testing.assert_allclose(estimates.pm10_uncertainty.values[:, 0] ** 2, variances, rtol=1e-6)
