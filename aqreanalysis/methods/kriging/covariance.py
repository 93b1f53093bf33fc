"""A learned space-time covariance, and ordinary kriging weights."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

#: Relative variance on the diagonal that keeps two stations at one place from a singular system.
JITTER = 1e-6
#: Share of the sill by which the variance of a value of which nothing is known may fall below it.
ROUNDING = 1e-9


class Weights(NamedTuple):
    """Kriging weights and variance of n targets."""

    weight: Tensor  # (n, m), or (n, neighbour, band); rows sum to 1
    variance: Tensor  # (n,) of the standardised variable, sensor noise included


class SpaceTimeCovariance(nn.Module):
    r"""The covariance of the standardised variable at two stations and steps.

    A sum of three separable exponentials, from local to synoptic, with a station's own part:

    .. math:: C(d, \tau) = \sum_{i=1}^3 a_i^2 e^{-d / \ell_i - |\tau| / \theta_i}
              + [\text{same station}] (b^2 e^{-|\tau| / \theta_b} + n^2 [\tau = 0])

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

    def forward(self, distance_km: Tensor, lag: Tensor, same_station: Tensor) -> Tensor:
        """Return the covariance at distances in km and lags >= 0 in steps; arguments broadcast."""
        # Term by term: sums over a last axis of three are slow.
        terms = zip(self.log_amplitude, self.log_range, self.log_time, strict=True)
        shared = [
            torch.exp(2 * amplitude - distance_km * torch.exp(-reach) - lag * torch.exp(-time))
            for amplitude, reach, time in terms
        ]
        return shared[0] + shared[1] + shared[2] + same_station * self._own(lag)

    def sill(self) -> Tensor:
        """Return the variance of one measurement, sensor noise included."""
        return (2 * self.log_amplitude).exp().sum() + (2 * self.log_station).exp().sum()

    def tells(self, variance: Tensor) -> Tensor:
        """Return where a filled value tells anything: its variance is below the sill."""
        return variance < (1 - ROUNDING) * self.sill()

    def _own(self, lag: Tensor) -> Tensor:
        """Return the part that a station shares with itself alone, at lags in steps."""
        persistent, noise = torch.exp(2 * self.log_station)
        return persistent * torch.exp(-lag * torch.exp(-self.log_station_time)) + noise * (lag == 0)


def ordinary_weights(matrix: Tensor, vector: Tensor, valid: Tensor, sill: Tensor) -> Weights:
    """Return ordinary kriging weights, which sum to 1, and the kriging variance.

    Solves ``K w = k + mu 1`` with ``1' w = 1`` by one Cholesky factor of K (Chiles & Delfiner
    2012, section 3.4).

    Parameters
    ----------
    matrix : (..., m, m) float64
        Covariance among the data.
    vector : (..., m) float64
        Covariance of the data with the target.
    valid : (..., m) bool
        Data that are there; the others get weight 0.
    sill : (...) float64, or one for all
        Variance of the target.

    Examples
    --------
    Two data alike, the third missing:

    >>> matrix = torch.eye(3, dtype=torch.float64)[None]
    >>> vector = torch.full((1, 3), 0.5, dtype=torch.float64)
    >>> valid = torch.tensor([[True, True, False]])
    >>> weight, variance = ordinary_weights(matrix, vector, valid, torch.tensor(1.0))
    >>> weight.tolist(), round(float(variance), 4)
    ([[0.5, 0.5, 0.0]], 0.5)
    """
    return combined(solved(matrix, vector, valid, sill), vector, valid, sill)


def solved(matrix: Tensor, vector: Tensor, valid: Tensor, sill: Tensor) -> Tensor:
    """Return ``K^-1 [k 1]`` of the systems of `ordinary_weights`, (..., m, 2)."""
    there = valid.to(matrix.dtype)
    if not valid.all():
        matrix = matrix * (there[..., :, None] * there[..., None, :])
        vector = vector * there
    matrix = matrix.clone()
    matrix.diagonal(dim1=-2, dim2=-1).add_(1 - there + JITTER * there * sill[..., None])
    factor = torch.linalg.cholesky(matrix, upper=True)
    data = torch.stack([vector, there.expand_as(vector)], -1)
    return torch.cholesky_solve(data, factor, upper=True)


def combined(solution: Tensor, vector: Tensor, valid: Tensor, sill: Tensor) -> Weights:
    """Return the weights and the variance of `ordinary_weights` from what `solved` returns."""
    there = valid.to(vector.dtype)
    simple, ones = solution.unbind(-1)
    total = (ones * there).sum(-1).clamp_min(1e-12)
    multiplier = (1 - (simple * there).sum(-1)) / total
    weight = (simple + multiplier[..., None] * ones) * there
    variance = sill - (weight * vector).sum(-1) + multiplier
    return Weights(weight, variance.clamp_min(JITTER))


def _logarithms(values: list[float]) -> nn.Parameter:
    """Return a float64 parameter that holds the logarithms of positive numbers."""
    return nn.Parameter(torch.tensor(values, dtype=torch.float64).log())
