"""A target's nearest stations: where they lie, how they fade out, and what is summed over them."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Nearest neighbours from which the local spacing of the network is taken.
LOCAL_NEIGHBOURS = 4
#: Shortest local spacing, km; stations on one roof would make every other one infinitely far.
SHORTEST_KM = 0.5
#: Share of the distance to the first station left out from which a neighbour begins to fade.
FADING_FROM = 0.7


@dataclass(frozen=True)
class Neighbourhood:
    """The k nearest stations of n targets.

    Attributes
    ----------
    index : (n, k) int
        Neighbours; any row where ``distance_km`` is inf.
    distance_km, bearing : (n, k) float64
        Target to neighbour; bearing in radians.
    fading : (n, k) float64
        From `fade`: 0 near the target, without bound towards the first station left out.
    log_noise : (n, k) float64
        Logarithm of the factor of each neighbour's noise; 0 where none was learned.
    contrast : (n, k, attribute) float64
        Attributes of each neighbour less those of the target.
    """

    index: Tensor
    distance_km: Tensor
    bearing: Tensor
    fading: Tensor
    log_noise: Tensor
    contrast: Tensor

    def scatter(self, weight: Tensor, stations: int) -> Tensor:
        """Return (n, station, ...) of weights (n, k, ...): zero for all but the neighbours."""
        mask = torch.isfinite(self.distance_km)
        while mask.dim() < weight.dim():
            mask = mask[..., None]
        dense = weight.new_zeros(len(weight), stations, *weight.shape[2:])
        rows = torch.arange(len(weight))[:, None]
        return dense.index_put((rows, self.index), torch.where(mask, weight, 0.0), accumulate=True)


def fade(distance_km: Tensor, radius_km: Tensor) -> Tensor:
    """Return the noise that fades the outermost neighbours, in units of the sill, (..., n, k).

    A field made from only the k nearest stations jumps where a station enters or leaves the set.
    Noise that grows without bound towards the radius takes each one's weight to zero before it
    leaves (Rivoirard & Romary 2011, Mathematical Geosciences 43).

    Parameters
    ----------
    distance_km : (..., n, k)
    radius_km : (..., n)
        Distance to the first station left out; inf where none is.

    Examples
    --------
    >>> distance = torch.tensor([[1.0, 8.0, 9.9]], dtype=torch.float64)
    >>> fade(distance, torch.tensor([10.0], dtype=torch.float64)).round(decimals=2).tolist()
    [[0.0, 0.25, 841.0]]
    """
    share = (distance_km / radius_km[..., None]).nan_to_num(nan=0.0, posinf=0.0)
    return ((share - FADING_FROM) / (1 - share).clamp_min(1e-6)).clamp_min(0) ** 2


def local_spacing(distance_km: Tensor) -> Tensor:
    """Return the mean distance to the nearest few stations, (n,) km, float32."""
    nearest = distance_km[:, :LOCAL_NEIGHBOURS]
    mask = torch.isfinite(nearest)
    total = torch.where(mask, nearest, 0.0).sum(1)
    return (total / mask.sum(1).clamp_min(1)).float().clamp_min(SHORTEST_KM)
