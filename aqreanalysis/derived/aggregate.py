"""Statistics of days, months and longer, with errors that know how those of hours go together."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import xarray as xr

from aqreanalysis.conventions import (
    CONCENTRATION_UNITS,
    DRAW,
    MINIMUM_CAPTURE,
    POLLUTANTS,
    PRODUCT_FLAGS,
    TIME,
    draws_name,
    missing_class,
    quantile_name,
)
from aqreanalysis.derived.exceedance import median_of
from aqreanalysis.derived.layers import (
    check_units,
    usual_step_hours,
    with_all_hours,
)
from aqreanalysis.derived.statistics import (
    ROUNDING,
    PeriodStatistic,
    Span,
    means,
    statistic_of,
    sums,
)
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
from aqreanalysis.product.attributes import is_measured
from aqreanalysis.product.provenance import with_layers
from aqreanalysis.product.statistics import AVERAGING
from aqreanalysis.product.variables import MEASURED

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
#: Attributes that hold for hours alone.
_OF_HOURS = (
    *("ancillary_variables", "long_name", AVERAGING),
    *(TIME_SCALES, SHARES, DEGREES_OF_FREEDOM),
)
#: Quantiles of a mean.
QUANTILES = (0.05, 0.5, 0.95)


def aggregate(
    dataset: xr.Dataset,
    period: Period = "day",
    *,
    statistic: str = "mean",
    limit: float | None = None,
    capture: float = MINIMUM_CAPTURE,
    time_zone: str = "UTC",
) -> xr.Dataset:
    """Return a statistic of calendar periods, of a product with its standard error.

    Errors of hours are neither independent, so that they would average out, nor one and the same:
    some last for hours, and a place's own departure from its surroundings always. How much of each
    there is was learned at stations left out. The error of a mean follows from that alone; that of
    a maximum, a percentile or a count needs the draws of a product (``reanalyse(..., draws=50)``),
    of each of which the statistic is taken.

    Parameters
    ----------
    dataset : Dataset
        A product of fields or at stations, or observations, on a regular time. Of a set of
        outlooks, each start is averaged by itself.
    period : {"day", "week", "month", "season", "year"}
    statistic : str
        "mean"; "max" of the hours; "mda8", the maximum of the means over 8 hours within a day; a
        percentile of the hours, such as "p98"; "hours_above", and "days_above", the days whose
        mean is above ``limit``: layers such as ``pm25_hours_above_35`` beside the mean.
    limit : float, optional
        In ug m-3.
    capture : float
        Share of the hours of a period that must be there, of all that it has by the calendar.
    time_zone : str
        Whose days are meant, such as ``"Asia/Shanghai"``.

    Returns
    -------
    Dataset
        The statistic of each pollutant; of a product with draws or, for a mean, with what was
        learned, ``<variable>_uncertainty``, its standard error, quantiles ``<variable>_q05``,
        ``_q50`` and ``_q95``, and the flag of most hours. The statistic is the mean over the draws
        where there are some. Values count by how long they last; those of filled observations
        that were measured have no error, and their means none. The mean of medians is that of
        their distributions, a monitor's noise included. Without draws, maxima and percentiles are
        those of the estimates, which are smoother than the air, and hours above a limit are those
        to be expected by each hour's distribution. Labels are the beginnings of the periods in
        UTC, with ``time_bnds``.

    Raises
    ------
    ValueError
        If the period, the statistic, the limit, its units, the capture or the time zone is none,
        no period has enough hours, or the values last for more than half of it.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=72, seed=0).observations
    >>> product = obs.aqnet.reanalyse("pm25", grid=0.5, method="kriging", draws=20)
    >>> daily = aggregate(product, "day")
    >>> daily.sizes["time"], bool(daily.pm25_uncertainty.mean() < product.pm25_uncertainty.mean())
    (3, True)
    >>> above = aggregate(product, "week", statistic="hours_above", limit=75.0, capture=0.1)
    >>> "pm25_hours_above_75_q95" in above, above.pm25_hours_above_75.attrs["units"]
    (True, 'h')
    """
    options: dict[str, Any] = {"statistic": statistic, "limit": limit, "capture": capture}
    if REFERENCE in dataset.dims:
        return _of_each_start(dataset, period, time_zone=time_zone, **options)
    wanted, periods = check_aggregate(dataset, period, time_zone=time_zone, **options)
    names = [str(name) for name in dataset.data_vars if name in POLLUTANTS]
    for name in names:
        if f"{name}_uncertainty" in dataset and draws_name(name) not in dataset:
            _warn_of_no_error(dataset, name, wanted)
    summarised = (statistic_of("mean", None, period), wanted) if wanted.counts else (wanted,)
    parts = [
        # Of a copy: some versions of xarray empty the attributes of coordinates on the way.
        _summary(dataset.copy(), names, batch, capture, summarised)
        for batch in periods.batches()
    ]
    summary = xr.concat(parts, TIME)
    for each in summarised:
        for name in names:
            _described(dataset, summary, name, each, f"{_ADJECTIVES[period]} {each.words}")
    product = _with_coordinates(dataset, summary, periods)
    what = f"{_ADJECTIVES[period]} {wanted.words}"
    if time_zone != "UTC":
        product[TIME].attrs["long_name"] = f"time (UTC), days of {time_zone}"
    if "title" in dataset.attrs:
        product.attrs["title"] = f"{what[0].upper()}{what[1:]}: {dataset.attrs['title']}"
    made = f"{what} of {', '.join(names)}, days of {time_zone}, capture {capture:g}"
    return with_layers(product, {}, made)


def check_aggregate(
    dataset: xr.Dataset,
    period: Period,
    *,
    statistic: str,
    limit: float | None,
    capture: float,
    time_zone: str,
) -> "tuple[PeriodStatistic, _Periods]":
    """Return what is made of which periods; refuse what `aggregate` cannot make, before any work.

    Raises
    ------
    ValueError
        As of `aggregate`.
    """
    _check(dataset, period, capture)
    wanted = statistic_of(statistic, limit, period)
    periods = _Periods.of(dataset, period, time_zone)
    names = [str(name) for name in dataset.data_vars if name in POLLUTANTS]
    if not names:
        listed = ", ".join(map(str, dataset.data_vars)) or "nothing"
        raise ValueError(f"there is no pollutant to average; the dataset has {listed}")
    if wanted.counts:
        for name in names:
            check_units(dataset[name])
    if (periods.covered < capture * periods.hours * (1 - ROUNDING)).all():
        raise ValueError(
            f"no {period} has {capture:.0%} of its hours: the longest part of one has "
            f"{periods.covered.max():g} of {periods.hours[periods.covered.argmax()]:g}. Take a "
            "longer product, a shorter period, or a lower capture"
        )
    return wanted, periods


def _of_each_start(dataset: xr.Dataset, period: Period, **options: Any) -> xr.Dataset:
    """Return the means of a set of outlooks, by the time from a start to the begin of a period."""
    parts = []
    for start in dataset[REFERENCE].values:
        one = dataset.sel({REFERENCE: start})
        valid = xr.Variable(TIME, one[TIME].values, dataset[TIME].attrs)
        one = one.drop_vars(TIME).rename({LEAD: TIME}).assign_coords({TIME: valid})
        part = aggregate(one, period, **options)
        ahead = (part[TIME].values - start) / np.timedelta64(1, "h")
        parts.append(
            part.drop_vars(f"{TIME}_bnds").rename({TIME: LEAD}).assign_coords({LEAD: ahead})
        )
        stated = dict(part[TIME].attrs)
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


def _warn_of_no_error(dataset: xr.Dataset, name: str, statistic: PeriodStatistic) -> None:
    """Warn that a statistic of a product without draws has no error, if it has none."""
    if statistic.name == "mean":
        if _errors(dataset, name) is None:
            logger.warning(
                "%s gets no error of its means: the product does not say how its errors are "
                "correlated over time. Reanalyse two days or more from ten stations or more",
                name,
            )
        return
    expected = "expected hour by hour" if statistic.name == "hours_above" else "of the estimates"
    logger.warning(
        "the %s of %s has no error, and is that %s: how the errors of hours go together is in "
        "draws. Reanalyse with draws=50",
        statistic.words,
        name,
        expected,
    )


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

    time_zone: str
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
        return cls(time_zone, edge[reached], edge[reached + 1], rows, stamps, lengths)

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


def _summary(
    dataset: xr.Dataset,
    names: list[str],
    periods: _Periods,
    capture: float,
    statistics: Sequence[PeriodStatistic],
) -> xr.Dataset:
    """Return the statistics of some periods that follow each other, and their flags."""
    first, stop = periods.rows[0].start, periods.rows[-1].stop
    part = dataset.isel({TIME: slice(first, stop)})
    days = _Periods.of(part, "day", periods.time_zone)
    span = Span(
        cuts=[slice(rows.start - first, rows.stop - first) for rows in periods.rows],
        needed=capture * periods.hours * (1 - ROUNDING),
        days=days.rows,
        days_needed=capture * days.hours * (1 - ROUNDING),
        stamps=periods.stamps[first:stop],
        lengths=periods.lengths[first:stop],
    )
    layers: dict[str, xr.DataArray] = {}
    for name in names:
        for statistic in statistics:
            layers |= _layers(part, name, statistic, span)
        if f"{name}_flag" in part:
            (flag,) = _per_period(
                partial(_most_frequent, cuts=span.cuts), [part[f"{name}_flag"]], 1, span, np.int8
            )
            known = layers[name].notnull() | (flag == missing_class(np.int8))
            layers[f"{name}_flag"] = flag.where(known, np.int8(PRODUCT_FLAGS["no_estimate"]))
    return xr.Dataset(layers)


def _layers(
    part: xr.Dataset, name: str, statistic: PeriodStatistic, span: Span
) -> dict[str, xr.DataArray]:
    """Return a statistic of a pollutant, and its error and quantiles where they are known."""
    layer, error, draws = statistic.layer(name), f"{name}_uncertainty", draws_name(name)
    outputs = [layer, f"{layer}_uncertainty", *(quantile_name(layer, p) for p in QUANTILES)]
    inputs = [part[each] for each in (name, error) if each in part]
    make: Callable[..., Any]
    if draws in part:
        make, inputs = partial(_of_periods, statistic=statistic, span=span), [part[draws]]
    elif statistic.name == "mean":
        correlation = _errors(part, name)
        outputs = outputs if correlation is not None else outputs[:1]
        make = partial(
            _mean_of,
            span=span,
            correlation=correlation,
            freedom=freedom_of(part[error].attrs) if error in part else np.inf,
            is_median=part[name].attrs.get("statistic", "median") == "median",
        )
    else:
        make, outputs = partial(_of_values, statistic=statistic, span=span), outputs[:1]
        if statistic.name == "hours_above" and statistic.limit and error in part:
            freedom = freedom_of(part[error].attrs)
            make = partial(_expected_hours, limit=statistic.limit, span=span, freedom=freedom)
            inputs = [median_of(part, name), part[error]]
        else:
            inputs = inputs[:1]
    made = _per_period(make, inputs, len(outputs), span, np.float32)
    return dict(zip(outputs, made, strict=True))


def _per_period(
    make: Callable[..., Any], inputs: list[xr.DataArray], outputs: int, span: Span, kind: type
) -> list[xr.DataArray]:
    """Return what is made of layers (..., time), or of draws, by period; lazy ones stay lazy."""
    core = [[DRAW, TIME] if DRAW in layer.dims else [TIME] for layer in inputs]
    made = xr.apply_ufunc(
        make,
        *(with_all_hours(layer) for layer in inputs),
        input_core_dims=core,
        output_core_dims=[[TIME]] * outputs,
        exclude_dims={TIME},
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {TIME: len(span.cuts)}},
        output_dtypes=[kind] * outputs,
    )
    every = made if outputs > 1 else [made]
    return [layer.astype(kind, copy=False).drop_attrs(deep=False) for layer in every]


def _of_values(values: np.ndarray, *, statistic: PeriodStatistic, span: Span) -> np.ndarray:
    """Return a statistic of values (..., t), (..., period)."""
    return statistic.of(values, span)


def _of_periods(
    draws: np.ndarray, *, statistic: PeriodStatistic, span: Span
) -> tuple[np.ndarray, ...]:
    """Return mean, standard deviation and quantiles of a statistic of draws (..., draw, t)."""
    each = np.stack([statistic.of(draw, span) for draw in np.moveaxis(draws, -2, 0)])
    return of_draws(each)


def of_draws(each: np.ndarray, *, axis: int = 0) -> tuple[np.ndarray, ...]:
    """Return mean, standard deviation and the `QUANTILES` of draws along an axis, float32.

    Examples
    --------
    >>> mean, error, *quantiles = of_draws(np.arange(19.0))
    >>> float(mean), [float(value) for value in quantiles]
    (9.0, [0.0, 9.0, 18.0])
    """
    each = np.moveaxis(each, axis, 0).astype(np.float64)
    few = len(each) < 2
    error = np.full(each.shape[1:], np.nan) if few else each.std(axis=0, ddof=1)
    # Ranks at which a further draw would be below with the probability (Weibull).
    quantiles = np.quantile(each, QUANTILES, axis=0, method="weibull")
    return tuple(np.asarray(layer, np.float32) for layer in (each.mean(axis=0), error, *quantiles))


def _expected_hours(
    median: np.ndarray, errors: np.ndarray, *, limit: float, span: Span, freedom: float
) -> np.ndarray:
    """Return how many hours above a limit are to be expected of each period."""
    above = RootNormal.from_median(median, errors, freedom=freedom).above(limit)
    hours = sums(np.where(np.isfinite(median), above * span.lengths, 0.0), span.cuts)
    return np.where(span.enough(median), hours, np.nan)


def _mean_of(
    values: np.ndarray,
    errors: np.ndarray | None = None,
    *,
    span: Span,
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
    mean = means(values, span)
    if correlation is None or errors is None:
        return mean
    weighted = np.where(present, errors * span.lengths, 0.0)
    total = [correlation.of_sum(weighted[..., cut], span.stamps[cut]) for cut in span.cuts]
    covered = sums(np.where(present, span.lengths, 0.0), span.cuts)
    unknown = sums(present & np.isnan(errors), span.cuts) > 0
    error = np.divide(
        np.stack(total, axis=-1), covered, out=np.full(covered.shape, np.nan), where=~np.isnan(mean)
    )
    error = np.where(unknown, np.nan, error)
    law = RootNormal.from_mean(mean, error)
    return (mean, error, *(law.quantile(p) for p in QUANTILES))


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


def _described(
    dataset: xr.Dataset, summary: xr.Dataset, name: str, statistic: PeriodStatistic, words: str
) -> None:
    """Give the layers of a pollutant's statistic the attributes of those of its hours."""
    layer = statistic.layer(name)
    error, quantiles = f"{layer}_uncertainty", {quantile_name(layer, p): p for p in QUANTILES}
    long_name = f"{words} of {POLLUTANTS[name].long_name}"
    every = [each for each in (layer, error, f"{layer}_flag", *quantiles) if each in summary]
    for each in every:
        summary[each] = summary[each].transpose(*dataset[name].dims)
    for each in {name, f"{name}_uncertainty", f"{name}_flag"} & {*every} & {*dataset.variables}:
        stated = dataset[each].attrs
        summary[each].attrs = {k: v for k, v in stated.items() if k not in _OF_HOURS}
    mapped = {k: v for k, v in dataset[name].attrs.items() if k == "grid_mapping"}
    units = statistic.units
    if not statistic.counts:
        units = summary[name].attrs.get("units", CONCENTRATION_UNITS)
    draws = dataset.get(draws_name(name))
    of_estimates = draws is None and not statistic.counts and statistic.name != "mean"
    estimate = dataset[name].attrs.get("statistic", "median") if of_estimates else "mean"
    summary[layer].attrs |= {
        **mapped,
        "statistic": estimate,
        "long_name": long_name,
        "units": units,
        "coverage_content_type": MEASURED if is_measured(dataset, name) else "modelResult",
    }
    if not statistic.counts:
        summary[layer].attrs["cell_methods"] = statistic.cell_method
    if draws is not None:
        of = draws.attrs.get("draws_of", "measurements")
        summary[layer].attrs["comment"] = f"mean over {draws.sizes[DRAW]} draws of {of}"
    if error not in summary:
        return
    summary[error].attrs |= {
        **mapped,
        "long_name": f"standard error of {long_name}",
        "units": units,
        "coverage_content_type": "qualityInformation",
    }
    for each, p in quantiles.items():
        summary[each].attrs = {
            "long_name": f"{100 * p:g} % quantile of {long_name}",
            "units": units,
            "quantile": p,
            "coverage_content_type": "qualityInformation",
            **mapped,
        }


def _with_coordinates(dataset: xr.Dataset, summary: xr.Dataset, periods: _Periods) -> xr.Dataset:
    """Return statistics with the times of their periods, and all that has no time."""
    length = (periods.ends - periods.begins) / np.timedelta64(1, "h")
    stated = {"time_label": "start", "step_hours": float(np.median(length))}
    attributes = dataset[TIME].attrs | {"bounds": f"{TIME}_bnds"} | stated
    constant = [
        name
        for name, layer in dataset.variables.items()
        if TIME not in layer.dims and name not in (*summary.variables, DRAW)
    ]
    coordinates = {
        name: layer.variable
        for name, layer in dataset.coords.items()
        if TIME not in layer.dims and name != DRAW
    }
    joined = summary.merge(dataset[constant], compat="override", join="override").assign_coords(
        {
            **coordinates,
            TIME: (TIME, periods.begins, attributes),
            f"{TIME}_bnds": ((TIME, "bnds"), np.stack([periods.begins, periods.ends], axis=1)),
        }
    )
    of_hours = ("id", "time_coverage")
    attributes = {k: v for k, v in dataset.attrs.items() if not str(k).startswith(of_hours)}
    return joined.assign_attrs(attributes)
