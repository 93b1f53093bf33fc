"""Attributes of places in methods: own altitudes first, fields of one's own, and what is wrong."""

import json
import logging
import pickle

import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize

import aqreanalysis as aqr
from aqreanalysis import geography
from aqreanalysis.foreign.background import Background, BackgroundError
from aqreanalysis.geography import NAMES, GeographyError, attributes
from aqreanalysis.geography.background import learned_names
from aqreanalysis.verification import cross_validate

#: Valleys and mountains of Austria and around: longitude, latitude.
WEST, EAST, SOUTH, NORTH = 9.5, 15.5, 46.2, 48.4


@pytest.fixture(scope="module")
def alps():
    """Return hours of PM2.5 at 26 places, of which the root falls by 1 in 500 m, without noise."""
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(WEST, EAST, 26), rng.uniform(SOUTH, NORTH, 26)
    altitude = geography.at(longitude, latitude).altitude.values
    hours = np.arange("2024-01-01T00", "2024-01-01T08", dtype="datetime64[h]").astype(
        "datetime64[ns]"
    )
    root = 8 - altitude[:, None] / 500 + np.sin(np.arange(8) / 4)
    return xr.Dataset(
        {"pm25": (("station", "time"), root**2, {"units": "ug m-3"})},
        coords={
            "station": [f"A{number:02d}" for number in range(26)],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "time": ("time", hours, {"time_label": "start", "step_hours": 1.0}),
        },
    )


@pytest.fixture(scope="module")
def split(alps):
    return alps.isel(station=slice(0, 20)), alps.isel(station=slice(20, None))


def with_altitude(stations, altitude):
    return stations.assign_coords(altitude=("station", altitude))


def shipped_m(stations):
    return geography.at(stations.longitude.values, stations.latitude.values).altitude.values


def error(product, truth):
    return float(np.sqrt(((product.pm25 - truth.pm25) ** 2).mean()))


# --- in methods


def test_altitude_tells_valleys_from_mountains(split):
    known, hidden = split
    errors = [
        error(known.aqnet.reanalyse(at=hidden, method="kriging", geography=which), hidden)
        for which in (None, "altitude", True)
    ]
    assert errors[1] < 0.2 * errors[0]
    assert errors[2] < 0.5 * errors[0]


def test_a_stations_own_altitude_beats_the_field_and_so_does_a_targets(split):
    """Values that follow altitudes of which the field knows nothing: those of single summits."""
    known, hidden = split
    rng = np.random.default_rng(1)
    above = rng.uniform(0, 900, known.sizes["station"] + hidden.sizes["station"])
    summits = []
    for stations, some in ((known, above[:20]), (hidden, above[20:])):
        root = np.sqrt(stations.pm25) - xr.DataArray(some / 500, dims="station")
        moved = stations.assign(pm25=(root**2).assign_attrs(stations.pm25.attrs))
        summits.append(with_altitude(moved, shipped_m(stations) + some))
    known, hidden = summits
    without = hidden.drop_vars("altitude")
    own, field = (
        error(known.aqnet.reanalyse(at=at, method="kriging", geography="altitude"), hidden)
        for at in (hidden, without)
    )
    assert own < 0.4 * field


def test_the_product_says_what_was_used_and_grids_take_the_field(split):
    known, _ = split
    high = with_altitude(known, np.where(np.arange(20) < 15, shipped_m(known), np.nan))
    product = high.aqnet.reanalyse(
        grid=0.5, method="kriging", geography=["relief", "altitude"], progress=False
    )
    used = (
        "altitude, relief of aqreanalysis geography 1; altitude of 15 of 20 stations as they "
        "state it"
    )
    assert json.loads(product.attrs["method_settings"])["geography"] == used
    assert used in product.attrs["history"]
    assert np.isfinite(product.pm25).all()


def test_any_chunking_and_any_order_of_stations_give_the_same_numbers(split):
    known, _ = split
    options = {"grid": 0.4, "method": "kriging", "geography": True}
    whole, cut = (
        stations.aqnet.reanalyse(**options, chunks=chunks).compute()
        for stations, chunks in (
            (known, None),
            (known.isel(station=slice(None, None, -1)), {"lat": 2}),
        )
    )
    np.testing.assert_allclose(whole.pm25, cut.pm25, rtol=1e-5)


def test_it_goes_together_with_a_background(split):
    known, hidden = split
    model = xr.DataArray(
        np.add.outer(np.linspace(5, 9, 9), np.linspace(0, 3, 12)),
        coords={"lat": np.linspace(45, 50, 9), "lon": np.linspace(8, 17, 12)},
        dims=("lat", "lon"),
        name="emission",
    )
    product = known.aqnet.reanalyse(
        at=hidden, method="kriging", geography="altitude", background=model
    )
    settings = json.loads(product.attrs["method_settings"])
    assert settings["trend"]["names"] == ["geography:altitude", "emission"]


def test_workers_get_the_same_field(split):
    known, _ = split
    field = Background(attributes(True, with_altitude(known, shipped_m(known) + 10)).background)
    sent = pickle.loads(pickle.dumps(field))
    assert tokenize(sent) == tokenize(field)
    at = known.longitude.values, known.latitude.values, known.time.values[:1]
    np.testing.assert_array_equal(sent.at(*at), field.at(*at))


def test_a_saved_model_remembers_what_it_learned(split, tmp_path):
    known, hidden = split[0].isel(station=slice(0, 12)), split[1].isel(station=slice(0, 3))
    quick = aqr.Schedule(covariance_updates=1, updates=0)
    model = known.aqnet.fit(geography=["altitude", "relief"], schedule=quick, progress=False)
    loaded = aqr.Reanalyser.load(model.save(tmp_path / "model"))
    assert learned_names(loaded.settings) == ["altitude", "relief"]
    one, again = (
        known.aqnet.reanalyse(at=hidden, method=method, geography=which)
        for method, which in ((model, ["altitude", "relief"]), (loaded, None))
    )
    np.testing.assert_array_equal(one.pm25, again.pm25)
    with pytest.raises(BackgroundError, match="learned with the background geography:altitude"):
        known.aqnet.reanalyse(at=hidden, method=loaded, geography=False)


def test_verification_gives_it_to_the_methods_that_take_it(alps):
    options = {"methods": ["kriging", "idw"], "folds": 3, "progress": False}
    pairs = [cross_validate(alps, **options, geography=which) for which in (None, "altitude")]
    errors = [np.sqrt(((one.estimate - one.truth) ** 2).mean(("station", "time"))) for one in pairs]
    assert errors[1].sel(estimator="kriging") < 0.3 * errors[0].sel(estimator="kriging")
    assert errors[1].sel(estimator="idw") == errors[0].sel(estimator="idw")
    assert "altitude of aqreanalysis geography 1" in str(pairs[1].attrs["remarks"])


def test_a_method_that_takes_none_says_which_do(split):
    known, _ = split
    with pytest.raises(ValueError, match="'idw' takes no geography; leave it out, or use method="):
        known.aqnet.reanalyse(grid=0.5, method="idw", geography=True)


# --- altitudes of stations


def test_feet_are_told_and_the_field_is_used(split, caplog):
    known, _ = split
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        used = attributes("altitude", with_altitude(known, shipped_m(known) / 0.3048))
    assert "station A00 (20 such stations) is probably in feet" in caplog.text
    assert len(used.background) == 1


def test_one_altitude_far_off_is_named_and_the_others_are_used(split, caplog):
    known, _ = split
    altitude = shipped_m(known)
    altitude[3] += 2100
    altitude[5] = -999
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        used = attributes("altitude", with_altitude(known, altitude))
    assert "the altitude of station A03 (1 such stations) is far off" in caplog.text
    assert "the altitude of station A05 (1 such stations) is that of no place on land: -999" in (
        caplog.text
    )
    sampled = Background(used.background).at(
        known.longitude.values, known.latitude.values, known.time.values[:1]
    )[:, 0, 0]
    np.testing.assert_allclose(sampled, shipped_m(known))


def test_a_station_at_sea_has_the_altitude_of_the_sea(caplog):
    platform = xr.Dataset(
        coords={
            "station": ["P"],
            "longitude": ("station", [2.0]),
            "latitude": ("station", [56.5]),
        }
    )
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        used = attributes(True, platform, platform)
    columns = Background(used.background).at(
        np.array([2.0]), np.array([56.5]), np.zeros(1, "datetime64[ns]")
    )
    assert columns[0, 0, 0] == 0
    assert np.isfinite(columns).all()
    assert caplog.text == ""


# --- fields of one's own


def dem(known, *, factor=1.0, name="dem", step=0.25, **attributes):
    """Return the altitude around the stations on a grid of one's own."""
    lon, lat = np.arange(9.0, 16.1, step), np.arange(45.8, 48.9, step)
    values = geography.at(*np.meshgrid(lon, lat)).altitude.values * factor
    return xr.DataArray(
        values, coords={"lat": lat, "lon": lon}, dims=("lat", "lon"), name=name, attrs=attributes
    )


def test_a_field_of_ones_own_counts_and_own_altitudes_come_first(split, tmp_path):
    known, hidden = split
    high = with_altitude(known, shipped_m(known))
    used = attributes(dem(known), high)
    assert Background(used.background).names == ("dem",)
    assert used.description == (
        "dem of a field of one's own; altitude of 20 of 20 stations as they state it"
    )
    dem(known).to_netcdf(tmp_path / "dem.nc")
    from_file = attributes(tmp_path / "dem.nc", high)
    assert str(tmp_path / "dem.nc") in from_file.description
    products = [
        high.aqnet.reanalyse(at=hidden, method="kriging", geography=which)
        for which in (dem(known), str(tmp_path / "dem.nc"))
    ]
    np.testing.assert_allclose(products[0].pm25, products[1].pm25, rtol=1e-6)


def test_stated_feet_and_kilometres_are_converted(split):
    known, _ = split
    at = known.longitude.values, known.latitude.values, known.time.values[:1]
    metres = Background(attributes(dem(known), known).background).at(*at)
    for units, factor in (("ft", 1 / 0.3048), ("km", 1e-3)):
        other = attributes(dem(known, factor=factor, units=units), known)
        np.testing.assert_allclose(Background(other.background).at(*at), metres)


def test_a_field_in_another_projection_is_read(split):
    pyproj = pytest.importorskip("pyproj")
    known, _ = split
    crs = pyproj.CRS("EPSG:3035")
    x, y = np.arange(4.3e6, 4.8e6, 2e4), np.arange(2.5e6, 2.85e6, 2e4)
    back = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = back.transform(*np.meshgrid(x, y))
    field = xr.Dataset(
        {"dem": (("y", "x"), geography.at(lon, lat).altitude.values, {"grid_mapping": "crs"})},
        coords={
            "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
            "crs": ((), 0, crs.to_cf()),
        },
    )
    inside = known.isel(station=slice(0, 20))
    sampled = Background(attributes(field, inside).background).at(
        inside.longitude.values, inside.latitude.values, inside.time.values[:1]
    )[:, 0, 0]
    within = np.isfinite(sampled)
    assert within.sum() > 12
    assert np.corrcoef(sampled[within], shipped_m(inside)[within])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda known: dem(known, factor=3.28), "the altitude 'dem' looks like feet: .* units to "),
        (lambda known: dem(known, units="K"), "the units of the altitude 'dem'"),
        (
            lambda known: dem(known).where(dem(known) < 1500, -9999),
            r"the altitude 'dem' is -[0-9.]+ m at station A\d\d .* Mask what stands for a missing",
        ),
        (
            lambda known: "relieff",
            "there is no attribute and no file 'relieff'; attributes are alt",
        ),
        (lambda known: [], "geography names no attribute; there are altitude, relief"),
        (lambda known: 3, "geography takes True, names of shipped attributes, .* found int"),
        (
            lambda known: dem(known).expand_dims(time=known.time.values),
            "attributes of places do not change in time: pass it as background=",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(make, message, split):
    known, _ = split
    with pytest.raises(GeographyError, match=message):
        attributes(make(known), known)


def test_a_raster_says_what_it_needs(split, tmp_path):
    if "rasterio" in xr.backends.list_engines():
        pytest.skip("rioxarray is installed, and reads it")
    (tmp_path / "dem.tif").touch()
    with pytest.raises(GeographyError, match=r"dem\.tif needs the package rioxarray: install it"):
        attributes(tmp_path / "dem.tif", split[0])


def test_holes_and_targets_beyond_a_field_are_told(split, caplog):
    known, hidden = split
    holed = dem(known).where(dem(known) < 1500)
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        attributes(holed, known, hidden)
    assert "dem has no value at" in caplog.text
    assert "fill its holes, or take a field that covers the targets" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        attributes(dem(known), known, aqr.Grid((5.0, 15.0, 46.0, 48.0), 0.5))
    assert "dem has no value at 40 % of the targets, such as longitude 5.25" in caplog.text
    assert "which is lat 45.8 to" in caplog.text


@pytest.mark.parametrize("count", [3, 4])
def test_few_stations_with_as_many_attributes_end_in_numbers_or_in_one_error(split, count):
    known, hidden = split
    few = known.isel(station=slice(0, count))
    product = few.aqnet.reanalyse(at=hidden, method="kriging", geography=list(NAMES[:3]))
    assert np.isfinite(product.pm25).all()
    flat = xr.zeros_like(dem(known)) + 400.0
    constant = few.aqnet.reanalyse(at=hidden, method="kriging", geography=flat)
    plain = few.aqnet.reanalyse(at=hidden, method="kriging")
    np.testing.assert_allclose(constant.pm25, plain.pm25, rtol=1e-5)
