"""The house itself: what is installed, what an import costs, where things may stand."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import aqreanalysis

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aqreanalysis"
README = (ROOT / "README.md").read_text()
#: What need not be installed, by the name under which it is imported.
OPTIONAL = {"sklearn": "scikit-learn"}
TOO_VAGUE = {"utils", "helpers", "core", "common", "base"}
#: Names that say nothing of what they hold; a mask, a value, a row has its own in the field.
NO_NAMES = {"kept", "told", "found", "held", "there", "aside", "sight", "looks", "answers"}

#: Tried in a later version than promised.
NOT_AT_ITS_LOWEST = {"torch": "earlier builds for processors alone are not on PyPI"}

#: Packages that a start of the command or of a script must not wait for.
HEAVY = (
    "cartopy",
    "dask.distributed",
    "distributed",
    "geopandas",
    "matplotlib",
    "sklearn",
    "torch",
)

#: What packages are called on conda-forge where that differs from their name in pyproject.toml.
CONDA_NAMES = {
    "cf-xarray": {"cf_xarray"},
    "matplotlib": {"matplotlib-base"},
    "torch": {"pytorch"},
}


def project() -> dict:
    """Return the table [project] of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared(*extras: str) -> dict[str, Requirement]:
    """Return the dependencies by normalised name: the default ones and those of the extras."""
    table = project()
    lines = [*table["dependencies"]]
    for extra in extras:
        lines += table["optional-dependencies"][extra]
    requirements = [Requirement(line) for line in lines]
    own = [extra for r in requirements if r.name == "aqreanalysis" for extra in r.extras]
    direct = {canonicalize_name(r.name): r for r in requirements if r.name != "aqreanalysis"}
    return (declared(*own) if own else {}) | {str(name): r for name, r in direct.items()}


def pins(name: str = "constraints.txt") -> dict[str, Requirement]:
    """Return the constraints of a file by normalised name."""
    lines = (ROOT / name).read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {str(canonicalize_name(pin.name)): pin for pin in requirements}


def sources(*folders: str) -> Iterator[Path]:
    """Yield the Python files of the folders."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(*folders: str) -> dict[str, str]:
    """Return the distributions that the folders' files import, each with one such file."""
    homes = packages_distributions()
    own = {"aqreanalysis", "benchmarks", "tools", *(path.stem for path in sources("tests"))}
    result = {}
    for path in sources(*folders):
        for top in tops(path) - own - sys.stdlib_module_names:
            name = homes.get(top, [OPTIONAL.get(top, top)])[0]
            result[str(canonicalize_name(name))] = str(path.relative_to(ROOT))
    return result


def tops(path: Path) -> set[str]:
    """Return the top-level names that a file imports, at its top or inside its functions."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return {name.partition(".")[0] for name in names}


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield the names of variables, functions, parameters, attributes and keywords."""
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def in_new_interpreter(code: str) -> str:
    """Return what the code prints in a Python that has imported nothing yet."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.strip()


def test_conda_installs_what_pip_installs():
    from_pip = {
        (conda, str(requirement.specifier))
        for name, requirement in declared().items()
        for conda in CONDA_NAMES.get(name, {name})
    }
    from_pip.add(("python", project()["requires-python"]))
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = [Requirement(entry) for entry in entries if isinstance(entry, str)]
    from_conda = {(line.name, str(line.specifier)) for line in lines if line.name != "pip"}
    assert from_conda == from_pip
    # Bounds that are the same leave nothing for pip to install but the package itself.
    assert [entry for entry in entries if isinstance(entry, dict)] == [{"pip": ["."]}]


def test_the_lowest_versions_that_are_tried_are_those_that_are_promised():
    pinned = pins("constraints-lowest.txt")
    for name, requirement in declared("gis", "zarr").items():
        (bound,) = requirement.specifier
        assert bound.operator == ">=", requirement
        (pin,) = pinned[name].specifier
        assert pin.operator == "==", pin
        if name in NOT_AT_ITS_LOWEST:
            assert Version(pin.version) in requirement.specifier
        else:
            assert Version(pin.version) == Version(bound.version)


def test_constraints_pin_every_direct_dependency_within_its_bounds():
    pinned, wanted = pins(), declared("test", "dev", "zarr", "peers")
    assert wanted.keys() - pinned.keys() == set()
    for name, pin in pinned.items():
        (only,) = pin.specifier
        assert only.operator == "==", f"{name} is not pinned to one version: {pin}"
        if name in wanted:
            assert Version(only.version) in wanted[name].specifier


def test_the_package_imports_what_it_declares_and_nothing_else():
    used, wanted = imported("aqreanalysis"), declared("gis", "zarr")
    undeclared = {name: path for name, path in used.items() if name not in wanted}
    assert undeclared == {}
    assert wanted.keys() - used.keys() == set()


def test_what_is_not_installed_imports_nothing_undeclared():
    used, wanted = imported("tests", "benchmarks", "tools"), declared("test", "peers")
    assert {name: path for name, path in used.items() if name not in wanted} == {}


def test_import_loads_nothing_heavy():
    code = f"import sys, aqreanalysis; print(*(set({HEAVY}) & set(sys.modules)))"
    assert in_new_interpreter(code) == ""


def test_a_reanalysis_loads_nothing_that_it_has_no_use_for():
    others = ["scipy.stats", "aqreanalysis.observations.sources", "aqreanalysis.derived"]
    others += ["aqreanalysis.outlook", "aqreanalysis.maps", "torch"]
    code = f"import sys, aqreanalysis.reanalysis; print(*(set({others}) & set(sys.modules)))"
    assert in_new_interpreter(code) == ""


def test_a_report_loads_torch_for_a_method_alone_that_needs_it():
    code = "import sys, aqreanalysis.report; print('torch' in sys.modules)"
    assert in_new_interpreter(code) == "False"


def test_a_model_that_is_loaded_does_without_what_only_learning_needs():
    code = "import sys, aqreanalysis.methods.neural.reanalyser; print('scipy.stats' in sys.modules)"
    assert in_new_interpreter(code) == "False"


def test_covariances_are_learned_without_the_compiler_of_torch():
    code = (
        "import sys; from aqreanalysis import Reanalyser, Schedule; "
        "from aqreanalysis.datasets import synthetic_network; "
        "observations = synthetic_network(stations=8, hours=48).observations[['pm25']]; "
        "quick = Schedule(covariance_updates=2, validation_windows=2); "
        "Reanalyser(schedule=quick, progress=False).fit(observations, 'pm25'); "
        "print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    assert in_new_interpreter(code) == "True False"


def test_import_is_quick():
    code = (
        "import time; begin = time.process_time(); import xarray; xarray_s = time.process_time() "
        "- begin; import aqreanalysis; print(xarray_s, time.process_time() - begin)"
    )
    times = [[float(s) for s in in_new_interpreter(code).split()] for _ in range(3)]
    # One second on a machine that is idle. On one that is not, everything takes longer: xarray,
    # without which nothing here can be, then tells how much.
    assert any(whole < max(1.0, 2 * xarray_alone) for xarray_alone, whole in times), times


@pytest.mark.parametrize("name", aqreanalysis.__all__)
def test_public_names_can_be_imported(name):
    public = getattr(aqreanalysis, name)
    assert name in dir(aqreanalysis)
    assert public.__doc__, f"{name} does not say what it is"


def test_an_unknown_name_is_named_in_the_error():
    with pytest.raises(AttributeError, match="'aqreanalysis' has no attribute 'krige'"):
        aqreanalysis.krige  # noqa: B018


def test_folders_of_modules_export_names_that_exist():
    for path in sorted(PACKAGE.glob("*/__init__.py")):
        module = importlib.import_module(f"aqreanalysis.{path.parent.name}")
        missing = [name for name in vars(module).get("__all__", []) if not hasattr(module, name)]
        assert missing == [], f"aqreanalysis.{path.parent.name}.__all__"


def test_a_file_has_a_name_that_says_which_stage_it_is():
    for path in sources("aqreanalysis"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        assert set(parts) & TOO_VAGUE == set(), path.relative_to(ROOT)


@pytest.mark.parametrize("folder", ["aqreanalysis", "benchmarks", "tools", "tests"])
def test_names_are_those_of_the_field(folder):
    for path in sources(folder):
        for name in names_in(ast.parse(path.read_text())):
            if not name.startswith("test_"):  # a sentence
                assert set(name.lower().split("_")) & NO_NAMES == set(), (path.name, name)


def test_the_readme_names_commands_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_the_lines_of_the_readme_and_of_the_pages_after_it_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = ("README.md", "docs/products.md", "docs/background.md", "docs/verification.md")
    ten_lines, derived, background, verification = (
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)[0]
        for page in pages
    )
    # The same lines with less to learn from and less learning.
    names: dict = {}
    shorter = {
        "hours=240": "hours=48",
        "seed=0)": "seed=0, schedule=aqr.Schedule(covariance_updates=2, updates=0))",
        "grid=0.05": "grid=0.2",
    }
    exec(shortened(ten_lines, shorter), names)
    with aqreanalysis.open_product("pm25.nc") as product:
        assert product.pm25.dims == ("time", "lat", "lon")
    drawn = "grid=0.05, draws=50"
    method = 'grid=0.2, draws=9, method="idw"'
    exec(shortened(derived, {drawn: method, "capture=0.2": "capture=0.05"}), names)
    assert {"pm25_uncertainty", "pm25_q95"} <= set(names["highest"].data_vars)
    assert "pm25_days_above_35" in names["smoky"]
    assert {"pm25_uncertainty", "pm25_q95"} <= set(names["exposure"].data_vars)
    assert names["daily"].sizes["time"] == 3  # two days of UTC
    assert {"pm25_uncertainty", "pm25_q05"} <= set(names["daily"].data_vars)
    assert "pm25_above_75" in names["above"]
    assert "excellent" in names["index"].index_category.flag_meanings
    learning = "schedule=aqr.Schedule(covariance_updates=2, updates=0)"
    quickly = f"background=cams, method=obs.aqnet.fit(background=cams, {learning})"
    shorter = {"cams.nc": "pm25.nc", "grid=0.05": "grid=0.2", "background=cams": quickly}
    exec(shortened(background, shorter), names)
    assert "pm25_q95" in names["product"]
    assert list(names["hidden"].station.values) == list(names["others"].station.values)
    assert Path("pm25.png").is_file()
    assert aqreanalysis.Reanalyser.load("model").variable == "pm25"
    shorter = {"folds=5": 'folds=3, methods=["kriging", "idw"]', "cams.nc": "pm25.nc"}
    exec(shortened(verification, shorter), names)
    assert Path("report.html").is_file()


def test_the_drawing_and_the_table_of_the_architecture_show_every_room_on_its_floor():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawing = (ROOT / "docs" / "pictures" / "architecture.svg").read_text()
    titles = re.findall(r'y="([0-9.]+)" font-size="16"[^>]*>(\w+)<', drawing)
    floors: dict[str, set[str]] = {}
    for height, room in titles:
        floors.setdefault(height, set()).add(room)
    by_height = [floors[height] for height in sorted(floors, key=float)]
    rooms = [set(layer.split(" : ")) for layer in layers if layer != "__main__"]
    assert by_height == rooms
    for _, room in titles:
        assert re.search(rf"^\|.*`{room}/?`", page, re.MULTILINE), f"no row has {room}"


def test_the_method_of_the_architecture_page_runs():
    page = (ROOT / "docs" / "architecture.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    obs = aqreanalysis.synthetic_network(hours=24, seed=0).observations
    nearest = names["NearestStation"]()
    product = obs.aqnet.reanalyse(grid=0.5, method=nearest.fit(obs, "pm25")).compute()
    assert bool(product.pm25.notnull().any())
    summed = obs.aqnet.verify(methods=[nearest, "idw"], folds=2, progress=False)
    assert list(summed.estimator.values) == ["nearest", "idw"]


def shortened(code: str, shorter: dict[str, str]) -> str:
    """Return code with some parts replaced, each of which must be there."""
    for long, short in shorter.items():
        assert long in code
        code = code.replace(long, short)
    return code


def test_the_links_of_the_readme_work_where_it_is_shown():
    """Package indexes show the README too, without the files beside it."""
    own = project()["urls"]["Homepage"]
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for picture, link in re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", README):
        if link.startswith("#"):
            assert link[1:] in anchors, link
            continue
        assert link.startswith("https://"), f"{link} is relative"
        if link.startswith(own):
            folder = f"{own}/raw/main/" if picture else f"{own}/blob/main/"
            assert link.startswith(folder), link
            assert (ROOT / link.removeprefix(folder)).is_file(), link


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    table = project()
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == table["version"]
    assert citation["license"] == table["license"]
    assert citation["repository-code"] == table["urls"]["Homepage"]
    assert citation["authors"] == table["authors"]


def test_the_workflows_call_commands_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    (path,) = (ROOT / ".github" / "workflows").glob("*.yml")
    workflow = yaml.safe_load(path.read_text())
    systems, called = set(), set()
    for job in workflow["jobs"].values():
        systems |= set(job.get("strategy", {}).get("matrix", {}).get("os", [job["runs-on"]]))
        for line in (step["run"] for step in job["steps"] if "run" in step):
            if match := re.match(r"make ([a-z-]+)", line):
                called.add(match[1])
            else:
                assert line.startswith(
                    ("python -m pip install ", "python -m pytest ", "pip-audit ")
                ), line
    assert {name.partition("-")[0] for name in systems} == {"ubuntu", "macos", "windows"}
    assert {"lint", "test", "test-lowest"} <= called <= targets


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> set[str]:
    """Return the files of a source distribution of a copy of this tree."""
    copy = tmp_path_factory.mktemp("tree") / "aqreanalysis"
    left_out = shutil.ignore_patterns(".git", ".venv*", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=left_out)
    build = "import setuptools.build_meta as b; b.build_sdist('..')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    (archive,) = copy.parent.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        return {name.partition("/")[2] for name in packed.getnames()}


def test_the_wheel_holds_every_file_that_the_package_reads():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["aqreanalysis"]
    read = [path for path in PACKAGE.rglob("*.*") if path.suffix not in (".py", ".pyc")]
    names = {"geography.nc", "natural_earth.parquet", "pretrained.safetensors", "viewer.js"}
    assert names <= {path.name for path in read}
    for path in read:
        name = path.relative_to(PACKAGE)
        assert any(name.match(pattern) for pattern in patterns), name


@pytest.mark.parametrize("folder", ["aqreanalysis", "benchmarks", "tests", "notebooks", ".github"])
def test_the_source_distribution_holds_whole_folders(folder, sdist):
    passing = {"__pycache__", ".ipynb_checkpoints"}
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not passing & set(path.parts)
    }
    assert files
    assert files - sdist == set()


def test_the_source_distribution_holds_what_tests_read_at_the_top(sdist):
    names = {"Makefile", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE"}
    names |= {"pyproject.toml", "environment.yml", "constraints.txt", "constraints-lowest.txt"}
    assert names - sdist == set()
    assert not any("__pycache__" in name or ".venv" in name for name in sdist)
