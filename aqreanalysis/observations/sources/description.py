"""`Source`: the description of one kind of file, as its network documents it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Literal

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.observations.sources.columns import split_units
from aqreanalysis.observations.sources.options import DateOrder, Statistic, TimeLabel
from aqreanalysis.observations.variables import folded, known_variable

Shape = Literal["long", "wide", "hours"]

#: Description of the zone of stamps in local time that the file does not name.
ASK = "ask"


@dataclass(frozen=True)
class Source:
    """A kind of file, as its network documents it: all that its reading needs.

    Parameters
    ----------
    name : str
        For ``source=``. Kinds of one network may share a ``family``, which names them too.
    title : str
        For messages: ``"an AQS file"``.
    family : str
        Name shared by several kinds, of which the one that fits a file is taken.
    obtain, command : str
        Where the file comes from, and what a user types.
    odd : sequence of str
        What surprises, a sentence each; all of this is the page of the source.
    columns : mapping
        From role or variable to the spellings of its column, the documented one first; case and
        separators do not matter.
    needed : sequence of str
        Roles and variables without which a table cannot be read; none is the signature.
    signature : sequence of str
        Roles and variables whose columns identify a table of this kind.
    any_of : sequence of str
        Roles and variables of which at least one must be present too.
    names : sequence of str
        Roles of the columns by position, in files without a line of names ("" is not used).
    first_line : str
        Pattern of the first line of such files.
    layout : {"long", "wide", "hours"}
        What the other columns are: variables, stations, or hours of the day.
    series : str
        Pattern of the names of these columns. In "hours" its group is the hour.
    hour_flag : str
        In "hours", pattern of the columns of flags; its group is the hour.
    flag : str
        In "long", name of the column of the flag of a variable, as ``"quality_{}"``.
    good : str
        What such a flag is for a value to be used: ``"=V"``, ``"<2.6"``.
    valid : sequence of str
        What a row that is used holds: ``"QC Code=0"``.
    file_name : str
        Pattern of the file's name; its named groups (station, parameter) are columns.
    constants : mapping
        From role to what all rows have, where there is no column of it.
    heading : mapping
        From role to the pattern of a line above the columns, whose group is the value.
    archive, files : str
        Patterns of the name of any file in a zip or folder of this kind, and of those to read.
    suffixes : sequence of str
        Of files that can be nothing else.
    time_zone : str, optional
        Zone of stamps that state none; `ASK` where it is the station's own, which the user states.
    time_label : {"start", "end"}, optional
        Which end of its averaging period a stamp is; None where the network does not say.
    time_format : str, optional
        Of stamps that are numbers, as in `datetime.strptime`, or "unix".
    date_order : {"day", "month"}, optional
        Which comes first in dates such as 03/04/2020.
    units : mapping
        From variable to its units, where the table has no column of them.
    statistic : mapping
        From variable to what its values are of their period, where that is not the mean.
    parameters : mapping
        From a word or code of the network to the variable; "" is not used.
    missing : sequence of str or float
        Numbers and words for missing; ``*`` matches anything.
    words : mapping
        Words that stand for a number: ``{"NR": "0"}``.
    station_parts : mapping
        From the roles that make the identifier together to their digits.
    station_pattern : str
        Pattern whose group is the identifier in the column of stations.
    has_positions : bool
        Whether longitude and latitude are in the table, or in a table of stations.
    exact : bool
        Whether names of columns must be spelled as here, where they are too usual otherwise.
    crs, encoding, separator : str, optional
        Of positions that are no degrees; of text that is not UTF-8; of columns.
    categories : sequence of str
        Roles of text with few different words, which saves memory.

    Examples
    --------
    >>> columns = {"station": ("Site",), "pm25": ("PM2.5", "PM 2.5 (LC)")}
    >>> source = Source("own", "a file", columns=columns, signature=("station", "pm25"))
    >>> source.columns_in(["SITE", "pm25"]), source.recognises(["SITE"])
    ({'station': 'SITE', 'pm25': 'pm25'}, False)
    """

    name: str
    title: str
    family: str = ""
    obtain: str = ""
    command: str = ""
    odd: Sequence[str] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    needed: Sequence[str] = ()
    signature: Sequence[str] = ()
    any_of: Sequence[str] = ()
    names: Sequence[str] = ()
    first_line: str = ""
    layout: Shape = "long"
    series: str = ""
    hour_flag: str = ""
    flag: str = ""
    good: str = ""
    valid: Sequence[str] = ()
    file_name: str = ""
    constants: Mapping[str, str] = field(default_factory=dict)
    heading: Mapping[str, str] = field(default_factory=dict)
    archive: str = ""
    files: str = "*"
    suffixes: Sequence[str] = ()
    time_zone: str | None = None
    time_label: TimeLabel | None = None
    time_format: str | None = None
    date_order: DateOrder | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    statistic: Mapping[str, Statistic] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str | float] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    station_parts: Mapping[str, int] = field(default_factory=dict)
    station_pattern: str = ""
    has_positions: bool = True
    exact: bool = False
    crs: str | None = None
    encoding: str | None = None
    separator: str | None = None
    categories: Sequence[str] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is of no network: columns are recognised by their usual names."""
        return not (self.columns or self.names or self.suffixes)

    def columns_in(self, names: Sequence[str]) -> dict[str, str]:
        """Return the column of each role and variable that a table has."""
        key_of = str if self.exact else _key
        by_key = {key_of(name): name for name in reversed(names)}
        matches = {
            role: [by_key[key] for key in map(key_of, spellings) if key in by_key]
            for role, spellings in self.columns.items()
        }
        return {role: columns[0] for role, columns in matches.items() if columns}

    def all_columns_in(self, names: Sequence[str]) -> dict[str, str]:
        """Return the columns as `columns_in` does, and of other pollutants by their usual names."""
        columns = self.columns_in(names)
        if self.layout != "long" or "value" in self.columns:
            return columns
        for name in names:
            bare = split_units(name)[0]
            variable = known_variable(bare) if bare != "No" else None  # a number of the row
            if variable in POLLUTANTS and variable not in columns and name not in columns.values():
                columns[str(variable)] = name
        return columns

    def recognises(self, names: Sequence[str]) -> bool:
        """Return whether a table with these columns is of this kind."""
        if not self.signature:
            return False
        columns = self.columns_in(names)
        if not set(self.signature) <= set(columns):
            return False
        if not self.has_positions and "longitude" not in self.columns and _places(names):
            return False
        if self.any_of and not set(self.any_of) & set(columns):
            return False
        if self.layout == "long" or not self.series:
            return True
        rest = [name for name in names if name and name not in columns.values()]
        of_series = [name for name in rest if self.is_series(name) or self.hour_of_flag(name)]
        return bool(of_series) and len(of_series) >= 0.9 * len(rest)

    def recognises_line(self, line: str) -> bool:
        """Return whether a file that begins with this line is of this kind, without names."""
        return bool(self.first_line) and re.fullmatch(self.first_line, line.strip()) is not None

    def recognises_name(self, file_name: str) -> bool:
        """Return whether a file in a zip or folder may be of this kind by its name."""
        return bool(self.archive) and fnmatch(file_name.lower(), self.archive)

    def is_series(self, name: str) -> bool:
        """Return whether a column is a station, or an hour, of the layout."""
        return bool(self.series) and re.fullmatch(self.series, name.strip()) is not None

    def hour_of_flag(self, name: str) -> str | None:
        """Return the hour of a column of flags, None for other columns."""
        match = re.fullmatch(self.hour_flag, name.strip()) if self.hour_flag else None
        return match[1] if match else None

    def in_file_name(self, file_name: str) -> dict[str, str]:
        """Return what a file's name says: the station, the pollutant."""
        match = re.search(self.file_name, file_name) if self.file_name else None
        return {} if match is None else {k: v for k, v in match.groupdict().items() if v}


def _places(names: Sequence[str]) -> bool:
    """Return whether a table has columns of positions."""
    return bool({"longitude", "lon", "lng"} & set(map(folded, names)))


def _key(name: object) -> str:
    """Return a name without case and separators; one made of separators only stays as it is."""
    return folded(name) or str(name).strip()
