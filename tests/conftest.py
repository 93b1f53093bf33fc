"""Fixtures that every test file shares."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqreanalysis import cli
from aqreanalysis.cli import application
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


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Return what runs the command and gives its status, output and errors."""
    monkeypatch.setattr(application, "stop_cleanly", list)  # the signals of pytest stay its own

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aqreanalysis", *map(str, arguments)])
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a real browser; skip with the reason where there is none, fail in CI."""
    names = ("chromium", "chromium-browser", "google-chrome")
    result = os.environ.get("AQREANALYSIS_BROWSER") or next(
        filter(None, map(shutil.which, names)), None
    )
    if not result:
        reason = f"no browser: set AQREANALYSIS_BROWSER (looked for {', '.join(names)})"
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a browser: {reason}")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=result, args=["--no-sandbox"])
        yield launched
        launched.close()
