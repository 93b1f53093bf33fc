"""The memory that there is, and that a user allows."""

import math
import re
from contextlib import suppress
from pathlib import Path

#: Files that tell the memory used in a container (cgroups of version 2 and 1), and what the part of
#: it is called that can be dropped.
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_USAGE = {
    "memory.current": "inactive_file",
    "memory/memory.usage_in_bytes": "total_inactive_file",
}
#: Share of what is free that is taken by default: others use the machine, too.
SHARE_OF_FREE = 0.5


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
        return int(SHARE_OF_FREE * free_bytes())
    try:
        if isinstance(memory, bool) or (isinstance(memory, str) and not re.search(r"\d", memory)):
            raise ValueError("it names no number")
        number = parse_bytes(memory) if isinstance(memory, str) else float(memory)
        if not (math.isfinite(number) and number > 0):
            raise ValueError("it is not positive")
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"memory must be as '2GB' or '500MB'; found {memory!r}") from error
    return int(number)


def in_words(number: float) -> str:
    """Return a number of bytes in words."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{math.ceil(number / 1e6):,} MB"


def free_bytes() -> int:
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
