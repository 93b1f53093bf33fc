"""Concentrations to the scale on which they are interpolated, and back."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from aqreanalysis.predictive import RootNormal

Transform = Literal["sqrt"]


def to_scale(values: np.ndarray, transform: Transform | None) -> np.ndarray:
    """Return values on the scale of interpolation; NaN stays.

    The square root takes negative values, which are noise of the instrument around zero, as zero.

    Examples
    --------
    >>> to_scale(np.array([-1.0, 0.0, 9.0]), "sqrt").tolist()
    [0.0, 0.0, 3.0]
    """
    return np.sqrt(np.maximum(values, 0.0)) if transform == "sqrt" else values


def on_scale(
    mean: np.ndarray,
    spread: np.ndarray,
    transform: Transform | None,
    *,
    noise: np.ndarray | float = 0.0,
    signed: bool = False,
    freedom: float = math.inf,
) -> RootNormal:
    """Return the distribution of values of which mean and spread on a scale are known.

    Without a transform the values themselves are taken as normal, so that their mean is the
    median, and the mean of the field without noise as well.

    Parameters
    ----------
    mean, spread : array
        On the scale of interpolation; they broadcast.
    transform : {None, "sqrt"}
        Scale of interpolation.
    noise : float or array
        The part of the spread that no neighbour can share.
    signed : bool
        Whether values may be negative.
    freedom : float
        Degrees of freedom of the error; infinite for a normal one.
    """
    if transform == "sqrt":
        return RootNormal(mean, spread, noise, freedom=freedom)
    values = RootNormal.from_median(mean, spread, signed=signed, freedom=freedom)
    return replace(values, noise=values.spread)


def interpolation_faults(neighbours: int, transform: str | None) -> list[str]:
    """Return what is wrong with the settings that all interpolation between neighbours has."""
    faults = []
    if transform not in (None, "sqrt"):
        faults.append(f"transform must be None or 'sqrt'; found {transform!r}")
    if neighbours < 1:
        faults.append(f"neighbours must be at least 1; found {neighbours}")
    return faults


def check_suits(transform: Transform | None, variable: str, *, never_negative: bool) -> None:
    """Refuse a transform that does not suit the variable."""
    if transform == "sqrt" and not never_negative:
        raise ValueError(
            f"transform='sqrt' needs a concentration; {variable!r} is no known pollutant. "
            "Use transform=None."
        )
