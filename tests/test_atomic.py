"""Files and folders appear whole, with usual permissions, and never half."""

import os
import stat
import threading

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from product_cases import make_product
from safetensors.torch import save_file

from aqreanalysis.atomic import (
    WriteError,
    atomic_file,
    atomic_folder,
    check_target,
    explained,
    write_bytes,
)
from aqreanalysis.maps import save_map
from aqreanalysis.methods.saved_model import ModelFolder
from aqreanalysis.product import write_netcdf, write_zarr

WRITERS = {
    "bytes": lambda path: write_bytes(path, b"whole"),
    "product": lambda path: write_netcdf(make_product(), path, progress=False),
    "Zarr": lambda path: write_zarr(make_product(), path),
    "map": lambda path: save_map(Figure(), path.with_suffix(".png")),
    "model": lambda path: ModelFolder("model", "Model", "model.json", 1, ()).save(
        path, {}, {"weight": torch.zeros(2)}
    ),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_written_has_the_permissions_of_any_new_file(writer, umask, tmp_path):
    before = os.umask(umask)
    try:
        WRITERS[writer](tmp_path / "target")
    finally:
        os.umask(before)

    paths = list(tmp_path.rglob("*"))
    assert paths
    for path in paths:
        usual = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == usual & ~umask, path


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_library_that_makes_private_files_makes_none_here(tmp_path):
    with atomic_file(tmp_path / "w.safetensors") as partial:
        save_file({"weight": torch.zeros(2)}, partial)
        partial.chmod(0o600)
    (tmp_path / "other").touch()

    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
@pytest.mark.parametrize("error", [RuntimeError("cut off"), KeyboardInterrupt("cut off")])
@pytest.mark.parametrize("earlier", [True, False])
def test_an_interruption_leaves_nothing_and_an_earlier_target_as_it_was(
    make, error, earlier, tmp_path
):
    target = tmp_path / "target"
    content = target if make is atomic_file else target / "content"
    if earlier:
        content.parent.mkdir(exist_ok=True)
        content.write_text("earlier")

    def write_half() -> None:
        with make(target) as partial:
            (partial if make is atomic_file else partial / "content").write_text("half")
            raise error

    with pytest.raises(type(error), match="cut off"):
        write_half()

    assert [path.name for path in tmp_path.iterdir()] == ["target"] * earlier
    assert not earlier or content.read_text() == "earlier"


def test_a_new_folder_replaces_an_earlier_one_whole(tmp_path):
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "target") as partial:
            (partial / name).touch()

    assert [path.name for path in (tmp_path / "target").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_two_that_write_the_same_file_do_not_meet(tmp_path):
    target, meet = tmp_path / "table.csv", threading.Barrier(2, timeout=30)

    def write(text: str) -> None:
        with atomic_file(target) as partial:
            partial.write_text(text)
            meet.wait()  # both are being written now
            assert partial.read_text() == text

    threads = [threading.Thread(target=write, args=(text * 99,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert target.read_text() in ("a" * 99, "b" * 99)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_bytes_reach_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda number: steps.append("fsync") or fsync(number))
    monkeypatch.setattr("os.replace", lambda *paths: steps.append("replace") or replace(*paths))

    write_bytes(tmp_path / "a", b"")
    with atomic_folder(tmp_path / "b") as partial:
        (partial / "inside").mkdir()
        np.save(partial / "inside" / "c.npy", np.zeros(2))

    assert steps == ["fsync", "replace"] * 2


def test_errors_are_those_that_the_caller_names(tmp_path):
    class MapError(ValueError):
        pass

    with pytest.raises(WriteError, match=r"there is no folder .*Create it"):
        check_target(tmp_path / "a" / "b", overwrite=True)
    with pytest.raises(MapError, match=r"it is a folder\. Name a file in it"):
        check_target(tmp_path, overwrite=True, error=MapError)
    for error, message in (
        (MapError, r"broken\. Check the disk and the quota"),
        (None, r"^broken$"),
    ):
        with pytest.raises(error or OSError, match=message), explained(tmp_path / "a", error):
            raise OSError("broken")
