"""Writing a product: region by region, to a temporary name until the file is complete."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from aqreanalysis.atomic import atomic_file, check_target, explained
from aqreanalysis.conventions import CATEGORY, DRAW, STATION, TIME, ZONE
from aqreanalysis.product.attributes import CF_VERSIONS, restore_metadata
from aqreanalysis.product.netcdf_file import ProductFile
from aqreanalysis.product.regions import (
    Region,
    progress_bar,
    region_values,
    regions,
    value_count,
)
from aqreanalysis.product.resuming import (
    FinishedRegions,
    block_sizes_of,
    finished_regions,
    product_digest,
    remove_interrupted,
)
from aqreanalysis.product.rounding import check_digits
from aqreanalysis.product.times import in_set_order, is_set
from aqreanalysis.product.variables import ProductError
from aqreanalysis.product.zones import encoded

# Bytes in the file for one byte in memory, measured on fields of kriging.
_SHARE_ROUNDED = 0.15
_SHARE_COMPRESSED = 0.6
#: Orders of the dimensions of series at stations.
_ORDERS = {"station_time": (STATION, TIME), "time_station": (TIME, STATION)}
_logger = logging.getLogger(__name__)


def write_netcdf(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    compress: bool = True,
    significant_digits: int | None = 3,
    progress: bool = True,
    dimension_order: Literal["station_time", "time_station"] = "station_time",
    resume: bool = False,
    cf_version: str = CF_VERSIONS[0],
) -> Path:
    """Return the path of the CF NetCDF file that now holds the product.

    All metadata are rebuilt first (`restore_metadata`). A lazy product is computed region by
    region, each block once for all layers, by one writer. The file appears under its name only
    when it is complete; an earlier one stays until then.

    Parameters
    ----------
    product : Dataset
        From `build_product` or `open_product`, or what arithmetic made of one.
    path : path
        Its folder must exist.
    overwrite : bool
        Whether an earlier file of that name is replaced.
    compress : bool
        zlib, level 4, with shuffle.
    significant_digits : int or None
        Of floating-point layers (GranularBitRound): at 3, a value is off by at most half a unit
        of its third digit. None keeps all bits, and so do coordinates.
    progress : bool
        Show a progress bar, where there is a terminal.
    dimension_order : {"station_time", "time_station"}
        Order of the dimensions of a product of stations; CDO reads the second only.
    resume : bool
        Store finished regions in the folder ``.<name>.finished`` next to the file, and continue
        from those of an interrupted run, which must have had the same blocks: `interrupted_blocks`
        gives them. The folder is removed when the file is complete; until then it takes the space
        of the product uncompressed.
    cf_version : {"1.11", "1.12"}
        Of the CF conventions: the newest that checkers know, or the one that has words for the
        rounding of values.

    Raises
    ------
    ProductError
        If the product cannot be described, or the file cannot be written: no such folder, no
        permission, a folder of that name, no space; or if the interrupted run that is to be
        resumed was another: other measurements, another model, request or size of blocks.

    Notes
    -----
    The values do not depend on the chunks of the product. Rounding: Kouznetsov 2021, Geosci.
    Model Dev. 14, 377-389.
    """
    check_digits(significant_digits)
    if cf_version not in CF_VERSIONS:
        raise ProductError(f"cf_version must be {' or '.join(CF_VERSIONS)}; found {cf_version!r}")
    target = Path(os.path.realpath(path))
    check_target(target, overwrite=overwrite, error=ProductError)
    restored = _ordered(restore_metadata(product), dimension_order)
    _check_space(restored, target.parent, _share(compress, significant_digits))
    layers = restored.drop_vars(list(restored.coords))
    cuts = regions(layers)
    options = {
        "compress": compress,
        "significant_digits": significant_digits,
        "cf_version": cf_version,
    }
    fill = partial(_fill, layers=layers, cuts=cuts, target=target, progress=progress)
    if not resume:
        _write(target, restored, fill, options)
        remove_interrupted(target)
        return Path(path)
    digest = product_digest(restored, cuts, digits=significant_digits)
    with finished_regions(target, digest, len(cuts), block_sizes_of(layers)) as finished:
        remains = f"finished regions stay in {finished.folder} for resume=True; it may be removed"
        _write(target, restored, partial(fill, finished=finished), options, remains)
        finished.remove()
    return Path(path)


def _write(
    target: Path,
    restored: xr.Dataset,
    fill: Callable[..., None],
    options: Mapping[str, Any],
    remains: str = "nothing was left behind",
) -> None:
    """Write the file under its name when it is filled; ``remains`` is what a failure leaves."""
    explain = partial(explained, target, ProductError, remains=remains)
    with atomic_file(target, error=ProductError) as unfinished:
        with explain():
            file = ProductFile(unfinished, restored, **options)
        try:
            fill(file, explain=explain)
        except BaseException:
            # After a failed write HDF5 fails to close as well; report the first failure.
            with suppress(OSError, RuntimeError):
                file.close()
            raise
        with explain():
            file.close()


def _fill(
    file: ProductFile,
    *,
    layers: xr.Dataset,
    cuts: Sequence[Region],
    target: Path,
    progress: bool,
    explain: Callable[[], AbstractContextManager[None]],
    finished: FinishedRegions | None = None,
) -> None:
    """Compute the layers region by region, unless finished before, and write each."""
    with explain():
        file.define()
    if finished is not None and len(finished):
        _logger.info("going on after %d of %d regions", len(finished), len(cuts))
    with (
        progress_bar(cuts, f"writing {target.name}", progress) as bar,
        ThreadPoolExecutor(1) as writer,
    ):
        written: Future[None] | None = None
        for number, cut in enumerate(cuts):
            computed = None if finished is None else finished.get(number, layers)
            if computed is None:
                computed = region_values(layers, cut)
                if finished is not None:
                    with explain():
                        finished.store(number, computed)
            if written is not None:
                with explain():
                    written.result()
            # Compression takes as long as a fast method: one region is written while the next is
            # computed.
            written = writer.submit(file.write, computed, cut)
            del computed
            bar.update(value_count(cut))
        if written is not None:
            with explain():
                written.result()


def check_order(dimension_order: str, *, at_stations: bool) -> None:
    """Refuse an order of dimensions that there is not, or that is not of this product.

    Raises
    ------
    ProductError
        If it is unknown, or of stations where the product is of a grid or a set of outlooks.
    """
    if dimension_order not in _ORDERS:
        raise ProductError(
            f"dimension_order must be one of {', '.join(_ORDERS)}; found {dimension_order!r}"
        )
    if dimension_order == "time_station" and not at_stations:
        raise ProductError(
            "dimension_order='time_station' is of series at stations, and this product is a grid "
            "or a set of outlooks, which has time first already: leave it out"
        )


def _ordered(product: xr.Dataset, dimension_order: str) -> xr.Dataset:
    """Return the product with its dimensions in the order of the file."""
    at_stations = STATION in product.dims and not is_set(product)
    check_order(dimension_order, at_stations=at_stations)
    if is_set(product):
        return in_set_order(product).drop_vars(STATION, errors="ignore")
    if ZONE in product.dims:
        return encoded(product).transpose(DRAW, ZONE, TIME, ..., missing_dims="ignore")
    if not at_stations:
        horizontal = [name for name in ("lat", "lon", "y", "x") if name in product.dims]
        order = (DRAW, CATEGORY, TIME, *horizontal, ...)
        return product.transpose(*order, missing_dims="ignore")
    # An index of texts would be a string variable named as its dimension; station_id replaces it.
    return product.drop_vars(STATION).transpose(
        DRAW, CATEGORY, *_ORDERS[dimension_order], ..., missing_dims="ignore"
    )


def _share(compress: bool, significant_digits: int | None) -> float:
    """Return the bytes in the file for one byte in memory, about."""
    if not compress:
        return 1.0
    return _SHARE_COMPRESSED if significant_digits is None else _SHARE_ROUNDED


def _check_space(product: xr.Dataset, folder: Path, share: float) -> None:
    """Refuse a disk that cannot hold half of the expected file; warn of one that is tight."""
    expected = sum(layer.nbytes for layer in product.data_vars.values()) * share
    free = shutil.disk_usage(folder).free
    sizes = f"about {expected / 1e6:,.0f} MB expected, {free / 1e6:,.0f} MB free in {folder}"
    if free < expected / 2:
        raise ProductError(
            f"not enough space for the product: {sizes}. "
            "Free some, name another folder, or write a shorter period or a coarser grid."
        )
    if free < expected * 2:
        _logger.warning("the disk may become full: %s", sizes)
