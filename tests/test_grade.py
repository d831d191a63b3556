"""`minicodec grade`: each student gets what is theirs, whatever the others do."""

import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from minicodec.cli import main
from minicodec.course import grade as grading
from minicodec.course.catalogue import all_exercises
from minicodec.course.collect import Submission
from minicodec.course.judge import trials_of
from minicodec.course.report import file_names

HEAD = "import numpy as np\nfrom minicodec.course import check, exercise, library\n"
QUANTIZE = """
@exercise
def quantize(x, bits):
    half = 2 ** (bits - 1)
    return np.clip(np.rint(x * half), -half, half - 1).astype(np.int64)
"""
SNR = """
@exercise
def snr(signal, estimate):
    return 10 * np.log10((signal**2).sum() / ((estimate - signal) ** 2).sum())
"""
TOEPLITZ = """
@exercise
def toeplitz(w, T):
    return helper(w, T)

def helper(w, T):
    K, Ci, Co = w.shape
    A = np.zeros((T, Ci, T - K + 1, Co))
    for t in range(T - K + 1):
        A[t : t + K, :, t] = w
    return A.reshape(T * Ci, -1)
"""
FORWARD = """
@exercise
def conv1d_forward(x, w, *, stride=1, dilation=1):
    To = (x.shape[1] - (len(w) - 1) * dilation - 1) // stride + 1
    frames = [x[:, k * dilation : k * dilation + (To - 1) * stride + 1 : stride] for k in range(len(w))]
    return sum(frame @ tap for frame, tap in zip(frames, w))
"""
STUB = """
@exercise
def conv1d_backward(dy, saved, *, stride=1, dilation=1):
    raise NotImplementedError
"""


def answer(name, body):
    return f"\n@exercise\ndef {name}(*args, **kwargs):\n    {body}\n"


def notebook(*cells):
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells]})


# Each is a file, or a folder of files; what must come of it stands below.
SUBMISSIONS = {
    "perfect.py": HEAD + QUANTIZE + SNR + TOEPLITZ + FORWARD + STUB + "\ncheck(toeplitz)\nraise SystemExit(3)\n",
    # fatal to whoever parses it, or writes down its name
    b"caf\xe9/a.py": HEAD + "x = {[]: 1}\n" + SNR + "\ny = " + "-" * 5000 + "1\n" + QUANTIZE,
    "=deep/a.ipynb": '{"cells": ' + "[" * 100_000,
    "=deep/b.py": HEAD + SNR,
    # fatal to whoever writes down what it says
    "words.py": HEAD
    + answer("snr", 'raise ValueError("\\ud800\\x1b[31m")')
    + "class Odd(Exception):\n    def __str__(self):\n        raise KeyError\n"
    + answer("quantize", "raise Odd")
    + answer("toeplitz", "raise ValueError('x' * 10**8)")
    + answer("mu_law", "return np.broadcast_to(0, (1 << 20, 1 << 20))")
    + answer("conv1d_forward", "return bytearray(1 << 40)"),
    # waited for in vain
    "endless.py": HEAD
    + SNR
    + answer("quantize", "\n    while True:\n        pass")
    + answer("mu_law", "import time; time.sleep(1000)")
    + TOEPLITZ,
    "forked.py": HEAD
    + """
import os, time
from multiprocessing import get_context
from threading import Thread
def sleep_for_ever(session):
    if os.fork() == 0:
        if session:
            os.setsid()
            if os.fork():
                os._exit(0)
        with open(LEFT, "a") as f:
            f.write(f"{os.getpid()}\\n")
        time.sleep(1000)
def square(x):
    return x * x
LEFT = %r
"""
    + answer("snr", "sleep_for_ever(False); sleep_for_ever(True); return 0.0")
    + answer("quantize", "os.fork(); return np.zeros(3)")
    + answer("mu_law", "return get_context('fork').Pool(2).map(square, [1, 2])[0]")
    + answer("conv1d_forward", "Thread(target=time.sleep, args=(1000,)).start(); return 0.0")
    + TOEPLITZ,
    # read by whoever listens
    "chatter.py": HEAD
    + """
import json, os, struct
def everywhere(data):
    for descriptor in range(1, 300):
        try:
            os.write(descriptor, data)
        except OSError:
            pass
def forge(words):
    everywhere(struct.pack(">I", len(words)) + words)
"""
    + answer("snr", "everywhere(b'x' * 5000)")
    + answer("quantize", "everywhere(b'\\0')")
    + answer("mu_law", "forge(json.dumps({'ends': 'mu_law', 'status': 'right'}).encode()); os._exit(0)")
    + TOEPLITZ,
    # full marks for nothing
    "library.py": HEAD
    + answer("snr", "return library('snr')(*args)")
    + """
from minicodec.course.exercises.ch01_sound import quantize as ready
def quantize(x, bits):
    return ready(x, bits)
mu_law = library("mu_law")
"""
    + answer(
        "toeplitz",
        """import sys
    frame = sys._getframe(1)
    while frame:
        for value in list(frame.f_locals.values()):
            if getattr(value, "expected", None):
                return value.expected[0]
        frame = frame.f_back
    return np.zeros(3)""",
    )
    + """
import minicodec.course.judge as judge
def conv1d_forward(x, w, stride=1, dilation=1, trick=setattr(judge, "_failure", lambda *a: [])):
    return x
""",
    # right answers beside what is no Python
    "magic/a.ipynb": notebook(
        HEAD,
        "%time 1",
        "%%time\nTWO = 1 + 1\nTEN: float = TWO * 5\n" + SNR.replace("10 *", "TEN *") + "%timeit snr(1, 2)",
        QUANTIZE + "\nquantize?\n!pip install x\nfiles = !ls",
        "def broken(:\n  1\n" + TOEPLITZ,
        "conv1d_forward = lambda x, w, **options: 0\n",
        "def mu_law(:\n  pass",
    ),
    "magic/b.py": HEAD + "from helpers import conv1d_forward\n",
    "magic/helpers.py": HEAD + FORWARD,
    "zipped.zip": "PK",
    "nobody/notes.txt": "",
}
RIGHT = {
    "perfect": "quantize snr conv1d_forward toeplitz",
    "caf\\xe9": "quantize snr",
    "'=deep": "snr",
    "words": "",
    "endless": "snr toeplitz",
    "forked": "toeplitz",
    "chatter": "toeplitz",
    "library": "",
    "magic": "quantize snr toeplitz conv1d_forward",
    "zipped": "",
    "nobody": "",
}
STATUS = {
    ("perfect", "conv1d_backward"): ("unwritten", "not written yet"),
    ("perfect", "mu_law"): ("missing", "no file defines it"),
    ("caf\\xe9", "mu_law"): ("missing", "a.py: line 9 and what belongs to it: RecursionError"),
    ("'=deep", "toeplitz"): ("missing", "a.ipynb: it cannot be read as a notebook"),
    ("zipped", "snr"): ("missing", "zipped.zip is neither a notebook nor a .py file"),
    ("nobody", "snr"): ("missing", "there is no notebook and no .py file in the folder"),
    ("words", "snr"): ("wrong", "It raised ValueError: \\ud800\\x1b[31m"),
    ("words", "quantize"): ("wrong", "It raised Odd: its text cannot be had: KeyError"),
    ("words", "toeplitz"): ("wrong", "xxx…"),
    ("words", "mu_law"): ("wrong", "has shape (1048576, 1048576)"),
    ("words", "conv1d_forward"): ("wrong", "It raised MemoryError"),
    ("endless", "quantize"): ("too slow", "it took more than"),
    ("endless", "mu_law"): ("too slow", "it took more than"),
    ("forked", "snr"): ("wrong", "is 0; expected"),
    ("forked", "quantize"): ("wrong", "has shape (3,)"),
    ("forked", "mu_law"): ("wrong", "has shape ()"),
    ("forked", "conv1d_forward"): ("wrong", "has shape ()"),
    ("chatter", "snr"): ("crashed", "what its process sent cannot be read"),
    ("chatter", "quantize"): ("crashed", "what its process sent cannot be read"),
    ("chatter", "mu_law"): ("crashed", ""),
    ("library", "snr"): ("wrong", "It calls the library's snr, which is what was to be written."),
    ("library", "quantize"): ("wrong", "It calls the library's quantize"),
    ("library", "mu_law"): ("missing", "no file defines it"),
    ("library", "toeplitz"): ("wrong", "has shape (3,)"),
    ("library", "conv1d_forward"): ("wrong", "conv1d_forward: wrong for"),
    ("magic", "mu_law"): ("unreadable", "a.ipynb: cell 7, line 1 and what belongs to it: invalid syntax"),
    ("magic", "conv1d_backward"): ("missing", "a.ipynb: cell 5, line 1 and what belongs to it: invalid syntax"),
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    for name, text in SUBMISSIONS.items():
        path = folder / "in" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("%r", repr(str(folder / "left"))), encoding="utf-8")
    command = ["grade", str(folder / "in"), "--chapter", "1", "3", "--seed", "9", "--seconds", "1.5"]
    assert main([*command, "--out", str(folder / "grades.csv")]) == 0
    return folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


@pytest.mark.thorough
def test_everybody_has_their_points(graded):
    rows = rows_of(graded / "grades.csv")
    right = {}
    for row in rows:
        right.setdefault(row["submission"], []).extend([row["exercise"]] * (row["points"] != "0"))
    assert {name: set(found) for name, found in right.items()} == {n: set(s.split()) for n, s in RIGHT.items()}
    assert len(rows) == 6 * len(RIGHT)


@pytest.mark.thorough
@pytest.mark.parametrize(("student", "exercise"), STATUS, ids=map("-".join, STATUS))
def test_and_hears_why(graded, student, exercise):
    [row] = [r for r in rows_of(graded / "grades.csv") if (r["submission"], r["exercise"]) == (student, exercise)]
    status, words = STATUS[student, exercise]
    assert row["status"] == status
    assert words in row["message"]


@pytest.mark.thorough
def test_no_process_is_left(graded):
    """Of those that the answer of `forked` started, some in sessions of their own."""
    left = [int(line) for line in (graded / "left").read_text().split()]
    assert len(left) >= 4
    for pid in left:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.thorough
def test_junit_and_gradescope_say_the_same(graded):
    suites = ElementTree.parse(graded / "grades.xml").getroot()
    assert len(suites) == len(RIGHT)
    for suite in suites:
        rows = [r for r in rows_of(graded / "grades.csv") if r["submission"].removeprefix("'") == suite.get("name")]
        assert int(suite.get("failures")) == sum(r["status"] != "right" for r in rows)
        [file] = file_names([suite.get("name")]).values()
        result = json.loads((graded / "grades.gradescope" / f"{file}.json").read_text())
        assert result["score"] == sum(int(r["points"]) for r in rows)
        assert [test["output"] for test in result["tests"]] == [r["message"] for r in rows]


def test_an_answer_tuned_to_the_published_sizes_fails(tmp_path):
    """The chapter's cases are known: (1,7,1) is among them. Grading draws others."""
    tuned = TOEPLITZ + "\n_right = toeplitz\n" + answer("toeplitz", "return _right(*args) if args[1] < 7 else 0")
    (tmp_path / "sly.py").write_text(HEAD + tuned)
    assert main(["grade", str(tmp_path), "--chapter", "3", "--seed", "1", "--out", str(tmp_path / "g.csv")]) == 0
    assert {r["exercise"]: r["status"] for r in rows_of(tmp_path / "g.csv")}["toeplitz"] == "wrong"


def test_the_librarys_function_imported_afterwards_takes_nothing_away(tmp_path):
    """As chapters do, where they turn to my_codec: what the student wrote before is the answer."""
    later = "\nfrom minicodec.course.my_codec.conv import conv1d_forward\ntoeplitz = library('toeplitz')\n"
    (tmp_path / "ann.py").write_text(HEAD + TOEPLITZ + FORWARD + later)
    (tmp_path / "bob.py").write_text(HEAD + later)
    assert main(["grade", str(tmp_path), "--chapter", "3", "--out", str(tmp_path / "g.csv")]) == 0
    statuses = {(r["submission"], r["exercise"]): r["status"] for r in rows_of(tmp_path / "g.csv")}
    assert statuses["ann", "toeplitz"] == statuses["ann", "conv1d_forward"] == "right"
    assert statuses["bob", "toeplitz"] == statuses["bob", "conv1d_forward"] == "missing"


def test_an_earlier_run_is_no_student(tmp_path, capsys):
    """Its files lie in the folder that is graded; nor do its grades stay among the new ones."""
    (tmp_path / "ann.py").write_text("")
    (tmp_path / "note.txt").write_text("")
    command = ["grade", str(tmp_path), "--chapter", "1", "--out", str(tmp_path / "g.csv")]
    assert main(command) == 0
    (tmp_path / "g.gradescope" / "gone.json").write_text("{}")
    assert main([*command, "-f"]) == 0
    assert {row["submission"] for row in rows_of(tmp_path / "g.csv")} == {"ann"}
    assert [p.name for p in (tmp_path / "g.gradescope").iterdir()] == ["ann.json"]
    assert "note.txt: not graded" in capsys.readouterr().err


def a_submission(tmp_path, text):
    (tmp_path / "a.py").write_text(HEAD + text)
    exercises = [all_exercises()[name] for name in ("snr", "quantize")]
    trials = {one.name: trials_of(one, 0, fresh=True) for one in exercises}
    return Submission("a", (tmp_path / "a.py",)), exercises, trials


def test_a_fault_of_the_grader_costs_one_student(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "assess", lambda *arguments: 1 / 0)
    grades = grading.grade(*a_submission(tmp_path, SNR), grading.Limits(0, 5, 1 << 30))
    assert [g.status for g in grades] == ["not graded"] * 2
    assert "the grader failed: ZeroDivisionError" in grades[0].message


def test_a_submission_has_one_time_in_all(tmp_path, monkeypatch):
    """However many of its exercises use up their own."""
    clock = [0.0]
    limits = grading.Limits(0, 5, 1 << 30)

    class Stuck:
        """A process whose next exercise takes until its deadline."""

        def __init__(self, request):
            done = {name for _, name in request["done"]}
            name = next(name for name in request["asked"] if name not in done)
            self.messages = [{"read": 0, "defines": request["asked"], "broken": {}, "notes": []}, {"loading": 0},
                             {"loaded": 0, "notes": []}, {"begins": name}]  # fmt: skip

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def receive(self, deadline):
            if self.messages:
                return self.messages.pop(0)
            clock[0] = deadline
            raise TimeoutError

    monkeypatch.setattr(grading, "StudentProcess", Stuck)
    monkeypatch.setattr(grading, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    exercises = list(all_exercises().values())
    grades = grading.grade(Submission("a", (tmp_path / "a.py",)), exercises, {}, limits)
    allowed = grading.STARTING + grading.IN_ALL * limits.patience
    assert clock[0] == allowed
    assert [g.status for g in grades] == ["too slow"] * 24 + ["not graded"] * (len(exercises) - 24)
    assert grades[-1].message == f"the submission took more than {allowed:.0f} s in all"


def test_file_names_fit_on_a_disk():
    names = file_names(["a/b", "a_b", "A_B", "é" * 250, "é" * 251])
    assert len({n.casefold() for n in names.values()}) == 5
    assert all(len(n.encode()) <= 210 and "/" not in n for n in names.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: neither a notebook"),
        (["."], "no notebook and no .py file"),
        ([".", "--chapter", "99"], "chapters 99 have no exercises"),
        ([".", "--variant", "conv1d_forward"], "no exercise is a variant of that name"),
        ([".", "--seconds", "0"], "--seconds must lie"),
        ([".", "--seconds", "nan"], "--seconds must lie"),
        ([".", "--memory", "1e300"], "--memory between"),
        ([".", "--seed", "-1"], "--seed must not be negative"),
        ([".", "--jobs", "0"], "--jobs at least 1"),
    ],
)
def test_refusals(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *arguments, "--out", "g.csv"]) == 2
    assert words in capsys.readouterr().err
    assert not Path("g.csv").exists()
