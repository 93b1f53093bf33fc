"""The cells along one axis of a grid, ascending or descending."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.sampling import TOLERANCE

#: Ratio of neighbouring steps above which the larger is taken for a gap, not for a larger cell.
_MOST_UNEVEN = 3.0


@dataclass(frozen=True)
class GridAxis:
    """Centres and edges of the cells along one axis, in ascending order.

    Attributes
    ----------
    name : str
    centres : (n,) float64
        Longitudes increase across the date line.
    position : (n,) int
        Index of each cell along the axis of the file.
    bounds : (n, 2) float64 or None
        Stated edges of the cells, if these adjoin.
    period : float or None
        Period of the coordinate: 360 for longitudes.
    size : float or None
        Of a cell, if there is only one and it has no bounds.
    """

    name: str
    centres: np.ndarray
    position: np.ndarray
    bounds: np.ndarray | None = None
    period: float | None = None
    size: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        values: np.ndarray,
        bounds: np.ndarray | None = None,
        *,
        period: float | None = None,
        size: float | None = None,
    ) -> "GridAxis":
        """Return an axis of centres in any order, and of bounds (n, 2) in the same order.

        Raises
        ------
        ForeignError
            If a coordinate is missing or occurs twice.
        """
        centres = np.asarray(values, np.float64)
        if period is not None:
            centres = in_one_run(centres, period)
        position = np.argsort(centres, kind="stable")
        if period is not None:  # a column that closes the circle occurs twice, as 0 and as 360
            position = position[np.diff(centres[position], prepend=-np.inf) != 0]
        ordered = centres[position]
        if not np.isfinite(ordered).all() or (np.diff(ordered) <= 0).any():
            raise ForeignError(
                f"each {name} of the grid must be there once, and none be missing; found "
                f"{ordered.size} of which {np.unique(ordered).size} differ"
            )
        if bounds is not None:
            bounds = np.asarray(bounds, np.float64)
            if period is not None:
                # Shift each edge by whole periods to within half a period of its centre.
                offset = bounds - centres[:, None] + period / 2
                bounds = centres[:, None] + offset % period - period / 2
            bounds = _adjoining(np.sort(bounds, axis=1)[position])
        return cls(name, ordered, position, bounds, period, size)

    @cached_property
    def edges(self) -> np.ndarray:
        """The edges of the cells, (n + 1,): as stated, or else midway between centres.

        Raises
        ------
        ForeignError
            If there is a gap between the cells, or a single cell has no size.
        """
        if self.bounds is not None:
            return np.append(self.bounds[:, 0], self.bounds[-1, 1])
        centres = self.centres
        if centres.size == 1:
            if self.size is None:
                raise ForeignError(
                    "the grid has a single cell and does not say its size: give it bounds along "
                    "both axes"
                )
            return centres + self.size * np.array([-0.5, 0.5])
        steps = np.diff(centres)
        uneven = np.flatnonzero(np.abs(np.diff(np.log(steps))) > np.log(_MOST_UNEVEN))
        if uneven.size:
            first = centres[uneven[0] : uneven[0] + 3]
            first = first if self.period is None else (first + 180) % 360 - 180
            raise ForeignError(
                f"the {self.name} of the grid has a gap: {', '.join(f'{c:g}' for c in first)}. "
                "Take one side of it, or give it bounds that tell how far its cells reach"
            )
        ends = centres[0] - steps[0] / 2, centres[-1] + steps[-1] / 2
        return np.concatenate([ends[:1], (centres[:-1] + centres[1:]) / 2, ends[1:]])

    @property
    def tolerance(self) -> float:
        """The difference up to which two coordinates are taken for the same."""
        steps = np.diff(self.centres if self.centres.size > 1 else self.edges)
        return TOLERANCE * float(steps.min())

    @cached_property
    def closes(self) -> bool:
        """Whether the cells go once around the globe."""
        if self.period is None or self.centres.size < 2:
            return False
        steps = np.diff(self.centres)
        length = self.centres[-1] - self.centres[0] + (steps[0] + steps[-1]) / 2
        if self.bounds is not None:
            length = self.bounds[-1, 1] - self.bounds[0, 0]
        return bool(length >= self.period - self.tolerance)

    def holding(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cell that holds each coordinate, and whether there is one."""
        low, high = self.edges[0] - self.tolerance, self.edges[-1] + self.tolerance
        values = self._eastwards(values, low)
        cell = np.searchsorted(self.edges, values, side="right") - 1
        return np.clip(cell, 0, self.centres.size - 1), (values >= low) & (values <= high)

    def between(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the cells on both sides, (2, n), the share of each, and whether they exist.

        Raises
        ------
        ForeignError
            If there is only one.
        """
        centres, count = self.centres, self.centres.size
        if count < 2:
            raise ForeignError(
                f"linear interpolation needs two cells at least along each axis; {self.name} has "
                "one. Pass a field of two cells or more each way, or take the cell itself "
                "(sampling='cell')"
            )
        if self.closes:
            centres = np.append(centres, centres[0] + (self.period or 0.0))
        values = self._eastwards(values, centres[0] - self.tolerance)
        low = np.clip(np.searchsorted(centres, values, side="right") - 1, 0, centres.size - 2)
        share = (values - centres[low]) / (centres[low + 1] - centres[low])
        share, inside = within_ends(share)
        return np.stack([low, low + 1]) % count, np.stack([1 - share, share]), inside

    def _eastwards(self, values: np.ndarray, first: float) -> np.ndarray:
        """Return periodic coordinates shifted to the period that begins at the first one."""
        values = np.asarray(values, np.float64)
        return values if self.period is None else first + (values - first) % self.period


def in_one_run(longitude: np.ndarray, period: float) -> np.ndarray:
    """Return longitudes that increase from the eastern end of their widest gap."""
    wrapped = longitude % period
    ordered = np.sort(wrapped)
    if not np.isfinite(ordered).all():
        return longitude
    gaps = np.diff(ordered, append=ordered[0] + period)
    west = ordered[(int(np.argmax(gaps)) + 1) % ordered.size]
    return np.where(wrapped >= west, wrapped, wrapped + period)


def within_ends(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return shares clipped to 0..1, and whether they lie within up to the tolerance."""
    return np.clip(share, 0.0, 1.0), (share >= -TOLERANCE) & (share <= 1 + TOLERANCE)


def _adjoining(bounds: np.ndarray) -> np.ndarray | None:
    """Return bounds (n, 2) if each cell has a size and ends where the next begins, or None."""
    low, high = bounds.T
    close = TOLERANCE * np.abs(high - low).min()
    adjoin = np.allclose(high[:-1], low[1:], rtol=0, atol=close)
    return bounds if (high > low).all() and adjoin else None
