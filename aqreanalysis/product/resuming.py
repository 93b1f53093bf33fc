"""Finished regions of a long run, stored next to the target, from which it can be resumed."""

import hashlib
import io
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.atomic import write_bytes
from aqreanalysis.product.regions import Region
from aqreanalysis.product.variables import ProductError

logger = logging.getLogger(__name__)

#: Version of the computation of products and of the stored regions. Raise it with every change of
#: any method: an interrupted run of an earlier version is then refused.
FORMAT = 1
_JOURNAL = "journal.json"


class FinishedRegions:
    """The computed regions of one product, each in a file of its own, in a folder with a journal.

    Files are written atomically, so a region whose file exists is finished. The journal
    identifies the product by its measurements, model, request and blocks. The size of the blocks
    follows from the free memory, so it is recorded for the next run (`interrupted_blocks`).

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, target: Path, digest: str, count: int, blocks: Mapping[str, int]) -> Self:
        """Return the finished regions of an earlier run, or none yet in a new folder.

        The digest is a `product_digest`, the count that of the regions, the blocks are
        `block_sizes_of`.

        Raises
        ------
        ProductError
            If the folder holds regions of something else.
        """
        finished = cls(_folder_of(target))
        journal = finished.folder / _JOURNAL
        if not journal.exists() or not len(finished):
            finished.folder.mkdir(exist_ok=True)
            description = {"product": digest, "regions": count, "blocks": blocks}
            write_bytes(journal, json.dumps(description).encode())
            return finished
        if json.loads(journal.read_text()).get("product") != digest:
            before = interrupted_blocks(target)
            changed = before != dict(blocks)
            sizes = f", what is asked for or the blocks, now {blocks} and before {before},"
            raise ProductError(
                f"cannot resume {target}: the measurements, the model"
                + (sizes if changed else " or what is asked for")
                + " is not that of the interrupted run. Ask for the same again"
                + (f", in Python with chunks={before}" if changed and before else "")
                + f", or remove {finished.folder} and begin anew."
            )
        return finished

    def __len__(self) -> int:
        return len(list(self.folder.glob("[0-9]*.npz")))

    def get(self, number: int, layers: xr.Dataset) -> xr.Dataset | None:
        """Return the layers of a region, or None if it is not finished or cannot be read."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            # Opened here, since numpy would leave a damaged archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return xr.Dataset({n: (layers[n].dims, stored[n]) for n in stored.files})
        except (zipfile.BadZipFile, EOFError, ValueError, KeyError, OSError) as error:
            logger.warning("%s cannot be read and is computed again: %s", path, error)
            return None

    def store(self, number: int, computed: xr.Dataset) -> None:
        """Store a finished region."""
        self.folder.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {str(name): array.values for name, array in computed.items()}
        np.savez(buffer, **arrays)
        write_bytes(self._path(number), buffer.getvalue())

    def remove(self) -> None:
        """Remove all regions after the product is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)  # another run may have removed them

    def _path(self, number: int) -> Path:
        """Return the file of a region."""
        return self.folder / f"{number:06d}.npz"


def interrupted_blocks(path: str | os.PathLike[str]) -> dict[str, int] | None:
    """Return the sizes of the blocks of an interrupted run, or None if it left no region.

    Pass them as ``chunks`` to resume it, whatever memory is free now.
    """
    folder = _folder_of(Path(os.path.realpath(path)))
    if not (folder / _JOURNAL).exists() or not len(FinishedRegions(folder)):
        return None
    return json.loads((folder / _JOURNAL).read_text()).get("blocks")


def block_sizes_of(layers: xr.Dataset) -> dict[str, int]:
    """Return the size of a block of lazy layers along each dimension.

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
    return target.with_name(f".{target.name}.finished")
