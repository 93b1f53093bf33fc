"""Coastlines, borders, states, lakes and cities of the whole world, shipped with the package.

An extract of Natural Earth 1:10m (public domain), made by `make_natural_earth`. Nothing here
reaches for the network. Where cartopy already holds the full files, small regions are drawn from
those; they are never downloaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

Layer = Literal["coastline", "lake", "border", "state"]
Region = tuple[float, float, float, float]

DATA = Path(__file__).with_name("natural_earth.parquet")
#: Coordinates are kept as whole numbers of this unit: 110 m.
UNIT_DEG = 0.001
#: Regions narrower than this show the steps of the shipped lines, so cartopy's are worth a look.
_FINE_REGION_DEG = 5.0
#: Where cartopy keeps the full lines, below its data folders.
_CARTOPY_FILES: dict[str, str] = {
    "coastline": "physical/ne_10m_coastline.shp",
    "state": "cultural/ne_10m_admin_1_states_provinces_lines.shp",
}


@dataclass(frozen=True)
class City:
    """A city: its name, its place in degrees, and its rank; 0 comes first."""

    name: str
    longitude: float
    latitude: float
    rank: int


def lines(
    layer: Layer,
    region: Region,
    *,
    rank: int | None = None,
    tolerance_deg: float = 0.0,
    smallest_deg: float = 0.0,
) -> list[np.ndarray]:
    """Return the lines of a layer within a region, each (n, 2) longitude and latitude.

    Parameters
    ----------
    layer : {"coastline", "lake", "border", "state"}
    region : tuple of float
        West, east, south, north in degrees; across the date line, an east above 180. The
        longitudes that come back are those of the region.
    rank : int, optional
        Of borders: 0 international, 1 disputed or indefinite. Of states: 0 in large countries,
        1 elsewhere. All ranks by default.
    tolerance_deg : float
        Lines are simplified to this; 0 leaves them as they are.
    smallest_deg : float
        Lines whose longer side is shorter are left out.

    Examples
    --------
    The land border that leaves the Pacific south of San Diego:

    >>> found = lines("border", (-117.5, -117.0, 32.0, 33.0), rank=0)
    >>> float(np.concatenate(found)[:, 1].mean().round(1))
    32.5
    """
    import shapely

    geometry, bounds = _geometry(layer, rank, _finer_file(layer, region, rank))
    size = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    geometry, bounds = geometry[size >= smallest_deg], bounds[size >= smallest_deg]
    west, east, south, north = region
    found: list[np.ndarray] = []
    for turn in (-360.0, 0.0, 360.0):
        low, high = west - turn, east - turn
        near = (bounds[:, 0] <= high) & (bounds[:, 2] >= low)
        near &= (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
        clipped = shapely.clip_by_rect(geometry[near], low, south, high, north)
        parts = shapely.get_parts(shapely.simplify(clipped, tolerance_deg))
        shift = np.array([turn, 0.0])
        found += [shapely.get_coordinates(part) + shift for part in parts if not part.is_empty]
    return found


def cities(region: Region) -> list[City]:
    """Return the cities within a region, the largest first.

    Parameters
    ----------
    region : tuple of float
        West, east, south, north in degrees; across the date line, an east above 180.

    Examples
    --------
    >>> [city.name for city in cities((115.0, 118.0, 39.0, 41.0))]
    ['Beijing']
    """
    west, east, south, north = region
    found = []
    for city in _all_cities():
        longitude = west + (city.longitude - west) % 360
        if longitude <= east and south <= city.latitude <= north:
            found.append(City(city.name, longitude, city.latitude, city.rank))
    return found


@cache
def _geometry(layer: Layer, rank: int | None, file: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's shapely lines and their bounds, (n, 4) west, south, east, north."""
    import shapely

    geometry = _shipped(layer, rank) if file is None else _from_shapefile(file)
    return geometry, shapely.bounds(geometry)


@cache
def _table() -> Any:
    """Return the shipped file as a pyarrow table."""
    import pyarrow.parquet as pq

    return pq.read_table(DATA)


def _rows(layer: str, rank: int | None) -> Any:
    """Return the rows of a layer."""
    import pyarrow.compute as pc

    table = _table()
    chosen = pc.equal(table["layer"], layer)
    if rank is not None:
        chosen = pc.and_(chosen, pc.equal(table["rank"], rank))
    return table.filter(chosen).combine_chunks()


def _vertices(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return all vertices, (n, 2) degrees, and which row each belongs to, (n,)."""
    lengths = rows["x"].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
    steps = np.stack(
        [rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False) for name in "xy"],
        axis=1,
    ).astype(np.int64)
    walked = np.cumsum(steps, axis=0)
    first = np.cumsum(lengths) - lengths
    # A row's first step starts at (0, 0): take off what was walked in the rows before it.
    before = walked[first] - steps[first]
    owner = np.repeat(np.arange(lengths.size), lengths)
    return (walked - before[owner]) * UNIT_DEG, owner


def _shipped(layer: Layer, rank: int | None) -> np.ndarray:
    """Return the shapely lines of the shipped file."""
    import shapely

    vertices, owner = _vertices(_rows(layer, rank))
    return shapely.linestrings(vertices, indices=owner)


def _from_shapefile(file: Path) -> np.ndarray:
    """Return the lines of a shapefile in cartopy's folder."""
    import shapely
    from cartopy.io.shapereader import Reader

    return shapely.get_parts(np.array(list(Reader(file).geometries()), dtype=object))


@cache
def _all_cities() -> tuple[City, ...]:
    """Return every city, the largest first."""
    rows = _rows("city", None)
    vertices, _ = _vertices(rows)
    names, ranks = rows["name"].to_pylist(), rows["rank"].to_pylist()
    found = [
        City(name, float(lon), float(lat), rank)
        for name, (lon, lat), rank in zip(names, vertices.round(3), ranks, strict=True)
    ]
    return tuple(sorted(found, key=lambda city: city.rank))


def _finer_file(layer: str, region: Region, rank: int | None) -> Path | None:
    """Return cartopy's own file of the layer, if it lies on this machine and would show."""
    # The full files know none of the ranks, and borders need theirs.
    wide = region[1] - region[0] > _FINE_REGION_DEG
    if wide or rank is not None or layer not in _CARTOPY_FILES:
        return None
    return next(_cached_files(_CARTOPY_FILES[layer]), None)


def _cached_files(name: str) -> Iterator[Path]:
    """Yield the places where cartopy keeps a file, as far as it is there."""
    import cartopy

    for folder in ("pre_existing_data_dir", "data_dir"):
        path = Path(cartopy.config[folder], "shapefiles", "natural_earth", name)
        if all(path.with_suffix(suffix).is_file() for suffix in (".shp", ".shx", ".dbf")):
            yield path
