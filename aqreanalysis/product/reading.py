"""Opening a product again."""

import os
from collections.abc import Sequence

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, LEAD, STATION, TIME
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import open_one, opened_and_joined, paths_of
from aqreanalysis.observations.archive.opening import ReplacedError
from aqreanalysis.product.attributes import restore_metadata
from aqreanalysis.product.joining import joined_in_time
from aqreanalysis.product.times import in_time_order, is_set
from aqreanalysis.product.variables import ProductError


def open_product(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> xr.Dataset:
    """Return the product in a file or store, lazily: layers are read when they are used.

    Coordinates, bounds and the CRS are coordinates again, stations have their identifiers as
    index, and dimensions have the order of a product, so that the result can be written. What
    other programs made of a product, such as daily maxima, is called so, and loses the layers
    that qualified the hours.

    Parameters
    ----------
    path : path or sequence of path
        A file of `write_netcdf`, a store of `write_zarr`, or a CF file with the same names; or
        several, also as a pattern such as ``"pm25-2014-*.nc"``, that are joined along time.

    Returns
    -------
    Dataset
        Keeps the file open until ``close()``.

    Raises
    ------
    ProductError
        If there is no such file, it is neither NetCDF nor Zarr, it holds no product, or several
        do not fit together.
    """
    try:
        return opened_and_joined(paths_of(path), _open_one, joined_in_time)
    except ForeignError as error:
        raise ProductError(str(error)) from error


def _open_one(path: str) -> xr.Dataset:
    """Return the product in one file or store."""
    file = open_one(path)
    try:
        _check_packing(file)
        product = _with_names_of_axes(file)
        product = product.set_coords([n for n in product.data_vars if str(n).endswith("_bnds")])
        product = product.assign_coords({n: product[n].load() for n in product.coords})
        product = in_time_order(product.drop_vars(_quantizations(product)))
        if STATION in product.dims and not is_set(product):  # some files have time first
            product = product.transpose(DRAW, STATION, TIME, ..., missing_dims="ignore")
        product = restore_metadata(product)
    except ReplacedError:  # while it was opened: the next version is whole as well
        file.close()
        return _open_one(path)
    except Exception as error:  # nobody knows what all can be wrong with a file
        file.close()
        damaged = "" if isinstance(error, ProductError) else f"damaged? {type(error).__name__}: "
        raise ProductError(f"{path} holds no product: {damaged}{error}") from error
    product.set_close(file.close)
    return product


def _check_packing(file: xr.Dataset) -> None:
    """Refuse packed layers whose missing values became numbers, as NCO packs them.

    Raises
    ------
    ProductError
        How to pack them with missing values.
    """
    for name, layer in file.data_vars.items():
        kind, fill = layer.encoding.get("dtype"), layer.encoding.get("_FillValue")
        if fill is None or kind is None or np.dtype(kind).kind not in "iu":
            continue
        if not np.iinfo(kind).min <= fill <= np.iinfo(kind).max:
            raise ProductError(
                f"{name} is packed as {np.dtype(kind)}, which cannot hold its _FillValue, "
                f"{fill:g}: missing values became numbers. Give each layer of floating-point "
                f"numbers another before packing: ncatted -a _FillValue,{name},m,f,-32767 FILE"
            )


def _with_names_of_axes(file: xr.Dataset) -> xr.Dataset:
    """Return a file with the names of a product: terra and others write latitude and longitude.

    CDO calls the lead times of an outlook leadtime.
    """
    if {"latitude", "longitude"} <= set(file.dims) and not {"lat", "lon"} & set(file.variables):
        file = file.rename(latitude="lat", longitude="lon")
    if "leadtime" in file.data_vars and LEAD not in file.variables:
        file = file.rename(leadtime=LEAD).set_coords(LEAD)
    return file


def _quantizations(product: xr.Dataset) -> set[str]:
    """Return the variables that describe how layers were rounded, true of their file alone."""
    named = {str(layer.attrs.get("quantization")) for layer in product.data_vars.values()}
    return named & set(map(str, product.data_vars))
