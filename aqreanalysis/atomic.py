"""Atomic writing: files and folders that take their name only when they are complete."""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A disk with less than this is full for HDF5, which writes whole chunks.
_FULL_BYTES = 2**22


class WriteError(RuntimeError):
    """A file that cannot be written; the message says why, and what to do."""


@contextmanager
def atomic_file(target: Path, *, error: type[Exception] | None = None) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which becomes the target when all went well.

    The folder must exist. The bytes are on the disk before the file is renamed, and it has the
    permissions of any new file. Whatever happens, also an interruption, nothing incomplete stays,
    and an earlier file of that name is left as it is until the new one replaces it. Any number of
    processes may write the same target at once: the last one to finish wins. The temporary file has
    the same suffix, since some libraries choose the format by it. A failure of the last step,
    synchronising and renaming, is `explained` as ``error``.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(Path(folder, "note.txt")) as partial:
    ...         _ = partial.write_text("whole")
    ...     [path.name for path in Path(folder).iterdir()]
    ['note.txt']
    """
    partial = _temporary(target)
    try:
        yield partial
        with explained(target, error):
            _settle(partial, _usual_mode(target))
            os.replace(partial, target)
    finally:
        _discard(partial)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside the target, which becomes the target when all went well.

    An earlier folder of that name is deleted only when the new one is in its place; should that
    fail, the earlier one comes back. Everything else is as for `atomic_file`.
    """
    partial = _temporary(target)
    try:
        partial.mkdir()
        yield partial
        mode = _usual_mode(target)
        for path in partial.rglob("*"):
            if path.is_file():
                _settle(path, mode)
        _put_in_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write a whole file from memory, as `atomic_file` does."""
    with atomic_file(target) as partial:
        partial.write_bytes(content)


def check_target(target: Path, *, overwrite: bool, error: type[Exception] = WriteError) -> None:
    """Refuse a path that no file can be written to.

    Raises
    ------
    WriteError
        Or what is given as ``error``: if there is no such folder or no permission, the path is a
        folder, or the file exists and must stay.
    """
    folder = target.parent
    if not folder.is_dir():
        raise error(
            f"cannot write {target}: there is no folder {folder}. Create it, or name another."
        )
    if target.is_dir():
        raise error(
            f"cannot write {target}: it is a folder. Name a file in it, as {target / 'pm25.nc'}."
        )
    if target.exists() and not overwrite:
        raise error(
            f"{target} exists, and overwrite is False. Name another file, or allow overwriting."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise error(
            f"cannot write {target}: no permission to write into {folder}. Name another folder."
        )


@contextmanager
def explained(target: Path, error: type[Exception] | None = WriteError) -> Iterator[None]:
    """Turn a failure of the file system or of HDF5 into an error that says what to do.

    The error is passed on where it is raised already; None passes on everything.
    """
    try:
        yield
    except (OSError, RuntimeError) as failure:
        if error is None or isinstance(failure, error):
            raise
        raise error(f"cannot write {target}: {_reason(failure, target.parent)}") from failure


def _temporary(target: Path) -> Path:
    """Return a hidden path in the target's folder that no other process uses."""
    unique = f"{os.getpid()}-{secrets.token_hex(3)}"
    return target.with_name(f".{target.name}.partial-{unique}{target.suffix}")


def _usual_mode(target: Path) -> int:
    """Return the permissions that the user's umask gives to a new file in the target's folder.

    Tried out, since asking for the umask would change it for all threads of the process.
    """
    probe = _temporary(target)
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mode & 0o777
    finally:
        probe.unlink(missing_ok=True)


def _settle(path: Path, mode: int) -> None:
    """Bring the bytes of a complete file to the disk, and give it usual permissions.

    safetensors, for one, makes files that no other user may read.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    path.chmod(mode)


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename a new folder; an earlier one of that name is deleted only when it is in place."""
    if not target.exists():
        os.replace(partial, target)
        return
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        earlier = Path(scratch) / target.name
        os.replace(target, earlier)
        try:
            os.replace(partial, target)
        except BaseException:
            os.replace(earlier, target)
            raise


def _reason(failure: Exception, folder: Path) -> str:
    """Return the reason of a failed write and its remedy; HDF5 itself does not say it."""
    number = failure.errno if isinstance(failure, OSError) else None
    free = shutil.disk_usage(folder).free
    if number in (errno.ENOSPC, errno.EDQUOT) or free < _FULL_BYTES:
        return (
            f"the disk is full ({free / 1e6:.1f} MB free in {folder}). "
            "Free some space or name another folder; nothing was left behind."
        )
    if isinstance(failure, PermissionError):
        return f"no permission to write into {folder}. Name another folder."
    return f"{failure}. Check the disk and the quota of {folder}; nothing was left behind."


def _discard(partial: Path) -> None:
    """Remove an incomplete file, if there is one, and free its space."""
    if not partial.exists():
        return
    _divert_descriptors(partial)
    with suppress(PermissionError):  # on Windows, while a library has it open
        partial.unlink(missing_ok=True)


def _divert_descriptors(partial: Path) -> None:
    """Point descriptors that are still open on the file to nowhere.

    HDF5 cannot close a file on a full disk. It would occupy the removed file's space, and try to
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
