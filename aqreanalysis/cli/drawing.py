"""Pictures of products: ``aqreanalysis map`` and ``animate``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aqreanalysis.cli.options import Reader, pairs_of, with_reading
from aqreanalysis.cli.terminal import shows_progress

_LOOK = "Colours and marks"
_AROUND = "What is written around"
Product = Annotated[
    Path,
    typer.Argument(
        metavar="PRODUCT",
        help="NetCDF or Zarr of reanalyse, outlook, index ..., or a quoted pattern of several.",
    ),
]
Layer = Annotated[
    str | None, typer.Option("--variable", help="Layer to draw, such as pm25 or index_category.")
]
Uncertainty = Annotated[
    bool, typer.Option("--uncertainty", help="Draw the standard error instead.")
]
Start = Annotated[str | None, typer.Option(help="Which outlook of a set: when it begins, UTC.")]
Draw = Annotated[int | None, typer.Option("--draw", help="One of the draws, from 0.")]
Stations = Annotated[
    Path | None, typer.Option(metavar="OBS", help="Stations to draw over the field.")
]
Hidden = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STATION", help="A station of OBS that the method did not see. Repeatable."
    ),
]
DegreesRegion = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(metavar="WEST EAST SOUTH NORTH", help="Degrees. Default: the whole product."),
]
City = Annotated[
    str | None, typer.Option(help="Its surroundings instead of --region, such as Beijing.")
]
Limits = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Of the colours. Default: round numbers that hold nearly all.",
        rich_help_panel=_LOOK,
    ),
]
Levels = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS", help="Boundaries of colours: 0,35,75,150.", rich_help_panel=_LOOK
    ),
]
ColourMap = Annotated[
    str | None,
    typer.Option(help="Of matplotlib or cmcrameri: viridis, batlow.", rich_help_panel=_LOOK),
]
Centre = Annotated[
    float | None,
    typer.Option(help="Value from which colours diverge. Of differences 0.", rich_help_panel=_LOOK),
]
LocalTime = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        help="Write the time there beside UTC: Asia/Shanghai.",
        rich_help_panel=_AROUND,
    ),
]
Title = Annotated[
    str | None, typer.Option(help="Instead of the product's own.", rich_help_panel=_AROUND)
]
NoTitle = Annotated[
    bool, typer.Option("--no-title", help="Neither title nor time.", rich_help_panel=_AROUND)
]
NoBar = Annotated[bool, typer.Option("--no-bar", help="No colour bar.", rich_help_panel=_AROUND)]
NoLegend = Annotated[bool, typer.Option("--no-legend", rich_help_panel=_AROUND)]
NoCaption = Annotated[
    bool,
    typer.Option(
        "--no-caption", help="Nothing of method, grid and sources.", rich_help_panel=_AROUND
    ),
]
NoCities = Annotated[bool, typer.Option("--no-cities", rich_help_panel=_AROUND)]


@with_reading
def draw(
    product: Product,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG, PDF or SVG.")],
    time: Annotated[
        str | None, typer.Option(help="An hour or a day, UTC. Default: the mean over all.")
    ] = None,
    variable: Layer = None,
    uncertainty: Uncertainty = False,
    start: Start = None,
    draw: Draw = None,
    panel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Several maps side by side, each an hour, value, uncertainty, a layer, draw=3, "
            "start=HOUR, or another product's file. Repeatable.",
        ),
    ] = None,
    columns: Annotated[int | None, typer.Option("--maps-per-row", help="Of several maps.")] = None,
    observations: Stations = None,
    hidden: Hidden = None,
    region: DegreesRegion = None,
    city: City = None,
    inset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CITY|W,E,S,N",
            help="A part enlarged in a corner: Beijing, or degrees. Up to three.",
        ),
    ] = None,
    limits: Limits = None,
    levels: Levels = None,
    cmap: ColourMap = None,
    centre: Centre = None,
    contours: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS|auto", help="Lines of equal value: 35,75.", rich_help_panel=_LOOK
        ),
    ] = None,
    size_by_value: Annotated[
        bool,
        typer.Option(
            "--size-by-value", help="Larger marks for higher values.", rich_help_panel=_LOOK
        ),
    ] = False,
    uncertain: Annotated[
        str | None,
        typer.Option(
            metavar="fade|hatch",
            help="Pale or hatched cells where the standard error is large.",
            rich_help_panel=_LOOK,
        ),
    ] = None,
    error_above: Annotated[
        float | None,
        typer.Option(help="From where on it is large, ug m-3.", rich_help_panel=_LOOK),
    ] = None,
    title: Title = None,
    local_time: LocalTime = None,
    no_title: NoTitle = False,
    no_bar: NoBar = False,
    no_legend: NoLegend = False,
    no_caption: NoCaption = False,
    no_cities: NoCities = False,
    *,
    reading: Reader,
) -> None:
    """Draw a product as a map with coastlines, borders, cities and, if given, its stations.

    Hours, layers, draws and methods can lie side by side, and parts be enlarged. Examples:

    aqreanalysis map us.nc -o us.png --time 2011-07-03T20

    aqreanalysis map china.nc -o north.png --time 2014-11-03T08 --inset Beijing --local-time
    Asia/Shanghai --levels 0,35,75,115,150,250

    aqreanalysis map pm25.nc -o both.png --time 2014-11-03T08 --panel value --panel uncertainty
    """
    from aqreanalysis.maps import save_map
    from aqreanalysis.product import open_product

    options = {
        **_style(limits, levels, cmap, centre, local_time),
        "inset": [_place(text) for text in inset or []] or None,
        "contours": _contours(contours),
        "size_by_value": size_by_value,
        "uncertain": uncertain,
        "error_above": error_above,
        "cities": not no_cities,
        "bar": not no_bar,
        "legend": not no_legend,
        "caption": not no_caption,
    }
    with open_product(product) as opened:
        several = {}
        if panel:
            several = {"panels": [_panel(text) for text in panel], "columns": columns}
        drawn = opened.aqnet.map(
            variable,
            time=time,
            start=start,
            draw=draw,
            observations=reading(observations) if observations else None,
            hidden=hidden or None,
            region=_region(region, city),
            what="uncertainty" if uncertainty else "value",
            title=False if no_title else title or True,
            **several,
            **options,
        )
        typer.echo(save_map(drawn, output))


@with_reading
def animate(
    product: Product,
    output: Annotated[Path, typer.Option("--output", "-o", help="MP4 (needs ffmpeg) or GIF.")],
    time: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="START STOP", help="First and last hour or day, UTC. Default: all."),
    ] = None,
    frames_per_second: Annotated[float, typer.Option(help="Hours a second.")] = 6.0,
    variable: Layer = None,
    uncertainty: Uncertainty = False,
    start: Start = None,
    draw: Draw = None,
    observations: Stations = None,
    hidden: Hidden = None,
    region: DegreesRegion = None,
    city: City = None,
    limits: Limits = None,
    levels: Levels = None,
    cmap: ColourMap = None,
    centre: Centre = None,
    title: Title = None,
    local_time: LocalTime = None,
    no_title: NoTitle = False,
    no_bar: NoBar = False,
    no_legend: NoLegend = False,
    no_caption: NoCaption = False,
    no_cities: NoCities = False,
    *,
    reading: Reader,
) -> None:
    """Draw the hours of a product one after the other, with colours of the same limits and a clock.

    Example: aqreanalysis animate pm25.nc -o week.mp4 --time 2014-11-01 2014-11-07 --observations
    stations.csv --local-time Asia/Shanghai
    """
    from aqreanalysis.product import open_product

    with open_product(product) as opened:
        written = opened.aqnet.animate(
            output,
            variable=variable,
            time=slice(*time) if time else None,
            start=start,
            draw=draw,
            observations=reading(observations) if observations else None,
            hidden=hidden or None,
            region=_region(region, city),
            what="uncertainty" if uncertainty else "value",
            title=False if no_title else title or True,
            frames_per_second=frames_per_second,
            progress=shows_progress(),
            cities=not no_cities,
            bar=not no_bar,
            legend=not no_legend,
            caption=not no_caption,
            **_style(limits, levels, cmap, centre, local_time),
        )
    typer.echo(f"{written}: {written.stat().st_size / 1e6:.3g} MB")


def _style(
    limits: tuple[float, float] | None,
    levels: str | None,
    cmap: str | None,
    centre: float | None,
    local_time: str | None,
) -> dict[str, Any]:
    """Return the options of a map and an animation that say how they are drawn."""
    return {
        "limits": limits,
        "levels": None if levels is None else _numbers("--levels", levels),
        "cmap": cmap,
        "centre": centre,
        "local_time": local_time,
    }


def _numbers(option: str, text: str) -> list[float]:
    """Return numbers that are separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} takes numbers, as 0,35,75,150; found {text!r}") from None


def _contours(text: str | None) -> bool | list[float]:
    """Return at which values lines are drawn, or whether at those of the colour bar."""
    if text is None:
        return False
    return True if text.strip() == "auto" else _numbers("--contours", text)


def _place(text: str) -> Any:
    """Return a region in degrees, or the name of a city."""
    return _numbers("--inset", text) if "," in text else text


def _region(degrees: tuple[float, float, float, float] | None, city: str | None) -> Any:
    """Return the region of a map, which is given in one way."""
    if degrees is not None and city is not None:
        raise ValueError("--city is instead of --region: leave one of them out")
    return city if degrees is None else degrees


def _panel(text: str) -> Any:
    """Return what one of several maps shows: another product, options, or one of the others."""
    from aqreanalysis.product import open_product

    if text.lower().endswith((".nc", ".nc4", ".zarr")):
        return open_product(text)
    if "=" not in text:
        return text
    options: dict[str, Any] = dict(pairs_of("--panel", text.split(",")))
    if "draw" in options:
        if not str(options["draw"]).isdecimal():
            raise ValueError(f"--panel takes the number of a draw, as draw=3; found {text!r}")
        options["draw"] = int(options["draw"])
    return options
