"""The series that a network takes: the predicted variable and its covariates, standardised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.observations import values_of
from aqreanalysis.predictive import RootNormal

if TYPE_CHECKING:
    from torch import Tensor

#: Endings of layers that describe another variable and measure nothing.
ABOUT_OTHERS = ("_flag", "_qc", "_uncertainty", "_origin")
#: What is skewed and not negative, like a concentration, so that its root is taken.
SKEWED = (*POLLUTANTS, "rain")
WIND = ("wind_speed", "wind_direction")
#: What becomes of them, each with its part of the direction.
WIND_COMPONENTS = {"wind_eastward": np.sin, "wind_northward": np.cos}
#: Bytes of one value of a covariate while it is standardised, measured.
COVARIATE_BYTES = 44


@dataclass(frozen=True)
class Standardisation:
    """How one series enters a network: its square root or itself, centred and scaled.

    Negative values of a root count as 0. The root of a concentration makes the spread of
    neighbours nearly independent of the level, and a squared estimate is never negative.

    Parameters
    ----------
    centre, scale : float
        Mean and standard deviation in the training period, of the roots where these are taken.
    name : str
        Of the variable.
    root : bool
        Whether the square root is taken.
    """

    centre: float
    scale: float
    name: str = field(default="", repr=False)  # a checkpoint is recognised by the repr
    root: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.centre) and 0 < self.scale < np.inf):
            raise ValueError(
                "a standardisation needs a finite centre and a positive scale; found "
                f"{self.centre}, {self.scale}"
            )

    @classmethod
    def of(cls, values: np.ndarray, name: str = "", *, root: bool = True) -> Self:
        """Return the standardisation of training values, NaN where missing.

        Raises
        ------
        ValueError
            If there are fewer than two different values to learn from.
        """
        known = _known(values, root)
        if not _varies(known):
            raise ValueError(
                f"training needs at least two different values of {name or 'the variable'}; "
                f"found {known.size} values"
                + (f", all {float(known[0] ** 2 if root else known[0]):g}" if known.size else "")
            )
        return cls(float(known.mean()), float(known.std()), name, root)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values; NaN stays where it is."""
        values = np.sqrt(np.clip(values, 0, None)) if self.root else values
        return (values - self.centre) / self.scale

    def concentration(self, root: "Tensor") -> "Tensor":
        """Return the concentration of a standardised root."""
        return (self.centre + self.scale * root).clamp_min(0) ** 2

    def distribution(
        self, mean: "Tensor", variance: "Tensor", freedom: float = math.inf
    ) -> RootNormal:
        """Return the distribution of a concentration of which the root is known, standardised.

        Examples
        --------
        >>> import torch
        >>> scale = Standardisation(centre=5.0, scale=2.0)
        >>> pm25 = scale.distribution(torch.tensor(0.5), torch.tensor(0.25))
        >>> float(pm25.median), round(float(pm25.standard_error), 4)
        (36.0, 12.083)
        """
        root = mean * self.scale + self.centre
        spread = (variance.sqrt() * self.scale).numpy()
        return RootNormal(root.numpy(), spread, freedom=freedom)


@dataclass(frozen=True)
class Scaling:
    """The channels that a network takes, the predicted variable first.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> obs = synthetic_network(hours=48, seed=0).observations
    >>> [channel.name for channel in Scaling.of(obs, "pm25", ["no2"]).channels]
    ['pm25', 'no2']
    """

    channels: tuple[Standardisation, ...]

    @classmethod
    def of(
        cls, observations: xr.Dataset, variable: str, covariates: Sequence[str] | None = None
    ) -> Self:
        """Return the scaling of training observations.

        Parameters
        ----------
        observations : Dataset
        variable : str
            The pollutant to predict.
        covariates : sequence of str, optional
            Other variables to use; all that are numbers on ``(station, time)`` by default.

        Raises
        ------
        ValueError
            If a covariate is absent, or the variable has fewer than two different values.
        """
        available = covariates_of(observations, variable)
        chosen = available if covariates is None else list(covariates)
        unknown = [name for name in chosen if name not in available]
        if unknown:
            raise ValueError(
                f"covariates must be variables on (station, time); found no {', '.join(unknown)}. "
                f"There are {', '.join(available) or 'none'}."
            )
        series = _series(observations, [variable, *chosen])
        own = Standardisation.of(series.pop(variable), variable)
        others = (
            Standardisation.of(values, name, root=name in SKEWED)
            for name, values in series.items()
            if _varies(_known(values, name in SKEWED))
        )
        return cls((own, *others))

    @classmethod
    def from_facts(cls, facts: Sequence[Mapping[str, Any]]) -> Self:
        """Return the scaling that `facts` describes."""
        return cls(tuple(Standardisation(**channel) for channel in facts))

    def facts(self) -> list[dict[str, Any]]:
        """Return plain values that describe the scaling."""
        return [asdict(channel) for channel in self.channels]

    @property
    def variable(self) -> Standardisation:
        """The channel of the predicted variable."""
        return self.channels[0]

    def forward(self, observations: xr.Dataset) -> np.ndarray:
        """Return standardised series (station, time, channel), NaN where missing or absent."""
        return _standardised(observations, self.channels)

    def covariates(self, observations: xr.Dataset) -> np.ndarray:
        """Return `forward` without the predicted variable: (station, time, covariate).

        Examples
        --------
        >>> from aqreanalysis.datasets import synthetic_network
        >>> obs = synthetic_network(hours=48, seed=0).observations
        >>> scaling = Scaling.of(obs, "pm25", ["no2"])
        >>> np.array_equal(scaling.covariates(obs), scaling.forward(obs)[..., 1:], equal_nan=True)
        True
        """
        return _standardised(observations, self.channels[1:])


def covariates_of(observations: xr.Dataset, variable: str) -> list[str]:
    """Return the variables that may help to predict another: numbers on (station, time)."""
    return [
        str(name)
        for name, values in observations.data_vars.items()
        if set(values.dims) == {STATION, TIME}
        and values.dtype.kind in "fiu"
        and name != variable
        and not str(name).endswith(ABOUT_OTHERS)
    ]


def _known(values: np.ndarray, root: bool) -> np.ndarray:
    """Return the values that are not missing, or their roots."""
    known = values[np.isfinite(values)]
    return np.sqrt(np.clip(known, 0, None)) if root else known


def _varies(known: np.ndarray) -> bool:
    """Return whether there are two different values: the spread of a constant may be 1e-17."""
    return known.size > 1 and bool(np.ptp(known) > 0)


def _standardised(observations: xr.Dataset, channels: Sequence[Standardisation]) -> np.ndarray:
    """Return standardised series (station, time, channel), NaN where missing or absent."""
    series = _series(observations, [channel.name for channel in channels])
    shape = (observations.sizes[STATION], observations.sizes[TIME], len(channels))
    standardised = np.full(shape, np.nan)
    for column, channel in enumerate(channels):
        if channel.name in series:
            standardised[..., column] = channel.forward(series[channel.name])
    return standardised


def _series(observations: xr.Dataset, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the series (station, time) that are present, by name; wind as two components.

    A direction in degrees jumps between 359 and 0, so ``wind_direction`` with ``wind_speed``
    becomes the eastward and northward components, which are continuous.
    """
    asked = dict.fromkeys(name for name in names if name in observations.data_vars)
    if set(WIND) <= set(asked) or set(WIND_COMPONENTS) & set(names):
        asked.pop("wind_direction", None)
    series = {name: values_of(observations, name) for name in asked}
    if set(WIND) <= set(observations.data_vars) and (
        set(WIND) <= set(names) or set(WIND_COMPONENTS) & set(names)
    ):
        speed, direction = (values_of(observations, name) for name in WIND)
        for name, component in WIND_COMPONENTS.items():
            series[name] = -speed * component(np.radians(direction))  # the direction is the origin
    return series
