"""Maps of a product, of observations, or of one number at each station."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from aqreanalysis.conventions import MINIMUM_CAPTURE, STATION, TIME
from aqreanalysis.maps.basemap import STATION_Z, draw_basemap
from aqreanalysis.maps.frame import Frame, Region, frame_in, narrow_frame, new_frame, project
from aqreanalysis.maps.layers import (
    Cells,
    Stations,
    What,
    cells_of,
    check_what,
    classes_of,
    mapped_variable,
    stations_of,
)
from aqreanalysis.maps.legend import Sheet, as_written, draw_colour_bar, words_for, write_sheet
from aqreanalysis.maps.marks import (
    NO_ESTIMATE_COLOUR,
    Colours,
    draw_field,
    draw_stations,
    on_map,
    visible_meshes,
    write_message,
)
from aqreanalysis.maps.period import MapError, Period, Time, select_period
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import default_variable

#: Width of the lines of a map of half the width, relative to those of a full one.
_NARROW_LINE_WEIGHT = 0.55


def map_field(
    product: xr.Dataset,
    *,
    variable: str | None = None,
    time: Time | None = None,
    observations: xr.Dataset | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    region: Region | None = None,
    axes: Any = None,
    limits: tuple[float, float] | None = None,
    what: What = "value",
    title: str | None = None,
) -> Figure:
    """Map of a gridded product at one hour, or of its mean over a period.

    Cells are drawn without smoothing, and stations over them on the same colour scale: where the
    field fits, the stations vanish. Coastlines, borders and cities come with the package; nothing
    is downloaded.

    Parameters
    ----------
    product : Dataset
        ``(time, lat, lon)`` or ``(time, y, x)`` as an estimator's ``predict`` gives it, in
        memory, lazy, or opened from a file. Only the hours drawn are computed.
    variable : str, optional
        May be left out where the product has one.
    time : str, Timestamp, datetime64, datetime or slice, optional
        A label, UTC unless it carries a zone. A text that names more than one step
        ("2014-11-03" in an hourly product) and a slice give the mean of their hours; without
        ``time``, of all hours. Cells and stations with fewer than 75 % of the hours stay out.
    observations : Dataset, optional
        ``(station, time)``, of the product's hours: drawn as circles, and as crosses where they
        have no value.
    hidden : Dataset or iterable of str, optional
        Stations that the method did not see, drawn as diamonds: a Dataset with or without
        values, or identifiers in ``observations``.
    region : tuple of float, optional
        West, east, south, north in degrees; across the date line, an east above 180. All of the
        product by default.
    axes : cartopy GeoAxes, optional
        Draw there instead of on a new figure of 1600 pixels; a projection without its seam in
        the region.
    limits : tuple of float, optional
        Of the colours, in the variable's units; by default round numbers that hold nearly all
        cells and stations on the map. Give them to compare maps. Classes, such as those of an
        index, have colours of their own.
    what : {"value", "uncertainty"}
        The field, or its standard error.
    title : str, optional
        Instead of the variable's name.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot. Save it with `save_map`.

    Raises
    ------
    MapError
        A ValueError: no such variable, hour, layer, station or region; the message says what
        there is.
    TypeError
        If ``axes`` are not cartopy's.

    Examples
    --------
    >>> hour = xr.date_range("2024-01-01", periods=1, freq="h")
    >>> product = xr.Dataset(
    ...     {"pm25": (("time", "lat", "lon"), [[[10.0, 20.0], [30.0, 40.0]]])},
    ...     coords={"time": hour, "lat": [39.0, 40.0], "lon": [116.0, 117.0]},
    ... )
    >>> figure = map_field(product, time="2024-01-01T00")
    >>> [text.get_text() for text in figure.texts][:2]
    ['PM$_{2.5}$ concentration', '2024-01-01 00:00 UTC']
    """
    variable = mapped_variable(product, variable)
    if TIME not in product[variable].dims and TIME in product.dims:
        # A variable without time, such as the distance to the nearest station.
        product = product[[variable]].drop_vars(TIME, errors="ignore")
    selected, period = select_period(product, time)
    cells = cells_of(selected, variable, what=what)
    stations = stations_of(observations, hidden, variable, period)
    frame = _frame(axes, region or cells.region())
    meshes = visible_meshes(frame, cells)
    cell_values = np.concatenate([mesh.values.ravel() for mesh in meshes])
    station_values = stations.values[on_map(frame, stations)] if what == "value" else np.array([])
    colours = _colours(product, variable, what, limits, cell_values, station_values)
    entries = draw_field(frame, meshes, colours)
    draw_basemap(frame, stations.places)
    marks = draw_stations(frame, stations, colours if what == "value" else None)
    words = words_for(product, variable, what)
    write_sheet(
        frame,
        Sheet(
            as_written(title) if title else words.title,
            _subtitle(product, variable, period),
            words.label,
            _caption(product, variable, period, cells, stations),
        ),
        colours,
        [*marks, *entries],
    )
    return frame.figure


def map_stations(
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    time: Time | None = None,
    hidden: xr.Dataset | Iterable[str] | None = None,
    region: Region | None = None,
    axes: Any = None,
    limits: tuple[float, float] | None = None,
    what: What = "value",
    title: str | None = None,
) -> Figure:
    """Map of stations, coloured by their values.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)`` with longitude and latitude on ``station``.
    variable : str, optional
        Pollutant; pm25 if it is present, else the only one.
    time, hidden, region, axes, limits, title
        As of `map_field`; the region is by default that of the stations.
    what : {"value", "uncertainty"}
        The variable, or its standard error ``<variable>_uncertainty``.

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
    check_what(what)
    variable = variable or default_variable(observations)
    if what == "uncertainty":
        variable = f"{variable}_uncertainty"
    selected, period = select_period(observations, time)
    stations = stations_of(selected, hidden, variable, period)
    frame = _frame(axes, region or stations.region())
    on_sheet = stations.values[on_map(frame, stations)]
    colours = _colours(observations, variable, "value", limits, np.array([]), on_sheet)
    if not colours.present:
        write_message(frame, "no station has a value at this time")
    draw_basemap(frame, stations.places)
    marks = draw_stations(frame, stations, colours)
    words = words_for(observations, variable)
    caption = _caption(observations, variable, period, None, stations)
    write_sheet(
        frame,
        Sheet(
            as_written(title) if title else words.title,
            _subtitle(observations, variable, period),
            words.label,
            caption,
        ),
        colours,
        marks,
    )
    return frame.figure


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
        network.longitude, network.latitude, values, np.full(network.size, hidden, bool)
    )
    frame = narrow_frame(marks.region(), width_in)
    colours = Colours.of("value", limits, np.array([]), values)
    draw_basemap(frame, marks.places, weight=_NARROW_LINE_WEIGHT)
    _draw_scores(frame, marks, colours)
    draw_colour_bar(frame, colours, words_for(stations, variable).label, below=True)
    if not colours.present:
        write_message(frame, "no station has a value")
    return frame.figure


def _frame(axes: Any, region: Region) -> Frame:
    """Check the region, and return a new sheet or the caller's axes for it."""
    numbers = np.asarray(region, np.float64)
    if numbers.shape != (4,) or not np.isfinite(numbers).all():
        raise MapError(f"region needs four numbers west, east, south, north; found {region}")
    west, east, south, north = (float(number) for number in numbers)
    faults = []
    if not west < east <= west + 360:
        faults.append(
            f"east must lie within 360 degrees east of west; found {west:g} to {east:g}. "
            f"Across the date line write {west:g} to {east + 360:g}"
        )
    if not -90 <= south < north <= 90:
        faults.append(f"south and north must ascend within -90..90; found {south:g} to {north:g}")
    if faults:
        raise MapError(f"region: {'; '.join(faults)}")
    checked = (west, east, south, north)
    return new_frame(checked) if axes is None else frame_in(axes, checked)


def _colours(
    dataset: xr.Dataset,
    variable: str,
    what: What,
    limits: tuple[float, float] | None,
    cells: np.ndarray,
    stations: np.ndarray,
) -> Colours:
    """Return the colours of a layer: of its classes if it has some, or of its range."""
    classes = classes_of(dataset[variable])
    if classes is None:
        return Colours.of(what, limits, cells, stations)
    return Colours.of_classes(classes, limits, cells, stations)


def _subtitle(dataset: xr.Dataset, variable: str, period: Period) -> str:
    """Return the period, and whether its mean or its most frequent class is drawn."""
    return period.words("mean" if classes_of(dataset[variable]) is None else "most frequent class")


def _caption(
    dataset: xr.Dataset, variable: str, period: Period, cells: Cells | None, stations: Stations
) -> str:
    """Return the line below the map: method, grid, stations, and whose coastlines."""
    parts = []
    if dataset.attrs.get("method"):
        parts.append(f"Method: {str(dataset.attrs['method']).rstrip('.')}")
    if cells is not None:
        parts.append(cells.describe())
    hidden = int(stations.hidden.sum())
    if stations.hidden.size:
        parts.append(
            f"{stations.hidden.size - hidden} observed stations"
            + (f", {hidden} hidden from the method" if hidden else "")
        )
    if period.labels.size > 1 and classes_of(dataset[variable]) is None:
        parts.append(f"A mean needs {MINIMUM_CAPTURE:.0%} of its hours".replace("%", " %"))
    parts.append("Coastlines, borders and cities: Natural Earth")
    return ". ".join(parts) + "."


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
