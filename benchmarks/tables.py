"""Tables: published figures beside what is measured, and errors by stratum."""

import statistics
from collections.abc import Sequence

from benchmarks.comparing import OURS, backgrounds_of, compared, station_rows
from benchmarks.measuring import Measured, combined, stratified
from benchmarks.protocols import Protocol
from benchmarks.published import Figure, figures
from benchmarks.scores import Scores

#: Column and attribute of each score, with its format.
COLUMNS = (
    ("RMSE", "rmse", ".2f"),
    ("MAE", "mae", ".2f"),
    ("bias", "bias", "+.2f"),
    ("R2", "r2", ".3f"),
    ("corr", "correlation", ".3f"),
    ("MAPE", "mape", ".3f"),
    ("CRPS", "crps", ".2f"),
    ("90 %", "coverage", ".3f"),
)


def score_table(results: Sequence[Measured], *, folds: Sequence[int] | None) -> str:
    """Return the Markdown table of one protocol: published rows first, then one a method."""
    protocol = results[0].protocol
    published = figures(protocol.key, folds)
    head = ["method", "source", *(name for name, *_ in COLUMNS), "values", "fit s", "predict s"]
    body = [_published_row(figure) for figure in published]
    for group in _groups(results, each=protocol.combine == "each"):
        body.append(_measured_row(protocol, group))
    shown = [i for i in range(len(head)) if any(row[i] for row in body)]
    if all(figure.correlation is None for figure in published):
        shown.remove(head.index("corr"))
    return markdown([[row[i] for i in shown] for row in [head, *body]])


def strata_table(results: Sequence[Measured], by: str) -> str:
    """Return the Markdown table of RMSE / MAE / bias in each stratum, methods side by side."""
    groups = _groups(results, each=False)
    strata = [dict(stratified(group, by)) for group in groups]
    unit = "km to the nearest known station" if by == "distance" else "truth, ug m-3"
    body = []
    for name in strata[0]:
        scores = [column[name] for column in strata]
        cells = [f"{s.rmse:.2f} / {s.mae:.2f} / {s.bias:+.2f}" for s in scores]
        body.append([name, str(scores[0].count), *cells])
    return markdown([[unit, "values", *map(_label, groups)], *body])


def comparison_lines(results: Sequence[Measured]) -> list[str]:
    """Return how the neural method stands to the best of the baselines, one line a split or all."""
    lines = []
    for group in _by_split(results):
        rows = [row for result in group for row in station_rows(result)]
        rows = [row for row in rows if row["statistic"] == group[0].statistic]
        for method in [name + behind for name in OURS for behind in backgrounds_of(rows)]:
            comparisons = compared(rows, method)
            parts = [f"{name.upper()} {each}" for name, each in comparisons.items()]
            split = f", {group[0].split}" if group[0].protocol.combine == "each" else ""
            if parts:
                lines.append(f"{method}{split}: {'; '.join(parts)}")
    return lines


def _by_split(results: Sequence[Measured]) -> list[list[Measured]]:
    """Return all results together, or those of each split where a protocol scores each."""
    if results[0].protocol.combine != "each":
        return [list(results)]
    splits = dict.fromkeys(result.split for result in results)
    return [[result for result in results if result.split == split] for split in splits]


def _groups(results: Sequence[Measured], *, each: bool) -> list[list[Measured]]:
    """Return the results of each method, or of each method and split."""
    groups: dict[tuple[str, str, str], list[Measured]] = {}
    for result in results:
        key = (result.split if each else "", result.method, result.statistic)
        groups.setdefault(key, []).append(result)
    return list(groups.values())


def _label(group: Sequence[Measured]) -> str:
    """Return the name of a group's method; the reference says what it is."""
    first = group[0]
    name = f"reference: {first.protocol.reference_name}"
    return (name if first.method == "reference" else first.method) + (
        ", mean" if first.statistic == "mean" else ""
    )


def _published_row(figure: Figure) -> list[str]:
    """Return the row of a published figure; empty where nothing is given."""
    row = [figure.method, str(figure.source)]
    for _, name, form in COLUMNS:
        value = getattr(figure, name, None)
        row.append("" if value is None else format(value, form))
    return [*row, "", "", ""]


def _measured_row(protocol: Protocol, group: Sequence[Measured]) -> list[str]:
    """Return the row of what one method reached."""
    scores: Scores = combined(group)
    row = [_label(group), "measured"]
    if protocol.combine == "each":
        row[0] += f", {group[0].split}"
    for _, name, form in COLUMNS:
        value = getattr(scores, name)
        row.append("" if value != value else format(value, form) + _spread(group, name, form))
    seeds = len({result.seed for result in group})
    if seeds > 1:
        row[0] += f", mean of {seeds} seeds"
    count = str(scores.count // seeds) + (f" (-{scores.missing // seeds})" * bool(scores.missing))
    fit, predict = (
        sum(getattr(r, name) for r in group) / seeds for name in ("fit_seconds", "predict_seconds")
    )
    return [*row, count, f"{fit:.1f}", f"{predict:.1f}"]


def _spread(group: Sequence[Measured], name: str, form: str) -> str:
    """Return the standard deviation of a score over the seeds, if there are several."""
    seeds = sorted({result.seed for result in group if result.seed is not None})
    if len(seeds) < 2:
        return ""
    scores = [
        getattr(combined([result for result in group if result.seed == seed]), name)
        for seed in seeds
    ]
    return f" ± {statistics.stdev(scores):{form.lstrip('+')}}"


def markdown(rows: list[list[str]]) -> str:
    """Return rows as an aligned Markdown table; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    aligned = [
        "| " + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ) + " |"
        for row in rows
    ]  # fmt: skip
    rule = "|" + "|".join(
        "-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)
    )
    return "\n".join([aligned[0], rule + "|", *aligned[1:]])
