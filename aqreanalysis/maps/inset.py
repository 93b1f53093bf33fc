"""Insets: parts of a map, enlarged in its corners, without words of their own."""

from typing import Any

import numpy as np
from matplotlib.patches import ConnectionPatch, Rectangle

from aqreanalysis.maps.basemap import WORDS_Z, Box, Surroundings, draw_basemap
from aqreanalysis.maps.colours import Colours
from aqreanalysis.maps.frame import INSET_SHARE, Frame, enlargement, inset_frame
from aqreanalysis.maps.marks import draw_field, draw_stations
from aqreanalysis.maps.natural_earth import Region
from aqreanalysis.maps.period import MapError
from aqreanalysis.maps.scene import Scene
from aqreanalysis.maps.style import Style

_CORNERS = ((1, 1), (1, 0), (0, 1), (0, 0))
#: A corner may be nearer to its part by the width of the map for so large a share of stations.
_NEARNESS = 0.4
_OUTLINE = "#111111"
#: How much larger than on the map a city is, of which an inset is named.
_CITY_ENLARGEMENT = 2.0
#: Lines of an inset are as wide as of a map of its size.
_LINE_WEIGHT, _MARK_SCALE, _MOST_CITIES = 0.7, 0.8, 6


def draw_insets(frame: Frame, scene: Scene, colours: Colours, style: Style) -> tuple[Box, ...]:
    """Draw the insets of a map in corners that are near and have few stations.

    Returns
    -------
    tuple of tuple of float
        What each covers of the map: left, bottom, right, top as shares of it.

    Raises
    ------
    MapError
        If the region of an inset lies outside of the map, or is too large to be enlarged.
    """
    covered: list[Box] = []
    free = list(_CORNERS)
    for asked, region in zip(style.insets, style.regions, strict=True):
        part = _part_of(frame, region)
        region = _enlarged(frame, region, named=isinstance(asked, str))
        corner = min(free, key=lambda corner: _cost(frame, scene, part, corner))
        free.remove(corner)
        covered.append(_draw_inset(frame, region, corner, scene, colours, style))
    return tuple(covered)


def stations_under(frame: Frame, scene: Scene, covered: tuple[Box, ...]) -> int:
    """Return how many stations the insets cover."""
    across, up = frame.shares(*scene.stations.places)
    under = np.zeros(across.shape, bool)
    for left, bottom, right, top in covered:
        under |= (left <= across) & (across <= right) & (bottom <= up) & (up <= top)
    return int(under.sum())


def _draw_inset(
    frame: Frame,
    region: Region,
    corner: tuple[int, int],
    scene: Scene,
    colours: Colours,
    style: Style,
) -> Box:
    """Draw one inset and the outline of its region; return what it covers."""
    inset = inset_frame(frame, region, corner)
    inset.axes.set_zorder(frame.axes.get_zorder() + 1)
    meshes = scene.meshes(inset)
    if meshes and any(np.isfinite(mesh.values).any() for mesh in meshes):
        draw_field(inset, meshes, colours, style, scene.units)
    around = Surroundings(style.cities, _MOST_CITIES, graticule=False, scale_bar=False)
    draw_basemap(inset, scene.stations.places, weight=_LINE_WEIGHT, surroundings=around)
    seen = colours if scene.coloured else None
    draw_stations(inset, scene.stations, seen, style, scale=_MARK_SCALE)
    inset.axes.spines["geo"].set(linewidth=1.4, edgecolor=_OUTLINE)
    west, east, south, north = inset.extent
    outline: dict[str, Any] = {"edgecolor": _OUTLINE, "linewidth": 1.1, "zorder": WORDS_Z}
    frame.axes.add_patch(
        Rectangle((west, south), east - west, north - south, facecolor="none", **outline)
    )
    _connect(frame, inset)
    outer, inner = frame.axes.get_position(original=True), inset.axes.get_position(original=True)
    return (
        (inner.x0 - outer.x0) / outer.width,
        (inner.y0 - outer.y0) / outer.height,
        (inner.x1 - outer.x0) / outer.width,
        (inner.y1 - outer.y0) / outer.height,
    )


def _connect(frame: Frame, inset: Frame) -> None:
    """Draw lines from the outline of a region to its inset, those that cross neither."""
    west, east, south, north = inset.extent
    x_low, x_high, y_low, y_high = frame.extent
    outer, inner = frame.axes.get_position(original=True), inset.axes.get_position(original=True)
    left, right = (outer.x0 + outer.width * (x - x_low) / (x_high - x_low) for x in (west, east))
    below, above = (
        outer.y0 + outer.height * (y - y_low) / (y_high - y_low) for y in (south, north)
    )
    more_left, less_right = left < inner.x0, right < inner.x1
    more_below, less_above = below < inner.y0, above < inner.y1
    shown = {
        (0, 0): more_left != more_below,
        (0, 1): more_left == less_above,
        (1, 0): less_right == more_below,
        (1, 1): less_right != less_above,
    }
    for corner in (corner for corner, free in shown.items() if free):
        place = (east if corner[0] else west, north if corner[1] else south)
        frame.figure.add_artist(
            ConnectionPatch(
                place, corner, "data", "axes fraction", axesA=frame.axes, axesB=inset.axes,
                color=_OUTLINE, linewidth=0.7, alpha=0.6,
            )
        )  # fmt: skip


def _enlarged(frame: Frame, region: Region, *, named: bool) -> Region:
    """Return the region of an inset; of a city that is named, as much as is enlarged enough."""
    west, east, south, north = region
    scale = enlargement(frame, region)
    if named:
        part = min(scale / _CITY_ENLARGEMENT, 1.0)
        across, up = part * (east - west) / 2, part * (north - south) / 2
        middle, height = (west + east) / 2, (south + north) / 2
        return middle - across, middle + across, height - up, height + up
    if scale <= 1:
        raise MapError(
            f"the inset {west:g} to {east:g}, {south:g} to {north:g} would be {scale:.2g} times as "
            f"large as on the map: an inset enlarges. Take less than {INSET_SHARE:.0%} of the "
            "map's width and height, or draw that part alone with region="
        )
    return region


def _part_of(frame: Frame, region: Region) -> tuple[float, float]:
    """Return the middle of a region on the map, as shares of its width and height."""
    west, east, south, north = region
    middle = frame.shares(np.array([(west + east) / 2]), np.array([(south + north) / 2]))
    across, up = (float(share[0]) for share in middle)
    if not (0 <= across <= 1 and 0 <= up <= 1):
        raise MapError(
            f"the inset {west:g} to {east:g}, {south:g} to {north:g} lies outside of the map; "
            "leave it out, or draw a larger region"
        )
    return across, up


def _cost(
    frame: Frame, scene: Scene, part: tuple[float, float], corner: tuple[int, int]
) -> tuple[bool, float]:
    """Return whether a corner holds the enlarged part itself, and how ill it is for an inset."""
    low = tuple(0.58 * at for at in corner)
    inside = all(start <= share <= start + 0.42 for start, share in zip(low, part, strict=True))
    away = np.hypot(part[0] - low[0] - 0.21, part[1] - low[1] - 0.21)
    across, up = frame.shares(*scene.stations.places)
    covered = (abs(across - low[0] - 0.21) < 0.21) & (abs(up - low[1] - 0.21) < 0.21)
    return inside, float(covered.sum() / max(covered.size, 1) + _NEARNESS * away)
