r"""Which places err together: the patterns in space of which the errors of an estimate are sums.

The error at a place x is that of the field Z there, less what the measurements of the stations say
of it, each with its noise n, by the weights w of ordinary kriging:

.. math:: e(x) = Z(x) - \sum_j w_j(x) (Z(x_j) + n_j).

Z is a sum of waves (`aqreanalysis.methods.kriging.waves`). What the stations leave of each is a
pattern of the error, and so is what they add by their noise. The product of the patterns of two
places is the covariance of their errors. Errors of other methods are taken to go together as those
of kriging do, of distances as the method has them; at stations left out, those of the neural method
do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.fields.draws import DrawsOf
from aqreanalysis.geography.likeness import ALIKE, Coordinates, Unlikeness
from aqreanalysis.methods.kriging.ordinary_field import covariance_among
from aqreanalysis.methods.kriging.solver import weights_of_sets
from aqreanalysis.methods.kriging.variogram import Variogram, fit_variogram
from aqreanalysis.methods.kriging.waves import GOLDEN, SHORTEST_KM, WAVES, Waves, waves
from aqreanalysis.methods.series import StationSeries, weight_matrix
from aqreanalysis.network import StationNetwork

#: Waves of a monitor's noise, and patterns of the noise of all stations.
OWN_WAVES, NOISE = 64, 64
#: Patterns of an error, those of a monitor's noise included.
PATTERNS = 2 * (WAVES + OWN_WAVES) + NOISE
#: Nearest stations whose measurements count at a place.
NEIGHBOURS = 24
#: Stations count that report at least this often, compared with the median station.
REPORTING = 0.5


@dataclass(frozen=True, eq=False)
class KrigingPatterns:
    """The patterns of the errors of kriging.

    Parameters
    ----------
    network : StationNetwork
        Stations that report.
    variogram : Variogram
        Of the square roots, and of the distance that `unlike` stretches.
    of : {"measurements", "air"}
        Whether a new monitor's noise is part of the error.
    unlike : Unlikeness
        How far places are apart for what they are.
    shared : Waves, optional
        Of another pollutant, with whose errors these are to go together.

    Examples
    --------
    Errors are alike at places close to each other, and not at places with a station in between:

    >>> line = StationNetwork(np.arange(9.0), np.zeros(9))
    >>> patterns = KrigingPatterns(line, Variogram("exponential", 4.0, 300.0, 0.01), of="air")
    >>> vectors, _ = patterns(np.array([4.5, 4.51, 5.5]), np.zeros(3))
    >>> near, far = vectors[0] @ vectors[1:].T
    >>> bool(near > 0.9), bool(abs(far) < 0.3)
    (True, True)
    """

    network: StationNetwork
    variogram: Variogram
    of: DrawsOf = "measurements"
    unlike: Unlikeness = ALIKE
    shared: Waves | None = None

    @classmethod
    def learned(
        cls,
        observations: xr.Dataset,
        variable: str,
        of: DrawsOf,
        *,
        places: Sequence[xr.Dataset] = (),
        unlike_km: Sequence[float] = (),
        waves: Waves | None = None,
    ) -> Self:
        """Return the patterns of observations, whatever the hours that are estimated.

        Parameters
        ----------
        observations : Dataset
        variable : str
        of : {"measurements", "air"}
        places : sequence of Dataset
            Others whose own altitudes count.
        unlike_km : sequence of float
            How far one unit of each coordinate sets places apart, as the method has learned; none
            where distance alone does.
        waves : Waves, optional
            Of another pollutant, with whose errors these are to go together.
        """
        series = StationSeries.from_dataset(observations, variable)
        network, learned = series.network, series.to_learn_from("sqrt")
        unlike = ALIKE
        if unlike_km:
            unlike = Unlikeness(Coordinates.of([observations, *places]), tuple(unlike_km))
        variogram = fit_variogram(learned.values, unlike.stretched_km(learned.network))
        often = np.isfinite(series.values).sum(axis=1)
        reporting = network.part(often >= REPORTING * np.median(often))
        return cls(reporting, variogram, of, unlike, waves)

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return unit vectors (n, pattern) float32, and what share of the spread is drawn, (n,)."""
        air, own = self.of_air(longitude, latitude), self._of_monitor(longitude, latitude)
        square, noise = ((each**2).sum(axis=1) for each in (air, own))
        if self.of == "air":
            vectors, length = np.concatenate([air, np.zeros_like(own)], axis=1), square
        else:
            vectors, length = np.concatenate([air, own], axis=1), square + noise
        vectors /= np.sqrt(np.maximum(length, np.finfo(np.float64).tiny))[:, None]
        return vectors.astype(np.float32), np.sqrt(length / (square + noise))

    def of_air(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the patterns of the error of the air, (n, pattern), on the scale of roots."""
        near = self.network.neighbours(longitude, latitude, k=min(NEIGHBOURS, self.network.size))
        order = np.argsort(near.index, axis=1, kind="stable")
        station = np.take_along_axis(near.index, order, axis=1)
        distance_km = np.take_along_axis(near.distance_km, order, axis=1)
        place = self.unlike(longitude, latitude)
        apart_km = self._places[station] - place[:, None]
        distance_km = np.hypot(distance_km, np.linalg.norm(apart_km, axis=2))
        weight, _ = weights_of_sets(
            station,
            np.ones(station.shape, bool),
            self.variogram.covariance(distance_km),
            self.variogram.sill,
            lambda rows: self._among[rows[:, :, None], rows[:, None, :]],
        )
        weights = weight_matrix(station, weight, self.network.size)
        known, noise = self._at_stations
        return np.concatenate(
            [self._of_field(longitude, latitude, place) - weights @ known, weights @ noise], axis=1
        )

    def of_field(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the waves of the field, (n, 2 waves); their products are its covariance."""
        return self._of_field(longitude, latitude, self.unlike(longitude, latitude))

    def _of_field(
        self, longitude: np.ndarray, latitude: np.ndarray, place: np.ndarray
    ) -> np.ndarray:
        """Return the waves of the field at places of which it is known what they are, (n, k) km."""
        return self.waves(longitude, latitude, self.waves.amplitude(self.variogram), place)

    def _of_monitor(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return waves so short that those of two places have nothing in common."""
        number = (2 + GOLDEN * np.arange(OWN_WAVES)) / SHORTEST_KM
        amplitude = np.full(OWN_WAVES, np.sqrt(self.variogram.noise / OWN_WAVES))
        return waves(longitude, latitude, number, amplitude)

    @cached_property
    def waves(self) -> Waves:
        """The waves of which the field is a sum."""
        dimensions = len(self.unlike.length_km)
        return self.shared or Waves(self.variogram, self.network.spacing_km, dimensions)

    @cached_property
    def _among(self) -> np.ndarray:
        """The covariance among the measurements of all stations."""
        return covariance_among(self.unlike.stretched_km(self.network), self.variogram)

    @cached_property
    def _places(self) -> np.ndarray:
        """Where the stations are in the dimensions of what they are, (n, k) km."""
        return self.unlike(self.network.longitude, self.network.latitude)

    @cached_property
    def _at_stations(self) -> tuple[np.ndarray, np.ndarray]:
        """The waves at the stations, and the patterns of their noise."""
        noise = np.random.default_rng(0).standard_normal((self.network.size, NOISE))
        noise *= np.sqrt(self.variogram.noise) / np.linalg.norm(noise, axis=1, keepdims=True)
        position = self.network.longitude, self.network.latitude
        return self._of_field(*position, self._places), noise
