"""Rounding of values to significant digits, so that they compress."""

import numpy as np

#: Values that are rounded at a time: temporary arrays stay in the processor's cache.
_PIECE = 2**17
# Rounding of log10 in float32 must not put a value just below a power of ten above it.
_BELOW = np.float32(1e-6)


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """Return values of which the trailing bits are zero, as far as the digits allow.

    A value is rounded to a multiple of the largest power of two that is no more than one unit of
    its last digit kept, so it is off by at most half that unit: granular bit rounding. NaN,
    infinities and zeros stay.

    Parameters
    ----------
    values : ndarray of float
    digits : int
        Significant decimal digits, 1 to 7 in float32.

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
