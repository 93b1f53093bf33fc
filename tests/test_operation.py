"""Hourly operation: a store that is brought up to date holds what one reanalysis would."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock
from shapely.geometry import box

import aqreanalysis as aqr
from aqreanalysis.cli.statuses import STATUSES
from aqreanalysis.methods.neural import reanalyser
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.saved_model import SavedModelError
from aqreanalysis.observations import ObservationError
from aqreanalysis.operation.journal import NAME, Journal
from aqreanalysis.product import ProductError
from aqreanalysis.product.resuming import LockedError

#: A model is small and quick to learn: its blocks have 12 h, and measurements count 29 h away.
SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=5, updates=2, check_every=2, windows=2, validation_windows=2)
HOURS = 150
GRID = {"grid": 0.5, "quality": "ignore", "significant_digits": None}


@pytest.fixture(scope="module")
def observed() -> xr.Dataset:
    """Return ten stations with gaps, from which nothing is missing at the last hour."""
    whole = aqr.synthetic_network(hours=HOURS, seed=3).observations[["pm25"]]
    whole = whole.isel(station=slice(10))
    values = whole.pm25.where(whole.time != whole.time[-1], 20.0)
    return whole.assign(pm25=values.assign_attrs(whole.pm25.attrs))


@pytest.fixture(scope="module")
def model(observed: xr.Dataset) -> aqr.Reanalyser:
    """Return a small model that uses its network too."""
    fitted = aqr.Reanalyser(SMALL, schedule=QUICK, progress=False).fit(observed, "pm25")
    fitted._state.facts["heads"] = True
    return fitted


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the name of a store."""
    return tmp_path / "pm25.zarr"


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, observed: xr.Dataset, model: aqr.Reanalyser
) -> Path:
    """Return a store of the first 140 hours, which no test changes."""
    path = tmp_path_factory.mktemp("made") / "pm25.zarr"
    aqr.update(path, until(observed, 140), model=model, **GRID)
    return path


@pytest.fixture
def begun(store: Path, made: Path) -> Path:
    """Return a store of the first 140 hours."""
    return Path(shutil.copytree(made, store))


@pytest.fixture(scope="module")
def whole(observed: xr.Dataset, model: aqr.Reanalyser) -> xr.Dataset:
    """Return one reanalysis of all hours."""
    product = observed.aqnet.reanalyse(method=model, grid=0.5, quality="ignore", progress=False)
    return product.compute()


def until(observed: xr.Dataset, hours: int) -> xr.Dataset:
    """Return the first hours."""
    return observed.isel(time=slice(hours))


def changed(observed: xr.Dataset, station: int, hours: slice, value: float = np.nan) -> xr.Dataset:
    """Return observations of which a station has another value in some hours, or none."""
    values = observed.pm25.values.copy()
    values[station, hours] = value
    return observed.assign(pm25=observed.pm25.copy(data=values))


def layers(path: Path) -> xr.Dataset:
    """Return the layers of a store in memory."""
    with aqr.open_product(path) as product:
        return product.load()


def assert_same(one: xr.Dataset, other: xr.Dataset, hours: slice = slice(None)) -> None:
    """Compare all layers in some hours."""
    assert set(one.data_vars) == set(other.data_vars)
    np.testing.assert_array_equal(one.time, other.time)
    for name in one.data_vars:
        first, second = (
            (part[name].isel(time=hours) if "time" in part[name].dims else part[name]).values
            for part in (one, other)
        )
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=0, err_msg=str(name))


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all files below a folder, with their inode and time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


# What the store holds


def test_hour_by_hour_with_late_and_corrected_values_is_one_reanalysis(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, whole: xr.Dataset
) -> None:
    rng = np.random.default_rng(0)
    for hours in [60, 61, 63, 80, 100, 118, 149]:
        given = until(observed, hours)
        given = changed(given, int(rng.integers(10)), slice(hours - 20, None))  # late
        given = changed(given, int(rng.integers(10)), slice(hours - 3, hours - 1), 5.0)  # wrong
        aqr.update(store, given, model=model, **GRID)
    result = aqr.update(store, observed, model=model)
    assert (result.added, result.reporting, result.too_late) == (1, 10, 0)
    assert_same(layers(store), whole)


def test_an_estimate_does_not_depend_on_how_much_is_handed_over(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, whole: xr.Dataset
) -> None:
    aqr.update(store, until(observed, 120), model=model, **GRID)
    for hours in (125, 133, HOURS):  # the window of 3 d and what it depends on
        recent = observed.isel(time=slice(max(hours - 125, 0), hours))
        result = aqr.update(store, recent, model=model, last="3d")
        assert not result.incomplete
    assert_same(layers(store), whole)


def test_how_far_back_is_revised_follows_from_the_method(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    assert model.reach == (12, 4 + 24 + 1)
    before = layers(begun)
    corrected = changed(until(observed, 140), 4, slice(100, 101), 150.0)
    result = aqr.update(begun, corrected, model=model)
    after = layers(begun)
    differs = np.flatnonzero((after.pm25 != before.pm25).any(("lat", "lon")))
    first = result.revised_from.rstrip("Z")
    assert np.datetime64(first) <= before.time.values[differs[0]]
    assert differs[0] >= 100 - 29 - 12
    assert differs[-1] <= 100 + 29 + 12
    # What was not estimated again is the same file.
    revised = int((before.time.values >= np.datetime64(first)).sum())
    assert result.revised <= revised <= 29 + 12 + 1 + 40


def test_nothing_changes_when_nothing_is_new(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    before = files(begun)
    result = aqr.update(begun, until(observed, 140), model=model)
    assert (result.state, result.added, result.revised) == ("nothing new", 0, 0)
    assert files(begun) == before
    shuffled = until(observed, 140).isel(station=slice(None, None, -1))
    assert aqr.update(begun, shuffled, model=model).state == "nothing new"


def test_chunks_that_do_not_change_are_links_to_those_of_the_version_before(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    before = files(begun / "pm25")
    aqr.update(begun, until(observed, 141), model=model)
    after = files(begun / "pm25")
    same = {name for name in before if before[name] == after.get(name)}
    assert {"0.0.0", "5.0.0"} <= same
    assert "11.0.0" not in same


def test_a_reader_with_the_metadata_of_one_version_can_read_the_next(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    metadata = (begun / ".zmetadata").read_bytes()
    with aqr.open_product(begun) as opened:
        aqr.update(begun, observed, model=model)
        assert opened.pm25.load().notnull().all()
    (begun / ".zmetadata").write_bytes(metadata)
    product = layers(begun)
    assert product.sizes["time"] == 140
    np.testing.assert_array_equal(product.time, observed.time[:140])
    assert product.pm25.notnull().all()


def test_what_comes_too_late_is_counted_and_a_longer_window_has_it_count(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    corrected = changed(observed, 2, slice(20, 24), 99.0)
    result = aqr.update(begun, corrected, model=model)
    assert result.too_late == 4
    assert "measurements of 4 h changed too late" in str(result)
    whole = corrected.aqnet.reanalyse(method=model, grid=0.5, quality="ignore", progress=False)
    assert not np.allclose(layers(begun).pm25[20:24], whole.pm25[20:24], rtol=1e-5)
    result = aqr.update(begun, corrected, model=model, last="7d")
    assert result.too_late == 0
    assert result.revised
    assert_same(layers(begun), whole.compute())


def test_stations_appear_vanish_and_move_and_each_block_knows_those_that_report(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, tmp_path: Path
) -> None:
    moved = observed.station.values.astype(object)
    moved[7] = f"{moved[7]}#2"
    new = observed.isel(station=[7]).assign_coords(
        station=moved[[7]], longitude=("station", [116.3])
    )
    new = changed(new, 0, slice(0, 110))
    final = changed(changed(observed, 7, slice(110, None)), 5, slice(0, 100))
    final = xr.concat([changed(final, 3, slice(60, None)), new], "station")
    for hours in (70, 115, HOURS):
        present = until(final, hours)
        present = present.isel(station=present.pm25.notnull().any("time").values)
        aqr.update(store, present, model=model, **GRID)
    at_once = tmp_path / "at_once.zarr"
    aqr.update(at_once, final, model=model, **GRID)
    assert_same(layers(store), layers(at_once))


def test_a_store_at_stations_and_one_that_is_clipped(
    tmp_path: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    places = observed[["station", "longitude", "latitude"]].isel(station=slice(3))
    area = box(115.9, 38.9, 117.1, 40.1)
    for name, where in (("at", {"at": places}), ("clip", {"grid": 0.25, "clip": area})):
        store = tmp_path / f"{name}.zarr"
        options = where | {"quality": "ignore", "quantiles": (0.05, 0.95)}
        some = until(observed, 50)
        aqr.update(store, until(some, 44), model=model, significant_digits=None, **options)
        aqr.update(store, some, model=model)
        whole = some.aqnet.reanalyse(method=model, progress=False, **options).compute()
        result = layers(store)
        assert_same(result, whole)
        assert result.pm25.attrs == {**result.pm25.attrs, **whole.pm25.attrs}
    assert int((result.pm25_flag == 127).sum()) > 0


def test_metadata_and_history_stay_those_of_the_store(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    aqr.update(begun, until(observed, 145), model=model, creator="A. Person")
    aqr.update(begun, observed, model=model)
    product = layers(begun)
    assert product.attrs["creator_name"] == "A. Person"
    lines = product.attrs["history"].splitlines()
    assert len(lines) == 2
    assert "median of pm25 by neural" in lines[0]
    assert "run 3 of update, to 2020-11-07T05:00Z" in lines[1]
    assert product.attrs["time_coverage_end"] == "2020-11-07T06:00:00Z"
    assert len(product.pm25_uncertainty.attrs["error_time_scales_h"]) > 1


# Hours without measurements, clocks


def test_an_hour_without_a_report_is_flagged_and_said(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    silent = observed.assign(pm25=observed.pm25.where(observed.time < observed.time[146]))
    silent.pm25.attrs = observed.pm25.attrs
    result = aqr.update(begun, silent, model=model)
    assert (result.state, result.reporting, result.silent) == ("no report", 0, 4)
    assert (layers(begun).pm25_flag[-4:] >= 2).all()
    assert aqr.update(begun, observed, model=model).state == "done"


def test_hours_far_from_any_report_have_no_estimate(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    later = observed.assign_coords(time=observed.time + np.timedelta64(200, "h"))
    later.time.attrs = observed.time.attrs
    result = aqr.update(begun, later, model=model)
    assert result.added == 150 + 200 - 140
    product = layers(begun)
    assert (product.pm25_flag[140:175] == 3).all()  # 24 h before the next report
    assert product.pm25[140:175].isnull().all()
    assert product.pm25[205:].notnull().all()
    assert (np.diff(product.time) == np.timedelta64(1, "h")).all()


def test_measurements_that_begin_long_after_the_store_are_refused(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    later = observed.assign_coords(time=observed.time + np.timedelta64(1000, "h"))
    later.time.attrs = observed.time.attrs
    with pytest.raises(ValueError, match="begin 36 days after the end of the store"):
        aqr.update(begun, later, model=model)


def test_too_few_hours_revise_nothing_and_say_so(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    before = layers(begun)
    result = aqr.update(begun, observed.isel(time=slice(136, None)), model=model)
    assert result.added == 10
    assert result.incomplete
    assert "OBS does not reach back far enough" in str(result)
    np.testing.assert_array_equal(layers(begun).pm25[:140], before.pm25)


def test_hours_to_come_are_left_out(
    store: Path, observed: xr.Dataset, model: aqr.Reanalyser, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime(2020, 11, 5, 9, 30)
    result = aqr.update(store, observed, model=model, now=now, stale="3h", **GRID)
    assert result.last == "2020-11-05T10:00Z"
    assert "43 hours from 2020-11-05T11:00 UTC on are still to come" in caplog.text
    with pytest.raises(ObservationError, match=r"all hours are still to come.*--time-zone"):
        aqr.update(store, observed, model=model, now=datetime(2020, 10, 1))


def test_measurements_that_end_before_the_store_change_nothing(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, caplog: pytest.LogCaptureFixture
) -> None:
    result = aqr.update(begun, until(observed, 90), model=model, stale="30d")
    assert result.state == "no report"
    assert result.is_stale
    assert aqr.update(begun, until(observed, 90), model=model).state == "nothing new"
    assert "the measurements end at 2020-11-04T17:00Z, before the end of the store" in caplog.text


# Refusals


def test_another_request_is_refused_with_a_remedy(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    with pytest.raises(ProductError, match=r"made with grid 0\.5; asked for 0\.4\. Leave grid out"):
        aqr.update(begun, observed, model=model, grid=0.4)
    with pytest.raises(ProductError, match="made with statistic 'median'; asked for 'mean'"):
        aqr.update(begun, observed, model=model, statistic="mean")
    ends = observed.copy()
    ends["time"] = ends.time.assign_attrs(time_label="end")
    with pytest.raises(ProductError, match="has time_label 'start'; now it is 'end'"):
        aqr.update(begun, ends, model=model)
    with pytest.raises(ValueError, match=r"counts up to 29 h .* last is 12 h"):
        aqr.update(begun, observed, model=model, last="12h")
    with pytest.raises(ValueError, match="last is a duration such as 54h, 5d or 2w; found 'x'"):
        aqr.update(begun, observed, model=model, last="x")
    file = begun.with_name("file")
    file.touch()
    with pytest.raises(ProductError, match=r"cannot write .*file: .*File exists"):
        aqr.update(begun, observed, model=model, netcdf=file)
    with pytest.raises(ObservationError, match="have no pm25, which the model estimates"):
        aqr.update(begun, observed.rename(pm25="pm10"), model=model)


def test_another_model_is_refused_unless_it_is_said_to_go_on(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    other = aqr.Reanalyser(SMALL, schedule=QUICK, seed=1, progress=False).fit(observed, "pm25")
    with pytest.raises(ProductError, match=r"was last estimated by the model .* --new-model"):
        aqr.update(begun, observed, model=other)
    result = aqr.update(begun, observed, model=other, new_model=True)
    assert result.revised
    lines = layers(begun).attrs["history"].splitlines()
    assert f"from {result.revised_from} on by" in lines[1]
    window = slice(-result.revised - result.added, None)
    whole = observed.aqnet.reanalyse(method=other, grid=0.5, quality="ignore", progress=False)
    assert_same(layers(begun), whole.compute(), window)
    assert aqr.update(begun, observed, model=other).state == "nothing new"


def test_a_store_of_others_and_a_damaged_journal_are_refused(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, tmp_path: Path
) -> None:
    other = observed.aqnet.reanalyse(method=model, grid=0.5, progress=False)
    other.aqnet.to_zarr(tmp_path / "other.zarr")
    with pytest.raises(ProductError, match="was not made by update"):
        aqr.update(tmp_path / "other.zarr", observed, model=model)
    (begun / NAME).write_text('{"format": 1, "models": 3')
    with pytest.raises(ProductError, match=r"cannot be read .* from a backup"):
        aqr.update(begun, observed, model=model)
    (begun / NAME).write_text('{"format": 9}')
    with pytest.raises(ProductError, match="has format 9, and this version reads 1"):
        aqr.update(begun, observed, model=model)
    with pytest.raises(SavedModelError, match="is no saved model"):
        aqr.update(tmp_path / "new.zarr", observed, model=tmp_path / "none")


def test_a_second_run_is_refused(begun: Path, observed: xr.Dataset, model: aqr.Reanalyser) -> None:
    with FileLock(begun.with_name(".pm25.zarr.lock")), pytest.raises(LockedError, match="another"):
        aqr.update(begun, observed, model=model)
    assert aqr.update(begun, observed, model=model).added == 10


KILLED = """
import os, signal, sys
import aqreanalysis as aqr
from aqreanalysis import atomic

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

atomic._put_in_place = killed
aqr.update(sys.argv[1], aqr.open_observations(sys.argv[2]), model=sys.argv[3])
"""


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_the_store_and_the_next_one_does_what_is_missing(
    begun: Path,
    observed: xr.Dataset,
    model: aqr.Reanalyser,
    whole: xr.Dataset,
    tmp_path: Path,
) -> None:
    before = layers(begun)
    observed.aqnet.to_table(tmp_path / "stations.csv")
    model.save(tmp_path / "model")
    given = begun, tmp_path / "stations.csv", tmp_path / "model"
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, given)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert_same(layers(begun), before)
    assert any(path.name.startswith(".pm25.zarr.partial-") for path in tmp_path.iterdir())
    aqr.update(begun, observed, model=model)
    assert_same(layers(begun), whole)
    assert {path.name for path in tmp_path.iterdir()} == {
        "stations.csv", "model", "pm25.zarr", ".pm25.zarr.lock"
    }  # fmt: skip


def test_a_store_that_cannot_be_written_is_left_as_it_was(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(begun)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    with pytest.raises(ProductError, match="the disk is full"):
        aqr.update(begun, observed, model=model)
    assert files(begun) == before
    assert {path.name for path in begun.parent.iterdir()} == {"pm25.zarr", ".pm25.zarr.lock"}


# Retention, files, health, refits


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


# The command line


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


def test_all_statuses_are_documented() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "operations.md").read_text(encoding="utf-8")
    for status in STATUSES:
        assert f"| {status.number} | {status.meaning}" in page
