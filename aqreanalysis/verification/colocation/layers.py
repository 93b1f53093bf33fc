"""The layer of a product that is verified: file, variable, units, standard error."""

import glob
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, Pollutant, find_pollutant
from aqreanalysis.observations import ObservationError, concentration_factor
from aqreanalysis.verification.colocation.blocks import in_blocks
from aqreanalysis.verification.colocation.periods import dated_variable
from aqreanalysis.verification.errors import VerificationError

Product = xr.Dataset | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

#: What products write behind the name of a pollutant, as CAMS does: ``pm2p5_conc``.
_SUFFIXES = ("_conc", "_concentration", "_surface")
#: The longest name of a method that still fits a legend.
_LONGEST_NAME = 40
#: "kg kg**-1", "ug/kg" and the like: mass of the pollutant in a mass of air.
_MASS_FRACTION = re.compile(r"[kmunµμ]?g[\s.*]*(?:/\s*k?g|k?g\s*(?:\^|\*\*)?\s*-1)")


@contextmanager
def opened(product: Product) -> Iterator[xr.Dataset]:
    """Give the product as a Dataset, lazily; files are closed afterwards, a Dataset is left open.

    Files of one product, in any order, are joined along their time.

    Parameters
    ----------
    product : Dataset, path, pattern such as ``"cams-2019-*.nc"``, or sequence of paths

    Raises
    ------
    VerificationError
        If there is no such file, it cannot be read, or the files do not fit together.

    Examples
    --------
    >>> with opened(xr.Dataset({"pm25": 1.0})) as product:
    ...     list(product)
    ['pm25']
    """
    if isinstance(product, xr.Dataset):
        yield product
        return
    with ExitStack() as stack:
        files = [stack.enter_context(_opened_file(path)) for path in _paths(product)]
        yield files[0] if len(files) == 1 else _joined(files)


def find_layer(product: xr.Dataset, target: Pollutant, name: str | None = None) -> str:
    """Return the name of the variable that holds the pollutant.

    Parameters
    ----------
    product : Dataset
    target : Pollutant
    name : str, optional
        The variable itself. Without it, the one with the CF standard name of the pollutant is
        taken, or else the one that is called like it, such as ``pm2p5_conc``.

    Raises
    ------
    VerificationError
        If there is none, or more than one, and it lists what there is; or if it is empty.

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
        raise VerificationError(f"the product has no variable {name!r}; {_listed(product)}")
    empty = [str(dim) for dim, size in product[name].sizes.items() if not size]
    if empty:
        raise VerificationError(f"{name!r} of the product is empty along {', '.join(empty)}")
    return name


def units_factor(layer: xr.DataArray, target: Pollutant) -> tuple[float, list[str]]:
    """Return the factor from the units of a layer to ug m-3, and what must be said of it.

    Raises
    ------
    VerificationError
        If the units are absent, unknown, or a mass fraction, which needs the density of the air.

    Examples
    --------
    >>> from aqreanalysis.conventions import pollutant
    >>> layer = xr.DataArray([1e-8], attrs={"units": "kg m**-3"}, name="pm2p5")
    >>> units_factor(layer, pollutant("pm25"))
    (1000000000.0, [])
    """
    units = str(layer.attrs.get("units", "")).strip()
    if not units:
        raise VerificationError(
            f"the product does not say the units of {layer.name!r}: open it with xarray and set "
            f"product[{layer.name!r}].attrs['units'], for example to {CONCENTRATION_UNITS!r}"
        )
    if _MASS_FRACTION.fullmatch(units):
        raise VerificationError(
            f"{layer.name!r} is in {units!r}, a mass in a mass of air; expected a mass in a volume "
            f"such as {CONCENTRATION_UNITS!r}. Multiply it by the density of the air near the "
            "ground, p / (287.05 T) in kg m-3 with p in Pa and T in K, and set the units"
        )
    try:
        factor = concentration_factor(units, target.name)
        if factor == concentration_factor(units, target.name, temperature_k=273.15):
            return factor, []
    except ObservationError as error:
        raise VerificationError(f"the units of the product's {layer.name!r}: {error}") from error
    return factor, [
        f"The product's {units} were converted to {CONCENTRATION_UNITS} at 25 °C and 1013.25 hPa."
    ]


def find_standard_error(product: xr.Dataset, name: str) -> str | None:
    """Return the name of the layer with one standard error of another layer, or None.

    It is ``<name>_uncertainty``, or what has the CF standard name of the layer with the modifier
    "standard_error"; of several the one among the ancillary variables.

    Examples
    --------
    >>> layers = {"pm25": ("x", [1.0]), "pm25_uncertainty": ("x", [0.1])}
    >>> find_standard_error(xr.Dataset(layers), "pm25")
    'pm25_uncertainty'
    """
    layer = product[name]
    ancillary = str(layer.attrs.get("ancillary_variables", "")).split()
    standing = f"{layer.attrs.get('standard_name')} standard_error"
    candidates = [f"{name}_uncertainty", *ancillary, *map(str, product.variables)]
    for candidate in candidates:
        if candidate not in product.variables:
            continue
        variable = product[candidate]
        told = " ".join(str(variable.attrs.get("standard_name", "")).split())
        fits = candidate == f"{name}_uncertainty" or told == standing
        if fits and set(variable.dims) == set(layer.dims):
            return candidate
    return None


def method_name(product: xr.Dataset) -> str:
    """Return what a product is called in a table: its method, title or source, or its file.

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


def _paths(product: object) -> list[Path]:
    """Return the files that are meant."""
    if isinstance(product, str | os.PathLike):
        text = os.fspath(product)
        matches = sorted(glob.glob(text)) if re.search(r"[*?\[]", text) else []
        given = [text] if Path(text).exists() or not matches else matches
    elif isinstance(product, Sequence) and product:
        given = [os.fspath(path) for path in product]
    else:
        found = "none" if isinstance(product, Sequence) else type(product).__name__
        remedy = ". Use .to_dataset(name=...)" if isinstance(product, xr.DataArray) else ""
        raise VerificationError(f"a product is a Dataset, a path or several; found {found}{remedy}")
    absent = [path for path in given if not Path(path).exists()]
    if absent:
        raise VerificationError(f"there is no file {', '.join(absent)}")
    return [Path(path) for path in given]


def _opened_file(path: Path) -> xr.Dataset:
    """Return the Dataset of a file; nothing but coordinates is read."""
    try:
        # A time that only counts hours from an unsaid beginning stays a number, and is refused.
        return xr.open_dataset(path, decode_timedelta=False)
    except (OSError, ValueError, RuntimeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise VerificationError(f"{path} cannot be read as NetCDF: {first}") from error


def _joined(files: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the files of one product as one Dataset along time, still lazy."""
    times = {dated_variable(file, dimension) for file in files for dimension in file.dims}
    times.discard(None)
    dimensions = {file[name].dims[0] for file in files for name in times if name in file.variables}
    if len(dimensions) != 1:
        raise VerificationError(
            "the files of a product must have one dimension of time; found "
            f"{', '.join(sorted(map(str, dimensions))) or 'none'}. Join them with xarray"
        )
    (time,) = dimensions
    try:
        return xr.concat(
            [_all_in_blocks(file, time) for file in files],
            dim=time,
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    except (ValueError, KeyError) as error:
        raise VerificationError(f"the files of the product do not fit together: {error}") from error


def _all_in_blocks(file: xr.Dataset, time: Hashable) -> xr.Dataset:
    """Return a file whose layers in time are in blocks, so that joining does not read them."""
    layers = {
        name: (layer.dims, in_blocks(layer.variable, time).data, layer.attrs)
        for name, layer in file.data_vars.items()
        if time in layer.dims and layer.ndim > 2
    }
    return file.assign(layers)


def _only_layer(product: xr.Dataset, target: Pollutant) -> str:
    """Return the one variable that is the pollutant by its standard name, or else by its own."""
    numeric = {
        str(key): layer for key, layer in product.data_vars.items() if layer.dtype.kind in "fiu"
    }
    called = [key for key in numeric if _is_called(key, target)]
    standing = [
        key
        for key, layer in numeric.items()
        if layer.attrs.get("standard_name") in _standard_names(target)
    ]
    found = standing or called
    if len(found) == 1:
        return found[0]
    words = (
        f"several variables for {target.name}: {', '.join(found)}"
        if found
        else f"no variable that is {target.name} by its standard name or its own"
    )
    raise VerificationError(
        f"the product has {words}; name one with product_variable=...; {_listed(product)}"
    )


def _standard_names(target: Pollutant) -> set[str]:
    """Return the CF standard names of a pollutant: of its mass or amount, in a volume or in air."""
    own = {
        target.standard_name,
        # The older name, an alias in the standard name table, which CAMS writes.
        target.standard_name.replace("_aerosol_particles_in_air", "_aerosol_in_air"),
    }
    parts = ("mass_fraction_of", "mole_fraction_of")
    return own | {name.replace("mass_concentration_of", part) for name in own for part in parts}


def _is_called(name: str, target: Pollutant) -> bool:
    """Return whether a variable is called like the pollutant."""
    stems = [name, *(name.removesuffix(suffix) for suffix in _SUFFIXES)]
    return any(find_pollutant(stem) == target for stem in stems)


def _listed(product: xr.Dataset) -> str:
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
