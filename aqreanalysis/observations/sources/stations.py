"""The stations of a table: their identifiers and positions, also from a table of their own."""

import numpy as np
import pandas as pd

from aqreanalysis.observations.checks import Codes, Names
from aqreanalysis.observations.checks.numbers import numbers
from aqreanalysis.observations.checks.positions import (
    Positions,
    first_rows,
    station_positions,
    to_wgs84,
)
from aqreanalysis.observations.journal import Describe, Journal, ObservationError
from aqreanalysis.observations.sources.columns import guess
from aqreanalysis.observations.variables import listed


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


def station_codes(column: pd.Series, *, journal: Journal) -> tuple[Codes, Names]:
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


def positions_in_rows(
    table: pd.DataFrame,
    roles: dict[str, str],
    station: Codes,
    identifiers: Names,
    *,
    describe: Describe,
    journal: Journal,
) -> Positions:
    """Return the positions of stations from the rows of a table, with altitude and name if known.

    ``roles`` maps longitude, latitude and, where the table has them, altitude, name and datum to
    columns; ``station`` is the row's station as an index of ``identifiers``.
    """
    degrees = [
        numbers(table[roles[role]], name=role, describe=describe, journal=journal)
        for role in ("longitude", "latitude")
    ]
    faults = len(journal.faults)
    positions = station_positions(station, *degrees, identifiers=identifiers, journal=journal)
    first = first_rows(station, len(identifiers))
    if "datum" in roles and len(journal.faults) == faults:
        datum = table[roles["datum"]].iloc[first].astype(str).tolist()
        positions = to_wgs84(positions, datum, identifiers=identifiers, journal=journal)
    altitude = name = None
    if "altitude" in roles:
        column = table[roles["altitude"]]
        altitude = numbers(column, name="altitude", describe=describe, journal=journal)[first]
    if "name" in roles:
        name = table[roles["name"]].iloc[first].astype(str).to_numpy(dtype=str)
    return Positions(positions.longitude, positions.latitude, altitude, name)


def station_table(table: pd.DataFrame, *, journal: Journal) -> tuple[Names, Positions]:
    """Return the identifiers, sorted, and the positions in a table of stations.

    Raises
    ------
    ObservationError
        If a column is missing, or a position is impossible or stated twice differently.
    """
    names = [str(name) for name in table.columns]
    own = Journal("table of stations")
    roles = dict(guess(names).roles)
    for role in ("station", "longitude", "latitude"):
        if role not in roles:
            own.fault(f"the table of stations has no column of {role}; it has {listed(names)}")
    if not own.faults and len(table) == 0:
        own.fault("the table of stations has no rows")
    own.stop_if_faulty()
    station, identifiers = station_codes(table[roles["station"]], journal=own)
    positions = positions_in_rows(
        table,
        roles,
        station,
        identifiers,
        describe=lambda row: f"row {row + 1} (station {identifiers[station[row]]})",
        journal=own,
    )
    own.stop_if_faulty()
    journal.decisions.extend(own.decisions)
    return identifiers, positions


def positions_from_table(
    stations: pd.DataFrame, identifiers: Names, *, journal: Journal
) -> Positions:
    """Return the positions of stations from the table of stations.

    Raises
    ------
    ObservationError
        If the table lacks a station or is faulty itself.
    """
    listing, positions = station_table(stations, journal=journal)
    absent = identifiers[~np.isin(identifiers, listing)]
    if absent.size:
        raise ObservationError(
            f"the table of stations lacks {listed(absent)}; it has {listed(listing)}"
        )
    spare = len(listing) - len(identifiers)
    if spare:
        journal.decide(f"{spare} stations of the table of stations have no measurements")
    return positions.at(np.searchsorted(listing, identifiers))
