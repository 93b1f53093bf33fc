"""How a product is divided: into chunks of the file, and regions that are computed in turn."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, STATION, TIME

#: Bytes of one region of all layers, which is in memory in addition to its computation.
REGION_BYTES = 2**26
#: Bytes of one row of file chunks of a layer, which HDF5 keeps open while regions fill it.
CHUNK_ROW_BYTES = 2**25
#: Values in a file chunk: 1.5 MiB of float32, 24 hours of 128 x 128 cells.
CHUNK_VALUES = 24 * 128 * 128
#: Hours in a file chunk at most; a map at one hour should not unpack a week.
CHUNK_HOURS = 24
#: Steps and stations in a file chunk of a product of stations.
STATION_CHUNK = {TIME: 4096, STATION: 64, DRAW: 1}
#: Rows in a file chunk of draws: a block of all draws has few of them.
DRAWN_ROWS = 8

Region = Mapping[str, slice]


def file_chunks(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the chunk sizes in the file; they depend on the sizes of the product alone.

    Chunks hold few hours where the grid is large, so that one row of chunks, all cells of these
    hours, stays small, and divide each dimension evenly.

    Examples
    --------
    >>> file_chunks({"time": 48, "lat": 500, "lon": 500})
    {'time': 24, 'lat': 125, 'lon': 125}
    >>> file_chunks({"time": 48, "lat": 2000, "lon": 2000})
    {'time': 2, 'lat': 400, 'lon': 400}
    >>> file_chunks({"draw": 50, "time": 48, "lat": 500, "lon": 500})
    {'draw': 1, 'time': 24, 'lat': 8, 'lon': 500}
    """
    if DRAW in sizes and STATION not in sizes:
        # As blocks are: of all draws the chunks that a block does not fill stay open.
        least = {DRAW: 1, TIME: CHUNK_HOURS, **dict.fromkeys(("lat", "y"), DRAWN_ROWS)}
        return {name: _even(size, least.get(name, size)) for name, size in sizes.items()}
    if STATION in sizes:
        return {name: _even(size, STATION_CHUNK.get(name, size)) for name, size in sizes.items()}
    cells = math.prod(size for name, size in sizes.items() if name != TIME)
    hours = int(np.clip(CHUNK_ROW_BYTES // (4 * max(cells, 1)), 1, CHUNK_HOURS))
    hours = _even(sizes[TIME], hours) if TIME in sizes else 1
    side = math.isqrt(CHUNK_VALUES // hours)
    return {name: hours if name == TIME else _even(size, side) for name, size in sizes.items()}


def regions(layers: xr.Dataset) -> list[Region]:
    """Return slices that cover the layers, each of about `REGION_BYTES` or one block.

    Regions end where blocks of all lazy layers end, so each block is computed once. They hold
    whole maps where these fit, and come in the order of time.

    Examples
    --------
    >>> layers = xr.Dataset({"pm25": (("time", "lat", "lon"), np.zeros((3, 2, 2)))})
    >>> regions(layers.chunk(time=2))
    [{'time': slice(0, 3, None), 'lat': slice(0, 2, None), 'lon': slice(0, 2, None)}]
    """
    sizes = {str(name): size for name, size in layers.sizes.items()}
    edges = {name: _block_edges(layers, name, file_chunks(sizes)[name]) for name in sizes}
    spans = {name: int(np.diff(ends).max(initial=1)) for name, ends in edges.items()}
    value_bytes = max(1, math.ceil(layers.nbytes / max(1, math.prod(sizes.values()))))
    order = [name for name in reversed(sizes) if name != TIME] + [TIME] * (TIME in sizes)
    for name in order:
        others = math.prod(span for other, span in spans.items() if other != name)
        edges[name] = _merged(edges[name], REGION_BYTES // (value_bytes * others))
        spans[name] = int(np.diff(edges[name]).max(initial=1))
    slices = [
        [slice(int(low), int(high)) for low, high in itertools.pairwise(edges[name])]
        for name in reversed(order)
    ]
    cuts = (dict(zip(reversed(order), cut, strict=True)) for cut in itertools.product(*slices))
    return [{name: cut[name] for name in sizes} for cut in cuts]


def region_values(layers: xr.Dataset, region: Region) -> xr.Dataset:
    """Return the layers of a region in memory; those without time only with the first hours.

    Examples
    --------
    >>> layers = xr.Dataset({"pm25": ("time", np.arange(3))})
    >>> region_values(layers, {"time": slice(1, 3)}).pm25.values.tolist()
    [1, 2]
    """
    names = [
        name
        for name, layer in layers.data_vars.items()
        if all(dim in layer.dims or cut.start == 0 for dim, cut in region.items())
    ]
    return layers[names].isel(region, missing_dims="ignore").compute()


def value_count(region: Region) -> int:
    """Return the number of values in a region of one layer."""
    return math.prod(cut.stop - cut.start for cut in region.values())


def progress_bar(cuts: Sequence[Region], words: str, progress: bool) -> Any:
    """Return a bar over the values of regions; silent where there is no terminal."""
    from tqdm import tqdm

    return tqdm(
        total=sum(map(value_count, cuts)),
        desc=words,
        unit="values",
        unit_scale=True,
        disable=None if progress else True,
    )


def _even(size: int, limit: int) -> int:
    """Return a chunk size below the limit that cuts a dimension into nearly equal parts."""
    return math.ceil(size / math.ceil(size / max(limit, 1))) if size else 1


def _block_edges(layers: xr.Dataset, name: str, chunk: int) -> np.ndarray:
    """Return the ends of the blocks that all lazy layers share, with 0 and the size.

    Without lazy layers, the ends of the chunks in the file.
    """
    size = layers.sizes[name]
    common: set[int] | None = None
    for layer in layers.data_vars.values():
        if layer.chunks is not None and name in layer.dims:
            ends = set(np.cumsum((0, *layer.chunksizes[name])).tolist())
            common = ends if common is None else common & ends
    if common is None:
        common = {*range(0, size, chunk), size}
    return np.array(sorted(common))


def _merged(edges: np.ndarray, limit: int) -> np.ndarray:
    """Return fewer edges: spans as long as the limit allows, but at least one block."""
    merged = [int(edges[0])]
    for edge, following in itertools.pairwise([*edges[1:].tolist(), math.inf]):
        if following - merged[-1] > limit:
            merged.append(edge)
    return np.array(merged)
