"""Pages on the disk: the frame that all reports share, and writing one whole or not at all."""

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from aqreanalysis.atomic import atomic_file, check_target, explained

_SUFFIXES = (".html", ".htm")


def check_report_target(
    path: str | os.PathLike[str], *, overwrite: bool = True, what: str = "report"
) -> Path:
    """Check that a report, or another page, can be written to a path, and return it.

    Raises
    ------
    ValueError
        If it does not end in ``.html`` or ``.htm``.
    aqreanalysis.atomic.WriteError
        If there is no such folder, or a file of that name must not be replaced.

    Examples
    --------
    >>> check_report_target("report.html").name
    'report.html'
    """
    target = Path(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"a {what} is written as .html; found {target.name!r}. Change its ending.")
    check_target(target, overwrite=overwrite)
    return target


def render_page(template: str, content: dict[str, Any], *, room: str = "report") -> str:
    """Return a page of a template in the folder of a room; all of its content is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(f"aqreanalysis.{room}", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = {"version": version("aqreanalysis"), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    return environment.get_template(template).render(content | made)


def write_page(page: str, target: Path) -> Path:
    """Write a page under its name when it is complete."""
    with explained(target), atomic_file(target) as partial:
        # UTF-8 cannot encode a lone surrogate in a station's name.
        partial.write_text(page, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")
    return target
