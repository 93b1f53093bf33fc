"""Definitions of scores: name, unit and formula over sums."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import xarray as xr

Formula = Callable[[Mapping[str, xr.Variable]], xr.Variable]
Array = TypeVar("Array", xr.Variable, xr.DataArray)

#: A sum of squared departures below this share of the sum of squares is rounding: all are equal.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Metric:
    """A score of sums.

    Attributes
    ----------
    long_name : str
    dimensional : bool
        Whether it has the units of the variable.
    formula : callable
        From the sums to the score; NaN where it is undefined.
    of_events : bool
        Whether it is a score of events.
    """

    long_name: str
    dimensional: bool
    formula: Formula
    of_events: bool = False


def ratio(part: Array, whole: Array) -> Array:
    """Return a ratio, NaN where the whole is not positive."""
    return part / whole.where(whole > 0)


def _mean(name: str, over: str = "count") -> Formula:
    """Return the formula of a mean."""
    return lambda s: ratio(s[name], s[over])


def _root_mean(name: str) -> Formula:
    """Return the formula of a root mean square."""
    return lambda s: ratio(s[name], s["count"]) ** 0.5


def _departures(sums: Mapping[str, xr.Variable], what: str) -> xr.Variable:
    """Return the sum of squared departures from the mean; NaN where all values are the same."""
    squares, total = sums[f"sum_squared_{what}"], sums[f"sum_{what}"]
    departures = squares - ratio(total**2, sums["count"])
    return departures.where(departures > _CONSTANT * squares)


def _standard_deviation(what: str) -> Formula:
    """Return the formula of a standard deviation; 0 where all values are the same."""
    return lambda s: ratio(_departures(s, what).fillna(0), s["count"]) ** 0.5


def _centred_rmse(sums: Mapping[str, xr.Variable]) -> xr.Variable:
    mean_square = ratio(sums["sum_squared_error"], sums["count"])
    return (mean_square - ratio(sums["sum_error"], sums["count"]) ** 2).clip(min=0) ** 0.5


def _correlation(sums: Mapping[str, xr.Variable]) -> xr.Variable:
    product_of_means = ratio(sums["sum_truth"] * sums["sum_estimate"], sums["count"])
    spreads = _departures(sums, "truth") * _departures(sums, "estimate")
    return (sums["sum_product"] - product_of_means) / spreads**0.5


def _spread_skill(sums: Mapping[str, xr.Variable]) -> xr.Variable:
    return ratio(sums["sum_variance"], sums["sum_squared_error_probabilistic"]) ** 0.5


def _events(part: str, *whole: str) -> Formula:
    """Return the formula of a share of counts of events."""
    return lambda s: ratio(s[part], sum((s[name] for name in whole), start=xr.zeros_like(s[part])))


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "count": Metric("number of values scored", False, lambda s: s["count"].copy()),
        "missing": Metric(
            "number of values without an estimate", False, lambda s: s["missing"].copy()
        ),
        "bias": Metric("mean error", True, _mean("sum_error")),
        "mae": Metric("mean absolute error", True, _mean("sum_absolute_error")),
        "rmse": Metric("root mean square error", True, _root_mean("sum_squared_error")),
        "centred_rmse": Metric("root mean square error without the bias", True, _centred_rmse),
        "r2": Metric(
            "coefficient of determination",
            False,
            lambda s: 1 - s["sum_squared_error"] / _departures(s, "truth"),
        ),
        "correlation": Metric("correlation", False, _correlation),
        "normalised_mean_bias": Metric(
            "normalised mean bias", False, _mean("sum_error", "sum_truth")
        ),
        "factor_of_two": Metric("share within a factor of two", False, _mean("within_factor_two")),
        "index_of_agreement": Metric(
            "index of agreement",
            False,
            lambda s: 1 - ratio(s["sum_squared_error"], s["sum_potential_error"]),
        ),
        "crps": Metric(
            "continuous ranked probability score", True, _mean("sum_crps", "count_probabilistic")
        ),
        "coverage_90": Metric(
            "share of the truth within the 90 % interval",
            False,
            _mean("covered_90", "count_probabilistic"),
        ),
        "width_90": Metric(
            "mean width of the 90 % interval", True, _mean("sum_width_90", "count_probabilistic")
        ),
        "spread_skill": Metric(
            "root mean variance over root mean square error", False, _spread_skill
        ),
        "mean_truth": Metric("mean of the truth", True, _mean("sum_truth")),
        "mean_estimate": Metric("mean of the estimates", True, _mean("sum_estimate")),
        "sd_truth": Metric("standard deviation of the truth", True, _standard_deviation("truth")),
        "sd_estimate": Metric(
            "standard deviation of the estimates", True, _standard_deviation("estimate")
        ),
        "hit_rate": Metric(
            "share of events that are estimated", False, _events("hits", "hits", "misses"), True
        ),
        "false_alarm_ratio": Metric(
            "share of estimated events that are none",
            False,
            _events("false_alarms", "hits", "false_alarms"),
            True,
        ),
        "critical_success_index": Metric(
            "hits over hits, misses and false alarms",
            False,
            _events("hits", "hits", "misses", "false_alarms"),
            True,
        ),
        "event_total": Metric("number of events", False, lambda s: s["hits"] + s["misses"], True),
    }
)
