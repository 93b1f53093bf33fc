"""Hourly operation: hours without measurements, clocks, refusals, and runs that are killed."""

# ruff: noqa: F401, F811 (fixtures are imported, and named by arguments)

import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock
from operation_cases import (
    GRID,
    QUICK,
    SMALL,
    assert_same,
    begun,
    changed,
    files,
    layers,
    made,
    model,
    observed,
    store,
    until,
    whole,
)

import aqreanalysis as aqr
from aqreanalysis.methods.saved_model import SavedModelError
from aqreanalysis.observations import ObservationError
from aqreanalysis.observations.archive.version import ReplacedError
from aqreanalysis.operation.journal import NAME, Journal
from aqreanalysis.product import ProductError
from aqreanalysis.product.resuming import LockedError


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
        "stations.csv", "model", "pm25.zarr", ".pm25.zarr.lock", ".pm25.zarr.earlier"
    }  # fmt: skip


def test_who_reads_a_store_while_it_is_updated_has_one_version_or_a_refusal(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, whole: xr.Dataset
) -> None:
    before = layers(begun)
    with aqr.open_product(begun) as lazy, aqr.open_product(begun) as part:
        window = part.isel(time=slice(100, 120))
        aqr.update(begun, changed(until(observed, 145), 2, slice(110, 120), 99.0), model=model)
        assert not np.allclose(layers(begun).pm25[:140], before.pm25, equal_nan=True)
        assert_same(lazy.compute(), before)
        assert_same(window.compute(), before.isel(time=slice(100, 120)))
        aqr.update(begun, observed, model=model)
        with pytest.raises(ReplacedError, match=r"replaced by a newer version .* open it anew"):
            lazy.pm25.compute()
    assert_same(layers(begun), whole)


def test_who_opens_a_store_while_it_is_replaced_has_the_next_version(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_zarr, updated = xr.open_zarr, []

    def late(*given: object, **options: object) -> xr.Dataset:
        if not updated:
            updated.append(True)
            for hours in (144, 147):  # the version that was begun with is gone
                aqr.update(begun, until(observed, hours), model=model)
        return open_zarr(*given, **options)

    monkeypatch.setattr("aqreanalysis.foreign.files.xr.open_zarr", late)
    with aqr.open_product(begun) as product:
        assert product.sizes["time"] == 147
        assert product.pm25.compute().notnull().all()


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
