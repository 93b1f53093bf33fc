"""What draws say of daily and monthly means, maxima and counts at hidden stations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, STATION, TIME, draws_name
from aqreanalysis.derived import aggregate
from aqreanalysis.derived.aggregate import Period
from aqreanalysis.fields.draws import DrawsOf, ErrorPatterns, ErrorSeries, with_draws
from aqreanalysis.methods.kriging.error_patterns import PATTERNS, KrigingPatterns
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import step_hours
from aqreanalysis.predictive import ErrorCorrelation
from benchmarks.coverage import WEEK, shares_inside
from benchmarks.protocols import Split

HEAD = ["", "method", "hourly errors", "number", "bias", "CRPS", "90 % holds", "by fold"]
#: Draws of each split.
DRAWS = 50
#: Limits in ug m-3, and hours above one that the truth needs if they are counted over all.
LIMITS, ALL_LIMITS, FEWEST_HOURS = (35.0, 75.0), (35.0, 75.0, 150.0), 200
#: Share of the hidden stations that must have measured in an hour of their mean.
STATIONS_OF_AN_HOUR = 0.75


class Drawn(NamedTuple):
    """The truth of a quantity (n,), and what the draws say of it (draw, n).

    Values of one ``group`` (n,), a station or a week, are taken together for intervals.
    """

    truth: np.ndarray
    draws: np.ndarray
    group: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Whether the truth is between the quantiles of 5 and 95 % of the draws, (n,)."""
        low, high = np.quantile(self.draws, [0.05, 0.95], axis=0, method="weibull")
        return (low <= self.truth) & (self.truth <= high)


@dataclass(frozen=True)
class _OfStations:
    """Errors of stations that have nothing to do with each other, or are all the same."""

    network: StationNetwork
    as_one: bool
    of: DrawsOf = "measurements"

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return a pattern for each station, or the first for all."""
        row = self.network.neighbours(longitude, latitude, k=1).index[:, 0]
        vectors = np.eye(self.network.size, dtype=np.float32)[row * (not self.as_one)]
        return vectors, np.ones(len(row))


def of_split(
    split: Split, field: xr.Dataset, learned: ErrorCorrelation, unlike_km: Sequence[float]
) -> Iterator[tuple[str, str, Drawn]]:
    """Yield quantities with the errors that they are drawn with, and their truth and draws."""
    variable, hidden = split.variable, StationNetwork.from_dataset(split.hidden)
    independent, lasting = ErrorCorrelation((0.0,), (1.0,)), ErrorCorrelation((1e9,), (1.0,))
    cases: dict[str, tuple[ErrorPatterns, ErrorCorrelation, int]] = {
        "draws": (
            KrigingPatterns.learned(
                split.known,
                variable,
                "measurements",
                places=[split.hidden],
                unlike_km=unlike_km,
            ),
            learned,
            PATTERNS,
        ),
        "independent": (_OfStations(hidden, as_one=False), independent, hidden.size),
        "as one": (_OfStations(hidden, as_one=True), lasting, hidden.size),
    }
    scored = np.flatnonzero(split.fold.scored)
    hours = slice(int(scored[0]), int(scored[-1]) + 1)
    for errors, (patterns, correlation, count) in cases.items():
        series = ErrorSeries(correlation, step_hours(split.observations), count, seed=0)
        made = with_draws(
            field.isel({TIME: hours}).chunk({TIME: 1024}),
            split.hidden,
            variable,
            DRAWS,
            patterns=patterns,
            series=series,
            first=hours.start,
        )
        drawn = made[draws_name(variable)].transpose(DRAW, STATION, TIME).values
        for quantity, each in _quantities(split, drawn, hours):
            yield quantity, errors, each


def _quantities(split: Split, drawn: np.ndarray, hours: slice) -> Iterator[tuple[str, Drawn]]:
    """Yield the truth and the draws of each quantity, of draws (draw, station, time) of hours."""
    truth = split.truth[:, hours]
    present = np.isfinite(truth) & np.isfinite(drawn[0])
    every = np.where(present, np.concatenate([truth[None], drawn]), np.nan)
    names = StationNetwork.from_dataset(split.hidden).identifiers
    yield "hour", _drawn(every[:, present], names[np.nonzero(present)[0]])
    series = xr.Dataset(
        {
            split.variable: (
                (STATION, TIME),
                every.reshape(-1, every.shape[-1]),
                {"units": "ug m-3"},
            )
        },
        coords={TIME: split.observations[TIME][hours]},
    )
    asked: list[tuple[Period, str, float | None]] = [
        ("day", "mean", None),
        ("month", "mean", None),
        ("day", "max", None),
        *(("month", "hours_above", limit) for limit in LIMITS),
    ]
    for period, statistic, limit in asked:
        summary = aggregate(series, period, statistic=statistic, limit=limit)
        layer = summary[list(summary.data_vars)[-1]]
        name = statistic if limit is None else f"hours above {limit:g}"
        values = layer.values.reshape(len(every), -1)
        yield f"{period}, {name}", _drawn(values, np.repeat(names, layer.sizes[TIME]))
    enough = present.sum(axis=0) >= STATIONS_OF_AN_HOUR * len(present)
    means = np.nanmean(every[:, :, enough], axis=1)
    weeks = (hours.start + np.flatnonzero(enough)) // WEEK
    yield "hour, mean of stations", _drawn(means, weeks)
    for limit in ALL_LIMITS:
        total = (every[:, present] > limit).sum(axis=1, keepdims=True).astype(float)
        if total[0, 0] >= FEWEST_HOURS:
            yield f"all, hours above {limit:g}", _drawn(total, np.zeros(1))


def _drawn(every: np.ndarray, group: np.ndarray) -> Drawn:
    """Return truth and draws of what comes one after another, where there is a truth."""
    known = np.isfinite(every).all(axis=0)
    return Drawn(every[0, known], every[1:, known], group[known])


def row(folds: list[Drawn]) -> list[str]:
    """Return the scores of all folds together, and the coverage of each."""
    truth, draws, group = (np.concatenate(columns, axis=-1) for columns in zip(*folds, strict=True))
    of_all = Drawn(truth, draws, group)
    return [
        str(truth.size),
        f"{draws.mean() / truth.mean() - 1:+.1%}",
        f"{_crps(truth, draws).mean():.2f}",
        *shares_inside([(each.inside, each.group) for each in (of_all, *folds)]),
    ]


def _crps(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the CRPS (n,) of draws (draw, n) without the part that their number adds.

    Zamo & Naveau 2018, Mathematical Geosciences 50, 209, the fair estimator.
    """
    count = len(draws)
    weight = 2 * np.arange(1, count + 1) - count - 1
    apart = weight @ np.sort(draws, axis=0) / (count * (count - 1))
    score: np.ndarray = np.abs(draws - truth).mean(axis=0) - apart
    return score
