"""One contract for every method, and the call that turns observations into a product."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, pollutant
from aqreanalysis.fields.memory import Request, fitted_blocks, workers
from aqreanalysis.foreign.background import Background
from aqreanalysis.grid import Grid
from aqreanalysis.methods.covariates import covariates_of
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.methods.kriging.ordinary import OrdinaryKriging
from aqreanalysis.methods.kriging.space_time import SpaceTimeKriging
from aqreanalysis.methods.neural.field import places_bytes, window_bytes
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.neural.targets import TILE_COLUMNS, TILE_ROWS
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import default_variable, selected_hours, validate, values_of
from aqreanalysis.product import build_product, check_quantiles, with_quantiles

logger = logging.getLogger(__name__)

#: Cells of a grid that are looked at together when a station in reach of any is searched.
CELLS_LOOKED_AT = 2**14

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
        if isinstance(method, type) or not isinstance(method, Estimator):
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
    background: xr.DataArray | xr.Dataset | None = None,
    quantiles: Sequence[float] = (),
    memory: str | float | None = None,
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
        Hours to give, in UTC unless a label states its zone; all of them by default. One label
        alone is its hour, day or month.
    chunks : mapping, optional
        Size of a block of the lazy result. The numbers do not depend on it.
    seed : int
        Of the neural method's training.
    progress : bool
        Whether training shows a progress bar.
    creator : str, optional
        Written into the product.
    background : DataArray or Dataset, optional
        Fields known everywhere, such as that of a chemistry model or elevation, on any grid: the
        neural method interpolates what the stations tell beyond them.
    quantiles : sequence of float, optional
        Probabilities, such as ``(0.05, 0.95)``, of each of which a layer
        ``<variable>_q05`` gives the concentration that is not exceeded with it.
    memory : str or number, optional
        What the work may take beside the program itself, such as ``"2GB"``; half of what is free
        by default. The size of the blocks follows from it, the numbers do not.

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
        If the method is unknown or takes no background, both grid and stations are asked for, the
        region is out of reach of every station, the period holds no hour, or the memory does not
        hold the request.
    """
    validate(observations)
    check_quantiles(quantiles)
    known = {} if background is None else {"background": background}
    _check_background(method, known)
    variable = pollutant(variable).name if variable else default_variable(observations)
    target = _target(observations, grid, region, at)
    time = utc_period(observations, time)
    _tell_implausible(observations, variable)
    estimator, fitted = estimator_of(method, seed=seed, progress=progress)
    chunks = _blocks(observations, variable, target, estimator, time, memory, chunks)
    if not fitted:
        estimator.fit(observations, variable, **known)
    elif getattr(estimator, "variable", variable) != variable:
        raise ValueError(
            f"the fitted model knows {estimator.variable!r}; asked for {variable!r}. "
            f"Pass variable={estimator.variable!r}, or fit another model."
        )
    field = estimator.predict(observations, target, time=time, chunks=chunks, **known)
    field = with_quantiles(field, variable, quantiles)
    return build_product(
        field,
        variable=variable,
        grid=target if isinstance(target, Grid) else None,
        observations=observations,
        method=estimator.name,
        settings=getattr(estimator, "settings", {}),
        creator=creator,
    )


def _check_background(method: Method | Estimator, known: Mapping[str, Any]) -> None:
    """Refuse a background for a method that takes none, and one that is none."""
    if not known:
        return
    if method != "neural" and not isinstance(method, Reanalyser):
        name = method if isinstance(method, str) else getattr(method, "name", method)
        raise ValueError(f"only method='neural' takes a background; leave it out for {name!r}")
    Background(known["background"])


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
        return _places(at)
    network = StationNetwork.from_dataset(observations)
    if isinstance(grid, Grid):
        if region is not None:
            raise ValueError("a Grid has its own region; leave out region=, or pass grid=0.1")
        chosen = grid
    elif region is not None:
        _check_apart(network, known=grid is not None)
        chosen = Grid(region, Grid.around(network).resolution if grid is None else grid)
    else:
        _check_apart(network, known=False)
        chosen = Grid.around(network, grid)
    _check_reach(chosen, network)
    return chosen


def _places(at: xr.Dataset) -> xr.Dataset:
    """Return the stations to estimate; bad positions are refused before a long training."""
    if not isinstance(at, xr.Dataset):
        raise ValueError(
            f"at must be a Dataset with longitude and latitude on 'station'; found "
            f"{type(at).__name__}. Read a table with aqreanalysis.observations.open_stations; "
            "a Grid is passed as grid="
        )
    StationNetwork.from_dataset(at)
    return at


def _check_apart(network: StationNetwork, *, known: bool) -> None:
    """Refuse stations at one place where their distances must give the size of the grid."""
    if known or np.isfinite(network.spacing_km):
        return
    named = ", ".join(network.identifiers[:5])
    raise ValueError(
        f"all stations ({network.size}: {named}) are at one place, longitude "
        f"{network.longitude[0]:g}, latitude {network.latitude[0]:g}: nothing lies between them. "
        "Add stations at other places, or give both region and grid"
    )


def utc_period(observations: xr.Dataset, time: Any) -> slice | None:
    """Return the labels asked for as a slice in UTC; none is refused before a long training."""
    if time is None:
        return None
    ends = (time.start, time.stop) if isinstance(time, slice) else (time, time)
    period = slice(*(_label(end) for end in ends))
    try:
        selected_hours(observations[TIME], period)
    except TypeError as error:
        raise ValueError(f"no period: {period.start} to {period.stop} ({error})") from error
    return period


def _label(time: Any) -> Any:
    """Return a label in UTC: a text without a zone as it is, since it may name a day or a month."""
    if time is None:
        return None
    try:
        if isinstance(time, (int, float)):
            raise TypeError("a number")
        stamp = pd.Timestamp(time)
        if stamp is pd.NaT or (isinstance(time, str) and not any(map(str.isdigit, time))):
            raise ValueError("it names no hour")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{time!r} is no time ({error}); write slice('2014-11-01', '2014-11-07T23'), "
            "in UTC unless the labels state a zone"
        ) from error
    if stamp.tzinfo is not None:
        return stamp.tz_convert("UTC").tz_localize(None)
    return time if isinstance(time, str) else stamp


def _tell_implausible(observations: xr.Dataset, variable: str) -> None:
    """Say that values outside the plausible range are used as they are."""
    low, high = pollutant(variable).plausible
    values = values_of(observations, variable)
    station, hour = np.nonzero((values < low) | (values > high))
    if station.size:
        logger.warning(
            "%d values of %s are outside the plausible %g to %g ug m-3 and used as they are, for "
            "example station %s, %s UTC: %g; obs.aqnet.flag() flags such values",
            station.size,
            variable,
            low,
            high,
            observations[STATION].values[station[0]],
            np.datetime_as_string(observations[TIME].values[hour[0]], unit="m"),
            values[station[0], hour[0]],
        )


def _check_reach(grid: Grid, network: StationNetwork) -> None:
    """Refuse a grid of which every cell is far from all stations."""
    longitude, latitude = (positions.ravel() for positions in grid.longitude_latitude())
    closest, name = np.inf, ""
    turns = max(longitude.size // CELLS_LOOKED_AT, 1)
    for turn in range(turns):  # each looks all over the grid, and one in reach is enough
        nearest = network.neighbours(longitude[turn::turns], latitude[turn::turns], k=1)
        row = int(nearest.distance_km.argmin())
        if nearest.distance_km[row, 0] < closest:
            closest = float(nearest.distance_km[row, 0])
            name = network.identifiers[nearest.index[row, 0]]
        if not closest > network.reach_km:  # which is NaN for one place
            return
    raise ValueError(
        f"the region {grid.region} holds no station and none is in reach: the nearest, "
        f"{name}, is {closest:.0f} km away. The stations' extent is "
        f"{tuple(round(edge, 2) for edge in network.extent())} (west, east, south, north)."
    )


def _blocks(
    observations: xr.Dataset,
    variable: str,
    target: Grid | xr.Dataset,
    estimator: Any,
    time: slice | None,
    memory: str | float | None,
    chunks: Mapping[str, int] | None,
) -> dict[str, int]:
    """Return sizes of blocks that fit into the memory; said, or refused, before a long training."""
    hours = selected_hours(observations[TIME], time)
    stations, steps = values_of(observations, variable).shape
    cells = math.prod(target.shape) if isinstance(target, Grid) else target.sizes[STATION]
    count = hours.stop - hours.start
    neural = isinstance(estimator, Reanalyser)
    kept = 0
    if neural:
        network = StationNetwork.from_dataset(observations)
        known = _known_to_a_tile(target, network, estimator.configuration.neighbours)
        kept = places_bytes(estimator.configuration, cells, known=known)
    request = Request(
        cells=cells,
        steps=count,
        stations=stations,
        pairs=stations**2 if isinstance(estimator, (OrdinaryKriging, SpaceTimeKriging)) else 0,
        measurements=stations * steps,
        covariates=len(covariates_of(observations, variable)) if neural else 0,
        kept_bytes=kept,
        window_bytes=window_bytes(estimator.configuration, stations) if neural else 0,
        workers=workers(),
    )
    alignment = estimator.configuration.core_steps if neural else 1
    return fitted_blocks(target, request, memory=memory, alignment=alignment, chunks=chunks)


def _known_to_a_tile(target: Grid | xr.Dataset, network: StationNetwork, k: int) -> int:
    """Return how many stations the neural method takes together for a tile of targets.

    Of a grid these are the neighbours of a tile's cells, here of one in the middle; elsewhere all.
    """
    if not isinstance(target, Grid):
        return network.size
    sides = zip(target.shape, (TILE_ROWS, TILE_COLUMNS), strict=True)
    middle = tuple(slice(size // 2, size // 2 + length) for size, length in sides)
    longitude, latitude = (p[middle].ravel() for p in target.longitude_latitude())
    near = network.neighbours(longitude, latitude, k=min(k, network.size))
    return np.unique(near.index).size
