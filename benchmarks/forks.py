"""Work in forks of one warm process, and what may happen to it: kills, limits, other users.

The process that forks computes nothing itself, since threads do not survive a fork. POSIX only.
"""

import importlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Of a command; longer is a hang.
LONGEST_SECONDS = 120
#: A status of work that ended in an error which no command line would let through.
BARE = 70
#: A user that owns nothing.
NOBODY = 65534
#: Events of the interpreter that change a folder, other than opening a file to write it.
_CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.link", "os.symlink")


def started(
    work: Callable[[], object],
    most_bytes: int | None = None,
    *,
    seconds: int = LONGEST_SECONDS,
    said: Path | None = None,
) -> int:
    """Start some work in a fork, and return its process.

    Parameters
    ----------
    work : callable
    most_bytes : int, optional
        Writing beyond so many bytes of a file fails.
    seconds : int
        After which it is ended, unless these are 0.
    said : Path, optional
        File for what it writes to standard error; by default that is lost.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with open(os.devnull, "w") as nowhere, open(said or os.devnull, "w") as errors:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(errors.fileno(), 2)
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        signal.alarm(seconds)
        work()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = BARE
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def ended(child: int) -> int:
    """Wait for a command, and return its status."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_changes(folder: Path, then: Callable[[int], object]) -> None:
    """Call a function with the number of each change that Python makes in a folder, from 0 on.

    What libraries written in C do is not seen.
    """
    root, number = f"{folder}{os.sep}", 0

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if event == "open":
            writes = arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            writes = event in _CHANGES
        path = arguments[0] if writes else None
        if isinstance(path, str | bytes | os.PathLike) and os.path.abspath(
            os.fsdecode(path)
        ).startswith(root):
            number += 1
            then(number - 1)

    sys.addaudithook(seen)


def killed_at(folder: Path, change: int, work: Callable[[], object]) -> None:
    """Do some work, and be killed just before a change of a folder."""

    def kill(number: int) -> None:
        if number == change:
            os.kill(os.getpid(), signal.SIGKILL)

    at_changes(folder, kill)
    work()


def as_nobody(work: Callable[[], object]) -> None:
    """Do some work as a user to whom no folder belongs; without the right to that, as oneself."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    work()


def warmed(work: Callable[[], object], scratch: Path) -> None:
    """Import here what some work imports, so that forks begin with the work itself."""
    listed = scratch / "modules"

    def list_modules() -> None:
        with suppress(SystemExit):
            work()
        listed.write_text("\n".join(sys.modules))

    ended(started(list_modules))
    if listed.exists():
        for name in listed.read_text().splitlines():
            if name not in sys.modules and not name.startswith("__"):
                with suppress(ImportError, AttributeError):
                    importlib.import_module(name)
        listed.unlink()


class Disk:
    """A small disk of its own in memory, that can be full or read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, free: int) -> None:
        """Leave so many bytes free."""
        state = os.statvfs(self.folder)
        with (self.folder / ".ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, state.f_bavail * state.f_frsize - free)

    def clear(self) -> None:
        """Make room again."""
        (self.folder / ".ballast").unlink(missing_ok=True)

    def used(self) -> int:
        """Return how many bytes are taken."""
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    def allow(self, access: str) -> None:
        """Let it be written to, "rw", or not, "ro"."""
        _system("mount", "-o", f"remount,{access}", str(self.folder))


@contextmanager
def disk_at(folder: Path, megabytes: int = 32) -> Iterator[Disk | None]:
    """Yield a small disk at a new folder; None where this user may mount none."""
    folder.mkdir()
    try:
        _system("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        _system("umount", "-l", str(folder))


def _system(*command: str) -> None:
    """Run a command of the system without its words."""
    subprocess.run(command, check=True, capture_output=True)
