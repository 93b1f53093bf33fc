"""How long a week of the United States takes to every format, and how large it becomes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xarray as xr

from aqreanalysis.exports import export
from aqreanalysis.product import open_product, write_netcdf
from benchmarks import sources
from benchmarks.speed import Timed, timed

#: West, east, south, north, and the side of a cell: 104 x 236 cells.
REGION, CELL = (-125.0, -66.0, 24.0, 50.0), 0.25
WEEK = slice("2011-07-01", "2011-07-07")
#: The limits of the US EPA's categories (2012).
LEVELS = (12.0, 35.5, 55.5, 150.5)
HEAD = "| format | layers | s of CPU | MB |\n|---|---|---:|---:|"


def written(folder: Path, data: Path) -> Iterator[str]:
    """Yield the rows of the table, each when its export is written."""
    observations = sources.usepa(data).sel(time=WEEK)
    options: dict[str, Any] = {"method": "kriging", "quantiles": (0.9,), "progress": False}
    field = observations.aqnet.reanalyse(grid=CELL, region=REGION, **options)
    series = observations.aqnet.reanalyse(at=observations, **options)
    yield from lines(folder, field, series)


def lines(folder: Path, field: xr.Dataset, series: xr.Dataset) -> Iterator[str]:
    """Yield the rows of a field and of series at stations, which are written to NetCDF first."""
    folder.mkdir(exist_ok=True)
    yield HEAD
    first = timed("`.nc`", 0, lambda: write_netcdf(field, folder / "field.nc"), repeats=1)
    yield _row(first, "all, computed with it", folder / "field.nc")
    write_netcdf(series, folder / "series.nc")
    for name, layers, source, make, choice in _CASES:
        target, product = folder / name, make(open_product(folder / source))
        work = _exporting(product, target, choice)
        words = f"`{target.suffix}`" if target.suffix else f"folder, a file of each {choice['per']}"
        yield _row(timed(words, 0, work, repeats=1), layers, target)


def _exporting(product: xr.Dataset, target: Path, choice: dict[str, Any]) -> Callable[[], Path]:
    """Return the export of a product."""
    return lambda: export(product, target, overwrite=True, progress=False, **choice)


def _row(result: Timed, layers: str, path: Path) -> str:
    """Return the row of an export."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files) / 1e6
    return f"| {result.name} | {layers} | {result.cpu_seconds:.1f} | {size:.1f} |"


def _same(product: xr.Dataset) -> xr.Dataset:
    return product


def _index(product: xr.Dataset) -> xr.Dataset:
    return product.aqnet.index("us_epa")


_CATEGORY = {"variable": "index_category"}
#: File, layers in words, source, what is made of it, and what is chosen.
_CASES: tuple[tuple[str, str, str, Callable[[xr.Dataset], xr.Dataset], dict[str, Any]], ...] = (
    ("bands.tif", "`pm25`", "field.nc", _same, {"variable": "pm25"}),
    ("hours", "`pm25`", "field.nc", _same, {"variable": "pm25", "per": "hour"}),
    ("days", "`pm25`", "field.nc", _same, {"variable": "pm25", "per": "day"}),
    ("areas.gpkg", "`pm25`, 4 levels", "field.nc", _same, {"levels": LEVELS}),
    ("areas.parquet", "`pm25`, 4 levels", "field.nc", _same, {"levels": LEVELS}),
    ("index.tif", "US EPA's index, computed with it", "field.nc", _index, _CATEGORY),
    ("index.gpkg", "the same, areas", "field.nc", _index, _CATEGORY),
    ("index.parquet", "the same, areas", "field.nc", _index, _CATEGORY),
    ("field.zarr", "all", "field.nc", _same, {}),
    ("again.nc", "all", "field.nc", _same, {}),
    ("points.gpkg", "all, at stations", "series.nc", _same, {}),
    ("points.parquet", "all, at stations", "series.nc", _same, {}),
)
