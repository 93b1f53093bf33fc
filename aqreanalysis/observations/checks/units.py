"""Conversion of concentrations and meteorology to the units of this package.

Usual spellings are folded here; any other goes to pint, which is imported only then. A mixing
ratio (ppb, ppm) becomes a mass concentration with the molar mass of the gas at a stated
temperature and pressure.
"""

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, pollutant
from aqreanalysis.observations.checks import Floats
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.variables import METEOROLOGY

#: Conditions at which US EPA states gases in mass units (40 CFR 50.3): 25 degC and 1 atm.
REFERENCE_TEMPERATURE_K = 298.15
REFERENCE_PRESSURE_HPA = 1013.25

#: J mol-1 K-1, exact since the 2019 redefinition of the SI.
_GAS_CONSTANT = 8.31446261815324

#: Characters of units, and what no power or factor in them looks like.
_LONGEST = 60
_LARGE_POWER = re.compile(r"\d{5}|[eE][+-]?\d{3}|(?:(?<!\d)[a-zA-Z)]|\^|\*\*)[+-]?\d{2}")

_MIXING_RATIOS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("ppt", "pptv", "parts per trillion", "pmol mol-1", "1e-12"), 1e-12),
        **dict.fromkeys(("ppb", "ppbv", "parts per billion", "nmol mol-1", "1e-9"), 1e-9),
        **dict.fromkeys(("ppm", "ppmv", "parts per million", "umol mol-1", "1e-6"), 1e-6),
        "mol mol-1": 1.0,
    }
)


#: Least 95th percentile of the values above zero, and largest median, of months at any place, in
#: ug m-3. Below are the cleanest remote stations, above the most polluted streets and volcanoes; a
#: thousand lies between a unit and the next.
_LEVELS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "pm25": (0.6, 1000.0),
        "pm10": (1.0, 4000.0),
        "no2": (0.15, 500.0),
        "no": (0.01, 1000.0),
        "o3": (2.0, 400.0),
        "so2": (0.03, 1000.0),
        "co": (20.0, 20000.0),
    }
)


def implausible_level(values: ArrayLike, variable: str, factor: float | None = None) -> str:
    """Return why values cannot be of a pollutant in ug m-3, with the units they may be in, or "".

    ``factor`` is that by which they were multiplied to be in ug m-3, where it is known.

    Examples
    --------
    >>> implausible_level([0.8, 1.1, 0.0, 2.3], "co")
    'too low in ug m-3 (95 % of the values above 0 are below 2.3): were they in mg/m3 or ppm?'
    >>> implausible_level([31423.0], "so2", concentration_factor("ppm", "so2"))
    'too high in ug m-3 (median 31423): were they in ug/m3 or ppb?'
    >>> implausible_level([31423.0], "so2")
    'too high in ug m-3 (median 31423)'
    >>> implausible_level([450.0, 900.0], "co")
    ''
    """
    if variable not in _LEVELS:
        return ""
    numbers = np.asarray(values, dtype=np.float64)
    numbers = numbers[numbers > 0]
    if not numbers.size:
        return ""
    least, most = _LEVELS[variable]
    high, middle = float(np.quantile(numbers, 0.95, method="higher")), float(np.median(numbers))
    if high >= least and middle <= most:
        return ""
    units = ["ug/m3", "mg/m3"] + (["ppb", "ppm"] if POLLUTANTS[variable].molar_mass else [])
    level = f"too high in ug m-3 (median {middle:.5g})"
    if high < least:
        level = f"too low in ug m-3 (95 % of the values above 0 are below {high:.3g})"
    ratios = {unit: concentration_factor(unit, variable) / (factor or 1.0) for unit in units}
    fitting = [u for u, r in ratios.items() if 2 * least <= high * r and middle * r <= most / 2]
    return f"{level}: were they in {' or '.join(fitting)}?" if fitting else level


def plausible_levels(values: Floats, variable: str) -> NDArray[np.bool_]:
    """Return which series (series, time) `implausible_level` finds nothing wrong with, for certain.

    By counts alone, without sorting: enough values above the least level, most below the largest.
    """
    if variable not in _LEVELS:
        return np.ones(values.shape[0], dtype=bool)
    least, most = _LEVELS[variable]
    positive, enough, low = (
        np.count_nonzero(which, axis=1)
        for which in (values > 0, values >= least, (values > 0) & (values <= most))
    )
    above = positive - np.ceil(0.95 * (positive - 1))  # as many are not below the quantile
    return (positive == 0) | ((enough >= above) & (2 * low > positive))


def concentration_factor(
    units: str,
    pollutant_name: str,
    *,
    temperature_k: float = REFERENCE_TEMPERATURE_K,
    pressure_hpa: float = REFERENCE_PRESSURE_HPA,
) -> float:
    """Return the factor from some units of a pollutant to ug m-3.

    For a mixing ratio r the mass concentration is r M p / (R T).

    Parameters
    ----------
    units : str
        For example ``"ug/m3"``, ``"µg m-3"``, ``"Micrograms/cubic meter (LC)"``, ``"mg m-3"``,
        ``"ppb"`` or ``"Parts per million"``.
    pollutant_name : str
        Name or alias; it gives the molar mass M.
    temperature_k, pressure_hpa : float, optional
        Conditions of the mass concentration, for mixing ratios only. The default is what US EPA
        uses, 298.15 K and 1013.25 hPa; the European Union uses 293.15 K.

    Returns
    -------
    float

    Raises
    ------
    ObservationError
        If the units are unknown, are none of a concentration, or are a mixing ratio of particles.

    Examples
    --------
    >>> concentration_factor("mg/m3", "co")
    1000.0
    >>> round(concentration_factor("ppb", "o3"), 4)
    1.9618
    """
    spelling = _spelling(units)
    if spelling in _MIXING_RATIOS:
        mass = pollutant(pollutant_name).molar_mass
        if mass is None:
            raise ObservationError(
                f"{pollutant_name} is made of particles and cannot be in {units!r}; "
                f"expected a mass concentration such as {CONCENTRATION_UNITS!r}"
            )
        mol_per_m3 = pressure_hpa * 100.0 / (_GAS_CONSTANT * temperature_k)
        return _MIXING_RATIOS[spelling] * mol_per_m3 * mass * 1e6
    factor, offset = _linear(spelling, "ug m-3", units, pollutant_name)
    if offset:
        raise ObservationError(f"{pollutant_name} cannot be in {units!r}")
    return factor


@lru_cache
def usual_factors(variable: str) -> tuple[float, ...]:
    """Return the factors to ug m-3 from the units that files of a pollutant use, 1 first.

    Examples
    --------
    >>> usual_factors("pm25"), len(usual_factors("o3"))
    ((1.0, 1000.0), 4)
    """
    if variable not in POLLUTANTS:
        return (1.0,)
    ratios = ("ppb", "ppm") if POLLUTANTS[variable].molar_mass else ()
    return (1.0, 1000.0, *(concentration_factor(units, variable) for units in ratios))


def to_concentration(
    values: ArrayLike,
    units: str,
    pollutant_name: str,
    *,
    temperature_k: float = REFERENCE_TEMPERATURE_K,
    pressure_hpa: float = REFERENCE_PRESSURE_HPA,
) -> Floats:
    """Return values of a pollutant in ug m-3.

    Parameters
    ----------
    values : array_like
        In ``units``; NaN stays NaN.
    units, pollutant_name, temperature_k, pressure_hpa
        As in `concentration_factor`.

    Returns
    -------
    ndarray of float64, the shape of ``values``

    Raises
    ------
    ObservationError
        As in `concentration_factor`.

    Examples
    --------
    >>> to_concentration([0.05, 0.07], "ppm", "o3").round(1)
    array([ 98.1, 137.3])
    """
    factor = concentration_factor(
        units, pollutant_name, temperature_k=temperature_k, pressure_hpa=pressure_hpa
    )
    return np.asarray(values, dtype=np.float64) * factor


def linear_conversion(units: str, target: str, name: str) -> tuple[float, float]:
    """Return factor and offset between units of a meteorological variable, named for the message.

    Raises
    ------
    ObservationError
        If the units are unknown or measure something else.

    Examples
    --------
    >>> factor, offset = linear_conversion("K", "degC", "temperature")
    >>> round(factor, 6), round(offset, 2)
    (1.0, -273.15)
    """
    return _linear(_spelling(units), _spelling(target), units, name)


def conversion(
    variable: str, stated: str | None, *, journal: Journal
) -> tuple[float, float, str | None]:
    """Return factor and offset to the units of this package, and those units where known.

    Pollutants without stated units are taken for ug m-3, and that is logged; other variables
    without stated units keep their numbers and get no units.
    """
    with journal.collecting():
        if variable in POLLUTANTS:
            if stated is None:
                journal.decide(f"{variable} states no units and is taken for ug m-3")
                journal.factors[variable] = 1.0
                return 1.0, 0.0, CONCENTRATION_UNITS
            factor = concentration_factor(stated, variable)
            journal.factors[variable] = factor
            if factor != 1.0:
                journal.decide(f"{variable} converted from {stated} to ug m-3 (times {factor:.6g})")
            return factor, 0.0, CONCENTRATION_UNITS
        if variable in METEOROLOGY and stated is not None:
            target = METEOROLOGY[variable].units
            return *linear_conversion(stated, target, variable), target
    return 1.0, 0.0, stated


def _spelling(units: str) -> str:
    """Return units with one spelling for each sign, power and remark."""
    text = (
        re.sub(r"</?su[bp]>|^https?://.*/", "", str(units))
        .strip()[: _LONGEST + 1]
        .replace("µ", "u")
        .replace("μ", "u")
        .replace("²", "2")
    )
    text = text.replace("³", "3").replace("⁻", "-").replace("¹", "1").replace("−", "-")
    # Remarks such as EPA's "(LC)", local conditions, and "(25 C)" are no part of the unit.
    text = re.sub(r"\s*\([^)]*\)\s*$", "", text)
    text = re.sub(r"(?i)\s+(?:LC|STP|as NO2)$", "", text)
    text = re.sub(r"(?i)^([umnk]?g)[ ._-]*m\s*-?\s*3$", r"\1 m-3", text)
    text = re.sub(r"(?i)^([umn]?g)(?=\W)", lambda match: match[1].lower(), text)
    text = re.sub(r"(?i)micrograms?", "ug", text)
    text = re.sub(r"(?i)milligrams?", "mg", text)
    text = re.sub(r"(?i)nanograms?", "ng", text)
    text = re.sub(r"(?i)\s*(?:per|/)\s*cubic met(?:er|re)s?", " m-3", text)
    text = re.sub(r"(?i)^(parts) per (\w+).*$", r"\1 per \2", text)
    text = re.sub(r"\s*/\s*([A-Za-z]+)\s*(?:\^|\*\*)?\s*(\d?)", _inverse, text)
    text = re.sub(r"\s*[*.·]\s*(?=[A-Za-z])", " ", text)
    text = re.sub(r"(?:\^|\*\*)\s*", "", text)
    text = re.sub(r"^deg_(?=[CF]$)", "deg", text)
    folded = text.lower()
    return folded if folded in _MIXING_RATIOS or re.fullmatch(r"[unmk]?g m-3", folded) else text


def _inverse(match: re.Match) -> str:
    """Return "/m3" as " m-3"."""
    return f" {match[1]}-{match[2] or 1}"


@lru_cache(maxsize=256)
def _linear(spelling: str, target: str, units: str, name: str) -> tuple[float, float]:
    """Return factor and offset between two spellings, with pint where they are not the same."""
    if spelling == target:
        return 1.0, 0.0
    expected = f"expected units that convert to {target!r}"
    # Pint computes what it is told to: 9**999999999.
    if (
        len(spelling) > _LONGEST
        or not spelling.strip("°").isascii()
        or _LARGE_POWER.search(spelling)
    ):
        raise ObservationError(f"unknown units {str(units)[:60]!r} of {name}; {expected}")
    import pint

    logging.getLogger("pint.util").setLevel(logging.ERROR)  # of units that cf-xarray defines anew
    from cf_xarray.units import units as registry

    try:
        ends = registry.Quantity(np.array([0.0, 1.0]), registry.Unit(spelling)).to(target).magnitude
    except pint.DimensionalityError as error:
        raise ObservationError(f"{name} cannot be in {units!r}; {expected}") from error
    except Exception as error:  # pint raises many kinds, tokenizer errors among them
        raise ObservationError(
            f"unknown units {str(units)[:60]!r} of {name}; {expected}"
        ) from error
    zero, one = (float(end) for end in ends)
    if not (np.isfinite([zero, one]).all() and zero != one):
        raise ObservationError(f"{name} cannot be in {str(units)[:60]!r}; {expected}")
    return float(f"{one - zero:.12g}"), zero
