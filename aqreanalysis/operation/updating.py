"""Hourly operation: the newest hours are added to a store, and the last ones revised."""

import logging
import os
import re
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from filelock import FileLock

from aqreanalysis.atomic import clean, explained, shown_name
from aqreanalysis.conventions import PRODUCT_FLAGS, TIME
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.foreign.files import Source
from aqreanalysis.foreign.polygons import PolygonSource
from aqreanalysis.geography import attributes, learned_names
from aqreanalysis.grid import Grid
from aqreanalysis.methods import predict
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.persistence import persistence
from aqreanalysis.network import StationNetwork
from aqreanalysis.observations import Quality, step_hours
from aqreanalysis.operation.calendar_files import Per, folder_of_files, write_periods
from aqreanalysis.operation.health import ALARM, health
from aqreanalysis.operation.journal import Journal
from aqreanalysis.operation.measurements import JUDGED_HOURS, Measurements, taken, up_to
from aqreanalysis.operation.models import CurrentModel, Refit, check_same, current_model
from aqreanalysis.operation.plan import Plan, Work, plan, too_late
from aqreanalysis.operation.request import in_words, request_of, target_of_store
from aqreanalysis.operation.result import UpdateResult
from aqreanalysis.operation.versions import chunks_of, lazy_like, write_version
from aqreanalysis.predictive import Statistic, check_quantiles, check_statistic
from aqreanalysis.product import (
    ProductError,
    build_product,
    check_store,
    checked_metadata,
    open_product,
)
from aqreanalysis.product.resuming import lock_or_refuse
from aqreanalysis.product.rounding import check_digits
from aqreanalysis.product.targets import Region, Resolution, Target, target_of
from aqreanalysis.product.zarr_store import check_zarr
from aqreanalysis.reanalysis import MEANS_HOURS

logger = logging.getLogger(__name__)

#: Hours, or a text such as 54h, 5d or 2w.
Duration = str | float
#: Hours by which measurements may be late and count fully, by default.
LATE_HOURS = 48.0
#: Hours between a store and newer measurements beyond which something is wrong.
LONGEST_GAP_HOURS = 31 * 24.0
#: Share by which a store outgrows its retention before what is older is removed.
RETENTION_SHARE = 0.1
#: Stations without which nothing is estimated.
FEWEST_STATIONS = 2
#: Attributes that say how errors are correlated in time.
_LASTING = ("error_time_scales_h", "error_shares")


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
    `aqreanalysis.reanalysis.reanalyse` of the same measurements by the same model.

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
    asked = _checked(
        statistic=statistic,
        quantiles=quantiles,
        quality=quality,
        grid=grid,
        region=region,
        at=at,
        crs=crs,
        like=like,
        clip=clip,
        land=land,
    )
    given = {"creator_name": creator} if creator else {}
    check_digits(significant_digits)
    stated = checked_metadata(given | dict(metadata or {}))
    if per not in ("day", "month"):
        raise ValueError(f"per must be day or month; found {per!r}")
    if not 0 <= alarm <= 1:
        raise ValueError(f"alarm is a share, from 0 to 1; found {alarm}")
    spans = {"last": last, "retention": retention, "stale": stale, "health_over": health_over}
    hours = {name: _hours(name, span) for name, span in spans.items()}
    check_zarr()
    check_store(target, overwrite=True)
    folder = None if netcdf is None else folder_of_files(netcdf)
    with _locked(target):
        clean(target)
        journal = Journal.read(target) if target.exists() else None
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
        periods = _Periods.of(observations, current.model, journal, hours["last"])
        measurements = taken(
            observations, current.model, first=periods.read_from, quality=request["quality"]
        )
        if journal is not None:
            place = target_of_store(target)
        else:
            place = target_of(
                StationNetwork.from_dataset(measurements.used),
                grid=grid,
                region=region,
                at=at,
                crs=crs,
                like=like,
                clip=clip,
                land=land,
            )
        run = _Run(target, journal, current, request, periods, measurements, place, background)
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
        seconds=round(clock.perf_counter() - begun, 3),
        finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    logger.info("%s", result)
    return result


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Let no other run update a store meanwhile; the file of the lock stays beside it."""
    lock = FileLock(target.with_name(f".{shown_name(target)}.lock"), thread_local=False)
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


def _hours(name: str, span: Duration | None) -> float | None:
    """Return a duration in hours."""
    if span is None:
        return None
    if isinstance(span, int | float):
        hours = float(span)
    else:
        parts = re.fullmatch(r"\s*([\d.]+)\s*([hdw])\s*", str(span))
        if parts is None:
            raise ValueError(f"{name} is a duration such as 54h, 5d or 2w; found {span!r}")
        hours = float(parts[1]) * {"h": 1, "d": 24, "w": 168}[parts[2]]
    if not 0 < hours < np.inf:
        raise ValueError(f"{name} must be positive; found {span!r}")
    return hours


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


@dataclass(frozen=True)
class _Periods:
    """Hours of a run, as numbers of steps since 1970.

    Attributes
    ----------
    start : int
        First hour of the store, if it is new.
    stop : int
        Hour after the last one that is measured.
    window : int
        First hour that may be revised.
    read_from : int or None
        First hour that is read; None for all.
    step_hours : float
    """

    start: int
    stop: int
    window: int
    read_from: int | None
    step_hours: float

    @classmethod
    def of(
        cls,
        observations: xr.Dataset,
        model: Reanalyser,
        journal: Journal | None,
        last_hours: float | None,
    ) -> "_Periods":
        """Return the hours of a run over all that is given.

        Raises
        ------
        ValueError
            If the window of revision is shorter than the method's reach, or too much is missing
            between the store and the measurements.
        """
        step = step_hours(observations)
        size, around = model.reach
        _, begin = clock_of(observations)
        stop = begin + observations.sizes[TIME]
        revised = around + round(LATE_HOURS / step)
        if last_hours is not None:
            revised = round(last_hours / step)
            if revised < around:
                raise ValueError(
                    f"a measurement counts up to {around * step:g} h before and after it, so that "
                    f"much is revised at least; last is {last_hours:g} h"
                )
        if journal is None:
            start = begin if last_hours is None else max(begin, stop - revised)
            window = start
        else:
            start, window = journal.first, min(stop, journal.stop) - revised
            gap = (begin - journal.stop) * step
            if gap > LONGEST_GAP_HOURS:
                raise ValueError(
                    f"the measurements begin {gap / 24:.0f} days after the end of the store. Hand "
                    "over those in between, or begin another store"
                )
        read_from = window // size * size - around - round(JUDGED_HOURS / step)
        everything = journal is None and last_hours is None
        return cls(start, stop, window, None if everything else read_from, step)


class _Run:
    """One run: from what is measured to the next version of the store."""

    def __init__(
        self,
        target: Path,
        journal: Journal | None,
        current: CurrentModel,
        request: dict[str, Any],
        periods: _Periods,
        measurements: Measurements,
        place: Target,
        background: BackgroundField | None,
    ) -> None:
        self.target, self.journal, self.request = target, journal, request
        self.model, self.digest = current.model, current.digest
        self.refitted, self.periods, self.place = current.refitted, periods, place
        self.measurements = measurements
        names = learned_names(self.model.settings)
        self.known = attributes(names or None, measurements.used, place.at, background=background)
        self.background = self.known.background

    def written(
        self, retention_hours: float | None, stated: dict[str, str], *, progress: bool
    ) -> UpdateResult:
        """Estimate what is new or has changed, publish it, and return what was done."""
        journal, periods = self.journal, self.periods
        variable = self.model.variable
        size, around = self.model.reach
        result = UpdateResult(
            self.target,
            created=journal is None,
            reach_hours=around * periods.step_hours,
            window_from=_shown(self.measurements.label(periods.window)),
            model=self.digest,
            refitted=self.refitted,
        )
        if journal is not None and periods.stop < journal.stop:
            logger.warning(
                "the measurements end at %s, before the end of the store: nothing is done. Check "
                "what is handed over",
                _shown(self.measurements.label(periods.stop - 1)),
            )
            end = _shown(self.measurements.label(journal.stop - 1))
            return replace(result, last=end, reporting=None)
        rest, dropped = self._retained(retention_hours)
        todo = plan(
            rest,
            self.measurements.measured,
            start=periods.start,
            window=periods.window,
            reach=self.model.reach,
            model=self.digest,
        )
        late = 0
        if rest is not None:
            oldest = periods.window // size * size
            late = too_late(rest, self.measurements.given, oldest, around).size
        last = periods.stop - 1
        before = periods.start if journal is None else journal.stop
        again = [work for work in todo.work if work.start < before]
        result = replace(
            result,
            added=periods.stop - before,
            revised=sum(min(work.stop, before) - work.start for work in again),
            revised_from=_shown(self.measurements.label(again[0].start)) if again else "",
            last=_shown(self.measurements.label(last)),
            reporting=int(self.measurements.reports(last, last + 1, variable).sum()),
            silent=sum(
                not self.measurements.reports(hour, hour + 1, variable).any()
                for hour in range(before, periods.stop)
            ),
            too_late=int(late),
            incomplete=todo.incomplete,
            dropped=dropped,
        )
        if todo.work or dropped:
            self._publish(rest, dropped, todo, stated, progress=progress)
        return result

    def _retained(self, retention_hours: float | None) -> tuple[Journal | None, int]:
        """Return the journal without the hours that retention removes, and how many these are."""
        journal, periods = self.journal, self.periods
        if journal is None or retention_hours is None:
            return journal, 0
        most = round(retention_hours / periods.step_hours)
        if most < periods.stop - periods.window:
            raise ValueError(
                f"retention of {retention_hours:g} h is shorter than the window of revision, "
                f"{(periods.stop - periods.window) * periods.step_hours:g} h: hold more"
            )
        chunk = chunks_of(self.target, self.model.variable)[TIME]
        beyond = min(periods.stop - most - journal.first, journal.hours.size)
        # Seldom, since chunks get other numbers: a reader that has the store open mistakes them.
        dropped = beyond // chunk * chunk if beyond >= most * RETENTION_SHARE else 0
        first = journal.first + dropped
        size = self.model.reach.window_steps
        blocks = {n: made for n, made in journal.blocks.items() if (n + 1) * size > first}
        return replace(journal, first=first, hours=journal.hours[dropped:], blocks=blocks), dropped

    def _publish(
        self,
        rest: Journal | None,
        dropped: int,
        todo: Plan,
        stated: dict[str, str],
        *,
        progress: bool,
    ) -> None:
        """Write the next version of the store."""
        first = self.periods.start if rest is None else rest.first
        sample = self._sample(todo)
        chunks = self._chunks(sample)
        template = self._template(sample, first, stated)
        journal = self._next_journal(rest, first, todo, str(template.attrs["history"]), stated)
        template = template.assign_attrs(history=self._history(journal))
        spans = [slice(work.start - first, work.stop - first) for work in todo.work]
        write_version(
            self.target,
            template,
            zip(spans, self._estimates(todo, progress), strict=True),
            spans=spans,
            chunks=chunks,
            dropped=dropped,
            journal=journal,
            significant_digits=self.request["significant_digits"],
        )

    def _estimates(self, todo: Plan, progress: bool) -> Iterator[xr.Dataset]:
        """Yield the layers of the hours of each part of the work."""
        from tqdm import tqdm

        total = sum(work.hours for work in todo.work)
        with tqdm(
            total=total, desc=f"updating {self.target.name}", unit="h", disable=not progress
        ) as bar:
            for several in self._alike(todo.work):
                field = self._field(several)
                field = field[[name for name, layer in field.items() if TIME in layer.dims]]
                for work in several:
                    hours = slice(work.start - several[0].start, work.stop - several[0].start)
                    part = field.isel({TIME: hours})
                    yield part.assign(self.place.masked(part)).compute()
                    bar.update(work.hours)

    def _alike(self, work: Sequence[Work]) -> Iterator[list[Work]]:
        """Yield parts of the work that follow each other and have the same stations.

        A field knows the geometry of its targets once, and it is that of the stations alone.
        """
        variable = self.model.variable
        several: list[Work] = []
        before = b""
        for one in work:
            stations = self.measurements.reports(one.begin, one.end, variable).tobytes()
            if several and (stations != before or one.start != several[-1].stop):
                yield several
                several = []
            several.append(one)
            before = stations
        if several:
            yield several

    def _field(self, several: Sequence[Work]) -> xr.Dataset:
        """Return the lazy field of parts that follow each other, a block each.

        All is missing where hardly any station reports.
        """
        first, last = several[0], several[-1]
        reports = self.measurements.reports(first.begin, last.end, self.model.variable)
        if reports.sum() < FEWEST_STATIONS:
            return self._unknown(first.start, last.stop)  # nothing to interpolate between
        ends = (self.measurements.label(number) for number in (first.start, last.stop - 1))
        return predict(
            self.model,
            self.measurements.between(first.begin, last.end),
            self.place.at,
            time=slice(*ends),
            chunks={TIME: self.model.reach.window_steps},
            background=self.background,
            statistic=self.request["statistic"],
            quantiles=self.request["quantiles"],
        )

    def _sample(self, todo: Plan) -> xr.Dataset:
        """Return a lazy field that has the layers of the store, of its newest hours if possible.

        Raises
        ------
        ValueError
            If there is no store yet, and hardly any station reports.
        """
        variable = self.model.variable
        for work in reversed(todo.work):
            if self.measurements.reports(work.begin, work.end, variable).sum() >= FEWEST_STATIONS:
                return self._field([work])
        return self._stored()

    def _stored(self) -> xr.Dataset:
        """Return the first hour of the store."""
        if self.journal is None:
            raise ValueError(
                f"fewer than {FEWEST_STATIONS} stations report {self.model.variable} in the hours "
                "of a new store: hand over hours in which they do"
            )
        with open_product(self.target) as product:
            names = {"lat", "lon", "y", "x", "station", "longitude", "latitude", TIME}
            others = [name for name in product.coords if name not in names]
            return product.isel({TIME: slice(0, 1)}).drop_vars(others).load()

    def _unknown(self, start: int, stop: int) -> xr.Dataset:
        """Return the layers of hours at which nothing is known."""
        field = self._stored()
        labels = [self.measurements.label(number) for number in range(start, stop)]
        time = xr.DataArray(np.array(labels), dims=TIME, attrs=field[TIME].attrs)
        layers = {}
        for name, layer in field.items():
            if TIME in layer.dims:
                unknown = np.nan if layer.dtype.kind == "f" else PRODUCT_FLAGS["no_estimate"]
                first = layer.isel({TIME: 0}, drop=True)
                filled = xr.full_like(first, unknown).expand_dims({TIME: time.size})
                layers[name] = filled.transpose(*layer.dims)
        return field.drop_dims(TIME).assign(layers).assign_coords({TIME: time})

    def _chunks(self, sample: xr.Dataset) -> dict[str, int]:
        """Return the sizes of the chunks of the store."""
        variable = self.model.variable
        if self.journal is not None:
            return chunks_of(self.target, variable)
        sizes = {str(dim): lengths[0] for dim, lengths in sample[variable].chunksizes.items()}
        return {**sizes, TIME: self.model.reach.window_steps}

    def _template(self, sample: xr.Dataset, first: int, stated: dict[str, str]) -> xr.Dataset:
        """Return the whole product with its metadata; its layers stand for values."""
        measurements, variable = self.measurements, self.model.variable
        labels = measurements.label(first) + np.arange(self.periods.stop - first) * (
            measurements.label(1) - measurements.label(0)
        )
        time = xr.DataArray(labels, dims=TIME, name=TIME, attrs=measurements.used[TIME].attrs)
        fixed = sample.drop_dims(TIME)
        layers = {n: lazy_like(x, time) for n, x in sample.items() if TIME in x.dims}
        field = fixed.assign(layers)
        field = field.assign(self.place.masked(field))
        field[f"{variable}_uncertainty"].attrs |= self._lasting()
        at = self.place.at
        earlier = self.journal.stated if self.journal else {}
        return build_product(
            field,
            variable=variable,
            grid=at if isinstance(at, Grid) else None,
            observations=measurements.used,
            method=self.model.name,
            settings={**self.model.settings, **self.known.facts()},
            references=self.model.references,
            metadata={**earlier, **stated},
        )

    def _lasting(self) -> dict[str, Any]:
        """Return how errors last, as attributes; learned each week, and of each model."""
        name = f"{self.model.variable}_uncertainty"
        week = round(7 * 24 / self.periods.step_hours)
        journal, stop = self.journal, self.periods.stop
        if journal and journal.model == self.digest and journal.stop // week == stop // week:
            with open_product(self.target) as product:
                attributes = product[name].attrs
                stated = {key: attributes[key] for key in _LASTING if key in attributes}
            if stated:
                return stated
        used = self.measurements.used
        if used.sizes[TIME] * self.periods.step_hours < MEANS_HOURS:
            return {}
        learned = persistence(self.model, used, self.background)
        return learned.errors.attributes() if learned else {}

    def _next_journal(
        self,
        rest: Journal | None,
        first: int,
        todo: Plan,
        history: str,
        stated: dict[str, str],
    ) -> Journal:
        """Return the journal of the next version."""
        given, stop = self.measurements.given, self.periods.stop
        hours = np.zeros(stop - first, np.uint64)
        if rest is not None:
            hours[: rest.hours.size] = rest.hours
        low = max(first, given.first)
        hours[low - first :] = given.digests[low - given.first :]
        blocks = dict(rest.blocks) if rest else {}
        blocks |= {work.block: work.made for work in todo.work if work.made is not None}
        lines = rest.history if rest else tuple(history.splitlines())
        if rest is None and self.place.clip:
            lines += (f"{_dated()}: {self.place.clip}",)
        if rest is not None and rest.model != self.digest:
            begin = _shown(self.measurements.label(todo.work[0].start))
            lines += (f"{_dated()}: from {begin} on by {history.splitlines()[-1]}",)
        return Journal(
            request=self.request,
            first=first,
            hours=hours,
            blocks=blocks,
            history=lines,
            runs=1 + (rest.runs if rest else 0),
            stated={**(rest.stated if rest else {}), **stated},
        )

    def _history(self, journal: Journal) -> str:
        """Return the history of the store: how it began, its models, and the last run."""
        if journal.runs == 1:
            return "\n".join(journal.history)
        last = (
            f"{_dated()}: run {journal.runs} of update, to "
            f"{_shown(self.measurements.label(journal.stop - 1))}"
        )
        return "\n".join([*journal.history, last])


def _dated() -> str:
    """Return how a line of a history begins."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} aqreanalysis {version('aqreanalysis')}"


def _shown(label: np.datetime64) -> str:
    """Return an hour as texts show it."""
    return f"{np.datetime_as_string(label, unit='m')}Z"
