"""Hourly operation: retention, files of days, health, refits, and the command line."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by arguments)

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from filelock import FileLock
from operation_cases import (
    GRID,
    QUICK,
    SMALL,
    assert_same,
    begun,
    files,
    layers,
    made,
    model,
    observed,
    store,
    until,
    whole,
)
from product_cases import checked, everything

import aqreanalysis as aqr
from aqreanalysis.cli.statuses import STATUSES
from aqreanalysis.methods.neural import reanalyser
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.operation.journal import Journal
from aqreanalysis.product import with_metadata


def test_retention_removes_whole_chunks_and_leaves_the_rest_as_it_was(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, whole: xr.Dataset
) -> None:
    assert aqr.update(begun, until(observed, 145), model=model, retention="135h").dropped == 0
    result = aqr.update(begun, observed, model=model, retention="100h")
    assert result.dropped == 48  # the whole chunks of 12 h among 50
    assert_same(layers(begun), whole.isel(time=slice(48, None)))
    assert Journal.read(begun).first == Journal.read(begun).stop - 102
    assert aqr.update(begun, observed, model=model, retention="100h").state == "nothing new"
    with pytest.raises(ValueError, match="is shorter than the window of revision"):
        aqr.update(begun, observed, model=model, retention="1d")


@pytest.mark.parametrize("per", ["day", "month"])
def test_files_of_days_and_months_are_written_when_their_hours_change(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, tmp_path: Path, per: str
) -> None:
    folder = tmp_path / "files"
    options = {"model": model, "netcdf": folder, "per": per}
    first = aqr.update(begun, until(observed, 141), **options)
    names = (
        [f"pm25-2020-11-0{day}.nc" for day in range(1, 7)] if per == "day" else ["pm25-2020-11.nc"]
    )
    assert [path.name for path in first.netcdf] == names
    assert aqr.update(begun, until(observed, 141), **options).netcdf == ()
    second = aqr.update(begun, observed, **options)
    assert second.netcdf[-1].name == ("pm25-2020-11-07.nc" if per == "day" else names[0])
    assert len(second.netcdf) < 7
    (folder / names[0]).unlink()
    assert [path.name for path in aqr.update(begun, observed, **options).netcdf] == names[:1]
    with aqr.open_product(str(folder / "*.nc")) as joined:
        np.testing.assert_array_equal(joined.time, layers(begun).time)
        np.testing.assert_array_equal(joined.pm25, layers(begun).pm25)
    last = folder / names[-1]
    nameless = "distance_to_nearest_station has no standard_name"
    assert checked(last, "cf:1.11") == []
    stated = with_metadata(aqr.open_product(last), everything())
    file = stated.aqnet.to_netcdf(tmp_path / "stated.nc")
    assert [text for _, text in checked(file, "acdd:1.3")] == [nameless]


def test_health_is_that_of_stations_left_out(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    result = aqr.update(begun, observed, model=model, health_over="2d")
    assert result.health is not None
    assert result.health.hours == 48
    assert result.health.values == int(observed.pm25[:, -48:].notnull().sum())
    assert result.state == ("alarm" if result.health.coverage < 0.75 else "done")
    alarmed = aqr.update(begun, observed, model=model, health_over="2d", alarm=1.0)
    assert alarmed.state == "alarm"
    assert "ALARM, at stations left out over 48 h" in str(alarmed)


@pytest.mark.slow
def test_an_old_model_is_fitted_anew_and_takes_the_place_of_the_old(
    store: Path, observed: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reanalyser, "Schedule", lambda: QUICK)
    folder = tmp_path / "model"
    aqr.Reanalyser(SMALL, progress=False).fit(observed, "pm25").save(folder)
    later = observed.assign_coords(time=observed.time + np.timedelta64(29, "D"))
    later.time.attrs = observed.time.attrs
    long = xr.concat(
        [later, observed.assign_coords(time=later.time + np.timedelta64(150, "h"))], "time"
    )
    long = xr.concat(
        [long, observed.assign_coords(time=later.time + np.timedelta64(300, "h"))], "time"
    )
    long.time.attrs = observed.time.attrs
    options = {"model": folder, "refit": "monthly", **GRID}
    first = aqr.update(store, long.isel(time=slice(20, 140)), **options)
    assert not first.refitted  # 29 days
    short = aqr.update(store, long.isel(time=slice(60, 200)), **options)
    assert not short.refitted  # six days of measurements are too few
    second = aqr.update(store, long.isel(time=slice(20, 360)), **options)
    assert second.refitted
    assert second.model != first.model
    assert aqr.Reanalyser.load(folder).settings["weights_sha256"] == second.model
    third = aqr.update(store, long.isel(time=slice(20, 361)), **options)
    assert not third.refitted
    assert third.model == second.model


def test_the_command_says_one_line_and_ends_in_a_status_that_a_scheduler_reads(
    run: Callable[..., tuple[int, str, str]],
    observed: xr.Dataset,
    model: aqr.Reanalyser,
    tmp_path: Path,
) -> None:
    parts = observed.isel(time=slice(100)), observed.isel(time=slice(100, None))
    for part, name in zip(parts, ("a.csv", "b.csv"), strict=True):
        part.aqnet.to_table(tmp_path / name)
    model.save(tmp_path / "model")
    store, ways = tmp_path / "now.zarr", ("--model", tmp_path / "model", "--grid", "0.5")
    status, output, errors = run("update", store, tmp_path / "a.csv", *ways)
    assert (status, errors) == (0, "")
    assert output.count("\n") == 1
    assert "now.zarr: done; created, 100 h added" in output
    both = (tmp_path / "a.csv", tmp_path / "b.csv")
    status, output, _ = run("update", store, *both, *ways, "--json", "--stale", "3h")
    facts = json.loads(output)
    assert status == 5
    assert facts["is_stale"]
    assert facts["added"] == 50
    status, output, _ = run("update", store, *both, *ways)
    assert status == 3
    assert "nothing new" in output
    status, _, _ = run("update", store, *both, *ways, "--health", "2d", "--alarm", "1")
    assert status == 6
    with FileLock(store.with_name(".now.zarr.lock")):
        status, _, errors = run("update", store, *both, *ways)
    assert status == 4
    assert "another run is writing" in errors
    status, _, errors = run("update", tmp_path / "now.nc", *both, *ways)
    assert status == 1
    assert "a store is Zarr" in errors


def test_rows_that_repeat_contradict_or_are_left_out_are_counted(
    run: Callable[..., tuple[int, str, str]],
    observed: xr.Dataset,
    model: aqr.Reanalyser,
    tmp_path: Path,
) -> None:
    table = tmp_path / "a.csv"
    until(observed, 100).aqnet.to_table(table)
    model.save(tmp_path / "model")
    ways = (table, "--model", tmp_path / "model", "--grid", "0.5", "--duplicates", "last")
    rows = pd.read_csv(table)
    corrected, again = rows[:2].assign(pm25=77.0), rows[2:3]
    pd.concat([rows, corrected, again, again]).to_csv(table, index=False)
    with table.open("a") as file:
        file.write("a,row,of,more,fields,than,there,are,names,in,this,file\n")

    status, output, _ = run("update", tmp_path / "now.zarr", *ways)
    assert status == 0
    assert "OBS has 2 repeated rows; OBS has different values for 2 station-hours" in output
    assert "OBS: 1 lines of a.csv have too many or too few fields and are left out" in output
    status, output, _ = run("update", tmp_path / "now.zarr", *ways, "--json")
    facts = json.loads(output)
    assert status == 3
    assert (facts["repeated_rows"], facts["contradicting_values"]) == (2, 2)
    assert len(facts["reading_warnings"]) == 1


def test_all_statuses_are_documented() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "operations.md").read_text(encoding="utf-8")
    for status in STATUSES:
        assert f"| {status.number} | {status.meaning}" in page
