"""Zones of a product: their names, and their polygons as CF has them (section 7.5, geometries)."""

from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import ZONE
from aqreanalysis.product.variables import COORDINATE, coordinate

#: The polygons of zones in memory, shapely geometries in degrees, and what says so in a file.
GEOMETRY, CONTAINER = "geometry", "geometry_container"
ZONE_ID = "zone_id"
_NODES = {"x": "node_longitude", "y": "node_latitude"}
#: What else a container consists of, by the names that cf-xarray gives.
PARTS = {
    "node_count": "number of corners of the zone",
    "part_node_count": "number of corners of the ring",
    "interior_ring": "whether the ring is that of a hole",
}
_AUXILIARY = {"coverage_content_type": "auxiliaryInformation"}
#: Kinds of rings, in place of a unit.
_RINGS = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "outer hole"}
_DEGREES: dict[str, dict[str, Any]] = {
    name: {"standard_name": name, "long_name": name, "units": units, **COORDINATE}
    for name, units in (("longitude", "degrees_east"), ("latitude", "degrees_north"))
}


def with_zones(product: xr.Dataset) -> xr.Dataset:
    """Return a product of zones with their names and places described, and polygons decoded.

    Examples
    --------
    >>> with_zones(xr.Dataset(coords={"zone": ["A", "B"]})).zone_id.attrs["cf_role"]
    'timeseries_id'
    """
    product = _decoded(product)
    size = product.sizes[ZONE]
    names = product.variables.get(ZONE_ID, product.variables.get(ZONE))
    texts = np.array([str(name) for name in (range(size) if names is None else names.values)])
    stated = {"long_name": "name of the zone", "cf_role": "timeseries_id"}
    product = product.assign_coords({ZONE: texts, ZONE_ID: (ZONE, texts, stated)})
    places = {
        name: coordinate((ZONE,), product[name].values.astype(np.float64), attributes)
        for name, attributes in _DEGREES.items()
        if name in product.variables
    }
    # Columns of the polygons, which have nothing but their name.
    columns = {
        name: (ZONE, _plain(values.values), {"long_name": str(name), **values.attrs})
        for name, values in product.coords.items()
        if values.dims == (ZONE,) and name not in (ZONE, GEOMETRY, *_DEGREES)
    }
    return product.assign_coords({**columns, **places})


def encoded(product: xr.Dataset) -> xr.Dataset:
    """Return a product of zones as a file has it: names and polygons without shapely or texts."""
    product = product.drop_vars(ZONE)  # zone_id holds the same
    if GEOMETRY not in product.coords:
        return product
    from cf_xarray.geometry import shapely_to_cf

    shapes = product[GEOMETRY].reset_coords(drop=True)
    parts = shapely_to_cf(shapes.copy(data=_turned(shapes.values)))
    parts = parts.drop_vars([name for name in ("crd_x", "crd_y") if name in parts.variables])
    stated = {k: v for k, v in parts[CONTAINER].attrs.items() if k != "coordinates"}
    stated |= {"node_coordinates": " ".join(_NODES.values()), "grid_mapping": "crs"}
    parts = parts.rename(_NODES).assign({CONTAINER: ((), np.int32(0), stated)})
    for name, words in PARTS.items():
        if name in parts:
            what = _RINGS if name == "interior_ring" else {"units": "1"}
            parts[name].attrs |= {"long_name": words, **what, **_AUXILIARY}
    for (name, attributes), axis in zip(_DEGREES.items(), "XY", strict=True):
        of_node = {"long_name": f"{name} of the corner", "units": attributes["units"]}
        parts[f"node_{name}"].attrs = of_node | {"axis": axis}
        product[name].attrs["nodes"] = f"node_{name}"
    product = product.drop_vars(GEOMETRY).assign_coords(dict(parts.variables))
    for layer in product.data_vars.values():
        if ZONE in layer.dims:
            layer.attrs[GEOMETRY] = CONTAINER
    return product


def _turned(shapes: np.ndarray) -> np.ndarray:
    """Return polygons whose rings go around as CF has it: outer ones anticlockwise."""
    import shapely
    from shapely.geometry.polygon import orient

    turned = np.empty_like(shapes)
    turned[:] = [
        shapely.MultiPolygon([orient(part) for part in shapely.get_parts(shape)])
        for shape in shapes
    ]
    return turned


def _decoded(product: xr.Dataset) -> xr.Dataset:
    """Return a product of zones with the polygons of a file."""
    if CONTAINER not in product.variables:
        return product
    from cf_xarray.geometry import cf_to_shapely

    own = [CONTAINER, *_NODES.values(), *PARTS]
    parts = product.reset_coords()[[name for name in own if name in product.variables]].copy()
    for name in ("longitude", "latitude"):
        if name in product.variables:
            product[name].attrs.pop("nodes", None)
    parts[CONTAINER].attrs.pop("grid_mapping", None)
    shapes = cf_to_shapely(parts.load())
    product = product.drop_vars([name for name in own if name in product.variables])
    for layer in product.data_vars.values():
        layer.attrs.pop(GEOMETRY, None)
    return product.assign_coords({GEOMETRY: (ZONE, shapes.values)})


def _plain(values: np.ndarray) -> np.ndarray:
    """Return numbers as they are, and anything else as texts."""
    return values if values.dtype.kind in "iufb" else values.astype(str)
