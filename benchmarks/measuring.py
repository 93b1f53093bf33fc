"""Running methods on splits: fitted on known stations, scored at hidden ones, timed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis import Configuration, Reanalyser, Schedule
from aqreanalysis.geography.likeness import Learned
from aqreanalysis.methods import METHODS, Method, fit
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.methods.neural.configuration import PARTS, UPDATES
from aqreanalysis.methods.neural.pretrained import PretrainedReanalyser
from aqreanalysis.predictive import Statistic
from aqreanalysis.verification import (
    HiddenEstimates,
    build_pairs,
    combine,
    estimate_hidden,
    metrics,
    statistics,
)
from benchmarks.protocols import PROTOCOLS, Protocol, Split
from benchmarks.scores import Scores, mean_scores, scores_by, scores_of

#: The protocol's own method of known score; not a method of the package's list.
REFERENCE = "reference"
#: The neural method whose network is trained in any case, and without one of its parts.
NETWORK = "neural_network"
VARIANTS = {NETWORK: Configuration()} | {
    f"without_{part}": Configuration(without=(part,)) for part in PARTS
}
#: The neural method's learned covariance alone: without any update of its network.
COVARIANCE = "neural_covariance"
#: The same, for which places differ by their distance alone.
PLAIN = "neural_covariance_without_geography"
#: The covariance of other networks, here of other regions.
PRETRAINED = "pretrained"
#: Methods that depend on a seed, so that each seed is a run.
SEEDED = ("neural", COVARIANCE, PLAIN, *VARIANTS)
#: Kriging with the neural method's kind of spread.
LAWS: dict[str, Callable[[], Any]] = {
    "kriging_law": lambda: OrdinaryKriging(calibrate="law"),
    "space_time_kriging_law": lambda: SpaceTimeKriging(calibrate="law"),
}
#: Space-time kriging that keeps the usual form, and does not let left-out stations choose it.
FIXED_FORM: dict[str, Callable[[], Any]] = {
    "space_time_kriging_exponential": lambda: SpaceTimeKriging(model="exponential", calibrate="law")
}
#: The fair baselines, with the best of which the neural method is compared.
BASELINES = ("kriging", "space_time_kriging", *LAWS, *FIXED_FORM)
#: Before the name of a background of the protocol that a method has: ``kriging+altitude``.
WITH = "+"
#: Methods that are run if none are named; the default of the package comes last.
DEFAULT_METHODS = (REFERENCE, "idw", "kriging", "space_time_kriging", *LAWS, "neural")
#: What errors can be grouped by.
STRATA = ("distance", "level")


@dataclass(frozen=True, eq=False)
class Measured:
    """What one method reached on one split.

    Attributes
    ----------
    protocol : Protocol
    split, method : str
    seed : int or None
        None for a method that does not depend on one.
    statistics : Dataset
        Sums over the scored values.
    relative : (2,) float64
        Sum and number of the relative errors that the protocol asks for.
    fit_seconds, predict_seconds : float
        On one core.
    note : str
        What the method says of itself.
    statistic : {"median", "mean"}
        What the estimates are.
    """

    protocol: Protocol
    split: str
    method: str
    seed: int | None
    statistics: xr.Dataset
    relative: np.ndarray
    fit_seconds: float
    predict_seconds: float
    note: str
    statistic: Statistic = "median"

    @property
    def scores(self) -> Scores:
        """The scores of all values."""
        return _pooled([self])


def check_methods(methods: Sequence[str]) -> None:
    """Refuse names that are no method, or no background behind one, all at once."""
    known = (*DEFAULT_METHODS, *FIXED_FORM, COVARIANCE, PLAIN, PRETRAINED, *VARIANTS)
    backgrounds = {name for protocol in PROTOCOLS.values() for name in protocol.background_names}
    wrong = [
        method
        for method in methods
        for name, behind in [parts_of(method)]
        if name not in known or not backgrounds.issuperset(behind)
    ]
    if wrong:
        raise ValueError(
            f"methods are {', '.join(known)}, and behind some of them {WITH} and one of "
            f"{', '.join(sorted(backgrounds))}; found {', '.join(map(repr, wrong))}"
        )


def parts_of(method: str) -> tuple[str, tuple[str, ...]]:
    """Return the name of a method without its backgrounds, and these.

    Examples
    --------
    >>> parts_of("kriging+altitude+emep"), parts_of("idw")
    (('kriging', ('altitude', 'emep')), ('idw', ()))
    """
    name, *backgrounds = method.split(WITH)
    return name, tuple(backgrounds)


def runs(
    protocol: Protocol, methods: Sequence[str], seeds: Sequence[int]
) -> list[tuple[str, int | None]]:
    """Return methods with their seeds: one run of a method that needs none.

    Raises
    ------
    ValueError
        If nothing is left to run, since the protocol has no reference or not the backgrounds.
    """
    chosen = [
        (method, seed)
        for method in methods
        for name, backgrounds in [parts_of(method)]
        for seed in (seeds if name in SEEDED else (None,))
        if (method != REFERENCE or protocol.reference is not None)
        and protocol.background_names >= {*backgrounds}
    ]
    if not chosen:
        raise ValueError(f"{protocol.key} has no reference or no such background; name others")
    return chosen


def measure(
    protocol: Protocol,
    split: Split,
    method: str,
    seed: int | None,
    folder: Path = Path(),
    estimates: Sequence[Statistic] = ("median",),
) -> list[Measured]:
    """Return what a method estimates on a split, fitted once on the split's training alone.

    One for each statistic that the estimate may be. ``folder`` holds the data of backgrounds.
    """
    name, backgrounds = parts_of(method)
    estimator, background = _method(protocol, name, seed), protocol.background(folder, backgrounds)
    began = perf_counter()
    fit(estimator, split.training, split.variable, background)
    fitted = perf_counter()
    hidden = estimate_hidden(
        estimator,
        split.observations,
        split.variable,
        split.fold,
        statistic="mean",
        background=background,
    )
    predicted = perf_counter()
    return [
        Measured(
            protocol,
            split.name,
            method,
            seed,
            summed(split, method, estimate, hidden),
            _relative_errors(split.truth, estimate, protocol.mape_above),
            fitted - began,
            predicted - fitted,
            f"{estimator!r} {dict(estimator.settings)}",
            statistic,
        )
        for statistic in estimates
        for estimate in [hidden.median if statistic == "median" else hidden.estimate]
    ]


def summed(split: Split, method: str, estimate: np.ndarray, hidden: HiddenEstimates) -> xr.Dataset:
    """Return the statistics of estimates, and of the distributions that they are of."""
    stations = split.observations.isel(station=split.fold.hidden)
    # Hidden by two splits a station has two distances to what is known: it is another sample.
    names = [f"{name}, {split.name}" for name in stations["station"].values]
    pairs = build_pairs(
        stations.assign_coords(station=names),
        split.variable,
        truth=split.truth,
        estimate=estimate[None],
        standard_error=hidden.standard_error[None],
        median=hidden.median[None],
        freedom=np.full((1, len(names)), hidden.freedom),
        methods=[method],
        stations={"distance_km": split.fold.distance_km(split.observations)},
        attributes={"by": "protocol"},
    )
    # The index of agreement, which needs a reference, is not shown.
    return statistics(pairs, reference=0.0)


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


def stratified(results: Sequence[Measured], by: str) -> list[tuple[str, Scores]]:
    """Return the scores of a method in each part that has values, of all splits and seeds."""
    return scores_by(combine(*(result.statistics for result in results)), by)


def quiet() -> None:
    """Keep what estimators log of single fits off the standard error stream."""
    logging.getLogger("aqreanalysis").setLevel(logging.ERROR)


def learned_covariance(
    weights: Learned = "all", *, without: tuple[str, ...] = (), seed: int = 0
) -> Reanalyser:
    """Return the neural method without any update of its network.

    ``weights`` are those of other networks from which it takes what few stations cannot tell.
    """
    configuration = Configuration(lengths=weights, without=without)
    schedule = Schedule(updates=0, prior=weights)
    return Reanalyser(configuration, schedule=schedule, seed=seed, progress=False)


def unseen(protocol: Protocol) -> Learned:
    """Return the name of the weights that have not seen a protocol's region."""
    return f"without_{protocol.region}"  # type: ignore[return-value]


def pretrained(protocol: Protocol) -> PretrainedReanalyser:
    """Return the pretrained method with weights that have not seen a protocol's region."""
    return PretrainedReanalyser(weights=unseen(protocol), progress=False)


def _method(protocol: Protocol, method: str, seed: int | None) -> Method:
    """Return the package's method of a name with its defaults, or the protocol's reference."""
    if method == REFERENCE and protocol.reference is not None:
        return protocol.reference()
    weights = unseen(protocol)
    if method in VARIANTS:
        sizes = replace(VARIANTS[method], lengths=weights)
        trained = Schedule(updates=UPDATES, prior=weights)
        return Reanalyser(sizes, schedule=trained, seed=seed or 0, progress=False)
    if method in (COVARIANCE, PLAIN):
        without = ("geography",) if method == PLAIN else ()
        return learned_covariance(weights, without=without, seed=seed or 0)
    if method == "neural":
        sizes, usual = Configuration(lengths=weights), Schedule(prior=weights)
        return Reanalyser(sizes, schedule=usual, seed=seed or 0, progress=False)
    if method == PRETRAINED:
        return pretrained(protocol)
    for variants in (LAWS, FIXED_FORM):
        if method in variants:
            variant: Method = variants[method]()
            return variant
    return METHODS[method].make(seed=seed or 0, progress=False)


def _relative_errors(truth: np.ndarray, estimate: np.ndarray, above: float | None) -> np.ndarray:
    """Return sum and number of the relative errors where the truth is above a threshold."""
    if above is None:
        return np.zeros(2)
    counts = (np.nan_to_num(truth) > above) & np.isfinite(estimate)
    relative = np.abs(estimate[counts] - truth[counts]) / truth[counts]
    return np.array([relative.sum(), relative.size])


def _pooled(results: Sequence[Measured]) -> Scores:
    """Return the scores over the values of all splits."""
    measures = metrics(combine(*(result.statistics for result in results))).isel(estimator=0)
    total, count = np.sum([result.relative for result in results], axis=0)
    return scores_of(measures, mape=total / count if count else np.nan)
