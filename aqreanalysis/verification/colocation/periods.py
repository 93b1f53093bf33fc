"""The averaging periods of any product: which hours each of its time stamps stands for."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.verification.errors import VerificationError

TimeLabel = Literal["start", "end"]

#: Calendars whose dates are those of the clock, for all dates since 1582.
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


@dataclass(frozen=True)
class ProductPeriods:
    """The averaging periods of a product, in ascending order.

    Attributes
    ----------
    bounds : (p, 2) datetime64[s]
        Begin and end, UTC.
    position : (p,) int
        Where each period is on the time axis of the product.
    dimension : hashable or None
        That axis; None for a product of one hour without it.
    remarks : tuple of str
    """

    bounds: np.ndarray
    position: np.ndarray
    dimension: Hashable | None
    remarks: tuple[str, ...]


def dated_variable(product: xr.Dataset, dimension: Hashable | None) -> Hashable | None:
    """Return the variable that holds the dates along a dimension, or of no dimension; or None.

    Of several it is the one with the standard name "time", or else the one called like the
    dimension.

    Examples
    --------
    >>> stamps = np.array(["2020-01-01"], "datetime64[ns]")
    >>> dated_variable(xr.Dataset(coords={"t": stamps}), "t")
    't'
    """
    dims = () if dimension is None else (dimension,)
    found = [
        name
        for name, variable in product.variables.items()
        if variable.dims == dims and _is_dated(variable)
    ]
    standing = [
        name for name in found if product[name].attrs.get("standard_name") == "time"
    ]  # not "forecast_reference_time"
    preferred = [*standing, *(name for name in found if name in (dimension, "time")), *found]
    return preferred[0] if preferred else None


def at_one_level(product: xr.Dataset, name: str, horizontal: tuple[Hashable, ...]) -> xr.Dataset:
    """Return the product without the dimensions of size 1 that are neither place nor time.

    Raises
    ------
    VerificationError
        If the layer has a level, a member or the like to choose from, or no dates.

    Examples
    --------
    >>> stamps = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    >>> layer = (("time", "level", "cell"), np.zeros((2, 1, 3)))
    >>> product = xr.Dataset({"pm25": layer}, coords={"time": stamps})
    >>> at_one_level(product, "pm25", ("cell",)).pm25.dims
    ('time', 'cell')
    """
    others = [dim for dim in product[name].dims if dim not in horizontal]
    reduced = product.isel({dim: 0 for dim in others if product.sizes[dim] == 1})
    left = [dim for dim in others if product.sizes[dim] > 1]
    dated = [dim for dim in left if dated_variable(reduced, dim) is not None]
    unknown = [dim for dim in left if dim not in dated]
    if len(dated) + len(unknown) > 1:
        dim = (unknown or dated)[-1]
        raise VerificationError(
            f"{name!r} has {product.sizes[dim]} values along {dim!r}, of which one is to be "
            f"verified: select it with product.isel({dim}=...)"
        )
    if unknown or dated_variable(reduced, dated[0] if dated else None) is None:
        raise VerificationError(_no_dates(product, name, unknown))
    return reduced


def product_periods(
    product: xr.Dataset,
    name: str,
    horizontal: tuple[Hashable, ...],
    *,
    time_label: TimeLabel | None,
    step_hours: float,
) -> ProductPeriods:
    """Return the averaging period of each time stamp of a layer.

    They are told by the CF bounds of the time, or else by ``time_label`` and the attribute
    ``step_hours`` or the distance between stamps. A value at an instant ("time: point") stands
    for the hour that its stamp begins or ends.

    Parameters
    ----------
    product : Dataset
        Of `at_one_level`.
    name : str
        Its layer.
    horizontal : tuple of hashable
        The dimensions of its places; the other one is time.
    time_label : {"start", "end"} or None
        Which end of its period a stamp is, if the product does not say so itself.
    step_hours : float
        Step of the measurements, which is how long an instant may stand for.

    Raises
    ------
    VerificationError
        If the product does not say which hours a stamp stands for, contradicts ``time_label``,
        has a stamp twice or missing, or a calendar other than that of the clock.

    Examples
    --------
    >>> stamps = np.array(["2020-01-01T01", "2020-01-01T02"], "datetime64[ns]")
    >>> product = xr.Dataset({"pm25": ("time", [1.0, 2.0])}, coords={"time": stamps})
    >>> found = product_periods(product, "pm25", (), time_label="end", step_hours=1)
    >>> found.bounds.astype("datetime64[h]")[0]
    array(['2020-01-01T00', '2020-01-01T01'], dtype='datetime64[h]')
    """
    dimension = next((dim for dim in product[name].dims if dim not in horizontal), None)
    time = product[dated_variable(product, dimension)]
    stamps = np.atleast_1d(_stamps(time))
    position = np.argsort(stamps, kind="stable")
    stamps = stamps[position]
    _check_once(stamps, time.name)
    bounds = _bounds(product, time)
    instantaneous = _is_instantaneous(product[name], time)
    if bounds is not None and (bounds[:, 1] > bounds[:, 0]).all():
        bounds = bounds[position]
        _check_agreement(bounds, stamps, time_label)
        remarks = ["The product's values hold at an instant."] if instantaneous else []
        return ProductPeriods(bounds, position, dimension, tuple(remarks))
    instantaneous |= bounds is not None  # periods without length
    label = _label(time, time_label)
    step, remarks = _step(time, stamps, step_hours, instantaneous)
    length = np.timedelta64(round(step * 3600), "s")
    begin = stamps if label == "start" else stamps - length
    if instantaneous:
        remarks.append(
            f"The product's values hold at an instant: each stands for the mean of the {step:g} h "
            f"that its stamp {label}s."
        )
    periods = np.stack([begin, begin + length], axis=1)
    return ProductPeriods(periods, position, dimension, tuple(remarks))


def seconds(instants: np.ndarray) -> np.ndarray:
    """Return instants rounded to seconds; stamps in days as fractions are off by less.

    Examples
    --------
    >>> seconds(np.array(["2020-01-01T00:59:59.999712"], "datetime64[ns]"))
    array(['2020-01-01T01:00:00'], dtype='datetime64[s]')
    """
    half = np.timedelta64(500, "ms")
    return (instants.astype("datetime64[ns]") + half).astype("datetime64[s]")


def _is_dated(variable: xr.Variable) -> bool:
    """Return whether a variable holds dates, of any calendar."""
    if variable.dtype.kind == "M":
        return True
    if variable.dtype.kind != "O" or not variable.size:
        return False
    return hasattr(np.ravel(variable.values)[0], "calendar")  # a date of cftime


def _no_dates(product: xr.Dataset, name: str, unknown: list[Hashable]) -> str:
    """Return the message for a layer without dates."""
    if not unknown:
        return (
            f"{name!r} has no time: no dates on its dimensions {product[name].dims} and none "
            "beside them. Assign the coordinate 'time'"
        )
    dim = unknown[0]
    found = "no coordinate"
    if dim in product.variables:
        units = product[dim].attrs.get("units")
        found = f"{product[dim].dtype}" + (f" in {units!r}" if units else "")
    return (
        f"expected dates along {dim!r}, the dimension of {name!r} beside its place; found {found}. "
        f"Open the product with decode_times=True, or assign dates: "
        f"product.assign_coords({dim}=...)"
    )


def _stamps(time: xr.DataArray) -> np.ndarray:
    """Return time stamps in UTC, datetime64[s]."""
    if time.dtype.kind == "O":
        calendar = time.values.flat[0].calendar
        if calendar not in _CALENDARS:
            raise VerificationError(
                f"the product has the calendar {calendar!r}, and measurements have that of the "
                f"clock, 'standard'. Convert it with product.convert_calendar('standard', "
                f"dim={str(time.name)!r})"
            )
        texts = [stamp.isoformat() for stamp in time.values.flat]
        return seconds(np.array(texts, "datetime64[ms]").reshape(time.shape))
    zone = getattr(time.dtype, "tz", None)
    values = time.values if zone is None else pd.DatetimeIndex(time.to_index()).tz_convert(None)
    stamps = np.asarray(values, "datetime64[ns]")
    if np.isnat(stamps).any():
        raise VerificationError(
            f"{time.name!r} of the product holds {np.isnat(stamps).sum()} missing stamps; drop "
            f"them with product.isel({time.name}=product[{time.name!r}].notnull())"
        )
    return seconds(stamps)


def _check_once(stamps: np.ndarray, name: Hashable) -> None:
    """Refuse stamps that are there twice."""
    twice = stamps[1:][stamps[1:] == stamps[:-1]]
    if twice.size:
        raise VerificationError(
            f"the product has {np.datetime_as_string(twice[0], unit='m')} more than once "
            f"({twice.size} such stamps); choose with product.drop_duplicates({name!r})"
        )


def _bounds(product: xr.Dataset, time: xr.DataArray) -> np.ndarray | None:
    """Return begin and end of each period in the order of the file, if the product has them."""
    told = time.attrs.get("bounds", time.encoding.get("bounds"))
    for name in (told, f"{time.name}_bnds", f"{time.name}_bounds"):
        if name is None or name not in product.variables:
            continue
        found = product[name]
        if found.shape == (*time.shape, 2) and _is_dated(found.variable):
            return np.sort(_stamps(found).reshape(-1, 2), axis=1)
    return None


def _is_instantaneous(layer: xr.DataArray, time: xr.DataArray) -> bool:
    """Return whether the values hold at an instant, as CF or what was a GRIB file says it."""
    methods = str(layer.attrs.get("cell_methods", ""))
    names = {"time", *map(str, (time.name, *time.dims))}
    point = any(re.search(rf"\b{re.escape(name)}\s*:\s*point", methods) for name in names)
    return point or layer.attrs.get("GRIB_stepType") == "instant"


def _check_agreement(bounds: np.ndarray, stamps: np.ndarray, label: str | None) -> None:
    """Refuse a label that contradicts the bounds."""
    _check_label(label)
    if label is None or np.array_equal(bounds[:, 0 if label == "start" else 1], stamps):
        return
    first = [np.datetime_as_string(instant, unit="m") for instant in (stamps[0], *bounds[0])]
    raise VerificationError(
        f"time_label={label!r} contradicts the bounds of the product's time: {first[0]} stands for "
        f"{first[1]} to {first[2]}. Leave time_label out, or drop the bounds from the product"
    )


def _label(time: xr.DataArray, given: str | None) -> str:
    """Return which end of its period a stamp is."""
    _check_label(given)
    told = time.attrs.get("time_label")
    _check_label(told)
    if told is None and given is None:
        raise VerificationError(
            "the product does not say whether its time stamps begin or end their hour: it has "
            "neither bounds of the time nor the attribute time_label. Pass time_label='start' or "
            "time_label='end'; its documentation tells which"
        )
    if None not in (told, given) and told != given:
        raise VerificationError(
            f"time_label={given!r} contradicts the product, which says {told!r}. Leave time_label "
            "out, or correct product.time.attrs['time_label']"
        )
    return str(told if given is None else given)


def _check_label(label: str | None) -> None:
    """Refuse what is no label."""
    if label not in (None, "start", "end"):
        raise VerificationError(f"time_label must be 'start' or 'end'; found {label!r}")


def _step(
    time: xr.DataArray, stamps: np.ndarray, step_hours: float, instantaneous: bool
) -> tuple[float, list[str]]:
    """Return the hours that a stamp stands for, and what was assumed."""
    apart = np.diff(stamps).astype(np.int64) / 3600
    if instantaneous:
        return (float(min(apart.min(), step_hours)) if apart.size else step_hours), []
    if "step_hours" in time.attrs:
        return float(time.attrs["step_hours"]), []
    remedy = "Set product.time.attrs['step_hours'] to the hours of an averaging period"
    if not apart.size:
        raise VerificationError(f"the product does not say how long its only period is. {remedy}")
    step = float(apart.min())
    if not np.allclose(apart / step, np.rint(apart / step), atol=1e-6):
        raise VerificationError(
            f"the product's stamps are {step:g} to {apart.max():g} h apart, so its averaging "
            f"periods cannot be told. {remedy}, or give the time bounds"
        )
    if step == step_hours:
        return step, []
    return step, [
        f"The product does not say how long it averages: {step:g} h was taken, the time between "
        "its stamps."
    ]
