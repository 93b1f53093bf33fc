"""Tables from files: CSV (compressed or not), Parquet, GeoPackage; and from memory."""

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from aqreanalysis.observations.columns import folded, listed, recognise
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.numbers import MISSING_WORDS
from aqreanalysis.observations.options import ColumnNames

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
    """Return the path if it is a file with something in it.

    Raises
    ------
    ObservationError
        If there is no such file, or it is empty, or cannot be read.
    """
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


def read_table(source: Path | str | pd.DataFrame, columns: ColumnNames) -> pd.DataFrame:
    """Return a table from a file or from memory, points as longitude and latitude.

    Parameters
    ----------
    source : path or DataFrame or GeoDataFrame
        CSV (``.csv``, ``.txt``, ``.tsv``; ``.gz``, ``.bz2``, ``.zst``; or alone in a ``.zip``),
        Parquet, GeoPackage, or a table in memory, which is not changed.
    columns : mapping
        From role to column, as the caller states it.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ObservationError
        If the file is missing, empty, broken, or of a kind that is not known.
    """
    if isinstance(source, pd.DataFrame):
        return _with_text_names(_with_points(source))
    path = existing(Path(source))
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
        raise ObservationError(f"{path.name} cannot be read: {_first_line(error)}") from error
    raise ObservationError(
        f"{path.name} has the suffix {suffix!r}; expected one of "
        f"{', '.join((*CSV_SUFFIXES, *PARQUET_SUFFIXES, *VECTOR_SUFFIXES))}, .zip, .nc or .h5. "
        "Name the format with format=..."
    )


def read_csv(
    source: Path | BinaryIO,
    *,
    columns: ColumnNames | None = None,
    only: Iterable[str] | None = None,
    categories: Sequence[str] = (),
) -> pd.DataFrame:
    """Return a CSV file as a table; empty fields and words such as "NA" are missing.

    Parameters
    ----------
    source : path or binary file
        Comma, semicolon or tab separated, UTF-8, with one line of column names.
    columns : mapping, optional
        From role to column, as the caller states it; it tells which columns are text.
    only : iterable of str, optional
        Read these columns alone.
    categories : sequence of str
        Columns of text with few different words, which come as categoricals.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    ObservationError
        If there is nothing in it, a name is there twice, or a row has too many fields.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with _opened(source) as stream:
        names, delimiter = _header(stream)
    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: pa.string() for name in _text_columns(names, columns or {})}
    types |= dict.fromkeys(categories, text)
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
        if "Empty CSV" in str(error):  # a first line of names alone, without its end
            return pd.DataFrame(columns=names)
        remedy = ". Save the table in UTF-8" if "UTF8" in str(error) else ""
        raise ObservationError(f"the CSV cannot be read: {_first_line(error)}{remedy}") from error
    return table.to_pandas(date_as_object=False)


def header_of(source: Path | BinaryIO) -> list[str]:
    """Return the column names of a CSV file."""
    with _opened(source) as stream:
        return _header(stream)[0]


def _opened(source: Path | BinaryIO) -> Any:
    """Return a stream of the text of a file, from its beginning."""
    import pyarrow as pa

    if isinstance(source, Path):
        return pa.input_stream(str(source), compression="detect")
    source.seek(0)
    return pa.PythonFile(_Unclosed(source), mode="r")


class _Unclosed:
    """A binary file that stays open when its reader closes it, to be read again."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        self.closed = True


def _header(stream: Any) -> tuple[list[str], str]:
    """Return the column names in the first line, and what separates them."""
    try:
        content = stream.read(1 << 16)
    except (OSError, EOFError, ValueError) as error:
        raise ObservationError(f"the file cannot be read: {_first_line(error)}") from error
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
    names = next(csv.reader(io.StringIO(line), delimiter=delimiter))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ObservationError(f"columns are there twice: {listed(twice)}")
    return names, delimiter


def _text_columns(names: Sequence[str], columns: ColumnNames) -> set[str]:
    """Return the columns to be read as text."""
    given = {role: column for role, column in columns.items() if column in names}
    roles = recognise(names, given, journal=Journal("", silent=True)).roles
    stated = columns.get("station", ())
    parts = {stated} if isinstance(stated, str) else set(stated)
    return {roles[role] for role in _TEXT_ROLES if role in roles} | (parts & set(names))


def _csv_in_zip(path: Path, columns: ColumnNames) -> pd.DataFrame:
    """Return the only CSV in a zip file."""
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.lower().endswith(CSV_SUFFIXES)]
        if len(members) != 1:
            raise ObservationError(
                f"{path.name} holds {len(members)} CSV files ({listed(members, 5)}); expected one. "
                "Name the format with format='uci' or 'aqs', or unpack it"
            )
        with archive.open(members[0]) as stream:
            return read_csv(io.BytesIO(stream.read()), columns=columns)


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


def _with_text_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with text as column names, each of them once."""
    names = [str(name) for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ObservationError(f"columns are there twice: {listed(twice)}")
    return table.set_axis(names, axis=1)


def _first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
