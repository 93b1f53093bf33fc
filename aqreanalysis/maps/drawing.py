"""Maps of a product, of observations, or of one number at each station."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from aqreanalysis.conventions import STATION
from aqreanalysis.maps.basemap import STATION_Z, Surroundings, draw_basemap
from aqreanalysis.maps.colours import Colours, kind_of
from aqreanalysis.maps.frame import Frame, Region, frame_in, narrow_frame, new_frame, project
from aqreanalysis.maps.inset import draw_insets, stations_under
from aqreanalysis.maps.layers import Stations, What
from aqreanalysis.maps.legend import Sheet, as_written, draw_colour_bar, words_for, write_sheet
from aqreanalysis.maps.marks import NO_ESTIMATE_COLOUR, draw_field, draw_stations, write_message
from aqreanalysis.maps.period import MapError, Time
from aqreanalysis.maps.scene import Request, Scene, colours_of, field_scene, station_scene
from aqreanalysis.maps.style import Style, checked_region
from aqreanalysis.network import StationNetwork

#: Width of the lines of a map of half the width, relative to those of a full one.
_NARROW_LINE_WEIGHT = 0.55


def map_field(
    product: xr.Dataset,
    *,
    variable: str | None = None,
    time: Time | None = None,
    start: Time | None = None,
    draw: int | None = None,
    observations: xr.Dataset | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    region: Region | str | None = None,
    axes: Any = None,
    what: What = "value",
    title: str | bool = True,
    **style: Any,
) -> Figure:
    """Map of a gridded product at one hour, or of its mean over a period.

    Cells are drawn without smoothing, and stations over them on the same colour scale: where the
    field fits, the stations vanish. Title, legend and caption say what is drawn: measurements,
    estimates, an outlook and when it begins, a draw, hidden stations. Coastlines, borders and
    cities come with the package; nothing is downloaded.

    Parameters
    ----------
    product : Dataset
        ``(time, lat, lon)`` or ``(time, y, x)`` as `aqreanalysis.reanalysis.reanalyse` gives it, in
        memory, lazy, or opened from a file. Only the hours drawn are computed.
    variable : str, optional
        A layer; may be left out where the product has one pollutant.
    time : str, Timestamp, datetime64, datetime or slice, optional
        A label, UTC unless it carries a zone. A text that names more than one step
        ("2014-11-03" in an hourly product) and a slice give the mean of their hours; without
        ``time``, of all hours. Cells and stations with fewer than 75 % of the hours stay out.
    start : as time, optional
        Which outlook of a set.
    draw : int, optional
        One of the draws, from 0.
    observations : Dataset, optional
        ``(station, time)``, of the product's hours: circles for measurements, squares for filled
        gaps and estimates, triangles for an outlook, and crosses where there is no value.
    hidden : Dataset or iterable of str, optional
        Stations that the method did not see, drawn as diamonds: a Dataset with or without
        values, or identifiers in ``observations``.
    region : tuple of float or str, optional
        West, east, south, north in degrees; across the date line, an east above 180; or the name
        of a city. All of the product by default.
    axes : cartopy GeoAxes, optional
        Draw there instead of on a new figure of 1600 pixels; a projection without its seam in
        the region.
    what : {"value", "uncertainty"}
        The field, or its standard error; over a period that of the mean, where the product states
        how errors are correlated over time, or else the mean of the hourly ones.
    title : str or bool
        Instead of the variable's name; False for neither title nor time.
    **style
        Of `Style`: ``limits``, ``levels``, ``cmap``, ``centre``, ``contours``, ``size_by_value``,
        ``uncertain``, ``error_above``, ``inset``, ``local_time``, ``cities``, ``bar``,
        ``legend``, ``caption``.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot. Save it with `save_map`.

    Raises
    ------
    MapError
        A ValueError: no such variable, hour, layer, station or region, or a wrong style; the
        message says what there is.
    TypeError
        If ``axes`` are not cartopy's, or there is no such option.

    Examples
    --------
    >>> hour = xr.date_range("2024-01-01", periods=1, freq="h")
    >>> product = xr.Dataset(
    ...     {"pm25": (("time", "lat", "lon"), [[[10.0, 20.0], [30.0, 40.0]]])},
    ...     coords={"time": hour, "lat": [39.0, 40.0], "lon": [116.0, 117.0]},
    ... )
    >>> figure = map_field(product, time="2024-01-01T00", local_time="Asia/Shanghai")
    >>> [text.get_text() for text in figure.texts][:2]
    ['PM$_{2.5}$ concentration', '2024-01-01 00:00 UTC, 08:00 in Asia/Shanghai']
    """
    chosen = Style.of(style)
    request = Request(variable, time, what, start, draw)
    with_error = chosen.uncertain is not None
    scene = field_scene(
        product, request, observations=observations, hidden=hidden, with_error=with_error
    )
    return draw_map(scene, region, axes=axes, title=title, style=chosen)


def map_stations(
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    time: Time | None = None,
    start: Time | None = None,
    draw: int | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    region: Region | str | None = None,
    axes: Any = None,
    what: What = "value",
    title: str | bool = True,
    **style: Any,
) -> Figure:
    """Map of stations, coloured by their values.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)`` with longitude and latitude on ``station``: measurements, with gaps
        filled or not, or a product at stations. The legend says which.
    variable : str, optional
        Pollutant; pm25 if it is present, else the only one.
    time, start, draw, hidden, region, axes, title
        As of `map_field`; the region is by default that of the stations.
    what : {"value", "uncertainty"}
        The variable, or its standard error ``<variable>_uncertainty``.
    **style
        Of `Style`, as of `map_field`; what is of fields has no effect.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MapError
        A ValueError, as of `map_field`.

    Examples
    --------
    >>> stations = xr.Dataset(
    ...     {"pm25": (("station", "time"), [[10.0], [20.0]])},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [116.0, 117.0]),
    ...         "latitude": ("station", [39.0, 40.0]),
    ...         "time": xr.date_range("2024-01-01", periods=1, freq="h"),
    ...     },
    ... )
    >>> figure = map_stations(stations, "pm25")
    >>> [entry.get_text() for entry in figure.legends[0].get_texts()]
    ['observed station']
    """
    chosen = Style.of(style)
    scene = station_scene(observations, Request(variable, time, what, start, draw), hidden=hidden)
    return draw_map(scene, region, axes=axes, title=title, style=chosen)


def draw_map(
    scene: Scene,
    region: Region | str | None,
    *,
    axes: Any = None,
    title: str | bool = True,
    style: Style,
) -> Figure:
    """Return the figure of one scene, on a sheet of its own or in axes of the caller's."""
    window = checked_region(scene.region() if region is None else region)
    bar = style.bar and scene.classes is None
    if axes is None:
        frame = new_frame(window, title=title is not False, bar=bar)
    else:
        frame = frame_in(axes, window)
    scene.check_region(frame)
    meshes = scene.meshes(frame)
    colours = colours_of([scene], [scene.on(frame, meshes)], style)
    entries = draw_field(frame, meshes, colours, style, scene.units) if meshes else []
    if not meshes and not colours.present:
        write_message(frame, "no station has a value at this time")
    covered = draw_insets(frame, scene, colours, style)
    draw_basemap(
        frame, scene.stations.places, surroundings=Surroundings(style.cities, covered=covered)
    )
    seen = colours if scene.coloured else None
    marks = draw_stations(frame, scene.stations, seen, style, scene.units)
    write_sheet(
        frame,
        sheet_of(scene, title, frame, style, colours, stations_under(frame, scene, covered)),
        colours,
        [*marks, *entries],
        legend=style.legend,
        bar=bar,
    )
    return frame.figure


def sheet_of(
    scene: Scene, title: str | bool, frame: Frame, style: Style, colours: Colours, under: int = 0
) -> Sheet:
    """Return the words around a map, as far as they are wanted."""
    words = scene.described(colours)
    own = as_written(title) if isinstance(title, str) and title else words.title
    return Sheet(
        "" if title is False else own,
        "" if title is False else scene.subtitle(style.local_time),
        words.label,
        scene.caption(frame, under) if style.caption else "",
    )


def map_scores(
    stations: xr.Dataset,
    variable: str,
    *,
    hidden: bool = True,
    limits: tuple[float, float] | None = None,
    width_in: float = 5.2,
) -> Figure:
    """Map of one number at each station, such as a score; without title and legend.

    Parameters
    ----------
    stations : Dataset
        ``variable`` on ``station``, with ``long_name`` and ``units`` for the colour bar;
        longitude and latitude on ``station``. NaN is drawn grey.
    variable : str
    hidden : bool
        Whether the stations were hidden: diamonds, as on all maps; otherwise circles.
    limits : tuple of float, optional
        Of the colours; by default round numbers that hold nearly all values.
    width_in : float
        Of the figure; its height follows from the region.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot.

    Raises
    ------
    MapError
        If there is no such variable, or it has other dimensions than ``station``.

    Examples
    --------
    >>> stations = xr.Dataset(
    ...     {"rmse": ("station", [3.0, 4.0], {"long_name": "RMSE", "units": "ug m-3"})},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "longitude": ("station", [116.0, 117.0]),
    ...         "latitude": ("station", [39.0, 40.0]),
    ...     },
    ... )
    >>> map_scores(stations, "rmse").axes[1].get_xlabel()
    'RMSE (μg m⁻³)'
    """
    if variable not in stations or stations[variable].dims != (STATION,):
        dims = {str(name): values.dims for name, values in stations.data_vars.items()}
        raise MapError(f"expected {variable!r} on ('station',); found {dims or 'no variable'}")
    network = StationNetwork.from_dataset(stations)
    values = stations[variable].values.astype(np.float64)
    marks = Stations(
        network.longitude,
        network.latitude,
        values,
        np.full(network.size, "hidden" if hidden else "measured"),
    )
    frame = narrow_frame(marks.region(), width_in)
    kind = kind_of(stations[variable], variable, "value", [values])
    colours = Colours.of(kind, np.array([]), values, Style(limits=limits))
    draw_basemap(frame, marks.places, weight=_NARROW_LINE_WEIGHT)
    _draw_scores(frame, marks, colours)
    draw_colour_bar(frame, colours, words_for(stations, variable).label, below=True)
    if not colours.present:
        write_message(frame, "no station has a value")
    return frame.figure


def _draw_scores(frame: Frame, stations: Stations, colours: Colours) -> None:
    """Draw stations, those without a value at the bottom, the highest values on top."""
    order = np.argsort(stations.values)  # NaN last
    valued = np.isfinite(stations.values[order])
    x, y = project(frame.projection, *stations.places)
    style: dict[str, Any] = {
        "s": float(np.clip(2500 / max(x.size, 1), 14, 40)),
        "marker": "D" if stations.hidden.any() else "o",
        "edgecolors": "#222222",
        "linewidths": 0.7,
        "transform": frame.axes.transData,
    }
    missing, valid = order[~valued], order[valued]
    frame.axes.scatter(
        x[missing], y[missing], color=NO_ESTIMATE_COLOUR, zorder=STATION_Z - 0.1, **style
    )
    colouring = {"c": stations.values[valid], "cmap": colours.map, "norm": colours.norm}
    frame.axes.scatter(x[valid], y[valid], zorder=STATION_Z, **colouring, **style)
