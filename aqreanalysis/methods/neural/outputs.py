"""What a model says of a batch: kriging alone, the network, and the network at each departure."""

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.covariance import Weights
from aqreanalysis.methods.neural.batches import Batch, narrowed
from aqreanalysis.methods.neural.encoder import Encoding
from aqreanalysis.methods.neural.neural_knn import NeuralKNN

#: Shares of the learned departure from kriging that are tried at each look; with none of it the
#: spread alone is learned.
DEPARTURES = (0.0, 0.5, 1.0)


def kriged(model: NeuralKNN, batch: Batch, weights: Weights) -> tuple[Tensor, ...]:
    """Return what kriging finds at the batch's targets, and what tells its spread."""
    series = narrowed(batch.series, model.configuration)
    mean, told = model.kriged(series, batch.neighbourhood, weights)
    return mean, *told


def covariance_head(model: NeuralKNN, batch: Batch, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance of kriging at the batch's targets, (n, core)."""
    series = narrowed(batch.series, model.configuration)
    return model.krige(series, batch.neighbourhood, weights)


def departing(model: NeuralKNN, batch: Batch, weights: Weights) -> list[Tensor]:
    """Return mean and log-variance of the network with each departure, encoded once."""
    series, encoding = narrowed(batch.series, model.configuration), _encoded(model, batch)
    found: list[Tensor] = []
    for departure in DEPARTURES:
        model.departure.fill_(departure)
        found += model(series, encoding, batch.neighbourhood, weights, batch.cycles)
    return found


def network(model: NeuralKNN, batch: Batch, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance of the network at the batch's targets, (n, core)."""
    series = narrowed(batch.series, model.configuration)
    encoding = _encoded(model, batch)
    return model(series, encoding, batch.neighbourhood, weights, batch.cycles)


def _encoded(model: NeuralKNN, batch: Batch) -> Encoding:
    """Return the encoding of a batch, in half precision on a graphics card."""
    device = batch.truth.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
        encoding = model.encode(batch.series)
    return narrowed(Encoding(*(part.float() for part in encoding)), model.configuration)
