"""Hourly operation: the newest hours are added to a store, and the last ones revised."""

import logging
import os
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xarray as xr
from filelock import FileLock

from aqreanalysis.atomic import clean, explained
from aqreanalysis.conventions import TIME
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.foreign.files import Source
from aqreanalysis.foreign.polygons import PolygonSource
from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import Quality
from aqreanalysis.operation.calendar_files import Per, folder_of_files, write_periods
from aqreanalysis.operation.damage import check_undamaged
from aqreanalysis.operation.health import ALARM, health
from aqreanalysis.operation.journal import Journal
from aqreanalysis.operation.measurements import taken, up_to
from aqreanalysis.operation.models import Refit, check_same, current_model
from aqreanalysis.operation.periods import Duration, Periods, hours_of
from aqreanalysis.operation.request import in_words, request_of, target_of_store
from aqreanalysis.operation.result import UpdateResult
from aqreanalysis.operation.run import Run
from aqreanalysis.operation.state import lock_of
from aqreanalysis.predictive import Statistic, check_quantiles, check_statistic
from aqreanalysis.product import ProductError, check_store, checked_metadata
from aqreanalysis.product.resuming import lock_or_refuse
from aqreanalysis.product.rounding import check_digits
from aqreanalysis.product.targets import Region, Resolution, target_of
from aqreanalysis.product.zarr_store import check_zarr

logger = logging.getLogger(__name__)


def update(
    store: str | os.PathLike[str],
    observations: xr.Dataset,
    *,
    model: str | os.PathLike[str] | Reanalyser,
    grid: Grid | Resolution | None = None,
    region: Region | None = None,
    at: xr.Dataset | None = None,
    crs: str | None = None,
    like: Source | None = None,
    clip: PolygonSource | None = None,
    land: bool = False,
    statistic: Statistic | None = None,
    quantiles: Sequence[float] | None = None,
    quality: Quality | None = None,
    background: BackgroundField | None = None,
    last: Duration | None = None,
    retention: Duration | None = None,
    refit: Refit = "never",
    new_model: bool = False,
    stale: Duration | None = None,
    health_over: Duration | None = None,
    alarm: float = ALARM,
    netcdf: str | os.PathLike[str] | None = None,
    per: Per = "day",
    significant_digits: int | None = 3,
    creator: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    now: datetime | None = None,
    progress: bool = False,
) -> UpdateResult:
    """Add the newest hours to a Zarr store, and revise the last ones as measurements arrive.

    The first call makes the store. Hours belong to blocks, the windows of the method; a block
    depends on the measurements of its own hours and of those around it, as far as the method
    reaches (`aqreanalysis.Reanalyser.reach`), and on none else. It is estimated again when these
    have changed, up to ``last`` before the end of the store. Values are then those of one
    `aqreanalysis.reanalysis.reanalyse` of the same measurements by the same model; quality control
    judges them by the hours that are handed over, network and flags by the stations that report.

    Nothing changes when nothing is new. The next version of the store is written beside it and
    takes its place in one step; a run that is killed leaves the earlier version, and the next run
    does what is missing.

    Parameters
    ----------
    store : path
        Zarr store; made if there is none.
    observations : Dataset
        ``(station, time)``: at least of the window of revision and as many hours before as the
        method reaches. Quality control sees two weeks more where they are given.
    model : path or Reanalyser
        A saved model, or a fitted one. With ``refit="monthly"`` a path, at which there need not be
        a model yet.
    grid, region, at, crs, like, clip, land
        Where to estimate, as of `aqreanalysis.reanalysis.reanalyse`. They count in the first call;
        in later ones they are the same, or left out.
    statistic, quantiles, quality
        As of `aqreanalysis.reanalysis.reanalyse`, and of the store, as where to estimate.
    background : DataArray, Dataset or sequence of these, optional
        The fields that the model learned with. Their changes alone revise nothing.
    last : str or hours, optional
        How much is revised: "54h", "5d". By default the method's reach and two days, so that what
        comes up to two days late counts fully. A new store begins with these hours alone if it is
        given, and with all otherwise.
    retention : str or hours, optional
        How much the store holds: "400d"; what is older is removed, by whole chunks, whenever it is
        a tenth of this. By default all.
    refit : {"never", "monthly"}
        Whether the model is fitted to the observations, and replaced, when the end of what it
        learned is 30 days old.
    new_model : bool
        Whether another model may go on with the store: it estimates the window of revision too.
    stale : str or hours, optional
        Age of the newest hour with a report from which on the result says "no report".
    health_over : str or hours, optional
        Over how many of the last hours the model is scored at stations left out: "3d".
    alarm : float
        Share of measurements within their 90 % intervals below which the result is an alarm.
    netcdf : path, optional
        Folder of a NetCDF file for each day or month, each written anew when its hours change.
    per : {"day", "month"}
        Of UTC.
    significant_digits : int or None
        Of floating-point layers, as of `aqreanalysis.product.write_netcdf`; of the first call.
    creator, metadata
        As of `aqreanalysis.reanalysis.reanalyse`.
    now : datetime, optional
        Hours that are later are left out; by default this machine's clock.
    progress : bool
        Whether a progress bar is shown.

    Returns
    -------
    UpdateResult

    Raises
    ------
    LockedError
        If another run is updating the store.
    ProductError
        If the store was not made by `update`, is of another variable, grid, time label or model,
        or cannot be written.
    ObservationError
        If the observations are not valid.
    ValueError
        If an argument is wrong, or the measurements begin long after the end of the store.

    Examples
    --------
    >>> import tempfile
    >>> import aqreanalysis as aqr
    >>> obs = aqr.synthetic_network(hours=60, seed=1).observations
    >>> quick = aqr.Schedule(covariance_updates=2, updates=0)
    >>> model = aqr.Reanalyser(schedule=quick, progress=False).fit(obs, "pm25")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Path(folder, "pm25.zarr")
    ...     first = update(store, obs.isel(time=slice(59)), model=model, grid=0.5)
    ...     second = update(store, obs, model=model)
    ...     third = update(store, obs, model=model)
    >>> first.added, second.added, third.state
    (59, 1, 'nothing new')
    """
    begun = clock.perf_counter()
    target = Path(os.path.realpath(store))
    where: dict[str, Any] = {
        "grid": grid,
        "region": region,
        "at": at,
        "crs": crs,
        "like": like,
        "clip": clip,
        "land": land,
    }
    asked = _checked(statistic=statistic, quantiles=quantiles, quality=quality, **where)
    given = {"creator_name": creator} if creator else {}
    check_digits(significant_digits)
    stated = checked_metadata(given | dict(metadata or {}))
    if per not in ("day", "month"):
        raise ValueError(f"per must be day or month; found {per!r}")
    if not 0 <= alarm <= 1:
        raise ValueError(f"alarm is a share, from 0 to 1; found {alarm}")
    spans = {"last": last, "retention": retention, "stale": stale, "health_over": health_over}
    hours = {name: hours_of(name, span) for name, span in spans.items()}
    check_zarr()
    check_store(target, overwrite=True)
    folder = None if netcdf is None else folder_of_files(netcdf, target)
    with _locked(target):
        clean(target)
        journal = Journal.read(target) if target.exists() else None
        if journal is not None:
            check_undamaged(target, journal)
        attributes = observations.attrs
        observations = up_to(observations, now)
        current = current_model(
            model,
            observations,
            refit=refit,
            quality=request_of(target, journal, asked, {})["quality"],
            background=background,
            progress=progress,
        )
        check_same(target, journal, current, may_change=new_model or refit == "monthly")
        facts = _facts(observations, current.model)
        request = request_of(target, journal, asked, facts)
        if journal is None:
            request["significant_digits"] = significant_digits
        periods = Periods.of(observations, current.model, journal, hours["last"])
        measurements = taken(
            observations, current.model, first=periods.read_from, quality=request["quality"]
        )
        if journal is not None:
            place = target_of_store(target)
        else:
            place = target_of(StationNetwork.from_dataset(measurements.used), **where)
        run = Run(target, journal, current, request, periods, measurements, place, background)
        result = run.written(hours["retention"], stated, progress=progress)
        age = measurements.newest_report(now)
        is_stale = hours["stale"] is not None and (age is None or age > hours["stale"])
        result = replace(result, age_hours=age, is_stale=is_stale)
        if folder is not None:
            size = current.model.reach.window_steps
            files = write_periods(
                target,
                folder,
                per=per,
                block_hours=size,
                since=measurements.label((periods.window // size - 2) * size),
                significant_digits=request["significant_digits"],
            )
            result = replace(result, netcdf=tuple(files))
        if hours["health_over"]:
            steps = max(1, round(hours["health_over"] / periods.step_hours))
            scores = health(
                current.model, measurements.used, steps, background=run.background, alarm=alarm
            )
            result = replace(result, health=scores)
    result = replace(
        result,
        repeated_rows=int(attributes.get("repeated_rows", 0)),
        contradicting_values=int(attributes.get("contradicting_values", 0)),
        reading_warnings=tuple(str(attributes.get("reading_warnings", "")).splitlines()),
        seconds=round(clock.perf_counter() - begun, 3),
        finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    logger.info("%s", result)
    return result


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let no other run update a store meanwhile; the file of the lock stays beside it."""
    lock = FileLock(lock_of(target), thread_local=False)
    try:
        with explained(target, ProductError):
            lock_or_refuse(lock, target)
        yield
    finally:
        lock.release()


def _checked(**asked: Any) -> dict[str, Any]:
    """Return what is asked for in words, once its statistic and quantiles are known to exist."""
    if asked["statistic"] is not None:
        check_statistic(asked["statistic"])
    check_quantiles(asked["quantiles"] or ())
    return in_words(asked)


def _facts(observations: xr.Dataset, model: Reanalyser) -> dict[str, Any]:
    """Return what must be the same in every run: the variable, and the axis of time."""
    model.state_for(observations)  # refuses another step
    axis, _ = clock_of(observations)
    return {
        "variable": model.variable,
        "step_hours": axis.step_hours,
        "time_label": str(observations[TIME].attrs.get("time_label", "")),
        "origin_hours": round(axis.origin_hours, 6),
    }
