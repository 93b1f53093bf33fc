"""Two time axes brought to one: measurements averaged to a product's periods, or the other way."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from aqreanalysis.conventions import MINIMUM_CAPTURE, TIME
from aqreanalysis.observations import time_bounds
from aqreanalysis.verification.colocation.periods import ProductPeriods, seconds
from aqreanalysis.verification.errors import VerificationError


@dataclass(frozen=True)
class Alignment:
    """The periods of the pairs, and which values are averaged to each.

    Attributes
    ----------
    time : (n,) DataArray
        Labels of the periods, with ``time_label`` and ``step_hours``.
    measured, estimated : (t,) and (p,) int
        The period that each step of the measurements and of the product goes to; -1 for none.
    measured_needed, estimated_needed : (n,) float64
        Values that the mean of each period needs.
    averaged : {"measurements", "product"} or None
        What had to be averaged.
    """

    time: xr.DataArray
    measured: np.ndarray
    estimated: np.ndarray
    measured_needed: np.ndarray
    estimated_needed: np.ndarray
    averaged: Literal["measurements", "product"] | None

    def truth(self, values: np.ndarray) -> np.ndarray:
        """Return the means of measurements (m, t) in the periods, (m, n)."""
        return mean_by_group(values, self.measured, self.measured_needed)

    def estimate(self, values: np.ndarray) -> np.ndarray:
        """Return the means of the product's values that are used (m, h) in the periods, (m, n)."""
        return mean_by_group(values, self.estimated[self.estimated >= 0], self.estimated_needed)


def align(product: ProductPeriods, observations: xr.Dataset) -> Alignment:
    """Return how measurements and product are averaged to periods that both have.

    Where the product averages longer, so are measurements, and a mean needs `MINIMUM_CAPTURE` of
    them; where measurements average longer, the product is, and a mean needs all of it. The
    periods are those of the whole axis from the first common one to the last; in between, no
    truth is given where the product has no period.

    Raises
    ------
    VerificationError
        If there is no common period, periods of one do not nest in those of the other, or those
        of the product overlap each other.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> observations = aqr.synthetic_network(hours=48, seed=0).observations
    >>> begin = observations.time.values[:1].astype("datetime64[s]")
    >>> bounds = np.stack([begin, begin + np.timedelta64(1, "D")], axis=1)
    >>> periods = ProductPeriods(bounds, np.array([0]), "time", ())
    >>> align(periods, observations).measured_needed
    array([18.])
    """
    measured = seconds(time_bounds(observations))
    _check_common(product.bounds, measured)
    if (product.bounds[1:, 0] < product.bounds[:-1, 1]).any():
        raise VerificationError(
            "the averaging periods of the product overlap, as of running means: choose some that "
            "do not, with product.isel(time=...)"
        )
    if np.median(_lengths(product.bounds)) > np.median(_lengths(measured)):
        return _to_product(product.bounds, measured, observations)
    return _to_measurements(product.bounds, measured, observations)


def mean_by_group(values: np.ndarray, group: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return the mean of each group, (m, n) float64; NaN where too few values are there.

    Parameters
    ----------
    values : (m, q) array
        NaN is missing.
    group : (q,) int array
        Number of the group, within 0..n-1; -1 for none.
    needed : (n,) array
        Values that a mean needs, and never less than one.

    Examples
    --------
    >>> mean_by_group(
    ...     np.array([[1.0, 3.0, 7.0, np.nan]]), np.array([0, 0, 1, 1]), np.array([2, 2])
    ... )
    array([[ 2., nan]])
    """
    used = group >= 0
    values, group = values[:, used], group[used]
    shape = (values.shape[0], needed.size)
    bins = (np.arange(shape[0])[:, None] * shape[1] + group).ravel()
    there = np.isfinite(values)
    total = np.bincount(bins, np.where(there, values, 0.0).ravel(), shape[0] * shape[1])
    count = np.bincount(bins, there.ravel(), shape[0] * shape[1])
    enough = (count.reshape(shape) >= needed) & (count.reshape(shape) > 0)
    mean = np.full(shape, np.nan)
    np.divide(total.reshape(shape), count.reshape(shape), out=mean, where=enough)
    return mean


def _to_measurements(
    bounds: np.ndarray, measured: np.ndarray, observations: xr.Dataset
) -> Alignment:
    """Return the periods of the measurements, to which the product is averaged if it is finer."""
    group = _holding(bounds, measured, "product", "measurements")
    used = group[group >= 0]
    covered = np.bincount(used, _lengths(bounds)[group >= 0], measured.shape[0])
    whole = covered == _lengths(measured)
    if not whole.any():
        raise VerificationError(
            f"the product covers no whole period of the measurements: they average "
            f"{_hours(measured)}, and it spans {_span(bounds)}"
        )
    first, last = np.flatnonzero(whole)[[0, -1]]
    number = np.arange(measured.shape[0]) - first
    number[~whole] = -1
    estimated = np.where(group >= 0, number[group], -1)
    count = np.bincount(used, minlength=measured.shape[0])[first : last + 1]
    return Alignment(
        observations[TIME][first : last + 1],
        number,
        estimated,
        np.ones(last + 1 - first),
        count.astype(np.float64),
        "product" if count.max() > 1 else None,
    )


def _to_product(bounds: np.ndarray, measured: np.ndarray, observations: xr.Dataset) -> Alignment:
    """Return the periods of the product, to which measurements are averaged."""
    group = _holding(measured, bounds, "measurements", "product")
    used = group[group >= 0]
    if not used.size:
        raise VerificationError(
            f"no period is in both: the measurements of {_span(measured)} lie where the product "
            "has none"
        )
    first, last = used.min(), used.max()
    span = bounds[first : last + 1]
    length = _lengths(span)
    number = np.arange(span.shape[0])
    begin = span[:, 0].astype(np.int64)
    if (length == length[0]).all() and not ((begin - begin[0]) % length[0]).any():
        # As regular as an axis of measurements: periods that the product lacks are in between.
        number = (begin - begin[0]) // length[0]
        starts = begin[0] + np.arange(number[-1] + 1) * length[0]
        span = np.stack([starts, starts + length[0]], axis=1).astype("datetime64[s]")
    label = observations[TIME].attrs["time_label"]
    hours = float(np.median(length)) / 3600
    time = xr.DataArray(
        span[:, 0 if label == "start" else 1].astype("datetime64[ns]"),
        dims=TIME,
        attrs={**observations[TIME].attrs, "step_hours": hours},
    )
    estimated = np.full(bounds.shape[0], -1)
    estimated[first : last + 1] = number
    return Alignment(
        time,
        np.where(group >= 0, estimated[group], -1),
        estimated,
        MINIMUM_CAPTURE * _lengths(span) / _lengths(measured)[0],
        np.ones(span.shape[0]),
        "measurements",
    )


def _holding(inner: np.ndarray, outer: np.ndarray, inside: str, around: str) -> np.ndarray:
    """Return the outer period that holds each inner one, -1 for none; both in ascending order."""
    before = np.searchsorted(outer[:, 0], inner[:, 0], side="right") - 1
    begun = (before >= 0) & (inner[:, 0] < outer[before, 1])
    held = begun & (inner[:, 1] <= outer[before, 1])
    after = np.minimum(before + 1, outer.shape[0] - 1)
    reaches = (inner[:, 1] > outer[after, 0]) & (inner[:, 0] < outer[after, 0])
    astride = np.flatnonzero((begun & ~held) | reaches)
    if astride.size:
        at = astride[0]
        other = outer[before[at]] if begun[at] else outer[after[at]]
        raise VerificationError(
            f"the periods of the {inside} do not nest in those of the {around}: "
            f"{_span(inner[[at]])} beside {_span(other[None])}. Correct the stamps or time_label, "
            "or average one of them to the periods of the other"
        )
    return np.where(held, before, -1)


def _check_common(product: np.ndarray, measured: np.ndarray) -> None:
    """Refuse two axes that have no time in common."""
    spans = [(bounds[:, 0].min(), bounds[:, 1].max()) for bounds in (product, measured)]
    (begin, end), (first, last) = spans
    if begin >= last or first >= end:
        raise VerificationError(
            f"no period is in both: the product spans {_span(product)}, the measurements "
            f"{_span(measured)}"
        )


def _lengths(bounds: np.ndarray) -> np.ndarray:
    """Return the lengths of periods in seconds."""
    return (bounds[:, 1] - bounds[:, 0]).astype(np.int64)


def _hours(bounds: np.ndarray) -> str:
    """Return the usual length of periods in words."""
    return f"{np.median(_lengths(bounds)) / 3600:g} h"


def _span(bounds: np.ndarray) -> str:
    """Return the time from the first period to the last in words."""
    ends = np.datetime_as_string([bounds[:, 0].min(), bounds[:, 1].max()], unit="m")
    return f"{ends[0]} to {ends[1]} UTC"
