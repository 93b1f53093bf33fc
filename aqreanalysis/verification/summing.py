"""Statistics: sums over pairs from which every score comes, and which add up over any chunks."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME, pollutant
from aqreanalysis.network import StationNetwork
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.kernels import density, event_counts, probability_tables, sums
from aqreanalysis.verification.pairs import ESTIMATOR, Sample, check_pairs, listed
from aqreanalysis.verification.scoring import check_statistics
from aqreanalysis.verification.strata import HOURS_PER_DAY, levels_of, period_hours, strata_of

#: Values of a block of stations: keeps the arrays of a kernel within some hundred MB.
BLOCK_VALUES = 1_000_000

#: Attributes that two sets of statistics must share to be added.
_SHARED = ("variable", "units", "reference", "levels")
#: Coordinates of stations.
_ALONG = ("longitude", "latitude", "distance_km", "place", "fold")
#: Attributes that are lists of texts.
_TOLD = ("failures", "remarks")


def statistics(
    pairs: xr.Dataset,
    *,
    events: Sequence[float] | None = None,
    reference: float | None = None,
) -> xr.Dataset:
    """Return the sums over pairs of truth and estimates from which all scores come.

    Only values count for which every method that answers at the station has an estimate, so that
    all methods are judged by the same values. Sums of chunks add up with `combine`; daily means
    need chunks of whole local days.

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
    return reduce(_sum, parts)


def _sum(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """Return the statistics of two chunks together."""
    differing = [name for name in _SHARED if not _same(one.attrs[name], other.attrs[name])]
    differing += [
        name for name in ("event", "resolution", ESTIMATOR) if not one[name].equals(other[name])
    ]
    if differing:
        raise VerificationError(
            f"these statistics cannot be added: they differ in {', '.join(differing)}. "
            "Give the same methods, events and reference to statistics(...) of each chunk"
        )
    stations = list(dict.fromkeys([*one[STATION].values, *other[STATION].values]))
    first, second = (
        part.drop_vars(_ALONG, errors="ignore").reindex({STATION: stations}, fill_value=0.0)
        for part in (one, other)
    )
    periods = [end for part in (one, other) for end in part.attrs["period"]]
    lists = {
        name: list(dict.fromkeys(line for p in (one, other) for line in listed(p.attrs[name])))
        for name in _TOLD
    }
    summed = (first + second).assign_coords(_stations(one, other))
    return summed.assign_attrs(one.attrs | lists | {"period": [min(periods), max(periods)]})


def _stations(one: xr.Dataset, other: xr.Dataset) -> xr.Coordinates:
    """Return what is known of the stations of two chunks, each station once."""
    names = [name for name in _ALONG if name in one.coords and name in other.coords]
    mine, further = one[names], other[names]
    shared = np.isin(other[STATION].values, one[STATION].values)
    both = further.isel({STATION: shared})[STATION].values
    for name in ("longitude", "latitude", "distance_km"):
        if name not in names:
            continue
        here, there = (part[name].sel({STATION: both}).values for part in (mine, further))
        moved = ~np.isclose(here, there, rtol=0, atol=1e-9, equal_nan=True)
        if moved.any():
            raise VerificationError(
                f"these statistics cannot be added: station {both[moved][0]} has another {name} "
                "in the other part"
            )
    new = further.isel({STATION: ~shared})
    united = xr.concat([mine, new], dim=STATION, coords="minimal")
    if "place" in names and new.sizes[STATION]:  # each part has numbered its own
        network = StationNetwork(united["longitude"].values, united["latitude"].values)
        united = united.assign_coords(place=(STATION, network.colocated_groups()))
    return united.coords


def _same(one: object, other: object) -> bool:
    """Return whether two attributes are the same, lists and arrays alike."""
    return np.array_equal(np.asarray(one), np.asarray(other))


def _block(pairs: xr.Dataset, events: np.ndarray, reference: float) -> xr.Dataset:
    """Return the statistics of a block of stations."""
    variable = str(pairs.attrs["variable"])
    levels = levels_of(variable)
    step = period_hours(pairs)
    native = Sample.of(pairs)
    samples = {_resolution(step): native}
    if step < HOURS_PER_DAY:
        samples["daily"] = native.daily_means(pairs)
    by_resolution = [
        sums(sample, levels, reference).assign(event_counts(sample, events))
        for sample in samples.values()
    ]
    summed = xr.concat(by_resolution, dim="resolution")
    tables = probability_tables(native, events)
    histogram = density(native, pollutant(variable).plausible[1])
    strata = strata_of(levels)
    along = [name for name in _ALONG if name in pairs]
    stamps = np.datetime_as_string(pairs[TIME].values[[0, -1]], unit="m")
    coordinates = {
        "resolution": list(samples),
        ESTIMATOR: pairs[ESTIMATOR].values,
        **{name: pairs[name].variable for name in (STATION, *along)},
        "kind": ("stratum", [stratum.kind for stratum in strata]),
        "label": ("stratum", [stratum.label for stratum in strata]),
        "event": events,
    }
    own = {
        "reference": reference,
        "levels": list(levels),
        "period": [str(stamp) for stamp in stamps],
        **{name: listed(pairs.attrs.get(name, [])) for name in _TOLD},
    }
    whole = summed.assign({**tables, **histogram}).assign_coords(coordinates)
    return whole.assign_attrs(pairs.attrs | own)


def _resolution(step: float) -> str:
    """Return the name of the observations' own step."""
    return {1.0: "hourly", float(HOURS_PER_DAY): "daily"}.get(step, f"{step:g}-hourly")


def check_events(events: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return thresholds in ascending order, each once; refuse what is no concentration."""
    thresholds = np.unique(np.asarray(events, np.float64))
    if not thresholds.size or not (np.isfinite(thresholds) & (thresholds > 0)).all():
        raise VerificationError(
            f"events must be positive thresholds in ug m-3, such as 35, 75, 150; found {events}"
        )
    return thresholds
