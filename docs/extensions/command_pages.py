"""The page of the command line, made of its own help whenever the pages are built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer import Typer
from typer.testing import CliRunner

from aqreanalysis.cli import app

TARGET = "generated/commands.md"
_HEAD = """# The command line

What `aqreanalysis COMMAND --help` shows, of all commands. `aqreanalysis --quiet` and `--verbose`
stand before the command. The exit status is 0 if all is done, 1 after a fault, 2 if an option is
wrong, 4 if another run is writing the same product.
"""
#: Width of the help, in characters.
_WIDTH = 100


def setup(application: Any) -> dict[str, Any]:
    """Write the page before Sphinx looks for pages."""
    application.connect("builder-inited", lambda one: write(Path(one.srcdir, TARGET)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(target: Path) -> None:
    """Write the page."""
    parts = [f"## {' '.join(words)}\n\n```text\n{_help(words)}\n```\n" for words in commands(app)]
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join([_HEAD, *parts]), encoding="utf-8")


def commands(group: Typer) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command of a group, and of the groups in it."""
    for command in group.registered_commands:
        yield (command.name or getattr(command.callback, "__name__", ""),)
    for inner in group.registered_groups:
        for words in commands(inner.typer_instance) if inner.typer_instance else ():
            yield str(inner.name), *words


def _help(words: tuple[str, ...]) -> str:
    """Return the help of a command as a terminal shows it."""
    terminal = {"COLUMNS": str(_WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    shown = CliRunner().invoke(app, [*words, "--help"], env=terminal, prog_name="aqreanalysis")
    if shown.exit_code:
        raise RuntimeError(f"aqreanalysis {' '.join(words)} --help failed: {shown.output}")
    return "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
