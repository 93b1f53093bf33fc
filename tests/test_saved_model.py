"""A saved model predicts alone, the same to the last bit; a spoilt or foreign one is refused."""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file

from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.configuration import Configuration, Schedule
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.methods.saved_model import SavedModelError, facts_sum

SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=4, encoder_width=8, decoder_width=8
)
QUICK = Schedule(covariance_updates=2, updates=2, check_every=2, windows=2, validation_windows=2)
GRID = Grid((115.0, 117.0, 39.2, 40.8), 0.4)
FILES = {"reanalyser.json", "weights.safetensors", "network.nc"}


def observations():
    """Return a smooth day over ten random places, with gaps."""
    rng = np.random.default_rng(0)
    lon, lat = 116 + rng.uniform(-1, 1, 10), 40 + rng.uniform(-0.8, 0.8, 10)
    values = 40 + 10 * np.sin(np.arange(40) / 4 + lat[:, None]) + rng.normal(0, 2, (10, 40))
    values[rng.random(values.shape) < 0.1] = np.nan
    time = pd.date_range("2014-11-01T05", periods=40, freq="h")
    return xr.Dataset(
        {"pm25": (("station", "time"), values, {"units": "ug m-3"})},
        coords={
            "station": [f"Straße {number}" for number in range(10)],
            "longitude": ("station", lon),
            "latitude": ("station", lat),
            "time": ("time", time, {"time_label": "start", "step_hours": 1.0}),
        },
    )


@pytest.fixture(scope="module")
def model():
    """Return a fitted model with the network forced on."""
    model = Reanalyser(SMALL, schedule=QUICK, progress=False).fit(observations(), "pm25")
    model.state_for(observations()).facts["heads"] = True
    torch.manual_seed(1)
    torch.nn.init.normal_(model.state_for(observations()).model.leave.weight, std=0.3)
    return model


@pytest.fixture
def folder(model, tmp_path):
    """Return the folder of the saved model."""
    return model.save(tmp_path / "model")


def rewrite(folder, **changes):
    """Change the description as a stranger would, who can count a sha256 too."""
    path = folder / "reanalyser.json"
    description = json.loads(path.read_text())
    description.update(changes)
    description["sha256"] = changes.get(
        "sha256",
        {
            name: sha256((folder / name).read_bytes()).hexdigest()
            for name in ("weights.safetensors", "network.nc")
        },
    )
    description["facts_sha256"] = facts_sum(description)
    path.write_text(json.dumps(description))


def contents(folder):
    """Return every file under a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- there and back


def test_a_loaded_model_predicts_the_same_bits_in_a_new_process(model, folder, tmp_path):
    observations().to_netcdf(tmp_path / "observations.nc")
    script = f"""
import xarray as xr
from aqreanalysis.grid import Grid
from aqreanalysis.methods.neural.reanalyser import Reanalyser
model = Reanalyser.load({str(folder)!r})
with xr.open_dataset({str(tmp_path / "observations.nc")!r}) as dataset:
    field = model.predict(dataset.load(), Grid({GRID.region}, {GRID.resolution}))
field.drop_attrs().to_netcdf({str(tmp_path / "field.nc")!r})
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": ""})

    here = model.predict(observations(), GRID).compute()
    with xr.open_dataset(tmp_path / "field.nc") as stored:
        for name in ("pm25", "pm25_uncertainty", "pm25_flag"):
            np.testing.assert_array_equal(stored[name], here[name])


def test_everything_that_was_learned_comes_back(model, folder):
    loaded = Reanalyser.load(folder)

    assert repr(loaded) == repr(model)
    assert loaded.settings == model.settings
    assert loaded.scores == model.scores
    assert loaded.configuration == SMALL
    assert (
        loaded.state_for(observations()).standardisation
        == model.state_for(observations()).standardisation
    )
    saved, back = (
        model.state_for(observations()).model.state_dict(),
        loaded.state_for(observations()).model.state_dict(),
    )
    assert saved.keys() == back.keys()
    assert all(torch.equal(saved[k], back[k]) and saved[k].dtype == back[k].dtype for k in saved)
    for name in ("station", "longitude", "latitude"):
        np.testing.assert_array_equal(
            loaded.state_for(observations()).network[name], observations()[name]
        )


def test_a_loaded_model_saved_again_is_the_same(folder, tmp_path):
    again = Reanalyser.load(folder).save(tmp_path / "again")

    assert (again / "weights.safetensors").read_bytes() == (
        folder / "weights.safetensors"
    ).read_bytes()
    first, second = (json.loads((f / "reanalyser.json").read_text()) for f in (folder, again))
    first["sha256"].pop("network.nc")
    second["sha256"].pop("network.nc")
    assert first == second


def test_the_folder_holds_three_plain_files_and_no_pickle(folder):
    assert {p.name for p in folder.iterdir()} == FILES
    json.loads((folder / "reanalyser.json").read_text(), parse_constant=pytest.fail)
    load_file(folder / "weights.safetensors")
    assert (folder / "network.nc").read_bytes()[1:4] == b"HDF"


def test_loading_leaves_the_callers_generator_alone(folder):
    state = torch.get_rng_state()

    Reanalyser.load(folder)

    assert torch.equal(torch.get_rng_state(), state)


def test_a_moved_folder_still_loads(folder, tmp_path):
    shutil.move(folder, tmp_path / "elsewhere")

    assert Reanalyser.load(str(tmp_path / "elsewhere")).variable == "pm25"


# --- saving: whole or not at all


def test_an_earlier_model_is_replaced_whole(model, folder):
    (folder / "weights.safetensors").write_bytes(b"old")

    model.save(folder)

    assert {p.name for p in folder.iterdir()} == FILES
    assert Reanalyser.load(folder).variable == "pm25"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_other_files_are_never_deleted(model, folder):
    (folder / "thesis.tex").write_text("the only copy")
    before = contents(folder)

    with pytest.raises(SavedModelError, match=r"holds other files \(thesis.tex\)"):
        model.save(folder)

    assert contents(folder) == before


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_a_name_taken_by_something_else_is_refused(model, tmp_path, make):
    make(tmp_path / "mine")

    with pytest.raises(SavedModelError, match="so it is no saved model of this kind"):
        model.save(tmp_path / "mine")

    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "fails", ["json.dumps", "aqreanalysis.atomic._put_in_place", "safetensors.torch.save_file"]
)
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt("No space")]
)
def test_a_failed_save_leaves_nothing_and_an_earlier_model_untouched(
    model, folder, monkeypatch, fails, error
):
    before = contents(folder.parent)

    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr(fails, broken)
    for target in (folder, folder.parent / "new"):
        with pytest.raises(type(error), match="No space"):
            model.save(target)
    monkeypatch.undo()

    assert contents(folder.parent) == before
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
    assert Reanalyser.load(folder).variable == "pm25"


def test_a_failure_at_the_last_step_puts_the_earlier_model_back(model, folder, monkeypatch):
    before = contents(folder)
    replace, calls = os.replace, []

    def last_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr("os.replace", last_fails)
    monkeypatch.setattr("aqreanalysis.atomic._exchanged", lambda *names: False)
    with pytest.raises(OSError, match="Input/output error"):
        model.save(folder)

    assert contents(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_a_folder_under_a_file_cannot_be_written(model, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        model.save(tmp_path / "file" / "model")


def test_missing_parents_are_made(model, tmp_path):
    assert model.save(tmp_path / "a" / "b" / "model").is_dir()


def test_what_is_not_fitted_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        Reanalyser().save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# --- loading: nothing but what was saved


@pytest.mark.parametrize("name", ["weights.safetensors", "network.nc"])
def test_a_changed_file_is_refused_by_name(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(SavedModelError, match=f"{name} is not the file that was saved"):
        Reanalyser.load(folder)


@pytest.mark.parametrize(
    ("before", "after"), [('"scale": ', '"scale": 1'), ('"seed": 0', '"seed": 1'), ("pm25", "pm10")]
)
def test_a_changed_description_is_refused(folder, before, after):
    path = folder / "reanalyser.json"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))

    with pytest.raises(SavedModelError, match=r"reanalyser\.json is not what was saved"):
        Reanalyser.load(folder)


def test_a_description_of_other_spaces_and_order_is_the_same(folder):
    path = folder / "reanalyser.json"
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))

    assert Reanalyser.load(folder).variable == "pm25"


@pytest.mark.parametrize("name", ["encoder_width", "decoder_width", "neighbours", "context"])
def test_sizes_beyond_any_use_are_refused_before_memory_is_taken(folder, name):
    configuration = json.loads((folder / "reanalyser.json").read_text())["configuration"]
    rewrite(folder, configuration=configuration | {name: 10**7})

    with pytest.raises(SavedModelError, match=f"{name} must be a whole number from 1 to 4096"):
        Reanalyser.load(folder)


def test_a_model_can_be_read_while_another_process_replaces_it(folder):
    script = f"""
from aqreanalysis.methods.neural.reanalyser import Reanalyser
model = Reanalyser.load({str(folder)!r})
print("replacing", flush=True)
while True:
    model.save({str(folder)!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "replacing\n"
            for _ in range(6):
                assert Reanalyser.load(folder).variable == "pm25"
        finally:  # or a failure would wait for ever
            process.kill()


def test_a_model_whose_replacement_was_killed_between_two_renames_is_found(model, folder):
    """On file systems where names cannot change places in one step."""
    left = folder.parent / ".model.partial-0123"
    left.mkdir()
    (left / "lock").touch()
    folder.rename(left / "earlier")

    assert Reanalyser.load(folder).variable == "pm25"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["weights.safetensors", "network.nc"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()

    with pytest.raises(SavedModelError, match=f"lacks {name}; copy the whole folder"):
        Reanalyser.load(folder)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(SavedModelError, match=r"no saved model: it has no reanalyser.json"):
        Reanalyser.load(tmp_path)
    with pytest.raises(SavedModelError, match="is no saved model"):
        Reanalyser.load(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(SavedModelError, match="cannot be read as a saved model"):
        Reanalyser.load(tmp_path / "file")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"reanalyser"', "{}", '{"format": 1}', "\x00\xff", "[" * 100_000],
)
def test_a_description_that_is_none_is_refused(folder, text):
    (folder / "reanalyser.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(SavedModelError, match=r"reanalyser\.json"):
        Reanalyser.load(folder)


@pytest.mark.parametrize("number", [0, 1, 99, "1", None, [1]])
def test_another_format_is_refused_with_its_version(folder, number):
    rewrite(folder, format=number, package="9.9")

    with pytest.raises(SavedModelError, match=r"has format .*9\.9.*reads format 8"):
        Reanalyser.load(folder)


@pytest.mark.parametrize(
    "listed",
    [
        {"../../etc/passwd": "0", "weights.safetensors": "0", "network.nc": "0"},
        {"/etc/passwd": "0"},
        {"weights.safetensors": "0"},
        {},
        ["weights.safetensors", "network.nc"],
        None,
        7,
    ],
)
def test_no_path_but_its_own_files_is_followed(folder, listed):
    rewrite(folder, sha256=listed)

    with pytest.raises(SavedModelError, match="must list exactly weights"):
        Reanalyser.load(folder)


@pytest.mark.parametrize(
    "missing",
    [
        "configuration",
        "standardisation",
        "variable",
        "scores",
        "seed",
        "heads",
        "seasons",
        "step_hours",
        "period",
        "stations",
        "data_hash",
        "units",
    ],
)
def test_a_description_that_lacks_something_is_refused(folder, missing):
    path = folder / "reanalyser.json"
    description = json.loads(path.read_text())
    del description[missing]
    path.write_text(json.dumps(description))

    with pytest.raises(SavedModelError, match=f"not the description of a saved model.*{missing}"):
        Reanalyser.load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("configuration", {"neighbours": 0}),
        ("configuration", {"neighbours": "many"}),
        ("configuration", {"neighbours": 2.5}),
        ("configuration", {"system": "rm"}),
        ("configuration", {"encoder_width": 9}),
        ("configuration", None),
        ("configuration", [1, 2]),
        ("standardisation", {"centre": 1.0}),
        ("standardisation", {"centre": "a", "scale": 1.0}),
        ("standardisation", {"centre": 1.0, "scale": 0.0}),
        ("standardisation", {"centre": float("nan"), "scale": 1.0}),
        ("standardisation", 5),
    ],
)
def test_numbers_that_do_not_fit_are_refused(folder, name, value):
    known = json.loads((folder / "reanalyser.json").read_text())[name]
    whole = known | value if isinstance(value, dict) and "centre" not in value else value
    rewrite(folder, **{name: whole})

    with pytest.raises(SavedModelError, match=r"reanalyser\.json does not fit"):
        Reanalyser.load(folder)


def test_weights_of_another_shape_are_refused(folder):
    weights = load_file(folder / "weights.safetensors")
    weights["leave.weight"] = weights["leave.weight"][:1].contiguous()
    save_file(weights, folder / "weights.safetensors")
    rewrite(folder)

    with pytest.raises(SavedModelError, match=r"leave\.weight"):
        Reanalyser.load(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "network.nc"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 99, b"\xff" * 64])
def test_garbage_with_the_right_sum_is_refused(folder, name, content):
    (folder / name).write_bytes(content)
    rewrite(folder)

    with pytest.raises(SavedModelError, match=str(folder)):
        Reanalyser.load(folder)


class Bomb:
    """A pickle that would leave a mark where it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["weights.safetensors", "network.nc", "reanalyser.json"])
def test_nothing_in_a_folder_is_executed(folder, tmp_path, name):
    mark = tmp_path / "executed"
    torch.save(Bomb(mark), folder / name)
    if name != "reanalyser.json":
        rewrite(folder)

    with pytest.raises(SavedModelError, match=str(folder)):
        Reanalyser.load(folder)
    assert not mark.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
@pytest.mark.parametrize("name", ["reanalyser.json", "weights.safetensors", "network.nc"])
def test_pipes_and_bombs_in_a_model_are_refused_by_name_and_no_reader_waits(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(SavedModelError, match=name):
        Reanalyser.load(folder)
    (folder / name).unlink()
    with (folder / name).open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(SavedModelError, match=name):
        Reanalyser.load(folder)
