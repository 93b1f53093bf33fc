"""Spreads that left-out stations prove: a law of powers by the least CRPS, and a factor."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

#: Share of the truth that a calibrated interval holds, and its half-width in standard errors.
COVERAGE, HALF_WIDTH = 0.90, 1.6449
#: Least factor of a spread.
SMALLEST = 1e-3
#: Values from which a quantile is estimated, at most.
QUANTILE_VALUES = 1_000_000
#: Values without which nothing is fitted.
FEWEST = 200
#: Mean squared difference of neighbours from an estimate, standardised, that counts as agreement.
AGREEMENT = 1e-3
#: Powers of disagreement, level and kriging variance: those of kriging itself, their bounds, which
#: keep the variance non-decreasing in disagreement and distance, and the weight of the squared
#: distance from those of kriging.
OF_KRIGING, BOUNDS, RIDGE = (0.0, 0.0, 1.0), ((0.0, 1.0), (-1.0, 1.0), (0.0, 2.0)), 1e-3


def fit_log_variance(
    columns: np.ndarray,
    error: np.ndarray,
    *,
    start: Sequence[float] = OF_KRIGING,
    bounds: Sequence[tuple[float, float]] = BOUNDS,
    added: np.ndarray | float = 0.0,
    ridge: float = RIDGE,
) -> np.ndarray:
    """Return the powers and, last, the constant of a law of the variance, by the least CRPS.

    The variance is ``exp(columns @ powers + constant) + added``.

    Parameters
    ----------
    columns : (n, power) float64
    error : (n,) float64
        Truth minus estimate.
    start : sequence of float
        Powers from which the search begins.
    bounds : sequence of (lowest, highest)
        Of the powers.
    added : (n,) float64, or one for all
    ridge : float
        Weight of the squared distance of the powers from their start.
    """
    begin = np.array(start)
    constant = math.log(np.mean(error**2)) - float((columns @ begin).mean())

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean score and its slope."""
        law = np.exp(columns @ parameters[:-1] + parameters[-1])
        spread = np.sqrt(law + added)
        score, slope = normal_crps(error, spread)
        slope = slope * law / (2 * spread)  # by the logarithm of the law
        departure = parameters[:-1] - begin
        gradient = np.append(slope @ columns / slope.size, slope.mean())
        gradient[:-1] += 2 * ridge * departure
        return float(score.mean() + ridge * (departure**2).sum()), gradient

    fitted = minimize(
        loss,
        np.append(begin, constant),
        jac=True,
        method="L-BFGS-B",
        bounds=[*bounds, (None, None)],
    )
    return fitted.x


def interval_factor(error: np.ndarray, spread: np.ndarray) -> float:
    """Return the factor of the spread with which the 90 % interval holds 90 % of the errors."""
    with np.errstate(divide="ignore", invalid="ignore"):  # spreads of a network that diverged
        ratio = np.abs(error) / spread
    return max(covering(ratio) / HALF_WIDTH, SMALLEST)


def covering(values: np.ndarray) -> float:
    """Return what 90 % of values do not exceed, from evenly chosen ones of many."""
    return float(np.quantile(values[:: len(values) // QUANTILE_VALUES + 1], COVERAGE))


def normal_crps(error: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the CRPS of normal distributions, and its slope by their spread."""
    z = error / spread
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    slope = 2 * density - 1 / math.sqrt(math.pi)
    return spread * (z * (2 * ndtr(z) - 1) + slope), slope
