"""What a reader decided, for log and history, and what it found wrong, for the error."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

logger = logging.getLogger("aqreanalysis.observations")


class ObservationError(ValueError):
    """Observations that cannot be used, with every fault that was found.

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
        """Let the error cross a process boundary."""
        return _rebuild, (self.faults, self.source)


class Journal:
    """The decisions and the faults of one reading.

    A decision is logged when it is taken and goes into the ``history`` of the Dataset. A fault
    is kept until `stop_if_faulty`, so that one error lists all of them.

    Parameters
    ----------
    source : str
        What is read: it begins every message.
    silent : bool
        Keep decisions without logging them, for a look ahead at a table.
    """

    def __init__(self, source: str, *, silent: bool = False):
        self.source = source
        self._silent = silent
        self.decisions: list[str] = []
        self.faults: list[str] = []

    def decide(self, decision: str, *, level: int = logging.INFO) -> None:
        """Log a decision and keep it for the history."""
        self.decisions.append(decision)
        if not self._silent:
            logger.log(level, "%s: %s", self.source, decision)

    def warn(self, decision: str) -> None:
        """Log, as a warning, a decision that may not be what the user wants."""
        self.decide(decision, level=logging.WARNING)

    def fault(self, fault: str) -> None:
        """Keep a fault for the error."""
        self.faults.append(fault)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep the faults of an `ObservationError` raised inside, and go on after the block."""
        try:
            yield
        except ObservationError as error:
            self.faults.extend(error.faults)

    def stop_if_faulty(self) -> None:
        """Raise an `ObservationError` with all the faults so far, if there are any."""
        if self.faults:
            raise ObservationError(self.faults, source=self.source)


def _rebuild(faults: tuple[str, ...], source: str) -> ObservationError:
    """Return the error that was pickled."""
    return ObservationError(faults, source=source)
