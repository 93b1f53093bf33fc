"""Hourly files of the US EPA Air Quality System (AQS).

Both spellings of the columns are read: the official one of the files that EPA ships and the
lower-case one of extracts and of the programming interface. A site is state, county and site
number: ``"06-037-1103"``. Where several monitors (POC) of a site report at the same hour, their
mean is taken: all of them measure the same air, and the number of a monitor is no rank of quality.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.sources.columns import joined
from aqreanalysis.observations.sources.layouts import Layout

#: EPA parameter codes of the pollutants; 88502 is PM2.5 by a method that is not FRM or FEM.
_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "88101": "pm25",
        "88502": "pm25",
        "81102": "pm10",
        "44201": "o3",
        "42602": "no2",
        "42601": "no",
        "42401": "so2",
        "42101": "co",
    }
)

_SITE = ("state", "county", "site")


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with station, monitor and time, each a text made of several columns."""
    incomplete = table[list(_SITE)].isna().any(axis=1).to_numpy()
    if incomplete.any():
        raise ObservationError(
            f"row {int(np.argmax(incomplete)) + 1} has no state, county or site "
            f"({int(incomplete.sum())} such rows)"
        )
    text = {
        "station": joined([table[part] for part in _SITE], _site),
        "time": joined([table["date"], table["clock"]], _stamp),
    }
    number = [table["poc"]] if "poc" in table else []
    if "parameter" in table:
        if table["parameter"].nunique() > 1:  # a number may be that of a monitor of each
            number.append(table["parameter"])
        code = joined([table["parameter"]], lambda word: _PARAMETERS.get(str(word), str(word)))
        table = table.assign(parameter=code)
    if number:
        text["monitor"] = joined(number, lambda *words: f"POC {' of '.join(map(str, words))}")
    return table.drop(columns=[*_SITE, "date", "clock", "poc"], errors="ignore").assign(**text)


def _site(*parts: object) -> str:
    """Return the identifier of a site, with the leading zeros of EPA: 6 is "06", and "CC" stays."""
    texts = [str(int(p)) if isinstance(p, float) else str(p).strip() for p in parts]
    return "-".join(text.zfill(width) for text, width in zip(texts, (2, 3, 4), strict=True))


def _stamp(date: object, clock: object) -> str:
    """Return the stamp of a date and a clock, without the parts beyond the day and the minute."""
    return f"{str(date)[:10]} {str(clock)[:5]} GMT"


#: Hours are those of the GMT columns, and a stamp is the start of its hour.
AQS = Layout(
    title="an AQS file",
    columns={
        "state": ("State Code",),
        "county": ("County Code",),
        "site": ("Site Num", "Site Number", "Site ID", "Site"),
        "poc": ("POC",),
        "latitude": ("Latitude", "Lat"),
        "longitude": ("Longitude", "Lon"),
        "date": ("Date GMT",),
        "clock": ("Time GMT",),
        "value": ("Sample Measurement", "Value"),
        "units": ("Units of Measure", "Units"),
        "datum": ("Datum",),
        "parameter": ("Parameter Code",),
    },
    needed=(*_SITE, "latitude", "longitude", "date", "clock", "value"),
    signature=(*_SITE, "latitude", "longitude", "date", "clock", "value"),
    archive="hourly_*",
    categories=(*_SITE, "poc", "date", "clock", "units", "datum", "parameter"),
    prepare=_long,
)
