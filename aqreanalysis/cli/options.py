"""Arguments and options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import xarray as xr

from aqreanalysis import methods
from aqreanalysis.observations.sources import FORMATS

#: Names of the methods, the default first.
METHODS = tuple(methods.METHODS)

StatisticName = Annotated[
    str,
    typer.Option(
        "--statistic",
        help="What the estimate is: median, or mean, of which averages are unbiased.",
    ),
]
Observations = Annotated[
    Path, typer.Argument(metavar="OBS", help="Station file: long or wide table, NetCDF, zip.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Variable = Annotated[
    str | None, typer.Option(help="Pollutant, such as pm10. Default: pm25, or the only one.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
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
QualityName = Annotated[
    str,
    typer.Option(
        "--quality",
        help="Values that cannot be weather: mask leaves them out, flag counts them, or ignore.",
    ),
]
Creator = Annotated[str | None, typer.Option(help="Your name, for the product.")]
Quantiles = Annotated[
    list[float] | None,
    typer.Option(help="Probability, such as 0.95, of which a layer is added. Repeatable."),
]
#: Gives the observations of a station file.
Reader = Callable[[Path], xr.Dataset]


def _reading_option(*names: str, **settings: Any) -> Any:
    """Return an option of how to read OBS, in a panel of its own."""
    return typer.Option(*names, rich_help_panel="How to read OBS", **settings)


def read_stations(
    path: Path,
    *,
    format: Annotated[
        str | None,
        _reading_option(help=f"{', '.join(FORMATS)}. Default: told by the file."),
    ] = None,
    stations: Annotated[
        Path | None,
        _reading_option(help="Table with station, longitude, latitude, where OBS has none."),
    ] = None,
    time_zone: Annotated[
        str | None,
        _reading_option(help="Zone of times that name none: UTC+8, Asia/Shanghai."),
    ] = None,
    time_label: Annotated[
        str | None,
        _reading_option(help="Whether a time labels the start or the end of its hour."),
    ] = None,
    units: Annotated[
        str | None, _reading_option(help="Units of the values, where OBS does not tell.")
    ] = None,
    duplicates: Annotated[
        str,
        _reading_option(help="Different values of one station and hour: error, mean or first."),
    ] = "error",
    column: Annotated[
        list[str] | None,
        _reading_option(
            "--column",
            metavar="ROLE=NAME",
            help="Column of a role or pollutant: station=code, pm25=value. May be repeated.",
        ),
    ] = None,
) -> xr.Dataset:
    """Return the observations of a station file; the keywords are options of every command."""
    from aqreanalysis.observations import open_observations

    return open_observations(
        path,
        format=format,
        stations=stations,
        time_zone=time_zone,
        time_label=time_label,  # type: ignore[arg-type]
        units=units,
        duplicates=duplicates,  # type: ignore[arg-type]
        columns=_named_columns(column or []),
    )


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``reading`` of a command by the options of `read_stations`.

    The command gets `read_stations` with these options set. Typer reads a command's options from
    its signature alone, so the signature lists both.
    """
    _, *options = inspect.signature(read_stations).parameters.values()
    own = inspect.signature(command)
    parameters = [parameter for name, parameter in own.parameters.items() if name != "reading"]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        settings = {option.name: given.pop(option.name) for option in options}
        command(**given, reading=functools.partial(read_stations, **settings))

    run.__signature__ = own.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
    return run


def _named_columns(pairs: list[str]) -> dict[str, str]:
    """Return the columns of pairs such as station=code."""
    named = dict(pair.partition("=")[::2] for pair in pairs)
    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        raise ValueError(f"--column takes ROLE=NAME, such as station=code; found {wrong[0]!r}")
    return named
