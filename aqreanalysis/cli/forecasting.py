"""From observations to a forecast: ``aqreanalysis outlook``."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.options import (
    At,
    Attributes,
    Clip,
    Creator,
    DimensionOrder,
    GridCrs,
    GridLike,
    GridRegion,
    GridSize,
    Land,
    MetadataFile,
    Observations,
    Output,
    QualityName,
    Quantiles,
    Reader,
    SavedModel,
    Seed,
    StatisticName,
    Variable,
    cell_size,
    with_reading,
)
from aqreanalysis.cli.outputs import (
    check_dimension_order,
    check_model_folder,
    check_product_name,
    metadata_of,
    sizes,
    write_product,
)
from aqreanalysis.cli.terminal import shows_progress


@with_reading
def outlook(
    observations: Observations,
    output: Output,
    variable: Variable = None,
    start: Annotated[
        str | None,
        typer.Option(help="Beginning of the first hour, UTC. Default: the end of OBS."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Last of several starts, for a set of hindcasts.")
    ] = None,
    every: Annotated[float, typer.Option(help="Hours between the starts of a set.")] = 24.0,
    horizon: Annotated[str, typer.Option(help="How far: hours, or a span such as 7D.")] = "168",
    grid: GridSize = None,
    region: GridRegion = None,
    crs: GridCrs = None,
    like: GridLike = None,
    clip: Clip = None,
    land: Land = False,
    at: At = None,
    method: Annotated[
        str,
        typer.Option(help="aqnet, paper, lstm, patchtst, ridge, climatology or persistence."),
    ] = "aqnet",
    model: SavedModel = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder in which the trained outlook is saved, for --model.")
    ] = None,
    seed: Seed = 0,
    creator: Creator = None,
    metadata: MetadataFile = None,
    attribute: Attributes = None,
    quantile: Quantiles = None,
    statistic: StatisticName = "median",
    quality: QualityName = "mask",
    dimension_order: DimensionOrder = "station_time",
    *,
    reading: Reader,
) -> None:
    """Write forecasts of the next days as a CF NetCDF product.

    A model is trained on OBS before the start, then applied to each station, to the places of --at,
    or to a grid. Example:

    aqreanalysis outlook stations.csv -o next.nc --start 2017-01-15 --horizon 168 --grid 0.1
    """
    from aqreanalysis.observations import open_stations
    from aqreanalysis.outlook import Outlook, fit_outlook, outlook, starts_between
    from aqreanalysis.predictive import check_statistic

    check_product_name(output)
    check_dimension_order(dimension_order, output, at_stations=grid is None and until is None)
    stated = metadata_of(metadata, attribute)
    check_statistic(statistic)
    if save:
        check_model_folder(save, "outlook.json")
    if model and method != "aqnet":
        raise ValueError(f"--model is a fitted outlook; leave out --method {method}, or --model")
    if until and not start:
        raise ValueError("--until is the last of several starts; give --start as the first")
    starts = starts_between(start, until, every) if start and until else start
    places = open_stations(at) if at else None
    fitted = Outlook.load(model) if model else None
    obs = reading(observations)
    if fitted is None:
        fitted = fit_outlook(
            obs,
            horizon,
            variable,
            start=starts,
            method=method,  # type: ignore[arg-type]
            seed=seed,
            progress=shows_progress(),
            quality=quality,  # type: ignore[arg-type]
        )
    product = outlook(
        obs,
        horizon,
        variable,
        start=starts,
        grid=cell_size(grid),
        region=region,
        crs=crs,
        like=like,
        clip=clip,
        land=land,
        at=places,
        method=fitted,
        creator=creator,
        metadata=stated,
        statistic=statistic,  # type: ignore[arg-type]
        quantiles=quantile or (),
        quality=quality,  # type: ignore[arg-type]
    )
    written = write_product(
        product, output, progress=shows_progress(), dimension_order=dimension_order
    )
    typer.echo(f"{written}: {sizes(product)}")
    if save:
        typer.echo(f"{fitted.save(save)}: {fitted!r}")
