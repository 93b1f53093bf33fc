r"""Kriging weights of targets that lie close: the stations that they share are factored once.

Of the stations around a few cells of a grid many are neighbours of each cell, and near enough not
to fade. Those are eliminated from the systems of all cells by one factor, together with the
condition that weights sum to 1. What remains is simple kriging of the errors that ordinary kriging
from the shared stations s alone leaves at the other stations o and at the target. With
:math:`L L^T = K_{ss}`, for any column b of covariances with the stations, of which the weight of a
constant is c (1 for a station and for a target),

.. math::

    H_b = L^{-1} b_s, \qquad h = L^{-1} 1, \qquad e = h^T h, \qquad g_b = c - h^T H_b,

these errors have the covariances

.. math:: S = K_{oo} - H_o^T H_o + g_o^T g_o / e, \qquad t = k_o - H_o^T H_k + g_o^T g_k / e,

and the weights of a target, of which the outermost stations fade by a noise F, are

.. math::

    x_o = (S + F)^{-1} t, \qquad
    x_s = L^{-T} (H_k - H_o x_o + h (g_k - g_o x_o) / e),

with the variance :math:`s - H_k^T H_k + g_k^2 / e - t^T x_o`.

F alone differs from cell to cell, and little. Divided by the roots of :math:`S_{ii} + F_{ii}` on
both sides, the systems have a diagonal of 1, and the inverse of their mean is nearly that of each:
with it, conjugate gradients (Hestenes & Stiefel 1952, J. Res. Natl. Bur. Stand. 49, 409) solve all
of them at once, in a few products of large matrices. They end where what is left unsolved adds less
than `LEFT_OVER` to the variance of any target.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.bands import BandCovariance

#: Share of a target's variance by which that of its weights may exceed the least.
LEFT_OVER = 1e-10
#: Steps within which the targets of a tile are solved, or not at all.
MOST_STEPS = 32
#: Least divisor.
TINY = torch.finfo(torch.float32).tiny


class SharedWeights(NamedTuple):
    """Weights of the n targets of some tiles, and which tiles are solved."""

    weight: Tensor  # (tile, band, m, n), 0 where a station is no neighbour
    variance: Tensor  # (tile, n)
    solved: Tensor  # (tile,) bool


def shared_weights(
    covariance: BandCovariance,
    fading: Tensor,
    targets: Tensor,
    stations: Tensor,
    log_noise: Tensor,
    shared: int,
) -> SharedWeights:
    """Return the weights of `BandCovariance.weights`, of targets that lie close in each tile.

    All distances are those in the plane around one point of a tile, not around each target.

    Parameters
    ----------
    covariance : BandCovariance
    fading : (tile, m, n) float32
        That of m stations for n targets; inf where a station is no neighbour.
    targets, stations : (tile, n, 2 + attribute) and (tile, m, 2 + attribute) float64
        Place in the plane, km to the east and north, of each target and station, and its
        attributes.
    log_noise : (tile, m) float64
        Logarithm of the factor of each station's noise.
    shared : int
        So many stations, the first, fade for no target of their tile: one at least.
    """
    tiles, _, n = fading.shape
    pairs = covariance.between(stations, torch.cat([stations, targets], 1))
    sill = covariance.sill()
    pairs.diagonal(dim1=2, dim2=3).add_(covariance.noise(log_noise[:, None]))
    of_target = sill[:, None].expand(tiles, -1, n)
    if targets.shape[2] > 2:
        of_target = of_target + covariance.of_drift(targets[..., 2:]).mT
    of_sill = sill[:, None, None] * fading[:, None, shared:]  # (tile, band, m - shared, n)
    parts = (each.flatten(0, 1) for each in (pairs, of_sill.float(), of_target))
    weight, variance, solved = (each.unflatten(0, (tiles, -1)) for each in _solved(*parts))
    return SharedWeights(weight, covariance.of_sum(variance.mT), solved.all(1))


def _solved(pairs: Tensor, faded: Tensor, sill: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights (s, m, n) and variance (s, n) of n targets, and whether they are solved (s,).

    Parameters
    ----------
    pairs : (s, m, m + n) float64
        Covariance of the stations, the shared ones first, with each other and with the targets.
    faded : (s, own, n) float32
        What is added to the variance of those that are not shared.
    sill : (s, n) float64
        Variance of the targets.
    """
    own = faded.shape[1]
    shared = pairs.shape[1] - own
    factor = torch.linalg.cholesky(pairs[:, :shared, :shared])  # L
    right = torch.cat([pairs[:, :shared, shared:], torch.ones_like(pairs[:, :shared, :1])], 2)
    halved = torch.linalg.solve_triangular(factor, right, upper=False)
    halved, ones = halved[..., :-1], halved[..., -1:]  # H, (s, shared, own + n), and h
    mean = 1 - ones.mT @ halved  # g, (s, 1, own + n)
    per_mean = mean / ones.square().sum(1, keepdim=True)
    errors = torch.baddbmm(pairs[:, shared:, shared:], halved[..., :own].mT, halved, alpha=-1)
    errors.baddbmm_(mean[..., :own].mT, per_mean)  # S and t, (s, own, own + n)
    halved_target = halved[..., own:]
    variance = sill - halved_target.square().sum(1) + (mean * per_mean)[:, 0, own:]
    among, target = errors[..., :own], errors[..., own:]
    scale = among.diagonal(dim1=1, dim2=2).rsqrt()[..., None]  # (s, own, 1)
    share = torch.addcmul(torch.ones(()), faded, scale.float() ** 2).rsqrt_()
    to_weight = share * scale.float()
    solution, solved = _conjugate_gradients(
        (scale * among * scale.mT).float(), share, target.float() * to_weight, variance.float()
    )
    weight = (solution * to_weight).double()
    # Fading shapes the weights and is no error of the stations.
    variance = variance - (target * weight).sum(1) - (solution**2 * (1 - share**2)).sum(1)
    rest = torch.baddbmm(halved_target, halved[..., :own], weight, alpha=-1)
    rest.baddbmm_(ones, per_mean[..., own:] - per_mean[..., :own] @ weight)
    of_shared = torch.linalg.solve_triangular(factor.mT, rest, upper=True)
    return torch.cat([of_shared, weight], 1), variance, solved


def _conjugate_gradients(
    matrix: Tensor, share: Tensor, right: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return the solutions (s, m, n) of :math:`(D M D + 1 - D^2) y = b`, and whether they are.

    That is (s,) bool: false where the last step leaves too much.

    Parameters
    ----------
    matrix : (s, m, m) float32
        M, with a diagonal of 1.
    share : (s, m, n) float32
        D, between 0 and 1.
    right : (s, m, n) float32
    variance : (s, n) float32
        Of the targets without these stations; each step takes its part of it.
    """
    middle = share.mean(2, keepdim=True)
    one = torch.eye(matrix.shape[1])
    matrix = matrix - one  # D M D + 1 - D^2 is 1 + D (M - 1) D
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(middle * matrix * middle.mT + one)[0])
    left, before = variance[:, None], torch.ones(())
    solution, residual, direction = torch.zeros_like(right), right.clone(), torch.zeros_like(right)
    applied = torch.empty_like(right)
    for _ in range(MOST_STEPS):
        prepared = inverse @ residual
        square = (residual * prepared).sum(1, keepdim=True)
        solved = square <= LEFT_OVER * left
        if solved.all():
            break
        torch.addcmul(prepared, square / before.clamp_min(TINY), direction, out=direction)
        torch.bmm(matrix, share * direction, out=applied)
        torch.addcmul(direction, share, applied, out=applied)
        length = square / (direction * applied).sum(1, keepdim=True).clamp_min(TINY)
        solution.addcmul_(length, direction)
        residual.addcmul_(length, applied, value=-1)
        left, before = left - length * square, square
    return solution, solved.flatten(1).all(1)
