"""From forecasts to a CF product: at the stations, between them, for one start or several."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import PRODUCT_FLAGS, STATION, TIME, counted, pollutant, quantile_name
from aqreanalysis.fields.blocks import Field, GridField, predict_blocks
from aqreanalysis.grid import Grid
from aqreanalysis.methods import Method
from aqreanalysis.methods.inverse_distance import InverseDistance
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import step_hours
from aqreanalysis.outlook.aqnet import Estimates, OutlookConfiguration, distribution_of
from aqreanalysis.outlook.periods import step_begins
from aqreanalysis.predictive import RootNormal, Statistic, with_median
from aqreanalysis.product import LEAD, REFERENCE, build_product, restore_metadata

logger = logging.getLogger(__name__)

#: Hours of measurements that precede the forecasts of the stations where these are interpolated:
#: bands of the covariance that are a day wide should not begin at the first forecast hour.
LEAD_IN_HOURS = 24


@dataclass(frozen=True)
class Forecast:
    """Forecasts of all stations from several starts.

    Attributes
    ----------
    columns : (start,) int64
        Columns of the observations at which the first predicted steps begin.
    distribution : RootNormal
        (start, station, lead) float64.
    estimates : {"median", "mean", "value"}
        What the method estimates, as of `OutlookModule`.
    history : int
        Steps of history that were used.
    reported : (start, station) bool
        Whether a station has any value in its history.
    attention : (start, station, predicted day, past day) float64 or None
    """

    columns: np.ndarray
    distribution: RootNormal
    estimates: Estimates
    history: int
    reported: np.ndarray
    attention: np.ndarray | None = None


@dataclass(frozen=True)
class Request:
    """What a product contains; steps are leads, and no places are the stations themselves."""

    variable: str
    steps: int
    at: Grid | xr.Dataset | None
    statistic: Statistic
    quantiles: Sequence[float]


def forecast_product(
    forecast: Forecast,
    observations: xr.Dataset,
    request: Request,
    *,
    between: Method | None,
    method: str,
    settings: Mapping[str, Any],
    references: str,
    creator: str | None,
    metadata: Mapping[str, Any] | None,
) -> xr.Dataset:
    """Return the product of forecasts, of one start or a set of them.

    Raises
    ------
    ValueError
        If no station has a value in a history, or forecasts between stations are requested without
        a method for them.
    """
    products, name = [], pollutant(request.variable).long_name
    for number, column in enumerate(forecast.columns.tolist()):
        begin = pd.Timestamp(step_begins(observations)[column])
        stations = _StationForecasts.of(forecast, number, observations, request)
        interpolated = request.at is not None or not forecast.reported[number].all()
        sources = (references, between.references if between and interpolated else "")
        product = build_product(
            _layers(stations, observations, request, between),
            variable=request.variable,
            grid=request.at if isinstance(request.at, Grid) else None,
            observations=observations.isel(
                {TIME: slice(max(column - forecast.history, 0), column)}
            ),
            method=f"{method} outlook",
            settings={**settings, "between": between.name if between and interpolated else None},
            references="; ".join(filter(None, sources)),
            title=f"{name} outlook by {method} from {begin:%Y-%m-%dT%H:%MZ}",
            creator=creator,
            metadata=metadata,
        )
        lead = (product[TIME].values - begin.to_datetime64()) / np.timedelta64(1, "h")
        product = product.assign_coords({REFERENCE: begin.to_datetime64(), LEAD: (TIME, lead)})
        if forecast.attention is not None:
            by_day = (STATION, "predicted_day", "past_day")
            product["attention"] = (by_day, forecast.attention[number])
        products.append(restore_metadata(product))
    return products[0] if len(products) == 1 else _set_of(products)


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


@dataclass(frozen=True)
class _StationForecasts:
    """The forecasts from one start, of the stations that reported before it.

    The series ``(station, time)`` are the measurements of the lead-in, then what was estimated, in
    the steps ``hours``; the distribution is (station, lead).
    """

    series: xr.Dataset
    distribution: RootNormal
    estimates: Estimates
    hours: slice

    @classmethod
    def of(
        cls, forecast: Forecast, number: int, observations: xr.Dataset, request: Request
    ) -> "_StationForecasts":
        """Return the forecasts of one start.

        Raises
        ------
        ValueError
            If no station has a value in the history.
        """
        variable, steps = request.variable, request.steps
        reported, column = forecast.reported[number], int(forecast.columns[number])
        if not reported.any():
            raise ValueError(
                f"no station has a value of {variable!r} in the history before "
                f"{step_begins(observations)[column]}; start earlier"
            )
        distribution = forecast.distribution[number, reported, :steps]
        estimate = distribution.estimate("mean" if forecast.estimates == "mean" else "median")
        step = step_hours(observations)
        lead_in = min(round(LEAD_IN_HOURS / step), column)
        past = observations[[variable]].isel(
            {STATION: reported, TIME: slice(column - lead_in, column)}
        )
        values = [past[variable].transpose(STATION, TIME).values, estimate]
        length = np.timedelta64(round(step * 3.6e12), "ns")
        labels = observations[TIME].values[0] + length * np.arange(column - lead_in, column + steps)
        time = xr.DataArray(labels, dims=TIME, attrs=observations[TIME].attrs)
        series = past.drop_vars([variable, TIME]).assign_coords({TIME: time})
        attributes = dict(observations[variable].attrs)
        series[variable] = ((STATION, TIME), np.concatenate(values, 1), attributes)
        return cls(series, distribution, forecast.estimates, slice(lead_in, lead_in + steps))

    def at_stations(self, request: Request) -> xr.Dataset:
        """Return the layers of a product at the stations themselves."""
        variable, distribution = request.variable, self.distribution
        values = {
            variable: distribution.estimate(request.statistic),
            f"{variable}_uncertainty": distribution.standard_error,
            **{
                quantile_name(variable, p): distribution.quantile(p)
                for p in with_median(request.quantiles, request.statistic)
            },
        }
        layers = {
            name: ((STATION, TIME), layer.astype(np.float32)) for name, layer in values.items()
        }
        absent = np.int8(PRODUCT_FLAGS["no_estimate"])
        flag = np.where(np.isnan(distribution.root), absent, np.int8(0))
        series = self.series.isel({TIME: self.hours}).assign(layers)
        series[variable].attrs = {"statistic": request.statistic}
        series[f"{variable}_flag"] = ((STATION, TIME), flag)
        distance = np.zeros(self.series.sizes[STATION], np.float32)
        return series.assign({"distance_to_nearest_station": (STATION, distance)})

    def between_stations(
        self, at: Grid | xr.Dataset, request: Request, method: Method | None
    ) -> xr.Dataset:
        """Return the layers of a product at other places, lazily.

        What was estimated goes through a fitted method as observations would. Its variance
        at a place is added to that of the forecasts, of which the spreads are weighted by inverse
        distance.

        Raises
        ------
        ValueError
            If there is no method.
        """
        if method is None:
            raise ValueError(
                "this outlook learned from fewer than three stations, which tell nothing of places "
                "between them; pass between=, a fitted estimator"
            )
        variable, series = request.variable, self.series
        lead_in = ((0, 0), (self.hours.start, 0))
        spreads = series.assign(
            {variable: series[variable].copy(data=np.pad(self.distribution.spread, lead_in))}
        )
        weighting = InverseDistance(transform=None).fit(spreads, variable)
        estimate = method.field(series, at, self.hours)
        spread = weighting.field(spreads, at, self.hours)
        field = _FieldOfForecasts(estimate, spread, self.estimates)
        if isinstance(at, Grid) and isinstance(estimate, GridField):
            positions = np.stack(at.longitude_latitude())
            field = _GridOfForecasts(estimate, spread, self.estimates, positions)
        return predict_blocks(
            field,
            at=at,
            network=StationNetwork.from_dataset(series),
            observed=series[variable].transpose(STATION, TIME).notnull().values,
            time=series[TIME],
            variable=variable,
            hours=self.hours,
            alignment=method.cost(series, variable, at).alignment,
            statistic=request.statistic,
            quantiles=request.quantiles,
        )


@dataclass(frozen=True)
class _FieldOfForecasts:
    """Forecasts anywhere: a field of what was estimated, and one of its spreads."""

    estimate: Field
    spread: Field
    estimates: Estimates

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> RootNormal:
        """Return the distribution, (n, hours) float32."""
        return self._with_spread(
            self.estimate(longitude, latitude, hours), longitude, latitude, hours
        )

    def _with_spread(
        self, field: RootNormal, longitude: np.ndarray, latitude: np.ndarray, hours: slice
    ) -> RootNormal:
        """Return the distribution of which the variance has that of the forecasts added."""
        own = self.spread(longitude, latitude, hours).median
        return distribution_of(field.root, np.sqrt(field.spread**2 + own**2), self.estimates)


@dataclass(frozen=True)
class _GridOfForecasts(_FieldOfForecasts):
    """The same on a grid, of which the field of estimates evaluates rectangular blocks."""

    estimate: Any  # a Field that is a GridField
    positions: np.ndarray  # (longitude and latitude, row, column)

    def prepared(self, hours: slice) -> Any:
        """Return what the field of estimates needs for hours."""
        return self.estimate.prepared(hours)

    def over(self, rows: slice, columns: slice, hours: slice, prepared: Any) -> RootNormal:
        """Return the distribution at cells, (rows x columns, hours) float32."""
        longitude, latitude = self.positions[:, rows, columns].reshape(2, -1)
        field = self.estimate.over(rows, columns, hours, prepared)
        return self._with_spread(field, longitude, latitude, hours)


def _layers(
    stations: _StationForecasts,
    observations: xr.Dataset,
    request: Request,
    between: Method | None,
) -> xr.Dataset:
    """Return the layers at the requested places; stations without history are interpolated."""
    if request.at is not None:
        return stations.between_stations(request.at, request, between)
    own, names = stations.at_stations(request), observations[STATION].values
    places = observations[["longitude", "latitude"]].drop_vars(TIME, errors="ignore")
    silent = places.isel({STATION: ~np.isin(names, own[STATION].values)})
    if not silent.sizes[STATION]:
        return own
    logger.warning(
        "%s without a value in the history, estimated from the others, for example %s",
        counted(silent.sizes[STATION], "station"),
        silent[STATION].values[0],
    )
    hidden = stations.between_stations(silent, request, between).compute()
    both = xr.concat([own, hidden], STATION, coords="minimal", compat="override")
    return both.sel({STATION: names})


def _set_of(products: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return one Dataset of several starts.

    Its dimensions are ``(station, lead_time, forecast_reference_time)``, or ``(lead_time,
    forecast_reference_time, lat, lon)``: CF wants others to the left of those of time and space.
    """
    by_lead = [
        product.drop_vars(f"{TIME}_bnds").swap_dims({TIME: LEAD}).drop_vars(TIME)
        for product in products
    ]
    joined = xr.concat(
        by_lead,
        REFERENCE,
        data_vars="all",
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
    # `restore_metadata` computes the valid times; label and step are taken from these attributes.
    time = xr.Variable((LEAD, REFERENCE), np.zeros((joined.sizes[LEAD], len(products))))
    time.attrs = dict(products[0][TIME].attrs)
    return restore_metadata(joined.assign_coords({TIME: time}).assign_attrs(attributes))
