"""The layer of a product to verify, its standard error, and the name of the product."""

from pathlib import Path

import xarray as xr

from aqreanalysis.conventions import DRAW, Pollutant
from aqreanalysis.foreign.variables import pollutant_by_name, pollutant_by_standard_name
from aqreanalysis.verification.errors import VerificationError

#: The longest name of a method that still fits a legend.
_LONGEST_NAME = 40


def find_layer(product: xr.Dataset, target: Pollutant, name: str | None = None) -> str:
    """Return the name of the variable that holds the pollutant.

    Parameters
    ----------
    product : Dataset
    target : Pollutant
    name : str, optional
        The variable itself. By default the one with the CF standard name of the pollutant, or
        else with its name, such as ``pm2p5_conc``.

    Raises
    ------
    VerificationError
        If there is none or more than one, with a list of all variables; or if it is empty.

    Examples
    --------
    >>> from aqreanalysis.conventions import pollutant
    >>> product = xr.Dataset({"pm2p5_conc": ("x", [1.0]), "o3_conc": ("x", [2.0])})
    >>> find_layer(product, pollutant("pm25"))
    'pm2p5_conc'
    """
    if name is None:
        name = _only_layer(product, target)
    elif name not in product.data_vars:
        raise VerificationError(f"the product has no variable {name!r}; {_described(product)}")
    empty = [str(dim) for dim, size in product[name].sizes.items() if not size]
    if empty:
        raise VerificationError(f"{name!r} of the product is empty along {', '.join(empty)}")
    return name


def find_standard_error(product: xr.Dataset, name: str) -> str | None:
    """Return the name of the layer with one standard error of another layer, or None.

    It is ``<name>_uncertainty``, or a variable with the CF standard name of the layer and the
    modifier "standard_error", ancillary variables first.

    Examples
    --------
    >>> layers = {"pm25": ("x", [1.0]), "pm25_uncertainty": ("x", [0.1])}
    >>> find_standard_error(xr.Dataset(layers), "pm25")
    'pm25_uncertainty'
    """
    layer = product[name]
    ancillary = str(layer.attrs.get("ancillary_variables", "")).split()
    expected = f"{layer.attrs.get('standard_name')} standard_error"
    candidates = [f"{name}_uncertainty", *ancillary, *map(str, product.variables)]
    for candidate in candidates:
        if candidate not in product.variables:
            continue
        variable = product[candidate]
        stated = " ".join(str(variable.attrs.get("standard_name", "")).split())
        fits = candidate == f"{name}_uncertainty" or stated == expected
        if fits and set(variable.dims) == set(layer.dims):
            return candidate
    return None


def method_name(product: xr.Dataset) -> str:
    """Return the name of a product in tables: its method, title, source or file.

    Examples
    --------
    >>> method_name(xr.Dataset(attrs={"title": "CAMS ensemble"}))
    'CAMS ensemble'
    """
    for attribute in ("method", "title", "source"):
        text = " ".join(str(product.attrs.get(attribute, "")).split())
        if text:
            return _shortened(text)
    file = str(product.encoding.get("source", ""))
    return _shortened(Path(file).stem) if file else "product"


def _only_layer(product: xr.Dataset, target: Pollutant) -> str:
    """Return the only variable with the standard name of the pollutant, or else its name."""
    numeric = {
        str(key): layer
        for key, layer in product.data_vars.items()
        if layer.dtype.kind in "fiu" and DRAW not in layer.dims and "quantile" not in layer.attrs
    }
    by_name = [key for key in numeric if pollutant_by_name(key) == target]
    by_standard = [key for key in numeric if pollutant_by_standard_name(numeric[key]) == target]
    layers = by_standard or by_name
    if len(layers) == 1:
        return layers[0]
    words = (
        f"several variables for {target.name}: {', '.join(layers)}"
        if layers
        else f"no variable that is {target.name} by its standard name or its own"
    )
    raise VerificationError(
        f"the product has {words}; name one with product_variable=...; {_described(product)}"
    )


def _described(product: xr.Dataset) -> str:
    """Return the variables of a product, for a message."""
    words = [
        f"{name} {tuple(layer.dims)}" + (f" {units}" if (units := layer.attrs.get("units")) else "")
        for name, layer in product.data_vars.items()
    ]
    return f"it has {', '.join(words) or 'no variable'}"


def _shortened(text: str) -> str:
    """Return a text that fits a legend, cut at a word."""
    if len(text) <= _LONGEST_NAME:
        return text
    return f"{text[: _LONGEST_NAME - 1].rsplit(' ', 1)[0]}…"
