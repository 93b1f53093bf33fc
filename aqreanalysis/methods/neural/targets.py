"""Geometry of targets among the stations: neighbours, weights and phases, whatever the hour."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.fields.blocks import ROWS_TOGETHER
from aqreanalysis.grid import Grid, size_of
from aqreanalysis.methods.kriging.gaps import CANDIDATES
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood
from aqreanalysis.methods.kriging.shared_factor import ABSENT
from aqreanalysis.methods.kriging.solver import Weights
from aqreanalysis.methods.neural.batches import Clock, fading_of, neighbourhood_at
from aqreanalysis.methods.neural.neural_knn import NeuralKNN, TargetMatrices
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork, bearing_deg, great_circle_km

#: Targets that go through the network at once: their factors and sums fit in the cache.
TILE = 128
#: Rows and columns of a tile of a grid. Tiles lie at multiples of these, whatever block is asked
#: for, so that the cells of a tile always share the same tangent plane.
TILE_ROWS, TILE_COLUMNS = ROWS_TOGETHER, TILE // ROWS_TOGETHER
#: Largest radius (km) of cells that share one local tangent plane; larger tiles are split.
LARGEST_RADIUS_KM = 150.0
#: Largest rotation of north over that radius, radians; near a pole the directions of cells differ.
LARGEST_ROTATION = 0.06
#: Cells that are solved one by one if so few still have too little in common.
FEWEST_TOGETHER = 16
#: The search for a subset of the stations is worth its time from so many stations on, and up to so
#: many targets.
FEWEST_STATIONS, MOST_TARGETS = 512, 2**17
#: Gives the attributes of places, (n, attribute) float64, at longitudes and latitudes.
AttributesAt = Callable[[np.ndarray, np.ndarray], np.ndarray]
#: Gives the phases of the cycles at step 0, by longitude.
_PHASES = Clock(0.0, 1.0, seasons=True)


class TargetGeometry(NamedTuple):
    """Geometry of one tile of n targets, whatever the hour.

    Attributes
    ----------
    stations : (station,) int64
        Rows of the network: all that are a neighbour of any of the targets.
    matrices : TargetMatrices
        Over these stations.
    neighbours : (n, station) float32
        1 at the neighbours of each target, 0 elsewhere.
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

    def of_targets(self, rows: Tensor) -> Self:
        """Return the geometry of some of the targets, by row."""
        matrices = self.matrices.of_targets(rows)
        return type(self)(self.stations, matrices, self.neighbours[rows], self.phases[rows])


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
        dense = self._single_weights(nearest, longitude, latitude)
        return self._geometry(nearest, longitude, latitude, dense)

    def of_cells(self, longitude: np.ndarray, latitude: np.ndarray) -> TargetGeometry:
        """Return the geometry of the cells (row, column) of a tile, close ones solved together."""
        cells = longitude.ravel(), latitude.ravel()
        nearest = self._nearest(*cells)
        return self._geometry(nearest, *cells, self._cell_weights(nearest, longitude, latitude))

    def _nearest(self, longitude: np.ndarray, latitude: np.ndarray) -> "_Nearest":
        """Return the nearest stations of targets (n,)."""
        k = min(self.model.configuration.neighbours, self.network.size)
        near = self.network.neighbours(longitude, latitude, k=k + 1)
        index = near.index[:, :k]
        used = np.zeros(self.network.size, bool)
        used[index] = True
        position = (np.cumsum(used) - 1)[index]
        distance_km, fading = fading_of(near, k)
        return _Nearest(
            torch.from_numpy(np.flatnonzero(used)), torch.from_numpy(position), distance_km, fading
        )

    def _single_weights(
        self, nearest: "_Nearest", longitude: np.ndarray, latitude: np.ndarray
    ) -> Weights:
        """Return the weights (n, station, band) of targets, each solved for itself."""
        weights = self.model.weights(self._neighbourhood(nearest, longitude, latitude))
        return Weights(nearest.scatter(weights.weight), weights.variance)

    def _cell_weights(
        self, nearest: "_Nearest", longitude: np.ndarray, latitude: np.ndarray
    ) -> Weights:
        """Return the weights (n, station, band) of cells: together, in halves, or one by one."""
        together = self._shared_weights(nearest, longitude, latitude)
        if together is not None:
            return together
        if longitude.size <= FEWEST_TOGETHER:
            return self._single_weights(nearest, longitude.ravel(), latitude.ravel())
        cells = np.arange(longitude.size).reshape(longitude.shape)
        halves = np.array_split(cells, 2, axis=int(np.argmax(cells.shape)))
        parts = [
            self._cell_weights(
                nearest.of_targets(torch.from_numpy(half.ravel())),
                longitude.ravel()[half],
                latitude.ravel()[half],
            )
            for half in halves
        ]
        order = np.argsort(np.concatenate([half.ravel() for half in halves]))
        return Weights(*(torch.cat(each)[order] for each in zip(*parts, strict=True)))

    def _shared_weights(
        self, nearest: "_Nearest", longitude: np.ndarray, latitude: np.ndarray
    ) -> Weights | None:
        """Return the weights (n, station, band) of cells in the tangent plane of the middle one.

        None if the cells lie too far apart for one plane, or share too few stations.
        """
        middle = tuple(size // 2 for size in longitude.shape)
        origin = float(longitude[middle]), float(latitude[middle])
        fading = nearest.scatter(nearest.fading, ABSENT)
        column = torch.nonzero((fading < ABSENT).any(0))[:, 0]  # all, but in parts of a tile
        row = nearest.stations[column]
        places = [
            np.concatenate([cells.ravel(), stations[row.numpy()]])
            for cells, stations in (
                (longitude, self.network.longitude),
                (latitude, self.network.latitude),
            )
        ]
        polar = _polar(origin, *places)
        radius_km = float(polar[: longitude.size, 0].max())
        rotation = radius_km / EARTH_RADIUS_KM * abs(np.tan(np.radians(origin[1])))
        if radius_km > LARGEST_RADIUS_KM or rotation > LARGEST_ROTATION:
            return None
        if self.attributes.shape[1]:
            at_cells = self._attributes(longitude.ravel(), latitude.ravel())
            polar = torch.cat([polar, torch.cat([at_cells, self.attributes[row]])], 1)
        targets, stations = polar.split([longitude.size, len(row)])
        weights = self.model.shared_weights(
            fading[:, column], targets, stations, self.log_noise[row]
        )
        if weights is None or len(column) == len(nearest.stations):
            return weights
        weight = weights.weight.new_zeros(*fading.shape, weights.weight.shape[2])
        weight[:, column] = weights.weight
        return Weights(weight, weights.variance)

    def _neighbourhood(
        self, nearest: "_Nearest", longitude: np.ndarray, latitude: np.ndarray
    ) -> Neighbourhood:
        """Return the neighbourhoods of targets, by rows of the network."""
        return neighbourhood_at(
            self.network,
            longitude,
            latitude,
            nearest.stations[nearest.position],
            nearest.distance_km,
            nearest.fading,
            self.log_noise,
            (self.attributes, self._attributes(longitude, latitude)),
        )

    def _attributes(self, longitude: np.ndarray, latitude: np.ndarray) -> Tensor:
        """Return the attributes of targets, (n, attribute) float64."""
        if self.attributes_at is None:
            return self.attributes.new_zeros(longitude.size, 0)
        return torch.from_numpy(self.attributes_at(longitude, latitude))

    def _geometry(
        self, nearest: "_Nearest", longitude: np.ndarray, latitude: np.ndarray, dense: Weights
    ) -> TargetGeometry:
        """Return the geometry of targets (n,) with weights (n, station, band)."""
        neighbourhood, phases = None, torch.empty(longitude.size, 0)
        if self.heads:
            by_network = self._neighbourhood(nearest, longitude, latitude)
            neighbourhood = replace(by_network, index=nearest.position)
            phases = _PHASES.cycles(longitude, 0, 1)[:, 0]
        matrices = self.model.dense_matrices(dense, neighbourhood)
        neighbours = nearest.scatter(torch.ones(nearest.position.shape))
        return TargetGeometry(nearest.stations, matrices, neighbours, phases)


class _Nearest(NamedTuple):
    """The k nearest stations of n targets; all have as many.

    Attributes
    ----------
    stations : (m,) int64
        Rows of the network that are a neighbour of any target, ascending.
    position : (n, k) int64
        Neighbours, by their position in ``stations``.
    distance_km, fading : (n, k) float64
        Of `Neighbourhood`.
    """

    stations: Tensor
    position: Tensor
    distance_km: Tensor
    fading: Tensor

    def of_targets(self, rows: Tensor) -> Self:
        """Return the nearest of some targets, among the same stations."""
        return type(self)(self.stations, *(each[rows] for each in self[1:]))

    def scatter(self, values: Tensor, absent: float = 0.0) -> Tensor:
        """Return (n, m, ...) of values (n, k, ...) at the neighbours."""
        dense = values.new_full((len(values), len(self.stations), *values.shape[2:]), absent)
        index = self.position.reshape(*self.position.shape, *[1] * (values.dim() - 2))
        return dense.scatter_(1, index.expand_as(values), values)


def _polar(origin: tuple[float, float], longitude: np.ndarray, latitude: np.ndarray) -> Tensor:
    """Return distance, km, and bearing in radians from a point to others, (n, 2)."""
    distance_km = great_circle_km(*origin, longitude, latitude)
    bearing = np.radians(bearing_deg(*origin, longitude, latitude))
    return torch.from_numpy(np.stack([distance_km, bearing], -1))


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
