"""Errors in reading the data of others."""

from collections.abc import Iterator
from contextlib import contextmanager


class ForeignError(ValueError):
    """A file or Dataset that cannot be read as CF; the message says why."""


@contextmanager
def raising(error: type[Exception], subject: str) -> Iterator[None]:
    """Turn a `ForeignError` into an error of the caller that names the subject.

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
