"""Errors and coverage in parts: by distance, level, hour and month, by fold and silence."""

import calendar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aqreanalysis.report.findings import ESTIMATOR, Findings, Part
from aqreanalysis.report.sheet import (
    DPI,
    WIDTH_IN,
    Picture,
    colour_of,
    line_of,
    method_entries,
    new_sheet,
    picture_of,
    root_ticks,
    write_legend,
)
from aqreanalysis.report.words import (
    enumerated,
    label_of,
    number,
    percent,
    subject_of,
    units_of,
)

#: Share of the width between two classes over which the methods are spread.
_SPREAD = 0.5
#: Levels with fewer values are in the table alone.
_LEAST_VALUES = 30


#: Label of the axis of each kind of parts, and a note for the caption.
_AXES = {
    "distance": (
        "Distance to the nearest known station (km)",
        "Distance is that to the nearest station the methods knew.",
    ),
    "level": (
        "Measured concentration",
        "Classes of what was measured. Estimates that are smoother than the air err upward at low "
        "levels and downward at high ones.",
    ),
    "hour": (
        "Hour of the day, local",
        "Local is UTC plus the whole hours nearest to longitude / 15.",
    ),
    "month": ("Month", "Months are of local time."),
    "fold": ("Fold", ""),
    "silence": ("Hours since the nearest known station reported", ""),
}
#: Kinds of parts of which the coverage is shown, by figure, and the lower end of its scale.
COVERED, _LEAST_COVERAGE = (("fold", "distance"), ("level", "silence")), 0.75


def distance_figure(findings: Findings) -> Picture | str:
    """Return the RMSE against distance, or why there is none."""
    part = findings.parts.get("distance")
    if part is None:
        return (
            "Error against distance to the nearest known station is left out: the distance is "
            "not known here."
        )
    figure, _ = _class_figure(
        findings, part, "distance", ("rmse",), [number(n) for n in findings.stations_by_distance()]
    )
    return picture_of(
        figure,
        title="Error and distance to the nearest known station",
        caption=f"RMSE; below each class its number of stations. {_AXES['distance'][1]}",
        alt=_alt(findings, part, "distance", "km to the nearest known station"),
    )


def level_figure(findings: Findings) -> Picture | str:
    """Return RMSE and bias by measured level."""
    part = _frequent(findings.parts["level"], "level")
    figure, axes = _class_figure(findings, part, "level", ("rmse", "bias"))
    axes.set_xlabel(f"Measured concentration ({units_of(findings.pairs)}), values scored below")
    _signed_root_scale(axes)
    return picture_of(
        figure,
        title="Error by level of pollution",
        caption="RMSE (filled) and bias (open) on a square-root scale; below each class its "
        f"number of values, {_LEAST_VALUES} at least. {_AXES['level'][1]}",
        alt=_alt(findings, part, "level", units_of(findings.pairs)),
    )


def _frequent(part: Part, dim: str) -> Part:
    """Parts with enough values to draw; all of them if none has enough."""
    enough = np.flatnonzero(part.scores["count"].max(ESTIMATOR).values >= _LEAST_VALUES)
    return part.isel({dim: enough if enough.size else slice(None)})


def covered_parts_figures(findings: Findings) -> list[Picture | str]:
    """Return the coverage of the 90 % interval in every kind of parts that is known."""
    known = [[kind for kind in pair if kind in findings.parts] for pair in COVERED]
    return [_covered_parts(findings, kinds) for kinds in known if kinds]


def _covered_parts(findings: Findings, kinds: list[str]) -> Picture:
    """Return the coverage of the 90 % interval in parts of some kinds, one above the other."""
    figure = Figure(figsize=(WIDTH_IN, 2.2 * len(kinds)), dpi=DPI, layout="constrained")
    shown, ranges = findings.probabilistic(), []
    panels = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
    for axes, kind in zip(panels, kinds, strict=True):
        part = _frequent(findings.parts[kind], kind)
        _draw_classes(axes, findings, part, kind, ("coverage_90",), shown)
        if kind == "level":
            axes.set_xlabel(f"{_AXES[kind][0]} ({units_of(findings.pairs)})")
        axes.axhline(0.9, color="#111111", linestyle=(0, (4, 3)), linewidth=1.2)
        axes.set_ylim(min(_LEAST_COVERAGE, axes.get_ylim()[0]), 1)
        axes.set_ylabel("Share within")
        coverage = part.scores["coverage_90"].sel({ESTIMATOR: shown[0]}).values
        low, high = (percent(float(end)) for end in (np.nanmin(coverage), np.nanmax(coverage)))
        ranges.append(f"by {kind} {low} to {high}")
    write_legend(figure, method_entries(shown, findings.methods, linestyle="none"))
    note = (
        " Intervals of an honest method, too, hold less of what is measured rarely, at both ends "
        "of the levels."
    )
    return picture_of(
        figure,
        title=f"Coverage by {enumerated(kinds)}",
        caption="Share of the measurements within the 90 % interval: right on the dashed line, "
        "too narrow below it. Under each class its number of values, "
        f"{_LEAST_VALUES} at least.{note * ('level' in kinds)}",
        alt=f"Plot of the share within the 90 % interval. {subject_of(shown[0])}: "
        f"{', '.join(ranges)}.",
    )


def _signed_root_scale(axes: Axes) -> None:
    """Scale an axis by square roots on both sides of 0, so that all levels can be read."""
    low, high = axes.get_ylim()
    axes.set_yscale(
        "function",
        functions=(lambda y: np.sign(y) * np.sqrt(np.abs(y)), lambda y: np.sign(y) * y**2),
    )
    axes.set_ylim(low, high)
    furthest = max(high, -low)
    above = root_ticks(furthest, apart=0.15)
    ticks = [tick for tick in [*-above[:0:-1], *above] if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])


def hour_figure(findings: Findings) -> Picture | str:
    """Return RMSE and bias by local hour, or why there are none."""
    part = findings.parts["hour"]
    if part.scores.sizes["hour"] < 2:
        return "Error by hour of the day is left out: the values are daily means."
    figure, axes = _line_figure(findings, part, "hour")
    axes.set_xticks(range(0, 24, 3))
    axes.set_xlim(-0.5, 23.5)
    return _line_picture(findings, figure, part, "hour", "Error by hour of the day")


def month_figure(findings: Findings) -> Picture | str:
    """Return RMSE and bias by month, or why there are none."""
    part = findings.parts["month"]
    months = part.scores["month"].values
    if months.size < 2:
        name = calendar.month_name[int(months[0])]
        return f"Error by month is left out: all values are of {name}."
    figure, axes = _line_figure(findings, part, "month")
    axes.set_xticks(months, [calendar.month_abbr[int(month)] for month in months])
    axes.set_xlim(months.min() - 0.5, months.max() + 0.5)
    return _line_picture(findings, figure, part, "month", "Error by month")


def _class_figure(
    findings: Findings,
    part: Part,
    dim: str,
    names: tuple[str, ...],
    below: list[str] | None = None,
) -> tuple[Figure, Axes]:
    """Return scores of all methods in classes, side by side, with their intervals."""
    figure, axes = new_sheet()
    shown = findings.scored()
    _draw_classes(axes, findings, part, dim, names, shown, below)
    axes.axhline(0, color="#555555", linewidth=0.8)
    what = " and bias" if "bias" in names else ""
    axes.set_ylabel(f"RMSE{what} ({units_of(findings.pairs)})")
    write_legend(figure, method_entries(shown, findings.methods, linestyle="none"))
    return figure, axes


def _draw_classes(
    axes: Axes,
    findings: Findings,
    part: Part,
    dim: str,
    names: tuple[str, ...],
    shown: list[str],
    below: list[str] | None = None,
) -> None:
    """Draw scores of methods in classes; below each its number of values, or what is given."""
    labels = [str(label).replace("-", "–") for label in part.scores[dim].values]
    if below is None:
        below = [_compact(count) for count in part.scores["count"].max(ESTIMATOR).values]
    offsets = (np.arange(len(shown)) - (len(shown) - 1) / 2) * _SPREAD / max(len(shown), 2)
    for method, offset in zip(reversed(shown), reversed(offsets), strict=True):
        place = np.arange(len(labels)) + offset
        for name in names:
            _draw_bars(axes, findings, part, method, name, place)
    axes.set_xticks(range(len(labels)), [f"{a}\n{b}" for a, b in zip(labels, below, strict=True)])
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(_AXES[dim][0])


def _draw_bars(
    axes: Axes, findings: Findings, part: Part, method: str, name: str, place: np.ndarray
) -> None:
    """Draw the points of one score with their intervals; filled, or open for the bias."""
    value = part.scores[name].sel({ESTIMATOR: method}).values
    low, high = part.ends(method, name)
    # One place in a class has no interval: a point without a bar.
    reach = np.nan_to_num([np.maximum(value - low, 0), np.maximum(high - value, 0)])
    valid = np.isfinite(value)
    style = line_of(method, findings.methods)
    axes.errorbar(
        place[valid],
        value[valid],
        yerr=reach[:, valid],
        **style,
        linestyle="none",
        markerfacecolor="white" if name == "bias" else style["color"],
        elinewidth=1.3,
    )


def _line_figure(findings: Findings, part: Part, dim: str) -> tuple[Figure, Axes]:
    """Return RMSE of all methods, and bias of the first and of kriging, along a cycle."""
    figure, axes = new_sheet()
    place = part.scores[dim].values
    low, high = part.ends(findings.method, "rmse")
    first = colour_of(findings.method, findings.methods)
    axes.fill_between(place, low, high, color=first, alpha=0.15, linewidth=0)
    with_bias = {findings.method, findings.reference}
    for method in reversed(findings.scored()):
        style = line_of(method, findings.methods)
        rmse, bias = (
            part.scores[name].sel({ESTIMATOR: method}).values for name in ("rmse", "bias")
        )
        axes.plot(place, rmse, **style, markersize=4)
        if method in with_bias:
            axes.plot(place, bias, color=style["color"], linestyle=(0, (4, 2)), linewidth=1.2)
    axes.axhline(0, color="#555555", linewidth=0.8)
    axes.set_xlabel(_AXES[dim][0])
    axes.set_ylabel(f"RMSE and bias ({units_of(findings.pairs)})")
    entries = method_entries(findings.scored(), findings.methods)
    dashed = Line2D([], [], color="#333333", linestyle=(0, (4, 2)), linewidth=1.2, label="bias")
    write_legend(figure, [*entries, dashed])
    return figure, axes


def _line_picture(findings: Findings, figure: Figure, part: Part, dim: str, title: str) -> Picture:
    """Return the picture of a cycle."""
    band = (
        f" The band is that of {subject_of(findings.method)}'s RMSE."
        if np.isfinite(part.ends(findings.method, "rmse")).any()
        else ""
    )
    return picture_of(
        figure,
        title=title,
        caption=f"RMSE (solid) and bias (dashed).{band} {_AXES[dim][1]}",
        alt=_alt(findings, part, dim, {"hour": "local hour", "month": "month"}[dim]),
    )


def _compact(count: float) -> str:
    """Return a count in few characters.

    Examples
    --------
    >>> _compact(950), _compact(12345), _compact(2.34e6)
    ('950', '12k', '2.3M')
    """
    if count < 1000:
        return f"{count:.0f}"
    size, letter = (1e3, "k") if count < 999_500 else (1e6, "M")
    return f"{count / size:.{1 if count / size < 9.95 else 0}f}{letter}"


def _alt(findings: Findings, part: Part, dim: str, units: str) -> str:
    """Return the RMSE of the first method at both ends of the axis, in words."""
    labels = [str(label) for label in part.scores[dim].values]
    rmse = part.scores["rmse"].sel({ESTIMATOR: findings.method}).values
    ends = [
        f"{number(rmse[end], findings.decimals)} at {labels[end]}"
        for end in ((0, -1) if len(labels) > 1 else (0,))
        if np.isfinite(rmse[end])
    ]
    methods = enumerated(label_of(method) for method in findings.scored())
    return (
        f"Plot of RMSE by {dim} ({units}) for {methods}. RMSE of {subject_of(findings.method)} "
        f"in {units_of(findings.pairs)}: {', '.join(ends) or 'none'}."
    )
