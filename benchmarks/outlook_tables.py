"""The tables of P9: measured rows pooled over folds and averaged over seeds, beside published."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aqreanalysis.predictive import Statistic
from benchmarks.outlook import COMPARED, fortnights_path

PLACES = {
    "visible": "Visible stations",
    "hidden": "Hidden stations",
    "hidden, inverse distance": "Hidden stations, by inverse distance",
}
HOURS = tuple(f"hour {hour}" for hour in (6, 12, 24))
SPANS = tuple(f"{days} days" for days in (2, 4, 7))
#: MAE / RMSE over the first 2, 4 and 7 days, daily, as printed by Kheder et al. 2025 for other
#: stations of northern China.
PUBLISHED = {
    "aqnet": ("13.57 / 16.80", "17.44 / 21.29", "21.29 / 25.17"),
    "aqnet_without_cycles": ("17.12 / 21.77", "18.12 / 24.63", "24.23 / 28.37"),
    "patchtst": ("41.42 / 55.64", "35.31 / 39.22", "28.01 / 34.70"),
    "lstm": ("24.04 / 28.37", "25.11 / 31.21", "22.87 / 28.81"),
    "ridge": ("25.00 / 29.00", "26.00 / 32.00", "23.50 / 29.50"),
}
PUBLISHED_R2 = "AQ-Net (published): R2 .510, .412 and .189 at 6, 12 and 24 h"
#: Methods in words, in the order of the page of the outlook.
NAMES = {
    "persistence": "persistence",
    "climatology": "climatology",
    "ridge": "ridge regression, PM2.5 alone",
    "ridge_all": "ridge regression, all inputs",
    "boosting": "gradient-boosted trees",
    "lstm": "LSTM",
    "patchtst": "PatchTST, PM2.5 alone",
    "paper": "AQ-Net as released, less its errors",
    "aqnet_start": "linear start of AQ-Net",
    "ridge_lstm": "LSTM from that start",
    "aqnet_alone": "AQ-Net, PM2.5 alone",
    "aqnet": "AQ-Net, here",
}
#: Resamples of fortnights.
DRAWS = 2000
_SUMS = ("values", "squares", "absolute", "errors", "truth", "truth_squares")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a record.

    Raises
    ------
    ValueError
        If it does not say of which statistic its rows are.
    """
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or "statistic" not in rows[0]:
        raise ValueError(f"{path} has no rows with a column 'statistic'; measure it anew")
    return rows


def scores(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """Return R2, MAE and RMSE of the union of runs.

    Examples
    --------
    Truth 0 and 4, estimated as 1 and 3:

    >>> row = dict(values=2, squares=2, absolute=2, errors=0, truth=4, truth_squares=16)
    >>> scores([row])
    (0.75, 1.0, 1.0)
    """
    total = {name: sum(float(row[name]) for row in rows) for name in _SUMS}
    count = total["values"]
    spread = total["truth_squares"] - total["truth"] ** 2 / count
    return (
        1 - total["squares"] / spread,
        total["absolute"] / count,
        (total["squares"] / count) ** 0.5,
    )


def read_fortnights(path: Path) -> list[dict[str, Any]]:
    """Return the sums of fortnights beside a record; of a run measured twice, the last."""
    with fortnights_path(path).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    identity = ("fold", "method", "seed", "place", "target", "fortnight")
    return list({tuple(row[name] for name in identity): row for row in rows}.values())


def differences(rows: Sequence[Mapping[str, Any]], method: str = "aqnet") -> str:
    """Return by how much a method differs from the others, in percent, with 95 % intervals.

    Fortnights are drawn with all their starts, stations and seeds; folds count that both have.
    """
    parts = []
    for place in ("visible", "hidden"):
        of_place = [row for row in rows if row["place"] == place]
        for score in ("RMSE", "MAE"):
            lines = [
                f"| {score} of `{method}`, {place}, % of that of | {' | '.join(COMPARED)} |",
                "|---|" + "---:|" * len(COMPARED),
            ]
            for other in (name for name in _methods(rows) if name != method):
                cells = [
                    str(difference(of_place, method, other, target, score)) for target in COMPARED
                ]
                lines.append(f"| {other} | {' | '.join(cells)} |")
            parts += ["\n".join(lines), ""]
    return "\n".join(parts)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return RMSE / MAE of means at the stations, of the methods with a name; the least is bold."""
    rows = [row for row in rows if row["statistic"] == "mean" and row["place"] == "visible"]
    methods = [name for name in NAMES if name in _methods(rows)]
    pairs = {
        (method, target): [f"{score:.1f}" for score in _mean(rows, target, method)[:0:-1]]
        for method in methods
        for target in COMPARED
    }
    least = {
        (target, score): min((pairs[method, target][score] for method in methods), key=float)
        for target in COMPARED
        for score in (0, 1)
    }
    spans = ("6 h", "12 h", "24 h", "first 7 days")
    lines = [f"| RMSE / MAE | {' | '.join(spans)} |", "|---|" + "---:|" * len(spans)]
    for method in methods:
        cells = [
            " / ".join(
                f"**{value}**" if value == least[target, score] else value
                for score, value in enumerate(pairs[method, target])
            )
            for target in COMPARED
        ]
        lines.append(f"| {NAMES[method]}{_folds(rows, method)} | {' | '.join(cells)} |")
    return "\n".join(lines)


class Difference(NamedTuple):
    """A relative difference of a score, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it in percent; bold where the interval excludes 0."""
        value, low, high = (f"{100 * each:+.1f}" for each in self)
        text = f"{value} [{low}, {high}]"
        return f"**{text}**" if self.low > 0 or self.high < 0 else text


def difference(
    rows: Sequence[Mapping[str, Any]], method: str, other: str, target: str, score: str
) -> Difference:
    """Return the relative difference of a method's score, of one place, to that of another.

    Examples
    --------
    >>> row = dict(fold=0, target="hour 6", fortnight=0, values=2, squares=2, absolute=2)
    >>> rows = [row | {"method": "a", "squares": 8}, row | {"method": "b"}]
    >>> difference(rows, "a", "b", "hour 6", "RMSE")
    Difference(value=1.0, low=1.0, high=1.0)
    """
    rows = [row for row in rows if row["target"] == target]
    folds = [{row["fold"] for row in rows if row["method"] == name} for name in (method, other)]
    name, power = ("squares", 0.5) if score == "RMSE" else ("absolute", 1.0)
    count = 1 + max(int(row["fortnight"]) for row in rows)
    sums = np.zeros((2, 2, count))  # (method, error or values, fortnight)
    for row in rows:
        if row["method"] in (method, other) and row["fold"] in folds[0] & folds[1]:
            at = (int(row["method"] == other), slice(None), int(row["fortnight"]))
            sums[at] += float(row[name]), float(row["values"])
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), DRAWS)
    weights = np.vstack([np.ones(count), draws])
    error, values = np.einsum("mef,df->emd", sums, weights)
    own, theirs = (error / values) ** power
    relative = own / theirs - 1
    low, high = np.quantile(relative[1:], (0.025, 0.975))
    return Difference(float(relative[0]), float(low), float(high))


def tables(rows: Sequence[Mapping[str, Any]], statistic: Statistic = "mean") -> str:
    """Return the tables of a statistic in a record, Markdown: each place, then times.

    Raises
    ------
    ValueError
        If the record has no row of the statistic.
    """
    rows = [row for row in rows if row["statistic"] == statistic]
    if not rows:
        raise ValueError(f"the record has no rows of the {statistic}; choose another --statistic")
    parts = []
    for place, title in PLACES.items():
        parts += [f"### {title}", ""]
        parts += [_table(rows, place, HOURS, "R2 / MAE / RMSE"), ""]
        for kind in ("hourly", "daily"):
            targets = tuple(f"{span}, {kind}" for span in SPANS)
            parts += [_table(rows, place, targets, "MAE / RMSE"), ""]
    parts += ["### Published, other stations, daily", "", _published(), "", PUBLISHED_R2, ""]
    return "\n".join([*parts, "### Seconds on one core", "", _times(rows)])


def _methods(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the methods of a record in their order."""
    return list(dict.fromkeys(row["method"] for row in rows))


def _table(rows: Sequence[Mapping[str, Any]], place: str, targets: Sequence[str], what: str) -> str:
    """Return one table; scores are pooled over folds and averaged over seeds, with their spread."""
    rows = [row for row in rows if row["place"] == place]
    lines = [f"| {what} | {' | '.join(targets)} |", "|---|" + "---:|" * len(targets)]
    for method in _methods(rows):
        cells = [_cell(rows, target, method, r2="R2" in what) for target in targets]
        lines.append(f"| {_name(rows, method)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _name(rows: Sequence[Mapping[str, Any]], method: str) -> str:
    """Return a method with its number of seeds, and its folds where others have more."""
    seeds = {row["seed"] for row in rows if row["method"] == method}
    said = f", mean of {len(seeds)} seeds" if len(seeds) > 1 else ""
    return method + said + _folds(rows, method)


def _folds(rows: Sequence[Mapping[str, Any]], method: str) -> str:
    """Return the folds of a method where others have more, as an addition to its name."""
    own = {str(row["fold"]) for row in rows if row["method"] == method}
    every = {str(row["fold"]) for row in rows}
    return f", fold {', '.join(sorted(own))} only" if own != every else ""


def _by_seed(
    rows: Sequence[Mapping[str, Any]], target: str, method: str
) -> list[tuple[float, float, float]]:
    """Return R2, MAE and RMSE of each seed, pooled over folds."""
    chosen = [row for row in rows if row["target"] == target and row["method"] == method]
    return [
        scores([row for row in chosen if row["seed"] == seed])
        for seed in dict.fromkeys(row["seed"] for row in chosen)
    ]


def _mean(rows: Sequence[Mapping[str, Any]], target: str, method: str) -> list[float]:
    """Return R2, MAE and RMSE, means over seeds."""
    return [statistics.mean(each) for each in zip(*_by_seed(rows, target, method), strict=True)]


def _cell(rows: Sequence[Mapping[str, Any]], target: str, method: str, *, r2: bool) -> str:
    """Return the scores of a method at one place."""
    by_seed, mean = _by_seed(rows, target, method), _mean(rows, target, method)
    spread = f" ± {statistics.stdev(each[2] for each in by_seed):.2f}" if len(by_seed) > 1 else ""
    head = f"{mean[0]:.3f} / " if r2 else ""
    return f"{head}{mean[1]:.2f} / {mean[2]:.2f}{spread}"


def _published() -> str:
    """Return the table of published figures."""
    lines = [f"| MAE / RMSE | {' | '.join(SPANS)} |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in PUBLISHED.items()]
    return "\n".join(lines)


def _times(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of seconds, means over runs."""
    lines = ["| | learning | all starts and stations |", "|---|---:|---:|"]
    for method in _methods(rows):
        runs = [r for r in rows if r["method"] == method and r["target"] == HOURS[0]]
        fit, predict = (
            statistics.mean(float(run[name]) for run in runs)
            for name in ("fit_seconds", "predict_seconds")
        )
        lines.append(f"| {method} | {fit:.0f} | {predict:.1f} |")
    return "\n".join(lines)
