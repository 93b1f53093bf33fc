"""Arrays as text in a page: quantised, differenced, deflated, and written in base64."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Steps into which the range of a layer is divided; the second is for pages that get too large.
FINE, COARSE = 1023, 253


@dataclass(frozen=True)
class Quantised:
    """Numbers as whole steps between a lowest and a highest one.

    Attributes
    ----------
    steps : uint16 or uint8 array
        ``levels + 1`` where a number is missing.
    low, high : float
        Numbers at step 0 and at the last one; roots of them if ``root``.
    levels : int
    root : bool
        Whether steps are equal in the square root, so that small numbers are as exact as large ones
        relative to their error.
    """

    steps: np.ndarray
    low: float
    high: float
    levels: int
    root: bool

    @classmethod
    def of(cls, numbers: np.ndarray, *, root: bool, levels: int = FINE) -> "Quantised":
        """Return numbers in steps; those that are not finite are missing.

        Examples
        --------
        >>> Quantised.of(np.array([0.0, 25.0, 100.0, np.nan]), root=True, levels=10).steps.tolist()
        [0, 5, 10, 11]
        """
        scaled = np.sqrt(numbers) if root else numbers.astype(np.float64)
        finite = np.isfinite(scaled)
        low, high = (scaled.min(where=finite, initial=np.inf), scaled.max(where=finite, initial=0))
        low, high = (0.0, 1.0) if low > high else (float(low), float(high))
        width = (high - low) / levels or 1.0
        kind = np.uint8 if levels + 1 <= np.iinfo(np.uint8).max else np.uint16
        steps = np.rint((np.where(finite, scaled, low) - low) / width)
        return cls(
            np.where(finite, steps, levels + 1).astype(kind),
            low,
            low + levels * width,
            levels,
            root,
        )

    @property
    def rounding(self) -> float:
        """The largest difference between a number and its step."""
        half = (self.high - self.low) / self.levels / 2
        return 2 * self.high * half if self.root else half


def packed(values: np.ndarray, axes: Sequence[int]) -> dict[str, Any]:
    """Return unsigned integers as the page unpacks them: differences along axes, deflated.

    Differences count modulo the size of the type; the bytes of one significance lie together.

    Examples
    --------
    >>> values = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    >>> text = packed(values, [0, 1])["text"]
    >>> len(text) < 200
    True
    """
    differences = values
    for axis in axes:
        differences = np.diff(differences, axis=axis, prepend=values.dtype.type(0))
    bits = 8 * values.itemsize
    signed = differences.astype(f"i{values.itemsize}")
    folded = ((signed << 1) ^ (signed >> (bits - 1))).astype(f"<u{values.itemsize}")  # small first
    planes = folded.reshape(-1, 1).view(np.uint8).T
    text = base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode("ascii")
    return {"text": text, "bytes": values.itemsize, "shape": values.shape, "axes": list(axes)}
