r"""The distribution that an estimate and a standard error stand for.

Concentrations are not negative and skewed. Their square roots are nearly normal, so an estimate
with a standard error is read as a root :math:`R \sim N(m, s^2)`, the concentration as
:math:`\max(R, 0)^2`, with the estimate as the median: :math:`m^2` is the estimate, and
:math:`4 m^2 s^2 + 2 s^4` the squared standard error.
"""

import numpy as np
from scipy.special import ndtr, ndtri

#: Probabilities between which the 90 % interval lies.
INTERVAL_90 = (0.05, 0.95)


def quantile(probability: float, estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the concentration that is not exceeded with a probability.

    Parameters
    ----------
    probability : float
        Between 0 and 1, both excluded.
    estimate, error : arrays of one shape
        The median, and one standard error; NaN stays NaN.

    Returns
    -------
    ndarray, float64, in the unit of the estimate

    Raises
    ------
    ValueError
        If the probability is not between 0 and 1.

    Examples
    --------
    >>> [float(quantile(p, np.array(25.0), np.array(10.0)).round(1)) for p in (0.05, 0.5, 0.95)]
    [11.4, 25.0, 43.9]
    """
    if not 0 < probability < 1:
        raise ValueError(f"a quantile is between 0 and 1, both excluded; found {probability!r}")
    root, spread = normal_root(estimate, error)
    return np.maximum(root + spread * ndtri(probability), 0.0) ** 2


def interval_90(estimate: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 90 % interval."""
    low, high = (quantile(probability, estimate, error) for probability in INTERVAL_90)
    return low, high


def below(value: np.ndarray | float, estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the probability of less than a value; without error 0, 1, or one half at the estimate.

    With the truth for value it is the probability integral transform.

    Examples
    --------
    >>> below(25.0, np.array([25.0, 16.0]), np.array([10.0, 0.0]))
    array([0.5, 1. ])
    """
    root, spread = normal_root(estimate, error)
    difference = np.sqrt(np.maximum(value, 0.0)) - root
    certain = (np.sign(difference) + 1) / 2
    return np.where(spread > 0, ndtr(_standardised(difference, spread)), certain)


def crps(truth: np.ndarray, estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    r"""Return the continuous ranked probability score.

    The integral of :math:`(F(x) - [x \ge y])^2` (Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102,
    359), in closed form. Without an error it is the absolute difference.

    Parameters
    ----------
    truth, estimate, error : arrays of one shape
        In one unit.

    Returns
    -------
    ndarray, float64, in that unit

    Examples
    --------
    >>> float(crps(np.array(30.0), np.array(25.0), np.array(10.0)).round(3))
    3.272
    >>> float(crps(np.array(30.0), np.array(25.0), np.array(0.0)))
    5.0
    """
    truth = np.asarray(truth, np.float64)
    root, spread = normal_root(estimate, error)
    at = np.maximum(truth, 0.0)
    zero = _standardised(-root, spread)
    z = _standardised(np.sqrt(at) - root, spread)
    linear = _integral(z) - _integral(zero) + _integral(-z)
    square = _first_moment(z) - _first_moment(zero) - _first_moment(-z)
    # A truth below 0, where no estimate is, is as far off again as it lies below.
    score = 2 * spread * (root * linear + spread * square) + (at - truth)
    return np.where(spread > 0, score, np.abs(truth - np.maximum(estimate, 0.0)))


def normal_root(estimate: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the normal root, NaN where either is NaN.

    Parameters
    ----------
    estimate, error : arrays of one shape
        The median of a concentration, and one standard error.

    Examples
    --------
    >>> root, spread = normal_root(np.array(25.0), np.array(10.0))
    >>> float(root), float(np.sqrt(4 * root**2 * spread**2 + 2 * spread**4).round(9))
    (5.0, 10.0)
    """
    median = np.maximum(np.asarray(estimate, np.float64), 0.0)
    half = np.asarray(error, np.float64) ** 2 / 2
    # The root of s^4 + 2 median s^2 - half, without a difference of large numbers.
    total = median + np.sqrt(median**2 + half)
    variance = np.divide(half, total, out=np.zeros_like(total + half), where=total > 0)
    return np.sqrt(median), np.sqrt(np.where(np.isnan(total), np.nan, variance))


def _standardised(difference: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return differences in units of the spread, 0 where there is none."""
    shape = np.broadcast(difference, spread).shape
    return np.divide(difference, spread, out=np.zeros(shape), where=spread > 0)


def _integral(z: np.ndarray) -> np.ndarray:
    """Return the integral of the squared normal distribution function up to z."""
    p = ndtr(z)
    return z * p**2 + 2 * _density(z) * p - ndtr(np.sqrt(2) * z) / np.sqrt(np.pi)


def _first_moment(z: np.ndarray) -> np.ndarray:
    """Return the integral of z times the squared normal distribution function up to z."""
    p, density = ndtr(z), _density(z)
    return ((z * p) ** 2 - p**2 + density**2) / 2 + z * density * p


def _density(z: np.ndarray) -> np.ndarray:
    """Return the normal density."""
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
