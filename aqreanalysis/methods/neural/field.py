"""The engine of the neural method: the network at any targets, window by window."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from aqreanalysis.fields.blocks import BLOCK_STEPS
from aqreanalysis.fields.cache import Kept
from aqreanalysis.fields.output import Answers
from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.batches import Samples, Standardisation
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.devices import best_device, moved
from aqreanalysis.methods.neural.mixing import estimate
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.methods.neural.targets import TILE, TILE_COLUMNS, TILE_ROWS, Place, Places
from aqreanalysis.methods.neural.threads import single_thread
from aqreanalysis.methods.neural.windows import Window, Windows, joined
from aqreanalysis.predictive import RootNormal

#: Gives a trend (n, hours) at longitudes, latitudes and steps of the observations.
TrendAt = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]
#: Windows that are mixed at once at a tile: few large operators, beside which a second thread runs.
WINDOWS_TOGETHER = 6
#: Bytes of places that are kept for the next block. Of windows those of one time are: blocks come
#: in the order of time, and more hours need no more memory.
KEPT_PLACE_BYTES = 2**29


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
    grid : Grid, optional
        The grid on which `over` estimates.
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
        grid: Grid | None = None,
    ) -> None:
        self.model, self.standardisation, self.samples = model, standardisation, samples
        self.heads, self.offset, self.trend = heads, offset, trend
        self._before = offset - model.configuration.margin_steps  # steps before the first core
        self.grid_positions = None if grid is None else np.stack(grid.longitude_latitude())
        self.windows = Windows(model, samples, heads=heads)
        self.places = Places(model, samples.network, samples.log_noise, heads)
        self._start_caches()

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32."""
        added = self._trend(longitude, latitude, hours)
        tiles = list(self._tiles(longitude, latitude))
        with torch.inference_mode(), single_thread():
            return self._filled(tiles, hours, self.prepared(hours), added)

    def prepared(self, hours: slice) -> "Prepared":
        """Return what the stations tell of hours, for `over` of any cells."""
        core, first = self.model.configuration.core_steps, hours.start + self._before
        numbers = range(first // core, -(-(hours.stop + self._before) // core))
        with torch.inference_mode(), single_thread():
            return Prepared(
                numbers.start * core - first,
                joined([self._kept_windows.get(n, partial(self.windows, n)) for n in numbers]),
            )

    def over(self, rows: slice, columns: slice, hours: slice, prepared: "Prepared") -> RootNormal:
        """Return the distribution at cells of the grid, (n, hours) float32.

        A cell is estimated with the whole tile of the grid that it lies in, from the stations
        that are neighbours of any cell of the tile.
        """
        positions = self.grid_positions
        if positions is None:
            raise ValueError("this field knows no grid; give grid= when it is made")
        longitude, latitude = positions[:, rows, columns].reshape(2, -1)
        added = self._trend(longitude, latitude, hours)
        tiles = list(self._grid_tiles(positions, rows, columns))
        with torch.inference_mode(), single_thread():
            return self._filled(tiles, hours, prepared, added)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caches behind: another process fills its own, where it has its device."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_caches()

    def __dask_tokenize__(self) -> Any:
        """Return what tells this field from others, the same in every process."""
        from dask.base import normalize_token

        samples = self.samples
        told = (
            self.model.configuration,
            {name: tensor.numpy() for name, tensor in self.model.state_dict().items()},
            self.standardisation,
            (samples.value.numpy(), samples.covariates.numpy(), samples.log_noise.numpy()),
            (samples.first, samples.network, samples.clock),
            (self.heads, self.offset, self.trend, self.grid_positions),
        )
        return normalize_token(told)  # dask itself writes arrays out in words, shortened

    def _start_caches(self) -> None:
        """Start with nothing kept."""
        core = self.model.configuration.core_steps
        self._kept_windows: Kept[Window] = Kept(0, fewest=2 + BLOCK_STEPS // core)
        self._kept_places: Kept[Place] = Kept(KEPT_PLACE_BYTES)
        self._kept_model: NeuralKNN | None = None

    def _mixing(self) -> NeuralKNN:
        """Return the model where targets are mixed; windows and systems stay with the processor."""
        if self._kept_model is None:
            device = best_device()
            self._kept_model = (
                self.model if device.type == "cpu" else deepcopy(self.model).to(device)
            )
        return self._kept_model

    def _trend(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> np.ndarray | None:
        """Return what is added to the mean, (n, hours), if there is a trend."""
        return None if self.trend is None else self.trend(longitude, latitude, hours)

    def _filled(
        self, tiles: "list[_Tile]", hours: slice, prepared: "Prepared", added: np.ndarray | None
    ) -> RootNormal:
        """Return the distribution at the targets of tiles, (n, hours) float32."""
        count, device = hours.stop - hours.start, best_device()
        answers = Answers(sum(tile.given.size for tile in tiles), count)
        steps = len(prepared.window.cycles)
        together = WINDOWS_TOGETHER * self.model.configuration.core_steps
        for start in range(0, steps, together):
            length = min(together, steps - start)
            begin = prepared.begin + start
            inside = slice(max(-begin, 0), min(count - begin, length))
            columns = slice(begin + inside.start, begin + inside.stop)
            window = moved(prepared.window.part(start, length), device)
            for tile in tiles:
                shift = None
                if added is not None:
                    shift = torch.zeros(TILE, length)
                    shift[tile.taken, inside] = torch.from_numpy(
                        added[tile.given, columns].astype(np.float32)
                    )
                place = self._kept_places.get(tile.key, partial(_made, tile, device))
                both = self._estimate(window, place, moved(shift, device))
                answers.add(both, tile.given, columns, tile.taken, inside)
        return RootNormal(*answers.all())

    def _tiles(self, longitude: np.ndarray, latitude: np.ndarray) -> "Iterator[_Tile]":
        """Return targets in their order in tiles of one size; the last target pads the last."""
        for start in range(0, longitude.size, TILE):
            given = np.arange(start, min(start + TILE, longitude.size))
            padded = np.minimum(np.arange(start, start + TILE), longitude.size - 1)
            places = (longitude[padded], latitude[padded])
            key = (places[0].tobytes(), places[1].tobytes())
            make = partial(self.places.of_targets, *places)
            yield _Tile(given, np.arange(given.size), key, make)

    def _grid_tiles(self, positions: np.ndarray, rows: slice, columns: slice) -> "Iterator[_Tile]":
        """Return the tiles of the grid that hold cells of these rows and columns."""
        width = columns.stop - columns.start
        for top in range(rows.start // TILE_ROWS * TILE_ROWS, rows.stop, TILE_ROWS):
            row = np.arange(max(top, rows.start), min(top + TILE_ROWS, rows.stop))
            for left in range(
                columns.start // TILE_COLUMNS * TILE_COLUMNS, columns.stop, TILE_COLUMNS
            ):
                column = np.arange(max(left, columns.start), min(left + TILE_COLUMNS, columns.stop))
                given = (row - rows.start)[:, None] * width + column - columns.start
                taken = (row - top)[:, None] * TILE_COLUMNS + column - left
                make = partial(self.places.of_cells, positions, top, left)
                yield _Tile(given.ravel(), taken.ravel(), (top, left), make)

    def _estimate(
        self, window: Window, place: Place, shift: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and spread of the root at one tile over the steps of windows."""
        stations, tables = place.stations, window.tables
        if stations is not None:
            tables = tables.of(stations)
        cycles = _turned(window.cycles, place.turn) if self.heads else None
        mean, variance = estimate(self._mixing(), tables, place.matrices, cycles)
        if shift is not None:
            mean = mean + shift
        scale, centre = self.standardisation.scale, self.standardisation.centre
        root, spread = mean * scale + centre, variance.sqrt() * scale
        if window.known is not None:
            known = window.known if stations is None else window.known[stations]
            nothing = place.there @ known == 0
            root, spread = (t.masked_fill_(nothing, torch.nan) for t in (root, spread))
        return root, spread


def places_bytes(configuration: Configuration, cells: int, *, known: int) -> int:
    """Return about how many bytes a field keeps for the next block, where a tile knows stations.

    The last tile is kept whatever its size.
    """
    matrices = len(configuration.bands) + 4 + configuration.heads
    tile = TILE * matrices * known * 4
    return max(min(-(-cells // TILE) * tile, KEPT_PLACE_BYTES), tile)


def window_bytes(configuration: Configuration, stations: int) -> int:
    """Return how many bytes the tables of one window take."""
    rows = len(configuration.bands) + 6 + 2 * configuration.heads + configuration.context
    return configuration.core_steps * stations * rows * 4


class Prepared(NamedTuple):
    """What the stations tell of the windows in which some hours lie."""

    begin: int  # first step of the windows, counted from the first hour
    window: Window


class _Tile(NamedTuple):
    """Which targets of a tile are asked for, and how to make its place."""

    given: np.ndarray  # rows of the answer
    taken: np.ndarray  # rows of the tile
    key: Any
    make: Callable[[], Place]


def _made(tile: _Tile, device: torch.device) -> Place:
    """Return the place of a tile on a device."""
    return moved(tile.make(), device)


def _turned(cycles: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Return the cycles at places, (CYCLES, n, core): sines and cosines of sums of angles."""
    sine, cosine = cycles.T[0::2, None], cycles.T[1::2, None]  # (period, 1, core)
    sine_turn, cosine_turn = turn.T[0::2, :, None], turn.T[1::2, :, None]  # (period, n, 1)
    turned = [
        sine * cosine_turn + cosine * sine_turn,
        cosine * cosine_turn - sine * sine_turn,
    ]
    return torch.stack(turned, 1).flatten(0, 1)
