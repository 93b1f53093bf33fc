"""Running methods on splits: fitted on known stations, scored at hidden ones, timed."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.reanalysis import METHODS
from benchmarks.protocols import Protocol, Split
from benchmarks.scores import DISTANCE_KM, LEVEL, Scores, mean_scores, score, strata

#: The protocol's own method of known score; not a method of the package's list.
REFERENCE = "reference"
#: Methods that depend on a seed, so that each seed is a run.
SEEDED = ("neural",)
#: What errors can be told apart by.
STRATA = {"distance": DISTANCE_KM, "level": LEVEL}


@dataclass(frozen=True, eq=False)
class Measured:
    """Estimates of one method on one split, at the n scored values.

    Attributes
    ----------
    protocol : Protocol
    split, method : str
    seed : int or None
        None for a method that does not depend on one.
    truth, estimate, error : (n,) float64
        In the variable's units; NaN where there is no estimate.
    distance_km : (n,) float64
        To the nearest known station.
    fit_seconds, predict_seconds : float
        On one core.
    note : str
        What the estimator says of itself.
    """

    protocol: Protocol
    split: str
    method: str
    seed: int | None
    truth: np.ndarray
    estimate: np.ndarray
    error: np.ndarray
    distance_km: np.ndarray
    fit_seconds: float
    predict_seconds: float
    note: str

    @property
    def scores(self) -> Scores:
        """The scores of all values."""
        above = self.protocol.mape_above
        return score(self.truth, self.estimate, self.error, mape_above=above)


def check_methods(methods: Sequence[str]) -> None:
    """Refuse names that are no method, all at once."""
    wrong = [method for method in methods if method not in (REFERENCE, *METHODS)]
    if wrong:
        raise ValueError(
            f"methods are {', '.join((REFERENCE, *METHODS))}; found {', '.join(map(repr, wrong))}"
        )


def runs(
    protocol: Protocol, methods: Sequence[str], seeds: Sequence[int]
) -> list[tuple[str, int | None]]:
    """Return methods with their seeds: one run of a method that needs none.

    Raises
    ------
    ValueError
        If nothing is left to run, since the protocol has no reference.
    """
    found = [
        (method, seed)
        for method in methods
        for seed in (seeds if method in SEEDED else (None,))
        if method != REFERENCE or protocol.reference is not None
    ]
    if not found:
        raise ValueError(f"{protocol.key} has no reference; name other methods")
    return found


def measure(protocol: Protocol, split: Split, method: str, seed: int | None) -> Measured:
    """Return what a method estimates on a split, fitted on the split's training alone."""
    estimator = _estimator(protocol, method, seed)
    began = perf_counter()
    estimator.fit(split.training, split.variable)
    fitted = perf_counter()
    estimate, error = _predict(estimator, split)
    predicted = perf_counter()
    distance_km = np.broadcast_to(split.distance_km[:, None], split.truth.shape)
    scored = split.scored
    return Measured(
        protocol,
        split.name,
        method,
        seed,
        split.truth[scored],
        estimate[scored],
        error[scored],
        distance_km[scored],
        fitted - began,
        predicted - fitted,
        _note(estimator),
    )


def combined(results: Sequence[Measured]) -> Scores:
    """Return the score of a method over splits and seeds, as its protocol combines splits.

    The scores of seeds are averaged, never their estimates.
    """
    protocol = results[0].protocol
    by_seed: dict[int | None, list[Measured]] = {}
    for result in results:
        by_seed.setdefault(result.seed, []).append(result)
    if protocol.combine == "mean":
        return mean_scores([mean_scores([r.scores for r in rs]) for rs in by_seed.values()])
    return mean_scores([_pooled(rs) for rs in by_seed.values()])


def stratified(results: Sequence[Measured], by: str) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of a method in each stratum that has values, all splits and seeds pooled."""
    values = _joined(results, "distance_km" if by == "distance" else "truth")
    parts = [_joined(results, name) for name in ("truth", "estimate", "error")]
    for name, inside in strata(values, STRATA[by]):
        if inside.any():
            yield name, score(*(part[inside] for part in parts))


def quiet() -> None:
    """Keep what estimators log of single fits off the standard error stream."""
    logging.getLogger("aqreanalysis").setLevel(logging.ERROR)


def _estimator(protocol: Protocol, method: str, seed: int | None) -> Any:
    """Return the package's estimator of a name with its defaults, or the protocol's reference."""
    if method == REFERENCE and protocol.reference is not None:
        return protocol.reference()
    return METHODS[method](seed=seed, progress=False) if method in SEEDED else METHODS[method]()


def _note(estimator: Any) -> str:
    """Return what a fitted estimator says of itself, and its settings where it has some."""
    settings = getattr(estimator, "settings", None)
    return repr(estimator) + (f" {dict(settings)}" if settings else "")


def _predict(estimator: Any, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and standard errors, (hidden, time) float64, NaN where not asked for."""
    estimate, error = np.full((2, *split.truth.shape), np.nan)
    labels = split.known["time"].values
    for span in _spans(split.hours):
        window = slice(labels[span.start], labels[span.stop - 1])
        field: xr.Dataset = estimator.predict(split.known, split.hidden, time=window)
        field = field.compute(scheduler="synchronous")
        estimate[:, span] = field[split.variable].values
        error[:, span] = field[f"{split.variable}_uncertainty"].values
    return estimate, error


def _spans(hours: np.ndarray) -> list[slice]:
    """Return the spans of hours that are wanted."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], hours, [False]]).astype(np.int8)))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _pooled(results: Sequence[Measured]) -> Scores:
    """Return the scores over the values of all splits."""
    parts = [_joined(results, name) for name in ("truth", "estimate", "error")]
    return score(*parts, mape_above=results[0].protocol.mape_above)


def _joined(results: Sequence[Measured], name: str) -> np.ndarray:
    """Return one array of all results."""
    return np.concatenate([getattr(result, name) for result in results])
