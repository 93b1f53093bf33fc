"""Regular grids in longitude and latitude or in a projected CRS: centres, bounds, areas."""

import math
from dataclasses import dataclass
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
    resolution : float
        Side of a cell in the units of ``crs``.
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
    """

    region: tuple[float, float, float, float]
    resolution: float
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

    @classmethod
    def around(
        cls, network: StationNetwork, resolution: float | None = None, *, crs: str = "EPSG:4326"
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
            resolution = _positive(resolution)
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
        low = np.floor(np.array([west - spacing, south - spacing]) / resolution) * resolution
        high = np.ceil(np.array([east + spacing, north + spacing]) / resolution) * resolution
        if geographic:
            low[1] = max(low[1], -90)
            # Whole cells, at most once around the globe and up to the pole.
            most = np.floor((np.array([low[0] + 360, 90]) - low) / resolution + 1e-9)
            if (most < 1).any():
                raise ValueError(
                    f"a cell of {resolution:g} degrees is too large for the globe; "
                    "choose a smaller resolution"
                )
            high = np.minimum(high, low + most * resolution)
        (west, south), (east, north) = np.round(low, 9).tolist(), np.round(high, 9).tolist()
        return cls((west, east, south, north), resolution, crs)

    @cached_property
    def is_geographic(self) -> bool:
        """Whether x and y are longitude and latitude in degrees."""
        return _is_geographic(self.crs)

    @cached_property
    def x(self) -> np.ndarray:
        """Cell centres from west to east, float64; longitudes when geographic."""
        return self._centres(self.region[0], self.region[1])

    @cached_property
    def y(self) -> np.ndarray:
        """Cell centres from south to north, float64; latitudes when geographic."""
        return self._centres(self.region[2], self.region[3])

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
        return self._bounds(self.region[0], self.x.size)

    @property
    def y_bounds(self) -> np.ndarray:
        """Southern and northern edge of each row, (ny, 2); the edges of neighbours are equal."""
        return self._bounds(self.region[2], self.y.size)

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
            side_km = self.resolution * _metres_per_unit(self.crs) / 1000
            return np.full(self.shape, side_km**2)
        south, north = np.sin(np.radians(self.y_bounds)).T
        strip = EARTH_RADIUS_KM**2 * np.radians(self.resolution) * (north - south)
        return np.broadcast_to(strip[:, None], self.shape).copy()

    def _centres(self, low: float, high: float) -> np.ndarray:
        """Return the centres of the cells between two edges, without accumulated rounding."""
        return self._rounded(low + (np.arange(self._count(low, high)) + 0.5) * self.resolution)

    def _bounds(self, low: float, count: int) -> np.ndarray:
        """Return the edges of cells from the lowest on, (count, 2)."""
        edges = self._rounded(low + np.arange(count + 1) * self.resolution)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    def _count(self, low: float, high: float) -> int:
        """Return the number of whole cells that cover the range between two edges."""
        return max(1, int(np.ceil((high - low) / self.resolution - 1e-9)))

    def _rounded(self, coordinate: np.ndarray) -> np.ndarray:
        """Round to 1e-9 of a cell: 39.125, not 39.12499999999999, in the file's axis."""
        return np.round(coordinate, 9 - int(np.floor(np.log10(self.resolution))))

    def _region_faults(self) -> list[str]:
        """Return the faults of the region and the resolution."""
        if not self._has_numbers():
            return [
                "region needs four finite numbers west, east, south, north and a finite "
                f"resolution; found {self.region}, {self.resolution}"
            ]
        west, east, south, north = self.region
        faults = []
        if self.resolution <= 0:
            faults.append(f"resolution must be positive; found {self.resolution:g}")
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
            numbers = np.array([*self.region, self.resolution], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            return False
        return numbers.size == 5 and bool(np.isfinite(numbers).all())

    def _size_faults(self) -> list[str]:
        """Return a fault if there are more than `MOST_CELLS` cells."""
        west, east, south, north = self.region
        cells = (east - west) / self.resolution * ((north - south) / self.resolution)
        if cells <= MOST_CELLS:
            return []
        least = float(np.sqrt((east - west) * (north - south) / MOST_CELLS))
        return [
            f"a resolution of {self.resolution:g} makes {cells:,.0f} cells, and {MOST_CELLS:,} are "
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
        axes = (("west", west, east, west + 360), ("south", south, north, 90))
        faults = []
        for name, low, high, limit in axes:
            end = low + self._count(low, high) * self.resolution
            if end > limit + 1e-6 * self.resolution:
                faults.append(
                    f"whole cells of {self.resolution:g} degrees from {name} {low:g} end at "
                    f"{end:g}, past {limit:g}; move an edge, or choose a size that fits"
                )
        return faults


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
