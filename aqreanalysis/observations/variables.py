"""The variables of observations: spellings, units and CF attributes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, Pollutant, find_pollutant


@dataclass(frozen=True)
class Meteorology:
    """A meteorological variable: its units in this package, CF standard name, other spellings."""

    units: str
    standard_name: str
    spellings: tuple[str, ...]


METEOROLOGY: Mapping[str, Meteorology] = MappingProxyType(
    {
        name: Meteorology(units, standard_name, tuple(spellings.split()))
        for name, units, standard_name, spellings in (
            ("temperature", "degC", "air_temperature", "temperature temp airtemperature t2m"),
            ("pressure", "hPa", "air_pressure", "pressure pres airpressure surfacepressure"),
            ("dew_point", "degC", "dew_point_temperature", "dewpoint dewp dewpointtemperature"),
            ("relative_humidity", "%", "relative_humidity", "relativehumidity humidity rh"),
            ("wind_speed", "m s-1", "wind_speed", "windspeed wspm ws"),
            ("wind_direction", "degree", "wind_from_direction", "winddirection wd winddir"),
            ("rain", "mm", "lwe_thickness_of_precipitation_amount", "rain precipitation rainfall"),
        )
    }
)


#: What pollutants are called beside their names and aliases, folded.
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        spelling: name
        for name, spellings in {
            "pm25": "fineparticles fineparticulatematter pm25fine",
            "no": "nitricoxide monoxidodenitrogeno monoxydedazote stickstoffmonoxid",
            "no2": "dioxidodenitrogeno dioxydedazote stickstoffdioxid",
            "o3": "ozono ozon",
            "so2": "sulphurdioxide dioxidodeazufre dioxydedesoufre schwefeldioxid",
            "co": "monoxidodecarbono monoxydedecarbone kohlenmonoxid",
        }.items()
        for spelling in spellings.split()
    }
)

_UNITS = frozenset(("ug", "mg", "m3", "ugm3", "mgm3", "ppb", "ppm", "ppbv"))

#: Words of a name that is told twice.
_MOST_WORDS = 8

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")

#: Words beside a pollutant's name that leave it what it is: the hourly mass of PM2.5.
_REMARKS = frozenset(
    word
    for words in (
        "88101 88502 81102 44201 42602 42601 42401 42101 frm fem federal reference equivalent non",
        "particulate matter particles aerosol mass gas air ambient level levels principal",
        "concentration concentrations conc raw value values measured obs observed method",
        "of the in lc stp local conditions ug m3 ugm3 mg mgm3 ppb ppm ppbv 1 1h 1hr hr",
        "hourly hour avg average mean ein stunden mittelwert stundenmittel stundenmittelwert",
        "feinstaub",
    )
    for word in words.split(" ")
)


@lru_cache(maxsize=4096)
def known_variable(name: str) -> str | None:
    """Return the pollutant or meteorological variable of a spelling, or None.

    Remarks beside the name may say how or in which units it was measured, but not that it is
    something else: a mean of 8 or 24 hours, an index, a flag.

    Examples
    --------
    >>> known_variable("PM2.5"), known_variable("Wind Speed"), known_variable("site")
    ('pm25', 'wind_speed', None)
    >>> known_variable("PM2.5 particulate matter (Hourly measured)"), known_variable("O3_8h")
    ('pm25', None)
    >>> known_variable("PM<sub>10</sub>"), known_variable("Particulate matter < 2.5 µm")
    ('pm10', 'pm25')
    >>> known_variable("Feinstaub (PM₂,₅)"), known_variable("Nitrogen dioxide (NO2)")
    ('pm25', 'no2')
    """
    name = name.translate(_SUBSCRIPTS)
    pollutant = find_pollutant(name)
    if pollutant is not None:
        return pollutant.name
    key = folded(name)
    if key in _OTHER_NAMES:
        return _OTHER_NAMES[key]
    for weather, entry in METEOROLOGY.items():
        if key == folded(weather) or key in entry.spellings:
            return weather
    name = re.sub(r"</?su[bp]>", "", name)
    name = re.sub(r"(?i)partic\w*(?: matter)?\s*<\s*(2[.,]5|10)\s*[uµμ]?m?", r"pm\1 ", name)
    text = re.sub(r"(?i)\bpm[ _]?2[.,_ p]?5(?=\D|$)", "pm25 ", str(name).replace("µ", "u"))
    text = re.sub(r"(?i)\bpm[ _]?10(?:\.0)?(?=\D|$)", "pm10 ", text.replace("³", "3"))
    parts = [part for part in re.split(r"[^0-9A-Za-z]+", text.lower()) if part]
    bare = [part for part in parts if part not in _REMARKS]
    if not bare:
        return None
    return _named_once(bare) or _named_twice(bare)


def _named_once(words: Sequence[str]) -> str | None:
    """Return the pollutant that words name together."""
    pollutant = find_pollutant(" ".join(words))
    return pollutant.name if pollutant else _OTHER_NAMES.get("".join(words))


def _named_twice(words: Sequence[str]) -> str | None:
    """Return the pollutant that words name in two ways: "Nitrogen dioxide NO2"."""
    for cut in range(1, len(words) if len(words) <= _MOST_WORDS else 0):
        first = _named_once(words[:cut])
        if first is not None and first == _named_once(words[cut:]):
            return first
    return None


def pollutant_of_standard_name(standard_name: object) -> Pollutant | None:
    """Return the pollutant of a CF standard name of a concentration or a fraction, or None.

    Examples
    --------
    >>> pollutant_of_standard_name("mole_fraction_of_ozone_in_air").name
    'o3'
    """
    name = re.sub("^(mass|mole)_fraction_of", "mass_concentration_of", str(standard_name))
    # The older name, an alias in the standard name table, which CAMS writes.
    name = name.replace("aerosol_in_air", "aerosol_particles_in_air")
    return next((p for p in POLLUTANTS.values() if p.standard_name == name), None)


def is_remark(text: str) -> bool:
    """Return whether words behind a name are no units, but how it was measured.

    Examples
    --------
    >>> is_remark("Hourly measured"), is_remark("ug m-3"), is_remark("furlong")
    (True, False, False)
    """
    words = set(re.findall(r"[a-z0-9]+", text.lower()))
    return words <= _REMARKS - _UNITS


def attributes_of(variable: str, units: str | None) -> dict[str, str]:
    """Return the CF attributes of a variable; units of a pollutant are always ug m-3.

    Examples
    --------
    >>> attributes_of("rain", None)
    {'standard_name': 'lwe_thickness_of_precipitation_amount', 'long_name': 'rain'}
    """
    if variable in POLLUTANTS:
        pollutant = POLLUTANTS[variable]
        return {
            "units": CONCENTRATION_UNITS,
            "standard_name": pollutant.standard_name,
            "long_name": pollutant.long_name,
        }
    attributes = {"units": units} if units else {}
    if variable in METEOROLOGY:
        attributes["standard_name"] = METEOROLOGY[variable].standard_name
    return {**attributes, "long_name": variable.replace("_", " ")}


def folded(name: object) -> str:
    """Return a name in lower case and without separators: ``"Site Num"`` is "sitenum"."""
    return "".join(c for c in str(name).lower() if c.isalnum())


def listed(names: Iterable[object], most: int = 20) -> str:
    """Return names for a message, the first few of many, "none" if there is none."""
    texts = [text if len(text) <= 80 else f"{text[:77]}..." for text in map(str, names)]
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest if texts else "none"
