"""Quality control: every check as a bit beside the values, a table of stations, and what is used.

Nothing is deleted. `qc` runs all checks and sets bits; `usable` runs those that tell faults from
weather, and gives an estimator the observations without them.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import MINIMUM_CAPTURE, POLLUTANTS, STATION, TIME, counted
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations.checks import Floats, Mask
from aqreanalysis.observations.checks.clocks import Shift, clock_shifts
from aqreanalysis.observations.checks.plausibility import Suspicion, suspicions, without
from aqreanalysis.observations.checks.quality import CHECKS, QualityLimits, failures
from aqreanalysis.observations.contract import (
    DIMENSIONS,
    default_variable,
    stored_values,
    validate,
    values_of,
)
from aqreanalysis.observations.journal import ObservationError, with_history
from aqreanalysis.observations.time_axis import step_hours

logger = logging.getLogger(__name__)

Quality = Literal["mask", "flag", "ignore"]

#: Bits of ``<variable>_qc``. "missing" and "incomplete_day" are no faults.
QC_FLAGS: Mapping[str, int] = MappingProxyType(
    {
        name: 1 << place
        for place, name in enumerate(
            (
                "missing",
                "missing_code",
                "daily_values",
                "misplaced",
                "implausible_units",
                "duplicate_station",
                "clock_shift",
                "possible_clock_shift",
                "out_of_range",
                "flat_line",
                "spike",
                "step",
                "neighbour_outlier",
                "pm25_above_pm10",
                "incomplete_day",
            )
        )
    }
)
#: What cannot be weather; estimators leave it out by default.
REJECTED = (
    "missing_code",
    "daily_values",
    "misplaced",
    "implausible_units",
    "clock_shift",
    "out_of_range",
    "flat_line",
    "spike",
)
#: Bits that count as flagged in tables.
FAULTS = tuple(name for name in QC_FLAGS if name not in ("missing", "incomplete_day"))

#: Masking a wrong clock loses a whole station. Only where the shifted series correlates this well
#: with its neighbours do they replace it; otherwise its daily level is worth more than its hours.
_CLOSE = 0.4

_OF_KIND = {"copy": "duplicate_station", "units": "implausible_units"}
#: Fine particles are a part of coarse ones; two monitors differ by so much, in ug m-3 and as share.
_ABOVE_UG, _ABOVE_SHARE = 10.0, 0.1


def qc(
    dataset: xr.Dataset,
    variables: str | Sequence[str] | None = None,
    *,
    limits: QualityLimits | None = None,
) -> xr.Dataset:
    """Return the observations with ``<variable>_qc``: a bit for each check that a value fails.

    Parameters
    ----------
    dataset : xarray.Dataset
        Valid observations; not changed.
    variables : str or sequence of str, optional
        Pollutants; all by default.
    limits : QualityLimits, optional
        Limits of the checks of single values.

    Returns
    -------
    xarray.Dataset
        With ``<variable>_qc``, int16 ``(station, time)``, whose bits are those of `QC_FLAGS`;
        its ``comment`` says in sentences what is wrong with whole stations.

    Raises
    ------
    ObservationError
        If the observations are not valid, or a variable is no pollutant of theirs.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> values = obs.pm25.values.copy()
    >>> values[3, 40] = 900.0
    >>> checked = qc(obs[["pm25"]].assign(pm25=obs.pm25.copy(data=values)))
    >>> bits = int(checked.pm25_qc[3, 40])
    >>> [name for name, bit in QC_FLAGS.items() if bits & bit]
    ['spike']
    """
    validate(dataset)
    layers = {}
    for name in _chosen(dataset, variables):
        bits, sentences = _bits(dataset, name, (*FAULTS, "incomplete_day"), limits)
        own = dataset[name]
        attributes = {
            "standard_name": "quality_flag",
            "long_name": f"quality control of {own.attrs.get('long_name', name)}",
            "flag_masks": np.array(list(QC_FLAGS.values()), dtype=np.int16),
            "flag_meanings": " ".join(QC_FLAGS),
            "comment": "\n".join(f"{sentence}." for sentence in sentences),
        }
        layers[f"{name}_qc"] = (DIMENSIONS, bits, attributes)
        counts = ", ".join(f"{word} {count}" for word, count in _counts(bits).items())
        logger.info("%s: of %d values flagged: %s", name, int((bits & 1 == 0).sum()), counts)
    checked = dataset.assign(layers)
    for layer in layers:
        array = checked[layer.removesuffix("_qc")]
        others = str(array.attrs.get("ancillary_variables", "")).split()
        array.attrs = array.attrs | {
            "ancillary_variables": " ".join(dict.fromkeys([*others, layer]))
        }
    return checked


def qc_table(checked: xr.Dataset) -> pd.DataFrame:
    """Return how many values of each pollutant and station fail each check.

    Parameters
    ----------
    checked : xarray.Dataset
        Of `qc`.

    Returns
    -------
    pandas.DataFrame
        Indexed by variable and station: ``values``, ``completeness`` (share of the steps with a
        value), ``flagged`` (values that fail any check) and a column for each check.

    Raises
    ------
    ObservationError
        If there is no ``<variable>_qc``.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> qc_table(qc(obs[["pm25"]]))[["flat_line", "spike"]].sum().to_dict()
    {'flat_line': 26, 'spike': 1}
    """
    parts = []
    for name in checked_variables(checked):
        bits = stored_values(checked, f"{name}_qc")
        present = bits & QC_FLAGS["missing"] == 0
        columns = {
            "values": present.sum(axis=1),
            "completeness": present.mean(axis=1),
            "flagged": (bits & bits_of(FAULTS) != 0).sum(axis=1),
        }
        columns |= {word: (bits & QC_FLAGS[word] != 0).sum(axis=1) for word in FAULTS}
        columns["incomplete_day"] = (bits & QC_FLAGS["incomplete_day"] != 0).sum(axis=1)
        index = pd.MultiIndex.from_product([[name], checked[STATION].values.astype(str)])
        parts.append(pd.DataFrame(columns, index=index.set_names(["variable", STATION])))
    return pd.concat(parts)


def checked_variables(checked: xr.Dataset) -> list[str]:
    """Return the pollutants that `qc` has seen.

    Raises
    ------
    ObservationError
        If there is none.
    """
    names = [name for name in map(str, checked.data_vars) if f"{name}_qc" in checked]
    if not names:
        raise ObservationError("there is no <variable>_qc; use obs.aqnet.qc() first")
    return names


def bits_of(names: Sequence[str]) -> np.int16:
    """Return the bits of several checks together, to choose values by checks of your own.

    Examples
    --------
    >>> int(bits_of(["missing", "spike"]))
    1025
    >>> import aqreanalysis as aqr
    >>> checked = qc(aqr.synthetic_network(hours=96, seed=0).observations, "pm25")
    >>> strict = checked.pm25.where(checked.pm25_qc & bits_of(["flat_line", "step"]) == 0)
    >>> int(checked.pm25.count() - strict.count())
    26
    """
    return np.int16(sum(QC_FLAGS[name] for name in names))


def usable(observations: xr.Dataset, variable: str, quality: Quality) -> xr.Dataset:
    """Return the observations that an estimator uses of a variable.

    Parameters
    ----------
    observations : xarray.Dataset
        Valid observations; not changed.
    variable : str
        Its values are judged; other variables stay as they are.
    quality : {"mask", "flag", "ignore"}
        "mask": without the values and stations that fail a check of `REJECTED`. "flag": all of
        them. Either way the failures are counted in the log and in the ``history``. "ignore":
        unjudged.

    Returns
    -------
    xarray.Dataset
        The observations themselves where nothing is wrong.

    Raises
    ------
    ObservationError
        If the units make the values of all stations implausible, unless ignored.
    ValueError
        If ``quality`` is none of the three.

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=96, seed=0).observations
    >>> used = usable(obs, "pm25", "mask")
    >>> int(obs.pm25.count() - used.pm25.count())
    27
    """
    if quality not in get_args(Quality):
        raise ValueError(
            f"quality must be one of {', '.join(get_args(Quality))}; found {quality!r}"
        )
    if quality == "ignore":
        return observations
    suspect = suspicions(observations, [variable])
    reporting = int((~np.isnan(stored_values(observations, variable))).any(axis=1).sum())
    for one in suspect:
        if one.kind == "units" and one.stations.size == reporting:
            raise ObservationError(f"{one}, or pass quality='ignore'", source="observations")
    bits, sentences = _bits(observations, variable, REJECTED, None, suspect)
    wrong = bits & bits_of(REJECTED) != 0
    if not wrong.any():
        return observations
    counts = ", ".join(f"{word} {count}" for word, count in _counts(bits).items())
    used = _left_out(observations, variable, wrong, suspect) if quality == "mask" else observations
    verb, done = ("looks", "is") if wrong.sum() == 1 else ("look", "are")
    as_it_is = "used as it is" if done == "is" else "used as they are"
    done += f" {'left out' if used is not observations else as_it_is}"
    line = (
        f"quality={quality}: {int(wrong.sum())} of {counted(int((bits & 1 == 0).sum()), 'value')} "
        f"of {variable}, at {counted(int(wrong.any(axis=1).sum()), 'station')}, {verb} wrong and "
        f"{done} ({counts}){''.join(f'; {sentence}' for sentence in sentences)}"
    )
    logger.warning("%s. obs.aqnet.qc() shows them", line)
    return used.assign_attrs(with_history(observations.attrs, line))


def _left_out(
    observations: xr.Dataset, variable: str, wrong: Mask, suspect: Sequence[Suspicion]
) -> xr.Dataset:
    """Return observations without wrong values and misplaced stations, or all if none were left."""
    cost = Suspicion("units", variable, np.empty(0, np.intp), "", "", "values", wrong)
    stations = [one for one in suspect if one.cost == "station"]
    used = without(observations, [cost, *stations])
    return used if bool(used[variable].notnull().any()) else observations


def _chosen(dataset: xr.Dataset, variables: str | Sequence[str] | None) -> list[str]:
    """Return the pollutants to be checked."""
    known = [str(name) for name in dataset.data_vars if name in POLLUTANTS]
    chosen = [variables] if isinstance(variables, str) else list(variables or known)
    wrong = [name for name in chosen if name not in known]
    if wrong:
        raise ObservationError(
            f"no such pollutant: {', '.join(wrong)}; there are {', '.join(known)}"
        )
    return chosen or [default_variable(dataset)]


def _bits(
    dataset: xr.Dataset,
    variable: str,
    checks: Sequence[str],
    limits: QualityLimits | None,
    suspect: Sequence[Suspicion] | None = None,
) -> tuple[NDArray[np.int16], list[str]]:
    """Return the bits of a variable, (station, time), and what is wrong with whole stations."""
    values = values_of(dataset, variable)
    missing = np.isnan(values)
    bits = np.where(missing, QC_FLAGS["missing"], 0).astype(np.int16)
    sentences = []
    for one in suspicions(dataset, [variable]) if suspect is None else suspect:
        name = _OF_KIND.get(one.kind, one.kind)
        if name in checks:
            where = np.zeros(values.shape, bool) if one.where is None else one.where
            if one.where is None:
                where[one.stations] = True
            bits[where & ~missing] |= QC_FLAGS[name]
            sentences.append(str(one))
    good = np.where(bits == 0, values, np.nan)
    if "clock_shift" in checks:
        for shift in _clock_shifts(dataset, good):
            name = "clock_shift" if shift.correlation >= _CLOSE else "possible_clock_shift"
            bits[shift.row, ~missing[shift.row]] |= QC_FLAGS[name]
            sentences.append(_clock_sentence(dataset, shift))
    named = [name for name in checks if name in CHECKS]
    for name, wrong in failures(good, dataset, variable, named, limits=limits):
        bits[wrong] |= QC_FLAGS[name]
    for name, wrong in _of_days_and_sizes(dataset, variable, values):
        if name in checks:
            bits[wrong] |= QC_FLAGS[name]
    return bits, sentences


def _clock_shifts(dataset: xr.Dataset, values: Floats) -> list[Shift]:
    """Return the stations that report, and whose clock is wrong."""
    reports = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not reports.size:
        return []
    network = StationNetwork.from_dataset(dataset.isel({STATION: reports}))
    shifts = clock_shifts(values[reports], network, step_hours=step_hours(dataset))
    return [
        Shift(int(reports[one.row]), one.hours, one.correlation, one.unshifted) for one in shifts
    ]


def _clock_sentence(dataset: xr.Dataset, shift: Shift) -> str:
    """Return what is wrong with a clock, and what to do."""
    hours, side = abs(shift.hours), "later" if shift.hours > 0 else "earlier"
    return (
        f"station {dataset[STATION].values[shift.row]} stands about {hours} h {side} than its "
        f"neighbours (correlation {shift.correlation:.2f} when put right, {shift.unshifted:.2f} as "
        "it is). Check its time zone (--time-zone) and label (--time-label)"
    )


def _of_days_and_sizes(
    dataset: xr.Dataset, variable: str, values: Floats
) -> Iterator[tuple[str, Mask]]:
    """Yield values of days with too few, and fine particles above coarse ones."""
    present, step = ~np.isnan(values), step_hours(dataset)
    if step < 24:
        days, day = np.unique(dataset[TIME].values.astype("datetime64[D]"), return_inverse=True)
        starts = np.searchsorted(day, np.arange(days.size))
        count = np.add.reduceat(present, starts, axis=1, dtype=np.int64)
        yield "incomplete_day", present & (count < MINIMUM_CAPTURE * 24 / step)[:, day]
    if variable in ("pm25", "pm10") and {"pm25", "pm10"} <= set(dataset.data_vars):
        fine, coarse = (stored_values(dataset, name) for name in ("pm25", "pm10"))
        yield "pm25_above_pm10", fine > coarse * (1 + _ABOVE_SHARE) + _ABOVE_UG


def _counts(bits: NDArray[np.int16]) -> dict[str, int]:
    """Return how many values fail each check that any fails."""
    counts = {name: int((bits & QC_FLAGS[name] != 0).sum()) for name in FAULTS}
    return {name: count for name, count in counts.items() if count}
