"""The pollutant of a variable, and the factor from its units to ug m-3."""

import re
from collections.abc import Hashable

import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, Pollutant, find_pollutant
from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.observations import ObservationError, concentration_factor
from aqreanalysis.observations.variables import pollutant_of_standard_name

#: Suffixes after the name of a pollutant, as CAMS has: ``pm2p5_conc``.
_SUFFIXES = ("_conc", "_concentration", "_surface")
#: "kg kg**-1", "ug/kg" and the like: mass of the pollutant in a mass of air.
_MASS_FRACTION = re.compile(r"[kmunµμ]?g[\s.*]*(?:/\s*k?g|k?g\s*(?:\^|\*\*)?\s*-1)")


def pollutant_by_standard_name(layer: xr.DataArray) -> Pollutant | None:
    """Return the pollutant of a layer's CF standard name, or None."""
    return pollutant_of_standard_name(layer.attrs.get("standard_name"))


def pollutant_by_name(name: Hashable) -> Pollutant | None:
    """Return the pollutant that a variable is named after.

    Examples
    --------
    >>> pollutant_by_name("pm2p5_conc").name
    'pm25'
    """
    stems = [str(name), *(str(name).removesuffix(suffix) for suffix in _SUFFIXES)]
    return next((match for stem in stems if (match := find_pollutant(stem))), None)


def units_factor(layer: xr.DataArray, target: Pollutant) -> tuple[float, bool]:
    """Return the factor from the units of a layer to ug m-3, and whether it depends on the air.

    A mixing ratio is converted at 25 °C and 1013.25 hPa.

    Raises
    ------
    ForeignError
        If the units are absent, unknown, or a mass fraction, which needs the density of the air.

    Examples
    --------
    >>> layer = xr.DataArray([1e-8], attrs={"units": "kg m**-3"}, name="pm2p5")
    >>> units_factor(layer, find_pollutant("pm25"))
    (1000000000.0, False)
    """
    units = str(layer.attrs.get("units", "")).strip()
    if not units:
        raise ForeignError(
            f"the {{data}} does not say the units of {layer.name!r}: open it with xarray and set "
            f"{{data}}[{layer.name!r}].attrs['units'], for example to {CONCENTRATION_UNITS!r}"
        )
    if _MASS_FRACTION.fullmatch(units):
        raise ForeignError(
            f"{layer.name!r} is in {units!r}, a mass in a mass of air; expected a mass in a volume "
            f"such as {CONCENTRATION_UNITS!r}. Multiply it by the density of the air near the "
            "ground, p / (287.05 T) in kg m-3 with p in Pa and T in K, and set the units"
        )
    try:
        factor = concentration_factor(units, target.name)
        cold = concentration_factor(units, target.name, temperature_k=273.15)
    except ObservationError as error:
        raise ForeignError(f"the units of {layer.name!r}: {error}") from error
    return factor, factor != cold
