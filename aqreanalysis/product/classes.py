"""Layers of classes, such as flags: integers, of which one stands for a missing class."""

from functools import reduce
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME, missing_class
from aqreanalysis.foreign.files import in_blocks
from aqreanalysis.product.variables import ProductError


def are_classes(attributes: dict[Any, Any]) -> bool:
    """Return whether a layer of these attributes holds CF flags.

    Examples
    --------
    >>> are_classes({"flag_meanings": "good bad"}), are_classes({"units": "ug m-3"})
    (True, False)
    """
    return "flag_meanings" in attributes


def class_type(attributes: dict[Any, Any]) -> np.dtype:
    """Return the type of integer in which a layer of classes is stored, by its flags."""
    stated = np.atleast_1d(attributes.get("flag_values", attributes.get("flag_masks", 0)))
    kinds = [np.dtype(kind) for kind in (np.int8, np.int16, np.int32)]
    if stated.dtype in kinds:
        return stated.dtype
    # Attributes of Zarr are lists.
    return next(kind for kind in kinds if stated.max(initial=0) < missing_class(kind))


def as_classes(layer: xr.Variable, name: str) -> xr.Variable:
    """Return a layer of classes as integers: selections and files give it as numbers with NaN.

    A lazy layer stays lazy; what is no class is an error when it is computed.

    Examples
    --------
    >>> flags = xr.Variable("time", [0.0, np.nan], {"flag_values": np.array([0, 3], np.int8)})
    >>> as_classes(flags, "pm25_flag").values
    array([  0, 127], dtype=int8)
    """
    if layer.dtype.kind != "f":
        return layer
    lazy = in_blocks(layer, TIME)
    if lazy.chunks is None:
        return layer.copy(data=_whole(layer.values, name, layer.attrs))
    kind = class_type(layer.attrs)
    return layer.copy(data=lazy.data.map_blocks(_whole, name, layer.attrs, dtype=kind))


def _whole(values: np.ndarray, name: str, attributes: dict[Any, Any]) -> np.ndarray:
    """Return classes as integers, of which the largest is that of missing ones."""
    kind = class_type(attributes)
    filled = np.where(np.isnan(values), missing_class(kind), values)
    check_classes(filled, name, attributes)
    return filled.astype(kind)


def check_classes(values: np.ndarray, name: str, attributes: dict[Any, Any]) -> None:
    """Refuse values that are no classes, as averages of them are.

    Raises
    ------
    ProductError
        The first such value, and what can be done.
    """
    missing = missing_class(class_type(attributes))
    stated = np.atleast_1d(attributes.get("flag_values", []))
    # Comparing with each class takes a tenth of the time of `numpy.isin`.
    classes = (values == one for one in (*stated, missing))
    valid = reduce(np.logical_or, classes) if stated.size else values == np.rint(values)
    if not valid.all():
        expected = f"none of {', '.join(map(str, stated))}" if stated.size else "no sum of flags"
        raise ProductError(
            f"{name} holds {values[~valid][0]}, which is {expected}. Flags cannot be averaged: "
            f"drop them, product.drop_vars({name!r})."
        )
