"""``python -m benchmarks small``: networks of 8 stations and 72 steps, cut out of large ones."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from aqreanalysis.methods import METHODS, Method
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of
from aqreanalysis.verification import Fold, estimate_hidden, metrics
from benchmarks.measuring import (
    COVARIANCE,
    PRETRAINED,
    learned_covariance,
    pretrained,
    summed,
    unseen,
)
from benchmarks.protocols import PROTOCOLS, Protocol, Split
from benchmarks.tables import markdown

#: Protocols whose networks are cut if none are named: two of hours, one of days.
DEFAULT = ("p3", "p6", "p8")
#: Stations of a cut that are known and that are hidden, and its steps.
KNOWN, HIDDEN, STEPS = 8, 3, 72
#: Share of the steps at which each of its stations has a value.
LEAST = 0.5
#: Cuts, and draws of them for an interval.
CUTS, DRAWS, SEED = 40, 2000, 1
#: What is fitted to each cut of a protocol; the first is that to which errors are compared.
MADE: dict[str, Callable[[Protocol], Method]] = {
    "kriging": lambda _: METHODS["kriging"].make(),
    "space_time_kriging": lambda _: METHODS["space_time_kriging"].make(),
    COVARIANCE: lambda protocol: learned_covariance(unseen(protocol)),
    PRETRAINED: pretrained,
}


def table(folder: Path, keys: Sequence[str] = DEFAULT, *, cuts: int = CUTS) -> str:
    """Return the table: errors, and their ratio to those of kriging fitted to the same.

    A ratio is the geometric mean over the cuts, with its 95 % interval over them.
    """
    rows = [["", "method", "RMSE", "MAE", "RMSE to kriging's", "MAE to kriging's", "90 % holds"]]
    for key in keys:
        scores = np.array([_scores(split, PROTOCOLS[key]) for split in cuts_of(key, folder, cuts)])
        for number, name in enumerate(MADE):
            own = scores[:, number]
            ratios = (own / scores[:, 0])[:, :2]
            rows.append(
                [
                    key,
                    name,
                    *(f"{error:.2f}" for error in own.mean(axis=0)[:2]),
                    *map(_with_interval, np.log(ratios).T),
                    f"{own[:, 2].mean():.3f}",
                ]
            )
    return markdown(rows)


def cuts_of(key: str, folder: Path, count: int) -> Iterator[Split]:
    """Yield random cuts of a protocol's network: neighbours, of which three are hidden."""
    protocol, rng = PROTOCOLS[key], np.random.default_rng(SEED)
    observations = protocol.open(folder)[[protocol.variable]]
    network = StationNetwork.from_dataset(observations)
    hidden, every = np.arange(KNOWN + HIDDEN) >= KNOWN, np.ones(STEPS, bool)
    number = 0
    while number < count:
        centre = int(rng.integers(network.size))
        rows = rng.permutation(network.nearest_to(centre, count=hidden.size))
        start = int(rng.integers(observations.sizes["time"] - STEPS))
        cut = observations.isel(station=rows, time=slice(start, start + STEPS)).load()
        values = values_of(cut, protocol.variable)
        if (np.isfinite(values).mean(axis=1) < LEAST).any():
            continue
        number += 1
        fold = Fold(f"cut {number}", hidden, ~hidden, every, every)
        yield Split(cut, protocol.variable, fold, values[hidden])


def _scores(split: Split, protocol: Protocol) -> list[list[float]]:
    """Return RMSE, MAE and the share within the 90 % interval of each method at a cut."""
    scores = []
    for name, make in MADE.items():
        method = make(protocol).fit(split.training, split.variable)
        hidden = estimate_hidden(method, split.observations, split.variable, split.fold)
        row = metrics(summed(split, name, hidden.median, hidden)).isel(estimator=0)
        scores.append([float(row[score]) for score in ("rmse", "mae", "coverage_90")])
    return scores


def _with_interval(logarithms: np.ndarray) -> str:
    """Return the geometric mean of ratios with its interval, of their logarithms."""
    rng = np.random.default_rng(SEED)
    drawn = rng.choice(logarithms, (DRAWS, logarithms.size)).mean(axis=1)
    middle, low, high = np.exp([logarithms.mean(), *np.quantile(drawn, (0.025, 0.975))])
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"
