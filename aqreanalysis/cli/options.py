"""Arguments and options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from aqreanalysis.observations.sources import FORMATS

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

_PANEL = "How to read OBS"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How to read a station file; each field is an option of the commands that do."""

    format: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(FORMATS)}. Default: told by the file.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    stations: Annotated[
        Path | None,
        typer.Option(
            help="Table with station, longitude, latitude, where OBS has none.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    time_zone: Annotated[
        str | None,
        typer.Option(
            help="Zone of times that name none: UTC+8, Asia/Shanghai.", rich_help_panel=_PANEL
        ),
    ] = None
    time_label: Annotated[
        str | None,
        typer.Option(
            help="Whether a time labels the start or the end of its hour.", rich_help_panel=_PANEL
        ),
    ] = None
    units: Annotated[
        str | None,
        typer.Option(help="Units of the values, where OBS does not tell.", rich_help_panel=_PANEL),
    ] = None
    duplicates: Annotated[
        str,
        typer.Option(
            help="Different values of one station and hour: error, mean or first.",
            rich_help_panel=_PANEL,
        ),
    ] = "error"
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="ROLE=NAME",
            help="Column of a role or pollutant: station=code, pm25=value. May be repeated.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def open(self, path: Path) -> Any:
        """Return the observations of a file."""
        from aqreanalysis.observations import open_observations

        return open_observations(
            path,
            format=self.format,
            stations=self.stations,
            time_zone=self.time_zone,
            time_label=self.time_label,  # type: ignore[arg-type]
            units=self.units,
            duplicates=self.duplicates,  # type: ignore[arg-type]
            columns=_named_columns(self.column or []),
        )


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the fields of `Reading` as options instead of its `reading`.

    Typer makes an option of each parameter of a signature, and none of a dataclass.
    """
    options = inspect.signature(Reading).parameters
    own = inspect.signature(command)
    kept = [parameter for name, parameter in own.parameters.items() if name != "reading"]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        reading = Reading(**{name: given.pop(name) for name in options})
        command(**given, reading=reading)

    called.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*kept, *options.values()]
    )
    return called


def _named_columns(pairs: list[str]) -> dict[str, str]:
    """Return the columns of pairs such as station=code."""
    named = dict(pair.partition("=")[::2] for pair in pairs)
    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        raise ValueError(f"--column takes ROLE=NAME, such as station=code; found {wrong[0]!r}")
    return named
