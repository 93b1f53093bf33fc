"""The words around a map: title, colour bar, legend and caption, each in its place."""

import logging
import textwrap
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import xarray as xr
from matplotlib import rcParams
from matplotlib.cbook import is_math_text
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.legend import Legend
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, Pollutant
from aqreanalysis.maps.colours import Colours
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
from aqreanalysis.maps.layers import What

logger = logging.getLogger(__name__)

#: Fonts that have what the usual one lacks, each on some system: they are tried before all others.
FONTS_OF_MANY_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC",
    "Arial Unicode MS",
)  # fmt: skip
_ROW_IN, _LINE_IN, _GAP_IN = 0.23, 0.165, 0.12
#: Width of a character of a legend at TEXT_PT, and of a mark with the gaps around it.
_CHARACTER_IN, _MARK_IN = 0.076, 0.55
_CAPTION_CHARACTERS = 145
#: Numbers of a bar below and from these powers of ten on are written with the power.
_POWERS = (-3, 5)
#: A title that does not fit even so is cut off.
_SMALLEST_PT = 5.0


@dataclass(frozen=True)
class Words:
    """How the variable is called on the map: title and colour bar."""

    title: str
    label: str


def words_for(
    dataset: xr.Dataset, variable: str, what: What = "value", *, error: str = "standard error"
) -> Words:
    """Return title and colour bar label of a variable, with its units as a reader writes them.

    ``error`` says which error an uncertainty is: of a period, that of the mean or the mean of the
    hourly ones.

    Examples
    --------
    >>> words_for(xr.Dataset({"pm25": ((), 1.0, {"units": "ug m-3"})}), "pm25").label
    'PM$_{2.5}$ (μg m⁻³)'
    """
    attributes = dataset[variable].attrs
    known = POLLUTANTS.get(variable)
    stated = _sentence(str(attributes["long_name"])) if "long_name" in attributes else variable
    name = known.label if known else stated
    suffix = f" ({units})" if (units := units_of(dataset, variable)) else ""
    title = f"{name} concentration" if known else name
    if known and (of_period := _of_period(str(attributes.get("long_name")), known)):
        title, name = f"{title}: {of_period}", f"{name}, {of_period}"
    if what == "uncertainty":
        joined = "," if ":" in title else ":"
        return Words(
            f"{title}{joined} {error}", f"{name}{',' if ',' in name else ''} {error}{suffix}"
        )
    return Words(title, f"{name}{suffix}")


def units_of(dataset: xr.Dataset, variable: str) -> str:
    """Return the units of a variable as a reader writes them; nothing for those of 1."""
    unstated = CONCENTRATION_UNITS if variable in POLLUTANTS else ""
    units = str(dataset[variable].attrs.get("units", unstated))
    return "" if units == "1" else written_units(units)


def _of_period(long_name: str, known: Pollutant) -> str:
    """Return what values are of longer periods, such as "daily maximum", or nothing."""
    of_periods = long_name.removesuffix(f" of {known.long_name}")
    return "" if of_periods == long_name else of_periods


def as_written(title: str) -> str:
    r"""Return a title in which "$" begins a formula only where it is one.

    Examples
    --------
    >>> print(as_written("PM$_{2.5}$"), as_written("$5 a day"), as_written(r"$\undefined$"))
    PM$_{2.5}$ $5 a day \$\undefined\$
    """
    if "\n" in title:  # each line is drawn by itself
        return "\n".join(map(as_written, title.split("\n")))
    if not is_math_text(title):
        return title
    try:
        MathTextParser("agg").parse(title)
    except ValueError:
        return title.replace("$", r"\$")
    return title


def write_as_read(legend: Legend) -> None:
    """Let the entries of a legend be what they are called, in fonts that have their signs."""
    for entry in legend.get_texts():
        entry.set_fontfamily(families(entry.get_text()))
        entry.set_text(as_written(entry.get_text()))


def families(text: str) -> list[str]:
    """Return the fonts for a text: the usual one, then those that have what it lacks."""
    usual = findfont(FontProperties(family=rcParams["font.family"]))
    lacking = {sign for sign in text if sign.isprintable() and not _has(usual, sign)}
    fonts, missing = _fonts_for("".join(sorted(lacking)))
    if missing:
        logger.warning(
            "no font here has %s, drawn as boxes: install one, such as Noto Sans CJK", missing
        )
    return [*rcParams["font.family"], *fonts]


@cache
def _fonts_for(signs: str) -> tuple[tuple[str, ...], str]:
    """Return fonts of this system that have some signs, and the signs that none of them has."""
    lacking, chosen = set(signs), []
    paths = {
        font.name: font.fname
        for font in fontManager.ttflist
        if font.style == "normal" and "Last Resort" not in font.name  # boxes are its letters
    }
    for name in dict.fromkeys([*FONTS_OF_MANY_SCRIPTS, *sorted(paths)]) if signs else ():
        known = {sign for sign in lacking if name in paths and _has(paths[name], sign)}
        if known:
            chosen.append(name)
            lacking -= known
        if not lacking:
            break
    return tuple(chosen), "".join(sorted(lacking))


def _has(path: str, sign: str) -> bool:
    """Return whether a font has a sign."""
    return bool(get_font(path).get_char_index(ord(sign)))


def _sentence(name: str) -> str:
    """Return a long name as a title: with a capital, and pollutant and unit as a reader writes."""
    for known in POLLUTANTS.values():
        name = name.replace(known.long_name, known.label)
    capital = name[:1].upper() + name[1:]
    return capital.replace(CONCENTRATION_UNITS, written_units(CONCENTRATION_UNITS))


def written_units(units: str) -> str:
    """Return units with Greek letter and raised exponents.

    Examples
    --------
    >>> written_units("ug m-3")
    'μg m⁻³'
    """
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    words = []
    for word in units.split():
        base = word.rstrip("-0123456789")
        exponent = word[len(base) :]
        base = f"μ{base[1:]}" if base in ("ug", "um", "umol") else base
        words.append(base + exponent.translate(raised) if base else word)
    return " ".join(words)


@dataclass(frozen=True)
class Sheet:
    """What is written around a map; empty texts are left out."""

    title: str
    subtitle: str
    label: str
    caption: str


def write_sheet(
    frame: Frame,
    sheet: Sheet,
    colours: Colours,
    entries: list[Any],
    *,
    legend: bool = True,
    bar: bool = True,
) -> None:
    """Write title, colour bar, legend and caption around the map."""
    entries = [*(colours.classes or ()), *entries] if legend else []
    if frame.given:
        _write_in_axes(frame, sheet, colours, entries, bar=bar)
        return
    draw_colour_bar(frame, colours, sheet.label)
    write_around(frame, sheet, entries)


def write_around(frame: Frame, sheet: Sheet, entries: list[Any]) -> None:
    """Write title and subtitle above, legend and caption below all that a figure has."""
    caption = textwrap.wrap(as_written(sheet.caption), _CAPTION_CHARACTERS)
    columns = _columns(entries)
    rows = -(-len(entries) // columns)
    below = _GAP_IN + rows * _ROW_IN + _GAP_IN + len(caption) * _LINE_IN + _GAP_IN
    lay_out(frame, below)
    figure = frame.figure
    height = figure.get_figheight()
    left = LEFT_IN / WIDTH_IN
    for words, size, weight, down in (
        (sheet.title, TITLE_PT, "bold", 0.18),
        (sheet.subtitle, SUBTITLE_PT, "normal", 0.5),
    ):
        if text := as_written(words):
            family = families(text)
            room_in = figure.get_figwidth() - LEFT_IN - 0.15
            fitted = fitted_size(figure, text, size, room_in, weight=weight, family=family)
            figure.text(
                left, 1 - down / height, text, size=fitted, weight=weight, va="top", family=family
            )
    figure.text(
        left, _GAP_IN / height, "\n".join(caption), size=SMALL_PT, va="bottom", color="#555555",
        family=families(sheet.caption),
    )  # fmt: skip
    if entries:
        legend = figure.legend(
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
        write_as_read(legend)


def fitted_size(figure: Any, text: str, size: float, room_in: float, **font: Any) -> float:
    """Return the size of a text, in points, so that it fits into some inches."""
    drawn = figure.text(0, 0, text, size=size, **font)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # `families` has said it
        width = drawn.get_window_extent().width / figure.dpi
    drawn.remove()
    return size if width <= room_in else max(size * room_in / width, _SMALLEST_PT)


def _columns(entries: list[Any]) -> int:
    """Return how many entries of the legend fit beside each other."""
    if not entries:
        return 1
    longest = max(len(str(entry.get_label())) for entry in entries)
    fitting = int((WIDTH_IN - LEFT_IN - 0.3) // (_MARK_IN + _CHARACTER_IN * longest))
    rows = -(-len(entries) // max(1, fitting))
    return -(-len(entries) // rows)


def draw_colour_bar(frame: Frame, colours: Colours, label: str, *, below: bool = False) -> None:
    """Draw the colour bar, right of the map or below it; classes and nothing at all have none."""
    if frame.colour_bar is None:
        return
    if not colours.present or colours.classes is not None:
        frame.colour_bar.remove()
        return
    bar = frame.figure.colorbar(
        ScalarMappable(colours.norm, colours.map),
        cax=frame.colour_bar,
        orientation="horizontal" if below else "vertical",
        extend=colours.extend,
        extendfrac=0.03,
        ticks=MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]) if below else None,
    )
    size, padding = (TEXT_PT, None) if below else (SUBTITLE_PT, 8)
    write_short(bar)
    bar.set_label(as_written(label), size=size, labelpad=padding, family=families(label))
    bar.ax.tick_params(labelsize=TEXT_PT)


def write_short(bar: Colorbar) -> None:
    """Write small and large numbers of a bar with a power of ten, which leaves room to the label.

    Boundaries that someone chose are written as they are: rounded alike, two could become one.
    """
    if isinstance(bar.norm, BoundaryNorm):
        bar.formatter = FuncFormatter(
            lambda number, _: f"{number:g}".replace("-", "\N{MINUS SIGN}")
        )
    elif isinstance(bar.formatter, ScalarFormatter):
        bar.formatter.set_powerlimits(_POWERS)
    bar.update_ticks()


def _write_in_axes(
    frame: Frame, sheet: Sheet, colours: Colours, entries: list[Any], *, bar: bool
) -> None:
    """Write title, colour bar and legend beside and in axes of the caller's."""
    title = as_written("\n".join(text for text in (sheet.title, sheet.subtitle) if text))
    frame.axes.set_title(title, loc="left", fontsize=TEXT_PT, family=families(title))
    if bar and colours.present and colours.classes is None:
        frame.figure.colorbar(
            ScalarMappable(colours.norm, colours.map),
            ax=frame.axes,
            extend=colours.extend,
            label=as_written(sheet.label),
            fraction=0.046,
            pad=0.03,
        )
    if entries:
        legend = frame.axes.legend(
            handles=entries, loc="upper right", fontsize=SMALL_PT, framealpha=0.9
        )
        write_as_read(legend)
