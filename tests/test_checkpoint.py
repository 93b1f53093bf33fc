"""Checkpoints: a training that was cut off goes on to the same model."""

import numpy as np
import pytest
import torch

import aqreanalysis as aqr
from aqreanalysis.methods.neural import checkpoint
from aqreanalysis.methods.neural.checkpoint import CheckpointError
from aqreanalysis.methods.neural.configuration import Configuration
from aqreanalysis.methods.neural.training import _Learner

SMALL = Configuration(
    bands=(0.4, 1.2), core_steps=12, margin_steps=4, neighbours=6, encoder_width=8, decoder_width=8
)
SCHEDULE = aqr.Schedule(
    covariance_updates=3, updates=8, check_every=2, patience=9, windows=2, validation_windows=3
)


@pytest.fixture(scope="module")
def observations():
    return aqr.synthetic_network(hours=72, seed=2).observations


def learner(checkpoint=None, seed=0):
    return aqr.Reanalyser(
        SMALL, schedule=SCHEDULE, seed=seed, progress=False, checkpoint=checkpoint
    )


def cut_off(monkeypatch, after):
    """Let training stop like a machine that is switched off, after some validations."""
    validate, done = _Learner._validate, []

    def validated(self):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(None)
        return validate(self)

    monkeypatch.setattr(_Learner, "_validate", validated)


def test_what_was_cut_off_goes_on_to_the_same_model_bit_for_bit(
    observations, tmp_path, monkeypatch
):
    whole = learner().fit(observations, "pm25")
    path = tmp_path / "deep" / "training.safetensors"
    with monkeypatch.context() as patched:
        cut_off(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            learner(path).fit(observations, "pm25")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    resumed = learner(path).fit(observations, "pm25")
    assert path.exists()  # until the model is safe
    resumed.save(tmp_path / "model")
    assert not path.exists()
    assert resumed.scores == whole.scores
    expected, result = (m.state_for(observations).model.state_dict() for m in (whole, resumed))
    assert all(torch.equal(expected[name], result[name]) for name in expected)


def test_going_on_leaves_out_what_is_done(observations, tmp_path, monkeypatch):
    path = tmp_path / "training.safetensors"
    with monkeypatch.context() as patched:
        cut_off(patched, after=3)
        with pytest.raises(KeyboardInterrupt):
            learner(path).fit(observations, "pm25")
    steps, step = [], _Learner._step
    monkeypatch.setattr(_Learner, "_step", lambda *a: (steps.append(None), step(*a)))
    learner(path).fit(observations, "pm25")
    updates = SCHEDULE.updates_for(observations.sizes["station"])
    assert len(steps) == updates - 3 * SCHEDULE.check_every


def test_a_model_that_cannot_be_saved_is_not_learned_again(observations, tmp_path, monkeypatch):
    path = tmp_path / "training.safetensors"
    first = learner(path).fit(observations, "pm25")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        first.save(tmp_path / "file" / "model")
    steps, step = [], _Learner._step
    monkeypatch.setattr(_Learner, "_step", lambda *a: (steps.append(None), step(*a)))
    again = learner(path).fit(observations, "pm25")
    assert (len(steps), again.scores) == (0, first.scores)
    learner(path, seed=1).fit(observations, "pm25")  # what is finished stands in nobody's way
    assert steps


def test_a_checkpoint_that_cannot_be_written_is_said_and_leaves_the_one_before(
    observations, tmp_path, monkeypatch
):
    from safetensors import SafetensorError

    path = tmp_path / "training.safetensors"
    with monkeypatch.context() as patched:
        cut_off(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            learner(path).fit(observations, "pm25")
    before = path.read_bytes()

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left.*earlier checkpoint is intact"):
        learner(path).fit(observations, "pm25")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_saving_removes_no_file_but_a_finished_checkpoint(observations, tmp_path, monkeypatch):
    stations = tmp_path / "stations.csv"
    stations.write_text("station,time\n")
    model = learner().fit(observations, "pm25")
    model.checkpoint = stations
    model.save(tmp_path / "model")
    assert stations.read_text() == "station,time\n"


@pytest.mark.parametrize("change", ["seed", "observations"])
def test_the_file_of_another_training_is_refused(observations, tmp_path, monkeypatch, change):
    path = tmp_path / "training.safetensors"
    with monkeypatch.context() as patched:
        cut_off(patched, after=1)
        with pytest.raises(KeyboardInterrupt):
            learner(path).fit(observations, "pm25")
    before = path.read_bytes()
    other = observations.copy(deep=True)
    other.pm25[0, np.flatnonzero(other.pm25[0].notnull())[0]] += change == "observations"
    message = r"is of another training: .* Remove it to begin anew"
    with pytest.raises(CheckpointError, match=message):
        learner(path, seed=int(change == "seed")).fit(other, "pm25")
    assert path.read_bytes() == before


def test_a_file_that_is_no_checkpoint_is_refused_and_left(observations, tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text("station,time\n")
    with pytest.raises(CheckpointError, match=r"stations.csv is no checkpoint of a training"):
        learner(path).fit(observations, "pm25")
    assert path.read_text() == "station,time\n"


def test_a_checkpoint_that_was_damaged_is_refused_and_left(observations, tmp_path, monkeypatch):
    path = tmp_path / "training.safetensors"
    with monkeypatch.context() as patched:
        cut_off(patched, after=2)
        with pytest.raises(KeyboardInterrupt):
            learner(path).fit(observations, "pm25")
    saved = path.read_bytes()
    for at in (saved.index(b"update"), len(saved) - 400):  # in the state, in the weights
        damaged = bytearray(saved)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"no checkpoint of a training.*sha256 differs"):
            learner(path).fit(observations, "pm25")
        assert path.read_bytes() == damaged
    path.write_bytes(saved)
    assert learner(path).fit(observations, "pm25").scores


def test_a_training_goes_on_in_another_release_that_computes_the_same(
    observations, tmp_path, monkeypatch
):
    path = tmp_path / "training.safetensors"
    with monkeypatch.context() as patched:
        cut_off(patched, after=1)
        with pytest.raises(KeyboardInterrupt):
            learner(path).fit(observations, "pm25")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
        with pytest.raises(CheckpointError, match="other observations, settings, seed or version"):
            learner(path).fit(observations, "pm25")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9.9")
    assert learner(path).fit(observations, "pm25").variable == "pm25"
