"""Tables of the report: each number with its interval, or the reason why it is undefined."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from aqreanalysis.conventions import STATION
from aqreanalysis.report.findings import ESTIMATOR, REFERENCE, Findings, Part, Point
from aqreanalysis.report.parts import COVERED
from aqreanalysis.report.words import decimals_for, label_of, number, percent, units_of


@dataclass(frozen=True)
class Cell:
    """A number as text with its interval, or the reason why it is undefined."""

    text: str
    interval: str = ""
    undefined: bool = False


@dataclass(frozen=True)
class Row:
    """A row: its head and its cells; the first is that of the verified method."""

    head: str
    cells: list[Cell]
    first: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page, with a note below it.

    Columns have a title and units, the first that of the heads; groups are titles over so many
    columns each; ``words`` columns from the left hold words, not numbers.
    """

    title: str
    note: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    groups: list[tuple[str, int]] = field(default_factory=list)
    words: int = 1


Form = Callable[[float], str]


def method_table(findings: Findings) -> Table:
    """Scores of every method, compared with kriging's."""
    units = units_of(findings.pairs)
    rows = []
    for method in findings.methods:
        (point,) = findings.overall.points(method)
        cells = _cells(
            findings,
            point,
            ("rmse", "mae", "bias", "r2", "crps", "coverage_90"),
            findings.overall.ends(method, "rmse")[:, 0],
        )
        if findings.change is not None:
            cells.insert(1, _difference(findings, method, point))
        rows.append(_method_row(findings, method, cells))
    difference = [("RMSE against kriging", "95 % interval")] if findings.change is not None else []
    return Table(
        "Scores of all methods",
        _samples(findings),
        [("Method", ""), ("RMSE", f"{units}, 95 % interval"), *difference, ("MAE", units),
         ("Bias", units), ("R²", ""), ("CRPS", units), ("90 % coverage", "")],
        rows,
    )  # fmt: skip


def _difference(findings: Findings, method: str, point: Point) -> Cell:
    """Relative difference of the RMSE from kriging's, in per cent."""
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
    missing = _missing(findings)
    if len(findings.methods) == 1:
        return missing
    note = "Every method is scored on the same values."
    if np.ptp(findings.overall.scores["count"].values) > 0:
        note = "At each station, methods that answer there are scored on the same values."
    return f"{note} {missing}".rstrip()


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
    """Scores of daily means; None where the values are daily."""
    daily = findings.daily
    if daily is None:
        return None
    units = units_of(findings.pairs)
    rows = []
    for method in findings.methods:
        (point,) = daily.points(method)
        scores = ("rmse", "mae", "bias", "r2", "crps", "coverage_90")
        cells = _cells(findings, point, scores, daily.ends(method, "rmse")[:, 0])
        rows.append(_method_row(findings, method, [Cell(number(point["count"])), *cells]))
    return Table(
        "Daily means",
        "Of local days with at least 75 % of their values. The standard error of a mean follows "
        "from those of its values and from how long errors last, as learned at stations that were "
        "left out of those that a method knows.",
        [("Method", ""), ("Days", ""), ("RMSE", f"{units}, 95 % interval"), ("MAE", units),
         ("Bias", units), ("R²", ""), ("CRPS", units), ("90 % coverage", "")],
        rows,
    )  # fmt: skip


def event_table(findings: Findings) -> Table:
    """Hit rate, false-alarm ratio and critical success index at every threshold."""
    rows = []
    for event in findings.overall.scores["event"].values:
        for method in findings.methods:
            at = findings.overall.scores.sel({ESTIMATOR: method, "event": event})
            point = {str(name): float(at[name]) for name in at.data_vars}
            scores = ("hit_rate", "false_alarm_ratio", "critical_success_index")
            cells = [Cell(label_of(method)), Cell(number(point["event_total"]))]
            cells += _cells(findings, point, scores)
            rows.append(Row(f"≥ {event:g}", cells, first=method == findings.method))
    return Table(
        "Events",
        "An event is a value at or above the threshold.",
        [("Threshold", units_of(findings.pairs)), ("Method", ""), ("Events", ""), ("Hit rate", ""),
         ("False-alarm ratio", ""), ("Critical success index", "")],
        rows,
        words=2,
    )  # fmt: skip


def distance_table(findings: Findings) -> Table | None:
    """RMSE of all methods by distance; None where that is unknown."""
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
    """RMSE and bias of all methods by measured level."""
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
        cells = [Cell(number(max(points[index]["count"] for points in by_method.values())))]
        for name, form in forms.items():
            for method, points in by_method.items():
                # The interval of the bias would make the table too wide.
                ends = part.ends(method, name)[:, index] if name == "rmse" else ()
                cells.append(_cell(points[index], name, form, ends))
        rows.append(Row(str(label).replace("-", "–"), cells))
    return rows


def coverage_table(findings: Findings) -> Table | None:
    """Coverage of the 90 % interval of all methods in parts; None without standard errors."""
    shown = findings.probabilistic()
    if not shown:
        return None
    rows = []
    units = {"level": f", {units_of(findings.pairs)}", "distance": ", km", "silence": ", hours"}
    for kind in (kind for kinds in COVERED for kind in kinds if kind in findings.parts):
        part = findings.parts[kind]
        by_method = {method: part.points(method) for method in shown}
        for index, label in enumerate(part.scores[kind].values):
            cells = [Cell(str(label).replace("-", "–"))]
            cells.append(Cell(number(max(points[index]["count"] for points in by_method.values()))))
            cells += [
                _cell(
                    points[index],
                    "coverage_90",
                    lambda share: percent(share, 1),
                    part.ends(method, "coverage_90")[:, index],
                )
                for method, points in by_method.items()
            ]
            rows.append(Row(kind.capitalize() + units.get(kind, ""), cells))
    return Table(
        "Coverage of the 90 % interval in parts",
        "Distance and silence are those of the nearest station that the methods knew: hours since "
        "it last reported. An interval of one station in a part is not known.",
        [
            ("Part", ""),
            ("Class", ""),
            ("Values", ""),
            *((label_of(method), "") for method in shown),
        ],
        rows,
        [("", 3), ("Share within (95 % interval)", len(shown))],
        words=2,
    )


def station_table(findings: Findings) -> Table:
    """Scores of the first method at every station, the largest error first."""
    points = findings.stations.points(findings.method)
    stations = findings.stations.scores[STATION].values
    distance = np.full(stations.size, np.nan)
    if "distance_km" in findings.statistics.coords:
        distance = findings.statistics["distance_km"].values
    rmse = np.array([point["rmse"] for point in points])
    rows = []
    for index in np.argsort(np.where(np.isfinite(rmse), -rmse, np.inf), kind="stable"):
        km = distance[index]
        cells = [
            Cell(number(km, 1)) if np.isfinite(km) else Cell("unknown", undefined=True),
            Cell(number(points[index]["count"])),
            *_cells(findings, points[index], ("rmse", "bias", "r2")),
        ]
        rows.append(Row(str(stations[index]), cells))
    units = units_of(findings.pairs)
    return Table(
        f"All stations, {label_of(findings.method)}",
        "Largest RMSE first.",
        [("Station", ""), ("Nearest known station", "km"), ("Values", ""), ("RMSE", units),
         ("Bias", units), ("R²", "")],
        rows,
    )  # fmt: skip


def why_undefined(name: str, point: Point) -> str:
    """Reason why a score has no value.

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


def _method_row(findings: Findings, method: str, cells: list[Cell]) -> Row:
    """Return the row of a method."""
    return Row(label_of(method), cells, first=method == findings.method)


def _cells(
    findings: Findings, point: Point, scores: Iterable[str], rmse_ends: Iterable[float] = ()
) -> list[Cell]:
    """Return scores as cells, the RMSE with its interval."""
    concentration = _form(findings.decimals)
    forms = {
        "rmse": concentration,
        "mae": concentration,
        "bias": _form(findings.decimals, signed=True),
        "crps": concentration,
        "coverage_90": lambda share: percent(share, 1),
    }
    return [
        _cell(point, name, forms.get(name, _form(2)), rmse_ends if name == "rmse" else ())
        for name in scores
    ]


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
