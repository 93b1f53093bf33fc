"""What left-out stations prove of a spread: a law of powers, the tails, and a factor."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr

from aqreanalysis.predictive import quantile_of_root

#: Share of the truth that a calibrated interval holds.
COVERAGE = 0.90
#: Degrees of freedom of the heaviest tails: with 4 a concentration has no standard error. And those
#: from which on a distribution counts as normal.
HEAVIEST, NORMAL = 5.0, 100.0
#: Least factor of a spread.
SMALLEST = 1e-3
#: Values from which a quantile is estimated, at most.
QUANTILE_VALUES = 1_000_000
#: Values of which a likelihood is taken, at most.
LIKELIHOOD_VALUES = 50_000
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


def interval_factor(error: np.ndarray, spread: np.ndarray, freedom: float = math.inf) -> float:
    """Return the factor of the spread with which the 90 % interval holds 90 % of the errors."""
    with np.errstate(divide="ignore", invalid="ignore"):  # spreads of a network that diverged
        ratio = np.abs(error) / spread
    return max(covering(ratio) / half_width(freedom), SMALLEST)


def half_width(freedom: float = math.inf) -> float:
    """Return half the width of the 90 % interval, in standard deviations of the root.

    Examples
    --------
    >>> round(half_width(), 4)
    1.6449
    """
    return quantile_of_root((1 + COVERAGE) / 2, freedom)


def fit_freedom(error: np.ndarray, spread: np.ndarray) -> float:
    """Return the degrees of freedom of errors by the largest likelihood; infinite if normal.

    The scale is the one with which the 90 % interval holds 90 % of the errors. The largest
    hundredth counts as that far or farther, so that a few absurd ones do not matter. Errors without
    a spread, or of one that diverged, tell nothing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> fit_freedom(rng.normal(size=9999), np.ones(9999))
    inf
    >>> 7 < fit_freedom(rng.standard_t(8, size=9999), np.ones(9999)) < 9
    True
    """
    from scipy import stats  # here: a saved model predicts without its third of a second

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(error) / spread
    ratio = ratio[np.isfinite(ratio)]
    width = covering(ratio) if ratio.size else 0.0
    if width == 0:
        return math.inf
    ratio = ratio[:: len(ratio) // LIKELIHOOD_VALUES + 1] / width
    end = float(np.quantile(ratio, 0.99))
    inside = ratio[ratio <= end]
    beyond = len(ratio) - len(inside)

    def loss(inverse: float) -> float:
        """Return minus the logarithm of the likelihood, by the inverse of the freedom."""
        freedom = 1 / inverse
        scale = stats.t.ppf((1 + COVERAGE) / 2, freedom)
        likelihood = stats.t.logpdf(scale * inside, freedom).sum() + len(inside) * math.log(scale)
        return -float(likelihood + beyond * stats.t.logsf(scale * end, freedom))

    best = float(minimize_scalar(loss, bounds=(1 / NORMAL, 1 / HEAVIEST), method="bounded").x)
    return 1 / best if best > 1.1 / NORMAL else math.inf


def covering(values: np.ndarray) -> float:
    """Return what 90 % of values do not exceed, from evenly chosen ones of many."""
    return float(np.quantile(values[:: len(values) // QUANTILE_VALUES + 1], COVERAGE))


def normal_crps(error: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the CRPS of normal distributions, and its slope by their spread."""
    z = error / spread
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    slope = 2 * density - 1 / math.sqrt(math.pi)
    return spread * (z * (2 * ndtr(z) - 1) + slope), slope
