"""Products against stations: the right cell, the right hours, the right units, and what is said."""

import re

import dask
import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from product_cases import GRIDS, make_observations, make_product

from aqreanalysis.foreign.files import in_blocks, runs
from aqreanalysis.foreign.places import RegularGrid
from aqreanalysis.network import great_circle_km
from aqreanalysis.product import write_netcdf
from aqreanalysis.verification import VerificationError, metrics
from aqreanalysis.verification.colocation.products import match_product, verify_product

HOURS = pd.date_range("2020-01-01", periods=48, freq="h")
DAYS = pd.date_range("2020-01-01", periods=2, freq="D")
#: Three stations on both sides of Greenwich, none on an edge of cells of half a degree.
PLACES = ((-0.7, 0.2, 1.4), (50.1, 50.6, 49.6))


def stations(places=PLACES, *, time=HOURS, label="start", step_hours=1.0, name="pm25", values=None):
    """Return observations; the value is 100 times the station's number plus that of the hour."""
    longitude, latitude = (np.array(axis, float) for axis in places)
    if values is None:
        values = 100.0 * np.arange(longitude.size)[:, None] + np.arange(time.size)
    return xr.Dataset(
        {name: (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"s{row}" for row in range(longitude.size)],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "time": ("time", time, {"time_label": label, "step_hours": step_hours}),
        },
    )


def value(longitude, latitude, hour):
    """Return the field of the tests: bilinear in place, different in every cell and hour."""
    east = (np.asarray(longitude) + 180) % 360 - 180
    return 500.0 + 2 * east + 3 * latitude + 0.05 * east * latitude + 0.25 * hour


def grid(longitude=None, latitude=None, *, time=HOURS, name="pm25"):
    """Return a product of cells of half a degree."""
    longitude = np.arange(-1.75, 2, 0.5) if longitude is None else longitude
    latitude = np.arange(49.25, 51, 0.5) if latitude is None else latitude
    field = value(longitude, latitude[:, None], np.arange(time.size)[:, None, None])
    return xr.Dataset(
        {name: (("time", "lat", "lon"), field, {"units": "ug m-3"})},
        coords={"time": time, "lat": latitude, "lon": longitude},
    )


def expected(places=PLACES, *, size=0.5, hours=HOURS.size):
    """Return the field at the centres of the cells that hold the places."""
    centre = [(np.floor(np.array(axis) / size) + 0.5) * size for axis in places]
    return value(centre[0][:, None], centre[1][:, None], np.arange(hours))


def matched(product, observations=None, **options):
    """Return pairs with an hourly product whose stamps begin their hour."""
    observations = stations() if observations is None else observations
    return match_product(product, observations, **{"time_label": "start", **options})


def estimate(product, observations=None, **options):
    """Return the estimates of the only method, (station, time)."""
    return matched(product, observations, **options).estimate.isel(estimator=0).values


def bounded(product, begin, end):
    """Return a product whose time has CF bounds."""
    with_edges = product.assign_coords(edges=(("time", "nv"), np.stack([begin, end], axis=1)))
    with_edges.time.attrs["bounds"] = "edges"
    return with_edges


LAYOUTS = {
    "plain": lambda product: product,
    "south last": lambda product: product.isel(lat=slice(None, None, -1)),
    "west last": lambda product: product.isel(lon=slice(None, None, -1)),
    "0 to 360 in one run": lambda product: product.assign_coords(
        lon=product.lon.values % 360
    ),  # CAMS: 358.25 ... 359.75, 0.25 ...
    "0 to 360 sorted": lambda product: product.assign_coords(lon=product.lon % 360).sortby("lon"),
    "columns in any order": lambda product: product.isel(lon=[3, 0, 7, 1, 2, 5, 6, 4]),
    "float32": lambda product: product.assign_coords(
        lon=product.lon.astype("f4"), lat=product.lat.astype("f4")
    ),
    "place first": lambda product: product.transpose("lon", "lat", "time"),
    "other names": lambda product: product.rename(lon="longitude", lat="latitude"),
    "only standard names": lambda product: _described(product.rename(lon="u", lat="v")),
    "one level": lambda product: product.expand_dims(height=[2.0], axis=1),
    "hours shuffled": lambda product: product.isel(
        time=np.random.default_rng(0).permutation(HOURS.size)
    ),
    "in dask chunks": lambda product: product.chunk(time=5, lat=2, lon=3),
}


def _described(product):
    product.u.attrs["standard_name"], product.v.attrs["standard_name"] = "longitude", "latitude"
    return product


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_cell_that_holds_a_station_is_found_in_any_layout(layout):
    np.testing.assert_allclose(estimate(LAYOUTS[layout](grid())), expected(), rtol=1e-6)


def test_pairs_keep_to_their_contract():
    observations = stations()
    product = grid()
    product.attrs["title"] = "A reanalysis of somebody else with a title longer than a legend"
    copies = product.copy(deep=True), observations.copy(deep=True)
    pairs = matched(product, observations)
    assert pairs.estimate.dims == pairs.standard_error.dims == ("estimator", "station", "time")
    assert (pairs.estimate.dtype, pairs.truth.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(pairs.truth, observations.pm25)
    xr.testing.assert_identical(pairs.time.variable, observations.time.variable)
    assert pairs.estimator.item() == "A reanalysis of somebody else with a…"
    assert np.isnan(pairs.distance_km).all()
    assert np.isnan(pairs.standard_error).all()
    assert pairs.fold.values.tolist() == ["", "", ""]
    assert len(set(pairs.place.values)) == 3
    assert pairs.attrs["by"] == "product"
    assert pairs.attrs["failures"] == []
    assert pairs.attrs["design"].endswith("the cell of the product that holds it.")
    assert pairs.attrs["remarks"] == [
        "It is not known whether the product used the measurements of these stations."
    ]
    xr.testing.assert_identical(product, copies[0])
    xr.testing.assert_identical(observations, copies[1])


def test_scores_of_a_product_that_is_five_too_high():
    observations = stations()
    product = observations.assign(pm25=observations.pm25 + 5)
    product.pm25.attrs["units"] = "ug m-3"
    scores = metrics(verify_product(product, observations, name="high"), resolution="hourly")
    for name, truth in {"bias": 5, "mae": 5, "rmse": 5, "centred_rmse": 0, "count": 144}.items():
        assert scores[name].sel(estimator="high").item() == pytest.approx(truth, abs=1e-4), name


# Where


def test_a_product_across_the_date_line():
    places = ((179.9, -179.9, 180.6), (0.1, 0.1, 0.1))
    east = np.arange(179.25, 181, 0.5)
    product = grid(east, np.array([-0.25, 0.25]))
    with xr.set_options(keep_attrs=True):
        product["pm25"] = product.pm25 * 0 + product.lon
    observations = stations(places).assign_coords(longitude=("station", [179.9, -179.9, -179.4]))
    np.testing.assert_array_equal(estimate(product, observations)[:, 0], [179.75, 180.25, 180.75])
    wrapped = product.assign_coords(lon=(product.lon + 180) % 360 - 180)
    np.testing.assert_array_equal(estimate(wrapped, observations)[:, 0], [179.75, 180.25, 180.75])


def test_stations_at_the_poles_and_on_the_edges_of_a_global_grid():
    places = ((123.4, -179.999, 180.0, 0.0), (90.0, -90.0, 0.0, 0.0))
    product = grid(np.arange(0.0, 360), np.arange(-90.0, 91))
    with xr.set_options(keep_attrs=True):
        product["pm25"] = product.pm25 * 0 + 1000 * product.lat + product.lon
    sampled = estimate(product, stations(places), quality="ignore")[:, 0]
    np.testing.assert_array_equal(sampled, [90_123, -90_000 + 180, 180, 0])


def test_linear_sampling_is_exact_for_a_bilinear_field():
    sampled = estimate(grid(), sampling="linear")
    truth = value(np.array(PLACES[0])[:, None], np.array(PLACES[1])[:, None], np.arange(48))
    np.testing.assert_allclose(sampled, truth, rtol=1e-6)


def test_linear_sampling_goes_around_the_globe():
    product = grid(np.arange(0.5, 360), np.array([-0.5, 0.5]))
    with xr.set_options(keep_attrs=True):
        product["pm25"] = product.pm25 * 0 + np.abs(product.lon - 180)  # symmetric about Greenwich
    sampled = estimate(product, stations(((0.25, -0.25), (0.0, 0.0))), sampling="linear")
    np.testing.assert_allclose(sampled, 179.5)  # between cells of 179.5 each


def test_a_missing_corner_makes_a_station_missing_unless_it_has_no_share():
    observations = stations(((0.25, 0.3), (50.25, 50.3)))
    product = grid().astype("f4")
    product = product.where((product.lon != 0.75) | (product.lat != 50.75))
    product.pm25.attrs["units"] = "ug m-3"
    sampled = estimate(product, observations, sampling="linear")
    np.testing.assert_allclose(sampled[0], value(0.25, 50.25, np.arange(48)), rtol=1e-6)
    assert np.isnan(sampled[1]).all()


def test_linear_sampling_leaves_out_the_rim_beyond_the_outer_centres():
    pairs = matched(grid(), stations(((-1.9, 0.2), (50.1, 50.1))), sampling="linear")
    assert pairs.station.values.tolist() == ["s1"]


def rotated(*, size=0.5, shape=(8, 10), time=HOURS):
    """Return a product whose rows run north-east, with positions in two dimensions."""
    row, column = np.mgrid[: shape[0], : shape[1]] * size * np.sqrt(0.5)
    longitude, latitude = column - row - 0.5, 2.0 + row + column
    field = value(longitude, latitude, np.arange(time.size)[:, None, None])
    return xr.Dataset(
        {
            "PM2.5": (("time", "j", "i"), field, {"units": "µg/m3"}),
            "lat2d": (("j", "i"), latitude),
            "lon2d": (("j", "i"), longitude),
        },
        coords={"time": time},
    )


def test_the_nearest_centre_is_taken_where_positions_have_two_dimensions(caplog):
    product = rotated()
    far = great_circle_km(-0.5, 2.0, -0.5, 1.6)  # below the lowest centre
    assert far > great_circle_km(0, 2, 0, 2.5) / np.sqrt(2)  # half the diagonal of a cell
    places = ((0.3, -1.1, -0.5, -0.5), (4.1, 4.4, 1.6, 1.8))
    pairs = matched(product, stations(places))
    assert pairs.station.values.tolist() == ["s0", "s1", "s3"]
    for row, (longitude, latitude) in zip((0, 1, 2), np.array(places).T[[0, 1, 3]], strict=True):
        away = (product.lon2d - longitude) ** 2 + (product.lat2d - latitude) ** 2
        nearest = product["PM2.5"].isel(away.argmin(("j", "i")))
        np.testing.assert_allclose(pairs.estimate[0, row], nearest, rtol=1e-6)
    remark = "1 of 4 stations outside the product left out: s2."
    assert pairs.attrs["remarks"][0] == remark
    assert remark in caplog.text
    with pytest.raises(VerificationError, match=r"needs longitude and latitude as the two axes"):
        matched(product, sampling="linear")


def test_cells_without_a_position_hold_no_station():
    product = rotated()
    hidden = product.lat2d.where(product.lon2d < 0)
    with pytest.raises(VerificationError, match="no station lies in the product"):
        matched(product.assign(lat2d=hidden), stations(((1.0,), (4.1,))))


@pytest.mark.parametrize("dims", [("place", "time"), ("time", "place")])
def test_a_product_at_stations_is_matched_by_identifier_and_else_by_position(dims):
    observations = stations()
    product = observations.rename(station="place").transpose(*dims)
    pairs = matched(product.isel(place=[2, 0, 1]), observations)
    np.testing.assert_allclose(pairs.estimate[0], observations.pm25)
    # 0.004 degrees of latitude are 0.44 km, 0.005 are 0.56 km
    moved = product.assign_coords(
        place=["x", "y", "s0"], latitude=product.latitude + np.array([0.004, 0.005, 0.0])
    )
    pairs = matched(moved, observations)
    assert pairs.station.values.tolist() == ["s0", "s2"]  # the far "s0" is another station
    np.testing.assert_allclose(pairs.estimate[0], observations.pm25[[0, 2]])


def test_no_station_inside_tells_both_extents():
    text = (
        r"stations span 100 to 101 E, 10 to 11 N, the product's cells -1\.75 to 1\.75 E, "
        r"49\.25 to 50\.75 N"
    )
    with pytest.raises(VerificationError, match=text):
        matched(grid(), stations(((100.0, 101.0), (10.0, 11.0))))


def test_bounds_of_cells_are_believed():
    product = grid(np.array([0.0, 1.0]), np.array([49.5, 50.5]))
    product = product.assign_coords(
        lon_bnds=(("lon", "nv"), [[-2.0, 0.1], [0.1, 2.0]]),
    )
    product.lon.attrs["bounds"] = "lon_bnds"
    sampled = estimate(product, stations(((0.2, 0.05), (50.1, 50.1))))
    np.testing.assert_allclose(sampled[:, 0], value(np.array([1.0, 0.0]), 50.5, 0), rtol=1e-6)


def test_a_single_cell_needs_a_size():
    product = grid(np.array([0.25]), np.array([50.25]))
    with pytest.raises(VerificationError, match="single cell and does not say its size"):
        matched(product)
    row = grid(np.arange(-1.75, 2, 0.5), np.array([50.25]))  # as high as it is wide
    np.testing.assert_allclose(
        estimate(row, stations(((0.2,), (50.4,))))[0], value(0.25, 50.25, np.arange(48)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: p.isel(lat=[0, 1, 1, 3]), "each latitude .* must be there once.*4 of which 3"),
        (lambda p: p.isel(lon=[0, 1, 2, 6, 7]), r"has a gap: -1\.25, -0\.75, 1\.25"),
        (lambda p: p.drop_vars(["lon", "lat"]), r"no longitude and latitude on the dimensions"),
        (lambda p: p.isel(lon=0), "longitude and latitude"),
        (
            lambda p: p.assign_coords(nav_lon=("lon", p.lon.values)),
            r"more than one position .*nav_lon",
        ),
        (
            lambda p: p.expand_dims(level=[1, 2, 3]),
            r"3 values along 'level'.* with product\.isel\(level=\.\.\.\)",
        ),
    ],
)
def test_a_layer_without_its_place_is_refused(change, text):
    with pytest.raises(VerificationError, match=text):
        matched(change(grid()))


# Which variable


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("pm2p5_conc", {}),
        ("pm2p5", {}),
        ("PM2.5", {}),
        ("x", {"standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"}),
        ("x", {"standard_name": "mass_concentration_of_pm2p5_ambient_aerosol_in_air"}),
    ],
)
def test_the_pollutant_is_found_by_standard_name_or_by_its_own(name, attrs):
    product = grid(name=name).assign(o3=grid(name="o3").o3 * 0)
    product[name].attrs |= attrs
    np.testing.assert_allclose(estimate(product), expected(), rtol=1e-6)


def test_variables_that_cannot_be_told_apart_are_listed():
    product = grid().assign(pm2p5=grid().pm25)
    with pytest.raises(VerificationError, match=r"several variables for pm25: pm25, pm2p5"):
        matched(product)
    assert matched(product, product_variable="pm2p5").sizes["station"] == 3
    with pytest.raises(VerificationError, match=r"no variable 'PM'; it has pm25 \('time'"):
        matched(product, product_variable="PM")
    with pytest.raises(VerificationError, match=r"no variable that is pm25 .* it has dust"):
        matched(grid(name="dust"))
    with pytest.raises(VerificationError, match="'pm25' of the product is empty along lon"):
        matched(grid().isel(lon=slice(0)))


# Units


@pytest.mark.parametrize(
    ("units", "factor"), [("kg m**-3", 1e-9), ("mg/m3", 1e-3), ("µg m-3", 1.0)]
)
def test_units_become_micrograms(units, factor):
    product = grid() * factor
    product["pm25_uncertainty"] = (product.pm25 / 10).drop_attrs()  # in the units of the layer
    product.pm25.attrs["units"] = units
    pairs = matched(product)
    np.testing.assert_allclose(pairs.estimate[0], expected(), rtol=1e-6)
    np.testing.assert_allclose(pairs.standard_error[0], expected() / 10, rtol=1e-6)


def test_a_mixing_ratio_says_at_which_temperature_it_was_converted():
    product = grid(name="o3").assign_attrs(title="ozone")
    product.o3.attrs["units"] = "ppb"
    pairs = matched(product, stations(name="o3"))
    np.testing.assert_allclose(pairs.estimate[0], 1.96183 * expected(), rtol=1e-5)
    assert any("ppb were converted" in remark for remark in pairs.attrs["remarks"])


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ("kg kg**-1", r"mass in a mass of air.*density of the air"),
        ("ug/kg", r"mass in a mass of air"),
        (
            "",
            r"^the product does not say the units of 'pm25'.* product\['pm25'\]\.attrs\['units'\]",
        ),
        ("ppb", r"made of particles"),
        ("K", r"cannot be in 'K'"),
    ],
)
def test_units_that_say_no_concentration_are_refused(units, text):
    product = grid()
    product.pm25.attrs["units"] = units
    with pytest.raises(VerificationError, match=text):
        matched(product)


def test_a_standard_error_is_found_as_an_ancillary_variable():
    product = grid()
    name = "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"
    product.pm25.attrs |= {"standard_name": name, "ancillary_variables": "spread"}
    product["spread"] = product.pm25 * 0 + 1e-9
    product.spread.attrs |= {"standard_name": f"{name} standard_error", "units": "kg m-3"}
    np.testing.assert_allclose(matched(product).standard_error, 1.0)
    product.spread.attrs["units"] = "%"
    pairs = matched(product)
    assert np.isnan(pairs.standard_error).all()
    assert any("standard error is left out" in remark for remark in pairs.attrs["remarks"])


def test_packed_values_are_decoded_and_missing_ones_stay_missing(tmp_path):
    product = grid()
    product.pm25[3, 2, 4] = np.nan  # the cell of the station at 0.2 E, 50.1 N
    packed = {"dtype": "int16", "scale_factor": 0.05, "add_offset": 600.0, "_FillValue": -32767}
    product.to_netcdf(tmp_path / "packed.nc", encoding={"pm25": packed})
    observations = stations(((0.2, -0.7), (50.1, 50.1)))
    pairs = matched(tmp_path / "packed.nc", observations)
    result = pairs.estimate.values[0]
    assert np.argwhere(np.isnan(result)).tolist() == [[0, 3]]
    truth = expected(((0.2, -0.7), (50.1, 50.1)))
    np.testing.assert_allclose(result[1], truth[1], atol=0.026)  # half a step of 0.05
    assert pairs.estimator.item() == "packed"


@pytest.mark.parametrize("number", [-999.0, np.float32(-999.9), 9.96921e36, np.inf])
def test_numbers_that_stand_for_missing_values_are_refused(number):
    product = grid()
    product.pm25[5] = number
    text = rf"holds {re.escape(f'{number:.6g}')} \(3 such values.*_FillValue"
    with pytest.raises(VerificationError, match=text):
        matched(product)


def test_a_station_without_any_estimate_is_named(caplog):
    product = grid()
    product["pm25"] = product.pm25.where(product.lon < 1)
    product.pm25.attrs["units"] = "ug m-3"
    pairs = matched(product)
    assert np.isnan(pairs.estimate.sel(station="s2")).all()
    assert np.isfinite(pairs.estimate.sel(station=["s0", "s1"])).all()
    assert pairs.truth.notnull().all()
    assert "The product has no value at 1 of 3 stations: s2." in pairs.attrs["remarks"]
    assert "no value at 1 of 3" in caplog.text


# When


@pytest.mark.parametrize(("label", "shift"), [("start", 0), ("end", 1)])
def test_labels_at_the_end_of_the_hour_shift_by_one_hour(label, shift):
    # A stamp t of the product means t-1 to t if it ends: beside it stands the measurement that
    # begins at t-1, so the product's first hour has none, and the last measurement no product.
    pairs = matched(grid(), time_label=label)
    assert pairs.sizes["time"] == 48 - shift
    np.testing.assert_allclose(pairs.estimate[0], expected()[:, shift:], rtol=1e-6)
    np.testing.assert_array_equal(pairs.truth, stations().pm25[:, : 48 - shift])


def test_labels_of_measurements_count_as_well():
    pairs = matched(grid(), stations(label="end"), time_label="end")
    np.testing.assert_allclose(pairs.estimate[0], expected(), rtol=1e-6)
    assert pairs.time.attrs["time_label"] == "end"


def test_bounds_tell_what_a_stamp_means():
    hour = np.timedelta64(1, "h")
    product = bounded(grid(), HOURS.values - hour, HOURS.values)
    pairs = match_product(product, stations())
    np.testing.assert_allclose(pairs.estimate[0], expected()[:, 1:], rtol=1e-6)
    text = r"time_label='start' contradicts the bounds .*2020-01-01T00:00 stands for 2019-12-31T23"
    with pytest.raises(VerificationError, match=text):
        matched(product)


def test_a_label_is_asked_for_and_must_not_contradict():
    with pytest.raises(VerificationError, match=r"does not say whether.*time_label='start' or"):
        match_product(grid(), stations())
    with pytest.raises(VerificationError, match="must be 'start' or 'end'; found 'middle'"):
        matched(grid(), time_label="middle")
    product = grid()
    product.time.attrs["time_label"] = "end"
    assert match_product(product, stations()).sizes["time"] == 47
    with pytest.raises(VerificationError, match="time_label='start' contradicts the product"):
        matched(product)


def test_daily_means_are_compared_with_days_of_which_three_quarters_are_measured():
    values = np.tile(np.arange(48.0), (3, 1))
    values[0, 18:24] = np.nan  # 18 of 24 hours: enough, their mean is 8.5
    values[1, 17:24] = np.nan  # 17: too few
    pairs = matched(grid(time=DAYS), stations(values=values))
    np.testing.assert_allclose(pairs.truth, [[8.5, 35.5], [np.nan, 35.5], [11.5, 35.5]])
    np.testing.assert_allclose(pairs.estimate[0], expected(hours=2), rtol=1e-6)
    assert pairs.time.attrs == {"time_label": "start", "step_hours": 24.0}
    np.testing.assert_array_equal(pairs.time, DAYS)
    assert "measurements averaged to the periods of the product" in pairs.attrs["design"]
    assert any("24 h was taken" in remark for remark in pairs.attrs["remarks"])
    assert verify_product(grid(time=DAYS), stations(), time_label="start").resolution == "daily"


def test_days_of_another_zone_keep_their_own_hours():
    begin = DAYS.values - np.timedelta64(8, "h")  # days of Beijing
    product = bounded(grid(time=DAYS), begin, begin + np.timedelta64(24, "h"))
    pairs = match_product(product, stations(label="end", time=HOURS + pd.Timedelta("1h")))
    # The first day has 16 of 24 hours (0 to 15 UTC), the second all, 16 to 39.
    np.testing.assert_allclose(pairs.truth[0], [np.nan, 27.5])
    np.testing.assert_array_equal(pairs.time, begin + np.timedelta64(24, "h"))


def test_months_have_their_own_lengths():
    hours = pd.date_range("2020-01-01", "2020-03-01", freq="h", inclusive="left")
    months = pd.to_datetime(["2020-01-01", "2020-02-01"])
    ends = pd.to_datetime(["2020-02-01", "2020-03-01"])
    product = bounded(grid(time=months), months.values, ends.values)
    pairs = match_product(product, stations(time=hours))
    np.testing.assert_allclose(pairs.truth[0], [743 / 2, 744 + 695 / 2])
    three = grid(time=pd.date_range("2020-01-01", periods=3, freq="MS"))
    with pytest.raises(VerificationError, match=r"696 to 744 h|cannot be told.*time bounds"):
        matched(three, stations(time=hours))


def test_a_finer_product_is_averaged_over_whole_periods_only():
    product = grid()
    product["pm25_uncertainty"] = product.pm25 / 10
    product.pm25[30, :, 4] = np.nan  # one hour of the second day, in the column of 0.25 E
    pairs = matched(product, stations(time=DAYS, step_hours=24.0))
    truth = expected().reshape(3, 2, 24).mean(axis=2)
    truth[1, 1] = np.nan
    np.testing.assert_allclose(pairs.estimate[0], truth, rtol=1e-6)
    assert np.isnan(pairs.standard_error).all()
    assert any("those of shorter periods" in remark for remark in pairs.attrs["remarks"])
    # A day that the product does not cover is no estimate that it misses: it has no truth.
    pairs = matched(product.isel(time=slice(1, 48)), stations(time=DAYS, step_hours=24.0))
    assert pairs.sizes["time"] == 1
    np.testing.assert_array_equal(pairs.time, DAYS[1:])


def test_hours_that_the_product_skips_have_no_truth():
    product = grid().isel(time=np.r_[0:10, 20:48])
    pairs = matched(product)
    np.testing.assert_array_equal(pairs.time, HOURS)
    assert np.isnan(pairs.truth[:, 10:20]).all()
    assert np.isnan(pairs.estimate[:, :, 10:20]).all()
    np.testing.assert_allclose(pairs.estimate[0, :, 20:], expected()[:, 20:], rtol=1e-6)


def test_days_that_the_product_skips_leave_a_regular_axis():
    days = pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-04"])
    hours = pd.date_range("2020-01-01", periods=96, freq="h")
    pairs = matched(grid(time=days), stations(time=hours))
    np.testing.assert_array_equal(pairs.time, pd.date_range("2020-01-01", periods=4))
    np.testing.assert_allclose(pairs.truth[0], [11.5, 35.5, np.nan, 83.5])
    np.testing.assert_allclose(pairs.estimate[0, :, 3], expected(hours=3)[:, 2], rtol=1e-6)


@pytest.mark.parametrize("attrs", [{"cell_methods": "time: point"}, {"GRIB_stepType": "instant"}])
def test_an_instant_stands_for_the_hour_that_its_stamp_begins(attrs):
    product = grid().isel(time=slice(None, None, 3))
    product.pm25.attrs |= attrs
    pairs = matched(product)
    compared = np.flatnonzero(pairs.truth.notnull().all("station"))
    np.testing.assert_array_equal(compared, np.arange(0, 46, 3))
    np.testing.assert_allclose(pairs.estimate[0, :, ::3], expected()[:, ::3], rtol=1e-6)
    assert any("at an instant: each stands for the mean of the 1 h that its stamp starts" in remark
               for remark in pairs.attrs["remarks"])  # fmt: skip
    daily = matched(product, stations(time=DAYS, step_hours=24.0))
    np.testing.assert_allclose(
        daily.estimate[0], expected()[:, ::3].reshape(3, 2, 8).mean(axis=2), rtol=1e-6
    )


def test_periods_that_do_not_nest_are_refused():
    half = HOURS + pd.Timedelta("30min")
    text = r"periods of the product do not nest.*2020-01-01T00:30 to 2020-01-01T01:30 UTC"
    with pytest.raises(VerificationError, match=text):
        matched(grid(time=half))
    with pytest.raises(VerificationError, match="measurements do not nest in those of the product"):
        matched(grid(time=DAYS + pd.Timedelta("30min")))
    with pytest.raises(VerificationError, match="product do not nest in those of the measurements"):
        matched(grid(time=HOURS[::5]), stations(time=DAYS, step_hours=24.0))
    running = bounded(grid(), HOURS.values, HOURS.values + np.timedelta64(8, "h"))
    with pytest.raises(VerificationError, match="overlap, as of running means"):
        match_product(running, stations())


def test_no_time_in_common_tells_both_spans():
    text = (
        r"product spans 2021-01-01T00:00 to 2021-01-03T00:00 UTC, the measurements "
        r"2020-01-01T00:00 to 2020-01-03T00:00"
    )
    with pytest.raises(VerificationError, match=text):
        matched(grid(time=HOURS + pd.Timedelta("366D")))


def _counted(product):
    time = xr.Variable("time", np.arange(48.0), {"units": "hours", "long_name": "FORECAST time"})
    return product.assign_coords(time=time)


def _without_some_stamps(product):
    time = product.time.values.copy()
    time[3:5] = np.datetime64("NaT")
    return product.assign_coords(time=time)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda p: xr.concat([p, p.isel(time=[7])], "time"),
            r"2020-01-01T07:00 more than once.* product\.drop_duplicates",
        ),
        (_without_some_stamps, r"2 missing.* product\.isel\(time=product\['time'\]\.notnull\(\)\)"),
        (_counted, r"expected dates along 'time'.*float64 in 'hours'.* product\.assign_coords\("),
        (lambda p: p.isel(time=0, drop=True), "'pm25' has no time"),
        (lambda p: p.isel(time=0), "how long its only period is.*step_hours"),
        (
            lambda p: p.convert_calendar("noleap", dim="time"),
            r"calendar 'noleap'.* product\.convert_calendar",
        ),
        (lambda p: p.isel(time=[0, 2, 5]), "2 to 3 h apart"),
    ],
)
def test_a_time_axis_that_cannot_be_told_is_refused(change, text):
    with pytest.raises(VerificationError, match=text):
        matched(change(grid()))


def test_a_single_hour_can_be_matched():
    product = grid().isel(time=5)
    product.time.attrs["step_hours"] = 1.0
    pairs = matched(product)
    np.testing.assert_allclose(pairs.estimate[0], expected()[:, [5]], rtol=1e-6)
    np.testing.assert_array_equal(pairs.time, HOURS[[5]])


def test_dates_of_cftime_and_of_a_zone_and_in_fractions_of_days_are_dates():
    dates = xr.date_range("2020-01-01", periods=48, freq="h", use_cftime=True)
    product = grid().assign_coords(time=dates)
    np.testing.assert_allclose(estimate(product), expected(), rtol=1e-6)
    beijing = HOURS.tz_localize("UTC").tz_convert("Asia/Shanghai")
    np.testing.assert_allclose(estimate(grid().assign_coords(time=beijing)), expected(), rtol=1e-6)
    noisy = HOURS - pd.to_timedelta(np.arange(48) % 3, unit="us")
    np.testing.assert_allclose(estimate(grid().assign_coords(time=noisy)), expected(), rtol=1e-6)


def test_only_the_stamps_of_the_forecast_itself_are_the_time():
    product = grid().rename(time="valid_time")
    product.valid_time.attrs["standard_name"] = "time"
    product = product.assign_coords(
        forecast_reference_time=("valid_time", HOURS + pd.Timedelta("9h")), number=0
    )
    np.testing.assert_allclose(estimate(product), expected(), rtol=1e-6)


# Our own products


@pytest.mark.parametrize("case", [*GRIDS, "stations"])
def test_our_own_products_say_all_that_is_needed(case, tmp_path):
    observations = make_observations()
    observations.pm25.attrs["units"] = "ug m-3"
    places = {
        "geographic": ([116.03, 116.56, 116.88], [39.24, 39.93, 39.57]),
        "date line": ([179.33, -179.66, -179.04], [-17.22, -17.51, -17.96]),
        "projected": ([116.03, 116.56, 116.88], [39.44, 39.93, 39.57]),
    }.get(case, (observations.longitude.values, observations.latitude.values))
    observations = observations.assign_coords(
        longitude=("station", places[0]), latitude=("station", places[1])
    )
    product = make_product(case)
    write_netcdf(product, tmp_path / "own.nc")
    pairs = match_product(tmp_path / "own.nc", observations)
    assert pairs.estimator.item() == "kriging"
    assert pairs.sizes["station"] == 3
    np.testing.assert_allclose(pairs.distance_km, 12.34567, rtol=1e-2)
    np.testing.assert_allclose(pairs.standard_error, pairs.estimate / 7, rtol=1e-2)
    longitude, latitude = places[0][1] % 360, places[1][1]
    if case == "stations":
        series = product.pm25.isel(station=1)
    elif case == "projected":
        away = great_circle_km(longitude, latitude, product.lon, product.lat)
        series = product.pm25.isel(xr.DataArray(away, dims=("y", "x")).argmin(("y", "x")))
    else:
        series = product.pm25.sel(lon=longitude, lat=latitude, method="nearest")
    np.testing.assert_allclose(pairs.estimate[0, 1], series, rtol=5e-3)


def test_a_product_that_has_seen_the_stations_is_told(caplog):
    observations = make_observations()
    observations.pm25.attrs["units"] = "ug m-3"
    product = make_product()
    remark = "These stations were seen by the product"
    assert match_product(product, observations).attrs["remarks"][0].startswith(remark)
    assert remark in caplog.text
    others = observations.assign(pm25=observations.pm25 + 1)
    others.pm25.attrs["units"] = "ug m-3"
    # 12 km is further than half the diagonal of a cell of 0.1 degrees, 7 km: none was seen
    assert match_product(product, others).attrs["remarks"] == []
    near = product.assign(distance_to_nearest_station=product.distance_to_nearest_station - 7)
    remark = "3 of 3 stations lie in a cell with a station that the product was made from"
    assert match_product(near, others).attrs["remarks"][0].startswith(remark)
    unknown = product.drop_vars("distance_to_nearest_station")
    remark = "The product was made from other measurements than these"
    assert match_product(unknown, others).attrs["remarks"][0].startswith(remark)


# What is read


def test_no_other_cell_is_touched():
    values = grid().pm25
    touched = {(lat, lon) for lat, lon in ((2, 2), (3, 4), (1, 6))}

    def cell(row, column, first):
        if (row, column) not in touched or first >= 24:
            raise AssertionError(f"cell {row}, {column} from hour {first} is none that is needed")
        return values.values[first : first + 24, row : row + 1, column : column + 1]

    rows = [
        [
            [
                dask.array.from_delayed(
                    dask.delayed(cell)(row, column, first), (24, 1, 1), values.dtype
                )
                for column in range(values.sizes["lon"])
            ]
            for row in range(values.sizes["lat"])
        ]
        for first in (0, 24)
    ]
    product = grid()
    product["pm25"] = values.copy(data=dask.array.block(rows))
    sampled = estimate(product, stations(time=HOURS[:24]))
    np.testing.assert_allclose(sampled, expected()[:, :24], rtol=1e-6)


@pytest.mark.parametrize("chunks", [None, (7, 2, 3)])
def test_blocks_of_a_file_change_nothing(tmp_path, monkeypatch, chunks):
    monkeypatch.setattr("aqreanalysis.foreign.files.BLOCK_BYTES", 2000)
    monkeypatch.setattr("aqreanalysis.foreign.sampling._VALUES_AT_A_TIME", 20)
    encoding = {"pm25": {"chunksizes": chunks}} if chunks else {}
    grid().to_netcdf(tmp_path / "grid.nc", encoding=encoding)
    np.testing.assert_allclose(estimate(str(tmp_path / "grid.nc")), expected(), rtol=1e-6)
    with xr.open_dataset(tmp_path / "grid.nc") as opened:
        block = max(np.prod(sizes) for sizes in zip(*map(sorted, in_blocks(
            opened.pm25.variable, "time").chunks), strict=False))  # fmt: skip
        assert block * 8 <= 2000
        np.testing.assert_allclose(estimate(opened), expected(), rtol=1e-6)


def test_runs_never_cut_a_chunk_and_skip_those_between():
    positions = np.r_[0:3, 9:12]
    assert [run.tolist() for run in runs((4, 4, 4), positions, 1)] == [[0, 1, 2], [9, 10, 11]]


def test_files_of_one_product_are_joined(tmp_path):
    for part, hours in (("b", slice(0, 24)), ("a", slice(24, 48))):  # not in the order of time
        grid().isel(time=hours).to_netcdf(tmp_path / f"part-{part}.nc")
    files = [tmp_path / "part-a.nc", tmp_path / "part-b.nc"]
    for product in (files, str(tmp_path / "part-*.nc")):
        np.testing.assert_allclose(estimate(product), expected(), rtol=1e-6)
    other = grid(np.arange(10.25, 14, 0.5))
    other.isel(time=slice(0, 24)).to_netcdf(tmp_path / "part-b.nc")
    with pytest.raises(VerificationError, match="do not fit together"):
        matched(files)


def test_what_is_no_product_is_refused(tmp_path):
    with pytest.raises(VerificationError, match=r"there is no file .*absent\.nc"):
        matched(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(VerificationError, match=r"text\.nc cannot be read as NetCDF"):
        matched(tmp_path / "text.nc")
    with pytest.raises(VerificationError, match=r"found DataArray.*to_dataset"):
        matched(grid().pm25)
    with pytest.raises(
        VerificationError, match="sampling must be 'cell' or 'linear'; found 'mean'"
    ):
        matched(grid(), sampling="mean")


def test_observations_that_are_none_are_refused():
    with pytest.raises(VerificationError, match=r"observations are not valid: .*time_label"):
        matched(grid(), stations(label="middle"))
    with pytest.raises(VerificationError, match="unknown pollutant 'dust'"):
        matched(grid(), variable="dust")
    with pytest.raises(VerificationError, match="no 'o3'; they have pm25"):
        matched(grid(), variable="ozone")


def test_a_cyclic_column_and_edges_written_the_other_way_round():
    grid = RegularGrid.of(np.array([0.0, 90, 180, 270, 360]), np.array([-45.0, 45]))
    assert grid.x.closes
    column, inside = grid.x.holding(np.array([-44.0, 359.0, 46.0]))
    assert inside.all()
    assert grid.x.position[column].tolist() == [0, 0, 1]
    edges = np.array([[178.5, -179.5], [-179.5, -177.5]])  # of 179.5 E and 178.5 W
    grid = RegularGrid.of(np.array([179.5, -178.5]), np.array([0.0, 1.0]), edges)
    assert grid.x.edges.tolist() == [178.5, 180.5, 182.5]
