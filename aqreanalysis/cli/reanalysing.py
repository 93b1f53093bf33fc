"""From observations to fields: reanalyse them, save a fitted model."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.options import (
    METHODS,
    At,
    Attributes,
    BackgroundFile,
    Clip,
    Creator,
    DimensionOrder,
    GeographyNames,
    GridCrs,
    GridLike,
    GridRegion,
    GridSize,
    Land,
    MetadataFile,
    Observations,
    Output,
    Period,
    QualityName,
    Quantiles,
    Reader,
    SavedModel,
    Seed,
    StatisticName,
    Variables,
    cell_size,
    variables_of,
    with_reading,
)
from aqreanalysis.cli.outputs import (
    blocks_to_resume,
    check_dimension_order,
    check_model_folders,
    check_product_name,
    cluster,
    geography_of,
    metadata_of,
    open_background,
    saved_models,
    sizes,
    write_product,
)
from aqreanalysis.cli.terminal import shows_progress


@with_reading
def reanalyse(
    observations: Observations,
    output: Output,
    variable: Variables = None,
    grid: GridSize = None,
    region: GridRegion = None,
    crs: GridCrs = None,
    like: GridLike = None,
    clip: Clip = None,
    land: Land = False,
    at: At = None,
    time: Period = None,
    method: Annotated[
        str, typer.Option(help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}.")
    ] = METHODS[0],
    model: SavedModel = None,
    seed: Seed = 0,
    creator: Creator = None,
    metadata: MetadataFile = None,
    attribute: Attributes = None,
    background: BackgroundFile = None,
    geography: GeographyNames = None,
    statistic: StatisticName = "median",
    quantile: Quantiles = None,
    quality: QualityName = "mask",
    draws: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Fields drawn of those that agree with the stations, such as 50, coherent in "
            "space and time, of which 'aggregate' gets errors of maxima and counts.",
        ),
    ] = None,
    draws_of: Annotated[
        str,
        typer.Option(help="measurements, a monitor's noise included, or the air without it."),
    ] = "measurements",
    memory: Annotated[
        str | None,
        typer.Option(help="What the work may take, such as 2GB. Default: half of what is free."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Compute on the dask cluster there, as tcp://10.0.0.1:8786."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep what is finished; go on from an interrupted run."),
    ] = False,
    dimension_order: DimensionOrder = "station_time",
    *,
    reading: Reader,
) -> None:
    """Write complete fields as a CF NetCDF product, or as Zarr if the name ends in .zarr.

    A model is trained on all of OBS, then the fields of the asked period are written block by
    block. Examples:

    aqreanalysis reanalyse hourly_88101_2011.zip --source aqs -o us.nc --grid 0.25
    --region -125 -66 24 50 --time 2011-07-01 2011-07-07

    aqreanalysis reanalyse stations.csv -o city.nc --crs EPSG:32650 --grid 1000 --clip city.gpkg

    aqreanalysis reanalyse stations.csv -o as_cams.nc --like cams.nc --land

    aqreanalysis reanalyse stations.csv -o air.nc --variable pm25,no2,o3
    """
    from aqreanalysis.observations import open_stations
    from aqreanalysis.reanalysis import reanalyse

    check_product_name(output, resume=resume)
    check_dimension_order(dimension_order, output, at_stations=at is not None)
    stated = metadata_of(metadata, attribute)
    if model and method != METHODS[0]:
        raise ValueError(f"--model is a fitted model; leave out --method {method}, or --model")
    places = open_stations(at) if at else None
    variables = variables_of(variable)
    fitted = saved_models(model, variables) if model else None
    if isinstance(fitted, dict) and variables is None:
        variables = list(fitted)
    obs = reading(observations)
    with cluster(scheduler):
        product = reanalyse(
            obs,
            variables,
            grid=cell_size(grid),
            region=region,
            crs=crs,
            like=like,
            clip=clip,
            land=land,
            at=places,
            method=fitted or method,
            time=slice(*time) if time else None,
            seed=seed,
            progress=shows_progress(),
            creator=creator,
            metadata=stated,
            background=open_background(background),
            geography=geography_of(geography),
            statistic=statistic,  # type: ignore[arg-type]
            quantiles=quantile or (),
            quality=quality,  # type: ignore[arg-type]
            draws=draws,
            draws_of=draws_of,  # type: ignore[arg-type]
            memory=memory,
            chunks=blocks_to_resume(output, at_stations=at is not None) if resume else None,
        )
        written = write_product(
            product,
            output,
            progress=shows_progress(),
            resume=resume,
            dimension_order=dimension_order,
        )
    typer.echo(f"{written}: {sizes(product)}")


@with_reading
def fit(
    observations: Observations,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the model, or of one for each pollutant."),
    ],
    variable: Variables = None,
    seed: Seed = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Written as training goes; what was cut off goes on from there."),
    ] = None,
    background: BackgroundFile = None,
    geography: GeographyNames = None,
    quality: QualityName = "mask",
    *,
    reading: Reader,
) -> None:
    """Train a model and save it as a folder of plain files.

    Of several pollutants, each has a model of its own, in a folder of its name within the folder,
    and 'reanalyse --model' takes all or some of them.
    """
    from aqreanalysis.conventions import pollutant

    variables = variables_of(variable)
    if isinstance(variables, list):
        variables = list(dict.fromkeys(pollutant(name).name for name in variables))
    check_model_folders(output, variables)
    obs = reading(observations)
    fitted = obs.aqnet.fit(
        variables,
        seed=seed,
        progress=shows_progress(),
        background=open_background(background),
        geography=geography_of(geography),
        checkpoint=checkpoint,
        quality=quality,
    )
    if not isinstance(fitted, dict):
        typer.echo(f"{fitted.save(output)}: {fitted!r}")
        return
    for name, one in fitted.items():
        typer.echo(f"{one.save(output / name)}: {one!r}")
