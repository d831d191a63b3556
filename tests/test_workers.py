"""Sharing out tasks: each is done once, errors come through, and a forked child has threads of its own."""

import os
import threading

import pytest

from minicodec.ops.workers import share_out


@pytest.mark.parametrize(("threads", "tasks"), [(1, 5), (2, 1), (2, 7), (3, 7), (4, 3)])
def test_every_task_is_done_once(threads, tasks):
    done = []

    def work(first, last, name):
        done.extend((name, task) for task in range(first, last))

    share_out(threads, tasks, work, "a")
    assert sorted(done) == [("a", task) for task in range(tasks)]


def test_two_threads_at_the_same_time():
    both = threading.Barrier(2, timeout=60)
    share_out(2, 2, lambda first, last: both.wait())


def test_an_error_of_another_thread_comes_through():
    def work(first, last):
        if first > 0:
            raise ValueError("unlucky")

    with pytest.raises(ValueError, match="unlucky"):
        share_out(2, 2, work)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_still_computes():
    """It has inherited the pool, but not its threads: without a pool of its own, it waits for ever."""
    share_out(2, 2, lambda first, last: None)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        killer = threading.Timer(30, os._exit, [1])
        killer.start()
        share_out(2, 2, lambda first, last: os.write(write, bytes([first])))
        os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(os.read(read, 3)) == [0, 1]
    os.close(read)
