"""From roots ahead to a product: at stations, at other places, for one start or several."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import PRODUCT_FLAGS, STATION, TIME, pollutant, quantile_name
from aqreanalysis.grid import Grid
from aqreanalysis.observations import step_hours, time_bounds
from aqreanalysis.outlook.aqnet import OutlookConfiguration
from aqreanalysis.outlook.spreading import own_outlooks, spread_outlooks
from aqreanalysis.predictive import RootNormal, Statistic
from aqreanalysis.product import LEAD, REFERENCE, build_product, restore_metadata

logger = logging.getLogger(__name__)

#: Steps of the measured past that go ahead of an outlook on its way to other places, in hours:
#: bands of the covariance that are a day wide should not begin at its first hour.
LEAD_IN_HOURS = 24


class Issued(NamedTuple):
    """What a model says before some columns of observations.

    Attributes
    ----------
    columns : (start,) int64
        Of the first predicted steps.
    root, spread : (start, station, lead) float64
        Median and standard deviation of the root of the concentration.
    root_of_mean : bool
        As of `OutlookModule`: the mean adds nothing of the spread.
    history : int
        Steps of history that were used.
    known : (start, station) bool
        Whether a station has any value in its history.
    attention : (start, station, predicted day, past day) float64 or None
    """

    columns: np.ndarray
    root: np.ndarray
    spread: np.ndarray
    root_of_mean: bool
    history: int
    known: np.ndarray
    attention: np.ndarray | None


def outlook_dataset(
    issued: Issued,
    observations: xr.Dataset,
    *,
    variable: str,
    leads: int,
    at: Grid | xr.Dataset | None,
    between: Any,
    method: str,
    settings: Mapping[str, Any],
    statistic: Statistic,
    quantiles: Sequence[float],
    creator: str | None,
) -> xr.Dataset:
    """Return the product of what was issued, one start or a set of them.

    Raises
    ------
    ValueError
        If no station has a value in a history, or a place between stations is asked for and there
        is nothing that takes outlooks there.
    """
    products, name = [], pollutant(variable).long_name
    for number, column in enumerate(issued.columns.tolist()):
        begin = pd.Timestamp(_begins(observations)[column])
        known = stations_ahead(issued, number, observations, variable, leads)
        field = _at_places(
            known, observations, variable, at, between, begin=known[TIME].values[-leads]
        )
        noise = field["spread"] if issued.root_of_mean else 0.0
        distribution = RootNormal(field["root"], field["spread"], noise)
        layers = with_layers(field, distribution, variable, statistic, quantiles)
        product = build_product(
            layers,
            variable=variable,
            grid=at if isinstance(at, Grid) else None,
            observations=observations.isel({TIME: slice(max(column - issued.history, 0), column)}),
            method=f"{method} outlook",
            settings=settings,
            title=f"{name} outlook by {method} from {begin:%Y-%m-%dT%H:%MZ}",
            creator=creator,
        )
        products.append(_with_leads(product, issued, number, begin.to_datetime64()))
    return products[0] if len(products) == 1 else _set_of(products)


def stations_ahead(
    issued: Issued, number: int, observations: xr.Dataset, variable: str, leads: int
) -> xr.Dataset:
    """Return the last day of the known stations and the medians of their outlooks, (station, time).

    Raises
    ------
    ValueError
        If no station has a value in the history.
    """
    there, column = issued.known[number], int(issued.columns[number])
    start = _begins(observations)[column]
    if not there.any():
        raise ValueError(
            f"no station has a value of {variable!r} in the history before {start}; start earlier"
        )
    step = step_hours(observations)
    lead_in = min(round(LEAD_IN_HOURS / step), column)
    past = observations[[variable]].isel({STATION: there, TIME: slice(column - lead_in, column)})
    length = np.timedelta64(round(step * 3.6e12), "ns")
    labels = observations[TIME].values[0] + length * np.arange(column - lead_in, column + leads)
    ahead = issued.root[number, there, :leads] ** 2
    values = np.concatenate([past[variable].transpose(STATION, TIME).values, ahead], 1)
    spread = np.pad(issued.spread[number, there, :leads], ((0, 0), (lead_in, 0)))
    time = xr.DataArray(labels, dims=TIME, attrs=observations[TIME].attrs)
    places = past[[variable]].drop_vars([variable, TIME])
    return places.assign_coords({TIME: time}).assign(
        {
            variable: ((STATION, TIME), values, dict(observations[variable].attrs)),
            "spread": ((STATION, TIME), spread, dict(observations[variable].attrs)),
        }
    )


def attention_by_day(
    weights: np.ndarray, configuration: OutlookConfiguration, step: float
) -> np.ndarray:
    """Return attention (n, predicted day, past day) of weights (n, knot, token), oldest first.

    The knots of a predicted day are averaged, the tokens of a past day summed; days are counted
    away from the start.
    """
    day = round(24 / step) or 1
    begins = np.array(configuration.edges[:-1])[::-1] // day
    knots = (np.array(configuration.knots) - 1) // day
    ahead = np.eye(knots.max() + 1)[knots]  # (knot, predicted day)
    ago = np.eye(begins.max() + 1)[begins]  # (token, past day)
    days = np.unique(knots)
    return (ahead.T @ weights @ ago)[:, days] / ahead.sum(0)[days, None]


def _at_places(
    known: xr.Dataset,
    observations: xr.Dataset,
    variable: str,
    at: Grid | xr.Dataset | None,
    between: Any,
    *,
    begin: np.datetime64,
) -> xr.Dataset:
    """Return root, spread, flag and distance where they are asked for."""
    if at is not None:
        return _spread(known, at, variable, between, begin)
    own = own_outlooks(known, variable, begin=begin)
    names = observations[STATION].values
    silent = observations[[variable]].isel({STATION: ~np.isin(names, known[STATION].values)})
    if not silent.sizes[STATION]:
        return own
    logger.warning(
        "%d stations have no value in the history and are estimated from the others, for example "
        "%s",
        silent.sizes[STATION],
        silent[STATION].values[0],
    )
    hidden = _spread(known, silent.drop_vars([variable, TIME]), variable, between, begin)
    return xr.concat([own, hidden.compute()], STATION, coords="minimal", compat="override").sel(
        {STATION: names}
    )


def _spread(
    known: xr.Dataset, at: Grid | xr.Dataset, variable: str, between: Any, begin: np.datetime64
) -> xr.Dataset:
    """Return outlooks at places between the stations."""
    if between is None:
        raise ValueError(
            "this outlook learned from fewer than three stations, which tell nothing of places "
            "between them; pass between=, a fitted estimator"
        )
    return spread_outlooks(known, at, variable, method=between, begin=begin)


def with_layers(
    field: xr.Dataset,
    distribution: RootNormal,
    variable: str,
    statistic: Statistic,
    quantiles: Sequence[float],
) -> xr.Dataset:
    """Return estimate, standard error, flag and quantiles of a distribution, float32."""
    values = {
        variable: distribution.estimate(statistic),
        f"{variable}_uncertainty": distribution.standard_error,
        **{quantile_name(variable, p): distribution.quantile(p) for p in quantiles},
    }
    layers = {name: xr.as_variable(layer).astype(np.float32) for name, layer in values.items()}
    layers[variable].attrs = {"statistic": statistic}
    flag = f"{variable}_flag"
    nothing = np.int8(PRODUCT_FLAGS["no_estimate"])
    flags = field[flag].where(field["root"].notnull(), nothing).astype(np.int8)
    return field.drop_vars(["root", "spread"]).assign({**layers, flag: flags})


def _with_leads(
    product: xr.Dataset, issued: Issued, number: int, begin: np.datetime64
) -> xr.Dataset:
    """Return the product with its reference time, lead times and attention."""
    lead = (product[TIME].values - begin) / np.timedelta64(1, "h")
    told = product.assign_coords({REFERENCE: begin, LEAD: (TIME, lead)})
    if issued.attention is not None:
        told["attention"] = ((STATION, "predicted_day", "past_day"), issued.attention[number])
    return restore_metadata(told)


def _set_of(products: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return one Dataset of several starts.

    Its dimensions are ``(station, lead_time, forecast_reference_time)``, or ``(lead_time,
    forecast_reference_time, lat, lon)``: CF wants others to the left of those of time and space.
    """
    by_lead = [
        product.drop_vars(f"{TIME}_bnds").swap_dims({TIME: LEAD}).drop_vars(TIME)
        for product in products
    ]
    layers = {str(name) for name in by_lead[0].data_vars}
    issued = [
        each.drop_vars(REFERENCE)
        .assign({name: each[name].expand_dims(REFERENCE) for name in layers})
        .assign_coords({REFERENCE: [each[REFERENCE].values]})
        for each in by_lead
    ]
    joined = xr.concat(
        issued,
        REFERENCE,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )
    last, several = products[-1].attrs, f"and {len(products) - 1} later starts, to "
    attributes = {
        "title": f"{joined.attrs['title']}, {several}{last['title'].rpartition(' ')[2]}",
        "history": f"{joined.attrs['history']}; {several}{last['id']}",
        "input_period": "/".join(
            each["input_period"].split("/")[end] for end, each in enumerate((joined.attrs, last))
        ),
    }
    # What restores the metadata computes the valid times and takes the rest from `time`.
    told = xr.Variable((LEAD, REFERENCE), np.zeros((joined.sizes[LEAD], len(products))))
    told.attrs = dict(products[0][TIME].attrs)
    return restore_metadata(joined.assign_coords({TIME: told}).assign_attrs(attributes))


def _begins(observations: xr.Dataset) -> np.ndarray:
    """Return when each column's averaging period begins, and the end of the last."""
    bounds = time_bounds(observations)
    return np.append(bounds[:, 0], bounds[-1, 1])
