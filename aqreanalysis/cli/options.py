"""Arguments and options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import xarray as xr

from aqreanalysis import methods

#: Names of the methods, the default first.
METHODS = tuple(methods.METHODS)

StatisticName = Annotated[
    str,
    typer.Option(
        "--statistic",
        help="What the estimate is: median, or mean, of which averages are unbiased. maximum and "
        "minimum are said of the values in OBS.",
    ),
]
Observations = Annotated[
    Path,
    typer.Argument(
        metavar="OBS",
        help="Station file, folder, zip or quoted pattern: CSV, Excel, JSON, Parquet, NetCDF.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Variable = Annotated[
    str | None, typer.Option(help="Pollutant, such as pm10. Default: pm25, or the only one.")
]
Variables = Annotated[
    str | None,
    typer.Option(
        "--variable",
        metavar="NAMES",
        help="Pollutant, such as pm10, or several by comma: pm25,no2. Default: pm25, the only one, "
        "or those of --model.",
    ),
]
_PLACES = "Where to estimate"
GridSize = Annotated[
    str | None,
    typer.Option(
        "--grid",
        metavar="SIZE",
        help="Size of a cell in degrees, or in the units of --crs: 0.1, 5000; or height x width, "
        "0.5x0.625. Default: a quarter of the spacing of the stations.",
        rich_help_panel=_PLACES,
    ),
]
GridRegion = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(
        "--region",
        metavar="WEST EAST SOUTH NORTH",
        help="Degrees. Default: the extent of --clip, or else of the stations.",
        rich_help_panel=_PLACES,
    ),
]
GridCrs = Annotated[
    str | None,
    typer.Option(
        "--crs",
        help="Projection of the grid, as EPSG:32650. Default: degrees.",
        rich_help_panel=_PLACES,
    ),
]
GridLike = Annotated[
    Path | None,
    typer.Option(
        "--like",
        metavar="FILE",
        help="Take the very cells of this NetCDF or Zarr: a model's, another product's.",
        rich_help_panel=_PLACES,
    ),
]
Clip = Annotated[
    Path | None,
    typer.Option(
        metavar="POLYGONS",
        help="Cells outside are missing: .gpkg, .geojson, .shp or .parquet.",
        rich_help_panel=_PLACES,
    ),
]
Land = Annotated[
    bool, typer.Option("--land", help="Cells in the sea are missing.", rich_help_panel=_PLACES)
]
At = Annotated[
    Path | None,
    typer.Option(
        help="Table of stations to estimate, instead of a grid or of those of OBS.",
        rich_help_panel=_PLACES,
    ),
]
SavedModel = Annotated[
    Path | None, typer.Option(help="Folder of a saved model, instead of training one.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model and draws.")]
Period = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--time", metavar="START STOP", help="First and last hour or day, UTC. Default: all."
    ),
]
BackgroundFile = Annotated[
    Path | None,
    typer.Option(
        "--background",
        help="NetCDF of fields known everywhere, such as a model's: the stations tell the rest.",
    ),
]
GeographyNames = Annotated[
    str | None,
    typer.Option(
        "--geography",
        metavar="NAMES|FILE",
        help="Attributes of places that the stations' values depend on: all, those of altitude, "
        "relief, population_15km, population_80km, distance_to_coast by comma, or a NetCDF or "
        "GeoTIFF of yours. Altitudes in OBS come first. Default: what --model learned; the neural "
        "method sets places apart by all of them in any case, unless this is none.",
    ),
]
QualityName = Annotated[
    str,
    typer.Option(
        "--quality",
        help="Values that cannot be weather: mask leaves them out, flag counts them, or ignore.",
    ),
]
Creator = Annotated[str | None, typer.Option(help="Your name, for the product.")]
MetadataFile = Annotated[
    Path | None,
    typer.Option(
        "--metadata",
        metavar="FILE",
        help='TOML with attributes of ACDD for the product: institution = "...", license, '
        "project, publisher_name ...",
    ),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="NAME=VALUE",
        help="One of these, before those of the file: license='CC BY 4.0'. Repeatable.",
    ),
]
DimensionOrder = Annotated[
    str,
    typer.Option(
        help="Of series at stations in NetCDF: station_time, which CF prefers, or time_station, "
        "which CDO needs."
    ),
]
Quantiles = Annotated[
    list[float] | None,
    typer.Option(help="Probability, such as 0.95, of which a layer is added. Repeatable."),
]
#: Gives the observations of a station file.
Reader = Callable[[Path], xr.Dataset]


def _option(
    name: str, help: str, kind: Any = str | None, default: Any = None, **settings: Any
) -> inspect.Parameter:
    """Return an option of how to read OBS, in a panel of its own."""
    flag = f"--{name.replace('_', '-')}"
    option = typer.Option(flag, help=help, rich_help_panel="How to read OBS", **settings)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


_SEVERAL = list[str] | None
#: What options take that are pairs, but for roles of columns.
_EXAMPLES = {
    "--units": "co=mg/m3,no2=ppb",
    "--attribute": "NAME=VALUE, such as license='CC BY 4.0'",
    "--panel": "an hour, value, uncertainty, a layer, draw=3, start=HOUR or a file",
}
#: Options of how to read OBS: those of `open_observations`, of every command.
READING = (
    _option("source", "Whose file it is: see 'aqreanalysis sources'. Default: told by it."),
    _option(
        "format",
        "Layout of your own file: long, wide (a column a station), hours (a column an hour), "
        "netcdf; or a source. Default: told by it.",
    ),
    _option("also", "A further file. Repeatable.", list[Path] | None, metavar="FILE"),
    _option(
        "column",
        "Column of a role or pollutant: station=code, pm25=value. Repeatable.",
        _SEVERAL,
        metavar="ROLE=NAME",
    ),
    _option("station", "The one station of a file that does not name it."),
    _option(
        "stations", "Table with station, longitude, latitude, where OBS has none.", Path | None
    ),
    _option(
        "station_column",
        "Column of that table: id=code is what OBS calls a station. Repeatable.",
        _SEVERAL,
        metavar="ROLE=NAME",
    ),
    _option("time_zone", "Zone of times that name none: UTC+8, Asia/Shanghai."),
    _option("time_label", "Whether a time labels the start or the end of its hour."),
    _option("time_format", "Of times that are numbers: %Y%m%d%H, or unix."),
    _option("date_order", "What comes first in 03/04/2020: day or month."),
    _option("units", "Units that OBS does not tell: mg/m3, or co=mg/m3,no2=ppb."),
    _option("missing", "Code of a missing value, such as -99. Repeatable.", _SEVERAL),
    _option(
        "valid",
        "What a row must hold: 'QC Code=0', 'Validity>=1', flag=A,B. Repeatable.",
        _SEVERAL,
        metavar="COLUMN=VALUE",
    ),
    _option(
        "duplicates",
        "Different values of one station and hour: error, mean, first or last (corrected rows).",
        str,
        "error",
    ),
    _option("monitor", "Of several monitors a station: mean, first, best or keep."),
    _option("resample", "Means of whole periods, such as 1h, of finer times."),
    _option("capture", "Share of its period that such a mean needs.", float, 0.75),
    _option(
        "statistic", "What a value in OBS is of its period: maximum, minimum. Default: the mean."
    ),
    _option("encoding", "Of a text: cp1250, big5. Default: told by it."),
    _option("decimal", "Sign of decimals, '.' or ','. Default: found."),
    _option("header", "Lines above the column names, or none. Default: found."),
    _option("crs", "Of positions that are no degrees: EPSG:3857."),
    _option("skip_unplaced", "Leave out stations without a position.", bool, False),
    _option("split_moved", "Tell the places of a moved station apart.", bool, False),
    _option("strict", "Harmless faults are errors too.", bool, False),
    _option(
        "period",
        "First and last hour or day of OBS to be used, UTC. Of an archive no other is read.",
        tuple[str, str] | None,
        metavar="START STOP",
    ),
)


def cell_size(text: str | None) -> float | tuple[float, float] | None:
    """Return what ``--grid`` says: one size of a cell, or its height and width.

    Examples
    --------
    >>> cell_size("0.1"), cell_size("0.5x0.625")
    (0.1, (0.5, 0.625))
    """
    if text is None:
        return None
    try:
        sides = [float(side) for side in text.lower().replace("×", "x").split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise ValueError(
            "--grid takes the size of a cell, 0.1, or its height and width, 0.5x0.625; found "
            f"{text!r}"
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def variables_of(text: str | None) -> str | list[str] | None:
    """Return the pollutants of ``--variable``: none, one, or a list of several.

    Examples
    --------
    >>> variables_of("pm25"), variables_of("pm25, no2")
    ('pm25', ['pm25', 'no2'])
    """
    if text is None or "," not in text:
        return text
    return [word.strip() for word in text.split(",") if word.strip()]


def read_stations(path: Path, **options: Any) -> xr.Dataset:
    """Return the observations of a station file, and of further ones, by the options `READING`."""
    from aqreanalysis.observations import open_observations

    files, settings = files_and_options(path, **options)
    return open_observations(files if len(files) > 1 else path, **settings)


def files_and_options(
    path: Path, *, also: list[Path] | None, **options: Any
) -> tuple[list[Path], dict[str, Any]]:
    """Return all files, and the options `READING` as `open_observations` takes them."""
    units = options["units"]
    if units is not None and "=" in units:
        options["units"] = pairs_of("--units", units.split(","))
    options["columns"] = pairs_of("--column", options.pop("column") or [])
    options["station_columns"] = pairs_of("--station-column", options.pop("station_column") or [])
    options["missing"] = [code for text in options["missing"] or [] for code in text.split(",")]
    options["header"] = _lines(options["header"])
    options["period"] = slice(*options["period"]) if options["period"] else None
    return [path, *(also or [])], options


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``reading`` of a command by the options `READING`.

    The command gets `read_stations` with these options set. Typer reads a command's options from
    its signature alone, so the signature lists both. Where the command has a statistic of its own,
    the mean or the median of an estimate, "maximum" and "minimum" are said of the observations.
    """
    own = inspect.signature(command)
    parameters = [parameter for name, parameter in own.parameters.items() if name != "reading"]
    taken = {parameter.name for parameter in parameters}
    shown = [option for option in READING if option.name not in taken]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        settings = {option.name: given.pop(option.name) for option in shown}
        if given.get("statistic") in ("maximum", "minimum"):
            settings["statistic"] = given["statistic"]
            given["statistic"] = own.parameters["statistic"].default
        command(**given, reading=functools.partial(read_stations, **settings))

    run.__signature__ = own.replace(parameters=[*parameters, *shown])  # type: ignore[attr-defined]
    return run


def pairs_of(option: str, pairs: list[str]) -> dict[str, str]:
    """Return what pairs such as station=code say."""
    named = {left.strip(): right for left, _, right in (pair.partition("=") for pair in pairs)}
    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        example = _EXAMPLES.get(option, "ROLE=NAME, such as station=code")
        raise ValueError(f"{option} takes {example}; found {wrong[0]!r}")
    return named


def _lines(header: str | None) -> int | str | None:
    """Return the number of lines above the names, or "none"."""
    if header is None or header.lower() == "none":
        return None if header is None else "none"
    try:
        return int(header)
    except ValueError as error:
        raise ValueError(
            f"--header takes a number of lines, such as 16, or none; found {header!r}"
        ) from error
