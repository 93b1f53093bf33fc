"""Estimates on their way from where they are computed into the arrays that are asked for."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class _Part(NamedTuple):
    """Where a part of a tile goes, and from where in it."""

    rows: np.ndarray
    columns: slice
    taken: np.ndarray
    inside: slice


class Answers:
    """Means and standard errors, (target, hour), tile by tile.

    From a graphics card they are copied while it works on the next tiles: nothing waits for it
    until all are asked for.

    Parameters
    ----------
    targets, hours : int

    Examples
    --------
    >>> answers = Answers(2, 3)
    >>> both = torch.full((4, 5), 7.0), torch.ones(4, 5)
    >>> answers.add(both, np.array([0, 1]), slice(1, 3), np.array([2, 3]), slice(0, 2))
    >>> answers.all()[0].tolist()
    [[nan, 7.0, 7.0], [nan, 7.0, 7.0]]
    """

    def __init__(self, targets: int, hours: int) -> None:
        # Hour by hour in memory, as a product has them.
        self._found = [np.full((hours, targets), np.nan, np.float32).T for _ in range(2)]
        self._coming: list[tuple[tuple[Tensor, ...], _Part]] = []

    def add(
        self,
        both: tuple[Tensor, Tensor],
        rows: np.ndarray,
        columns: slice,
        taken: np.ndarray,
        inside: slice,
    ) -> None:
        """Take mean and standard error of some rows and steps of a tile for rows and columns."""
        part = _Part(rows, columns, taken, inside)
        if both[0].is_cuda:
            self._coming.append((tuple(map(_coming, both)), part))
        else:
            self._keep(both, part)

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard errors, (target, hour) float32; NaN where nothing was added."""
        if self._coming:
            torch.cuda.current_stream().synchronize()
        for both, part in self._coming:
            self._keep(both, part)
        self._coming.clear()
        mean, error = self._found
        return mean, error

    def _keep(self, both: tuple[Tensor, ...], part: _Part) -> None:
        """Put a part of a tile where it belongs."""
        for to, found in zip(self._found, both, strict=True):
            to[part.rows, part.columns] = found.numpy()[part.taken, part.inside]


def _coming(found: Tensor) -> Tensor:
    """Return where a tensor of a graphics card will be; its copy is on the way."""
    to = torch.empty_like(found, device="cpu", pin_memory=True)
    return to.copy_(found, non_blocking=True)
