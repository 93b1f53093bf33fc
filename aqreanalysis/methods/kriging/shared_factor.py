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
from torch import Tensor, nn

from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood
from aqreanalysis.methods.kriging.solver import Weights

#: Fading of a station that is no neighbour: it has no weight.
ABSENT = 1e11


def shared_weights(
    covariance: BandCovariance,
    neighbourhood: Neighbourhood,
    targets: Tensor,
    stations: Tensor,
    log_noise: Tensor,
) -> Weights | None:
    """Return the weights of `BandCovariance.weights`, or None where sharing them is more work.

    All distances are those in the plane around one point amid the targets, not around each of them.

    Parameters
    ----------
    covariance : BandCovariance
    neighbourhood : Neighbourhood
        Of n targets that lie close; ``index`` counts m stations.
    targets, stations : (n, 2 + attribute) and (m, 2 + attribute) float64
        Distance, km, and bearing from the point to each target, and to each station that is any
        target's neighbour, and the attributes of each.
    log_noise : (m,) float64
        Logarithm of the factor of each station's noise.
    """
    k = int(torch.isfinite(neighbourhood.distance_km[0]).sum())  # all stations, for each target
    index, fading = neighbourhood.index[:, :k], neighbourhood.fading[:, :k]
    dense = fading.new_full((len(index), len(log_noise)), ABSENT).scatter_(1, index, fading)
    in_all = (dense == 0).all(0)
    order = torch.argsort(~in_all, stable=True)  # the shared ones first
    shared = int(in_all.sum())
    if len(order) - shared > k:  # a target's own system would be larger than without sharing
        return None
    sill = covariance.sill()
    stations = stations[order]
    matrix = covariance.between(stations, stations)  # (band, m, m)
    matrix.diagonal(dim1=1, dim2=2).add_(covariance.noise(log_noise[order]))
    faded = sill[:, None] * dense[:, None, order[shared:]]
    weight, variance = _solved(matrix, covariance.between(stations, targets), faded, shared)
    column = torch.argsort(order)[index][:, None]  # (n, 1, k)
    weight = weight.gather(2, column.expand(-1, len(sill), -1))
    # Fading shapes the weights and is no error of the stations.
    own = sill + covariance.of_drift(targets[:, 2:])
    variance = own + variance - (weight**2 * sill[:, None] * fading[:, None]).sum(-1)
    padded = nn.functional.pad(weight, (0, neighbourhood.index.shape[1] - k))
    return Weights(padded.transpose(1, 2), covariance.of_sum(variance))


def _solved(matrix: Tensor, vector: Tensor, faded: Tensor, shared: int) -> tuple[Tensor, Tensor]:
    """Return weights (n, band, m) and variance less the sill (n, band) of n targets.

    Parameters
    ----------
    matrix : (band, m, m)
        Covariance among the stations, the shared ones first.
    vector : (band, m, n)
        Covariance with the targets.
    faded : (n, band, m - shared)
        What is added to the variance of those that are not shared.
    shared : int
    """
    own, targets = matrix.shape[1] - shared, vector.shape[2]
    factor = torch.linalg.cholesky(matrix[:, :shared, :shared])  # L
    right = torch.cat([matrix[:, :, shared:], vector, torch.ones_like(matrix[:, :, :1])], 2)
    # H = L^-1 [K_so, k_s, 1], and what it leaves of [K_oo, k_o, 1]: (band, own, own + n + 1).
    halved = torch.linalg.solve_triangular(factor, right[:, :shared], upper=False)
    left = torch.baddbmm(right[:, shared:], halved[..., :own].mT, halved, alpha=-1)
    system = left[..., :own].repeat(targets, 1, 1, 1)  # (n, band, own, own)
    system.diagonal(dim1=2, dim2=3).add_(faded)
    target = left[..., own:-1].permute(2, 0, 1)
    ones = left[..., -1].expand(targets, -1, -1)
    simple, dual = torch.linalg.solve(system, torch.stack([target, ones], -1)).unbind(-1)
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
