"""Files that an earlier version wrote are read by this one; `make_fixtures.py` remakes them."""

import json
import shutil
from pathlib import Path

import make_fixtures
import numpy as np
import pytest
import xarray as xr
from make_fixtures import FINISHED, FIXTURES, QUICK, long_product, observations, product_of

from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.neural.saved import _FOLDER as saved_model_folder
from aqreanalysis.methods.saved_model import SavedModelError
from aqreanalysis.operation import update
from aqreanalysis.outlook import Outlook
from aqreanalysis.outlook.saved import _FOLDER as saved_outlook_folder
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
    assert sum(sizes) < 400_000


def test_a_saved_model_computes_the_product_that_it_computed():
    product = product_of(Reanalyser.load(FIXTURES / "model"))

    with open_product(FIXTURES / "product.nc") as stored:
        np.testing.assert_allclose(product.pm25, stored.pm25, rtol=CLOSE)
        for name in ("pm25_uncertainty", "pm25_q05", "pm25_q95"):
            # Format 3 took the errors of several filled values as independent.
            np.testing.assert_allclose(product[name], stored[name], rtol=3 * CLOSE)
        np.testing.assert_array_equal(product.pm25_flag, stored.pm25_flag)


@pytest.mark.parametrize(
    ("name", "mean", "error"),
    [
        ("model-4", 40.7337, 21.3104),
        ("model-5", 40.7337, 21.3104),
        ("model-7", 40.6932, 21.5230),
        ("model-8", 39.5555, 22.1815),  # with a trend of altitude
    ],
)
def test_a_model_of_a_format_in_between_computes_what_it_computed(name, mean, error):
    product = product_of(Reanalyser.load(FIXTURES / name))

    # Means of the product as the version computed it that wrote the model.
    np.testing.assert_allclose(product.pm25.mean(), mean, rtol=CLOSE)
    np.testing.assert_allclose(product.pm25_uncertainty.mean(), error, rtol=3 * CLOSE)


def test_every_format_that_is_read_has_a_fixture():
    for folder, name, description in (
        (saved_model_folder, "reanalyser.json", "model"),
        (saved_outlook_folder, "outlook.json", "outlook"),
    ):
        written = {json.loads(path.read_text())["format"] for path in FIXTURES.rglob(name)}
        assert written == {folder.format, *folder.earlier}, description


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("outlook*")))
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


@pytest.mark.slow
@pytest.mark.parametrize("readable", [True, False])
def test_a_saved_model_that_is_old_is_fitted_anew_or_refused_and_left(
    tmp_path, monkeypatch, readable
):
    monkeypatch.setattr("aqreanalysis.methods.neural.reanalyser.Schedule", lambda: QUICK)
    folder = Path(shutil.copytree(FIXTURES / "model", tmp_path / "model"))
    whole = observations()
    days = [np.timedelta64(40 + 5 * n, "D") for n in range(3)]
    later = xr.concat([whole.assign_coords(time=whole.time + day) for day in days], "time")
    later.time.attrs = whole.time.attrs
    options = {"model": folder, "refit": "monthly", "grid": 0.5, "last": "40h"}
    if not readable:
        described = json.loads((folder / "reanalyser.json").read_text())
        (folder / "reanalyser.json").write_text(json.dumps(described | {"format": 1}))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(SavedModelError, match=r"format 1.*"):
            update(tmp_path / "a.zarr", later, **options)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        return
    result = update(tmp_path / "a.zarr", later, **options)
    assert result.refitted
    assert Reanalyser.load(folder).settings["weights_sha256"] == result.model


@pytest.mark.slow
def test_who_remakes_them_loses_none_of_an_earlier_format(tmp_path, monkeypatch):
    def earlier(fixtures):
        return {
            path.read_text()
            for name, kind in (("model", saved_model_folder), ("outlook", saved_outlook_folder))
            for path in fixtures.glob(f"{name}*/{kind.description}")
            if json.loads(path.read_text())["format"] != kind.format
        }

    shutil.copytree(FIXTURES, tmp_path / "fixtures")
    monkeypatch.setattr(make_fixtures, "FIXTURES", tmp_path / "fixtures")
    make_fixtures.main()
    assert earlier(tmp_path / "fixtures") == earlier(FIXTURES)
    for name, kind in (("model", saved_model_folder), ("outlook", saved_outlook_folder)):
        newest = json.loads((tmp_path / "fixtures" / name / kind.description).read_text())
        assert newest["format"] == kind.format
