"""Products of several pollutants on the same cells and hours, or of several periods, in one."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.foreign.files import joined_along_time
from aqreanalysis.predictive import DEGREES_OF_FREEDOM, SHARES, TIME_SCALES, freedom_of
from aqreanalysis.product.attributes import DISTANCE, restore_metadata
from aqreanalysis.product.statistics import AVERAGING, of_one_kind, with_line
from aqreanalysis.product.times import in_time_order
from aqreanalysis.product.variables import ProductError

#: What layers state that are of one kind.
_STATED = {"statistic": "median", "draws_of": "measurements"}

logger = logging.getLogger(__name__)


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


def joined_in_time(products: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return one product of those of several periods, still lazy, in the order of time.

    Its history has the lines of all. A distance to stations that differs is left out, as stations
    come and go; where the distributions differ, the heaviest tails are stated, and no correlation
    of errors.

    Parameters
    ----------
    products : sequence of Dataset
        With all metadata, of the same cells or stations.

    Raises
    ------
    ForeignError
        If they differ in their places, height, units or ``cell_methods``.
    ProductError
        If they are of other statistics or other lengths of periods, or a label comes twice.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=4, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
    >>> late, early = product.isel(time=[2, 3]), product.isel(time=[0, 1])
    >>> joined_in_time([late, early]).time.equals(product.time)
    True
    """
    first, *others = products
    joined = in_time_order(joined_along_time(products))
    words = []
    for name, layer in joined.data_vars.items():
        stated = [product[name].attrs for product in products if name in product]
        _check_stated(str(name), stated)
        freedom = {freedom_of(each) for each in stated}
        if len(freedom) > 1:
            layer.attrs[DEGREES_OF_FREEDOM] = min(freedom)
            words.append(f"the least {DEGREES_OF_FREEDOM} of {name}, {min(freedom):.3g}, is stated")
        lasting = {str([each.get(key) for key in (TIME_SCALES, SHARES)]) for each in stated}
        if len(lasting) > 1:
            for key in (TIME_SCALES, SHARES):
                layer.attrs.pop(key, None)
            words.append(f"the files differ in how errors of {name} are correlated")
    if words:
        logger.warning("%s", "; ".join(words))
    differing = ", ".join(str(name) for name in first.data_vars if name not in joined)
    words += [f"{differing} differed and is left out"] if differing else []
    joined.attrs = {
        key: value
        if all(_equal(value, other.attrs.get(key)) for other in others)
        else _texts_of(key, products)
        for key, value in first.attrs.items()
    }
    words.insert(0, f"joined of {len(products)} files along time")
    histories = [text for of in products for text in str(of.attrs["history"]).splitlines()]
    joined.attrs["history"] = "\n".join(_once(histories))
    return restore_metadata(with_line(joined, "; ".join(words)))


def _texts_of(key: Any, products: Sequence[xr.Dataset]) -> str:
    """Return an attribute of all products in which they differ."""
    texts = _once(str(product.attrs.get(key, "")) for product in products)
    if key == "id":
        return texts[0]
    if key == "date_created":
        return max(texts)
    return (", " if key.startswith("input_") else "; ").join(texts)


def _check_stated(name: str, stated: Sequence[Mapping[Any, Any]]) -> None:
    """Refuse layers of one name of other statistics, or of other lengths of periods.

    Raises
    ------
    ProductError
    """
    for key, usual in _STATED.items():
        values = _once(str(each.get(key, usual)) for each in stated)
        if len(values) > 1:
            raise ProductError(
                f"the files do not fit together: {key} of {name} is {' and '.join(values)}. Join "
                "those alone that are of one kind"
            )
    hours = [float(each[AVERAGING]) for each in stated if AVERAGING in each]
    if hours and not of_one_kind(min(hours), max(hours)):
        raise ProductError(
            f"the files do not fit together: values of {name} are over {min(hours):g} and "
            f"{max(hours):g} h. Join those alone that are of one kind"
        )


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
