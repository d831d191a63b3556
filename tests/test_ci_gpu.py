""".ci/gpu, on programs that are played: every step is done and recorded, whatever becomes of the others."""

import os
import subprocess
from pathlib import Path

import pytest

import minicodec
from minicodec import cli

ROOT = Path(minicodec.__file__).parent.parent
SCRIPT = ROOT / ".ci" / "gpu"
# Says what it was called with; pytest fails, and a training was asked to stop.
PYTHON = """#!/bin/sh
echo "called with: $*"
case "$*" in *"pytest -n"*) echo "a kernel is wrong"; exit 1;; *train*) exit ${TRAINING:-130};; esac
"""


@pytest.fixture
def play(tmp_path):
    """A function that runs the script with these arguments, beside programs that are played."""
    programs = tmp_path / "programs"
    programs.mkdir()
    says = '#!/bin/sh\necho "$*"\n'
    for name, text in (("python", PYTHON), ("nvidia-smi", says), ("compute-sanitizer", says)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)

    def run(*arguments, **changes):
        changes |= {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHON": str(programs / "python")}
        environment = os.environ | changes
        return subprocess.run([SCRIPT, *arguments], env=environment, text=True, capture_output=True, check=False)

    return run


def test_a_step_that_fails_does_not_stop_the_next(play, tmp_path):
    done = play(ROOT / "data", tmp_path / "out", "3")
    assert done.returncode == 1
    assert "a kernel is wrong" in done.stdout
    lines = [line.partition(",")[0] for line in (tmp_path / "out" / "summary").read_text(encoding="utf-8").splitlines()]
    tools = [f"sanitizer-{tool}: done" for tool in ("memcheck", "racecheck", "synccheck")]
    assert lines == ["device: done", "tests: FAILED with exit status 1", *tools, "bench: done", "training: done"]


def test_a_training_that_fails_has_failed(play, tmp_path):
    done = play(ROOT / "data", tmp_path / "out", "3", TRAINING="2")
    assert "training: FAILED with exit status 2" in done.stdout


def test_every_command_is_one_that_the_command_line_takes(play, tmp_path):
    out = tmp_path / "out"
    play(ROOT / "data", out, "3")
    called = {name: (out / f"{name}.log").read_text(encoding="utf-8").splitlines()[0] for name in ("bench", "training")}
    bench, train = (cli.parse(line.partition("-m minicodec ")[2].split()) for line in called.values())
    assert (bench.device, bench.peer, bench.eager, bench.out) == ("gpu", ["torch"], True, out / "bench")
    assert (train.preset, train.device, train.data, train.out) == ("mini_24khz", "gpu", ROOT / "data", out / "run")
    tests = (out / "tests.log").read_text(encoding="utf-8").splitlines()[0].split()
    files = [ROOT / word for word in tests if word.endswith(".py")]
    assert {"test_ops.py", "test_gpu_ops.py", "test_cuda_kernels.py", "test_bench_gpu.py"} <= {f.name for f in files}
    assert all(file.is_file() for file in files)
    watched = (out / "sanitizer-racecheck.log").read_text(encoding="utf-8")
    assert watched.startswith("--tool racecheck --error-exitcode 99")
    assert "cupy.cuda.set_allocator(None)" in watched


@pytest.mark.parametrize("arguments", [[], ["{folder}"], ["{folder}/no", "{folder}/new"], ["{folder}", "{folder}"]])
def test_a_wrong_call_is_told_how(arguments, play, tmp_path):
    done = play(*(word.format(folder=tmp_path) for word in arguments))
    assert done.returncode == 2
    assert ".ci/gpu DATA OUT [MINUTES]" in done.stderr
    assert not (tmp_path / "new").exists()
