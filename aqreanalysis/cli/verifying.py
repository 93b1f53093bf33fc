"""How good methods or a product are: ``aqreanalysis verify``."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.options import (
    METHODS,
    GeographyNames,
    Observations,
    Period,
    QualityName,
    Reader,
    Seed,
    StatisticName,
    Variable,
    with_reading,
)
from aqreanalysis.cli.outputs import check_csv, check_points, geography_of, write_csv
from aqreanalysis.cli.terminal import shows_progress, warnings_only

_FOREIGN = "To verify a field that exists already"
_OF_HIDING = ("methods", "by", "folds", "buffer", "statistic", "geography", "seed")
_OF_PRODUCT = ("product_variable", "product_time_label")


@with_reading
def verify(
    context: typer.Context,
    observations: Observations,
    output: Annotated[Path, typer.Option("--output", "-o", help="Report to write, HTML.")],
    csv: Annotated[
        Path | None, typer.Option(help="Also write the scores, a row for each method.")
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            help="Also write the scores of each station, as points: GeoPackage (.gpkg) or "
            "GeoParquet (.parquet)."
        ),
    ] = None,
    variable: Variable = None,
    methods: Annotated[
        str, typer.Option(help="By comma, the first is the one that the report is about.")
    ] = ",".join(METHODS),
    by: Annotated[
        str, typer.Option(help="What is hidden together: station, block, month or leave_one_out.")
    ] = "station",
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    buffer: Annotated[
        float | None,
        typer.Option(
            metavar="KM",
            help="Leave out stations this near to a hidden one. Default: for blocks their spacing.",
        ),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="Thresholds of events by comma, ug m-3: 35,75,150."),
    ] = None,
    time: Period = None,
    statistic: StatisticName = "median",
    geography: GeographyNames = None,
    seed: Seed = 0,
    quality: QualityName = "mask",
    product: Annotated[
        Path | None,
        typer.Option(
            help="NetCDF of any reanalysis: compare it with OBS instead of hiding stations.",
            rich_help_panel=_FOREIGN,
        ),
    ] = None,
    product_variable: Annotated[
        str | None,
        typer.Option(help="Its variable, where it is not clear.", rich_help_panel=_FOREIGN),
    ] = None,
    product_time_label: Annotated[
        str | None,
        typer.Option(
            help="Whether its times label the start or the end of an hour.",
            rich_help_panel=_FOREIGN,
        ),
    ] = None,
    *,
    reading: Reader,
) -> None:
    """Hide stations, estimate them from the others, and report how good the estimates are.

    Every method is fitted anew in each fold. The neural method takes minutes a fold; leave it out
    of --methods for a first look. Examples:

    aqreanalysis verify stations.csv -o report.html --csv scores.csv

    aqreanalysis verify stations.csv -o report.html --product cams.nc --product-time-label end
    """
    from aqreanalysis.exports import export
    from aqreanalysis.observations import selected_hours
    from aqreanalysis.report import check_report_target, write_report
    from aqreanalysis.verification import (
        check_events,
        cross_validate,
        match_product,
        metrics,
        score_table,
        statistics,
    )

    check_report_target(output)
    _check_effect(context, _OF_HIDING if product else _OF_PRODUCT)
    thresholds = check_events(_numbers(events)).tolist() if events else None
    if csv:
        check_csv(csv)
    if points:
        check_points(points)
    obs = reading(observations)
    if product:
        pairs = match_product(
            product,
            obs,
            variable,
            product_variable=product_variable,
            time_label=product_time_label,  # type: ignore[arg-type]
            quality=quality,  # type: ignore[arg-type]
        )
        if time:
            pairs = pairs.isel(time=selected_hours(pairs["time"], slice(*time)))
    else:
        # A method's messages would come once a fold.
        with warnings_only("aqreanalysis.methods"):
            pairs = cross_validate(
                obs,
                variable,
                methods=_words(methods),
                by=by,  # type: ignore[arg-type]
                folds=folds,
                buffer_km=buffer,
                time=slice(*time) if time else None,
                statistic=statistic,  # type: ignore[arg-type]
                geography=geography_of(geography),
                seed=seed,
                progress=shows_progress(),
                quality=quality,  # type: ignore[arg-type]
            )
    summed = statistics(pairs, events=thresholds)
    table = score_table(summed)
    shown = table[["rmse", "mae", "bias", "r2", "crps", "coverage_90"]]
    typer.echo(shown.to_string(float_format=lambda value: f"{value:.3f}", na_rep="-"))
    report = write_report(pairs, output, statistics=summed)
    if csv:  # last, so that what fails leaves the scores of the earlier report beside it
        write_csv(table, csv, "%.6g")
    if points:
        export(metrics(summed, by="station"), points, overwrite=True, progress=False)
    typer.echo(report)


def _check_effect(context: typer.Context, without: tuple[str, ...]) -> None:
    """Refuse options that are given and would do nothing."""
    sources = {name: context.get_parameter_source(name) for name in without}
    given = [
        f"--{name.replace('_', '-')}"
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    ]
    if given:
        other = "without" if without == _OF_PRODUCT else "with"
        raise ValueError(f"{', '.join(given)}: of no effect {other} --product; leave that out")


def _words(text: str) -> list[str]:
    """Return words by comma."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    """Return numbers by comma."""
    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise ValueError(f"--events takes numbers by comma: 35,75,150; found {text!r}") from None
