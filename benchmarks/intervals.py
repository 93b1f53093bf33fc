"""``python -m benchmarks intervals``: how often intervals hold, in the tails, by fold and place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from tqdm import tqdm

from aqreanalysis.methods import Method, fit
from aqreanalysis.predictive import RootNormal
from aqreanalysis.verification import estimate_hidden
from benchmarks.coverage import (
    OF_FOLDS,
    OF_THIRDS,
    Covered,
    of_split,
    row_of_thirds,
    rows_of_folds,
)
from benchmarks.measuring import learned_covariance, unseen
from benchmarks.protocols import PROTOCOLS, Split
from benchmarks.tables import markdown

#: Protocols that are run by default.
DEFAULT = ("p3", "p4", "p1", "p6", "p8")
#: Draws of truths from the distributions themselves, and of stations or folds.
DRAWS, RESAMPLES = 5, 1000
SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Hidden:
    """Truth and distributions at the hidden stations of one split, (n,) each."""

    truth: np.ndarray
    mean: np.ndarray
    distribution: RootNormal
    station: np.ndarray  # 0, 1, ... of each value

    @classmethod
    def of(cls, model: Method, split: Split) -> Self:
        """Return what a fitted model says of a split."""
        hidden = estimate_hidden(
            model, split.observations, split.variable, split.fold, statistic="mean"
        )
        known = np.isfinite(split.truth) & np.isfinite(hidden.estimate)
        distribution = RootNormal.from_median(
            hidden.median[known], hidden.standard_error[known], freedom=hidden.freedom
        )
        truth = np.maximum(split.truth[known], 0)
        return cls(truth, hidden.estimate[known], distribution, np.nonzero(known)[0])

    def inside(self, share: float) -> np.ndarray:
        """Return whether the truth lies within the central interval of a probability, (n,)."""
        return np.abs(self.distribution.below(self.truth) - 0.5) <= share / 2

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """Return values that are drawn from the distributions, (n,)."""
        root, spread, freedom = (
            self.distribution.root,
            self.distribution.spread,
            self.distribution.freedom,
        )
        standard = rng.standard_normal(root.shape)
        if np.isfinite(freedom):  # the definition of Student's t, with a variance of 1
            standard *= np.sqrt((freedom - 2) / rng.chisquare(freedom, root.shape))
        return np.maximum(root + spread * standard, 0) ** 2


def table(folder: Path, protocols: Sequence[str] = DEFAULT) -> str:
    """Return the tables of the learned covariance alone: of protocols, by fold and by place."""
    rows = [[
        "", "degrees of freedom", *(f"{100 * share:g} % holds" for share in SHARES),
        "standard error / RMSE", "above the 99th percentile: over q95", "if all were right",
        "mean, % of the truth", "90 % by fold", "chance alone",
    ]]  # fmt: skip
    of_folds, of_thirds = [OF_FOLDS], [OF_THIRDS]
    for key in protocols:
        names, parts, covered = [], [], []
        protocol = PROTOCOLS[key]
        for split in tqdm(protocol.splits(folder), desc=key, leave=False):
            unfitted = learned_covariance(unseen(protocol))
            model = fit(unfitted, split.training, split.variable, None)
            names.append(split.name)
            parts.append(Hidden.of(model, split))
            covered.append(of_split(model, split))
        rows.append(_row(key, parts))
        of_folds += rows_of_folds(key, names, covered)
        of_thirds.append(row_of_thirds(key, Covered.joined(each[0] for each in covered)))
    return "\n\n".join(map(markdown, (rows, of_folds, of_thirds)))


def _row(key: str, parts: Sequence[Hidden]) -> list[str]:
    """Return the row of a protocol."""
    rng = np.random.default_rng(0)
    truth, q95, error, median = (
        np.concatenate([of(part) for part in parts])
        for of in (
            lambda part: part.truth,
            lambda part: part.distribution.quantile(0.95),
            lambda part: part.distribution.standard_error,
            lambda part: part.distribution.median,
        )
    )
    holds = [np.mean(np.concatenate([part.inside(share) for part in parts])) for share in SHARES]
    skill = np.sqrt(np.mean(error**2) / np.mean((median - truth) ** 2))
    ideal = [
        _exceeding(np.concatenate([part.drawn(rng) for part in parts]), q95) for _ in range(DRAWS)
    ]
    freedom = [part.distribution.freedom for part in parts]
    return [
        f"`{key}`",
        f"{min(freedom):.1f} to {max(freedom):.1f}",
        *(f"{share:.3f}" for share in holds),
        f"{skill:.2f}",
        f"{_exceeding(truth, q95):.2f}",
        f"{np.mean(ideal):.2f}",
        _bias(parts, rng),
        *_by_fold(parts, rng),
    ]


def _exceeding(truth: np.ndarray, quantile: np.ndarray) -> float:
    """Return the share of the largest hundredth of the truth that is above a quantile."""
    large = truth > np.quantile(truth, 0.99)
    return float(np.mean(truth[large] > quantile[large]))


def _stations(parts: Sequence[Hidden], values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sums of values at each hidden station of all parts, (station,)."""
    sums = [
        np.bincount(part.station, each, part.station.max() + 1)
        for part, each in zip(parts, values, strict=True)
    ]
    return np.concatenate(sums)


def _bias(parts: Sequence[Hidden], rng: np.random.Generator) -> str:
    """Return the bias of the mean with its 95 % interval over stations, percent."""
    errors = _stations(parts, [part.mean - part.truth for part in parts])
    truths = _stations(parts, [part.truth for part in parts])
    chosen = rng.integers(len(truths), size=(RESAMPLES, len(truths)))
    drawn = 100 * errors[chosen].sum(1) / truths[chosen].sum(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{100 * errors.sum() / truths.sum():+.1f} [{low:+.1f}, {high:+.1f}]"


def _by_fold(parts: Sequence[Hidden], rng: np.random.Generator) -> list[str]:
    """Return the range of the 90 % interval's shares over folds, and what chance makes of it.

    By chance: the same stations, divided into as many folds at random; how often all folds lie
    within .88 to .92.
    """
    if len(parts) == 1:
        return ["-", "-"]
    shares = [np.mean(part.inside(0.9)) for part in parts]
    inside = _stations(parts, [part.inside(0.9) for part in parts])
    counts = _stations(parts, [np.ones(part.truth.size) for part in parts])
    inside, counts = inside[counts > 0], counts[counts > 0]
    ends = []
    for _ in range(RESAMPLES):
        folds = np.array_split(rng.permutation(counts.size), len(parts))
        drawn = [inside[fold].sum() / counts[fold].sum() for fold in folds]
        ends.append((min(drawn), max(drawn)))
    lowest, highest = np.transpose(ends)
    within = np.mean((lowest >= 0.88) & (highest <= 0.92))
    return [
        f"{min(shares):.3f} to {max(shares):.3f}",
        f"{np.median(lowest):.3f} to {np.median(highest):.3f}; within .88 to .92 in "
        f"{100 * within:.0f} %",
    ]
