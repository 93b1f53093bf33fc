"""Which layers of a product are exported, and whether a format has room for them."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.maps.layers import Classes
from aqreanalysis.product import ProductError
from aqreanalysis.product.metadata import UNPRINTABLE

logger = logging.getLogger(__name__)


def named_layers(product: xr.Dataset, variable: str | Sequence[str] | None) -> list[str]:
    """Return the names of the layers that are asked for; by default the product's only pollutant.

    Raises
    ------
    ProductError
        If there is no such layer, or there are several pollutants to choose from.

    Examples
    --------
    >>> named_layers(xr.Dataset({"pm25": 1.0, "pm25_uncertainty": 0.1}), None)
    ['pm25']
    """
    present = [str(name) for name in product.data_vars]
    if not variable:
        names = [name for name in present if name in POLLUTANTS]
        if len(names) != 1:
            raise ProductError(
                "name the layer to export, with variable= or --variable; the product has "
                f"{', '.join(present) or 'none'}"
            )
        return names
    names = [variable] if isinstance(variable, str) else list(dict.fromkeys(variable))
    unknown = [name for name in names if name not in present]
    if unknown:
        raise ProductError(
            f"the product has no layer {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(present) or 'none'}"
        )
    return names


def fitting_layers(product: xr.Dataset, dims: Collection[str], format: str) -> list[str]:
    """Return the layers whose dimensions are among those of a format; the log names others.

    Raises
    ------
    ProductError
        If a pollutant is not among them.
    """
    fitting = [str(n) for n, layer in product.data_vars.items() if set(layer.dims) <= set(dims)]
    others = [str(name) for name in product.data_vars if name not in fitting]
    check_room(product, [name for name in others if name in POLLUTANTS], dims, format)
    if others:
        logger.info("left out, as %s has no room for them: %s", format, ", ".join(others))
    return fitting


def check_room(
    product: xr.Dataset, names: Iterable[str], dims: Collection[str], format: str
) -> None:
    """Refuse layers that have other dimensions than a format has room for."""
    for name in names:
        layer = product[name]
        further = [str(dim) for dim in layer.dims if dim not in dims]
        if further:
            sizes = ", ".join(f"{dim} ({layer.sizes[dim]})" for dim in further)
            one = ", ".join(f"{dim}=0" for dim in further)
            raise ProductError(
                f"{name} has the dimension {sizes}, for which {format} has no room. Select one, "
                f"product.isel({one}), or write NetCDF (.nc) or Zarr (.zarr)"
            )


def check_sizes(product: xr.Dataset) -> None:
    """Refuse a product without any step, cell or station.

    Raises
    ------
    ProductError
    """
    empty = [str(dim) for dim, size in product.sizes.items() if not size]
    if empty:
        raise ProductError(
            f"there is nothing to export: the product has no {' and no '.join(empty)}"
        )


def check_classes(name: str, classes: Classes | None, highest: int, what: str) -> None:
    """Refuse classes that are no whole numbers from 0 to the highest one of a format.

    Raises
    ------
    ProductError
    """
    values = np.array(classes.values if classes else ())
    foreign = values[(values % 1 != 0) | (values < 0) | (values > highest)]
    if foreign.size:
        raise ProductError(
            f"{what} have room for classes from 0 to {highest}, and {name} has the class "
            f"{foreign[0]:g}. Give its classes other numbers, with their flag_values"
        )


def texts_of(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """Return attributes as texts, without characters that no format of metadata can hold.

    Examples
    --------
    >>> texts_of({"title": "Air" + chr(0), "nodes": 3})
    {'title': 'Air', 'nodes': '3'}
    """
    return {str(name): UNPRINTABLE.sub("", str(value)) for name, value in attributes.items()}


def check_gis(what: str) -> None:
    """Refuse what needs rasterio, where it is not installed."""
    if find_spec("rasterio") is None:
        raise ProductError(
            f"{what} needs the package rasterio: pip install 'aqreanalysis[gis]', or conda install "
            "rasterio"
        )
