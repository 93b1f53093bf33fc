"""Tables from files (CSV, zips and folders of it, Parquet, GeoPackage) and from memory."""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from aqreanalysis.observations.checks.numbers import MISSING_WORDS
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.sources.columns import guess
from aqreanalysis.observations.sources.options import ColumnNames
from aqreanalysis.observations.variables import folded, listed

if TYPE_CHECKING:
    from pyarrow import NativeFile

CSV_SUFFIXES = (".csv", ".txt", ".tsv")
COMPRESSIONS = (".gz", ".bz2", ".zst")
PARQUET_SUFFIXES = (".parquet", ".pq", ".geoparquet")
VECTOR_SUFFIXES = (".gpkg", ".geojson", ".shp")

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
        if path.stat().st_size == 0:
            raise ObservationError(f"{path} is empty")
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
        table = _with_points(source)
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
            import geopandas

            return _with_points(geopandas.read_file(path))
    except ObservationError:
        raise
    except Exception as error:  # every library has its own kinds
        raise ObservationError(f"{path.name} cannot be read: {first_line(error)}") from error
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
    try:
        with _opened(source) as stream:
            table = arrow_csv.read_csv(
                stream,
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=types,
                    null_values=sorted(missing),
                    include_columns=list(only) if only is not None else None,
                ),
            )
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        if "Empty CSV" in str(error):  # only a line of names, without a line end
            return pd.DataFrame(columns=names)
        remedy = ". Save the table in UTF-8" if "UTF8" in str(error) else ""
        raise ObservationError(f"the CSV cannot be read: {first_line(error)}{remedy}") from error
    # Each Arrow column is freed once it is converted: a quarter less memory for a large file.
    return table.to_pandas(date_as_object=False, self_destruct=True, split_blocks=True)


def header_of(source: Path | bytes) -> list[str]:
    """Return the column names of a CSV file."""
    return _header(source)[0]


def names_in(path: Path) -> list[str]:
    """Return the names of the files in a folder or a zip, in lower case, without their folders."""
    if path.is_dir():
        return [file.name.lower() for file in path.rglob("*")]
    with _zip(existing(path)) as archive:
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


def _is_csv(name: str, pattern: str = "*") -> bool:
    """Return whether a file is a CSV whose name matches the pattern."""
    return name.lower().endswith(CSV_SUFFIXES) and fnmatch(Path(name).name.lower(), pattern)


def _zip(source: Path | bytes, name: str = "it") -> zipfile.ZipFile:
    """Return the opened zip."""
    try:
        return zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
    except zipfile.BadZipFile as error:
        raise ObservationError(f"{name} is no zip file: {error}") from error


def _members(source: Path | bytes, name: str, pattern: str) -> Iterator[bytes]:
    """Yield the contents of the CSV files of a zip, and of the zips in it."""
    with _zip(source, name) as archive:
        for member in sorted(archive.namelist()):
            if member.lower().endswith(".zip"):
                yield from _members(archive.read(member), member, pattern)
            elif _is_csv(member, pattern):
                yield archive.read(member)


def _csv_in_zip(path: Path, columns: ColumnNames) -> pd.DataFrame:
    """Return the only CSV in a zip file."""
    with _zip(path, path.name) as archive:
        members = [name for name in archive.namelist() if _is_csv(name)]
        if len(members) != 1:
            raise ObservationError(
                f"{path.name} holds {len(members)} CSV files ({listed(members, 5)}); expected one. "
                "Name the format with format='uci' or 'aqs', or unpack it"
            )
        return read_csv(archive.read(members[0]), columns=columns)


def _opened(source: Path | bytes) -> "NativeFile":
    """Return a stream of the text of a file, from its beginning."""
    import pyarrow as pa

    if isinstance(source, Path):
        return pa.input_stream(str(source), compression="detect")
    return pa.BufferReader(source)


def _header(source: Path | bytes) -> tuple[list[str], str]:
    """Return the column names in the first line, and what separates them."""
    try:
        with _opened(source) as stream:
            content = stream.read(1 << 16)
    except (OSError, EOFError, ValueError) as error:
        raise ObservationError(f"the file cannot be read: {first_line(error)}") from error
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
    return _unique(next(csv.reader(io.StringIO(line), delimiter=delimiter))), delimiter


def _unique(names: list[str]) -> list[str]:
    """Return column names, each of them once; refuse others."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ObservationError(f"columns are there twice: {listed(twice)}")
    return names


def _text_columns(names: Sequence[str], columns: ColumnNames) -> set[str]:
    """Return the columns to be read as text."""
    roles = guess(names, {role: c for role, c in columns.items() if c in names}).roles
    stated = columns.get("station", ())
    parts = {stated} if isinstance(stated, str) else set(stated)
    return {roles[role] for role in _TEXT_ROLES if role in roles} | (parts & set(names))


def _parquet(path: Path) -> pd.DataFrame:
    """Return a Parquet file as a table, GeoParquet with its points."""
    from pyarrow import parquet

    if b"geo" in (parquet.read_schema(path).metadata or {}):
        import geopandas

        return _with_points(geopandas.read_parquet(path))
    return _with_points(pd.read_parquet(path))


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
