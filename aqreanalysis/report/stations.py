"""Figures of single stations: the map of errors, and the best and the worst as time series."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.maps import map_scores
from aqreanalysis.predictive import RootNormal, freedom_of
from aqreanalysis.report.findings import ESTIMATOR, Findings
from aqreanalysis.report.sheet import (
    WIDTH_IN,
    Picture,
    colour_of,
    drawable_pollutant,
    legend_label,
    new_sheet,
    picture_of,
    write_legend,
)
from aqreanalysis.report.words import (
    NO_BREAK,
    counted,
    enumerated,
    number,
    shortened,
    subject_of,
    units_of,
)
from aqreanalysis.verification.pairs import median_layer

_DAYS = 14
#: Least share of values in the weeks shown, and of the stations' median number of values.
_LEAST_SHARE = 0.5
_MOST_TICKS = 8


def map_figure(findings: Findings) -> Picture | str:
    """Map of the first method's RMSE at every station."""
    scores = findings.stations.scores.sel({ESTIMATOR: findings.method})
    valid = np.isfinite(scores["rmse"].values)
    if not valid.any():
        return f"The map is left out: no station has a value of {subject_of(findings.method)}."
    positions = findings.statistics[["longitude", "latitude"]].reset_coords()
    stations = xr.Dataset(
        {"rmse": (STATION, scores["rmse"].values)}
        | {name: (STATION, positions[name].values) for name in ("longitude", "latitude")},
        coords={STATION: findings.statistics[STATION].values},
    ).set_coords(["longitude", "latitude"])
    stations["rmse"].attrs = {"long_name": "RMSE", "units": findings.pairs.attrs["units"]}
    shown = stations.isel({STATION: valid})
    figure = map_scores(
        shown, "rmse", hidden=not findings.of_product, limits=_limits(shown), width_in=WIDTH_IN
    )
    values = shown["rmse"].values
    kind = "station" if findings.of_product else "hidden station"
    extremes = " to ".join(number(v, findings.decimals) for v in (values.min(), values.max()))
    return picture_of(
        figure,
        title=f"RMSE at each {kind}",
        caption=f"Of {subject_of(findings.method)}. Coastlines, borders and cities: Natural Earth.",
        alt=f"Map of {counted(values.size, kind)} coloured by the RMSE of "
        f"{subject_of(findings.method)}: {extremes} {units_of(findings.pairs)}.",
    )


def _limits(shown: xr.Dataset) -> tuple[float, float] | None:
    """Return limits for a single value, which has none of its own."""
    values = shown["rmse"].values
    if np.ptp(values) > 1e-3 * max(abs(values).max(), 1e-6):
        return None
    return 0.0, 2 * max(float(values.max()), 0.5)


@dataclass(frozen=True)
class WorstWeeks:
    """Two weeks as steps of the time axis, and the day they were chosen by."""

    steps: slice
    peak: np.datetime64


def worst_weeks(pairs: xr.Dataset) -> WorstWeeks:
    """Choose the 14 days around the day (UTC) with the highest mean of all stations.

    Days with less than half of the median number of values are not considered.
    """
    truth = pairs["truth"].transpose(STATION, TIME).values
    days = pairs[TIME].values.astype("datetime64[D]")
    unique, day = np.unique(days, return_inverse=True)
    count = np.bincount(day, np.isfinite(truth).sum(axis=0), unique.size)
    total = np.bincount(day, np.nansum(truth, axis=0), unique.size)
    usual = count >= 0.5 * np.median(count[count > 0])
    mean = np.where(usual & (count > 0), total / np.maximum(count, 1), -np.inf)
    peak = int(np.argmax(mean))
    first = int(np.clip(peak - _DAYS // 2, 0, max(unique.size - _DAYS, 0)))
    last = unique[min(first + _DAYS, unique.size) - 1]
    steps = slice(
        int(np.searchsorted(days, unique[first])), int(np.searchsorted(days, last, side="right"))
    )
    return WorstWeeks(steps, unique[peak])


def chosen_stations(findings: Findings, weeks: WorstWeeks) -> list[int]:
    """Rows of the stations with the lowest and the highest RMSE of the first method.

    Only stations with values in half of these weeks, and half of the median number in all.
    """
    scores = findings.stations.scores.sel({ESTIMATOR: findings.method})
    order = findings.pairs[STATION].values.tolist()
    scores = scores.sel({STATION: order})
    inside = findings.pairs["truth"].transpose(STATION, TIME).values[:, weeks.steps]
    count = scores["count"].values
    enough = np.isfinite(inside).mean(axis=1) >= _LEAST_SHARE
    enough &= count >= _LEAST_SHARE * np.median(count[count > 0]) if (count > 0).any() else False
    rmse = np.where(enough, scores["rmse"].values, np.nan)
    if not np.isfinite(rmse).any():
        return []
    return list(dict.fromkeys([int(np.nanargmin(rmse)), int(np.nanargmax(rmse))]))


def series_figures(findings: Findings) -> list[Picture | str]:
    """Time series of the best and of the worst station."""
    weeks = worst_weeks(findings.pairs)
    rows = chosen_stations(findings, weeks)
    if not rows:
        return ["Time series are left out: no station reports in half of the worst two weeks."]
    words = ["Lowest RMSE", "Highest RMSE"] if len(rows) == 2 else ["Worst two weeks"]
    return [_series_figure(findings, weeks, row, word)
            for row, word in zip(rows, words, strict=True)]  # fmt: skip


def _series_figure(findings: Findings, weeks: WorstWeeks, row: int, word: str) -> Picture:
    """Measured and estimated values of one station with the 90 % interval."""
    station = findings.pairs.isel({STATION: row, TIME: weeks.steps})
    station = station.sel({ESTIMATOR: findings.method})
    figure, axes = new_sheet(3.3)
    entries = _draw_series(axes, findings, station)
    times = station[TIME].values
    if times.size > 1:
        axes.set_xlim(times[0], times[-1])
    axes.set_xticks(*time_ticks(times))
    axes.set_xlabel(f"UTC, {np.datetime_as_string(times[0], unit='Y')}")
    axes.set_ylabel(f"{drawable_pollutant(findings.variable)} ({units_of(findings.pairs)})")
    write_legend(figure, entries)
    name = str(station[STATION].values)
    short = shortened(name)
    rmse = findings.stations.scores["rmse"].sel({ESTIMATOR: findings.method, STATION: name})
    score = f"{number(float(rmse), findings.decimals)}{NO_BREAK}{units_of(findings.pairs)}"
    drawn = enumerated(str(entry.get_label()) for entry in entries)
    return picture_of(
        figure,
        title=f"{word}: station {short}",
        caption=f"RMSE over the whole period {score}{_where(findings, station)}.",
        alt=f"Time series at station {short}, {times.size} steps from "
        f"{times[0].astype('datetime64[m]')} UTC: {drawn}.",
    )


def time_ticks(times: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """At most eight round times within a period, and their labels.

    Examples
    --------
    >>> hours = np.arange("2014-11-13T05", "2014-11-27T05", dtype="datetime64[h]")
    >>> time_ticks(hours)[1][:3]
    ['14 Nov', '16 Nov', '18 Nov']
    """
    ends = times[[0, -1]].astype("datetime64[s]").astype(np.int64) / 3600
    steps = np.array([1, 3, 6, 12, 24, 48, 96])
    enough = steps[np.ptp(ends) / steps <= _MOST_TICKS - 1]
    step = int(enough[0]) if enough.size else int(np.ptp(ends) / (_MOST_TICKS - 1)) + 1
    # Counted from the first midnight of the period, so that days are whole.
    midnight = 24 * np.ceil(ends[0] / 24) if step >= 24 else 24 * np.floor(ends[0] / 24)
    hours = np.arange(midnight, ends[1] + 1e-9, step)
    ticks = hours[hours >= ends[0]].astype("datetime64[h]")
    stamps = [pd.Timestamp(tick) for tick in ticks]
    clock = "" if step >= 24 else "\n%H:%M"
    return ticks, [f"{stamp.day} {stamp.strftime(f'%b{clock}')}" for stamp in stamps]


def _draw_series(axes: Axes, findings: Findings, station: xr.Dataset) -> list[Line2D | Patch]:
    """Draw what was measured and estimated, and the interval; return the legend's entries."""
    times, truth = station[TIME].values, station["truth"].values
    estimate, error, median = (
        station[name].values.astype(np.float64)
        for name in ("estimate", "standard_error", median_layer(station))
    )
    colour = colour_of(findings.method, findings.methods)
    entries: list[Line2D | Patch] = [
        Line2D([], [], color="#111111", linewidth=1.1, label="measured"),
        Line2D([], [], color=colour, label=legend_label(findings.method)),
    ]
    if np.isfinite(error).any():
        freedom = freedom_of(station)
        low, high = RootNormal.from_median(median, error, freedom=freedom).interval_90()
        axes.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
        entries.append(Patch(color=colour, alpha=0.2, linewidth=0, label="90 % interval"))
    _draw_line(axes, times, estimate, color=colour, linewidth=1.5)
    _draw_line(axes, times, truth, color="#111111", linewidth=1.1)
    axes.set_ylim(min(0.0, float(np.nanmin(truth))), None)
    return entries


def _draw_line(axes: Axes, times: np.ndarray, values: np.ndarray, **line: Any) -> None:
    """Draw a line, and isolated values between gaps as dots."""
    padded = np.concatenate([[False], np.isfinite(values), [False]])
    isolated = padded[1:-1] & ~padded[:-2] & ~padded[2:]
    axes.plot(times, values, **line)
    axes.plot(times[isolated], values[isolated], ".", color=line["color"], markersize=3)


def _where(findings: Findings, station: xr.Dataset) -> str:
    """Return how far a station is from the nearest that the methods knew."""
    distance = float(station["distance_km"]) if "distance_km" in station.coords else np.nan
    if not np.isfinite(distance):
        return ""
    return f", {number(distance, 1)}{NO_BREAK}km from the nearest known station"


def series_intro(findings: Findings) -> str:
    """How stations and days of the time series were chosen, in words."""
    peak = worst_weeks(findings.pairs).peak
    return (
        "Chosen by rule, not by eye: the stations with the lowest and the highest RMSE of "
        f"{subject_of(findings.method)} among those that report in at least half of the days "
        f"shown, and the {_DAYS} days around {peak}, the day (UTC) with the highest mean "
        "of all stations."
    )
