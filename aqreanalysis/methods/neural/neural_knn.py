"""The neural kNN: kriging with a learned covariance, attention heads beside it, and a decoder.

Training, validation and prediction call the same function. What belongs to a station and step is
made once (`NeuralKNN.station_tables`), what belongs to a target once for all hours
(`NeuralKNN.target_matrices`); a target and step then cost three matrix products and the decoder.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from aqreanalysis.methods.kriging.bands import BandCovariance, split_bands
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.neighbourhood import SHORTEST_KM, Neighbourhood, local_spacing
from aqreanalysis.methods.kriging.shared_factor import SharedWeights, shared_weights
from aqreanalysis.methods.kriging.solver import Weights
from aqreanalysis.methods.kriging.spread import AGREEMENT
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.encoder import Encoding, TemporalEncoder

#: Sine and cosine of the local solar day, its half, the week and the year.
CYCLES = 8
#: Largest score of a station and step, as a logarithm: e^4 times or a fraction of another's.
LARGEST_SCORE = 4.0
#: A sum of shares below this is none: all that a head listens to is out of reach.
LEAST_SHARE = 1e-12
#: A variance of this share of the sill is that of a value that no data constrain.
UNCONSTRAINED = 0.999
#: Least spread over the neighbours, in standard deviations, by which differences are scaled.
SMALL_SPREAD = 0.1
#: Below this a variance over neighbours is rounding; the root of it keeps a slope in training.
LEAST_SQUARE = 1e-6
#: Standard deviations of a unit of the decoder's correction: the size of what there is to correct.
CORRECTION_SCALE = 0.3
#: Values that go through the decoder at once: its layers stay in the cache of a processor, and the
#: operators are large enough for a second thread to run beside them.
DECODED_TOGETHER = 9216


class StationSeries(NamedTuple):
    """Completed, standardised series of stations, (station, time), float32.

    The stations of several windows may follow each other.
    """

    value: Tensor
    variance: Tensor  # 0 where measured, the variance of the filling elsewhere
    mean: Tensor  # over the station's nearest others
    spread: Tensor  # standard deviation over the same
    cycles: Tensor  # (station, time, CYCLES)
    covariates: Tensor  # (station, time, 2 covariate): values, then 1 where they are not missing


class StationTables(NamedTuple):
    """The factors of stations and steps in all sums over stations, (row, station, step) float32.

    Attributes
    ----------
    first : Tensor
        One row for each matrix of `TargetMatrices`: the kriged bands, the standard error of filled
        values, the value, and with heads the softmax numerator of each head.
    second : Tensor
        One row for each matrix from the mean's on: the squared value, and with heads each one's
        numerator times the value as the head corrects it.
    context : Tensor
        Averaged by head 0 only: value, squared value and context, times its numerator.
    """

    first: Tensor
    second: Tensor
    context: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(table.nbytes for table in self)

    def of_stations(self, stations: Tensor) -> Self:
        """Return the tables of some stations, by row, (row, *stations.shape, step)."""
        rows, shape = stations.flatten(), stations.shape
        return type(self)(*(table.index_select(1, rows).unflatten(1, shape) for table in self))


class TargetMatrices(NamedTuple):
    """The factors of n targets in all sums over stations, whatever the hour.

    The targets may be those of some tiles, each with stations of its own.

    Attributes
    ----------
    weight : (matrix, n, station) or (matrix, tile, n / tiles, station) float32
        Weights of each band, the shares in the error of filled values and in the mean, which are
        the same, and with heads each head's geometric factor.
    variance : (n, 1) float32
        Kriging variance.
    place : (3, n) float32
        Inputs of the decoder: local spacing, kriging variance, distance to the nearest station.
        (3, 0) without heads.
    """

    weight: Tensor
    variance: Tensor
    place: Tensor

    def of_tile(self, tile: int, rows: Tensor) -> Self:
        """Return the matrices of some targets of one tile, by row of the tile."""
        every = tile * self.weight.shape[2] + rows
        place = self.place[:, every] if self.place.shape[1] else self.place
        return type(self)(self.weight[:, tile, rows], self.variance[every], place)


class Kriged(NamedTuple):
    """Kriging at n targets, (n, step) each, and the three features of the spread law."""

    mean: Tensor
    neighbour_mean: Tensor
    neighbour_spread: Tensor
    filled: Tensor  # variance of filled neighbours, whose errors go together
    features: tuple[Tensor, Tensor, Tensor]  # of `spread_features`


class NeuralKNN(nn.Module):
    """Mean and log-variance at targets, from the series of their nearest stations.

    1. A *covariance head*: ordinary kriging of each band of the series, from hourly noise to the
       weather, with a learned covariance, on values that the encoder may correct. It uses the
       neighbours' covariance among themselves, so that a cluster does not count as many.
    2. *Attention heads*: each weighs single neighbours by learned geometry (distance in local
       spacings, bearing, kriging weight) and by the encoder's score of that station and step.
    3. A *decoder* mixes and corrects them, pointwise, from differences between the heads, the
       spread of the neighbours, the kriging variance and the cycles at the target.

    The variance is a product of powers, the `spread_law`: of how far the neighbours disagree with
    the estimate now, of the exponential of its level, and of the kriging variance, which depends
    on the place alone. What filled values add, whose errors count as going together, is
    ``filled_share`` of the squared mean of their standard errors. The decoder may widen the sum.
    Untrained, the variance is that of kriging and of the filled values.

    The decoder's last layer starts at zero, so the untrained network is kriging, and ``departure``
    scales how far the trained one's mean departs from it; at 0 only the spread is learned.

    Parameters
    ----------
    configuration : Configuration
    spacing_km : float
        Median spacing of the stations, where the covariance begins to learn.
    covariates : int
        Other variables that the encoder sees.
    attributes : int
        Attributes by which places differ for the covariance.
    coordinate_km : sequence of float
        How far one unit of each coordinate sets places apart for it.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        spacing_km: float,
        covariates: int = 0,
        attributes: int = 0,
        coordinate_km: Sequence[float] = (),
    ) -> None:
        super().__init__()
        self.configuration = configuration
        heads, width = configuration.heads, configuration.decoder_width
        self.covariance = SpaceTimeCovariance(spacing_km)
        self.bands = BandCovariance(
            len(configuration.bands) + 1, spacing_km, attributes, coordinate_km
        )
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
        self.register_buffer("filled_share", torch.ones(()))
        # Inverse of the degrees of freedom of the root: 0 where it is normal.
        self.register_buffer("heaviness", torch.zeros(()))
        # Standardised root as which larger ones count: one absurd value may move so much only.
        self.register_buffer("largest", torch.tensor(math.inf, dtype=torch.float64))
        # Share of the learned correction that is used; validation stations decide, 1 in training.
        self.register_buffer("departure", torch.ones(()))

    departure: Tensor
    spread_law: Tensor
    filled_share: Tensor
    heaviness: Tensor
    largest: Tensor

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the root, infinite where it is normal."""
        return 1 / float(self.heaviness) if self.heaviness else math.inf

    def weights(self, neighbourhood: Neighbourhood) -> Weights:
        """Return the covariance head's weights (n, k, band) and variance (n,), float64."""
        if "covariance" in self.configuration.without:
            return self._inverse_distance(neighbourhood)
        return self.bands.weights(
            neighbourhood.distance_km,
            neighbourhood.bearing,
            neighbourhood.fading,
            neighbourhood.log_noise,
            neighbourhood.contrast,
        )

    def shared_weights(
        self,
        fading: Tensor,
        targets: Tensor,
        stations: Tensor,
        log_noise: Tensor,
        shared: int,
    ) -> SharedWeights | None:
        """Return `weights` by one factor that close targets share, None without a covariance.

        The parameters are those of `aqreanalysis.methods.kriging.shared_factor.shared_weights`.
        """
        if "covariance" in self.configuration.without:
            return None
        return shared_weights(self.bands, fading, targets, stations, log_noise, shared)

    def _inverse_distance(self, neighbourhood: Neighbourhood) -> Weights:
        """Return weights of inverse squared distance, one for all bands, and a variance of 1."""
        fading = 1 + neighbourhood.fading
        near = 1 / ((neighbourhood.distance_km.clamp_min(SHORTEST_KM)) ** 2 * fading)
        weight = (near / near.sum(1, keepdim=True))[..., None]
        bands = len(self.configuration.bands) + 1
        return Weights(weight.expand(-1, -1, bands), torch.ones(len(weight), dtype=near.dtype))

    def encode(self, series: StationSeries) -> Encoding:
        """Return the encoding of every station and step, (station, time, ...)."""
        own = [
            series.value,
            (series.value - series.mean) / series.spread.clamp_min(SMALL_SPREAD),
            series.variance.sqrt(),
            (series.variance > 0).float(),
        ]
        others = [self._cyclic(series.cycles), series.covariates]
        return self.encoder(torch.cat([torch.stack(own, -1), *others], -1))

    def station_tables(
        self, series: StationSeries, encoding: Encoding | None, excess: Tensor | None = None
    ) -> StationTables:
        """Return the tables of the core steps of whole windows.

        Parameters
        ----------
        series : StationSeries
        encoding : Encoding or None
            Of `encode`; None for the tables of kriging alone.
        excess : (station, time) float32, optional
            What is added to values at their own step alone: the fastest band has all of it.
        """
        values = series.value
        if encoding is not None:
            values = values + self.departure * encoding.correction
        known = (series.variance < UNCONSTRAINED * self.covariance.whole_sill()).to(values.dtype)
        widths, reach = self.configuration.bands, self.configuration.reach
        # (station, core, band)
        bands = split_bands(self._core(values, reach), self._core(known, reach), widths)
        value, variance = self._core(series.value), self._core(series.variance)
        if excess is not None:
            value = value + self._core(excess)
            bands[..., 0] += self._core(excess)
        first, second = [*bands.unbind(-1), variance.sqrt(), value], [value**2]
        if encoding is None:
            nothing = value.new_empty(0, *value.shape)
            return StationTables(torch.stack(first), torch.stack(second), nothing)
        score = LARGEST_SCORE * torch.tanh(self._core(encoding.score) / LARGEST_SCORE)
        numerator = torch.exp(score - variance[..., None])  # (station, core, head)
        heard = numerator * (value[..., None] + self._core(encoding.offset))
        context = torch.cat(
            [value[..., None], value[..., None] ** 2, self._core(encoding.context)], -1
        )
        return StationTables(
            torch.stack([*first, *numerator.unbind(-1)]),
            torch.stack([*second, *heard.unbind(-1)]),
            (numerator[..., :1] * context).permute(2, 0, 1).contiguous(),
        )

    def target_matrices(
        self, neighbourhood: Neighbourhood, weights: Weights, *, stations: int, heads: bool
    ) -> TargetMatrices:
        """Return the matrices of n targets over so many stations; 0 for all but the neighbours.

        Parameters
        ----------
        neighbourhood : Neighbourhood
            Of the targets; ``index`` counts the stations.
        weights : Weights
            Of `weights`.
        stations : int
        heads : bool
            Whether the heads are used, or kriging alone.
        """
        dense = Weights(neighbourhood.scatter(weights.weight, stations), weights.variance)
        return self.dense_matrices(dense, neighbourhood if heads else None)

    def dense_matrices(self, dense: Weights, neighbourhood: Neighbourhood | None) -> TargetMatrices:
        """Return the matrices of n targets from weights (..., n, station, band) of all stations.

        With heads these need the neighbourhood (n, k), of which ``index`` counts the stations.
        """
        weight, variance = dense.weight.float(), dense.variance.float().flatten()
        shares = self.shares(dense)
        matrices = [*weight.unbind(-1), shares, shares]
        place = weight.new_empty(3, 0)
        if neighbourhood is not None:
            mean = weight.mean(-1).flatten(0, -2).gather(1, neighbourhood.index)
            factors = self._geometric_factors(neighbourhood, mean)
            scattered = neighbourhood.scatter(factors, weight.shape[-2])
            matrices += scattered.unflatten(0, shares.shape[:-1]).unbind(-1)
            nearest = torch.log(neighbourhood.distance_km[:, 0].float() + 0.5) / 5
            local = torch.log(local_spacing(neighbourhood.distance_km)) / 5
            place = torch.stack([local, variance, nearest])
        return TargetMatrices(torch.stack(matrices), variance[:, None], place)

    def forward(
        self, tables: StationTables, targets: TargetMatrices, cycles: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (n, step) at targets.

        A head's share of a neighbour is a softmax over geometry plus the score of that station
        and step. The exponential of the sum is a product, so numerator and denominator are matrix
        products of one factor that belongs to the target and one that belongs to the station and
        step: no softmax is computed for a target and step.

        Parameters
        ----------
        tables : StationTables
        targets : TargetMatrices
            Over the stations of the tables.
        cycles : (CYCLES, n, step) or None
            At the targets; None for kriging alone.
        """
        bands = len(self.configuration.bands) + 1
        # (matrix, n, step), of all tiles together
        first = torch.matmul(targets.weight[: len(tables.first)], tables.first).flatten(1, -2)
        second = torch.matmul(targets.weight[bands + 1 :], tables.second).flatten(1, -2)
        kriged = self._kriged(first[: bands + 2], second[0], targets)
        mean, law = kriged.mean, self._law(kriged.features, kriged.filled)
        log_variance = law + self.log_spread
        if cycles is None:
            return mean, log_variance
        # One over the denominator of each head: products take a third of the time of divisions.
        share = first[bands + 2 :].clamp_min(LEAST_SHARE).reciprocal()
        departures = second[1:] * share - mean
        context = torch.matmul(targets.weight[bands + 2], tables.context).flatten(1, -2) * share[0]
        around = _root(context[1] - 2 * mean * context[0] + mean**2)
        _, neighbour_mean, spread, *_ = kriged
        scaled = (mean - neighbour_mean) / spread.clamp_min(SMALL_SPREAD)
        scalars = torch.stack([mean, neighbour_mean, scaled, spread, around, law])
        place = targets.place[..., None].expand(-1, -1, mean.shape[1])
        features = [scalars, first[: bands - 1], departures, place, self._cyclic(cycles)]
        decode = self._decoded if torch.is_grad_enabled() else self._decoded_in_parts
        shift, widening, *gates = decode([*features, context[2:]])
        correction = CORRECTION_SCALE * shift
        for gate, departure in zip(gates, departures, strict=True):
            correction = torch.addcmul(correction, gate.tanh(), departure)
        return mean + self.departure * correction, log_variance + widening

    def krige(self, tables: StationTables, targets: TargetMatrices) -> Kriged:
        """Return kriging alone, with the features of which the spread law makes its variance."""
        bands = len(self.configuration.bands) + 1
        first = torch.bmm(targets.weight[: bands + 2], tables.first[: bands + 2])
        return self._kriged(first, targets.weight[bands + 1] @ tables.second[0], targets)

    def log_variance(self, features: tuple[Tensor, Tensor, Tensor], filled: Tensor) -> Tensor:
        """Return the logarithm of the variance, of `spread_features` and that of filled values."""
        return self._law(features, filled) + self.log_spread

    def shares(self, weights: Weights) -> Tensor:
        """Return each station's share in mean and spread, (..., n, k) float32: as it is weighed."""
        share = weights.weight.mean(-1).abs()
        return (share / share.sum(-1, keepdim=True)).float()

    def _law(self, features: tuple[Tensor, Tensor, Tensor], filled: Tensor) -> Tensor:
        """Return the spread law without its constant, and with what filled neighbours add."""
        disagreement, level, kriging = (
            power * feature for power, feature in zip(self.spread_law, features, strict=True)
        )
        return torch.log((disagreement + level + kriging).exp() + self.filled_share * filled)

    def _kriged(self, first: Tensor, squares: Tensor, targets: TargetMatrices) -> Kriged:
        """Return kriging from the sums of bands, variance and value, and that of squares."""
        *bands, filled, neighbour_mean = first
        mean = sum(bands[1:], bands[0])
        spread = _root(squares - neighbour_mean**2)
        features = spread_features(mean, neighbour_mean, spread, targets.variance)
        return Kriged(mean, neighbour_mean, spread, filled**2, features)

    def _geometric_factors(self, neighbourhood: Neighbourhood, weight: Tensor) -> Tensor:
        """Return each head's geometric factor of each neighbour (n, k), (n, k, head)."""
        distance = neighbourhood.distance_km.float().clamp_max(1e5)
        local = local_spacing(neighbourhood.distance_km)[:, None]
        scaled = distance / local
        bearing = neighbourhood.bearing.float()
        geometry = [
            torch.log(scaled + 0.05),
            1 / (1 + scaled),
            bearing.sin(),
            bearing.cos(),
            weight,
            torch.log(distance + 1) / 5,
            (torch.log(local) / 5).expand_as(distance),
        ]
        learned = self.geometry(torch.stack(geometry, -1))
        learned = learned - self.power * torch.log(scaled + 0.1)[..., None]
        learned = learned - torch.log1p(neighbourhood.fading.float())[..., None]
        absent = torch.isinf(neighbourhood.distance_km)[..., None]
        return torch.softmax(learned.masked_fill(absent, -torch.inf), dim=1)

    def _decoded(self, features: Sequence[Tensor]) -> Tensor:
        """Return the decoder's (output, n, step) of features (feature, n, step)."""
        decoded = torch.cat(list(features)).flatten(1)
        for layer in (*self.decoder, self.leave):
            if isinstance(layer, nn.Linear):
                decoded = torch.addmm(layer.bias[:, None], layer.weight, decoded)
            else:
                decoded = layer(decoded)
        return decoded.unflatten(1, features[0].shape[1:])

    def _decoded_in_parts(self, features: Sequence[Tensor]) -> Tensor:
        """Return `_decoded`, without a gradient: some targets after others, in the same memory.

        The bias is the weight of a last row of ones.
        """
        first, second, last = (
            torch.cat([layer.weight, layer.bias[:, None]], 1)
            for layer in (*self.decoder, self.leave)
            if isinstance(layer, nn.Linear)
        )
        _, n, steps = features[0].shape
        decoded = features[0].new_empty(len(last), n, steps)
        rows = max(1, DECODED_TOGETHER // steps)
        inputs, hidden, further = (
            decoded.new_ones(weight.shape[1], rows * steps) for weight in (first, second, last)
        )
        for start in range(0, n, rows):
            some = slice(start, min(start + rows, n))
            if (size := (some.stop - start) * steps) < inputs.shape[1]:
                inputs, hidden, further = (
                    each[:, :size].contiguous() for each in (inputs, hidden, further)
                )
            part = [feature[:, some] for feature in features]
            torch.cat(part, out=inputs[:-1].unflatten(1, (-1, steps)))
            for weight, before, after in ((first, inputs, hidden), (second, hidden, further)):
                torch.mm(weight, before, out=after[:-1])
                torch.ops.aten.gelu_(after[:-1])
            decoded[:, some] = (last @ further).unflatten(1, (-1, steps))
        return decoded

    def _cyclic(self, cycles: Tensor) -> Tensor:
        """Return the cycles, or zeros where they are left out."""
        return torch.zeros_like(cycles) if "cycles" in self.configuration.without else cycles

    def _core(self, values: Tensor, reach: int = 0) -> Tensor:
        """Return the core steps of whole windows (station, time, ...), and more on either side."""
        configuration = self.configuration
        length = configuration.core_steps + 2 * reach
        return values.narrow(1, configuration.margin_steps - reach, length)


def spread_features(
    estimate: Tensor, mean: Tensor, spread: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the features of the spread law, each of the shape of the estimate.

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
    square = spread**2 + (estimate - mean) ** 2
    return torch.log(square + AGREEMENT), estimate, torch.log(variance)


def _root(square: Tensor) -> Tensor:
    """Return the standard deviation of a variance that may have rounded below zero."""
    return (square.clamp_min(0) + LEAST_SQUARE).sqrt()
