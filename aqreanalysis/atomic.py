"""A file that appears under its name only when it is complete, and errors that say what to do."""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aqreanalysis.product.variables import ProductError

# A disk with less than this is full for HDF5, which writes whole chunks.
_FULL_BYTES = 2**22


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a path that no file can be written to.

    Raises
    ------
    ProductError
        If there is no such folder or no permission, the path is a folder, or the file exists and
        must stay.
    """
    folder = target.parent
    if not folder.is_dir():
        raise ProductError(
            f"cannot write {target}: there is no folder {folder}. Create it, or name another."
        )
    if target.is_dir():
        raise ProductError(
            f"cannot write {target}: it is a folder. Name a file in it, as {target / 'pm25.nc'}."
        )
    if target.exists() and not overwrite:
        raise ProductError(
            f"{target} exists, and overwrite is False. Name another file, or allow overwriting."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ProductError(
            f"cannot write {target}: no permission to write into {folder}. Name another folder."
        )


def put_in_place(aside: Path, folder: Path) -> None:
    """Rename a new folder; an earlier one of that name is deleted only when it is in place."""
    if not folder.exists():
        os.replace(aside, folder)
        return
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        earlier = Path(beside) / folder.name
        os.replace(folder, earlier)
        try:
            os.replace(aside, folder)
        except BaseException:
            os.replace(earlier, folder)
            raise


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield the path of a file beside the target, which takes its name when all went well.

    Whatever happens, also an interruption, nothing incomplete stays, and an earlier file of that
    name is there until the new one replaces it.
    """
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}-{secrets.token_hex(3)}")
    try:
        yield partial
        with explained(target):
            _settle(partial, target)
    finally:
        _discard(partial)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn a failure of the file system or of HDF5 into one that says what to do."""
    try:
        yield
    except ProductError:
        raise
    except (OSError, RuntimeError) as error:
        raise ProductError(f"cannot write {target}: {_reason(error, target.parent)}") from error


def _reason(error: Exception, folder: Path) -> str:
    """Return the reason of a failed write and its remedy; HDF5 itself does not say it."""
    number = error.errno if isinstance(error, OSError) else None
    free = shutil.disk_usage(folder).free
    if number in (errno.ENOSPC, errno.EDQUOT) or free < _FULL_BYTES:
        return (
            f"the disk is full ({free / 1e6:.1f} MB free in {folder}). "
            "Free some space or name another folder; nothing was left behind."
        )
    if isinstance(error, PermissionError):
        return f"no permission to write into {folder}. Name another folder."
    return f"{error}. Check the disk and the quota of {folder}; nothing was left behind."


def _settle(partial: Path, target: Path) -> None:
    """Give the complete file its name, when its bytes have reached the disk."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _discard(partial: Path) -> None:
    """Remove an incomplete file, if there is one, and free its space."""
    if not partial.exists():
        return
    _divert_descriptors(partial)
    partial.unlink(missing_ok=True)


def _divert_descriptors(partial: Path) -> None:
    """Point descriptors that are still open on the file to nowhere.

    HDF5 cannot close a file on a full disk. It would hold the removed file's space, and try to
    write more, until the process ends.
    """
    descriptors = Path("/proc/self/fd")  # Linux; elsewhere the space is free when the process ends
    if not descriptors.is_dir():
        return
    for link in descriptors.iterdir():
        with suppress(OSError):
            if link.readlink() == partial:
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, int(link.name))
                os.close(nowhere)
