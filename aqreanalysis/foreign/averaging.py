"""Averages over periods: which periods nest in which, and means of groups."""

import numpy as np

from aqreanalysis.foreign.errors import ForeignError


def mean_by_group(values: np.ndarray, group: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Return the mean of each group, (m, n) float64; NaN where too few values are finite.

    Values are (m, q), NaN where missing; ``group`` (q,) is within 0..n-1, -1 for none; ``needed``
    (n,) is how many values a mean needs, one at least.

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
    measured = np.isfinite(values)
    total = np.bincount(bins, np.where(measured, values, 0.0).ravel(), shape[0] * shape[1])
    count = np.bincount(bins, measured.ravel(), shape[0] * shape[1])
    enough = (count.reshape(shape) >= needed) & (count.reshape(shape) > 0)
    mean = np.full(shape, np.nan)
    np.divide(total.reshape(shape), count.reshape(shape), out=mean, where=enough)
    return mean


def nest(
    inner: np.ndarray, outer: np.ndarray, inner_name: str, outer_name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the outer period of each inner one, (p,), and how many fill each outer one, (n,).

    Periods (p, 2) and (n, 2) ascend; the names say what they are of. An inner period in no outer
    one has -1; an outer one that the inner ones do not cover has 0.

    Raises
    ------
    ForeignError
        If periods do not nest.
    """
    group = _enclosing(inner, outer, inner_name, outer_name)
    used = group[group >= 0]
    covered = np.bincount(used, lengths(inner)[group >= 0], outer.shape[0])
    count = np.bincount(used, minlength=outer.shape[0])
    return group, np.where(covered == lengths(outer), count, 0)


def lengths(bounds: np.ndarray) -> np.ndarray:
    """Return the lengths of periods in seconds."""
    return (bounds[:, 1] - bounds[:, 0]).astype(np.int64)


def span(bounds: np.ndarray) -> str:
    """Return the time from the first period to the last in words."""
    ends = np.datetime_as_string([bounds[:, 0].min(), bounds[:, 1].max()], unit="m")
    return f"{ends[0]} to {ends[1]} UTC"


def _enclosing(
    inner: np.ndarray, outer: np.ndarray, inner_name: str, outer_name: str
) -> np.ndarray:
    """Return the outer period that encloses each inner one, -1 for none; both are ascending."""
    before = np.searchsorted(outer[:, 0], inner[:, 0], side="right") - 1
    starts_inside = (before >= 0) & (inner[:, 0] < outer[before, 1])
    within = starts_inside & (inner[:, 1] <= outer[before, 1])
    after = np.minimum(before + 1, outer.shape[0] - 1)
    ends_inside = (inner[:, 1] > outer[after, 0]) & (inner[:, 0] < outer[after, 0])
    overlapping = np.flatnonzero((starts_inside & ~within) | ends_inside)
    if overlapping.size:
        first = overlapping[0]
        other = outer[before[first]] if starts_inside[first] else outer[after[first]]
        raise ForeignError(
            f"the periods of the {inner_name} do not nest in those of the {outer_name}: "
            f"{span(inner[[first]])} beside {span(other[None])}. Correct the stamps or time_label, "
            "or average one of them to the periods of the other"
        )
    return np.where(within, before, -1)
