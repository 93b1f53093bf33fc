"""The neural kNN: kriging with a learned covariance, attention heads beside it, and a decoder."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from aqreanalysis.model.configuration import Configuration
from aqreanalysis.model.covariance import SpaceTimeCovariance, Weights
from aqreanalysis.model.encoder import Encoding, TemporalEncoder

#: Sine and cosine of the local solar day, its half, the week and the year.
CYCLES = 8
#: Nearest neighbours that tell the local spacing of the network.
LOCAL_NEIGHBOURS = 4
#: Shortest local spacing, km; stations on one roof would make every other one infinitely far.
SHORTEST_KM = 0.5
#: Share of the distance to the first station left out from which a neighbour begins to fade.
FADING_FROM = 0.7
#: A local spread below this, in standard deviations, says nothing about its own scale.
SMALL_SPREAD = 0.1


class StationSeries(NamedTuple):
    """Completed, standardised series of a batch of windows, (batch, station, time), float32."""

    value: Tensor
    variance: Tensor  # 0 where measured, the variance of the filling elsewhere
    mean: Tensor  # over the station's nearest others
    spread: Tensor  # standard deviation over the same
    cycles: Tensor  # (batch, station, time, CYCLES)


@dataclass(frozen=True)
class Neighbourhood:
    """The k nearest stations of n targets.

    Attributes
    ----------
    window : (n,) int
        Row of the batch in which the target lives.
    index : (n, k) int
        Neighbours; any row where ``distance_km`` is inf.
    distance_km, bearing : (n, k) float64
        Target to neighbour; bearing in radians.
    pair_km : (n, k, k) float64
        Neighbour to neighbour.
    fading : (n, k) float64
        From `fade`: 0 near the target, without bound towards the first station left out.
    """

    window: Tensor
    index: Tensor
    distance_km: Tensor
    bearing: Tensor
    pair_km: Tensor
    fading: Tensor

    def gather(self, values: Tensor) -> Tensor:
        """Return (n, neighbour, time, ...) of (batch, station, time, ...)."""
        return values[self.window[:, None], self.index]


class NeuralKNN(nn.Module):
    """Mean and log-variance at targets, from the series of their nearest stations.

    1. A *covariance head*: ordinary kriging in space and time with a learned covariance, on
       values that the encoder may correct. It knows the neighbours' covariance among themselves,
       so that a cluster of stations does not count as many.
    2. *Attention heads*: each weighs single neighbours by learned geometry (distance in local
       spacings, bearing, kriging weight) and by the encoder's score of that station and step.
    3. A *decoder* mixes and corrects them, pointwise, from differences between the heads, the
       spread of the neighbours, the kriging variance and the cycles at the target.

    The decoder's last layer starts at zero, so the untrained network is kriging.

    Parameters
    ----------
    configuration : Configuration
    spacing_km : float
        Median spacing of the stations, where the covariance begins to learn.
    """

    def __init__(self, configuration: Configuration, *, spacing_km: float) -> None:
        super().__init__()
        self.configuration = configuration
        heads, width = configuration.heads, configuration.decoder_width
        self.covariance = SpaceTimeCovariance(spacing_km)
        self.encoder = TemporalEncoder(4 + CYCLES, configuration)
        self.geometry = nn.Sequential(nn.Linear(7, 24), nn.GELU(), nn.Linear(24, heads))
        self.power = nn.Parameter(torch.linspace(1.0, 3.0, heads))
        lagged = len(configuration.lags) - 1
        self.decoder = nn.Sequential(
            nn.Linear(9 + lagged + heads + CYCLES + configuration.context, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
        )
        self.leave = nn.Linear(width, 2 + heads)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.log_spread = nn.Parameter(torch.zeros(()))

    def weights(self, neighbourhood: Neighbourhood) -> Weights:
        """Return the covariance head's weights (n, k, lag) and variance (n,), float64."""
        return self.covariance.weights(
            neighbourhood.distance_km,
            neighbourhood.pair_km,
            neighbourhood.fading,
            self.configuration.lags,
        )

    def encode(self, series: StationSeries) -> Encoding:
        """Return the encoding of every station and step, (batch, station, time, ...)."""
        own = [
            series.value,
            (series.value - series.mean) / series.spread.clamp_min(SMALL_SPREAD),
            series.variance.sqrt(),
            (series.variance > 0).float(),
        ]
        return self.encoder(torch.cat([torch.stack(own, -1), series.cycles], -1))

    def krige(
        self, series: StationSeries, neighbourhood: Neighbourhood, weights: Weights
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, core) of the covariance head alone."""
        mean, _ = self._weighted(neighbourhood.gather(series.value), weights)
        variance = neighbourhood.gather(self._core(series.variance))
        return mean, self._log_variance(variance, weights) + self.log_spread

    def forward(
        self,
        series: StationSeries,
        encoding: Encoding,
        neighbourhood: Neighbourhood,
        weights: Weights,
        cycles: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, core).

        Parameters
        ----------
        series, encoding : StationSeries, Encoding
            Of the core steps and the longest lag on either side.
        neighbourhood : Neighbourhood
            Of n targets.
        weights : Weights
            Of `weights`.
        cycles : (n, core, CYCLES)
            At the targets.
        """
        corrected = neighbourhood.gather(series.value + encoding.correction)
        kriged, lagged = self._weighted(corrected, weights)
        value = neighbourhood.gather(self._core(series.value))  # (n, neighbour, core)
        variance = neighbourhood.gather(self._core(series.variance))
        log_variance = self._log_variance(variance, weights)
        share = self._attention(neighbourhood, weights, encoding, variance)
        departure = value - kriged[:, None]
        offset = neighbourhood.gather(self._core(encoding.offset))
        heads = ((departure[..., None] + offset) * share).sum(1)  # (n, core, head)
        context = neighbourhood.gather(self._core(encoding.context))
        context = (context * share.mean(-1, keepdim=True)).sum(1)
        around = ((departure**2 * share[..., 0]).sum(1) + 1e-6).sqrt()
        mean, spread = _moments(value, neighbourhood)
        scaled = (kriged - mean) / spread.clamp_min(SMALL_SPREAD)
        scalars = [kriged, mean, scaled, spread, around, log_variance]
        scalars += [at_lag - kriged for at_lag in lagged]
        place = self._place(neighbourhood, weights)[:, None].expand(-1, kriged.shape[1], -1)
        features = torch.cat([torch.stack(scalars, -1), heads, place, cycles, context], -1)
        shift, widen, gates = self.leave(self.decoder(features)).split([1, 1, heads.shape[-1]], -1)
        # A step of 0.3 standard deviations: the size of what there is to correct.
        estimate = kriged + 0.3 * shift[..., 0] + (gates.tanh() * heads).sum(-1)
        return estimate, log_variance + self.log_spread + widen[..., 0]

    def _weighted(self, values: Tensor, weights: Weights) -> tuple[Tensor, list[Tensor]]:
        """Return the kriged mean and, for each other lag, the kriged field at that lag alone."""
        reach, lags = self.configuration.reach, self.configuration.lags
        core = values.shape[-1] - 2 * reach
        weight = weights.weight.float()
        shifted = [values[..., reach + lag : reach + lag + core] for lag in lags]
        terms = [_sum_neighbours(weight[..., i], value) for i, value in enumerate(shifted)]
        spatial = weight.sum(-1)
        lagged = [
            _sum_neighbours(spatial, value)
            for value, lag in zip(shifted, lags, strict=True)
            if lag != 0
        ]
        return torch.stack(terms).sum(0), lagged

    def _log_variance(self, variance: Tensor, weights: Weights) -> Tensor:
        """Return the log of the kriging variance plus what the filled neighbours add."""
        added = _sum_neighbours(weights.weight.float().sum(-1) ** 2, variance)
        return torch.log(weights.variance.float()[:, None] + added)

    def _attention(
        self, neighbourhood: Neighbourhood, weights: Weights, encoding: Encoding, variance: Tensor
    ) -> Tensor:
        """Return each head's share of each neighbour, (n, neighbour, core, head)."""
        distance = neighbourhood.distance_km.float().clamp_max(1e5)
        local = _local_spacing(neighbourhood.distance_km)[:, None]
        scaled = distance / local
        bearing = neighbourhood.bearing.float()
        geometry = [
            torch.log(scaled + 0.05),
            1 / (1 + scaled),
            bearing.sin(),
            bearing.cos(),
            weights.weight.float().sum(-1),
            torch.log(distance + 1) / 5,
            (torch.log(local) / 5).expand_as(distance),
        ]
        learned = self.geometry(torch.stack(geometry, -1))  # (n, neighbour, head)
        learned = learned - self.power * torch.log(scaled + 0.1)[..., None]
        there = torch.isfinite(neighbourhood.distance_km)
        learned = learned - torch.log1p(neighbourhood.fading.float())[..., None]
        learned = learned.masked_fill(~there[..., None], -torch.inf)
        score = neighbourhood.gather(self._core(encoding.score)) - variance[..., None]
        return torch.softmax(learned[:, :, None] + score, dim=1)

    def _place(self, neighbourhood: Neighbourhood, weights: Weights) -> Tensor:
        """Return what the decoder knows of a target's place, (n, 3)."""
        nearest = neighbourhood.distance_km[:, 0].float()
        local = _local_spacing(neighbourhood.distance_km)
        return torch.stack(
            [torch.log(local) / 5, weights.variance.float(), torch.log(nearest + 0.5) / 5], -1
        )

    def _core(self, values: Tensor) -> Tensor:
        """Return (batch, station, core, ...) of series that have the longest lag on either side."""
        reach = self.configuration.reach
        return values.narrow(2, reach, values.shape[2] - 2 * reach)


def fade(distance_km: Tensor, radius_km: Tensor) -> Tensor:
    """Return the noise that fades the outermost neighbours, in units of the sill, (n, k).

    A field made from the k nearest stations alone jumps where a station enters or leaves the set.
    Noise that grows without bound towards the radius takes each one's weight to zero before it
    leaves (Rivoirard & Romary 2011, Mathematical Geosciences 43).

    Parameters
    ----------
    distance_km : (n, k)
    radius_km : (n,)
        Distance to the first station left out; inf where none is.

    Examples
    --------
    >>> distance = torch.tensor([[1.0, 8.0, 9.9]], dtype=torch.float64)
    >>> fade(distance, torch.tensor([10.0], dtype=torch.float64)).round(decimals=2).tolist()
    [[0.0, 0.25, 841.0]]
    """
    share = (distance_km / radius_km[:, None]).nan_to_num(nan=0.0, posinf=0.0)
    return ((share - FADING_FROM) / (1 - share).clamp_min(1e-6)).clamp_min(0) ** 2


def _moments(value: Tensor, neighbourhood: Neighbourhood) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over the neighbours, (n, core) each, without jumps."""
    present = torch.isfinite(neighbourhood.distance_km) / (1 + neighbourhood.fading)
    share = (present / present.sum(1, keepdim=True)).float()
    mean = _sum_neighbours(share, value)
    return mean, (_sum_neighbours(share, (value - mean[:, None]) ** 2) + 1e-6).sqrt()


def _sum_neighbours(weight: Tensor, values: Tensor) -> Tensor:
    """Return the sum over neighbours of (n, neighbour) by (n, neighbour, time)."""
    return torch.einsum("nk,nkt->nt", weight, values)


def _local_spacing(distance_km: Tensor) -> Tensor:
    """Return the mean distance to the nearest few stations, (n,) km, float32."""
    nearest = distance_km[:, :LOCAL_NEIGHBOURS]
    there = torch.isfinite(nearest)
    total = torch.where(there, nearest, 0.0).sum(1)
    return (total / there.sum(1).clamp_min(1)).float().clamp_min(SHORTEST_KM)
