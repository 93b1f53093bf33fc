"""Where the values of a layer lie: on two axes, on a curvilinear grid, or at points."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import xarray as xr

from aqreanalysis.foreign.coordinates import (
    find_bounds,
    find_coordinates,
    find_crs,
)
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.sampling import Sampling
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.observations.units import linear_conversion

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

SamplingMethod = Literal["cell", "linear"]

#: Share of a cell within which a place is taken to lie on an edge or a centre: coordinates in
#: float32 are off by up to 1.5e-5 degrees.
_TOLERANCE = 1e-3
#: Ratio of neighbouring steps above which there is a gap, and no cell that only is larger.
_MOST_UNEVEN = 3.0
#: Nearest centres whose adjoining quadrilaterals are searched for a place on a curvilinear grid.
_CENTRES = 4
#: Newton steps that invert a bilinear map; on a parallelogram one is exact.
_NEWTON_STEPS = 8


class Places(Protocol):
    """Where the values of a layer lie."""

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The horizontal dimensions of the layer."""

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude that span the layer, degrees."""

    def locate(
        self, longitude: np.ndarray, latitude: np.ndarray, method: SamplingMethod
    ) -> Sampling:
        """Return the values that stand for places (n,), in degrees, and the share of each."""

    def reach_km(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the distance (n,) within which another place may be in the same cell."""


def find_places(dataset: xr.Dataset, name: str, *, same_place_km: float = 0.5) -> Places:
    """Return where the values of a layer lie.

    Longitude and latitude of the layer come first; without them its projected axes are taken,
    through the grid mapping.

    Parameters
    ----------
    dataset : Dataset
    name : str
        The layer.
    same_place_km : float
        How far from a point a place may be to have its value.

    Raises
    ------
    ForeignError
        If the layer has no position, more than one, or one that is neither a grid nor points.

    Examples
    --------
    >>> axes = {"lat": [50.5, 49.5], "lon": [358.5, 359.5]}
    >>> dataset = xr.Dataset({"pm25": (("lat", "lon"), [[1.0, 2.0], [3.0, 4.0]])}, axes)
    >>> found = find_places(dataset, "pm25").locate([-0.7, -1.4], [49.9, 50.1], "cell")
    >>> found.read(dataset.pm25).ravel()
    array([4., 1.])
    """
    positions = find_coordinates(dataset, name, ("longitude", "latitude"))
    if positions is None:
        return _projected(dataset, name)
    longitude, latitude = positions
    east, north = (position.astype(np.float64) for position in positions)
    if longitude.dims == latitude.dims and longitude.ndim == 1:
        return Points(longitude.dims, east.values, north.values, same_place_km)
    if longitude.ndim == latitude.ndim == 2:
        north = north.transpose(*east.dims)
        if (east == east[0]).all() and (north == north[:, 0]).all():  # axes after all
            return RegularGrid.of(east[0].values, north[:, 0].values, dims=east.dims[::-1])
        return CurvilinearGrid.of(east, north)
    if longitude.ndim == latitude.ndim == 1:
        bounds = [find_bounds(dataset, position) for position in positions]
        dims = longitude.dims[0], latitude.dims[0]
        return RegularGrid.of(east.values, north.values, *bounds, dims=dims)
    raise ForeignError(
        f"longitude is on {longitude.dims} and latitude on {latitude.dims}; expected one axis "
        "each, or both on the same one or two dimensions"
    )


def extent(places: Places) -> tuple[float, float, float, float]:
    """Return west within -180 to 180, east of it, south and north of all centres, degrees.

    Examples
    --------
    >>> extent(RegularGrid.of(np.array([359.5, 0.5]), np.array([50.5, 49.5])))
    (-0.5, 0.5, 49.5, 50.5)
    """
    east, north = (values[np.isfinite(values)] for values in places.centres())
    east = east - 360 * np.floor((east.min() + 180) / 360)
    return float(east.min()), float(east.max()), float(north.min()), float(north.max())


@dataclass(frozen=True)
class GridAxis:
    """Centres and edges of the cells along one axis, in ascending order.

    Attributes
    ----------
    name : str
    centres : (n,) float64
        Longitudes run on across the date line.
    position : (n,) int
        Where each cell is along the axis of the file.
    bounds : (n, 2) float64 or None
        Stated edges of the cells, if they adjoin.
    period : float or None
        After which coordinates repeat: 360 for longitudes.
    size : float or None
        Of a cell, should there be only one and no bounds.
    """

    name: str
    centres: np.ndarray
    position: np.ndarray
    bounds: np.ndarray | None = None
    period: float | None = None
    size: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        values: np.ndarray,
        bounds: np.ndarray | None = None,
        *,
        period: float | None = None,
        size: float | None = None,
    ) -> "GridAxis":
        """Return an axis of centres in any order, and of bounds (n, 2) in the same order.

        Raises
        ------
        ForeignError
            If a coordinate is missing, or there twice.
        """
        centres = np.asarray(values, np.float64)
        if period is not None:
            centres = _in_one_run(centres, period)
        position = np.argsort(centres, kind="stable")
        if period is not None:  # a column that closes the circle is there twice, as 0 and as 360
            position = position[np.diff(centres[position], prepend=-np.inf) != 0]
        ordered = centres[position]
        if not np.isfinite(ordered).all() or (np.diff(ordered) <= 0).any():
            raise ForeignError(
                f"each {name} of the grid must be there once, and none be missing; found "
                f"{ordered.size} of which {np.unique(ordered).size} differ"
            )
        if bounds is not None:
            bounds = np.asarray(bounds, np.float64)
            if period is not None:
                # Each edge as near to its centre as it goes, whichever way around it was written.
                apart = bounds - centres[:, None] + period / 2
                bounds = centres[:, None] + apart % period - period / 2
            bounds = _adjoining(np.sort(bounds, axis=1)[position])
        return cls(name, ordered, position, bounds, period, size)

    @cached_property
    def edges(self) -> np.ndarray:
        """The edges of the cells, (n + 1,): as stated, or else midway between centres.

        Raises
        ------
        ForeignError
            If there is a gap between the cells, or a single cell has no size.
        """
        if self.bounds is not None:
            return np.append(self.bounds[:, 0], self.bounds[-1, 1])
        centres = self.centres
        if centres.size == 1:
            if self.size is None:
                raise ForeignError(
                    "the grid has a single cell and does not say its size: give it bounds along "
                    "both axes"
                )
            return centres + self.size * np.array([-0.5, 0.5])
        steps = np.diff(centres)
        uneven = np.flatnonzero(np.abs(np.diff(np.log(steps))) > np.log(_MOST_UNEVEN))
        if uneven.size:
            first = centres[uneven[0] : uneven[0] + 3]
            first = first if self.period is None else (first + 180) % 360 - 180
            raise ForeignError(
                f"the {self.name} of the grid has a gap: {', '.join(f'{c:g}' for c in first)}. "
                "Take one side of it, or give it bounds that tell how far its cells reach"
            )
        ends = centres[0] - steps[0] / 2, centres[-1] + steps[-1] / 2
        return np.concatenate([ends[:1], (centres[:-1] + centres[1:]) / 2, ends[1:]])

    @property
    def tolerance(self) -> float:
        """What two coordinates may differ by and still be the same."""
        steps = np.diff(self.centres if self.centres.size > 1 else self.edges)
        return _TOLERANCE * float(steps.min())

    @cached_property
    def closes(self) -> bool:
        """Whether the cells go once around the globe."""
        if self.period is None or self.centres.size < 2:
            return False
        steps = np.diff(self.centres)
        around = self.centres[-1] - self.centres[0] + (steps[0] + steps[-1]) / 2
        if self.bounds is not None:
            around = self.bounds[-1, 1] - self.bounds[0, 0]
        return bool(around >= self.period - self.tolerance)

    def holding(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cell that holds each coordinate, and whether there is one."""
        low, high = self.edges[0] - self.tolerance, self.edges[-1] + self.tolerance
        values = self._eastwards(values, low)
        cell = np.searchsorted(self.edges, values, side="right") - 1
        return np.clip(cell, 0, self.centres.size - 1), (values >= low) & (values <= high)

    def between(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cells on both sides, (2, n), the share of each, and whether they exist.

        Raises
        ------
        ForeignError
            If there is only one.
        """
        centres, count = self.centres, self.centres.size
        if count < 2:
            raise ForeignError(
                f"linear interpolation needs two cells at least along each axis; {self.name} has "
                "one. Pass a field of two cells or more each way, or take the cell itself "
                "(sampling='cell')"
            )
        if self.closes:
            centres = np.append(centres, centres[0] + (self.period or 0.0))
        values = self._eastwards(values, centres[0] - self.tolerance)
        low = np.clip(np.searchsorted(centres, values, side="right") - 1, 0, centres.size - 2)
        share = (values - centres[low]) / (centres[low + 1] - centres[low])
        share, inside = _at_ends(share)
        return np.stack([low, low + 1]) % count, np.stack([1 - share, share]), inside

    def _eastwards(self, values: np.ndarray, first: float) -> np.ndarray:
        """Return coordinates that count on from the first of the axis, if they repeat."""
        values = np.asarray(values, np.float64)
        return values if self.period is None else first + (values - first) % self.period


@dataclass(frozen=True)
class RegularGrid:
    """A grid on two axes: longitude and latitude, or those of a projection.

    Attributes
    ----------
    x, y : GridAxis
    dims : tuple of two hashable
        Of x and y.
    crs : pyproj.CRS or None
        Of the axes; None for longitude and latitude.
    unit : float
        Units of the CRS in one unit of the axes.
    """

    x: GridAxis
    y: GridAxis
    dims: tuple[Hashable, ...] = ("lon", "lat")
    crs: "CRS | None" = None
    unit: float = 1.0

    @classmethod
    def of(
        cls,
        longitude: np.ndarray,
        latitude: np.ndarray,
        longitude_bounds: np.ndarray | None = None,
        latitude_bounds: np.ndarray | None = None,
        *,
        dims: tuple[Hashable, ...] = ("lon", "lat"),
    ) -> "RegularGrid":
        """Return the grid of longitudes (n,) and latitudes (m,), in any order and convention.

        Examples
        --------
        >>> grid = RegularGrid.of(np.array([359.5, 0.5]), np.array([50.5, 49.5]))
        >>> grid.x.edges.tolist(), grid.y.position.tolist()
        ([359.0, 360.0, 361.0], [1, 0])
        """
        east = _in_one_run(longitude.astype(np.float64), 360)
        steps = [np.diff(np.sort(axis)).max() for axis in (east, latitude) if axis.size > 1]
        size = float(steps[0]) if steps else None
        x = GridAxis.of("longitude", east, longitude_bounds, period=360.0, size=size)
        return cls(x, GridAxis.of("latitude", latitude, latitude_bounds, size=size), dims)

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of the corners of the grid, degrees."""
        return self._degrees(*np.meshgrid(self.x.centres[[0, -1]], self.y.centres[[0, -1]]))

    def locate(
        self, longitude: np.ndarray, latitude: np.ndarray, method: SamplingMethod
    ) -> Sampling:
        """Return the cells that hold places, or the four whose centres surround them."""
        x, y = self._own(longitude, latitude)
        if method == "cell":
            column, inside_x = self.x.holding(x)
            row, inside_y = self.y.holding(y)
            columns, rows, weight = column[None], row[None], np.ones((1, column.size))
        else:
            side_x, share_x, inside_x = self.x.between(x)
            side_y, share_y, inside_y = self.y.between(y)
            columns, rows = np.tile(side_x, (2, 1)), np.repeat(side_y, 2, axis=0)  # (corner, place)
            weight = np.tile(share_x, (2, 1)) * np.repeat(share_y, 2, axis=0)
        inside = np.flatnonzero(inside_x & inside_y)
        position = self.x.position[columns[:, inside]], self.y.position[rows[:, inside]]
        return Sampling(inside, dict(zip(self.dims, position, strict=True)), weight[:, inside])

    def reach_km(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return half the distance between opposite corners of the cells that hold places."""
        x, y = self._own(longitude, latitude)
        column, row = self.x.holding(x)[0], self.y.holding(y)[0]
        lower = self._degrees(self.x.edges[column], self.y.edges[row])
        upper = self._degrees(self.x.edges[column + 1], self.y.edges[row + 1])
        return great_circle_km(*lower, *upper) / 2

    def _own(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return places in the coordinates of the axes."""
        if self.crs is None:
            return longitude, latitude
        x, y = _transformer(self.crs).transform(longitude, latitude)
        return np.asarray(x) / self.unit, np.asarray(y) / self.unit

    def _degrees(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of coordinates of the axes."""
        if self.crs is None:
            return x, np.clip(y, -90, 90)
        x, y = x * self.unit, y * self.unit
        return _transformer(self.crs).transform(x, y, direction="INVERSE")


@dataclass(frozen=True)
class Points:
    """Values at points, such as stations: each stands for places near to it.

    Attributes
    ----------
    dims : tuple of hashable
    longitude, latitude : float64 array on `dims`
        Degrees.
    near_km : float or array
        How far from a point a place may be to have its value.
    """

    dims: tuple[Hashable, ...]
    longitude: np.ndarray
    latitude: np.ndarray
    near_km: float | np.ndarray

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Return longitude and latitude of the points."""
        return self.longitude, self.latitude

    def locate(
        self, longitude: np.ndarray, latitude: np.ndarray, method: SamplingMethod
    ) -> Sampling:
        """Return the nearest point if it is near, whatever the method."""
        cell, distance_km = self._nearest(longitude, latitude, 1)
        inside = np.flatnonzero(distance_km[:, 0] <= self.reach_km(longitude, latitude))
        return self._sampling(inside, cell[inside].T, np.ones((1, inside.size)))

    def reach_km(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return how far from the nearest point a place may be to have its value."""
        cell = self._nearest(longitude, latitude, 1)[0][:, 0]
        return np.broadcast_to(self.near_km, self.longitude.shape).ravel()[cell]

    @cached_property
    def _placed(self) -> tuple[np.ndarray, StationNetwork]:
        """The points that have a position, by their number; some grids leave it open outside."""
        longitude, latitude = self.longitude.ravel(), self.latitude.ravel()
        placed = np.flatnonzero(np.isfinite(longitude) & (np.abs(latitude) <= 90))
        if not placed.size:
            raise ForeignError("longitude and latitude are missing everywhere")
        return placed, StationNetwork(longitude[placed], latitude[placed])

    def _nearest(
        self, longitude: np.ndarray, latitude: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (n, k) of the nearest points, and their distances."""
        placed, network = self._placed
        nearest = network.neighbours(longitude, latitude, k=min(k, placed.size))
        return placed[nearest.index], nearest.distance_km

    def _sampling(self, place: np.ndarray, cell: np.ndarray, weight: np.ndarray) -> Sampling:
        """Return the sampling of points by their numbers (k, m)."""
        index = np.unravel_index(cell, self.longitude.shape)
        return Sampling(place, dict(zip(self.dims, index, strict=True)), weight)


@dataclass(frozen=True)
class CurvilinearGrid(Points):
    """A grid whose longitude and latitude, (ny, nx) degrees, are two-dimensional."""

    @classmethod
    def of(cls, longitude: xr.DataArray, latitude: xr.DataArray) -> "CurvilinearGrid":
        """Return the grid of two coordinates of the same dimensions."""
        east, north = longitude.values, latitude.values
        return cls(longitude.dims, east, north, _half_diagonals_km(east, north))

    def locate(
        self, longitude: np.ndarray, latitude: np.ndarray, method: SamplingMethod
    ) -> Sampling:
        """Return the cell with the nearest centre, or the four centres around each place.

        The four are the corners of a quadrilateral, between which values are interpolated
        bilinearly in longitude and latitude; one that holds a pole is left out.
        """
        if method == "cell":
            return super().locate(longitude, latitude, method)
        corner = np.zeros((4, len(longitude)), np.int64)
        weight = np.full((4, len(longitude)), np.nan)
        for cell in self._nearest(longitude, latitude, _CENTRES)[0].T:
            for offset in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
                left = np.flatnonzero(np.isnan(weight[0]))
                corner[:, left], weight[:, left] = self._within(
                    longitude[left], latitude[left], cell[left], offset
                )
        inside = np.flatnonzero(np.isfinite(weight[0]))
        return self._sampling(inside, corner[:, inside], weight[:, inside])

    def _within(
        self,
        longitude: np.ndarray,
        latitude: np.ndarray,
        cell: np.ndarray,
        offset: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners (4, n) of a quadrilateral beside a cell, and the share of each.

        The share is NaN where the place lies outside, or the quadrilateral does not exist.
        """
        ny, nx = self.longitude.shape
        row, column = cell // nx + offset[0], cell % nx + offset[1]
        exists = (row >= 0) & (row < ny - 1) & (column >= 0) & (column < nx - 1)
        first = np.where(exists, row * nx + column, 0)
        corners = first + np.array([[0], [1], [nx], [nx + 1]])  # (corner, place)
        corners = np.minimum(corners, ny * nx - 1)
        east = (self.longitude.ravel()[corners] - longitude + 180) % 360 - 180
        north = self.latitude.ravel()[corners] - latitude
        s, t = _inverse_bilinear(east, north)
        (s, inside_s), (t, inside_t) = _at_ends(s), _at_ends(t)
        share = np.stack([(1 - t) * (1 - s), (1 - t) * s, t * (1 - s), t * s])
        return corners, np.where(exists & inside_s & inside_t, share, np.nan)


def _projected(dataset: xr.Dataset, name: str) -> RegularGrid:
    """Return the grid of a layer that has axes of a projection, and no longitude and latitude."""
    axes = find_coordinates(dataset, name, ("X", "Y"))
    crs = None if axes is None else find_crs(dataset, dataset[name])
    if axes is None or crs is None or any(axis.ndim != 1 for axis in axes):
        raise ForeignError(
            f"no longitude and latitude on the dimensions {dataset[name].dims} of {name!r}; it has "
            f"{', '.join(map(str, dataset.variables)) or 'none'}. Assign them as coordinates, with "
            "units 'degrees_east' and 'degrees_north', or axes x and y with a grid mapping"
        )
    x, y = (GridAxis.of(str(a.name), a.values, find_bounds(dataset, a)) for a in axes)
    unit, units = 1.0, str(axes[0].attrs.get("units", ""))
    if units and crs.is_projected:
        metres = linear_conversion(units, "m", str(axes[0].name))[0]
        unit = metres / crs.axis_info[0].unit_conversion_factor
    return RegularGrid(x, y, (axes[0].dims[0], axes[1].dims[0]), crs, unit)


@lru_cache(maxsize=8)
def _transformer(crs: "CRS") -> "Transformer":
    """Return what turns longitude and latitude into the coordinates of a CRS."""
    from pyproj import Transformer

    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def _half_diagonals_km(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Return half the diagonal of each cell, from the distances to its neighbours, (ny, nx)."""
    sides = []
    for axis in (0, 1):
        count = east.shape[axis]
        if count < 2:
            continue
        first, second = (
            [np.take(values, np.arange(count)[cut], axis) for values in (east, north)]
            for cut in (slice(None, -1), slice(1, None))
        )
        apart = great_circle_km(*first, *second)
        before, after = (np.insert(apart, end, np.nan, axis=axis) for end in (0, apart.shape[axis]))
        sides.append(np.fmax(before, after))
    if not sides:
        raise ForeignError(
            "the grid has a single cell, of which longitude and latitude do not tell the size"
        )
    return np.sqrt(np.square(sides[0]) + np.square(sides[-1])) / 2


def _in_one_run(longitude: np.ndarray, period: float) -> np.ndarray:
    """Return longitudes that run on from the eastern end of their widest gap."""
    around = longitude % period
    ordered = np.sort(around)
    if not np.isfinite(ordered).all():
        return longitude
    gaps = np.diff(ordered, append=ordered[0] + period)
    west = ordered[(int(np.argmax(gaps)) + 1) % ordered.size]
    return np.where(around >= west, around, around + period)


def _adjoining(bounds: np.ndarray) -> np.ndarray | None:
    """Return bounds (n, 2) if each cell has a size and ends where the next begins."""
    low, high = bounds.T
    close = _TOLERANCE * np.abs(high - low).min()
    adjoin = np.allclose(high[:-1], low[1:], rtol=0, atol=close)
    return bounds if (high > low).all() and adjoin else None


def _at_ends(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shares that are 0 or 1 where nearly so, and whether they lie within 0 to 1.

    At a centre the other cell has no part then, and may be missing.
    """
    for end in (0.0, 1.0):
        share = np.where(np.abs(share - end) <= _TOLERANCE, end, share)
    return share, (share >= 0) & (share <= 1)


def _inverse_bilinear(east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the origin lies in quadrilaterals, as shares of their sides; NaN if nowhere.

    Newton's method for ``p + q s + r t + k s t = 0``, from the middle.

    Parameters
    ----------
    east, north : (4, n) float64
        The corners at (s, t) = (0, 0), (1, 0), (0, 1) and (1, 1).
    """
    p, q, r = (
        np.stack([a, b]) for a, b in (
            (east[0], north[0]),
            (east[1] - east[0], north[1] - north[0]),
            (east[2] - east[0], north[2] - north[0]),
        )
    )  # fmt: skip
    k = np.stack([east[3], north[3]]) - p - q - r
    s = t = np.full(east.shape[1], 0.5)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(_NEWTON_STEPS):
            value, by_s, by_t = p + q * s + r * t + k * s * t, q + k * t, r + k * s
            determinant = by_s[0] * by_t[1] - by_s[1] * by_t[0]
            s = s - (value[0] * by_t[1] - value[1] * by_t[0]) / determinant
            t = t - (by_s[0] * value[1] - by_s[1] * value[0]) / determinant
        rest = np.abs(p + q * s + r * t + k * s * t).max(axis=0)
    solved = rest <= _TOLERANCE * np.abs(np.stack([q, r])).max(axis=(0, 1))
    return np.where(solved, s, np.nan), np.where(solved, t, np.nan)
