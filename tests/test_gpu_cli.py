"""--device gpu on the command line: trainings that go on on another device, and what is said where it cannot work."""

import json
import shutil
import sys

import numpy as np
import pytest

from minicodec import device
from minicodec.cli import main
from minicodec.errors import InputError
from minicodec.training import checkpoint, steps, validation
from minicodec.training.data import AudioFolder
from tests import pretend_gpu
from tests.small_run import SETTINGS, make_audio
from tests.test_gpu_training import differences

RECIPE = [*SETTINGS, "adversary.enabled=true", "adversary.start=2", "adversary.filters=2"]
RECIPE += ["adversary.windows=[256]", "seconds=0.05", "valid_seconds=0.1", "warmup_steps=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("audio") / "chords")


def train(run, folder, where, last, *more):
    started = (run / "run.json").exists()
    how = ["--resume", run] if started else ["tiny_24khz", "--data", folder, "--out", run, "--set", *RECIPE, *more]
    return main([*map(str, ["train", *how]), "--steps", str(last), "--device", where])


def log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def state(run):
    path = checkpoint.in_folder(run / "checkpoints")[-1]
    return checkpoint.load(path)


def test_it_goes_on_on_another_device(folder, tmp_path, gpu, capsys):
    """2 steps here, 2 there and 1 here, in files that tell nobody on which device they were made."""
    here, both = tmp_path / "here", tmp_path / "both"
    assert train(here, folder, "cpu", 2) == 0
    shutil.copytree(here, both)
    for last, where in ((4, "gpu"), (5, "cpu")):
        assert train(here, folder, "cpu", last) == 0
        assert train(both, folder, where, last) == 0, capsys.readouterr().err
    (step, expected), (same_step, found) = state(here), state(both)
    assert step == same_step == 5
    assert {k: a.dtype for k, a in expected["balancer"].items()} == {k: a.dtype for k, a in found["balancer"].items()}
    assert differences(expected, found)[0][0] < 0.02  # errors grow from step to step
    steps_here, steps_both = ([line for line in log(run) if "loss" in line] for run in (here, both))
    assert [line["step"] for line in steps_both] == [line["step"] for line in steps_here] == [1, 2, 3, 4, 5]
    for a, b in zip(steps_here, steps_both, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)
    assert ["gpu_memory" in line for line in steps_both] == [False, False, True, True, False]
    validated, expected = ([line["rates"] for line in log(run) if "rates" in line] for run in (both, here))
    assert len(validated) == len(expected) == 3
    for a, b in zip(validated, expected, strict=True):
        assert a["unquantized"]["mel"] == pytest.approx(b["unquantized"]["mel"], rel=1e-3)


@pytest.mark.thorough
def test_python_waits_only_to_log(folder, tmp_path, monkeypatch):
    """Every second step, to save every third, and at the end."""
    pretend_gpu.install(monkeypatch)
    waits = []
    original = steps.Steps.read
    monkeypatch.setattr(steps.Steps, "read", lambda self: waits.append(self.trainer.step) or original(self))
    update = steps.Steps.make

    def without_reading(self, batch):
        with pretend_gpu.no_host_reads():
            update(self, batch)

    monkeypatch.setattr(steps.Steps, "make", without_reading)
    settings = ("adversary.enabled=false", "log_every=2", "checkpoint_every=3")
    assert train(tmp_path / "run", folder, "gpu", 5, *settings) == 0
    assert waits == [2, 3, 4, 5]
    assert [line["step"] for line in log(tmp_path / "run") if "loss" in line] == [2, 4]


@pytest.mark.thorough
def test_divergence_is_noticed_before_anything_is_saved(folder, tmp_path, monkeypatch, capsys):
    pretend_gpu.install(monkeypatch)
    run = tmp_path / "run"
    assert train(run, folder, "gpu", 2, "adversary.enabled=false", "log_every=3") == 0
    make = steps.Steps.make
    monkeypatch.setattr(
        steps.Steps, "make", lambda self, x: make(self, x * np.float32(np.nan if self.trainer.step == 3 else 1))
    )
    capsys.readouterr()
    assert train(run, folder, "gpu", 6) == 2
    err = capsys.readouterr().err
    assert "step 4: not a finite number among loss nan" in err
    assert "the last good checkpoint is " in err
    assert state(run)[0] == 2


@pytest.mark.thorough
def test_too_little_memory_names_the_batch_that_fits(folder, tmp_path, monkeypatch, capsys):
    pretend_gpu.install(monkeypatch)
    settings = ("batch=12", "adversary.enabled=false")
    monkeypatch.setattr(pretend_gpu.memory, "peak", pretend_gpu.memory.used)
    assert train(tmp_path / "enough", folder, "gpu", 1, *settings) == 0
    peak = pretend_gpu.memory.peak
    capsys.readouterr()
    monkeypatch.setattr(pretend_gpu.memory, "limit", peak * 2 // 3)
    assert train(tmp_path / "full", folder, "gpu", 1, *settings) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("minicodec: device gpu: step 1: too little memory for a batch of 12; a batch of ")
    fits = int(message.removesuffix(" would fit").split()[-1])
    assert 4 <= fits <= 9
    assert train(tmp_path / "smaller", folder, "gpu", 1, f"batch={fits}", "adversary.enabled=false") == 0


@pytest.mark.thorough
def test_too_little_memory_to_validate(folder, tmp_path, monkeypatch, capsys):
    """The state is saved, and the line says how many clips would fit."""
    pretend_gpu.install(monkeypatch)
    validate, clips = validation.validate, AudioFolder.valid_clips

    def limited(codec, clips, *more):
        if len(clips) > 1:
            raise MemoryError
        return validate(codec, clips, *more)

    monkeypatch.setattr(validation, "validate", limited)
    monkeypatch.setattr(AudioFolder, "valid_clips", lambda *args: clips(*args) * 2)
    assert train(tmp_path / "run", folder, "gpu", 1, "adversary.enabled=false", "valid_clips=1") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message == (
        "minicodec: device gpu: too little memory for a validation with valid_clips=2; valid_clips=1 would fit"
    )
    assert state(tmp_path / "run")[0] == 1


def test_what_is_said_without_cupy(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert train(tmp_path / "run", folder, "gpu", 1) == 2
    assert capsys.readouterr().err == (
        "minicodec: device gpu: CuPy is not installed: pip install 'minicodec[cuda12]', or cuda13, as nvidia-smi says\n"
    )
    assert not (tmp_path / "run").exists()


def test_what_is_said_without_a_gpu(monkeypatch):
    cupy = pretend_gpu.install(monkeypatch)
    monkeypatch.setattr(cupy.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"^device gpu: CuPy finds no NVIDIA GPU"):
        device.module("gpu")


def test_no_other_device():
    with pytest.raises(ValueError, match="no device called 'tpu': choose cpu or gpu"):
        device.module("tpu")
