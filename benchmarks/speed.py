"""``python -m benchmarks speed``: cell-hours a second, beside other packages, in one run."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

from aqreanalysis import Grid, open_observations
from aqreanalysis.methods import METHODS
from benchmarks.invented import REGION, network_of, stations_of

#: The case of the table: stations, hours, degrees of a cell.
STATIONS, HOURS, CELL = 116, 240, 0.1
#: Peers that take hours for the whole case are run on so many hours or cells of it.
VECTORISED_HOURS, CLOSEST_HOURS, CLOSEST_CELLS = 8, 1, 3000
NEIGHBOURS = 12
REPEATS = 5
#: Draws beside the field, and runs of these.
DRAWS, DRAWN_REPEATS = 50, 2
#: With all of its layers; and as it is where hidden stations do not prove the network, which is
#: nearly everywhere.
NEURAL = ("neural, all layers", "neural, covariance alone")


@dataclass(frozen=True)
class Timed:
    """What one method took on so many cell-hours, in the quickest of its runs."""

    name: str
    values: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Million cell-hours in a second, on as many cores as the method uses."""
        return self.values / self.wall_seconds / 1e6


def timed(name: str, values: int, work: Callable[[], Any], repeats: int = REPEATS) -> Timed:
    """Return the time of the quickest of some runs; only then it is that of the work alone."""
    times = []
    for _ in range(repeats):
        wall, cpu = perf_counter(), process_time()
        work()
        times.append((perf_counter() - wall, process_time() - cpu))
    wall, cpu = min(times)
    return Timed(name, values, wall, cpu)


def ours(hours: int = HOURS) -> Iterator[Timed]:
    """Yield the methods of this package: mean and standard error of every cell and hour."""
    grid = Grid(REGION, CELL)
    values = int(np.prod(grid.shape)) * hours
    for missing, what in ((0.07, "7 % missing"), (0.0, "none missing")):
        observations = stations_of(STATIONS, hours, missing=missing)
        for name in (*NEURAL, "kriging", "idw"):
            method: Any = (
                METHODS[name].make().fit(observations, "pm25") if name in METHODS else None
            )
            if method is None:
                method = network_of(observations, heads=name == NEURAL[0])
            work = partial(_computed, method, observations, grid)
            yield timed(f"{name}, {what}", values, partial(work, new=True))
            if name == NEURAL[1] and missing:
                yield timed(f"{name}, again, {what}", values, work)
                drawn = partial(_drawn, method, observations, grid)
                yield timed(f"{name}, and {DRAWS} draws, {what}", values, drawn, DRAWN_REPEATS)


def _computed(method: Any, observations: xr.Dataset, grid: Grid, *, new: bool = False) -> None:
    """Compute a field anew, in all threads that dask takes.

    A new method has not seen the grid before: a fitted one remembers the geometry of a grid.
    """
    (deepcopy(method) if new else method).predict(observations, grid).compute()


def _drawn(method: Any, observations: xr.Dataset, grid: Grid) -> None:
    """Compute a product with draws anew, block by block as it is written, and store nothing."""
    product = observations.aqnet.reanalyse(
        method=deepcopy(method), grid=grid, draws=DRAWS, quality="ignore"
    )
    layers = [layer.data for layer in product.data_vars.values() if layer.chunks]
    da.store(layers, [_Nowhere()] * len(layers), lock=False)  # type: ignore[list-item]


class _Nowhere:
    """Takes what is stored, and stores nothing."""

    def __setitem__(self, part: Any, values: np.ndarray) -> None:
        """Store nothing."""


def peers(hours: int = HOURS) -> Iterator[Timed]:
    """Yield what other packages take, each as far as it is installed; means alone, no gaps."""
    observations = stations_of(STATIONS, hours, missing=0.0)
    longitude, latitude = (axis.ravel() for axis in Grid(REGION, CELL).longitude_latitude())
    places = np.stack([observations["longitude"], observations["latitude"]], axis=1)
    series = observations["pm25"].values
    yield _sparse(places, series, longitude, latitude)
    try:
        yield _scikit_learn(places, series, longitude, latitude)
    except ImportError:
        print("scikit-learn is not installed: left out")
    try:
        yield from _pykrige(places, series, longitude, latitude)
    except ImportError:
        print("pykrige is not installed: left out")


def _sparse(
    places: np.ndarray, series: np.ndarray, longitude: np.ndarray, latitude: np.ndarray
) -> Timed:
    """Return the time of inverse distance as one sparse product, with the search for neighbours."""
    from scipy import sparse
    from scipy.spatial import cKDTree

    def work() -> None:
        distance, index = cKDTree(places).query(np.stack([longitude, latitude], 1), k=NEIGHBOURS)
        weight = 1 / np.maximum(distance, 1e-9) ** 2
        weight /= weight.sum(axis=1, keepdims=True)
        rows = np.arange(longitude.size + 1) * NEIGHBOURS
        matrix = sparse.csr_array(
            (weight.ravel(), index.ravel(), rows), (longitude.size, len(places))
        )
        matrix @ series

    return timed("scipy, sparse product, 12 neighbours", longitude.size * series.shape[1], work)


def _scikit_learn(
    places: np.ndarray, series: np.ndarray, longitude: np.ndarray, latitude: np.ndarray
) -> Timed:
    """Return the time of scikit-learn's neighbours, weighted by distance."""
    from sklearn.neighbors import KNeighborsRegressor

    def work() -> None:
        known = KNeighborsRegressor(NEIGHBOURS, weights="distance").fit(places, series)
        known.predict(np.stack([longitude, latitude], 1))

    values = longitude.size * series.shape[1]
    return timed("scikit-learn, KNeighborsRegressor, 12 neighbours", values, work)


def _pykrige(
    places: np.ndarray, series: np.ndarray, longitude: np.ndarray, latitude: np.ndarray
) -> Iterator[Timed]:
    """Yield the times of PyKrige on a part of the case: hour by hour, as its users must."""
    from pykrige.ok import OrdinaryKriging

    known = {"psill": 900.0, "range": 6.0, "nugget": 40.0}

    def work(hours: int, cells: int, backend: str, closest: int | None) -> None:
        for hour in range(hours):
            kriging = OrdinaryKriging(
                *places.T,
                series[:, hour],
                variogram_model="exponential",
                variogram_parameters=known,
                coordinates_type="geographic" if closest is None else "euclidean",
            )
            options = {} if closest is None else {"n_closest_points": closest}
            kriging.execute(
                "points", longitude[:cells], latitude[:cells], backend=backend, **options
            )

    whole = partial(work, VECTORISED_HOURS, longitude.size, "vectorized", None)
    yield timed("PyKrige, vectorised, all stations", longitude.size * VECTORISED_HOURS, whole, 1)
    part = partial(work, CLOSEST_HOURS, CLOSEST_CELLS, "loop", NEIGHBOURS)
    yield timed("PyKrige, loop, 12 neighbours", CLOSEST_CELLS * CLOSEST_HOURS, part, 1)


def reading(folder: Path) -> Timed:
    """Return the time of reading the year of US EPA's hourly values; its values are rows."""
    path = folder / "usepa_2011" / "pm25_frm_fem_hourly_2011.csv.gz"
    rows = 1_691_615
    return timed(
        "reading the AQS year, rows",
        rows,
        partial(open_observations, path, format="aqs", duplicates="mean"),
        1,
    )


def table(results: list[Timed]) -> str:
    """Return the table of all results with the ratios to each peer, in Markdown."""
    others = [
        result for result in results if result.name.startswith(("PyKrige", "scikit-learn", "scipy"))
    ]
    head = ["method", "cell-hours", "wall, s", "CPU, s", "million/s"]
    lines = [head + [f"x {other.name.split(',')[0]}{_short(other.name)}" for other in others]]
    lines.append(["---"] * len(lines[0]))
    for result in results:
        cells = [
            result.name,
            f"{result.values:,}",
            f"{result.wall_seconds:.2f}",
            f"{result.cpu_seconds:.2f}",
            f"{result.rate:.3g}",
        ]
        lines.append(cells + [f"{result.rate / other.rate:.3g}" for other in others])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(name: str) -> str:
    """Return what tells two uses of one package apart."""
    return ", 12" if "loop" in name else ""
