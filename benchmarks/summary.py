"""The tables of scores that README shows, made of the records alone."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparing import OURS, differences_table, read_stations
from benchmarks.measuring import BASELINES
from benchmarks.protocols import PROTOCOLS
from benchmarks.tables import markdown

#: Rows of the record that are shown, each a column; of the neural method the first there is.
METHODS = ("idw", *BASELINES)
#: Means of these are taken over the values of all splits where a protocol pools them.
POOLED = ("mae", "crps", "coverage")


def summed_up(scores: Path, stations: Path) -> str:
    """Return the tables: RMSE and MAE, CRPS and coverage, and the differences with intervals."""
    rows = latest(scores)
    parts = [(key, "") for key in PROTOCOLS if PROTOCOLS[key].combine != "each"]
    splits = dict.fromkeys((row["protocol"], row["split"]) for row in rows)
    parts += [(key, split) for key, split in splits if PROTOCOLS[key].combine == "each"]
    parts.sort()
    tables = [
        _table(rows, parts, "RMSE / MAE", lambda s: f"{s['rmse']:.2f} / {s['mae']:.2f}"),
        _table(
            rows, parts, "CRPS / within the 90 % interval",
            lambda s: f"{s['crps']:.2f} / {s['coverage']:.3f}",
        ),
        markdown(differences_table(read_stations(stations))),
    ]  # fmt: skip
    return "\n\n".join(tables)


def latest(path: Path) -> list[dict[str, Any]]:
    """Return the medians' scores of all values, of each split and run the last."""
    with path.open(newline="") as stream:
        last = {
            (row["protocol"], row["split"], row["method"], row["seed"]): row
            for row in csv.DictReader(stream)
            if row["stratum"] == "all" and row["statistic"] == "median" and row["seed"] in ("", "0")
        }
    numbers = ("count", "rmse", *POOLED)
    return [row | {name: float(row[name] or "nan") for name in numbers} for row in last.values()]


def combined(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, float] | None:
    """Return the scores of one method on a protocol, None where splits are lacking."""
    protocol = PROTOCOLS[key]
    if not rows or (protocol.combine != "each" and len(rows) < protocol.count):
        return None
    if protocol.combine == "mean":
        return {name: float(np.mean([row[name] for row in rows])) for name in ("rmse", *POOLED)}
    count = np.array([row["count"] for row in rows])
    pooled = {
        name: float(np.average([row[name] for row in rows], weights=count)) for name in POOLED
    }
    square = np.average([row["rmse"] ** 2 for row in rows], weights=count)
    return pooled | {"rmse": float(np.sqrt(square))}


def _table(
    rows: Sequence[Mapping[str, Any]], parts: Sequence[tuple[str, str]], title: str, cell: Any
) -> str:
    """Return a table with a row for each protocol or split and a column for each method."""
    body = []
    for key, split in parts:
        of_part = [r for r in rows if r["protocol"] == key and split in ("", r["split"])]
        by_method = {
            name: combined([r for r in of_part if r["method"] == name], key)
            for name in (*METHODS, *OURS)
        }
        ours = next((name for name in OURS if by_method[name]), OURS[0])
        cells = [cell(scores) if (scores := by_method[name]) else "-" for name in (*METHODS, ours)]
        body.append([f"`{key}`" + f", {split}" * bool(split), *cells])
    return markdown([[title, *METHODS, OURS[0]], *body])
