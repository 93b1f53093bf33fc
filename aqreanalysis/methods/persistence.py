"""How long the errors of a method last, from the series of stations left out."""

import logging

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.methods.contract import BackgroundField, Method, predict
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import step_hours, values_of
from aqreanalysis.predictive import ErrorCorrelation

logger = logging.getLogger(__name__)

#: Parts of the network that are left out in turn, and stations of each, at most.
PARTS, STATIONS = 5, 64
#: Steps of time that are looked at, at most, and pairs of errors without which a lag says nothing.
STEPS, PAIRS = 8760, 200
#: Time scales of errors, in hours, beside those that do not last and those that always do.
SCALES = (1.0, 2.0, 5.0, 12.0, 30.0, 72.0, 200.0, 600.0)
#: A time scale that lasts longer than any average.
LASTING = 1e6
#: Lags at which correlations are compared, in hours.
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 36, 48, 60, 72, 96, 120, 168, 240, 336, 504, 720)
#: Weight of the condition that the shares sum up to one.
_SUM = 100.0


def error_correlation(
    method: Method, observations: xr.Dataset, background: BackgroundField | None = None
) -> ErrorCorrelation | None:
    """Return how the errors of a fitted method are correlated over time.

    A fifth of the places is left out at a time and estimated from the others. Their errors, each in
    units of its standard error, are multiplied with those of later hours, about zero, so
    that a lasting bias of a station counts; a sum of exponentials is fitted to the means.

    Parameters
    ----------
    method : Method
        Fitted; what it learned stays.
    observations : Dataset
    background : DataArray or Dataset, optional
        The fields that the method learned with.

    Returns
    -------
    ErrorCorrelation or None
        None where there are too few places or hours to tell.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> errors = error_correlation(aqr.OrdinaryKriging().fit(obs, "pm25"), obs)
    >>> bool(0.2 < errors(np.array(1.0)) < 1.0)
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
    parts = []
    for part in range(PARTS):
        left_out = np.flatnonzero(number == part)[:STATIONS]
        hidden = observations.isel({STATION: left_out}).drop_vars(list(observations.data_vars))
        known = observations.isel({STATION: np.flatnonzero(number != part)})
        field = predict(method, known, hidden, background=background).compute()
        estimate, error = (
            field[name].transpose(STATION, TIME).values
            for name in (method.variable, f"{method.variable}_uncertainty")
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            parts.append((values[left_out] - estimate) / error)
    standardised = np.concatenate(parts)
    standardised[~np.isfinite(standardised)] = np.nan
    step = step_hours(observations)
    lags, correlation = _correlations(standardised, step)
    if lags.size < 2:
        return None
    fitted = _fitted(lags * step, correlation)
    logger.debug("errors of %s: %s", method.name, fitted)
    return fitted


def _correlations(errors: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return lags in steps, and the correlation of errors (n, t) at each, about zero."""
    present = np.isfinite(errors)
    errors = np.where(present, errors, 0.0)
    steps = errors.shape[1]
    wanted = np.unique(np.round(np.array(LAGS) / step).astype(int))
    lags, products = [], []
    for lag in wanted[(wanted > 0) & (wanted < steps)]:
        pairs = int((present[:, : steps - lag] & present[:, lag:]).sum())
        if pairs >= PAIRS:
            lags.append(lag)
            products.append(float((errors[:, : steps - lag] * errors[:, lag:]).sum()) / pairs)
    variance = float((errors**2).sum()) / max(int(present.sum()), 1)
    if variance == 0:
        return np.array([], int), np.array([])
    return np.array(lags), np.array(products) / variance


def _fitted(hours: np.ndarray, correlation: np.ndarray) -> ErrorCorrelation:
    """Return the sum of exponentials that is nearest to correlations, the near ones first."""
    scales = np.array([*SCALES, LASTING])
    weight = 1 / np.sqrt(hours)
    decays = np.exp(-hours[:, None] / scales) * weight[:, None]
    design = np.column_stack([np.zeros(len(hours)), decays])
    design = np.vstack([design, np.full(design.shape[1], _SUM)])
    shares, _ = nnls(design, np.append(correlation * weight, _SUM))
    return ErrorCorrelation((0.0, *scales.tolist()), tuple((shares / shares.sum()).tolist()))
