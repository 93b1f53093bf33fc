"""Rounding of values to significant digits, so that they compress."""

import numpy as np
import xarray as xr

from aqreanalysis.product.variables import MEASURED, ProductError

#: Values that are rounded at a time, so that temporary arrays fit into the processor's cache.
_PIECE = 2**17
# Rounding of log10 in float32 must not put a value just below a power of ten above it.
_BELOW = np.float32(1e-6)


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """Return values rounded to 1 to 7 significant digits in such a way that trailing bits are zero.

    Granular bit rounding: a value becomes a multiple of the largest power of two that does not
    exceed one unit of its last significant digit, so it is off by at most half that unit. NaN,
    infinities and zeros stay.

    References
    ----------
    Delaunay et al. 2019, Geosci. Model Dev. 12, 4099-4113, section 2.3; Kouznetsov 2021, Geosci.
    Model Dev. 14, 377-389.

    Examples
    --------
    A unit of the third digit of 123.456 is 1, and of 12.3456 it is 0.1, of which 1/16 is the
    power of two below:

    >>> rounded(np.array([123.456, 12.3456, 0.0]), 3).tolist()
    [123.0, 12.375, 0.0]
    """
    result = np.array(values, order="C")
    flat = result.reshape(-1)
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE]
        size = np.abs(piece)
        size[~((size > 0) & np.isfinite(size))] = 1
        decade = np.floor(np.log10(size) - _BELOW)
        exponent = np.floor((decade + 1 - digits) * np.float32(np.log2(10)))
        quantum = np.ldexp(piece.dtype.type(1), exponent.astype(np.int32))
        piece[...] = np.rint(piece / quantum) * quantum
    return result


def check_digits(digits: int | None) -> None:
    """Refuse a number of significant digits that float32 does not have."""
    if digits is not None and not 1 <= digits <= 7:
        raise ProductError(f"significant_digits must be 1 to 7 or None; found {digits}")


def digits_of(product: xr.Dataset, name: str, digits: int | None) -> int | None:
    """Return the significant digits of a layer, or None: what was measured is not rounded.

    Examples
    --------
    >>> filled = xr.Dataset({"pm25": 115.353, "pm25_origin": 0, "pm25_uncertainty": 7.25})
    >>> digits_of(filled, "pm25", 3), digits_of(filled, "pm25_uncertainty", 3)
    (None, 3)
    """
    measured = product[name].attrs.get("coverage_content_type") == MEASURED
    return None if measured or f"{name}_origin" in product else digits


def quantization_attributes(digits: int) -> dict[str, str | int]:
    """Return the attributes that state how a layer was rounded.

    The NetCDF library could round by itself, but it writes an attribute whose name begins with an
    underscore, which CF checkers report.
    """
    return {"quantization_algorithm": "granular_bitround", "quantization_nsd": digits}
