"""Many small kriging systems at once, and sums that do not depend on how they are split."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

#: Values (target-hours) whose systems are told apart at once: tens of MB of work space.
SYSTEM_VALUES = 1 << 17
#: Values that are summed at once: 128 kB in float64, so that a sum stays in the cache.
SUM_VALUES = 1 << 14
#: Numbers in one batch of systems, 32 MB in float64.
BATCH_NUMBERS = 1 << 22
#: Targets whose weights are solved at once: their systems of 16 fit in the second-level cache.
CACHED_TARGETS = 256


def label_rows(columns: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for each distinct row, and the position of its first occurrence.

    Parameters
    ----------
    columns : iterable of (n,) int64 arrays
        Columns of the rows, each value in [0, 2**32).

    Returns
    -------
    label : (n,) int64
        Equal where the rows are equal, numbered by first occurrence.
    first : (distinct,) int64
        Where each of them is first met.

    Examples
    --------
    >>> label, first = label_rows([np.array([5, 5, 7, 5]), np.array([1, 2, 1, 1])])
    >>> label.tolist(), first.tolist()
    ([0, 1, 2, 0], [0, 1, 2])
    """
    # Exact, unlike a hash: labels and columns stay below 2**31 and 2**32, so that no pair is lost.
    label: np.ndarray | None = None
    for column in columns:
        row = column if label is None else label << 32 | column
        label = pd.factorize(row)[0].astype(np.int64)
    if label is None:
        raise ValueError("rows need at least one column")
    first = np.empty(int(label.max(initial=-1)) + 1, dtype=np.int64)
    first[label[::-1]] = np.arange(label.size)[::-1]
    return label, first


def batches(count: int, numbers: int) -> Iterator[slice]:
    """Return slices over ``count`` systems of so many numbers each that a batch fits in memory."""
    size = max(1, BATCH_NUMBERS // max(numbers, 1))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


@dataclass(frozen=True)
class Systems:
    """Inverted covariance matrices of sets of measurements, ready for any number of targets.

    Attributes
    ----------
    inverse : (sets, m, m) float64
        Inverse of the covariance among the measurements of a set; zero in absent slots.
    total : (sets, m) float64
        Row sums of the inverse.
    whole : (sets,) float64
        Sum of the inverse.
    """

    inverse: np.ndarray
    total: np.ndarray
    whole: np.ndarray

    @classmethod
    def of(cls, covariance: np.ndarray, present: np.ndarray) -> "Systems":
        """Return the systems of covariances (sets, m, m) of which slots (sets, m) are present."""
        if not present.all():
            # An absent slot becomes a row of the identity: it then takes no part in the others.
            both = present[:, :, None] & present[:, None, :]
            inverse = np.linalg.inv(np.where(both, covariance, np.eye(present.shape[1]))) * both
        else:
            inverse = np.linalg.inv(covariance)
        total = inverse.sum(axis=1)
        return cls(inverse, total, total.sum(axis=1))

    def weights(self, number: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ordinary kriging weights, and by how much they reduce the variance of a target.

        With C the covariance of the measurements and c that with the target, the weights are
        ``w = C⁻¹ (c - μ 1)`` where μ makes them sum to one; the kriging variance is the variance of
        the target less ``w·c + μ`` (Cressie 1993, Statistics for Spatial Data, section 3.2).

        Parameters
        ----------
        number : (n,) int
            The set of each target.
        cross : (n, m) float64
            Covariance of the target with each slot of its set.

        Returns
        -------
        weights : (n, m) float64
            Zero in absent slots, and everywhere in a set without any measurement.
        reduction : (n,) float64
        """
        weights, reduction = np.empty_like(cross), np.empty(len(cross))
        for start in range(0, len(cross), CACHED_TARGETS):
            part = slice(start, start + CACHED_TARGETS)
            weights[part], reduction[part] = self._weights(number[part], cross[part])
        return weights, reduction

    def _weights(self, number: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (n, m) and reductions (n,) of few enough targets for the cache."""
        # A product for each target alone: the same bits for any batch, unlike one of many.
        simple = np.matmul(self.inverse.take(number, axis=0), cross[:, :, None])[:, :, 0]
        whole = self.whole[number]
        excess = simple.sum(axis=1) - 1
        multiplier = np.divide(excess, whole, out=np.zeros_like(whole), where=whole > 0)
        weights = simple - multiplier[:, None] * self.total.take(number, axis=0)
        return weights, multiplier + (weights * cross).sum(axis=1)


def solve_cases(
    station: np.ndarray,
    present: np.ndarray,
    cross: np.ndarray,
    covariance: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and variance reduction of many cases, of which some share their measurements.

    Parameters
    ----------
    station : (cases, m) int64
        Row of the station of each slot; any number where absent, the same in all.
    present : (cases, m) bool
        Whether the slot holds a measurement.
    cross : (cases, m) float64
        Covariance of the target with each slot.
    covariance : callable
        From stations (sets, m) to the covariance among their slots, (sets, m, m).

    Returns
    -------
    weights : (cases, m) float64
    reduction : (cases,) float64
        As of `Systems.weights`.
    """
    number, first = label_rows(_set_columns(station))
    weights, reduction = np.empty_like(cross), np.empty(len(cross))
    by_set = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[by_set], np.arange(first.size + 1))
    for batch in batches(first.size, station.shape[1] ** 2):
        sets = first[batch]
        systems = Systems.of(covariance(station[sets]), present[sets])
        rows = by_set[edges[batch.start] : edges[batch.stop]]
        weights[rows], reduction[rows] = systems.weights(number[rows] - batch.start, cross[rows])
    return weights, reduction


def weighted_sum(
    weights: Iterable[np.ndarray], values: Iterable[np.ndarray], shape: tuple[int, int]
) -> np.ndarray:
    """Return the sum of weights times values over slots, (n, hours), slot after slot.

    The order of the sum is that of the slots, whatever the shape, so that any split of targets and
    hours gives the same bits; a matrix product would not.
    """
    total = np.zeros(shape)
    for weight, value in zip(weights, values, strict=True):
        total += weight * value
    return total


def tiles(count: int, hours: int, *, values: int = SUM_VALUES) -> Iterator[slice]:
    """Return slices over ``count`` targets, each of about so many target-hours."""
    size = max(1, values // max(hours, 1))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _set_columns(station: np.ndarray) -> list[np.ndarray]:
    """Return columns that tell sets of stations apart, two stations in a word where they fit."""
    columns = list(station.T)
    if station.max(initial=0) >= 1 << 16:
        return columns
    pairs = zip(columns[::2], columns[1::2], strict=False)
    paired = [first << 16 | second for first, second in pairs]
    return paired + columns[len(columns) // 2 * 2 :]
