"""Names, numbers and units as a reader writes them."""

import re
from collections.abc import Iterable

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.maps.legend import written_units
from aqreanalysis.methods import METHODS

NO_BREAK = "\u00a0"
_MINUS, _THIN = "\u2212", "\u202f"


def label_of(method: str) -> str:
    """Name of a method for a reader; names of other methods stay as they are.

    Examples
    --------
    >>> label_of("idw"), label_of("My product v2")
    ('inverse distance', 'My product v2')
    """
    return METHODS[method].label if method in METHODS else method


def subject_of(method: str, *, opening: bool = False) -> str:
    """Name of a method as the subject of a sentence, capitalised where it opens one.

    Examples
    --------
    >>> subject_of("neural", opening=True), subject_of("cams", opening=True)
    ('The neural kNN', 'cams')
    """
    if method not in METHODS:
        return method
    words = METHODS[method].subject
    return words[0].upper() + words[1:] if opening else words


def decimals_for(values: Iterable[float]) -> int:
    """Decimals that show three digits of the largest value, three at most.

    Examples
    --------
    >>> decimals_for([30.84, 0.2]), decimals_for([7.1]), decimals_for([412.0])
    (1, 2, 0)
    """
    finite = [abs(value) for value in values if np.isfinite(value)]
    largest = max(finite, default=1.0)
    return int(np.clip(2 - np.floor(np.log10(largest)), 0, 3)) if largest > 0 else 1


def number(value: float, decimals: int = 0, *, signed: bool = False) -> str:
    """Write a number with separated thousands and a true minus sign.

    Examples
    --------
    >>> number(-0.04, 1), number(2.345, 2, signed=True)
    ('0.0', '+2.35')
    """
    text = f"{value:+,.{decimals}f}" if signed else f"{value:,.{decimals}f}"
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")
    return text.replace(",", _THIN).replace("-", _MINUS)


def percent(share: float, decimals: int = 0, *, signed: bool = False) -> str:
    r"""Write a share in per cent.

    Examples
    --------
    >>> percent(0.941)
    '94\xa0%'
    """
    return f"{number(100 * share, decimals, signed=signed)}{NO_BREAK}%"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write a count and its noun.

    Examples
    --------
    >>> counted(1, "station"), counted(12, "station")
    ('1 station', '12 stations')
    """
    return f"{number(count)} {noun if count == 1 else plural or f'{noun}s'}"


def shortened(name: str, longest: int = 60) -> str:
    """Shorten a name to fit a title; tables have all of it.

    Examples
    --------
    >>> shortened("Aotizhongxin", 6)
    'Aotiz…'
    """
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def enumerated(texts: Iterable[str]) -> str:
    """Texts as an enumeration in a sentence.

    Examples
    --------
    >>> enumerated(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last


def units_of(pairs: xr.Dataset) -> str:
    """Units of the values for running text, without a line break within."""
    return written_units(str(pairs.attrs["units"])).replace(" ", NO_BREAK)


def pollutant_text(variable: str) -> str:
    """Name of a pollutant as plain text.

    Examples
    --------
    >>> pollutant_text("pm25"), pollutant_text("no2")
    ('PM2.5', 'NO2')
    """
    return "".join(pollutant_parts(variable))


def pollutant_parts(variable: str) -> tuple[str, str]:
    """Name of a pollutant and its subscript, "" where it has none.

    Examples
    --------
    >>> pollutant_parts("pm25"), pollutant_parts("no")
    (('PM', '2.5'), ('NO', ''))
    """
    parts = re.fullmatch(r"(.*)\$_\{?([0-9.]+)\}?\$", drawn_pollutant(variable))
    return (parts[1], parts[2]) if parts else (drawn_pollutant(variable), "")


def drawn_pollutant(variable: str) -> str:
    """Name of a pollutant as mathematical text for figures."""
    known = POLLUTANTS.get(variable)
    return known.label if known else variable


def step_name(step_hours: float) -> str:
    """Averaging period of a value, as an adjective.

    Examples
    --------
    >>> step_name(1.0), step_name(24.0), step_name(3.0)
    ('hourly', 'daily', '3-hourly')
    """
    return {1.0: "hourly", 24.0: "daily"}.get(step_hours, f"{step_hours:g}-hourly")
