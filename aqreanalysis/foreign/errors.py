"""Errors in reading the data of others."""

from collections.abc import Iterator
from contextlib import contextmanager


class ForeignError(ValueError):
    """A file or Dataset that cannot be read as CF; the message says why.

    ``{data}`` in the message stands for what the caller reads, such as "product".

    Examples
    --------
    >>> fault = ForeignError("select it with {data}.isel(level=0)")
    >>> fault.about("product")
    'select it with product.isel(level=0)'
    >>> str(fault)
    'select it with data.isel(level=0)'
    """

    def about(self, data: str) -> str:
        """Return the message about data of that name."""
        # No format(): file names and attributes in the message may have braces.
        return super().__str__().replace("{data}", data)

    def __str__(self) -> str:
        return self.about("data")


@contextmanager
def raising(error: type[Exception], subject: str) -> Iterator[None]:
    """Turn a `ForeignError` into an error of the caller that names the subject.

    The subject, such as "the product", becomes "product" in the remedies, and precedes a message
    that does not begin with it.

    Examples
    --------
    >>> with raising(ValueError, "the map"):
    ...     raise ForeignError("the {data} has no dates: assign {data}.time")
    Traceback (most recent call last):
    ValueError: the map has no dates: assign map.time
    >>> with raising(ValueError, "the map"):
    ...     raise ForeignError("'lat' is missing")
    Traceback (most recent call last):
    ValueError: the map: 'lat' is missing
    """
    try:
        yield
    except ForeignError as fault:
        message = fault.about(subject.removeprefix("the "))
        raise error(message if message.startswith(subject) else f"{subject}: {message}") from fault
