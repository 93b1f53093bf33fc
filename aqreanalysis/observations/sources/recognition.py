"""The source of a file, recognised by its names and columns, and the tables in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from aqreanalysis.conventions import STATION_TYPES
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.sources import files, opening, registry
from aqreanalysis.observations.sources.columns import guess
from aqreanalysis.observations.sources.description import Source
from aqreanalysis.observations.sources.grin import pandas_tables
from aqreanalysis.observations.sources.opening import Block
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.sources.points import VECTOR_SUFFIXES, read_points
from aqreanalysis.observations.sources.stations import listed_among
from aqreanalysis.observations.sources.text_encoding import WESTERN

#: Roles that are text even where they look like numbers: "0601" is not 601.
_TEXT_ROLES = (
    "station",
    "monitor",
    "name",
    *STATION_TYPES,
    "units",
    "parameter",
    "datum",
    "time_label",
    "quality",
)


@dataclass(frozen=True)
class Input:
    """A file, the content of one in a zip, or a table in memory, by its name."""

    name: str
    content: Path | bytes | pd.DataFrame


def blocks_of(
    item: Input, candidates: Sequence[Source], reading: Reading
) -> Iterator[tuple[Source, Block]]:
    """Yield the tables of a file, with the source that each is of."""
    content = item.content
    if isinstance(content, Path):
        files.existing(content)
    if isinstance(content, pd.DataFrame):
        table = files.plain_table(content)
        yield _kind(list(table.columns), candidates, reading), Block(table)
    elif _is_text(item, content):
        source, layout = _text_kind(content, candidates, reading)
        columns = {} if source.is_plain else source.all_columns_in(layout.names)
        given = {k: v for k, v in reading.columns.items() if isinstance(v, str)}
        only = _needed_columns(source, layout.names, columns, given, reading)
        for block in opening.text_blocks(
            content, layout, reading=with_codes(source, reading), only=only,
            text=_text_columns(source, layout.names, columns, reading),
            categories=[columns[r] for r in source.categories if r in columns],
        ):  # fmt: skip
            yield source, block
    else:
        yield from _other_blocks(item, content, candidates, reading)


def table_of(item: Input, *, reading: Reading) -> pd.DataFrame:
    """Return the first table of a file as it is, all of a text as text: a list of stations."""
    content = item.content
    if isinstance(content, pd.DataFrame):
        return files.plain_table(content)
    if _is_text(item, content):
        layout = _station_layout(content, reading)
        blocks = opening.text_blocks(
            content, layout, reading=reading, only=None,
            text=[name for name in layout.names if name], categories=(),
        )  # fmt: skip
        return next(iter(blocks)).table
    return next(_other_blocks(item, content, (), reading))[1].table


def names_of(item: Input, reading: Reading) -> list[str] | None:
    """Return the columns of a text, None for other files and those without names."""
    if isinstance(item.content, pd.DataFrame) or not _is_text(item, item.content):
        return None
    try:
        start = opening.first_lines(item.content)
        if not registry.recognised_line(start[0]):  # the whole of a large file is not needed
            own = replace(reading, encoding="utf-8-sig", header=None)
            names = opening.layout_of(item.content, reading=own, known=registry.known).names
            if not any("\ufffd" in name for name in names):
                return names
    except ObservationError:
        pass  # of another encoding
    try:
        return _station_layout(item.content, reading).names
    except ObservationError:
        return None


def is_table(item: Input) -> bool:
    """Return whether a file of a folder is a table: a text needs two names that are known."""
    if isinstance(item.content, pd.DataFrame):
        return True
    if files.suffix_of(Path(item.name)) not in opening.TEXT_SUFFIXES:
        suffix = files.suffix_of(Path(item.name))
        others = (*opening.TABLE_SUFFIXES, *registry.NETCDF_SUFFIXES)
        return suffix in others or _is_text(item, item.content)
    try:
        lines = opening.first_lines(item.content)
        names = opening.layout_of(item.content, reading=Reading(), known=registry.known).names
    except ObservationError:
        return True  # of another encoding, or broken: reading it says what is wrong
    timed = {"time", "date"} & set(guess([name for name in names if name]).roles)
    known = sum(map(registry.known, names))
    return bool(registry.recognised_line(lines[0])) or known >= 2 or bool(timed and len(names) > 1)


def is_station_list(names: Sequence[str]) -> bool:
    """Return whether columns are of a list of stations: places, and neither time nor value."""
    roles = guess([name for name in names if name]).roles
    timed = {"time", "date", "year", "end", "value"} & set(roles)
    return {"station", "longitude", "latitude"} <= set(roles) and not timed


def with_codes(source: Source, reading: Reading) -> Reading:
    """Return the options with the missing codes of the source beside the caller's."""
    return replace(reading, missing=tuple(dict.fromkeys((*reading.missing, *source.missing))))


def _other_blocks(
    item: Input, content: Path | bytes, candidates: Sequence[Source], reading: Reading
) -> Iterator[tuple[Source, Block]]:
    """Yield the tables of a file that is no text."""
    suffix = files.suffix_of(Path(item.name))
    try:
        if suffix in opening.SHEET_SUFFIXES:
            blocks = list(
                opening.sheet_blocks(item.name, content, reading=reading, known=registry.known)
            )
        elif suffix in opening.JSON_SUFFIXES:
            blocks = [Block(files.plain_table(opening.json_table(content)))]
        elif suffix in files.PARQUET_SUFFIXES:
            blocks = [Block(files.plain_table(files.parquet_table(item.name, content)))]
        elif suffix in VECTOR_SUFFIXES and isinstance(content, Path):
            blocks = [Block(files.plain_table(read_points(content)))]
        elif suffix in registry.sources["grin"].suffixes and isinstance(content, Path):
            values, places = pandas_tables(content)
            blocks = [Block(values), Block(places)]
        else:
            raise ObservationError(
                f"{item.name} has the suffix {suffix!r}; expected one of "
                f"{', '.join(opening.TABLE_SUFFIXES)}, .zip, .nc or .h5. "
                "Name its kind with format=... or source=..."
            )
    except ObservationError:
        raise
    except Exception as error:  # every library has its own kinds
        raise ObservationError(files.unreadable(item.name, error)) from error
    for block in blocks:
        kind = candidates or ([registry.sources["grin"]] if ".h" in suffix else [])
        yield _kind([str(name) for name in block.table.columns], kind, reading), block


def _is_text(item: Input, content: Path | bytes) -> bool:
    """Return whether a file is a text: by its suffix, or by a first line that a source has."""
    suffix = files.suffix_of(Path(item.name))
    if suffix in opening.TEXT_SUFFIXES:
        return True
    if suffix in (*opening.TABLE_SUFFIXES, *registry.sources["grin"].suffixes, ".zip"):
        return False
    try:
        return bool(registry.recognised_line(opening.first_lines(content)[0]))
    except ObservationError:
        return False


def _text_kind(
    content: Path | bytes, candidates: Sequence[Source], reading: Reading
) -> tuple[Source, opening.Layout]:
    """Return the source and the layout of a text, with its encoding."""
    try:
        lines = opening.first_lines(content, reading.encoding)
        encoding = reading.encoding or opening.encoding_of(files.beginning(content))
        failure = None
    except ObservationError as error:
        lines, encoding, failure = [], "", error
    if encoding != "utf-8-sig":
        for source in candidates or registry.sources.values():
            if source.encoding and reading.encoding is None:
                layout = _of_source(content, source, reading)
                if layout is not None:
                    return source, layout
        if failure is not None:
            raise failure
    for source in candidates or registry.recognised_line(lines[0]):
        if source.recognises_line(lines[0]):
            own = replace(reading, encoding=encoding)
            return source, opening.layout_of(
                content, reading=own, known=registry.known, source=source
            )
    own = replace(reading, encoding=encoding)
    layout = opening.layout_of(content, reading=own, known=registry.known)
    return _kind(layout.names, candidates, reading), layout


def _of_source(content: Path | bytes, source: Source, reading: Reading) -> opening.Layout | None:
    """Return the layout of a text in the encoding of a source, or None if it is of another."""
    try:
        lines = opening.first_lines(content, source.encoding)
        layout = opening.layout_of(content, reading=reading, known=registry.known, source=source)
    except ObservationError:
        return None
    fits = source.recognises_line(lines[0]) or source.recognises(layout.names)
    return layout if fits else None


def _station_layout(content: Path | bytes, reading: Reading) -> opening.Layout:
    """Return the layout of a list of stations; names may be in an older encoding.

    The encoding is its own, or the stated one, or the first in which positions have a usual name.
    """
    stated = [reading.encoding] if reading.encoding else []
    try:
        own_encoding = opening.encoding_of(files.content_of(content))
        encodings = stated if stated and own_encoding == WESTERN else [own_encoding]
    except ObservationError:
        encodings = stated or [WESTERN, "gb18030", *registry.encodings()]
    layouts = []
    for encoding in encodings:
        own = replace(reading, encoding=encoding, header=None)
        try:
            kinds = registry.recognised_line(opening.first_lines(content, encoding)[0])
            kind = kinds[0] if kinds else None
            layouts.append(
                opening.layout_of(content, reading=own, known=registry.known, source=kind)
            )
        except ObservationError:
            if encoding == encodings[-1] and not layouts:
                raise
            continue
        if {"longitude", "latitude"} <= set(guess([n for n in layouts[-1].names if n]).roles):
            return layouts[-1]
    return layouts[0]


def _kind(names: Sequence[str], candidates: Sequence[Source], reading: Reading) -> Source:
    """Return the source of a table by its columns: of the candidates, or of all, or a plain one."""
    plain = {name: registry.sources[name] for name in ("long", "wide", "hours")}
    if candidates:
        fitting = [source for source in candidates if source.recognises(names)]
        return (fitting or list(candidates))[0]
    for source in registry.recognised(names):
        return source
    hours = [name for name in names if plain["hours"].is_series(name)]
    if len(hours) >= 24 and not any(hour in reading.columns.values() for hour in hours):
        return plain["hours"]
    if "station" not in reading.columns and reading.station is None:
        columns = guess(names, {k: v for k, v in reading.columns.items() if v in names})
        timed = {"time", "date"} & set(columns.roles)
        rest = set(names) - {*columns.roles.values(), *columns.variables.values(), ""}
        bare = not columns.variables or (
            reading.stations is not None
            and listed_among(reading.stations, rest, reading.station_columns) > 0
        )
        if timed and not {"station", "value"} & set(columns.roles) and bare:
            return plain["wide"]
    return plain["long"]


def _needed_columns(
    source: Source,
    names: Sequence[str],
    columns: Mapping[str, str],
    given: Mapping[str, str],
    reading: Reading,
) -> list[str] | None:
    """Return the columns to be read of a text; None is all."""
    if source.is_plain or source.layout != "long" or source.names:
        return None
    wanted = [*columns.values(), *given.values(), *(c.column for c in reading.valid)]
    flags = [source.flag.format(role) for role in columns] if source.flag else []
    return list(dict.fromkeys(n for n in names if n and n in {*wanted, *flags}))


def _text_columns(
    source: Source, names: Sequence[str], columns: Mapping[str, str], reading: Reading
) -> set[str]:
    """Return the columns of a text to be read as text."""
    if source.names and not columns:
        roles: Mapping[str, str] = {name: name for name in source.names if name}
    elif source.is_plain:
        usable = {r: c for r, c in reading.columns.items() if c in names}
        roles = guess(names, usable).roles
    else:
        roles = {**columns, **{r: c for r, c in reading.columns.items() if isinstance(c, str)}}
    stated = reading.columns.get("station", ())
    parts = {stated} if isinstance(stated, str) else set(stated)
    text = {roles[r] for r in (*_TEXT_ROLES, *source.station_parts) if r in roles}
    if "date" in roles and "time" in roles:
        text |= {roles["time"]}
    if reading.time_format or source.time_format:
        text |= {roles[r] for r in ("time", "end") if r in roles}
    text |= {condition.column for condition in reading.valid}
    categories = {columns[r] for r in source.categories if r in columns}
    return ((text | parts) & set(names)) - categories
