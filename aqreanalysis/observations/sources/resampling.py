"""Measurements finer than an hour, or across hours, to means of whole periods."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.observations.checks import Codes, Floats
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.assembly import Rows
from aqreanalysis.observations.sources.options import TimeLabel

_HOUR = 3_600_000_000_000


def period_of(text: str) -> int:
    """Return a period such as "1h" or "1D" in ns; refuse what is none.

    Examples
    --------
    >>> period_of("1h") == 3_600_000_000_000
    True
    """
    try:
        period = int(pd.Timedelta(text if any(map(str.isdigit, text)) else f"1{text}").value)
    except ValueError as error:
        raise ObservationError(f"resample must be a period such as '1h'; found {text!r}") from error
    if period <= 0 or ((24 * _HOUR) % period and period % (24 * _HOUR)):
        raise ObservationError(f"resample must be a period that divides the day; found {text!r}")
    return period


def resampled(
    rows: Rows, period: int, *, capture: float, label: TimeLabel, journal: Journal
) -> Rows:
    """Return the means of whole periods of UTC, a row each.

    Stamps of half a period and less are samples, and their mean is that of the period they are
    in. Longer ones, such as the hours of a zone of half hours, are weighted in each period by
    their overlap with it. A mean needs the share ``capture`` of its period; the label stays.
    """
    names: dict[str, Floats] = {}
    keys: dict[str, tuple[Codes, NDArray[np.int64]]] = {}
    dropped, best = 0, 0.0
    stamps = np.asarray(rows.time, "datetime64[ns]").astype(np.int64)
    for name, values in rows.values.items():
        at = np.flatnonzero(~np.isnan(values))
        table = pd.DataFrame({"series": rows.series[at], "time": stamps[at], "value": values[at]})
        table = table.drop_duplicates()
        parts = _parts(table, period, label, rows.names, journal)
        angular = name == "wind_direction"
        means, covered = _means(parts, angular)
        complete = covered >= capture * period * (1 - 1e-6)
        dropped += int((~complete).sum())
        best = max(best, float(covered.max(initial=0.0)) / period)
        means = means[complete]
        keys[name] = (
            means.index.get_level_values(0).to_numpy(),
            means.index.get_level_values(1).to_numpy().astype(np.int64),
        )
        names[name] = means.to_numpy()
    journal.decide(
        f"values are means of {period / _HOUR:g} h with {capture:.0%} of them at least; "
        f"{dropped} periods have less and are missing"
    )
    if dropped and not any(own.size for own in names.values()):
        raise ObservationError(
            f"no period has {capture:.0%} of its values, the fullest has {best:.0%}: lower "
            "capture=..., or take the values as they are"
        )
    return _joined(rows, keys, names, period if label == "end" else 0)


def _parts(
    table: pd.DataFrame, period: int, label: TimeLabel, names: NDArray, journal: Journal
) -> pd.DataFrame:
    """Return the parts of the values in each period: series, period, value and length in ns."""
    steps = _steps(table)
    own = table["series"].map(steps).to_numpy(dtype=np.float64)
    own = np.where(np.isnan(own), period, own).astype(np.int64)
    too_long = own > 1.1 * period
    if too_long.any():
        first = names[table["series"].to_numpy()[np.argmax(too_long)]]
        hours = own[np.argmax(too_long)] / _HOUR
        raise ObservationError(
            f"station {first} reports every {hours:g} h, which cannot be resampled to "
            f"{period / _HOUR:g} h"
        )
    time = table["time"].to_numpy()
    sample = own <= period / 2
    inside = np.where(sample & (label == "end"), time - 1, time)
    first_period = np.where(sample, inside // period * period, 0)
    start = time - own if label == "end" else time
    early = np.where(sample, first_period, start // period * period)
    in_first = np.where(sample, own, np.minimum(early + period - start, own))
    whole = table.assign(period=early, length=in_first)
    rest = own - in_first
    later = table[rest > 0].assign(period=early[rest > 0] + period, length=rest[rest > 0])
    return pd.concat([whole, later], ignore_index=True)


def _means(parts: pd.DataFrame, angular: bool) -> tuple[pd.Series, NDArray]:
    """Return the mean of each series and period, weighted by length, and the length covered."""
    if angular:
        radians = np.radians(parts["value"])
        parts = parts.assign(
            x=np.cos(radians) * parts["length"], y=np.sin(radians) * parts["length"]
        )
        sums = parts.groupby(["series", "period"])[["x", "y", "length"]].sum()
        means = np.degrees(np.arctan2(sums["y"], sums["x"])) % 360.0
        return pd.Series(means, index=sums.index), sums["length"].to_numpy()
    parts = parts.assign(weighted=parts["value"] * parts["length"])
    sums = parts.groupby(["series", "period"])[["weighted", "length"]].sum()
    return sums["weighted"] / sums["length"], sums["length"].to_numpy()


def _steps(table: pd.DataFrame) -> pd.Series:
    """Return the step of each series, in ns: a low one, since gaps lengthen many of them."""
    times = table[["series", "time"]].drop_duplicates().sort_values(["series", "time"])
    steps = times.groupby("series")["time"].diff()
    return steps.groupby(times["series"]).quantile(0.1)


def _joined(
    rows: Rows,
    keys: Mapping[str, tuple[Codes, NDArray[np.int64]]],
    values: Mapping[str, Floats],
    shift: int,
) -> Rows:
    """Return rows with every series and period of any variable once."""
    series = np.concatenate([key[0] for key in keys.values()])
    period = np.concatenate([key[1] for key in keys.values()])
    cells, place = np.unique(np.stack([series, period], axis=1), axis=0, return_inverse=True)
    place = place.ravel()
    columns, begin = {}, 0
    for name, own in values.items():
        column = np.full(len(cells), np.nan)
        column[place[begin : begin + own.size]] = own
        columns[name] = column
        begin += own.size
    time = (cells[:, 1] + shift).astype("datetime64[ns]")
    return replace(rows, series=cells[:, 0].astype(np.intp), time=time, values=columns)
