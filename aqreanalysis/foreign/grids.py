"""The grid of another file, cell by cell: of a model, another reanalysis or another product."""

import numpy as np
import xarray as xr

from aqreanalysis.foreign.axes import GridAxis
from aqreanalysis.foreign.coordinates import find_bounds, find_coordinates, find_crs
from aqreanalysis.foreign.errors import ForeignError, raising
from aqreanalysis.foreign.files import Source, opened
from aqreanalysis.foreign.places import CurvilinearGrid, RegularGrid, find_places, projected_places
from aqreanalysis.foreign.sampling import TOLERANCE
from aqreanalysis.grid import MOST_CELLS, CurvilinearCells, Grid, GridOnAxes

_DEGREES, _METRES = ("longitude", "latitude"), ("X", "Y")


def grid_like(source: Source) -> Grid:
    """Return the grid of a file: the same cells in the same order.

    Longitudes keep their convention, except where they do not increase: 0, 179, -179 become 0,
    179, 181. A last column that repeats the first one around the globe is left out.

    Parameters
    ----------
    source : path or Dataset
        With longitude and latitude on axes or in two dimensions, or projected axes with a grid
        mapping. Of several layers, the first that lies on a grid says where the cells are.

    Raises
    ------
    ValueError
        If there is no grid, its steps are irregular beyond what cells of different size explain, or
        a coordinate is missing.

    Examples
    --------
    >>> model = xr.Dataset(coords={"lat": [50.5, 50.0], "lon": [10.0, 10.625, 11.25]})
    >>> grid = grid_like(model)
    >>> grid.resolution, grid.region, grid.y.tolist()
    ((0.5, 0.625), (9.6875, 11.5625, 49.75, 50.75), [50.5, 50.0])
    """
    with raising(ValueError, "the grid"), opened(source) as dataset:
        name, dataset = _layer_on_a_grid(dataset)
        crs = find_crs(dataset, dataset[name])
        # Axes of a projection say more than the longitudes and latitudes beside them.
        projected = (
            crs is not None and crs.is_projected and find_coordinates(dataset, name, _METRES)
        )
        places = projected_places(dataset, name) if projected else find_places(dataset, name)
        if isinstance(places, CurvilinearGrid):
            return _curvilinear(places)
        if not isinstance(places, RegularGrid):
            raise ForeignError(
                f"{name!r} lies at points, not on a grid; estimate at points with at= or --at"
            )
        return _on_axes(dataset, name, places)


def _layer_on_a_grid(dataset: xr.Dataset) -> tuple[str, xr.Dataset]:
    """Return the name of a layer that has positions; of coordinates alone, one is made of them."""
    fault: ForeignError | None = None
    for name, layer in dataset.data_vars.items():
        if (
            layer.dtype.kind not in "fiu"
            or layer.ndim < 2
            or str(name).endswith(("_bnds", "bounds"))
        ):
            continue
        try:
            if find_coordinates(dataset, str(name), _DEGREES):
                return str(name), dataset
            if find_coordinates(dataset, str(name), _METRES) and find_crs(dataset, layer):
                return str(name), dataset
        except ForeignError as error:
            fault = fault or error
    horizontal = [dim for dim in dataset.dims if dim in dataset.variables and dim != "time"]
    if not dataset.data_vars and len(horizontal) == 2:
        size = [dataset.sizes[dim] for dim in horizontal]
        return "cells", dataset.assign(cells=(horizontal, np.zeros(size, np.int8)))
    raise fault or ForeignError(
        f"no layer has longitude and latitude, or projected axes with a grid mapping; found "
        f"{', '.join(map(str, dataset.variables)) or 'nothing'}. Give coordinates the units "
        "'degrees_east' and 'degrees_north'"
    )


def _curvilinear(places: CurvilinearGrid) -> Grid:
    """Return the cells of two-dimensional longitudes and latitudes."""
    longitude, latitude = places.longitude, places.latitude
    missing = ~(np.isfinite(longitude) & (np.abs(latitude) <= 90))
    if missing.any():
        raise ForeignError(
            f"longitude and latitude are missing at {missing.sum()} of {missing.size} cells; take "
            "the part of the {data} where they are known"
        )
    return CurvilinearCells.of(longitude, latitude)


def _on_axes(dataset: xr.Dataset, name: str, places: RegularGrid) -> Grid:
    """Return the cells of two axes, in the order of the file."""
    if places.x.centres.size * places.y.centres.size > MOST_CELLS:
        raise ForeignError(f"it has more than the {MOST_CELLS:,} cells that a grid may have")
    columns, rows = _in_file_order(dataset, name, _DEGREES if places.crs is None else _METRES)
    steps = [np.abs(np.diff(axis.values)).min() for axis in (columns, rows) if axis.size > 1]
    size = float(steps[0]) * places.unit if steps else None
    in_degrees = places.crs is None or places.crs.is_geographic
    x = _cells(dataset, columns, 360.0 if in_degrees else None, places.unit, size)
    y = _cells(dataset, rows, None, places.unit, size)
    if in_degrees and (farthest := float(abs(y[0]).max())) > 90:
        raise ForeignError(f"latitudes lie within -90 and 90; {rows.name!r} has {farthest:g}")
    if in_degrees:  # at the poles, cells of MERRA-2 are half as high
        y = y[0], np.clip(y[1], -90, 90)
    crs = "EPSG:4326" if places.crs is None else places.crs.to_string()
    return GridOnAxes.of((y[0], x[0]), (y[1], x[1]), crs)


def _in_file_order(
    dataset: xr.Dataset, name: str, keys: tuple[str, str]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the axes x and y of a layer as they are in the file; of two dimensions, one each."""
    axes = find_coordinates(dataset, name, keys)
    assert axes is not None  # otherwise the layer has no places
    x, y = axes
    if x.ndim == 2:
        x, y = x[0], y.transpose(*x.dims)[:, 0]
    return x, y


def _cells(
    dataset: xr.Dataset, axis: xr.DataArray, period: float | None, unit: float, size: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return centres (n,) and edges (n, 2) of an axis, float64 in the units of the CRS."""
    values, bounds = axis.values.astype(np.float64), find_bounds(dataset, axis)
    if period is not None:
        step = np.diff(values)
        if not ((step > 0).all() or (step < 0).all()):
            values = np.unwrap(values, period=period)
        if bounds is not None:
            bounds = bounds + period * np.rint((values[:, None] - bounds) / period)
        closing = values.size > 2 and abs(abs(values[-1] - values[0]) - period) < TOLERANCE * abs(
            values[1] - values[0]
        )
        if closing:
            values, bounds = values[:-1], None if bounds is None else bounds[:-1]
    steps = np.diff(values)
    if not ((steps > 0).all() or (steps < 0).all()):
        wrong = int(np.argmin(steps * np.sign(np.median(steps))))
        raise ForeignError(
            f"{axis.name!r} neither increases nor decreases throughout: "
            f"{', '.join(f'{value:g}' for value in values[wrong : wrong + 2])}. Sort it, "
            f"{{data}}.sortby({str(axis.name)!r})"
        )
    values = values * unit
    bounds = None if bounds is None else bounds * unit
    edges = GridAxis.of(str(axis.name), values, bounds, size=size).edges
    if period is not None and abs(edges[-1] - edges[0] - period) < TOLERANCE * np.diff(edges).min():
        edges[-1] = edges[0] + period  # coordinates in float32 are off by up to 1.5e-5 degrees
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    return values, pairs[::-1, ::-1] if values.size > 1 and values[0] > values[-1] else pairs
