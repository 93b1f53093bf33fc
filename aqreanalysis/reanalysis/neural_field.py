"""The engine of the neural method: the network at any targets, window by window."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from aqreanalysis.model import (
    Encoding,
    Neighbourhood,
    NeuralKNN,
    StationSeries,
    complete,
    fade,
    single_thread,
)
from aqreanalysis.model.covariance import Weights
from aqreanalysis.network import bearing_deg
from aqreanalysis.samples import Samples, Standardisation, narrowed, station_series

#: Gives a trend (n, hours) at longitudes, latitudes and steps of the observations.
TrendAt = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]
#: Targets that go through the network at once. Every call has exactly this many (the last ones
#: are padded), so that matrix products have one shape and no split of the targets changes a bit.
TILE = 128
#: Windows and neighbourhoods that are kept for the next block.
KEPT_WINDOWS, KEPT_PLACES = 64, 8


class NeuralField:
    """Mean and standard error at any targets and hours, for `predict_blocks`.

    The stations' series are completed and encoded once for each window; windows lie on the
    absolute axis of the samples, so that no chunking moves them.

    Parameters
    ----------
    model : NeuralKNN
        Trained, in evaluation mode.
    standardisation : Standardisation
    samples : Samples
    heads : bool
        Whether the network is used, or the covariance head alone.
    offset : int
        Column of the samples that holds the first step of the observations.
    trend : callable, optional
        What is to be added to the standardised mean, (n, hours), at places and hours.
    """

    def __init__(
        self,
        model: NeuralKNN,
        standardisation: Standardisation,
        samples: Samples,
        *,
        heads: bool,
        offset: int,
        trend: TrendAt | None = None,
    ) -> None:
        self.model, self.standardisation, self.samples = model, standardisation, samples
        self.heads, self.offset, self.trend = heads, offset, trend
        self.value, self.variance = complete(model.covariance, samples.value, samples.distance_km)
        sill = float(model.covariance.sill())
        self.known = (self.variance < sill * (1 - 1e-9)).numpy()
        self._start_caches()

    def __call__(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error, (n, hours) float32 each."""
        shape = (longitude.size, hours.stop - hours.start)
        mean, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        core = self.model.configuration.core_steps
        margin = self.model.configuration.margin_steps
        first, last = hours.start + self.offset - margin, hours.stop + self.offset - margin
        added = np.zeros(shape) if self.trend is None else self.trend(longitude, latitude, hours)
        with torch.inference_mode(), single_thread():
            tiles = self._tiles(longitude, latitude)
            for number in range(first // core, -(-last // core)):
                inside = slice(max(first - number * core, 0), min(last - number * core, core))
                begin = number * core + inside.start - first
                columns = slice(begin, begin + inside.stop - inside.start)
                window = self._windows.get(number, partial(self._window, number))
                for rows, place in tiles:
                    count = rows.stop - rows.start
                    shift = np.zeros((TILE, core), np.float32)
                    shift[:count, inside] = added[rows, columns]
                    found = self._tile(number, window, place, torch.from_numpy(shift))
                    mean[rows, columns] = found[0][:count, inside]
                    error[rows, columns] = found[1][:count, inside]
        return mean, error

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caches behind: they hold locks, and another process fills its own."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_windows", "_places")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_caches()

    def _start_caches(self) -> None:
        """Start with nothing kept."""
        self._windows = _Kept(KEPT_WINDOWS)
        self._places = _Kept(KEPT_PLACES)

    def _window(self, number: int) -> tuple[StationSeries, Encoding | None]:
        """Return series and encoding of one window, narrowed to what its core needs."""
        configuration = self.model.configuration
        start = number * configuration.core_steps
        span = slice(start, start + configuration.window_steps)
        absolute = self.samples.first + start
        cycles = self.samples.clock.cycles(
            self.samples.network.longitude, absolute, absolute + configuration.window_steps
        )
        series = station_series(
            self.value[:, span],
            self.variance[:, span],
            self.samples.distance_km,
            cycles,
            configuration.neighbours,
        )
        if not self.heads:
            return narrowed(series, configuration), None
        encoding = self.model.encode(series)
        return narrowed(series, configuration), narrowed(encoding, configuration)

    def _tiles(self, longitude: np.ndarray, latitude: np.ndarray) -> "list[tuple[slice, _Place]]":
        """Return the targets in tiles of one size, with their neighbours and kriging weights."""
        key = (longitude.tobytes(), latitude.tobytes())
        return self._places.get(key, partial(self._make_tiles, longitude, latitude))

    def _make_tiles(
        self, longitude: np.ndarray, latitude: np.ndarray
    ) -> "list[tuple[slice, _Place]]":
        """Return new tiles; the last one is padded with its last target."""
        tiles = []
        for start in range(0, longitude.size, TILE):
            rows = slice(start, min(start + TILE, longitude.size))
            index = np.minimum(np.arange(start, start + TILE), longitude.size - 1)
            tiles.append((rows, self._place(longitude[index], latitude[index])))
        return tiles

    def _place(self, longitude: np.ndarray, latitude: np.ndarray) -> "_Place":
        """Return neighbours and weights of one tile of targets."""
        network = self.samples.network
        k = self.model.configuration.neighbours
        nearest = network.neighbours(longitude, latitude, k=k + 1)
        index = np.maximum(nearest.index[:, :k], 0)
        bearing = bearing_deg(
            longitude[:, None], latitude[:, None], network.longitude[index], network.latitude[index]
        )
        rows = torch.from_numpy(index)
        distance, radius = torch.from_numpy(nearest.distance_km).split([k, 1], dim=1)
        neighbourhood = Neighbourhood(
            torch.zeros(len(index), dtype=torch.int64),
            rows,
            distance,
            torch.from_numpy(np.radians(bearing)),
            fade(distance, radius[:, 0]),
        )
        weights = self.model.weights(neighbourhood)
        there = nearest.index[:, :k] >= 0
        return _Place(
            longitude, neighbourhood, Weights(weights.weight.float(), weights.variance), there
        )

    def _tile(
        self,
        number: int,
        window: tuple[StationSeries, Encoding | None],
        place: "_Place",
        shift: torch.Tensor,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error of one tile over the core of one window."""
        series, encoding = window
        configuration = self.model.configuration
        start = number * configuration.core_steps + configuration.margin_steps
        core = slice(start, start + configuration.core_steps)
        if encoding is None:
            outputs = self.model.krige(series, place.neighbourhood, place.weights)
        else:
            absolute = self.samples.first + start
            cycles = self.samples.clock.cycles(
                place.longitude, absolute, absolute + configuration.core_steps
            )
            outputs = self.model(series, encoding, place.neighbourhood, place.weights, cycles)
        estimate, error = self.standardisation.backward(outputs[0] + shift, outputs[1].exp())
        known = self.known[:, core][place.neighbourhood.index.numpy()]  # (n, neighbour, core)
        nothing = ~(known & place.there[:, :, None]).any(axis=1)
        return tuple(np.where(nothing, np.nan, t.numpy()) for t in (estimate, error))  # type: ignore[return-value]


class _Place(NamedTuple):
    """One tile of targets: where it is, its neighbours and their kriging weights."""

    longitude: np.ndarray
    neighbourhood: Neighbourhood
    weights: Weights
    there: np.ndarray


class _Kept:
    """The last few results by key, safe among threads; a result may be made twice, never mixed."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._results: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the result of that key, made now if it is not kept."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        result = make()
        with self._lock:
            self._results[key] = result
            if len(self._results) > self._most:
                self._results.popitem(last=False)
        return result
