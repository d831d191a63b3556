"""Sharing out tasks: each is done once, errors come through, and a forked child has threads of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest

from minicodec.kernels.cpu.engine import threads as workers
from minicodec.kernels.cpu.engine.threads import convoy, share_out


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


def test_a_share_that_nobody_has_begun_is_taken_back(monkeypatch):
    """The other thread has ended: without the caller, its share is never done."""
    gone = workers._Worker()
    gone.give(None)
    gone.thread.join()
    monkeypatch.setattr(workers, "_idle", [gone])
    done = []
    share_out(2, 7, lambda first, last: done.append((first, last)))
    assert done == [(0, 3), (3, 7)]

    def work(first, last):
        if first > 0:
            raise ValueError("unlucky")

    with pytest.raises(ValueError, match="unlucky"):
        share_out(2, 2, work)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads")
def test_an_interrupt_waits_until_the_arrays_are_left_alone():
    main, written = threading.get_ident(), []
    both = threading.Barrier(2, timeout=60)

    def work(first, last):
        both.wait()
        if threading.get_ident() != main:
            time.sleep(0.05)  # until the caller waits
            signal.pthread_kill(main, signal.SIGUSR1)
            time.sleep(0.2)
            written.append(1)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            share_out(2, 2, work)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert written == [1]
    test_every_task_is_done_once(2, 7)


def test_nothing_is_kept_when_the_work_is_done():
    both, array = threading.Barrier(2, timeout=60), np.zeros(3)
    share_out(2, 2, lambda first, last, a: both.wait(), array)
    kept = weakref.ref(array)
    del array
    deadline = time.monotonic() + 60
    while kept() is not None and time.monotonic() < deadline:
        time.sleep(0.001)  # the other thread has said that it is done, and is about to let go
    assert kept() is None


def test_threads_are_used_again():
    both = threading.Barrier(2, timeout=60)
    before = threading.active_count()
    for _ in range(50):
        share_out(2, 2, lambda first, last: both.wait())
    assert threading.active_count() <= before + 1


def test_a_program_ends_while_its_threads_watch_for_work():
    program = (
        "import os; from minicodec.ops.workers import share_out; share_out(3, 3, lambda first, last: os.write(1, b'.'))"
    )
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (end.returncode, end.stdout) == (0, "..."), end.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_still_computes():
    """It has inherited the list of idle threads, but not the threads: without new ones, it is alone."""
    here = threading.Barrier(2, timeout=60)
    share_out(2, 2, lambda first, last: here.wait())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        killer = threading.Timer(30, os._exit, [1])
        killer.start()
        both = threading.Barrier(2, timeout=20)
        share_out(2, 2, lambda first, last: both.wait() + os.write(write, bytes([first])))
        os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(os.read(read, 3)) == [0, 1]
    os.close(read)


@pytest.mark.parametrize(("threads", "items"), [(1, 4), (2, 1), (2, 9), (3, 9), (4, 3)])
def test_a_step_sees_the_items_in_their_order_one_at_a_time(threads, items):
    seen = [[], [], []]

    def step(s, item):
        seen[s].append(item)
        time.sleep(0.001 * (item % 3))  # so that a thread that did not wait would overtake
        assert seen[s][-1] == item
        return item + 100

    done = convoy(threads, range(items), [partial(step, s) for s in range(3)])
    assert done == [item + 300 for item in range(items)]
    assert seen == [[item + 100 * s for item in range(items)] for s in range(3)]


def test_one_item_moves_on_while_the_next_follows():
    """Item 0 in the second step and item 1 in the first meet; on one thread at a time, they would wait for ever."""
    meeting = threading.Barrier(2, timeout=60)

    def first(item):
        if item == 1:
            meeting.wait()
        return item

    def second(item):
        if item == 0:
            meeting.wait()
        return item

    assert convoy(2, [0, 1], [first, second]) == [0, 1]


@pytest.mark.parametrize("unlucky", [0, 1, 5])
def test_an_error_in_a_step_comes_through_and_nobody_waits(unlucky):
    def step(item):
        if item == unlucky:
            raise ValueError("unlucky")
        return item

    with pytest.raises(ValueError, match="unlucky"):
        convoy(2, range(6), [step, step])


def test_work_that_is_shared_out_is_not_shared_out_again():
    """All threads have work already."""
    names, both = [], threading.Barrier(2, timeout=60)

    def work(first, last):
        both.wait()  # else one thread could take both shares
        share_out(2, 4, lambda a, b: names.append((threading.get_ident(), a, b)))

    share_out(2, 2, work)
    assert {(a, b) for _, a, b in names} == {(0, 4)}
    assert len({name for name, _, _ in names}) == 2
