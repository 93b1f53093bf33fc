"""Before a reanalysis: validate a station file, see the demo, find public data sets."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.options import Observations, Reading, Seed, with_reading
from aqreanalysis.cli.terminal import shows_progress


@with_reading
def validate(observations: Observations, *, reading: Reading) -> None:
    """Read a station file and say what is in it, or all that is wrong with it."""
    obs = reading(observations)
    obs.aqnet.validate()
    typer.echo(repr(obs.aqnet.network))
    typer.echo(f"{str(obs.time.values[0])[:16]} to {str(obs.time.values[-1])[:16]} UTC")
    for name, values in obs.data_vars.items():
        if {"station", "time"} == set(values.dims):
            missing = float(values.isnull().mean())
            typer.echo(f"{name}: {values.attrs.get('units', 'no units')}, {missing:.1%} missing")


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Run the whole path on a synthetic network whose truth is known everywhere."""
    from aqreanalysis.demo import run

    typer.echo(run(output, seed=seed, progress=shows_progress()))


def list_datasets() -> None:
    """List the public data sets."""
    from aqreanalysis.datasets import describe, list_datasets

    for name in list_datasets():
        typer.echo(f"{name}: {describe(name).title}")


def fetch(
    name: Annotated[str, typer.Argument(help="One of 'aqreanalysis datasets list'.")],
    folder: Annotated[Path | None, typer.Option(help="Where to put it. Default: a cache.")] = None,
) -> None:
    """Fetch a public data set, check its hash, and say where it is."""
    from aqreanalysis.datasets import fetch

    typer.echo(fetch(name, folder=folder))
