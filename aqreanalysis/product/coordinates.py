"""The coordinates of a product, restored with bounds, CRS and attributes."""

import logging
from typing import Any, Literal

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, STATION, TIME, ZONE
from aqreanalysis.foreign.coordinates import bounds_names, find_bounds, find_crs, is_grid_mapping
from aqreanalysis.foreign.errors import raising
from aqreanalysis.observations import ObservationError
from aqreanalysis.observations.checks.units import linear_conversion
from aqreanalysis.product.times import is_set, restore_leads, restore_periods, restore_set
from aqreanalysis.product.variables import COORDINATE, EDGES, ProductError, coordinate
from aqreanalysis.product.zones import ZONE_ID, with_zones

logger = logging.getLogger(__name__)

Layout = Literal["geographic", "projected", "curvilinear", "stations", "zones"]

#: Name of the scalar that holds the coordinate reference system.
CRS = "crs"
#: Scalar coordinate: how far above the ground the air is, of which stations tell.
HEIGHT = "height"
#: Where nobody states it, and why.
_NOMINAL_HEIGHT_M = 3.0
_NOMINAL = (
    "nominal, since networks do not tell: inlets are between 1.5 and 4 m in the EU (2008/50/EC, "
    "Annex III) and between 2 and 15 m in the US (40 CFR Part 58, Appendix E)"
)
#: Horizontal dimensions of each layout, in the order of the file.
HORIZONTAL: dict[Layout, tuple[str, ...]] = {
    "geographic": ("lat", "lon"),
    "projected": ("y", "x"),
    "curvilinear": ("y", "x"),
    "stations": (STATION,),
    "zones": (ZONE,),
}

_LONGITUDE, _LATITUDE = (
    {"standard_name": name, "long_name": name, "units": units, **COORDINATE}
    for name, units in (("longitude", "degrees_east"), ("latitude", "degrees_north"))
)
_DRAW = {"standard_name": "realization", "long_name": "number of the draw", "units": "1"}
_HEIGHT = {
    "standard_name": "height",
    "long_name": "height above the ground of the inlets of monitors",
    "units": "m",
    "positive": "up",
    "axis": "Z",
    **COORDINATE,
}
_STATION_ATTRIBUTES: dict[str, dict[str, str]] = {
    "longitude": _LONGITUDE,
    "latitude": _LATITUDE,
    "altitude": {
        # Not "altitude", a vertical coordinate, which would need "positive" and which CDO refuses.
        "standard_name": "surface_altitude",
        "long_name": "altitude of the station",
        "units": "m",
        **COORDINATE,
    },
    "station_id": {"long_name": "station identifier", "cf_role": "timeseries_id"},
    "name": {"standard_name": "platform_name", "long_name": "name of the station"},
}


def layout_of(product: xr.Dataset) -> Layout:
    """Return the horizontal layout of a product, by its dimensions.

    Raises
    ------
    ProductError
        If the dimensions are none of ``(lat, lon)``, ``(y, x)``, ``(station)`` and ``(zone)``.
        Without axes x and y, the longitude and latitude of the cells say where they lie
        ("curvilinear").

    Examples
    --------
    >>> layout_of(xr.Dataset(coords={"lat": [50.0], "lon": [10.0]}))
    'geographic'
    """
    for layout, dims in HORIZONTAL.items():
        if all(dim in product.dims for dim in dims):
            # Without axes, longitude and latitude say where the cells lie.
            axes = layout != "projected" or not {"x", "y"}.isdisjoint(product.variables)
            placed = all(product[n].ndim == 2 for n in ("lon", "lat") if n in product.variables)
            if axes or not ({"lon", "lat"} <= set(product.variables) and placed):
                return layout
    raise ProductError(
        "a product needs dimensions (time, lat, lon), (time, y, x) or (station, time); "
        f"found {tuple(product.sizes)}. Keep the horizontal dimensions, or rename them."
    )


def restore_coordinates(product: xr.Dataset) -> xr.Dataset:
    """Return the product with every coordinate, its bounds and the CRS as CF asks for.

    Raises
    ------
    ProductError
        If the CRS of a projected grid or the label of the averaging period is lost.
    """
    layout = layout_of(product)
    auxiliary = [
        name
        for name in product.data_vars
        if name in (CRS, "spatial_ref", "station_id", ZONE_ID) or str(name).endswith("_bnds")
    ]
    restored = product.set_coords(auxiliary)
    crs = crs_of(restored)
    attributes = {"long_name": "coordinate reference system", **crs_attributes(crs)}
    mappings = [name for name in restored.coords if is_grid_mapping(restored[name])]
    restored = restored.drop_vars(mappings).assign_coords({CRS: ((), np.int32(0), attributes)})
    if layout == "stations":
        restored = _with_stations(restored)
    elif layout == "zones":
        restored = with_zones(restored)
    else:
        restored = _with_axes(restored, layout, crs)
    restored = _with_height(restored)
    if DRAW in restored.dims:
        number = np.arange(restored.sizes[DRAW])
        numbers = restored[DRAW].values if DRAW in restored.coords else number
        numbers = numbers.astype(np.int32)
        restored = restored.assign_coords({DRAW: coordinate((DRAW,), numbers, _DRAW)})
    if is_set(restored):
        return restore_set(restored)
    restored = restore_leads(restored)
    return restore_periods(restored) if TIME in restored.variables else restored


def crs_of(product: xr.Dataset) -> Any:
    """Return the `pyproj.CRS` of the product; EPSG:4326 for degrees that name no other.

    Raises
    ------
    ProductError
        If projected coordinates have lost their CRS, or CF has no name for it.

    Examples
    --------
    >>> crs_of(xr.Dataset(coords={"lat": [50.0], "lon": [10.0]})).to_string()
    'EPSG:4326'
    """
    import pyproj

    with raising(ProductError, "the product"):
        crs = find_crs(product)
    if crs is not None:
        return crs
    if layout_of(product) == "projected":
        raise ProductError(
            f"the projected coordinates x and y have lost their CRS: no variable {CRS!r} with "
            "crs_wkt is left. Give it back with "
            "product.coords['crs'] = 0; product.crs.attrs = pyproj.CRS('EPSG:...').to_cf()."
        )
    return pyproj.CRS.from_epsg(4326)


def crs_attributes(crs: Any) -> dict[str, Any]:
    """Return the attributes of the CF grid mapping of a `pyproj.CRS`.

    Raises
    ------
    ProductError
        If CF has no grid mapping for it, as for Web Mercator.
    """
    attributes = crs.to_cf()
    if "grid_mapping_name" not in attributes:
        raise ProductError(
            f"CF has no grid mapping for {crs.name!r}, so the file would not be georeferenced "
            "everywhere. Use longitude and latitude (EPSG:4326) or the UTM zone of the region."
        )
    if attributes["grid_mapping_name"] == "polar_stereographic":
        # CF asks for the pole, which PROJ leaves out where a standard parallel implies it.
        parallel = attributes.get("standard_parallel", 90.0)
        pole = float(np.copysign(90.0, np.atleast_1d(parallel)[0]))
        attributes.setdefault("latitude_of_projection_origin", pole)
    # netCDF attributes are numbers, texts or arrays; tuples come from two standard parallels.
    return {
        name: np.array(value) if isinstance(value, tuple | list) else value
        for name, value in attributes.items()
    }


def check_crs(crs: str) -> None:
    """Refuse a CRS that a product cannot be written in.

    Raises
    ------
    ProductError
        As of `crs_attributes`.

    Examples
    --------
    >>> check_crs("EPSG:32650")
    """
    if crs != "EPSG:4326":
        import pyproj

        crs_attributes(pyproj.CRS.from_user_input(crs))


def cell_bounds(centres: np.ndarray, size: float) -> np.ndarray:
    """Return the edges of cells, (n, 2); neighbouring cells share the same number.

    Examples
    --------
    >>> cell_bounds(np.array([0.15, 0.25]), 0.1).tolist()
    [[0.1, 0.2], [0.2, 0.3]]
    """
    digits = 9 - int(np.floor(np.log10(abs(size))))
    return np.round(centres[:, None] + size * np.array([-0.5, 0.5]), digits)


def _with_height(product: xr.Dataset) -> xr.Dataset:
    """Return the product with the height of its air, the nominal one where none is stated."""
    # CDO gives each layer that it cannot read another one, such as height_2.
    scalars = {str(name): each for name, each in product.variables.items() if not each.ndim}
    heights = [
        name
        for name, scalar in scalars.items()
        if scalar.attrs.get("standard_name") == HEIGHT or (name == HEIGHT in product.coords)
    ]
    if not heights and HEIGHT in product.variables:
        return product  # another variable of that name
    stated = product.variables[heights[0]] if heights else None
    height = _NOMINAL_HEIGHT_M if stated is None else _metres(stated, heights[0])
    attributes = dict(_HEIGHT)
    if stated is None or stated.attrs.get("comment") == _NOMINAL:
        attributes["comment"] = _NOMINAL
    one = coordinate((), np.array(height, np.float64), attributes)
    return product.drop_vars(heights).assign_coords({HEIGHT: one})


def _metres(height: xr.Variable, name: str) -> float:
    """Return a stated height in metres."""
    value = height.values
    try:
        factor, offset = linear_conversion(str(height.attrs.get("units", "m")), "m", name)
    except ObservationError as error:
        raise ProductError(f"the height of the air: {error}") from error
    if value.dtype.kind not in "fiu" or not np.isfinite(value):
        raise ProductError(
            f"{name} is how many metres above the ground the air is; found {value.item()!r}. State "
            f"a number, product.assign_coords({name}=3.0), or leave it out"
        )
    return float(value * factor + offset)


def _with_axes(product: xr.Dataset, layout: Layout, crs: Any) -> xr.Dataset:
    """Return the product with the two axes of its grid and their bounds."""
    if layout == "curvilinear":
        return product.assign_coords(
            {
                name: coordinate(product[name].dims, product[name].values, attributes)
                for name, attributes in (("lon", _LONGITUDE), ("lat", _LATITUDE))
            }
        )
    names = HORIZONTAL[layout]
    if layout == "projected" and crs.is_projected:
        product = _in_units_of(crs, product)
    centres = {name: product[name].values.astype(np.float64) for name in names}
    if layout == "geographic":
        centres["lon"] = _going_on(centres["lon"])
    for name, values in centres.items():
        apart = np.diff(values)
        if not ((apart > 0).all() or (apart < 0).all()):
            raise ProductError(
                f"{name} neither increases nor decreases from cell to cell: sort them, "
                f"product.drop_duplicates({name!r}).sortby({name!r})"
            )
    sizes = {name: _spacing(values) for name, values in centres.items()}
    steps = [abs(size) for size in sizes.values() if size is not None]
    coordinates: dict[str, xr.Variable] = {}
    for name, axis, attributes in zip(names, "YX", _axis_attributes(layout, crs), strict=True):
        size = sizes[name] or (steps[0] if steps else None)  # a single row is as high as wide
        bounds = _stated_bounds(product, name, centres[name])
        if bounds is None and size is not None:
            bounds = cell_bounds(centres[name], size)
        extra = {"axis": axis}
        if bounds is not None:
            bounds = np.clip(bounds, -90, 90) if name == "lat" else bounds
            extra["bounds"] = f"{name}_bnds"
            coordinates[extra["bounds"]] = coordinate((name, EDGES), bounds, {})
        coordinates[name] = coordinate((name,), centres[name], {**attributes, **extra})
    if layout == "projected":
        coordinates |= _degrees(product, crs)
    return product.assign_coords(coordinates)


def _going_on(longitude: np.ndarray) -> np.ndarray:
    """Return longitudes that jump by 360 degrees, as NCO selects them, going on beyond instead."""
    ordered = (np.diff(longitude) > 0).all() or (np.diff(longitude) < 0).all()
    return longitude if ordered else np.unwrap(longitude, period=360)


def _in_units_of(crs: Any, product: xr.Dataset) -> xr.Dataset:
    """Return the product with projected axes in units of the CRS; some files have them in km."""
    own_units = _length_unit(crs)
    for name in HORIZONTAL["projected"]:
        units = str(product[name].attrs.get("units", own_units))
        if units == own_units:
            continue
        try:
            factor = (
                linear_conversion(units, "m", name)[0] / crs.axis_info[0].unit_conversion_factor
            )
        except ObservationError as error:
            raise ProductError(f"the axes of the grid: {error}") from error
        own = [name, *(each for each in bounds_names(product[name]) if each in product.variables)]
        product = product.assign_coords(
            {each: product[each].variable.astype(np.float64) * factor for each in own}
        )
    return product


def _axis_attributes(layout: Layout, crs: Any) -> list[dict[str, Any]]:
    """Return the attributes of the axes y and x, in this order."""
    if layout == "geographic":
        return [_LATITUDE, _LONGITUDE]
    return [
        {
            "standard_name": f"projection_{name}_coordinate",
            "long_name": f"{name} coordinate of projection",
            "units": _length_unit(crs),
            **COORDINATE,
        }
        for name in "yx"
    ]


def _length_unit(crs: Any) -> str:
    """Return the unit of a projected CRS as UDUNITS writes it."""
    factor = crs.axis_info[0].unit_conversion_factor
    return "m" if factor == 1 else f"{factor!r} m"


def _spacing(centres: np.ndarray) -> float | None:
    """Return the signed step of a regular axis; None for a single cell."""
    if centres.size < 2:
        return None
    return float((centres[-1] - centres[0]) / (centres.size - 1))


def _stated_bounds(product: xr.Dataset, name: str, centres: np.ndarray) -> np.ndarray | None:
    """Return the bounds that the product still has, if they enclose the centres of the cells."""
    bounds = find_bounds(product, product[name])
    if bounds is None:
        return None
    bounds = bounds + (centres - product[name].values)[:, None]  # longitudes that go on
    low, high = np.sort(bounds, axis=1).T
    inside = bool(np.all((low <= centres) & (centres <= high) & (low < high)))
    return bounds.astype(np.float64) if inside else None


def _degrees(product: xr.Dataset, crs: Any) -> dict[str, xr.Variable]:
    """Return longitude and latitude of the cells of a projected grid, (y, x)."""
    from pyproj import Transformer

    transform = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = transform.transform(*np.meshgrid(product["x"], product["y"]))
    if np.ptp(longitude) > 180:  # the grid crosses the date line
        longitude = longitude % 360
    dims = HORIZONTAL["projected"]
    return {
        "lon": coordinate(dims, longitude, _LONGITUDE),
        "lat": coordinate(dims, latitude, _LATITUDE),
    }


def _with_stations(product: xr.Dataset) -> xr.Dataset:
    """Return the product with its stations' coordinates and ``station_id``."""
    missing = [name for name in ("longitude", "latitude") if name not in product.variables]
    if missing:
        raise ProductError(
            "a station product needs longitude and latitude on 'station'; found no "
            f"{' and no '.join(missing)}. Add them as coordinates."
        )
    identifiers = product.variables.get("station_id", product.variables.get(STATION))
    if identifiers is None:  # CDO drops texts
        logger.warning("the stations have lost their identifiers: they are numbered")
        identifiers = xr.Variable(STATION, np.arange(product.sizes[STATION]))
    texts = _texts(identifiers.values)
    product = product.assign_coords({STATION: texts, "station_id": (STATION, texts)})
    coordinates = {}
    for name, attributes in _STATION_ATTRIBUTES.items():
        if name in product.variables:
            values = product[name].values
            values = values.astype(np.float64) if values.dtype.kind in "fiu" else _texts(values)
            coordinates[name] = coordinate((STATION,), values, attributes)
    return product.assign_coords(coordinates)


def _texts(values: np.ndarray) -> np.ndarray:
    """Return values as texts, empty where one is missing; letters of another axis are joined."""
    if values.ndim > 1:
        values = np.array([b"".join(row.ravel().tolist()).decode() for row in values.astype("S")])
    return np.array(["" if value is None or value != value else str(value) for value in values])
