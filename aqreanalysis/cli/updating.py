"""Hourly operation: ``aqreanalysis update``."""

import json as json_module
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from aqreanalysis.cli.options import (
    At,
    Attributes,
    BackgroundFile,
    Clip,
    Creator,
    GridCrs,
    GridLike,
    GridRegion,
    GridSize,
    Land,
    MetadataFile,
    Quantiles,
    Reader,
    cell_size,
    with_reading,
)
from aqreanalysis.cli.outputs import metadata_of, open_background
from aqreanalysis.cli.statuses import ALARM, DONE, NO_REPORT, NOTHING_NEW
from aqreanalysis.cli.terminal import at_levels, shows_progress

_REVISION = "What is revised, and how far back the store goes"
_CHECKS = "The model, and files for others"
_STATUSES = {"done": DONE, "nothing new": NOTHING_NEW, "no report": NO_REPORT, "alarm": ALARM}


@with_reading
def update(
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="Zarr store, .zarr; the first run makes it.")
    ],
    observations: Annotated[
        list[Path],
        typer.Argument(metavar="OBS...", help="Station files, folders, zips or quoted patterns."),
    ],
    model: Annotated[Path, typer.Option(help="Folder of a saved model, of 'aqreanalysis fit'.")],
    grid: GridSize = None,
    region: GridRegion = None,
    crs: GridCrs = None,
    like: GridLike = None,
    clip: Clip = None,
    land: Land = False,
    at: At = None,
    last: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How much is revised, and how much a new store begins with: 54h, 5d. Default: the "
            "method's reach and two days, and all.",
            rich_help_panel=_REVISION,
        ),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How much the store holds, such as 400d. Default: all.",
            rich_help_panel=_REVISION,
        ),
    ] = None,
    refit: Annotated[
        str,
        typer.Option(
            help="monthly: fit the model anew when what it learned is 30 days old; or never.",
            rich_help_panel=_CHECKS,
        ),
    ] = "never",
    new_model: Annotated[
        bool,
        typer.Option(
            "--new-model",
            help="Let another model than before go on with the store.",
            rich_help_panel=_CHECKS,
        ),
    ] = False,
    stale: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Give status 5 if the newest report is older, such as 3h.",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Score the model over the last hours, such as 3d, at stations left out.",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    alarm: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of measurements in their 90 % intervals below which status 6 is given.",
            rich_help_panel=_CHECKS,
        ),
    ] = 0.75,
    netcdf: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Also write a NetCDF file for each day or month, as its hours change.",
            rich_help_panel=_CHECKS,
        ),
    ] = None,
    per: Annotated[
        str, typer.Option(help="Of these files: day or month.", rich_help_panel=_CHECKS)
    ] = "day",
    statistic: Annotated[
        str | None,
        typer.Option(help="What the estimate is: median (default) or mean. Of the first run."),
    ] = None,
    quantile: Quantiles = None,
    quality: Annotated[
        str | None,
        typer.Option(help="Values that look wrong: mask (default), flag or ignore."),
    ] = None,
    background: BackgroundFile = None,
    creator: Creator = None,
    metadata: MetadataFile = None,
    attribute: Attributes = None,
    json: Annotated[
        bool, typer.Option("--json", help="For programs: what was done, as one object.")
    ] = False,
    *,
    reading: Reader,
) -> None:
    """Add the newest hours to a store, and revise the last ones as late values arrive.

    Run it every hour with the same options: the first run makes the store, and says what may be
    left out later. One line says what was done; with nothing new nothing is changed. Two runs do
    not meet, and one that is killed loses nothing. Exit statuses: 0 done, 3 nothing new,
    4 another run is at it, 5 no station reports at the newest hour, 6 alarm of --health, 1 a fault.

    aqreanalysis update now.zarr 'incoming/*.csv' --model model --grid 0.1 --last 5d
    --retention 400d --duplicates last --health 3d
    """
    from aqreanalysis.observations import open_stations
    from aqreanalysis.operation import update

    if store.suffix.lower() != ".zarr":
        raise ValueError(f"a store is Zarr: end its name in .zarr; found {str(store)!r}")
    with at_levels(_levels()):
        stated = metadata_of(metadata, attribute)
        first, *further = observations
        options: dict[str, Any] = reading.keywords  # type: ignore[attr-defined]
        obs = reading(first, also=[*further, *(options["also"] or [])])  # type: ignore[call-arg]
        result = update(
            store,
            obs,
            model=model,
            grid=cell_size(grid),
            region=region,
            crs=crs,
            like=like,
            clip=clip,
            land=land,
            at=open_stations(at) if at else None,
            statistic=statistic,  # type: ignore[arg-type]
            quantiles=quantile,
            quality=quality,  # type: ignore[arg-type]
            background=open_background(background),
            last=last,
            retention=retention,
            refit=refit,  # type: ignore[arg-type]
            new_model=new_model,
            stale=stale,
            health_over=health,
            alarm=alarm,
            netcdf=netcdf,
            per=per,  # type: ignore[arg-type]
            creator=creator,
            metadata=stated,
            progress=shows_progress(),
        )
    typer.echo(json_module.dumps(result.facts()) if json else str(result))
    raise typer.Exit(_STATUSES[result.state].number)


def _levels() -> dict[str, int]:
    """Return levels of loggers that leave one line a run, and warnings of the update itself."""
    detailed = logging.getLogger("aqreanalysis").level == logging.DEBUG
    if detailed or logging.getLogger().level >= logging.ERROR:  # --verbose, --quiet
        return {}
    return {"aqreanalysis": logging.ERROR, "aqreanalysis.operation": logging.WARNING}
