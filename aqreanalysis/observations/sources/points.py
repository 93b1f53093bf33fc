"""Files of points, GeoPackage, GeoJSON and shapefile, each read only as its suffix says.

GDAL would follow whatever is in a file of any suffix, to other files and to the network, and reads
text in a column of numbers as 0. A GeoPackage is read by SQLite, GeoJSON as JSON, so that text
stays text; a shapefile goes to GDAL once its beginning and its numbers are seen to be right.
"""

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import ObservationError, logger
from aqreanalysis.observations.variables import folded, listed
from aqreanalysis.untrusted import check_size, inspect, refuse_bomb
from aqreanalysis.untrusted.budget import ARRAY_RATIO

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".shp")

_SECONDS = 8.0

#: Bytes of the envelope before a point in a GeoPackage, by three bits of its flags.
_ENVELOPES = (0, 32, 48, 48, 64)


def read_points(path: Path) -> pd.DataFrame:
    """Return a file of points as a table with longitude and latitude in WGS84.

    Raises
    ------
    ObservationError
        If it is another format than its suffix says, is damaged, or holds other shapes than points.
    UnreadableError
        If it asks for more time or memory than a file of its size may.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(16)
    if suffix == ".gpkg":
        if start != b"SQLite format 3\0":
            raise ObservationError(_other_format(path, "GeoPackage", start))
        return _geopackage(path)
    if suffix == ".geojson":
        return _geojson(path)
    if start[:4] != b"\0\0\x27\x0a":
        raise ObservationError(_other_format(path, "shapefile", start))
    return _shapefile(path)


def with_points(table: pd.DataFrame) -> pd.DataFrame:
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


def _other_format(path: Path, format: str, start: bytes) -> str:
    return (
        f"{path.name} cannot be read: it is no {format}, since it begins with {start!r}. Virtual "
        f"data sets and links to other files are not followed; convert it to a {format}"
    )


def _geopackage(path: Path) -> pd.DataFrame:
    """Return the first layer of points of a GeoPackage, every value as it is stored."""
    import geopandas
    import shapely

    waiting = path.with_name(path.name + "-wal")
    immutable = "" if waiting.exists() and waiting.stat().st_size else "&immutable=1"
    address = f"{path.absolute().as_uri()}?mode=ro{immutable}"
    try:
        base = sqlite3.connect(address, uri=True)
        try:
            layer, geometry, crs = _layer(path, _limited(base))
            names, rows = _rows(path, base, layer)
        finally:
            base.close()
    except (sqlite3.Error, OverflowError) as error:
        raise ObservationError(
            f"{path.name} cannot be read as a GeoPackage: {error}. Write it again, for example "
            "with ogr2ogr"
        ) from error
    table = pd.DataFrame(rows, columns=pd.Index(names), dtype=object)
    blobs = table.pop(geometry)
    points = shapely.from_wkb(np.array([_well_known(path, b) for b in blobs], dtype=object))
    return with_points(geopandas.GeoDataFrame(table.infer_objects(), geometry=points, crs=crs))


def _limited(base: sqlite3.Connection) -> sqlite3.Connection:
    """Return a database that cannot attach files, with limits on time and size."""
    allowed = {
        sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_RECURSIVE,
    }  # fmt: skip
    base.execute("PRAGMA trusted_schema = OFF")
    base.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY
    )
    end = time.monotonic() + _SECONDS
    base.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2**24)
    base.text_factory = lambda text: text.decode(errors="replace")
    return base


def _layer(path: Path, base: sqlite3.Connection) -> tuple[str, str, Any]:
    """Return the first layer with features, its column of points and its CRS."""
    import pyproj

    layers = base.execute(
        "SELECT c.table_name, g.column_name, g.srs_id FROM gpkg_contents c "
        "JOIN gpkg_geometry_columns g ON g.table_name = c.table_name "
        "JOIN sqlite_master m ON m.name = c.table_name WHERE c.data_type = 'features'"
    ).fetchmany(100)
    if not layers:
        raise ObservationError(
            f"{path.name} holds no layer of points: write the stations as points"
        )
    if len(layers) > 1:
        names = listed(layer for layer, *_ in layers)
        logger.warning("%s: the first of its layers is read: %s", path.name, names)
    layer, geometry, system = layers[0]
    if system in (0, -1):
        return layer, geometry, None
    (organisation, number, definition) = base.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys "
        "WHERE srs_id = ?",
        (system,),
    ).fetchone() or ("", 0, "")
    try:
        return layer, geometry, pyproj.CRS.from_authority(str(organisation), number)
    except pyproj.exceptions.CRSError:
        return layer, geometry, pyproj.CRS.from_wkt(str(definition))


def _rows(
    path: Path, base: sqlite3.Connection, layer: str
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the names of the columns but for the number of the row, and the rows."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    described = base.execute(f"PRAGMA table_info({quoted(layer)})").fetchmany(10_000)
    names = [name for _, name, kind, _, _, key in described if not (key and "INT" in kind.upper())]
    booleans = {name for _, name, kind, *_ in described if kind.upper() == "BOOLEAN"}
    columns = ", ".join(map(quoted, names))
    chosen = base.execute(f"SELECT {columns} FROM {quoted(layer)}")  # noqa: S608, names are quoted
    rows: list[tuple[Any, ...]] = []
    while several := chosen.fetchmany(10_000):
        rows += several
        refuse_bomb(path.name, 64 * len(rows) * len(names), path.stat().st_size, ratio=ARRAY_RATIO)
    if booleans:
        rows = [
            tuple(
                bool(value) if name in booleans and value is not None else value
                for name, value in zip(names, row, strict=True)
            )
            for row in rows
        ]
    return names, rows


def _well_known(path: Path, blob: object) -> bytes:
    """Return the well-known binary of a point in a GeoPackage."""
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < 8:
        raise ObservationError(
            f"{path.name} has rows without a point; found {str(blob)[:40]!r}. Drop them, or give "
            "them a position"
        )
    return blob[8 + _ENVELOPES[min(blob[3] >> 1 & 7, 4)] :]


def _geojson(path: Path) -> pd.DataFrame:
    """Return the points and properties of GeoJSON, which is in WGS84 unless it says otherwise."""
    import geopandas
    import shapely

    check_size(path.name, 30 * path.stat().st_size)
    stored = path.read_bytes()
    try:
        content = json.loads(stored.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        start = stored[:16]
        raise ObservationError(f"{_other_format(path, 'GeoJSON', start)} ({error})") from error
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list) or not features:
        raise ObservationError(
            f"{path.name} holds no features: write a FeatureCollection of points"
        )
    rows, places = [], []
    for number, feature in enumerate(features, 1):
        part = _mapping(feature)
        shape = _mapping(part.get("geometry"))
        place = shape.get("coordinates")
        if shape.get("type") != "Point" or not isinstance(place, list) or not _is_place(place):
            kind = shape.get("type", feature)
            raise ObservationError(
                f"stations must be points; found {str(kind)[:60]} (feature {number})"
            )
        rows.append(_mapping(part.get("properties")))
        places.append(place[:2])
    points = shapely.points(np.array(places, dtype=np.float64))
    crs = _named_crs(content.get("crs"))
    return with_points(geopandas.GeoDataFrame(pd.DataFrame(rows), geometry=points, crs=crs))


def _mapping(item: object) -> dict[str, Any]:
    """Return a mapping of JSON, an empty one for anything else."""
    return item if isinstance(item, dict) else {}


def _is_place(place: list[Any]) -> bool:
    """Return whether a list is two numbers or more."""
    pair = [x for x in place[:2] if isinstance(x, (int, float)) and not isinstance(x, bool)]
    return len(pair) == 2


def _named_crs(member: object) -> str:
    """Return the CRS that older GeoJSON names, WGS84 if it names none."""
    if member is None:
        return "EPSG:4326"
    name = json.dumps(member)
    match = re.search(r"EPSG:[\d.]*:?(\d{4,6})\b", name)
    if match or "CRS84" in name:
        return f"EPSG:{match[1]}" if match else "EPSG:4326"
    raise ObservationError(f"unknown CRS {name[:80]}: write the points in WGS84, without 'crs'")


def _shapefile(path: Path) -> pd.DataFrame:
    """Return the points of a shapefile, once its numbers are seen to be numbers."""
    import geopandas

    table = next(
        (f for f in (path.with_suffix(".dbf"), path.with_suffix(".DBF")) if f.exists()), None
    )
    if table is not None:
        _check_numbers(table)
    inspect([path], "shapefile")
    return with_points(geopandas.read_file(path.absolute(), engine="pyogrio"))


def _check_numbers(path: Path) -> None:
    """Refuse text in the columns of numbers of a DBF table, which GDAL would take for 0."""
    content = path.read_bytes()
    count = int.from_bytes(content[4:8], "little")
    head, width = (int.from_bytes(content[at : at + 2], "little") for at in (8, 10))
    if len(content) < head + count * width or width == 0:
        raise ObservationError(f"{path.name} is cut off: fetch it anew")
    records = np.frombuffer(content, dtype=f"S{width}", count=count, offset=head)
    for name, kind, start, length in _fields(content[32:head]):
        if kind not in b"NF":
            continue
        raw = records.view(np.uint8).reshape(count, width)[:, start : start + length]
        words, rows = np.unique(np.ascontiguousarray(raw).view(f"S{length}"), return_index=True)
        for word, row in zip(words.tolist(), rows.tolist(), strict=True):
            text = word.decode("latin-1").strip(" \0*")
            if text and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
                raise ObservationError(
                    f"row {row + 1} of {path.name}: {name} must be a number or missing; found "
                    f"{text!r}. Leave it empty if it is missing"
                )


def _fields(head: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Yield the name, kind, place and length of the columns of a DBF table."""
    start = 1
    for at in range(0, len(head) - 31, 32):
        if head[at] == 0x0D:
            return
        name = head[at : at + 11].split(b"\0")[0].decode("latin-1")
        length = head[at + 16]
        if length:
            yield name, head[at + 11], start, length
        start += length
