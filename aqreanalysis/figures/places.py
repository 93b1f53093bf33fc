"""The series of one place: a station by its name, or the cell of a grid at a position."""

import difflib
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import DRAW, STATION, TIME, ZONE
from aqreanalysis.figures.sheet import FigureError
from aqreanalysis.maps.layers import mapped_variable
from aqreanalysis.maps.period import MapError, Time, select_period, select_start
from aqreanalysis.maps.style import Style
from aqreanalysis.network import great_circle_km
from aqreanalysis.observations import default_variable

#: A station by its name, or longitude and latitude in degrees.
Place = str | tuple[float, float]


def drawn_variable(dataset: xr.Dataset, variable: str | None) -> str:
    """Return the variable to draw: of observations pm25 if it is there, of a product its own.

    Raises
    ------
    MapError
        If there is none of that name, or several to choose from.
    """
    if variable is None and STATION in dataset.dims:
        return default_variable(dataset)
    return mapped_variable(dataset, variable)


def at_place(dataset: xr.Dataset, place: Place | None) -> tuple[xr.Dataset, str]:
    """Return the Dataset at a place, and how the place is called.

    Parameters
    ----------
    dataset : Dataset
        ``(station, time)``, ``(zone, time)`` or on a grid.
    place : str or (longitude, latitude), optional
        A station or a zone by its identifier or name; may be left out where there is one.

    Raises
    ------
    FigureError
        If there is no such station, or the place lies outside of the grid; the nearest are named.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=2, seed=0).observations
    >>> at_place(obs, "S01")[0].pm25.dims
    ('time',)
    """
    if STATION in dataset.dims:
        return _station(dataset, place)
    if ZONE in dataset.dims:
        return _named(dataset, ZONE, place)
    if isinstance(place, str) or place is None or np.shape(place) != (2,):
        raise FigureError(
            f"a place on a grid is its longitude and latitude, as (116.4, 39.9); found {place!r}"
        )
    longitude, latitude = float(place[0]), float(place[1])
    if not np.isfinite([longitude, latitude]).all() or abs(latitude) > 90:
        raise FigureError(
            "a place needs a longitude and a latitude within -90..90, in this order; found "
            f"{place!r}"
        )
    name = f"{abs(latitude):.5g}° {'NS'[latitude < 0]}, {abs(longitude):.5g}° {'EW'[longitude < 0]}"
    return _cell(dataset, longitude, latitude, name), name


def hours_of(dataset: xr.Dataset, time: Time | None, start: Time | None = None) -> xr.Dataset:
    """Return the hours that are asked for, of one outlook where it is a set.

    Raises
    ------
    MapError
        If there are none; the nearest are named.
    """
    selected, period = select_period(select_start(dataset, start), time)
    if not period.labels.size:
        raise MapError("there is no dimension 'time', along which this is drawn")
    return selected.drop_dims(DRAW, errors="ignore")


def local_times(dataset: xr.Dataset, zone: str | None) -> pd.DatetimeIndex:
    """Return the beginnings of the hours, in a time zone without its name, or in UTC.

    Raises
    ------
    MapError
        If there is no such zone.

    Examples
    --------
    >>> hours = xr.Dataset(coords={"time": pd.date_range("2024-01-01", periods=1)})
    >>> local_times(hours, "Asia/Shanghai")[0].hour
    8
    """
    Style(local_time=zone)
    attributes = dataset[TIME].attrs
    times = pd.DatetimeIndex(dataset[TIME].values)
    if attributes.get("time_label") == "end":
        times = times - pd.Timedelta(hours=float(attributes.get("step_hours", 1.0)))
    if zone is None:
        return times
    return times.tz_localize("UTC").tz_convert(zone).tz_localize(None)


def _station(dataset: xr.Dataset, place: Place | None) -> tuple[xr.Dataset, str]:
    """Return the Dataset at a station, or at the one that is nearest to a position."""
    if not isinstance(place, str) and place is not None and np.shape(place) == (2,):
        away = great_circle_km(
            float(place[0]), float(place[1]), dataset["longitude"].values,
            dataset["latitude"].values,
        )  # fmt: skip
        nearest = int(np.argmin(away))
        one = dataset.isel({STATION: nearest})
        called = _called(one, str(dataset[STATION].values[nearest]))
        return one, f"{called}, {away[nearest]:.3g} km away"
    return _named(dataset, STATION, place)


def _named(dataset: xr.Dataset, dim: str, place: Place | None) -> tuple[xr.Dataset, str]:
    """Return the Dataset at a station or a zone of that identifier or name."""
    every = [dataset[name] for name in (dim, f"{dim}_id", "name") if name in dataset.variables]
    columns = [
        [str(name) for name in np.atleast_1d(each.values)] for each in every or [dataset[dim]]
    ]
    names = columns[0]
    if place is None and len(names) == 1:
        place = names[0]
    for column in columns:
        if isinstance(place, str) and column.count(place) == 1:
            one = dataset.isel({dim: column.index(place)})
            return one, _called(one, names[column.index(place)])
    near = difflib.get_close_matches(str(place), names, 3, 0.4) or names[:3]
    raise FigureError(
        f"no {dim} {place!r} among {len(names)}; for example {', '.join(near)}"
        if place is not None
        else f"name one of the {len(names)} {dim}s, such as {', '.join(near)}"
    )


def _called(station: xr.Dataset, identifier: str) -> str:
    """Return identifier and name of a station, as texts in which no "$" begins a formula."""
    name = str(station["name"].values) if "name" in station.coords else ""
    called = f"{identifier} ({name})" if name and name != identifier else identifier
    return called.replace("$", r"\$")


def _cell(dataset: xr.Dataset, longitude: float, latitude: float, name: str) -> xr.Dataset:
    """Return the Dataset at the cell whose centre is nearest.

    Raises
    ------
    FigureError
        If it is farther away than cells are from each other.
    """
    if "lat" in dataset.dims:
        longitudes, latitudes = np.meshgrid(dataset["lon"].values, dataset["lat"].values)
        dims: tuple[str, str] = ("lat", "lon")
    else:
        dims = ("y", "x")
        longitudes, latitudes = (dataset[n].transpose(*dims).values for n in ("lon", "lat"))
    away = great_circle_km(longitude, latitude, longitudes, latitudes)
    if not np.isfinite(away).all():
        raise FigureError(
            f"lon or lat is not a number at {int((~np.isfinite(away)).sum())} of {away.size} "
            "cells, which so have no position: correct them, or leave these cells out"
        )
    row, column = np.unravel_index(int(np.argmin(away)), away.shape)
    if away.size > 1 and away[row, column] > 0.75 * _cell_km(longitudes, latitudes):
        raise FigureError(
            f"{name} lies outside of the grid, of which the nearest cell is at "
            f"{longitudes[row, column]:.5g}, {latitudes[row, column]:.5g}"
        )
    chosen: dict[str, Any] = {dims[0]: int(row), dims[1]: int(column)}
    return dataset.isel(chosen)


def _cell_km(longitudes: np.ndarray, latitudes: np.ndarray) -> float:
    """Return the largest distance of neighbouring centres, km."""
    sides = [
        great_circle_km(*ends[0], *ends[1]).max()
        for ends in (
            ((longitudes[1:], latitudes[1:]), (longitudes[:-1], latitudes[:-1])),
            ((longitudes[:, 1:], latitudes[:, 1:]), (longitudes[:, :-1], latitudes[:, :-1])),
        )
        if ends[0][0].size
    ]
    return float(max(sides))
