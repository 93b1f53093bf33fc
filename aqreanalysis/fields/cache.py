"""A thread-safe cache of the last results, bounded in bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, Protocol, TypeVar


class Sized(Protocol):
    """A result of known size."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        ...


Result = TypeVar("Result", bound=Sized)


class Cache(Generic[Result]):
    """A thread-safe cache bounded in bytes, of which the least recently used result goes first.

    The last ``fewest`` stay whatever their size. A result that one thread computes is waited for by
    the others that need it. In another process, and in a copy, a cache begins empty, and with all
    of its bytes.

    Examples
    --------
    >>> import numpy as np
    >>> cache = Cache(most_bytes=100)
    >>> [float(cache.get(key, lambda: np.full(10, key))[0]) for key in (1, 2, 1)]
    [1.0, 2.0, 1.0]
    >>> cache.nbytes  # of both, one is left
    80
    """

    def __init__(self, most_bytes: int, *, fewest: int = 1) -> None:
        self._most, self._fewest, self._lock = most_bytes, fewest, threading.Lock()
        self._bound = most_bytes
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self._pending: dict[Hashable, Future[Result]] = {}
        self.nbytes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the results behind."""
        return partial(type(self), self._most, fewest=self._fewest), ()

    def get(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """Return the result of that key, computed now if it is not in the cache."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
            pending = self._pending.get(key)
            if first := pending is None:
                pending = self._pending[key] = Future()
        if not first:
            return pending.result()
        try:
            result = compute()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            pending.set_exception(error)
            raise
        self._store(key, result)
        pending.set_result(result)
        return result

    def limit(self, most_bytes: int) -> None:
        """Take so many bytes at most from now on, and never more than at first."""
        with self._lock:
            self._bound = min(most_bytes, self._most)
            self._drop()

    def _store(self, key: Hashable, result: Result) -> None:
        """Add a result that was pending."""
        with self._lock:
            del self._pending[key]
            self._results[key] = result
            self.nbytes += result.nbytes
            self._drop()

    def _drop(self) -> None:
        """Drop the least recently used results beyond the bound."""
        while self.nbytes > self._bound and len(self._results) > self._fewest:
            self.nbytes -= self._results.popitem(last=False)[1].nbytes
