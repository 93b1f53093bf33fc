"""Means over days, months and longer, with an error that knows how hourly errors are correlated."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import (
    CONCENTRATION_UNITS,
    MINIMUM_CAPTURE,
    POLLUTANTS,
    PRODUCT_FLAGS,
    TIME,
    missing_class,
    quantile_name,
)
from aqreanalysis.derived.layers import usual_step_hours, with_all_hours, with_layers
from aqreanalysis.observations import period_bounds
from aqreanalysis.predictive import (
    DEGREES_OF_FREEDOM,
    SHARES,
    TIME_SCALES,
    ErrorCorrelation,
    RootNormal,
    freedom_of,
)
from aqreanalysis.product import LEAD, REFERENCE, restore_metadata

logger = logging.getLogger(__name__)

#: What is averaged over.
Period = Literal["day", "week", "month", "season", "year"]
#: How pandas calls the beginnings of periods; a season begins in December, March, ...
_BEGINNINGS = {"day": "D", "week": "W-MON", "month": "MS", "season": "QS-DEC", "year": "YS"}
_LONGEST = {"day": "1D", "week": "7D", "month": "31D", "season": "92D", "year": "366D"}
_ADJECTIVES = {
    "day": "daily",
    "week": "weekly",
    "month": "monthly",
    "season": "seasonal",
    "year": "yearly",
}
#: Values that are averaged at once, at least: a graph of single days would be large.
_BATCH_STEPS = 720
#: Rounding of the hours of a period.
_ROUNDING = 1e-9
#: Attributes that hold for hours alone.
_OF_HOURS = (
    *("ancillary_variables", "long_name", "averaging_hours"),
    *(TIME_SCALES, SHARES, DEGREES_OF_FREEDOM),
)
#: Quantiles of a mean.
QUANTILES = (0.05, 0.5, 0.95)


def aggregate(
    dataset: xr.Dataset,
    period: Period = "day",
    *,
    capture: float = MINIMUM_CAPTURE,
    time_zone: str = "UTC",
) -> xr.Dataset:
    """Return means over calendar periods, of a product with their standard error.

    Errors of hours are neither independent, so that they would average out, nor one and the same:
    some last for hours, and a place's own departure from its surroundings always. How much of each
    there is was learned at stations left out, and stands in the attributes of the product's
    standard error (`aqreanalysis.predictive.ErrorCorrelation`).

    Parameters
    ----------
    dataset : Dataset
        A product of fields or at stations, or observations, on a regular time. Of a set of
        outlooks, each start is averaged by itself.
    period : {"day", "week", "month", "season", "year"}
    capture : float
        Share of the hours of a period that must be there, of all that it has by the calendar.
    time_zone : str
        Whose days are meant, such as ``"Asia/Shanghai"``.

    Returns
    -------
    Dataset
        Each pollutant's mean; of a product, ``<variable>_uncertainty``, the standard error of what
        a new monitor would average, quantiles ``<variable>_q05``, ``_q50`` and ``_q95``, and the
        flag of most hours. Values count by how long they last; those of filled observations that
        were measured have no error, and their means none. The mean of medians is that of their
        distributions, a monitor's noise included. Labels are the beginnings of the periods in UTC,
        with ``time_bnds``.

    Raises
    ------
    ValueError
        If the period, the capture or the time zone is none, no period has enough hours, or the
        values last for more than half of it.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=72, seed=0).observations
    >>> product = obs.aqnet.reanalyse("pm25", grid=0.5, method="kriging")
    >>> daily = aggregate(product, "day")
    >>> daily.sizes["time"], bool((daily.pm25_uncertainty < product.pm25_uncertainty.max()).all())
    (3, True)
    """
    if REFERENCE in dataset.dims:
        return _of_each_start(dataset, period, capture=capture, time_zone=time_zone)
    _check(dataset, period, capture)
    periods = _Periods.of(dataset, period, time_zone)
    names = [str(name) for name in dataset.data_vars if name in POLLUTANTS]
    if not names:
        listed = ", ".join(map(str, dataset.data_vars)) or "nothing"
        raise ValueError(f"there is no pollutant to average; the dataset has {listed}")
    for name in names:
        if f"{name}_uncertainty" in dataset and _errors(dataset, name) is None:
            logger.warning(
                "%s gets no error of its means: the product does not say how its errors are "
                "correlated over time. Reanalyse two days or more from ten stations or more",
                name,
            )
    if (periods.covered < capture * periods.hours * (1 - _ROUNDING)).all():
        raise ValueError(
            f"no {period} has {capture:.0%} of its hours: the longest part of one has "
            f"{periods.covered.max():g} of {periods.hours[periods.covered.argmax()]:g}. Take a "
            "longer product, a shorter period, or a lower capture"
        )
    parts = [_means(dataset, names, batch, capture) for batch in periods.batches()]
    means = xr.concat(parts, TIME)
    mean_of = f"{_ADJECTIVES[period]} mean"
    for name in names:
        _described(dataset, means, name, mean_of)
    product = _with_coordinates(dataset, means, periods)
    if time_zone != "UTC":
        product[TIME].attrs["long_name"] = f"time (UTC), days of {time_zone}"
    if "title" in dataset.attrs:
        product.attrs["title"] = f"{mean_of.capitalize()}s: {dataset.attrs['title']}"
    made = f"{mean_of}s of {', '.join(names)}, days of {time_zone}, capture {capture:g}"
    return with_layers(product, {}, made)


def _of_each_start(dataset: xr.Dataset, period: Period, **options: Any) -> xr.Dataset:
    """Return the means of a set of outlooks, by the time from a start to the begin of a period."""
    parts = []
    for start in dataset[REFERENCE].values:
        one = dataset.sel({REFERENCE: start})
        valid = xr.Variable(TIME, one[TIME].values, dataset[TIME].attrs)
        one = one.drop_vars(TIME).rename({LEAD: TIME}).assign_coords({TIME: valid})
        means = aggregate(one, period, **options)
        ahead = (means[TIME].values - start) / np.timedelta64(1, "h")
        parts.append(
            means.drop_vars(f"{TIME}_bnds").rename({TIME: LEAD}).assign_coords({LEAD: ahead})
        )
        stated = dict(means[TIME].attrs)
    joined = xr.concat(
        parts,
        REFERENCE,
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    times = np.zeros((joined.sizes[LEAD], joined.sizes[REFERENCE]))
    return restore_metadata(joined.assign_coords({TIME: ((LEAD, REFERENCE), times, stated)}))


def _check(dataset: xr.Dataset, period: str, capture: float) -> None:
    """Refuse what cannot be averaged over a period."""
    if period not in get_args(Period):
        raise ValueError(f"period must be one of {', '.join(get_args(Period))}; found {period!r}")
    number = isinstance(capture, int | float) and not isinstance(capture, bool)
    if not (number and 0 < capture <= 1):
        raise ValueError(
            f"capture is a share of the hours, above 0 and at most 1; found {capture!r}"
        )
    if TIME not in dataset.dims or not dataset.sizes[TIME]:
        raise ValueError("there is nothing to average: the dataset has no dimension 'time'")
    step = usual_step_hours(dataset)
    if step > pd.Timedelta(_LONGEST[period]) / pd.Timedelta("1h") / 2:
        raise ValueError(
            f"values of {step:g} h have no means over a {period}; choose a longer period"
        )


@dataclass(frozen=True, eq=False)
class _Periods:
    """Calendar periods: beginnings and ends in UTC, and the rows of the time axis of each.

    ``stamps`` and ``lengths`` (t,) are when each value begins, and how long it lasts, in hours.
    """

    begins: np.ndarray
    ends: np.ndarray
    rows: list[slice]
    stamps: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, dataset: xr.Dataset, period: Period, time_zone: str) -> Self:
        """Return the periods of a time zone that the time axis reaches, by when values begin."""
        try:
            zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
            raise ValueError(
                f"there is no time zone {time_zone!r}; write one as 'Asia/Shanghai' or 'UTC'"
            ) from error
        begin, end = _value_periods(dataset)
        if (np.diff(begin) <= np.timedelta64(0)).any():
            raise ValueError("time must increase; sort the dataset by it")
        days = pd.DatetimeIndex(begin, tz="UTC").tz_convert(zone).tz_localize(None).normalize()
        offset = pd.tseries.frequencies.to_offset(_BEGINNINGS[period])
        edges = pd.date_range(offset.rollback(days[0]), days[-1] + 2 * offset, freq=offset)
        local = edges.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        edge = local.tz_convert("UTC").tz_localize(None).values.astype("datetime64[ns]")
        first = np.searchsorted(begin, edge)
        reached = np.flatnonzero(np.diff(first))
        rows = [slice(int(first[at]), int(first[at + 1])) for at in reached]
        hour = np.timedelta64(1, "h")
        stamps, lengths = (begin - begin[0]) / hour, (end - begin) / hour
        return cls(edge[reached], edge[reached + 1], rows, stamps, lengths)

    @property
    def hours(self) -> np.ndarray:
        """How many hours each period has by the calendar."""
        hours: np.ndarray = (self.ends - self.begins) / np.timedelta64(1, "h")
        return hours

    @property
    def covered(self) -> np.ndarray:
        """How many of them the time axis has."""
        return np.array([self.lengths[rows].sum() for rows in self.rows])

    def batches(self) -> Iterator[Self]:
        """Yield subsequent periods that are averaged together, of `_BATCH_STEPS` or more."""
        first = 0
        for last in range(1, len(self.rows) + 1):
            long = self.rows[last - 1].stop - self.rows[first].start >= _BATCH_STEPS
            if long or last == len(self.rows):
                part = slice(first, last)
                yield replace(
                    self, begins=self.begins[part], ends=self.ends[part], rows=self.rows[part]
                )
                first = last


def _value_periods(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return when each value begins and ends, by ``time_bnds`` or else by the step of time."""
    stamps = dataset[TIME].values.astype("datetime64[ns]")
    bounds = dataset.variables.get(f"{TIME}_bnds")
    if bounds is not None and bounds.shape == (stamps.size, 2) and bounds.dtype.kind == "M":
        begin, end = bounds.values.astype("datetime64[ns]").T
        return begin, end
    label = str(dataset[TIME].attrs.get("time_label", "start"))
    periods = period_bounds(stamps, time_label=label, step_hours=usual_step_hours(dataset))
    return periods[:, 0], periods[:, 1]


def _errors(dataset: xr.Dataset, name: str) -> ErrorCorrelation | None:
    """Return how the errors of a pollutant are correlated over time, if that is stated."""
    error = f"{name}_uncertainty"
    return ErrorCorrelation.from_attributes(dataset[error].attrs) if error in dataset else None


def _means(dataset: xr.Dataset, names: list[str], periods: _Periods, capture: float) -> xr.Dataset:
    """Return the means of some periods that follow each other."""
    first = periods.rows[0].start
    part = dataset.isel({TIME: slice(first, periods.rows[-1].stop)})
    cuts = [slice(rows.start - first, rows.stop - first) for rows in periods.rows]
    span = slice(first, periods.rows[-1].stop)
    layers: dict[str, xr.DataArray] = {}
    for name in names:
        error, correlation = f"{name}_uncertainty", _errors(part, name)
        inputs = [part[layer] for layer in (name, error) if layer in part]
        outputs = [name]
        if correlation is not None:
            outputs += [error, *(quantile_name(name, p) for p in QUANTILES)]
        average = partial(
            _mean_of,
            cuts=cuts,
            needed=capture * periods.hours * (1 - _ROUNDING),
            stamps=periods.stamps[span],
            lengths=periods.lengths[span],
            correlation=correlation,
            freedom=freedom_of(part[error].attrs) if error in part else np.inf,
            is_median=part[name].attrs.get("statistic", "median") == "median",
        )
        means = xr.apply_ufunc(
            average,
            *(with_all_hours(layer) for layer in inputs),
            input_core_dims=[[TIME]] * len(inputs),
            output_core_dims=[[TIME]] * len(outputs),
            exclude_dims={TIME},
            dask="parallelized",
            dask_gufunc_kwargs={"output_sizes": {TIME: len(cuts)}},
            output_dtypes=[np.float32] * len(outputs),
        )
        made = means if len(outputs) > 1 else [means]
        layers |= {
            output: layer.drop_attrs(deep=False)
            for output, layer in zip(outputs, made, strict=True)
        }
        if f"{name}_flag" in part:
            flag: xr.DataArray = xr.apply_ufunc(
                partial(_most_frequent, cuts=cuts),
                with_all_hours(part[f"{name}_flag"]),
                input_core_dims=[[TIME]],
                output_core_dims=[[TIME]],
                exclude_dims={TIME},
                dask="parallelized",
                dask_gufunc_kwargs={"output_sizes": {TIME: len(cuts)}},
                output_dtypes=[np.int8],
            )
            known = layers[name].notnull() | (flag == missing_class(np.int8))
            layers[f"{name}_flag"] = flag.where(known, np.int8(PRODUCT_FLAGS["no_estimate"]))
    return xr.Dataset(layers)


def _mean_of(
    values: np.ndarray,
    errors: np.ndarray | None = None,
    *,
    cuts: list[slice],
    needed: np.ndarray,
    stamps: np.ndarray,
    lengths: np.ndarray,
    correlation: ErrorCorrelation | None,
    freedom: float,
    is_median: bool,
) -> np.ndarray | tuple[np.ndarray, ...]:
    """Return means (..., period) of values (..., t); with a correlation, error and quantiles."""
    values = values.astype(np.float64)
    present = np.isfinite(values)
    if errors is not None:
        errors = errors.astype(np.float64)
        if is_median:
            law = RootNormal.from_median(values, errors, freedom=freedom)
            values = values + np.nan_to_num(law.spread) ** 2  # measured values have no error
    covered = _sums(np.where(present, lengths, 0.0), cuts)
    total = _sums(np.where(present, values * lengths, 0.0), cuts)
    enough = covered >= needed
    mean = np.divide(total, covered, out=np.full(covered.shape, np.nan), where=enough)
    if correlation is None or errors is None:
        return mean.astype(np.float32)
    weighted = np.where(present, errors * lengths, 0.0)
    sums = [correlation.of_sum(weighted[..., cut], stamps[cut]) for cut in cuts]
    unknown = _sums(present & np.isnan(errors), cuts) > 0
    error = np.divide(
        np.stack(sums, axis=-1), covered, out=np.full(covered.shape, np.nan), where=enough
    )
    error = np.where(unknown, np.nan, error)
    law = RootNormal.from_mean(mean, error)
    layers = (mean, error, *(law.quantile(p) for p in QUANTILES))
    return tuple(layer.astype(np.float32) for layer in layers)


def _sums(values: np.ndarray, cuts: list[slice]) -> np.ndarray:
    """Return the sum of values (..., t) in each part of the last axis, (..., part)."""
    return np.stack([values[..., cut].sum(axis=-1) for cut in cuts], axis=-1)


def _most_frequent(flags: np.ndarray, *, cuts: list[slice]) -> np.ndarray:
    """Return the flag that most hours of each period with an estimate have, (..., period) int8.

    It is missing where it is at all hours, outside of a clip.
    """
    kinds = sorted(kind for name, kind in PRODUCT_FLAGS.items() if name != "no_estimate")
    counts = [[(flags[..., cut] == kind).sum(axis=-1) for cut in cuts] for kind in kinds]
    most = np.array(kinds, np.int8)[np.argmax(counts, axis=0)]
    missing = missing_class(np.int8)
    outside = [(flags[..., cut] == missing).all(axis=-1) for cut in cuts]
    return np.moveaxis(np.where(outside, np.int8(missing), most), 0, -1)


def _described(dataset: xr.Dataset, means: xr.Dataset, name: str, mean_of: str) -> None:
    """Give the layers of a pollutant's means the attributes of those of its hours."""
    long_name = f"{mean_of} of {POLLUTANTS[name].long_name}"
    for layer in map(str, means.data_vars):
        if layer == name or layer.startswith(f"{name}_"):
            means[layer] = means[layer].transpose(*dataset[name].dims)
    for layer in {name, f"{name}_uncertainty", f"{name}_flag"} & set(means):
        stated = dataset[layer].attrs
        means[layer].attrs = {k: v for k, v in stated.items() if k not in _OF_HOURS}
    means[name].attrs |= {"statistic": "mean", "long_name": long_name}
    means[name].attrs["cell_methods"] = f"{TIME}: mean"
    if f"{name}_uncertainty" not in means:
        return
    means[f"{name}_uncertainty"].attrs["long_name"] = f"standard error of {long_name}"
    for p in QUANTILES:
        means[quantile_name(name, p)].attrs = {
            "long_name": f"{100 * p:g} % quantile of {long_name}",
            "units": means[name].attrs.get("units", CONCENTRATION_UNITS),
            "quantile": p,
            **{k: v for k, v in means[name].attrs.items() if k == "grid_mapping"},
        }


def _with_coordinates(dataset: xr.Dataset, means: xr.Dataset, periods: _Periods) -> xr.Dataset:
    """Return means with the times of their periods, and all of the dataset that has no time."""
    length = (periods.ends - periods.begins) / np.timedelta64(1, "h")
    stated = {"time_label": "start", "step_hours": float(np.median(length))}
    attributes = dataset[TIME].attrs | {"bounds": f"{TIME}_bnds"} | stated
    constant = [
        name
        for name, layer in dataset.variables.items()
        if TIME not in layer.dims and name not in means.variables
    ]
    coordinates = {
        name: layer.variable for name, layer in dataset.coords.items() if TIME not in layer.dims
    }
    joined = means.merge(dataset[constant], compat="override", join="override").assign_coords(
        {
            **coordinates,
            TIME: (TIME, periods.begins, attributes),
            f"{TIME}_bnds": ((TIME, "bnds"), np.stack([periods.begins, periods.ends], axis=1)),
        }
    )
    of_hours = ("id", "time_coverage")
    attributes = {k: v for k, v in dataset.attrs.items() if not str(k).startswith(of_hours)}
    return joined.assign_attrs(attributes)
