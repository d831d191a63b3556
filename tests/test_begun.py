"""Trainings and evaluations that were killed when they had hardly begun; a run.json that is not its checkpoint's."""

import json
import tracemalloc

import numpy as np
import pytest

import minicodec
from minicodec.codec.language_model import LanguageModelConfig
from minicodec.errors import InputError
from minicodec.evaluation import settings as evaluation
from minicodec.training import checkpoint, config, run as runs
from minicodec.training.language_model import config as lm_config, run as lm_runs
from tests.small_run import SETTINGS, make_audio

LM = ["model.D=8", "model.layers=1", "model.heads=2", "model.hidden=8"]


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("data") / "audio")


@pytest.fixture
def recipe(audio):
    return config.from_preset("tiny_24khz", str(audio), SETTINGS)


@pytest.fixture
def run(recipe, tmp_path):
    """With a checkpoint, and nobody at work in it."""
    run = runs.start(tmp_path / "run", recipe)
    run.save()
    run.lock.release()
    return run.folder


def change(path, place, value):
    """One entry of a JSON file."""
    values = json.loads(path.read_text())
    table = values
    *tables, name = place.split(".")
    for key in tables:
        table = table[key]
    table[name] = value
    path.write_text(json.dumps(values))


def test_what_a_killed_start_left_is_no_obstacle(recipe, tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints" / ".step-00000000.0123abcd.tmp").mkdir(parents=True)
    (folder / ".run.0123abcd.tmp").mkdir()
    (folder / ".run.0123abcd.tmp" / "run.json").write_text("{")
    (folder / ".lock").touch()
    run = runs.start(folder, recipe)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "checkpoints", "run.json"]
    run.lock.release()


@pytest.mark.parametrize("name", ["checkpoints/step-00000007.safetensors", "thesis.txt", "checkpoints/x", ".hidden"])
def test_what_somebody_else_left_stays(name, recipe, tmp_path):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        runs.start(tmp_path / "run", recipe)
    assert path.read_text() == "mine"


def test_a_run_with_an_origin_is_none_before_it_has_its_checkpoint(run, recipe, tmp_path, monkeypatch):
    """Else it would be resumed from random weights."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            runs.start(tmp_path / "second", recipe, run)
    with pytest.raises(InputError, match=r"is no training run \(it has no run.json\)"):
        runs.resume(tmp_path / "second")
    runs.start(tmp_path / "second", recipe, run).lock.release()


def test_an_evaluation_that_was_killed_at_its_start_is_no_obstacle(tmp_path):
    folder = tmp_path / "out"
    (folder / ".evaluation.0123abcd.tmp").mkdir(parents=True)
    settings = evaluation.Settings((), (), (), (), 1.0, 8000, 1)
    evaluation.open_folder(folder, settings)
    assert [path.name for path in folder.iterdir()] == ["evaluation.json"]
    (folder / "evaluation.json").unlink()
    (folder / ".mine").touch()
    with pytest.raises(InputError, match="is not empty"):
        evaluation.open_folder(folder, settings)


@pytest.mark.parametrize(
    ("place", "value"),
    [("seanet.filters", 128), ("seanet.lstm_layers", 8), ("quantizer.entries", 1 << 15), ("seanet.kernel", 64)],
)
def test_a_run_json_of_a_larger_model_takes_no_memory(place, value, run):
    change(run / "run.json", f"model.{place}", value)
    if place == "quantizer.entries":
        change(run / "run.json", "model.bandwidths", [1.125])
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"run\.json: does not fit the newest checkpoint: it would be larger"):
            runs.resume(run)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_run_json_with_a_larger_adversary_takes_no_memory(audio, tmp_path):
    small = [*SETTINGS, "adversary.enabled=true", "adversary.windows=[64]", "adversary.filters=2"]
    run = runs.start(tmp_path / "run", config.from_preset("tiny_24khz", str(audio), small))
    run.save()
    run.lock.release()
    change(run.folder / "run.json", "training.adversary.filters", 4096)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"run\.json: does not fit the newest checkpoint: it would be larger"):
            runs.resume(run.folder)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_run_json_of_a_larger_language_model_takes_no_memory(audio, model, tmp_path):
    run = lm_runs.start(model, audio, tmp_path / "run", LM)
    checkpoint.save(run.checkpoints, 0, run.trainer.state(), 1)
    run.lock.release()
    change(tmp_path / "run/lm/run.json", "model.D", 2048)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"run\.json: does not fit the newest checkpoint: it would be larger"):
            lm_runs.resume(tmp_path / "run")
        assert tracemalloc.get_traced_memory()[1] < 40e6  # the codec is loaded before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model", []), ("model.D", "8"), ("model.D", 1 << 20), ("model.Q", None), ("model.layers", 1 << 16),
        ("model.x", 1), ("training", [1]), ("training.batch", "xxxxxxxx"), ("codec", 5), ("data", ["a"]),
    ],
)  # fmt: skip
def test_a_damaged_run_json_of_a_language_model_is_refused(place, value, model, audio, tmp_path):
    path = tmp_path / "run.json"
    lm_config.for_codec("codec", minicodec.load(model), str(audio), LM).save(path)
    assert isinstance(lm_config.load(path).model, LanguageModelConfig)
    change(path, place, value)
    with pytest.raises(InputError, match=r"run\.json: cannot be read as a run's configuration"):
        lm_config.load(path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("data", 5),
        ("training.loss", []),
        ("training.loss.mel_windows", [64] * 17),
        ("training.adversary.windows", [64] * 17),
    ],
)
def test_a_damaged_run_json_is_refused(place, value, recipe, tmp_path):
    path = tmp_path / "run.json"
    recipe.save(path)
    change(path, place, value)
    with pytest.raises(InputError, match=r"run\.json: ") as caught:
        config.load(path)
    assert len(str(caught.value)) < 500


def test_the_smallest_width_of_a_language_model():
    """Its positions have two speeds at least: one would be 0/0."""
    with pytest.raises(ValueError, match="D = 2 cannot be used"):
        LanguageModelConfig(Q=1, N=4, context=2, D=2, heads=1)
    assert np.isfinite(minicodec.codec.language_model.positions(0, 3, 4)).all()
