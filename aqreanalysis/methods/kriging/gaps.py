"""Completing the stations' series, so that no pattern of missing values reaches the grid."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance, ordinary_weights

#: Stations that fill a gap, and steps to either side within which the station's own values do.
FILLING_STATIONS = 8
OWN_REACH_STEPS = 24
#: Nearest stations of which the first that report at a step fill a gap there.
CANDIDATES = 3 * FILLING_STATIONS
#: Gaps solved at once: 2000 systems of 10 x 10 fit in the processor's cache.
BATCH = 2000


class Surroundings(NamedTuple):
    """What lies around each station: all that completing its series needs of the network.

    Attributes
    ----------
    rows : (station, 1 + candidate) int
        The station itself, then its nearest others, nearest first: as many as there are, and
        `CANDIDATES` at most.
    distance_km : (station, 1 + candidate, 1 + candidate) float64
        Among these.
    """

    rows: Tensor
    distance_km: Tensor

    @classmethod
    def among(cls, distance_km: Tensor) -> Self:
        """Return the surroundings of a few stations, of which all distances are at hand.

        Parameters
        ----------
        distance_km : (station, station) float64

        Examples
        --------
        >>> line = torch.tensor([0.0, 1.0, 3.0])
        >>> Surroundings.among((line - line[:, None]).abs()).rows.tolist()
        [[0, 1, 2], [1, 0, 2], [2, 1, 0]]
        """
        others = nearest_others(distance_km, CANDIDATES)
        rows = torch.cat([torch.arange(len(distance_km))[:, None], others], 1)
        return cls(rows, distance_km[rows[:, :, None], rows[:, None, :]])


def nearest_others(distance_km: Tensor, count: int) -> Tensor:
    """Return each station's nearest others, nearest first: as many as there are, and so many."""
    others = distance_km.clone().fill_diagonal_(torch.inf)
    return others.sort(dim=1, stable=True).indices[:, : min(count, len(others) - 1)]


def complete(
    covariance: SpaceTimeCovariance, value: Tensor, around: Surroundings, *, beside: int = 0
) -> tuple[Tensor, Tensor]:
    """Return complete series and the variance of what was filled.

    A gap is kriged from the nearest stations that report at its step and from the station's own
    last and next value. Kriging with the completed values then gives what kriging without the
    missing ones would give, since the best linear estimate of an estimate is itself; the variance
    adds that of the filled values.

    Parameters
    ----------
    covariance : SpaceTimeCovariance
    value : (station, time) float64
        Standardised; NaN is missing.
    around : Surroundings
    beside : int
        Nearest stations whose values beside the station's own last and next one are used too: they
        tell how it differs from them. A field from many stations gains nothing by it; the series
        of one station does.

    Returns
    -------
    value : (station, time) float64
        Measured values untouched. A gap with nothing in reach is 0, the mean.
    variance : (station, time) float64
        0 where measured; the sill where nothing was in reach.
    """
    with torch.no_grad():
        known = _Known.of(value)
        filled, variance = known.value.clone(), torch.zeros_like(value)
        for gaps in torch.split((~known.there).nonzero(), BATCH):
            estimate, spread = _estimated(covariance, known, around, gaps, beside)
            filled[tuple(gaps.T)], variance[tuple(gaps.T)] = estimate, spread
    return filled, variance


def estimate_gaps(
    covariance: SpaceTimeCovariance,
    value: Tensor,
    around: Surroundings,
    gaps: Tensor,
    *,
    beside: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return estimate and variance of gaps, (gap,) each.

    Parameters
    ----------
    covariance, value, around, beside
        As of `complete`.
    gaps : (gap, 2) int
        Station and step of each.
    """
    return _estimated(covariance, _Known.of(value), around, gaps, beside)


class _Known(NamedTuple):
    """What is measured, (station, time) each, found once for all gaps."""

    value: Tensor  # 0 where missing
    there: Tensor
    before: Tensor  # step of the station's last value
    after: Tensor  # step of its next value; both far away if there is none

    @classmethod
    def of(cls, value: Tensor) -> Self:
        """Return what is measured in series with NaN where it is missing."""
        there = torch.isfinite(value)
        steps, never = torch.arange(value.shape[1]), 10**9
        before = torch.where(there, steps, -never).cummax(dim=1).values
        after = torch.where(there, steps, never).flip(1).cummin(dim=1).values.flip(1)
        return cls(torch.where(there, value, 0.0), there, before, after)


class _Data(NamedTuple):
    """What fills each gap, (gap, datum) each."""

    place: Tensor  # column of the surroundings' rows
    lag: Tensor  # steps from the gap, float64
    valid: Tensor  # whether the datum is there


def _estimated(
    covariance: SpaceTimeCovariance,
    known: _Known,
    around: Surroundings,
    gaps: Tensor,
    beside: int,
) -> tuple[Tensor, Tensor]:
    """Return estimate and variance of gaps from what is around them."""
    station, step = gaps.T
    data = _data_of_gaps(station, step, known, around)
    if beside:
        data = _with_data_beside(beside, station, step, known, around, data)
    place, lag, valid = data
    matrix = covariance(
        around.distance_km[station[:, None, None], place[:, :, None], place[:, None, :]],
        (lag[:, :, None] - lag[:, None, :]).abs(),
        place[:, :, None] == place[:, None, :],
    )
    vector = covariance(around.distance_km[station[:, None], 0, place], lag.abs(), place == 0)
    weight, spread = ordinary_weights(matrix, vector, valid, covariance.sill())
    at = (step[:, None] + lag.long()).clamp(0, known.value.shape[1] - 1)
    estimate = (weight * known.value[around.rows[station[:, None], place], at]).sum(dim=1)
    reached = valid.any(dim=1)
    return torch.where(reached, estimate, 0.0), torch.where(reached, spread, covariance.sill())


def _data_of_gaps(station: Tensor, step: Tensor, known: _Known, around: Surroundings) -> _Data:
    """Return the nearest stations that report at each gap, and the station's own values."""
    place, valid = _reporting(FILLING_STATIONS, station, step[:, None], known, around)
    own = torch.stack([known.before[station, step], known.after[station, step]], dim=1)
    own = own - step[:, None]
    in_reach = own.abs() <= OWN_REACH_STEPS
    own = torch.where(in_reach, own, 0)
    lag = torch.cat([torch.zeros_like(place), own], dim=1).to(torch.float64)
    place = torch.cat([place, torch.zeros_like(own)], dim=1)
    return _Data(place, lag, torch.cat([valid, in_reach], dim=1))


def _with_data_beside(
    count: int, station: Tensor, step: Tensor, known: _Known, around: Surroundings, data: _Data
) -> _Data:
    """Return the data of gaps with those of the nearest stations at the steps of own values."""
    parts = [data]
    for column in (-2, -1):  # the station's own last and next value
        lag, own = data.lag[:, column, None], data.valid[:, column, None]
        at = (step[:, None] + lag.long()).clamp(0, known.there.shape[1] - 1)
        place, valid = _reporting(count, station, at, known, around)
        parts.append(_Data(place, lag.expand_as(place), valid & own))
    return _Data(*(torch.cat(columns, dim=1) for columns in zip(*parts, strict=True)))


def _reporting(
    count: int, station: Tensor, at: Tensor, known: _Known, around: Surroundings
) -> tuple[Tensor, Tensor]:
    """Return places of the nearest candidates that report at steps, and whether each does."""
    reporting = known.there[around.rows[station, 1:], at]  # (gap, candidate), nearest first
    rank = torch.where(reporting, 0, 1).sort(dim=1, stable=True).indices[:, :count]
    return rank + 1, torch.gather(reporting, 1, rank)
