"""The state of a store of `update`, in a line."""

import os
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from aqreanalysis.atomic import leftovers, shown_name
from aqreanalysis.conventions import TIME
from aqreanalysis.operation.damage import check_undamaged
from aqreanalysis.operation.journal import Journal
from aqreanalysis.product import open_product


def state_of(store: str | os.PathLike[str]) -> str:
    """Return what is in a store of `update`, whether a run has it, and what killed runs left.

    Raises
    ------
    ProductError
        If it is damaged, or was not made by `update`.

    Examples
    --------
    >>> import tempfile
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=1).observations
    >>> quick = aqr.Schedule(covariance_updates=2, updates=0)
    >>> model = aqr.Reanalyser(schedule=quick, progress=False).fit(obs, "pm25")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Path(folder, "pm25.zarr")
    ...     _ = aqr.update(store, obs, model=model, grid=0.5)
    ...     state_of(store).split("; ")[0]
    'pm25 of 48 h to 2020-11-02T23:00Z'
    """
    target = Path(os.path.realpath(store))
    journal = Journal.read(target)
    check_undamaged(target, journal)
    with open_product(target) as product:
        newest = np.datetime_as_string(product[TIME].values[-1], unit="m")
    parts = [
        f"{journal.request['variable']} of {journal.hours.size} h to {newest}Z",
        f"run {journal.runs}, model {journal.model}",
    ]
    if _is_locked(target):
        parts.append("a run is updating it now")
    elif left := leftovers(target):
        parts.append(f"{len(left)} leftovers of killed runs, which the next run removes")
    return "; ".join(parts)


def lock_of(target: Path) -> Path:
    """Return the file that a run which updates a store has locked.

    Examples
    --------
    >>> lock_of(Path("pm25.zarr")).name
    '.pm25.zarr.lock'
    """
    return target.with_name(f".{shown_name(target)}.lock")


def _is_locked(target: Path) -> bool:
    """Return whether a run has the lock of a store."""
    file = lock_of(target)
    if not file.exists():
        return False
    try:
        with FileLock(file).acquire(blocking=False):
            return False
    except (Timeout, OSError, NotImplementedError) as failure:
        return isinstance(failure, Timeout)
