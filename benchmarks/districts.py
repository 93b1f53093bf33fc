"""``python -m benchmarks districts``: means over districts beside the truth, which is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from aqreanalysis import synthetic_network
from aqreanalysis.conventions import DRAW, TIME, ZONE
from aqreanalysis.datasets.synthetic import SyntheticNetwork
from aqreanalysis.derived import aggregate, zone_means
from aqreanalysis.derived.aggregate import Period
from aqreanalysis.methods import Method
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from benchmarks.measuring import learned_covariance
from benchmarks.tables import markdown

if TYPE_CHECKING:
    import geopandas
    from matplotlib.figure import Figure

VARIABLE = "pm25"
#: Edges of the districts in degrees, three by three: some 90 km each way.
EAST, NORTH = (115.6, 116.6, 117.6, 118.6), (37.9, 38.7, 39.5, 40.3)
#: Hours of a network, side of a cell in degrees, and draws.
HOURS, CELL, DRAWS = 720, 0.1, 50
#: Averages that are scored; None is an hour.
PERIODS: tuple[Period | None, ...] = (None, "day", "month")
METHODS = ("kriging", "learned")
#: Share of the stations that stand in towns: anywhere, as the area does, and the usual one.
URBAN_SHARES = (0.0, 0.6)
HEAD = [
    *("mean of", "number", "RMSE", "bias", "sd", "stated"),
    *("90 % holds", "as one", "independent"),
]
#: Hour of the picture.
PICTURED = 300
_Z90 = 1.645


def table(networks: int, *, method: str = METHODS[0], urban_share: float = URBAN_SHARES[0]) -> str:
    """Return what 90 % intervals of means over districts hold, from so many networks.

    Beside that of the draws, that of intervals from the hourly error of single cells, as if all
    cells and hours had the same error, and as if none had anything in common.
    """
    scored: dict[str, list[np.ndarray]] = {}
    for seed in range(1, networks + 1):
        for name, values in _of_network(seed, method, urban_share):
            scored.setdefault(name, []).append(values)
    rows = [HEAD]
    for name, parts in scored.items():
        truth, mean, low, high, independent, as_one = np.concatenate(parts, axis=1)
        error = mean - truth
        stated = np.sqrt(np.mean(((high - low) / (2 * _Z90)) ** 2))
        coverage = [
            (low <= truth) & (truth <= high),
            *(np.abs(error) <= _Z90 * naive for naive in (as_one, independent)),
        ]
        scores = [np.sqrt(np.mean(error**2)), error.mean(), error.std(), stated]
        rows.append(
            [
                name,
                str(truth.size),
                *(f"{score:.2f}" for score in scores),
                *(f"{each.mean():.3f}" for each in coverage),
            ]
        )
    return markdown(rows)


def districts() -> "geopandas.GeoDataFrame":
    """Return the districts."""
    import geopandas
    import shapely

    boxes = [
        shapely.box(EAST[x], NORTH[y], EAST[x + 1], NORTH[y + 1])
        for y in range(len(NORTH) - 1)
        for x in range(len(EAST) - 1)
    ]
    names = [f"district {number}" for number in range(len(boxes))]
    return geopandas.GeoDataFrame({"name": names}, geometry=boxes, crs="EPSG:4326")


def _method(name: str) -> Method:
    """Return a method that is not fitted."""
    return OrdinaryKriging() if name == "kriging" else learned_covariance()


def _product(network: SyntheticNetwork, method: str, draws: int = DRAWS) -> xr.Dataset:
    """Return the field of a network with draws of the air."""
    estimator = _method(method).fit(network.observations, VARIABLE)
    return network.observations.aqnet.reanalyse(
        VARIABLE, grid=network.grid, method=estimator, draws=draws, draws_of="air", progress=False
    ).compute()


def _of_network(seed: int, method: str, urban_share: float) -> Iterator[tuple[str, np.ndarray]]:
    """Yield truth, mean, ends of the interval, and errors of naive intervals, (6, n), by period."""
    network = synthetic_network(hours=HOURS, resolution=CELL, seed=seed, urban_share=urban_share)
    product = _product(network, method)
    truth = product[[VARIABLE]].copy(data={VARIABLE: network.truth[VARIABLE].values})
    truth[VARIABLE].attrs["statistic"] = "mean"
    zones = districts()
    true_hours, hours = (zone_means(each, zones) for each in (truth, product))
    errors = product[[f"{VARIABLE}_uncertainty"]].rename({f"{VARIABLE}_uncertainty": VARIABLE})
    errors[VARIABLE].attrs = {"statistic": "mean", "units": "ug m-3"}
    cells = np.diff(EAST)[0] * np.diff(NORTH)[0] / CELL**2
    usual = zone_means(errors, zones)
    for period in PERIODS:
        if period is None:
            true, made, each = true_hours, hours, usual
        else:
            true = aggregate(true_hours, period, capture=0.5)
            made = zone_means(product, zones, period=period, capture=0.5)
            each = aggregate(usual, period, capture=0.5)
        values = [true[VARIABLE], made[VARIABLE], made[f"{VARIABLE}_q05"], made[f"{VARIABLE}_q95"]]
        steps = 1 if period is None else true_hours.sizes[TIME] / true.sizes[TIME]
        values += [each[VARIABLE] / np.sqrt(cells * steps), each[VARIABLE]]
        stacked = np.stack([value.transpose(ZONE, TIME).values.ravel() for value in values])
        yield period or "hour", stacked[:, np.isfinite(stacked).all(axis=0)]


def draw(folder: Path, seed: int = 1) -> Path:
    """Return the path of a picture of an hour: the truth, the median and four draws."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figure = picture(seed)
    path = folder / "draws.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def picture(seed: int) -> "Figure":
    """Return maps of an hour: the truth, the median and four draws, and the stations."""
    import matplotlib.pyplot as plt

    network = synthetic_network(hours=HOURS, resolution=0.05, seed=seed)
    product = _product(network, "kriging", draws=4).isel({TIME: PICTURED})
    truth = network.truth[VARIABLE].isel({TIME: PICTURED})
    observed = network.observations[VARIABLE].isel({TIME: PICTURED})
    panels = {"truth": truth, "median": product[VARIABLE]}
    panels |= {
        f"draw {number}": product[f"{VARIABLE}_draws"].sel({DRAW: number}) for number in range(4)
    }
    highest = float(max(panel.max() for panel in panels.values()))
    figure, axes = plt.subplots(
        2, 3, figsize=(11, 6.4), layout="constrained", sharex=True, sharey=True
    )
    for axis, (name, panel) in zip(axes.T.ravel(), panels.items(), strict=True):
        drawn = axis.pcolormesh(panel.lon, panel.lat, panel, vmin=0, vmax=highest, cmap="viridis")
        axis.scatter(
            observed.longitude, observed.latitude, c=observed, vmin=0, vmax=highest, s=22,
            edgecolors="white", linewidths=0.7,
        )  # fmt: skip
        axis.set_title(name)
        axis.set_aspect(1 / np.cos(np.radians(39)))
    for axis in axes[-1]:
        axis.set_xlabel("longitude, °E")
    for axis in axes[:, 0]:
        axis.set_ylabel("latitude, °N")
    figure.colorbar(drawn, ax=axes, label="PM2.5, ug m-3", shrink=0.8)
    stamp = np.datetime_as_string(truth[TIME].values, unit="m")
    figure.suptitle(f"Four draws of the air, synthetic network, {stamp} UTC; dots: measured")
    return figure
