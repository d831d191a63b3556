"""How many threads a piece of work gets, and sharing it out among them.

Compiled functions that hold no Python objects release Python's global lock (`nogil=True`), so plain threads run them
at the same time. Numba's own `prange` would do that too, but doubles the time that a function takes to compile, and
its threads do not survive a fork and spin while there is nothing to do.

The threads stay, and wait for shares of work at one queue. The caller takes part: it does the first share, and then
each that no other thread has begun, because the machine is busy with other things or has no more threads to give.
Which thread does a share changes no bit of a result: what a share computes depends on its place only.
"""

import atexit
import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import cache, reduce
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any

# To wake a thread takes 20 to 100 µs. What one thread does in that time is left to it:
NUMBERS = 65536  # that are read, computed with and written
MULTIPLICATIONS = 5_000_000  # of a product of matrices


def available() -> int:
    """How many threads may compute: NUMBA_NUM_THREADS, or fewer after `numba.set_num_threads`; 1 without Numba."""
    chosen = getattr(sys.modules.get("numba"), "get_num_threads", None)
    number: int = _as_numba_counts() if chosen is None else chosen()
    return number


def threads_for(numbers: int = 0, multiplications: int = 0) -> int:
    """How many threads are worth waking for an operation on so many numbers, or one of so many multiplications."""
    return available() if numbers >= NUMBERS or multiplications >= MULTIPLICATIONS else 1


@cache
def _as_numba_counts() -> int:
    """What Numba would say if somebody had imported it, which takes a second."""
    if find_spec("numba") is None:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("NUMBA_NUM_THREADS") or cores or 1)


class _Share:
    """A part of some work. The thread that locks `begun` does it, and opens `done`."""

    def __init__(self, work: Callable[..., None], *args: Any):
        self.work, self.args = work, args
        self.context = copy_context()  # `use` and `no_grad` hold for whoever works for a thread, too
        self.error: BaseException | None = None
        self.begun, self.done = threading.Lock(), threading.Lock()
        self.done.acquire()

    def do(self) -> None:
        """Do it, unless another thread has begun to."""
        if not self.begun.acquire(blocking=False):
            return
        _at_work.now = True
        try:
            self.context.run(self.work, *self.args)
        except BaseException as error:  # for `share_out` to raise
            self.error = error
        finally:
            _at_work.now = False
            del self.work, self.args, self.context  # the queue may hold this object for long, but not the arrays
            self.done.release()

    def wait(self) -> None:
        """Until it is done; if nobody has begun it, nobody will."""
        if self.begun.acquire(blocking=False):
            self.done.release()
        with self.done:
            pass


_at_work = threading.local()
_threads: list[threading.Thread] = []
_shares: SimpleQueue[_Share | None] = SimpleQueue()


def share_out(threads: int, tasks: int, work: Callable[..., None], *args: Any) -> None:
    """Call work(first, last, *args) on each of so many threads, this one included: its share of tasks 0 ... tasks - 1.

    What `work` itself would share out, it does alone: all threads have work already. When this returns, or raises what
    a share raised, or KeyboardInterrupt, no thread works on a share any more.
    """
    threads = min(threads, tasks)
    if threads <= 1 or getattr(_at_work, "now", False):
        work(0, tasks, *args)
        return
    cuts = [tasks * t // threads for t in range(threads + 1)]
    shares = [_Share(work, cuts[t], cuts[t + 1], *args) for t in range(threads)]
    _start_threads(threads - 1)
    for share in shares[1:] if _threads else ():
        _shares.put(share)
    try:
        for share in shares:
            share.do()
        for share in shares:
            share.wait()
    except BaseException:  # interrupted, while others still write into the caller's arrays
        for share in shares:
            share.wait()
        raise
    errors = [share.error for share in shares if share.error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Exception)):  # KeyboardInterrupt before others
        raise error


def share_items(B: int, work: Callable[[int, int], None]) -> None:
    """work(first, last) for items 0 ... B - 1 of a batch, that have nothing to do with each other.

    On several threads if each gets as many; else on this one, and the threads share what `work` shares out itself.
    """
    threads = available()
    share_out(threads if B % threads == 0 else 1, B, work)


def pipeline(items: Sequence[Any], steps: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """Each item through all steps, one after the other: item = step(item) -> what they have become.

    A step takes the items in their order, one at a time, so it may keep in mind what it has seen. The threads follow
    each other: each takes an item through all steps, and waits where the item before it has not passed yet.
    """
    passed = [0] * len(steps)  # how many items have
    changed, numbers, failed = threading.Condition(), itertools.count(), False
    results: list[Any] = [None] * len(items)

    def carry(first: int, last: int) -> None:
        nonlocal failed
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
        except BaseException:  # nobody is to wait for this item
            with changed:
                failed = True
                changed.notify_all()
            raise

    threads = min(available(), len(items))
    if threads <= 1:
        return [reduce(lambda item, step: step(item), steps, item) for item in items]
    share_out(threads, threads, carry)
    return results


def _start_threads(count: int) -> None:
    """Until there are so many, besides the callers."""
    while len(_threads) < count:
        thread = threading.Thread(target=_run, args=(_shares,), name="minicodec", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more to give: callers do all shares
            return
        _threads.append(thread)


def _run(shares: SimpleQueue[_Share | None]) -> None:
    while (share := shares.get()) is not None:
        share.do()
        del share  # with its error, until the next one comes


def _forget() -> None:
    """A child process has only the thread that forked."""
    global _shares
    _threads.clear()
    _shares = SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@atexit.register
def _end() -> None:
    """An interpreter that ends kills its threads wherever they are, which compiled code does not survive."""
    for _ in _threads:
        _shares.put(None)
    for thread in _threads:
        thread.join()
