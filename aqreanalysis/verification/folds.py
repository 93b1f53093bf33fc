"""Folds: which stations are hidden together, and which hours are for fitting and for scoring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import xarray as xr

from aqreanalysis.conventions import POLLUTANTS, STATION, STATION_TYPES, TIME
from aqreanalysis.network import Neighbours, StationNetwork, unit_vectors
from aqreanalysis.observations import step_hours, values_of
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.strata import hours_silent, local_middles, months_of

Design = Literal["station", "block", "month", "leave_one_out"]
DESIGNS: tuple[str, ...] = get_args(Design)

#: Random starts of the clustering into blocks.
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of stations and hours into those for fitting and those for scoring.

    Attributes
    ----------
    name : str
    hidden : (station,) bool
        Their values are the truth, and never an input.
    known : (station,) bool
        Their values are input at all hours.
    learned : (time,) bool
        Hours of the known stations that methods are fitted to.
    scored : (time,) bool
        Hours that are estimated and scored.
    """

    name: str
    hidden: np.ndarray
    known: np.ndarray
    learned: np.ndarray
    scored: np.ndarray

    def training(self, observations: xr.Dataset) -> xr.Dataset:
        """Return the known stations in the hours for fitting.

        Other hours in between are masked in every variable, co-pollutants and weather too.
        """
        first, last = np.flatnonzero(self.learned)[[0, -1]]
        span = slice(int(first), int(last) + 1)
        cut = observations.isel({STATION: self.known, TIME: span})
        if not self.learned[span].all():
            learned = xr.DataArray(self.learned[span], dims=TIME)
            cut = cut.assign(
                {
                    name: values.where(learned).assign_attrs(values.attrs)
                    for name, values in cut.data_vars.items()
                    if TIME in values.dims
                }
            )
        return _reported(cut)

    def inputs(self, observations: xr.Dataset) -> xr.Dataset:
        """Return the known stations at all hours."""
        return _reported(observations.isel({STATION: self.known}))

    def targets(self, observations: xr.Dataset) -> xr.Dataset:
        """Return the hidden stations without any variable, with what they state of themselves."""
        hidden = observations.isel({STATION: self.hidden})
        names = (STATION, "longitude", "latitude", "altitude", *STATION_TYPES)
        return xr.Dataset(coords={n: hidden[n].variable for n in names if n in hidden.variables})

    def distance_km(self, observations: xr.Dataset) -> np.ndarray:
        """Return the distance of each hidden station to the nearest known one, (hidden,) km."""
        return self._nearest(observations).distance_km[:, 0]

    def silence_hours(self, observations: xr.Dataset, variable: str) -> np.ndarray:
        """Return the hours since the nearest known station reported, (hidden, time)."""
        nearest = self._nearest(observations).index[:, 0]
        reported = np.isfinite(values_of(self.inputs(observations), variable)[nearest])
        return hours_silent(reported, step_hours(observations))

    def _nearest(self, observations: xr.Dataset) -> Neighbours:
        """Return the known station that is nearest to each hidden one."""
        at = self.targets(observations)
        network = StationNetwork.from_dataset(self.inputs(observations))
        return network.neighbours(at["longitude"].values, at["latitude"].values, k=1)

    def spans(self) -> Iterator[slice]:
        """Yield the spans of hours that are scored."""
        padded = np.concatenate([[False], self.scored, [False]]).astype(np.int8)
        for start, stop in np.flatnonzero(np.diff(padded)).reshape(-1, 2):
            yield slice(int(start), int(stop))


def _reported(observations: xr.Dataset) -> xr.Dataset:
    """Drop pollutants that no station reports, which would make the observations invalid."""
    empty = [
        name
        for name, values in observations.data_vars.items()
        if name in POLLUTANTS and not values.notnull().any()
    ]
    return observations.drop_vars(empty)


def folds_of(
    observations: xr.Dataset,
    variable: str,
    *,
    by: Design,
    count: int,
    seed: int,
    buffer_km: float | None,
    scored: np.ndarray,
) -> list[Fold]:
    """Return the folds of a design; stations that never report are in none.

    Parameters
    ----------
    observations : Dataset
    variable : str
    by : {"station", "block", "month", "leave_one_out"}
        As of `cross_validate`.
    count : int
        Number of folds; not used where one place is left out at a time.
    seed : int
    buffer_km : float or None
        Stations closer to a hidden one are not known either; for blocks the stations' spacing by
        default, 0 for others.
    scored : (time,) bool
        Hours that may be scored.

    Raises
    ------
    VerificationError
        If the design is unknown, or there are fewer places or months than folds.
    """
    if by not in DESIGNS:
        raise VerificationError(f"by must be one of {', '.join(DESIGNS)}; found {by!r}")
    reports = np.isfinite(values_of(observations, variable)).any(axis=1)
    network = StationNetwork.from_dataset(observations.isel({STATION: reports}))
    groups = _groups(network, by, count, seed)
    buffer = (network.spacing_km if by == "block" else 0.0) if buffer_km is None else buffer_km
    if not (np.isfinite(buffer) and buffer >= 0):
        raise VerificationError(f"buffer_km must be 0 or more; found {buffer_km}")
    months = _months(observations, count, seed) if by == "month" else None
    everything = np.ones(observations.sizes[TIME], bool)
    folds = []
    for number in range(int(groups.max()) + 1):
        hidden, known = np.zeros((2, reports.size), bool)
        hidden[reports] = groups == number
        known[reports] = _outside(network, groups == number, buffer)
        name = _name(observations, hidden, by, number)
        if months is None:
            folds.append(Fold(name, hidden, known, everything, scored))
        else:
            out = months == number
            folds.append(Fold(name, hidden, known, ~out, out & scored))
    return folds


def _groups(network: StationNetwork, by: str, count: int, seed: int) -> np.ndarray:
    """Return the number of the fold of each station."""
    places = network.colocated_groups()
    size = int(places.max()) + 1
    number = size if by == "leave_one_out" else count
    if number < 2 or size < number:
        raise VerificationError(
            f"verification needs at least two folds, and a place for each; found {size} separate "
            f"stations that report, and folds={count}. "
            + (f"Ask for 2 to {size} folds" if size > 1 else "Add stations at other places")
        )
    if by == "leave_one_out":
        return places
    if by == "block":
        return _blocks(network, places, count, seed)
    return network.folds(count, seed=seed)


def _blocks(network: StationNetwork, places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return compact groups of neighbouring stations, by k-means of places on the unit sphere."""
    from scipy.cluster.vq import ClusterError, kmeans2

    first = np.unique(places, return_index=True)[1]
    points = unit_vectors(network.longitude[first], network.latitude[first])
    generator = np.random.default_rng(seed)
    for _ in range(_TRIES):
        try:
            _, block = kmeans2(points, count, minit="++", missing="raise", iter=50, rng=generator)
        except ClusterError:
            continue
        return block[places]
    raise VerificationError(
        f"the stations do not fall into {count} separate blocks; ask for fewer folds"
    )


def _outside(network: StationNetwork, hidden: np.ndarray, buffer_km: float) -> np.ndarray:
    """Return the mask of stations neither hidden nor within the buffer of a hidden one."""
    if buffer_km == 0:
        return ~hidden
    centres = network.part(hidden)
    nearest = centres.neighbours(network.longitude, network.latitude, k=1).distance_km[:, 0]
    return ~hidden & (nearest > buffer_km)


def _months(observations: xr.Dataset, count: int, seed: int) -> np.ndarray:
    """Return the number of the fold of each hour; hours of a calendar month share one."""
    east, north, _ = unit_vectors(
        observations["longitude"].values, observations["latitude"].values
    ).mean(axis=0)
    local = local_middles(observations, np.degrees(np.arctan2(north, east)))
    month, index = np.unique(months_of(local), return_inverse=True)
    if month.size < count:
        raise VerificationError(
            f"{count} folds by month need {count} months; the observations hold {month.size} "
            f"({month[0]} to {month[-1]}). "
            + (f"Ask for 2 to {month.size} folds" if month.size > 1 else "Use by='station'")
        )
    return (np.random.default_rng(seed).permutation(month.size) % count)[index]


def _name(observations: xr.Dataset, hidden: np.ndarray, by: str, number: int) -> str:
    """Return the name of a fold: its number, or the stations at the place that is left out."""
    if by != "leave_one_out":
        return str(number + 1)
    return "+".join(observations[STATION].values[hidden].astype(str))


def describe_design(by: Design, folds: Sequence[Fold], buffer_km: float | None, seed: int) -> str:
    """Return a sentence on how stations were hidden."""
    count = len(folds)
    hidden = {
        "station": f"Stations were hidden in {count} random folds (seed {seed}), co-located ones "
        "together",
        "block": f"Stations were hidden in {count} blocks of neighbours (seed {seed})",
        "month": f"Stations and calendar months were dealt to {count} folds (seed {seed}); the "
        "stations of a fold are scored in its months, of which nothing is learned",
        "leave_one_out": f"Each of {count} places was hidden in turn",
    }[by]
    buffer = ""
    if buffer_km:
        buffer = f", stations within {buffer_km:g} km of a hidden one left out"
    elif by == "block" and buffer_km is None:
        buffer = ", stations within their usual spacing of a hidden one left out"
    return f"{hidden}{buffer}; every method was fitted anew to the known stations alone."
