"""Which hours a run is about: durations, the window of revision, and what is read."""

import re
from dataclasses import dataclass
from typing import Self

import xarray as xr

from aqreanalysis.conventions import CENTURY_HOURS, TIME
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.observations import step_hours
from aqreanalysis.operation.journal import Journal
from aqreanalysis.operation.measurements import JUDGED_HOURS

#: Hours, or a text such as 54h, 5d or 2w.
Duration = str | float
#: Hours by which measurements may be late and count fully, by default.
LATE_HOURS = 48.0
#: Hours between a store and newer measurements beyond which something is wrong.
LONGEST_GAP_HOURS = 31 * 24.0


def hours_of(name: str, span: Duration | None) -> float | None:
    """Return a duration in hours, None where there is none.

    Raises
    ------
    ValueError
        Naming the option, if it is no duration, none at all, or longer than a hundred years.

    Examples
    --------
    >>> hours_of("last", "5d"), hours_of("last", 54)
    (120.0, 54.0)
    """
    if span is None:
        return None
    if isinstance(span, int | float):
        hours = float(span)
    else:
        parts = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([hdw])\s*", str(span))
        if parts is None:
            raise ValueError(f"{name} is a duration such as 54h, 5d or 2w; found {span!r}")
        hours = float(parts[1]) * {"h": 1, "d": 24, "w": 168}[parts[2]]
    if not 0 < hours <= CENTURY_HOURS:
        raise ValueError(
            f"{name} is more than 0 h and at most 100 years ({CENTURY_HOURS:.0f} h); found "
            f"{str(span)[:40]!r}"
        )
    return hours


@dataclass(frozen=True)
class Periods:
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
    ) -> Self:
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
