"""Where the network computes: on a graphics card if there is one, else on the processor."""

from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from aqreanalysis.methods.kriging.neighbourhood import Neighbourhood

Tensors = TypeVar("Tensors")


def best_device() -> torch.device:
    """Return the graphics card, or the processor where torch finds none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def moved(tensors: Tensors, device: torch.device) -> Tensors:
    """Return a tensor, a neighbourhood or a named tuple of such on a device; None stays None.

    Examples
    --------
    >>> from aqreanalysis.methods.kriging.covariance import Weights
    >>> weights = Weights(torch.ones(1, 2), torch.ones(1))
    >>> moved(weights, torch.device("meta")).weight.device
    device(type='meta')
    """
    parts: Any = tensors
    if parts is None:
        return tensors
    if isinstance(parts, Tensor):
        return parts.to(device, non_blocking=True)  # type: ignore[return-value]
    if isinstance(parts, Neighbourhood):
        parts = tuple(getattr(parts, column.name) for column in fields(parts))
    return type(tensors)(*(moved(part, device) for part in parts))
