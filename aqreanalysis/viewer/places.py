"""Where the values of a viewer lie: cells as a picture, and stations.

The map is the web's Mercator, that of a grid in a projection its own plane, and around a pole that
of a polar projection: in Mercator these would be stretched, and the pole cannot be shown.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.maps.frame import projection_for
from aqreanalysis.maps.natural_earth import Region
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.product import crs_of
from aqreanalysis.product.coordinates import HORIZONTAL, layout_of
from aqreanalysis.viewer.layers import ViewerError
from aqreanalysis.viewer.plane import Plane
from aqreanalysis.viewer.surroundings import NORTHERNMOST

#: Pixels of the picture for the side of a cell, and of a side of the picture at most.
_PIXELS, _MOST_PIXELS = 4, 1600
#: A curvilinear cell reaches this share of its diagonal from the centre: a little over a corner.
_REACH = 0.55


@dataclass(frozen=True)
class Raster:
    """The picture of a grid: which cell each pixel shows.

    Attributes
    ----------
    cell : (rows, columns) uint32
        Position in the flattened grid, rows from the north; the number of cells where there is
        none. Columns are equal in longitude, rows in Mercator's projection; or both in the plane.
    region : tuple of float
        West, east, south, north of the picture, degrees; across the date line an east above 180.
        In a plane metres.
    shape : tuple of int
        Rows and columns of the grid.
    description : str
        Of the cells, in words.
    plane : Plane or None
        In which the map is laid out, if not in Mercator's projection.
    """

    cell: np.ndarray
    region: Region
    shape: tuple[int, int]
    description: str
    plane: Plane | None = None

    @property
    def span(self) -> tuple[float, float]:
        """Western and eastern edge in degrees."""
        return (self.region if self.plane is None else self.plane.window(self.region))[:2]


def raster_of(product: xr.Dataset, whole: xr.Dataset) -> Raster:
    """Return the picture of the cells of a product, of which some may be left out of a whole one.

    Raises
    ------
    ViewerError
        If the grid has a single cell whose bounds nothing states.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
    >>> raster = raster_of(product, product)
    >>> raster.region, raster.description
    ((115.0, 119.0, 37.5, 41.0), '8 × 7 cells of 0.5°')
    """
    layout = layout_of(product)
    unknown = [name for name in HORIZONTAL[layout] if f"{name}_bnds" not in whole]
    if layout != "curvilinear" and unknown:
        raise ViewerError(
            "how large the one cell is does not follow from its place: give the product "
            f"{' and '.join(f'{name}_bnds' for name in unknown)}, or draw its series with "
            "product.aqnet.plot_series"
        )
    if layout == "geographic":
        return _of_degrees(product, whole)
    if layout == "projected":
        return _of_projection(product, whole)
    return _of_centres(product)


def stations_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return identifiers, names, longitudes and latitudes of stations, for the page."""
    network = StationNetwork.from_dataset(dataset)
    west = network.extent()[0]
    identifiers = [str(name) for name in dataset[STATION].values]
    names = [str(name) for name in dataset["name"].values] if "name" in dataset else identifiers
    return {
        "id": identifiers,
        "name": names,
        "longitude": (west + (network.longitude - west) % 360).round(5).tolist(),
        "latitude": network.latitude.round(5).tolist(),
    }


def on_plane(stations: dict[str, Any], plane: Plane | None) -> dict[str, Any]:
    """Return stations of a page with their places in the plane of its map, if it has one."""
    if plane is None:
        return stations
    x, y = plane.place(stations["longitude"], stations["latitude"])
    return stations | {"x": x.round(1).tolist(), "y": y.round(1).tolist()}


def station_region(dataset: xr.Dataset) -> Region:
    """Return the extent of stations with a margin, degrees."""
    west, east, south, north = StationNetwork.from_dataset(dataset).extent()
    margin = max(0.08 * max(east - west, north - south), 0.2)
    south, north = max(south - margin, -NORTHERNMOST), min(north + margin, NORTHERNMOST)
    return west - margin, min(east + margin, west - margin + 360), south, north


def _of_degrees(product: xr.Dataset, whole: xr.Dataset) -> Raster:
    """Return the picture of cells in longitude and latitude."""
    bounds = np.unwrap(whole["lon_bnds"].values.ravel(), period=360.0)
    west, east = bounds.min(), min(bounds.max(), bounds.min() + 360)
    edges = whole["lat_bnds"].values
    plane = _polar_plane((west, east, float(edges.min()), float(edges.max())))
    south, north = _drawable(edges) if plane is None else (edges.min(), edges.max())
    columns_at = np.unwrap(product["lon"].values.astype(np.float64), period=360.0)
    equal = np.ptp(np.diff(columns_at)) < 1e-6 if columns_at.size > 1 else True
    exact = equal and product.sizes["lon"] == whole.sizes["lon"]
    columns = columns_at.size if exact else min(_PIXELS * columns_at.size, _MOST_PIXELS)
    rows = int(np.clip(_PIXELS * product.sizes["lat"], 400, _MOST_PIXELS))
    shape = product.sizes["lat"], product.sizes["lon"]
    sides = [
        f"{float(np.median(np.abs(np.diff(whole[f'{n}_bnds'].values)))):.3g}°"
        for n in ("lon", "lat")
    ]
    words = f"{_counted(whole, 'lon', 'lat')} of {' × '.join(dict.fromkeys(sides))}"
    region = float(west), float(east), float(south), float(north)
    if plane is not None:
        around, edge = np.meshgrid(np.linspace(west, east, 361), [south, north])
        longitude, latitude, region = _pixels_in(plane, around, edge, max(shape))
        longitude = west + (longitude - west) % 360
        inside = (longitude <= east) & (south <= latitude) & (latitude <= north)
        row = _nearest(product["lat"].values, latitude)
        cell = row * shape[1] + _nearest(columns_at, longitude)
        cell = np.where(inside, cell, shape[0] * shape[1])
        return Raster(cell.astype(np.uint32), region, shape, words, plane)
    longitude, latitude = _pixels(region, rows, columns)
    row = _nearest(product["lat"].values, latitude)
    column = _nearest(columns_at, longitude)
    return Raster((row[:, None] * shape[1] + column).astype(np.uint32), region, shape, words)


def _of_projection(product: xr.Dataset, whole: xr.Dataset) -> Raster:
    """Return the picture of cells in a projection, in its own plane."""
    crs = crs_of(whole)
    plane = Plane.of(crs)
    edges = [np.unique(whole[f"{name}_bnds"].values) for name in ("x", "y")]
    (left, right), (low, high) = ((ends[0], ends[-1]) for ends in edges)
    columns, rows = (
        _pixels_along(product[name].values, ends) for name, ends in zip("xy", edges, strict=True)
    )
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = high - (np.arange(rows) + 0.5) * (high - low) / rows
    shape = product.sizes["y"], product.sizes["x"]
    cell = _nearest(product["y"].values, y)[:, None] * shape[1] + _nearest(product["x"].values, x)
    sides = [float(np.median(np.diff(axis))) for axis in edges]
    unit = {"metre": "m", "kilometre": "km"}.get(crs.axis_info[0].unit_name, "units")
    if unit == "m" and min(sides) >= 1000:
        sides, unit = [side / 1000 for side in sides], "km"
    size = " × ".join(dict.fromkeys(f"{side:g}" for side in sides))
    words = f"{_counted(whole, 'x', 'y')} of {size} {unit}, {crs.name}"
    west, east, south, north = (float(end) * plane.metres for end in (left, right, low, high))
    region = west, east, south, north
    return Raster(cell.astype(np.uint32), region, shape, words, plane)


def _of_centres(product: xr.Dataset) -> Raster:
    """Return the picture of cells of which the centres alone are known."""
    centres = product["lon"].values.astype(np.float64), product["lat"].values.astype(np.float64)
    network = StationNetwork(*(values.ravel() for values in centres))
    sides_km = [
        np.median(great_circle_km(*(v[1:] for v in turned), *(v[:-1] for v in turned)))
        for turned in (centres, [values.T for values in centres])
        if len(turned[0]) > 1
    ]
    reach_km = _REACH * float(np.hypot.reduce(sides_km))
    shape = product.sizes["y"], product.sizes["x"]
    plane = _polar_plane(_extent_of(*centres))
    if plane is None:
        region = _region_of(*centres)
        longitude, latitude = np.meshgrid(*_pixels(region, *_picture(region, max(shape))))
    else:
        margin = 500 * max(sides_km)
        longitude, latitude, region = _pixels_in(plane, *centres, max(shape), margin=margin)
    east = (longitude + 180) % 360 - 180
    nearest = network.neighbours(east.ravel(), latitude.ravel(), k=1)
    cell = np.where(nearest.distance_km[:, 0] <= reach_km, nearest.index[:, 0], network.size)
    words = _counted(product, "x", "y")
    return Raster(cell.reshape(east.shape).astype(np.uint32), region, shape, words, plane)


def centres_of(product: xr.Dataset, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of the centres of cells, (rows, columns) in degrees."""
    if layout_of(product) == "geographic":
        longitude, latitude = np.meshgrid(product["lon"].values, product["lat"].values)
    elif layout_of(product) == "projected":
        axes = (product[name].values.astype(np.float64) * plane.metres for name in ("x", "y"))
        longitude, latitude = plane.degrees(*np.meshgrid(*axes))
    else:
        longitude, latitude = product["lon"].values, product["lat"].values
    return longitude, latitude


def _counted(product: xr.Dataset, x: str, y: str) -> str:
    """Return the size of a grid in words."""
    return f"{product.sizes[x]} × {product.sizes[y]} cells"


def _pixels_along(centres: np.ndarray, edges: np.ndarray) -> int:
    """Return the pixels along an axis: one a cell if all are equal, and there, else several."""
    equal = centres.size == edges.size - 1 and np.ptp(np.diff(edges)) < 1e-6 * np.ptp(edges)
    return centres.size if equal else min(_PIXELS * centres.size, _MOST_PIXELS)


def _polar_plane(region: Region) -> Plane | None:
    """Return the plane of a map around a pole, of the projection of printed maps; else None."""
    projection = projection_for(region)
    polar = projection.proj4_params.get("proj") == "stere"
    return Plane.of(projection) if polar else None


def _pixels_in(
    plane: Plane, longitude: np.ndarray, latitude: np.ndarray, cells: int, margin: float = 0.0
) -> tuple[np.ndarray, np.ndarray, Region]:
    """Return positions, (rows, columns), of the square pixels of a plane around places.

    With a margin around them, metres, and with the edges of the picture.
    """
    (left, right), (low, high) = (
        (np.nanmin(axis) - margin, np.nanmax(axis) + margin)
        for axis in plane.place(longitude, latitude)
    )
    side = max(right - left, high - low) / int(np.clip(_PIXELS * cells, 400, _MOST_PIXELS))
    columns, rows = (max(round(wide / side), 1) for wide in (right - left, high - low))
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = high - (np.arange(rows) + 0.5) * (high - low) / rows
    return (
        *plane.degrees(*np.meshgrid(x, y)),
        (float(left), float(right), float(low), float(high)),
    )


def _extent_of(longitude: np.ndarray, latitude: np.ndarray) -> Region:
    """Return the extent of places, degrees; those that are not finite do not count."""
    seen = np.isfinite(longitude) & np.isfinite(latitude)
    radians = np.radians(longitude[seen])
    middle = float(np.degrees(np.arctan2(np.sin(radians).mean(), np.cos(radians).mean())))
    offset = (longitude[seen] - middle + 180) % 360 - 180
    south, north = float(latitude[seen].min()), float(latitude[seen].max())
    return middle + float(offset.min()), middle + float(offset.max()), south, north


def _region_of(longitude: np.ndarray, latitude: np.ndarray) -> Region:
    """Return the extent of places on Mercator's map, degrees."""
    west, east, *ends = _extent_of(longitude, latitude)
    return west, east, *_drawable(np.array(ends))


def _drawable(latitude: np.ndarray) -> tuple[float, float]:
    """Return the southern and northern edge of the map, which cannot show the poles."""
    south, north = np.clip([latitude.min(), latitude.max()], -NORTHERNMOST, NORTHERNMOST)
    if not north > south:
        raise ValueError(
            "the viewer's map ends at 85 degrees north and south, and all cells lie beyond: draw "
            "them with product.aqnet.map()"
        )
    return float(south), float(north)


def _picture(region: Region, cells: int) -> tuple[int, int]:
    """Return rows and columns of a picture whose pixels are squares."""
    west, east, south, north = region
    high, wide = np.diff(_mercator(np.array([south, north])))[0], np.radians(east - west)
    longer = int(np.clip(_PIXELS * cells, 400, _MOST_PIXELS))
    scale = longer / max(high, wide)
    return max(int(high * scale), 1), max(int(wide * scale), 1)


def _pixels(region: Region, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes of columns and latitudes of rows, from the north, at their middles."""
    west, east, south, north = region
    longitude = west + (np.arange(columns) + 0.5) * (east - west) / columns
    low, high = _mercator(np.array([south, north]))
    ordinate = high - (np.arange(rows) + 0.5) * (high - low) / rows
    return longitude, np.degrees(np.arctan(np.sinh(ordinate)))


def _mercator(latitude: np.ndarray) -> np.ndarray:
    """Return the ordinate of Mercator's projection, in radians of the equator."""
    return np.arcsinh(np.tan(np.radians(latitude)))


def _nearest(centres: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the position of the centre next to each place, on an axis of either direction."""
    order = np.argsort(centres)
    ascending = centres[order].astype(np.float64)
    between = (ascending[:-1] + ascending[1:]) / 2
    return order[np.searchsorted(between, np.nan_to_num(places))]
