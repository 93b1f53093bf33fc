"""What stations measured, for the page, and which of them the method did not see."""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.maps.layers import identifiers
from aqreanalysis.viewer.layers import ViewerError
from aqreanalysis.viewer.places import stations_of

logger = logging.getLogger(__name__)

#: What is said of a station for itself; values are said by the hour.
_OF_STATIONS = ("id", "name", "longitude", "latitude")


def measured_at(
    product: xr.Dataset,
    names: Sequence[str],
    observations: xr.Dataset | None,
    hidden: xr.Dataset | Iterable[str] | None,
) -> dict[str, Any] | None:
    """Return stations, their values at the hours of the product, and which of them are hidden.

    Of a product at stations these are its own, in its order; over a grid, those of the
    observations, then those of ``hidden``. None if neither is given.

    Raises
    ------
    ViewerError
        If observations have none of the pollutants or labels of another meaning, none of the
        product's stations, or a hidden station is unknown.
    """
    if observations is None and hidden is None:
        return None
    parts = [] if observations is None else [observations]
    if observations is not None:
        _check_names(observations, names)
    if isinstance(hidden, xr.Dataset):
        unseen = set(stations_of(hidden)["id"])
        seen = [[each not in unseen for each in stations_of(part)["id"]] for part in parts]
        parts = [part.isel({STATION: mask}) for part, mask in zip(parts, seen, strict=True)]
        parts = [part for part in (*parts, hidden) if part.sizes[STATION]]
    else:
        unseen = set(identifiers(() if hidden is None else hidden).tolist())
    contents = [_content(product, names, part) for part in parts]
    joined = _joined(contents)
    if STATION in product.dims:
        joined = _in_order(joined, product, given=observations is not None)
    unknown = sorted(unseen - set(joined["id"]))
    if unknown and not isinstance(hidden, xr.Dataset):
        raise ViewerError(
            f"hidden stations that are not among those shown: {', '.join(unknown)}; give them as a "
            "Dataset with their places, or name stations of the observations"
        )
    values = chain.from_iterable(chain.from_iterable(joined["values"].values()))
    if observations is not None and all(value is None for value in values):
        logger.warning("the observations have no value at the hours of the product")
    return joined | {"hidden": [each in unseen for each in joined["id"]]}


def _check_names(observations: xr.Dataset, names: Sequence[str]) -> None:
    """Refuse observations that have none of the pollutants."""
    if not isinstance(observations, xr.Dataset):
        raise ViewerError(
            f"observations must be a Dataset; found {type(observations).__name__}. "
            "open_observations reads one"
        )
    if STATION not in observations.dims or not any(name in observations for name in names):
        present = ", ".join(map(str, observations.data_vars)) or "none"
        raise ViewerError(f"the observations have no {' and no '.join(names)}; they have {present}")


def _content(product: xr.Dataset, names: Sequence[str], stations: xr.Dataset) -> dict[str, Any]:
    """Return places and values of stations, the values as rows (hour) of each pollutant."""
    present = [name for name in names if name in stations]
    series = stations[present]
    frames = product.sizes.get(TIME, 1)
    if TIME in product.dims and TIME in series.dims:
        _check_same_hours(stations, product)
        series = series.reindex({TIME: product[TIME].values})
    values = {}
    for name in present:
        rows = _rounded(series[name].transpose(TIME, STATION, missing_dims="ignore").values)
        values[name] = rows * frames if len(rows) == 1 else rows[:frames]
    return stations_of(stations) | {"values": values, "frames": frames}


def _joined(contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the stations of several contents after each other."""
    whole: dict[str, Any] = {
        key: [one for each in contents for one in each[key]] for key in _OF_STATIONS
    }
    names = dict.fromkeys(name for each in contents for name in each["values"])
    whole["values"] = {}
    for name in names:
        rows = [
            each["values"].get(name) or [[None] * len(each["id"])] * each["frames"]
            for each in contents
        ]
        whole["values"][name] = [list(chain(*row)) for row in zip(*rows, strict=True)]
    return whole


def _in_order(measured: dict[str, Any], product: xr.Dataset, *, given: bool) -> dict[str, Any]:
    """Return what was measured at the stations of a product, in its order, None elsewhere."""
    own, rows_of = stations_of(product), {each: at for at, each in enumerate(measured["id"])}
    columns = [rows_of.get(each) for each in own["id"]]
    if given and all(column is None for column in columns):
        raise ViewerError(
            "the observations have none of the product's stations, such as "
            f"{', '.join(own['id'][:3])}: give those of the same identifiers"
        )
    values = {
        name: [[None if at is None else row[at] for at in columns] for row in rows]
        for name, rows in measured["values"].items()
    }
    return own | {"values": values}


def _check_same_hours(observations: xr.Dataset, product: xr.Dataset) -> None:
    """Refuse observations of which a label is not the same time as in the product."""
    for name in ("time_label", "step_hours"):
        own, theirs = (each[TIME].attrs.get(name) for each in (product, observations))
        if None not in (own, theirs) and own != theirs:
            raise ViewerError(
                f"the observations have {name}={theirs!r}, the product has {own!r}: the same label "
                "is not the same time. Give the observations that the product was made from, or "
                "their means of the same periods: obs.aqnet.aggregate('day')"
            )


def _rounded(values: np.ndarray) -> list[Any]:
    """Return numbers, (hour, station), as JSON has them, None where missing."""
    rows = np.atleast_2d(values).astype(np.float64).round(2).tolist()
    return [[value if np.isfinite(value) else None for value in row] for row in rows]
