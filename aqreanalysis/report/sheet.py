"""What all figures of the report share: style, colours, legend, and the encoded picture."""

import base64
import io
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D

from aqreanalysis.maps.frame import MapFigure
from aqreanalysis.report.words import drawn_pollutant, label_of, shortened

#: A column of the page; at twice the pixels of a screen it is sharp, also in print.
WIDTH_IN, HEIGHT_IN, SQUARE_IN, DPI = 5.2, 3.7, 4.6, 220

#: Colour and marker of a method. Colours by Okabe & Ito 2008, "Color universal design", which
#: colour-blind readers can distinguish; grey for the reference.
_STYLES = {
    "neural": ("#0072b2", "o"),
    "pretrained": ("#56b4e9", "X"),
    "kriging": ("#4d4d4d", "s"),
    "space_time_kriging": ("#d55e00", "^"),
    "idw": ("#009e73", "D"),
}
#: Of other methods, in their order; the first is the neural method's and free only without it.
_OTHER_STYLES = (("#0072b2", "o"), ("#cc79a7", "v"), ("#e69f00", "P"))
_LONGEST_LABEL = 30


@dataclass(frozen=True)
class Picture:
    """A figure on the page, a PNG as a data URI of ``width`` times ``height`` pixels on the page.

    ``alt`` is what it shows, for those who cannot see it.
    """

    title: str
    caption: str
    alt: str
    source: str
    width: int
    height: int


def new_sheet(height_in: float = HEIGHT_IN, **subplot: Any) -> tuple[Figure, Axes]:
    """Make a figure of the report's width, with one plot."""
    figure = MapFigure(figsize=(WIDTH_IN, height_in), dpi=DPI, layout="constrained")
    return figure, figure.add_subplot(**subplot)


def picture_of(figure: Figure, *, title: str, caption: str, alt: str) -> Picture:
    """Encode a figure as a PNG inside the page."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=DPI, metadata={"Software": None})
    encoded = base64.b64encode(written.getvalue()).decode("ascii")
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    return Picture(title, caption, alt, f"data:image/png;base64,{encoded}", width, height)


def colour_of(method: str, methods: list[str]) -> str:
    """Colour of a method, the same in every figure.

    Examples
    --------
    >>> colour_of("kriging", ["mine", "kriging"]), colour_of("mine", ["mine", "kriging"])
    ('#4d4d4d', '#0072b2')
    """
    return _style_of(method, methods)[0]


def line_of(method: str, methods: list[str]) -> dict[str, Any]:
    """Colour and marker of a method, as arguments of `matplotlib.axes.Axes.plot`."""
    colour, marker = _style_of(method, methods)
    return {"color": colour, "marker": marker}


def _style_of(method: str, methods: list[str]) -> tuple[str, str]:
    """Return colour and marker; other methods take theirs by their place among those."""
    if method in _STYLES:
        return _STYLES[method]
    free = _OTHER_STYLES if "neural" not in methods else _OTHER_STYLES[1:]
    return free[[name for name in methods if name not in _STYLES].index(method) % len(free)]


def legend_label(method: str) -> str:
    """Name of a method as a figure can write it."""
    return drawable(shortened(label_of(method), _LONGEST_LABEL))


def drawable(text: str) -> str:
    r"""Replace characters that the font lacks, and escape those that would begin a formula.

    Examples
    --------
    >>> drawable("PM 北京 5 $")
    'PM ?? 5 \\$'
    """
    available = _characters()
    text = "".join(character if ord(character) in available else "?" for character in text)
    return text.replace("$", r"\$")


@cache
def _characters() -> frozenset[int]:
    """Return the characters that the font has."""
    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())


def write_legend(figure: Figure, entries: list[Any]) -> None:
    """Write a legend above the plot, where it hides nothing."""
    columns = 2 if max((len(str(e.get_label())) for e in entries), default=0) > 14 else 3
    figure.legend(handles=entries, loc="outside upper left", ncols=columns, borderaxespad=0.2)


def method_entries(shown: list[str], methods: list[str], **style_of_line: Any) -> list[Line2D]:
    """Legend entries of methods: line and marker."""
    return [
        Line2D(
            [],
            [],
            label=legend_label(method),
            **line_of(method, methods),
            **style_of_line,
        )
        for method in shown
    ]


def root_ticks(highest: float, *, apart: float = 0.1) -> np.ndarray:
    """Round ticks for a square-root axis, at least ``apart`` (a share of the axis) from each other.

    Examples
    --------
    >>> root_ticks(120.0)
    array([  0.,   2.,  10.,  20.,  50., 100.])
    """
    values = np.array([m * 10.0**p for p in range(-1, 6) for m in (1, 2, 5)])
    chosen = [0.0]
    for value in values[values <= highest]:
        if np.sqrt(value) - np.sqrt(chosen[-1]) >= apart * np.sqrt(highest):
            chosen.append(float(value))
    return np.array(chosen)


def drawable_pollutant(variable: str) -> str:
    """Name of a pollutant as a figure can write it."""
    name = drawn_pollutant(variable)
    return name if name != variable else drawable(name)
