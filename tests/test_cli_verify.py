"""``aqreanalysis verify``: stations in, a report and a table out, or one message and no file."""

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest

from aqreanalysis import open_product, synthetic_network
from aqreanalysis.verification import metrics, verify

METHODS = "kriging,idw"


@pytest.fixture(scope="module")
def stations(tmp_path_factory):
    """Return a station file of a day and a half."""
    path = tmp_path_factory.mktemp("stations") / "stations.csv"
    synthetic_network(stations=16, hours=36, seed=2).observations.aqnet.to_table(path)
    return path


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_stations_become_a_report_and_a_row_for_each_method(stations, run, tmp_path):
    status, out, err = run(
        "verify", stations, "-o", "report.html", "--csv", "scores.csv", "--methods", METHODS,
        "--folds", 3, "--events", "20,80", "--points", "scores.gpkg",
    )  # fmt: skip
    assert status == 0, err
    points = geopandas.read_file("scores.gpkg")
    assert set(points.estimator) == {"kriging", "idw"}
    assert {"rmse", "hit_rate_20", "hit_rate_80"} <= set(points.columns)
    assert "report.html" in out
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    table = pd.read_csv("scores.csv", index_col=0)
    assert table.index.tolist() == ["kriging", "idw"]
    assert (table.rmse_low < table.rmse).all()
    assert {"hit_rate_20", "hit_rate_80", "relative_rmse_to_kriging"} <= set(table.columns)
    from aqreanalysis import open_observations

    again = metrics(verify(open_observations(stations), methods=["idw"], folds=3, progress=False))
    assert table.rmse["idw"] == pytest.approx(float(again.rmse[0]), rel=1e-4)


def test_attributes_of_places_go_to_methods_by_name(stations, run, caplog):
    status, _, err = run(
        "verify", stations, "-o", "report.html", "--methods", METHODS, "--folds", 2,
        "--geography", "altitude,distance_to_coast",
    )  # fmt: skip
    assert status == 0, err
    assert (
        "altitude, distance_to_coast of aqreanalysis geography" in Path("report.html").read_text()
    )
    arguments = ("reanalyse", stations, "-o", "pm25.nc", "--method", "kriging", "--grid", 0.3)
    assert run(*arguments, "--geography", "all")[0] == 0
    with open_product("pm25.nc") as product:
        assert "geography:population_15km" in product.attrs["method_settings"]
    status, _, err = run(*arguments, "--geography", "altitude,heights.tif")
    assert status == 1
    assert "there is no attribute and no file 'heights.tif'; attributes are altitude, relief" in err


def test_a_product_is_compared_with_stations(stations, run, tmp_path, caplog):
    assert run("reanalyse", stations, "-o", "pm25.nc", "--method", "idw", "--grid", 0.2)[0] == 0
    status, out, err = run(
        "verify", stations, "-o", "report.html", "--product", "pm25.nc",
        "--time", "2020-11-01", "2020-11-01",
    )  # fmt: skip
    assert status == 0, err
    assert "idw" in out
    assert "seen by the product" in caplog.text
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "report.txt"], "html"),
        (["-o", "nowhere/report.html"], "no folder"),
        (["-o", "r.html", "--csv", "nowhere/scores.csv"], "there is no folder"),
        (["-o", "r.html", "--points", "scores.shp"], "--points takes a name in .gpkg or .parquet"),
        (["-o", "r.html", "--points", "nowhere/s.gpkg"], "there is no folder"),
        (["-o", "r.html", "--events", "high"], "--events takes numbers by comma"),
        (["-o", "r.html", "--product", "none.nc", "--events", "0"], "events must be positive"),
        (["-o", "r.html", "--methods", "magic"], "method must be one of"),
        (["-o", "r.html", "--by", "colour"], "by must be one of station, block"),
        (["-o", "r.html", "--methods", "idw", "--folds", "99"], "Ask for 2 to"),
        (["-o", "r.html", "--by", "month", "--methods", "idw"], "5 folds by month need 5 months"),
        (["-o", "r.html", "--product", "none.nc"], "none.nc"),
        (
            ["-o", "r.html", "--product", "none.nc", "--by", "block", "--folds", "3"],
            "--by, --folds: of no effect with --product",
        ),
        (["-o", "r.html", "--product-variable", "pm"], "of no effect without --product"),
    ],
)
def test_requests_that_do_not_fit_end_in_one_message(stations, run, tmp_path, arguments, words):
    status, _, err = run("--quiet", "verify", stations, *arguments)
    assert status == 1
    assert words in err
    assert "Traceback" not in err
    assert err.startswith("aqreanalysis: ")
    assert list(tmp_path.iterdir()) == []


def test_the_accessor_writes_the_report_it_is_asked_for(tmp_path):
    obs = synthetic_network(stations=12, hours=24, seed=2).observations
    summed = obs.aqnet.verify(
        methods=["idw"], folds=3, progress=False, report=tmp_path / "report.html"
    )
    assert (tmp_path / "report.html").is_file()
    assert np.isfinite(metrics(summed).rmse).all()
    with pytest.raises(ValueError, match="html"):
        obs.aqnet.verify(methods=["idw"], folds=3, progress=False, report=tmp_path / "report.pdf")


def test_what_methods_say_of_themselves_is_not_said_once_a_fold(stations, run, caplog):
    caplog.set_level("INFO")
    status, _, _ = run("verify", stations, "-o", "r.html", "--methods", "kriging", "--folds", 3)
    assert status == 0
    assert "Variogram" not in caplog.text
