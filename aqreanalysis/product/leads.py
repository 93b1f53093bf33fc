"""The two times of an outlook: when it was issued, and how far ahead each value lies."""

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.product.periods import TIME_ATTRIBUTES, time_units
from aqreanalysis.product.variables import COORDINATE, ProductError, coordinate

#: Names of the coordinates; in a set of outlooks they are its dimensions.
REFERENCE, LEAD = "forecast_reference_time", "lead_time"

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


def is_set(product: xr.Dataset) -> bool:
    """Return whether a product is a set of outlooks, of several reference times."""
    return REFERENCE in product.dims


def restore_leads(product: xr.Dataset) -> xr.Dataset:
    """Return a product with its reference and lead times described, if it has them."""
    if REFERENCE not in product.variables:
        return product
    issued = product[REFERENCE].values.astype("datetime64[ns]")
    product = product.assign_coords(
        {REFERENCE: coordinate(_dims(product[REFERENCE]), issued, _REFERENCE_ATTRIBUTES)}
    )
    if LEAD not in product.variables:
        return product
    lead = product[LEAD]
    return product.assign_coords(
        {LEAD: coordinate(_dims(lead), _hours(lead.values), _LEAD_ATTRIBUTES)}
    )


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
    told = product[TIME].attrs if TIME in product.variables else {}
    kept = {name: told[name] for name in ("time_label", "step_hours") if name in told}
    attributes = {k: v for k, v in TIME_ATTRIBUTES.items() if k != "axis"}
    time = coordinate((LEAD, REFERENCE), valid, {**attributes, **kept})
    time.encoding |= {"units": time_units(valid.ravel()), "calendar": "standard"}
    return in_set_order(product.assign_coords({TIME: time}))


def in_set_order(product: xr.Dataset) -> xr.Dataset:
    """Return a set with the dimensions in the order that CF recommends."""
    if STATION in product.dims:
        return product.transpose(STATION, LEAD, ..., REFERENCE)
    return product.transpose(LEAD, REFERENCE, ...)


def _dims(values: xr.DataArray) -> tuple[str, ...]:
    """Return the names of the dimensions."""
    return tuple(map(str, values.dims))


def _hours(values: np.ndarray) -> np.ndarray:
    """Return lead times as float64 hours."""
    if values.dtype.kind == "m":
        return values / np.timedelta64(1, "h")
    return values.astype(np.float64)
