"""Geometry of targets among the stations: neighbours, weights and phases, whatever the hour."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.fields.blocks import ROWS_TOGETHER
from aqreanalysis.grid import Grid, size_of
from aqreanalysis.methods.kriging.gaps import CANDIDATES
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood, fade
from aqreanalysis.methods.kriging.solver import Weights
from aqreanalysis.methods.neural.batches import Clock, fading_of, neighbourhood_at
from aqreanalysis.methods.neural.neural_knn import NeuralKNN, TargetMatrices
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork, great_circle_km, unit_vectors

#: Targets that go through the network at once: their factors and sums fit in the cache.
TILE = 64
#: Rows and columns of a tile of a grid. Tiles lie at multiples of these, whatever block is asked
#: for, so that the cells of a tile always share the same tangent plane.
TILE_ROWS, TILE_COLUMNS = ROWS_TOGETHER, TILE // ROWS_TOGETHER
#: Tiles of a row of tiles of which the systems are solved at once.
TILES_TOGETHER = 16
#: Largest radius (km) of cells that share one local tangent plane; larger tiles are split.
LARGEST_RADIUS_KM = 150.0
#: Largest rotation of north over that radius, radians; near a pole the directions of cells differ.
LARGEST_ROTATION = 0.06
#: Cells that are solved one by one if so few still have too little in common.
FEWEST_TOGETHER = 16
#: Stations that fade at some of the cells of a tile, in multiples of the neighbours of each, above
#: which the cells have too little in common.
MOST_FADING = 1.4
#: Stations in reach of the cells of a tile, in multiples of the neighbours of each, at most.
MOST_AROUND = 4
#: Least sine of an angle, by which it is divided.
TINY = np.finfo(np.float64).tiny
#: The search for a subset of the stations is worth its time from so many stations on, and up to so
#: many targets.
FEWEST_STATIONS, MOST_TARGETS = 512, 2**17
#: Gives the attributes of places, (n, attribute) float64, at longitudes and latitudes.
AttributesAt = Callable[[np.ndarray, np.ndarray], np.ndarray]
#: Gives the phases of the cycles at step 0, by longitude.
_PHASES = Clock(0.0, 1.0, seasons=True)


class TargetGeometry(NamedTuple):
    """Geometry of n targets, whatever the hour: of any, or of those of some tiles.

    Attributes
    ----------
    stations : (station,) or (tile, station) int64
        Rows of the network: all that are a neighbour of any of the targets, and perhaps others.
    matrices : TargetMatrices
        Over these stations.
    neighbours : (n, station) or (tile, n / tiles, station) bool
        Whether a station is a neighbour of a target.
    phases : (n, CYCLES) float32
        What the longitude adds to the phases of the cycles, as sines and cosines. (n, 0) without
        heads.
    """

    stations: Tensor
    matrices: TargetMatrices
    neighbours: Tensor
    phases: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices."""
        return self.matrices.weight.nbytes + self.neighbours.nbytes

    def of_tile(self, tile: int, rows: Tensor) -> Self:
        """Return the geometry of some targets of one tile, by row of the tile."""
        return type(self)(
            self.stations[tile],
            self.matrices.of_tile(tile, rows),
            self.neighbours[tile, rows],
            self.phases[tile * self.neighbours.shape[1] + rows],
        )


class Geometries(NamedTuple):
    """Makes the geometry of tiles of targets, in a network and with a model.

    Attributes
    ----------
    model : NeuralKNN
    network : StationNetwork
    log_noise : (station,) float64
        Logarithm of the factor of each station's noise.
    heads : bool
        Whether the network is used, or the covariance head alone.
    attributes : (station, attribute) float64
    attributes_at : callable, optional
        Gives those of targets; needless where there are none.
    """

    model: NeuralKNN
    network: StationNetwork
    log_noise: Tensor
    heads: bool
    attributes: Tensor
    attributes_at: AttributesAt | None = None

    def of_points(self, longitude: np.ndarray, latitude: np.ndarray) -> TargetGeometry:
        """Return the geometry of any targets (n,), each solved for itself."""
        nearest = self._nearest(longitude, latitude)
        solved = self._single(nearest, longitude, latitude)
        return self._geometry(solved, longitude, latitude, nearest)

    def of_tiles(self, longitude: np.ndarray, latitude: np.ndarray) -> TargetGeometry:
        """Return the geometry of tiles of a grid (tile, row, column), close cells solved together.

        Tiles that lie beside each other are solved faster than one after the other.
        """
        solved = _Solved.stacked(self._solved(longitude, latitude))
        return self._geometry(solved, longitude.ravel(), latitude.ravel())

    def _nearest(self, longitude: np.ndarray, latitude: np.ndarray) -> "_Nearest":
        """Return the nearest stations of targets (n,)."""
        k = min(self.model.configuration.neighbours, self.network.size)
        near = self.network.neighbours(longitude, latitude, k=k + 1)
        return _Nearest(torch.from_numpy(near.index[:, :k]), *fading_of(near, k))

    def _single(
        self, nearest: "_Nearest", longitude: np.ndarray, latitude: np.ndarray
    ) -> "_Solved":
        """Return the weights of targets, each solved for itself."""
        attributes = self.attributes, self._attributes(longitude, latitude)
        neighbourhood = self._neighbourhood(nearest, longitude, latitude, attributes)
        weight, variance = self.model.weights(neighbourhood)
        stations, position = nearest.row.unique(return_inverse=True)
        dense = weight.new_zeros(weight.shape[2], len(stations), len(position))
        dense.scatter_(1, position.T.expand(len(dense), -1, -1), weight.permute(2, 1, 0))
        neighbours = torch.zeros(dense.shape[1:], dtype=torch.bool).scatter_(0, position.T, True)
        return _Solved(stations, dense, variance, neighbours)

    def _solved(self, longitude: np.ndarray, latitude: np.ndarray) -> list["_Solved"]:
        """Return the weights of tiles (tile, row, column): together, in halves, or one by one."""
        together = self._together(longitude, latitude)
        rest = [tile for tile in range(len(longitude)) if tile not in together]
        if rest:
            halves = self._in_halves(longitude[rest], latitude[rest])
            together |= dict(zip(rest, halves, strict=True))
        return [together[tile] for tile in range(len(longitude))]

    def _in_halves(self, longitude: np.ndarray, latitude: np.ndarray) -> list["_Solved"]:
        """Return the weights of tiles of which the cells have too little in common."""
        count, *shape = longitude.shape
        if math.prod(shape) <= FEWEST_TOGETHER:
            cells = zip(*(each.reshape(count, -1) for each in (longitude, latitude)), strict=True)
            return [self._single(self._nearest(*each), *each) for each in cells]
        numbers = np.arange(math.prod(shape)).reshape(shape)
        axis = int(np.argmax(shape))
        order = [torch.from_numpy(half.ravel()) for half in np.array_split(numbers, 2, axis)]
        halves = (np.array_split(each, 2, axis + 1) for each in (longitude, latitude))
        parts = [self._solved(*half) for half in zip(*halves, strict=True)]
        return [_Solved.joined(tile, order) for tile in zip(*parts, strict=True)]

    def _together(self, longitude: np.ndarray, latitude: np.ndarray) -> dict[int, "_Solved"]:
        """Return the weights of tiles, by number, each in the tangent plane of its middle cell.

        Left out are those of which the cells lie too far apart for one plane, share too few
        stations, or are not solved.
        """
        _, rows, columns = longitude.shape
        middle = rows // 2 * columns + columns // 2
        lon, lat = (each.reshape(len(each), -1) for each in (longitude, latitude))
        planar = np.flatnonzero(_planar(lon, lat, middle))
        if not planar.size:
            return {}
        around = self._around(lon[planar], lat[planar])
        fitting = planar[around.fitting(self.model.configuration.neighbours)]
        if not fitting.size:
            return {}
        lon, lat = lon[fitting], lat[fitting]
        station, fading, shared = around.ordered(np.isin(planar, fitting))
        places = self._places(lon, lat, station, middle)
        weights = self.model.shared_weights(fading, *places, self.log_noise[station], shared)
        if weights is None:
            return {}
        parts = station, weights.weight, weights.variance, torch.isfinite(fading)
        return {
            int(fitting[tile]): _Solved(*(part[tile] for part in parts))
            for tile in np.flatnonzero(weights.solved)
        }

    def _places(
        self, longitude: np.ndarray, latitude: np.ndarray, station: Tensor, middle: int
    ) -> tuple[Tensor, Tensor]:
        """Return places and attributes of the targets (tile, n) and stations (tile, m) of tiles."""
        origin = longitude[:, middle], latitude[:, middle]
        row, network = station.numpy(), self.network
        attributes = self._attributes(longitude.ravel(), latitude.ravel())
        targets = _plane(origin, longitude, latitude), attributes.unflatten(0, longitude.shape)
        stations = _plane(origin, network.longitude[row], network.latitude[row])
        return torch.cat(targets, 2), torch.cat([stations, self.attributes[station]], 2)

    def _around(self, longitude: np.ndarray, latitude: np.ndarray) -> "_Around":
        """Return the stations around the targets of tiles, (tile, n)."""
        k = self.model.configuration.neighbours
        rows, distance_km = self.network.surroundings(
            longitude, latitude, k=k + 1, most=MOST_AROUND * (k + 1)
        )
        radius_km = np.full(distance_km.shape[:2], np.inf)
        if k < self.network.size:
            radius_km = np.partition(distance_km, k, axis=2)[..., k]
        fading = fade(torch.from_numpy(distance_km), torch.from_numpy(radius_km)).numpy()
        fading[(distance_km > radius_km[..., None]) | np.isinf(distance_km)] = np.inf
        return _Around(rows, fading, fading.max(1) == 0, np.isfinite(fading.min(1)))

    def _neighbourhood(
        self,
        nearest: "_Nearest",
        longitude: np.ndarray,
        latitude: np.ndarray,
        attributes: tuple[Tensor, Tensor] | None = None,
    ) -> Neighbourhood:
        """Return the neighbourhoods of targets, by rows of the network.

        The heads do without the attributes of stations and targets.
        """
        return neighbourhood_at(
            self.network,
            longitude,
            latitude,
            nearest.row,
            nearest.distance_km,
            nearest.fading,
            self.log_noise,
            attributes,
        )

    def _attributes(self, longitude: np.ndarray, latitude: np.ndarray) -> Tensor:
        """Return the attributes of targets, (n, attribute) float64."""
        if self.attributes_at is None:
            return self.attributes.new_zeros(longitude.size, 0)
        return torch.from_numpy(self.attributes_at(longitude, latitude))

    def _geometry(
        self,
        solved: "_Solved",
        longitude: np.ndarray,
        latitude: np.ndarray,
        nearest: "_Nearest | None" = None,
    ) -> TargetGeometry:
        """Return the geometry of targets (n,) from their weights."""
        neighbourhood, phases = None, torch.empty(longitude.size, 0)
        stations = solved.stations
        if self.heads:
            nearest = nearest or self._nearest(longitude, latitude)
            tiles = math.prod(stations.shape[:-1])
            position = torch.zeros(tiles, self.network.size, dtype=torch.int64)
            position.scatter_(
                1, stations.reshape(tiles, -1), torch.arange(stations.shape[-1]).expand(tiles, -1)
            )
            index = position.gather(1, nearest.row.reshape(tiles, -1)).reshape(nearest.row.shape)
            by_network = self._neighbourhood(nearest, longitude, latitude)
            neighbourhood = replace(by_network, index=index)
            phases = _PHASES.cycles(longitude, 0, 1)[:, 0]
        dense = Weights(solved.weight.transpose(-3, -1), solved.variance)
        matrices = self.model.dense_matrices(dense, neighbourhood)
        return TargetGeometry(stations, matrices, solved.neighbours.mT, phases)


class _Nearest(NamedTuple):
    """The k nearest stations of n targets, (n, k) each; all have as many."""

    row: Tensor  # of the network
    distance_km: Tensor
    fading: Tensor


class _Solved(NamedTuple):
    """The weights of n targets, or of as many of each tile.

    Attributes
    ----------
    stations : (..., m) int64
        Rows of the network: all that are a neighbour of any target, and perhaps others.
    weight : (..., band, m, n) float64
    variance : (..., n) float64
    neighbours : (..., m, n) bool
        Whether a station is a neighbour of a target.
    """

    stations: Tensor
    weight: Tensor
    variance: Tensor
    neighbours: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Self], targets: Sequence[Tensor]) -> Self:
        """Return the weights of parts together, of which the targets have these numbers."""
        order = torch.argsort(torch.cat(list(targets)))
        stations = torch.cat([part.stations for part in parts]).unique()

        def over_all(values: Tensor, of: Tensor) -> Tensor:
            dense = values.new_zeros(*values.shape[:-2], len(stations), values.shape[-1])
            return dense.index_copy_(values.dim() - 2, torch.searchsorted(stations, of), values)

        weight = torch.cat([over_all(part.weight, part.stations) for part in parts], 2)
        neighbours = torch.cat([over_all(part.neighbours, part.stations) for part in parts], 1)
        variance = torch.cat([part.variance for part in parts])
        return cls(stations, weight[..., order], variance[order], neighbours[:, order])

    @classmethod
    def stacked(cls, tiles: Sequence[Self]) -> Self:
        """Return the weights of tiles over as many stations each."""
        most = max(len(tile.stations) for tile in tiles)
        pads = [most - len(tile.stations) for tile in tiles]

        def padded(values: Tensor, pad: int) -> Tensor:
            return torch.nn.functional.pad(values, (0, 0, 0, pad)) if pad else values

        return cls(
            torch.stack(
                [padded(t.stations[:, None], n)[:, 0] for t, n in zip(tiles, pads, strict=True)]
            ),
            torch.stack([padded(t.weight, n) for t, n in zip(tiles, pads, strict=True)]),
            torch.stack([tile.variance for tile in tiles]),
            torch.stack([padded(t.neighbours, n) for t, n in zip(tiles, pads, strict=True)]),
        )


class _Around(NamedTuple):
    """The stations around the n targets of some tiles.

    Attributes
    ----------
    rows : (tile, c) int64
        Of the network.
    fading : (tile, n, c) float64
        Of `Neighbourhood`; inf where a station is no neighbour.
    shared, used : (tile, c) bool
        Whether a station fades at none of the targets, and whether it is a neighbour of any.
    """

    rows: np.ndarray
    fading: np.ndarray
    shared: np.ndarray
    used: np.ndarray

    def fitting(self, neighbours: int) -> np.ndarray:
        """Return in which tiles the targets have much in common, (tile,) bool."""
        shared, used = self.shared.sum(1), self.used.sum(1)
        return (shared > 0) & (used - shared <= MOST_FADING * neighbours)

    def ordered(self, tiles: np.ndarray) -> tuple[Tensor, Tensor, int]:
        """Return rows (tile, m), and fading (tile, m, n) float32, of stations in use.

        The first ones, of which the number is the third result, are shared in every tile.
        """
        shared, used = self.shared[tiles], self.used[tiles]
        order = np.argsort(2 - shared.astype(np.int8) - used, axis=1, kind="stable")
        order = order[:, : used.sum(1).max()]
        fading = torch.from_numpy(self.fading[tiles]).float()
        column = torch.from_numpy(order)[:, :, None].expand(-1, -1, fading.shape[1])
        rows = torch.from_numpy(np.take_along_axis(self.rows[tiles], order, 1))
        return rows, fading.mT.gather(1, column), int(shared.sum(1).min())


def _planar(longitude: np.ndarray, latitude: np.ndarray, middle: int) -> np.ndarray:
    """Return of which tiles (tile, n) the cells share the tangent plane of the middle one."""
    lon, lat = (each[:, middle, None] for each in (longitude, latitude))
    radius_km = great_circle_km(lon, lat, longitude, latitude).max(axis=1)
    rotation = radius_km / EARTH_RADIUS_KM * np.abs(np.tan(np.radians(lat[:, 0])))
    return (radius_km <= LARGEST_RADIUS_KM) & (rotation <= LARGEST_ROTATION)


def _plane(
    origin: tuple[np.ndarray, np.ndarray], longitude: np.ndarray, latitude: np.ndarray
) -> Tensor:
    """Return places (tile, n) in the plane around each tile's origin, (tile, n, 2) km.

    To the east and north; distance and direction from the origin are those on the sphere.
    """
    lon, lat = (np.radians(each) for each in origin)
    east = [-np.sin(lon), np.cos(lon), np.zeros_like(lon)]
    north = [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)]
    axes = np.stack([east, north, unit_vectors(*origin).T])
    place = unit_vectors(longitude, latitude) @ axes.transpose(2, 1, 0)  # (tile, n, 3)
    across = np.hypot(place[..., 0], place[..., 1])
    angle = np.arctan2(across, place[..., 2])
    scale = EARTH_RADIUS_KM * angle / np.maximum(across, TINY)
    return torch.from_numpy(place[..., :2] * scale[..., None])


def stations_of_a_tile(at: Grid | xr.Dataset, network: StationNetwork, k: int) -> int:
    """Return how many stations are a neighbour of any target of a typical tile.

    Of a grid this is the tile in the middle; of single targets it is the first one.
    """
    longitude, latitude = _positions(at)
    if isinstance(at, Grid):
        sides = zip(at.shape, (TILE_ROWS, TILE_COLUMNS), strict=True)
        tile = tuple(slice(size // 2, size // 2 + length) for size, length in sides)
    else:
        tile = (slice(TILE),)
    near = network.neighbours(
        longitude[tile].ravel(), latitude[tile].ravel(), k=min(k, network.size)
    )
    return np.unique(near.index).size


def station_subset(network: StationNetwork, at: Grid | xr.Dataset, k: int) -> np.ndarray:
    """Return the rows of the stations on which values at the targets depend, ascending.

    They are the k nearest of each target and the first left out, where the outermost fade; the k
    nearest others of each of these, whose mean is an input of its encoding; and those from which
    the gaps of all of them are filled. The others are neither completed nor encoded.

    Parameters
    ----------
    network : StationNetwork
    at : Grid or Dataset
    k : int
        Neighbours of the model.

    Examples
    --------
    Of a thousand stations along the equator, a cell depends on those within a few degrees:

    >>> line = StationNetwork(np.linspace(0, 100, 1000), np.zeros(1000))
    >>> rows = station_subset(line, Grid((50, 51, 0, 1), 1.0), k=4)
    >>> rows.size < 60, bool(np.isin(np.arange(495, 515), rows).all())
    (True, True)
    """
    if network.size < FEWEST_STATIONS or size_of(at) > MOST_TARGETS:
        return np.arange(network.size)
    longitude, latitude = (positions.ravel() for positions in _positions(at))
    subset = np.unique(network.neighbours(longitude, latitude, k=min(k + 1, network.size)).index)
    others = network.nearest_others(k=max(k, CANDIDATES)).index
    subset = np.union1d(subset, others[subset, :k])
    subset = np.union1d(subset, others[subset, :CANDIDATES])
    return subset if subset.size < network.size / 2 else np.arange(network.size)


def _positions(at: Grid | xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of targets."""
    if isinstance(at, Grid):
        return at.longitude_latitude()
    network = StationNetwork.from_dataset(at)
    return network.longitude, network.latitude
