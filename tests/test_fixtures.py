"""Files that an earlier version wrote are read by this one; `make_fixtures.py` remakes them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from make_fixtures import FINISHED, FIXTURES, long_product, observations, product_of

from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.operation import update
from aqreanalysis.outlook import Outlook
from aqreanalysis.product import open_product, resuming, write_netcdf

#: Three digits are stored; the network computes in single precision.
CLOSE = 0.01


@pytest.fixture
def another_version(monkeypatch):
    """Make this another release of the package."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9.9")


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """Return the path of a product whose writing was interrupted by an earlier version."""
    monkeypatch.setattr("aqreanalysis.product.regions.REGION_BYTES", 1)
    shutil.copytree(FIXTURES / FINISHED, tmp_path / ".product.nc.finished")
    return tmp_path / "product.nc"


def test_they_are_few_and_small():
    sizes = [path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()]
    assert sizes
    assert sum(sizes) < 350_000


def test_a_saved_model_computes_the_product_that_it_computed():
    product = product_of(Reanalyser.load(FIXTURES / "model"))

    with open_product(FIXTURES / "product.nc") as stored:
        np.testing.assert_allclose(product.pm25, stored.pm25, rtol=CLOSE)
        for name in ("pm25_uncertainty", "pm25_q05", "pm25_q95"):
            # Format 3 took the errors of several filled values as independent.
            np.testing.assert_allclose(product[name], stored[name], rtol=3 * CLOSE)
        np.testing.assert_array_equal(product.pm25_flag, stored.pm25_flag)


@pytest.mark.parametrize("name", ["outlook", "outlook-3"])
def test_a_saved_outlook_predicts(name):
    outlook = Outlook.load(FIXTURES / name)

    ahead = outlook.predict(observations(), horizon="6h", quantiles=(0.05,))

    assert bool((ahead.pm25_q05 < ahead.pm25).all())
    assert outlook.between.variable == "pm25"


def test_a_product_is_opened_and_written_again(tmp_path):
    with open_product(FIXTURES / "product.nc") as stored:
        assert stored.pm25.dims == ("time", "lat", "lon")
        assert stored.pm25.attrs["units"] == "ug m-3"
        path = write_netcdf(stored, tmp_path / "again.nc", progress=False)
        with open_product(path) as again:
            xr.testing.assert_equal(again, stored)


def test_a_store_that_was_updated_is_updated_again(tmp_path):
    store = shutil.copytree(FIXTURES / "updated.zarr", tmp_path / "updated.zarr")
    model = Reanalyser.load(FIXTURES / "model")

    result = update(store, observations(), model=model)

    assert (result.added, result.too_late, result.incomplete) == (10, 0, 0)
    with open_product(store) as product:
        again = model.predict(observations(), Grid.around(observations().aqnet.network, 0.5))
        times = {"time": product.time}
        np.testing.assert_allclose(product.pm25, again.pm25.sel(times), rtol=CLOSE)


def test_a_zarr_store_holds_what_the_netcdf_file_holds():
    with (
        xr.open_dataset(FIXTURES / "product.zarr", engine="zarr") as store,
        open_product(FIXTURES / "product.nc") as stored,
    ):
        for name, layer in stored.data_vars.items():
            xr.testing.assert_equal(store[name].variable, layer.variable)


@pytest.mark.usefixtures("another_version")
def test_an_interrupted_run_of_an_earlier_version_goes_on(interrupted, tmp_path, caplog):
    with caplog.at_level("INFO", logger="aqreanalysis"):
        write_netcdf(long_product(), interrupted, progress=False, resume=True)

    assert "going on after 2 of 3 regions" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["product.nc"]
    whole = write_netcdf(long_product(), tmp_path / "whole.nc", progress=False)
    with open_product(interrupted) as opened, open_product(whole) as expected:
        xr.testing.assert_equal(opened, expected)


def test_an_interrupted_run_is_of_no_use_once_other_values_are_computed(
    interrupted, monkeypatch, caplog
):
    monkeypatch.setattr(resuming, "FORMAT", resuming.FORMAT + 1)

    write_netcdf(long_product(), interrupted, progress=False, resume=True)

    assert "This one begins anew" in caplog.text


def test_the_journal_of_a_run_tells_its_blocks():
    journal = json.loads((FIXTURES / FINISHED / "journal.json").read_text())
    assert journal["regions"] == 3
    assert journal["blocks"]["time"] == 10


def test_a_folder_of_a_model_holds_plain_files_alone():
    suffixes = {path.suffix for path in Path(FIXTURES, "model").iterdir()}
    assert suffixes == {".json", ".safetensors", ".nc"}
