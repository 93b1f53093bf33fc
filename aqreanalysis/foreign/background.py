"""Background fields: models or maps, as covariates at any place."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, TIME
from aqreanalysis.foreign.averaging import lengths, mean_by_group, nest
from aqreanalysis.foreign.coordinates import bounds_names, find_coordinates
from aqreanalysis.foreign.errors import ForeignError, raising
from aqreanalysis.foreign.files import in_blocks
from aqreanalysis.foreign.periods import TimeAxis, at_one_level, seconds
from aqreanalysis.foreign.places import Places, extent, find_places
from aqreanalysis.foreign.sampling import Sampling
from aqreanalysis.foreign.variables import (
    pollutant_by_name,
    pollutant_by_standard_name,
    units_factor,
)
from aqreanalysis.observations import step_hours, time_bounds

logger = logging.getLogger(__name__)


#: Fields given everywhere: one, a Dataset of some, or several of either.
BackgroundField: TypeAlias = xr.DataArray | xr.Dataset | Sequence[xr.DataArray | xr.Dataset]


class BackgroundError(ValueError):
    """A background that cannot be used: without coordinates, or outside of the request."""


class Background:
    """One or more fields with values at stations and at targets.

    Longitude and latitude, averaging periods and units are read by the same rules as those of a
    product that is verified.

    Parameters
    ----------
    data : DataArray, Dataset or sequence of these
        Every numeric variable is a covariate: a map, such as elevation, or a field in time, such
        as that of a model. It lies on a grid, with longitude and latitude on axes of any order or
        in two dimensions, or with axes x and y and a grid mapping; or at points. A pollutant whose
        units are known is converted to ug m-3; any other covariate is taken as it is. Of several
        variables of one name, the first that has a value at a place and hour gives it.

    Raises
    ------
    BackgroundError
        If there is no numeric variable, or one has no position, several, or a dimension other than
        place and time.

    Examples
    --------
    >>> height = xr.DataArray(
    ...     [[0.0, 100.0], [200.0, 300.0]],
    ...     coords={"lat": [50.0, 51.0], "lon": [10.0, 11.0]},
    ...     dims=("lat", "lon"),
    ...     name="height",
    ... )
    >>> hours = np.array(["2024-01-01"], "datetime64[ns]")
    >>> places = np.array([10.5, 12.0]), np.array([50.5, 50.5])
    >>> Background(height).at(*places, hours).ravel().tolist()
    [150.0, nan]
    """

    def __init__(self, data: BackgroundField) -> None:
        several = isinstance(data, list | tuple) and data
        self.data = [_as_dataset(field) for field in (data if several else [data])]
        self._layers: dict[str, list[_Layer]] = {}
        with raising(BackgroundError, "the background"):
            for field in self.data:
                for name in _covariates(field):
                    self._layers.setdefault(name, []).append(_Layer.of(field, name))
        self.names = tuple(self._layers)
        self.rooted = tuple(first.concentration for first, *_ in self._layers.values())

    def at(
        self, longitude: np.ndarray, latitude: np.ndarray, time: np.ndarray | xr.DataArray
    ) -> np.ndarray:
        """Return (n, t, covariate): bilinear in space, linear in time, NaN outside of the field.

        Places (n,) are in degrees; a DataArray of times (t,) states its periods with
        ``time_label``. Where both the field and the hours state the averaging period of a stamp, a
        value belongs to the middle of its period, and a field of shorter periods than the hours is
        averaged over each hour. Otherwise stamps are compared with stamps.

        Raises
        ------
        BackgroundError
            If a concentration holds fill values, or a grid has a single row or column.
        """
        with raising(BackgroundError, "the background"):
            columns = [_first(some, longitude, latitude, time) for some in self._layers.values()]
        return np.stack(columns, -1)

    @property
    def constant(self) -> bool:
        """Whether no covariate changes in time."""
        return all(layer.time is None for some in self._layers.values() for layer in some)

    def extent(self) -> str:
        """Return the extent of the first covariate in space and time, in words."""
        layer = self._layers[self.names[0]][-1]
        west, east, south, north = (round(degrees, 4) for degrees in extent(layer.places))
        words = f"lat {south} to {north}, lon {west} to {east}"
        if layer.time is None:
            return words
        return f"{words}, {layer.time.name} {layer.time.stamps[0]} to {layer.time.stamps[-1]}"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out everything that is derived from the data."""
        return {"data": self.data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Background.__init__(self, state["data"])

    def __dask_tokenize__(self) -> Any:
        """Identify the background by its data, the same in every process."""
        from dask.base import normalize_token

        return normalize_token((type(self).__name__, self.data))


@dataclass(frozen=True)
class _Layer:
    """One covariate: its values, places and time, and the factor to the units it is used in."""

    values: xr.DataArray
    places: Places
    time: TimeAxis | None
    factor: float
    concentration: bool

    @classmethod
    def of(cls, data: xr.Dataset, name: str) -> "_Layer":
        """Return a variable of a Dataset as a covariate."""
        places = find_places(data, name)
        level, time = at_one_level(data, name, places.dims)
        if time is not None and time.dimension is None:
            time = None  # the date of a map
        values = level[name]
        blocks = in_blocks(values.variable, time and time.dimension)
        return cls(
            values.copy(data=blocks.data),
            places,
            time,
            _factor(values),
            _is_concentration(name, values),
        )

    def at(
        self, longitude: np.ndarray, latitude: np.ndarray, time: np.ndarray | xr.DataArray
    ) -> np.ndarray:
        """Return the covariate at places and hours, (n, t) float64."""
        sampling = self.places.locate(longitude, latitude, "linear")
        values = np.full((len(longitude), len(time)), np.nan)
        if sampling.place.size:
            values[sampling.place] = self._in_time(sampling, time) * self.factor
        return values

    def _in_time(self, sampling: Sampling, time: np.ndarray | xr.DataArray) -> np.ndarray:
        """Return the covariate at the places of a sampling, (m, t)."""
        axis = self.time
        if axis is None:
            return sampling.read(self.values, concentration=self.concentration)

        def read(rows: slice) -> np.ndarray:
            return sampling.read(
                self.values,
                axis.dimension,
                axis.position[rows],
                concentration=self.concentration,
            )

        if not (axis.stated and isinstance(time, xr.DataArray) and "time_label" in time.attrs):
            return _interpolated(read, axis.stamps, np.asarray(time, "datetime64[ns]"))
        hours = xr.Dataset(coords={TIME: (TIME, time.values, time.attrs)})
        requested = seconds(time_bounds(hours))
        bounds, _ = axis.periods(step_hours=step_hours(hours))
        if np.median(lengths(bounds)) < np.median(lengths(requested)):
            group, count = nest(bounds, requested, "background", "measurements")
            used = np.flatnonzero((group >= 0) & (count[group] > 0))
            rows = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
            return mean_by_group(read(rows), group[rows], np.where(count > 0, count, np.inf))
        return _interpolated(read, _middles(bounds), _middles(requested))


def _as_dataset(field: Any) -> xr.Dataset:
    """Return a field as a Dataset."""
    if isinstance(field, xr.DataArray):
        return field.to_dataset(name=field.name or "background")
    if not isinstance(field, xr.Dataset):
        raise BackgroundError(
            f"a background is an xarray DataArray or Dataset; found {type(field).__name__}"
        )
    return field


def _first(
    layers: Sequence[_Layer],
    longitude: np.ndarray,
    latitude: np.ndarray,
    time: np.ndarray | xr.DataArray,
) -> np.ndarray:
    """Return the value of the first layer that has one, at each place and hour, (n, t)."""
    first, *others = layers
    values = first.at(longitude, latitude, time)
    for layer in others:
        rows = np.flatnonzero(np.isnan(values).any(axis=1))
        if rows.size:
            further = layer.at(longitude[rows], latitude[rows], time)
            values[rows] = np.where(np.isnan(values[rows]), further, values[rows])
    return values


def _covariates(data: xr.Dataset) -> list[str]:
    """Return the numeric variables that are not coordinates of others."""
    auxiliary = {"lat", "latitude", "lon", "longitude"}
    for variable in data.variables:
        auxiliary.update(map(str, bounds_names(data[variable])))
    numeric = {
        str(name)
        for name, values in data.data_vars.items()
        if values.dtype.kind in "fiu" and values.ndim and name not in auxiliary
    }
    for name in numeric:
        positions = find_coordinates(data, name, ("longitude", "latitude"))
        axes = positions or find_coordinates(data, name, ("X", "Y")) or ()
        auxiliary.update(str(axis.name) for axis in axes)
    names = [str(name) for name in data.data_vars if name in numeric - auxiliary]
    if not names:
        raise ForeignError("the {data} holds no numeric variable")
    return names


def _is_concentration(name: str, values: xr.DataArray) -> bool:
    """Return whether a variable is of a pollutant, of which the square root is used."""
    standard = str(values.attrs.get("standard_name", ""))
    target = pollutant_by_standard_name(values) or pollutant_by_name(name)
    return target is not None or standard.startswith(("mass_concentration", "mole_"))


def _factor(values: xr.DataArray) -> float:
    """Return the factor that brings a pollutant to ug m-3; 1 for any other covariate."""
    target = pollutant_by_standard_name(values) or pollutant_by_name(values.name)
    if target is None or not values.attrs.get("units"):
        return 1.0
    try:
        return units_factor(values, target)[0]
    except ForeignError as error:
        logger.warning(
            "the background %r is used in its own units, and must be given in the same ones "
            "always, since they do not convert to %s: %s",
            values.name,
            CONCENTRATION_UNITS,
            error.about("background"),
        )
        return 1.0


def _interpolated(
    read: Callable[[slice], np.ndarray], instants: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Return values at target instants: linear between, constant for one step beyond the ends."""
    begin, last = instants[0], instants.size - 1
    own, at = ((times - begin) / np.timedelta64(1, "s") for times in (instants, targets))
    step = np.diff(own).min() if last else 3600.0
    row = np.interp(at, own, np.arange(own.size))
    low = np.minimum(row.astype(int), max(last - 1, 0))
    share = row - low
    values = read(slice(low.min(), min(low.max() + 1, last) + 1))
    before = values[:, low - low.min()]
    after = values[:, np.minimum(low + 1, last) - low.min()]
    mixed = np.where(share > 0, share * after, 0) + np.where(share < 1, (1 - share) * before, 0)
    return np.where((at > own[0] - step) & (at < own[-1] + step), mixed, np.nan)


def _middles(bounds: np.ndarray) -> np.ndarray:
    """Return the middles of periods."""
    bounds = bounds.astype("datetime64[ns]")
    return bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) // 2
