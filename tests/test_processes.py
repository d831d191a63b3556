"""Work in several processes: all of it is done, errors come through, and no process outlives a killed parent."""

import os
import subprocess
import sys

import pytest

from minicodec.evaluation.processes import THREADS, each
from tests.process_work import begin, note

PARENT = """
import os, signal, sys
from tests.process_work import begin, sleep
from minicodec.evaluation.processes import each

if __name__ == "__main__":
    work = each([0, 600], sleep, begin, (sys.argv[1],), 2)
    next(work)  # the first item is done; the second sleeps on
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_item_is_done_once_in_single_threaded_processes(tmp_path, monkeypatch):
    for name in THREADS[:-1]:
        monkeypatch.setenv(name, "3")
    monkeypatch.delenv(THREADS[-1], raising=False)
    before = {name: os.environ.get(name) for name in THREADS}
    assert sorted(each(range(5), note, begin, (str(tmp_path),), 2)) == list(range(5))
    files = sorted(tmp_path.iterdir())
    assert [file.name.split("-")[0] for file in files] == list("01234")
    assert {file.read_text(encoding="utf-8") for file in files} == {"1 1 1 1"}
    assert 1 <= len({file.name.split("-")[1] for file in files} - {str(os.getpid())}) <= 2
    assert {name: os.environ.get(name) for name in THREADS} == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_comes_through(tmp_path, jobs):
    with pytest.raises(ValueError, match="unlucky"):
        list(each([13], note, begin, (str(tmp_path),), jobs))


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_workers_end_with_a_killed_parent(tmp_path):
    """They wait for work at a pipe whose other end they hold themselves, so nothing but our watch ends them."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": "."}
    parent = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, env=environment)
    parent.communicate(timeout=120)  # until all who have inherited stdout have closed it
    assert parent.returncode == -9
