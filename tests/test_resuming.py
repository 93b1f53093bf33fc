"""A run that was cut off goes on from the regions that it had finished."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from filelock import FileLock
from product_cases import make_product

import aqreanalysis.product.regions as regions_module
from aqreanalysis.cli.outputs import blocks_to_resume
from aqreanalysis.product import ProductError, interrupted_blocks, write_netcdf
from aqreanalysis.product.regions import regions

HOURS = 30


@pytest.fixture(autouse=True)
def small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the product into a region for each block."""
    monkeypatch.setattr(regions_module, "REGION_BYTES", 1)


class Counting:
    """Passes blocks on and counts them; fails at one of them while it is asked to."""

    def __init__(self, product: xr.Dataset, fails_at: int) -> None:
        self.computed, self.fails_at, self.failing = 0, fails_at, True
        lazy = product["pm25"].data.map_blocks(
            self._passed, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32), name="counted"
        )
        self.product = product.assign(pm25=(product["pm25"].dims, lazy))

    def _passed(self, values: np.ndarray, block_info: Any = None) -> np.ndarray:
        if self.failing and block_info[0]["chunk-location"][0] == self.fails_at:
            raise KeyboardInterrupt("cut off")
        self.computed += 1
        return values


def cut_off(path: Path, fails_at: int = 3) -> Counting:
    """Return a product of five blocks whose writing was interrupted at one of them."""
    counting = Counting(make_product(chunks={"time": HOURS // 5}), fails_at)
    with pytest.raises(KeyboardInterrupt, match="cut off"):
        write_netcdf(counting.product, path, progress=False, resume=True)
    return counting


def test_finished_regions_are_not_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "product.nc"
    counting = cut_off(path)
    assert not path.exists()
    assert counting.computed == 3
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 5
    assert [path.name for path in tmp_path.iterdir()] == ["product.nc"]


def test_the_file_is_that_of_a_run_without_interruption(tmp_path: Path) -> None:
    counting = cut_off(tmp_path / "resumed.nc")
    counting.failing = False
    write_netcdf(counting.product, tmp_path / "resumed.nc", progress=False, resume=True)
    write_netcdf(counting.product, tmp_path / "whole.nc", progress=False)
    assert (tmp_path / "resumed.nc").read_bytes() == (tmp_path / "whole.nc").read_bytes()


def test_another_product_begins_anew_and_the_interrupted_one_can_still_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "product.nc"
    counting = cut_off(path)
    other = counting.product.assign(pm25_uncertainty=counting.product["pm25_uncertainty"] * 2)
    with pytest.raises(KeyboardInterrupt):
        write_netcdf(other, path, progress=False, resume=True)
    assert "of other measurements, another model or request. This one begins anew" in caplog.text
    assert counting.computed == 3 + 3
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 3 + 3 + 2
    assert [path.name for path in tmp_path.iterdir()] == ["product.nc"]


def test_newer_measurements_are_no_obstacle_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "now.nc"
    cut_off(path)
    newer = make_product(chunks={"time": HOURS // 5})
    newer["pm25_uncertainty"] = newer["pm25_uncertainty"] * 2
    for _ in range(2):
        write_netcdf(newer, path, progress=False, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["now.nc"]


def test_a_run_without_resume_removes_what_an_interrupted_one_left(tmp_path: Path) -> None:
    path = tmp_path / "now.nc"
    cut_off(path)
    write_netcdf(make_product(), path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["now.nc"]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "product.nc"
    counting = cut_off(path)
    lock = FileLock(tmp_path / ".product.nc.finished" / "lock")
    with lock, pytest.raises(ProductError, match=r"another run is writing .*product\.nc.* Wait"):
        write_netcdf(counting.product, path, progress=False, resume=True)
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 5


def test_blocks_of_another_size_are_told_those_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "product.nc"
    cut_off(path)
    blocks = interrupted_blocks(path)
    assert blocks is not None
    assert blocks["time"] == HOURS // 5
    assert blocks_to_resume(path, at_stations=False) == blocks
    assert blocks_to_resume(path, at_stations=True) is None
    write_netcdf(make_product(chunks={"time": 10}), path, progress=False, resume=True)
    assert re.search(r"or had blocks of {'time': 6.*, now {'time': 10", caplog.text)
    assert interrupted_blocks(path) is None


@pytest.mark.parametrize("change", ["values", "region", "layer"])
def test_a_region_that_is_not_what_was_stored_is_computed_again(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "product.nc"
    counting = cut_off(path)
    stored = tmp_path / ".product.nc.finished" / "000002.npz"
    with np.load(stored) as opened:
        arrays = dict(opened)
    if change == "values":
        arrays["pm25"] = arrays["pm25"] + 1
    elif change == "layer":
        del arrays["pm25_uncertainty"]
    else:
        arrays = dict(np.load(stored.with_name("000001.npz")))
    np.savez(stored, **arrays)
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    write_netcdf(counting.product, tmp_path / "whole.nc", progress=False)
    assert path.read_bytes() == (tmp_path / "whole.nc").read_bytes()


def test_a_region_that_was_cut_off_while_it_was_kept_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "product.nc"
    counting = cut_off(path)
    folder = tmp_path / ".product.nc.finished"
    (folder / "000002.npz").rename(folder / "000002.npz.partial")
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 3 + 3


def test_without_resume_nothing_is_kept(tmp_path: Path) -> None:
    counting = Counting(make_product(chunks={"time": HOURS // 5}), 3)
    with pytest.raises(KeyboardInterrupt):
        write_netcdf(counting.product, tmp_path / "product.nc", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_journal_says_how_many_regions_there_are(tmp_path: Path) -> None:
    counting = cut_off(tmp_path / "product.nc")
    journal = json.loads((tmp_path / ".product.nc.finished" / "journal.json").read_text())
    layers = counting.product.drop_vars(list(counting.product.coords))
    assert journal["regions"] == len(regions(layers))


@pytest.mark.parametrize("product", [5, None, "", "../../x"])
@pytest.mark.parametrize("blocks", [7, [1], {"time": "x"}, {"time": 0}, {}])
def test_a_damaged_journal_is_no_obstacle(product: Any, blocks: Any, tmp_path: Path) -> None:
    path = tmp_path / "product.nc"
    counting = cut_off(path)
    journal = {"product": product, "regions": 5, "blocks": blocks}
    (tmp_path / ".product.nc.finished" / "journal.json").write_text(json.dumps(journal))
    assert interrupted_blocks(path) is None
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 5
    assert [path.name for path in tmp_path.iterdir()] == ["product.nc"]


def test_the_longest_name_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 252}.nc"
    counting = cut_off(path)
    counting.failing = False
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 5
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_a_run_that_finished_nothing_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "pm25.nc"
    cut_off(path, fails_at=0)
    other = make_product(chunks={"time": HOURS // 3})
    assert write_netcdf(other, path, progress=False, resume=True).is_file()


def test_a_damaged_region_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "pm25.nc"
    counting = cut_off(path)
    for stored in (tmp_path / ".pm25.nc.finished").glob("*.npz"):
        stored.write_bytes(stored.read_bytes()[:100])
    counting.failing, counting.computed = False, 0
    write_netcdf(counting.product, path, progress=False, resume=True)
    assert counting.computed == 5
