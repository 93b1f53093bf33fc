"""Opening a product again."""

import os
from pathlib import Path

import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import open_netcdf
from aqreanalysis.product.attributes import restore_metadata
from aqreanalysis.product.times import is_set
from aqreanalysis.product.variables import ProductError


def open_product(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return the product in a file, lazily: layers are read when they are used.

    Coordinates, bounds and the CRS are coordinates again, stations have their identifiers as
    index, and dimensions have the order of a product, so that the result can be written.

    Parameters
    ----------
    path : path
        A file of `write_netcdf`, or a CF file with the same names.

    Returns
    -------
    Dataset
        Keeps the file open until ``close()``.

    Raises
    ------
    ProductError
        If there is no such file, it is no NetCDF, or it holds no product.
    """
    source = Path(path)
    if not source.is_file():
        raise ProductError(f"there is no file {source}")
    try:
        file = open_netcdf(source, chunks={})
    except ForeignError as error:
        raise ProductError(str(error)) from error
    try:
        product = file.set_coords([n for n in file.data_vars if str(n).endswith("_bnds")])
        product = product.assign_coords({n: product[n].load() for n in product.coords})
        if STATION in product.dims and not is_set(product):  # some files have time first
            product = product.transpose(STATION, TIME, ..., missing_dims="ignore")
        product = restore_metadata(product)
    except ProductError as error:
        file.close()
        raise ProductError(f"{source} holds no product: {error}") from error
    product.set_close(file.close)
    return product
