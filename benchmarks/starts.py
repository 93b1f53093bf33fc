"""``python -m benchmarks starts``: what ten fits of the learned covariance from ten starts say."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.verification import HiddenEstimates, estimate_hidden, metrics
from benchmarks.measuring import COVARIANCE, learned_covariance, summed
from benchmarks.protocols import PROTOCOLS, Split
from benchmarks.tables import markdown

#: Standard deviation of the logarithm of the factor by which each amplitude, range and noise begins
#: elsewhere: one in twenty begins at less than a seventh, or more than seven times, of the usual.
SHIFT = 1.0


def table(folder: Path, *, starts: int = 10, hours: int | None = None) -> str:
    """Return the table on P3: scores, and the stated errors beside those of the usual start.

    Parameters
    ----------
    folder : Path
    starts : int
        Fits, of which the first begins as usual.
    hours : int, optional
        Last hours of training to learn from; all by default.
    """
    (split,) = PROTOCOLS["p3"].splits(folder)
    head = ["start", "RMSE", "MAE", "CRPS", "90 % holds", "stated error to the first's, median",
            "5 % to 95 %"]  # fmt: skip
    rows, first = [head], None
    for number in range(starts):
        hidden = _estimates(split, number, hours)
        first = hidden if first is None else first
        scores = metrics(summed(split, COVARIANCE, hidden.median, hidden)).isel(estimator=0)
        ratio = hidden.standard_error / first.standard_error
        low, middle, high = np.nanquantile(ratio, (0.05, 0.5, 0.95))
        rows.append(
            [
                "as usual" if number == 0 else str(number),
                *(f"{float(scores[name]):.3f}" for name in ("rmse", "mae", "crps", "coverage_90")),
                f"{middle:.4f}",
                f"{low:.3f} to {high:.3f}",
            ]
        )
    return markdown(rows)


def _estimates(split: Split, number: int, hours: int | None) -> HiddenEstimates:
    """Return what a fit from a start gives at the hidden stations."""
    training = split.training if hours is None else split.training.isel(time=slice(-hours, None))
    model = learned_covariance()
    with _beginning_elsewhere(number):
        model.fit(training, split.variable)
    return estimate_hidden(model, split.observations, split.variable, split.fold)


@contextmanager
def _beginning_elsewhere(number: int) -> Iterator[None]:
    """Let covariances begin at random factors of their usual amplitudes, ranges and noise."""
    begin = BandCovariance.__init__

    def shifted(self: BandCovariance, *sizes: Any) -> None:
        begin(self, *sizes)
        draw = torch.Generator().manual_seed(number)
        for name in ("log_amplitude", "log_range", "log_noise"):
            values = getattr(self, name).data
            shift = torch.randn(values.shape, generator=draw, dtype=values.dtype)
            values += SHIFT * shift * (number > 0)

    with patch.object(BandCovariance, "__init__", shifted):
        yield
