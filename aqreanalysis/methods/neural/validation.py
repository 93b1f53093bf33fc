"""How a model does at hidden stations, with its spread calibrated there."""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from aqreanalysis.methods.kriging.fitting import crps
from aqreanalysis.methods.neural.batches import Standardisation
from aqreanalysis.methods.neural.neural_knn import NeuralKNN

#: Nominal coverage to which the spread is calibrated, and its half-width in standard errors.
COVERAGE, HALF_WIDTH = 0.90, 1.6449
#: Least factor of the spread.
SMALLEST = 1e-3
#: Level of the interval that a gain must exceed, and rounding error that is no loss.
ONE_SIDED, NOTHING = 0.99, 1e-9


class Look(NamedTuple):
    """One look at the validation stations, in units of the variable."""

    update: int
    rmse: float
    mae: float
    crps: float
    coverage: float  # of the 90 % interval


class Validated(NamedTuple):
    """A look, and the scores of each station that was hidden."""

    look: Look
    by_station: np.ndarray  # (station, score): MAE, mean squared error and CRPS, of the root

    def proven_gain(self, kriging: "Validated") -> float:
        """Return the relative gain that hidden stations prove; -inf where they prove a loss.

        Each score's gain is the lower end of its one-sided 99 % interval over the stations
        (Student 1908): many candidates are looked at. The mean of them counts if none is a loss.
        A few stations prove little, so that a small network keeps close to kriging. The errors are
        those of the root: in concentration the squared error hangs on a few fires and fireworks.

        Examples
        --------
        >>> look = Look(0, 9.0, 5.0, 1.0, 0.9)
        >>> kriging = Validated(look, np.array([[5.0, 1.0], [5.0, 1.0], [5.0, 1.0]]))
        >>> better = Validated(look, np.array([[4.0, 0.8], [4.1, 0.8], [4.0, 0.8]]))
        >>> round(better.proven_gain(kriging), 3), kriging.proven_gain(kriging)
        (0.173, 0.0)
        >>> better_at_one = Validated(look, np.array([[4.0, 0.8], [5.0, 1.0], [5.0, 1.0]]))
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
        return float(proven.mean()) if (proven >= -NOTHING).all() else -math.inf


def calibrate(
    model: NeuralKNN,
    update: int,
    outputs: tuple[Tensor, Tensor],
    truth: Tensor,
    station: Tensor,
    standardisation: Standardisation,
) -> Validated:
    """Return the scores of outputs, their spread scaled to hold 90 % of the truth within 90 %."""
    mean, log_variance = outputs
    ratio = (truth - mean).abs() / (log_variance / 2).exp()
    quantile = float(torch.quantile(ratio[:: len(ratio) // 1_000_000 + 1], COVERAGE))
    factor = max(quantile / HALF_WIDTH, SMALLEST)
    model.log_spread.data += 2 * math.log(factor)
    variance = log_variance.exp() * factor**2
    error = torch.from_numpy(
        standardisation.distribution(mean, variance).median
        - standardisation.distribution(truth, variance).median
    )
    score = crps(mean, variance.log(), truth)
    off = (mean - truth).abs()
    look = Look(
        update,
        float(error.square().mean().sqrt()),
        float(error.abs().mean()),
        float(score.mean()),
        float((off <= HALF_WIDTH * variance.sqrt()).double().mean()),
    )
    return Validated(look, _by_station(station, off, off**2, score))


def _by_station(station: Tensor, *scores: Tensor) -> np.ndarray:
    """Return the mean of each score at each station that has values, (station, score)."""
    counts = torch.bincount(station).double()
    means = [torch.bincount(station, score) / counts for score in scores]
    return torch.stack(means, -1)[counts > 0].numpy()
