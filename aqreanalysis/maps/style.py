"""How a map is drawn: colours, marks, insets and what is written around it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap

from aqreanalysis.maps.natural_earth import Region, largest_cities
from aqreanalysis.maps.period import MapError

#: Degrees of latitude and of longitude at the equator on either side of a city that is named.
_AROUND_CITY_DEG = 0.4


@dataclass(frozen=True)
class Style:
    """How a map is drawn; all of it is optional.

    Parameters
    ----------
    limits : tuple of float
        Of the colours, in the variable's units; by default round numbers that hold nearly all
        that the map shows. Give them to compare maps.
    levels : sequence of float
        Boundaries between colours, ascending, in the variable's units.
    cmap : str or Colormap
        Of matplotlib or of cmcrameri, such as "viridis" or "batlow".
    centre : float
        In the middle of the colours, which then diverge from it; 0 by default for a difference.
    contours : bool or sequence of float
        Lines of equal value over the field: at the numbers of the colour bar, or at these.
    size_by_value : bool
        Whether marks of stations grow with their values.
    uncertain : {"fade", "hatch"}
        Pale or cross-hatched cells where the standard error is large.
    error_above : float
        From where on it is large, in the variable's units; by default a round number that a half
        (fade) or a quarter (hatch) of the cells exceed.
    inset : str, tuple of float or sequence of these
        Up to three parts of the map, enlarged in its corners: cities by name, with so much around
        them that they are twice as large or more, or west, east, south, north in degrees.
    local_time : str
        Zone of which the time is written beside UTC, such as "Asia/Shanghai".
    cities, bar, legend, caption : bool
        Whether these are drawn.

    Raises
    ------
    MapError
        All options that are wrong, at once.

    Examples
    --------
    >>> Style(levels=[0, 35, 75, 150], inset="Beijing").regions
    ((115.8..., 116.9..., 39.5..., 40.3...),)
    >>> Style(limits=("low", 3), cmap="virids")
    Traceback (most recent call last):
    aqreanalysis.maps.period.MapError: limits need two ascending numbers low, high; found
    ('low', 3); no colour map 'virids'; near are viridis, viridis_r
    """

    limits: tuple[float, float] | None = None
    levels: Sequence[float] | None = None
    cmap: str | Colormap | None = None
    centre: float | None = None
    contours: bool | Sequence[float] = False
    size_by_value: bool = False
    uncertain: Literal["fade", "hatch"] | None = None
    error_above: float | None = None
    inset: str | Region | Sequence[str | Region] | None = None
    local_time: str | None = None
    cities: bool = True
    bar: bool = True
    legend: bool = True
    caption: bool = True

    def __post_init__(self) -> None:
        checks = (
            self._limits_fault(),
            self._levels_fault(),
            self._cmap_fault(),
            self._uncertain_fault(),
            self._zone_fault(),
            self._switch_fault(),
        )
        faults = [fault for fault in checks if fault]
        try:
            regions = self.regions
        except MapError as error:
            faults.append(str(error))
        else:
            faults += ["a map has room for three insets"] if len(regions) > 3 else []
        if faults:
            raise MapError("; ".join(faults))

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """Return the style of keyword arguments.

        Raises
        ------
        TypeError
            If there is no such option.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise TypeError(f"a map has no option {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**options)

    @property
    def insets(self) -> tuple[Any, ...]:
        """What each inset shows, as it was asked for: the name of a city, or bounds."""
        if self.inset is None:
            return ()
        if isinstance(self.inset, str) or not isinstance(self.inset, Iterable):
            return (self.inset,)
        parts = tuple(self.inset)
        bounds = not any(isinstance(part, str) or np.ndim(part) for part in parts)
        return (parts,) if bounds else parts

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of the insets."""
        return tuple(checked_region(one, "inset") for one in self.insets)

    @property
    def colour_map(self) -> Colormap | None:
        """The colour map that is asked for."""
        from cmcrameri import cm

        if not isinstance(self.cmap, str):
            return self.cmap
        if self.cmap in colormaps:
            return colormaps[self.cmap]
        chosen = cm.cmaps[self.cmap]
        assert isinstance(chosen, Colormap)
        return chosen

    def _switch_fault(self) -> str:
        """Return which switches are neither True nor False."""
        switches = ("size_by_value", "cities", "bar", "legend", "caption")
        wrong = [
            f"{n}={getattr(self, n)!r}" for n in switches if getattr(self, n) not in (True, False)
        ]
        return f"switches are True or False; found {', '.join(wrong)}" if wrong else ""

    def _limits_fault(self) -> str:
        """Return what is wrong with the limits and the centre."""
        if self.centre is not None and not _are_numbers([self.centre]):
            return f"centre needs a number; found {self.centre!r}"
        if self.limits is None:
            return ""
        if self.levels is not None:
            return "levels have limits of their own: leave out limits, or levels"
        ascending = _are_numbers(self.limits) and np.shape(self.limits) == (2,)
        if ascending and self.limits[0] < self.limits[1]:
            low, high = self.limits
            if self.centre is None or low < self.centre < high:
                return ""
            return f"centre={self.centre} must lie between the limits {low} and {high}"
        return f"limits need two ascending numbers low, high; found {self.limits}"

    def _levels_fault(self) -> str:
        """Return what is wrong with the levels of colours or contours."""
        for name, levels in (("levels", self.levels), ("contours", self.contours)):
            if levels is None or isinstance(levels, bool):
                continue
            least = 2 if name == "levels" else 1
            is_list = _are_numbers(levels) and np.ndim(levels) == 1
            if not is_list or len(levels) < least or (np.diff(levels) <= 0).any():
                return f"{name} need {least} or more ascending numbers; found {levels}"
        return ""

    def _cmap_fault(self) -> str:
        """Return what is wrong with the name of the colour map."""
        from cmcrameri import cm

        if self.cmap is None or isinstance(self.cmap, Colormap):
            return ""
        known = [*colormaps, *cm.cmaps]
        if self.cmap in known:
            return ""
        return f"no colour map {self.cmap!r}; {_near(str(self.cmap), known)}"

    def _uncertain_fault(self) -> str:
        """Return what is wrong with how large errors are shown."""
        if self.uncertain not in (None, "fade", "hatch"):
            return f"uncertain is 'fade' or 'hatch'; found {self.uncertain!r}"
        if self.error_above is None:
            return ""
        if self.uncertain is None:
            return "error_above needs uncertain='fade' or 'hatch'"
        if _are_numbers([self.error_above]) and self.error_above > 0:
            return ""
        return f"error_above needs a number above 0; found {self.error_above!r}"

    def _zone_fault(self) -> str:
        """Return what is wrong with the time zone."""
        if self.local_time is None:
            return ""
        try:
            ZoneInfo(self.local_time)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            near = _near(str(self.local_time), sorted(available_timezones()))
            return f"no time zone {self.local_time!r}; {near}"
        return ""


def checked_region(region: Any, name: str = "region") -> Region:
    """Return a region given as four numbers or as the name of a city.

    Raises
    ------
    MapError
        If it is neither; all faults of the numbers at once.

    Examples
    --------
    >>> checked_region("Bejing")
    Traceback (most recent call last):
    aqreanalysis.maps.period.MapError: region needs west, east, south, north in degrees, or the
    name of a city; found 'Bejing', near are Beijing
    """
    if isinstance(region, str):
        return _around(region, name)
    if not _are_numbers(region) or np.shape(region) != (4,):
        raise MapError(f"{name} needs four numbers west, east, south, north; found {region}")
    west, east, south, north = (float(number) for number in region)
    faults = []
    if not west < east <= west + 360:
        faults.append(
            f"east must lie within 360 degrees east of west; found {west:g} to {east:g}. "
            f"Across the date line write {west:g} to {east + 360:g}"
        )
    if not -90 <= south < north <= 90:
        faults.append(f"south and north must ascend within -90..90; found {south:g} to {north:g}")
    if faults:
        raise MapError(f"{name}: {'; '.join(faults)}")
    return west, east, south, north


def _around(name: str, option: str) -> Region:
    """Return the surroundings of a city, the largest of that name."""
    cities = largest_cities()
    wanted = name.strip().casefold()
    if wanted not in cities:
        near = difflib.get_close_matches(wanted, cities, 3, 0.8)
        also = f", near are {', '.join(cities[one].name for one in near)}" if near else ""
        raise MapError(
            f"{option} needs west, east, south, north in degrees, or the name of a city; found "
            f"{name!r}{also}"
        )
    city = cities[wanted]
    high = _AROUND_CITY_DEG
    wide = high / max(np.cos(np.radians(city.latitude)), 0.2)
    south, north = max(city.latitude - high, -90.0), min(city.latitude + high, 90.0)
    return float(city.longitude - wide), float(city.longitude + wide), south, north


def _near(name: str, known: Sequence[str]) -> str:
    """Return known names that are like one, in words."""
    lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), lower, 3, 0.7)
    return f"near are {', '.join(lower[one] for one in near)}" if near else "check its spelling"


def _are_numbers(values: Any) -> bool:
    """Return whether all are finite numbers; texts are none."""
    try:
        array = np.asarray(values)
        return array.dtype.kind in "iuf" and bool(np.isfinite(array).all())
    except ValueError:  # of different lengths
        return False
