"""From many files to an archive, or a table: ``aqreanalysis convert``."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.options import Observations, Reader, files_and_options, with_reading
from aqreanalysis.cli.terminal import shows_progress
from aqreanalysis.conventions import counted


@with_reading
def convert(
    observations: Observations,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="An archive, .zarr, or a table: .csv, .csv.gz, .parquet, .gpkg."
        ),
    ],
    memory: Annotated[
        str | None,
        typer.Option(help="Of all processes together, as 2GB. Default: half of what is free."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that read, at most. Default: one a processor.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from a run with --resume that was cut off."),
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out files that cannot be read, and say so.")
    ] = False,
    *,
    reading: Reader,
) -> None:
    """Read years of files once, in parallel, into an archive that every command opens at once.

    An archive is a Zarr store: wherever OBS stands it is read lazily, and with --period only the
    hours that are asked for. Memory does not grow with the number of files. Examples:

    aqreanalysis convert measurements -o archive.zarr

    aqreanalysis convert 'hourly_88101_*.zip' -o us.zarr --source aqs --memory 4GB --resume

    aqreanalysis reanalyse archive.zarr -o march.nc --period 2015-03-01 2015-03-31
    """
    if output.suffix.lower() != ".zarr":
        if memory or workers or resume or skip_broken:
            raise ValueError(
                "--memory, --workers, --resume and --skip-broken are for an archive: end its name "
                f"in .zarr, or leave them out; found {str(output)!r}"
            )
        typer.echo(reading(observations).aqnet.to_table(output))
        return
    from aqreanalysis.observations import open_observations, write_archive

    files, options = files_and_options(observations, **reading.keywords)  # type: ignore[attr-defined]
    if options.pop("period"):
        raise ValueError("--period is of no effect on an archive, which holds all hours of OBS")
    written = write_archive(
        files,
        output,
        memory=memory,
        workers=workers,
        progress=shows_progress(),
        resume=resume,
        skip_broken=skip_broken,
        **options,
    )
    archive = open_observations(written)
    time = archive.time.values
    typer.echo(
        f"{written}: {counted(archive.sizes['station'], 'station')}, {str(time[0])[:16]} to "
        f"{str(time[-1])[:16]} UTC, {', '.join(map(str, archive.data_vars))}"
    )
