"""Atomic writing: files and folders that take their name only when they are complete."""

import ctypes
import errno
import glob
import hashlib
import os
import secrets
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

# A disk with less than this is full for HDF5, which writes whole chunks.
_FULL_BYTES = 2**22
#: Bytes that file systems allow a name.
LONGEST_NAME = 255
#: Bytes of a target's name up to which its partial folder has that name too.
_LONGEST_SHOWN = 200
#: Names in a partial folder: one that no process has locked is one whose process was killed.
_LOCK, _EARLIER, _BEFORE = "lock", "earlier", "before"


class WriteError(RuntimeError):
    """A file that cannot be written; the message says why, and what to do."""


@contextmanager
def atomic_file(target: Path, *, error: type[Exception] | None = None) -> Iterator[Path]:
    """Yield a temporary path beside the target, which becomes the target when all went well.

    The folder must exist. The bytes are on the disk before the file is renamed, and it has the
    permissions of any new file. Whatever happens, also an interruption, nothing incomplete stays,
    and an earlier file of that name is left as it is until the new one replaces it; what a run left
    that was killed is removed by the next. Links are followed. Any number of processes may write
    the same target at once: the last one to finish wins. The temporary file has the name of the
    target in a hidden folder, since some libraries choose the format by the suffix. A failure of
    the first and the last step is `explained` as ``error``.

    Raises
    ------
    WriteError
        Or what is given as ``error``: if the target is a device, a pipe or a socket.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_file(Path(folder, "note.txt")) as partial:
    ...         _ = partial.write_text("whole")
    ...     [path.name for path in Path(folder).iterdir()]
    ['note.txt']
    """
    target = Path(os.path.realpath(target))
    _refuse_special(target, error or WriteError)
    with scratch_folder(target, error) as folder:
        partial = folder / target.name
        try:
            yield partial
            with explained(target, error):
                _settle(partial, _usual_mode(folder))
                os.replace(partial, target)
        finally:
            _discard(partial)


@contextmanager
def atomic_folder(target: Path, *, leave_earlier: bool = False) -> Iterator[Path]:
    """Yield a new, empty folder beside the target, which becomes the target when all went well.

    An earlier folder of that name changes places with the new one in one step where the file
    system can do that, and is then deleted; or it is left beside the target until the next time,
    as `earlier_of` names it, for those that are reading it. Elsewhere it is renamed first; should
    the process be killed just then, `clean` brings it back. Everything else is as for
    `atomic_file`.
    """
    target = Path(os.path.realpath(target))
    _refuse_special(target, WriteError)
    with scratch_folder(target) as folder:
        partial = folder / target.name
        partial.mkdir()
        yield partial
        mode = _usual_mode(folder)
        for path in partial.rglob("*"):
            if path.is_file() and path.stat().st_nlink == 1:  # others were settled before
                _settle(path, mode)
        earlier = earlier_of(target)
        if os.path.lexists(earlier):  # renamed before it is deleted: nobody reads half of it
            os.replace(earlier, folder / _BEFORE)
        _put_in_place(partial, target)
        replaced = next((p for p in (partial, folder / _EARLIER) if p.exists()), None)
        if leave_earlier and replaced is not None:
            os.replace(replaced, earlier)


@contextmanager
def scratch_folder(target: Path, error: type[Exception] | None = None) -> Iterator[Path]:
    """Yield a hidden folder beside the target for what is needed on the way, and remove it after.

    It is locked, so that no other process touches it. What a run left that was killed is removed by
    the next one that writes the target.
    """
    clean(target)
    folder = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}")
    lock = FileLock(folder / _LOCK, thread_local=False)
    try:  # from here on the run may be stopped at any moment
        with explained(target, error):
            folder.mkdir()
            while not _is_ours(lock):
                folder.mkdir(exist_ok=True)
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def leftovers(target: Path) -> list[Path]:
    """Return the partial folders beside a target: of runs that write it now, or were killed.

    Examples
    --------
    >>> leftovers(Path("none.nc"))
    []
    """
    return sorted(target.parent.glob(f"{glob.escape(_prefix(target))}*"))


def clean(target: Path) -> None:
    """Remove what killed runs left of a target, and bring back what they had renamed.

    `atomic_file` and `atomic_folder` begin with it; what a process is writing now is locked and
    stays.
    """
    target = Path(os.path.realpath(target))
    for leftover in leftovers(target):
        if leftover.is_symlink():  # to what is none of ours
            continue
        # Where the lock has gone already, since the process was killed while it cleaned up, this
        # makes it anew: whoever waits for it then sees that the folder is no longer there.
        lock = FileLock(leftover / _LOCK, thread_local=False)
        with suppress(Timeout, OSError, NotImplementedError), lock.acquire(blocking=False):
            if (leftover / _EARLIER).exists() and not target.exists():
                os.replace(leftover / _EARLIER, target)
            shutil.rmtree(leftover, ignore_errors=True)


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
        folder, a device or too long, or the file exists and must stay.
    """
    folder = target.parent
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise error(
            f"cannot write {target}: a name has {LONGEST_NAME} bytes at most, and this one "
            f"{len(os.fsencode(target.name))}. Choose a shorter one."
        )
    if not folder.is_dir():
        raise error(
            f"cannot write {target}: there is no folder {folder}. Create it, or name another."
        )
    if target.is_dir():
        raise error(
            f"cannot write {target}: it is a folder. Name a file in it, as {target / 'pm25.nc'}."
        )
    _refuse_special(Path(os.path.realpath(target)), error)
    if target.exists() and not overwrite:
        raise error(
            f"{target} exists, and overwrite is False. Name another file, or allow overwriting."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise error(
            f"cannot write {target}: no permission to write into {folder}. Name another folder."
        )


@contextmanager
def explained(
    target: Path,
    error: type[Exception] | None = WriteError,
    *,
    remains: str = "nothing was left behind",
) -> Iterator[None]:
    """Turn a failure of the file system or of HDF5 into an error that says what to do.

    The error is passed on where it is raised already; None passes on everything. ``remains`` says
    what the disk still holds of the work.
    """
    try:
        yield
    except (OSError, RuntimeError, zlib.error) as failure:  # zlib: a PDF on a full disk
        if error is None or isinstance(failure, error):
            raise
        reason = _reason(failure, target.parent, remains)
        raise error(f"cannot write {target}: {reason}") from failure


def _refuse_special(target: Path, error: type[Exception]) -> None:
    """Refuse what is neither a file nor a folder: renaming would replace it."""
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise error(
            f"cannot write {target}: it is a device, a pipe or a socket, which a file would "
            "replace. Name a file."
        )


def shown_name(target: Path) -> str:
    """Return the name of a target, or a sum of one that leaves no room for what goes with it.

    Examples
    --------
    >>> shown_name(Path("pm25.nc"))
    'pm25.nc'
    """
    encoded = os.fsencode(target.name)
    if len(encoded) > _LONGEST_SHOWN:
        return hashlib.sha256(encoded).hexdigest()[:16]
    return target.name


def earlier_of(target: Path) -> Path:
    """Return where the version of a folder before is left for those that are reading it.

    Examples
    --------
    >>> earlier_of(Path("pm25.zarr")).name
    '.pm25.zarr.earlier'
    """
    return target.with_name(f".{shown_name(target)}.earlier")


def identity_of(file: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its name: inode, and time of change in ns.

    A removed file leaves its inode to the next one. None where there is no file.

    Examples
    --------
    >>> identity_of(Path("none.json")) is None
    True
    """
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def _prefix(target: Path) -> str:
    """Return how the names of a target's partial folders begin."""
    return f".{shown_name(target)}.partial-"


def _is_ours(lock: BaseFileLock) -> bool:
    """Take the lock on a new folder; False if it was cleaned away before it was locked."""
    try:
        lock.acquire()
    except NotImplementedError:  # a file system without locks
        return True
    except (FileNotFoundError, FileExistsError):
        return False
    if os.path.exists(lock.lock_file):
        return True
    lock.release()
    return False


def _usual_mode(folder: Path) -> int:
    """Return the permissions that the user's umask gives to a new file in a folder.

    Tried out, since asking for the umask would change it for all threads of the process.
    """
    probe = folder / "mode"
    probe.touch()
    return probe.stat().st_mode & 0o777


def _settle(path: Path, mode: int) -> None:
    """Bring the bytes of a complete file to the disk, and give it usual permissions.

    safetensors, for one, makes files that no other user may read.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    path.chmod(mode)


def _put_in_place(partial: Path, target: Path) -> None:
    """Give a new folder the target's name; what had it before goes where the new one was."""
    if _renamed(partial, target) or _exchanged(partial, target):
        return
    earlier = partial.with_name(_EARLIER)
    os.replace(target, earlier)
    try:
        os.replace(partial, target)
    except BaseException:
        os.replace(earlier, target)
        raise


def _renamed(partial: Path, target: Path) -> bool:
    """Rename a folder unless there is one of that name; return whether it was done."""
    if target.exists():
        return False
    try:
        os.replace(partial, target)
    except OSError as failure:
        if failure.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was quicker
            return False
        raise
    return True


def _exchanged(first: Path, second: Path) -> bool:
    """Let two names change places in one step; return whether the system could do that."""
    names = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux":
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        arguments = here, names[0], here, names[1], ctypes.c_uint(exchange)
        function = "renameat2"
    elif sys.platform == "darwin":
        arguments = *names, ctypes.c_uint(2)  # RENAME_SWAP
        function = "renamex_np"
    else:
        return False
    library = ctypes.CDLL(None, use_errno=True)
    return hasattr(library, function) and library[function](*arguments) == 0


def _reason(failure: Exception, folder: Path, remains: str) -> str:
    """Return the reason of a failed write and its remedy; HDF5 itself does not say it."""
    number = failure.errno if isinstance(failure, OSError) else None
    free = shutil.disk_usage(folder).free
    if number == errno.EROFS:
        return f"the disk of {folder} is read-only. Name another folder."
    if number in (errno.ENOSPC, errno.EDQUOT) or free < _FULL_BYTES:
        return (
            f"the disk is full ({free / 1e6:.1f} MB free in {folder}). "
            f"Free some space or name another folder; {remains}."
        )
    if isinstance(failure, PermissionError):
        return f"no permission to write into {folder}. Name another folder."
    return f"{failure}. Check the disk and the quota of {folder}; {remains}."


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
