"""Health: how well the model estimates stations that are left out, over the last days."""

import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.observations import values_of
from aqreanalysis.verification import (
    VerificationError,
    build_pairs,
    estimate_hidden,
    folds_of,
    metrics,
    statistics,
)

logger = logging.getLogger(__name__)

#: Parts of the stations that are left out in turn.
PARTS = 5
#: Share of measurements within their 90 % intervals below which a model needs attention.
ALARM = 0.75


@dataclass(frozen=True)
class Health:
    """Scores at stations left out in turn, of a model that is not fitted anew.

    Attributes
    ----------
    hours : int
        The last hours of the measurements, which are scored.
    values : int
        Measurements that are compared.
    rmse, mae, bias : float
        In ug m-3.
    coverage : float
        Share of the measurements within their 90 % intervals.
    alarm : float
        Coverage below which something is wrong.
    """

    hours: int
    values: int
    rmse: float
    mae: float
    bias: float
    coverage: float
    alarm: float

    @property
    def is_alarming(self) -> bool:
        """Whether fewer measurements than stated lie within their intervals."""
        return self.coverage < self.alarm

    def __str__(self) -> str:
        return (
            f"{'ALARM, ' if self.is_alarming else ''}at stations left out over {self.hours} h: "
            f"{self.coverage:.0%} within 90 % intervals (alarm below {self.alarm:.0%}), RMSE "
            f"{self.rmse:.2f}, bias {self.bias:+.2f} ug m-3, {self.values} values"
        )


def health(
    model: Reanalyser,
    observations: xr.Dataset,
    hours: int,
    *,
    background: BackgroundField | None = None,
    alarm: float = ALARM,
) -> Health | None:
    """Return the scores of a model over the last hours, None where too little reports.

    A fifth of the places is left out at a time and estimated from the others.

    Parameters
    ----------
    model : Reanalyser
        Fitted; what it learned stays.
    observations : Dataset
        Also of the hours before, which estimates use.
    hours : int
    background : DataArray, Dataset or sequence of these, optional
        The fields that the model learned with.
    alarm : float
        Coverage below which something is wrong.

    Examples
    --------
    >>> from aqreanalysis import Schedule, synthetic_network
    >>> obs = synthetic_network(hours=96, seed=1).observations
    >>> quick = Schedule(covariance_updates=2, updates=0)
    >>> model = Reanalyser(schedule=quick, progress=False).fit(obs, "pm25")
    >>> scores = health(model, obs, 24)
    >>> scores.hours, bool(0.5 < scores.coverage <= 1)
    (24, True)
    """
    variable = model.variable
    size = observations.sizes[TIME]
    hours = min(hours, size)
    scored = np.arange(size) >= size - hours
    try:
        folds = folds_of(
            observations,
            variable,
            by="station",
            count=PARTS,
            seed=0,
            buffer_km=None,
            scored=scored,
        )
    except VerificationError:  # its remedy is another number of parts
        logger.warning(
            "no health figure: it needs %d stations at different places that report in the last %d "
            "hours. Leave --health out for a smaller network",
            PARTS,
            hours,
        )
        return None
    try:
        shape = (1, observations.sizes[STATION], size)
        estimate, error, median = np.full((3, *shape), np.nan)
        freedom = np.full(shape[:2], np.inf)
        distance = np.full(shape[1], np.nan)
        for fold in folds:
            result = estimate_hidden(model, observations, variable, fold, background=background)
            estimate[0, fold.hidden], error[0, fold.hidden] = result[:2]
            median[0, fold.hidden], freedom[0, fold.hidden] = result.median, result.freedom
            distance[fold.hidden] = fold.distance_km(observations)
    except ValueError as failure:
        logger.warning("no health figure: %s", failure)
        return None
    truth = np.where(scored, values_of(observations, variable), np.nan)
    pairs = build_pairs(
        observations,
        variable,
        truth=truth,
        estimate=estimate,
        standard_error=error,
        median=median,
        freedom=freedom,
        methods=[model.name],
        stations={"distance_km": distance},
        attributes={
            "by": "station",
            "design": f"{PARTS} parts of the stations, left out in turn; nothing is fitted anew.",
            "failures": [],
            "remarks": [],
        },
    )
    scores = metrics(statistics(pairs.isel({TIME: scored}))).isel(estimator=0)
    if not int(scores["count"]):
        logger.warning("no health figure: no station reports in the last %d hours", hours)
        return None
    return Health(
        hours,
        values=int(scores["count"]),
        rmse=float(scores["rmse"]),
        mae=float(scores["mae"]),
        bias=float(scores["bias"]),
        coverage=float(scores["coverage_90"]),
        alarm=alarm,
    )
