"""What products and what is derived from them have in common: units, time, history."""

from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, TIME
from aqreanalysis.observations import step_hours


def with_layers(dataset: xr.Dataset, layers: dict[str, xr.DataArray], made: str) -> xr.Dataset:
    """Return a dataset with further layers, and in its history what was made."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} aqreanalysis {version('aqreanalysis')}: {made}"
    before = dataset.attrs.get("history")
    history = f"{before}\n{line}" if before else line
    return dataset.assign(layers).assign_attrs(history=history)


def check_units(layer: xr.DataArray) -> None:
    """Refuse a concentration that states other units than ug m-3."""
    units = layer.attrs.get("units", CONCENTRATION_UNITS)
    if units != CONCENTRATION_UNITS:
        raise ValueError(
            f"{layer.name} must be in {CONCENTRATION_UNITS!r}; its units are {units!r}. Convert "
            "it and its standard error"
        )


def usual_step_hours(dataset: xr.Dataset) -> float:
    """Return the step of time as it is stated, or else the smallest between two stamps, hours."""
    time = dataset[TIME]
    stated = time.attrs.get("step_hours")
    if stated is not None:
        return float(stated)
    apart = np.diff(time.values.astype("datetime64[ns]")) / np.timedelta64(1, "h")
    return float(apart.min()) if apart.size and apart.min() > 0 else step_hours(dataset)


def with_all_hours(layer: xr.DataArray) -> xr.DataArray:
    """Return a layer whose hours are in one block, and whose places are in more if need be."""
    if not layer.chunks:
        return layer
    return layer.chunk({dim: -1 if dim == TIME else "auto" for dim in layer.dims})
