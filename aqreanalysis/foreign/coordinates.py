"""Horizontal coordinates of a layer, by their CF attributes or their names."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.foreign.errors import ForeignError

if TYPE_CHECKING:
    from pyproj import CRS


def find_coordinates(
    dataset: xr.Dataset, name: str, keys: tuple[str, str]
) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return two horizontal coordinates of a layer, or None if it has none.

    They lie on one or two of its dimensions, and are identified by CF attributes, or else by the
    usual names, coordinates first. ``keys`` are those of cf-xarray: longitude and latitude for
    positions in degrees, X and Y for the axes of a projected or rotated grid.

    Raises
    ------
    ForeignError
        If there are several.

    Examples
    --------
    >>> axes = {"nav_lat": [50.5, 49.5], "nav_lon": [358.5, 359.5]}
    >>> dataset = xr.Dataset({"pm25": (("nav_lat", "nav_lon"), np.zeros((2, 2)))}, axes)
    >>> positions = find_coordinates(dataset, "pm25", ("longitude", "latitude"))
    >>> [position.name for position in positions]
    ['nav_lon', 'nav_lat']
    """
    import cf_xarray  # noqa: F401  (the accessor .cf)

    dims = set(dataset[name].dims)
    eligible = {
        key: variable
        for key, variable in dataset.variables.items()
        if key != name
        and variable.ndim in (1, 2)
        and set(variable.dims) <= dims
        and variable.dtype.kind in "fiu"
    }
    candidates = xr.Dataset(coords=eligible)
    own = candidates.drop_vars([key for key in eligible if key not in dataset.coords])
    # By attributes first, by names last.
    for guess, among in ((False, candidates), (True, own), (True, candidates)):
        accessor = (among.cf.guess_coord_axis() if guess else among).cf
        names = accessor.axes | accessor.coordinates
        if set(keys) <= names.keys():
            break
    else:
        return None
    several = [f"{key}: {', '.join(names[key])}" for key in keys if len(names[key]) > 1]
    if several:
        raise ForeignError(
            f"more than one position for {name!r} ({'; '.join(several)}); drop those that are "
            "not its own"
        )
    first, second = (dataset[names[key][0]] for key in keys)
    return first, second


def find_bounds(dataset: xr.Dataset, axis: xr.DataArray) -> np.ndarray | None:
    """Return the bounds of an axis, (n, 2), if the Dataset has them and none is missing.

    Examples
    --------
    >>> edges = (("lat", "nv"), [[50.0, 51.0], [51.0, 52.0]])
    >>> dataset = xr.Dataset({"lat_bnds": edges}, {"lat": [50.5, 51.5]})
    >>> find_bounds(dataset, dataset.lat)[0].tolist()
    [50.0, 51.0]
    """
    for name in bounds_names(axis):
        if name in dataset.variables and dataset[name].shape == (*axis.shape, 2):
            bounds = dataset[name].values
            alike = (bounds.dtype.kind in "fiu") == (axis.dtype.kind in "fiu")
            return bounds if alike and not pd.isna(bounds).any() else None
    return None


def bounds_names(axis: xr.DataArray) -> list[Hashable]:
    """Return the possible names of the bounds of a coordinate, the stated one first.

    Examples
    --------
    >>> bounds_names(xr.DataArray([1.0], dims="lat", name="lat", attrs={"bounds": "edges"}))
    ['edges', 'lat_bnds', 'lat_bounds']
    """
    stated = axis.attrs.get("bounds", axis.encoding.get("bounds"))
    usual: list[Hashable] = [f"{axis.name}_bnds", f"{axis.name}_bounds"]
    return usual if stated is None else [stated, *usual]


def is_grid_mapping(variable: xr.Variable | xr.DataArray) -> bool:
    """Return whether a variable holds a coordinate reference system, as CF or GDAL write it."""
    return variable.ndim == 0 and not variable.attrs.keys().isdisjoint(
        ("grid_mapping_name", "crs_wkt", "spatial_ref")
    )


def find_crs(dataset: xr.Dataset, layer: xr.DataArray | None = None) -> "CRS | None":
    """Return the coordinate reference system of a layer, or the only one of a Dataset, or None.

    Raises
    ------
    ForeignError
        If it cannot be understood.

    Examples
    --------
    >>> mapping = xr.Variable((), 0, {"grid_mapping_name": "latitude_longitude"})
    >>> find_crs(xr.Dataset({"crs": mapping})).is_geographic
    True
    """
    import pyproj

    stated = None
    if layer is not None:
        stated = layer.attrs.get("grid_mapping", layer.encoding.get("grid_mapping"))
    mappings = {str(key): v for key, v in dataset.variables.items() if is_grid_mapping(v)}
    # The extended form of CF 5.6 is "crs: x y".
    named = str(stated).split(":")[0].strip()
    mapping = mappings.get(named, next(iter(mappings.values()), None))
    if mapping is None:
        return None
    try:
        return pyproj.CRS.from_cf(mapping.attrs)
    except (pyproj.exceptions.CRSError, KeyError) as error:
        raise ForeignError(
            f"the grid mapping {dict(mapping.attrs)} cannot be understood: {error}. Set its "
            "attributes with pyproj.CRS('EPSG:...').to_cf()"
        ) from error
