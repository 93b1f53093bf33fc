"""Products of several pollutants on the same cells and hours, joined into one."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.product.attributes import DISTANCE, restore_metadata


def joined_products(products: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return one product of those of several pollutants, with one history.

    Its settings, digests and numbers of stations are those of each, in the order of its attribute
    ``input_variable``. Stations do not all measure all pollutants, so that each has a layer
    ``<variable>_distance`` of its own.

    Parameters
    ----------
    products : mapping of str to Dataset
        By pollutant, of the same cells or stations and hours.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=3, seed=0).observations
    >>> of = {name: obs.aqnet.reanalyse(name, grid=0.5, method="idw") for name in ("pm25", "no2")}
    >>> joined = joined_products(of)
    >>> joined.attrs["input_variable"], "no2_distance" in joined
    ('pm25, no2', True)
    """
    if len(products) == 1:
        return next(iter(products.values()))
    layers: dict[Any, xr.DataArray] = {}
    for name, product in products.items():
        own = product.rename({DISTANCE: f"{name}_distance"})
        own[f"{name}_distance"].attrs = {}
        layers |= dict(own.data_vars)
    first, *others = products.values()
    joined = first.drop_vars(list(first.data_vars)).assign(layers)
    for other in others:  # the number of the draw
        joined = joined.assign_coords({n: c for n, c in other.coords.items() if n not in joined})
    # What a user states is the same of all.
    same = {k: v for k, v in first.attrs.items() if all(_equal(v, o.attrs.get(k)) for o in others)}
    joined.attrs = same | _of_all(products)
    return restore_metadata(joined)


def _of_all(products: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """Return the attributes that state the input, the methods and what was done."""
    stated = {name: product.attrs for name, product in products.items()}
    methods = ", ".join(_once(str(of["method"]) for of in stated.values()))
    digests = [str(of["input_sha256"]) for of in stated.values()]
    names = ", ".join(POLLUTANTS[name].long_name for name in products)
    settings = {name: json.loads(of["method_settings"]) for name, of in stated.items()}
    together = hashlib.sha256(" ".join(digests).encode()).hexdigest()[:12]
    words = f"aqreanalysis-{'-'.join(products)}-{methods}-{together}"
    attributes: dict[str, Any] = {
        "id": words.replace(", ", "-").replace(" ", "_"),
        "source": "; ".join(_once(str(of["source"]) for of in stated.values())),
        "date_created": max(str(of["date_created"]) for of in stated.values()),
        "history": "\n".join(_once(_lines(stated))),
        "method": methods,
        "method_settings": json.dumps(settings, sort_keys=True),
        "input_variable": ", ".join(products),
        "input_stations": np.array([of["input_stations"] for of in stated.values()], np.int32),
        "input_sha256": ", ".join(digests),
        "references": "; ".join(_once(str(of.get("references", "")) for of in stated.values())),
    }
    titles = {str(of["title"]) for of in stated.values()}
    if len(titles) > 1:  # none that a user states
        attributes["title"] = f"{names} analysed from station measurements by {methods}"
    return attributes


def _lines(stated: Mapping[str, Mapping[Any, Any]]) -> list[str]:
    """Return the lines of all histories, what was done to the measurements first."""
    histories = [str(of["history"]).splitlines() for of in stated.values()]
    before = [line for lines in histories for line in lines[:-1]]
    return before + [lines[-1] for lines in histories]


def _equal(one: Any, other: Any) -> bool:
    """Return whether two attributes are the same."""
    return str(one) == str(other)


def _once(texts: Any) -> list[str]:
    """Return texts without those that come again, and without empty ones."""
    return [text for text in dict.fromkeys(texts) if text]
