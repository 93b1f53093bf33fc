"""Layers in blocks, so that of a large file only some part is in memory at a time."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import xarray as xr

#: Bytes of a block of a file: few seeks, and a block for each thread stays small.
BLOCK_BYTES = 32 * 2**20


def in_blocks(variable: xr.Variable, time: Hashable | None) -> xr.Variable:
    """Return a variable as a dask array, in whole chunks of its file, or in runs of hours.

    Parameters
    ----------
    variable : Variable
        Lazy or in memory; one that already is in dask chunks keeps them.
    time : hashable or None
        Its dimension of time.

    Examples
    --------
    >>> in_blocks(xr.Variable(("time", "cell"), np.zeros((40, 2**20))), "time").chunks[0][:2]
    (4, 4)
    """
    from dask.array.core import normalize_chunks

    if variable.chunks is not None or variable.ndim == 0:
        return variable
    native = variable.encoding.get("preferred_chunks", {})
    if native:
        wanted: tuple = ("auto",) * variable.ndim
        before = tuple(
            min(native.get(dim, size), size) or 1 for dim, size in variable.sizes.items()
        )
    else:  # a file without chunks holds hour after hour
        wanted = tuple("auto" if dim == time else -1 for dim in variable.dims)
        before = None
    sizes = normalize_chunks(
        wanted,
        shape=variable.shape,
        dtype=variable.dtype,
        limit=BLOCK_BYTES,
        previous_chunks=before,
    )
    return variable.chunk(dict(zip(variable.dims, sizes, strict=True)))


def runs(chunks: Sequence[int], positions: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Yield ascending positions in runs of whole chunks, of about ``most`` positions.

    Examples
    --------
    >>> [run.tolist() for run in runs((2, 2, 2), np.array([1, 2, 3, 4, 5]), 2)]
    [[1, 2, 3], [4, 5]]
    """
    chunk = np.searchsorted(np.cumsum(chunks), positions, side="right")
    start = 0
    while start < positions.size:
        last = chunk[min(start + most, positions.size) - 1]
        stop = int(np.searchsorted(chunk, last, side="right"))
        yield positions[start:stop]
        start = stop
