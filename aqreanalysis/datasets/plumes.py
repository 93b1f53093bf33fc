"""Emissions of towns and their plumes: a Lagrangian puff model without a grid."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aqreanalysis.datasets.weather import (
    SPIN_UP_HOURS,
    Atmosphere,
    Weather,
    day_bump,
    solar_hour,
)

#: Age at which a puff is dropped. With a lifetime of a day, 22 % of it is left then, spread over
#: some 70 km.
PUFF_HOURS = SPIN_UP_HOURS

_NO2_PER_PM25 = 0.55


@dataclass(frozen=True)
class Towns:
    """Places that emit, (towns,) each, in degrees and on the plane of the simulation.

    The radius is the standard deviation of the emission in space; the emission is that of PM2.5,
    mean over the week.
    """

    longitude: NDArray
    latitude: NDArray
    east_km: NDArray
    north_km: NDArray
    radius_km: NDArray
    emission_t_per_hour: NDArray


@dataclass
class Puffs:
    """Gaussian puffs, one for each town and hour of release, mixed evenly up to a depth.

    A puff holds what a town emits in an hour. It keeps its mass but for a steady loss, moves with
    the wind at its centre, and spreads as sigma = radius + spread * age. It is diluted through the
    deepest layer that it has met: the layer that forms in the evening does not press the smoke of
    the day together again.

    Attributes
    ----------
    east_km, north_km, sigma_km, depth_m : (slots, towns) float64
        Where each puff is at the middle of the hour, and how large.
    smear_km2 : (2, slots, towns) float64
        Variance towards east and north from being released over an hour in the wind.
    mass_t : (species, slots, towns) float64
        PM2.5 and NO2; 0 in a slot that is not yet in use.
    """

    east_km: NDArray
    north_km: NDArray
    sigma_km: NDArray
    depth_m: NDArray
    smear_km2: NDArray
    mass_t: NDArray

    @classmethod
    def none(cls, towns: Towns) -> Self:
        """Return room for all puffs of the towns, with nothing in it."""
        shape = (PUFF_HOURS, towns.longitude.size)
        return cls(
            east_km=np.zeros(shape),
            north_km=np.zeros(shape),
            sigma_km=np.ones(shape),
            depth_m=np.ones(shape),
            smear_km2=np.zeros((2, *shape)),
            mass_t=np.zeros((2, *shape)),
        )

    def release(self, slot: int, towns: Towns, mass_t: NDArray, wind_km_h: NDArray) -> None:
        """Put new puffs (species, towns) into a slot, in place of the oldest ones."""
        self.east_km[slot] = towns.east_km
        self.north_km[slot] = towns.north_km
        self.sigma_km[slot] = towns.radius_km
        self.depth_m[slot] = 0.0
        self.smear_km2[:, slot] = _smear_km2(wind_km_h)[:, None]
        self.mass_t[:, slot] = mass_t

    def advance(self, weather: Weather, hour: int, atmosphere: Atmosphere) -> None:
        """Move, spread and thin all puffs by the hour that ends in the middle of this one."""
        east, north = weather.wind_at(hour, self.east_km, self.north_km)
        self.east_km += east
        self.north_km += north
        self.sigma_km += atmosphere.spread_m_s * 3.6
        lifetimes = np.array([atmosphere.lifetime_hours, atmosphere.no2_lifetime_hours])
        self.mass_t *= np.exp(-1 / lifetimes)[:, None, None]

    def mix(self, layer_m: NDArray) -> None:
        """Dilute all puffs through a layer (towns,) where it is deeper than any before."""
        np.maximum(self.depth_m, layer_m, out=self.depth_m)

    def concentration(
        self, east_km: NDArray, north_km: NDArray, *, wind_km_h: NDArray, newest: int
    ) -> NDArray:
        """Return the mean of the hour on a lattice, (species, north, east), ug m-3.

        c = M / (2 pi sx sy depth) exp(-x**2 / (2 sx**2) - y**2 / (2 sy**2)). The bell is a product
        of a factor in x and one in y, so one product of matrices sums all puffs. The variances
        hold the way that a puff goes within the hour, which joins the puffs of a town into a
        plume. Of what is released in the hour itself, half is there on average.
        """
        smear = self.smear_km2 + _smear_km2(wind_km_h)[:, None, None]
        sigma = np.sqrt(self.sigma_km**2 + smear)
        near = self._near(east_km, north_km, 6 * sigma)
        sigma_east, sigma_north = sigma[:, near]
        along = _bell((east_km - self.east_km[near][:, None]) / sigma_east[:, None])
        across = _bell((north_km - self.north_km[near][:, None]) / sigma_north[:, None])
        # 1 t = 1e12 ug; 1 km2 = 1e6 m2.
        strength = 1e6 / (2 * np.pi * sigma_east * sigma_north * self.depth_m[near])
        released = np.ones((PUFF_HOURS, 1))
        released[newest] = 0.5
        peak = (self.mass_t * released)[:, near] * strength  # (species, puff)
        # Old puffs have next to no NO2 left.
        active = peak[1] > 1e-3
        return np.stack(
            [
                (across.T * peak[0]) @ along,
                (across[active].T * peak[1, active]) @ along[active],
            ]
        )

    def _near(self, east_km: NDArray, north_km: NDArray, reach: NDArray) -> NDArray:
        """Return which puffs are in use and reach the lattice."""
        return (
            (self.mass_t[0] > 0)
            & (self.east_km > east_km[0] - reach[0])
            & (self.east_km < east_km[-1] + reach[0])
            & (self.north_km > north_km[0] - reach[1])
            & (self.north_km < north_km[-1] + reach[1])
        )


def plume_field(
    towns: Towns, weather: Weather, atmosphere: Atmosphere, lattice: tuple[NDArray, NDArray]
) -> NDArray:
    """Return hourly means of the towns' PM2.5 and NO2, (hours, species, north, east), ug m-3.

    The lattice is km east and km north, both ascending; the hours are those after the spin-up.
    """
    puffs = Puffs.none(towns)
    hours = weather.hours.size - SPIN_UP_HOURS
    field = np.empty((hours, 2, lattice[1].size, lattice[0].size))
    for hour, utc in enumerate(weather.hours):
        slot = hour % PUFF_HOURS
        solar = solar_hour(utc, towns.longitude)
        mass = towns.emission_t_per_hour * emission_profile(
            solar, weekend=_is_weekend(utc + towns.longitude / 15)
        )
        puffs.advance(weather, hour, atmosphere)
        wind = weather.wind_km_h[hour]
        puffs.release(slot, towns, np.stack([mass, mass * _NO2_PER_PM25]), wind)
        puffs.mix(atmosphere.layer_m(solar, weather.stagnation[hour]))
        if hour >= SPIN_UP_HOURS:
            field[hour - SPIN_UP_HOURS] = puffs.concentration(*lattice, wind_km_h=wind, newest=slot)
    return field


def emission_profile(solar_hour: NDArray, *, weekend: NDArray | bool = False) -> NDArray:
    """Return the emission over its mean at hours of local solar time; its mean on a weekday is 1.

    Three parts: a steady one (0.3), traffic with peaks at 8 and 18:30 h (0.4, three quarters of it
    at weekends), heating and cooking with a broad peak at 20 h (0.3). The shape is that of the
    hourly profiles of emission inventories (Crippa et al. 2020, doi:10.1038/s41597-020-0462-2).

    Examples
    --------
    >>> hours = np.arange(0, 24, 0.1)
    >>> profile = emission_profile(hours)
    >>> float(profile.mean().round(2)), float(hours[profile.argmax()].round(1))
    (1.0, 18.7)
    """
    # A bell of width w has the mean w sqrt(2 pi) / 24 over a day.
    mean = np.sqrt(2 * np.pi) / 24
    traffic = day_bump(solar_hour, 8.0, 1.8) + day_bump(solar_hour, 18.5, 2.0)
    heating = day_bump(solar_hour, 20.0, 4.5) / (4.5 * mean)
    return 0.3 + 0.4 * np.where(weekend, 0.75, 1.0) * traffic / (3.8 * mean) + 0.3 * heating


def _is_weekend(hours_since_monday: NDArray) -> NDArray:
    """Return whether an hour since the beginning of a Monday lies on a Saturday or Sunday."""
    return (hours_since_monday % 168) >= 120


def _smear_km2(wind_km_h: NDArray) -> NDArray:
    """Return the variance along each axis of a way gone evenly in an hour: its square over 12."""
    return wind_km_h**2 / 12


def _bell(z: NDArray) -> NDArray:
    """Return exp(-z**2 / 2)."""
    return np.exp(-0.5 * z * z)
