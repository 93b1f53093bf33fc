"""The tables of the report: each number with its interval, or the reason why there is none."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.report.findings import ESTIMATOR, REFERENCE, Findings, Part, Point
from aqreanalysis.report.words import decimals_for, label_of, number, percent, units_of


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval, and whether the text says why there is no number."""

    text: str
    interval: str = ""
    undefined: bool = False


@dataclass(frozen=True)
class Row:
    """A row: its head and its cells.

    Attributes
    ----------
    head : str
    cells : list of Cell
    first : bool
        Whether it is that of the method which is verified.
    """

    head: str
    cells: list[Cell]
    first: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    title : str
    note : str
        Below it, what a reader must know.
    columns : list of tuple of str
        Title and units; the first is of the heads.
    rows : list of Row
    groups : list of tuple of str and int
        Titles over so many columns each; none by default.
    words : int
        How many columns from the left hold words, not numbers.
    """

    title: str
    note: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    groups: list[tuple[str, int]] = field(default_factory=list)
    words: int = 1


Form = Callable[[float], str]


def score_table(findings: Findings) -> Table:
    """Return the scores of every method beside kriging."""
    units = units_of(findings.pairs)
    compared = findings.change is not None
    difference = [("RMSE against kriging", "95 % interval")] if compared else []
    return Table(
        "Scores of all methods",
        _samples(findings),
        [
            ("Method", ""),
            ("RMSE", f"{units}, 95 % interval"),
            *difference,
            ("MAE", units),
            ("Bias", units),
            ("R²", ""),
            ("CRPS", units),
            ("90 % coverage", ""),
        ],
        [_score_row(findings, method) for method in findings.methods],
    )


def _score_row(findings: Findings, method: str) -> Row:
    """Return the row of a method."""
    (point,) = findings.overall.points(method)
    digits = findings.decimals
    plain, signed = _form(digits), _form(digits, signed=True)
    cells = [
        _cell(point, "rmse", plain, findings.overall.ends(method, "rmse")[:, 0]),
        _cell(point, "mae", plain),
        _cell(point, "bias", signed),
        _cell(point, "r2", _form(2)),
        _cell(point, "crps", plain),
        _cell(point, "coverage_90", lambda share: percent(share, 1)),
    ]
    if findings.change is not None:
        cells.insert(1, _difference(findings, method, point))
    return Row(label_of(method), cells, first=method == findings.method)


def _difference(findings: Findings, method: str, point: Point) -> Cell:
    """Return how much the RMSE differs from kriging's, in per cent."""
    if method == REFERENCE:
        return Cell("the reference", undefined=True)
    value, low, high = findings.relative(method)
    if not np.isfinite(value):
        return Cell(
            why_undefined("rmse", point) if np.isnan(point["rmse"]) else "no station in common",
            undefined=True,
        )

    def form(share: float) -> str:
        return number(100 * share, 1, signed=True)

    return Cell(percent(value, 1, signed=True), _interval((low, high), form))


def _samples(findings: Findings) -> str:
    """Return which values were scored, and how many lack an estimate."""
    said = "Every method is scored on the same values" if len(findings.methods) > 1 else ""
    counts = findings.overall.scores["count"].values
    if said and np.ptp(counts) > 0:
        said = "At each station, methods that answer there are scored on the same values"
    return " ".join(part for part in (f"{said}." if said else "", _missing(findings)) if part)


def _missing(findings: Findings) -> str:
    """Return how many measurements lack an estimate of each method."""
    missing = findings.overall.scores["missing"].values
    if not missing.any():
        return ""
    if np.ptp(missing) == 0:
        each = " of each method" if missing.size > 1 else ""
        return f"Measurements without an estimate{each}: {number(missing[0])}."
    counts = [
        f"{label_of(method)} {number(count)}"
        for method, count in zip(findings.methods, missing, strict=True)
    ]
    return f"Measurements without an estimate: {', '.join(counts)}."


def daily_table(findings: Findings) -> Table | None:
    """Return the scores of daily means; None where the values are daily."""
    if findings.daily is None:
        return None
    units, digits = units_of(findings.pairs), findings.decimals
    daily = findings.daily
    rows = []
    for method in findings.methods:
        (point,) = daily.points(method)
        cells = [
            Cell(number(point["count"])),
            _cell(point, "rmse", _form(digits), daily.ends(method, "rmse")[:, 0]),
            _cell(point, "mae", _form(digits)),
            _cell(point, "bias", _form(digits, signed=True)),
            _cell(point, "r2", _form(2)),
        ]
        rows.append(Row(label_of(method), cells, first=method == findings.method))
    return Table(
        "Daily means",
        "Of local days with at least 75 % of their values. Standard errors of single values do "
        "not tell that of their mean, so there is no CRPS and no coverage.",
        [("Method", ""), ("Days", ""), ("RMSE", f"{units}, 95 % interval"), ("MAE", units),
         ("Bias", units), ("R²", "")],
        rows,
    )  # fmt: skip


def event_table(findings: Findings) -> Table:
    """Return hit rate, false-alarm ratio and critical success index of every threshold."""
    units = units_of(findings.pairs)
    rows = []
    for event in findings.overall.scores["event"].values:
        for method in findings.methods:
            at = findings.overall.scores.sel({ESTIMATOR: method, "event": event})
            point = {str(name): float(at[name]) for name in at.data_vars}
            cells = [
                Cell(label_of(method)),
                Cell(number(point["event_total"])),
                _cell(point, "hit_rate", _form(2)),
                _cell(point, "false_alarm_ratio", _form(2)),
                _cell(point, "critical_success_index", _form(2)),
            ]
            rows.append(Row(f"≥ {event:g}", cells, first=method == findings.method))
    return Table(
        "Events",
        "An event is a value at or above the threshold.",
        [("Threshold", units), ("Method", ""), ("Events", ""), ("Hit rate", ""),
         ("False-alarm ratio", ""), ("Critical success index", "")],
        rows,
        words=2,
    )  # fmt: skip


def distance_table(findings: Findings) -> Table | None:
    """Return the RMSE of all methods by distance; None where it is unknown."""
    part = findings.parts.get("distance")
    if part is None:
        return None
    stations = [Cell(number(count)) for count in findings.stations_by_distance()]
    rows = _part_rows(findings, part, "distance", {"rmse": _form(findings.decimals)})
    rows = [Row(row.head, [cell, *row.cells])
            for row, cell in zip(rows, stations, strict=True)]  # fmt: skip
    labels = [(label_of(method), "") for method in findings.methods]
    return Table(
        "By distance to the nearest known station",
        "Distance to the nearest station that the methods knew.",
        [("Distance", "km"), ("Stations", ""), ("Values", ""), *labels],
        rows,
        [("", 3), (f"RMSE ({units_of(findings.pairs)}, 95 % interval)", len(labels))],
    )


def level_table(findings: Findings) -> Table:
    """Return RMSE and bias of all methods by measured level."""
    part, units = findings.parts["level"], units_of(findings.pairs)
    # Errors at the highest levels are the largest by far.
    digits = min(findings.decimals, decimals_for(part.scores["rmse"].values.ravel()) + 1)
    forms = {"rmse": _form(digits), "bias": _form(digits, signed=True)}
    labels = [(label_of(method), "") for method in findings.methods]
    groups = [
        ("", 2),
        (f"RMSE ({units}, 95 % interval)", len(labels)),
        (f"Bias ({units})", len(labels)),
    ]
    return Table(
        "By measured level",
        "Classes of what was measured.",
        [("Level", units), ("Values", ""), *labels, *labels],
        _part_rows(findings, part, "level", forms),
        groups,
    )


def _part_rows(findings: Findings, part: Part, dim: str, forms: dict[str, Form]) -> list[Row]:
    """Return a row for each part: number of values, then each score of all methods."""
    by_method = {method: part.points(method) for method in findings.methods}
    rows = []
    for index, label in enumerate(part.scores[dim].values):
        most = max(found[index]["count"] for found in by_method.values())
        cells = [Cell(number(most))]
        for name, form in forms.items():
            cells += [
                _cell(found[index], name, form, _ends(part, method, name, index))
                for method, found in by_method.items()
            ]
        rows.append(Row(str(label).replace("-", "–"), cells))
    return rows


def _ends(part: Part, method: str, name: str, index: int) -> Iterable[float]:
    """Return the interval of an RMSE; in parts that of the bias would make the table too wide."""
    return part.ends(method, name)[:, index] if name == "rmse" else ()


def station_table(findings: Findings) -> Table:
    """Return the first method's scores at every station, the largest error first."""
    scores = findings.stations.scores
    found = findings.stations.points(findings.method)
    distance = _distances(findings.statistics)
    rmse = np.array([point["rmse"] for point in found])
    digits = findings.decimals
    rows = []
    for index in np.argsort(np.where(np.isfinite(rmse), -rmse, np.inf), kind="stable"):
        point = found[index]
        far = distance[index]
        cells = [
            Cell(number(far, 1)) if np.isfinite(far) else Cell("unknown", undefined=True),
            Cell(number(point["count"])),
            _cell(point, "rmse", _form(digits)),
            _cell(point, "bias", _form(digits, signed=True)),
            _cell(point, "r2", _form(2)),
        ]
        rows.append(Row(str(scores[STATION].values[index]), cells))
    units = units_of(findings.pairs)
    return Table(
        f"All stations, {label_of(findings.method)}",
        "Largest RMSE first.",
        [("Station", ""), ("Nearest known station", "km"), ("Values", ""), ("RMSE", units),
         ("Bias", units), ("R²", "")],
        rows,
    )  # fmt: skip


def _distances(statistics: xr.Dataset) -> np.ndarray:
    """Return each station's distance to the nearest known one, NaN where unknown."""
    if "distance_km" in statistics.coords:
        return statistics["distance_km"].values
    return np.full(statistics.sizes[STATION], np.nan)


def why_undefined(name: str, point: Point) -> str:
    """Return why a score has no value.

    Examples
    --------
    >>> why_undefined("r2", {"count": 5.0, "sd_truth": 0.0})
    'undefined: truth is constant'
    >>> why_undefined("hit_rate", {"count": 5.0, "event_total": 0.0})
    'undefined: no events'
    """
    if not point["count"] > 0:
        return "no estimate" if point.get("missing", 0) > 0 else "no values"
    if name in ("crps", "coverage_90"):
        return "no standard error"
    if name == "false_alarm_ratio":
        return "undefined: no event estimated"
    if name in ("hit_rate", "critical_success_index"):
        return "undefined: no events"
    if point["count"] == 1:
        return "undefined: one value"
    return f"undefined: {'truth' if not point['sd_truth'] > 0 else 'estimate'} is constant"


def _cell(point: Point, name: str, form: Form, ends: Iterable[float] = ()) -> Cell:
    """Return a score as a cell, with its interval where it has one."""
    value = point[name]
    if not np.isfinite(value):
        return Cell(why_undefined(name, point), undefined=True)
    return Cell(form(value), _interval(ends, form))


def _interval(ends: Iterable[float], form: Form) -> str:
    """Return an interval in words, "" where it is unknown."""
    ends = list(ends)
    return " to ".join(form(end) for end in ends) if ends and np.isfinite(ends).all() else ""


def _form(decimals: int, *, signed: bool = False) -> Form:
    """Return how a number is written."""
    return lambda value: number(value, decimals, signed=signed)
