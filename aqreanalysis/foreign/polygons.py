"""Polygons to clip to or to average over: files of vectors, tables of geopandas, shapes."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aqreanalysis.foreign.errors import ForeignError, raising
from aqreanalysis.untrusted import UnreadableError, inspect

if TYPE_CHECKING:
    import geopandas
    from shapely.geometry.base import BaseGeometry

    #: A file, a table or series of geopandas, or a shape in degrees.
    PolygonSource: TypeAlias = (
        str | os.PathLike[str] | geopandas.GeoDataFrame | geopandas.GeoSeries | BaseGeometry
    )
else:
    PolygonSource = Any  # what it says takes a second to import

logger = logging.getLogger(__name__)

#: How files begin that are what their suffix says: GDAL would follow others to further files.
_BEGINNINGS = {
    ".gpkg": b"SQLite format 3\0",
    ".shp": b"\0\0\x27\x0a",
    ".geojson": b"{",
    ".json": b"{",
    ".parquet": b"PAR1",
}


class Polygons:
    """The area of one or more polygons, in degrees.

    Parameters
    ----------
    area : shapely geometry
        Polygons in longitude and latitude.

    Examples
    --------
    >>> import shapely
    >>> square = Polygons.of(shapely.box(179, -1, 181, 1))
    >>> square.hold(np.array([180.5, -179.5, 178.0]), np.zeros(3)).tolist()
    [True, True, False]
    """

    def __init__(self, area: "BaseGeometry") -> None:
        import shapely

        self.area = area
        self._parts = shapely.get_parts(area)
        shapely.prepare(self._parts)

    @classmethod
    def of(cls, source: PolygonSource) -> "Polygons":
        """Return the polygons of a file, a table, a series or a shape, together.

        Polygons that cross themselves are mended, and the log says so.

        Raises
        ------
        ValueError
            If the file cannot be read, states no CRS, or holds other shapes than polygons.
        """
        import geopandas
        import shapely

        with raising(ValueError, "the polygons"):
            if isinstance(source, str | os.PathLike):
                source = _read(Path(source))
            if isinstance(source, shapely.Geometry):
                source = geopandas.GeoSeries([source], crs="EPSG:4326")
            return cls(_joined(source.geometry))

    @property
    def region(self) -> tuple[float, float, float, float]:
        """West, east, south, north, degrees."""
        west, south, east, north = self.area.bounds
        return west, east, south, north

    def hold(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return whether places (any shape, degrees, of any convention) lie within."""
        import shapely

        inside = np.zeros(np.shape(longitude), bool)
        for turn in (-360.0, 0.0, 360.0):
            east = longitude + turn
            for part, (low, south, high, north) in zip(
                self._parts, shapely.bounds(self._parts), strict=True
            ):
                near = (east >= low) & (east <= high) & (latitude >= south) & (latitude <= north)
                inside[near] |= shapely.contains_xy(part, east[near], latitude[near])
        return inside


def _read(path: Path) -> "geopandas.GeoDataFrame":
    """Return the only layer of a file of vectors."""
    import geopandas

    beginning = _BEGINNINGS.get(path.suffix.lower())
    if beginning is None:
        raise ForeignError(
            f"polygons are read from files ending in {', '.join(_BEGINNINGS)}; found {path.name!r}"
        )
    if not path.is_file():
        raise ForeignError(f"there is no file {path}")
    with path.open("rb") as file:
        start = file.read(64).lstrip(b" \t\r\n\xef\xbb\xbf")
    if not start.startswith(beginning):
        raise ForeignError(
            f"{path.name} is none of its suffix, since it begins with {start[:16]!r}"
        )
    try:
        if path.suffix.lower() == ".parquet":
            inspect([path], "parquet")
            return geopandas.read_parquet(path)
        inspect([path], "shapefile")
        layers = geopandas.list_layers(path)["name"]
        if len(layers) > 1:
            raise ForeignError(
                f"{path.name} has the layers {', '.join(layers)}; write the one that is meant "
                f"alone, as ogr2ogr one.gpkg {path.name} {layers[0]}"
            )
        return geopandas.read_file(path.absolute(), engine="pyogrio")
    except (UnreadableError, ValueError, OSError, RuntimeError) as error:
        if isinstance(error, ForeignError):
            raise
        raise ForeignError(f"{path.name} cannot be read: {error}") from error


def read_polygons(source: PolygonSource) -> "geopandas.GeoDataFrame":
    """Return the polygons of a file, a table, a series or a shape, a row each, valid, in their CRS.

    Rows without a polygon are left out, polygons that cross themselves are mended, and the log says
    so.

    Raises
    ------
    ForeignError
        If the file cannot be read, states no CRS, or holds other shapes than polygons.

    Examples
    --------
    >>> import shapely
    >>> read_polygons(shapely.box(10, 50, 11, 51)).total_bounds.tolist()
    [10.0, 50.0, 11.0, 51.0]
    """
    import geopandas
    import shapely

    if isinstance(source, str | os.PathLike):
        source = _read(Path(source))
    if isinstance(source, shapely.Geometry):
        source = geopandas.GeoSeries([source], crs="EPSG:4326")
    if isinstance(source, geopandas.GeoSeries):
        source = source.to_frame("geometry")
    if not isinstance(source, geopandas.GeoDataFrame):
        raise ForeignError(
            "expected a file, a GeoDataFrame, a GeoSeries or a shape; found "
            f"{type(source).__name__}"
        )
    shapes = _valid(source.geometry)
    if len(shapes) < len(source):
        logger.warning("%d rows have no polygon and are left out", len(source) - len(shapes))
    return source[_present(source.geometry)].set_geometry(shapes)


def _joined(shapes: "geopandas.GeoSeries") -> "BaseGeometry":
    """Return the polygons of a series as one area in degrees."""
    import shapely

    area = shapely.force_2d(shapely.union_all(_valid(shapes).to_crs("EPSG:4326").values))
    if not np.isfinite(area.bounds).all() or not -90 <= area.bounds[1] <= area.bounds[3] <= 90:
        raise ForeignError(
            f"they reach from {area.bounds}, which are no degrees: correct their CRS"
        )
    return area


def _valid(shapes: "geopandas.GeoSeries") -> "geopandas.GeoSeries":
    """Return the polygons of a series, those that cross themselves mended; refuse other shapes."""
    if shapes.crs is None:
        raise ForeignError(
            "they state no CRS, so where they lie is unknown: set it, "
            "{data}.set_crs('EPSG:4326'), or ogr2ogr -a_srs EPSG:4326"
        )
    shapes = shapes[_present(shapes)]
    kinds = sorted(set(shapes.geom_type) - {"Polygon", "MultiPolygon"})
    if kinds or shapes.empty:
        raise ForeignError(f"expected polygons; found {', '.join(kinds) or 'none'}")
    crossing = ~shapes.is_valid
    if crossing.any():
        logger.warning(
            "%d of %d polygons cross themselves and are mended", crossing.sum(), len(shapes)
        )
        shapes = shapes.make_valid()
    return shapes


def _present(shapes: "geopandas.GeoSeries") -> np.ndarray:
    """Return which shapes of a series are neither missing nor empty."""
    import shapely

    absent: np.ndarray = shapely.is_missing(shapes.values) | shapely.is_empty(shapes.values)
    return ~absent
