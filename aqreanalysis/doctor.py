"""What an installation has and whether it works: packages, memory, folders, a self-test."""

import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

from aqreanalysis.atomic import WriteError, atomic_folder, write_bytes
from aqreanalysis.datasets import synthetic_network
from aqreanalysis.memory import free_bytes, in_words
from aqreanalysis.product import open_product
from aqreanalysis.reanalysis import reanalyse

#: Extras for users; the others are for those who work on the package.
EXTRAS = ("zarr", "gis", "pyaro", "peers")
#: Below this much free memory even a small product may fail.
LITTLE_MEMORY = 5e8
#: Stored values have three digits.
_ROUNDING = 0.01


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    subject, state : str
    remedy : str
        What to do; empty where all is well.
    """

    subject: str
    state: str
    remedy: str = ""


def examine(paths: Sequence[Path] = (), *, self_test: bool = True) -> list[Finding]:
    """Return what this installation has, and what is wrong with it.

    Parameters
    ----------
    paths : sequence of path
        Stores of `aqreanalysis.operation.update` and folders of saved models, of which the state is
        said.
    self_test : bool
        Whether fields of a small synthetic network are computed, written and read back, which takes
        seconds.

    Examples
    --------
    >>> findings = examine(self_test=False)
    >>> [finding.subject for finding in findings][:3]
    ['aqreanalysis', 'Python', 'required packages']
    >>> [finding for finding in findings if finding.remedy]
    []
    """
    findings = [
        Finding("aqreanalysis", f"{metadata.version('aqreanalysis')} in {Path(__file__).parent}"),
        Finding("Python", f"{platform.python_version()}, {platform.platform()}"),
        _required(),
        *_optional(),
        _threads(),
        _memory(),
        _card(),
        *_folders(),
        *map(_state, paths),
    ]
    return [*findings, _self_test()] if self_test else findings


def _required() -> Finding:
    """Compare the packages that are there with those that are needed."""
    required = [Requirement(line) for line in metadata.requires("aqreanalysis") or ()]
    needed = [one for one in required if not one.marker or one.marker.evaluate({"extra": ""})]
    wrong = [fault for one in needed if (fault := _fault_of(one))]
    if wrong:
        asked = " ".join(f"'{one.name}{one.specifier}'" for one in needed if _fault_of(one))
        return Finding("required packages", "; ".join(wrong), f"pip install {asked}")
    shown = ("numpy", "xarray", "dask", "torch", "scipy", "netCDF4")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in shown)
    return Finding("required packages", f"all {len(needed)} are there; {versions}")


def _fault_of(requirement: Requirement) -> str:
    """Return how a package falls short of what is required, or nothing."""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return ""
    return f"{requirement.name} is {version}, and {requirement.specifier} is needed"


def _optional() -> Iterator[Finding]:
    """Yield what there is of each extra."""
    offered = metadata.metadata("aqreanalysis").get_all("Provides-Extra") or ()
    lines = [Requirement(line) for line in metadata.requires("aqreanalysis") or ()]
    for extra in (name for name in EXTRAS if name in offered):
        parts = [
            one
            for one in lines
            if one.marker
            and one.marker.evaluate({"extra": extra})
            and not one.marker.evaluate({"extra": ""})
        ]
        faults = [fault for one in parts if (fault := _fault_of(one))]
        if faults:
            state = f"{'; '.join(faults)}; if you need it: pip install 'aqreanalysis[{extra}]'"
        else:
            state = ", ".join(f"{one.name} {metadata.version(one.name)}" for one in parts)
        yield Finding(f"extra {extra}", state)


def _threads() -> Finding:
    """Say how many processors there are, and how many threads are used."""
    import psutil
    import torch

    process = psutil.Process()
    own = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else os.cpu_count()
    stated = os.environ.get("OMP_NUM_THREADS", "not set")
    return Finding(
        "threads",
        f"{own} processors; torch takes {torch.get_num_threads()}, OMP_NUM_THREADS is {stated}",
    )


def _memory() -> Finding:
    """Say how much memory is free."""
    free = free_bytes()
    remedy = "Close other programs, or raise the limit of the container" * (free < LITTLE_MEMORY)
    return Finding("memory", f"{in_words(free)} free, of which half is taken by default", remedy)


def _card() -> Finding:
    """Say which card trains, if there is one."""
    import torch

    if torch.cuda.is_available():
        return Finding("card", torch.cuda.get_device_name())
    return Finding("card", "none; everything runs without one")


def _folders() -> Iterator[Finding]:
    """Yield whether the folder of data is there, and whether files can be written here."""
    named = os.environ.get("AQREANALYSIS_DATA_DIR")
    if named is None:
        yield Finding("data", "AQREANALYSIS_DATA_DIR is not set; downloads go to the cache")
    elif Path(named).expanduser().is_dir():
        yield Finding("data", named)
    else:
        yield Finding(
            "data", f"{named} is no folder", "Create it, or name another: AQREANALYSIS_DATA_DIR"
        )
    here = Path.cwd()
    try:
        with tempfile.TemporaryDirectory(prefix=".aqreanalysis-", dir=here) as folder:
            write_bytes(Path(folder, "file"), b"whole")
            for _ in range(2):
                with atomic_folder(Path(folder, "folder")) as partial:
                    (partial / "file").touch()
    except (OSError, WriteError) as error:
        yield Finding("this folder", str(error), "Change to a folder that you may write to")
    else:
        yield Finding("this folder", f"{here} can be written to")


def _state(path: Path) -> Finding:
    """Say what is in a store or a model, and whether it is whole."""
    from aqreanalysis.methods.neural.reanalyser import Reanalyser
    from aqreanalysis.operation.state import state_of

    try:
        if path.suffix.lower() == ".zarr":
            return Finding(str(path), state_of(path))
        model = Reanalyser.load(path)
    except (ValueError, OSError, RuntimeError) as error:
        return Finding(str(path), "cannot be used", str(error))
    return Finding(str(path), f"{model!r}, learned until {model.settings['period'][1]} UTC")


def _self_test() -> Finding:
    """Compute fields, write them, read them back, and compare."""
    begin = time.perf_counter()
    try:
        _fields_come_back()
    except Exception as error:
        return Finding(
            "self-test",
            f"{type(error).__name__}: {error}",
            "Install the package anew in a new environment; if that does not help, report this",
        )
    return Finding("self-test", f"passed in {time.perf_counter() - begin:.1f} s")


def _fields_come_back() -> None:
    """Fail if the fields of a synthetic network are not what is read back from their file."""
    measured = synthetic_network(hours=24, seed=0).observations
    product = reanalyse(measured, method="kriging", progress=False).compute()
    with tempfile.TemporaryDirectory() as folder:
        written = product.aqnet.to_netcdf(Path(folder, "pm25.nc"), progress=False)
        with open_product(written) as opened:
            for name in ("pm25", "pm25_uncertainty"):
                difference = np.abs(opened[name] / product[name] - 1).max()
                if not difference < _ROUNDING:
                    raise RuntimeError(f"{name} differs by {float(difference):.1%} in its file")


def report(findings: list[Finding]) -> str:
    """Return the findings as text.

    Examples
    --------
    >>> print(report([Finding("card", "none"), Finding("data", "/x is no folder", "Create it")]))
    card  none
    data  /x is no folder
          -> Create it
    1 of 2 needs attention
    """
    width = max(len(finding.subject) for finding in findings) + 2
    lines = []
    for finding in findings:
        lines.append(f"{finding.subject:<{width}}{finding.state}")
        if finding.remedy:
            lines.append(f"{'':<{width}}-> {finding.remedy}")
    wrong = sum(bool(finding.remedy) for finding in findings)
    verb = "needs" if wrong == 1 else "need"
    lines.append(f"{wrong} of {len(findings)} {verb} attention" if wrong else "All is well")
    return "\n".join(lines)
