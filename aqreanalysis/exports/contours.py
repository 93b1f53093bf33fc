"""Contours of maps as polygons: ranges between levels, and areas of classes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aqreanalysis.exports.choice import check_gis, named_layers
from aqreanalysis.exports.maps import NO_CLASS, Maps, computed_maps, with_bar
from aqreanalysis.exports.tables import Extent
from aqreanalysis.product import ProductError

if TYPE_CHECKING:
    import geopandas

#: Steps whose polygons are written together.
_STEPS = 24


class ContourTable:
    """Contours of one layer on a grid, which become polygons block by block.

    Parameters
    ----------
    product : Dataset
        On a grid.
    variable : str or sequence of str, optional
        The layer; by default the product's only pollutant.
    levels : sequence of float
        In the unit of the layer; of a layer of classes there are none.
    format : str
        For messages.

    Raises
    ------
    ProductError
        If levels are missing or do not increase, or there are several layers.
    """

    geometry = "MultiPolygon"

    def __init__(
        self,
        product: xr.Dataset,
        variable: str | Sequence[str] | None,
        levels: Sequence[float],
        format: str,
    ) -> None:
        names = named_layers(product, variable)
        if len(names) > 1:
            raise ProductError(
                f"contours are of one layer, and {len(names)} are asked for: {', '.join(names)}. "
                "Name one, and a file for each"
            )
        self.name = names[0]
        self.levels = checked_levels(levels)
        self.maps = Maps.of(product, names, format)
        self.classes = self.maps.classes(self.name)
        if self.classes is not None:
            check_gis("areas of classes")
        if self.classes is not None and self.levels.size:
            raise ProductError(f"{self.name} has classes, between which there are no levels")
        if self.classes is None and not self.levels.size:
            raise ProductError(
                f"contours of {self.name} need levels, as levels=[35, 75] or --level 35 --level "
                "75. Of a layer of classes, such as index_category, they need none; values of "
                "cells are exported as GeoTIFF (.tif)"
            )

    @property
    def extent(self) -> Extent:
        """West, south, east and north edge of the grid."""
        (west, north), (width, height) = self.maps.corner, self.maps.cell
        rows, columns = self.maps.shape
        return west, north - rows * height, west + columns * width, north

    def blocks(
        self, target: Path, scratch: Path, *, progress: bool
    ) -> Iterator["geopandas.GeoDataFrame"]:
        """Yield the polygons of some steps at a time: in one row all of a step and class or range.

        Maps lie in the scratch folder until all is done.

        Raises
        ------
        ProductError
            If there is no value, or all levels lie outside of the values.
        """
        import geopandas

        low, high = np.inf, -np.inf
        stack = computed_maps(self.maps, target, scratch, progress=progress)[self.name]
        for begin in with_bar(range(0, len(stack), _STEPS), target, f"{_STEPS} steps", progress):
            rows: list[dict[str, Any]] = []
            for step in range(begin, min(begin + _STEPS, len(stack))):
                values = np.array(stack[step])
                known = values[values != NO_CLASS if self.classes else ~np.isnan(values)]
                if known.size:
                    low, high = min(low, known.min()), max(high, known.max())
                    polygons = self._areas(values) if self.classes else self._ranges(values)
                    rows += [{**self._period(step), **row} for row in polygons]
            if rows:
                yield geopandas.GeoDataFrame(rows, geometry="geometry", crs=self.maps.crs)
        self._check_span(low, high)

    def _check_span(self, low: float, high: float) -> None:
        """Refuse levels none of which lies among the values."""
        if not low <= high:
            raise ProductError(f"{self.name} has no value at any step, and so no contour")
        if self.classes is None and not ((low <= self.levels) & (self.levels <= high)).any():
            raise ProductError(
                f"all levels lie outside of the values of {self.name}, which go from {low:.4g} to "
                f"{high:.4g} {self._units}; found {', '.join(f'{e:g}' for e in self.levels)}"
            )

    @property
    def _units(self) -> str:
        return str(self.maps.layers[self.name].attrs.get("units", ""))

    def _period(self, step: int) -> dict[str, Any]:
        """Return the columns that say what a step's polygons are of."""
        import pandas as pd

        periods = self.maps.periods_of(self.name)
        columns: dict[str, Any] = {"layer": self.name}
        if periods is not None:
            ends = pd.DatetimeIndex(periods[step].astype("datetime64[ms]")).tz_localize("UTC")
            columns |= {"time_begin": ends[0], "time_end": ends[1]}
        return columns

    def _ranges(self, values: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield the ranges between levels that a map has, each with its polygons."""
        from contourpy import FillType, contour_generator

        (west, north), (width, height) = self.maps.corner, self.maps.cell
        rows, columns = values.shape
        # The outermost values go on to the edges of the grid.
        x = west + width * np.r_[0, np.arange(columns) + 0.5, columns]
        y = north - height * np.r_[0, np.arange(rows) + 0.5, rows]
        z = np.ma.masked_invalid(np.pad(values.astype(np.float64), 1, mode="edge"))
        lines = contour_generator(x, y, z, fill_type=FillType.OuterOffset)
        largest = max(1.0, np.abs(z).max(), np.abs(self.levels).max())
        beyond = float(np.nextafter(largest, np.inf))
        for lower, upper in pairwise([-beyond, *self.levels.tolist(), beyond]):
            shape = _multipolygon(*lines.filled(lower, upper))
            if not shape.is_empty:
                yield {
                    "lower": np.nan if lower == -beyond else lower,
                    "upper": np.nan if upper == beyond else upper,
                    "units": self._units,
                    "geometry": shape,
                }

    def _areas(self, values: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield the classes that a map has, each with its area."""
        import rasterio
        import shapely
        from rasterio.features import shapes

        (west, north), (width, height) = self.maps.corner, self.maps.cell
        transform = rasterio.Affine(width, 0, west, 0, -height, north)
        areas: dict[int, list[Any]] = {}
        for area, value in shapes(values, mask=values != NO_CLASS, transform=transform):
            areas.setdefault(int(value), []).append(shapely.geometry.shape(area))
        assert self.classes is not None
        words = zip(self.classes.names, self.classes.colours, strict=True)
        named = dict(zip(self.classes.values, words, strict=True))
        for value in sorted(areas):
            meaning, colour = named.get(value, ("", ""))
            yield {
                "category": value,
                "meaning": meaning,
                "colour": colour,
                "geometry": shapely.MultiPolygon(areas[value]),
            }


def checked_levels(levels: Sequence[float]) -> np.ndarray:
    """Return levels as an array; refuse what does not increase.

    Raises
    ------
    ProductError
        If a level is no number, or not larger than the one before.

    Examples
    --------
    >>> checked_levels([35, 75]).tolist()
    [35.0, 75.0]
    """
    try:
        edges = np.asarray(levels, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ProductError(f"levels are numbers; found {levels!r}") from error
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise ProductError(
            f"levels must be finite and increase; found {', '.join(f'{e:g}' for e in edges)}"
        )
    return edges


def _multipolygon(points: list[np.ndarray], offsets: list[np.ndarray]) -> Any:
    """Return the polygons of a range; of each, all rings in one array, the outer one first."""
    import shapely

    polygons = []
    for corners, starts in zip(points, offsets, strict=True):
        outer, *holes = (corners[begin:end] for begin, end in pairwise(starts))
        polygons.append(shapely.Polygon(outer, holes))
    shape = shapely.MultiPolygon(polygons)
    if not shape.is_valid:  # polygons that meet in a line of no width
        parts = shapely.get_parts(shapely.make_valid(shape))
        areal = [part for part in shapely.get_parts(parts) if part.geom_type == "Polygon"]
        shape = shapely.MultiPolygon(areal)
    return shape
