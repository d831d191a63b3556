"""Threads that share out the tasks of one operator, or follow each other through many.

Compiled functions that hold no Python objects release Python's global lock (`nogil=True`), so plain threads run them
at the same time. Numba's own `prange` would do that too, but doubles the time that a function takes to compile, and
its threads do not survive a fork. Waking a thread takes some 30 µs either way: share out what takes longer.
"""

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_pools: list[ThreadPoolExecutor] = []
_at_work = threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has only the thread that forked


def share_out(threads: int, tasks: int, work: Callable[..., None], *args: Any) -> None:
    """Call work(first, last, *args) on each of so many threads, this one included: its share of tasks 0 ... tasks - 1.

    What `work` itself would share out, it does alone: all threads have work already.
    """
    if threads == 1 or tasks <= 1 or getattr(_at_work, "now", False):
        work(0, tasks, *args)
        return
    cuts = [tasks * t // threads for t in range(threads + 1)]
    if not _pools:
        _pools.append(ThreadPoolExecutor(os.cpu_count(), "minicodec"))
    others = [_pools[0].submit(_share, work, cuts[t], cuts[t + 1], *args) for t in range(1, threads)]
    try:
        _share(work, cuts[0], cuts[1], *args)
    finally:
        for other in others:
            other.result()


def _share(work: Callable[..., None], *args: Any) -> None:
    _at_work.now = True
    try:
        work(*args)
    finally:
        _at_work.now = False


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
    share_out(threads, threads, carry)
    return results
