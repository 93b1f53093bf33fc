r"""How unlike places are: coordinates in which a valley lies far from the ridge above it.

Air at two places is the less alike the farther they are apart, and the more they differ in
altitude, relief, people around and distance to the coast. Each of these is a coordinate. With the
length that a unit of it is worth, they are added to kilometres east and north,

.. math:: \sqrt{|h|^2 + \sum_k (\lambda_k \Delta x_k)^2} ,

which is a distance in more dimensions, of which every covariance of a distance is valid (automatic
relevance determination: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section
5.1). The lengths are those of large networks, ``tools/learn_likeness.py``: few stations do not tell
them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import xarray as xr

from aqreanalysis.geography.own_altitude import own_altitude
from aqreanalysis.geography.shipped import NAMES, layer
from aqreanalysis.network import StationNetwork

#: Networks from which lengths were learned: all, or all but those of a region, to be scored there.
Learned = Literal["all", "without_beijing", "without_europe", "without_us"]
#: Lengths of one unit of each coordinate, in units of the median spacing of a network's stations.
LENGTHS: dict[Learned, tuple[float, ...]] = {
    "all": (3.1, 1.6, 0.4, 2.7, 1.8),
    "without_beijing": (3.1, 1.6, 0.4, 2.7, 1.8),
    "without_europe": (2.7, 1.9, 0.6, 2.1, 1.4),
    "without_us": (3.4, 1.3, 0.3, 3.4, 2.3),
}
#: Units of the coordinates: about mean and standard deviation, at the stations of the United States
#: and Europe, of the values of `_on_even_scales`; beyond so many units a place is no more unlike.
CENTRE, SCALE, FARTHEST = (15.0, 4.1, 2.0, 3.4, 12.0), (10.0, 0.85, 0.8, 0.6, 7.0), 3.0
#: Added to the relief, m, before its logarithm.
_PLAIN_M = 10.0


def coordinates(
    longitude: np.ndarray, latitude: np.ndarray, altitude: np.ndarray | None = None
) -> np.ndarray:
    """Return the coordinates (n, 5) of places, in the order of `NAMES`.

    Parameters
    ----------
    longitude, latitude : (n,) float64
        Degrees.
    altitude : (n,) float64, optional
        Of the places themselves, m; NaN where that of the field counts.

    Examples
    --------
    The Zugspitze is unlike Munich, and Augsburg is not:

    >>> longitude, latitude = np.array([11.6, 10.9, 11.0]), np.array([48.1, 48.4, 47.4])
    >>> places = coordinates(longitude, latitude, np.array([520.0, 490.0, 2960.0]))
    >>> np.linalg.norm(places - places[0], axis=1).round().tolist()
    [0.0, 1.0, 3.0]
    """
    values = np.stack([layer(name).at(longitude, latitude) for name in NAMES], -1)
    if altitude is not None:
        values[:, 0] = np.where(np.isfinite(altitude), altitude, values[:, 0])
    standard = (_on_even_scales(values) - CENTRE) / SCALE
    # Ice, of which no altitude is known, is as the usual place.
    return np.nan_to_num(standard.clip(-FARTHEST, FARTHEST))


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The `coordinates` of any places, with the altitudes that some state themselves.

    Attributes
    ----------
    position : (p,) complex128
        Longitude and latitude of those that do, ascending.
    altitude : (p,) float64
        m.
    """

    position: np.ndarray
    altitude: np.ndarray

    @classmethod
    def of(cls, places: Sequence[xr.Dataset]) -> Self:
        """Return those of the altitudes of stations and targets; the first one of a place counts.

        Altitudes that cannot be true beside the field's are left out with a warning.
        """
        networks = [StationNetwork.from_dataset(each) for each in places]
        stated = [
            own_altitude(each, layer(NAMES[0]).at(network.longitude, network.latitude))
            for each, network in zip(places, networks, strict=True)
        ]
        altitude = np.concatenate(stated)
        position = np.concatenate([_position(n.longitude, n.latitude) for n in networks])
        known = np.isfinite(altitude)
        position, first = np.unique(position[known], return_index=True)
        return cls(position, altitude[known][first])

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, 5) of places."""
        return coordinates(longitude, latitude, self._stated(longitude, latitude))

    def altitude_m(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the altitude (n,) of places, m; NaN on ice, where it is not known."""
        stated = self._stated(longitude, latitude)
        of_field = layer(NAMES[0]).at(longitude, latitude)
        return of_field if stated is None else np.where(np.isfinite(stated), stated, of_field)

    def _stated(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray | None:
        """Return the altitudes (n,) that places state, NaN elsewhere; None if none does."""
        if not self.position.size:
            return None
        position = _position(longitude, latitude)
        row = np.searchsorted(self.position, position).clip(max=self.position.size - 1)
        return np.where(self.position[row] == position, self.altitude[row], np.nan)

    def __dask_tokenize__(self) -> object:
        """Return what distinguishes these from others, the same in every process."""
        from dask.base import normalize_token

        return normalize_token((type(self).__name__, self.position, self.altitude))


@dataclass(frozen=True, eq=False)
class Unlikeness:
    """How far places are apart by their coordinates, in km; not at all without any.

    Parameters
    ----------
    coordinates : Coordinates, optional
    length_km : tuple of float
        Length of one unit of each.

    Examples
    --------
    >>> Unlikeness()(np.array([11.6, 11.0]), np.array([48.1, 47.4])).shape
    (2, 0)
    """

    coordinates: Coordinates | None = None
    length_km: tuple[float, ...] = ()

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, k) of places, km."""
        if self.coordinates is None or not self.length_km:
            return np.zeros((np.size(longitude), 0))
        return self.coordinates(longitude, latitude) * self.length_km

    def stretched_km(self, network: StationNetwork) -> np.ndarray:
        """Return distances between all stations in kilometres and coordinates, (n, n) km."""
        place = self(network.longitude, network.latitude)
        apart = np.linalg.norm(place[:, None] - place, axis=2)
        distance: np.ndarray = np.hypot(network.distance_matrix_km(), apart)
        return distance


#: Places are apart by their distance alone.
ALIKE = Unlikeness()


def _position(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return positions as one number each."""
    return longitude + 1j * latitude


def _on_even_scales(values: np.ndarray) -> np.ndarray:
    """Return attributes (n, 5) on scales of which a step means as much anywhere."""
    altitude, relief, near, around, coast = values.T
    return np.stack(
        [
            np.sqrt(altitude.clip(0)),
            np.log(relief + _PLAIN_M),
            near,
            around,
            np.sign(coast) * np.sqrt(np.abs(coast)),
        ],
        -1,
    )
