"""Which hours a run estimates: new ones, and those whose measurements have changed."""

from dataclasses import dataclass

import numpy as np

from aqreanalysis.methods.neural.reanalyser import Reach
from aqreanalysis.operation.digests import Digests, joint_digest
from aqreanalysis.operation.journal import Journal, Made


@dataclass(frozen=True)
class Measured:
    """The hours from which measurements are at hand, as numbers of steps since 1970.

    Attributes
    ----------
    first : int
    digests : (hour,) uint64
        Of what is used of each hour.
    """

    first: int
    digests: Digests

    @property
    def stop(self) -> int:
        """Number of the hour after the last one."""
        return self.first + self.digests.size

    def joint(self, start: int, stop: int) -> int:
        """Return one digest of some hours, as far as they are at hand."""
        start, stop = max(start, self.first), min(stop, self.stop)
        return joint_digest(self.digests[start - self.first : max(stop, start) - self.first], start)


@dataclass(frozen=True)
class Work:
    """Hours to estimate, and those whose measurements they use, as numbers of steps since 1970."""

    block: int
    start: int
    stop: int
    begin: int
    end: int
    made: Made | None  # None if the hours before are not made of the same measurements

    @property
    def hours(self) -> int:
        """How many hours are estimated."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes
    ----------
    work : tuple of Work
    incomplete : int
        Hours of the store in the window that cannot be revised, since measurements from long
        enough before them are not at hand.
    """

    work: tuple[Work, ...]
    incomplete: int


def plan(
    journal: Journal | None,
    measured: Measured,
    *,
    start: int,
    window: int,
    reach: Reach,
    model: str,
) -> Plan:
    """Return what is to be estimated up to the last hour of the measurements.

    Hours belong to blocks, the windows of the method. A block is estimated when it has new hours,
    or when it reaches into the window of revision and its measurements, or the model, are others
    than before. It is never estimated from fewer hours before it than it was.

    Parameters
    ----------
    journal : Journal or None
        Of the store, if there is one.
    measured : Measured
    start : int
        First hour of a new store.
    window : int
        First hour that may be revised.
    reach : Reach
    model : str
        Its digest.
    """
    first, stop = (start, start) if journal is None else (journal.first, journal.stop)
    blocks = {} if journal is None else journal.blocks
    size, around = reach
    work, incomplete = [], 0
    oldest = min(max(window, first), stop)
    for number in range(oldest // size, -(-measured.stop // size)):
        low, high = max(number * size, first), min((number + 1) * size, measured.stop)
        if low >= high:
            continue
        begin, end = number * size - around, min((number + 1) * size + around, measured.stop)
        before = blocks.get(number)
        at_hand = max(begin, measured.first)
        made = Made(measured.joint(begin, end), at_hand, model)
        complete = before is None or at_hand <= max(begin, before.begin)
        if complete and (high > stop or before is None or _differs(before, made)):
            work.append(Work(number, low, high, begin, end, made))
        elif not complete:
            incomplete += min(high, stop) - low
            if high > stop:
                work.append(Work(number, max(low, stop), high, begin, end, None))
    return Plan(tuple(work), incomplete)


def too_late(journal: Journal, given: Measured, oldest: int, around: int) -> np.ndarray:
    """Return the hours whose measurements have changed since, and count for no estimate any more.

    Parameters
    ----------
    journal : Journal
    given : Measured
        Of all that was given, before quality control.
    oldest : int
        First hour that may be revised.
    around : int
        How far measurements count, in hours.

    Returns
    -------
    (n,) int64
        Numbers of the hours: those of which an older estimate than may be revised depends.
    """
    first, stop = max(journal.first, given.first), min(journal.stop, given.stop, oldest + around)
    if stop <= first or oldest <= journal.first:
        return np.empty(0, np.int64)
    now = given.digests[first - given.first : stop - given.first]
    before = journal.hours[first - journal.first : stop - journal.first]
    return first + np.flatnonzero(now != before)


def _differs(before: Made, now: Made) -> bool:
    """Return whether measurements or model are others, wherever the hours at hand begin."""
    return (before.digest, before.model) != (now.digest, now.model)
