"""Scores of estimates with a standard error, also by distance and by concentration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from scipy.special import erf

#: Half-width of the 90 % interval of a normal distribution, in standard errors.
HALF_WIDTH_90 = 1.645

#: Edges of strata, the upper one excluded: km to the nearest known station, ug m-3 of truth.
DISTANCE_KM = (0.0, 3.0, 5.0, 10.0, 20.0, 50.0, np.inf)
LEVEL = (0.0, 5.0, 10.0, 20.0, 35.0, 75.0, 150.0, 250.0, np.inf)


@dataclass(frozen=True)
class Scores:
    """Scores of n values, in their units unless said otherwise.

    Attributes
    ----------
    count : int
        Values that are scored.
    missing : int
        Further values for which the method gives no estimate.
    rmse, mae, bias : float
        Of estimate minus truth.
    r2 : float
        1 minus the ratio of the squared errors to the squared departures from the mean truth.
    correlation : float
    mape : float
        Mean relative error where the truth is above a threshold, as a fraction.
    crps : float
        Continuous ranked probability score of a normal distribution with the estimate for mean
        and the standard error for standard deviation.
    coverage : float
        Share of the truth within 1.645 standard errors of the estimate, the interval cut at 0.
    """

    count: int
    missing: int
    rmse: float
    mae: float
    bias: float
    r2: float
    correlation: float
    mape: float
    crps: float
    coverage: float


def score(
    truth: np.ndarray,
    estimate: np.ndarray,
    error: np.ndarray,
    *,
    mape_above: float | None = None,
) -> Scores:
    """Return the scores of estimates, (n,) each; an estimate of NaN counts as missing."""
    there = np.isfinite(estimate)
    missing = int((~there).sum())
    truth, estimate, error = (np.asarray(a, np.float64)[there] for a in (truth, estimate, error))
    if not truth.size:
        return Scores(0, missing, *[np.nan] * 8)
    difference = estimate - truth
    departure = truth - truth.mean()
    relative = np.empty(0)
    if mape_above is not None:
        relative = np.abs(difference)[truth > mape_above] / truth[truth > mape_above]
    low, high = (np.maximum(estimate + side * HALF_WIDTH_90 * error, 0.0) for side in (-1, 1))
    return Scores(
        truth.size,
        missing,
        float(np.sqrt(np.mean(difference**2))),
        float(np.mean(np.abs(difference))),
        float(np.mean(difference)),
        _ratio(np.sum(departure**2) - np.sum(difference**2), np.sum(departure**2)),
        _correlation(truth, estimate),
        float(relative.mean()) if relative.size else np.nan,
        float(np.mean(crps_normal(truth, estimate, error))),
        float(np.mean((truth >= low) & (truth <= high))),
    )


def crps_normal(truth: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of normal distributions.

    Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359, equation 21; with no spread it is the
    absolute error.
    """
    difference = np.asarray(truth, np.float64) - mean
    spread = np.asarray(spread, np.float64)
    z = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    probabilistic = spread * (z * erf(z / np.sqrt(2)) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(spread > 0, probabilistic, np.abs(difference))


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of each score; counts add up."""
    averaged = [f.name for f in fields(Scores) if f.name not in ("count", "missing")]
    return Scores(
        sum(s.count for s in scores),
        sum(s.missing for s in scores),
        **{name: float(np.mean([getattr(s, name) for s in scores])) for name in averaged},
    )


def strata(values: np.ndarray, edges: Sequence[float]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the members of each stratum; the lower edge is inside."""
    for low, high in pairwise(edges):
        name = f"{low:g} and more" if np.isinf(high) else f"{low:g} to {high:g}"
        yield name, (values >= low) & (values < high)


def _correlation(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Return Pearson's correlation; NaN where one of the two is constant."""
    if np.ptp(truth) == 0 or np.ptp(estimate) == 0:
        return np.nan
    return float(np.corrcoef(truth, estimate)[0, 1])


def _ratio(part: float, whole: float) -> float:
    """Return a ratio, NaN for a whole of nothing."""
    return float(part / whole) if whole > 0 else np.nan
