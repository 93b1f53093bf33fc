"""Tables with geometries: GeoParquet that grows block by block, and GeoPackage made of it."""

import io
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqreanalysis.atomic import explained
from aqreanalysis.product import ProductError

if TYPE_CHECKING:
    import geopandas

#: West, south, east and north of all that a table holds.
Extent = tuple[float, float, float, float]


class GeoParquetFile(AbstractContextManager):
    """A new GeoParquet file that grows block by block.

    Geopandas writes tables that fit into memory: each block goes through it, and the extent in the
    metadata becomes that of all.

    Parameters
    ----------
    path : Path
    target : Path
        The name that the file gets, for messages.
    attributes : mapping of str to str
        Metadata of the file.
    extent : tuple of float
    """

    def __init__(
        self, path: Path, target: Path, attributes: Mapping[str, str], extent: Extent
    ) -> None:
        self._path, self._target = path, target
        self._attributes, self._extent = attributes, extent
        self._writer: Any = None

    def add(self, frame: "geopandas.GeoDataFrame") -> None:
        """Append a block, of the same columns as the first one."""
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        buffer.seek(0)
        rows = pq.read_table(buffer)
        with explained(self._target, ProductError):
            if self._writer is None:
                schema = rows.schema.with_metadata(self._metadata(rows.schema.metadata))
                self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
            self._writer.write_table(rows.cast(self._writer.schema))

    def __exit__(self, *_: object) -> None:
        """Write the end of the file."""
        if self._writer is not None:
            with explained(self._target, ProductError):
                self._writer.close()

    def _metadata(self, of_block: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the metadata of the file from those of its first block."""
        geo = json.loads(of_block[b"geo"])
        geo["columns"][geo["primary_column"]]["bbox"] = [float(edge) for edge in self._extent]
        own = {name.encode(): text.encode() for name, text in self._attributes.items()}
        return {**own, **of_block, b"geo": json.dumps(geo).encode()}


def parquet_to_geopackage(
    parquet: Path, path: Path, *, layer: str, geometry: str, attributes: Mapping[str, str]
) -> None:
    """Make a GeoPackage of a GeoParquet file, block by block; attributes become metadata."""
    import pyogrio
    from pyarrow import RecordBatchReader
    from pyarrow.parquet import ParquetFile

    # In this thread alone: Arrow's scanner, read by GDAL, was seen to wait for its threads forever.
    with ParquetFile(parquet, pre_buffer=False) as file:
        schema = file.schema_arrow
        geo = json.loads(schema.metadata[b"geo"])
        column = geo["primary_column"]
        crs = geo["columns"][column]["crs"]
        pyogrio.write_arrow(
            RecordBatchReader.from_batches(schema, file.iter_batches(use_threads=False)),
            path,
            driver="GPKG",
            layer=layer,
            geometry_name=column,
            geometry_type=geometry,
            crs=json.dumps(crs),
            layer_metadata=dict(attributes),
            VERSION="1.2",  # which programs of 2018 read
        )
