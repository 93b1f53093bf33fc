"""One field in many guises: what others write differently is read as the same values."""

import pickle

import numpy as np
import pandas as pd
import pyproj
import pytest
import xarray as xr
from dask.base import tokenize

from aqreanalysis.foreign.background import Background, BackgroundError
from aqreanalysis.foreign.coordinates import find_crs
from aqreanalysis.foreign.places import CurvilinearGrid, RegularGrid, find_places
from aqreanalysis.verification.colocation.products import match_product

HOURS = pd.date_range("2020-01-01", periods=6, freq="h").values
HALF = np.timedelta64(30, "m")
#: Stations on both sides of Greenwich, within the outer centres of the grid.
LONGITUDE, LATITUDE = np.array([-0.7, 0.2, 1.4, -0.02]), np.array([50.1, 50.6, 49.6, 50.02])


def value(longitude, latitude, hour=0.0):
    """Return the field: bilinear in place, different in every cell and hour."""
    east = (np.asarray(longitude) + 180) % 360 - 180
    return 500.0 + 2 * east + 3 * latitude + 0.05 * east * latitude + 0.25 * hour


def field(longitude=None, latitude=None):
    """Return hourly means whose stamps begin their hour, on cells of half a degree."""
    longitude = np.arange(-1.75, 2, 0.5) if longitude is None else longitude
    latitude = np.arange(49.25, 51, 0.5) if latitude is None else latitude
    values = value(longitude, latitude[:, None], np.arange(HOURS.size)[:, None, None])
    return xr.Dataset(
        {"pm25": (("time", "lat", "lon"), values, {"units": "ug m-3"})},
        coords={
            "time": ("time", HOURS, {"time_label": "start", "step_hours": 1.0}),
            "lat": latitude,
            "lon": longitude,
        },
    )


def _described(data):
    data = data.rename(lon="u", lat="v", pm25="x")
    data.u.attrs["standard_name"], data.v.attrs["units"] = "longitude", "degrees_north"
    data.x.attrs["standard_name"] = "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"
    return data


def _two_dimensional(data):
    longitude, latitude = xr.broadcast(data.lon, data.lat)
    data = data.rename(lon="i", lat="j").drop_vars(["i", "j"])
    return data.assign(
        XLONG=(("i", "j"), longitude.values, {"units": "degrees_east"}),
        XLAT=(("i", "j"), latitude.values, {"units": "degrees_north"}),
    ).transpose("time", "j", "i")


def _turned(data):
    """Return the field on a grid whose rows run north-east, so that none is an axis."""
    row, column = np.mgrid[:40, :40] * 0.1 - 2
    longitude, latitude = (column - row) * np.sqrt(0.5), 50 + (column + row) * np.sqrt(0.5)
    # Bilinear on the cells of this grid is not bilinear on others: a plane is, on all.
    return data.drop_vars(["pm25", "lat", "lon"]).assign(
        pm25=(
            ("time", "j", "i"),
            value(longitude, latitude, np.arange(HOURS.size)[:, None, None])
            - 0.05 * longitude * latitude,
            {"units": "ug m-3"},
        ),
        nav_lat=(("j", "i"), latitude),
        nav_lon=(("j", "i"), longitude),
    )


def _mapped(data, crs, names, unit="m"):
    """Return the field on the axes of a CRS that are linear in longitude and latitude."""
    transform = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, _ = transform.transform(data.lon.values, np.full(data.lon.size, 50.0))
    _, y = transform.transform(np.zeros(data.lat.size), data.lat.values)
    size = 1000.0 if unit == "km" else 1.0
    data = data.assign_coords(lon=x / size, lat=y / size).rename(lon="x", lat="y")
    for axis, name in zip("xy", names, strict=True):
        data[axis].attrs |= {"standard_name": name, "units": unit}
    data.pm25.attrs["grid_mapping"] = "projection"
    return data.assign(projection=((), 0, crs.to_cf()))


def _projected(data):
    crs = pyproj.CRS("+proj=eqc +lat_ts=50 +lon_0=7 +datum=WGS84")
    names = [f"projection_{axis}_coordinate" for axis in "xy"]
    return _mapped(data, crs, names, "km")


def _rotated(data):
    attributes = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 90.0,
        "grid_north_pole_longitude": 170.0,
    }
    names = ["grid_longitude", "grid_latitude"]
    return _mapped(data, pyproj.CRS.from_cf(attributes), names, "degrees")


def _bounded(data, stamps):
    data = data.assign_coords(
        time=stamps, when=(("time", "nv"), np.stack([HOURS, HOURS + 2 * HALF], 1))
    )
    data.time.attrs["bounds"] = "when"
    return data


def _cell_bounds(data):
    return data.assign(
        lat_bnds=(("lat", "nv"), data.lat.values[:, None] + [0.25, -0.25]),
        lon_bnds=(("lon", "nv"), data.lon.values[:, None] + [-0.25, 0.25]),
    )


def _scaled(data, factor, units):
    data = data.assign(pm25=data.pm25 * factor)
    data.pm25.attrs["units"] = units
    return data


def _global(data, first=0.25):
    whole = field(np.arange(first, first + 360, 0.5), data.lat.values)
    east = (whole.lon + 180) % 360 - 180
    return whole.where(abs(east) < 3, 0.0).assign_attrs(data.attrs)


def _cyclic(data):
    whole = _global(data, 0.25)
    again = whole.isel(lon=[0]).assign_coords(lon=[360.25])
    return xr.concat([whole, again], "lon")


GUISES = {
    "plain": lambda data: data,
    "descending latitude": lambda data: data.isel(lat=slice(None, None, -1)),
    "0 to 360, west of Greenwich last": lambda data: data.assign_coords(lon=data.lon % 360).sortby(
        "lon"
    ),
    "all around, 0 to 360": _global,
    "all around, with a column twice": _cyclic,
    "two-dimensional coordinates": _two_dimensional,
    "projected, in km": _projected,
    "rotated pole": _rotated,
    "CF attributes only": _described,
    "other names": lambda data: data.rename(lon="longitude", lat="latitude"),
    "kg m-3": lambda data: _scaled(data, 1e-9, "kg m-3"),
    "bounds with stamps in mid-period": lambda data: _bounded(data, HOURS + HALF),
    "bounds with stamps at the end": lambda data: _bounded(data, HOURS + 2 * HALF),
    "stamps at the end": lambda data: data.assign_coords(
        time=("time", HOURS + 2 * HALF, {"time_label": "end", "step_hours": 1.0})
    ),
    "bounds of cells": _cell_bounds,
    "one level": lambda data: data.expand_dims(height=[2.0], axis=1),
    "place first": lambda data: data.transpose("lon", "lat", "time"),
    "hours shuffled, in chunks": lambda data: data.isel(time=[3, 0, 5, 1, 2, 4]).chunk(
        time=2, lat=3
    ),
    "float32": lambda data: data.assign_coords(
        lon=data.lon.astype("f4"), lat=data.lat.astype("f4")
    ),
}


def stations():
    """Return observations at the places, whose stamps begin their hour."""
    return xr.Dataset(
        {"pm25": (("station", "time"), np.full((LONGITUDE.size, HOURS.size), 10.0),
                  {"units": "ug m-3"})},
        coords={
            "station": [f"s{row}" for row in range(LONGITUDE.size)],
            "longitude": ("station", LONGITUDE),
            "latitude": ("station", LATITUDE),
            "time": ("time", HOURS, {"time_label": "start", "step_hours": 1.0}),
        },
    )  # fmt: skip


def truth(longitude=LONGITUDE, latitude=LATITUDE):
    """Return the field at places, (place, hour)."""
    return value(longitude[:, None], latitude[:, None], np.arange(HOURS.size))


@pytest.mark.parametrize("guise", GUISES)
def test_one_field_in_any_guise_has_the_same_values(guise):
    data = GUISES[guise](field())
    background = Background(data)
    assert background.rooted == (True,)
    sampled = background.at(LONGITUDE, LATITUDE, stations().time)[..., 0]
    np.testing.assert_allclose(sampled, truth(), rtol=1e-6)
    pairs = match_product(data, stations())
    centres = [(np.floor(axis / 0.5) + 0.5) * 0.5 for axis in (LONGITUDE, LATITUDE)]
    np.testing.assert_allclose(pairs.estimate[0], truth(*centres), rtol=1e-6)
    linear = match_product(data, stations(), sampling="linear")
    np.testing.assert_allclose(linear.estimate[0], truth(), rtol=1e-6)


def test_no_place_lies_in_a_seam():
    data = field(np.arange(0.0, 360), np.array([-1.0, 1.0]))
    data["pm25"] = data.pm25 * 0 + abs(data.lon - 180)  # symmetric about Greenwich
    longitude = np.array([359.0, 359.6, 360.0, -0.3, 0.4])
    sampled = Background(data).at(longitude, np.zeros(5), HOURS[:1]).ravel()
    np.testing.assert_allclose(sampled, [179.0, 179.6, 180.0, 179.7, 179.6])


def test_a_turned_grid_is_interpolated_between_its_four_centres():
    data = _turned(field())
    assert isinstance(find_places(data, "pm25"), CurvilinearGrid)
    sampled = Background(data).at(LONGITUDE, LATITUDE, stations().time)[..., 0]
    plane = truth() - 0.05 * (LONGITUDE * LATITUDE)[:, None]
    np.testing.assert_allclose(sampled, plane, rtol=1e-9)
    outside = Background(data).at(np.array([-2.5, 0.0]), np.array([51.0, 53.5]), HOURS)
    assert np.isnan(outside).all()


@pytest.mark.parametrize("shift", [0.0, 180.0])
def test_a_curvilinear_grid_may_cross_any_meridian(shift):
    data = _turned(field())
    data["nav_lon"] = (data.nav_lon + shift) % 360
    sampled = Background(data).at(LONGITUDE + shift, LATITUDE, HOURS)[..., 0]
    plane = truth() - 0.05 * (LONGITUDE * LATITUDE)[:, None]
    np.testing.assert_allclose(sampled, plane, rtol=1e-9)


def test_a_projected_field_is_bilinear_on_its_own_axes():
    crs = pyproj.CRS("EPSG:3035")
    x, y = np.arange(3.9e6, 4.1e6, 2e4), np.arange(2.9e6, 3.1e6, 2e4)
    data = xr.Dataset(
        {"height": (("y", "x"), 1e-3 * x + 2e-3 * y[:, None])},
        coords={"x": x, "y": y, "spatial_ref": ((), 0, crs.to_cf())},
    )
    longitude, latitude = np.array([4.6, 5.1, 60.0]), np.array([50.3, 49.9, 50.0])
    own = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    east, north = own.transform(longitude, latitude)
    sampled = Background(data).at(longitude, latitude, HOURS[:1])[:, 0, 0]
    np.testing.assert_allclose(sampled[:2], 1e-3 * east[:2] + 2e-3 * north[:2], rtol=1e-9)
    assert np.isnan(sampled[2])
    assert find_crs(data).to_epsg() == 3035


def test_a_field_in_shorter_periods_is_averaged_over_each_hour_of_the_stations():
    data = field()
    quarters = pd.date_range("2020-01-01", periods=24, freq="15min").values
    fine = data.isel(time=np.repeat(np.arange(6), 4)).assign_coords(
        time=("time", quarters, {"time_label": "start", "step_hours": 0.25})
    )
    fine["pm25"] = fine.pm25 + xr.DataArray(np.tile([-3.0, -1, 1, 3], 6), dims="time")
    fine.pm25[7] = np.nan  # the last quarter of the second hour
    sampled = Background(fine).at(LONGITUDE, LATITUDE, stations().time)[..., 0]
    expected = truth()
    expected[:, 1] = np.nan
    np.testing.assert_allclose(sampled, expected, rtol=1e-9)


def test_stamps_are_compared_with_stamps_where_one_side_says_nothing():
    data = field()
    data.time.attrs = {}
    np.testing.assert_allclose(
        Background(data).at(LONGITUDE, LATITUDE, stations().time)[..., 0], truth()
    )
    late = _bounded(field(), HOURS + 2 * HALF)
    sampled = Background(late).at(LONGITUDE, LATITUDE, HOURS + 2 * HALF)[..., 0]
    np.testing.assert_allclose(sampled, truth())


def test_covariates_keep_their_units_and_any_number(caplog):
    data = field()[["pm25"]].isel(time=0, drop=True)
    column = (data.pm25 * 1e14).rename("no2_column").assign_attrs(units="molecules cm-2")
    fraction = data.pm25.rename("o3").assign_attrs(units="kg kg-1")
    background = Background(xr.Dataset({"no2_column": column, "o3": fraction}))
    sampled = background.at(LONGITUDE, LATITUDE, HOURS[:1])[:, 0]
    np.testing.assert_allclose(sampled[:, 0], 1e14 * truth()[:, 0])
    np.testing.assert_allclose(sampled[:, 1], truth()[:, 0])
    assert background.rooted == (False, True)
    assert "'o3' is used in its own units" in caplog.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data.isel(lat=[0, 1, 1]), "each latitude of the grid must be there once"),
        (lambda data: data.assign_coords(lon2=data.lon), "more than one position for 'pm25'"),
        (
            lambda data: data.expand_dims(level=[1, 2]),
            r"2 values along 'level'.* background\.isel\(level=\.\.\.",
        ),
        (lambda data: data.assign_coords(time=np.arange(6)), "expected dates along 'time'"),
        (
            lambda data: data.convert_calendar("noleap", dim="time"),
            r"calendar 'noleap'.* background\.convert",
        ),
    ],
)
def test_a_background_that_cannot_be_read_is_refused_with_a_remedy(change, text):
    with pytest.raises(BackgroundError, match=rf"the background: .*{text}"):
        Background(change(field()))


def test_fill_values_and_single_rows_are_refused_when_they_are_met():
    data = field()
    data.pm25[2] = -999.0
    with pytest.raises(
        BackgroundError, match=r"'pm25' holds -999 .*Mask it with background\.where\("
    ):
        Background(data).at(LONGITUDE, LATITUDE, HOURS)
    with pytest.raises(BackgroundError, match="two cells at least along each axis; latitude has"):
        Background(field().isel(lat=[1])).at(LONGITUDE, LATITUDE, HOURS)


def test_uneven_axes_are_interpolated_though_their_cells_are_unknown():
    latitude = np.array([49.25, 49.5, 51.0, 51.1])
    sampled = Background(field(latitude=latitude)).at(LONGITUDE, LATITUDE, HOURS)[..., 0]
    np.testing.assert_allclose(sampled, truth())
    assert RegularGrid.of(np.arange(3.0), np.array([0.0, 1.0])).y.edges.tolist() == [-0.5, 0.5, 1.5]


def test_cells_without_a_position_are_left_out_of_a_curvilinear_grid():
    data = _turned(field())
    data["nav_lat"] = data.nav_lat.where(data.nav_lon < 0.7)
    sampled = Background(data).at(LONGITUDE, LATITUDE, HOURS)[..., 0]
    assert np.isfinite(sampled).all(axis=1).tolist() == [True, True, False, True]


def test_places_where_a_projection_has_no_end_lie_outside():
    x = np.arange(-2e6, 2e6, 1e5)
    data = xr.Dataset(
        {"height": (("y", "x"), x + x[:, None])},
        coords={"x": x, "y": x},
    )
    crs = pyproj.CRS("+proj=ortho +lat_0=50 +lon_0=10 +datum=WGS84")
    data = data.assign_coords(crs=((), 0, crs.to_cf()))
    sampled = Background(data).at(np.array([10.0, -170.0]), np.array([50.0, -50.0]), HOURS[:1])
    np.testing.assert_allclose(sampled.ravel(), [0.0, np.nan], atol=1e-6)


def test_a_background_is_the_same_in_another_process():
    background = Background(_turned(field()))
    again = pickle.loads(pickle.dumps(background))
    assert tokenize(again) == tokenize(background) != tokenize(Background(field()))
    np.testing.assert_array_equal(
        again.at(LONGITUDE, LATITUDE, HOURS), background.at(LONGITUDE, LATITUDE, HOURS)
    )
    assert tokenize(again) == tokenize(background)
