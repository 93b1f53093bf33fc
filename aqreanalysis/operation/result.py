"""What a run did: one line for the log, and fields for programs."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from aqreanalysis.conventions import counted
from aqreanalysis.operation.health import Health

State = Literal["done", "nothing new", "no report", "alarm"]


@dataclass(frozen=True)
class UpdateResult:
    """What a run of `aqreanalysis.operation.update` did to a store.

    Attributes
    ----------
    store : Path
    created : bool
        Whether there was no store before.
    added, revised : int
        Hours that are new, and hours that were estimated again.
    revised_from, last : str
        The first hour that was estimated again, and the last hour of the store, UTC; the first is
        empty if none was.
    reporting : int or None
        Stations that report at the last hour; None if nothing was looked at, since the
        measurements end before the store does.
    age_hours : float or None
        Age of the newest label at which any station reports.
    is_stale : bool
        Whether that is older than is allowed.
    silent : int
        Hours added at which no station reports.
    window_from : str
        First hour that this run might revise, UTC.
    reach_hours : float
        How far before and after it a measurement counts at most.
    too_late : int
        Hours whose measurements changed after the window of revision had passed.
    incomplete : int
        Hours in the window that were not revised, since OBS does not reach far enough back.
    dropped : int
        Hours that retention has removed.
    repeated_rows, contradicting_values : int
        Of all that was read: rows that repeat others, and station-hours of which there were
        different values.
    reading_warnings : tuple of str
        What was left out of what was read, and what may not be as it should.
    model : str
        Digest of the model.
    refitted : bool
        Whether the model was fitted anew.
    netcdf : tuple of Path
        Files of days or months that were written.
    health : Health or None
    seconds : float
    finished : str
        When the run ended, UTC.
    """

    store: Path
    created: bool = False
    added: int = 0
    revised: int = 0
    revised_from: str = ""
    last: str = ""
    reporting: int | None = None
    age_hours: float | None = None
    is_stale: bool = False
    silent: int = 0
    window_from: str = ""
    reach_hours: float = 0.0
    too_late: int = 0
    incomplete: int = 0
    dropped: int = 0
    repeated_rows: int = 0
    contradicting_values: int = 0
    reading_warnings: tuple[str, ...] = field(default=())
    model: str = ""
    refitted: bool = False
    netcdf: tuple[Path, ...] = field(default=())
    health: Health | None = None
    seconds: float = 0.0
    finished: str = ""

    @property
    def state(self) -> State:
        """What a scheduler needs to know; the first that holds of alarm, no report, nothing new.

        Examples
        --------
        >>> UpdateResult(Path("pm25.zarr"), added=1, reporting=0).state
        'no report'
        >>> UpdateResult(Path("pm25.zarr"), added=1, reporting=12).state
        'done'
        """
        if self.health is not None and self.health.is_alarming:
            return "alarm"
        if self.reporting == 0 or self.is_stale:
            return "no report"
        changed = self.created or self.added or self.revised or self.dropped or self.netcdf
        return "done" if changed or self.refitted else "nothing new"

    def __str__(self) -> str:
        age = "there is none" if self.age_hours is None else f"it is {self.age_hours:g} h old"
        reporting = f"{counted(self.reporting or 0, 'station')} report{'s' * (self.reporting == 1)}"
        stale = f" (STALE, the newest report: {age})" if self.is_stale else ""
        parts = [
            f"{self.finished} {self.store.name}: {self.state}{stale}",
            f"{'created, ' if self.created else ''}{self.added} h added, {self.revised} h revised"
            + (f" from {self.revised_from}" if self.revised_from else ""),
            f"to {self.last}"
            + ("" if self.reporting is None else f", {reporting} then")
            + (f", none in {self.silent} of the hours added" if self.silent else ""),
            f"window from {self.window_from}, a measurement counts up to "
            f"{self.reach_hours:g} h before and after it",
        ]
        if self.too_late:
            parts.append(
                f"measurements of {self.too_late} h changed too late to revise all that depends on "
                "them (a longer --last has them count)"
            )
        if self.incomplete:
            parts.append(
                f"{self.incomplete} h not revised, since OBS does not reach back far enough"
            )
        if self.dropped:
            parts.append(f"{self.dropped} h beyond retention removed")
        if self.repeated_rows:
            parts.append(f"OBS has {self.repeated_rows} repeated rows")
        if self.contradicting_values:
            parts.append(f"OBS has different values for {self.contradicting_values} station-hours")
        if self.reading_warnings:
            first, more = self.reading_warnings[0], len(self.reading_warnings) - 1
            parts.append(f"OBS: {first}" + f" (and {more} more: --json)" * bool(more))
        if self.refitted:
            parts.append(f"model fitted anew ({self.model})")
        if self.netcdf:
            parts.append(f"{len(self.netcdf)} NetCDF written")
        if self.health is not None:
            parts.append(str(self.health))
        return "; ".join([*parts, f"{self.seconds:.1f} s"])

    def facts(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON."""
        own = asdict(self) | {
            "state": self.state,
            "store": str(self.store),
            "netcdf": [str(path) for path in self.netcdf],
            "reading_warnings": list(self.reading_warnings),
        }
        if self.health is not None:
            own["health"]["is_alarming"] = self.health.is_alarming
        return own
