"""Attributes of places as a background of methods: a station's own altitude before the field's."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import xarray as xr

from aqreanalysis.foreign.background import Background, BackgroundField
from aqreanalysis.geography.errors import GeographyError
from aqreanalysis.geography.own_altitude import own_altitude
from aqreanalysis.geography.own_field import check_altitude, is_altitude, own_field
from aqreanalysis.geography.shipped import NAMES, fields
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork

logger = logging.getLogger(__name__)

#: True, or names among `NAMES`, for what is shipped; fields of one's own or their files.
Geography: TypeAlias = (
    bool
    | str
    | os.PathLike[str]
    | xr.DataArray
    | xr.Dataset
    | Sequence[str | os.PathLike[str] | xr.DataArray | xr.Dataset]
)

#: Before the names of what is shipped, so that a model that learned it can be given it again.
PREFIX = "geography:"
#: How near a place is to a station if its altitude is the station's, km: rounding of a position.
_SAME_POSITION_KM = 0.01
#: Number of cells of a grid for which it is checked whether a field covers it.
_CHECKED_CELLS = 4096


class Attributes(NamedTuple):
    """Attributes of places as methods take them, and in words.

    ``background`` are the altitudes that stations state, if there are any, then the fields, then
    other backgrounds; ``description`` says for the history of a product what they are.
    """

    background: BackgroundField | None
    description: str

    def facts(self) -> dict[str, str]:
        """Return what settings say of the attributes, nothing where there are none."""
        return {"geography": self.description} if self.description else {}


def attributes(
    geography: Geography | None,
    observations: xr.Dataset,
    at: Grid | xr.Dataset | None = None,
    *,
    background: BackgroundField | None = None,
) -> Attributes:
    """Return attributes of stations and targets for ``background=`` of a method.

    Parameters
    ----------
    geography : bool, str, path, DataArray, Dataset or sequence of these
        True: all that is shipped, `NAMES`; or some of these names. Fields of one's own, or their
        NetCDF or GeoTIFF files: an altitude in m, or in units that are stated, and any others.
        None or False: the background alone.
    observations : Dataset
        Stations; where they have an ``altitude`` of their own, it counts, not the field's.
    at : Grid or Dataset, optional
        Targets; stations may have an altitude of their own as well.
    background : DataArray, Dataset or sequence of these, optional
        Further fields, which come last.

    Raises
    ------
    GeographyError
        If a name is unknown, a file cannot be read, or an altitude is in feet or holds codes for
        missing values.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> obs = synthetic_network(hours=24, seed=0).observations
    >>> high = obs.assign_coords(altitude=("station", np.full(obs.sizes["station"], 40.0)))
    >>> known = attributes("altitude", high)
    >>> Background(known.background).names, known.description[:45]
    (('geography:altitude',), 'altitude of aqreanalysis geography 1; altitud')
    """
    if geography is None or geography is False:
        return Attributes(background, "")
    given = _as_list(geography)
    names = [one for one in given if _is_shipped(one)]
    chosen = [_shipped(names)] if names else []
    chosen += [_of_user(one, observations) for one in given if not _is_shipped(one)]
    chosen.sort(key=lambda field: _altitude_of(field) is None)  # an altitude comes first
    places = [observations] if at is None or isinstance(at, Grid) else [observations, at]
    stated = _stated_altitudes(chosen[0], places)
    if at is not None:
        _warn_of_gaps(chosen, at)
    words = [str(field.attrs["summary"]) for field in [*chosen, *stated]]
    further = [background] if isinstance(background, xr.DataArray | xr.Dataset) else background
    return Attributes([*stated, *chosen, *(further or ())], "; ".join(words))


def learned_names(settings: Mapping[str, Any]) -> list[str]:
    """Return which shipped attributes a fitted method learned, by the names in its settings.

    Examples
    --------
    >>> learned_names({"background": ["geography:altitude", "pm10"]})
    ['altitude']
    """
    trend = settings.get("trend")
    of_trend = trend.get("names") if isinstance(trend, Mapping) else None
    names = map(str, settings.get("background") or of_trend or ())
    return [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]


def _as_list(geography: Geography) -> list[Any]:
    """Return what is asked for, one by one."""
    if geography is True:
        return [*NAMES]
    if isinstance(geography, list | tuple):
        if not geography:
            raise GeographyError(f"geography names no attribute; there are {', '.join(NAMES)}")
        return [*geography]
    return [geography]


def _is_shipped(one: Any) -> bool:
    """Return whether this is the name of a shipped attribute."""
    return isinstance(one, str) and one in NAMES


def _shipped(names: Sequence[str]) -> xr.Dataset:
    """Return some of the shipped attributes, in their order, with `PREFIX` before their names."""
    some = fields()[[name for name in NAMES if name in names]]
    summary = f"{', '.join(map(str, some))} of aqreanalysis geography {some.attrs['version']}"
    renamed = some.rename({name: f"{PREFIX}{name}" for name in some})
    return renamed.assign_attrs(summary=summary)


def _of_user(given: Any, observations: xr.Dataset) -> xr.Dataset:
    """Return a user's field, an altitude first, which is checked at the stations."""
    field = own_field(given)
    name = _altitude_of(field)
    if name is not None:
        check_altitude(field, name, observations)
        field = field[[name, *(other for other in field.data_vars if other != name)]]
    if not Background(field).constant:
        raise GeographyError("attributes of places do not change in time: pass it as background=")
    origin = os.fspath(given) if isinstance(given, str | os.PathLike) else "a field of one's own"
    return field.assign_attrs(summary=f"{', '.join(map(str, field.data_vars))} of {origin}")


def _altitude_of(field: xr.Dataset) -> str | None:
    """Return the name of the altitude among the variables of a field."""
    return next((str(name) for name, one in field.data_vars.items() if is_altitude(one)), None)


def _stated_altitudes(field: xr.Dataset, places: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Return the altitudes that places state, at points, in a list of one; or none."""
    name = _altitude_of(field)
    if name is None:
        return []
    networks = [StationNetwork.from_dataset(some) for some in places]
    stated = [
        own_altitude(some, _values(field[[name]], network.longitude, network.latitude)[:, 0])
        for some, network in zip(places, networks, strict=True)
    ]
    altitude, longitude, latitude = (
        np.concatenate(parts)
        for parts in (
            stated,
            [network.longitude for network in networks],
            [network.latitude for network in networks],
        )
    )
    known = np.isfinite(altitude)
    if not known.any():
        return []
    attributes = {"units": "m", "valid_within_km": _SAME_POSITION_KM}
    return [
        xr.Dataset(
            {name: ("point", altitude[known], attributes)},
            {"longitude": ("point", longitude[known]), "latitude": ("point", latitude[known])},
            {"summary": f"altitude of {known.sum()} of {known.size} stations as they state it"},
        )
    ]


def _values(field: xr.Dataset, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return what does not change in time at places, (n, attribute) float64."""
    return Background(field).at(longitude, latitude, np.zeros(1, "datetime64[ns]"))[:, 0]


def _warn_of_gaps(chosen: Sequence[xr.Dataset], at: Grid | xr.Dataset) -> None:
    """Say where a field has no value at targets."""
    if isinstance(at, Grid):
        longitude, latitude = (degrees.ravel() for degrees in at.longitude_latitude())
        step = max(1, longitude.size // _CHECKED_CELLS)
        longitude, latitude = longitude[::step], latitude[::step]
    else:
        network = StationNetwork.from_dataset(at)
        longitude, latitude = network.longitude, network.latitude
    for field in chosen:
        missing = np.isnan(_values(field, longitude, latitude))
        for name, where in zip(Background(field).names, missing.T, strict=True):
            if where.any():
                first = int(np.flatnonzero(where)[0])
                logger.warning(
                    "%s has no value at %.2g %% of the targets, such as longitude %.2f, latitude "
                    "%.2f, and counts as its mean there: fill its holes, or take a field that "
                    "covers the targets, which is %s",
                    name,
                    100 * where.mean(),
                    longitude[first],
                    latitude[first],
                    Background(field).extent(),
                )
