"""Colocation in space: the cells or points of a product for each station."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.conventions import counted
from aqreanalysis.foreign.places import (
    CurvilinearGrid,
    Points,
    RegularGrid,
    SamplingMethod,
    extent,
    find_places,
)
from aqreanalysis.foreign.sampling import Sampling
from aqreanalysis.network import StationNetwork, great_circle_km
from aqreanalysis.verification.errors import VerificationError

#: Stations of the same identifier at a larger distance are different ones; coordinates rounded to
#: a few hundredths of a degree are off by less.
_ONE_STATION_KM = 5.0
#: Stations that a message names before it only counts them.
_MOST_NAMES = 10
#: What stations are compared with, by the layout of the product.
_WORDS: dict[tuple[type, SamplingMethod], str] = {
    (RegularGrid, "cell"): "the cell of the product that holds it",
    (RegularGrid, "linear"): "the bilinear interpolation between the centres of the product's "
    "cells around it",
    (CurvilinearGrid, "cell"): "the cell of the product whose centre is nearest",
    (Points, "cell"): "the product at the same station",
}


@dataclass(frozen=True)
class Colocation:
    """Stations and the values of a product that they are compared with.

    Attributes
    ----------
    sampling : Sampling
        Of the stations that lie in the product.
    near_km : (m,) float64
        Stations nearer than this may be in the same cell.
    words : str
        What stations are compared with, after "Each station is compared with".
    remarks : tuple of str
    """

    sampling: Sampling
    near_km: np.ndarray
    words: str
    remarks: tuple[str, ...]

    @property
    def station(self) -> np.ndarray:
        """Rows of the stations that lie in the product, (m,)."""
        return self.sampling.place

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The horizontal dimensions of the product."""
        return tuple(self.sampling.index)


def colocate(
    product: xr.Dataset, name: str, network: StationNetwork, *, sampling: SamplingMethod = "cell"
) -> Colocation:
    """Return the values of a layer to compare with each station.

    On two axes these are the cells that hold the stations, or with "linear" the four whose centres
    surround them; on a grid with longitude and latitude in two dimensions the cells with the
    nearest centre; among stations the same station, by identifier or else by position.

    Parameters
    ----------
    product : Dataset
    name : str
        A layer of it.
    network : StationNetwork
    sampling : {"cell", "linear"}

    Raises
    ------
    ForeignError
        If the layer has no longitude and latitude.
    VerificationError
        If its layout does not allow the sampling, or no station lies within it.

    Examples
    --------
    >>> axes = {"lat": [50.5, 49.5], "lon": [358.5, 359.5]}
    >>> product = xr.Dataset({"pm25": (("lat", "lon"), [[1.0, 2.0], [3.0, 4.0]])}, axes)
    >>> network = StationNetwork([-0.7, -1.4], [49.9, 50.1])
    >>> colocate(product, "pm25", network).sampling.read(product.pm25).ravel()
    array([4., 1.])
    """
    if sampling not in ("cell", "linear"):
        raise VerificationError(f"sampling must be 'cell' or 'linear'; found {sampling!r}")
    places = find_places(product, name)
    words = _WORDS.get((type(places), sampling))
    if words is None:
        raise VerificationError(
            "sampling='linear' needs longitude and latitude as the two axes of a grid; found them "
            f"together on {places.dims}. Use sampling='cell'"
        )
    sampled = places.locate(network.longitude, network.latitude, sampling)
    if type(places) is Points:
        sampled = _by_identifier(sampled, product, places, network)
    inside = sampled.place
    if not inside.size:
        raise VerificationError(
            f"no station lies in the product: the stations span {_span(*network.extent())}, the "
            f"product's {'stations' if len(places.dims) == 1 else 'cells'} "
            f"{_span(*extent(places))}"
        )
    near_km = places.reach_km(network.longitude[inside], network.latitude[inside])
    return Colocation(sampled, near_km, words, tuple(_outside(network, inside)))


def name_some(identifiers: np.ndarray) -> str:
    """Return the first identifiers, and how many more there are.

    Examples
    --------
    >>> name_some(np.arange(12).astype(str))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    more = identifiers.size - _MOST_NAMES
    return ", ".join(identifiers[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _by_identifier(
    sampled: Sampling, product: xr.Dataset, places: Points, network: StationNetwork
) -> Sampling:
    """Return the sampling of points, preferring those of the same identifier."""
    (dim,) = places.dims
    point = np.full(network.size, -1)
    point[sampled.place] = sampled.index[dim][0]
    rows = {text: row for row, text in enumerate(_identifiers(product, dim))}
    same = np.array([rows.get(str(text), -1) for text in network.identifiers])
    distance_km = great_circle_km(
        network.longitude, network.latitude, places.longitude[same], places.latitude[same]
    )
    point = np.where((same >= 0) & (distance_km <= _ONE_STATION_KM), same, point)
    inside = np.flatnonzero(point >= 0)
    return Sampling(inside, {dim: point[None, inside]}, np.ones((1, inside.size)))


def _identifiers(product: xr.Dataset, dim: Hashable) -> list[str]:
    """Return the identifiers along the dimension of stations; none if not stated."""
    stated = [
        variable
        for variable in product.variables.values()
        if variable.attrs.get("cf_role") == "timeseries_id" and variable.dims == (dim,)
    ]
    if dim in product.coords:
        stated.append(product[dim].variable)
    if not stated:
        return []
    return [
        value.decode() if isinstance(value, bytes) else str(value) for value in stated[0].values
    ]


def _outside(network: StationNetwork, inside: np.ndarray) -> list[str]:
    """Return a remark on the stations that lie outside the product."""
    outside = np.setdiff1d(np.arange(network.size), inside)
    if not outside.size:
        return []
    names = name_some(network.identifiers[outside])
    return [
        f"{outside.size} of {counted(network.size, 'station')} outside the product left out: "
        f"{names}."
    ]


def _span(west: float, east: float, south: float, north: float) -> str:
    """Return an extent in words."""
    return f"{west:.4g} to {east:.4g} E, {south:.4g} to {north:.4g} N"
