"""A digest that tells whether two sets of measurements are the same."""

import hashlib

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.observations.contract import stored_values


def input_digest(observations: xr.Dataset, variable: str) -> str:
    """Return the sha256 of the measurements of a variable, whatever the order of the stations.

    Its 64 hexadecimal digits cover, station by station in the order of the identifiers: the
    identifier, longitude and latitude, the time labels, and the values as float64, with one bit
    pattern for missing ones.

    Examples
    --------
    >>> observations = xr.Dataset(
    ...     {"pm25": (("station", "time"), [[1.0], [2.0]])},
    ...     coords={
    ...         "station": ["a", "b"],
    ...         "time": np.array(["2024-01-01"], "datetime64[ns]"),
    ...         "longitude": ("station", [10.0, 11.0]),
    ...         "latitude": ("station", [50.0, 50.0]),
    ...     },
    ... )
    >>> digest = input_digest(observations, "pm25")
    >>> digest == input_digest(observations.isel(station=[1, 0]), "pm25")
    True
    >>> digest == input_digest(observations * 2, "pm25")
    False
    """
    stamps = observations[TIME].values.astype("datetime64[ns]").astype("<i8")
    digest = hashlib.sha256(stamps.data)
    identifiers = observations[STATION].values.astype(str)
    degrees = [observations[name].values for name in ("longitude", "latitude")]
    positions = np.stack(degrees, axis=1).astype("<f8")  # (station, 2)
    values = stored_values(observations, variable)
    series = np.empty(values.shape[1], "<f8")  # one buffer for all stations
    for row in np.argsort(identifiers):
        np.copyto(series, values[row])
        series[np.isnan(series)] = np.nan
        digest.update(identifiers[row].encode())
        digest.update(positions[row].data)
        digest.update(series.data)
    return digest.hexdigest()
