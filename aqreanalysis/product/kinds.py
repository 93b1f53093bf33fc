"""What the variables of a product must be: numbers on their dimensions, dates, and positions."""

import math

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, TIME
from aqreanalysis.product.coordinates import HORIZONTAL, Layout
from aqreanalysis.product.statistics import AVERAGING
from aqreanalysis.product.times import LEAD, is_set
from aqreanalysis.product.variables import ProductError

#: Kinds of NumPy's numbers.
NUMBERS = "fiu"
#: Attributes that are numbers, hours each.
_HOURS = ("step_hours", AVERAGING)


def check_kinds(product: xr.Dataset, layout: Layout) -> None:
    """Refuse a product whose axes, times, positions or layers are not what their names say.

    Parameters
    ----------
    product : Dataset
    layout : Layout

    Raises
    ------
    ProductError
        All faults at once.

    Examples
    --------
    >>> axes = {"lat": ["50 N"], "lon": [10.0]}
    >>> words = xr.Dataset({"pm25": (("lat", "lon"), [["high"]])}, coords=axes)
    >>> check_kinds(words, "geographic")
    Traceback (most recent call last):
        ...
    aqreanalysis.product.variables.ProductError: lat holds texts, not numbers; pm25 holds texts, ...
    """
    faults = [*_axis_faults(product, layout), *_time_faults(product)]
    for name, layer in product.data_vars.items():
        if str(name).split("_")[0] in POLLUTANTS and layer.dtype.kind not in NUMBERS + "b":
            faults.append(f"{name} holds {_what(layer.dtype)}, not numbers")
    for name, variable in product.variables.items():
        for key in _HOURS:
            if key in variable.attrs and not _is_number(variable.attrs[key]):
                value = str(variable.attrs[key])[:40]
                faults.append(f"the attribute {key} of {name} is hours, a number; found {value!r}")
    if faults:
        raise ProductError(f"{'; '.join(faults)}. Correct these, or ask who made the product.")


def _axis_faults(product: xr.Dataset, layout: Layout) -> list[str]:
    """Return what is wrong with the axes or, of stations and zones, with their positions."""
    places = layout in ("stations", "zones")
    names = ("latitude", "longitude") if places else HORIZONTAL[layout]
    faults = []
    for name, dim in zip(names, HORIZONTAL[layout] * (2 if places else 1), strict=True):
        if name not in product.variables:
            if layout == "geographic" and product.sizes[name] > 1:
                faults.append(f"{name} is lost, the positions of {product.sizes[name]} cells")
            continue
        axis = product[name]
        if axis.dims != (dim,):
            faults.append(f"{name} lies on {dim!r} alone; found dimensions {axis.dims}")
        elif axis.dtype.kind not in NUMBERS:
            faults.append(f"{name} holds {_what(axis.dtype)}, not numbers")
        elif not np.isfinite(axis).all():
            faults.append(f"{name} has missing values")
        elif name in ("lat", "latitude") and (farthest := float(abs(axis).max())) > 90:
            faults.append(f"latitudes lie within -90 and 90; {name} has {farthest:g}")
    return faults


def _time_faults(product: xr.Dataset) -> list[str]:
    """Return what is wrong with the labels of time."""
    if is_set(product):  # made anew of its reference and lead times
        return []
    if TIME not in product.variables:
        return [f"the labels of {TIME!r} are lost"] if TIME in product.dims else []
    time = product[TIME]
    if time.dtype.kind != "M":
        return [
            f"time holds {_what(time.dtype)}, not dates: its units are lost, "
            "'hours since 2014-05-01' or alike"
        ]
    if np.isnat(time).any():
        return ["time has missing labels"]
    if (
        time.ndim == 1
        and time.dims != (TIME,)
        and TIME not in product.dims
        and time.dims != (LEAD,)
    ):
        return [f"time lies on the dimension {time.dims[0]!r}: call that 'time'"]
    return []


def _what(dtype: np.dtype) -> str:
    """Return what values of a type are, in a word."""
    if dtype.kind in NUMBERS:
        return "numbers"
    known = {"M": "dates", "m": "durations", "b": "true and false"}
    return known.get(dtype.kind, "texts")


def _is_number(value: object) -> bool:
    """Return whether an attribute is a finite number."""
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
