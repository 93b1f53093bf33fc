"""Tables that pandas wrote into HDF5, read without pickle."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.sources.files import existing
from aqreanalysis.untrusted import inspect


def pandas_tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the values, a column a station, and the stations of ``small36.h5``.

    Only arrays of numbers and bytes are read; the pickled attributes that pandas leaves in such
    files and the mask of the benchmark are not.

    Raises
    ------
    ObservationError
        If the file is no such file.
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
            f"{error}"
        ) from error
    table = values.set_axis(values.columns.astype(str), axis=1)
    table.insert(0, "time", stamps)
    return table.reset_index(drop=True), places.assign(station=places.index.astype(str))


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
