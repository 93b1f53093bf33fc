"""``python -m benchmarks derived``: intervals of what is derived from hours, at hidden stations."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.derived import aggregate
from aqreanalysis.derived.aggregate import Period
from aqreanalysis.geography.likeness import Learned
from aqreanalysis.methods import Method, fit, predict
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.persistence import Persistence, persistence
from aqreanalysis.predictive import ErrorCorrelation, RootNormal
from benchmarks import draws
from benchmarks.coverage import shares_inside
from benchmarks.measuring import learned_covariance, unseen
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


class Estimated(NamedTuple):
    """A method's estimates at the hidden stations, and what it learned of its errors.

    Attributes
    ----------
    field : Dataset
    lasting : Persistence
    unlike_km : tuple of float
        How far one unit of each coordinate of a place sets it apart.
    """

    field: xr.Dataset
    lasting: Persistence
    unlike_km: tuple[float, ...]


class Means(NamedTuple):
    """Means over days or months at hidden stations, (n,) each."""

    truth: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    station: np.ndarray

    @property
    def distribution(self) -> RootNormal:
        """What is said of them."""
        return RootNormal.from_mean(self.mean, self.error)

    @property
    def inside(self) -> np.ndarray:
        """Whether the truth is within the 90 % intervals, (n,)."""
        low, high = self.distribution.interval_90()
        return (low <= self.truth) & (self.truth <= high)


def table(folder: Path, protocols: Iterable[str] = DEFAULT) -> str:
    """Return the tables: scores of means and of draws, and what 90 % intervals hold, by fold."""
    head = ["", "method", "hourly errors", "means", "bias", "RMSE", "CRPS", "90 % holds", "by fold"]
    rows, of_draws = [head], [draws.HEAD]
    for protocol in protocols:
        scored: dict[tuple[str, str, str], list[Means]] = {}
        drawn: dict[tuple[str, str, str], list[draws.Drawn]] = {}
        for split in PROTOCOLS[protocol].splits(folder):
            estimates = dict(_estimates(split, unseen(PROTOCOLS[protocol])))
            for key, means in _of_split(split, estimates):
                scored.setdefault(key, []).append(means)
            for name, (field, lasting, unlike_km) in estimates.items():
                for quantity, errors, each in draws.of_split(
                    split, field, lasting.scores, unlike_km
                ):
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


def _estimates(split: Split, weights: Learned) -> Iterator[tuple[str, Estimated]]:
    """Yield each method's estimates."""
    methods: dict[str, Method] = {
        "learned covariance": learned_covariance(weights),
        "kriging": OrdinaryKriging(),
    }
    for name, method in methods.items():
        fit(method, split.training, split.variable, None)
        lasting = persistence(method, split.training)
        assert lasting is not None
        field = predict(method, split.known, split.hidden).compute()
        unlike_km = tuple(method.settings.get("geography_km", {}).values())
        yield name, Estimated(field, lasting, unlike_km)


def _of_split(
    split: Split, estimates: Mapping[str, Estimated]
) -> Iterator[tuple[tuple[str, str, str], Means]]:
    """Yield means with their truth, by period, method and errors."""
    variable = split.variable
    hours = split.observations[variable].isel({STATION: split.fold.hidden})
    truth = hours.transpose(STATION, TIME).copy(data=split.truth).to_dataset()
    true_means = {period: aggregate(truth, period) for period in PERIODS}
    for name, estimate in estimates.items():
        field = estimate.field.where(truth[variable].notnull())
        for errors, correlation in {"correlated": estimate.lasting.errors, **EXTREMES}.items():
            field[f"{variable}_uncertainty"].attrs |= correlation.attributes()
            for period, true in true_means.items():
                yield (period, name, errors), _paired(true, aggregate(field, period), variable)
    daily, name = aggregate(split.observations, "day"), "kriging of daily means"
    known = daily.isel({STATION: split.fold.known})
    first, last = split.training[TIME].values[[0, -1]]
    method = fit(OrdinaryKriging(), known.sel({TIME: slice(first, last)}), variable, None)
    means = predict(method, known, split.hidden)
    yield ("day", name, ""), _paired(true_means["day"], means, variable)


def _paired(truth: xr.Dataset, means: xr.Dataset, variable: str) -> Means:
    """Return truth and means where there are both."""
    truth, means = xr.align(truth, means.compute(), join="inner")
    layers = truth[variable], means[variable], means[f"{variable}_uncertainty"]
    values = np.stack([layer.transpose(STATION, TIME).values.ravel() for layer in layers])
    known = np.isfinite(values).all(axis=0)
    station = np.repeat(truth[STATION].values.astype(str), truth.sizes[TIME])
    true, mean, error = values[:, known].astype(np.float64)
    return Means(true, mean, error, station[known])


def _row(folds: list[Means]) -> list[str]:
    """Return the scores of all folds together, and the coverage of each."""
    of_all = Means(*map(np.concatenate, zip(*folds, strict=True)))
    truth, mean = of_all.truth, of_all.mean
    return [
        str(truth.size),
        f"{np.mean(mean - truth) / np.mean(truth):+.1%}",
        f"{np.sqrt(np.mean((mean - truth) ** 2)):.2f}",
        f"{of_all.distribution.crps(truth).mean():.2f}",
        *shares_inside([(each.inside, each.station) for each in (of_all, *folds)]),
    ]
