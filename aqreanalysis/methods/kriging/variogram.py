"""How much two stations differ with their distance: empirical and fitted variograms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from scipy.optimize import least_squares

from aqreanalysis.network import EARTH_RADIUS_KM

VariogramModel = Literal["exponential", "spherical", "matern32"]
#: Forms from which kriging chooses; the first is taken unless another is clearly better.
MODELS: tuple[VariogramModel, ...] = get_args(VariogramModel)

#: Noise on the diagonal as a share of the sill below which a system with two stations at one
#: place would be singular in float64.
LEAST_NOISE = 1e-9
#: Shortest distance between two places, km.
SHORTEST_KM = 1e-3
#: Pairs of stations in the first bin of distance, where there are enough.
FIRST_BIN_PAIRS = 30
#: Most that the last edge of the bins may be of the first one.
BIN_SPAN = 1000.0


@dataclass(frozen=True)
class Variogram:
    """A variogram of distance: half the mean square difference of two measurements.

    The exponential and the spherical correlation are valid with great-circle distance on the whole
    sphere (Gneiting 2013, Bernoulli 19, 1327). The Matérn correlation of 3/2 is valid with the
    straight (chord) distance alone, which it therefore uses. A Gaussian model is not offered: it is
    invalid on the sphere, and its systems are ill-conditioned.

    Parameters
    ----------
    model : {"exponential", "spherical", "matern32"}
        Correlation at distance h, with r the range: ``exp(-h/r)``; ``1 - 1.5 h/r + 0.5 (h/r)^3``
        up to r and 0 beyond; ``(1 + h/r) exp(-h/r)``.
    partial_sill : float
        Variance of the spatially correlated part, squared units of the variable.
    range_km : float
        The r of the formulas, km, as in gstat; it is not the "practical range".
    nugget : float
        Variance of what a station does not share with a neighbour however close.

    Raises
    ------
    ValueError
        All faults of the parameters at once.

    Examples
    --------
    >>> rural = Variogram("exponential", partial_sill=66.5, range_km=224.0, nugget=13.5)
    >>> rural(np.array([0.0, 224.0, 1e6])).round(2).tolist()
    [0.0, 55.54, 80.0]
    """

    model: VariogramModel
    partial_sill: float
    range_km: float
    nugget: float

    def __post_init__(self) -> None:
        positive = {"partial_sill": self.partial_sill, "range_km": self.range_km}
        if faults := parameter_faults(self.model, positive, {"nugget": self.nugget}):
            raise ValueError("; ".join(faults))

    def __call__(self, distance_km: np.ndarray) -> np.ndarray:
        """Return the semivariance at distances in km; zero at zero, the nugget just off it."""
        distance = np.asarray(distance_km, dtype=np.float64)
        return np.where(distance > 0, self.sill - self.covariance(distance), 0.0)

    def covariance(self, distance_km: np.ndarray) -> np.ndarray:
        """Return the covariance, without nugget, of two places at distances in km."""
        correlation = CORRELATIONS[self.model]
        return self.partial_sill * correlation(np.asarray(distance_km, np.float64), self.range_km)

    @property
    def sill(self) -> float:
        """Variance of one measurement: partial sill and nugget."""
        return self.partial_sill + self.nugget

    @property
    def noise(self) -> float:
        """Variance on the diagonal of a kriging system: the nugget, or the least that can do."""
        return max(self.nugget, LEAST_NOISE * self.partial_sill)


@dataclass(frozen=True)
class EmpiricalVariogram:
    """Semivariances averaged over pairs of stations and over time.

    Attributes
    ----------
    distance_km : (bins,) float64
        Mean distance of the pairs of a bin; a first bin of zero holds each station with itself
        where there are lags.
    lag : (lags,) float64
        Lags in steps of the time axis.
    semivariance, pairs : (lags, bins) float64
        Half the mean square difference, and the number of differences in it.
    variance : float
        Variance of all values.
    """

    distance_km: np.ndarray
    lag: np.ndarray
    semivariance: np.ndarray
    pairs: np.ndarray
    variance: float

    @property
    def scale(self) -> float:
        """Variance by which sills are divided in a fit: never zero, also of equal values."""
        return max(self.variance, float(np.finfo(np.float64).tiny ** 0.5))


def empirical_variogram(
    values: np.ndarray,
    distance_km: np.ndarray,
    *,
    lags: tuple[int, ...] = (0,),
    bins: int = 20,
    cutoff_km: float | None = None,
) -> EmpiricalVariogram:
    """Return Matheron's estimate of the variogram, pooled over all hours.

    Missing values drop out pair by pair and hour by hour. The edges of the bins are in one ratio,
    so that short distances, which decide the weights, are resolved in a dense network and in one
    that spans a continent.

    Parameters
    ----------
    values : (n, t) array
        Series of the stations, NaN where missing.
    distance_km : (n, n) array
        Distances between the stations.
    lags : tuple of int
        Lags in time, in steps; lag 0 compares stations at the same hour.
    bins : int
        Number of distance bins, at most.
    cutoff_km : float, optional
        Longest distance of a pair; half of the longest distance in the network by default, or all
        of it where that leaves no two places.

    Returns
    -------
    EmpiricalVariogram

    Raises
    ------
    ValueError
        If fewer than two stations ever report at the same hour.

    Examples
    --------
    Two stations that always differ by 2 have a semivariance of 2:

    >>> values = np.array([[1.0, 5.0, np.nan], [3.0, 3.0, 7.0]])
    >>> empirical = empirical_variogram(values, np.array([[0.0, 10.0], [10.0, 0.0]]))
    >>> empirical.distance_km.tolist(), empirical.semivariance.tolist(), empirical.pairs.tolist()
    ([10.0], [[2.0]], [[2.0]])
    """
    first, second = np.triu_indices(len(values), 0 if any(lags) else 1)
    distance = np.where(first == second, 0.0, distance_km[first, second])
    sums = [_pair_sums(values, lag) for lag in lags]
    squares = np.array([square[first, second] for square, _ in sums])
    counts = np.array([count[first, second] for _, count in sums])
    usable = _usable(values, (first != second) & (counts[0] > 0))
    if cutoff_km is None:
        longest = distance[usable].max()
        cutoff_km = longest / 2 if usable.sum() > bins else longest
        if not (usable & (distance > 0) & (distance <= cutoff_km)).any():  # of a few places
            cutoff_km = longest
    number = _bin_numbers(distance, usable & (distance <= cutoff_km), bins)
    number[first == second] = number.max() + 1  # each station with itself, at distance zero
    size = number.max() + 1

    def per_bin(weights: np.ndarray) -> np.ndarray:
        return np.bincount(number + 1, weights, size + 1)[1:]

    pairs = np.array([per_bin(count) for count in counts])
    total = np.array([per_bin(square) for square in squares])
    centre = per_bin(distance) / per_bin(np.ones(number.size))
    # The stations with themselves come first, also before co-located pairs.
    order = np.lexsort((-np.arange(size), centre)) if any(lags) else np.argsort(centre)
    return EmpiricalVariogram(
        centre[order],
        np.asarray(lags, dtype=np.float64),
        (total / np.maximum(pairs, 1) / 2)[:, order],
        pairs[:, order],
        float(np.nanvar(values)),
    )


def fit_variogram(
    values: np.ndarray,
    distance_km: np.ndarray,
    *,
    model: VariogramModel = "exponential",
    bins: int = 20,
    cutoff_km: float | None = None,
) -> Variogram:
    """Return the variogram fitted to the series of a network by weighted least squares.

    Weights are those of gstat (Pebesma 2004, Computers & Geosciences 30, 683): pairs over squared
    distance, so that the fit is best at the short distances that decide a kriging estimate.

    Parameters
    ----------
    values : (n, t) array
        Series of the stations, NaN where missing.
    distance_km : (n, n) array
        Distances between the stations.
    model : {"exponential", "spherical", "matern32"}
        Form of the correlation.
    bins, cutoff_km
        As in `empirical_variogram`.

    Returns
    -------
    Variogram

    Raises
    ------
    ValueError
        If fewer than two stations ever report at the same hour.

    Examples
    --------
    The parameters of a simulated field come back:

    >>> rng = np.random.default_rng(0)
    >>> east = rng.uniform(0, 400, 60)
    >>> distance = np.abs(east[:, None] - east)
    >>> covariance = 9 * np.exp(-distance / 80) + np.eye(60)
    >>> values = np.linalg.cholesky(covariance) @ rng.normal(size=(60, 3000))
    >>> fitted = fit_variogram(values, distance)
    >>> round(fitted.partial_sill), round(fitted.range_km, -1), round(fitted.nugget, 1)
    (9, 80.0, 1.0)
    """
    return variogram_of(
        empirical_variogram(values, distance_km, bins=bins, cutoff_km=cutoff_km), model
    )


def variogram_of(empirical: EmpiricalVariogram, model: VariogramModel) -> Variogram:
    """Return the variogram of a form that fits an empirical one best, as of `fit_variogram`."""
    distance, observed = empirical.distance_km, empirical.semivariance[0]
    # Measurements far apart differ no more than unrelated ones: the sill stops at the variance.
    scale = empirical.scale
    # Two co-located stations must not outweigh all others: distances count from a bin's width.
    shortest = max(np.median(distance) / 10, SHORTEST_KM)
    weight = np.sqrt(empirical.pairs[0]) / np.maximum(distance, shortest)
    weight /= weight.max()
    correlation = CORRELATIONS[model]

    def residuals(parameters: np.ndarray) -> np.ndarray:
        partial_sill, log_range, nugget = parameters
        fitted = nugget + partial_sill * (1 - correlation(distance, np.exp(log_range)))
        return weight * (fitted - observed / scale)

    middle = np.log(max(float(np.median(distance)), SHORTEST_KM))
    # A range of more than 30 median distances is a straight line that no pair can tell from 30.
    bounds = ([1e-6, middle - np.log(30), 0.0], [1.0, middle + np.log(30), 1.0])
    solution = least_squares(residuals, [0.8, middle, 0.1], bounds=bounds).x
    return Variogram(
        model, float(solution[0] * scale), float(np.exp(solution[1])), float(solution[2] * scale)
    )


def _pair_sums(values: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of squared differences and their number for all pairs of stations, (n, n)."""
    present = (~np.isnan(values)).astype(np.float64)
    # Centred on the mean first: the squares below then lose no digits to a large mean.
    centred = np.where(present > 0, values - np.nanmean(values), 0.0).astype(np.float64)
    early, late = slice(0, values.shape[1] - lag), slice(lag, None)
    before, after = centred[:, early], centred[:, late]
    had, has = present[:, early], present[:, late]
    squares = np.maximum(before**2 @ has.T + had @ (after**2).T - 2 * before @ after.T, 0.0)
    counts = had @ has.T
    if lag == 0:
        return squares, counts
    off = 1 - np.eye(len(values))  # both ways round, but each station with itself once
    return squares + squares.T * off, counts + counts.T * off


def _usable(values: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the pairs that ever report together; an error if there is none."""
    if not pairs.any():
        reporting = int((~np.isnan(values)).any(axis=1).sum())
        raise ValueError(
            "a variogram needs two stations that report at the same hour; found "
            f"{reporting} of {len(values)} stations with values, never two at once. "
            "Give more stations or a longer period."
        )
    return pairs


def _bin_numbers(distance: np.ndarray, inside: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each pair, -1 outside; the edges of the bins are in one ratio."""
    ascending = np.sort(distance[inside])
    shortest = ascending[min(FIRST_BIN_PAIRS - 1, ascending.size // bins)]
    edges = np.geomspace(max(shortest, ascending[-1] / BIN_SPAN, 1e-6), ascending[-1] + 1e-6, bins)
    number = np.full(distance.shape, -1)
    # Numbered without gaps: a bin without any pair is none.
    bin_of_pair = np.searchsorted(edges[:-1], distance[inside], side="left")
    number[inside] = np.unique(bin_of_pair, return_inverse=True)[1]
    return number


def exponential(distance: np.ndarray, reach: float) -> np.ndarray:
    """Return the exponential correlation of distance or lag."""
    return np.exp(-np.asarray(distance, dtype=np.float64) / reach)


def spherical(distance: np.ndarray, reach: float) -> np.ndarray:
    """Return the spherical correlation of distance."""
    share = np.minimum(np.asarray(distance) / reach, 1.0)
    return 1 - 1.5 * share + 0.5 * share**3


def matern32(distance: np.ndarray, reach: float) -> np.ndarray:
    """Return the Matérn correlation of smoothness 3/2 of straight distance or lag."""
    share = np.asarray(distance, dtype=np.float64) / reach
    return (1 + share) * np.exp(-share)


def _matern32_of_chord(distance_km: np.ndarray, range_km: float) -> np.ndarray:
    """Return the Matérn correlation of the chord under a great-circle distance."""
    return matern32(2 * EARTH_RADIUS_KM * np.sin(distance_km / (2 * EARTH_RADIUS_KM)), range_km)


#: Correlation of distance (km) and range (km) of each model.
CORRELATIONS: Mapping[VariogramModel, Callable[[np.ndarray, float], np.ndarray]] = MappingProxyType(
    {"exponential": exponential, "spherical": spherical, "matern32": _matern32_of_chord}
)


def parameter_faults(
    model: str, positive: Mapping[str, float], not_negative: Mapping[str, float]
) -> list[str]:
    """Return what is wrong with the parameters of a variogram."""
    faults = []
    if model not in CORRELATIONS:
        faults.append(f"model must be one of {', '.join(CORRELATIONS)}; found {model!r}")
    for name, value in positive.items():
        if not (np.isfinite(value) and value > 0):
            faults.append(f"{name} must be positive; found {value}")
    for name, value in not_negative.items():
        if not (np.isfinite(value) and value >= 0):
            faults.append(f"{name} must not be negative; found {value}")
    return faults
