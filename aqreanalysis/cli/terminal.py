"""The terminal: signals that end a run, progress bars, and the level of loggers."""

import logging
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class StoppedError(BaseException):
    """Raised by a signal to end the run; no library handles it as an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop_cleanly() -> list[signal.Signals]:
    """Return the signals that now raise an exception, so that incomplete files are removed."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored, as under nohup, stays ignored.
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]

    def stop(number: int, _: object) -> None:
        for other in handled:
            signal.signal(other, signal.SIG_IGN)
        raise StoppedError(number)

    for number in handled:
        signal.signal(number, stop)
    return handled


def shows_progress() -> bool:
    """Whether standard error is a terminal; a progress bar in a log file is noise."""
    return sys.stderr.isatty()


@contextmanager
def warnings_only(*names: str) -> Iterator[None]:
    """Silence loggers below warnings for a while."""
    with at_levels(dict.fromkeys(names, logging.WARNING)):
        yield


@contextmanager
def at_levels(levels: Mapping[str, int]) -> Iterator[None]:
    """Give loggers other levels for a while, by name."""
    before = {name: logging.getLogger(name).level for name in levels}
    try:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
