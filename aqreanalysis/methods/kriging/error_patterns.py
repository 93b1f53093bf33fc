r"""Which places err together: the patterns in space of which the errors of an estimate are sums.

The error at a place x is that of the field Z there, less what the measurements of the stations say
of it, each with its noise n, by the weights w of ordinary kriging:

.. math:: e(x) = Z(x) - \sum_j w_j(x) (Z(x_j) + n_j).

Z is a sum of waves whose lengths and directions follow the spectrum of the variogram (spectral
simulation: Chiles & Delfiner 2012, Geostatistics, section 7.5), in the three dimensions around the
sphere, in which distances are chords. They are plane waves, but for a gentle bend of their crests.
What the stations leave of each wave is a pattern of the error, and so is what they add by their
noise. The product of the patterns of two places is the covariance of their errors. Errors of other
methods are taken to go together as those of kriging do; at stations left out, those of the neural
method do.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.fields.draws import DrawsOf
from aqreanalysis.methods.kriging.ordinary_field import covariance_among
from aqreanalysis.methods.kriging.solver import weights_of_sets
from aqreanalysis.methods.kriging.variogram import Variogram, VariogramModel, fit_variogram
from aqreanalysis.methods.series import StationSeries, weight_matrix
from aqreanalysis.network import EARTH_RADIUS_KM, StationNetwork, unit_vectors

#: Waves of the field and of a monitor's noise, and patterns of the noise of all stations.
WAVES, OWN_WAVES, NOISE = 160, 64, 64
#: Patterns of an error, those of a monitor's noise included.
PATTERNS = 2 * (WAVES + OWN_WAVES) + NOISE
#: Nearest stations whose measurements count at a place.
NEIGHBOURS = 24
#: Stations count that report at least this often, compared with the median station.
REPORTING = 0.5
#: Length over 2 pi of the shortest wave of the field, and the longest of a monitor's noise, km:
#: places closer than this are one.
SHORTEST_KM = 0.5
#: Angle by which the crests of a wave bend, radians, and over how many of its lengths: a crest that
#: is straight shows as a streak across a whole map.
BEND, BENDS_OVER = 0.3, 4.0
#: Multiples of the golden section fill an interval evenly, however many there are.
GOLDEN = (np.sqrt(5) - 1) / 2
#: Numbers of waves from which some are chosen.
SPECTRUM = 20_001


@dataclass(frozen=True, eq=False)
class KrigingPatterns:
    """The patterns of the errors of kriging.

    Parameters
    ----------
    network : StationNetwork
        Stations that report.
    variogram : Variogram
        Of the square roots.
    of : {"measurements", "air"}
        Whether a new monitor's noise is part of the error.

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

    @classmethod
    def learned(cls, observations: xr.Dataset, variable: str, of: DrawsOf) -> Self:
        """Return the patterns of observations, whatever the hours that are estimated."""
        series = StationSeries.from_dataset(observations, variable)
        network, learned = series.network, series.to_learn_from("sqrt")
        variogram = fit_variogram(learned.values, learned.network.distance_matrix_km())
        often = np.isfinite(series.values).sum(axis=1)
        rows = np.flatnonzero(often >= REPORTING * np.median(often))
        reporting = StationNetwork(
            network.longitude[rows], network.latitude[rows], identifiers=network.identifiers[rows]
        )
        return cls(reporting, variogram, of)

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
            [self.waves(longitude, latitude) - weights @ known, weights @ noise], axis=1
        )

    def waves(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the waves of the field, (n, 2 waves); their products are its covariance."""
        number, amplitude = _spectrum(self.variogram, self.network.spacing_km)
        return _waves(longitude, latitude, number, amplitude)

    def _of_monitor(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return waves so short that those of two places have nothing in common."""
        number = (2 + GOLDEN * np.arange(OWN_WAVES)) / SHORTEST_KM
        amplitude = np.full(OWN_WAVES, np.sqrt(self.variogram.noise / OWN_WAVES))
        return _waves(longitude, latitude, number, amplitude)

    @cached_property
    def _among(self) -> np.ndarray:
        """The covariance among the measurements of all stations."""
        return covariance_among(self.network, self.variogram)

    @cached_property
    def _at_stations(self) -> tuple[np.ndarray, np.ndarray]:
        """The waves at the stations, and the patterns of their noise."""
        noise = np.random.default_rng(0).standard_normal((self.network.size, NOISE))
        noise *= np.sqrt(self.variogram.noise) / np.linalg.norm(noise, axis=1, keepdims=True)
        return self.waves(self.network.longitude, self.network.latitude), noise


def _waves(
    longitude: np.ndarray, latitude: np.ndarray, number: np.ndarray, amplitude: np.ndarray
) -> np.ndarray:
    """Return cosines and sines of waves at places, (n, 2 waves).

    ``number`` is in radians per km; their directions are spread evenly over the sphere, and bend.
    """
    wave = np.arange(number.size)
    # Neighbours in number are not neighbours in direction.
    up = 1 - (2 * np.argsort(GOLDEN * wave % 1) + 1) / number.size
    around, level = 2 * np.pi * GOLDEN * wave, np.sqrt(1 - up**2)
    direction = np.stack([level * np.cos(around), level * np.sin(around), up])
    side = np.cross(direction, np.roll(direction, number.size // 3, axis=1), axis=0)
    side /= np.linalg.norm(side, axis=0)
    places = EARTH_RADIUS_KM * unit_vectors(longitude, latitude)
    number = number / np.sqrt(1 + BEND**2)  # what bends is shorter across
    phase = places @ (direction * number)
    for across, start in ((side, GOLDEN), (np.cross(direction, side, axis=0), GOLDEN**2)):
        turn = places @ (across * number / BENDS_OVER) + 2 * np.pi * start * wave
        phase += BEND * BENDS_OVER * np.sin(turn)
    return np.concatenate([amplitude * np.cos(phase), amplitude * np.sin(phase)], axis=1)


def _spectrum(variogram: Variogram, spacing_km: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of waves, radians per km, and amplitudes that make up the variogram.

    Half of them are as frequent as their variance says. The others are spread over the lengths
    from the range down to a tenth of the spacing of the stations: errors consist of these, and
    the shortest are many, so that none shows by itself.
    """
    reach = variogram.range_km
    number = np.geomspace(1e-3 / reach, max(1e3 / reach, 1 / SHORTEST_KM), SPECTRUM)
    share = _density(variogram.model, number * reach)
    share /= share.sum()
    important = (number > 0.5 / reach) & (number < 60 / spacing_km)
    chosen = share / 2
    if important.any():
        chosen = chosen + important / important.sum() / 2
    edges = np.cumsum(chosen) / chosen.sum()
    row = np.searchsorted(edges, (np.arange(WAVES) + 0.5) / WAVES)
    weight = share[row] / chosen[row]
    return number[row], np.sqrt(variogram.partial_sill * weight / weight.sum())


def _density(model: VariogramModel, x: np.ndarray) -> np.ndarray:
    """Return the variance of waves per logarithm of their number times the range, in 3-D."""
    if model == "spherical":
        half = x / 2
        return x**3 * ((np.sin(half) - half * np.cos(half)) / half**3) ** 2
    return x**3 / (1 + x**2) ** (3 if model == "matern32" else 2)
