"""Fields over grids and stations, block by block: lazy, and alike for any chunking."""

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import xarray as xr

from aqreanalysis.conventions import PRODUCT_FLAGS, STATION, TIME, quantile_name
from aqreanalysis.grid import Grid
from aqreanalysis.network import Neighbours, StationNetwork
from aqreanalysis.predictive import (
    DEGREES_OF_FREEDOM,
    RootNormal,
    Statistic,
    with_median,
)

#: Nearest stations that are counted when a flag says how many report.
COUNTED_NEIGHBOURS = 8
#: Reporting stations among the counted ones below which an hour is flagged.
FEW_STATIONS = 3
#: Values of one block by default: 4 MB in float32, small beside any engine's own work space.
BLOCK_VALUES = 1_000_000
#: Cells of one block by default: those of an hour are several blocks, for as many threads.
BLOCK_CELLS = 2**15
#: Rows of a grid in a block are a multiple of this by default, as of tiles that engines work on.
ROWS_TOGETHER = 8
#: Values of which the layers are derived at once: 256 kB in float32 stay in the cache.
CACHED_VALUES = 1 << 16
#: Steps in a block by default, at most: enough that the geometry of a cell is not its cost.
BLOCK_STEPS = 240
#: Steps times cells of a row in a block by default, at most: a file of which chunks are 128 rows
#: high then needs to keep 64 MB of a layer open until all blocks of these steps have come.
ROW_VALUES = 2**17


class Field(Protocol):
    """A predictive distribution anywhere, at hours of the observations' time axis.

    A field is pure and thread-safe; splits of targets and hours change values by 1e-5 at most.
    One that evaluates rectangular blocks of its own grid is a `GridField` as well.
    """

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32, NaN where nothing is known."""
        ...


@runtime_checkable
class GridField(Protocol):
    """A field that evaluates rectangular blocks of its own grid, not only lists of points."""

    def prepared(self, hours: slice) -> Any:
        """Return what all cells share at these hours: computed once for all their blocks."""
        ...

    def over(self, rows: slice, columns: slice, hours: slice, prepared: Any) -> RootNormal:
        """Return the distribution, (rows x columns, hours) float32, as a `Field` does."""
        ...


def predict_blocks(
    field: Field,
    *,
    at: Grid | xr.Dataset,
    network: StationNetwork,
    observed: np.ndarray,
    time: xr.DataArray,
    variable: str,
    hours: slice | None = None,
    chunks: Mapping[str, int] | None = None,
    alignment: int = 1,
    statistic: Statistic = "median",
    quantiles: Sequence[float] = (),
    freedom: float = math.inf,
) -> xr.Dataset:
    """Return the field on a grid or at stations as a lazy Dataset.

    Parameters
    ----------
    field : Field
        Engine; called once for each block, also from several threads at once.
    at : Grid or Dataset
        Where: a grid, or any Dataset with longitude and latitude on ``station``.
    network : StationNetwork
        The n stations whose values the field uses.
    observed : (n, t) bool
        Where a station has a value; for the flags.
    time : (t,) DataArray of datetime64
        Time axis of the observations, with its attributes.
    variable : str
        Name of the variable in the result.
    hours : slice of int, optional
        Part of the time axis to predict; all of it by default.
    chunks : mapping, optional
        Size of a block along the dimensions of the result; missing ones follow from
        `BLOCK_VALUES`. The numbers depend on it by rounding alone.
    alignment : int
        Blocks of time begin at multiples of this many steps since 1970 by default, so that an
        engine that works in windows does none of them twice.
    statistic : {"median", "mean"}
        What the estimate is.
    quantiles : sequence of float
        Probabilities of which a layer each gives the quantile.
    freedom : float
        Degrees of freedom of the field's distributions; infinite if they are normal.

    Returns
    -------
    Dataset
        ``(time, lat, lon)``, ``(time, y, x)`` or ``(station, time)`` with ``<variable>``,
        ``<variable>_uncertainty`` (one standard error, float32), ``<variable>_flag`` (int8),
        ``<variable>_q05`` and so on, and ``distance_to_nearest_station`` (km). All are dask
        arrays: the stations near to a target are searched when its block is computed, so that a
        grid of any size is ready at once.

    Examples
    --------
    >>> import pandas as pd
    >>> def nine(longitude, latitude, hours):
    ...     root = np.full((longitude.size, hours.stop - hours.start), 3, np.float32)
    ...     return RootNormal(root, root / 10)
    >>> time = xr.DataArray(pd.date_range("2024-01-01", periods=3, freq="h"), dims="time")
    >>> network = StationNetwork([10.0, 10.5, 11.0], [50.0, 50.5, 50.0])
    >>> field = predict_blocks(
    ...     nine,
    ...     at=Grid((10, 11, 50, 51), 0.5),
    ...     network=network,
    ...     observed=np.ones((3, 3), bool),
    ...     time=time,
    ...     variable="pm25",
    ... )
    >>> dict(field.sizes), float(field.pm25.mean()), int(field.pm25_flag.max())
    ({'time': 3, 'lat': 2, 'lon': 2}, 9.0, 0)
    """
    targets = Targets.of(at)
    start, stop, _ = (hours or slice(None)).indices(time.size)
    if stop <= start:
        raise ValueError("no hour to predict: the selection of time is empty")
    # The median of a product of means: what verification and reading need of its distribution.
    layers = _Layers(variable, statistic, with_median(quantiles, statistic), freedom)
    blocks = _Blocks(field, targets, network, observed, network.support_km, layers)
    sizes = _chunk_sizes(targets, chunks or {}, targets.block_sizes(stop - start, alignment))
    first = _steps_since_epoch(time) + start
    spans = _spans(start, stop, sizes[TIME], -first % alignment if alignment > 1 else 0)
    values, distance = blocks.arrays(spans, sizes)
    return _dataset(values, layers, targets, distance, time[start:stop])


@dataclass(frozen=True)
class Targets:
    """Positions in order, with the shape and coordinates that they have in the result."""

    longitude: np.ndarray  # these two broadcast to (rows, columns); stations are rows
    latitude: np.ndarray
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    coordinates: Mapping[str, Any]

    @classmethod
    def of(cls, at: Grid | xr.Dataset) -> "Targets":
        """Return the targets of a grid or of a Dataset of stations."""
        coordinates: dict[str, Any]
        if isinstance(at, Grid):
            coordinates = at.coordinates()
            if at.is_geographic:
                return cls(at.x[None], at.y[:, None], at.shape, at.dims, coordinates)
            (_, longitude), (_, latitude) = coordinates["lon"], coordinates["lat"]
            return cls(longitude, latitude, at.shape, at.dims, coordinates)
        network = StationNetwork.from_dataset(at)
        coordinates = {
            str(name): coordinate.variable
            for name, coordinate in at.coords.items()
            if coordinate.dims == (STATION,)
        }
        positions = {"longitude", "latitude"} - coordinates.keys()
        coordinates |= {name: at[name].variable for name in sorted(positions)}
        coordinates.setdefault(STATION, (STATION, network.identifiers))
        longitude, latitude = network.longitude[:, None], network.latitude[:, None]
        return cls(longitude, latitude, (network.size,), (STATION,), coordinates)

    def within(self, row: slice, column: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of the targets of a block, in order."""
        longitude, latitude = np.broadcast_arrays(self.longitude, self.latitude)
        return longitude[row, column].ravel(), latitude[row, column].ravel()

    def block_sizes(self, steps: int, alignment: int, values: int = BLOCK_VALUES) -> dict[str, int]:
        """Return the sizes of `blocks.block_sizes`."""
        together = ROWS_TOGETHER if len(self.shape) == 2 else 1
        row = int(np.prod(self.shape[1:]))
        least = min(together, self.shape[0])
        most = min(BLOCK_STEPS, ROW_VALUES // row, values // (row * least))
        hours = min(steps, max(most // alignment * alignment, alignment))
        rows = min(values // hours, BLOCK_CELLS) // row
        rows = max(rows // together * together, together)
        sizes = {TIME: hours, self.dims[0]: min(rows, self.shape[0])}
        return sizes | dict(zip(self.dims[1:], self.shape[1:], strict=True))


@dataclass(frozen=True)
class _Layers:
    """The layers of a field: what is written of its distribution, and a flag."""

    variable: str
    statistic: Statistic
    quantiles: tuple[float, ...]
    freedom: float

    @property
    def types(self) -> dict[str, type]:
        """Name and number type of each layer."""
        names = [self.variable, f"{self.variable}_uncertainty"]
        names += [quantile_name(self.variable, probability) for probability in self.quantiles]
        return {**dict.fromkeys(names, np.float32), f"{self.variable}_flag": np.int8}

    def of(self, distribution: RootNormal, flag: np.ndarray) -> list[np.ndarray]:
        """Return the values of each layer, in the order of `types`.

        Raises
        ------
        ValueError
            If the distribution has other degrees of freedom than its method states.
        """
        if distribution.freedom != self.freedom:
            raise ValueError(
                f"a field gave distributions with {distribution.freedom:g} degrees of freedom, and "
                f"its method states {self.freedom:g}: name them in settings, as "
                f"{DEGREES_OF_FREEDOM!r}"
            )
        quantiles = [distribution.quantile(probability) for probability in self.quantiles]
        estimate = distribution.estimate(self.statistic)
        return [estimate, distribution.standard_error, *quantiles, flag]


@dataclass(frozen=True)
class _Blocks:
    """What one block needs to compute itself."""

    field: Field
    targets: Targets
    network: StationNetwork
    observed: np.ndarray  # (stations, time) bool
    support_km: float
    written: _Layers

    def arrays(self, spans: list[slice], sizes: Mapping[str, int]) -> tuple[list[Any], Any]:
        """Return the layers (time, *targets) and the distance (*targets) as lazy arrays."""
        import dask.array as da
        from dask.base import tokenize
        from dask.delayed import delayed

        # One key of the graph, to which all blocks refer: an active cluster holds it from now on,
        # and sends it to each worker once.
        engine = delayed(self, name=f"engine-{tokenize(self)}", traverse=False).persist()
        hours = step_numbers(spans[0].start, [span.stop - span.start for span in spans])
        rows, columns = (step_numbers(0, cuts) for cuts in self._cuts(sizes))
        prepared = of_spans(_Blocks.prepared, engine, spans)
        nothing = np.empty((0, 0, 0))
        nearest = da.blockwise(  # flags of all hours and the distance share one search
            *(_Blocks.nearest, "rc", engine, None, rows, "r", columns, "c"),
            meta=np.empty((0, 0), object),
            align_arrays=False,
        )
        blocks = da.blockwise(  # each a tuple of its layers
            *(_Blocks.compute, "trc", engine, None, hours, "t", rows, "r", columns, "c"),
            *(prepared, "t", nearest, "rc"),
            meta=nothing.astype(object),
            align_arrays=False,
        )
        layers = [
            da.map_blocks(operator.itemgetter(number), blocks, meta=nothing.astype(number_type))
            for number, number_type in enumerate(self.written.types.values())
        ]
        distance = da.blockwise(
            *(_distance_km, "rc", nearest, "rc", rows, "r"),
            meta=np.empty((0, 0), np.float32),
            align_arrays=False,
        )
        if len(self.targets.shape) == 2:
            return layers, distance
        return [layer[..., 0] for layer in layers], distance[..., 0]

    def nearest(self, rows: np.ndarray, columns: np.ndarray) -> Neighbours:
        """Return the stations nearest to the cells of one block: those that a flag counts."""
        longitude, latitude = self.targets.within(span_of(rows), span_of(columns))
        counted = 1 if self.observed.all() else min(COUNTED_NEIGHBOURS, self.network.size)
        near = self.network.neighbours(longitude, latitude, k=counted)
        return Neighbours(near.index.astype(np.int32), near.distance_km[:, :1])

    def _cuts(self, sizes: Mapping[str, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the sizes of the blocks along rows and columns."""
        from dask.array.core import normalize_chunks

        dims, shape = self.targets.dims, self.targets.shape
        last = shape[1] if len(shape) == 2 else 1
        rows, columns = sizes[dims[0]], sizes[dims[1]] if len(shape) == 2 else 1
        return normalize_chunks((rows, columns), (shape[0], last))

    def prepared(self, span: slice) -> Any:
        """Return what the blocks of some hours share, if they share anything."""
        return None if (field := self._of_grid) is None else field.prepared(span)

    @property
    def _of_grid(self) -> GridField | None:
        """The field, if it evaluates rectangular blocks of its grid."""
        on_grid = isinstance(self.field, GridField) and len(self.targets.shape) == 2
        return cast(GridField, self.field) if on_grid else None

    def compute(
        self,
        hours: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray,
        prepared: Any,
        nearest: Neighbours,
    ) -> tuple[np.ndarray, ...]:
        """Return the layers of one block of consecutive hours, rows and columns, in this order."""
        span, row, column = span_of(hours), span_of(rows), span_of(columns)
        longitude, latitude = self.targets.within(row, column)
        if (field := self._of_grid) is not None:
            distribution = field.over(row, column, span, prepared)
        else:
            distribution = self.field(longitude, latitude, span)
        nothing = _unknown(distribution, (longitude.size, hours.size))
        flag = self._flag(nearest, span)
        if nothing is not None:
            flag[nothing] = PRODUCT_FLAGS["no_estimate"]
        shape = (hours.size, longitude.size)
        layers: list[np.ndarray] = [
            np.empty(shape, number_type) for number_type in self.written.types.values()
        ]
        together = max(1, CACHED_VALUES // longitude.size)
        for start in range(0, hours.size, together):
            part = slice(start, start + together)
            written = self.written.of(distribution[:, part], flag[:, part])
            for layer, values in zip(layers, written, strict=True):
                layer[part] = values.T
        return tuple(layer.reshape(hours.size, rows.size, columns.size) for layer in layers)

    def _flag(self, nearest: Neighbours, span: slice) -> np.ndarray:
        """Return the flags of one block, (cells, hours) int8, as if all of it had an estimate."""
        far = nearest.distance_km > self.support_km
        flag = np.repeat(
            far * np.int8(PRODUCT_FLAGS["far_from_stations"]), span.stop - span.start, 1
        )
        if not self.observed[:, span].all():
            few = self._reporting(nearest.index, span) < min(FEW_STATIONS, nearest.index.shape[1])
            flag[few] = PRODUCT_FLAGS["few_stations_reporting"]
        return flag

    def _reporting(self, index: np.ndarray, span: slice) -> np.ndarray:
        """Return how many of the nearest stations of each cell report, (cells, hours) int8."""
        from scipy.sparse import csr_array  # here: an import of the package goes without scipy

        rows = np.arange(len(index) + 1) * index.shape[1]
        each = np.ones(index.size, np.int8)
        counted = csr_array((each, index.ravel(), rows), shape=(len(index), len(self.observed)))
        return counted @ self.observed[:, span].view(np.int8)


def _distance_km(nearest: Neighbours, rows: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest station in one block, (rows, columns) float32."""
    return nearest.distance_km.reshape(rows.size, -1).astype(np.float32)


def _unknown(distribution: Any, expected: tuple[int, int]) -> np.ndarray | None:
    """Return where nothing is known, (n, hours) bool, of what is a distribution at the targets.

    None if all is known.

    Raises
    ------
    ValueError
        If it is no `RootNormal`, of another size, infinite, or of an unknown or negative spread.
    """
    if not isinstance(distribution, RootNormal):
        raise ValueError(
            "a field returns RootNormal(root, spread) of aqreanalysis.predictive; found "
            f"{type(distribution).__name__}"
        )
    for name in ("root", "spread"):
        values = getattr(distribution, name)
        if not (isinstance(values, np.ndarray) and values.dtype.kind == "f"):
            given = getattr(values, "dtype", type(values).__name__)
            raise ValueError(
                f"the {name} of a field is a NumPy array of real numbers; found {given}"
            )
        if values.shape != expected:
            raise ValueError(
                f"a field gives one value for each target and hour, {expected}; found a {name} of "
                f"{values.shape}"
            )
    root, spread = distribution.root, distribution.spread
    if (
        spread.size
        and spread.min() >= 0
        and np.isfinite([spread.max(), root.min(), root.max()]).all()
    ):
        return None
    largest = max(np.fmax.reduce(values, axis=None, initial=0) for values in (root, spread))
    nothing = np.isnan(root)
    right = nothing != (spread >= 0)
    if np.isinf(largest) or not right.all():
        wrong = ~right | np.isinf(root) | np.isinf(spread)
        target, hour = np.argwhere(wrong)[0]
        raise ValueError(
            "a field has finite roots with finite spreads of 0 and more, and NaN in both where it "
            f"knows nothing; found a root of {root[target, hour]:g} with a spread of "
            f"{spread[target, hour]:g}"
        )
    return nothing


def _steps_since_epoch(time: xr.DataArray) -> int:
    """Return the position of the first label on an absolute axis of this step."""
    if time.size < 2:
        return 0
    step = time.values[1] - time.values[0]
    return int((time.values[0] - np.datetime64(0, "ns")) // step)


def of_spans(prepare: Callable[[Any, slice], Any], engine: Any, spans: list[slice]) -> Any:
    """Return what all cells share at hours, made once for each span, as a dask array of objects.

    Not a layer of blocks: dask would fuse it into theirs, and prepare hours for each of them.
    """
    import dask.array as da
    from dask.delayed import delayed

    make = delayed(prepare, pure=True, traverse=False)
    return da.concatenate(
        [da.from_delayed(make(engine, span), (span.stop - span.start,), object) for span in spans]
    )


def step_numbers(start: int, sizes: Sequence[int]) -> Any:
    """Return consecutive numbers from a start as a dask array with blocks of these sizes."""
    import dask.array as da

    return da.arange(start, start + sum(sizes), chunks=(tuple(sizes),))


def span_of(numbers: np.ndarray) -> slice:
    """Return the slice of consecutive numbers."""
    return slice(int(numbers[0]), int(numbers[-1]) + 1)


def _spans(start: int, stop: int, size: int, offset: int) -> list[slice]:
    """Return slices of at most ``size`` that cover start to stop; boundaries at start + offset."""
    edges = sorted({start, *range(start + offset, stop, size), stop})
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def block_sizes(
    at: Grid | xr.Dataset, steps: int, *, alignment: int = 1, values: int = BLOCK_VALUES
) -> dict[str, int]:
    """Return the size of a block along each dimension of the result of `predict_blocks`.

    Blocks are long in time and narrow in space: the geometry of a cell is computed once for all its
    steps in a block. They have ``values`` cells times steps and `BLOCK_CELLS` cells at most, as far
    as the least block allows: one alignment of whole rows.

    Examples
    --------
    >>> block_sizes(Grid((0, 60, 0, 40), 0.1), 744, alignment=36)
    {'time': 180, 'lat': 8, 'lon': 600}
    """
    return Targets.of(at).block_sizes(steps, alignment, values)


def _chunk_sizes(
    targets: Targets, chunks: Mapping[str, int], sizes: Mapping[str, int]
) -> dict[str, int]:
    """Return the sizes of a block, those asked for first; all faults of the request at once."""
    known = (TIME, *targets.dims)
    wrong = [f"{name}={size!r}" for name, size in chunks.items() if name not in known or size < 1]
    if wrong:
        raise ValueError(
            f"chunks are positive numbers along {', '.join(known)}; found {', '.join(wrong)}"
        )
    return {name: int(chunks.get(name, size)) for name, size in sizes.items()}


def _dataset(
    values: list[Any], layers: _Layers, targets: Targets, distance: Any, time: xr.DataArray
) -> xr.Dataset:
    """Return the Dataset of the layers."""
    dataset = xr.Dataset(
        {
            name: ((TIME, *targets.dims), layer)
            for name, layer in zip(layers.types, values, strict=True)
        },
        coords={TIME: time.reset_coords(drop=True).variable, **targets.coordinates},
    )
    dataset[layers.variable].attrs["statistic"] = layers.statistic
    if math.isfinite(layers.freedom):
        dataset[f"{layers.variable}_uncertainty"].attrs[DEGREES_OF_FREEDOM] = layers.freedom
    dataset["distance_to_nearest_station"] = (targets.dims, distance, {"units": "km"})
    return dataset.transpose(STATION, TIME) if targets.dims == (STATION,) else dataset
