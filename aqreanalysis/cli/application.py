"""The application: its commands, the short ones themselves, and how a run ends."""

import logging
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.checking import qc, validate
from aqreanalysis.cli.converting import convert
from aqreanalysis.cli.deriving import aggregate, exceedance, index, zones
from aqreanalysis.cli.drawing import animate, draw
from aqreanalysis.cli.exporting import export
from aqreanalysis.cli.forecasting import outlook
from aqreanalysis.cli.options import Seed
from aqreanalysis.cli.reanalysing import fit, reanalyse
from aqreanalysis.cli.statuses import FAULT, LOCKED
from aqreanalysis.cli.terminal import (
    StoppedError,
    shows_progress,
    stop_cleanly,
    warnings_only,
)
from aqreanalysis.cli.updating import update
from aqreanalysis.cli.verifying import verify
from aqreanalysis.cli.viewing import view

app = typer.Typer(
    name="aqreanalysis",
    help=(
        "Turn the measurements of an air-quality network into complete fields: stations in "
        "(CSV, Excel, Parquet, NetCDF, files of EEA, EPA, OpenAQ and others), CF NetCDF and maps "
        "out.\n\n"
        "Example: aqreanalysis reanalyse stations.csv -o pm25.nc --grid 0.1 "
        "--time 2024-11-01 2024-11-07"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: A line of the log with --verbose.
DETAILED = "%(asctime)s %(levelname)s %(name)s: %(message)s"
datasets_app = typer.Typer(help="Public data sets to work with.", no_args_is_help=True)


@app.callback()
def _configure(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors alone.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Show more, each line with its time and its source."),
    ] = False,
) -> None:
    """Send what the package decides on its own to standard error."""
    if quiet and verbose:
        raise typer.BadParameter("--quiet shows less and --verbose more: leave one of them out")
    level = logging.ERROR if quiet else logging.INFO
    logging.basicConfig(
        level=level, format=DETAILED if verbose else "%(message)s", stream=sys.stderr
    )
    if verbose:
        logging.getLogger("aqreanalysis").setLevel(logging.DEBUG)
    for name in ("distributed", "pint", "pyogrio", "rasterio"):
        logging.getLogger(name).setLevel(logging.WARNING)


def list_sources(
    name: Annotated[
        str | None, typer.Argument(help="One of them: all that is known of it.")
    ] = None,
) -> None:
    """List the networks whose files are read as they are, or describe one of them."""
    from aqreanalysis.observations.sources.pages import page_of
    from aqreanalysis.observations.sources.registry import named, sources

    if name is None:
        typer.echo(repr(sources))
    else:
        typer.echo("\n".join(page_of(source) for source in named(name, "the source")))


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Run the whole path on a synthetic network whose truth is known everywhere."""
    from aqreanalysis.demo import run

    typer.echo(run(output, seed=seed, progress=shows_progress()))


def list_datasets() -> None:
    """List the public data sets, how large they are, and which are on this machine."""
    from aqreanalysis.datasets import describe, list_datasets, present

    for name in list_datasets():
        dataset, path = describe(name), present(name)
        size = f", {dataset.size / 1e6:.2g} MB" if dataset.size else ""
        typer.echo(f"{name}: {dataset.title}{size}{f' ({path})' if path else ''}")


def fetch(
    name: Annotated[str, typer.Argument(help="One of 'aqreanalysis datasets list'.")],
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to put it. Default: AQREANALYSIS_DATA_DIR, or else a cache."),
    ] = None,
) -> None:
    """Fetch a public data set, check its hash, and say where it is.

    A file that is there already is checked and not fetched; a download that was stopped is gone on
    with. Without a network, the message says which file to put where. Example:

    aqreanalysis validate "$(aqreanalysis -q datasets fetch usepa_2011)"
    """
    from aqreanalysis.datasets import fetch

    typer.echo(fetch(name, folder=folder, progress=shows_progress()))


def doctor(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STORE|MODEL]...", help="Stores of 'update' and saved models to look at."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs: a list of findings.")] = False,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test/--no-self-test",
            help="Compute fields of a synthetic network, write them, and read them back.",
        ),
    ] = True,
) -> None:
    """Say what this installation has and whether it works; send this along with a question.

    Versions, extras, threads, memory, card, folders, and a self-test of seconds; of a store of
    'update' its newest hour, runs, model, lock and leftovers. The exit status is 1 if anything
    needs attention. Example:

    aqreanalysis doctor now.zarr model
    """
    from dataclasses import asdict
    from json import dumps

    from aqreanalysis.doctor import examine, report

    with warnings_only("aqreanalysis"):
        findings = examine(paths or (), self_test=self_test)
    typer.echo(dumps([asdict(one) for one in findings], indent=2) if json else report(findings))
    raise typer.Exit(any(finding.remedy for finding in findings))


def cite(name: Annotated[str, typer.Argument(help="One of 'aqreanalysis datasets list'.")]) -> None:
    """Say how to cite a public data set, its licence and where it comes from."""
    from aqreanalysis.datasets import cite

    typer.echo(cite(name))


# Help lists them in this order.
app.command()(reanalyse)
app.command()(fit)
app.command()(update)
app.command("map")(draw)
app.command()(animate)
app.command()(view)
app.command()(aggregate)
app.command()(zones)
app.command()(exceedance)
app.command()(index)
app.command()(export)
app.command()(outlook)
app.command()(verify)
app.command()(validate)
app.command("sources")(list_sources)
app.command()(convert)
app.command()(qc)
app.command()(demo)
app.command()(doctor)
app.add_typer(datasets_app, name="datasets")
datasets_app.command("list")(list_datasets)
datasets_app.command()(fetch)
datasets_app.command()(cite)


def main() -> None:
    """Run the command; a fault becomes one message and an exit status.

    The status is one of `aqreanalysis.cli.statuses`, or 128 and the number of a signal that ended
    the run.
    """
    caught = stop_cleanly()
    try:
        app()
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        typer.echo(f"aqreanalysis: {error}", err=True)
        raise SystemExit(_status_of(error)) from error
    except StoppedError as stopped:
        for number in caught:  # a second one need not wait for the blocks being computed
            signal.signal(number, signal.SIG_DFL)
        typer.echo("aqreanalysis: interrupted; nothing was written under the final name", err=True)
        raise SystemExit(128 + stopped.number) from None


def _status_of(error: Exception) -> int:
    """Return the exit status after a fault."""
    from aqreanalysis.product.resuming import LockedError

    return (LOCKED if isinstance(error, LockedError) else FAULT).number
