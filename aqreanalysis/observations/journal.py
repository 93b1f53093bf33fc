"""Decisions of a reading, for log and history, and its faults, for one error with all of them."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

logger = logging.getLogger("aqreanalysis.observations")

#: Returns a row for a message: its number, and its station and time where they are known.
Describe = Callable[[int], str]


class ObservationError(ValueError):
    """Observations that cannot be used, with all of their faults.

    Parameters
    ----------
    faults : str or sequence of str
        One sentence a fault: what was expected, what was found, what to do.
    source : str, optional
        The file or table that holds them.

    Attributes
    ----------
    faults : tuple of str
        The same faults, one by one.

    Examples
    --------
    >>> print(ObservationError(["no stations", "no hours"], source="a.csv"))
    a.csv: 2 faults
    - no stations
    - no hours
    """

    def __init__(self, faults: str | Sequence[str], *, source: str = ""):
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        self.source = source
        head = f"{source}: " if source else ""
        if len(self.faults) == 1:
            super().__init__(head + self.faults[0])
            return
        lines = "".join(f"\n- {fault}" for fault in self.faults)
        super().__init__(f"{head}{len(self.faults)} faults{lines}")

    def __reduce__(self) -> tuple:
        """Pickle by the faults, since a message alone does not make the error again."""
        return partial(ObservationError, source=self.source), (self.faults,)


def with_history(attributes: Mapping[Hashable, Any], line: str) -> dict[Any, Any]:
    """Return attributes with a further line in their ``history``."""
    earlier = attributes.get("history")
    return {**attributes, "history": f"{earlier}\n{line}" if earlier else line}


def dated(text: str) -> str:
    """Return what was done with the time and the version of the package, for the ``history``."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{now} aqreanalysis {version('aqreanalysis')}: {text}"


class Journal:
    """The decisions and the faults of one reading.

    A decision is logged at once, unless silent, and goes into the ``history`` of the Dataset.
    Faults are collected until `stop_if_faulty`, so that one error lists all of them. The source
    begins every message. A fault of a share of the rows or stations that is within ``tolerance``
    costs these alone: it is a decision, and logged as a warning.
    """

    def __init__(self, source: str, *, silent: bool = False, tolerance: float = 0.0):
        self.source = source
        self.tolerance = tolerance
        self._silent = silent
        self.decisions: list[str] = []
        self.warnings: list[str] = []
        self.faults: list[str] = []
        #: By which the values of each pollutant became ug m-3, the largest where rows differ.
        self.factors: dict[str, float] = {}
        #: Rows that repeat others, and station-hours with different values.
        self.repeated = self.contradicting = 0

    def attributes(self) -> dict[str, int | str]:
        """Return what may be wrong with what was read, as attributes; none where nothing is."""
        stated: dict[str, int | str] = {
            "repeated_rows": self.repeated,
            "contradicting_values": self.contradicting,
            "reading_warnings": "\n".join(self.warnings),
        }
        return {name: value for name, value in stated.items() if value}

    def decide(self, decision: str, *, level: int = logging.INFO) -> None:
        """Log a decision and add it to the history, once."""
        if decision in self.decisions:
            return
        self.decisions.append(decision)
        if not self._silent:
            logger.log(level, "%s: %s", self.source, decision)

    def warn(self, decision: str) -> None:
        """Log, as a warning, a decision that may not be what the user wants."""
        self.warnings.append(decision)
        self.decide(decision, level=logging.WARNING)

    def fault(self, fault: str, *, share: float = 1.0) -> bool:
        """Add a fault to the error, or, where its share is tolerated, a decision; say which."""
        if share <= self.tolerance:
            self.warn(f"left out: {fault}")
            return False
        if fault not in self.faults:
            self.faults.append(fault)
        return True

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect the faults of an `ObservationError` raised inside, and go on after the block."""
        try:
            yield
        except ObservationError as error:
            self.faults.extend(error.faults)

    def stop_if_faulty(self) -> None:
        """Raise an `ObservationError` with all the faults so far, if there are any."""
        if self.faults:
            raise ObservationError(self.faults, source=self.source)
