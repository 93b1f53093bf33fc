"""From measurements, one a row, to the Dataset: duplicates, the regular axis, attributes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.observations.axis import Axis, regular_axis
from aqreanalysis.observations.columns import attributes_of
from aqreanalysis.observations.contract import find_faults
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.options import Duplicates, Reading, TimeLabel
from aqreanalysis.observations.positions import Positions

COORDINATE_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    STATION: {"long_name": "station identifier", "cf_role": "timeseries_id"},
    TIME: {"standard_name": "time", "long_name": "time, UTC", "axis": "T"},
    "longitude": {
        "standard_name": "longitude",
        "long_name": "station longitude",
        "units": "degrees_east",
    },
    "latitude": {
        "standard_name": "latitude",
        "long_name": "station latitude",
        "units": "degrees_north",
    },
    "altitude": {
        "standard_name": "altitude",
        "long_name": "station altitude above sea level",
        "units": "m",
    },
    "name": {"standard_name": "platform_name", "long_name": "station name"},
}


@dataclass(frozen=True)
class Rows:
    """Measurements, one a row, read and converted but in the order of the source.

    Parameters
    ----------
    station : ndarray of int, (row,)
        The row's station, as an index of ``identifiers``.
    identifiers : ndarray of str, (station,)
        Unique.
    time : ndarray of datetime64[ns], (row,)
        UTC.
    values : mapping from variable to ndarray of float64, (row,)
        In the units of this package; NaN is missing.
    units : mapping from variable to str or None
        Units of the variables that are no pollutants.
    """

    station: NDArray[np.intp]
    identifiers: NDArray[np.str_]
    time: NDArray[np.datetime64]
    values: Mapping[str, NDArray[np.float64]]
    units: Mapping[str, str | None]


def assemble(rows: Rows, positions: Positions, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the valid Dataset of the rows, stations in the order of their identifiers.

    Parameters
    ----------
    rows : Rows
        At least one.
    positions : Positions
        Of ``rows.identifiers``, in that order.
    reading : Reading
        Gives the time label and what to do with duplicates.
    journal : Journal
        Takes decisions and faults.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ObservationError
        With all faults of the source.
    """
    label = time_label(reading.time_label, journal=journal)
    axis = regular_axis(rows.time, rows.station, identifiers=rows.identifiers, journal=journal)
    journal.stop_if_faulty()
    variables = {
        name: on_axis(name, rows, axis, duplicates=reading.duplicates, journal=journal)
        for name in rows.values
    }
    journal.stop_if_faulty()
    return finish(
        variables, axis, positions, identifiers=rows.identifiers, units=rows.units, label=label,
        journal=journal,
    )  # fmt: skip


def on_axis(
    name: str, rows: Rows, axis: Axis, *, duplicates: Duplicates, journal: Journal
) -> NDArray[np.float32]:
    """Return the values of one variable as ``(station, time)``, NaN where no row has any.

    Rows that say the same twice count once. Different values of one station and hour are a
    fault, or their mean, or the first of them, as ``duplicates`` says.
    """
    shape = (len(rows.identifiers), axis.times.size)
    grid = np.full(shape[0] * shape[1], np.nan, dtype=np.float32)
    values = rows.values[name]
    good = np.flatnonzero(~np.isnan(values))
    huge = good[np.isfinite(values[good]) & (np.abs(values[good]) > np.finfo(grid.dtype).max)]
    if huge.size:
        stamp = np.datetime_as_string(rows.time[huge[0]], unit="m")
        journal.fault(
            f"station {rows.identifiers[rows.station[huge[0]]]}, {stamp} UTC: {name} is "
            f"{values[huge[0]]:g}, beyond what float32 can hold ({huge.size} such values)"
        )
        good = np.setdiff1d(good, huge)
    cell = (rows.station[good] * shape[1] + axis.position[good]).astype(np.int64)
    repeated = pd.Index(cell).duplicated(keep=False)
    grid[cell[~repeated]] = values[good[~repeated]]
    if repeated.any():
        several = pd.DataFrame({"cell": cell[repeated], "value": values[good[repeated]]})
        one_each = _one_each(several, name, rows, axis, duplicates, journal)
        grid[one_each.index.to_numpy()] = one_each.to_numpy()
    return grid.reshape(shape)


def finish(
    variables: Mapping[str, NDArray[np.float32]],
    axis: Axis,
    positions: Positions,
    *,
    identifiers: NDArray[np.str_],
    units: Mapping[str, str | None],
    label: TimeLabel,
    journal: Journal,
) -> xr.Dataset:
    """Return the Dataset of arrays that are on the axis already, sorted, described, validated."""
    order = np.argsort(identifiers)
    coordinates: dict = {STATION: identifiers[order].astype(str), TIME: axis.times}
    for name in ("longitude", "latitude", "altitude", "name"):
        values = getattr(positions, name)
        if values is not None:
            coordinates[name] = (STATION, values[order])
    dataset = xr.Dataset(
        {name: ((STATION, TIME), values[order]) for name, values in variables.items()},
        coords=coordinates,
    )
    return described(dataset, units=units, label=label, step_hours=axis.step_hours, journal=journal)


def described(
    dataset: xr.Dataset,
    *,
    units: Mapping[str, str | None],
    label: TimeLabel,
    step_hours: float,
    journal: Journal,
) -> xr.Dataset:
    """Return the Dataset with its attributes, without pollutants that are never there; validated.

    Raises
    ------
    ObservationError
        With all faults.
    """
    there = {name for name in POLLUTANTS if name in dataset and bool(dataset[name].notnull().any())}
    empty = [name for name in POLLUTANTS if name in dataset and name not in there]
    if there and empty:
        journal.warn(f"left out, since missing at every station and hour: {', '.join(empty)}")
        dataset = dataset.drop_vars(empty)
    for name in units:
        if name in dataset:
            dataset[name].attrs = attributes_of(name, units[name])
    for name, attributes in COORDINATE_ATTRIBUTES.items():
        if name in dataset.coords:
            dataset[name].attrs = dict(attributes)
    dataset[TIME].attrs.update(time_label=label, step_hours=float(step_hours))
    dataset.attrs = _global_attributes(dataset, journal)
    for fault in find_faults(dataset):
        journal.fault(fault)
    journal.stop_if_faulty()
    return dataset


def time_label(label: TimeLabel | None, *, journal: Journal) -> TimeLabel:
    """Return the label of the stamps; "start" where nobody says, and then that is logged."""
    if label is None:
        journal.decide(
            "stamps are taken for the start of their averaging period; "
            "pass time_label='end' if they are its end"
        )
        return "start"
    return label


def _one_each(
    several: pd.DataFrame,
    name: str,
    rows: Rows,
    axis: Axis,
    duplicates: Duplicates,
    journal: Journal,
) -> pd.Series:
    """Return one value a cell from cells that have several."""
    different = several.drop_duplicates()
    if len(different) < len(several):
        again = several[several.duplicated()]
        journal.decide(
            f"{len(again)} repeated rows of {name} dropped; for example "
            f"{_where(again['cell'].iloc[0], rows, axis)}"
        )
    conflict = different["cell"].duplicated(keep=False)
    by_cell = different.groupby("cell", sort=False)["value"]
    if not conflict.any():
        return by_cell.first()
    cells = different.loc[conflict, "cell"]
    example = cells.min()
    found = by_cell.get_group(example).to_numpy()
    what = (
        f"{cells.nunique()} station-hours have different values of {name}; for example "
        f"{_where(example, rows, axis)}: {', '.join(f'{value:g}' for value in found)}"
    )
    if duplicates == "error":
        journal.fault(f"{what}. Pass duplicates='mean' or 'first' to choose")
        return by_cell.first()
    journal.decide(f"{what}; the {duplicates} is kept")
    return by_cell.mean() if duplicates == "mean" else by_cell.first()


def _where(cell: int, rows: Rows, axis: Axis) -> str:
    """Return station and hour of a cell, for a message."""
    station, hour = divmod(int(cell), axis.times.size)
    stamp = np.datetime_as_string(axis.times[hour], unit="m")
    return f"station {rows.identifiers[station]}, {stamp} UTC"


def _global_attributes(dataset: xr.Dataset, journal: Journal) -> dict[str, str]:
    """Return source and history: what was read, and every decision that was taken."""
    try:
        package = f"aqreanalysis {version('aqreanalysis')}"
    except PackageNotFoundError:
        package = "aqreanalysis"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = (
        f"{now} {package}: read {journal.source}, {dataset.sizes[STATION]} stations, "
        f"{dataset.sizes[TIME]} stamps"
    )
    earlier = dataset.attrs.get("history")
    history = "; ".join([entry, *journal.decisions])
    return {
        **dataset.attrs,
        "source": dataset.attrs.get("source", journal.source),
        "history": f"{earlier}\n{history}" if earlier else history,
    }
