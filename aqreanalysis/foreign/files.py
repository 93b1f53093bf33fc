"""NetCDF files and Zarr stores, opened lazily, joined along time, and divided into blocks."""

import glob
import logging
import os
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.foreign.coordinates import is_grid_mapping
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.periods import dated_variable
from aqreanalysis.observations import ObservationError
from aqreanalysis.observations.archive.opening import check_archive, check_zarr, is_archive
from aqreanalysis.untrusted import UnreadableError
from aqreanalysis.untrusted import open_netcdf as netcdf

Source = xr.Dataset | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

logger = logging.getLogger(__name__)

#: Bytes of a block of a file: few reads, and still little memory for a block per thread.
BLOCK_BYTES = 32 * 2**20


def open_netcdf(path: str | os.PathLike[str], *, chunks: dict | None = None) -> xr.Dataset:
    """Return the lazy Dataset of a file; nothing but coordinates is read.

    Another process looks through the file first, and other files that it names are not read: see
    `aqreanalysis.untrusted.inspect`.

    Raises
    ------
    ForeignError
        If there is no such file, or it cannot be read as NetCDF.
    """
    if not Path(path).is_file():
        raise ForeignError(f"there is no file {os.fspath(path)}")
    try:
        # Hours without a reference date stay numbers, which are refused later.
        return netcdf(path, kind="fields", chunks=chunks)
    except (UnreadableError, OSError) as error:
        raise ForeignError(f"{os.fspath(path)} cannot be read as NetCDF: {error}") from error


def open_store(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return the lazy Dataset of a Zarr store; it may hold numbers and texts, and no links.

    All of it is of the version that has the name now, also what is read when the store has been
    updated meanwhile; it is refused when that version is no longer there.

    Raises
    ------
    ForeignError
        If it is damaged, or another kind of store.
    """
    try:
        check_zarr()
        from aqreanalysis.observations.archive.version import StoreVersion, open_version

        def opened(store: StoreVersion) -> xr.Dataset:
            check_archive(Path(path))
            lazy = xr.open_zarr(
                store, chunks={}, consolidated=True, zarr_format=2, decode_timedelta=False
            )
            return lazy.assign_coords({name: lazy[name].load() for name in lazy.coords})

        return open_version(Path(path), opened)
    except (ObservationError, ValueError, KeyError, OSError) as error:
        raise ForeignError(f"{os.fspath(path)} cannot be read as Zarr: {error}") from error


def open_joined(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> xr.Dataset:
    """Return the lazy Dataset of files or stores, which stay open until its ``close()``.

    Those of a pattern such as ``"cams-2019-*.nc"`` or of several paths, in any order, are joined
    along their time.

    Raises
    ------
    ForeignError
        If there is no such file, it cannot be read, or the files do not fit together.
    """
    return opened_and_joined(paths_of(source), open_one, joined_along_time)


def opened_and_joined(
    paths: Sequence[str],
    opening: Callable[[str], xr.Dataset],
    joining: Callable[[Sequence[xr.Dataset]], xr.Dataset],
) -> xr.Dataset:
    """Return what is opened, joined if it is several; all stay open until its ``close()``."""
    with ExitStack() as stack:
        files = []
        for path in paths:
            files.append(opening(path))
            stack.callback(files[-1].close)
        whole = (files[0] if len(files) == 1 else joining(files)).copy()
        whole.set_close(partial(_close, files))  # other processes may be given the Dataset
        stack.pop_all()
    return whole


def open_one(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return the lazy Dataset of a file or store.

    Raises
    ------
    ForeignError
        If it cannot be read.
    """
    with _permitted():
        store = Path(path).is_dir() and is_archive(Path(path))
    return open_store(path) if store else open_netcdf(path, chunks={})


def _close(files: Sequence[xr.Dataset]) -> None:
    """Close files."""
    for file in files:
        file.close()


@contextmanager
def opened(source: Source) -> Iterator[xr.Dataset]:
    """Open files as a lazy Dataset, and close them afterwards; a Dataset is left open.

    The files are those of `open_joined`.

    Raises
    ------
    ForeignError
        If there is no such file, it cannot be read, or the files do not fit together.

    Examples
    --------
    >>> with opened(xr.Dataset({"pm25": 1.0})) as dataset:
    ...     list(dataset)
    ['pm25']
    """
    if isinstance(source, xr.Dataset):
        yield source
        return
    with open_joined(source) as joined:
        yield joined


def in_blocks(variable: xr.Variable, time: Hashable | None) -> xr.Variable:
    """Return a variable as a dask array, in whole chunks of its file, or in spans of hours.

    ``time`` is its dimension of time, if any. A variable in dask chunks keeps them.

    Examples
    --------
    >>> in_blocks(xr.Variable(("time", "cell"), np.zeros((40, 2**20))), "time").chunks[0][:2]
    (4, 4)
    """
    from dask.array.core import normalize_chunks

    if variable.chunks is not None or variable.ndim == 0:
        return variable
    native = variable.encoding.get("preferred_chunks", {})
    if native:
        chunks: tuple = ("auto",) * variable.ndim
        stored = tuple(
            min(native.get(dim, size), size) or 1 for dim, size in variable.sizes.items()
        )
    else:  # without chunks, all values of an hour are contiguous
        chunks = tuple("auto" if dim == time else -1 for dim in variable.dims)
        stored = None
    sizes = normalize_chunks(
        chunks,
        shape=variable.shape,
        dtype=variable.dtype,
        limit=BLOCK_BYTES,
        previous_chunks=stored,
    )
    return variable.chunk(dict(zip(variable.dims, sizes, strict=True)))


def runs(chunks: Sequence[int], positions: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Yield ascending positions in runs of whole chunks, of about ``most`` positions.

    Examples
    --------
    >>> [run.tolist() for run in runs((2, 2, 2), np.array([1, 2, 3, 4, 5]), 2)]
    [[1, 2, 3], [4, 5]]
    """
    chunk = np.searchsorted(np.cumsum(chunks), positions, side="right")
    start = 0
    while start < positions.size:
        last = chunk[min(start + most, positions.size) - 1]
        stop = int(np.searchsorted(chunk, last, side="right"))
        yield positions[start:stop]
        start = stop


def paths_of(source: object) -> list[str]:
    """Return the paths of a source, those of a pattern in the order of their names.

    Raises
    ------
    ForeignError
        If there is no such file, or its folder may not be read.

    Examples
    --------
    >>> paths_of("none.nc")
    Traceback (most recent call last):
        ...
    aqreanalysis.foreign.errors.ForeignError: there is no file none.nc
    """
    with _permitted():
        return _existing(source)


@contextmanager
def _permitted() -> Iterator[None]:
    """Say what may not be read, and what to do."""
    try:
        yield
    except PermissionError as error:
        raise ForeignError(
            f"no permission to read {error.filename}: have it given, or copy the file"
        ) from error


def _existing(source: object) -> list[str]:
    """Return the paths of a source; refuse those that do not exist."""
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        matches = sorted(glob.glob(text)) if re.search(r"[*?\[]", text) else []
        paths = [text] if Path(text).exists() or not matches else matches
        if paths == [text]:
            with suppress(FileNotFoundError, NotADirectoryError):  # of a folder that is closed
                os.stat(os.path.join(os.path.dirname(re.split(r"[*?\[]", text)[0]), "."))
    elif isinstance(source, Sequence) and source:
        paths = [os.fspath(path) for path in source]
    else:
        kind = "none" if isinstance(source, Sequence) else type(source).__name__
        remedy = ". Use .to_dataset(name=...)" if isinstance(source, xr.DataArray) else ""
        raise ForeignError(f"expected a Dataset, a path or several; found {kind}{remedy}")
    absent = [path for path in paths if not Path(path).exists()]
    if absent:
        raise ForeignError(f"there is no file {', '.join(absent)}")
    return paths


def joined_along_time(files: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return files as one Dataset along time, still lazy.

    Raises
    ------
    ForeignError
        If they have no one dimension of time, or do not agree on what has none.
    """
    names = {dated_variable(file, dim) for file in files for dim in file.dims} - {None}
    dimensions = {file[name].dims[0] for file in files for name in names if name in file.variables}
    if len(dimensions) != 1:
        raise ForeignError(
            "the files must have one dimension of time; found "
            f"{', '.join(sorted(map(str, dimensions))) or 'none'}. Join them with xarray"
        )
    (time,) = dimensions
    _check_alike(files)
    agreeing = _agreeing(files, time)
    try:
        return xr.concat(
            [_layers_in_blocks(file, time) for file in agreeing],
            dim=time,
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    except (ValueError, KeyError) as error:
        raise ForeignError(f"the files do not fit together: {error}") from error


def _check_alike(files: Sequence[xr.Dataset]) -> None:
    """Refuse files whose layers of one name are in other units, or other methods over time."""
    usual = {"units": "none", "cell_methods": "time: mean"}
    for attribute, unstated in usual.items():
        for name in files[0].data_vars:
            layers = [file[name] for file in files if name in file.data_vars]
            stated = {str(layer.attrs.get(attribute, unstated)) for layer in layers}
            if len(stated) > 1:
                raise ForeignError(
                    f"the files do not fit together: {attribute} of {name!r} is "
                    f"{' and '.join(sorted(stated))}. Join those alone that are of one kind"
                )


def _agreeing(files: Sequence[xr.Dataset], time: Hashable) -> list[xr.Dataset]:
    """Return files without the layers of no time that differ; refuse other coordinates.

    One of them would stand for all.
    """
    first = files[0]
    layers = []
    # Axes first: where these differ, all else does.
    for name in sorted(first.variables, key=lambda name: name not in first.dims):
        variable = first.variables[name]
        others = [file.variables[name] for file in files[1:] if name in file.variables]
        if time in variable.dims or all(_same(variable, other) for other in others):
            continue
        if name in first.data_vars and not is_grid_mapping(variable):
            layers.append(name)
            continue
        values = (variable, *others)
        stated = {f"{each.values[()]}" for each in values if not each.ndim and each.size == 1}
        which = f" is {' and '.join(sorted(stated))}" if len(stated) > 1 else " differs"
        raise ForeignError(
            f"the files do not fit together: {name}{which}. Join those alone that agree on "
            "it, in one order"
        )
    if layers:
        logger.warning(
            "the files differ in %s, which has no time and is left out", ", ".join(map(str, layers))
        )
    return [file.drop_vars(layers, errors="ignore") for file in files]


def _same(one: xr.Variable, other: xr.Variable) -> bool:
    """Return whether two variables hold the same, or are the same coordinate reference system."""
    if is_grid_mapping(one) and is_grid_mapping(other):
        return {k: str(v) for k, v in one.attrs.items()} == {
            k: str(v) for k, v in other.attrs.items()
        }
    if one.dims != other.dims or one.shape != other.shape:
        return False
    if one.dtype.kind == other.dtype.kind == "f":
        return bool(np.allclose(one.values, other.values, rtol=1e-6, equal_nan=True))
    return bool(np.array_equal(one.values, other.values))


def _layers_in_blocks(file: xr.Dataset, time: Hashable) -> xr.Dataset:
    """Return a file with its layers in time in blocks, so that joining does not read them."""
    layers = {
        name: (layer.dims, in_blocks(layer.variable, time).data, layer.attrs)
        for name, layer in file.data_vars.items()
        if time in layer.dims and layer.ndim > 2
    }
    return file.assign(layers)
