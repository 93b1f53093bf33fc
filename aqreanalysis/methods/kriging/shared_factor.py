r"""Kriging weights of targets that lie close: the stations that they share are factored once.

Of the stations around a few cells of a grid many are neighbours of each cell, and near enough not
to fade. Those are eliminated from the systems of all cells by one factor, and a cell's own system
holds the others only: half as many stations are an eighth of the work.

With the shared stations s and the others o, the block inverse of the covariance K of
`aqreanalysis.methods.kriging.solver` needs one Cholesky factor :math:`L L^T = K_{ss}` for all
targets, and of each target only the Schur complement, in which the noise :math:`F` that fades its
outermost stations differs:

.. math::

    H = L^{-1} K_{so}, \qquad S = K_{oo} + F - H^T H,

so that the solution x of :math:`K x = b` is

.. math::

    x_o = S^{-1} (b_o - H^T L^{-1} b_s), \qquad
    x_s = L^{-T} (L^{-1} b_s - H x_o),

and any product :math:`a^T K^{-1} b`, such as those of the multiplier, is

.. math:: (L^{-1} a_s)^T (L^{-1} b_s) + (a_o - H^T L^{-1} a_s)^T x_o.
"""

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.solver import Weights

#: Fading of a station that is no neighbour: it has no weight.
ABSENT = 1e11


def shared_weights(
    covariance: BandCovariance,
    fading: Tensor,
    targets: Tensor,
    stations: Tensor,
    log_noise: Tensor,
) -> Weights | None:
    """Return the weights of `BandCovariance.weights`, or None where sharing them is more work.

    All distances are those in the plane around one point amid the targets, not around each of them.

    Parameters
    ----------
    covariance : BandCovariance
    fading : (n, m) float64
        That of m stations for n targets that lie close; `ABSENT` where a station is no neighbour.
        All targets have as many neighbours.
    targets, stations : (n, 2 + attribute) and (m, 2 + attribute) float64
        Distance, km, and bearing from the point to each target and station, and its attributes.
    log_noise : (m,) float64
        Logarithm of the factor of each station's noise.

    Returns
    -------
    Weights
        ``weight`` is (n, m, band), 0 where a station is no neighbour.
    """
    absent = fading == ABSENT
    in_all = (fading == 0).all(0)
    shared = int(in_all.sum())
    if shared < int(absent[0].sum()):
        return None  # a target's own system would be larger than without sharing
    order = torch.argsort(~in_all, stable=True)  # the shared ones first
    stations, sill = stations[order], covariance.sill()
    pairs = covariance.between(stations, torch.cat([stations, targets]))  # (band, m, m + n)
    pairs.diagonal(dim1=1, dim2=2).add_(covariance.noise(log_noise[order]))
    faded = sill[:, None] * fading[:, None, order[shared:]]
    weight, variance = _solved(pairs, faded, shared)
    # Fading shapes the weights and is no error of the stations.
    variance = sill + variance - (weight[..., shared:] ** 2 * faded).sum(-1)
    if targets.shape[1] > 2:
        variance = variance + covariance.of_drift(targets[:, 2:])
    weight = weight[..., torch.argsort(order)].masked_fill_(absent[:, None], 0.0)
    return Weights(weight.transpose(1, 2), covariance.of_sum(variance))


def _solved(pairs: Tensor, faded: Tensor, shared: int) -> tuple[Tensor, Tensor]:
    """Return weights (n, band, m) and variance less the sill (n, band) of n targets.

    Parameters
    ----------
    pairs : (band, m, m + n)
        Covariance of the stations, the shared ones first, with each other and with the targets.
    faded : (n, band, m - shared)
        What is added to the variance of those that are not shared.
    shared : int
    """
    own, targets = pairs.shape[1] - shared, len(faded)
    factor = torch.linalg.cholesky(pairs[:, :shared, :shared])  # L
    right = torch.cat([pairs[:, :, shared:], torch.ones_like(pairs[:, :, :1])], 2)
    # H = L^-1 [K_so, k_s, 1], and what it leaves of [K_oo, k_o, 1]: (band, own, own + n + 1).
    halved = torch.linalg.solve_triangular(factor, right[:, :shared], upper=False)
    left = torch.baddbmm(right[:, shared:], halved[..., :own].mT, halved, alpha=-1)
    target = left[..., own:-1].permute(2, 0, 1)
    ones = left[..., -1].expand(targets, -1, -1)
    system = left[..., :own].repeat(targets, 1, 1, 1)  # (n, band, own, own)
    system.diagonal(dim1=2, dim2=3).add_(faded)
    simple, dual = solved_pairs(system, torch.stack([target, ones], -1)).unbind(-1)
    half_target, half_ones = halved[..., own:-1], halved[..., -1:]  # (band, shared, n or 1)
    explained = half_target.square().sum(1).T + (simple * target).sum(-1)  # k' K^-1 k
    crossed = (half_target * half_ones).sum(1).T + (simple * ones).sum(-1)  # 1' K^-1 k
    total = half_ones.square().sum((1, 2)) + (dual * ones).sum(-1)  # 1' K^-1 1
    multiplier = (1 - crossed) / total
    variance = multiplier - (explained + multiplier * crossed)
    weight = simple + multiplier[..., None] * dual
    rest = half_target + multiplier.T[:, None] * half_ones
    rest = torch.baddbmm(rest, halved[..., :own], weight.permute(1, 2, 0), alpha=-1)
    weight_shared = torch.linalg.solve_triangular(factor.mT, rest, upper=True)
    return torch.cat([weight_shared.permute(2, 0, 1), weight], 2), variance


def solved_pairs(system: Tensor, right: Tensor) -> Tensor:
    """Return the solutions of positive definite systems (..., m, m) with right sides (..., m, r).

    Where rounding has made one of them indefinite, all are solved without that assumption.
    """
    factor, failed = torch.linalg.cholesky_ex(system, upper=True)
    if failed.any():
        return torch.linalg.solve(system, right)
    return torch.cholesky_solve(right, factor, upper=True)
