"""``python -m benchmarks derived``: intervals of what is derived from hours, at hidden stations."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.derived import aggregate
from aqreanalysis.derived.aggregate import Period
from aqreanalysis.methods import Method, fit, predict
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.persistence import Persistence, persistence
from aqreanalysis.predictive import ErrorCorrelation, RootNormal
from benchmarks import draws
from benchmarks.measuring import learned_covariance
from benchmarks.protocols import PROTOCOLS, Split
from benchmarks.tables import markdown

#: Protocols that are run if none are named.
DEFAULT = ("p3", "p6")
PERIODS: tuple[Period, ...] = ("day", "month")
#: What is said of how hourly errors are correlated, beside what was learned: the two extremes.
EXTREMES = {
    "independent": ErrorCorrelation((0.0,), (1.0,)),
    "as one": ErrorCorrelation((1e9,), (1.0,)),
}


def table(folder: Path, protocols: Iterable[str] = DEFAULT) -> str:
    """Return the tables: scores of means and of draws, and what 90 % intervals hold, by fold."""
    head = ["", "method", "hourly errors", "means", "bias", "RMSE", "CRPS", "90 % holds", "by fold"]
    rows, of_draws = [head], [draws.HEAD]
    for protocol in protocols:
        scored: dict[tuple[str, str, str], list[np.ndarray]] = {}
        drawn: dict[tuple[str, str, str], list[draws.Drawn]] = {}
        for split in PROTOCOLS[protocol].splits(folder):
            estimates = dict(_estimates(split))
            for key, means in _of_split(split, estimates):
                scored.setdefault(key, []).append(means)
            for name, (field, learned) in estimates.items():
                for quantity, errors, each in draws.of_split(split, field, learned.scores):
                    drawn.setdefault((quantity, name, errors), []).append(each)
        rows += [
            [f"`{protocol}`, {period}", name, errors, *_row(folds)]
            for (period, name, errors), folds in sorted(scored.items())
        ]
        of_draws += [
            [f"`{protocol}`, {quantity}", name, errors, *draws.row(folds)]
            for (quantity, name, errors), folds in sorted(drawn.items())
        ]
    return f"{markdown(rows)}\n\n{markdown(of_draws)}"


def _estimates(split: Split) -> Iterator[tuple[str, tuple[xr.Dataset, Persistence]]]:
    """Yield each method's estimates at the hidden stations, and how its errors last."""
    methods: dict[str, Method] = {
        "learned covariance": learned_covariance(),
        "kriging": OrdinaryKriging(),
    }
    for name, method in methods.items():
        fit(method, split.training, split.variable, None)
        learned = persistence(method, split.training)
        assert learned is not None
        yield name, (predict(method, split.known, split.hidden).compute(), learned)


def _of_split(
    split: Split, estimates: Mapping[str, tuple[xr.Dataset, Persistence]]
) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """Yield truth, mean and standard error of means, (3, n), by period, method and errors."""
    variable = split.variable
    hours = split.observations[variable].isel({STATION: split.fold.hidden})
    truth = hours.transpose(STATION, TIME).copy(data=split.truth).to_dataset()
    true_means = {period: aggregate(truth, period) for period in PERIODS}
    for name, (estimate, learned) in estimates.items():
        field = estimate.where(truth[variable].notnull())
        for errors, correlation in {"correlated": learned.errors, **EXTREMES}.items():
            field[f"{variable}_uncertainty"].attrs |= correlation.attributes()
            for period, true in true_means.items():
                yield (period, name, errors), _paired(true, aggregate(field, period), variable)
    daily, name = aggregate(split.observations, "day"), "kriging of daily means"
    known = daily.isel({STATION: split.fold.known})
    first, last = split.training[TIME].values[[0, -1]]
    method = fit(OrdinaryKriging(), known.sel({TIME: slice(first, last)}), variable, None)
    means = predict(method, known, split.hidden)
    yield ("day", name, ""), _paired(true_means["day"], means, variable)


def _paired(truth: xr.Dataset, means: xr.Dataset, variable: str) -> np.ndarray:
    """Return truth, mean and standard error where there are both, (3, n)."""
    truth, means = xr.align(truth, means.compute(), join="inner")
    layers = truth[variable], means[variable], means[f"{variable}_uncertainty"]
    values = np.stack([layer.transpose(STATION, TIME).values.ravel() for layer in layers])
    return values[:, np.isfinite(values).all(axis=0)].astype(np.float64)


def _row(folds: list[np.ndarray]) -> list[str]:
    """Return the scores of all folds together, and the coverage of each."""
    truth, mean, error = np.concatenate(folds, axis=1)
    law = RootNormal.from_mean(mean, error)
    return [
        str(truth.size),
        f"{np.mean(mean - truth) / np.mean(truth):+.1%}",
        f"{np.sqrt(np.mean((mean - truth) ** 2)):.2f}",
        f"{law.crps(truth).mean():.2f}",
        f"{_coverage(np.stack([truth, mean, error])):.3f}",
        " ".join(f"{_coverage(fold):.2f}" for fold in folds) if len(folds) > 1 else "",
    ]


def _coverage(means: np.ndarray) -> float:
    """Return the share of the truth within the 90 % intervals."""
    truth, mean, error = means
    low, high = RootNormal.from_mean(mean, error).interval_90()
    return float(np.mean((low <= truth) & (truth <= high)))
