"""The whole path: station file in, model, product, map and scores out, where the truth is known."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis import demo
from aqreanalysis.methods.neural.configuration import Schedule

QUICK = Schedule(covariance_updates=8, updates=4, windows=2, check_every=2, validation_windows=4)
SCORED = slice("2020-11-03T00", "2020-11-04T23")


@pytest.fixture(scope="module")
def synthetic():
    return aqr.synthetic_network(stations=30, hidden=10, hours=120, resolution=0.2, seed=3)


@pytest.fixture(scope="module")
def model(synthetic):
    return synthetic.observations.aqnet.fit("pm25", seed=0, progress=False, schedule=QUICK)


def _rmse(result: xr.DataArray, truth: xr.DataArray) -> float:
    return float(np.sqrt(((result - truth) ** 2).mean()))


def test_a_station_file_becomes_a_product_near_the_truth(tmp_path, synthetic, model):
    synthetic.observations.aqnet.to_table(tmp_path / "stations.csv")
    obs = aqr.open_observations(tmp_path / "stations.csv")
    product = obs.aqnet.reanalyse(grid=synthetic.grid, method=model, time=SCORED)
    written = product.aqnet.to_netcdf(tmp_path / "pm25.nc", progress=False)
    with aqr.open_product(written) as opened:
        truth = synthetic.truth["pm25"].sel(time=SCORED)
        error = _rmse(opened["pm25"], truth)
        # The mean of all stations at each hour knows nothing of where it is: the least to beat.
        flat = obs["pm25"].sel(time=SCORED).mean("station")
        assert error < 0.75 * _rmse(flat, truth)
        assert float(opened["pm25"].min()) >= 0
        assert opened.attrs["Conventions"].startswith("CF-1.11")
        figure = opened.aqnet.map(time="2020-11-03T08", observations=obs, hidden=synthetic.hidden)
        assert "2020-11-03 08:00 UTC" in " ".join(t.get_text() for t in figure.findobj(_is_text))


def _is_text(artist) -> bool:
    return hasattr(artist, "get_text")


@pytest.mark.parametrize("method", ["idw", "kriging", "space_time_kriging", "neural"])
def test_every_method_finds_hidden_stations_better_than_the_mean(synthetic, model, method):
    chosen = model if method == "neural" else method
    product = synthetic.observations.aqnet.reanalyse(
        at=synthetic.hidden, method=chosen, time=SCORED
    ).compute()
    truth = synthetic.hidden["pm25_truth"].sel(time=SCORED)
    flat = synthetic.observations["pm25"].sel(time=SCORED).mean("station")
    assert _rmse(product["pm25"], truth) < _rmse(flat, truth)
    assert (product["pm25_uncertainty"] > 0).all()


def test_without_arguments_there_is_a_grid_around_the_stations(synthetic):
    product = synthetic.observations.isel(time=slice(0, 24)).aqnet.reanalyse(method="idw")
    west, east, south, north = synthetic.observations.aqnet.network.extent()
    assert product["lon"].min() < west
    assert product["lon"].max() > east
    assert product["lat"].min() < south
    assert product["lat"].max() > north
    assert product["pm25"].sizes["time"] == 24


def test_the_demonstration_scores_all_methods_and_writes_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "SCHEDULE", QUICK)
    monkeypatch.setattr(demo, "SCORED_HOURS", 12)
    small = partial(aqr.synthetic_network, stations=24, hidden=8, hours=240, resolution=0.1)
    monkeypatch.setattr(demo, "synthetic_network", small)
    report = demo.run(tmp_path / "demo", progress=False)
    scores = pd.read_csv(tmp_path / "demo" / "scores.csv", index_col="method")
    assert list(scores.index) == ["neural", "pretrained", "kriging", "space_time_kriging", "idw"]
    # Events may not occur in twelve hours, so their scores may be missing.
    assert scores[["rmse", "mae", "crps", "coverage_90", "truth_grid_rmse"]].notna().all(axis=None)
    assert scores.loc["kriging", "rmse"] < scores.loc["idw", "rmse"]
    written = ("pm25.nc", "pm25.png", "uncertainty.png", "truth.png", "model/", "hidden.csv")
    for name in (*written, "report.html", "viewer.html"):
        assert name in report
        assert (tmp_path / "demo" / name).exists()
