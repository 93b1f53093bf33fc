"""The words around a map: title, colour bar, legend and caption, each in its place."""

import textwrap
from dataclasses import dataclass
from typing import Any

from matplotlib.cm import ScalarMappable

from aqreanalysis.maps.frame import (
    LEFT_IN,
    SMALL_PT,
    SUBTITLE_PT,
    TEXT_PT,
    TITLE_PT,
    WIDTH_IN,
    Frame,
    lay_out,
)
from aqreanalysis.maps.marks import Colours

_ROW_IN, _LINE_IN, _GAP_IN = 0.23, 0.165, 0.12
#: Width of a character of a legend at TEXT_PT, and of a mark with the gaps around it.
_CHARACTER_IN, _MARK_IN = 0.076, 0.55
_CAPTION_CHARACTERS = 145


@dataclass(frozen=True)
class Sheet:
    """What is written around a map."""

    title: str
    subtitle: str
    label: str
    caption: str


def write_sheet(frame: Frame, sheet: Sheet, colours: Colours, entries: list[Any]) -> None:
    """Write title, colour bar, legend and caption around the map."""
    if frame.colour_bar is None:
        _write_in_axes(frame, sheet, colours, entries)
        return
    caption = textwrap.wrap(sheet.caption, _CAPTION_CHARACTERS)
    columns = _columns(entries)
    rows = -(-len(entries) // columns)
    below = _GAP_IN + rows * _ROW_IN + _GAP_IN + len(caption) * _LINE_IN + _GAP_IN
    lay_out(frame, below)
    figure = frame.figure
    height = figure.get_figheight()
    left = LEFT_IN / WIDTH_IN
    figure.text(left, 1 - 0.18 / height, sheet.title, size=TITLE_PT, weight="bold", va="top")
    figure.text(left, 1 - 0.5 / height, sheet.subtitle, size=SUBTITLE_PT, va="top")
    figure.text(
        left, _GAP_IN / height, "\n".join(caption), size=SMALL_PT, va="bottom", color="#555555"
    )
    _write_colour_bar(frame, sheet, colours)
    if entries:
        figure.legend(
            handles=entries,
            loc="upper left",
            bbox_to_anchor=(left, (below - _GAP_IN) / height),
            ncols=columns,
            fontsize=TEXT_PT,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            columnspacing=1.6,
        )


def _columns(entries: list[Any]) -> int:
    """Return how many entries of the legend fit beside each other."""
    if not entries:
        return 1
    longest = max(len(str(entry.get_label())) for entry in entries)
    fitting = int((WIDTH_IN - LEFT_IN - 0.3) // (_MARK_IN + _CHARACTER_IN * longest))
    rows = -(-len(entries) // max(1, fitting))
    return -(-len(entries) // rows)


def _write_colour_bar(frame: Frame, sheet: Sheet, colours: Colours) -> None:
    """Draw the colour bar; without any value there is none."""
    if frame.colour_bar is None:
        return
    if not colours.present:
        frame.colour_bar.remove()
        return
    bar = frame.figure.colorbar(
        ScalarMappable(colours.norm, colours.map),
        cax=frame.colour_bar,
        extend=colours.extend,
        extendfrac=0.03,
    )
    bar.set_label(sheet.label, size=SUBTITLE_PT, labelpad=8)
    bar.ax.tick_params(labelsize=TEXT_PT)


def _write_in_axes(frame: Frame, sheet: Sheet, colours: Colours, entries: list[Any]) -> None:
    """Write title, colour bar and legend beside and in axes of the caller's."""
    title = "\n".join(text for text in (sheet.title, sheet.subtitle) if text)
    frame.axes.set_title(title, loc="left", fontsize=TEXT_PT)
    if colours.present:
        frame.figure.colorbar(
            ScalarMappable(colours.norm, colours.map),
            ax=frame.axes,
            extend=colours.extend,
            label=sheet.label,
            fraction=0.046,
            pad=0.03,
        )
    if entries:
        frame.axes.legend(handles=entries, loc="upper right", fontsize=SMALL_PT, framealpha=0.9)
