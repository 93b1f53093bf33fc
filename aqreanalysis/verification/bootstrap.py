"""Bootstrap intervals of scores and of differences between methods; places are resampled."""

import warnings

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION
from aqreanalysis.verification.errors import VerificationError
from aqreanalysis.verification.formulas import ratio
from aqreanalysis.verification.pairs import ESTIMATOR
from aqreanalysis.verification.scoring import (
    SUMMED,
    By,
    check_statistics,
    scored,
    totals,
    weights_of,
)

DRAWS = 1000
_RELATIVE = ("rmse", "mae", "crps")


def intervals(
    statistics: xr.Dataset,
    *,
    by: By | None = None,
    resolution: str | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> xr.Dataset:
    """Return the bootstrap interval of every score.

    Places are drawn with replacement, with all values of a place: the errors of hours at a station
    are correlated, while stations sample the possible places (Efron & Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 8; percentile interval).

    Parameters
    ----------
    statistics : Dataset
    by, resolution
        As in `metrics`; not ``by="station"``, where there is nothing to draw from.
    level : float
        Share of the draws within the interval.
    draws, seed : int

    Returns
    -------
    Dataset
        As of `metrics`, with ``bound``: "low", "high". NaN where all values are of one place.

    Raises
    ------
    VerificationError
        If the Dataset holds no statistics, ``by`` is "station", or level or draws are out of
        range.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
    >>> summed = obs.aqnet.verify(methods=["idw"], folds=3, progress=False)
    >>> low, high = intervals(summed).rmse.sel(estimator="idw").values
    >>> bool(low < high)
    True
    """
    check_statistics(statistics)
    drawn = _drawn(statistics, by, resolution, draws, seed)
    bounds = _percentiles(drawn, level)
    return _where_places(bounds, statistics, by, resolution).assign_attrs(statistics.attrs)


def differences(
    statistics: xr.Dataset,
    *,
    to: str = "kriging",
    by: By | None = None,
    resolution: str | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> xr.Dataset:
    """Return how much each method's scores differ from those of one method, with intervals.

    Both are scored at the stations where both give estimates, and in the same draws.

    Parameters
    ----------
    statistics : Dataset
    to : str
        Name of the method to compare with.
    by, resolution, level, draws, seed
        As in `intervals`.

    Returns
    -------
    Dataset
        As of `metrics`, with ``bound``: "value", "low", "high". ``relative_rmse``,
        ``relative_mae`` and ``relative_crps`` are ratios minus 1: -0.02 is 2 % below.

    Raises
    ------
    VerificationError
        If that method is not among those verified; else as `intervals`.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(stations=15, hours=24, seed=0).observations
    >>> summed = obs.aqnet.verify(methods=["idw", "kriging"], folds=3, progress=False)
    >>> float(differences(summed).rmse.sel(estimator="kriging", bound="high"))
    0.0
    """
    check_statistics(statistics)
    names = [str(name) for name in statistics[ESTIMATOR].values]
    if to not in names:
        raise VerificationError(
            f"no method {to!r} to compare with; these were verified: {', '.join(names)}"
        )
    active = _active(statistics)
    both = active & active.sel({ESTIMATOR: to})
    statistics = statistics[[*SUMMED]]
    # The reference method, repeated so that it is scored at the stations of each of the others.
    repeated = statistics.sel({ESTIMATOR: [to] * len(names)})
    repeated = repeated.assign_coords({ESTIMATOR: statistics[ESTIMATOR]})
    own, other = (
        part.where(both, 0).assign_attrs(statistics.attrs) for part in (statistics, repeated)
    )
    total = (scored(totals(p, by, resolution, _membership(p, by))) for p in (own, other))
    value = _difference(*total).expand_dims(bound=["value"])
    drawn = _difference(*(_drawn(p, by, resolution, draws, seed) for p in (own, other)))
    bounds = _where_places(_percentiles(drawn, level), own, by, resolution)
    return xr.concat([value, bounds], dim="bound").assign_attrs(statistics.attrs | {"to": to})


def _active(statistics: xr.Dataset) -> xr.DataArray:
    """Return whether a method is scored at a station, (estimator, station)."""
    return totals(statistics, None, None, None)["count"] > 0


def _difference(own: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """Return own minus other, and the relative differences."""
    relative = {f"relative_{name}": ratio(own[name], other[name]) - 1 for name in _RELATIVE}
    for name, share in relative.items():
        share.attrs = {"long_name": f"relative difference of {name[9:].upper()}", "units": "1"}
    with xr.set_options(keep_attrs=True):
        return (own - other).assign(relative)


def _drawn(
    statistics: xr.Dataset, by: By | None, resolution: str | None, draws: int, seed: int
) -> xr.Dataset:
    """Return the scores of each draw of places, on ``draw``."""
    if draws < 2:
        raise VerificationError(f"a bootstrap needs at least 2 draws; found {draws}")
    places = np.unique(_places(statistics), return_inverse=True)[1]
    count = int(places.max()) + 1
    generator = np.random.default_rng(seed)
    times = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    coords = {STATION: statistics[STATION].values}
    weights = xr.DataArray(times[:, places], dims=("draw", STATION), coords=coords)
    membership = _membership(statistics, by)
    return scored(totals(statistics, by, resolution, weights * membership))


def _membership(statistics: xr.Dataset, by: By | None) -> xr.DataArray:
    """Return the weight of each station in each part; refuse single stations."""
    weights = weights_of(statistics, by)
    if weights is None:
        raise VerificationError("a single station has no interval: by must not be 'station'")
    return weights


def _percentiles(drawn: xr.Dataset, level: float) -> xr.Dataset:
    """Return the ends of the middle share of the draws."""
    if not 0 < level < 1:
        raise VerificationError(f"level must lie within 0..1; found {level}")
    ends = [(1 - level) / 2, (1 + level) / 2]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")  # a part without any value
        bounds = drawn.quantile(ends, dim="draw", skipna=True, keep_attrs=True)
    return bounds.rename(quantile="bound").assign_coords(bound=["low", "high"])


def _where_places(
    bounds: xr.Dataset, statistics: xr.Dataset, by: By | None, resolution: str | None
) -> xr.Dataset:
    """Return bounds where at least two places have values, NaN elsewhere.

    All draws of a single place give the same score, so the interval would have no width.
    """
    by_station = totals(statistics, by, resolution, None)["count"]
    inside = (by_station * _membership(statistics, by)) > 0
    places = _places(statistics)
    order = np.argsort(places, kind="stable")
    first = np.unique(places[order], return_index=True)[1]
    counted = xr.apply_ufunc(
        lambda rows: np.logical_or.reduceat(rows[..., order], first, axis=-1).sum(axis=-1),
        inside,
        input_core_dims=[[STATION]],
    )
    return bounds.where(counted > 1)


def _places(statistics: xr.Dataset) -> np.ndarray:
    """Return the number of the place of each station; without it, each is a place."""
    if "place" in statistics.coords:
        return statistics["place"].values
    return np.arange(statistics.sizes[STATION])
