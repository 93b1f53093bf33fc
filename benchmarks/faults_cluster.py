"""A reanalysis on a cluster of which a worker is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults_commands import digest

#: Blocks of one hour, so that there are many.
_LINE = "reanalyse stations-1.csv --method kriging --grid 0.1"


def workers_killed(folder: Path, times: int, seed: int) -> Iterator[tuple[bool, float]]:
    """Yield whether the product was lost, and the seconds of the run, for each try."""
    rng, os_command = np.random.default_rng(seed), [sys.executable, "-m"]
    alone = folder / "alone.nc"
    _run([*os_command, "aqreanalysis", *_LINE.split(), "-o", str(alone)], folder)
    for _ in range(times):
        address = folder / "scheduler.json"
        address.unlink(missing_ok=True)
        serving = [*os_command, "distributed.cli.dask_scheduler", "--port", "0"]
        serving += ["--no-dashboard", "--scheduler-file", str(address)]
        scheduler = _start(serving, folder)
        worker = [*os_command, "distributed.cli.dask_worker", "--scheduler-file", str(address)]
        worker += ["--no-nanny", "--nthreads", "1", "--no-dashboard"]
        workers = [_start(worker, folder) for _ in range(2)]
        try:
            where = _address(address)
            target, begin = folder / "cluster.nc", time.perf_counter()
            command = [*os_command, "aqreanalysis", *_LINE.split(), "-o", str(target)]
            run = _start([*command, "--scheduler", where], folder)
            time.sleep(rng.uniform(1, 5))
            os.kill(workers[0].pid, signal.SIGKILL)
            status = run.wait(120)
            lost = status != 0 or digest(target) != digest(alone)
            yield lost, time.perf_counter() - begin
        finally:
            for process in (*workers, scheduler):
                process.kill()
                process.wait()


def _address(file: Path) -> str:
    """Return the address that the scheduler has written."""
    import json

    until = time.monotonic() + 60
    while time.monotonic() < until:
        if file.exists() and file.stat().st_size:
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.1)
    raise RuntimeError("the scheduler does not start")


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command that says nothing."""
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _run(command: list[str], folder: Path) -> None:
    """Run a command to its end."""
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
