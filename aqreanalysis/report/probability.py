"""Figures of the uncertainty: coverage of intervals, PIT, reliability of event probabilities."""

import numpy as np
from matplotlib.axes import Axes

from aqreanalysis.report.findings import ESTIMATOR, Findings
from aqreanalysis.report.sheet import (
    Picture,
    colour_of,
    line_of,
    method_entries,
    new_sheet,
    picture_of,
    write_legend,
)
from aqreanalysis.report.words import number, percent, pollutant_text, subject_of, units_of

#: Bars of the histogram, each of two bins of the statistics.
_BARS = 20
#: Fewer values than this tell no frequency; fewer events than that no reliability.
_LEAST_VALUES, _LEAST_EVENTS, _LEAST_CLASSES = 30, 50, 3


def coverage_figure(findings: Findings) -> Picture:
    """Observed against nominal coverage of central intervals."""
    figure, axes = new_sheet()
    _diagonal(axes)
    shown = findings.probabilistic()
    for method in reversed(shown):
        nominal, observed = coverage(findings, method)
        axes.plot(nominal, observed, **line_of(method, findings.methods), markersize=4)
    axes.set_xlabel("Nominal share of the interval")
    axes.set_ylabel("Share of measurements within")
    write_legend(figure, method_entries(shown, findings.methods))
    nominal, observed = coverage(findings, shown[0])
    return picture_of(
        figure,
        title="Coverage of intervals",
        caption="Central intervals of every size. On the dashed line they hold what they "
        "promise; above it they are too wide, below it too narrow.",
        alt=f"Plot of observed against nominal coverage. The 50 % intervals of "
        f"{subject_of(shown[0])} hold {percent(float(np.interp(0.5, nominal, observed)))}, "
        f"the 90 % intervals {percent(float(np.interp(0.9, nominal, observed)))}.",
    )


def coverage(findings: Findings, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Nominal and observed coverage of central intervals, both between 0 and 1."""
    count = findings.statistics["pit_count"].sel({ESTIMATOR: method}).sum("station").values
    half = count.size // 2
    # An interval of the share p holds the positions within p / 2 of the middle.
    folded = count[half:] + count[:half][::-1]
    observed = np.cumsum(folded) / folded.sum()
    nominal = np.arange(1, half + 1) / half
    return nominal[:-1], observed[:-1]


def position_figure(findings: Findings) -> Picture:
    """PIT histogram: positions of the measurements in the estimated distributions."""
    figure, axes = new_sheet()
    shown = findings.probabilistic()
    first, reference = shown[0], findings.reference
    edges = np.linspace(0, 1, _BARS + 1)
    axes.stairs(
        positions(findings, first),
        edges,
        fill=True,
        color=colour_of(first, findings.methods),
        alpha=0.55,
    )
    outlined = [reference] if reference in shown and reference != first else []
    for method in outlined:
        colour = colour_of(method, findings.methods)
        axes.stairs(positions(findings, method), edges, color=colour, linewidth=1.8)
    axes.axhline(1, color="#111111", linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, None)
    axes.set_xlabel("Position of the measurement in the estimated distribution")
    axes.set_ylabel("Frequency relative to the ideal")
    write_legend(figure, method_entries([first, *outlined], findings.methods, linewidth=4))
    heights = positions(findings, first)
    beside = f", outlined for {subject_of(outlined[0])}" if outlined else ""
    return picture_of(
        figure,
        title="Where measurements fall (PIT histogram)",
        caption=f"Filled for {subject_of(first)}{beside}. Flat at 1 is ideal: a hump in the "
        "middle means too wide, horns at both ends too narrow, a slope biased.",
        alt="Histogram of the probability integral transform. Relative frequency of "
        f"{subject_of(first)}: {number(heights[0], 1)} in the lowest twentieth, "
        f"{number(heights[_BARS // 2 - 1 : _BARS // 2 + 1].mean(), 1)} in the middle, "
        f"{number(heights[-1], 1)} in the highest.",
    )


def positions(findings: Findings, method: str) -> np.ndarray:
    """PIT histogram in twenty bins, relative to a uniform one."""
    count = findings.statistics["pit_count"].sel({ESTIMATOR: method}).sum("station").values
    bars = count.reshape(_BARS, -1).sum(axis=1)
    return bars / bars.mean()


def reliability_figures(findings: Findings) -> list[Picture | str]:
    """Reliability diagrams of the lowest and the highest event that is frequent enough."""
    first = findings.probabilistic()[0]
    frequent = [
        float(event)
        for event in findings.statistics["event"].values
        if _tables(findings, first, event)[1].sum() >= _LEAST_EVENTS
        and reliability(findings, first, event)[0].size >= _LEAST_CLASSES
    ]
    if not frequent:
        return [
            "Reliability of event probabilities is left out: no threshold was reached "
            f"{_LEAST_EVENTS} times with probabilities that vary."
        ]
    chosen = dict.fromkeys([frequent[0], frequent[-1]])
    return [_reliability_figure(findings, event) for event in chosen]


def _reliability_figure(findings: Findings, event: float) -> Picture:
    """Reliability diagram: observed frequency against estimated probability of an event."""
    figure, axes = new_sheet()
    _diagonal(axes)
    shown = findings.probabilistic()
    for method in reversed(shown):
        stated, observed, count = reliability(findings, method, event)
        style = line_of(method, findings.methods)
        axes.plot(stated, observed, color=style["color"], linewidth=1.2)
        area = 12 * np.log10(np.maximum(count, 1)) ** 1.5
        axes.scatter(stated, observed, area, **style, alpha=0.85, zorder=3)
    _, events, counts = (table.sum() for table in _tables(findings, shown[0], event))
    rate = float(events / counts)
    axes.axhline(rate, color="#777777", linestyle=":", linewidth=1.3)
    axes.set_xlabel("Estimated probability of the event")
    axes.set_ylabel("Observed frequency")
    write_legend(figure, method_entries(shown, findings.methods))
    threshold = f"{event:g}{chr(160)}{units_of(findings.pairs)}"
    stated, observed, _ = reliability(findings, shown[0], event)
    last = ""
    if stated.size > 1:
        last = f", {percent(observed[-1])} where it says {percent(stated[-1])}"
    return picture_of(
        figure,
        title=f"Probability of {pollutant_text(findings.variable)} of {threshold} or more",
        caption="On the dashed line, what is said to have a chance of 30 % happens in 30 % of the "
        "cases. The larger a mark, the more values. Dotted: the overall frequency, "
        f"{percent(rate, 1)}.",
        alt=f"Reliability diagram for {threshold}. Where {subject_of(shown[0])} says "
        f"{percent(stated[0])}, the event happens in {percent(observed[0])} of the cases{last}.",
    )


def reliability(
    findings: Findings, method: str, event: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, observed frequency and number of values of each class."""
    stated, observed, count = _tables(findings, method, event)
    enough = count >= _LEAST_VALUES
    return stated[enough] / count[enough], observed[enough] / count[enough], count[enough]


def _tables(
    findings: Findings, method: str, event: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of probability and of events, and the number of values, of each class."""
    chosen = findings.statistics.sel({ESTIMATOR: method, "event": event})
    names = ("sum_probability", "event_count", "probability_count")
    stated, observed, count = (chosen[name].sum("station").values for name in names)
    return stated, observed, count


def _diagonal(axes: Axes) -> None:
    """Draw where both axes are equal, from 0 to 1."""
    axes.plot([0, 1], [0, 1], color="#111111", linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1))
