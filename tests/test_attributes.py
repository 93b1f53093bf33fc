"""What places are: covariates that left-out stations prove, in the trend and in the covariance."""

import numpy as np
import pytest
import torch
import xarray as xr
from test_bands import double, kriged_by_hand, random_bands, stretched

import aqreanalysis as aqr
from aqreanalysis import geography
from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.proven_trend import Equations, proven_trend
from aqreanalysis.network import StationNetwork, bearing_deg, great_circle_km

HOURS = 72
QUICK = aqr.Schedule(covariance_updates=15, updates=0, validation_windows=2)
#: Root per metre of altitude.
SLOPE = -0.002


def places_of(rng, count):
    """Return random longitudes, latitudes and altitudes, m, in a mountainous region."""
    return rng.uniform(6, 11, count), rng.uniform(45, 48, count), rng.uniform(0, 2500, count)


def dataset_of(longitude, latitude, roots):
    """Return hourly observations of these roots."""
    time = np.arange("2024-03-01", "2024-04-01", dtype="datetime64[h]").astype("datetime64[ns]")
    time = time[: roots.shape[1]]
    return xr.Dataset(
        {"pm10": (("station", "time"), np.clip(roots, 0, None) ** 2, {"units": "ug m-3"})},
        coords={
            "station": [f"s{number:03d}" for number in range(longitude.size)],
            "time": ("time", time, {"time_label": "start", "step_hours": 1}),
            "longitude": ("station", longitude, {"units": "degrees_east"}),
            "latitude": ("station", latitude, {"units": "degrees_north"}),
        },
    )


def background_of(longitude, latitude, **covariates):
    """Return covariates at points as a background."""
    return xr.Dataset(
        {name: ("place", values) for name, values in covariates.items()},
        coords={"longitude": ("place", longitude), "latitude": ("place", latitude)},
    )


@pytest.fixture(scope="module")
def mountains():
    """Return observations of known stations, hidden ones, and the altitude of all."""
    rng = np.random.default_rng(1)
    longitude, latitude, altitude = places_of(rng, 70)
    apart = great_circle_km(longitude[:, None], latitude[:, None], longitude, latitude)
    field = np.linalg.cholesky(np.exp(-apart / 120)) @ rng.normal(size=(70, HOURS))
    roots = 8 + 0.5 * field + SLOPE * altitude[:, None] + 0.2 * rng.normal(size=field.shape)
    obs = dataset_of(longitude, latitude, roots)
    background = background_of(longitude, latitude, altitude=altitude)
    return obs.isel(station=slice(50)), obs.isel(station=slice(50, 70)), background


@pytest.fixture(scope="module")
def with_altitude(mountains):
    known, _, background = mountains
    return known.aqnet.fit("pm10", schedule=QUICK, progress=False, background=background)


@pytest.fixture(scope="module")
def without(mountains):
    return mountains[0].aqnet.fit("pm10", schedule=QUICK, progress=False)


# --- the covariance


@pytest.mark.parametrize("apart", [1.0, 0.0])
def test_attributes_are_further_coordinates_but_for_those_that_are_some_already(apart):
    rng = np.random.default_rng(0)
    east, north = rng.uniform(-60, 60, (2, 6))
    contrast = rng.normal(size=(6, 2))
    covariance = BandCovariance(3, 20.0, attributes=2)
    covariance.load_state_dict({**covariance.state_dict(), **random_bands(0).state_dict()} | {
        "log_length": double([[2.0, 4.0]] * 2), "log_drift": torch.full((3, 2), -99.0).double(),
        "trend_covariance": torch.zeros(2, 2).double(), "apart": double([1.0, apart]),
    })  # fmt: skip
    covariance.requires_grad_(False)
    distance, bearing = double(np.hypot(east, north))[None], double(np.arctan2(east, north))[None]
    none = torch.zeros(2, 1, 6).double()
    weights = covariance.weights(distance, bearing, *none, double(contrast)[None])
    place = np.hstack(
        [stretched(covariance, east, north), contrast * np.exp([2.0, 4.0]) * [1.0, apart]]
    )
    for band in range(3):
        weight, _ = kriged_by_hand(covariance, place, band)
        np.testing.assert_allclose(weights.weight[0, :, band], weight, atol=1e-8)


# --- the proof


def left_out(rng, count=60):
    """Return leave-one-out weights of a random network, and draws of what its stations miss."""
    longitude, latitude = rng.uniform(0, 10, count), rng.uniform(45, 52, count)
    network = StationNetwork(longitude, latitude)
    lon, lat = longitude[:, None], latitude[:, None]
    covariance = BandCovariance(1, network.spacing_km).requires_grad_(False)
    weight, _ = covariance.leave_one_out(
        double(network.distance_matrix_km()),
        double(np.radians(bearing_deg(lon, lat, longitude, latitude))),
        torch.zeros(count).double(),
    )
    root = np.linalg.cholesky(np.exp(-network.distance_matrix_km() / 300) + 0.3 * np.eye(count))
    return weight[..., 0].numpy() - np.eye(count), root


def equations_of(departure, covariates, field):
    """Return the equations of left-out stations, each a place."""
    contrast, error = departure @ covariates, departure @ field
    return Equations(contrast[:, :, None] * contrast[:, None], contrast * error[:, None])


@pytest.mark.parametrize("count", [1, 4])
def test_covariates_of_noise_are_used_in_fewer_than_five_of_a_hundred_seeds(count):
    mistaken = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        departure, root = left_out(rng)
        # Half of them as smooth as the field, half without any pattern.
        covariates = np.where(
            np.arange(count) % 2, rng.normal(size=(60, count)), root @ rng.normal(size=(60, count))
        )
        trend = proven_trend(equations_of(departure, covariates, root @ rng.normal(size=60)))
        mistaken += bool(trend.coefficient.any())
    assert mistaken < 5


def test_an_effect_of_two_percent_of_the_error_is_used():
    """Of the root mean squared error of hourly values, of which a third is the station's own."""
    used = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        departure, root = left_out(rng, 150)
        field, covariate = root @ rng.normal(size=150), rng.normal(size=150)
        error, contrast = departure @ field, departure @ covariate
        # 4 % of three times the square of the station's own error.
        effect = np.sqrt(0.04 * 3 * (error**2).mean() / (contrast**2).mean())
        equations = equations_of(departure, covariate[:, None], field + effect * covariate)
        used += bool(proven_trend(equations).coefficient.any())
    assert used >= 18


def test_of_two_copies_one_is_used():
    rng = np.random.default_rng(0)
    departure, root = left_out(rng)
    copies = np.repeat(rng.normal(size=(60, 1)), 2, axis=1)
    trend = proven_trend(equations_of(departure, copies, root @ rng.normal(size=60) + copies[:, 0]))
    assert trend.coefficient.sum() == pytest.approx(1, abs=0.3)
    assert np.isfinite(trend.covariance).all()


def test_few_places_or_a_constant_prove_nothing():
    x = np.linspace(-1, 1, 5)[:, None]
    assert not proven_trend(Equations(x[:, :, None] * x[:, None], x * x)).coefficient.any()
    zero = np.full((20, 1), 1e-17)
    assert not proven_trend(Equations(zero[:, :, None] * zero[:, None], zero)).coefficient.any()


# --- the model


def error_at(model, known, hidden, background):
    """Return the RMSE at hidden stations."""
    product = known.aqnet.reanalyse(at=hidden, method=model, background=background)
    return float(np.sqrt(((product.pm10 - hidden.pm10) ** 2).mean()))


def test_a_planted_effect_of_the_altitude_is_found(mountains, with_altitude, without):
    known, hidden, background = mountains
    per_root = with_altitude.trend.coefficient[0] / with_altitude.trend.scale[0]
    assert per_root * np.sqrt(known.pm10).std().item() == pytest.approx(SLOPE, rel=0.15)
    used = with_altitude.settings["background_used"]["altitude"]
    assert used["coefficient"] == with_altitude.trend.coefficient[0]
    assert used["local_spread"] > 0
    assert "near_km" not in used  # the altitude is a coordinate of places
    assert error_at(with_altitude, known, hidden, background) < 0.7 * error_at(
        without, known, hidden, None
    )


def test_the_error_grows_where_the_altitude_is_beyond_that_of_the_stations(
    mountains, with_altitude
):
    known, *_ = mountains
    lon, lat = np.full(3, 8.5), np.array([46.5, 46.501, 46.502])
    stations = mountains[2].isel(place=slice(50))
    targets = background_of(lon, lat, altitude=np.array([800.0, 4000.0, 8000.0]))
    everywhere = xr.concat([stations, targets], "place")
    at = targets.drop_vars("altitude").rename(place="station")
    at = at.assign_coords(station=["a", "b", "c"])
    field = with_altitude.field(known, at, slice(0, HOURS), background=everywhere)
    spread = field(lon, lat, slice(0, 24)).spread.mean(axis=1)
    assert spread[1] > 1.1 * spread[0]
    assert spread[2] > spread[1]


def test_noise_as_a_covariate_leaves_the_model_to_the_bit(mountains, without):
    known, hidden, background = mountains
    noise = np.random.default_rng(5).normal(size=background.place.size)
    useless = background.assign(altitude=("place", noise))
    model = known.aqnet.fit("pm10", schedule=QUICK, progress=False, background=useless)
    assert model.trend.coefficient == (0.0,)
    assert model.settings["background_used"] == {}
    assert model.settings["weights_sha256"] == without.settings["weights_sha256"]
    one = known.aqnet.reanalyse(at=hidden, method=model, background=useless)
    other = known.aqnet.reanalyse(at=hidden, method=without)
    np.testing.assert_array_equal(one.pm10, other.pm10)
    np.testing.assert_array_equal(one.pm10_uncertainty, other.pm10_uncertainty)


# --- the altitude of places


@pytest.fixture(scope="module")
def stating(mountains):
    """Return known and hidden stations that state their altitude, here another than the field's."""
    known, hidden, background = mountains
    altitude = background.altitude.values
    return tuple(
        one.assign_coords(altitude=("station", values, {"units": "m"}))
        for one, values in ((known, altitude[:50]), (hidden, altitude[50:]))
    )


@pytest.fixture(scope="module")
def by_altitude(stating):
    return stating[0].aqnet.fit("pm10", schedule=QUICK, progress=False)


def test_the_altitude_that_stations_state_is_a_trend_without_being_asked_for(
    mountains, stating, by_altitude, without
):
    known, hidden, _ = mountains
    trend = by_altitude.trend
    per_root = trend.coefficient[0] / trend.scale[0]
    assert per_root * np.sqrt(known.pm10).std().item() == pytest.approx(SLOPE, rel=0.15)
    assert by_altitude.settings["altitude_used"]["coefficient"] == trend.coefficient[0]
    assert by_altitude.settings["background"] == []
    assert by_altitude.settings["background_used"] == {}
    assert not by_altitude.settings["network_used"]  # altitude alone is no reason to train it
    assert error_at(by_altitude, *stating, None) < 0.7 * error_at(without, known, hidden, None)


def test_an_altitude_that_proves_nothing_leaves_the_model_to_the_bit(mountains, without):
    known, hidden, _ = mountains
    some = np.random.default_rng(5).uniform(0, 2500, known.station.size)
    assert without.trend.coefficient == (0.0,)
    assert without.settings["altitude_used"] == {}
    # Without coordinates altitude counts as a trend or not at all.
    plain = known.aqnet.fit("pm10", schedule=QUICK, progress=False, geography=False)
    stated = known.assign_coords(altitude=("station", some, {"units": "m"}))
    useless = aqr.Reanalyser(schedule=QUICK, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aqreanalysis.methods.neural.covariances.chosen_strength", lambda _: 0.0)
        useless.fit(stated, "pm10")
    assert useless.trend.coefficient == (0.0,)
    assert useless.settings["weights_sha256"] == plain.settings["weights_sha256"]
    one, other = (known.aqnet.reanalyse(at=hidden, method=model).pm10 for model in (useless, plain))
    np.testing.assert_array_equal(one, other)


def test_few_stations_are_not_asked_for_a_trend(stating):
    few, *_ = (one.isel(station=slice(0, 19)) for one in stating)
    model = few.aqnet.fit("pm10", schedule=QUICK, progress=False)
    assert model.trend is None
    assert model.settings["altitude_used"] == {}


def test_a_model_that_knows_the_altitude_needs_no_background_after_loading(
    stating, by_altitude, tmp_path
):
    loaded = aqr.Reanalyser.load(by_altitude.save(tmp_path / "model"))
    assert loaded.trend == by_altitude.trend
    assert loaded.settings == by_altitude.settings
    one, other = (
        stating[0].aqnet.reanalyse(at=stating[1], method=model).pm10
        for model in (by_altitude, loaded)
    )
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="learned without a background"):
        stating[0].aqnet.reanalyse(at=stating[1], method=loaded, geography="altitude")


def test_an_altitude_that_is_given_counts_instead_of_that_of_places(with_altitude):
    assert with_altitude.trend.names == ("altitude",)
    assert with_altitude.settings["altitude_used"] == {}


def test_a_grid_follows_the_altitude_of_the_field_in_any_chunks(stating, by_altitude):
    whole, cut = (
        stating[0].aqnet.reanalyse(grid=0.4, method=by_altitude, chunks=chunks).compute()
        for chunks in (None, {"time": 7, "lat": 2, "lon": 3})
    )
    np.testing.assert_allclose(whole.pm10, cut.pm10, rtol=1e-5)
    np.testing.assert_allclose(whole.pm10_uncertainty, cut.pm10_uncertainty, rtol=1e-5)
    longitude, latitude = np.meshgrid(whole.lon, whole.lat)
    height = geography.at(longitude.ravel(), latitude.ravel()).altitude.values
    mean = whole.pm10.mean("time").transpose("lat", "lon").values.ravel()
    assert np.corrcoef(height, np.sqrt(mean))[0, 1] < -0.8


def test_no_height_counts_as_more_than_three_standard_deviations(by_altitude):
    trend = by_altitude.trend
    columns = np.array([8000.0, 8848.0])[:, None, None]
    np.testing.assert_array_equal(trend.regular(columns), np.full((2, 1, 1), 3.0))
    centre, scale = trend.centre[0], trend.scale[0]
    assert trend.regular(np.full((1, 1, 1), centre + 2 * scale)) == pytest.approx(2.0)


def test_gaps_are_filled_at_the_altitude_of_their_station(stating, by_altitude):
    known = stating[0]
    gaps = np.zeros(known.pm10.shape, bool)
    gaps[::5, 20:44] = True
    filled = known.assign(pm10=known.pm10.where(~gaps)).aqnet.fill(
        "pm10", method=by_altitude, progress=False
    )
    error = (np.sqrt(filled.pm10) - np.sqrt(known.pm10)).values[gaps]
    spread = float(np.sqrt(known.pm10).std())
    assert np.sqrt(np.mean(error**2)) < 0.4 * spread


# --- what a model keeps


def test_a_saved_model_knows_its_attributes(mountains, with_altitude, tmp_path):
    known, hidden, background = mountains
    loaded = aqr.Reanalyser.load(with_altitude.save(tmp_path / "model"))
    assert loaded.trend == with_altitude.trend
    assert loaded.settings == with_altitude.settings
    one, other = (
        known.aqnet.reanalyse(at=hidden, method=model, background=background)
        for model in (with_altitude, loaded)
    )
    np.testing.assert_array_equal(one.pm10, other.pm10)


def test_any_chunking_gives_the_same_numbers(mountains, with_altitude):
    known, *_ = mountains
    lon, lat = np.meshgrid(np.arange(5.5, 12, 0.25), np.arange(44.5, 49, 0.25))
    height = xr.DataArray(
        1000 + 800 * np.sin(3 * lon) * np.cos(5 * lat),
        dims=("lat", "lon"),
        coords={"lat": lat[:, 0], "lon": lon[0]},
        name="altitude",
    )
    whole, cut = (
        known.aqnet.reanalyse(
            grid=0.4, method=with_altitude, background=height, chunks=chunks
        ).compute()
        for chunks in (None, {"time": 7, "lat": 2, "lon": 3})
    )
    assert np.isfinite(whole.pm10).all()
    np.testing.assert_allclose(whole.pm10, cut.pm10, rtol=1e-5)
    np.testing.assert_allclose(whole.pm10_uncertainty, cut.pm10_uncertainty, rtol=1e-5)
