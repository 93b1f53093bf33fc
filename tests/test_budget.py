"""Blocks fit into the memory that is allowed; what cannot fit is refused with what would."""

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from test_reanalysis import fitted, observations, places

from aqreanalysis.fields.cache import Cache
from aqreanalysis.fields.memory import (
    VALUE_BYTES,
    Cost,
    Request,
    fitted_blocks,
)
from aqreanalysis.grid import Grid
from aqreanalysis.memory import memory_bytes
from aqreanalysis.methods.covariates import COVARIATE_BYTES
from aqreanalysis.methods.neural import reanalyser
from aqreanalysis.methods.neural.field import window_bytes
from aqreanalysis.reanalysis import reanalyse

GRID = Grid((0.0, 60.0, 0.0, 40.0), 0.1)


def request(**changes):
    """Return a month of 400 x 600 cells from 1500 stations."""
    numbers = {
        "cells": 240_000,
        "steps": 744,
        "stations": 1500,
        "measurements": 1500 * 744,
        "workers": 2,
    }
    cost = Cost(fixed_bytes=2**29, window_bytes=changes.pop("window_bytes", 2**22), alignment=36)
    return Request(**(numbers | changes), cost=cost)


def blocks(memory, chunks=None, **changes):
    """Return sizes of blocks."""
    return fitted_blocks(GRID, request(**changes), memory=memory, chunks=chunks)


def test_less_memory_makes_smaller_blocks_and_never_too_large_ones():
    values = []
    for memory in ("8GB", "1100MB", "990MB"):
        sizes = blocks(memory)
        values.append(np.prod(list(sizes.values())))
        windows = 2 * (2 + sizes["time"] / 36) * 2**22
        needed = values[-1] * 2 * VALUE_BYTES + request().fixed_bytes + windows
        assert needed <= memory_bytes(memory)
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


def test_an_impossible_request_is_refused_with_what_would_fit():
    with pytest.raises(ValueError, match="memory=1 MB does not hold this request; 240,000"):
        blocks("1MB")
    with pytest.raises(ValueError, match=r"Give memory='(\d+)MB' or more") as refused:
        blocks("1MB")
    enough = str(refused.value).split("memory='")[1].split("'")[0]
    assert blocks(enough)


def test_chunks_that_are_asked_for_count():
    with pytest.raises(ValueError, match="or smaller chunks"):
        blocks("2GB", {"time": 744, "lat": 400})
    assert blocks("2GB", {"time": 24})["time"] == 24


def test_each_worker_has_the_windows_of_its_time():
    with pytest.raises(ValueError, match="does not hold this request"):
        blocks("2GB", {"time": 24}, workers=64, window_bytes=2**25)  # at 31 times
    with pytest.raises(ValueError, match="does not hold this request"):
        blocks("2GB", {"time": 8784, "lat": 1}, steps=8784, window_bytes=2**25)
    assert blocks("2GB", {"time": 24}, window_bytes=2**25)


def test_stations_cost_what_belongs_to_each():
    few, many = (request(stations=n, measurements=0).fixed_bytes for n in (1000, 10_000))
    most = request(stations=19_000, measurements=0).fixed_bytes
    assert most - many == many - few


def test_covariates_cost_what_belongs_to_each_measurement():
    obs, model = observations(20), fitted(heads=True)
    with_three = obs.assign({name: obs.pm25 for name in ("no2", "o3", "so2")})
    costs = [model.cost(each, "pm25", GRID).fixed_bytes for each in (obs, with_three)]
    assert costs[1] - costs[0] == 3 * COVARIATE_BYTES * obs.pm25.size


@pytest.mark.parametrize("on_grid", [True, False])
def test_what_is_said_to_be_cached_is_cached(monkeypatch, on_grid):
    engines, said = [], []
    make, tell = reanalyser.NeuralField, reanalyser.geometry_bytes
    monkeypatch.setattr(
        reanalyser, "NeuralField", lambda *a, **o: engines.append(make(*a, **o)) or engines[-1]
    )
    monkeypatch.setattr(
        reanalyser, "geometry_bytes", lambda *a, **o: said.append(tell(*a, **o)) or said[-1]
    )
    obs = observations(150)
    grid = Grid((115.4, 116.6, 39.4, 40.6), 0.05)
    rng = np.random.default_rng(0)
    at = places(rng.uniform(115, 117, 300), rng.uniform(39, 41, 300))
    where = {"grid": grid} if on_grid else {"at": at}

    reanalyse(obs, method=fitted(heads=True), **where).compute(scheduler="synchronous")

    cached = engines[0].geometry.nbytes
    assert 0.7 * cached < said[0] < 1.4 * cached
    (windows,) = {window.nbytes for window in engines[0]._cached_windows._results.values()}
    assert windows == window_bytes(engines[0].model.configuration, 150)


def test_what_is_cached_of_earlier_requests_yields_where_memory_is_short():
    cache = Cache(10**8)

    def fill():
        for key in range(20):
            cache.get(key, lambda: np.zeros(125_000))

    fill()
    cost = Cost(fixed_bytes=2**29, cache=cache, cache_bytes=3 * 10**6)
    asked = request()._replace(cost=cost)
    fitted_blocks(GRID, asked, memory="8GB", chunks=None)
    assert cache.nbytes == 20 * 10**6
    with pytest.raises(ValueError, match="Give memory=") as refused:
        fitted_blocks(GRID, asked, memory="1MB", chunks=None)
    assert cache.nbytes == 20 * 10**6
    enough = str(refused.value).split("memory='")[1].split("'")[0]  # a part of 1 MB too much
    for _ in range(2):  # and stays so
        fitted_blocks(GRID, asked, memory=enough, chunks=None)
        assert cache.nbytes == 3 * 10**6
        fill()
    fitted_blocks(GRID, asked, memory="8GB", chunks=None)
    fill()
    assert cache.nbytes == 20 * 10**6


def test_what_a_model_has_cached_is_known_to_its_cost():
    obs, model = observations(150), fitted(heads=True)
    cost = model.cost(obs, "pm25", GRID)
    assert cost.cache is model._geometry
    assert 0 < cost.cache_bytes <= cost.fixed_bytes


def test_the_cost_does_not_depend_on_the_hours_of_the_product():
    week, year = request(steps=168, measurements=0), request(steps=8760, measurements=0)
    assert week.fixed_bytes == year.fixed_bytes


def test_the_cost_is_told(caplog):
    with caplog.at_level(logging.INFO, logger="aqreanalysis"):
        blocks("2GB")
    assert "240,000 cells x 744 hours from 1,500 stations: about" in caplog.text
    assert "of 2.0 GB allowed" in caplog.text


@pytest.mark.parametrize("memory", ["much", "-1GB", 0, float("nan"), "0MB"])
def test_what_is_no_memory_is_refused(memory):
    with pytest.raises(ValueError, match="memory must be as '2GB' or '500MB'"):
        memory_bytes(memory)


def test_by_default_half_of_what_is_free_is_taken():
    assert 1e6 < memory_bytes(None) < 1e15


GB = 10**9


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return a function that pretends a machine: its free memory, its limit, files of cgroups."""

    def pretend(available: float, limit: float, files: dict[str, str] | None = None) -> None:
        monkeypatch.setattr("aqreanalysis.memory._CGROUP", tmp_path)
        for name, text in (files or {}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        result = SimpleNamespace(available=int(available), total=int(limit))
        monkeypatch.setattr("psutil.virtual_memory", lambda: result)
        monkeypatch.setattr("distributed.system.memory_limit", lambda: int(limit))

    return pretend


def test_what_is_free_is_what_the_machine_has_available(machine):
    machine(available=4 * GB, limit=64 * GB)
    assert memory_bytes(None) == 2 * GB


def test_windows_which_has_no_sysconf_tells_what_is_free(machine, monkeypatch):
    monkeypatch.delattr("os.sysconf", raising=False)
    machine(available=6 * GB, limit=64 * GB)
    assert memory_bytes(None) == 3 * GB


@pytest.mark.parametrize(
    ("usage", "cache"),
    [
        ("memory.current", "inactive_file"),
        ("memory/memory.usage_in_bytes", "total_inactive_file"),
    ],
    ids=["cgroups v2", "cgroups v1"],
)
def test_a_container_counts_what_it_uses_but_for_files_in_memory(machine, usage, cache):
    stat = (Path(usage).parent / "memory.stat").as_posix()
    # Of 8 GB 5 are used, 3 of them by files that were read and can be dropped.
    files = {usage: f"{5 * GB}\n", stat: f"anon 7\n{cache} {3 * GB}\n"}
    machine(available=100 * GB, limit=8 * GB, files=files)
    assert memory_bytes(None) == 3 * GB


def test_a_limit_of_the_process_counts_what_the_process_uses(machine):
    used = psutil.Process().memory_info().rss
    machine(available=100 * GB, limit=8 * GB)
    assert memory_bytes(None) == pytest.approx((8 * GB - used) / 2, rel=0.02)


def test_a_full_container_has_next_to_nothing_free(machine):
    files = {"memory.current": str(8 * GB), "memory.stat": ""}
    machine(available=100 * GB, limit=8 * GB, files=files)
    assert memory_bytes(None) == 0
