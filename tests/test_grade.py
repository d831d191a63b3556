"""`minicodec grade`: each student gets what is theirs, whatever the others do."""

import csv
import json
from xml.etree import ElementTree

import pytest

from minicodec.cli import main

HEAD = "import numpy as np\nfrom minicodec.course import check, exercise, library\n"
FORWARD = """
@exercise
def conv1d_forward(x, w, *, stride=1, dilation=1):
    return library("conv1d_forward")(x, w, stride=stride, dilation=dilation)
"""
TOEPLITZ = """
@exercise
def toeplitz(w, T):
    return helper(w, T)

def helper(w, T):
    return library("toeplitz")(w, T)
"""
STUB = """
@exercise
def conv1d_backward(dy, saved, *, stride=1, dilation=1):
    raise NotImplementedError
"""
BACKWARD = """
@exercise
def conv1d_backward(dy, saved, *, stride=1, dilation=1):
    return library("conv1d_backward")(dy, saved, stride=stride, dilation=dilation)
"""


def answer(name, body):
    return f"\n@exercise\ndef {name}(*args, **kwargs):\n    {body}\n"


SUBMISSIONS = {
    "perfect.py": HEAD + FORWARD + BACKWARD + TOEPLITZ + "\ncheck(toeplitz)\nraise SystemExit(3)\n",
    "partial.py": HEAD + FORWARD + STUB + answer("toeplitz", "return np.zeros((4, 4))"),
    "empty.py": "",
    "crashing.py": HEAD + answer("conv1d_forward", "import os; os._exit(9)") + "assert False\n" + BACKWARD,
    "endless.py": HEAD + FORWARD + answer("conv1d_backward", "\n    while True:\n        pass") + TOEPLITZ,
    "sleeping.py": HEAD + answer("conv1d_forward", "import time; time.sleep(1000)") + TOEPLITZ,
    "hungry.py": HEAD + answer("toeplitz", "return bytearray(1 << 40)") + FORWARD,
    "broken.py": "def (",
}
POINTS = {"perfect": 4, "partial": 1, "empty": 0, "crashing": 2, "endless": 2, "sleeping": 1, "hungry": 1, "broken": 0}
STATUS = {
    ("perfect", "toeplitz"): "right",
    ("partial", "conv1d_backward"): "unwritten",
    ("partial", "toeplitz"): "wrong",
    ("empty", "toeplitz"): "missing",
    ("crashing", "conv1d_forward"): "crashed",
    ("crashing", "conv1d_backward"): "right",
    ("endless", "conv1d_backward"): "too slow",
    ("endless", "toeplitz"): "right",
    ("sleeping", "conv1d_forward"): "too slow",
    ("sleeping", "toeplitz"): "right",
    ("hungry", "toeplitz"): "wrong",
    ("hungry", "conv1d_forward"): "right",
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    (folder / "in").mkdir()
    for name, text in SUBMISSIONS.items():
        (folder / "in" / name).write_text(text)
    notebook = {"cells": [{"cell_type": "code", "source": HEAD}, {"cell_type": "code", "source": "%time 1"},
                          {"cell_type": "code", "source": TOEPLITZ.splitlines(keepends=True)}]}  # fmt: skip
    (folder / "in" / "notebook").mkdir()
    (folder / "in" / "notebook" / "chapter.ipynb").write_text(json.dumps(notebook))
    command = ["grade", str(folder / "in"), "--chapter", "3", "--seed", "9", "--seconds", "1.5"]
    assert main([*command, "--out", str(folder / "grades.csv")]) == 0
    return folder


def test_right_points_for_all(graded):
    rows = list(csv.DictReader((graded / "grades.csv").read_text().splitlines()))
    points = {}
    for row in rows:
        points[row["submission"]] = points.get(row["submission"], 0) + int(row["points"])
    assert points == POINTS | {"notebook": 1}
    status = {(row["submission"], row["exercise"]): row["status"] for row in rows}
    assert {key: status[key] for key in STATUS} == STATUS


def test_junit_and_gradescope_say_the_same(graded):
    suites = ElementTree.parse(graded / "grades.xml").getroot()
    failures = {suite.get("name"): int(suite.get("failures")) for suite in suites}
    assert failures["perfect"] == 0
    assert failures["partial"] == 2
    for name, points in POINTS.items():
        result = json.loads((graded / "grades.gradescope" / f"{name}.json").read_text())
        assert result["score"] == points
        assert sum(test["max_score"] for test in result["tests"]) == 4


def test_an_answer_tuned_to_the_published_sizes_fails(tmp_path):
    """The chapter's cases are known: (1,7,1) is among them. Grading draws others."""
    body = 'return library("toeplitz")(*args) if args[1] in (4, 5, 6) else np.zeros(0)'
    (tmp_path / "sly.py").write_text(HEAD + answer("toeplitz", body))
    assert main(["grade", str(tmp_path), "--chapter", "3", "--seed", "1", "--out", str(tmp_path / "g.csv")]) == 0
    rows = {row["exercise"]: row["status"] for row in csv.DictReader((tmp_path / "g.csv").read_text().splitlines())}
    assert rows["toeplitz"] == "wrong"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: neither a notebook"),
        (["."], "no notebook and no .py file"),
        ([".", "--chapter", "99"], "chapters 99 have no exercises"),
        ([".", "--variant", "conv1d_forward"], "no exercise is a variant of that name"),
        ([".", "--seconds", "0"], "must be positive"),
    ],
)
def test_refusals(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *arguments, "--out", "g.csv"]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "g.csv").exists()
