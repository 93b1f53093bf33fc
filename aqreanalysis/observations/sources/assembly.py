"""From measurements, one a row, to the Dataset: duplicates, the regular axis, attributes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION, TIME, counted
from aqreanalysis.observations.checks import Codes, Floats, Names, Times
from aqreanalysis.observations.checks.axis import Axis, regular_axis
from aqreanalysis.observations.checks.plausibility import hint_of_daily
from aqreanalysis.observations.checks.positions import Positions
from aqreanalysis.observations.contract import faults_given_ranges, value_ranges
from aqreanalysis.observations.journal import Journal, dated, with_history
from aqreanalysis.observations.sources.options import Duplicates, Monitor, Reading, TimeLabel
from aqreanalysis.observations.variables import attributes_of

COORDINATE_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    STATION: {"long_name": "station identifier", "cf_role": "timeseries_id"},
    TIME: {"standard_name": "time", "long_name": "time, UTC", "axis": "T"},
    **{
        name: {"standard_name": name, "long_name": f"station {words}", "units": units}
        for name, words, units in (
            ("longitude", "longitude", "degrees_east"),
            ("latitude", "latitude", "degrees_north"),
            ("altitude", "altitude above sea level", "m"),
        )
    },
    "name": {"standard_name": "platform_name", "long_name": "station name"},
    "sensor_type": {"long_name": "type of instrument"},
    "station_type": {"long_name": "type of station"},
    "area_type": {"long_name": "type of area around the station"},
}


@dataclass(frozen=True)
class Rows:
    """Measurements, one a row, in the units of this package and the order of the source.

    ``series`` (row,) is the index of the row's series in ``names`` (series,): that of a station,
    or that of one of several monitors, and then ``station`` (series,) is its station. Values
    (row,) are NaN where missing; ``units`` are those of variables that are no pollutants.
    """

    series: Codes
    names: Names
    time: Times
    values: Mapping[str, Floats]
    units: Mapping[str, str | None]
    station: Codes | None = None


def assemble(
    rows: Rows,
    identifiers: Names,
    positions: Positions,
    *,
    reading: Reading,
    journal: Journal,
    step_hours: float | None = None,
    single_step_hours: float | None = None,
) -> xr.Dataset:
    """Return the valid Dataset of some rows; identifiers are sorted, positions in that order.

    ``step_hours`` is the step where it is known, ``single_step_hours`` that of a single stamp.

    Raises
    ------
    ObservationError
        With all faults of the source.
    """
    label = time_label(reading.time_label, journal=journal)
    axis = regular_axis(
        rows.time,
        rows.series,
        identifiers=rows.names,
        journal=journal,
        step_hours=step_hours
        or (
            single_step_hours
            if single_step_hours and np.ptp(rows.time) == np.timedelta64(0)
            else None
        ),
    )
    journal.stop_if_faulty()
    variables = {}
    for name in rows.values:
        values = _on_axis(name, rows, axis, reading.duplicates, journal)
        if rows.station is not None:
            rule = reading.monitor or "mean"
            values = station_values(name, values, rows, identifiers, rule, journal)
        variables[name] = ((STATION, TIME), values)
    journal.stop_if_faulty()
    stations = {name: (STATION, array) for name, array in positions.coordinates().items()}
    dataset = xr.Dataset(variables, {STATION: identifiers, TIME: axis.times, **stations})
    dataset = described(
        dataset, units=rows.units, label=label, step_hours=axis.step_hours, journal=journal
    )
    for name in rows.units:
        if name in dataset and reading.statistic_of(name) != "mean":
            dataset[name].attrs["cell_methods"] = f"time: {reading.statistic_of(name)}"
    return dataset


def described(
    dataset: xr.Dataset,
    *,
    units: Mapping[str, str | None],
    label: TimeLabel,
    step_hours: float,
    journal: Journal,
) -> xr.Dataset:
    """Return a Dataset with its attributes, validated, without pollutants that never report.

    Raises
    ------
    ObservationError
        With all faults.
    """
    ranges = value_ranges(dataset)
    empty = [name for name, ends in ranges.items() if np.isnan(ends).any()]
    if empty and len(empty) < len(ranges):
        journal.warn(f"left out, since missing at every station and hour: {', '.join(empty)}")
        dataset = dataset.drop_vars(empty)
    for name in units:
        if name in dataset:
            stated = dataset[name].attrs.get("cell_methods")
            dataset[name].attrs = attributes_of(name, units[name])
            if stated is not None:
                dataset[name].attrs["cell_methods"] = stated
    for name, attributes in COORDINATE_ATTRIBUTES.items():
        if name in dataset.coords:
            dataset[name].attrs = dict(attributes)
    dataset[TIME].attrs.update(time_label=label, step_hours=float(step_hours))
    dataset.attrs = _global_attributes(dataset, journal)
    journal.faults.extend(faults_given_ranges(dataset, ranges))
    journal.stop_if_faulty()
    return dataset


def time_label(label: TimeLabel | None, *, journal: Journal) -> TimeLabel:
    """Return the label of the stamps; "start", and that is logged, where none is stated."""
    if label is None:
        journal.decide(
            "stamps are taken for the start of their averaging period; "
            "pass time_label='end' if they are its end"
        )
        return "start"
    return label


def _on_axis(
    name: str, rows: Rows, axis: Axis, duplicates: Duplicates, journal: Journal
) -> NDArray[np.float32]:
    """Return the values of one variable as ``(series, time)``, NaN where no row has any.

    Equal values of one series and hour count once. Different ones are a fault, or their mean, or
    the first or last of them, as ``duplicates`` says.
    """
    shape = (len(rows.names), axis.times.size)
    grid = np.full(shape[0] * shape[1], np.nan, dtype=np.float32)
    row = np.flatnonzero(~np.isnan(rows.values[name]) & (axis.position >= 0))
    values = rows.values[name][row]
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    huge = np.isinf(rounded) & np.isfinite(values)
    if huge.any():
        first = row[np.argmax(huge)]
        stamp = np.datetime_as_string(rows.time[first], unit="m")
        journal.fault(
            f"station {rows.names[rows.series[first]]}, {stamp} UTC: {name} is "
            f"{rows.values[name][first]:g}, beyond what float32 can hold "
            f"({int(huge.sum())} such values): correct it, or leave it empty if it is missing"
        )
    cell = rows.series[row].astype(np.int64) * shape[1] + axis.position[row]
    repeated = pd.Index(cell).duplicated(keep=False)
    if repeated.any():
        several = pd.DataFrame({"cell": cell[repeated], "value": values[repeated]})
        one_each = _one_each(several, name, rows, axis, duplicates, journal)
        cell, rounded = cell[~repeated], rounded[~repeated]
        grid[one_each.index.to_numpy()] = one_each.to_numpy()
    grid[cell] = rounded
    return grid.reshape(shape)


def _one_each(
    several: pd.DataFrame,
    name: str,
    rows: Rows,
    axis: Axis,
    duplicates: Duplicates,
    journal: Journal,
) -> pd.Series:
    """Return one value a cell from cells that have several."""

    def words(cell: int) -> str:
        series, hour = divmod(int(cell), axis.times.size)
        stamp = np.datetime_as_string(axis.times[hour], unit="m")
        return f"station {rows.names[series]}, {stamp} UTC"

    different = several.drop_duplicates()
    if len(different) < len(several):
        again = several[several.duplicated()]
        journal.repeated += len(again)
        journal.decide(
            f"{len(again)} repeated rows of {name} dropped; for example "
            f"{words(again['cell'].iloc[0])}"
        )
    conflict = different["cell"].duplicated(keep=False)
    by_cell = different.groupby("cell", sort=False)["value"]
    if not conflict.any():
        return by_cell.first()
    cells = different.loc[conflict, "cell"]
    journal.contradicting += cells.nunique()
    example = cells.min()
    values = ", ".join(f"{value:g}" for value in by_cell.get_group(example))
    hint = (
        hint_of_daily(axis.times[cells.unique() % axis.times.size]) if axis.step_hours < 24 else ""
    )
    what = (
        f"{cells.nunique()} station-hours have different values of {name}; for example "
        f"{words(example)}: {values}{hint}"
    )
    if duplicates == "error":
        share = cells.nunique() / max(int(np.isfinite(rows.values[name]).sum()), 1)
        journal.fault(f"{what}. Pass duplicates='mean', 'first' or 'last' to choose", share=share)
        single = ~different["cell"].isin(cells)
        return different[single].groupby("cell")["value"].first()
    journal.decide(f"{what}; the {duplicates} is kept")
    if duplicates == "last":  # of all rows: an earlier value may have come back
        return several.groupby("cell", sort=False)["value"].last()
    return by_cell.mean() if duplicates == "mean" else by_cell.first()


def station_values(
    name: str,
    values: NDArray[np.float32],
    rows: Rows,
    identifiers: Names,
    rule: Monitor,
    journal: Journal,
) -> NDArray[np.float32]:
    """Return one row a station from one a monitor: hour by hour, as the rule says.

    "mean" is that of the monitors that report, "first" the first of them by name, "best" the one
    of them with most values.
    """
    assert rows.station is not None
    one = np.full((identifiers.size, values.shape[1]), np.nan, dtype=np.float32)
    one[rows.station] = values  # right for stations with one monitor
    extra, example = 0, ""
    for at in np.flatnonzero(np.bincount(rows.station) > 1):
        monitors = np.flatnonzero(rows.station == at)
        own = values[monitors]
        reports = np.isfinite(own)
        count = reports.sum(axis=0)
        if rule == "mean":
            total = np.nansum(own, axis=0, dtype=np.float64)
            one[at] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        else:
            order = np.argsort(rows.names[monitors], kind="stable")
            if rule == "best":
                order = order[np.argsort(-reports[order].sum(axis=1), kind="stable")]
            chosen = order[np.argmax(reports[order], axis=0)]
            one[at] = own[chosen, np.arange(own.shape[1])]
        several = int(np.maximum(count - 1, 0).sum())
        extra += several
        example = example or (str(identifiers[at]) if several else "")
    if extra:
        taken = {"mean": "the mean is taken", "first": "the first is taken"}.get(
            rule, "the one with most values is taken"
        )
        journal.decide(
            f"{extra} values of {name} come from a further monitor at the same site and hour: "
            f"{taken}; for example station {example}"
        )
    return one


def _global_attributes(dataset: xr.Dataset, journal: Journal) -> dict[str, Any]:
    """Return source, counts and history: what was read, and every decision that was taken."""
    entry = dated(
        f"read {journal.source}, {counted(dataset.sizes[STATION], 'station')}, "
        f"{counted(dataset.sizes[TIME], 'stamp')}"
    )
    attributes = {"source": journal.source, **dataset.attrs, **journal.attributes()}
    return with_history(attributes, "; ".join([entry, *journal.decisions]))
