"""What all that is derived from products has in common: units and time."""

import numpy as np
import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, DRAW, MINIMUM_CAPTURE, TIME
from aqreanalysis.observations import step_hours


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
    """Return a layer whose hours and draws are in one block, its places in more if need be."""
    if not layer.chunks:
        return layer
    sizes = {dim: -1 if dim in (TIME, DRAW) else "auto" for dim in layer.dims}
    return layer.copy(data=layer.variable.chunk(sizes).data)  # coordinates need no blocks


def lagged(values: np.ndarray, size: int) -> list[np.ndarray]:
    """Return values as they were 0, 1, ... steps before, (..., t) each; NaN before the first."""
    padded = np.concatenate([np.full((*values.shape[:-1], size - 1), np.nan), values], axis=-1)
    steps = values.shape[-1]
    return [padded[..., size - 1 - lag : size - 1 - lag + steps] for lag in range(size)]


def running_means(values: np.ndarray, size: int) -> np.ndarray:
    """Return means of as many steps, the last included; NaN without three quarters of them."""
    values = values.astype(np.float64)
    if size == 1:
        return values
    total, count = np.zeros(values.shape), np.zeros(values.shape, np.int16)
    for before in lagged(values, size):
        present = np.isfinite(before)
        total[present] += before[present]
        count += present
    enough = count >= MINIMUM_CAPTURE * size
    return np.divide(total, count, out=np.full(values.shape, np.nan), where=enough)
