r"""The predictive distribution: what is known of a concentration where none was measured.

Concentrations are not negative and skewed; their square roots are nearly normal. Every method
therefore gives a normal root :math:`R \sim N(m, s^2)` with :math:`m \ge 0`, and the concentration
is :math:`\max(R, 0)^2`. Estimate, standard error, quantiles, probabilities and scores are all
derived from m and s here, so that they mean the same for every method:

- the median is :math:`m^2`;
- the mean is :math:`m^2 + s^2 - n^2`, without the noise :math:`n` of a single monitor where a
  method knows it;
- the squared standard error, that of a new measurement, is :math:`4 m^2 s^2 + 2 s^4`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from scipy.special import ndtr, ndtri

#: What the estimate of a product is.
Statistic = Literal["median", "mean"]
#: Probabilities between which the 90 % interval lies.
INTERVAL_90 = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class RootNormal:
    """A concentration of which the square root is normal, at points, cells or hours of any shape.

    Parameters
    ----------
    root : ndarray or DataArray
        Mean of the square root; below 0 it counts as 0. NaN where nothing is known.
    spread : ndarray or DataArray
        Standard deviation of the square root, of a new measurement.
    noise : like spread, or float
        The part of the spread that is a monitor's noise: the mean leaves it out.
    signed : bool
        For variables that may be negative: the value is ``R |R|``.

    Examples
    --------
    >>> pm25 = RootNormal(np.array(5.0), np.array(1.0))
    >>> float(pm25.median), float(pm25.mean), float(pm25.standard_error.round(1))
    (25.0, 26.0, 10.1)
    >>> [float(pm25.quantile(p).round(1)) for p in (0.05, 0.5, 0.95)]
    [11.3, 25.0, 44.2]
    >>> float(pm25.above(35.0).round(2))
    0.18
    """

    root: Any
    spread: Any
    noise: Any = 0.0
    signed: bool = False

    def __post_init__(self) -> None:
        if not self.signed and np.fmin.reduce(self.root, axis=None, initial=0) < 0:
            object.__setattr__(self, "root", np.maximum(self.root, 0))

    def __getitem__(self, part: Any) -> Self:
        """Return the distributions of a part, by the index of an array."""
        noise = self.noise
        if np.ndim(noise):
            noise = np.broadcast_to(noise, self.root.shape)[part]
        return type(self)(self.root[part], self.spread[part], noise, self.signed)

    @classmethod
    def from_median(cls, median: np.ndarray, error: np.ndarray, *, signed: bool = False) -> Self:
        """Return the distribution with a median and a standard error, float64.

        Parameters
        ----------
        median, error : arrays of one shape
            NaN in either stays NaN. A median below 0 counts as 0 unless signed.

        Examples
        --------
        >>> pm25 = RootNormal.from_median(np.array(25.0), np.array(10.0))
        >>> float(pm25.root), float(pm25.standard_error.round(9))
        (5.0, 10.0)
        """
        median = np.asarray(median, np.float64)
        level = np.abs(median) if signed else np.maximum(median, 0.0)
        half = np.asarray(error, np.float64) ** 2 / 2
        # The root of s^4 + 2 level s^2 - half, without a difference of large numbers.
        total = level + np.sqrt(level**2 + half)
        variance = np.divide(half, total, out=np.zeros_like(total + half), where=total > 0)
        root = np.sqrt(level) * (np.sign(median) if signed else 1.0)
        spread = np.sqrt(np.where(np.isnan(total), np.nan, variance))
        return cls(root, spread, signed=signed)

    @classmethod
    def from_mean(cls, mean: np.ndarray, error: np.ndarray) -> Self:
        """Return the distribution with a mean and a standard error, float64.

        No such distribution has an error above ``sqrt(2)`` times its mean; a larger one counts as
        that.

        Examples
        --------
        >>> pm25 = RootNormal.from_mean(np.array(26.0), np.array(10.1))
        >>> float(pm25.mean.round(9)), float(pm25.standard_error.round(9))
        (26.0, 10.1)
        """
        mean = np.maximum(np.asarray(mean, np.float64), 0.0)
        square = np.asarray(error, np.float64) ** 2
        level = np.sqrt(np.maximum(mean**2 - square / 2, 0.0))
        return cls(np.sqrt(level), np.sqrt(np.maximum(mean - level, 0.0)))

    @classmethod
    def with_mean(cls, mean: np.ndarray, spread: np.ndarray) -> Self:
        """Return the distribution with a mean and a spread of the root.

        A spread whose square is above the mean leaves a median of 0.

        Examples
        --------
        >>> pm25 = RootNormal.with_mean(np.array([26.0, 4.0]), np.array([1.0, 3.0]))
        >>> pm25.median, pm25.mean
        (array([25.,  0.]), array([26.,  4.]))
        """
        level = mean - spread**2
        return cls(np.sqrt(np.maximum(level, 0)), spread, np.sqrt(np.maximum(-level, 0)))

    @property
    def median(self) -> np.ndarray:
        """The value that is exceeded as often as not."""
        return self.root * (np.abs(self.root) if self.signed else self.root)

    @property
    def mean(self) -> np.ndarray:
        """The mean of the air, a monitor's noise left out."""
        return self.median + np.maximum(self.spread**2 - self.noise**2, 0)

    @property
    def standard_error(self) -> np.ndarray:
        """The standard deviation of a new measurement."""
        variance = self.spread * self.spread
        error = self.root * self.root  # in place from here: fields are large
        error *= 2
        error += variance
        error *= variance
        error *= 2
        return np.sqrt(error)

    def estimate(self, statistic: Statistic = "median") -> np.ndarray:
        """Return the median or the mean."""
        return self.median if statistic == "median" else self.mean

    def quantile(self, probability: float) -> np.ndarray:
        """Return the value that is not exceeded with a probability.

        Raises
        ------
        ValueError
            If the probability is not between 0 and 1.
        """
        if not 0 < probability < 1:
            raise ValueError(f"a quantile is between 0 and 1, both excluded; found {probability!r}")
        return self._squared(self.root + self.spread * float(ndtri(probability)))

    def interval_90(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of the 90 % interval."""
        low, high = INTERVAL_90
        return self.quantile(low), self.quantile(high)

    def below(self, value: np.ndarray | float) -> np.ndarray:
        """Return the probability of less than a value; of the truth, the probability integral.

        Without a spread it is 0, 1, or one half at the estimate.

        Examples
        --------
        >>> RootNormal.from_median(np.array([25.0, 16.0]), np.array([10.0, 0.0])).below(25.0)
        array([0.5, 1. ])
        """
        value = np.asarray(value)
        root = np.sqrt(np.abs(value)) * np.sign(value) if self.signed else _root(value)
        difference = root - self.root
        certain = (np.sign(difference) + 1) / 2
        return np.where(self.spread > 0, ndtr(_standardised(difference, self.spread)), certain)

    def above(self, limit: np.ndarray | float) -> np.ndarray:
        """Return the probability that a limit is exceeded."""
        return 1 - self.below(limit)

    def crps(self, truth: np.ndarray) -> np.ndarray:
        r"""Return the continuous ranked probability score, in the unit of the truth, float64.

        The integral of :math:`(F(x) - [x \ge y])^2` (Gneiting & Raftery 2007, J. Am. Stat. Assoc.
        102, 359), in closed form. Without a spread it is the absolute difference. Negative
        measurements are outside the support; they add their distance from 0.

        Raises
        ------
        ValueError
            For signed values, of which no closed form is at hand.

        Examples
        --------
        >>> float(RootNormal.from_median(np.array(25.0), np.array(10.0)).crps(30.0).round(3))
        3.272
        """
        if self.signed:
            raise ValueError("the CRPS is that of concentrations, which are not negative")
        truth = np.asarray(truth, np.float64)
        root, spread = self.root.astype(np.float64), self.spread.astype(np.float64)
        supported = np.maximum(truth, 0.0)
        zero = _standardised(-root, spread)
        z = _standardised(_root(truth) - root, spread)
        linear = _integral(z) - _integral(zero) + _integral(-z)
        square = _first_moment(z) - _first_moment(zero) - _first_moment(-z)
        score = 2 * spread * (root * linear + spread * square) + (supported - truth)
        return np.where(spread > 0, score, np.abs(truth - root**2))

    def _squared(self, root: np.ndarray) -> np.ndarray:
        """Return the value of a root."""
        if self.signed:
            return root * np.abs(root)
        root = np.maximum(root, 0)
        return root * root


def with_median(quantiles: Sequence[float], statistic: Statistic) -> tuple[float, ...]:
    """Return the quantiles of a product, the median among them where the estimate is the mean.

    Examples
    --------
    >>> with_median((0.95,), "median"), with_median((0.95,), "mean")
    ((0.95,), (0.5, 0.95))
    """
    return tuple(sorted({*quantiles, 0.5})) if statistic == "mean" else tuple(quantiles)


def check_statistic(statistic: str) -> None:
    """Refuse what is no statistic of a distribution.

    Raises
    ------
    ValueError
        If it is neither "median" nor "mean".
    """
    if statistic not in get_args(Statistic):
        raise ValueError(f"statistic must be 'median' or 'mean'; found {statistic!r}")


def check_quantiles(probabilities: Sequence[float]) -> None:
    """Refuse what are no probabilities of quantiles.

    Raises
    ------
    ValueError
        If one is not between 0 and 1, or there twice.
    """
    if not isinstance(probabilities, Sequence) or isinstance(probabilities, str):
        raise ValueError(
            f"quantiles are several probabilities, such as (0.05, 0.95); found {probabilities!r}"
        )
    wrong = [p for p in probabilities if not (isinstance(p, (int, float)) and 0 < p < 1)]
    if wrong:
        raise ValueError(
            "quantiles are probabilities between 0 and 1, both excluded, such as (0.05, 0.95); "
            f"found {', '.join(map(repr, wrong))}"
        )
    if len(set(probabilities)) != len(probabilities):
        raise ValueError(f"each quantile once; found {tuple(probabilities)}")


def _root(value: np.ndarray) -> np.ndarray:
    """Return the square root of concentrations; noise below 0 counts as 0."""
    return np.sqrt(np.maximum(value, 0.0))


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
