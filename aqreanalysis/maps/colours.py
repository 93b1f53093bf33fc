"""The colours of a map: of numbers, of what departs from a centre, of shares, and of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import xarray as xr
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize, TwoSlopeNorm
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS
from aqreanalysis.maps.layers import Classes, What
from aqreanalysis.maps.period import MapError
from aqreanalysis.maps.style import Style

#: What numbers mean, which decides about their colours.
Kind = Literal["value", "uncertainty", "difference", "probability"]

#: At which ends of a colour bar values lie beyond.
Extend = Literal["neither", "min", "max", "both"]

#: Share of a colour map that is used, from its pale end: the darkest part would swallow coastlines,
#: borders and hatching.
_DARKEST = 0.85
#: Below any concentration, also in kg m-3.
_ZERO = 1e-12
#: Words in the name of a layer that is a difference.
_DIFFERENCES = ("difference", "departure", "anomaly", "bias", "increment", "change")
#: Units of which values of both signs are differences, unlike those of temperature.
_UNITS_OF_DIFFERENCES = (CONCENTRATION_UNITS, "1", "%", "")


@dataclass(frozen=True)
class Colours:
    """Colour map and limits, common to the field and the stations.

    ``present`` says whether there is a value to colour at all, ``extend`` ("neither", "min", "max"
    or "both") where values lie beyond the limits, ``classes`` which of them are on the map,
    ``kind`` what the numbers mean.
    """

    map: Colormap
    norm: Normalize
    present: bool
    extend: Extend
    classes: tuple[Patch, ...] | None = None
    kind: Kind = "value"

    @classmethod
    def of(
        cls,
        kind: Kind,
        cells: np.ndarray,
        stations: np.ndarray,
        style: Style | None = None,
    ) -> Self:
        """Return the colours of numbers, of cells and stations of any shape."""
        style = style or Style()
        both = np.concatenate([cells.ravel(), stations.ravel()])
        finite = both[np.isfinite(both)]
        chosen = _colour_map(kind, style)
        if style.levels is not None:
            levels = np.asarray(style.levels, np.float64)
            extend = _extend(finite, levels[0], levels[-1])
            norm: Normalize = BoundaryNorm(levels, chosen.N, extend=extend)
            return cls(chosen, norm, finite.size > 0, extend, kind=kind)
        low, high = _limits(kind, cells, stations, style)
        centre = _centre(kind, style)
        norm = Normalize(low, high) if centre is None else TwoSlopeNorm(centre, low, high)
        return cls(chosen, norm, finite.size > 0, _extend(finite, low, high), kind=kind)

    @classmethod
    def of_classes(
        cls, classes: Classes, cells: np.ndarray, stations: np.ndarray, style: Style | None = None
    ) -> Self:
        """Return the colours of classes, with an entry of the legend for each on the map."""
        for name in ("limits", "levels", "cmap", "centre", "contours", "size_by_value"):
            given = getattr(style, name, None)
            if given is not None and given is not False:
                raise MapError(f"classes have colours of their own; leave out {name}={given}")
        both = np.concatenate([cells.ravel(), stations.ravel()])
        values = np.array(classes.values)
        entries = tuple(
            Patch(facecolor=colour, edgecolor="#999999", label=name)
            for value, name, colour in zip(values, classes.names, classes.colours, strict=True)
            if (both == value).any()
        )
        between = (values[:-1] + values[1:]) / 2
        norm = BoundaryNorm([values[0] - 1, *between, values[-1] + 1], values.size)
        colours = ListedColormap(list(classes.colours))  # an array of texts is read by few versions
        return cls(colours, norm, bool(np.isfinite(both).any()), "neither", entries)

    def ticks(self) -> np.ndarray:
        """Return the numbers of the colour bar within its limits."""
        if isinstance(self.norm, BoundaryNorm):
            return np.asarray(self.norm.boundaries, np.float64)
        low, high = float(self.norm.vmin or 0.0), float(self.norm.vmax or 0.0)
        ticks = np.asarray(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        return ticks[(ticks >= low) & (ticks <= high)]

    def share(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie between the limits, 0 to 1."""
        low, high = float(self.norm.vmin or 0.0), float(self.norm.vmax or 0.0)
        return np.clip((values - low) / max(high - low, 1e-12), 0, 1)


def kind_of(layer: xr.DataArray, name: str, what: What, values: Sequence[np.ndarray]) -> Kind:
    """Return what the numbers of a layer mean: by its name, or by the signs that are drawn.

    Values of both signs are differences, unless few of them are slightly negative, as a monitor's
    noise is, or their units are those of temperatures.

    Examples
    --------
    >>> bias = xr.DataArray([-3.0, 4.0], attrs={"long_name": "bias", "units": "ug m-3"})
    >>> kind_of(bias, "bias", "value", [bias.values])
    'difference'
    """
    if what == "uncertainty" or name.endswith("_uncertainty"):
        return "uncertainty"
    said = f"{name} {layer.attrs.get('long_name', '')}"
    units = str(layer.attrs.get("units", ""))
    if "probability" in said.lower() and units in ("1", ""):
        return "probability"
    if says_difference(said):
        return "difference"
    both = np.concatenate([np.ravel(part) for part in values])
    finite = both[np.isfinite(both)]
    if not finite.size or (units not in _UNITS_OF_DIFFERENCES and name not in POLLUTANTS):
        return "value"
    low, high = np.percentile(finite, (2, 98))
    return "difference" if low < -0.2 * max(high, 0.0) else "value"


def says_difference(text: str) -> bool:
    """Return whether a name calls a layer a difference.

    Examples
    --------
    >>> says_difference("bias of PM2.5"), says_difference("PM2.5 mass concentration")
    (True, False)
    """
    return any(word in text.lower().replace("_", " ").split() for word in _DIFFERENCES)


def _colour_map(kind: Kind, style: Style) -> Colormap:
    """Return the colour map that is asked for, or else the one of a kind of numbers."""
    from cmcrameri import cm

    if style.colour_map is not None:
        return style.colour_map
    if _centre(kind, style) is not None:
        return ListedColormap(cm.vik(np.linspace(0.08, 0.92, 256)))
    whole = {"uncertainty": cm.devon_r, "probability": cm.acton_r}.get(kind, cm.lajolla_r)
    return ListedColormap(whole(np.linspace(0, _DARKEST, 256)))


def _centre(kind: Kind, style: Style) -> float | None:
    """Return the centre of diverging colours, if they diverge."""
    if style.centre is not None:
        return float(style.centre)
    return 0.0 if kind == "difference" else None


def _limits(
    kind: Kind, cells: np.ndarray, stations: np.ndarray, style: Style
) -> tuple[float, float]:
    """Return the limits of colours, those asked for or those of the values."""
    if style.limits is not None:
        return float(style.limits[0]), float(style.limits[1])
    if kind == "probability":
        return 0.0, 1.0
    low, high = robust_limits(cells, stations) or (0.0, 1.0)
    centre = _centre(kind, style)
    if centre is None:
        return low, high
    away = max(abs(low - centre), abs(high - centre), 1e-9)
    return centre - away, centre + away


def _extend(finite: np.ndarray, low: float, high: float) -> Extend:
    """Return at which ends of the colours values lie beyond."""
    below, above = bool((finite < low).any()), bool((finite > high).any())
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def robust_limits(cells: np.ndarray, stations: np.ndarray) -> tuple[float, float] | None:
    """Return round limits that hold nearly all values, common to cells and stations.

    2 % of the cells and 5 % of the stations at either end may lie beyond them; a quantity that
    is never negative starts at zero unless all of it lies far above. None without any value.

    Examples
    --------
    >>> robust_limits(np.arange(101.0), np.array([500.0]))
    (0.0, 500.0)
    >>> robust_limits(np.zeros(3), np.array([]))
    (0.0, 1.0)
    """
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
        of_zero = abs(high) < _ZERO
        low, high = (0.0, 1.0) if of_zero else (low - 0.05 * abs(low), high + 0.05 * abs(high))
    locator = MaxNLocator(nbins=10, steps=[1, 2, 2.5, 5, 10])
    ticks = np.asarray(locator.tick_values(low, high))
    below, above = ticks[ticks <= low + 1e-12], ticks[ticks >= high - 1e-12]
    # The locator may begin or end a hair inside of the range.
    low_tick = below[-1] if below.size else ticks[0]
    high_tick = above[0] if above.size else ticks[-1]
    return float(low_tick), float(high_tick)
