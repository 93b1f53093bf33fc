"""GeoPackage, GeoParquet: stations with their hours or scores, zones, and contours of maps."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from aqreanalysis.atomic import atomic_file, check_target, explained
from aqreanalysis.conventions import STATION, ZONE
from aqreanalysis.exports.choice import texts_of
from aqreanalysis.exports.contours import ContourTable
from aqreanalysis.exports.points import StationTable, ZoneRows, ZoneTable
from aqreanalysis.exports.tables import GeoParquetFile, parquet_to_geopackage
from aqreanalysis.product import ProductError

_FORMATS = {".gpkg": "GeoPackage", ".parquet": "GeoParquet"}
_EXTENTS = ("time_coverage_", "geospatial_")
#: What SQLite leaves beside a file that is open, or whose program was killed.
_UNWRITTEN = ("-wal", "-journal")


def write_geopackage(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    variable: str | Sequence[str] | None = None,
    levels: Sequence[float] = (),
    overwrite: bool = True,
    progress: bool = True,
) -> Path:
    """Return the path of the GeoPackage, whose layer is ``stations``, ``zones`` or ``contours``.

    Of stations there is a point for each station and step, with begin and end of the step in UTC,
    or for each station and method of scores; of zones the same with their polygons. Of a grid there
    is a polygon for each step and each class, such as of an index or a flag, or each range between
    levels: below the first, between two, above the last.

    Parameters
    ----------
    product : Dataset
        A product or observations ``(station, time)``, scores of
        `aqreanalysis.verification.metrics` by station, or a product on a grid.
    path : path
        A name in .gpkg.
    variable : str or sequence of str, optional
        Layers; by default all of stations, and of a grid the only pollutant.
    levels : sequence of float, optional
        Of a grid's numbers, in their unit, increasing.
    overwrite : bool
        Whether an earlier file of that name is replaced.
    progress : bool
        Show a progress bar, where there is a terminal.

    Raises
    ------
    ProductError
        If levels are missing, do not increase or lie all outside of the values, a layer has more
        dimensions than time and place, or the file cannot be written.

    Examples
    --------
    >>> import aqreanalysis as aqr, geopandas, tempfile
    >>> obs = aqr.synthetic_network(hours=2, seed=0).observations
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_geopackage(obs, f"{folder}/obs.gpkg", variable="pm25", progress=False)
    ...     geopandas.read_file(written).columns.tolist()
    ['station', 'name', 'time_begin', 'time_end', 'pm25', 'geometry']
    """
    return _write(product, path, ".gpkg", variable, levels, overwrite, progress)


def write_geoparquet(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    variable: str | Sequence[str] | None = None,
    levels: Sequence[float] = (),
    overwrite: bool = True,
    progress: bool = True,
) -> Path:
    """Return the path of the GeoParquet file with the table that `write_geopackage` writes.

    Parameters
    ----------
    product, variable, levels, overwrite, progress
        As of `write_geopackage`.
    path : path
        A name in .parquet.

    Raises
    ------
    ProductError
        As of `write_geopackage`.

    Examples
    --------
    >>> import aqreanalysis as aqr, geopandas, tempfile
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.2, method="idw", time="2020-11-01T10")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/areas.parquet"
    ...     table = geopandas.read_parquet(write_geoparquet(product, path, levels=[50, 75, 100]))
    >>> table[["lower", "upper"]].values.tolist()
    [[nan, 50.0], [50.0, 75.0], [75.0, 100.0]]
    """
    return _write(product, path, ".parquet", variable, levels, overwrite, progress)


def check_table(path: str | os.PathLike[str], suffix: str, *, overwrite: bool) -> Path:
    """Return the real path of a table; refuse one that cannot be written."""
    target = Path(os.path.realpath(path))
    if Path(path).suffix.lower() != suffix:
        raise ProductError(f"end the name in {suffix}; found {os.fspath(path)!r}")
    check_target(target, overwrite=overwrite, error=ProductError)
    if suffix == ".gpkg":
        _check_closed(target)
    return target


def _check_closed(target: Path) -> None:
    """Refuse a GeoPackage with changes beside it: programs would put them into the new one."""
    for ending in _UNWRITTEN:
        changes = f"{target}{ending}"
        if os.path.exists(changes) and os.path.getsize(changes):
            raise ProductError(
                f"{changes} holds changes of an earlier {target.name}, which would get into the "
                "new one. Close the program that has it open, or remove them; or name another file"
            )


def _write(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    suffix: str,
    variable: str | Sequence[str] | None,
    levels: Sequence[float],
    overwrite: bool,
    progress: bool,
) -> Path:
    """Write the points of stations or the contours of a grid, block by block."""
    target = check_table(path, suffix, overwrite=overwrite)
    format = _FORMATS[suffix]
    source: StationTable | ContourTable
    if STATION in product.dims or ZONE in product.dims:
        layer = "stations" if STATION in product.dims else "zones"
        if np.size(levels):
            raise ProductError(f"levels are of grids, and this product is of {layer}")
        source = (ZoneTable if layer == "zones" else StationTable)(product, variable, format)
    else:
        source, layer = ContourTable(product, variable, levels, format), "contours"
    attributes = texts_of(
        # What is true of the product need not be of a part of it, and rows say it of themselves.
        {n: v for n, v in product.attrs.items() if not str(n).startswith(_EXTENTS)}
    )
    with atomic_file(target, error=ProductError) as partial:
        scratch = Path(tempfile.mkdtemp(dir=partial.parent))
        parquet, geopackage = scratch / "table.parquet", scratch / "table.gpkg"
        with GeoParquetFile(parquet, target, attributes, source.extent) as file:
            for frame in source.blocks(target, scratch, progress=progress):
                file.add(frame)
        if suffix == ".gpkg":
            with explained(target, ProductError):
                parquet_to_geopackage(
                    parquet,
                    geopackage,
                    layer=layer,
                    geometry=source.geometry,
                    attributes=attributes,
                )
            _check_closed(target)
        # Made under plain names: that of the target may have any signs, or be that of a link.
        os.replace(geopackage if suffix == ".gpkg" else parquet, partial)
    return Path(path)


def write_csv(
    product: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    variable: str | Sequence[str] | None = None,
    overwrite: bool = True,
    progress: bool = True,
) -> Path:
    """Return the path of the table of zones, a row for each zone and step, without polygons.

    Parameters
    ----------
    product : Dataset
        Of `aqreanalysis.derived.zone_means`.
    path : path
        A name in .csv.
    overwrite : bool
        Whether an earlier file of that name is replaced.
    variable, progress
        As of `write_geopackage`.

    Raises
    ------
    ProductError
        If the product is not of zones, or the file cannot be written.

    Examples
    --------
    >>> zones = xr.Dataset({"pm25": ("zone", [4.0])}, coords={"zone": ["A"], "code": ("zone", [7])})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_csv(zones, f"{folder}/zones.csv").read_text().splitlines()
    ['zone,code,pm25', 'A,7,4.0']
    """
    target = check_table(path, ".csv", overwrite=overwrite)
    if ZONE not in product.dims:
        raise ProductError(
            "a table of values is of zones, and this product is not: take means over polygons "
            "with product.aqnet.zones, or write observations with dataset.aqnet.to_table"
        )
    rows = ZoneRows(product, variable, "CSV")
    with atomic_file(target, error=ProductError) as partial, explained(target, ProductError):
        for number, frame in enumerate(rows.frames(f"writing {target.name}", progress=progress)):
            frame.to_csv(partial, index=False, header=number == 0, mode="a")
    return Path(path)
