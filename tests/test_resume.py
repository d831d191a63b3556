"""A training that is killed and resumed ends in the same bytes as one that was left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minicodec.cli import main
from tests.small_run import SETTINGS, make_audio

STEPS = 20
# With everything that has a state of its own: the adversary joins on the way, and mixes are drawn.
EVERYTHING = [
    "adversary.enabled=true", "adversary.start=10", "adversary.filters=2", "adversary.windows=[256]",
    "augment.enabled=true", "pauses=0.5", f"validate_every={STEPS}",
]  # fmt: skip
LAST = f"checkpoints/step-{STEPS:08d}.safetensors"


def minicodec(*arguments):
    """A child process of `minicodec`, in a group of its own."""
    command = [
        sys.executable,
        "-c",
        "import sys; from minicodec.cli import main; sys.exit(main())",
        *map(str, arguments),
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out + err


def steps_logged(run):
    """The steps in a log that somebody may be writing to."""
    if not (run / "log.jsonl").exists():
        return []
    lines = (run / "log.jsonl").read_text().split("\n")[:-1]
    return [json.loads(line)["step"] for line in lines]


def wait_for_step(process, run, step):
    deadline = time.monotonic() + 600
    while max(steps_logged(run), default=0) < step:
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def audio_folder(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("audio") / "chords")


@pytest.fixture(scope="module")
def uninterrupted(audio_folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    assert main([*map(str, new_run(audio_folder, run))]) == 0
    return run


def new_run(audio_folder, run):
    recipe = ["--steps", STEPS, "--set", *SETTINGS, *EVERYTHING]
    return ("train", "tiny_24khz", "--data", audio_folder, "--out", run, *recipe)


def same_result(run, uninterrupted):
    """The final state, the model made of it, and a log without gaps or repetitions."""
    for name in (LAST, "model.safetensors"):
        assert (run / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    assert steps_logged(run) == steps_logged(uninterrupted)


@pytest.mark.thorough
def test_killed_and_then_stopped(audio_folder, uninterrupted, tmp_path):
    """kill -9 at a random moment, in the warm-up, in k-means or after it, wherever in a step or a checkpoint; Ctrl-C.

    Ctrl-C saves the step, and says how to go on.
    """
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)  # pytest shows it if the test fails
    rng = np.random.default_rng(seed)
    run = tmp_path / "killed"
    killed = rng.integers(1, STEPS // 2)
    process = minicodec(*new_run(audio_folder, run))
    wait_for_step(process, run, killed)
    time.sleep(rng.uniform(0, 0.1))
    print("killed after step", killed)
    process.kill()
    process.communicate()

    stopped = rng.integers(max(steps_logged(run)) + 1, STEPS - 3)  # the log has only what the first process made
    process = minicodec("train", "--resume", run)
    wait_for_step(process, run, stopped)
    process.send_signal(signal.SIGINT)
    status, output = finish(process)
    assert status == 130
    step = max(steps_logged(run))
    assert output.endswith(f"stopped at step {step}, saved; go on with: minicodec train --resume {run}\n")
    assert (run / f"checkpoints/step-{step:08d}.safetensors").exists()
    assert step < STEPS

    assert main(["train", "--resume", str(run)]) == 0
    same_result(run, uninterrupted)


def test_a_run_with_an_option_that_is_no_more_goes_on(uninterrupted, tmp_path, capsys):
    """Older runs have `graphs` in their run.json, which changed no result; any other unknown option is refused."""
    run = tmp_path / "older"
    shutil.copytree(uninterrupted, run)
    (run / LAST).unlink()
    values = json.loads((run / "run.json").read_text())
    values["training"]["graphs"] = True
    (run / "run.json").write_text(json.dumps(values))
    assert main(["train", "--resume", str(run)]) == 0
    same_result(run, uninterrupted)
    values["training"]["grafs"] = True
    (run / "run.json").write_text(json.dumps(values))
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 2
    assert capsys.readouterr().err == f"minicodec: {run / 'run.json'}: there is no option grafs in training\n"
