"""What the baselines share: the series of the stations, and sums over neighbours."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import xarray as xr
from scipy import sparse

from aqreanalysis.conventions import TIME, find_pollutant
from aqreanalysis.methods.transform import Transform, to_scale
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import step_hours, values_of

LOGGER = logging.getLogger(__name__)

#: Bytes of a pair of stations, where a method works on all distances at once.
PAIR_BYTES = 40
#: Stations that report at least once without which there is nothing between which to interpolate.
LEAST_STATIONS = 2
#: Quantiles of common values, and the multiple of their distance from the median beyond which a
#: value is absurd; values without which nothing is said of them.
COMMON, ABSURD, FEWEST = (0.01, 0.99), 5.0, 50


@dataclass(frozen=True, eq=False)
class StationSeries:
    """The stations that report at all, and their series of one variable.

    Stations come in the order of their identifiers, so that results do not depend on the order of
    the Dataset, not even where two stations are equally far from a target.

    Attributes
    ----------
    network : StationNetwork
        The n stations with at least one value.
    values : (n, t) float64
        Their values; NaN is missing.
    time : (t,) DataArray
        Time axis of the observations.
    variable : str
        Name of the variable.
    step_hours : float
        Hours between two values.
    covariates : (n, t or 1, covariate) float64, optional
        Of a background, standardised; one for all hours where none changes in time.
    """

    network: StationNetwork
    values: np.ndarray
    time: xr.DataArray
    variable: str
    step_hours: float
    covariates: np.ndarray | None = None

    @classmethod
    def from_dataset(cls, observations: xr.Dataset, variable: str) -> Self:
        """Return the series of one variable; stations without any value are left out.

        Raises
        ------
        ObservationError
            If the Dataset has no such variable, or it is not on station and time.
        ValueError
            If it holds an infinity, or has values at fewer than two stations.
        """
        values = values_of(observations, variable)
        network = StationNetwork.from_dataset(observations)
        _check_finite(values, network, observations[TIME], variable)
        reporting = ~np.isnan(values).all(axis=1)
        if reporting.sum() < LEAST_STATIONS:
            named = ", ".join(network.identifiers[reporting]) or "none"
            raise ValueError(
                f"interpolation of {variable} needs at least {LEAST_STATIONS} stations with "
                f"values; found {reporting.sum()} ({named}) of {reporting.size}. "
                "Add stations or choose a period in which they report."
            )
        if not reporting.all():
            LOGGER.info(
                "left out, without any value of %s: stations %s",
                variable,
                ", ".join(network.identifiers[~reporting]),
            )
        rows = np.flatnonzero(reporting)
        rows = rows[np.argsort(network.identifiers[rows], kind="stable")]
        return cls(
            network.part(rows),
            values[rows],
            observations[TIME],
            variable,
            step_hours(observations),
        )

    @property
    def never_negative(self) -> bool:
        """Whether the variable is a concentration, of which no estimate may be below zero."""
        return find_pollutant(self.variable) is not None

    def part(self, rows: np.ndarray, hours: np.ndarray) -> Self:
        """Return the series of some stations in some hours, which keep their order."""
        covariates = self.covariates
        if covariates is not None:
            covariates = (
                covariates[rows] if covariates.shape[1] == 1 else covariates[rows][:, hours]
            )
        return replace(
            self,
            network=self.network.part(rows),
            values=self.values[np.ix_(rows, hours)],
            time=self.time[hours],
            covariates=covariates,
        )

    def plausible(self, transform: Transform | None) -> tuple[float, float]:
        """Return the `plausible_range` on the scale of interpolation; no root is too low."""
        values = to_scale(self.values, transform)
        lowest, highest = plausible_range(values[~np.isnan(values)])
        return (lowest if transform is None else -np.inf), highest

    def to_learn_from(self, transform: Transform | None) -> Self:
        """Return the series on the scale of interpolation, without absurd values.

        One value of 9999 would bend what is learned from all hours. A value is absurd outside of
        their `plausible_range`.

        Raises
        ------
        ValueError
            If all values are the same: nothing tells how far an estimate may be off.
        """
        values = to_scale(self.values, transform)
        low, high = self.plausible(transform)
        absurd = (values < low) | (values > high)
        if absurd.any():
            station, hour = np.argwhere(absurd)[np.argmax(np.abs(self.values[absurd]))]
            LOGGER.info(
                "not learned from, as far beyond all others: %d values of %s, the farthest %g at "
                "station %s, %s",
                absurd.sum(),
                self.variable,
                self.values[station, hour],
                self.network.identifiers[station],
                np.datetime_as_string(self.time.values[hour], unit="m"),
            )
            values = np.where(absurd, np.nan, values)
        if np.isfinite(values).any() and np.nanmin(values) == np.nanmax(values):
            raise ValueError(
                f"learning needs at least two different values of {self.variable}; found "
                f"{np.isfinite(values).sum()} values, all {np.nanmax(self.values):g}. Take a "
                "longer period, or a model that was fitted to one (--model)"
            )
        series = replace(self, values=values)
        some = ~np.isnan(values).all(axis=1)
        every = np.arange(values.shape[1])
        return series if some.all() else series.part(np.flatnonzero(some), every)

    def on_scale(self, transform: Transform | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the values on the scale of interpolation, 0 where missing, and where they are."""
        values = to_scale(self.values, transform)
        return np.nan_to_num(values), ~np.isnan(values)


def plausible_range(known: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest value that are not absurd, on the scale of interpolation.

    They lie five times as far from the median as 99 % of the values on their side do: of a year of
    hours in a country, nothing is beyond but the one or two of its worst fires. Of few values,
    or such as hardly differ, nothing is said.

    Parameters
    ----------
    known : (n,) float64

    Examples
    --------
    >>> plausible_range(np.arange(101.0))
    (-195.0, 295.0)
    """
    if known.size < FEWEST:
        return -np.inf, np.inf
    # The next value inwards, so that a single absurd one is never the quantile itself.
    low = np.quantile(known, COMMON[0], method="higher")
    high = np.quantile(known, COMMON[1], method="lower")
    if not low < high:
        return -np.inf, np.inf
    middle = np.median(known)
    return float(middle - ABSURD * (middle - low)), float(middle + ABSURD * (high - middle))


def bounded(values: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return values of which none exceeds the largest, and where a lone one did, (..., time) each.

    A larger value counts as the largest where the one before or after it is larger too. Otherwise
    it is lone, as a code of 9999 is, and missing to all steps but its own.

    Examples
    --------
    >>> values, lone = bounded(np.array([3.0, 99.0, 4.0, 30.0, 40.0]), 20.0)
    >>> values.tolist(), lone.tolist()
    ([3.0, nan, 4.0, 20.0, 20.0], [False, True, False, False, False])
    """
    beyond = values > largest
    lone = beyond.copy()
    lone[..., 1:] &= ~beyond[..., :-1]
    lone[..., :-1] &= ~beyond[..., 1:]
    return np.where(lone, np.nan, np.minimum(values, largest)), lone


def tiles(count: int, hours: int, *, values: int) -> Iterator[slice]:
    """Return slices over ``count`` targets, each of about so many target-hours."""
    size = max(1, values // max(hours, 1))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def weight_matrix(index: np.ndarray, weights: np.ndarray, stations: int) -> sparse.csr_array:
    """Return the sparse matrix (n, station) of the weights (n, k) of each target's stations.

    Its product with series (station, hours) sums the stations of a target in their order, so that
    the sum does not depend on which targets are computed together.
    """
    rows = np.arange(len(index) + 1, dtype=np.int32) * index.shape[1]
    columns = index.astype(np.int32).ravel()
    return sparse.csr_array((weights.ravel(), columns, rows), shape=(len(index), stations))


def _check_finite(
    values: np.ndarray, network: StationNetwork, time: xr.DataArray, variable: str
) -> None:
    """Refuse infinities, naming the first."""
    station, hour = np.nonzero(np.isinf(values))
    if station.size:
        raise ValueError(
            f"{variable} must be finite or missing; found {station.size} infinite values, the "
            f"first at station {network.identifiers[station[0]]}, "
            f"{np.datetime_as_string(time.values[hour[0]], unit='m')}. Set them to NaN."
        )
