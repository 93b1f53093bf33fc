"""One contract for every method, and the call that turns observations into a product."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, Self, runtime_checkable

import xarray as xr

from aqreanalysis.baselines import InverseDistance, OrdinaryKriging, SpaceTimeKriging
from aqreanalysis.conventions import PRODUCT_FLAGS, pollutant
from aqreanalysis.grid import Grid
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import default_variable, validate
from aqreanalysis.product import build_product
from aqreanalysis.reanalysis.reanalyser import Reanalyser, selected_hours

logger = logging.getLogger(__name__)

Method = Literal["neural", "kriging", "space_time_kriging", "idw"]


@runtime_checkable
class Estimator(Protocol):
    """What every method keeps; nothing to inherit."""

    name: str

    def fit(self, observations: xr.Dataset, variable: str) -> Self:
        """Return self after learning from the observations alone."""
        ...

    def predict(
        self,
        observations: xr.Dataset,
        at: Grid | xr.Dataset,
        *,
        time: slice | None = None,
        chunks: Mapping[str, int] | None = None,
    ) -> xr.Dataset:
        """Return ``<variable>`` and ``<variable>_uncertainty`` on the coordinates of ``at``."""
        ...


#: Methods by name; each makes an estimator that is not yet fitted.
METHODS: Mapping[str, Callable[..., Any]] = {
    "neural": Reanalyser,
    "kriging": OrdinaryKriging,
    "space_time_kriging": SpaceTimeKriging,
    "idw": InverseDistance,
}


def estimator_of(
    method: Method | Estimator, *, seed: int = 0, progress: bool = True
) -> tuple[Any, bool]:
    """Return the estimator of a name, or the one given, and whether it is already fitted.

    Raises
    ------
    ValueError
        If the name is not one of `METHODS`.
    """
    if not isinstance(method, str):
        if not isinstance(method, Estimator):
            raise ValueError(
                f"method must be one of {', '.join(METHODS)} or an estimator with fit and "
                f"predict; found {type(method).__name__}"
            )
        return method, True
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; found {method!r}")
    if method == "neural":
        return Reanalyser(seed=seed, progress=progress), False
    return METHODS[method](), False


def reanalyse(
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    grid: Grid | float | None = None,
    region: tuple[float, float, float, float] | None = None,
    at: xr.Dataset | None = None,
    method: Method | Estimator = "neural",
    time: slice | None = None,
    chunks: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: bool = True,
    creator: str | None = None,
) -> xr.Dataset:
    """Return the product of a method: complete fields on a grid, or series at given stations.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    variable : str, optional
        Pollutant; pm25 if it is there, else the only one.
    grid : Grid or float, optional
        A grid, or the size of a cell in degrees. By default a quarter of the stations' spacing.
    region : tuple of float, optional
        West, east, south, north in degrees; by default the stations' extent and a margin.
    at : Dataset, optional
        Stations to be estimated instead of a grid, with longitude and latitude on ``station``.
    method : {"neural", "kriging", "space_time_kriging", "idw"} or Estimator
        A name is fitted to the observations first; a fitted estimator is used as it is.
    time : slice of labels, optional
        Hours to give, in UTC; all of them by default.
    chunks : mapping, optional
        Size of a block of the lazy result. The numbers do not depend on it.
    seed : int
        Of the neural method's training.
    progress : bool
        Whether training shows a progress bar.
    creator : str, optional
        Written into the product.

    Returns
    -------
    Dataset
        ``(time, lat, lon)`` or ``(station, time)``: the variable, its standard error, a flag and
        the distance to the nearest station, with CF metadata; lazy until used.

    Raises
    ------
    ObservationError
        If the observations are not valid.
    ValueError
        If the method is unknown, both grid and stations are asked for, or the region is out of
        reach of every station.
    """
    validate(observations)
    variable = pollutant(variable).name if variable else default_variable(observations)
    target = _target(observations, grid, region, at)
    selected_hours(observations, time)  # an empty selection is told before a long training
    estimator, fitted = estimator_of(method, seed=seed, progress=progress)
    if not fitted:
        estimator.fit(observations, variable)
    elif getattr(estimator, "variable", variable) != variable:
        raise ValueError(
            f"the fitted model knows {estimator.variable!r}; asked for {variable!r}. "
            f"Pass variable={estimator.variable!r}, or fit another model."
        )
    field = estimator.predict(observations, target, time=time, chunks=chunks)
    _announce(field, estimator.name)
    return build_product(
        field,
        variable=variable,
        grid=target if isinstance(target, Grid) else None,
        observations=observations,
        method=estimator.name,
        settings=getattr(estimator, "settings", {}),
        creator=creator,
    )


def _target(
    observations: xr.Dataset,
    grid: Grid | float | None,
    region: tuple[float, float, float, float] | None,
    at: xr.Dataset | None,
) -> Grid | xr.Dataset:
    """Return where to estimate; a region out of reach of every station is refused."""
    if at is not None:
        if grid is not None or region is not None:
            raise ValueError("give either at=stations, or grid= and region=, not both")
        StationNetwork.from_dataset(at)  # refuses bad positions before a long training
        return at
    network = StationNetwork.from_dataset(observations)
    if isinstance(grid, Grid):
        if region is not None:
            raise ValueError("a Grid has its own region; leave out region=, or pass grid=0.1")
        chosen = grid
    elif region is not None:
        chosen = Grid(region, Grid.around(network).resolution if grid is None else grid)
    else:
        chosen = Grid.around(network, grid)
    _check_reach(chosen, network)
    return chosen


def _check_reach(grid: Grid, network: StationNetwork) -> None:
    """Refuse a grid of which every cell is far from all stations."""
    longitude, latitude = grid.longitude_latitude()
    nearest = network.neighbours(longitude.ravel(), latitude.ravel(), k=1)
    closest = int(nearest.distance_km.argmin())
    distance = float(nearest.distance_km[closest, 0])
    if distance > network.reach_km:
        name = network.identifiers[nearest.index[closest, 0]]
        raise ValueError(
            f"the region {grid.region} holds no station and none is in reach: the nearest, "
            f"{name}, is {distance:.0f} km away. The stations' extent is "
            f"{tuple(round(edge, 2) for edge in network.extent())} (west, east, south, north)."
        )


def _announce(field: xr.Dataset, method: str) -> None:
    """Say the cost of a field before it is computed."""
    variable = next(iter(field.data_vars))
    values = field[variable].size
    far = int(field["distance_to_nearest_station"].size)
    logger.info(
        "%s: %s values (%s cells x %d hours), %.0f MB in memory if loaded whole; blocks of %s",
        method,
        f"{values:,}",
        f"{far:,}",
        values // max(far, 1),
        field.nbytes / 1e6,
        dict(field.chunksizes),
    )


__all__ = ["METHODS", "PRODUCT_FLAGS", "Estimator", "Method", "estimator_of", "reanalyse"]
