"""Which stations stand behind an estimate: the nearest that report, at each hour."""

from dataclasses import dataclass

import numpy as np

from aqreanalysis.network import StationNetwork

#: Cases of which all candidates are in memory at once.
CASES_TOGETHER = 4096


@dataclass(frozen=True)
class Reporting:
    """The stations around n targets and which of them are the k nearest reporting, per hour.

    Attributes
    ----------
    index : (n, c) int64
        Candidate stations, nearest first.
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
    reports: np.ndarray,
    longitude: np.ndarray,
    latitude: np.ndarray,
    *,
    k: int,
    exclude: np.ndarray | None = None,
) -> Reporting:
    """Return, for each target and hour, the k nearest stations that report.

    Parameters
    ----------
    network : StationNetwork
        The stations.
    reports : (stations, hours) bool
        Where a station has a value.
    longitude, latitude : (n,) float64
        Targets, degrees.
    k : int
        Stations wanted; all that report where they are fewer.
    exclude : (n,) int array, optional
        A station that does not count for a target.

    Returns
    -------
    Reporting
        Its candidates reach as far as is needed for k of them to report at each hour.

    Examples
    --------
    The nearest station is silent at the second hour, so that the next one steps in:

    >>> network = StationNetwork([0.0, 1.0, 2.0], [0.0, 0.0, 0.0])
    >>> reports = np.array([[True, False], [True, True], [True, True]])
    >>> found = nearest_reporting(network, reports, np.array([-1.0]), np.array([0.0]), k=1)
    >>> found.used[:, 0].astype(int).tolist()
    [[1, 0], [0, 1], [0, 0]]
    """
    if reports.all():
        reports = reports[:, :1]
    there = reports.sum(axis=0)[None, :]
    if exclude is not None:
        there = there - reports[exclude]
    wanted = np.minimum(there, k)
    others = network.size - (exclude is not None)
    reach = min(k if reports.all() else k + max(4, k // 2), others)
    while True:
        near = network.neighbours(longitude, latitude, k=reach, exclude=exclude)
        used, count = _first_reporting(near.index, reports, k)
        if reach == others or (count >= wanted).all():
            return Reporting(near.index, near.distance_km, used)
        reach = min(2 * reach, others)


def _first_reporting(
    index: np.ndarray, reports: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which candidates are among the first k that report, and how many there are."""
    used = np.empty((index.shape[1], len(index), reports.shape[1]), dtype=bool)
    count = np.zeros(used.shape[1:], dtype=np.int32)
    for column, station in zip(used, index.T, strict=True):
        np.logical_and(reports[station], count < k, out=column)
        count += column
    return used, count


def members(
    near: Reporting, target: np.ndarray, hour: np.ndarray, k: int, absent: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the stations of each case by row of the network, and their candidate numbers.

    Both (cases, k). The order is one for all targets that share a set. Where fewer than k stations
    report, ``absent`` fills the end, and the number of candidates that of their numbers.
    """
    candidates = near.used.shape[0]
    packed = near.index << 16 | np.arange(candidates)
    cases = np.empty((target.size, min(k, candidates)), np.int64)
    # In parts: one hour at which few report makes candidates of all stations.
    for part in np.array_split(np.arange(target.size), -(-target.size // CASES_TOGETHER)):
        used = near.used[:, target[part], hour[part]].T
        all_of_them = np.where(used, packed.take(target[part], axis=0), absent << 16 | candidates)
        all_of_them.sort(axis=1)
        cases[part] = all_of_them[:, :k]
    return cases >> 16, cases & 0xFFFF
