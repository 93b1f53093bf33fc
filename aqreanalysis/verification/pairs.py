"""Pairs: the measurements of hidden stations, and each method's estimates of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from aqreanalysis.conventions import MINIMUM_CAPTURE, STATION, TIME
from aqreanalysis.foreign.averaging import mean_by_group
from aqreanalysis.predictive import DEGREES_OF_FREEDOM, ErrorCorrelation, RootNormal
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.strata import (
    HOURS_PER_DAY,
    hour_of_day,
    local_middles,
    month_of_year,
    period_hours,
)

#: Dimension of the methods; ``sel(method=...)`` is an argument of xarray's own.
ESTIMATOR = "estimator"
#: Layer of how the errors of each method last, and the coordinate of its time scales, hours.
ERROR_SHARES, ERROR_SCALE = "error_shares", "error_scale_h"
#: Layer of the hours since the nearest station that was not hidden reported.
SILENCE = "silence_hours"

_LASTING_DIMS = (ESTIMATOR, STATION, ERROR_SCALE)


def build_pairs(
    observations: xr.Dataset,
    variable: str,
    *,
    truth: np.ndarray,
    estimate: np.ndarray,
    standard_error: np.ndarray,
    median: np.ndarray | None = None,
    freedom: np.ndarray | None = None,
    lasting: tuple[Sequence[float], np.ndarray] | None = None,
    silence_hours: np.ndarray | None = None,
    methods: Sequence[str],
    stations: Mapping[str, Any],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Return the pairs of truth and estimates.

    Parameters
    ----------
    observations : Dataset
        Gives stations, positions and times.
    variable : str
    truth : (station, time) float
        NaN where nothing was measured or is to be scored.
    estimate, standard_error : (estimator, station, time) float
        NaN where a method gives none.
    median : (estimator, station, time) float, optional
        Of the distributions, where the estimate is another statistic.
    freedom : (estimator, station) float, optional
        Degrees of freedom of the distributions; infinite, as by default, for normal ones.
    lasting : tuple of (scale,) and (estimator, station, scale) float, optional
        How errors are correlated over time: time scales in hours, and their shares of the variance,
        NaN where that is not known. Daily means have an error by it.
    silence_hours : (station, time) float, optional
        Hours since the nearest station that was not hidden reported.
    methods : sequence of str
    stations : mapping of (station,) arrays
        ``distance_km`` to the nearest station that was not hidden, ``place``, ``fold``.
    attributes : mapping
        ``by``, ``design``, ``failures``, ``remarks``.

    Returns
    -------
    Dataset
        ``truth``, ``estimate``, ``standard_error``, ``median`` and ``silence_hours`` if they are
        given, and, on estimator and station, ``degrees_of_freedom`` and ``error_shares`` if they
        are given and ``answered``: whether the method gave any estimate at that station.
    """
    units = str(observations[variable].attrs.get("units", ""))
    position = {name: observations[name].variable for name in (STATION, "longitude", "latitude")}
    by_method = {"estimate": estimate, "standard_error": standard_error}
    by_method |= {} if median is None else {"median": median}
    scales, shares = lasting or ((), None)
    return xr.Dataset(
        {
            "truth": ((STATION, TIME), truth.astype(np.float64), {"units": units}),
            **({} if silence_hours is None else {SILENCE: ((STATION, TIME), silence_hours)}),
            **{
                name: ((ESTIMATOR, STATION, TIME), values.astype(np.float32), {"units": units})
                for name, values in by_method.items()
            },
            "answered": ((ESTIMATOR, STATION), np.isfinite(estimate).any(axis=-1)),
            **({} if freedom is None else {DEGREES_OF_FREEDOM: ((ESTIMATOR, STATION), freedom)}),
            **({} if shares is None else {ERROR_SHARES: (_LASTING_DIMS, shares)}),
        },
        coords={
            ESTIMATOR: np.array(methods, dtype=str),
            **position,
            TIME: observations[TIME].variable,
            **({} if shares is None else {ERROR_SCALE: np.array(scales, np.float64)}),
            **{name: (STATION, values) for name, values in stations.items()},
        },
        attrs={"variable": variable, "units": units, **attributes},
    )


def quality_remarks(observations: xr.Dataset, used: xr.Dataset) -> list[str]:
    """Return what `aqreanalysis.observations.usable` wrote into the history, if it did."""
    return [] if used is observations else [str(used.attrs["history"]).rpartition("\n")[2]]


@dataclass(frozen=True)
class Sample:
    """Truth and estimates, which of them are scored, and their strata.

    Attributes
    ----------
    truth : (station, time) float64
        NaN where there is none.
    estimate, standard_error, median : (estimator, station, time) float64
    freedom : (estimator, station) float64
        Degrees of freedom of the distributions.
    lasting : (estimator, station) object
        `ErrorCorrelation` of the errors over time, or None where it is not known.
    scored : (estimator, station, time) bool
        Where the truth is finite, and so is the estimate of every method that gives any at the
        station: all methods are compared on the same values.
    hour, month : (station, time) int
        Of local time; the hour is -1 where a value spans a day.
    """

    truth: np.ndarray
    estimate: np.ndarray
    standard_error: np.ndarray
    median: np.ndarray
    freedom: np.ndarray
    lasting: np.ndarray
    scored: np.ndarray
    hour: np.ndarray
    month: np.ndarray

    @classmethod
    def of(cls, pairs: xr.Dataset) -> Self:
        """Return the sample of all steps of the pairs."""
        truth = pairs["truth"].transpose(STATION, TIME).values
        order = (ESTIMATOR, STATION, TIME)
        estimate, error, median = (
            pairs[name].transpose(*order).values.astype(np.float64)
            for name in ("estimate", "standard_error", median_layer(pairs))
        )
        error[~(error >= 0)] = np.nan  # a negative one is invalid
        estimated = np.isfinite(estimate)
        active = np.asarray(estimated.any(axis=-1))  # methods at stations
        if "answered" in pairs:
            active = pairs["answered"].transpose(ESTIMATOR, STATION).values
        common = np.isfinite(truth) & (estimated | ~active[..., None]).all(axis=0)
        middles = local_middles(pairs, pairs["longitude"].values)
        daily = period_hours(pairs) >= HOURS_PER_DAY
        hour = np.full(middles.shape, -1) if daily else hour_of_day(middles)
        scored, month = common & estimated, month_of_year(middles)
        freedom, lasting = freedom_in(pairs), lasting_in(pairs)
        return cls(truth, estimate, error, median, freedom, lasting, scored, hour, month)

    def distribution(self, method: int, station: Any, hours: Any = slice(None)) -> RootNormal:
        """Return the predictive distribution of a method, at a station or some of equal freedom."""
        freedom = float(np.ravel(self.freedom[method][station])[0])
        where = (method, station, hours)
        return RootNormal.from_median(
            self.median[where], self.standard_error[where], freedom=freedom
        )

    def daily_means(self, pairs: xr.Dataset) -> Self:
        """Return the sample of local days of which three quarters of the steps are scored.

        A daily mean has the standard error of its hours as far as it is known how these go
        together; otherwise none. Its distribution is about the mean of those of the hours.
        """
        middles = local_middles(pairs, pairs["longitude"].values)
        middles = np.broadcast_to(middles, self.truth.shape)
        day = np.floor(middles / HOURS_PER_DAY).astype(np.int64)
        first, last = int(day.min()), int(day.max())
        steps = HOURS_PER_DAY / period_hours(pairs)
        shape = (self.truth.shape[0], last - first + 1)
        # One number for each day of each station, since local days differ between stations.
        number = (np.arange(shape[0])[:, None] * shape[1] + day - first).ravel()
        needed = np.full(shape[0] * shape[1], MINIMUM_CAPTURE * steps)

        def mean(values: np.ndarray, scored: np.ndarray) -> np.ndarray:
            series = np.where(scored, values, np.nan).reshape(1, -1)
            return mean_by_group(series, number, needed).reshape(shape)

        # The truth of a day is the mean of the same hours for all methods.
        common = np.asarray(self.scored.any(axis=0))
        truth = mean(self.truth, common)
        estimate = np.stack([mean(*pair) for pair in zip(self.estimate, self.scored, strict=True)])
        days = (np.arange(first, last + 1) + 0.5) * HOURS_PER_DAY
        month = np.broadcast_to(month_of_year(days), shape)
        slot = np.floor(middles % HOURS_PER_DAY / period_hours(pairs)).astype(np.int64)
        error, median = np.full((2, *estimate.shape), np.nan)
        for method in range(len(estimate)):
            error[method] = self._errors_of_days(method, day - first, slot, shape[1], round(steps))
            level = mean(self._means(method), self.scored[method])
            median[method] = RootNormal.from_mean(level, error[method]).median
        return type(self)(
            truth,
            estimate,
            error,
            median,
            np.full(self.freedom.shape, np.inf),
            self.lasting,
            np.isfinite(truth) & np.isfinite(estimate),
            np.full(shape, -1),
            month,
        )

    def _means(self, method: int) -> np.ndarray:
        """Return the means of the distributions of a method, (station, time)."""
        means = np.full(self.truth.shape, np.nan)
        for freedom in np.unique(self.freedom[method]):
            rows = np.flatnonzero(self.freedom[method] == freedom)
            means[rows] = self.distribution(method, rows).mean
        return means

    def _errors_of_days(
        self, method: int, day: np.ndarray, slot: np.ndarray, days: int, steps: int
    ) -> np.ndarray:
        """Return the standard errors of a method's means of days, (station, day), NaN if unknown.

        ``day`` and ``slot`` (station, time) are the day of a value, and which value of it.
        """
        stations = np.broadcast_to(np.arange(len(day))[:, None], day.shape)
        of_hours = np.zeros((len(day), days, steps))
        scored = self.scored[method]
        where = stations[scored], day[scored], slot[scored]
        of_hours[where] = self.standard_error[method][scored]
        count = np.zeros(of_hours.shape[:2])
        np.add.at(count, where[:2], 1)
        errors = np.full(count.shape, np.nan)
        hours = np.arange(steps) * HOURS_PER_DAY / steps
        for correlation in {each for each in self.lasting[method] if each is not None}:
            rows = np.flatnonzero([each == correlation for each in self.lasting[method]])
            total = correlation.of_sum(of_hours[rows], hours)
            known = ~np.isnan(of_hours[rows]).any(axis=-1) & (count[rows] > 0)
            errors[rows] = np.divide(
                total, count[rows], out=np.full(total.shape, np.nan), where=known
            )
        return errors


def median_layer(pairs: xr.Dataset) -> str:
    """Return the name of the layer that holds the median of the distributions."""
    return "median" if "median" in pairs else "estimate"


def freedom_in(pairs: xr.Dataset) -> np.ndarray:
    """Return the degrees of freedom of pairs, (estimator, station); infinite if not stated."""
    if DEGREES_OF_FREEDOM in pairs:
        return pairs[DEGREES_OF_FREEDOM].transpose(ESTIMATOR, STATION).values.astype(np.float64)
    return np.full((pairs.sizes[ESTIMATOR], pairs.sizes[STATION]), np.inf)


def lasting_in(pairs: xr.Dataset) -> np.ndarray:
    """Return how the errors of pairs are correlated over time, (estimator, station) of objects."""
    lasting = np.full((pairs.sizes[ESTIMATOR], pairs.sizes[STATION]), None)
    if ERROR_SHARES not in pairs:
        return lasting
    scales = tuple(pairs[ERROR_SCALE].values.tolist())
    shares = pairs[ERROR_SHARES].transpose(*_LASTING_DIMS).values
    for method, station in np.argwhere(np.isfinite(shares).all(axis=-1)):
        own = tuple(shares[method, station].tolist())
        lasting[method, station] = ErrorCorrelation(scales, own)
    return lasting


def check_pairs(pairs: xr.Dataset) -> None:
    """Refuse a Dataset that does not hold pairs; the message lists all that it lacks."""
    required = {
        "truth": {STATION, TIME},
        "estimate": {ESTIMATOR, STATION, TIME},
        "standard_error": {ESTIMATOR, STATION, TIME},
    }
    faults = [
        f"{name} on {tuple(sorted(dims))}"
        for name, dims in required.items()
        if name not in pairs or set(pairs[name].dims) != dims
    ]
    faults += [f"the coordinate {name}" for name in ("longitude", "latitude") if name not in pairs]
    faults += [
        f"the attribute {name}" for name in ("variable", "units", "by") if name not in pairs.attrs
    ]
    if faults:
        raise VerificationError(
            "these are no pairs of truth and estimates: they lack " + ", ".join(faults) + ". "
            "Make them with cross_validate(observations) or match_product(product, observations)"
        )


def texts_of(attribute: object) -> list[str]:
    """Return the texts of an attribute that is a list, or a single text, as NetCDF reads it back.

    Examples
    --------
    >>> texts_of("idw, fold 1: no wind"), texts_of(np.array([])), texts_of(["a", "b"])
    (['idw, fold 1: no wind'], [], ['a', 'b'])
    """
    return [str(text) for text in np.atleast_1d(np.asarray(attribute, dtype=object)) if str(text)]
