"""Coastlines, borders, states, lakes and cities of the whole world, shipped with the package.

An extract of Natural Earth 1:10m (public domain) as GeoParquet, made by
``tools/make_natural_earth.py``. Nothing is downloaded. Where cartopy already has the full files
on this machine, small regions are drawn from those.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from geopandas import GeoDataFrame, GeoSeries

Layer = Literal["coastline", "lake", "border", "state"]
#: West, east, south, north in degrees; across the date line, an east above 180.
Region = tuple[float, float, float, float]

DATA = Path(__file__).with_name("natural_earth.parquet")
#: In narrower regions the simplification of the shipped lines (0.005 degree) can be seen.
_FINE_REGION_DEG = 5.0
#: Within the polygon of Antarctica, which ends at the pole.
_SOUTHERNMOST = -89.99
#: The full lines in cartopy's data folders.
_CARTOPY_FILES = {
    "coastline": "physical/ne_10m_coastline.shp",
    "state": "cultural/ne_10m_admin_1_states_provinces_lines.shp",
}


@dataclass(frozen=True)
class City:
    """A city and its position in degrees."""

    name: str
    longitude: float
    latitude: float


def lines(
    layer: Layer,
    region: Region,
    *,
    rank: int | None = None,
    tolerance_deg: float = 0.0,
    smallest_deg: float = 0.0,
    longest_deg: float | None = None,
) -> list[np.ndarray]:
    """Lines of a layer, clipped to a region; each (n, 2) longitude and latitude.

    Across the date line a region has an east above 180; the lines' longitudes lie in its range. The
    rank of borders is 0 international, 1 disputed or indefinite; of states 0 in large countries, 1
    elsewhere; by default all. Lines are simplified by Douglas and Peucker within a tolerance; those
    smaller than ``smallest_deg`` in both directions are left out. Points are at most
    ``longest_deg`` apart, for projections in which straight lines of degrees are curves.

    Examples
    --------
    The land border that leaves the Pacific south of San Diego:

    >>> border = lines("border", (-117.5, -117.0, 32.0, 33.0), rank=0)
    >>> float(np.concatenate(border)[:, 1].mean().round(1))
    32.5
    """
    geometry = _geometry(layer, rank, _finer_file(layer, region, rank))
    bounds = geometry.bounds
    size = np.maximum(bounds["maxx"] - bounds["minx"], bounds["maxy"] - bounds["miny"])
    geometry = geometry[size >= smallest_deg]
    west, east, south, north = region
    clipped: list[np.ndarray] = []
    for turn in (-360.0, 0.0, 360.0):
        parts = geometry.clip_by_rect(west - turn, south, east - turn, north)
        parts = parts[~parts.is_empty].simplify(tolerance_deg).explode()
        parts = parts if longest_deg is None else parts.segmentize(longest_deg)
        clipped += [np.array(part.coords) + np.array([turn, 0.0]) for part in parts]
    return clipped


def cities(region: Region) -> list[City]:
    """Cities within a region, the largest first; across the date line, it has an east above 180.

    Examples
    --------
    >>> [city.name for city in cities((115.0, 118.0, 39.0, 41.0))][:3]
    ['Beijing', 'Tianjin', 'Langfang']
    """
    west, east, south, north = region
    table = _features("city").sort_values("rank")
    longitude = west + (table.geometry.x - west) % 360
    inside = (longitude <= east) & table.geometry.y.between(south, north)
    rows = zip(table["name"][inside], longitude[inside], table.geometry.y[inside], strict=True)
    return [City(name, float(x), float(y)) for name, x, y in rows]


@cache
def largest_cities() -> dict[str, City]:
    """Return cities by their names in lower case; of several of one name the largest.

    Examples
    --------
    >>> largest_cities()["paris"]
    City(name='Paris', longitude=2.33..., latitude=48.8...)
    """
    table = _features("city").sort_values("rank", ascending=False)
    rows = zip(table["name"], table.geometry.x, table.geometry.y, strict=True)
    return {name.casefold(): City(name, float(x), float(y)) for name, x, y in rows}


def on_land(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return whether places (any shape, degrees) lie on land; lakes are land, the sea is not.

    The coast is that of the shipped lines, simplified to 0.005 degree.

    Examples
    --------
    Beijing, the Pacific and the South Pole:

    >>> on_land(np.array([116.4, 180.0, 0.0]), np.array([39.9, 0.0, -90.0])).tolist()
    [True, False, True]
    """
    import shapely

    east = (np.asarray(longitude, np.float64) + 180) % 360 - 180
    north = np.maximum(latitude, _SOUTHERNMOST)
    rings = _coast_rings()
    edges = shapely.bounds(rings)
    reached = (edges[:, 0] <= east.max()) & (edges[:, 2] >= east.min())
    reached &= (edges[:, 1] <= north.max()) & (edges[:, 3] >= north.min())
    # Rings in others are holes: an island in the Caspian is land again.
    land = shapely.build_area(shapely.GeometryCollection(rings[reached].tolist()))
    shapely.prepare(land)
    return shapely.contains_xy(land, east, north)


@cache
def _coast_rings() -> np.ndarray:
    """Return the coasts as closed rings; those that end at the date line are closed along it."""
    import shapely

    rings = []
    for line in _features("coastline").geometry:
        points = np.array(line.coords)
        if abs(points[0, 0] - points[-1, 0]) > 180:  # Antarctica: closed around the pole
            points = np.vstack([points, [points[-1, 0], -90.0], [points[0, 0], -90.0]])
        rings.append(shapely.LinearRing(points))
    return np.array(rings, dtype=object)


@cache
def _geometry(layer: Layer, rank: int | None, file: Path | None) -> "GeoSeries":
    """Return the lines of a layer from the shipped file, or from one of cartopy's."""
    import geopandas

    if file is not None:
        return geopandas.read_file(file).geometry.explode()
    table = _features(layer)
    return table.geometry if rank is None else table.geometry[table["rank"] == rank]


@cache
def _features(layer: str) -> "GeoDataFrame":
    """Return the shipped features of a layer."""
    import geopandas

    return geopandas.read_parquet(DATA, filters=[("layer", "==", layer)])


def _finer_file(layer: Layer, region: Region, rank: int | None) -> Path | None:
    """Return cartopy's own file of the layer, if it is on this machine and its detail shows."""
    # The full files have no ranks, which borders need.
    wide = region[1] - region[0] > _FINE_REGION_DEG
    if wide or rank is not None or layer not in _CARTOPY_FILES:
        return None
    import cartopy

    for folder in ("pre_existing_data_dir", "data_dir"):
        path = Path(cartopy.config[folder], "shapefiles", "natural_earth", _CARTOPY_FILES[layer])
        if all(path.with_suffix(suffix).is_file() for suffix in (".shp", ".shx", ".dbf")):
            return path
    return None
