"""Series without gaps: every missing value becomes its own kriging estimate, with its error."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aqreanalysis.methods.kriging.reporting import Reporting, members, nearest_reporting
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.methods.kriging.systems import solve_cases, weighted_sum
from aqreanalysis.network import StationNetwork

#: Hours that are completed at once, and kept for the blocks of the grid that ask for them next.
HOURS_AT_ONCE = 128
#: Such spans of hours that are kept: a few blocks in time, each asked for by many in space.
SPANS_KEPT = 16


@dataclass(frozen=True, eq=False)
class CompletedSeries:
    """The series of a network, completed where a station is silent.

    Kriging from all stations, the silent ones with their own estimates for values, is kriging from
    those that report: the best linear estimate of a best linear estimate is the best linear
    estimate. With completed series, the weights of a target are the same at all hours, so that a
    grid costs a weighted sum for each cell and hour and no system. With a limited number of
    neighbours the identity holds nearly: a silent neighbour is estimated from its own neighbours.

    Parameters
    ----------
    network : StationNetwork
        The n stations.
    values : (n, t) float64
        Their values, zero where missing.
    reports : (n, t) bool
        Where a station has a value.
    variogram : SpaceTimeVariogram
        Covariance of the values.
    lags : tuple of int
        Hours, in steps, from which an estimate takes values.
    step_hours : float
        Hours between two values.
    neighbours : int
        Stations that report, at each lag, in the estimate of a missing value.
    """

    network: StationNetwork
    values: np.ndarray
    reports: np.ndarray
    variogram: SpaceTimeVariogram
    lags: tuple[int, ...]
    step_hours: float
    neighbours: int
    distance_km: np.ndarray = field(init=False)  # (n, n)
    _kept: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, init=False)
    _lock: Any = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "distance_km", self.network.distance_matrix_km())

    def __reduce__(self) -> tuple[Any, ...]:
        # What is kept, and the lock, stay at home: a copy elsewhere completes what it needs.
        return type(self), (
            self.network,
            self.values,
            self.reports,
            self.variogram,
            self.lags,
            self.step_hours,
            self.neighbours,
        )

    def __dask_tokenize__(self) -> Any:
        """Return what tells these series from others, the same in every process."""
        from dask.base import normalize_token

        return normalize_token(self.__reduce__()[1])

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values and standard errors at positions from start to stop, (n, hours) each.

        Positions may lie outside of the series: there, every station is silent. The error is zero
        where a station reports.
        """
        first = start // HOURS_AT_ONCE
        parts = [self._span(number) for number in range(first, (stop - 1) // HOURS_AT_ONCE + 1)]
        inside = slice(start - first * HOURS_AT_ONCE, stop - first * HOURS_AT_ONCE)
        values, errors = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return values[:, inside], errors[:, inside]

    def _span(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the completed values and errors of one span of hours."""
        with self._lock:  # blocks that come together would all compute the same
            if number not in self._kept:
                while len(self._kept) >= SPANS_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[number] = self._complete(number * HOURS_AT_ONCE)
            return self._kept[number]

    def _complete(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values and errors of `HOURS_AT_ONCE` hours from start."""
        margin = max(map(abs, self.lags))
        values = self._window(self.values, start - margin, margin)
        reports = self._window(self.reports, start - margin, margin)
        inside = slice(margin, margin + HOURS_AT_ONCE)
        completed, errors = values[:, inside].copy(), np.zeros((len(values), HOURS_AT_ONCE))
        station, hour = np.nonzero(~reports[:, inside])
        if station.size:
            near, slots = self._neighbours_of(reports, margin, station, hour)
            lag = np.repeat(self.lags, near.shape[1] // len(self.lags))
            estimate, variance = self._estimate(station, near, slots, lag, values, hour + margin)
            completed[station, hour] = estimate
            errors[station, hour] = np.sqrt(variance)
        return completed, errors

    def _window(self, series: np.ndarray, start: int, margin: int) -> np.ndarray:
        """Return the hours of a span and its margins; nothing outside of the series."""
        stop = start + HOURS_AT_ONCE + 2 * margin
        window = np.zeros((len(series), stop - start), dtype=series.dtype)
        low, high = max(start, 0), min(stop, series.shape[1])
        if high > low:
            window[:, low - start : high - start] = series[:, low:high]
        return window

    def _neighbours_of(
        self, reports: np.ndarray, margin: int, station: np.ndarray, hour: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return stations (gaps, m), and whether they are present, lag after lag."""
        longitude, latitude = self.network.longitude, self.network.latitude
        columns = []
        for lag in self.lags:
            there = reports[:, margin + lag : margin + lag + HOURS_AT_ONCE]
            near: Reporting = nearest_reporting(
                self.network, there, longitude, latitude, k=self.neighbours
            )
            single = near.used.shape[2] == 1
            columns.append(
                members(near, station, hour * (not single), self.neighbours, self.network.size)[0]
            )
        slots = np.concatenate(columns, axis=1)
        return slots, slots < self.network.size

    def _estimate(
        self,
        station: np.ndarray,
        near: np.ndarray,
        present: np.ndarray,
        lag: np.ndarray,
        values: np.ndarray,
        hour: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return estimate and variance of each gap from its neighbours in space and time."""
        hours = np.abs(lag) * self.step_hours
        row = np.minimum(near, self.network.size - 1)
        cross = self.variogram.covariance(self.distance_km[station[:, None], row], hours)
        cross += (row == station[:, None]) * self.variogram.own(hours)
        weights, reduction = solve_cases(
            near, present, cross * present, lambda sets: self.among(sets, lag)
        )
        estimate = weighted_sum(
            weights.T[:, :, None],
            (values[r, hour + shift][:, None] for r, shift in zip(row.T, lag, strict=True)),
            (station.size, 1),
        )[:, 0]
        return estimate, np.maximum(self.variogram.sill - reduction, 0.0)

    def among(self, sets: np.ndarray, lag: np.ndarray) -> np.ndarray:
        """Return the covariance among the measurements of each set, (sets, m, m).

        Parameters
        ----------
        sets : (sets, m) int64
            Row of the station of each measurement; the size of the network where there is none.
        lag : (m,) int
            Lag of each measurement, in steps.
        """
        row = np.minimum(sets, self.network.size - 1)
        first, second = row[:, :, None], row[:, None, :]
        hours = np.abs(lag[:, None] - lag) * self.step_hours
        shared = self.variogram.covariance(self.distance_km[first, second], hours)
        return shared + (first == second) * self.variogram.own(hours)
