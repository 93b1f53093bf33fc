"""Results that are kept for the next block, as long as there is room."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What tells how large it is."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        ...


Result = TypeVar("Result", bound=Sized)


class Kept(Generic[Result]):
    """The last results by key within so many bytes, safe among threads.

    A result may be made twice, never mixed. The last one is kept whatever its size.

    Parameters
    ----------
    most_bytes : int

    Examples
    --------
    >>> import numpy as np
    >>> kept = Kept(most_bytes=100)
    >>> for number in (1, 2, 1):
    ...     bool(kept.get(number, lambda: np.zeros(10)) is kept.get(number, lambda: np.ones(10)))
    True
    True
    True
    >>> kept.nbytes  # of two that were made, one is left
    80
    """

    def __init__(self, most_bytes: int) -> None:
        self._most, self._lock = most_bytes, threading.Lock()
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self.nbytes = 0

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Return the result of that key, made now if it is not kept."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        result = make()
        with self._lock:
            if key not in self._results:
                self._results[key] = result
                self.nbytes += result.nbytes
            while self.nbytes > self._most and len(self._results) > 1:
                self.nbytes -= self._results.popitem(last=False)[1].nbytes
        return result
