"""Where targets lie among the stations: their neighbours, weights and turn, whatever the hour."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from aqreanalysis.fields.blocks import ROWS_TOGETHER
from aqreanalysis.grid import Grid
from aqreanalysis.methods.kriging.covariance import Weights
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood, fade
from aqreanalysis.methods.neural.batches import Clock
from aqreanalysis.methods.neural.mixing import TargetMatrices, target_matrices
from aqreanalysis.methods.neural.neural_knn import NeuralKNN
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork, bearing_deg, great_circle_km

#: Targets that go through the network at once. Every call has exactly this many (the last ones
#: are padded), so that no split of the targets changes the shape of a matrix product, or a bit.
TILE = 128
#: Rows and columns of a tile of a grid. Tiles lie at multiples of these, whatever block is asked
#: for, so that a tile always knows the same stations: those near to it, however many there are.
TILE_ROWS, TILE_COLUMNS = ROWS_TOGETHER, TILE // ROWS_TOGETHER
#: Distance from the middle of cells to the farthest of them, km, up to which they share: all are
#: seen in the plane around the middle, as a cell alone is in the plane around itself.
FARTHEST_KM = 150.0
#: Radians by which north may turn on the way there, as it does near a pole: reaches depend on it.
MOST_TURNING = 0.06
#: Cells that are solved one by one if so few together have too little in common.
FEWEST_TOGETHER = 16
#: Stations of a tile are padded to a multiple of this, so that few shapes are met.
STATIONS_STEP = 8
#: Turns longitudes into what the cycles of step 0 are there.
_NOON = Clock(0.0, 1.0, seasons=True)


class Place(NamedTuple):
    """One tile of targets, whatever the hour."""

    stations: Tensor | None  # rows of the network; None is all
    matrices: TargetMatrices
    there: Tensor  # (n, station): 1 at neighbours
    turn: Tensor  # (n, CYCLES): what longitude adds to the phase of the cycles

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices."""
        return self.matrices.weight.nbytes + self.there.nbytes


class Places(NamedTuple):
    """Makes places, in a network and with a model.

    Attributes
    ----------
    model : NeuralKNN
    network : StationNetwork
    log_noise : (station,) float64
        Logarithm of the factor of each station's noise.
    heads : bool
        Whether the network is used, or the covariance head alone.
    """

    model: NeuralKNN
    network: StationNetwork
    log_noise: Tensor
    heads: bool

    def of_targets(self, longitude: np.ndarray, latitude: np.ndarray) -> Place:
        """Return the place of any targets, over all stations."""
        neighbourhood = self._neighbourhood(longitude, latitude)
        return self._place(neighbourhood, self.model.weights(neighbourhood), longitude, None)

    def of_cells(self, positions: np.ndarray, top: int, left: int) -> Place:
        """Return the place of one tile of a grid, over the stations near to it.

        Parameters
        ----------
        positions : (2, rows, columns)
            Longitude and latitude of all cells.
        top, left : int
            First row and column of the tile. Where the grid ends within it, its last rows and
            columns pad it.
        """
        row = np.minimum(np.arange(top, top + TILE_ROWS), positions.shape[1] - 1)
        column = np.minimum(np.arange(left, left + TILE_COLUMNS), positions.shape[2] - 1)
        longitude, latitude = positions[:, row[:, None], column].reshape(2, TILE)
        neighbourhood = self._neighbourhood(longitude, latitude)
        cells = np.arange(TILE).reshape(TILE_ROWS, TILE_COLUMNS)
        parts = list(self._together(neighbourhood, longitude, latitude, cells))
        shared = torch.cat([torch.empty(0, dtype=torch.int64), *(rows for rows, _ in parts)])
        if alone := sorted(set(range(TILE)) - set(shared.tolist())):
            rows = torch.tensor(alone)
            parts.append((rows, self.model.weights(neighbourhood.of(rows))))
        back = torch.argsort(torch.cat([rows for rows, _ in parts]))
        weights = zip(*(found for _, found in parts), strict=True)
        joined = Weights(*(torch.cat(each)[back] for each in weights))
        stations, local = torch.unique(neighbourhood.index, return_inverse=True)
        # Those that pad have no weight.
        padded = torch.cat([stations, stations[-1:].expand(-len(stations) % STATIONS_STEP)])
        return self._place(replace(neighbourhood, index=local), joined, longitude, padded)

    def _together(
        self,
        neighbourhood: Neighbourhood,
        longitude: np.ndarray,
        latitude: np.ndarray,
        cells: np.ndarray,
    ) -> Iterator[tuple[Tensor, Weights]]:
        """Yield rows and weights of cells (rows, columns), or parts of them, that share enough."""
        network, rows = self.network, cells.flatten()
        middle = cells[cells.shape[0] // 2, cells.shape[1] // 2]
        around = _Around(longitude[middle], latitude[middle])
        targets, found = around.polar(longitude[rows], latitude[rows]), None
        farthest_km = float(targets[:, 0].max())
        if farthest_km <= FARTHEST_KM and around.turning(farthest_km) <= MOST_TURNING:
            near = neighbourhood.of(torch.from_numpy(rows))
            stations, local = torch.unique(near.index, return_inverse=True)
            there = (axis[stations.numpy()] for axis in (network.longitude, network.latitude))
            found = self.model.shared_weights(
                replace(near, index=local), targets, around.polar(*there), self.log_noise[stations]
            )
        if found is not None:
            yield torch.from_numpy(rows), found
        elif cells.size > FEWEST_TOGETHER:
            for half in np.array_split(cells, 2, axis=int(np.argmax(cells.shape))):
                yield from self._together(neighbourhood, longitude, latitude, half)

    def _neighbourhood(self, longitude: np.ndarray, latitude: np.ndarray) -> Neighbourhood:
        """Return the nearest stations of targets, by their rows in the network."""
        network, k = self.network, self.model.configuration.neighbours
        nearest = network.neighbours(longitude, latitude, k=k + 1)
        index = np.maximum(nearest.index[:, :k], 0)
        bearing = bearing_deg(
            longitude[:, None], latitude[:, None], network.longitude[index], network.latitude[index]
        )
        distance, radius = torch.from_numpy(nearest.distance_km).split([k, 1], dim=1)
        return Neighbourhood(
            torch.zeros(len(index), dtype=torch.int64),
            torch.from_numpy(index),
            distance,
            torch.from_numpy(np.radians(bearing)),
            fade(distance, radius[:, 0]),
            self.log_noise[torch.from_numpy(index)],
        )

    def _place(
        self,
        neighbourhood: Neighbourhood,
        weights: Weights,
        longitude: np.ndarray,
        stations: Tensor | None,
    ) -> Place:
        """Return the place of targets of which neighbours and weights are known."""
        count = self.network.size if stations is None else len(stations)
        matrices = target_matrices(
            self.model, neighbourhood, weights, stations=count, heads=self.heads
        )
        there = neighbourhood.scatter((neighbourhood.fading >= 0).float(), count)
        return Place(stations, matrices, there, _NOON.cycles(longitude, 0, 1)[:, 0])


class _Around(NamedTuple):
    """A point from which places are seen."""

    longitude: float
    latitude: float

    def turning(self, distance_km: float) -> float:
        """Return by how much north turns over a distance to the east or west, radians."""
        return distance_km / EARTH_RADIUS_KM * abs(np.tan(np.radians(self.latitude)))

    def polar(self, longitude: np.ndarray, latitude: np.ndarray) -> Tensor:
        """Return distance, km, and bearing in radians to places, (n, 2)."""
        distance_km = great_circle_km(*self, longitude, latitude)
        bearing = np.radians(bearing_deg(*self, longitude, latitude))
        return torch.from_numpy(np.stack([distance_km, bearing], -1))


def stations_of_a_tile(at: Grid | xr.Dataset, network: StationNetwork, k: int) -> int:
    """Return how many stations the neural method takes together for a tile of targets.

    Of a grid these are the neighbours of a tile's cells, here of one in the middle; elsewhere all.
    """
    if not isinstance(at, Grid):
        return network.size
    sides = zip(at.shape, (TILE_ROWS, TILE_COLUMNS), strict=True)
    middle = tuple(slice(size // 2, size // 2 + length) for size, length in sides)
    longitude, latitude = (p[middle].ravel() for p in at.longitude_latitude())
    near = network.neighbours(longitude, latitude, k=min(k, network.size))
    return np.unique(near.index).size
