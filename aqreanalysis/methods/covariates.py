"""The series that a network takes: the predicted variable and its covariates, standardised."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.observations import values_of

#: Endings of layers that describe another variable and measure nothing.
ABOUT_OTHERS = ("_flag", "_qc", "_uncertainty", "_origin")
#: What is skewed and not negative, like a concentration, so that its root is taken.
SKEWED = (*POLLUTANTS, "rain")
WIND = ("wind_speed", "wind_direction")
#: Bytes of one value of a covariate while it is standardised, measured.
COVARIATE_BYTES = 44


@dataclass(frozen=True)
class Channel:
    """How one series enters: its root or itself, centred and scaled by the training period.

    Parameters
    ----------
    name : str
    root : bool
        Whether the square root is taken, of values that are not negative and skewed.
    centre, scale : float
    """

    name: str
    root: bool
    centre: float
    scale: float

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> Self | None:
        """Return the channel of training values, or None where they never change."""
        known = values[np.isfinite(values)]
        root = name in SKEWED
        known = np.sqrt(np.clip(known, 0, None)) if root else known
        if known.size < 2 or np.ptp(known) == 0:
            return None
        return cls(name, root, float(known.mean()), float(known.std()))

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values; NaN stays where it is."""
        values = np.sqrt(np.clip(values, 0, None)) if self.root else values
        return (values - self.centre) / self.scale


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

    channels: tuple[Channel, ...]

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
        channels = [Channel.of(name, values) for name, values in series.items()]
        if channels[0] is None:
            raise ValueError(
                f"at least two different values of {variable!r} are needed to learn from"
            )
        return cls(tuple(channel for channel in channels if channel is not None))

    @classmethod
    def from_facts(cls, facts: Sequence[Mapping[str, Any]]) -> Self:
        """Return the scaling that `facts` describes."""
        return cls(tuple(Channel(**channel) for channel in facts))

    def facts(self) -> list[dict[str, Any]]:
        """Return plain values that describe the scaling."""
        return [asdict(channel) for channel in self.channels]

    @property
    def variable(self) -> Channel:
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


def _standardised(observations: xr.Dataset, channels: Sequence[Channel]) -> np.ndarray:
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
    components = {"wind_eastward": np.sin, "wind_northward": np.cos}
    asked = dict.fromkeys(name for name in names if name in observations.data_vars)
    if set(WIND) <= set(asked) or set(components) & set(names):
        asked.pop("wind_direction", None)
    series = {name: values_of(observations, name) for name in asked}
    if set(WIND) <= set(observations.data_vars) and (
        set(WIND) <= set(names) or set(components) & set(names)
    ):
        speed, direction = (values_of(observations, name) for name in WIND)
        for name, component in components.items():
            series[name] = -speed * component(np.radians(direction))  # the direction is the origin
    return series
