"""Which share of each cell of a grid lies within a polygon: by area, exactly.

Cells are rectangles in the CRS of their grid. Blocks of cells are halved until they lie within the
polygon or outside of it, and only cells at its border are cut (by shapely), so that a country costs
little more than its border. In degrees, areas are those of the sphere: between two corners,
longitude and latitude change evenly, and the area below such an edge has a closed form.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from aqreanalysis.grid import Grid

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

#: Cells at a border that are cut at once.
_CELLS = 16
#: Share of an area by which sums of its parts may be off.
ROUNDING = 1e-9


class Overlaps(NamedTuple):
    """Rows and columns of cells, in the order of the grid, and their share in the polygon, (n,)."""

    row: np.ndarray
    column: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a grid on two axes, by their edges in ascending order.

    Parameters
    ----------
    x_edges, y_edges : (nx + 1,), (ny + 1,) float64
        In the units of the CRS.
    columns, rows : (nx,), (ny,) int
        Where each cell is along the axes of the grid.
    crs : str
    in_degrees : bool
        Whether x is a longitude, which 360 degrees more or less do not change.

    Examples
    --------
    >>> import shapely
    >>> cells = Cells.of(Grid((10, 12, 0, 1), 1.0))
    >>> cells.overlaps(shapely.box(10.5, 0, 12, 1)).share.round(6).tolist()
    [0.5, 1.0]
    """

    x_edges: np.ndarray
    y_edges: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    crs: str
    in_degrees: bool

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """Return the cells of a grid; in a projection, and also of a file, north first or last."""
        (x_edges, columns), (y_edges, rows) = (
            _ascending(bounds) for bounds in (grid.x_bounds, grid.y_bounds)
        )
        return cls(x_edges, y_edges, columns, rows, grid.crs, grid.is_geographic)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.rows.size, self.columns.size

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The outer edges: smallest and largest x, smallest and largest y."""
        (west, east), (south, north) = (
            (float(edges[0]), float(edges[-1])) for edges in (self.x_edges, self.y_edges)
        )
        return west, east, south, north

    def overlaps(self, shape: "BaseGeometry") -> Overlaps:
        """Return the cells that a polygon in the CRS of the grid has a share of."""
        parts = [self._overlaps(moved) for moved in self._turns(shape)]
        row, column, share = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Overlaps(self.rows[row], self.columns[column], share)

    def covered(self, shape: "BaseGeometry") -> float:
        """Return the share of a polygon, in the CRS of the grid, that lies on the grid."""
        import shapely

        west, east, south, north = self.extent
        grid = shapely.box(west, south, east, north)
        pieces = [shapely.intersection(moved, grid) for moved in self._turns(shape)]
        whole, *inside = areas(np.array([shape, *pieces]), in_degrees=self.in_degrees)
        return float(min(sum(inside) / whole, 1.0))

    def holding(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row and column of the cells that hold points, and whether there is one, (n,)."""
        if self.in_degrees:
            x = self.x_edges[0] + (x - self.x_edges[0]) % 360
        column = np.searchsorted(self.x_edges, x, side="right") - 1
        row = np.searchsorted(self.y_edges, y, side="right") - 1
        inside = (column >= 0) & (column < self.columns.size) & (row >= 0) & (row < self.rows.size)
        return self.rows[row * inside], self.columns[column * inside], inside

    def _turns(self, shape: "BaseGeometry") -> "list[BaseGeometry]":
        """Return a polygon, in degrees wherever it lies in reach of the grid's longitudes."""
        import shapely

        if not self.in_degrees:
            return [shape]
        west, _, east, _ = shape.bounds
        low, high = self.x_edges[[0, -1]]
        turns = [turn for turn in (-360.0, 0.0, 360.0) if west + turn < high and east + turn > low]
        return [
            shapely.transform(shape, lambda corners, turn=turn: corners + np.array([turn, 0.0]))
            for turn in turns or [0.0]
        ]

    def _overlaps(self, shape: "BaseGeometry") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ascending rows and columns of cells with a share in a polygon, and the share."""
        every = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for part, rows, columns, within in self._blocks(shape):
            row, column = np.mgrid[rows, columns].reshape(2, -1)
            share = np.ones(row.size) if within else self._shares(part, row, column)
            some = share > 0
            every.append((row[some], column[some], share[some]))
        row, column, share = (np.concatenate(each) for each in zip(*every, strict=True))
        return row, column, share

    def _blocks(self, shape: Any) -> Iterator[tuple[Any, slice, slice, bool]]:
        """Yield what a polygon has of blocks of cells, and whether that is the whole block."""
        import shapely

        west, south, east, north = shape.bounds
        pending = [(shape, _reach(self.y_edges, south, north), _reach(self.x_edges, west, east))]
        while pending:
            part, rows, columns = pending.pop()
            y, x = (
                self.y_edges[[rows.start, rows.stop]],
                self.x_edges[[columns.start, columns.stop]],
            )
            part = shapely.intersection(part, shapely.box(x[0], y[0], x[1], y[1]))
            high, wide = rows.stop - rows.start, columns.stop - columns.start
            within = part.area >= (x[1] - x[0]) * (y[1] - y[0]) * (1 - ROUNDING)
            if part.is_empty:
                continue
            if within or high * wide <= _CELLS:
                yield part, rows, columns, within
            elif high > wide:
                pending += [(part, half, columns) for half in _halves(rows)]
            else:
                pending += [(part, rows, half) for half in _halves(columns)]

    def _shares(self, part: "BaseGeometry", row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Return the share that a polygon has of cells, (n,)."""
        import shapely

        boxes = shapely.box(
            self.x_edges[column], self.y_edges[row], self.x_edges[column + 1], self.y_edges[row + 1]
        )
        pieces, whole = (
            areas(shapes, in_degrees=self.in_degrees)
            for shapes in (shapely.intersection(part, boxes), boxes)
        )
        return np.minimum(pieces / whole, 1.0)


def areas(shapes: np.ndarray, *, in_degrees: bool) -> np.ndarray:
    r"""Return the areas of shapes (n,): planar, or of the unit sphere where they are in degrees.

    The area between an edge and the equator is, with longitude and latitude in radians,

    .. math:: \int \sin\varphi\,d\lambda
        = (\lambda_2 - \lambda_1) \sin\frac{\varphi_1 + \varphi_2}{2}
          \frac{\sin h}{h}, \quad h = \frac{\varphi_2 - \varphi_1}{2},

    and that of a ring the sum over its edges.

    Examples
    --------
    >>> import shapely
    >>> octant = areas(np.array([shapely.box(0, 0, 90, 90)]), in_degrees=True)
    >>> bool(np.isclose(octant, np.pi / 2))
    True
    """
    import shapely

    if not in_degrees:
        return shapely.area(shapes)
    parts, of_shape = shapely.get_parts(shapes, return_index=True)
    areal = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    parts, of_shape = parts[areal], of_shape[areal]
    rings, of_part = shapely.get_rings(parts, return_index=True)
    corners, of_ring = shapely.get_coordinates(rings, return_index=True)
    longitude, latitude = np.radians(corners).T
    half = np.diff(latitude) / 2
    below = np.diff(longitude) * np.sin(latitude[:-1] + half) * np.sinc(half / np.pi)
    edge = of_ring[1:] == of_ring[:-1]
    ring_area = np.abs(np.bincount(of_ring[1:][edge], below[edge], minlength=len(rings)))
    outer = np.diff(of_part, prepend=-1) > 0  # of each part the outer ring comes first
    signed = np.where(outer, ring_area, -ring_area)
    return np.bincount(of_shape[of_part], signed, minlength=len(shapes))


def _reach(edges: np.ndarray, low: float, high: float) -> slice:
    """Return the cells that reach a range."""
    first = int(np.searchsorted(edges, low, side="right")) - 1
    stop = int(np.searchsorted(edges, high, side="left"))
    first = min(max(first, 0), edges.size - 2)
    return slice(first, min(max(stop, first + 1), edges.size - 1))


def _halves(cells: slice) -> tuple[slice, slice]:
    """Return the two halves of a range of cells."""
    middle = (cells.start + cells.stop) // 2
    return slice(cells.start, middle), slice(middle, cells.stop)


def _ascending(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of an axis in ascending order, (n + 1,), and the position of each cell."""
    low = bounds.min(axis=1)
    position = np.argsort(low)
    return np.append(low[position], bounds.max()), position
