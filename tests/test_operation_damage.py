"""Damage to a store of hourly operation: found before a run builds on it, and left as it is."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock
from operation_cases import SMALL

import aqreanalysis as aqr
from aqreanalysis import doctor
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.operation.journal import NAME, Journal
from aqreanalysis.operation.periods import hours_of
from aqreanalysis.product import ProductError

QUICK = Schedule(covariance_updates=2, updates=0)


def complete() -> xr.Dataset:
    """Return eight stations and a hundred hours."""
    return aqr.synthetic_network(hours=100, seed=3).observations[["pm25"]].isel(station=slice(8))


@pytest.fixture(scope="module")
def observed() -> xr.Dataset:
    """Return eight stations, none of which reports for 72 hours."""
    whole = complete()
    values = whole.pm25.values.copy()
    values[:, 16:88] = np.nan
    return whole.assign(pm25=whole.pm25.copy(data=values))


@pytest.fixture(scope="module")
def model(observed: xr.Dataset) -> aqr.Reanalyser:
    """Return a model of the covariance alone."""
    return aqr.Reanalyser(SMALL, schedule=QUICK, progress=False).fit(complete(), "pm25")


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, observed: xr.Dataset, model: aqr.Reanalyser
) -> Path:
    """Return a store that no test changes."""
    path = tmp_path_factory.mktemp("made") / "pm25.zarr"
    aqr.update(path, observed.isel(time=slice(96)), model=model, grid=1.0, quality="ignore")
    return path


@pytest.fixture
def begun(tmp_path: Path, made: Path) -> Path:
    """Return a copy of the store."""
    return Path(shutil.copytree(made, tmp_path / "pm25.zarr"))


def edited(**changes: Any) -> Callable[[Path], object]:
    """Return what changes entries of a journal."""

    def edit(store: Path) -> None:
        stated = json.loads((store / NAME).read_text())
        for name, change in changes.items():
            stated[name] = change(stated[name])
        (store / NAME).write_text(json.dumps(stated))

    return edit


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what leaves entries out."""
    return lambda entries: {key: entries[key] for key in entries if key not in names}


def contents(store: Path) -> dict[str, bytes]:
    """Return all files of a store."""
    return {str(path): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: (s / "pm25" / "1.0.0").unlink(), r"1 of 8 chunks of pm25 are missing or empty"),
        (lambda s: (s / "pm25" / "3.0.0").unlink(), r"1 of 8 chunks of pm25 are missing"),
        (lambda s: (s / "pm25_flag" / "1.0.0").write_bytes(b""), "1 of 8 chunks of pm25_flag"),
        (lambda s: shutil.rmtree(s / "pm25_uncertainty"), "pm25_uncertainty cannot be read"),
        (lambda s: shutil.rmtree(s / "lat"), "lat cannot be read"),
        (lambda s: (s / "time" / "0").unlink(), "1 of 1 chunks of time"),
        (lambda s: (s / "pm25" / ".zarray").write_text("{"), "pm25 cannot be read"),
        (lambda s: (s / "pm25" / ".zattrs").unlink(), "pm25 cannot be read"),
        (lambda s: (s / ".zmetadata").unlink(), r"its \.zmetadata cannot be read"),
        (lambda s: (s / ".zmetadata").write_text("{"), r"its \.zmetadata cannot be read"),
        (edited(first=lambda first: first + 12), "96 hours are not those of its journal"),
        (edited(hours=lambda hours: hours[:-1]), "96 hours are not those of its journal"),
        (edited(blocks=lambda blocks: {}), "does not have all blocks"),
        (edited(blocks=lambda blocks: dict([*blocks.items()][:3])), "does not have all blocks"),
        (edited(hours=lambda hours: [hours]), r"cannot be read \(TypeError"),
        (edited(request=without("quality")), r"cannot be read \(KeyError: 'quality'"),
        (edited(request=without("significant_digits")), "KeyError: 'significant_digits'"),
        (edited(request=lambda asked: asked | {"statistic": "x"}), "must be 'median' or 'mean'"),
        (edited(request=lambda asked: asked | {"quality": "x"}), "quality is 'x'"),
        (lambda s: (s / NAME).write_text("[" * 100_000), "cannot be read"),
        (lambda s: ((s / NAME).unlink(), (s / NAME).mkdir()), "IsADirectoryError|PermissionError"),
    ],
)
def test_a_damaged_store_is_refused_and_left_as_it_is(
    begun: Path,
    observed: xr.Dataset,
    model: aqr.Reanalyser,
    damage: Callable[[Path], object],
    message: str,
) -> None:
    damage(begun)
    before = contents(begun)
    with pytest.raises(ProductError, match=f"({message}).* from a backup"):
        aqr.update(begun, observed, model=model)
    assert contents(begun) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize("kind", ["pipe", "bomb"])
@pytest.mark.parametrize("name", [".zmetadata", NAME, ".zattrs", "pm25/.zarray", "pm25/0.0.0"])
def test_pipes_and_bombs_in_a_store_are_refused_by_name_and_no_reader_waits(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, name: str, kind: str
) -> None:
    (begun / name).unlink()
    if kind == "pipe":
        os.mkfifo(begun / name)
    else:
        with (begun / name).open("wb") as file:
            file.truncate(2**40)  # no bytes on the disk
    with pytest.raises(ProductError, match=re.escape(name)):
        aqr.open_product(begun)
    with pytest.raises(ProductError, match="pm25"):
        aqr.update(begun, observed, model=model)
    assert doctor.examine([begun], self_test=False)[-1].remedy


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_a_store_of_two_formats_is_that_which_was_examined(begun: Path, tmp_path: Path) -> None:
    with aqr.open_product(begun) as product:
        expected = product.load()
    other = xr.Dataset({"pm25": ("time", [1.0])}, attrs={"title": "of a stranger"})
    other.to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=True)
    shutil.copy(tmp_path / "other.zarr" / "zarr.json", begun)
    with aqr.open_product(begun) as product:
        xr.testing.assert_identical(product.load(), expected)


def test_hours_without_an_estimate_and_files_of_others_are_no_damage(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    (begun / "pm25" / "Thumbs.db").touch()
    assert aqr.update(begun, observed, model=model).added == 4
    assert not (begun / "pm25" / "Thumbs.db").exists()
    with aqr.open_product(begun) as product:
        assert product.pm25[48:60].isnull().all()
    assert (begun / "pm25" / "4.0.0").exists()


def test_a_model_with_other_windows_is_refused_though_it_may_be_new(
    begun: Path, observed: xr.Dataset
) -> None:
    other = Configuration(
        bands=(0.4, 1.2), core_steps=8, margin_steps=4, encoder_width=8, decoder_width=8
    )
    shorter = aqr.Reanalyser(other, schedule=QUICK, progress=False).fit(complete(), "pm25")
    with pytest.raises(ProductError, match=r"blocks of 12 steps, .* have 8: give a model"):
        aqr.update(begun, observed, model=shorter, new_model=True)


def test_a_model_of_another_variable_is_refused(begun: Path) -> None:
    renamed = complete().rename(pm25="pm10")
    renamed.pm10.attrs |= {"standard_name": "mass_concentration_of_pm10_ambient_aerosol_in_air"}
    other = aqr.Reanalyser(SMALL, schedule=QUICK, progress=False).fit(renamed, "pm10")
    with pytest.raises(ProductError, match="has variable 'pm25'; now it is 'pm10'"):
        aqr.update(begun, renamed, model=other, new_model=True)


def test_files_of_days_within_the_store_are_refused(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    for folder in (begun, begun / "files"):
        with pytest.raises(ProductError, match=r"lies in the store .* a folder outside it"):
            aqr.update(begun, observed, model=model, netcdf=folder)
        assert not (begun / "files").exists()


def test_half_an_hour_later_is_said_in_minutes(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser
) -> None:
    later = observed.assign_coords(time=observed.time + np.timedelta64(30, "m"))
    later.time.attrs = observed.time.attrs
    with pytest.raises(ProductError, match="are 30 minutes after those of"):
        aqr.update(begun, later, model=model)


def test_a_duration_with_two_points_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"last is a duration such as .*; found '1\.2\.3d'"):
        hours_of("last", "1.2.3d")


@pytest.mark.parametrize(
    "span", ["99999999999w", "9" * 400 + "h", 1e300, "876601h", 0, -1.0, np.nan]
)
@pytest.mark.parametrize("name", ["last", "retention", "stale", "health_over"])
def test_a_duration_beyond_a_hundred_years_is_refused_by_name(
    tmp_path: Path, observed: xr.Dataset, name: str, span: str | float
) -> None:
    with pytest.raises(ValueError, match=rf"{name} is more than 0 h and at most 100 years"):
        aqr.update(tmp_path / "a.zarr", observed, model=tmp_path / "none", **{name: span})
    assert list(tmp_path.iterdir()) == []


def test_health_of_a_small_network_says_what_it_needs(
    begun: Path, observed: xr.Dataset, model: aqr.Reanalyser, caplog: pytest.LogCaptureFixture
) -> None:
    few = observed.isel(station=slice(3))
    assert aqr.update(begun, few, model=model, health_over="1d").health is None
    assert "needs 5 stations at different places that report in the last 24 hours" in caplog.text


def test_the_doctor_says_the_state_of_a_store_and_of_a_model(
    begun: Path, tmp_path: Path, model: aqr.Reanalyser
) -> None:
    def state(path: Path) -> doctor.Finding:
        return doctor.examine([path], self_test=False)[-1]

    runs = Journal.read(begun).runs
    whole = state(begun)
    assert whole.state.startswith("pm25 of ")
    assert whole.state.endswith(f"run {runs}, model {Journal.read(begun).model}")
    assert not whole.remedy
    begun.with_name(f".{begun.name}.partial-0123").mkdir()
    assert "1 leftovers of killed runs" in state(begun).state
    with FileLock(begun.with_name(f".{begun.name}.lock")):
        assert state(begun).state.endswith("a run is updating it now")
    model.save(tmp_path / "model")
    assert "learned until" in state(tmp_path / "model").state
    (begun / "pm25" / "0.0.0").unlink()
    assert "is damaged: 1 of" in state(begun).remedy
    assert "is no saved model" in state(tmp_path / "none").remedy
