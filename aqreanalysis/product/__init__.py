"""Products: a field becomes a CF NetCDF file that GIS tools open, and comes back from it."""

from aqreanalysis.product.attributes import restore_metadata
from aqreanalysis.product.coordinates import crs_of
from aqreanalysis.product.provenance import build_product
from aqreanalysis.product.reading import open_product
from aqreanalysis.product.resuming import interrupted_blocks
from aqreanalysis.product.times import LEAD, REFERENCE
from aqreanalysis.product.variables import ProductError
from aqreanalysis.product.writing import write_netcdf
from aqreanalysis.product.zarr_store import check_store, write_zarr

__all__ = [
    "LEAD",
    "REFERENCE",
    "ProductError",
    "build_product",
    "check_store",
    "crs_of",
    "interrupted_blocks",
    "open_product",
    "restore_metadata",
    "write_netcdf",
    "write_zarr",
]
