"""The gallery: each script of ``docs/gallery`` is run, and becomes a page with its picture.

A script is a docstring, whose first line is the title, and a few lines that make a ``figure``.
"""

import ast
import logging
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_HEAD = """# Gallery

Each picture is made by the lines on its page, on synthetic data, when these pages are built.

```{toctree}
:hidden:

%s
```
"""


def setup(application: Any) -> dict[str, Any]:
    """Write the pages before Sphinx looks for pages."""
    application.connect("builder-inited", lambda one: write(Path(one.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(source: Path) -> None:
    """Run all scripts, and write their pictures, their pages and the overview."""
    folder = source / "generated" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("aqreanalysis").setLevel(logging.ERROR)
    scripts = sorted((source / "gallery").glob("*.py"))
    titles = {script.stem: _write_page(script, folder) for script in scripts}
    parts = [
        f"## [{title}]({name}.md)\n\n"
        f"```{{image}} {name}.png\n:alt: {title}\n:target: {name}.html\n:width: 400px\n```\n"
        for name, title in titles.items()
    ]
    page = "\n".join([_HEAD % "\n".join(titles), *parts])
    (folder / "index.md").write_text(page, encoding="utf-8")


def figure_of(script: Path) -> Figure:
    """Return the figure of a script, run in a namespace of its own."""
    names: dict[str, Any] = {"__name__": "gallery", "__file__": str(script)}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), names)  # noqa: S102
    figure = names.get("figure")
    if not isinstance(figure, Figure):
        raise TypeError(f"{script.name} must make a matplotlib figure of the name 'figure'")
    return figure


def _write_page(script: Path, folder: Path) -> str:
    """Write the page of a script and its picture, and return its title."""
    text = script.read_text(encoding="utf-8")
    title, _, words = (ast.get_docstring(ast.parse(text)) or script.stem).partition("\n")
    title = title.rstrip(".")
    picture = folder / f"{script.stem}.png"
    figure_of(script).savefig(picture, dpi=90, bbox_inches="tight")
    code = text.split('"""', 2)[2].strip()
    shown = f"![{title}]({picture.name})\n\n```python\n{code}\n```\n"
    page = f"# {title}\n\n{words.strip()}\n\n{shown}"
    (folder / f"{script.stem}.md").write_text(page, encoding="utf-8")
    return title
