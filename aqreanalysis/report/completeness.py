"""Pictures of quality control: which station reported when, and where values were flagged."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.figures.sheet import house_style
from aqreanalysis.maps import map_scores
from aqreanalysis.maps.legend import families
from aqreanalysis.observations.contract import stored_values
from aqreanalysis.observations.quality_control import FAULTS, QC_FLAGS, REJECTED, bits_of
from aqreanalysis.report.sheet import (
    WIDTH_IN,
    Picture,
    drawable_pollutant,
    new_sheet,
    picture_of,
    write_legend,
)
from aqreanalysis.report.words import counted, percent, pollutant_text, shortened

#: Columns of the picture; each holds whole steps of the time axis.
_COLUMNS = 240
#: Rows that are named, and the height of one, in inches.
_MOST_NAMES, _ROW_IN = 48, 0.16
#: Height that a name needs, inches.
_NAME_IN = 0.12
_LOWEST_IN, _HIGHEST_IN = 2.6, 9.0
_LONGEST_NAME = 18

#: From no value to all of them, then what is flagged and what is left out.
_SHARES = ("#ffffff", "#d6e4ee", "#a5c4da", "#6ba2c4", "#2f7fad")
_FLAGGED, _LEFT_OUT = "#e69f00", "#b01c2e"
#: Share of the values of a cell that is shown as flagged; a single spike in a week is not.
_SHOWN_SHARE = 0.05
_LABELS = ("none", "up to 25 %", "50 %", "75 %", "all values")


def completeness(checked: xr.Dataset, variable: str, *, axes: Any = None) -> Figure:
    """Return the picture of a network's completeness: a row a station, a column a span of time.

    Blue is the share of the steps with a value; of orange ones a twentieth or more is flagged, of
    red ones estimators leave so many out.

    Parameters
    ----------
    checked : Dataset
        Of `aqreanalysis.observations.qc`.
    variable : str
    axes : matplotlib Axes, optional
        Draw there instead of on a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> completeness(obs.aqnet.qc(), "pm25").axes[0].get_xlabel()
    'UTC'
    """
    with house_style():
        return _drawn(checked, variable, axes)


def completeness_picture(checked: xr.Dataset, variable: str) -> Picture:
    """Completeness as a picture on the page."""
    present = stored_values(checked, f"{variable}_qc") & QC_FLAGS["missing"] == 0
    return picture_of(
        _drawn(checked, variable),
        title=f"When the stations reported {pollutant_text(variable)}",
        caption="A row a station, in the order of the file. Blue: share of the steps with a value. "
        f"Orange: {percent(_SHOWN_SHARE)} or more of them flagged; red: so many left out by "
        "reanalyse.",
        alt=f"Completeness of {counted(present.shape[0], 'station')} over time: "
        f"{percent(float(present.mean()), 1)} of the steps have a value.",
    )


def station_map(checked: xr.Dataset, variable: str) -> Picture:
    """Map of the completeness of each station."""
    present = stored_values(checked, f"{variable}_qc") & QC_FLAGS["missing"] == 0
    share = (STATION, 100 * present.mean(axis=1), {"long_name": "completeness", "units": "%"})
    places = {name: checked[name].variable for name in (STATION, "longitude", "latitude")}
    figure = map_scores(
        xr.Dataset({"completeness": share}, coords=places),
        "completeness",
        hidden=False,
        limits=(0.0, 100.0),
        width_in=WIDTH_IN,
    )
    return picture_of(
        figure,
        title=f"How complete each station is: {pollutant_text(variable)}",
        caption="Share of all steps with a value.",
        alt=f"Map of {counted(present.shape[0], 'station')} coloured by completeness.",
    )


def _drawn(checked: xr.Dataset, variable: str, given: Any = None) -> Figure:
    """Draw the classes of the cells, their legend, names and times."""
    classes, starts = _classes(checked, variable)
    stations = checked[STATION].values.astype(str)
    height = float(np.clip(_ROW_IN * stations.size + 1.1, _LOWEST_IN, _HIGHEST_IN))
    figure, axes = (given.figure, given) if given is not None else new_sheet(height)
    colours = [*_SHARES, _FLAGGED, _LEFT_OUT]
    axes.pcolormesh(
        starts,
        np.arange(stations.size + 1) - 0.5,
        classes,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        rasterized=True,
    )
    axes.grid(False)
    axes.set_ylim(stations.size - 0.5, -0.5)
    room_in = axes.get_position().height * figure.get_figheight()
    every = int(np.ceil(stations.size / max(min(_MOST_NAMES, room_in / _NAME_IN), 1)))
    rows = np.arange(0, stations.size, every)
    names = [shortened(stations[row], _LONGEST_NAME).replace("$", r"\$") for row in rows]
    axes.set_yticks(rows, names, family=families("".join(names)))
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.set_xlim(starts[0], starts[-1])
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_xlabel("UTC")
    labels = [*_LABELS, "flagged", "left out"]
    entries = [
        Patch(facecolor=colour, edgecolor="#999999", linewidth=0.5, label=label)
        for colour, label in zip(colours, labels, strict=True)
    ]
    if given is None:
        write_legend(figure, entries)
    else:
        axes.legend(
            handles=entries,
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(entries),
            fontsize=8,
            columnspacing=0.8,
            handlelength=1.2,
        )
    axes.set_title(drawable_pollutant(variable), fontsize=10, loc="left")
    return figure


def _classes(checked: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each cell, (station, column), and the edges of the columns in time."""
    bits = stored_values(checked, f"{variable}_qc")
    stamps = checked[TIME].values
    width = int(np.ceil(stamps.size / _COLUMNS))
    starts = np.arange(0, stamps.size, width)
    present = np.add.reduceat(bits & QC_FLAGS["missing"] == 0, starts, axis=1, dtype=np.int64)
    steps = np.diff([*starts, stamps.size])
    classes = np.ceil(4 * present / steps).astype(np.int64)
    for number, names in ((5, FAULTS), (6, REJECTED)):
        wrong = np.add.reduceat(bits & bits_of(names) != 0, starts, axis=1, dtype=np.int64)
        classes[wrong >= np.maximum(_SHOWN_SHARE * present, 1)] = number
    step = stamps[1] - stamps[0] if stamps.size > 1 else np.timedelta64(1, "h")
    return classes, np.append(stamps[starts], stamps[-1] + step)
