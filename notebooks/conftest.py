"""Notebooks of real data are skipped, with the reason, where there are none."""

import os

import pytest

#: Notebooks, each with the public sets that it reads.
NEEDS_DATA = {"02_beijing.ipynb": "beijing36", "03_united_states.ipynb": "usepa_2011"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip notebooks whose data are not on this machine; in CI they fail."""
    if os.environ.get("CI") or os.environ.get("AQREANALYSIS_DATA_DIR"):
        return
    for item in items:
        if name := NEEDS_DATA.get(item.path.name):
            reason = f"needs {name}: set AQREANALYSIS_DATA_DIR to the folder of public data"
            item.add_marker(pytest.mark.skip(reason=reason))
