"""What cannot be true of observations: found, named with its remedy, and kept out.

Each suspicion is harmless where it costs values or a station, and these are left out and counted.
What would give wrong numbers without costing anything, such as wrong units, is said aloud.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import ALTITUDES_M, POLLUTANTS, STATION, TIME, counted
from aqreanalysis.observations.checks import Codes, Floats, Mask
from aqreanalysis.observations.checks.codes import missing_codes
from aqreanalysis.observations.checks.copies import copies
from aqreanalysis.observations.checks.positions import misplaced
from aqreanalysis.observations.checks.units import implausible_level, plausible_levels
from aqreanalysis.observations.contract import DIMENSIONS, stored_values
from aqreanalysis.observations.journal import Journal
from aqreanalysis.observations.time_axis import step_hours
from aqreanalysis.observations.variables import METEOROLOGY

Kind = Literal["missing_code", "daily_values", "misplaced", "remote", "altitude", "copy", "units"]
Cost = Literal["values", "station", "altitude", "none"]

#: What is done about a suspicion, as the end of its sentence.
_DONE = {
    "values": "; read as missing",
    "station": "; left out",
    "altitude": "; read as missing",
    "none": "",
}
#: A station with fewer values is not judged too low.
_FEWEST_VALUES = 24
#: Values at one hour of the day alone that are daily means, where they are not all of its days.
_FEWEST_DAYS = 5


@dataclass(frozen=True)
class Suspicion:
    """Something that cannot be true of observations.

    Attributes
    ----------
    kind : {"missing_code", "daily_values", "misplaced", "remote", "altitude", "copy", "units"}
    variable : str or None
        None where it is about positions.
    stations : ndarray of int
        Rows of the stations.
    what, remedy : str
        What was found, with station and count, and what to do.
    cost : {"values", "station", "altitude", "none"}
        What is left out for it: values, whole stations, their altitude, or nothing.
    where : (station, time) bool, optional
        The values.
    """

    kind: Kind
    variable: str | None
    stations: Codes
    what: str
    remedy: str
    cost: Cost = "none"
    where: Mask | None = None

    def __str__(self) -> str:
        """Return what was found and what to do, without what is done."""
        return f"{self.what}{'' if self.what.endswith('?') else '.'} {self.remedy}"


def suspicions(
    dataset: xr.Dataset,
    variables: Sequence[str] | None = None,
    *,
    factors: Mapping[str, float] = MappingProxyType({}),
) -> list[Suspicion]:
    """Return what cannot be true of observations, whoever made them.

    Probable missing codes, daily values among hourly ones, positions at 0, 0 or misread, altitudes
    of no place on land, two stations with the same numbers, and units that make a pollutant
    implausible.

    Parameters
    ----------
    dataset : xarray.Dataset
        Valid observations; their values are read.
    variables : sequence of str, optional
        Those to be judged; all pollutants and meteorology by default.
    factors : mapping, optional
        By which the values of a variable became ug m-3, to say which units they may be in.

    Returns
    -------
    list of Suspicion

    Examples
    --------
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=48, seed=0).observations
    >>> suspicions(obs)
    []
    >>> wrong = obs.assign(pm25=obs.pm25.where(obs.pm25 > 2, -99.0).assign_attrs(obs.pm25.attrs))
    >>> suspicions(wrong)[0].remedy
    'Say so with missing=-99 (--missing -99)'
    """
    suspect = [*_about_positions(dataset), *_about_altitudes(dataset)]
    for name, array in dataset.data_vars.items():
        known = name in POLLUTANTS or name in METEOROLOGY
        chosen = known if variables is None else name in variables
        if chosen and set(array.dims) == set(DIMENSIONS) and array.dtype.kind in "fiu":
            suspect += _about_values(dataset, str(name), factors.get(str(name)))
    return suspect


def sift(dataset: xr.Dataset, *, journal: Journal, strict: bool = False) -> xr.Dataset:
    """Return what was read without what cannot be true; every loss is logged and in the history.

    The journal gets a warning for each suspicion, or, if strict, a fault.

    Raises
    ------
    ObservationError
        If strict, with all suspicions, or if no value of any pollutant is left.
    """
    suspect = suspicions(dataset, factors=journal.factors)
    before = len(journal.decisions)
    for one in suspect:
        if one.kind == "remote":
            journal.decide(str(one))
        elif strict:
            journal.fault(str(one))
        else:
            journal.warn(str(replace(one, what=one.what + _DONE[one.cost])))
    journal.stop_if_faulty()
    if not suspect:
        return dataset
    rest = without(dataset, suspect)
    judged = {one.variable for one in suspect if one.variable and one.cost == "values"}
    empty = sorted(name for name in judged if name in rest and rest[name].isnull().all())
    if empty and set(rest.data_vars) & POLLUTANTS.keys() <= set(empty):
        journal.fault(f"no value of {', '.join(empty)} is left: {'. '.join(map(str, suspect))}")
        journal.stop_if_faulty()
    if empty:
        journal.warn(f"left out, since no value is left: {', '.join(empty)}")
        rest = rest.drop_vars(empty)
    lines = "; ".join(journal.decisions[before:])
    history = f"{dataset.attrs.get('history', '')}; {lines}".strip("; ")
    return rest.assign_attrs({**journal.attributes(), "history": history})


def without(dataset: xr.Dataset, suspect: Sequence[Suspicion]) -> xr.Dataset:
    """Return observations without the values and the stations that suspicions cost."""
    for one in suspect:
        if one.variable is not None and one.where is not None and one.cost == "values":
            array = dataset[one.variable]
            wrong = xr.DataArray(one.where, dims=DIMENSIONS)
            masked = array.where(~wrong).transpose(*array.dims).astype(_floating(array.dtype))
            dataset = dataset.assign({one.variable: masked.assign_attrs(array.attrs)})
        if one.cost == "altitude":
            known = ~np.isin(np.arange(dataset.sizes[STATION]), one.stations)
            altitude = dataset["altitude"].where(xr.DataArray(known, dims=STATION))
            dataset = dataset.assign_coords(altitude=altitude)
    lost = [row for one in suspect if one.cost == "station" for row in one.stations]
    keep = np.setdiff1d(np.arange(dataset.sizes[STATION]), lost)
    return dataset.isel({STATION: keep}) if lost else dataset


def _floating(dtype: np.dtype) -> np.dtype:
    """Return the type that holds values of another type, and missing ones."""
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def _about_positions(dataset: xr.Dataset) -> Iterator[Suspicion]:
    """Yield stations that are probably not where they are said to be."""
    degrees = [np.asarray(dataset[name].values, float) for name in ("longitude", "latitude")]
    for one in misplaced(*degrees):
        kind: Kind = "remote"
        remedy = "If it belongs there, pass region= (--region) for a grid around the others"
        if one.is_certain or " with " in one.reason:
            kind = "misplaced"
            remedy = "Give its position with stations=... (--stations), or leave it out beforehand"
        what = f"station {dataset[STATION].values[one.row]} {one.reason}"
        cost: Cost = "station" if one.is_certain else "none"
        yield Suspicion(kind, None, np.array([one.row]), what, remedy, cost)


def _about_altitudes(dataset: xr.Dataset) -> Iterator[Suspicion]:
    """Yield altitudes of no place on land, such as -999."""
    if "altitude" not in dataset.coords:
        return
    altitude, (lowest, highest) = dataset["altitude"].values, ALTITUDES_M
    wrong = np.flatnonzero((altitude < lowest) | (altitude > highest))
    if wrong.size:
        what = (
            f"the altitude of station {dataset[STATION].values[wrong[0]]} "
            f"({wrong.size} such station{'s' * (wrong.size > 1)}) is {altitude[wrong[0]]:g} m, of "
            "no place on land"
        )
        remedy = "State it with stations=... (--stations), in m, or leave it empty"
        yield Suspicion("altitude", None, wrong, what, remedy, "altitude")


def _about_values(dataset: xr.Dataset, variable: str, factor: float | None) -> Iterator[Suspicion]:
    """Yield what cannot be true of the values of a variable."""
    values = stored_values(dataset, variable)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    for code in missing_codes(values, variable):
        verb = "are" if code.where.sum() > 1 else "is"
        what = f"{verb} exactly {code.value:.6g} and {code.why}: probably a missing code"
        remedy = f"Say so with missing={code.written} (--missing {code.written})"
        yield _of_values("missing_code", dataset, variable, code.where, what, remedy)
        values = np.where(code.where, np.nan, values)
    daily = _daily_values(dataset, values)
    if daily.any():
        what = (
            "stand at one hour of the day alone, among stations that report every hour: probably "
            "daily means"
        )
        remedy = "Give daily and hourly values in files of their own"
        yield _of_values("daily_values", dataset, variable, daily, what, remedy)
        values = np.where(daily, np.nan, values)
    if variable in POLLUTANTS:
        yield from _about_units(dataset, variable, values, factor)
        yield from _about_copies(dataset, variable, values)


def _daily_values(dataset: xr.Dataset, values: Floats) -> Mask:
    """Return the values of stations that report at one hour of the day, where others do at many."""
    nothing = np.zeros(values.shape, dtype=bool)
    hours, step = dataset[TIME].dt.hour.values, step_hours(dataset)
    days = int(np.unique(dataset[TIME].values.astype("datetime64[D]")).size)
    if step > 3 or days < 2:
        return nothing
    present = ~np.isnan(values)
    reports = np.stack([present[:, hours == hour].any(axis=1) for hour in range(24)])
    often = reports.sum(axis=0)
    count = present.sum(axis=1)
    single = (often == 1) & (count >= 2)
    single &= (count >= _FEWEST_DAYS) | (count >= 0.75 * days)
    return present & single[:, None] if (often >= 12 / step).any() else nothing


def hint_of_daily(stamps: NDArray[np.datetime64]) -> str:
    """Return the hint that conflicting values of some hours are daily ones, or "".

    Examples
    --------
    >>> hint_of_daily(np.array(["2015-01-01T00", "2015-01-02T00"], "datetime64[ns]"))
    '; all stand at 00:00 UTC: daily values among hourly ones? Leave the rows of one of them out'
    """
    hours = np.unique(stamps.astype("datetime64[m]").astype(np.int64) % 1440)
    if hours.size != 1 or np.unique(stamps).size < 2:
        return ""
    clock = f"{hours[0] // 60:02d}:{hours[0] % 60:02d}"
    return (
        f"; all stand at {clock} UTC: daily values among hourly ones? Leave the rows of one of "
        "them out"
    )


def _about_units(
    dataset: xr.Dataset, variable: str, values: Floats, factor: float | None
) -> Iterator[Suspicion]:
    """Yield units that make a pollutant implausible, of all stations or of some."""
    names = dataset[STATION].values
    rows = np.flatnonzero(~np.isnan(values).all(axis=1))
    reason = implausible_level(values, variable, factor)
    if reason:
        where = f"{counted(rows.size, 'station')}, such as {names[rows[0]]},"
    else:
        few = np.count_nonzero(values > 0, axis=1) < _FEWEST_VALUES
        reasons = {
            row: text
            for row in rows[~plausible_levels(values[rows], variable)]
            if (text := implausible_level(values[row], variable, factor))
            and not (few[row] and text.startswith("too low"))
        }
        if not reasons:
            return
        rows = np.array(list(reasons))
        reason = reasons[rows[0]]
        where = f"station {names[rows[0]]} ({rows.size} such stations)"
    yield Suspicion(
        "units",
        variable,
        rows,
        f"the values of {variable} at {where} are {reason}",
        _units_remedy(variable, reason),
    )


def _units_remedy(variable: str, reason: str) -> str:
    """Return how to state the units, the first that fit as the example, if any does."""
    units = reason.partition("were they in ")[2].rstrip("?").partition(" or ")[0]
    if not units:
        return f"Check its values and units; units={{'{variable}': ...}} (--units) states these"
    return f"State them with units={{'{variable}': '{units}'}} (--units {variable}={units})"


def _about_copies(dataset: xr.Dataset, variable: str, values: Floats) -> Iterator[Suspicion]:
    """Yield pairs of stations with the same numbers."""
    names, step = dataset[STATION].values, step_hours(dataset)
    for copy in copies(values):
        one, other = names[copy.first], names[copy.second]
        lag = f", {abs(copy.lag) * step:g} h {'later' if copy.lag > 0 else 'earlier'}"
        remedy = "a label of the hour or a time zone differs, or one is the other under two names"
        yield Suspicion(
            "copy",
            variable,
            np.array([copy.first, copy.second]),
            f"stations {one} and {other} hold the same numbers of {variable}: {other} has "
            f"{copy.equal} of {copy.common} values of {one}{lag if copy.lag else ''}",
            f"Leave one of them out{f': {remedy}' if copy.lag else ''}",
        )


def _of_values(
    kind: Kind, dataset: xr.Dataset, variable: str, where: Mask, what: str, remedy: str
) -> Suspicion:
    """Return what is wrong with some values: how many at how many stations, the first of them."""
    row, hour = (int(at) for at in np.argwhere(where)[0])
    stamp = np.datetime_as_string(dataset[TIME].values[hour], unit="m")
    count, rows = int(where.sum()), np.flatnonzero(where.any(axis=1))
    numbers = (
        f"{counted(count, 'value')} (at {counted(rows.size, 'station')}; for "
        f"example station {dataset[STATION].values[row]}, {stamp} UTC) of {variable}"
    )
    return Suspicion(kind, variable, rows, f"{numbers} {what}", remedy, "values", where)
