"""Ordinary kriging anywhere: the nearest stations that report, their weights, and the sums.

Which neighbours report changes from hour to hour, and with it the system of a target. It is solved
once for all hours as if each of the nearest stations reported; of that solution, the missing ones
are left out hour by hour (`aqreanalysis.methods.kriging.solver.LeavingOut`). Where many are
missing, or a covariate changes from hour to hour, each set of reporting stations is solved by
itself. Both ways give the same numbers, but for rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
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
    Weights,
    solved_sets,
    weights_of_sets,
)
from aqreanalysis.methods.kriging.variogram import Variogram
from aqreanalysis.methods.series import tiles, weight_matrix
from aqreanalysis.methods.transform import Transform
from aqreanalysis.network import StationNetwork

#: Values (target-hours) of which the distinct systems are collected at once: tens of MB.
SYSTEM_VALUES = 1 << 17
#: Numbers of which missing stations are left out at once: 2 MB in float64, about the cache.
NUMBERS = 1 << 18
#: Missing ones among the nearest stations above which, and target-hours of as many missing below
#: which, a system of their own is the faster way.
MOST_MISSING, FEWEST_HOURS = 8, 256
#: Sum of weights in size that stands for none, where no station reports.
LEAST_SHARE = 1e-12


class Terms(NamedTuple):
    """What the estimates of n target-hours are sums of."""

    target: np.ndarray  # (n,) rows of the targets
    hour: np.ndarray  # (n,) positions
    values: np.ndarray  # (n, m) of the stations
    weights: Weights[np.ndarray]  # (n, m) and (n,)


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
        covariance = covariance_among(self.network, variogram)
        return replace(self, variogram=variogram, covariance=covariance, drift=drift)

    @property
    def noise(self) -> float:
        """Standard deviation of a monitor's noise on the scale of interpolation."""
        return float(np.sqrt(self.variogram.noise))

    def kriged(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice, *, disagreement: bool
    ) -> Kriged:
        """Return kriging on the scale of interpolation, (n, hours) float32."""
        values, reported = self.values[:, hours], self.reported[:, hours]
        drift = None if self.drift is None else self.drift.around(longitude, latitude, hours)
        layers = np.full(
            (3 if disagreement else 2, longitude.size, values.shape[1]), np.nan, np.float32
        )
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
        for terms in self._left_out(near, cases, drift, values, reported):
            _sum_into(layers, terms)
        for terms in self._alone(near, (near.reach > 0) & (cases == 0), drift, values, reported):
            _sum_into(layers, terms)
        return layers

    def _at_all_hours(
        self, near: ReportingNeighbours, drift: Around | None, values: np.ndarray, count: int
    ) -> np.ndarray:
        """Return `Kriged` where the same stations report at all hours, (count, n, hours)."""
        every = np.arange(len(near.index))
        station, solved = self._of_nearest(near, every, near.index.shape[1], drift)
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
        self, near: ReportingNeighbours, targets: np.ndarray, reach: int, drift: Around | None
    ) -> tuple[np.ndarray, Iterator[SolvedSets]]:
        """Return the nearest stations of targets, (n, reach), and their systems if all report."""
        # One order of stations for all targets of a set, which share a system.
        index = near.index[targets, :reach]
        order = np.argsort(index, axis=1, kind="stable")
        station = np.take_along_axis(index, order, axis=1)
        distance_km = np.take_along_axis(near.distance_km[targets, :reach], order, axis=1)
        vector = self.variogram.covariance(distance_km)
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
    ) -> Iterator[Terms]:
        """Yield the terms of the target-hours of cases, of which the missing are left out."""
        for case in np.flatnonzero(np.bincount(cases.ravel())[1:]) + 1:
            here = cases == case
            targets = np.flatnonzero(here.any(axis=1))
            reach, missing = divmod(int(case), MOST_MISSING + 1)
            station, solved = self._of_nearest(near, targets, reach, drift)
            for part in solved:
                row, hour = np.nonzero(here[targets[part.target]])
                for some in tiles(row.size, reach * (missing + 1), values=NUMBERS):
                    terms = _terms(part, station, row[some], hour[some], missing, values, reported)
                    yield terms._replace(target=targets[terms.target])

    def _alone(
        self,
        near: ReportingNeighbours,
        wanted: np.ndarray,
        drift: Around | None,
        values: np.ndarray,
        reported: np.ndarray,
    ) -> Iterator[Terms]:
        """Yield the terms of wanted (n, hours) target-hours, each set of stations by itself.

        A case is a target with a set of reporting neighbours, and the hour if the drift changes:
        most hours have one of few sets.
        """
        target, hour = np.nonzero(wanted)
        if not target.size:
            return
        own = hour if drift is not None and drift.changes else np.zeros_like(hour)
        used = np.empty((near.index.shape[1], target.size), dtype=bool)
        for place, station in enumerate(near.index.T):
            used[place] = (reported[station] & (near.reach > place))[wanted]
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
            of = case[some]
            yield Terms(
                target[some],
                hour[some],
                values[station[of], hour[some, None]],
                Weights(weight[of], variance[of]),
            )

    def _among(self, data: np.ndarray, *, drift: Around | None) -> np.ndarray:
        """Return the covariance among the stations of each set at an hour, (sets, k, k)."""
        hour, row = np.divmod(data, self.network.size + 1)
        row = np.minimum(row, self.network.size - 1)  # of a missing one, any will do
        among = self.covariance.take(row[:, :, None] * self.network.size + row[:, None, :])
        return among if drift is None else among + drift.among(row, hour[:, 0])


def covariance_among(network: StationNetwork, variogram: Variogram) -> np.ndarray:
    """Return the covariance among the measurements of all stations, noise included, (n, n)."""
    noise = variogram.noise * np.eye(network.size)
    covariance: np.ndarray = variogram.covariance(network.distance_matrix_km()) + noise
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


def _terms(
    part: SolvedSets,
    station: np.ndarray,
    row: np.ndarray,
    hour: np.ndarray,
    missing: int,
    values: np.ndarray,
    reported: np.ndarray,
) -> Terms:
    """Return the terms of some targets of solved sets at hours when so many are missing.

    What is missing is that of a set at an hour: it is solved once for the targets of the set.
    """
    number, target = part.number[row], part.target[row]
    label, first = label_rows([number, hour])
    among, at = station[target[first]], hour[first][:, None]
    weights = Weights(part.weights.weight.take(row, axis=0), part.weights.variance[row])
    if missing:
        place, _ = first_columns(~reported[among, at], missing)
        weights = LeavingOut.of(part, number[first], place.T)(weights, label)
    return Terms(target, hour, values[among, at].take(label, axis=0), weights)


def _sum_into(layers: np.ndarray, terms: Terms) -> None:
    """Set the layers of `Kriged` at the target-hours of terms."""
    at, (weight, variance) = (terms.target, terms.hour), terms.weights
    mean = np.einsum("nm,nm->n", weight, terms.values)
    layers[0][at], layers[1][at] = mean, np.sqrt(variance)
    if len(layers) > 2:
        share = np.abs(weight)
        share /= np.maximum(share.sum(axis=1), LEAST_SHARE)[:, None]
        first, second = (np.einsum("nm,nm->n", share, of) for of in (terms.values, terms.values**2))
        layers[2][at] = _disagreement(mean, first, second)


def _disagreement(mean: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the mean squared difference from a mean, from the moments about zero."""
    return np.maximum(second - 2 * mean * first + mean**2, 0)
