"""What is derived from a product: ``aggregate``, ``zones``, ``index`` and ``exceedance``."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from aqreanalysis.cli.outputs import check_product_name, opened_product, sizes, write_product
from aqreanalysis.cli.terminal import shows_progress
from aqreanalysis.conventions import MINIMUM_CAPTURE

Product = Annotated[
    Path,
    typer.Argument(
        metavar="PRODUCT",
        help="NetCDF or Zarr of reanalyse, or a quoted pattern of several, as 'pm25-2014-*.nc'.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="File to write, NetCDF or, in .zarr, a Zarr store.")
]
Statistic = Annotated[
    str,
    typer.Option(
        help="mean, max, mda8 (maximum of 8-hour means of a day), a percentile such as p98, "
        "or, with --limit, hours_above or days_above (days of which the mean is above it)."
    ),
]
Limit = Annotated[float | None, typer.Option(help="In ug m-3.")]
Capture = Annotated[float, typer.Option(help="Share of a period's hours that must be there.")]
TimeZone = Annotated[str, typer.Option(help="Whose days are meant, such as Asia/Shanghai.")]


def aggregate(
    product: Product,
    output: Output,
    period: Annotated[str, typer.Option(help="day, week, month, season or year.")] = "day",
    statistic: Statistic = "mean",
    limit: Limit = None,
    capture: Capture = MINIMUM_CAPTURE,
    time_zone: TimeZone = "UTC",
) -> None:
    """Average a product over calendar periods, or take maxima, percentiles or counts, with errors.

    The error of a mean follows from those of the hours and from how long errors last at stations
    that were left out; errors of the others need a product with draws ('reanalyse --draws 50').
    Example:

    aqreanalysis aggregate pm25.nc -o daily.nc --period day --time-zone Europe/Berlin

    aqreanalysis aggregate pm25.nc -o days.nc --period year --statistic days_above --limit 15
    """
    with _opened(product, output) as opened:
        summary = opened.aqnet.aggregate(
            period, statistic=statistic, limit=limit, capture=capture, time_zone=time_zone
        )
        _write(summary, output)


def zones(
    product: Product,
    polygons: Annotated[
        Path,
        typer.Argument(
            metavar="POLYGONS", help="A zone a row: .gpkg, .geojson, .shp or .parquet, in any CRS."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .gpkg or .parquet with the polygons, .csv, .nc or .zarr.",
        ),
    ],
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Pollutant. Repeatable. Default: all of the product."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column with the names of zones. Default: the first of texts that differ.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|population",
            help="People that count instead of the area: a GeoTIFF or NetCDF with their number in "
            "each cell, in any CRS, or 'population', a coarse field that comes with the package.",
        ),
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="day, week, month, season or year. Default: every hour.")
    ] = None,
    statistic: Statistic = "mean",
    limit: Limit = None,
    capture: Capture = MINIMUM_CAPTURE,
    time_zone: TimeZone = "UTC",
    coverage: Annotated[
        float, typer.Option(help="Share of a zone of which there must be an estimate.")
    ] = MINIMUM_CAPTURE,
) -> None:
    """Average a product over zones, such as districts, by area or by people, with errors.

    Cells at a border count with their area within. Statistics of a period are those of a zone's
    mean. Errors need a product with draws, best of the air ('reanalyse --draws 50 --draws-of air').
    As in:

    aqreanalysis zones pm25.nc districts.gpkg -o months.gpkg --period month --name code

    aqreanalysis zones pm25.nc districts.gpkg -o exposure.csv --period year --weights people.tif

    aqreanalysis zones pm25.nc districts.gpkg -o days.csv --period year --statistic days_above
    --limit 35
    """
    from aqreanalysis.exports import check_export, export

    if output.suffix.lower() not in (".gpkg", ".parquet", ".csv", ".nc", ".nc4", ".zarr"):
        raise ValueError(
            f"zones are written as .gpkg, .parquet, .csv, .nc or .zarr; found {str(output)!r}"
        )
    check_export(output, overwrite=True)
    with opened_product(product, output) as opened:
        means = opened.aqnet.zones(
            polygons,
            variable or None,
            name=name,
            weights=weights,
            period=period,
            statistic=statistic,
            limit=limit,
            capture=capture,
            time_zone=time_zone,
            coverage=coverage,
        )
        in_table = output.suffix.lower() in (".gpkg", ".parquet", ".csv")
        layers = list(means.data_vars) if in_table else None
        written = export(means, output, variable=layers, overwrite=True, progress=shows_progress())
    typer.echo(f"{written}: {', '.join(map(str, means.data_vars))}; {sizes(means)}")


def index(
    product: Product,
    output: Output,
    name: Annotated[
        str, typer.Option("--index", help="us_epa, china, europe or germany.")
    ] = "us_epa",
    variable: Annotated[
        list[str] | None,
        typer.Option(help="Pollutant that counts. Repeatable. Default: all of the index."),
    ] = None,
) -> None:
    """Add an air-quality index to a product, for every hour, with its categories and colours.

    Averages, such as the NowCast of the US EPA, end with the hour, so that the first hours of a
    product have none. Example:

    aqreanalysis index pm25.nc -o index.nc --index europe
    """
    with _opened(product, output) as opened:
        _write(opened.aqnet.index(name, variable or None), output)


def exceedance(
    product: Product,
    output: Output,
    limit: Annotated[list[float], typer.Option(help="In ug m-3. Repeatable.")],
    variable: Annotated[
        str | None, typer.Option(help="Pollutant. Default: the product's only one.")
    ] = None,
) -> None:
    """Add to a product the probability that a limit is exceeded, for every hour.

    Example: aqreanalysis exceedance pm25.nc -o above.nc --limit 35 --limit 75
    """
    with _opened(product, output) as opened:
        limits = limit if len(limit) > 1 else limit[0]
        _write(opened.aqnet.exceedance(limits, variable), output)


def _opened(path: Path, output: Path) -> AbstractContextManager[Any]:
    """Open a product, after a look at the name of what is made from it."""
    check_product_name(output)
    return opened_product(path, output)


def _write(layers: Any, output: Path) -> None:
    """Write layers and say what they are."""
    written = write_product(layers, output, progress=shows_progress())
    typer.echo(f"{written}: {', '.join(map(str, layers.data_vars))}; {sizes(layers)}")
