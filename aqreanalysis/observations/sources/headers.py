"""The names of columns: their line among others, what separates them, names in two lines."""

import csv
import io
import re
from collections.abc import Callable, Sequence

from aqreanalysis.observations.variables import folded

_SEPARATORS = ",;\t|"
#: First lines among which the line of names is searched.
MOST_ABOVE = 100
#: Columns that may follow each variable: Ozone, status, unit, Carbon monoxide, status, unit.
BESIDE = ("status", "unit", "units", "flag", "qc", "quality")
_LETTER = re.compile(r"[^\W\d_]")
_UNITS_WORD = re.compile(r"(?i)^\W*(?:[µμu]g|mg|ng)[ ./]|^\W*pp[bmt]v?\W*$")

Known = Callable[[str], bool]


def line_of_names(lines: Sequence[str], known: Known) -> int:
    """Return the number of the line of names: the first, or the one with more known names."""
    filled = [at for at, line in enumerate(lines[:MOST_ABOVE]) if line.strip()]
    if not filled:
        return 0

    signs = {at: separator_of(lines[at]) for at in filled}
    spaced = list(signs.values()).count(" ") > 0.5 * len(filled)  # else a sentence is one cell
    split = {
        at: cells_of(lines[at], sign) if spaced or sign != " " else [lines[at]]
        for at, sign in signs.items()
    }

    def knows(at: int) -> int:
        cells = {cell.strip() for cell in split[at]}
        return sum(known(cell) for cell in cells if _LETTER.search(cell))

    widths = [_width(split[at]) for at in filled]
    usual = max(set(widths), key=widths.count)
    best = max(filled, key=lambda at: (knows(at), _width(split[at]) == usual, -at))
    if knows(best) >= 2:
        return best
    if usual > 1 and widths[0] < usual and widths.count(usual) > 0.5 * len(widths):
        return filled[widths.index(usual)]  # lines of heading are shorter than rows
    return filled[0]


def _width(cells: Sequence[str]) -> int:
    """Return how many cells a line has, without empty ones at its end."""
    return max((place + 1 for place, cell in enumerate(cells) if cell.strip()), default=0)


def separator_of(line: str) -> str:
    """Return what separates the names in a line."""
    best = max(_SEPARATORS, key=line.count)
    return best if best in line or len(line.split()) < 3 else " "


def cells_of(line: str, separator: str) -> list[str]:
    """Return the cells of a line."""
    if separator == " ":
        return line.split()
    try:
        return next(csv.reader(io.StringIO(line), delimiter=separator), [])
    except csv.Error:
        return [line]


def made_unique(names: list[str]) -> list[str]:
    """Return names in which repeated "status" or "unit" are prefixed by their variable's name."""
    beside = [name for name in names if folded(name) in BESIDE]
    if len(set(beside)) == len(beside):
        return names
    unique: list[str] = []
    variable = ""
    for name in names:
        if folded(name) in BESIDE:
            unique.append(f"{variable} {name}")
        else:
            variable = name
            unique.append(name)
    return unique


def in_two_lines(
    names: list[str], upper: Sequence[str], lower: Sequence[str]
) -> tuple[list[str], bool]:
    """Return names joined from two lines, as stations above pollutants, and if the lower is used.

    Such names are repeated, or merged cells of the upper line cover several columns.
    """
    above, below = (
        [*map(str.strip, line), *[""] * len(names)][: len(names)] for line in (upper, lower)
    )
    words = [word for word in below if word]
    is_repeated = len({*names, ""}) <= len([name for name in names if name])
    is_merged = "" in names and len(set(words)) < len(words)
    if is_repeated and len({*above} - {""}) > 1:
        pairs = _paired(above, names)
        if len(set(pairs)) == len(pairs):
            return pairs, False
    is_row = any(re.match(r"\W*\d", word) for word in words) or units_below(names, below)
    if (is_repeated or is_merged) and len(words) > 1 and not is_row:
        pairs = _paired(names, below)
        if len(set(pairs)) == len(pairs):
            return pairs, True
    return names, False


def _paired(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """Return the names of columns from two lines; an empty cell above is that left of it."""
    pairs, last = [], ""
    for first, second in zip(upper, lower, strict=True):
        last = first or last
        pairs.append(second if last == second else f"{last} {second}".strip())
    return pairs


def units_below(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return the units in a line under the names, if it is one of units."""
    pairs = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
    if any(re.search(r"^\W*\d", cell) for cell in pairs.values()):
        return {}
    return pairs if any(_UNITS_WORD.search(cell) for cell in pairs.values()) else {}
