"""Readers of pyaro, the common interface to EBAS, GHOST, EEA and others."""

import sys
from typing import Any

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.variables import known_variable, listed

#: Variables of pyaerocom, of which many readers use the names.
_CONCENTRATIONS = "conc"


def is_reader(source: Any) -> bool:
    """Return whether something is an open reader of pyaro, without importing it."""
    timeseries = sys.modules.get("pyaro.timeseries")
    return timeseries is not None and isinstance(source, timeseries.Reader)


def rows_of(reader: Any) -> pd.DataFrame:
    """Return all data of a reader as a long table: a row a station, period and variable.

    Values whose flag is not valid are missing.

    Raises
    ------
    ObservationError
        If no variable of the reader is known.
    """
    valid = sys.modules["pyaro.timeseries"].Flag
    stations = reader.stations()
    tables = []
    names = list(reader.variables())
    for name in names:
        variable = known_variable(name.removeprefix(_CONCENTRATIONS))
        if variable is None:
            continue
        data = reader.data(name)
        flags = np.asarray(data.flags)
        good = np.isin(flags, [valid.VALID, valid.BELOW_THRESHOLD])
        identifiers = np.asarray(data.stations)
        tables.append(
            pd.DataFrame(
                {
                    "station": identifiers,
                    "name": [_long_name(stations, name) for name in identifiers.tolist()],
                    "time": pd.DatetimeIndex(np.asarray(data.start_times)).tz_localize("UTC"),
                    "end": pd.DatetimeIndex(np.asarray(data.end_times)).tz_localize("UTC"),
                    "longitude": np.asarray(data.longitudes, float),
                    "latitude": np.asarray(data.latitudes, float),
                    "altitude": np.asarray(data.altitudes, float),
                    "parameter": variable,
                    "value": np.where(good, np.asarray(data.values, float), np.nan),
                    "units": data.units,
                    "time_label": "start",
                }
            )
        )
    if not tables:
        raise ObservationError(
            f"no variable of {type(reader).__name__} is a pollutant; it has {listed(names)}"
        )
    return pd.concat(tables, ignore_index=True)


def _long_name(stations: Any, identifier: str) -> str:
    """Return the name of a station, or its identifier."""
    station = stations.get(identifier) if hasattr(stations, "get") else None
    return str(getattr(station, "long_name", None) or identifier)
