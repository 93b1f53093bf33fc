"""The variables of observations: spellings, units and CF attributes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, find_pollutant


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


def known_variable(name: str) -> str | None:
    """Return the pollutant or meteorological variable of a spelling, or None.

    Examples
    --------
    >>> known_variable("PM2.5"), known_variable("Wind Speed"), known_variable("site")
    ('pm25', 'wind_speed', None)
    """
    pollutant = find_pollutant(name)
    if pollutant is not None:
        return pollutant.name
    key = folded(name)
    return next((n for n, m in METEOROLOGY.items() if key == folded(n) or key in m.spellings), None)


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
