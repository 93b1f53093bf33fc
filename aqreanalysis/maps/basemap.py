"""The basemap: coastlines, borders, cities, graticule and scale bar."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patheffects import Normal, withStroke
from matplotlib.ticker import MaxNLocator

from aqreanalysis.maps.frame import SMALL_PT, TEXT_PT, Frame, project
from aqreanalysis.maps.natural_earth import Layer, cities, lines
from aqreanalysis.network import great_circle_km

#: States of large countries are drawn on maps up to this wide, all states up to the second.
_STATES_DEG, _ALL_STATES_DEG = 100.0, 20.0
#: No scale bar on maps wider than this: scale differs too much between their parts.
_SCALE_BAR_DEG = 100.0
_MOST_CITIES = 25
#: Straight lines of degrees are curves on a map, drawn in so many parts of its width.
_CURVES = 60
#: Width and height that the label of a degree needs with its surroundings, inches.
_LABEL_IN = 0.95, 0.4
#: Cities that are tried, those of most people first.
_CANDIDATES = 400
#: Where the name of a city may stand: right of its dot, left, above, below, and between these.
_NAME_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
#: A city that has no room is not represented by a smaller one this near, points.
_SUBURB_PT = 22.0

#: Left, bottom, right, top.
Box = tuple[float, float, float, float]

_COAST = {"colors": "#111111", "linewidths": 0.8}
_LAKE = {**_COAST, "linewidths": 0.6}
_BORDER = {"colors": "#111111", "linewidths": 0.9}
_LINE_HALO = [withStroke(linewidth=2.0, foreground="white", alpha=0.35), Normal()]
_DISPUTED = {**_BORDER, "linestyles": (0, (4, 3))}
_STATE = {"colors": "#333333", "linewidths": 0.5}
_HALO = [withStroke(linewidth=2.5, foreground="white", alpha=0.85)]

#: Order of drawing: field, hatching, lines, graticule, stations, words.
FIELD_Z, HATCH_Z, LINES_Z, GRATICULE_Z, CITY_Z, STATION_Z, WORDS_Z = (
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
)
#: Marks the numbers on contours, which names of cities leave free.
CONTOUR_NUMBER = "contour number"


@dataclass(frozen=True)
class Surroundings:
    """What of the surroundings is drawn.

    ``labels`` are the sides with degrees, ``covered`` parts of the map that something else covers:
    left, bottom, right, top as shares of it.
    """

    cities: bool = True
    most_cities: int = _MOST_CITIES
    graticule: bool = True
    labels: tuple[str, ...] = ("left", "bottom")
    scale_bar: bool = True
    covered: tuple[Box, ...] = ()


def draw_basemap(
    frame: Frame,
    stations: tuple[np.ndarray, np.ndarray],
    *,
    weight: float = 1.0,
    surroundings: Surroundings | None = None,
) -> None:
    """Draw all that orients the reader; names of cities leave the stations free.

    Parameters
    ----------
    frame : Frame
    stations : tuple of (n,) and (n,)
        Longitude and latitude of stations, degrees.
    weight : float
        Factor on the widths of the lines, which suit a map of 1600 pixels.
    surroundings : Surroundings, optional
        All by default.
    """
    wanted = surroundings or Surroundings()
    _draw_lines(frame, weight)
    if wanted.graticule:
        _draw_graticule(frame, wanted.labels)
    if wanted.scale_bar:
        _draw_scale_bar(frame, _bar_begins(wanted.covered))
    if wanted.cities:
        places = np.stack(project(frame.projection, *stations), axis=1)
        _draw_cities(frame, places, wanted)


def _draw_lines(frame: Frame, weight: float) -> None:
    """Draw coastlines, lakes, borders and, where they are not too many, states."""
    west, east, south, north = frame.window
    width = (east - west) * np.cos(np.radians((south + north) / 2))
    if width <= _STATES_DEG:
        rank = None if width <= _ALL_STATES_DEG else 0
        _draw(frame, "state", _STATE, weight, rank=rank)
    _draw(frame, "lake", _LAKE, weight, smallest=0.012 / weight)
    _draw(frame, "coastline", _COAST, weight, smallest=0.004 / weight)
    _draw(frame, "border", _BORDER, weight, rank=0)
    _draw(frame, "border", _DISPUTED, weight, rank=1)


def _draw_graticule(frame: Frame, labels: tuple[str, ...]) -> None:
    """Draw meridians and parallels with their degrees on the sides that have them."""
    from cartopy.crs import PlateCarree
    from cartopy.mpl.ticker import LatitudeFormatter, LongitudeFormatter

    west, east, south, north = frame.window
    left, right, bottom, top = frame.extent
    inch = frame.unit_pt / 72
    meridians = _ticks(west, east, (right - left) * inch / _LABEL_IN[0])
    drawn = frame.axes.gridlines(
        crs=PlateCarree(),
        draw_labels={side: {"left": "y", "bottom": "x"}[side] for side in labels} or False,
        xlocs=np.unique((meridians + 180) % 360 - 180),
        ylocs=_ticks(south, north, (top - bottom) * inch / _LABEL_IN[1]),
        x_inline=False,
        y_inline=False,
        linewidth=0.5,
        color="#555555",
        alpha=0.45,
        zorder=GRATICULE_Z,
        xformatter=LongitudeFormatter(number_format="g"),
        yformatter=LatitudeFormatter(number_format="g"),
    )
    drawn.rotate_labels = False
    drawn.xlabel_style = drawn.ylabel_style = {"size": TEXT_PT, "color": "#333333"}


def _bar_begins(covered: tuple[Box, ...]) -> float:
    """Return where the scale bar begins, as a share of the width: right of what is in its place."""
    return 0.03 + max((box[2] for box in covered if box[0] < 0.3 and box[1] < 0.1), default=0.0)


def _draw_scale_bar(frame: Frame, begins: float) -> None:
    """Draw a bar of a round number of km, true at its place, in the lower left corner."""
    west, east, south, north = frame.extent
    if frame.window[1] - frame.window[0] > _SCALE_BAR_DEG:
        return
    x = west + begins * (east - west)
    y = south + 0.035 * (north - south)
    unit_km = _km_per_unit(frame, x + 0.1 * (east - west), y)
    length_km = _round_down(0.22 * (east - west) * unit_km)
    right = x + length_km / unit_km
    style = {"solid_capstyle": "butt", "zorder": WORDS_Z, "transform": frame.axes.transData}
    frame.axes.plot([x, right], [y, y], color="white", linewidth=6, alpha=0.9, **style)
    frame.axes.plot([x, right], [y, y], color="black", linewidth=2.5, **style)
    frame.axes.annotate(
        f"{length_km:g} km",
        ((x + right) / 2, y),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=TEXT_PT,
        path_effects=_HALO,
        zorder=WORDS_Z,
    )


def _draw_cities(frame: Frame, stations_xy: np.ndarray, wanted: Surroundings) -> None:
    """Draw the largest cities whose names cover nothing else, (n, 2) projected."""
    edges = [edge * frame.unit_pt for edge in frame.extent]
    west, east, south, north = edges
    taken = [_box(point, (0, 0), 4.5, 4.5) for point in stations_xy * frame.unit_pt]
    wide, high = east - west, north - south
    taken += [
        (west + box[0] * wide, south + box[1] * high, west + box[2] * wide, south + box[3] * high)
        for box in wanted.covered
    ]
    taken += [
        _box(np.array(text.get_position()) * frame.unit_pt, (0, 0), 0.9 * SMALL_PT, 0.9 * SMALL_PT)
        for text in frame.axes.texts
        if text.get_gid() == CONTOUR_NUMBER
    ]
    if wanted.scale_bar:
        taken.append(_scale_bar_box(edges, _bar_begins(wanted.covered)))
    occupied = np.array(taken).reshape(-1, 4)
    names, unnamed = np.empty((0, 4)), np.empty((0, 2))
    candidates = cities(frame.window)[:_CANDIDATES]
    degrees = np.array([(city.longitude, city.latitude) for city in candidates]).reshape(-1, 2)
    places = np.stack(project(frame.projection, *degrees.T), axis=1)
    for city, place in zip(candidates, places, strict=True):
        if len(names) >= 2 * wanted.most_cities:
            break
        at = place * frame.unit_pt
        dot = _box(at, (0, 0), 3, 3)
        covering = np.concatenate([names, occupied[len(stations_xy) :]])
        if not _within(dot, edges) or (np.hypot(*(unnamed - at).T) < _SUBURB_PT).any():
            continue
        box = None if _overlap(dot, covering) else _room_for(city.name, at, edges, occupied, names)
        if box is None:
            unnamed = np.concatenate([unnamed, [at]])
            continue
        _draw_city(frame, city.name, (place[0], place[1]), at, box)
        names = np.concatenate([names, [box, dot]])


def _room_for(
    name: str, at: np.ndarray, edges: list[float], occupied: np.ndarray, names: np.ndarray
) -> Box | None:
    """Return where the name of a city covers nothing, (n, 4) each, if there is such a place."""
    half_width, half_height = 0.31 * SMALL_PT * len(name), 0.6 * SMALL_PT
    for right, up in _NAME_SIDES:
        shift = right * (half_width + 4), up * (half_height + 3)
        box = _box(at, shift, half_width, half_height)
        if _within(box, edges) and not (_overlap(box, occupied) or _overlap(box, names)):
            return box
    return None


def _draw_city(
    frame: Frame, name: str, place: tuple[float, float], at: np.ndarray, box: Box
) -> None:
    """Draw the dot of one city, and its name in a box, beginning or ending beside the dot."""
    side = "left" if box[0] > at[0] else "right" if box[2] < at[0] else "center"
    across = {"left": box[0], "right": box[2], "center": (box[0] + box[2]) / 2}[side]
    frame.axes.plot(*place, marker="s", markersize=2.5, color="black", zorder=CITY_Z)
    frame.axes.annotate(
        name,
        place,
        xytext=(across - at[0], (box[1] + box[3]) / 2 - at[1]),
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=SMALL_PT,
        style="italic",
        path_effects=_HALO,
        zorder=CITY_Z,
    )


def _draw(
    frame: Frame,
    layer: Layer,
    style: dict[str, Any],
    weight: float,
    *,
    rank: int | None = None,
    smallest: float = 0.0,
) -> None:
    """Draw the lines of a layer larger than a share of the map's width, simplified to a pixel."""
    width = frame.window[1] - frame.window[0]
    visible = lines(
        layer,
        frame.window,
        rank=rank,
        tolerance_deg=width / 2500,
        smallest_deg=smallest * width,
        longest_deg=width / _CURVES,
    )
    if not visible:
        return
    vertices = np.concatenate(visible)
    x, y = project(frame.projection, vertices[:, 0], vertices[:, 1])
    ends = np.cumsum([len(line) for line in visible])[:-1]
    projected = np.split(np.stack([x, y], axis=1), ends)
    whole = [line for line in projected if np.isfinite(line).all()]
    frame.axes.add_collection(
        LineCollection(
            whole,
            zorder=LINES_Z,
            path_effects=_LINE_HALO,
            capstyle="round",
            joinstyle="round",
            **{**style, "linewidths": weight * style["linewidths"]},
        ),
        autolim=False,
    )


def _ticks(low: float, high: float, room: float) -> np.ndarray:
    """Return round degrees within a range, as many as there is room for their labels."""
    span = high - low
    steps = [1, 2, 5, 10] if span < 12 else [1, 1.5, 2, 3, 5, 10] if span < 150 else [1, 3, 6, 10]
    ticks = np.asarray(
        MaxNLocator(nbins=int(np.clip(room, 2, 7)), steps=steps).tick_values(low, high)
    )
    return ticks[(ticks >= low) & (ticks <= high)]


def _km_per_unit(frame: Frame, x: float, y: float) -> float:
    """Return the km that one unit of the projection measures eastwards at a place."""
    from cartopy.crs import PlateCarree

    west, east = frame.extent[:2]
    step = 0.02 * (east - west)
    ends = PlateCarree().transform_points(
        frame.projection, np.array([x - step, x + step]), np.array([y, y])
    )
    return float(great_circle_km(*ends[0, :2], *ends[1, :2])) / (2 * step)


def _round_down(value: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten up to a value."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step for step in (5, 2, 1) if step * power <= value) * power)


def _box(
    point: np.ndarray, shift: tuple[float, float], half_width: float, half_height: float
) -> Box:
    """Return left, bottom, right, top of a box around a shifted point."""
    x, y = point[0] + shift[0], point[1] + shift[1]
    return x - half_width, y - half_height, x + half_width, y + half_height


def _scale_bar_box(edges: list[float], begins: float) -> Box:
    """Return the corner where the scale bar stands, which no name may enter."""
    west, east, south, _ = edges
    left = west + (begins - 0.03) * (east - west)
    return left, south, left + 0.28 * (east - west), south + 40


def _within(box: Box, edges: list[float]) -> bool:
    """Return whether a box lies within west, east, south, north."""
    return edges[0] < box[0] and box[2] < edges[1] and edges[2] < box[1] and box[3] < edges[3]


def _overlap(box: Box, others: np.ndarray) -> bool:
    """Return whether a box overlaps any of others, (n, 4)."""
    west, south, east, north = others.T
    return bool(((box[0] < east) & (west < box[2]) & (box[1] < north) & (south < box[3])).any())
