"""Altitudes that stations state themselves, and which of them can be true beside a field."""

import logging

import numpy as np
import xarray as xr

from aqreanalysis.conventions import ALTITUDES_M, STATION

logger = logging.getLogger(__name__)

#: Farthest from the mean of its cell that a station may stand, m: the Aiguille du Midi, 3840 m, is
#: some 1800 m above. One that differs by more is elsewhere, or its altitude is another.
FARTHEST_M = 2000.0
#: Feet are told from metres by this many stations at least, above this altitude in m.
_FEWEST, _HIGH_M = 5, 100.0
_FOOT_M = 0.3048


def own_altitude(places: xr.Dataset, field_m: np.ndarray) -> np.ndarray:
    """Return the altitude (station,) that each place states, m, NaN where none that can be true.

    What cannot be true beside the field (station,) is a warning that names the station and the
    remedy: an altitude of no place on land, one more than `FARTHEST_M` off, and altitudes of all
    stations that would fit if they were in feet.

    Examples
    --------
    >>> places = xr.Dataset(coords={"altitude": ("station", [520.0, np.nan])})
    >>> own_altitude(places, np.array([500.0, 30.0]))
    array([520., nan])
    """
    stated = places.variables.get("altitude")
    if stated is None or stated.shape != field_m.shape:
        return np.full(field_m.shape, np.nan)
    altitude = np.array(stated.values, np.float64)
    if in_feet(altitude, field_m):
        _warn(places, np.isfinite(altitude), altitude, field_m, "probably in feet", "0.3048 * ...")
        return np.full(field_m.shape, np.nan)
    with np.errstate(invalid="ignore"):
        nowhere = (altitude < ALTITUDES_M[0]) | (altitude > ALTITUDES_M[1])
        off = ~nowhere & (np.abs(altitude - field_m) > FARTHEST_M)
    _warn(places, nowhere, altitude, field_m, "that of no place on land", "...")
    _warn(places, off, altitude, field_m, "far off", "...), or its position with longitude=(...")
    return np.where(nowhere | off, np.nan, altitude)


def in_feet(altitude: np.ndarray, field_m: np.ndarray) -> bool:
    """Return whether altitudes of the same places fit those of a field, m, if they are in feet.

    Examples
    --------
    >>> field = np.array([150.0, 300.0, 420.0, 800.0, 1200.0])
    >>> in_feet(field / 0.3048 + 20, field), in_feet(field + 20, field)
    (True, False)
    """
    with np.errstate(invalid="ignore"):
        high = np.isfinite(altitude) & (field_m > _HIGH_M)
    if high.sum() < _FEWEST:
        return False
    metres, feet = (np.abs(unit * altitude - field_m)[high] for unit in (1.0, _FOOT_M))
    return bool(np.median(metres) > _HIGH_M and np.median(feet) < np.median(metres) / 3)


def _warn(
    places: xr.Dataset,
    wrong: np.ndarray,
    altitude: np.ndarray,
    field_m: np.ndarray,
    words: str,
    remedy: str,
) -> None:
    """Say which station's altitude is not used, why, and what to do."""
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    name = places[STATION].values[row] if STATION in places.coords else row
    logger.warning(
        "the altitude of station %s (%d such stations) is %s: %g, where the field has %.0f m, "
        "which is used instead. Correct it with assign_coords(altitude=%s)",
        name,
        wrong.sum(),
        words,
        altitude[row],
        field_m[row],
        remedy,
    )
