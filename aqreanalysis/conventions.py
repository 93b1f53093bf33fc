"""The vocabulary: pollutants with their CF names, units and plausible ranges; dimensions; flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

STATION = "station"
TIME = "time"
#: Labels on stations: the kind of instrument, and what a station stands for and where.
STATION_TYPES = ("sensor_type", "station_type", "area_type")
#: When an outlook begins, and the hours from there; in a set of outlooks they are dimensions.
REFERENCE, LEAD = "forecast_reference_time", "lead_time"
#: Of fields that may all have been, each coherent in space and time.
DRAW = "draw"
#: An area over which means are taken, such as a district.
ZONE = "zone"
#: Of an index, whose probabilities have this dimension.
CATEGORY = "category"

#: Units of every concentration after reading.
CONCENTRATION_UNITS = "ug m-3"

#: Hours of the longest span of time, a hundred years: more is a slip, and beyond
#: what stamps can hold.
CENTURY_HOURS = 876_600.0
#: Share of a period's hours that its mean needs; the data capture asked for by EU and US EPA rules.
MINIMUM_CAPTURE = 0.75

#: From below the shore of the Dead Sea to above the summit of Mount Everest, m.
ALTITUDES_M = (-450.0, 9000.0)

#: Meaning of the values of ``<variable>_flag`` in a product.
PRODUCT_FLAGS: Mapping[str, int] = MappingProxyType(
    {
        "supported": 0,
        "far_from_stations": 1,
        "few_stations_reporting": 2,
        "no_estimate": 3,
    }
)


class UnknownPollutantError(ValueError):
    """A name that is no pollutant and no alias of one."""


@dataclass(frozen=True)
class Pollutant:
    """One pollutant: its names, its units and what is physically plausible.

    Parameters
    ----------
    name : str
        The variable's name in every Dataset of this package, for example ``"pm25"``.
    standard_name : str
        CF standard name of the mass concentration.
    long_name : str
        For axis labels and legends, without units.
    label : str
        For maps, with subscripts as matplotlib's mathtext.
    plausible : tuple of float
        Smallest and largest hourly value that a station may report, in ug m-3.
    molar_mass : float or None
        g mol-1 of a gas; None for particles, which have no mixing ratio in ppb.
    events : tuple of float
        Ascending thresholds of polluted air, in ug m-3: breakpoints of China's index of air
        quality for single hours, or for days where it has none for hours (HJ 633-2012); of
        nitrogen monoxide those of the dioxide.
    aliases : tuple of str
        Other spellings in column names, lower case and without separators.
    """

    name: str
    standard_name: str
    long_name: str
    label: str
    plausible: tuple[float, float]
    events: tuple[float, ...]
    molar_mass: float | None = None
    aliases: tuple[str, ...] = ()

    @property
    def limits(self) -> tuple[float, float]:
        """The plausible range with room below for noise about zero, 0.5 % of the upper limit.

        Down to -10 ug m-3 for PM2.5, which is the lowest hourly value in the files of US EPA.
        """
        low, high = self.plausible
        return low - 0.005 * high, high


def _gas(
    name: str,
    species: str,
    label: str,
    limit: float,
    events: tuple[float, ...],
    molar_mass: float,
) -> Pollutant:
    """Return a gas; its CF name and long name follow from the species."""
    return Pollutant(
        name,
        f"mass_concentration_of_{species}_in_air",
        f"{species.replace('_', ' ')} mass concentration",
        label,
        (0.0, limit),
        events,
        molar_mass,
        (species.replace("_", ""),),
    )


# Molar masses: IUPAC standard atomic weights 2021. Upper limits: above the highest hourly values
# on record in public networks (dust storms for PM10, wildfire smoke for PM2.5).
POLLUTANTS: Mapping[str, Pollutant] = MappingProxyType(
    {
        p.name: p
        for p in (
            Pollutant(
                "pm25",
                "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air",
                "PM2.5 mass concentration",
                "PM$_{2.5}$",
                (0.0, 2000.0),
                (35.0, 75.0, 150.0),
                aliases=("pm2p5", "pm2.5", "pm25concentration", "pm25frmfem", "88101"),
            ),
            Pollutant(
                "pm10",
                "mass_concentration_of_pm10_ambient_aerosol_particles_in_air",
                "PM10 mass concentration",
                "PM$_{10}$",
                (0.0, 10000.0),
                (50.0, 150.0, 250.0),
                aliases=("pm10concentration", "81102"),
            ),
            _gas("no2", "nitrogen_dioxide", "NO$_2$", 2000.0, (100.0, 200.0, 700.0), 46.006),
            _gas("no", "nitrogen_monoxide", "NO", 3000.0, (100.0, 200.0, 700.0), 30.006),
            _gas("o3", "ozone", "O$_3$", 1500.0, (160.0, 200.0, 300.0), 47.997),
            _gas("so2", "sulfur_dioxide", "SO$_2$", 5000.0, (150.0, 500.0, 650.0), 64.064),
            _gas("co", "carbon_monoxide", "CO", 100000.0, (5000.0, 10000.0, 35000.0), 28.010),
        )
    }
)


def missing_class(kind: np.typing.DTypeLike) -> int:
    """Return what stands for a missing class, such as a flag outside of a clip, in integers.

    It is the largest number, which no class has, and which clients that read bytes as unsigned
    understand as well.

    Examples
    --------
    >>> missing_class("int8")
    127
    """
    return int(np.iinfo(kind).max)


def pollutant(name: str) -> Pollutant:
    """Return the pollutant of a name or alias such as "PM2.5", whatever its case and separators.

    Raises
    ------
    UnknownPollutantError
        If no pollutant has that name; the message lists those that are known.

    Examples
    --------
    >>> pollutant("PM2.5").name
    'pm25'
    >>> pollutant("Ozone").molar_mass
    47.997
    """
    matching = find_pollutant(name)
    if matching is None:
        raise UnknownPollutantError(
            f"unknown pollutant {name!r}; known are {', '.join(POLLUTANTS)}. "
            "Rename the variable, or name its column with columns={'pm25': ...}."
        )
    return matching


def find_pollutant(name: str) -> Pollutant | None:
    """Return the pollutant of that name or alias, or None.

    Examples
    --------
    >>> find_pollutant("humidity") is None
    True
    """
    key = "".join(c for c in name.lower() if c.isalnum() or c == ".")
    for candidate in POLLUTANTS.values():
        if key == candidate.name or key in candidate.aliases:
            return candidate
    return None


def quantile_name(variable: str, probability: float) -> str:
    """Return the name of a quantile's layer: the digits behind the point, two at least.

    Examples
    --------
    >>> [quantile_name("pm25", probability) for probability in (0.05, 0.5, 0.975)]
    ['pm25_q05', 'pm25_q50', 'pm25_q975']
    """
    digits = np.format_float_positional(probability).split(".")[1]
    return f"{variable}_q{digits:0<2}"


def counted(number: int, noun: str) -> str:
    """Return a number of things in words.

    Examples
    --------
    >>> counted(1, "station"), counted(0, "value"), counted(30, "hour")
    ('1 station', '0 values', '30 hours')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def draws_name(variable: str) -> str:
    """Return the name of the layer of draws.

    Examples
    --------
    >>> draws_name("pm25")
    'pm25_draws'
    """
    return f"{variable}_draws"


def probability_of(role: str) -> float | None:
    """Return the probability in the last part of a layer's name, if it is a quantile's.

    Examples
    --------
    >>> probability_of("q05"), probability_of("flag")
    (0.05, None)
    """
    digits = role.removeprefix("q")
    return float(f"0.{digits}") if digits != role and digits.isdecimal() else None
