"""The network at many targets: what belongs to a station and step is made once for all of them.

`NeuralKNN.forward` says what is computed; here it is ordered so that a target and step costs three
matrix products and the decoder. A test holds both to the same numbers.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.bands import split_bands
from aqreanalysis.methods.kriging.covariance import Weights
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood
from aqreanalysis.methods.neural.encoder import Encoding
from aqreanalysis.methods.neural.neural_knn import (
    ALMOST,
    BOUND,
    LEAST_SQUARE,
    SMALL_SPREAD,
    TINY,
    NeuralKNN,
    StationSeries,
    spread_features,
)

#: Columns that go through the decoder at once: 128 targets over 36 steps stay in the cache.
COLUMNS_TOGETHER = 128 * 36


class StationTables(NamedTuple):
    """What is mixed at a target, by station and step, (row, station, step) float32.

    Attributes
    ----------
    first : Tensor
        One row for each matrix of `TargetMatrices`: the kriged bands, the variance of filled
        values, the value, and with heads each head's loudness.
    second : Tensor
        One row for each matrix from the mean's on: the squared value, and with heads what each
        hears.
    told : Tensor
        Mixed by the first head alone: value, squared value and context, times its loudness.
    """

    first: Tensor
    second: Tensor
    told: Tensor

    def of(self, stations: Tensor) -> "StationTables":
        """Return the tables of some stations, by row."""
        return StationTables(*(table.index_select(1, stations) for table in self))


class TargetMatrices(NamedTuple):
    """What belongs to n targets, whatever the hour.

    Attributes
    ----------
    weight : (matrix, n, station) float32
        Weights of each band, the heaviest squared, the shares in the mean, and with heads each
        head's geometry.
    variance : (n, 1) float32
        Kriging variance.
    place : (3, n) float32
        What the decoder knows of a target's place.
    """

    weight: Tensor
    variance: Tensor
    place: Tensor


def station_tables(
    model: NeuralKNN, series: StationSeries, encoding: Encoding | None
) -> StationTables:
    """Return the tables of one window, a batch of 1; without an encoding those of kriging alone."""
    values = series.value if encoding is None else _corrected(model, series, encoding)
    known = (series.variance < ALMOST * model.covariance.sill()).to(values.dtype)
    bands = split_bands(values, known, model.configuration.bands)[0]  # (station, core, band)
    value = model.core(series.value)[0]
    first = [*bands.unbind(-1), model.core(series.variance)[0], value]
    if encoding is None:
        nothing = value.new_zeros(0, *value.shape)
        return StationTables(torch.stack(first), value[None] ** 2, nothing)
    score = BOUND * torch.tanh(model.core(encoding.score)[0] / BOUND)
    loud = torch.exp(score - model.core(series.variance)[0][..., None])  # (station, core, head)
    heard = loud * (value[..., None] + model.core(encoding.offset)[0])
    told = torch.cat([value[..., None], value[..., None] ** 2, model.core(encoding.context)[0]], -1)
    return StationTables(
        torch.stack([*first, *loud.unbind(-1)]),
        torch.stack([value**2, *heard.unbind(-1)]),
        (loud[..., :1] * told).permute(2, 0, 1).contiguous(),
    )


def target_matrices(
    model: NeuralKNN,
    neighbourhood: Neighbourhood,
    weights: Weights,
    *,
    stations: int,
    heads: bool,
) -> TargetMatrices:
    """Return the matrices of n targets over so many stations; zero for all but the neighbours."""
    weight = weights.weight.float()
    columns = [weight, weight.square().amax(-1, keepdim=True), model.shares(weights)[..., None]]
    if heads:
        columns.append(model.geometric_factors(neighbourhood, weights))
    dense = neighbourhood.scatter(torch.cat(columns, -1), stations)  # (n, station, matrix)
    place = model.place(neighbourhood, weights)
    return TargetMatrices(
        dense.permute(2, 0, 1).contiguous(), weights.variance.float()[:, None], place.T
    )


def estimate(
    model: NeuralKNN, tables: StationTables, targets: TargetMatrices, cycles: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return mean and variance (n, step) at targets, from tables of the stations.

    Parameters
    ----------
    model : NeuralKNN
    tables : StationTables
    targets : TargetMatrices
        Over the stations of the tables.
    cycles : (CYCLES, n, step) or None
        At the targets; None where the tables are those of kriging alone.
    """
    bands = len(model.configuration.bands) + 1
    mixed = torch.bmm(targets.weight[: len(tables.first)], tables.first)  # (matrix, n, core)
    hears = torch.bmm(targets.weight[bands + 1 :], tables.second)
    kriged, mean = mixed[:bands].sum(0), mixed[bands + 1]
    spread = _root(hears[0] - mean**2)
    variance = mixed[bands].add_(targets.variance)
    log_variance = model.by_law(spread_features(kriged, mean, spread, variance))
    if cycles is None:
        return kriged, log_variance.add_(model.log_spread).exp_()
    told = torch.matmul(targets.weight[bands + 2], tables.told)
    loudness = mixed[bands + 2 :].clamp_min_(TINY)
    departures = hears[1:].div_(loudness).sub_(kriged)
    told = told.div_(loudness[0])
    scaled = (kriged - mean) / spread.clamp_min(SMALL_SPREAD)
    around = _root(told[1] - 2 * kriged * told[0] + kriged**2)
    scalars = torch.stack([kriged, mean, scaled, spread, around, log_variance])
    place = targets.place[..., None].expand(-1, -1, kriged.shape[1])
    features = torch.cat([scalars, mixed[: bands - 1], departures, place, cycles, told[2:]])
    decoded = _decoded(model, features.flatten(1)).unflatten(1, kriged.shape)
    correction = decoded[0].mul_(0.3).add_(decoded[2:].tanh_().mul_(departures).sum(0))
    log_variance.add_(decoded[1]).add_(model.log_spread)
    return correction.mul_(model.departure).add_(kriged), log_variance.exp_()


def _corrected(model: NeuralKNN, series: StationSeries, encoding: Encoding) -> Tensor:
    """Return the values that are kriged: those of the series, as far as the encoder corrects."""
    return series.value + model.departure * encoding.correction


def _root(square: Tensor) -> Tensor:
    """Return the standard deviation of a variance that may have rounded below zero."""
    return square.clamp_min_(0).add_(LEAST_SQUARE).sqrt_()


def _decoded(model: NeuralKNN, features: Tensor) -> Tensor:
    """Return the decoder's (output, n * steps) of (feature, n * steps): columns lie far apart."""
    parts = []
    for part in features.split(COLUMNS_TOGETHER, 1):
        for layer in (*model.decoder, model.leave):
            if isinstance(layer, torch.nn.Linear):
                part = torch.addmm(layer.bias[:, None], layer.weight, part)
            else:
                part = layer(part)
        parts.append(part)
    return torch.cat(parts, 1)
