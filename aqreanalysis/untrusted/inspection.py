"""The process that looks through a binary file first, and what is opened after it."""

import atexit
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psutil
import xarray as xr

from aqreanalysis.untrusted import worker
from aqreanalysis.untrusted.budget import UnreadableError, first_line

logger = logging.getLogger("aqreanalysis.untrusted")

Kind = Literal["series", "fields", "hdf5", "shapefile", "parquet"]

#: Seconds of work for a file, and further ones for each byte of a large one.
SECONDS, SECONDS_A_BYTE = 12.0, 1 / 10e6

#: Times as many seconds may pass, on a machine or a disk that is busy.
WAITING = 5

#: Seconds for the process to be there, on a machine that is busy.
_START_SECONDS = 60.0

#: Bytes of memory of the process: of the libraries, a slab of values and a chunk.
MEMORY = 768 * 2**20


def inspect(paths: Sequence[str | os.PathLike[str]], kind: Kind) -> None:
    """Have files read by another process, within limits of time and memory.

    The process is started with the first file and kept for the next ones: a third of a second,
    and then milliseconds. Where no process can be started, the files are inspected in this
    one, which can refuse them but not end a library that hangs; the log says so.

    Parameters
    ----------
    paths : sequence of path
    kind : {"series", "fields", "hdf5", "shapefile", "parquet"}
        See `aqreanalysis.untrusted.worker.check`.

    Raises
    ------
    UnreadableError
        If a file is damaged, is another format, declares far more than it holds, takes values
        from other files, or takes too long.
    """
    for path in paths:
        _inspect(os.path.abspath(path), kind)


def open_netcdf(
    path: str | os.PathLike[str], *, kind: Literal["series", "fields"], chunks: Any = None
) -> xr.Dataset:
    """Return the lazy Dataset of a NetCDF file after its inspection.

    Hours without a reference date stay numbers.

    Parameters
    ----------
    path : path
        An existing file.
    kind : {"series", "fields"}
        Whether its values will be read whole, or stay in the file.
    chunks : optional
        As `xarray.open_dataset` takes them.

    Raises
    ------
    UnreadableError
        As `inspect` does, and if xarray cannot decode it.
    """
    inspect([path], kind)
    try:
        return xr.open_dataset(
            os.path.abspath(path), engine="netcdf4", chunks=chunks, decode_timedelta=False
        )
    except Exception as error:  # of xarray, cftime and netCDF4, many kinds
        raise UnreadableError(
            f"{first_line(error)[:200]}. Correct its attributes (ncatted), or open it with xarray "
            "and pass the Dataset"
        ) from error


class _EndedError(UnreadableError):
    """The process has ended by itself."""


class _Inspector:
    """The other process, and the thread that listens to it."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        search = os.pathsep.join(part for part in sys.path if part)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", str(Path(worker.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        )
        self.replies: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self.close)
        try:
            self.reply(_START_SECONDS)
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.replies.put(line)
        self.replies.put("")  # it has ended

    def ask(self, kind: str, path: str) -> dict[str, str]:
        """Return what the process says of a file."""
        seconds = SECONDS + SECONDS_A_BYTE * os.path.getsize(path)
        assert self.process.stdin
        with suppress(BrokenPipeError):  # then the reply says that it has ended
            self.process.stdin.write(json.dumps([kind, path, round(2 * WAITING * seconds)]) + "\n")
            self.process.stdin.flush()
        return self.reply(seconds)

    def reply(self, seconds: float) -> dict[str, str]:
        """Return the next reply; end the process if it takes too much time or memory."""
        start, (worked, _) = time.monotonic(), self.used()
        while True:
            try:
                line = self.replies.get(timeout=0.05)
                break
            except queue.Empty:
                work, memory = self.used()
                if work - worked > seconds or time.monotonic() - start > WAITING * seconds:
                    raise UnreadableError(
                        f"reading it takes longer than {seconds:.0f} s: the file is damaged; "
                        "fetch it anew"
                    ) from None
                if memory > MEMORY:
                    raise UnreadableError(
                        f"reading it takes more than {MEMORY / 1e6:.0f} MB of memory: the file is "
                        "damaged; fetch it anew"
                    ) from None
        if not line:
            raise _EndedError("the library that reads it fails: the file is damaged; fetch it anew")
        return json.loads(line)

    def used(self) -> tuple[float, int]:
        """Return the seconds that the process has worked, and the bytes of memory that it has."""
        try:
            process = psutil.Process(self.process.pid)
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss
        except psutil.Error:
            return 0.0, 0

    def close(self) -> None:
        """End the process."""
        if self.owner != os.getpid():  # a copy of this object after a fork
            return
        atexit.unregister(self.close)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                if pipe:
                    pipe.close()


_lock = threading.Lock()
_inspector: _Inspector | None = None
_of_parents: list[_Inspector] = []  # after a fork; kept, since they are not ours to end


def _inspect(path: str, kind: Kind) -> None:
    """Look through one file."""
    global _inspector
    with _lock:
        if _inspector is not None and _inspector.owner != os.getpid():
            _of_parents.append(_inspector)
            _inspector = None
        try:
            reply = _asked(kind, path)
        except _EndedError:  # of this file, or it was ended before
            reply = _asked(kind, path)
    if "refused" in reply:
        raise UnreadableError(reply["refused"])


def _asked(kind: Kind, path: str) -> dict[str, str]:
    """Return the reply of the running process, or of a new one."""
    global _inspector
    if _inspector is not None and _inspector.process.poll() is not None:
        _inspector.close()
        _inspector = None
    _inspector = _inspector or _started()
    if _inspector is None:
        return _here(kind, path)
    try:
        return _inspector.ask(kind, path)
    except BaseException:  # an interruption too: the process may still be busy
        _inspector.close()
        _inspector = None
        raise


def _started() -> _Inspector | None:
    """Return a new process, or None where there can be none."""
    try:
        # Within another program, sys.executable is that program.
        if not Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
            raise OSError(f"{sys.executable!r} is no Python")
        return _Inspector()
    except (OSError, UnreadableError) as error:
        logger.warning(
            "no process can be started to look through binary files first (%s): they are read "
            "without a limit of time",
            error,
        )
        return None


def _here(kind: Kind, path: str) -> dict[str, str]:
    """Look through a file in this process."""
    try:
        worker.check(kind, path)
    except worker.RefusedError as error:
        return {"refused": str(error)}
    return {}
