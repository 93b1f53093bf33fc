"""What 90 % intervals hold by fold, distance and level, and why a fold may differ from 90 %."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from aqreanalysis.methods import Method
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of
from aqreanalysis.predictive import RootNormal
from aqreanalysis.verification import Fold, estimate_hidden
from benchmarks.protocols import Split

#: Parts in which known stations are left out in turn, as many as in the fit.
PARTS = 5
#: Hours that a bootstrap takes together: errors of one spell of weather are not independent.
WEEK = 168
#: Draws of groups of values.
RESAMPLES = 2000
OF_FOLDS = [
    "", "stations", "hidden stations, hours scored", "... hours of training",
    "known stations left out, hours scored", "... hours of training",
]  # fmt: skip
OF_THIRDS = [
    "", "nearest third", "middle", "farthest", "lowest third of the estimates", "middle", "highest"
]  # fmt: skip


@dataclass(frozen=True)
class Covered:
    """Whether 90 % intervals hold measurements at stations that were not known, (n,) each.

    Attributes
    ----------
    inside : bool
    station : str
        Its identifier.
    hour : int
        Position in time.
    distance_km : float64
        To the nearest known station.
    estimate : float64
        Median, ug m-3.
    """

    inside: np.ndarray
    station: np.ndarray
    hour: np.ndarray
    distance_km: np.ndarray
    estimate: np.ndarray

    @classmethod
    def of(cls, model: Method, split: Split, fold: Fold) -> Self:
        """Return what a fitted model says of the hidden stations of a fold, at all hours."""
        observations, variable = split.observations, split.variable
        whole = replace(fold, scored=np.ones_like(fold.scored))
        hidden = estimate_hidden(model, observations, variable, whole)
        truth = values_of(observations, variable)[fold.hidden]
        known = np.isfinite(truth) & np.isfinite(hidden.median)
        low, high = RootNormal.from_median(
            hidden.median[known], hidden.standard_error[known], freedom=hidden.freedom
        ).interval_90()
        value = np.maximum(truth[known], 0)
        row, hour = np.nonzero(known)
        return cls(
            (low <= value) & (value <= high),
            StationNetwork.from_dataset(observations).identifiers[fold.hidden][row],
            hour,
            fold.distance_km(observations)[row],
            hidden.median[known],
        )

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Return the measurements of several parts."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def part(self, where: np.ndarray) -> Self:
        """Return some of the measurements, by a mask (n,)."""
        return type(self)(*(values[where] for values in vars(self).values()))

    def thirds(self, of: np.ndarray) -> list[Self]:
        """Return the measurements by a value of each, (n,): the lowest third, middle, highest."""
        number = np.searchsorted(np.quantile(of, (1 / 3, 2 / 3)), of)
        return [self.part(number == third) for third in range(3)]

    def __str__(self) -> str:
        return share_inside(self.inside, self.station)


def of_split(model: Method, split: Split) -> list[Covered]:
    """Return what a fitted model says of stations that it does not know, as in `OF_FOLDS`.

    Hidden ones, and the known ones with a fifth of them left out in turn, which the model has
    learned from; each in the hours that are scored and in those of training.
    """
    fold, rows = split.fold, np.flatnonzero(split.fold.known)
    number = StationNetwork.from_dataset(split.observations.isel(station=rows)).folds(PARTS, seed=0)
    left_out = []
    for part in range(PARTS):
        hidden = np.isin(np.arange(fold.known.size), rows[number == part])
        left_out.append(replace(fold, hidden=hidden, known=fold.known & ~hidden))
    each = [Covered.of(model, split, fold)]
    each.append(Covered.joined(Covered.of(model, split, part) for part in left_out))
    return [of.part(hours[of.hour]) for of in each for hours in (fold.scored, fold.learned)]


def rows_of_folds(
    key: str, names: Sequence[str], parts: Sequence[list[Covered]]
) -> list[list[str]]:
    """Return a row of each split of a protocol and, if there are several, one of all."""
    named = list(zip(names, parts, strict=True))
    if len(parts) > 1:
        named.append(("all", [Covered.joined(each) for each in zip(*parts, strict=True)]))
    return [
        [f"`{key}` {name}", str(np.unique(each[0].station).size), *map(str, each)]
        for name, each in named
    ]


def row_of_thirds(key: str, hidden: Covered) -> list[str]:
    """Return the row of a protocol: shares by distance and by the estimate."""
    thirds = [*hidden.thirds(hidden.distance_km), *hidden.thirds(hidden.estimate)]
    return [f"`{key}`", *map(str, thirds)]


def share_inside(inside: np.ndarray, group: np.ndarray) -> str:
    """Return the share of values inside, with its 95 % interval by a bootstrap over groups.

    Parameters
    ----------
    inside : (n,) bool
    group : (n,)
        What is drawn with all its values: those of a station, or a week.

    Examples
    --------
    >>> share_inside(np.array([True, True, True, False]), np.array(["a", "a", "b", "b"]))
    '0.750 [0.50, 1.00]'
    """
    _, number = np.unique(group, return_inverse=True)
    covered, count = np.bincount(number, inside), np.bincount(number)
    chosen = np.random.default_rng(0).integers(count.size, size=(RESAMPLES, count.size))
    low, high = np.quantile(covered[chosen].sum(1) / count[chosen].sum(1), (0.025, 0.975))
    return f"{inside.mean():.3f} [{low:.2f}, {high:.2f}]"


def shares_inside(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """Return two cells: the share of the first, all, and those of its folds, if there are several.

    Each part is what `share_inside` takes.
    """
    of_all, *folds = (share_inside(*part) for part in parts)
    return [of_all, "; ".join(folds) if len(folds) > 1 else ""]
