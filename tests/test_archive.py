"""An archive holds what its files hold, each read once; it is whole or not there; it is lazy."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import xarray as xr
from typer.testing import CliRunner

import aqreanalysis as aqr
from aqreanalysis.atomic import WriteError
from aqreanalysis.cli import app
from aqreanalysis.observations import ObservationError
from aqreanalysis.observations.archive import blocks, writing

STATIONS = 12


def network(days: int = 70, seed: int = 0, start: str = "2020-01-01") -> pd.DataFrame:
    """Return a long table of an invented network, some of it missing."""
    rng = np.random.default_rng(seed)
    hours = pd.date_range(start, periods=24 * days, freq="h")
    level = 20 + 8 * np.sin(np.arange(hours.size) / 24 * 2 * np.pi)[:, None]
    values = np.round(level * rng.lognormal(0, 0.3, (hours.size, STATIONS)), 1)
    values[rng.random(values.shape) < 0.1] = np.nan
    table = pd.DataFrame(
        {
            "station": np.tile([f"S{n:02d}" for n in range(STATIONS)], hours.size),
            "time": np.repeat(hours.strftime("%Y-%m-%dT%H:%MZ"), STATIONS),
            "longitude": np.tile(10 + 0.2 * np.arange(STATIONS), hours.size),
            "latitude": np.tile(50 + 0.1 * (np.arange(STATIONS) % 5), hours.size),
            "pm25 (ug/m3)": values.ravel(),
        }
    )
    return table.assign(**{"no2 (ug/m3)": np.round(table["pm25 (ug/m3)"] * 1.7, 1)})


def monthly(folder: Path, table: pd.DataFrame, suffix: str = "csv") -> list[Path]:
    """Return the files of each month of a table."""
    folder.mkdir(exist_ok=True)
    files = []
    for month, part in table.groupby(table["time"].str[:7]):
        files.append(folder / f"{month}.{suffix}")
        if suffix == "csv":
            part.to_csv(files[-1], index=False)
        else:
            part.to_parquet(files[-1], index=False)
    return files


def archived(source: object, target: Path, **options: object) -> xr.Dataset:
    """Return an archive of files, written by this process."""
    settings = {"workers": 1, "progress": False} | options
    return aqr.open_observations(aqr.write_archive(source, target, **settings))


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Check that values, places, hours and attributes are the same."""
    left = [d.compute().drop_attrs(deep=False) for d in (one, other)]
    xr.testing.assert_identical(
        left[0][sorted(left[0].data_vars)], left[1][sorted(left[1].data_vars)]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    monthly(tmp_path / "months", network())
    return tmp_path / "months"


def left_in(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_archive_holds_what_its_files_hold_together(tmp_path: Path, suffix: str) -> None:
    monthly(tmp_path / "months", network(), suffix)
    archive = archived(tmp_path / "months", tmp_path / "a.zarr")
    same(archive, aqr.open_observations(tmp_path / "months"))
    assert archive.pm25.chunks == ((STATIONS,), (744, 744, 192))
    assert "read months (3 files), 12 stations, 1680 stamps" in archive.attrs["history"]
    assert left_in(tmp_path) == {"months", "a.zarr"}


def test_processes_of_their_own_write_the_same(folder: Path, tmp_path: Path) -> None:
    alone = archived(folder, tmp_path / "a.zarr")
    same(archived(folder, tmp_path / "b.zarr", workers=2), alone)


def test_files_of_one_station_each_and_a_list_of_places_are_read(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    table = network(20)
    places = table.drop_duplicates("station")[["station", "longitude", "latitude"]]
    places.to_csv(tmp_path / "net" / "stations.csv", index=False)
    for station, part in table.groupby("station"):
        part = part.drop(columns=["station", "longitude", "latitude"])
        part.to_csv(tmp_path / "net" / f"{station}.csv", index=False)
    archive = archived(tmp_path / "net", tmp_path / "a.zarr")
    same(archive, aqr.open_observations(tmp_path / "net"))
    assert "the station is taken from the file's name" in archive.attrs["history"]


def test_options_of_reading_hold_for_every_file(tmp_path: Path) -> None:
    table = network(40).rename(columns={"pm25 (ug/m3)": "dust", "time": "when"})
    table = table.drop(columns="no2 (ug/m3)").assign(QC=np.arange(len(table)) % 7)
    table["when"] = table["when"].str.rstrip("Z")
    monthly(tmp_path / "months", table.rename(columns={"when": "time"}))
    options = {"columns": {"pm25": "dust"}, "time_zone": "UTC+8", "valid": "QC<6"}
    options |= {"time_label": "end", "units": "mg/m3"}
    archive = archived(tmp_path / "months", tmp_path / "a.zarr", **options)
    same(archive, aqr.open_observations(tmp_path / "months", **options))
    assert archive.time.attrs["time_label"] == "end"


def test_files_of_different_columns_and_units_come_together(tmp_path: Path) -> None:
    first, second = monthly(tmp_path / "months", network(50))
    table = pd.read_csv(second)
    table = table.rename(columns={"no2 (ug/m3)": "no2 (mg/m3)", "pm25 (ug/m3)": "o3 (ug/m3)"})
    table["no2 (mg/m3)"] /= 1000
    table.to_csv(second, index=False)
    archive = archived(tmp_path / "months", tmp_path / "a.zarr")
    same(archive, aqr.open_observations(tmp_path / "months"))
    assert set(archive.data_vars) == {"pm25", "no2", "o3"}
    assert archive.pm25.isel(time=slice(-24, None)).isnull().all()
    assert "converted from mg/m3 to ug m-3 (times 1000) (in 1 of 2 files" in archive.history
    assert first.exists()


def test_a_missing_month_and_the_same_month_twice_are_said(folder: Path, tmp_path: Path) -> None:
    (folder / "2020-02.csv").unlink()
    (folder / "again.csv").write_bytes((folder / "2020-01.csv").read_bytes())
    archive = archived(folder, tmp_path / "a.zarr")
    same(archive, aqr.open_observations(folder))
    count = int(archive.pm25.sel(time="2020-01").count())
    assert f"{count} values of pm25 stand in several files and are the same" in archive.history
    assert (
        "no file has 696 of the hours, which are missing: 2020-02-01T00:00 UTC to "
        "2020-02-29T23:00 UTC (696 steps)" in archive.history
    )


@pytest.mark.parametrize("rule", ["error", "first", "last", "mean"])
def test_conflicts_between_files_are_resolved_by_the_rule_of_duplicates(
    folder: Path, tmp_path: Path, rule: str
) -> None:
    table = pd.read_csv(folder / "2020-01.csv")
    table = table[:30].assign(**{"pm25 (ug/m3)": 5.0})
    table.to_csv(folder / "corrected.csv", index=False)
    archive = archived(folder, tmp_path / "a.zarr", duplicates=rule)
    same(archive, aqr.open_observations(folder, duplicates=rule))
    assert "station-hours have different values of pm25" in archive.history
    pd.read_csv(folder / "2020-01.csv").assign(**{"pm25 (ug/m3)": 5.0}).to_csv(
        folder / "corrected.csv", index=False
    )
    if rule == "error":
        with pytest.raises(ObservationError, match=r"\d+ station-hours have different values of p"):
            archived(folder, tmp_path / "b.zarr")
        assert left_in(tmp_path) == {"months", "a.zarr"}


def test_a_code_that_some_weeks_reveal_is_missing_in_all(folder: Path, tmp_path: Path) -> None:
    january, march = pd.read_csv(folder / "2020-01.csv"), pd.read_csv(folder / "2020-03.csv")
    january.loc[100:140, "no2 (ug/m3)"] = 985.0
    march.loc[200, "no2 (ug/m3)"] = 985.0  # alone it may be a measurement
    january.to_csv(folder / "2020-01.csv", index=False)
    march.to_csv(folder / "2020-03.csv", index=False)
    archive = archived(folder, tmp_path / "a.zarr")
    assert float(archive.no2.max()) < 300
    assert "are exactly 985 and far from the rest: probably a missing code" in archive.history
    assert "1 values of no2 are codes that stand out at other times" in archive.history
    with pytest.raises(ObservationError, match="probably a missing code"):
        archived(folder, tmp_path / "b.zarr", strict=True)


def test_a_code_amid_measurements_is_missing_at_its_station_alone(tmp_path: Path) -> None:
    table = network(120)
    smooth = 30 + 20 * np.sin(np.arange(len(table)) // STATIONS / 20)
    table["pm25 (ug/m3)"] = np.round(smooth + np.arange(len(table)) % STATIONS, 1)
    own, other = (np.flatnonzero(table.station.to_numpy() == name) for name in ("S03", "S07"))
    table.loc[own[:1400:40], "pm25 (ug/m3)"] = 0.0  # amid any level, in the first two blocks
    table.loc[own[2500], "pm25 (ug/m3)"] = 0.0
    table.loc[other[2500], "pm25 (ug/m3)"] = 0.0
    monthly(tmp_path / "months", table)
    archive = archived(tmp_path / "months", tmp_path / "a.zarr").compute()
    assert "stand beside values of any level" in archive.history
    zeros = archive.pm25.where(archive.pm25 == 0, drop=True)
    assert zeros.station.values.tolist() == ["S07"]
    assert np.isnan(float(archive.pm25.sel(station="S03")[2500]))


def test_stations_that_move_or_stand_wrong_are_treated_as_in_one_table(
    folder: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(folder / "2020-03.csv")
    table.loc[table.station == "S03", "latitude"] = 51.0
    table.to_csv(folder / "2020-03.csv", index=False)
    with pytest.raises(ObservationError, match="station S03 moves") as refused:
        archived(folder, tmp_path / "a.zarr")
    assert "split_moved=True" in str(refused.value)
    archive = archived(folder, tmp_path / "a.zarr", split_moved=True)
    same(archive, aqr.open_observations(folder, split_moved=True))
    assert archive.sizes["station"] == STATIONS + 1
    table.loc[table.station == "S03", ["longitude", "latitude"]] = 0.0
    table.loc[table.station == "S03", "station"] = "Z"
    table.to_csv(folder / "2020-03.csv", index=False)
    archive = archived(folder, tmp_path / "a.zarr")
    assert "Z" not in archive.station
    assert "station Z is at 0, 0" in archive.history


def test_all_broken_files_are_named_at_once_or_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "2020-02.csv").write_text("station,time\nA,yesterday\n")
    (folder / "2020-04.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ObservationError, match="2 of 4 files cannot be read") as refused:
        archived(folder, tmp_path / "a.zarr")
    assert "2020-02.csv: " in str(refused.value)
    assert "2020-04.parquet: " in str(refused.value)
    assert "--skip-broken" in str(refused.value)
    assert left_in(tmp_path) == {"months"}
    archive = archived(folder, tmp_path / "a.zarr", skip_broken=True)
    (folder / "2020-02.csv").unlink()
    (folder / "2020-04.parquet").unlink()
    same(archive, aqr.open_observations(folder))
    assert "left out, since it cannot be read: 2020-02.csv" in archive.history


def test_files_that_do_not_fit_together_are_refused_with_one_of_each(
    folder: Path, tmp_path: Path
) -> None:
    late = pd.read_csv(folder / "2020-02.csv")
    late["time"] = late["time"].str.replace(":00Z", ":30Z")
    late.to_csv(folder / "2020-02.csv", index=False)
    with pytest.raises(ObservationError, match=r"stamps lie between .* 2020-02.csv.*resample"):
        archived(folder, tmp_path / "a.zarr")
    labels = late.assign(time_label="end")
    labels["time"] = labels["time"].str.replace(":30Z", ":00Z")
    labels.to_csv(folder / "2020-02.csv", index=False)
    with pytest.raises(
        ObservationError, match=r"labels differ: start in 2020-01.csv, end in 2020-"
    ):
        archived(folder, tmp_path / "a.zarr")
    wrong = pd.read_csv(folder / "2020-01.csv")[: 12 * 24]
    wrong["time"] = wrong["time"].str.replace("2020", "1700")
    wrong.to_csv(folder / "2020-02.csv", index=False)
    with pytest.raises(ObservationError, match=r"1700-01-01T00:00 UTC \(2020-02.csv\).*date wrong"):
        archived(folder, tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: aqr.write_archive(p / "months", p / "a.nc"), "end its name in .zarr"),
        (lambda p: aqr.write_archive(p / "none", p / "a.zarr"), "there is no file"),
        (lambda p: aqr.write_archive(p / "empty", p / "a.zarr"), "there is no table in .*empty"),
        (lambda p: aqr.write_archive([], p / "a.zarr"), "the list of files is empty"),
        (lambda p: aqr.write_archive(p / "old.zarr", p / "a.zarr"), "is an archive already"),
        (lambda p: aqr.write_archive(p / "months", p / "empty.zarr"), "exists, and is no Zarr"),
        (lambda p: aqr.write_archive(p / "months", p / "no" / "a.zarr"), "there is no folder"),
        (lambda p: aqr.write_archive(p / "months", p / "a.zarr", unit="ppb"), "no option .* unit"),
        (lambda p: aqr.write_archive(p / "months", p / "a.zarr", memory="x"), "memory must be as"),
        (lambda p: aqr.write_archive(p / "months", p / "a.zarr", source="x"), "source must be one"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(tmp_path, folder, make, message) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "old.zarr").mkdir()
    (tmp_path / "old.zarr" / ".zgroup").write_text("{}")
    with pytest.raises((ObservationError, WriteError, ValueError), match=message):
        make(tmp_path)
    assert left_in(tmp_path) == {"months", "empty", "empty.zarr", "old.zarr"}


def test_an_earlier_archive_stays_until_the_new_one_is_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = archived(folder / "2020-01.csv", tmp_path / "a.zarr").compute()
    with pytest.raises(ObservationError, match="exists, and overwrite is False"):
        archived(folder, tmp_path / "a.zarr", overwrite=False)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "write_block", full)
    with pytest.raises(WriteError, match=r"cannot write .*a.zarr: the disk is full .*nothing was"):
        archived(folder, tmp_path / "a.zarr")
    same(aqr.open_observations(tmp_path / "a.zarr"), first)
    assert left_in(tmp_path) == {"months", "a.zarr"}


def test_a_run_that_was_cut_off_goes_on_from_the_files_it_has_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "2020-04.parquet").write_bytes(b"broken")
    with pytest.raises(ObservationError, match="1 of 4 files"):
        archived(folder, tmp_path / "a.zarr", resume=True)
    assert left_in(tmp_path) == {"months", ".a.zarr.parts"}
    (folder / "2020-04.parquet").unlink()
    table = pd.read_csv(folder / "2020-03.csv").assign(**{"pm25 (ug/m3)": 3.5})
    table.to_csv(folder / "2020-03.csv", index=False)  # another file now
    with caplog.at_level(logging.INFO):
        archive = archived(folder, tmp_path / "a.zarr", resume=True)
    assert "2 of 3 files are read already" in caplog.text
    same(archive, aqr.open_observations(folder))
    assert left_in(tmp_path) == {"months", "a.zarr"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_neither_a_store_nor_a_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    monthly(tmp_path / "months", network(400))
    program = "from aqreanalysis.cli import main; main()"
    arguments = ["convert", str(tmp_path / "months"), "-o", str(tmp_path / "a.zarr")]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments, "--workers", "2"],
        stderr=subprocess.PIPE,
        # A job in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as run:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a.zarr.partial-*/*.npz")) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert b"interrupted; nothing was written under the final name" in errors
    assert left_in(tmp_path) == {"months"}
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    monthly(tmp_path / "months", network(400))
    program = "import aqreanalysis as aqr, sys; aqr.write_archive(*sys.argv[1:], workers=1)"
    arguments = [str(tmp_path / "months"), str(tmp_path / "a.zarr")]
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as run:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a.zarr.partial-*/*.npz")) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.kill()
    assert len(left_in(tmp_path)) == 2
    archived(tmp_path / "months", tmp_path / "a.zarr")
    assert left_in(tmp_path) == {"months", "a.zarr"}


def test_a_process_that_is_ended_from_outside_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    monthly(tmp_path / "months", network(400))
    program = "import aqreanalysis as aqr, sys\n"
    program += "if __name__ == '__main__': aqr.write_archive(sys.argv[1], sys.argv[2], workers=2)"
    script = tmp_path / "script.py"
    script.write_text(program)
    arguments = [str(tmp_path / "months"), str(tmp_path / "a.zarr")]
    with subprocess.Popen([sys.executable, str(script), *arguments], stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".a.zarr.partial-*/*.npz")) and time.monotonic() < deadline:
            time.sleep(0.05)
        children = psutil.Process(run.pid).children(recursive=True)
        for child in children:
            if "--multiprocessing-fork" in child.cmdline():
                child.kill()
        _, message = run.communicate(timeout=60)
    assert b"a process was ended while it was at work: for want of memory (say memory=" in message
    assert left_in(tmp_path) == {"months", "script.py"}


def test_no_process_needs_more_than_the_memory_that_is_allowed(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        archived(folder, tmp_path / "a.zarr", memory="300MB", workers=8)
    assert "3 files, read by 1 processes" in caplog.text


# Used lazily.


def spoil(archive: Path, *but: str) -> None:
    """Spoil all blocks of values but some, so that reading one of them is an error."""
    for name in ("pm25", "no2"):
        for block in (archive / name).glob("[0-9]*"):
            if f"{name}/{block.name}" not in but:
                block.write_bytes(b"not to be read")


def test_a_month_of_an_archive_is_reanalysed_from_that_month_alone(
    tmp_path: Path,
) -> None:
    monthly(tmp_path / "months", network(200))
    archived(tmp_path / "months", tmp_path / "a.zarr")
    # Blocks of 744 h: 31 January is the last day of the first.
    spoil(tmp_path / "a.zarr", "pm25/0.1")
    archive = aqr.open_observations(tmp_path / "a.zarr")
    with pytest.raises(RuntimeError, match="blosc"):
        archive.pm25.sel(time="2020-01-31T23").load()
    month = archive[["pm25"]].sel(time="2020-02")
    product = month.aqnet.reanalyse(grid=0.5, method="kriging", progress=False)
    whole = aqr.open_observations(tmp_path / "months", period=slice("2020-02", "2020-02"))
    expected = whole[["pm25"]].aqnet.reanalyse(grid=0.5, method="kriging", progress=False)
    np.testing.assert_array_equal(product.pm25, expected.pm25)


def test_every_command_takes_an_archive_and_a_period(tmp_path: Path) -> None:
    monthly(tmp_path / "months", network(100))
    run = CliRunner().invoke
    archive, product = tmp_path / "a.zarr", tmp_path / "march.nc"
    done = run(app, ["convert", str(tmp_path / "months"), "-o", str(archive), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "a.zarr: 12 stations, 2020-01-01T00:00 to 2020-04-09T23:00 UTC" in done.output
    spoil(archive, "pm25/0.1", "no2/0.1")
    period = ["--period", "2020-02-01", "2020-02-29"]
    done = run(
        app,
        [
            "reanalyse",
            str(archive),
            "-o",
            str(product),
            "--method",
            "idw",
            "--grid",
            "0.5",
            *period,
        ],
    )
    assert done.exit_code == 0, done.output
    with xr.open_dataset(product) as opened:
        assert opened.sizes["time"] == 29 * 24
    done = run(app, ["validate", str(archive), *period])
    assert "2020-02-01T00:00 to 2020-02-29T23:00 UTC" in done.output
    table = tmp_path / "table.csv"
    done = run(app, ["convert", str(archive), "-o", str(table), *period])
    assert done.exit_code == 0, done.output
    assert aqr.open_observations(table).sizes["time"] == 29 * 24


def test_a_period_of_any_source_is_taken(folder: Path) -> None:
    hours = aqr.open_observations(folder, period=slice("2020-02-03", "2020-02-04")).time
    assert hours.values[[0, -1]].astype("datetime64[h]").astype(str).tolist() == [
        "2020-02-03T00", "2020-02-04T23",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no hour lies within"):
        aqr.open_observations(folder, period=slice("2021", "2022"))
    with pytest.raises(ObservationError, match="chunks are those of an archive"):
        aqr.open_observations(folder, chunks={"time": 24})


def test_options_that_come_too_late_are_refused(folder: Path, tmp_path: Path) -> None:
    archived(folder, tmp_path / "a.zarr")
    with pytest.raises(ObservationError, match="units, missing: of no effect on an archive"):
        aqr.open_observations(tmp_path / "a.zarr", units="ppb", missing=-99)
    opened = aqr.open_observations(tmp_path / "a.zarr", chunks={"time": 24})
    assert set(opened.pm25.chunks[1]) == {24}


def test_a_store_of_a_stranger_runs_nothing_and_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    archived(folder, tmp_path / "a.zarr")
    path = tmp_path / "a.zarr" / ".zmetadata"
    whole = path.read_text()

    def changed(**facts: object) -> None:
        described = json.loads(whole)
        described["metadata"]["pm25/.zarray"] |= facts
        path.write_text(json.dumps(described))

    for facts in (
        {"dtype": "|O", "filters": [{"id": "pickle"}]},
        {"filters": [{"id": "pickle"}]},
        {"compressor": {"id": "pickle"}},
    ):
        changed(**facts)
        with pytest.raises(ObservationError, match=r"a.zarr: pm25 is stored as .*expected numbers"):
            aqr.open_observations(tmp_path / "a.zarr")
    changed(shape=[10**9, 10**9])
    with pytest.raises(ObservationError, match=r"pm25 declares .* blocks"):
        aqr.open_observations(tmp_path / "a.zarr")
    path.write_text(whole[:200])
    with pytest.raises(ObservationError, match=r"its .zmetadata is damaged"):
        aqr.open_observations(tmp_path / "a.zarr")
    path.write_text(whole)
    os.symlink("/etc/hostname", tmp_path / "a.zarr" / "pm25" / "0.9")
    with pytest.raises(ObservationError, match=r"holds links, .*: pm25/0.9"):
        aqr.open_observations(tmp_path / "a.zarr")


def test_a_zarr_store_of_something_else_is_refused(tmp_path: Path) -> None:
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "x.zarr", zarr_format=2, consolidated=True)
    with pytest.raises(ObservationError, match="it is no archive of observations: its dimensions"):
        aqr.open_observations(tmp_path / "x.zarr")
    xr.Dataset({"a": ("x", [1.0])}).to_zarr(tmp_path / "y.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(ObservationError, match=r"has no .zmetadata.*xarray.open_zarr"):
        aqr.open_observations(tmp_path / "y.zarr")


def test_memory_of_a_block_is_that_of_its_hours(folder: Path, tmp_path: Path) -> None:
    """A part is read by its hours alone."""
    from aqreanalysis.observations.archive.parts import Part

    archived(folder, tmp_path / "a.zarr")
    values = tmp_path / "values.npy"
    np.save(values, np.arange(24, dtype=np.float32).reshape(1, 2, 12))
    part = Part(
        "a",
        str(values),
        np.array(["A", "B"]),
        {},
        0,
        3600,
        12,
        "start",
        {"pm25": {}},
        {},
        {},
        (),
        (),
    )
    np.testing.assert_array_equal(part.read(3, 5), [[[3, 4], [15, 16]]])
    assert blocks.mask_codes(tmp_path / "a.zarr", {("pm25", -99.0): {0}}, 0, 744) == {}
