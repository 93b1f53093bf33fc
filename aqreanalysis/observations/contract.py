"""What a valid observations Dataset is, all that is wrong with one, and how to take values from it.

Dimensions ``(station, time)``. Coordinates ``station`` (unique text), ``longitude`` and
``latitude`` in degrees on ``station``; ``time`` regular, increasing, in UTC, with the attributes
``time_label`` ("start" or "end" of the averaging period) and ``step_hours``. Variables are
pollutants in "ug m-3"; NaN is missing. Meteorology may stand beside them.
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, STATION, TIME
from aqreanalysis.observations.journal import ObservationError

DIMENSIONS = (STATION, TIME)
TIME_LABELS = ("start", "end")


def validate(dataset: xr.Dataset) -> None:
    """Return nothing if the Dataset is valid, and raise one error with all faults if not.

    Parameters
    ----------
    dataset : xarray.Dataset
        Observations to be checked; its values are read.

    Raises
    ------
    ObservationError
        With every fault that `find_faults` finds.
    """
    faults = find_faults(dataset)
    if faults:
        raise ObservationError(faults, source="observations")


def find_faults(dataset: xr.Dataset) -> list[str]:
    """Return what keeps the Dataset from being valid observations, one sentence a fault.

    One station or one hour is no fault: what an estimator needs is the estimator's to say.

    Parameters
    ----------
    dataset : xarray.Dataset
        Observations to be checked; its values are read.

    Returns
    -------
    list of str
        Empty for a valid Dataset.

    Examples
    --------
    >>> for fault in find_faults(xr.Dataset({"pm25": ("site", [1.0])})):
    ...     print(fault)
    observations need dimensions ('station', 'time'); found ('site',). Rename them with
    dataset.rename(...), and add those that are missing
    """
    missing = [dimension for dimension in DIMENSIONS if dimension not in dataset.dims]
    if missing:
        return [
            f"observations need dimensions {DIMENSIONS}; found "
            f"{tuple(str(d) for d in dataset.dims)}. "
            "Rename them with dataset.rename(...), and add those that are missing"
        ]
    return [
        *_station_faults(dataset),
        *_position_faults(dataset),
        *_time_faults(dataset),
        *_variable_faults(dataset),
    ]


def default_variable(dataset: xr.Dataset) -> str:
    """Return the pollutant to work on when none is named: PM2.5, or else the first one there.

    Parameters
    ----------
    dataset : xarray.Dataset
        Observations.

    Returns
    -------
    str

    Raises
    ------
    ObservationError
        If no variable is a known pollutant.

    Examples
    --------
    >>> default_variable(xr.Dataset({"o3": 1.0, "pm25": 2.0}))
    'pm25'
    """
    found = _pollutants(dataset)
    if not found:
        raise ObservationError(
            f"observations hold no pollutant; variables are {_names(dataset)}. "
            f"Name one of them {', '.join(POLLUTANTS)}, or name the variable to work on"
        )
    return "pm25" if "pm25" in found else found[0]


def values_of(dataset: xr.Dataset, variable: str) -> NDArray[np.float64]:
    """Return a variable's values, ``(station, time)``, NaN where missing.

    Parameters
    ----------
    dataset : xarray.Dataset
        Observations, in memory or lazy.
    variable : str
        Name of the variable; the values are in its units.

    Returns
    -------
    ndarray, (station, time), float64
        A copy: it may be written to.

    Raises
    ------
    ObservationError
        If there is no such variable, or it is not on station and time.

    Examples
    --------
    >>> dataset = xr.Dataset({"pm25": (("time", "station"), [[1.0, 2.0], [3.0, np.nan]])})
    >>> values_of(dataset, "pm25")
    array([[ 1.,  3.], [ 2., nan]])
    """
    if variable not in dataset.data_vars:
        raise ObservationError(
            f"observations have no variable {variable!r}; they have {_names(dataset)}"
        )
    array = dataset[variable]
    if set(array.dims) != set(DIMENSIONS):
        raise ObservationError(f"{variable} needs dimensions {DIMENSIONS}; found {array.dims}")
    return np.array(array.transpose(*DIMENSIONS).values, dtype=np.float64)


def selected_hours(time: xr.DataArray, period: slice | None) -> slice:
    """Return the positions of the hours of a period, which are one at least.

    Parameters
    ----------
    time : (t,) xarray.DataArray
        Time axis of valid observations.
    period : slice of labels or None
        First and last label, both included, as pandas reads them; None is all hours.

    Returns
    -------
    slice
        Start and stop are numbers.

    Raises
    ------
    ValueError
        If no hour lies within the period; it says what the axis spans.

    Examples
    --------
    >>> hours = np.arange("2020-01-01", "2020-01-03", dtype="datetime64[h]").astype("M8[ns]")
    >>> selected_hours(xr.DataArray(hours, dims="time"), slice("2020-01-02", None))
    slice(24, 48, None)
    """
    index = time.to_index()
    first, last = (period.start, period.stop) if period else (None, None)
    start, stop, _ = index.slice_indexer(first, last).indices(index.size)
    if stop <= start:
        raise ValueError(
            f"no hour lies within {period}; the observations span {index[0]} to {index[-1]} UTC"
        )
    return slice(start, stop)


def step_hours(dataset: xr.Dataset) -> float:
    """Return the hours between two stamps of the time axis.

    Parameters
    ----------
    dataset : xarray.Dataset
        Valid observations. A single stamp has no step of its own: then the attribute
        ``step_hours`` of the time is taken, or 1.

    Returns
    -------
    float

    Examples
    --------
    >>> time = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    >>> step_hours(xr.Dataset(coords={"time": time}))
    24.0
    """
    time = dataset[TIME]
    if time.size > 1:
        return float((time.values[1] - time.values[0]) / np.timedelta64(1, "h"))
    return float(time.attrs.get("step_hours", 1.0))


def time_bounds(dataset: xr.Dataset) -> NDArray[np.datetime64]:
    """Return the beginning and the end of every averaging period, in UTC.

    Parameters
    ----------
    dataset : xarray.Dataset
        Valid observations; the label of the time says which end a stamp is.

    Returns
    -------
    ndarray, (time, 2), datetime64[ns]

    Examples
    --------
    >>> stamp = xr.DataArray(
    ...     np.array(["2020-01-01T05"], "datetime64[ns]"), dims="time", attrs={"time_label": "end"}
    ... )
    >>> time_bounds(xr.Dataset(coords={"time": stamp})).astype("datetime64[h]")
    array([['2020-01-01T04', '2020-01-01T05']], dtype='datetime64[h]')
    """
    step = np.timedelta64(round(step_hours(dataset) * 3.6e12), "ns")
    stamps = dataset[TIME].values.astype("datetime64[ns]")
    start = stamps - step if dataset[TIME].attrs.get("time_label") == "end" else stamps
    return np.stack([start, start + step], axis=1)


def _names(dataset: xr.Dataset) -> str:
    """Return the names of the variables, for a message."""
    return ", ".join(str(name) for name in dataset.data_vars) or "none"


def _pollutants(dataset: xr.Dataset) -> list[str]:
    """Return the variables that are pollutants, in their order."""
    return [str(name) for name in dataset.data_vars if name in POLLUTANTS]


def _station_faults(dataset: xr.Dataset) -> Iterator[str]:
    """Yield what is wrong with the identifiers."""
    if dataset.sizes[STATION] == 0:
        yield "observations have no station"
        return
    if STATION not in dataset.coords:
        yield "stations have no identifiers: assign the coordinate 'station'"
        return
    identifiers = dataset[STATION].values
    odd = [i for i in identifiers.tolist() if not isinstance(i, str) or not i]
    if odd:
        yield (
            f"station identifiers must be text and not empty; found {odd[0]!r} "
            f"({len(odd)} such). Use dataset.assign_coords(station=...)"
        )
        return
    names, counts = np.unique(identifiers.astype(str), return_counts=True)
    if (counts > 1).any():
        yield (
            f"station identifiers must be unique; {str(names[counts > 1][0])!r} is there "
            f"{counts.max()} times ({int((counts > 1).sum())} such identifiers)"
        )


def _position_faults(dataset: xr.Dataset) -> Iterator[str]:
    """Yield what is wrong with the coordinates of the stations."""
    limits = {"longitude": (-180.0, 180.0), "latitude": (-90.0, 90.0)}
    for name, (low, high) in limits.items():
        if name not in dataset.coords or dataset[name].dims != (STATION,):
            yield f"observations need a coordinate {name!r} on 'station', in degrees"
            continue
        degrees = np.asarray(dataset[name].values, dtype=np.float64)
        identifiers = dataset[STATION].values
        for wrong, words in (
            (~np.isfinite(degrees), "is missing or not finite"),
            ((degrees < low) | (degrees > high), f"is outside {low:g} to {high:g}"),
        ):
            if wrong.any():
                first = int(np.flatnonzero(wrong)[0])
                yield (
                    f"the {name} of station {identifiers[first]} {words}: {degrees[first]:g} "
                    f"({int(wrong.sum())} such stations)"
                )


def _time_faults(dataset: xr.Dataset) -> Iterator[str]:
    """Yield what is wrong with the time axis."""
    if TIME not in dataset.coords or dataset.sizes[TIME] == 0:
        yield "observations have no time: the coordinate 'time' is missing or empty"
        return
    time = dataset[TIME]
    if time.dtype.kind != "M":
        yield f"time must be datetime64 in UTC, without a zone; found {time.dtype}"
        return
    if time.attrs.get("time_label") not in TIME_LABELS:
        yield (
            "time.attrs['time_label'] must say whether a stamp is the 'start' or the 'end' of its "
            f"averaging period; found {time.attrs.get('time_label')!r}"
        )
    if np.isnat(time.values).any():
        yield f"time holds {int(np.isnat(time.values).sum())} missing stamps"
        return
    yield from _axis_faults(time)


def _axis_faults(time: xr.DataArray) -> Iterator[str]:
    """Yield what is wrong with the order and the steps of the stamps."""
    stamps = time.values.astype("datetime64[ns]")
    steps = np.diff(stamps).astype(np.int64)
    if steps.size and steps.min() <= 0:
        at = int(np.flatnonzero(steps <= 0)[0])
        yield f"time must increase; {_stamp(stamps[at + 1])} comes after {_stamp(stamps[at])}"
        return
    if steps.size and (steps != steps[0]).any():
        at = int(np.flatnonzero(steps != steps[0])[0])
        yield (
            f"time must be regular; the first step is {steps[0] / 3.6e12:g} h, but from "
            f"{_stamp(stamps[at])} to {_stamp(stamps[at + 1])} it is {steps[at] / 3.6e12:g} h"
        )
        return
    said = time.attrs.get("step_hours")
    if said is None or (steps.size and not np.isclose(float(said), steps[0] / 3.6e12)):
        real = f"{steps[0] / 3.6e12:g}" if steps.size else "the averaging period"
        yield f"time.attrs['step_hours'] must be {real}; found {said!r}"


def _variable_faults(dataset: xr.Dataset) -> Iterator[str]:
    """Yield what is wrong with the pollutants."""
    names = _pollutants(dataset)
    if not names:
        yield (
            f"observations hold no pollutant ({', '.join(POLLUTANTS)}); "
            f"variables are {_names(dataset)}"
        )
    for name in names:
        array = dataset[name]
        if set(array.dims) != set(DIMENSIONS):
            yield f"{name} needs dimensions {DIMENSIONS}; found {array.dims}"
            continue
        if array.attrs.get("units") != CONCENTRATION_UNITS:
            yield (
                f"{name} must be in {CONCENTRATION_UNITS!r}; its units are "
                f"{array.attrs.get('units')!r}. Use open_observations(dataset, units=...)"
            )
        yield from _value_faults(dataset, name)


def _value_faults(dataset: xr.Dataset, name: str) -> Iterator[str]:
    """Yield what is wrong with the values of one pollutant."""
    if dataset[name].dtype.kind not in "fiu":
        yield f"{name} must hold numbers; its type is {dataset[name].dtype}"
        return
    values = dataset[name].transpose(*DIMENSIONS).values
    if values.size == 0:
        return
    infinite = np.isinf(values)
    if infinite.any():
        row, column = (int(index[0]) for index in np.nonzero(infinite))
        station = dataset[STATION].values[row] if STATION in dataset.coords else row
        stamp = dataset[TIME].values[column] if TIME in dataset.coords else column
        yield (
            f"{name} is infinite at station {station}, {_stamp(stamp)} "
            f"({int(infinite.sum())} such values). Missing values are NaN"
        )
    if np.isnan(values).all():
        yield f"{name} is missing at every station and hour"


def _stamp(value: object) -> str:
    """Return a time stamp for a message, to the minute, or the value as it is."""
    if isinstance(value, np.datetime64):
        return f"{np.datetime_as_string(value, unit='m')} UTC"
    return str(value)
