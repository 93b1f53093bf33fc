"""The measurements of speed run, on a small case, and their tables say what was measured."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks is not installed

pytest.importorskip("resource", reason="Windows does not tell the most memory that was in use")

import aqreanalysis as aqr
from aqreanalysis.product import open_product
from benchmarks import archive, command, exporting, film, growth, month, profiling, speed
from benchmarks.invented import stations_of
from benchmarks.speed import Timed


def test_ratios_are_those_of_wall_time():
    results = [Timed("scipy, sparse", 1000, 1.0, 1.0), Timed("neural", 3000, 1.5, 2.5)]
    *_, last = speed.table(results).splitlines()
    assert last == "| neural | 3,000 | 1.50 | 2.50 | 0.002 | 2 |"


def test_the_quickest_run_counts():
    seconds = iter([0.05, 0.0, 0.02])
    result = timed_sleeps(seconds)
    assert result.wall_seconds < 0.015


def timed_sleeps(seconds):
    """Return the time of three runs that sleep."""
    from time import sleep

    return speed.timed("sleep", 1, lambda: sleep(next(seconds)), repeats=3)


def test_invented_stations_miss_the_share_that_is_asked_for():
    assert abs(np.isnan(stations_of(50, 400).pm25).mean() - 0.07) < 0.01
    assert np.isfinite(stations_of(50, 400, missing=0.0).pm25).all()


@pytest.mark.slow
@pytest.mark.benchmark
def test_all_methods_and_peers_are_in_one_table(monkeypatch, capsys):
    monkeypatch.setattr(speed, "CELL", 2.5)
    monkeypatch.setattr(speed, "STATIONS", 20)
    monkeypatch.setattr(speed, "REPEATS", 1)
    assert command.main(["speed", "--hours", "24"]) == 0
    printed = capsys.readouterr().out
    for name in (
        "neural, all layers, 7 % missing",
        "neural, covariance alone, again, 7 % missing",
        "neural, covariance alone, and 50 draws, 7 % missing",
        "kriging, none missing",
        "idw, 7 %",
        "scipy",
        "PyKrige",
    ):
        assert name in printed


def test_a_profile_tells_what_takes_the_time(monkeypatch, capsys):
    monkeypatch.setattr(profiling, "CELL", 2.5)
    monkeypatch.setattr(profiling, "STATIONS", 20)
    assert command.main(["profile", "--hours", "24", "--covariance"]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("| of ")
    assert len(lines) == profiling.MOST
    own = [float(line.split("|")[3]) for line in lines]
    assert own == sorted(own, reverse=True)
    assert any("torch" in line for line in lines)


def test_growth_is_drawn_with_its_slope(tmp_path):
    results = [
        growth.Grown("idw", axis, size, 0.1, 0.5, 0.5 + size / 1000)
        for axis, sizes in growth.SIZES.items()
        for size in sizes
    ]
    assert growth.picture(results, tmp_path / "new" / "growth.png").stat().st_size > 10_000
    assert "| idw | cells | 65,536 | 0.10 | 0.50 | 65.54 |" in growth.table(results)


def test_a_month_is_written_and_its_memory_told(monkeypatch, tmp_path):
    monkeypatch.setattr(month, "STATIONS", 20)
    monkeypatch.setattr(month, "CELL", 10.0)
    line = month.write_month(tmp_path / "month.nc", 24, "1GB")
    assert line.startswith("24 h, 576 cell-hours: ")
    with open_product(tmp_path / "month.nc") as product:
        assert np.isfinite(product.pm25).all()


@pytest.mark.slow
@pytest.mark.benchmark
def test_years_of_files_become_an_archive_beside_a_parser(tmp_path, capsys):
    arguments = ["archive", str(tmp_path), "--years", "1", "--stations", "2", "--suffix", "parquet"]
    assert command.main(arguments) == 0
    head, _, own, month_of_it, peer = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("|")
    )
    assert head.startswith("| what | seconds | CPU s | rows |")
    # 2 stations, 365 days of 24 h.
    assert "1 years x 2 stations, 12 parquet files of 0.00 GB to 0.00 GB of Zarr" in own
    assert "| 17,520 |" in own
    assert "| 1,488 |" in month_of_it
    assert "pyarrow.parquet.read_table" in peer
    # The parser of so small a file may end before its memory is looked at.
    assert float(own.split("|")[-2].replace(",", "")) > 50


def test_invented_files_are_a_row_a_station_and_hour_with_gaps(tmp_path):
    (file, *_) = archive.generate(tmp_path, 1, 3, "csv")
    obs = aqr.open_observations(file)
    assert dict(obs.sizes) == {"station": 3, "time": 744}
    assert 0.02 < float(obs.pm25.isnull().mean()) < 0.15
    assert float(obs.co.mean()) > 10 * float(obs.pm25.mean())
    before = file.stat().st_mtime_ns
    archive.generate(tmp_path, 1, 3, "csv")
    assert file.stat().st_mtime_ns == before


def test_an_animation_is_written_and_its_time_said(tmp_path):
    result = film.animated(tmp_path / "film.gif", hours=2)
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")
    assert result.name == "2 hours to .gif"
    assert result.values == 2 * 100 * 230
    assert result.wall_seconds > 0


def test_every_format_is_written_and_its_size_said(tmp_path):
    obs = aqr.synthetic_network(hours=6, seed=0).observations
    usual = {"method": "idw", "progress": False}
    field = obs.aqnet.reanalyse("pm25", grid=0.5, **usual)
    head, *rows = exporting.lines(
        tmp_path / "exports", field, obs.aqnet.reanalyse("pm25", at=obs, **usual)
    )
    assert head.count("|") == 10
    assert len(rows) == 13
    assert all(row.count("|") == 5 for row in rows)
    assert {path.suffix for path in (tmp_path / "exports").iterdir()} >= {".tif", ".gpkg", ".zarr"}
