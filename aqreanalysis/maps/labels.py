"""How a map calls its variable, and between which limits it colours it."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS
from aqreanalysis.maps.layers import What
from aqreanalysis.maps.period import MapError


@dataclass(frozen=True)
class Words:
    """How the variable is called on the map: title and colour bar."""

    title: str
    label: str


def words_for(dataset: xr.Dataset, variable: str, what: What = "value") -> Words:
    """Return title and colour bar label of a variable, with its units as a reader writes them.

    Examples
    --------
    >>> words_for(xr.Dataset({"pm25": ((), 1.0, {"units": "ug m-3"})}), "pm25").label
    'PM$_{2.5}$ (μg m⁻³)'
    """
    attributes = dataset[variable].attrs
    known = POLLUTANTS.get(variable)
    name = known.label if known else str(attributes.get("long_name", variable))
    units = str(attributes.get("units", CONCENTRATION_UNITS if known else ""))
    suffix = f" ({written_units(units)})" if units not in ("", "1") else ""
    title = f"{name} concentration" if known else name
    if what == "uncertainty":
        return Words(f"{title}: standard error", f"{name} standard error{suffix}")
    return Words(title, f"{name}{suffix}")


def robust_limits(cells: np.ndarray, stations: np.ndarray) -> tuple[float, float] | None:
    """Return round limits that hold nearly all values, common to cells and stations.

    2 % of the cells and 5 % of the stations at either end may lie beyond them; a quantity that
    is never negative starts at zero unless all of it lies far above. None without any value.

    Examples
    --------
    >>> robust_limits(np.arange(101.0), np.array([500.0]))
    (0.0, 500.0)
    """
    from matplotlib.ticker import MaxNLocator

    ends = [
        np.percentile(finite, (share, 100 - share))
        for values, share in ((cells, 2), (stations, 5))
        if (finite := values[np.isfinite(values)]).size
    ]
    if not ends:
        return None
    low, high = float(np.min(ends)), float(np.max(ends))
    if 0 <= low < 0.4 * high:
        low = 0.0
    if high - low < 1e-6 * max(abs(high), 1e-6):
        low, high = low - 0.05 * abs(low) - 1e-3, high + 0.05 * abs(high) + 1e-3
    locator = MaxNLocator(nbins=10, steps=[1, 2, 2.5, 5, 10])
    ticks = np.asarray(locator.tick_values(low, high))
    below, above = ticks[ticks <= low + 1e-12], ticks[ticks >= high - 1e-12]
    # The locator may begin or end a hair inside of the range.
    low_tick = below[-1] if below.size else ticks[0]
    high_tick = above[0] if above.size else ticks[-1]
    return float(low_tick), float(high_tick)


def written_units(units: str) -> str:
    """Return units with Greek letter and raised exponents.

    Examples
    --------
    >>> written_units("ug m-3")
    'μg m⁻³'
    """
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    words = []
    for word in units.split():
        base = word.rstrip("-0123456789")
        exponent = word[len(base) :]
        base = f"μ{base[1:]}" if base in ("ug", "um", "umol") else base
        words.append(base + exponent.translate(raised) if base else word)
    return " ".join(words)


def checked_limits(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the limits that a caller gave, if they are two ascending numbers."""
    if limits is None:
        return None
    numbers = np.asarray(limits, np.float64)
    if numbers.shape != (2,) or not np.isfinite(numbers).all() or numbers[0] >= numbers[1]:
        raise MapError(f"limits need two ascending numbers low, high; found {limits}")
    return float(numbers[0]), float(numbers[1])
