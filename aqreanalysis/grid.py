"""Grids in longitude and latitude, in a projection or of another file: centres, bounds, areas."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork

#: Most cells of a grid: 50 million are a continent at 1 km; more are taken for a mistake.
MOST_CELLS = 50_000_000


@dataclass(frozen=True)
class Grid:
    """A regular grid, given by its outer edges and the size of a cell.

    The grid keeps west and south; east and north move outwards to hold whole cells.

    Parameters
    ----------
    region : tuple of float
        West, east, south, north: outer edges in the units of ``crs``. A region across the date
        line has an east above 180.
    resolution : float or tuple of float
        Side of a cell in the units of ``crs``, or its height and width: ``(0.5, 0.625)`` is half a
        degree of latitude by 0.625 of longitude.
    crs : str
        Anything that pyproj reads: ``"EPSG:4326"`` (longitude, latitude), ``"EPSG:32650"``, ...

    Raises
    ------
    ValueError
        All faults of the region, resolution and CRS at once.

    Examples
    --------
    >>> grid = Grid((116.0, 117.0, 39.0, 39.5), 0.25)
    >>> grid.shape, grid.x.tolist(), grid.y.tolist()
    ((2, 4), [116.125, 116.375, 116.625, 116.875], [39.125, 39.375])
    >>> Grid((-180.0, 180.0, -90.0, 90.0), (2.0, 2.5)).shape
    (90, 144)
    """

    region: tuple[float, float, float, float]
    resolution: float | tuple[float, float]
    crs: str = "EPSG:4326"

    def __post_init__(self) -> None:
        faults = self._region_faults()
        try:
            if self.is_geographic and self._has_numbers():
                faults += self._degree_faults() or ([] if faults else self._overshoot_faults())
        except ValueError as error:  # an unknown CRS
            faults.append(str(error))
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def height(self) -> float:
        """Extent of a cell along y, in the units of ``crs``."""
        return _both(self.resolution)[0]

    @property
    def width(self) -> float:
        """Extent of a cell along x, in the units of ``crs``."""
        return _both(self.resolution)[1]

    @classmethod
    def over(
        cls,
        region: tuple[float, float, float, float],
        resolution: float | tuple[float, float],
        *,
        crs: str = "EPSG:4326",
    ) -> Self:
        """Return a grid over a region in degrees: of whole multiples of a cell, if projected.

        Examples
        --------
        >>> Grid.over((116.0, 117.0, 39.0, 39.5), 25_000.0, crs="EPSG:32650").region
        (400000.0, 500000.0, 4300000.0, 4375000.0)
        """
        if _is_geographic(crs):
            return cls(region, _sides(resolution), crs)
        west, east, south, north = _degrees(region)
        edges = _projection(crs).transform_bounds(west, south, east, north, densify_pts=100)
        if not np.isfinite(edges).all():
            raise ValueError(
                f"the region {region} lies outside of what {crs} can map; make it smaller"
            )
        height, width = _both(_sides(resolution))
        low, high = np.array(edges[:2]), np.array(edges[2:])
        sides = np.array([width, height])
        return cls(whole_cells((low, high), sides), _sides(resolution), crs)

    @classmethod
    def around(
        cls,
        network: StationNetwork,
        resolution: float | tuple[float, float] | None = None,
        *,
        crs: str = "EPSG:4326",
    ) -> Self:
        """Return a grid over the stations' extent with a margin of one station spacing.

        Without a resolution, a cell is a quarter of the median spacing of the stations, rounded
        to 1, 2 or 5 times a power of ten, and coarse enough for at most 250 cells on a side.

        Raises
        ------
        ValueError
            If the resolution is not positive, or all stations are at one place, so that the extent
            of the grid is undefined.
        """
        if resolution is not None:
            resolution = _sides(resolution)
        geographic = _is_geographic(crs)
        if geographic:
            west, east, south, north = network.extent()
            spacing = network.spacing_km / (np.radians(1) * EARTH_RADIUS_KM)
        else:
            x, y = _projection(crs).transform(network.longitude, network.latitude)
            west, east, south, north = map(float, (x.min(), x.max(), y.min(), y.max()))
            spacing = network.spacing_km * 1000 / _metres_per_unit(crs)
        if not np.isfinite(spacing):
            raise ValueError(
                f"one place alone ({network!r}) gives no extent for a grid; "
                "pass Grid((west, east, south, north), resolution)"
            )
        if resolution is None:
            widest = max(east - west, north - south) + 2 * spacing
            resolution = _round_up(max(spacing / 4, widest / 250))
        sides = np.array(_both(resolution))[::-1]  # width, height
        low = np.floor(np.array([west - spacing, south - spacing]) / sides) * sides
        high = np.ceil(np.array([east + spacing, north + spacing]) / sides) * sides
        if geographic:
            low[1] = max(low[1], -90)
            # Whole cells, at most once around the globe and up to the pole.
            most = np.floor((np.array([low[0] + 360, 90]) - low) / sides + 1e-9)
            if (most < 1).any():
                raise ValueError(
                    f"a cell of {sides.max():g} degrees is too large for the globe; "
                    "choose a smaller resolution"
                )
            high = np.minimum(high, low + most * sides)
        (west, south), (east, north) = np.round(low, 9).tolist(), np.round(high, 9).tolist()
        return cls((west, east, south, north), resolution, crs)

    @cached_property
    def is_geographic(self) -> bool:
        """Whether x and y are longitude and latitude in degrees."""
        return _is_geographic(self.crs)

    @cached_property
    def x(self) -> np.ndarray:
        """Cell centres from west to east, float64; longitudes when geographic."""
        return self._centres(self.region[0], self.region[1], self.width)

    @cached_property
    def y(self) -> np.ndarray:
        """Cell centres from south to north, float64; latitudes when geographic."""
        return self._centres(self.region[2], self.region[3], self.height)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and x."""
        return self.y.size, self.x.size

    @property
    def dims(self) -> tuple[str, str]:
        """Names of the two dimensions in a product."""
        return ("lat", "lon") if self.is_geographic else ("y", "x")

    @property
    def x_bounds(self) -> np.ndarray:
        """Western and eastern edge of each column, (nx, 2); the edges of neighbours are equal."""
        return self._bounds(self.region[0], self.x.size, self.width)

    @property
    def y_bounds(self) -> np.ndarray:
        """Southern and northern edge of each row, (ny, 2); the edges of neighbours are equal."""
        return self._bounds(self.region[2], self.y.size, self.height)

    @property
    def cell_radius_km(self) -> float:
        """Half the diagonal of a usual cell, at the equator if in degrees."""
        degree_km = np.radians(1) * EARTH_RADIUS_KM
        unit_km = degree_km if _is_geographic(self.crs) else _metres_per_unit(self.crs) / 1000
        return float(np.hypot(self.height, self.width) / 2 * unit_km)

    def coordinates(self) -> dict[str, Any]:
        """Return the coordinates of the cells in a Dataset, as xarray takes them."""
        axes: dict[str, Any] = {self.dims[0]: self.y, self.dims[1]: self.x}
        if self.is_geographic:
            return axes
        longitude, latitude = self.longitude_latitude()
        return axes | {"lat": (self.dims, latitude), "lon": (self.dims, longitude)}

    def bounds(self) -> dict[str, np.ndarray]:
        """Return the edges of the cells along each axis, (n, 2), by the name of the axis."""
        return {self.dims[0]: self.y_bounds, self.dims[1]: self.x_bounds}

    def longitude_latitude(self) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of the cell centres, (ny, nx) each, degrees.

        Raises
        ------
        ValueError
            If the projection does not reach some cells.
        """
        x, y = np.meshgrid(self.x, self.y)
        if self.is_geographic:
            return x, y
        longitude, latitude = _projection(self.crs).transform(x, y, direction="INVERSE")
        outside = ~(np.isfinite(longitude) & np.isfinite(latitude))
        if outside.any():
            raise ValueError(
                f"{outside.sum()} of {outside.size} cells lie outside of what {self.crs} can map; "
                f"found the region {self.region}. Make it smaller."
            )
        return longitude, latitude

    def cell_area_km2(self) -> np.ndarray:
        """Return the area of each cell, (ny, nx) km2; of a projected grid, its nominal area."""
        if not self.is_geographic:
            sides_km = (side * _metres_per_unit(self.crs) / 1000 for side in self._lengths())
            return np.multiply.outer(*sides_km)
        south, north = np.sin(np.radians(self.y_bounds)).T
        _, width = self._lengths()
        return EARTH_RADIUS_KM**2 * np.multiply.outer(np.abs(north - south), np.radians(width))

    def _lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the height of each row and the width of each column."""
        bounds = self.y_bounds, self.x_bounds
        rows, columns = (np.abs(edges[:, 1] - edges[:, 0]) for edges in bounds)
        return rows, columns

    def _centres(self, low: float, high: float, side: float) -> np.ndarray:
        """Return the centres of the cells between two edges, without accumulated rounding."""
        return _rounded(low + (np.arange(_count(low, high, side)) + 0.5) * side, side)

    def _bounds(self, low: float, count: int, side: float) -> np.ndarray:
        """Return the edges of cells from the lowest on, (count, 2)."""
        edges = _rounded(low + np.arange(count + 1) * side, side)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    def _region_faults(self) -> list[str]:
        """Return the faults of the region and the resolution."""
        if not self._has_numbers():
            return [
                "region needs four finite numbers west, east, south, north and a finite "
                f"resolution; found {self.region}, {self.resolution}"
            ]
        west, east, south, north = self.region
        faults = []
        if min(self.height, self.width) <= 0:
            faults.append(f"resolution must be positive; found {self._size()}")
        if east <= west:
            faults.append(
                f"east ({east:g}) must exceed west ({west:g}); "
                f"across the date line write {west:g} to {east + 360:g}"
            )
        if north <= south:
            faults.append(f"north ({north:g}) must exceed south ({south:g})")
        return faults or self._size_faults()

    def _has_numbers(self) -> bool:
        """Return whether region and resolution are five finite numbers."""
        try:
            numbers = np.array([*self.region, *_both(self.resolution)], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return False
        return numbers.size == 6 and bool(np.isfinite(numbers).all())

    def _size(self) -> str:
        """Return the size of a cell in words: 0.1, or 0.5 x 0.625."""
        sides = dict.fromkeys(f"{side:g}" for side in (self.height, self.width))
        return " x ".join(sides)

    def _size_faults(self) -> list[str]:
        """Return a fault if there are more than `MOST_CELLS` cells."""
        west, east, south, north = self.region
        cells = (east - west) / self.width * ((north - south) / self.height)
        if cells <= MOST_CELLS:
            return []
        least = float(np.sqrt((east - west) * (north - south) / MOST_CELLS))
        return [
            f"a resolution of {self._size()} makes {cells:,.0f} cells, and {MOST_CELLS:,} are "
            f"the most; take {least * 1.01:.2g} or more, or a smaller region"
        ]

    def _degree_faults(self) -> list[str]:
        """Return the faults of degrees outside of their range."""
        west, east, south, north = self.region
        if south < -90 or north > 90:
            return [f"latitudes must lie within -90..90; found {south:g} to {north:g}"]
        if east - west > 360:
            return [f"longitudes may span at most 360 degrees; found {west:g} to {east:g}"]
        if west < -360 or east > 540:
            return [f"longitudes must lie within -360..540; found {west:g} to {east:g}"]
        return []

    def _overshoot_faults(self) -> list[str]:
        """Return where whole cells would extend beyond the pole or once around the globe."""
        west, east, south, north = self.region
        axes = (
            ("west", west, east, west + 360, self.width),
            ("south", south, north, 90, self.height),
        )
        faults = []
        for name, low, high, limit, side in axes:
            end = low + _count(low, high, side) * side
            if end > limit + 1e-6 * side:
                faults.append(
                    f"whole cells of {side:g} degrees from {name} {low:g} end at "
                    f"{end:g}, past {limit:g}; move an edge, or choose a size that fits"
                )
        return faults


@dataclass(frozen=True, eq=False)
class GridOnAxes(Grid):
    """The cells of a file, on two axes of any order and step, such as Gaussian latitudes.

    Region and resolution are the outermost edges and the usual cell.

    Parameters
    ----------
    centres : tuple of float64 arrays
        Of the rows (ny,) and columns (nx,), ascending or descending.
    edges : tuple of float64 arrays
        Both edges of each row (ny, 2) and column (nx, 2).

    Examples
    --------
    >>> rows, columns = np.array([1.0, 0.0]), np.array([10.0, 11.0, 12.5])
    >>> row_edges = np.array([[1.5, 0.5], [0.5, -0.5]])
    >>> column_edges = np.array([[9.5, 10.5], [10.5, 11.5], [11.5, 13.0]])
    >>> grid = GridOnAxes.of((rows, columns), (row_edges, column_edges))
    >>> grid.region, grid.y.tolist()
    ((9.5, 13.0, -0.5, 1.5), [1.0, 0.0])
    """

    centres: tuple[np.ndarray, np.ndarray] = field(kw_only=True)
    edges: tuple[np.ndarray, np.ndarray] = field(kw_only=True)

    @classmethod
    def of(
        cls,
        centres: tuple[np.ndarray, np.ndarray],
        edges: tuple[np.ndarray, np.ndarray],
        crs: str = "EPSG:4326",
    ) -> Self:
        """Return the grid of centres and edges along y and x."""
        (south, north), (west, east) = ((float(e.min()), float(e.max())) for e in edges)
        height, width = (float(np.median(np.abs(e[:, 1] - e[:, 0]))) for e in edges)
        return cls((west, east, south, north), (height, width), crs, centres=centres, edges=edges)

    @property
    def x(self) -> np.ndarray:
        """Cell centres along x, as given."""
        return self.centres[1]

    @property
    def y(self) -> np.ndarray:
        """Cell centres along y, as given."""
        return self.centres[0]

    @property
    def x_bounds(self) -> np.ndarray:
        """Edges of each column, (nx, 2)."""
        return self.edges[1]

    @property
    def y_bounds(self) -> np.ndarray:
        """Edges of each row, (ny, 2)."""
        return self.edges[0]

    def _overshoot_faults(self) -> list[str]:
        """Return nothing: cells that are given need not be whole ones of one size."""
        return []


@dataclass(frozen=True, eq=False)
class CurvilinearCells(Grid):
    """The cells of a model whose longitude and latitude are two-dimensional.

    Parameters
    ----------
    longitude, latitude : (ny, nx) float64
        Cell centres, degrees.

    Examples
    --------
    >>> longitude = np.array([[10.0, 11.0], [10.1, 11.1]])
    >>> grid = CurvilinearCells.of(longitude, longitude + 40)
    >>> grid.shape, grid.dims, grid.is_geographic
    ((2, 2), ('y', 'x'), False)
    """

    longitude: np.ndarray = field(kw_only=True)
    latitude: np.ndarray = field(kw_only=True)

    @classmethod
    def of(cls, longitude: np.ndarray, latitude: np.ndarray) -> Self:
        """Return the grid of centres, (ny, nx) degrees."""
        east, north = np.unwrap(longitude, period=360.0, axis=1), latitude
        steps = [np.abs(np.diff(each, axis=axis)) for axis, each in enumerate((north, east))]
        size = float(np.median(np.concatenate([step.ravel() for step in steps])))
        low, high = float(east.min()), float(east.max())
        region = low, max(high, low + size), float(north.min()), float(north.max()) + 1e-9
        return cls(region, size, longitude=longitude, latitude=latitude)

    @property
    def is_geographic(self) -> bool:
        """Whether the axes are longitude and latitude: they are not."""
        return False

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and x."""
        rows, columns = self.longitude.shape
        return rows, columns

    def coordinates(self) -> dict[str, Any]:
        """Return longitude and latitude of the cells in a Dataset."""
        return {"lat": (self.dims, self.latitude), "lon": (self.dims, self.longitude)}

    def bounds(self) -> dict[str, np.ndarray]:
        """Return nothing: there are no axes."""
        return {}

    def longitude_latitude(self) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of the cell centres, (ny, nx) each, degrees."""
        return self.longitude, self.latitude

    def cell_area_km2(self) -> np.ndarray:
        """Refuse: the areas of cells do not follow from their centres.

        Raises
        ------
        ValueError
        """
        raise ValueError("the cells of a curvilinear grid have centres alone, and no areas")


def whole_cells(
    corners: tuple[np.ndarray, np.ndarray], sides: np.ndarray
) -> tuple[float, float, float, float]:
    """Return west, east, south, north of the whole multiples of a cell that cover a rectangle.

    Examples
    --------
    >>> whole_cells((np.array([115.6, 39.1]), np.array([117.5, 40.0])), np.array([0.2, 0.5]))
    (115.6, 117.6, 39.0, 40.0)
    """
    low, high = corners
    first, last = np.floor(low / sides + 1e-9) * sides, np.ceil(high / sides - 1e-9) * sides
    (west, south), (east, north) = np.round(first, 9).tolist(), np.round(last, 9).tolist()
    return west, east, south, north


def _degrees(region: Any) -> tuple[float, float, float, float]:
    """Return a region in degrees; refuse one that is none."""
    try:
        west, east, south, north = map(float, region)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"region needs four numbers west, east, south, north in degrees; found {region!r}"
        ) from error
    increases = east > west and north > south
    Grid((west, east, south, north), (north - south, east - west) if increases else 1.0)
    return west, east, south, north


def _both(resolution: Any) -> tuple[Any, Any]:
    """Return the height and width of a cell."""
    return resolution if isinstance(resolution, tuple) else (resolution, resolution)


def _sides(resolution: Any) -> float | tuple[float, float]:
    """Return a resolution of positive numbers: one, or height and width; refuse any other."""
    if not isinstance(resolution, tuple | list):
        return _positive(resolution)
    if len(resolution) != 2:
        raise ValueError(f"resolution is one number, or height and width; found {resolution!r}")
    height, width = map(_positive, resolution)
    return height, width


def _count(low: float, high: float, side: float) -> int:
    """Return the number of whole cells that cover the range between two edges."""
    return max(1, int(np.ceil((high - low) / side - 1e-9)))


def _rounded(coordinate: np.ndarray, side: float) -> np.ndarray:
    """Round to 1e-9 of a cell: 39.125, not 39.12499999999999, in the file's axis."""
    return np.round(coordinate, 9 - int(np.floor(np.log10(side))))


def _positive(resolution: float) -> float:
    """Return a positive, finite resolution as a number; refuse any other."""
    try:
        number = float(str(resolution))  # through text: of float32, the shortest digits
    except ValueError as error:
        raise ValueError(f"resolution must be a number; found {str(resolution)[:40]!r}") from error
    if not number > 0:
        raise ValueError(f"resolution must be positive; found {number:g}")
    if np.isinf(number):
        raise ValueError("resolution must be finite; found inf")
    return number


def _round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten, exact as decimal digits."""
    exponent = int(np.floor(np.log10(value)))
    step = next(s for s in (1, 2, 5, 10) if s * 10.0**exponent >= value * (1 - 1e-9))
    return float(f"{step}e{exponent}")


def _is_geographic(crs: str) -> bool:
    """Return whether the coordinates of a CRS are degrees; import pyproj only if necessary."""
    return crs == "EPSG:4326" or _crs(crs).is_geographic


def _crs(crs: str) -> Any:
    """Return the pyproj CRS; refuse one that is unknown or not horizontal."""
    import pyproj

    try:
        parsed = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(f"crs must be one that PROJ knows; found {crs!r} ({error})") from error
    if not (parsed.is_geographic or parsed.is_projected):
        raise ValueError(f"crs must be geographic or projected; found {crs!r} ({parsed.type_name})")
    if parsed.is_geographic and parsed.is_derived:
        raise ValueError(
            f"crs must be geographic or projected; {parsed.name!r} has a pole of its own. Take the "
            "cells of a file that has their longitude and latitude, with like="
        )
    return parsed


def _metres_per_unit(crs: str) -> float:
    """Return the length of a projected CRS's unit in metres."""
    return _crs(crs).axis_info[0].unit_conversion_factor


def _projection(crs: str) -> Any:
    """Return the pyproj transformer from longitude and latitude to a CRS."""
    import pyproj

    return pyproj.Transformer.from_crs("EPSG:4326", _crs(crs), always_xy=True)


def size_of(at: Grid | xr.Dataset) -> int:
    """Return the number of cells or stations to estimate."""
    return math.prod(at.shape) if isinstance(at, Grid) else at.sizes[STATION]
