"""Several pollutants in one call: one grid, one product, one history, a model of each."""

import json
import logging

import numpy as np
import pytest
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.conventions import UnknownPollutantError
from aqreanalysis.methods.joint_errors import (
    MOST_SHARED,
    _factors,
    errors_to_draw,
    score_correlation,
)
from aqreanalysis.methods.persistence import TIME_SCALES_H, Persistence
from aqreanalysis.observations import ObservationError
from aqreanalysis.predictive import ErrorCorrelation
from aqreanalysis.verification import match_product

NAMES = ["pm25", "no2"]
SHORT = aqr.Schedule(covariance_updates=2, updates=0)


@pytest.fixture(scope="module")
def obs():
    """Return two days of a network in which few stations measure NO2."""
    observations = aqr.synthetic_network(hours=48, seed=0).observations
    no2 = observations.no2.copy()
    no2[::3] = np.nan
    return observations.assign(no2=no2)


@pytest.fixture(scope="module")
def both(obs):
    """Return a product of both with draws."""
    return obs.aqnet.reanalyse(
        NAMES, grid=0.5, method="kriging", draws=6, quantiles=[0.9]
    ).compute()


def test_each_pollutant_is_what_it_is_alone_on_the_same_grid(obs, both):
    for name in NAMES:
        alone = obs.aqnet.reanalyse(
            name, grid=0.5, method="kriging", draws=6, quantiles=[0.9]
        ).compute()
        for layer in alone.data_vars:
            joined = layer if layer.startswith(name) else f"{name}_distance"
            if layer == "no2_draws":  # which go together with those before
                continue
            np.testing.assert_allclose(both[joined], alone[layer], rtol=1e-5, err_msg=joined)
        assert alone.lat.equals(both.lat)
        assert alone.lon.equals(both.lon)
    assert float((both.no2_distance - both.pm25_distance).max()) > 1  # fewer stations


def test_draws_of_two_pollutants_go_together_as_errors_at_stations_left_out():
    """Errors of synthetic PM10 that are .8 those of PM2.5, and else its own."""
    obs = aqr.synthetic_network(hours=96, seed=0).observations
    rng = np.random.default_rng(0)
    axes = {"station": obs.station.values, "time": obs.time.values}
    first, own = rng.normal(size=(2, obs.sizes["station"], 96))
    scores = [xr.DataArray(each, axes) for each in (first, 0.8 * first + 0.6 * own)]
    lasting = [
        Persistence(each, each, scored)
        for each, scored in zip(
            (
                ErrorCorrelation(TIME_SCALES_H, (0, 0, 0.7, 0, 0.1, 0, 0, 0, 0, 0.2)),
                ErrorCorrelation(TIME_SCALES_H, (0, 0, 0.5, 0, 0.2, 0, 0, 0, 0, 0.3)),
            ),
            scores,
            strict=True,
        )
    ]
    pm25 = errors_to_draw(obs, "pm25", lasting[0], "measurements", seed=0)
    pm10 = errors_to_draw(obs, "pm10", lasting[1], "measurements", seed=0, before=[pm25])
    assert pm10.correlation["pm25"] == pytest.approx(0.8, abs=0.02)
    at = obs.longitude.values + 0.1, obs.latitude.values
    drawn = [
        np.stack([each.series(draw, slice(0, 96)) for draw in range(40)]) @ each.patterns(*at)[0].T
        for each in (pm25, pm10)
    ]
    squares = [(each**2).mean() for each in drawn]
    together = (drawn[0] * drawn[1]).mean() / np.sqrt(squares[0] * squares[1])
    assert together == pytest.approx(0.8, abs=0.06)
    part = pm10.series(3, slice(40, 90))  # the same in any blocks
    np.testing.assert_array_equal(part, pm10.series(3, slice(0, 96))[40:90])
    # What is drawn of PM10 lasts as it does alone.
    lags = np.array([1.0, 3.0, 12.0, 24.0])
    np.testing.assert_allclose(pm10.series.correlation(lags), lasting[1].scores(lags), atol=0.02)
    of_lag = [(drawn[1][:, lag:] * drawn[1][:, :-lag]).mean() for lag in (1, 3, 12, 24)]
    np.testing.assert_allclose(of_lag, lasting[1].scores(lags), atol=0.06)


def test_a_product_says_how_draws_of_its_pollutants_go_together(both):
    name, stated = both.no2_draws.attrs["error_correlation"].split()
    assert name == "pm25"
    assert -1 < float(stated) < 1
    assert "error_correlation" not in both.pm25_draws.attrs
    settings = json.loads(both.attrs["method_settings"])["no2"]
    assert settings["error_correlation"]["pm25"] == pytest.approx(float(stated), abs=0.006)


def test_correlations_that_do_not_fit_together_are_made_smaller():
    factors = [(1.0,), (0.9, np.sqrt(1 - 0.81))]
    row = np.array(_factors(factors, [0.9, -0.9]))  # of no positive definite matrix
    assert row @ row == pytest.approx(1.0)
    assert row[-1] ** 2 == pytest.approx(1 - MOST_SHARED)


def test_scores_of_few_stations_do_not_prove_a_correlation():
    axes = {"station": np.arange(3), "time": np.arange(100)}
    lasting = np.array([[1.0], [-1.2], [0.3]]) + 0.01 * np.ones((3, 100))
    one = xr.DataArray(lasting, axes)
    assert score_correlation(one, one * [[0.1], [0.2], [-1.0]]) == 0.0
    assert score_correlation(one, one.assign_coords(station=[7, 8, 9])) == 0.0


def test_one_history_and_the_input_of_each(obs, both):
    lines = both.attrs["history"].splitlines()
    assert sum("median of pm25 by kriging" in line for line in lines) == 1
    assert sum("median of no2 by kriging" in line for line in lines) == 1
    assert len(lines) == len(set(lines))
    assert both.attrs["input_variable"] == "pm25, no2"
    assert both.attrs["input_stations"].tolist() == [obs.sizes["station"]] * 2
    assert set(json.loads(both.attrs["method_settings"])) == set(NAMES)
    assert both.attrs["title"].startswith("PM2.5 mass concentration, nitrogen dioxide")
    assert "nitrogen dioxide" in both.attrs["keywords"]
    assert both.no2.attrs["ancillary_variables"].split()[-1] == "no2_distance"


def test_a_file_of_several_comes_back_and_is_verified(obs, both, tmp_path):
    path = both.aqnet.to_netcdf(tmp_path / "both.nc", progress=False)
    with aqr.open_product(path) as opened:
        assert opened.attrs["id"] == both.attrs["id"]
        for name in NAMES:
            np.testing.assert_allclose(opened[name], both[name], rtol=5e-3)
            pairs = match_product(opened, obs, name)
            assert "These stations were seen by the product" in str(pairs.attrs["remarks"])


def test_what_is_derived_is_of_all(both):
    daily = both.aqnet.aggregate("day")
    assert {"pm25_q95", "no2_q95", "no2_uncertainty"} <= set(daily.data_vars)
    index = both.aqnet.index("europe")
    assert index.index_pollutant.attrs["flag_meanings"] == "no_index pm25 no2"
    with pytest.raises(ValueError, match=r"name the pollutant: .* the product has pm25, no2"):
        both.aqnet.exceedance(35.0)
    assert "no2_above_35" in both.aqnet.exceedance(35.0, "no2")


def test_blocks_of_all_are_the_same_and_within_the_memory(obs):
    made = obs.aqnet.reanalyse(NAMES, grid=0.02, method="idw", memory="300MB")
    sizes = {made[name].data.chunksize for name in NAMES}
    assert len(sizes) == 1
    alone = obs.aqnet.reanalyse("pm25", grid=0.02, method="idw", memory="300MB")
    assert np.prod(made.pm25.data.chunksize) <= np.prod(alone.pm25.data.chunksize)
    with pytest.raises(ValueError, match="memory=10 MB does not hold this request"):
        obs.aqnet.reanalyse(NAMES, grid=0.02, method="idw", memory="20MB")


def test_clips_and_stations_hold_for_all(obs):
    land = obs.aqnet.reanalyse(NAMES, grid=0.5, method="idw", land=True)
    assert bool((land.pm25.isnull() == land.no2.isnull()).all())
    assert land.attrs["history"].count("clipped to land") == 1
    at = obs.aqnet.reanalyse(NAMES, at=obs.isel(station=slice(4)), method="idw")
    assert at.no2.dims == ("station", "time")


def test_the_log_names_the_pollutant(obs, caplog):
    caplog.set_level(logging.INFO)
    obs.aqnet.reanalyse(NAMES, grid=0.5, method="idw")
    assert "no2, pollutant 2 of 2" in caplog.text
    caplog.clear()
    obs.aqnet.reanalyse(["pm25"], grid=0.5, method="idw")
    assert "pollutant" not in caplog.text


@pytest.mark.parametrize(
    ("variable", "options", "error", "message"),
    [
        ([], {}, ObservationError, r"no pollutant is named: variable=\['pm25', 'no2'\]"),
        (["pm25", "xyz"], {}, UnknownPollutantError, r"unknown pollutant 'xyz'"),
        (["pm25", "o3"], {}, ObservationError, r"o3"),
        ("pm25,no2", {}, UnknownPollutantError, r"one pollutant at a time, such as variable='pm25"),
        (
            NAMES,
            {"method": aqr.InverseDistance()},
            ValueError,
            r"one method is given for pm25, no2",
        ),
        (NAMES, {"method": {"no2": "idw"}}, ValueError, r"there is no model of pm25; .* of no2"),
    ],
)
def test_what_cannot_be_is_refused(variable, options, error, message, obs):
    with pytest.raises(error, match=message):
        obs.aqnet.reanalyse(variable, **{"grid": 0.5, "method": "idw"} | options)


def test_faults_of_the_second_pollutant_are_told_before_the_first_is_trained(obs, monkeypatch):
    trained = []
    monkeypatch.setattr(aqr.OrdinaryKriging, "fit", lambda *_, **__: trained.append(1))
    few = obs.no2.copy()
    few[9:] = np.nan
    with pytest.raises(ValueError, match="from ten places or more with no2 in the same days"):
        obs.assign(no2=few).aqnet.reanalyse(NAMES, grid=0.5, method="kriging", draws=5)
    assert not trained


@pytest.mark.parametrize("case", ["few places", "few hours"])
def test_draws_that_cannot_be_learned_are_refused_before_the_fit(case, obs, monkeypatch):
    trained = []
    monkeypatch.setattr(aqr.OrdinaryKriging, "fit", lambda *_, **__: trained.append(1))
    part = obs.isel(station=slice(9)) if case == "few places" else obs.isel(time=slice(2))
    with pytest.raises(ValueError, match="draws need to know how long errors last"):
        part.aqnet.reanalyse("pm25", grid=0.5, method="kriging", draws=5, quality="ignore")
    assert not trained


def test_methods_of_each_pollutant(obs):
    kriging = aqr.OrdinaryKriging().fit(obs, "pm25")
    made = obs.aqnet.reanalyse(NAMES, grid=0.5, method={"pm25": kriging, "NO2": "idw"})
    assert made.attrs["method"] == f"kriging, {aqr.InverseDistance().name}"


def test_models_of_several_are_saved_and_taken_by_the_command(obs, tmp_path, run):
    obs = obs.isel(station=slice(20), time=slice(24))
    models = obs.aqnet.fit(NAMES, schedule=SHORT, progress=False, quality="ignore")
    assert [model.variable for model in models.values()] == NAMES
    for name, model in models.items():
        model.save(tmp_path / "models" / name)
    made = obs.aqnet.reanalyse(NAMES, grid=0.5, method=models, quality="ignore")
    table = tmp_path / "obs.csv"
    obs.drop_vars(["wind_speed", "temperature"]).aqnet.to_table(table)
    command = ["reanalyse", table, "--model", tmp_path / "models", "--grid", 0.5]
    command += ["--quality", "ignore", "--time-label", "start", "--time-zone", "UTC"]
    for variable, names in ((None, NAMES), ("no2", ["no2"])):
        output = tmp_path / "out.nc"
        further = ["--variable", variable] if variable else []
        status, _, errors = run(*command, "-o", output, *further)
        assert status == 0, errors
        with xr.open_dataset(output) as product:
            assert [name for name in NAMES if name in product] == names
            np.testing.assert_allclose(product.no2.values, made.no2.values, rtol=2e-2)
    status, _, errors = run(*command, "-o", tmp_path / "x.nc", "--variable", "pm25,o3")
    assert status == 1
    assert "models has no model of o3; it has those of no2, pm25" in errors
    status, _, errors = run("fit", table, "-o", tmp_path / "models")
    assert "models holds models of several pollutants; choose another name" in errors
    one = tmp_path / "models" / "pm25"
    status, _, errors = run("fit", table, "-o", one, "--variable", "pm25,no2")
    assert "is the model of one pollutant; choose another name" in errors


def test_the_command_fits_several(obs, tmp_path, run, monkeypatch, caplog):
    fitted = []

    class Quick:
        def __init__(self, **settings):
            fitted.append(settings["checkpoint"])

        def fit(self, observations, variable, background):
            self.variable = variable
            return self

        def save(self, folder):
            folder.mkdir(parents=True)
            return folder

    monkeypatch.setattr("aqreanalysis.methods.neural.reanalyser.Reanalyser", Quick)
    table = tmp_path / "obs.csv"
    obs.drop_vars(["wind_speed", "temperature"]).aqnet.to_table(table)
    command = ["fit", table, "-o", tmp_path / "m", "--variable", "pm25,NO2", "--time-zone", "UTC"]
    caplog.set_level(logging.INFO)
    status, _, errors = run(*command, "--time-label", "start", "--checkpoint", tmp_path / "c.pt")
    assert status == 0, errors
    assert {path.name for path in (tmp_path / "m").iterdir()} == set(NAMES)
    assert [path.name for path in fitted] == ["c-pm25.pt", "c-no2.pt"]
    assert "no2, pollutant 2 of 2" in caplog.text


@pytest.mark.parametrize(("command", "output"), [("verify", "r.html"), ("outlook", "o.nc")])
def test_other_commands_take_one_pollutant_at_a_time(command, output, obs, tmp_path, run):
    table = tmp_path / "obs.csv"
    obs.drop_vars(["wind_speed", "temperature"]).aqnet.to_table(table)
    options = ["--variable", "pm25,no2", "--time-zone", "UTC", "--time-label", "start"]
    status, _, errors = run(command, table, "-o", tmp_path / output, *options)
    assert status == 1
    assert "one pollutant at a time, such as variable='pm25' or --variable pm25" in errors


def test_the_progress_bar_of_a_pollutant_names_it(obs, capsys):
    obs.aqnet.fit(NAMES, schedule=SHORT, progress=True, quality="ignore")
    shown = capsys.readouterr().err
    for name in NAMES:
        assert f"{name}, learning the covariance:" in shown
