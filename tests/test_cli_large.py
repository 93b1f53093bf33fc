"""What the command offers for requests that are large: memory, clusters, resuming, Zarr."""

import numpy as np
import pytest
import xarray as xr
from dask.distributed import LocalCluster
from test_cli import assert_refused, folder, reanalyse  # noqa: F401

from aqreanalysis.product import open_product

GRID = ("--grid", "0.1", "--region", 116, 117, 39, 40)


def test_memory_that_is_too_small_is_refused_with_what_would_do(folder, run):  # noqa: F811
    answer = reanalyse(run, *GRID, "--memory", "10kB")
    assert_refused(answer, folder, "does not hold this request; 100 cells x 6 hours")
    assert reanalyse(run, *GRID, "--memory", "500MB")[0] == 0


def test_an_interrupted_run_is_resumed(folder, run, monkeypatch):  # noqa: F811
    from aqreanalysis.product import resuming

    monkeypatch.setattr("aqreanalysis.product.regions.REGION_BYTES", 1)
    reanalyse(run, *GRID)
    expected = xr.load_dataset("out.nc")
    (folder / "out.nc").unlink()
    remove = resuming.FinishedRegions.remove

    def interrupted(finished):
        raise RuntimeError("cut off")

    monkeypatch.setattr(resuming.FinishedRegions, "remove", interrupted)
    assert reanalyse(run, *GRID, "--resume")[0] == 1
    monkeypatch.setattr(resuming.FinishedRegions, "remove", remove)
    assert (folder / ".out.nc.finished").is_dir()
    # With less memory, the blocks are those of the first run nevertheless.
    monkeypatch.setattr("aqreanalysis.fields.memory.BLOCK_VALUES", 100)
    status, _, said = reanalyse(run, *GRID, "--resume", "--seed", 1)
    assert (status, "begins anew" in said) == (0, False)
    with open_product("out.nc") as product:
        np.testing.assert_array_equal(product.pm25, expected.pm25)
    assert not (folder / ".out.nc.finished").exists()


def test_blocks_are_computed_on_a_cluster_and_stored_as_zarr(folder, run):  # noqa: F811
    reanalyse(run, *GRID)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        status, out, _ = run(
            "reanalyse", "obs.csv", "-o", "out.zarr", "--method", "idw", *GRID,
            "--scheduler", cluster.scheduler_address,
        )  # fmt: skip
    assert (status, out) == (0, "out.zarr: 6 time, 10 lat, 10 lon\n")
    with xr.open_zarr("out.zarr") as stored, open_product("out.nc") as product:
        np.testing.assert_array_equal(stored.pm25, product.pm25)


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("out.zarr", ("--resume",), "--resume is for NetCDF"),
        ("nowhere/out.zarr", (), "there is no folder"),
    ],
)
def test_a_store_that_cannot_be_written_is_refused(folder, run, output, options, words):  # noqa: F811
    answer = run("reanalyse", "obs.csv", "-o", output, "--method", "idw", *options)
    assert_refused(answer, folder, words)
