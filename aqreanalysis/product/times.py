"""The times of a product: averaging periods with bounds, and reference and lead times."""

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.observations import period_bounds
from aqreanalysis.product.variables import COORDINATE, EDGES, ProductError, coordinate

#: Names of the coordinates; in a set of outlooks they are its dimensions.
REFERENCE, LEAD = "forecast_reference_time", "lead_time"

_TIME_ATTRIBUTES = {
    "standard_name": "time",
    "long_name": "time (UTC)",
    "axis": "T",
    "units_metadata": "leap_seconds: unknown",
    **COORDINATE,
}
_REFERENCE_ATTRIBUTES = {
    "standard_name": "forecast_reference_time",
    "long_name": "beginning of the outlook (UTC)",
    "units_metadata": "leap_seconds: unknown",
    **COORDINATE,
}
_LEAD_ATTRIBUTES = {
    "standard_name": "forecast_period",
    "long_name": "time since the beginning of the outlook",
    "units": "hours",
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
        **_TIME_ATTRIBUTES,
        "bounds": f"{TIME}_bnds",
        "time_label": label,
        "step_hours": step,
    }
    labels = coordinate((TIME,), time.values.astype("datetime64[ns]"), attributes)
    labels.encoding |= {
        "units": _time_units(bounds),
        "calendar": "standard",
        "dtype": np.dtype("float64"),
    }
    return product.assign_coords(
        {TIME: labels, f"{TIME}_bnds": coordinate((TIME, EDGES), bounds, {})}
    )


def is_set(product: xr.Dataset) -> bool:
    """Return whether a product is a set of outlooks, of several reference times."""
    return REFERENCE in product.dims


def restore_leads(product: xr.Dataset) -> xr.Dataset:
    """Return a product with its reference and lead times described, if it has them."""
    if REFERENCE not in product.variables:
        return product
    reference = product[REFERENCE].variable
    issued = reference.values.astype("datetime64[ns]")
    restored = {REFERENCE: coordinate(reference.dims, issued, _REFERENCE_ATTRIBUTES)}
    if LEAD in product.variables:
        lead = product[LEAD].variable
        hours = lead.values / np.timedelta64(1, "h") if lead.dtype.kind == "m" else lead.values
        restored[LEAD] = coordinate(lead.dims, hours.astype(np.float64), _LEAD_ATTRIBUTES)
    return product.assign_coords(restored)


def restore_set(product: xr.Dataset) -> xr.Dataset:
    """Return a set of outlooks with its times described; ``time`` is on both of its dimensions.

    Raises
    ------
    ProductError
        If the lead times or the label of the averaging period are lost.
    """
    if LEAD not in product.dims:
        raise ProductError(
            f"a set of outlooks needs the dimensions {REFERENCE!r} and {LEAD!r}; found "
            f"{tuple(product.sizes)}"
        )
    product = restore_leads(product)
    issued, hours = product[REFERENCE].values, product[LEAD].values
    ahead = np.round(hours * 3.6e12).astype(np.int64).astype("timedelta64[ns]")
    valid = issued + ahead[:, None]
    stated = product[TIME].attrs if TIME in product.variables else {}
    period = {name: stated[name] for name in ("time_label", "step_hours") if name in stated}
    attributes = {k: v for k, v in _TIME_ATTRIBUTES.items() if k != "axis"}
    time = coordinate((LEAD, REFERENCE), valid, {**attributes, **period})
    time.encoding |= {"units": _time_units(valid.ravel()), "calendar": "standard"}
    return in_set_order(product.assign_coords({TIME: time}))


def in_set_order(product: xr.Dataset) -> xr.Dataset:
    """Return a set with the dimensions in the order that CF recommends."""
    if STATION in product.dims:
        return product.transpose(STATION, LEAD, ..., REFERENCE)
    return product.transpose(LEAD, REFERENCE, ...)


def _with_time_dimension(product: xr.Dataset) -> xr.Dataset:
    """Return the product of one selected hour with a time axis of one label."""
    dated = [name for name in product.data_vars if not str(name).startswith("distance_")]
    layers = {name: product[name].expand_dims(TIME) for name in dated}
    bounds = product.coords.get(f"{TIME}_bnds")
    rest = product.drop_vars([*dated, TIME, f"{TIME}_bnds"], errors="ignore").assign(layers)
    rest[TIME].attrs = dict(product[TIME].attrs)
    return rest if bounds is None else rest.assign_coords({bounds.name: bounds.expand_dims(TIME)})


def _averaging_periods(product: xr.Dataset) -> tuple[np.ndarray, str, float]:
    """Return bounds, label and step of the averaging periods, from the bounds or the label."""
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
    hours = np.diff(labels) / np.timedelta64(1, "h")
    if hours.size and hours.min() > step * (1 + 1e-6):
        raise ProductError(
            f"the labels of time are {hours.min():g} h apart, but step_hours is {step:g} "
            f"and time_bnds is lost, so an average cannot be told from a selection. {remedy}"
        )
    return labelled_bounds(labels, label, step), label, step


def _time_units(labels: np.ndarray) -> str:
    """Return hours, or minutes where float64 hours are not exact: at 10 minutes past, say."""
    nanoseconds = labels.astype("datetime64[ns]").astype(np.int64)
    exact = bool(np.all(nanoseconds % (15 * 60 * 10**9) == 0))
    return f"{'hours' if exact else 'minutes'} since 1970-01-01 00:00:00"
