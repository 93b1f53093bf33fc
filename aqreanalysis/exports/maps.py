"""Layers as maps: one grid, rows from north to south, columns from west to east, a map a step."""

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from aqreanalysis.atomic import explained
from aqreanalysis.conventions import TIME
from aqreanalysis.exports.choice import check_classes, check_room, check_sizes
from aqreanalysis.maps.layers import Classes, classes_of
from aqreanalysis.product import ProductError, crs_of, restore_metadata
from aqreanalysis.product.coordinates import HORIZONTAL, layout_of
from aqreanalysis.product.regions import progress_bar, region_values, regions, value_count
from aqreanalysis.product.rounding import check_digits, rounded

#: Of classes, which are whole numbers from 0.
NO_CLASS = 255
#: Share of a cell by which rows and columns may be off their places on a regular grid.
_IRREGULAR = 1e-3
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Maps:
    """Layers of a product on one regular grid, north up; lazy ones stay lazy.

    Attributes
    ----------
    layers : Dataset
        ``(time, y, x)`` or ``(y, x)`` each, by whatever names of the dimensions.
    corner : tuple of float
        West and north edge of the grid, in units of the CRS.
    cell : tuple of float
        Width and height of a cell.
    crs : pyproj.CRS
    periods : (step, 2) datetime64 or None
        Begin and end of each map, UTC; None of a product without time.
    step_hours : float or None
    attributes : dict
        Of the product.
    """

    layers: xr.Dataset
    corner: tuple[float, float]
    cell: tuple[float, float]
    crs: Any
    periods: np.ndarray | None
    step_hours: float | None
    attributes: dict[str, Any]

    @classmethod
    def of(cls, product: xr.Dataset, names: Sequence[str], format: str) -> "Maps":
        """Return layers of a product as maps.

        Raises
        ------
        ProductError
            If the product is of stations, its grid is irregular, or a layer has further dimensions.
        """
        layout = layout_of(product)
        if layout in ("stations", "zones"):
            raise ProductError(
                f"{format} is of grids, and this product is of {layout}: export it as GeoPackage "
                "(.gpkg) or GeoParquet (.parquet)"
            )
        dims = HORIZONTAL[layout]
        check_room(product, names, {TIME, *dims}, format)
        check_sizes(product)
        for name in names:
            if not set(dims) <= set(product[name].dims):
                raise ProductError(f"{name} has no {' and '.join(dims)}, and so no map")
            if os.path.basename(name) != name:
                raise ProductError(
                    f"{name!r} cannot be the name of a file; rename the layer: "
                    f"product.rename({{{name!r}: {os.path.basename(name)!r}}})"
                )
            if product[name].dtype.kind not in "biuf":
                raise ProductError(
                    f"maps are of numbers and classes, and {name} is {product[name].dtype}. Leave "
                    "it out, or make numbers of it"
                )
            check_classes(name, classes_of(product[name]), NO_CLASS - 1, "maps")
        restored = restore_metadata(product)
        if TIME in restored.dims:
            _check_order(restored)
        upright, corner, cell = _upright(restored, *dims, round_globe=layout == "geographic")
        timed = TIME in restored.dims
        layers = upright[list(names)].transpose(TIME, *dims, missing_dims="ignore")
        return cls(
            layers.drop_vars(list(layers.coords)),
            corner,
            cell,
            crs_of(restored),
            restored[f"{TIME}_bnds"].values if timed else None,
            float(restored[TIME].attrs["step_hours"]) if timed else None,
            dict(restored.attrs),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns."""
        rows, columns = next(iter(self.layers.values())).shape[-2:]
        return rows, columns

    def steps_of(self, name: str) -> int:
        """Return the number of maps of a layer."""
        return self.layers[name].sizes.get(TIME, 1)

    def periods_of(self, name: str) -> np.ndarray | None:
        """Return the periods of a layer's maps; None for a layer that has no time."""
        return self.periods if TIME in self.layers[name].dims else None

    def classes(self, name: str) -> Classes | None:
        """Return the classes of a layer, such as of a flag; None for one of numbers."""
        return classes_of(self.layers[name])


def computed_maps(
    maps: Maps, target: Path, scratch: Path, *, digits: int | None = None, progress: bool = True
) -> dict[str, np.ndarray]:
    """Return the maps of each layer, (step, row, column), which lie in files of a scratch folder.

    Every block is computed once, and no more than one region is in memory. Numbers are float32,
    rounded if asked for, and NaN where missing; classes are uint8, and `NO_CLASS` where missing.
    """
    check_digits(digits)
    names = [str(name) for name in maps.layers]
    kinds = {name: np.uint8 if maps.classes(name) else np.float32 for name in names}
    shapes = {name: (maps.steps_of(name), *maps.shape) for name in names}
    sizes = {name: int(np.prod(shapes[name])) * np.dtype(kinds[name]).itemsize for name in names}
    _check_space(sum(sizes.values()), target.parent)
    stacks: dict[str, np.ndarray] = {}
    with explained(target, ProductError):
        for layer in names:
            _reserve(scratch / layer, sizes[layer])
            stacks[layer] = np.memmap(scratch / layer, kinds[layer], "r+", shape=shapes[layer])
    cuts = regions(maps.layers)
    with progress_bar(cuts, f"computing {target.name}", progress) as bar:
        for cut in cuts:
            for name, values in region_values(maps.layers, cut).items():
                index = [cut[str(dim)] for dim in values.dims]
                where = index if TIME in values.dims else [slice(0, 1), *index]
                stacks[str(name)][tuple(where)] = _encoded(values, digits)
            bar.update(value_count(cut))
    return stacks


def with_bar(parts: Sequence[_Part], target: Path, unit: str, progress: bool) -> Iterable[_Part]:
    """Return what is written part by part, with a bar; silent where there is no terminal."""
    from tqdm import tqdm

    return tqdm(parts, desc=f"writing {target.name}", unit=unit, disable=None if progress else True)


def _check_order(product: xr.Dataset) -> None:
    """Refuse steps that come twice or earlier than the one before: their maps would be lost."""
    time = product[TIME].values
    late = np.flatnonzero(np.diff(time) <= np.timedelta64(0))
    if late.size:
        before, after = (
            f"{np.datetime_as_string(each, unit='m')}Z" for each in time[late[0] :][:2]
        )
        raise ProductError(
            f"each map has a time of its own, in order, and {after} follows {before}. Sort them: "
            "product.drop_duplicates('time').sortby('time')"
        )


def _upright(
    product: xr.Dataset, y: str, x: str, *, round_globe: bool
) -> tuple[xr.Dataset, tuple[float, float], tuple[float, float]]:
    """Return the product with rows from the north, its north-western corner and its cells' size."""
    height, width = _step(product, y), _step(product, x)
    if product[y][0] < product[y][-1]:
        product = product.isel({y: slice(None, None, -1)})
    if product[x][0] > product[x][-1]:
        product = product.isel({x: slice(None, None, -1)})
    columns = product[x].values
    west = float(columns[0]) - width / 2
    if round_globe:
        # Cells round the whole globe begin near -180, those wholly east of 180 lie in the west.
        if np.isclose(width * columns.size, 360):
            eastern = int((columns - width / 2 > 180 - width * _IRREGULAR).sum())
            product = product.roll({x: eastern}, roll_coords=False)
            west = west + width * (columns.size - eastern) - 360 if eastern else west
        elif west >= 180:
            west -= 360
        elif west + width * columns.size <= -180:
            west += 360
    north = float(product[y].values[0]) + height / 2
    corner = _tidy(west, width), _tidy(north, height)
    return product, corner, (_tidy(width, width), _tidy(height, height))


def _tidy(number: float, step: float) -> float:
    """Return a number without the rounding errors of steps, which are a billionth of one."""
    return round(number, 9 - math.floor(math.log10(step)))


def _step(product: xr.Dataset, name: str) -> float:
    """Return the size of a cell along an axis; refuse an axis that is not regular."""
    if name not in product.coords:
        raise ProductError(
            f"a map needs rows and columns of equal cells, and this grid has no axis {name}, as "
            "curvilinear ones. Write NetCDF (.nc) or Zarr (.zarr), or put it on a regular grid"
        )
    centres = product[name].values
    if centres.size == 1:
        if f"{name}_bnds" not in product.coords:
            raise ProductError(
                f"a single cell has no size: give {name} bounds, as {name}_bnds, or export more "
                "than one cell"
            )
        return float(np.abs(np.diff(product[f"{name}_bnds"].values[0]))[0])
    step = float(abs(centres[-1] - centres[0]) / (centres.size - 1))
    places = np.linspace(centres[0], centres[-1], centres.size)
    worst = int(np.abs(centres - places).argmax())
    if not (step > 0 and abs(centres[worst] - places[worst]) <= step * _IRREGULAR):
        raise ProductError(
            f"a map needs equal cells, and {name} is irregular: {centres[worst]:g} should be "
            f"{places[worst]:g}. Write NetCDF (.nc) or Zarr (.zarr), or put it on a regular grid"
        )
    return step


def _encoded(layer: xr.DataArray, digits: int | None) -> np.ndarray:
    """Return values as they are stored; what is no class of a layer of classes is missing."""
    values, classes = layer.values, classes_of(layer)
    if classes is not None:
        known = np.isin(values, classes.values)
        return np.where(known, values, NO_CLASS).astype(np.uint8)
    numbers = values.astype(np.float32)
    if values.dtype.kind in "iu" and (other := numbers != values).any():
        raise ProductError(
            f"{layer.name} has the whole number {values[other][0]}, for which float32 of GeoTIFF "
            "has no room: write NetCDF (.nc) or Zarr (.zarr)"
        )
    if digits is None or values.dtype.kind != "f":  # whole ones may be the bits of checks
        return numbers
    return rounded(numbers, digits)


def _check_space(needed: int, folder: Path) -> None:
    """Refuse a disk that cannot hold the maps uncompressed, which are there until the end."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ProductError(
            f"not enough space: {needed / 1e6:,.0f} MB of maps, {free / 1e6:,.0f} MB free in "
            f"{folder}. Free some, name another folder, or export a shorter period"
        )


def _reserve(path: Path, size: int) -> None:
    """Make a file of zeros: a disk that is full then is an error, and not the end of the process.

    A memory map of a file without its blocks would be.
    """
    with path.open("wb") as file:
        for begin in range(0, size, 2**20):
            file.write(bytes(min(2**20, size - begin)))
