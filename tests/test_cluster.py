"""The same product on a cluster of processes, also when a worker dies, and in a Zarr store."""

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from dask.distributed import Client, LocalCluster
from test_reanalysis import GRID, fitted, observations

from aqreanalysis.methods.neural.field import NeuralField
from aqreanalysis.product import ProductError, build_product, open_product, write_netcdf, write_zarr
from aqreanalysis.product.regions import regions
from aqreanalysis.reanalysis import reanalyse

CHUNKS = {"time": 24, "lat": 2}


@pytest.fixture(scope="module")
def product() -> xr.Dataset:
    """Return a lazy product of the network, in many blocks."""
    return reanalyse(
        observations(), grid=GRID, method=fitted(heads=True), chunks=CHUNKS, quantiles=(0.9,)
    )


@pytest.fixture(scope="module")
def expected(product: xr.Dataset) -> xr.Dataset:
    """Return the product as computed here, block after block."""
    return product.compute(scheduler="synchronous")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Return the client of two workers, each a process."""
    with (
        dask.config.set({"distributed.worker.memory.terminate": False}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as workers,
        Client(workers) as client,
    ):
        yield client


def test_a_field_is_one_key_of_the_graph(product: xr.Dataset) -> None:
    (optimised,) = dask.optimize(product["pm25"].data)
    tasks = dict(optimised.__dask_graph__())
    sizes = sorted(len(pickle.dumps(task)) for task in tasks.values())
    assert sizes[-1] > 10_000  # the network, its weights and the stations' series
    assert sum(sizes[:-1]) / (len(sizes) - 1) < 1500


def test_a_store_holds_what_the_file_holds(product: xr.Dataset, tmp_path: Path) -> None:
    write_zarr(product, tmp_path / "pm25.zarr")
    write_netcdf(product, tmp_path / "pm25.nc", progress=False)
    with xr.open_zarr(tmp_path / "pm25.zarr") as stored, open_product(tmp_path / "pm25.nc") as file:
        assert set(stored.coords) >= {"time", "lat", "lon", "crs", "time_bnds"}
        for name in file.data_vars:
            np.testing.assert_array_equal(stored[name], file[name])
            assert stored[name].attrs["long_name"] == file[name].attrs["long_name"]
            assert stored[name].attrs.get("units") == file[name].attrs.get("units")
        np.testing.assert_array_equal(stored["time"], file["time"])
    write_zarr(product, tmp_path / "pm25.zarr")  # an earlier store is replaced
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pm25.nc", "pm25.zarr"]


def test_stations_can_be_stored(tmp_path: Path) -> None:
    obs = observations()
    field = fitted().predict(obs, obs[["station", "longitude", "latitude"]])
    made = build_product(
        field, variable="pm25", grid=None, observations=obs, method="m", settings={}
    )
    write_zarr(made, tmp_path / "stations.zarr", significant_digits=None)
    with xr.open_zarr(tmp_path / "stations.zarr") as stored:
        np.testing.assert_array_equal(stored["pm25"], field["pm25"])
        assert stored["station_id"].values.tolist() == obs["station"].values.tolist()


def test_nothing_but_a_store_is_replaced(product: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "pm25.zarr").mkdir()
    (tmp_path / "pm25.zarr" / ".zgroup").touch()
    with pytest.raises(ProductError, match="exists and is no Zarr store"):
        write_zarr(product, tmp_path / "letters")
    with pytest.raises(ProductError, match="overwrite is False"):
        write_zarr(product, tmp_path / "pm25.zarr", overwrite=False)


@pytest.mark.slow
def test_a_cluster_gives_the_same_also_when_a_worker_dies(
    product: xr.Dataset, expected: xr.Dataset, cluster: Client, tmp_path: Path
) -> None:
    layer = product["pm25"]
    meta = np.empty((0, 0, 0), np.float32)
    lazy = layer.data.map_blocks(_once_deadly, str(tmp_path / "died"), meta=meta)

    computed = product.assign(pm25=(layer.dims, lazy)).compute()

    assert (tmp_path / "died").exists()
    for name in expected.data_vars:
        np.testing.assert_array_equal(computed[name], expected[name])


@pytest.mark.slow
def test_workers_write_the_chunks_of_a_store(
    product: xr.Dataset, expected: xr.Dataset, cluster: Client, tmp_path: Path
) -> None:
    write_zarr(product, tmp_path / "pm25.zarr", significant_digits=None)
    with xr.open_zarr(tmp_path / "pm25.zarr") as stored:
        np.testing.assert_array_equal(stored["pm25"], expected["pm25"])


@pytest.mark.slow
def test_the_engine_is_with_the_workers_while_a_file_is_written_region_by_region(
    expected: xr.Dataset,
    cluster: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pickled = []
    state = NeuralField.__getstate__
    monkeypatch.setattr(
        NeuralField, "__getstate__", lambda self: (pickled.append(1), state(self))[1]
    )
    monkeypatch.setattr("aqreanalysis.product.regions.REGION_BYTES", 1)
    product = reanalyse(
        observations(), grid=GRID, method=fitted(heads=True), chunks=CHUNKS, quantiles=(0.9,)
    )

    write_netcdf(product, tmp_path / "pm25.nc", significant_digits=None, progress=False)

    assert len(regions(product.drop_vars(list(product.coords)))) > 3
    assert len(pickled) <= 2  # for the cluster, however many regions there are
    with open_product(tmp_path / "pm25.nc") as file:
        for name in ("pm25", "pm25_flag", "distance_to_nearest_station"):
            np.testing.assert_array_equal(file[name], expected[name])


def _once_deadly(values: np.ndarray, note: str) -> np.ndarray:
    """Return the values; the first process that comes here dies."""
    try:
        os.close(os.open(note, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return values
    os.kill(os.getpid(), signal.SIGKILL)
    return values
