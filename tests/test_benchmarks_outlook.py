"""P9: what is scored is what `Outlook.predict` gives, and scores are what they say."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks is not installed

from aqreanalysis import Outlook
from aqreanalysis.datasets import synthetic_network
from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.outlook.aqnet import OutlookConfiguration, OutlookNetwork
from aqreanalysis.outlook.inputs import Examples, ForecastInputs
from aqreanalysis.outlook.training import OutlookSchedule, train
from benchmarks import outlook, outlook_rivals, outlook_tables
from benchmarks.outlook import LEADS, VALIDATION, VARIABLE, ZONE, Split, Way


@pytest.fixture(scope="module")
def split(data_dir):
    return Split.of(data_dir, 1)


@pytest.fixture(scope="module")
def way(split):
    return Way.of(split)


def test_every_third_station_is_hidden_and_starts_are_at_midnight_and_noon(split):
    names = set(split.visible.station.values) | set(split.hidden.station.values)
    assert (split.visible.sizes["station"], split.hidden.sizes["station"], len(names)) == (8, 4, 12)
    local = split.visible.time.values[split.columns] + ZONE
    assert set((local - local.astype("M8[D]")) / np.timedelta64(1, "h")) == {0.0, 12.0}
    assert local[0] == np.datetime64("2016-07-01T00")
    assert split.columns[-1] + LEADS <= split.visible.sizes["time"]
    assert split.learned_from.time.values[-1] + ZONE == VALIDATION[1]


def test_hidden_stations_are_estimated_as_the_outlook_does_it(split, way):
    recent = split.learned_from.isel(time=slice(-24 * 60, None))
    model = Outlook("persistence", between=way.between, progress=False).fit(recent, VARIABLE)
    columns = split.columns[[150]]
    forecast = model.issue(split.visible, columns).distribution
    past = split.visible[VARIABLE].transpose("station", "time").values
    root = way.hidden(forecast.root, past, columns)[0]
    spread = way.spread(root[None], forecast.root, forecast.spread)[0]
    start = split.visible.time.values[columns[0]]
    product = model.predict(split.visible, split.hidden, start=start).compute()
    # The product is float32; what follows its end goes back to the mean there, and the filter
    # repeats the last.
    np.testing.assert_allclose(root[..., :-12] ** 2, product[VARIABLE][..., :-12], atol=0.02)
    np.testing.assert_allclose(root**2, product[VARIABLE], rtol=0.01, atol=0.02)
    error = np.sqrt(4 * root**2 * spread**2 + 2 * spread**4)
    np.testing.assert_allclose(error, product[f"{VARIABLE}_uncertainty"], rtol=0.01, atol=0.02)


def test_sums_become_the_scores_of_their_definitions():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2, 40, (5, 3, LEADS))
    estimate = truth + rng.normal(0, 10, truth.shape)
    truth[0, 0, :10] = np.nan  # 14 hours of that day are left, too few for its mean
    sums = dict(outlook._sums(estimate, truth))
    error = estimate[..., :48] - truth[..., :48]
    r2, mae, rmse = outlook_tables.scores([sums["2 days, hourly"]])
    assert rmse == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-5)
    assert mae == pytest.approx(np.nanmean(abs(error)), rel=1e-5)
    assert r2 == pytest.approx(1 - np.nanmean(error**2) / np.nanvar(truth[..., :48]), rel=1e-5)
    days = (estimate - truth).reshape(5, 3, 7, 24)
    assert sums["7 days, daily"]["values"] == 5 * 3 * 7 - 1
    _, _, daily = outlook_tables.scores([sums["7 days, daily"]])
    assert daily == pytest.approx(np.sqrt(np.nanmean(days.mean(-1) ** 2)), rel=1e-5)
    # Two halves are the whole.
    halves = [dict(outlook._sums(estimate[i::2], truth[i::2]))["hour 24"] for i in (0, 1)]
    whole = outlook_tables.scores([sums["hour 24"]])
    assert outlook_tables.scores(halves) == pytest.approx(whole, rel=1e-4)


def test_the_pages_show_what_the_record_holds():
    """After new scores put there what ``python -m benchmarks outlook --from-csv`` prints."""
    path = Path(outlook.__file__).with_suffix(".csv")
    rows, fortnights = outlook_tables.read(path), outlook_tables.read_fortnights(path)
    shown = (path.parent / "README.md").read_text()
    printed = outlook_tables.tables(rows, "mean")
    assert all(f"\n| {method}" in printed for method in outlook.METHODS)
    for lines in (printed, outlook_tables.differences(fortnights)):
        assert [line for line in lines.splitlines() if line not in shown] == []
    shown = (path.parents[1] / "docs" / "outlook.md").read_text()
    assert outlook_tables.summary(rows) in shown


def test_the_page_of_the_source_document_has_the_published_and_the_recorded_scores():
    path = Path(outlook.__file__).with_suffix(".csv")
    page = (path.parents[1] / "docs" / "source_document.md").read_text().splitlines()
    visible = [row for row in outlook_tables.read(path) if row["place"] == "visible"]
    visible = [row for row in visible if row["statistic"] == "mean"]
    names = {
        "aqnet": "AQ-Net",
        "aqnet_without_cycles": "without cyclic encoding",
        "patchtst": "PatchTST",
        "lstm": "LSTM",
        "ridge": "linear regression (here ridge, PM2.5 alone)",
        "boosting": "gradient-boosted trees",
        "paper": "AQ-Net as released, less its errors, one fold of three",
    }
    for method, name in names.items():
        cells = []
        published = outlook_tables.PUBLISHED.get(method, ("",) * 3)
        for span, printed in zip(outlook_tables.SPANS, published, strict=True):
            here = outlook_tables._cell(visible, f"{span}, daily", method, r2=False)
            cells += [printed, here.partition(" ±")[0]]
        assert f"| {' | '.join([name, *cells])} |".replace("|  |", "| |") in page


def test_fortnights_add_up_to_the_whole(split, way):
    run = outlook.Run.of(split, way, "persistence", 0)
    for whole in run.rows():
        parts = [
            row
            for row in run.fortnights()
            if (row["place"], row["target"]) == (whole["place"], whole["target"])
        ]
        if whole["statistic"] == "mean" and parts:
            assert len(parts) == 17
            for name in ("values", "squares", "absolute"):
                assert sum(row[name] for row in parts) == pytest.approx(whole[name], abs=9)


def test_a_difference_is_that_of_common_folds_with_an_interval_over_fortnights():
    rng = np.random.default_rng(0)
    squares = rng.gamma(2, 500, 17)
    rows = [
        {"fold": fold, "method": method, "target": "hour 6", "fortnight": number, "values": 10,
         "squares": share * value, "absolute": share * value}
        for fold, method, share in ((0, "a", 0.81), (0, "b", 1.0), (1, "b", 50.0))
        for number, value in enumerate(squares)
    ]  # fmt: skip
    # A tenth less in every fortnight is a tenth less in every draw of them.
    assert outlook_tables.difference(rows, "a", "b", "hour 6", "RMSE") == pytest.approx((-0.1,) * 3)
    assert outlook_tables.difference(rows, "a", "b", "hour 6", "MAE")[0] == pytest.approx(-0.19)
    rows[0]["squares"] *= 100  # one fortnight alone proves nothing
    unproven = outlook_tables.difference(rows, "a", "b", "hour 6", "RMSE")
    assert unproven.low < 0 < unproven.high
    assert str(outlook_tables.Difference(-0.02, -0.03, -0.01)) == "**-2.0 [-3.0, -1.0]**"
    assert str(outlook_tables.Difference(0.02, -0.03, 0.07)) == "+2.0 [-3.0, +7.0]"


SIZES = OutlookConfiguration(history=96, leads=24, width=16)


@pytest.fixture(scope="module")
def series():
    """Return a concentration that falls to the level by a tenth an hour, and as its examples."""
    rng = np.random.default_rng(0)
    obs = synthetic_network(hours=1500, resolution=0.2, seed=2).observations
    obs = obs.isel(station=slice(0, 6))
    values = np.full(obs.pm25.shape, 50.0)
    for hour in range(1, 1500):
        values[:, hour] = 50 + 0.9 * (values[:, hour - 1] - 50) + rng.normal(0, 3, 6)
    obs["pm25"] = obs.pm25.copy(data=values.astype(np.float32))
    return obs, Scaling.of(obs, "pm25", [])


def learned(network, series):
    observations, scaling = series
    inputs = ForecastInputs.of(observations, scaling, leads=SIZES.leads, seasons=False)
    torch.manual_seed(0)
    parts = Examples.of(inputs, range(100, 1100, 3)), Examples.of(inputs, range(1124, 1470, 2))
    model = network(SIZES, inputs.channels)
    none = OutlookSchedule(updates=0)
    return train(model, *parts, level=scaling.variable, schedule=none, seed=0)


def test_trees_err_little_more_than_they_must_and_see_nothing_from_the_start_on(series):
    pytest.importorskip("sklearn")
    trained = learned(outlook_rivals.Boosting, series)
    # The variance at lead k is 9 (1 - 0.81^k) / (1 - 0.81).
    least = np.sqrt((9 * (1 - 0.81 ** np.arange(1, 25)) / 0.19).mean())
    assert trained.scores["rmse"] < 1.15 * least
    observations, scaling = series
    model, predicted = trained.model, []
    for values in (observations.pm25, observations.pm25.where(np.arange(1500) < 1200, 500)):
        changed = observations.assign(pm25=values)
        inputs = ForecastInputs.of(changed, scaling, leads=SIZES.leads, seasons=False)
        predicted.append(model(Examples.of(inputs, [1200]).history(model.edges, 24)).mean)
    assert torch.equal(*predicted)


def test_the_lstm_from_the_linear_start_begins_there(series):
    ours, start = (
        learned(network, series).model for network in (outlook_rivals.RidgeLSTM, OutlookNetwork)
    )
    inputs = ForecastInputs.of(*series, leads=SIZES.leads, seasons=False)
    history = Examples.of(inputs, [700]).history(start.edges, 24)
    with torch.no_grad():
        assert torch.equal(ours(history).mean, start(history).mean)


def test_both_statistics_come_of_one_fit_and_tables_are_those_of_one(
    split, way, tmp_path, monkeypatch
):
    quick = {"schedule": OutlookSchedule(updates=2), "covariates": ()}
    monkeypatch.setitem(outlook.METHODS, "aqnet", ("aqnet", quick))
    few = replace(split, columns=split.columns[::60])
    methods = ("persistence", "ridge", "aqnet")
    rows = [row for method in methods for row in outlook.Run.of(few, way, method, 0).rows()]
    record = tmp_path / "record.csv"
    outlook.append(record, rows)
    read = outlook_tables.read(record)
    assert [row["statistic"] for row in read].count("mean") == len(read) / 2
    printed = {kind: outlook_tables.tables(read, kind) for kind in ("mean", "median")}
    persistence, ridge, aqnet = (
        [
            next(line for line in text.splitlines() if line.startswith(f"| {method}"))
            for text in printed.values()
        ]
        for method in methods
    )
    # The last value stands for both.
    assert persistence[0] == persistence[1]
    assert ridge[0] != ridge[1]
    assert aqnet[0] != aqnet[1]


def test_a_record_without_the_statistic_is_refused(tmp_path):
    record = tmp_path / "record.csv"
    record.write_text("date,fold\n2026-01-01,0\n")
    with pytest.raises(ValueError, match="no rows with a column 'statistic'; measure it anew"):
        outlook_tables.read(record)
    with pytest.raises(ValueError, match="no rows of the median; choose another --statistic"):
        outlook_tables.tables([{"statistic": "mean"}], "median")
