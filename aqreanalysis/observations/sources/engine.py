"""Files of any source, by its description, to a Dataset."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.description import ASK, Source
from aqreanalysis.observations.sources.opening import Block
from aqreanalysis.observations.sources.options import Condition, Reading
from aqreanalysis.observations.sources.pieces import Piece, piece_of
from aqreanalysis.observations.sources.recognition import Input, blocks_of, with_codes
from aqreanalysis.observations.sources.stations import in_degrees
from aqreanalysis.observations.sources.tables import to_dataset
from aqreanalysis.observations.sources.values import Measurements
from aqreanalysis.observations.variables import listed


def read(
    inputs: Sequence[Input], candidates: Sequence[Source], *, reading: Reading, journal: Journal,
    is_part: bool,
) -> xr.Dataset:  # fmt: skip
    """Return the Dataset of files of one source.

    ``candidates`` are the sources to choose from; an empty sequence means all. Where the inputs are
    a part of several files, a file may be named after its station.

    Raises
    ------
    ObservationError
        With all faults of the files.
    """
    pieces: list[Piece] = []
    names: list[str] = []
    source: Source | None = None
    for item in inputs:
        blocks = list(blocks_of(item, candidates, reading))
        for kind, _ in blocks:
            if source is None:
                source = kind
                reading = _with_description(kind, reading, stated=bool(candidates), journal=journal)
            if kind is not source:
                raise ObservationError(
                    f"{names[0]} is {source.title} and {item.name} is {kind.title}: open them one "
                    "by one and join them with combine",
                    source=journal.source,
                )
        if source is not None and source.suffixes:
            reading, blocks = _with_own_stations(blocks, reading)
        for kind, block in blocks:
            sheet = block.sheet if kind.is_plain else ""
            pieces.append(
                piece_of(sheet or item.name, kind, block, is_part or bool(sheet), reading, journal)
            )
            names.append(item.name)
    if source is None:
        raise ObservationError("there is no table in it", source=journal.source)
    data, reading = _together(pieces, names, source, reading)
    if "longitude" not in data.roles and reading.stations is None and not source.has_positions:
        what = source.title
        if source.name == "wide":
            what = "a wide table (time, and one column a station)"
        raise ObservationError(
            f"{what} has no coordinates: pass stations=..., a table with the columns "
            "station, longitude, latitude",
            source=journal.source,
        )
    return to_dataset(data, reading=reading, journal=journal)


def _with_description(
    source: Source, reading: Reading, *, stated: bool, journal: Journal
) -> Reading:
    """Return the options, completed by the source's description where the caller states none."""
    if source.is_plain:
        return reading
    if source.time_zone == ASK and reading.time_zone is None:
        raise ObservationError(
            f"{source.title} has local time without a zone: pass time_zone='UTC+5:30' or the like",
            source=journal.source,
        )
    own = replace(
        reading,
        time_zone=reading.time_zone or source.time_zone,
        time_label=reading.time_label or source.time_label,
        time_format=reading.time_format or source.time_format,
        date_order=reading.date_order or source.date_order,
        statistic=reading.statistic or dict(source.statistic) or None,
        crs=reading.crs or source.crs,
        skip_unplaced=reading.skip_unplaced or not reading.strict,
    )
    own = replace(with_codes(source, own), valid=(*own.valid, *map(Condition.of, source.valid)))
    assumed = {
        "zone": own.time_zone,
        "stamps are the": own.time_label,
        "dates have first the": own.date_order,
        "missing is": listed(_shown(own.missing)) if own.missing else None,
    }
    said = [f"{name} {value}" for name, value in assumed.items() if value]
    how = "read" if stated else "recognised"
    remedy = "" if stated else "; source='long' reads it as a plain table"
    journal.decide(f"{how} as {source.title} ({source.name}): {', '.join(said)}{remedy}")
    return own


def _shown(codes: Sequence[str | float]) -> list[str]:
    """Return missing codes for a message."""
    return [code if isinstance(code, str) else f"{code:g}" for code in codes]


def _with_own_stations(
    blocks: Sequence[tuple[Source, Block]], reading: Reading
) -> tuple[Reading, list[tuple[Source, Block]]]:
    """Return the tables of values alone, and the table of stations beside them as option."""
    values = [entry for entry in blocks if "time" in entry[1].table.columns]
    places = [block.table for _, block in blocks if "longitude" in block.table.columns]
    if places and reading.stations is None:
        reading = replace(reading, stations=places[0])
    return reading, values


def _together(
    pieces: Sequence[Piece], names: Sequence[str], source: Source, reading: Reading
) -> tuple[Measurements, Reading]:
    """Return the rows of all files as one table, and the options completed from their columns."""
    starts = np.cumsum([0, *(len(piece.table) for piece in pieces)])[:-1]
    tables = [piece.table for piece in pieces]
    table = tables[0] if len(tables) == 1 else pd.concat(tables)
    zones = {piece.time_zone for piece in pieces}
    labels = {piece.time_label for piece in pieces}
    if labels >= {"start", "end"} and reading.time_label is None:
        raise ObservationError(
            "the column of time is a start in some files and an end in others; open them one by "
            "one and join them with combine, or say time_label='start' or 'end' for all"
        )
    reading = replace(
        reading,
        time_zone=reading.time_zone or (zones.pop() if len(zones) == 1 else None),
        time_label=reading.time_label or (labels.pop() if len(labels) == 1 else None),  # type: ignore[arg-type]
    )
    if reading.crs is not None and "longitude" in table.columns:
        table = in_degrees(table, reading.crs)
    monitor = str(pieces[0].columns.roles.get("monitor", ""))
    word = monitor if not source.is_plain and len(monitor) <= 4 else ""
    data = Measurements(
        table,
        names=pieces[0].names,
        column_units=_units_of(pieces, source),
        source_units=source.units,
        parameters=source.parameters,
        words=source.words,
        files=list(zip(names, starts.tolist(), strict=True)),
        monitor_word=word,
        time_format=reading.time_format,
    )
    return data, reading


def _units_of(pieces: Sequence[Piece], source: Source) -> dict[str, str | pd.Series]:
    """Return the units of each variable that columns name: of all rows, or of each, if they differ.

    A file that names none has those of the source.
    """
    units: dict[str, str | pd.Series] = {}
    for name in {name for piece in pieces for name in piece.columns.units}:
        having = [piece for piece in pieces if name in piece.table]
        stated = {piece.columns.units.get(name) for piece in having}
        if len(stated) == 1:
            units[name] = str(stated.pop())
            continue
        own = [piece.columns.units.get(name) or source.units.get(name) for piece in pieces]
        codes, words = pd.factorize(np.array(own, dtype=object))
        rows = np.repeat(codes, [len(piece.table) for piece in pieces])
        units[name] = pd.Series(pd.Categorical.from_codes(rows, pd.Index(words)))
    return units
