"""The probability that a limit is exceeded, from the estimate and its standard error."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from aqreanalysis.conventions import CONCENTRATION_UNITS, POLLUTANTS, pollutant, quantile_name
from aqreanalysis.derived.layers import check_units
from aqreanalysis.derived.statistics import limit_name
from aqreanalysis.predictive import RootNormal, freedom_of
from aqreanalysis.product.provenance import with_layers


def exceedance(
    product: xr.Dataset, limit: float | Sequence[float], variable: str | None = None
) -> xr.Dataset:
    """Return the probability that a new measurement exceeds a limit, for each value of a product.

    It is that of one value, such as an hour, not of the mean of several.

    Parameters
    ----------
    product : Dataset
        As of `aqreanalysis.reanalysis.reanalyse`, of fields or at stations; lazy ones stay lazy.
    limit : float or sequence of float
        In ug m-3, above 0.
    variable : str, optional
        Pollutant; the product's only one by default.

    Returns
    -------
    Dataset
        The product with a layer for each limit, such as ``pm25_above_35``: between 0 and 1, NaN
        where there is no estimate.

    Raises
    ------
    ValueError
        If a limit is not above 0, the product has no such pollutant or no standard error of it, or
        its estimate is a mean of which it holds no median.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> product = obs.aqnet.reanalyse(grid=0.5, method="idw")
    >>> above = exceedance(product, [35.0, 75.0])
    >>> bool((above.pm25_above_75 <= above.pm25_above_35).all())
    True
    """
    name = pollutant(variable).name if variable else _only_pollutant(product)
    limits = _checked(limit)
    median, error = median_of(product, name), _error(product, name)
    for concentration in (median, error):
        check_units(concentration)
    mapped = {k: v for k, v in median.attrs.items() if k == "grid_mapping"}
    freedom = freedom_of(error.attrs)

    def probability(level: np.ndarray, spread: np.ndarray, above: float) -> np.ndarray:
        distribution = RootNormal.from_median(level, spread, freedom=freedom)
        return distribution.above(above).astype(np.float32)

    layers = {}
    for above in limits:
        layer: xr.DataArray = xr.apply_ufunc(
            probability,
            median,
            error,
            kwargs={"above": above},
            dask="parallelized",
            output_dtypes=[np.float32],
        )
        described = f"{POLLUTANTS[name].long_name} above {above:g} {CONCENTRATION_UNITS}"
        layers[limit_name(f"{name}_above", above)] = layer.drop_attrs(deep=False).assign_attrs(
            **mapped,
            long_name=f"probability of {described}",
            units="1",
            coverage_content_type="qualityInformation",
            comment="of a new measurement over one step of time, from the estimate and its error",
        )
    return with_layers(product, layers, f"probabilities of exceedance, {', '.join(layers)}")


def _only_pollutant(product: xr.Dataset) -> str:
    """Return the product's only pollutant."""
    names = [str(name) for name in product.data_vars if name in POLLUTANTS]
    if len(names) != 1:
        raise ValueError(
            f"name the pollutant: variable=...; the product has {', '.join(names) or 'none'}"
        )
    return names[0]


def _checked(limit: float | Sequence[float]) -> np.ndarray:
    """Return limits as an array; refuse what is none."""
    limits = np.atleast_1d(np.asarray(limit))
    numbers = limits.dtype.kind in "fiu" and limits.ndim == 1 and limits.size > 0
    if not numbers or not (np.isfinite(limits).all() and (limits > 0).all()):
        raise ValueError(f"a limit is a number above 0, in {CONCENTRATION_UNITS}; found {limit!r}")
    return np.unique(limits.astype(np.float64))


def median_of(product: xr.Dataset, name: str) -> xr.DataArray:
    """Return the median of a pollutant."""
    if name not in product:
        layers = ", ".join(map(str, product.data_vars)) or "nothing"
        raise ValueError(f"the product has no variable {name!r}; it has {layers}")
    if product[name].attrs.get("statistic", "median") == "median":
        return product[name]
    median = quantile_name(name, 0.5)
    if median not in product:
        raise ValueError(
            f"{name} of the product is a mean, and {median} is not there: reanalyse with "
            "statistic='median', or leave the layer in"
        )
    return product[median]


def _error(product: xr.Dataset, name: str) -> xr.DataArray:
    """Return the standard error of a pollutant."""
    error = f"{name}_uncertainty"
    if error not in product:
        raise ValueError(
            f"the product has no {error!r}, without which a probability is not known; observations "
            "have none: reanalyse at their stations, with at=obs"
        )
    return product[error]
