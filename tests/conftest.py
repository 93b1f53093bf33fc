"""Fixtures that every test file shares."""

import os
from pathlib import Path

import numpy as np
import pytest

from aqreanalysis.network import StationNetwork


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data; skip with the reason where there is none, fail in CI."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("AQREANALYSIS_DATA_DIR", beside))
    if folder.is_dir():
        return folder
    if os.environ.get("CI"):
        pytest.fail(f"CI needs the real data, and {folder} is no folder")
    pytest.skip(f"no real data: set AQREANALYSIS_DATA_DIR (looked in {folder})")


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list to which each search for stations adds the number of its targets."""
    asked: list[int] = []
    search = StationNetwork.neighbours

    def counting(self, longitude, latitude, **options):
        asked.append(np.size(longitude))
        return search(self, longitude, latitude, **options)

    monkeypatch.setattr(StationNetwork, "neighbours", counting)
    return asked
