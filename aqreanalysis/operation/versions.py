"""The next version of a store: new hours beside the unchanged ones, published in one step.

Chunks in which no hour changes are links to those of the version before, so that a run writes what
it has computed, whatever the store holds. The new version takes the place of the old one when it is
complete (`aqreanalysis.atomic`): a reader opens the one or the other, and so does the run after one
that was killed. The old one stays beside it until the next run publishes, for those that read it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from aqreanalysis.atomic import atomic_folder, explained
from aqreanalysis.conventions import TIME
from aqreanalysis.operation.journal import Journal
from aqreanalysis.product import ProductError
from aqreanalysis.product.zarr_store import stored_form

#: Labels of time in a chunk, whatever the length of the axis: who has read the metadata of one
#: version can then read the labels of the next.
LABELS_TOGETHER = 4096
#: Encodings of a layer that a new version shares with the one before.
_SHARED = ("chunks", "compressors", "filters", "dtype")
#: Names of the files of chunks.
_CHUNK = re.compile(r"\d+(\.\d+)*")


def write_version(
    target: Path,
    template: xr.Dataset,
    parts: Iterable[tuple[slice, xr.Dataset]],
    *,
    spans: Sequence[slice],
    chunks: Mapping[str, int],
    dropped: int,
    journal: Journal,
    significant_digits: int | None,
) -> None:
    """Write a store with all hours of a template, and publish it.

    Parameters
    ----------
    target : Path
        The store; there may be an earlier version.
    template : Dataset
        The whole product with its metadata; lazy layers stand for values that are not computed.
    parts : iterable of (slice, Dataset)
        Positions of hours in the template, and the layers of these hours; as ``spans``.
    spans : sequence of slice
        All positions that ``parts`` will have.
    chunks : mapping
        Sizes of the chunks of layers by dimension.
    dropped : int
        Hours of the earlier version before the first of the new one: whole chunks.
    journal : Journal
        Of the new version.
    significant_digits : int or None
        As of `write_zarr`.

    Raises
    ------
    ProductError
        If the store cannot be written; the earlier version is intact.
    """
    import zarr

    form = stored_form(template, significant_digits)
    small = {name: form[name].compute() for name in form.coords}
    small |= {n: layer.compute() for n, layer in form.data_vars.items() if TIME not in layer.dims}
    form = form.assign_coords({n: small[n] for n in form.coords}).assign(
        {n: layer for n, layer in small.items() if n in form.data_vars}
    )
    earlier = target if target.exists() else None
    for labels in (form[TIME], form[f"{TIME}_bnds"]):
        labels.encoding["chunks"] = (LABELS_TOGETHER, *labels.shape[1:])
    for layer in form.data_vars.values():
        if TIME in layer.dims:
            layer.encoding["chunks"] = tuple(chunks[str(dim)] for dim in layer.dims)
    if earlier is not None:
        _encode_as_before(form, earlier)
    with (
        explained(target, ProductError),
        atomic_folder(target, leave_earlier=True) as partial,
        # A chunk without a file is a lost one. Zarr 3.0 listens to this alone.
        zarr.config.set({"array.write_empty_chunks": True}),
    ):
        form.to_zarr(
            partial,
            mode="w-",
            zarr_format=2,
            consolidated=True,
            compute=False,
            write_empty_chunks=True,
        )
        if earlier is not None:
            for name, layer in form.data_vars.items():
                if TIME in layer.dims:
                    axis = layer.dims.index(TIME)
                    _take_over(earlier / str(name), partial / str(name), axis, dropped, spans)
        for span, part in parts:
            hours = template.isel({TIME: span})[[*part.data_vars]]
            layers = {
                name: (layer.dims, part[name].transpose(*layer.dims).values, layer.attrs)
                for name, layer in hours.data_vars.items()
            }
            values = stored_form(hours.assign(layers), significant_digits).compute()
            fixed = [n for n, variable in values.variables.items() if TIME not in variable.dims]
            values = values.drop_vars([*fixed, *(n for n in values.coords if n not in fixed)])
            values.to_zarr(
                partial,
                region={TIME: span},
                mode="r+",
                zarr_format=2,
                consolidated=True,
                write_empty_chunks=True,
            )
        journal.write(partial)


def chunks_of(store: Path, variable: str) -> dict[str, int]:
    """Return the sizes of a chunk of a store by dimension."""
    described = json.loads((store / variable / ".zattrs").read_text(encoding="utf-8"))
    return dict(zip(described["_ARRAY_DIMENSIONS"], _chunks(store / variable), strict=True))


def _encode_as_before(form: xr.Dataset, earlier: Path) -> None:
    """Encode a product as the version before, whose chunks it takes over."""
    with xr.open_dataset(
        earlier, engine="zarr", chunks=None, decode_cf=False, zarr_format=2
    ) as before:
        lacking = [str(name) for name in before.data_vars if name not in form.variables]
        new = [str(name) for name in form.data_vars if name not in before.variables]
        if lacking or new:
            raise ProductError(
                f"{earlier} has layers {', '.join(map(str, before.data_vars))}, and this run would "
                f"write {', '.join(map(str, form.data_vars))}: name another store"
            )
        for name, layer in form.data_vars.items():
            own = before[name].encoding
            layer.encoding |= {key: own[key] for key in _SHARED if own.get(key) is not None}


def _take_over(earlier: Path, new: Path, axis: int, dropped: int, spans: Sequence[slice]) -> None:
    """Link the chunks of a layer, and copy those that will change."""
    if _layout(earlier) != _layout(new):
        raise ProductError(
            f"{earlier} has another layout than this version of zarr writes: name another store"
        )
    size = _chunks(earlier)[axis]
    changing = {
        number for span in spans for number in range(span.start // size, -(-span.stop // size))
    }
    for path, number in chunk_numbers(earlier):
        number[axis] -= dropped // size
        if number[axis] < 0:
            continue
        place = new / ".".join(map(str, number))
        if number[axis] in changing:
            shutil.copyfile(path, place)
        else:
            _link(path, place)


def _link(path: Path, place: Path) -> None:
    """Give a file another name, or copy it where the file system has no such links."""
    try:
        os.link(path, place)
    except (OSError, NotImplementedError) as failure:
        if isinstance(failure, FileExistsError):
            raise
        shutil.copyfile(path, place)


def chunk_numbers(array: Path) -> Iterator[tuple[Path, list[int]]]:
    """Yield the files of the chunks of an array, and their numbers along its dimensions.

    Files of other programs, such as ``Thumbs.db``, are none.
    """
    for path in sorted(array.iterdir()):
        if _CHUNK.fullmatch(path.name) and path.is_file():
            yield path, [int(number) for number in path.name.split(".")]


def _layout(array: Path) -> dict[str, Any]:
    """Return all that a chunk's bytes depend on."""
    described = json.loads((array / ".zarray").read_text(encoding="utf-8"))
    return {key: value for key, value in described.items() if key != "shape"}


def _chunks(array: Path) -> list[int]:
    """Return the sizes of the chunks of an array."""
    return list(map(int, _layout(array)["chunks"]))


def lazy_like(layer: xr.DataArray, time: xr.DataArray) -> xr.DataArray:
    """Return a layer as long as a time axis, lazy and in one chunk; nobody computes it."""
    import dask.array as da

    shape = tuple(time.size if dim == TIME else layer.sizes[dim] for dim in layer.dims)
    values = da.zeros(shape, dtype=layer.dtype, chunks=shape)
    coords = {
        name: coordinate for name, coordinate in layer.coords.items() if TIME not in coordinate.dims
    }
    return xr.DataArray(
        values, {**coords, TIME: time}, layer.dims, str(layer.name), dict(layer.attrs)
    )
