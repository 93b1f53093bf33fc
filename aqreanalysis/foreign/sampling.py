"""The values of a layer at places, read block by block."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aqreanalysis.foreign.errors import ForeignError
from aqreanalysis.foreign.files import in_blocks, runs
from aqreanalysis.observations.numbers import SENTINELS

#: What stands for missing values where a file does not say so, also as float32 holds it.
_SENTINELS = np.unique([*SENTINELS, *np.array(SENTINELS, np.float32)])
#: More than any concentration in any unit: fill values are 1e20 or 9.97e36.
_BEYOND = 1e15
#: Values that are read at a time: keeps what is in memory of a long layer within some 100 MB.
_VALUES_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class Sampling:
    """Which cells of a layer stand for which places.

    Attributes
    ----------
    place : (m,) int
        Rows of the places that lie within the layer.
    index : mapping of dimension to (k, m) int
        Their cells, k for each place.
    weight : (k, m) float64
        Share of each cell; adds up to 1.
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

        Of a lazy layer only the blocks are read that hold a place, some hours at a time. Where
        a cell with a share in a place is missing, so is the place's value.

        Parameters
        ----------
        layer : DataArray
        time : hashable, optional
            Its dimension of time; none for a layer that does not change.
        hours : (h,) int array, optional
            Positions along it, in any order.
        concentration : bool
            Whether -999, 1e20 and the like cannot be values.

        Raises
        ------
        ForeignError
            If a concentration has such values, which stand for missing ones.
        """
        variable = in_blocks(layer.variable, time)
        points = {dim: xr.Variable("point", index.ravel()) for dim, index in self.index.items()}
        if time is None or hours is None:
            return self._weighted(variable.isel(points), layer.name, concentration)
        order = np.argsort(hours, kind="stable")
        values = np.empty((self.place.size, hours.size))
        chunks = dict(zip(variable.dims, variable.chunks or (), strict=True))[time]
        most = max(1, _VALUES_AT_A_TIME // max(self.weight.size, 1))
        first = 0
        for run in runs(chunks, hours[order], most):
            # A slice where there is no gap: backends read it in one go.
            whole = run[-1] - run[0] + 1 == run.size
            wanted = slice(run[0], run[-1] + 1) if whole else run
            picked = variable.isel({time: wanted}).isel(points)
            columns = order[first : first + run.size]
            values[:, columns] = self._weighted(picked, layer.name, concentration)
            first += run.size
        return values

    def _weighted(self, picked: xr.Variable, name: Hashable, concentration: bool) -> np.ndarray:
        """Return the weighted mean of the cells of each place."""
        corners = np.asarray(picked.transpose("point", ...).values, np.float64)
        if concentration:
            _refuse_fill_values(corners, name)
        corners = corners.reshape(*self.weight.shape, -1)
        weight = self.weight[..., None]
        return np.where(weight > 0, weight * corners, 0.0).sum(axis=0)


def _refuse_fill_values(values: np.ndarray, name: Hashable) -> None:
    """Refuse numbers that stand for missing concentrations."""
    fill = np.isin(values, _SENTINELS) | (np.abs(values) > _BEYOND)
    if fill.any():
        raise ForeignError(
            f"{name!r} holds {values[fill][0]:.6g} ({fill.sum()} such values at stations), which "
            "stands for a missing value. Mask it with .where(...), or set _FillValue in the file"
        )
