"""A small network, its model and a store, for the tests of hourly operation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import aqreanalysis as aqr
from aqreanalysis.methods.neural.configuration import Configuration, Schedule

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
