"""How a run ends: the exit statuses of all commands, which schedulers and monitoring read."""

from typing import NamedTuple


class Status(NamedTuple):
    """An exit status, what it means, and what to do."""

    number: int
    meaning: str


DONE = Status(0, "all is done")
FAULT = Status(1, "a fault: one message says what to do; earlier results are intact")
USAGE = Status(2, "a wrong option")
NOTHING_NEW = Status(3, "`update`: nothing is new, and nothing was changed")
LOCKED = Status(4, "another run is writing the same product or store")
NO_REPORT = Status(5, "`update`: done, but no station reports at the newest hour")
ALARM = Status(6, "`update`: done, but the model's estimates are worse than it says (`--health`)")
#: All but those of signals: 128 and the number of the signal.
STATUSES = (DONE, FAULT, USAGE, NOTHING_NEW, LOCKED, NO_REPORT, ALARM)
