"""Errors of monitors: noise, drift, gaps, spikes, and stations that repeat a value."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter


@dataclass(frozen=True)
class Sensors:
    """How stations measure in `synthetic_network`.

    The defaults give two stations less than 3 km apart the difference that is seen in Beijing: a
    root mean square of about a fifth of the root mean square of the values, two thirds of it in
    errors that last for hours, and the gaps of about that network (13 % missing).

    Parameters
    ----------
    bias : float
        Standard deviation of a station's lasting relative error: siting and calibration.
    drift : float
        Standard deviation of a relative error that changes over hours: what the street, the wind
        and the humidity do to a single inlet.
    drift_hours : float
        Autocorrelation time of that error.
    noise : float
        Standard deviation of the relative error of a single hour.
    noise_ug_m3 : float
        Standard deviation of the additive error of a single hour of a particle monitor: with beta
        attenuation 2 to 5 ug m-3. NO2 has a third of it.
    missing : float
        Share of the values that is missing: two fifths in single hours, half in outages of 12 h
        to some days, the rest in hours in which the whole network is down.
    spikes : float
        Share of the values that are three to eight times too high.
    stuck_stations : int
        Stations that repeat one value for a day or two.
    """

    bias: float = 0.05
    drift: float = 0.12
    drift_hours: float = 6.0
    noise: float = 0.06
    noise_ug_m3: float = 3.0
    missing: float = 0.12
    spikes: float = 0.0005
    stuck_stations: int = 1

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be finite and not negative; found {value!r}"
            for name, value in vars(self).items()
            if not (np.isfinite(value) and value >= 0)
        ]
        for name in ("missing", "spikes"):
            if getattr(self, name) > 0.9:
                faults.append(f"{name} is a share, at most 0.9; found {getattr(self, name)!r}")
        if self.drift_hours == 0:
            faults.append("drift_hours must be positive; use drift=0 for no drift")
        if faults:
            raise ValueError("; ".join(faults))

    @classmethod
    def perfect(cls) -> Self:
        """Return sensors that report the truth at every hour."""
        return cls(0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0)


def measured(truth: NDArray, sensors: Sensors, rng: np.random.Generator) -> NDArray:
    """Add a monitor's errors to the truth (station, hour); never negative, nothing missing.

    value = truth * exp(bias + drift + noise) + additive noise, the relative errors with mean one.
    """
    stations, hours = truth.shape
    lasting = sensors.bias * rng.standard_normal((stations, 1))
    memory = np.exp(-1 / sensors.drift_hours)
    lead = int(5 * sensors.drift_hours)
    shocks = rng.standard_normal((stations, lead + hours)) * np.sqrt(1 - memory**2)
    drift = sensors.drift * lfilter([1.0], [1.0, -memory], shocks, axis=1)[:, lead:]
    single = sensors.noise * rng.standard_normal(truth.shape)
    additive = sensors.noise_ug_m3 * rng.standard_normal(truth.shape)
    variance = sensors.bias**2 + sensors.drift**2 + sensors.noise**2
    return np.maximum(truth * np.exp(lasting + drift + single - variance / 2) + additive, 0.0)


def missing_mask(
    shape: tuple[int, int, int], sensors: Sensors, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which values (variable, station, hour) are missing, close to the share asked for.

    Outages and hours in which the whole network is down take all variables of a station; single
    hours are missing for each variable by itself.
    """
    _, stations, hours = shape
    single = 0.4 * sensors.missing
    down = rng.random(hours) < 0.1 * sensors.missing
    outage = np.repeat(down[None, :], stations, axis=0)
    # Both together leave (1 - single)(1 - outage) of the values.
    wanted = (sensors.missing - single) / (1 - single) * stations * hours
    # Outages are drawn until the share is reached: a fixed number of them would miss it widely.
    while (lacking := round(wanted - outage.sum())) > 0:
        lasts = min(6 + int(rng.lognormal(np.log(24), 0.6)), lacking)
        begins = int(rng.integers(-lasts + 1, hours))
        outage[rng.integers(stations), max(begins, 0) : begins + lasts] = True
    return outage | (rng.random(shape) < single)


def spike_mask(shape: tuple[int, int], sensors: Sensors, rng: np.random.Generator) -> NDArray:
    """Return which values (station, hour) are spikes."""
    return rng.random(shape) < sensors.spikes


def stuck_mask(shape: tuple[int, int], sensors: Sensors, rng: np.random.Generator) -> NDArray:
    """Return which values (station, hour) repeat the one before, a day or two at a few stations."""
    stations, hours = shape
    mask = np.zeros(shape, dtype=bool)
    for station in rng.choice(stations, min(sensors.stuck_stations, stations), replace=False):
        lasts = min(int(rng.integers(24, 49)), hours - 1)
        begins = int(rng.integers(1, max(hours - lasts, 1) + 1))
        mask[station, begins : begins + lasts] = True
    return mask


def with_faults(
    values: NDArray, spikes: NDArray, stuck: NDArray, rng: np.random.Generator
) -> NDArray:
    """Add spikes to values (station, hour), and repeat the last value where a station is stuck."""
    spiked = np.where(spikes, values * rng.uniform(3, 8, values.shape) + 50.0, values)
    # For every hour the last hour before it that is not stuck.
    last = np.maximum.accumulate(np.where(stuck, 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(spiked, last, axis=1)
