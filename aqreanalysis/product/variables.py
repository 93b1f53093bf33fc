"""The error of products, and what their coordinates have in common."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

#: Name of the dimension of the two edges of a cell or an averaging period.
EDGES = "bnds"
#: Attribute by which catalogues recognise coordinates (ACDD).
COORDINATE = {"coverage_content_type": "coordinate"}


class ProductError(RuntimeError):
    """A product that cannot be built, written or opened; the message says what to do."""


def coordinate(
    dims: tuple[Hashable, ...], values: np.ndarray, attributes: dict[str, Any]
) -> xr.Variable:
    """Return a coordinate that is written without a fill value."""
    encoding = {"_FillValue": None} if values.dtype.kind in "fM" else {}
    return xr.Variable(dims, values, dict(attributes), encoding)
