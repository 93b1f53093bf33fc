"""How a model does at hidden stations: passes over the period, scores, and calibrated spreads."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self, cast

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.fitting import crps
from aqreanalysis.methods.kriging.solver import Weights
from aqreanalysis.methods.kriging.spread import (
    FEWEST,
    covering,
    fit_freedom,
    fit_log_variance,
    half_width,
    interval_factor,
)
from aqreanalysis.methods.neural.batches import Batch, Example, Samples, assemble
from aqreanalysis.methods.neural.devices import moved
from aqreanalysis.methods.neural.encoder import Encoding
from aqreanalysis.methods.neural.neural_knn import NeuralKNN, TargetMatrices

#: Level of the interval that a gain must exceed, and rounding error that is no loss.
ONE_SIDED, NOTHING = 0.99, 1e-9
#: Mean relative gain below which a network is not worth its time.
LEAST_GAIN = 0.005
#: Shares of the learned correction of kriging that are tried at each validation; with none of it
#: the spread alone is learned.
DEPARTURES = (0.0, 0.5, 1.0)
#: Examples in a batch, and visible stations in it if there are more than one: the products of its
#: targets with all of them stay small.
EXAMPLES_TOGETHER, VISIBLE_TOGETHER = 6, 512


def kriging_outputs(model: NeuralKNN, batch: Batch, weights: Weights) -> tuple[Tensor, ...]:
    """Return mean and log-variance of kriging at a batch's targets, (n, core) each."""
    tables = model.station_tables(batch.series, None)
    return model(tables, _matrices(model, batch, weights, heads=False), None)


def kriging_features(model: NeuralKNN, batch: Batch, weights: Weights) -> tuple[Tensor, ...]:
    """Return kriging's mean at the targets, the variance of fillings, and features of the law."""
    tables = model.station_tables(batch.series, None)
    kriged = model.krige(tables, _matrices(model, batch, weights, heads=False))
    return kriged.mean, kriged.filled, *(f.expand_as(kriged.mean) for f in kriged.features)


def network_outputs(model: NeuralKNN, batch: Batch, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return mean and log-variance of the network at a batch's targets, (n, core) each."""
    tables = model.station_tables(batch.series, _encoded(model, batch))
    return model(tables, _matrices(model, batch, weights, heads=True), batch.cycles)


def departing_outputs(model: NeuralKNN, batch: Batch, weights: Weights) -> list[Tensor]:
    """Return `network_outputs` with each of the `DEPARTURES`, encoded once."""
    encoding, matrices = _encoded(model, batch), _matrices(model, batch, weights, heads=True)
    used, outputs = model.departure.clone(), []
    for departure in DEPARTURES:
        model.departure.fill_(departure)
        outputs += model(model.station_tables(batch.series, encoding), matrices, batch.cycles)
    model.departure.copy_(used)
    return outputs


def _encoded(model: NeuralKNN, batch: Batch) -> Encoding:
    """Return the encoding of a batch, computed in half precision on a graphics card."""
    device = batch.truth.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
        encoding = model.encode(batch.series)
    return Encoding(*(part.float() for part in encoding))


def _matrices(model: NeuralKNN, batch: Batch, weights: Weights, *, heads: bool) -> TargetMatrices:
    """Return the matrices of a batch's targets over its stations."""
    count = len(batch.series.value)
    return model.target_matrices(batch.neighbourhood, weights, stations=count, heads=heads)


class Split(NamedTuple):
    """Stations that are hidden together, and those from which they are estimated; rows."""

    hidden: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class Passes:
    """Batches with hidden stations, spread over the period, the same at every validation.

    Attributes
    ----------
    batches : list of Batch
    weights : list of Weights
        Of the covariance head, which is fitted before.
    measured : (target, core) bool Tensor
        Where the hidden stations have values.
    truth, station : (n,) Tensor
        These values, float64, and their stations: rows of the network.
    """

    batches: list[Batch]
    weights: list[Weights]
    measured: Tensor
    truth: Tensor
    station: Tensor

    @classmethod
    def over(
        cls,
        samples: Samples,
        model: NeuralKNN,
        splits: Sequence[Split],
        count: int,
        *,
        silent: bool = False,
    ) -> Self:
        """Return passes over so many windows, in each of which every split has its turn.

        Only windows count in which a hidden station has a value. The model's covariances are
        fitted; they complete the visible stations' series. If silent, nobody reports from the
        beginning of a window's core on.
        """
        hidden = np.concatenate([split.hidden for split in splits])
        examples = [
            Example(int(start), np.sort(split.visible), np.sort(split.hidden), silent)
            for start in _starts(samples, model, hidden, count)
            for split in splits
        ]
        visible = max(len(split.visible) for split in splits)
        together = min(max(VISIBLE_TOGETHER // visible, 1), EXAMPLES_TOGETHER)
        batches = [
            assemble(
                samples,
                examples[first : first + together],
                covariance=model.covariance,
                configuration=model.configuration,
            )
            for first in range(0, len(examples), together)
        ]
        with torch.no_grad():
            weights = [model.weights(batch.neighbourhood) for batch in batches]
        truth = torch.cat([batch.truth for batch in batches])
        measured = torch.isfinite(truth)
        station = torch.from_numpy(np.concatenate([example.hidden for example in examples]))
        rows = station[:, None].expand(measured.shape)[measured]
        return cls(batches, weights, measured, truth[measured].double(), rows)

    @torch.no_grad()
    def with_noise(self, share: float, model: NeuralKNN) -> Self:
        """Return the passes with a share of the logarithm of each station's noise."""
        if share == 1:
            return self
        batches = [
            batch._replace(
                neighbourhood=replace(
                    batch.neighbourhood, log_noise=share * batch.neighbourhood.log_noise
                )
            )
            for batch in self.batches
        ]
        weights = [model.weights(batch.neighbourhood) for batch in batches]
        return replace(self, batches=batches, weights=weights)

    @torch.no_grad()
    def with_variance_of(self, model: NeuralKNN) -> Self:
        """Return the passes with the kriging variance of another model."""
        weights = [
            each._replace(variance=model.weights(batch.neighbourhood).variance)
            for batch, each in zip(self.batches, self.weights, strict=True)
        ]
        return replace(self, weights=weights)

    @torch.no_grad()
    def outputs(
        self,
        model: NeuralKNN,
        of_batch: Callable[[NeuralKNN, Batch, Weights], Sequence[Tensor]],
    ) -> list[Tensor]:
        """Return outputs (target, core) of a model wherever there is truth, (n,) float64 each.

        Parameters
        ----------
        model : NeuralKNN
        of_batch : callable
            From a model, a batch and its weights to outputs, such as `network_outputs`.
        """
        device = model.log_spread.device
        parts = [
            torch.stack(list(of_batch(model, moved(batch, device), moved(weights, device)))).cpu()
            for batch, weights in zip(self.batches, self.weights, strict=True)
        ]
        return list(torch.cat(parts, 1)[:, self.measured].double())


def _starts(samples: Samples, model: NeuralKNN, hidden: np.ndarray, count: int) -> np.ndarray:
    """Return starts of windows, evenly over those in which a hidden station has a value."""
    margin, core = model.configuration.margin_steps, model.configuration.core_steps
    measured = torch.isfinite(samples.value[hidden, margin:-margin]).any(dim=0)
    reporting = np.flatnonzero(measured.reshape(-1, core).any(dim=1).numpy()) * core
    count = min(count, reporting.size)
    return reporting[np.linspace(0, reporting.size - 1, count).astype(int)]


class Scores(NamedTuple):
    """Scores of one validation, in units of the variable; the CRPS is of the standardised root."""

    update: int
    rmse: float
    mae: float
    crps: float
    coverage: float  # of the 90 % interval


class Validated(NamedTuple):
    """Scores of all hidden stations together, and of each."""

    scores: Scores
    by_station: np.ndarray  # (station, score): MAE, mean squared error and CRPS, of the root

    def proven_gain(self, kriging: "Validated") -> float:
        """Return the relative gain that hidden stations prove; -inf where they prove none.

        Each score's gain is the lower end of its one-sided 99 % interval over the stations
        (Student 1908, which a bootstrap of few stations is too narrow for): many candidates are
        tried. The mean of them counts if none is a loss and the mean gain is `LEAST_GAIN` or more.
        A few stations prove little, so that a small network keeps close to kriging. The errors are
        those of the root: in concentration the squared error hangs on a few fires and fireworks.

        Examples
        --------
        >>> scores = Scores(0, 9.0, 5.0, 1.0, 0.9)
        >>> kriging = Validated(scores, np.array([[5.0, 1.0], [5.0, 1.0], [5.0, 1.0]]))
        >>> better = Validated(scores, np.array([[4.0, 0.8], [4.1, 0.8], [4.0, 0.8]]))
        >>> round(better.proven_gain(kriging), 3), kriging.proven_gain(kriging)
        (0.173, 0.0)
        >>> better_at_one = Validated(scores, np.array([[4.0, 0.8], [5.0, 1.0], [5.0, 1.0]]))
        >>> better_at_one.proven_gain(kriging)
        -inf
        """
        # Where kriging makes no error at all, as at a station that always reports 0, the two
        # are even.
        even = np.ones_like(self.by_station)
        errs = kriging.by_station > 0
        gain = 1 - np.divide(self.by_station, kriging.by_station, even, where=errs)
        count = len(gain)
        if count < 2 or not np.isfinite(gain).all():
            return 0.0 if self is kriging else -math.inf
        error = gain.std(axis=0, ddof=1) / math.sqrt(count)
        proven = gain.mean(axis=0) - stdtrit(count - 1, ONE_SIDED) * error
        enough = self is kriging or gain.mean() >= LEAST_GAIN
        return float(proven.mean()) if enough and (proven >= -NOTHING).all() else -math.inf


def calibrate(
    model: NeuralKNN,
    update: int,
    outputs: Sequence[Tensor],
    passes: Passes,
    standardisation: Standardisation,
) -> Validated:
    """Return the scores of outputs, their spread scaled to hold 90 % of the truth within 90 %.

    The constant of the model's variance is changed by as much.
    """
    (mean, log_variance), truth = outputs, passes.truth
    freedom = model.freedom
    factor = _factor(mean, log_variance, truth, freedom)
    model.log_spread.data += 2 * math.log(factor)
    variance = log_variance.exp() * factor**2
    error = torch.from_numpy(
        standardisation.distribution(mean, variance).median
        - standardisation.distribution(truth, variance).median
    )
    score = crps(mean, variance.log(), truth)
    of_root = (mean - truth).abs()
    scores = Scores(
        update,
        float(error.square().mean().sqrt()),
        float(error.abs().mean()),
        float(score.mean()),
        float((of_root <= half_width(freedom) * variance.sqrt()).double().mean()),
    )
    return Validated(scores, _by_station(passes.station, of_root, of_root**2, score))


def _by_station(station: Tensor, *scores: Tensor) -> np.ndarray:
    """Return the mean of each score at each station that has values, (station, score)."""
    counts = torch.bincount(station).double()
    means = [torch.bincount(station, score) / counts for score in scores]
    return torch.stack(means, -1)[counts > 0].numpy()


class Errors(NamedTuple):
    """What kriging makes of values at hidden stations, (n,) float64 each, standardised."""

    truth: Tensor
    mean: Tensor
    filled: Tensor  # variance of filled neighbours
    features: tuple[Tensor, Tensor, Tensor]  # of `spread_features`

    @classmethod
    def of(cls, model: NeuralKNN, passes: Passes) -> Self:
        """Return the errors of a model in passes."""
        mean, filled, *features = passes.outputs(model, kriging_features)
        return cls(passes.truth, mean, filled, cast(tuple[Tensor, Tensor, Tensor], tuple(features)))

    def loss(self) -> float:
        """Return the sum of the mean absolute and the mean squared error."""
        error = self.truth - self.mean
        return float(error.abs().mean() + error.square().mean())

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the errors of several parts."""
        truth, mean, filled, features = zip(*parts, strict=True)
        each = tuple(torch.cat(columns) for columns in zip(*features, strict=True))
        return cls(
            torch.cat(truth),
            torch.cat(mean),
            torch.cat(filled),
            cast(tuple[Tensor, Tensor, Tensor], each),
        )


@torch.no_grad()
def fit_spread(model: NeuralKNN, reporting: Errors, silent: Errors) -> None:
    """Fit the spread law to hidden stations, and what filled values add while nobody reports.

    Parameters
    ----------
    model : NeuralKNN
        Its law, ``heaviness``, ``filled_share`` and ``log_spread`` are changed, unless there are
        too few values.
    reporting, silent : Errors
        While the visible stations report, and in the first day in which none does.
    """
    log_variance = fit_spread_law(model, reporting)
    if len(reporting.truth) >= FEWEST:
        error = (reporting.truth - reporting.mean).numpy()
        model.heaviness.fill_(1 / fit_freedom(error, (log_variance / 2).exp().numpy()))
    freedom = model.freedom
    if min(len(reporting.truth), len(silent.truth)) >= FEWEST:
        # Of each value the share that would just put it at the end of its 90 % interval.
        model.filled_share.zero_()
        without = model.log_variance(silent.features, silent.filled).exp()
        square = ((silent.truth - silent.mean) / half_width(freedom)) ** 2
        share = covering(((square - without) / silent.filled).numpy())
        log_variance = fit_spread_law(model, reporting, max(share, 0.0))
    factor = _factor(reporting.mean, log_variance, reporting.truth, freedom)
    model.log_spread.add_(2 * math.log(factor))


def fit_spread_law(model: NeuralKNN, errors: Errors, share: float = 1.0) -> Tensor:
    """Return the log-variance by the spread law, whose powers are fitted by the CRPS.

    Parameters
    ----------
    model : NeuralKNN
        Its law and ``log_spread`` are changed, unless there are too few values.
    errors : Errors
    share : float
        Of the variance of filled neighbours that the variance holds.
    """
    truth, mean, filled, features = errors
    columns = torch.stack(list(features), -1)
    if len(truth) < FEWEST:
        return model.log_variance(features, filled).detach()
    added = (share * filled).numpy()
    law = torch.from_numpy(fit_log_variance(columns.numpy(), (truth - mean).numpy(), added=added))
    model.spread_law.copy_(law[:-1])
    model.log_spread.data.fill_(law[-1])
    model.filled_share.fill_(share * law[-1].neg().exp())
    return torch.log((columns @ law[:-1] + law[-1]).exp() + share * filled)


def _factor(mean: Tensor, log_variance: Tensor, truth: Tensor, freedom: float) -> float:
    """Return the `interval_factor` of a spread, of tensors."""
    return interval_factor((truth - mean).numpy(), (log_variance / 2).exp().numpy(), freedom)
