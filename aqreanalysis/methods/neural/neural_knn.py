"""The neural kNN: kriging with a learned covariance, attention heads beside it, and a decoder."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from aqreanalysis.methods.kriging.bands import BandCovariance, split_bands
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance, Weights
from aqreanalysis.methods.kriging.neighbourhood import SHORTEST_KM, Neighbourhood, local_spacing
from aqreanalysis.methods.kriging.shared_factor import shared_weights
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.encoder import Encoding, TemporalEncoder

#: Sine and cosine of the local solar day, its half, the week and the year.
CYCLES = 8
#: Largest score of a station and step, as a logarithm: e^4 times or a fraction of another's.
BOUND = 4.0
#: A sum of shares below this is none: all that a head listens to is out of reach.
TINY = 1e-12
#: A variance of this share of the sill is that of a value of which nothing is known.
ALMOST = 0.999
#: A local spread below this, in standard deviations, says nothing about its own scale.
SMALL_SPREAD = 0.1
#: Below this a variance over neighbours is rounding; the root of it keeps a slope in training.
LEAST_SQUARE = 1e-6
#: Neighbours whose squared differences from an estimate are below this agree with it.
AGREEMENT = 1e-3


class StationSeries(NamedTuple):
    """Completed, standardised series of a batch of windows, (batch, station, time), float32."""

    value: Tensor
    variance: Tensor  # 0 where measured, the variance of the filling elsewhere
    mean: Tensor  # over the station's nearest others
    spread: Tensor  # standard deviation over the same
    cycles: Tensor  # (batch, station, time, CYCLES)
    covariates: Tensor  # (batch, station, time, 2 covariate): values, then whether they are there


class NeuralKNN(nn.Module):
    """Mean and log-variance at targets, from the series of their nearest stations.

    1. A *covariance head*: ordinary kriging of each band of the series, from hourly noise to the
       weather, with a learned covariance, on values that the encoder may correct. It knows the
       neighbours' covariance among themselves, so that a cluster does not count as many.
    2. *Attention heads*: each weighs single neighbours by learned geometry (distance in local
       spacings, bearing, kriging weight) and by the encoder's score of that station and step.
    3. A *decoder* mixes and corrects them, pointwise, from differences between the heads, the
       spread of the neighbours, the kriging variance and the cycles at the target.

    The variance is a product of powers, the `spread_law`: of how far the neighbours disagree with
    the estimate now, of the exponential of its level, and of the kriging variance, which depends
    on the place alone. The decoder may widen it. Untrained, it is the kriging variance.

    The decoder's last layer starts at zero, so the untrained network is kriging, and ``departure``
    scales how far the trained one's mean departs from it; at 0 only the spread is learned.

    Parameters
    ----------
    configuration : Configuration
    spacing_km : float
        Median spacing of the stations, where the covariance begins to learn.
    covariates : int
        Other variables that the encoder sees.
    """

    def __init__(
        self, configuration: Configuration, *, spacing_km: float, covariates: int = 0
    ) -> None:
        super().__init__()
        self.configuration = configuration
        heads, width = configuration.heads, configuration.decoder_width
        self.covariance = SpaceTimeCovariance(spacing_km)
        self.bands = BandCovariance(len(configuration.bands) + 1, spacing_km)
        self.encoder = TemporalEncoder(4 + CYCLES + 2 * covariates, configuration)
        self.geometry = nn.Sequential(nn.Linear(7, 24), nn.GELU(), nn.Linear(24, heads))
        self.power = nn.Parameter(torch.linspace(1.0, 3.0, heads))
        self.decoder = nn.Sequential(
            nn.Linear(9 + len(configuration.bands) + heads + CYCLES + configuration.context, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
        )
        self.leave = nn.Linear(width, 2 + heads)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.log_spread = nn.Parameter(torch.zeros(()))
        self.register_buffer("spread_law", torch.tensor([0.0, 0.0, 1.0]))
        # Share of the learned correction that is used; validation stations decide, 1 in training.
        self.register_buffer("departure", torch.ones(()))

    departure: Tensor
    spread_law: Tensor

    def weights(self, neighbourhood: Neighbourhood) -> Weights:
        """Return the covariance head's weights (n, k, band) and variance (n,), float64."""
        if "covariance" in self.configuration.without:
            return self._inverse_distance(neighbourhood)
        return self.bands.weights(
            neighbourhood.distance_km,
            neighbourhood.bearing,
            neighbourhood.fading,
            neighbourhood.log_noise,
        )

    def shared_weights(
        self, neighbourhood: Neighbourhood, targets: Tensor, stations: Tensor, log_noise: Tensor
    ) -> Weights | None:
        """Return `weights` as `sharing.shared_weights` finds them, None where that is no gain."""
        if "covariance" in self.configuration.without:
            return None
        return shared_weights(self.bands, neighbourhood, targets, stations, log_noise)

    def _inverse_distance(self, neighbourhood: Neighbourhood) -> Weights:
        """Return weights of inverse squared distance, one for all bands, and a variance of 1."""
        fading = 1 + neighbourhood.fading
        near = 1 / ((neighbourhood.distance_km.clamp_min(SHORTEST_KM)) ** 2 * fading)
        weight = (near / near.sum(1, keepdim=True))[..., None]
        bands = len(self.configuration.bands) + 1
        return Weights(weight.expand(-1, -1, bands), torch.ones(len(weight), dtype=near.dtype))

    def encode(self, series: StationSeries) -> Encoding:
        """Return the encoding of every station and step, (batch, station, time, ...)."""
        own = [
            series.value,
            (series.value - series.mean) / series.spread.clamp_min(SMALL_SPREAD),
            series.variance.sqrt(),
            (series.variance > 0).float(),
        ]
        around = [self.cyclic(series.cycles), series.covariates]
        return self.encoder(torch.cat([torch.stack(own, -1), *around], -1))

    def krige(
        self, series: StationSeries, neighbourhood: Neighbourhood, weights: Weights
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, core) of the covariance head alone."""
        mean, told = self.kriged(series, neighbourhood, weights)
        return mean, self.by_law(told) + self.log_spread

    def kriged(
        self, series: StationSeries, neighbourhood: Neighbourhood, weights: Weights
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Return the mean (n, core) of the covariance head, and what the spread law weighs."""
        kriged = self._kriged(series, series.value, neighbourhood, weights).sum(-1)
        mean, spread = self._moments(series, neighbourhood, weights)
        variance = self._variance(series, neighbourhood, weights)
        return kriged, spread_features(kriged, mean, spread, variance)

    def by_law(self, told: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the logarithm of the variance by the spread law, but for its constant."""
        disagreement, level, kriging = (
            power * feature for power, feature in zip(self.spread_law, told, strict=True)
        )
        return disagreement + level + kriging

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
            Of the core steps and what the bands need on either side.
        neighbourhood : Neighbourhood
            Of n targets, in the order of their windows.
        weights : Weights
            Of `weights`.
        cycles : (n, core, CYCLES)
            At the targets.
        """
        corrected = series.value + self.departure * encoding.correction
        bands = self._kriged(series, corrected, neighbourhood, weights)
        kriged = bands.sum(-1)
        variance = self._variance(series, neighbourhood, weights)
        heads, around, context = self._attend(series, encoding, neighbourhood, weights, kriged)
        mean, spread = self._moments(series, neighbourhood, weights)
        log_variance = self.by_law(spread_features(kriged, mean, spread, variance))
        scaled = (kriged - mean) / spread.clamp_min(SMALL_SPREAD)
        scalars = [kriged, mean, scaled, spread, around, log_variance]
        place = self.place(neighbourhood, weights)[:, None].expand(-1, kriged.shape[1], -1)
        features = [
            torch.stack(scalars, -1),
            bands[..., :-1],
            heads,
            place,
            self.cyclic(cycles),
            context,
        ]
        decoded = self.leave(self.decoder(torch.cat(features, -1)))
        shift, widen, gates = decoded.split([1, 1, heads.shape[-1]], -1)
        # A step of 0.3 standard deviations: the size of what there is to correct.
        correction = 0.3 * shift[..., 0] + (gates.tanh() * heads).sum(-1)
        estimate = kriged + self.departure * correction
        return estimate, log_variance + self.log_spread + widen[..., 0]

    def cyclic(self, cycles: Tensor) -> Tensor:
        """Return the cycles, or nothing of them where they are left out."""
        return cycles * ("cycles" not in self.configuration.without)

    def _kriged(
        self, series: StationSeries, values: Tensor, neighbourhood: Neighbourhood, weights: Weights
    ) -> Tensor:
        """Return the kriged bands (n, core, band) of values that the series may be corrected to."""
        known = (series.variance < ALMOST * self.covariance.sill()).to(values.dtype)
        bands = split_bands(values, known, self.configuration.bands)
        dense = neighbourhood.scatter(weights.weight.float(), values.shape[1])
        mixed = [
            neighbourhood.mix(dense[..., band], bands[..., band]) for band in range(dense.shape[-1])
        ]
        return torch.stack(mixed, -1)

    def _variance(
        self, series: StationSeries, neighbourhood: Neighbourhood, weights: Weights
    ) -> Tensor:
        """Return the kriging variance plus what the filled neighbours add, (n, core)."""
        # What an error of a filled value weighs, in the band in which it weighs most.
        heaviest = weights.weight.float().square().amax(-1)
        dense = neighbourhood.scatter(heaviest, series.value.shape[1])
        return weights.variance.float()[:, None] + neighbourhood.mix(
            dense, self.core(series.variance)
        )

    def _attend(
        self,
        series: StationSeries,
        encoding: Encoding,
        neighbourhood: Neighbourhood,
        weights: Weights,
        kriged: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the heads' departures, the spread and the context that the first head sees.

        A head's share of a neighbour is a softmax over geometry plus the score of that station
        and step. The exponential of the sum is a product, so numerator and denominator are matrix
        products of one factor that belongs to the target and one that belongs to the step: a cell
        and hour costs no softmax.
        """
        value = self.core(series.value)[..., None]
        score = BOUND * torch.tanh(self.core(encoding.score) / BOUND)
        factor = torch.exp(score - self.core(series.variance)[..., None])  # (b, station, core, h)
        geometry = neighbourhood.scatter(
            self.geometric_factors(neighbourhood, weights), value.shape[1]
        )
        told = torch.cat([value, value**2, self.core(encoding.context)], -1)
        heads = []
        for head in range(self.configuration.heads):
            listened = factor[..., head : head + 1]
            parts = [listened, listened * (value + self.core(encoding.offset)[..., head, None])]
            if head == 0:
                parts.append(listened * told)
            mixed = neighbourhood.mix(geometry[..., head], torch.cat(parts, -1))
            shares = mixed[..., 1:] / mixed[..., :1].clamp_min(TINY)  # (n, core, ...)
            heads.append(shares[..., 0] - kriged)
            if head == 0:
                first = shares[..., 1:]
        around = first[..., 1] - 2 * kriged * first[..., 0] + kriged**2
        return torch.stack(heads, -1), (around.clamp_min(0) + LEAST_SQUARE).sqrt(), first[..., 2:]

    def geometric_factors(self, neighbourhood: Neighbourhood, weights: Weights) -> Tensor:
        """Return each head's geometric factor of each neighbour, (n, neighbour, head)."""
        distance = neighbourhood.distance_km.float().clamp_max(1e5)
        local = local_spacing(neighbourhood.distance_km)[:, None]
        scaled = distance / local
        bearing = neighbourhood.bearing.float()
        geometry = [
            torch.log(scaled + 0.05),
            1 / (1 + scaled),
            bearing.sin(),
            bearing.cos(),
            weights.weight.float().mean(-1),
            torch.log(distance + 1) / 5,
            (torch.log(local) / 5).expand_as(distance),
        ]
        learned = self.geometry(torch.stack(geometry, -1))
        learned = learned - self.power * torch.log(scaled + 0.1)[..., None]
        learned = learned - torch.log1p(neighbourhood.fading.float())[..., None]
        there = torch.isfinite(neighbourhood.distance_km)[..., None]
        return torch.softmax(learned.masked_fill(~there, -torch.inf), dim=1)

    def _moments(
        self, series: StationSeries, neighbourhood: Neighbourhood, weights: Weights
    ) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation over the neighbours, (n, core) each."""
        value = self.core(series.value)[..., None]
        dense = neighbourhood.scatter(self.shares(weights), value.shape[1])
        mean, square = neighbourhood.mix(dense, torch.cat([value, value**2], -1)).unbind(-1)
        return mean, ((square - mean**2).clamp_min(0) + LEAST_SQUARE).sqrt()

    def shares(self, weights: Weights) -> Tensor:
        """Return each neighbour's share in mean and spread, (n, k) float32: as it is weighed."""
        share = weights.weight.mean(-1).abs()
        return (share / share.sum(1, keepdim=True)).float()

    def place(self, neighbourhood: Neighbourhood, weights: Weights) -> Tensor:
        """Return what the decoder knows of a target's place, (n, 3)."""
        nearest = neighbourhood.distance_km[:, 0].float()
        local = local_spacing(neighbourhood.distance_km)
        return torch.stack(
            [torch.log(local) / 5, weights.variance.float(), torch.log(nearest + 0.5) / 5], -1
        )

    def core(self, values: Tensor) -> Tensor:
        """Return (batch, station, core, ...) of series that reach further on either side."""
        reach = self.configuration.reach
        return values.narrow(2, reach, values.shape[2] - 2 * reach)


def spread_features(
    estimate: Tensor, mean: Tensor, spread: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what tells how uncertain an estimate is, each of the shape of the estimate.

    Parameters
    ----------
    estimate, mean, spread : Tensor
        The estimate; mean and standard deviation over its neighbours.
    variance : Tensor
        Of kriging.

    Returns
    -------
    disagreement, level, kriging : Tensor
        Logarithm of the neighbours' mean squared difference from the estimate, the estimate, and
        the logarithm of the variance of kriging.
    """
    apart = spread**2 + (estimate - mean) ** 2
    return torch.log(apart + AGREEMENT), estimate, torch.log(variance)
