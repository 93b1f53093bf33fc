"""`combine`: networks joined into one; conflicting values are resolved by rule and logged."""

import logging
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.network import MOVED_KM
from aqreanalysis.observations.checks.positions import length_m, wrapped
from aqreanalysis.observations.contract import validate
from aqreanalysis.observations.journal import ObservationError, dated, logger
from aqreanalysis.observations.time_axis import step_hours
from aqreanalysis.observations.variables import listed

Conflicts = Literal["first", "last", "mean", "error"]

#: Values of one station and hour that differ by less than this share are the same.
_SAME = 1e-4


def combine(*networks: xr.Dataset, conflicts: Conflicts = "first") -> xr.Dataset:
    """Return several networks, or parts of one, as one Dataset.

    Stations of one identifier are one, if they are within 100 m; hours and variables are those
    of any network. Where two networks have different values of one station and hour, the rule
    decides; the log and ``history`` count the conflicts.

    Parameters
    ----------
    *networks : xarray.Dataset
        Valid observations ``(station, time)`` of one step and one time label.
    conflicts : {"first", "last", "mean", "error"}
        Which of different values is taken: of the first network that has one, of the last, or
        the mean of all; or it is an error.

    Returns
    -------
    xarray.Dataset
        Stations in the order of their identifiers; attributes of the first network.

    Raises
    ------
    ObservationError
        If steps, labels, units or positions of a station differ, or values do and that is asked
        to be an error.

    Examples
    --------
    >>> from aqreanalysis.datasets import synthetic_network
    >>> whole = synthetic_network(hours=48, seed=0).observations
    >>> parts = whole.isel(time=slice(24)), whole.isel(time=slice(24, None))
    >>> bool(combine(*parts).equals(whole))
    True
    """
    if conflicts not in get_args(Conflicts):
        words = ", ".join(map(repr, get_args(Conflicts)))
        raise ObservationError(f"conflicts must be one of {words}; found {conflicts!r}")
    if not networks:
        raise ObservationError("combine needs at least one Dataset")
    for network in networks:
        validate(network)
    _check_axes(networks)
    stations = np.unique(np.concatenate([n[STATION].values.astype(str) for n in networks]))
    times = _common_axis(networks)
    places, moved = _places(networks, stations)
    if moved:
        raise ObservationError(
            f"stations {listed(moved)} stand at other places in another network, 100 m and more "
            "apart: rename them first with assign_coords(station=...)",
            source="combine",
        )
    said = [f"combined {len(networks)} networks of {listed(n.sizes[STATION] for n in networks)} "
            f"stations to {len(stations)}"]  # fmt: skip
    variables = {}
    names = dict.fromkeys(str(name) for network in networks for name in network.data_vars)
    for name in names:
        of_both = [n for n in networks if name in n and set(n[name].dims) == {STATION, TIME}]
        if not of_both:
            continue
        kind = np.result_type(*(n[name].dtype for n in of_both), np.float32)
        shape = stations.size, times.size
        values, _, differ = joined(
            _parts_of(name, of_both, stations, times), shape, kind, conflicts
        )
        if differ.any():
            words = conflict_words(name, differ, stations, times)
            if conflicts == "error":
                raise ObservationError(f"{words}; conflicts='first' takes one", source="combine")
            said.append(f"{words}; the {conflicts} is taken")
        variables[name] = ((STATION, TIME), values, of_both[0][name].attrs)
    dataset = xr.Dataset(variables, {STATION: stations, TIME: times, **places})
    for coordinate in dataset.coords:
        if coordinate in networks[0].coords:
            dataset[coordinate].attrs = dict(networks[0][coordinate].attrs)
    earlier = [n.attrs["history"] for n in networks if "history" in n.attrs]
    sources = dict.fromkeys(str(n.attrs["source"]) for n in networks if "source" in n.attrs)
    dataset.attrs = {**networks[0].attrs, "history": "\n".join([*earlier, dated("; ".join(said))])}
    if sources:
        dataset.attrs["source"] = "; ".join(sources)
    for sentence in said:
        logger.log(logging.INFO, "combine: %s", sentence)
    return dataset


def _check_axes(networks: tuple[xr.Dataset, ...]) -> None:
    """Refuse networks whose stamps do not mean the same, or whose units differ."""
    faults = []
    for words, values in (
        ("steps", [f"{step_hours(n):g} h" for n in networks]),
        ("time labels", [str(n[TIME].attrs.get("time_label")) for n in networks]),
    ):
        if len(set(values)) > 1:
            faults.append(
                f"{words} differ: {listed(values)}. Read them with the same options, such as "
                "resample='1h'"
            )
    for name in dict.fromkeys(str(v) for n in networks for v in n.data_vars):
        units = {n[name].attrs.get("units") for n in networks if name in n}
        if len(units) > 1:
            faults.append(f"units of {name} differ: {listed(sorted(map(str, units)))}")
        methods = {n[name].attrs.get("cell_methods", "time: mean") for n in networks if name in n}
        if len(methods) > 1:
            faults.append(f"{name} is {' here and '.join(sorted(methods))} there")
    if faults:
        raise ObservationError(faults, source="combine")


def _common_axis(networks: tuple[xr.Dataset, ...]) -> NDArray[np.datetime64]:
    """Return the regular axis of all networks; refuse stamps that do not fit on one."""
    stamps = np.unique(np.concatenate([n[TIME].values.astype("datetime64[ns]") for n in networks]))
    step = np.timedelta64(round(step_hours(networks[0]) * 3.6e12), "ns")
    odd = (stamps - stamps[0]) % step != np.timedelta64(0, "ns")
    if odd.any():
        raise ObservationError(
            f"stamps of the networks lie between each other, such as {stamps[0]} and "
            f"{stamps[odd][0]} UTC. Read them with resample='1h'",
            source="combine",
        )
    return np.asarray(np.arange(stamps[0], stamps[-1] + step, step))


def _places(
    networks: tuple[xr.Dataset, ...], stations: NDArray[np.str_]
) -> tuple[dict[str, tuple[str, NDArray]], list[str]]:
    """Return the coordinates of the stations, of the first network that has them, and the moved."""
    names = [
        str(name)
        for name in dict.fromkeys(c for n in networks for c in n.coords)
        if name != STATION and all(name not in n.coords or n[name].dims == (STATION,)
                                   for n in networks)
    ]  # fmt: skip
    places: dict[str, pd.Series] = {}
    moved: set[str] = set()
    for network in networks:
        index = pd.Index(network[STATION].values.astype(str))
        if "longitude" in places:
            common = index.intersection(places["longitude"].dropna().index)
            own = {
                n: pd.Series(network[n].values, index)[common] for n in ("longitude", "latitude")
            }
            apart = length_m(
                wrapped((own["longitude"] - places["longitude"][common]).to_numpy(float)),
                (own["latitude"] - places["latitude"][common]).to_numpy(float),
                own["latitude"].to_numpy(float),
            )
            moved |= set(common[apart >= 1000 * MOVED_KM])
        for name in names:
            if name in network.coords:
                series = pd.Series(network[name].values, index)
                places[name] = places[name].combine_first(series) if name in places else series
    ordered = {name: series.reindex(stations) for name, series in places.items()}
    return {name: (STATION, _column(series)) for name, series in ordered.items()}, sorted(moved)


def _column(series: pd.Series) -> NDArray:
    """Return a coordinate, of text as text."""
    if series.dtype.kind in "fiu":
        return series.to_numpy()
    return series.fillna("").astype(str).to_numpy(dtype=str)


def conflict_words(
    name: str, differ: NDArray[np.bool_], stations: NDArray[np.str_], times: NDArray
) -> str:
    """Return how many different values there are of one station and hour, with the first."""
    row, column = np.argwhere(differ)[0]
    stamp = np.datetime_as_string(times[column], unit="m")
    return (
        f"{int(differ.sum())} station-hours have different values of {name}, such as station "
        f"{stations[row]}, {stamp} UTC"
    )


class Joined(NamedTuple):
    """Values of several networks as one, (station, time), and where they are several.

    ``number`` is how many networks have one, ``differ`` where these are not the same.
    """

    values: NDArray
    number: NDArray[np.int16]
    differ: NDArray[np.bool_]


def joined(
    parts: Iterable[tuple[NDArray[np.intp], NDArray[np.intp], NDArray]],
    shape: tuple[int, int],
    kind: np.dtype,
    conflicts: Conflicts,
) -> Joined:
    """Return the values of parts (rows, columns, values) on common stations and hours, by a rule.

    Examples
    --------
    >>> one, other = np.array([[1.0, 2.0]]), np.array([[2.5, 3.0]])
    >>> here, hours = np.array([0]), np.arange(2)
    >>> parts = [(here, hours, one), (here, hours + 1, other)]
    >>> joined(parts, (1, 3), np.dtype(float), "mean").values
    array([[1.  , 2.25, 3.  ]])
    """
    values = np.full(shape, np.nan, kind)
    total = np.zeros(shape) if conflicts == "mean" else None
    count = np.zeros(shape, np.int16)
    differ = np.zeros(shape, bool)
    for rows, columns, new in parts:
        at = np.ix_(rows, columns)
        old, has = values[at], ~np.isnan(new)
        both = has & ~np.isnan(old)
        differ[at] |= both & (np.abs(new - old) > _SAME * np.maximum(np.abs(old), 1.0))
        take = has if conflicts == "last" else has & ~both
        values[at] = np.where(take, new, old)
        count[at] += has
        if total is not None:
            total[at] += np.where(has, new, 0.0)
    if total is not None:
        values = np.where(differ, total / np.maximum(count, 1), values).astype(kind)
    return Joined(values, count, differ)


def _parts_of(
    name: str, networks: list[xr.Dataset], stations: NDArray[np.str_], times: NDArray
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray]]:
    """Yield the values of a variable in each network, and where they stand among all."""
    for network in networks:
        rows = np.searchsorted(stations, network[STATION].values.astype(str))
        columns = np.searchsorted(times, network[TIME].values.astype("datetime64[ns]"))
        yield rows, columns, network[name].transpose(STATION, TIME).values
