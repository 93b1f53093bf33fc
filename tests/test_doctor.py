"""The doctor says what an installation has, and what is wrong with it."""

import json
import logging
import subprocess
import sys

import pytest
from filelock import FileLock

from aqreanalysis import doctor
from aqreanalysis.cli import application, main


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command, and return its status and what it wrote to both streams."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["aqreanalysis", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return ended.value.code or 0, written.out, written.err

    before = logging.getLogger("aqreanalysis").level
    yield run
    logging.getLogger("aqreanalysis").setLevel(before)


def finding(subject, **options):
    return next(one for one in doctor.examine(**options) if one.subject == subject)


def test_all_is_well_here(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AQREANALYSIS_DATA_DIR", raising=False)

    status, out, err = run("doctor")

    assert (status, err) == (0, "")
    assert out.endswith("All is well\n")
    assert "self-test          passed in" in out
    assert list(tmp_path.iterdir()) == []


def test_a_program_reads_it(run):
    status, out, _ = run("doctor", "--no-self-test", "--json")

    assert status == 0
    assert {"subject": "card", "remedy": ""}.items() <= {
        key: value
        for one in json.loads(out)
        if one["subject"] == "card"
        for key, value in one.items()
    }.items()


@pytest.mark.parametrize(
    ("installed", "words"), [(None, "xarray is not installed"), ("0.1", "xarray is 0.1, and >=")]
)
def test_a_package_that_is_missing_or_too_old_is_named_with_the_remedy(
    installed, words, monkeypatch
):
    version = doctor.metadata.version

    def other(name):
        if name != "xarray":
            return version(name)
        if installed is None:
            raise doctor.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(doctor.metadata, "version", other)
    wrong = finding("required packages", self_test=False)

    assert words in wrong.state
    assert wrong.remedy.startswith("pip install 'xarray>=")


def test_a_folder_of_data_that_is_not_there_is_named(monkeypatch, run, tmp_path):
    monkeypatch.setenv("AQREANALYSIS_DATA_DIR", str(tmp_path / "nowhere"))

    status, out, _ = run("doctor", "--no-self-test")

    assert status == 1
    assert "nowhere is no folder" in out
    assert " needs attention" in out.splitlines()[-1]


def test_a_self_test_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(doctor, "_ROUNDING", 0.0)

    wrong = finding("self-test")

    assert "RuntimeError: pm25 differs by" in wrong.state
    assert wrong.remedy


def test_little_memory_is_said(monkeypatch):
    monkeypatch.setattr(doctor, "free_bytes", lambda: 1e8)

    assert finding("memory", self_test=False).remedy


def test_a_product_that_another_run_is_writing_has_a_status_of_its_own(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    doctor.synthetic_network(hours=6, seed=0).observations.aqnet.to_table("stations.csv")
    (tmp_path / ".out.nc.finished").mkdir()
    with FileLock(tmp_path / ".out.nc.finished" / "lock"):
        status, _, err = run(
            "reanalyse",
            "stations.csv",
            "-o",
            "out.nc",
            "--method",
            "idw",
            "--grid",
            0.5,
            "--resume",
        )

    assert status == application.LOCKED.number == 4
    assert "another run is writing" in err


def test_less_and_more_of_the_log_exclude_each_other(run):
    status, _, error = run("--quiet", "--verbose", "sources")
    assert status == 2
    assert "leave one of them out" in error


def test_the_package_is_a_command_too():
    called = [sys.executable, "-m", "aqreanalysis", "--help"]
    done = subprocess.run(called, capture_output=True, text=True, check=True)
    assert "python -m aqreanalysis" in done.stdout
    assert "doctor" in done.stdout
