"""What usually happens: by hour of the day, day of the week or month, and a calendar of days."""

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from aqreanalysis.conventions import MINIMUM_CAPTURE, STATION, TIME, ZONE
from aqreanalysis.figures.places import Place, at_place, drawn_variable, hours_of, local_times
from aqreanalysis.figures.sheet import (
    BLUE,
    DARK,
    HEIGHT_IN,
    WIDTH_IN,
    FigureError,
    axes_of,
    clock_words,
    entitle,
    house_style,
    legend_above,
    quantity,
)
from aqreanalysis.maps.colours import Colours, kind_of
from aqreanalysis.maps.period import Time
from aqreanalysis.maps.style import Style
from aqreanalysis.observations.time_axis import step_hours

Cycle = Literal["day", "week", "year"]
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip
#: What values of a cycle may cover, and the longest of these in hours, where a clock changes.
_FINEST: dict[Cycle, tuple[str, float]] = {
    "day": ("half a day", 12),
    "week": ("a day", 25),
    "year": ("a month", 31 * 24 + 1),
}
#: Height of a year of a calendar.
_YEAR_IN = 1.5
#: Days without enough hours.
_NO_DAY = "#eeeeee"


def plot_cycle(
    dataset: xr.Dataset,
    cycle: Cycle = "day",
    place: Place | None = None,
    variable: str | None = None,
    *,
    time: Time | None = None,
    local_time: str | None = None,
    axes: Any = None,
) -> Figure:
    """Draw the mean, the median and the middle half of values by hour, day of the week or month.

    Parameters
    ----------
    dataset : Dataset
        Observations or a product.
    cycle : {"day", "week", "year"}
    place : str or (longitude, latitude), optional
        As of `plot_series`; by default all stations, or all cells, together.
    variable, time, local_time, axes
        As of `plot_series`. Without ``local_time`` hours and days are those of UTC.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: no such cycle or place, or values of longer periods than are drawn.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> figure = plot_cycle(obs, "day", local_time="Asia/Shanghai")
    >>> figure.axes[0].get_xlabel()
    'hour of the day (local time, Asia/Shanghai)'
    """
    if cycle not in get_args(Cycle):
        raise FigureError(f"cycle is one of {', '.join(get_args(Cycle))}; found {cycle!r}")
    variable = drawn_variable(dataset, variable)
    chosen = hours_of(dataset, time)
    name = f"all {_places(chosen)}"
    if place is not None:
        chosen, name = at_place(chosen, place)
    _check_finer(chosen, f"a cycle over a {cycle}", *_FINEST[cycle])
    times = local_times(chosen, local_time)
    values = chosen[variable].transpose(TIME, ...).values.astype(np.float64)
    values = values.reshape(times.size, -1)
    numbers, labels, words = _phases(times, cycle)
    parts = [values[numbers == number] for number in range(len(labels))]
    parts = [part[np.isfinite(part)] for part in parts]
    nothing = np.array([np.nan])
    quartiles = np.array([np.percentile(part if part.size else nothing, (25, 50, 75))
                          for part in parts]).T  # fmt: skip
    means = [part.mean() if part.size else np.nan for part in parts]
    with house_style():
        drawn = axes_of(axes)
        at = np.arange(len(labels))
        drawn.fill_between(
            at, quartiles[0], quartiles[2], color=BLUE, alpha=0.2, linewidth=0, label="middle half"
        )
        drawn.plot(at, quartiles[1], color=BLUE, marker="o", markersize=4, label="median")
        drawn.plot(at, means, color=DARK, linestyle="--", linewidth=1.2, label="mean")
        every = 3 if cycle == "day" else 1
        drawn.set_xticks(at[::every], labels[::every])
        drawn.set_xlabel(f"{words} ({clock_words(local_time)})")
        drawn.set_ylabel(quantity(chosen, variable))
        count = int(sum(part.size for part in parts))
        entitle(drawn, f"{name}: {count:,} values".replace(",", "\u202f"))
        drawn.set_ylim(bottom=min(0.0, float(np.nanmin(np.append(quartiles, 0.0)))))
        legend_above(drawn)
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def plot_calendar(
    dataset: xr.Dataset,
    place: Place | None = None,
    variable: str | None = None,
    *,
    time: Time | None = None,
    local_time: str | None = None,
    axes: Any = None,
    **style: Any,
) -> Figure:
    """Draw the mean of each day as a calendar: a column a week, a block a year.

    Days with fewer than 75 % of their values are grey, those before and after all values white.

    Parameters
    ----------
    dataset, place, variable, time, local_time, axes
        As of `plot_cycle`; without a place, the mean over all stations that report.
    **style
        ``limits``, ``levels`` and ``cmap`` of `aqreanalysis.maps.Style`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: no such place, or values of longer periods than are drawn.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> plot_calendar(obs, "S01").axes[0].get_title(loc="left")
    'S01 (Town 1): daily means, UTC'
    """
    chosen_style = Style.of(style)
    variable = drawn_variable(dataset, variable)
    chosen = hours_of(dataset, time)
    name = f"mean of all {_places(chosen)}"
    if place is not None:
        chosen, name = at_place(chosen, place)
    _check_finer(chosen, "a calendar", *_FINEST["week"])
    times = local_times(chosen, local_time)
    values = chosen[variable].astype(np.float64)
    over = [dim for dim in values.dims if dim != TIME]
    days = _daily(values.mean(over).values, times)
    layer = chosen[variable]
    with house_style():
        years = sorted(set(pd.DatetimeIndex(days.index).year))
        size = WIDTH_IN, max(HEIGHT_IN - 1.4, _YEAR_IN * len(years) + 0.7)
        drawn = axes_of(axes, size_in=size)
        kind = kind_of(layer, variable, "value", [days.to_numpy()])
        colours = Colours.of(kind, np.array([]), days.to_numpy(), chosen_style)
        _draw_years(drawn, days, years, colours)
        drawn.set_xlabel(f"grey: fewer than {100 * MINIMUM_CAPTURE:.0f} % of the hours", size=8)
        if colours.present:
            drawn.figure.colorbar(
                ScalarMappable(colours.norm, colours.map),
                ax=drawn,
                extend=colours.extend,
                label=quantity(chosen, variable),
                pad=0.02,
            )
        entitle(drawn, f"{name}: daily means, {clock_words(local_time)}")
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def _places(dataset: xr.Dataset) -> str:
    """Return what the places of a Dataset are called."""
    return next((f"{dim}s" for dim in (STATION, ZONE) if dim in dataset.dims), "cells")


def _check_finer(dataset: xr.Dataset, what: str, longest: str, longest_hours: float) -> None:
    """Refuse values of which one covers several hours, days or months of what is drawn.

    Raises
    ------
    FigureError
        If it does; the message says which would do.
    """
    step = float(dataset[TIME].attrs.get("step_hours", step_hours(dataset)))
    if step > longest_hours:
        raise FigureError(
            f"{what} needs values of {longest} or less; those of this "
            f"dataset are of {step:g} hours. Draw it from what they were averaged from, or draw "
            "them as a series with plot_series"
        )


def _phases(times: pd.DatetimeIndex, cycle: Cycle) -> tuple[np.ndarray, list[str], str]:
    """Return the number of each time's phase, the labels of all phases, and what they are."""
    if cycle == "day":
        return np.asarray(times.hour), [str(hour) for hour in range(24)], "hour of the day"
    if cycle == "week":
        return np.asarray(times.day_of_week), list(_DAYS), "day of the week"
    return np.asarray(times.month) - 1, list(_MONTHS), "month"


def _daily(values: np.ndarray, times: pd.DatetimeIndex) -> pd.Series:
    """Return the means of days; NaN where fewer than `MINIMUM_CAPTURE` of the values are there."""
    series = pd.Series(values, times)
    step = float(np.median(np.diff(times)) / np.timedelta64(1, "h")) if times.size > 1 else 24.0
    grouped = series.groupby(times.normalize())
    needed = MINIMUM_CAPTURE * max(24.0 / max(step, 1e-6), 1.0)
    means = grouped.mean()
    return means.where(grouped.count() >= needed)


def _draw_years(axes: Any, days: pd.Series, years: list[int], colours: Colours) -> None:
    """Draw a block of seven rows for each year, with lines between months."""
    for row, year in enumerate(years):
        whole = pd.date_range(f"{year}-01-01", f"{year}-12-31")
        monday = int(whole[0].day_of_week)
        week = (np.arange(whole.size) + monday) // 7
        cells = np.full((7, 54), np.nan)
        known = days.reindex(whole).to_numpy()
        cells[whole.day_of_week, week] = known
        inside = np.zeros((7, 54), bool)
        inside[whole.day_of_week, week] = (whole >= days.index[0]) & (whole <= days.index[-1])
        top = 8.5 * row
        edges = np.arange(55), top + np.arange(8)
        empty = np.ma.masked_where(~(inside & np.isnan(cells)), np.ones((7, 54)))
        axes.pcolormesh(*edges, empty, edgecolors="white", linewidth=0.6,
                        cmap=_single(_NO_DAY))  # fmt: skip
        axes.pcolormesh(
            *edges, np.ma.masked_invalid(cells), cmap=colours.map, norm=colours.norm,
            edgecolors="white", linewidth=0.6,
        )  # fmt: skip
        for month in range(1, 13):
            first = whole[whole.month == month][0]
            number = (first.day_of_year - 1 + monday) // 7
            axes.text(number + 0.6, top - 0.25, _MONTHS[month - 1], fontsize=8, va="bottom")
        axes.text(-2.2, top + 3.5, str(year), rotation=90, va="center", ha="center", weight="bold")
    axes.set_xlim(-2.8, 54.2)
    axes.set_ylim(8.5 * (len(years) - 1) + 7.3, -1.6)
    rows = [8.5 * row + day + 0.5 for row in range(len(years)) for day in (0, 2, 4, 6)]
    axes.set_yticks(rows, [_DAYS[day] for _ in years for day in (0, 2, 4, 6)], fontsize=7)
    axes.set_xticks([])
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)


def _single(colour: str) -> Any:
    """Return a colour map of one colour."""
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])
