"""The times of a product: averaging periods with bounds, and reference and lead times."""

from datetime import datetime

import numpy as np
import xarray as xr

from aqreanalysis.conventions import LEAD, REFERENCE, STATION, TIME
from aqreanalysis.observations import period_bounds
from aqreanalysis.product.variables import COORDINATE, EDGES, ProductError, coordinate

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
    if LEAD in product.dims and product[TIME].dims == (LEAD,):  # one start of a set of outlooks
        product = product.swap_dims({LEAD: TIME})
    product = product if TIME in product.dims else _with_time_dimension(product)
    labels, bounds, label, step = _averaging_periods(product)
    long_name = product[TIME].attrs.get("long_name", "")
    attributes = {
        **_TIME_ATTRIBUTES,
        # Such as "time (UTC), days of Asia/Shanghai".
        **({"long_name": long_name} if "UTC" in long_name else {}),
        "bounds": f"{TIME}_bnds",
        "time_label": label,
        "step_hours": step,
    }
    time = coordinate((TIME,), labels, attributes)
    time.encoding |= {
        "units": _time_units(bounds),
        "calendar": "standard",
        "dtype": np.dtype("float64"),
    }
    return product.assign_coords(
        {TIME: time, f"{TIME}_bnds": coordinate((TIME, EDGES), bounds, {})}
    )


def is_set(product: xr.Dataset) -> bool:
    """Return whether a product is a set of outlooks, of several reference times."""
    return REFERENCE in product.dims


def periods_of(product: xr.Dataset) -> np.ndarray | None:
    """Return begin and end of all averaging periods, (..., 2) datetime64[ns], if they are known.

    Examples
    --------
    >>> periods_of(xr.Dataset()) is None
    True
    """
    if not is_set(product):
        bounds = product.coords.get(f"{TIME}_bnds")
        return None if bounds is None or not product.sizes.get(TIME) else bounds.values
    stated = product[TIME].attrs
    if not {"time_label", "step_hours"} <= set(stated):
        return None
    label, step = stated["time_label"], float(stated["step_hours"])
    return labelled_bounds(product[TIME].values.ravel(), label, step)


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

    A single lead time becomes a dimension.

    Raises
    ------
    ProductError
        If the lead times or the label of the averaging period are lost.
    """
    if LEAD not in product.variables:
        raise ProductError(
            f"a set of outlooks needs the dimensions {REFERENCE!r} and {LEAD!r}; found "
            f"{tuple(product.sizes)}. Select lead times as product.isel({LEAD}=[3]), and one "
            f"outlook as product.isel({REFERENCE}=0)"
        )
    if LEAD not in product.dims:
        layers = [name for name, layer in product.data_vars.items() if REFERENCE in layer.dims]
        leading = {name: product[name].expand_dims(LEAD) for name in layers}
        product = product.drop_vars([*layers, LEAD]).assign(leading)
    product = restore_leads(product)
    product[REFERENCE].attrs["axis"] = "T"  # the valid times have two dimensions
    issued, hours = product[REFERENCE].values, product[LEAD].values
    ahead = np.round(hours * 3.6e12).astype(np.int64).astype("timedelta64[ns]")
    valid = issued + ahead[:, None]
    stated = product[TIME].attrs if TIME in product.variables else {}
    period = {name: stated[name] for name in ("time_label", "step_hours") if name in stated}
    attributes = {k: v for k, v in _TIME_ATTRIBUTES.items() if k != "axis"}
    time = coordinate((LEAD, REFERENCE), valid, {**attributes, **period})
    time.encoding |= {"units": _time_units(valid.ravel()), "calendar": "standard"}
    return in_set_order(product.assign_coords({TIME: time}))


def in_time_order(product: xr.Dataset) -> xr.Dataset:
    """Return a product whose labels of time, or reference times, increase.

    Raises
    ------
    ProductError
        If one is there more than once.

    Examples
    --------
    >>> hours = np.array(["2024-01-01T01", "2024-01-01T00"], "datetime64[ns]")
    >>> in_time_order(xr.Dataset({"pm25": ("time", [2.0, 1.0])}, {"time": hours})).pm25.values
    array([1., 2.])
    """
    time = REFERENCE if is_set(product) else TIME
    if time not in product.indexes or product[time].dtype.kind != "M":
        return product
    if (np.diff(product[time].values) > np.timedelta64(0)).all():
        return product
    product = product.sortby(time)
    again = product.indexes[time].duplicated()
    if again.any():
        first = np.datetime_as_string(product[time].values[again][0], unit="m")
        raise ProductError(
            f"{time} has {first} more than once ({again.sum()} such labels): leave out the file "
            "that repeats them"
        )
    return product


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


def _averaging_periods(product: xr.Dataset) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Return labels, bounds, kind of label and step, from the bounds or else from the label.

    Labels within their periods, as CDO gives them, become the beginnings of these.
    """
    labels = product[TIME].values.astype("datetime64[ns]")
    bounds = _stated_periods(product, labels)
    if bounds is None:
        return labels, *_labelled_periods(product, labels)
    begin, end = bounds.T
    step = float(np.median((end - begin) / np.timedelta64(1, "h")))
    for label, edge in (("start", begin), ("end", end)):
        if np.array_equal(edge, labels):
            return labels, bounds, label, step
    if ((begin <= labels) & (labels <= end)).all():
        return begin, bounds, "start", step
    outside = int(np.argmax((labels < begin) | (labels > end)))
    period = " to ".join(np.datetime_as_string(bounds[outside], unit="m"))
    raise ProductError(
        f"the label {np.datetime_as_string(labels[outside], unit='m')} lies outside of its period, "
        f"{period}, as {TIME}_bnds has it. Labels are in UTC: take local ones back, or drop "
        f"{TIME}_bnds and state product.time.attrs['time_label'] and ['step_hours']."
    )


def _stated_periods(product: xr.Dataset, labels: np.ndarray) -> np.ndarray | None:
    """Return the bounds of time, (n, 2), if they are there and have a length."""
    bounds = product.coords.get(f"{TIME}_bnds")
    if bounds is None or bounds.shape != (labels.size, 2) or bounds.dtype.kind != "M":
        return None
    periods = np.sort(bounds.values.astype("datetime64[ns]"), axis=1)
    if (periods[:, 0] == periods[:, 1]).any():
        return None
    if any("cell_methods" in product[name].attrs for name in (TIME, bounds.name)):
        return _before_averaging(product, periods)
    return periods


def _before_averaging(product: xr.Dataset, averaged: np.ndarray) -> np.ndarray:
    """Return the periods of values of NCO, which averages the bounds of time like any variable.

    Raises
    ------
    ProductError
        If they do not follow from the coverage that the file states.
    """
    middle = averaged[:, 0] + (averaged[:, 1] - averaged[:, 0]) // 2
    first, last = (_instant(product.attrs.get(f"time_coverage_{end}")) for end in ("start", "end"))
    if first is not None and last is not None:
        edges = first + (last - first) * np.arange(middle.size + 1) // middle.size
        edges = edges.astype("datetime64[ns]")
        if np.array_equal(edges[:-1] + np.diff(edges) // 2, middle):
            return np.stack([edges[:-1], edges[1:]], axis=1)
    raise ProductError(
        f"{TIME}_bnds was averaged with the values (NCO), so the hours that they were made of are "
        "lost. Open the file with xarray, state both ends of each period, "
        f"product = product.assign_coords({TIME}_bnds=(('time', 'bnds'), [[begin, end]])), and "
        f"delete the attribute cell_methods of {TIME}."
    )


def _instant(text: object) -> np.datetime64 | None:
    """Return an attribute in ISO 8601 as UTC without a zone, if it is one."""
    try:
        return np.datetime64(datetime.fromisoformat(str(text)).replace(tzinfo=None), "ns")
    except ValueError:
        return None


def _labelled_periods(product: xr.Dataset, labels: np.ndarray) -> tuple[np.ndarray, str, float]:
    """Return bounds, kind of label and step of the averaging periods, by what a label means."""
    attributes = product[TIME].attrs
    remedy = (
        "Say what a label means: product.time.attrs.update(time_label='start' or 'end', "
        "step_hours=hours of an averaging period)."
    )
    if "time_label" not in attributes or "step_hours" not in attributes:
        raise ProductError(
            f"time has lost time_label and step_hours, and {TIME}_bnds has no periods. {remedy}"
        )
    label, step = attributes["time_label"], float(attributes["step_hours"])
    hours = np.diff(labels) / np.timedelta64(1, "h")
    months = _months(labels, label, step)
    if months is not None:
        return months, label, step
    if hours.size and hours.min() > step * (1 + 1e-6):
        raise ProductError(
            f"the labels of time are {hours.min():g} h apart, but step_hours is {step:g} "
            f"and time_bnds is lost, so an average cannot be told from a selection. {remedy}"
        )
    return labelled_bounds(labels, label, step), label, step


def _months(labels: np.ndarray, label: str, step_hours: float) -> np.ndarray | None:
    """Return the calendar months that labels are the edges of, if a step is about a month."""
    month = labels.astype("datetime64[M]")
    whole = labels.size > 0 and (month == labels).all()
    if not (whole and 28 * 24 <= step_hours <= 31 * 24 and label in ("start", "end")):
        return None
    begin = month if label == "start" else month - 1
    return np.stack([begin, begin + 1], axis=1).astype("datetime64[ns]")


def _time_units(labels: np.ndarray) -> str:
    """Return hours, or minutes where float64 hours are not exact: at 10 minutes past, say."""
    nanoseconds = labels.astype("datetime64[ns]").astype(np.int64)
    exact = bool(np.all(nanoseconds % (15 * 60 * 10**9) == 0))
    return f"{'hours' if exact else 'minutes'} since 1970-01-01 00:00:00"
