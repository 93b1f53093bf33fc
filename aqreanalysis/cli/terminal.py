"""The terminal: signals that end a run, whether somebody watches it, how much loggers say."""

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class StoppedError(BaseException):
    """A signal asks to end; no library takes this for an error of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop_cleanly() -> list[signal.Signals]:
    """Return the signals that now end the run through all that removes incomplete files."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # One that is ignored, as under nohup, stays ignored.
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]

    def stop(number: int, _: object) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        raise StoppedError(number)

    for number in heard:
        signal.signal(number, stop)
    return heard


def shows_progress() -> bool:
    """Return whether somebody watches: a progress bar in a log file is noise."""
    return sys.stderr.isatty()


@contextmanager
def warnings_alone(*names: str) -> Iterator[None]:
    """Let loggers say no more than warnings for a while."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
