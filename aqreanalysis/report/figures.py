"""The figures of the report, in groups; what cannot be drawn says why instead."""

from dataclasses import dataclass

from aqreanalysis.figures.sheet import house_style
from aqreanalysis.report.agreement import density_figure, taylor_figure
from aqreanalysis.report.findings import Findings
from aqreanalysis.report.parts import (
    covered_parts_figures,
    distance_figure,
    hour_figure,
    level_figure,
    month_figure,
)
from aqreanalysis.report.probability import (
    coverage_figure,
    position_figure,
    reliability_figures,
)
from aqreanalysis.report.sheet import Picture
from aqreanalysis.report.stations import map_figure, series_figures, series_intro

_ABOUT_INTERVALS = (
    "Bars and bands in all figures are 95 % intervals of a bootstrap over places. All methods are "
    "scored at the same stations, so bars that overlap may still differ: whether they do, the "
    "differences in the table above say."
)


@dataclass(frozen=True)
class Group:
    """Figures that answer one question, and why others are missing."""

    title: str
    intro: str
    pictures: list[Picture]
    omitted: list[str]

    @classmethod
    def of(cls, title: str, drawn: list[Picture | str], *, intro: str = "") -> "Group":
        """Return the group of what was drawn, and of the reasons for what was not."""
        pictures = [one for one in drawn if isinstance(one, Picture)]
        return cls(title, intro, pictures, [one for one in drawn if isinstance(one, str)])


def draw_groups(findings: Findings) -> list[Group]:
    """Draw all figures of the report."""
    with house_style():
        return [
            Group.of(
                "Where the errors are",
                [map_figure(findings), distance_figure(findings)],
                intro=_ABOUT_INTERVALS if min(len(findings.scored()), findings.places) > 1 else "",
            ),
            Group.of("Whether the uncertainty is honest", _probability(findings)),
            Group.of("Estimates against measurements", _agreement(findings)),
            Group.of("When the errors are", [hour_figure(findings), month_figure(findings)]),
            _series(findings),
        ]


def _probability(findings: Findings) -> list[Picture | str]:
    """Return the figures of uncertainty, or that there is none."""
    if not findings.probabilistic():
        return ["These figures are left out: no method gives a standard error."]
    return [
        coverage_figure(findings),
        *covered_parts_figures(findings),
        position_figure(findings),
        *reliability_figures(findings),
    ]


def _agreement(findings: Findings) -> list[Picture | str]:
    """Return densities of the first method and of kriging, Taylor's diagram, errors by level."""
    compared = [findings.method]
    if findings.reference in findings.scored() and findings.reference != findings.method:
        compared.append(str(findings.reference))
    shown = [method for method in compared if method in findings.scored()]
    return [
        *(density_figure(findings, method) for method in shown),
        taylor_figure(findings),
        level_figure(findings),
    ]


def _series(findings: Findings) -> Group:
    """Return the time series of two stations, or of the only one."""
    drawn = series_figures(findings)
    if len(drawn) == 2:
        return Group.of("The best and the worst station", drawn, intro=series_intro(findings))
    return Group.of("Time series", drawn)
