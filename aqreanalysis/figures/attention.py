"""What an outlook attends to in its history, and how it knows the hour."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from aqreanalysis.atomic import atomic_file, explained
from aqreanalysis.figures.places import Place, at_place
from aqreanalysis.figures.sheet import BLUE, ORANGE, FigureError, axes_of, entitle, house_style
from aqreanalysis.maps.frame import MapFigure
from aqreanalysis.maps.video import check_video, video

#: Frames of the animation of a day.
_FRAMES = 48
_FRAMES_DPI = 110


def plot_attention(outlook: xr.Dataset, place: Place | None = None, *, axes: Any = None) -> Figure:
    """Draw how much attention each predicted day pays to each past day, per cent.

    Parameters
    ----------
    outlook : Dataset
        Of ``obs.aqnet.outlook(..., attention=True)``.
    place : str, optional
        A station; by default the mean of all.
    axes : matplotlib Axes, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: the outlook holds no attention, or there is no such station.

    Examples
    --------
    >>> days = ("station", "predicted_day", "past_day")
    >>> outlook = xr.Dataset({"attention": (days, [[[0.75, 0.25]]])}, {"station": ["a"]})
    >>> [text.get_text() for text in plot_attention(outlook).axes[0].texts]
    ['25', '75']
    """
    if "attention" not in outlook:
        raise FigureError(
            "this outlook holds no attention: make it with attention=True, by a method that has it"
        )
    name = "mean of all stations"
    if place is not None:
        outlook, name = at_place(outlook, place)
    shares = outlook["attention"]
    over = [dim for dim in shares.dims if dim not in ("predicted_day", "past_day")]
    # Past days are counted away from the start: the oldest is drawn on the left.
    values = 100 * shares.mean(over).transpose("predicted_day", "past_day").values[:, ::-1]
    with house_style():
        drawn = axes_of(axes)
        largest = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
        image = drawn.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=largest)
        for (row, column), value in np.ndenumerate(values):
            colour = "white" if value > 0.6 * largest else "black"
            drawn.text(
                column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=8
            )
        days, past = values.shape
        drawn.set_xticks(range(past), [f"\u2212{past - column}" for column in range(past)])
        drawn.set_yticks(range(days), [f"+{day + 1}" for day in range(days)])
        drawn.grid(False)
        drawn.set_xlabel("past day (\u22121: the last 24 hours)")
        drawn.set_ylabel("predicted day")
        entitle(drawn, f"Attention of the outlook: {name}")
        drawn.figure.colorbar(image, ax=drawn, label="share (%)", pad=0.01)
    figure = drawn.figure
    assert isinstance(figure, Figure)
    return figure


def plot_time_encoding(period_hours: float = 24.0, *, axes: Any = None) -> Figure:
    """Draw the cyclic encoding of time: sine and cosine, and the circle that they make.

    The last hour of a day and the first of the next are neighbours on the circle, which they are
    not as the numbers 23 and 0.

    Parameters
    ----------
    period_hours : float
        Length of the cycle: 24 for the day.
    axes : pair of matplotlib Axes, optional
        For the curves and the circle.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        A ValueError: a period that is none, or axes that are not two.

    Examples
    --------
    >>> [axes.get_title() for axes in plot_time_encoding().axes]
    ['Sine and cosine return with each cycle', 'so that its ends are neighbours']
    """
    with house_style():
        return _encoding(period_hours, axes)[0]


def animate_time_encoding(
    path: str | os.PathLike[str],
    period_hours: float = 24.0,
    *,
    frames_per_second: float = 12.0,
    progress: bool = True,
) -> Path:
    """Write an animation of the cyclic encoding: the hour runs, and its point around the circle.

    Parameters
    ----------
    path : path
        In .mp4, which needs ffmpeg, or .gif.
    period_hours : float
    frames_per_second : float
    progress : bool

    Returns
    -------
    Path

    Raises
    ------
    MapError
        As of `aqreanalysis.maps.animate`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     animate_time_encoding(Path(folder, "day.gif"), progress=False).name
    'day.gif'
    """
    path = Path(path)
    check_video(path, frames_per_second)
    with house_style():
        figure, left, right = _encoding(period_hours, None)
        figure.set_dpi(_FRAMES_DPI)
        line = left.axvline(0, color="#222222", linewidth=1)
        (point,) = right.plot([0], [1], "o", color=ORANGE, markersize=10, zorder=5)
        (hand,) = right.plot([0, 0], [0, 1], color=ORANGE, linewidth=1)
        moving = ((line, left), (point, right), (hand, right))
        for artist, _ in moving:
            artist.set_animated(True)  # not drawn with the rest, which is drawn once
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        base = canvas.copy_from_bbox(figure.bbox)
        height, width = np.asarray(canvas.buffer_rgba()).shape[:2]
        hours = np.arange(_FRAMES) * period_hours / _FRAMES
        with (
            explained(path),
            atomic_file(path) as partial,
            video(partial, (width, height), frames_per_second) as write,
        ):
            for hour in tqdm(hours, desc="frames", disable=not progress):
                angle = 2 * np.pi * hour / period_hours
                place = np.sin(angle), np.cos(angle)
                line.set_xdata([hour, hour])
                point.set_data([place[0]], [place[1]])
                hand.set_data([0, place[0]], [0, place[1]])
                canvas.restore_region(base)
                for artist, axes in moving:
                    axes.draw_artist(artist)
                write(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return path


def _encoding(period_hours: float, axes: Any) -> tuple[Figure, Any, Any]:
    """Draw the encoding; return the figure and its axes, of the curves and of the circle."""
    if not (isinstance(period_hours, int | float) and 0 < period_hours < float("inf")):
        raise FigureError(f"period_hours needs a number above 0; found {period_hours!r}")
    if axes is None:
        figure: Any = MapFigure(figsize=(8.5, 3.6), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2, width_ratios=(1.7, 1))
    elif np.shape(axes) == (2,):
        left, right = axes
        figure = left.figure
    else:
        raise FigureError("axes needs two: for the curves and for the circle")
    fine = np.linspace(0, 2 * period_hours, 481)
    left.plot(fine, np.sin(2 * np.pi * fine / period_hours), color=BLUE, label="sine")
    left.plot(fine, np.cos(2 * np.pi * fine / period_hours), color=ORANGE, label="cosine")
    steps = np.arange(8) * period_hours / 8
    both = np.concatenate([steps, steps + period_hours, [2 * period_hours]])
    left.set_xticks(both[::2], [f"{hour % period_hours:g}" for hour in both[::2]])
    left.set_xlabel(f"hour, two cycles of {period_hours:g} h")
    left.set_ylabel("encoding")
    left.margins(x=0)
    left.set_ylim(-1.15, 1.5)
    left.legend(loc="upper right", ncols=2)
    left.set_title("Sine and cosine return with each cycle")
    count = round(period_hours) if 4 <= period_hours <= 31 else 12
    hours = np.arange(count) * period_hours / count
    x, y = np.sin(2 * np.pi * hours / period_hours), np.cos(2 * np.pi * hours / period_hours)
    right.plot(x, y, "o", color=BLUE, markersize=4)
    for hour, across, up in zip(hours, x, y, strict=True):
        right.text(1.17 * across, 1.17 * up, f"{hour:.3g}", ha="center", va="center", fontsize=8)
    right.set_aspect("equal")
    right.set_xlim(-1.35, 1.35)
    right.set_ylim(-1.35, 1.35)
    right.set_xlabel("sine")
    right.set_ylabel("cosine")
    right.set_title("so that its ends are neighbours")
    return figure, left, right
