"""The nearest stations that report: for each target and hour, and in plain sets of rows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aqreanalysis.network import StationNetwork

#: Bits of the first word in which columns are packed, and of those that follow a label of 31 bits.
FIRST_BITS, WORD_BITS = 63, 32


@dataclass(frozen=True)
class ReportingNeighbours:
    """The nearest stations of n targets, and which of them are the k nearest reporting, per hour.

    Attributes
    ----------
    index : (n, c) int64
        Candidate stations, in the order of their rows in the network.
    distance_km : (n, c) float64
        Their distances.
    used : (c, n, hours) bool
        Whether a candidate is among the k nearest stations that report at that hour. Where every
        station reports at every hour, there is a single hour that stands for all.
    """

    index: np.ndarray
    distance_km: np.ndarray
    used: np.ndarray


def nearest_reporting(
    network: StationNetwork,
    reported: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    *,
    k: int,
) -> ReportingNeighbours:
    """Return, for each target and hour, the k nearest stations that report.

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
        As many candidates as are needed for k of them to report at each hour.

    Examples
    --------
    The nearest station is silent at the second hour, so that the next one is used:

    >>> network = StationNetwork([0.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    >>> reported = np.array([[True, False], [True, True], [True, True]])
    >>> near = nearest_reporting(network, reported, np.array([-1.0]), np.array([0.0]), k=1)
    >>> near.used[:, 0].astype(int).tolist()
    [[1, 0], [0, 1], [0, 0]]
    """
    reach = min(k + max(4, k // 2), network.size)
    if reported.all():
        reported, reach = reported[:, :1], min(k, network.size)
    wanted = np.minimum(reported.sum(axis=0), k)
    while True:
        near = network.neighbours(longitude, latitude, k=reach)
        order = np.argsort(near.index, axis=1)
        rank, targets = np.argsort(order, axis=1), np.arange(len(order))
        used = np.empty((reach, len(order), reported.shape[1]), dtype=bool)
        count = np.zeros(used.shape[1:], dtype=np.int32)
        for place, station in zip(rank.T, near.index.T, strict=True):  # nearest first
            column = reported[station] & (count < k)
            used[place, targets] = column
            count += column
        if reach == network.size or (count >= wanted).all():
            break
        reach = min(2 * reach, network.size)
    index, distance_km = (
        np.take_along_axis(table, order, axis=1) for table in (near.index, near.distance_km)
    )
    return ReportingNeighbours(index, distance_km, used)


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
