"""Threads that share out the tasks of one operator, or follow each other through many.

Compiled functions that hold no Python objects release Python's global lock (`nogil=True`), so plain threads run them
at the same time. Numba's own `prange` would do that too, but doubles the time that a function takes to compile, and
its threads do not survive a fork and spin while there is nothing to do.

Handing over. The threads stay, and each waits for a job on a lock. To wake a thread that sleeps takes 20 to 100 µs, as
long as a small product: so a thread that has done a job watches a word in memory for some 100 µs, as does whoever waits
for it, and only then sleeps (signals.py). The words are hints: whether there is a job, and whether it is done, is
what the list and the locks say. A share that nobody has begun when the caller has done its own, because the machine is
busy with other things, the caller takes back and does too.
"""

import atexit
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import reduce
from typing import Any

import numba
import numpy as np

from minicodec.kernels.cpu.engine.addresses import address
from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.kernels.cpu.engine.signals import LINE, pause, spin, store

GIVEN, DONE = 0, LINE  # two words of a worker: the number of the last job that it was given, and that it has done
SPINS = 4000  # of some 30 ns, before a thread sleeps
PAUSES = 300  # of some 30 ns: who gives a job holds Python's lock until its own share has begun


@compiled
def _watch(words, done, watched, awaited, pauses):
    """Until words[watched] is at least `awaited`, or the time is over. First, tell what is `done`, if that is not 0.

    All that is done without Python's lock, which whoever is told will need.
    """
    if done > 0:
        store(address(words) + 8 * DONE, done)
    if spin(address(words) + 8 * watched, awaited, SPINS):
        for _ in range(pauses):
            pause()


class _Job:
    """A share of some work."""

    def __init__(self, work: Callable[..., None], *args: Any):
        self.work, self.args = work, args
        self.context = copy_context()  # `use` and `no_grad` hold for whoever works for a thread, too
        self.number = 0  # of the jobs of a worker
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def do(self) -> None:
        _at_work.now = True
        try:
            self.context.run(self.work, *self.args)
        except BaseException as error:  # for `share_out` to raise
            self.error = error
        finally:
            _at_work.now = False


class _Worker:
    """A thread, and what it was given to do."""

    def __init__(self) -> None:
        self.words = np.zeros(2 * LINE, np.int64)
        self.given: list[_Job | None] = []  # one at most; None: end
        self.wake = threading.Lock()
        self.wake.acquire()
        _watch(self.words, 0, GIVEN, 0, 0)  # compiled before somebody waits for the thread
        self.thread = threading.Thread(target=self._run, name="minicodec", daemon=True)
        self.thread.start()

    def give(self, job: _Job | None) -> None:
        """Only to a worker that was taken from the idle ones."""
        number = int(self.words[GIVEN]) + 1
        if job is not None:
            job.number = number
        self.given.append(job)
        self.words[GIVEN] = number
        if self.wake.locked():  # else it has yet to wake for a job that was taken back, and will find this one
            self.wake.release()

    def _run(self) -> None:
        number = 0
        while True:
            _watch(self.words, number, GIVEN, number + 1, PAUSES)
            self.wake.acquire()
            number = int(self.words[GIVEN])
            try:
                job = self.given.pop()
            except IndexError:  # taken back
                continue
            if job is None:
                return
            job.do()
            _idle.append(self)
            job.done.release()
            del job  # it would keep the arrays until the next one comes

    def finish(self, job: _Job) -> None:
        """Wait until this job is done; or do it, if the worker has not begun."""
        try:
            self.given.remove(job)
        except ValueError:
            _watch(self.words, 0, DONE, job.number, 0)
            try:
                job.done.acquire()
            except BaseException:  # interrupted, while the worker still writes into the caller's arrays
                job.done.acquire()
                raise
        else:
            _idle.append(self)
            job.do()


_at_work = threading.local()
_idle: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # a child has only the thread that forked


@atexit.register
def _end() -> None:
    """An interpreter that ends kills its threads wherever they are, which compiled code does not survive."""
    while _idle:
        worker = _idle.pop()
        worker.give(None)
        worker.thread.join()


def _idle_worker() -> _Worker:
    try:
        return _idle.pop()
    except IndexError:
        return _Worker()


def share_out(threads: int, tasks: int, work: Callable[..., None], *args: Any) -> None:
    """Call work(first, last, *args) on each of so many threads, this one included: its share of tasks 0 ... tasks - 1.

    What `work` itself would share out, it does alone: all threads have work already.
    """
    if threads == 1 or tasks <= 1 or getattr(_at_work, "now", False):
        work(0, tasks, *args)
        return
    cuts = [tasks * t // threads for t in range(threads + 1)]
    jobs = [_Job(work, cuts[t], cuts[t + 1], *args) for t in range(threads)]
    workers = [_idle_worker() for _ in jobs[1:]]
    for worker, job in zip(workers, jobs[1:], strict=True):
        worker.give(job)
    jobs[0].do()
    for worker, job in zip(workers, jobs[1:], strict=True):
        worker.finish(job)
    for job in jobs:
        if job.error is not None:
            raise job.error


def share_items(B: int, work: Callable[[int, int], None]) -> None:
    """work(first, last) for items 0 ... B - 1 of a batch, that have nothing to do with each other.

    On several threads if each gets as many; else on this one, and the threads share what `work` shares out itself.
    """
    threads = numba.get_num_threads()
    share_out(threads if B % threads == 0 else 1, B, work)


def convoy(threads: int, items: Sequence[Any], steps: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """Each item through all steps, one after the other: item = step(item) -> what they have become.

    A step takes the items in their order, one at a time, so it may keep in mind what it has seen. The threads follow
    each other: each takes an item through all steps, and waits where the item before it has not passed yet.
    """
    passed = [0] * len(steps)  # how many items have
    changed, numbers, failed = threading.Condition(), itertools.count(), False
    results: list[Any] = [None] * len(items)

    def carry(first: int, last: int) -> None:
        nonlocal failed
        whole = False
        try:
            while (n := next(numbers)) < len(items):
                item = items[n]
                for s, step in enumerate(steps):
                    with changed:
                        while passed[s] < n and not failed:
                            changed.wait()
                    if failed:
                        return
                    item = step(item)
                    with changed:
                        passed[s] += 1
                        changed.notify_all()
                results[n] = item
            whole = True
        finally:
            if not whole:  # an error: nobody waits for this item
                with changed:
                    failed = True
                    changed.notify_all()

    threads = min(threads, len(items))
    if threads <= 1:
        return [reduce(lambda item, step: step(item), steps, item) for item in items]
    share_out(threads, threads, carry)
    return results
