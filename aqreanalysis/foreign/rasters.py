"""GeoTIFF: a part of its first band, with its axes and its CRS."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.untrusted import UnreadableError, check_size

#: How a TIFF begins, and a BigTIFF: GDAL would follow files of other kinds to further ones.
_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_raster(path: Path, region: Any) -> xr.Dataset:
    """Return what a GeoTIFF has of a region: the layer ``band`` on axes ``y`` and ``x``.

    Missing values are NaN.

    Parameters
    ----------
    path : Path
    region : callable
        From the `pyproj.CRS` of the file to west, south, east and north in its units.

    Raises
    ------
    ForeignError
        If rasterio is not installed, the file cannot be read, has several bands, states no CRS, is
        rotated, or has nothing of the region.
    """
    import pyproj

    rasterio = _rasterio(path)
    if not path.is_file():
        raise ForeignError(f"there is no file {path}")
    with path.open("rb") as file:
        if not file.read(4).startswith(_BEGINNINGS):
            raise ForeignError(f"{path.name} is no GeoTIFF")
    try:
        with rasterio.open(os.path.abspath(path), driver="GTiff") as raster:
            if raster.count > 1:
                raise ForeignError(
                    f"{path.name} has {raster.count} bands; write the one that is meant alone, as "
                    f"gdal_translate -b 1 {path.name} one.tif"
                )
            if raster.crs is None:
                raise ForeignError(
                    f"{path.name} states no CRS, so where it lies is unknown: "
                    "gdal_edit.py -a_srs EPSG:4326"
                )
            crs = pyproj.CRS.from_wkt(raster.crs.to_wkt())
            if raster.transform.b or raster.transform.d:
                raise ForeignError(f"{path.name} is rotated: gdalwarp makes a north-up raster")
            rows, columns = _window(raster, region(crs))
            check_size(path.name, 8 * (rows.stop - rows.start) * (columns.stop - columns.start))
            window = rasterio.windows.Window.from_slices(rows, columns)
            values = raster.read(1, window=window, masked=True)
            transform = raster.transform
            units = (raster.units or ("",))[0] or ""
    except (rasterio.errors.RasterioError, UnreadableError) as error:
        raise ForeignError(f"{path.name} cannot be read: {error}") from error
    filled = np.ma.filled(values.astype(np.float64), np.nan)
    axes = {
        "y": transform.f + transform.e * (np.arange(rows.start, rows.stop) + 0.5),
        "x": transform.c + transform.a * (np.arange(columns.start, columns.stop) + 0.5),
    }
    names = ("latitude", "longitude")
    if crs.is_projected:
        names = ("projection_y_coordinate", "projection_x_coordinate")
    stated = {"grid_mapping": "crs"} | ({"units": units} if units else {})
    return xr.Dataset(
        {"band": (("y", "x"), filled, stated)},
        coords={
            **{
                axis: (axis, values, {"standard_name": name, "axis": axis.upper()})
                for (axis, values), name in zip(axes.items(), names, strict=True)
            },
            "crs": ((), 0, {"crs_wkt": crs.to_wkt()}),
        },
    )


def _window(raster: Any, region: tuple[float, float, float, float]) -> tuple[slice, slice]:
    """Return the rows and columns that a region needs, of all turns of a longitude."""
    west, south, east, north = region
    step_x, step_y = raster.transform.a, raster.transform.e
    columns, turns = [], (0.0, 360.0, -360.0) if raster.crs.is_geographic else (0.0,)
    for turn in turns:
        ends = (np.array([west, east]) + turn - raster.transform.c) / step_x
        columns += np.clip([ends.min() - 1, ends.max() + 1], 0, raster.width).tolist()
        if columns[-1] <= columns[-2]:
            del columns[-2:]
    ends = (np.array([south, north]) - raster.transform.f) / step_y
    low, high = np.clip([ends.min() - 1, ends.max() + 1], 0, raster.height)
    if not columns or high <= low:
        raise ForeignError(
            f"{Path(raster.name).name} reaches over {tuple(round(e, 3) for e in raster.bounds)} "
            f"(west, south, east, north) and has nothing of {tuple(round(e, 3) for e in region)}"
        )
    return (
        slice(int(low), int(np.ceil(high))),
        slice(int(min(columns)), int(np.ceil(max(columns)))),
    )


def _rasterio(path: Path) -> Any:
    """Return the package rasterio, which need not be installed."""
    try:
        import rasterio
        import rasterio.windows
    except ImportError as error:
        raise ForeignError(
            f"{path.name} needs the package rasterio: pip install 'aqreanalysis[gis]', or write "
            "the raster as NetCDF (gdal_translate -of netCDF)"
        ) from error
    return rasterio
