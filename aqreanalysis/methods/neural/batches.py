"""From Datasets to tensors: cycles, completed windows, neighbours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.covariance import SpaceTimeCovariance
from aqreanalysis.methods.kriging.gaps import (
    OWN_REACH_STEPS,
    NearbyStations,
    complete,
    nearest_others,
)
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood, fade
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.neural_knn import CYCLES, StationSeries
from aqreanalysis.methods.series import bounded
from aqreanalysis.network import Neighbours, StationNetwork, bearing_deg
from aqreanalysis.observations import step_hours, values_of

#: A cycle is learned only from a period that holds it this many times.
REPEATS = 2
#: Standard deviations at which covariates are clipped.
LARGEST_COVARIATE = 5.0
#: Stations of a network that are measured or encoded at once: what is in between takes some MB.
STATIONS_TOGETHER = 128
HOURS_PER_YEAR = 365.25 * 24


@dataclass(frozen=True)
class Clock:
    """Steps on the absolute time axis, and the cycles of day, week and year.

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
        Standardised series of other variables, 0 where missing, then 1 where they are not.
    attributes : (station, attribute) float64
        What tells places apart, in standard deviations.
    lone : (station, time) float64, optional
        Values that are used at their own step alone, where ``value`` is missing; NaN elsewhere.
    """

    value: Tensor
    first: int
    network: StationNetwork
    clock: Clock
    log_noise: Tensor
    covariates: Tensor
    attributes: Tensor
    lone: Tensor | None = None

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
        largest: float = math.inf,
        attributes: np.ndarray | None = None,
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
        largest : float
            Standardised value as which larger ones count; a lone one does at its own step alone.
        attributes : (station, attribute), optional
            What tells places apart, in standard deviations.
        """
        network = StationNetwork.from_dataset(dataset)
        clock, begin = clock_of(dataset, seasons=seasons)
        value, alone = bounded(standardisation.forward(values_of(dataset, variable)), largest)
        lone = np.where(alone, largest, np.nan)
        if trend is not None:
            value, lone = value - trend, lone - trend
        core, margin = configuration.core_steps, configuration.margin_steps
        left = begin % core + margin
        right = -(begin + value.shape[1]) % core + margin
        around = ((0, 0), (left, right))

        def padded(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.pad(values, around, constant_values=np.nan))

        if covariates is None:
            covariates = np.zeros((*value.shape, 0))
        if log_noise is None:
            log_noise = np.zeros(network.size)
        if attributes is None:
            attributes = np.zeros((network.size, 0))
        return cls(
            padded(value),
            begin - left,
            network,
            clock,
            torch.from_numpy(log_noise),
            torch.from_numpy(np.pad(_with_masks(covariates), (*around, (0, 0)))),
            torch.from_numpy(attributes),
            padded(lone) if alone.any() else None,
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
    """Return series (..., 2 covariate) float32: values, 0 where missing, then their mask."""
    known = np.isfinite(covariates)
    clipped = np.clip(np.where(known, covariates, 0), -LARGEST_COVARIATE, LARGEST_COVARIATE)
    return np.concatenate([clipped, known], -1).astype(np.float32)


def clock_of(dataset: xr.Dataset, *, seasons: bool | None = None) -> tuple[Clock, int]:
    """Return the clock of a Dataset and the absolute step of its first label."""
    step = step_hours(dataset)
    first = float((dataset["time"].values[0] - np.datetime64(0, "ns")) / np.timedelta64(1, "h"))
    begin = int(np.floor(first / step + 1e-6))
    middle = -0.5 if dataset["time"].attrs.get("time_label") == "end" else 0.5
    if seasons is None:
        seasons = dataset.sizes["time"] * step >= REPEATS * HOURS_PER_YEAR
    return Clock(first - begin * step + middle * step, step, bool(seasons)), begin


class Example(NamedTuple):
    """One training example: hidden stations of a window, to be estimated from visible ones."""

    start: int  # column of the samples
    visible: np.ndarray  # rows
    hidden: np.ndarray  # rows
    silent: bool = False  # whether nobody reports from the first core step on


class Batch(NamedTuple):
    """Examples one after another: their visible stations, and n hidden ones as targets."""

    series: StationSeries  # whole windows
    neighbourhood: Neighbourhood  # index counts the stations of the series
    cycles: Tensor  # (CYCLES, n, core) at the targets
    truth: Tensor  # (n, core) standardised; NaN is missing


def assemble(
    samples: Samples,
    examples: Sequence[Example],
    *,
    covariance: SpaceTimeCovariance,
    configuration: Configuration,
) -> Batch:
    """Return a batch in which no value of a hidden station is an input."""
    parts = [_part(samples, example, covariance, configuration) for example in examples]
    series, neighbourhoods, cycles, truth = zip(*parts, strict=True)
    return Batch(
        StationSeries(*(torch.cat(columns) for columns in zip(*series, strict=True))),
        _joined(neighbourhoods, [len(example.visible) for example in examples]),
        torch.cat(cycles).permute(2, 0, 1).contiguous(),
        torch.cat(truth),
    )


def _joined(parts: Sequence[Neighbourhood], stations: Sequence[int]) -> Neighbourhood:
    """Return the neighbourhoods of several networks over their stations one after another."""
    before = np.cumsum([0, *stations[:-1]])
    shifted = [
        replace(part, index=part.index + first) for part, first in zip(parts, before, strict=True)
    ]
    columns = zip(*(vars(part).values() for part in shifted), strict=True)
    return Neighbourhood(*map(torch.cat, columns))


def station_series(
    value: Tensor, variance: Tensor, others: Tensor, cycles: Tensor, covariates: Tensor
) -> StationSeries:
    """Return one window's series, with the mean and spread of each station's nearest others.

    Parameters
    ----------
    value, variance : (station, time)
        Completed, and the variance of the filling.
    others : (station, neighbour, time)
        Values of the nearest others; a network of one station has none.
    cycles, covariates : (station, time, ...) float32
    """
    value, variance, others = value.float(), variance.float(), others.float()
    if not others.shape[1]:
        others = value[:, None]
    mean = others.mean(1)
    spread = ((others - mean[:, None]) ** 2).mean(1).sqrt()
    return StationSeries(value, variance, mean, spread, cycles, covariates)


def neighbourhood_of(
    network: StationNetwork,
    longitude: np.ndarray,
    latitude: np.ndarray,
    log_noise: Tensor,
    *,
    neighbours: int,
    attributes: tuple[Tensor, Tensor] | None = None,
) -> Neighbourhood:
    """Return the nearest stations of targets, by their rows in the network.

    Where there are fewer than ``neighbours`` stations, distances are padded with inf.

    Parameters
    ----------
    network : StationNetwork
    longitude, latitude : (n,) float64
        Of the targets.
    log_noise : (station,) float64
    neighbours : int
    attributes : (station, attribute) and (n, attribute) float64, optional
        Those of the stations and of the targets.
    """
    nearest = network.neighbours(longitude, latitude, k=neighbours + 1)
    index = torch.from_numpy(np.maximum(nearest.index[:, :neighbours], 0))
    distance_km, fading = fading_of(nearest, neighbours)
    return neighbourhood_at(
        network, longitude, latitude, index, distance_km, fading, log_noise, attributes
    )


def fading_of(nearest: Neighbours, neighbours: int) -> tuple[Tensor, Tensor]:
    """Return distance, km, and fading (n, k) of k neighbours, of which the next one is known."""
    distance, radius = torch.from_numpy(nearest.distance_km).split([neighbours, 1], dim=1)
    return distance, fade(distance, radius[:, 0])


def neighbourhood_at(
    network: StationNetwork,
    longitude: np.ndarray,
    latitude: np.ndarray,
    index: Tensor,
    distance_km: Tensor,
    fading: Tensor,
    log_noise: Tensor,
    attributes: tuple[Tensor, Tensor] | None = None,
) -> Neighbourhood:
    """Return `neighbourhood_of` targets of which the neighbours are known, (n, k) each."""
    rows = index.numpy()
    bearing = bearing_deg(
        longitude[:, None], latitude[:, None], network.longitude[rows], network.latitude[rows]
    )
    contrast = distance_km.new_zeros(*distance_km.shape, 0)
    if attributes is not None:
        contrast = attributes[0][index] - attributes[1][:, None]
    angle = torch.from_numpy(np.radians(bearing))
    return Neighbourhood(index, distance_km, angle, fading, log_noise[index], contrast)


def _part(
    samples: Samples,
    example: Example,
    covariance: SpaceTimeCovariance,
    configuration: Configuration,
) -> tuple[StationSeries, Neighbourhood, Tensor, Tensor]:
    """Return series, neighbourhood, cycles at the targets and truth of one example."""
    start, stop = example.start, example.start + configuration.window_steps
    visible, hidden = torch.from_numpy(example.visible), torch.from_numpy(example.hidden)
    pair_km = samples.distance_km(example.visible, example.visible)
    measured = samples.value[visible, start:stop]
    if example.silent:
        measured[:, configuration.margin_steps :] = torch.nan
    value, variance = complete(covariance, measured, NearbyStations.among(pair_km))
    longitude, latitude = samples.network.longitude, samples.network.latitude
    first = samples.first
    series = station_series(
        value,
        variance,
        value[nearest_others(pair_km, configuration.neighbours)],
        samples.clock.cycles(longitude[example.visible], first + start, first + stop),
        samples.covariates[visible, start:stop],
    )
    near = neighbourhood_of(
        StationNetwork(longitude[example.visible], latitude[example.visible]),
        longitude[example.hidden],
        latitude[example.hidden],
        samples.log_noise[visible],
        neighbours=configuration.neighbours,
        attributes=(samples.attributes[visible], samples.attributes[hidden]),
    )
    core = slice(start + configuration.margin_steps, stop - configuration.margin_steps)
    cycles = samples.clock.cycles(longitude[example.hidden], first + core.start, first + core.stop)
    truth = samples.value[hidden, core].float()
    if example.silent:
        truth[:, OWN_REACH_STEPS:] = torch.nan  # there is no estimate any more
    return series, near, cycles, truth
