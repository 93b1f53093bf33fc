"""Metrics: scores of statistics, in all or in parts."""

from typing import Literal, get_args

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.formulas import METRICS
from aqreanalysis.verification.strata import DISTANCE_KM, interval_labels, part_of

By = Literal["distance", "level", "hour", "month", "silence", "fold", "station"]
CHOICES = get_args(By)
#: Parts along ``stratum``; others are of stations.
_STRATA = ("level", "hour", "month", "silence")

_EVENTS = ("hits", "misses", "false_alarms")
_BY_STRATUM = (
    "count",
    "missing",
    "sum_error",
    "sum_absolute_error",
    "sum_squared_error",
    "sum_truth",
    "sum_squared_truth",
    "sum_estimate",
    "sum_squared_estimate",
    "sum_product",
    "within_factor_two",
    "sum_potential_error",
    "count_probabilistic",
    "sum_crps",
    "covered_90",
    "sum_width_90",
    "sum_variance",
    "sum_squared_error_probabilistic",
)
#: All sums that scores come from.
SUMMED = (*_BY_STRATUM, *_EVENTS)


def metrics(
    statistics: xr.Dataset, *, by: By | None = None, resolution: str | None = None
) -> xr.Dataset:
    """Return the scores of each method.

    Parameters
    ----------
    statistics : Dataset
        Of `statistics`, `verify` or `combine`.
    by : {"distance", "level", "hour", "month", "silence", "fold", "station"}, optional
        Scores of each part instead of all values: by distance to the nearest station that was not
        hidden, by true level, by hour of the day or month of the year in local time, by hours
        since that nearest station reported.
    resolution : str, optional
        ``"daily"`` for daily means; by default the observations' own step.

    Returns
    -------
    Dataset
        On ``estimator``, and on a dimension named as ``by``:

        - ``count``, and ``missing`` truths for which the method gives no estimate;
        - ``bias``, ``mae``, ``rmse``, ``centred_rmse`` (without the bias), ug m-3;
        - ``r2``: 1 minus the ratio of squared errors to squared departures of the truth from its
          mean; ``correlation``: Pearson's;
        - ``normalised_mean_bias``: sum of errors over sum of truth; ``factor_of_two``: share of
          estimates within half and double the truth (Chang & Hanna 2004, Meteorol. Atmos. Phys.
          87, 167);
        - ``index_of_agreement``: Willmott 1981, Phys. Geogr. 2, 184, about the mean of all truth;
        - ``crps``, ``coverage_90`` and ``width_90`` of the 90 % interval of the distribution that
          estimate and standard error describe (`aqreanalysis.predictive`); ``spread_skill``:
          root mean variance over RMSE, 1 where errors are as large as predicted;
        - ``mean_truth``, ``mean_estimate``, ``sd_truth``, ``sd_estimate``;
        - on ``event`` too, where ``by`` is none, distance, fold or station: ``hit_rate``,
          ``false_alarm_ratio``, ``critical_success_index`` and ``event_total``.

        Undefined scores are NaN; the attribute ``undefined`` lists them with the reason.

    Raises
    ------
    VerificationError
        If the Dataset holds no statistics, or ``by`` or ``resolution`` is none of the choices.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
    >>> summed = obs.aqnet.verify(methods=["idw", "kriging"], folds=3, progress=False)
    >>> table = metrics(summed, by="distance")
    >>> table.rmse.dims, table.rmse.attrs["units"]
    (('estimator', 'distance'), 'ug m-3')
    """
    check_statistics(statistics)
    sums = totals(statistics, by, resolution, weights_of(statistics, by))
    scores = scored(sums)
    return scores.assign_attrs(undefined=_undefined(sums, scores))


def check_statistics(statistics: xr.Dataset) -> None:
    """Refuse a Dataset that does not hold statistics, such as observations or pairs."""
    lacking = [name for name in ("resolution", *SUMMED) if name not in statistics]
    if lacking:
        raise VerificationError(
            f"these are no statistics: they lack {', '.join(lacking[:3])}. "
            "Make them with verify(observations), or of pairs with statistics(pairs)"
        )


def totals(
    statistics: xr.Dataset, by: By | None, resolution: str | None, weights: xr.DataArray | None
) -> xr.Dataset:
    """Return the sums over stations with weights, in all or in each part.

    Parameters
    ----------
    statistics : Dataset
    by : str or None
    resolution : str or None
    weights : (..., station) DataArray or None
        None does not sum over stations.
    """
    chosen = statistics.sel(resolution=_resolution(statistics, resolution)).drop_vars("resolution")
    parts = chosen[[*_BY_STRATUM]]
    kind = by if by in _STRATA else "all"
    parts = parts.isel(stratum=np.flatnonzero(parts["kind"].values == kind))
    if kind == "all":
        parts = parts.isel(stratum=0, drop=True).drop_vars(("kind", "label"), errors="ignore")
        parts = parts.assign({name: chosen[name] for name in _EVENTS})
    else:
        labels = parts["label"].values
        labels = labels.astype(np.int64) if kind in ("hour", "month") else labels
        parts = (
            parts.drop_vars(("kind", "label")).rename(stratum=kind).assign_coords({kind: labels})
        )
    if weights is None:
        return parts.assign_attrs(statistics.attrs)
    positions = [name for name in parts.coords if STATION in parts[name].dims]
    parts = parts.drop_vars(positions)
    bare = {name: xr.dot(parts[name].variable, weights.variable, dim=STATION) for name in parts}
    coords = {**parts.coords, **weights.drop_vars(STATION, errors="ignore").coords}
    return xr.Dataset(bare, coords, statistics.attrs)


def scored(sums: xr.Dataset) -> xr.Dataset:
    """Return the scores of sums."""
    units = str(sums.attrs.get("units", ""))
    # All have the same labels: without them nothing is aligned, which would take most of the time.
    bare = {str(name): sums[name].variable for name in sums.data_vars}
    scores = {}
    for name, metric in METRICS.items():
        if "hits" in bare or not metric.of_events:
            scores[name] = metric.formula(bare)
            scores[name].attrs = {
                "long_name": metric.long_name,
                "units": units if metric.dimensional else "1",
            }
    return xr.Dataset(scores, sums.coords, sums.attrs)


def weights_of(statistics: xr.Dataset, by: By | None) -> xr.DataArray | None:
    """Return the weight of each station in each part, (part, station); None for no sum."""
    if by is not None and by not in CHOICES:
        raise VerificationError(f"by must be one of {', '.join(CHOICES)}; found {by!r}")
    stations = statistics[STATION]
    if by == "station":
        return None
    if by == "distance":
        return _in_distance(statistics)
    if by == "fold":
        return _in_fold(statistics)
    return xr.DataArray(np.ones(stations.size), dims=STATION, coords={STATION: stations.values})


def _in_distance(statistics: xr.Dataset) -> xr.DataArray:
    """Return whether each station lies in each part of the distances, as 0 and 1."""
    if "distance_km" not in statistics or not np.isfinite(statistics["distance_km"]).any():
        raise VerificationError(
            "the distance to the nearest known station is not known here: no scores by distance"
        )
    distance = statistics["distance_km"].values
    part = np.where(np.isfinite(distance), part_of(np.nan_to_num(distance), DISTANCE_KM), -1)
    labels = interval_labels(DISTANCE_KM)
    inside = part[None] == np.arange(len(labels))[:, None]
    coords = {"distance": labels, STATION: statistics[STATION].values}
    return xr.DataArray(inside.astype(np.float64), dims=("distance", STATION), coords=coords)


def _in_fold(statistics: xr.Dataset) -> xr.DataArray:
    """Return whether each station lies in each fold, as 0 and 1."""
    if "fold" not in statistics:
        raise VerificationError("these statistics are not of folds: no scores by fold")
    fold = statistics["fold"].values.astype(str)
    # Numbers in their order, and other names in theirs.
    labels = sorted(set(fold.tolist()), key=lambda name: (len(name) * name.isdecimal(), name))
    coords = {"fold": labels, STATION: statistics[STATION].values}
    inside = (fold == np.array(labels)[:, None]).astype(np.float64)
    return xr.DataArray(inside, dims=("fold", STATION), coords=coords)


def _resolution(statistics: xr.Dataset, name: str | None) -> str:
    """Return the resolution of a name: the observations' own by default."""
    names = [str(each) for each in statistics["resolution"].values]
    if name is None:
        return names[0]
    if name not in names:
        raise VerificationError(f"resolution must be one of {', '.join(names)}; found {name!r}")
    return name


def _undefined(sums: xr.Dataset, scores: xr.Dataset) -> list[str]:
    """Return which scores are undefined although there are values, where and why."""
    nonempty = sums["count"] > 0
    return [
        f"{name} ({why}): {_where(scores[name].isnull() & nonempty)}"
        for name, why in (
            ("r2", "the truth is constant"),
            ("correlation", "the truth or the estimate is constant"),
            ("index_of_agreement", "nothing departs from the mean of the truth"),
            ("normalised_mean_bias", "the truth adds up to nothing"),
            ("crps", "no standard error"),
            ("coverage_90", "no standard error"),
            ("width_90", "no standard error"),
            ("spread_skill", "no standard error, or no error"),
            ("hit_rate", "no event"),
            ("false_alarm_ratio", "no event is estimated"),
            ("critical_success_index", "no event, and none is estimated"),
        )
        if name in scores and bool((scores[name].isnull() & nonempty).any())
    ]


def _where(mask: xr.DataArray) -> str:
    """Return where a mask is true, in words; the first five places."""
    if not mask.dims:
        return "everywhere"
    rows = np.argwhere(mask.values)
    named = [
        ", ".join(str(mask[dim].values[i]) for dim, i in zip(mask.dims, row, strict=True))
        for row in rows[:5]
    ]
    return "; ".join(named) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
