"""Background fields: sampled as they are, learned as a trend, given back at the targets."""

import logging

import numpy as np
import pytest
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.filling import fill
from aqreanalysis.foreign.background import Background, BackgroundError
from aqreanalysis.methods.trend import Trend

HOURS = np.arange("2024-01-01", "2024-01-03", dtype="datetime64[h]").astype("datetime64[ns]")
QUICK = aqr.Schedule(covariance_updates=10, updates=0)


def plane(*, time=None, name="height", **attributes):
    """Return 2 lon + 3 lat, plus the hour where there is time."""
    lat, lon = np.arange(48.0, 53.0), np.arange(8.0, 14.0)
    field = xr.DataArray(
        2 * lon + 3 * lat[:, None], coords={"lat": lat, "lon": lon}, dims=("lat", "lon")
    )
    if time is not None:
        hour = (time - time[0]) / np.timedelta64(1, "h")
        field = xr.DataArray(hour, coords={"time": time}, dims="time") + field
    return field.rename(name).assign_attrs(attributes)


@pytest.fixture(scope="module")
def network():
    return aqr.synthetic_network(hours=96, seed=0)


@pytest.fixture(scope="module")
def model_field(network):
    """Return a field that a model might give: biased, and smoother than the truth."""
    return (0.5 * network.truth.pm25 + 4).rename("pm25")


@pytest.fixture(scope="module")
def fused(network, model_field):
    return network.observations.aqnet.fit(
        "pm25", schedule=QUICK, progress=False, background=model_field
    )


# --- sampling


def test_a_grid_is_sampled_bilinearly_and_linearly_in_time():
    lon, lat = np.array([9.25, 12.5]), np.array([50.5, 49.75])
    at = HOURS[:3] + np.timedelta64(30, "m")
    sampled = Background(plane(time=HOURS)).at(lon, lat, at)[..., 0]
    expected = (2 * lon + 3 * lat)[:, None] + np.array([0.5, 1.5, 2.5])
    np.testing.assert_allclose(sampled, expected)


@pytest.mark.parametrize(
    "turned",
    [
        lambda field: field.sortby("lat", ascending=False),
        lambda field: field.transpose("lon", "lat"),
        lambda field: field.assign_coords(lon=field.lon + 360),
        lambda field: field.rename(lat="latitude", lon="longitude"),
        lambda field: field.to_dataset(),
        lambda field: field.chunk({"lat": 2}),
    ],
)
def test_the_way_a_grid_is_written_does_not_matter(turned):
    sampled = Background(turned(plane())).at(np.array([9.25]), np.array([50.5]), HOURS[:2])
    np.testing.assert_allclose(sampled.ravel(), 2 * 9.25 + 3 * 50.5)


@pytest.mark.parametrize("first", [0.0, -180.0, 0.2])
def test_a_global_field_has_no_seam(first):
    lon = (first + np.arange(0, 360, 0.4)).astype(np.float32)
    field = xr.DataArray(
        np.tile(np.cos(np.radians(lon)), (3, 1)),
        coords={"lat": [40.0, 50.0, 60.0], "lon": lon},
        dims=("lat", "lon"),
        name="wave",
    )
    at = np.array([359.7, -0.3, 179.9, -179.9, 0.1])
    sampled = Background(field).at(at, np.full(5, 50.0), HOURS[:1])[:, 0, 0]
    np.testing.assert_allclose(sampled, np.cos(np.radians(at)), atol=1e-4)


def test_outside_of_the_field_and_its_period_is_missing():
    field = Background(plane(time=HOURS))
    late = HOURS[-1] + np.array([0, 30, 120]) * np.timedelta64(1, "m")
    sampled = field.at(np.array([9.0, 30.0]), np.array([50.0, 50.0]), late)[..., 0]
    assert np.isfinite(sampled[0]).tolist() == [True, True, False]  # held for one step
    assert sampled[0, 0] == sampled[0, 1]
    assert np.isnan(sampled[1]).all()


def test_points_are_found_at_their_place_and_nowhere_else():
    points = xr.Dataset(
        {"pm10": (("station", "time"), [[1.0, 2.0], [3.0, 4.0]])},
        coords={
            "station": ["a", "b"],
            "longitude": ("station", [10.0, 11.0]),
            "latitude": ("station", [50.0, 50.0]),
            "time": HOURS[:2],
        },
    )
    sampled = Background(points).at(np.array([11.001, 10.5]), np.array([50.0, 50.0]), HOURS[:2])
    np.testing.assert_array_equal(sampled[0, :, 0], [3.0, 4.0])
    assert np.isnan(sampled[1]).all()


def test_several_fields_are_covariates_each_and_of_one_name_the_first_with_a_value_counts():
    points = xr.Dataset(
        {"height": ("point", [1000.0, np.nan], {"valid_within_km": 0.01})},
        coords={"longitude": ("point", [9.0, 10.0]), "latitude": ("point", [50.0, 50.0])},
    )
    rain = plane(name="rain").sel(lat=slice(50, None))
    several = Background([points, plane(), rain])
    assert several.names == ("height", "rain")
    assert several.constant
    at = np.array([9.0, 10.0, 9.001]), np.array([50.0, 50.0, 50.0])  # the last 70 m away
    sampled = several.at(*at, HOURS[:2])
    np.testing.assert_allclose(sampled[:, 0, 0], [1000.0, 170.0, 168.002])
    np.testing.assert_allclose(sampled[:, 1, 1], [168.0, 170.0, 168.002])


@pytest.mark.parametrize(
    ("background", "message"),
    [
        ([plane(), 3.0], "is an xarray DataArray or Dataset; found float"),
        ([], "is an xarray DataArray or Dataset; found list"),
        ({"pm25": 1}, "is an xarray DataArray or Dataset; found dict"),
        (xr.Dataset({"name": ("lat", ["a"])}), "^the background holds no numeric variable"),
        (
            xr.Dataset({"pm25": (("a", "b"), [[1.0]])}),
            r"no longitude and latitude on the dim.* \('a', 'b'\) of 'pm25'; it has pm25\. Assign",
        ),
    ],
)
def test_what_is_no_background_is_refused(background, message):
    with pytest.raises(BackgroundError, match=message):
        Background(background)


# --- the trend


def test_the_trend_of_a_plane_is_the_plane():
    background = Background(plane())
    lon, lat = np.random.default_rng(0).uniform([8, 48], [13, 52], (20, 2)).T
    columns = background.at(lon, lat, HOURS)
    values = 0.3 * columns[..., 0] - 40 + 0 * np.random.default_rng(1).standard_normal((20, 48))
    values[3, :20] = np.nan
    trend = Trend.of(background, columns, values)
    assert trend.coefficient[0] / trend.scale[0] == pytest.approx(0.3)
    again = Trend.from_facts(trend.facts())
    np.testing.assert_array_equal(again(columns), trend(columns))
    slopes = [np.diff(field, axis=0) for field in (trend(columns), columns[..., 0])]
    np.testing.assert_allclose(slopes[0], 0.3 * slopes[1])


def test_concentrations_enter_as_roots():
    assert Background(plane(name="pm10")).rooted == (True,)
    named = plane(name="conc", standard_name="mass_concentration_of_ozone_in_air")
    assert Background(named).rooted == (True,)
    assert Background(plane()).rooted == (False,)


def test_a_missing_covariate_counts_as_its_mean_and_is_told(caplog):
    background = Background(plane())
    columns = background.at(np.array([9.0, 10.0, 30.0]), np.full(3, 50.0), HOURS)
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        trend = Trend.of(background, columns, columns[..., 0] * 0 + np.arange(3.0)[:, None])
    assert trend(columns)[2].tolist() == [0.0] * 48
    caplog.clear()
    with caplog.at_level(logging.WARNING, "aqreanalysis"):
        Trend.of(background, columns, np.arange(144.0).reshape(3, 48))
    assert "'height' is missing at 48 of 144 measurements (1 station)" in caplog.text


def test_a_background_of_elsewhere_is_refused_before_training(network):
    far = plane()
    with pytest.raises(
        BackgroundError, match=r"'height' has no value at any measurement: it has lat 48.0 to"
    ):
        network.observations.aqnet.fit("pm25", schedule=QUICK, progress=False, background=far)


# --- in the model


def test_a_good_background_helps_at_hidden_stations(network, model_field, fused):
    obs, hidden = network.observations, network.hidden
    alone = obs.aqnet.fit("pm25", schedule=QUICK, progress=False)
    errors = []
    for method, background in ((alone, None), (fused, model_field)):
        product = obs.aqnet.reanalyse(at=hidden, method=method, background=background)
        errors.append(float(np.sqrt(((product.pm25 - hidden.pm25) ** 2).mean())))
    assert errors[1] < 0.8 * errors[0]


def test_any_chunking_gives_the_same_numbers(network, model_field, fused):
    obs = network.observations
    whole, cut = (
        obs.aqnet.reanalyse(grid=0.4, method=fused, background=model_field, chunks=chunks).compute()
        for chunks in (None, {"time": 7, "lat": 2, "lon": 3})
    )
    assert np.isfinite(whole.pm25).all()
    np.testing.assert_allclose(whole.pm25, cut.pm25, rtol=1e-5)
    np.testing.assert_allclose(whole.pm25_uncertainty, cut.pm25_uncertainty, rtol=1e-5)


def test_a_saved_model_keeps_its_trend(network, model_field, fused, tmp_path):
    loaded = aqr.Reanalyser.load(fused.save(tmp_path / "model"))
    assert loaded.trend == fused.trend
    day = slice("2020-11-02", "2020-11-02")
    one, other = (
        model.predict(network.observations, network.hidden, time=day, background=model_field)
        for model in (fused, loaded)
    )
    np.testing.assert_array_equal(one.pm25, other.pm25)


def test_a_model_and_its_background_belong_together(network, model_field, fused):
    obs = network.observations
    with pytest.raises(BackgroundError, match="learned with the background pm25; pass it as"):
        obs.aqnet.reanalyse(grid=0.5, method=fused)
    with pytest.raises(BackgroundError, match="learned with the background pm25; found height"):
        obs.aqnet.reanalyse(grid=0.5, method=fused, background=plane())
    alone = obs.aqnet.fit("pm25", schedule=QUICK, progress=False)
    with pytest.raises(BackgroundError, match="learned without a background; leave it out"):
        obs.aqnet.reanalyse(grid=0.5, method=alone, background=model_field)
    with pytest.raises(ValueError, match="learned departures from a background; fill with one"):
        fill(obs, method=fused)


def test_a_method_that_takes_no_background_says_which_do(network, model_field):
    message = r"'idw' takes no background; leave it out, or use method='neural' or 'kriging'"
    with pytest.raises(ValueError, match=message):
        network.observations.aqnet.reanalyse(grid=0.5, method="idw", background=model_field)


def test_a_constant_background_changes_nothing(network):
    obs = network.observations
    constant = xr.DataArray(
        np.full((3, 3), 3.3),
        dims=("lat", "lon"),
        coords={"lat": [30.0, 40.0, 50.0], "lon": [105.0, 117.0, 130.0]},
        name="pm25",
        attrs={"units": "ug m-3"},
    )
    quick = aqr.Schedule(covariance_updates=1, updates=0)
    model = obs.aqnet.fit(background=constant, schedule=quick, progress=False)
    at_stations = np.full((2, 3, 1), 3.3)
    # All that it adds is one constant, which the mean of the departures takes away again.
    assert np.ptp(model.trend(at_stations)) < 1e-9
    assert np.abs(model.trend(at_stations)).max() < 1e-6
