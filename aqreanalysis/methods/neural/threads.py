"""One thread for small tensors: several only wait for each other."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
#: The number outside, once for each block that runs: torch keeps one number for all new threads.
_outside: list[int] = []
#: Whether this thread is inside already.
_within = threading.local()


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
    # Asked first also where the answer is not used: torch sets up a new thread at its first
    # question, and would then undo the 1.
    found = torch.get_num_threads()
    with _lock:
        # A thread that begins beside others finds the 1 that they have set.
        before = _outside[0] if _outside else found
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
