"""Station positions: great-circle distances, nearest neighbours by a KD-tree, and folds."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import xarray as xr

#: Mean radius of the Earth (IUGG), km.
EARTH_RADIUS_KM = 6371.0088

#: Monitors within this distance, km, are at one place, as are a station and the point of a file
#: that is assigned to it. Verification hides them together.
SAME_PLACE_KM = 0.5
#: Farthest from a station that a network supports an estimate, km, however sparse it is: the
#: largest scale for which the US EPA places monitors is the regional one, of tens to hundreds of km
#: (40 CFR Part 58, Appendix D, 1.2).
FARTHEST_SUPPORT_KM = 500.0
#: Chords of the unit sphere that differ by less, 6 micrometres, are equal.
SAME_CHORD = 1e-12
#: Surveyed positions of one monitor differ by less than this, km; if by more, it was moved.
MOVED_KM = 0.1


def great_circle_km(
    longitude_a: np.ndarray | float,
    latitude_a: np.ndarray | float,
    longitude_b: np.ndarray | float,
    latitude_b: np.ndarray | float,
) -> np.ndarray:
    """Return the great-circle distance in km between points in degrees; arguments broadcast.

    Assumes a sphere of the mean radius; the haversine form keeps precision for close points.

    Examples
    --------
    A degree along the equator, also across the date line:

    >>> float(great_circle_km(179.5, 0, -179.5, 0).round(2))
    111.2
    """
    lon_a, lat_a, lon_b, lat_b = map(np.radians, (longitude_a, latitude_a, longitude_b, latitude_b))
    square = (
        np.sin((lat_b - lat_a) / 2) ** 2
        + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(square, 0, 1)))


def _along_sphere_km(chord: np.ndarray) -> np.ndarray:
    """Return great-circle distances of places that are so far apart through the unit sphere."""
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1))


def bearing_deg(
    longitude_a: np.ndarray | float,
    latitude_a: np.ndarray | float,
    longitude_b: np.ndarray | float,
    latitude_b: np.ndarray | float,
) -> np.ndarray:
    """Return the initial bearing from a to b, degrees clockwise from north in [0, 360).

    Examples
    --------
    >>> float(bearing_deg(10, 0, 11, 0))
    90.0
    """
    lon_a, lat_a, lon_b, lat_b = map(np.radians, (longitude_a, latitude_a, longitude_b, latitude_b))
    east = np.sin(lon_b - lon_a) * np.cos(lat_b)
    north = np.cos(lat_a) * np.sin(lat_b) - np.sin(lat_a) * np.cos(lat_b) * np.cos(lon_b - lon_a)
    # Twice: the remainder of a tiny negative angle rounds to 360 itself.
    return np.degrees(np.arctan2(east, north)) % 360 % 360


@dataclass(frozen=True)
class Neighbours:
    """The k nearest stations of n targets, nearest first.

    Attributes
    ----------
    index : (n, k) int64
        Row of the station in its network; -1 where the network has no further station.
    distance_km : (n, k) float64
        Great-circle distance; inf where ``index`` is -1.
    """

    index: np.ndarray
    distance_km: np.ndarray


class StationNetwork:
    """Stations on the sphere, with their neighbours.

    Parameters
    ----------
    longitude, latitude : (n,) array_like
        Degrees. Any longitude convention; 181 and -179 are the same place.
    identifiers : (n,) sequence of str, optional
        Names of the stations; their numbers by default.

    Raises
    ------
    ValueError
        If there is no station, or a position is missing or off the sphere; it is named.

    Examples
    --------
    >>> network = StationNetwork([179.0, -179.0, 0.0], [0.0, 0.0, 0.0])
    >>> network.neighbours([180.0], [0.0], k=2).distance_km.round(1).tolist()
    [[111.2, 111.2]]
    """

    def __init__(
        self,
        longitude: np.ndarray,
        latitude: np.ndarray,
        *,
        identifiers: np.ndarray | None = None,
    ) -> None:
        # At the top of the file, scipy would add two thirds to the time that an import takes.
        from scipy.spatial import cKDTree

        self.longitude = np.atleast_1d(np.asarray(longitude, dtype=np.float64))
        self.latitude = np.atleast_1d(np.asarray(latitude, dtype=np.float64))
        names = np.arange(self.longitude.size) if identifiers is None else identifiers
        self.identifiers = np.atleast_1d(np.asarray(names)).astype(str)
        self._check()
        self._tree = cKDTree(unit_vectors(self.longitude, self.latitude))

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Self:
        """Return the network of a Dataset with longitude and latitude on ``station``."""
        missing = [name for name in ("longitude", "latitude") if name not in dataset.variables]
        if missing or "station" not in dataset.dims:
            raise ValueError(
                "a network needs the dimension 'station' with longitude and latitude on it; "
                f"found dimensions {tuple(dataset.sizes)}, and no {' and no '.join(missing)}"
                if missing
                else f"a network needs the dimension 'station'; found {tuple(dataset.sizes)}"
            )
        identifiers = dataset["station"].values if "station" in dataset.coords else None
        return cls(dataset["longitude"].values, dataset["latitude"].values, identifiers=identifiers)

    def part(self, rows: np.ndarray | slice) -> Self:
        """Return the network of some of the stations, by row or mask.

        Examples
        --------
        >>> line = StationNetwork([0.0, 1.0, 2.0], [0.0, 0.0, 0.0], identifiers=["a", "b", "c"])
        >>> line.part(np.array([2, 0])).identifiers.tolist()
        ['c', 'a']
        """
        identifiers = self.identifiers[rows]
        return type(self)(self.longitude[rows], self.latitude[rows], identifiers=identifiers)

    def __repr__(self) -> str:
        west, east, south, north = self.extent()
        return (
            f"<StationNetwork: {self.size} stations, {west:.2f} to {east:.2f} E, "
            f"{south:.2f} to {north:.2f} N, median spacing {self.spacing_km:.3g} km>"
        )

    def __dask_tokenize__(self) -> Any:
        """Identify the network by its values, the same in every process."""
        from dask.base import normalize_token

        return normalize_token((self.longitude, self.latitude, self.identifiers))

    @property
    def size(self) -> int:
        """The number of stations."""
        return self.longitude.size

    @property
    def spacing_km(self) -> float:
        """Median distance from a station to the nearest other place, in km; NaN for one place."""
        return float(np.median(self._spacings_km))

    @property
    def reach_km(self) -> float:
        """Distance from a station within which hidden stations can judge an estimate, in km.

        The 95th percentile of the distance from a station to the nearest other place: farther
        out, no hidden station can test a method. NaN for one place.
        """
        return float(np.percentile(self._spacings_km, 95))

    @property
    def support_km(self) -> float:
        """Distance from a station up to which an estimate counts as supported, in km.

        It is `reach_km`, and `FARTHEST_SUPPORT_KM` at most.

        Examples
        --------
        >>> sparse = StationNetwork([0.0, 90.0, 180.0], [0.0, 0.0, 0.0])
        >>> round(sparse.reach_km), sparse.support_km
        (10008, 500.0)
        """
        return float(np.fmin(self.reach_km, FARTHEST_SUPPORT_KM))

    @cached_property
    def _spacings_km(self) -> np.ndarray:
        """Distance from each place to the nearest other one; co-located stations are one place."""
        first = np.unique(self.colocated_groups(), return_index=True)[1]
        if first.size < 2:
            return np.array([np.nan])
        places = StationNetwork(self.longitude[first], self.latitude[first])
        return places.station_neighbours(k=1).distance_km[:, 0]

    def neighbours(
        self,
        longitude: np.ndarray,
        latitude: np.ndarray,
        *,
        k: int,
        exclude: np.ndarray | None = None,
    ) -> Neighbours:
        """Return the k nearest stations of each target.

        Parameters
        ----------
        longitude, latitude : (n,) array_like
            Targets, degrees.
        k : int
            Number of neighbours; columns past the size of the network are -1.
        exclude : (n,) int array, optional
            A station that must not appear among the neighbours of each target; -1 for none.

        Returns
        -------
        Neighbours
            Distances ascend; stations at equal distance come in the order of their rows.
        """
        target = unit_vectors(np.atleast_1d(longitude), np.atleast_1d(latitude))
        chord, index = self._nearest(target, k + (exclude is not None))
        if exclude is not None:  # its column moves to the end
            chord = np.where(index == np.asarray(exclude)[:, None], np.inf, chord)
            order = np.argsort(np.isinf(chord), axis=1, kind="stable")
            chord, index = (np.take_along_axis(each, order, axis=1) for each in (chord, index))
        chord, index = chord[:, :k], index[:, :k]
        distance = _along_sphere_km(chord)
        distance[np.isinf(chord)] = np.inf
        index[np.isinf(chord)] = -1
        padding = ((0, 0), (0, k - index.shape[1]))
        return Neighbours(
            np.pad(index, padding, constant_values=-1),
            np.pad(distance, padding, constant_values=np.inf),
        )

    def _nearest(self, target: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return chords and rows of the stations nearest to unit vectors, (n, count) at most.

        The tree returns equally distant stations in an arbitrary order that depends on the count;
        they are sorted by row.
        """
        asked = min(count + 1, self.size)  # one more shows whether the last one is tied
        chord, index = self._tree.query(target, k=np.arange(1, asked + 1))
        equal = np.diff(chord, axis=1) <= SAME_CHORD
        tied = equal.any(axis=1)  # rare, except for co-located stations
        order = np.lexsort((index[tied], np.round(chord[tied] / SAME_CHORD)), axis=-1)
        chord[tied] = np.take_along_axis(chord[tied], order, axis=-1)
        index[tied] = np.take_along_axis(index[tied], order, axis=-1)
        cut = np.flatnonzero(equal[:, -1]) if asked < self.size else np.empty(0, np.intp)
        if cut.size:  # stations of the same distance and of earlier rows may follow
            farther = self._nearest(target[cut], 2 * count)
            chord[cut], index[cut] = (each[:, :asked] for each in farther)
        return chord[:, :count], index[:, :count]

    def surroundings(
        self, longitude: np.ndarray, latitude: np.ndarray, *, k: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the stations among which are the k nearest of all targets of each tile.

        Where targets lie close, comparing all of these takes a fraction of `neighbours`, which
        searches for each target.

        Parameters
        ----------
        longitude, latitude : (tile, n) float64
            Targets that lie close in each tile, degrees.
        k : int
        most : int
            Tiles that would need more have none.

        Returns
        -------
        rows : (tile, c) int64
            Ascending; 0 where a tile has fewer. They are k at least, or the size of the network.
        distance_km : (tile, n, c) float64
            Great-circle distance of each target; inf where a tile has fewer stations.

        Examples
        --------
        >>> line = StationNetwork(np.arange(9.0), np.zeros(9))
        >>> tile = np.array([[3.1, 3.4]]), np.zeros((1, 2))
        >>> rows, distance_km = line.surroundings(*tile, k=2, most=4)
        >>> rows.tolist(), distance_km.round(0).tolist()
        ([[3, 4]], [[[11.0, 100.0], [44.0, 67.0]]])
        """
        target = unit_vectors(longitude, latitude)
        middle = target.mean(axis=1)
        apart = np.sqrt(((target - middle[:, None]) ** 2).sum(axis=2).max(axis=1))
        chord, _ = self._tree.query(middle, k=[min(k, self.size)])
        # As far as the last one wanted is from the middle, it may be from a target, and beyond it.
        reach = chord[:, 0] + 2 * apart + SAME_CHORD
        near = self._tree.query_ball_point(middle, reach, return_sorted=True)
        count = np.array([len(rows) if len(rows) <= most else 0 for rows in near])
        rows = np.zeros((len(near), max(count.max(), min(k, self.size))), np.int64)
        some = np.arange(rows.shape[1]) < count[:, None]
        rows[some] = np.concatenate([of[:number] for of, number in zip(near, count, strict=True)])
        station = self._tree.data[rows]
        square = sum((target[:, :, None, i] - station[:, None, :, i]) ** 2 for i in range(3))
        return rows, np.where(some[:, None], _along_sphere_km(np.sqrt(square)), np.inf)

    def station_neighbours(self, *, k: int) -> Neighbours:
        """Return the k nearest other stations of each station."""
        return self.neighbours(self.longitude, self.latitude, k=k, exclude=np.arange(self.size))

    def nearest_others(self, *, k: int) -> Neighbours:
        """Return the k nearest other stations of each station, or as many as there are."""
        return self.station_neighbours(k=min(k, self.size - 1))

    def nearest_to(self, row: int, *, count: int) -> np.ndarray:
        """Return the rows of the stations nearest to a station, including that station."""
        distance_km = self.distance_km(np.array(row), np.arange(self.size))
        return np.argsort(distance_km, kind="stable")[:count]

    def distance_km(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return great-circle distances in km between stations by row; indices broadcast.

        Examples
        --------
        >>> line = StationNetwork([0.0, 1.0, 2.0], [0.0, 0.0, 0.0])
        >>> line.distance_km(np.array([[0], [1]]), np.array([1, 2])).round(1).tolist()
        [[111.2, 222.4], [0.0, 111.2]]
        """
        lon, lat = self.longitude, self.latitude
        return great_circle_km(lon[rows], lat[rows], lon[columns], lat[columns])

    def distance_matrix_km(self) -> np.ndarray:
        """Return great-circle distances between all stations, (n, n) km, zero on the diagonal."""
        rows = np.arange(self.size)
        return self.distance_km(rows[:, None], rows)

    def extent(self) -> tuple[float, float, float, float]:
        """Return west, east, south, north in degrees, over the shorter way around the globe.

        East exceeds 180 where the stations lie on both sides of the date line.
        """
        ordered = np.sort((self.longitude + 180) % 360 - 180)
        gaps = np.diff(ordered, append=ordered[0] + 360)
        widest = int(np.argmax(gaps))
        west = float(ordered[(widest + 1) % ordered.size])
        east = float(ordered[widest])
        east += 360 if east < west else 0
        return west, east, float(self.latitude.min()), float(self.latitude.max())

    def colocated_groups(self, within_km: float = SAME_PLACE_KM) -> np.ndarray:
        """Return a group number for each station; chains of close stations share one."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        chord = 2 * np.sin(within_km / (2 * EARTH_RADIUS_KM))
        pairs = self._tree.query_pairs(chord, output_type="ndarray")
        shape = (self.size, self.size)
        graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
        return connected_components(graph, directed=False)[1]

    def folds(self, count: int, *, seed: int, within_km: float = SAME_PLACE_KM) -> np.ndarray:
        """Return a random fold number for each station; co-located stations share a fold.

        Raises
        ------
        ValueError
            If there are fewer separate places than folds.
        """
        groups = self.colocated_groups(within_km)
        places = groups.max() + 1
        if places < count:
            raise ValueError(
                f"{count} folds need at least {count} separate stations; found {places}. "
                f"Ask for at most {places} folds."
            )
        fold_of_place = np.random.default_rng(seed).permutation(places) % count
        return fold_of_place[groups]

    def _check(self) -> None:
        """Refuse positions that are missing or off the sphere, all at once."""
        if self.longitude.size == 0:
            raise ValueError("a network needs at least one station; found none")
        if not self.longitude.size == self.latitude.size == self.identifiers.size:
            raise ValueError(
                f"found {self.longitude.size} longitudes, {self.latitude.size} latitudes and "
                f"{self.identifiers.size} identifiers; each station needs one of each"
            )
        bad = ~np.isfinite(self.longitude) | ~(np.abs(self.latitude) <= 90)
        if bad.any():
            named = "; ".join(
                f"station {name}: longitude {lon:g}, latitude {lat:g}"
                for name, lon, lat in zip(
                    self.identifiers[bad], self.longitude[bad], self.latitude[bad], strict=True
                )
            )
            raise ValueError(
                f"positions must be finite, latitudes within -90..90; found {named}. "
                "Correct or drop these stations."
            )


def unit_vectors(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return points on the unit sphere, (n, 3), of positions in degrees."""
    lon, lat = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
