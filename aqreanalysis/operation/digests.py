"""Digests of measurements, hour by hour: which hours have others than a store was made of."""

import hashlib
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import values_of

Digests = NDArray[np.uint64]

#: Shifts and factors of splitmix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195).
_SHIFTS, _FACTORS = (30, 27, 31), (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def hourly_digests(observations: xr.Dataset, names: Sequence[str]) -> Digests:
    """Return a digest of the measurements of each hour, (time,); 0 where nothing is reported.

    It covers identifiers and positions of the stations that report, and the values of some
    variables as float32, whatever the order of the stations.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=24, seed=0).observations
    >>> digests = hourly_digests(obs, ["pm25"])
    >>> corrected = obs.assign(pm25=obs.pm25.where(obs.time != obs.time[5], 3.0))
    >>> np.flatnonzero(hourly_digests(corrected, ["pm25"]) != digests).tolist()
    [5]
    >>> bool((hourly_digests(obs.isel(station=slice(None, None, -1)), ["pm25"]) == digests).all())
    True
    """
    network = StationNetwork.from_dataset(observations)
    digests = np.zeros(observations.sizes[TIME], np.uint64)
    for name in names:
        if name not in observations or set(observations[name].dims) != {STATION, TIME}:
            continue
        values = values_of(observations, name).astype(np.float32)
        places = [
            f"{name} {station} {longitude!r} {latitude!r}"
            for station, longitude, latitude in zip(
                network.identifiers,
                network.longitude.tolist(),
                network.latitude.tolist(),
                strict=True,
            )
        ]
        keys = np.array([_number_of(place) for place in places], np.uint64)
        bits = np.where(values == 0, np.float32(0), values).view(np.uint32)  # one zero
        of_values = mixed(keys[:, None] ^ mixed(bits.astype(np.uint64)))
        digests += np.where(np.isfinite(values), of_values, np.uint64(0)).sum(0, dtype=np.uint64)
    return digests


def joint_digest(digests: Digests, first: int) -> int:
    """Return one digest of consecutive hours, the first of which has a number; 0 of silent ones.

    Examples
    --------
    >>> hours = np.array([0, 7, 8], np.uint64)
    >>> joint_digest(hours, 10) == joint_digest(hours[1:], 11)
    True
    >>> joint_digest(hours, 10) == joint_digest(hours, 11)
    False
    """
    numbers = np.arange(first, first + digests.size).astype(np.uint64)
    each = mixed(digests ^ mixed(numbers))
    return int(np.where(digests == 0, np.uint64(0), each).sum(dtype=np.uint64))


def mixed(numbers: Digests) -> Digests:
    """Return numbers of 64 bits of which each depends on all bits of the given one."""
    numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(_SHIFTS[-1]))


def _number_of(text: str) -> int:
    """Return 64 bits of the sha256 of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
