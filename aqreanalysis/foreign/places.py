"""Positions of the values of a layer: on two axes, on a curvilinear grid, or at points."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import xarray as xr

from aqreanalysis.foreign.axes import GridAxis, in_one_run, within_ends
from aqreanalysis.foreign.coordinates import find_bounds, find_coordinates, find_crs
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.sampling import TOLERANCE, Sampling
from aqreanalysis.network import SAME_PLACE_KM, StationNetwork, great_circle_km
from aqreanalysis.observations import ObservationError
from aqreanalysis.observations.checks.units import linear_conversion

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

SamplingMethod = Literal["cell", "linear"]
Places: TypeAlias = "RegularGrid | Points"

#: Number of nearest centres whose adjoining quadrilaterals are searched, on curvilinear grids.
_CENTRES = 4
#: Newton steps that invert a bilinear map; on a parallelogram one is exact.
_NEWTON_STEPS = 8


def find_places(dataset: xr.Dataset, name: str) -> Places:
    """Return the positions of the values of a layer.

    They are its longitude and latitude, or else its projected axes with the grid mapping. The value
    of a point is that of all places within `SAME_PLACE_KM`, or within the kilometres that the
    attribute ``valid_within_km`` of the layer states.

    Raises
    ------
    ForeignError
        If the layer has no position, more than one, or one that is neither a grid nor points.

    Examples
    --------
    >>> axes = {"lat": [50.5, 49.5], "lon": [358.5, 359.5]}
    >>> dataset = xr.Dataset({"pm25": (("lat", "lon"), [[1.0, 2.0], [3.0, 4.0]])}, axes)
    >>> sampling = find_places(dataset, "pm25").locate([-0.7, -1.4], [49.9, 50.1], "cell")
    >>> sampling.read(dataset.pm25).ravel()
    array([4., 1.])
    """
    positions = find_coordinates(dataset, name, ("longitude", "latitude"))
    if positions is None:
        return projected_places(dataset, name)
    longitude, latitude = (position.astype(np.float64) for position in positions)
    east, north = longitude.values, latitude.values
    if longitude.dims == latitude.dims and longitude.ndim == 1:
        near_km = float(dataset[name].attrs.get("valid_within_km", SAME_PLACE_KM))
        return Points(longitude.dims, east, north, near_km)
    if longitude.ndim == latitude.ndim == 2:
        north = latitude.transpose(*longitude.dims).values
        if (east == east[0]).all() and (north[:, 0] == north.T).all():  # axes after all
            return RegularGrid.of(east[0], north[:, 0], dims=longitude.dims[::-1])
        return CurvilinearGrid(longitude.dims, east, north, _half_diagonals_km(east, north))
    if longitude.ndim == latitude.ndim == 1:
        return _on_axes(dataset, positions)
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
class RegularGrid:
    """A grid on two axes: longitude and latitude, or those of a projection.

    ``dims`` are those of x and y; ``unit`` is the units of the CRS in one unit of the axes. There
    is no CRS for longitude and latitude.
    """

    x: GridAxis
    y: GridAxis
    dims: tuple[Hashable, ...] = ("lon", "lat")
    crs: "CRS | None" = None
    unit: float = 1.0

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        x_bounds: np.ndarray | None = None,
        y_bounds: np.ndarray | None = None,
        *,
        dims: tuple[Hashable, ...] = ("lon", "lat"),
        crs: "CRS | None" = None,
        unit: float = 1.0,
    ) -> "RegularGrid":
        """Return the grid of axes x (n,) and y (m,), in any order and convention of longitude.

        Examples
        --------
        >>> grid = RegularGrid.of(np.array([359.5, 0.5]), np.array([50.5, 49.5]))
        >>> grid.x.edges.tolist(), grid.y.position.tolist()
        ([359.0, 360.0, 361.0], [1, 0])
        """
        names = ("longitude", "latitude") if crs is None else ("x axis", "y axis")
        period = 360.0 if crs is None or crs.is_geographic else None  # also of a rotated pole
        x = x if period is None else in_one_run(x.astype(np.float64), period)
        steps = [np.diff(np.sort(axis)).max() for axis in (x, y) if axis.size > 1]
        size = float(steps[0]) if steps else None
        columns = GridAxis.of(names[0], x, x_bounds, period=period, size=size)
        rows = GridAxis.of(names[1], y, y_bounds, size=size)
        return cls(columns, rows, dims, crs, unit)

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
        """Return longitude and latitude as coordinates of the axes."""
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
    """Values at points, such as stations, each valid for places near to it.

    Attributes
    ----------
    dims : tuple of hashable
    longitude, latitude : float64 array on `dims`
        Degrees.
    near_km : float or array
        Largest distance from a point of a place that takes its value.
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
        inside = np.flatnonzero((distance_km <= self._near_km[cell])[:, 0])
        return self._sampling(inside, cell[inside].T, np.ones((1, inside.size)))

    def reach_km(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the largest distance at which a place takes the value of the nearest point."""
        return self._near_km[self._nearest(longitude, latitude, 1)[0][:, 0]]

    @cached_property
    def _near_km(self) -> np.ndarray:
        """The largest distance of a place from each point, by its number."""
        return np.broadcast_to(self.near_km, self.longitude.shape).ravel()

    @cached_property
    def _placed(self) -> tuple[np.ndarray, StationNetwork]:
        """The numbers of the points that have a position, and their network."""
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
                rest = np.flatnonzero(np.isnan(weight[0]))  # not located yet
                corner[:, rest], weight[:, rest] = self._within(
                    longitude[rest], latitude[rest], cell[rest], offset
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
        """Return the corners (4, n) of a quadrilateral at a cell, and the share of each.

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
        (s, inside_s), (t, inside_t) = within_ends(s), within_ends(t)
        share = np.stack([(1 - t) * (1 - s), (1 - t) * s, t * (1 - s), t * s])
        return corners, np.where(exists & inside_s & inside_t, share, np.nan)


def _on_axes(
    dataset: xr.Dataset,
    axes: tuple[xr.DataArray, xr.DataArray],
    crs: "CRS | None" = None,
    unit: float = 1.0,
) -> RegularGrid:
    """Return the grid of two axes, with their bounds."""
    bounds = (find_bounds(dataset, axis) for axis in axes)
    dims = axes[0].dims[0], axes[1].dims[0]
    return RegularGrid.of(axes[0].values, axes[1].values, *bounds, dims=dims, crs=crs, unit=unit)


def projected_places(dataset: xr.Dataset, name: str) -> RegularGrid:
    """Return the grid of a layer that has axes of a projection.

    Raises
    ------
    ForeignError
        If it has no such axes, or no grid mapping says of which projection.
    """
    axes = find_coordinates(dataset, name, ("X", "Y"))
    crs = None if axes is None else find_crs(dataset, dataset[name])
    if axes is None or crs is None or any(axis.ndim != 1 for axis in axes):
        raise ForeignError(
            f"no longitude and latitude on the dimensions {dataset[name].dims} of {name!r}; it has "
            f"{', '.join(map(str, dataset.variables)) or 'none'}. Assign them as coordinates, with "
            "units 'degrees_east' and 'degrees_north', or axes x and y with a grid mapping"
        )
    unit, units = 1.0, str(axes[0].attrs.get("units", ""))
    if units and crs.is_projected:
        try:
            unit = linear_conversion(units, "m", str(axes[0].name))[0]
        except ObservationError as error:
            raise ForeignError(f"the axes of {name!r}: {error}") from error
        unit /= crs.axis_info[0].unit_conversion_factor
    return _on_axes(dataset, axes, crs, unit)


@lru_cache(maxsize=8)
def _transformer(crs: "CRS") -> "Transformer":
    """Return the transformer from longitude and latitude to a CRS."""
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
        steps = great_circle_km(*first, *second)
        before, after = (np.insert(steps, end, np.nan, axis=axis) for end in (0, count - 1))
        sides.append(np.fmax(before, after))
    if not sides:
        raise ForeignError(
            "the grid has a single cell, of which longitude and latitude do not tell the size"
        )
    return np.sqrt(np.square(sides[0]) + np.square(sides[-1])) / 2


def _inverse_bilinear(east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of the origin in quadrilaterals, as shares of the sides, or NaN.

    Newton's method for ``p + q s + r t + k s t = 0``, from the middle.

    Parameters
    ----------
    east, north : (4, n) float64
        The corners at (s, t) = (0, 0), (1, 0), (0, 1) and (1, 1).
    """
    corners = np.stack([east, north], axis=1)  # (corner, coordinate, place)
    p, q, r = corners[0], corners[1] - corners[0], corners[2] - corners[0]
    k = corners[3] - p - q - r
    s = t = np.full(east.shape[1], 0.5)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(_NEWTON_STEPS):
            value, by_s, by_t = p + q * s + r * t + k * s * t, q + k * t, r + k * s
            determinant = by_s[0] * by_t[1] - by_s[1] * by_t[0]
            s = s - (value[0] * by_t[1] - value[1] * by_t[0]) / determinant
            t = t - (by_s[0] * value[1] - by_s[1] * value[0]) / determinant
        rest = np.abs(p + q * s + r * t + k * s * t).max(axis=0)
    solved = rest <= TOLERANCE * np.abs(np.stack([q, r])).max(axis=(0, 1))
    return np.where(solved, s, np.nan), np.where(solved, t, np.nan)
