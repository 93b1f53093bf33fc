r"""The errors of which draws are made, of several pollutants together.

Where the estimate of PM2.5 is too low, that of PM10 often is. The correlation of two pollutants is
that of their normal scores at stations left out, at the same stations and hours. Errors are sums of
waves, each with a series in time. The waves of all pollutants are those of the first, with
amplitudes of their own; the series of pollutant i are

.. math:: s_i(t) = \sum_{j \le i} l_{ij} u_j(t)

with the rows of a Cholesky factor l and independent u (linear model of coregionalisation: Chiles &
Delfiner 2012, Geostatistics, section 5.6). Each u lasts as long as it takes for s to last as errors
of its pollutant do, so that draws of a pollutant are distributed as they are alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.linalg import solve_triangular

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.fields.draws import DrawsOf, ErrorSeries, JointSeries
from aqreanalysis.methods.kriging.error_patterns import PATTERNS, KrigingPatterns
from aqreanalysis.methods.persistence import LAGS, PAIRS, PARTS, Persistence, fitted_correlation
from aqreanalysis.observations import step_hours
from aqreanalysis.predictive import ErrorCorrelation

#: Attribute of a layer of draws, and key of a product's settings.
ERROR_CORRELATION = "error_correlation"
#: Most of the variance of a pollutant's errors that follows from those of others.
MOST_SHARED = 0.95
#: Least mean product of the patterns of two pollutants that is made up for.
LEAST_ALIGNED = 0.5
#: Squared correlation that stands for none.
TINY = 1e-12


class DrawnErrors(NamedTuple):
    """The errors of which draws of a pollutant are made.

    Attributes
    ----------
    variable : str
    scores : DataArray
        Normal scores at stations left out, ``(station, time)``.
    patterns : KrigingPatterns
        In space.
    series : ErrorSeries or JointSeries
        In time.
    own : ErrorSeries
        The part of these that the pollutants before do not share.
    factors : tuple of float
        Row of the Cholesky factor: of the pollutants before, and of the own part.
    correlation : dict of str to float
        With the errors of each pollutant before.
    """

    variable: str
    scores: xr.DataArray
    patterns: KrigingPatterns
    series: ErrorSeries | JointSeries
    own: ErrorSeries
    factors: tuple[float, ...]
    correlation: dict[str, float]

    @property
    def stated(self) -> str:
        """The correlations as an attribute of draws: ``pm25 0.53, no2 0.31``."""
        return ", ".join(f"{name} {value:.2f}" for name, value in self.correlation.items())


def errors_to_draw(
    observations: xr.Dataset,
    variable: str,
    lasting: Persistence,
    of: DrawsOf,
    *,
    seed: int,
    before: Sequence[DrawnErrors] = (),
    places: Sequence[xr.Dataset] = (),
    unlike_km: Sequence[float] = (),
) -> DrawnErrors:
    """Return the errors of a pollutant, which go together with those of the ones before.

    Parameters
    ----------
    observations : Dataset
    variable : str
    lasting : Persistence
        How long they last.
    of : {"measurements", "air"}
    seed : int
    before : sequence of DrawnErrors
        Of other pollutants, which this one does not change.
    places, unlike_km
        As of `KrigingPatterns.learned`; behind other pollutants, places are apart as theirs are.
    """
    first = before[0].patterns if before else None
    patterns = KrigingPatterns.learned(
        observations,
        variable,
        of,
        places=places,
        unlike_km=first.unlike.length_km if first else unlike_km,
        waves=first.waves if first else None,
    )
    correlation = {each.variable: score_correlation(lasting.scored, each.scores) for each in before}
    # Where waves count for one pollutant and not for another, errors go together less than series.
    of_series = [
        correlation[each.variable] / max(_alignment(patterns, each.patterns), LEAST_ALIGNED)
        for each in before
    ]
    factors = _factors([each.factors for each in before], of_series)
    step, stream = step_hours(observations), list(POLLUTANTS).index(variable)
    remaining = _remaining(lasting, before, factors)
    own = ErrorSeries(remaining, step, PATTERNS, seed, stream)
    parts = (*(each.own for each in before), own)
    series = JointSeries(parts, factors) if before else own
    return DrawnErrors(variable, lasting.scored, patterns, series, own, factors, correlation)


def score_correlation(first: xr.DataArray, second: xr.DataArray) -> float:
    """Return the correlation of scores ``(station, time)`` of the same stations and hours.

    About zero, since a lasting error is one. It is shrunk towards none by the share of its square
    that is its variance, by leaving out one station at a time (Schaefer & Strimmer 2005, Stat.
    Appl. Genet. Mol. Biol. 4, 32). Without enough of both it is 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common, own = rng.normal(size=(2, 30, 500))
    >>> axes = {"station": np.arange(30), "time": np.arange(500)}
    >>> first = xr.DataArray(common, axes)
    >>> second = xr.DataArray(0.6 * common + 0.8 * own, axes)
    >>> round(score_correlation(first, second), 1)
    0.6
    """
    first, second = xr.align(first, second, join="inner")
    one, other = (each.transpose(STATION, TIME).values for each in (first, second))
    both = np.isfinite(one) & np.isfinite(other)
    one, other = (np.where(both, each, 0.0) for each in (one, other))
    sums = np.stack([(one * other).sum(1), (one**2).sum(1), (other**2).sum(1)])
    sums = sums[:, both.any(axis=1)]
    if both.sum() < PAIRS or sums.shape[1] < 2:
        return 0.0
    total = sums.sum(axis=1, keepdims=True)
    correlation = float(_of_sums(total)[0])
    without = _of_sums(total - sums)
    variance = (without.size - 1) * without.var()
    return correlation * max(0.0, 1 - float(variance) / max(correlation**2, TINY))


def _of_sums(sums: np.ndarray) -> np.ndarray:
    """Return correlations (n,) of sums of products and of both squares, (3, n)."""
    product, one, other = sums
    square = one * other
    return np.divide(product, np.sqrt(square), out=np.zeros_like(product), where=square > 0)


def _alignment(first: KrigingPatterns, second: KrigingPatterns) -> float:
    """Return the mean product of the patterns of both at stations left out."""
    network = first.network
    part = np.arange(network.size) % PARTS
    products = []
    for number in range(PARTS):
        left_out = part == number
        names, at = network.identifiers[left_out], (network.longitude, network.latitude)
        vectors = [
            _without(each, names)(*(position[left_out] for position in at))[0]
            for each in (first, second)
        ]
        products.append((vectors[0] * vectors[1]).sum(axis=1))
    return float(np.concatenate(products).mean())


def _without(patterns: KrigingPatterns, names: np.ndarray) -> KrigingPatterns:
    """Return the patterns if stations of these names did not report, or as they are if all are."""
    others = ~np.isin(patterns.network.identifiers, names)
    if not others.any():
        return patterns
    return replace(patterns, network=patterns.network.part(others), shared=patterns.waves)


def _factors(
    before: Sequence[tuple[float, ...]], correlation: Sequence[float]
) -> tuple[float, ...]:
    """Return the next row of the Cholesky factor of a matrix of correlations.

    Correlations of pairs need not fit together: those of a row are made smaller where they leave
    too little of a pollutant's own.

    Examples
    --------
    >>> _factors([], []), _factors([(1.0,)], [0.6]), _factors([(1.0,), (0.6, 0.8)], [0.6, 0.84])
    ((1.0,), (0.6, 0.8), (0.6, 0.6, 0.529...))
    """
    size = len(before)
    root = np.zeros((size, size))
    for number, row in enumerate(before):
        root[number, : number + 1] = row
    shared = solve_triangular(root, correlation, lower=True) if size else np.zeros(0)
    square = float(shared @ shared)
    shared = shared * np.sqrt(min(MOST_SHARED / max(square, TINY), 1.0))
    return (*shared.tolist(), float(np.sqrt(1 - shared @ shared)))


def _remaining(
    lasting: Persistence, before: Sequence[DrawnErrors], factors: tuple[float, ...]
) -> ErrorCorrelation:
    """Return how long that part lasts which a pollutant does not share with those before."""
    if not before:
        return lasting.scores
    hours = np.array(LAGS, np.float64)
    rest = lasting.scores(hours)
    for factor, each in zip(factors, before, strict=False):
        rest = rest - factor**2 * each.own.correlation(hours)
    return fitted_correlation(hours, rest / factors[-1] ** 2)
