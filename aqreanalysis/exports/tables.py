"""Tables with geometries: GeoParquet that grows block by block, and GeoPackage made of it."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import geopandas

#: West, south, east and north of all that a table holds.
Extent = tuple[float, float, float, float]


def write_parquet(
    frames: Iterable["geopandas.GeoDataFrame"],
    path: Path,
    *,
    attributes: Mapping[str, str],
    extent: Extent,
) -> None:
    """Write frames, of the same columns, below each other; attributes become metadata.

    Geopandas knows tables that fit into memory, and writes each block here; the extent in the
    metadata is that of all.
    """
    import pyarrow.parquet as pq

    writer: Any = None
    try:
        for frame in frames:
            buffer = io.BytesIO()
            frame.to_parquet(buffer, index=False)
            buffer.seek(0)
            rows = pq.read_table(buffer)
            if writer is None:
                geo = json.loads(rows.schema.metadata[b"geo"])
                geo["columns"][geo["primary_column"]]["bbox"] = [float(edge) for edge in extent]
                own = {name.encode(): text.encode() for name, text in attributes.items()}
                metadata = {**own, **rows.schema.metadata, b"geo": json.dumps(geo).encode()}
                schema = rows.schema.with_metadata(metadata)
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(rows.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()


def parquet_to_geopackage(
    parquet: Path, path: Path, *, layer: str, geometry: str, attributes: Mapping[str, str]
) -> None:
    """Make a GeoPackage of a GeoParquet file, block by block; attributes become metadata."""
    import pyogrio
    from pyarrow import dataset

    table = dataset.dataset(parquet, format="parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    column = geo["primary_column"]
    crs = geo["columns"][column]["crs"]
    pyogrio.write_arrow(
        table.scanner().to_reader(),
        path,
        driver="GPKG",
        layer=layer,
        geometry_name=column,
        geometry_type=geometry,
        crs=json.dumps(crs),
        layer_metadata=dict(attributes),
        VERSION="1.2",  # which programs of 2018 read
    )
