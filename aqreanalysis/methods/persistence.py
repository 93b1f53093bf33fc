"""How long the errors of a method last, from the series of stations left out."""

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.methods.contract import BackgroundField, Method, predict
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import step_hours, values_of
from aqreanalysis.predictive import ErrorCorrelation, RootNormal, freedom_of

logger = logging.getLogger(__name__)

#: Parts of the network that are left out in turn, and stations that tell enough.
PARTS, STATIONS = 5, 300
#: Steps of time that are looked at, at most, and pairs of errors without which a lag says nothing.
STEPS, PAIRS = 8760, 200
#: Time scales of errors, in hours, beside those that do not last and those that always do.
SCALES = (1.0, 2.0, 5.0, 12.0, 30.0, 72.0, 200.0, 600.0)
#: A time scale that lasts longer than any average.
LASTING = 1e6
#: All time scales of a correlation that is learned.
TIME_SCALES_H = (0.0, *SCALES, LASTING)
#: Lags at which correlations are compared, in hours.
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 36, 48, 60, 72, 96, 120, 168, 240, 336, 504, 720)
#: Weight of the condition that the shares sum up to one.
_SUM = 100.0


class Persistence(NamedTuple):
    """How errors are correlated over time.

    Attributes
    ----------
    errors : ErrorCorrelation
        Of errors in units of the standard error, by their products: what the error of a mean is.
    scores : ErrorCorrelation
        Of the normal scores of the measurements in their predictive distributions, by their
        absolute differences: most hours differ little from the next, and few much, so that by
        products series would jump too often, and their maxima be too high.
    scored : DataArray
        The normal scores, ``(station, time)``.
    """

    errors: ErrorCorrelation
    scores: ErrorCorrelation
    scored: xr.DataArray


def persistence(
    method: Method, observations: xr.Dataset, background: BackgroundField | None = None
) -> Persistence | None:
    """Return how the errors of a fitted method, and their normal scores, are correlated over time.

    A fifth of the places is left out at a time and estimated from the others, until all were or
    some three hundred. Their errors, each in units of its standard error, are multiplied with
    those of later hours, about zero, so that a lasting bias of a station counts; a sum of
    exponentials is fitted to the means. So it is to what the differences of scores tell.

    Parameters
    ----------
    method : Method
        Fitted; what it learned stays.
    observations : Dataset
    background : DataArray or Dataset, optional
        The fields that the method learned with.

    Returns
    -------
    Persistence or None
        None where there are too few places or hours to tell.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> learned = persistence(aqr.OrdinaryKriging().fit(obs, "pm25"), obs)
    >>> bool(0.2 < learned.scores(np.array(1.0)) < 1.0)
    True
    """
    observations = observations.isel({TIME: slice(-STEPS, None)})
    values = values_of(observations, method.variable)
    reporting = np.flatnonzero(np.isfinite(values).any(axis=1))
    names = StationNetwork.from_dataset(observations).identifiers[reporting]
    reporting = reporting[np.argsort(names, kind="stable")]  # whatever the order of the Dataset
    observations, values = observations.isel({STATION: reporting}), values[reporting]
    network = StationNetwork.from_dataset(observations)
    if network.colocated_groups().max() + 1 < 2 * PARTS:
        return None
    number = network.folds(PARTS, seed=0)
    errors, scores, stations = [], [], []
    for part in range(min(PARTS, -(-PARTS * STATIONS // number.size))):
        left_out = np.flatnonzero(number == part)[:STATIONS]
        hidden = observations.isel({STATION: left_out}).drop_vars(list(observations.data_vars))
        known = observations.isel({STATION: np.flatnonzero(number != part)})
        field = predict(method, known, hidden, background=background).compute()
        layers = (field[name] for name in (method.variable, f"{method.variable}_uncertainty"))
        estimate, error = (layer.transpose(STATION, TIME).values for layer in layers)
        law = RootNormal.from_median(estimate, error, freedom=freedom_of(method.settings))
        with np.errstate(divide="ignore", invalid="ignore"):
            errors.append((values[left_out] - estimate) / error)
        scores.append(law.scores(values[left_out]))
        stations.append(network.identifiers[left_out])
    standardised, scored = np.concatenate(errors), np.concatenate(scores)
    unknown = ~np.isfinite(standardised)
    standardised[unknown] = scored[unknown] = np.nan
    step = step_hours(observations)
    lags, of_errors = _by_lag(standardised, step, _correlation)
    if lags.size < 2:
        return None
    names = np.concatenate(stations)
    axes = {STATION: names, TIME: observations[TIME].values}
    learned = Persistence(
        fitted_correlation(lags * step, of_errors),
        fitted_correlation(lags * step, _by_lag(scored, step, _correlation_of_differences)[1]),
        xr.DataArray(scored, axes, (STATION, TIME)),
    )
    logger.debug("errors of %s: %s, scores %s", method.name, learned.errors, learned.scores)
    return learned


def can_tell(observations: xr.Dataset, variable: str) -> bool:
    """Return whether there are places and hours enough for `persistence`, whatever the method.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> can_tell(obs, "pm25"), can_tell(obs.isel(station=slice(9)), "pm25")
    (True, False)
    """
    observations = observations.isel({TIME: slice(-STEPS, None)})
    values = values_of(observations, variable)
    reporting = np.isfinite(values).any(axis=1)
    if not reporting.any():
        return False
    network = StationNetwork.from_dataset(observations.isel({STATION: reporting}))
    if network.colocated_groups().max() + 1 < 2 * PARTS:
        return False
    # As if every value that is present were an error.
    present = np.where(np.isfinite(values), 1.0, np.nan)
    lags, _ = _by_lag(present, step_hours(observations), _correlation)
    return bool(lags.size >= 2)


def _by_lag(
    errors: np.ndarray, step: float, correlation: Callable[[np.ndarray, int], float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return lags in steps, and the correlation of errors (n, t) at each."""
    steps = errors.shape[1]
    present = np.isfinite(errors)
    wanted = np.unique(np.round(np.array(LAGS) / step).astype(int))
    wanted = wanted[(wanted > 0) & (wanted < steps)]
    pairs = np.array([(present[:, lag:] & present[:, :-lag]).sum() for lag in wanted])
    lags = wanted[pairs >= PAIRS] if np.nansum(errors**2) > 0 else wanted[:0]
    return lags, np.array([correlation(errors, lag) for lag in lags])


def _correlation(errors: np.ndarray, lag: int) -> float:
    """Return the correlation of errors some steps apart, about zero."""
    return float(np.nanmean(errors[:, lag:] * errors[:, :-lag]) / np.nanmean(errors**2))


def _correlation_of_differences(errors: np.ndarray, lag: int) -> float:
    """Return the correlation that normal errors have of which the differences are so large.

    Their mean absolute difference is ``2 sqrt((1 - correlation) / pi)`` standard deviations.
    """
    deviation = np.sqrt(np.pi / 2) * np.nanmean(np.abs(errors))
    difference = np.nanmean(np.abs(errors[:, lag:] - errors[:, :-lag])) / deviation
    return float(1 - np.pi * difference**2 / 4)


def fitted_correlation(hours: np.ndarray, correlation: np.ndarray) -> ErrorCorrelation:
    """Return the sum of exponentials that is nearest to correlations, the near ones first."""
    scales = np.array([*SCALES, LASTING])
    weight = 1 / np.sqrt(hours)
    decays = np.exp(-hours[:, None] / scales) * weight[:, None]
    design = np.column_stack([np.zeros(len(hours)), decays])
    design = np.vstack([design, np.full(design.shape[1], _SUM)])
    shares, _ = nnls(design, np.append(correlation * weight, _SUM))
    return ErrorCorrelation(TIME_SCALES_H, tuple((shares / shares.sum()).tolist()))
