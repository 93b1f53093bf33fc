"""Layers that are derived from a product and join it."""

from datetime import UTC, datetime
from importlib.metadata import version

import xarray as xr


def with_layers(dataset: xr.Dataset, layers: dict[str, xr.DataArray], made: str) -> xr.Dataset:
    """Return a dataset with further layers, and in its history what was made."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} aqreanalysis {version('aqreanalysis')}: {made}"
    before = dataset.attrs.get("history")
    history = f"{before}\n{line}" if before else line
    return dataset.assign(layers).assign_attrs(history=history)
