"""Animations of the hours of a product: the base is drawn once, and what changes over it."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from tqdm.auto import tqdm

from aqreanalysis.atomic import atomic_file, explained
from aqreanalysis.conventions import DRAW, STATION, TIME
from aqreanalysis.maps.basemap import LINES_Z, Surroundings, draw_basemap
from aqreanalysis.maps.colours import Colours
from aqreanalysis.maps.drawing import sheet_of
from aqreanalysis.maps.frame import Frame, Region, new_frame
from aqreanalysis.maps.layers import What, check_over_field, mapped_variable, select_draw
from aqreanalysis.maps.legend import write_sheet
from aqreanalysis.maps.marks import (
    draw_cells,
    draw_flags,
    draw_stations,
    no_estimate_entry,
    write_message,
)
from aqreanalysis.maps.period import MapError, Time, select_period, select_start
from aqreanalysis.maps.scene import Request, Scene, colours_of, field_scene, station_scene
from aqreanalysis.maps.style import Style, checked_region
from aqreanalysis.maps.video import check_video, video
from aqreanalysis.observations import default_variable

#: 1280 pixels wide, where a map has 1600.
_DPI = 120
#: Hours of which the values decide about limits of the colours, spread over all.
_SAMPLED_HOURS = 48
#: Hours of a lazy product that are computed at once.
_BATCH_HOURS = 24
#: More than that is no animation that anybody would watch.
_LARGEST_BYTES = 2e9
#: What a map may have and an animation has not, since it would change from hour to hour.
_NOT_ANIMATED = ("inset", "contours", "uncertain", "size_by_value")
#: Colours of a GIF that are for values, at most.
_VALUE_COLOURS = 180


def animate(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    variable: str | None = None,
    time: Time | None = None,
    start: Time | None = None,
    draw: int | None = None,
    what: What = "value",
    observations: xr.Dataset | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    region: Region | str | None = None,
    title: str | bool = True,
    frames_per_second: float = 6.0,
    progress: bool = True,
    **style: Any,
) -> Path:
    """Write an animation of the hours of a product, or of stations, as MP4 or GIF.

    The limits of the colours are the same in all frames, and a clock says the hour. MP4 needs the
    program ffmpeg, of the system or where matplotlib's ``animation.ffmpeg_path`` says; GIF needs
    nothing, is larger, and has 255 colours. The file appears when it is complete.

    Parameters
    ----------
    product : Dataset
        As of `map_field` and `map_stations`.
    path : path
        Ends in .mp4 or .gif; a file of that name is replaced.
    time : str, Timestamp, datetime64, datetime or slice, optional
        The hours, a frame each; all by default.
    variable, start, draw, what, observations, hidden, region, title
        As of `map_field`.
    frames_per_second : float
    progress : bool
        Whether a progress bar is shown.
    **style
        Of `Style`, but for ``inset``, ``contours``, ``uncertain`` and ``size_by_value``.

    Returns
    -------
    Path

    Raises
    ------
    MapError
        A ValueError, as of `map_field`; if the name has another ending, ffmpeg is missing, or there
        is less than two hours.
    aqreanalysis.atomic.WriteError
        If the file cannot be written.

    Examples
    --------
    >>> import aqreanalysis as aqr, tempfile
    >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     animate(obs, Path(folder, "stations.gif"), progress=False).name
    'stations.gif'
    """
    path, chosen = Path(path), Style.of(style)
    _check(path, chosen, frames_per_second)
    request = Request(variable, time, what, start, draw)
    scenes = _scenes(product, request, observations, hidden, progress=progress)
    film = _Film.of(scenes, region, title, chosen)
    with (
        explained(path),
        atomic_file(path) as partial,
        video(partial, film.size, frames_per_second, colours=film.colours) as write,
    ):
        for scene in tqdm(scenes, desc="frames", disable=not progress):
            write(film.picture(scene))
    return path


def _check(path: Path, style: Style, frames_per_second: float) -> None:
    """Refuse what cannot be an animation, before anything is computed."""
    check_video(path, frames_per_second)
    unfit = [name for name in _NOT_ANIMATED if getattr(style, name) not in (None, False)]
    if unfit:
        raise MapError(f"an animation has no {', '.join(unfit)}: leave it out")


def _scenes(
    product: xr.Dataset,
    request: Request,
    observations: xr.Dataset | None,
    hidden: Any,
    *,
    progress: bool = False,
) -> list[Scene]:
    """Return the scene of each selected hour.

    Raises
    ------
    MapError
        If there are less than two hours, or more than the memory should hold.
    """
    check_over_field(product, observations)
    gridded = STATION not in product.dims
    variable = request.variable or (None if gridded else default_variable(product))
    variable = mapped_variable(product, variable)
    if TIME not in product[variable].coords:
        raise MapError(f"{variable!r} has no hours to animate; draw it as a map")
    layers = (f"{variable}_{part}" for part in ("uncertainty", "flag", "origin", "draws"))
    one = select_start(
        product[[variable, *(layer for layer in layers if layer in product)]], request.start
    )
    one = select_draw(one, variable, request.draw).drop_dims(DRAW, errors="ignore")
    if request.what == "value":
        one = one.drop_vars(f"{variable}_uncertainty", errors="ignore") if gridded else one
    selected, period = select_period(one, request.time)
    if period.labels.size < 2:
        raise MapError("an animation needs two hours or more; draw one hour as a map")
    if selected.nbytes > _LARGEST_BYTES:
        raise MapError(
            f"{period.labels.size} hours take {selected.nbytes / 1e9:.1f} GB of memory; animate "
            "fewer with time=, or a part of the grid"
        )
    # The step of a single hour is not known from its label.
    steps = {} if period.step_hours is None else {"step_hours": period.step_hours}
    attributes = {**steps, **selected[TIME].attrs}
    lazy = any(layer.chunks for layer in selected.variables.values())
    hourly, scenes = Request(variable, None, request.what), list[Scene]()
    starts = range(0, period.labels.size, _BATCH_HOURS)
    for first in tqdm(starts, desc="days", disable=not (progress and lazy)):
        batch = selected.isel({TIME: slice(first, first + _BATCH_HOURS)}).compute()
        batch[TIME].attrs = attributes
        for hour in range(batch.sizes[TIME]):
            part = batch.isel({TIME: [hour]})
            if gridded:
                scene = field_scene(part, hourly, observations=observations, hidden=hidden)
            else:
                scene = station_scene(part, hourly, hidden=hidden)
            scenes.append(_with_places_of(scenes[0], scene) if scenes else scene)
    coloured = all(scene.coloured for scene in scenes)
    return [replace(scene, coloured=coloured) for scene in scenes]


def _with_places_of(first: Scene, scene: Scene) -> Scene:
    """Return a scene whose cells share their places with those of the first, in memory."""
    if scene.cells is None or first.cells is None:
        return scene
    cells = replace(scene.cells, longitude=first.cells.longitude, latitude=first.cells.latitude)
    return replace(scene, cells=cells)


class _Film:
    """The figure of an animation: what stays is drawn once, and pictures of hours over it.

    Parameters
    ----------
    frame : Frame
    colours : Colours
    clock : Text
        The line of the subtitle.
    style : Style
    """

    def __init__(self, frame: Frame, colours: Colours, clock: Text | None, style: Style) -> None:
        self._frame, self._colours, self._clock, self._style = frame, colours, clock, style
        frame.figure.set_dpi(_DPI)
        self._canvas = FigureCanvasAgg(frame.figure)
        changing = [frame.axes.patch, frame.figure.patch, *([clock] if clock else [])]
        for artist in changing:
            artist.set_visible(False)
        self._canvas.draw()
        # Everything that stays, transparent where the hours are seen.
        self._base = np.asarray(self._canvas.buffer_rgba()).copy()
        for artist in changing:
            artist.set_visible(True)

    @classmethod
    def of(
        cls, scenes: Sequence[Scene], region: Region | str | None, title: str | bool, style: Style
    ) -> "_Film":
        """Return the film of hours, with the words, colours and legend of all of them."""
        first = scenes[0]
        window = checked_region(first.region() if region is None else region)
        bar = style.bar and first.classes is None
        frame = new_frame(window, title=title is not False, bar=bar)
        first.check_region(frame)
        every = -(-len(scenes) // _SAMPLED_HOURS)
        values = [scene.on(frame, scene.meshes(frame)) for scene in scenes[::every]]
        colours = colours_of(scenes[:1], [_joined(values)], style)
        entries: dict[str, Any] = {}
        for scene in {_signature(scene): scene for scene in scenes}.values():
            artists, marks = _draw(frame, scene, colours)
            entries |= {str(entry.get_label()): entry for entry in marks}
            for artist in artists:
                artist.remove()
        draw_basemap(frame, first.stations.places, surroundings=Surroundings(style.cities))
        sheet = sheet_of(first, title, frame, style, colours)
        if sheet.subtitle:  # the longest of all hours, for which there must be room
            subtitles = (scene.subtitle(style.local_time) for scene in scenes)
            sheet = replace(sheet, subtitle=max(subtitles, key=len))
        write_sheet(frame, sheet, colours, list(entries.values()), legend=style.legend, bar=bar)
        clock = next((t for t in frame.figure.texts if t.get_text() == sheet.subtitle), None)
        return cls(frame, colours, clock, style)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, pixels."""
        return self._base.shape[1], self._base.shape[0]

    @property
    def colours(self) -> np.ndarray:
        """White, black and the colours that values may have, (n, 3) uint8."""
        shades = self._colours.map(np.linspace(0, 1, min(self._colours.map.N, _VALUE_COLOURS)))
        plain = [[255, 255, 255], [0, 0, 0]]
        return np.concatenate([plain, np.round(255 * shades[:, :3])]).astype(np.uint8)

    def picture(self, scene: Scene) -> np.ndarray:
        """Return the picture of an hour, (height, width, 3) uint8."""
        renderer = self._canvas.get_renderer()
        renderer.clear()
        artists, _ = _draw(self._frame, scene, self._colours)
        artists.sort(key=lambda artist: artist.get_zorder())
        below = [artist for artist in artists if artist.get_zorder() < LINES_Z]
        for artist in (self._frame.figure.patch, self._frame.axes.patch, *below):
            artist.draw(renderer)
        # Rows of a picture begin below for the renderer, and above for its buffer.
        renderer.draw_image(renderer.new_gc(), 0, 0, self._base[::-1])
        for artist in artists[len(below) :]:
            artist.draw(renderer)
        if self._clock is not None:
            self._clock.set_text(scene.subtitle(self._style.local_time))
            self._clock.draw(renderer)
        for artist in artists:
            artist.remove()
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()


def _draw(frame: Frame, scene: Scene, colours: Colours) -> tuple[list[Any], list[Any]]:
    """Draw the cells and stations of an hour; return what was drawn, and the legend's entries."""
    before = set(frame.axes.get_children())
    entries: list[Any] = []
    meshes = scene.meshes(frame)
    if meshes and not any(np.isfinite(mesh.values).any() for mesh in meshes):
        write_message(frame, "no estimate anywhere at this time")
        meshes = []
    for mesh in meshes:
        draw_cells(frame, mesh, colours)
    entries += draw_flags(frame, meshes)
    if not all(np.isfinite(mesh.values).all() for mesh in meshes):
        entries.append(no_estimate_entry(colours))
    seen = colours if scene.coloured else None
    marks = draw_stations(frame, scene.stations, seen, quick=True)
    drawn = [artist for artist in frame.axes.get_children() if artist not in before]
    return drawn, [*marks, *entries]


def _signature(scene: Scene) -> tuple[Any, ...]:
    """Return what decides about the legend of an hour: kinds of cells and stations."""
    stations = scene.stations
    kinds = {(str(o), bool(v)) for o, v in zip(stations.origins, np.isfinite(stations.values),
             strict=True)}  # fmt: skip
    if scene.cells is None:
        return (frozenset(kinds),)
    valued = np.isfinite(scene.cells.values)
    flags = np.unique(scene.cells.flag[valued]).tolist()
    return frozenset(kinds), tuple(flags), bool(valued.all())


def _joined(values: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of cells and stations of several hours as those of one."""
    cells, stations = (np.concatenate(parts) for parts in zip(*values, strict=True))
    return cells, stations
