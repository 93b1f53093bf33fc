"""Verification of an existing product: of this package, or another reanalysis on any grid."""

import logging
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.conventions import (
    CONCENTRATION_UNITS,
    STATION,
    TIME,
    Pollutant,
    UnknownPollutantError,
    pollutant,
    quantile_name,
)
from aqreanalysis.foreign.errors import ForeignError, raising
from aqreanalysis.foreign.files import Source, opened
from aqreanalysis.foreign.periods import TimeAxis, TimeLabel, at_one_level
from aqreanalysis.foreign.places import SamplingMethod
from aqreanalysis.foreign.variables import units_factor
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import (
    ObservationError,
    Quality,
    default_variable,
    find_faults,
    input_digest,
    step_hours,
    usable,
    values_of,
)
from aqreanalysis.predictive import ErrorCorrelation, RootNormal, freedom_of
from aqreanalysis.verification.colocation.averaging import Alignment, align
from aqreanalysis.verification.colocation.layers import (
    find_layer,
    find_standard_error,
    method_name,
)
from aqreanalysis.verification.colocation.stations import Colocation, colocate, name_some
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.pairs import build_pairs, quality_remarks
from aqreanalysis.verification.summing import statistics

_DISTANCE = "distance_to_nearest_station"

_USED = "These stations were seen by the product: scores do not tell how good it is elsewhere."

logger = logging.getLogger(__name__)


def match_product(
    product: Source,
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    product_variable: str | None = None,
    name: str | None = None,
    time_label: TimeLabel | None = None,
    sampling: SamplingMethod = "cell",
    quality: Quality = "mask",
) -> xr.Dataset:
    """Return the pairs of measurements and of a product's values at the stations.

    The product may lie on axes of longitude and latitude of any order and convention, on a grid
    with longitude and latitude in two dimensions, or at stations. Only the blocks of a file that
    hold a station are read. Where the product averages longer than the measurements, these are
    averaged to its periods, of which 75 % must be measured; where it averages shorter, it must
    have values for all of a measurement's period.

    Parameters
    ----------
    product : Dataset, path, pattern of paths, or sequence of paths
        NetCDF by CF, or near to it. Files are joined along time.
    observations : Dataset
        ``(station, time)``, ug m-3.
    variable : str, optional
        Pollutant of the observations; by default PM2.5, or else the first one.
    product_variable : str, optional
        Its variable in the product. By default the one with the CF standard name of the
        pollutant, or else with its name, such as ``pm2p5_conc``.
    name : str, optional
        Name of the product in the result; by default its method, title or file.
    time_label : {"start", "end"}, optional
        Which end of its averaging period a time stamp is, where the product does not state it.
    sampling : {"cell", "linear"}
        The cell that holds the station, or linear interpolation between the four cells around it;
        where one of them is missing, so is the estimate.
    quality : {"mask", "flag", "ignore"}
        As of `aqreanalysis.reanalysis.reanalyse`: what "mask" leaves out is not scored.

    Returns
    -------
    Dataset
        ``truth``, ``estimate`` and ``standard_error``, ug m-3, as of `cross_validate`, with the
        product as the only method. ``remarks`` state what was left out or assumed, and whether the
        product is known to have used the same measurements.

    Raises
    ------
    VerificationError
        If the observations are not valid, or the product cannot be read, has no such variable,
        does not state units or averaging periods, or has no place or time in common with them.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> observations = aqr.synthetic_network(hours=2, seed=0).observations
    >>> shape = (observations.sizes["time"], 180, 360)
    >>> product = xr.Dataset(
    ...     {"pm2p5": (("time", "lat", "lon"), np.full(shape, 2e-8), {"units": "kg m-3"})},
    ...     coords={
    ...         "time": observations.time.values,
    ...         "lat": 89.5 - np.arange(180.0),
    ...         "lon": 0.5 + np.arange(360.0),
    ...     },
    ... )
    >>> pairs = match_product(product, observations, time_label="start", name="flat")
    >>> pairs.estimate.mean().item(), pairs.estimate.dims, pairs.attrs["by"]
    (20.0, ('estimator', 'station', 'time'), 'product')
    """
    target = _target(observations, variable)
    given, observations = observations, usable(observations, target.name, quality)
    with raising(VerificationError, "the product"), opened(product) as dataset:
        layer = find_layer(dataset, target, product_variable)
        network = StationNetwork.from_dataset(observations)
        places = colocate(dataset, layer, network, sampling=sampling)
        level, time = at_one_level(dataset, layer, places.dims)
        if time is None:
            raise ForeignError(
                f"{layer!r} has no time: no dates on its dimensions {dataset[layer].dims} and none "
                "beside them. Assign the coordinate 'time'"
            )
        periods, assumed = time.periods(time_label=time_label, step_hours=step_hours(observations))
        match = _Match(level, layer, target, places, time, align(periods, observations))
        estimate, standard_error, median, converted = match.values()
        freedom = np.full((1, places.station.size), match.freedom)
        lasting = match.lasting()
        distance_km = match.distance_km()
        used, unknown = _provenance(dataset, observations, target.name, places, distance_km)
        label = name or method_name(dataset)
    identifiers = network.identifiers[places.station]
    warned = [*places.remarks, *used, *_without_estimate(identifiers, estimate)]
    for remark in warned:
        logger.warning("%s: %s", label, remark)
    return build_pairs(
        match.measurements(observations),
        target.name,
        truth=match.truth(observations),
        estimate=estimate[None],
        standard_error=standard_error[None],
        median=None if median is None else median[None],
        freedom=freedom,
        lasting=lasting,
        methods=[label],
        stations={
            "distance_km": distance_km,
            "place": network.colocated_groups()[places.station],
            "fold": np.full(places.station.size, "", dtype=str),
        },
        attributes={
            "by": "product",
            "design": match.design(),
            "statistic": match.statistic,
            "failures": [],
            "remarks": [
                *quality_remarks(given, observations),
                *warned,
                *assumed,
                *converted,
                *unknown,
            ],
        },
    )


def verify_product(
    product: Source,
    observations: xr.Dataset,
    variable: str | None = None,
    *,
    product_variable: str | None = None,
    name: str | None = None,
    time_label: TimeLabel | None = None,
    sampling: SamplingMethod = "cell",
    quality: Quality = "mask",
) -> xr.Dataset:
    """Return the statistics of a product against what stations measured.

    Parameters
    ----------
    product, observations, variable, product_variable, name, time_label, sampling, quality
        As of `match_product`.

    Returns
    -------
    Dataset
        As of `statistics`; `metrics` makes scores of it.

    Raises
    ------
    VerificationError
        As of `match_product` and `statistics`.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> observations = aqr.synthetic_network(hours=48, seed=0).observations
    >>> product = observations.aqnet.reanalyse(grid=0.5, method="idw")
    >>> summed = verify_product(product, observations)
    >>> summed.attrs["remarks"][0]
    'These stations were seen by the product: scores do not tell how good it is elsewhere.'
    """
    pairs = match_product(
        product,
        observations,
        variable,
        product_variable=product_variable,
        name=name,
        time_label=time_label,
        sampling=sampling,
        quality=quality,
    )
    return statistics(pairs)


@dataclass(frozen=True)
class _Match:
    """A layer of a product, with the stations and the periods of the pairs."""

    product: xr.Dataset
    layer: str
    target: Pollutant
    places: Colocation
    time: TimeAxis
    alignment: Alignment

    def values(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list[str]]:
        """Return estimate, standard error and median, (m, n) ug m-3, and what was assumed.

        There is a median of its own where the estimate is the mean.
        """
        factor, of_air = units_factor(self.product[self.layer], self.target)
        units = self.product[self.layer].attrs["units"]
        estimate = self._read(self.layer) * factor
        error = np.full(estimate.shape, np.nan)
        remarks = []
        if of_air:
            remarks.append(
                f"The product's {units} were converted to {CONCENTRATION_UNITS} at 25 °C and "
                "1013.25 hPa."
            )
        name = find_standard_error(self.product, self.layer)
        if name is not None and self.alignment.averaged == "product":
            remarks.append(
                "The product's standard error is left out: those of shorter periods do not tell "
                "that of their mean."
            )
        elif name is not None:
            layer = self.product[name]
            layer = layer.assign_attrs(units=layer.attrs.get("units", units))
            try:
                error = self._read(name) * units_factor(layer, self.target)[0]
            except ForeignError as fault:
                remarks.append(
                    f"The product's standard error is left out: {fault.about('product')}."
                )
        error = np.where(error >= 0, error, np.nan)
        median = None
        if self.statistic == "mean":
            middle = quantile_name(self.layer, 0.5)
            if middle in self.product:
                median = self._read(middle) * factor
            else:
                median = RootNormal.from_mean(estimate, error).median
                remarks.append(
                    f"The product's estimate is the mean, and it has no layer {middle!r}: its "
                    "distribution is taken as that of the mean and the standard error."
                )
        return estimate, error, median, remarks

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the product's distributions, as far as it says so."""
        name = find_standard_error(self.product, self.layer)
        return math.inf if name is None else freedom_of(self.product[name].attrs)

    def lasting(self) -> tuple[tuple[float, ...], np.ndarray] | None:
        """Return time scales and shares of the product's errors, as far as it states them."""
        name = find_standard_error(self.product, self.layer)
        stated = {} if name is None else self.product[name].attrs
        correlation = ErrorCorrelation.from_attributes(stated)
        if correlation is None:
            return None
        shape = (1, self.places.station.size, len(correlation.shares))
        return correlation.scales, np.broadcast_to(correlation.shares, shape).copy()

    @property
    def statistic(self) -> str:
        """What the product's estimate is, as far as it says so."""
        return str(self.product[self.layer].attrs.get("statistic", "median"))

    def truth(self, observations: xr.Dataset) -> np.ndarray:
        """Return what the stations in the product measured, in the periods of the pairs."""
        measured = values_of(observations, self.target.name)[self.places.station]
        return self.alignment.truth(measured)

    def measurements(self, observations: xr.Dataset) -> xr.Dataset:
        """Return the stations in the product, in the periods of the pairs, without values."""
        stations = observations.isel({STATION: self.places.station})
        layer = np.empty((self.places.station.size, self.alignment.time.size), np.int8)
        return xr.Dataset(
            {self.target.name: ((STATION, TIME), layer, observations[self.target.name].attrs)},
            coords={
                **{name: stations[name].variable for name in (STATION, "longitude", "latitude")},
                TIME: self.alignment.time.variable,
            },
        )

    def distance_km(self) -> np.ndarray:
        """Return the distance to the nearest station of the product, NaN if not stated."""
        layer = self.product.get(f"{self.target.name}_distance", self.product.get(_DISTANCE))
        if layer is None or set(layer.dims) != set(self.places.dims):
            return np.full(self.places.station.size, np.nan)
        return self.places.sampling.read(layer)[:, 0]

    def design(self) -> str:
        """Return a sentence on how measurements and product were compared."""
        averaged = {
            "measurements": ", measurements averaged to the periods of the product",
            "product": ", the product averaged to the periods of the measurements",
        }.get(self.alignment.averaged or "", "")
        layer = self.product[self.layer]
        kind = f" Its estimates are {self.statistic}s." if "statistic" in layer.attrs else ""
        compared = f"each station is compared with {self.places.words}{averaged}"
        return f"Nothing was hidden: {compared}.{kind}"

    def _read(self, name: str) -> np.ndarray:
        """Return a layer at the stations in the periods of the pairs, (m, n) in its own units."""
        used = self.alignment.estimated >= 0
        layer, position = self.product[name], self.time.position[used]
        values = self.places.sampling.read(layer, self.time.dimension, position)
        return self.alignment.estimate(values)


def _target(observations: xr.Dataset, variable: str | None) -> Pollutant:
    """Return the pollutant to verify, of valid observations."""
    faults = find_faults(observations)
    if faults:
        raise VerificationError(f"the observations are not valid: {'; '.join(faults)}")
    try:
        target = pollutant(default_variable(observations) if variable is None else variable)
    except (ObservationError, UnknownPollutantError) as error:
        raise VerificationError(str(error)) from error
    if target.name not in observations:
        raise VerificationError(
            f"the observations have no {target.name!r}; they have "
            f"{', '.join(map(str, observations.data_vars))}"
        )
    return target


def _provenance(
    product: xr.Dataset,
    observations: xr.Dataset,
    variable: str,
    places: Colocation,
    distance_km: np.ndarray,
) -> tuple[list[str], list[str]]:
    """Return remarks that the product used these stations, and that this is unknown."""
    digest = product.attrs.get("input_sha256")
    if digest is None:
        return [], ["It is not known whether the product used the measurements of these stations."]
    if input_digest(observations, variable) in str(digest).split(", "):  # of each pollutant
        return [_USED], []
    near = int((distance_km <= places.near_km).sum())
    if near:
        return [
            f"{near} of {distance_km.size} stations lie in a cell with a station that the product "
            "was made from: their scores may not tell how good it is elsewhere."
        ], []
    if np.isnan(distance_km).any():
        return [], [
            "The product was made from other measurements than these; it is not known whether some "
            "of these stations were among them."
        ]
    return [], []


def _without_estimate(identifiers: np.ndarray, estimate: np.ndarray) -> list[str]:
    """Return a remark on stations at which the product has no value at any time."""
    empty = identifiers[~np.isfinite(estimate).any(axis=1)]
    if not empty.size:
        return []
    remark = f"The product has no value at {empty.size} of {identifiers.size} stations: "
    return [f"{remark}{name_some(empty)}."]
