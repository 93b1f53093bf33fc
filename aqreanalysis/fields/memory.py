"""The memory of a request: blocks are cut to fit, and a request that cannot fit is refused."""

import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME
from aqreanalysis.fields.blocks import BLOCK_STEPS, BLOCK_VALUES, block_sizes
from aqreanalysis.fields.cache import Cache
from aqreanalysis.grid import Grid
from aqreanalysis.memory import in_words, memory_bytes

logger = logging.getLogger(__name__)

#: Bytes of a target of a projected grid, the most: its position, in the request and the engine.
TARGET_BYTES = 96
#: Bytes of work on one value of a block, measured on blocks of all methods.
VALUE_BYTES = 64
#: Bytes of one draw of a value: computed, and put in order for a file.
DRAW_BYTES = 8
#: Draws of values in a block, at most: 64 MB in float32.
DRAWN_VALUES = 2**24
#: Bytes of a station: its neighbours and the distances among them, and the search for them.
STATION_BYTES = 10_000
#: Bytes of one value of a station: measured, standardised, completed, with their errors; measured.
MEASUREMENT_BYTES = 48
#: Bytes of the regions that are computed, compressed and written while others are, at most, and
#: for each value of the product.
WRITING_BYTES, WRITTEN_VALUE_BYTES = 2**28, 24


class Cost(NamedTuple):
    """The memory of a method, in addition to the blocks that it computes.

    Attributes
    ----------
    fixed_bytes : int
        Whatever the size of a block: matrices of all stations, caches.
    window_bytes : int
        Of what all cells share at ``alignment`` steps, such as encoded series.
    alignment : int
        Steps in which the method works; blocks of time begin at multiples of it.
    cache : Cache, optional
        Of results which the method uses again, also those of earlier requests.
    cache_bytes : int
        Of the results of this request in it, which ``fixed_bytes`` holds too.
    """

    fixed_bytes: int = 0
    window_bytes: int = 0
    alignment: int = 1
    cache: Cache[Any] | None = None
    cache_bytes: int = 0

    def with_draws(self, draws: int, series: int) -> "Cost":
        """Return the cost with the series in time of so many draws, which all cells share.

        Examples
        --------
        >>> Cost(alignment=36).with_draws(50, series=512).window_bytes
        3686400
        """
        bytes_of_a_step = draws * series * 4
        return self._replace(window_bytes=self.window_bytes + self.alignment * bytes_of_a_step)


class Request(NamedTuple):
    """The size of a request, and the cost of its method."""

    cells: int
    steps: int
    stations: int
    measurements: int
    workers: int
    cost: Cost = Cost()
    draws: int = 0

    @property
    def value_bytes(self) -> int:
        """Bytes of work on one value of a block."""
        return VALUE_BYTES + self.draws * DRAW_BYTES

    @property
    def fixed_bytes(self) -> int:
        """Bytes that do not depend on the size of a block."""
        written = WRITTEN_VALUE_BYTES + self.draws * DRAW_BYTES
        writing = min(WRITING_BYTES, self.cells * self.steps * written)
        return (
            self.cells * TARGET_BYTES
            + self.stations * STATION_BYTES
            + self.measurements * MEASUREMENT_BYTES
            + self.cost.fixed_bytes
            + writing
        )

    def windows_bytes(self, hours: int) -> float:
        """Return the bytes of what all cells share, where blocks have so many steps.

        Each worker may be at another time, and once more they are in the cache one by one. The
        windows of a block begin before it and end after it.
        """
        times = min(self.workers, -(-self.steps // hours))
        return (times + 1) * (2 + hours / self.cost.alignment) * self.cost.window_bytes


def fitted_blocks(
    at: Grid | xr.Dataset,
    request: Request,
    *,
    memory: str | float | None,
    chunks: Mapping[str, int] | None,
) -> dict[str, int]:
    """Return the sizes of blocks with which the request fits into the memory; its cost is logged.

    Sizes in ``chunks`` were asked for and stay. The program and its libraries are not counted. The
    cache of the method yields what it has of earlier requests, as far as the memory does not hold
    that beside this one.

    Raises
    ------
    ValueError
        If even the smallest blocks do not fit; it says what would.
    """
    allowed = memory_bytes(memory)
    most = request.windows_bytes(min(BLOCK_STEPS, request.steps))
    room = (allowed - request.fixed_bytes - most) / (request.workers * request.value_bytes)
    values = int(np.clip(room, 1, min(BLOCK_VALUES, DRAWN_VALUES // max(request.draws, 1))))
    sizes = block_sizes(at, request.steps, alignment=request.cost.alignment, values=values)
    sizes |= dict(chunks or {})
    block = math.prod(sizes.values()) * request.value_bytes
    windows = request.windows_bytes(sizes[TIME])
    needed = request.fixed_bytes + windows + request.workers * block
    summary = (
        f"{request.cells:,} cells x {request.steps:,} hours from {request.stations:,} stations: "
        f"about {in_words(request.fixed_bytes + windows)} for what is kept and written and "
        f"{request.workers} x {in_words(block)} for blocks of "
        + " x ".join(f"{size} {name}" for name, size in sizes.items())
    )
    if needed > allowed:
        raise ValueError(
            f"memory={in_words(allowed)} does not hold this request; {summary}. Give "
            f"memory='{math.ceil(needed / 1e6)}MB' or more, a coarser grid or a smaller region"
            + (", or smaller chunks; a resumed run keeps those it began with." if chunks else ".")
        )
    if request.cost.cache is not None:
        request.cost.cache.limit(request.cost.cache_bytes + int(allowed - needed))
    logger.info("%s, of %s allowed", summary, in_words(allowed))
    return sizes


def workers() -> int:
    """Return how many blocks this process computes at once."""
    import dask
    from dask.system import CPU_COUNT

    return int(dask.config.get("num_workers", None) or CPU_COUNT)
