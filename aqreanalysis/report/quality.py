"""The report of quality control, as one page: findings first, then completeness and stations."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.figures.sheet import house_style
from aqreanalysis.maps import MapError
from aqreanalysis.observations.contract import stored_values
from aqreanalysis.observations.quality_control import (
    FAULTS,
    QC_FLAGS,
    REJECTED,
    bits_of,
    checked_variables,
    qc_table,
)
from aqreanalysis.observations.time_axis import step_hours
from aqreanalysis.report.completeness import completeness_picture, station_map
from aqreanalysis.report.figures import Group
from aqreanalysis.report.page import check_report_target, render_page, write_page
from aqreanalysis.report.sheet import Picture
from aqreanalysis.report.tables import Cell, Row, Table
from aqreanalysis.report.words import counted, enumerated, number, percent, pollutant_text

#: What each check finds, in the order of the bits.
MEANINGS = {
    "missing_code": "A number that stands exactly and often, far from the rest, such as -99.",
    "daily_values": "The only value of each day, at one hour of the day, among hourly stations.",
    "misplaced": "The station lies at 0, 0, or among the others with latitude and longitude "
    "swapped or a sign turned.",
    "implausible_units": "The level cannot be of this pollutant in its units.",
    "duplicate_station": "Another station holds the same numbers, perhaps some hours apart.",
    "clock_shift": "The series fits those of its neighbours better when shifted by whole hours.",
    "possible_clock_shift": "The same, but the neighbours are far and follow it loosely.",
    "out_of_range": "Beyond what was ever measured, with room for noise about zero.",
    "flat_line": "Stuck at a value or at zero, for longer than chance has it, while the nearest "
    "stations moved.",
    "spike": "A single value off both its neighbours in time, which the nearest stations do not "
    "share.",
    "step": "A jump to another level that stays and that the nearest stations do not share.",
    "neighbour_outlier": "Off the median of the eight nearest stations on the sphere, its usual "
    "difference allowed for, in the square root and in units of their scatter (buddy check).",
    "pm25_above_pm10": "PM2.5 above PM10 by more than 10 % and 10 ug m-3.",
    "incomplete_day": "A value of a day (UTC) with less than 75 % of its steps; no fault.",
}
#: Rows of the table of stations.
_MOST_STATIONS = 500


def write_quality_report(
    checked: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = True
) -> Path:
    """Write what quality control found as one HTML file, which needs no network.

    Parameters
    ----------
    checked : Dataset
        Of `aqreanalysis.observations.qc`.
    path : str or Path
        Ends in ``.html``.
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    Path

    Raises
    ------
    ValueError, aqreanalysis.atomic.WriteError
        As of `aqreanalysis.report.write_report`.
    ObservationError
        If `aqreanalysis.observations.qc` has not seen the observations.

    Examples
    --------
    >>> write_quality_report(xr.Dataset(), "report.html")
    Traceback (most recent call last):
        ...
    aqreanalysis.observations.journal.ObservationError: there is no <variable>_qc; use
    obs.aqnet.qc() first
    """
    target = check_report_target(path, overwrite=overwrite)
    return write_page(render_page("quality.html", _content(checked)), target)


def _content(checked: xr.Dataset) -> dict[str, Any]:
    """Return the variables of the template."""
    names = checked_variables(checked)
    tables = {name: qc_table(checked[[name, f"{name}_qc"]]).droplevel(0) for name in names}
    with house_style():
        groups = [_group(checked, name) for name in names]
    return {
        "plain_title": f"Quality control of {enumerated(map(pollutant_text, names))}",
        "facts": _facts(checked),
        "verdict": [_verdict(name, tables[name]) for name in names],
        # What is wrong with a position is found with each pollutant.
        "findings": list(dict.fromkeys(line for name in names for line in findings(checked, name))),
        "checks": _check_table(checked, names),
        "groups": groups,
        "stations": [_station_table(name, tables[name]) for name in names],
        "meanings": [(_words(name), text) for name, text in MEANINGS.items()],
        "left_out": enumerated(_words(name) for name in REJECTED),
    }


def _facts(checked: xr.Dataset) -> list[str]:
    """Return stations and period in a few words."""
    first, last = (pd.Timestamp(checked[TIME].values[end]) for end in (0, -1))
    return [
        counted(checked.sizes[STATION], "station"),
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
        f"{number(checked.sizes[TIME])} steps of {step_hours(checked):g} h",
        f"source {checked.attrs.get('source', 'unknown')}",
    ]


def _verdict(name: str, table: pd.DataFrame) -> str:
    """Return what was found of a variable, in a sentence or two."""
    values, flagged = int(table["values"].sum()), int(table["flagged"].sum())
    complete = percent(float(table["completeness"].mean()), 1)
    if not values:
        return f"{pollutant_text(name)}: no value."
    share = percent(flagged / values, 2)
    worst = table["flagged"] / table["values"].clip(lower=1)
    text = (
        f"{pollutant_text(name)}: {complete} complete; {number(flagged)} values ({share}) flagged"
    )
    if worst.max() > 0.1:
        text += f", most at station {worst.idxmax()} ({percent(float(worst.max()), 0)} of its own)"
    return f"{text}."


def findings(checked: xr.Dataset, name: str) -> list[str]:
    """Return what is wrong with whole stations, or with the units, of a pollutant."""
    comment = str(checked[f"{name}_qc"].attrs.get("comment", ""))
    return [line for line in comment.split("\n") if line]


def _check_table(checked: xr.Dataset, names: list[str]) -> Table:
    """How many values of each pollutant fail each check."""
    bits = {name: stored_values(checked, f"{name}_qc") for name in names}
    present = {name: int((own & QC_FLAGS["missing"] == 0).sum()) for name, own in bits.items()}
    rows = []
    for check in (*FAULTS, "incomplete_day"):
        cells = [Cell("left out" if check in REJECTED else "used")]
        for name in names:
            count = int((bits[name] & QC_FLAGS[check] != 0).sum())
            share = percent(count / max(present[name], 1), 3)
            cells.append(Cell(number(count), share) if count else Cell("0", undefined=True))
        rows.append(Row(_words(check), cells))
    wrong = [int((own & bits_of(REJECTED) != 0).sum()) for own in bits.values()]
    sums = [Cell(number(count), percent(count / max(total, 1), 3))
            for count, total in zip(wrong, present.values(), strict=True)]  # fmt: skip
    rows.append(Row("Left out by reanalyse, in all", [Cell(""), *sums], first=True))
    columns = [("Check", ""), ("By reanalyse", ""), *((pollutant_text(n), "values") for n in names)]
    return Table("Values that fail each check", "Per cent of the values. One value may fail "
                 "several checks.", columns, rows, words=2)  # fmt: skip


def _station_table(name: str, table: pd.DataFrame) -> Table:
    """Completeness and flags of every station, the most flagged first."""
    shown = table.sort_values(["flagged", "completeness"], ascending=[False, True], kind="stable")
    checks = [check for check in FAULTS if shown[check].any()]
    rows = []
    for station, own in shown.head(_MOST_STATIONS).iterrows():
        cells = [Cell(number(own["values"])), Cell(percent(float(own["completeness"]), 1))]
        cells.append(Cell(number(own["flagged"])))
        cells += [Cell(number(own[c])) if own[c] else Cell("0", undefined=True) for c in checks]
        rows.append(Row(str(station), cells))
    rest = len(shown) - len(rows)
    note = "Most flagged first." + (f" {counted(rest, 'station')} more." if rest else "")
    columns = [("Station", ""), ("Values", ""), ("Complete", ""), ("Flagged", ""),
               *((_words(check), "") for check in checks)]  # fmt: skip
    return Table(f"All stations, {pollutant_text(name)}", note, columns, rows)


def _group(checked: xr.Dataset, name: str) -> Group:
    """Return the pictures of a pollutant."""
    drawn: list[Picture | str] = [completeness_picture(checked, name)]
    try:
        drawn.append(station_map(checked, name))
    except MapError as error:
        drawn.append(f"The map is left out: {error}.")
    return Group.of(pollutant_text(name), drawn)


def _words(check: str) -> str:
    """Return the name of a check in words.

    Examples
    --------
    >>> _words("pm25_above_pm10"), _words("flat_line")
    ('PM2.5 above PM10', 'Flat line')
    """
    text = check.replace("_", " ").replace("pm25", "PM2.5").replace("pm10", "PM10")
    return text[0].upper() + text[1:]
