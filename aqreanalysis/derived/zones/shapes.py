"""Zones: polygons with a name each, in the CRS of a grid that their means are taken on."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis.derived.zones.overlaps import Cells
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.polygons import PolygonSource, read_polygons

if TYPE_CHECKING:
    import geopandas

logger = logging.getLogger(__name__)

#: Longest piece of a border that is straight in another CRS as well: off by 0.5 m in the middle.
_PIECE_KM = 5.0
#: Names of which a message lists so many.
_LISTED = 5


def named_zones(source: PolygonSource, name: str | None) -> "geopandas.GeoDataFrame":
    """Return polygons by their name, which is the index, in their own CRS.

    Without a column, it is the first one of texts that are all there and differ, or else the number
    of the row; the log says which.

    Raises
    ------
    ForeignError
        As of `read_polygons`, or if there is no such column, or a name is missing or appears twice.

    Examples
    --------
    >>> import geopandas, shapely
    >>> squares = [shapely.box(10 + east, 50, 11 + east, 51) for east in (0, 1)]
    >>> table = geopandas.GeoDataFrame({"code": ["A", "B"]}, geometry=squares, crs="EPSG:4326")
    >>> named_zones(table, "code").index.tolist()
    ['A', 'B']
    """
    polygons = read_polygons(source)
    columns = polygons.drop(columns=polygons.geometry.name)
    if name is None:
        name = next((each for each in columns if _tells_apart(columns[each])), None)
        logger.info("zones are called by %s", f"their {name!r}" if name else "their number")
    if name is None:
        return polygons.set_axis([str(number) for number in range(len(polygons))], axis=0)
    if name not in columns:
        raise ForeignError(
            f"they have no column {name!r} of names; they have "
            f"{', '.join(map(str, columns)) or 'none'}"
        )
    if columns[name].isna().any():
        raise ForeignError(
            f"{columns[name].isna().sum()} of them have no {name!r}: name another column, or fill "
            f"it, {{data}}[{name!r}].fillna(...)"
        )
    names = columns[name].astype(str)
    twice = names[names.duplicated()].unique()
    if twice.size:
        raise ForeignError(
            f"{name!r} has {listed(twice)} more than once: name a column that tells zones apart, "
            f"or join those of one name, {{data}}.dissolve({name!r})"
        )
    return polygons.set_axis(names.to_numpy(object), axis=0)


def listed(names: Any) -> str:
    """Return the first of some names for a message, and how many there are.

    Examples
    --------
    >>> listed(["A", "B"]), listed("ABCDEFG")
    ('A, B', 'A, B, C, D, E and 2 more')
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def in_crs_of(shapes: "geopandas.GeoSeries", cells: Cells) -> "geopandas.GeoSeries":
    """Return polygons in the CRS of a grid; borders that were straight in another one bend.

    Raises
    ------
    ForeignError
        If the CRS does not reach some of them.
    """
    return in_crs(shapes, cells.crs)


def in_crs(shapes: "geopandas.GeoSeries", crs: Any) -> "geopandas.GeoSeries":
    """Return polygons in a CRS.

    Raises
    ------
    ForeignError
        If it does not reach some of them.
    """
    import pyproj
    import shapely

    crs = pyproj.CRS.from_user_input(crs)
    if shapes.crs == crs:
        return shapes
    if not (shapes.crs.is_geographic and crs.is_geographic):
        unit = shapes.crs.axis_info[0].unit_conversion_factor  # in m, or in radians
        piece = np.degrees(_PIECE_KM / 6371) if shapes.crs.is_geographic else 1e3 * _PIECE_KM / unit
        shapes = shapes.segmentize(piece)
    moved = shapes.to_crs(crs)
    lost = ~np.isfinite(moved.bounds.values).all(axis=1)
    if lost.any():
        raise ForeignError(
            f"{listed(moved.index[lost])} reach beyond what {crs.name} can map: correct their CRS, "
            "or leave them out"
        )
    if crs.is_geographic and not shapes.crs.is_geographic:
        # Across the date line longitudes go on beyond 180.
        moved = moved.apply(lambda shape: shapely.transform(shape, _unwrapped))
    return moved


def _unwrapped(corners: np.ndarray) -> np.ndarray:
    """Return corners (n, 2) whose longitudes do not jump by 360 degrees."""
    return np.column_stack([np.unwrap(corners[:, 0], period=360.0), corners[:, 1]])


def _tells_apart(column: Any) -> bool:
    """Return whether a column has a text for each zone, and no text twice."""
    texts = column.map(lambda value: isinstance(value, str) and bool(value.strip()))
    return bool(texts.all() and column.is_unique)
