"""Tables in files as they are: lines above the names, several tables under each other, sheets."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.sources import files
from aqreanalysis.observations.sources.columns import guess
from aqreanalysis.observations.sources.description import Source
from aqreanalysis.observations.sources.headers import (
    MOST_ABOVE,
    Known,
    cells_of,
    in_two_lines,
    line_of_names,
    made_unique,
    separator_of,
    units_below,
)
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.sources.points import VECTOR_SUFFIXES
from aqreanalysis.observations.sources.text_encoding import encoding_of

SHEET_SUFFIXES = (".xlsx", ".xlsm")
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
TEXT_SUFFIXES = (*files.CSV_SUFFIXES, ".dat", ".asc")
#: All files that hold a table, in a folder or a zip.
TABLE_SUFFIXES = (
    *TEXT_SUFFIXES,
    *SHEET_SUFFIXES,
    *JSON_SUFFIXES,
    *files.PARQUET_SUFFIXES,
    *VECTOR_SUFFIXES,
)

_SPAN = re.compile(r"(?<=\d[ T])(\d{2}):\d{2}(?::\d{2})? ?- ?(\d{2}):\d{2}")
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Block:
    """A table as written in its file, and the lines above it."""

    table: pd.DataFrame
    above: Sequence[str] = ()
    units: dict[str, str] = field(default_factory=dict)
    sheet: str = ""


@dataclass(frozen=True)
class Layout:
    """Layout of a text: its column names, their line, the separator and the encoding."""

    names: list[str]
    separator: str
    skip: int
    above: Sequence[str]
    units: dict[str, str]
    repeated: bool
    encoding: str


def first_lines(content: Path | bytes, encoding: str | None = None) -> list[str]:
    """Return the first lines of a text, those that are whole.

    Raises
    ------
    ObservationError
        If it is empty, or no text in this encoding.
    """
    start = files.beginning(content)
    encoding = encoding or encoding_of(start)
    try:
        text = start.decode(encoding, errors="replace")
    except LookupError as error:
        raise ObservationError(f"unknown encoding {encoding!r}, such as 'latin-1'") from error
    lines = _LINE_END.split(text)
    if len(lines) > 1 and len(start) >= files.BEGINNING:
        lines = lines[:-1]
    first = next((line for line in lines if line.strip()), "")
    if "\0" in first or "\ufffd" in first:
        raise ObservationError(
            f"the first line is no text in {encoding}; name its encoding with encoding=..."
        )
    if not first:
        raise ObservationError("the CSV is empty: expected a first line of column names")
    return lines


def layout_of(
    content: Path | bytes, *, reading: Reading, known: Known, source: Source | None = None
) -> Layout:
    """Return the layout of a text.

    The line of names is the first one, or the one below lines of heading that has most names that
    are known.
    """
    encoding = reading.encoding or (source.encoding if source else None)
    encoding = encoding or encoding_of(files.beginning(content))
    lines = first_lines(content, encoding)
    if source is not None and source.names and _without_names(lines, source):
        separator = source.separator or separator_of(lines[0])
        names = [*source.names]
        names += [""] * (len(cells_of(lines[0], separator)) - len(names))
        return Layout(names, separator, 0, (), {}, False, encoding)
    row = reading.header
    if row == -1:
        first = next(line for line in lines if line.strip())
        count = len(cells_of(first, separator_of(first)))
        names = [str(number) for number in range(1, count + 1)]
        return Layout(names, separator_of(first), 0, (), {}, False, encoding)
    if row is None:
        row = line_of_names(lines, known)
    if row >= len(lines) or not lines[row].strip():
        raise ObservationError(f"header={row}, but there is no line of names at that place")
    separator = (source.separator if source else None) or separator_of(lines[row])
    names = made_unique([name.strip() for name in cells_of(lines[row], separator)])
    below = [line for line in lines[row + 1 :] if line.strip()]
    longest = [cells_of(line, separator) for line in below[:5]]
    extra = max((len(cells) for cells in longest), default=0) - len(names)
    if extra == 1 and all(len(cells) > len(names) and cells[0].isdigit() for cells in longest):
        names, extra = ["", *names], 0  # R writes no name above the numbers of the rows
    if extra > 0 and all(not any(cells[len(names) :]) for cells in longest):
        names += [""] * extra
    above = next((line for line in reversed(lines[:row]) if line.strip()), "")
    names, more = in_two_lines(names, cells_of(above, separator), longest[0] if longest else [])
    longest = longest[more:]
    units = units_below(names, longest[0]) if longest else {}
    repeated = sum(line == lines[row] for line in lines) > 1
    skip = row + 1 + more + bool(units)
    return Layout(names, separator, skip, lines[:row], units, repeated, encoding)


def text_blocks(
    content: Path | bytes,
    layout: Layout,
    *,
    reading: Reading,
    only: Iterable[str] | None,
    text: Iterable[str],
    categories: Iterable[str],
) -> Iterator[Block]:
    """Yield the tables of a text, usually one."""
    _refuse_spans(first_lines(content, layout.encoding)[layout.skip :])
    encoding, is_spaced = layout.encoding, layout.separator == " "
    if layout.repeated or is_spaced:
        encoding, whole = _decoded(content, encoding)
        lines = _LINE_END.split(whole)
        if layout.repeated:
            rows = [cells_of(line, layout.separator) for line in lines]
            if not _is_joined(rows, layout.names):
                for block in blocks_of(rows, layout.names, 0):
                    block.table.attrs["encoding"] = encoding
                    yield block
                return
            head, at_head = lines[len(layout.above)], len(layout.above)
            lines = [line for at, line in enumerate(lines) if line != head or at == at_head]
        if is_spaced:  # any number of them, as in columns under each other
            lines = [" ".join(line.split()) for line in lines]
            lines = [*lines[: layout.skip], *filter(None, lines[layout.skip :]), ""]
        content = "\n".join(lines).encode()
        layout = replace(layout, encoding="utf-8-sig")
    table = files.read_csv(
        content,
        names=layout.names,
        separator=layout.separator,
        skip=layout.skip,
        encoding=layout.encoding,
        decimal=decimal_of(content, layout, reading),
        missing=[code for code in reading.missing if isinstance(code, str)],
        only=only,
        text=text,
        categories=categories,
    )
    if layout.encoding != encoding:  # the text was written anew
        table.attrs["encoding"] = encoding
    yield Block(table, layout.above, layout.units)


def _decoded(content: Path | bytes, encoding: str) -> tuple[str, str]:
    """Return the encoding of all of a text, which may differ from that of its beginning, and it."""
    whole = files.content_of(content)
    try:
        return encoding, whole.decode(encoding)
    except UnicodeDecodeError as error:
        encoding = encoding_of(whole) if encoding == "utf-8-sig" else encoding
        try:
            return encoding, whole.decode(encoding)
        except UnicodeDecodeError:
            raise ObservationError(f"it is no text in {encoding}: {error}") from error


def decimal_of(content: Path | bytes, layout: Layout, reading: Reading) -> str:
    """Return the decimal sign: as stated, or a comma if numbers have one and never a point."""
    if reading.decimal is not None:
        return reading.decimal
    if layout.separator == ",":
        return "."  # a comma is in quotes, and no number to Arrow
    lines = first_lines(content, layout.encoding)[layout.skip : layout.skip + 200]
    rows = [cells_of(line, layout.separator) for line in lines]
    _refuse_thousands(rows, layout.names)
    cells = {cell for row in rows for cell in row}
    comma = any(re.fullmatch(r"\s*-?\d+,\d+\s*", cell) for cell in cells)
    point = any(re.fullmatch(r"\s*-?\d+\.\d+\s*", cell) for cell in cells)
    return "," if comma and not point else "."


def _refuse_spans(lines: Sequence[str]) -> None:
    """Refuse times such as 05:00-06:00, whose end would be taken for a zone west of Greenwich.

    Raises
    ------
    ObservationError
    """
    spans = [match for line in lines[:200] for match in _SPAN.finditer(line)]
    if len(spans) > 2 and all((int(m[2]) - int(m[1])) % 24 == 1 for m in spans):
        raise ObservationError(
            f"times such as {spans[0].group()} are spans: write their start alone, or start and "
            "end in columns of their own"
        )


def _refuse_thousands(rows: Sequence[Sequence[str]], names: Sequence[str]) -> None:
    """Refuse columns in which 1.206 or 1,206 beside 985 may be thousands.

    Raises
    ------
    ObservationError
        It asks for the decimal sign.
    """
    roles = guess([name for name in names if name]).roles
    others = {column for role, column in roles.items() if role != "value"}
    for place, name in enumerate(names):
        cells = [row[place].strip() for row in rows if place < len(row)] if name else []
        grouped = [cell for cell in cells if re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", cell)]
        signed = [cell for cell in cells if re.fullmatch(r"-?\d+[.,]\d+", cell)]
        whole = [cell for cell in cells if re.fullmatch(r"[1-9]\d{2}", cell)]
        if name not in others and grouped and whole and len(grouped) == len(signed):
            raise ObservationError(
                f"numbers of {name} such as {grouped[0]} beside {whole[0]} may be thousands: say "
                "decimal='.' or decimal=','"
            )


def sheet_blocks(
    name: str, content: Path | bytes, *, reading: Reading, known: Known
) -> Iterator[Block]:
    """Yield the tables of all sheets of a workbook."""
    import openpyxl

    with files.opened_zip(content, name):
        pass  # it is one, and no bomb
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    book = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
    any_table = False
    try:
        for sheet in book.worksheets:
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
            if not any(any(cell is not None for cell in row) for row in rows):
                continue
            texts = ["\t".join(_text(cell) for cell in row) for row in rows[:MOST_ABOVE]]
            at = reading.header if reading.header is not None else line_of_names(texts, known)
            names = [_text(cell).strip() for cell in rows[at]] if 0 <= at < len(rows) else []
            several = any_table or len(book.worksheets) > 1
            timed = {"time", "date"} & set(guess([name for name in names if name]).roles)
            if several and sum(map(known, names)) < 2 and not (timed and len(names) > 1):
                continue
            any_table = True
            for block in blocks_of(rows, names, at):
                yield replace(block, sheet=sheet.title if several else "")
    finally:
        book.close()
    if not any_table:
        raise ObservationError("no sheet has a line of column names such as time and PM2.5")


def blocks_of(rows: list[list], names: list[str], first: int) -> Iterator[Block]:
    """Yield the tables under each line of names, with the lines between them as headings.

    A line of names may continue in that above or below it, and one of units may follow. A heading
    is a short row that does not begin like the first row of the table above it; those with more
    rows of that table below are counted in ``attrs`` as left out.
    """
    lines = [[_text(cell).strip() for cell in row] for row in rows]
    heads = [at for at in range(first, len(rows)) if lines[at] == names]
    above = ["\t".join(row).strip() for row in lines[: heads[0]] if any(row)]
    for number, head in enumerate(heads):
        end = heads[number + 1] if number + 1 < len(heads) else len(rows)
        body: list[list] = []
        odd: list[int] = []
        inside, shape = 0, ""
        lower, *below = [*lines[head + 1 : head + 3], [], []][:2]
        titles, more = in_two_lines(names, lines[head - 1] if head else [], lower)
        units = units_below(titles, below[0] if more else lower)
        for at in range(head + 1 + more + bool(units), end):
            row = rows[at]
            filled = sum(cell != "" for cell in lines[at])
            if filled == 0:
                continue
            shape = shape or _shape(row[0])
            if filled <= 2 and _shape(row[0]) != shape:
                odd.append(at)
                continue
            inside = len(odd)
            cells = [None if cell == "" else cell for cell in row[: len(names)]]
            body.append([*cells, *[None] * (len(names) - len(row))])
        table = pd.DataFrame(body, columns=range(len(names)), dtype=object)
        table = table.set_axis(_unique_or_empty(titles), axis=1).drop(columns="", errors="ignore")
        table.attrs["ragged"] = inside
        yield Block(table, above, units)
        above = ["\t".join(lines[at]).strip() for at in odd]


def json_table(content: Path | bytes) -> pd.DataFrame:
    """Return the records of a JSON file, with the names of nested ones joined by a point."""
    whole = files.content_of(content)
    text = whole.decode(encoding_of(whole))
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        data = [json.loads(line) for line in text.splitlines() if line.strip()]
    while isinstance(data, dict):
        names = data.get("fields", data.get("columns"))
        if isinstance(names, list) and isinstance(data.get("data"), list):
            table = pd.DataFrame(data["data"], columns=list(map(str, names)))
            single = {k: v for k, v in data.items() if isinstance(v, (str, int, float))}
            return table.assign(**{k: v for k, v in single.items() if k not in table})
        lists = [value for value in data.values() if isinstance(value, list)]
        inner = [value for value in data.values() if isinstance(value, dict)]
        if lists and all(not isinstance(v, dict) for value in lists for v in value):
            return pd.DataFrame(data)  # columns
        choices = lists or inner or [[data]]
        data = max(choices, key=len)
    records = [record for record in data if isinstance(record, dict)]
    if not records:
        raise ObservationError("the JSON holds no records, such as [{'station': ..., ...}]")
    table = pd.json_normalize(_flat(records))
    nested = [n for n in table if table[n].map(lambda cell: isinstance(cell, (list, dict))).any()]
    return table.drop(columns=nested)


def _flat(records: list[dict]) -> list[dict]:
    """Return a record a measurement, where each station has a list of them."""
    first = records[0]
    for name, inner in first.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            timed = [{"time", "date"} & set(guess(list(r)).roles) for r in (inner[0], first)]
            if timed[0] and not timed[1]:
                return [
                    {**{key: value for key, value in record.items() if key != name}, **one}
                    for record in records
                    for one in record.get(name) or []
                ]
    return records


def _is_joined(rows: list[list[str]], names: list[str]) -> bool:
    """Return whether each further line of names stands directly below a row: files were joined."""
    filled = [row for row in rows if any(row)]
    heads = [at for at, row in enumerate(filled) if [cell.strip() for cell in row] == names]
    first = _shape(filled[heads[0] + 1][0]) if heads and heads[0] + 1 < len(filled) else ""
    above = [filled[at - 1] for at in heads[1:]]
    return all(len(row) == len(names) and _shape(row[0]) == first for row in above)


def _without_names(lines: Sequence[str], source: Source) -> bool:
    """Return whether a file has no line of names, as its network documents it."""
    return not source.columns or source.recognises_line(lines[0])


def _text(cell: object) -> str:
    """Return a cell as text, empty where it is missing."""
    return "" if cell is None or cell != cell else str(cell)


def _shape(cell: object) -> str:
    """Return the pattern of a cell: "0" for digits and "a" for letters."""
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\d+", "0", _text(cell).strip()))


def _unique_or_empty(names: list[str]) -> list[str]:
    """Return names, each of them once unless empty; refuse others."""
    files.unique([name for name in names if name])
    return names
