"""The stations of a table: their identifiers and positions, also from a table of their own."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from aqreanalysis.conventions import STATION_TYPES, counted
from aqreanalysis.observations.checks import Codes, Mask, Names
from aqreanalysis.observations.checks.numbers import numbers
from aqreanalysis.observations.checks.positions import (
    Positions,
    first_rows,
    station_positions,
    to_wgs84,
)
from aqreanalysis.observations.journal import Describe, Journal, ObservationError
from aqreanalysis.observations.sources.columns import ROLES, guess
from aqreanalysis.observations.sources.options import NOTHING, Reading
from aqreanalysis.observations.variables import listed

#: A station's area and type in one, as in the United Kingdom.
_AREA_AND_STATION = re.compile(r"(?i)(rural|suburban|urban)\s+(background|traffic|industrial)")


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
            f"row {int(np.argmax(empty)) + 1} has no station ({int(empty.sum())} such rows)",
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
    """Return the positions of stations from the rows of a table, with what else is known of them.

    ``roles`` maps longitude, latitude and, where the table has them, altitude, name, types and
    datum to columns; ``station`` is the row's station as an index of ``identifiers``.
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
    types = types_in_rows(table, roles, station, identifiers, journal=journal)
    return Positions(positions.longitude, positions.latitude, altitude, name, **types)


def types_in_rows(
    table: pd.DataFrame,
    roles: Mapping[str, str],
    station: Codes,
    identifiers: Names,
    *,
    journal: Journal,
) -> dict[str, Names]:
    """Return the types that stations state in the rows of a table, "" where they state none.

    Of several types of a station the first counts. "Urban Background" is a background station in
    an urban area, unless the table has a column of areas.
    """
    types: dict[str, Names] = {}
    for role in (role for role in STATION_TYPES if role in roles):
        codes, uniques = pd.factorize(table[roles[role]])
        words = np.array([*map(identifier, uniques), ""], dtype=str)
        first = first_rows(station, len(identifiers), where=words[codes] != "")
        types[role] = np.where(first < 0, "", words[codes[first]])
        other = (words[codes] != "") & (words[codes] != types[role][station])
        if other.any():
            several = np.unique(station[other])
            journal.warn(
                f"{counted(several.size, 'station')} with several values of {role}, of which the "
                f"first counts; for example station {identifiers[several[0]]}"
            )
    if "station_type" in types and "area_type" not in types:
        parts = [_AREA_AND_STATION.fullmatch(word) for word in types["station_type"].tolist()]
        if any(parts):
            pairs = zip(parts, types["station_type"].tolist(), strict=True)
            types["station_type"] = np.array([m[2] if m else word for m, word in pairs], dtype=str)
            types["area_type"] = np.array([m[1] if m else "" for m in parts], dtype=str)
    return types


def station_table(
    table: pd.DataFrame,
    *,
    journal: Journal,
    columns: Mapping[str, str] = NOTHING,
    wanted: Iterable[str] | None = None,
) -> tuple[Names, Positions]:
    """Return the identifiers, sorted, and the positions in a table of stations.

    ``columns`` are those that the caller names. Where stations are ``wanted``, rows of others are
    passed over, and the identifiers are those of the column that has most of the wanted.

    Raises
    ------
    ObservationError
        If a column is missing, or a position is impossible or stated twice differently.
    """
    names = [str(name) for name in table.columns]
    own = Journal("table of stations")
    roles = dict(guess(names, {k: v for k, v in columns.items() if k != "id"}).roles)
    for role, column in columns.items():
        if column not in names:
            own.fault(
                f"station_columns names {column!r} for {role}; the table of stations has "
                f"{listed(names)}"
            )
    own.stop_if_faulty()
    if wanted is not None and ("id" in columns or "station" not in columns):
        roles |= _identifying(table, roles, columns.get("id"), set(wanted))
    for role in ("station", "longitude", "latitude"):
        if role not in roles:
            own.fault(
                f"the table of stations has no column of {role}; it has {listed(names)}. "
                f"Name it with station_columns={{{role!r}: ...}}"
            )
    if not own.faults and len(table) == 0:
        own.fault("the table of stations has no rows")
    own.stop_if_faulty()
    total = table[roles["station"]].nunique()
    if wanted is not None:
        listing = table[roles["station"]].map(identifier, na_action="ignore")
        chosen = listing.isin(set(wanted))
        if chosen.any():
            table = table[chosen.to_numpy(dtype=bool)]
            spare = int(total - table[roles["station"]].nunique())
            if spare:
                journal.decide(
                    f"{counted(spare, 'station')} of the table of stations without measurements"
                )
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


def merged_stations(
    table: pd.DataFrame, wanted: Iterable[str], columns: Mapping[str, str], *, journal: Journal
) -> dict[str, str]:
    """Return the station of each sampling point, where a table of stations has both.

    It is empty where the wanted identifiers are those of stations, one by one.
    """
    names = [str(name) for name in table.columns]
    given = {k: v for k, v in columns.items() if k in ROLES and v in names}
    roles = dict(guess(names, given).roles)
    own = _identifying(table, roles, columns.get("id"), set(wanted)).get("station")
    home = roles.get("station")
    if own is None or home is None or own == home or columns.get("id", own) not in names:
        return {}
    pairs = table[[own, home]].map(identifier, na_action="ignore").dropna().drop_duplicates()
    pairs = pairs[pairs[own].isin(set(wanted)) & (pairs[home] != "")]
    asked = "id" in columns and "station" in columns
    if pairs[own].duplicated().any() or (not asked and not pairs[home].duplicated().any()):
        return {}
    journal.decide(
        f"{counted(len(pairs), 'value')} of {own} taken for sampling points of "
        f"{counted(pairs[home].nunique(), 'station')} "
        f"({home} in the table of stations)"
    )
    return dict(zip(pairs[own], pairs[home], strict=True))


def listed_positions(
    stations: pd.DataFrame, identifiers: Names, *, reading: Reading, journal: Journal
) -> tuple[Positions, Mask]:
    """Return the positions of stations from the table of stations, and which of them it has.

    Raises
    ------
    ObservationError
        If the table lacks a station, which is no harmless fault, or is faulty itself.
    """
    listing, positions = station_table(
        stations, journal=journal, columns=reading.station_columns, wanted=identifiers.tolist()
    )
    present = np.isin(identifiers, listing)
    absent = identifiers[~present]
    few = absent.size <= journal.tolerance * identifiers.size
    if absent.size and present.any() and (few or reading.skip_unplaced):
        journal.warn(
            f"{counted(absent.size, 'station')} that the table of stations lacks left out: "
            f"{listed(absent)}"
        )
    elif absent.size:
        raise ObservationError(
            f"the table of stations lacks {listed(absent)}; it has {listed(listing)}. Name its "
            "column with station_columns={'id': ...}, or leave them out with skip_unplaced=True"
        )
    return positions.at(np.searchsorted(listing, identifiers[present])), present


def in_degrees(table: pd.DataFrame, crs: str) -> pd.DataFrame:
    """Return a table with longitude and latitude in degrees from coordinates of another system."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError

    try:
        transformer = Transformer.from_crs(CRS.from_user_input(crs), "EPSG:4326", always_xy=True)
    except CRSError as error:
        raise ObservationError(f"crs={crs!r} is no coordinate reference system: {error}") from error
    x, y = (pd.to_numeric(table[role], errors="coerce") for role in ("longitude", "latitude"))
    longitude, latitude = transformer.transform(x.to_numpy(float), y.to_numpy(float))
    return table.assign(
        longitude=np.where(np.isfinite(longitude), longitude, np.nan),
        latitude=np.where(np.isfinite(latitude), latitude, np.nan),
    )


def list_in_degrees(table: pd.DataFrame, crs: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table of stations in degrees, if its positions are none already."""
    usable = {role: name for role, name in columns.items() if role != "id" and name in table}
    roles = guess([str(name) for name in table.columns], usable).roles
    if not {"longitude", "latitude"} <= set(roles):
        return table
    names = {roles[role]: role for role in ("longitude", "latitude")}
    degrees = table[list(names)].apply(pd.to_numeric, errors="coerce")
    if float(np.nanmax(np.abs(degrees.to_numpy(dtype=float)), initial=0.0)) <= 360.0:
        return table
    positions = in_degrees(degrees.rename(columns=names), crs)
    return table.assign(**{name: positions[role] for name, role in names.items()})


def listed_among(table: pd.DataFrame, wanted: Iterable[str], columns: Mapping[str, str]) -> int:
    """Return how many identifiers the column of a table of stations has that has most of them."""
    given = columns.get("id", columns.get("station"))
    names = [given] if given is not None else [str(name) for name in table.columns]
    return max((_count(table, name, set(wanted)) for name in names if name in table), default=0)


def _identifying(
    table: pd.DataFrame, roles: Mapping[str, str], given: str | None, wanted: set[str]
) -> dict[str, str]:
    """Return the column of the identifiers: the stated one, or that with most of the wanted."""
    if given is not None:
        return {"station": given}
    places = {roles.get("longitude"), roles.get("latitude")}
    usual = roles.get("station")
    columns = [str(name) for name in table.columns if name not in places]
    counts = {name: _count(table, name, wanted) for name in columns}
    if not counts or (usual is not None and counts.get(usual, 0) == max(counts.values())):
        return {}
    best = max(counts, key=lambda name: counts[name])
    return {"station": best} if counts[best] else {}


def _count(table: pd.DataFrame, column: str, wanted: set[str]) -> int:
    """Return how many of the wanted identifiers a column has."""
    values = table[column].drop_duplicates().map(identifier, na_action="ignore")
    return int(values.isin(wanted).sum())
