"""Where torch computes: on a graphics card if there is one, and there or here on one thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood

Tensors = TypeVar("Tensors")

_lock = threading.Lock()
#: The number of threads outside `single_thread`, once for each block that runs: torch keeps one
#: number for all new threads.
_outside: list[int] = []
#: Whether this thread is inside already.
_within = threading.local()


def best_device() -> torch.device:
    """Return the graphics card, or the processor where torch finds none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def moved(tensors: Tensors, device: torch.device) -> Tensors:
    """Return a tensor, a neighbourhood or a named tuple of such on a device; None stays None.

    Examples
    --------
    >>> from aqreanalysis.methods.kriging.solver import Weights
    >>> weights = Weights(torch.ones(1, 2), torch.ones(1))
    >>> moved(weights, torch.device("meta")).weight.device
    device(type='meta')
    """
    parts: Any = tensors
    if parts is None:
        return tensors
    if isinstance(parts, Tensor):
        return parts.to(device, non_blocking=True)  # type: ignore[return-value]
    if isinstance(parts, Neighbourhood):
        parts = tuple(getattr(parts, column.name) for column in fields(parts))
    return type(tensors)(*(moved(part, device) for part in parts))


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch's operators on the calling thread alone, and restore the number afterwards.

    The tensors here are small. Handing parts of them to a second thread costs more than it saves,
    up to ten times the time where the cores are busy, and blocks run side by side anyway.

    Examples
    --------
    >>> with single_thread():
    ...     torch.get_num_threads()
    1
    """
    if getattr(_within, "single", False):
        yield
        return
    # Asked for also where it is not used: torch sets up a new thread at the first question, and
    # would then undo the 1.
    current = torch.get_num_threads()
    with _lock:
        # A thread that begins while others are inside sees the 1 that they have set.
        before = _outside[0] if _outside else current
        _outside.append(before)
    torch.set_num_threads(1)
    _within.single = True
    try:
        yield
    finally:
        _within.single = False
        torch.set_num_threads(before)
        with _lock:
            _outside.pop()
