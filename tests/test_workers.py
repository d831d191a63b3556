"""Sharing out tasks: each is done once, errors come through, and a forked child has threads of its own."""

import os
import threading
import time
from functools import partial

import pytest

from minicodec.ops.workers import convoy, share_out


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
    """All of a pool's threads could wait for threads of the same pool."""
    names = []
    share_out(2, 2, lambda first, last: share_out(2, 4, lambda a, b: names.append((threading.get_ident(), a, b))))
    assert {(a, b) for _, a, b in names} == {(0, 4)}
    assert len({name for name, _, _ in names}) == 2
