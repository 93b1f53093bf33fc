"""Means over zones of every hour, of estimates and of draws, as sums over blocks of cells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import DRAW, PRODUCT_FLAGS, TIME, ZONE, draws_name
from aqreanalysis.derived.statistics import ROUNDING
from aqreanalysis.derived.zones.weights import ZoneWeights
from aqreanalysis.fields.blocks import step_numbers
from aqreanalysis.predictive import RootNormal, freedom_of
from aqreanalysis.product.coordinates import HORIZONTAL, layout_of

#: Hours of a product in memory that are summed up at once.
_STEPS = 24


@dataclass(frozen=True, eq=False)
class ZoneSeries:
    """Means of the layers of a product over zones, hour by hour; lazy layers stay lazy.

    Parameters
    ----------
    product : Dataset
        On a grid.
    weights : ZoneWeights
    coverage : float
        Share of the weight of a zone that must be known.
    """

    product: xr.Dataset
    weights: ZoneWeights
    coverage: float

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the cells."""
        return HORIZONTAL[layout_of(self.product)]

    def of(self, name: str) -> xr.Dataset:
        """Return means and draws of a pollutant, and its flag, (zone, time) float32."""
        layers = {name: self._mean(_means_of_hours(self.product, name))}
        draws, flag = draws_name(name), f"{name}_flag"
        if draws in self.product:
            layers[draws] = self._mean(self.product[draws])
            layers[draws].attrs = self.product[draws].attrs
        if flag in self.product:
            layers[flag] = self._most(self.product[flag], layers[name])
        layers[name].attrs = self.product[name].attrs | {"statistic": "mean"}
        return xr.Dataset(layers).drop_vars(self.dims, errors="ignore")

    def _mean(self, layer: xr.DataArray) -> xr.DataArray:
        """Return the mean of a layer over zones, missing where too little of one is known."""
        summed, weight = self._sums(layer)
        needed = self.coverage * self.weights.total * (1 - ROUNDING)
        enough = (weight >= needed) & (weight > 0)
        return (summed / weight.where(enough)).astype(np.float32).transpose(*self._order(layer))

    def _most(self, flag: xr.DataArray, mean: xr.DataArray) -> xr.DataArray:
        """Return the flag that most of the weight of each zone with an estimate has."""
        kinds = range(PRODUCT_FLAGS["no_estimate"])  # which is the last one
        weights = [self._sums(xr.where(flag == kind, 1.0, np.nan))[1] for kind in kinds]
        most = xr.concat(weights, "kind").argmax("kind").astype(np.int8)
        most = xr.where(mean.notnull(), most, np.int8(PRODUCT_FLAGS["no_estimate"]))
        return most.transpose(*self._order(flag)).assign_attrs(flag.attrs)

    def _order(self, layer: xr.DataArray) -> tuple[str, ...]:
        """Return the dimensions of what is made of a layer."""
        return tuple(dim for dim in (DRAW, ZONE, TIME) if dim == ZONE or dim in layer.dims)

    def _sums(self, layer: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
        """Return weighted sums of a layer and the weights of what is present, (..., zone)."""
        layer = layer.transpose(..., TIME, *self.dims)
        rest = layer.dims[:-2]
        if layer.chunks is None:
            every = [np.arange(size) for size in layer.shape[-2:]]
            hours = range(0, layer.sizes[TIME], _STEPS)
            cuts = (layer.isel({TIME: slice(hour, hour + _STEPS)}) for hour in hours)
            both = np.concatenate([self.weights.sums(cut.values, *every) for cut in cuts], axis=-2)
        else:
            both = _blockwise(layer.variable, self.weights)
        coordinates = {dim: self.product[dim] for dim in rest if dim in self.product.coords}
        summed, weight = (
            xr.DataArray(each, coordinates, (*rest, ZONE)).drop_attrs() for each in both
        )
        return summed, weight


def _blockwise(layer: xr.Variable, weights: ZoneWeights) -> Any:
    """Return sums and weights of a lazy layer (..., y, x), lazily: (2, ..., zone)."""
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed

    assert layer.chunks is not None  # lazy
    index = "dtyx"[-layer.ndim :]
    zones = weights.matrix.shape[0]
    token = tokenize(weights.matrix.data, weights.matrix.indices, weights.matrix.indptr)
    engine = delayed(weights, name=f"zones-{token}", traverse=False).persist()
    rows, columns = (step_numbers(0, sizes) for sizes in layer.chunks[-2:])
    parts = da.blockwise(
        *(_part, f"k{index}z", engine, None, layer.data, index, rows, "y", columns, "x"),
        new_axes={"k": 2, "z": zones},
        adjust_chunks={"y": 1, "x": 1},
        dtype=np.float64,
        meta=np.empty((0,) * (layer.ndim + 2)),
        align_arrays=False,
    )
    return parts.sum(axis=(-3, -2))


def _part(
    weights: ZoneWeights, values: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Return sums and weights of a block, (2, ..., 1, 1, zone)."""
    return weights.sums(values, rows, columns)[..., None, None, :]


def _means_of_hours(product: xr.Dataset, name: str) -> xr.DataArray:
    """Return the mean of the distribution of each cell and hour: that of medians would be low."""
    layer, error = product[name], product.get(f"{name}_uncertainty")
    if layer.attrs.get("statistic", "median") != "median" or error is None:
        return layer
    freedom = freedom_of(error.attrs)

    def mean(median: np.ndarray, errors: np.ndarray) -> np.ndarray:
        spread = RootNormal.from_median(median, errors, freedom=freedom).spread
        return (median + np.nan_to_num(spread) ** 2).astype(np.float32)

    return xr.apply_ufunc(mean, layer, error, dask="parallelized", output_dtypes=[np.float32])
