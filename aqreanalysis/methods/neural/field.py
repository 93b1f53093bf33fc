"""The engine of the neural method: series are encoded window by window, then tiles of targets."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from aqreanalysis.fields.blocks import BLOCK_STEPS
from aqreanalysis.fields.cache import Cache
from aqreanalysis.fields.memory import workers
from aqreanalysis.fields.output import OutputBuffer
from aqreanalysis.grid import Grid
from aqreanalysis.methods.covariates import Standardisation
from aqreanalysis.methods.kriging.gaps import NearbyStations, complete
from aqreanalysis.methods.neural.batches import (
    STATIONS_TOGETHER,
    Samples,
    station_series,
)
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.devices import best_device, moved, single_thread
from aqreanalysis.methods.neural.neural_knn import NeuralKNN, StationTables
from aqreanalysis.methods.neural.targets import (
    TILE,
    TILE_COLUMNS,
    TILE_ROWS,
    TILES_TOGETHER,
    AttributesAt,
    Geometries,
    TargetGeometry,
)
from aqreanalysis.predictive import RootNormal

#: Gives a trend (n, hours) at longitudes, latitudes and steps of the observations.
TrendAt = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]
#: Values that are estimated at once: few large operators, beside which a second thread runs.
VALUES_TOGETHER = 110_592
#: Windows that are encoded side by side: blocks wait for them.
WINDOWS_TOGETHER = 2
#: Bytes of target geometry in the cache. Of encoded windows those of one time are: blocks come in
#: the order of time, and more hours need no more memory.
GEOMETRY_CACHE_BYTES = 2**29


class EncodedSteps(NamedTuple):
    """The stations' side of the network over consecutive steps, whatever the target.

    Attributes
    ----------
    tables : StationTables
    cycles : (step, CYCLES) float32
        At longitude 0.
    constrained : (station, step) bool
        Where data constrain the value of a station.
    """

    tables: StationTables
    cycles: Tensor
    constrained: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return self.tables.nbytes

    def part(self, start: int, steps: int) -> Self:
        """Return some of the steps."""
        return type(self)(
            StationTables(*(table.narrow(-1, start, steps) for table in self.tables)),
            self.cycles.narrow(0, start, steps),
            self.constrained.narrow(1, start, steps),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the steps of parts that follow each other."""
        tables = zip(*(part.tables for part in parts), strict=True)
        return cls(
            StationTables(*(torch.cat(each, -1) for each in tables)),
            torch.cat([part.cycles for part in parts]),
            torch.cat([part.constrained for part in parts], 1),
        )


class StationEncoder:
    """Encodes windows of the stations' series, which are completed first.

    Windows lie on the absolute axis of the samples, so that no chunking moves them.

    Parameters
    ----------
    model : NeuralKNN
    samples : Samples
    heads : bool
        Whether the network is used, or the covariance head alone.
    """

    def __init__(self, model: NeuralKNN, samples: Samples, *, heads: bool) -> None:
        self.model, self.samples, self.heads = model, samples, heads
        surroundings = NearbyStations.of(samples.network)
        with single_thread():
            value, variance = complete(model.covariance, samples.value, surroundings)
        nearest = samples.network.nearest_others(k=model.configuration.neighbours)
        self.nearest = torch.from_numpy(nearest.index)
        self.constrained = model.covariance.constrained(variance).detach()
        self.value, self.variance = value.float(), variance.float()
        self.excess: Tensor | None = None
        if samples.lone is not None:
            self.constrained |= torch.isfinite(samples.lone)
            self.excess = torch.nan_to_num(samples.lone - value).float()

    def window(self, number: int) -> EncodedSteps:
        """Return the core steps of a window by its number from the first column of the samples."""
        configuration, samples = self.model.configuration, self.samples
        start, margin = number * configuration.core_steps, configuration.margin_steps
        stop = start + configuration.window_steps
        rows = torch.arange(samples.network.size).split(STATIONS_TOGETHER)
        tables = zip(*(self._tables(some, slice(start, stop)) for some in rows), strict=True)
        core = slice(start + margin, stop - margin)
        steps = samples.first + core.start, samples.first + core.stop
        return EncodedSteps(
            StationTables(*(torch.cat(parts, 1) for parts in tables)),
            samples.clock.cycles(np.zeros(1), *steps)[0],
            self.constrained[:, core],
        )

    def _tables(self, rows: Tensor, window: slice) -> StationTables:
        """Return the tables of some stations in one window."""
        samples, value = self.samples, self.value[:, window]
        steps = samples.first + window.start, samples.first + window.stop
        series = station_series(
            value[rows],
            self.variance[rows, window],
            value[self.nearest[rows]],
            samples.clock.cycles(samples.network.longitude[rows.numpy()], *steps),
            samples.covariates[rows, window],
        )
        encoding = self.model.encode(series) if self.heads else None
        excess = None if self.excess is None else self.excess[rows, window]
        return self.model.station_tables(series, encoding, excess)


class NeuralField:
    """The predictive distribution at any targets and hours, for `predict_blocks`.

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
    attributes : callable, optional
        Gives the attributes of targets, where the samples have those of the stations.
    grid : Grid, optional
        The grid on which `over` estimates.
    cache : Cache, optional
        That of the geometry of targets, which other fields of the model may use too.
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
        attributes: AttributesAt | None = None,
        grid: Grid | None = None,
        cache: Cache[TargetGeometry] | None = None,
    ) -> None:
        self.model, self.standardisation, self.samples = model, standardisation, samples
        self.heads, self.offset, self.trend = heads, offset, trend
        self.grid_positions = None if grid is None else np.stack(grid.longitude_latitude())
        self.encoder = StationEncoder(model, samples, heads=heads)
        self.geometries = Geometries(
            model, samples.network, samples.log_noise, heads, samples.attributes, attributes
        )
        self.geometry = Cache(GEOMETRY_CACHE_BYTES) if cache is None else cache
        self._start_caches()

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32."""
        tiles = _point_tiles(self.geometries, longitude, latitude)
        return self._evaluated(tiles, longitude, latitude, hours, self.prepared(hours))

    def prepared(self, hours: slice) -> EncodedSteps:
        """Return the encoded stations of hours, for `over` of any cells."""
        core = self.model.configuration.core_steps
        first = hours.start + self.offset - self.model.configuration.margin_steps
        steps = hours.stop - hours.start
        windows = range(first // core, -(-(first + steps) // core))
        with ThreadPoolExecutor(min(workers(), WINDOWS_TOGETHER)) as pool:
            encoded = list(pool.map(self._window, windows))
        with torch.inference_mode():
            return EncodedSteps.joined(encoded).part(first - windows.start * core, steps)

    def over(self, rows: slice, columns: slice, hours: slice, prepared: EncodedSteps) -> RootNormal:
        """Return the distribution at cells of the grid, (n, hours) float32.

        A cell has the geometry of the whole tile of the grid that it lies in, whatever part of it
        is asked for.
        """
        positions = self.grid_positions
        if positions is None:
            raise ValueError("this field knows no grid; give grid= when it is made")
        longitude, latitude = positions[:, rows, columns].reshape(2, -1)
        tiles = _grid_tiles(self.geometries, positions, rows, columns)
        return self._evaluated(tiles, longitude, latitude, hours, prepared)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the caches behind: another process fills its own, where it has its device."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_cached")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_caches()

    def __dask_tokenize__(self) -> Any:
        """Return what distinguishes this field from others, the same in every process."""
        from dask.base import normalize_token

        samples = self.samples
        parts = (
            self.model.configuration,
            self.standardisation,
            (samples.value.numpy(), samples.covariates.numpy()),
            None if samples.lone is None else samples.lone.numpy(),
            (samples.first, samples.clock),
            (self.offset, self.trend, self._place),
        )
        return normalize_token(parts)  # dask itself writes arrays out in words, shortened

    @cached_property
    def _place(self) -> str:
        """What tells the geometry of this field from that of others of the model."""
        from dask.base import tokenize

        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        network, noise, heads, attributes, attributes_at = self.geometries[1:]
        of_stations = network, noise.numpy(), attributes.numpy()
        return tokenize(weights, of_stations, attributes_at, heads, self.grid_positions)

    def _window(self, number: int) -> EncodedSteps:
        """Return a window by its number, which is encoded once."""
        with torch.inference_mode(), single_thread():
            return self._cached_windows.get(number, partial(self.encoder.window, number))

    def _start_caches(self) -> None:
        """Start with empty caches."""
        core = self.model.configuration.core_steps
        self._cached_windows: Cache[EncodedSteps] = Cache(0, fewest=2 + BLOCK_STEPS // core)
        self._cached_model: NeuralKNN | None = None

    def _model_on_device(self) -> NeuralKNN:
        """Return the model where targets are estimated; windows and systems stay on the CPU."""
        if self._cached_model is None:
            device = best_device()
            on_cpu = device.type == "cpu"
            self._cached_model = self.model if on_cpu else deepcopy(self.model).to(device)
        return self._cached_model

    def _evaluated(
        self,
        tiles: "Iterator[_Tile]",
        longitude: np.ndarray,
        latitude: np.ndarray,
        hours: slice,
        encoded: EncodedSteps,
    ) -> RootNormal:
        """Return the distribution at the targets of tiles, (n, hours) float32."""
        trend = None
        if self.trend is not None:
            trend = torch.from_numpy(self.trend(longitude, latitude, hours).astype(np.float32))
        steps, device = hours.stop - hours.start, best_device()
        buffer, encoded = OutputBuffer(longitude.size, steps), moved(encoded, device)
        gaps = not bool(encoded.constrained.all())
        with torch.inference_mode(), single_thread():
            for tile in tiles:
                geometry = self._geometry(tile, device)
                together = max(1, VALUES_TOGETHER // tile.rows.size)
                for start in range(0, steps, together):
                    columns = slice(start, min(start + together, steps))
                    part = encoded.part(start, columns.stop - start)
                    shift = None if trend is None else moved(trend[tile.rows, columns], device)
                    root, spread = self._estimate(part, geometry, shift)
                    if gaps:
                        unknown = _unconstrained(part, geometry)
                        root.masked_fill_(unknown, torch.nan)
                        spread.masked_fill_(unknown, torch.nan)
                    buffer.add(root, spread, tile.rows, columns)
        return RootNormal(*buffer.arrays(), freedom=self.model.freedom)

    def _geometry(self, tile: "_Tile", device: torch.device) -> TargetGeometry:
        """Return the geometry of the targets of a tile that are asked for."""
        key = self._place, tile.key
        whole = self.geometry.get(key, lambda: moved(tile.make(), device))
        return whole if tile.part is None else whole.of_tile(*tile.part)

    def _estimate(
        self, encoded: EncodedSteps, geometry: TargetGeometry, shift: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and spread of the root at the targets of one tile."""
        tables = encoded.tables.of_stations(geometry.stations)
        cycles = _at_phases(encoded.cycles, geometry.phases) if self.heads else None
        mean, log_variance = self._model_on_device()(tables, geometry.matrices, cycles)
        if shift is not None:
            mean = mean + shift
        scale, centre = self.standardisation.scale, self.standardisation.centre
        return mean * scale + centre, (log_variance / 2).exp() * scale


def geometry_bytes(configuration: Configuration, targets: int, *, stations: int) -> int:
    """Return about how many bytes of target geometry a field caches.

    Parameters
    ----------
    configuration : Configuration
    targets : int
    stations : int
        Of a tile. Those that were solved together last are cached whatever their size.
    """
    matrices = len(configuration.bands) + 3 + configuration.heads
    tile = TILE * stations * (4 * matrices + 1)  # and a byte for whether it is a neighbour
    tiles = -(-targets // TILE)
    return max(min(tiles * tile, GEOMETRY_CACHE_BYTES), min(tiles, TILES_TOGETHER) * tile)


def window_bytes(configuration: Configuration, stations: int) -> int:
    """Return how many bytes the tables of one window take."""
    rows = len(configuration.bands) + 6 + 2 * configuration.heads + configuration.context
    return configuration.core_steps * stations * rows * 4


class _Tile(NamedTuple):
    """Targets of which the geometry is at hand at once."""

    rows: np.ndarray  # of the targets, in the order of the request
    part: tuple[int, Tensor] | None  # a tile and its targets that these are; None is all
    key: Any
    make: Callable[[], TargetGeometry]  # of the whole


def _point_tiles(
    geometries: Geometries, longitude: np.ndarray, latitude: np.ndarray
) -> Iterator[_Tile]:
    """Yield targets in their order, some at once."""
    for start in range(0, longitude.size, TILE):
        rows = np.arange(start, min(start + TILE, longitude.size))
        points = longitude[rows], latitude[rows]
        key = tuple(position.tobytes() for position in points)
        yield _Tile(rows, None, key, partial(geometries.of_points, *points))


def _grid_tiles(
    geometries: Geometries, positions: np.ndarray, rows: slice, columns: slice
) -> Iterator[_Tile]:
    """Yield the tiles of the grid that hold cells of these rows and columns.

    Tiles of one strip are made together, and come together where all of their cells are asked for.
    """
    cells = np.arange((rows.stop - rows.start) * (columns.stop - columns.start))
    cells = cells.reshape(rows.stop - rows.start, -1)
    height, width = positions.shape[1:]
    strips = _edges(width, TILE_COLUMNS * TILES_TOGETHER, TILE_COLUMNS)
    for row, row_part in _cuts(rows, _edges(height, TILE_ROWS)):
        for strip, strip_part in _cuts(columns, strips):
            make = partial(geometries.of_tiles, *map(_in_tiles, positions[:, row, strip]))
            asked = np.full((row.stop - row.start, strip.stop - strip.start), -1)
            asked[_within(row_part, row), _within(strip_part, strip)] = cells[
                _within(row_part, rows), _within(strip_part, columns)
            ]
            of_tiles = _in_tiles(asked).reshape(-1, len(asked) * min(asked.shape[1], TILE_COLUMNS))
            key = row.start, strip.start
            if (row, strip) == (row_part, strip_part):
                yield _Tile(of_tiles.ravel(), None, key, make)
                continue
            for number, of_tile in enumerate(of_tiles):
                part = np.flatnonzero(of_tile >= 0)
                if part.size:
                    yield _Tile(of_tile[part], (number, torch.from_numpy(part)), key, make)


def _in_tiles(cells: np.ndarray) -> np.ndarray:
    """Return what belongs to the cells (row, column) of a strip, (tile, row, column)."""
    width = min(cells.shape[1], TILE_COLUMNS)
    return cells.reshape(len(cells), -1, width).swapaxes(0, 1)


def _edges(end: int, size: int, last: int = 1) -> list[int]:
    """Return the edges of parts of an axis: of a size, and one that is no multiple of the last."""
    return sorted({*range(0, end // last * last, size), end // last * last, end})


def _cuts(span: slice, edges: list[int]) -> Iterator[tuple[slice, slice]]:
    """Yield parts of an axis between edges, and what a span asks for of each."""
    for start, stop in itertools.pairwise(edges):
        if start < span.stop and stop > span.start:
            yield slice(start, stop), slice(max(start, span.start), min(stop, span.stop))


def _within(part: slice, whole: slice) -> slice:
    """Return a part of an axis, counted from where the whole begins."""
    return slice(part.start - whole.start, part.stop - whole.start)


def _unconstrained(encoded: EncodedSteps, geometry: TargetGeometry) -> Tensor:
    """Return where data constrain the value of no neighbour, (n, step) bool."""
    constrained = encoded.constrained[geometry.stations].float()
    return (geometry.neighbours.float() @ constrained).flatten(0, -2) == 0


def _at_phases(cycles: Tensor, phases: Tensor) -> Tensor:
    """Return the cycles at targets, (CYCLES, n, step): sines and cosines of sums of angles."""
    sine, cosine = cycles.T[0::2, None], cycles.T[1::2, None]  # (period, 1, step)
    sine_phase, cosine_phase = phases.T[0::2, :, None], phases.T[1::2, :, None]  # (period, n, 1)
    shifted = cycles.new_empty(len(sine), 2, len(phases), len(cycles))
    torch.mul(sine, cosine_phase, out=shifted[:, 0]).addcmul_(cosine, sine_phase)
    torch.mul(cosine, cosine_phase, out=shifted[:, 1]).addcmul_(sine, sine_phase, value=-1)
    return shifted.flatten(0, 1)
