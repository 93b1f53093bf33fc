"""The Beijing-36 file of the GRIN benchmark: HDF5 that pandas wrote, read without pickle."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.sources.files import existing
from aqreanalysis.observations.sources.options import Reading, TimeLabel
from aqreanalysis.observations.sources.tables import from_wide
from aqreanalysis.untrusted import inspect

#: The stamps are local time, and a stamp is the end of its hour: the same values carry labels
#: one hour earlier in the UCI archive, which counts hours by their beginning.
TIME_ZONE = "UTC+8"
TIME_LABEL: TimeLabel = "end"


def read_grin(path: Path, reading: Reading, journal: Journal) -> xr.Dataset:
    """Return the Dataset of ``small36.h5``: PM2.5 of 36 stations of Beijing.

    Only arrays of numbers and bytes are read; the pickled attributes that pandas leaves in such
    files and the mask of the benchmark are not. The caller's zone and label take precedence.

    Raises
    ------
    ObservationError
        If the file is no such file, and with all faults in it.
    """
    import h5py

    try:
        inspect([existing(path)], "hdf5")
        with h5py.File(path, "r") as file:
            values = _frame(file, "pm25")
            places = _frame(file, "stations")
        stamps = pd.DatetimeIndex(values.index.to_numpy().astype("datetime64[ns]"))
    except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, ObservationError):
            raise
        raise ObservationError(
            f"not an HDF5 file of the GRIN benchmark, with the groups 'pm25' and 'stations': "
            f"{error}",
            source=journal.source,
        ) from error
    table = values.set_axis(values.columns.astype(str), axis=1)
    table.insert(0, "time", stamps)
    places = places.assign(station=places.index.astype(str))
    own = replace(
        reading,
        stations=places if reading.stations is None else reading.stations,
        columns={"time": "time", "variable": "pm25"},
        units=reading.units or "ug m-3",
        time_zone=reading.time_zone or TIME_ZONE,
        time_label=reading.time_label or TIME_LABEL,
    )
    return from_wide(table.reset_index(drop=True), reading=own, journal=journal)


def _frame(file: Any, name: str) -> pd.DataFrame:
    """Return a table that pandas wrote in its fixed format as one block of numbers."""
    group = file[name]
    columns = [
        item.decode() if isinstance(item, bytes) else int(item) for item in group["block0_items"]
    ]
    # float32 degrees such as 116.17355 become the float64 of those digits.
    values = np.asarray(group["block0_values"])
    if name == "stations":
        values = values.astype(str).astype(np.float64)
    return pd.DataFrame(values, index=np.asarray(group["axis1"]), columns=columns)
