"""Several maps side by side, of one region, with the colours that they can share."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.maps.basemap import Surroundings, draw_basemap
from aqreanalysis.maps.colours import Colours
from aqreanalysis.maps.frame import SUBTITLE_PT, TEXT_PT, Frame, Region, panel_frames
from aqreanalysis.maps.layers import What
from aqreanalysis.maps.legend import (
    Sheet,
    as_written,
    families,
    fitted_size,
    write_around,
    write_short,
)
from aqreanalysis.maps.marks import Mesh, draw_field, draw_stations, write_message
from aqreanalysis.maps.period import MapError, Time, clock
from aqreanalysis.maps.scene import Request, Scene, colours_of, field_scene, station_scene
from aqreanalysis.maps.style import Style, checked_region

#: A figure has room for so many maps.
_MOST_PANELS = 12
_LINE_WEIGHT, _MARK_SCALE = 0.6, 0.6
_TITLE_PT = 11
#: Cities of a map that is alone in its row, of two, of three ...
_CITIES = (12, 9, 6, 4)
#: Width of a letter of a bar's label.
_LETTER_IN = 0.085
#: Gap between colour bars above each other, as a share of their place.
_BAR_GAP = 0.08
_WHATS = {"value": "estimate", "uncertainty": "standard error"}


@dataclass(frozen=True)
class Panel:
    """One of several maps: what it shows, its name if it has one of its own, and its scene."""

    request: Request
    name: str
    scene: Scene


def map_panels(
    product: xr.Dataset,
    panels: Sequence[Any] | Mapping[str, Any],
    *,
    variable: str | None = None,
    time: Time | None = None,
    start: Time | None = None,
    draw: int | None = None,
    what: What = "value",
    observations: xr.Dataset | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    region: Region | str | None = None,
    columns: int | None = None,
    title: str | bool = True,
    **style: Any,
) -> Figure:
    """Several maps side by side: hours, layers, draws, methods or starts of outlooks.

    Maps whose values are of one kind and unit share their colours and one colour bar, so that they
    can be compared; estimates and standard errors have one each.

    Parameters
    ----------
    product : Dataset
        A gridded product, or observations, as of `map_field` and `map_stations`.
    panels : sequence or mapping
        What each map shows, in which it departs from the options below: a time; "value" or
        "uncertainty"; the name of another layer; the number of a draw; another product, such as one
        of another method; or a mapping of options, such as ``{"time": ..., "draw": 3}``. The keys
        of a mapping, such as ``{"kriging": one, "neural": other}``, name the maps.
    variable, time, start, draw, what, observations, hidden, region, title
        As of `map_field`, for all maps that do not say otherwise.
    columns : int, optional
        Maps beside each other; by default two or three.
    **style
        Of `Style`; panels have no insets. ``limits``, ``levels``, ``cmap`` and ``centre`` are those
        of the first map and of others of its kind.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MapError
        A ValueError, as of `map_field`, or if there is no panel or more than twelve.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
    >>> product = obs.aqnet.reanalyse("pm25", grid=0.5, method="kriging")
    >>> figure = map_panels(product, list(obs.time.values))
    >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
    ['2020-11-01 00:00 UTC', '2020-11-01 01:00 UTC']
    """
    chosen = Style.of(style)
    if chosen.inset is not None:
        raise MapError("maps side by side have no insets; leave out inset, or make it a panel")
    common = Request(variable, time, what, start, draw)
    shown = _panels(
        product, panels, common, observations, hidden, with_error=chosen.uncertain is not None
    )
    several = 3 if len(shown) in (3, 5, 6) or len(shown) > 8 else 2
    columns = several if columns is None else columns
    is_number = isinstance(columns, int | np.integer) and not isinstance(columns, bool)
    if not is_number or columns < 1:
        raise MapError(f"columns needs a number of maps beside each other; found {columns!r}")
    columns = min(columns, len(shown))
    window = checked_region(shown[0].scene.region() if region is None else region)
    has_bar = chosen.bar and any(panel.scene.classes is None for panel in shown)
    frames = panel_frames(window, len(shown), columns, title=title is not False, bar=has_bar)
    for panel, frame in zip(shown, frames, strict=True):
        panel.scene.check_region(frame)
    meshes = [panel.scene.meshes(frame) for panel, frame in zip(shown, frames, strict=True)]
    groups = _groups(shown)
    colours: dict[int, Colours] = {}
    styles: dict[int, Style] = {}
    for members in groups.values():
        scenes = [shown[number].scene for number in members]
        values = [shown[number].scene.on(frames[number], meshes[number]) for number in members]
        of_group = chosen if 0 in members else _plain(chosen, scenes[0])
        styles |= dict.fromkeys(members, of_group)
        colours |= dict.fromkeys(members, colours_of(scenes, values, of_group))
    entries: dict[str, Any] = {}
    for number, panel in enumerate(shown):
        drawn = _draw_panel(
            panel, frames[number], meshes[number], colours[number], styles[number], columns, number,
            bottom=number + columns >= len(shown),
        )  # fmt: skip
        entries |= {str(entry.get_label()): entry for entry in drawn}
    if has_bar:
        _draw_bars(frames[0], shown, groups, colours)
    _name(shown, frames, chosen.local_time)
    sheet = _sheet(shown, frames[0], title, chosen, colours)
    write_around(frames[0], sheet, list(entries.values()) if chosen.legend else [])
    return frames[0].figure


def _panels(
    product: xr.Dataset,
    panels: Sequence[Any] | Mapping[str, Any],
    common: Request,
    observations: xr.Dataset | None,
    hidden: Any,
    *,
    with_error: bool,
) -> list[Panel]:
    """Return what each map shows."""
    named = isinstance(panels, Mapping)
    listed = list(panels.items()) if isinstance(panels, Mapping) else [("", p) for p in panels]
    if isinstance(panels, str) or not 1 <= len(listed) <= _MOST_PANELS:
        given = repr(panels) if isinstance(panels, str) else len(listed)
        raise MapError(f"panels needs a list of 1 to {_MOST_PANELS} maps; found {given}")
    shown = []
    for name, panel in listed:
        dataset, options = _options(product, panel)
        own = str(name) if named else str(options.pop("title", ""))
        unknown = sorted(set(options) - set(vars(common)))
        if unknown:
            raise MapError(
                f"a panel has no option {', '.join(unknown)}; it has "
                f"{', '.join(vars(common))}, product and title"
            )
        request = Request(**{**vars(common), **options})
        named_layer = request.variable
        if named_layer in dataset and TIME not in dataset[named_layer].coords:
            request = replace(request, time=None)  # such as the distance to the nearest station
        if STATION in dataset.dims:
            scene = station_scene(dataset, request, hidden=hidden)
        else:
            scene = field_scene(
                dataset, request, observations=observations, hidden=hidden, with_error=with_error
            )
        shown.append(Panel(request, own, scene))
    return shown


def _options(product: xr.Dataset, panel: Any) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the product of a panel, and in which options it departs from the others."""
    if isinstance(panel, xr.Dataset):
        return panel, {}
    if isinstance(panel, Mapping):
        options = dict(panel)
        return options.pop("product", product), options
    if isinstance(panel, int | np.integer) and not isinstance(panel, bool):
        return product, {"draw": int(panel)}
    if isinstance(panel, str) and panel in _WHATS:
        return product, {"what": panel}
    if isinstance(panel, str) and panel in product.data_vars:
        return product, {"variable": panel}
    if isinstance(panel, pd.Timestamp | np.datetime64 | datetime | slice) or _is_time(panel):
        return product, {"time": panel}
    raise MapError(
        "a panel is a time, 'value', 'uncertainty', a layer, the number of a draw, a product or a "
        f"mapping of options; found {panel!r}"
    )


def _is_time(panel: Any) -> bool:
    """Return whether a panel is the text of a time."""
    try:
        return isinstance(panel, str) and pd.Timestamp(panel) is not pd.NaT
    except ValueError:
        return False


def _groups(panels: Sequence[Panel]) -> dict[Any, list[int]]:
    """Return the numbers of the panels that share their colours."""
    groups: dict[Any, list[int]] = {}
    for number, panel in enumerate(panels):
        layer, scene = panel.scene.layer, panel.scene
        of_chance = "probability" in str(layer.attrs.get("long_name", "")).lower()
        kind = scene.what, scene.units, of_chance, scene.classes
        groups.setdefault(kind, []).append(number)
    return groups


def _plain(style: Style, scene: Scene) -> Style:
    """Return the style of maps of another kind than the first, whose colours are not theirs."""
    plain = replace(style, limits=None, levels=None, cmap=None, centre=None)
    if scene.classes is None:
        return plain
    return replace(plain, contours=False, size_by_value=False)


def _draw_panel(
    panel: Panel,
    frame: Frame,
    meshes: list[Mesh],
    colours: Colours,
    style: Style,
    columns: int,
    number: int,
    *,
    bottom: bool,
) -> list[Any]:
    """Draw one map; return the legend's entries."""
    scene = panel.scene
    entries = draw_field(frame, meshes, colours, style, scene.units) if meshes else []
    if not meshes and not colours.present:
        write_message(frame, "no station has a value at this time")
    sides = (*(("left",) if number % columns == 0 else ()), *(("bottom",) if bottom else ()))
    around = Surroundings(
        style.cities,
        most_cities=_CITIES[min(columns, len(_CITIES)) - 1],
        labels=sides,
        scale_bar=number == 0,
    )
    draw_basemap(frame, scene.stations.places, weight=_LINE_WEIGHT, surroundings=around)
    seen = colours if scene.coloured else None
    marks = draw_stations(frame, scene.stations, seen, style, scene.units, scale=_MARK_SCALE)
    return [*(colours.classes or ()), *marks, *entries]


def _draw_bars(
    frame: Frame,
    panels: Sequence[Panel],
    groups: Mapping[Any, list[int]],
    colours: Mapping[int, Colours],
) -> None:
    """Draw a colour bar for each group of maps, above each other."""
    assert frame.colour_bar is not None
    shown = [m for m in groups.values() if colours[m[0]].present and not colours[m[0]].classes]
    place = frame.colour_bar.get_position(original=True)
    frame.colour_bar.remove()
    high = (place.height - _BAR_GAP * place.height * (len(shown) - 1)) / max(len(shown), 1)
    for row, members in enumerate(shown):
        bottom = place.y1 - (row + 1) * high - row * _BAR_GAP * place.height
        axes = frame.figure.add_axes((place.x0, bottom, place.width, high))
        of_group = colours[members[0]]
        bar = frame.figure.colorbar(
            ScalarMappable(of_group.norm, of_group.map),
            cax=axes,
            extend=of_group.extend,
            extendfrac=0.03,
        )
        labels = {panels[number].scene.described(of_group).label for number in members}
        label = labels.pop() if len(labels) == 1 else panels[members[0]].scene.units
        room_in = axes.get_position().height * frame.figure.get_figheight()
        lines = _two_lines(as_written(label), int(room_in / _LETTER_IN))
        longest = max(lines, key=len, default="")
        size = SUBTITLE_PT if len(lines) < 2 else TEXT_PT
        size = fitted_size(frame.figure, longest, size, room_in)
        write_short(bar)
        bar.set_label("\n".join(lines), size=size, labelpad=4)
        bar.ax.tick_params(labelsize=TEXT_PT)


def _two_lines(label: str, characters: int) -> list[str]:
    """Return a label in two lines at most, of which units in brackets are not broken."""
    words, bracket, units = label.rpartition(" (")
    whole = f"{words}{bracket}{units.replace(' ', chr(160))}" if words else label
    for width in range(max(characters, 1), len(whole) + 1):
        lines = textwrap.wrap(whole, width, break_long_words=False)
        if len(lines) <= 2:
            return lines
    return [whole]


def _name(panels: Sequence[Panel], frames: Sequence[Frame], zone: str | None) -> None:
    """Write above each map in which it differs from the others."""
    several = len({_pollutant(panel.scene) for panel in panels} - {""}) > 1
    facts = [
        [
            panel.scene.method.removeprefix("Method: "),
            several and _pollutant(panel.scene),
            _layer_words(panel),
            _short(panel.scene, zone),
            _start(panel.scene),
        ]
        for panel in panels
    ]
    differing = [len(set(column)) > 1 for column in zip(*facts, strict=True)]
    for panel, frame, own in zip(panels, frames, facts, strict=True):
        said = ", ".join(fact for fact, other in zip(own, differing, strict=True) if other and fact)
        text = as_written(panel.name or f"{said[:1].upper()}{said[1:]}")
        room_in = frame.axes.get_position().width * frame.figure.get_figwidth()
        family = families(text)
        size = fitted_size(frame.figure, text, _TITLE_PT, room_in, family=family)
        frame.axes.set_title(text, loc="left", fontsize=size, family=family)


def _pollutant(scene: Scene) -> str:
    """Return the pollutant of which a map shows values or errors; nothing of other layers."""
    name = str(scene.layer.name)
    return POLLUTANTS[name].label if name in POLLUTANTS else ""


def _layer_words(panel: Panel) -> str:
    """Return what a map shows, shortly: of a pollutant whether it is the value or its error."""
    scene = panel.scene
    if scene.layer.name not in POLLUTANTS:
        return scene.words.title
    origins = set(scene.stations.origins)
    if scene.what == "value" and scene.cells is None and origins <= {"measured", "hidden"}:
        return "measured"
    if panel.request.draw is not None:
        return f"draw {panel.request.draw}"
    return scene.error if scene.what == "uncertainty" else _WHATS[scene.what]


def _short(scene: Scene, zone: str | None) -> str:
    """Return the time of a map without what all maps share."""
    labels = scene.period.labels
    if not labels.size:
        return ""
    if labels.size > 1:
        return f"{clock(labels[0])} to {clock(labels[-1])} UTC"
    local = pd.Timestamp(labels[0]).tz_localize("UTC").tz_convert(zone) if zone else None
    return f"{clock(labels[0])} UTC" + (f", {local:%H:%M} local" if local else "")


def _start(scene: Scene) -> str:
    """Return when the outlook of a map begins."""
    return "" if scene.reference is None else f"outlook from {clock(scene.reference)}"


def _sheet(
    panels: Sequence[Panel],
    frame: Frame,
    title: str | bool,
    style: Style,
    colours: Mapping[int, Colours],
) -> Sheet:
    """Return the words around all maps: what they have in common."""
    titles = [panel.scene.described(colours[number]).title for number, panel in enumerate(panels)]
    # Of different layers, the pollutants that they are of, by the shorter words of a value.
    concentrations: dict[Any, str] = {}
    for scene in (panel.scene for panel in panels if panel.scene.layer.name in POLLUTANTS):
        known = concentrations.setdefault(scene.layer.name, scene.words.title)
        concentrations[scene.layer.name] = min(known, scene.words.title, key=len)
    shared = "; ".join(concentrations.values()) or titles[0].partition(":")[0]
    shared = titles[0] if len(set(titles)) == 1 else shared
    own = as_written(title) if isinstance(title, str) and title else shared
    subtitles = {panel.scene.subtitle(style.local_time) for panel in panels} - {""}
    if len(subtitles) > 1:  # each map has its time; what their labels mean is common
        meanings = {panel.scene.period.meaning for panel in panels}
        subtitles = {f"Labels: {meaning}" for meaning in meanings if meaning}
    captions = [panel.scene.caption(frame).removesuffix(".").split(". ") for panel in panels]
    sentences = list(dict.fromkeys(part for caption in captions for part in caption))
    methods = [part.removeprefix("Method: ") for part in sentences if part.startswith("Method: ")]
    rest = [part for part in sentences if not part.startswith(("Method: ", "Coastlines"))]
    first = [f"Method{'s' if len(methods) > 1 else ''}: {', '.join(methods)}"] if methods else []
    caption = ". ".join([*first, *rest, captions[0][-1]]) + "."
    return Sheet(
        "" if title is False else own,
        subtitles.pop() if title is not False and len(subtitles) == 1 else "",
        "",
        caption if style.caption else "",
    )
