"""The marks of a map, in the colours of their values: cells of a field, and stations."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from aqreanalysis.conventions import PRODUCT_FLAGS
from aqreanalysis.maps.basemap import FIELD_Z, HATCH_Z, STATION_Z, WORDS_Z
from aqreanalysis.maps.frame import TITLE_PT, Frame, centre_of, project
from aqreanalysis.maps.layers import Cells, Classes, Stations, What, usual_step
from aqreanalysis.maps.period import MapError

#: Cells without an estimate.
NO_ESTIMATE_COLOUR = "#e6e6e6"
_HATCHES = {
    "far_from_stations": ("////", "far from stations"),
    "few_stations_reporting": ("....", "few stations reporting"),
}
#: Share of the colour map that is used, from its pale end.
_DARKEST = 0.85
_HATCH_COLOUR = "#4d4d4d"
_MISSING_COLOUR, _UNKNOWN_COLOUR = "#6e6e6e", "#b4b4b4"
#: Cell edges are clipped to this latitude: some projections cannot show the poles.
_POLE_DEG = 90 - 1e-6


@dataclass(frozen=True)
class Colours:
    """Colour map and limits, common to the field and the stations.

    ``present`` says whether there is a value to colour at all, ``extend`` ("neither", "min", "max"
    or "both") where values lie beyond the limits, ``classes`` which of them are on the map.
    """

    map: Colormap
    norm: Normalize
    present: bool
    extend: str
    classes: tuple[Patch, ...] | None = None

    @classmethod
    def of(
        cls,
        what: What,
        limits: tuple[float, float] | None,
        cells: np.ndarray,
        stations: np.ndarray,
    ) -> Self:
        """Return the colours for what the map shows: warm for values, blue for uncertainties."""
        from cmcrameri import cm

        low, high = _checked_limits(limits) or robust_limits(cells, stations) or (0.0, 1.0)
        both = np.concatenate([cells.ravel(), stations.ravel()])
        finite = both[np.isfinite(both)]
        below, above = bool((finite < low).any()), bool((finite > high).any())
        extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max"}.get((below, above), "both")
        whole = cm.lajolla_r if what == "value" else cm.devon_r
        # The darkest part would swallow coastlines, borders and hatching.
        chosen = ListedColormap(whole(np.linspace(0, _DARKEST, 256)))
        return cls(chosen, Normalize(low, high), finite.size > 0, extend)

    @classmethod
    def of_classes(
        cls,
        classes: Classes,
        limits: tuple[float, float] | None,
        cells: np.ndarray,
        stations: np.ndarray,
    ) -> Self:
        """Return the colours of classes, with an entry of the legend for each on the map."""
        if limits is not None:
            raise MapError(f"classes have no limits of colours; leave out limits={limits}")
        both = np.concatenate([cells.ravel(), stations.ravel()])
        values = np.array(classes.values)
        entries = tuple(
            Patch(facecolor=colour, edgecolor="#999999", label=name)
            for value, name, colour in zip(values, classes.names, classes.colours, strict=True)
            if (both == value).any()
        )
        between = (values[:-1] + values[1:]) / 2
        norm = BoundaryNorm([values[0] - 1, *between, values[-1] + 1], values.size)
        colours = ListedColormap(classes.colours)
        return cls(colours, norm, bool(np.isfinite(both).any()), "neither", entries)


def robust_limits(cells: np.ndarray, stations: np.ndarray) -> tuple[float, float] | None:
    """Return round limits that hold nearly all values, common to cells and stations.

    2 % of the cells and 5 % of the stations at either end may lie beyond them; a quantity that
    is never negative starts at zero unless all of it lies far above. None without any value.

    Examples
    --------
    >>> robust_limits(np.arange(101.0), np.array([500.0]))
    (0.0, 500.0)
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
        low, high = low - 0.05 * abs(low) - 1e-3, high + 0.05 * abs(high) + 1e-3
    locator = MaxNLocator(nbins=10, steps=[1, 2, 2.5, 5, 10])
    ticks = np.asarray(locator.tick_values(low, high))
    below, above = ticks[ticks <= low + 1e-12], ticks[ticks >= high - 1e-12]
    # The locator may begin or end a hair inside of the range.
    low_tick = below[-1] if below.size else ticks[0]
    high_tick = above[0] if above.size else ticks[-1]
    return float(low_tick), float(high_tick)


def _checked_limits(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the limits that a caller gave, if they are two ascending numbers."""
    if limits is None:
        return None
    numbers = np.asarray(limits, np.float64)
    if numbers.shape != (2,) or not np.isfinite(numbers).all() or numbers[0] >= numbers[1]:
        raise MapError(f"limits need two ascending numbers low, high; found {limits}")
    return float(numbers[0]), float(numbers[1])


@dataclass(frozen=True)
class Mesh:
    """Visible cells: projected corners (ny + 1, nx + 1), values and flags (ny, nx)."""

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    flag: np.ndarray


def visible_meshes(frame: Frame, cells: Cells) -> list[Mesh]:
    """Project the cells that the map shows: one mesh or, across the seam of a projection, two.

    Raises
    ------
    MapError
        If the map shows none.
    """
    meshes = _rectangles(frame, cells) if cells.rectangular else _quadrangles(frame, cells)
    if not meshes:
        west, east, south, north = cells.region()
        raise MapError(
            "the region holds no cell of the product, which spans longitudes "
            f"{west:g} to {east:g} and latitudes {south:g} to {north:g}"
        )
    return meshes


def draw_field(frame: Frame, meshes: list[Mesh], colours: Colours) -> list[Any]:
    """Draw the cells and hatch those with a flag; return the legend's entries."""
    valid = np.concatenate([np.isfinite(mesh.values).ravel() for mesh in meshes])
    if not valid.any():
        write_message(frame, "no estimate anywhere at this time")
        return []
    for mesh in meshes:
        # matplotlib's own, not cartopy's: the corners are projected already, nothing wraps.
        Axes.pcolormesh(
            frame.axes,
            mesh.x,
            mesh.y,
            np.ma.masked_invalid(mesh.values),
            cmap=colours.map.with_extremes(bad=NO_ESTIMATE_COLOUR),
            norm=colours.norm,
            shading="flat",
            zorder=FIELD_Z,
            rasterized=True,
        )
    entries = _draw_flags(frame, meshes)
    if not valid.all():
        entries.append(
            Patch(facecolor=NO_ESTIMATE_COLOUR, edgecolor="#999999", label="no estimate")
        )
    return entries


def draw_stations(frame: Frame, stations: Stations, colours: Colours | None) -> list[Any]:
    """Draw the stations in the colours of their values; return the legend's entries.

    Without colours (on a map of uncertainty) the marks are white.
    """
    x, y = project(frame.projection, *stations.places)
    size = float(np.clip(5000 / max(x.size, 1), 26, 60))
    # On a map of uncertainty a hidden station needs no value.
    valued = np.isfinite(stations.values) | (stations.hidden & (colours is None))
    entries: list[Any] = []
    for hidden, word in ((False, "observed station"), (True, "hidden station")):
        for has_value in (True, False):
            chosen = (stations.hidden == hidden) & (valued == has_value)
            if not chosen.any():
                continue
            style = _style(hidden, has_value)
            values = stations.values[chosen] if has_value else None
            _scatter(frame, np.stack([x, y])[:, chosen], size, style, values, colours)
            label = word if has_value else f"{word}, no value"
            entries.append(_legend_mark(label, style, colours if has_value else None))
    return entries


def on_map(frame: Frame, stations: Stations) -> np.ndarray:
    """Mask of the stations that lie on the map, (n,) bool."""
    x, y = project(frame.projection, *stations.places)
    west, east, south, north = frame.extent
    return (west <= x) & (x <= east) & (south <= y) & (y <= north)


def write_message(frame: Frame, text: str) -> None:
    """Write a message in the middle of the map."""
    frame.axes.text(
        0.5,
        0.5,
        text,
        transform=frame.axes.transAxes,
        ha="center",
        va="center",
        fontsize=TITLE_PT,
        color="#333333",
        bbox={"facecolor": "white", "edgecolor": "#999999", "pad": 8},
        zorder=WORDS_Z,
    )


def _style(hidden: bool, has_value: bool) -> dict[str, Any]:
    """Return marker, edge and outline of a kind of station."""
    if not hidden and not has_value:
        return {"marker": "x", "color": _MISSING_COLOUR, "linewidths": 1.3, "halo": "white"}
    face = {} if has_value else {"facecolor": _UNKNOWN_COLOUR}
    if hidden:
        return {"marker": "D", "edgecolor": "white", "linewidths": 1.1, "halo": "black", **face}
    return {"marker": "o", "edgecolor": "black", "linewidths": 0.8, "halo": "white"}


def _scatter(
    frame: Frame,
    places: np.ndarray,
    size: float,
    style: dict[str, Any],
    values: np.ndarray | None,
    colours: Colours | None,
) -> None:
    """Draw stations of one kind at projected positions (2, n)."""
    options = {name: value for name, value in style.items() if name != "halo"}
    if values is not None and colours is not None:
        options |= {"c": values, "cmap": colours.map, "norm": colours.norm}
    elif "color" not in options:
        options = {"facecolor": "white", **options}
    options["path_effects"] = [_halo(style)]
    frame.axes.scatter(
        *places,
        s=size * (0.85 if style["marker"] == "D" else 0.6 if style["marker"] == "x" else 1.0),
        zorder=STATION_Z + 0.1 * (style["marker"] == "D"),
        transform=frame.axes.transData,
        **options,
    )


def _legend_mark(label: str, style: dict[str, Any], colours: Colours | None) -> Line2D:
    """Return the legend's entry for a kind of station."""
    if style["marker"] == "x":
        edge, face = style["color"], style["color"]
    else:
        filled = colours.map(0.45) if colours and colours.classes is None else "white"
        edge, face = style["edgecolor"], style.get("facecolor", filled)
    mark = Line2D(
        [],
        [],
        linestyle="none",
        marker=style["marker"],
        markersize=7,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=style["linewidths"],
        label=label,
    )
    mark.set_path_effects([_halo(style)])
    return mark


def _halo(style: dict[str, Any]) -> withStroke:
    """Return the outline around a mark of that style."""
    return withStroke(linewidth=style["linewidths"] + 1.4, foreground=style["halo"])


def _draw_flags(frame: Frame, meshes: list[Mesh]) -> list[Any]:
    """Hatch the cells of each flag where there is an estimate; return the legend's entries."""
    entries: list[Any] = []
    for name, (hatch, label) in _HATCHES.items():
        style: dict[str, Any] = {"hatch": hatch, "edgecolor": _HATCH_COLOUR, "linewidth": 0}
        flagged = [np.isfinite(mesh.values) & (mesh.flag == PRODUCT_FLAGS[name]) for mesh in meshes]
        areas = [
            _area(mesh, mask) for mesh, mask in zip(meshes, flagged, strict=True) if mask.any()
        ]
        for area in areas:
            patch = PathPatch(area, facecolor="none", zorder=HATCH_Z, alpha=0.4, **style)
            frame.axes.add_patch(patch)
        if areas:
            entries.append(Patch(facecolor="white", label=label, **style))
    return entries


def _area(mesh: Mesh, chosen: np.ndarray) -> Any:
    """Return the outline of the chosen cells as one path."""
    import shapely
    from matplotlib.path import Path

    corners = np.stack([mesh.x, mesh.y], axis=-1)
    ring = np.stack(
        [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2
    )[chosen]
    merged = shapely.coverage_union_all(shapely.polygons(ring))
    rings = shapely.get_rings(shapely.get_parts(merged))
    return Path.make_compound_path(
        *(Path(shapely.get_coordinates(line), closed=True) for line in rings)
    )


def _rectangles(frame: Frame, cells: Cells) -> list[Mesh]:
    """Project the visible cells of a grid in longitude and latitude."""
    centre = centre_of(frame.projection)
    west, east, south, north = frame.window
    columns, rows = np.argsort(cells.longitude[0]), np.argsort(cells.latitude[:, 0])
    longitude, latitude = cells.longitude[0, columns], cells.latitude[rows, 0]
    step = usual_step(longitude, latitude)
    y_edges = np.clip(_edges(latitude, step), -_POLE_DEG, _POLE_DEG)
    high = _cells_between(y_edges, south, north)
    meshes = []
    # A cell may be visible once, or in part on either side of the projection's seam.
    for turn in 360 * np.arange(-2, 3):
        x_edges = _edges(longitude, step) + turn - centre
        wide = _cells_between(x_edges, max(west - centre, -180.0), min(east - centre, 180.0))
        if high.stop <= high.start or wide.stop <= wide.start:
            continue
        seen = np.clip(x_edges[wide.start : wide.stop + 1], -180, 180) + centre
        x, y = project(frame.projection, *np.meshgrid(seen, y_edges[high.start : high.stop + 1]))
        chosen = np.ix_(rows[high], columns[wide])
        meshes.append(Mesh(x, y, cells.values[chosen], cells.flag[chosen]))
    return meshes


def _cells_between(edges: np.ndarray, low: float, high: float) -> slice:
    """Slice of the cells that overlap a range, from their ascending edges (n + 1,)."""
    first = int(np.searchsorted(edges[1:], low, side="right"))
    return slice(first, int(np.searchsorted(edges[:-1], high, side="left")))


def _quadrangles(frame: Frame, cells: Cells) -> list[Mesh]:
    """Project the visible cells of any other grid; corners lie midway between centres."""
    x, y = project(frame.projection, cells.longitude, cells.latitude)
    west, east, south, north = frame.extent
    seen = (west <= x) & (x <= east) & (south <= y) & (y <= north)
    rows, columns = (_hull(np.any(seen, axis=axis)) for axis in (1, 0))
    chosen = (rows, columns)
    if min(cells.values[chosen].shape) < 2:
        return []
    values, flag = cells.values[chosen], cells.flag[chosen]
    return [Mesh(_between(x[chosen]), _between(y[chosen]), values, flag)]


def _hull(seen: np.ndarray) -> slice:
    """Slice from one before the first to one after the last that is seen."""
    index = np.flatnonzero(seen)
    return slice(max(index[0] - 1, 0), index[-1] + 2) if index.size else slice(0, 0)


def _between(centres: np.ndarray) -> np.ndarray:
    """Corners of cells from their centres, both in projected coordinates."""
    padded = centres
    for axis in (0, 1):
        first, second = padded.take([0], axis), padded.take([1], axis)
        last, before = padded.take([-1], axis), padded.take([-2], axis)
        padded = np.concatenate([2 * first - second, padded, 2 * last - before], axis)
    return (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4


def _edges(centres: np.ndarray, step: float) -> np.ndarray:
    """Return the edges of cells along an axis; a single cell is one step wide."""
    if centres.size == 1:
        return centres[0] + step * np.array([-0.5, 0.5])
    between = (centres[:-1] + centres[1:]) / 2
    first, last = 1.5 * centres[0] - 0.5 * centres[1], 1.5 * centres[-1] - 0.5 * centres[-2]
    return np.concatenate([[first], between, [last]])
