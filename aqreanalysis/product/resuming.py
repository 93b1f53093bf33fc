"""Finished regions of a long run, stored next to the target, from which it can be resumed."""

import glob
import hashlib
import io
import json
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from filelock import BaseFileLock, FileLock, Timeout

from aqreanalysis.atomic import explained, shown_name, write_bytes
from aqreanalysis.conventions import DRAW
from aqreanalysis.product.coordinates import HEIGHT
from aqreanalysis.product.regions import Region
from aqreanalysis.product.variables import ProductError
from aqreanalysis.untrusted import text_of

logger = logging.getLogger(__name__)

#: Version of the computation of products and of the stored regions. Raise it with every change of
#: any method: an interrupted run of an earlier version is then not gone on with.
FORMAT = 1
_JOURNAL, _LOCK = "journal.json", "lock"
#: Name of the digest among the layers of a stored region.
_SUM = "sha256"


class LockedError(ProductError):
    """A product that another run is writing."""


@contextmanager
def finished_regions(
    target: Path, digest: str, count: int, blocks: Mapping[str, int]
) -> Iterator["FinishedRegions"]:
    """Yield the finished regions of an interrupted run of this product, or none yet.

    The digest is a `product_digest`, the count that of the regions, the blocks are
    `block_sizes_of`. What an interrupted run of another product left is set aside until this one is
    complete. One run at a time: the folder is locked.

    Raises
    ------
    LockedError
        If another run is writing this product.
    """
    folder = _folder_of(target)
    lock = FileLock(folder / _LOCK, thread_local=False)
    try:
        with explained(target, ProductError):
            folder.mkdir(exist_ok=True)
            lock_or_refuse(lock, target)
            finished = FinishedRegions(folder, digest)
            _exchange(finished, target, blocks)
            description = {"product": digest, "regions": count, "blocks": dict(blocks)}
            write_bytes(folder / _JOURNAL, json.dumps(description).encode())
        yield finished
    finally:
        lock.release()


def lock_or_refuse(lock: BaseFileLock, target: Path) -> None:
    """Take the lock, or refuse a second run."""
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise LockedError(
            f"another run is writing {target} (it holds {lock.lock_file}). Wait until it is done, "
            "stop it, or name another file."
        ) from error
    except NotImplementedError:
        logger.warning("%s: this disk has no locks; let no other run write the same file", target)


def _exchange(finished: "FinishedRegions", target: Path, blocks: Mapping[str, int]) -> None:
    """Set aside what an interrupted run of another product left, and take back what this left."""
    journal, other = _journal(finished.folder), _waiting(finished.folder, finished.digest)
    stated = journal.get("product", finished.digest)
    if not re.fullmatch("[0-9a-f]{64}", str(stated)):
        stated = finished.digest  # a damaged journal; regions have sums of their own
    if len(finished) and stated != finished.digest:
        before = journal.get("blocks")
        sizes = "" if before == dict(blocks) else f", or had blocks of {before}, now {dict(blocks)}"
        waiting = _waiting(finished.folder, stated)
        logger.warning(
            "the interrupted run of %s was of other measurements, another model or request%s. "
            "This one begins anew; what that had finished stays in %s until this is complete",
            target,
            sizes,
            waiting,
        )
        _move(finished.folder, waiting)
    if other.is_dir():
        _move(other, finished.folder)
        shutil.rmtree(other, ignore_errors=True)


@dataclass(frozen=True)
class FinishedRegions:
    """The computed regions of one product, each in a file of its own, in a folder with a journal.

    Files are written atomically, so a region whose file exists is finished. The journal
    identifies the product by its measurements, model, request and blocks. The size of the blocks
    follows from the free memory, so it is recorded for the next run (`interrupted_blocks`).

    Parameters
    ----------
    folder : Path
    digest : str
        Of the product.
    """

    folder: Path
    digest: str

    def __len__(self) -> int:
        return len(list(self.folder.glob("[0-9]*.npz")))

    def get(self, number: int, layers: xr.Dataset) -> xr.Dataset | None:
        """Return the layers of a region, or None if it is not finished or not what was stored."""
        path = self._path(number)
        if not path.is_file():
            return None
        try:
            # Opened here, since numpy would leave a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            if _SUM in arrays and str(arrays.pop(_SUM)) != self._sum(number, arrays):
                raise ValueError("it is not the region that was stored")
            return xr.Dataset({name: (layers[name].dims, array) for name, array in arrays.items()})
        except (
            zipfile.BadZipFile,
            NotImplementedError,  # of zipfile, of a damaged kind of compression
            EOFError,
            ValueError,
            KeyError,
            OSError,
        ) as error:
            logger.warning("%s cannot be read and is computed again: %s", path, error)
            return None

    def store(self, number: int, computed: xr.Dataset) -> None:
        """Store a finished region."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {str(name): array.values for name, array in computed.items()}
        arrays[_SUM] = np.array(self._sum(number, arrays))
        np.savez(buffer, **arrays)
        write_bytes(self._path(number), buffer.getvalue())

    def remove(self) -> None:
        """Remove all regions after the product is complete, also those of interrupted others."""
        for folder in _folders_of(self.folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _sum(self, number: int, arrays: Mapping[str, np.ndarray]) -> str:
        """Return a sha256 of the layers of one region of this product."""
        digest = hashlib.sha256(f"{self.digest} {number}".encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def _path(self, number: int) -> Path:
        """Return the file of a region."""
        return self.folder / f"{number:06d}.npz"


def remove_interrupted(target: Path) -> None:
    """Remove what interrupted runs left of a product that is complete now, unless one goes on."""
    folder = _folder_of(target)
    if not _folders_of(folder):
        return
    with suppress(Timeout, OSError, NotImplementedError), FileLock(folder / _LOCK, blocking=False):
        FinishedRegions(folder, "").remove()


def _journal(folder: Path) -> dict[str, Any]:
    """Return what the journal of a folder says; nothing if it cannot be read."""
    try:
        stated = json.loads(text_of(folder / _JOURNAL))
    except (OSError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _waiting(folder: Path, digest: str) -> Path:
    """Return the folder for the regions of a product while another one is being written."""
    return folder.with_name(f"{folder.name}-{digest[:8]}")


def _move(origin: Path, destination: Path) -> None:
    """Move the journal and the regions from one folder to another."""
    destination.mkdir(exist_ok=True)
    for path in (*origin.glob("[0-9]*.npz"), *origin.glob(_JOURNAL)):
        os.replace(path, destination / path.name)


def interrupted_blocks(path: str | os.PathLike[str]) -> dict[str, int] | None:
    """Return the sizes of the blocks of an interrupted run, or None if it left no region.

    Pass them as ``chunks`` to resume it, whatever memory is free now.
    """
    folder = _folder_of(Path(os.path.realpath(path)))
    blocks = _journal(folder).get("blocks") if any(folder.glob("[0-9]*.npz")) else None
    sizes = list(blocks.values()) if isinstance(blocks, dict) else []
    return blocks if sizes and all(isinstance(size, int) and size > 0 for size in sizes) else None


def block_sizes_of(layers: xr.Dataset) -> dict[str, int]:
    """Return the size of a block of lazy layers along each dimension; all draws are in each.

    Examples
    --------
    >>> lazy = xr.Dataset({"pm25": ("time", np.zeros(10))}).chunk(time=4)
    >>> block_sizes_of(lazy)
    {'time': 4}
    """
    sizes: dict[str, int] = {}
    for layer in layers.data_vars.values():
        for name, lengths in layer.chunksizes.items():
            sizes[str(name)] = max(sizes.get(str(name), 0), *lengths)
    sizes.pop(DRAW, None)
    return sizes


def product_digest(product: xr.Dataset, cuts: Sequence[Region], **options: Any) -> str:
    """Return a sha256 of everything that determines the values in the file.

    A lazy layer counts by its name in the graph, which identifies the method, its parameters, the
    measurements and the blocks; any other layer by its values. Attributes, such as the date, do
    not count; neither does the version of the package, but `FORMAT` does.

    Examples
    --------
    >>> product = xr.Dataset({"pm25": ("time", [1.0, 2.0])})
    >>> product_digest(product, []) == product_digest(product.copy(), [])
    True
    >>> product_digest(product, []) == product_digest(product * 2, [])
    False
    """
    digest = hashlib.sha256(f"format {FORMAT}".encode())
    for name, layer in sorted(product.variables.items(), key=lambda item: str(item[0])):
        if name == HEIGHT:  # products of earlier versions have none
            continue
        digest.update(f"{name} {layer.dims} {layer.shape} {_kind(layer.dtype)}".encode())
        if layer.chunks is None:
            digest.update(layer.values.astype(_kind(layer.dtype)).tobytes())
        else:
            digest.update(str(layer.data.name).encode())
    plain = [{name: (cut.start, cut.stop) for name, cut in region.items()} for region in cuts]
    digest.update(json.dumps([plain, options], sort_keys=True).encode())
    return digest.hexdigest()


def _kind(dtype: np.dtype) -> str:
    """Return the type of values; all types of times and of texts count as one."""
    kinds = {"M": "datetime64[ns]", "m": "timedelta64[ns]", "O": "str", "U": "str", "T": "str"}
    return kinds.get(dtype.kind, dtype.str)


def _folder_of(target: Path) -> Path:
    """Return the folder of a file's finished regions."""
    return target.with_name(f".{shown_name(target)}.finished")


def _folders_of(folder: Path) -> list[Path]:
    """Return the folders there are: of the run that goes on, and of those that wait."""
    return list(folder.parent.glob(f"{glob.escape(folder.name)}*"))
