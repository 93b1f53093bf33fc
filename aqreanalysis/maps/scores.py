"""Maps of one number at each station, such as a score, narrow enough for a page or a phone."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aqreanalysis.conventions import STATION
from aqreanalysis.maps.basemap import (
    STATION_Z,
    draw_cities,
    draw_graticule,
    draw_lines,
    draw_scale_bar,
)
from aqreanalysis.maps.frame import TEXT_PT, Frame, narrow_frame, project
from aqreanalysis.maps.labels import words_for
from aqreanalysis.maps.layers import Stations
from aqreanalysis.maps.marks import NOTHING_COLOUR, Colours, say
from aqreanalysis.maps.period import MapError
from aqreanalysis.network import StationNetwork

#: Lines of half the weight suit a map of half the width.
_LINE_WEIGHT = 0.55


def map_scores(
    stations: xr.Dataset,
    variable: str,
    *,
    hidden: bool = True,
    limits: tuple[float, float] | None = None,
    width_in: float = 5.2,
) -> Figure:
    """Return a map of one number at each station, without title or legend.

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
        Not held by pyplot.

    Raises
    ------
    MapError
        If the variable is not there, or not on ``station`` alone.

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
        there = {str(name): values.dims for name, values in stations.data_vars.items()}
        raise MapError(f"expected {variable!r} on ('station',); found {there or 'no variable'}")
    network = StationNetwork.from_dataset(stations)
    values = stations[variable].values.astype(np.float64)
    marks = Stations(
        network.longitude, network.latitude, values, np.full(network.size, hidden, bool)
    )
    frame = narrow_frame(marks.region(), width_in)
    colours = Colours.of("value", limits, np.array([]), values)
    draw_lines(frame, weight=_LINE_WEIGHT)
    draw_graticule(frame)
    draw_scale_bar(frame)
    _draw_marks(frame, marks, colours)
    draw_cities(frame, np.stack(project(frame.projection, *marks.places), axis=1))
    if frame.colour_bar is not None and colours.present:
        bar = frame.figure.colorbar(
            ScalarMappable(colours.norm, colours.map),
            cax=frame.colour_bar,
            orientation="horizontal",
            extend=colours.extend,
            extendfrac=0.03,
            ticks=MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]),
        )
        bar.set_label(words_for(stations, variable).label, size=TEXT_PT)
        bar.ax.tick_params(labelsize=TEXT_PT)
    elif frame.colour_bar is not None:
        frame.colour_bar.remove()
        say(frame, "no station has a value")
    return frame.figure


def _draw_marks(frame: Frame, stations: Stations, colours: Colours) -> None:
    """Draw the stations, those without a value below all others, the highest values on top."""
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
    absent, there = order[~valued], order[valued]
    frame.axes.scatter(x[absent], y[absent], color=NOTHING_COLOUR, zorder=STATION_Z - 0.1, **style)
    colouring = {"c": stations.values[there], "cmap": colours.map, "norm": colours.norm}
    frame.axes.scatter(x[there], y[there], zorder=STATION_Z, **colouring, **style)
