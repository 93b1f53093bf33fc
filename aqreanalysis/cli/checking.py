"""What is in a station file and what is wrong with it: ``aqreanalysis validate`` and ``qc``."""

from pathlib import Path
from typing import Annotated

import typer

from aqreanalysis.cli.options import Observations, Reader, with_reading
from aqreanalysis.cli.outputs import check_csv, check_product_name, write_csv


@with_reading
def validate(observations: Observations, *, reading: Reader) -> None:
    """Read a station file and say what is in it, or all that is wrong with it."""
    obs = reading(observations)
    obs.aqnet.validate()
    typer.echo(repr(obs.aqnet.network))
    typer.echo(f"{str(obs.time.values[0])[:16]} to {str(obs.time.values[-1])[:16]} UTC")
    for name, values in obs.data_vars.items():
        if {"station", "time"} == set(values.dims):
            missing = float(values.isnull().mean())
            typer.echo(f"{name}: {values.attrs.get('units', 'no units')}, {missing:.1%} missing")


@with_reading
def qc(
    observations: Observations,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Report to write, HTML.")
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="Pollutant, such as pm10. Repeatable. Default: all.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write a row for each pollutant and station.")
    ] = None,
    flags: Annotated[
        Path | None,
        typer.Option(help="Also write OBS with a layer of flags for each pollutant, NetCDF."),
    ] = None,
    *,
    reading: Reader,
) -> None:
    """Check every value: range, stuck, spikes, steps, neighbours, clocks, units, duplicates.

    Nothing is deleted. The table counts the values of each pollutant that fail a check. Examples:

    aqreanalysis qc stations.csv -o report.html

    aqreanalysis qc stations.csv --variable pm25 --csv flagged.csv --flags checked.nc
    """
    from aqreanalysis.atomic import atomic_file, explained
    from aqreanalysis.observations import qc_table
    from aqreanalysis.report import check_report_target, write_quality_report
    from aqreanalysis.report.quality import findings

    if output:
        check_report_target(output)
    if csv:
        check_csv(csv)
    if flags:
        check_product_name(flags)
    checked = reading(observations).aqnet.qc(variable or None)
    table = qc_table(checked)
    sums = table.groupby("variable", sort=False).sum().drop(columns="completeness").T
    typer.echo(sums[sums.any(axis=1)].to_string())
    names = dict.fromkeys(table.index.get_level_values("variable"))
    for line in dict.fromkeys(line for name in names for line in findings(checked, name)):
        typer.echo(line)
    if csv:
        typer.echo(f"{csv}: {len(table)} rows")
        write_csv(table, csv, "%.4f")
    if flags:
        with explained(flags), atomic_file(flags) as partial:
            checked.to_netcdf(partial, engine="netcdf4")
        typer.echo(flags)
    if output:
        typer.echo(write_quality_report(checked, output))
