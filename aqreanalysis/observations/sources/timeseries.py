"""CF timeSeries files and xarray Datasets with other names, to the Dataset of this package."""

from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import POLLUTANTS, STATION, STATION_TYPES, TIME
from aqreanalysis.observations.checks import Names
from aqreanalysis.observations.checks.axis import regular_axis
from aqreanalysis.observations.checks.numbers import SENTINELS
from aqreanalysis.observations.checks.positions import station_positions
from aqreanalysis.observations.checks.times import to_utc
from aqreanalysis.observations.checks.units import conversion
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.assembly import described, time_label
from aqreanalysis.observations.sources.columns import ROLES, guess
from aqreanalysis.observations.sources.files import existing
from aqreanalysis.observations.sources.options import Reading, TimeLabel
from aqreanalysis.observations.sources.stations import identifier, listed_positions
from aqreanalysis.observations.variables import (
    METEOROLOGY,
    known_variable,
    listed,
    pollutant_of_standard_name,
)
from aqreanalysis.untrusted import UnreadableError, open_netcdf

_LARGEST = float(np.finfo(np.float32).max)


def read_netcdf(path: Path, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of a CF timeSeries file, in memory, and close the file.

    All stations have one time axis (the orthogonal form of CF, section 9.3.1), in either order of
    the dimensions.

    Raises
    ------
    ObservationError
        If it is no NetCDF file, or of another form, and with all faults in it.
    """
    try:
        with open_netcdf(existing(path), kind="series") as opened:
            # What is not needed stays in the file.
            return from_dataset(opened, reading=reading, journal=journal).load()
    except UnreadableError as error:
        raise ObservationError(f"it cannot be read as NetCDF: {error}", source=path.name) from error


def from_dataset(dataset: xr.Dataset, *, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return a Dataset with the names, the order, the units and the axis of this package.

    Coordinates are recognised by their CF attributes, then by their usual names; pollutants by
    their name or their standard name. A valid Dataset comes back with equal values; a lazy one
    stays lazy.

    Raises
    ------
    ObservationError
        With all faults.
    """
    names = _coordinates(dataset, reading, journal)
    journal.stop_if_faulty()
    result = _renamed(dataset, names, reading, journal)
    journal.stop_if_faulty()
    label = reading.time_label or _label_of(dataset, dataset[names[TIME]])
    result, units = _with_units(result, reading, journal)
    with journal.collecting():
        result = _with_positions(result, reading, journal)
    result, step_hours = _sorted_and_regular(result, reading, journal)
    return described(
        result,
        units=units,
        label=time_label(label, journal=journal),
        step_hours=step_hours,
        journal=journal,
    )


def _coordinates(dataset: xr.Dataset, reading: Reading, journal: Journal) -> dict[str, str]:
    """Return the names of time, longitude, latitude and station in a Dataset."""
    import cf_xarray  # noqa: F401  (registers the accessor .cf)

    if {"sample_dimension", "instance_dimension"} & {
        key for variable in dataset.variables.values() for key in variable.attrs
    }:
        journal.fault(
            "a ragged array (CF 9.3.3, 9.3.4); expected one time axis for all stations. "
            "Turn it into a long table first"
        )
        return {}
    usual = guess([str(name) for name in dataset.variables]).roles
    names: dict[str, str] = {}
    for role in (TIME, "longitude", "latitude", "altitude", STATION):
        given = reading.columns.get(role)
        likely = [given] if given in list(dataset.variables) else []
        if given is not None and not likely:
            journal.fault(f"columns names {given!r} for {role}; the Dataset has no such variable")
        if role == STATION:
            likely += dataset.cf.cf_roles.get("timeseries_id", [])
        else:
            likely += dataset.cf.standard_names.get(role, []) or dataset.cf.coordinates.get(
                role, []
            )
        likely += [usual[role]] if role in usual else []
        if role == TIME:
            likely += [name for name, index in dataset.indexes.items() if index.dtype.kind == "M"]
        if likely:
            names[role] = str(likely[0])
    for role in [TIME] if reading.stations is not None else [TIME, "longitude", "latitude"]:
        if role not in names:
            journal.fault(
                f"no coordinate of {role}; the variables are {listed(dataset.variables)}. "
                f"Name it with columns={{{role!r}: ...}}"
            )
    if TIME in names and dataset[names[TIME]].ndim > 1:
        journal.fault(
            f"time has the dimensions {dataset[names[TIME]].dims}; expected one axis for all "
            "stations. Turn the Dataset into a long table first"
        )
    return names


def _renamed(
    dataset: xr.Dataset, names: dict[str, str], reading: Reading, journal: Journal
) -> xr.Dataset:
    """Return the Dataset with the names and dimensions of this package, variables recognised."""
    time = dataset[names[TIME]]
    if time.ndim == 0:
        dataset, time = dataset.expand_dims(names[TIME]), time.expand_dims(names[TIME])
    time_dimension = time.dims[0]
    dataset, dimension = _station_dimension(dataset, names, time_dimension)
    if dimension is None:
        journal.fault(
            f"no dimension of stations, only {time_dimension!r}; the dimensions are "
            f"{tuple(str(name) for name in dataset.dims)}"
        )
        return dataset
    identifiers = (
        _decoded(np.atleast_1d(dataset[names[STATION]].values))
        if STATION in names
        else np.arange(dataset.sizes[dimension]).astype(str)
    )
    coordinates: dict = {STATION: identifiers, TIME: (TIME, np.atleast_1d(time.values), time.attrs)}
    for role in ("longitude", "latitude", "altitude"):
        if role in names:
            degrees = np.atleast_1d(dataset[names[role]].values).astype(np.float64)
            coordinates[role] = (STATION, np.broadcast_to(degrees, identifiers.shape).copy())
    for name in ("name", *STATION_TYPES):
        if name in dataset.variables and dataset[name].dims == (dimension,):
            coordinates[name] = (STATION, _decoded(dataset[name].values))
    series = {
        str(name): array.transpose(dimension, time_dimension)
        for name, array in dataset.data_vars.items()
        if name not in names.values() and set(array.dims) == {dimension, time_dimension}
    }
    variables = {
        own: ((STATION, TIME), series[name].data, series[name].attrs)
        for name, own in _own_names(series, reading, journal).items()
    }
    return xr.Dataset(variables, coords=coordinates, attrs=dataset.attrs)


def _station_dimension(
    dataset: xr.Dataset, names: dict[str, str], time_dimension: Hashable
) -> tuple[xr.Dataset, Hashable | None]:
    """Return the dimension of stations, and the Dataset, with a new one if it has a station."""
    for role in ("longitude", "latitude", STATION):
        if role in names and dataset[names[role]].ndim == 1:
            return dataset, dataset[names[role]].dims[0]
    if "longitude" not in names:
        others = [name for name in dataset.dims if name != time_dimension]
        if others:
            return dataset, others[0] if len(others) == 1 else None
    series = [name for name in dataset.data_vars if dataset[name].dims == (time_dimension,)]
    single = dataset.assign({name: dataset[name].expand_dims(STATION) for name in series})
    return single, STATION


def _decoded(values: NDArray) -> Names:
    """Return text from text, bytes or numbers."""
    plain = [v.decode(errors="replace") if isinstance(v, bytes) else v for v in values.tolist()]
    return np.array([identifier(value) for value in plain], dtype=str)


def _own_names(
    series: dict[str, xr.DataArray], reading: Reading, journal: Journal
) -> dict[str, str]:
    """Return the name in this package of each variable: the caller's word, its own name, or CF's.

    A standard name counts only where no variable has the pollutant's own name, since a model's
    background may carry the same standard name as the measurements.
    """
    roles = {*ROLES, "variable"}
    given = {column: name for name, column in reading.columns.items() if name not in roles}
    absent = [str(column) for column in given if column not in series]
    if absent:
        journal.fault(f"columns names {listed(absent)}; the variables are {listed(series)}")
    names = {name: str(given.get(name) or known_variable(name) or name) for name in series}
    for name, array in series.items():
        pollutant = pollutant_of_standard_name(array.attrs.get("standard_name"))
        if names[name] == name and pollutant and pollutant.name not in names.values():
            names[name] = pollutant.name
    for own in sorted(set(names.values())):
        same = [name for name in series if names[name] == own]
        if len(same) > 1:
            journal.fault(f"variables {listed(same)} all look like {own}; drop all but one")
    return names


def _label_of(dataset: xr.Dataset, time: xr.DataArray) -> TimeLabel | None:
    """Return the label of the stamps by their attribute, or by their bounds, or None."""
    label = time.attrs.get("time_label")
    bounds = time.attrs.get("bounds", time.encoding.get("bounds"))
    if label is not None or bounds not in dataset.variables:
        return label
    if dataset[bounds].shape == (time.size, 2):
        edges = dataset[bounds].values
        if (edges[:, 0] == time.values).all():
            return "start"
        if (edges[:, 1] == time.values).all():
            return "end"
    return None


def _sorted_and_regular(
    dataset: xr.Dataset, reading: Reading, journal: Journal
) -> tuple[xr.Dataset, float]:
    """Return a copy with sorted stations on a regular axis in UTC, and the step in hours.

    Absent hours are missing. Faults so far and those of the time are raised.
    """
    stamps = pd.Series(dataset[TIME].values)
    if stamps.empty:
        journal.fault("time has no stamps")
    elif stamps.dtype.kind != "M":
        journal.fault(f"time must be dates of the standard calendar; found {stamps.iloc[0]!r}")
    journal.stop_if_faulty()
    utc = to_utc(
        stamps,
        time_zone=reading.time_zone or "UTC",
        describe=lambda row: f"time stamp {row + 1}",
        journal=journal if reading.time_zone else Journal("", silent=True),
    )
    if np.isnat(utc).any():
        journal.fault(f"time holds {int(np.isnat(utc).sum())} missing stamps")
    journal.stop_if_faulty()
    axis = regular_axis(
        utc,
        np.zeros(utc.size, int),
        identifiers=np.array(["(all)"]),
        journal=journal,
        width=dataset.sizes[STATION],
    )
    position, row, counts = np.unique(axis.position, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = axis.times[position[counts > 1][0]]
        journal.fault(
            f"time holds {np.datetime_as_string(twice, unit='m')} UTC more than once: drop one"
        )
    journal.stop_if_faulty()
    stated = dataset[TIME].attrs.get("step_hours")
    order = np.argsort(dataset[STATION].values, kind="stable")
    dataset = dataset.isel({STATION: order, TIME: row}).assign_coords({TIME: axis.times[position]})
    if axis.times.size > utc.size:
        journal.decide(f"{axis.times.size - utc.size} absent hours added as missing")
        dataset = dataset.reindex({TIME: axis.times})
    if utc.size == 1 and stated is not None:
        return dataset, float(stated)
    return dataset, axis.step_hours


def _with_positions(dataset: xr.Dataset, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset with checked positions."""
    identifiers = dataset[STATION].values
    if len(identifiers) == 0 or len(set(identifiers)) < len(identifiers):
        return dataset  # faults of the contract
    if reading.stations is not None:
        positions, present = listed_positions(
            reading.stations, identifiers, reading=reading, journal=journal
        )
        dataset = dataset.isel({STATION: np.flatnonzero(present)})
    else:
        positions = station_positions(
            np.arange(len(identifiers)),
            dataset["longitude"].values,
            dataset["latitude"].values,
            identifiers=identifiers,
            journal=journal,
        )
    arrays = positions.coordinates()
    return dataset.assign_coords({name: (STATION, array) for name, array in arrays.items()})


def _with_units(
    dataset: xr.Dataset, reading: Reading, journal: Journal
) -> tuple[xr.Dataset, dict[str, str | None]]:
    """Return the Dataset with pollutants and meteorology in the units of this package."""
    result, units = dataset, {}
    for name in map(str, dataset.data_vars):
        array = dataset[name]
        if name not in POLLUTANTS and name not in METEOROLOGY:
            continue
        if array.dtype.kind not in "fiu":
            journal.fault(f"{name} must hold numbers; its type is {array.dtype}")
            continue
        stated = reading.units_of(name, is_pollutant=name in POLLUTANTS)
        stated = stated or array.attrs.get("units")
        stated = None if stated is None else str(stated)
        factor, offset, units[name] = conversion(name, stated, journal=journal)
        kind = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
        values = array.astype(kind, copy=False)
        sentinel = array.isin(SENTINELS)
        if array.chunks is not None or sentinel.any():  # lazy values stay lazy
            values = values.where(~sentinel)
        if name in METEOROLOGY and array.chunks is None and (np.abs(array) > _LARGEST).any():
            journal.fault(f"{name} holds numbers beyond what float32 can hold: make them missing")
        if (factor, offset) != (1.0, 0.0):
            values = (values * factor + offset).astype(kind, copy=False)
        result = result.assign({name: values})
    return result, units
