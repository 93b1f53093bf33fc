"""Kriging weights of targets that lie close: what their stations have in common is factored once.

Of the stations around a few cells of a grid many are neighbours of each cell, and near enough not
to fade. Those are taken out of the systems of all cells by one factor (a Schur complement), and a
cell's own system holds the others alone: half as many stations are an eighth of the work.
"""

import torch
from torch import Tensor, nn

from aqreanalysis.methods.kriging.bands import BandCovariance
from aqreanalysis.methods.kriging.covariance import JITTER, Weights
from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood

#: Fading of a station that is no neighbour: it has no weight.
GONE = 1e11
#: Variance of the target and of the condition on the weights, of which a factor's rows are used.
LARGE = 1e15


def shared_weights(
    covariance: BandCovariance,
    neighbourhood: Neighbourhood,
    targets: Tensor,
    stations: Tensor,
    log_noise: Tensor,
) -> Weights | None:
    """Return the weights of `BandCovariance.weights`, or None where sharing them is more work.

    All distances are those in the plane around one point amid the targets, not around each.

    Parameters
    ----------
    covariance : BandCovariance
    neighbourhood : Neighbourhood
        Of n targets that lie close; ``index`` counts m stations.
    targets, stations : (n, 2) and (m, 2) float64
        Distance, km, and bearing from the point to each target, and to each station that is any
        target's neighbour.
    log_noise : (m,) float64
        Logarithm of the factor of each station's noise.
    """
    k = int(torch.isfinite(neighbourhood.distance_km[0]).sum())  # all there are, for each target
    index, fading = neighbourhood.index[:, :k], neighbourhood.fading[:, :k]
    dense = fading.new_full((len(index), len(log_noise)), GONE).scatter_(1, index, fading)
    alike = (dense == 0).all(0)
    order = torch.argsort(~alike, stable=True)  # the shared ones first
    shared = int(alike.sum())
    if len(order) - shared > k:  # a cell's own system would be larger than alone
        return None
    noise, sill = covariance.log_noise.exp(), covariance.sill()
    stations = stations[order]
    matrix = covariance.between(stations, stations)  # (band, m, m)
    own_noise = noise[:, None] * log_noise[order].exp() + JITTER * sill[:, None]
    matrix.diagonal(dim1=1, dim2=2).add_(own_noise)
    faded = sill[:, None] * dense[:, None, order[shared:]]
    weight, variance = _solved(matrix, covariance.between(stations, targets), faded, shared)
    column = torch.argsort(order)[index][:, None]  # (n, 1, k)
    weight = weight.gather(2, column.expand(-1, len(noise), -1))
    # Fading shapes the weights and is no error of the stations.
    variance = sill + variance - (weight**2 * sill[:, None] * fading[:, None]).sum(-1)
    padded = nn.functional.pad(weight, (0, neighbourhood.index.shape[1] - k))
    return Weights(padded.transpose(1, 2), variance.sum(1).clamp_min(JITTER))


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
    n, own = vector.shape[2], vector.shape[1] - shared
    factor = torch.linalg.cholesky(matrix[:, :shared, :shared])
    condition = torch.ones_like(matrix[:, :, :1])
    known = torch.cat([matrix[:, :, shared:], vector, condition], 2)  # (band, m, own + n + 1)
    halved = torch.linalg.solve_triangular(factor, known[:, :shared], upper=False)
    # What the shared stations leave of the others' covariances, and of the targets' with them.
    left = torch.baddbmm(known[:, shared:], halved[..., :own].mT, halved, alpha=-1)
    joint = vector.new_empty(n, len(matrix), own + 2, own + 2)
    joint[..., :own, :own] = left[..., :own]
    joint[..., :own, own] = left[..., own:-1].permute(2, 0, 1)
    joint[..., :own, own + 1] = left[..., -1]
    joint[..., own, own + 1] = 0
    diagonal = joint.diagonal(dim1=2, dim2=3)
    diagonal[..., :own].add_(faded)
    diagonal[..., own:] = LARGE
    upper = torch.linalg.cholesky(joint, upper=True)
    simple, ones = upper[..., :own, own], upper[..., :own, own + 1]  # (n, band, own)
    simple_shared, ones_shared = halved[..., own:-1], halved[..., -1:]  # (band, shared, n or 1)
    crossed = (simple * ones).sum(-1) + (simple_shared * ones_shared).sum(1).T
    total = (ones**2).sum(-1) + (ones_shared**2).sum((1, 2))
    multiplier = (1 - crossed) / total
    both = simple + multiplier[..., None] * ones
    both_shared = simple_shared + multiplier.T[:, None] * ones_shared
    variance = multiplier - (simple * both).sum(-1) - (simple_shared * both_shared).sum(1).T
    padded = nn.functional.pad(both, (0, 2))[..., None]
    weight = torch.linalg.solve_triangular(upper, padded, upper=True)[..., :own, 0]
    rest = torch.baddbmm(both_shared, halved[..., :own], weight.permute(1, 2, 0), alpha=-1)
    weight_shared = torch.linalg.solve_triangular(factor.mT, rest, upper=True)
    return torch.cat([weight_shared.permute(2, 0, 1), weight], 2), variance
