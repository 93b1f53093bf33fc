"""What each cell of a product counts in each zone: its area within it, or the people there."""

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from aqreanalysis.derived.zones.overlaps import Cells
from aqreanalysis.derived.zones.population import Population, PopulationSource, true_areas_km2
from aqreanalysis.derived.zones.shapes import in_crs_of, listed
from aqreanalysis.foreign.errors import ForeignError, raising
from aqreanalysis.grid import Grid

if TYPE_CHECKING:
    import geopandas

logger = logging.getLogger(__name__)

#: Share of a cell above which zones that have more than the whole of it overlap.
_OVERLAP = 1e-3
#: Share of a zone within the grid below which the log says so.
_PARTLY = 0.99


@dataclass(frozen=True, eq=False)
class ZoneWeights:
    """Weights of the cells of a grid in zones.

    Attributes
    ----------
    matrix : scipy.sparse.csc_matrix
        (zone, cell), of cells by rows; km2 or people.
    total : (zone,) float64
        Weight of each zone, with what lies outside of the grid.
    area_km2 : (zone,) float64
    what : str
        "area", or what the people are.
    shape : tuple of int
        Rows and columns of the grid.
    """

    matrix: sparse.csc_matrix
    total: np.ndarray
    area_km2: np.ndarray
    what: str
    shape: tuple[int, int]
    #: Of blocks that were asked for: the same cells come again with other hours and draws.
    _blocks: dict[tuple[int, ...], Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        polygons: "geopandas.GeoDataFrame",
        grid: Grid,
        population: PopulationSource | None = None,
    ) -> Self:
        """Return the weights of zones, whose index is their names, on a grid.

        Raises
        ------
        ForeignError
            If a zone lies outside of the grid, or the population cannot be used.
        """
        cells = Cells.of(grid)
        shapes = in_crs_of(polygons.geometry, cells)
        overlaps = [cells.overlaps(shape) for shape in shapes.values]
        _check_inside(shapes, [part.share.size > 0 for part in overlaps], cells)
        zone = np.repeat(np.arange(len(overlaps)), [part.share.size for part in overlaps])
        row, column, share = (np.concatenate(each) for each in zip(*overlaps, strict=True))
        _say_if_overlapping(polygons, zone, row * grid.shape[1] + column, share)
        area = true_areas_km2(grid)[row, column] * share
        count = len(overlaps)
        matrix = _matrix(zone, row, column, area, count, grid.shape)
        inside = np.asarray(matrix.sum(axis=1)).ravel()
        area_km2 = inside / np.array([cells.covered(shape) for shape in shapes.values])
        if population is None:
            weights = cls(matrix, area_km2, area_km2, "area", grid.shape)
        else:
            with raising(ValueError, "the population"):
                people = Population.of(population, polygons.geometry)
                placed, total = people.in_zones(polygons.geometry, cells, grid.cell_radius_km)
            matrix = _matrix(*placed[:3], placed.people, count, grid.shape)
            weights = cls(matrix, total, area_km2, people.what, grid.shape)
        partly = polygons.index[weights.covered < _PARTLY]
        if partly.size:
            logger.warning(
                "%s reach beyond the grid: their means are of the part within it, and missing "
                "where that is too small a share",
                listed(partly),
            )
        return weights

    @property
    def covered(self) -> np.ndarray:
        """Share of the weight of each zone that lies on the grid, (zone,)."""
        inside = np.asarray(self.matrix.sum(axis=1)).ravel()
        return np.divide(inside, self.total, out=np.ones(inside.size), where=self.total > 0)

    def sums(self, values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return weighted sums of a block (..., y, x), and the weights, (2, ..., zone) float64.

        Missing values count nothing. Rows and columns are those of the block.
        """
        matrix, some = self._of_block(rows, columns)
        flat = values.reshape(-1, rows.size * columns.size)[:, some]
        present = np.isfinite(flat)
        parts = (np.where(present, flat, 0.0), present)
        summed = np.stack([(matrix @ part.T.astype(np.float64)).T for part in parts])
        return summed.reshape(2, *values.shape[:-2], self.matrix.shape[0])

    def _of_block(
        self, rows: np.ndarray, columns: np.ndarray
    ) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Return the weights of the cells of a block that count, and which these are."""
        block = (rows[0], rows[-1], columns[0], columns[-1])
        if block not in self._blocks:
            cells = (rows[:, None] * self.shape[1] + columns).ravel()
            matrix = self.matrix[:, cells].tocsr()
            some = np.unique(matrix.indices)
            self._blocks[block] = matrix[:, some], some
        return self._blocks[block]


def _matrix(
    zone: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    count: int,
    shape: tuple[int, int],
) -> sparse.csc_matrix:
    """Return weights as a sparse matrix (zone, cell); those of one cell are added."""
    cell = row * shape[1] + column
    return sparse.csc_matrix((weight, (zone, cell)), shape=(count, shape[0] * shape[1]))


def _check_inside(shapes: "geopandas.GeoSeries", inside: list[bool], cells: Cells) -> None:
    """Refuse zones outside of the grid."""
    outside = shapes.index[~np.array(inside)]
    if not outside.size:
        return
    west, east, south, north = (round(edge, 6) for edge in cells.extent)
    raise ForeignError(
        f"{len(outside)} of {len(shapes)} zones lie outside of the grid, such as "
        f"{listed(outside)}. It reaches from {west:g} to {east:g} and from {south:g} to {north:g} "
        f"({cells.crs}). Leave them out, with {{data}}.cx[{west:g}:{east:g}, {south:g}:{north:g}] "
        f"or ogr2ogr -spat {west:g} {south:g} {east:g} {north:g}, or reanalyse a larger region"
    )


def _say_if_overlapping(
    polygons: "geopandas.GeoDataFrame", zone: np.ndarray, cell: np.ndarray, share: np.ndarray
) -> None:
    """Say which zones overlap: together they have more than the whole of some cells."""
    total = np.bincount(cell, share)
    crowded = total[cell] > 1 + _OVERLAP
    if crowded.any():
        logger.warning(
            "%s overlap: what lies in several zones counts in each of them",
            listed(polygons.index[np.unique(zone[crowded])]),
        )
