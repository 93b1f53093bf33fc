"""The series of a place: what was measured, what is estimated, and its 90 % interval."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from aqreanalysis.conventions import REFERENCE, STATION, TIME, quantile_name
from aqreanalysis.figures.places import Place, at_place, drawn_variable, hours_of, local_times
from aqreanalysis.figures.sheet import (
    BLUE,
    DARK,
    ORANGE,
    axes_of,
    date_axis,
    entitle,
    house_style,
    legend_above,
    quantity,
)
from aqreanalysis.maps.layers import IDENTIFIERS
from aqreanalysis.maps.period import Time
from aqreanalysis.predictive import INTERVAL_90, RootNormal, freedom_of


def plot_series(
    dataset: xr.Dataset,
    place: Place | None = None,
    variable: str | None = None,
    *,
    observations: xr.Dataset | None = None,
    time: Time | None = None,
    start: Time | None = None,
    local_time: str | None = None,
    title: str | None = None,
    axes: Any = None,
) -> Figure:
    """Draw the series of a place with its 90 % interval.

    Measurements are dark, estimates blue; filled gaps are dots, each with its interval. The
    interval is that of the layers of 5 and 95 % where there are some, or else follows from estimate
    and standard error.

    Parameters
    ----------
    dataset : Dataset
        A product at stations, on a grid or of zones, an outlook, or observations, with filled gaps
        or not.
    place : str or (longitude, latitude), optional
        A station or a zone by its identifier or name, or on a grid the cell there. May be left out
        where there is one station or zone.
    variable : str, optional
        Pollutant; the product's only one by default.
    observations : Dataset, optional
        Measurements to draw as well, at the station of that name, or the one next to the position.
    time, start
        As of `aqreanalysis.maps.map_field`.
    local_time : str, optional
        Zone of the axis of time, such as "Asia/Shanghai", instead of UTC.
    title : str, optional
        Instead of the station's name.
    axes : matplotlib Axes, optional
        Draw there instead of on a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: no such station or place; the message names near ones.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> product = obs.aqnet.reanalyse("pm25", at=obs, method="kriging")
    >>> figure = plot_series(product, "S01", observations=obs)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['90 % interval', 'estimate', 'measured']
    """
    variable = drawn_variable(dataset, variable)
    one, name = at_place(hours_of(dataset, time, start), place)
    times = local_times(one, local_time)
    with house_style():
        drawn = axes_of(axes)
        values = one[variable].values.astype(np.float64)
        _draw_values(drawn, one, variable, times, values)
        if observations is not None:
            _draw_measured(drawn, observations, place, one, variable, local_time)
        drawn.set_ylabel(quantity(one, variable))
        _show_all(drawn, times)
        if np.nanmin(np.append(values, 0.0)) >= 0:
            drawn.set_ylim(bottom=0)
        date_axis(drawn, local_time)
        entitle(drawn, name if title is None else title)
        if drawn.get_legend_handles_labels()[0]:
            legend_above(drawn)
        else:
            drawn.text(0.5, 0.5, "no values", transform=drawn.transAxes, ha="center")
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def interval_of(one: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the ends of the 90 % interval of a series, if its error is known.

    Examples
    --------
    >>> series = xr.Dataset({"pm25": ("time", [25.0]), "pm25_uncertainty": ("time", [10.0])})
    >>> [end.round(1).tolist() for end in interval_of(series, "pm25")]
    [[11.4], [43.9]]
    """
    low, high = (quantile_name(variable, probability) for probability in INTERVAL_90)
    if low in one and high in one:
        return one[low].values.astype(np.float64), one[high].values.astype(np.float64)
    error, median = f"{variable}_uncertainty", quantile_name(variable, 0.5)
    if error not in one:
        return None
    level = one[median if median in one else variable].values
    distribution = RootNormal.from_median(
        level, one[error].values, freedom=freedom_of(one[error].attrs)
    )
    return distribution.interval_90()


def _draw_values(
    axes: Axes, one: xr.Dataset, variable: str, times: pd.DatetimeIndex, values: np.ndarray
) -> None:
    """Draw the values of a Dataset at one place, as what they are."""
    if not np.isfinite(values).any():
        return
    interval = interval_of(one, variable)
    origin = f"{variable}_origin"
    if origin in one:
        _draw_filled(axes, times, values, one[origin].values == 1, interval)
        return
    at_station = not set(IDENTIFIERS).isdisjoint(one.coords)
    if interval is None and at_station and "method" not in one.attrs:
        axes.plot(times, values, color=DARK, linewidth=1.2, label="measured", **_dots(values))
        return
    if interval is not None:
        axes.fill_between(
            times, *interval, color=BLUE, alpha=0.2, linewidth=0, label="90 % interval"
        )
    word = "outlook" if REFERENCE in one.variables else "estimate"
    axes.plot(times, values, color=BLUE, linewidth=1.7, label=word, **_dots(values))


def _show_all(axes: Axes, times: pd.DatetimeIndex) -> None:
    """Let an axis of time reach over all hours, also those without a value."""
    half = 1 / 48 if times.size == 1 else 0.0  # of a day
    first, last = date2num([times.min(), times.max()])
    axes.set_xlim(first - half, last + half)


def _draw_filled(
    axes: Axes,
    times: pd.DatetimeIndex,
    values: np.ndarray,
    filled: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Draw measurements, and what filled their gaps with its interval."""
    measured = np.where(filled, np.nan, values)
    axes.plot(times, measured, color=DARK, linewidth=1.2, label="measured", **_dots(measured))
    if not filled.any():
        return
    errors = None
    if interval is not None:
        low, high = (end[filled] for end in interval)
        at = values[filled]
        errors = np.nan_to_num(np.clip([at - low, high - at], 0, None))
    axes.errorbar(
        times[filled],
        values[filled],
        yerr=errors,
        fmt="o",
        color=ORANGE,
        markersize=3,
        elinewidth=0.8,
        label="gap filled" if errors is None else "gap filled, 90 % interval",
    )


def _draw_measured(
    axes: Axes,
    observations: xr.Dataset,
    place: Place | None,
    one: xr.Dataset,
    variable: str,
    zone: str | None,
) -> None:
    """Draw what was measured at the place in the hours of the estimate."""
    if place is None and STATION in one.coords:
        place = str(one[STATION].values)
    station, name = at_place(observations, place)
    within = station[TIME].values
    within = (within >= one[TIME].values[0]) & (within <= one[TIME].values[-1])
    station = station.isel({TIME: within})
    values = station[variable].values.astype(np.float64)
    label = "measured" if isinstance(place, str) else f"measured at {name}"
    times = local_times(station, zone)
    axes.plot(times, values, color=DARK, linewidth=1.2, label=label, **_dots(values))


def _dots(values: np.ndarray) -> dict[str, Any]:
    """Return a mark for series so short or so full of gaps that lines would not show them."""
    present = np.isfinite(values)
    alone = present & ~np.append(False, present[:-1]) & ~np.append(present[1:], False)
    return {"marker": "o", "markersize": 2.5} if alone.any() or values.size < 3 else {}
