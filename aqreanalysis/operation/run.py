"""One run: from what is measured to the next version of the store."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from aqreanalysis.conventions import PRODUCT_FLAGS, TIME
from aqreanalysis.foreign.background import BackgroundField
from aqreanalysis.geography import attributes, learned_names
from aqreanalysis.grid import Grid
from aqreanalysis.methods import predict
from aqreanalysis.methods.persistence import persistence
from aqreanalysis.operation.journal import Journal
from aqreanalysis.operation.measurements import Measurements
from aqreanalysis.operation.models import CurrentModel
from aqreanalysis.operation.periods import Periods
from aqreanalysis.operation.plan import Plan, Work, plan, too_late
from aqreanalysis.operation.result import UpdateResult
from aqreanalysis.operation.versions import chunks_of, lazy_like, write_version
from aqreanalysis.product import build_product, open_product
from aqreanalysis.product.targets import Target
from aqreanalysis.reanalysis import MEANS_HOURS

logger = logging.getLogger(__name__)

#: Share by which a store outgrows its retention before what is older is removed.
RETENTION_SHARE = 0.1
#: Stations without which nothing is estimated.
FEWEST_STATIONS = 2
#: Attributes that say how errors are correlated in time.
_LASTING = ("error_time_scales_h", "error_shares")


class Run:
    """One run: from what is measured to the next version of the store."""

    def __init__(
        self,
        target: Path,
        journal: Journal | None,
        current: CurrentModel,
        request: dict[str, Any],
        periods: Periods,
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
            window_from=shown(self.measurements.label(periods.window)),
            model=self.digest,
            refitted=self.refitted,
        )
        if journal is not None and periods.stop < journal.stop:
            logger.warning(
                "the measurements end at %s, before the end of the store: nothing is done. Check "
                "what is handed over",
                shown(self.measurements.label(periods.stop - 1)),
            )
            end = shown(self.measurements.label(journal.stop - 1))
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
            revised_from=shown(self.measurements.label(again[0].start)) if again else "",
            last=shown(self.measurements.label(last)),
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
        beyond = min(periods.stop - most - journal.first, journal.hours.size - 1)
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
            begin = shown(self.measurements.label(todo.work[0].start))
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
            f"{shown(self.measurements.label(journal.stop - 1))}"
        )
        return "\n".join([*journal.history, last])


def _dated() -> str:
    """Return how a line of a history begins."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} aqreanalysis {version('aqreanalysis')}"


def shown(label: np.datetime64) -> str:
    """Return an hour as texts show it."""
    return f"{np.datetime_as_string(label, unit='m')}Z"
