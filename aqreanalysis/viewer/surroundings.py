"""What orients the reader of a viewer: coasts, lakes, borders, states and cities as numbers."""

from typing import Any

import numpy as np

from aqreanalysis.maps.natural_earth import Layer, Region, cities, lines
from aqreanalysis.viewer.plane import Plane

#: Surroundings on each side of the map, as a share of it, that can be moved into view.
MARGIN = 0.5
#: Detail of lines, as a share of the width of the map: less than a pixel at eightfold zoom.
_DETAIL = 1 / 8000
#: States are drawn on maps up to this wide, as on printed ones.
_STATES_DEG = 100.0
_MOST_CITIES = 400
_METRES_PER_DEGREE = 111_195.0
#: Straight lines of degrees are curves in a plane, drawn in so many parts of the map's width.
_CURVES = 60
#: The latitude where Mercator's projection of the web ends.
NORTHERNMOST = 85.05

#: Layers with their rank, and the smallest line that is drawn, as a share of the map's width.
_KINDS: tuple[tuple[Layer, int | None, float], ...] = (
    ("state", 0, 0.0),
    ("lake", None, 0.012),
    ("coastline", None, 0.004),
    ("border", 0, 0.0),
    ("border", 1, 0.0),
)


def widened(region: Region) -> Region:
    """Return a region in degrees with its margin.

    Examples
    --------
    >>> widened((110.0, 120.0, 30.0, 40.0))
    (105.0, 125.0, 25.0, 45.0)
    """
    west, east, south, north = _widened_box(region)
    middle, half = (west + east) / 2, min((east - west) / 2, 180.0)
    return middle - half, middle + half, max(south, -NORTHERNMOST), min(north, NORTHERNMOST)


def surroundings(region: Region, plane: Plane | None = None) -> dict[str, Any]:
    """Return lines and cities around a region, in degrees, or of a plane in metres.

    Lines are lists of whole steps from point to point, eastwards and northwards in turn.
    """
    around = widened(region) if plane is None else _widened_box(region)
    window = around if plane is None else plane.window(around)
    degree = 1.0 if plane is None else _METRES_PER_DEGREE
    width = (region[1] - region[0]) / degree
    step = float(f"{_DETAIL * width * degree:.1g}")
    drawn: dict[str, list[list[int]]] = {}
    for layer, rank, smallest in _KINDS:
        if layer == "state" and width > _STATES_DEG:
            continue
        clipped = lines(
            layer,
            window,
            rank=rank,
            tolerance_deg=2 * step / degree,
            smallest_deg=smallest * width,
            longest_deg=None if plane is None else width / _CURVES,
        )
        if plane is not None:
            clipped = [part for line in clipped for part in _within(line, around, plane)]
        name = "disputed" if (layer, rank) == ("border", 1) else layer
        drawn[name] = [_in_steps(line, step) for line in clipped]
    return {
        "step": step,
        "lines": drawn,
        "cities": _cities(window, around, plane),
        "around": around,
    }


def _widened_box(box: Region) -> Region:
    """Return left, right, bottom, top with their margin."""
    left, right, low, high = box
    wide, tall = MARGIN * (right - left), MARGIN * (high - low)
    return left - wide, right + wide, low - tall, high + tall


def _within(line: np.ndarray, box: Region, plane: Plane) -> list[np.ndarray]:
    """Return the parts of a line, (n, 2) degrees, that lie in a box of the plane, in metres."""
    x, y = plane.place(*line.T)
    inside = (box[0] <= x) & (x <= box[1]) & (box[2] <= y) & (y <= box[3])
    parts = np.split(np.stack([x, y], axis=1), np.flatnonzero(np.diff(inside)) + 1)
    first = bool(inside[0]) if inside.size else False
    return [
        part for number, part in enumerate(parts) if first == (number % 2 == 0) and len(part) > 1
    ]


def _cities(window: Region, around: Region, plane: Plane | None) -> list[list[Any]]:
    """Return names and places of the largest cities."""
    known = cities(window)
    if plane is None:
        return [[c.name, round(c.longitude, 3), round(c.latitude, 3)] for c in known[:_MOST_CITIES]]
    x, y = plane.place([c.longitude for c in known], [c.latitude for c in known])
    inside = (around[0] <= x) & (x <= around[1]) & (around[2] <= y) & (y <= around[3])
    places = zip(known, x, y, inside, strict=True)
    return [[c.name, round(a), round(b)] for c, a, b, seen in places if seen][:_MOST_CITIES]


def _in_steps(line: np.ndarray, step: float) -> list[int]:
    """Return a line, (n, 2), as whole steps: the first point, then differences."""
    whole = np.rint(line / step).astype(np.int64)
    return np.diff(whole, axis=0, prepend=np.zeros((1, 2), np.int64)).ravel().tolist()
