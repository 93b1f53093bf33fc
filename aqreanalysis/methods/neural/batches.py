"""The border from Datasets to tensors: standardisation, cycles, completed windows, neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import NearbyStations, complete, nearest_others
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood, fade
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.encoder import Encoding
from aqreanalysis.methods.neural.neural_knn import CYCLES, StationSeries
from aqreanalysis.network import StationNetwork, bearing_deg
from aqreanalysis.observations import step_hours, values_of
from aqreanalysis.predictive import RootNormal

Tensors = TypeVar("Tensors", StationSeries, Encoding)

#: A cycle is learned only from a period that holds it this many times.
REPEATS = 2
#: Standard deviations beyond which a covariate tells no more.
FURTHEST = 5.0
#: Stations of a network that are measured or encoded at once: what is in between takes some MB.
STATIONS_TOGETHER = 128
HOURS_PER_YEAR = 365.25 * 24


@dataclass(frozen=True)
class Standardisation:
    """Square root, centred and scaled: what the network sees of a concentration.

    Negative values count as 0. The root makes the spread of neighbours nearly independent of the
    level, and a squared estimate is never negative.

    Parameters
    ----------
    centre, scale : float
        Mean and standard deviation of the square roots in the training period.
    """

    centre: float
    scale: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.centre) and 0 < self.scale < np.inf):
            raise ValueError(
                "a standardisation needs a finite centre and a positive scale; found "
                f"{self.centre}, {self.scale}"
            )

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Return the standardisation of training values, NaN where missing.

        Raises
        ------
        ValueError
            If there are fewer than two different values to learn from.
        """
        roots = np.sqrt(np.clip(values[np.isfinite(values)], 0, None))
        if roots.size < 2 or np.ptp(roots) == 0:  # the spread of a constant may round to 1e-17
            raise ValueError(
                "training needs at least two different values of the variable; "
                f"found {roots.size} values"
                + (f", all {float(roots[0] ** 2):g}" if roots.size else "")
            )
        return cls(float(roots.mean()), float(roots.std()))

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Return standardised square roots; NaN stays where it is."""
        return (np.sqrt(np.clip(values, 0, None)) - self.centre) / self.scale

    def distribution(self, mean: Tensor, variance: Tensor) -> RootNormal:
        """Return the distribution of a concentration of which the root is known, standardised.

        Examples
        --------
        >>> scale = Standardisation(centre=5.0, scale=2.0)
        >>> pm25 = scale.distribution(torch.tensor(0.5), torch.tensor(0.25))
        >>> float(pm25.median), round(float(pm25.standard_error), 4)
        (36.0, 12.083)
        """
        root = mean * self.scale + self.centre
        return RootNormal(root.numpy(), (variance.sqrt() * self.scale).numpy())


@dataclass(frozen=True)
class Clock:
    """Where steps lie in time, and the cycles at a place.

    Parameters
    ----------
    origin_hours : float
        Middle of the averaging period of step 0 on the absolute axis, hours since 1970 UTC.
    step_hours : float
        Length of a step.
    seasons : bool
        Whether the cycle of the year is used; a model that has seen less than two years
        would take the season for a trend.
    """

    origin_hours: float
    step_hours: float
    seasons: bool

    def cycles(self, longitude: np.ndarray, start: int, stop: int) -> Tensor:
        """Return the cyclic encodings of absolute steps, (n, stop - start, CYCLES) float32.

        Local solar time is UTC plus a day for 360 degrees, within half a day of UTC.
        """
        utc = self.origin_hours + np.arange(start, stop) * self.step_hours
        # 190 and -170 degrees are one place and have one weekday.
        east = (np.asarray(longitude)[:, None] + 180) % 360 - 180
        solar = utc[None] + east / 15
        # 1970-01-01 was a Thursday; the week's phase needs no more than to be fixed.
        periods = ((solar, 24.0), (solar, 12.0), (solar, 168.0), (solar, HOURS_PER_YEAR))
        angles = np.stack([2 * np.pi * hours / period for hours, period in periods], -1)
        encoded = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(*solar.shape, CYCLES)
        if not self.seasons:
            encoded[..., -2:] = 0
        return torch.from_numpy(encoded.astype(np.float32))


@dataclass(frozen=True)
class Samples:
    """Tensors of a network's series on an absolute time axis.

    Attributes
    ----------
    value : (station, time) float64
        Standardised, NaN where missing; padded so that every window is whole.
    first : int
        Absolute step of the first column.
    network : StationNetwork
    clock : Clock
    log_noise : (station,) float64
        Logarithm of the factor of each station's noise; 0 where none was learned.
    covariates : (station, time, 2 covariate) float32
        Standardised series of other variables, 0 where missing, then 1 where they are there.
    """

    value: Tensor
    first: int
    network: StationNetwork
    clock: Clock
    log_noise: Tensor
    covariates: Tensor

    @classmethod
    def of(
        cls,
        dataset: xr.Dataset,
        variable: str,
        *,
        standardisation: Standardisation,
        configuration: Configuration,
        seasons: bool,
        trend: np.ndarray | None = None,
        log_noise: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
    ) -> Self:
        """Return the samples of an observations Dataset.

        Parameters
        ----------
        dataset : Dataset
        variable : str
        standardisation, configuration
            Of the model.
        seasons : bool
            Whether the cycle of the year is used.
        trend : (station, time), optional
            What is taken off the standardised values.
        log_noise : (station,), optional
            Logarithm of the factor of each station's noise.
        covariates : (station, time, covariate), optional
            Standardised series of other variables, NaN where missing.
        """
        network = StationNetwork.from_dataset(dataset)
        clock, begin = clock_of(dataset, seasons=seasons)
        value = standardisation.forward(values_of(dataset, variable))
        if trend is not None:
            value = value - trend
        core, margin = configuration.core_steps, configuration.margin_steps
        left = begin % core + margin
        right = -(begin + value.shape[1]) % core + margin
        around = ((0, 0), (left, right))
        if covariates is None:
            covariates = np.zeros((*value.shape, 0))
        if log_noise is None:
            log_noise = np.zeros(network.size)
        return cls(
            torch.from_numpy(np.pad(value, around, constant_values=np.nan)),
            begin - left,
            network,
            clock,
            torch.from_numpy(log_noise),
            torch.from_numpy(np.pad(_with_masks(covariates), (*around, (0, 0)))),
        )

    def distance_km(self, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Return the distances of stations from others, (row, column) float64."""
        return torch.from_numpy(self.network.distance_km(rows[:, None], columns))

    def bearing(self, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Return the bearings from stations to others in radians, (row, column) float64."""
        longitude, latitude = self.network.longitude, self.network.latitude
        degrees = bearing_deg(
            longitude[rows, None], latitude[rows, None], longitude[columns], latitude[columns]
        )
        return torch.from_numpy(np.radians(degrees))


def _with_masks(covariates: np.ndarray) -> np.ndarray:
    """Return series (..., 2 covariate) float32: values, 0 where missing, then 1 where they are."""
    there = np.isfinite(covariates)
    within = np.clip(np.where(there, covariates, 0), -FURTHEST, FURTHEST)
    return np.concatenate([within, there], -1).astype(np.float32)


def clock_of(dataset: xr.Dataset, *, seasons: bool | None = None) -> tuple[Clock, int]:
    """Return the clock of a Dataset and the absolute step of its first label."""
    step = step_hours(dataset)
    first = float((dataset["time"].values[0] - np.datetime64(0, "ns")) / np.timedelta64(1, "h"))
    begin = int(np.floor(first / step + 1e-6))
    middle = -0.5 if dataset["time"].attrs.get("time_label") == "end" else 0.5
    if seasons is None:
        seasons = dataset.sizes["time"] * step >= REPEATS * HOURS_PER_YEAR
    return Clock(first - begin * step + middle * step, step, bool(seasons)), begin


class Window(NamedTuple):
    """One training example: hidden stations to be found from visible ones."""

    start: int  # column of the samples
    visible: np.ndarray  # rows
    hidden: np.ndarray  # rows


class Batch(NamedTuple):
    """Windows side by side, as the network takes them."""

    series: StationSeries  # whole windows
    neighbourhood: Neighbourhood
    cycles: Tensor  # (n, core, CYCLES) of the targets
    truth: Tensor  # (n, core) standardised; NaN is missing


def assemble(
    samples: Samples,
    windows: Sequence[Window],
    *,
    covariance: SpaceTimeCovariance,
    configuration: Configuration,
) -> Batch:
    """Return a batch in which no value of a hidden station is an input."""
    parts = [_part(samples, window, covariance, configuration) for window in windows]
    most = max(series.value.shape[1] for series, *_ in parts)
    series = StationSeries(
        *(_stacked(tensors, most) for tensors in zip(*(p[0] for p in parts), strict=True))
    )
    counts = torch.tensor([len(window.hidden) for window in windows])
    places = [part[1] for part in parts]
    neighbourhood = Neighbourhood(
        torch.repeat_interleave(torch.arange(len(windows)), counts),
        *(torch.cat(tensors) for tensors in zip(*places, strict=True)),
    )
    cycles = torch.cat([part[2] for part in parts])
    truth = torch.cat([part[3] for part in parts])
    return Batch(series, neighbourhood, cycles, truth)


def station_series(
    value: Tensor,
    variance: Tensor,
    distance_km: Tensor,
    cycles: Tensor,
    covariates: Tensor,
    *,
    neighbours: int,
) -> StationSeries:
    """Return one window's series with the mean and spread around each station, batch of 1."""
    nearest = nearest_others(distance_km, neighbours)
    return series_around(value, variance, value.float()[nearest], cycles, covariates)


def surroundings_of(network: StationNetwork) -> NearbyStations:
    """Return what completing the series of a network needs of it, for any number of stations."""
    return NearbyStations.of(network)


def series_around(
    value: Tensor, variance: Tensor, around: Tensor, cycles: Tensor, covariates: Tensor
) -> StationSeries:
    """Return `station_series` from the values (station, neighbour, time) of each one's others."""
    value, variance, around = value.float(), variance.float(), around.float()
    if not around.shape[1]:  # a station alone is all that it has around
        around = value[:, None]
    mean = around.mean(1)
    spread = ((around - mean[:, None]) ** 2).mean(1).sqrt()
    return StationSeries(*(t[None] for t in (value, variance, mean, spread, cycles, covariates)))


def nearest_stations(
    distance_km: Tensor, bearing: Tensor, log_noise: Tensor, neighbours: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return index, distance, bearing, fading and noise of the k nearest, (n, k) each.

    Where there are fewer than k stations, distances are padded with inf.

    Parameters
    ----------
    distance_km, bearing : (n, station) float64
    log_noise : (station,) float64
    neighbours : int
        k.
    """
    short = max(neighbours + 1 - distance_km.shape[1], 0)
    apart, index = distance_km.sort(dim=1, stable=True)
    apart = torch.nn.functional.pad(apart, (0, short), value=torch.inf)
    index = torch.nn.functional.pad(index, (0, short))[:, :neighbours]
    radius, apart = apart[:, neighbours], apart[:, :neighbours]
    direction = torch.gather(bearing, 1, index)
    return index, apart, direction, fade(apart, radius), log_noise[index]


def narrowed(tensors: Tensors, configuration: Configuration) -> Tensors:
    """Return the core steps with what their bands need on either side, of a whole window."""
    start = configuration.margin_steps - configuration.reach
    length = configuration.core_steps + 2 * configuration.reach
    return type(tensors)(*(tensor.narrow(2, start, length) for tensor in tensors))


def _part(
    samples: Samples,
    window: Window,
    covariance: SpaceTimeCovariance,
    configuration: Configuration,
) -> tuple[StationSeries, tuple[Tensor, ...], Tensor, Tensor]:
    """Return series, neighbours, cycles at the targets and truth of one window."""
    visible, hidden = torch.from_numpy(window.visible), torch.from_numpy(window.hidden)
    stop = window.start + configuration.window_steps
    pair_km = samples.distance_km(window.visible, window.visible)
    measured = samples.value[visible, window.start : stop]
    value, variance = complete(covariance, measured, NearbyStations.among(pair_km))
    longitude = samples.network.longitude
    absolute = samples.first + window.start
    cycles = samples.clock.cycles(
        longitude[window.visible], absolute, absolute + configuration.window_steps
    )
    series = station_series(
        value,
        variance,
        pair_km,
        cycles,
        samples.covariates[visible, window.start : stop],
        neighbours=configuration.neighbours,
    )
    places = nearest_stations(
        samples.distance_km(window.hidden, window.visible),
        samples.bearing(window.hidden, window.visible),
        samples.log_noise[visible],
        configuration.neighbours,
    )
    core = slice(window.start + configuration.margin_steps, stop - configuration.margin_steps)
    at_targets = samples.clock.cycles(
        longitude[window.hidden], samples.first + core.start, samples.first + core.stop
    )
    return series, places, at_targets, samples.value[hidden, core].float()


def _stacked(tensors: Sequence[Tensor], most: int) -> Tensor:
    """Return windows (1, station, ...) as one batch; stations that pad are never neighbours."""
    return torch.cat(
        [torch.cat([t, t[:, :1].expand(-1, most - t.shape[1], *t.shape[2:])], 1) for t in tensors]
    )
