"""Where stations lie in a product, whatever its layout, and the product's values there."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.observations.checks.numbers import SENTINELS
from aqreanalysis.verification.colocation.blocks import in_blocks, runs
from aqreanalysis.verification.colocation.cells import GridCells
from aqreanalysis.verification.errors import VerificationError

SamplingMethod = Literal["cell", "linear"]

#: Stations this close are at one place, as in `StationNetwork.colocated_groups`.
_ONE_PLACE_KM = 0.5
#: Stations of one identifier that are further apart are two: coordinates rounded to a few
#: hundredths of a degree are off by less.
_ONE_STATION_KM = 5.0
#: More than any concentration in any unit: fill values are 1e20 or 9.97e36.
_BEYOND = 1e15
#: Values that are read at a time: keeps what is in memory of a long product within some 100 MB.
_VALUES_AT_A_TIME = 4_000_000
#: Stations that a message names before it only counts them.
_MOST_NAMES = 10


@dataclass(frozen=True)
class Sampling:
    """Which cells of a product stand for which stations.

    Attributes
    ----------
    station : (m,) int
        Rows of the stations that lie in the product.
    index : mapping of dimension to (k, m) int
        Their cells, k for each station.
    weight : (k, m) float64
        Share of each cell; adds up to 1.
    near_km : (m,) float64
        What lies nearer than this may be in the same cell.
    words : str
        How stations and cells were brought together, after "Each station is compared with".
    remarks : tuple of str
    """

    station: np.ndarray
    index: Mapping[Hashable, np.ndarray]
    weight: np.ndarray
    near_km: np.ndarray
    words: str
    remarks: tuple[str, ...] = ()

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The horizontal dimensions of the product."""
        return tuple(self.index)

    def read(
        self, layer: xr.DataArray, time: Hashable | None = None, hours: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the values of a layer at the stations, (m, hours) float64; NaN where missing.

        Of a lazy layer only the blocks are read that hold a station, some hours at a time. Where
        a cell with a share in a station is missing, so is the station's value.

        Parameters
        ----------
        layer : DataArray
        time : hashable, optional
            Its dimension of time; none for a layer that does not change.
        hours : (h,) int array, optional
            Ascending positions along it.

        Raises
        ------
        VerificationError
            If the layer has values such as -999 or 1e20, which stand for missing ones.
        """
        variable = in_blocks(layer.variable, time)
        points = {dim: xr.Variable("point", index.ravel()) for dim, index in self.index.items()}
        if time is None or hours is None:
            return self._weighted(variable.isel(points), layer.name)
        values = np.empty((self.station.size, hours.size))
        chunks = dict(zip(variable.dims, variable.chunks or (), strict=True))[time]
        most = max(1, _VALUES_AT_A_TIME // self.weight.size)
        first = 0
        for run in runs(chunks, hours, most):
            # A slice where there is no gap: backends read it in one go.
            whole = run[-1] - run[0] + 1 == run.size
            wanted = slice(run[0], run[-1] + 1) if whole else run
            picked = variable.isel({time: wanted}).isel(points)
            values[:, first : first + run.size] = self._weighted(picked, layer.name)
            first += run.size
        return values

    def _weighted(self, picked: xr.Variable, name: Hashable) -> np.ndarray:
        """Return the weighted mean of the cells of each station."""
        corners = np.asarray(picked.transpose("point", ...).values, np.float64)
        told = np.isin(corners, SENTINELS) | (np.abs(corners) > _BEYOND)
        if told.any():
            raise VerificationError(
                f"{name!r} of the product holds {corners[told][0]:.6g} ({told.sum()} such values "
                "at stations), which stands for a missing value. Mask it with product.where(...), "
                "or set _FillValue in the file"
            )
        corners = corners.reshape(*self.weight.shape, -1)
        weight = self.weight[..., None]
        return np.where(weight > 0, weight * corners, 0.0).sum(axis=0)


def locate_stations(
    product: xr.Dataset, name: str, network: StationNetwork, *, sampling: SamplingMethod = "cell"
) -> Sampling:
    """Return which cells of a layer stand for which stations.

    On axes of longitude and latitude these are the cells that hold the stations, or with "linear"
    the four whose centres surround them; on a grid with longitude and latitude in two dimensions
    the cells with the nearest centre; among stations the same station.

    Parameters
    ----------
    product : Dataset
    name : str
        A layer of it.
    network : StationNetwork
    sampling : {"cell", "linear"}

    Raises
    ------
    VerificationError
        If the layer has no longitude and latitude, its layout does not allow the sampling, or no
        station lies within it.

    Examples
    --------
    >>> axes = {"lat": [50.5, 49.5], "lon": [358.5, 359.5]}
    >>> product = xr.Dataset({"pm25": (("lat", "lon"), [[1.0, 2.0], [3.0, 4.0]])}, axes)
    >>> network = StationNetwork([-0.7, -1.4], [49.9, 50.1])
    >>> locate_stations(product, "pm25", network).read(product.pm25).ravel()
    array([4., 1.])
    """
    if sampling not in ("cell", "linear"):
        raise VerificationError(f"sampling must be 'cell' or 'linear'; found {sampling!r}")
    longitude, latitude = _positions(product, name)
    on_axes = longitude.ndim == latitude.ndim == 1 and longitude.dims != latitude.dims
    if sampling == "linear" and not on_axes:
        raise VerificationError(
            "sampling='linear' needs longitude and latitude as the two axes of a grid; found "
            f"longitude on {longitude.dims} and latitude on {latitude.dims}. Use sampling='cell'"
        )
    if on_axes:
        found = _on_axes(product, longitude, latitude, network, sampling)
    elif longitude.ndim == latitude.ndim == 1:
        found = _among_stations(product, longitude, latitude, network)
    elif longitude.ndim == latitude.ndim == 2:
        found = _nearest_centre(longitude, latitude.transpose(*longitude.dims), network)
    else:
        raise VerificationError(
            f"the product has longitude on {longitude.dims} and latitude on {latitude.dims}; "
            "expected one axis each, or both on the same one or two dimensions"
        )
    return _within(found, network, longitude, latitude)


def _positions(product: xr.Dataset, name: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return longitude and latitude of a layer, found as CF describes them, or by name."""
    import cf_xarray  # noqa: F401  (the accessor .cf)

    dims = set(product[name].dims)
    eligible = {
        key: variable
        for key, variable in product.variables.items()
        if key != name
        and variable.ndim in (1, 2)
        and set(variable.dims) <= dims
        and variable.dtype.kind in "fiu"
    }
    candidates = xr.Dataset(coords=eligible)
    own = candidates.drop_vars([key for key in eligible if key not in product.coords])
    found = candidates.cf.coordinates
    for guessed in (own, candidates):  # names that only look like a position come last
        if not {"longitude", "latitude"} <= found.keys():
            found = guessed.cf.guess_coord_axis().cf.coordinates
    if not {"longitude", "latitude"} <= found.keys():
        raise VerificationError(
            f"the product has no longitude and latitude on the dimensions {product[name].dims} of "
            f"{name!r}; it has {', '.join(map(str, product.variables))}. Assign them as "
            "coordinates, with units 'degrees_east' and 'degrees_north'"
        )
    several = [f"{kind}: {', '.join(found[kind])}" for kind in ("longitude", "latitude")
               if len(found[kind]) > 1]  # fmt: skip
    if several:
        raise VerificationError(
            f"the product has more than one position for {name!r} ({'; '.join(several)}); drop "
            "those that are not its own"
        )
    return product[found["longitude"][0]], product[found["latitude"][0]]


def _on_axes(
    product: xr.Dataset,
    longitude: xr.DataArray,
    latitude: xr.DataArray,
    network: StationNetwork,
    sampling: SamplingMethod,
) -> Sampling:
    """Return the cells of a grid in longitude and latitude."""
    cells = GridCells.of(
        longitude.values,
        latitude.values,
        _edges(product, longitude),
        _edges(product, latitude),
    )
    columns, rows = cells.longitude, cells.latitude
    column, inside_x = columns.holding(cells.eastwards(network.longitude))
    row, inside_y = rows.holding(network.latitude)
    near_km = cells.half_diagonal_km(column, row)
    words = "the cell of the product that holds it"
    column, row, weight = column[None], row[None], np.ones((1, network.size))
    if sampling == "linear":
        words = "the bilinear interpolation between the centres of the product's cells around it"
        side_x, share_x, inside_x = columns.between(
            cells.eastwards(network.longitude, centres=True)
        )
        side_y, share_y, inside_y = rows.between(network.latitude)
        column, row = np.tile(side_x, (2, 1)), np.repeat(side_y, 2, axis=0)  # (corner, station)
        weight = np.tile(share_x, (2, 1)) * np.repeat(share_y, 2, axis=0)
    kept = np.flatnonzero(inside_x & inside_y)
    index = {
        longitude.dims[0]: columns.position[column[:, kept]],
        latitude.dims[0]: rows.position[row[:, kept]],
    }
    return Sampling(kept, index, weight[:, kept], near_km[kept], words)


def _edges(product: xr.Dataset, axis: xr.DataArray) -> np.ndarray | None:
    """Return the bounds of an axis, if the product has them."""
    name = axis.attrs.get("bounds", axis.encoding.get("bounds", f"{axis.name}_bnds"))
    if name not in product.variables or product[name].shape != (axis.size, 2):
        return None
    bounds = product[name].values.astype(np.float64)
    return bounds if np.isfinite(bounds).all() else None


def _nearest_centre(
    longitude: xr.DataArray, latitude: xr.DataArray, network: StationNetwork
) -> Sampling:
    """Return the cells with the nearest centre, of a grid whose positions are two-dimensional."""
    east, north = longitude.values.astype(np.float64), latitude.values.astype(np.float64)
    there = _placed(east, north)
    centres = StationNetwork(east.ravel()[there], north.ravel()[there])
    nearest = centres.neighbours(network.longitude, network.latitude, k=1)
    cell = there[nearest.index[:, 0]]
    half_diagonal = _half_diagonals_km(east, north).ravel()[cell]
    kept = np.flatnonzero(nearest.distance_km[:, 0] <= half_diagonal)
    row, column = np.unravel_index(cell[kept], east.shape)
    index = dict(zip(longitude.dims, (row[None], column[None]), strict=True))
    words = "the cell of the product whose centre is nearest"
    return Sampling(kept, index, np.ones((1, kept.size)), half_diagonal[kept], words)


def _half_diagonals_km(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Return half the diagonal of each cell, from the distances to its neighbours, (ny, nx)."""
    sides = []
    for axis in (0, 1):
        count = east.shape[axis]
        if count < 2:
            continue
        first, second = (
            [np.take(values, np.arange(count)[cut], axis) for values in (east, north)]
            for cut in (slice(None, -1), slice(1, None))
        )
        apart = great_circle_km(*first, *second)
        before, after = (np.insert(apart, end, np.nan, axis=axis) for end in (0, apart.shape[axis]))
        sides.append(np.fmax(before, after))
    if not sides:
        raise VerificationError(
            "the product has a single cell, of which longitude and latitude do not tell the size"
        )
    return np.sqrt(np.square(sides[0]) + np.square(sides[-1])) / 2


def _among_stations(
    product: xr.Dataset, longitude: xr.DataArray, latitude: xr.DataArray, network: StationNetwork
) -> Sampling:
    """Return the same stations in a product at stations: by identifier, or else by position."""
    (dim,) = longitude.dims
    east, north = longitude.values.astype(np.float64), latitude.values.astype(np.float64)
    there = _placed(east, north)
    places = StationNetwork(east[there], north[there])
    nearest = places.neighbours(network.longitude, network.latitude, k=1)
    site = np.where(nearest.distance_km[:, 0] <= _ONE_PLACE_KM, there[nearest.index[:, 0]], -1)
    rows = {text: row for row, text in enumerate(_identifiers(product, dim))}
    named = np.array([rows.get(str(text), -1) for text in network.identifiers])
    apart = great_circle_km(network.longitude, network.latitude, east[named], north[named])
    site = np.where((named >= 0) & (apart <= _ONE_STATION_KM), named, site)
    kept = np.flatnonzero(site >= 0)
    words = "the product at the same station"
    near_km = np.full(kept.size, _ONE_PLACE_KM)
    return Sampling(kept, {dim: site[None, kept]}, np.ones((1, kept.size)), near_km, words)


def _placed(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return which cells or stations have a position; some grids leave it open outside."""
    there = np.flatnonzero(np.isfinite(longitude) & (np.abs(latitude) <= 90))
    if not there.size:
        raise VerificationError("longitude and latitude of the product are missing everywhere")
    return there


def _identifiers(product: xr.Dataset, dim: Hashable) -> list[str]:
    """Return the identifiers along the dimension of stations; empty where there are none."""
    told = [
        variable
        for variable in product.variables.values()
        if variable.attrs.get("cf_role") == "timeseries_id" and variable.dims == (dim,)
    ]
    if dim in product.coords:
        told.append(product[dim].variable)
    if not told:
        return []
    return [value.decode() if isinstance(value, bytes) else str(value) for value in told[0].values]


def _within(
    found: Sampling, network: StationNetwork, longitude: xr.DataArray, latitude: xr.DataArray
) -> Sampling:
    """Return the sampling with a remark on stations outside, which must not be all."""
    outside = np.setdiff1d(np.arange(network.size), found.station)
    if not outside.size:
        return found
    if not found.station.size:
        east, north = (
            values.values[np.isfinite(values.values)] for values in (longitude, latitude)
        )
        raise VerificationError(
            f"no station lies in the product: the stations span {_span(*network.extent())}, the "
            f"product's {'stations' if len(found.dims) == 1 else 'cells'} "
            f"{_span(east.min(), east.max(), north.min(), north.max())}"
        )
    names = name_some(network.identifiers[outside])
    remark = (
        f"{outside.size} of {network.size} stations lie outside the product and are left out: "
        f"{names}."
    )
    return Sampling(found.station, found.index, found.weight, found.near_km, found.words, (remark,))


def name_some(identifiers: np.ndarray) -> str:
    """Return the first identifiers, and how many more there are.

    Examples
    --------
    >>> name_some(np.arange(12).astype(str))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    more = identifiers.size - _MOST_NAMES
    return ", ".join(identifiers[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _span(west: float, east: float, south: float, north: float) -> str:
    """Return an extent in words."""
    return f"{west:.4g} to {east:.4g} E, {south:.4g} to {north:.4g} N"
