"""The normal distribution of a mean and a standard error: score, position, probability."""

import numpy as np
from scipy.special import erf, ndtr

#: Half-width of the 90 % interval of a normal distribution, in standard errors.
HALF_WIDTH_90 = 1.645


def crps_normal(truth: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of normal distributions.

    Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359, equation 21; with no spread it is the
    absolute error.

    Parameters
    ----------
    truth, mean, spread : arrays of one shape
        In one unit; the spread is a standard deviation.

    Returns
    -------
    ndarray, float64, in that unit

    Examples
    --------
    With truth at the centre the score is ``(sqrt(2) - 1) / sqrt(pi)`` standard deviations:

    >>> float(crps_normal(np.array([3.0]), np.array([3.0]), np.array([1.0])).round(4)[0])
    0.2337
    """
    difference = np.asarray(truth, np.float64) - mean
    spread = np.asarray(spread, np.float64)
    z = _standardised(difference, spread)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    probabilistic = spread * (z * erf(z / np.sqrt(2)) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(spread > 0, probabilistic, np.abs(difference))


def below(value: np.ndarray | float, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the probability of less than a value; without spread 0, 1, or one half at the mean.

    With the truth for value it is the probability integral transform.

    Examples
    --------
    >>> below(5.0, np.array([5.0, 4.0]), np.array([2.0, 0.0]))
    array([0.5, 1. ])
    """
    difference = value - np.asarray(mean, np.float64)
    certain = (np.sign(difference) + 1) / 2
    spread = np.asarray(spread, np.float64)
    return np.where(spread > 0, ndtr(_standardised(difference, spread)), certain)


def interval_90(mean: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 90 % interval, cut at 0."""
    low, high = (mean + side * HALF_WIDTH_90 * spread for side in (-1, 1))
    return np.maximum(low, 0.0), np.maximum(high, 0.0)


def _standardised(difference: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return differences in units of the spread, 0 where there is none."""
    return np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
