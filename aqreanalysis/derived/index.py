"""Air-quality indices of hourly fields and series, as layers with categories and colours."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from aqreanalysis.conventions import (
    CATEGORY,
    DRAW,
    LEAD,
    POLLUTANTS,
    REFERENCE,
    TIME,
    draws_name,
    pollutant,
)
from aqreanalysis.derived.layers import (
    check_units,
    lagged,
    running_means,
    usual_step_hours,
    with_all_hours,
)
from aqreanalysis.derived.tables import INDICES, IndexTable, Term
from aqreanalysis.product.provenance import with_layers, with_references

#: Litres of a mole of air at 25 degrees Celsius and 1 atm, at which the tables' ppb are meant.
_MOLAR_VOLUME = 24.45
#: ug m-3 of one ppb, in units of the molar mass over the molar volume.
_PARTS = {"ppb": 1.0, "ppm": 1000.0}
#: Rounding error that moves no concentration and no index over a limit.
_ROUNDING = 1e-4
#: Smallest weight of an hour relative to the one after it in the NowCast, and how many of its last
#: hours must be there.
_LEAST_WEIGHT, _RECENT, _RECENT_NEEDED = 0.5, 3, 2


def air_quality_index(
    dataset: xr.Dataset, index: str = "us_epa", variables: Sequence[str] | str | None = None
) -> xr.Dataset:
    """Return an air-quality index for each hour of a product or of observations.

    Parameters
    ----------
    dataset : Dataset
        With pollutants in ug m-3 on a regular time; lazy ones stay lazy. Of a set of outlooks, the
        averages of each start are of its own hours.
    index : {"us_epa", "china", "europe", "germany"}
        The table, as in `aqreanalysis.derived.INDICES`, which gives its source.
    variables : str or sequence of str, optional
        Pollutants that count; by default all that the table has.

    Returns
    -------
    Dataset
        The given one with ``index_category``, a number from 1 (best) with its names and colours in
        ``flag_meanings`` and ``flag_colors``, and 0 where too many hours of an average are
        missing; ``index_pollutant``, the one that is decisive; ``<variable>_category`` of each;
        and, where the index is a number, ``index`` and ``<variable>_index``. Averages end with
        the hour; three quarters of their hours must be there. It is the index of the estimates:
        that of a smooth field is lower than that of the air at its peaks. Where every pollutant
        has draws, the index is the median of those of the draws, and
        ``index_category_probability`` (category, ...) is the share of them in each category.

    Raises
    ------
    ValueError
        If the index is unknown, it has no such pollutant, or the step is not that of its averages.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> layers = air_quality_index(obs, "europe", "pm25")
    >>> sorted(set(layers) - set(obs))
    ['index_category', 'index_pollutant', 'pm25_category']
    >>> layers.index_category.attrs["flag_meanings"]
    'no_index good fair moderate poor very_poor extremely_poor'
    """
    table = _table(index)
    if LEAD in dataset.dims:
        return _of_each_start(dataset, index, variables)
    names = _counted(dataset, table, index, variables)
    for name in names:
        check_units(dataset[name])
    step = usual_step_hours(dataset) if TIME in dataset.dims else 1.0
    _check_time(dataset, table, names, step)
    drawn = all(draws_name(name) in dataset for name in names)
    layer = {name: draws_name(name) if drawn else name for name in names}
    parts = {name: _of_pollutant(dataset[layer[name]], table, name, index, step) for name in names}
    stacked = xr.concat(list(parts.values()), "part")
    highest = stacked.max("part", skipna=True)
    layers: dict[str, xr.DataArray] = {}
    if drawn:
        layers["index_category_probability"] = _probabilities(highest, table)
        parts = {name: _median_of_draws(part) for name, part in parts.items()}
        stacked, highest = _median_of_draws(stacked), _median_of_draws(highest)
    if table.numeric:
        layers |= {
            f"{name}_index": part.assign_attrs(_number(table, name)) for name, part in parts.items()
        }
        layers["index"] = highest.assign_attrs(_number(table, None))
    for name, part in parts.items():
        layers[f"{name}_category"] = _category(part, table, name)
    layers["index_category"] = _category(highest, table, None)
    known = highest.notnull()
    decisive = stacked.fillna(-1.0).argmax("part") + 1
    layers["index_pollutant"] = (
        xr.where(known, decisive, 0)
        .astype(np.int8)
        .assign_attrs(
            long_name=f"pollutant that decides the {table.title}",
            coverage_content_type="thematicClassification",
            flag_values=np.arange(len(names) + 1, dtype=np.int8),
            flag_meanings=" ".join(("no_index", *names)),
        )
    )
    made = with_layers(dataset, layers, f"{table.title} of {', '.join(names)}")
    return with_references(made, table.source)


def _of_each_start(
    dataset: xr.Dataset, index: str, variables: Sequence[str] | str | None
) -> xr.Dataset:
    """Return the index of a set of outlooks, of which the time is that since each start."""
    ahead = np.round(dataset[LEAD].values * 3.6e12).astype("timedelta64[ns]")
    labels = dataset[REFERENCE].values[0].astype("datetime64[ns]") + ahead
    time = xr.Variable(TIME, labels, dataset[TIME].attrs)
    one = dataset.drop_vars(TIME).rename({LEAD: TIME}).assign_coords({TIME: time})
    made = air_quality_index(one, index, variables)
    own = [name for name in made.data_vars if name not in dataset]
    layers = made[own].drop_vars(TIME).rename({TIME: LEAD})
    return dataset.assign(dict(layers.data_vars)).assign_attrs(made.attrs)


def _table(index: str) -> IndexTable:
    """Return a table by its name."""
    if index not in INDICES:
        raise ValueError(f"index must be one of {', '.join(INDICES)}; found {index!r}")
    return INDICES[index]


def _counted(
    dataset: xr.Dataset, table: IndexTable, index: str, variables: Sequence[str] | str | None
) -> list[str]:
    """Return the pollutants that count, in the order of the table."""
    if variables is None:
        names = [name for name in table.terms if name in dataset.data_vars]
        if not names:
            raise ValueError(
                f"the index {index!r} is of {', '.join(table.terms)}; the dataset has "
                f"{', '.join(map(str, dataset.data_vars)) or 'nothing'}"
            )
        return names
    asked = [variables] if isinstance(variables, str) else variables
    if not asked:
        raise ValueError(f"variables names no pollutant; the index is of {', '.join(table.terms)}")
    names = [pollutant(name).name for name in asked]
    for name in names:
        if name not in table.terms:
            raise ValueError(
                f"the index {index!r} has no {name}; it is of {', '.join(table.terms)}"
            )
        if name not in dataset.data_vars:
            raise ValueError(
                f"the dataset has no {name}; it has {', '.join(map(str, dataset.data_vars))}"
            )
    return names


def _check_time(dataset: xr.Dataset, table: IndexTable, names: list[str], step: float) -> None:
    """Refuse a time axis over which the averages of a table have no meaning."""
    if TIME not in dataset.dims:
        raise ValueError("an index is of hours, and the dataset has no dimension 'time'")
    if all(_steps(term, step) <= 1 for name in names for term in table.terms[name]):
        return  # nothing is averaged
    stamps = dataset[TIME].values.astype("datetime64[ns]")
    apart = np.diff(stamps) / np.timedelta64(1, "h")
    if (apart != step).any():
        at = int(np.argmax(apart != step))
        raise ValueError(
            f"time must be regular for running means, with steps of {step:g} h; after {stamps[at]} "
            f"it is {apart[at]:g} h. Select one period without holes"
        )


def _of_pollutant(
    values: xr.DataArray, table: IndexTable, name: str, index: str, step: float
) -> xr.DataArray:
    """Return the index of a pollutant, float32; NaN where it has none."""
    terms = [(term, size) for term in table.terms[name] if (size := _steps(term, step))]
    if not terms:
        hours = " or ".join(f"{term.hours} h" for term in table.terms[name])
        raise ValueError(
            f"the index {index!r} of {name} is of averages over {hours}; the values have steps "
            f"of {step:g} h. Pass hourly values, or leave {name} out: variables=..."
        )
    number: xr.DataArray = xr.apply_ufunc(
        partial(
            _highest,
            terms=terms,
            factors=[_factor(term, name) for term, _ in terms],
            up=table.rounding == "up",
        ),
        with_all_hours(values),
        input_core_dims=[[TIME]],
        output_core_dims=[[TIME]],
        dask="parallelized",
        output_dtypes=[np.float32],
    ).transpose(*values.dims)
    return number.drop_attrs(deep=False)


def _steps(term: Term, step: float) -> int:
    """Return the steps of a term's average; 0 where steps do not make it up."""
    if term.averaging == "nowcast" and step == 24:
        return 1  # the table is that of daily means
    count = term.hours / step
    hourly = term.averaging == "mean" or step == 1
    return int(count) if count == int(count) and hourly else 0


def _factor(term: Term, name: str) -> float:
    """Return what turns ug m-3 into the unit of a term."""
    if term.unit == "ug m-3":
        return 1.0
    mass = POLLUTANTS[name].molar_mass
    assert mass is not None  # of gases alone are tables in parts
    return _MOLAR_VOLUME / mass / _PARTS[term.unit]


def _highest(
    values: np.ndarray, *, terms: list[tuple[Term, int]], factors: list[float], up: bool
) -> np.ndarray:
    """Return the highest index of the terms of a pollutant, (..., t)."""
    highest = np.full(values.shape, np.nan)
    for (term, size), factor in zip(terms, factors, strict=True):
        averaged = (
            _nowcast(values, size) if term.averaging == "nowcast" else running_means(values, size)
        )
        highest = np.fmax(highest, _index(averaged * factor, term))
    rounded = np.ceil(highest - _ROUNDING) + 0.0 if up else np.floor(highest + 0.5)
    return rounded.astype(np.float32)


def _index(concentration: np.ndarray, term: Term) -> np.ndarray:
    """Return the index of concentrations; NaN below the first piece and where they are missing."""
    value = np.maximum(concentration, 0.0)
    if term.decimals is not None:
        unit = 10.0**-term.decimals
        half = 0.5 if term.digits == "rounded" else _ROUNDING
        value = np.floor(value / unit + half) * unit
    low, high = np.array(term.low), np.array(term.high)
    first, last = np.array(term.index_low), np.array(term.index_high)
    piece = np.minimum(np.searchsorted(high, value - _ROUNDING * high[0]), len(high) - 1)
    value = np.clip(value, low[piece], high[piece])
    number = first[piece] + (last - first)[piece] * (value - low[piece]) / (high - low)[piece]
    within = concentration >= low[0] if low[0] > 0 else np.isfinite(concentration)
    return np.where(within, number, np.nan)


def _nowcast(values: np.ndarray, size: int) -> np.ndarray:
    """Return NowCasts: means of hours in which the last ones count more, the more they vary."""
    values = values.astype(np.float64)
    if size == 1:
        return values
    hours = lagged(values, size)
    lowest, highest = hours[0], hours[0]
    for before in hours[1:]:
        lowest, highest = np.fmin(lowest, before), np.fmax(highest, before)
    lowest, highest = np.maximum(lowest, 0.0), np.maximum(highest, 0.0)
    ratio = np.divide(lowest, highest, out=np.ones(values.shape), where=highest > 0)
    weight = np.maximum(ratio, _LEAST_WEIGHT)
    total, weights, factor = np.zeros(values.shape), np.zeros(values.shape), np.ones(values.shape)
    for before in hours:
        present = np.isfinite(before)
        total[present] += (factor * before)[present]
        weights[present] += factor[present]
        factor = factor * weight
    recent = sum(np.isfinite(before).astype(np.int8) for before in hours[:_RECENT])
    enough = recent >= _RECENT_NEEDED
    return np.divide(total, weights, out=np.full(values.shape, np.nan), where=enough)


def _category(number: xr.DataArray, table: IndexTable, name: str | None) -> xr.DataArray:
    """Return the category of an index, int8 from 1; 0 where there is none."""
    category: xr.DataArray = xr.apply_ufunc(
        lambda values: np.where(
            np.isfinite(values), np.searchsorted(table.upper, values) + 1, 0
        ).astype(np.int8),
        number,
        dask="parallelized",
        output_dtypes=[np.int8],
        keep_attrs=True,
    )
    return category.assign_attrs(
        _described(table, name, ""),
        flag_values=np.arange(len(table.categories) + 1, dtype=np.int8),
        flag_meanings=" ".join(("no_index", *table.categories)),
        flag_colors=" ".join(("#ffffff", *table.colours)),
    )


def _median_of_draws(number: xr.DataArray) -> xr.DataArray:
    """Return the median over the draws; NaN where there is no index."""
    return xr.apply_ufunc(
        partial(np.median, axis=-1),
        number,
        input_core_dims=[[DRAW]],
        dask="parallelized",
        output_dtypes=[np.float32],
    )


def _probabilities(number: xr.DataArray, table: IndexTable) -> xr.DataArray:
    """Return the share of draws in each category, (category, ...) float32."""
    category = _category(number, table, None)
    known = number.notnull().all(DRAW)
    shares = [
        (category == kind).mean(DRAW, dtype=np.float32).where(known)
        for kind in range(1, len(table.categories) + 1)
    ]
    numbers = xr.DataArray(
        np.arange(1, len(shares) + 1, dtype=np.int8),
        dims=CATEGORY,
        attrs={
            "long_name": f"category of the {table.title}",
            "flag_values": np.arange(1, len(shares) + 1, dtype=np.int8),
            "flag_meanings": " ".join(table.categories),
        },
    )
    layer: xr.DataArray = xr.concat(shares, CATEGORY).assign_coords({CATEGORY: numbers})
    return layer.drop_attrs(deep=False).assign_attrs(
        long_name=f"probability of the categories of the {table.title}",
        units="1",
        coverage_content_type="qualityInformation",
    )


def _number(table: IndexTable, name: str | None) -> dict[str, str]:
    """Return the attributes of an index that is a number."""
    return {**_described(table, name, ", number"), "units": "1"}


def _described(table: IndexTable, name: str | None, what: str) -> dict[str, str]:
    """Return what a layer of an index is, and its source."""
    of = f" of {POLLUTANTS[name].long_name}" if name else ""
    return {
        "long_name": f"{table.title}{of}{what}",
        "coverage_content_type": "thematicClassification",
        "references": table.source,
        "comment": table.note,
    }
