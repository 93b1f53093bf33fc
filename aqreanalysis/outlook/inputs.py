"""The border to tensors of the outlook: what each station and its surroundings knew at a start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.network import StationNetwork
from aqreanalysis.outlook.aqnet import History

#: Stations of which the distances to all others are in memory at once.
STATIONS_TOGETHER = 512


@dataclass(frozen=True)
class Histories:
    """Series of stations, from which the history before any start is taken.

    Attributes
    ----------
    value : (station, time) float32
        The predicted variable, standardised; NaN is missing.
    sums, counts : (station, time + 1, channel) float64
        Of all values and of those present up to each step: the difference of two of them is a
        mean over any period. Channels are the variable, its mean over the other stations, and
        the covariates.
    cycles : (station, time + leads, CYCLES) float32
        Cyclic time at each station, as far ahead as is predicted.
    place : (station, 4) float32
        Least, mean, greatest and spread of the distances to the other stations, in units of the
        mean of all.
    """

    value: Tensor
    sums: Tensor
    counts: Tensor
    cycles: Tensor
    place: Tensor

    @classmethod
    def of(cls, observations: xr.Dataset, scaling: Scaling, *, leads: int, seasons: bool) -> Self:
        """Return the histories of observations."""
        series = scaling.forward(observations)
        own = series[..., :1]
        there = np.isfinite(own)
        total, count = np.where(there, own, 0).sum(0), there.sum(0)
        apart = count - there  # of the other stations
        others = np.where(
            apart > 0, (total - np.where(there, own, 0)) / np.maximum(apart, 1), np.nan
        )
        channels = np.concatenate([own, others, series[..., 1:]], -1)
        there = np.isfinite(channels)
        padding = ((0, 0), (1, 0), (0, 0))
        clock, begin = clock_of(observations, seasons=seasons)
        return cls(
            torch.from_numpy(own[..., 0].astype(np.float32)),
            torch.from_numpy(np.pad(np.where(there, channels, 0).cumsum(1), padding)),
            torch.from_numpy(np.pad(there.cumsum(1).astype(np.float64), padding)),
            clock.cycles(observations["longitude"].values, begin, begin + own.shape[1] + leads),
            _places(StationNetwork.from_dataset(observations)),
        )

    def at(self, station: Tensor, start: Tensor, *, edges: Sequence[int], leads: int) -> History:
        """Return the histories of stations before starts; nothing at or after a start is seen.

        Parameters
        ----------
        station, start : (batch,) int64
            A start is the column of the first predicted step.
        edges : sequence of int
            Steps before the start at which one period ends and the next begins, ascending from 0.
        leads : int
            Steps ahead.
        """
        steps = torch.tensor(edges)
        columns = (start[:, None] - steps).clamp_min(0)  # (batch, edge)
        sums, counts = (t[station[:, None], columns] for t in (self.sums, self.counts))
        total, count = sums[:, :-1] - sums[:, 1:], counts[:, :-1] - counts[:, 1:]
        value = (total / count.clamp_min(1)).float()  # (batch, token, channel)
        share = (count / (steps[1:] - steps[:-1])[:, None]).float()
        cycles = self.cycles[station[:, None], start[:, None] + torch.arange(leads)]
        past = self.cycles[station[:, None], columns[:, 1:]]
        return History(_carried(value, share > 0), share, past, cycles, self.place[station])

    def truth(self, station: Tensor, start: Tensor, leads: int) -> Tensor:
        """Return what came after the starts, (batch, lead), NaN where missing or not yet there."""
        padded = torch.nn.functional.pad(self.value, (0, leads), value=torch.nan)
        return padded[station[:, None], start[:, None] + torch.arange(leads)]


def _places(network: StationNetwork) -> Tensor:
    """Return what the distances to the other stations are like, (station, 4)."""
    if network.size < 2:
        return torch.zeros(network.size, 4)
    everyone, told = np.arange(network.size), []
    for rows in np.split(
        everyone[:, None], range(STATIONS_TOGETHER, network.size, STATIONS_TOGETHER)
    ):
        distance_km = network.distance_km(rows, everyone)
        others = distance_km[rows != everyone].reshape(len(rows), -1)
        told.append(np.stack([f(others, axis=1) for f in (np.min, np.mean, np.max, np.std)], -1))
    kinds = np.concatenate(told)
    return torch.from_numpy((kinds / (kinds[:, 1].mean() or 1.0)).astype(np.float32))


def _carried(value: Tensor, there: Tensor) -> Tensor:
    """Return tokens, newest first, of which one that is missing repeats the one before it.

    Where nothing came before, the next one after is repeated, and 0, the mean, where none is.
    """
    value = value.clone()
    known = there.clone()
    tokens = value.shape[1]
    for order in (range(tokens - 2, -1, -1), range(1, tokens)):
        step = -1 if order.step > 0 else 1
        for token in order:
            beside = token + step
            gap = ~known[:, token] & known[:, beside]
            value[:, token] = torch.where(gap, value[:, beside], value[:, token])
            known[:, token] |= known[:, beside]
    return value
