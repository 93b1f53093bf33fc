"""The command ``aqreanalysis``: station files in, CF products and maps out."""

import logging
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
) -> None:
    """Write complete fields as a CF NetCDF product.

    A model is trained on all of OBS, then the fields of the asked period are written block by
    block. Example:

    aqreanalysis reanalyse hourly_88101_2011.zip --format aqs -o us.nc --grid 0.25
    --region -125 -66 24 50 --time 2011-07-01 2011-07-07
    """
    from aqreanalysis.reanalysis import Reanalyser, reanalyse

    obs = _read(observations, format, stations, time_zone, time_label, units)
    product = reanalyse(
        obs,
        variable,
        grid=grid,
        region=region,
        at=_places(at) if at else None,
        method=Reanalyser.load(model) if model else method,  # type: ignore[arg-type]
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
) -> None:
    """Train a model and save it as a folder of plain files."""
    obs = _read(observations, format, stations, time_zone, time_label, units)
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
            observations=_read(observations, format, stations, time_zone, time_label, units)
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
) -> None:
    """Read a station file and say what is in it, or all that is wrong with it."""
    obs = _read(observations, format, stations, time_zone, time_label, units)
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
    try:
        app()
    except (ValueError, OSError, RuntimeError) as error:
        typer.echo(f"aqreanalysis: {error}", err=True)
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        typer.echo("aqreanalysis: interrupted; nothing was written under the final name", err=True)
        raise SystemExit(130) from None


def _read(
    path: Path,
    format: str | None,
    stations: Path | None,
    time_zone: str | None,
    time_label: str | None,
    units: str | None,
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
    )


def _places(path: Path) -> Any:
    """Return the stations of a table with station, longitude, latitude as a Dataset."""
    import pandas as pd

    table = pd.read_csv(path, dtype={"station": str})
    missing = {"station", "longitude", "latitude"} - set(table.columns)
    if missing:
        raise ValueError(
            f"{path} needs the columns station, longitude, latitude; "
            f"it lacks {', '.join(sorted(missing))}"
        )
    places = table.drop_duplicates("station").set_index("station")[["longitude", "latitude"]]
    return places.to_xarray().set_coords(["longitude", "latitude"])


def _sizes(product: Any) -> str:
    """Return the sizes of a product in words."""
    return ", ".join(f"{size} {name}" for name, size in product.sizes.items() if "bnds" not in name)


def _shows_progress() -> bool:
    """Return whether somebody watches: a progress bar in a log file is noise."""
    return sys.stderr.isatty()
