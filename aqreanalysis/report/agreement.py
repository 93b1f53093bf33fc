"""Estimates against measurements: joint densities and Taylor's diagram."""

from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import NullFormatter

from aqreanalysis.report.findings import ESTIMATOR, Findings, Part
from aqreanalysis.report.sheet import (
    SQUARE_IN,
    Picture,
    colour_of,
    drawable_pollutant,
    line_of,
    method_entries,
    new_sheet,
    picture_of,
    root_ticks,
    write_legend,
)
from aqreanalysis.report.words import (
    counted,
    enumerated,
    label_of,
    number,
    subject_of,
    units_of,
)

#: Values beyond this share of all are outside of the plot, on either axis.
_SHOWN_SHARE = 0.9999
#: Leaves a square beside the colour bar.
_NEARLY_SQUARE_IN = 4.2
_HALF_CIRCLE_IN = 3.6
_CORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


def density_figure(findings: Findings, method: str) -> Picture:
    """Joint density of measured and estimated values, both in square roots."""
    from cmcrameri import cm

    count = findings.statistics["density_count"].sel({ESTIMATOR: method})
    count = count.transpose("truth_bin", "estimate_bin")
    # Centres lie at odd halves of a width that is constant in the square root.
    width = 2 * np.sqrt(count["truth_bin"].values[0])
    edges = np.arange(count.sizes["truth_bin"] + 1) * width
    table = count.values
    shown = _bins_shown(table)
    figure, axes = new_sheet(_NEARLY_SQUARE_IN)
    mesh = axes.pcolormesh(
        edges[: shown + 1],
        edges[: shown + 1],
        np.ma.masked_less(table[:shown, :shown].T, 0.5),
        norm=LogNorm(1, max(table.max(), 2)),
        cmap=cm.batlow_r,
        rasterized=True,
    )
    top = edges[shown]
    axes.plot([0, top], [0, top], color="#111111", linestyle=(0, (4, 3)), linewidth=1.2)
    ticks = root_ticks(top**2)
    labels = [f"{tick:g}" for tick in ticks]
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.set_xticks(np.sqrt(ticks), labels)
    axes.set_yticks(np.sqrt(ticks), labels)
    units, name = units_of(findings.pairs), drawable_pollutant(findings.variable)
    axes.set_xlabel(f"Measured {name} ({units})")
    axes.set_ylabel(f"Estimated {name} ({units})")
    bar = figure.colorbar(mesh, ax=axes, label="Number of values", pad=0.02, format="{x:g}")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return picture_of(
        figure,
        title=f"Estimated against measured: {label_of(method)}",
        caption="Both axes are in square roots; colours are logarithmic. The dashed line is 1:1.",
        alt=f"Joint density of values measured and estimated by {subject_of(method)}; "
        f"correlation {_correlation(findings, method)}.",
    )


def taylor_figure(findings: Findings) -> Picture | str:
    """Taylor diagram, or why there is none."""
    marks = {method: _polar(findings.overall, method)[:, 0] for method in findings.methods}
    marks = {method: mark for method, mark in marks.items() if np.isfinite(mark).all()}
    if not marks:
        return (
            "Taylor's diagram is left out: the correlation is undefined, since measurements or "
            "estimates are constant."
        )
    stations = _polar(findings.stations, findings.method)
    stations = stations[:, np.isfinite(stations).all(axis=0)]
    furthest = max(1.3, *(1.08 * mark[1] for mark in marks.values()))
    furthest = float(np.max(np.minimum(1.08 * stations[1], 1.8), initial=furthest))
    widest = np.pi if any(mark[0] > np.pi / 2 for mark in marks.values()) else np.pi / 2
    figure = _taylor_axes(widest, furthest)
    inside = (stations[1] <= furthest) & (stations[0] <= widest)
    _draw_marks(figure.axes[0], findings, marks, stations[:, inside])
    write_legend(figure, method_entries([*marks], findings.methods, linestyle="none"))
    words = enumerated(
        f"{label_of(method)} correlation {number(np.cos(angle), 2)}, ratio {number(ratio, 2)}"
        for method, (angle, ratio) in marks.items()
    )
    return picture_of(
        figure,
        title="Taylor diagram",
        caption="Large marks: all values of a method; small dots: single stations of "
        f"{subject_of(findings.method)}. The star is a perfect estimate; the distance from it "
        "(dotted, in standard deviations of the measurements) is the RMSE without the bias. "
        f"{_outside(int((~inside).sum()))}After Taylor 2001.",
        alt=f"Taylor diagram of correlation and ratio of standard deviations: {words}.",
    )


def _polar(part: Part, method: str) -> np.ndarray:
    """Position in the diagram, (2, part): angle of correlation, ratio of standard deviations."""
    scores = part.scores.sel({ESTIMATOR: method})
    correlation, truth, estimate = (
        np.atleast_1d(scores[name].values) for name in ("correlation", "sd_truth", "sd_estimate")
    )
    ratio = np.divide(estimate, truth, np.full_like(truth, np.nan), where=truth > 0)
    return np.stack([np.arccos(np.clip(correlation, -1, 1)), ratio])


def _draw_marks(
    axes: Axes, findings: Findings, marks: dict[str, np.ndarray], stations: np.ndarray
) -> None:
    """Draw the methods, the first one over the others, and its stations as dots."""
    first = colour_of(findings.method, findings.methods)
    axes.scatter(stations[0], stations[1], s=9, color=first, alpha=0.3, linewidths=0)
    for method in reversed(marks):
        axes.plot(
            *marks[method],
            **line_of(method, findings.methods),
            markersize=8,
            markeredgecolor="white",
            clip_on=False,
            zorder=5,
        )


def _outside(count: int) -> str:
    """Return how many stations the diagram does not show."""
    return f"{counted(count, 'station')} beyond the edge. " if count else ""


def _taylor_axes(widest: float, furthest: float) -> Figure:
    """Return an empty diagram: correlation as angle, standard deviation as radius."""
    height = SQUARE_IN if widest <= np.pi / 2 else _HALF_CIRCLE_IN
    figure, plain = new_sheet(height, projection="polar")
    axes = cast(PolarAxes, plain)
    correlations = list(_CORRELATIONS)
    if widest > np.pi / 2:
        correlations += [-c for c in _CORRELATIONS[1:]]
    axes.set_thetamin(0)
    axes.set_thetamax(np.degrees(widest))
    axes.set_rlim(0, furthest)
    axes.set_thetagrids(np.degrees(np.arccos(correlations)), [f"{c:g}" for c in correlations])
    axes.set_rticks(np.arange(0.5, furthest, 0.5))
    turn = np.linspace(0, 2 * np.pi, 361)
    for radius in (0.25, 0.5, 0.75, 1.0):
        circle = 1 + radius * np.exp(1j * turn)
        seen = np.abs(circle) <= furthest
        radii = np.where(seen, np.abs(circle), np.nan)
        axes.plot(np.angle(circle), radii, color="#8a6d3b", linestyle=":", linewidth=1.1)
    axes.plot(turn, np.ones(361), color="#777777", linewidth=0.9)
    axes.plot(0, 1, marker="*", color="#111111", markersize=14, clip_on=False, zorder=6)
    axes.set_xlabel("Standard deviation relative to that of the measurements", labelpad=16)
    axes.text(np.pi / 4, 1.2 * furthest, "Correlation", rotation=-45, ha="center", va="center")
    return figure


def _bins_shown(table: np.ndarray) -> int:
    """Return how many bins from zero hold nearly all values on both axes."""
    share = np.cumsum(table.sum(axis=0) + table.sum(axis=1)) / max(2 * table.sum(), 1)
    return min(int(np.searchsorted(share, _SHOWN_SHARE)) + 2, table.shape[0])


def _correlation(findings: Findings, method: str) -> str:
    """Return the correlation of a method in words."""
    value = float(findings.overall.scores["correlation"].sel({ESTIMATOR: method}))
    return number(value, 2) if np.isfinite(value) else "undefined"
