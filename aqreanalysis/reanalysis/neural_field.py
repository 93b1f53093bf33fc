"""The engine of the neural method: the network at any targets, window by window."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from aqreanalysis.blocks import ROWS_TOGETHER
from aqreanalysis.grid import Grid
from aqreanalysis.model import (
    Configuration,
    Neighbourhood,
    NeuralKNN,
    StationTables,
    TargetMatrices,
    complete,
    estimate,
    fade,
    single_thread,
    station_tables,
    target_matrices,
)
from aqreanalysis.network import bearing_deg
from aqreanalysis.reanalysis.kept import Kept
from aqreanalysis.samples import (
    STATIONS_TOGETHER,
    Clock,
    Samples,
    Standardisation,
    narrowed,
    series_around,
    surroundings_of,
)

#: Gives a trend (n, hours) at longitudes, latitudes and steps of the observations.
TrendAt = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]
#: Targets that go through the network at once. Every call has exactly this many (the last ones
#: are padded), so that matrix products have one shape and no split of the targets changes a bit.
TILE = 128
#: Rows and columns of a tile of a grid. Tiles lie at multiples of these, whatever block is asked
#: for, so that a tile always knows the same stations: those near to it, however many there are.
TILE_ROWS, TILE_COLUMNS = ROWS_TOGETHER, 16
#: Stations of a tile are padded to a multiple of this, so that few shapes are met.
STATIONS_STEP = 8
#: Bytes of windows and of places that are kept for the next block.
KEPT_WINDOW_BYTES, KEPT_PLACE_BYTES = 2**28, 2**29
#: Turns longitudes into what the cycles of step 0 are there.
_NOON = Clock(0.0, 1.0, seasons=True)


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
        self.grid_positions = None if grid is None else np.stack(grid.longitude_latitude())
        around = surroundings_of(samples.network)
        with single_thread():
            self.value, self.variance = complete(model.covariance, samples.value, around)
        nearest = samples.network.nearest_others(k=model.configuration.neighbours)
        self.nearest = torch.from_numpy(nearest.index)
        sill = float(model.covariance.sill())
        self.known = self.variance < sill * (1 - 1e-9)
        self._start_caches()

    def __call__(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error, (n, hours) float32 each."""
        added = self._trend(longitude, latitude, hours)
        with torch.inference_mode(), single_thread():
            return self._filled(list(self._tiles(longitude, latitude)), hours, added)

    def over(self, rows: slice, columns: slice, hours: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error of cells of the grid, (n, hours) float32 each.

        A cell is estimated with the whole tile of the grid that it lies in, from the stations
        that are neighbours of any cell of the tile.
        """
        positions = self.grid_positions
        if positions is None:
            raise ValueError("this field knows no grid; give grid= when it is made")
        longitude, latitude = positions[:, rows, columns].reshape(2, -1)
        added = self._trend(longitude, latitude, hours)
        with torch.inference_mode(), single_thread():
            return self._filled(list(self._grid_tiles(positions, rows, columns)), hours, added)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caches behind: they hold locks, and another process fills its own."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_windows", "_places")}

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
        self._windows: Kept[_Window] = Kept(KEPT_WINDOW_BYTES)
        self._places: Kept[_Place] = Kept(KEPT_PLACE_BYTES)

    def _trend(
        self, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> np.ndarray | None:
        """Return what is added to the mean, (n, hours), if there is a trend."""
        return None if self.trend is None else self.trend(longitude, latitude, hours)

    def _filled(
        self, tiles: "list[_Tile]", hours: slice, added: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error of the targets of tiles, (n, hours) float32 each."""
        shape = (sum(tile.given.size for tile in tiles), hours.stop - hours.start)
        mean, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        core = self.model.configuration.core_steps
        margin = self.model.configuration.margin_steps
        first, last = hours.start + self.offset - margin, hours.stop + self.offset - margin
        for number in range(first // core, -(-last // core)):
            inside = slice(max(first - number * core, 0), min(last - number * core, core))
            begin = number * core + inside.start - first
            columns = slice(begin, begin + inside.stop - inside.start)
            window = self._windows.get(number, partial(self._window, number))
            for tile in tiles:
                shift = None
                if added is not None:
                    shift = torch.zeros(TILE, core)
                    shift[tile.taken, inside] = torch.from_numpy(
                        added[tile.given, columns].astype(np.float32)
                    )
                place = self._places.get(tile.key, tile.make)
                for to, found in zip(
                    (mean, error), self._estimate(window, place, shift), strict=True
                ):
                    to[tile.given, columns] = found[tile.taken, inside]
        return mean, error

    def _window(self, number: int) -> "_Window":
        """Return what one window tells of the stations and steps of its core."""
        configuration = self.model.configuration
        start = number * configuration.core_steps
        span = slice(start, start + configuration.window_steps)
        core = slice(
            start + configuration.margin_steps,
            start + configuration.margin_steps + configuration.core_steps,
        )
        size = self.samples.network.size
        # Even parts: one of a few stations would take another way through a matrix product.
        parts = np.array_split(np.arange(size), -(-size // STATIONS_TOGETHER))
        value = self.value[:, span].float()
        tables = zip(*(self._tables(rows, span, value) for rows in parts), strict=True)
        clock = self.samples.clock
        absolute = (self.samples.first + core.start, self.samples.first + core.stop)
        known = self.known[:, core]
        return _Window(
            StationTables(*(torch.cat(of_parts, 1) for of_parts in tables)),
            self.model.cyclic(clock.cycles(np.zeros(1), *absolute)[0]),
            None if bool(known.all()) else known.float(),
        )

    def _tables(self, rows: np.ndarray, span: slice, value: torch.Tensor) -> StationTables:
        """Return what some stations tell in one window, of which all values are given."""
        samples, configuration = self.samples, self.model.configuration
        steps = (samples.first + span.start, samples.first + span.stop)
        series = series_around(
            value[rows],
            self.variance[rows, span],
            value[self.nearest[rows]],
            samples.clock.cycles(samples.network.longitude[rows], *steps),
            samples.covariates[rows, span],
        )
        encoding = self.model.encode(series) if self.heads else None
        narrow = None if encoding is None else narrowed(encoding, configuration)
        return station_tables(self.model, narrowed(series, configuration), narrow)

    def _tiles(self, longitude: np.ndarray, latitude: np.ndarray) -> "Iterator[_Tile]":
        """Return targets in their order in tiles of one size; the last target pads the last."""
        for start in range(0, longitude.size, TILE):
            given = np.arange(start, min(start + TILE, longitude.size))
            padded = np.minimum(np.arange(start, start + TILE), longitude.size - 1)
            places = (longitude[padded], latitude[padded])
            key = (places[0].tobytes(), places[1].tobytes())
            yield _Tile(
                given, np.arange(given.size), key, partial(self._place, *places, near=False)
            )

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
                make = partial(self._grid_place, positions, top, left)
                yield _Tile(given.ravel(), taken.ravel(), (top, left), make)

    def _grid_place(self, positions: np.ndarray, top: int, left: int) -> "_Place":
        """Return one tile of the grid; its last rows and columns pad it at the grid's ends."""
        row = np.minimum(np.arange(top, top + TILE_ROWS), positions.shape[1] - 1)
        column = np.minimum(np.arange(left, left + TILE_COLUMNS), positions.shape[2] - 1)
        return self._place(*positions[:, row[:, None], column].reshape(2, TILE), near=True)

    def _place(self, longitude: np.ndarray, latitude: np.ndarray, *, near: bool) -> "_Place":
        """Return neighbours and weights of one tile, over the near stations or over all."""
        network, model = self.samples.network, self.model
        k = model.configuration.neighbours
        nearest = network.neighbours(longitude, latitude, k=k + 1)
        index = np.maximum(nearest.index[:, :k], 0)
        bearing = bearing_deg(
            longitude[:, None], latitude[:, None], network.longitude[index], network.latitude[index]
        )
        distance, radius = torch.from_numpy(nearest.distance_km).split([k, 1], dim=1)
        stations, local = np.arange(network.size), index
        if near:
            stations, local = np.unique(index, return_inverse=True)
            # Those that pad have no weight.
            stations = np.pad(stations, (0, -stations.size % STATIONS_STEP), mode="edge")
        neighbourhood = Neighbourhood(
            torch.zeros(len(index), dtype=torch.int64),
            torch.from_numpy(local.reshape(index.shape)),
            distance,
            torch.from_numpy(np.radians(bearing)),
            fade(distance, radius[:, 0]),
            self.samples.log_noise[torch.from_numpy(index)],
        )
        matrices = target_matrices(
            model,
            neighbourhood,
            model.weights(neighbourhood),
            stations=stations.size,
            heads=self.heads,
        )
        there = neighbourhood.scatter((neighbourhood.fading >= 0).float(), stations.size)
        turn = _NOON.cycles(longitude, 0, 1)[:, 0]
        return _Place(torch.from_numpy(stations) if near else None, matrices, there, turn)

    def _estimate(
        self, window: "_Window", place: "_Place", shift: torch.Tensor | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard error of one tile over the core of one window."""
        stations, tables = place.stations, window.tables
        if stations is not None:
            tables = tables.of(stations)
        cycles = _turned(window.cycles, place.turn) if self.heads else None
        mean, variance = estimate(self.model, tables, place.matrices, cycles)
        if shift is not None:
            mean = mean + shift
        mean, error = self.standardisation.backward(mean, variance)
        if window.known is not None:
            known = window.known if stations is None else window.known[stations]
            nothing = place.there @ known == 0
            mean, error = (t.masked_fill_(nothing, torch.nan) for t in (mean, error))
        return mean.numpy(), error.numpy()


def kept_bytes(
    configuration: Configuration, cells: int, steps: int, stations: int, *, known: int
) -> int:
    """Return about how many bytes a field keeps for the next block.

    The last window and the last tile are kept whatever their size; a tile knows so many stations.
    """
    bands, heads = len(configuration.bands) + 1, configuration.heads
    matrices = bands + 3 + heads
    rows = bands + 5 + 2 * heads + configuration.context
    place = TILE * matrices * known * 4
    window = configuration.core_steps * stations * rows * 4
    places = -(-cells // TILE) * place
    windows = (2 + steps / configuration.core_steps) * window
    return int(
        max(min(places, KEPT_PLACE_BYTES), place) + max(min(windows, KEPT_WINDOW_BYTES), window)
    )


class _Window(NamedTuple):
    """What one window tells, whatever the target."""

    tables: StationTables
    cycles: torch.Tensor  # (core, CYCLES) at longitude 0
    known: torch.Tensor | None  # (station, core): 1 where anything is known; None is everywhere

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(table.nbytes for table in self.tables)


class _Place(NamedTuple):
    """One tile of targets, whatever the hour."""

    stations: torch.Tensor | None  # rows of the network; None is all
    matrices: TargetMatrices
    there: torch.Tensor  # (n, station): 1 at neighbours
    turn: torch.Tensor  # (n, CYCLES): what longitude adds to the phase of the cycles

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices."""
        return self.matrices.weight.nbytes + self.there.nbytes


class _Tile(NamedTuple):
    """Which targets of a tile are asked for, and how to make its place."""

    given: np.ndarray  # rows of the answer
    taken: np.ndarray  # rows of the tile
    key: Any
    make: Callable[[], _Place]


def _turned(cycles: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Return the cycles at places, (CYCLES, n, core): sines and cosines of sums of angles."""
    sine, cosine = cycles.T[0::2, None], cycles.T[1::2, None]  # (period, 1, core)
    sine_turn, cosine_turn = turn.T[0::2, :, None], turn.T[1::2, :, None]  # (period, n, 1)
    turned = [
        sine * cosine_turn + cosine * sine_turn,
        cosine * cosine_turn - sine * sine_turn,
    ]
    return torch.stack(turned, 1).flatten(0, 1)
