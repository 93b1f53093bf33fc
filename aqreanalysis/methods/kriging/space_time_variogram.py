"""How much two stations differ with their distance and with the hours between them."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from aqreanalysis.methods.kriging.variogram import (
    CORRELATIONS,
    LEAST_NOISE,
    SHORTEST_KM,
    EmpiricalVariogram,
    VariogramModel,
    empirical_variogram,
    exponential,
    matern32,
    parameter_faults,
)


@dataclass(frozen=True)
class SpaceTimeVariogram:
    """A variogram of distance and time: a regional field, a local one for each station, and noise.

    The covariance of two measurements at distance d and τ hours apart is
    ``partial_sill ρ(d) (1 + τ/T) exp(-τ/T)``, to which a station adds with itself
    ``local_sill exp(-τ/T')`` and, at the same hour, the nugget. The regional part is separable and
    changes smoothly in time (a Matérn correlation of 3/2), as air masses do; the local part is what
    a station does not share with any other but keeps for some hours, as a street or a stack does.
    Each part is a valid covariance, and so is their sum.

    Parameters
    ----------
    model : {"exponential", "spherical", "matern32"}
        Correlation ρ of distance, as in `aqreanalysis.methods.kriging.variogram.Variogram`.
    partial_sill, range_km, range_hours : float
        Variance, range in space and time scale T of the regional part.
    local_sill, local_range_hours : float
        Variance and time scale T' of the local part.
    nugget : float
        Variance of the noise of a single measurement.

    Raises
    ------
    ValueError
        All faults of the parameters at once.

    Examples
    --------
    >>> hourly = SpaceTimeVariogram("exponential", 80.0, 150.0, 5.0, 15.0, 2.0, 5.0)
    >>> hourly.sill, float(hourly.covariance(np.array(150.0), np.array(0.0)).round(2))
    (100.0, 29.43)
    """

    model: VariogramModel
    partial_sill: float
    range_km: float
    range_hours: float
    local_sill: float
    local_range_hours: float
    nugget: float

    def __post_init__(self) -> None:
        names = ("partial_sill", "range_km", "range_hours", "local_range_hours")
        positive = {name: getattr(self, name) for name in names}
        not_negative = {name: getattr(self, name) for name in ("local_sill", "nugget")}
        if faults := parameter_faults(self.model, positive, not_negative):
            raise ValueError("; ".join(faults))

    def covariance(self, distance_km: np.ndarray, lag_hours: np.ndarray) -> np.ndarray:
        """Return the covariance of two stations at a distance in km and hours apart; broadcasts."""
        space = CORRELATIONS[self.model](np.asarray(distance_km, np.float64), self.range_km)
        return self.partial_sill * space * self.in_time(lag_hours)

    def in_time(self, lag_hours: np.ndarray) -> np.ndarray:
        """Return the correlation of what stations share, hours apart."""
        return matern32(lag_hours, self.range_hours)

    def own(self, lag_hours: np.ndarray) -> np.ndarray:
        """Return what the covariance of a station with itself has beyond `covariance`."""
        lag = np.asarray(lag_hours, dtype=np.float64)
        local = self.local_sill * exponential(lag, self.local_range_hours)
        noise = max(self.nugget, LEAST_NOISE * self.partial_sill)
        return local + np.where(lag == 0, noise, 0.0)

    @property
    def sill(self) -> float:
        """Variance of one measurement."""
        return self.partial_sill + self.local_sill + self.nugget


def fit_space_time_variogram(
    values: np.ndarray,
    distance_km: np.ndarray,
    *,
    step_hours: float = 1.0,
    lags: int = 4,
    model: VariogramModel = "exponential",
    bins: int = 20,
    cutoff_km: float | None = None,
) -> SpaceTimeVariogram:
    """Return the space-time variogram of a network by weighted least squares.

    Weights are pairs over squared semivariance (Cressie 1985, Mathematical Geology 17, 563): the
    relative error counts, so that short distances and lags, where differences are small, decide.

    Parameters
    ----------
    values : (n, t) array
        Series of the stations, NaN where missing.
    distance_km : (n, n) array
        Distances between the stations.
    step_hours : float
        Hours between two values of a series.
    lags : int
        Longest lag in the fit, in steps.
    model, bins, cutoff_km
        As in `aqreanalysis.methods.kriging.variogram.fit_variogram`.

    Returns
    -------
    SpaceTimeVariogram

    Raises
    ------
    ValueError
        If fewer than two stations ever report at the same hour.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(size=(30, 400))
    >>> east = np.arange(30) * 10.0
    >>> fitted = fit_space_time_variogram(noise, np.abs(east[:, None] - east))
    >>> fitted.nugget + fitted.local_sill > 0.9
    True
    """
    empirical = empirical_variogram(
        values,
        distance_km,
        lags=tuple(range(min(lags, values.shape[1] - 1) + 1)),
        bins=bins,
        cutoff_km=cutoff_km,
    )
    return space_time_variogram_of(empirical, step_hours, model)


def space_time_variogram_of(
    empirical: EmpiricalVariogram, step_hours: float, model: VariogramModel
) -> SpaceTimeVariogram:
    """Return the variogram of a form that fits an empirical one with lags best."""
    scale = empirical.scale
    fitted = _best_parameters(empirical, step_hours, model)
    partial_sill, range_km, range_hours, local_sill, local_range_hours, nugget = fitted
    return SpaceTimeVariogram(
        model,
        partial_sill * scale,
        range_km,
        range_hours,
        local_sill * scale,
        local_range_hours,
        nugget * scale,
    )


def _best_parameters(
    empirical: EmpiricalVariogram, step_hours: float, model: VariogramModel
) -> tuple[float, ...]:
    """Return sills as shares of the scale, and ranges in km and hours."""
    distance, lag = np.meshgrid(empirical.distance_km, empirical.lag * step_hours)
    own = np.zeros(distance.shape, dtype=bool)
    own[:, 0] = empirical.lag.size > 1  # the bin of each station with itself
    use = (empirical.pairs > 0) & ~(own & (lag == 0))
    observed = empirical.semivariance / empirical.scale
    floor = max(float(observed[use].max()) * 1e-3, 1e-12)
    weight = np.sqrt(empirical.pairs) / np.maximum(observed, floor)
    weight /= weight[use].max()
    correlation = CORRELATIONS[model]

    def residuals(parameters: np.ndarray) -> np.ndarray:
        partial, log_km, log_hours, local, log_local_hours, nugget = parameters
        regional = correlation(distance, np.exp(log_km)) * matern32(lag, np.exp(log_hours))
        persistent = np.where(own, local * exponential(lag, np.exp(log_local_hours)), 0.0)
        fitted = partial * (1 - regional) + local - persistent + nugget
        return (weight * (fitted - observed))[use]

    apart = empirical.distance_km[empirical.distance_km > 0]
    middle = np.log(max(float(np.median(apart)) if apart.size else 0.0, SHORTEST_KM))
    step = np.log(step_hours)
    low = [1e-6, middle - np.log(30), step - 2, 0.0, step - 2, 0.0]
    high = [1.0, middle + np.log(30), step + 6, 1.0, step + 6, 1.0]
    start = [0.8, middle, step + 2, 0.05, step + 1, 0.05]
    solution = least_squares(residuals, start, bounds=(low, high)).x
    solution[[1, 2, 4]] = np.exp(solution[[1, 2, 4]])
    return tuple(float(part) for part in solution)
