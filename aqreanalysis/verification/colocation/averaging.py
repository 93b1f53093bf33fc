"""Colocation in time: the finer of measurements and product is averaged to the coarser."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from aqreanalysis.conventions import MINIMUM_CAPTURE, TIME
from aqreanalysis.foreign.averaging import lengths, mean_by_group, nest, span
from aqreanalysis.foreign.periods import seconds
from aqreanalysis.observations import time_bounds
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
        Which of the two is averaged.
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


def align(product: np.ndarray, observations: xr.Dataset) -> Alignment:
    """Return how measurements and product are averaged to common periods.

    Where the product has longer periods, measurements are averaged, and a mean needs
    `MINIMUM_CAPTURE` of them; where measurements have longer periods, the product is averaged, and
    a mean needs all of its values. The periods run without gaps from the first common one to the
    last; the truth is missing where the product has no period.

    Parameters
    ----------
    product : (p, 2) datetime64[s]
        Begin and end of its periods, ascending.
    observations : Dataset

    Raises
    ------
    ForeignError
        If periods of one do not nest in those of the other.
    VerificationError
        If there is no common period, or those of the product overlap each other.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> observations = aqr.synthetic_network(hours=48, seed=0).observations
    >>> begin = observations.time.values[:1].astype("datetime64[s]")
    >>> bounds = np.stack([begin, begin + np.timedelta64(1, "D")], axis=1)
    >>> align(bounds, observations).measured_needed
    array([18.])
    """
    measured = seconds(time_bounds(observations))
    _check_common(product, measured)
    if (product[1:, 0] < product[:-1, 1]).any():
        raise VerificationError(
            "the averaging periods of the product overlap, as of running means: choose some that "
            "do not, with product.isel(time=...)"
        )
    if np.median(lengths(product)) > np.median(lengths(measured)):
        return _to_product(product, measured, observations)
    return _to_measurements(product, measured, observations)


def _to_measurements(
    bounds: np.ndarray, measured: np.ndarray, observations: xr.Dataset
) -> Alignment:
    """Return the periods of the measurements, to which a finer product is averaged."""
    group, count = nest(bounds, measured, "product", "measurements")
    whole = count > 0
    if not whole.any():
        raise VerificationError(
            f"the product covers no whole period of the measurements: they average "
            f"{np.median(lengths(measured)) / 3600:g} h, and it spans {span(bounds)}"
        )
    first, last = np.flatnonzero(whole)[[0, -1]]
    number = np.arange(measured.shape[0]) - first
    number[~whole] = -1
    estimated = np.where(group >= 0, number[group], -1)
    count = count[first : last + 1]
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
    group, _ = nest(measured, bounds, "measurements", "product")
    used = group[group >= 0]
    if not used.size:
        raise VerificationError(
            f"no period is in both: the measurements of {span(measured)} lie where the product "
            "has none"
        )
    first, last = used.min(), used.max()
    periods = bounds[first : last + 1]
    length = lengths(periods)
    number = np.arange(length.size)
    begin = periods[:, 0].astype(np.int64)
    if (length == length[0]).all() and not ((begin - begin[0]) % length[0]).any():
        # Regular, as an axis of measurements: fill in the periods that the product lacks.
        number = (begin - begin[0]) // length[0]
        starts = begin[0] + np.arange(number[-1] + 1) * length[0]
        periods = np.stack([starts, starts + length[0]], axis=1).astype("datetime64[s]")
    label = observations[TIME].attrs["time_label"]
    hours = float(np.median(length)) / 3600
    time = xr.DataArray(
        periods[:, 0 if label == "start" else 1].astype("datetime64[ns]"),
        dims=TIME,
        attrs={**observations[TIME].attrs, "step_hours": hours},
    )
    estimated = np.full(bounds.shape[0], -1)
    estimated[first : last + 1] = number
    return Alignment(
        time,
        np.where(group >= 0, estimated[group], -1),
        estimated,
        MINIMUM_CAPTURE * lengths(periods) / lengths(measured)[0],
        np.ones(periods.shape[0]),
        "measurements",
    )


def _check_common(product: np.ndarray, measured: np.ndarray) -> None:
    """Refuse two axes that have no time in common."""
    spans = [(bounds[:, 0].min(), bounds[:, 1].max()) for bounds in (product, measured)]
    (begin, end), (first, last) = spans
    if begin >= last or first >= end:
        raise VerificationError(
            f"no period is in both: the product spans {span(product)}, the measurements "
            f"{span(measured)}"
        )
