"""Series without gaps: every missing value is replaced by its kriging estimate, with its error."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from aqreanalysis.fields.cache import Cache
from aqreanalysis.methods.kriging.gaps import (
    Data,
    NearbyStations,
    Series,
    estimated,
    reporting_at,
)
from aqreanalysis.methods.kriging.space_time_variogram import SpaceTimeVariogram
from aqreanalysis.network import StationNetwork

#: Hours that are completed at once.
HOURS_AT_ONCE = 128
#: Spans of hours in the cache: a few blocks in time, each asked for by many in space.
CACHED_SPANS = 16


@dataclass(frozen=True, eq=False)
class CompletedSeries:
    """The series of a network, completed where a station is silent (see `kriging.gaps`).

    Spans of hours are completed when a block of the grid first asks for them, and cached for the
    blocks of the same hours, which may come from several threads.

    Parameters
    ----------
    network : StationNetwork
        The n stations.
    values : (n, t) float64
        Their values, zero where missing.
    reported : (n, t) bool
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
    reported: np.ndarray
    variogram: SpaceTimeVariogram
    lags: tuple[int, ...]
    step_hours: float
    neighbours: int
    nearby: NearbyStations = field(init=False)
    _spans: Cache[np.ndarray] = field(
        default_factory=lambda: Cache(0, fewest=CACHED_SPANS), init=False
    )

    def __post_init__(self) -> None:
        nearby = NearbyStations.whole(self.network.distance_matrix_km())
        object.__setattr__(self, "nearby", nearby)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the cache: a copy in another process completes what it needs.
        return type(self), (
            self.network,
            self.values,
            self.reported,
            self.variogram,
            self.lags,
            self.step_hours,
            self.neighbours,
        )

    def __dask_tokenize__(self) -> Any:
        """Return a key of these series, the same in every process."""
        from dask.base import normalize_token

        return normalize_token(self.__reduce__()[1])

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values and standard errors at positions from start to stop, (n, hours) each.

        Positions may lie outside of the series: there, every station is silent. The error is zero
        where a station reports.
        """
        first = start // HOURS_AT_ONCE
        spans = [
            self._spans.get(number, partial(self._complete, number * HOURS_AT_ONCE))
            for number in range(first, (stop - 1) // HOURS_AT_ONCE + 1)
        ]
        inside = slice(start - first * HOURS_AT_ONCE, stop - first * HOURS_AT_ONCE)
        values, errors = np.concatenate(spans, axis=2)[..., inside]
        return values, errors

    def _complete(self, start: int) -> np.ndarray:
        """Return values and errors of `HOURS_AT_ONCE` hours from start, (2, n, hours)."""
        margin = max(map(abs, self.lags))
        span = Series(
            self._window(self.values, start - margin, margin),
            self._window(self.reported, start - margin, margin),
        )
        inside = slice(margin, margin + HOURS_AT_ONCE)
        silent = ~span.reported[:, inside]
        anyone = np.logical_or.reduce(span.reported)
        starts = [margin + lag for lag in self.lags]
        heard = [anyone[start : start + HOURS_AT_ONCE] for start in starts]
        station, hour = np.nonzero(silent & np.logical_or.reduce(heard))
        gaps = station, hour + margin
        data = Data.joined(
            [
                reporting_at(
                    span, self.nearby, gaps, np.full_like(hour, lag), self.neighbours, own=True
                )
                for lag in self.lags
            ]
        )
        sill = self.variogram.sill
        completed = span.value[:, inside].copy()
        errors = silent * np.sqrt(sill)  # where nothing reports at any lag
        some = data.valid.any(axis=1)
        station, hour, data = station[some], hour[some], Data(*(part[some] for part in data))
        gaps = station, hour + margin
        covariance = partial(self._covariance, variogram=self.variogram)
        estimate, variance = estimated(span, self.nearby, gaps, data, covariance, sill)
        completed[station, hour], errors[station, hour] = estimate, np.sqrt(variance)
        return np.stack([completed, errors])

    def _window(self, series: np.ndarray, start: int, margin: int) -> np.ndarray:
        """Return the hours of a span and its margins; nothing outside of the series."""
        stop = start + HOURS_AT_ONCE + 2 * margin
        window = np.zeros((len(series), stop - start), dtype=series.dtype)
        low, high = max(start, 0), min(stop, series.shape[1])
        if high > low:
            window[:, low - start : high - start] = series[:, low:high]
        return window

    def _covariance(
        self,
        distance_km: np.ndarray,
        lag: np.ndarray,
        same_station: np.ndarray,
        *,
        variogram: SpaceTimeVariogram,
    ) -> np.ndarray:
        """Return the covariance of two values at a lag in steps, 0 or more."""
        hours = np.arange(lag.max(initial=0) + 1) * self.step_hours  # few: of each once
        in_time, own = variogram.in_time(hours).take(lag), variogram.own(hours).take(lag)
        return variogram.covariance(distance_km, np.zeros(())) * in_time + same_station * own

    def among(self, stations: np.ndarray, *, variogram: SpaceTimeVariogram) -> np.ndarray:
        """Return the covariance among the values of sets of stations at all lags.

        Parameters
        ----------
        stations : (sets, k) int64
            Rows of the network.
        variogram : SpaceTimeVariogram
            That of the estimates, which need not be the one that completes the series.

        Returns
        -------
        (sets, lags * k, lags * k) float64
            Lag after lag.
        """
        lag = np.repeat(self.lags, stations.shape[1])
        row = np.tile(stations, len(self.lags))
        first, second = row[:, :, None], row[:, None, :]
        distance_km = self.nearby.distance_km[first, second]
        return self._covariance(
            distance_km, np.abs(lag[:, None] - lag), first == second, variogram=variogram
        )
