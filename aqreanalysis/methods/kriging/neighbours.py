"""The nearest stations that report: for each target and hour, and in plain sets of rows."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from aqreanalysis.network import StationNetwork

#: Bits of the first word in which columns are packed, and of those that follow a label of 31 bits.
FIRST_BITS, WORD_BITS = 63, 32


@dataclass(frozen=True)
class ReportingNeighbours:
    """The nearest stations of n targets, and how many of them hold the k nearest that report.

    Attributes
    ----------
    index : (n, c) int64
        The nearest stations, nearest first: as many as are needed for k that report at each hour.
    distance_km : (n, c) float64
        Their distances.
    reach : (n, hours) uint16
        Of how many of them those that report are used at an hour; 0 where nobody reports. Where
        every station reports at every hour, a single hour stands for all.
    missing : (n, hours) uint16
        How many of these do not report.
    """

    index: np.ndarray
    distance_km: np.ndarray
    reach: np.ndarray
    missing: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether the same stations are used at all hours."""
        return self.reach.shape[1] == 1 and not self.missing.any()

    def at_each(self, hours: int) -> Self:
        """Return the neighbours at each of so many hours."""
        shape = len(self.index), hours
        reach, missing = (np.broadcast_to(of, shape) for of in (self.reach, self.missing))
        return replace(self, reach=reach, missing=missing)


def nearest_reporting(
    network: StationNetwork,
    reported: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    *,
    k: int,
) -> ReportingNeighbours:
    """Return, for each target and hour, among which stations the k nearest that report are.

    Parameters
    ----------
    network : StationNetwork
        The stations.
    reported : (stations, hours) bool
        Where a station has a value.
    longitude, latitude : (n,) float64
        Targets, degrees.
    k : int
        Stations wanted; all that report where they are fewer.

    Returns
    -------
    ReportingNeighbours

    Examples
    --------
    The nearest station is silent at the second hour, so that the next one is used:

    >>> network = StationNetwork([0.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    >>> reported = np.array([[True, False], [True, True], [True, True]])
    >>> near = nearest_reporting(network, reported, np.array([-1.0]), np.array([0.0]), k=1)
    >>> near.reach.tolist(), near.missing.tolist()
    ([[1, 2]], [[0, 1]])
    """
    most = min(k + max(4, k // 2), network.size)
    if reported.all():
        reported, most = reported[:, :1], min(k, network.size)
    wanted = np.minimum(reported.sum(axis=0), k).astype(np.uint16)
    sure = int(wanted.min(initial=k))  # so many of the nearest are used at every hour
    while True:
        near = network.neighbours(longitude, latitude, k=most)
        reach = np.full((longitude.size, reported.shape[1]), sure, dtype=np.uint16)
        count = np.zeros_like(reach)
        for station in near.index.T[:sure]:
            count += reported[station]
        for station in near.index.T[sure:]:  # nearest first
            needed = count < wanted
            reach += needed
            count += needed & reported[station]
        if most == network.size or (count >= wanted).all():
            break
        most = min(2 * most, network.size)
    return ReportingNeighbours(near.index, near.distance_km, reach, reach - count)


def first_columns(mask: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first columns of each row at which a mask holds, and whether there are so many.

    Parameters
    ----------
    mask : (n, columns) bool
    count : int
        Columns wanted of each row.

    Returns
    -------
    column : (n, count) int64
        Ascending; 0 beyond the last one.
    valid : (n, count) bool

    Examples
    --------
    >>> first_columns(np.array([[False, True, True, True], [True, False, False, False]]), 2)
    (array([[1, 2],
           [0, 0]]), array([[ True,  True],
           [ True, False]]))
    """
    number = mask.sum(axis=1)
    if number.max(initial=0) > count:
        mask = mask & (mask.cumsum(axis=1) <= count)
    valid = np.arange(count) < number[:, None]
    column = np.zeros(valid.shape, dtype=np.int64)
    column[valid] = np.nonzero(mask)[1]
    return column, valid


def label_rows(columns: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for each distinct row of a table, and where it occurs first.

    The labels are exact: columns are packed into a word of 63 bits, each by the bits of its largest
    number, and pandas numbers the distinct words. What does not fit goes into words of 32 bits,
    which follow the label so far in a number of 63 bits. Sets of stations are compared far faster
    so than by sorting rows.

    Parameters
    ----------
    columns : iterable of (n,) integer or bool arrays
        Each value in [0, 2**32).

    Returns
    -------
    label : (n,) int64
        Equal where the rows are equal, numbered by first occurrence.
    first : (distinct,) int64
        Where each of them occurs first.

    Examples
    --------
    >>> label, first = label_rows([np.array([5, 5, 7, 5]), np.array([1, 2, 1, 1])])
    >>> label.tolist(), first.tolist()
    ([0, 1, 2, 0], [0, 1, 2])
    """
    label = word = None
    used = 0
    for column in columns:
        bits = int(column.max(initial=0)).bit_length()
        if word is None or used + bits > (FIRST_BITS if label is None else WORD_BITS):
            label = _joined_labels(label, word)
            word, used = np.zeros(column.size, np.int64), 0
        word <<= bits
        word |= column
        used += bits
    label = _joined_labels(label, word)
    if label is None:
        raise ValueError("rows need at least one column")
    first = np.empty(int(label.max(initial=-1)) + 1, dtype=np.int64)
    first[label[::-1]] = np.arange(label.size)[::-1]
    return label, first


def _joined_labels(label: np.ndarray | None, word: np.ndarray | None) -> np.ndarray | None:
    """Return a label for each distinct pair of a label and a word, by first occurrence."""
    if word is None:
        return label
    if label is not None:
        word |= label << WORD_BITS
    return pd.factorize(word)[0].astype(np.int64)
