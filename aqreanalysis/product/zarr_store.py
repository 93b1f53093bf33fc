"""Writing a product as Zarr: every worker writes the chunks that it computes."""

import os
from collections.abc import Hashable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.atomic import atomic_folder, check_target, explained
from aqreanalysis.conventions import STATION, ZONE
from aqreanalysis.product.attributes import restore_metadata
from aqreanalysis.product.coordinates import crs_of
from aqreanalysis.product.resuming import block_sizes_of
from aqreanalysis.product.rounding import (
    check_digits,
    digits_of,
    quantization_attributes,
    rounded,
)
from aqreanalysis.product.variables import ProductError, check_concentrations, check_support
from aqreanalysis.product.zones import encoded

#: What of the encoding of a variable a store has: the rest is of the file that it came from.
_ENCODED = ("units", "calendar", "_FillValue")


def write_zarr(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    significant_digits: int | None = 3,
) -> Path:
    """Return the path of the Zarr store, version 2, that now holds the product.

    A chunk is a block of the lazy product, so that blocks are computed and written in parallel, by
    the workers of a `distributed.Client` if one is active; all of them must see the folder.
    Metadata and rounding are those of `write_netcdf`; the store appears under its name when it is
    complete.

    Parameters
    ----------
    product : Dataset
        From `build_product` or `open_product`, or what arithmetic made of one.
    path : path
        Its folder must exist.
    overwrite : bool
        Whether an earlier store of that name is replaced; anything else never is.
    significant_digits : int or None
        Of floating-point layers, as of `write_netcdf`.

    Raises
    ------
    ProductError
        If zarr is not installed, the product cannot be described or the store cannot be written.
    """
    check_zarr()
    check_digits(significant_digits)
    target = Path(os.path.realpath(path))
    check_store(target, overwrite=overwrite)
    restored = stored_form(restore_metadata(product), significant_digits)
    with explained(target, ProductError), atomic_folder(target) as partial:
        restored.to_zarr(partial, mode="w-", zarr_format=2, consolidated=True)
    return Path(path)


def check_zarr() -> None:
    """Refuse stores where zarr is not installed.

    Raises
    ------
    ProductError
        It says how to install it.
    """
    if find_spec("zarr") is None:
        raise ProductError(
            "a Zarr store needs the package zarr: pip install 'aqreanalysis[zarr]', or write NetCDF"
        )


def check_store(target: Path, *, overwrite: bool) -> None:
    """Refuse a path that no store can be written to, or that holds something else.

    Raises
    ------
    ProductError
        As `check_target`, or if a folder of that name is not a Zarr store or must stay.
    """
    if not target.is_dir():
        check_target(target, overwrite=overwrite, error=ProductError)
        if target.exists():
            raise ProductError(f"{target} is a file, which no store replaces. Name another.")
    elif not overwrite or not (target / ".zgroup").is_file():
        raise ProductError(
            f"{target} exists"
            + (" and is no Zarr store" if overwrite else ", and overwrite is False")
            + ". Name another."
        )


def stored_form(product: xr.Dataset, significant_digits: int | None) -> xr.Dataset:
    """Return a product with all metadata as a store holds it: blocks of even size, rounded."""
    if STATION in product.dims:
        product = product.drop_vars(STATION)  # station_id holds the same
    if ZONE in product.dims:
        product = encoded(product)
    sizes = block_sizes_of(product)
    # Coordinates are whole: xarray does not encode times in blocks, which those of a set are.
    stored = product.assign(dict(product.drop_vars(list(product.coords)).chunk(sizes).data_vars))
    for name, layer in stored.data_vars.items():
        if layer.dtype.kind == "f":
            digits = digits_of(product, str(name), significant_digits)
            kind = layer.dtype if digits is None else np.float32
            stored[name] = xr.apply_ufunc(
                _as_stored,
                layer.astype(kind),
                *([stored[flag]] if (flag := f"{name}_flag") in stored else []),
                kwargs={"name": str(name), "attributes": layer.attrs, "digits": digits},
                dask="parallelized",
                output_dtypes=[kind],
            ).assign_attrs(layer.attrs | (quantization_attributes(digits) if digits else {}))
        if "grid_mapping" in layer.attrs:
            # Here GDAL and QGIS find the CRS; before GDAL 3.9 nowhere else.
            crs = crs_of(product)
            own = {"wkt": crs.to_wkt(), "projjson": crs.to_json_dict()}
            stored[name].attrs["_CRS"] = own
    for variable in stored.variables.values():
        variable.encoding = {
            key: value for key, value in variable.encoding.items() if key in _ENCODED
        }
    return stored


def _as_stored(
    values: np.ndarray,
    flags: np.ndarray | None = None,
    *,
    name: str,
    attributes: Mapping[Hashable, Any],
    digits: int | None,
) -> np.ndarray:
    """Return the values of a block as the store holds them."""
    check_concentrations(values, name, attributes)
    if flags is not None:
        check_support(values, flags, name)
    return values if digits is None else rounded(values, digits)
