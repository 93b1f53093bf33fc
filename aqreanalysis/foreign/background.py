"""Background fields: what a model or a map knows everywhere, as a trend under the stations."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, STATION, TIME
from aqreanalysis.network import StationNetwork

logger = logging.getLogger(__name__)

#: Names under which a grid's coordinates are found, beside those that CF attributes tell.
LATITUDES, LONGITUDES = ("lat", "latitude"), ("lon", "longitude")
#: Values at points belong to places no further away than this.
SAME_PLACE_KM = 1.0


class BackgroundError(ValueError):
    """A background that cannot be used: no coordinates, or elsewhere than what is asked for."""


class Background:
    """One or more fields that are known at stations and targets alike.

    Parameters
    ----------
    data : DataArray or Dataset
        Every numeric variable is a covariate: on ``lat, lon`` (a map, such as elevation), on
        ``time, lat, lon`` (a model), or at points, on ``station`` or ``station, time`` with
        longitude and latitude.

    Raises
    ------
    BackgroundError
        If there is no numeric variable, or no coordinates are found.

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

    def __init__(self, data: xr.DataArray | xr.Dataset) -> None:
        if isinstance(data, xr.DataArray):
            data = data.to_dataset(name=data.name or "background")
        if not isinstance(data, xr.Dataset):
            raise BackgroundError(
                f"a background is an xarray DataArray or Dataset; found {type(data).__name__}"
            )
        positions = (*LATITUDES, *LONGITUDES)
        self.names = tuple(
            str(name)
            for name, values in data.data_vars.items()
            if values.dtype.kind in "fiu" and values.ndim and name not in positions
        )
        if not self.names:
            raise BackgroundError("the background holds no numeric variable")
        self.points = STATION in data.dims
        self.data = data if self.points else _on_grid(data)
        self.network = StationNetwork.from_dataset(data) if self.points else None
        self.rooted = tuple(_is_concentration(name, data[name]) for name in self.names)

    def at(self, longitude: np.ndarray, latitude: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return (n, t, covariate): bilinear in space, linear in time, NaN outside of the field.

        Parameters
        ----------
        longitude, latitude : (n,) degrees
        time : (t,) datetime64
        """
        columns = [self._placed(name, longitude, latitude, time) for name in self.names]
        return np.stack(columns, -1)

    def _placed(
        self, name: str, longitude: np.ndarray, latitude: np.ndarray, time: np.ndarray
    ) -> np.ndarray:
        """Return one variable at places and hours, (n, t) float64."""
        values = self.data[name]
        if TIME in values.dims:
            values = _around(values, time)
        if self.network is not None:
            nearest = self.network.neighbours(longitude, latitude, k=1)
            found = values.isel({STATION: nearest.index[:, 0]})
            near = nearest.distance_km[:, 0] <= SAME_PLACE_KM
            found = found.where(xr.DataArray(near, dims=STATION))
            found = found.rename({STATION: "place"})
        else:
            first = float(values["lon"].min())
            turned = (np.asarray(longitude) - first) % 360 + first  # 350 and -10 are one meridian
            found = values.interp(
                lat=xr.DataArray(latitude, dims="place"), lon=xr.DataArray(turned, dims="place")
            )
        if TIME in found.dims:
            found = _in_time(found, time).transpose("place", TIME)
            return found.values.astype(np.float64)
        return np.repeat(found.values.astype(np.float64)[:, None], len(time), axis=1)


@dataclass(frozen=True)
class Trend:
    """What covariates tell of a standardised variable: a weighted sum of them.

    Attributes
    ----------
    names : tuple of str
    rooted : tuple of bool
        Whether the square root of a covariate is used, as for concentrations.
    centre, scale, coefficient : tuple of float
        Of each covariate over the training stations and hours.
    """

    names: tuple[str, ...]
    rooted: tuple[bool, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    coefficient: tuple[float, ...]

    @classmethod
    def of(cls, background: Background, columns: np.ndarray, values: np.ndarray) -> Self:
        """Return the trend of standardised values (n, t), by least squares.

        Parameters
        ----------
        background : Background
        columns : (n, t, covariate)
            Of `Background.at` at the stations.
        values : (n, t)
            NaN where missing.

        Raises
        ------
        BackgroundError
            If a covariate is missing wherever something was measured.
        """
        columns = _rooted(columns, background.rooted)
        there = np.isfinite(values)
        used = np.isfinite(columns) & there[..., None]
        for name, some in zip(background.names, used.any(axis=(0, 1)), strict=True):
            if not some:
                raise BackgroundError(
                    f"the background {name!r} has no value at any measurement: "
                    f"{_extent(background.data)}. Pass a field of two cells or more each way that "
                    "covers the stations' region and period and is not missing there"
                )
        taken = np.where(used, columns, np.nan)
        centre = np.nanmean(taken, axis=(0, 1))
        scale = np.nanstd(taken, axis=(0, 1))
        scale[scale == 0] = 1.0
        _tell_missing(background.names, there, used)
        regular = np.nan_to_num((columns - centre) / scale)[there]
        design = np.column_stack([regular, np.ones(len(regular))])
        solved = np.linalg.lstsq(design, values[there], rcond=None)[0][:-1]
        numbers = (tuple(array.tolist()) for array in (centre, scale, solved))
        return cls(background.names, background.rooted, *numbers)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Return the trend that `facts` told."""
        return cls(**{name: tuple(values) for name, values in facts.items()})

    def facts(self) -> dict[str, Any]:
        """Return plain lists, for the record of a saved model."""
        return {name: list(values) for name, values in asdict(self).items()}

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """Return the trend (n, t) of covariates (n, t, covariate); a missing one counts as mean."""
        regular = (_rooted(columns, self.rooted) - np.array(self.centre)) / np.array(self.scale)
        return np.nan_to_num(regular) @ np.array(self.coefficient)

    def check(self, background: Background) -> None:
        """Refuse a background of other variables than those learned."""
        if background.names != self.names:
            raise BackgroundError(
                f"this model learned with the background {', '.join(self.names)}; found "
                f"{', '.join(background.names)}. Pass the same variables in the same order."
            )


def _on_grid(data: xr.Dataset) -> xr.Dataset:
    """Return a gridded Dataset with coordinates lat and lon that ascend."""
    import cf_xarray  # noqa: F401 - finds coordinates by their attributes

    renamed = {}
    for axis, names in (("latitude", LATITUDES), ("longitude", LONGITUDES)):
        known = [name for name in names if name in data.coords]
        known += [str(name) for name in data.cf.coordinates.get(axis, [])]
        if not known or data[known[0]].ndim != 1:
            raise BackgroundError(
                f"the background has no one-dimensional {axis}; found the coordinates "
                f"{', '.join(map(str, data.coords)) or 'none'}. Give it lat and lon in degrees, or "
                "values at points on 'station'."
            )
        renamed[known[0]] = axis[:3]
    data = data.rename({old: new for old, new in renamed.items() if old != new})
    for name in ("lat", "lon"):
        if not data.indexes[name].is_unique:
            twice = data.indexes[name][data.indexes[name].duplicated()][0]
            raise BackgroundError(f"the background has {name} {twice:g} twice; give each once")
    return data.sortby(["lat", "lon"])


def _is_concentration(name: str, values: xr.DataArray) -> bool:
    """Return whether a variable is that of a pollutant, which is used as its square root."""
    standard = str(values.attrs.get("standard_name", ""))
    return name.lower() in POLLUTANTS or standard.startswith(("mass_concentration", "mole_"))


def _rooted(columns: np.ndarray, rooted: tuple[bool, ...]) -> np.ndarray:
    """Return covariates with the square root of those that are concentrations."""
    return np.where(rooted, np.sqrt(np.clip(columns, 0, None)), columns)


def _around(values: xr.DataArray, time: np.ndarray) -> xr.DataArray:
    """Return the part of a field's time axis that the hours need; no more of it is read."""
    axis = values[TIME].values
    first = max(int(np.searchsorted(axis, time.min(), "right")) - 1, 0)
    last = int(np.searchsorted(axis, time.max(), "left")) + 1
    return values.isel({TIME: slice(min(first, axis.size - 1), max(last, first + 1))})


def _in_time(found: xr.DataArray, time: np.ndarray) -> xr.DataArray:
    """Return a field at hours: linear between its own, and held for one step beyond its ends."""
    axis = found[TIME].values
    step = np.diff(axis).min() if axis.size > 1 else np.timedelta64(1, "h")
    inside = (time > axis[0] - step) & (time < axis[-1] + step)
    held = np.clip(time, axis[0], axis[-1])
    placed = found.interp({TIME: held}) if axis.size > 1 else found.isel({TIME: [0] * len(time)})
    return placed.where(xr.DataArray(inside, dims=TIME))


def _tell_missing(names: tuple[str, ...], there: np.ndarray, used: np.ndarray) -> None:
    """Say where a covariate is missing although something was measured."""
    for number, name in enumerate(names):
        missing = there & ~used[..., number]
        if missing.any():
            logger.warning(
                "the background %r is missing at %d of %d measurements (%d stations); it counts "
                "as its mean there",
                name,
                missing.sum(),
                there.sum(),
                missing.any(axis=1).sum(),
            )


def _extent(data: xr.Dataset) -> str:
    """Return where and when a background is, in words."""
    parts = [
        f"{name} {data[name].values.min()} to {data[name].values.max()}"
        for name in (*LATITUDES, *LONGITUDES, TIME)
        if name in data.variables
    ]
    return "it has " + ", ".join(parts)
