"""Tables from files (CSV, zips and folders of it, Parquet, GeoPackage) and from memory."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from aqreanalysis.observations.checks.numbers import MISSING_WORDS
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.variables import folded, listed

if TYPE_CHECKING:
    from pyarrow import NativeFile

CSV_SUFFIXES = (".csv", ".txt", ".tsv")
COMPRESSIONS = (".gz", ".bz2", ".zst")
PARQUET_SUFFIXES = (".parquet", ".pq", ".geoparquet")
VECTOR_SUFFIXES = (".gpkg", ".geojson", ".shp")

#: Bytes at the beginning of a file by which it is told.
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
        if path.stat().st_size == 0:
            raise ObservationError(f"{path} is empty")
    except OSError as error:
        raise ObservationError(f"{path} cannot be read: {error}") from error
    return path


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in memory with text as names, points as longitude and latitude."""
    table = _with_points(table)
    return table.set_axis(unique([str(name) for name in table.columns]), axis=1)


def points_of(path: Path) -> pd.DataFrame:
    """Return a GeoPackage, GeoJSON or shapefile of points as a table."""
    import geopandas

    return _with_points(geopandas.read_file(path))


def parquet_table(content: Path | bytes) -> pd.DataFrame:
    """Return a Parquet file as a table, GeoParquet with its points."""
    from pyarrow import parquet

    def stream() -> Path | io.BytesIO:
        return io.BytesIO(content) if isinstance(content, bytes) else content

    if b"geo" in (parquet.read_schema(stream()).metadata or {}):
        import geopandas

        return _with_points(geopandas.read_parquet(stream()))
    return _with_points(pd.read_parquet(stream()))


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
    numbered = [name or f"\0{place}" for place, name in enumerate(names)]
    types = dict.fromkeys(text, pa.string())
    types |= dict.fromkeys(categories, pa.dictionary(pa.int32(), pa.string()))
    empty = {w for word in MISSING_WORDS for w in (word, word.upper(), word.title())} | {"NaN"}
    ragged: list[str] = []
    notes: list[str] = []

    def other_fields(row: "arrow_csv.InvalidRow") -> str:
        fields = f"Expected {row.expected_columns} columns, got {row.actual_columns}"
        kind = ragged if row.actual_columns > 1 else notes  # a line below the table
        kind.append(f"{fields}: {str(row.text)[:60]}")
        return "skip"

    try:
        with _opened(source, encoding) as stream:
            table = arrow_csv.read_csv(
                stream,
                read_options=arrow_csv.ReadOptions(column_names=numbered, skip_rows=skip),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=separator, invalid_row_handler=other_fields
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=types,
                    null_values=sorted({*empty, *missing}),
                    include_columns=list(only) if only is not None else [n for n in names if n],
                    decimal_point=decimal,
                ),
            )
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        if "Empty CSV" in str(error) or "Could not skip" in str(error):  # only a line of names
            return pd.DataFrame(columns=[name for name in names if name])
        remedy = ". Name its encoding with encoding=..., or save the table in UTF-8"
        raise ObservationError(
            f"the CSV cannot be read: {first_line(error)}{remedy if 'UTF8' in str(error) else ''}"
        ) from error
    if len(ragged) > 0.01 * table.num_rows or len(notes) > max(10, 0.01 * table.num_rows):
        first = (ragged or notes)[0]
        raise ObservationError(
            f"the CSV cannot be read: {first} ({len(ragged) + len(notes)} such rows)"
        )
    # Each Arrow column is freed once it is converted: a quarter less memory for a large file.
    frame = table.to_pandas(date_as_object=False, self_destruct=True, split_blocks=True)
    frame.attrs["ragged"] = len(ragged) + len(notes)
    return frame


def beginning(source: Path | bytes) -> bytes:
    """Return the first bytes of a file, without its compression."""
    try:
        with _opened(source) as stream:
            return stream.read(BEGINNING)
    except (OSError, EOFError, ValueError) as error:
        raise ObservationError(f"the file cannot be read: {first_line(error)}") from error


def content_of(source: Path | bytes) -> bytes:
    """Return the whole of a file, without its compression."""
    if isinstance(source, bytes):
        return source
    try:
        with _opened(source) as stream:
            return stream.read()
    except (OSError, EOFError, ValueError) as error:
        raise ObservationError(f"the file cannot be read: {first_line(error)}") from error


def members(
    path: Path, pattern: str = "*", suffixes: tuple[str, ...] = CSV_SUFFIXES
) -> Iterator[tuple[str, Path | bytes]]:
    """Yield name and content of the files of a folder or a zip, also of a zip in it.

    Names in a folder or zip have to match the pattern, whatever their case, and end in one of the
    suffixes, if there are any. A single file is itself.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and _fits(file.name, pattern, suffixes):
                yield file.name, file
            elif file.suffix.lower() == ".zip":
                yield from _members(file, file.name, pattern, suffixes)
    elif path.suffix.lower() == ".zip":
        yield from _members(existing(path), path.name, pattern, suffixes)
    else:
        yield path.name, existing(path)


def names_in(path: Path) -> list[str]:
    """Return the names of the files in a folder or a zip, in lower case, without their folders."""
    if path.is_dir():
        return [file.name.lower() for file in path.rglob("*")]
    with _zip(existing(path)) as archive:
        return [Path(name).name.lower() for name in archive.namelist()]


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _fits(name: str, pattern: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file has one of the suffixes and a name that matches the pattern."""
    path = Path(name)
    return (not suffixes or suffix_of(path) in suffixes) and fnmatch(path.name.lower(), pattern)


def _zip(source: Path | bytes, name: str = "it") -> zipfile.ZipFile:
    """Return the opened zip."""
    try:
        return zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except zipfile.BadZipFile as error:
        raise ObservationError(f"{name} is no zip file: {error}") from error


def _members(
    source: Path | bytes, name: str, pattern: str, suffixes: tuple[str, ...]
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of a zip, and of the zips in it."""
    with _zip(source, name) as archive:
        for member in sorted(archive.namelist()):
            if member.lower().endswith(".zip"):
                yield from _members(archive.read(member), member, pattern, suffixes)
            elif _fits(member, pattern, suffixes):
                yield Path(member).name, archive.read(member)


def _opened(source: Path | bytes, encoding: str = "utf-8-sig") -> "NativeFile":
    """Return a stream of the text of a file in UTF-8, from its beginning."""
    import pyarrow as pa

    if encoding.lower() not in ("utf-8", "utf-8-sig", "utf8"):
        try:
            text = content_of(source).decode(encoding)
        except (UnicodeDecodeError, LookupError) as error:
            raise ObservationError(f"it is no text in {encoding}: {error}") from error
        return pa.BufferReader(text.encode())
    if isinstance(source, Path):
        return pa.input_stream(str(source), compression="detect")
    return pa.BufferReader(source)


def unique(names: list[str]) -> list[str]:
    """Return column names, each of them once; refuse others."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ObservationError(f"columns are there twice: {listed(twice)}")
    return names


def _with_points(table: pd.DataFrame) -> pd.DataFrame:
    """Return a plain table: levels of the index as columns, points as longitude and latitude."""
    if isinstance(table.index, pd.DatetimeIndex) and table.index.name is None:
        table = table.rename_axis("time")
    levels = [name for name in table.index.names if name is not None and name not in table.columns]
    if levels:
        table = table.reset_index(levels)
    if not hasattr(table, "geometry") or not hasattr(table, "to_crs"):
        return table
    points = table.geometry
    if not (points.geom_type == "Point").all():
        kinds = sorted({str(kind) for kind in points.geom_type.unique()})
        raise ObservationError(f"stations must be points; found {', '.join(kinds)}")
    if points.crs is not None:
        points = points.to_crs("EPSG:4326")
    plain = pd.DataFrame(table.drop(columns=points.name))
    taken = [name for name in plain if folded(str(name)) in ("longitude", "latitude", "lon", "lat")]
    return plain.drop(columns=taken).assign(longitude=points.x, latitude=points.y)
