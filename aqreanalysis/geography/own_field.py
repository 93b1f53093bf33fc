"""A user's own field of attributes: opened, in metres, and compared with the shipped altitude."""

import os
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.conventions import ALTITUDES_M, STATION
from aqreanalysis.foreign.background import Background
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import open_netcdf
from aqreanalysis.geography.errors import GeographyError
from aqreanalysis.geography.own_altitude import in_feet
from aqreanalysis.geography.shipped import NAMES, at
from aqreanalysis.observations import ObservationError
from aqreanalysis.observations.checks.units import linear_conversion

_ALTITUDE_NAMES = {"altitude", "dem", "elevation", "elev", "height", "orography", "topography"}
_ALTITUDE_STANDARD_NAMES = {"surface_altitude", "altitude", "height_above_mean_sea_level"}
_GEOTIFF = (".tif", ".tiff", ".vrt", ".asc")


def is_altitude(field: xr.DataArray) -> bool:
    """Return whether a field is of altitude, by its standard name, or else by its name.

    Examples
    --------
    >>> is_altitude(xr.DataArray(0.0, name="my_dem")), is_altitude(xr.DataArray(0.0, name="roads"))
    (True, False)
    """
    standard = field.attrs.get("standard_name")
    if standard:
        return standard in _ALTITUDE_STANDARD_NAMES
    return not _ALTITUDE_NAMES.isdisjoint(str(field.name).lower().replace(":", "_").split("_"))


def own_field(given: str | os.PathLike[str] | xr.DataArray | xr.Dataset) -> xr.Dataset:
    """Return a user's field as a Dataset, with altitudes in m.

    Raises
    ------
    GeographyError
        If it is no field, cannot be read, or its altitude has units of no length.
    """
    if isinstance(given, str | os.PathLike):
        given = _opened(Path(given))
    if isinstance(given, xr.DataArray):
        given = given.to_dataset(name=given.name or "altitude")
    if not isinstance(given, xr.Dataset):
        raise GeographyError(
            "geography takes True, names of shipped attributes, a DataArray, a Dataset or a file; "
            f"found {type(given).__name__}"
        )
    if given.sizes.get("band") == 1:  # as rioxarray has it
        given = given.squeeze("band", drop=True)
    for name, field in given.data_vars.items():
        units = str(field.attrs.get("units", "")).strip()
        if not is_altitude(field) or units in ("", "m"):
            continue
        try:
            factor, offset = linear_conversion(units, "m", str(name))
        except ObservationError as error:
            raise GeographyError(f"the units of the altitude {name!r}: {error}") from error
        metres = (field * factor + offset).assign_attrs(field.attrs | {"units": "m"})
        given = given.assign({name: metres})
    return given


def check_altitude(field: xr.Dataset, name: str, stations: xr.Dataset) -> None:
    """Refuse a user's altitude that cannot be one in m at the stations.

    Raises
    ------
    GeographyError
        If it has values of no place on land, or looks like feet beside the shipped altitude.
    """
    places = (stations[axis].values for axis in ("longitude", "latitude"))
    longitude, latitude = (np.asarray(degrees, np.float64) for degrees in places)
    nowhen = np.zeros(1, "datetime64[ns]")
    altitude = Background(field[[name]]).at(longitude, latitude, nowhen)[:, 0, 0]
    lowest, highest = ALTITUDES_M
    wrong = (altitude < lowest) | (altitude > highest)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise GeographyError(
            f"the altitude {name!r} is {altitude[row]:g} m at station "
            f"{stations[STATION].values[row]} ({int(wrong.sum())} such stations). Mask what stands "
            f"for a missing value with field.where(field > {lowest:g})"
        )
    shipped = at(longitude, latitude).altitude.values
    if in_feet(altitude, shipped):
        row = int(np.nanargmax(altitude))
        raise GeographyError(
            f"the altitude {name!r} looks like feet: {altitude[row]:.0f} at station "
            f"{stations[STATION].values[row]}, which is some {shipped[row]:.0f} m high. Multiply "
            "it by 0.3048, or set its units to 'ft'"
        )


def _opened(path: Path) -> xr.Dataset:
    """Return the lazy Dataset of a file: NetCDF, or a raster where rioxarray is installed."""
    if not path.exists():
        raise GeographyError(
            f"there is no attribute and no file {str(path)!r}; attributes are {', '.join(NAMES)}"
        )
    if path.suffix.lower() not in _GEOTIFF:
        try:
            return open_netcdf(path, chunks={})
        except ForeignError as error:
            raise GeographyError(error.about("geography")) from error
    if "rasterio" not in xr.backends.list_engines():
        raise GeographyError(
            f"{path} needs the package rioxarray: install it (pip install rioxarray), or write the "
            "raster as NetCDF (gdal_translate -of netCDF)"
        )
    try:
        raster = xr.open_dataset(path, engine="rasterio", chunks={})
    except OSError as error:
        raise GeographyError(f"{path} cannot be read as a raster: {error}") from error
    return raster.rename(band_data="altitude")
