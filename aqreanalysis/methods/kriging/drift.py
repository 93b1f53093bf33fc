r"""Universal kriging: a mean that follows covariates, with coefficients around each target.

With an unknown mean :math:`m`, covariates :math:`x` that are known at stations and targets alike,
and a residual :math:`e` of covariance :math:`C`, measurements are

.. math:: z = m + x^T (b + d) + e .

Kriging with external drift estimates the coefficients :math:`b + d` from the neighbours of each
target and hour by generalised least squares. Here :math:`b` is the one of all stations and hours,
and :math:`d` has a prior of mean 0 and of the sill :math:`s` as variance, for covariates in units
of their standard deviation (Omre 1987, Mathematical Geology 19, 25):

.. math:: \operatorname{cov}(z_i, z_j) = C_{ij} + s\, x_i^T x_j,

so that the system is that of ordinary kriging of the departures from :math:`x^T b`. Neighbours that
tell the coefficient decide it; where they all have one altitude, or are too few, it stays at
:math:`b`, and a target that lies otherwise has a larger error.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import xarray as xr

from aqreanalysis.foreign.background import Background
from aqreanalysis.methods.trend import Trend

#: Prior variance of a local coefficient, in units of the sill and the covariate's variance.
PRIOR = 1.0


#: From longitude, latitude and hours to standardised covariates, (n, hours or 1, covariate).
CovariatesAt = Callable[[np.ndarray, np.ndarray, slice], np.ndarray]


@dataclass(frozen=True, eq=False)
class Covariates:
    """Covariates of a background, standardised as those that a trend was learned from."""

    trend: Trend
    background: Background
    time: xr.DataArray

    def __call__(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> np.ndarray:
        """Return the covariates at places, (n, hours or 1, covariate)."""
        times = self.time[:1] if self.background.constant else self.time[hours]
        return self.trend.of_attributes(self.background.at(longitude, latitude, times))


@dataclass(frozen=True, eq=False)
class Drift:
    """The drift of kriging.

    Attributes
    ----------
    stations : (stations, time or 1, covariate) float64
        Standardised covariates; one for all hours where none changes in time.
    coefficient : (covariate,) float64
    variance : float
        Prior variance of the local coefficients.
    at : callable
        Covariates of targets.
    """

    stations: np.ndarray
    coefficient: np.ndarray
    variance: float
    at: CovariatesAt

    def around(self, longitude: np.ndarray, latitude: np.ndarray, hours: slice) -> "Around":
        """Return the drift at the stations and at targets in some hours."""
        stations = self.stations if self.stations.shape[1] == 1 else self.stations[:, hours]
        return Around(
            stations, self.at(longitude, latitude, hours), self.coefficient, self.variance
        )


@dataclass(frozen=True, eq=False)
class Around:
    """The drift around targets: standardised covariates at stations and targets.

    ``stations`` is (stations, hours or 1, covariate) and ``targets`` (n, hours or 1, covariate).
    """

    stations: np.ndarray
    targets: np.ndarray
    coefficient: np.ndarray
    variance: float

    @property
    def changes(self) -> bool:
        """Whether a covariate changes in time."""
        return self.stations.shape[1] > 1

    def of(self, rows: np.ndarray) -> Self:
        """Return the drift around some of the targets."""
        return replace(self, targets=self.targets[rows])

    def mean(self) -> np.ndarray:
        """Return the part of the targets' mean that all hours share, (n, hours or 1)."""
        mean: np.ndarray = self.targets @ self.coefficient
        return mean

    def added(
        self, station: np.ndarray, target: np.ndarray, hour: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what targets' covariances with stations, and their variances, gain.

        Parameters
        ----------
        station : (n, m) int64
        target, hour : (n,) int64
            Rows of the targets and positions of the hours.
        """
        own = self.targets[target, hour]
        near = self.stations[station, hour[:, None]]
        shared = self.variance * np.einsum("nmc,nc->nm", near, own)
        return shared, self.variance * (own**2).sum(axis=-1)

    def among(self, station: np.ndarray, hour: np.ndarray) -> np.ndarray:
        """Return what the covariances among stations (n, m) at hours (n,) gain, (n, m, m)."""
        near = self.stations[station, hour[:, None]]
        return self.variance * np.matmul(near, near.transpose(0, 2, 1))
