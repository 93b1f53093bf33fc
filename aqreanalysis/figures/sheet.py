"""What all figures share: their style, new axes or those of the caller's, words of axes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import xarray as xr
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.maps.frame import DPI, MapFigure
from aqreanalysis.maps.legend import as_written, families, units_of, write_as_read

#: By Okabe & Ito 2008, "Color universal design", which colour-blind readers can distinguish.
BLUE, ORANGE, GREEN, DARK = "#0072b2", "#d55e00", "#009e73", "#222222"
WIDTH_IN, HEIGHT_IN = 8.5, 3.6

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
}


class FigureError(ValueError):
    """Something that cannot be drawn as asked; the message says what can."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the package's style, whatever the user's own is."""
    with style.context(["default", _STYLE]):
        yield


def axes_of(
    axes: Any, *, size_in: tuple[float, float] = (WIDTH_IN, HEIGHT_IN), **subplot: Any
) -> Axes:
    """Return the caller's axes, or new ones on a figure of their own, to be drawn in."""
    if axes is not None:
        if not isinstance(axes, Axes):
            raise FigureError(
                f"axes must be those of matplotlib; found {type(axes).__name__}. Make them with "
                "figure.add_subplot()"
            )
        return axes
    figure = MapFigure(figsize=size_in, dpi=DPI, layout="constrained", facecolor="white")
    return figure.add_subplot(**subplot)


def name_of(variable: str) -> str:
    """Return the name of a variable as a reader writes it.

    Examples
    --------
    >>> name_of("pm25"), name_of("wind_speed")
    ('PM$_{2.5}$', 'wind speed')
    """
    known = POLLUTANTS.get(variable)
    return known.label if known else variable.replace("_", " ")


def entitle(axes: Axes, title: str, **options: Any) -> None:
    """Write a title, with names of stations as they are, whatever signs they hold."""
    axes.set_title(as_written(title), loc="left", family=families(title), **options)


def quantity(dataset: xr.Dataset, variable: str, gap: str = " ") -> str:
    """Return what an axis shows: the name of a variable and, where it has some, its units.

    Examples
    --------
    >>> quantity(xr.Dataset({"pm25": 1.0}), "pm25"), quantity(xr.Dataset({"index": 1}), "index")
    ('PM$_{2.5}$ (μg m⁻³)', 'index')
    """
    units = units_of(dataset, variable)
    return as_written(f"{name_of(variable)}{gap}({units})" if units else name_of(variable))


def legend_above(axes: Axes) -> None:
    """Draw the legend above the axes, right of the title, where it covers nothing."""
    columns = len(axes.get_legend_handles_labels()[0])
    legend = axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns, borderpad=0.2, borderaxespad=0
    )
    write_as_read(legend)


def date_axis(axes: Axes, zone: str | None) -> None:
    """Write dates below an axis of time, and whose they are."""
    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_xlabel(clock_words(zone))


def clock_words(zone: str | None) -> str:
    """Return whose time an axis shows.

    Examples
    --------
    >>> clock_words(None), clock_words("America/New_York")
    ('UTC', 'local time, America/New York')
    """
    return "UTC" if zone is None else f"local time, {zone.replace('_', ' ')}"
