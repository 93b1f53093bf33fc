"""Tables from files (CSV, zips and folders of it, Parquet, GeoPackage) and from memory."""

import csv
import io
import lzma
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from aqreanalysis.observations.checks.numbers import MISSING_WORDS
from aqreanalysis.observations.journal import ObservationError, logger
from aqreanalysis.observations.sources.columns import guess
from aqreanalysis.observations.sources.options import ColumnNames
from aqreanalysis.observations.sources.points import VECTOR_SUFFIXES, read_points, with_points
from aqreanalysis.observations.variables import listed
from aqreanalysis.untrusted import UnreadableError, check_size, refuse_bomb
from aqreanalysis.untrusted.budget import ARRAY_RATIO

CSV_SUFFIXES = (".csv", ".txt", ".tsv")
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
COMPRESSIONS = tuple(_CODECS)
PARQUET_SUFFIXES = (".parquet", ".pq", ".geoparquet")

#: More columns than any network has stations: the table lies on its side, or is none.
_MOST_COLUMNS = 20_000

#: Bytes of a first line.
_MOST_HEADER = 2**21

#: Archives within an archive: that of UCI holds one.
_DEPTH = 2

_LINE_END = re.compile(rb"[\r\n]")
_REPAIR = "Repair that line: as many fields as there are names, and quotes in pairs"

#: Columns of these roles are text even where they look like numbers: "0601" is not 601.
_TEXT_ROLES = ("station", "name", "units", "parameter", "datum", "time_label")


def suffix_of(path: Path) -> str:
    """Return a path's suffix in lower case, without that of a compression.

    Examples
    --------
    >>> suffix_of(Path("a.2011.CSV.gz")), suffix_of(Path("b.nc"))
    ('.csv', '.nc')
    """
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def existing(path: Path) -> Path:
    """Return the path of a file; refuse one that is missing, empty, unreadable or a folder."""
    try:
        if path.is_dir():
            raise ObservationError(f"{path} is a folder; expected a file")
        if not path.exists():
            raise ObservationError(f"there is no file {path} (from {Path.cwd()})")
        if not path.is_file():
            raise ObservationError(f"{path} is a device or a pipe; write it to a file first")
        if path.stat().st_size == 0:
            raise ObservationError(f"{path} is empty; fetch it anew")
    except OSError as error:
        raise ObservationError(f"{path} cannot be read: {error}") from error
    return path


def read_table(source: Path | pd.DataFrame, columns: ColumnNames) -> pd.DataFrame:
    """Return a table from a file or from memory, points as longitude and latitude.

    Raises
    ------
    ObservationError
        If the file is missing, empty, broken, or of an unknown kind.
    """
    if isinstance(source, pd.DataFrame):
        table = with_points(source)
        return table.set_axis(_unique([str(name) for name in table.columns]), axis=1)
    path = existing(source)
    suffix = suffix_of(path)
    try:
        if suffix in CSV_SUFFIXES:
            return read_csv(path, columns=columns)
        if suffix == ".zip":
            return _csv_in_zip(path, columns)
        if suffix in PARQUET_SUFFIXES:
            return _parquet(path)
        if suffix in VECTOR_SUFFIXES:
            return read_points(path)
    except ObservationError:
        raise
    except Exception as error:  # every library has its own kinds
        raise ObservationError(unreadable(path.name, error)) from error
    raise ObservationError(
        f"{path.name} has the suffix {suffix!r}; expected one of "
        f"{', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES, *VECTOR_SUFFIXES))}, .zip, .nc or .h5. "
        "Name the format with format=..."
    )


def read_csv(
    source: Path | bytes,
    *,
    columns: ColumnNames | None = None,
    only: Iterable[str] | None = None,
    categories: Iterable[str] = (),
) -> pd.DataFrame:
    """Return a CSV file as a table; empty fields and words such as "NA" are missing.

    It is comma, semicolon or tab separated, in UTF-8, with one line of column names. The caller's
    ``columns`` tell which are text; only those in ``only`` are read; those in ``categories`` are
    text with few different words.

    Raises
    ------
    ObservationError
        If the file is empty, a name occurs twice, or a row has too many fields.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names, delimiter = _header(source)
    types = dict.fromkeys(_text_columns(names, columns or {}), pa.string())
    types |= dict.fromkeys(categories, pa.dictionary(pa.int32(), pa.string()))
    missing = {w for word in MISSING_WORDS for w in (word, word.upper(), word.title())} | {"NaN"}
    included = list(only) if only is not None else None

    def table_of() -> tuple[pa.Table, bool]:
        with _Stream(source) as stream:
            options = arrow_csv.ConvertOptions(
                column_types=types,
                null_values=sorted(missing),
                include_columns=included,
                true_values=[],  # "true" is no number
                false_values=[],
            )
            parsing = arrow_csv.ParseOptions(delimiter=delimiter)
            table = arrow_csv.read_csv(stream, parse_options=parsing, convert_options=options)
            if not stream.is_whole:
                logger.info(
                    "%s: the last line has no end; if the file is cut off, so is its last value",
                    source.name if isinstance(source, Path) else "a file in the archive",
                )
            return table, stream.has_hexadecimals

    try:
        table, has_hexadecimals = table_of()
        whole = [f.name for f in table.schema if pa.types.is_integer(f.type)]
        if has_hexadecimals and whole:  # Arrow would take 0x10 for 16
            types |= dict.fromkeys(whole, pa.string())
            table, _ = table_of()
    except (pa.ArrowException, OSError, EOFError) as error:
        if "Empty CSV" in str(error):  # only a line of names, without a line end
            return pd.DataFrame(columns=names)
        remedy = "Save the table in UTF-8" if "UTF8" in str(error) else _REPAIR
        raise ObservationError(
            f"the CSV cannot be read: {first_line(error)[:300]}. {remedy}"
        ) from error
    # Each Arrow column is freed once it is converted: a quarter less memory for a large file.
    return table.to_pandas(date_as_object=False, self_destruct=True, split_blocks=True)


def header_of(source: Path | bytes) -> list[str]:
    """Return the column names of a CSV file."""
    return _header(source)[0]


def names_in(path: Path) -> list[str]:
    """Return the names of the files in a folder or a zip, in lower case, without their folders."""
    if path.is_dir():
        return [file.name.lower() for file in path.rglob("*")]
    with opened_zip(existing(path), path.name) as archive:
        return [Path(name).name.lower() for name in archive.namelist()]


def csv_files(path: Path, pattern: str) -> Iterator[Path | bytes]:
    """Yield the CSV files of a folder or a zip, also of a zip in it, or the one file itself.

    Names in a folder or zip have to match the pattern, whatever their case.
    """
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if _is_csv(file.name, pattern))
    elif path.suffix.lower() == ".zip":
        yield from _members(existing(path), path.name, pattern)
    else:
        yield existing(path)


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def unreadable(name: str, error: BaseException) -> str:
    """Return the message about a file that a library fails to read."""
    if isinstance(error, UnreadableError):
        return f"{name} is not read: {error}"
    if isinstance(error, MemoryError):
        return f"{name} needs more memory than there is: read a part of it"
    return f"{name} cannot be read ({first_line(error)[:300]}): it is damaged, or of another format"


def _is_csv(name: str, pattern: str = "*") -> bool:
    """Return whether a file is a CSV whose name matches the pattern."""
    return name.lower().endswith(CSV_SUFFIXES) and fnmatch(Path(name).name.lower(), pattern)


@contextmanager
def opened_zip(source: Path | bytes, name: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip, which is never unpacked to the disk; refuse bombs, links and damaged ones.

    Raises
    ------
    ObservationError
        For all that is wrong, also while members are read.
    """
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with zipfile.ZipFile(file) as archive:
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            members = archive.infolist()
            refuse_bomb(name, sum(member.file_size for member in members), size)
            links = [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]
            if links:
                raise ObservationError(
                    f"{name} holds links, which are not followed: {listed(links)}. "
                    "Unpack it yourself"
                )
            yield archive
    except UnreadableError as error:
        raise ObservationError(f"{name} is not read: {error}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        message = f"{name} is no zip file, or a damaged one: {first_line(error)}. Fetch it anew"
        raise ObservationError(message) from error
    except (NotImplementedError, RuntimeError) as error:  # methods, passwords
        message = f"{name} cannot be unpacked here: {first_line(error)}. Unpack it yourself"
        raise ObservationError(message) from error


def _members(source: Path | bytes, name: str, pattern: str, depth: int = 1) -> Iterator[bytes]:
    """Yield the contents of the CSV files of a zip, and of the zips in it."""
    with opened_zip(source, name) as archive:
        for member in sorted(archive.namelist()):
            if member.lower().endswith(".zip"):
                if depth == _DEPTH:
                    raise ObservationError(f"{name} holds archives in archives: unpack it first")
                yield from _members(archive.read(member), member, pattern, depth + 1)
            elif _is_csv(member, pattern):
                yield archive.read(member)


def _csv_in_zip(path: Path, columns: ColumnNames) -> pd.DataFrame:
    """Return the only CSV in a zip file."""
    with opened_zip(path, path.name) as archive:
        members = [name for name in archive.namelist() if _is_csv(name)]
        if len(members) != 1:
            raise ObservationError(
                f"{path.name} holds {len(members)} CSV files ({listed(members, 5)}); expected one. "
                "Name the format with format='uci' or 'aqs', or unpack it"
            )
        return read_csv(archive.read(members[0]), columns=columns)


class _Stream(io.RawIOBase):
    """The text of a file, unpacked within its budget; it notes how it ends, and hexadecimals."""

    def __init__(self, source: Path | bytes):
        import pyarrow as pa

        self.has_hexadecimals = False
        self.is_whole = True
        self._name = source.name if isinstance(source, Path) else "a file in the archive"
        self._expanded = 0
        self._stored = (
            pa.OSFile(str(source)) if isinstance(source, Path) else pa.BufferReader(source)
        )
        codec = _CODECS.get(source.suffix.lower()) if isinstance(source, Path) else None
        self._text = pa.CompressedInputStream(self._stored, codec) if codec else self._stored
        self._is_packed = codec is not None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._text.read(None if size < 0 else size)
        self._expanded += len(content)
        self.is_whole = content.endswith((b"\n", b"\r")) if content else self.is_whole
        if self._is_packed:
            refuse_bomb(self._name, self._expanded, self._stored.tell())
        for sign in (b"x", b"X"):  # rare, and so quicker to look for than 0x
            self.has_hexadecimals |= sign in content and b"0" + sign in content
        return content

    def close(self) -> None:
        if not self.closed:
            self._text.close()
            self._stored.close()
        super().close()


def _header(source: Path | bytes) -> tuple[list[str], str]:
    """Return the column names in the first line, and what separates them."""
    content = b""
    try:
        with _Stream(source) as stream:
            while len(content) < _MOST_HEADER and not _LINE_END.search(content.lstrip()):
                part = stream.read(1 << 16)
                content += part
                if not part:
                    break
    except UnreadableError as error:
        raise ObservationError(f"the file is not read: {error}") from error
    except (OSError, EOFError, ValueError) as error:
        raise ObservationError(
            f"the file cannot be read ({first_line(error)}): it is damaged; fetch it anew"
        ) from error
    start = content.decode("utf-8-sig", errors="replace")
    line = start.splitlines()[0] if start.strip() else ""
    if "\0" in line or "\ufffd" in line:
        raise ObservationError(
            "the first line is no text in UTF-8, but UTF-16, another encoding or a binary file; "
            "save the table as CSV in UTF-8"
        )
    if not line.strip():
        raise ObservationError("the CSV is empty: expected a first line of column names")
    delimiter = max(",;\t", key=line.count)
    if line.count(delimiter) > _MOST_COLUMNS or len(content) >= _MOST_HEADER:
        raise ObservationError(
            f"the first line has {line.count(delimiter) + 1} columns or more, expected "
            f"{_MOST_COLUMNS} at most: turn the table, so that stations or hours are its rows"
        )
    try:
        return _unique(next(csv.reader(io.StringIO(line), delimiter=delimiter))), delimiter
    except csv.Error as error:
        raise ObservationError(f"the first line cannot be read: {error}. {_REPAIR}") from error


def _unique(names: list[str]) -> list[str]:
    """Return column names, each of them once; refuse others."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ObservationError(
            f"columns are there twice: {listed(twice)}; rename or drop one of each"
        )
    return names


def _text_columns(names: Sequence[str], columns: ColumnNames) -> set[str]:
    """Return the columns to be read as text."""
    roles = guess(names, {role: c for role, c in columns.items() if c in names}).roles
    stated = columns.get("station", ())
    parts = {stated} if isinstance(stated, str) else set(stated)
    return {roles[role] for role in _TEXT_ROLES if role in roles} | (parts & set(names))


def _parquet(path: Path) -> pd.DataFrame:
    """Return a Parquet file as a table, GeoParquet with its points; nested values become text.

    The names of folders above it are no columns, and parts in other files are not read.
    """
    from pyarrow import parquet

    with parquet.ParquetFile(path, memory_map=False) as file:
        facts = file.metadata
        groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
        if any(g.column(i).file_path for g in groups for i in range(g.num_columns)):
            raise ObservationError(f"parts of {path.name} lie in other files: join them into one")
        needed = max(
            8 * facts.num_rows * len(file.schema_arrow.names),
            sum(g.total_byte_size for g in groups),
        )
        refuse_bomb(path.name, needed, path.stat().st_size, ratio=ARRAY_RATIO)
        check_size(path.name, needed)
        if b"geo" not in (facts.metadata or {}):
            return with_points(_flat(file.read().to_pandas()))
    import geopandas

    return with_points(_flat(geopandas.read_parquet(path, partitioning=None)))


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose lists and mappings are text."""
    for name in filter(lambda name: is_object_dtype(table[name]), table.columns):
        if table[name].map(lambda value: isinstance(value, (list, dict, tuple, np.ndarray))).any():
            table[name] = table[name].astype(str)
    return table
