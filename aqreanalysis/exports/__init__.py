"""Exports: products as what GIS and data tools open without this package.

`write_geotiff` has maps, `write_geopackage` and `write_geoparquet` stations, zones and contours;
`export` chooses by the ending of a name. NetCDF and Zarr are of `aqreanalysis.product`.
"""

from aqreanalysis.exports.formats import check_export, export
from aqreanalysis.exports.geotiff import write_geotiff
from aqreanalysis.exports.vectors import write_geopackage, write_geoparquet

__all__ = ["check_export", "export", "write_geopackage", "write_geoparquet", "write_geotiff"]
