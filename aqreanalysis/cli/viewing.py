"""A product as one page to look through: ``aqreanalysis view``."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.drawing import Hidden
from aqreanalysis.cli.exporting import described
from aqreanalysis.cli.options import Reader, with_reading
from aqreanalysis.cli.terminal import shows_progress
from aqreanalysis.conventions import TIME


@with_reading
def view(
    product: Annotated[
        Path,
        typer.Argument(
            metavar="PRODUCT",
            help="NetCDF or Zarr of reanalyse, outlook, aggregate, exceedance or index, or a "
            "quoted pattern of several.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write, in .html.")] = Path(
        "viewer.html"
    ),
    time: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START STOP", help="First and last hour or day, UTC. Default: all."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Layer to choose from on the page, such as pm25. Repeatable. Default: values, "
            "errors, flags, probabilities and index."
        ),
    ] = None,
    observations: Annotated[
        Path | None,
        typer.Option(metavar="OBS", help="Stations to draw over a grid and into their series."),
    ] = None,
    hidden: Hidden = None,
    limits: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Of the colours. Default: of nearly all values."),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            help="Of the local time beside UTC, as Asia/Shanghai. Default: by the longitude."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Instead of the product's own.")] = None,
    *,
    reading: Reader,
) -> None:
    """Write a product as one page: a map with a time slider, layers, and series of each place.

    The page opens in any browser and asks no network. Arrow keys step, the space bar plays, a
    click on a cell or station draws its series with the interval of 90 %. Examples:

    aqreanalysis view pm25.nc -o viewer.html

    aqreanalysis view pm25.nc -o beijing.html --observations stations.csv --time-zone Asia/Shanghai
    """
    from aqreanalysis.observations import selected_hours, utc_period
    from aqreanalysis.product import open_product
    from aqreanalysis.report import check_report_target
    from aqreanalysis.viewer import write_viewer

    check_report_target(output, what="viewer")
    with open_product(product) as opened:
        if time is not None:
            if TIME not in opened.dims:
                raise ValueError("--time is of products with one axis of hours; leave it out")
            opened = opened.isel(
                time=selected_hours(opened.time, utc_period(opened.time, slice(*time)))
            )
        written = write_viewer(
            opened,
            output,
            layers=layer or None,
            observations=reading(observations) if observations else None,
            hidden=hidden or None,
            limits=limits,
            time_zone=time_zone,
            title=title,
            progress=shows_progress(),
        )
    typer.echo(described(written))
