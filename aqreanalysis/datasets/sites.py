"""Positions of the towns and the stations of the synthetic network: on land, clustered or rural."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aqreanalysis.datasets.plumes import Towns
from aqreanalysis.datasets.weather import plane_km
from aqreanalysis.network import great_circle_km

#: West, east, south, north of the synthetic region: the plain west of the Bohai Sea, degrees.
REGION = (115.2, 119.2, 37.6, 40.8)

#: Degrees around the region in which there are towns too, so that plumes come in from outside.
SURROUNDINGS = 0.8

# The shore of the Bohai Sea a few kilometres inland, from Laizhou Bay to Qinhuangdao, read off a
# map by eye; then round by the west. Towns and stations lie inside.
_LAND = (
    *((120.4, 37.2), (119.7, 37.05), (119.0, 37.15), (118.8, 37.7), (118.5, 38.0)),
    *((118.1, 38.05), (117.7, 38.3), (117.45, 38.6), (117.5, 39.0), (117.75, 39.3)),
    *((118.2, 39.25), (118.6, 39.2), (118.95, 39.3), (119.2, 39.5), (119.45, 39.95)),
    *((120.4, 40.3), (120.4, 42.0), (114.0, 42.0), (114.0, 36.4), (120.4, 36.4)),
)


@dataclass(frozen=True)
class Sites:
    """Positions of stations in degrees, (sites,) each.

    The name is "Town 3" for a station in the third largest town, "Rural" for others.
    """

    longitude: NDArray
    latitude: NDArray
    name: NDArray


def make_towns(*, count: int, emission_t_per_hour: float, seed: int) -> Towns:
    """Towns of a seed, the largest first, in the region and its surroundings.

    The size of a town falls with its rank as 1 / rank**0.7, somewhat slower than Zipf's law; its
    radius grows with the square root of its size, from 6 km. The three largest lie well inside
    the region, 90 km apart where there is room; no two towns are nearer than about 25 km.
    """
    rng = np.random.default_rng([seed, 3])
    west, east, south, north = REGION
    inner = (west + 0.6, east - 0.6, south + 0.5, north - 0.5)
    outer = (west - SURROUNDINGS, east + SURROUNDINGS, south - SURROUNDINGS, north + SURROUNDINGS)
    large = _scatter(rng, inner, 3, apart_km=90.0)
    places = _scatter(rng, outer, count, apart_km=25.0, existing=large)
    size = _size(np.arange(count))
    east_km, north_km = plane_km(places[:, 0], places[:, 1], origin())
    return Towns(
        longitude=places[:, 0],
        latitude=places[:, 1],
        east_km=east_km,
        north_km=north_km,
        radius_km=6.0 + 6.0 * np.sqrt(size),
        emission_t_per_hour=emission_t_per_hour * size / size.sum(),
    )


def make_sites(towns: Towns, *, count: int, urban_share: float, seed: int) -> Sites:
    """Positions of stations: a share in the towns of the region, the others over the land.

    A town has stations in proportion to its size, around its centre and 1 km apart or more;
    rural stations are 20 km apart or more. Where there is no room, both distances shrink.
    """
    rng = np.random.default_rng([seed, 4])
    urban = round(count * urban_share)
    inside = np.flatnonzero(_in_region(towns.longitude, towns.latitude, margin=0.15))
    chance = _size(inside)
    town = inside[np.sort(rng.choice(inside.size, urban, p=chance / chance.sum()))]
    city = _around(rng, towns, town)
    west, east, south, north = REGION
    country = _scatter(
        rng, (west + 0.1, east - 0.1, south + 0.1, north - 0.1), count, apart_km=20.0, existing=city
    )
    names = [*(f"Town {rank + 1}" for rank in town), *(["Rural"] * (count - urban))]
    return Sites(country[:, 0], country[:, 1], np.array(names))


def origin() -> tuple[float, float]:
    """Longitude and latitude of the middle of the region."""
    west, east, south, north = REGION
    return (west + east) / 2, (south + north) / 2


def on_land(longitude: NDArray, latitude: NDArray) -> NDArray:
    """Whether positions are on land, by the coarse shore of this region."""
    import shapely

    return shapely.contains_xy(shapely.Polygon(_LAND), longitude, latitude)


def _size(row: NDArray) -> NDArray:
    """Return the relative size of a town by its row, the largest being 0."""
    return (row + 1.0) ** -0.7


def _in_region(longitude: NDArray, latitude: NDArray, *, margin: float) -> NDArray:
    """Return whether places are in the region, so many degrees from its edges."""
    west, east, south, north = REGION
    return (
        (longitude > west + margin)
        & (longitude < east - margin)
        & (latitude > south + margin)
        & (latitude < north - margin)
    )


def _scatter(
    rng: np.random.Generator,
    box: tuple[float, float, float, float],
    count: int,
    *,
    apart_km: float,
    existing: NDArray | None = None,
) -> NDArray:
    """Return positions on land in a box, (count, 2), existing ones first, at least so far apart.

    Where no room is left, the distance shrinks.
    """
    places = np.empty((0, 2)) if existing is None else existing
    while len(places) < count:
        west, east, south, north = box
        tries = rng.uniform((west, south), (east, north), (200, 2))
        tries = tries[on_land(tries[:, 0], tries[:, 1])]
        for place in tries:
            if len(places) < count and _is_apart(place, places, apart_km):
                places = np.vstack([places, place])
        apart_km *= 0.95
    return places


def _around(rng: np.random.Generator, towns: Towns, town: NDArray) -> NDArray:
    """Return a place in each of the towns named by their row, (n, 2), at least 1 km apart."""
    places = np.empty((0, 2))
    for row in town:
        apart_km = 1.0
        while True:
            offset_km = rng.normal(0, 0.8 * towns.radius_km[row], 2)
            north = towns.latitude[row] + offset_km[1] / 111.2
            east = towns.longitude[row] + offset_km[0] / (111.2 * np.cos(np.radians(north)))
            inside = on_land(east, north) and _in_region(east, north, margin=0.1)
            if inside and _is_apart(np.array([east, north]), places, apart_km):
                break
            apart_km *= 0.98
        places = np.vstack([places, [east, north]])
    return places


def _is_apart(place: NDArray, places: NDArray, apart_km: float) -> bool:
    """Return whether a place is that far from all of the others."""
    distance = great_circle_km(place[0], place[1], places[:, 0], places[:, 1])
    return bool((distance >= apart_km).all())
