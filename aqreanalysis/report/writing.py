"""The report as a file: what goes where on the page, and the page on the disk."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.report import tables
from aqreanalysis.report.figures import draw_groups
from aqreanalysis.report.findings import Findings
from aqreanalysis.report.page import check_report_target, render_page, write_page
from aqreanalysis.report.verdict import verdict
from aqreanalysis.report.words import (
    counted,
    enumerated,
    label_of,
    number,
    pollutant_parts,
    pollutant_text,
    step_name,
)
from aqreanalysis.verification import check_events, cross_validate
from aqreanalysis.verification import statistics as statistics_of
from aqreanalysis.verification.pairs import texts_of


def write_report(
    pairs: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    statistics: xr.Dataset | None = None,
    title: str | None = None,
    overwrite: bool = True,
) -> Path:
    """Write a report on how good the first method is, as one HTML file.

    The file contains its figures and needs no network. It opens with a verdict and the scores
    compared with kriging; figures, tables, definitions and limits follow. It can be printed.

    Parameters
    ----------
    pairs : Dataset
        Of `aqreanalysis.verification.cross_validate` or of a product and observations. The first
        method is the one that is verified.
    path : str or Path
        Ends in ``.html``. The file appears under this name when it is complete.
    statistics : Dataset, optional
        Of these pairs, for example with other events; made here if they are not given.
    title : str, optional
        Instead of "Verification of PM2.5 at hidden stations".
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    ValueError
        If the path does not end in ``.html``.
    aqreanalysis.atomic.WriteError
        If the file cannot be written.
    aqreanalysis.verification.VerificationError
        If there are no pairs, or none is scored.

    Examples
    --------
    >>> write_report(xr.Dataset(), "report.pdf")
    Traceback (most recent call last):
        ...
    ValueError: a report is written as .html; found 'report.pdf'. Change its ending.
    """
    target = check_report_target(path, overwrite=overwrite)
    summed = statistics_of(pairs) if statistics is None else statistics
    return write_page(render(Findings.of(pairs, summed), title), target)


def verify_and_report(
    observations: xr.Dataset,
    path: str | os.PathLike[str],
    variable: str | None = None,
    *,
    events: Sequence[float] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Score methods at hidden stations, and write the report.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    path : str or Path
        Of the report, as of `write_report`.
    variable, events
        As of `aqreanalysis.verification.verify`.
    **options
        As of `aqreanalysis.verification.cross_validate`.

    Returns
    -------
    Dataset
        Of `aqreanalysis.verification.statistics`.

    Raises
    ------
    ObservationError, VerificationError, ValueError
        As of `aqreanalysis.verification.verify` and `write_report`.
    """
    if events is not None:
        check_events(events)
    check_report_target(path)
    pairs = cross_validate(observations, variable, **options)
    summed = statistics_of(pairs, events=events)
    write_report(pairs, path, statistics=summed)
    return summed


def render(findings: Findings, title: str | None = None) -> str:
    """Render the page."""
    return render_page("report.html", _content(findings, title))


def _content(findings: Findings, title: str | None) -> dict[str, Any]:
    """Return the variables of the template."""
    attributes = findings.pairs.attrs
    detailed = [
        tables.event_table(findings),
        tables.daily_table(findings),
        tables.distance_table(findings),
        tables.level_table(findings),
        tables.coverage_table(findings),
    ]
    heading = _heading(findings)
    plain_title = "Verification of {name}{subscript} {where}".format(**heading)
    return {
        "title": title,
        "heading": heading,
        "plain_title": title or plain_title,
        "facts": _facts(findings),
        "design": str(attributes.get("design", "")),
        "verdict": verdict(findings),
        "scores": tables.method_table(findings),
        "failures": texts_of(attributes.get("failures", [])),
        "remarks": texts_of(attributes.get("remarks", [])),
        "groups": draw_groups(findings),
        "tables": [table for table in detailed if table is not None],
        "stations": tables.station_table(findings),
        "done": _how_done(findings),
    }


def _heading(findings: Findings) -> dict[str, str]:
    """Return the parts of the title: what is verified, its subscript, and where."""
    if findings.of_product:
        return {"name": label_of(findings.method), "subscript": "", "where": "against stations"}
    name, subscript = pollutant_parts(findings.variable)
    return {"name": name, "subscript": subscript, "where": "at hidden stations"}


def _facts(findings: Findings) -> list[str]:
    """Return stations, period and number of values, each in a few words."""
    scored = findings.stations.scores["count"].max("estimator").values > 0
    stations = counted(int(scored.sum()), "station")
    if scored.size > scored.sum():
        stations += f" (of {number(scored.size)})"
    values = float(findings.overall.scores["count"].max())
    hours = int(findings.pairs["truth"].notnull().any(STATION).sum())
    step = step_name(findings.step_hours)
    word = {"hourly": "hours", "daily": "days"}.get(step, "steps")
    known = pollutant_text(findings.variable)
    pollutant = f"{known}, {stations}" if findings.of_product else stations
    return [
        pollutant,
        _period(findings),
        f"{number(values)} {step} values in {number(hours)} {word}",
    ]


def _period(findings: Findings) -> str:
    """Return from when to when values were scored."""
    first, last = (pd.Timestamp(end) for end in findings.statistics.attrs["period"])
    form = "%Y-%m-%d" if findings.step_hours >= 24 else "%Y-%m-%d %H:%M"
    zone = "" if findings.step_hours >= 24 else " UTC"
    return f"{first.strftime(form)} to {last.strftime(form)}{zone}"


def _how_done(findings: Findings) -> list[str]:
    """Return how the values were obtained, one sentence each."""
    methods = enumerated(label_of(method) for method in findings.methods)
    sentences = [
        str(findings.pairs.attrs.get("design", "")),
        f"Methods: {methods}.",
        "A value counts where there is a measurement, and an estimate of every method that "
        "answers at that station.",
        f"Intervals draw from {counted(findings.places, 'place')}.",
    ]
    return [sentence for sentence in sentences if sentence]
