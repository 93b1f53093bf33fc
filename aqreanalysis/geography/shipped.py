"""The global field that comes with the package, made by ``tools/make_geography.py``."""

from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from aqreanalysis.geography.errors import GeographyError

DATA = Path(__file__).with_name("geography.nc")
NAMES = ("altitude", "relief", "population_15km", "population_80km", "distance_to_coast")
#: The outermost centres of all fields; places nearer to a pole have the value there.
_NORTHERNMOST = 90 - 1 / 12


@cache
def fields() -> xr.Dataset:
    """Return altitude, relief, people around and distance to the coast of the globe, lazily.

    The altitude is the mean over cells of 5 minutes of arc, in steps of 28 m, 0 at sea and missing
    on the ice of Greenland and Antarctica, where only the rock below is known. The relief, the
    standard deviation of the altitude within about 15 km, and the people around, as
    log10(1 + thousands) within about 15 and 80 km, are means over 10 minutes. The distance to the
    coast, in steps of 4 km, is negative at sea and ends at -100 and 400 km.

    Returns
    -------
    Dataset
        ``lat_5min``, ``lon_5min``, ``lat_10min`` and ``lon_10min`` in degrees; units, sources and
        licences are attributes.

    Examples
    --------
    >>> fields().altitude.sizes
    Frozen({'lat_5min': 2160, 'lon_5min': 4320})
    >>> fields().relief.attrs["units"]
    'm'
    """
    return xr.open_dataset(DATA, chunks={})


def at(longitude: ArrayLike | xr.DataArray, latitude: ArrayLike | xr.DataArray) -> xr.Dataset:
    """Return the attributes of places, interpolated bilinearly between the centres of cells.

    Parameters
    ----------
    longitude, latitude : array_like or DataArray
        Degrees, of any shape; longitudes of 190 and -170 are one meridian.

    Returns
    -------
    Dataset
        `NAMES` on the dimensions of the positions ("place" of an array), with units, sources and
        licences as attributes. Values of `fields` that are missing are NaN.

    Raises
    ------
    GeographyError
        If a position is not finite, or a latitude is beyond a pole.

    Examples
    --------
    Munich, and a place in the Bay of Biscay:

    >>> places = at([11.57, 355.0], [48.14, 45.0])
    >>> places.altitude.round(-2).values
    array([500.,   0.])
    >>> bool(places.distance_to_coast[1] < 0)
    True
    """
    east, north = xr.broadcast(*(_positions(degrees) for degrees in (longitude, latitude)))
    wrong = ~(np.isfinite(east.values) & (np.abs(north.values) <= 90))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise GeographyError(
            f"positions are finite degrees, and latitudes from -90 to 90; found longitude "
            f"{east.values.ravel()[first]:g}, latitude {north.values.ravel()[first]:g} "
            f"({int(wrong.sum())} such places)"
        )
    within = np.clip(north.values.ravel(), -_NORTHERNMOST, _NORTHERNMOST)
    sampled = {
        name: (
            east.dims,
            layer(name).at(east.values.ravel(), within).reshape(east.shape),
            fields()[name].attrs,
        )
        for name in NAMES
    }
    degrees = {"longitude": (east.dims, east.values), "latitude": (east.dims, north.values)}
    return xr.Dataset(sampled, coords=dict(east.coords) | degrees, attrs=fields().attrs)


def _positions(degrees: ArrayLike | xr.DataArray) -> xr.DataArray:
    """Return degrees as float64, on the dimension "place" where they have none of their own."""
    if isinstance(degrees, xr.DataArray):
        return degrees.astype(np.float64)
    values = np.asarray(degrees, np.float64)
    dims = ("place",) if values.ndim == 1 else tuple(f"place_{n}" for n in range(values.ndim))
    return xr.DataArray(values, dims=dims)


class Layer(NamedTuple):
    """One attribute of the whole globe, as it is stored: a byte a cell."""

    stored: np.ndarray  # (lat, lon) uint8
    value: np.ndarray  # (256,) float64, of each byte
    origin: tuple[float, float]  # latitude and longitude of its first cell
    step: tuple[float, float]

    @classmethod
    def read(cls, name: str) -> Self:
        """Return an attribute of the shipped file."""
        with xr.open_dataset(DATA, mask_and_scale=False) as file:
            stored = file[name].load()
        value = stored.add_offset + stored.scale_factor * np.arange(256.0)
        value[stored.attrs["_FillValue"]] = np.nan
        axes = [stored[axis].values[:2] for axis in stored.dims]
        origin, step = zip(*((one, other - one) for one, other in axes), strict=True)
        return cls(stored.values, value, origin, step)

    def at(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Return the attribute at places (n,), bilinearly between the centres of cells."""
        rows, columns = self.stored.shape
        row = ((latitude - self.origin[0]) / self.step[0]).clip(0, rows - 1)
        column = (longitude - self.origin[1]) / self.step[1]
        first, west = np.minimum(row.astype(np.int64), rows - 2), np.floor(column)
        beyond, east_share = row - first, column - west
        west = west.astype(np.int64) % columns
        east = (west + 1) % columns
        one, next_one = (
            self.value[self.stored[line, west]] * (1 - east_share)
            + self.value[self.stored[line, east]] * east_share
            for line in (first, first + 1)
        )
        return one * (1 - beyond) + next_one * beyond


@cache
def layer(name: str) -> Layer:
    """Return an attribute, read once."""
    return Layer.read(name)
