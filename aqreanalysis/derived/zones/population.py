"""How many people live where: counts of people on a grid, and how many of them are in each zone."""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import numpy as np
import xarray as xr

from aqreanalysis.derived.zones.overlaps import Cells
from aqreanalysis.derived.zones.shapes import in_crs, in_crs_of, listed
from aqreanalysis.foreign.coordinates import find_coordinates, find_crs
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import opened
from aqreanalysis.foreign.grids import grid_like
from aqreanalysis.foreign.polygons import Polygons
from aqreanalysis.foreign.rasters import read_raster
from aqreanalysis.geography import fields
from aqreanalysis.grid import Grid

if TYPE_CHECKING:
    import geopandas

logger = logging.getLogger(__name__)

#: "population" for the field that comes with the package; a file, a DataArray or a Dataset.
PopulationSource: TypeAlias = str | os.PathLike[str] | xr.DataArray | xr.Dataset

SHIPPED = "population"
_SHIPPED_LAYER, _SHIPPED_RADIUS_KM = "population_15km", 15.0
#: Units of a density, which becomes a count with the area of a cell.
_PER_KM2 = re.compile(r"km\s*\^?-2|/\s*\(?km|per (square|sq)", re.IGNORECASE)
#: Parts of a cell along each side whose people are placed together: an eighth of a cell of the
#: product or less, at least two, and no more than make a million parts of ten cells.
_PARTS, _FEWEST, _MOST = 8, 2, 100
#: Parts of cells that are placed at once.
_AT_ONCE = 2_000_000


class Placed(NamedTuple):
    """People of zones: zone, row and column of the product's cell, and their number, (n,)."""

    zone: np.ndarray
    row: np.ndarray
    column: np.ndarray
    people: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """People on the cells of a grid.

    Parameters
    ----------
    grid : Grid
    counts : (ny, nx) float64
        People of each cell; none where they are missing.
    what : str
        What it is, in words.
    """

    grid: Grid
    counts: np.ndarray
    what: str

    @classmethod
    def of(cls, source: PopulationSource, shapes: "geopandas.GeoSeries") -> Self:
        """Return the people around zones, of a file, a field, or the field of the package.

        Raises
        ------
        ForeignError
            If it is no field of one layer on a grid with axes, or a count is negative.
        """
        if isinstance(source, str) and source == SHIPPED:
            logger.info(
                "people are those of the density within about %g km, which smooths towns: a proxy. "
                "Give a field of counts of people for exposure, weights=...",
                _SHIPPED_RADIUS_KM,
            )
            density = _shipped_density()
            return cls._on_grid(density, shapes, "people within 15 km, a proxy")
        if isinstance(source, xr.DataArray):
            source = source.to_dataset(name=source.name or "population")
        if isinstance(source, xr.Dataset):
            return cls._on_grid(source, shapes, "people")
        if not isinstance(source, str | os.PathLike):
            raise ForeignError(
                "expected 'population', a DataArray, a Dataset or a file; found "
                f"{type(source).__name__}"
            )
        path, words = Path(source), f"people of {Path(source).name}"
        if path.suffix.lower() in (".tif", ".tiff"):
            raster = read_raster(path, lambda crs: tuple(in_crs(shapes, crs).total_bounds))
            return cls._on_grid(raster, shapes, words)
        with opened(path) as dataset:
            return cls._on_grid(dataset, shapes, words)

    @classmethod
    def _on_grid(cls, dataset: xr.Dataset, shapes: "geopandas.GeoSeries", what: str) -> Self:
        """Return the people of the only layer of a Dataset."""
        dataset = dataset.squeeze([dim for dim, size in dataset.sizes.items() if size == 1], True)
        name = _only_layer(dataset)
        around = _around(dataset, name, shapes)
        grid = grid_like(around)
        layer = around[name]
        values = layer.transpose(*_rows_and_columns(around, name)).values
        values = values[: grid.shape[0], : grid.shape[1]].astype(np.float64)
        negative = np.argwhere(values < 0)
        if negative.size:
            row, column = negative[0]
            raise ForeignError(
                f"{name} is negative in {len(negative)} cells, such as {values[row, column]:g} at "
                f"{grid.x[column]:g}, {grid.y[row]:g}. Mask what stands for a missing value, "
                "{data}.where({data} >= 0)"
            )
        if _PER_KM2.search(str(layer.attrs.get("units", ""))):
            values = values * true_areas_km2(grid)
        return cls(grid, np.nan_to_num(values, posinf=0.0), what)

    def in_zones(
        self, shapes: "geopandas.GeoSeries", product: Cells, cell_radius_km: float
    ) -> tuple[Placed, np.ndarray]:
        """Return the people of each zone by cells of a product, and how many each has, (zone,).

        A zone has of each cell of people the share of its area: of adjoining zones, none is counted
        twice or lost. People live evenly within their cell, of which parts are placed one by one.

        Raises
        ------
        ForeignError
            If none of the zones has people.
        """
        cells = Cells.of(self.grid)
        own = in_crs_of(shapes, cells)
        ratio = self.grid.cell_radius_km / cell_radius_km
        parts = int(np.clip(np.ceil(_PARTS * ratio), _FEWEST, _MOST))
        locate = _locator(cells, product)
        placed, totals = [], np.zeros(len(own))
        for number, shape in enumerate(own.values):
            row, column, share = cells.overlaps(shape)
            people = self.counts[row, column] * share
            some = people > 0
            totals[number] = people.sum()
            each = row[some], column[some], share[some], people[some]
            for part in _batches(each, parts):
                placed.append((number, *_placed(self.grid, shape, part, parts, locate)))
        if not totals.any():
            raise ForeignError(f"there are no people in any zone ({self.what})")
        without = own.index[totals == 0]
        if without.size:
            logger.warning("no people live in %s, of which there is no mean", listed(without))
        zone = np.repeat([each[0] for each in placed], [len(each[1]) for each in placed])
        columns = (np.concatenate([each[n] for each in placed]) for n in (1, 2, 3))
        return Placed(zone, *columns), totals


def true_areas_km2(grid: Grid) -> np.ndarray:
    """Return the areas of cells, (ny, nx) km2, of projected ones with the scale of the map.

    Examples
    --------
    >>> grid = Grid((0, 100_000, 6_000_000, 6_100_000), 100_000, "EPSG:3857")
    >>> bool(true_areas_km2(grid)[0, 0] < 0.5 * grid.cell_area_km2()[0, 0])
    True
    """
    import pyproj

    nominal = grid.cell_area_km2()
    if grid.is_geographic:
        return nominal
    factors = pyproj.Proj(grid.crs).get_factors(*grid.longitude_latitude())
    return nominal / np.asarray(factors.areal_scale)


def _shipped_density() -> xr.Dataset:
    """Return people per km2 as the field of the package has them, smoothed."""
    logarithm = fields()[_SHIPPED_LAYER]
    density = (10.0**logarithm - 1) * 1e3 / (np.pi * _SHIPPED_RADIUS_KM**2)
    density = density.clip(0).rename({"lat_10min": "lat", "lon_10min": "lon"})
    return density.assign_attrs(units="km-2").to_dataset(name=_SHIPPED_LAYER)


def _only_layer(dataset: xr.Dataset) -> str:
    """Return the name of the only layer that has two dimensions."""
    layers = [
        str(name)
        for name, layer in dataset.data_vars.items()
        if layer.ndim >= 2
        and layer.dtype.kind in "fiu"
        and not str(name).endswith(("_bnds", "_bounds"))
    ]
    if len(layers) != 1:
        raise ForeignError(
            f"expected one layer of counts of people; found {', '.join(layers) or 'none'}. Pass "
            "the one that is meant, {data}['...']"
        )
    further = dataset[layers[0]].dims[:-2]
    if further:
        sizes = ", ".join(f"{dim} ({dataset.sizes[dim]})" for dim in further)
        raise ForeignError(
            f"{layers[0]} has the dimension {sizes}: select one, {{data}}.isel({further[0]}=0)"
        )
    return layers[0]


def _axes(dataset: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray, Any]:
    """Return the axes x and y of a layer, and the CRS in which they are."""
    crs = find_crs(dataset, dataset[name])
    for keys in (("X", "Y"), ("longitude", "latitude")):
        if keys[0] == "X" and not (crs is not None and crs.is_projected):
            continue
        axes = find_coordinates(dataset, name, keys)
        if axes is not None and all(axis.ndim == 1 for axis in axes):
            return *axes, crs or "EPSG:4326"
    raise ForeignError(
        f"{name} has no axes of longitude and latitude, or of a projection with a grid mapping, so "
        "that its cells have no area"
    )


def _rows_and_columns(dataset: xr.Dataset, name: str) -> tuple[Any, Any]:
    """Return the dimensions along y and along x."""
    x, y, _ = _axes(dataset, name)
    return y.dims[0], x.dims[0]


def _around(dataset: xr.Dataset, name: str, shapes: "geopandas.GeoSeries") -> xr.Dataset:
    """Return the part of a Dataset around zones, with one layer: a raster of the globe is large."""
    others = [n for n, v in dataset.data_vars.items() if n != name and v.ndim >= 2]
    dataset = dataset.drop_vars([n for n in others if not str(n).endswith(("_bnds", "_bounds"))])
    x, y, crs = _axes(dataset, name)
    west, south, east, north = in_crs(shapes, crs).total_bounds
    in_degrees = crs == "EPSG:4326" or crs.is_geographic
    turns = (-360.0, 0.0, 360.0) if in_degrees else (0.0,)
    near = {
        x.dims[0]: np.any([_near(x, west + turn, east + turn) for turn in turns], axis=0),
        y.dims[0]: _near(y, south, north),
    }
    for dim, within in near.items():
        if not within.any():
            raise ForeignError(f"it has nothing of the zones: none lies within its {dim}")
        first, last = np.flatnonzero(within)[[0, -1]]
        dataset = dataset.isel({dim: slice(first, last + 1)})
    return dataset


def _near(axis: xr.DataArray, low: float, high: float) -> np.ndarray:
    """Return which values of an axis are in a range, or one or two steps beyond."""
    values = axis.values.astype(np.float64)
    step = 2 * np.abs(np.diff(values)).max(initial=0.0)
    near: np.ndarray = (values >= low - step) & (values <= high + step)
    return near


def _locator(own: Cells, product: Cells) -> Callable[..., Any]:
    """Return what says in which cell of the product points in the CRS of the people lie."""
    import pyproj

    if pyproj.CRS.from_user_input(own.crs) == pyproj.CRS.from_user_input(product.crs):
        return product.holding
    transformer = pyproj.Transformer.from_crs(own.crs, product.crs, always_xy=True)
    return lambda x, y: product.holding(*transformer.transform(x, y))


def _batches(cells: tuple[np.ndarray, ...], parts: int) -> list[tuple[np.ndarray, ...]]:
    """Return cells some at a time."""
    size = max(_AT_ONCE // parts**2, 1)
    return [
        tuple(each[first : first + size] for each in cells)
        for first in range(0, len(cells[0]), size)
    ]


def _placed(
    grid: Grid,
    shape: Any,
    cells: tuple[np.ndarray, ...],
    parts: int,
    locate: Callable[..., Any],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and number of the people of cells of which a zone has a share.

    Of a cell at the border, people are placed in the parts within the zone, if there are any.
    """
    import shapely

    row, column, share, people = cells
    middle = (np.arange(parts) + 0.5) / parts
    y, x = (
        bounds[at, :1] + (bounds[at, 1:] - bounds[at, :1]) * middle
        for bounds, at in ((grid.y_bounds, row), (grid.x_bounds, column))
    )
    x, y = np.broadcast_arrays(x[:, None, :], y[:, :, None])  # (cell, part, part)
    x, y = (each.reshape(len(row), -1) for each in (x, y))
    count = np.ones(x.shape)
    border = share < 1 - 1e-9
    if border.any():
        if grid.is_geographic:
            within = Polygons(shape).hold(x[border], y[border])
        else:
            within = shapely.contains_xy(shape, x[border], y[border])
        within[~within.any(axis=1)] = True
        count[border] = within
    count *= (people / count.sum(axis=1))[:, None]
    cell_row, cell_column, inside = locate(x.ravel(), y.ravel())
    inside &= count.ravel() > 0
    return cell_row[inside], cell_column[inside], count.ravel()[inside]
