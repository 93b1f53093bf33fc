"""Fixtures that every test file shares."""

import logging
import os
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a command under test does to the level of the package's log."""
    logger = logging.getLogger("aqreanalysis")
    level, root = logger.level, logging.getLogger().level
    yield
    logger.setLevel(level)
    logging.getLogger().setLevel(root)
