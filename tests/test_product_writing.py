"""Writing products: block by block, the same for any chunking, all or nothing."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from product_cases import (
    assert_same_metadata,
    leftovers,
    make_observations,
    make_product,
)

import aqreanalysis.product.regions as regions_module
from aqreanalysis.grid import Grid
from aqreanalysis.product import (
    ProductError,
    build_product,
    open_product,
    write_netcdf,
    write_zarr,
)
from aqreanalysis.product.regions import file_chunks, regions


@pytest.mark.parametrize("chunks", [{"time": 1}, {"time": 11, "lat": 3, "lon": 20}, {"lat": 1}])
def test_any_chunking_writes_the_same(
    chunks: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_product(chunks={"time": 30})
    path = write_netcdf(whole, tmp_path / "whole.nc")
    monkeypatch.setattr(regions_module, "REGION_BYTES", 9 * 400)
    other = write_netcdf(make_product(chunks=chunks), tmp_path / "chunked.nc")
    loaded = write_netcdf(whole.compute(), tmp_path / "loaded.nc")
    for name in whole.data_vars:
        result = []
        for each in (path, other, loaded):
            with netCDF4.Dataset(each) as file:
                result.append((file[name][:].tobytes(), file[name].chunking()))
        assert result[0] == result[1] == result[2]


def test_each_block_is_computed_once_for_all_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[tuple] = []

    def block(values: np.ndarray, block_info: Any = None) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"])
        return values

    monkeypatch.setattr(regions_module, "REGION_BYTES", 9 * 3000)
    product = make_product(chunks={"time": 4, "lat": 5})
    shared = product["pm25"].data.map_blocks(block, dtype=np.float32, meta=np.empty((0, 0, 0)))
    dims = product["pm25"].dims
    product["pm25"], product["pm25_uncertainty"] = (dims, shared), (dims, shared / 2)
    product["pm25_flag"] = (dims, (shared > 50).astype(np.int8))
    write_netcdf(product, tmp_path / "product.nc")
    assert sorted(computed) == [(t, y, 0) for t in range(8) for y in range(2)]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(*[st.integers(1, 12)] * 3),
    chunks=st.tuples(*[st.integers(1, 5)] * 3),
    bytes_=st.integers(1, 2_000),
)
def test_regions_cover_every_value_once_and_end_with_blocks(
    sizes: tuple, chunks: tuple, bytes_: int
) -> None:
    dims = ("time", "lat", "lon")
    layers = xr.Dataset({"pm25": (dims, da.zeros(sizes, dtype="f4", chunks=chunks))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions_module, "REGION_BYTES", bytes_)
        cuts = regions(layers)
    count = np.zeros(sizes, int)
    for cut in cuts:
        count[tuple(cut[dim] for dim in dims)] += 1
        for dim, chunk, size in zip(dims, chunks, sizes, strict=True):
            assert cut[dim].start % chunk == 0
            assert cut[dim].stop % chunk == 0 or cut[dim].stop == size
    assert np.all(count == 1)


@settings(deadline=None)
@given(sizes=st.tuples(st.integers(1, 9000), st.integers(1, 4000), st.integers(1, 4000)))
def test_file_chunks_are_about_a_megabyte(sizes: tuple) -> None:
    chunks = file_chunks(dict(zip(("time", "lat", "lon"), sizes, strict=True)))
    assert np.prod(list(chunks.values())) <= regions_module.CHUNK_VALUES
    assert all(chunk <= size for chunk, size in zip(chunks.values(), sizes, strict=True))


def test_memory_stays_far_below_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    hours, side = 24, 300
    monkeypatch.setattr(regions_module, "REGION_BYTES", 2**20)
    observations = make_observations(hours=hours)
    grid = Grid((100.0, 103.0, 20.0, 23.0), 0.01)
    mean = da.ones((hours, side, side), dtype=np.float32, chunks=(1, side, side)) * np.float32(40)
    dims = ("time", "lat", "lon")
    field = xr.Dataset(
        {
            "pm25": (dims, mean),
            "pm25_uncertainty": (dims, mean / 7),
            "pm25_flag": (dims, (mean > 50).astype(np.int8)),
        },
        coords={"time": observations["time"], "lat": grid.y, "lon": grid.x},
    )
    product = build_product(
        field, variable="pm25", grid=grid, observations=observations, method="m", settings={}
    )
    write_netcdf(make_product(), tmp_path / "first.nc")  # imports take memory, too
    tracemalloc.start()
    try:
        # Without compression, which takes seconds and no memory that grows.
        write_netcdf(product, tmp_path / "product.nc", compress=False, progress=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 18.5 MiB of layers; regions of 0.8 MiB, of which two and some copies are alive.
    assert peak < 8 * 2**20 < product.nbytes / 2


# Failures


def failing(product: xr.Dataset, error: BaseException) -> xr.Dataset:
    """Return the product with a block near its end that fails."""

    def fail(values: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info[0]["chunk-location"][0] == 3:
            raise error
        return values

    lazy = product["pm25"].data.map_blocks(fail, dtype=np.float32, meta=np.empty((0, 0, 0)))
    return product.assign(pm25=(product["pm25"].dims, lazy))


@pytest.mark.parametrize("error", [KeyboardInterrupt("stopped"), ValueError("stopped")])
@pytest.mark.parametrize("earlier", [False, True])
def test_interruption_leaves_nothing_and_an_earlier_file_intact(
    error: BaseException, earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions_module, "REGION_BYTES", 1)
    path = tmp_path / "product.nc"
    if earlier:
        write_netcdf(make_product(), path)
    before = {name: (tmp_path / name).read_bytes() for name in leftovers(tmp_path)}
    with pytest.raises(type(error), match="stopped"):
        write_netcdf(failing(make_product(), error), path)
    assert {name: (tmp_path / name).read_bytes() for name in leftovers(tmp_path)} == before


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Make the system refuse files above 20 kB, as a full disk or a quota does."""
    resource = pytest.importorskip("resource", reason="Windows has no limits of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files_only")
def test_refused_bytes_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"cannot write .*product\.nc: .*nothing was left"):
        write_netcdf(make_product(), tmp_path / "product.nc", compress=False)
    assert leftovers(tmp_path) == []
    if sys.platform == "linux":  # which tells what is open
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        assert not [link for link in links if "product.nc" in str(link.readlink())]


def usage(free: int) -> Any:
    return lambda folder: type("Usage", (), {"free": free})()


def test_full_disk_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    product = make_product()  # 54 kB of layers, about 8 kB in the file
    monkeypatch.setattr("shutil.disk_usage", usage(3_000))
    with pytest.raises(ProductError, match="not enough space for the product"):
        write_netcdf(product, tmp_path / "product.nc")
    assert leftovers(tmp_path) == []
    monkeypatch.setattr("shutil.disk_usage", usage(9_000))
    write_netcdf(product, tmp_path / "product.nc")
    assert "the disk may become full" in caplog.text


def test_disk_that_fills_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ProductError, match="the disk is full"):
        write_netcdf(make_product(), tmp_path / "product.nc")
    assert leftovers(tmp_path) == []


def test_paths_that_cannot_be_written_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = make_product()
    with pytest.raises(ProductError, match=r"there is no folder .*missing. Create it"):
        write_netcdf(product, tmp_path / "missing" / "product.nc")
    with pytest.raises(ProductError, match=r"it is a folder. Name a file in it"):
        write_netcdf(product, tmp_path)
    write_netcdf(product, tmp_path / "product.nc")
    with pytest.raises(ProductError, match="exists, and overwrite is False"):
        write_netcdf(product, tmp_path / "product.nc", overwrite=False)
    with pytest.raises(ProductError, match="dimension_order must be one of"):
        write_netcdf(make_product("stations"), tmp_path / "p.nc", dimension_order="time")  # type: ignore[arg-type]
    monkeypatch.setattr("os.access", lambda *arguments: False)
    with pytest.raises(ProductError, match="no permission to write into"):
        write_netcdf(product, tmp_path / "product.nc")


@pytest.mark.parametrize("name", ["pm25.nc", "pm25.zarr"])
def test_a_product_goes_to_another_process_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = make_product()
    write = write_zarr if name.endswith(".zarr") else write_netcdf
    write(product, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_product(name) as lazy:
        packed = pickle.dumps(lazy)
    monkeypatch.chdir("/")
    with pickle.loads(packed) as unpacked, open_product(tmp_path / name) as expected:
        assert unpacked.pm25.chunks
        xr.testing.assert_identical(unpacked.load(), expected.load())


def test_a_product_can_replace_the_file_it_came_from(tmp_path: Path) -> None:
    product = make_product()
    path = write_netcdf(product, tmp_path / "product.nc")
    with open_product(path) as opened:
        write_netcdf(opened, path)
    with open_product(path) as reopened:
        assert_same_metadata(reopened, product)


def test_flags_that_were_averaged_are_refused(tmp_path: Path) -> None:
    product = make_product()
    product["pm25_flag"] = product["pm25_flag"] + 0.5
    with pytest.raises(ProductError, match=r"pm25_flag holds \d\.5.*drop them"):
        write_netcdf(product, tmp_path / "product.nc")
    assert leftovers(tmp_path) == []


def test_layers_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    product = make_product()
    product["note"] = "a text"
    with pytest.raises(ProductError, match=r"'note' is .*drop_vars\('note'\)"):
        write_netcdf(product, tmp_path / "product.nc")
