"""How much a file may ask for: in proportion to what it is, and never more than there is."""

import psutil

#: What any file may become in memory, in bytes, however small it is.
FREE_BYTES = 64 * 2**20

#: Above that, bytes in memory a byte of a compressed archive, and of a binary file whose arrays may
#: be declared without being stored. Tables of networks shrink to a fifth or a twentieth, a bomb to
#: a thousandth.
ARCHIVE_RATIO = 100
ARRAY_RATIO = 1000

_REMEDY = (
    "a damaged file, or one made to fill the memory. Fetch it anew, or unpack and look at it first"
)


class UnreadableError(ValueError):
    """A file that is not read; the message says why and what to do."""


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def budget_of(stored: int, ratio: int) -> int:
    """Return the bytes that a file of ``stored`` bytes may become in memory.

    Examples
    --------
    >>> budget_of(1000, 100) == FREE_BYTES, budget_of(10**7, 100)
    (True, 1000000000)
    """
    return max(FREE_BYTES, ratio * stored)


def refuse_bomb(what: str, expanded: int, stored: int, *, ratio: int = ARCHIVE_RATIO) -> None:
    """Refuse content that is out of proportion to the file that holds it.

    Raises
    ------
    UnreadableError

    Examples
    --------
    >>> refuse_bomb("a.csv", 20_000, 1000)
    >>> refuse_bomb("a.csv", 2**33, 10_000_000)
    Traceback (most recent call last):
    aqreanalysis.untrusted.budget.UnreadableError: a.csv expands from 10 MB to 8590 MB: ...
    """
    if expanded > budget_of(stored, ratio):
        raise UnreadableError(
            f"{what} expands from {_size(stored)} to {_size(expanded)}: {_REMEDY}"
        )


def check_size(what: str, needed: int) -> None:
    """Refuse what does not fit into the memory that is free now.

    Raises
    ------
    UnreadableError
    """
    free = psutil.virtual_memory().available
    if needed > free:
        raise UnreadableError(
            f"{what} needs {_size(needed)} of memory, and {_size(free)} are free. Read a part of "
            "it: fewer stations, hours or variables at a time"
        )


def _size(count: int) -> str:
    """Return a number of bytes for a message."""
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.3g} kB"
