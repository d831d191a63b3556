"""Sharing out tasks: each is done once, errors come through, and a forked child has threads of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextvars import ContextVar
from functools import partial

import numpy as np
import pytest

from minicodec import threads as file
from minicodec.backend import active, use
from minicodec.tensor import Tensor, no_grad
from minicodec.threads import pipeline, share_out, threads_for


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


def test_who_works_for_a_thread_works_as_it_does():
    """`use` and `no_grad` are a thread's own: what it shares out takes them along, and leaves none behind."""
    both, seen = threading.Barrier(2, timeout=20), set()
    x = Tensor(np.ones(2), requires_grad=True)

    def work(first, last):
        both.wait()
        seen.add((threading.current_thread(), active(), (x * x).requires_grad))

    with use("student"), no_grad():
        share_out(2, 2, work)
    assert len(seen) == 2
    assert {(backend, recorded) for _, backend, recorded in seen} == {("student", False)}
    seen.clear()
    share_out(2, 2, work)
    assert {(backend, recorded) for _, backend, recorded in seen} == {("numba", True)}


def test_an_error_of_another_thread_comes_through():
    def work(first, last):
        if first > 0:
            raise ValueError("unlucky")

    with pytest.raises(ValueError, match="unlucky"):
        share_out(2, 2, work)


@pytest.fixture
def no_threads(monkeypatch):
    """The system has none to give."""

    def start(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(file, "_threads", [])
    monkeypatch.setattr(threading.Thread, "start", start)


def test_a_share_that_nobody_has_begun_the_caller_does(no_threads):
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
    together = threading.Barrier(3, timeout=60)

    def work(first, last):
        together.wait()
        if threading.get_ident() != main:
            time.sleep(0.05)  # until the caller waits
            if first == 2:
                signal.pthread_kill(main, signal.SIGUSR1)
            time.sleep(0.2 if first == 2 else 0.4)
            written.append(first)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            share_out(3, 3, work)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert written == [2, 1]
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


def test_a_share_that_is_done_keeps_nothing():
    """It may stay in the queue, where other threads are busy."""
    array = np.zeros(3)
    kept, share = weakref.ref(array), file._Share(lambda a: None, array)
    del array
    share.do()
    assert kept() is None


def test_threads_are_used_again():
    both = threading.Barrier(2, timeout=60)
    share_out(2, 2, lambda first, last: both.wait())
    before = threading.active_count()
    for _ in range(50):
        share_out(2, 2, lambda first, last: both.wait())
    assert threading.active_count() == before


SHARES = "share_out(3, 3, lambda first, last: os.write(1, b'.'))"
LATER = f"import time; time.sleep(0.5); {SHARES}"


@pytest.mark.parametrize(
    "more",
    [
        pytest.param("", id="at once"),
        pytest.param(f"import threading as t; t.Thread(target=exec, args=({LATER!r}, globals())).start()", id="late"),
        pytest.param(f"import atexit; atexit.register(exec, {SHARES!r}, globals())", id="last"),
    ],
)
def test_a_program_ends_while_threads_wait_for_work(more):
    """Also if another thread of it goes on after the main one, or it has to do something at the very end."""
    program = f"import os\nfrom minicodec.threads import share_out\n{SHARES}\n{more}"
    end = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (end.returncode, end.stdout) == (0, "......" if more else "..."), end.stderr


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
def test_a_step_sees_the_items_in_their_order_one_at_a_time(threads, items, monkeypatch):
    monkeypatch.setattr(file, "available", lambda: threads)
    seen = [[], [], []]

    def step(s, item):
        seen[s].append(item)
        time.sleep(0.001 * (item % 3))  # so that a thread that did not wait would overtake
        assert seen[s][-1] == item
        return item + 100

    done = pipeline(range(items), [partial(step, s) for s in range(3)])
    assert done == [item + 300 for item in range(items)]
    assert seen == [[item + 100 * s for item in range(items)] for s in range(3)]


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(file, "available", lambda: 2)


def test_one_item_moves_on_while_the_next_follows(two):
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

    assert pipeline([0, 1], [first, second]) == [0, 1]


@pytest.mark.parametrize("unlucky", [0, 1, 5])
def test_an_error_in_a_step_comes_through_and_nobody_waits(unlucky, two):
    def step(item):
        if item == unlucky:
            raise ValueError("unlucky")
        return item

    errors = []

    def run():
        try:
            pipeline(range(6), [step, step])
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert errors == ["unlucky"]


def test_an_interrupt_counts_more_than_an_error(no_threads):
    def work(first, last):
        raise KeyboardInterrupt if first else ValueError

    with pytest.raises(KeyboardInterrupt):
        share_out(2, 2, work)


def test_work_that_is_shared_out_is_not_shared_out_again():
    """All threads have work already."""
    names, both = [], threading.Barrier(2, timeout=60)

    def work(first, last):
        both.wait()  # else one thread could take both shares
        share_out(2, 4, lambda a, b: names.append((threading.get_ident(), a, b)))

    share_out(2, 2, work)
    assert {(a, b) for _, a, b in names} == {(0, 4)}
    assert len({name for name, _, _ in names}) == 2


def test_context_variables_are_those_of_the_caller():
    """`use` and `no_grad` are such variables."""
    variable = ContextVar("variable", default=0)
    variable.set(1)
    seen, both = [], threading.Barrier(2, timeout=60)
    share_out(2, 2, lambda first, last: (both.wait(), seen.append(variable.get())))
    assert seen == [1, 1]


def test_many_callers_at_once():
    """Each gets all of its own done, whichever threads there are."""
    results = np.zeros((6, 200))

    def call(n):
        for _ in range(50):
            share_out(3, 200, lambda first, last: np.add(results[n, first:last], 1, out=results[n, first:last]))

    callers = [threading.Thread(target=call, args=(n,)) for n in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert (results == 50).all()


def test_small_work_gets_one_thread(monkeypatch):
    """The threshold of products is in multiplications, that of all else in numbers."""
    monkeypatch.setattr(file, "available", lambda: 5)
    assert [threads_for(n) for n in (0, 65535, 65536)] == [1, 1, 5]
    assert [threads_for(multiplications=n) for n in (0, 4_999_999, 5_000_000)] == [1, 1, 5]


def test_without_numba_there_is_one_thread():
    code = "import sys; sys.modules['numba'] = None; from minicodec.threads import available; print(available())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout == "1\n"
