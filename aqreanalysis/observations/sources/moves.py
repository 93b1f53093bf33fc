"""Stations with several positions, or none, in the rows of a table."""

import numpy as np
import pandas as pd

from aqreanalysis.conventions import counted
from aqreanalysis.network import MOVED_KM
from aqreanalysis.observations.checks import Codes, Floats, Mask, Names
from aqreanalysis.observations.checks.positions import length_m, wrapped
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.sources.options import Reading
from aqreanalysis.observations.variables import listed


def moved(station: Codes, count: int, longitude: Floats, latitude: Floats) -> Mask:
    """Return the stations whose positions are 100 m and more apart."""
    frame = pd.DataFrame({"x": longitude, "y": latitude}).groupby(station)
    spread = (frame.max() - frame.min()).reindex(range(count)).fillna(0.0)
    wide = spread.to_numpy().max(axis=1) > 0.0
    for at in np.flatnonzero(wide):
        rows = (station == at) & np.isfinite(longitude) & np.isfinite(latitude)
        x, y = longitude[rows], latitude[rows]
        wide[at] = bool((length_m(wrapped(x - x[0]), y - y[0], y) >= 1000 * MOVED_KM).any())
    return wide


def split(
    station: Codes, identifiers: Names, longitude: Floats, latitude: Floats, journal: Journal
) -> tuple[Codes, Names]:
    """Return stations and identifiers with one identifier for each place of a moved station.

    Positions within 100 m of the first one of a place belong to it; rows without a position
    belong to their station's first place.
    """
    number = np.zeros(station.size, dtype=np.intp)
    for at in np.flatnonzero(moved(station, len(identifiers), longitude, latitude)):
        rows = np.flatnonzero((station == at) & np.isfinite(longitude) & np.isfinite(latitude))
        x, y = longitude[rows], latitude[rows]
        free, place = np.ones(rows.size, dtype=bool), 0
        while free.any():
            first = int(np.argmax(free))
            near = length_m(wrapped(x - x[first]), y - y[first], y) < 1000 * MOVED_KM
            number[rows[free & near]] = place
            free &= ~near
            place += 1
    if not number.any():
        return station, identifiers
    pairs, place_of_row = np.unique(
        np.stack([station, number], axis=1), axis=0, return_inverse=True
    )
    names = np.array(
        [f"{identifiers[at]} ({n + 1})" if n else str(identifiers[at]) for at, n in pairs],
        dtype=str,
    )
    journal.warn(
        f"stations that moved are told apart by their place: {listed(names[pairs[:, 1] > 0])}"
    )
    ordered, order = np.unique(names, return_inverse=True)
    return order[place_of_row.ravel()], ordered


def left_out(
    station: Codes,
    identifiers: Names,
    longitude: Floats,
    latitude: Floats,
    *,
    reading: Reading,
    journal: Journal,
) -> Mask:
    """Return the stations to leave out for their position: few of them, or where that is asked.

    These are stations without a position, with an impossible one, and those that move.
    """
    count = len(identifiers)
    impossible = (np.abs(latitude) > 90) | (longitude < -180) | (longitude > 360)
    impossible |= np.isinf(longitude)
    located = ~(np.isnan(longitude) | np.isnan(latitude))
    out = np.zeros(count, dtype=bool)
    unplaced = np.bincount(station[located], minlength=count) == 0
    wrong = np.bincount(station[impossible], minlength=count) > 0
    for which, words, asked in (
        (unplaced, "without a position", reading.skip_unplaced),
        (wrong, "with an impossible position", False),
    ):
        few = 0 < which.sum() <= journal.tolerance * count
        if which.any() and not which.all() and (few or asked):
            names = listed(identifiers[which])
            journal.warn(f"{counted(int(which.sum()), 'station')} {words} left out: {names}")
            out |= which
    usable = ~out[station] & ~impossible
    apart = np.zeros(count, dtype=bool)
    if usable.any():
        apart = moved(station[usable], count, longitude[usable], latitude[usable])
    if 0 < apart.sum() <= journal.tolerance * count:
        journal.warn(
            f"{counted(int(apart.sum()), 'station')} at places 100 m and more apart left out: "
            f"{listed(identifiers[apart])}; split_moved=True keeps them, a place each"
        )
        out |= apart
    return out
