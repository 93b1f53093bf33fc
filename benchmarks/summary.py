"""The tables of scores that README shows, made of the records alone."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparing import (
    OURS,
    Standing,
    backgrounds_of,
    differences_table,
    read_stations,
    standings,
)
from benchmarks.measuring import LAWS, WITH
from benchmarks.protocols import PROTOCOLS
from benchmarks.tables import markdown

#: Columns of the tables before the neural method. A law leaves RMSE and MAE as they are.
ESTIMATES = ("idw", "kriging", "space_time_kriging")
DISTRIBUTIONS = ("idw", "kriging", "space_time_kriging", *LAWS)
#: Scores of which the mean over values is that of the splits, by their counts.
MEANS = ("mae", "crps", "coverage")


def summed_up(scores: Path, stations: Path) -> str:
    """Return the tables: RMSE and MAE, CRPS and coverage, and the differences with intervals."""
    rows, by_protocol = latest(scores), standings(read_stations(stations))
    tables = [
        _table(rows, "RMSE / MAE", ESTIMATES, lambda s: f"{s['rmse']:.2f} / {s['mae']:.2f}",
               by_protocol, ("rmse", "mae")),
        _table(rows, "CRPS / share within the 90 % interval", DISTRIBUTIONS,
               lambda s: f"{s['crps']:.2f} / {s['coverage']:.3f}", by_protocol, ("crps",)),
        markdown(differences_table(by_protocol)),
    ]  # fmt: skip
    return "\n\n".join(tables)


def latest(path: Path) -> list[dict[str, Any]]:
    """Return the medians' scores of all values, of each split and method the last of seed 0."""
    with path.open(newline="") as stream:
        last = {
            (row["protocol"], row["split"], row["method"]): row
            for row in csv.DictReader(stream)
            if row["stratum"] == "all" and row["statistic"] == "median" and row["seed"] in ("", "0")
        }
    numbers = ("count", "rmse", *MEANS)
    return [row | {name: float(row[name] or "nan") for name in numbers} for row in last.values()]


def combined(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, float] | None:
    """Return the scores of one method on a protocol as it combines splits; None if one lacks."""
    protocol = PROTOCOLS[key]
    if len(rows) < (1 if protocol.combine == "each" else protocol.count):
        return None
    pooled = protocol.combine == "pooled"
    weights = [row["count"] if pooled else 1.0 for row in rows]
    means = {name: np.average([row[name] for row in rows], weights=weights) for name in MEANS}
    power = 2 if pooled else 1
    rmse = np.average([row["rmse"] ** power for row in rows], weights=weights) ** (1 / power)
    return {name: float(value) for name, value in (means | {"rmse": rmse}).items()}


def _table(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    methods: Sequence[str],
    cell: Callable[[Mapping[str, float]], str],
    by_protocol: Mapping[tuple[str, str], Standing],
    compared: Sequence[str],
) -> str:
    """Return a table with a row for each protocol, or split of its own, and the methods beside.

    The last column is how the neural method stands to the best of the baselines, in percent.
    """
    body = []
    for key, protocol in PROTOCOLS.items():
        of_protocol = [row for row in rows if row["protocol"] == key]
        splits = {row["split"] for row in of_protocol} if protocol.combine == "each" else {""}
        for split in sorted(splits):
            part = [row for row in of_protocol if split in ("", row["split"])]
            for behind in backgrounds_of(part):
                scores = {
                    name: combined([row for row in part if row["method"] == name + behind], key)
                    for name in (*methods, *OURS)
                }
                if not any(scores.values()):
                    continue
                ours = next((name for name in OURS if scores[name]), OURS[0])
                cells = [cell(of) if (of := scores[name]) else "-" for name in (*methods, ours)]
                cells[-1] += ", with its network" * (ours != OURS[0])
                label = f"{split} hidden" if split else protocol.title
                if behind:
                    label = f"with {behind[1:].replace(WITH, ' and ')}"
                standing = by_protocol.get((key + behind, split))
                last = [standing.scores[score].percent for score in compared] if standing else ["-"]
                body.append([f"{label} (`{key}{behind}`)", *cells, " / ".join(last)])
    return markdown([[title, *methods, "neural", "neural to the best, %"], *body])
