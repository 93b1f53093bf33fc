"""Checks of what was read: numbers, units, positions, times, the regular axis, quality."""

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Names = NDArray[np.str_]
Times = NDArray[np.datetime64]
