"""`minicodec train-lm`: what a run's folder holds, and that stopping it, in whatever way, changes nothing."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minicodec
from minicodec.cli import main
from minicodec.codec import language_model
from minicodec.errors import InputError
from minicodec.training import checkpoint
from minicodec.training.language_model import codes, run as runs
from minicodec.training.language_model.trainer import LanguageModelTrainer
from minicodec.training.loop import Log
from tests.small_run import make_audio

STEPS = 12
SETTINGS = [
    "model.D=16", "model.layers=1", "model.heads=2", "model.hidden=24", "batch=2", "seconds=0.4", "warmup_steps=2",
    "checkpoint_every=4", "validate_every=8", "log_every=1",
]  # fmt: skip
LAST = f"lm/checkpoints/step-{STEPS:08d}.safetensors"


@pytest.fixture(scope="module")
def audio_folder(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("audio") / "chords")


def new_run(model, audio_folder, folder):
    settings = ["--steps", STEPS, "--set", *SETTINGS]
    return [str(a) for a in ("train-lm", model, "--data", audio_folder, "--out", folder, *settings)]


@pytest.fixture(scope="module")
def uninterrupted(model, audio_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm") / "uninterrupted"
    assert main(new_run(model, audio_folder, folder)) == 0
    return folder


def same_result(folder, uninterrupted):
    """The final state, the best weights, and a log without gaps or repetitions."""
    for name in (LAST, "lm.safetensors"):
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    logs = [Log(run / "lm" / "log.jsonl", 1, np).read() for run in (folder, uninterrupted)]
    for log in logs:
        for line in log:
            line.pop("steps_per_second", None)
            line.pop("peak_memory", None)
    assert logs[0] == logs[1]


def test_a_run_fills_its_folder(uninterrupted, model, audio_folder, capsys):
    log = Log(uninterrupted / "lm" / "log.jsonl", 1, np).read()
    assert [line["step"] for line in log] == [*range(1, 9), 8, *range(9, 13), 12]
    figures = [line["valid"] for line in log if "valid" in line]
    assert {kbps: rate["uncompressed"] for kbps, rate in figures[-1].items()} == {
        "0.75": 10,
        "1.5": 20,
        "3": 40,
        "6": 80,
    }
    assert (uninterrupted / "lm" / "curves.png").stat().st_size > 10_000
    names = [p.name for p in checkpoint.in_folder(uninterrupted / "lm" / "checkpoints")]
    assert names == ["step-00000008.safetensors", "step-00000012.safetensors"]

    lm = language_model.load(uninterrupted / "lm.safetensors")
    assert lm.codec == minicodec.load(model).name
    assert (lm.config.D, lm.config.layers, lm.config.context, lm.config.zero_past) == (16, 1, 262, False)

    assert main(new_run(model, audio_folder, uninterrupted)) == 2
    assert "has a language model in training; go on with --resume" in capsys.readouterr().err


def test_the_best_weights_are_kept(model, audio_folder, tmp_path, monkeypatch):
    """Of three validations the second is the best: its weights stay, after an interruption too."""
    verdicts = {4: 0.9, 8: 0.8, 12: 0.85}
    weights = {}

    def validate(trainer, chunks):
        weights[trainer.step] = trainer.lm.digest
        return {"6": {"bits": 80 * verdicts[trainer.step], "uncompressed": 80, "codebooks": [10.0]}}

    monkeypatch.setattr(LanguageModelTrainer, "validate", validate)
    monkeypatch.setattr(runs.curves, "draw", lambda log, path: None)
    folder = tmp_path / "run"
    assert main([*new_run(model, audio_folder, folder), "validate_every=4"]) == 0
    assert language_model.load(folder / "lm.safetensors").digest == weights[8]
    (folder / LAST).unlink()
    assert main(["train-lm", "--resume", str(folder)]) == 0
    assert language_model.load(folder / "lm.safetensors").digest == weights[8]


@pytest.mark.thorough
def test_killed_and_resumed(model, audio_folder, uninterrupted, tmp_path):
    folder = tmp_path / "killed"
    program = "import sys; from minicodec.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *new_run(model, audio_folder, folder)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 200
    log = folder / "lm" / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert not (folder / LAST).exists()
    assert main(["train-lm", "--resume", str(folder)]) == 0
    same_result(folder, uninterrupted)


def test_ctrl_c_saves_and_says_how_to_go_on(model, audio_folder, uninterrupted, tmp_path, monkeypatch, capsys):
    update = LanguageModelTrainer.update

    def interrupted(trainer, codes):
        if trainer.step == 5:
            signal.raise_signal(signal.SIGINT)
        return update(trainer, codes)

    folder = tmp_path / "stopped"
    monkeypatch.setattr(LanguageModelTrainer, "update", interrupted)
    assert main(new_run(model, audio_folder, folder)) == 130
    message = f"stopped at step 6, saved; go on with: minicodec train-lm --resume {folder}\n"
    assert capsys.readouterr().err.endswith(message)
    monkeypatch.undo()
    assert main(["train-lm", "--resume", str(folder)]) == 0
    same_result(folder, uninterrupted)


def test_divergence_names_step_and_checkpoint(model, audio_folder, tmp_path, monkeypatch, capsys):
    update = LanguageModelTrainer.update

    def poisoned(trainer, codes):
        if trainer.step == 6:
            trainer.lm.norm_in.bias.data[0] = np.nan
        return update(trainer, codes)

    monkeypatch.setattr(LanguageModelTrainer, "update", poisoned)
    folder = tmp_path / "run"
    assert main(new_run(model, audio_folder, folder)) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"minicodec: {folder}: step 7: loss nan bits")
    assert f"the last good checkpoint is {folder / 'lm/checkpoints/step-00000004.safetensors'}" in line


def test_the_bundled_codec_is_found_again(audio_folder, tmp_path, monkeypatch, capsys):
    """Its name is no path: what is kept for --resume must be one."""
    monkeypatch.chdir(tmp_path)
    assert main(new_run("minicodec-24k", audio_folder, "run")) == 0
    monkeypatch.chdir(tmp_path.parent)
    assert main(["train-lm", "--resume", str(tmp_path / "run"), "--steps", str(STEPS + 2)]) == 0
    lm = minicodec.load_language_model(tmp_path / "run", minicodec.load())
    assert lm.codec == minicodec.load().name
    assert main(["train-lm", "minicodec-24k", "--data", str(audio_folder)]) == 2
    assert "minicodec-24k: is not a run's folder: say with --out" in capsys.readouterr().err


def test_by_default_it_joins_its_codec(tmp_path, model, audio_folder):
    """In the folder of the codec's training, whose own log it leaves alone."""
    codec_run = tmp_path / "codec"
    codec_run.mkdir()
    (codec_run / "model.safetensors").write_bytes(model.read_bytes())
    (codec_run / "log.jsonl").write_text("")
    run = runs.start(codec_run, audio_folder, None, [])
    assert repr(run).startswith(f"LanguageModelRun({codec_run}: of tiny_24khz, step 0 of ")
    assert (codec_run / "lm" / "run.json").exists()
    assert (codec_run / "log.jsonl").read_text() == ""


def test_resume_with_another_codec_or_without_a_run(uninterrupted, model, tmp_path, capsys):
    assert main(["train-lm", "--resume", str(tmp_path)]) == 2
    assert "has no training of a language model" in capsys.readouterr().err

    assert main(["train-lm", "--resume", str(uninterrupted), "--steps", "0"]) == 2
    assert "--steps 0: steps = 0 cannot be used" in capsys.readouterr().err

    folder = tmp_path / "run"
    (folder / "lm").mkdir(parents=True)
    values = json.loads((uninterrupted / "lm" / "run.json").read_text())
    (folder / "lm" / "run.json").write_text(json.dumps(values | {"codec_name": "tiny_24khz-00000000"}))
    assert main(["train-lm", "--resume", str(folder)]) == 2
    assert "this language model was begun for tiny_24khz-00000000" in capsys.readouterr().err
    (folder / "lm" / "run.json").write_text(json.dumps({"codec": 1}))
    assert main(["train-lm", "--resume", str(folder)]) == 2
    assert "lm/run.json: cannot be read as a run's configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL"], "needs a MODEL and --data FOLDER"),
        (["MODEL", "--data", "EMPTY"], "say with --out where"),
        (["MODEL", "--data", "EMPTY", "--out", "RUN"], "no readable audio files"),
        (["MODEL", "--data", "EMPTY", "--out", "RUN", "--set", "model.D=17"], "D = 17 cannot be used"),
        (
            ["MODEL", "--data", "EMPTY", "--out", "RUN", "--set", "seconds=1e9"],
            "batch = 4, seconds = 1000000000.0, valid_chunks = 48 cannot be used",
        ),
        (["MODEL", "--resume", "RUN"], "takes a training as it is"),
    ],
)
def test_command_lines_that_are_refused(arguments, message, model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"MODEL": str(model), "EMPTY": str(tmp_path / "empty"), "RUN": str(tmp_path / "run")}
    assert main(["train-lm", *(places.get(a, a) for a in arguments)]) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_codes_whose_header_claims_gigabytes(model, tmp_path):
    path = tmp_path / "codes.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little") + b"{}")
    with pytest.raises(InputError, match="of another version of the format"):
        codes._load(path, minicodec.load(model), 6)
