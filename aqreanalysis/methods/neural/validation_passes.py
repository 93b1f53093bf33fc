"""Looks at a model: windows over the whole period in which stations are hidden and found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.methods.kriging.covariance import Weights
from aqreanalysis.methods.neural.batches import Batch, Samples, Window, assemble
from aqreanalysis.methods.neural.devices import moved
from aqreanalysis.methods.neural.neural_knn import NeuralKNN

#: Windows side by side.
TOGETHER = 6
PROCESSOR = torch.device("cpu")


class Hiding(NamedTuple):
    """What is hidden together, and from what it is found; rows of the network."""

    hidden: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class Looks:
    """Hidden stations at windows spread over the period, the same at every look.

    Attributes
    ----------
    batches : list of Batch
    weights : list of Weights
        Of the covariance head, which is fitted before the first look.
    truth, station : (n,) Tensor
        What was measured, float64, and where: rows of the network.
    """

    batches: list[Batch]
    weights: list[Weights]
    there: Tensor
    truth: Tensor
    station: Tensor

    @classmethod
    def over(
        cls, samples: Samples, model: NeuralKNN, hidings: Sequence[Hiding], count: int
    ) -> "Looks":
        """Return looks at so many windows, in each of which every hiding has its turn.

        Only windows count in which a hidden station has a value. The model's covariances are
        fitted; they complete the visible stations' series.
        """
        starts = _starts(samples, model, np.concatenate([h.hidden for h in hidings]), count)
        windows = [
            Window(int(start), np.sort(hiding.visible), np.sort(hiding.hidden))
            for start in starts
            for hiding in hidings
        ]
        batches = [
            assemble(
                samples,
                windows[first : first + TOGETHER],
                covariance=model.covariance,
                configuration=model.configuration,
            )
            for first in range(0, len(windows), TOGETHER)
        ]
        with torch.no_grad():
            weights = [model.weights(batch.neighbourhood) for batch in batches]
        truth = torch.cat([batch.truth for batch in batches])
        there = torch.isfinite(truth)
        station = torch.from_numpy(np.concatenate([window.hidden for window in windows]))
        rows = station[:, None].expand(there.shape)[there]
        return cls(batches, weights, there, truth[there].double(), rows)

    @torch.no_grad()
    def gathered(
        self,
        outputs: Callable[[Batch, Weights], Sequence[Tensor]],
        device: torch.device = PROCESSOR,
    ) -> list[Tensor]:
        """Return outputs (target, core) of a model wherever there is truth, (n,) float64 each.

        Parameters
        ----------
        outputs : callable
            From a batch and its weights to a model's outputs.
        device : torch.device
            Where the model is.
        """
        parts = [
            torch.stack(list(outputs(moved(batch, device), moved(weights, device)))).cpu()
            for batch, weights in zip(self.batches, self.weights, strict=True)
        ]
        return list(torch.cat(parts, 1)[:, self.there].double())


def _starts(samples: Samples, model: NeuralKNN, hidden: np.ndarray, count: int) -> np.ndarray:
    """Return where windows start, evenly over those in which a hidden station has a value."""
    margin, core = model.configuration.margin_steps, model.configuration.core_steps
    there = torch.isfinite(samples.value[hidden, margin:-margin]).any(dim=0)
    reporting = np.flatnonzero(there.reshape(-1, core).any(dim=1).numpy()) * core
    count = min(count, reporting.size)
    return reporting[np.linspace(0, reporting.size - 1, count).astype(int)]
