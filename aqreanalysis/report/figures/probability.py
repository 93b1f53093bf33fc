"""Whether the uncertainty is honest: coverage of intervals, positions of the truth, events."""

import numpy as np
from matplotlib.axes import Axes

from aqreanalysis.report.figures.sheet import (
    Picture,
    colour_of,
    marker_of,
    method_entries,
    new_sheet,
    picture_of,
    write_legend,
)
from aqreanalysis.report.findings import ESTIMATOR, Findings
from aqreanalysis.report.words import number, percent, pollutant_text, subject_of, units_of

#: Bars of the histogram, each of two bins of the statistics.
_BARS = 20
#: Fewer values than this tell no frequency; fewer events than that no reliability.
_LEAST_VALUES, _LEAST_EVENTS, _LEAST_CLASSES = 30, 50, 3


def coverage_figure(findings: Findings) -> Picture:
    """Return how much of the truth the central intervals of every size hold."""
    figure, axes = new_sheet()
    _diagonal(axes)
    shown = findings.probabilistic()
    for method in reversed(shown):
        nominal, observed = coverage(findings, method)
        axes.plot(
            nominal,
            observed,
            color=colour_of(method, findings.methods),
            marker=marker_of(method, findings.methods),
            markersize=4,
        )
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
    """Return nominal and observed share of central intervals, both from above 0 to below 1."""
    count = findings.statistics["pit_count"].sel({ESTIMATOR: method}).sum("station").values
    half = count.size // 2
    # An interval of the share p holds the positions within p / 2 of the middle.
    folded = count[half:] + count[:half][::-1]
    observed = np.cumsum(folded) / folded.sum()
    nominal = np.arange(1, half + 1) / half
    return nominal[:-1], observed[:-1]


def position_figure(findings: Findings) -> Picture:
    """Return the histogram of the positions of the truth in the estimated distributions."""
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
    """Return how often the truth falls in each twentieth, relative to an even share."""
    count = findings.statistics["pit_count"].sel({ESTIMATOR: method}).sum("station").values
    bars = count.reshape(_BARS, -1).sum(axis=1)
    return bars / bars.mean()


def reliability_figures(findings: Findings) -> list[Picture | str]:
    """Return reliability diagrams of the lowest and highest event that occurs often enough."""
    events = findings.statistics["event"].values
    first = findings.probabilistic()[0]
    told = [
        float(event)
        for event in events
        if _tables(findings, first, event)[1].sum() >= _LEAST_EVENTS
        and reliability(findings, first, event)[0].size >= _LEAST_CLASSES
    ]
    if not told:
        return [
            "Reliability of event probabilities is left out: no threshold was reached "
            f"{_LEAST_EVENTS} times with probabilities that vary."
        ]
    return [_reliability_figure(findings, event) for event in dict.fromkeys([told[0], told[-1]])]


def _reliability_figure(findings: Findings, event: float) -> Picture:
    """Return how often an event happened where its probability was said to be so much."""
    figure, axes = new_sheet()
    _diagonal(axes)
    shown = findings.probabilistic()
    for method in reversed(shown):
        said, happened, count = reliability(findings, method, event)
        colour = colour_of(method, findings.methods)
        axes.plot(said, happened, color=colour, linewidth=1.2)
        area = 12 * np.log10(np.maximum(count, 1)) ** 1.5
        marker = marker_of(method, findings.methods)
        axes.scatter(said, happened, area, color=colour, marker=marker, alpha=0.85, zorder=3)
    _, _, counts = (table.sum() for table in _tables(findings, shown[0], event))
    rate = float(_tables(findings, shown[0], event)[1].sum() / counts)
    axes.axhline(rate, color="#777777", linestyle=":", linewidth=1.3)
    axes.set_xlabel("Estimated probability of the event")
    axes.set_ylabel("Observed frequency")
    write_legend(figure, method_entries(shown, findings.methods))
    threshold = f"{event:g}{chr(160)}{units_of(findings.pairs)}"
    said, happened, _ = reliability(findings, shown[0], event)
    far = f", {percent(happened[-1])} where it says {percent(said[-1])}" if said.size > 1 else ""
    return picture_of(
        figure,
        title=f"Probability of {pollutant_text(findings.variable)} of {threshold} or more",
        caption="On the dashed line, what is said to have a chance of 30 % happens in 30 % of the "
        "cases. The larger a mark, the more values. Dotted: the overall frequency, "
        f"{percent(rate, 1)}.",
        alt=f"Reliability diagram for {threshold}. Where {subject_of(shown[0])} says "
        f"{percent(said[0])}, the event happens in {percent(happened[0])} of the cases{far}.",
    )


def reliability(
    findings: Findings, method: str, event: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean probability, observed frequency and number of values of each class."""
    said, happened, count = _tables(findings, method, event)
    enough = count >= _LEAST_VALUES
    return said[enough] / count[enough], happened[enough] / count[enough], count[enough]


def _tables(
    findings: Findings, method: str, event: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of probability and of events, and the number of values, of each class."""
    chosen = findings.statistics.sel({ESTIMATOR: method, "event": event})
    names = ("sum_probability", "event_count", "probability_count")
    said, happened, count = (chosen[name].sum("station").values for name in names)
    return said, happened, count


def _diagonal(axes: Axes) -> None:
    """Draw where both axes are equal, from 0 to 1."""
    axes.plot([0, 1], [0, 1], color="#111111", linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1))
