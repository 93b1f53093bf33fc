"""Synthetic weather: a turning wind with eddies, calm spells, a diurnal mixing layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from aqreanalysis.network import EARTH_RADIUS_KM

#: Hours simulated before the first hour that is given out, so that the air is filled: as many
#: as a puff is followed.
SPIN_UP_HOURS = 36

_KM_PER_DEGREE = float(np.radians(1) * EARTH_RADIUS_KM)
_EDDIES = 4
_WAVES = 64


@dataclass(frozen=True)
class Atmosphere:
    """The physics of `synthetic_network`: every number that shapes its true field.

    The defaults are of the order met over the North China Plain in the heating season, with the
    level of PM2.5 lowered to about two thirds of Beijing's in 2014.

    Parameters
    ----------
    wind_speed_m_s : float
        Median speed of the regional wind in the mixing layer.
    rotation_hours : float
        Time in which the regional wind turns once, the passage of one low: four to six days.
    eddy_share : float
        Root mean square of the wind's variation across the region, as a share of its speed.
    stagnation_hours : float
        Autocorrelation time of calm and windy spells; sets the length of episodes.
    night_layer_m, day_layer_m : float
        Depth of the mixing layer at night and at its highest, at 14 h solar time. Ceilometers in
        Beijing see about 300 to 1200 m (Tang et al. 2016, doi:10.5194/acp-16-2459-2016).
    spread_m_s : float
        Growth of the standard deviation of a puff: 0.5 metres a second (Heffter 1965,
        J. Appl. Meteorol. 4, 153-156).
    lifetime_hours : float
        Time in which deposition and loss aloft reduce particles to 1/e.
    no2_lifetime_hours : float
        The same for NO2 downwind of large cities (Beirle et al. 2011, doi:10.1126/science.1207824).
    emission_t_per_hour : float
        PM2.5, formed on the way included, from all towns of the region and its surroundings.
    background_ug_m3 : float
        Median of the PM2.5 that does not come from the towns.
    background_length_km : float
        Length scale of the variation of that background.
    background_swing, background_contrast : float
        Standard deviation of its logarithm with stagnation, and of its logarithm across the region.
    """

    wind_speed_m_s: float = 3.0
    rotation_hours: float = 110.0
    eddy_share: float = 0.35
    stagnation_hours: float = 36.0
    night_layer_m: float = 300.0
    day_layer_m: float = 1100.0
    spread_m_s: float = 0.5
    lifetime_hours: float = 24.0
    no2_lifetime_hours: float = 5.0
    emission_t_per_hour: float = 90.0
    background_ug_m3: float = 24.0
    background_length_km: float = 55.0
    background_swing: float = 0.65
    background_contrast: float = 0.45

    def __post_init__(self) -> None:
        faults = []
        for name, value in vars(self).items():
            lowest = 0.0 if name in _MAY_BE_ZERO else np.nextafter(0.0, 1.0)
            if not (np.isfinite(value) and value >= lowest):
                words = "zero or positive" if name in _MAY_BE_ZERO else "positive"
                faults.append(f"{name} must be finite and {words}; found {value!r}")
        if faults:
            raise ValueError("; ".join(faults))

    def layer_m(self, solar_hour: NDArray, stagnation: float | NDArray = 0.0) -> NDArray:
        """Return the depth of the mixing layer at hours of local solar time, metres.

        It is highest at 14 h and lower in stagnant air, by a quarter for one standard deviation.

        Examples
        --------
        >>> Atmosphere().layer_m(np.array([2.0, 14.0])).round()
        array([ 300., 1100.])
        """
        growth = (self.day_layer_m - self.night_layer_m) * day_bump(solar_hour, 14.0, 2.6)
        return (self.night_layer_m + growth) * np.exp(-0.3 * stagnation)


_MAY_BE_ZERO = (
    *("eddy_share", "emission_t_per_hour"),
    *("background_ug_m3", "background_swing", "background_contrast"),
)


@dataclass(frozen=True)
class Weather:
    """The state of the air hour by hour, from the beginning of the spin-up.

    Attributes
    ----------
    hours : (hours,) float64
        Middle of each hour, in hours since 00:00 UTC of a Monday.
    wind_km_h : (hours, 2) float64
        Regional wind at the beginning of each hour, towards east and north.
    stagnation : (hours,) float64
        Standard normal, high in calm and foul spells.
    eddies : (4, n) float64
        Wave numbers east and north (rad/km), phase (rad) and frequency (rad/h) of the waves of
        the stream function that makes the wind vary across the region without divergence.
    eddy_share : float
        Root mean square of that variation over the regional speed.
    """

    hours: NDArray
    wind_km_h: NDArray
    stagnation: NDArray
    eddies: NDArray
    eddy_share: float

    def wind_at(self, hour: int, east_km: NDArray, north_km: NDArray) -> tuple[NDArray, NDArray]:
        """Return the wind towards east and north at the beginning of an hour at places, km/h."""
        east, north = self.wind_km_h[hour]
        k, m, phase, frequency = self.eddies
        angle = east_km[..., None] * k + north_km[..., None] * m
        angle += phase + frequency * self.hours[hour]
        # Half the square of each of n sines: sqrt(2 / n) gives a root mean square of one.
        strength = self.eddy_share * np.hypot(east, north) * np.sqrt(2 / k.size)
        slope = strength * np.sin(angle) / np.hypot(k, m)
        return east + slope @ m, north - slope @ k


def make_weather(atmosphere: Atmosphere, *, hours: int, first_hour: float, seed: int) -> Weather:
    """Return the weather of a seed for so many hours and the spin-up before them.

    The first of the hours begins ``first_hour`` hours after 00:00 UTC of a Monday.
    """
    rng = np.random.default_rng([seed, 1])
    count = hours + SPIN_UP_HOURS
    elapsed = np.arange(count) + 0.5
    # Bounded to +-2, since the calmest air still moves and the deepest layer has a lid.
    stagnation = 2 * np.tanh(red_noise(rng, count, atmosphere.stagnation_hours) / 1.7)
    gusts = red_noise(rng, count, 8.0)
    swerve = red_noise(rng, count, 18.0)
    speed = atmosphere.wind_speed_m_s * 3.6 * np.exp(-0.45 * stagnation + 0.25 * gusts)
    turn = rng.uniform(0, 2 * np.pi) + 2 * np.pi * elapsed / atmosphere.rotation_hours
    turn += 0.7 * swerve
    number = 2 * np.pi / rng.uniform(120, 400, _EDDIES)  # eddies of 120 to 400 km
    heading = rng.uniform(0, 2 * np.pi, _EDDIES)
    phase = rng.uniform(0, 2 * np.pi, _EDDIES)
    frequency = 2 * np.pi / rng.uniform(18, 60, _EDDIES)
    return Weather(
        hours=elapsed - SPIN_UP_HOURS + first_hour,
        wind_km_h=speed[:, None] * np.stack([np.sin(turn), np.cos(turn)], axis=1),
        stagnation=stagnation,
        eddies=np.stack([number * np.sin(heading), number * np.cos(heading), phase, frequency]),
        eddy_share=atmosphere.eddy_share,
    )


def drifting_field(
    weather: Weather, east_km: NDArray, north_km: NDArray, *, length_km: float, seed: int
) -> NDArray:
    """Return a random field that drifts with the regional wind, of mean 0 and variance 1.

    The field is a sum of plane waves with wave numbers drawn from the spectrum of the Gaussian
    covariance exp(-d**2 / (2 length**2)) (random Fourier features: Rahimi & Recht 2007), so it
    has no edges and no cells. Each wave changes its phase slowly: the pattern ages as it drifts.

    Returns
    -------
    ndarray, (hours, north, east)
        At the middle of each hour after the spin-up.
    """
    rng = np.random.default_rng([seed, 2])
    k, m = rng.normal(0, 1 / length_km, (2, _WAVES))
    drift = np.cumsum(weather.wind_km_h, axis=0) @ np.stack([k, m])  # (hour, wave)
    ageing = np.outer(weather.hours, rng.normal(0, 2 * np.pi / 72, _WAVES))
    phases = rng.uniform(0, 2 * np.pi, _WAVES) + ageing - drift
    # cos(a + b) = cos a cos b - sin a sin b makes the sum over waves one product of matrices.
    along = np.outer(k, east_km)
    along = np.concatenate([np.cos(along), -np.sin(along)])  # (2 waves, east)
    across = np.outer(north_km, m)
    field = np.empty((weather.hours.size - SPIN_UP_HOURS, north_km.size, east_km.size))
    for hour, phase in enumerate(phases[SPIN_UP_HOURS:]):
        angle = across + phase
        field[hour] = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) @ along
    return np.sqrt(2 / _WAVES) * field


def solar_hour(utc_hour: NDArray | float, longitude: NDArray | float) -> NDArray:
    """Return the mean local solar time, hours in [0, 24).

    The equation of time, at most 16 minutes, is left out.

    Examples
    --------
    >>> float(solar_hour(4.0, 120.0))
    12.0
    """
    return (np.asarray(utc_hour) + np.asarray(longitude) / 15.0) % 24.0


def day_bump(hour: NDArray, peak_hour: float, width_hours: float) -> NDArray:
    """Return a bell over the day, 1 at its peak hour, with midnight inside as any other hour."""
    from_peak = (np.asarray(hour) - peak_hour + 12.0) % 24.0 - 12.0
    return np.exp(-0.5 * (from_peak / width_hours) ** 2)


def red_noise(rng: np.random.Generator, hours: int, memory_hours: float) -> NDArray:
    """Return standard normal noise of that memory, smooth from hour to hour, (hours,).

    Two autoregressions in a row, of the memory and of a fifth of it: the second takes away the
    roughness that air does not have.
    """
    slow, fast = np.exp(-1 / np.array([memory_hours, memory_hours / 5]))
    lead = int(5 * memory_hours)
    noise = lfilter([1.0], [1.0, -(slow + fast), slow * fast], rng.standard_normal(lead + hours))
    # Variance of an AR(2) with roots slow and fast, driven by unit noise.
    variance = (1 + slow * fast) / ((1 - slow**2) * (1 - fast**2) * (1 - slow * fast))
    return noise[lead:] / np.sqrt(variance)


def plane_km(
    longitude: NDArray, latitude: NDArray, origin: tuple[float, float]
) -> tuple[NDArray, NDArray]:
    """Return km east and north of an origin (longitude, latitude) on a plane touching there.

    East is scaled by the cosine of the origin's latitude: over 3 degrees at latitude 39 this is
    off by 2 % at the edges, which nothing here needs better.
    """
    east = (longitude - origin[0]) * np.cos(np.radians(origin[1])) * _KM_PER_DEGREE
    return east, (latitude - origin[1]) * _KM_PER_DEGREE
