"""Tables from files (CSV, zips and folders of it, Parquet, GeoPackage) and from memory."""

import codecs
import io
import lzma
import re
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from aqreanalysis.observations.checks.numbers import MISSING_WORDS
from aqreanalysis.observations.journal import ObservationError, logger
from aqreanalysis.observations.sources.points import with_points
from aqreanalysis.observations.sources.text_encoding import encoding_of
from aqreanalysis.observations.variables import listed
from aqreanalysis.untrusted import UnreadableError, check_size, inspect, refuse_bomb
from aqreanalysis.untrusted.budget import ARRAY_RATIO, first_line

if TYPE_CHECKING:
    from pyarrow import DataType

CSV_SUFFIXES = (".csv", ".txt", ".tsv")
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
COMPRESSIONS = tuple(_CODECS)
PARQUET_SUFFIXES = (".parquet", ".pq", ".geoparquet")

#: More columns than any network has stations: the table is transposed, or is none.
_MOST_COLUMNS = 20_000

#: Bytes of a first line.
_MOST_HEADER = 2**21

#: Exponents without a sign, and one of them behind a whole number.
_EXPONENTS = tuple(b"%c%d" % (sign, digit) for sign in b"eE" for digit in range(10))
_FLAGGED = re.compile(rb"(?<![\w.])\d+[eE]\d")

#: Archives within an archive: that of UCI holds one.
_DEPTH = 2

_LINE_END = re.compile(rb"[\r\n]")
_ENCODE = "Name its encoding with encoding=..., or save the table in UTF-8"
_REPAIR = "Repair that line: as many fields as there are names, and quotes in pairs"

#: Bytes at the beginning of a file from which its source is recognised.
BEGINNING = 1 << 16


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


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in memory with text as names, points as longitude and latitude."""
    table = with_points(table)
    return table.set_axis(unique([str(name) for name in table.columns]), axis=1)


def read_csv(
    source: Path | bytes,
    *,
    names: Sequence[str],
    separator: str = ",",
    skip: int = 1,
    encoding: str = "utf-8-sig",
    decimal: str = ".",
    missing: Iterable[str] = (),
    only: Iterable[str] | None = None,
    text: Iterable[str] = (),
    categories: Iterable[str] = (),
) -> pd.DataFrame:
    """Return the table of a text below its first lines; words such as "NA" are missing.

    Columns without a name are left out; those in ``text`` are text even where they look like
    numbers, and those in ``categories`` are text with few different words. A few rows with too
    many or too few fields are left out and counted in ``attrs``.

    Raises
    ------
    ObservationError
        If a name occurs twice, or more than a hundredth of the rows have other fields.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    unique([name for name in names if name])
    types = dict.fromkeys(text, pa.string())
    types |= dict.fromkeys(categories, pa.dictionary(pa.int32(), pa.string()))
    empty = {w for word in MISSING_WORDS for w in (word, word.upper(), word.title())} | {"NaN"}
    included = list(only) if only is not None else [name for name in names if name]
    reading = arrow_csv.ReadOptions(
        column_names=[name or f"\0{place}" for place, name in enumerate(names)], skip_rows=skip
    )
    ragged: list[str] = []
    notes: list[str] = []

    def other_fields(row: "arrow_csv.InvalidRow") -> str:
        fields = f"Expected {row.expected_columns} columns, got {row.actual_columns}"
        kind = ragged if row.actual_columns > 1 else notes  # a line below the table
        kind.append(f"{fields}: {str(row.text)[:60]}")
        return "skip"

    def table_of() -> tuple[pa.Table, _Stream]:
        ragged.clear()
        notes.clear()
        with _opened(source, encoding) as stream:
            options = arrow_csv.ConvertOptions(
                column_types=types,
                null_values=sorted({*empty, *missing}),
                include_columns=included,
                decimal_point=decimal,
                true_values=[],  # "true" is no number
                false_values=[],
            )
            parsing = arrow_csv.ParseOptions(delimiter=separator, invalid_row_handler=other_fields)
            table = arrow_csv.read_csv(
                stream, read_options=reading, parse_options=parsing, convert_options=options
            )
            if not stream.is_whole:
                logger.info(
                    "%s: the last line has no end; if the file is cut off, so is its last value",
                    source.name if isinstance(source, Path) else "a file in the archive",
                )
            return table, stream

    try:
        table, stream = table_of()
        # Arrow would take 0x10 for 16, and 20E1, a number with a flag, for 200.
        odd = [f.name for f in table.schema if stream.may_hold_odd(f.type)]
        if odd:
            types |= dict.fromkeys(odd, pa.string())
            table, _ = table_of()
    except UnicodeDecodeError as error:
        encoding = encoding_of(content_of(source))
        if encoding == "utf-8-sig":
            raise ObservationError(f"it is no text in UTF-8: {error}. {_ENCODE}") from error
        table, _ = table_of()
    except (pa.ArrowException, OSError, EOFError) as error:
        if "Empty CSV" in str(error) or "Could not skip" in str(error):  # only a line of names
            return pd.DataFrame(columns=[name for name in names if name])
        remedy = _ENCODE if "UTF8" in str(error) else _REPAIR
        raise ObservationError(
            f"the CSV cannot be read: {first_line(error)[:300]}. {remedy}"
        ) from error
    if len(ragged) > 0.01 * table.num_rows or len(notes) > max(10, 0.01 * table.num_rows):
        first = (ragged or notes)[0]
        count = len(ragged) + len(notes)
        raise ObservationError(f"the CSV cannot be read: {first} ({count} such rows). {_REPAIR}")
    # Each Arrow column is freed once it is converted: a quarter less memory for a large file.
    frame = table.to_pandas(date_as_object=False, self_destruct=True, split_blocks=True)
    frame.attrs |= {"ragged": len(ragged) + len(notes), "encoding": encoding}
    return frame


def beginning(source: Path | bytes) -> bytes:
    """Return the first bytes of a file without its compression, one line at least.

    Raises
    ------
    ObservationError
        If the file is damaged, or its first line has too many columns.
    """
    content = b""
    with _unpacked(source) as stream:
        while len(content) < BEGINNING or not _LINE_END.search(content.lstrip()):
            part = stream.read(BEGINNING)
            content += part
            if not part or len(content) > _MOST_HEADER:
                break
    line = _LINE_END.split(content.lstrip(), 1)[0]
    columns = 1 + max(line.count(sign) for sign in (b",", b";", b"\t"))
    if columns > _MOST_COLUMNS or len(line) >= _MOST_HEADER:
        raise ObservationError(
            f"the first line has {columns} columns or more, expected "
            f"{_MOST_COLUMNS} at most: turn the table, so that stations or hours are its rows"
        )
    return content


def content_of(source: Path | bytes) -> bytes:
    """Return the whole of a file, without its compression."""
    if isinstance(source, bytes):
        return source
    with _unpacked(source) as stream:
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


@contextmanager
def _unpacked(source: Path | bytes) -> "Iterator[_Stream]":
    """Open a text for reading within its budget; raise any failure as ObservationError."""
    try:
        with _Stream(source) as stream:
            yield stream
    except UnreadableError as error:
        raise ObservationError(f"the file is not read: {error}") from error
    except ObservationError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise ObservationError(
            f"the file cannot be read ({first_line(error)}): it is damaged; fetch it anew"
        ) from error


def names_in(path: Path) -> list[str]:
    """Return the names of the files in a folder or a zip, in lower case, without their folders."""
    if path.is_dir():
        return [file.name.lower() for file in path.rglob("*")]
    with opened_zip(existing(path), path.name) as archive:
        return [Path(name).name.lower() for name in archive.namelist()]


def files_in(
    folder: Path, pattern: str = "*", suffixes: tuple[str, ...] = CSV_SUFFIXES
) -> Iterator[Path]:
    """Yield the files of a folder as `members` does, zips whole; those in an archive are none."""
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder).parts[:-1]
        if any(part.startswith(".") or part.lower().endswith(".zarr") for part in inside):
            continue
        is_zip = file.suffix.lower() == ".zip"
        if file.is_file() and (is_zip or _fits(file.name, pattern, suffixes)):
            yield file


def members(
    path: Path, pattern: str = "*", suffixes: tuple[str, ...] = CSV_SUFFIXES
) -> Iterator[tuple[str, Path | bytes]]:
    """Yield name and content of the files of a folder or a zip, also of a zip in it.

    Names in a folder or zip have to match the pattern, whatever their case, and end in one of the
    suffixes, if there are any. A single file is itself.
    """
    if path.is_dir():
        for file in files_in(path, pattern, suffixes):
            if file.suffix.lower() != ".zip":
                yield file.name, file
            else:
                yield from _members(file, file.name, pattern, suffixes)
    elif path.suffix.lower() == ".zip":
        yield from _members(existing(path), path.name, pattern, suffixes)
    else:
        yield path.name, existing(path)


def unreadable(name: str, error: BaseException) -> str:
    """Return the message about a file that a library fails to read."""
    if isinstance(error, UnreadableError):
        return f"{name} is not read: {error}"
    if isinstance(error, MemoryError):
        return f"{name} needs more memory than there is: read a part of it"
    return f"{name} cannot be read ({first_line(error)[:300]}): it is damaged, or of another format"


def _fits(name: str, pattern: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file has one of the suffixes and a name that matches the pattern."""
    path = Path(name)
    if path.name.startswith("."):  # hidden, or what a Mac adds to a zip
        return False
    return (not suffixes or suffix_of(path) in suffixes) and fnmatch(path.name.lower(), pattern)


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


def _members(
    source: Path | bytes, name: str, pattern: str, suffixes: tuple[str, ...], depth: int = 1
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a zip, and of the zips in it."""
    with opened_zip(source, name) as archive:
        for member in sorted(archive.namelist()):
            if member.lower().endswith(".zip"):
                if depth == _DEPTH:
                    raise ObservationError(f"{name} holds archives in archives: unpack it first")
                content = archive.read(member)
                yield from _members(content, member, pattern, suffixes, depth + 1)
            elif _fits(member, pattern, suffixes):
                yield Path(member).name, archive.read(member)


class _Stream(io.RawIOBase):
    """The text of a file, unpacked within its budget; it notes how it ends, and hexadecimals.

    Bytes that are not UTF-8 are refused where it should be that: Arrow would print what its own
    handler of rows stumbles over.
    """

    def __init__(self, source: Path | bytes, *, is_utf8: bool = False):
        import pyarrow as pa

        self._checks = is_utf8
        self._has_hexadecimals = self._has_exponents = False
        self.is_whole = True
        self._check = codecs.getincrementaldecoder("utf-8")()
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
        if self._checks and not (content.isascii() and not self._check.getstate()[0]):
            self._check.decode(content, final=not content)
        for sign in (b"x", b"X"):  # rare, and so quicker to look for than 0x
            self._has_hexadecimals |= sign in content and b"0" + sign in content
        if not self._has_exponents and any(sign in content for sign in _EXPONENTS):
            self._has_exponents = _FLAGGED.search(content) is not None
        return content

    def may_hold_odd(self, kind: "DataType") -> bool:
        """Return whether a column of numbers may hold what is none to people."""
        import pyarrow as pa

        return (self._has_hexadecimals and pa.types.is_integer(kind)) or (
            self._has_exponents and pa.types.is_floating(kind)
        )

    def close(self) -> None:
        if not self.closed:
            self._text.close()
            self._stored.close()
        super().close()


def _opened(source: Path | bytes, encoding: str = "utf-8-sig") -> _Stream:
    """Return a stream of the text of a file in UTF-8, from its beginning."""
    if encoding.lower() in ("utf-8", "utf-8-sig", "utf8"):
        return _Stream(source, is_utf8=True)
    try:
        return _Stream(content_of(source).decode(encoding).encode())
    except (UnicodeDecodeError, LookupError) as error:
        raise ObservationError(f"it is no text in {encoding}: {error}. {_ENCODE}") from error


def unique(names: list[str]) -> list[str]:
    """Return column names, each of them once; refuse others."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ObservationError(
            f"columns are there twice: {listed(twice)}; rename or drop one of each"
        )
    return names


def parquet_table(name: str, content: Path | bytes) -> pd.DataFrame:
    """Return a Parquet file as a table, GeoParquet with its points; nested values become text.

    The names of folders above it are no columns, and parts in other files are not read.
    """
    from pyarrow import parquet

    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "packed.parquet") if isinstance(content, bytes) else content
        if isinstance(content, bytes):
            path.write_bytes(content)
        inspect([path], "parquet")
    with parquet.ParquetFile(_seekable(content), memory_map=False) as file:
        facts = file.metadata
        groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
        if any(g.column(i).file_path for g in groups for i in range(g.num_columns)):
            raise ObservationError(f"parts of {name} lie in other files: join them into one")
        needed = max(
            8 * facts.num_rows * len(file.schema_arrow.names),
            sum(g.total_byte_size for g in groups),
        )
        refuse_bomb(name, needed, size, ratio=ARRAY_RATIO)
        check_size(name, needed)
        if b"geo" not in (facts.metadata or {}):
            # In this thread: what Arrow throws in one of its own at damage ends the process.
            return with_points(_flat(file.read(use_threads=False).to_pandas()))
    import geopandas

    table = geopandas.read_parquet(_seekable(content), partitioning=None, use_threads=False)
    return with_points(_flat(table))


def _seekable(content: Path | bytes) -> Path | io.BytesIO:
    """Return what a library opens."""
    return io.BytesIO(content) if isinstance(content, bytes) else content


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose lists and mappings are text."""
    for name in filter(lambda name: is_object_dtype(table[name]), table.columns):
        if table[name].map(lambda value: isinstance(value, (list, dict, tuple, np.ndarray))).any():
            table[name] = table[name].astype(str)
    return table
