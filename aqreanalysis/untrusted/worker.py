"""The checks of a binary file before it is read, run as a program of its own.

The libraries of HDF5, NetCDF and shapefiles cannot be interrupted while they work: a damaged file
keeps them busy for minutes, and Ctrl-C waits. So another process reads the file first, one that
can be ended. To a line of JSON, ``[kind, path, seconds]``, it replies ``{}`` or ``{"refused":
why}``. It imports nothing of this package, so that it is there in a third of a second.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from math import prod
from typing import Any, BinaryIO

#: Bytes of a chunk, and of a read.
_SLAB = 64 * 2**20

#: Bytes of a file whose layers are read although they may stay in it.
_SMALL = 32 * 2**20

#: Links of an HDF5 file.
_MOST_LINKS = 100_000

#: Bytes that a small file may declare, and bytes declared a byte of a larger one.
_FREE, _RATIO = 64 * 2**20, 1000

_DAMAGED = "the file is damaged; fetch it anew"
#: Bytes of a value by its type in a classic NetCDF file.
_CLASSIC_SIZES = (0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8)

_NUMBER_ATTRIBUTES = ("scale_factor", "add_offset", "_FillValue", "missing_value", "step_hours")
_TEXT_ATTRIBUTES = {
    "units", "standard_name", "long_name", "calendar", "bounds", "coordinates", "cf_role",
    "axis", "positive", "grid_mapping", "ancillary_variables", "cell_methods", "time_label",
    "featureType", "Conventions", "sample_dimension", "instance_dimension", "history", "source",
    "climatology", "formula_terms", "compress",
}  # fmt: skip


class RefusedError(Exception):
    """What keeps a file from being read."""


def check(kind: str, path: str) -> None:
    """Read a file as the package will; refuse what must not or cannot be read.

    A "series" is a NetCDF whose stations are read whole; "fields" one whose layers stay in the
    file, of which, if it is large, a first value is read; "hdf5" are arrays without attributes;
    "shapefile" is one, and of "parquet" the description is read.

    Raises
    ------
    RefusedError
        With the reason and the remedy.
    """
    try:
        _CHECKS[kind](path)
    except RefusedError:
        raise
    except MemoryError as error:
        raise RefusedError(
            f"it needs more memory than a file of its size may: {_DAMAGED}"
        ) from error
    except Exception as error:  # the libraries raise whatever they like
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise RefusedError(f"{words[:200]}: {_DAMAGED}") from error


def _netcdf(path: str, *, whole: bool) -> None:
    """Read the attributes and the series, or the axes alone, of a NetCDF file."""
    import netCDF4

    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(4)
        if start in (b"CDF\1", b"CDF\2", b"CDF\5"):
            if _classic_end(file, start[3]) > size:  # the library would read zeros
                raise RefusedError("it is cut off; fetch it anew")
        elif _is_hdf5(path):
            _hdf5_links(path, sizes=False)
        else:
            raise RefusedError(
                f"it does not begin as NetCDF does: {start!r}. Name the format that it is"
            )
    with closing(netCDF4.Dataset(path)) as dataset:
        dataset.set_auto_maskandscale(False)
        dataset.set_auto_chartostring(False)
        _check_attributes("the file", dataset)
        read = [v for v in dataset.variables.values() if v.ndim <= (2 if whole else 1)]
        # As numbers of eight bytes, which they are once scaled.
        total = 8 * sum(prod(v.shape) for v in dataset.variables.values())
        if not whole and size <= _SMALL and total <= min(8 * _SMALL, _allowed(size)):
            read = list(dataset.variables.values())  # layers too, since it costs little
        declared = {v.name: 8 * prod(v.shape) for v in read}
        _check_declared(max(declared, key=declared.__getitem__, default=""), declared, size)
        for variable in dataset.variables.values():
            _check_attributes(variable.name, variable)
            if variable.name in declared:
                for slab in _slabs(variable.shape, 8):
                    variable[slab]
            elif prod(variable.shape):
                variable[(slice(0, 1),) * variable.ndim]


def _classic_end(file: BinaryIO, version: int) -> int:
    """Return where the values of a classic NetCDF file end, by its header, behind the magic."""
    wide = 8 if version == 5 else 4

    def number(size: int = wide) -> int:
        return int.from_bytes(file.read(size), "big")

    def skip(count: int) -> None:
        file.seek(-(-count // 4) * 4, os.SEEK_CUR)

    def items() -> range:
        tag, count = number(4), number()
        return range(count if tag else 0)

    def skip_attributes() -> None:
        for _ in items():
            skip(number())
            size = _CLASSIC_SIZES[number(4)]
            skip(size * number())

    records = number()
    lengths = []
    for _ in items():
        skip(number())
        lengths.append(number())
    skip_attributes()
    ends, strides = [0], []
    for _ in items():
        skip(number())
        shape = [lengths[number()] for _ in range(number())]
        skip_attributes()
        size = _CLASSIC_SIZES[number(4)]
        number()  # a size that overflows in large files
        begin = number(4 if version == 1 else 8)
        if shape and shape[0] == 0:  # along the records
            strides.append((begin, prod(shape[1:]) * size))
        else:
            ends.append(begin + prod(shape) * size)
    # Records are padded to words, but for a single variable.
    stride = sum(s if len(strides) == 1 else -(-s // 4) * 4 for _, s in strides)
    if records and records != 256**wide - 1:
        ends += [begin + (records - 1) * stride + size for begin, size in strides]
    return max(ends)


def _hdf5(path: str) -> None:
    """Read the arrays of numbers of an HDF5 file."""
    import h5py

    if not _is_hdf5(path):
        raise RefusedError("it does not begin as HDF5 does. Name the format that it is")
    names = _hdf5_links(path, sizes=True)
    with h5py.File(path, "r") as file:
        for name in names:
            array = file[name]
            if array.dtype.kind in "iufbS":
                for slab in _slabs(array.shape, array.dtype.itemsize):
                    array[slab]


def _is_hdf5(path: str) -> bool:
    """Return whether the signature stands at the start, or behind a user's block."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        place = 0
        while place < size:
            file.seek(place)
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
            place = max(512, 2 * place)
    return False


def _hdf5_links(path: str, *, sizes: bool) -> list[str]:
    """Return the names of the arrays; refuse links and storage outside of the file.

    ``sizes`` also refuses arrays that are declared and not stored.
    """
    import h5py

    size = os.path.getsize(path)
    arrays: list[str] = []
    with h5py.File(path, "r") as file:
        waiting, seen = [("", file.id)], set()
        while waiting:
            above, group = waiting.pop()
            for raw in group:
                name = f"{above}/{raw.decode(errors='replace')}"
                link = group.links.get_info(raw).type
                if link == h5py.h5l.TYPE_SOFT:
                    continue
                if link != h5py.h5l.TYPE_HARD:
                    raise RefusedError(
                        f"{name} is a link to another file, which is not followed. Copy what it "
                        "points to into one file (h5repack, nccopy)"
                    )
                item = h5py.h5o.open(group, raw)
                place = h5py.h5o.get_info(item).addr
                if place in seen:
                    continue
                seen.add(place)
                if len(seen) > _MOST_LINKS:
                    raise RefusedError(f"it holds more than {_MOST_LINKS} things: {_DAMAGED}")
                if isinstance(item, h5py.h5g.GroupID):
                    waiting.append((name, item))
                elif isinstance(item, h5py.h5d.DatasetID):
                    _check_storage(name, item)
                    arrays.append(name)
                    if sizes:
                        declared = prod(item.shape) * item.dtype.itemsize
                        _check_declared(name, {name: declared}, size)
    return arrays


def _check_storage(name: str, array: Any) -> None:
    """Refuse an array whose values lie in other files, or in chunks too large for the memory."""
    import h5py

    stored = array.get_create_plist()
    virtual = stored.get_layout() == h5py.h5d.VIRTUAL
    others = stored.get_external_count() or (
        virtual
        and any(stored.get_virtual_filename(i) != "." for i in range(stored.get_virtual_count()))
    )
    if others:
        raise RefusedError(
            f"the values of {name} lie in another file, which is not read. Copy them into one file "
            "(h5repack, nccopy)"
        )
    chunked = stored.get_layout() == h5py.h5d.CHUNKED
    if chunked and prod(stored.get_chunk()) * array.dtype.itemsize > 4 * _SLAB:
        raise RefusedError(f"the chunks of {name} are larger than 256 MB. Write smaller ones")


def _allowed(size: int) -> int:
    """Return the bytes that a file of a size may declare."""
    return max(_FREE, _RATIO * size)


def _check_declared(name: str, declared: dict[str, int], size: int) -> None:
    """Refuse arrays that are far larger than the file that holds them."""
    total = sum(declared.values())
    if total > _allowed(size):
        raise RefusedError(
            f"{name} is said to hold {declared[name] / 1e6:.0f} MB in a file of {size / 1e3:.3g} "
            f"kB: {_DAMAGED}, or leave {name} out of it"
        )


def _check_attributes(name: str, item: Any) -> None:
    """Refuse attributes of other types than CF knows, which would be misread or crash a reader."""
    import numpy as np

    for key in item.ncattrs():
        value = item.getncattr(key)
        words = f"the attribute {key!r} of {name} must be"
        if key in _TEXT_ATTRIBUTES and not isinstance(value, str):
            raise RefusedError(f"{words} text; found {str(value)[:60]}. Correct it (ncatted)")
        if key not in _NUMBER_ATTRIBUTES or isinstance(value, str):
            is_number = key not in ("scale_factor", "add_offset", "step_hours")
        elif key == "missing_value":
            is_number = np.asarray(value).dtype.kind in "iuf"
        else:
            is_number = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iufS"
        if is_number and key in ("scale_factor", "add_offset") and not isinstance(value, str):
            is_number = bool(np.isfinite(value)) and (key != "scale_factor" or value != 0)
        if not is_number:
            raise RefusedError(f"{words} a number; found {str(value)[:60]!r}. Correct it (ncatted)")


def _slabs(shape: tuple[int, ...], itemsize: int) -> Iterator[Any]:
    """Yield the parts of an array, cut along its first dimension."""
    if not shape:
        yield ()
        return
    rows = max(1, _SLAB // max(1, prod(shape[1:]) * itemsize))
    for start in range(0, shape[0], rows):
        yield slice(start, start + rows)


def _shapefile(path: str) -> None:
    """Read a shapefile."""
    import geopandas

    geopandas.read_file(path, engine="pyogrio")


def _parquet(path: str) -> None:
    """Read what a Parquet file says of its columns: at some damage Arrow ends the process.

    What it raises instead, it raises again where the file is read.
    """
    from pyarrow import parquet

    with suppress(Exception), parquet.ParquetFile(path, memory_map=False) as file:
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        for group in groups:
            for number in range(group.num_columns):
                group.column(number)


_CHECKS: dict[str, Callable[[str], None]] = {
    "series": partial(_netcdf, whole=True),
    "fields": partial(_netcdf, whole=False),
    "hdf5": _hdf5,
    "shapefile": _shapefile,
    "parquet": _parquet,
}


def main() -> None:
    """Reply until the input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no reply
    replies.write("{}\n")
    replies.flush()
    for line in sys.stdin:
        kind, path, seconds = json.loads(line)
        if hasattr(signal, "alarm"):  # in case nobody is there any more to end this process
            signal.alarm(seconds)
        try:
            check(kind, path)
            reply = {}
        except RefusedError as error:
            reply = {"refused": str(error)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
