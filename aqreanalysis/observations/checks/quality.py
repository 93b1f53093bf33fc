"""Checks of single values against their station's and its neighbours'.

The checks work on the square root of the concentration, whose noise is about the same at clean
and at dirty hours, and in units of each station's usual scatter, so one set of limits serves dense
and sparse networks. A value that failed a check is no evidence in the next.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations.checks import Codes, Floats, Mask

#: From the median of absolute deviations to a standard deviation, for a normal distribution.
_SIGMA_OF_MAD = 1.4826

#: Smallest scatter, in the root of ug m-3: about 1 ug m-3 at 4, the steps of a coarse instrument.
_SMALLEST_SCATTER = 0.25

#: A stuck instrument raises its own share of repeats; with this one, three days are always flat.
_MOST_REPEATS = 0.75

#: How far the median of the neighbours moves during a run if an instrument is stuck, and how far it
#: comes above a detection limit, in the root of ug m-3.
_MOVED, _ABOVE_LIMIT = 2 * _SMALLEST_SCATTER, 1.0

#: A highest value that so many stations share is the full scale of the network, as 500 in Beijing.
_STATIONS_AT_FULL_SCALE = 3

#: Roots of the neighbours over that of a run at a full scale: 500 ug m-3 against 180.
_OF_FULL_SCALE = 0.6

#: Share of a change that the neighbours have too where it is weather.
_SHARE_OF_WEATHER = 1 / 3
_FEWEST_NEIGHBOURS = 4  # below that, a median is moved by a single bad neighbour


@dataclass(frozen=True)
class QualityLimits:
    """Limits of the checks; together they flag two to four hours in a thousand.

    The shares were counted on PM2.5 of Beijing (2013-2017) and of the US (2011), networks that
    had been checked before: their flagged values are weather, and a few stuck instruments.

    Parameters
    ----------
    flat_steps : int
        Fewest equal values in a row that may be a stuck instrument.
    flat_chance : float
        A run is flat if it would come by chance this rarely, given how often the station repeats
        a value; so gases in coarse steps may repeat for long. 0.06 % to 0.3 % of the hours.
    spike_sigma : float
        A single value off both its neighbours in time, which agree. 0.05 % to 0.07 %.
    step_sigma : float
        A change from one value to the next that stays, and that the nearest stations do not share.
    neighbour_sigma : float
        A value off those of the nearest stations. 0.02 % to 0.14 %.
    neighbours : int
        How many nearest stations; 8 of them surround a station without reaching far.
    """

    flat_steps: int = 8
    flat_chance: float = 1e-9
    spike_sigma: float = 10.0
    step_sigma: float = 10.0
    neighbour_sigma: float = 6.0
    neighbours: int = 8

    def __post_init__(self) -> None:
        """Refuse limits that would flag everything, all of them at once."""
        least = {"flat_steps": 2, "spike_sigma": 1, "step_sigma": 1, "neighbour_sigma": 1}
        least |= {"neighbours": _FEWEST_NEIGHBOURS}
        faults = [
            f"{name} must be at least {low}; found {getattr(self, name)}"
            for name, low in least.items()
            if not getattr(self, name) >= low
        ]
        if not 0 < self.flat_chance < 1:
            faults.append(f"flat_chance must be between 0 and 1; found {self.flat_chance}")
        if faults:
            raise ValueError("; ".join(faults))


def failures(
    values: Floats,
    dataset: xr.Dataset,
    variable: str,
    checks: Iterable[str],
    *,
    limits: QualityLimits | None = None,
) -> Iterator[tuple[str, Mask]]:
    """Yield the name of each check, in the order given, and where values fail it, (station, time).

    Values are NaN where missing, or where something else is wrong already; the Dataset gives the
    places of the stations. A value that fails is no evidence in the next check.
    """
    good, limits = values.copy(), limits or QualityLimits()
    near = StationNetwork.from_dataset(dataset).nearest_others(k=limits.neighbours).index
    for name in checks:
        wrong = CHECKS[name](good, near, variable, limits)
        if name != "step":  # which is where a level begins, and evidence of that level
            good[wrong] = np.nan
        yield name, wrong


def _out_of_range(values: Floats, near: Codes, variable: str, limits: QualityLimits) -> Mask:
    """Return where a value is beyond the plausible range, with room below for noise about zero."""
    if variable not in POLLUTANTS:
        return np.isinf(values)
    low, high = POLLUTANTS[variable].limits
    return (values < low) | (values > high)


def _flat_line(values: Floats, near: Codes, variable: str, limits: QualityLimits) -> Mask:
    """Return where a value is in a run of equal ones; a missing value ends a run.

    Where the nearest stations do not move either, or are near the detection limit too, the air is
    constant or clean, and no instrument is stuck.
    """
    count = values.shape[1]
    begins = np.ones(values.shape, dtype=bool)
    begins[:, 1:] = values[:, 1:] != values[:, :-1]
    ends = np.ones(values.shape, dtype=bool)
    ends[:, :-1] = begins[:, 1:]
    place = np.arange(count)
    first = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, count)[:, ::-1], axis=1)[:, ::-1]
    length = last - first + 1
    present = ~np.isnan(values)
    flat = np.zeros(values.shape, dtype=bool)
    # Repeats are commonest in the lowest tenth, where instruments report their detection limit.
    low = values <= _quantile(values, 0.1)[:, None]
    top = values >= _quantile(values, 0.99)[:, None]
    lower = values <= _quantile(values, 1 / 3)[:, None]
    if present.any():
        at_highest = values == np.fmax.reduce(values, axis=None)
        if at_highest.any(axis=1).sum() >= _STATIONS_AT_FULL_SCALE:
            present &= ~at_highest
    for group in (present & low, present & ~low):
        repeats = (group & ~begins).sum(axis=1) / np.maximum(group.sum(axis=1), 1)
        share = np.clip(repeats, 1e-3, _MOST_REPEATS)
        longest = 1 + np.log(limits.flat_chance) / np.log(share)
        flat |= group & (length >= np.maximum(longest, limits.flat_steps)[:, None])
    root = np.sqrt(np.maximum(values, 0.0))
    for station, start in np.argwhere(flat & begins):
        hours = slice(start, last[station, start] + 1)
        middle = _median(root[near[station], hours].T)
        middle = middle[~np.isnan(middle)]
        if middle.size:  # or else there is no witness
            level = root[station, start]
            if lower[station, start]:  # near a detection limit, while the others are low too
                flat[station, hours] = np.median(middle) - level >= _ABOVE_LIMIT
            elif top[station, start] and np.median(middle) >= _OF_FULL_SCALE * level:
                flat[station, hours] = False  # a full scale, while the others are high too
            else:
                flat[station, hours] = np.ptp(middle) >= _MOVED
    return flat


def _spike(values: Floats, near: Codes, variable: str, limits: QualityLimits) -> Mask:
    """Return where a value is far from the mean of its neighbours in time, and those agree."""
    root = np.sqrt(np.maximum(values, 0.0))
    deviation = np.full(values.shape, np.nan)
    difference = np.full(values.shape, np.nan)
    deviation[:, 1:-1] = root[:, 1:-1] - (root[:, 2:] + root[:, :-2]) / 2
    difference[:, 1:-1] = np.abs(root[:, 2:] - root[:, :-2])
    scatter = np.maximum(_SIGMA_OF_MAD * _median(np.abs(deviation)), _SMALLEST_SCATTER)
    size = np.abs(np.nan_to_num(deviation))
    spikes = (size > limits.spike_sigma * np.nan_to_num(scatter[:, None], nan=np.inf)) & (
        np.nan_to_num(difference, nan=np.inf) < size
    )
    return spikes & ~_shared(deviation, spikes, near)


def _shared(change: Floats, where: Mask, near: Codes) -> Mask:
    """Return where the nearest stations do a third of what a station does: weather, no fault."""
    shared = np.zeros(where.shape, dtype=bool)
    for station, hour in np.argwhere(where):
        others = change[near[station], hour]
        others = others[~np.isnan(others)]
        own = change[station, hour]
        shared[station, hour] = others.size > 0 and np.median(others) / own >= _SHARE_OF_WEATHER
    return shared


def _step(values: Floats, near: Codes, variable: str, limits: QualityLimits) -> Mask:
    """Return where a series jumps to another level, and the nearest stations do not."""
    root = np.sqrt(np.maximum(values, 0.0))
    change = np.full(values.shape, np.nan)
    change[:, 1:] = np.diff(root, axis=1)
    scatter = np.maximum(_SIGMA_OF_MAD * _median(np.abs(change)), _SMALLEST_SCATTER)
    far = limits.step_sigma * np.nan_to_num(scatter, nan=np.inf)[:, None]
    back = np.zeros(values.shape)
    back[:, :-1] = np.abs(np.nan_to_num(change[:, 1:]))
    jumps = (np.abs(np.nan_to_num(change)) > far) & (back < np.abs(np.nan_to_num(change)) / 2)
    return jumps & ~_shared(change, jumps, near)


def _neighbour_outlier(values: Floats, near: Codes, variable: str, limits: QualityLimits) -> Mask:
    """Return where a value is off the median of the nearest stations, its usual offset removed."""
    outlier = np.zeros(values.shape, dtype=bool)
    if len(values) <= _FEWEST_NEIGHBOURS:
        return outlier
    root = np.sqrt(np.maximum(values, 0.0))
    for station in range(len(values)):
        nearest = root[near[station][near[station] >= 0]]  # (neighbour, time)
        middle = _median(nearest.T)
        spread = _SIGMA_OF_MAD * _median(np.abs(nearest - middle).T)
        offset = root[station] - middle
        offset = offset - _median(offset)
        usual = _SIGMA_OF_MAD * _median(np.abs(offset))
        scatter = np.sqrt(spread**2 + usual**2 + _SMALLEST_SCATTER**2)
        enough = (~np.isnan(nearest)).sum(axis=0) >= _FEWEST_NEIGHBOURS
        outlier[station] = enough & (np.abs(offset) > limits.neighbour_sigma * scatter)
    return outlier


def _median(values: Floats) -> Floats:
    """Return the median along the last axis without NaN, NaN where all are."""
    return _quantile(values, 0.5)


def _quantile(values: Floats, share: float) -> Floats:
    """Return a quantile, halfway between two values if it falls between them, or NaN."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(values, axis=-1)  # NaN go last
    place = np.maximum((~np.isnan(values)).sum(axis=-1, keepdims=True) - 1, 0) * share
    ranks = (np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64))
    low, high = (np.take_along_axis(ordered, rank, axis=-1)[..., 0] for rank in ranks)
    return (low + high) / 2


#: Checks of single values by name; each gets values, the rows of the nearest stations of each
#: station, the variable and the limits.
CHECKS: Mapping[str, Callable[[Floats, Codes, str, QualityLimits], Mask]] = MappingProxyType(
    {
        "out_of_range": _out_of_range,
        "flat_line": _flat_line,
        "spike": _spike,
        "step": _step,
        "neighbour_outlier": _neighbour_outlier,
    }
)
