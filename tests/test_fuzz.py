"""Some spoiled files: each is read right or refused with what to do."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks is not installed

if not hasattr(os, "fork"):
    pytest.skip("inputs are read in forks, which Windows has not", allow_module_level=True)

from benchmarks import fuzz


def outcomes():
    """Return what came of some spoiled files."""
    return list(fuzz.run(30, seed=7))


@pytest.mark.filterwarnings("ignore")
def test_spoiled_files_are_read_right_or_refused_with_a_remedy():
    # Of a new process, since what one has used before counts in the memory of its forks.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        results = pool.submit(outcomes).result()
    bad = [result for result in results if result.outcome not in ("right", "refused")]
    assert [f"{r.case.number} {r.case.what}: {r.outcome} {r.words[:300]}" for r in bad] == []
    assert {result.outcome for result in results} == {"right", "refused"}
    assert len(results) > 24
