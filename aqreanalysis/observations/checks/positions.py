"""Positions of stations: one each, checked, on WGS84, longitude in [-180, 180)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aqreanalysis.conventions import counted
from aqreanalysis.network import MOVED_KM, StationNetwork, great_circle_km
from aqreanalysis.observations.checks import Codes, Floats, Mask, Names
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.variables import listed

#: A station may be this far from all others, km: Bermuda and the Azores are no fault.
_REMOTE_KM = 2000.0
#: A position that another reading brings among the others is wrong if it is this far off, km,
#: and that much nearer by the other reading.
_MISREAD_KM, _MISREAD_TIMES = 300.0, 10.0

_METRES_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6371.0088 km


@dataclass(frozen=True)
class Positions:
    """Positions (station,) in degrees on WGS84, longitude in [-180, 180); altitude in metres.

    Beside them what stations are called, and of which types they are; "" where that is missing.
    """

    longitude: Floats
    latitude: Floats
    altitude: Floats | None = None
    name: Names | None = None
    sensor_type: Names | None = None
    station_type: Names | None = None
    area_type: Names | None = None

    def at(self, rows: Codes) -> "Positions":
        """Return the positions of some of the stations, or of all in another order."""
        return replace(self, **{name: v[rows] for name, v in self.coordinates().items()})

    def coordinates(self) -> dict[str, NDArray]:
        """Return the arrays that are known, by name."""
        return {name: values for name, values in vars(self).items() if values is not None}


def station_positions(
    station: Codes, longitude: Floats, latitude: Floats, *, identifiers: Names, journal: Journal
) -> Positions:
    """Return one position a station from the positions in the rows, in degrees, NaN where missing.

    Longitudes of 0 to 360 are wrapped. A station that moves by less than 100 m is put at the
    median of its positions, and this is logged; one that moves farther is a fault. ``station`` is
    the row's station as an index of ``identifiers``; every station has at least one row.

    Examples
    --------
    >>> positions = station_positions(
    ...     np.array([0, 1, 0]), np.array([350.0, 10.0, 350.0]), np.array([50.0, 51.0, 50.0]),
    ...     identifiers=np.array(["A", "B"]), journal=Journal("table"),
    ... )
    >>> positions.longitude, positions.latitude
    (array([-10.,  10.]), array([50., 51.]))
    """
    if not _in_range(station, longitude, latitude, identifiers=identifiers, journal=journal):
        nowhere = np.full(len(identifiers), np.nan)
        return Positions(nowhere, nowhere.copy())
    east = longitude >= 180.0
    if east.any():
        journal.decide(
            f"longitudes of 180 to 360 degrees wrapped to -180 to 180 ({int(east.sum())} rows; "
            f"for example station {identifiers[station[np.argmax(east)]]})"
        )
    located = ~(np.isnan(longitude) | np.isnan(latitude))
    first = first_rows(station, len(identifiers), where=located)
    missing = first < 0
    if missing.any():
        journal.fault(
            f"station {identifiers[missing][0]} has no longitude and latitude "
            f"({int(missing.sum())} such stations: {listed(identifiers[missing])}). Pass "
            "stations=..., or leave them out with skip_unplaced=True"
        )
    centre_x, centre_y = longitude[first], latitude[first]
    offset_x = wrapped(longitude - centre_x[station])
    offset_y = latitude - centre_y[station]
    if (np.abs(offset_x) + np.abs(offset_y) > 0.0).any():
        offsets = pd.DataFrame({"x": offset_x, "y": offset_y})
        _check_moves(station, offsets, centre_x, centre_y, identifiers, journal)
        median = offsets.groupby(station).median().reindex(range(len(identifiers)))
        centre_x, centre_y = centre_x + median["x"].to_numpy(), centre_y + median["y"].to_numpy()
    return Positions(wrapped(centre_x), centre_y)


def wrapped(longitude: Floats) -> Floats:
    """Return longitudes in [-180, 180), unchanged to the bit where they already are.

    Examples
    --------
    >>> wrapped(np.array([116.4, 180.0, 350.0, -190.0]))
    array([ 116.4, -180. ,  -10. ,  170. ])
    """
    outside = (longitude < -180.0) | (longitude >= 180.0)
    return np.where(outside, (longitude + 180.0) % 360.0 - 180.0, longitude)


def first_rows(codes: Codes, count: int, *, where: Mask | None = None) -> Codes:
    """Return the first row of each of ``count`` codes, -1 for a code without a row.

    Examples
    --------
    >>> first_rows(np.array([1, 0, 1]), 3)
    array([ 1,  0, -1])
    """
    rows = (np.arange(codes.size) if where is None else np.flatnonzero(where))[::-1]
    first = np.full(count, -1, dtype=np.intp)
    first[codes[rows]] = rows  # of repeated indices the last assignment holds
    return first


@dataclass(frozen=True)
class Misplaced:
    """A station, by row, whose position is probably wrong; one that is only remote may be there.

    The reason is the end of a sentence that begins with the station.
    """

    row: int
    reason: str
    is_certain: bool


def misplaced(longitude: Floats, latitude: Floats) -> Iterator[Misplaced]:
    """Yield stations at the placeholder 0, 0, misread ones, and those far from all others.

    Misread is a position that lies far from others, and among them with latitude and longitude
    swapped or with a sign turned. It is certain where fewer than half of the stations lie there.

    Examples
    --------
    >>> found = misplaced(np.array([50.9, 7.1, 7.2]), np.array([6.9, 51.2, 51.3]))
    >>> [(one.row, one.reason) for one in found]
    [(0, 'is 6354 km from the others, and 36.2 km with latitude and longitude swapped')]
    """
    if longitude.size < 2:
        return
    network = StationNetwork(longitude, latitude)
    away = network.station_neighbours(k=1).distance_km[:, 0]
    nowhere = (longitude == 0.0) & (latitude == 0.0)
    limit = float(np.clip(5 * np.median(away), _MISREAD_KM, _REMOTE_KM))
    cluster = _clusters(network, limit)
    sizes = np.bincount(cluster)[cluster]
    for row in np.flatnonzero(nowhere | (2 * sizes <= longitude.size)):
        x, y = float(longitude[row]), float(latitude[row])
        distance = great_circle_km(x, y, longitude, latitude)
        rest = ~nowhere & (np.arange(longitude.size) != row)
        own = float(distance[rest].min(initial=np.inf))
        if nowhere[row] and limit < own < np.inf:
            yield Misplaced(int(row), f"is at 0, 0 and {own:.0f} km from all others", True)
            continue
        others = rest & (cluster != cluster[row])
        apart = float(distance[others].min(initial=np.inf))
        near, words = np.inf, ""
        if limit < apart < np.inf:
            near, words = _best_reading(x, y, longitude[others], latitude[others], apart)
        if near < min(limit, apart / _MISREAD_TIMES):
            reason = f"is {apart:.0f} km from the others, and {near:.3g} km with {words}"
            yield Misplaced(int(row), reason, 2 * int(sizes[row]) < longitude.size)
        elif _REMOTE_KM < own < np.inf:
            yield Misplaced(int(row), f"is {own:.0f} km from all others", False)


def _clusters(network: StationNetwork, within_km: float) -> Codes:
    """Return a number for each station; those that hang together by neighbours share one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    near = network.nearest_others(k=8)
    close = (near.distance_km < within_km) & (near.index >= 0)
    rows, columns = np.nonzero(close)[0], near.index[close]
    shape = (network.size, network.size)
    graph = coo_matrix((np.ones(rows.size), (rows, columns)), shape=shape)
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)


def _best_reading(x: float, y: float, lon: Floats, lat: Floats, own: float) -> tuple[float, str]:
    """Return how near to others a position is by another reading, in km, and which.

    Only of a position that is farther off than the others are wide. A sign is turned only where
    nearly all others have the other one: the Azores are not Turkey.
    """
    readings = {
        "latitude and longitude swapped": (y, x, abs(x) <= 90.0),
        "the sign of its longitude turned": (-x, y, np.mean(lon * x < 0) > 0.95),
        "the sign of its latitude turned": (x, -y, np.mean(lat * y < 0) > 0.95),
    }
    best = np.inf, ""
    for words, (other_x, other_y, is_possible) in readings.items():
        distance = great_circle_km(other_x, other_y, lon, lat)
        if is_possible and own > np.median(distance):
            best = min(best, (float(distance.min()), words))
    return best


def to_wgs84(
    positions: Positions, datum: Sequence[str], *, identifiers: Names, journal: Journal
) -> Positions:
    """Return positions on WGS84 from those on a datum each: "WGS84", "NAD83", "NAD27" or other.

    NAD27 is transformed by PROJ with what is installed, never by a download. NAD83 differs from
    WGS84 by less than 2 m and is taken for it. A datum that is unknown is taken for WGS84 too:
    if it was NAD27, the position is wrong by up to about 100 m (200 m in Alaska).
    """
    words = np.array([word.strip().upper() for word in datum])
    old, similar = words == "NAD27", words == "NAD83"
    other = ~old & ~similar & (words != "WGS84")
    if similar.any():
        journal.decide(
            f"{counted(similar.sum(), 'station')} on NAD83 taken for WGS84 (less than 2 m off)"
        )
    if other.any():
        journal.warn(
            f"{counted(other.sum(), 'station')} on datum {str(words[other][0])!r} taken for WGS84 "
            f"(up to about 100 m off if it was NAD27); for example station {identifiers[other][0]}"
        )
    if not old.any():
        return positions
    from pyproj import Transformer

    longitude, latitude = positions.longitude.copy(), positions.latitude.copy()
    transformer = Transformer.from_crs("EPSG:4267", "EPSG:4326", always_xy=True)
    longitude[old], latitude[old] = transformer.transform(longitude[old], latitude[old])
    metres = length_m(
        longitude - positions.longitude, latitude - positions.latitude, positions.latitude
    )
    journal.decide(
        f"{counted(old.sum(), 'station')} on NAD27 transformed to WGS84, by up to "
        f"{metres.max():.0f} m; for example station {identifiers[old][0]}"
    )
    return replace(positions, longitude=wrapped(longitude), latitude=latitude)


def _in_range(
    station: Codes, longitude: Floats, latitude: Floats, *, identifiers: Names, journal: Journal
) -> bool:
    """Return whether all degrees are possible, and collect the faults of those that are not."""
    beyond = np.abs(latitude) > 90.0
    would_fit = bool((np.abs(longitude[~np.isnan(longitude)]) <= 90.0).all())
    if beyond.mean() > 0.5 and would_fit and np.nanmax(np.abs(latitude)) <= 360.0:
        row = int(np.argmax(beyond))
        journal.fault(
            "the columns of longitude and latitude look swapped: station "
            f"{identifiers[station[row]]} has longitude {longitude[row]:g}, "
            f"latitude {latitude[row]:g}. Name them with "
            "columns={'longitude': ..., 'latitude': ...}"
        )
        return False
    far = (longitude < -180.0) | (longitude > 360.0) | np.isinf(longitude)
    for wrong, degrees, words in (
        (beyond, latitude, "latitude must be between -90 and 90"),
        (far, longitude, "longitude must be between -180 and 360"),
    ):
        if wrong.any():
            stations = np.unique(station[wrong])
            row = int(np.argmax(wrong))
            metres = abs(degrees[row]) > 1000.0
            remedy = ". If positions are in metres, say crs='EPSG:3857' or theirs" if metres else ""
            journal.fault(
                f"{words}; station {identifiers[station[row]]} has {degrees[row]:g} "
                f"({stations.size} such stations){remedy}"
            )
    return not (beyond.any() or far.any())


def _check_moves(
    station: Codes,
    offsets: pd.DataFrame,
    longitude: Floats,
    latitude: Floats,
    identifiers: Names,
    journal: Journal,
) -> None:
    """Collect a fault for stations that move far, and log those that move a little."""
    x, y = offsets["x"].to_numpy(), offsets["y"].to_numpy()
    metres = np.nan_to_num(length_m(x, y, latitude[station]))
    far = metres >= 1000 * MOVED_KM
    if far.any():
        row = int(np.argmax(far))
        home = station[row]
        kilometres = metres[row] / 1000.0
        journal.fault(
            f"station {identifiers[home]} moves: it is at longitude {longitude[home]:g}, latitude "
            f"{latitude[home]:g} and also at {longitude[home] + x[row]:g}, "
            f"{latitude[home] + y[row]:g}, {kilometres:.3g} km away "
            f"({np.unique(station[far]).size} such stations). Give each place an identifier of "
            "its own with split_moved=True, or pass stations=..."
        )
        return
    moved = np.unique(station[metres > 0.0])
    if moved.size:
        journal.decide(
            f"{counted(moved.size, 'station')} moved by up to {metres.max():.2g} m, to the median "
            f"of all positions of each; for example station {identifiers[moved[0]]}"
        )


def length_m(east_deg: Floats, north_deg: Floats, latitude: Floats) -> Floats:
    """Return the length of small differences in degrees."""
    east = east_deg * np.cos(np.radians(latitude))
    return _METRES_PER_DEGREE * np.hypot(east, north_deg)
