"""How much a file may ask for: in proportion to what it is, and never more than there is."""

import stat
from pathlib import Path

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


def text_of(path: Path) -> str:
    """Return the text of a small file, as what describes a model or a store is.

    Raises
    ------
    UnreadableError
        If it is a pipe, at which a reader would wait for ever, a device or a socket, or larger than
        any such file is.
    OSError
        If there is none, or it is a folder.

    Examples
    --------
    >>> text_of(Path("/dev/null"))
    Traceback (most recent call last):
    aqreanalysis.untrusted.budget.UnreadableError: null is a pipe, a device or a socket: ...
    """
    facts = path.stat()
    if is_special(facts.st_mode):
        raise UnreadableError(f"{path.name} is a pipe, a device or a socket: fetch the file anew")
    if facts.st_size > FREE_BYTES:
        raise UnreadableError(f"{path.name} has {_size(facts.st_size)} of text: {_REMEDY}")
    return path.read_text(encoding="utf-8")


def is_special(mode: int) -> bool:
    """Return whether a name with this mode is neither a file nor a folder nor a link.

    Examples
    --------
    >>> is_special(Path("/dev/null").stat().st_mode), is_special(Path().stat().st_mode)
    (True, False)
    """
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


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
