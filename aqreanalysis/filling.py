"""Gap filling: missing hours of stations are estimated, and flagged as such."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, pollutant
from aqreanalysis.methods.kriging.gaps import NearbyStations
from aqreanalysis.methods.kriging.made_gaps import Fillings, proven_spread
from aqreanalysis.methods.neural.configuration import Schedule
from aqreanalysis.methods.neural.devices import single_thread
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.neural.saved import State
from aqreanalysis.methods.series import bounded
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import Quality, usable, valid_variable, values_of
from aqreanalysis.predictive import DEGREES_OF_FREEDOM
from aqreanalysis.product.provenance import with_layers, with_references

#: Meaning of the values of ``<variable>_origin``.
ORIGINS: Mapping[str, int] = MappingProxyType({"measured": 0, "estimated": 1, "no_estimate": 2})


def fill(
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    method: Reanalyser | None = None,
    seed: int = 0,
    progress: bool = True,
    quality: Quality = "mask",
) -> xr.Dataset:
    """Return the observations with the gaps of a variable filled; what was measured stays.

    A gap is kriged in space and time with the model's learned covariance: from the nearest
    stations at its hour, from the station's own last and next value within a day, and from the
    nearest stations at the hours of those values, by which the station is compared with them.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``. A station that never reports is estimated from the others.
    variable : str, optional
        Pollutant; pm25 if it is there, else the only one.
    method : Reanalyser, optional
        A fitted model. By default only its covariance is learned, which takes seconds; the neural
        network serves places between stations only.
    seed : int
        Of the learning.
    progress : bool
        Whether learning shows a progress bar.
    quality : {"mask", "flag", "ignore"}
        As of `aqreanalysis.reanalysis.reanalyse`: what "mask" leaves out is a gap, and estimated.

    Returns
    -------
    Dataset
        The observations with the variable complete, ``<variable>_uncertainty`` (one standard
        error, ug m-3, of what was estimated; its attribute ``degrees_of_freedom`` says how heavy
        the tails of the root are, where it is not normal) and ``<variable>_origin``: 0 measured,
        1 estimated, 2 no estimate, where no value was in range and the gap remains.

    Raises
    ------
    ObservationError
        If the observations are not valid.
    ValueError
        If fewer than three stations report, or the model knows another variable or step.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=12, hours=48, seed=0).observations
    >>> filled = fill(obs, progress=False)
    >>> int(obs.pm25.isnull().sum()) > int(filled.pm25.isnull().sum())
    True
    >>> bool((filled.pm25 == obs.pm25).where(filled.pm25_origin == 0, True).all())
    True
    """
    variable = valid_variable(observations, variable)
    observations = usable(observations, variable, quality)
    if method is None:
        quick = Schedule(updates=0)
        method = Reanalyser(schedule=quick, seed=seed, progress=progress).fit(
            observations, variable
        )
    elif not isinstance(method, Reanalyser):
        raise ValueError(
            f"method must be a fitted Reanalyser, or left out; found {method!r}. Gaps are filled "
            "by its learned covariance alone"
        )
    elif method.variable != variable:
        raise ValueError(
            f"the fitted model knows {method.variable!r}; asked for {variable!r}. "
            f"Pass variable={method.variable!r}, or fit another model."
        )
    if method.trend is not None and method.trend.background:
        raise ValueError(
            "the fitted model learned departures from a background; fill with one that learned "
            "without, or leave method out"
        )
    known = method.station_types.of(observations)[:, None], method.trend_of_altitude(observations)
    estimated = _estimated(method.state_for(observations), observations, variable, *known)
    filled = _filled(observations, variable, *estimated)
    origin = filled[f"{variable}_origin"]
    counts = ", ".join(
        f"{word.replace('_', ' ')} {int((origin == code).sum())}" for word, code in ORIGINS.items()
    )
    made = with_layers(filled, {}, f"gaps of {variable} filled by learned covariance: {counts}")
    return with_references(made, method.references)


def _estimated(
    state: State, observations: xr.Dataset, variable: str, factor: np.ndarray, trend: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return series with gaps filled, the standard error in the gaps, and degrees of freedom.

    By ``factor`` (station, 1) stations measure more than those of the usual type, and ``trend``
    (station, 1) is what altitude adds to standardised values. Series and errors are
    (station, time), NaN where there is no estimate; the error also where a value was measured.
    """
    values = values_of(observations, variable) / factor
    neighbours = NearbyStations.of(StationNetwork.from_dataset(observations))
    covariance = state.model.covariance
    roots, _ = bounded(state.standardisation.forward(values), float(state.model.largest))
    standardised = torch.from_numpy(roots - trend)
    with torch.no_grad(), single_thread():
        filled = Fillings.of(covariance, standardised, neighbours)
        spread, freedom = proven_spread(filled, covariance, standardised, neighbours)
    distribution = state.standardisation.distribution(
        torch.from_numpy(filled.mean + trend), torch.from_numpy(spread) ** 2, freedom
    )
    estimated = np.isnan(values) & filled.constrained
    return (
        factor * np.where(estimated, distribution.median, values),
        factor * np.where(estimated, distribution.standard_error, np.nan),
        freedom,
    )


def _filled(
    observations: xr.Dataset, variable: str, values: np.ndarray, error: np.ndarray, freedom: float
) -> xr.Dataset:
    """Return the observations with the filled variable, its uncertainty and its origin."""
    measured = observations[variable].transpose(STATION, TIME)
    present = measured.notnull().values
    origin = np.where(
        present,
        ORIGINS["measured"],
        np.where(np.isfinite(error), ORIGINS["estimated"], ORIGINS["no_estimate"]),
    )
    layers = {"uncertainty": f"{variable}_uncertainty", "origin": f"{variable}_origin"}
    described = pollutant(variable)
    filled = measured.copy(data=np.where(present, measured.values, values.astype(measured.dtype)))
    filled.attrs["ancillary_variables"] = " ".join(layers.values())
    tails = {} if math.isinf(freedom) else {DEGREES_OF_FREEDOM: freedom}
    return observations.assign(
        {
            variable: filled,
            layers["uncertainty"]: measured.copy(data=error.astype(np.float32)).assign_attrs(
                standard_name=f"{described.standard_name} standard_error",
                long_name=f"standard error of the estimated {described.long_name}",
                **tails,
            ),
            layers["origin"]: (
                (STATION, TIME),
                origin.astype(np.int8),
                {
                    "standard_name": "quality_flag",
                    "long_name": f"origin of the {described.long_name}",
                    "flag_values": np.array(list(ORIGINS.values()), np.int8),
                    "flag_meanings": " ".join(ORIGINS),
                },
            ),
        }
    )
