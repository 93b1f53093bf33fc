"""The main function: from observations to a product."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, counted, draws_name, pollutant
from aqreanalysis.fields.draws import DrawsOf, check_draws, with_draws
from aqreanalysis.fields.memory import Request, fitted_blocks, workers
from aqreanalysis.foreign.background import Background, BackgroundField
from aqreanalysis.foreign.files import Source
from aqreanalysis.foreign.polygons import PolygonSource
from aqreanalysis.geography import Attributes, Geography, attributes, learned_names
from aqreanalysis.grid import Grid, size_of
from aqreanalysis.memory import memory_bytes
from aqreanalysis.methods import Method, check_takes, fit, method_of, predict, variable_of
from aqreanalysis.methods.contract import station_types_of
from aqreanalysis.methods.joint_errors import ERROR_CORRELATION, DrawnErrors, errors_to_draw
from aqreanalysis.methods.kriging.error_patterns import PATTERNS
from aqreanalysis.methods.persistence import Persistence, can_tell, persistence
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import (
    Quality,
    selected_hours,
    step_hours,
    stored_values,
    usable,
    utc_period,
    valid_variables,
    value_range,
)
from aqreanalysis.predictive import Statistic, check_quantiles, check_statistic
from aqreanalysis.product import build_product, checked_metadata, joined_products
from aqreanalysis.product.targets import Region, Resolution, target_of
from aqreanalysis.untrusted import check_size

if TYPE_CHECKING:
    from aqreanalysis.methods.neural.reanalyser import Reanalyser

logger = logging.getLogger(__name__)

#: Hours from which on a product may be averaged, and so states how its errors are correlated.
MEANS_HOURS = 48.0
#: Why a pollutant has no draws.
NOT_DRAWABLE = (
    "draws need to know how long errors last, which is learned from stations left out: from ten "
    "places or more with {} in the same days. Add stations or hours, or leave out draws"
)


def reanalyse(
    observations: xr.Dataset,
    variable: str | Sequence[str] | None = None,
    *,
    grid: Grid | Resolution | None = None,
    region: Region | None = None,
    at: xr.Dataset | None = None,
    crs: str | None = None,
    like: Source | None = None,
    clip: PolygonSource | None = None,
    land: bool = False,
    method: str | Method | Mapping[str, str | Method] = "neural",
    time: slice | None = None,
    chunks: Mapping[str, int] | None = None,
    seed: int = 0,
    progress: bool = True,
    creator: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    background: BackgroundField | None = None,
    geography: Geography | None = None,
    statistic: Statistic = "median",
    quantiles: Sequence[float] = (),
    memory: str | float | None = None,
    quality: Quality = "mask",
    draws: int | None = None,
    draws_of: DrawsOf = "measurements",
) -> xr.Dataset:
    """Return the product of a method: complete fields on a grid, or series at given stations.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    variable : str or sequence of str, optional
        Pollutant; by default pm25 if observed, else the only one. Of several, each is estimated
        from its own stations, on one grid, into one product. Draws go together as errors at
        stations left out do; those of the first are what they are without the others.
    grid : Grid, float or tuple of float, optional
        A grid, or the size of a cell in degrees or in the units of ``crs``, or its height and
        width: ``(0.5, 0.625)``. By default a quarter of the stations' spacing.
    region : tuple of float, optional
        West, east, south, north in degrees; by default the extent of ``clip``, or else that of the
        stations and a margin.
    at : Dataset, optional
        Stations to be estimated instead of a grid, with longitude and latitude on ``station``.
    crs : str, optional
        Projection of the grid, such as ``"EPSG:32650"``; longitude and latitude by default.
    like : path or Dataset, optional
        A file whose very cells are estimated: of a model, another reanalysis or a product, on axes
        or curvilinear.
    clip : path, GeoDataFrame, GeoSeries or shapely geometry, optional
        Polygons: cells whose centre lies outside are missing.
    land : bool
        Whether cells whose centre lies in the sea are missing.
    method : {"neural", "pretrained", "kriging", "space_time_kriging", "idw"}, Method or mapping
        A name is fitted to the observations first; a fitted method is used as it is. Of several
        pollutants, one of each by its name.
    time : slice of labels, optional
        Hours to estimate, in UTC unless a label states its zone; all by default. A single label
        selects its hour, day or month.
    chunks : mapping, optional
        Size of a block of the lazy result. Values agree to 1e-5 for any.
    seed : int
        Of the neural method's training, and of draws.
    progress : bool
        Whether training shows a progress bar.
    creator : str, optional
        Your name, written into the product.
    metadata : mapping, optional
        What else you state of it, such as ``{"institution": ..., "license": ...}``: attributes of
        ACDD 1.3, as `aqreanalysis.product.STATED_ATTRIBUTES` lists them.
    background : DataArray, Dataset or sequence of these, optional
        Fields given everywhere, such as of a chemistry model or elevation, on any grid: the neural
        method and kriging interpolate the departures of the stations from them.
    geography : bool, str, path, DataArray, Dataset or sequence of these, optional
        Attributes of places as a background: True for all that come with the package, some of
        their names (`aqreanalysis.geography.NAMES`), or fields or files of one's own. Where
        stations or targets have an ``altitude``, it counts, not the field's. By default no
        background, or those that a fitted method learned; the neural method sets places apart by
        those that come with the package in any case, unless this is False.
    statistic : {"median", "mean"}
        Of the predictive distribution, for the estimate: the median, which minimises the absolute
        error and lies below the mean, or the mean, of which averages are unbiased.
    quantiles : sequence of float, optional
        Probabilities, such as ``(0.05, 0.95)``; for each, a layer such as ``<variable>_q05`` gives
        the concentration that is not exceeded with this probability.
    memory : str or number, optional
        Memory for the computation, such as ``"2GB"``; by default half of what is free. It
        determines the size of the blocks, not the results.
    quality : {"mask", "flag", "ignore"}
        What is done about values that look wrong: "mask" leaves out what cannot be weather (codes
        for missing, values out of range, stuck or single spikes, clocks and positions that are
        wrong), "flag" uses all and counts them in the log and the history, "ignore" does not
        look. `aqreanalysis.observations.qc` shows them.
    draws : int, optional
        How many fields are drawn of those that agree with the measurements: ``<variable>_draws``,
        coherent in space and time, whose spread at each place and hour is that of the product.
        Sums, maxima and counts over hours or places of each draw tell how sure they are. A draw is
        the same however many are asked for.
    draws_of : {"measurements", "air"}
        Whether draws are what a monitor would measure, its noise included, or the air without it.

    Returns
    -------
    Dataset
        ``(time, lat, lon)`` or ``(station, time)``: the variable, its standard error, a flag and
        the distance to the nearest station, with CF metadata; lazy until used.

    Raises
    ------
    ObservationError
        If the observations are not valid, or their units make the pollutant implausible.
    ValueError
        If the method or the quality is unknown, the method takes no background or geography, both
        grid and stations are asked for, the grid cannot be made or written or is out of reach of
        every station, the period holds no hour, the memory does not hold the request, draws is no
        number from 1 on, or how long errors last cannot be learned from so few places.
    """
    if any(array.chunks for array in observations.variables.values()):  # of an archive: read once
        check_size("observations", observations.nbytes)
        observations = observations.compute()
    metadata = checked_metadata(metadata)
    variables = valid_variables(observations, variable)
    check_statistic(statistic)
    check_quantiles(quantiles)
    check_draws(draws, draws_of, seed)
    by_places = geography is not False
    methods = _methods(method, variables, seed=seed, progress=progress, geography=by_places)
    for estimator, _ in methods.values():
        check_takes(estimator, background)
        if by_places:
            check_takes(estimator, geography, "geography")
    if background is not None:
        Background(background)  # refuses an invalid one before a long training
    used = {name: usable(observations, name, quality) for name in variables}
    target = target_of(
        _network(used),
        grid=grid,
        region=region,
        at=at,
        crs=crs,
        like=like,
        clip=clip,
        land=land,
    )
    time = utc_period(observations[TIME], time)
    asked = [
        _Asked.of(used[name], name, *methods[name], target.at, time, geography, background)
        for name in variables
    ]
    if draws:
        for one in asked:
            _check_drawable(one)
    chunks = _blocks(asked, memory, chunks, draws or 0)
    options: dict[str, Any] = {
        "chunks": chunks,
        "statistic": statistic,
        "quantiles": quantiles,
        "creator": creator,
        "metadata": metadata,
    }
    drawn = {"draws": int(draws), "draws_of": draws_of, "draws_seed": seed} if draws else {}
    products, errors = {}, list[DrawnErrors]()
    for number, one in enumerate(asked, start=1):
        if len(asked) > 1:
            logger.info("%s, pollutant %d of %d", one.variable, number, len(asked))
        products[one.variable], of_draws = _product(one, drawn, errors, **options)
        errors += [of_draws] if of_draws else []
    return target.clipped(joined_products(products))


def fitted_models(
    observations: xr.Dataset,
    variable: str | Sequence[str] | None = None,
    *,
    background: BackgroundField | None = None,
    geography: Geography | None = None,
    quality: Quality = "mask",
    checkpoint: str | os.PathLike[str] | None = None,
    **settings: Any,
) -> "dict[str, Reanalyser]":
    """Return a trained model of each pollutant, by its name.

    Parameters
    ----------
    observations, variable, background, geography, quality
        As of `reanalyse`.
    checkpoint : path, optional
        Written as training goes; of several pollutants, one for each with its name in it.
    **settings
        ``seed``, ``progress``, ``configuration`` and ``schedule`` of `aqreanalysis.Reanalyser`.

    Raises
    ------
    ObservationError
        If the observations are not valid, or have no such pollutant.
    """
    from aqreanalysis.methods.neural.reanalyser import Reanalyser

    models = {}
    variables = valid_variables(observations, variable)
    used = {name: usable(observations, name, quality) for name in variables}
    for number, name in enumerate(variables, start=1):
        own = checkpoint
        if len(variables) > 1:
            logger.info("%s, pollutant %d of %d", name, number, len(variables))
            path = None if checkpoint is None else Path(checkpoint)
            own = path and path.with_name(f"{path.stem}-{name}{path.suffix}")
        known = attributes(geography, used[name], background=background)
        model = Reanalyser(**settings, geography=geography is not False, checkpoint=own)
        models[name] = model.fit(used[name], name, background=known.background)
    return models


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is estimated of one pollutant, by which method, and from what.

    ``known`` are its background and what its settings say of geography.
    """

    observations: xr.Dataset
    variable: str
    method: Method
    fitted: bool
    place: Grid | xr.Dataset
    time: slice | None
    known: Attributes

    @classmethod
    def of(
        cls,
        observations: xr.Dataset,
        variable: str,
        method: Method,
        fitted: bool,
        place: Grid | xr.Dataset,
        time: slice | None,
        geography: Geography | None,
        background: BackgroundField | None,
    ) -> Self:
        """Return it; refuse a model of another pollutant, or attributes that are not there."""
        if fitted and variable_of(method) != variable:
            raise ValueError(
                f"the fitted model knows {method.variable!r}; asked for {variable!r}. "
                f"Pass variable={method.variable!r}, or fit another model."
            )
        if geography is None and fitted and method.takes_background:
            geography = learned_names(method.settings) or None  # as it was learned
        known = attributes(geography, observations, place, background=background)
        _warn_of_implausible(observations, variable)
        return cls(observations, variable, method, fitted, place, time, known)

    @property
    def hours(self) -> slice:
        """The steps of the time axis."""
        return selected_hours(self.observations[TIME], self.time)


def _methods(
    method: str | Method | Mapping[str, str | Method],
    variables: Sequence[str],
    **settings: Any,
) -> dict[str, tuple[Method, bool]]:
    """Return the method of each pollutant, and whether it is fitted already."""
    if isinstance(method, Mapping):
        by_name = {pollutant(name).name: each for name, each in method.items()}
        lacking = [name for name in variables if name not in by_name]
        if lacking:
            raise ValueError(
                f"there is no model of {', '.join(lacking)}; there are those of "
                f"{', '.join(by_name) or 'none'}. Name the pollutants that they are of, "
                f"variable={list(by_name)!r}, or fit the others"
            )
        chosen = {name: by_name[name] for name in variables}
    elif len(variables) > 1 and not isinstance(method, str):
        raise ValueError(
            f"one method is given for {', '.join(variables)}: name it, method='kriging', or give "
            "one for each, method={'pm25': ..., 'no2': ...}"
        )
    else:
        chosen = dict.fromkeys(variables, method)
    return {name: method_of(each, **settings) for name, each in chosen.items()}


def _network(used: Mapping[str, xr.Dataset]) -> StationNetwork:
    """Return the stations that no pollutant has left out, from which the grid follows."""
    first, *others = used.values()
    for other in others:
        first = first.isel({STATION: first[STATION].isin(other[STATION]).values})
    return StationNetwork.from_dataset(first)


def _product(
    asked: _Asked,
    drawn: dict[str, Any],
    before: Sequence[DrawnErrors],
    *,
    chunks: Mapping[str, int],
    statistic: Statistic,
    quantiles: Sequence[float],
    creator: str | None,
    metadata: Mapping[str, Any],
) -> tuple[xr.Dataset, DrawnErrors | None]:
    """Return the product of one pollutant, after fitting its method if need be.

    And the errors of which its draws are made, which go together with those ``before``.
    """
    estimator, observations, variable = asked.method, asked.observations, asked.variable
    background, place, hours = asked.known.background, asked.place, asked.hours
    if not asked.fitted:
        fit(estimator, observations, variable, background)
    field = predict(
        estimator,
        observations,
        place,
        time=asked.time,
        chunks=chunks,
        background=background,
        statistic=statistic,
        quantiles=quantiles,
    )
    lasting, errors = None, None
    if drawn or (hours.stop - hours.start) * step_hours(observations) >= MEANS_HOURS:
        lasting = persistence(estimator, observations, background)
        stated = lasting.errors.attributes() if lasting else {}
        field[f"{variable}_uncertainty"].attrs |= stated
    if drawn:
        errors = _errors_to_draw(asked, lasting, drawn, before)
        field = with_draws(
            field,
            place,
            variable,
            drawn["draws"],
            patterns=errors.patterns,
            series=errors.series,
            first=hours.start,
        )
        if errors.correlation:
            drawn = drawn | {ERROR_CORRELATION: errors.correlation}
            field[draws_name(variable)].attrs[ERROR_CORRELATION] = errors.stated
    product = build_product(
        field,
        variable=variable,
        grid=place if isinstance(place, Grid) else None,
        observations=observations,
        method=estimator.name,
        settings={**estimator.settings, **asked.known.facts(), **drawn},
        references=estimator.references,
        creator=creator,
        metadata=metadata,
    )
    return product, errors


def _check_drawable(asked: _Asked) -> None:
    """Refuse draws from too few places or hours, before a long training."""
    if not can_tell(asked.observations, asked.variable):
        raise ValueError(NOT_DRAWABLE.format(asked.variable))


def _errors_to_draw(
    asked: _Asked,
    lasting: Persistence | None,
    drawn: dict[str, Any],
    before: Sequence[DrawnErrors],
) -> DrawnErrors:
    """Return the errors of which draws of a pollutant are made."""
    if lasting is None:
        raise ValueError(NOT_DRAWABLE.format(asked.variable))
    types = station_types_of(asked.method)
    return errors_to_draw(
        types.of_usual(asked.observations, asked.variable),
        asked.variable,
        lasting,
        drawn["draws_of"],
        seed=drawn["draws_seed"],
        before=before,
        places=[] if isinstance(asked.place, Grid) else [asked.place],
        unlike_km=tuple(asked.method.settings.get("geography_km", {}).values()),
    )


def _warn_of_implausible(observations: xr.Dataset, variable: str) -> None:
    """Warn that values outside the plausible range are used as they are."""
    low, high = pollutant(variable).plausible
    values = stored_values(observations, variable)
    lowest, highest = value_range(observations, variable)
    if not (lowest < low or highest > high):
        return
    station, hour = np.nonzero((values < low) | (values > high))
    logger.warning(
        "%s of %s outside the plausible %g to %g ug m-3 used all the same, for example station "
        "%s, %s UTC: %g; obs.aqnet.qc() flags such values",
        counted(station.size, "value"),
        variable,
        low,
        high,
        observations[STATION].values[station[0]],
        np.datetime_as_string(observations[TIME].values[hour[0]], unit="m"),
        values[station[0], hour[0]],
    )


def _blocks(
    asked: Sequence[_Asked],
    memory: str | float | None,
    chunks: Mapping[str, int] | None,
    draws: int,
) -> dict[str, int]:
    """Return block sizes that fit into memory; refuse what does not before a long training.

    Blocks of several pollutants are the same, so that they can be written together.
    """
    if len(asked) > 1:
        memory = memory_bytes(memory) / len(asked)
    every = [_blocks_of_one(one, memory, chunks, draws) for one in asked]
    return {name: min(sizes[name] for sizes in every) for name in every[0]}


def _blocks_of_one(
    asked: _Asked, memory: str | float | None, chunks: Mapping[str, int] | None, draws: int
) -> dict[str, int]:
    """Return block sizes of one pollutant."""
    observations, target = asked.observations, asked.place
    stations, steps = (observations.sizes[name] for name in (STATION, TIME))
    cost = asked.method.cost(observations, asked.variable, target)
    if draws:
        cost = cost.with_draws(draws, PATTERNS)
    request = Request(
        cells=size_of(target),
        steps=asked.hours.stop - asked.hours.start,
        stations=stations,
        measurements=stations * steps,
        workers=workers(),
        cost=cost,
        draws=draws,
    )
    return fitted_blocks(target, request, memory=memory, chunks=chunks)
