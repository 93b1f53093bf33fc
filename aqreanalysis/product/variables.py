"""The error of products, and what their coordinates have in common."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, PRODUCT_FLAGS

#: Name of the dimension of the two edges of a cell or an averaging period.
EDGES = "bnds"
#: Attribute by which catalogues recognise coordinates (ACDD).
COORDINATE = {"coverage_content_type": "coordinate"}
#: What the same attribute says of measurements, of which all bits stay.
MEASURED = "physicalMeasurement"


class ProductError(RuntimeError):
    """A product that cannot be built, written or opened; the message says what to do."""


def coordinate(
    dims: tuple[Hashable, ...], values: np.ndarray, attributes: dict[str, Any]
) -> xr.Variable:
    """Return a coordinate that is written without a fill value."""
    encoding = {"_FillValue": None} if values.dtype.kind in "fM" else {}
    return xr.Variable(dims, values, dict(attributes), encoding)


def check_concentrations(values: np.ndarray, name: str, attributes: Mapping[Hashable, Any]) -> None:
    """Refuse estimates below 0 that are named as a pollutant: a difference is no concentration.

    Raises
    ------
    ProductError
        The lowest value, and what can be done.

    Examples
    --------
    >>> check_concentrations(np.array([0.0, np.nan, 7.0]), "pm25", {})
    """
    measured = attributes.get("coverage_content_type") == MEASURED  # noise about zero
    if name in POLLUTANTS and not measured and (lowest := np.fmin.reduce(values, axis=None)) < 0:
        raise ProductError(
            f"{name} holds {lowest:g}, and a concentration is 0 or more; this is a difference, it "
            f"seems. Take another name, product.rename({name}='{name}_difference'), and write it "
            f"with xarray, or put it beside: product.assign({name}_difference=...)."
        )


def check_support(values: np.ndarray, flags: np.ndarray, name: str) -> None:
    """Refuse estimates where their flag says that there is none: missing values were filled.

    Raises
    ------
    ProductError
        How many there are, and what can be done.

    Examples
    --------
    >>> check_support(np.array([4.0, np.nan]), np.array([0, 3]), "pm25")
    """
    filled = np.count_nonzero(np.isfinite(values) & (flags == PRODUCT_FLAGS["no_estimate"]))
    if filled:
        raise ProductError(
            f"{name} has {filled} values where {name}_flag says that there is no estimate: missing "
            f"values were filled, it seems. Take product.where(product.{name}_flag != "
            f"{PRODUCT_FLAGS['no_estimate']}), or drop the flag, product.drop_vars('{name}_flag'), "
            f"and say in product.{name}.attrs['long_name'] what was filled"
        )
