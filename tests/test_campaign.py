"""The campaign of hostile inputs [campaign/README.md]: a little of it, and that it sees faults where there are some."""

import signal
import sys

import numpy as np
import pytest

from minicodec.errors import InputError
from tests.campaign import kinds, run
from tests.campaign.watch import Case, empty, resident, watched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="watches memory by /proc")
INPUTS = 1_500


@pytest.mark.thorough
def test_hundreds_of_hostile_inputs(tmp_path):
    """The same ones each time; `python -m tests.campaign` tries others."""
    found = run.campaign(0, 10, INPUTS, 0, [], tmp_path / "failures")
    print(run.table(found))
    assert [name for one in found.values() for name in one.faults] == []
    assert sum(one.inputs for one in found.values()) == INPUTS
    often = {kind.name for kind in kinds.load().values() if kind.weight >= 1}
    assert often <= found.keys()
    assert sum(one.accepted for one in found.values()) > INPUTS / 20  # some are harmless


def leaves_a_file(case):
    case.write("half-written", "x")
    raise InputError("but why?")


WRONG = {  # what a command does, and what is said of it
    "a traceback": (lambda case: {}["key"], "KeyError: 'key'"),
    "memory": (lambda case: np.ones(40_000_000) and None, "MB"),
    "a line that is none of ours": (lambda case: print("warning", file=sys.stderr), "printed on stderr: 'warning'"),
    "control characters": (lambda case: print("minicodec: \x1b[31m", file=sys.stderr), "printed on stderr"),
    "a long line": (lambda case: print("minicodec: " + "x" * 9999, file=sys.stderr), "printed on stderr"),
    "a file that is left": (leaves_a_file, "half-written"),
    "another status": (lambda case: 3, "exit status 3"),
}


def case_in(folder):
    return Case(np.random.default_rng(0), folder, None)


@pytest.mark.parametrize("fault", WRONG)
def test_it_sees_what_is_wrong(fault, tmp_path, monkeypatch):
    """A command that does it, in the place of `info`."""
    act, words = WRONG[fault]
    case = case_in(tmp_path)
    monkeypatch.setattr("minicodec.cli.info.run", lambda args: act(case) or 0)
    handler = signal.getsignal(signal.SIGPROF)
    try:
        result = watched(lambda case: case.command("info", "x"), case, resident())
    finally:
        signal.signal(signal.SIGPROF, handler)
    assert result["outcome"] == "fault"
    assert words in result["why"]


def test_it_tells_refused_from_accepted(tmp_path, monkeypatch):
    case = case_in(tmp_path)
    handler = signal.getsignal(signal.SIGPROF)
    try:
        refused = watched(lambda case: case.command("info", tmp_path / "nothing.wav"), case, resident())
        monkeypatch.setattr("minicodec.cli.info.run", lambda args: 0)
        accepted = watched(lambda case: case.command("info", "x"), case_in(tmp_path), resident())
    finally:
        signal.signal(signal.SIGPROF, handler)
    assert (refused["outcome"], accepted["outcome"]) == ("refused", "accepted")
    case.write("folder/file", b"x")
    empty(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_dies_is_one_fault_and_the_others_go_on(tmp_path, monkeypatch):
    """Of its worker, started with this module for a kind of input."""
    monkeypatch.setattr(run, "WORKER", "tests.campaign_dies")
    found = run.campaign(0, 1, 5, 0, [], tmp_path)
    assert found["dies"].faults == ["0-2"]
    assert (found["dies"].accepted, found["dies"].inputs) == (4, 5)
