"""Progress on the standard error stream: a bar where a person looks, lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Protocol


class Reporter(Protocol):
    """Tells how far a benchmark is."""

    def start(self, what: str) -> None:
        """Tell what begins."""
        ...

    def finish(self, what: str) -> None:
        """Tell what has ended, and count it."""
        ...


@contextmanager
def reporting(total: int) -> Iterator[Reporter]:
    """Yield a reporter of a number of steps."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield _Lines(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar, bar.add_task("reading", total=total))


class _Lines:
    """One line for each finished step."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def start(self, what: str) -> None:
        """Say nothing: the line comes with the result."""

    def finish(self, what: str) -> None:
        """Print the step with its number."""
        self.done += 1
        print(f"[{self.done}/{self.total}] {what}", file=sys.stderr, flush=True)


class _Bar:
    """A bar of rich, with finished steps above it."""

    def __init__(self, bar: object, task: object) -> None:
        self.bar, self.task = bar, task

    def start(self, what: str) -> None:
        """Show the step beside the bar."""
        self.bar.update(self.task, description=what)  # type: ignore[attr-defined]

    def finish(self, what: str) -> None:
        """Print the step above the bar."""
        self.bar.console.print(what, highlight=False)  # type: ignore[attr-defined]
        self.bar.advance(self.task)  # type: ignore[attr-defined]
