"""Products: a field becomes a CF NetCDF file that GIS tools open, and comes back from it."""

from aqreanalysis.conventions import LEAD, REFERENCE
from aqreanalysis.product.attributes import restore_metadata
from aqreanalysis.product.coordinates import crs_of
from aqreanalysis.product.joining import joined_products
from aqreanalysis.product.metadata import STATED_ATTRIBUTES, checked_metadata, with_metadata
from aqreanalysis.product.provenance import build_product
from aqreanalysis.product.reading import open_product
from aqreanalysis.product.resuming import interrupted_blocks
from aqreanalysis.product.variables import ProductError
from aqreanalysis.product.writing import check_order, write_netcdf
from aqreanalysis.product.zarr_store import check_store, write_zarr

__all__ = [
    "LEAD",
    "REFERENCE",
    "STATED_ATTRIBUTES",
    "ProductError",
    "build_product",
    "check_order",
    "check_store",
    "checked_metadata",
    "crs_of",
    "interrupted_blocks",
    "joined_products",
    "open_product",
    "restore_metadata",
    "with_metadata",
    "write_netcdf",
    "write_zarr",
]
