"""Waves of which random fields are sums, and so their errors.

Lengths and directions follow the spectrum of a variogram (spectral simulation: Chiles & Delfiner
2012, Geostatistics, section 7.5), in the three dimensions around the sphere, in which distances are
chords. They are plane waves, but for a gentle bend of their crests. Where places are set apart by
what they are (`aqreanalysis.geography.likeness`), each coordinate is one more dimension in which
the waves run. Fields of several variograms can be sums of the same waves, each with amplitudes of
its own: what is drawn for one then goes together with what is drawn for another.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaincinv, ndtri

from aqreanalysis.methods.kriging.variogram import Variogram, VariogramModel
from aqreanalysis.network import EARTH_RADIUS_KM, unit_vectors

#: Waves of a field.
WAVES = 160
#: Length over 2 pi of the shortest wave of the field, km: places closer than this are one.
SHORTEST_KM = 0.5
#: Angle by which the crests of a wave bend, radians, and over how many of its lengths: a crest that
#: is straight shows as a streak across a whole map.
BEND, BENDS_OVER = 0.3, 4.0
#: Multiples of the golden section fill an interval evenly, however many there are.
GOLDEN = (np.sqrt(5) - 1) / 2
#: Numbers of waves from which some are chosen.
SPECTRUM = 20_001


@dataclass(frozen=True, eq=False)
class Waves:
    """The waves of a field.

    Half of them are as frequent as their variance in a variogram says. The others are spread over
    the lengths from the range down to a tenth of the spacing of the stations: errors consist of
    these, and the shortest are many, so that none shows by itself.

    Parameters
    ----------
    variogram : Variogram
        By which they are chosen; spherical ones are valid without further dimensions alone.
    spacing_km : float
        Median spacing of the stations.
    dimensions : int
        In which they run beyond the three around the sphere.

    Examples
    --------
    At one place, the products of the waves of a field sum up to its variance, whichever variogram
    has chosen them:

    >>> waves = Waves(Variogram("exponential", 4.0, 150.0, 0.5), spacing_km=20.0)
    >>> other = Variogram("exponential", 9.0, 90.0, 0.0)
    >>> of_field = waves(np.zeros(1), np.zeros(1), waves.amplitude(other))
    >>> of_field.shape, round(float(of_field[0] @ of_field[0]), 9)
    ((1, 320), 9.0)
    """

    variogram: Variogram
    spacing_km: float
    dimensions: int = 0

    def __post_init__(self) -> None:
        if self.dimensions and self.variogram.model == "spherical":
            raise ValueError(
                "a spherical variogram is not valid of places that are set apart by what they are; "
                "take 'exponential' or 'matern32'"
            )

    def __call__(
        self,
        longitude: np.ndarray,
        latitude: np.ndarray,
        amplitude: np.ndarray,
        beyond_km: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return cosines and sines at places, (n, 2 waves).

        Parameters
        ----------
        longitude, latitude : (n,) float64
            Degrees.
        amplitude : (wave,) float64
        beyond_km : (n, dimension) float64, optional
            Where the places are in further dimensions.
        """
        number = self._chosen[0]
        beyond = 0.0 if beyond_km is None else beyond_km @ self._beyond
        return waves(longitude, latitude, number, amplitude, beyond)

    def amplitude(self, variogram: Variogram) -> np.ndarray:
        """Return the amplitudes (wave,) with which the waves make up a variogram."""
        number, often = self._chosen
        weight = _density(variogram.model, number * variogram.range_km) / often
        if self.dimensions:
            square = (self._beyond**2).sum(axis=0)
            wanted, chosen = (
                _density_beyond(each, number, square, self.dimensions)
                for each in (variogram, self.variogram)
            )
            weight *= wanted / chosen
        return np.sqrt(variogram.partial_sill * weight / weight.sum())

    @cached_property
    def _chosen(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the waves, radians per km, and how often such are chosen."""
        reach = self.variogram.range_km
        number = np.geomspace(1e-3 / reach, max(1e3 / reach, 1 / SHORTEST_KM), SPECTRUM)
        share = _density(self.variogram.model, number * reach)
        share /= share.sum()
        important = (number > 0.5 / reach) & (number < 60 / self.spacing_km)
        often = share / 2
        if important.any():
            often = often + important / important.sum() / 2
        edges = np.cumsum(often) / often.sum()
        row = np.searchsorted(edges, (np.arange(WAVES) + 0.5) / WAVES)
        return number[row], often[row]

    @cached_property
    def _beyond(self) -> np.ndarray:
        """The numbers of the waves in further dimensions, (dimension, wave), radians per km.

        Wave numbers of an exponential or Matérn covariance have Student's t distribution. So have
        those in further dimensions, given those in three.
        """
        number, reach = self._chosen[0], self.variogram.range_km
        # Multiples of the powers of one number fill a cube evenly, as those of GOLDEN an interval
        # (Roberts 2018, The unreasonable effectiveness of quasirandom sequences).
        root = 2.0
        for _ in range(60):
            root = (1 + root) ** (1 / (self.dimensions + 2))
        power = np.arange(1, self.dimensions + 2)[:, None]
        even = (0.5 + np.arange(WAVES) * root**-power) % 1
        chi_square = 2 * gammaincinv(_freedom(self.variogram.model) / 2, even[0])
        width = np.sqrt(1 + (number * reach) ** 2) / reach
        beyond: np.ndarray = width * ndtri(even[1:]) / np.sqrt(chi_square)
        return beyond


def waves(
    longitude: np.ndarray,
    latitude: np.ndarray,
    number: np.ndarray,
    amplitude: np.ndarray,
    beyond: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Return cosines and sines of waves at places, (n, 2 waves).

    Parameters
    ----------
    longitude, latitude : (n,) float64
        Degrees.
    number, amplitude : (wave,) float64
        Radians per km. Their directions are spread evenly over the sphere, and bend.
    beyond : (n, wave) float64
        What further dimensions add to the phases.
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
    phase = places @ (direction * number) + beyond
    for across, start in ((side, GOLDEN), (np.cross(direction, side, axis=0), GOLDEN**2)):
        turn = places @ (across * number / BENDS_OVER) + 2 * np.pi * start * wave
        phase += BEND * BENDS_OVER * np.sin(turn)
    return np.concatenate([amplitude * np.cos(phase), amplitude * np.sin(phase)], axis=1)


def _density(model: VariogramModel, x: np.ndarray) -> np.ndarray:
    """Return the variance of waves per logarithm of their number times the range, in 3-D."""
    if model == "spherical":
        half = x / 2
        return x**3 * ((np.sin(half) - half * np.cos(half)) / half**3) ** 2
    return x**3 / (1 + x**2) ** (_freedom(model) / 2)


def _freedom(model: VariogramModel) -> int:
    """Return the degrees of freedom of wave numbers in a further dimension, given three."""
    return 6 if model == "matern32" else 4


def _density_beyond(
    variogram: Variogram, number: np.ndarray, square: np.ndarray, dimensions: int
) -> np.ndarray:
    """Return the density of numbers in further dimensions, (wave,), but for a constant.

    Given the ``number`` in three, by their sum of squares over all further ones.
    """
    freedom, reach = _freedom(variogram.model), variogram.range_km
    known, whole = 1 + (number * reach) ** 2, 1 + (number**2 + square) * reach**2
    density: np.ndarray = reach**dimensions * known ** (freedom / 2)
    return density / whole ** ((freedom + dimensions) / 2)
