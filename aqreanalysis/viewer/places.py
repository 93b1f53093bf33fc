"""Where the values of a viewer lie: cells as a picture in the web's Mercator, and stations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.maps.natural_earth import Region
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.product import crs_of
from aqreanalysis.product.coordinates import HORIZONTAL, layout_of
from aqreanalysis.viewer.layers import ViewerError
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
        none. Columns are equal in longitude, rows in Mercator's projection.
    region : tuple of float
        West, east, south, north of the picture, degrees; across the date line an east above 180.
    shape : tuple of int
        Rows and columns of the grid.
    description : str
        Of the cells, in words.
    """

    cell: np.ndarray
    region: Region
    shape: tuple[int, int]
    description: str


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
    south, north = _drawable(whole["lat_bnds"].values)
    columns_at = np.unwrap(product["lon"].values.astype(np.float64), period=360.0)
    equal = np.ptp(np.diff(columns_at)) < 1e-6 if columns_at.size > 1 else True
    exact = equal and product.sizes["lon"] == whole.sizes["lon"]
    columns = columns_at.size if exact else min(_PIXELS * columns_at.size, _MOST_PIXELS)
    rows = int(np.clip(_PIXELS * product.sizes["lat"], 400, _MOST_PIXELS))
    longitude, latitude = _pixels((west, east, south, north), rows, columns)
    row = _nearest(product["lat"].values, latitude)
    column = _nearest(columns_at, longitude)
    shape = product.sizes["lat"], product.sizes["lon"]
    sides = [
        f"{float(np.median(np.abs(np.diff(whole[f'{n}_bnds'].values)))):.3g}°"
        for n in ("lon", "lat")
    ]
    words = f"{_counted(whole, 'lon', 'lat')} of {' × '.join(dict.fromkeys(sides))}"
    return Raster(
        (row[:, None] * shape[1] + column).astype(np.uint32),
        (float(west), float(east), south, north),
        shape,
        words,
    )


def _of_projection(product: xr.Dataset, whole: xr.Dataset) -> Raster:
    """Return the picture of cells in a projection."""
    import pyproj

    crs = crs_of(whole)
    to_cells = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    edges = [np.unique(whole[f"{name}_bnds"].values) for name in ("x", "y")]
    east, north = np.meshgrid(*edges)
    longitude, latitude = to_cells.transform(east, north, direction="INVERSE")
    region = _region_of(longitude, latitude)
    east, north = _pixels(region, *_picture(region, max(product.sizes["y"], product.sizes["x"])))
    x, y = to_cells.transform(*np.meshgrid((east + 180) % 360 - 180, north))
    inside = np.isfinite(x) & np.isfinite(y)
    for values, ends in ((x, edges[0]), (y, edges[1])):
        inside &= (values >= ends[0]) & (values <= ends[-1])
    shape = product.sizes["y"], product.sizes["x"]
    row, column = _nearest(product["y"].values, y), _nearest(product["x"].values, x)
    cell = np.where(inside, row * shape[1] + column, shape[0] * shape[1])
    sides = dict.fromkeys(f"{float(np.median(np.diff(axis))):g}" for axis in edges)
    unit = {"metre": "m", "kilometre": "km"}.get(crs.axis_info[0].unit_name, "units")
    words = f"{_counted(whole, 'x', 'y')} of {' × '.join(sides)} {unit}, {crs.name}"
    return Raster(cell.astype(np.uint32), region, shape, words)


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
    region = _region_of(*centres)
    east, north = _pixels(region, *_picture(region, max(product.sizes["y"], product.sizes["x"])))
    around = np.meshgrid((east + 180) % 360 - 180, north)
    nearest = network.neighbours(*(values.ravel() for values in around), k=1)
    cell = np.where(nearest.distance_km[:, 0] <= reach_km, nearest.index[:, 0], network.size)
    shape = product.sizes["y"], product.sizes["x"]
    words = _counted(product, "x", "y")
    return Raster(cell.reshape(around[0].shape).astype(np.uint32), region, shape, words)


def _counted(product: xr.Dataset, x: str, y: str) -> str:
    """Return the size of a grid in words."""
    return f"{product.sizes[x]} × {product.sizes[y]} cells"


def _region_of(longitude: np.ndarray, latitude: np.ndarray) -> Region:
    """Return the extent of places, degrees; those that are not finite do not count."""
    seen = np.isfinite(longitude) & np.isfinite(latitude)
    radians = np.radians(longitude[seen])
    middle = float(np.degrees(np.arctan2(np.sin(radians).mean(), np.cos(radians).mean())))
    offset = (longitude[seen] - middle + 180) % 360 - 180
    south, north = _drawable(latitude[seen])
    return middle + float(offset.min()), middle + float(offset.max()), south, north


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
