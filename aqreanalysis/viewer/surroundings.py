"""What orients the reader of a viewer: coasts, lakes, borders, states and cities as numbers."""

from typing import Any

import numpy as np

from aqreanalysis.maps.natural_earth import Layer, Region, cities, lines

#: Surroundings on each side of the map, as a share of it, that can be moved into view.
MARGIN = 0.5
#: Detail of lines, as a share of the width of the map: less than a pixel at eightfold zoom.
_DETAIL = 1 / 8000
#: States are drawn on maps up to this wide, as on printed ones.
_STATES_DEG = 100.0
_MOST_CITIES = 400
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
    """Return a region with its margin.

    Examples
    --------
    >>> widened((110.0, 120.0, 30.0, 40.0))
    (105.0, 125.0, 25.0, 45.0)
    """
    west, east, south, north = region
    wide, high = MARGIN * (east - west), MARGIN * (north - south)
    middle, half = (west + east) / 2, min((east - west) / 2 + wide, 180.0)
    return (
        middle - half,
        middle + half,
        max(south - high, -NORTHERNMOST),
        min(north + high, NORTHERNMOST),
    )


def surroundings(region: Region) -> dict[str, Any]:
    """Return lines and cities around a region, in degrees.

    Lines are lists of whole steps from point to point, longitude and latitude in turn.
    """
    around = widened(region)
    width = region[1] - region[0]
    step = float(f"{_DETAIL * width:.1g}")
    drawn: dict[str, list[list[int]]] = {}
    for layer, rank, smallest in _KINDS:
        if layer == "state" and width > _STATES_DEG:
            continue
        clipped = lines(
            layer, around, rank=rank, tolerance_deg=2 * step, smallest_deg=smallest * width
        )
        name = "disputed" if (layer, rank) == ("border", 1) else layer
        drawn[name] = [_in_steps(line, step) for line in clipped]
    places = [
        [city.name, round(city.longitude, 3), round(city.latitude, 3)]
        for city in cities(around)[:_MOST_CITIES]
    ]
    return {"step": step, "lines": drawn, "cities": places, "around": around}


def _in_steps(line: np.ndarray, step: float) -> list[int]:
    """Return a line, (n, 2) degrees, as whole steps: the first point, then differences."""
    whole = np.rint(line / step).astype(np.int64)
    return np.diff(whole, axis=0, prepend=np.zeros((1, 2), np.int64)).ravel().tolist()
