"""A buffer between the device that computes a field and the arrays that are asked for."""

import numpy as np
import torch
from torch import Tensor


class OutputBuffer:
    """Roots and their spreads, (target, hour), filled tile by tile.

    From a graphics card they are copied while it works on the next tiles; `arrays` waits for the
    last copy.

    Parameters
    ----------
    targets, hours : int

    Examples
    --------
    >>> buffer = OutputBuffer(2, 3)
    >>> buffer.add(torch.full((2, 2), 7.0), torch.ones(2, 2), np.array([0, 1]), slice(1, 3))
    >>> buffer.arrays()[0].tolist()
    [[nan, 7.0, 7.0], [nan, 7.0, 7.0]]
    """

    def __init__(self, targets: int, hours: int) -> None:
        # Hour by hour in memory, as a product has them.
        self._arrays = [np.full((hours, targets), np.nan, np.float32).T for _ in range(2)]
        self._copies: list[tuple[Tensor, Tensor, np.ndarray, slice]] = []

    def add(self, root: Tensor, spread: Tensor, rows: np.ndarray, hours: slice) -> None:
        """Add the values (row, hour) of some targets and hours."""
        if root.is_cuda:
            self._copies.append((_copied(root), _copied(spread), rows, hours))
        else:
            self._store(root, spread, rows, hours)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return roots and spreads, (target, hour) float32; NaN where nothing was added."""
        if self._copies:
            torch.cuda.current_stream().synchronize()
        for copy in self._copies:
            self._store(*copy)
        self._copies.clear()
        root, spread = self._arrays
        return root, spread

    def _store(self, root: Tensor, spread: Tensor, rows: np.ndarray, hours: slice) -> None:
        """Write values to the arrays."""
        for array, values in zip(self._arrays, (root, spread), strict=True):
            array[rows, hours] = values.numpy()


def _copied(values: Tensor) -> Tensor:
    """Return the tensor to which a copy from a graphics card is on its way."""
    copy = torch.empty_like(values, device="cpu", pin_memory=True)
    return copy.copy_(values, non_blocking=True)
