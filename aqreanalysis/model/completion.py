"""Completing the stations' series, so that no pattern of missing values reaches the grid."""

from typing import NamedTuple

import torch
from torch import Tensor

from aqreanalysis.model.covariance import SpaceTimeCovariance, ordinary_weights

#: Stations that fill a gap, and steps to either side within which the station's own values do.
FILLING_STATIONS = 8
OWN_REACH_STEPS = 24
#: Gaps solved at once: 2000 systems of 10 x 10 fit in the processor's cache.
BATCH = 2000


def complete(
    covariance: SpaceTimeCovariance, value: Tensor, distance_km: Tensor, *, beside: int = 0
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
    distance_km : (station, station) float64
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
    there = torch.isfinite(value)
    filled = torch.where(there, value, 0.0)
    variance = torch.zeros_like(filled)
    with torch.no_grad():
        nearby = _nearby(value, distance_km)
        for gaps in torch.split((~there).nonzero(), BATCH):
            estimate, spread = _estimated(covariance, value, distance_km, gaps, nearby, beside)
            filled[tuple(gaps.T)], variance[tuple(gaps.T)] = estimate, spread
    return filled, variance


def estimate_gaps(
    covariance: SpaceTimeCovariance,
    value: Tensor,
    distance_km: Tensor,
    gaps: Tensor,
    *,
    beside: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return estimate and variance of gaps, (gap,) each.

    Parameters
    ----------
    covariance, value, distance_km, beside
        As of `complete`.
    gaps : (gap, 2) int
        Station and step of each.
    """
    return _estimated(covariance, value, distance_km, gaps, _nearby(value, distance_km), beside)


class _Nearby(NamedTuple):
    """What may fill the gaps of all stations, found once."""

    order: Tensor  # (station, candidate), nearest first
    apart: Tensor  # (station, candidate) km
    before: Tensor  # (station, time): step of the station's last value
    after: Tensor  # (station, time): step of its next value


def _nearby(value: Tensor, distance_km: Tensor) -> _Nearby:
    """Return what may fill gaps."""
    return _Nearby(*_candidates(distance_km), *_own_values(torch.isfinite(value)))


def _estimated(
    covariance: SpaceTimeCovariance,
    value: Tensor,
    distance_km: Tensor,
    gaps: Tensor,
    nearby: _Nearby,
    beside: int,
) -> tuple[Tensor, Tensor]:
    """Return estimate and variance of gaps from what is nearby."""
    there = torch.isfinite(value)
    station, step = gaps.T
    order, apart, before, after = nearby
    index, lag, valid = _data_of_gaps(station, step, there, order, apart, before, after)
    if beside:
        data = (index, lag, valid)
        index, lag, valid = _with_data_beside(beside, station, step, there, order, data)
    matrix = covariance(
        distance_km[index[:, :, None], index[:, None, :]],
        (lag[:, :, None] - lag[:, None, :]).abs(),
        index[:, :, None] == index[:, None, :],
    )
    own = index == station[:, None]
    vector = covariance(distance_km[station[:, None], index], lag.abs(), own)
    weight, spread = ordinary_weights(matrix, vector, valid, covariance.sill())
    at = (step[:, None] + lag.long()).clamp(0, value.shape[1] - 1)
    known = valid.any(dim=1)
    estimate = (weight * torch.where(there, value, 0.0)[index, at]).sum(dim=1)
    return torch.where(known, estimate, 0.0), torch.where(known, spread, covariance.sill())


def _candidates(distance_km: Tensor) -> tuple[Tensor, Tensor]:
    """Return each station's nearest others, thrice what a gap needs, and their distances."""
    others = distance_km.clone().fill_diagonal_(torch.inf)
    apart, order = others.sort(dim=1, stable=True)
    keep = min(3 * FILLING_STATIONS, max(distance_km.shape[0] - 1, 0))
    return order[:, :keep], apart[:, :keep]


def _own_values(there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step of each station's last and next measured value; far away if there is none."""
    steps = torch.arange(there.shape[1])
    never = 10**9
    before = torch.where(there, steps, -never).cummax(dim=1).values
    after = torch.where(there, steps, never).flip(1).cummin(dim=1).values.flip(1)
    return before, after


def _data_of_gaps(
    station: Tensor,
    step: Tensor,
    there: Tensor,
    order: Tensor,
    apart: Tensor,
    before: Tensor,
    after: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return station, lag and validity of the data that fill each gap, (gap, datum) each."""
    candidates = order[station]  # (gap, candidate), nearest first
    reporting = there[candidates, step[:, None]] & torch.isfinite(apart[station])
    rank = torch.where(reporting, 0, 1).sort(dim=1, stable=True).indices[:, :FILLING_STATIONS]
    index = torch.gather(candidates, 1, rank)
    valid = torch.gather(reporting, 1, rank)
    own = torch.stack([before[station, step], after[station, step]], dim=1) - step[:, None]
    in_reach = own.abs() <= OWN_REACH_STEPS
    own = torch.where(in_reach, own, 0)
    lag = torch.cat([torch.zeros_like(index), own], dim=1).to(torch.float64)
    index = torch.cat([index, station[:, None].expand(-1, 2)], dim=1)
    return index, lag, torch.cat([valid, in_reach], dim=1)


def _with_data_beside(
    count: int,
    station: Tensor,
    step: Tensor,
    there: Tensor,
    order: Tensor,
    data: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the data of gaps with those of the nearest stations at the steps of own values."""
    parts = [data]
    candidates = order[station]
    for column in (-2, -1):  # the station's own last and next value
        lag, valid = data[1][:, column, None], data[2][:, column, None]
        at = (step[:, None] + lag.long()).clamp(0, there.shape[1] - 1)
        reporting = there[candidates, at] & valid
        rank = torch.where(reporting, 0, 1).sort(dim=1, stable=True).indices[:, :count]
        index = torch.gather(candidates, 1, rank)
        parts.append((index, lag.expand_as(index), torch.gather(reporting, 1, rank)))
    index, lag, valid = (torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))
    return index, lag, valid
