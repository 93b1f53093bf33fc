"""The marks of a map, in the colours of their values: cells of a field, and stations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.patheffects import withStroke

from aqreanalysis.conventions import PRODUCT_FLAGS
from aqreanalysis.maps.basemap import (
    CONTOUR_NUMBER,
    FIELD_Z,
    HATCH_Z,
    LINES_Z,
    STATION_Z,
    WORDS_Z,
)
from aqreanalysis.maps.colours import Colours
from aqreanalysis.maps.frame import SMALL_PT, TITLE_PT, Frame, centre_of, project
from aqreanalysis.maps.layers import ORIGINS, Cells, Stations, cell_corners
from aqreanalysis.maps.period import MapError
from aqreanalysis.maps.style import Style

#: Cells without an estimate.
NO_ESTIMATE_COLOUR = "#e6e6e6"
_NO_ESTIMATE = "no estimate"
_HATCHES = {
    "far_from_stations": ("////", "far from stations"),
    "few_stations_reporting": ("....", "few stations reporting"),
}
_HATCH_COLOUR = "#4d4d4d"
#: Hatching of large errors, apart from that of flags.
_ERROR_HATCH = "xxx"
#: From nothing to nearly white, over cells with large errors.
_FADING = LinearSegmentedColormap.from_list("fading", [(1, 1, 1, 0.0), (1, 1, 1, 0.85)])
_MISSING_COLOUR, _UNKNOWN_COLOUR = "#6e6e6e", "#b4b4b4"
#: What a station is called in the legend, and its mark.
_ORIGIN_WORDS = {
    "measured": "observed station",
    "filled": "station, gap filled",
    "estimated": "station, estimated",
    "outlook": "station, outlook",
    "hidden": "hidden station",
}
_MARKERS = {"measured": "o", "filled": "s", "estimated": "s", "outlook": "^", "hidden": "D"}
#: Size of marks relative to a circle's, so that all seem as large.
_MARKER_SIZES = {"D": 0.85, "x": 0.6, "^": 1.2}
#: Marks by value: the smallest and the largest relative to the usual one.
_SMALLEST, _LARGEST = 0.3, 3.0
#: Cell edges are clipped to this latitude: some projections cannot show the poles.
_POLE_DEG = 90 - 1e-6


@dataclass(frozen=True)
class Mesh:
    """Visible cells: projected corners (ny + 1, nx + 1), values and flags (ny, nx).

    ``error`` is (ny, nx) too, where it is drawn beside the values.
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    flag: np.ndarray
    error: np.ndarray | None = None


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


def draw_field(
    frame: Frame, meshes: list[Mesh], colours: Colours, style: Style, units: str = ""
) -> list[Any]:
    """Draw the cells, contours, and where not to trust them; return the legend's entries."""
    valid = np.concatenate([np.isfinite(mesh.values).ravel() for mesh in meshes])
    if not valid.any():
        write_message(frame, "no estimate anywhere at this time")
        return []
    for mesh in meshes:
        draw_cells(frame, mesh, colours)
    entries = draw_flags(frame, meshes)
    if style.uncertain is not None:
        entries += _draw_errors(frame, meshes, style, units)
    if style.contours is not False:
        _draw_contours(frame, meshes, colours, style)
    if not valid.all():
        entries.append(no_estimate_entry(colours))
    return entries


def draw_cells(frame: Frame, mesh: Mesh, colours: Colours) -> Any:
    """Draw the cells of a mesh in their colours; return what is drawn."""
    # matplotlib's own, not cartopy's: the corners are projected already, nothing wraps.
    return Axes.pcolormesh(
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


def no_estimate_entry(colours: Colours) -> Patch:
    """Return the legend's entry for cells without an estimate, which may be a class too."""
    named = any(entry.get_label() == _NO_ESTIMATE for entry in colours.classes or ())
    label = "not asked for" if named else _NO_ESTIMATE
    return Patch(facecolor=NO_ESTIMATE_COLOUR, edgecolor="#999999", label=label)


def draw_stations(
    frame: Frame,
    stations: Stations,
    colours: Colours | None,
    style: Style | None = None,
    units: str = "",
    *,
    scale: float = 1.0,
    quick: bool = False,
) -> list[Any]:
    """Draw the stations in the colours of their values; return the legend's entries.

    Without colours (on a map of uncertainty) the marks are white. ``scale`` multiplies their area.
    ``quick`` draws the outlines of all marks at once, below them.
    """
    by_value = style is not None and style.size_by_value and colours is not None
    x, y = project(frame.projection, *stations.places)
    size = scale * float(np.clip(5000 / max(x.size, 1), 26, 60))
    # On a map of uncertainty a hidden station needs no value.
    valued = np.isfinite(stations.values) | (stations.hidden & (colours is None))
    seen = on_map(frame, stations)
    entries: list[Any] = []
    for origin in ORIGINS:
        for has_value in (True, False):
            chosen = (stations.origins == origin) & (valued == has_value)
            if not chosen.any():
                continue
            look = _style(origin, has_value)
            values = stations.values[chosen] if has_value else None
            sizes: Any = size
            if by_value and values is not None and colours is not None:
                sizes = size * _size_factor(colours, values)
            places = np.stack([x, y])[:, chosen]
            _scatter(frame, places, sizes, look, values, colours, quick=quick)
            word = _ORIGIN_WORDS[origin]
            label = word if has_value else f"{word}, no value"
            if seen[chosen].any():
                entries.append(_legend_mark(label, look, colours if has_value else None))
    if by_value and colours is not None and colours.present and seen.any():
        entries += _size_entries(colours, size, units)
    return entries


def _size_factor(colours: Colours, values: np.ndarray) -> np.ndarray:
    """Return the area of marks by their values, relative to the usual one."""
    return _SMALLEST + (_LARGEST - _SMALLEST) * colours.share(values)


def _size_entries(colours: Colours, size: float, units: str) -> list[Any]:
    """Return the legend's entries for a small, a middle and a large mark."""
    ticks = colours.ticks()
    entries = []
    for value in ticks[[0, ticks.size // 2, -1]] if ticks.size > 2 else ticks:
        look = {**_style("measured", True), "facecolor": colours.map(colours.norm(value))}
        mark = _legend_mark(f"{value:g} {units}".strip(), look, None)
        factor = float(_size_factor(colours, np.array(value)))
        mark.set_markersize(float(np.sqrt(size * factor)))
        entries.append(mark)
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


def _style(origin: str, has_value: bool) -> dict[str, Any]:
    """Return marker, edge and outline of a kind of station."""
    marker = _MARKERS[origin]
    if origin != "hidden" and not has_value:
        return {"marker": "x", "color": _MISSING_COLOUR, "linewidths": 1.3, "halo": "white"}
    face = {} if has_value else {"facecolor": _UNKNOWN_COLOUR}
    if origin == "hidden":
        return {"marker": marker, "edgecolor": "white", "linewidths": 1.1, "halo": "black", **face}
    return {"marker": marker, "edgecolor": "black", "linewidths": 0.8, "halo": "white"}


def _scatter(
    frame: Frame,
    places: np.ndarray,
    size: float | np.ndarray,
    style: dict[str, Any],
    values: np.ndarray | None,
    colours: Colours | None,
    *,
    quick: bool,
) -> None:
    """Draw stations of one kind at projected positions (2, n)."""
    options = {name: value for name, value in style.items() if name != "halo"}
    if values is not None and colours is not None:
        options |= {"c": values, "cmap": colours.map, "norm": colours.norm}
    elif "color" not in options:
        options = {"facecolor": "white", **options}
    placed = {
        "s": size * _MARKER_SIZES.get(style["marker"], 1.0),
        "zorder": STATION_Z + 0.1 * (style["marker"] == "D"),
        "transform": frame.axes.transData,
    }
    if quick:
        outline = {"linewidths": style["linewidths"] + 1.4, "marker": style["marker"]}
        frame.axes.scatter(*places, color=style["halo"], **outline, **placed)
    else:
        options["path_effects"] = [_halo(style)]
    frame.axes.scatter(*places, **options, **placed)


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


def draw_flags(frame: Frame, meshes: list[Mesh]) -> list[Any]:
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


def _draw_errors(frame: Frame, meshes: list[Mesh], style: Style, units: str) -> list[Any]:
    """Draw pale or hatched cells where the error is large; return the legend's entry."""
    errors = [np.full(mesh.values.shape, np.nan) if mesh.error is None else mesh.error
              for mesh in meshes]  # fmt: skip
    every = np.concatenate([error.ravel() for error in errors])
    every = every[np.isfinite(every)]
    if not every.size:
        return []
    above = style.error_above
    if above is None:
        above = _rounded(float(np.percentile(every, 50 if style.uncertain == "fade" else 75)))
    limit = f"{above:g} {units}".strip()
    if style.uncertain == "hatch":
        look: dict[str, Any] = {"hatch": _ERROR_HATCH, "edgecolor": _HATCH_COLOUR, "linewidth": 0}
        for mesh, error in zip(meshes, errors, strict=True):
            large = np.isfinite(mesh.values) & (error > above)
            if large.any():
                area = _area(mesh, large)
                frame.axes.add_patch(
                    PathPatch(area, facecolor="none", zorder=HATCH_Z, alpha=0.5, **look)
                )
        return [Patch(facecolor="white", label=f"standard error above {limit}", **look)]
    for mesh, error in zip(meshes, errors, strict=True):
        share = np.where(np.isfinite(mesh.values), (error - above) / above, 0.0)
        Axes.pcolormesh(
            frame.axes, mesh.x, mesh.y, np.clip(share, 0, 1), cmap=_FADING, vmin=0, vmax=1,
            shading="flat", zorder=FIELD_Z + 0.1, rasterized=True,
        )  # fmt: skip
    label = f"paler: standard error above {limit}, palest from {2 * above:g}"
    return [Patch(facecolor="#f3ece4", edgecolor="#999999", label=label)]


def _rounded(value: float) -> float:
    """Return a number with one digit, or two where it begins with 1."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-9)))
    step = power / 2 if value < 3 * power else power
    return float(np.round(value / step) * step)


def _draw_contours(frame: Frame, meshes: list[Mesh], colours: Colours, style: Style) -> None:
    """Draw lines of equal value with their numbers, through the centres of the cells."""
    stated = style.contours
    levels = colours.ticks() if isinstance(stated, bool) else np.asarray(stated, np.float64)
    for mesh in meshes:
        if min(mesh.values.shape) < 2 or not np.isfinite(mesh.values).any():
            continue
        x, y = ((c[:-1, :-1] + c[1:, :-1] + c[:-1, 1:] + c[1:, 1:]) / 4 for c in (mesh.x, mesh.y))
        values = np.ma.masked_invalid(mesh.values)
        crossed = levels[(levels > values.min()) & (levels < values.max())]
        if not crossed.size:
            continue
        drawn = Axes.contour(
            frame.axes, x, y, values, levels=crossed, colors="#222222", linewidths=0.7,
            alpha=0.75, zorder=LINES_Z - 0.1,
        )  # fmt: skip
        for text in Axes.clabel(frame.axes, drawn, fontsize=SMALL_PT, fmt="%g"):
            text.set_path_effects([withStroke(linewidth=2, foreground="white", alpha=0.7)])
            text.set_gid(CONTOUR_NUMBER)


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
    y_edges = np.clip(_edges(latitude, cells.sides[1]), -_POLE_DEG, _POLE_DEG)
    high = _cells_between(y_edges, south, north)
    meshes = []
    # A cell may be visible once, or in part on either side of the projection's seam.
    for turn in 360 * np.arange(-2, 3):
        x_edges = _edges(longitude, cells.sides[0]) + turn - centre
        wide = _cells_between(x_edges, max(west - centre, -180.0), min(east - centre, 180.0))
        if high.stop <= high.start or wide.stop <= wide.start:
            continue
        seen = np.clip(x_edges[wide.start : wide.stop + 1], -180, 180) + centre
        x, y = project(frame.projection, *np.meshgrid(seen, y_edges[high.start : high.stop + 1]))
        chosen = np.ix_(rows[high], columns[wide])
        meshes.append(_mesh(x, y, cells, chosen))
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
    if not seen.any():  # of a map within a cell
        (left, right), (below, above) = _ends(x), _ends(y)
        seen = (left <= east) & (right >= west) & (below <= north) & (above >= south)
    rows, columns = (_hull(np.any(seen, axis=axis)) for axis in (1, 0))
    chosen = (rows, columns)
    if min(cells.values[chosen].shape) < 2:
        return []
    return [_mesh(cell_corners(x[chosen]), cell_corners(y[chosen]), cells, chosen)]


def _ends(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest of the four corners of each cell."""
    with np.errstate(invalid="ignore"):  # of cells that the projection does not show
        at = cell_corners(centres)
    around = np.stack([at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]])
    return around.min(0), around.max(0)


def _mesh(x: np.ndarray, y: np.ndarray, cells: Cells, chosen: Any) -> Mesh:
    """Return the mesh of some of the cells, of which the corners are projected."""
    error = None if cells.error is None else cells.error[chosen]
    return Mesh(x, y, cells.values[chosen], cells.flag[chosen], error)


def _hull(seen: np.ndarray) -> slice:
    """Slice from one before the first to one after the last that is seen."""
    index = np.flatnonzero(seen)
    return slice(max(index[0] - 1, 0), index[-1] + 2) if index.size else slice(0, 0)


def _edges(centres: np.ndarray, step: float) -> np.ndarray:
    """Return the edges of cells along an axis; a single cell is one step wide."""
    if centres.size == 1:
        return centres[0] + step * np.array([-0.5, 0.5])
    between = (centres[:-1] + centres[1:]) / 2
    first, last = 1.5 * centres[0] - 0.5 * centres[1], 1.5 * centres[-1] - 0.5 * centres[-2]
    return np.concatenate([[first], between, [last]])
