"""The memory of a request: blocks are cut to fit, and a request that cannot fit is refused."""

import logging
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from aqreanalysis.conventions import TIME
from aqreanalysis.fields.blocks import BLOCK_STEPS, BLOCK_VALUES, block_sizes
from aqreanalysis.grid import Grid

logger = logging.getLogger(__name__)

#: Bytes of a target of a projected grid, the most: its position, in the request and the engine.
TARGET_BYTES = 96
#: Bytes of work on one value of a block, measured on blocks of all methods.
VALUE_BYTES = 64
#: Bytes of a station: its neighbours and the distances among them, and the search for them.
STATION_BYTES = 10_000
#: Bytes of one value of a station: measured, standardised, completed, with their errors; measured.
MEASUREMENT_BYTES = 48
#: Bytes of the regions that are computed, compressed and written while others are, at most, and
#: for each value of the product.
WRITING_BYTES, WRITTEN_VALUE_BYTES = 2**28, 24
#: Files with the memory used in a container (cgroups of version 2 and 1), and what the part of
#: it is called that can be dropped.
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_USAGE = {
    "memory.current": "inactive_file",
    "memory/memory.usage_in_bytes": "total_inactive_file",
}
#: Share of what is free that is taken by default: others use the machine, too.
SHARE_OF_FREE = 0.5


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
    """

    fixed_bytes: int = 0
    window_bytes: int = 0
    alignment: int = 1


class Request(NamedTuple):
    """The size of a request, and the cost of its method."""

    cells: int
    steps: int
    stations: int
    measurements: int
    workers: int
    cost: Cost = Cost()

    @property
    def fixed_bytes(self) -> int:
        """Bytes that do not depend on the size of a block."""
        writing = min(WRITING_BYTES, self.cells * self.steps * WRITTEN_VALUE_BYTES)
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


def memory_bytes(memory: str | float | None) -> int:
    """Return a number of bytes, such as ``"2GB"`` or 1e6; by default half of what is free now.

    Raises
    ------
    ValueError
        If it is no positive number of bytes.

    Examples
    --------
    >>> memory_bytes("2GB"), memory_bytes(1e6)
    (2000000000, 1000000)
    """
    from dask.utils import parse_bytes

    if memory is None:
        return int(SHARE_OF_FREE * _free_bytes())
    try:
        if isinstance(memory, bool) or (isinstance(memory, str) and not re.search(r"\d", memory)):
            raise ValueError("it names no number")
        number = parse_bytes(memory) if isinstance(memory, str) else float(memory)
        if not (math.isfinite(number) and number > 0):
            raise ValueError("it is not positive")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"memory must be as '2GB' or '500MB'; found {memory!r}") from error
    return int(number)


def fitted_blocks(
    at: Grid | xr.Dataset,
    request: Request,
    *,
    memory: str | float | None,
    chunks: Mapping[str, int] | None,
) -> dict[str, int]:
    """Return the sizes of blocks with which the request fits into the memory; its cost is logged.

    Sizes in ``chunks`` were asked for and stay. The program and its libraries are not counted.

    Raises
    ------
    ValueError
        If even the smallest blocks do not fit; it says what would.
    """
    allowed = memory_bytes(memory)
    most = request.windows_bytes(min(BLOCK_STEPS, request.steps))
    room = (allowed - request.fixed_bytes - most) / (request.workers * VALUE_BYTES)
    values = int(np.clip(room, 1, BLOCK_VALUES))
    sizes = block_sizes(at, request.steps, alignment=request.cost.alignment, values=values)
    sizes |= dict(chunks or {})
    block = math.prod(sizes.values()) * VALUE_BYTES
    windows = request.windows_bytes(sizes[TIME])
    needed = request.fixed_bytes + windows + request.workers * block
    summary = (
        f"{request.cells:,} cells x {request.steps:,} hours from {request.stations:,} stations: "
        f"about {_in_words(request.fixed_bytes + windows)} for what is kept and written and "
        f"{request.workers} x {_in_words(block)} for blocks of "
        + " x ".join(f"{size} {name}" for name, size in sizes.items())
    )
    if needed > allowed:
        raise ValueError(
            f"memory={_in_words(allowed)} does not hold this request; {summary}. Give "
            f"memory='{math.ceil(needed / 1e6)}MB' or more, a coarser grid or a smaller region"
            + (", or smaller chunks; a resumed run keeps those it began with." if chunks else ".")
        )
    logger.info("%s, of %s allowed", summary, _in_words(allowed))
    return sizes


def workers() -> int:
    """Return how many blocks this process computes at once."""
    import dask
    from dask.system import CPU_COUNT

    return int(dask.config.get("num_workers", None) or CPU_COUNT)


def _in_words(number: float) -> str:
    """Return a number of bytes in words."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{math.ceil(number / 1e6):,} MB"


def _free_bytes() -> int:
    """Return the memory that is free now: of the machine, and within the limit of a container.

    distributed knows the limits: cgroups of both versions and the process's own (RLIMIT_RSS).
    """
    import psutil
    from distributed import system

    within_limit = system.memory_limit() - _used_bytes()
    return max(min(psutil.virtual_memory().available, within_limit), 1)


def _used_bytes() -> int:
    """Return what counts against the limit: the container's memory, or else this process's.

    Files that were read stay in memory as long as there is room. They are counted as used, but
    make way for anything else.
    """
    import psutil

    for name, cache in _CGROUP_USAGE.items():
        usage = _CGROUP / name
        with suppress(OSError, ValueError):  # Linux alone has these files
            lines = usage.with_name("memory.stat").read_text().splitlines()
            parts = dict(line.split() for line in lines)
            return int(usage.read_text()) - int(parts.get(cache, 0))
    return psutil.Process().memory_info().rss
