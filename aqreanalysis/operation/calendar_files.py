"""NetCDF of days or months out of a store, written when their hours have changed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from aqreanalysis.atomic import check_target, explained
from aqreanalysis.conventions import TIME
from aqreanalysis.operation.digests import joint_digest
from aqreanalysis.operation.journal import Journal
from aqreanalysis.product import ProductError, open_product, write_netcdf

Per = Literal["day", "month"]
#: Attribute of a file that says what its hours were made of.
MADE_OF = "store_digest"
_UNITS = {"day": "D", "month": "M"}


def write_periods(
    store: Path,
    folder: Path,
    *,
    per: Per,
    block_hours: int,
    since: np.datetime64,
    significant_digits: int | None,
) -> list[Path]:
    """Return the files of days or months that are written, since they are new or have changed.

    Parameters
    ----------
    store : Path
    folder : Path
        Files are called as the store and the day or month, UTC, to which
        the beginnings of the hours belong.
    per : {"day", "month"}
    block_hours : int
        Hours of a block of the journal.
    since : datetime64
        Files of periods that end before are written only if they are missing.
    significant_digits : int or None
        As of `write_netcdf`.
    """
    journal, written = Journal.read(store), []
    with open_product(store) as product:
        for label, hours in _periods(product, per):
            path = folder / f"{store.stem}-{label}.nc"
            made_of = _made_of(journal, hours, block_hours)
            recent = product[TIME].values[hours.stop - 1] >= since
            if path.exists() and (not recent or _states(path, made_of)):
                continue
            part = product.isel({TIME: hours}).assign_attrs({MADE_OF: made_of})
            written.append(
                write_netcdf(part, path, progress=False, significant_digits=significant_digits)
            )
    return written


def folder_of_files(path: str | os.PathLike[str], store: Path) -> Path:
    """Return a folder for files, which is made if there is none.

    Raises
    ------
    ProductError
        If it cannot be made, nothing can be written to it, or it lies in the store, of which the
        next version would not have the files.
    """
    folder = Path(path)
    if Path(os.path.realpath(folder)).is_relative_to(store):
        raise ProductError(f"{folder} lies in the store {store}: name a folder outside it")
    with explained(folder, ProductError):
        folder.mkdir(parents=True, exist_ok=True)
    check_target(folder / "x.nc", overwrite=True, error=ProductError)
    return folder


def _periods(product: xr.Dataset, per: Per) -> Iterator[tuple[str, slice]]:
    """Yield the days or months of a product, and the positions of their hours."""
    begins = product[f"{TIME}_bnds"].values[:, 0].astype(f"datetime64[{_UNITS[per]}]")
    edges = np.flatnonzero(begins[1:] != begins[:-1]) + 1
    for part in np.split(np.arange(begins.size), edges):
        yield str(begins[part[0]]), slice(int(part[0]), int(part[-1]) + 1)


def _made_of(journal: Journal, hours: slice, block_hours: int) -> str:
    """Return a digest of what the estimates of some hours of a store were made of."""
    first, last = journal.first + hours.start, journal.first + hours.stop - 1
    numbers = range(first // block_hours, last // block_hours + 1)
    made = [journal.blocks[number] for number in numbers if number in journal.blocks]
    digest = joint_digest(np.array([one.digest for one in made], np.uint64), numbers[0])
    models = ",".join(dict.fromkeys(one.model for one in made))
    return f"{digest:016x} {hours.stop - hours.start} {models}"


def _states(path: Path, made_of: str) -> bool:
    """Return whether a file says that it was made of the same."""
    import netCDF4

    try:
        with netCDF4.Dataset(path) as file:
            return getattr(file, MADE_OF, None) == made_of
    except OSError:  # it is written again
        return False
