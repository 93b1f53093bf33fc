"""Ordinary kriging anywhere: the nearest stations that report, their weights, and the sums.

Which neighbours report changes from hour to hour, and with it the system of a target. It is solved
once for all hours as if each of the nearest stations reported; of that solution, the missing ones
are left out hour by hour (`aqreanalysis.methods.kriging.solver.LeavingOut`), for all targets with
the same nearest stations at once. Where many are missing, or a covariate changes from hour to hour,
each set of reporting stations is solved by itself. Both ways give the same numbers, but for
rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import NamedTuple, Self

import numpy as np

from aqreanalysis.methods.kriging.calibration import CalibratedField, Kriged, SpreadLaw
from aqreanalysis.methods.kriging.drift import Around, Drift
from aqreanalysis.methods.kriging.neighbours import (
    ReportingNeighbours,
    first_columns,
    label_rows,
    nearest_reporting,
)
from aqreanalysis.methods.kriging.solver import (
    LeavingOut,
    SolvedSets,
    solved_sets,
    weights_of_sets,
)
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.methods.series import tiles, weight_matrix
from aqreanalysis.methods.transform import Transform
from aqreanalysis.network import StationNetwork

#: Values (target-hours) of which the distinct systems are collected at once: tens of MB.
SYSTEM_VALUES = 1 << 19
#: Numbers of which missing stations are left out at once: 2 MB in float64, about the cache.
NUMBERS = 1 << 18
#: Target-hours of which each set of stations is solved by itself at once.
ALONE = 1 << 14
#: Missing ones among the nearest stations above which, and target-hours of as many missing below
#: which, a system of their own is the faster way.
MOST_MISSING, FEWEST_HOURS = 24, 256
#: Sum of weights in size that stands for none, where no station reports.
LEAST_SHARE = 1e-12


class Nearest(NamedTuple):
    """The nearest stations of n targets in the order of the network.

    All targets with the same stations have them in one order, and so share a system.
    """

    station: np.ndarray  # (n, c) rows, ascending
    rank: np.ndarray  # (n, c) 0 for the nearest
    covariance: np.ndarray  # (n, c) with the target

    @classmethod
    def of(cls, near: ReportingNeighbours, variogram: Variogram) -> Self:
        """Return the nearest stations of targets, with the covariance by their distance."""
        rank = np.argsort(near.index, axis=1, kind="stable")
        covariance = variogram.covariance(near.distance_km)
        station, covariance = (
            np.take_along_axis(of, rank, axis=1) for of in (near.index, covariance)
        )
        return cls(station, rank, covariance)

    def within(self, targets: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
        """Return so many nearest stations of targets, and their covariance, (n, reach) each."""
        used = self.rank[targets] < reach
        station, covariance = (
            of[targets][used].reshape(-1, reach) for of in (self.station, self.covariance)
        )
        return station, covariance


class Estimates(NamedTuple):
    """Kriging at n target-hours."""

    target: np.ndarray  # (n,) rows of the targets
    hour: np.ndarray  # (n,) positions
    kriged: Kriged  # (n,)


@dataclass(frozen=True, eq=False)
class OrdinaryField(CalibratedField):
    """The engine: estimates anywhere, each from its own target and hour only."""

    network: StationNetwork
    # Departures from the drift's mean on the scale of interpolation, zero where missing.
    values: np.ndarray  # (stations, time)
    reported: np.ndarray  # (stations, time) bool
    variogram: Variogram
    covariance: np.ndarray  # (stations, stations), with noise
    neighbours: int
    law: SpreadLaw
    transform: Transform | None
    never_negative: bool
    drift: Drift | None = None

    def with_variogram(self, variogram: Variogram) -> Self:
        """Return this engine with another variogram."""
        if variogram is self.variogram:
            return self
        drift = self.drift
        if drift is not None:
            drift = replace(drift, variance=drift.variance * variogram.sill / self.variogram.sill)
        covariance = covariance_among(self.network.distance_matrix_km(), variogram)
        return replace(self, variogram=variogram, covariance=covariance, drift=drift)

    @property
    def noise(self) -> float:
        """Standard deviation of a monitor's noise on the scale of interpolation."""
        return float(np.sqrt(self.variogram.noise))

    def kriged(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice, *, disagreement: bool
    ) -> Kriged:
        """Return kriging on the scale of interpolation, (n, hours) float32."""
        values, reported = map(
            np.ascontiguousarray, (self.values[:, hours], self.reported[:, hours])
        )
        drift = None if self.drift is None else self.drift.around(longitude, latitude, hours)
        shape = (3 if disagreement else 2, longitude.size, values.shape[1])
        layers = np.empty(shape, np.float32)
        # Tiles cut across a wide block are compact: adjacent targets share their systems.
        order = np.argsort(longitude, kind="stable")
        for tile in tiles(order.size, values.shape[1], values=SYSTEM_VALUES):
            rows = order[tile]
            at = longitude[rows], latitude[rows], None if drift is None else drift.of(rows)
            layers[:, rows] = self._tile(*at, values, reported, len(layers))
        if drift is not None:
            layers[0] += drift.mean()
        return Kriged(layers[0], layers[1], layers[2] if disagreement else None)

    def _tile(
        self,
        longitude: np.ndarray,
        latitude: np.ndarray,
        drift: Around | None,
        values: np.ndarray,
        reported: np.ndarray,
        count: int,
    ) -> np.ndarray:
        """Return `Kriged` of some targets on the scale of interpolation, (count, n, hours)."""
        near = nearest_reporting(self.network, reported, longitude, latitude, k=self.neighbours)
        changes = drift is not None and drift.changes
        if near.complete and not changes:
            return self._at_all_hours(near, drift, values, count)
        layers = np.full((count, longitude.size, values.shape[1]), np.nan, np.float32)
        near = near.at_each(values.shape[1])
        cases = np.zeros_like(near.reach) if changes else _cases(near)
        known = drift, values, reported, count > 2
        target, hour = np.nonzero((near.reach > 0) & (cases == 0))
        alone = (
            self._alone(near, target[some], hour[some], *known)
            for some in tiles(target.size, 1, values=ALONE)
        )
        for part in chain(self._left_out(near, cases, *known), *alone):
            at = part.target * values.shape[1] + part.hour
            for layer, estimates in zip(layers.reshape(count, -1), part.kriged, strict=False):
                layer[at] = estimates
        return layers

    def _at_all_hours(
        self, near: ReportingNeighbours, drift: Around | None, values: np.ndarray, count: int
    ) -> np.ndarray:
        """Return `Kriged` where the same stations report at all hours, (count, n, hours)."""
        every = np.arange(len(near.index))
        nearest = Nearest.of(near, self.variogram)
        station, solved = self._of_nearest(nearest, every, near.index.shape[1], drift)
        weight, variance = np.empty(station.shape), np.empty(every.size)
        for part in solved:
            weight[part.target], variance[part.target] = part.weights
        matrix = weight_matrix(station, weight, self.network.size)
        layers = np.empty((count, every.size, values.shape[1]), np.float32)
        mean = matrix @ values
        layers[0], layers[1] = mean, np.sqrt(variance)[:, None]
        if count > 2:
            share = abs(matrix) * (1 / np.abs(weight).sum(axis=1))[:, None]
            layers[2] = _disagreement(mean, share @ values, share @ values**2)
        return layers

    def _of_nearest(
        self, nearest: Nearest, targets: np.ndarray, reach: int, drift: Around | None
    ) -> tuple[np.ndarray, Iterator[SolvedSets]]:
        """Return the nearest stations of targets, (n, reach), and their systems if all report."""
        station, vector = nearest.within(targets, reach)
        sill: np.ndarray | float = self.variogram.sill
        if drift is not None:
            shared, own = drift.added(station, targets, np.zeros_like(targets))
            vector, sill = vector + shared, sill + own
        every = np.ones(station.shape, dtype=bool)
        among = partial(self._among, drift=drift)
        return station, solved_sets(station, every, vector, sill, among)

    def _left_out(
        self,
        near: ReportingNeighbours,
        cases: np.ndarray,
        drift: Around | None,
        values: np.ndarray,
        reported: np.ndarray,
        disagreement: bool,
    ) -> Iterator[Estimates]:
        """Yield the target-hours of cases, of which the missing are left out.

        What is missing is that of a set at an hour: all targets of the set have it in common.
        """
        nearest, hours = Nearest.of(near, self.variogram), values.shape[1]
        for case in np.flatnonzero(np.bincount(cases.ravel())[1:]) + 1:
            here = cases == case
            targets = np.flatnonzero(here.any(axis=1))
            reach, missing = divmod(int(case), MOST_MISSING + 1)
            station, solved = self._of_nearest(nearest, targets, reach, drift)
            for part in solved:
                own, bordered = targets[part.target], part.bordered()
                data = station[part.target[part.begin[:-1]]] * hours  # of the first hour
                # Also at targets of the set that need fewer stations, which are the same ones.
                number, hour = np.nonzero(np.logical_or.reduceat(here[own], part.begin[:-1]))
                size = np.diff(part.begin)[number] * (reach if disagreement else 1) + reach
                for some in _portions(size * (1 + missing), NUMBERS):
                    at = data[number[some]] + hour[some, None]
                    known = values.take(at)
                    place, _ = first_columns(~reported.take(at), missing)
                    leaving = LeavingOut.of(bordered, number[some], place.T)
                    row, of, product = part.products(number[some], leaving.factors(known))
                    mean, lost = product[:, 0], product[:, 1:]
                    variance = part.weights.variance[row] + np.einsum("nm,nm->n", lost, lost)
                    difference = None
                    if disagreement:
                        weight = leaving.weights(part.weights.weight[row], lost, of)
                        difference = _disagreement_of(mean, weight, known[of])
                    kriged = Kriged(mean, np.sqrt(variance), difference)
                    yield Estimates(own[row], hour[some][of], kriged)

    def _alone(
        self,
        near: ReportingNeighbours,
        target: np.ndarray,
        hour: np.ndarray,
        drift: Around | None,
        values: np.ndarray,
        reported: np.ndarray,
        disagreement: bool,
    ) -> Iterator[Estimates]:
        """Yield some target-hours, each set of stations solved by itself.

        A case is a target with a set of reporting neighbours, and the hour if the drift changes:
        most hours have one of few sets.
        """
        own = hour if drift is not None and drift.changes else np.zeros_like(hour)
        reach = near.reach[target, hour]
        used = np.empty((near.index.shape[1], target.size), dtype=bool)
        for place, station in enumerate(near.index.T):
            used[place] = reported[station[target], hour] & (reach > place)
        case, first = label_rows([target, own, *used])
        slot, valid = first_columns(used.T[first], min(self.neighbours, len(used)))
        row, own = target[first], own[first]
        station = np.where(valid, np.take_along_axis(near.index[row], slot, 1), self.network.size)
        order = np.argsort(station, axis=1, kind="stable")
        slot, valid, station = (
            np.take_along_axis(each, order, axis=1) for each in (slot, valid, station)
        )
        vector = self.variogram.covariance(near.distance_km[row[:, None], slot])
        sill: np.ndarray | float = self.variogram.sill
        if drift is not None:
            shared, gained = drift.added(np.minimum(station, self.network.size - 1), row, own)
            vector, sill = vector + shared, sill + gained
        data = station + own[:, None] * (self.network.size + 1)
        weight, variance = weights_of_sets(
            data, valid, vector, sill, partial(self._among, drift=drift)
        )
        station = np.minimum(station, self.network.size - 1)  # of a missing one, any will do
        for some in tiles(target.size, station.shape[1], values=NUMBERS):
            of, at = case[some], hour[some]
            known = values[station[of], at[:, None]]
            mean = np.einsum("nm,nm->n", weight[of], known)
            difference = _disagreement_of(mean, weight[of], known) if disagreement else None
            yield Estimates(target[some], at, Kriged(mean, np.sqrt(variance[of]), difference))

    def _among(self, data: np.ndarray, *, drift: Around | None) -> np.ndarray:
        """Return the covariance among the stations of each set at an hour, (sets, k, k)."""
        hour, row = np.divmod(data, self.network.size + 1)
        row = np.minimum(row, self.network.size - 1)  # of a missing one, any will do
        among = self.covariance.take(row[:, :, None] * self.network.size + row[:, None, :])
        return among if drift is None else among + drift.among(row, hour[:, 0])


def covariance_among(distance_km: np.ndarray, variogram: Variogram) -> np.ndarray:
    """Return the covariance among measurements of stations so far apart, noise included, (n, n)."""
    noise = variogram.noise * np.eye(len(distance_km))
    covariance: np.ndarray = variogram.covariance(distance_km) + noise
    return covariance


def _cases(near: ReportingNeighbours) -> np.ndarray:
    """Return a number of how far neighbours reach and how many are missing, (n, hours).

    It is 0 where each set of stations is to be solved by itself.
    """
    case = near.reach.astype(np.int32) * (MOST_MISSING + 1) + near.missing
    case[(near.reach == 0) | (near.missing > MOST_MISSING)] = 0
    few = np.bincount(case.ravel()) < FEWEST_HOURS
    few[0] = False
    case[few[case]] = 0
    return case


def _portions(numbers: np.ndarray, most: int) -> Iterator[slice]:
    """Return slices over cases of so many numbers each, about ``most`` at once.

    Examples
    --------
    >>> [(part.start, part.stop) for part in _portions(np.array([2, 2, 2, 9, 1]), 5)]
    [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    total = numbers.cumsum()
    start = 0
    while start < total.size:
        used = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, used + most, side="right")), start + 1)
        yield slice(start, stop)
        start = stop


def _disagreement_of(mean: np.ndarray, weight: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the `_disagreement` of values with their mean, by the size of their weights (n, m)."""
    share = np.abs(weight)
    share /= np.maximum(share.sum(axis=1), LEAST_SHARE)[:, None]
    return _disagreement(mean, *(np.einsum("nm,nm->n", share, of) for of in (values, values**2)))


def _disagreement(mean: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the mean squared difference from a mean, from the moments about zero."""
    return np.maximum(second - 2 * mean * first + mean**2, 0)
