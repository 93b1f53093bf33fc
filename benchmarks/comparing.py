"""The neural method against the best of the baselines, with intervals over stations."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.network import StationNetwork
from aqreanalysis.verification import differences, metrics
from aqreanalysis.verification.scoring import SUMMED
from benchmarks.measuring import BASELINES, COVARIANCE, WITH, Measured, parts_of
from benchmarks.protocols import PROTOCOLS

#: Scores that are compared.
COMPARED = ("rmse", "mae", "crps")
#: Where baselines with other backgrounds than the method's are left out.
SAME = "same inputs"
#: What is compared with the baselines: what is mostly used of the default method, or all of it.
OURS = (COVARIANCE, "neural")


@dataclass(frozen=True)
class Comparison:
    """One score of a method, and the same of the baseline that is best in it.

    ``difference`` is relative, -0.02 is 2 % less; ``low`` and ``high`` are the ends of its 95 %
    interval, NaN with one station alone.
    """

    value: float
    baseline: str
    best: float
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says: the sign is proven or it is not."""
        if not np.isfinite(self.low):
            return "one station"
        return "worse" if self.low > 0 else "better" if self.high < 0 else "not distinguishable"

    @property
    def percent(self) -> str:
        """The difference in percent with its interval; bold where the sign is proven."""
        bounds = f" [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        text = f"{100 * self.difference:+.1f}" + bounds * bool(np.isfinite(self.low))
        return f"**{text}**" if self.verdict in ("worse", "better") else text

    def __str__(self) -> str:
        """Return the difference, what it says, and the two scores."""
        scores = f"{self.value:.2f}, {self.baseline} {self.best:.2f}"
        return f"{self.percent} {self.verdict}: {scores}"


def station_rows(result: Measured) -> list[dict[str, Any]]:
    """Return the scores of a result at each hidden station, from which all intervals follow."""
    scores = metrics(result.statistics, by="station").isel(estimator=0)
    rows = []
    for name in scores["station"].values:
        one = scores.sel(station=name)
        if not one["count"] > 0:
            continue
        rows.append(
            {
                "protocol": result.protocol.key,
                "split": result.split,
                "method": result.method,
                "seed": "" if result.seed is None else result.seed,
                "statistic": result.statistic,
                "station": str(name).removesuffix(f", {result.split}"),
                "longitude": float(result.statistics["longitude"].sel(station=name)),
                "latitude": float(result.statistics["latitude"].sel(station=name)),
                "count": int(one["count"]),
                **{score: float(f"{float(one[score]):.6g}") for score in COMPARED},
            }
        )
    return rows


def read_stations(path: Path) -> list[dict[str, Any]]:
    """Return a record of `station_rows`; of a station measured twice, the last row.

    Raises
    ------
    ValueError
        If the file lacks a column.
    """
    identity = ("protocol", "split", "method", "seed", "statistic", "station")
    numbers = ("longitude", "latitude", "count", *COMPARED)
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        lacking = {*identity, *numbers} - {*(reader.fieldnames or ())}
        if lacking:
            raise ValueError(f"{path} has no column {', '.join(sorted(lacking))}")
        last = {tuple(row[name] for name in identity): row for row in reader}
    return [row | {name: float(row[name]) for name in numbers} for row in last.values()]


def compared(rows: Iterable[Mapping[str, Any]], method: str) -> dict[str, Comparison]:
    """Return each score of a method beside that of the baseline that is best in it.

    Values of all splits are pooled. Places are drawn with all their values in all splits; the two
    methods are compared in the same draws.

    Parameters
    ----------
    rows : iterable of mapping
        Of `station_rows` of one protocol and one statistic.
    method : str

    Returns
    -------
    dict
        By score; empty without any baseline.
    """
    rows = list(rows)
    own = {(row["split"], row["station"]) for row in rows if row["method"] == method}
    rows = [row for row in rows if (row["split"], row["station"]) in own]
    every = sorted({row["method"] for row in rows}, key=len)  # those without a background first
    names = [name for name in every if parts_of(name)[0] in BASELINES]
    if not names or not own:
        return {}
    summed = _statistics(rows, [*names, method])
    whole = metrics(summed)
    of = {
        (name, score): float(whole[score].sel(estimator=name))
        for name in (*names, method)
        for score in COMPARED
    }
    # A law of the spread leaves median and mean as they are: of equals the first is named.
    best = {score: min(names, key=lambda name: round(of[name, score], 4)) for score in COMPARED}
    to = {
        name: differences(summed.sel(estimator=[name, method]), to=name).sel(estimator=method)
        for name in {*best.values()}
    }
    comparisons = {}
    for score, name in best.items():
        relative = to[name][f"relative_{score}"]
        bounds = (float(relative.sel(bound=bound)) for bound in ("value", "low", "high"))
        comparisons[score] = Comparison(of[method, score], name, of[name, score], *bounds)
    return comparisons


@dataclass(frozen=True)
class Standing:
    """How ``method`` stands to the baselines at so many stations, hidden by a split or by all."""

    method: str
    stations: int
    scores: dict[str, Comparison]


def standings(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Standing]:
    """Return the standing on each protocol of a record, by key and split.

    The split is named where a protocol scores each of its own, and empty elsewhere; backgrounds
    that the neural method has follow the key. It is compared with the best of all baselines,
    whatever backgrounds they have, and, under `SAME`, of those that have what it has.
    """
    by_protocol = {}
    medians = [row for row in rows if row["statistic"] == "median"]
    for key, protocol in PROTOCOLS.items():
        of_protocol = [row for row in medians if row["protocol"] == key]
        splits = {row["split"] for row in of_protocol} if protocol.combine == "each" else {""}
        for split in sorted(splits):
            part = [row for row in of_protocol if split in ("", row["split"])]
            for behind in backgrounds_of(part):
                every = {row["method"] for row in part}
                method = next((of for name in OURS if (of := name + behind) in every), "")
                stations = {(r["split"], r["station"]) for r in part if r["method"] == method}
                # The neural method has the altitudes that stations state in any case.
                has = {*parts_of(method)[1]} | {"altitude"} & {*protocol.backgrounds}
                same = [row for row in part if {*parts_of(row["method"])[1]} <= has]
                for words, among in ((split, part), (f"{split} {SAME}".strip(), same)):
                    if words != split and same == part:
                        continue
                    if scores := compared(among, method):
                        by_protocol[key + behind, words] = Standing(method, len(stations), scores)
    return by_protocol


def backgrounds_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what stands behind the names of methods, none first: ``["", "+altitude"]``."""
    behind = {"".join(WITH + name for name in parts_of(row["method"])[1]) for row in rows}
    return sorted({"", *behind}, key=len)


def differences_table(by_protocol: Mapping[tuple[str, str], Standing]) -> list[list[str]]:
    """Return the table of standings, losses in RMSE first, as rows of cells."""
    head = ["difference in %", "method", "stations", *(score.upper() for score in COMPARED)]
    ordered = sorted(by_protocol.items(), key=lambda each: -each[1].scores["rmse"].difference)
    return [head] + [
        [f"`{key}` {split}".strip(), of.method, str(of.stations), *map(str, of.scores.values())]
        for (key, split), of in ordered
    ]


def _statistics(rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> xr.Dataset:
    """Return statistics of stations, as far as the compared scores need them."""
    samples = list(dict.fromkeys((row["split"], row["station"]) for row in rows))
    positions = {
        (row["split"], row["station"]): (row["longitude"], row["latitude"]) for row in rows
    }
    longitude, latitude = np.array([positions[sample] for sample in samples]).T
    sums = {name: np.zeros((1, len(methods), len(samples), 1)) for name in SUMMED}
    for row in rows:  # several seeds add up
        if row["method"] not in methods:
            continue
        at = (0, methods.index(row["method"]), samples.index((row["split"], row["station"])), 0)
        count = row["count"]
        for name, value in (
            ("count", count),
            ("count_probabilistic", count),
            ("sum_squared_error", count * row["rmse"] ** 2),
            ("sum_absolute_error", count * row["mae"]),
            ("sum_crps", count * row["crps"]),
        ):
            sums[name][at] += value
    dims = ("resolution", "estimator", "station", "stratum")
    events = ("hits", "misses", "false_alarms")
    network = StationNetwork(longitude, latitude)
    return xr.Dataset(
        {
            name: ((*dims[:3], "event") if name in events else dims, values)
            for name, values in sums.items()
        },
        coords={
            "resolution": ["recorded"],
            "estimator": list(methods),
            "station": [f"{station}, {split}" for split, station in samples],
            "kind": ("stratum", ["all"]),
            "label": ("stratum", ["all"]),
            "event": [0.0],
            "longitude": ("station", longitude),
            "latitude": ("station", latitude),
            "place": ("station", network.colocated_groups()),
        },
        attrs={"units": "ug m-3"},
    )
