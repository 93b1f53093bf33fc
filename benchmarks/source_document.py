"""The pictures of the source document (arXiv 2502.11941), remade of the public part of its data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import aqreanalysis as aqr
from aqreanalysis.figures import animate_time_encoding, plot_neighbours
from benchmarks import sources
from benchmarks.protocols import INCREASE_HIDDEN

#: Hours that are learned from, those that are animated, and one of them, in UTC: clean air comes
#: from the north and ends three days of haze.
LEARNED = slice("2014-11-01", "2014-11-30")
EPISODE = slice("2014-11-21T01", "2014-11-22T00")
HOUR = "2014-11-21T12"
#: West, east, south, north, degrees: the centre, where stations are a kilometre or two apart.
CENTRE = (116.28, 116.50, 39.84, 40.03)
#: Of the field, which has all stations, and of the stations, where the centre enlarged has room.
REGION, WIDE = (115.85, 117.25, 39.4, 40.6), (115.7, 118.0, 39.35, 40.65)
CELL, LIMITS, ZONE = 0.02, (0.0, 400.0), "Asia/Shanghai"
#: Few colours, so that the animation is small.
LEVELS = range(0, 401, 25)
#: The colours of the source document, from dark purple to yellow.
COLOURS = "plasma"
#: Which of the hidden stations has its series drawn.
SERIES = 4
STILLS_DPI = 75

#: Boxes of the drawing of the method: left, bottom, width, height and words, and which lead where.
_BOXES = {
    "series": (0.0, 1.1, 1.7, 1.0, "Series of each station\nroot of the concentration"),
    "gaps": (2.3, 1.1, 1.9, 1.0, "Completion\nspace-time kriging\nof the gaps"),
    "bands": (4.8, 2.1, 2.1, 1.0, "Three bands\nhour to hour, day to day,\nweather"),
    "encoder": (4.8, 0.1, 2.1, 1.0, "Encoder\ntwo-sided LSTM, attention,\ncyclic time"),
    "kriging": (
        7.5,
        2.1,
        2.1,
        1.0,
        "Kriging of each band\nlearned covariance,\n40 nearest stations",
    ),
    "heads": (
        7.5,
        0.1,
        2.1,
        1.0,
        "Attention over stations\nand a decoder correct\nmean and spread",
    ),
    "law": (10.2, 1.1, 1.9, 1.0, "Mean and spread\nof the root at any\nplace and hour"),
}
_ARROWS = (
    *(("series", "gaps"), ("gaps", "bands"), ("gaps", "encoder"), ("bands", "kriging")),
    *(("encoder", "heads"), ("kriging", "law"), ("heads", "law")),
)
_PROVEN, _OPTIONAL = "#dbe7f4", "#fbe3cf"


def draw(data: Path, folder: Path) -> list[Path]:
    """Return the paths of the pictures; the method is its learned covariance, half a minute."""
    observations = sources.beijing36(data).sel(time=LEARNED)
    hidden = observations.isel(station=list(INCREASE_HIDDEN))
    known = observations.drop_isel(station=list(INCREASE_HIDDEN))
    model = known.aqnet.fit("pm25", schedule=aqr.Schedule(updates=0), progress=False)
    field = known.aqnet.reanalyse(grid=CELL, region=REGION, method=model, time=EPISODE)
    at_hidden = known.aqnet.reanalyse(at=hidden, method=model)
    folder.mkdir(parents=True, exist_ok=True)
    both = {"observations": known, "hidden": hidden, "cmap": COLOURS, "local_time": ZONE}
    name = str(hidden.station.values[SERIES])
    place = (float(hidden.longitude[SERIES]), float(hidden.latitude[SERIES]))
    stills: dict[str, Callable[[], Figure]] = {
        "stations": lambda: _stations(known, hidden),
        "field": lambda: field.aqnet.map(time=HOUR, limits=LIMITS, **both),
        "error": lambda: field.aqnet.map(
            time=HOUR, what="uncertainty", observations=known, local_time=ZONE
        ),
        "series": lambda: at_hidden.aqnet.plot_series(
            name, observations=hidden, local_time=ZONE, title=f"{name}, hidden from the method"
        ),
        "neighbours": lambda: plot_neighbours(model, known, place),
        "architecture": architecture,
    }
    written = []
    for what, picture in stills.items():
        written.append(folder / f"{what}.png")
        picture().savefig(written[-1], dpi=STILLS_DPI)
    film = {"levels": LEVELS, "caption": False, "progress": False}
    written.append(field.aqnet.animate(folder / "field.gif", **both, **film))
    written.append(animate_time_encoding(folder / "time_encoding.gif", progress=False))
    return written


def _stations(known: xr.Dataset, hidden: xr.Dataset) -> Figure:
    """Return all stations, coloured by their value and as large, with the centre enlarged."""
    everything = xr.concat([known, hidden], "station")
    names = hidden.station.values.astype(str)
    style = {"size_by_value": True, "inset": CENTRE, "cmap": COLOURS, "limits": LIMITS}
    return everything.aqnet.map(
        "pm25", time=HOUR, hidden=names, region=WIDE, local_time=ZONE, **style
    )


def architecture() -> Figure:
    """Return a drawing of the neural method: what is proven, and what is used where it is."""
    figure = Figure(figsize=(12.4, 3.6), layout="constrained", facecolor="white")
    axes: Any = figure.subplots()
    for name, (left, bottom, width, height, words) in _BOXES.items():
        colour = _OPTIONAL if name in ("encoder", "heads") else _PROVEN
        box = FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0.05")
        box.set(facecolor=colour, edgecolor="#444444")
        axes.add_patch(box)
        first, _, rest = words.partition("\n")
        middle = left + width / 2
        axes.text(middle, bottom + 0.82, first, ha="center", va="center", weight="bold", size=9)
        axes.text(middle, bottom + 0.36, rest, ha="center", va="center", size=8.5)
    for begin, end in _ARROWS:
        left, bottom, width, height, _ = _BOXES[begin]
        tip = _BOXES[end]
        ends = (left + width + 0.08, bottom + height / 2), (tip[0] - 0.08, tip[1] + tip[3] / 2)
        axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=12, color="#444444"))
    said = "Orange: a network, used as far as hidden stations prove that it gains."
    axes.text(0.0, 0.25, said, size=9, va="center")
    axes.set(xlim=(-0.2, 12.3), ylim=(-0.1, 3.3), aspect="equal")
    axes.axis("off")
    return figure
