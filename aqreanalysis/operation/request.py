"""What a store is asked to hold: where, and what of the distribution; the same in every run."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, counted
from aqreanalysis.foreign.grids import grid_like
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork
from aqreanalysis.operation.journal import Journal
from aqreanalysis.product import ProductError, open_product
from aqreanalysis.product.targets import Target

#: What is asked for where nothing is said in the first run.
DEFAULTS = {"statistic": "median", "quantiles": [], "quality": "mask"}


def in_words(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for as plain values, which a journal can hold and compare.

    Examples
    --------
    >>> in_words({"grid": (0.5, 0.625), "clip": None, "land": False, "statistic": "mean"})
    {'grid': [0.5, 0.625], 'statistic': 'mean'}
    """
    return {
        name: _in_words(value)
        for name, value in asked.items()
        if value is not None and value is not False
    }


def request_of(
    store: Path, journal: Journal | None, asked: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a store holds, once it is known that nothing else is asked for.

    Parameters
    ----------
    store : Path
    journal : Journal or None
        Of the store, if there is one.
    asked : mapping
        Of `in_words`.
    facts : mapping
        Of the observations and the model: variable, step and label of time.

    Raises
    ------
    ProductError
        Naming the option or the fact that is another.
    """
    if journal is None:
        return {**DEFAULTS, **asked, **facts}
    for name, value in facts.items():
        before = journal.request.get(name)
        if name == "origin_hours" and value != before and before is not None:
            minutes = (value - before) % facts["step_hours"] * 60
            raise ProductError(
                f"the times of these observations are {minutes:g} minutes after those of {store}: "
                "correct them, or name another store"
            )
        if value != before:
            raise ProductError(
                f"{store} has {name} {before!r}; now it is {value!r}. Name another store for these "
                "observations and this model"
            )
    for name, value in asked.items():
        before = journal.request.get(name)
        if before != value:
            raise ProductError(
                f"{store} was made with {name} {'of its own' if before is None else repr(before)}; "
                f"asked for {value!r}. Leave {name} out to go on with the store, or name another"
            )
    return dict(journal.request)


def target_of_store(store: Path) -> Target:
    """Return where a store has estimates, and which cells of its grid are asked for."""
    with open_product(store) as product:
        if STATION in product.dims:
            names = [name for name, values in product.coords.items() if values.dims == (STATION,)]
            places = product[[*names]].drop_vars("station_id", errors="ignore").load()
            return Target(places)
        inside = np.isfinite(product["distance_to_nearest_station"].values)
        return Target(grid_like(product), None if inside.all() else inside)


def _in_words(value: Any) -> Any:
    """Return one thing that was asked for as a plain value."""
    if isinstance(value, Grid):
        return repr(value)
    if isinstance(value, xr.Dataset) and STATION in value.dims:
        network = StationNetwork.from_dataset(value)
        positions = np.stack([network.longitude, network.latitude]).astype("<f8").tobytes()
        digest = hashlib.sha256(" ".join(network.identifiers).encode() + positions)
        return f"{counted(network.size, 'station')}, sha256 {digest.hexdigest()[:16]}"
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, tuple | list):
        return [_in_words(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return f"a {type(value).__name__}"
