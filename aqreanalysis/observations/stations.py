"""Who the stations are: identifiers, and the table of their positions."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.observations.columns import listed, recognise
from aqreanalysis.observations.journal import Journal, ObservationError
from aqreanalysis.observations.numbers import numbers
from aqreanalysis.observations.positions import Positions, station_positions
from aqreanalysis.observations.times import Describe


def station_table(table: pd.DataFrame, *, journal: Journal) -> pd.DataFrame:
    """Return a table of stations as longitude, latitude, altitude and name by identifier.

    Raises
    ------
    ObservationError
        If a column is missing, or a position is impossible or told twice differently.
    """
    names = [str(name) for name in table.columns]
    own = Journal("table of stations")
    found = recognise(names, {}, journal=own).roles
    for role in ("station", "longitude", "latitude"):
        if role not in found:
            own.fault(f"the table of stations has no column of {role}; it has {listed(names)}")
    if not own.faults and len(table) == 0:
        own.fault("the table of stations has no rows")
    own.stop_if_faulty()
    station, identifiers = station_codes(table[found["station"]], journal=own)
    describe = _describer(identifiers, station)
    degrees = [
        numbers(table[found[role]], name=role, describe=describe, journal=own)
        for role in ("longitude", "latitude")
    ]
    places = station_positions(station, *degrees, identifiers=identifiers, journal=own)
    result = pd.DataFrame(
        {"longitude": places.longitude, "latitude": places.latitude}, index=identifiers
    )
    first = np.unique(station, return_index=True)[1]
    if "altitude" in found:
        heights = numbers(table[found["altitude"]], name="altitude", describe=describe, journal=own)
        result["altitude"] = heights[first]
    if "name" in found:
        result["name"] = table[found["name"]].astype(str).to_numpy()[first]
    own.stop_if_faulty()
    journal.decisions.extend(own.decisions)
    return result


def identifier(value: object) -> str:
    """Return a station's identifier as text: 1001 and 1001.0 are "1001".

    Examples
    --------
    >>> identifier(1001.0), identifier(" 06-037-1103 ")
    ('1001', '06-037-1103')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def positions_from_table(
    stations: pd.DataFrame, identifiers: NDArray[np.str_], *, journal: Journal
) -> Positions:
    """Return the positions of stations from the table of stations.

    Raises
    ------
    ObservationError
        If the table lacks a station or is faulty itself.
    """
    known = station_table(stations, journal=journal)
    absent = [str(name) for name in identifiers if name not in known.index]
    if absent:
        raise ObservationError(
            f"the table of stations lacks {listed(absent)}; it has {listed(list(known.index))}"
        )
    spare = len(known) - len(identifiers)
    if spare:
        journal.decide(f"{spare} stations of the table of stations have no measurements")
    places = known.loc[identifiers.tolist()]
    return Positions(
        places["longitude"].to_numpy(dtype=np.float64, copy=True),
        places["latitude"].to_numpy(dtype=np.float64, copy=True),
        places["altitude"].to_numpy(dtype=np.float64, copy=True) if "altitude" in places else None,
        places["name"].to_numpy(dtype=str) if "name" in places else None,
    )


def station_codes(
    column: pd.Series, *, journal: Journal
) -> tuple[NDArray[np.intp], NDArray[np.str_]]:
    """Return the station of each row and the sorted identifiers."""
    codes, uniques = pd.factorize(column)
    names = np.array([identifier(value) for value in uniques] + [""], dtype=str)
    empty = names[codes] == "" if (names[:-1] == "").any() or (codes < 0).any() else None
    if empty is not None:
        journal.fault(
            f"row {int(np.argmax(empty)) + 1} has no station ({int(empty.sum())} such rows)"
        )
    broken = [name for name in names if {"\n", "\r", "\0"} & set(name)]
    if broken:
        journal.fault(
            f"station {broken[0][:60]!r} runs over several lines: a quote is not closed, or the "
            f"file is broken ({len(broken)} such identifiers)"
        )
    identifiers, place = np.unique(names if empty is not None else names[:-1], return_inverse=True)
    return place[codes], identifiers


def _describer(identifiers: NDArray[np.str_], station: NDArray[np.intp]) -> Describe:
    """Return what names a row of the table of stations in a message."""
    return lambda row: f"row {row + 1} (station {identifiers[station[row]]})"
