"""The contract of observations: what a valid Dataset is, its faults, and access to its values.

Dimensions ``(station, time)``. Coordinates ``station`` (unique text), ``longitude`` and
``latitude`` in degrees and perhaps ``altitude`` in m on ``station``; ``time`` regular, increasing,
in UTC, with the attributes ``time_label`` ("start" or "end" of the averaging period) and
``step_hours``. Variables are pollutants in "ug m-3", NaN where missing, and optionally meteorology.

Validation costs one pass over the values without a copy, a few milliseconds for 1500 stations and
a year of hours; a Dataset carries no mark of it, which would outlive the next edit.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import (
    CONCENTRATION_UNITS,
    POLLUTANTS,
    STATION,
    STATION_TYPES,
    TIME,
    UnknownPollutantError,
    pollutant,
)
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.variables import listed

DIMENSIONS = (STATION, TIME)
TIME_LABELS = ("start", "end")
#: Spellings of the unit of altitudes.
_METRES = ("m", "metre", "meter", "metres", "meters", "")

#: The density of air in ug m-3: no concentration is larger, and a larger number is a code.
HEAVIEST = 1.3e9


def validate(dataset: xr.Dataset, variable: str | None = None) -> None:
    """Raise one error with all faults of a Dataset, if it has any; its values are read.

    Parameters
    ----------
    dataset : Dataset
    variable : str, optional
        What is worked on; others may then be missing everywhere.

    Raises
    ------
    ObservationError
        With every fault that `find_faults` finds.
    """
    faults = find_faults(dataset, variable)
    if faults:
        raise ObservationError(faults, source="observations")


def find_faults(dataset: xr.Dataset, variable: str | None = None) -> list[str]:
    """Return what keeps the Dataset from being valid observations, one sentence a fault.

    They must hold a pollutant, or else the variable that is given, which may not be missing
    everywhere; without one no pollutant may. One station or one hour is no fault: estimators check
    what they need.

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
    return faults_given_ranges(dataset, value_ranges(dataset), variable)


def default_variable(dataset: xr.Dataset) -> str:
    """Return the pollutant to work on when none is named: PM2.5, or else the first pollutant.

    Raises
    ------
    ObservationError
        If no variable is a known pollutant.

    Examples
    --------
    >>> default_variable(xr.Dataset({"o3": 1.0, "pm25": 2.0}))
    'pm25'
    """
    names = _pollutants(dataset)
    if not names:
        raise ObservationError(
            f"observations hold no pollutant; variables are {listed(dataset.data_vars)}. "
            f"Name one of them {', '.join(POLLUTANTS)}, or name the variable to work on"
        )
    return "pm25" if "pm25" in names else names[0]


def valid_variable(dataset: xr.Dataset, variable: str | None = None) -> str:
    """Return the pollutant to work on, by its name or alias, after `validate`.

    Raises
    ------
    ObservationError
        As `validate` and `default_variable`.
    UnknownPollutantError
        If there is no such pollutant.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> valid_variable(aqr.synthetic_network(hours=24, seed=0).observations, "PM2.5")
    'pm25'
    """
    if variable is None and not _pollutants(dataset):
        validate(dataset)  # which names all faults
    if not isinstance(variable, str | None) or "," in (variable or ""):
        raise UnknownPollutantError(
            f"one pollutant at a time, such as variable='pm25' or --variable pm25; found "
            f"{variable!r}. reanalyse and fit take several"
        )
    name = pollutant(variable).name if variable else default_variable(dataset)
    validate(dataset, name)
    return name


def valid_variables(
    dataset: xr.Dataset, variable: str | Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the pollutants to work on, one or several, each once, after `validate`.

    Raises
    ------
    ObservationError
        As `valid_variable`, or if there is none.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=24, seed=0).observations
    >>> valid_variables(obs, ["PM2.5", "no2", "pm25"])
    ('pm25', 'no2')
    """
    if variable is None or isinstance(variable, str):
        return (valid_variable(dataset, variable),)
    names = tuple(dict.fromkeys(valid_variable(dataset, each) for each in variable))
    if not names:
        raise ObservationError("no pollutant is named: variable=['pm25', 'no2']")
    return names


def values_of(dataset: xr.Dataset, variable: str) -> NDArray[np.float64]:
    """Return a copy of a variable's values as float64, ``(station, time)``, NaN where missing.

    They are in its units; lazy ones are computed. `stored_values` gives them without a copy, for
    shape, range or a mask of what is missing.

    Raises
    ------
    ObservationError
        As `stored_values`.

    Examples
    --------
    >>> dataset = xr.Dataset({"pm25": (("time", "station"), [[1.0, 2.0], [3.0, np.nan]])})
    >>> values_of(dataset, "pm25")
    array([[ 1.,  3.], [ 2., nan]])
    """
    return np.array(stored_values(dataset, variable), dtype=np.float64)


def stored_values(dataset: xr.Dataset, variable: str) -> NDArray:
    """Return a variable's values ``(station, time)`` as they are stored, without a copy.

    A view that cannot be written to, of the variable's own type, mostly float32; lazy values are
    computed.

    Raises
    ------
    ObservationError
        If there is no such variable, or it is not on station and time.

    Examples
    --------
    >>> dataset = xr.Dataset({"pm25": (("station", "time"), np.float32([[1.0, np.nan]]))})
    >>> np.isfinite(stored_values(dataset, "pm25"))
    array([[ True, False]])
    """
    if variable not in dataset.data_vars:
        raise ObservationError(
            f"observations have no variable {variable!r}; they have {listed(dataset.data_vars)}"
        )
    array = dataset[variable]
    if set(array.dims) != set(DIMENSIONS):
        raise ObservationError(f"{variable} needs dimensions {DIMENSIONS}; found {array.dims}")
    view = array.transpose(*DIMENSIONS).values.view()
    view.flags.writeable = False
    return view


def value_range(dataset: xr.Dataset, variable: str) -> tuple[float, float]:
    """Return the lowest and the highest value of a variable, in one pass without a copy.

    Both are NaN where every value is missing or the variable is empty.

    Examples
    --------
    >>> value_range(xr.Dataset({"pm25": ("station", [3.0, np.nan, -1.0])}), "pm25")
    (-1.0, 3.0)
    """
    values = dataset[variable].values
    if values.size == 0:
        return np.nan, np.nan
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def value_ranges(dataset: xr.Dataset) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value of every pollutant of numbers on station and time."""
    return {
        name: value_range(dataset, name)
        for name in _pollutants(dataset)
        if dataset[name].dtype.kind in "fiu" and set(dataset[name].dims) == set(DIMENSIONS)
    }


def faults_given_ranges(
    dataset: xr.Dataset, ranges: Mapping[str, tuple[float, float]], variable: str | None = None
) -> list[str]:
    """Return the faults of a Dataset with both dimensions, given its `value_ranges`."""
    return [
        *_station_faults(dataset),
        *_position_faults(dataset),
        *_altitude_faults(dataset),
        *_type_faults(dataset),
        *_time_faults(dataset),
        *_variable_faults(dataset, ranges, variable),
    ]


def _pollutants(dataset: xr.Dataset) -> list[str]:
    """Return the pollutants among the variables, in their order."""
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


def _altitude_faults(dataset: xr.Dataset) -> Iterator[str]:
    """Yield what is wrong with the altitude, if there is one; a missing value is no fault."""
    if "altitude" not in dataset.coords:
        return
    altitude = dataset["altitude"]
    if altitude.dims != (STATION,) or altitude.dtype.kind not in "fiu":
        yield (
            f"the altitude must be numbers on 'station', in m; found {altitude.dtype} on "
            f"{altitude.dims}. Convert it, or leave it out with dataset.drop_vars('altitude')"
        )
        return
    units = str(altitude.attrs.get("units", "m")).strip()
    if units not in _METRES:
        yield (
            f"the altitude must be in 'm'; its units are {units!r}. Convert it: of feet "
            "dataset.assign_coords(altitude=0.3048 * dataset.altitude)"
        )


def _type_faults(dataset: xr.Dataset) -> Iterator[str]:
    """Yield what is wrong with the types of stations, if there are any; "" is no fault."""
    for name in STATION_TYPES:
        if name not in dataset.variables:
            continue
        labels = dataset[name]
        is_text = labels.dims == (STATION,) and all(isinstance(v, str) for v in labels.values)
        if not is_text:
            yield (
                f"{name} must be text on 'station', '' where it is missing; found {labels.dtype} "
                f"on {labels.dims}. Convert it with dataset.assign_coords({name}=...), or leave it "
                f"out with dataset.drop_vars({name!r})"
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
    stated = time.attrs.get("step_hours")
    if stated is None or (steps.size and not np.isclose(float(stated), steps[0] / 3.6e12)):
        expected = f"{steps[0] / 3.6e12:g}" if steps.size else "the averaging period"
        yield f"time.attrs['step_hours'] must be {expected}; found {stated!r}"


def _variable_faults(
    dataset: xr.Dataset, ranges: Mapping[str, tuple[float, float]], variable: str | None
) -> Iterator[str]:
    """Yield what is wrong with the pollutants."""
    names = _pollutants(dataset)
    if not names and variable not in dataset:
        yield (
            f"observations hold no pollutant ({', '.join(POLLUTANTS)}); "
            f"variables are {listed(dataset.data_vars)}"
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
        if name not in ranges:
            yield f"{name} must hold numbers; its type is {array.dtype}"
        elif array.size and np.isnan(ranges[name]).any() and variable in {None, name}:
            yield f"{name} is missing at every station and hour: drop it, or correct its values"
        elif np.abs(ranges[name]).max(initial=0.0) > HEAVIEST:
            yield _impossible_value(dataset, name)


def _impossible_value(dataset: xr.Dataset, name: str) -> str:
    """Return the fault of values that no air can hold, with the first of them."""
    values = stored_values(dataset, name)
    wrong = np.abs(values) > HEAVIEST
    row, column = np.argwhere(wrong)[0]
    station = dataset[STATION].values[row] if STATION in dataset.coords else row
    stamp = dataset[TIME].values[column] if TIME in dataset.coords else column
    value = values[row, column]
    words = f"{value:g} ug m-3, heavier than air itself," if np.isfinite(value) else "infinite"
    return (
        f"{name} is {words} at station {station}, {_stamp(stamp)} "
        f"({int(wrong.sum())} such values). Missing values are NaN"
    )


def _stamp(value: object) -> str:
    """Return a time stamp for a message, to the minute, or the value as it is."""
    if isinstance(value, np.datetime64):
        return f"{np.datetime_as_string(value, unit='m')} UTC"
    return str(value)
