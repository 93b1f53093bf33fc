"""The format of an export, by the ending of its name."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr

from aqreanalysis.atomic import check_target
from aqreanalysis.exports.choice import check_gis, named_layers
from aqreanalysis.exports.contours import checked_levels
from aqreanalysis.exports.geotiff import check_geotiff, write_geotiff
from aqreanalysis.exports.vectors import (
    check_table,
    write_csv,
    write_geopackage,
    write_geoparquet,
)
from aqreanalysis.product import ProductError, check_store, write_netcdf, write_zarr

#: Formats by the ending of a name; a name without an ending is a folder of GeoTIFF.
FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".tif": "GeoTIFF",
        ".tiff": "GeoTIFF",
        "": "GeoTIFF",
        ".gpkg": "GeoPackage",
        ".parquet": "GeoParquet",
        ".csv": "CSV",
        ".zarr": "Zarr",
        ".nc": "NetCDF",
        ".nc4": "NetCDF",
    }
)
#: What else may be said of each format.
_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "GeoTIFF": ("per",),
        "GeoPackage": ("levels",),
        "GeoParquet": ("levels",),
        "CSV": (),
        "Zarr": (),
        "NetCDF": ("dimension_order",),
    }
)


def export(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    variable: str | Sequence[str] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **options: Any,
) -> Path:
    """Return the path of the export, in the format that the ending of its name says.

    Parameters
    ----------
    product : Dataset
    path : path
        In .tif, .gpkg, .parquet, .zarr or .nc, and of zones .csv; a folder of GeoTIFF has no
        ending, or a slash at its end.
    variable : str or sequence of str, optional
        Layers; by default all for which the format has room: of GeoTIFF and contours the only
        pollutant.
    overwrite : bool
        Whether what is there already is replaced.
    progress : bool
        Show a progress bar, where there is a terminal.
    **options
        ``per`` of GeoTIFF, ``levels`` of GeoPackage and GeoParquet, ``dimension_order`` of NetCDF.

    Raises
    ------
    ProductError
        If the ending is none of these, an option is not of that format, or the target exists.

    Examples
    --------
    >>> import aqreanalysis as aqr, tempfile
    >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(product, f"{folder}/pm25.tif").name
    'pm25.tif'
    """
    format = check_export(path, overwrite=overwrite, **options)
    common: dict[str, Any] = {"overwrite": overwrite, **options}
    if format in ("NetCDF", "Zarr"):
        chosen = product if variable is None else product[named_layers(product, variable)]
        if format == "Zarr":
            return write_zarr(chosen, path, **common)
        return write_netcdf(chosen, path, progress=progress, **common)
    common |= {"variable": variable, "progress": progress}
    if format == "GeoTIFF":
        return write_geotiff(product, path, **common)
    if format == "CSV":
        return write_csv(product, path, **common)
    if format == "GeoPackage":
        return write_geopackage(product, path, **common)
    return write_geoparquet(product, path, **common)


def check_export(path: str | os.PathLike[str], *, overwrite: bool = False, **options: Any) -> str:
    """Return the format of a name; refuse what cannot be written, before any work.

    Raises
    ------
    ProductError
        As of `export`.

    Examples
    --------
    >>> check_export("pm25.tif", per="bands")
    'GeoTIFF'
    """
    suffix = Path(path).suffix.lower()
    if os.fspath(path).endswith(("/", os.sep)):
        suffix = ""
    if suffix not in FORMATS:
        raise ProductError(
            f"a product is exported as GeoTIFF (.tif, or a folder), GeoPackage (.gpkg), GeoParquet "
            f"(.parquet), Zarr (.zarr) or NetCDF (.nc); found {os.fspath(path)!r}. End the name "
            "so, or in .csv for a table of zones"
        )
    format = FORMATS[suffix]
    foreign = [name for name in options if name not in _OPTIONS[format]]
    if foreign:
        homes = [name for name, own in _OPTIONS.items() if foreign[0] in own]
        raise ProductError(
            f"{foreign[0]} is of {' and '.join(homes) or 'no format'}, and {os.fspath(path)!r} is "
            f"{format}. Leave it out, or end the name otherwise"
        )
    checked_levels(options.get("levels", ()))
    target = Path(os.path.realpath(path))
    empty = format == "GeoTIFF" and target.is_dir() and not any(target.iterdir())
    if target.exists() and not overwrite and not empty:
        raise ProductError(
            f"{target} exists. Name another, or replace it with --overwrite, in Python "
            "overwrite=True"
        )
    if format == "GeoTIFF":
        check_gis("GeoTIFF")
        check_geotiff(path, per=options.get("per"), overwrite=overwrite)
    elif format == "Zarr":
        check_store(target, overwrite=overwrite)
    elif format == "NetCDF":
        check_target(target, overwrite=overwrite, error=ProductError)
    else:
        check_table(path, suffix, overwrite=overwrite)
    return format
