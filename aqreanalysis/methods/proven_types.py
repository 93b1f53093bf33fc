r"""What types of stations measure too much, as far as stations prove it.

Of each station the roots of its values, summed over the hours, are compared with those that the
stations around it give at the same hours,

.. math:: e_i = 2 \log \frac{\sum_t r_i(t)}{\sum_t \sum_j w_{ij}(t) r_j(t)}, \qquad
    w_{ij} \propto \frac{1}{d_{ij}^2 + s^2},

with the spacing s of the stations. If stations of a type measure :math:`e^{\delta}` times as much
as those of the usual type, e departs by as much at them, and by the share that they have of the
weights at their neighbours. Least squares over stations, beside what altitude, relief, people
around and the coast explain, give :math:`\delta`; the larger of the error by their common residual
and that by each one's own (MacKinnon and White 1985, J. Econometrics 29, 305) is its error. Types
are of one family, :math:`\delta \sim N(\mu, \sigma^2)`, so that one of few stations borrows from
the others (Gelman 2006, Bayesian Analysis 1, 515). A kind of label is used where a type of it
departs from the usual one by so many errors that labels without any meaning do so in one of fifty
networks.
"""

import logging
import math
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from aqreanalysis.conventions import STATION, find_pollutant
from aqreanalysis.geography.likeness import Coordinates
from aqreanalysis.methods.station_types import FEWEST, TypeFactors, labels_of, usual_label
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of

logger = logging.getLogger(__name__)

#: Kinds of labels that are judged: they say what measures, and what beside. The type of the area is
#: none of these, since what urban stations measure more is the air of a town, and is in a field.
JUDGED = ("sensor_type", "station_type")
#: Probability with which labels that mean nothing are used, if departures are independent.
MISTAKEN = 0.02
#: Stations that are compared with one, and stations below which nothing is proven.
NEIGHBOURS, FEWEST_STATIONS = 12, 8
#: Steps that are compared at most, and without which a station is not.
MOST_STEPS, FEWEST_STEPS = 2000, 24
#: Standard deviation of the departure of a family of types, logarithmic, and scale of the spread of
#: its members: sensors of a low price mostly read from half as much to twice as much.
FAMILY, MEMBERS = 0.5, 0.25
#: Largest departure, logarithmic, and variance below which residuals are rounding.
LARGEST, ROUNDING = 3.0, 1e-12
#: Repetitions after which a departure of any size is right to a thousandth.
REPETITIONS = 6


def proven_types(observations: xr.Dataset, variable: str) -> TypeFactors:
    """Return by which factors types of stations measure more than the usual one.

    Kinds of labels, `JUDGED`, are coordinates on ``station``; capitals do not matter, and a station
    that states no type counts as one of the usual type.

    Parameters
    ----------
    observations : Dataset
        ``(station, time)``.
    variable : str

    Returns
    -------
    TypeFactors
        Of none where nothing is proven.

    Examples
    --------
    Half of the stations measure a half too much, and labels of anything else prove nothing:

    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=1).observations
    >>> cheap = np.arange(obs.sizes["station"]) % 2 == 0
    >>> sensors = obs.assign(pm25=obs.pm25 * (1 + 0.5 * xr.DataArray(cheap, dims="station")))
    >>> sensors["sensor_type"] = "station", np.where(cheap, "SDS011", "reference")
    >>> factors = proven_types(sensors, "pm25").factors
    >>> bool(1.3 < factors["sensor_type"]["sds011"] < 1.7)
    True
    >>> bool(proven_types(sensors.assign(pm25=obs.pm25), "pm25"))
    False
    """
    if find_pollutant(variable) is None or not {*JUDGED} & {*observations.variables}:
        return TypeFactors()
    identifiers = StationNetwork.from_dataset(observations).identifiers
    observations = observations.isel({STATION: np.argsort(identifiers, kind="stable")})
    kinds = _kinds(observations)
    if not kinds:
        return TypeFactors()
    network = StationNetwork.from_dataset(observations)
    compared = Compared.of(values_of(observations, variable), network)
    if compared is None:
        return TypeFactors()
    places = Coordinates.of([observations])(network.longitude, network.latitude)
    while kinds:
        departures = _departures(kinds, compared, places - places.mean(axis=0))
        weakest = min(departures, key=lambda one: one.proof)
        if weakest.proof >= 1:
            break
        logger.info("types of %s: nothing is proven of %s", variable, weakest.kind.name)
        kinds = [kind for kind in kinds if kind is not weakest.kind]
    if not kinds:
        return TypeFactors()
    factors = {
        one.kind.name: dict(zip(one.kind.types, np.exp(one.mean).tolist(), strict=True))
        for one in departures
    }
    for name, by_type in factors.items():
        words = ", ".join(f"{label} {factor:.2f}" for label, factor in by_type.items())
        logger.info("types of %s by %s, factors beside the usual one: %s", variable, name, words)
    return TypeFactors({kind.name: kind.usual for kind in kinds}, factors)


class Kind(NamedTuple):
    """A kind of label: the usual type, the others, and which station is of them (station, type)."""

    name: str
    usual: str
    types: list[str]
    member: np.ndarray

    @property
    def large(self) -> np.ndarray:
        """Which types have stations enough to prove something."""
        return self.member.sum(axis=0) >= FEWEST


class Compared(NamedTuple):
    """Stations beside those around them.

    Attributes
    ----------
    rows : (n,) int64
        The stations that are compared.
    own : (n,) float64
        Sum of the roots of a station.
    others : (n, k) float64
        What each neighbour gives to the sum that those around a station make of it.
    neighbour : (n, k) int64
        Their rows.
    """

    rows: np.ndarray
    own: np.ndarray
    others: np.ndarray
    neighbour: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, network: StationNetwork) -> "Compared | None":
        """Return the comparison of series (station, time); None of too few stations."""
        if network.size < FEWEST_STATIONS or not math.isfinite(network.spacing_km):
            return None
        root = np.sqrt(np.maximum(values[:, :: _stride(values.shape[1])], 0))
        near = network.nearest_others(k=min(NEIGHBOURS, network.size - 1))
        weight = np.where(near.index < 0, 0, 1 / (near.distance_km**2 + network.spacing_km**2))
        own, others, steps = np.zeros(network.size), np.zeros(weight.shape), np.zeros(network.size)
        reports, known = np.isfinite(root), np.nan_to_num(root)
        for row, (neighbour, share) in enumerate(zip(near.index, weight, strict=True)):
            part = share[:, None] * reports[neighbour]
            total = part.sum(axis=0)
            both = reports[row] & (total > 0)
            own[row], steps[row] = known[row, both].sum(), both.sum()
            others[row] = (part[:, both] * known[neighbour][:, both] / total[both]).sum(axis=1)
        enough = steps >= min(FEWEST_STEPS, steps.max() / 2)
        rows = np.flatnonzero(enough & (own > 0) & (others.sum(axis=1) > 0))
        if rows.size < FEWEST_STATIONS:
            return None
        return cls(rows, own[rows], others[rows], near.index[rows])

    def contrast(self, columns: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Return columns (station, c) less what neighbours with shares (n, k) have, (n, c)."""
        return columns[self.rows] - np.einsum("nk,nkc->nc", share, columns[self.neighbour])

    def departing(self, departure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return e (n,) once departures (station,) are taken off, and neighbours' shares (n, k)."""
        others = self.others * np.exp(-departure[self.neighbour] / 2)
        total = others.sum(axis=1)
        return 2 * np.log(self.own / total) - departure[self.rows], others / total[:, None]


class Departures(NamedTuple):
    """Departures (type,) of the types of a kind of label, logarithmic.

    ``proof`` is the largest over its error, in units of what proves it.
    """

    kind: Kind
    mean: np.ndarray
    proof: float


def _kinds(observations: xr.Dataset) -> list[Kind]:
    """Return the kinds of labels of which there is another type than the usual one."""
    kinds = []
    for name in (name for name in JUDGED if name in observations.variables):
        labels = labels_of(observations, name)
        usual = usual_label(labels, name)
        types = sorted({*labels.tolist()} - {usual, ""})
        kind = Kind(name, usual, types, labels[:, None] == np.array(types, dtype=str))
        if types and kind.large.any():
            kinds.append(kind)
    return kinds


def _departures(kinds: list[Kind], compared: Compared, places: np.ndarray) -> list[Departures]:
    """Return the departures of all types, fitted together."""
    member = np.concatenate([kind.member for kind in kinds], axis=1).astype(np.float64)
    columns = np.concatenate([member, places], axis=1)
    count = member.shape[1]
    ridge = np.diag(np.repeat([1e-6, 1.0], [count, places.shape[1]]))
    solved = np.zeros(columns.shape[1])
    for _ in range(REPETITIONS):
        error, share = compared.departing(member @ solved[:count])
        contrast = compared.contrast(columns, share)
        inverse = np.linalg.inv(contrast.T @ contrast + ridge)
        # Of types only the rest is left in the error, of places all.
        step = inverse @ contrast.T @ error
        solved = np.concatenate([(solved + step)[:count].clip(-LARGEST, LARGEST), step[count:]])
    residual = error - contrast @ step
    leverage = np.einsum("nc,cd,nd->n", contrast, inverse, contrast)
    freedom = max(len(error) - leverage.sum(), 1.0)
    common = ((residual @ residual / freedom + ROUNDING) * inverse)[:count, :count]
    apart = inverse @ (contrast.T * (residual / np.maximum(1 - leverage, 0.01)) ** 2)
    single = (apart @ contrast @ inverse).diagonal()[:count]
    inflation = np.sqrt(np.maximum(single / common.diagonal(), 1))
    covariance = inflation[:, None] * common * inflation
    needed = stdtrit(freedom, 1 - MISTAKEN / (2 * count))
    departures, first = [], 0
    for kind in kinds:
        own = slice(first, first + len(kind.types))
        first = own.stop
        mean, spread = posterior(solved[own], covariance[own, own])
        ratio = np.where(kind.large, np.abs(mean) / spread, 0.0)
        departures.append(Departures(kind, mean, float(ratio.max() / needed)))
    return departures


def posterior(estimate: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return mean and standard deviation of departures that are of one family.

    The family has :math:`\mu \sim N(0, .5^2)` and a half-normal :math:`\sigma` of scale .25, which
    is summed over.

    Parameters
    ----------
    estimate : (type,) float64
    covariance : (type, type) float64
        Of the errors of the estimates.

    Examples
    --------
    A type of few stations is drawn towards the others, and one of many is not:

    >>> mean, spread = posterior(np.array([0.4, 0.4, -0.4]), np.diag([0.05, 0.05, 0.5]) ** 2)
    >>> mean.round(2).tolist(), spread.round(2).tolist()
    ([0.39, 0.39, 0.28], [0.05, 0.05, 0.22])
    """
    spreads = np.linspace(0, 4 * MEMBERS, 41)[1:]
    logarithms, means, variances = [], [], []
    for spread in spreads:
        prior = spread**2 * np.eye(len(estimate)) + FAMILY**2
        gain = np.linalg.solve(prior + covariance, prior).T
        _, determinant = np.linalg.slogdet(prior + covariance)
        misfit = estimate @ np.linalg.solve(prior + covariance, estimate)
        logarithms.append(-(determinant + misfit + (spread / MEMBERS) ** 2) / 2)
        means.append(gain @ estimate)
        variances.append((prior - gain @ prior).diagonal())
    weight = np.exp(np.array(logarithms) - max(logarithms))
    weight /= weight.sum()
    mean = weight @ means
    variance = weight @ (np.array(variances) + (np.array(means) - mean) ** 2)
    return mean, np.sqrt(variance)


def _stride(steps: int) -> int:
    """Return each which step is compared: few enough, and of all hours of the day.

    Examples
    --------
    >>> _stride(744), _stride(8760), _stride(12000)
    (1, 5, 7)
    """
    stride = -(-steps // MOST_STEPS)
    while math.gcd(stride, 24) > 1:
        stride += 1
    return max(stride, 1)
