"""Work in several processes: all of it is done, errors come through, and no process outlives a killed parent."""

import os
import subprocess
import sys
from collections import deque

import pytest

from minicodec.errors import InputError
from minicodec.workers import THREADS, Killed, each
from tests.worker_work import begin, die, note

PARENT = """
import os, signal, sys
from collections import deque
from tests.worker_work import begin, sleep
from minicodec.workers import each

if __name__ == "__main__":
    work = each(deque([0, 600]), sleep, begin, (sys.argv[1],), 2)
    next(work)  # the first item is done; the second sleeps on
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_item_is_done_once_in_single_threaded_processes(tmp_path, monkeypatch):
    for name in THREADS[:-1]:
        monkeypatch.setenv(name, "3")
    monkeypatch.delenv(THREADS[-1], raising=False)
    before = {name: os.environ.get(name) for name in THREADS}
    results = sorted(each(deque(range(5)), note, begin, (str(tmp_path),), 2))
    assert results == [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)]
    files = sorted(file for file in tmp_path.iterdir() if not file.name.startswith("begin"))
    assert [file.name.split("-")[0] for file in files] == list("01234")
    assert {file.read_text(encoding="utf-8") for file in files} == {"1 1 1 1"}
    workers = {file.name.split("-")[1] for file in files}
    assert 1 <= len(workers - {str(os.getpid())}) <= 2
    assert {file.name.split("-")[1] for file in tmp_path.glob("begin-*")} == workers  # each began once
    assert {name: os.environ.get(name) for name in THREADS} == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_comes_through(tmp_path, jobs):
    with pytest.raises(ValueError, match="unlucky"):
        list(each(deque([13]), note, begin, (str(tmp_path),), jobs))


def test_who_iterates_learns_which_item_killed_its_process_and_may_try_again(tmp_path):
    todo, results, deaths = deque([0, 1, 2, 3]), {}, []
    for item, result in each(todo, die, begin, (str(tmp_path),), 2):
        if isinstance(result, Killed):
            deaths.append(item)
            if deaths.count(item) == 1:
                todo.append(item)
        else:
            results[item] = result
    assert results == {0: 0, 1: 10, 3: 30}
    assert sorted(deaths) in ([1, 2, 2], [2, 2])  # if 2 left its mark first, 1 lives


def test_without_dask_a_cluster_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"^--cluster: needs Dask: pip install 'minicodec\[cluster\]'$"):
        list(each(deque([1]), note, begin, (str(tmp_path),), 1, "tcp://127.0.0.1:1"))


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_workers_end_with_a_killed_parent(tmp_path):
    """They wait for work at a pipe whose other end they hold themselves, so nothing but our watch ends them."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": "."}
    parent = subprocess.Popen([sys.executable, script, tmp_path], stdout=subprocess.PIPE, env=environment)
    parent.communicate(timeout=120)  # until all who have inherited stdout have closed it
    assert parent.returncode == -9
