"""The averaging periods of a product: time, its bounds, and what a label means."""

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME
from aqreanalysis.observations import period_bounds
from aqreanalysis.product.variables import COORDINATE, EDGES, ProductError, coordinate

TIME_ATTRIBUTES = {
    "standard_name": "time",
    "long_name": "time (UTC)",
    "axis": "T",
    "units_metadata": "leap_seconds: unknown",
    **COORDINATE,
}


def labelled_bounds(labels: np.ndarray, time_label: str, step_hours: float) -> np.ndarray:
    """Return begin and end of each averaging period, (n, 2) datetime64[ns]; refuse other labels."""
    if time_label not in ("start", "end"):
        raise ProductError(
            f"time_label must be 'start' or 'end' of the averaging period; found {time_label!r}. "
            "Set product.time.attrs['time_label']."
        )
    return period_bounds(labels, time_label=time_label, step_hours=step_hours)


def restore_periods(product: xr.Dataset) -> xr.Dataset:
    """Return the product with ``time`` and ``time_bnds``; a single hour becomes a dimension."""
    product = product if TIME in product.dims else _with_time_dimension(product)
    time = product[TIME]
    bounds, label, step = _averaging_periods(product)
    attributes = {
        **TIME_ATTRIBUTES,
        "bounds": f"{TIME}_bnds",
        "time_label": label,
        "step_hours": step,
    }
    labels = coordinate((TIME,), time.values.astype("datetime64[ns]"), attributes)
    labels.encoding |= {
        "units": time_units(bounds),
        "calendar": "standard",
        "dtype": np.dtype("float64"),
    }
    return product.assign_coords(
        {TIME: labels, f"{TIME}_bnds": coordinate((TIME, EDGES), bounds, {})}
    )


def _with_time_dimension(product: xr.Dataset) -> xr.Dataset:
    """Return the product of one selected hour with a time axis of one label."""
    dated = [name for name in product.data_vars if not str(name).startswith("distance_")]
    layers = {name: product[name].expand_dims(TIME) for name in dated}
    bounds = product.coords.get(f"{TIME}_bnds")
    rest = product.drop_vars([*dated, TIME, f"{TIME}_bnds"], errors="ignore").assign(layers)
    rest[TIME].attrs = dict(product[TIME].attrs)
    return rest if bounds is None else rest.assign_coords({bounds.name: bounds.expand_dims(TIME)})


def _averaging_periods(product: xr.Dataset) -> tuple[np.ndarray, str, float]:
    """Return bounds, label and step of the averaging periods, from what the product still has."""
    labels = product[TIME].values.astype("datetime64[ns]")
    bounds = product.coords.get(f"{TIME}_bnds")
    if bounds is not None and bounds.shape == (labels.size, 2) and bounds.dtype.kind == "M":
        begin, end = bounds.values.astype("datetime64[ns]").T
        step = float(np.median((end - begin) / np.timedelta64(1, "h")))
        for label, edge in (("start", begin), ("end", end)):
            if np.array_equal(edge, labels):
                return np.stack([begin, end], axis=1), label, step
    attributes = product[TIME].attrs
    remedy = (
        "Say what a label means: product.time.attrs.update(time_label='start' or 'end', "
        "step_hours=hours of an averaging period)."
    )
    if "time_label" not in attributes or "step_hours" not in attributes:
        raise ProductError(f"time has lost time_label and step_hours, and time_bnds. {remedy}")
    label, step = attributes["time_label"], float(attributes["step_hours"])
    apart = np.diff(labels) / np.timedelta64(1, "h")
    if apart.size and apart.min() > step * (1 + 1e-6):
        raise ProductError(
            f"the labels of time are {apart.min():g} h apart, but step_hours is {step:g} "
            f"and time_bnds is lost, so an average cannot be told from a selection. {remedy}"
        )
    return labelled_bounds(labels, label, step), label, step


def time_units(labels: np.ndarray) -> str:
    """Return hours, or minutes where float64 hours are not exact: at 10 minutes past, say."""
    nanoseconds = labels.astype("datetime64[ns]").astype(np.int64)
    exact = bool(np.all(nanoseconds % (15 * 60 * 10**9) == 0))
    return f"{'hours' if exact else 'minutes'} since 1970-01-01 00:00:00"
