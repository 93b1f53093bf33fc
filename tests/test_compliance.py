"""Compliance checkers of CF and ACDD have nothing to say of products of any kind but what is here.

What is left says something that is not so of these files; `docs/other-programs.md` has the reasons.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
import xarray as xr
from product_cases import checked, everything, quick_model

import aqreanalysis as aqr
from aqreanalysis.outlook import Outlook
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.product import with_metadata, write_netcdf

#: CF has no name for a distance to stations.
DISTANCE = "distance_to_nearest_station has no standard_name"
#: The label of a period is not its end, and the checker allows for an hour between the two.
LONG = "Date time mismatch between time_coverage_end and actual time values"
#: A polygon has nodes of its own, and a layer has polygons; the checker asks a layer for nodes.
NODES = "does not include geometry dimension 'node'"
#: They have the same dimension; the checker asks for one part alone.
RINGS = "part_node_count must have the same single dimension as interior ring variable"
FIRST, LAST = "2020-11-06", "2020-11-07"


@cache
def observations() -> xr.Dataset:
    """Return a week of 16 stations."""
    return aqr.synthetic_network(stations=16, hours=168, seed=0).observations


def estimated(variable: Any = "pm25", **options: Any) -> xr.Dataset:
    options = {"method": "idw", "progress": False, "metadata": everything()} | options
    return observations().aqnet.reanalyse(variable, **options)


@cache
def drawn(at: bool = False) -> xr.Dataset:
    """Return a product with draws and quantiles, on a grid or at stations."""
    target: dict = {"at": observations()} if at else {"grid": 0.5}
    return estimated(method="kriging", draws=4, quantiles=(0.05, 0.95), **target)


@cache
def quick() -> Any:
    return quick_model(observations())


@cache
def persistence() -> Outlook:
    sizes = OutlookConfiguration(history=72, leads=24)
    before = observations().sel(time=slice(None, "2020-11-05T23"))
    model = Outlook("persistence", configuration=sizes, progress=False, between=quick())
    return model.fit(before, "pm25")


@cache
def outlooks(**options: Any) -> xr.Dataset:
    usual = {"method": persistence(), "metadata": everything()}
    return observations().aqnet.outlook("24h", **usual, **options)


def several(**options: Any) -> xr.Dataset:
    return estimated(["pm25", "no2"], **options)


def of_period(period: str, product: Callable[[], xr.Dataset] = drawn, **options: Any) -> xr.Dataset:
    return product().aqnet.aggregate(period, capture=0.001, **options)


def curvilinear() -> xr.Dataset:
    x, y = np.meshgrid(np.linspace(115, 117, 6), np.linspace(39, 40, 5))
    places = {"lon": (x + 0.1 * y, "degrees_east"), "lat": (y, "degrees_north")}
    cells = {name: (("y", "x"), each, {"units": units}) for name, (each, units) in places.items()}
    return estimated(like=xr.Dataset({"a": (("y", "x"), x)}, coords=cells))


def polar() -> xr.Dataset:
    angles = np.arange(observations().sizes["station"])
    north = observations().assign_coords(
        longitude=("station", angles * 2.0 - 60), latitude=("station", 75 + 5 * np.cos(angles))
    )
    options: dict = {"crs": "EPSG:3413", "grid": 200_000, "method": "idw"}
    return north.aqnet.reanalyse("pm25", metadata=everything(), **options)


@cache
def filled() -> xr.Dataset:
    return with_metadata(observations().aqnet.fill("pm25", method=quick()), everything())


def zones(*, hole: bool = True, **options: Any) -> xr.Dataset:
    ring = shapely.box(115.4, 38.6, 116 if not hole else 118, 40)
    ring = ring.difference(shapely.box(116.5, 39, 117, 39.5))
    two = geopandas.GeoDataFrame(
        {"name": ["A", "B"]}, geometry=[ring, shapely.box(116.5, 39, 117, 39.5)], crs=4326
    )
    return drawn().aqnet.zones(two, name="name", **options)


def nameless(*layers: str) -> list[str]:
    return [f"{layer} has no standard_name" for layer in layers]


def counted(layer: str) -> list[str]:
    return nameless(layer, *(f"{layer}_{role}" for role in ("uncertainty", "q05", "q50", "q95")))


#: What is left of each kind, of CF first.
KINDS: dict[str, tuple[Callable[[], xr.Dataset], list[str], list[str]]] = {
    "grid": (lambda: estimated(grid=0.5), [], [DISTANCE]),
    "mean": (lambda: estimated(grid=0.5, statistic="mean"), [], [DISTANCE]),
    "clipped": (
        lambda: estimated(grid=0.2, clip=shapely.box(115.6, 38.8, 116.5, 39.6)),
        [],
        [DISTANCE],
    ),
    "projected": (lambda: estimated(grid=50_000, crs="EPSG:32650"), [], [DISTANCE]),
    "polar": (polar, [], [DISTANCE]),
    "curvilinear": (curvilinear, [], [DISTANCE]),
    "stations": (lambda: estimated(at=observations()), [], [DISTANCE]),
    "one place": (lambda: estimated(at=observations().isel(station=[0])), [], [DISTANCE]),
    "draws": (drawn, [], [DISTANCE]),
    "draws at stations": (lambda: drawn(at=True), [], [DISTANCE]),
    "several": (lambda: several(grid=0.5), [], nameless("pm25_distance", "no2_distance")),
    "several at stations": (
        lambda: several(at=observations()),
        [],
        nameless("pm25_distance", "no2_distance"),
    ),
    "filled": (filled, [], []),
    "outlook": (outlooks, [], [DISTANCE]),
    "outlook of a grid": (lambda: outlooks(grid=0.5), [], [DISTANCE]),
    "set": (lambda: outlooks(start=(FIRST, LAST)), [], [DISTANCE, LONG]),
    "set of grids": (lambda: outlooks(grid=0.5, start=(FIRST, LAST)), [], [DISTANCE, LONG]),
    "set of days": (
        lambda: of_period("day", lambda: outlooks(start=(FIRST, LAST))),
        [],
        [DISTANCE, LONG],
    ),
    "days": (lambda: of_period("day"), [], [DISTANCE, LONG]),
    "local days": (lambda: of_period("day", time_zone="Asia/Shanghai"), [], [DISTANCE, LONG]),
    "maxima": (lambda: of_period("day", statistic="max"), [], [DISTANCE, LONG]),
    "mda8": (lambda: of_period("day", statistic="mda8"), [], [DISTANCE, LONG]),
    "months": (lambda: of_period("month"), [], [DISTANCE, LONG]),
    "percentiles": (lambda: of_period("month", statistic="p98"), [], [DISTANCE, LONG]),
    "hours above": (
        lambda: of_period("day", statistic="hours_above", limit=35.0),
        [],
        [DISTANCE, LONG, *counted("pm25_hours_above_35")],
    ),
    "days above": (
        lambda: of_period("month", statistic="days_above", limit=35.0),
        [],
        [DISTANCE, LONG, *counted("pm25_days_above_35")],
    ),
    "days of stations": (lambda: of_period("day", lambda: drawn(at=True)), [], [DISTANCE, LONG]),
    "filled days": (lambda: of_period("day", filled), [], [LONG]),
    "probabilities": (
        lambda: drawn().aqnet.exceedance([35.0, 75.0]),
        [],
        [DISTANCE, *nameless("pm25_above_35", "pm25_above_75")],
    ),
    "zones": (
        zones,
        [RINGS] + [NODES] * 6,
        nameless("node_count", "part_node_count"),
    ),
    "zones without holes": (lambda: zones(hole=False), [NODES] * 6, nameless("node_count")),
    "zones of days": (
        lambda: zones(period="day"),
        [RINGS] + [NODES] * 6,
        [LONG, *nameless("node_count", "part_node_count")],
    ),
}
for index, layers in {
    "us_epa": ["index", "pm25_index", "index_category_probability"],
    "china": ["index", "pm25_index", "index_category_probability"],
    "europe": ["index_category_probability"],
    "germany": ["index_category_probability"],
}.items():
    KINDS[f"index {index}"] = (
        lambda index=index: drawn().aqnet.index(index),
        [],
        [DISTANCE, *nameless(*layers)],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_checkers_say_nothing_more_of_a_product(kind: str, tmp_path: Path) -> None:
    make, cf, acdd = KINDS[kind]
    path = write_netcdf(make(), tmp_path / "product.nc", progress=False)
    for name, left in (("cf:1.11", cf), ("acdd:1.3", acdd)):
        said = [text for _, text in checked(path, name)]
        # "part_node_count has no ..." has "node_count has no ..." in it.
        known = [
            max((text for text in left if text in each), key=len, default=each) for each in said
        ]
        assert sorted(known) == sorted(left)


def test_the_reasons_of_what_is_left_are_on_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "other-programs.md").read_text()
    for text in (LONG, NODES, RINGS, "has no standard_name"):
        assert text in page, text
