"""Fixtures that every test file shares."""

import os
from pathlib import Path

import pytest


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
