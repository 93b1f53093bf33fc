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
    source: Annotated[
        str | None,
        _reading_option(help="Whose file it is: see 'aqreanalysis sources'. Default: told by it."),
    ] = None,
    format: Annotated[
        str | None,
        _reading_option(
            help="Layout of your own file: long, wide (a column a station), hours (a column an "
            "hour), netcdf; or a source. Default: told by it."
        ),
    ] = None,
    also: Annotated[
        list[Path] | None, _reading_option(metavar="FILE", help="A further file. Repeatable.")
    ] = None,
    column: Annotated[
        list[str] | None,
        _reading_option(
            "--column",
            metavar="ROLE=NAME",
            help="Column of a role or pollutant: station=code, pm25=value. Repeatable.",
        ),
    ] = None,
    station: Annotated[
        str | None, _reading_option(help="The one station of a file that does not name it.")
    ] = None,
    stations: Annotated[
        Path | None,
        _reading_option(help="Table with station, longitude, latitude, where OBS has none."),
    ] = None,
    station_column: Annotated[
        list[str] | None,
        _reading_option(
            metavar="ROLE=NAME",
            help="Column of that table: id=code is what OBS calls a station. Repeatable.",
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        _reading_option(help="Zone of times that name none: UTC+8, Asia/Shanghai."),
    ] = None,
    time_label: Annotated[
        str | None,
        _reading_option(help="Whether a time labels the start or the end of its hour."),
    ] = None,
    time_format: Annotated[
        str | None, _reading_option(help="Of times that are numbers: %Y%m%d%H, or unix.")
    ] = None,
    date_order: Annotated[
        str | None, _reading_option(help="What comes first in 03/04/2020: day or month.")
    ] = None,
    units: Annotated[
        str | None,
        _reading_option(help="Units that OBS does not tell: mg/m3, or co=mg/m3,no2=ppb."),
    ] = None,
    missing: Annotated[
        list[str] | None,
        _reading_option(help="Code of a missing value, such as -99. Repeatable."),
    ] = None,
    valid: Annotated[
        list[str] | None,
        _reading_option(
            metavar="COLUMN=VALUE",
            help="What a row must hold: 'QC Code=0', 'Validity>=1', flag=A,B. Repeatable.",
        ),
    ] = None,
    duplicates: Annotated[
        str,
        _reading_option(help="Different values of one station and hour: error, mean or first."),
    ] = "error",
    monitor: Annotated[
        str | None,
        _reading_option(help="Of several monitors a station: mean, first, best or keep."),
    ] = None,
    resample: Annotated[
        str | None, _reading_option(help="Means of whole periods, such as 1h, of finer times.")
    ] = None,
    capture: Annotated[
        float, _reading_option(help="Share of its period that such a mean needs.")
    ] = 0.75,
    statistic: Annotated[
        str | None,
        _reading_option(
            help="What a value in OBS is of its period: maximum, minimum. Default: the mean."
        ),
    ] = None,
    encoding: Annotated[
        str | None, _reading_option(help="Of a text that is not UTF-8: latin-1, big5.")
    ] = None,
    decimal: Annotated[
        str | None, _reading_option(help="Sign of decimals, '.' or ','. Default: found.")
    ] = None,
    header: Annotated[
        str | None,
        _reading_option(help="Lines above the column names, or none. Default: found."),
    ] = None,
    crs: Annotated[
        str | None, _reading_option(help="Of positions that are no degrees: EPSG:3857.")
    ] = None,
    skip_unplaced: Annotated[
        bool, _reading_option("--skip-unplaced", help="Leave out stations without a position.")
    ] = False,
    split_moved: Annotated[
        bool, _reading_option("--split-moved", help="Tell the places of a moved station apart.")
    ] = False,
    strict: Annotated[
        bool, _reading_option("--strict", help="Harmless faults are errors too.")
    ] = False,
) -> xr.Dataset:
    """Return the observations of a station file; the keywords are options of every command."""
    from aqreanalysis.observations import open_observations

    by_variable = units is not None and "=" in units
    return open_observations(
        [path, *also] if also else path,
        source=source,
        format=format,
        columns=_pairs("--column", column or []),
        station=station,
        stations=stations,
        station_columns=_pairs("--station-column", station_column or []),
        time_zone=time_zone,
        time_label=time_label,  # type: ignore[arg-type]
        time_format=time_format,
        date_order=date_order,  # type: ignore[arg-type]
        units=_pairs("--units", str(units).split(",")) if by_variable else units,
        missing=[code for text in missing or [] for code in text.split(",")],
        valid=valid,
        duplicates=duplicates,  # type: ignore[arg-type]
        monitor=monitor,  # type: ignore[arg-type]
        resample=resample,
        capture=capture,
        statistic=statistic,  # type: ignore[arg-type]
        encoding=encoding,
        decimal=decimal,
        header=_lines(header),
        crs=crs,
        skip_unplaced=skip_unplaced,
        split_moved=split_moved,
        strict=strict,
    )


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``reading`` of a command by the options of `read_stations`.

    The command gets `read_stations` with these options set. Typer reads a command's options from
    its signature alone, so the signature lists both. Where the command has a statistic of its own,
    the mean or the median of an estimate, "maximum" and "minimum" are said of the observations.
    """
    _, *options = inspect.signature(read_stations).parameters.values()
    own = inspect.signature(command)
    parameters = [parameter for name, parameter in own.parameters.items() if name != "reading"]
    taken = {parameter.name for parameter in parameters}
    shown = [option for option in options if option.name not in taken]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        settings = {option.name: given.pop(option.name) for option in shown}
        if given.get("statistic") in ("maximum", "minimum"):
            settings["statistic"] = given["statistic"]
            given["statistic"] = own.parameters["statistic"].default
        command(**given, reading=functools.partial(read_stations, **settings))

    run.__signature__ = own.replace(parameters=[*parameters, *shown])  # type: ignore[attr-defined]
    return run


def _pairs(option: str, pairs: list[str]) -> dict[str, str]:
    """Return what pairs such as station=code say."""
    named = {left.strip(): right for left, _, right in (pair.partition("=") for pair in pairs)}
    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        example = "co=mg/m3,no2=ppb" if option == "--units" else "ROLE=NAME, such as station=code"
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
