"""Statistics: sums over pairs of truth and estimates, additive over chunks, for every score."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, pollutant
from aqreanalysis.network import StationNetwork
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.pairs import ESTIMATOR, SILENCE, Sample, check_pairs, texts_of
from aqreanalysis.verification.scoring import check_statistics
from aqreanalysis.verification.strata import (
    HOURS_PER_DAY,
    MONTHS,
    SILENCE_HOURS,
    levels_of,
    part_of,
    period_hours,
    strata_of,
)

PIT_BINS = 40
PROBABILITY_BINS = 10
#: Bins of the joint histogram, equal in the square root up to the plausible maximum.
DENSITY_BINS = 200
#: Values of a block of stations, so that its arrays take some hundred MB.
BLOCK_VALUES = 1_000_000

#: Attributes that two sets of statistics must share to be added.
_SHARED = ("variable", "units", "reference", "levels")
#: Coordinates of stations.
_ALONG = ("longitude", "latitude", "distance_km", "place", "fold")
#: Attributes that are lists of texts.
_LISTS = ("failures", "remarks")


def statistics(
    pairs: xr.Dataset,
    *,
    events: Sequence[float] | None = None,
    reference: float | None = None,
) -> xr.Dataset:
    """Return the sums over pairs of truth and estimates from which all scores come.

    A value is scored where every method that gives estimates at the station has one, so that all
    methods are compared on the same values. Sums of chunks add up with `combine`; daily means need
    chunks of whole local days.

    Parameters
    ----------
    pairs : Dataset
        Of `cross_validate` or `match_product`.
    events : sequence of float, optional
        Thresholds, ug m-3; a value at or above one is an event. By default those of the pollutant.
    reference : float, optional
        The value about which the index of agreement is taken: by default the mean of the truth.
        Chunks that are to be combined must be given the same.

    Returns
    -------
    Dataset
        Sums and counts, float64, on ``(resolution, estimator, station, stratum)``, and tables of
        events, probabilities and positions. `metrics` makes scores of them.

    Raises
    ------
    VerificationError
        If the Dataset holds no pairs, or no truth to take the reference of.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> from aqreanalysis.verification import cross_validate, metrics
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> summed = statistics(cross_validate(obs, methods=["idw"], folds=3, progress=False))
    >>> float(metrics(summed)["count"].sel(estimator="idw")) == float(obs.pm25.count())
    True
    """
    check_pairs(pairs)
    variable = str(pairs.attrs["variable"])
    thresholds = check_events(pollutant(variable).events if events is None else events)
    if reference is None:
        truth = pairs["truth"].values
        if not np.isfinite(truth).any():
            raise VerificationError(
                f"no station measured {variable} in the hours that are scored: nothing to verify"
            )
        reference = float(np.nanmean(truth))
    size = pairs.sizes[STATION]
    rows = max(1, BLOCK_VALUES // max(1, pairs.sizes[TIME]))
    blocks = [
        _block(pairs.isel({STATION: slice(first, first + rows)}), thresholds, reference)
        for first in range(0, size, rows)
    ]
    return blocks[0] if len(blocks) == 1 else combine(*blocks)


def combine(*parts: xr.Dataset) -> xr.Dataset:
    """Return the statistics of all pairs of which the parts are chunks.

    Stations are united; where a station is in several parts, its sums are added.

    Raises
    ------
    VerificationError
        If there is no part, one is no statistics, or they differ in variable, reference, levels,
        events or methods.
    """
    if not parts:
        raise VerificationError("there are no statistics to combine")
    for part in parts:
        check_statistics(part)
    return reduce(_added, parts)


def check_events(events: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return thresholds in ascending order, each once; refuse those that are not positive."""
    thresholds = np.unique(np.asarray(events, np.float64))
    if not thresholds.size or not (np.isfinite(thresholds) & (thresholds > 0)).all():
        raise VerificationError(
            f"events must be positive thresholds in ug m-3, such as 35, 75, 150; found {events}"
        )
    return thresholds


def _added(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """Return the statistics of two chunks together."""
    differing = [name for name in _SHARED if not _same(one.attrs[name], other.attrs[name])]
    if one.attrs.get("statistic", "median") != other.attrs.get("statistic", "median"):
        differing.append("statistic")
    differing += [
        name for name in ("event", "resolution", ESTIMATOR) if not one[name].equals(other[name])
    ]
    if differing:
        raise VerificationError(
            f"these statistics cannot be added: they differ in {', '.join(differing)}. "
            "Give the same methods, statistic, events and reference for each chunk"
        )
    stations = list(dict.fromkeys([*one[STATION].values, *other[STATION].values]))
    first, second = (
        part.drop_vars(_ALONG, errors="ignore").reindex({STATION: stations}, fill_value=0.0)
        for part in (one, other)
    )
    periods = [end for part in (one, other) for end in part.attrs["period"]]
    lists = {
        name: list(dict.fromkeys(line for p in (one, other) for line in texts_of(p.attrs[name])))
        for name in _LISTS
    }
    summed = (first + second).assign_coords(_stations(one, other))
    return summed.assign_attrs(one.attrs | lists | {"period": [min(periods), max(periods)]})


def _stations(one: xr.Dataset, other: xr.Dataset) -> xr.Coordinates:
    """Return the coordinates of the stations of two chunks, each station once."""
    names = [name for name in _ALONG if name in one.coords and name in other.coords]
    first, second = one[names], other[names]
    shared = np.isin(other[STATION].values, one[STATION].values)
    both = second.isel({STATION: shared})[STATION].values
    for name in ("longitude", "latitude", "distance_km"):
        if name not in names:
            continue
        before, after = (part[name].sel({STATION: both}).values for part in (first, second))
        moved = ~np.isclose(before, after, rtol=0, atol=1e-9, equal_nan=True)
        if moved.any():
            raise VerificationError(
                f"these statistics cannot be added: station {both[moved][0]} has another {name} "
                "in the other part"
            )
    new = second.isel({STATION: ~shared})
    united = xr.concat([first, new], dim=STATION, coords="minimal")
    if "place" in names and new.sizes[STATION]:  # places were numbered in each part
        network = StationNetwork(united["longitude"].values, united["latitude"].values)
        united = united.assign_coords(place=(STATION, network.colocated_groups()))
    return united.coords


def _same(one: object, other: object) -> bool:
    """Return whether two attributes, numbers or lists, are equal."""
    return np.array_equal(np.asarray(one), np.asarray(other))


def _block(pairs: xr.Dataset, events: np.ndarray, reference: float) -> xr.Dataset:
    """Return the statistics of a block of stations."""
    variable = str(pairs.attrs["variable"])
    levels = levels_of(variable)
    step = period_hours(pairs)
    native = Sample.of(pairs)
    silence = pairs[SILENCE].transpose(STATION, TIME).values if SILENCE in pairs else None
    samples = {_resolution(step): native}
    if step < HOURS_PER_DAY:
        samples["daily"] = native.daily_means(pairs)
    by_resolution = [
        _sums(sample, levels, reference, silence if sample is native else None).assign(
            _event_counts(sample, events)
        )
        for sample in samples.values()
    ]
    summed = xr.concat(by_resolution, dim="resolution")
    tables = _probability_tables(native, events)
    histogram = _density(native, pollutant(variable).plausible[1])
    kinds, labels = zip(*strata_of(levels), strict=True)
    along = [name for name in _ALONG if name in pairs]
    stamps = np.datetime_as_string(pairs[TIME].values[[0, -1]], unit="m")
    coordinates = {
        "resolution": list(samples),
        ESTIMATOR: pairs[ESTIMATOR].values,
        **{name: pairs[name].variable for name in (STATION, *along)},
        "kind": ("stratum", list(kinds)),
        "label": ("stratum", list(labels)),
        "event": events,
    }
    own = {
        "reference": reference,
        "levels": list(levels),
        "period": [str(stamp) for stamp in stamps],
        **{name: texts_of(pairs.attrs.get(name, [])) for name in _LISTS},
    }
    whole = summed.assign({**tables, **histogram}).assign_coords(coordinates)
    return whole.assign_attrs(pairs.attrs | own)


def _resolution(step: float) -> str:
    """Return the name of the observations' own step."""
    return {1.0: "hourly", float(HOURS_PER_DAY): "daily"}.get(step, f"{step:g}-hourly")


def _sums(
    sample: Sample, levels: Sequence[float], reference: float, silence: np.ndarray | None
) -> xr.Dataset:
    """Return the sums of every statistic in every stratum, (estimator, station, stratum).

    ``silence`` (station, time) is in hours; where it is not known, no part of it counts a value.
    """
    # One joint index of level, hour and month, of which each kind of strata is a margin.
    sizes = (len(levels) - 1, HOURS_PER_DAY + 1, MONTHS)
    level = part_of(np.nan_to_num(sample.truth), levels)
    joint = (level * sizes[1] + sample.hour + 1) * sizes[2] + sample.month
    by_method = [
        {
            name: np.concatenate([_margins(values, joint, sizes), _by_silence(values, silence)], 1)
            for name, values in scored_values.items()
        }
        for scored_values in (
            _values(sample, method, reference) for method in range(sample.estimate.shape[0])
        )
    ]
    dims = (ESTIMATOR, STATION, "stratum")
    return xr.Dataset(
        {name: (dims, np.stack([table[name] for table in by_method])) for name in by_method[0]}
    )


def _values(sample: Sample, method: int, reference: float) -> dict[str, np.ndarray]:
    """Return the terms of the sums for a method, (station, time) each, 0 where not scored."""
    truth, estimate = sample.truth, sample.estimate[method]
    scored, error = sample.scored[method], estimate - truth
    low, high, crps = np.full((3, *truth.shape), np.nan)
    for freedom in np.unique(sample.freedom[method]):
        rows = np.flatnonzero(sample.freedom[method] == freedom)
        distribution = sample.distribution(method, rows)
        low[rows], high[rows] = distribution.interval_90()
        crps[rows] = distribution.crps(truth[rows])
    departure = np.abs(estimate - reference) + np.abs(truth - reference)
    certain = {
        "count": np.ones(truth.shape),
        "sum_error": error,
        "sum_absolute_error": np.abs(error),
        "sum_squared_error": error**2,
        "sum_truth": truth,
        "sum_squared_truth": truth**2,
        "sum_estimate": estimate,
        "sum_squared_estimate": estimate**2,
        "sum_product": truth * estimate,
        "within_factor_two": (estimate >= 0.5 * truth) & (estimate <= 2 * truth),
        "sum_potential_error": departure**2,
    }
    probabilistic = {
        "count_probabilistic": np.ones(truth.shape),
        "sum_crps": crps,
        # The interval ends at 0, so a measurement below 0 counts as 0.
        "covered_90": (np.maximum(truth, 0) >= low) & (np.maximum(truth, 0) <= high),
        "sum_width_90": high - low,
        "sum_variance": sample.standard_error[method] ** 2,
        # Over the same values as the variance.
        "sum_squared_error_probabilistic": error**2,
    }
    missing = np.isfinite(truth) & ~np.isfinite(estimate)
    uncertain = scored & np.isfinite(low)
    return {
        "missing": missing.astype(np.float64),
        **{name: np.where(scored, values, 0.0) for name, values in certain.items()},
        **{name: np.where(uncertain, values, 0.0) for name, values in probabilistic.items()},
    }


def _margins(values: np.ndarray, joint: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the sums of each station: over all, and by level, hour and month."""
    stations = values.shape[0]
    size = int(np.prod(sizes))
    bins = joint + np.arange(stations)[:, None] * size
    cube = np.bincount(bins.ravel(), values.ravel(), stations * size).reshape(stations, *sizes)
    by_level, by_hour, by_month = (cube.sum(axis=other) for other in ((2, 3), (1, 3), (1, 2)))
    return np.concatenate([by_month.sum(1, keepdims=True), by_level, by_hour[:, 1:], by_month], 1)


def _by_silence(values: np.ndarray, silence: np.ndarray | None) -> np.ndarray:
    """Return the sums of each station by hours of silence, (station, part)."""
    stations, parts = values.shape[0], len(SILENCE_HOURS) - 1
    if silence is None:
        return np.zeros((stations, parts))
    part = np.where(
        np.isnan(silence), parts, part_of(np.nan_to_num(silence, nan=0.0), SILENCE_HOURS)
    )
    bins = part + np.arange(stations)[:, None] * (parts + 1)
    summed = np.bincount(bins.ravel(), values.ravel(), stations * (parts + 1))
    return summed.reshape(stations, -1)[:, :parts]


def _event_counts(sample: Sample, events: np.ndarray) -> xr.Dataset:
    """Return the contingency table of each event, (estimator, station, event)."""
    truth = sample.truth[..., None] >= events
    counts = np.zeros((4, *sample.estimate.shape[:2], events.size))
    for method in range(sample.estimate.shape[0]):
        event = sample.estimate[method][..., None] >= events
        scored = sample.scored[method][..., None]
        cells = (truth & event, truth & ~event, ~truth & event, ~truth & ~event)
        for row, cell in enumerate(cells):
            counts[row, method] = (cell & scored).sum(axis=1)
    names = ("hits", "misses", "false_alarms", "correct_negatives")
    dims = (ESTIMATOR, STATION, "event")
    return xr.Dataset({name: (dims, counts[row]) for row, name in enumerate(names)})


def _probability_tables(sample: Sample, events: np.ndarray) -> xr.Dataset:
    """Return histograms of the probability integral transform, and reliability tables."""
    methods, stations = sample.estimate.shape[:2]
    pit = np.zeros((methods, stations, PIT_BINS))
    probability = np.zeros((3, methods, stations, events.size, PROBABILITY_BINS))
    for m, s in np.ndindex(methods, stations):
        used = sample.scored[m, s] & np.isfinite(sample.standard_error[m, s])
        truth, distribution = sample.truth[s, used], sample.distribution(m, s, used)
        pit[m, s] = np.bincount(_bins(distribution.below(truth), PIT_BINS), minlength=PIT_BINS)
        for e, event in enumerate(events):
            chance = distribution.above(event)
            bins = _bins(chance, PROBABILITY_BINS)
            for row, weights in enumerate((np.ones(truth.size), chance, truth >= event)):
                probability[row, m, s, e] = np.bincount(bins, weights, PROBABILITY_BINS)
    dims = (ESTIMATOR, STATION, "event", "probability_bin")
    names = ("probability_count", "sum_probability", "event_count")
    return xr.Dataset(
        {
            "pit_count": ((ESTIMATOR, STATION, "pit_bin"), pit),
            **{name: (dims, probability[row]) for row, name in enumerate(names)},
        },
        coords={
            "pit_bin": (np.arange(PIT_BINS) + 0.5) / PIT_BINS,
            "probability_bin": (np.arange(PROBABILITY_BINS) + 0.5) / PROBABILITY_BINS,
        },
    )


def _bins(share: np.ndarray, count: int) -> np.ndarray:
    """Return the number of the bin of a share within 0..1, 1 in the last."""
    return np.minimum((share * count).astype(np.int64), count - 1)


def _density(sample: Sample, highest: float) -> xr.Dataset:
    """Return the joint histogram of truth and estimate, (estimator, truth_bin, estimate_bin)."""
    width = np.sqrt(highest) / DENSITY_BINS
    edges = (np.arange(DENSITY_BINS + 1) * width) ** 2
    counts = np.zeros((sample.estimate.shape[0], DENSITY_BINS, DENSITY_BINS))
    for method, scored in enumerate(sample.scored):
        truth = part_of(sample.truth[scored], edges)
        estimate = part_of(sample.estimate[method][scored], edges)
        joint = np.bincount(truth * DENSITY_BINS + estimate, minlength=DENSITY_BINS**2)
        counts[method] = joint.reshape(DENSITY_BINS, DENSITY_BINS)
    centres = ((np.arange(DENSITY_BINS) + 0.5) * width) ** 2
    dims = (ESTIMATOR, "truth_bin", "estimate_bin")
    return xr.Dataset(
        {"density_count": (dims, counts)},
        coords={"truth_bin": centres, "estimate_bin": centres},
    )
