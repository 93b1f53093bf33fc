"""What is summed over pairs: errors, scores, events, probabilities, positions, densities."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.verification.pairs import ESTIMATOR, Sample
from aqreanalysis.verification.strata import HOURS_PER_DAY, MONTHS, part_of

PIT_BINS = 40
PROBABILITY_BINS = 10
#: Bins of the joint histogram, equal in the square root up to the plausible maximum.
DENSITY_BINS = 200


def sums(sample: Sample, levels: Sequence[float], reference: float) -> xr.Dataset:
    """Return the sums of every statistic in every stratum, (estimator, station, stratum)."""
    # One joint index of level, hour and month, of which each kind of strata is a margin.
    sizes = (len(levels) - 1, HOURS_PER_DAY + 1, MONTHS)
    level = part_of(np.nan_to_num(sample.truth), levels)
    joint = (level * sizes[1] + sample.hour + 1) * sizes[2] + sample.month
    by_method = [
        {name: _margins(values, joint, sizes) for name, values in scored_values.items()}
        for scored_values in (
            _values(sample, method, reference) for method in range(sample.estimate.shape[0])
        )
    ]
    dims = (ESTIMATOR, STATION, "stratum")
    return xr.Dataset(
        {name: (dims, np.stack([table[name] for table in by_method])) for name in by_method[0]}
    )


def _values(sample: Sample, method: int, reference: float) -> dict[str, np.ndarray]:
    """Return what is summed for a method, (station, time) each, 0 where it does not count."""
    truth, estimate = sample.truth, sample.estimate[method]
    distribution, scored = sample.distribution(method), sample.scored[method]
    error = estimate - truth
    low, high = distribution.interval_90()
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
        "sum_crps": distribution.crps(truth),
        # The interval ends at 0, so a measurement below 0 counts as 0.
        "covered_90": (np.maximum(truth, 0) >= low) & (np.maximum(truth, 0) <= high),
        "sum_width_90": high - low,
        "sum_variance": sample.standard_error[method] ** 2,
        # Beside the variance, over the same values.
        "sum_squared_error_probabilistic": error**2,
    }
    missing = np.isfinite(truth) & ~np.isfinite(estimate)
    uncertain = scored & np.isfinite(distribution.spread)
    return {
        "missing": missing.astype(np.float64),
        **{name: np.where(scored, values, 0.0) for name, values in certain.items()},
        **{name: np.where(uncertain, values, 0.0) for name, values in probabilistic.items()},
    }


def _margins(values: np.ndarray, joint: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Return the sums of each station in all, by level, by hour and by month."""
    stations = values.shape[0]
    size = int(np.prod(sizes))
    bins = joint + np.arange(stations)[:, None] * size
    cube = np.bincount(bins.ravel(), values.ravel(), stations * size).reshape(stations, *sizes)
    by_level, by_hour, by_month = (cube.sum(axis=other) for other in ((2, 3), (1, 3), (1, 2)))
    return np.concatenate([by_month.sum(1, keepdims=True), by_level, by_hour[:, 1:], by_month], 1)


def event_counts(sample: Sample, events: np.ndarray) -> xr.Dataset:
    """Return the contingency table of each event, (estimator, station, event)."""
    truth = sample.truth[..., None] >= events
    counts = np.zeros((4, *sample.estimate.shape[:2], events.size))
    for method in range(sample.estimate.shape[0]):
        said = sample.estimate[method][..., None] >= events
        scored = sample.scored[method][..., None]
        for row, cell in enumerate((truth & said, truth & ~said, ~truth & said, ~truth & ~said)):
            counts[row, method] = (cell & scored).sum(axis=1)
    names = ("hits", "misses", "false_alarms", "correct_negatives")
    dims = (ESTIMATOR, STATION, "event")
    return xr.Dataset({name: (dims, counts[row]) for row, name in enumerate(names)})


def probability_tables(sample: Sample, events: np.ndarray) -> xr.Dataset:
    """Return positions of the truth, and probabilities of events, in bins."""
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


def density(sample: Sample, highest: float) -> xr.Dataset:
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
