"""Roses: from where the wind comes, and what it brings."""

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.figures.places import Place, at_place, drawn_variable, hours_of
from aqreanalysis.figures.sheet import FigureError, axes_of, entitle, house_style, quantity
from aqreanalysis.maps.period import Time

WIND_FROM, WIND_SPEED = "wind_direction", "wind_speed"
_SECTORS = 16
_POINTS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
#: Boundaries of classes of speed, m s-1.
_SPEEDS = (2.0, 4.0, 6.0, 8.0)
#: Below this the wind has no direction, m s-1.
_CALM = 0.5
_SIZE_IN = (6.4, 5.0)
#: Share of the darkest end of the colours that is used.
_DARKEST = 0.85


def plot_rose(
    dataset: xr.Dataset,
    place: Place | None = None,
    variable: str | None = None,
    *,
    time: Time | None = None,
    axes: Any = None,
) -> Figure:
    """Draw how often the wind comes from each direction, in classes of a pollutant or of its speed.

    Bars point to where the wind comes from; the length of a part is its share of all hours with
    wind and value. Calms, below 0.5 m s-1, have no direction, and are counted in the title.

    Parameters
    ----------
    dataset : Dataset
        Observations with ``wind_direction`` (degrees, from which it blows) and, if they have it,
        ``wind_speed`` (m s-1).
    place : str or (longitude, latitude), optional
        A station; by default all together.
    variable : str, optional
        A pollutant, or "wind_speed" for the rose of the wind itself.
    time
        As of `plot_series`.
    axes : matplotlib PolarAxes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: no wind, no such place, axes that are not polar.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> obs["wind_direction"] = obs.wind_speed.copy(data=obs.wind_speed.values * 60 % 360)
    >>> [text.get_text() for text in plot_rose(obs, "S01").axes[0].get_legend().get_texts()]
    ['up to 35', '35 to 75', '75 to 150', 'above 150']
    """
    variable = drawn_variable(dataset, variable)
    if WIND_FROM not in dataset:
        known = ", ".join(map(str, dataset.data_vars)) or "nothing"
        raise FigureError(
            f"a rose needs {WIND_FROM!r}, from where the wind blows; the dataset has {known}"
        )
    chosen, name = hours_of(dataset, time), "all stations"
    if place is not None or STATION not in chosen.dims:
        chosen, name = at_place(chosen, place)
    names = [n for n in (WIND_FROM, WIND_SPEED, variable) if n in chosen]
    columns = {n: chosen[n].transpose(..., TIME).values.astype(np.float64).ravel() for n in names}
    valid = np.all([np.isfinite(column) for column in columns.values()], axis=0)
    if not valid.any():
        raise FigureError(f"{name}: no hour has both the wind and {variable}")
    calm = columns[WIND_SPEED][valid] < _CALM if WIND_SPEED in columns else np.zeros(valid.sum())
    blowing = ~calm.astype(bool)
    shares, labels = _shares(
        columns[WIND_FROM][valid][blowing], columns[variable][valid][blowing], variable, valid.sum()
    )
    with house_style():
        drawn = axes_of(axes, size_in=_SIZE_IN, projection="polar")
        if not isinstance(drawn, PolarAxes):
            raise FigureError("a rose needs polar axes: figure.add_subplot(projection='polar')")
        _draw_bars(drawn, shares, labels, quantity(chosen, variable, "\n"))
        hours = f"{valid.sum():,}".replace(",", "\u202f")
        entitle(drawn, f"{name}: {hours} hours, {100 * calm.mean():.0f} % calm", pad=16)
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def _shares(
    direction: np.ndarray, values: np.ndarray, variable: str, hours: int
) -> tuple[np.ndarray, list[str]]:
    """Return the shares of hours, (class, sector), and the labels of the classes."""
    known = POLLUTANTS.get(variable)
    limits = np.array(_SPEEDS if known is None else known.events)
    if variable not in POLLUTANTS and variable != WIND_SPEED:
        limits = (
            np.unique(np.round(np.percentile(values, (25, 50, 75)), 1)) if values.size else limits
        )
    sector = np.round(direction / (360 / _SECTORS)).astype(int) % _SECTORS
    number = np.searchsorted(limits, values, side="left")
    counts = np.zeros((limits.size + 1, _SECTORS))
    np.add.at(counts, (number, sector), 1)
    middle = [f"{low:g} to {high:g}" for low, high in pairwise(limits)]
    return counts / hours, [f"up to {limits[0]:g}", *middle, f"above {limits[-1]:g}"]


def _draw_bars(axes: PolarAxes, shares: np.ndarray, labels: list[str], title: str) -> None:
    """Draw the bars of the sectors, classes outwards."""
    from cmcrameri import cm

    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    angles = np.arange(_SECTORS) * 2 * np.pi / _SECTORS
    colours = cm.lajolla_r(np.linspace(0.15, _DARKEST, len(labels)))
    bottom = np.zeros(_SECTORS)
    for share, label, colour in zip(100 * shares, labels, colours, strict=True):
        axes.bar(
            angles, share, width=0.9 * 2 * np.pi / _SECTORS, bottom=bottom, color=colour,
            edgecolor="#444444", linewidth=0.4, label=label,
        )  # fmt: skip
        bottom += share
    axes.set_xticks(np.arange(8) * np.pi / 4, _POINTS)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    # Where the bars are shortest.
    axes.set_rlabel_position(float(np.degrees(angles[int(np.argmin(bottom))])))
    axes.tick_params(axis="y", labelsize=8)
    axes.legend(title=title, loc="center left", bbox_to_anchor=(1.08, 0.5))
