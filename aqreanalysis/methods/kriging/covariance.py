"""A learned space-time covariance."""

import numpy as np
import torch
from torch import Tensor, nn

from aqreanalysis.methods.kriging.solver import JITTER

#: Share of the sill by which the variance of a value of which nothing is known may fall below it.
ROUNDING = 1e-9
#: Amplitude of a part that has not been learned.
NO_AMPLITUDE = 1e-9


class SpaceTimeCovariance(nn.Module):
    r"""The covariance of the standardised variable at two stations and steps.

    A sum of three separable exponentials, from local to synoptic, with a station's own part:

    .. math:: C(d, \tau) = \sum_{i=1}^3 a_i^2 e^{-d / \ell_i - |\tau| / \theta_i}
              + [\text{same station}] (b^2 e^{-|\tau| / \theta_b} + n^2 [\tau = 0])

    What all stations share, :math:`c^2 e^{-|\tau| / \theta_c}`, cancels where others report at a
    step and the mean is taken from them; `while_silent` adds it for steps at which none does.

    Each term is positive definite on the sphere (Gneiting 2013, Bernoulli 19, table 1), so the
    sum is. Amplitudes, ranges and times are learned as logarithms, in float64.

    Parameters
    ----------
    spacing_km : float
        Median spacing of the stations; the ranges begin at 1.5, 8 and 40 times it.
    """

    def __init__(self, spacing_km: float) -> None:
        super().__init__()
        self.log_amplitude = _logarithms([0.35, 0.5, 0.6])
        self.log_range = _logarithms([1.5 * spacing_km, 8 * spacing_km, 40 * spacing_km])
        self.log_time = _logarithms([4.0, 16.0, 48.0])
        self.log_station = _logarithms([0.2, 0.2])  # persistent deviation b, sensor noise n
        self.log_station_time = _logarithms([20.0])
        self.log_network = _logarithms([NO_AMPLITUDE, 24.0])  # amplitude c, time

    @torch.no_grad()
    def begin_at(self, parameters: Tensor) -> None:
        """Take the parameters (14,) of another covariance, one after another as of this one."""
        torch.nn.utils.vector_to_parameters(parameters, self.parameters())

    def forward(self, distance_km: Tensor, lag: Tensor, same_station: Tensor) -> Tensor:
        """Return the covariance at distances in km and lags >= 0 in steps; arguments broadcast."""
        # Term by term: sums over a last axis of three are slow.
        terms = zip(self.log_amplitude, self.log_range, self.log_time, strict=True)
        shared = [
            torch.exp(2 * amplitude - distance_km * torch.exp(-reach) - lag * torch.exp(-time))
            for amplitude, reach, time in terms
        ]
        return shared[0] + shared[1] + shared[2] + same_station * self._own(lag)

    def between(self, distance_km: np.ndarray, lag: np.ndarray, same_station: np.ndarray) -> Tensor:
        """Return the covariance of data of one shape, a datum with itself kept from singularity."""
        # As numbers of one kind, once: products of two kinds convert one of them each time.
        arrays = (torch.from_numpy(array).double() for array in (distance_km, lag, same_station))
        distance, steps, same = arrays
        return self(distance, steps, same) + JITTER * self.sill() * (same * (steps == 0))

    def while_silent(
        self, distance_km: np.ndarray, lag: np.ndarray, same_station: np.ndarray
    ) -> Tensor:
        """Return `between` with what all stations share."""
        amplitude, time = self.log_network
        network = torch.exp(2 * amplitude - torch.from_numpy(lag).double() * torch.exp(-time))
        return self.between(distance_km, lag, same_station) + network

    def sill(self) -> Tensor:
        """Return the variance of one measurement about the mean of its step, noise included."""
        return (2 * self.log_amplitude).exp().sum() + (2 * self.log_station).exp().sum()

    def whole_sill(self) -> Tensor:
        """Return the variance of one measurement, with what all stations share."""
        return self.sill() + (2 * self.log_network[0]).exp()

    def constrained(self, variance: Tensor) -> Tensor:
        """Return where values constrain a filled one: its variance is below the whole sill."""
        return variance < (1 - ROUNDING) * self.whole_sill()

    def _own(self, lag: Tensor) -> Tensor:
        """Return the part that a station shares with itself alone, at lags in steps."""
        persistent, noise = torch.exp(2 * self.log_station)
        return persistent * torch.exp(-lag * torch.exp(-self.log_station_time)) + noise * (lag == 0)


def _logarithms(values: list[float]) -> nn.Parameter:
    """Return a float64 parameter that holds the logarithms of positive numbers."""
    return nn.Parameter(torch.tensor(values, dtype=torch.float64).log())
