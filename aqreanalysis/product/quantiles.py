"""Quantiles of a field, each a layer of its own that GIS tools open like any other."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from aqreanalysis.predictive import quantile


def quantile_name(variable: str, probability: float) -> str:
    """Return the name of a quantile's layer: the digits behind the point, two at least.

    Examples
    --------
    >>> [quantile_name("pm25", probability) for probability in (0.05, 0.5, 0.975)]
    ['pm25_q05', 'pm25_q50', 'pm25_q975']
    """
    digits = np.format_float_positional(probability).split(".")[1]
    return f"{variable}_q{digits:0<2}"


def probability_of(role: str) -> float | None:
    """Return the probability that the last part of a layer's name tells, if it is a quantile's.

    Examples
    --------
    >>> probability_of("q05"), probability_of("flag")
    (0.05, None)
    """
    digits = role.removeprefix("q")
    return float(f"0.{digits}") if digits != role and digits.isdecimal() else None


def check_quantiles(probabilities: Sequence[float]) -> None:
    """Refuse what are no probabilities of quantiles.

    Raises
    ------
    ValueError
        If one is not between 0 and 1, or there twice.
    """
    if not isinstance(probabilities, Sequence) or isinstance(probabilities, str):
        raise ValueError(
            f"quantiles are several probabilities, such as (0.05, 0.95); found {probabilities!r}"
        )
    wrong = [p for p in probabilities if not (isinstance(p, (int, float)) and 0 < p < 1)]
    if wrong:
        raise ValueError(
            "quantiles are probabilities between 0 and 1, both excluded, such as (0.05, 0.95); "
            f"found {', '.join(map(repr, wrong))}"
        )
    if len(set(probabilities)) != len(probabilities):
        raise ValueError(f"each quantile once; found {tuple(probabilities)}")


def with_quantiles(field: xr.Dataset, variable: str, probabilities: Sequence[float]) -> xr.Dataset:
    """Return a field with a layer for each probability, as lazy as its estimate is.

    Parameters
    ----------
    field : Dataset
        With ``<variable>`` and ``<variable>_uncertainty``, one standard error.
    variable : str
    probabilities : sequence of float

    Returns
    -------
    Dataset
        With ``<variable>_q05`` and so on, float32, in the unit of the variable.
    """
    estimate, error = field[variable], field[f"{variable}_uncertainty"]
    return field.assign(
        {
            quantile_name(variable, probability): xr.apply_ufunc(
                partial(_values, probability),
                estimate,
                error,
                dask="parallelized",
                output_dtypes=[np.float32],
            )
            for probability in probabilities
        }
    )


def _values(probability: float, estimate: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return a quantile as float32."""
    return quantile(probability, estimate, error).astype(np.float32)
