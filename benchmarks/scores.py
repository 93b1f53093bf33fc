"""The scores that tables and records show, of the package's statistics."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import xarray as xr

from aqreanalysis.verification import metrics


@dataclass(frozen=True)
class Scores:
    """Scores of n values, in their units unless said otherwise.

    Attributes
    ----------
    count : int
        Values that are scored.
    missing : int
        Further values for which the method gives no estimate.
    rmse, mae, bias, r2, correlation, crps : float
        As of `aqreanalysis.verification.metrics`.
    mape : float
        Mean relative error where the truth is above a threshold, as a fraction.
    coverage : float
        Share of the truth within the 90 % interval of `aqreanalysis.predictive`.
    """

    count: int
    missing: int
    rmse: float
    mae: float
    bias: float
    r2: float
    correlation: float
    mape: float
    crps: float
    coverage: float


def scores_of(measures: xr.Dataset, *, mape: float = np.nan) -> Scores:
    """Return the scores in metrics of one method and one part of the values."""
    one = {name: values.item() for name, values in measures.items() if not values.ndim}
    return Scores(
        int(one["count"]), int(one["missing"]), one["rmse"], one["mae"], one["bias"], one["r2"],
        one["correlation"], mape, one["crps"], one["coverage_90"],
    )  # fmt: skip


def scores_by(statistics: xr.Dataset, by: str) -> list[tuple[str, Scores]]:
    """Return the scores of one method in each part that has values."""
    measures = metrics(statistics, by=by).isel(estimator=0)  # type: ignore[arg-type]
    parts = [(str(name), scores_of(measures.sel({by: name}))) for name in measures[by].values]
    return [(name, scores) for name, scores in parts if scores.count]


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of each score; counts add up."""
    averaged = [f.name for f in fields(Scores) if f.name not in ("count", "missing")]
    return Scores(
        sum(s.count for s in scores),
        sum(s.missing for s in scores),
        **{name: float(np.mean([getattr(s, name) for s in scores])) for name in averaged},
    )
