"""One thread for small tensors: several only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
