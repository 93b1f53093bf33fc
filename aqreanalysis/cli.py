"""The command ``aqreanalysis``: station files in, CF products and maps out."""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="aqreanalysis",
    help=(
        "Turn the measurements of an air-quality network into complete fields: stations in "
        "(CSV, Parquet, GeoPackage, NetCDF, US EPA, UCI), CF NetCDF and maps out.\n\n"
        "Example: aqreanalysis reanalyse stations.csv -o pm25.nc --grid 0.1 "
        "--time 2024-11-01 2024-11-07"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
datasets_app = typer.Typer(help="Public data sets to work with.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")

READING = "How to read OBS"
Observations = Annotated[
    Path, typer.Argument(metavar="OBS", help="Station file: long or wide table, NetCDF, zip.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
Variable = Annotated[
    str | None, typer.Option(help="Pollutant, such as pm10. Default: pm25, or the only one.")
]
Format = Annotated[
    str | None,
    typer.Option(
        help="long, wide, netcdf, uci, aqs or grin. Default: told by the file.",
        rich_help_panel=READING,
    ),
]
Stations = Annotated[
    Path | None,
    typer.Option(
        help="Table with station, longitude, latitude, where OBS has none.",
        rich_help_panel=READING,
    ),
]
TimeZone = Annotated[
    str | None,
    typer.Option(
        help="Zone of times that name none: UTC+8, Asia/Shanghai.", rich_help_panel=READING
    ),
]
TimeLabel = Annotated[
    str | None,
    typer.Option(
        help="Whether a time labels the start or the end of its hour.", rich_help_panel=READING
    ),
]
Units = Annotated[
    str | None,
    typer.Option(help="Units of the values, where OBS does not tell.", rich_help_panel=READING),
]
Duplicates = Annotated[
    str,
    typer.Option(
        help="Different values of one station and hour: error, mean or first.",
        rich_help_panel=READING,
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="ROLE=NAME",
        help="Column of a role or pollutant: station=code, pm25=value. May be repeated.",
        rich_help_panel=READING,
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
Period = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--time", metavar="START STOP", help="First and last hour or day, UTC. Default: all."
    ),
]


@app.callback()
def _configure(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors alone.")] = False,
) -> None:
    """Send what the package decides on its own to standard error."""
    logging.basicConfig(
        level=logging.ERROR if quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    logging.getLogger("distributed").setLevel(logging.WARNING)


@app.command()
def reanalyse(
    observations: Observations,
    output: Output,
    variable: Variable = None,
    grid: Annotated[
        float | None,
        typer.Option(help="Size of a cell in degrees. Default: a quarter of the spacing."),
    ] = None,
    region: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(
            metavar="WEST EAST SOUTH NORTH", help="Degrees. Default: the stations' extent."
        ),
    ] = None,
    at: Annotated[
        Path | None,
        typer.Option(help="Table of stations to estimate instead of a grid."),
    ] = None,
    time: Period = None,
    method: Annotated[
        str, typer.Option(help="neural, kriging, space_time_kriging or idw.")
    ] = "neural",
    model: Annotated[
        Path | None, typer.Option(help="Folder of a fitted model, instead of training one.")
    ] = None,
    seed: Seed = 0,
    creator: Annotated[str | None, typer.Option(help="Your name, for the product.")] = None,
    format: Format = None,
    stations: Stations = None,
    time_zone: TimeZone = None,
    time_label: TimeLabel = None,
    units: Units = None,
    duplicates: Duplicates = "error",
    column: Columns = None,
) -> None:
    """Write complete fields as a CF NetCDF product.

    A model is trained on all of OBS, then the fields of the asked period are written block by
    block. Example:

    aqreanalysis reanalyse hourly_88101_2011.zip --format aqs -o us.nc --grid 0.25
    --region -125 -66 24 50 --time 2011-07-01 2011-07-07
    """
    from aqreanalysis.observations import open_stations
    from aqreanalysis.reanalysis import Reanalyser, reanalyse

    _check_product_name(output)
    if model and method != "neural":
        raise ValueError(f"--model is a fitted model; leave out --method {method}, or --model")
    places = open_stations(at) if at else None
    fitted = Reanalyser.load(model) if model else None
    obs = _read(observations, format, stations, time_zone, time_label, units, duplicates, column)
    product = reanalyse(
        obs,
        variable,
        grid=grid,
        region=region,
        at=places,
        method=fitted or method,  # type: ignore[arg-type]
        time=slice(*time) if time else None,
        seed=seed,
        progress=_shows_progress(),
        creator=creator,
    )
    written = product.aqnet.to_netcdf(output, progress=_shows_progress())
    typer.echo(f"{written}: {_sizes(product)}")


@app.command()
def fit(
    observations: Observations,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model.")],
    variable: Variable = None,
    seed: Seed = 0,
    format: Format = None,
    stations: Stations = None,
    time_zone: TimeZone = None,
    time_label: TimeLabel = None,
    units: Units = None,
    duplicates: Duplicates = "error",
    column: Columns = None,
) -> None:
    """Train a model and save it as a folder of plain files."""
    _check_model_folder(output)
    obs = _read(observations, format, stations, time_zone, time_label, units, duplicates, column)
    fitted = obs.aqnet.fit(variable, seed=seed, progress=_shows_progress())
    typer.echo(f"{fitted.save(output)}: {fitted!r}")


@app.command(name="map")
def draw(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="NetCDF of reanalyse.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG, PDF or SVG.")],
    time: Annotated[
        str | None, typer.Option(help="An hour or a day, UTC. Default: the mean over all.")
    ] = None,
    variable: Annotated[str | None, typer.Option(help="Layer to draw.")] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Draw the standard error instead.")
    ] = False,
    observations: Annotated[
        Path | None, typer.Option(metavar="OBS", help="Stations to draw over the field.")
    ] = None,
    region: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="WEST EAST SOUTH NORTH", help="Degrees. Default: the whole product."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Instead of the product's own.")] = None,
    format: Format = None,
    stations: Stations = None,
    time_zone: TimeZone = None,
    time_label: TimeLabel = None,
    units: Units = None,
    duplicates: Duplicates = "error",
    column: Columns = None,
) -> None:
    """Draw a product as a map with coastlines, borders and, if given, its stations.

    Example: aqreanalysis map us.nc -o us.png --time 2011-07-03T20
    """
    from aqreanalysis.maps import save_map
    from aqreanalysis.product import open_product

    with open_product(product) as opened:
        drawn = opened.aqnet.map(
            variable,
            time=time,
            observations=_read(
                observations, format, stations, time_zone, time_label, units, duplicates, column
            )
            if observations
            else None,
            region=region,
            what="uncertainty" if uncertainty else "value",
            title=title,
        )
        typer.echo(save_map(drawn, output))


@app.command()
def validate(
    observations: Observations,
    format: Format = None,
    stations: Stations = None,
    time_zone: TimeZone = None,
    time_label: TimeLabel = None,
    units: Units = None,
    duplicates: Duplicates = "error",
    column: Columns = None,
) -> None:
    """Read a station file and say what is in it, or all that is wrong with it."""
    obs = _read(observations, format, stations, time_zone, time_label, units, duplicates, column)
    obs.aqnet.validate()
    typer.echo(repr(obs.aqnet.network))
    typer.echo(f"{str(obs.time.values[0])[:16]} to {str(obs.time.values[-1])[:16]} UTC")
    for name, values in obs.data_vars.items():
        if {"station", "time"} == set(values.dims):
            missing = float(values.isnull().mean())
            typer.echo(f"{name}: {values.attrs.get('units', 'no units')}, {missing:.1%} missing")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Run the whole path on a synthetic network whose truth is known everywhere."""
    from aqreanalysis.demo import run

    typer.echo(run(output, seed=seed, progress=_shows_progress()))


@datasets_app.command(name="list")
def list_datasets() -> None:
    """List the public data sets."""
    from aqreanalysis.datasets import describe, list_datasets

    for name in list_datasets():
        typer.echo(f"{name}: {describe(name).title}")


@datasets_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="One of 'aqreanalysis datasets list'.")],
    folder: Annotated[Path | None, typer.Option(help="Where to put it. Default: a cache.")] = None,
) -> None:
    """Fetch a public data set, check its hash, and say where it is."""
    from aqreanalysis.datasets import fetch

    typer.echo(fetch(name, folder=folder))


def main() -> None:
    """Run the command; a fault of input becomes one message and exit status 1."""
    heard = _stop_cleanly()
    try:
        app()
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        typer.echo(f"aqreanalysis: {error}", err=True)
        raise SystemExit(1) from error
    except _StoppedError as stopped:
        for number in heard:  # a second one need not wait for the blocks being computed
            signal.signal(number, signal.SIG_DFL)
        typer.echo("aqreanalysis: interrupted; nothing was written under the final name", err=True)
        raise SystemExit(128 + stopped.number) from None


class _StoppedError(BaseException):
    """A signal asks to end; no library takes this for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop_cleanly() -> list[signal.Signals]:
    """Return the signals that now end the run through all that removes incomplete files."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored, as under nohup, stays ignored.
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]

    def stop(number: int, _: object) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        raise _StoppedError(number)

    for number in heard:
        signal.signal(number, stop)
    return heard


def _check_product_name(path: Path) -> None:
    """Refuse a name that no product can be written to, before hours are spent on it."""
    from aqreanalysis.product import check_target

    if path.suffix.lower() not in (".nc", ".nc4"):
        raise ValueError(f"a product is NetCDF: end its name in .nc; found {str(path)!r}")
    check_target(Path(os.path.realpath(path)), overwrite=True)


def _check_model_folder(folder: Path) -> None:
    """Refuse a folder that no model can be written to, before it is trained."""
    if folder.exists() and not (folder / "reanalyser.json").is_file():
        raise ValueError(f"{folder} exists and is no saved model; choose another name")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write {folder}: {above} is no folder to write into")


def _read(
    path: Path,
    format: str | None,
    stations: Path | None,
    time_zone: str | None,
    time_label: str | None,
    units: str | None,
    duplicates: str,
    column: list[str] | None,
) -> Any:
    """Return the observations of a file."""
    from aqreanalysis.observations import open_observations

    return open_observations(
        path,
        format=format,  # type: ignore[arg-type]
        stations=stations,
        time_zone=time_zone,
        time_label=time_label,  # type: ignore[arg-type]
        units=units,
        duplicates=duplicates,  # type: ignore[arg-type]
        columns=_named_columns(column or []),
    )


def _named_columns(pairs: list[str]) -> dict[str, str]:
    """Return the columns of pairs such as station=code."""
    named = dict(pair.partition("=")[::2] for pair in pairs)
    wrong = [pair for pair in pairs if not all(pair.partition("="))]
    if wrong:
        raise ValueError(f"--column takes ROLE=NAME, such as station=code; found {wrong[0]!r}")
    return named


def _sizes(product: Any) -> str:
    """Return the sizes of a product in words."""
    return ", ".join(f"{size} {name}" for name, size in product.sizes.items() if "bnds" not in name)


def _shows_progress() -> bool:
    """Return whether somebody watches: a progress bar in a log file is noise."""
    return sys.stderr.isatty()
