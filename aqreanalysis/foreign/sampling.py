"""Values of a layer at places, read block by block."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import in_blocks, runs
from aqreanalysis.observations.checks.numbers import SENTINELS

#: Share of a cell below which a distance from an edge or a centre is rounding: coordinates in
#: float32 are off by up to 1.5e-5 degrees.
TOLERANCE = 1e-3
#: Fill values that files may not declare, in float64 and rounded to float32.
_SENTINELS = np.unique([*SENTINELS, *np.array(SENTINELS, np.float32)])
#: Larger than any concentration in any unit: fill values are 1e20 or 9.97e36.
_BEYOND = 1e15
#: Values that are read at a time, so that a long layer takes some 100 MB of memory.
_VALUES_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class Sampling:
    """The cells of a layer for each place, and their weights.

    ``place`` (m,) are the rows of the places that lie within the layer, ``index`` (k, m) their
    cells by dimension, k for each place, and ``weight`` (k, m) the share of each, which adds up to
    1.
    """

    place: np.ndarray
    index: Mapping[Hashable, np.ndarray]
    weight: np.ndarray

    def read(
        self,
        layer: xr.DataArray,
        time: Hashable | None = None,
        hours: np.ndarray | None = None,
        *,
        concentration: bool = True,
    ) -> np.ndarray:
        """Return the values of a layer at the places, (m, hours) float64; NaN where missing.

        Of a lazy layer only the blocks with a place are read, some hours at a time. A value is
        missing where a cell with a weight of more than `TOLERANCE` is missing. ``hours`` are
        positions along ``time``, in any order; a layer that does not change has neither.

        Raises
        ------
        ForeignError
            If a concentration has such values, which are undeclared fill values.
        """
        variable = in_blocks(layer.variable, time)
        shape = tuple(variable.sizes[dim] for dim in self.index)
        cells, numbers = np.unique(
            np.ravel_multi_index(tuple(self.index.values()), shape), return_inverse=True
        )  # each cell is read once, for all places
        rows = np.unravel_index(cells, shape)
        points = {dim: xr.Variable("cell", row) for dim, row in zip(self.index, rows, strict=True)}
        corners = numbers.reshape(self.weight.shape)
        order = np.zeros(1, int)
        selections: list[dict[Hashable, slice | np.ndarray]] = [{}]
        if time is not None and hours is not None:
            order = np.argsort(hours, kind="stable")
            chunks = dict(zip(variable.dims, variable.chunks or (), strict=True))[time]
            most = max(1, _VALUES_AT_A_TIME // max(self.weight.size, 1))
            selections = [{time: _as_slice(run)} for run in runs(chunks, hours[order], most)]
        sampled = []
        for selected in selections:
            picked = variable.isel(selected).isel(points).transpose("cell", ...)
            values = np.asarray(picked.values, np.float64).reshape(cells.size, -1)
            if concentration:
                _refuse_fill_values(values, layer.name)
            sampled.append(self._mean(values, corners))
        return np.concatenate(sampled, axis=1)[:, np.argsort(order)]

    def _mean(self, values: np.ndarray, corners: np.ndarray) -> np.ndarray:
        """Return the weighted mean (m, hours) of cells (c, hours), of which k belong to a place."""
        shares = list(zip(self.weight[..., None], corners, strict=True))
        present = np.isfinite(values)
        if present.all():
            return sum(weight * values[cell] for weight, cell in shares)
        total, weights = np.zeros((2, self.place.size, values.shape[1]))
        for weight, cell in shares:
            used = (weight > TOLERANCE) | present[cell]
            total += np.where(used, weight * values[cell], 0.0)
            weights += np.where(used, weight, 0.0)
        return total / weights


def _as_slice(positions: np.ndarray) -> slice | np.ndarray:
    """Return ascending positions as a slice if contiguous, which backends read at once."""
    gapless = positions[-1] - positions[0] + 1 == positions.size
    return slice(positions[0], positions[-1] + 1) if gapless else positions


def _refuse_fill_values(values: np.ndarray, name: Hashable) -> None:
    """Refuse undeclared fill values of concentrations."""
    fill = np.isin(values, _SENTINELS) | (np.abs(values) > _BEYOND)
    if fill.any():
        raise ForeignError(
            f"{name!r} holds {values[fill][0]:.6g} ({fill.sum()} such values at stations), which "
            "stands for a missing value. Mask it with {data}.where(...), or set _FillValue in the "
            "file"
        )
