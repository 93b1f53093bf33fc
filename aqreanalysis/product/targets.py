"""Where to estimate: a grid, the cells of another file, or stations; and which cells are asked for.

All that is wrong with a request is refused here, before a long training.
"""

import logging
import os
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.conventions import missing_class
from aqreanalysis.foreign.files import Source
from aqreanalysis.foreign.grids import grid_like
from aqreanalysis.foreign.polygons import Polygons, PolygonSource
from aqreanalysis.grid import Grid, whole_cells
from aqreanalysis.network import StationNetwork
from aqreanalysis.product.attributes import restore_metadata
from aqreanalysis.product.coordinates import check_crs
from aqreanalysis.product.provenance import with_layers
from aqreanalysis.product.variables import ProductError

logger = logging.getLogger(__name__)

#: Cells of a grid in one batch of the search for a station near any of them.
BATCH_CELLS = 2**14

#: A cell's side in degrees or in the units of a CRS, or its height and width.
Resolution = float | tuple[float, float]
Region = tuple[float, float, float, float]


@dataclass(frozen=True)
class Target:
    """Where to estimate, which cells of a grid are asked for (all by default), and why these.

    Examples
    --------
    >>> network = StationNetwork([10.0, 10.5, 11.0], [50.0, 50.5, 50.0])
    >>> target_of(network, grid=0.25, region=(10, 11, 50, 51)).at.shape
    (4, 4)
    """

    at: Grid | xr.Dataset
    inside: np.ndarray | None = None
    clip: str = ""

    def clipped(self, product: xr.Dataset) -> xr.Dataset:
        """Return a product whose layers are missing in the cells that are not asked for."""
        if self.inside is None or not isinstance(self.at, Grid):
            return product
        return restore_metadata(with_layers(product, self.masked(product), self.clip))

    def masked(self, product: xr.Dataset) -> dict[str, xr.DataArray]:
        """Return the layers of a product on the grid, missing where they are not asked for."""
        if self.inside is None or not isinstance(self.at, Grid):
            return {}
        inside = xr.DataArray(self.inside, dims=self.at.dims)
        layers = {}
        for name, layer in product.data_vars.items():
            if set(self.at.dims) <= set(layer.dims):
                outside = np.nan if layer.dtype.kind == "f" else missing_class(layer.dtype)
                masked = layer.where(inside, layer.dtype.type(outside))
                layers[str(name)] = masked.transpose(*layer.dims).assign_attrs(layer.attrs)
        return layers


def target_of(
    network: StationNetwork,
    *,
    grid: Grid | Resolution | None = None,
    region: Region | None = None,
    at: xr.Dataset | None = None,
    crs: str | None = None,
    like: Source | None = None,
    clip: PolygonSource | None = None,
    land: bool = False,
) -> Target:
    """Return where to estimate; the arguments are those of `aqreanalysis.reanalysis.reanalyse`.

    Raises
    ------
    ValueError
        If arguments contradict each other, the grid cannot be written, lies elsewhere than its CRS
        is for, or out of reach of every station, or no cell is inside of what it is clipped to.
    """
    if at is not None:
        _refuse_beside("at=stations", grid=grid, region=region, crs=crs, like=like, clip=clip)
        if land:
            raise ValueError("land=True is for grids; leave it out with at=stations")
        if not isinstance(at, xr.Dataset):
            raise ValueError(
                "at must be a Dataset with longitude and latitude on 'station'; found "
                f"{type(at).__name__}. Read a table with "
                "aqreanalysis.observations.open_stations; a Grid is passed as grid="
            )
        StationNetwork.from_dataset(at)  # refuses invalid positions
        return Target(at)
    polygons = None if clip is None else Polygons.of(clip)
    if like is not None:
        _refuse_beside("like=", grid=grid, region=region, crs=crs)
        chosen = grid_like(like)
    elif isinstance(grid, Grid):
        if region is not None or crs is not None:
            raise ValueError(
                "a Grid has its own region and CRS; leave out region= and crs=, or pass grid=0.1"
            )
        chosen = grid
    else:
        chosen = _grid(network, grid, region, crs or "EPSG:4326", polygons)
    try:
        check_crs(chosen.crs)
    except ProductError as error:
        raise ValueError(str(error)) from error
    longitude, latitude = chosen.longitude_latitude()
    _check_area_of_use(chosen, longitude, latitude)
    _check_reach(chosen, network, longitude.ravel(), latitude.ravel())
    if polygons is None and not land:
        return Target(chosen)
    return _clipped(chosen, longitude, latitude, polygons, clip, land)


def _grid(
    network: StationNetwork,
    resolution: Resolution | None,
    region: Region | None,
    crs: str,
    polygons: Polygons | None,
) -> Grid:
    """Return a grid of a resolution over a region, or that of the polygons or stations."""
    if region is not None and resolution is not None:
        return Grid.over(region, resolution, crs=crs)
    if polygons is None or region is not None or resolution is None:
        _check_spacing(network)
        around = Grid.around(network, resolution, crs=crs)
        if region is not None:
            return Grid.over(region, around.resolution, crs=crs)
        if polygons is None:
            return around
        resolution = around.resolution
    projected = Grid.over(polygons.region, resolution, crs=crs)
    if not projected.is_geographic:
        return projected
    sides = np.array([projected.width, projected.height])
    west, east, south, north = polygons.region
    corners = np.array([west, south]), np.array([east, north])
    west, east, south, north = whole_cells(corners, sides)
    return Grid((west, min(east, west + 360), max(south, -90), min(north, 90)), resolution, crs)


def _refuse_beside(chosen: str, **others: object) -> None:
    """Refuse arguments that say where to estimate beside one that does already."""
    given = [f"{name}=" for name, value in others.items() if value is not None]
    if given:
        raise ValueError(
            f"give either {chosen}, or {' and '.join(given)}, not both: each says where to estimate"
        )


def _clipped(
    grid: Grid,
    longitude: np.ndarray,
    latitude: np.ndarray,
    polygons: Polygons | None,
    clip: PolygonSource | None,
    land: bool,
) -> Target:
    """Return a grid of which the cells within polygons, or on land, are asked for."""
    inside, words = np.ones(longitude.shape, bool), []
    if polygons is not None:
        inside &= polygons.hold(longitude, latitude)
        named = os.fspath(clip) if isinstance(clip, str | os.PathLike) else "polygons"
        words.append(named)
    if land:
        from aqreanalysis.maps.natural_earth import on_land

        inside &= on_land(longitude, latitude)
        words.append("land")
    named = " and ".join(words)
    if not inside.any():
        reach = "" if polygons is None else f", which reach over {_rounded(polygons.region)},"
        raise ValueError(
            f"no cell has its centre within {named}{reach} of a grid over "
            f"{_rounded(_extent(longitude, latitude))} (west, east, south, north): take another "
            "region, or smaller cells"
        )
    return Target(grid, inside, f"clipped to {named}: {inside.sum()} of {inside.size} cells")


def _extent(longitude: np.ndarray, latitude: np.ndarray) -> Region:
    """Return west, east, south, north of positions."""
    west, east = float(longitude.min()), float(longitude.max())
    return west, east, float(latitude.min()), float(latitude.max())


def _rounded(region: Region) -> tuple[float, ...]:
    """Return a region for a message."""
    return tuple(round(edge, 2) for edge in region)


def _check_area_of_use(grid: Grid, longitude: np.ndarray, latitude: np.ndarray) -> None:
    """Refuse a grid that lies outside of the area that its CRS is made for."""
    import pyproj

    area = None if grid.is_geographic else pyproj.CRS.from_user_input(grid.crs).area_of_use
    if area is None:
        return
    width = (area.east - area.west) % 360 or 360.0
    within = (longitude - area.west) % 360 <= width
    within &= (latitude >= area.south) & (latitude <= area.north)
    if not within.any():
        raise ValueError(
            f"{grid.crs} is made for {area.name} ({area.west:g} to {area.east:g} E, "
            f"{area.south:g} to {area.north:g} N), and the grid lies over "
            f"{_rounded(_extent(longitude, latitude))} (west, east, south, north). Take the UTM "
            "zone of the region, or degrees (EPSG:4326)"
        )
    if not within.all():
        logger.warning(
            "%d of %d cells lie outside of the area that %s is made for, %s",
            (~within).sum(),
            within.size,
            grid.crs,
            area.name,
        )


def _check_spacing(network: StationNetwork) -> None:
    """Refuse stations at one place, whose distances cannot give the size of a grid."""
    if np.isfinite(network.spacing_km):
        return
    named = ", ".join(network.identifiers[:5])
    raise ValueError(
        f"all stations ({network.size}: {named}) are at one place, longitude "
        f"{network.longitude[0]:g}, latitude {network.latitude[0]:g}: nothing lies between them. "
        "Add stations at other places, or give both region and grid"
    )


def _check_reach(
    grid: Grid, network: StationNetwork, longitude: np.ndarray, latitude: np.ndarray
) -> None:
    """Refuse a grid without a cell in reach of a station."""
    reach_km = network.reach_km + grid.cell_radius_km  # NaN for one place
    closest, name = np.inf, ""
    batches = max(longitude.size // BATCH_CELLS, 1)
    for start in range(batches):  # each is spread over the whole grid, and one in reach is enough
        nearest = network.neighbours(longitude[start::batches], latitude[start::batches], k=1)
        row = int(nearest.distance_km.argmin())
        if nearest.distance_km[row, 0] < closest:
            closest = float(nearest.distance_km[row, 0])
            name = network.identifiers[nearest.index[row, 0]]
        if not closest > reach_km:
            return
    raise ValueError(
        f"the region {grid.region} holds no station and none is in reach: the nearest, "
        f"{name}, is {closest:.0f} km away. The stations' extent is "
        f"{_rounded(network.extent())} (west, east, south, north)."
    )
