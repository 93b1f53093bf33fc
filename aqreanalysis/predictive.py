r"""The predictive distribution: what is known of a concentration where none was measured.

Concentrations are not negative and skewed; their square roots are nearly normal. Every method
therefore gives a root R of mean :math:`m \ge 0` and standard deviation s, normal or, where errors
far larger than usual are more frequent than that, of Student's t distribution; the concentration is
:math:`\max(R, 0)^2`. Estimate, standard error, quantiles, probabilities and scores are all derived
here, so that they mean the same for every method:

- the median is :math:`m^2`;
- the mean is :math:`m^2 + s^2 - n^2`, without the noise :math:`n` of a single monitor where a
  method knows it;
- the squared standard error, that of a new measurement, is :math:`4 m^2 s^2 + (k - 1) s^4`, with
  the kurtosis k: 3 of a normal root, :math:`3 + 6 / (\nu - 4)` of one with :math:`\nu` degrees of
  freedom.
"""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from scipy.special import gammaln, ndtr, ndtri, stdtr, stdtrit

#: What the estimate of a product is.
Statistic = Literal["median", "mean"]
#: Probabilities between which the 90 % interval lies.
INTERVAL_90 = (0.05, 0.95)
#: Key of a method's settings, and attribute of a product's standard error: the degrees of freedom
#: of the root where it is not normal.
DEGREES_OF_FREEDOM = "degrees_of_freedom"
#: Degrees of freedom at and below which a concentration has no standard error.
NO_ERROR = 4.0
#: Normal scores beyond this are this one: of 500 million, one is.
LARGEST_SCORE = 6.0


@dataclass(frozen=True, eq=False)
class RootNormal:
    """A concentration whose square root is normal or nearly so, at points or hours of any shape.

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
    freedom : float
        Degrees of freedom of Student's t distribution of the root, above 4; infinite for a normal
        one.

    Examples
    --------
    >>> pm25 = RootNormal(np.array(5.0), np.array(1.0))
    >>> float(pm25.median), float(pm25.mean), float(pm25.standard_error.round(1))
    (25.0, 26.0, 10.1)
    >>> [float(pm25.quantile(p).round(1)) for p in (0.05, 0.5, 0.95)]
    [11.3, 25.0, 44.2]
    >>> float(pm25.above(35.0).round(2))
    0.18

    Heavier tails leave the median and the error of the root, and little else:

    >>> pm25 = RootNormal(np.array(5.0), np.array(1.0), freedom=5.0)
    >>> [float(pm25.quantile(p).round(1)) for p in (0.05, 0.5, 0.95, 0.999)]
    [11.8, 25.0, 43.0, 91.5]
    """

    root: Any
    spread: Any
    noise: Any = 0.0
    signed: bool = False
    freedom: float = math.inf

    def __post_init__(self) -> None:
        if not self.freedom > NO_ERROR:
            raise ValueError(f"degrees of freedom are above 4; found {self.freedom!r}")
        if not self.signed and np.fmin.reduce(self.root, axis=None, initial=0) < 0:
            object.__setattr__(self, "root", np.maximum(self.root, 0))

    def __getitem__(self, part: Any) -> Self:
        """Return the distributions of a part, by the index of an array."""
        some = copy(self)  # without a second look at the values
        for name in ("root", "spread", "noise"):
            if np.ndim(values := getattr(self, name)):
                values = np.broadcast_to(values, self.root.shape)[part]
                object.__setattr__(some, name, values)
        return some

    @classmethod
    def from_median(
        cls,
        median: np.ndarray,
        error: np.ndarray,
        *,
        signed: bool = False,
        freedom: float = math.inf,
    ) -> Self:
        """Return the distribution with a median and a standard error, float64.

        Parameters
        ----------
        median, error : arrays of one shape
            NaN in either stays NaN. A median below 0 counts as 0 unless signed.
        signed : bool
        freedom : float
            Degrees of freedom of the root.

        Examples
        --------
        >>> pm25 = RootNormal.from_median(np.array(25.0), np.array(10.0))
        >>> float(pm25.root), float(pm25.standard_error.round(9))
        (5.0, 10.0)
        """
        median = np.asarray(median, np.float64)
        level = np.abs(median) if signed else np.maximum(median, 0.0)
        square, quartic = np.asarray(error, np.float64) ** 2, _kurtosis(freedom) - 1
        # The root of quartic s^4 + 4 level s^2 - square, without a difference of large numbers.
        total = 2 * level + np.sqrt(4 * level**2 + quartic * square)
        variance = np.divide(square, total, out=np.zeros_like(total + square), where=total > 0)
        root = np.sqrt(level) * (np.sign(median) if signed else 1.0)
        spread = np.sqrt(np.where(np.isnan(total), np.nan, variance))
        return cls(root, spread, signed=signed, freedom=freedom)

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
        error *= 4
        error += variance * (_kurtosis(self.freedom) - 1)
        error *= variance
        return np.sqrt(error, out=error) if np.ndim(error) else np.sqrt(error)

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
        return self._squared(self.root + self.spread * quantile_of_root(probability, self.freedom))

    def at_scores(self, scores: np.ndarray) -> np.ndarray:
        """Return the values at normal scores: that of 1.645 is the quantile of 95 %.

        Scores beyond 6 count as 6.

        Examples
        --------
        >>> pm25 = RootNormal(np.array([5.0]), np.array([1.0]), freedom=5.0)
        >>> pm25.at_scores(np.array([-1.6449, 0.0, 1.6449])).round(1)
        array([11.8, 25. , 43. ])
        """
        return self._squared(self.root + self.spread * _root_at_scores(scores, self.freedom))

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the normal scores of values, at most 6 from 0: the opposite of `at_scores`.

        Examples
        --------
        >>> pm25 = RootNormal(np.array([5.0]), np.array([1.0]), freedom=5.0)
        >>> pm25.scores(pm25.at_scores(np.array([-1.5, 0.0, 2.5]))).round(3)
        array([-1.5,  0. ,  2.5])
        """
        scores: np.ndarray = np.clip(ndtri(self.below(values)), -LARGEST_SCORE, LARGEST_SCORE)
        return scores

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
        z = _standardised(difference, self.spread) / _scale(self.freedom)
        return np.where(self.spread > 0, _distribution(z, self.freedom), certain)

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
        root, freedom = self.root.astype(np.float64), self.freedom
        scale = self.spread.astype(np.float64) * _scale(freedom)
        supported = np.maximum(truth, 0.0)
        zero = _Integrals.up_to(_standardised(-root, scale), freedom)
        z = _standardised(_root(truth) - root, scale)
        below, above = _Integrals.up_to(z, freedom), _Integrals.up_to(-z, freedom)
        linear = below.square - zero.square + above.square
        square = below.moment - zero.moment - above.moment
        score = 2 * scale * (root * linear + scale * square) + (supported - truth)
        return np.where(scale > 0, score, np.abs(truth - root**2))

    def _squared(self, root: np.ndarray) -> np.ndarray:
        """Return the value of a root."""
        if self.signed:
            return root * np.abs(root)
        root = np.maximum(root, 0)
        return root * root


#: Attributes of a product's standard error: how the errors of its hours are correlated.
TIME_SCALES, SHARES = "error_time_scales_h", "error_shares"


@dataclass(frozen=True)
class ErrorCorrelation:
    r"""How the errors of an estimate at one place are correlated over time.

    A sum of exponentials, :math:`\rho(t) = \sum_c w_c \exp(-t / \tau_c)`: errors that last for
    an hour, for days, and always, as where a place departs from what its neighbours say.

    Parameters
    ----------
    scales : tuple of float
        Hours; 0 for what the next value does not share.
    shares : tuple of float
        Of the variance, which sum up to 1.

    Examples
    --------
    >>> errors = ErrorCorrelation(scales=(0.0, 1e6), shares=(0.5, 0.5))
    >>> errors(np.array([0.0, 1.0, 24.0])).round(2)
    array([1. , 0.5, 0.5])
    >>> float(errors.of_mean(np.full(100, 10.0), np.arange(100)).round(1))
    7.1
    """

    scales: tuple[float, ...]
    shares: tuple[float, ...]

    def __call__(self, hours: np.ndarray) -> np.ndarray:
        """Return the correlation of errors some hours apart."""
        scales = np.maximum(self.scales, 1e-9)
        decays = np.exp(-np.abs(np.asarray(hours, np.float64))[..., None] / scales)
        correlation: np.ndarray = decays @ np.array(self.shares)
        return correlation

    def of_sum(self, errors: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Return the standard error of a sum over time, (...), from those of its values (..., t).

        ``hours`` (t,) say when the values are. Values without an error have none. The sum over all
        pairs is taken in one pass, by what each exponential carries from one value to the next.
        """
        steps = np.moveaxis(np.nan_to_num(np.asarray(errors, np.float64)), -1, 0)
        apart = np.diff(np.asarray(hours, np.float64), prepend=hours[:1])
        total = np.zeros(steps.shape[1:])
        for scale, share in zip(self.scales, self.shares, strict=True):
            if share == 0:
                continue
            decays = np.exp(-apart / scale) if scale > 0 else np.zeros(apart.shape)
            carried = np.zeros(steps.shape[1:])
            for step, decay in zip(steps, decays, strict=True):
                carried = decay * carried
                total += share * step * (step + 2 * carried)
                carried = carried + step
        deviation: np.ndarray = np.sqrt(total)
        return deviation

    def of_mean(self, errors: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Return the standard error of a mean over time, (...), from those of its values (..., t).

        ``hours`` (t,) say when the values are. Values without an error do not count.
        """
        count = np.isfinite(errors).sum(axis=-1)
        total, mean = self.of_sum(errors, hours), np.full(count.shape, np.nan)
        return np.divide(total, count, out=mean, where=count > 0)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes that a standard error has in a product."""
        return {TIME_SCALES: list(self.scales), SHARES: [round(s, 6) for s in self.shares]}

    @classmethod
    def from_attributes(cls, attributes: Mapping[Any, Any]) -> Self | None:
        """Return the correlation that a standard error states; None if it states none."""
        if TIME_SCALES not in attributes or SHARES not in attributes:
            return None
        scales, shares = (
            tuple(np.atleast_1d(attributes[name]).astype(np.float64).tolist())
            for name in (TIME_SCALES, SHARES)
        )
        valid = len(scales) == len(shares) and min(*scales, *shares) >= 0
        return cls(scales, shares) if valid and 0.99 < sum(shares) < 1.01 else None


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


def stated_freedom(freedom: float) -> float | None:
    """Return degrees of freedom as settings state them: None for a normal root."""
    return None if math.isinf(freedom) else freedom


def freedom_of(described: Mapping[Any, Any]) -> float:
    """Return the degrees of freedom that settings or attributes state; infinite if they do not.

    Examples
    --------
    >>> freedom_of({"degrees_of_freedom": 5.0}), freedom_of({})
    (5.0, inf)
    """
    stated = described.get(DEGREES_OF_FREEDOM)
    return math.inf if stated is None else float(stated)


def quantile_of_root(probability: float, freedom: float) -> float:
    """Return a quantile of a root of mean 0 and standard deviation 1.

    Examples
    --------
    >>> round(quantile_of_root(0.95, math.inf), 4), round(quantile_of_root(0.95, 5.0), 4)
    (1.6449, 1.5608)
    """
    if math.isinf(freedom):
        return float(ndtri(probability))
    return float(stdtrit(freedom, probability)) * _scale(freedom)


def _root_at_scores(scores: np.ndarray, freedom: float) -> np.ndarray:
    """Return roots of mean 0 and standard deviation 1 at normal scores.

    Over the score it is a smooth function of the squared score: by a polynomial it is fast, and
    right to 1e-5.
    """
    if math.isinf(freedom):
        return scores
    scores = np.clip(scores, -LARGEST_SCORE, LARGEST_SCORE)
    square = scores * scores
    highest, *others = _stretching(freedom)
    stretch = np.full_like(square, highest)
    for coefficient in others:
        stretch *= square
        stretch += square.dtype.type(coefficient)
    stretch *= scores
    return stretch


@lru_cache(maxsize=16)
def _stretching(freedom: float) -> tuple[float, ...]:
    """Return the coefficients of the polynomial of `_root_at_scores`, the highest power first."""
    scores = np.linspace(1e-3, LARGEST_SCORE, 4000)
    roots = -stdtrit(freedom, ndtr(-scores)) * _scale(freedom)
    fitted = np.polynomial.Chebyshev.fit(scores**2, roots / scores, 8)
    power = fitted.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1])
    return tuple(power.coef[::-1].tolist())


def _scale(freedom: float) -> float:
    """Return the scale of Student's t distribution with a standard deviation of 1."""
    return math.sqrt(1 - 2 / freedom)


def _kurtosis(freedom: float) -> float:
    """Return the kurtosis of Student's t distribution."""
    return 3 + 6 / (freedom - NO_ERROR)


def _distribution(z: np.ndarray, freedom: float) -> np.ndarray:
    """Return Student's distribution function, of a scale of 1."""
    return ndtr(z) if math.isinf(freedom) else stdtr(freedom, z)


class _Integrals(NamedTuple):
    r"""Integrals up to z of :math:`F^2` and :math:`z F^2`, with F of Student's t distribution.

    By parts, with the density f and :math:`G(z) = \int^z t f(t) dt = -(\nu + z^2) f / (\nu - 1)`;
    :math:`(\nu + z^2) f^2` is a multiple of the density with :math:`2 \nu - 1` degrees of freedom.
    """

    square: np.ndarray
    moment: np.ndarray

    @classmethod
    def up_to(cls, z: np.ndarray, freedom: float) -> Self:
        """Return the integrals for each z."""
        p = _distribution(z, freedom)
        if math.isinf(freedom):
            partial = -np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
            rest = ndtr(math.sqrt(2) * z) / math.sqrt(math.pi)
            inner = z * partial * p - partial**2 / 2 + p**2 / 2
        else:
            peak, wider = _peak(freedom), 2 * freedom - 1
            kernel = 1 + z**2 / freedom
            partial = -peak * freedom / (freedom - 1) * kernel ** ((1 - freedom) / 2)
            stretch = math.sqrt(wider / freedom)
            share = 2 * freedom * peak**2 / (_peak(wider) * stretch * (freedom - 1))
            rest = share * stdtr(wider, stretch * z)
            inner = (freedom - 1) * (z * partial * p - partial**2 / 2) + freedom * p**2 / 2
            inner = inner / (freedom - 2)
        return cls(z * p**2 - 2 * partial * p - rest, (z * p) ** 2 / 2 - inner)


def _peak(freedom: float) -> float:
    """Return the density of Student's t distribution at 0."""
    logarithm = gammaln((freedom + 1) / 2) - gammaln(freedom / 2)
    return math.exp(logarithm) / math.sqrt(freedom * math.pi)
