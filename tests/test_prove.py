"""`minicodec prove`: each step's outcome is recorded, whatever becomes of it, and the commands are such as exist."""

import sys
from pathlib import Path

import pytest

import minicodec
from minicodec import cli
from minicodec.evaluation import proof
from minicodec.evaluation.proof import Outcome, Plan, Step

TESTS = Path(minicodec.__file__).parent.parent / "tests"


def plan(tmp_path, **changes):
    given = {"device": "gpu", "data": tmp_path, "out": tmp_path / "out", "minutes": 3.0, "quick": False, "settings": ()}
    return Plan(**(given | changes))


def python(name, code, **options):
    return Step(name, (sys.executable, "-c", code), **options)


SAVES = """
import signal, sys, time
def save(number, frame):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, save)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("step", "good", "what", "said"),
    [
        (python("a", "print('fine')"), True, "done", "fine"),
        (python("a", "import sys; sys.exit('no such GPU')"), False, "FAILED with exit status 1", "no such GPU"),
        (python("a", "import os; os.kill(os.getpid(), 9)"), False, "FAILED with exit status -9", ""),
        (python("a", "import time; time.sleep(60)", limit=0.3), False, "FAILED: not done in 0.3 s", ""),
        (python("a", SAVES, limit=2, patient=True), True, "stopped after 2 s, as planned", "ready\nsaved"),
        (python("a", "print('all steps')", limit=60, patient=True), True, "done", "all steps"),
        (python("a", "import sys; sys.exit(2)", limit=60, patient=True), False, "FAILED with exit status 2", ""),
        (Step("a", ("/no/such/program",)), False, "FAILED: [Errno 2] No such file", ""),
    ],
)
def test_outcomes(step, good, what, said, tmp_path):
    outcome = proof.perform(step, tmp_path / "a.log")
    assert (outcome.name, outcome.good) == ("a", good)
    assert outcome.what.startswith(what)
    first, _, rest = (tmp_path / "a.log").read_text(encoding="utf-8").partition("\n")
    assert first == f"$ {' '.join(step.command)}".partition("\n")[0]
    assert said in rest


def test_a_training_that_does_not_stop_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(proof, "GRACE", 0.2)
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    outcome = proof.perform(python("a", code, limit=2, patient=True), tmp_path / "a.log")
    assert (outcome.good, outcome.what) == (False, "FAILED: did not stop within 0.2 s")


def test_a_step_that_fails_does_not_stop_the_next(tmp_path, monkeypatch, capsys):
    """And the summary has the end of what it said, the bench's table and how far the training came."""
    out = tmp_path / "out"
    bench = f"import pathlib; p = pathlib.Path({str(out)!r}, 'bench'); p.mkdir(); (p / 'bench.md').write_text('| T |')"
    entries = ['{"step": 10, "loss": 2}', '{"step": 20, "loss": 1}', '{"step": 20, "rates": {}}', '{"notice": 1}']
    log = "\n".join(entries)
    train = f"import pathlib; p = pathlib.Path({str(out)!r}, 'run'); p.mkdir(); (p / 'log.jsonl').write_text({log!r})"
    played = [
        python("tests", "print('a kernel is wrong'); import sys; sys.exit(1)"),
        Outcome("sanitizer", None, "left out: not installed"),
        python("bench", bench),
        python("training", train),
    ]
    monkeypatch.setattr(proof, "steps", lambda plan: played)
    assert cli.main(["prove", "--data", str(tmp_path), "--out", str(out), "--quick"]) == 1
    assert "FAILED: tests" in capsys.readouterr().out
    text = (out / "summary.md").read_text(encoding="utf-8")
    outcomes = ["| tests | FAILED with exit status 1 |", "| sanitizer | left out: not installed |", "| bench | done |"]
    places = [text.index(line) for line in (*outcomes, "| training | done |")]
    assert places == sorted(places)
    assert "a kernel is wrong" in text
    assert "| T |" in text
    assert 'last step: {"step": 20, "loss": 1}' in text
    assert 'last validation: {"step": 20, "rates": {}}' in text
    played[:] = played[1:2]
    assert cli.main(["prove", "--data", str(tmp_path), "--out", str(tmp_path / "again")]) == 0
    assert "nothing failed" in capsys.readouterr().out


def test_what_is_done_on_a_gpu(tmp_path, monkeypatch):
    """Every command of ours is one that the command line takes, every file of tests is there."""
    monkeypatch.setattr(proof.shutil, "which", lambda name: f"/cuda/{name}")
    monkeypatch.setattr(proof, "find_spec", lambda name: True)
    found = proof.steps(plan(tmp_path, settings=("batch=64", "adversary.start=100")))
    names = ["tests", "sanitizer-memcheck", "sanitizer-racecheck", "sanitizer-synccheck"]
    names += ["graphs", "bench", "training"]
    assert [step.name for step in found] == names
    tests, *sanitizers, graphs, bench, training = found
    files = [word for word in tests.command if word.endswith(".py")]
    assert {"test_ops.py", "test_gpu_ops.py"} <= {Path(file).name for file in files}
    assert all(Path(file).is_file() for file in files)
    assert graphs.command == (sys.executable, "-m", "minicodec.evaluation.graphs")
    for step in sanitizers:
        assert step.command[:5] == ("/cuda/compute-sanitizer", "--tool", step.name[10:], "--error-exitcode", "99")
        assert Path(step.command[-1]).is_file()
        compile(step.command[7], "WATCHED", "exec")
    args = cli.parse(bench.command[3:])
    assert (args.device, args.peer, args.quick) == ("gpu", "torch", False)
    args = cli.parse(training.command[3:])
    assert args.device == "gpu"
    assert (args.preset, args.data, args.set) == ("mini_24khz", tmp_path, ["batch=64", "adversary.start=100"])
    assert (training.limit, training.patient) == (180, True)
    assert [step.name for step in proof.steps(plan(tmp_path, names=("bench",)))] == ["bench"]


def test_what_cannot_be_done_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(proof.shutil, "which", lambda name: None)
    outcomes = {s.name: s.what for s in proof.steps(plan(tmp_path)) if isinstance(s, Outcome)}
    assert outcomes == {"sanitizer": "left out: compute-sanitizer is not installed"}
    monkeypatch.setattr(proof.minicodec, "__file__", str(tmp_path / "site-packages" / "minicodec" / "__init__.py"))
    outcomes = {s.name: s.what for s in proof.steps(plan(tmp_path, device="cpu")) if isinstance(s, Outcome)}
    assert outcomes["sanitizer"] == "left out: no GPU"
    assert outcomes["tests"].endswith("tests; run this from a checkout")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["--data", "{folder}/nowhere"], "nowhere: is no folder of audio files"),
        (["--out", "{folder}"], "exists already, and is not an empty folder"),
        (["--minutes", "0"], "--minutes 0: more than 0"),
        (["--device", "gpu"], "gpu: CuPy is not installed"),
    ],
)
def test_bad_input_is_one_line(changes, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    (tmp_path / "file").write_text("")
    argv = ["prove", "--data", str(tmp_path), "--out", str(tmp_path / "new")]
    assert cli.main([*argv, *(word.format(folder=tmp_path) for word in changes)]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()
