"""Results that are kept for the next block, as long as there is room."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
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

    A result that one thread makes is waited for by the others that need it.

    Parameters
    ----------
    most_bytes : int
    fewest : int
        The last so many are kept whatever their size.

    Examples
    --------
    >>> import numpy as np
    >>> kept = Kept(most_bytes=100)
    >>> [float(kept.get(key, lambda: np.full(10, key))[0]) for key in (1, 2, 1)]
    [1.0, 2.0, 1.0]
    >>> kept.nbytes  # of both, one is left
    80
    """

    def __init__(self, most_bytes: int, *, fewest: int = 1) -> None:
        self._most, self._fewest, self._lock = most_bytes, fewest, threading.Lock()
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self._making: dict[Hashable, Future[Result]] = {}
        self.nbytes = 0

    def get(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """Return the result of that key, made now if it is not kept."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
            made = self._making.get(key)
            if mine := made is None:
                made = self._making[key] = Future()
        if not mine:
            return made.result()
        try:
            result = make()
        except BaseException as error:
            with self._lock:
                del self._making[key]
            made.set_exception(error)
            raise
        self._keep(key, result)
        made.set_result(result)
        return result

    def _keep(self, key: Hashable, result: Result) -> None:
        """Keep a result that was being made, and let go of the longest unused."""
        with self._lock:
            del self._making[key]
            self._results[key] = result
            self.nbytes += result.nbytes
            while self.nbytes > self._most and len(self._results) > self._fewest:
                self.nbytes -= self._results.popitem(last=False)[1].nbytes
