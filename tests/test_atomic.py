"""Files and folders appear whole, with usual permissions, and never half."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

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
    clean,
    earlier_of,
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


def killed_writer(target):
    """Write half of a file in a process that is then killed."""
    script = f"""
from pathlib import Path
from aqreanalysis.atomic import atomic_file
with atomic_file(Path({str(target)!r})) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        yield
        process.kill()


def test_what_a_killed_run_left_is_removed_by_the_next_and_not_before(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("earlier")
    for _ in killed_writer(target):
        write_bytes(target, b"meanwhile")  # the other one is still alive
        assert len(list(tmp_path.iterdir())) == 2
    assert target.read_text() == "meanwhile"
    write_bytes(target, b"next")

    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_link_of_the_name_of_a_leftover_is_not_followed(tmp_path):
    folder = tmp_path / "of a user"
    folder.mkdir()
    for name in ("lock", "earlier"):
        (folder / name).write_text("mine")
    (tmp_path / ".note.txt.partial-1234").symlink_to(folder)
    write_bytes(tmp_path / "note.txt", b"new")
    assert sorted(path.name for path in folder.iterdir()) == ["earlier", "lock"]
    assert {path.read_text() for path in folder.iterdir()} == {"mine"}


def test_what_was_killed_while_it_was_removed_is_removed(tmp_path):
    """The lock may have gone first."""
    left = tmp_path / ".table.csv.partial-0123"
    (left / "table.csv").mkdir(parents=True)
    (tmp_path / ".table.csv.partial-4567").mkdir()

    write_bytes(tmp_path / "table.csv", b"next")

    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_kill_between_two_renames_loses_nothing(tmp_path):
    """On file systems where names cannot change places in one step."""
    left = tmp_path / ".store.zarr.partial-0123"
    for name in ("earlier", "store.zarr"):
        (left / name).mkdir(parents=True)
        (left / name / "content").write_text(name)
    (left / "lock").touch()

    clean(tmp_path / "store.zarr")

    assert (tmp_path / "store.zarr" / "content").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["store.zarr"]


@pytest.mark.parametrize("exchanged", [True, False])
def test_any_number_of_writers_may_replace_a_folder(tmp_path, monkeypatch, exchanged):
    if not exchanged:
        monkeypatch.setattr("aqreanalysis.atomic._exchanged", lambda *names: False)
        monkeypatch.setattr("aqreanalysis.atomic.clean", lambda target: None)
    target, failures = tmp_path / "model", []

    def write(text):
        for _ in range(20 if exchanged else 1):
            try:
                with atomic_folder(target) as partial:
                    (partial / "content").write_text(text)
            except OSError as failure:
                failures.append(failure)

    threads = [
        threading.Thread(target=write, args=(text,)) for text in "abcd"[: 4 * exchanged or 1]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert (target / "content").read_text() in "abcd"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither")
@pytest.mark.parametrize("make", ["pipe", "link to a pipe", "link to a device"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_pipe_or_a_device_is_not_replaced(writer, make, tmp_path):
    target = tmp_path / ("target.png" if writer == "map" else "target")
    special = Path(os.devnull)
    if "pipe" in make:
        special = target if make == "pipe" else tmp_path / "pipe"
        os.mkfifo(special)
    if "link" in make:
        target.symlink_to(special)
    before = special.stat()

    with pytest.raises((RuntimeError, ValueError), match=r"device, a pipe|no saved model"):
        WRITERS[writer](target)

    assert (special.stat().st_mode, special.stat().st_ino) == (before.st_mode, before.st_ino)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize("writer", WRITERS)
def test_links_are_followed(writer, tmp_path):
    name = "real.png" if writer == "map" else "real"
    WRITERS[writer](tmp_path / name)
    link = tmp_path / name.replace("real", "latest")
    link.symlink_to(name)
    before = (tmp_path / name).stat().st_ino

    WRITERS[writer](link)

    assert link.is_symlink()
    assert (tmp_path / name).stat().st_ino != before


def test_the_longest_name_can_be_written_and_a_longer_one_is_refused(tmp_path):
    write_bytes(tmp_path / ("é" * 125 + ".html"), b"")
    with pytest.raises(WriteError, match=r"255 bytes at most, and this one 256"):
        check_target(tmp_path / ("n" * 251 + ".html"), overwrite=True)


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
    with pytest.raises(MapError, match=r"is read-only\. Name"), explained(tmp_path / "a", MapError):
        raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize("kind", ["link to nothing", "link to itself", "link to a folder", "pipe"])
def test_whatever_has_the_name_of_the_version_before_makes_room_for_it(tmp_path, kind):
    store, other = tmp_path / "store.zarr", tmp_path / "other"
    other.mkdir()
    (other / "note").write_text("of somebody else")
    earlier = earlier_of(store)
    if kind == "pipe":
        os.mkfifo(earlier)
    else:
        earlier.symlink_to({"link to nothing": "none", "link to itself": earlier}.get(kind, other))
    for version in "12":
        with atomic_folder(store, leave_earlier=True) as partial:
            (partial / "version").write_text(version)
    assert [(folder / "version").read_text() for folder in (earlier, store)] == ["1", "2"]
    assert (other / "note").read_text() == "of somebody else"
