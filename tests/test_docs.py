"""The pages have every public name and command, and their lines run."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import aqreanalysis
from aqreanalysis.cli import app

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROOMS = (
    "datasets", "derived", "exports", "figures", "foreign", "geography", "maps", "methods",
    "observations", "operation", "outlook", "product", "report", "untrusted", "verification",
    "viewer",
)  # fmt: skip
#: The page of the command line is made of its help.
WITHOUT_PAGE = {"cli"}
#: What stands on other pages than its room's.
ELSEWHERE = {"AqnetAccessor", "__version__", "datasets"}


def documented():
    """Return the names of the reference, each with its module."""
    names = set()
    for page in (DOCS / "api").glob("*.rst"):
        module = ""
        for line in page.read_text().splitlines():
            if match := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = match[1]
            elif match := re.match(r"\.\. py:data:: (\S+)", line):
                names.add(match[1])
            elif module and (match := re.match(r"   (\w+)$", line)):
                names.add(f"{module}.{match[1]}")
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_page(room):
    module = importlib.import_module(f"aqreanalysis.{room}")
    expected = {f"aqreanalysis.{room}.{name}" for name in module.__all__}
    assert expected - documented() == set()


def test_every_room_that_exports_names_is_in_the_reference():
    exporting = {
        path.parent.name
        for path in Path(aqreanalysis.__file__).parent.glob("*/__init__.py")
        if hasattr(importlib.import_module(f"aqreanalysis.{path.parent.name}"), "__all__")
    }
    assert exporting == {*ROOMS, *WITHOUT_PAGE}
    own = {name.rpartition(".")[2] for name in documented()}
    assert set(aqreanalysis.__all__) - own - ELSEWHERE == set()


def test_names_of_the_reference_exist():
    for name in documented():
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), name


def test_the_page_of_the_command_line_has_every_command(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(DOCS / "extensions")
    pages = importlib.import_module("command_pages")
    pages.write(tmp_path / "generated" / "commands.md")
    text = (tmp_path / "generated" / "commands.md").read_text()
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    single = [title for title in titles if " " not in title]
    groups = {title.split()[0] for title in titles if " " in title}
    assert {*single, *groups} == set(get_command(app).commands)
    assert "--time-label" in text
    assert "datasets fetch" in titles
    sys.modules.pop("command_pages")


@pytest.mark.parametrize("script", sorted((DOCS / "gallery").glob("*.py")), ids=lambda p: p.stem)
def test_a_script_of_the_gallery_is_short_and_has_a_title(script):
    tree = ast.parse(script.read_text())
    title = ast.get_docstring(tree).splitlines()[0]
    assert 5 < len(title) < 60
    statements = [
        node for node in tree.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert len(statements) <= 11
    assert any(
        isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "figure"
        for node in statements
    )


@pytest.mark.parametrize(
    "page", [*DOCS.glob("*.md"), DOCS.parent / "README.md"], ids=lambda p: p.name
)
def test_tables_are_whole_and_no_root_depends_on_a_font(page):
    text = page.read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n?)+", prose, flags=re.MULTILINE):
        rows = table.splitlines()
        assert len(rows) > 2, rows
        assert re.fullmatch(r"[|\s:-]+", rows[1]), rows
    # A browser without a mathematical font draws no sign of a root: write a power.
    assert "\\sqrt" not in prose


def test_the_lines_of_the_first_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "start.md").read_text(), re.DOTALL)
    shorter = {
        "hours=240": "hours=48",
        'obs.aqnet.fit("pm25", seed=0)': '"idw"',  # the README's lines train one
        "grid=0.05": "grid=0.5",
        'methods=["kriging", "idw"]': 'folds=3, progress=False, methods=["idw"]',
        'slice("2020-11-02", "2020-11-03")': '"2020-11-02"',
    }
    for long, short in shorter.items():
        assert long in code
        code = code.replace(long, short)
    exec(code, {})
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"quality.html", "pm25.nc", "viewer.html", "report.html"}
