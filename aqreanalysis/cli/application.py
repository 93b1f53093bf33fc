"""The application: which commands there are, and how a run of one ends."""

import logging
import signal
import sys
from typing import Annotated

import typer

from aqreanalysis.cli.forecasting import outlook
from aqreanalysis.cli.inspecting import demo, fetch, list_datasets, validate
from aqreanalysis.cli.reanalysing import draw, fit, reanalyse
from aqreanalysis.cli.terminal import StoppedError, stop_cleanly
from aqreanalysis.cli.verifying import verify

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


@app.callback()
def _configure(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors alone.")] = False,
) -> None:
    """Send what the package decides on its own to standard error."""
    logging.basicConfig(
        level=logging.ERROR if quiet else logging.INFO, format="%(message)s", stream=sys.stderr
    )
    logging.getLogger("distributed").setLevel(logging.WARNING)


# Help lists them in this order.
app.command()(reanalyse)
app.command()(fit)
app.command("map")(draw)
app.command()(outlook)
app.command()(verify)
app.command()(validate)
app.command()(demo)
app.add_typer(datasets_app, name="datasets")
datasets_app.command("list")(list_datasets)
datasets_app.command()(fetch)


def main() -> None:
    """Run the command; a fault of input becomes one message and exit status 1."""
    heard = stop_cleanly()
    try:
        app()
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        typer.echo(f"aqreanalysis: {error}", err=True)
        raise SystemExit(1) from error
    except StoppedError as stopped:
        for number in heard:  # a second one need not wait for the blocks being computed
            signal.signal(number, signal.SIG_DFL)
        typer.echo("aqreanalysis: interrupted; nothing was written under the final name", err=True)
        raise SystemExit(128 + stopped.number) from None
