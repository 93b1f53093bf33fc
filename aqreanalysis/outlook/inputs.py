"""Forecast inputs: what each station and its surroundings had measured at a start, as tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.methods.covariates import Scaling
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.network import StationNetwork

#: Channels that are the predicted variable itself: the station's own, the mean of the others.
OWN, OTHERS = 0, 1
#: Stations of which the distances to all others are in memory at once.
STATIONS_TOGETHER = 512
#: Examples that are computed at a time without training.
BATCH = 1024


class History(NamedTuple):
    """What is known at a start, newest first, and the cyclic time of the predicted hours."""

    value: Tensor  # (batch, token, channel), standardised means over periods, gaps filled
    share: Tensor  # (batch, token, channel), of the hours of a period that have values
    past: Tensor  # (batch, token, CYCLES), at the beginning of each period
    cycles: Tensor  # (batch, lead, CYCLES), of the predicted hours
    place: Tensor  # (batch, 4): least, mean, greatest and spread of the distances to the others


@dataclass(frozen=True)
class ForecastInputs:
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
        Cyclic time at each station, up to the last predicted step.
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
        """Return the inputs of observations."""
        series = scaling.forward(observations)
        own = series[..., :1]
        present = np.isfinite(own)
        filled = np.where(present, own, 0)
        count = present.sum(0) - present  # of the other stations
        mean = (filled.sum(0) - filled) / np.maximum(count, 1)
        channels = np.concatenate([own, np.where(count > 0, mean, np.nan), series[..., 1:]], -1)
        present = np.isfinite(channels)
        padding = ((0, 0), (1, 0), (0, 0))
        clock, begin = clock_of(observations, seasons=seasons)
        return cls(
            torch.from_numpy(own[..., 0].astype(np.float32)),
            torch.from_numpy(np.pad(np.where(present, channels, 0).cumsum(1), padding)),
            torch.from_numpy(np.pad(present.cumsum(1).astype(np.float64), padding)),
            clock.cycles(observations["longitude"].values, begin, begin + own.shape[1] + leads),
            _distance_features(StationNetwork.from_dataset(observations)),
        )

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.sums.shape[-1]


class Examples(NamedTuple):
    """Pairs of a station and a start, each with a history and the values that followed."""

    inputs: ForecastInputs
    station: Tensor  # (n,) int64
    start: Tensor  # (n,) int64, column of the first predicted step

    @classmethod
    def of(cls, inputs: ForecastInputs, starts: Sequence[int]) -> "Examples":
        """Return the examples of all stations at all starts, station by station."""
        stations, start = len(inputs.value), torch.tensor(list(starts), dtype=torch.int64)
        station = torch.arange(stations).repeat_interleave(len(start))
        return cls(inputs, station, start.repeat(stations))

    def take(self, rows: Tensor) -> "Examples":
        """Return some of the examples."""
        return self._replace(station=self.station[rows], start=self.start[rows])

    def batches(self, size: int = BATCH) -> Iterator["Examples"]:
        """Yield the examples in their order, so many at a time."""
        for rows in torch.arange(len(self.start)).split(size):
            yield self.take(rows)

    def history(self, edges: Sequence[int], leads: int) -> History:
        """Return the histories before the starts; nothing at or after a start is used.

        Parameters
        ----------
        edges : sequence of int
            Steps before the start at which one period ends and the next begins, ascending from 0.
        leads : int
            Predicted steps.
        """
        inputs, station, start = self.inputs, self.station[:, None], self.start[:, None]
        steps = torch.tensor(edges)
        columns = (start - steps).clamp_min(0)  # (n, edge)
        sums, counts = inputs.sums[station, columns], inputs.counts[station, columns]
        total, count = sums[:, :-1] - sums[:, 1:], counts[:, :-1] - counts[:, 1:]
        value = (total / count.clamp_min(1)).float()  # (n, token, channel)
        share = (count / (steps[1:] - steps[:-1])[:, None]).float()
        cycles = inputs.cycles[station, start + torch.arange(leads)]
        past = inputs.cycles[station, columns[:, 1:]]
        return History(_filled(value, share > 0), share, past, cycles, inputs.place[self.station])

    def truth(self, leads: int) -> Tensor:
        """Return the values after the starts, (n, lead), NaN where missing or not yet known."""
        padded = torch.nn.functional.pad(self.inputs.value, (0, leads), value=torch.nan)
        return padded[self.station[:, None], self.start[:, None] + torch.arange(leads)]


def _distance_features(network: StationNetwork) -> Tensor:
    """Return least, mean, greatest and spread of the distances to the others, (station, 4)."""
    if network.size < 2:
        return torch.zeros(network.size, 4)
    every = np.arange(network.size)
    features = np.empty((network.size, 4))
    for first in range(0, network.size, STATIONS_TOGETHER):
        rows = every[first : first + STATIONS_TOGETHER, None]
        others = network.distance_km(rows, every)[rows != every].reshape(len(rows), -1)
        features[rows[:, 0]] = np.stack(
            [others.min(1), others.mean(1), others.max(1), others.std(1)], 1
        )
    return torch.from_numpy((features / (features[:, 1].mean() or 1.0)).astype(np.float32))


def _filled(value: Tensor, present: Tensor) -> Tensor:
    """Return tokens, newest first, of which a missing one repeats the one before it in time.

    Where nothing came before, the next one after is repeated, and 0, the mean, where none is.
    """
    value, known = value.clone(), present.clone()
    tokens = value.shape[1]
    for order, source in ((range(tokens - 2, -1, -1), 1), (range(1, tokens), -1)):
        for token in order:
            gap = ~known[:, token] & known[:, token + source]
            value[:, token] = torch.where(gap, value[:, token + source], value[:, token])
            known[:, token] |= known[:, token + source]
    return value
