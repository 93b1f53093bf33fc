"""Files that may be damaged or hostile: inspected before they are read, within limits."""

from aqreanalysis.untrusted.budget import (
    UnreadableError,
    budget_of,
    check_size,
    is_special,
    refuse_bomb,
    text_of,
)
from aqreanalysis.untrusted.inspection import inspect, open_netcdf

__all__ = [
    "UnreadableError",
    "budget_of",
    "check_size",
    "inspect",
    "is_special",
    "open_netcdf",
    "refuse_bomb",
    "text_of",
]
