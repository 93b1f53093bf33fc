"""Types of stations and instruments: read, proven, taken off and given back."""

import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from aqreanalysis import InverseDistance, OrdinaryKriging, Reanalyser, Schedule, reanalysis
from aqreanalysis.conventions import STATION_TYPES
from aqreanalysis.grid import Grid
from aqreanalysis.methods import joint_errors
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.saved import known_noise, network_record
from aqreanalysis.methods.proven_types import proven_types
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import ObservationError, combine, open_observations
from aqreanalysis.observations.writing import write_table
from aqreanalysis.verification.folds import Fold

COUNT = 40


def network(seed=0, *, factor=1.0, hours=48):
    """Return PM2.5 on a plain; the first half of the stations measures a factor too much."""
    rng = np.random.default_rng(seed)
    longitude, latitude = rng.uniform(1, 4, COUNT), rng.uniform(47, 49, COUNT)
    weather = 4 + np.sin(np.arange(hours) / 5 + longitude[:, None]) + (latitude[:, None] - 48) / 2
    own = np.exp(0.1 * rng.normal(size=(COUNT, 1)) + 0.1 * rng.normal(size=weather.shape))
    own[: COUNT // 2] *= factor
    return xr.Dataset(
        {"pm25": (("station", "time"), weather**2 * own, {"units": "ug m-3"})},
        coords={
            "station": [f"s{row:02}" for row in range(COUNT)],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "time": (
                "time",
                pd.date_range("2024-01-01", periods=hours, freq="h"),
                {"time_label": "start", "step_hours": 1.0},
            ),
        },
    )


def labelled(observations, first="SDS011", then="reference", name="sensor_type"):
    """Return observations of which the first half of the stations has another label."""
    labels = np.where(np.arange(COUNT) < COUNT // 2, first, then)
    return observations.assign_coords({name: ("station", labels)})


def places(**types):
    """Return two places, of types if they are given."""
    return xr.Dataset(
        coords={
            "longitude": ("station", [2.0, 3.0]),
            "latitude": ("station", [48.0, 48.2]),
            **{name: ("station", list(labels)) for name, labels in types.items()},
        }
    )


def quick(observations):
    """Return a neural method that was fitted quickly."""
    schedule = Schedule(covariance_updates=4, updates=0, validation_windows=2)
    sizes = Configuration(neighbours=12, without=("geography",))
    model = Reanalyser(sizes, schedule=schedule, progress=False)
    return model.fit(observations, "pm25")


def test_a_bias_of_a_fifth_is_detected_with_forty_stations():
    for seed in range(5):
        factors = proven_types(labelled(network(seed, factor=1.2)), "pm25").factors
        assert factors["sensor_type"]["sds011"] == pytest.approx(1.2, abs=0.1)


def test_labels_that_mean_nothing_are_used_in_fewer_than_five_of_a_hundred_networks():
    rng = np.random.default_rng(0)
    used = 0
    networks = [network(seed, hours=24) for seed in range(10)]
    for number in range(100):
        labels = rng.choice(["background", "traffic", "industrial"], COUNT)
        stations = networks[number % 10].assign_coords(station_type=("station", labels))
        used += bool(proven_types(stations, "pm25"))
    assert used < 5


def test_a_type_of_few_instruments_borrows_from_the_others():
    sensors = labelled(network(factor=1.5))
    sensors.sensor_type[0] = "PMS5003"
    sensors.pm25[0] *= 2
    factors = proven_types(sensors, "pm25").factors["sensor_type"]
    assert 1.4 < factors["sds011"] < factors["pms5003"] < 3.0


def test_the_air_of_towns_is_not_taken_off():
    towns = labelled(network(factor=1.5), "urban", "rural", "area_type")
    assert not proven_types(towns, "pm25")


def test_labels_of_which_nothing_is_proven_change_no_bit():
    plain = network()
    expected = InverseDistance().fit(plain, "pm25").predict(plain, places()).pm25.values
    for labels in (["SDS011"] * COUNT, [""] * COUNT, [f"t{n}" for n in range(COUNT)]):
        stations = plain.assign_coords(sensor_type=("station", labels))
        fitted = InverseDistance().fit(stations, "pm25")
        assert fitted.settings["station_types"] == {"usual": {}, "factors": {}}
        at = places(sensor_type=labels[:2])
        assert np.array_equal(fitted.predict(stations, at).pm25.values, expected)


@pytest.mark.parametrize("fit", [lambda o: OrdinaryKriging(neighbours=8).fit(o, "pm25"), quick])
def test_a_field_is_of_the_usual_type_and_a_target_of_its_own(fit, caplog, tmp_path):
    sensors = labelled(network(factor=1.5))
    model = fit(sensors)
    factor = model.settings["station_types"]["factors"]["sensor_type"]["sds011"]
    assert model.settings["station_types"]["usual"] == {"sensor_type": "reference"}
    usual = model.predict(sensors, places(), quantiles=(0.9,))
    at = places(sensor_type=["sds011", "reference"])
    typed = model.predict(sensors, at, quantiles=(0.9,))
    for name in ("pm25", "pm25_uncertainty", "pm25_q90"):
        ratio = (typed[name] / usual[name]).mean("time").values
        assert ratio == pytest.approx([factor, 1.0], rel=1e-5)
    truth = network().pm25.mean()
    assert float(usual.pm25.mean()) == pytest.approx(float(truth), rel=0.1)
    cells = model.predict(sensors, Grid((2, 3, 47.5, 48.5), 0.5)).pm25
    assert float(cells.mean()) == pytest.approx(float(truth), rel=0.1)
    with caplog.at_level(logging.WARNING):
        unknown = model.predict(sensors, places(sensor_type=["BAM", ""]))
    assert "1 station of sensor_type 'bam', of which nothing was learned" in caplog.text
    assert np.array_equal(unknown.pm25.values, usual.pm25.values)
    if isinstance(model, Reanalyser):
        again = Reanalyser.load(model.save(tmp_path / "model"))
        assert again.station_types == model.station_types
        assert np.array_equal(again.predict(sensors, at).pm25.values, typed.pm25.values)


def test_errors_of_draws_are_learned_from_what_the_usual_type_would_measure(monkeypatch):
    sensors, learned = labelled(network(factor=1.5)), []

    def errors_to_draw(observations, *positional, **named):
        learned.append(observations)
        return joint_errors.errors_to_draw(observations, *positional, **named)

    monkeypatch.setattr(reanalysis, "errors_to_draw", errors_to_draw)
    kriging = OrdinaryKriging(neighbours=8).fit(sensors, "pm25")
    reanalysis.reanalyse(sensors, "pm25", at=places(), method=kriging, draws=2, progress=False)
    usual = kriging.station_types.of_usual(sensors, "pm25")
    xr.testing.assert_equal(learned[0].pm25, usual.pm25)
    assert not learned[0].pm25.equals(sensors.pm25)


def test_stations_that_were_not_learned_have_the_noise_of_their_type():
    learned = network_record(labelled(network()), np.linspace(1, -1, COUNT))
    asked = StationNetwork([2.0, 3.0, 4.0], [48.0, 48.0, 48.0], identifiers=["a", "b", "c"])
    noise = known_noise(learned, asked, np.array(["sds011", "reference", "other"]))
    assert noise == pytest.approx([0.51, -0.51, 0.0], abs=0.01)
    assert known_noise(learned, asked).tolist() == [0.0, 0.0, 0.0]
    alike = network_record(labelled(network()), np.tile([1.0, -1.0], COUNT // 2))
    assert known_noise(alike, asked, np.array(["sds011", "reference", ""])).tolist() == [0.0] * 3


def test_hidden_stations_state_their_type():
    stations = labelled(network())
    hidden, hours = np.arange(COUNT) < 3, np.ones(48, bool)
    fold = Fold("a", hidden, ~hidden, hours, hours)
    assert fold.targets(stations).sensor_type.values.tolist() == ["SDS011"] * 3


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".nc"])
def test_types_survive_being_written_and_read(tmp_path, suffix):
    stations = labelled(network(hours=3), "traffic", "", "station_type")
    path = tmp_path / f"stations{suffix}"
    if suffix == ".nc":
        stations.to_netcdf(path)
    else:
        write_table(stations, path)
    assert open_observations(path).station_type.values.tolist() == (
        stations.station_type.values.tolist()
    )


def test_networks_are_combined_with_the_types_that_some_state():
    sensors = labelled(network(hours=3), then="SDS011").isel(station=slice(0, 3))
    both = combine(sensors, network(hours=3).isel(station=slice(3, 6)))
    assert both.sensor_type.values.tolist() == ["SDS011"] * 3 + [""] * 3


def table(**columns):
    """Return a table of an hour at two stations, with further columns."""
    hour = {"station": ["a", "b"], "time": ["2024-01-01T00Z"] * 2, "pm25": [1.0, 2.0]}
    return pd.DataFrame(hour | {"lon": [2.0, 3.0], "lat": [48.0, 48.0]} | columns)


def test_an_area_and_a_type_in_one_column_are_two_labels():
    read = open_observations(table(**{"Environment Type": ["Urban Traffic", "Other"]}))
    assert read.station_type.values.tolist() == ["Traffic", "Other"]
    assert read.area_type.values.tolist() == ["Urban", ""]


def test_a_list_of_stations_adds_types_and_rows_add_what_it_lacks():
    listed = table(**{"Air Quality Station Type": ["traffic", None]}).drop(columns=["time", "pm25"])
    rows = table(sensor_type=["SDS011", "BAM"]).drop(columns=["lon", "lat"])
    read = open_observations(rows, stations=listed)
    assert read.station_type.values.tolist() == ["traffic", ""]
    assert read.sensor_type.values.tolist() == ["SDS011", "BAM"]


def test_of_several_types_of_a_station_the_first_counts(caplog):
    twice = pd.concat(
        [table(sensor_type=["A", ""]), table(sensor_type=["B", "C"], pm25=[1.0, 2.0])]
    )
    twice["time"] = ["2024-01-01T00Z"] * 2 + ["2024-01-01T01Z"] * 2
    with caplog.at_level(logging.WARNING):
        read = open_observations(twice)
    assert read.sensor_type.values.tolist() == ["A", "C"]
    assert "1 station with several values of sensor_type, of which the first counts" in caplog.text


@pytest.mark.parametrize("name", STATION_TYPES)
def test_types_that_are_no_text_are_refused_with_the_remedy(name):
    numbers = network(hours=3).assign_coords({name: ("station", np.arange(COUNT))})
    with pytest.raises(ObservationError, match=rf"{name} must be text on 'station', '' where"):
        OrdinaryKriging().fit(numbers, "pm25")
