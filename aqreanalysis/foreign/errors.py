"""What cannot be read of the files of others."""

from collections.abc import Iterator
from contextlib import contextmanager


class ForeignError(ValueError):
    """A file or Dataset of others that cannot be read as CF; the message says why."""


@contextmanager
def raising(error: type[Exception], subject: str) -> Iterator[None]:
    """Turn a `ForeignError` into the error of the caller, which says what was read.

    Examples
    --------
    >>> with raising(ValueError, "the map"):
    ...     raise ForeignError("'lat' is missing")
    Traceback (most recent call last):
    ValueError: the map: 'lat' is missing
    """
    try:
        yield
    except ForeignError as fault:
        raise error(f"{subject}: {fault}") from fault
