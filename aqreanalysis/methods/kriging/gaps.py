r"""Gaps in the stations' series, each filled by kriging from what reports around it.

The best linear estimate of a best linear estimate is the best linear estimate. Kriging from all
stations, those that do not report with their own estimates for values, is therefore kriging from
those that report, and the weights of a target are the same at all hours: a grid costs a weighted
sum for each cell and hour and no system. With a limited number of data the identity holds nearly:
a gap is estimated from its own neighbours, not from those of the target.

What fills a gap is a set of `Data`, chosen by `reporting_at` and `own_values`; `estimated` krigs
the gap from these with any covariance of distance and lag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from aqreanalysis.methods.kriging.neighbours import first_columns, label_rows
from aqreanalysis.methods.kriging.solver import (
    JITTER,
    Array,
    Weights,
    namespace,
    ordinary_weights,
)
from aqreanalysis.network import StationNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance

#: From distance (km), lag (steps) and whether two data are of one station to their covariance,
#: the noise of a datum with itself included; the arrays have one shape.
Covariance = Callable[[np.ndarray, np.ndarray, np.ndarray], Array]

#: Stations that fill a gap, and steps to either side within which the station's own values do.
FILLING_STATIONS = 8
OWN_REACH_STEPS = 24
#: Nearest stations of which the first that report at a step fill a gap there.
CANDIDATES = 3 * FILLING_STATIONS
#: Numbers of the systems solved at once: 2000 of 10 x 10 fit in the processor's cache.
BATCH_NUMBERS = 200_000
#: Gaps of which the data are chosen at once.
GAPS_AT_ONCE = 20_000
#: Stations whose distances are computed at once: what is in between takes some MB.
STATIONS_AT_ONCE = 128
#: Steps to a value of a station that has none.
NEVER = 10**9


class NearbyStations(NamedTuple):
    """The stations from which the gaps of each station are filled.

    Attributes
    ----------
    rows : (station, 1 + candidate) int64
        The station itself, then its nearest others, nearest first.
    distance_km : (station, 1 + candidate, 1 + candidate) float64
        Among these; or (station, station), of the whole network.
    """

    rows: np.ndarray
    distance_km: np.ndarray

    @classmethod
    def among(cls, distance_km: np.ndarray | Tensor) -> Self:
        """Return the `CANDIDATES` nearest of a few stations, of which all distances are at hand.

        Parameters
        ----------
        distance_km : (station, station) float64

        Examples
        --------
        >>> line = np.array([0.0, 1.0, 3.0])
        >>> NearbyStations.among(abs(line - line[:, None])).rows.tolist()
        [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
        """
        rows, distance = cls.whole(np.asarray(distance_km))
        rows = rows[:, : 1 + CANDIDATES]
        return cls(rows, distance[rows[:, :, None], rows[:, None, :]])

    @classmethod
    def of(cls, network: StationNetwork) -> Self:
        """Return the `CANDIDATES` nearest of a network of any size: its matrix is not made."""
        nearest = network.nearest_others(k=CANDIDATES).index
        rows = np.concatenate([np.arange(network.size)[:, None], nearest], 1)
        distance = np.empty((*rows.shape, rows.shape[1]))
        for start in range(0, len(rows), STATIONS_AT_ONCE):
            part = rows[start : start + STATIONS_AT_ONCE]
            distance[start : start + STATIONS_AT_ONCE] = network.distance_km(
                part[:, :, None], part[:, None, :]
            )
        return cls(rows, distance)

    @classmethod
    def whole(cls, distance_km: np.ndarray) -> Self:
        """Return all stations of a network by their distances, (station, station)."""
        stations = np.arange(len(distance_km))[:, None]
        others = nearest_others(distance_km, len(stations))
        return cls(np.concatenate([stations, others], 1), distance_km)

    def pair_km(self, station: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return distances among what is near stations, by columns of ``rows``; they broadcast."""
        if self.distance_km.ndim == 3:
            return self.distance_km[station, first, second]
        return self.distance_km[self.rows[station, first], self.rows[station, second]]


class Series(NamedTuple):
    """The series of stations, (station, time) each."""

    value: np.ndarray  # 0 where missing
    reported: np.ndarray

    @classmethod
    def of(cls, value: np.ndarray) -> Self:
        """Return series with NaN where a value is missing."""
        return cls(np.nan_to_num(value), np.isfinite(value))


class Data(NamedTuple):
    """The data that fill each gap, (gap, datum) each."""

    place: np.ndarray  # column of `NearbyStations.rows`; 0 is the station itself
    lag: np.ndarray  # steps from the gap
    valid: np.ndarray  # whether there is such a datum

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the data of several choices."""
        return cls(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))


def nearest_others(distance_km: np.ndarray | Tensor, count: int) -> np.ndarray:
    """Return each station's nearest others, nearest first: as many as there are, and so many."""
    others = np.asarray(distance_km).copy()
    np.fill_diagonal(others, np.inf)
    return np.argsort(others, axis=1, kind="stable")[:, : min(count, len(others) - 1)]


def reporting_at(
    series: Series,
    nearby: NearbyStations,
    gaps: tuple[np.ndarray, np.ndarray],
    lag: np.ndarray,
    count: int,
    *,
    own: bool = False,
) -> Data:
    """Return the nearest stations that report some steps from each gap.

    Parameters
    ----------
    series : Series
    nearby : NearbyStations
    gaps : (gap,) int, twice
        Station and step of each.
    lag : (gap,) int
        Steps from the gap, within the series.
    count : int
        Stations wanted for each gap.
    own : bool
        Whether the station itself may be one of them.
    """
    station, step = gaps[0], gaps[1] + lag
    begin, columns = int(not own), nearby.rows.shape[1]
    place = np.zeros((station.size, min(count, columns - begin)), dtype=np.int64)
    valid = np.zeros(place.shape, dtype=bool)
    width, rest = min(begin + 3 * count, columns), np.arange(station.size)
    while rest.size:
        reported = series.reported[nearby.rows[station[rest], begin:width], step[rest, None]]
        column, valid[rest] = first_columns(reported, place.shape[1])
        place[rest] = np.where(valid[rest], column + begin, 0)
        # Farther ones where too few of the nearest report.
        rest = rest[~valid[rest].all(axis=1)] if width < columns else rest[:0]
        width = min(2 * width, columns)
    return Data(place, np.broadcast_to(lag[:, None], place.shape), valid)


def own_values(
    nearest: tuple[np.ndarray, np.ndarray], gaps: tuple[np.ndarray, np.ndarray], reach: int
) -> Data:
    """Return the last and the next value of each gap's station, if within so many steps.

    Parameters
    ----------
    nearest : (station, time) int, twice
        From `last_and_next`.
    gaps : (gap,) int, twice
    reach : int
    """
    lag = np.stack([step[gaps] for step in nearest], 1) - gaps[1][:, None]
    valid = np.abs(lag) <= reach
    return Data(np.zeros_like(lag), np.where(valid, lag, 0), valid)


def last_and_next(reported: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of each station's last and next value, (station, time) each.

    Both are that step itself where the station reports, and far away where there is none.
    """
    steps = np.arange(reported.shape[1])
    last = np.maximum.accumulate(np.where(reported, steps, -NEVER), axis=1)
    backwards = np.where(reported, steps, NEVER)[:, ::-1]
    return last, np.minimum.accumulate(backwards, axis=1)[:, ::-1]


def estimated(
    series: Series,
    nearby: NearbyStations,
    gaps: tuple[np.ndarray, np.ndarray],
    data: Data,
    covariance: Covariance[Array],
    sill: Array | float,
    *,
    known_mean: bool = False,
) -> tuple[Array, Array]:
    """Return estimate and variance of gaps from their data, (gap,) each.

    Without any data, the estimate is 0, the mean, and the variance is the sill.

    Parameters
    ----------
    series, nearby, gaps, data
        As of `reporting_at`, and what it returns.
    covariance : callable
        The arrays that it returns decide of which library the results are.
    sill : float64
        Variance of a value, noise included.
    known_mean : bool
        Whether 0 is the mean around each gap, to which the estimate goes back; otherwise the mean
        is unknown, and that of the data.
    """
    station, step = gaps
    # Where the same stations report for hours, gaps of a station have the same weights.
    label, first = label_rows(
        [station, *data.place.T, *(data.lag - data.lag.min(initial=0)).T, *data.valid.T]
    )
    size = max(1, BATCH_NUMBERS // data.place.shape[1] ** 2)
    parts = [
        _weights(
            nearby,
            station[rows],
            Data(*(each[rows] for each in data)),
            covariance,
            sill,
            known_mean,
        )
        for rows in np.split(first, range(size, first.size, size))
    ]
    xp = namespace(parts[0].weight)
    weight, variance = (xp.concatenate(each)[label] for each in zip(*parts, strict=True))
    value = series.value[nearby.rows[station[:, None], data.place], step[:, None] + data.lag]
    return (weight * xp.asarray(value)).sum(-1), variance


def _weights(
    nearby: NearbyStations,
    station: np.ndarray,
    data: Data,
    covariance: Covariance[Array],
    sill: Array | float,
    known_mean: bool,
) -> Weights[Array]:
    """Return the weights of few enough gaps for the cache."""
    place, lag, valid = data
    first, second = place[:, :, None], place[:, None, :]
    matrix = covariance(
        nearby.pair_km(station[:, None, None], first, second),
        np.abs(lag[:, :, None] - lag[:, None, :]),
        first == second,
    )
    own = np.zeros_like(place)
    vector = covariance(nearby.pair_km(station[:, None], own, place), np.abs(lag), place == own)
    valid = namespace(vector).asarray(valid)
    return ordinary_weights(matrix, vector, valid, sill, known_mean=known_mean)


def estimate_gaps(
    covariance: SpaceTimeCovariance,
    value: Tensor,
    nearby: NearbyStations,
    gaps: Tensor,
    *,
    at_own_steps: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return estimate and variance of gaps by a learned covariance, (gap,) each.

    Parameters
    ----------
    covariance, value, nearby, at_own_steps
        As of `complete`.
    gaps : (gap, 2) int
        Station and step of each.
    """
    series = Series.of(value.numpy())
    places = gaps[:, 0].numpy(), gaps[:, 1].numpy()
    data = _learned_data(series, nearby, last_and_next(series.reported), places, at_own_steps)
    return _by_covariance(covariance, series, nearby, places, data)


def _by_covariance(
    covariance: SpaceTimeCovariance,
    series: Series,
    nearby: NearbyStations,
    gaps: tuple[np.ndarray, np.ndarray],
    data: Data,
) -> tuple[Tensor, Tensor]:
    """Return estimate and variance of gaps, (gap,) each.

    While no station reports, the mean is that of the whole time, and the memory of earlier values
    fades.
    """
    import torch  # not above: space-time kriging needs none

    silent = ~((data.lag == 0) & data.valid).any(axis=1)
    cases = (
        (~silent, covariance.between, covariance.sill(), False),
        (silent, covariance.while_silent, covariance.whole_sill(), True),
    )
    parts = [
        estimated(
            series,
            nearby,
            (gaps[0][case], gaps[1][case]),
            Data(*(each[case] for each in data)),
            between,
            sill,
            known_mean=known_mean,
        )
        for case, between, sill, known_mean in cases
        if case.any() or not case.size
    ]
    order = torch.from_numpy(np.argsort(silent, kind="stable").argsort())
    estimate, variance = (torch.cat(each)[order] for each in zip(*parts, strict=True))
    return estimate, variance.clamp_min(JITTER)


def complete(
    covariance: SpaceTimeCovariance, value: Tensor, nearby: NearbyStations, *, at_own_steps: int = 0
) -> tuple[Tensor, Tensor]:
    """Return complete series by a learned covariance, and the variance of what was filled.

    A gap is kriged from the nearest stations that report at its step and from the station's own
    last and next value. The variance of a target adds that of the filled values.

    Parameters
    ----------
    covariance : SpaceTimeCovariance
    value : (station, time) float64
        Standardised; NaN is missing.
    nearby : NearbyStations
    at_own_steps : int
        Nearest stations whose values at the steps of the station's own last and next one are used
        too: they tell how it differs from them. A field from many stations gains nothing by it; the
        series of one station does.

    Returns
    -------
    value : (station, time) float64
        Measured values untouched. A gap with nothing in reach is 0, the mean.
    variance : (station, time) float64
        0 where measured; the sill where nothing was in reach.
    """
    import torch

    series = Series.of(value.numpy())
    nearest = last_and_next(series.reported)
    filled, variance = value.clone(), torch.zeros_like(value)
    station, step = np.nonzero(~series.reported)
    with torch.no_grad():
        for start in range(0, station.size, GAPS_AT_ONCE):
            gaps = station[start : start + GAPS_AT_ONCE], step[start : start + GAPS_AT_ONCE]
            data = _learned_data(series, nearby, nearest, gaps, at_own_steps)
            filled[gaps], variance[gaps] = _by_covariance(covariance, series, nearby, gaps, data)
    return filled, variance


def _learned_data(
    series: Series,
    nearby: NearbyStations,
    nearest: tuple[np.ndarray, np.ndarray],
    gaps: tuple[np.ndarray, np.ndarray],
    at_own_steps: int,
) -> Data:
    """Return the nearest stations that report at each gap, and the station's own values."""
    now = np.zeros_like(gaps[1])
    own = own_values(nearest, gaps, OWN_REACH_STEPS)
    parts = [reporting_at(series, nearby, gaps, now, FILLING_STATIONS), own]
    for lag, valid in zip(own.lag.T, own.valid.T, strict=True) if at_own_steps else ():
        others = reporting_at(series, nearby, gaps, lag, at_own_steps)
        parts.append(others._replace(valid=others.valid & valid[:, None]))
    return Data.joined(parts)
