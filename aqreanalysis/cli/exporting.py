"""From a product to the formats of GIS and other tools: ``aqreanalysis export``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aqreanalysis.cli.options import Attributes, MetadataFile
from aqreanalysis.cli.outputs import metadata_of, opened_product
from aqreanalysis.cli.terminal import shows_progress
from aqreanalysis.conventions import TIME


def export(
    product: Annotated[
        Path, typer.Argument(metavar="PRODUCT", help="NetCDF of reanalyse, outlook or index.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="GeoTIFF (.tif, or a folder, for a file an hour), GeoPackage (.gpkg), GeoParquet "
            "(.parquet), .zarr or .nc.",
        ),
    ],
    variable: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer, such as pm25_uncertainty or index_category. Repeatable where there is "
            "room. Default: the pollutant; of stations all layers."
        ),
    ] = None,
    time: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START STOP", help="First and last hour or day, UTC. Default: all."),
    ] = None,
    per: Annotated[
        str | None,
        typer.Option(
            help="What is in a GeoTIFF: bands, all hours in one file; hour, a file each; day, the "
            "hours of a day of UTC. Default: bands of a .tif, hour of a folder."
        ),
    ] = None,
    level: Annotated[
        list[float] | None,
        typer.Option(
            help="Contours of a grid as polygons: below, between and above levels. Repeatable. "
            "Classes, as of index_category, need none."
        ),
    ] = None,
    dimension_order: Annotated[
        str | None,
        typer.Option(
            help="Of series at stations in .nc: station_time or time_station, which CDO needs."
        ),
    ] = None,
    metadata: MetadataFile = None,
    attribute: Attributes = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there under that name.")
    ] = False,
) -> None:
    """Export a product for GIS and other tools, in the format of the output's ending.

    Grids become GeoTIFF, or polygons between levels; stations become points, one an hour. Examples:

    aqreanalysis export pm25.nc -o pm25.tif

    aqreanalysis export pm25.nc -o maps/ --time 2014-11-01 2014-11-02

    aqreanalysis export pm25.nc -o areas.gpkg --level 35 --level 75 --level 150

    aqreanalysis export index.nc -o index.gpkg --variable index_category
    """
    from aqreanalysis.exports import check_export
    from aqreanalysis.exports import export as write_export
    from aqreanalysis.observations import selected_hours, utc_period
    from aqreanalysis.product import with_metadata

    options: dict[str, Any] = {
        name: value
        for name, value in (
            ("per", per),
            ("levels", level),
            ("dimension_order", dimension_order),
        )
        if value
    }
    check_export(output, overwrite=overwrite, **options)
    stated = metadata_of(metadata, attribute)
    with opened_product(product, Path(output)) as opened:
        if time is not None:
            if TIME not in opened.dims:
                raise ValueError("--time is of products with one axis of hours; leave it out")
            hours = selected_hours(opened.time, utc_period(opened.time, slice(*time)))
            opened = opened.isel(time=hours)
        written = write_export(
            with_metadata(opened, stated),
            output,
            variable=variable or None,
            overwrite=overwrite,
            progress=shows_progress(),
            **options,
        )
    typer.echo(described(written))


def described(written: Path) -> str:
    """Return the path of an export with its size, and the number of files of a folder."""
    files = [each for each in written.rglob("*") if each.is_file()] if written.is_dir() else []
    size = sum(each.stat().st_size for each in files or [written]) / 1e6
    count = f"{len(files)} files, " if files else ""
    return f"{written}: {count}{size:.3g} MB"
