"""Threads that share out the tasks of one operator.

Compiled functions that hold no Python objects release Python's global lock (`nogil=True`), so plain threads run them
at the same time. Numba's own `prange` would do that too, but doubles the time that a function takes to compile, and
its threads do not survive a fork. Waking a thread takes some 30 µs either way: share out what takes longer.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_pools: list[ThreadPoolExecutor] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has only the thread that forked


def share_out(threads: int, tasks: int, work: Callable[..., None], *args: Any) -> None:
    """Call work(first, last, *args) on each of so many threads, this one included: its share of tasks 0 ... tasks - 1.

    `work` must not share out work itself: it could wait for a thread that waits for it.
    """
    cuts = [tasks * t // threads for t in range(threads + 1)]
    if threads > 1 and not _pools:
        _pools.append(ThreadPoolExecutor(os.cpu_count(), "minicodec"))
    others = [_pools[0].submit(work, cuts[t], cuts[t + 1], *args) for t in range(1, threads)]
    work(cuts[0], cuts[1], *args)
    for other in others:
        other.result()
