"""Training under mpiexec, as users start it: MPICH and mpi4py, from the extra `mpi`.

What the steps are is tested by tests/test_ranks.py. Here is what only real processes can show.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minicodec.training import checkpoint
from tests.small_run import SETTINGS, make_audio

pytest.importorskip("mpi4py")
PATIENCE = 900  # seconds
pytestmark = pytest.mark.timeout(PATIENCE)
# The package mpich puts it beside the interpreter.
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
STEPS = 14
EVERYTHING = [
    "adversary.enabled=true", "adversary.start=9", "adversary.filters=2", "adversary.windows=[256]",
    "augment.enabled=true", f"validate_every={STEPS}", "lr=1e-4",
]  # fmt: skip
SIGNS = ("PMI_", "PMIX_", "OMPI_", "MPI_", "SLURM_")  # should these tests themselves run under a launcher


def minicodec(ranks, *arguments, **environment):
    """A child process: `minicodec`, alone or as so many ranks."""
    command = [sys.executable, "-m", "minicodec", *map(str, arguments)]
    if ranks:
        command = [MPIEXEC, "-n", str(ranks), *command]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(SIGNS)} | {"NUMBA_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean | environment)


def finish(process):
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def recipe(audio, run, *more):
    settings = [*SETTINGS, *EVERYTHING, *more]
    return ("train", "tiny_24khz", "--data", audio, "--out", run, "--steps", STEPS, "--set", *settings)


def wait_for_step(process, run, step):
    deadline = time.monotonic() + PATIENCE
    while not any(f'"step": {step},' in line for line in log(run)):
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.01)


def log(run):
    return (run / "log.jsonl").read_text().splitlines() if (run / "log.jsonl").exists() else []


def processes_of(run):
    """The ids of living processes that train in a folder, by rank."""
    found = {}
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if b"train" in words and os.fsencode(run) in words and b"-n" not in words:
                variables = dict(v.split(b"=", 1) for v in (place / "environ").read_bytes().split(b"\0") if b"=" in v)
                found[int(variables[b"PMI_RANK"])] = int(place.name)
        except (OSError, KeyError):
            pass
    return found


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return make_audio(tmp_path_factory.mktemp("audio") / "chords")


@pytest.fixture(scope="module")
def alone(audio, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "alone"
    status, _, err = finish(minicodec(None, *recipe(audio, run)))
    assert status == 0, err
    return run


def close(run, wanted):
    """The same codebooks' use, figures and weights at the last step, up to the rounding of a whole training."""
    for a, b in zip(map(json.loads, log(wanted)), map(json.loads, log(run)), strict=True):
        assert a.keys() == b.keys()
        for name in set(a) & {"loss", "l1", "mel", "commitment", "adversarial", "feature", "share.feature"}:
            assert b[name] == pytest.approx(a[name], rel=2e-2), (a["step"], name)
    states = [checkpoint.load(folder / f"checkpoints/step-{STEPS:08d}.safetensors")[1] for folder in (wanted, run)]
    for group in ("model", "average", "balancer"):  # Adam's moments differ more, as rounding does
        for name, array in states[0][group].items():
            error = np.abs(states[1][group][name] - array).max(initial=0)
            assert error <= 0.02 * np.abs(array).max(initial=0), (group, name)


def test_two_ranks_train_as_one(audio, alone, tmp_path):
    """Twice: what comes of it is close to what one makes, and the same bytes each time. Then one goes on alone."""
    last = f"checkpoints/step-{STEPS:08d}.safetensors"
    for name in ("first", "again"):
        status, out, err = finish(minicodec(2, *recipe(audio, tmp_path / name)))
        assert status == 0, err
        assert out == f"step {STEPS} reached; use it with: minicodec encode IN OUT.ecdc -m {tmp_path / name}\n"
        assert err.count(f"step {STEPS}: unquantized: SI-SDR") == err.count("memory at its peak") == 1
    assert (tmp_path / "first" / last).read_bytes() == (tmp_path / "again" / last).read_bytes()
    close(tmp_path / "first", alone)


def test_a_killed_rank_ends_all_and_a_resumed_run_is_whole(audio, alone, tmp_path):
    """kill -9 of either; then the run goes on with two, and at last with one."""
    run = tmp_path / "run"
    process = minicodec(2, *recipe(audio, run))
    for rank, step in ((1, 5), (0, 9)):
        wait_for_step(process, run, step)
        others = processes_of(run)
        assert others.keys() == {0, 1}
        os.kill(others[rank], signal.SIGKILL)
        status, _, err = finish(process)
        assert status not in (0, None)
        newest = checkpoint.in_folder(run / "checkpoints")[-1]
        line = f"a rank has died, and the training with it; the last checkpoint is {newest}; go on with: minicodec"
        assert err.count(f"minicodec: {line} train --resume {run}\n") == 1, err
        assert "Traceback" not in err
        assert processes_of(run) == {}
        process = minicodec(2 if rank else None, "train", "--resume", run)
    status, _, err = finish(process)
    assert status == 0, err
    close(run, alone)


def test_ctrl_c_saves_and_all_leave(audio, tmp_path):
    """It reaches mpiexec, which hands it on. The run is then as any that has been stopped."""
    run = tmp_path / "run"
    process = minicodec(2, *recipe(audio, run))
    wait_for_step(process, run, 5)
    process.send_signal(signal.SIGINT)
    status, _, err = finish(process)
    step, _ = checkpoint.load(checkpoint.in_folder(run / "checkpoints")[-1])
    assert status == 130
    assert err.count(f"stopped at step {step}, saved; go on with: minicodec train --resume {run}\n") == 1
    assert "a rank has died" not in err
    assert 5 <= step < STEPS
    assert processes_of(run) == {}
    usual = ("step ", "[mpiexec@", "minicodec: compiling", "memory at its peak", "stopped at step")
    assert [line for line in err.splitlines() if line and not line.startswith(usual)] == []


def test_an_error_of_one_rank_does_not_leave_the_others_waiting(audio, tmp_path):
    """The files are gone when the one whose turn it is wants to read them."""
    run = tmp_path / "run"
    own = shutil.copytree(audio, tmp_path / "own")
    process = minicodec(2, *recipe(own, run, "steps=100000"))
    wait_for_step(process, run, 3)
    for path in own.iterdir():
        path.unlink()
    status, _, err = finish(process)
    assert status == 2
    lines = [line for line in err.splitlines() if "none of 11 crops drawn could be read" in line]
    assert len(lines) == 1, err
    assert processes_of(run) == {}


def test_an_error_of_all_is_said_once(audio, tmp_path):
    status, out, err = finish(minicodec(2, *recipe(audio, tmp_path / "run", "batch=3")))
    assert (status, out) == (2, "")
    assert err == "minicodec: batch = 3 cannot be shared out among 2 ranks: choose a multiple of 2\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("ModuleNotFoundError('mpi4py')", "mpiexec started this, and mpi4py is not installed: {}"),
        ("RuntimeError('no MPI library\\n/here\\n/there')", "mpi4py cannot be used: no MPI library; {} brings an MPI"),
    ],
)
def test_without_mpi_one_line_names_the_extra(fault, line, audio, tmp_path):
    blocked = tmp_path / "mpi4py.py"
    blocked.write_text(f"raise {fault}\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    status, _, err = finish(minicodec(2, *recipe(audio, tmp_path / "run"), PYTHONPATH=path))
    assert status == 2
    assert err == "minicodec: " + line.format("pip install 'minicodec[mpi]'") + "\n"


def test_nothing_of_mpi_is_imported_without_a_launcher():
    """With one, mpi4py is, and the ranks share this machine's processors."""
    code = "import os, sys, numba; from minicodec.training import mpi; r = mpi.ranks(); mpi.settle(r, 'cpu'); "
    code += "line = f'{\"mpi4py\" in sys.modules} {r.size} {numba.get_num_threads()}\\n'; os.write(1, line.encode())"
    clean = {k: v for k, v in os.environ.items() if not k.startswith((*SIGNS, "NUMBA_NUM"))}
    cores = len(os.sched_getaffinity(0))
    for command, line in (([], f"False 1 {cores}"), ([MPIEXEC, "-n", "2"], f"True 2 {max(1, cores // 2)}")):
        done = subprocess.run([*command, sys.executable, "-c", code], env=clean, capture_output=True, text=True)
        assert set(done.stdout.splitlines()) == {line}, done.stderr
