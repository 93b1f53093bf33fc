"""Opening an archive: its coordinates are read, its values when they are used."""

import json
import math
import re
import stat
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.observations.contract import DIMENSIONS, faults_given_ranges
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.variables import listed
from aqreanalysis.untrusted import check_size, is_special, text_of
from aqreanalysis.untrusted.budget import first_line

#: What an array may be made of: numbers and text; others let a stranger's store run a program.
_TYPES = re.compile(r"[<>|](?:[fiu][1248]|b1|U\d{1,4})")
_COMPRESSORS = (None, "blosc", "zstd", "lz4", "zlib", "gzip")
#: zarr 3.0 writes text through the second.
_FILTERS: tuple[Any, ...] = (None, [], [{"id": "vlen-utf8"}])
#: Blocks of an array, and bytes of one: a store may declare more than any network measures.
_MOST_BLOCKS, _LARGEST_BLOCK = 2**20, 2**30
#: Bytes of a file: what cannot be compressed becomes a little longer.
_LARGEST_FILE = _LARGEST_BLOCK + 2**20


class ReplacedError(RuntimeError):
    """A store of which the version that was opened is no longer there."""


def is_archive(path: Path) -> bool:
    """Return whether a path is a Zarr store, of whatever content."""
    return any((path / name).is_file() for name in (".zgroup", ".zmetadata", "zarr.json"))


def open_archive(path: Path, chunks: Mapping[str, int] | None = None) -> xr.Dataset:
    """Return the lazy Dataset of an archive of `write_archive`, or of a Zarr store of its form.

    Raises
    ------
    ObservationError
        If it is damaged or of another form, or its arrays are none of numbers and text.
    """
    check_zarr()
    from aqreanalysis.observations.archive.version import StoreVersion, open_version

    def opened(store: StoreVersion) -> xr.Dataset:
        check_archive(path)
        lazy = xr.open_zarr(store, chunks={}, consolidated=True, zarr_format=2)
        return lazy.assign_coords({name: lazy[name].load() for name in lazy.coords})

    try:
        dataset = open_version(path, opened)
    except ObservationError:
        raise
    except Exception as error:  # of xarray, zarr and the codecs, many kinds
        raise ObservationError(
            f"it cannot be read as an archive: {first_line(error)[:200]}. Write it anew",
            source=path.name,
        ) from error
    if not set(DIMENSIONS) <= set(dataset.dims):
        raise ObservationError(
            f"it is no archive of observations: its dimensions are {listed(dataset.dims)}",
            source=path.name,
        )
    series = [str(name) for name, array in dataset.data_vars.items() if array.dtype.kind in "fiu"]
    faults = faults_given_ranges(dataset, dict.fromkeys(series, (0.0, 0.0)))
    if faults:
        raise ObservationError(faults, source=path.name)
    dataset = dataset.drop_encoding().transpose(STATION, TIME, ...)
    return dataset.chunk(dict(chunks)) if chunks else dataset


def check_zarr() -> None:
    """Refuse to go on without the package that reads and writes stores.

    Raises
    ------
    ObservationError
    """
    if find_spec("zarr") is None:
        raise ObservationError(
            "an archive needs the package zarr: pip install 'aqreanalysis[zarr]'"
        )


def check_archive(path: Path) -> None:
    """Refuse a store that is not whole, leads to other files or declares what it must not.

    Raises
    ------
    ObservationError
    """
    try:
        if not (path / ".zmetadata").is_file():
            raise ValueError(
                "it has no .zmetadata, so it is no store of this package. Open it with "
                "xarray.open_zarr and pass the Dataset"
            )
        _check_files(path)
        described = json.loads(text_of(path / ".zmetadata"))["metadata"]
        for name, facts in described.items():
            if name.endswith(".zarray"):
                _check_array(name.removesuffix("/.zarray"), facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        words = first_line(error)[:300]
        if isinstance(error, (KeyError, TypeError, AttributeError, json.JSONDecodeError)):
            words = f"its .zmetadata is damaged ({words}): write it anew"
        raise ObservationError(words, source=path.name) from error


def _check_files(path: Path) -> None:
    """Refuse a store with links, with names at which a reader waits, or with a bomb of a file."""
    links, special, large = [], [], []
    for file in path.rglob("*"):
        facts = file.lstat()
        if stat.S_ISLNK(facts.st_mode):
            links.append(file)
        elif is_special(facts.st_mode):
            special.append(file)
        elif facts.st_size > _LARGEST_FILE:
            large.append(file)
    for files, words in (
        (links, "it holds links, which are not followed"),
        (special, "it holds pipes, devices or sockets, which are not read"),
        (large, "it holds files larger than any block"),
    ):
        if files:
            raise ValueError(f"{words}: {listed([str(f.relative_to(path)) for f in files], 3)}")


def _check_array(name: str, facts: Mapping[str, Any]) -> None:
    """Refuse an array that is not of numbers or text, or too large."""
    compressor = (facts["compressor"] or {}).get("id")
    if (
        not isinstance(facts["dtype"], str)
        or not _TYPES.fullmatch(facts["dtype"])
        or facts["filters"] not in _FILTERS
        or compressor not in _COMPRESSORS
    ):
        raise ValueError(
            f"{name} is stored as {str(facts['dtype'])[:40]!r} with {compressor!r} and filters "
            f"{str(facts['filters'])[:80]}; expected numbers or text without other filters"
        )
    size = int(re.sub(r"\D", "", facts["dtype"])) * (4 if "U" in facts["dtype"] else 1)
    shape, chunk = facts["shape"], facts["chunks"]
    blocks = math.prod(-(-int(n) // int(part)) for n, part in zip(shape, chunk, strict=True))
    if blocks > _MOST_BLOCKS or size * math.prod(chunk) > _LARGEST_BLOCK:
        raise ValueError(f"{name} declares {blocks} blocks of {chunk}: it is damaged")
    if len(shape) < 2:
        check_size(name, size * math.prod(shape))
