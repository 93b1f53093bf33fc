"""The formats that are read: `FORMATS` lists them, and the other modules read one family each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import xarray as xr

from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.aqs import AQS
from aqreanalysis.observations.sources.files import (
    CSV_SUFFIXES,
    existing,
    header_of,
    names_in,
    read_table,
    suffix_of,
)
from aqreanalysis.observations.sources.grin import read_grin
from aqreanalysis.observations.sources.layouts import Layout
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.sources.tables import from_long, from_wide, is_wide
from aqreanalysis.observations.sources.timeseries import read_netcdf
from aqreanalysis.observations.sources.uci import UCI

__all__ = ["FORMATS", "Format", "format_of_path", "format_of_table"]


def _never(names: Sequence[str], reading: Reading) -> bool:
    return False


@dataclass(frozen=True)
class Format:
    """A format: how it is recognised, and what reads it.

    ``recognises`` says whether the columns of a table are those of the format; ``suffixes`` are
    of files that can be nothing else; ``archive`` is a pattern of the name of any file in a zip or
    folder of the format, in lower case; ``takes_tables`` allows a table in memory as source.
    """

    read: Callable[[Any, Reading, Journal], xr.Dataset]
    recognises: Callable[[Sequence[str], Reading], bool] = _never
    suffixes: tuple[str, ...] = ()
    archive: str = ""
    takes_tables: bool = True


def _documented(layout: Layout) -> Format:
    """Return the format of a documented table."""
    return Format(
        layout.read, lambda names, reading: layout.recognises(names), archive=layout.archive
    )


def _read_wide(source: Path | pd.DataFrame, reading: Reading, journal: Journal) -> xr.Dataset:
    table = read_table(source, reading.columns)
    return from_wide(table, reading=reading, journal=journal)


def _read_long(source: Path | pd.DataFrame, reading: Reading, journal: Journal) -> xr.Dataset:
    table = read_table(source, reading.columns)
    return from_long(table, reading=reading, journal=journal)


#: Every format by name. Those added last are tried first: "long" recognises every table.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "long": Format(_read_long, lambda names, reading: True),
        "wide": Format(_read_wide, is_wide),
        "netcdf": Format(
            read_netcdf, suffixes=(".nc", ".nc4", ".cdf", ".netcdf"), takes_tables=False
        ),
        "uci": _documented(UCI),
        "aqs": _documented(AQS),
        "grin": Format(read_grin, suffixes=(".h5", ".hdf5", ".hdf"), takes_tables=False),
    }
)


def format_of_path(path: Path, reading: Reading) -> str | None:
    """Return the format by a file's suffix, the names in a zip or folder, or the first line.

    None is a table that has to be read first, or a file of no known kind.
    """
    suffix = suffix_of(path)
    if suffix == ".zip" or path.is_dir():
        inside = names_in(path)
        return _last(lambda format: any(fnmatch(name, format.archive) for name in inside))
    if suffix in CSV_SUFFIXES:
        return format_of_table(header_of(existing(path)), reading)
    return _last(lambda format: suffix in format.suffixes)


def format_of_table(names: Sequence[str], reading: Reading) -> str | None:
    """Return the format of a table by the names of its columns."""
    return _last(lambda format: format.recognises(names, reading))


def _last(fits: Callable[[Format], bool]) -> str | None:
    """Return the name of the last format that fits, if any."""
    return next((name for name, format in reversed(list(FORMATS.items())) if fits(format)), None)
