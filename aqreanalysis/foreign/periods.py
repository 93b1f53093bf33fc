"""Averaging periods: the hours that each time stamp of a layer stands for."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.foreign.coordinates import bounds_names
from aqreanalysis.foreign.errors import ForeignError

TimeLabel = Literal["start", "end"]

#: Calendars that agree with UTC for all dates since 1582.
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


@dataclass(frozen=True)
class TimeAxis:
    """The time stamps of a layer in ascending order, and what the file states of their periods.

    Attributes
    ----------
    name, dimension : hashable
        The variable of the stamps, and its dimension; None for a single hour without it.
    stamps : (p,) datetime64[s]
        UTC.
    position : (p,) int
        Index of each stamp on the axis of the file.
    bounds : (p, 2) datetime64[s] or None
        Begin and end of each period, if they have a length.
    label : {"start", "end"} or None
        Which end of its period a stamp is.
    step_hours : float or None
        Length of a period.
    instantaneous : bool
        Whether the values are those at the stamps, not averages.
    """

    name: Hashable
    dimension: Hashable | None
    stamps: np.ndarray
    position: np.ndarray
    bounds: np.ndarray | None
    label: TimeLabel | None
    step_hours: float | None
    instantaneous: bool

    @classmethod
    def of(cls, dataset: xr.Dataset, name: str, dimension: Hashable | None) -> "TimeAxis | None":
        """Return the time along a dimension of a layer, or of none; None without dates.

        Raises
        ------
        ForeignError
            If a stamp is missing or occurs twice, or the calendar is not that of the clock.

        Examples
        --------
        >>> stamps = np.array(["2020-01-01T02", "2020-01-01T01"], "datetime64[ns]")
        >>> dataset = xr.Dataset({"pm25": ("time", [1.0, 2.0])}, coords={"time": stamps})
        >>> TimeAxis.of(dataset, "pm25", "time").position
        array([1, 0])
        """
        variable = dated_variable(dataset, dimension)
        if variable is None:
            return None
        time = dataset[variable]
        stamps = np.atleast_1d(_stamps(time))
        position = np.argsort(stamps, kind="stable")
        stamps = stamps[position]
        twice = stamps[1:][stamps[1:] == stamps[:-1]]
        if twice.size:
            raise ForeignError(
                f"{variable!r} has {np.datetime_as_string(twice[0], unit='m')} more than once "
                f"({twice.size} such stamps); choose with "
                f"{{data}}.drop_duplicates({variable!r})"
            )
        bounds = _bounds(dataset, time)
        has_length = bounds is not None and (bounds[:, 1] > bounds[:, 0]).all()
        label = time.attrs.get("time_label")
        _check_label(label)
        step = time.attrs.get("step_hours")
        return cls(
            variable,
            dimension,
            stamps,
            position,
            bounds[position] if bounds is not None and has_length else None,
            label,
            None if step is None else float(step),
            _is_instantaneous(dataset[name], time) or (bounds is not None and not has_length),
        )

    @property
    def stated(self) -> bool:
        """Whether the file states which hours a stamp stands for."""
        return self.bounds is not None or self.label is not None

    def periods(
        self, *, time_label: TimeLabel | None = None, step_hours: float
    ) -> tuple[np.ndarray, list[str]]:
        """Return the averaging period of each time stamp, (p, 2) datetime64[s], and remarks.

        They follow from the CF bounds of the time, or else by the label, which ``time_label``
        states if the file does not, and the attribute ``step_hours`` or the distance between
        stamps. A value at an instant ("time: point") stands for the hour that its stamp begins or
        ends, at most for ``step_hours``, the step of the measurements.

        Raises
        ------
        ForeignError
            If nothing says which hours a stamp stands for, or the file contradicts the label.

        Examples
        --------
        >>> stamps = np.array(["2020-01-01T01", "2020-01-01T02"], "datetime64[ns]")
        >>> dataset = xr.Dataset({"pm25": ("time", [1.0, 2.0])}, coords={"time": stamps})
        >>> axis = TimeAxis.of(dataset, "pm25", "time")
        >>> axis.periods(time_label="end", step_hours=1)[0].astype("datetime64[h]")[0]
        array(['2020-01-01T00', '2020-01-01T01'], dtype='datetime64[h]')
        """
        _check_label(time_label)
        if self.bounds is not None:
            self._check_agreement(self.bounds, time_label)
            remarks = ["The product's values hold at an instant."] if self.instantaneous else []
            return self.bounds, remarks
        label = self._label(time_label)
        step, remarks = self._step(step_hours)
        length = np.timedelta64(round(step * 3600), "s")
        begin = self.stamps if label == "start" else self.stamps - length
        if self.instantaneous:
            remarks.append(
                f"The product's values hold at an instant: each stands for the mean of the "
                f"{step:g} h that its stamp {label}s."
            )
        return np.stack([begin, begin + length], axis=1), remarks

    def _check_agreement(self, bounds: np.ndarray, label: TimeLabel | None) -> None:
        """Refuse a label that contradicts the bounds."""
        if label is None or np.array_equal(bounds[:, 0 if label == "start" else 1], self.stamps):
            return
        first = [np.datetime_as_string(at, unit="m") for at in (self.stamps[0], *bounds[0])]
        raise ForeignError(
            f"time_label={label!r} contradicts the bounds of {self.name!r}: {first[0]} stands for "
            f"{first[1]} to {first[2]}. Leave time_label out, or drop the bounds from the {{data}}"
        )

    def _label(self, passed: TimeLabel | None) -> TimeLabel:
        """Return which end of its period a stamp is."""
        if None not in (self.label, passed) and self.label != passed:
            raise ForeignError(
                f"time_label={passed!r} contradicts the {{data}}, which says {self.label!r}. Leave "
                f"time_label out, or correct the attribute time_label of {self.name!r}"
            )
        label = self.label or passed
        if label is None:
            raise ForeignError(
                f"{self.name!r} does not say whether its stamps begin or end their hour: it has "
                "neither bounds nor the attribute time_label. Pass time_label='start' or "
                "time_label='end'; the documentation of the {data} tells which"
            )
        return label

    def _step(self, step_hours: float) -> tuple[float, list[str]]:
        """Return the length of the periods, hours, and what was assumed."""
        steps = np.diff(self.stamps).astype(np.int64) / 3600
        if self.instantaneous:
            return (float(min(steps.min(), step_hours)) if steps.size else step_hours), []
        if self.step_hours is not None:
            return self.step_hours, []
        remedy = f"Set the attribute step_hours of {self.name!r} to the hours of a period"
        if not steps.size:
            raise ForeignError(f"{self.name!r} does not say how long its only period is. {remedy}")
        step = float(steps.min())
        if not np.allclose(steps / step, np.rint(steps / step), atol=1e-6):
            raise ForeignError(
                f"the stamps of {self.name!r} are {step:g} to {steps.max():g} h apart, so its "
                f"averaging periods cannot be told. {remedy}, or give the time bounds"
            )
        if step == step_hours:
            return step, []
        return step, [
            f"The product does not say how long it averages: {step:g} h was taken, the time "
            "between its stamps."
        ]


def dated_variable(dataset: xr.Dataset, dimension: Hashable | None) -> Hashable | None:
    """Return the variable with the dates along a dimension, or without dimensions; or None.

    Of several it is the one with the standard name "time", or else with the name of the dimension.

    Examples
    --------
    >>> stamps = np.array(["2020-01-01"], "datetime64[ns]")
    >>> dated_variable(xr.Dataset(coords={"t": stamps}), "t")
    't'
    """
    dims = () if dimension is None else (dimension,)
    dated = [
        name
        for name, variable in dataset.variables.items()
        if variable.dims == dims and _is_dated(variable)
    ]
    # By standard name, which may also be "forecast_reference_time".
    standard = [name for name in dated if dataset[name].attrs.get("standard_name") == "time"]
    preferred = [*standard, *(name for name in dated if name in (dimension, "time")), *dated]
    return preferred[0] if preferred else None


def at_one_level(
    dataset: xr.Dataset, name: str, horizontal: tuple[Hashable, ...]
) -> tuple[xr.Dataset, TimeAxis | None]:
    """Return a Dataset without dimensions of size 1 other than place and time, and its time.

    The time is None if the layer has neither a dimension of dates nor a single date.

    Raises
    ------
    ForeignError
        If the layer has a level, a member or the like to choose from, or a dimension without
        dates.

    Examples
    --------
    >>> stamps = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    >>> layer = (("time", "level", "cell"), np.zeros((2, 1, 3)))
    >>> dataset = xr.Dataset({"pm25": layer}, coords={"time": stamps})
    >>> at_one_level(dataset, "pm25", ("cell",))[0].pm25.dims
    ('time', 'cell')
    """
    others = [dim for dim in dataset[name].dims if dim not in horizontal]
    dated = [dim for dim in others if dated_variable(dataset, dim) is not None]
    time = max(dated, key=lambda dim: (dataset.sizes[dim], dim == "time"), default=None)
    single = [dim for dim in others if dim != time and dataset.sizes[dim] == 1]
    reduced = dataset.isel(dict.fromkeys(single, 0))
    remaining = [dim for dim in others if dim != time and dim not in single]
    if len(remaining) > (time is None):
        dim = remaining[-1]
        raise ForeignError(
            f"{name!r} has {dataset.sizes[dim]} values along {dim!r}, of which one is to be "
            f"taken: select it with {{data}}.isel({dim}=...)"
        )
    if remaining:
        raise ForeignError(_no_dates(dataset, name, remaining[0]))
    return reduced, TimeAxis.of(reduced, name, time)


def seconds(instants: np.ndarray) -> np.ndarray:
    """Return instants rounded to seconds, which removes the error of fractions of days.

    Examples
    --------
    >>> seconds(np.array(["2020-01-01T00:59:59.999712"], "datetime64[ns]"))
    array(['2020-01-01T01:00:00'], dtype='datetime64[s]')
    """
    half = np.timedelta64(500, "ms")
    return (instants.astype("datetime64[ns]") + half).astype("datetime64[s]")


def _is_dated(variable: xr.Variable) -> bool:
    """Return whether a variable holds dates, of any calendar."""
    if variable.dtype.kind == "M":
        return True
    if variable.dtype.kind != "O" or not variable.size:
        return False
    return hasattr(np.ravel(variable.values)[0], "calendar")  # a date of cftime


def _no_dates(dataset: xr.Dataset, name: str, dim: Hashable) -> str:
    """Return the message for a dimension without dates."""
    stated = "no coordinate"
    if dim in dataset.variables:
        units = dataset[dim].attrs.get("units")
        stated = f"{dataset[dim].dtype}" + (f" in {units!r}" if units else "")
    return (
        f"expected dates along {dim!r}, the dimension of {name!r} beside its place; found "
        f"{stated}. Open the {{data}} with decode_times=True, or assign dates: "
        f"{{data}}.assign_coords({dim}=...)"
    )


def _stamps(time: xr.DataArray) -> np.ndarray:
    """Return time stamps in UTC, datetime64[s]."""
    if time.dtype.kind == "O":
        calendar = time.values.flat[0].calendar
        if calendar not in _CALENDARS:
            raise ForeignError(
                f"{time.name!r} has the calendar {calendar!r}, and measurements have that of the "
                f"clock, 'standard'. Convert it with {{data}}.convert_calendar('standard', "
                f"dim={str(time.name)!r})"
            )
        texts = [stamp.isoformat() for stamp in time.values.flat]
        return seconds(np.array(texts, "datetime64[ms]").reshape(time.shape))
    zoned = isinstance(time.dtype, pd.DatetimeTZDtype)
    values = pd.DatetimeIndex(time.to_index()).tz_convert(None) if zoned else time.values
    stamps = np.asarray(values, "datetime64[ns]")
    if np.isnat(stamps).any():
        raise ForeignError(
            f"{time.name!r} holds {np.isnat(stamps).sum()} missing stamps; drop them with "
            f"{{data}}.isel({time.name}={{data}}[{time.name!r}].notnull())"
        )
    return seconds(stamps)


def _bounds(dataset: xr.Dataset, time: xr.DataArray) -> np.ndarray | None:
    """Return begin and end of each period in the order of the file, if they are stated."""
    for name in bounds_names(time):
        if name not in dataset.variables:
            continue
        bounds = dataset[name]
        if bounds.shape == (*time.shape, 2) and _is_dated(bounds.variable):
            return np.sort(_stamps(bounds).reshape(-1, 2), axis=1)
    return None


def _is_instantaneous(layer: xr.DataArray, time: xr.DataArray) -> bool:
    """Return whether values are at an instant, by cell_methods of CF or an attribute of GRIB."""
    methods = str(layer.attrs.get("cell_methods", ""))
    names = {"time", *map(str, (time.name, *time.dims))}
    point = any(re.search(rf"\b{re.escape(name)}\s*:\s*point", methods) for name in names)
    return point or layer.attrs.get("GRIB_stepType") == "instant"


def _check_label(label: str | None) -> None:
    """Refuse other labels than those of `TimeLabel`."""
    if label not in (None, "start", "end"):
        raise ForeignError(f"time_label must be 'start' or 'end'; found {label!r}")
