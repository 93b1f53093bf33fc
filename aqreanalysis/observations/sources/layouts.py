"""Documented tables: what a network says of its files, and the one reader for all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import xarray as xr

from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.files import csv_files, header_of, read_csv
from aqreanalysis.observations.sources.options import Reading, TimeLabel
from aqreanalysis.observations.sources.tables import from_long
from aqreanalysis.observations.variables import folded, listed


def _unchanged(table: pd.DataFrame) -> pd.DataFrame:
    return table


@dataclass(frozen=True)
class Layout:
    """A table as its network documents it.

    Parameters
    ----------
    title : str
        For messages: ``"an AQS file"``.
    columns : mapping
        From role or variable to the spellings of its column, the documented one first; case and
        separators do not matter.
    needed : sequence of str
        Roles and variables without which a table cannot be read.
    signature : sequence of str
        Roles and variables whose columns tell a table of this layout from others.
    archive : str
        Pattern of the name of any file in a zip or folder of this layout, in lower case.
    files : str
        Pattern of the names of the CSV files to read from it.
    time_zone : str, optional
        Zone of stamps that state none.
    time_label : {"start", "end"}
        Which end of its averaging period a stamp is.
    units : mapping, optional
        From variable to its documented units.
    categories : sequence of str
        Roles of text with few different words.
    has_positions : bool
        Whether longitude and latitude are in the table, or in a table of stations.
    prepare : callable
        Makes a table with the columns of `from_long` from one with the names of ``columns``.

    Examples
    --------
    >>> columns = {"station": ("Site",), "pm25": ("PM2.5", "PM 2.5 (LC)")}
    >>> layout = Layout("a file", columns, tuple(columns), tuple(columns))
    >>> layout.columns_in(["SITE", "pm25"]), layout.recognises(["SITE"])
    ({'station': 'SITE', 'pm25': 'pm25'}, False)
    """

    title: str
    columns: Mapping[str, tuple[str, ...]]
    needed: Sequence[str]
    signature: Sequence[str]
    archive: str = ""
    files: str = "*"
    time_zone: str | None = None
    time_label: TimeLabel = "start"
    units: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    categories: Sequence[str] = ()
    has_positions: bool = True
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = _unchanged

    def columns_in(self, names: Sequence[str]) -> dict[str, str]:
        """Return the column of each role and variable that a table has."""
        by_key = {folded(name): name for name in reversed(names)}
        matches = {
            role: [by_key[key] for key in map(folded, spellings) if key in by_key]
            for role, spellings in self.columns.items()
        }
        return {role: columns[0] for role, columns in matches.items() if columns}

    def recognises(self, names: Sequence[str]) -> bool:
        """Return whether a table with these columns is of this layout."""
        return set(self.signature) <= set(self.columns_in(names))

    def read(self, source: Path | pd.DataFrame, reading: Reading, journal: Journal) -> xr.Dataset:
        """Return the Dataset of a file, a zip or folder of files, or a table.

        Only the columns of the layout are read, and those that the caller names. The caller's
        options take precedence over what the layout states.

        Raises
        ------
        ObservationError
            Without positions, and with all faults of the source.
        """
        if not self.has_positions and reading.stations is None:
            raise ObservationError(
                f"{self.title} has no coordinates: pass stations=..., a table with the columns "
                "station, longitude, latitude",
                source=journal.source,
            )
        given = {role: str(c) for role, c in reading.columns.items() if role != "variable"}
        files: Iterable[Path | bytes | pd.DataFrame] = (
            [source] if isinstance(source, pd.DataFrame) else csv_files(source, self.files)
        )
        tables = [self._selected(file, given, journal) for file in files]
        if not tables:
            raise ObservationError(
                f"there is no CSV file of {self.title}; expected a name such as {self.files!r}",
                source=journal.source,
            )
        table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
        if len(table) == 0:
            raise ObservationError("the file has columns but no rows", source=journal.source)
        table = self.prepare(table)
        variable = {k: v for k, v in reading.columns.items() if k == "variable"}
        own = replace(
            reading,
            columns={**{str(name): str(name) for name in table.columns}, **variable},
            units=reading.units if reading.units is not None else self.units or None,
            time_zone=reading.time_zone or self.time_zone,
            time_label=reading.time_label or self.time_label,
        )
        return from_long(table, reading=own, journal=journal)

    def _selected(
        self, file: Path | bytes | pd.DataFrame, given: Mapping[str, str], journal: Journal
    ) -> pd.DataFrame:
        """Return the columns of one table that are used, under the names of the layout."""
        if isinstance(file, pd.DataFrame):
            file = file.set_axis([str(name) for name in file.columns], axis=1)
            names = list(file.columns)
        else:
            names = header_of(file)
        columns = {**self.columns_in(names), **given}
        absent = [self.columns[role][0] for role in self.needed if role not in columns]
        absent += [column for column in given.values() if column not in names]
        if absent:
            raise ObservationError(
                f"{self.title} lacks the columns {listed(absent)}; it has {listed(names)}",
                source=journal.source,
            )
        if not isinstance(file, pd.DataFrame):
            categories = [columns[role] for role in self.categories if role in columns]
            file = read_csv(file, only=columns.values(), categories=categories)
        return file[list(columns.values())].set_axis(list(columns), axis=1)
